/* Metrics as JSON lines, safe to append to: a killed run leaves at worst a half last line,
 * which the next one cuts off together with every line behind the step it resumes from. A
 * resumed run's file is therefore the file of a run that was never stopped.
 *
 * Every line is one object that begins with "step". Thread rule: one thread. */
#ifndef RQ_TRAIN_METRICS_H
#define RQ_TRAIN_METRICS_H

#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rq_metric {
    const char *name;
    double value; /* not finite: null */
} rq_metric;

typedef struct rq_metrics rq_metrics;

/* Opens for appending behind the last whole line whose step is <= `step`; what follows is cut
 * off, and so is a line of `step` itself that has the metric `again`, which the caller is about
 * to write anew (NULL: none). Creates the file. */
RQ_NODISCARD rq_status rq_metrics_open(rq_metrics **out, const char *path, uint64_t step,
                                       const char *again, rq_err *err);
/* Flushes what it can and closes; NULL is fine. */
void rq_metrics_close(rq_metrics **m);
/* Appends {"step": step, "name": value, ...}. */
RQ_NODISCARD rq_status rq_metrics_write(rq_metrics *m, uint64_t step, const rq_metric *values,
                                        size_t n, rq_err *err);
/* Everything written so far is on disk afterwards. */
RQ_NODISCARD rq_status rq_metrics_sync(rq_metrics *m, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
