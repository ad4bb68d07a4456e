// SPDX-License-Identifier: Apache-2.0
//
// The cpu backend: convolutions and linear layers by oneDNN, everything else here, over kernels
// picked for the CPU. Tensors are cut into chunks whose size does not depend on the number of
// threads, and chunk results are added in order, so these operations give the same bits with
// any number of threads.
#include "train/backend_ops.h"

#include "augment/recipe.h"
#include "common/cpu.h"
#include "common/mem.h"
#include "train/bf16.h"
#include "train/cpu_kernels.h"
#include "train/onednn.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

typedef struct cpu {
    const rq_kernels *kernels;
#ifdef RQ_HAVE_ONEDNN
    rq_onednn *dnn;
#endif
    int outer_threads; /* OpenMP's setting outside of a pass */
} cpu;

/* Numbers per chunk: 128 KiB of f32, so that a chunk stays in the L2 cache. */
enum { CHUNK = 32768 };

static const rq_kernels *kernels_of(const rq_backend *b)
{
    const cpu *c = b->impl;

    return c->kernels;
}

const rq_kernels *rq_kernels_pick(unsigned cpu_flags)
{
#ifdef __x86_64__
    if (cpu_flags & RQ_CPU_AVX512)
        return &rq_kernels_avx512;
    if (cpu_flags & RQ_CPU_AVX2)
        return &rq_kernels_avx2;
#endif
    return &rq_kernels_c;
}

/* ---- life
 * ----------------------------------------------------------------------------------*/

#ifdef RQ_HAVE_ONEDNN
static rq_status open_library(rq_backend *b, cpu *c, rq_err *err)
{
    char version[40];

    if (b->opts.precision == RQ_BF16 && !rq_onednn_has_bf16())
        return rq_fail(err, RQ_UNSUPPORTED,
                       "backend cpu: this CPU has no bf16 instructions (AVX512-BF16); use "
                       "--precision f32");
    RQ_TRY(rq_onednn_create(&c->dnn, err));
    rq_onednn_version(version, sizeof version);
    snprintf(b->text, sizeof b->text, "cpu: %s, %d thread%s, %s, %s kernels", version,
             b->opts.threads, b->opts.threads == 1 ? "" : "s",
             b->opts.precision == RQ_BF16 ? "bf16" : "f32", c->kernels->name);
    return RQ_OK;
}
#else
static rq_status open_library(rq_backend *b, cpu *c, rq_err *err)
{
    return rq_fail(
        err, RQ_DEVICE,
        "backend cpu: this build has no oneDNN; install libdnnl-dev and build again, "
        "or use --backend ref");
}
#endif

static rq_status cpu_open(rq_backend *b, rq_err *err)
{
    cpu *c = rq_calloc(1, sizeof *c);

    if (!c)
        return rq_fail(err, RQ_OOM, "backend cpu: out of memory");
    c->kernels = rq_kernels_pick(rq_cpu_detect());
    const rq_status st = open_library(b, c, err);
    if (st != RQ_OK)
        rq_free(c);
    else
        b->impl = c;
    return st;
}

static void cpu_close(rq_backend *b)
{
    cpu *c = b->impl;

#ifdef RQ_HAVE_ONEDNN
    rq_onednn_destroy(&c->dnn);
#endif
    rq_free(c);
}

static void cpu_enter(rq_backend *b, int threads)
{
    cpu *c = b->impl;

    c->outer_threads = omp_get_max_threads();
    omp_set_num_threads(threads);
}

static void cpu_leave(rq_backend *b)
{
    const cpu *c = b->impl;

    omp_set_num_threads(c->outer_threads);
}

static void cpu_run_lanes(rq_backend *b, int lanes, int threads,
                          void (*fn)(void *ctx, int lane), void *ctx)
{
    if (lanes == 1) {
        cpu_enter(b, threads);
        fn(ctx, 0);
        cpu_leave(b);
        return;
    }
#pragma omp parallel for num_threads(b->opts.threads) schedule(dynamic, 1)
    for (int i = 0; i < lanes; i++) {
        omp_set_num_threads(threads); /* holds within this region, for this thread */
        fn(ctx, i);
    }
}

