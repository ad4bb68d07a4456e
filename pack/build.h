/* Packing a source into a dataset folder: shards, manifest and ingest report.
 *
 * Samples are encoded by worker threads and written in the source's reading order, so the bytes
 * do not depend on the number of threads. A build that was killed, at any moment, is continued
 * by the same command and ends with the same bytes; what it replaces stays until all of the new
 * dataset is on disk. A folder without dataset.json is unfinished.
 *
 * A dataset may be packed in parts, each a range of the reading order, on as many machines;
 * they need not know of one another. rq_merge (merge.h) joins them. */
#ifndef RQ_PACK_BUILD_H
#define RQ_PACK_BUILD_H

#include "common/log.h"
#include "ingest/masks.h"
#include "ingest/source.h"
#include "ingest/verdict.h"
#include "pack/encode.h"
#include "pack/journal.h"

#include <signal.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What is done with an image whose coded bytes an earlier one of the reading order has. */
typedef enum rq_dedup_policy {
    RQ_DEDUP_OFF = 0,
    RQ_DEDUP_REPORT, /* packed, counted, and named in the report */
    RQ_DEDUP_DROP    /* left out, counted, and named in the report */
} rq_dedup_policy;

typedef struct rq_build_opts {
    rq_encode_opts encode; /* how pictures are stored */
    uint64_t shard_bytes;  /* a shard is closed when it reaches this; default 1 GiB */
    int threads;           /* 0: one per CPU */
    bool stop_on_bad;      /* an image that is rejected ends the build; default false */
    bool replace;          /* what stands in the folder may be replaced; default false */
    const char *name;      /* shard prefix; default "data" */
    rq_part part;          /* pack only this part; default all */
    rq_dedup_policy dedup;
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
    rq_build_counts counts; /* of the whole dataset or part, whichever run packed it */
    uint64_t stored_bytes;  /* of the shards */
    int shards;
    int kept_shards;       /* of those, finished by an earlier run */
    uint64_t kept_samples; /* in those */
    uint64_t records;      /* images of the source that this dataset or part is made of */
    bool was_complete;     /* the folder held this very dataset: nothing was done */
    char manifest_sha256[RQ_SHA256_HEX];
} rq_build_result;

/* Packs `src`, at its first record, into folder `dir` (created). masks may be NULL.
 *
 * INVALID_ARG when the folder holds something else and `replace` is false, or an unfinished
 * build with other settings (the sentence says which), or another build is writing there;
 * NOT_FOUND when no image was usable; CANCELLED. After any failure run the same command again:
 * it goes on behind the last finished shard. *result says how far it came, also then. */
RQ_NODISCARD rq_status rq_build(const char *dir, rq_source *src, rq_masks *masks,
                                const rq_build_opts *opts, rq_build_result *result,
                                rq_err *err);

/* XXH3-64 over names, sizes, classes and labels of a source: the images that a dataset is made
 * of, whatever folder or machine they lie on. */
uint64_t rq_source_fingerprint(const rq_source *src);

#ifdef __cplusplus
}
#endif
#endif
