// SPDX-License-Identifier: Apache-2.0
//
// The kernels in plain C: the definition that every other version has to equal bit for bit.
// HSV is never formed: with V, the chroma C = max - min and the channel in the middle, changing
// S or H moves each channel along a line, and H needs no division.
#include "augment/kernels.h"

#include <string.h>

static inline int16_t min2(int16_t a, int16_t b)
{
    return a < b ? a : b;
}

static inline int16_t max2(int16_t a, int16_t b)
{
    return a > b ? a : b;
}

static inline int16_t clip(int16_t x)
{
    return min2(max2(x, 0), RQ_WHITE);
}

static inline int16_t saturate(int x)
{
    return (int16_t)(x < INT16_MIN ? INT16_MIN : x > INT16_MAX ? INT16_MAX : x);
}

/* 16 bits in and out, so that a compiler finds its vectors' multiplication. */
static inline int16_t mulhrs(int16_t a, int16_t b)
{
    return (int16_t)((a * b + (1 << 14)) >> 15);
}

static inline int16_t add(int16_t a, int16_t b)
{
    return (int16_t)(a + b);
}

static inline int16_t sub(int16_t a, int16_t b)
{
    return (int16_t)(a - b);
}

/* Eight rows at a time, so that weights are taken apart once for all of them. */
static void resize_h_rows(int16_t *dst, size_t dst_stride, const uint8_t *src,
                          size_t src_stride, int rows, const rq_taps *t)
{
    for (int o = 0; o < t->outputs; o++) {
        int sum[8] = {0};
        const int left = t->window - t->first[o], n = 4 * t->units < left ? 4 * t->units : left;
        for (int i = 0; i < n; i++) {
            const int weight = rq_taps_weight(t, o, i);
            const uint8_t *s = src + t->first[o] + i;
            for (int r = 0; r < rows; r++)
                sum[r] += weight * s[(size_t)r * src_stride];
        }
        for (int r = 0; r < rows; r++)
            dst[(size_t)r * dst_stride + (size_t)o] =
                saturate((sum[r] - (128 << 13) + (1 << 5)) >> 6);
    }
}

static void resize_h(int16_t *dst, size_t dst_stride, const uint8_t *src, size_t src_stride,
                     int rows, const rq_taps *t)
{
    for (int r = 0; r < rows; r += 8)
        resize_h_rows(dst + (size_t)r * dst_stride, dst_stride, src + (size_t)r * src_stride,
                      src_stride, rows - r < 8 ? rows - r : 8, t);
}

