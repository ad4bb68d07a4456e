// SPDX-License-Identifier: Apache-2.0
//
// LARS against golden values and against a plain float64 loop over a real model's table; EMA at
// its limits.
#include "tests/unit/test.h"

#include "common/rng.h"
#include "train/lars.h"

#include <math.h>
#include <omp.h>

typedef struct fixture {
    rq_model *model;
    size_t n;
    float *w, *g, *m;
} fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    rq_model_opts o;
    rq_model_opts_default(&o);
    o.arch = RQ_RESNET18;
    o.stem = RQ_STEM_CIFAR;
    o.base_width = 16;
    o.proj_hidden = o.pred_hidden = 64;
    o.proj_out = 32;
    if (rq_model_create(&f->model, &o, NULL) != RQ_OK)
        return -1;
    f->n = rq_model_param_floats(f->model);
    f->w = calloc(f->n, sizeof *f->w);
    f->g = calloc(f->n, sizeof *f->g);
    f->m = calloc(f->n, sizeof *f->m);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    rq_model_destroy(&f->model);
    free(f->w);
    free(f->g);
    free(f->m);
    free(f);
    return 0;
}

static void fill(float *x, size_t n, uint64_t seed)
{
    rq_rng r = rq_rng_make(seed, 0, 0, 0, 0);
    for (size_t i = 0; i < n; i++)
        x[i] = rq_rng_range(&r, -1, 1);
}

static void near(double a, double b, double tol)
{
    if (!(fabs(a - b) <= tol))
        fail_msg("%.12g is not %.12g", a, b);
}

static size_t first_of(const rq_model *m, bool adapt)
{
    for (size_t i = 0; i < rq_model_params(m); i++)
        if (rq_model_param(m, i)->adapt == adapt && rq_model_param(m, i)->count >= 2)
            return i;
    return 0;
}

static void test_golden(void **state)
{
    fixture *f = *state;
    const rq_lars_opts o = {.momentum = .9f, .weight_decay = .1f, .trust = 1e-3f};
    rq_lars *l = NULL;
    rq_lars_stats s;
    rq_err err = {0};
    assert_ok(rq_lars_create(&l, f->model, &o, &err), &err);
    memset(f->w, 0, f->n * sizeof *f->w);
    memset(f->g, 0, f->n * sizeof *f->g);
    memset(f->m, 0, f->n * sizeof *f->m);
    const size_t i = first_of(f->model, true), b = first_of(f->model, false);
    const size_t at = rq_model_param(f->model, i)->offset;
    const size_t bias = rq_model_param(f->model, b)->offset;
    f->w[at] = 3, f->w[at + 1] = 4, f->w[bias] = .5f;
    f->g[at] = .6f, f->g[at + 1] = -.8f, f->g[bias] = .2f;
    assert_ok(rq_lars_step(l, f->w, f->g, f->m, 2, &s, &err), &err);
    near(rq_lars_trust(l, i), .005076730826, 1e-9);
    near((double)f->w[at], 2.990861884514, 5e-7);
    near((double)f->w[at + 1], 4.004061384661, 5e-7);
    near((double)f->w[bias], .1, 1e-7);
    near(s.grad_norm, sqrt(.36 + .64 + .04), 1e-7);
    near(s.weight_norm, sqrt(9 + 16 + .25), 1e-7);
    assert_ok(rq_lars_step(l, f->w, f->g, f->m, 2, &s, &err), &err);
    near(rq_lars_trust(l, i), .005079630018, 1e-9);
    near(rq_lars_trust(l, b), 1, 0);
    near((double)f->w[at], 2.973503530192, 1e-6);
    near((double)f->w[at + 1], 4.011776208803, 1e-6);
    near((double)f->w[bias], -.66, 1e-6);
    rq_lars_destroy(&l);
}

/* Every parameter against a float64 loop that follows the definition word by word. */
static void test_whole_model(void **state)
{
    fixture *f = *state;
    const rq_lars_opts o = {.momentum = .9f, .weight_decay = 1e-2f, .trust = 1e-2f};
    rq_lars *l = NULL;
    rq_lars_stats s;
    rq_err err = {0};
    assert_ok(rq_lars_create(&l, f->model, &o, &err), &err);
    fill(f->w, f->n, 1);
    fill(f->g, f->n, 2);
    fill(f->m, f->n, 3);
    float *before = malloc(f->n * sizeof *before), *mbefore = malloc(f->n * sizeof *mbefore);
    memcpy(before, f->w, f->n * sizeof *before);
    memcpy(mbefore, f->m, f->n * sizeof *mbefore);
    assert_ok(rq_lars_step(l, f->w, f->g, f->m, .5, &s, &err), &err);
    for (size_t i = 0; i < rq_model_params(f->model); i++) {
        const rq_param *p = rq_model_param(f->model, i);
        double ww = 0, uu = 0;
        for (size_t k = p->offset; k < p->offset + p->count; k++) {
            const double u =
                (double)f->g[k] + (p->adapt ? (double)o.weight_decay : 0) * (double)before[k];
            ww += (double)before[k] * (double)before[k];
            uu += u * u;
        }
        const double trust = p->adapt ? (double)o.trust * sqrt(ww / uu) : 1;
        for (size_t k = p->offset; k < p->offset + p->count; k++) {
            const double u =
                (double)f->g[k] + (p->adapt ? (double)o.weight_decay : 0) * (double)before[k];
            const double m = (double)o.momentum * (double)mbefore[k] + trust * u;
            near((double)f->m[k], m, 1e-6);
            near((double)f->w[k], (double)before[k] - .5 * m, 1e-6);
        }
    }
    free(before);
    free(mbefore);
    rq_lars_destroy(&l);
}

