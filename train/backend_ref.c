// SPDX-License-Identifier: Apache-2.0
//
// The reference backend: every operation as its definition reads, one element at a time, sums
// in double. It is the standard the other backends are tested against, and runs where nothing
// else does. In bf16 it rounds where they do: what is stored as bf16 is rounded, sums are not.
#include "train/backend_ops.h"

#include "augment/recipe.h"
#include "common/mem.h"
#include "train/bf16.h"

#include <math.h>
#include <stdio.h>

struct rq_conv {
    rq_conv_shape s;
};

static double get(const void *p, size_t i, rq_dtype type)
{
    return type == RQ_DTYPE_F32 ? (double)((const float *)p)[i]
                                : (double)rq_bf16_to_f32(((const uint16_t *)p)[i]);
}

static void put(void *p, size_t i, rq_dtype type, double v)
{
    if (type == RQ_DTYPE_F32)
        ((float *)p)[i] = (float)v;
    else
        ((uint16_t *)p)[i] = rq_bf16_from_f32((float)v);
}

/* A weight as the multiplication sees it. */
static double weight(float w, rq_dtype type)
{
    return type == RQ_DTYPE_F32 ? (double)w : (double)rq_bf16_to_f32(rq_bf16_from_f32(w));
}

static rq_status ref_open(rq_backend *b, rq_err *err)
{
    b->opts.threads = 1;
    snprintf(b->text, sizeof b->text, "ref: plain C in double precision, 1 thread, %s",
             b->opts.precision == RQ_BF16 ? "bf16" : "f32");
    return RQ_OK;
}

static void ref_nothing(rq_backend *b)
{
}

static void ref_enter(rq_backend *b, int threads)
{
}

static void ref_run_lanes(rq_backend *b, int lanes, int threads,
                          void (*fn)(void *ctx, int lane), void *ctx)
{
    for (int i = 0; i < lanes; i++)
        fn(ctx, i);
}

static void ref_normalise(rq_backend *b, const uint8_t *images, size_t pixels, void *y,
                          rq_dtype type)
{
    const float *mean = rq_imagenet_mean, *std = rq_imagenet_std;

    for (size_t i = 0; i < 3 * pixels; i++)
        put(y, i, type, (images[i] / 255.0 - (double)mean[i % 3]) / (double)std[i % 3]);
}

static void ref_convert(rq_backend *b, void *dst, rq_dtype dst_type, const void *src,
                        rq_dtype src_type, size_t n)
{
    for (size_t i = 0; i < n; i++)
        put(dst, i, dst_type, get(src, i, src_type));
}

static rq_status ref_conv_create(rq_backend *b, rq_conv **out, const rq_conv_shape *s,
                                 size_t *scratch_bytes, rq_err *err)
{
    const size_t inputs = (size_t)s->n * (size_t)s->h * (size_t)s->w * (size_t)s->c;
    const size_t weights = (size_t)s->k * (size_t)s->r * (size_t)s->r * (size_t)s->c;

    *out = rq_alloc(1, sizeof **out);
    if (!*out)
        return rq_fail(err, RQ_OOM, "convolution: out of memory");
    (*out)->s = *s;
    *scratch_bytes = (inputs > weights ? inputs : weights) * sizeof(double);
    return RQ_OK;
}

static void ref_conv_destroy(rq_conv **c)
{
    rq_free(*c);
    *c = NULL;
}

/* Index of the input pixel under tap t of output pixel p; false in the padding. */
static bool tap_input(const rq_conv_shape *s, size_t p, int t, size_t *in)
{
    const size_t oh = (size_t)s->oh, ow = (size_t)s->ow;
    const int y = (int)(p / ow % oh) * s->stride + t / s->r - s->pad;
    const int x = (int)(p % ow) * s->stride + t % s->r - s->pad;

    *in = (p / (oh * ow) * (size_t)s->h + (size_t)y) * (size_t)s->w + (size_t)x;
    return y >= 0 && y < s->h && x >= 0 && x < s->w;
}

static size_t out_pixels(const rq_conv_shape *s)
{
    return (size_t)s->n * (size_t)s->oh * (size_t)s->ow;
}

/* w[k][tap][c] */
static size_t weight_at(const rq_conv_shape *s, int k, int tap)
{
    return ((size_t)k * (size_t)(s->r * s->r) + (size_t)tap) * (size_t)s->c;
}

