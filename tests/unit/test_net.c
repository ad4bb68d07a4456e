// SPDX-License-Identifier: Apache-2.0
//
// Whole networks: the cpu backend against the reference, forward and all gradients; gradients
// against differences of the loss; views as separate forwards; evaluation; precision bf16.
#include "common/mem.h"
#include "common/rng.h"
#include "train/net.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#ifdef RQ_HAVE_ONEDNN
#define BEST "cpu"
#else
#define BEST "ref"
#endif

typedef struct world {
    rq_backend *backend;
    rq_model *model;
    rq_net *net;
    uint8_t *images;
    float *values, *state, *grads, *out, *dout;
    size_t n_values, n_state, n_out;
} world;

static void fill(float *p, size_t n, uint32_t key, float scale)
{
    rq_rng r = rq_rng_make(key, 0, 0, 0, 0);

    for (size_t i = 0; i < n; i++)
        p[i] = scale * (rq_rng_float(&r) - 0.5f);
}

static void must(rq_status st, const rq_err *err)
{
    if (st != RQ_OK)
        fail_msg("%s: %s", rq_status_name(st), err->text);
}

static world make(const char *backend, rq_precision precision, int threads,
                  const rq_model_opts *mo, const rq_net_opts *no)
{
    world w = {0};
    rq_err err = {0};
    const rq_backend_opts bo = {.threads = threads, .precision = precision};

    must(rq_backend_create(&w.backend, backend, &bo, &err), &err);
    must(rq_model_create(&w.model, mo, &err), &err);
    must(rq_net_create(&w.net, w.backend, w.model, no, &err), &err);
    w.n_values = rq_model_param_floats(w.model);
    w.n_state = rq_model_state_floats(w.model);
    w.n_out = (size_t)rq_net_rows(w.net) * (size_t)rq_net_width(w.net);
    const size_t n_images = (size_t)rq_net_rows(w.net) * (size_t)(no->size * no->size) * 3;
    w.images = rq_alloc(n_images, 1);
    w.values = rq_calloc(w.n_values, sizeof(float));
    w.state = rq_calloc(w.n_state, sizeof(float));
    w.grads = rq_calloc(w.n_values, sizeof(float));
    w.out = rq_calloc(w.n_out, sizeof(float));
    w.dout = rq_calloc(w.n_out, sizeof(float));
    rq_model_init(w.model, 7, w.values, w.state);
    /* No zero scales, so that every gradient is alive, and shifts that matter. */
    for (size_t i = 0; i < rq_model_params(w.model); i++) {
        const rq_param *p = rq_model_param(w.model, i);
        if (p->adapt)
            continue;
        fill(w.values + p->offset, p->count, (uint32_t)i, 0.5f);
        for (size_t k = 0; p->kind == RQ_PARAM_BN_SCALE && k < p->count; k++)
            w.values[p->offset + k] += 1;
    }
    rq_rng r = rq_rng_make(3, 0, 0, 0, 0);
    for (size_t i = 0; i < n_images; i++)
        w.images[i] = (uint8_t)(rq_rng_below(&r, 200) + (i / 40) % 56);
    fill(w.dout, w.n_out, 11, 1.0f);
    return w;
}

static void drop(world *w)
{
    rq_net_destroy(&w->net);
    rq_model_destroy(&w->model);
    rq_backend_destroy(&w->backend);
    rq_free(w->images);
    rq_free(w->values);
    rq_free(w->state);
    rq_free(w->grads);
    rq_free(w->out);
    rq_free(w->dout);
}

static void forward(world *w)
{
    rq_err err = {0};

    must(rq_net_forward(w->net, w->images, w->values, w->state, w->out, &err), &err);
}

static void backward(world *w)
{
    rq_err err = {0};

    must(rq_net_backward(w->net, w->dout, w->values, w->grads, &err), &err);
}

static double distance(const float *a, const float *b, size_t n)
{
    double d = 0, s = 0;

    for (size_t i = 0; i < n; i++) {
        d += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        s += (double)b[i] * (double)b[i];
    }
    return s > 0 ? sqrt(d / s) : sqrt(d);
}

