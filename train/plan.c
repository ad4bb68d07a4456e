// SPDX-License-Identifier: Apache-2.0
//
// Greedy best fit on intervals. Placing by size alone leaves holes under long-lived buffers, so
// two orders are tried (by size; by lifetime, then size) and the smaller arena is kept.
#include "train/plan.h"

#include "common/mem.h"

#include <stdint.h>
#include <stdlib.h>

static size_t aligned(size_t bytes)
{
    return rq_round_up(bytes, RQ_PLAN_ALIGN);
}

static bool overlap(const rq_interval *a, const rq_interval *b)
{
    return a->first <= b->last && b->first <= a->last;
}

static int by_size(const void *pa, const void *pb)
{
    const rq_interval *a = *(rq_interval *const *)pa, *b = *(rq_interval *const *)pb;

    if (a->bytes != b->bytes)
        return a->bytes < b->bytes ? 1 : -1;
    return a < b ? -1 : 1;
}

static int by_lifetime(const void *pa, const void *pb)
{
    const rq_interval *a = *(rq_interval *const *)pa, *b = *(rq_interval *const *)pb;
    const int la = a->last - a->first, lb = b->last - b->first;

    if (la != lb)
        return la < lb ? 1 : -1;
    return by_size(pa, pb);
}

static int by_offset(const void *pa, const void *pb)
{
    const rq_interval *a = *(rq_interval *const *)pa, *b = *(rq_interval *const *)pb;

    if (a->offset != b->offset)
        return a->offset < b->offset ? -1 : 1;
    return a < b ? -1 : 1;
}

/* The smallest gap that fits v between its neighbours, sorted by offset. */
static size_t best_fit(const rq_interval *v, rq_interval **near, size_t n)
{
    const size_t need = aligned(v->bytes);
    size_t end = 0, best = 0, best_gap = SIZE_MAX;

    for (size_t i = 0; i < n; i++) {
        const size_t start = near[i]->offset;
        if (start > end && start - end >= need && start - end < best_gap) {
            best_gap = start - end;
            best = end;
        }
        const size_t stop = start + aligned(near[i]->bytes);
        if (stop > end)
            end = stop;
    }
    return best_gap != SIZE_MAX ? best : end;
}

/* Places in the given order; returns the size of the arena. near has room for n. */
static size_t place(rq_interval **order, size_t n, rq_interval **near)
{
    size_t arena = 0;

    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        for (size_t j = 0; j < i; j++) {
            if (overlap(order[i], order[j]))
                near[k++] = order[j];
        }
        qsort(near, k, sizeof(rq_interval *), by_offset);
        order[i]->offset = best_fit(order[i], near, k);
        const size_t stop = order[i]->offset + aligned(order[i]->bytes);
        if (stop > arena)
            arena = stop;
    }
    return arena;
}

/* Most bytes alive at one step. It can only rise where a buffer begins. */
static size_t live_bound(const rq_interval *v, size_t n)
{
    size_t most = 0;

    for (size_t i = 0; i < n; i++) {
        size_t sum = 0;
        for (size_t j = 0; j < n; j++) {
            if (v[j].first <= v[i].first && v[i].first <= v[j].last)
                sum += aligned(v[j].bytes);
        }
        if (sum > most)
            most = sum;
    }
    return most;
}

static rq_status check_total(const rq_interval *v, size_t n, rq_err *err)
{
    size_t total = 0;

    for (size_t i = 0; i < n; i++) {
        if (v[i].bytes > SIZE_MAX - RQ_PLAN_ALIGN ||
            !rq_add_size(&total, total, aligned(v[i].bytes)))
            return rq_fail(err, RQ_LIMIT,
                           "memory plan: the buffers do not fit in memory; use "
                           "a smaller batch");
    }
    return RQ_OK;
}

rq_status rq_plan(rq_interval *v, size_t n, size_t *arena_bytes, size_t *live_bytes,
                  rq_err *err)
{
    static int (*const orders[])(const void *, const void *) = {by_lifetime, by_size};

    RQ_TRY(check_total(v, n, err));
    rq_interval **order = rq_alloc(2 * n, sizeof *order);
    if (!order)
        return rq_fail(err, RQ_OOM, "memory plan: out of memory");
    size_t sizes[2], best = 0;
    for (size_t i = 0; i < n; i++)
        order[i] = &v[i];
    for (size_t k = 0; k < 2; k++) {
        qsort(order, n, sizeof(rq_interval *), orders[k]);
        sizes[k] = place(order, n, order + n);
        if (sizes[k] < sizes[best])
            best = k;
    }
    if (best == 0) {
        qsort(order, n, sizeof(rq_interval *), orders[0]);
        sizes[0] = place(order, n, order + n);
    }
    *arena_bytes = sizes[best];
    *live_bytes = live_bound(v, n);
    rq_free(order);
    return RQ_OK;
}
