// SPDX-License-Identifier: Apache-2.0
//
// The inner loops of BatchNorm, ReLU, residuals and pooling. Written with the vector types of
// gcc and clang, 16 floats each, which the compiler maps to whatever the machine has; this file
// is compiled once plainly and included by cpu_kernels_avx2.c and cpu_kernels_avx512.c, which
// are compiled for those (with -Wno-psabi, since vectors are only passed to inlined functions).
// Four vectors at a time keep the sums of 64 lanes in registers.
#include "train/cpu_kernels.h"

#include "train/bf16.h"

#include <stdint.h>
#include <string.h>

#ifndef RQ_KERNELS
#define RQ_KERNELS      rq_kernels_c
#define RQ_KERNELS_NAME "c"
#endif

#define INLINE static inline __attribute__((always_inline))

typedef float vf __attribute__((vector_size(64)));
typedef int32_t vi __attribute__((vector_size(64)));
typedef uint32_t vu __attribute__((vector_size(64)));
typedef uint16_t vh __attribute__((vector_size(32)));

enum { BLOCK = 4 }; /* vectors at a time */

/* ---- vectors
 * -------------------------------------------------------------------------------*/

INLINE vf load_f32(const float *p)
{
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void store_f32(float *p, vf v)
{
    memcpy(p, &v, sizeof v);
}

INLINE vf widen(vh h)
{
    return (vf)(__builtin_convertvector(h, vu) << 16);
}

/* As rq_bf16_from_f32. */
INLINE vh narrow(vf v)
{
    const vu u = (vu)v;
    return __builtin_convertvector((u + 0x7FFFu + ((u >> 16) & 1u)) >> 16, vh);
}

INLINE vf load(const void *p, size_t i, rq_dtype type)
{
    if (type == RQ_DTYPE_F32)
        return load_f32((const float *)p + i);
    vh h;
    memcpy(&h, (const uint16_t *)p + i, sizeof h);
    return widen(h);
}

/* Returns what a load would read back. */
INLINE vf store(void *p, size_t i, rq_dtype type, vf v)
{
    if (type == RQ_DTYPE_F32) {
        store_f32((float *)p + i, v);
        return v;
    }
    const vh h = narrow(v);
    memcpy((uint16_t *)p + i, &h, sizeof h);
    return widen(h);
}

/* v where m is all ones, 0 where it is zero */
INLINE vf keep(vf v, vi m)
{
    return (vf)((vi)v & m);
}

/* ReLU that lets NaN through, so that divergence shows. */
INLINE vf relu(vf v)
{
    return keep(v, ~(v < 0.0f));
}

/* ---- single numbers, for the short last row
 * ------------------------------------------------*/

INLINE float load1(const void *p, size_t i, rq_dtype type)
{
    return type == RQ_DTYPE_F32 ? ((const float *)p)[i]
                                : rq_bf16_to_f32(((const uint16_t *)p)[i]);
}

INLINE float store1(void *p, size_t i, rq_dtype type, float v)
{
    if (type == RQ_DTYPE_F32) {
        ((float *)p)[i] = v;
        return v;
    }
    ((uint16_t *)p)[i] = rq_bf16_from_f32(v);
    return rq_bf16_to_f32(((uint16_t *)p)[i]);
}

/* ---- statistics
 * ----------------------------------------------------------------------------*/

INLINE void stats_lanes(const rq_kernel_bn *k, rq_dtype type, size_t lane, size_t rows, int nv)
{
    vf sum[BLOCK], squares[BLOCK], mean[BLOCK];

#pragma GCC unroll 4
    for (int v = 0; v < nv; v++) {
        mean[v] = load_f32(k->mean + lane + RQ_LANES * (size_t)v);
        sum[v] = squares[v] = (vf){0};
    }
    for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (int v = 0; v < nv; v++) {
            const vf d = load(k->x, r * k->width + lane + RQ_LANES * (size_t)v, type) - mean[v];
            sum[v] += d;
            squares[v] += d * d;
        }
    }
#pragma GCC unroll 4
    for (int v = 0; v < nv; v++) {
        store_f32(k->sums + lane + RQ_LANES * (size_t)v, sum[v]);
        store_f32(k->sums + k->width + lane + RQ_LANES * (size_t)v, squares[v]);
    }
}

INLINE void stats(const rq_kernel_bn *k, rq_dtype type)
{
    const size_t rows = k->n / k->width, tail = k->n % k->width, base = rows * k->width;
    size_t lane = 0;

    for (; lane + BLOCK * RQ_LANES <= k->width; lane += BLOCK * RQ_LANES)
        stats_lanes(k, type, lane, rows, BLOCK);
    for (; lane < k->width; lane += RQ_LANES)
        stats_lanes(k, type, lane, rows, 1);
    for (size_t i = 0; i < tail; i++) {
        const float d = load1(k->x, base + i, type) - k->mean[i];
        k->sums[i] += d;
        k->sums[k->width + i] += d * d;
    }
}

