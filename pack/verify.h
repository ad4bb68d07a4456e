/* Checking a dataset or a shard against its own hashes, byte by byte. */
#ifndef RQ_PACK_VERIFY_H
#define RQ_PACK_VERIFY_H

#include "pack/dataset.h"

#include <signal.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rq_verify_opts {
    bool deep;   /* also unpack every frame and decode every picture and mask */
    int threads; /* 0: one per CPU */
    /* Called for every damaged thing with a full sentence; from any thread, one at a time. */
    void (*damage)(void *cookie, const char *sentence);
    /* May be NULL. */
    void (*progress)(void *cookie, uint64_t done, uint64_t total, uint64_t bytes);
    void *cookie;
    const volatile sig_atomic_t *cancel; /* non-zero ends it with CANCELLED; may be NULL */
} rq_verify_opts;

typedef struct rq_verify_result {
    uint64_t samples, damaged_samples;
    uint64_t damaged_other; /* manifest, index, table, gaps */
    uint64_t bytes;
    int shards;
} rq_verify_result;

/* RQ_OK when everything is intact; BAD_CHECKSUM when anything was damaged (all of it is
 * reported); another status when the dataset cannot be examined at all. */
RQ_NODISCARD rq_status rq_verify(const char *path, const rq_verify_opts *opts,
                                 rq_verify_result *result, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