/* ---- convolutions
 * --------------------------------------------------------------------------*/

#ifdef RQ_HAVE_ONEDNN
static rq_onednn *dnn_of(const rq_backend *b)
{
    const cpu *c = b->impl;

    return c->dnn;
}

static rq_status cpu_conv_create(rq_backend *b, rq_conv **out, const rq_conv_shape *s,
                                 size_t *scratch_bytes, rq_err *err)
{
    return rq_onednn_conv_create(dnn_of(b), out, s, scratch_bytes, err);
}

static rq_status cpu_conv_forward(rq_backend *b, rq_conv *c, const void *x, const float *w,
                                  void *y, void *scratch, rq_err *err)
{
    return rq_onednn_forward(dnn_of(b), c, x, w, y, scratch, err);
}

static rq_status cpu_conv_backward_data(rq_backend *b, rq_conv *c, const void *dy,
                                        const float *w, void *dx, void *scratch, rq_err *err)
{
    return rq_onednn_backward_data(dnn_of(b), c, dy, w, dx, scratch, err);
}

static rq_status cpu_conv_backward_weights(rq_backend *b, rq_conv *c, const void *x,
                                           const void *dy, float *dw, void *scratch,
                                           rq_err *err)
{
    return rq_onednn_backward_weights(dnn_of(b), c, x, dy, dw, scratch, err);
}
#endif

/* ---- input and conversion
 * ------------------------------------------------------------------*/

static void cpu_normalise(rq_backend *b, const uint8_t *images, size_t pixels, void *y,
                          rq_dtype type)
{
    const float *mean = rq_imagenet_mean, *std = rq_imagenet_std;
    float f32[3][256];
    uint16_t bf16[3][256];

    for (int c = 0; c < 3; c++) {
        for (int v = 0; v < 256; v++) {
            f32[c][v] = (float)((v / 255.0 - (double)mean[c]) / (double)std[c]);
            bf16[c][v] = rq_bf16_from_f32(f32[c][v]);
        }
    }
#pragma omp parallel for schedule(static)
    for (size_t p = 0; p < pixels; p++) {
        for (size_t c = 0; c < 3; c++) {
            if (type == RQ_DTYPE_F32)
                ((float *)y)[3 * p + c] = f32[c][images[3 * p + c]];
            else
                ((uint16_t *)y)[3 * p + c] = bf16[c][images[3 * p + c]];
        }
    }
}

static void cpu_convert(rq_backend *b, void *dst, rq_dtype dst_type, const void *src,
                        rq_dtype src_type, size_t n)
{
    const size_t chunks = (n + CHUNK - 1) / CHUNK;

#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < chunks; i++) {
        const size_t at = i * CHUNK, len = n - at < CHUNK ? n - at : CHUNK;
        kernels_of(b)->convert((char *)dst + at * rq_dtype_bytes(dst_type), dst_type,
                               (const char *)src + at * rq_dtype_bytes(src_type), src_type,
                               len);
    }
}

static float get(const void *p, size_t i, rq_dtype type)
{
    return type == RQ_DTYPE_F32 ? ((const float *)p)[i]
                                : rq_bf16_to_f32(((const uint16_t *)p)[i]);
}

static void put(void *p, size_t i, rq_dtype type, float v)
{
    if (type == RQ_DTYPE_F32)
        ((float *)p)[i] = v;
    else
        ((uint16_t *)p)[i] = rq_bf16_from_f32(v);
}

static void cpu_bias_forward(rq_backend *b, void *y, rq_dtype type, const float *bias,
                             size_t rows, int width)
{
    const size_t w = (size_t)width;

#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < rows; r++) {
        for (size_t i = 0; i < w; i++)
            put(y, r * w + i, type, get(y, r * w + i, type) + bias[i]);
    }
}

