// SPDX-License-Identifier: Apache-2.0
//
// Worker threads. Every thread of the project starts here: named, with signals blocked (they
// are the main thread's business) and a stack of known size. Indices are handed out under one
// lock; work items are images or rows of images, so the lock is never contended for long.
#include "common/pool.h"

#include "common/mem.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { STACK_BYTES = 1 << 20, NAME_BYTES = 16 };

struct rq_thread {
    pthread_t id;
    char name[NAME_BYTES];
    void (*fn)(void *);
    void *ctx;
};

static void *thread_main(void *arg)
{
    rq_thread *t = arg;
    pthread_setname_np(pthread_self(), t->name);
    t->fn(t->ctx);
    return NULL;
}

/* A thread inherits the mask of its maker, so the mask is set around its making. */
static int create_thread(rq_thread *t)
{
    pthread_attr_t attr;
    sigset_t all, before;
    int rc = pthread_attr_init(&attr);
    if (rc != 0)
        return rc;
    rc = pthread_attr_setstacksize(&attr, STACK_BYTES);
    if (rc == 0) {
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        rc = pthread_create(&t->id, &attr, thread_main, t);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    pthread_attr_destroy(&attr);
    return rc;
}

rq_status rq_thread_start(rq_thread **out, const char *name, void (*fn)(void *), void *ctx,
                          rq_err *err)
{
    *out = NULL;
    rq_thread *t = rq_calloc(1, sizeof *t);
    if (t == NULL)
        return rq_fail(err, RQ_OOM, "out of memory for the thread %s", name);
    snprintf(t->name, sizeof t->name, "rq-%s", name);
    t->fn = fn;
    t->ctx = ctx;
    const int rc = create_thread(t);
    if (rc != 0) {
        char reason[128];
        rq_free(t);
        return rq_fail(err, RQ_OOM, "cannot start the thread rq-%s: %s; use fewer threads",
                       name, strerror_r(rc, reason, sizeof reason));
    }
    *out = t;
    return RQ_OK;
}

void rq_thread_join(rq_thread **thread)
{
    if (*thread == NULL)
        return;
    pthread_join((*thread)->id, NULL);
    rq_free(*thread);
    *thread = NULL;
}

int rq_cpu_count(void)
{
    /* A set for 8192 CPUs; sched_getaffinity fails when the machine has more. */
    enum { MAX_CPUS = 8192 };
    cpu_set_t set[MAX_CPUS / CPU_SETSIZE];
    if (sched_getaffinity(0, sizeof set, set) == 0) {
        const int n = CPU_COUNT_S(sizeof set, set);
        return n > 0 ? n : 1;
    }
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 && n < MAX_CPUS * 8 ? (int)n : 1;
}

typedef struct worker {
    rq_pool *pool;
    int index;
    rq_thread *thread;
} worker;

struct rq_pool {
    pthread_mutex_t lock;
    pthread_cond_t has_work, all_done;
    worker *workers;
    int n_workers;
    bool quit;
    /* The range in progress. */
    rq_pool_fn fn;
    void *ctx;
    size_t next, n;
    int busy; /* workers inside fn */
    rq_status status;
    rq_err err; /* of the first failure */
};

static void note_failure(rq_pool *pool, rq_status status, const rq_err *err)
{
    if (pool->status != RQ_OK)
        return;
    pool->status = status;
    pool->err = *err;
    pool->next = pool->n;
}

static void worker_main(void *arg)
{
    worker *w = arg;
    rq_pool *pool = w->pool;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (!pool->quit && pool->next >= pool->n)
            pthread_cond_wait(&pool->has_work, &pool->lock);
        if (pool->quit)
            break;
        const size_t index = pool->next++;
        pool->busy++;
        pthread_mutex_unlock(&pool->lock);
        rq_err err = {0};
        const rq_status status = pool->fn(pool->ctx, index, w->index, &err);
        pthread_mutex_lock(&pool->lock);
        pool->busy--;
        if (status != RQ_OK)
            note_failure(pool, status, &err);
        if (pool->busy == 0 && pool->next >= pool->n)
            pthread_cond_signal(&pool->all_done);
    }
    pthread_mutex_unlock(&pool->lock);
}

static rq_status start_workers(rq_pool *pool, int threads, const char *name, rq_err *err)
{
    for (int i = 0; i < threads; i++) {
        char thread_name[2 * NAME_BYTES];
        snprintf(thread_name, sizeof thread_name, "%.9s-%02d", name, i);
        pool->workers[i] = (worker){pool, i, NULL};
        RQ_TRY(rq_thread_start(&pool->workers[i].thread, thread_name, worker_main,
                               &pool->workers[i], err));
        pool->n_workers++;
    }
    return RQ_OK;
}

rq_status rq_pool_create(rq_pool **out, int threads, const char *name, rq_err *err)
{
    *out = NULL;
    if (threads < 0)
        return rq_fail(err, RQ_INVALID_ARG, "%d threads cannot be; use 0 for one per CPU",
                       threads);
    if (threads == 0)
        threads = rq_cpu_count();
    rq_pool *pool = rq_calloc(1, sizeof *pool);
    worker *workers = rq_calloc((size_t)threads, sizeof *workers);
    if (pool == NULL || workers == NULL) {
        rq_free(workers);
        rq_free(pool);
        return rq_fail(err, RQ_OOM, "out of memory for %d threads", threads);
    }
    /* Default mutexes and conditions cannot fail to initialise on Linux. */
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->has_work, NULL);
    pthread_cond_init(&pool->all_done, NULL);
    pool->workers = workers;
    const rq_status status = start_workers(pool, threads, name, err);
    if (status != RQ_OK)
        rq_pool_destroy(&pool);
    *out = pool;
    return status;
}

void rq_pool_destroy(rq_pool **pool)
{
    rq_pool *p = *pool;
    if (p == NULL)
        return;
    pthread_mutex_lock(&p->lock);
    p->quit = true;
    pthread_cond_broadcast(&p->has_work);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->n_workers; i++)
        rq_thread_join(&p->workers[i].thread);
    pthread_cond_destroy(&p->all_done);
    pthread_cond_destroy(&p->has_work);
    pthread_mutex_destroy(&p->lock);
    rq_free(p->workers);
    rq_free(p);
    *pool = NULL;
}

int rq_pool_threads(const rq_pool *pool)
{
    return pool->n_workers;
}

rq_status rq_pool_for(rq_pool *pool, size_t n, rq_pool_fn fn, void *ctx, rq_err *err)
{
    if (n == 0)
        return RQ_OK;
    pthread_mutex_lock(&pool->lock);
    pool->fn = fn;
    pool->ctx = ctx;
    pool->status = RQ_OK;
    pool->next = 0;
    pool->n = n;
    pthread_cond_broadcast(&pool->has_work);
    while (pool->next < pool->n || pool->busy > 0)
        pthread_cond_wait(&pool->all_done, &pool->lock);
    pool->next = pool->n = 0;
    const rq_status status = pool->status;
    if (status != RQ_OK && err != NULL && err->status == RQ_OK)
        *err = pool->err;
    pthread_mutex_unlock(&pool->lock);
    return status;
}
