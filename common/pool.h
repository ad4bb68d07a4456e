/* Worker threads over a numbered range of work.
 *
 * rq_pool_for calls fn(ctx, index, worker) once for each index in [0, n) from the pool's
 * threads and returns when all are done. Indices are handed out in ascending order, so an
 * ordered consumer behind it waits little. The first failure stops further hand-out and is what
 * rq_pool_for returns; which failure comes first may depend on timing, whether one is reported
 * does not. */
#ifndef RQ_COMMON_POOL_H
#define RQ_COMMON_POOL_H

#include "common/status.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rq_pool rq_pool;
typedef rq_status (*rq_pool_fn)(void *ctx, size_t index, int worker, rq_err *err);

/* `threads` > 0, or 0 for one per CPU this process may use. Threads are named "rq-NAME-07",
 * block all signals and have 1 MiB of stack. The calling thread does not work. */
RQ_NODISCARD rq_status rq_pool_create(rq_pool **out, int threads, const char *name,
                                      rq_err *err);
void rq_pool_destroy(rq_pool **pool);
int rq_pool_threads(const rq_pool *pool);
/* One call at a time per pool. */
RQ_NODISCARD rq_status rq_pool_for(rq_pool *pool, size_t n, rq_pool_fn fn, void *ctx,
                                   rq_err *err);

/* Starts one named thread under the same rules; for stages that are loops rather than ranges.
 */
typedef struct rq_thread rq_thread;
RQ_NODISCARD rq_status rq_thread_start(rq_thread **out, const char *name, void (*fn)(void *),
                                       void *ctx, rq_err *err);
/* Waits for its end and frees it. NULL is fine. */
void rq_thread_join(rq_thread **thread);

/* CPUs this process may use, at least 1. */
int rq_cpu_count(void);

#ifdef __cplusplus
}
#endif
#endif