static void cpu_bias_backward(rq_backend *b, const void *dy, rq_dtype type, float *db,
                              size_t rows, int width)
{
    enum { STRIP = 64 };
    const size_t w = (size_t)width, strips = (w + STRIP - 1) / STRIP;

#pragma omp parallel for schedule(static)
    for (size_t s = 0; s < strips; s++) {
        const size_t first = s * STRIP, n = w - first < STRIP ? w - first : STRIP;
        double sum[STRIP] = {0};
        for (size_t r = 0; r < rows; r++) {
            for (size_t i = 0; i < n; i++)
                sum[i] += (double)get(dy, r * w + first + i, type);
        }
        for (size_t i = 0; i < n; i++)
            db[first + i] += (float)sum[i];
    }
}

/* ---- BatchNorm
 * -----------------------------------------------------------------------------*/

/* How one BatchNorm is cut up, and where its tables are in scratch. Tables have `width` lanes
 * per group: channels, repeated `fold` times. */
typedef struct layout {
    size_t groups, channels, fold, width;
    size_t group_size;    /* numbers per group */
    size_t chunk, chunks; /* numbers per chunk, chunks per group */
    float *mean, *a, *b;  /* [groups][width] */
    float *ca, *cb, *cc;
    double *total; /* [groups][2][width] */
    float *sums;   /* [groups][chunks][2][width] */
    size_t bytes;
} layout;

/* Lanes: a multiple of RQ_LANES, and at least four vectors when there are few channels. */
static size_t fold_of(size_t channels)
{
    size_t fold = 1;

    while (fold * channels % RQ_LANES != 0)
        fold *= 2;
    while (fold * channels < 4 * RQ_LANES)
        fold *= 2;
    return fold;
}

static void *carve(void *scratch, size_t *at, size_t bytes)
{
    void *p = scratch ? (char *)scratch + *at : NULL;

    *at += rq_round_up(bytes, RQ_ALIGN);
    return p;
}

/* scratch NULL: only the sizes */
static layout make_layout(const rq_bn_shape *s, void *scratch)
{
    layout l = {.groups = (size_t)s->groups, .channels = (size_t)s->channels};

    l.fold = fold_of(l.channels);
    l.width = l.fold * l.channels;
    l.group_size = s->rows * l.channels;
    l.chunk = l.width < CHUNK ? CHUNK / l.width * l.width : l.width;
    l.chunks = (l.group_size + l.chunk - 1) / l.chunk;
    float **tables[] = {&l.mean, &l.a, &l.b, &l.ca, &l.cb, &l.cc};
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        *tables[i] = carve(scratch, &l.bytes, l.groups * l.width * sizeof(float));
    l.total = carve(scratch, &l.bytes, l.groups * 2 * l.width * sizeof(double));
    l.sums = carve(scratch, &l.bytes, l.groups * l.chunks * 2 * l.width * sizeof(float));
    return l;
}

static size_t cpu_bn_scratch(const rq_backend *b, const rq_bn_shape *s)
{
    return make_layout(s, NULL).bytes;
}

/* Kernel arguments for chunk i of all groups' chunks. */
static rq_kernel_bn chunk_args(const layout *l, const rq_bn_shape *s, size_t i)
{
    const size_t group = i / l->chunks, k = i % l->chunks;
    const size_t left = l->group_size - k * l->chunk;

    return (rq_kernel_bn){.type = s->type,
                          .n = left < l->chunk ? left : l->chunk,
                          .width = l->width,
                          .relu = s->relu,
                          .mean = l->mean + group * l->width,
                          .a = l->a + group * l->width,
                          .b = l->b + group * l->width,
                          .ca = l->ca + group * l->width,
                          .cb = l->cb + group * l->width,
                          .cc = l->cc + group * l->width,
                          .sums = l->sums + i * 2 * l->width};
}

/* Where chunk i starts in a tensor; NULL stays NULL. */
static const void *in_at(const layout *l, const rq_bn_shape *s, const void *p, size_t i)
{
    const size_t at = i / l->chunks * l->group_size + i % l->chunks * l->chunk;

    return p ? (const char *)p + at * rq_dtype_bytes(s->type) : NULL;
}

static void *out_at(const layout *l, const rq_bn_shape *s, void *p, size_t i)
{
    const size_t at = i / l->chunks * l->group_size + i % l->chunks * l->chunk;

    return p ? (char *)p + at * rq_dtype_bytes(s->type) : NULL;
}

