/* Packing a source into a dataset folder: shards, manifest and ingest report.
 *
 * Samples are encoded by worker threads and written in the source's reading order, so the bytes
 * do not depend on the number of threads. Each shard is written under a temporary name, fsynced
 * and renamed; dataset.json comes last: a folder without it is unfinished. */
#ifndef RQ_PACK_BUILD_H
#define RQ_PACK_BUILD_H

#include "common/log.h"
#include "ingest/masks.h"
#include "ingest/source.h"
#include "ingest/verdict.h"
#include "pack/format.h"

#include <signal.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rq_build_opts {
    rq_encoding encoding; /* JPEG (default here) or RAW; what an image cannot be held as falls
                             back (PNG to raw, AVIF to avif) and is counted */
    int level;            /* zstd level, 1..19; default 3 */
    uint64_t shard_bytes; /* a shard is closed when it reaches this; default 1 GiB */
    int threads;          /* 0: one per CPU */
    bool stop_on_bad;     /* an image that is rejected ends the build; default false */
    bool replace;         /* an existing dataset in the folder may be replaced; default false */
    const char *name;     /* shard prefix; default "data" */
    rq_limits limits;
    rq_log_sink log;
    /* Called from the building thread after each sample; may be NULL. */
    void (*progress)(void *cookie, uint64_t done, uint64_t total, uint64_t bytes);
    void *progress_cookie;
    /* Non-zero ends the build with CANCELLED; may be NULL. */
    const volatile sig_atomic_t *cancel;
} rq_build_opts;

void rq_build_opts_default(rq_build_opts *o);

typedef struct rq_build_result {
    uint64_t samples; /* packed */
    uint64_t verdicts[RQ_VERDICT_COUNT];
    uint64_t fallbacks;    /* stored in another encoding than asked for */
    uint64_t masks;        /* samples packed with a mask */
    uint64_t bad_masks;    /* samples whose mask could not be used: packed without, warned */
    uint64_t source_bytes; /* of the packed images */
    uint64_t stored_bytes; /* of the shards */
    int shards;
    char manifest_sha256[65];
} rq_build_result;

/* Packs `src` into folder `dir` (created). masks may be NULL. INVALID_ARG when the folder holds
 * a dataset and `replace` is false, or another build is writing there; NOT_FOUND when no image
 * was usable; CANCELLED. A dataset that is to be replaced stays as it is until the first new
 * shard is complete. After a failure no dataset.json stands that does not describe a complete
 * dataset; run the same command again. *result says how far it came, also then. */
RQ_NODISCARD rq_status rq_build(const char *dir, rq_source *src, rq_masks *masks,
                                const rq_build_opts *opts, rq_build_result *result,
                                rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
