// SPDX-License-Identifier: Apache-2.0
// The writing end of one shard. Keeps the index entries in memory (64 bytes a sample) and hands
// every byte to the atomic file and to SHA-256, so the manifest's hash needs no second pass.
#include "pack/shard_writer.h"

#include "common/file.h"
#include "pack/frame.h"
#include "pack/index.h"

#include <string.h>

struct rq_shard_writer {
    rq_atomic_file *file;
    rq_sha256 *sha;
    rq_index_entry *entries;
    size_t n, cap;
    bool sealed;
    rq_manifest_shard info; // once sealed
};

rq_status rq_shard_writer_create(rq_shard_writer **out, const char *path, rq_err *err)
{
    *out = NULL;
    rq_shard_writer *w = rq_calloc(1, sizeof *w);
    if (!w)
        return rq_fail(err, RQ_OOM, "out of memory for the shard '%s'", path);
    rq_status st = rq_sha256_create(&w->sha, err);
    if (st == RQ_OK)
        st = rq_atomic_file_create(&w->file, path, true, err);
    if (st != RQ_OK) {
        rq_shard_writer_abort(&w);
        return st;
    }
    *out = w;
    return RQ_OK;
}

static rq_status put(rq_shard_writer *w, const void *data, size_t bytes, rq_err *err)
{
    rq_sha256_update(w->sha, data, bytes);
    return rq_atomic_file_write(w->file, data, bytes, err);
}

rq_status rq_shard_writer_append(rq_shard_writer *w, const rq_index_entry *e,
                                 const uint8_t *frame, rq_err *err)
{
    RQ_TRY(rq_grow((void **)&w->entries, &w->cap, w->n + 1, sizeof *w->entries, err));
    w->entries[w->n] = *e;
    w->entries[w->n].offset = rq_atomic_file_tell(w->file);
    RQ_TRY(put(w, frame, e->stored_bytes, err));
    w->n++;
    return RQ_OK;
}

uint64_t rq_shard_writer_bytes(const rq_shard_writer *w)
{
    return rq_atomic_file_tell(w->file);
}

size_t rq_shard_writer_count(const rq_shard_writer *w)
{
    return w->n;
}

static rq_status put_tail(rq_shard_writer *w, rq_buf *buf, rq_err *err)
{
    rq_index_tail tail = {.end_offset = rq_atomic_file_tell(w->file)};
    rq_frame_coder coder = {0};
    rq_status st = rq_frame_encode_end(&coder, buf, err);
    rq_frame_coder_fini(&coder);
    RQ_TRY(st);
    tail.end_bytes = (uint32_t)buf->size;
    tail.end_hash = rq_xxh3(buf->data, buf->size);
    RQ_TRY(rq_index_encode(w->entries, w->n, &tail, buf, err));
    RQ_TRY(put(w, buf->data, buf->size, err));
    w->info =
        (rq_manifest_shard){.bytes = tail.file_bytes, .samples = w->n, .index_hash = tail.hash};
    rq_sha256_hex(w->sha, w->info.sha256);
    return RQ_OK;
}

rq_status rq_shard_writer_seal(rq_shard_writer *w, rq_err *err)
{
    rq_buf buf = {0};
    rq_status st = put_tail(w, &buf, err);
    rq_buf_free(&buf);
    if (st == RQ_OK)
        st = rq_atomic_file_seal(w->file, err);
    w->sealed = st == RQ_OK;
    return st;
}

rq_status rq_shard_writer_finish(rq_shard_writer **w, rq_manifest_shard *info, rq_err *err)
{
    rq_status st = (*w)->sealed ? RQ_OK : rq_shard_writer_seal(*w, err);
    if (st == RQ_OK) {
        *info = (*w)->info;
        st = rq_atomic_file_commit(&(*w)->file, err);
    }
    rq_shard_writer_abort(w);
    return st;
}

void rq_shard_writer_abort(rq_shard_writer **w)
{
    if (!*w)
        return;
    rq_atomic_file_abort(&(*w)->file);
    rq_sha256_destroy(&(*w)->sha);
    rq_free((*w)->entries);
    rq_free(*w);
    *w = NULL;
}