/* Adds up a group's chunks in order, then the folds: total[0][c] and total[1][c]. */
static const double *add_chunks(const layout *l, size_t group)
{
    double *t = l->total + group * 2 * l->width;
    const float *sums = l->sums + group * l->chunks * 2 * l->width;

    memset(t, 0, 2 * l->width * sizeof *t);
    for (size_t k = 0; k < l->chunks; k++) {
        for (size_t i = 0; i < 2 * l->width; i++)
            t[i] += (double)sums[k * 2 * l->width + i];
    }
    for (size_t which = 0; which < 2; which++) {
        for (size_t i = l->channels; i < l->width; i++)
            t[which * l->width + i % l->channels] += t[which * l->width + i];
    }
    return t;
}

/* Repeats the first `channels` lanes of a group's table. */
static void repeat(const layout *l, float *table)
{
    for (size_t i = l->channels; i < l->width; i++)
        table[i] = table[i - l->channels];
}

/* The affine map of one group: y = x a + b. */
static void set_affine(const layout *l, size_t group, const float *scale, const float *shift,
                       const float *mean, const float *rsigma)
{
    float *a = l->a + group * l->width, *b = l->b + group * l->width;

    for (size_t c = 0; c < l->channels; c++) {
        a[c] = scale[c] * rsigma[c];
        b[c] = shift[c] - mean[c] * a[c];
    }
    repeat(l, a);
    repeat(l, b);
}

/* From sums about a pivot to mean and 1 / sigma of a group; *var for the running statistics. */
static void finish_stats(const layout *l, const rq_bn_shape *s, const rq_bn_forward *f,
                         size_t group)
{
    double *t = l->total + group * 2 * l->width;
    const float *pivot = l->mean + group * l->width;
    float *mean = f->save + group * l->channels;
    float *rsigma = f->save + (l->groups + group) * l->channels;
    const double n = (double)s->rows;

    add_chunks(l, group);
    for (size_t c = 0; c < l->channels; c++) {
        const double d = t[c] / n;
        const double v = t[l->width + c] / n - d * d, var = v < 0 ? 0 : v;
        t[c] = (double)pivot[c] + d;
        t[l->width + c] = var;
        mean[c] = (float)t[c];
        rsigma[c] = (float)(1 / sqrt(var + (double)RQ_BN_EPS));
    }
    set_affine(l, group, f->scale, f->shift, mean, rsigma);
}

static void update_running(const layout *l, const rq_bn_shape *s, const rq_bn_forward *f)
{
    const double m = (double)RQ_BN_MOMENTUM, n = (double)s->rows;
    const double unbias = s->rows > 1 ? n / (n - 1) : 1;

    for (size_t g = 0; g < l->groups; g++) {
        const double *t = l->total + g * 2 * l->width;
        for (size_t c = 0; c < l->channels; c++) {
            f->mean[c] = (float)((1 - m) * (double)f->mean[c] + m * t[c]);
            f->var[c] = (float)((1 - m) * (double)f->var[c] + m * unbias * t[l->width + c]);
        }
    }
}

static void apply_chunks(rq_backend *b, const layout *l, const rq_bn_shape *s,
                         const rq_bn_forward *f)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < l->groups * l->chunks; i++) {
        rq_kernel_bn k = chunk_args(l, s, i);
        k.x = in_at(l, s, f->x, i);
        k.residual = s->residual ? in_at(l, s, f->residual, i) : NULL;
        k.out = out_at(l, s, f->y, i);
        kernels_of(b)->bn_apply(&k);
    }
}

static void cpu_bn_forward(rq_backend *b, const rq_bn_shape *s, const rq_bn_forward *f,
                           void *scratch)
{
    const layout l = make_layout(s, scratch);

    /* Sums are taken about the group's first pixel: no cancellation when the mean is large. */
    for (size_t g = 0; g < l.groups; g++) {
        float *pivot = l.mean + g * l.width;
        for (size_t c = 0; c < l.channels; c++)
            pivot[c] = get(f->x, g * l.group_size + c, s->type);
        repeat(&l, pivot);
    }
#pragma omp parallel
    {
#pragma omp for schedule(static)
        for (size_t i = 0; i < l.groups * l.chunks; i++) {
            rq_kernel_bn k = chunk_args(&l, s, i);
            k.x = in_at(&l, s, f->x, i);
            kernels_of(b)->bn_stats(&k);
        }
#pragma omp for schedule(static)
        for (size_t g = 0; g < l.groups; g++)
            finish_stats(&l, s, f, g);
    }
    if (f->mean)
        update_running(&l, s, f);
    apply_chunks(b, &l, s, f);
}

