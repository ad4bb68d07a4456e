/* Hashes: XXH3-64 for every span of our own formats, SHA-256 where people compare by hand
 * (manifests, `sha256sum`) and for hashes of whole batches. */
#ifndef RQ_COMMON_HASH_H
#define RQ_COMMON_HASH_H

#include "common/status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

uint64_t rq_xxh3(const void *data, size_t bytes);

enum { RQ_SHA256_BYTES = 32, RQ_SHA256_HEX = 65 };

/* Streaming SHA-256; one per thread. */
typedef struct rq_sha256 rq_sha256;
RQ_NODISCARD rq_status rq_sha256_create(rq_sha256 **out, rq_err *err);
void rq_sha256_update(rq_sha256 *s, const void *data, size_t bytes);
/* Writes the digest as 64 lower-case hex digits and a NUL, and starts anew. */
void rq_sha256_hex(rq_sha256 *s, char hex[RQ_SHA256_HEX]);
void rq_sha256_destroy(rq_sha256 **s);

#ifdef __cplusplus
}
#endif
#endif
