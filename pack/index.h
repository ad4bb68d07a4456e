/* The two skippable frames at the end of a shard: Reliquary's index and the seek table of the
 * zstd seekable format. Encoding and strict decoding, in memory. */
#ifndef RQ_PACK_INDEX_H
#define RQ_PACK_INDEX_H

#include "common/mem.h"
#include "pack/format.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What the index says beside its entries. */
typedef struct rq_index_tail {
    uint64_t end_offset; /* of the end frame */
    uint32_t end_bytes;
    uint64_t end_hash;   /* XXH3-64 of the end frame */
    uint64_t file_bytes; /* of the whole shard */
    uint64_t hash;       /* XXH3-64 of the index: what identifies a shard's content */
    uint32_t masks;      /* samples that carry a mask */
} rq_index_tail;

/* Sizes for n samples. */
size_t rq_index_frame_bytes(size_t n);
size_t rq_table_frame_bytes(size_t n);

/* Appends index and seek table to out. end_offset, end_bytes and end_hash of *tail are inputs;
 * the other fields are filled in. */
RQ_NODISCARD rq_status rq_index_encode(const rq_index_entry *entries, size_t n,
                                       rq_index_tail *tail, rq_buf *out, rq_err *err);

/* Samples of a shard, from its last RQ_TABLE_FOOTER_BYTES bytes and its length. TRUNCATED or
 * BAD_FORMAT when this is not the end of a shard. */
RQ_NODISCARD rq_status rq_index_count(const uint8_t footer[RQ_TABLE_FOOTER_BYTES],
                                      uint64_t file_bytes, size_t *n, rq_err *err);

/* Whether every field of an entry is in its range, by itself. */
bool rq_index_entry_sound(const rq_index_entry *e);
/* Decodes index and table (`data`, the last rq_index_frame_bytes(n) + rq_table_frame_bytes(n)
 * bytes of the file) into entries[n]. Checks both hashes, that the spans tile the file, that
 * table and index agree, and every field's range. BAD_CHECKSUM, BAD_FORMAT, UNSUPPORTED. */
RQ_NODISCARD rq_status rq_index_decode(const uint8_t *data, size_t n, uint64_t file_bytes,
                                       rq_index_entry *entries, rq_index_tail *tail,
                                       rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
