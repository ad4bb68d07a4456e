// SPDX-License-Identifier: Apache-2.0
//
// The kernels in plain C: the definition that every other version has to equal bit for bit.
// HSV is never formed: with V, the chroma C = max - min and the channel in the middle, changing
// S or H moves each channel along a line, and H needs no division.
#include "augment/kernels.h"

#include <string.h>

static inline int min2(int a, int b)
{
    return a < b ? a : b;
}

static inline int max2(int a, int b)
{
    return a > b ? a : b;
}

static inline int clip(int x)
{
    return min2(max2(x, 0), RQ_WHITE);
}

static inline int16_t saturate(int x)
{
    return (int16_t)min2(max2(x, INT16_MIN), INT16_MAX);
}

static inline int mulhrs(int a, int b)
{
    return (a * b + (1 << 14)) >> 15;
}

static inline int weight_low(uint32_t pair)
{
    return (int16_t)(uint16_t)pair;
}

static inline int weight_high(uint32_t pair)
{
    return (int16_t)(uint16_t)(pair >> 16);
}

static void resize_v(int16_t *dst, const uint8_t *src, size_t stride, const uint32_t *pair,
                     size_t step, int taps, int n)
{
    const int centre = (128 << 14) - (1 << 6);
    for (int x = 0; x < n; x++) {
        int sum = -centre;
        for (int t = 0; t + 1 < taps; t += 2)
            sum +=
                weight_low(pair[(size_t)t / 2 * step]) * src[(size_t)t * stride + (size_t)x] +
                weight_high(pair[(size_t)t / 2 * step]) *
                    src[(size_t)(t + 1) * stride + (size_t)x];
        if (taps % 2 == 1)
            sum += weight_low(pair[(size_t)taps / 2 * step]) *
                   src[(size_t)(taps - 1) * stride + (size_t)x];
        dst[x] = saturate(sum >> 7);
    }
}

static void resize_h(int16_t *dst, size_t dst_stride, const int16_t *src, size_t src_stride,
                     int rows, const rq_taps *t)
{
    for (int r = 0; r < rows; r++, dst += dst_stride, src += src_stride)
        for (int o = 0; o < t->outputs; o++) {
            const int16_t *s = src + t->first[o];
            const uint32_t *pair = t->pair + o;
            int sum = 1 << 14;
            for (int k = 0; k < t->pairs; k++, s += 2, pair += t->stride)
                sum += weight_low(*pair) * s[0] + weight_high(*pair) * s[1];
            dst[o] = saturate(sum >> 15);
        }
}

static void mask_row(uint8_t *restrict dst, const float *restrict mask,
                     const int32_t *restrict first, const float *restrict frac, float threshold,
                     int n)
{
    for (int x = 0; x < n; x++) {
        const float a = mask[first[x]], b = mask[first[x] + 1];
        dst[x] = a + (b - a) * frac[x] > threshold ? 255 : 0;
    }
}

static void cut_row(uint8_t *restrict dst, const uint8_t *restrict src,
                    const uint8_t *restrict front, uint8_t fill, int n)
{
    for (int x = 0; x < n; x++)
        dst[x] = (uint8_t)((src[x] & front[x]) | (fill & ~front[x]));
}

/* A centred sum of up to three terms, back from -128 levels. */
static inline int16_t from_centre(int x)
{
    const int half = 128 * RQ_LEVEL;
    return (int16_t)(min2(max2(x, -half), RQ_WHITE - half) + half);
}

static void ycc_to_rgb(int16_t *y_r, int16_t *cb_g, int16_t *cr_b, size_t n)
{
    // 1.402, 0.344136, 0.714136 and 1.772; those above 1 without the 1.
    for (size_t i = 0; i < n; i++) {
        const int y = y_r[i], cb = cb_g[i], cr = cr_b[i];
        y_r[i] = from_centre(y + saturate(cr + mulhrs(cr, 13173)));
        cb_g[i] = from_centre(y - saturate(mulhrs(cb, 11277) + mulhrs(cr, 23401)));
        cr_b[i] = from_centre(y + saturate(cb + mulhrs(cb, 25297)));
    }
}

static void recentre(int16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = from_centre(x[i]);
}

static void brightness(int16_t *x, size_t n, int delta)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (int16_t)clip(x[i] + delta);
}

static int64_t sum(const int16_t *x, size_t n)
{
    int64_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += x[i];
    return total;
}

static void contrast(int16_t *x, size_t n, int mean, int half)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (int16_t)clip(mean + mulhrs(2 * (x[i] - mean), half));
}

/* S = C / V becomes min(1, factor * S), H and V stay: each channel's distance from V is scaled
 * by the factor, or by V / C where the factor would take the smallest channel below 0. */
static void saturation(int16_t *r, int16_t *g, int16_t *b, size_t n, int half)
{
    for (size_t i = 0; i < n; i++) {
        const int v = max2(max2(r[i], g[i]), b[i]), c = v - min2(min2(r[i], g[i]), b[i]);
        const int ratio =
            mulhrs(2 * c, half) > v ? min2((int)((float)v * 16384.0f / (float)c), half) : half;
        r[i] = (int16_t)max2(v - mulhrs(2 * (v - r[i]), ratio), 0);
        g[i] = (int16_t)max2(v - mulhrs(2 * (v - g[i]), ratio), 0);
        b[i] = (int16_t)max2(v - mulhrs(2 * (v - b[i]), ratio), 0);
    }
}

