// SPDX-License-Identifier: Apache-2.0
//
// Every kernel against a straightforward double-precision version written from its definition,
// on random, flat and extreme pictures of even and odd sizes; the filter weights against
// theirs; and every version for a CPU against the C one, bit for bit, at every length, from
// addresses of every alignment. Bounds are in levels; the mean error has a bound of its own.
#include "tests/unit/test.h"

#include "augment/cutout.h"
#include "augment/kernels.h"
#include "common/cpu.h"
#include "common/rng.h"
#include "ingest/resample.h"

#include <math.h>

enum { MAX_SIDE = 64, MAX_N = MAX_SIDE * MAX_SIDE, PICTURES = 6 };

static const int sides[] = {1, 5, 16, 33, 64};
static rq_kernels k;

typedef struct picture {
    int16_t c[3][MAX_N];
    int side;
    size_t n;
} picture;

/* Kind 0 random, 1 flat, 2 only 0 and 1, 3 nearly grey, 4 random with ties between channels, 5
 * dark and saturated. */
static void paint(picture *p, int side, int kind)
{
    rq_rng r = rq_rng_make(5, (uint32_t)side, (uint64_t)kind, 0, 0);
    p->side = side;
    p->n = (size_t)side * (size_t)side;
    for (size_t i = 0; i < p->n; i++) {
        const float base = rq_rng_float(&r);
        for (int c = 0; c < 3; c++) {
            const float u = rq_rng_float(&r);
            const float kinds[PICTURES] = {u,
                                           0.3f + 0.2f * (float)c,
                                           u < 0.5f ? 0.0f : 1.0f,
                                           base * (1 - 1e-3f) + u * 1e-3f,
                                           c == 2 && u < 0.5f ? (float)p->c[1][i] / RQ_WHITE
                                                              : u,
                                           (c == (int)(base * 3) ? 0.3f : 0.02f) * u};
            p->c[c][i] = (int16_t)lrintf(kinds[kind] * RQ_WHITE);
        }
    }
}

/* A sample in [0, 1]. */
static double unit(int16_t x)
{
    return x / (double)RQ_WHITE;
}

