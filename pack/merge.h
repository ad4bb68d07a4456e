/* Joining the parts of a dataset that was packed in parts: checks that they belong together and
 * writes the manifest and report of the whole. Shards keep their names and bytes. */
#ifndef RQ_PACK_MERGE_H
#define RQ_PACK_MERGE_H

#include "pack/manifest.h"

#include <signal.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rq_merge_opts {
    const char *out; /* folder of the dataset; NULL: the only one given */
    bool replace;    /* another dataset.json there may be replaced; default false */
    const volatile sig_atomic_t *cancel; /* may be NULL */
} rq_merge_opts;

typedef struct rq_merge_result {
    uint64_t samples, masks, bytes;
    int parts, shards, classes;
    uint64_t rejected;
    bool was_complete; /* the folder held this very dataset */
    char manifest_sha256[RQ_SHA256_HEX];
} rq_merge_result;

/* Parts are found by their manifests in the n folders. All of them must be there, once, with
 * the same settings and source, whole shards, and no sample twice: NOT_FOUND names the missing
 * ones, INVALID_ARG what differs, BAD_CHECKSUM and the like a damaged one. Shards of other
 * folders than `out` are hard-linked there, or copied where that cannot be. May be interrupted
 * and repeated at any time; the outcome is the same. */
RQ_NODISCARD rq_status rq_merge(const char *const *dirs, size_t n, const rq_merge_opts *opts,
                                rq_merge_result *result, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