static void bn_stats(const rq_kernel_bn *k)
{
    if (k->type == RQ_DTYPE_F32)
        stats(k, RQ_DTYPE_F32);
    else
        stats(k, RQ_DTYPE_BF16);
}

/* ---- apply
 * ---------------------------------------------------------------------------------*/

INLINE void apply_lanes(const rq_kernel_bn *k, rq_dtype type, bool residual, bool with_relu,
                        size_t lane, size_t rows, int nv)
{
    vf a[BLOCK], b[BLOCK];

#pragma GCC unroll 4
    for (int v = 0; v < nv; v++) {
        a[v] = load_f32(k->a + lane + RQ_LANES * (size_t)v);
        b[v] = load_f32(k->b + lane + RQ_LANES * (size_t)v);
    }
    for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (int v = 0; v < nv; v++) {
            const size_t i = r * k->width + lane + RQ_LANES * (size_t)v;
            vf y = load(k->x, i, type) * a[v] + b[v];
            if (residual)
                y += load(k->residual, i, type);
            store(k->out, i, type, with_relu ? relu(y) : y);
        }
    }
}

INLINE void apply(const rq_kernel_bn *k, rq_dtype type, bool residual, bool with_relu)
{
    const size_t rows = k->n / k->width, tail = k->n % k->width, base = rows * k->width;
    size_t lane = 0;

    for (; lane + BLOCK * RQ_LANES <= k->width; lane += BLOCK * RQ_LANES)
        apply_lanes(k, type, residual, with_relu, lane, rows, BLOCK);
    for (; lane < k->width; lane += RQ_LANES)
        apply_lanes(k, type, residual, with_relu, lane, rows, 1);
    for (size_t i = 0; i < tail; i++) {
        float y = load1(k->x, base + i, type) * k->a[i] + k->b[i];
        if (residual)
            y += load1(k->residual, base + i, type);
        store1(k->out, base + i, type, with_relu && y < 0 ? 0 : y);
    }
}

INLINE void apply_typed(const rq_kernel_bn *k, rq_dtype type)
{
    if (k->residual && k->relu)
        apply(k, type, true, true);
    else if (k->residual)
        apply(k, type, true, false);
    else if (k->relu)
        apply(k, type, false, true);
    else
        apply(k, type, false, false);
}

static void bn_apply(const rq_kernel_bn *k)
{
    if (k->type == RQ_DTYPE_F32)
        apply_typed(k, RQ_DTYPE_F32);
    else
        apply_typed(k, RQ_DTYPE_BF16);
}

/* ---- gradient
 * ------------------------------------------------------------------------------*/

/* What a backward kernel does, known when it is compiled. */
typedef struct variant {
    rq_dtype type;
    rq_mask mask;
    bool two;  /* dy2 */
    bool kept; /* g is kept in memory */
} variant;

INLINE vf masked(const rq_kernel_bn *k, variant o, size_t i, vf g, vf x, vf a, vf b)
{
    if (o.mask == RQ_MASK_Y)
        return keep(g, load(k->y, i, o.type) > 0.0f);
    if (o.mask == RQ_MASK_X)
        return keep(g, x * a + b > 0.0f);
    return g;
}

INLINE float masked1(const rq_kernel_bn *k, variant o, size_t i, float g, float x, float a,
                     float b)
{
    if (o.mask == RQ_MASK_Y)
        return load1(k->y, i, o.type) > 0 ? g : 0;
    if (o.mask == RQ_MASK_X)
        return x * a + b > 0 ? g : 0;
    return g;
}

INLINE void reduce_lanes(const rq_kernel_bn *k, variant o, size_t lane, size_t rows, int nv)
{
    vf sum[BLOCK], sumx[BLOCK], mean[BLOCK], a[BLOCK], b[BLOCK];

#pragma GCC unroll 4
    for (int v = 0; v < nv; v++) {
        const size_t at = lane + RQ_LANES * (size_t)v;
        mean[v] = load_f32(k->mean + at);
        a[v] = o.mask == RQ_MASK_X ? load_f32(k->a + at) : (vf){0};
        b[v] = o.mask == RQ_MASK_X ? load_f32(k->b + at) : (vf){0};
        sum[v] = sumx[v] = (vf){0};
    }
    for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (int v = 0; v < nv; v++) {
            const size_t i = r * k->width + lane + RQ_LANES * (size_t)v;
            const vf x = load(k->x, i, o.type);
            vf g = load(k->dy, i, o.type);
            if (o.two)
                g += load(k->dy2, i, o.type);
            g = masked(k, o, i, g, x, a[v], b[v]);
            if (o.kept)
                g = store(k->g, i, o.type, g);
            sum[v] += g;
            sumx[v] += g * (x - mean[v]);
        }
    }
