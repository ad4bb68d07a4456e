// SPDX-License-Identifier: Apache-2.0
// One shard as a reader sees it first: from its end. pread only, never mmap, so a file that is
// cut off while in use gives an error and not a signal.
#include "pack/shard.h"

#include "common/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static rq_status read_footer(rq_shard *s, rq_err *err)
{
    uint8_t footer[RQ_TABLE_FOOTER_BYTES];
    struct stat st;
    if (fstat(s->fd, &st) != 0)
        return rq_fail_errno(err, "cannot examine it");
    if (!S_ISREG(st.st_mode))
        return rq_fail(err, RQ_BAD_FORMAT, "it is not a regular file");
    s->bytes = (uint64_t)st.st_size;
    if (s->bytes < sizeof footer)
        return rq_fail(err, RQ_TRUNCATED, "it has only %llu bytes",
                       (unsigned long long)s->bytes);
    RQ_TRY(rq_pread_full(s->fd, footer, sizeof footer, s->bytes - sizeof footer, s->name, err));
    return rq_index_count(footer, s->bytes, &s->count, err);
}

rq_status rq_shard_open(rq_shard *s, const char *path, rq_err *err)
{
    *s = (rq_shard){.fd = -1, .path = rq_strdup(path)};
    if (!s->path)
        return rq_fail(err, RQ_OOM, "out of memory opening '%s'", path);
    s->name = rq_path_base(s->path);
    s->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a pipe must not stop us for good
    if (s->fd < 0) {
        const rq_status st = rq_fail_errno(err, "cannot open the shard '%s'", path);
        rq_shard_close(s);
        return st;
    }
    rq_err inner = {0};
    const rq_status st = read_footer(s, &inner);
    if (st != RQ_OK) {
        rq_fail(err, st, "shard '%s': %s; restore this file from a copy or pack again", path,
                inner.text);
        rq_shard_close(s);
    }
    return st;
}

rq_status rq_shard_load(rq_shard *s, rq_index_entry *entries, rq_err *err)
{
    const size_t bytes = rq_index_frame_bytes(s->count) + rq_table_frame_bytes(s->count);
    uint8_t *tail = rq_alloc(bytes, 1);
    if (!tail)
        return rq_fail(err, RQ_OOM, "out of memory for the index of '%s' (%zu bytes)", s->path,
                       bytes);
    rq_err inner = {0};
    rq_status st = rq_pread_full(s->fd, tail, bytes, s->bytes - bytes, s->name, &inner);
    if (st == RQ_OK)
        st = rq_index_decode(tail, s->count, s->bytes, entries, &s->tail, &inner);
    rq_free(tail);
    if (st != RQ_OK)
        rq_fail(err, st, "shard '%s': %s; restore this file from a copy or pack again", s->path,
                inner.text);
    return st;
}

void rq_shard_close(rq_shard *s)
{
    if (s->path && s->fd >= 0)
        close(s->fd);
    rq_free(s->path);
    *s = (rq_shard){.fd = -1};
}

rq_status rq_shard_blame(const rq_shard *s, const rq_index_entry *e, const char *key,
                         const rq_err *inner, rq_err *err)
{
    return rq_fail(err, inner->status, "shard '%s': sample %llu%s%s%s at byte %llu: %s",
                   s->name, (unsigned long long)e->id, key[0] ? " (" : "", key,
                   key[0] ? ")" : "", (unsigned long long)e->offset, inner->text);
}
