// SPDX-License-Identifier: Apache-2.0
//
// The linear probe: its gradient by central differences, its update against the definition, and
// that it separates what is separable.
#include "tests/unit/test.h"

#include "common/rng.h"
#include "train/probe.h"

#include <math.h>
#include <omp.h>

enum { WIDTH = 11, CLASSES = 4 };

static rq_features blobs(size_t n, uint64_t seed, float apart)
{
    rq_features f = {.rows = malloc(n * WIDTH * sizeof(float)),
                     .labels = malloc(n * sizeof(int32_t)),
                     .count = n,
                     .width = WIDTH};
    rq_rng r = rq_rng_make(seed, 0, 0, 0, 0);
    for (size_t i = 0; i < n; i++) {
        f.labels[i] = (int32_t)(i % CLASSES);
        for (int k = 0; k < WIDTH; k++)
            f.rows[i * WIDTH + (size_t)k] =
                rq_rng_range(&r, -1, 1) + (k == f.labels[i] ? apart : 0);
    }
    return f;
}

static void free_blobs(rq_features *f)
{
    free(f->rows);
    free(f->labels);
}

/* Weights start at zero: the first loss is ln classes, and one step moves the bias of class c
 * by lr (1 + mu) (share of c - 1 / classes). The second loss follows from the definition. */
static void test_first_steps(void **state)
{
    const rq_linear_probe_opts o = {.lr = 256, .momentum = .5f, .batch = 1, .epochs = 1};
    float row[2] = {0, 0}; /* only the bias learns */
    int32_t label = 1;
    rq_linear_probe *p = NULL;
    rq_err err = {0};
    double loss;
    assert_ok(rq_linear_probe_create(&p, &o, 2, 2, 1000000, &err), &err);
    assert_ok(rq_linear_probe_step(p, row, &label, 1, &loss, &err), &err);
    assert_true(fabs(loss - log(2)) < 1e-12);
    /* g = +-1/2, v = g, w = -lr (g + mu v) = -+ 0.75; scores differ by 1.5. */
    assert_ok(rq_linear_probe_step(p, row, &label, 1, &loss, &err), &err);
    assert_true(fabs(loss - log1p(exp(-1.5))) < 1e-6);
    /* g2 = sigmoid(-1.5), v2 = .5 * .5 + g2, w2 = .75 + g2 + .5 v2. */
    const double g2 = 1 / (1 + exp(1.5)), w2 = .75 + g2 + .5 * (.25 + g2);
    assert_ok(rq_linear_probe_step(p, row, &label, 1, &loss, &err), &err);
    assert_true(fabs(loss - log1p(exp(-2 * w2))) < 1e-5);
    rq_linear_probe_destroy(&p);
}

static void test_separates(void **state)
{
    rq_features train = blobs(1000, 1, 2.5f), val = blobs(400, 2, 2.5f);
    rq_linear_probe_opts o;
    rq_linear_probe_opts_default(&o);
    o.batch = 64;
    o.epochs = 30;
    rq_linear_probe *p = NULL;
    rq_err err = {0};
    double loss, top1, top5;
    assert_ok(
        rq_linear_probe_create(&p, &o, WIDTH, CLASSES, rq_linear_probe_steps(&o, 1000), &err),
        &err);
    assert_ok(rq_linear_probe_evaluate(p, &val, &top1, &top5, &err), &err);
    assert_true(top1 == .25); /* equal scores: the lowest class */
    assert_ok(rq_linear_probe_train(p, &train, &loss, &err), &err);
    assert_ok(rq_linear_probe_evaluate(p, &val, &top1, &top5, &err), &err);
    assert_true(top1 > .95);
    assert_true(top5 == 1);
    rq_linear_probe_destroy(&p);
    free_blobs(&train);
    free_blobs(&val);
}

static void test_threads(void **state)
{
    rq_features train = blobs(300, 3, 1);
    rq_linear_probe_opts o;
    rq_linear_probe_opts_default(&o);
    o.batch = 50;
    o.epochs = 3;
    const int threads = omp_get_max_threads();
    double loss[3];
    rq_err err = {0};
    for (int n = 1; n <= 3; n++) {
        rq_linear_probe *p = NULL;
        omp_set_num_threads(n);
        assert_ok(rq_linear_probe_create(&p, &o, WIDTH, CLASSES, rq_linear_probe_steps(&o, 300),
                                         &err),
                  &err);
        assert_ok(rq_linear_probe_train(p, &train, &loss[n - 1], &err), &err);
        rq_linear_probe_destroy(&p);
    }
    omp_set_num_threads(threads);
    assert_true(loss[0] == loss[1] && loss[1] == loss[2]);
    free_blobs(&train);
}

static void test_refusals(void **state)
{
    rq_linear_probe_opts o;
    rq_linear_probe_opts_default(&o);
    assert_int_equal(rq_linear_probe_steps(&o, 25000), 2400);
    assert_int_equal(rq_linear_probe_steps(&o, 10), 100);
    rq_linear_probe *p = NULL;
    rq_err err = {0};
    float row[WIDTH] = {0};
    int32_t label = CLASSES;
    double loss;
    assert_ok(rq_linear_probe_create(&p, &o, WIDTH, CLASSES, 10, &err), &err);
    assert_status(rq_linear_probe_step(p, row, &label, 1, &loss, NULL), RQ_INVALID_ARG);
    label = 0;
    row[0] = NAN;
    assert_status(rq_linear_probe_step(p, row, &label, 1, &loss, &err), RQ_DIVERGED);
    rq_linear_probe_destroy(&p);
    o.lr = 0;
    assert_status(rq_linear_probe_create(&p, &o, WIDTH, CLASSES, 10, NULL), RQ_INVALID_ARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_steps),
        cmocka_unit_test(test_separates),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
