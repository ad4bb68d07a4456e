/* Exact duplicates: images whose coded bytes are equal, found by a 128-bit hash.
 *
 * The hash is XXH3-128, which finds accidental equals without fail in practice but is no
 * defence against somebody who builds two files of one hash on purpose. */
#ifndef RQ_INGEST_DEDUP_H
#define RQ_INGEST_DEDUP_H

#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rq_content_id {
    uint64_t high, low;
} rq_content_id;

enum { RQ_CONTENT_HEX_BYTES = 33 };

rq_content_id rq_content_id_of(const void *data, size_t bytes);
/* 32 lower-case hex digits and a NUL, as `xxhsum -H2` prints them. */
void rq_content_id_hex(char hex[RQ_CONTENT_HEX_BYTES], rq_content_id id);
/* False when text is not exactly that. */
bool rq_content_id_parse(rq_content_id *id, const char *text);

/* What was seen so far: about 24 to 48 bytes an image. One thread at a time. */
typedef struct rq_dedup rq_dedup;
RQ_NODISCARD rq_status rq_dedup_create(rq_dedup **out, rq_err *err);
void rq_dedup_destroy(rq_dedup **d);
/* Remembers content as that of item `number` (the entry's id, say; below UINT64_MAX) unless it
 * was there before. *first is the number it was first added with: equal to `number` when new.
 * OOM. */
RQ_NODISCARD rq_status rq_dedup_add(rq_dedup *d, rq_content_id content, uint64_t number,
                                    uint64_t *first, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
