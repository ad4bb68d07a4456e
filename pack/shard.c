// SPDX-License-Identifier: Apache-2.0
// One shard as a reader sees it first: from its end. pread only, never mmap, so a file that is
// cut off while in use gives an error and not a signal.
#include "pack/shard.h"

#include "common/file.h"
#include "common/hash.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static rq_status read_length(rq_shard *s, rq_err *err)
{
    struct stat st;
    if (fstat(s->fd, &st) != 0)
        return rq_fail_errno(err, "cannot examine '%s'", s->path);
    if (!S_ISREG(st.st_mode))
        return rq_fail(err, RQ_BAD_FORMAT, "shard '%s' is not a regular file", s->path);
    s->bytes = (uint64_t)st.st_size;
    return RQ_OK;
}

rq_status rq_shard_open_raw(rq_shard *s, const char *path, rq_err *err)
{
    *s = (rq_shard){.fd = -1, .path = rq_strdup(path)};
    if (!s->path)
        return rq_fail(err, RQ_OOM, "out of memory opening '%s'", path);
    s->name = rq_path_base(s->path);
    s->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a pipe must not stop us for good
    const rq_status st = s->fd < 0 ? rq_fail_errno(err, "cannot open the shard '%s'", path)
                                   : read_length(s, err);
    if (st != RQ_OK)
        rq_shard_close(s);
    return st;
}

static rq_status read_footer(rq_shard *s, rq_err *err)
{
    uint8_t footer[RQ_TABLE_FOOTER_BYTES];
    if (s->bytes < sizeof footer)
        return rq_fail(err, RQ_TRUNCATED, "it has only %llu bytes",
                       (unsigned long long)s->bytes);
    RQ_TRY(rq_pread_full(s->fd, footer, sizeof footer, s->bytes - sizeof footer, s->name, err));
    return rq_index_count(footer, s->bytes, &s->count, err);
}

rq_status rq_shard_open(rq_shard *s, const char *path, rq_err *err)
{
    RQ_TRY(rq_shard_open_raw(s, path, err));
    rq_err inner = {0};
    const rq_status st = read_footer(s, &inner);
    if (st != RQ_OK) {
        rq_fail(err, st,
                "shard '%s': %s; `rq-pack repair` finds what is whole in it, or restore the "
                "file from a copy",
                path, inner.text);
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
        rq_fail(err, st,
                "shard '%s': %s; `rq-pack repair` finds what is whole in it, or restore the "
                "file from a copy",
                s->path, inner.text);
    return st;
}

void rq_shard_close(rq_shard *s)
{
    if (s->path && s->fd >= 0)
        close(s->fd);
    rq_free(s->path);
    *s = (rq_shard){.fd = -1};
}

// Hashes one frame, or the end frame, in `buf`.
static rq_status check_span(const rq_shard *s, rq_buf *buf, uint64_t offset, uint32_t bytes,
                            uint64_t hash, rq_err *err)
{
    buf->size = 0;
    RQ_TRY(rq_buf_reserve(buf, bytes, err));
    RQ_TRY(rq_pread_full(s->fd, buf->data, bytes, offset, s->name, err));
    if (rq_xxh3(buf->data, bytes) == hash)
        return RQ_OK;
    return rq_fail(err, RQ_BAD_CHECKSUM,
                   "shard '%s': the frame at byte %llu does not match its hash", s->path,
                   (unsigned long long)offset);
}

static rq_status check_frames(const rq_shard *s, const rq_index_entry *entries,
                              const volatile sig_atomic_t *cancel, rq_err *err)
{
    rq_buf buf = {0};
    rq_status st = RQ_OK;
    for (size_t i = 0; i < s->count && st == RQ_OK; i++) {
        const rq_index_entry *e = &entries[i];
        if (cancel && *cancel)
            st = rq_fail(err, RQ_CANCELLED, "interrupted while checking '%s'", s->path);
        else
            st = check_span(s, &buf, e->offset, e->stored_bytes, e->hash, err);
    }
    if (st == RQ_OK)
        st = check_span(s, &buf, s->tail.end_offset, s->tail.end_bytes, s->tail.end_hash, err);
    rq_buf_free(&buf);
    return st;
}

rq_status rq_shard_check(const char *path, const rq_manifest_shard *m, bool frames,
                         const volatile sig_atomic_t *cancel, rq_err *err)
{
    rq_shard s;
    RQ_TRY(rq_shard_open(&s, path, err));
    rq_index_entry *entries = NULL;
    rq_status st = RQ_OK;
    if (s.bytes != m->bytes || s.count != m->samples)
        st = rq_fail(err, RQ_BAD_FORMAT,
                     "shard '%s' has %llu bytes and %zu samples instead of %llu and %llu", path,
                     (unsigned long long)s.bytes, s.count, (unsigned long long)m->bytes,
                     (unsigned long long)m->samples);
    if (st == RQ_OK && !(entries = rq_alloc(s.count, sizeof *entries)))
        st = rq_fail(err, RQ_OOM, "out of memory for the index of '%s'", path);
    if (st == RQ_OK)
        st = rq_shard_load(&s, entries, err);
    if (st == RQ_OK && s.tail.hash != m->index_hash)
        st = rq_fail(err, RQ_BAD_CHECKSUM, "shard '%s' is intact but another one than expected",
                     path);
    if (st == RQ_OK && frames)
        st = check_frames(&s, entries, cancel, err);
    rq_free(entries);
    rq_shard_close(&s);
    return st;
}

rq_status rq_shard_blame(const rq_shard *s, const rq_index_entry *e, const char *key,
                         const rq_err *inner, rq_err *err)
{
    return rq_fail(err, inner->status, "shard '%s': sample %llu%s%s%s at byte %llu: %s",
                   s->name, (unsigned long long)e->id, key[0] ? " (" : "", key,
                   key[0] ? ")" : "", (unsigned long long)e->offset, inner->text);
}
