/* Repairing a dataset or a shard: a lost or damaged index, seek table or manifest is rebuilt
 * from the frames, and samples whose frames are damaged are left out. Every intact sample is
 * kept.
 *
 * Nothing is changed before what replaces it is on disk. What an index says is in the frames
 * too, so a shard whose frames are intact gets its very bytes back. */
#ifndef RQ_PACK_REPAIR_H
#define RQ_PACK_REPAIR_H

#include "pack/salvage.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rq_repair_opts {
    const char *out;         /* shard: the repaired file; dataset: its folder. NULL: in place */
    bool replace;            /* `out` may exist already; default false */
    rq_salvage_opts salvage; /* progress is over all shards of a dataset */
} rq_repair_opts;

typedef struct rq_repair_result {
    int shards;  /* of the dataset when done */
    int rebuilt; /* of those, written anew */
    int missing; /* files that the manifest names and that are not there, or hold nothing */
    uint64_t samples; /* when done */
    uint64_t lost;    /* samples */
    bool lost_known;  /* false: at least so many stretches could not be read */
    uint64_t guessed; /* samples numbered anew, see rq_salvage */
    bool manifest;    /* dataset.json was written */
    bool was_intact;  /* there was nothing to do */
    char manifest_sha256[RQ_SHA256_HEX];
} rq_repair_result;

/* `path` is a shard or a dataset's folder. NOT_FOUND when no sample can be read; lost samples
 * are RQ_OK and counted. May be interrupted and repeated at any time. */
RQ_NODISCARD rq_status rq_repair(const char *path, const rq_repair_opts *opts,
                                 rq_repair_result *result, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
