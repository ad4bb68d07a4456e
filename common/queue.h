/* A bounded queue of pointers between threads, any number on either side.
 *
 * One mutex, two conditions. close: what is inside can still be popped, then END. cancel:
 * everybody wakes with CANCELLED and stays out. Waiting times are counted, so that a tool can
 * say which stage waits for which. */
#ifndef RQ_COMMON_QUEUE_H
#define RQ_COMMON_QUEUE_H

#include "common/status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rq_queue rq_queue;

typedef struct rq_queue_stats {
    uint64_t pushed, popped;
    uint64_t full_wait_ns;  /* producers waited for room */
    uint64_t empty_wait_ns; /* consumers waited for items */
} rq_queue_stats;

/* Room for `capacity` items, > 0, and at most `max_bytes` of what push calls their weight; 0
 * means no byte limit. An item heavier than max_bytes is let in when the queue is empty. */
RQ_NODISCARD rq_status rq_queue_create(rq_queue **out, size_t capacity, size_t max_bytes,
                                       rq_err *err);
/* Only when no thread is inside. Items still queued are the caller's to have popped. */
void rq_queue_destroy(rq_queue **q);

/* Waits for room. OK; CANCELLED; INVALID_ARG after close. The item stays the caller's on
 * failure. */
RQ_NODISCARD rq_status rq_queue_push(rq_queue *q, void *item, size_t bytes);
/* Waits for an item. OK; END after close once empty; CANCELLED. */
RQ_NODISCARD rq_status rq_queue_pop(rq_queue *q, void **item);
/* As pop, but waits at most timeout_ms; AGAIN when there was nothing. 0 does not wait. */
RQ_NODISCARD rq_status rq_queue_pop_timed(rq_queue *q, void **item, unsigned timeout_ms);
void rq_queue_close(rq_queue *q);
void rq_queue_cancel(rq_queue *q);
rq_queue_stats rq_queue_get_stats(rq_queue *q);

#ifdef __cplusplus
}
#endif
#endif