static double clip(double x)
{
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

/* Errors of one operation: the largest so far is checked at once, the mean by whoever asks. */
typedef struct errors {
    double sum, most;
    size_t n;
} errors;

static errors seen;

static void near(double got, double want, double levels, const char *what, size_t i)
{
    const double error = fabs(got - want) * 255;
    if (!(error <= levels))
        fail_msg("%s at %zu: %.9g, not %.9g, is off by %g levels", what, i, got, want, error);
    seen.sum += error;
    seen.n++;
}

/* One step with its numbers on a picture. */
static void apply(picture *p, rq_step s)
{
    int16_t *const x[3] = {p->c[0], p->c[1], p->c[2]};
    k.colour(x, p->n, &s, 1, NULL);
}

typedef void (*on_picture)(picture *p, const picture *before);

/* The mean error over all of them stays below `mean` levels. */
static void for_all_pictures(on_picture check, double mean)
{
    static picture p, before;
    seen = (errors){0};
    for (size_t s = 0; s < sizeof sides / sizeof *sides; s++)
        for (int kind = 0; kind < PICTURES; kind++) {
            paint(&p, sides[s], kind);
            before = p;
            check(&p, &before);
        }
    if (!(seen.sum <= mean * (double)seen.n))
        fail_msg("the mean error is %g levels", seen.sum / (double)seen.n);
}

static void check_brightness(picture *p, const picture *b)
{
    static picture q;
    const double deltas[] = {-1, -0.4, 0, 0.37, 1};
    for (int d = 0; d < 5; d++) {
        q = *p;
        apply(&q, (rq_step){.op = RQ_STEP_BRIGHTNESS, .a = {(int)lrint(deltas[d] * RQ_WHITE)}});
        for (size_t i = 0; i < 3 * p->n; i++)
            near(unit(q.c[i % 3][i / 3]), clip(unit(b->c[i % 3][i / 3]) + deltas[d]), 0.01,
                 "brightness", i);
    }
}

static void check_contrast(picture *p, const picture *b)
{
    const double factors[] = {0, 0.6, 1, 1.4, 2};
    int64_t sum[3] = {0}, got[3] = {0};
    int16_t *const x[3] = {p->c[0], p->c[1], p->c[2]};
    for (size_t i = 0; i < 3 * p->n; i++)
        sum[i % 3] += b->c[i % 3][i / 3];
    k.colour(x, p->n, NULL, 0, got);
    assert_memory_equal(sum, got, sizeof sum);
    for (int f = 0; f < 5; f++) {
        rq_step s = {.op = RQ_STEP_CONTRAST,
                     .half = (int)fmin(rint(factors[f] * 16384), 32767)};
        for (int c = 0; c < 3; c++)
            s.a[c] = (int)rint((double)sum[c] / (double)p->n);
        *p = *b;
        apply(p, s);
        for (size_t i = 0; i < 3 * p->n; i++) {
            const double mean = (double)sum[i % 3] / (double)p->n / RQ_WHITE;
            near(unit(p->c[i % 3][i / 3]),
                 clip((unit(b->c[i % 3][i / 3]) - mean) * factors[f] + mean), 0.03, "contrast",
                 i);
        }
    }
}

/* Textbook conversions; hue in turns. */
static void to_hsv(const double rgb[3], double hsv[3])
{
    const double v = fmax(fmax(rgb[0], rgb[1]), rgb[2]), m = fmin(fmin(rgb[0], rgb[1]), rgb[2]);
    const double c = v - m;
    double h = 0;
    if (c > 0 && v == rgb[0])
        h = (rgb[1] - rgb[2]) / c;
    else if (c > 0 && v == rgb[1])
        h = 2 + (rgb[2] - rgb[0]) / c;
    else if (c > 0)
        h = 4 + (rgb[0] - rgb[1]) / c;
    hsv[0] = h / 6 - floor(h / 6);
    hsv[1] = v > 0 ? c / v : 0;
    hsv[2] = v;
}

static void from_hsv(const double hsv[3], double rgb[3])
{
    const double h = hsv[0] * 6, s = hsv[1], v = hsv[2], f = h - floor(h);
    const double p = v * (1 - s), q = v * (1 - s * f), t = v * (1 - s * (1 - f));
    const double table[6][3] = {{v, t, p}, {q, v, p}, {p, v, t},
                                {p, q, v}, {t, p, v}, {v, p, q}};
    memcpy(rgb, table[(int)floor(h) % 6], 3 * sizeof(double));
}

static void check_hsv(picture *p, const picture *b, double factor, double turns)
{
    for (size_t i = 0; i < p->n; i++) {
        double rgb[3] = {unit(b->c[0][i]), unit(b->c[1][i]), unit(b->c[2][i])}, hsv[3];
        to_hsv(rgb, hsv);
        hsv[1] = clip(hsv[1] * factor);
        hsv[0] += turns;
        hsv[0] -= floor(hsv[0]);
        from_hsv(hsv, rgb);
        for (int c = 0; c < 3; c++) {
            assert_in_range(p->c[c][i], 0, RQ_WHITE);
            near(unit(p->c[c][i]), rgb[c], 0.04, turns != 0 ? "hue" : "saturation", i);
        }
    }
}

static void check_saturation(picture *p, const picture *b)
{
    static picture q;
    const double factors[] = {0, 0.8, 1, 1.2, 2};
    for (int f = 0; f < 5; f++) {
        q = *p;
        apply(&q, (rq_step){.op = RQ_STEP_SATURATION,
                            .half = (int)fmin(rint(factors[f] * 16384), 32767)});
        check_hsv(&q, b, factors[f], 0);
    }
}

static void check_hue(picture *p, const picture *b)
{
    static picture q;
    const double sixths[] = {-0.99, -0.6, -0.1, 0, 0.3, 0.6, 0.99};
    for (int thirds = 0; thirds < 3; thirds++)
        for (int t = 0; t < 7; t++) {
            q = *p;
            for (int i = 0; i < thirds; i++)
                apply(&q, (rq_step){.op = RQ_STEP_TURN});
            apply(&q, (rq_step){.op = RQ_STEP_HUE, .a = {(int)rint(sixths[t] * 32768)}});
            check_hsv(&q, b, 1, sixths[t] / 6 + thirds / 3.0);
        }
}

static void check_gray(picture *p, const picture *b)
{
    apply(p, (rq_step){.op = RQ_STEP_GRAY});
    for (size_t i = 0; i < p->n; i++)
        near(unit(p->c[0][i]),
             0.2989 * unit(b->c[0][i]) + 0.587 * unit(b->c[1][i]) + 0.114 * unit(b->c[2][i]),
             0.03, "gray", i);
    assert_memory_equal(p->c[1], p->c[0], p->n * sizeof *p->c[1]);
    assert_memory_equal(p->c[2], p->c[0], p->n * sizeof *p->c[2]);
}

static void check_matrix(picture *p, const picture *b)
{
    const rq_step s = {.op = RQ_STEP_MATRIX,
                       .a = {3000, -1200, 60000},
                       .m = {{4096, 0, 5743}, {-3000, 2000, 1500}, {-32768, 32767, 77}}};
    apply(p, s);
    for (size_t i = 0; i < p->n; i++)
        for (int c = 0; c < 3; c++) {
            double want = s.a[c] / (double)RQ_WHITE;
            for (int j = 0; j < 3; j++)
                want += s.m[c][j] / 4096.0 * unit(b->c[j][i]);
            near(unit(p->c[c][i]), clip(want), 0.01, "matrix", i);
        }
}

/* A picture with one channel that stands for all three. */
static void check_one_channel(picture *p, const picture *b)
{
    const rq_step steps[] = {{.op = RQ_STEP_BRIGHTNESS, .a = {1000}},
                             {.op = RQ_STEP_CONTRAST, .half = 20000, .a = {7000, 7000, 7000}},
                             {.op = RQ_STEP_SATURATION, .half = 20000},
                             {.op = RQ_STEP_HUE, .a = {-9000}},
                             {.op = RQ_STEP_TURN},
                             {.op = RQ_STEP_SOLARIZE, .a = {9000}},
                             {.op = RQ_STEP_GRAY}};
    static picture q;
    int16_t *const one[3] = {p->c[0], p->c[0], p->c[0]}, *const three[3] = {q.c[0], q.c[1],
                                                                            q.c[2]};
    q = *p;
    for (int c = 1; c < 3; c++)
        memcpy(q.c[c], b->c[0], sizeof q.c[c]);
    k.colour(one, p->n, steps, 7, NULL);
    k.colour(three, q.n, steps, 7, NULL);
    for (int c = 0; c < 3; c++)
        assert_memory_equal(q.c[c], p->c[0], sizeof q.c[c]);
    for (size_t i = 0; i < p->n; i++)
        near(0, 0, 0, "one channel", i);
}

static void check_solarize(picture *p, const picture *b)
{
    const rq_step s = {.op = RQ_STEP_SOLARIZE, .a = {RQ_WHITE / 2}};
    apply(p, s);
    for (size_t i = 0; i < 3 * p->n; i++) {
        const double x = unit(b->c[i % 3][i / 3]);
        near(unit(p->c[i % 3][i / 3]), x < 0.5 ? x : 1 - x, 1e-9, "solarize", i);
    }
    static picture again;
    again = *p;
    apply(&again, s);
    assert_memory_equal(again.c, p->c, sizeof again.c);
}

static void check_store(picture *p, const picture *b)
{
    static uint8_t out[3 * MAX_N + 1];
    out[3 * p->n] = 77;
    k.store(out, p->c[0], p->c[1], p->c[2], p->n, false);
    for (size_t i = 0; i < 3 * p->n; i++)
        near(out[i] / 255.0, unit(b->c[i % 3][i / 3]), 0.5001, "store", i);
    assert_int_equal(out[3 * p->n], 77);
}

/* Both directions, as a view does it. */
static void blur(picture *p, const int16_t *w, int radius, int16_t *dst)
{
    static int16_t row[3 * MAX_SIDE], zero[MAX_SIDE];
    const int16_t *low[16], *high[16];
    const int n = p->side;
    int16_t *middle = row + MAX_SIDE;
    memset(row, 0, sizeof row);
    for (int y = 0; y < n; y++) {
        for (int i = 1; i <= radius; i++) {
            low[i] = y >= i ? p->c[0] + (y - i) * n : zero;
            high[i] = y + i < n ? p->c[0] + (y + i) * n : zero;
        }
        k.blur_line(middle, p->c[0] + y * n, low, high, w, radius, n);
        for (int i = 1; i <= radius; i++) {
            low[i] = middle - i;
            high[i] = middle + i;
        }
        k.blur_line(dst + y * n, middle, low, high, w, radius, n);
    }
}

static void check_blur(picture *p, const picture *b)
{
    static int16_t dst[MAX_N];
    const float sigmas[] = {0.5f, 1.1f, 2.0f};
    const int side = p->side, full = 11;
    for (int s = 0; s < 3; s++) {
        int16_t w[RQ_BLUR_MAX_RADIUS + 1];
        const int radius = rq_blur_weights(w, full, sigmas[s]);
        double g[23], total = 0;
        for (int i = -full; i <= full; i++)
            total += g[i + full] = exp(-0.5 * i * i / ((double)sigmas[s] * (double)sigmas[s]));
        blur(p, w, radius, dst);
        for (int y = 0; y < side; y++)
            for (int x = 0; x < side; x++) {
                double want = 0;
                for (int j = y - full; j <= y + full; j++)
                    for (int i = x - full; i <= x + full; i++)
                        if (j >= 0 && j < side && i >= 0 && i < side)
                            want += g[j - y + full] * g[i - x + full] / total / total *
                                    unit(b->c[0][j * side + i]);
                assert_in_range(dst[y * side + x], 0, RQ_WHITE + RQ_LEVEL / 4);
                near(unit(dst[y * side + x]), want, 0.2, "blur", (size_t)(y * side + x));
            }
    }
}

static void check_to_rgb(picture *p, const picture *b)
{
    static picture q;
    q = *p;
    for (size_t i = 0; i < q.n; i++)
        for (int c = 0; c < 3; c++) // overshoot as a cubic makes it, less 128 levels
            q.c[c][i] = (int16_t)((int)q.c[c][i] * 5 / 4 - 130 * RQ_LEVEL);
    *p = q;
    apply(&q, (rq_step){.op = RQ_STEP_YCC});
    for (size_t i = 0; i < q.n; i++) {
        const double y = p->c[0][i] / 64.0 + 128, cb = p->c[1][i] / 64.0,
                     cr = p->c[2][i] / 64.0;
        near(unit(q.c[0][i]), clip((y + 1.402 * cr) / 255), 0.02, "red", i);
        near(unit(q.c[1][i]), clip((y - 0.344136286 * cb - 0.714136286 * cr) / 255), 0.02,
             "green", i);
        near(unit(q.c[2][i]), clip((y + 1.772 * cb) / 255), 0.02, "blue", i);
    }
    q = *p;
    apply(&q, (rq_step){.op = RQ_STEP_RECENTRE});
    for (size_t i = 0; i < 3 * q.n; i++)
        near(unit(q.c[i % 3][i / 3]), clip((p->c[i % 3][i / 3] / 64.0 + 128) / 255), 1e-9,
             "recentre", i);
    (void)b;
}

#define PICTURE_TEST(op, mean)                                                                 \
    static void op##_equals_its_definition(void **state)                                       \
    {                                                                                          \
        for_all_pictures(check_##op, mean);                                                    \
    }
PICTURE_TEST(brightness, 0.005)
PICTURE_TEST(contrast, 0.01)
PICTURE_TEST(saturation, 0.01)
PICTURE_TEST(hue, 0.005)
PICTURE_TEST(gray, 0.015)
PICTURE_TEST(matrix, 0.005)
PICTURE_TEST(one_channel, 0)
PICTURE_TEST(solarize, 1e-9)
PICTURE_TEST(store, 0.26)
PICTURE_TEST(blur, 0.03)
PICTURE_TEST(to_rgb, 0.005)

static void hue_turns_the_right_way(void **state)
{
    for (int thirds = 0; thirds < 2; thirds++) {
        int16_t r = RQ_WHITE, g = 0, b = 0;
        int16_t *const x[3] = {&r, &g, &b};
        const rq_step s = {.op = thirds ? RQ_STEP_TURN : RQ_STEP_HUE, .a = {32767}};
        k.colour(x, 1, &s, 1, NULL);
        // Red and a sixth is yellow, and a third is green.
        assert_true(thirds ? r == 0 : r == RQ_WHITE);
        assert_in_range(g, RQ_WHITE - 1, RQ_WHITE);
        assert_int_equal(b, 0);
    }
}

static void blur_weights_are_a_normalised_gaussian(void **state)
{
    int16_t w[RQ_BLUR_MAX_RADIUS + 1];
    assert_int_equal(rq_blur_weights(w, 4, 2.0f), 4); // 9 taps
    assert_int_equal(rq_blur_weights(w, 11, 0.1f), 0);
    for (float sigma = 0.3f; sigma <= 2.0f; sigma += 0.1f) {
        const int r = rq_blur_weights(w, 11, sigma);
        double total = 1, left_out = 0;
        int sum = w[0];
        for (int i = 1; i <= 11; i++)
            total += 2 * exp(-0.5 * i * i / ((double)sigma * (double)sigma));
        for (int i = 0; i <= 11; i++) {
            const double g = exp(-0.5 * i * i / ((double)sigma * (double)sigma)) / total;
            if (i > r)
                left_out += 2 * g;
            else
                assert_true(fabs(w[i] / 32768.0 - g) < (i == 0 ? 3e-4 : 2e-5));
            sum += i > 0 && i <= r ? 2 * w[i] : 0;
        }
        assert_int_equal(sum, 32768);
        assert_true(left_out * 255 < 0.1);
    }
}

static double keys(double x)
{
    const double t = fabs(x), a = -0.5;
    return t < 1   ? (a + 2) * t * t * t - (a + 3) * t * t + 1
           : t < 2 ? a * t * t * t - 5 * a * t * t + 8 * a * t - 4 * a
                   : 0;
}

/* Weight of sample i for output o from the definition: every sample is asked. */
static double weight_of(rq_filter filter, bool wide, rq_span s, int outputs, int o, int i)
{
    const double scale = s.length / outputs, widen = wide && scale > 1 ? scale : 1;
    const double centre = s.start + (o + 0.5) * scale - 0.5;
    double total = 0, mine = 0;
    for (int j = 0; j < s.window; j++) {
        double x = (j - centre) / widen;
        // The table has 1024 steps between two samples.
        if (filter == RQ_FILTER_BICUBIC && widen == 1)
            x = rint((centre - floor(centre)) * 1024) / 1024 - (j - floor(centre));
        const double w = filter == RQ_FILTER_BICUBIC ? keys(x) : fmax(0, 1 - fabs(x));
        total += w;
        mine = j == i ? w : mine;
    }
    return mine / total;
}

static rq_cubic cubic;

static void check_taps(rq_direction d, rq_filter filter, bool wide, rq_span span, int outputs,
                       bool flip)
{
    rq_taps a = {0};
    rq_err err = {0};
    const int unit = d == RQ_ACROSS ? 4 : 2;
    const double one = d == RQ_ACROSS ? 1 << RQ_ACROSS_BITS : 1 << RQ_DOWN_BITS;
    assert_ok(rq_taps_build(&a, &cubic, d, filter, wide, span, outputs, flip, &err), &err);
    assert_true(a.stride % RQ_TAPS_LANES == 0 && a.stride >= outputs);
    assert_true(a.units * unit >= a.taps && (a.units - 1) * unit < a.taps);
    for (int o = 0; o < a.stride; o++) {
        int sum = 0;
        const int from = flip ? outputs - 1 - o : o, n = a.units * unit;
        assert_true(a.first[o] >= 0 && a.first[o] + a.taps <= span.window);
        assert_true(a.first[o] + n <= span.window || span.window < n);
        assert_true(a.first[o] >= a.low[o / RQ_TAPS_GROUP] &&
                    a.first[o] + n <= a.low[o / RQ_TAPS_GROUP] + a.span);
        for (int t = 0; t < n; t++)
            sum += rq_taps_weight(&a, o, t);
        assert_true(sum == (o < outputs ? one : 0));
        for (int i = 0; i < span.window && o < outputs; i++) {
            const int t = i - a.first[o];
            const double got = t >= 0 && t < n ? rq_taps_weight(&a, o, t) / one : 0;
            // Rounded once, or twice at a border; the largest takes what all others leave.
            const double bound = (2.0 + a.taps) / one;
            const double want = weight_of(filter, wide, span, outputs, from, i);
            if (!(fabs(got - want) <= bound))
                fail_msg("weight of sample %d for output %d of %d: %g, not %g", i, o, outputs,
                         got, want);
        }
        for (int t = 0; t < n; t++)
            assert_true(a.first[o] + t < span.window || rq_taps_weight(&a, o, t) == 0);
    }
    rq_taps_free(&a);
}

static void filter_weights_equal_their_definition(void **state)
{
    const rq_span spans[] = {{0, 1, 1},   {0, 2, 2},      {0, 3, 3},      {0, 40, 40},
                             {0, 97, 97}, {0.5, 20, 21},  {0.75, 33, 34}, {0, 5.5, 6},
                             {0, 7, 7},   {0.25, 0.5, 1}, {0, 200, 200}};
    for (size_t s = 0; s < sizeof spans / sizeof *spans; s++)
        for (int mode = 0; mode < 16; mode++) {
            const rq_filter f = mode & 1 ? RQ_FILTER_BILINEAR : RQ_FILTER_BICUBIC;
            const rq_direction d = mode & 8 ? RQ_ACROSS : RQ_DOWN;
            check_taps(d, f, mode & 2, spans[s], 32, mode & 4);
            check_taps(d, f, mode & 2, spans[s], 7, mode & 4);
        }
}

/* Both kernels of both directions on a row of a width for some outputs; ROWS rows of samples.
 */
enum { MOST = 3000, ROWS = 5, RING = 32 };

typedef struct resizer {
    rq_taps across, down;
    uint8_t *src; /* [ROWS][width] */
    int16_t ring[RING][320], dst[ROWS][320];
    int width, outputs;
} resizer;

static rq_span random_span(rq_rng *r, int width)
{
    const double start = rq_rng_below(r, 4) / 4.0;
    return (rq_span){start < width ? start : 0, width - start - rq_rng_below(r, 2) * 0.5,
                     width};
}

static void open_resizer(resizer *z, rq_rng *r, int i)
{
    const int widths[] = {1, 3, 9, 17, 40, 100, 333, 900, MOST};
    const rq_filter f = i % 5 == 4 ? RQ_FILTER_BILINEAR : RQ_FILTER_BICUBIC;
    rq_err err = {0};
    z->width = 1 + (int)rq_rng_below(r, (uint32_t)widths[i % 9]);
    z->outputs = 1 + (int)rq_rng_below(r, i % 2 ? 300 : 40);
    rq_span s = random_span(r, z->width);
    if (!(s.length > 0))
        s.length = 0.5;
    assert_ok(rq_taps_build(&z->across, &cubic, RQ_ACROSS, f, i % 3 == 2, s, z->outputs,
                            i % 2 == 1, &err),
              &err);
    s = random_span(r, 24);
    assert_ok(rq_taps_build(&z->down, &cubic, RQ_DOWN, f, i % 3 == 2, s, ROWS, false, &err),
              &err);
    // No byte more than the rows have, so that reading further shows under a sanitizer.
    z->src = malloc((size_t)(ROWS * z->width));
    assert_non_null(z->src);
    for (int n = 0; n < ROWS * z->width; n++)
        z->src[n] = (uint8_t)(rq_rng_below(r, 4) ? rq_rng_u32(r) : rq_rng_below(r, 2) * 255);
    for (int y = 0; y < RING; y++)
        for (int x = 0; x < 320; x++)
            z->ring[y][x] = (int16_t)((int)rq_rng_below(r, 2 * 20480) - 20480);
    memset(z->dst, 1, sizeof z->dst);
}

static void close_resizer(resizer *z)
{
    free(z->src);
    rq_taps_free(&z->across);
    rq_taps_free(&z->down);
}

static void across(const rq_kernels *f, resizer *z)
{
    f->resize_h(z->dst[0], 320, z->src, (size_t)z->width, ROWS, &z->across);
}

static void down(const rq_kernels *f, resizer *z)
{
    const rq_ring ring = {z->ring[0], 320, RING - 1};
    for (int y = 0; y < ROWS; y++)
        f->resize_v(z->dst[y], &ring, &z->down, y, z->outputs);
}

static void resize_kernels_sum_the_taps(void **state)
{
    static resizer z;
    rq_rng r = rq_rng_make(1, 2, 3, 4, 5);
    for (int i = 0; i < 90; i++) {
        open_resizer(&z, &r, i);
        across(&k, &z);
        for (int y = 0; y < ROWS; y++)
            for (int o = 0; o < z.outputs; o++) {
                double want = -128 * 128;
                for (int t = 0; t < z.across.taps + 3 && z.across.first[o] + t < z.width; t++)
                    if (t < 4 * z.across.units)
                        want += rq_taps_weight(&z.across, o, t) / 64.0 *
                                z.src[y * z.width + z.across.first[o] + t];
                assert_true(fabs(z.dst[y][o] - want) <= 0.5001);
            }
        assert_int_equal(z.dst[0][z.outputs], 0x101);
        down(&k, &z);
        for (int y = 0; y < ROWS; y++)
            for (int x = 0; x < z.outputs; x++) {
                double want = 0;
                for (int t = 0; t < z.down.taps; t++)
                    want += rq_taps_weight(&z.down, y, t) / 32768.0 *
                            z.ring[z.down.first[y] + t][x];
                assert_true(fabs(z.dst[y][x] - want) <= 0.5001);
            }
        assert_int_equal(z.dst[0][z.outputs], 0x101);
        close_resizer(&z);
    }
}

/* Bilinear value of the mask at a point of the picture, from the definition. */
static double mask_at(const rq_plane *m, double x, double y, double width, double height)
{
    const double u = fmin(fmax(x * m->width / width - 0.5, 0), m->width - 1);
    const double v = fmin(fmax(y * m->height / height - 0.5, 0), m->height - 1);
    const int i = (int)u, j = (int)v, i1 = i + 1 < m->width ? i + 1 : i,
              j1 = j + 1 < m->height ? j + 1 : j;
    const double fu = u - i, fv = v - j;
    const uint8_t *a = m->data + (size_t)j * m->stride, *b = m->data + (size_t)j1 * m->stride;
    return (a[i] * (1 - fu) + a[i1] * fu) * (1 - fv) + (b[i] * (1 - fu) + b[i1] * fu) * fv;
}

static void cutout_follows_the_mask_on_every_plane(void **state)
{
    rq_image image = {0}, mask = {0};
    rq_cutout cut = {0};
    rq_err err = {0};
    rq_rng r = rq_rng_make(9, 9, 9, 9, 9);
    assert_ok(rq_image_shape(&image, RQ_PIXELS_YCBCR, 53, 37, 2, 2, 16, &err), &err);
    assert_ok(rq_image_shape(&mask, RQ_PIXELS_GRAY, 11, 9, 1, 1, 1, &err), &err);
    for (int y = 0; y < 9; y++)
        for (int x = 0; x < 11; x++)
            mask.plane[0].data[(size_t)y * mask.plane[0].stride + (size_t)x] =
                (uint8_t)rq_rng_u32(&r);
    int kept = 0, filled = 0;
    rq_window win[3];
    for (int c = 0; c < 3; c++) {
        const rq_plane *p = &image.plane[c];
        for (int y = 0; y < p->height; y++)
            memset(p->data + (size_t)y * p->stride, 200 + c, (size_t)p->width);
        win[c] = (rq_window){.data = p->data + 2 * p->stride + 3,
                             .stride = p->stride,
                             .x = 3,
                             .y = 2,
                             .w = p->width - 3,
                             .h = p->height - 2};
    }
    const uint8_t fill[3] = {7, 8, 9};
    assert_ok(rq_cutout_make(&cut, &k, 0, 1, &image, &mask, 127.5f, fill, win, &err), &err);
    assert_ok(rq_cutout_make(&cut, &k, 1, 3, &image, &mask, 127.5f, fill, win, &err), &err);
    for (int c = 0; c < 3; c++) {
        const int sub = c == 0 ? 1 : 2;
        for (int y = 0; y < win[c].h; y++)
            for (int x = 0; x < win[c].w; x++) {
                const double m =
                    mask_at(&mask.plane[0], (x + 3 + 0.5) * sub, (y + 2 + 0.5) * sub, 53, 37);
                const int got = win[c].data[(size_t)y * win[c].stride + (size_t)x];
                if (fabs(m - 127.5) > 1e-3)
                    assert_int_equal(got, m > 127.5 ? 200 + c : 7 + c);
                kept += got == 200 + c;
                filled += got == 7 + c;
            }
        // The picture itself is untouched.
        assert_int_equal(image.plane[c].data[2 * image.plane[c].stride + 3], 200 + c);
    }
    assert_true(kept > 500 && filled > 500);
    rq_cutout_free(&cut);
    rq_image_free(&image);
    rq_image_free(&mask);
}

/* ---- versions -------------------------------------------------------------------------- */

enum { LONGEST = 300, GUARD = 80 };

/* Three channels with room around them, so that what is written outside shows. */
typedef struct strip {
    int16_t c[3][LONGEST + 2 * GUARD];
    _Alignas(64) uint8_t bytes[3 * LONGEST + 2 * GUARD];
} strip;

static void fill_strip(strip *s, rq_rng *r, bool whole_range)
{
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < LONGEST + 2 * GUARD; i++) {
            const int at = (int)rq_rng_below(r, 4);
            const int edges[3] = {0, RQ_WHITE, RQ_WHITE / 2};
            s->c[c][i] = (int16_t)(whole_range ? (int)rq_rng_below(r, 65536) - 32768
                                   : at < 3 && rq_rng_below(r, 3) == 0
                                       ? edges[at]
                                       : (int)rq_rng_below(r, RQ_WHITE + 1));
        }
    for (size_t i = 0; i < sizeof s->bytes; i++)
        s->bytes[i] = (uint8_t)rq_rng_u32(r);
}

static rq_step random_step(rq_rng *r)
{
    rq_step s = {.op = (rq_step_op)(RQ_STEP_BRIGHTNESS + rq_rng_below(r, 8)),
                 .half = (int)rq_rng_below(r, 32768)};
    for (int c = 0; c < 3; c++) {
        s.a[c] = (int)rq_rng_below(r, RQ_WHITE + 1);
        for (int j = 0; j < 3; j++)
            s.m[c][j] = (int16_t)((int)rq_rng_below(r, 65536) - 32768);
    }
    if ((s.op == RQ_STEP_BRIGHTNESS || s.op == RQ_STEP_HUE) && rq_rng_below(r, 2))
        s.a[0] = -s.a[0];
    return s;
}

enum { OP_COLOUR, OP_CENTRED, OP_STORE, OP_SPREAD, OP_SUM, OP_BLUR, OPS };

/* Operation `op` of n samples, `shift` samples into the strip. Inputs are drawn from r. */
static void run_op(const rq_kernels *f, int op, strip *s, int shift, int n, rq_rng r)
{
    int16_t *x[3], w[9];
    uint8_t *bytes = s->bytes + GUARD + shift;
    const size_t count = (size_t)n;
    for (int c = 0; c < 3; c++)
        x[c] = s->c[c] + GUARD + shift;
    switch (op) {
    case OP_COLOUR: {
        rq_step steps[RQ_MAX_STEPS];
        int64_t sum[3] = {5, 6, 7};
        const int many = 1 + (int)rq_rng_below(&r, 6);
        for (int i = 0; i < many; i++)
            steps[i] = random_step(&r);
        f->colour(x, count, steps, many, rq_rng_below(&r, 2) ? sum : NULL);
        memcpy(s->bytes, sum, sizeof sum);
        return;
    }
    case OP_CENTRED: {
        const rq_step first = {.op = rq_rng_below(&r, 2) ? RQ_STEP_YCC : RQ_STEP_RECENTRE};
        f->colour(x, count, &first, 1, NULL);
        return;
    }
    case OP_SPREAD:
        f->spread(x[0], x[1], n);
        for (int i = 0; i < n; i++)
            assert_int_equal(x[0][i], x[1][i / 2]);
        return;
    case OP_SUM: {
        uint64_t sum = f->sum_bytes(bytes, n), want = 0;
        for (int i = 0; i < n; i++)
            want += bytes[i];
        assert_true(sum == want);
        return;
    }
    case OP_STORE:
        // Often at an address that allows writing past the caches.
        if (rq_rng_below(&r, 2))
            bytes = s->bytes + GUARD / 64 * 64;
        f->store(bytes, x[0], x[1], x[2], count, rq_rng_below(&r, 2));
        return;
    default: {
        const int16_t *low[9], *high[9];
        const int radius = (int)rq_rng_below(&r, 9);
        w[0] = 16000;
        for (int i = 1; i <= radius; i++) {
            low[i] = x[1] - 3 * i;
            high[i] = x[2] + i;
            w[i] = (int16_t)rq_rng_below(&r, 2000);
        }
        f->blur_line(x[0], x[1], low, high, w, radius, n);
    }
    }
}

/* Every length, an alignment drawn for each. */
static void every_version_colours_alike(void **state)
{
    static strip start, a, b;
    rq_kernels c, other;
    rq_kernels_init(&c, 0);
    rq_rng r = rq_rng_make(3, 1, 4, 1, 5);
    for (unsigned flags = RQ_CPU_AVX2; flags <= RQ_CPU_ALL; flags += RQ_CPU_AVX512) {
        rq_kernels_init(&other, flags);
        for (int op = 0; op < OPS; op++)
            for (int n = 0; n <= LONGEST; n++) {
                const int shift = (int)rq_rng_below(&r, 40);
                fill_strip(&start, &r, op == OP_CENTRED || op == OP_STORE);
                a = b = start;
                run_op(&c, op, &a, shift, n < LONGEST - 40 ? n : LONGEST - 40, r);
                run_op(&other, op, &b, shift, n < LONGEST - 40 ? n : LONGEST - 40, r);
                if (memcmp(&a, &b, sizeof a) != 0)
                    fail_msg("flags %u, operation %d, %d samples at %d differ from C", flags,
                             op, n, shift);
            }
    }
}

static void every_version_resizes_alike(void **state)
{
    static resizer a;
    static int16_t want[ROWS][320];
    rq_kernels c, other;
    rq_kernels_init(&c, 0);
    rq_rng r = rq_rng_make(2, 7, 1, 8, 2);
    for (unsigned flags = RQ_CPU_AVX2; flags <= RQ_CPU_ALL; flags += RQ_CPU_AVX512) {
        rq_kernels_init(&other, flags);
        for (int i = 0; i < 270; i++) {
            open_resizer(&a, &r, i);
            for (int d = 0; d < 2; d++) {
                void (*const run)(const rq_kernels *, resizer *) = d ? down : across;
                memset(a.dst, 1, sizeof a.dst);
                run(&c, &a);
                memcpy(want, a.dst, sizeof want);
                memset(a.dst, 1, sizeof a.dst);
                run(&other, &a);
                if (memcmp(want, a.dst, sizeof want) != 0)
                    fail_msg("flags %u: %s from %d to %d samples, %d taps, differs from C",
                             flags, d ? "down" : "across", a.width, a.outputs,
                             d ? a.down.taps : a.across.taps);
            }
            close_resizer(&a);
        }
    }
}

static void every_version_cuts_alike(void **state)
{
    static float line[400], frac[300];
    static int32_t first[300];
    static uint8_t src[300], a[310], b[310], front[310];
    rq_kernels c, other;
    rq_kernels_init(&c, 0);
    rq_rng r = rq_rng_make(5, 7, 7, 2, 1);
    for (unsigned flags = RQ_CPU_AVX2; flags <= RQ_CPU_ALL; flags += RQ_CPU_AVX512) {
        rq_kernels_init(&other, flags);
        for (int n = 1; n < 300; n++) {
            const double step = n % 2 ? 0.3 : 6.5 * rq_rng_float(&r) * 50 / n;
            for (int i = 0; i < 300; i++) {
                first[i] = (int32_t)(i * step) < 360 ? (int32_t)(i * step) : 360;
                frac[i] = rq_rng_float(&r);
                src[i] = (uint8_t)rq_rng_u32(&r);
            }
            for (int i = 0; i < 400; i++)
                line[i] = 255 * rq_rng_float(&r);
            memset(a, 3, sizeof a);
            memcpy(b, a, sizeof a);
            c.mask_row(a, line, first, frac, 127.5f, n);
            other.mask_row(b, line, first, frac, 127.5f, n);
            assert_memory_equal(a, b, sizeof a);
            memcpy(front, a, sizeof a);
            c.cut_row(a + 1, src, front, 17, n);
            other.cut_row(b + 1, src, front, 17, n);
            assert_memory_equal(a, b, sizeof a);
        }
    }
}

static int init(void **state)
{
    rq_kernels_init(&k, 0);
    return rq_cubic_init(&cubic, NULL) == RQ_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(brightness_equals_its_definition),
        cmocka_unit_test(contrast_equals_its_definition),
        cmocka_unit_test(saturation_equals_its_definition),
        cmocka_unit_test(hue_equals_its_definition),
        cmocka_unit_test(gray_equals_its_definition),
        cmocka_unit_test(matrix_equals_its_definition),
        cmocka_unit_test(one_channel_equals_its_definition),
        cmocka_unit_test(solarize_equals_its_definition),
        cmocka_unit_test(store_equals_its_definition),
        cmocka_unit_test(blur_equals_its_definition),
        cmocka_unit_test(to_rgb_equals_its_definition),
        cmocka_unit_test(hue_turns_the_right_way),
        cmocka_unit_test(blur_weights_are_a_normalised_gaussian),
        cmocka_unit_test(filter_weights_equal_their_definition),
        cmocka_unit_test(resize_kernels_sum_the_taps),
        cmocka_unit_test(cutout_follows_the_mask_on_every_plane),
        cmocka_unit_test(every_version_colours_alike),
        cmocka_unit_test(every_version_resizes_alike),
        cmocka_unit_test(every_version_cuts_alike),
    };
    return cmocka_run_group_tests(tests, init, NULL);
}