#pragma GCC unroll 4
    for (int v = 0; v < nv; v++) {
        store_f32(k->sums + lane + RQ_LANES * (size_t)v, sum[v]);
        store_f32(k->sums + k->width + lane + RQ_LANES * (size_t)v, sumx[v]);
    }
}

INLINE void reduce(const rq_kernel_bn *k, variant o)
{
    const size_t rows = k->n / k->width, tail = k->n % k->width, base = rows * k->width;
    size_t lane = 0;

    for (; lane + BLOCK * RQ_LANES <= k->width; lane += BLOCK * RQ_LANES)
        reduce_lanes(k, o, lane, rows, BLOCK);
    for (; lane < k->width; lane += RQ_LANES)
        reduce_lanes(k, o, lane, rows, 1);
    for (size_t i = 0; i < tail; i++) {
        const float x = load1(k->x, base + i, o.type);
        float g = load1(k->dy, base + i, o.type);
        if (o.two)
            g += load1(k->dy2, base + i, o.type);
        g = masked1(k, o, base + i, g, x, k->a[i], k->b[i]);
        if (o.kept)
            g = store1(k->g, base + i, o.type, g);
        k->sums[i] += g;
        k->sums[k->width + i] += g * (x - k->mean[i]);
    }
}

INLINE void gradient_lanes(const rq_kernel_bn *k, variant o, size_t lane, size_t rows, int nv)
{
    vf mean[BLOCK], a[BLOCK], b[BLOCK], ca[BLOCK], cb[BLOCK], cc[BLOCK];

#pragma GCC unroll 4
    for (int v = 0; v < nv; v++) {
        const size_t at = lane + RQ_LANES * (size_t)v;
        mean[v] = load_f32(k->mean + at);
        a[v] = load_f32(k->a + at);
        b[v] = load_f32(k->b + at);
        ca[v] = load_f32(k->ca + at);
        cb[v] = load_f32(k->cb + at);
        cc[v] = load_f32(k->cc + at);
    }
    for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (int v = 0; v < nv; v++) {
            const size_t i = r * k->width + lane + RQ_LANES * (size_t)v;
            const vf x = load(k->x, i, o.type);
            vf g = load(o.kept ? k->g : k->dy, i, o.type);
            if (!o.kept)
                g = masked(k, o, i, g, x, a[v], b[v]);
            store(k->out, i, o.type, g * ca[v] + (x - mean[v]) * cb[v] + cc[v]);
        }
    }
}

INLINE void gradient(const rq_kernel_bn *k, variant o)
{
    const size_t rows = k->n / k->width, tail = k->n % k->width, base = rows * k->width;
    size_t lane = 0;

    for (; lane + BLOCK * RQ_LANES <= k->width; lane += BLOCK * RQ_LANES)
        gradient_lanes(k, o, lane, rows, BLOCK);
    for (; lane < k->width; lane += RQ_LANES)
        gradient_lanes(k, o, lane, rows, 1);
    for (size_t i = 0; i < tail; i++) {
        const float x = load1(k->x, base + i, o.type);
        float g = load1(o.kept ? k->g : k->dy, base + i, o.type);
        if (!o.kept)
            g = masked1(k, o, base + i, g, x, k->a[i], k->b[i]);
        store1(k->out, base + i, o.type, g * k->ca[i] + (x - k->mean[i]) * k->cb[i] + k->cc[i]);
    }
}

INLINE void reduce_masked(const rq_kernel_bn *k, rq_dtype type, rq_mask mask)
{
    if (k->dy2)
        reduce(k, (variant){type, mask, true, true});
    else if (k->g)
        reduce(k, (variant){type, mask, false, true});
    else
        reduce(k, (variant){type, mask, false, false});
}

INLINE void reduce_typed(const rq_kernel_bn *k, rq_dtype type)
{
    if (k->mask == RQ_MASK_NONE)
        reduce_masked(k, type, RQ_MASK_NONE);
    else if (k->mask == RQ_MASK_Y)
        reduce_masked(k, type, RQ_MASK_Y);
    else
        reduce_masked(k, type, RQ_MASK_X);
}

static void bn_reduce(const rq_kernel_bn *k)
{
    if (k->type == RQ_DTYPE_F32)
        reduce_typed(k, RQ_DTYPE_F32);
    else
        reduce_typed(k, RQ_DTYPE_BF16);
}