static double cosine(const float *a, const float *b, size_t n)
{
    double ab = 0, aa = 0, bb = 0;

    for (size_t i = 0; i < n; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return ab / sqrt(aa * bb);
}

static const rq_model_opts tiny18 = {.arch = RQ_RESNET18,
                                     .stem = RQ_STEM_CIFAR,
                                     .base_width = 8,
                                     .proj_hidden = 24,
                                     .proj_out = 12,
                                     .pred_hidden = 20};
static const rq_model_opts tiny50 = {.arch = RQ_RESNET50,
                                     .stem = RQ_STEM_IMAGENET,
                                     .base_width = 8,
                                     .proj_hidden = 16,
                                     .proj_out = 8,
                                     .pred_hidden = 16};
static const rq_model_opts classifier = {
    .arch = RQ_RESNET34, .stem = RQ_STEM_IMAGENET, .base_width = 8, .classes = 10};

/* Bounds on distances of the output and statistics, and of each gradient. Gradients of deep
 * networks are compared loosely: rounding flips a few ReLUs. test_ops is strict. */
static void compare(const rq_model_opts *mo, const rq_net_opts *no, double out_bound,
                    double grad_bound)
{
    world c = make("cpu", RQ_F32, 2, mo, no), r = make("ref", RQ_F32, 1, mo, no);

    forward(&c);
    forward(&r);
    assert_true(distance(c.out, r.out, c.n_out) <= out_bound);
    assert_true(distance(c.state, r.state, c.n_state) <= out_bound);
    backward(&c);
    backward(&r);
    for (size_t i = 0; i < rq_model_params(c.model); i++) {
        const rq_param *p = rq_model_param(c.model, i);
        const double d = distance(c.grads + p->offset, r.grads + p->offset, p->count);
        /* A linear layer's bias in front of BN has no gradient but rounding. */
        if (p->kind == RQ_PARAM_BIAS && p->part != RQ_PART_FC)
            continue;
        if (!(d <= grad_bound))
            fail_msg("%s: gradient differs by %g, bound %g", p->name, d, grad_bound);
    }
    drop(&c);
    drop(&r);
}

static const rq_net_opts train18 = {RQ_NET_TRAIN, RQ_PART_PREDICTOR, 10, 2, 8, false};

static void cpu_equals_reference(void **state)
{
#ifndef RQ_HAVE_ONEDNN
    skip();
#endif
    const rq_net_opts b = {RQ_NET_TRAIN, RQ_PART_PROJECTOR, 6, 2, 33, false};
    const rq_net_opts c = {RQ_NET_TRAIN, RQ_PART_FC, 5, 1, 32, false};

    compare(&tiny18, &train18, 2e-5, 1e-4);
    compare(&tiny50, &b, 1e-3, 5e-2);
    compare(&classifier, &c, 1e-4, 2e-2);
}

/* The loss <dout, out> against steps along the gradient: (L(v + h g) - L(v - h g)) / 2h =
 * |g|^2, for each kind of parameter alone. Includes everything backward does. */
static void gradient_is_the_slope(void **state)
{
    const rq_net_opts no = {RQ_NET_TRAIN, RQ_PART_PREDICTOR, 8, 2, 8, true};
    world w = make("ref", RQ_F32, 1, &tiny18, &no);
    float *start = rq_alloc(w.n_values, sizeof(float));

    assert_non_null(start);
    memcpy(start, w.values, w.n_values * sizeof(float));
    forward(&w);
    backward(&w);
    for (int kind = RQ_PARAM_CONV; kind <= RQ_PARAM_BN_SHIFT; kind++) {
        double norm = 0, loss[2] = {0, 0};
        if (kind == RQ_PARAM_BIAS) /* in front of BN: no gradient */
            continue;
        for (size_t i = 0; i < rq_model_params(w.model); i++) {
            const rq_param *p = rq_model_param(w.model, i);
            for (size_t k = 0; (int)p->kind == kind && k < p->count; k++)
                norm += (double)w.grads[p->offset + k] * (double)w.grads[p->offset + k];
        }
        const double h = 2e-4 / sqrt(norm);
        for (int side = 0; side < 2; side++) {
            memcpy(w.values, start, w.n_values * sizeof(float));
            for (size_t i = 0; i < rq_model_params(w.model); i++) {
                const rq_param *p = rq_model_param(w.model, i);
                for (size_t k = 0; (int)p->kind == kind && k < p->count; k++)
                    w.values[p->offset + k] +=
                        (float)((side ? h : -h) * (double)w.grads[p->offset + k]);
            }
            forward(&w);
            for (size_t i = 0; i < w.n_out; i++)
                loss[side] += (double)w.out[i] * (double)w.dout[i];
        }
        const double slope = (loss[1] - loss[0]) / (2 * h);
        if (!(fabs(slope - norm) < 2e-2 * norm))
            fail_msg("kind %d: slope %g, gradient squared %g", kind, slope, norm);
    }
    rq_free(start);
    drop(&w);
}

/* Two views in one batch are two forwards and backwards one after the other. */
static void views_are_separate_forwards(void **state)
{
    const rq_net_opts one = {RQ_NET_TRAIN, RQ_PART_PREDICTOR, 10, 1, 8, false};
    world both = make(BEST, RQ_F32, 2, &tiny18, &train18);
    world single = make(BEST, RQ_F32, 2, &tiny18, &one);
    const size_t images = 10 * 8 * 8 * 3, half = both.n_out / 2;
    float *out = rq_calloc(both.n_out, sizeof(float));

    assert_non_null(out);
    forward(&both);
    backward(&both);
    for (size_t v = 0; v < 2; v++) {
        memcpy(single.images, both.images + v * images, images);
        memcpy(single.dout, both.dout + v * half, half * sizeof(float));
        forward(&single);
        memcpy(out + v * half, single.out, half * sizeof(float));
        backward(&single); /* adds to the gradients of the view before */
    }
    assert_true(distance(both.out, out, both.n_out) < 1e-5);
    assert_true(distance(both.state, single.state, both.n_state) < 1e-6);
    assert_true(distance(both.grads, single.grads, both.n_values) < 1e-4);
    rq_free(out);
    drop(&both);
    drop(&single);
}

/* FORWARD gives TRAIN's output from a smaller arena; frozen_state leaves the statistics alone.
 */
static void forward_without_backward(void **state)
{
    const rq_net_opts target = {RQ_NET_FORWARD, RQ_PART_PREDICTOR, 10, 2, 8, false};
    const rq_net_opts frozen = {RQ_NET_FORWARD, RQ_PART_PREDICTOR, 10, 2, 8, true};
    world a = make(BEST, RQ_F32, 1, &tiny18, &train18),
          b = make(BEST, RQ_F32, 1, &tiny18, &target);
    world c = make(BEST, RQ_F32, 1, &tiny18, &frozen);
    float *before = rq_alloc(c.n_state, sizeof(float));

    assert_non_null(before);
    memcpy(before, c.state, c.n_state * sizeof(float));
    forward(&a);
    forward(&b);
    forward(&c);
    assert_memory_equal(a.out, b.out, a.n_out * sizeof(float));
    assert_memory_equal(a.out, c.out, a.n_out * sizeof(float));
    assert_memory_equal(a.state, b.state, a.n_state * sizeof(float));
    assert_memory_equal(before, c.state, c.n_state * sizeof(float));
    assert_memory_not_equal(before, b.state, c.n_state * sizeof(float));
    assert_true(rq_net_get_plan(b.net).arena_bytes * 3 < rq_net_get_plan(a.net).arena_bytes);
    assert_int_equal(rq_net_backward(b.net, b.dout, b.values, b.grads, NULL), RQ_INVALID_ARG);
    rq_free(before);
    drop(&a);
    drop(&b);
    drop(&c);
}

/* With running statistics set to a batch's own, evaluation gives what training gave; and each
 * image's result does not depend on its neighbours. */
static void evaluation(void **state)
{
    const rq_net_opts train = {RQ_NET_TRAIN, RQ_PART_ENCODER, 12, 1, 16, false};
    const rq_net_opts eval = {RQ_NET_EVAL, RQ_PART_ENCODER, 12, 1, 16, false};
    world t = make(BEST, RQ_F32, 1, &tiny18, &train), e = make(BEST, RQ_F32, 1, &tiny18, &eval);
    world r = make("ref", RQ_F32, 1, &tiny18, &eval);

    for (int i = 0; i < 50; i++) /* 0.9^50 = 0.005: the statistics converge to the batch's */
        forward(&t);
    memcpy(e.state, t.state, t.n_state * sizeof(float));
    memcpy(r.state, t.state, t.n_state * sizeof(float));
    forward(&e);
    forward(&r);
    assert_true(distance(e.out, r.out, e.n_out) < 1e-5);
    assert_memory_equal(e.state, t.state, t.n_state * sizeof(float));
    /* Not closer, since running variances are unbiased: 1/47 more in the last stage. */
    assert_true(distance(e.out, t.out, e.n_out) < 0.1);
    memset(e.images + 16 * 16 * 3, 0, 11 * 16 * 16 * 3);
    float *first = rq_alloc((size_t)rq_net_width(e.net), sizeof(float));
    assert_non_null(first);
    memcpy(first, e.out, (size_t)rq_net_width(e.net) * sizeof(float));
    forward(&e);
    assert_true(distance(first, e.out, (size_t)rq_net_width(e.net)) < 1e-6);
    rq_free(first);
    drop(&t);
    drop(&e);
    drop(&r);
}

/* bf16 against f32: the output within bf16's noise, the gradient in the same direction. */
static void bf16_follows_f32(void **state)
{
    const rq_net_opts no = {RQ_NET_TRAIN, RQ_PART_ENCODER, 24, 2, 16, false};
    const rq_backend_opts bo = {.threads = 1, .precision = RQ_BF16};
    rq_backend *probe;

    if (rq_backend_create(&probe, "cpu", &bo, NULL) != RQ_OK)
        skip();
    rq_backend_destroy(&probe);
    world f = make("cpu", RQ_F32, 2, &tiny18, &no), h = make("cpu", RQ_BF16, 2, &tiny18, &no);
    forward(&f);
    forward(&h);
    backward(&f);
    backward(&h);
    assert_true(distance(h.out, f.out, f.n_out) < 4e-2);
    assert_true(distance(h.out, f.out, f.n_out) > 1e-5); /* or it was not bf16 */
    assert_true(distance(h.state, f.state, f.n_state) < 1e-2);
    assert_true(cosine(h.grads, f.grads, f.n_values) > 0.9);
    drop(&f);
    drop(&h);
}

/* The same bytes each time, also from a second network; the reference needs no threads. */
static void runs_repeat_exactly(void **state)
{
    world a = make(BEST, RQ_F32, 2, &tiny18, &train18),
          b = make(BEST, RQ_F32, 2, &tiny18, &train18);

    forward(&a);
    backward(&a);
    forward(&b);
    backward(&b);
    assert_memory_equal(a.out, b.out, a.n_out * sizeof(float));
    assert_memory_equal(a.grads, b.grads, a.n_values * sizeof(float));
    memset(b.grads, 0, b.n_values * sizeof(float));
    memcpy(b.state, a.state, a.n_state * sizeof(float));
    forward(&b);
    backward(&b);
    assert_memory_equal(a.grads, b.grads, a.n_values * sizeof(float));
    assert_int_equal(rq_net_backward(b.net, b.dout, b.values, b.grads, NULL), RQ_INVALID_ARG);
    drop(&a);
    drop(&b);
}

/* Views go to threads whole, so their number changes nothing; with a number that does not
 * divide the views, all share each step, and only rounding changes. */
static void threads_do_not_change_results(void **state)
{
    world one = make(BEST, RQ_F32, 1, &tiny18, &train18);
    world two = make(BEST, RQ_F32, 2, &tiny18, &train18);
    world three = make(BEST, RQ_F32, 3, &tiny18, &train18);
    world *all[] = {&one, &two, &three};

    for (int i = 0; i < 3; i++) {
        forward(all[i]);
        backward(all[i]);
    }
    assert_memory_equal(one.out, two.out, one.n_out * sizeof(float));
    assert_memory_equal(one.state, two.state, one.n_state * sizeof(float));
    assert_memory_equal(one.grads, two.grads, one.n_values * sizeof(float));
    assert_true(distance(three.out, one.out, one.n_out) < 1e-5);
    assert_true(distance(three.state, one.state, one.n_state) < 1e-6);
    assert_true(distance(three.grads, one.grads, one.n_values) < 1e-4);
    for (int i = 0; i < 3; i++)
        drop(all[i]);
}

static void bad_requests_are_named(void **state)
{
    static const struct {
        rq_net_opts o;
        const char *text;
    } bad[] = {{{RQ_NET_TRAIN, RQ_PART_FC, 2, 1, 8, false}, "no classifier"},
               {{RQ_NET_TRAIN, RQ_PART_ENCODER, 0, 1, 8, false}, "images"},
               {{RQ_NET_EVAL, RQ_PART_ENCODER, 2, 2, 8, false}, "1 view"},
               {{RQ_NET_TRAIN, RQ_PART_ENCODER, 1 << 24, 64, 4096, false}, "smaller batch"}};
    rq_err err = {0};
    rq_backend *b;
    rq_model *m;
    rq_net *net;
    const rq_backend_opts bo = {.threads = 1};

    must(rq_backend_create(&b, "ref", &bo, &err), &err);
    must(rq_model_create(&m, &tiny18, &err), &err);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_not_equal(rq_net_create(&net, b, m, &bad[i].o, &err), RQ_OK);
        assert_null(net);
        assert_non_null(strstr(err.text, bad[i].text));
        rq_err_clear(&err);
    }
    rq_model_destroy(&m);
    rq_backend_destroy(&b);
    assert_int_equal(rq_backend_create(&b, "cuda", &bo, &err), RQ_DEVICE);
    assert_non_null(strstr(err.text, "--backend cpu"));
    rq_err_clear(&err);
    assert_int_equal(rq_backend_create(&b, "tpu", &bo, &err), RQ_INVALID_ARG);
    assert_non_null(strstr(err.text, "tpu"));
}

