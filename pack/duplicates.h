/* Exact duplicates in a build: which image came first with these coded bytes, and the report
 * line that says so. */
#ifndef RQ_PACK_DUPLICATES_H
#define RQ_PACK_DUPLICATES_H

#include "ingest/source.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rq_duplicates rq_duplicates;

/* The source outlives it. `drop`: duplicates are left out. */
RQ_NODISCARD rq_status rq_duplicates_create(rq_duplicates **out, const rq_source *src,
                                            bool drop, rq_err *err);
/* NULL is fine. */
void rq_duplicates_destroy(rq_duplicates **d);
/* Remembers the images of a report's lines, in a file: those that an earlier run has seen. */
RQ_NODISCARD rq_status rq_duplicates_recall(rq_duplicates *d, const char *path, rq_err *err);
/* Looks a record up, in reading order, and writes hash and original into `line` (replaced).
 * *duplicate: an earlier image has the same bytes. */
RQ_NODISCARD rq_status rq_duplicates_see(rq_duplicates *d, const rq_record *rec, rq_buf *line,
                                         bool *duplicate, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