INLINE void gradient_typed(const rq_kernel_bn *k, rq_dtype type)
{
    if (k->g)
        gradient(k, (variant){type, RQ_MASK_NONE, false, true});
    else if (k->mask == RQ_MASK_NONE)
        gradient(k, (variant){type, RQ_MASK_NONE, false, false});
    else if (k->mask == RQ_MASK_Y)
        gradient(k, (variant){type, RQ_MASK_Y, false, false});
    else
        gradient(k, (variant){type, RQ_MASK_X, false, false});
}

static void bn_gradient(const rq_kernel_bn *k)
{
    if (k->type == RQ_DTYPE_F32)
        gradient_typed(k, RQ_DTYPE_F32);
    else
        gradient_typed(k, RQ_DTYPE_BF16);
}

/* ---- conversion and pooling
 * ----------------------------------------------------------------*/

static void convert(void *dst, rq_dtype dst_type, const void *src, rq_dtype src_type, size_t n)
{
    for (size_t i = 0; i < n; i++)
        store1(dst, i, dst_type, load1(src, i, src_type));
}

INLINE void maxpool_row_typed(const rq_pool_shape *s, rq_dtype type, int oy, const void *image,
                              void *y, uint8_t *where)
{
    const size_t channels = (size_t)s->c;

    for (int ox = 0; ox < s->ow; ox++) {
        const size_t out = (size_t)ox * channels;
        for (size_t c = 0; c < channels; c++) {
            float best = 0;
            int at = -1;
            for (int t = 0; t < 9; t++) {
                const int iy = 2 * oy + t / 3 - 1, ix = 2 * ox + t % 3 - 1;
                if (iy < 0 || iy >= s->h || ix < 0 || ix >= s->w)
                    continue;
                const float v =
                    load1(image, ((size_t)iy * (size_t)s->w + (size_t)ix) * channels + c, type);
                if (at < 0 || v > best) {
                    best = v;
                    at = t;
                }
            }
            store1(y, out + c, type, best);
            if (where)
                where[out + c] = (uint8_t)at;
        }
    }
}

static void maxpool_row(const rq_pool_shape *s, int oy, const void *image, void *y,
                        uint8_t *where)
{
    if (s->type == RQ_DTYPE_F32)
        maxpool_row_typed(s, RQ_DTYPE_F32, oy, image, y, where);
    else
        maxpool_row_typed(s, RQ_DTYPE_BF16, oy, image, y, where);
}

/* Adds to sum[c] what output pixel o hands to the input pixel at place t of its window. */
INLINE void take_gradient(const rq_pool_shape *s, rq_dtype type, size_t o, int t,
                          const uint8_t *where, const void *dy, const void *dy2, size_t c0,
                          int n, float *sum)
{
    const size_t at = o * (size_t)s->c + c0;

    for (int c = 0; c < n; c++) {
        float g = load1(dy, at + (size_t)c, type);
        if (dy2)
            g += load1(dy2, at + (size_t)c, type);
        sum[c] += where[at + (size_t)c] == t ? g : 0;
    }
}

INLINE void maxpool_grad_row_typed(const rq_pool_shape *s, rq_dtype type, int iy,
                                   const uint8_t *where, const void *dy, const void *dy2,
                                   void *dx)
{
    enum { STRIP = 64 };

    for (int ix = 0; ix < s->w; ix++) {
        for (int c0 = 0; c0 < s->c; c0 += STRIP) {
            const int n = s->c - c0 < STRIP ? s->c - c0 : STRIP;
            float sum[STRIP] = {0};
            for (int oy = iy / 2; oy <= (iy + 1) / 2 && oy < s->oh; oy++) {
                for (int ox = ix / 2; ox <= (ix + 1) / 2 && ox < s->ow; ox++)
                    take_gradient(s, type, (size_t)oy * (size_t)s->ow + (size_t)ox,
                                  (iy - 2 * oy + 1) * 3 + ix - 2 * ox + 1, where, dy, dy2,
                                  (size_t)c0, n, sum);
            }
            for (int c = 0; c < n; c++)
                store1(dx, (size_t)ix * (size_t)s->c + (size_t)(c0 + c), type, sum[c]);
        }
    }
}

static void maxpool_grad_row(const rq_pool_shape *s, int iy, const uint8_t *where,
                             const void *dy, const void *dy2, void *dx)
{
    if (s->type == RQ_DTYPE_F32)
        maxpool_grad_row_typed(s, RQ_DTYPE_F32, iy, where, dy, dy2, dx);
    else
        maxpool_grad_row_typed(s, RQ_DTYPE_BF16, iy, where, dy, dy2, dx);
}

const rq_kernels RQ_KERNELS = {
    .name = RQ_KERNELS_NAME,
    .bn_stats = bn_stats,
    .bn_apply = bn_apply,
    .bn_reduce = bn_reduce,
    .bn_gradient = bn_gradient,
    .convert = convert,
    .maxpool_row = maxpool_row,
    .maxpool_grad_row = maxpool_grad_row,
};
