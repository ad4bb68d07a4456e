/* The colour kernels on vectors of 16-bit numbers, written once. Included by kernels_avx2.c and
 * kernels_avx512.c behind their definitions of
 *
 *   vec, LANES            a vector and how many numbers it holds
 *   mask                  the result of a comparison
 *   load, put             m <= LANES numbers; the rest of a short load is 0
 *   splat, add, sub, adds, subs, mul, least, most      mul is mulhrs; adds and subs saturate
 *   above, both, either, only, pick, any               a > b; a & b; a | b; b & ~a; m ? a : b
 *   pairs_sum             sum of a vector's numbers into 32-bit lanes: add32, total32
 *   splat32, zip_low, zip_high, dot, narrow    pairs of 16-bit numbers times pairs, added to 32
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

/* Pixels on their way through the steps. */
typedef struct rgb {
    vec r, g, b;
} rgb;

/* A step with its numbers spread over vectors. */
typedef struct vec_step {
    rq_step_op op;
    vec half, a[3];
    vec pair[3], last[3]; /* of a matrix: a row's first two coefficients, and the third */
} vec_step;

INLINE rgb ycc_step(rgb x)
{
    const vec red = adds(x.b, mul(x.b, splat(13173)));
    const vec green = adds(mul(x.g, splat(11277)), mul(x.b, splat(23401)));
    const vec blue = adds(x.g, mul(x.g, splat(25297)));
    return (rgb){from_centre(adds(x.r, red)), from_centre(subs(x.r, green)),
                 from_centre(adds(x.r, blue))};
}

INLINE vec contrast_step(vec x, vec mean, vec half)
{
    const vec d = sub(x, mean);
    return clip(add(mean, mul(add(d, d), half)));
}

INLINE vec nearer(vec v, vec x, vec ratio)
{
    const vec d = sub(v, x);
    return most(sub(v, mul(add(d, d), ratio)), splat(0));
}

INLINE rgb saturation_step(rgb x, vec half)
{
    const vec v = most(most(x.r, x.g), x.b), c = sub(v, least(least(x.r, x.g), x.b));
    const mask over = above(mul(add(c, c), half), v);
    vec ratio = half;
    if (any(over))
        ratio = pick(over, least(clipped_ratio(v, c), half), half);
    return (rgb){nearer(v, x.r, ratio), nearer(v, x.g, ratio), nearer(v, x.b, ratio)};
}

INLINE rgb hue_step(rgb x, vec shift)
{
    const vec zero = splat(0);
    const vec v = most(most(x.r, x.g), x.b), low = least(least(x.r, x.g), x.b);
    const vec c = sub(v, low);
    const vec over = sub(sub(add(add(x.r, x.g), x.b), v), add(low, low));
    const mask gr = above(x.g, x.r), bg = above(x.b, x.g), rb = above(x.r, x.b);
    const mask falling = either(both(gr, bg), both(rb, either(gr, bg)));
    const vec move = mul(c, shift);
    const vec place = pick(falling, sub(over, move), add(over, move));
    const vec middle = add(low, least(most(place, zero), c)),
              highest = sub(v, most(sub(place, c), zero)),
              lowest = add(low, most(sub(zero, place), zero));
    return (rgb){pick(only(gr, rb), highest, pick(only(rb, gr), lowest, middle)),
                 pick(only(bg, gr), highest, pick(only(gr, bg), lowest, middle)),
                 pick(only(rb, bg), highest, pick(only(bg, rb), lowest, middle))};
}

INLINE rgb gray_step(rgb x)
{
    const vec y =
        add(add(mul(x.r, splat(9794)), mul(x.g, splat(19235))), mul(x.b, splat(3736)));
    return (rgb){y, y, y};
}

/* One row of the matrix. */
INLINE vec matrix_row(vec start, vec pair, vec last, const vec yb[2], const vec r[2])
{
    const vec low = dot(dot(start, yb[0], pair), r[0], last),
              high = dot(dot(start, yb[1], pair), r[1], last);
    return clip(narrow(low, high, RQ_MATRIX_BITS));
}

INLINE rgb matrix_step(rgb x, const vec_step *s)
{
    const vec yb[2] = {zip_low(x.r, x.g), zip_high(x.r, x.g)},
              r[2] = {zip_low(x.b, splat(0)), zip_high(x.b, splat(0))};
    return (rgb){matrix_row(s->a[0], s->pair[0], s->last[0], yb, r),
                 matrix_row(s->a[1], s->pair[1], s->last[1], yb, r),
                 matrix_row(s->a[2], s->pair[2], s->last[2], yb, r)};
}

