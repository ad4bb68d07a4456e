// SPDX-License-Identifier: Apache-2.0
//
// The kernels in plain C: the definition that every other version has to equal bit for bit.
// Written without branches on pixels so that the compiler can use vectors without being allowed
// to reorder anything. HSV is never formed: with V and the chroma C = max - min, changing S or
// H needs only those two and the sextant of the hue.
#include "augment/exact.h"
#include "augment/kernels.h"

#include <math.h>
#include <string.h>

/* Smallest divisor where a colour is grey or black; the product it leads to is 0 then. */
#define TINY 1e-20f

static inline float min2(float a, float b)
{
    return a < b ? a : b;
}

static inline float max2(float a, float b)
{
    return a > b ? a : b;
}

static inline float clip(float x)
{
    return min2(max2(x, 0.0f), 1.0f);
}

static void resize_v_4(float *restrict dst, const uint8_t *const *rows, const float *w, int n)
{
    const uint8_t *restrict a = rows[0], *restrict b = rows[1], *restrict c = rows[2],
                            *restrict d = rows[3];
    const float wa = w[0], wb = w[1], wc = w[2], wd = w[3];
    for (int x = 0; x < n; x++)
        dst[x] = ((wa * (float)a[x] + wb * (float)b[x]) + wc * (float)c[x]) + wd * (float)d[x];
}

static void resize_v(float *restrict dst, const uint8_t *const *rows, const float *w, int taps,
                     int n)
{
    if (taps == 4) {
        resize_v_4(dst, rows, w, n);
        return;
    }
    for (int x = 0; x < n; x++)
        dst[x] = w[0] * (float)rows[0][x];
    for (int t = 1; t < taps; t++) {
        const uint8_t *restrict row = rows[t];
        const float wt = w[t];
        for (int x = 0; x < n; x++)
            dst[x] += wt * (float)row[x];
    }
}

static void resize_h(float *restrict dst, const float *restrict src,
                     const int32_t *restrict first, const float *restrict w, int taps, int n)
{
    if (taps == 4) {
        const float *restrict w1 = w + n, *restrict w2 = w1 + n, *restrict w3 = w2 + n;
        for (int o = 0; o < n; o++) {
            const float *s = src + first[o];
            dst[o] = ((w[o] * s[0] + w1[o] * s[1]) + w2[o] * s[2]) + w3[o] * s[3];
        }
        return;
    }
    for (int o = 0; o < n; o++) {
        const float *s = src + first[o];
        float sum = w[o] * s[0];
        for (int t = 1; t < taps; t++)
            sum += w[(ptrdiff_t)t * n + o] * s[t];
        dst[o] = sum;
    }
}

static void mask_row(uint8_t *restrict dst, const uint8_t *restrict src,
                     const float *restrict mask, const int32_t *restrict first,
                     const float *restrict frac, float threshold, uint8_t fill, int n)
{
    for (int x = 0; x < n; x++) {
        const float a = mask[first[x]], b = mask[first[x] + 1];
        dst[x] = a + (b - a) * frac[x] > threshold ? src[x] : fill;
    }
}

static void ycc_to_rgb(float *restrict y_r, float *restrict cb_g, float *restrict cr_b,
                       size_t n)
{
    const float unit = 1.0f / 255.0f;
    for (size_t i = 0; i < n; i++) {
        const float y = y_r[i], cb = cb_g[i] - 128.0f, cr = cr_b[i] - 128.0f;
        y_r[i] = clip((y + 1.402f * cr) * unit);
        cb_g[i] = clip(((y - 0.344136286f * cb) - 0.714136286f * cr) * unit);
        cr_b[i] = clip((y + 1.772f * cb) * unit);
    }
}

static void to_unit(float *x, size_t n)
{
    const float unit = 1.0f / 255.0f;
    for (size_t i = 0; i < n; i++)
        x[i] = clip(x[i] * unit);
}

static void brightness(float *x, size_t n, float delta)
{
    for (size_t i = 0; i < n; i++)
        x[i] = clip(x[i] + delta);
}

static double sum(const float *x, size_t n)
{
    double lane[RQ_SUM_LANES] = {0}, total = 0;
    size_t i = 0;
    for (; i + RQ_SUM_LANES <= n; i += RQ_SUM_LANES)
        for (size_t j = 0; j < RQ_SUM_LANES; j++)
            lane[j] += (double)x[i + j];
    for (size_t j = 0; i < n; i++, j++)
        lane[j] += (double)x[i];
    for (size_t j = 0; j < RQ_SUM_LANES; j++)
        total += lane[j];
    return total;
}

static void contrast(float *x, size_t n, float mean, float factor)
{
    for (size_t i = 0; i < n; i++)
        x[i] = clip((x[i] - mean) * factor + mean);
}

/* S = C / V becomes min(1, factor * S), H and V stay: each channel's distance from V is scaled
 * by the ratio of the two S, which is min(factor, V / C). */
static void saturation(float *restrict r, float *restrict g, float *restrict b, size_t n,
                       float factor)
{
    for (size_t i = 0; i < n; i++) {
        const float v = max2(max2(r[i], g[i]), b[i]), m = min2(min2(r[i], g[i]), b[i]);
        const float ratio = min2(factor, v / max2(v - m, TINY));
        r[i] = clip(v - (v - r[i]) * ratio);
        g[i] = clip(v - (v - g[i]) * ratio);
        b[i] = clip(v - (v - b[i]) * ratio);
    }
}