static rq_status ref_conv_forward(rq_backend *b, rq_conv *conv, const void *x, const float *w,
                                  void *y, void *scratch, rq_err *err)
{
    const rq_conv_shape *s = &conv->s;
    const size_t channels = (size_t)s->c;

    for (size_t p = 0; p < out_pixels(s); p++) {
        for (int k = 0; k < s->k; k++) {
            double sum = 0;
            for (int t = 0; t < s->r * s->r; t++) {
                size_t in;
                if (!tap_input(s, p, t, &in))
                    continue;
                const float *f = w + weight_at(s, k, t);
                for (size_t c = 0; c < channels; c++)
                    sum += get(x, in * channels + c, s->type) * weight(f[c], s->type);
            }
            put(y, p * (size_t)s->k + (size_t)k, s->out_type, sum);
        }
    }
    return RQ_OK;
}

static rq_status ref_conv_backward_data(rq_backend *b, rq_conv *conv, const void *dy,
                                        const float *w, void *dx, void *scratch, rq_err *err)
{
    const rq_conv_shape *s = &conv->s;
    const size_t channels = (size_t)s->c;
    const size_t n = (size_t)s->n * (size_t)s->h * (size_t)s->w * channels;
    double *sum = scratch;

    for (size_t i = 0; i < n; i++)
        sum[i] = 0;
    for (size_t p = 0; p < out_pixels(s); p++) {
        for (int t = 0; t < s->r * s->r; t++) {
            size_t in;
            if (!tap_input(s, p, t, &in))
                continue;
            for (int k = 0; k < s->k; k++) {
                const double g = get(dy, p * (size_t)s->k + (size_t)k, s->type);
                const float *f = w + weight_at(s, k, t);
                for (size_t c = 0; c < channels; c++)
                    sum[in * channels + c] += g * weight(f[c], s->type);
            }
        }
    }
    for (size_t i = 0; i < n; i++)
        put(dx, i, s->type, sum[i]);
    return RQ_OK;
}

static rq_status ref_conv_backward_weights(rq_backend *b, rq_conv *conv, const void *x,
                                           const void *dy, float *dw, void *scratch,
                                           rq_err *err)
{
    const rq_conv_shape *s = &conv->s;
    const size_t channels = (size_t)s->c;
    const size_t n = (size_t)s->k * (size_t)(s->r * s->r) * channels;
    double *sum = scratch;

    for (size_t i = 0; i < n; i++)
        sum[i] = 0;
    for (size_t p = 0; p < out_pixels(s); p++) {
        for (int t = 0; t < s->r * s->r; t++) {
            size_t in;
            if (!tap_input(s, p, t, &in))
                continue;
            for (int k = 0; k < s->k; k++) {
                const double g = get(dy, p * (size_t)s->k + (size_t)k, s->type);
                double *d = sum + weight_at(s, k, t);
                for (size_t c = 0; c < channels; c++)
                    d[c] += g * get(x, in * channels + c, s->type);
            }
        }
    }
    for (size_t i = 0; i < n; i++)
        dw[i] += (float)sum[i];
    return RQ_OK;
}

static void ref_bias_forward(rq_backend *b, void *y, rq_dtype type, const float *bias,
                             size_t rows, int width)
{
    const size_t w = (size_t)width;

    for (size_t i = 0; i < rows * w; i++)
        put(y, i, type, get(y, i, type) + (double)bias[i % w]);
}

static void ref_bias_backward(rq_backend *b, const void *dy, rq_dtype type, float *db,
                              size_t rows, int width)
{
    const size_t w = (size_t)width;

    for (size_t i = 0; i < w; i++) {
        double sum = 0;
        for (size_t r = 0; r < rows; r++)
            sum += get(dy, r * w + i, type);
        db[i] += (float)sum;
    }
}

static size_t ref_bn_scratch(const rq_backend *b, const rq_bn_shape *s)
{
    return 0;
}

/* One channel of one group: its numbers are base + r * channels. */
static void channel_stats(const rq_bn_shape *s, const void *x, size_t base, double *mean,
                          double *var)
{
    const size_t step = (size_t)s->channels;
    const double n = (double)s->rows;
    double sum = 0, squares = 0;

    for (size_t r = 0; r < s->rows; r++)
        sum += get(x, base + r * step, s->type);
    *mean = sum / n;
    for (size_t r = 0; r < s->rows; r++) {
        const double d = get(x, base + r * step, s->type) - *mean;
        squares += d * d;
    }
    *var = squares / n;
}

