/* The memory planner: places buffers whose lifetimes are known in one arena. Internal to
 * train/.
 *
 * Each buffer is alive from the first step that touches it to the last, inclusive; two buffers
 * may share bytes when they are never alive together. Greedy best fit: larger buffers first,
 * each into the smallest gap among those alive at the same time. */
#ifndef RQ_TRAIN_PLAN_H
#define RQ_TRAIN_PLAN_H

#include "common/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { RQ_PLAN_ALIGN = 256 };

typedef struct rq_interval {
    size_t bytes;
    int first, last; /* steps; first <= last */
    size_t offset;   /* result, a multiple of RQ_PLAN_ALIGN */
} rq_interval;

/* Fills the offsets. *arena_bytes: size of the arena; *live_bytes: most bytes (aligned) alive
 * at one step, which no plan can beat. OOM, or LIMIT when the sizes do not fit in size_t. */
RQ_NODISCARD rq_status rq_plan(rq_interval *v, size_t n, size_t *arena_bytes,
                               size_t *live_bytes, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