static void resize_v(int16_t *restrict dst, const rq_ring *ring, const rq_taps *t, int o, int n)
{
    enum { BLOCK = 64 };
    for (int x = 0; x < n; x += BLOCK) {
        int sum[BLOCK];
        const int m = n - x < BLOCK ? n - x : BLOCK;
        for (int j = 0; j < m; j++)
            sum[j] = 1 << 14;
        for (int i = 0; i < t->taps; i++) {
            const size_t row = (size_t)(t->first[o] + i) & ring->mask;
            const int16_t *s = ring->rows + row * ring->stride + x;
            const int16_t weight = (int16_t)rq_taps_weight(t, o, i);
            for (int j = 0; j < m; j++)
                sum[j] += weight * s[j];
        }
        for (int j = 0; j < m; j++)
            dst[x + j] = saturate(sum[j] >> 15);
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

/* Back from -128 levels. */
static inline int16_t from_centre(int16_t x)
{
    const int16_t half = 128 * RQ_LEVEL;
    return add(min2(max2(x, -half), RQ_WHITE - half), half);
}

static void ycc_to_rgb(int16_t *restrict y_r, int16_t *restrict cb_g, int16_t *restrict cr_b,
                       size_t n)
{
    // 1.402, 0.344136, 0.714136 and 1.772; those above 1 without the 1.
    for (size_t i = 0; i < n; i++) {
        const int16_t y = y_r[i], cb = cb_g[i], cr = cr_b[i];
        const int16_t red = saturate(cr + mulhrs(cr, 13173)),
                      green = saturate(mulhrs(cb, 11277) + mulhrs(cr, 23401)),
                      blue = saturate(cb + mulhrs(cb, 25297));
        y_r[i] = from_centre(saturate(y + red));
        cb_g[i] = from_centre(saturate(y - green));
        cr_b[i] = from_centre(saturate(y + blue));
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
        x[i] = clip(add(x[i], (int16_t)delta));
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
    for (size_t i = 0; i < n; i++) {
        const int16_t d = sub(x[i], (int16_t)mean);
        x[i] = clip(add((int16_t)mean, mulhrs(add(d, d), (int16_t)half)));
    }
}

static inline int16_t nearer(int16_t v, int16_t x, int16_t ratio)
{
    const int16_t d = sub(v, x);
    return max2(sub(v, mulhrs(add(d, d), ratio)), 0);
}

/* S = C / V becomes min(1, factor * S), H and V stay: each channel's distance from V is scaled
 * by the factor, or by V / C where the factor would take the smallest channel below 0. */
static void saturation(int16_t *restrict r, int16_t *restrict g, int16_t *restrict b, size_t n,
                       int half)
{
    for (size_t i = 0; i < n; i++) {
        const int16_t v = max2(max2(r[i], g[i]), b[i]),
                      c = sub(v, min2(min2(r[i], g[i]), b[i]));
        int16_t ratio = (int16_t)half;
        if (mulhrs(add(c, c), ratio) > v)
            ratio = min2(saturate((int)((float)v * 16384.0f / (float)c)), ratio);
        r[i] = nearer(v, r[i], ratio);
        g[i] = nearer(v, g[i], ratio);
        b[i] = nearer(v, b[i], ratio);
    }
}

static inline int16_t choose(int16_t condition, int16_t a, int16_t b)
{
    return (int16_t)((a & condition) | (b & ~condition));
}

/* All ones where a > b. */
static inline int16_t greater(int16_t a, int16_t b)
{
    return (int16_t) - (a > b);
}

/* Between two primary or secondary colours the channel in the middle rises or falls from low to
 * high; a shift of up to a sixth moves it by `move`, and what goes past either end falls to the
 * highest or the lowest channel. Falling: the order of the channels is against R, G, B. */
static void hue(int16_t *restrict r, int16_t *restrict g, int16_t *restrict b, size_t n,
                int shift)
{
    for (size_t i = 0; i < n; i++) {
        const int16_t red = r[i], green = g[i], blue = b[i];
        const int16_t v = max2(max2(red, green), blue), low = min2(min2(red, green), blue);
        const int16_t c = sub(v, low), over = (int16_t)(red + green + blue - v - 2 * low);
        const int16_t gr = greater(green, red), bg = greater(blue, green),
                      rb = greater(red, blue);
        const int16_t falling = (int16_t)((gr & bg) | (rb & (gr | bg)));
        const int16_t move = mulhrs(c, (int16_t)shift);
        const int16_t place = choose(falling, sub(over, move), add(over, move));
        const int16_t middle = add(low, min2(max2(place, 0), c)),
                      highest = sub(v, max2(sub(place, c), 0)),
                      lowest = add(low, max2(sub(0, place), 0));
        r[i] = choose(rb & ~gr, highest, choose(gr & ~rb, lowest, middle));
        g[i] = choose(gr & ~bg, highest, choose(bg & ~gr, lowest, middle));
        b[i] = choose(bg & ~rb, highest, choose(rb & ~bg, lowest, middle));
    }
}

static void turn(int16_t *restrict r, int16_t *restrict g, int16_t *restrict b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const int16_t red = r[i];
        r[i] = b[i];
        b[i] = g[i];
        g[i] = red;
    }
}

static void gray(int16_t *restrict r, int16_t *restrict g, int16_t *restrict b, size_t n)
{
    // .2989, .5870 and .1140
    for (size_t i = 0; i < n; i++)
        r[i] = g[i] = b[i] =
            add(add(mulhrs(r[i], 9794), mulhrs(g[i], 19235)), mulhrs(b[i], 3736));
}

static void solarize(int16_t *x, size_t n, int threshold)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (int16_t)(x[i] < threshold ? x[i] : RQ_WHITE - x[i]);
}

enum { SOME = 64 };

static void matrix(const rq_step *s, int16_t x[3][SOME], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const int y = x[0][i], cb = x[1][i], cr = x[2][i];
        for (int c = 0; c < 3; c++) {
            const int start = s->a[c] * (1 << RQ_MATRIX_BITS) + (1 << (RQ_MATRIX_BITS - 1));
            const int sum = start + s->m[c][0] * y + s->m[c][1] * cb + s->m[c][2] * cr;
            x[c][i] = clip(saturate(sum >> RQ_MATRIX_BITS));
        }
    }
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

static void step(const rq_step *s, int16_t x[3][SOME], size_t n)
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
    case RQ_STEP_MATRIX:
        matrix(s, x, n);
        break;
    default:
        for (int c = 0; c < 3; c++)
            channel_step(s, c, x[c], n);
        break;
    }
}

/* A few pixels at a time in copies, which no channel shares with another. */
static void colour(int16_t *const x[3], size_t n, const rq_step *steps, int count,
                   int64_t total[3])
{
    int16_t some[3][SOME];
    for (size_t at = 0; at < n; at += SOME) {
        const size_t m = n - at < SOME ? n - at : SOME;
        for (int c = 0; c < 3; c++)
            memcpy(some[c], x[c] + at, sizeof *x[c] * m);
        for (int i = 0; i < count; i++)
            step(&steps[i], some, m);
        for (int c = 0; c < 3; c++) {
            memcpy(x[c] + at, some[c], sizeof *x[c] * m);
            if (total)
                total[c] += sum(some[c], m);
        }
    }
}

static void spread(int16_t *dst, const int16_t *src, int n)
{
    for (int x = 0; x < n; x++)
        dst[x] = src[x / 2];
}

static uint64_t sum_bytes(const uint8_t *src, int n)
{
    uint64_t total = 0;
    for (int x = 0; x < n; x++)
        total += src[x];
    return total;
}

static void blur_line(int16_t *dst, const int16_t *centre, const int16_t *const *low,
                      const int16_t *const *high, const int16_t *w, int radius, int n)
{
    enum { BLOCK = 64 };
    for (int x = 0; x < n; x += BLOCK) {
        int16_t acc[BLOCK];
        const int m = n - x < BLOCK ? n - x : BLOCK;
        for (int j = 0; j < m; j++)
            acc[j] = mulhrs(centre[x + j], w[0]);
        for (int k = 1; k <= radius; k++) {
            const int16_t *a = low[k] + x, *b = high[k] + x, weight = w[k];
            for (int j = 0; j < m; j++)
                acc[j] = add(acc[j], mulhrs(add(a[j], b[j]), weight));
        }
        memcpy(dst + x, acc, sizeof *acc * (size_t)m);
    }
}

static inline uint8_t level(int x)
{
    const int v = (x + RQ_LEVEL / 2) >> 6;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static void store(uint8_t *restrict dst, const int16_t *restrict r, const int16_t *restrict g,
                  const int16_t *restrict b, size_t n, bool past)
{
    (void)past;
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
        .spread = spread,
        .sum_bytes = sum_bytes,
        .blur_line = blur_line,
        .store = store,
    };
}