/* y = relu((x - mean) / sigma * scale + shift + residual) over one channel of one group */
static void channel_apply(const rq_bn_shape *s, const rq_bn_forward *a, size_t base, int c,
                          double mean, double rsigma)
{
    for (size_t r = 0; r < s->rows; r++) {
        const size_t i = base + r * (size_t)s->channels;
        double v =
            (get(a->x, i, s->type) - mean) * rsigma * (double)a->scale[c] + (double)a->shift[c];
        if (s->residual)
            v += get(a->residual, i, s->type);
        put(a->y, i, s->type, s->relu && v < 0 ? 0 : v);
    }
}

static void update_running(const rq_bn_shape *s, float *running_mean, float *running_var,
                           double mean, double var)
{
    const double n = (double)s->rows, m = (double)RQ_BN_MOMENTUM;
    const double unbiased = s->rows > 1 ? var * n / (n - 1) : var;

    *running_mean = (float)((1 - m) * (double)*running_mean + m * mean);
    *running_var = (float)((1 - m) * (double)*running_var + m * unbiased);
}

static void ref_bn_forward(rq_backend *b, const rq_bn_shape *s, const rq_bn_forward *a,
                           void *scratch)
{
    const size_t channels = (size_t)s->channels, groups = (size_t)s->groups;

    for (size_t g = 0; g < groups; g++) {
        for (size_t c = 0; c < channels; c++) {
            const size_t base = g * s->rows * channels + c;
            double mean, var;
            channel_stats(s, a->x, base, &mean, &var);
            const double rsigma = 1 / sqrt(var + (double)RQ_BN_EPS);
            channel_apply(s, a, base, (int)c, mean, rsigma);
            a->save[g * channels + c] = (float)mean;
            a->save[(groups + g) * channels + c] = (float)rsigma;
            if (a->mean)
                update_running(s, &a->mean[c], &a->var[c], mean, var);
        }
    }
}

static void ref_bn_eval(rq_backend *b, const rq_bn_shape *s, const rq_bn_forward *a,
                        void *scratch)
{
    for (int g = 0; g < s->groups; g++) {
        for (int c = 0; c < s->channels; c++)
            channel_apply(s, a, (size_t)g * s->rows * (size_t)s->channels + (size_t)c, c,
                          (double)a->mean[c], 1 / sqrt((double)a->var[c] + (double)RQ_BN_EPS));
    }
}

/* g of one element; see rq_bn_backward */
static double masked_gradient(const rq_bn_shape *s, const rq_bn_backward *a, size_t i, int c,
                              double xhat)
{
    double g = get(a->dy, i, s->type);

    if (a->dy2)
        g += get(a->dy2, i, s->type);
    if (!s->relu)
        return g;
    const double out =
        s->residual ? get(a->y, i, s->type) : xhat * (double)a->scale[c] + (double)a->shift[c];
    return out > 0 ? g : 0;
}

static void ref_bn_backward(rq_backend *b, const rq_bn_shape *s, const rq_bn_backward *a,
                            void *scratch)
{
    const size_t channels = (size_t)s->channels, groups = (size_t)s->groups;
    const double n = (double)s->rows;

    for (size_t k = 0; k < groups * channels; k++) {
        const size_t c = k % channels, base = k / channels * s->rows * channels + c;
        const double mean = (double)a->save[k];
        const double rsigma = (double)a->save[groups * channels + k];
        double sum_g = 0, sum_gx = 0;
        for (size_t r = 0; r < s->rows; r++) {
            const size_t i = base + r * channels;
            const double xhat = (get(a->x, i, s->type) - mean) * rsigma;
            const double g = masked_gradient(s, a, i, (int)c, xhat);
            sum_g += g;
            sum_gx += g * xhat;
        }
        for (size_t r = 0; r < s->rows; r++) {
            const size_t i = base + r * channels;
            const double xhat = (get(a->x, i, s->type) - mean) * rsigma;
            const double g = masked_gradient(s, a, i, (int)c, xhat);
            if (a->g)
                put(a->g, i, s->type, g);
            put(a->dx, i, s->type,
                (double)a->scale[c] * rsigma * (g - sum_g / n - xhat * sum_gx / n));
        }
        a->dshift[c] += (float)sum_g;
        a->dscale[c] += (float)sum_gx;
    }
}