static void cpu_bn_eval(rq_backend *b, const rq_bn_shape *s, const rq_bn_forward *f,
                        void *scratch)
{
    const layout l = make_layout(s, scratch);
    float *rsigma = l.ca;

    for (size_t c = 0; c < l.channels; c++)
        rsigma[c] = (float)(1 / sqrt((double)f->var[c] + (double)RQ_BN_EPS));
    for (size_t g = 0; g < l.groups; g++)
        set_affine(&l, g, f->scale, f->shift, f->mean, rsigma);
    apply_chunks(b, &l, s, f);
}

/* The coefficients of dx for one group, from the sums about the mean; leaves them in total. */
static void finish_sums(const layout *l, const rq_bn_shape *s, const rq_bn_backward *a,
                        size_t group)
{
    const float *rsigma = a->save + (l->groups + group) * l->channels;
    const double *t = add_chunks(l, group);
    float *ca = l->ca + group * l->width, *cb = l->cb + group * l->width,
          *cc = l->cc + group * l->width;
    const double n = (double)s->rows;

    for (size_t c = 0; c < l->channels; c++) {
        const double r = (double)rsigma[c], scale = (double)a->scale[c] * r;
        ca[c] = (float)scale;
        cb[c] = (float)(-scale * r * r * t[l->width + c] / n);
        cc[c] = (float)(-scale * t[c] / n);
    }
    repeat(l, ca);
    repeat(l, cb);
    repeat(l, cc);
}

/* Parameter gradients, groups in order. */
static void add_parameter_gradients(const layout *l, const rq_bn_backward *a)
{
    for (size_t g = 0; g < l->groups; g++) {
        const double *t = l->total + g * 2 * l->width;
        const float *rsigma = a->save + (l->groups + g) * l->channels;
        for (size_t c = 0; c < l->channels; c++) {
            a->dshift[c] += (float)t[c];
            a->dscale[c] += (float)(t[l->width + c] * (double)rsigma[c]);
        }
    }
}

static rq_kernel_bn backward_args(const layout *l, const rq_bn_shape *s,
                                  const rq_bn_backward *a, size_t i)
{
    rq_kernel_bn k = chunk_args(l, s, i);

    k.x = in_at(l, s, a->x, i);
    k.y = in_at(l, s, a->y, i);
    k.dy = in_at(l, s, a->dy, i);
    k.dy2 = in_at(l, s, a->dy2, i);
    k.g = out_at(l, s, a->g, i);
    k.out = out_at(l, s, a->dx, i);
    k.mask = !s->relu ? RQ_MASK_NONE : s->residual ? RQ_MASK_Y : RQ_MASK_X;
    return k;
}

static void cpu_bn_backward(rq_backend *b, const rq_bn_shape *s, const rq_bn_backward *a,
                            void *scratch)
{
    const layout l = make_layout(s, scratch);

    for (size_t g = 0; g < l.groups; g++) {
        const float *mean = a->save + g * l.channels;
        memcpy(l.mean + g * l.width, mean, l.channels * sizeof *mean);
        repeat(&l, l.mean + g * l.width);
        set_affine(&l, g, a->scale, a->shift, mean, a->save + (l.groups + g) * l.channels);
    }
#pragma omp parallel
    {
#pragma omp for schedule(static)
        for (size_t i = 0; i < l.groups * l.chunks; i++) {
            const rq_kernel_bn k = backward_args(&l, s, a, i);
            kernels_of(b)->bn_reduce(&k);
        }
#pragma omp for schedule(static)
        for (size_t g = 0; g < l.groups; g++)
            finish_sums(&l, s, a, g);
#pragma omp for schedule(static)
        for (size_t i = 0; i < l.groups * l.chunks; i++) {
            const rq_kernel_bn k = backward_args(&l, s, a, i);
            kernels_of(b)->bn_gradient(&k);
        }
    }
    add_parameter_gradients(&l, a);
}

