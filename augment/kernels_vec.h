/* The colour kernels on vectors of 16-bit numbers, written once. Included by kernels_avx2.c and
 * kernels_avx512.c behind their definitions of
 *
 *   vec, LANES            a vector and how many numbers it holds
 *   mask                  the result of a comparison
 *   load, put             m <= LANES numbers; the rest of a short load is 0
 *   splat, add, sub, adds, subs, mul, least, most      mul is mulhrs; adds and subs saturate
 *   above, both, either, only, pick, any               a > b; a & b; a | b; b & ~a; m ? a : b
 *   pairs_sum             sum of a vector's numbers into 32-bit lanes: add32, total32
 *   clipped_ratio         see saturation in kernels_c.c
 *
 * Every step works on whole vectors first and on what is left with the same code. */
#include "augment/kernels.h"

#define INLINE static inline __attribute__((always_inline))

/* Runs step for whole vectors, where m is a constant for the compiler, and for the rest. */
#define FOR_VECTORS(n, step)                                                                   \
    do {                                                                                       \
        size_t at = 0;                                                                         \
        for (; at + LANES <= (n); at += LANES) {                                               \
            const size_t m = LANES;                                                            \
            step;                                                                              \
        }                                                                                      \
        if (at < (n)) {                                                                        \
            const size_t m = (n)-at;                                                           \
            step;                                                                              \
        }                                                                                      \
    } while (0)

INLINE vec clip(vec x)
{
    return least(most(x, splat(0)), splat(RQ_WHITE));
}

INLINE vec from_centre(vec x)
{
    const int half = 128 * RQ_LEVEL;
    return add(least(most(x, splat(-half)), splat(RQ_WHITE - half)), splat(half));
}

INLINE void ycc_step(int16_t *y_r, int16_t *cb_g, int16_t *cr_b, size_t m)
{
    const vec y = load(y_r, m), cb = load(cb_g, m), cr = load(cr_b, m);
    const vec red = adds(cr, mul(cr, splat(13173)));
    const vec green = adds(mul(cb, splat(11277)), mul(cr, splat(23401)));
    const vec blue = adds(cb, mul(cb, splat(25297)));
    put(y_r, from_centre(adds(y, red)), m);
    put(cb_g, from_centre(subs(y, green)), m);
    put(cr_b, from_centre(adds(y, blue)), m);
}

static void ycc_to_rgb(int16_t *y_r, int16_t *cb_g, int16_t *cr_b, size_t n)
{
    FOR_VECTORS(n, ycc_step(y_r + at, cb_g + at, cr_b + at, m));
}

static void recentre(int16_t *x, size_t n)
{
    FOR_VECTORS(n, put(x + at, from_centre(load(x + at, m)), m));
}

static void brightness(int16_t *x, size_t n, int delta)
{
    const vec d = splat(delta);
    FOR_VECTORS(n, put(x + at, clip(add(load(x + at, m), d)), m));
}

static int64_t sum(const int16_t *x, size_t n)
{
    enum { BLOCK = 1 << 18 }; // short enough for 32-bit lanes
    int64_t total = 0;
    for (size_t begin = 0; begin < n; begin += BLOCK) {
        const int16_t *p = x + begin;
        const size_t count = n - begin < BLOCK ? n - begin : BLOCK;
        vec lanes = splat(0);
        FOR_VECTORS(count, lanes = add32(lanes, pairs_sum(load(p + at, m))));
        total += total32(lanes);
    }
    return total;
}

INLINE void contrast_step(int16_t *x, size_t m, vec mean, vec half)
{
    const vec d = sub(load(x, m), mean);
    put(x, clip(add(mean, mul(add(d, d), half))), m);
}

static void contrast(int16_t *x, size_t n, int mean, int half)
{
    const vec centre = splat(mean), factor = splat(half);
    FOR_VECTORS(n, contrast_step(x + at, m, centre, factor));
}

INLINE vec nearer(vec v, vec x, vec ratio)
{
    const vec d = sub(v, x);
    return most(sub(v, mul(add(d, d), ratio)), splat(0));
}

INLINE void saturation_step(int16_t *r, int16_t *g, int16_t *b, size_t m, vec half)
{
    const vec red = load(r, m), green = load(g, m), blue = load(b, m);
    const vec v = most(most(red, green), blue), c = sub(v, least(least(red, green), blue));
    const mask over = above(mul(add(c, c), half), v);
    vec ratio = half;
    if (any(over))
        ratio = pick(over, least(clipped_ratio(v, c), half), half);
    put(r, nearer(v, red, ratio), m);
    put(g, nearer(v, green, ratio), m);
    put(b, nearer(v, blue, ratio), m);
}

static void saturation(int16_t *r, int16_t *g, int16_t *b, size_t n, int half)
{
    const vec factor = splat(half);
    FOR_VECTORS(n, saturation_step(r + at, g + at, b + at, m, factor));
}