static void test_zero_norm_and_sgd(void **state)
{
    fixture *f = *state;
    rq_lars_opts o = {.momentum = 0, .weight_decay = 0, .trust = 1e-3f};
    rq_lars *l = NULL;
    rq_lars_stats s;
    rq_err err = {0};
    assert_ok(rq_lars_create(&l, f->model, &o, &err), &err);
    memset(f->w, 0, f->n * sizeof *f->w);
    fill(f->g, f->n, 4);
    memset(f->m, 0, f->n * sizeof *f->m);
    assert_ok(rq_lars_step(l, f->w, f->g, f->m, 1, &s, &err), &err);
    const size_t at = rq_model_param(f->model, first_of(f->model, true))->offset;
    assert_true(f->w[at] == -f->g[at]);
    rq_lars_destroy(&l);

    o.trust = 0;
    assert_ok(rq_lars_create(&l, f->model, &o, &err), &err);
    fill(f->w, f->n, 5);
    const float w = f->w[at];
    assert_ok(rq_lars_step(l, f->w, f->g, f->m, .25, &s, &err), &err);
    assert_true(f->w[at] == w - .25f * f->g[at]);
    rq_lars_destroy(&l);
}

static void test_not_finite(void **state)
{
    fixture *f = *state;
    const rq_lars_opts o = {.momentum = .9f, .weight_decay = 0, .trust = 1e-3f};
    rq_lars *l = NULL;
    rq_lars_stats s;
    rq_err err = {0};
    assert_ok(rq_lars_create(&l, f->model, &o, &err), &err);
    fill(f->w, f->n, 6);
    fill(f->g, f->n, 7);
    float *before = malloc(f->n * sizeof *before);
    memcpy(before, f->w, f->n * sizeof *before);
    const rq_param *p = rq_model_find(f->model, "encoder.layer3.0.conv2.weight");
    assert_non_null(p);
    f->g[p->offset + 5] = NAN;
    assert_status(rq_lars_step(l, f->w, f->g, f->m, 1, &s, &err), RQ_DIVERGED);
    assert_non_null(strstr(err.text, "gradient of encoder.layer3.0.conv2.weight"));
    assert_memory_equal(before, f->w, f->n * sizeof *before);
    free(before);
    rq_lars_destroy(&l);
}

static void test_threads(void **state)
{
    fixture *f = *state;
    const rq_lars_opts o = {.momentum = .9f, .weight_decay = 1e-4f, .trust = 1e-3f};
    const int threads = omp_get_max_threads();
    float *first = NULL;
    for (int n = 1; n <= 3; n++) {
        rq_lars *l = NULL;
        rq_lars_stats s;
        rq_err err = {0};
        omp_set_num_threads(n);
        assert_ok(rq_lars_create(&l, f->model, &o, &err), &err);
        fill(f->w, f->n, 8);
        fill(f->g, f->n, 9);
        fill(f->m, f->n, 10);
        for (int k = 0; k < 3; k++)
            assert_ok(rq_lars_step(l, f->w, f->g, f->m, 1, &s, &err), &err);
        rq_ema_update(f->m, f->w, f->n, .97);
        if (first == NULL) {
            first = malloc(2 * f->n * sizeof *first);
            memcpy(first, f->w, f->n * sizeof *first);
            memcpy(first + f->n, f->m, f->n * sizeof *first);
        }
        assert_memory_equal(first, f->w, f->n * sizeof *first);
        assert_memory_equal(first + f->n, f->m, f->n * sizeof *first);
        rq_lars_destroy(&l);
    }
    omp_set_num_threads(threads);
    free(first);
}

static void test_ema_limits(void **state)
{
    float online[5] = {1, -2, 3e-8f, 1e20f, .1f}, target[5] = {5, 5, 5, 5, 5}, kept[5];
    memcpy(kept, target, sizeof kept);
    rq_ema_update(target, online, 5, 1);
    assert_memory_equal(target, kept, sizeof kept);
    rq_ema_update(target, online, 5, 0);
    assert_memory_equal(target, online, sizeof online);
    float t = 1, o = 0;
    rq_ema_update(&t, &o, 1, .75);
    assert_true(t == .75f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_whole_model),
        cmocka_unit_test(test_zero_norm_and_sgd),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_ema_limits),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
