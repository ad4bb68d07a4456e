/* What a build has done so far, so that a killed one can be continued: a line for every
 * finished shard, and the report up to there. Both are on disk before the next shard begins.
 *
 * Thread rule: one thread at a time. */
#ifndef RQ_PACK_JOURNAL_H
#define RQ_PACK_JOURNAL_H

#include "pack/folder.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Sums over what has been packed. */
typedef struct rq_build_counts {
    uint64_t samples;
    uint64_t verdicts[RQ_VERDICT_COUNT];
    uint64_t fallbacks, masks, bad_masks;
    uint64_t duplicates, dropped;
    uint64_t source_bytes; /* of the packed images */
} rq_build_counts;

/* The state behind a finished shard. */
typedef struct rq_build_point {
    rq_manifest_shard shard; /* file is NULL: the number tells it */
    uint64_t records;        /* of the source that are done, rejected ones included */
    uint64_t seen_bytes;     /* of those */
    rq_build_counts counts;
    uint64_t report_bytes, report_hash; /* the journal's own */
} rq_build_point;

typedef struct rq_journal rq_journal;

/* Opens the folder's journal or begins one. *points of a build with these settings can be
 * continued; 0 for a new one. A journal of other settings, or a damaged one, is INVALID_ARG
 * with what differs, unless `replace`: then it is begun anew. The folder outlives the journal.
 */
RQ_NODISCARD rq_status rq_journal_open(rq_journal **out, const rq_folder *f,
                                       const rq_settings *settings, bool replace,
                                       size_t *points, rq_err *err);
const rq_build_point *rq_journal_point(const rq_journal *j, size_t i);
/* Forgets all but the first `points`; then lines and points may be added. To be called once. */
RQ_NODISCARD rq_status rq_journal_keep(rq_journal *j, size_t points, rq_err *err);

/* Appends to the report. */
RQ_NODISCARD rq_status rq_journal_report(rq_journal *j, const void *lines, size_t bytes,
                                         rq_err *err);
/* The shard stands in the folder, under its draft's name, and is on disk: so is, when this
 * returns, the report, and then the point. */
RQ_NODISCARD rq_status rq_journal_add(rq_journal *j, const rq_build_point *p, rq_err *err);
/* Where the report's lines are: a file, complete when nothing is added behind this call. */
RQ_NODISCARD rq_status rq_journal_flush(rq_journal *j, const char **path, rq_err *err);
/* Forgets everything: removes the files of a build that is done, but for its shards. */
RQ_NODISCARD rq_status rq_journal_remove(const rq_folder *f, rq_err *err);
/* NULL is fine. */
void rq_journal_close(rq_journal **j);

#ifdef __cplusplus
}
#endif
#endif
