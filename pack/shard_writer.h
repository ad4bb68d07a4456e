/* Writes one shard: frames in order, then end frame, index and seek table. The file gets its
 * name only when all of that is on disk. */
#ifndef RQ_PACK_SHARD_WRITER_H
#define RQ_PACK_SHARD_WRITER_H

#include "pack/manifest.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rq_shard_writer rq_shard_writer;

/* Opens a temporary file beside `path`; an existing file there is replaced at the end. */
RQ_NODISCARD rq_status rq_shard_writer_create(rq_shard_writer **out, const char *path,
                                              rq_err *err);
/* Appends a frame made by rq_frame_encode; e's offset is filled in. */
RQ_NODISCARD rq_status rq_shard_writer_append(rq_shard_writer *w, const rq_index_entry *e,
                                              const uint8_t *frame, rq_err *err);
/* Bytes of frames so far, and samples. */
uint64_t rq_shard_writer_bytes(const rq_shard_writer *w);
size_t rq_shard_writer_count(const rq_shard_writer *w);
/* Writes the tail and flushes the file to disk under its temporary name: after that no lack of
 * space can stop the shard. Nothing may be appended any more; on failure only abort is left. */
RQ_NODISCARD rq_status rq_shard_writer_seal(rq_shard_writer *w, rq_err *err);
/* Seals it unless that is done; rename, fsync of the folder. *info gets bytes, samples, sha256
 * and index_hash; its file name is the caller's. Destroys *w whatever the outcome. */
RQ_NODISCARD rq_status rq_shard_writer_finish(rq_shard_writer **w, rq_manifest_shard *info,
                                              rq_err *err);
/* Removes the temporary file. NULL is fine. */
void rq_shard_writer_abort(rq_shard_writer **w);

#ifdef __cplusplus
}
#endif
#endif