/* Index of input pixel under place t (0 .. 8) of the window of output pixel p */
static bool pool_input(const rq_pool_shape *s, size_t p, int t, size_t *in)
{
    const rq_conv_shape window = {
        .h = s->h, .w = s->w, .r = 3, .stride = 2, .pad = 1, .oh = s->oh, .ow = s->ow};

    return tap_input(&window, p, t, in);
}

static void ref_maxpool_forward(rq_backend *b, const rq_pool_shape *s, const void *x, void *y,
                                uint8_t *where)
{
    const size_t channels = (size_t)s->c, n = (size_t)s->n * (size_t)s->oh * (size_t)s->ow;

    for (size_t i = 0; i < n * channels; i++) {
        double best = -INFINITY;
        int best_at = -1;
        for (int t = 0; t < 9; t++) {
            size_t in;
            if (!pool_input(s, i / channels, t, &in))
                continue;
            const double v = get(x, in * channels + i % channels, s->type);
            if (best_at < 0 || v > best) {
                best = v;
                best_at = t;
            }
        }
        put(y, i, s->type, best);
        if (where)
            where[i] = (uint8_t)best_at;
    }
}

static void ref_maxpool_backward(rq_backend *b, const rq_pool_shape *s, const uint8_t *where,
                                 const void *dy, const void *dy2, void *dx)
{
    const size_t channels = (size_t)s->c;

    for (size_t p = 0; p < (size_t)s->n * (size_t)s->h * (size_t)s->w; p++) {
        const int y = (int)(p / (size_t)s->w % (size_t)s->h), x = (int)(p % (size_t)s->w);
        const size_t image = p / ((size_t)s->w * (size_t)s->h);
        for (size_t c = 0; c < channels; c++) {
            double sum = 0;
            for (int oy = y / 2; oy <= (y + 1) / 2 && oy < s->oh; oy++) {
                for (int ox = x / 2; ox <= (x + 1) / 2 && ox < s->ow; ox++) {
                    const size_t o =
                        (image * (size_t)s->oh + (size_t)oy) * (size_t)s->ow + (size_t)ox;
                    const size_t i = o * channels + c;
                    if (where[i] != (y - 2 * oy + 1) * 3 + x - 2 * ox + 1)
                        continue;
                    sum += get(dy, i, s->type) + (dy2 ? get(dy2, i, s->type) : 0);
                }
            }
            put(dx, p * channels + c, s->type, sum);
        }
    }
}

static void ref_gap_forward(rq_backend *b, const void *x, rq_dtype type, int n, size_t pixels,
                            int c, void *y, rq_dtype out_type)
{
    const size_t channels = (size_t)c;

    for (size_t i = 0; i < (size_t)n * channels; i++) {
        double sum = 0;
        for (size_t p = 0; p < pixels; p++)
            sum += get(x, (i / channels * pixels + p) * channels + i % channels, type);
        put(y, i, out_type, sum / (double)pixels);
    }
}

static void ref_gap_backward(rq_backend *b, const void *dy, rq_dtype type, int n, size_t pixels,
                             int c, void *dx)
{
    const size_t channels = (size_t)c;

    for (size_t i = 0; i < (size_t)n * pixels * channels; i++)
        put(dx, i, type,
            get(dy, i / (pixels * channels) * channels + i % channels, type) / (double)pixels);
}

const rq_ops rq_ops_ref = {
    .name = "ref",
    .open = ref_open,
    .close = ref_nothing,
    .enter = ref_enter,
    .leave = ref_nothing,
    .run_lanes = ref_run_lanes,
    .normalise = ref_normalise,
    .convert = ref_convert,
    .conv_create = ref_conv_create,
    .conv_destroy = ref_conv_destroy,
    .conv_forward = ref_conv_forward,
    .conv_backward_data = ref_conv_backward_data,
    .conv_backward_weights = ref_conv_backward_weights,
    .bias_forward = ref_bias_forward,
    .bias_backward = ref_bias_backward,
    .bn_scratch = ref_bn_scratch,
    .bn_forward = ref_bn_forward,
    .bn_eval = ref_bn_eval,
    .bn_backward = ref_bn_backward,
    .maxpool_forward = ref_maxpool_forward,
    .maxpool_backward = ref_maxpool_backward,
    .gap_forward = ref_gap_forward,
    .gap_backward = ref_gap_backward,
};
