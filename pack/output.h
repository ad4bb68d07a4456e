/* What a build leaves on disk: shards, report and manifest, made so that a build can be killed
 * at any moment. Every finished shard is kept for the next run of the same command; nothing
 * stands under its final name before all of it is on disk, and what is replaced stays until
 * then.
 *
 *     rq_output_open(&out, dir, &plan, &state, &err);      // state: where to go on
 *     for each record: rq_output_report, rq_output_sample, rq_output_mark
 *     rq_output_commit(out, &manifest, &sha, &err);
 *     rq_output_close(&out, failed);
 *
 * Thread rule: one thread. */
#ifndef RQ_PACK_OUTPUT_H
#define RQ_PACK_OUTPUT_H

#include "common/log.h"
#include "pack/journal.h"

#include <signal.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Borrowed until close. */
typedef struct rq_output_plan {
    const char *name; /* shard prefix */
    rq_part part;
    uint64_t shard_bytes;        /* a shard is closed when it reaches this */
    const rq_settings *settings; /* all that the bytes depend on */
    bool replace;
    rq_log_sink log;
    const volatile sig_atomic_t *cancel;
} rq_output_plan;

/* What is there already. */
typedef struct rq_output_state {
    bool complete; /* the very thing that was asked for; nothing is left to do */
    int shards;    /* finished by an earlier run and kept */
    uint64_t records, seen_bytes;
    rq_build_counts counts;
    uint64_t stored_bytes; /* of those shards */
    char manifest_sha256[RQ_SHA256_HEX];
} rq_output_state;

typedef struct rq_output rq_output;

/* Creates the folder, locks it, and finds out where to go on. INVALID_ARG when something else
 * stands there and `replace` is false, or another build is at work. */
RQ_NODISCARD rq_status rq_output_open(rq_output **out, const char *dir,
                                      const rq_output_plan *plan, rq_output_state *state,
                                      rq_err *err);
/* Path of the report's lines so far. */
RQ_NODISCARD rq_status rq_output_lines(rq_output *o, const char **path, rq_err *err);

RQ_NODISCARD rq_status rq_output_report(rq_output *o, const void *lines, size_t bytes,
                                        rq_err *err);
RQ_NODISCARD rq_status rq_output_sample(rq_output *o, const rq_index_entry *e,
                                        const uint8_t *frame, rq_err *err);
/* A record is done: from here on a killed build may continue, which it does where the last full
 * shard ended. */
RQ_NODISCARD rq_status rq_output_mark(rq_output *o, uint64_t records, uint64_t seen_bytes,
                                      const rq_build_counts *counts, rq_err *err);
/* Finishes the last shard and gives everything its final name. The caller has filled in *m but
 * for name, part, shards and settings. classes: of the source, for the report. */
RQ_NODISCARD rq_status rq_output_commit(rq_output *o, rq_manifest *m, int classes,
                                        char sha256[RQ_SHA256_HEX], rq_err *err);
int rq_output_shards(const rq_output *o);
uint64_t rq_output_bytes(const rq_output *o); /* of finished shards */
/* NULL is fine. After a failure finished shards are left for the next run. */
void rq_output_close(rq_output **o, bool failed);

#ifdef __cplusplus
}
#endif
#endif
