// SPDX-License-Identifier: Apache-2.0
//
// The pool: every index once, failures that stop it and are reported, threads that are named
// and leave signals alone. Run under the thread sanitizer too.
#include "tests/unit/test.h"

#include "common/mem.h"
#include "common/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>

enum { N = 5000 };

typedef struct work {
    atomic_int calls[N];
    atomic_int bad_worker, max_index;
    int threads, fail_from;
} work;

static rq_pool *make(int threads)
{
    rq_err err = {0};
    rq_pool *pool;
    assert_ok(rq_pool_create(&pool, threads, "test", &err), &err);
    return pool;
}

static rq_status count(void *ctx, size_t index, int worker, rq_err *err)
{
    work *w = ctx;
    atomic_fetch_add(&w->calls[index], 1);
    if (worker < 0 || worker >= w->threads)
        atomic_store(&w->bad_worker, 1);
    return RQ_OK;
}

static void every_index_once(void **state)
{
    static const int threads[] = {1, 2, 3, 7};
    static const size_t sizes[] = {0, 1, 2, 100, N};
    work *w = malloc(sizeof *w);
    assert_non_null(w);
    for (int t = 0; t < 4; t++) {
        rq_pool *pool = make(threads[t]);
        assert_int_equal(rq_pool_threads(pool), threads[t]);
        for (int s = 0; s < 5; s++) { /* the same pool again and again */
            memset(w, 0, sizeof *w);
            w->threads = threads[t];
            rq_err err = {0};
            assert_ok(rq_pool_for(pool, sizes[s], count, w, &err), &err);
            for (size_t i = 0; i < N; i++)
                assert_int_equal(atomic_load(&w->calls[i]), i < sizes[s]);
            assert_int_equal(atomic_load(&w->bad_worker), 0);
        }
        rq_pool_destroy(&pool);
        assert_null(pool);
    }
    free(w);
}

static rq_status finish_late(void *ctx, size_t index, int worker, rq_err *err)
{
    usleep(2000);
    atomic_fetch_add(&((work *)ctx)->calls[index], 1);
    return RQ_OK;
}

static void all_work_is_over_on_return(void **state)
{
    work *w = calloc(1, sizeof *w);
    assert_non_null(w);
    rq_pool *pool = make(4);
    rq_err err = {0};
    assert_ok(rq_pool_for(pool, 9, finish_late, w, &err), &err);
    for (int i = 0; i < 9; i++)
        assert_int_equal(atomic_load(&w->calls[i]), 1);
    rq_pool_destroy(&pool);
    free(w);
}

static rq_status fail_late(void *ctx, size_t index, int worker, rq_err *err)
{
    work *w = ctx;
    int seen = atomic_load(&w->max_index);
    while ((int)index > seen && !atomic_compare_exchange_weak(&w->max_index, &seen, (int)index))
        ;
    if ((int)index >= w->fail_from)
        return rq_fail(err, RQ_BAD_FORMAT, "index %zu", index);
    return RQ_OK;
}

static void the_first_failure_stops_and_is_reported(void **state)
{
    work *w = calloc(1, sizeof *w);
    assert_non_null(w);
    rq_pool *pool = make(4);
    for (int from = 0; from < 40; from += 13) {
        rq_err err = {0};
        w->fail_from = from;
        atomic_store(&w->max_index, -1);
        assert_status(rq_pool_for(pool, N, fail_late, w, &err), RQ_BAD_FORMAT);
        assert_status(err.status, RQ_BAD_FORMAT);
        assert_int_equal(strncmp(err.text, "index ", 6), 0);
        /* Handed out in order: at most one index in flight per other worker went beyond. */
        assert_true(atoi(err.text + 6) >= from);
        assert_true(atomic_load(&w->max_index) < from + 4);
        assert_status(rq_pool_for(pool, N, fail_late, w, NULL), RQ_BAD_FORMAT);
    }
    rq_err err = {0};
    w->fail_from = N; /* the pool is as good as new */
    assert_ok(rq_pool_for(pool, N, fail_late, w, &err), &err);
    rq_pool_destroy(&pool);
    free(w);
}

static rq_status look_around(void *ctx, size_t index, int worker, rq_err *err)
{
    char name[32] = "", expected[32];
    sigset_t blocked;
    pthread_attr_t attr;
    size_t stack = 0;
    pthread_getname_np(pthread_self(), name, sizeof name);
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    snprintf(expected, sizeof expected, "rq-test-%02d", worker);
    if (strcmp(name, expected) != 0)
        return rq_fail(err, RQ_INTERNAL, "name %s", name);
    if (!sigismember(&blocked, SIGINT) || !sigismember(&blocked, SIGTERM) ||
        !sigismember(&blocked, SIGUSR1))
        return rq_fail(err, RQ_INTERNAL, "signals are not blocked");
    if (pthread_getattr_np(pthread_self(), &attr) != 0)
        return rq_fail(err, RQ_INTERNAL, "no attributes");
    pthread_attr_getstacksize(&attr, &stack);
    pthread_attr_destroy(&attr);
    if (stack < 1 << 20)
        return rq_fail(err, RQ_INTERNAL, "stack of %zu bytes", stack);
    return RQ_OK;
}

static void threads_are_named_and_quiet(void **state)
{
    sigset_t before, after;
    pthread_sigmask(SIG_BLOCK, NULL, &before);
    rq_pool *pool = make(3);
    rq_err err = {0};
    assert_ok(rq_pool_for(pool, 50, look_around, NULL, &err), &err);
    rq_pool_destroy(&pool);
    pthread_sigmask(SIG_BLOCK, NULL, &after);
    assert_int_equal(sigismember(&after, SIGINT), sigismember(&before, SIGINT));
}

static void set_flag(void *ctx)
{
    char name[32];
    pthread_getname_np(pthread_self(), name, sizeof name);
    *(bool *)ctx = strcmp(name, "rq-a-very-long-") == 0;
}

static void single_threads(void **state)
{
    rq_err err = {0};
    rq_thread *thread;
    bool ran = false;
    assert_ok(rq_thread_start(&thread, "a-very-long-name", set_flag, &ran, &err), &err);
    rq_thread_join(&thread);
    assert_null(thread);
    assert_true(ran);
    rq_thread_join(&thread);
}

static void cpu_count_follows_the_affinity(void **state)
{
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    assert_int_equal(rq_cpu_count(), CPU_COUNT(&before));
    size_t first = 0;
    while (!CPU_ISSET(first, &before))
        first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(rq_cpu_count(), 1);
    rq_pool *pool = make(0);
    assert_int_equal(rq_pool_threads(pool), 1);
    rq_pool_destroy(&pool);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

static void creation_is_checked(void **state)
{
    rq_err err = {0};
    rq_pool *pool = (rq_pool *)&err;
    assert_status(rq_pool_create(&pool, -1, "test", &err), RQ_INVALID_ARG);
    assert_null(pool);
    for (long n = 1; n <= 5; n++) { /* pool, table, three threads */
        rq_mem_fail_nth(n);
        assert_status(rq_pool_create(&pool, 3, "test", NULL), RQ_OOM);
        assert_null(pool);
    }
    rq_mem_fail_nth(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_index_once),
        cmocka_unit_test(all_work_is_over_on_return),
        cmocka_unit_test(the_first_failure_stops_and_is_reported),
        cmocka_unit_test(threads_are_named_and_quiet),
        cmocka_unit_test(single_threads),
        cmocka_unit_test(cpu_count_follows_the_affinity),
        cmocka_unit_test(creation_is_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
