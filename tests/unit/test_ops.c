// SPDX-License-Identifier: Apache-2.0
//
// Every operation of the backends: the reference against definitions written down here, its
// backward against central differences of its forward, and the cpu backend, at each instruction
// set and number of threads, against the reference.
#include "common/cpu.h"
#include "common/mem.h"
#include "common/rng.h"
#include "train/backend_ops.h"
#include "train/bf16.h"
#include "train/cpu_kernels.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void must(rq_status st, const rq_err *err)
{
    if (st != RQ_OK)
        fail_msg("%s: %s", rq_status_name(st), err->text);
}

static rq_backend *open_backend(const char *name, int threads, rq_precision precision)
{
    const rq_backend_opts o = {.threads = threads, .precision = precision};
    rq_backend *b;
    rq_err err = {0};

    must(rq_backend_create(&b, name, &o, &err), &err);
    return b;
}

static bool has_cpu(void)
{
#ifdef RQ_HAVE_ONEDNN
    return true;
#else
    return false;
#endif
}

/* Is bf16 to be had on this machine? */
static bool has_bf16(void)
{
    const rq_backend_opts o = {.threads = 1, .precision = RQ_BF16};
    rq_backend *b;
    const bool yes = has_cpu() && rq_backend_create(&b, "cpu", &o, NULL) == RQ_OK;

    if (yes)
        rq_backend_destroy(&b);
    return yes;
}

/* ---- tensors: float values that are also exact in bf16 where asked
 * -------------------------*/

typedef struct tensor {
    size_t n;
    rq_dtype type;
    void *data;
} tensor;

static float at(const tensor *t, size_t i)
{
    return t->type == RQ_DTYPE_F32 ? ((float *)t->data)[i]
                                   : rq_bf16_to_f32(((uint16_t *)t->data)[i]);
}

static void set(tensor *t, size_t i, float v)
{
    if (t->type == RQ_DTYPE_F32)
        ((float *)t->data)[i] = v;
    else
        ((uint16_t *)t->data)[i] = rq_bf16_from_f32(v);
}

static tensor zeros(size_t n, rq_dtype type)
{
    const tensor t = {.n = n, .type = type, .data = rq_calloc(n, rq_dtype_bytes(type))};

    assert_non_null(t.data);
    return t;
}

/* uniform in offset +- 1 */
static tensor noise(size_t n, rq_dtype type, uint64_t seed, float offset)
{
    tensor t = zeros(n, type);
    rq_rng r = rq_rng_make(seed, 0, 0, 0, 0);

    for (size_t i = 0; i < n; i++)
        set(&t, i, offset + rq_rng_range(&r, -1, 1));
    return t;
}

static tensor copy(const tensor *t)
{
    const tensor c = zeros(t->n, t->type);

    memcpy(c.data, t->data, t->n * rq_dtype_bytes(t->type));
    return c;
}

static void drop(tensor *t)
{
    rq_free(t->data);
    t->data = NULL;
}

static double dot(const tensor *a, const tensor *b)
{
    double s = 0;

    for (size_t i = 0; i < a->n; i++)
        s += (double)at(a, i) * (double)at(b, i);
    return s;
}

static void close_to(const char *what, const tensor *a, const tensor *b, double bound)
{
    double d = 0, s = 0;

    assert_int_equal(a->n, b->n);
    for (size_t i = 0; i < a->n; i++) {
        const double e = (double)at(a, i) - (double)at(b, i);
        d += e * e;
        s += (double)at(b, i) * (double)at(b, i);
    }
    d = s > 0 ? sqrt(d / s) : sqrt(d);
    if (!(d <= bound))
        fail_msg("%s: relative L2 distance %g, bound %g", what, d, bound);
}

static void near(const char *what, double a, double b, double bound)
{
    if (!(fabs(a - b) <= bound * (1 + fabs(b))))
        fail_msg("%s: %.9g against %.9g", what, a, b);
}

/* ---- convolution
 * ---------------------------------------------------------------------------*/