INLINE vec solarize_step(vec x, vec threshold)
{
    return pick(above(threshold, x), x, sub(splat(RQ_WHITE), x));
}

INLINE rgb step(rgb x, const vec_step *s)
{
    switch (s->op) {
    case RQ_STEP_YCC:
        return ycc_step(x);
    case RQ_STEP_RECENTRE:
        return (rgb){from_centre(x.r), from_centre(x.g), from_centre(x.b)};
    case RQ_STEP_BRIGHTNESS:
        return (rgb){clip(add(x.r, s->a[0])), clip(add(x.g, s->a[0])), clip(add(x.b, s->a[0]))};
    case RQ_STEP_CONTRAST:
        return (rgb){contrast_step(x.r, s->a[0], s->half), contrast_step(x.g, s->a[1], s->half),
                     contrast_step(x.b, s->a[2], s->half)};
    case RQ_STEP_SATURATION:
        return saturation_step(x, s->half);
    case RQ_STEP_HUE:
        return hue_step(x, s->a[0]);
    case RQ_STEP_TURN:
        return (rgb){x.b, x.r, x.g};
    case RQ_STEP_GRAY:
        return gray_step(x);
    case RQ_STEP_MATRIX:
        return matrix_step(x, s);
    default:
        return (rgb){solarize_step(x.r, s->a[0]), solarize_step(x.g, s->a[0]),
                     solarize_step(x.b, s->a[0])};
    }
}

INLINE void colour_vector(int16_t *const x[3], size_t at, size_t m, const vec_step *steps,
                          int count, bool summed, vec sum[3])
{
    rgb v = {load(x[0] + at, m), load(x[1] + at, m), load(x[2] + at, m)};
    for (int i = 0; i < count; i++)
        v = step(v, &steps[i]);
    put(x[0] + at, v.r, m);
    put(x[1] + at, v.g, m);
    put(x[2] + at, v.b, m);
    if (!summed)
        return;
    // What lies behind the end does not count.
    if (m < LANES)
        v = (rgb){load(x[0] + at, m), load(x[1] + at, m), load(x[2] + at, m)};
    sum[0] = add32(sum[0], pairs_sum(v.r));
    sum[1] = add32(sum[1], pairs_sum(v.g));
    sum[2] = add32(sum[2], pairs_sum(v.b));
}

INLINE void widen(vec_step *v, const rq_step *s)
{
    v->op = s->op;
    v->half = splat(s->half);
    for (int c = 0; c < 3; c++) {
        const uint16_t first = (uint16_t)s->m[c][0], second = (uint16_t)s->m[c][1];
        v->a[c] = s->op == RQ_STEP_MATRIX
                      ? splat32(s->a[c] * (1 << RQ_MATRIX_BITS) + (1 << (RQ_MATRIX_BITS - 1)))
                      : splat(s->a[c]);
        v->pair[c] = splat32((int)((uint32_t)first | (uint32_t)second << 16));
        v->last[c] = splat32((uint16_t)s->m[c][2]);
    }
}

static void colour(int16_t *const x[3], size_t n, const rq_step *steps, int count,
                   int64_t total[3])
{
    enum { BLOCK = 1 << 18 }; // short enough for sums in 32-bit lanes
    vec_step wide[RQ_MAX_STEPS];
    for (int i = 0; i < count; i++)
        widen(&wide[i], &steps[i]);
    for (size_t begin = 0; begin < n; begin += BLOCK) {
        int16_t *const p[3] = {x[0] + begin, x[1] + begin, x[2] + begin};
        const size_t length = n - begin < BLOCK ? n - begin : BLOCK;
        vec sum[3] = {splat(0), splat(0), splat(0)};
        if (!total) {
            FOR_VECTORS(length, colour_vector(p, at, m, wide, count, false, sum));
            continue;
        }
        FOR_VECTORS(length, colour_vector(p, at, m, wide, count, true, sum));
        for (int c = 0; c < 3; c++)
            total[c] += total32(sum[c]);
    }
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

/* Whole numbers from units. */
INLINE vec levels(vec x)
{
    return shift_right(adds(x, splat(RQ_LEVEL / 2)), 6);
}