/* Hue in sixths of a turn, by sorting: with green >= blue and red the largest it is
 * (green - blue) / C; each exchange that makes it so mirrors and moves the circle. Then shifted
 * and wrapped; a channel is V - C * d with d, clipped to [0, 1], its distance from the pure
 * hue, a trapezoid over the circle. That lies in [0, 1] without clipping. */
static void hue(float *restrict r, float *restrict g, float *restrict b, size_t n, float turns)
{
    const float shift = turns + 1.0f;
    for (size_t i = 0; i < n; i++) {
        const float red = r[i], high = max2(g[i], b[i]), low = min2(g[i], b[i]);
        const float middle = min2(red, high), v = max2(red, high), c = v - min2(red, low);
        const float swap = (float)(high > g[i]), second = (float)(v > red);
        const float turn = second * (12.0f * swap - 2.0f) - 6.0f * swap;
        const float signed_h = turn + (middle - low) * (1.0f / (c + TINY));
        // In turns, positive; the whole turns are cut off.
        const float around = fabsf(signed_h) * (1.0f / 6.0f) + shift;
        const float h = (around - (float)(int)around) * 6.0f;
        r[i] = v - min2(max2(c * (2.0f - fabsf(h - 3.0f)), 0.0f), c);
        g[i] = v - min2(max2(c * (fabsf(h - 2.0f) - 1.0f), 0.0f), c);
        b[i] = v - min2(max2(c * (fabsf(h - 4.0f) - 1.0f), 0.0f), c);
    }
}

static void gray(float *restrict r, float *restrict g, float *restrict b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float y = clip((0.2989f * r[i] + 0.5870f * g[i]) + 0.1140f * b[i]);
        r[i] = g[i] = b[i] = y;
    }
}

enum { BLOCK = 16 };

/* One output row from rows or shifts of the same row: low[k] and high[k] lie k taps away. */
static void blur_line(float *restrict dst, const float *centre, const float *const *low,
                      const float *const *high, const float *w, int radius, int n)
{
    int x = 0;
    for (; x + BLOCK <= n; x += BLOCK) {
        float acc[BLOCK];
        for (int j = 0; j < BLOCK; j++)
            acc[j] = w[0] * centre[x + j];
        for (int k = 1; k <= radius; k++)
            for (int j = 0; j < BLOCK; j++)
                acc[j] += w[k] * (low[k][x + j] + high[k][x + j]);
        memcpy(dst + x, acc, sizeof acc);
    }
    for (; x < n; x++) {
        float acc = w[0] * centre[x];
        for (int k = 1; k <= radius; k++)
            acc += w[k] * (low[k][x] + high[k][x]);
        dst[x] = acc;
    }
}

static void blur(float *dst, const float *src, int size, const float *w, int radius, float *row,
                 const float *zero)
{
    const float *low[RQ_BLUR_MAX_RADIUS + 1], *high[RQ_BLUR_MAX_RADIUS + 1];
    float *middle = row + radius;
    memset(row, 0, sizeof *row * (size_t)radius);
    memset(middle + size, 0, sizeof *row * (size_t)radius);
    for (int y = 0; y < size; y++) {
        for (int k = 1; k <= radius; k++) {
            low[k] = y - k >= 0 ? src + (ptrdiff_t)(y - k) * size : zero;
            high[k] = y + k < size ? src + (ptrdiff_t)(y + k) * size : zero;
        }
        blur_line(middle, src + (ptrdiff_t)y * size, low, high, w, radius, size);
        for (int k = 1; k <= radius; k++) {
            low[k] = middle - k;
            high[k] = middle + k;
        }
        blur_line(dst + (ptrdiff_t)y * size, middle, low, high, w, radius, size);
    }
}

static void solarize(float *x, size_t n, float threshold)
{
    for (size_t i = 0; i < n; i++) {
        const float base = x[i] < threshold ? 0.0f : 1.0f,
                    sign = x[i] < threshold ? 1.0f : -1.0f;
        x[i] = base + sign * x[i];
    }
}

static void store(uint8_t *restrict dst, const float *restrict r, const float *restrict g,
                  const float *restrict b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        dst[3 * i] = (uint8_t)(int)(clip(r[i]) * 255.0f + 0.5f);
        dst[3 * i + 1] = (uint8_t)(int)(clip(g[i]) * 255.0f + 0.5f);
        dst[3 * i + 2] = (uint8_t)(int)(clip(b[i]) * 255.0f + 0.5f);
    }
}

void rq_kernels_init(rq_kernels *k, unsigned cpu_flags)
{
    (void)cpu_flags;
    *k = (rq_kernels){
        .resize_v = resize_v,
        .resize_h = resize_h,
        .mask_row = mask_row,
        .ycc_to_rgb = ycc_to_rgb,
        .to_unit = to_unit,
        .brightness = brightness,
        .sum = sum,
        .contrast = contrast,
        .saturation = saturation,
        .hue = hue,
        .gray = gray,
        .blur = blur,
        .solarize = solarize,
        .store = store,
    };
}

int rq_blur_weights(float *w, int radius, float sigma)
{
    double value[RQ_BLUR_MAX_RADIUS + 1], total = 0;
    const double scale = -0.5 / ((double)sigma * (double)sigma);
    for (int k = 0; k <= radius; k++) {
        const double e = scale * k * k;
        value[k] = e < -700 ? 0 : rq_exact_exp(e);
        total += k == 0 ? value[k] : 2 * value[k];
    }
    int used = 0;
    for (int k = 0; k <= radius; k++) {
        w[k] = (float)(value[k] / total);
        if (value[k] / total >= 0x1p-26)
            used = k;
    }
    return used;
}
