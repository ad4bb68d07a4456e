// SPDX-License-Identifier: Apache-2.0
//
// The bounded queue: order, limits, ends, and many threads at once (run under the thread
// sanitizer). No test depends on how long anything takes; waiting is made certain by state.
#include "tests/unit/test.h"

#include "common/mem.h"
#include "common/queue.h"

#include <pthread.h>

static rq_queue *make(size_t capacity, size_t max_bytes)
{
    rq_err err = {0};
    rq_queue *q;
    assert_ok(rq_queue_create(&q, capacity, max_bytes, &err), &err);
    return q;
}

static void *as_item(uintptr_t n)
{
    return (void *)n;
}

static void items_leave_in_the_order_they_came(void **state)
{
    rq_queue *q = make(3, 0);
    void *item;
    uintptr_t next_in = 1, next_out = 1;
    for (int round = 0; round < 50; round++) { /* wraps round the ring */
        for (int i = 0; i < 1 + round % 3; i++)
            assert_status(rq_queue_push(q, as_item(next_in++), 1), RQ_OK);
        while (next_out < next_in) {
            assert_status(rq_queue_pop(q, &item), RQ_OK);
            assert_ptr_equal(item, as_item(next_out++));
        }
    }
    const rq_queue_stats stats = rq_queue_get_stats(q);
    assert_int_equal(stats.pushed, next_in - 1);
    assert_int_equal(stats.popped, next_in - 1);
    assert_int_equal(stats.full_wait_ns + stats.empty_wait_ns, 0);
    rq_queue_destroy(&q);
    assert_null(q);
    rq_queue_destroy(&q);
}

static void pop_timed_says_again(void **state)
{
    rq_queue *q = make(1, 0);
    void *item = q;
    assert_status(rq_queue_pop_timed(q, &item, 0), RQ_AGAIN);
    assert_null(item);
    assert_status(rq_queue_pop_timed(q, &item, 5), RQ_AGAIN);
    assert_true(rq_queue_get_stats(q).empty_wait_ns >= 5000000);
    assert_status(rq_queue_push(q, as_item(9), 0), RQ_OK);
    assert_status(rq_queue_pop_timed(q, &item, 0), RQ_OK);
    assert_ptr_equal(item, as_item(9));
    rq_queue_destroy(&q);
}

static void close_drains_then_ends(void **state)
{
    rq_queue *q = make(4, 0);
    void *item;
    assert_status(rq_queue_push(q, as_item(1), 0), RQ_OK);
    assert_status(rq_queue_push(q, as_item(2), 0), RQ_OK);
    rq_queue_close(q);
    assert_status(rq_queue_push(q, as_item(3), 0), RQ_INVALID_ARG);
    assert_status(rq_queue_pop(q, &item), RQ_OK);
    assert_status(rq_queue_pop_timed(q, &item, 1000), RQ_OK);
    assert_ptr_equal(item, as_item(2));
    assert_status(rq_queue_pop(q, &item), RQ_END);
    assert_status(rq_queue_pop_timed(q, &item, 1000000), RQ_END);
    rq_queue_destroy(&q);
}

static void cancel_comes_before_everything(void **state)
{
    rq_queue *q = make(4, 0);
    void *item;
    assert_status(rq_queue_push(q, as_item(1), 0), RQ_OK);
    rq_queue_close(q);
    rq_queue_cancel(q);
    assert_status(rq_queue_pop(q, &item), RQ_CANCELLED);
    assert_status(rq_queue_pop_timed(q, &item, 1000000), RQ_CANCELLED);
    assert_status(rq_queue_push(q, as_item(2), 0), RQ_CANCELLED);
    rq_queue_destroy(&q);
}

typedef struct pusher {
    rq_queue *q;
    size_t bytes;
    rq_status status;
} pusher;

static void *push_one(void *arg)
{
    pusher *p = arg;
    p->status = rq_queue_push(p->q, as_item(77), p->bytes);
    return NULL;
}

static void *pop_one(void *arg)
{
    pusher *p = arg;
    void *item;
    p->status = rq_queue_pop(p->q, &item);
    return NULL;
}

/* True when a push of `bytes` has to wait. It gets time to do otherwise; a queue that is right
 * passes however long that is. Cancelling ends the wait. */
static bool push_waits(rq_queue *q, size_t bytes)
{
    pusher p = {q, bytes, RQ_OK};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, push_one, &p), 0);
    usleep(20000);
    rq_queue_cancel(q);
    pthread_join(thread, NULL);
    return p.status == RQ_CANCELLED;
}

static void byte_limit(void **state)
{
    rq_queue *q = make(100, 10);
    void *item;
    /* An item heavier than the limit enters an empty queue, and nothing joins it. */
    assert_status(rq_queue_push(q, as_item(1), 1000), RQ_OK);
    assert_status(rq_queue_pop(q, &item), RQ_OK);
    assert_status(rq_queue_push(q, as_item(1), 6), RQ_OK);
    assert_status(rq_queue_push(q, as_item(2), 4), RQ_OK);
    assert_true(push_waits(q, 1));
    rq_queue_destroy(&q);
    q = make(100, 10);
    assert_status(rq_queue_push(q, as_item(1), 9), RQ_OK);
    assert_true(push_waits(q, SIZE_MAX));
    rq_queue_destroy(&q);
}