INLINE void hue_step(const int16_t *r, const int16_t *g, const int16_t *b, int16_t *to_r,
                     int16_t *to_g, int16_t *to_b, size_t m, vec shift)
{
    const vec red = load(r, m), green = load(g, m), blue = load(b, m), zero = splat(0);
    const vec v = most(most(red, green), blue), low = least(least(red, green), blue);
    const vec c = sub(v, low);
    const vec over = sub(sub(add(add(red, green), blue), v), add(low, low));
    const mask gr = above(green, red), bg = above(blue, green), rb = above(red, blue);
    const mask falling = either(both(gr, bg), both(rb, either(gr, bg)));
    const vec move = mul(c, shift);
    const vec place = pick(falling, sub(over, move), add(over, move));
    const vec middle = add(low, least(most(place, zero), c)),
              highest = sub(v, most(sub(place, c), zero)),
              lowest = add(low, most(sub(zero, place), zero));
    put(to_r, pick(only(gr, rb), highest, pick(only(rb, gr), lowest, middle)), m);
    put(to_g, pick(only(bg, gr), highest, pick(only(gr, bg), lowest, middle)), m);
    put(to_b, pick(only(rb, bg), highest, pick(only(bg, rb), lowest, middle)), m);
}

static void hue(int16_t *r, int16_t *g, int16_t *b, size_t n, int shift, int thirds)
{
    int16_t *const to[5] = {r, g, b, r, g};
    int16_t *to_r = to[thirds], *to_g = to[thirds + 1], *to_b = to[thirds + 2];
    const vec by = splat(shift);
    FOR_VECTORS(n, hue_step(r + at, g + at, b + at, to_r + at, to_g + at, to_b + at, m, by));
}

INLINE void gray_step(int16_t *r, const int16_t *g, const int16_t *b, size_t m)
{
    const vec y = add(add(mul(load(r, m), splat(9794)), mul(load(g, m), splat(19235))),
                      mul(load(b, m), splat(3736)));
    put(r, y, m);
}

static void gray(int16_t *r, const int16_t *g, const int16_t *b, size_t n)
{
    FOR_VECTORS(n, gray_step(r + at, g + at, b + at, m));
}

/* Up to eight vectors of a line at once, so that a weight is spread once for all of them;
 * `count` is a constant for the compiler, m the length of the last. */
INLINE void blur_vectors(int16_t *dst, const int16_t *centre, const int16_t *const *low,
                         const int16_t *const *high, const int16_t *w, int radius, size_t x,
                         int count, size_t m)
{
    vec acc[8], weight = splat(w[0]);
#define LENGTH(i) ((i) + 1 == count ? m : LANES)
#pragma GCC unroll 8
    for (int i = 0; i < count; i++)
        acc[i] = mul(load(centre + x + i * LANES, LENGTH(i)), weight);
    for (int k = 1; k <= radius; k++) {
        const int16_t *a = low[k] + x, *b = high[k] + x;
        weight = splat(w[k]);
#pragma GCC unroll 8
        for (int i = 0; i < count; i++)
            acc[i] = add(
                acc[i], mul(add(load(a + i * LANES, LENGTH(i)), load(b + i * LANES, LENGTH(i))),
                            weight));
    }
#pragma GCC unroll 8
    for (int i = 0; i < count; i++)
        put(dst + x + i * LANES, acc[i], LENGTH(i));
#undef LENGTH
}

static void blur_line(int16_t *dst, const int16_t *centre, const int16_t *const *low,
                      const int16_t *const *high, const int16_t *w, int radius, int n)
{
#define BLUR(count, m) blur_vectors(dst, centre, low, high, w, radius, x, count, m)
    size_t x = 0, left = (size_t)n;
    for (; left >= 7 * LANES; x += 7 * LANES, left -= 7 * LANES)
        BLUR(7, LANES);
    for (; left >= 3 * LANES; x += 3 * LANES, left -= 3 * LANES)
        BLUR(3, LANES);
    for (; left >= LANES; x += LANES, left -= LANES)
        BLUR(1, LANES);
    if (left > 0)
        BLUR(1, left);
#undef BLUR
}

INLINE void solarize_step(int16_t *x, size_t m, vec threshold)
{
    const vec v = load(x, m);
    put(x, pick(above(threshold, v), v, sub(splat(RQ_WHITE), v)), m);
}

static void solarize(int16_t *x, size_t n, int threshold)
{
    const vec t = splat(threshold);
    FOR_VECTORS(n, solarize_step(x + at, m, t));
}

/* Whole numbers from units. */
INLINE vec levels(vec x)
{
    return shift_right(add(x, splat(RQ_LEVEL / 2)), 6);
}

#define COLOUR_KERNELS                                                                         \
    k->ycc_to_rgb = ycc_to_rgb;                                                                \
    k->recentre = recentre;                                                                    \
    k->brightness = brightness;                                                                \
    k->sum = sum;                                                                              \
    k->contrast = contrast;                                                                    \
    k->saturation = saturation;                                                                \
    k->hue = hue;                                                                              \
    k->gray = gray;                                                                            \
    k->blur_line = blur_line;                                                                  \
    k->solarize = solarize