typedef struct conv_case {
    const char *name;
    int n, h, c, k, r, stride;
    bool linear;
} conv_case;

static const conv_case conv_cases[] = {
    {"stem 7x7 s2", 2, 13, 3, 8, 7, 2, false}, {"stem 3x3", 2, 8, 3, 16, 3, 1, false},
    {"3x3", 2, 7, 16, 16, 3, 1, false},        {"3x3 s2", 2, 9, 16, 32, 3, 2, false},
    {"3x3 s2 even", 2, 8, 8, 24, 3, 2, false}, {"1x1", 3, 5, 24, 8, 1, 1, false},
    {"1x1 s2", 2, 7, 16, 32, 1, 2, false},     {"3x3 on 1x1", 2, 1, 32, 32, 3, 1, false},
    {"linear", 5, 1, 40, 24, 1, 1, true},      {"odd linear", 6, 1, 17, 10, 1, 1, true},
};

static rq_conv_shape conv_shape(const conv_case *t, rq_dtype type)
{
    const int pad = t->r / 2, o = (t->h + 2 * pad - t->r) / t->stride + 1;

    return (rq_conv_shape){t->n, t->h, t->h, t->c, t->k, t->r, t->stride,
                           pad,  o,    o,    type, type, true, true};
}

typedef struct conv_run {
    rq_backend *b;
    rq_conv *c;
    void *scratch;
} conv_run;

static conv_run open_conv(const char *backend, int threads, const rq_conv_shape *s)
{
    conv_run r;
    rq_err err = {0};
    size_t bytes;

    r.b = open_backend(backend, threads, s->type == RQ_DTYPE_BF16 ? RQ_BF16 : RQ_F32);
    r.b->ops->enter(r.b, threads);
    must(r.b->ops->conv_create(r.b, &r.c, s, &bytes, &err), &err);
    r.scratch = rq_alloc(1, bytes);
    assert_non_null(r.scratch);
    return r;
}

static void close_conv(conv_run *r)
{
    r->b->ops->leave(r->b);
    r->b->ops->conv_destroy(&r->c);
    rq_backend_destroy(&r->b);
    rq_free(r->scratch);
}

typedef struct conv_tensors {
    tensor x, w, y, dy, dx, dw;
} conv_tensors;

static conv_tensors conv_inputs(const rq_conv_shape *s)
{
    const size_t nx = (size_t)(s->n * s->h * s->w * s->c),
                 ny = (size_t)(s->n * s->oh * s->ow * s->k),
                 nw = (size_t)(s->k * s->r * s->r * s->c);
    conv_tensors t = {.x = noise(nx, s->type, 1, 0),
                      .w = noise(nw, RQ_DTYPE_F32, 2, 0),
                      .y = zeros(ny, s->out_type),
                      .dy = noise(ny, s->type, 3, 0),
                      .dx = zeros(nx, s->type),
                      .dw = noise(nw, RQ_DTYPE_F32, 4, 0)}; /* gradients are added to it */

    return t;
}

static void drop_conv(conv_tensors *t)
{
    tensor *all[] = {&t->x, &t->w, &t->y, &t->dy, &t->dx, &t->dw};

    for (size_t i = 0; i < 6; i++)
        drop(all[i]);
}

static void conv_all(conv_run *r, conv_tensors *t)
{
    rq_err err = {0};
    const rq_ops *o = r->b->ops;

    must(o->conv_forward(r->b, r->c, t->x.data, t->w.data, t->y.data, r->scratch, &err), &err);
    must(o->conv_backward_data(r->b, r->c, t->dy.data, t->w.data, t->dx.data, r->scratch, &err),
         &err);
    must(o->conv_backward_weights(r->b, r->c, t->x.data, t->dy.data, t->dw.data, r->scratch,
                                  &err),
         &err);
}