/* Between two primary or secondary colours the channel in the middle rises or falls from low to
 * high; a shift of up to a sixth moves it by `move`, and what goes past either end falls to the
 * highest or the lowest channel. Rising: the order of the channels is a turn of R, G, B. */
static void hue(int16_t *r, int16_t *g, int16_t *b, size_t n, int shift)
{
    for (size_t i = 0; i < n; i++) {
        const int red = r[i], green = g[i], blue = b[i];
        const int v = max2(max2(red, green), blue), low = min2(min2(red, green), blue);
        const int c = v - low, above = red + green + blue - v - 2 * low;
        const int gr = green > red, bg = blue > green, rb = red > blue;
        const int move = mulhrs(c, shift);
        const int place = gr + bg + rb == 2 ? above - move : above + move;
        const int16_t middle = (int16_t)(low + min2(max2(place, 0), c)),
                      highest = (int16_t)(v - max2(place - c, 0)),
                      lowest = (int16_t)(low + max2(-place, 0));
        r[i] = !gr && rb ? highest : gr && !rb ? lowest : middle;
        g[i] = !bg && gr ? highest : bg && !gr ? lowest : middle;
        b[i] = !rb && bg ? highest : rb && !bg ? lowest : middle;
    }
}

static void turn(int16_t *r, int16_t *g, int16_t *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const int16_t red = r[i];
        r[i] = b[i];
        b[i] = g[i];
        g[i] = red;
    }
}

static void gray(int16_t *r, int16_t *g, int16_t *b, size_t n)
{
    // .2989, .5870 and .1140
    for (size_t i = 0; i < n; i++)
        r[i] = g[i] = b[i] =
            (int16_t)(mulhrs(r[i], 9794) + mulhrs(g[i], 19235) + mulhrs(b[i], 3736));
}

static void solarize(int16_t *x, size_t n, int threshold)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (int16_t)(x[i] < threshold ? x[i] : RQ_WHITE - x[i]);
}

/* A step on one channel of those that take channels one by one. */
static void channel_step(const rq_step *s, int channel, int16_t *x, size_t n)
{
    if (s->op == RQ_STEP_RECENTRE)
        recentre(x, n);
    else if (s->op == RQ_STEP_BRIGHTNESS)
        brightness(x, n, s->a[0]);
    else if (s->op == RQ_STEP_CONTRAST)
        contrast(x, n, s->a[channel], s->half);
    else
        solarize(x, n, s->a[0]);
}

static void step(const rq_step *s, int16_t *const x[3], size_t n)
{
    switch (s->op) {
    case RQ_STEP_YCC:
        ycc_to_rgb(x[0], x[1], x[2], n);
        break;
    case RQ_STEP_SATURATION:
        saturation(x[0], x[1], x[2], n, s->half);
        break;
    case RQ_STEP_HUE:
        hue(x[0], x[1], x[2], n, s->a[0]);
        break;
    case RQ_STEP_TURN:
        turn(x[0], x[1], x[2], n);
        break;
    case RQ_STEP_GRAY:
        gray(x[0], x[1], x[2], n);
        break;
    default:
        // A channel that stands for all three is changed once.
        for (int c = 0; c < (x[0] == x[1] ? 1 : 3); c++)
            channel_step(s, c, x[c], n);
        break;
    }
}

static void colour(int16_t *const x[3], size_t n, const rq_step *steps, int count,
                   int64_t total[3])
{
    for (int i = 0; i < count; i++)
        step(&steps[i], x, n);
    for (int c = 0; c < 3 && total; c++)
        total[c] += sum(x[c], n);
}

static void blur_line(int16_t *dst, const int16_t *centre, const int16_t *const *low,
                      const int16_t *const *high, const int16_t *w, int radius, int n)
{
    enum { BLOCK = 64 };
    for (int x = 0; x < n; x += BLOCK) {
        int16_t acc[BLOCK];
        const int m = min2(n - x, BLOCK);
        for (int j = 0; j < m; j++)
            acc[j] = (int16_t)mulhrs(centre[x + j], w[0]);
        for (int k = 1; k <= radius; k++) {
            const int16_t *a = low[k] + x, *b = high[k] + x;
            for (int j = 0; j < m; j++)
                acc[j] = (int16_t)(acc[j] + mulhrs(a[j] + b[j], w[k]));
        }
        memcpy(dst + x, acc, sizeof *acc * (size_t)m);
    }
}

static inline uint8_t level(int x)
{
    return (uint8_t)min2(max2((x + RQ_LEVEL / 2) >> 6, 0), 255);
}

static void store(uint8_t *restrict dst, const int16_t *restrict r, const int16_t *restrict g,
                  const int16_t *restrict b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        dst[3 * i] = level(r[i]);
        dst[3 * i + 1] = level(g[i]);
        dst[3 * i + 2] = level(b[i]);
    }
}

void rq_kernels_add_c(rq_kernels *k)
{
    *k = (rq_kernels){
        .resize_v = resize_v,
        .resize_h = resize_h,
        .mask_row = mask_row,
        .cut_row = cut_row,
        .colour = colour,
        .blur_line = blur_line,
        .store = store,
    };
}