static void failing_memory_leaves_nothing(void **state)
{
    rq_err err = {0};
    rq_backend *b;
    rq_model *m;
    rq_net *net = NULL;
    const rq_backend_opts bo = {.threads = 1};
    long n = 1;

    must(rq_backend_create(&b, BEST, &bo, &err), &err);
    must(rq_model_create(&m, &tiny18, &err), &err);
    for (; n < 500 && !net; n++) {
        rq_mem_fail_nth(n);
        const rq_status st = rq_net_create(&net, b, m, &train18, NULL);
        rq_mem_fail_nth(0);
        assert_true(st == RQ_OK ? net != NULL : net == NULL);
    }
    assert_true(net && n > 10);
    rq_net_destroy(&net);
    rq_model_destroy(&m);
    rq_backend_destroy(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cpu_equals_reference),
        cmocka_unit_test(gradient_is_the_slope),
        cmocka_unit_test(views_are_separate_forwards),
        cmocka_unit_test(forward_without_backward),
        cmocka_unit_test(evaluation),
        cmocka_unit_test(bf16_follows_f32),
        cmocka_unit_test(runs_repeat_exactly),
        cmocka_unit_test(threads_do_not_change_results),
        cmocka_unit_test(bad_requests_are_named),
        cmocka_unit_test(failing_memory_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