/* A 3x3 convolution by hand: one input pixel at 1 spreads the filter upside down. */
static void conv_by_hand(void **state)
{
    const rq_conv_shape s = {1,    3,   3, 1, 1, 3, 1, 1, 3, 3, RQ_DTYPE_F32, RQ_DTYPE_F32,
                             true, true};
    const float x[9] = {0, 0, 0, 0, 1, 0, 0, 0, 0}, w[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    const float expect[9] = {9, 8, 7, 6, 5, 4, 3, 2, 1};
    float y[9];
    conv_run r = open_conv("ref", 1, &s);

    assert_int_equal(r.b->ops->conv_forward(r.b, r.c, x, w, y, r.scratch, NULL), RQ_OK);
    assert_memory_equal(y, expect, sizeof expect);
    close_conv(&r);
}

/* A convolution is linear in x and in w, so <dy, conv(x', w)> = <dx, x'> and
 * <dy, conv(x, w')> = <dw, w'> must hold for any x' and w': backward without differences. */
static void conv_backward_is_the_transpose(void **state)
{
    for (size_t i = 0; i < sizeof conv_cases / sizeof conv_cases[0]; i++) {
        const rq_conv_shape s = conv_shape(&conv_cases[i], RQ_DTYPE_F32);
        conv_run r = open_conv("ref", 1, &s);
        conv_tensors t = conv_inputs(&s);
        rq_err err = {0};
        const tensor start = copy(&t.dw);

        conv_all(&r, &t);
        near(conv_cases[i].name, dot(&t.dx, &t.x), dot(&t.dy, &t.y), 1e-5);
        near(conv_cases[i].name, dot(&t.dw, &t.w) - dot(&start, &t.w), dot(&t.dy, &t.y), 1e-5);
        tensor other = noise(t.x.n, RQ_DTYPE_F32, 9, 0), w2 = noise(t.w.n, RQ_DTYPE_F32, 10, 0);
        must(r.b->ops->conv_forward(r.b, r.c, other.data, t.w.data, t.y.data, r.scratch, &err),
             &err);
        near(conv_cases[i].name, dot(&t.dx, &other), dot(&t.dy, &t.y), 1e-5);
        must(r.b->ops->conv_forward(r.b, r.c, t.x.data, w2.data, t.y.data, r.scratch, &err),
             &err);
        near(conv_cases[i].name, dot(&t.dw, &w2) - dot(&start, &w2), dot(&t.dy, &t.y), 1e-5);
        drop(&other);
        drop(&w2);
        drop_conv(&t);
        tensor s0 = start;
        drop(&s0);
        close_conv(&r);
    }
}

static void conv_compare(rq_dtype type, double bound)
{
    for (size_t i = 0; i < sizeof conv_cases / sizeof conv_cases[0]; i++) {
        const rq_conv_shape s = conv_shape(&conv_cases[i], type);
        for (int threads = 1; threads <= 2; threads++) {
            conv_run a = open_conv("cpu", threads, &s), b = open_conv("ref", 1, &s);
            conv_tensors ta = conv_inputs(&s), tb = conv_inputs(&s);
            conv_all(&a, &ta);
            conv_all(&b, &tb);
            close_to(conv_cases[i].name, &ta.y, &tb.y, bound);
            close_to(conv_cases[i].name, &ta.dx, &tb.dx, bound);
            close_to(conv_cases[i].name, &ta.dw, &tb.dw, bound);
            drop_conv(&ta);
            drop_conv(&tb);
            close_conv(&a);
            close_conv(&b);
        }
    }
}

static void conv_cpu_equals_reference(void **state)
{
    if (!has_cpu())
        skip();
    conv_compare(RQ_DTYPE_F32, 1e-6);
}

static void conv_cpu_equals_reference_bf16(void **state)
{
    if (!has_bf16())
        skip();
    conv_compare(RQ_DTYPE_BF16, 2e-3);
}

/* ---- BatchNorm
 * -----------------------------------------------------------------------------*/

typedef struct bn_case {
    int groups;
    size_t rows;
    int channels;
    bool relu, residual, two, keep_g;
    float offset; /* of x, in units of its spread */
} bn_case;

static const bn_case bn_cases[] = {
    {1, 12, 8, false, false, false, false, 0},   {2, 9, 16, true, false, false, false, 0},
    {2, 37, 24, true, false, true, true, 0},     {3, 10, 8, true, true, false, true, 0},
    {2, 21, 64, true, true, true, true, 1},      {2, 5, 100, true, false, false, false, 0},
    {1, 7, 17, false, true, true, true, 0},      {2, 1500, 48, true, true, true, true, 2},
    {1, 40, 2048, true, false, false, false, 0}, {2, 4100, 16, false, false, false, false, 100},
};
enum { BN_CASES = sizeof bn_cases / sizeof bn_cases[0] };

typedef struct bn_tensors {
    rq_bn_shape shape;
    tensor x, residual, y, dy, dy2, dx, g, scale, shift, save, mean, var, dscale, dshift;
    void *scratch;
} bn_tensors;

static bn_tensors bn_inputs(const bn_case *c, rq_dtype type, rq_backend *b)
{
    const size_t channels = (size_t)c->channels, n = (size_t)c->groups * c->rows * channels;
    bn_tensors t = {.shape = {c->groups, c->rows, c->channels, type, c->relu, c->residual}};

    t.x = noise(n, type, 1, c->offset);
    t.residual = noise(n, type, 2, 0);
    t.y = zeros(n, type);
    t.dy = noise(n, type, 3, 0);
    t.dy2 = noise(n, type, 4, 0);
    t.dx = zeros(n, type);
    t.g = zeros(n, type);
    t.scale = noise(channels, RQ_DTYPE_F32, 5, 0.2f);
    t.shift = noise(channels, RQ_DTYPE_F32, 6, 0);
    t.save = zeros(2 * (size_t)c->groups * channels, RQ_DTYPE_F32);
    t.mean = noise(channels, RQ_DTYPE_F32, 7, 0);
    t.var = noise(channels, RQ_DTYPE_F32, 8, 2);
    t.dscale = noise(channels, RQ_DTYPE_F32, 9, 0);
    t.dshift = noise(channels, RQ_DTYPE_F32, 10, 0);
    t.scratch = rq_alloc(1, b->ops->bn_scratch(b, &t.shape));
    return t;
}

static void drop_bn(bn_tensors *t)
{
    tensor *all[] = {&t->x,    &t->residual, &t->y,      &t->dy,    &t->dy2,
                     &t->dx,   &t->g,        &t->scale,  &t->shift, &t->save,
                     &t->mean, &t->var,      &t->dscale, &t->dshift};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        drop(all[i]);
    rq_free(t->scratch);
}

static rq_bn_forward bn_forward_args(bn_tensors *t)
{
    return (rq_bn_forward){.x = t->x.data,
                           .residual = t->shape.residual ? t->residual.data : NULL,
                           .y = t->y.data,
                           .scale = t->scale.data,
                           .shift = t->shift.data,
                           .save = t->save.data,
                           .mean = t->mean.data,
                           .var = t->var.data};
}

static void bn_run(rq_backend *b, const bn_case *c, bn_tensors *t)
{
    const rq_bn_forward f = bn_forward_args(t);
    const rq_bn_backward k = {.x = t->x.data,
                              .y = t->y.data,
                              .dy = t->dy.data,
                              .dy2 = c->two ? t->dy2.data : NULL,
                              .g = c->keep_g ? t->g.data : NULL,
                              .dx = t->dx.data,
                              .scale = t->scale.data,
                              .shift = t->shift.data,
                              .save = t->save.data,
                              .dscale = t->dscale.data,
                              .dshift = t->dshift.data};

    b->ops->enter(b, b->opts.threads);
    b->ops->bn_forward(b, &t->shape, &f, t->scratch);
    b->ops->bn_backward(b, &t->shape, &k, t->scratch);
    b->ops->leave(b);
}

/* Two groups, one channel, numbers one can follow. */
static void bn_by_hand(void **state)
{
    rq_backend *b = open_backend("ref", 1, RQ_F32);
    const rq_bn_shape s = {2, 2, 1, RQ_DTYPE_F32, false, false};
    const float x[4] = {1, 3, 10, 10}, scale = 2, shift = 0.5f;
    float y[4], save[4], mean = 1, var = 1;
    const rq_bn_forward f = {.x = x,
                             .y = y,
                             .scale = &scale,
                             .shift = &shift,
                             .save = save,
                             .mean = &mean,
                             .var = &var};

    b->ops->bn_forward(b, &s, &f, NULL);
    near("y", (double)y[0], 0.5 - 2 / sqrt(1 + 1e-5), 1e-6);
    near("y", (double)y[1], 0.5 + 2 / sqrt(1 + 1e-5), 1e-6);
    near("constant group", (double)y[2], 0.5, 1e-6);
    near("mean", (double)mean, 0.9 * (0.9 * 1 + 0.1 * 2) + 0.1 * 10, 1e-6);
    near("unbiased variance", (double)var, 0.9 * (0.9 * 1 + 0.1 * 2) + 0.1 * 0, 1e-6);
    rq_backend_destroy(&b);
}

/* <dy + dy2, y> as a function of x, residual, scale, shift in double precision, written without
 * the backends; the ReLU's mask is held at the forward's. */
static double bn_loss(const bn_case *c, bn_tensors *t)
{
    const size_t channels = (size_t)c->channels;
    double loss = 0;

    for (size_t k = 0; k < (size_t)c->groups * channels; k++) {
        const size_t ch = k % channels, base = k / channels * c->rows * channels + ch;
        double mean = 0, var = 0;
        for (size_t r = 0; r < c->rows; r++)
            mean += (double)at(&t->x, base + r * channels) / (double)c->rows;
        for (size_t r = 0; r < c->rows; r++) {
            const double d = (double)at(&t->x, base + r * channels) - mean;
            var += d * d / (double)c->rows;
        }
        for (size_t r = 0; r < c->rows; r++) {
            const size_t i = base + r * channels;
            double y =
                ((double)at(&t->x, i) - mean) / sqrt(var + 1e-5) * (double)at(&t->scale, ch) +
                (double)at(&t->shift, ch);
            if (c->residual)
                y += (double)at(&t->residual, i);
            if (c->relu && at(&t->y, i) <= 0)
                y = 0;
            loss += y * ((double)at(&t->dy, i) + (c->two ? (double)at(&t->dy2, i) : 0));
        }
    }
    return loss;
}

static double slope(const bn_case *c, bn_tensors *t, tensor *v, size_t i)
{
    const float old = at(v, i), h = 1.0f / 512;

    set(v, i, old + h);
    const double up = bn_loss(c, t);
    set(v, i, old - h);
    const double down = bn_loss(c, t);
    set(v, i, old);
    return (up - down) / (2 * (double)h);
}

static void bn_backward_is_the_slope(void **state)
{
    rq_backend *b = open_backend("ref", 1, RQ_F32);

    for (size_t i = 0; i < 7; i++) { /* the small cases */
        const bn_case *c = &bn_cases[i];
        bn_tensors t = bn_inputs(c, RQ_DTYPE_F32, b);
        const tensor dscale = copy(&t.dscale), dshift = copy(&t.dshift);
        bn_run(b, c, &t);
        for (size_t k = 0; k < 25; k++) {
            const size_t e = k * 7919 % t.x.n, ch = k * 31 % t.scale.n;
            near("dx", (double)at(&t.dx, e), slope(c, &t, &t.x, e), 1e-4);
            near("dscale", (double)(at(&t.dscale, ch) - at(&dscale, ch)),
                 slope(c, &t, &t.scale, ch), 1e-5);
            near("dshift", (double)(at(&t.dshift, ch) - at(&dshift, ch)),
                 slope(c, &t, &t.shift, ch), 1e-5);
            if (c->residual)
                near("g", (double)at(&t.g, e), slope(c, &t, &t.residual, e), 1e-5);
        }
        tensor rest[] = {dscale, dshift};
        drop(&rest[0]);
        drop(&rest[1]);
        drop_bn(&t);
    }
    rq_backend_destroy(&b);
}

static void bn_compare_one(const bn_case *c, rq_dtype type, int threads, double bound)
{
    const rq_precision p = type == RQ_DTYPE_F32 ? RQ_F32 : RQ_BF16;
    rq_backend *a = open_backend("cpu", threads, p), *b = open_backend("ref", 1, p);
    bn_tensors ta = bn_inputs(c, type, a), tb = bn_inputs(c, type, b);
    /* A far mean costs digits: x a + b cancels. */
    const double wide = bound * (1 + (double)c->offset);

    bn_run(a, c, &ta);
    bn_run(b, c, &tb);
    close_to("y", &ta.y, &tb.y, wide);
    close_to("save", &ta.save, &tb.save, wide);
    close_to("running mean", &ta.mean, &tb.mean, bound);
    close_to("running variance", &ta.var, &tb.var, wide);
    close_to("g", &ta.g, &tb.g, wide);
    close_to("dx", &ta.dx, &tb.dx, wide);
    close_to("dscale", &ta.dscale, &tb.dscale, wide);
    close_to("dshift", &ta.dshift, &tb.dshift, wide);
    drop_bn(&ta);
    drop_bn(&tb);
    rq_backend_destroy(&a);
    rq_backend_destroy(&b);
}

static void bn_cpu_equals_reference(void **state)
{
    if (!has_cpu())
        skip();
    for (size_t i = 0; i < BN_CASES; i++)
        bn_compare_one(&bn_cases[i], RQ_DTYPE_F32, 2, 2e-6);
}

static void bn_cpu_equals_reference_bf16(void **state)
{
    if (!has_bf16())
        skip();
    for (size_t i = 0; i + 1 < BN_CASES; i++) /* not the far mean: bf16 has no digits left */
        bn_compare_one(&bn_cases[i], RQ_DTYPE_BF16, 2, 3e-3);
}

/* Every instruction set gives the bits of plain C; chunks and threads play no part. */
static void kernels_agree_to_the_bit(void **state)
{
    const unsigned have = rq_cpu_detect();
    const rq_kernels *c = rq_kernels_pick(0),
                     *others[] = {rq_kernels_pick(have & RQ_CPU_AVX2), rq_kernels_pick(have)};
    rq_backend *b = open_backend("ref", 1, RQ_F32);

    for (size_t i = 0; i < BN_CASES * 2; i++) {
        const bn_case *k = &bn_cases[i / 2];
        const rq_dtype type = i % 2 ? RQ_DTYPE_BF16 : RQ_DTYPE_F32;
        const size_t width = 16 * (size_t)k->channels;
        bn_tensors t = bn_inputs(k, type, b);
        tensor tables = noise(9 * width, RQ_DTYPE_F32, 20, 0);
        float *f = tables.data;
        for (size_t o = 0; o < 2; o++) {
            tensor out[2], g[2], sums[2];
            for (size_t who = 0; who < 2; who++) {
                const rq_kernels *kernels = who ? others[o] : c;
                out[who] = zeros(t.x.n, type);
                g[who] = zeros(t.x.n, type);
                sums[who] = zeros(4 * width, RQ_DTYPE_F32);
                rq_kernel_bn a = {.type = type,
                                  .n = t.x.n,
                                  .width = width,
                                  .x = t.x.data,
                                  .y = t.residual.data,
                                  .residual = k->residual ? t.residual.data : NULL,
                                  .dy = t.dy.data,
                                  .dy2 = k->two ? t.dy2.data : NULL,
                                  .out = out[who].data,
                                  .g = k->keep_g ? g[who].data : NULL,
                                  .relu = k->relu,
                                  .mask = !k->relu      ? RQ_MASK_NONE
                                          : k->residual ? RQ_MASK_Y
                                                        : RQ_MASK_X,
                                  .a = f,
                                  .b = f + width,
                                  .mean = f + 2 * width,
                                  .ca = f + 3 * width,
                                  .cb = f + 4 * width,
                                  .cc = f + 5 * width,
                                  .sums = sums[who].data};
                kernels->bn_stats(&a);
                a.sums += 2 * width;
                kernels->bn_apply(&a);
                kernels->bn_reduce(&a);
                kernels->bn_gradient(&a);
            }
            const size_t bytes = t.x.n * rq_dtype_bytes(type);
            assert_memory_equal(out[0].data, out[1].data, bytes);
            assert_memory_equal(g[0].data, g[1].data, bytes);
            assert_memory_equal(sums[0].data, sums[1].data, 4 * width * sizeof(float));
            for (size_t who = 0; who < 2; who++) {
                drop(&out[who]);
                drop(&g[who]);
                drop(&sums[who]);
            }
        }
        drop(&tables);
        drop_bn(&t);
    }
    rq_backend_destroy(&b);
}

/* ---- pooling, bias, input
 * ------------------------------------------------------------------*/

static void pools_by_hand(void **state)
{
    /* 3 x 3 to 2 x 2: the windows' corners; ties go to the first. */
    const rq_pool_shape s = {1, 3, 3, 1, 2, 2, RQ_DTYPE_F32};
    const float x[9] = {-1, -2, -3, -4, -9, -6, 7, 7, -8}, y[4] = {-1, -2, 7, 7};
    const uint8_t where[4] = {4, 3, 4, 3};
    const float dy[4] = {1, 2, 4, 8}, dy2[4] = {10, 20, 40, 80};
    const float dx[9] = {11, 22, 0, 0, 0, 0, 44, 88, 0};
    const float mean[1] = {-19.0f / 9};

    for (int i = 0; i < (has_cpu() ? 2 : 1); i++) {
        rq_backend *b = open_backend(i ? "cpu" : "ref", 1, RQ_F32);
        float out[4], back[9], avg[1], spread[9];
        uint8_t at_most[4];
        b->ops->maxpool_forward(b, &s, x, out, at_most);
        assert_memory_equal(out, y, sizeof y);
        assert_memory_equal(at_most, where, sizeof where);
        b->ops->maxpool_backward(b, &s, where, dy, dy2, back);
        assert_memory_equal(back, dx, sizeof dx);
        b->ops->gap_forward(b, x, RQ_DTYPE_F32, 1, 9, 1, avg, RQ_DTYPE_F32);
        near("mean", (double)avg[0], (double)mean[0], 1e-6);
        b->ops->gap_backward(b, dy + 2, RQ_DTYPE_F32, 1, 9, 1, spread);
        for (int k = 0; k < 9; k++)
            near("spread", (double)spread[k], 4.0 / 9, 1e-6);
        rq_backend_destroy(&b);
    }
}

/* The rest of the cpu backend against the reference, in both types. */
static void small_ops_equal_reference(void **state)
{
    if (!has_cpu())
        skip();
    for (int type = RQ_DTYPE_F32; type <= RQ_DTYPE_BF16; type++) {
        const rq_dtype t = (rq_dtype)type;
        const rq_pool_shape s = {3, 9, 12, 72, 5, 6, t};
        const size_t nx = 3 * 9 * 12 * 72, ny = 3 * 5 * 6 * 72;
        tensor x = noise(nx, t, 1, 0), dy = noise(ny, t, 2, 0), dy2 = noise(ny, t, 3, 0);
        tensor y[2], dx[2], other[2], bias[2], norm[2], avg[2], spread[2];
        uint8_t *where = rq_alloc(ny, 1), pixels[999];
        assert_non_null(where);
        for (size_t i = 0; i < sizeof pixels; i++)
            pixels[i] = (uint8_t)(i * 37 >> 3);
        for (int i = 0; i < 2; i++) {
            rq_backend *b = open_backend(i ? "cpu" : "ref", i + 1, RQ_F32);
            const rq_ops *o = b->ops;
            o->enter(b, i + 1);
            y[i] = zeros(ny, t);
            dx[i] = zeros(nx, t);
            other[i] = zeros(nx, t == RQ_DTYPE_F32 ? RQ_DTYPE_BF16 : RQ_DTYPE_F32);
            bias[i] = noise(72, RQ_DTYPE_F32, 4, 0);
            norm[i] = zeros(sizeof pixels, t);
            avg[i] = zeros(3 * 72, RQ_DTYPE_F32);
            spread[i] = zeros(nx, t);
            o->maxpool_forward(b, &s, x.data, y[i].data, where);
            o->maxpool_backward(b, &s, where, dy.data, dy2.data, dx[i].data);
            o->convert(b, other[i].data, other[i].type, x.data, t, nx);
            o->bias_forward(b, y[i].data, t, bias[i].data, ny / 72, 72);
            o->bias_backward(b, dy.data, t, bias[i].data, ny / 72, 72);
            o->normalise(b, pixels, sizeof pixels / 3, norm[i].data, t);
            o->gap_forward(b, x.data, t, 3, 9 * 12, 72, avg[i].data, RQ_DTYPE_F32);
            o->gap_backward(b, dy.data, t, 3, 9 * 12, 72, spread[i].data);
            o->leave(b);
            rq_backend_destroy(&b);
        }
        const double bound = t == RQ_DTYPE_F32 ? 1e-6 : 1e-4;
        close_to("max-pool, bias", &y[1], &y[0], bound);
        close_to("max-pool gradient", &dx[1], &dx[0], bound);
        close_to("convert", &other[1], &other[0], 0);
        close_to("bias gradient", &bias[1], &bias[0], 1e-6);
        close_to("normalise", &norm[1], &norm[0], bound);
        close_to("mean-pool", &avg[1], &avg[0], 1e-6);
        close_to("mean-pool gradient", &spread[1], &spread[0], bound);
        near("normalised black", (double)at(&norm[0], 0), -0.485 / 0.229, 4e-3);
        tensor *all[] = {&x,       &dy,       &dy2,      &y[0],      &y[1],     &dx[0],
                         &dx[1],   &other[0], &other[1], &bias[0],   &bias[1],  &norm[0],
                         &norm[1], &avg[0],   &avg[1],   &spread[0], &spread[1]};
        for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
            drop(all[i]);
        rq_free(where);
    }
}

/* To nearest, ties to even, and infinities stay. */
static void bf16_rounding(void **state)
{
    assert_int_equal(rq_bf16_from_f32(1.0f), 0x3F80);
    assert_int_equal(rq_bf16_from_f32(1.00390625f), 0x3F80); /* a tie: 1 + 2^-8 */
    assert_int_equal(rq_bf16_from_f32(1.01171875f), 0x3F82); /* a tie: 1 + 3 2^-8 */
    assert_int_equal(rq_bf16_from_f32(1.00390637f), 0x3F81); /* just above */
    assert_int_equal(rq_bf16_from_f32(-INFINITY), 0xFF80);
    assert_true(isnan(rq_bf16_to_f32(rq_bf16_from_f32(NAN))));
    assert_true(rq_bf16_to_f32(0xC040) == -3.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conv_by_hand),
        cmocka_unit_test(conv_backward_is_the_transpose),
        cmocka_unit_test(conv_cpu_equals_reference),
        cmocka_unit_test(conv_cpu_equals_reference_bf16),
        cmocka_unit_test(bn_by_hand),
        cmocka_unit_test(bn_backward_is_the_slope),
        cmocka_unit_test(bn_cpu_equals_reference),
        cmocka_unit_test(bn_cpu_equals_reference_bf16),
        cmocka_unit_test(kernels_agree_to_the_bit),
        cmocka_unit_test(pools_by_hand),
        cmocka_unit_test(small_ops_equal_reference),
        cmocka_unit_test(bf16_rounding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
