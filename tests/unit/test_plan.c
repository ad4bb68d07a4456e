// SPDX-License-Identifier: Apache-2.0
//
// The memory planner: placements by hand, random intervals never overlap, and the arenas of
// real networks come within 5 % of the lower bound. Only shapes: nothing is run.
#include "common/mem.h"
#include "common/rng.h"
#include "train/graph.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void check_disjoint(const rq_interval *v, size_t n, size_t arena)
{
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(v[i].offset % RQ_PLAN_ALIGN, 0);
        assert_true(v[i].offset + v[i].bytes <= arena);
        for (size_t j = 0; j < i; j++) {
            const bool together = v[i].first <= v[j].last && v[j].first <= v[i].last;
            const bool apart = v[i].offset + v[i].bytes <= v[j].offset ||
                               v[j].offset + v[j].bytes <= v[i].offset;
            assert_true(!together || apart);
        }
    }
}

static void chain_reuses_memory(void **state)
{
    rq_interval v[] = {{.bytes = 1000, .first = 0, .last = 1},
                       {.bytes = 1000, .first = 1, .last = 2},
                       {.bytes = 1000, .first = 2, .last = 3},
                       {.bytes = 1, .first = 0, .last = 3}};
    size_t arena, live;

    assert_int_equal(rq_plan(v, 4, &arena, &live, NULL), RQ_OK);
    assert_int_equal(live, 2 * 1024 + 256);
    assert_int_equal(arena, live);
    check_disjoint(v, 4, arena);
}

static void random_intervals_never_collide(void **state)
{
    enum { N = 60 };
    rq_rng r = rq_rng_make(4, 0, 0, 0, 0);

    for (int round = 0; round < 100; round++) {
        rq_interval v[N];
        size_t arena, live;
        for (int i = 0; i < N; i++) {
            const int first = (int)rq_rng_below(&r, 40);
            v[i] = (rq_interval){.bytes = rq_rng_below(&r, 100000),
                                 .first = first,
                                 .last = first + (int)rq_rng_below(&r, 10)};
        }
        assert_int_equal(rq_plan(v, N, &arena, &live, NULL), RQ_OK);
        assert_true(live <= arena);
        check_disjoint(v, N, arena);
    }
}

static void sizes_that_overflow_are_refused(void **state)
{
    rq_interval v[] = {{.bytes = SIZE_MAX / 2, .last = 1},
                       {.bytes = SIZE_MAX / 2, .last = 1},
                       {.bytes = 1000, .last = 1}};
    rq_interval one = {.bytes = SIZE_MAX - 3, .last = 1};
    size_t arena, live;

    assert_int_equal(rq_plan(v, 3, &arena, &live, NULL), RQ_LIMIT);
    assert_int_equal(rq_plan(&one, 1, &arena, &live, NULL), RQ_LIMIT);
}

static void failing_memory_is_reported(void **state)
{
    rq_interval v[] = {{.bytes = 1000, .last = 1}};
    size_t arena, live;

    rq_mem_fail_nth(1);
    assert_int_equal(rq_plan(v, 1, &arena, &live, NULL), RQ_OOM);
    rq_mem_fail_nth(0);
}

/* Builds the graph of a network; checks the plan against the bound, returns arena bytes. */
static size_t plan_of(rq_arch arch, rq_stem stem, int width, const rq_net_opts *no,
                      rq_precision precision)
{
    rq_model_opts mo;
    rq_model *m;
    rq_graph g;

    rq_model_opts_default(&mo);
    mo.arch = arch;
    mo.stem = stem;
    mo.base_width = width;
    assert_int_equal(rq_model_create(&m, &mo, NULL), RQ_OK);
    assert_int_equal(rq_graph_build(&g, m, no, precision, NULL), RQ_OK);
    check_disjoint(g.bufs + RQ_BUF_PLANNED, g.n_bufs - RQ_BUF_PLANNED, g.arena_bytes);
    assert_true((double)g.arena_bytes <= 1.05 * (double)g.live_bytes);
    const size_t bytes = g.arena_bytes;
    rq_graph_free(&g);
    rq_model_destroy(&m);
    return bytes;
}

static void networks_are_near_the_bound(void **state)
{
    const rq_net_opts train = {RQ_NET_TRAIN, RQ_PART_PREDICTOR, 64, 4, 224, false};
    const rq_net_opts small = {RQ_NET_TRAIN, RQ_PART_PREDICTOR, 64, 2, 96, false};
    const rq_net_opts target = {RQ_NET_FORWARD, RQ_PART_PROJECTOR, 64, 4, 224, false};
    const rq_net_opts cifar = {RQ_NET_TRAIN, RQ_PART_PREDICTOR, 128, 4, 32, false};

    const size_t r50 = plan_of(RQ_RESNET50, RQ_STEM_IMAGENET, 64, &train, RQ_BF16);
    plan_of(RQ_RESNET50, RQ_STEM_IMAGENET, 64, &train, RQ_F32);
    plan_of(RQ_RESNET50, RQ_STEM_IMAGENET, 64, &small, RQ_BF16);
    const size_t forward = plan_of(RQ_RESNET50, RQ_STEM_IMAGENET, 64, &target, RQ_BF16);
    plan_of(RQ_RESNET200, RQ_STEM_IMAGENET, 128, &train, RQ_BF16);
    plan_of(RQ_RESNET200, RQ_STEM_IMAGENET, 128, &target, RQ_F32);
    plan_of(RQ_RESNET18, RQ_STEM_CIFAR, 16, &cifar, RQ_BF16);
    /* A forward keeps a few layers. Training keeps input and output of each BatchNorm, 11.1
     * million numbers each at 224 pixels, but not the outputs of the shortcuts' (7 %). */
    const double saved = 256.0 * 2 * 2 * 11.1e6 * 0.93;
    assert_true(forward * 10 < r50);
    assert_true((double)r50 > 0.97 * saved && (double)r50 < 1.05 * saved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chain_reuses_memory),
        cmocka_unit_test(random_intervals_never_collide),
        cmocka_unit_test(sizes_that_overflow_are_refused),
        cmocka_unit_test(failing_memory_is_reported),
        cmocka_unit_test(networks_are_near_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