static void item_limit(void **state)
{
    rq_queue *q = make(2, 0);
    assert_status(rq_queue_push(q, as_item(1), SIZE_MAX), RQ_OK);
    assert_status(rq_queue_push(q, as_item(2), 0), RQ_OK);
    assert_true(push_waits(q, 0));
    rq_queue_destroy(&q);
}

/* Whoever waits when the end comes wakes up with it. */
static void ends_wake_everybody(void **state)
{
    enum { N = 6 };
    for (int cancel = 0; cancel < 2; cancel++) {
        for (int popping = 0; popping < 2; popping++) {
            rq_queue *q = make(1, 0);
            pusher p[N];
            pthread_t threads[N];
            if (!popping)
                assert_status(rq_queue_push(q, as_item(1), 0), RQ_OK);
            for (int i = 0; i < N; i++) {
                p[i] = (pusher){q, 0, RQ_OK};
                assert_int_equal(
                    pthread_create(&threads[i], NULL, popping ? pop_one : push_one, &p[i]), 0);
            }
            if (cancel)
                rq_queue_cancel(q);
            else
                rq_queue_close(q);
            for (int i = 0; i < N; i++) {
                pthread_join(threads[i], NULL);
                assert_status(p[i].status, cancel    ? RQ_CANCELLED
                                           : popping ? RQ_END
                                                     : RQ_INVALID_ARG);
            }
            rq_queue_destroy(&q);
        }
    }
}

enum { PRODUCERS = 5, CONSUMERS = 4, ITEMS = 4000 };

typedef struct traffic {
    rq_queue *q;
    unsigned producer;
    uint64_t sum, count, last[PRODUCERS];
    bool ordered;
} traffic;

static void *produce(void *arg)
{
    traffic *t = arg;
    for (uintptr_t i = 1; i <= ITEMS; i++) {
        if (rq_queue_push(t->q, as_item(i * PRODUCERS + t->producer), i % 7) != RQ_OK)
            break;
        t->count++;
    }
    return NULL;
}

static void *consume(void *arg)
{
    traffic *t = arg;
    void *item;
    t->ordered = true;
    while (rq_queue_pop(t->q, &item) == RQ_OK) {
        const uint64_t n = (uintptr_t)item;
        t->ordered &= n > t->last[n % PRODUCERS];
        t->last[n % PRODUCERS] = n;
        t->sum += n;
        t->count++;
    }
    return NULL;
}

static void nothing_is_lost_or_doubled_among_threads(void **state)
{
    static const struct {
        size_t capacity, max_bytes;
    } limits[] = {{1, 0}, {8, 0}, {64, 5}};
    for (size_t k = 0; k < sizeof limits / sizeof *limits; k++) {
        rq_queue *q = make(limits[k].capacity, limits[k].max_bytes);
        traffic in[PRODUCERS] = {0}, out[CONSUMERS] = {0};
        pthread_t producers[PRODUCERS], consumers[CONSUMERS];
        for (unsigned i = 0; i < CONSUMERS; i++) {
            out[i].q = q;
            assert_int_equal(pthread_create(&consumers[i], NULL, consume, &out[i]), 0);
        }
        for (unsigned i = 0; i < PRODUCERS; i++) {
            in[i] = (traffic){.q = q, .producer = i};
            assert_int_equal(pthread_create(&producers[i], NULL, produce, &in[i]), 0);
        }
        for (int i = 0; i < PRODUCERS; i++)
            pthread_join(producers[i], NULL);
        rq_queue_close(q);
        uint64_t sum = 0, count = 0, expected = 0;
        for (int i = 0; i < CONSUMERS; i++) {
            pthread_join(consumers[i], NULL);
            assert_true(out[i].ordered);
            sum += out[i].sum;
            count += out[i].count;
        }
        for (uint64_t i = 1; i <= ITEMS; i++)
            expected += i * PRODUCERS * PRODUCERS + PRODUCERS * (PRODUCERS - 1) / 2;
        assert_int_equal(count, PRODUCERS * ITEMS);
        assert_int_equal(sum, expected);
        const rq_queue_stats stats = rq_queue_get_stats(q);
        assert_int_equal(stats.pushed, count);
        assert_int_equal(stats.popped, count);
        rq_queue_destroy(&q);
    }
}

static void creation_is_checked(void **state)
{
    rq_err err = {0};
    rq_queue *q = (rq_queue *)&err;
    assert_status(rq_queue_create(&q, 0, 0, &err), RQ_INVALID_ARG);
    assert_null(q);
    assert_status(rq_queue_create(&q, SIZE_MAX / 2, 0, NULL), RQ_OOM);
    for (long n = 1; n <= 2; n++) {
        rq_mem_fail_nth(n);
        assert_status(rq_queue_create(&q, 4, 0, NULL), RQ_OOM);
        assert_null(q);
    }
    rq_mem_fail_nth(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_leave_in_the_order_they_came),
        cmocka_unit_test(pop_timed_says_again),
        cmocka_unit_test(close_drains_then_ends),
        cmocka_unit_test(cancel_comes_before_everything),
        cmocka_unit_test(byte_limit),
        cmocka_unit_test(item_limit),
        cmocka_unit_test(ends_wake_everybody),
        cmocka_unit_test(nothing_is_lost_or_doubled_among_threads),
        cmocka_unit_test(creation_is_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
