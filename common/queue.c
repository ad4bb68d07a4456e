// SPDX-License-Identifier: Apache-2.0
//
// Bounded queue between pipeline stages: one mutex, two conditions, a ring of items. A plain
// lock is enough here: an item is an image or a batch, milliseconds of work. Conditions run on
// the monotonic clock so that setting the date wakes nobody.
#include "common/queue.h"

#include "common/clock.h"
#include "common/mem.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <time.h>

typedef struct slot {
    void *item;
    size_t bytes;
} slot;

struct rq_queue {
    pthread_mutex_t lock;
    pthread_cond_t has_room, has_item;
    slot *ring;
    size_t capacity, head, count;
    size_t bytes, max_bytes;
    bool closed, cancelled;
    rq_queue_stats stats;
};

static int cond_init_monotonic(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    int rc = pthread_condattr_init(&attr);
    if (rc != 0)
        return rc;
    rc = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    if (rc == 0)
        rc = pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
    return rc;
}

/* All three or none. */
static int init_locks(rq_queue *q)
{
    int rc = pthread_mutex_init(&q->lock, NULL);
    if (rc != 0)
        return rc;
    rc = cond_init_monotonic(&q->has_room);
    if (rc == 0) {
        rc = cond_init_monotonic(&q->has_item);
        if (rc != 0)
            pthread_cond_destroy(&q->has_room);
    }
    if (rc != 0)
        pthread_mutex_destroy(&q->lock);
    return rc;
}

rq_status rq_queue_create(rq_queue **out, size_t capacity, size_t max_bytes, rq_err *err)
{
    *out = NULL;
    if (capacity == 0)
        return rq_fail(err, RQ_INVALID_ARG, "a queue needs room for at least one item");
    rq_queue *q = rq_calloc(1, sizeof *q);
    slot *ring = rq_calloc(capacity, sizeof *ring);
    if (q == NULL || ring == NULL || init_locks(q) != 0) {
        rq_free(ring);
        rq_free(q);
        return rq_fail(err, RQ_OOM, "out of memory for a queue of %zu items", capacity);
    }
    q->ring = ring;
    q->capacity = capacity;
    q->max_bytes = max_bytes;
    *out = q;
    return RQ_OK;
}

void rq_queue_destroy(rq_queue **q)
{
    if (*q == NULL)
        return;
    pthread_cond_destroy(&(*q)->has_item);
    pthread_cond_destroy(&(*q)->has_room);
    pthread_mutex_destroy(&(*q)->lock);
    rq_free((*q)->ring);
    rq_free(*q);
    *q = NULL;
}

static bool has_room_for(const rq_queue *q, size_t bytes)
{
    if (q->count == q->capacity)
        return false;
    if (q->max_bytes == 0 || q->count == 0)
        return true;
    return bytes <= q->max_bytes && q->bytes <= q->max_bytes - bytes;
}

rq_status rq_queue_push(rq_queue *q, void *item, size_t bytes)
{
    rq_status status = RQ_OK;
    pthread_mutex_lock(&q->lock);
    if (!q->closed && !q->cancelled && !has_room_for(q, bytes)) {
        const uint64_t start = rq_clock_ns();
        while (!q->closed && !q->cancelled && !has_room_for(q, bytes))
            pthread_cond_wait(&q->has_room, &q->lock);
        q->stats.full_wait_ns += rq_clock_ns() - start;
    }
    if (q->cancelled) {
        status = RQ_CANCELLED;
    } else if (q->closed) {
        status = RQ_INVALID_ARG;
    } else {
        q->ring[(q->head + q->count) % q->capacity] = (slot){item, bytes};
        q->count++;
        q->bytes += bytes;
        q->stats.pushed++;
        pthread_cond_signal(&q->has_item);
    }
    pthread_mutex_unlock(&q->lock);
    return status;
}

static void *take_first(rq_queue *q)
{
    const slot s = q->ring[q->head];
    q->head = (q->head + 1) % q->capacity;
    q->count--;
    q->bytes -= s.bytes;
    q->stats.popped++;
    /* With a byte limit the room that one item leaves may be enough for several lighter ones,
     * or for another producer than the one a signal would wake. */
    if (q->max_bytes != 0)
        pthread_cond_broadcast(&q->has_room);
    else
        pthread_cond_signal(&q->has_room);
    return s.item;
}

/* Waits until there is an item, an end, or the deadline; NULL means no deadline. */
static void wait_for_item(rq_queue *q, const struct timespec *deadline)
{
    const uint64_t start = rq_clock_ns();
    int rc = 0;
    while (q->count == 0 && !q->closed && !q->cancelled && rc != ETIMEDOUT)
        rc = deadline == NULL ? pthread_cond_wait(&q->has_item, &q->lock)
                              : pthread_cond_timedwait(&q->has_item, &q->lock, deadline);
    q->stats.empty_wait_ns += rq_clock_ns() - start;
}

static rq_status pop(rq_queue *q, void **item, const struct timespec *deadline, bool may_wait)
{
    rq_status status = RQ_OK;
    *item = NULL;
    pthread_mutex_lock(&q->lock);
    if (may_wait && q->count == 0 && !q->closed && !q->cancelled)
        wait_for_item(q, deadline);
    if (q->cancelled)
        status = RQ_CANCELLED;
    else if (q->count > 0)
        *item = take_first(q);
    else
        status = q->closed ? RQ_END : RQ_AGAIN;
    pthread_mutex_unlock(&q->lock);
    return status;
}

rq_status rq_queue_pop(rq_queue *q, void **item)
{
    return pop(q, item, NULL, true);
}

rq_status rq_queue_pop_timed(rq_queue *q, void **item, unsigned timeout_ms)
{
    const uint64_t at = rq_clock_ns() + (uint64_t)timeout_ms * 1000000u;
    const struct timespec deadline = {(time_t)(at / 1000000000u), (long)(at % 1000000000u)};
    return pop(q, item, &deadline, timeout_ms > 0);
}

void rq_queue_close(rq_queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->has_item);
    pthread_cond_broadcast(&q->has_room);
    pthread_mutex_unlock(&q->lock);
}

void rq_queue_cancel(rq_queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->cancelled = true;
    pthread_cond_broadcast(&q->has_item);
    pthread_cond_broadcast(&q->has_room);
    pthread_mutex_unlock(&q->lock);
}

rq_queue_stats rq_queue_get_stats(rq_queue *q)
{
    pthread_mutex_lock(&q->lock);
    const rq_queue_stats stats = q->stats;
    pthread_mutex_unlock(&q->lock);
    return stats;
}