/* ---- pooling
 * -------------------------------------------------------------------------------*/

static void cpu_maxpool_forward(rq_backend *b, const rq_pool_shape *s, const void *x, void *y,
                                uint8_t *where)
{
    const size_t bytes = rq_dtype_bytes(s->type), oh = (size_t)s->oh;
    const size_t image = (size_t)s->h * (size_t)s->w * (size_t)s->c;
    const size_t row = (size_t)s->ow * (size_t)s->c;

#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < (size_t)s->n * oh; i++)
        kernels_of(b)->maxpool_row(s, (int)(i % oh), (const char *)x + i / oh * image * bytes,
                                   (char *)y + i * row * bytes, where ? where + i * row : NULL);
}

static void cpu_maxpool_backward(rq_backend *b, const rq_pool_shape *s, const uint8_t *where,
                                 const void *dy, const void *dy2, void *dx)
{
    const size_t bytes = rq_dtype_bytes(s->type), h = (size_t)s->h;
    const size_t image = (size_t)s->oh * (size_t)s->ow * (size_t)s->c;
    const size_t row = (size_t)s->w * (size_t)s->c;

#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < (size_t)s->n * h; i++) {
        const size_t at = i / h * image;
        kernels_of(b)->maxpool_grad_row(
            s, (int)(i % h), where + at, (const char *)dy + at * bytes,
            dy2 ? (const char *)dy2 + at * bytes : NULL, (char *)dx + i * row * bytes);
    }
}

static void cpu_gap_forward(rq_backend *b, const void *x, rq_dtype type, int n, size_t pixels,
                            int c, void *y, rq_dtype out_type)
{
    enum { STRIP = 64 };
    const size_t channels = (size_t)c;

#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < (size_t)n; i++) {
        for (size_t first = 0; first < channels; first += STRIP) {
            const size_t len = channels - first < STRIP ? channels - first : STRIP;
            float sum[STRIP] = {0};
            for (size_t p = 0; p < pixels; p++) {
                for (size_t k = 0; k < len; k++)
                    sum[k] += get(x, (i * pixels + p) * channels + first + k, type);
            }
            for (size_t k = 0; k < len; k++)
                put(y, i * channels + first + k, out_type, sum[k] / (float)pixels);
        }
    }
}

static void cpu_gap_backward(rq_backend *b, const void *dy, rq_dtype type, int n, size_t pixels,
                             int c, void *dx)
{
    const size_t channels = (size_t)c;

#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < (size_t)n * pixels; i++) {
        for (size_t k = 0; k < channels; k++)
            put(dx, i * channels + k, type,
                get(dy, i / pixels * channels + k, type) / (float)pixels);
    }
}

const rq_ops rq_ops_cpu = {
    .name = "cpu",
    .open = cpu_open,
    .close = cpu_close,
    .enter = cpu_enter,
    .leave = cpu_leave,
    .run_lanes = cpu_run_lanes,
    .normalise = cpu_normalise,
    .convert = cpu_convert,
#ifdef RQ_HAVE_ONEDNN
    .conv_create = cpu_conv_create,
    .conv_destroy = rq_onednn_conv_destroy,
    .conv_forward = cpu_conv_forward,
    .conv_backward_data = cpu_conv_backward_data,
    .conv_backward_weights = cpu_conv_backward_weights,
#endif
    .bias_forward = cpu_bias_forward,
    .bias_backward = cpu_bias_backward,
    .bn_scratch = cpu_bn_scratch,
    .bn_forward = cpu_bn_forward,
    .bn_eval = cpu_bn_eval,
    .bn_backward = cpu_bn_backward,
    .maxpool_forward = cpu_maxpool_forward,
    .maxpool_backward = cpu_maxpool_backward,
    .gap_forward = cpu_gap_forward,
    .gap_backward = cpu_gap_backward,
};
