// SPDX-License-Identifier: Apache-2.0
//
// Every kernel against a straightforward double-precision version written from its definition,
// on random, flat and extreme pictures of even and odd sizes; and the filter weights against
// theirs. An error of one level is 1 / 255; the bound here is far below it.
#include "tests/unit/test.h"

#include "augment/cutout.h"
#include "augment/kernels.h"
#include "common/cpu.h"
#include "common/rng.h"
#include "ingest/resample.h"

#include <math.h>

enum { MAX_SIDE = 64, MAX_N = MAX_SIDE * MAX_SIDE, PICTURES = 5 };
#define BOUND 1e-5

static const int sides[] = {1, 5, 16, 33, 64};
static rq_kernels k;

typedef struct picture {
    float c[3][MAX_N];
    int side;
    size_t n;
} picture;

/* Kind 0 random, 1 flat, 2 only 0 and 1, 3 nearly grey, 4 random with ties between channels. */
static void paint(picture *p, int side, int kind)
{
    rq_rng r = rq_rng_make(5, (uint32_t)side, (uint64_t)kind, 0, 0);
    p->side = side;
    p->n = (size_t)side * (size_t)side;
    for (size_t i = 0; i < p->n; i++) {
        const float base = rq_rng_float(&r);
        for (int c = 0; c < 3; c++) {
            const float u = rq_rng_float(&r);
            const float kinds[PICTURES] = {u, 0.3f + 0.2f * (float)c, u < 0.5f ? 0.0f : 1.0f,
                                           base * (1 - 1e-6f) + u * 1e-6f,
                                           c == 2 && u < 0.5f ? p->c[1][i] : u};
            p->c[c][i] = kinds[kind];
        }
    }
}

static double clip(double x)
{
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

static void assert_near(double got, double want, const char *what, size_t i)
{
    if (!(fabs(got - want) <= BOUND))
        fail_msg("%s at %zu: %.9g, not %.9g", what, i, got, want);
}

typedef void (*on_picture)(picture *p, const picture *before);

static void for_all_pictures(on_picture check)
{
    static picture p, before;
    for (size_t s = 0; s < sizeof sides / sizeof *sides; s++)
        for (int kind = 0; kind < PICTURES; kind++) {
            paint(&p, sides[s], kind);
            before = p;
            check(&p, &before);
        }
}

static void check_brightness(picture *p, const picture *b)
{
    k.brightness(p->c[0], p->n, 0.37f);
    k.brightness(p->c[1], p->n, -0.4f);
    for (size_t i = 0; i < p->n; i++) {
        assert_near((double)p->c[0][i], clip((double)b->c[0][i] + 0.37), "brightness", i);
        assert_near((double)p->c[1][i], clip((double)b->c[1][i] - 0.4), "brightness", i);
    }
}

static void check_contrast(picture *p, const picture *b)
{
    double mean = 0;
    for (size_t i = 0; i < p->n; i++)
        mean += (double)b->c[0][i];
    assert_near(k.sum(p->c[0], p->n) / (double)p->n, mean / (double)p->n, "sum", 0);
    mean /= (double)p->n;
    k.contrast(p->c[0], p->n, (float)mean, 1.4f);
    for (size_t i = 0; i < p->n; i++)
        assert_near((double)p->c[0][i], clip(((double)b->c[0][i] - mean) * 1.4 + mean),
                    "contrast", i);
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
        double rgb[3] = {(double)b->c[0][i], (double)b->c[1][i], (double)b->c[2][i]}, hsv[3];
        to_hsv(rgb, hsv);
        hsv[1] = clip(hsv[1] * factor);
        hsv[0] += turns;
        hsv[0] -= floor(hsv[0]);
        from_hsv(hsv, rgb);
        for (int c = 0; c < 3; c++)
            assert_near((double)p->c[c][i], rgb[c], turns != 0 ? "hue" : "saturation", i);
    }
}

static void check_saturation(picture *p, const picture *b)
{
    static picture q;
    const float factors[] = {0, 0.8f, 1, 1.2f, 2};
    for (int f = 0; f < 5; f++) {
        q = *p;
        k.saturation(q.c[0], q.c[1], q.c[2], q.n, factors[f]);
        check_hsv(&q, b, (double)factors[f], 0);
    }
}

static void check_hue(picture *p, const picture *b)
{
    static picture q;
    const float turns[] = {-0.5f, -0.1f, -0.03f, 0.07f, 0.1f, 0.5f};
    for (int t = 0; t < 6; t++) {
        q = *p;
        k.hue(q.c[0], q.c[1], q.c[2], q.n, turns[t]);
        check_hsv(&q, b, 1, (double)turns[t]);
    }
}

static void check_gray(picture *p, const picture *b)
{
    k.gray(p->c[0], p->c[1], p->c[2], p->n);
    for (size_t i = 0; i < p->n; i++) {
        assert_near((double)p->c[0][i],
                    0.2989 * (double)b->c[0][i] + 0.587 * (double)b->c[1][i] +
                        0.114 * (double)b->c[2][i],
                    "gray", i);
        assert_true(p->c[0][i] == p->c[1][i] && p->c[1][i] == p->c[2][i]);
    }
}

static void check_solarize(picture *p, const picture *b)
{
    k.solarize(p->c[0], p->n, 0.5f);
    for (size_t i = 0; i < p->n; i++) {
        const double x = (double)b->c[0][i];
        assert_near((double)p->c[0][i], x < 0.5 ? x : 1 - x, "solarize", i);
        assert_true(p->c[0][i] <= 0.5f);
    }
    static picture again;
    again = *p;
    k.solarize(again.c[0], again.n, 0.5f);
    assert_memory_equal(again.c[0], p->c[0], p->n * sizeof(float));
}

static void check_store(picture *p, const picture *b)
{
    static uint8_t out[3 * MAX_N + 1];
    out[3 * p->n] = 77;
    k.store(out, p->c[0], p->c[1], p->c[2], p->n);
    for (size_t i = 0; i < 3 * p->n; i++) {
        const double exact = 255 * (double)b->c[i % 3][i / 3];
        if (fabs(out[i] - exact) > 0.5 + 255 * BOUND)
            fail_msg("store: %d for %.9g", out[i], exact);
    }
    assert_int_equal(out[3 * p->n], 77);
}

static void check_blur(picture *p, const picture *b)
{
    static float dst[MAX_N], row[3 * MAX_SIDE], zero[MAX_SIDE];
    float w[RQ_BLUR_MAX_RADIUS + 1];
    const float sigmas[] = {0.1f, 0.7f, 2.0f};
    const int side = p->side, full = 4;
    for (int s = 0; s < 3; s++) {
        const int radius = rq_blur_weights(w, full, sigmas[s]);
        double g[9], total = 0;
        for (int i = -full; i <= full; i++)
            total += g[i + full] = exp(-0.5 * i * i / ((double)sigmas[s] * (double)sigmas[s]));
        k.blur(dst, p->c[0], side, w, radius, row, zero);
        for (int y = 0; y < side; y++)
            for (int x = 0; x < side; x++) {
                double want = 0;
                for (int j = -full; j <= full; j++)
                    for (int i = -full; i <= full; i++)
                        if (y + j >= 0 && y + j < side && x + i >= 0 && x + i < side)
                            want += g[j + full] * g[i + full] / total / total *
                                    (double)b->c[0][(y + j) * side + x + i];
                assert_near((double)dst[y * side + x], want, "blur", (size_t)(y * side + x));
            }
    }
}

static void check_to_rgb(picture *p, const picture *b)
{
    static picture q;
    q = *p;
    for (size_t i = 0; i < q.n; i++)
        for (int c = 0; c < 3; c++)
            q.c[c][i] = 300 * q.c[c][i] - 20; // overshoot as a cubic makes it
    *p = q;
    k.ycc_to_rgb(q.c[0], q.c[1], q.c[2], q.n);
    for (size_t i = 0; i < q.n; i++) {
        const double y = (double)p->c[0][i], cb = (double)p->c[1][i] - 128,
                     cr = (double)p->c[2][i] - 128;
        assert_near((double)q.c[0][i], clip((y + 1.402 * cr) / 255), "red", i);
        assert_near((double)q.c[1][i], clip((y - 0.344136286 * cb - 0.714136286 * cr) / 255),
                    "green", i);
        assert_near((double)q.c[2][i], clip((y + 1.772 * cb) / 255), "blue", i);
    }
    k.to_unit(p->c[0], p->n);
    for (size_t i = 0; i < p->n; i++)
        assert_near((double)p->c[0][i], clip((300 * (double)b->c[0][i] - 20) / 255), "unit", i);
}

#define PICTURE_TEST(op)                                                                       \
    static void op##_equals_its_definition(void **state)                                       \
    {                                                                                          \
        for_all_pictures(check_##op);                                                          \
    }
PICTURE_TEST(brightness)
PICTURE_TEST(contrast)
PICTURE_TEST(saturation)
PICTURE_TEST(hue)
PICTURE_TEST(gray)
PICTURE_TEST(solarize)
PICTURE_TEST(store)
PICTURE_TEST(blur)
PICTURE_TEST(to_rgb)

static void hue_turns_the_right_way(void **state)
{
    float r = 1, g = 0, b = 0;
    k.hue(&r, &g, &b, 1, 1.0f / 3);
    assert_float_equal(r, 0, 1e-5);
    assert_float_equal(g, 1, 1e-5); // red plus a third is green
    assert_float_equal(b, 0, 1e-5);
}

static void blur_weights_are_a_normalised_gaussian(void **state)
{
    float w[RQ_BLUR_MAX_RADIUS + 1];
    assert_int_equal(rq_blur_weights(w, 11, 2.0f), 11); // 23 taps
    assert_int_equal(rq_blur_weights(w, 4, 2.0f), 4);   // 9 taps
    assert_int_equal(rq_blur_weights(w, 11, 0.1f), 0);
    assert_true(w[0] == 1.0f);
    for (float sigma = 0.1f; sigma <= 2.0f; sigma += 0.1f) {
        const int r = rq_blur_weights(w, 11, sigma);
        double sum = (double)w[0];
        for (int i = 1; i <= r; i++) {
            sum += 2 * (double)w[i];
            assert_float_equal(w[i] / w[0], exp(-0.5 * i * i / ((double)sigma * (double)sigma)),
                               1e-6);
        }
        assert_float_equal(sum, 1, 1e-6);
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

static void check_axis(rq_filter filter, bool wide, rq_span span, int outputs, bool flip)
{
    rq_axis a = {0};
    rq_err err = {0};
    assert_ok(rq_axis_build(&a, filter, wide, span, outputs, flip, &err), &err);
    for (int o = 0; o < outputs; o++) {
        double sum = 0;
        const int to = flip ? outputs - 1 - o : o;
        assert_true(a.first[to] >= 0 && a.first[to] + a.taps <= span.window);
        for (int i = 0; i < span.window; i++) {
            const int t = i - a.first[to];
            const double got = t >= 0 && t < a.taps ? (double)a.weight[t * outputs + to] : 0;
            sum += got;
            assert_near(got, weight_of(filter, wide, span, outputs, o, i), "weight", (size_t)i);
        }
        assert_float_equal(sum, 1, 1e-6);
    }
    rq_axis_free(&a);
}

static void filter_weights_equal_their_definition(void **state)
{
    const rq_span spans[] = {{0, 1, 1},   {0, 2, 2},      {0, 3, 3},      {0, 40, 40},
                             {0, 97, 97}, {0.5, 20, 21},  {0.75, 33, 34}, {0, 5.5, 6},
                             {0, 7, 7},   {0.25, 0.5, 1}, {0, 200, 200}};
    for (size_t s = 0; s < sizeof spans / sizeof *spans; s++)
        for (int mode = 0; mode < 8; mode++) {
            const rq_filter f = mode & 1 ? RQ_FILTER_BILINEAR : RQ_FILTER_BICUBIC;
            check_axis(f, mode & 2, spans[s], 32, mode & 4);
            check_axis(f, mode & 2, spans[s], 7, mode & 4);
        }
}

static void resize_kernels_sum_the_taps(void **state)
{
    static uint8_t rows[9][40];
    static float src[40], w[9 * 40], dst[41];
    const uint8_t *at[9];
    int32_t first[40];
    rq_rng r = rq_rng_make(1, 2, 3, 4, 5);
    for (int taps = 1; taps <= 9; taps++)
        for (int n = 1; n <= 31; n += 6) {
            for (int t = 0; t < taps; t++) {
                at[t] = rows[t];
                for (int x = 0; x < n; x++) {
                    rows[t][x] = (uint8_t)rq_rng_u32(&r);
                    w[t * n + x] = rq_rng_range(&r, -0.2f, 1);
                }
            }
            for (int x = 0; x < 40; x++) {
                src[x] = rq_rng_float(&r);
                first[x] = (int32_t)rq_rng_below(&r, (uint32_t)(41 - taps));
            }
            dst[n] = 42;
            k.resize_h(dst, src, first, w, taps, n);
            for (int x = 0; x < n; x++) {
                double want = 0;
                for (int t = 0; t < taps; t++)
                    want += (double)w[t * n + x] * (double)src[first[x] + t];
                assert_near((double)dst[x], want, "resize_h", (size_t)x);
            }
            k.resize_v(dst, at, w, taps, n);
            for (int x = 0; x < n; x++) {
                double want = 0;
                for (int t = 0; t < taps; t++)
                    want += (double)w[t] * rows[t][x];
                assert_near((double)dst[x] / 255, want / 255, "resize_v", (size_t)x);
            }
            assert_true(dst[n] == 42);
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
    for (int c = 0; c < 3; c++) {
        const rq_plane *p = &image.plane[c];
        const int sub = c == 0 ? 1 : 2;
        for (int y = 0; y < p->height; y++)
            memset(p->data + (size_t)y * p->stride, 200, (size_t)p->width);
        rq_window win = {
            p->data + 2 * p->stride + 3, p->stride, 3, 2, p->width - 3, p->height - 2};
        assert_ok(rq_cutout_make(&cut, &k, c, &image, &mask, 127.5f, 7, &win, &err), &err);
        for (int y = 0; y < win.h; y++)
            for (int x = 0; x < win.w; x++) {
                const double m =
                    mask_at(&mask.plane[0], (x + 3 + 0.5) * sub, (y + 2 + 0.5) * sub, 53, 37);
                const int got = win.data[(size_t)y * win.stride + (size_t)x];
                if (fabs(m - 127.5) > 1e-3)
                    assert_int_equal(got, m > 127.5 ? 200 : 7);
                kept += got == 200;
                filled += got == 7;
            }
        assert_int_equal(p->data[2 * p->stride + 3], 200); // the picture itself is untouched
    }
    assert_true(kept > 500 && filled > 500);
    rq_cutout_free(&cut);
    rq_image_free(&image);
    rq_image_free(&mask);
}

static int init(void **state)
{
    rq_kernels_init(&k, RQ_CPU_ALL);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(brightness_equals_its_definition),
        cmocka_unit_test(contrast_equals_its_definition),
        cmocka_unit_test(saturation_equals_its_definition),
        cmocka_unit_test(hue_equals_its_definition),
        cmocka_unit_test(gray_equals_its_definition),
        cmocka_unit_test(solarize_equals_its_definition),
        cmocka_unit_test(store_equals_its_definition),
        cmocka_unit_test(blur_equals_its_definition),
        cmocka_unit_test(to_rgb_equals_its_definition),
        cmocka_unit_test(hue_turns_the_right_way),
        cmocka_unit_test(blur_weights_are_a_normalised_gaussian),
        cmocka_unit_test(filter_weights_equal_their_definition),
        cmocka_unit_test(resize_kernels_sum_the_taps),
        cmocka_unit_test(cutout_follows_the_mask_on_every_plane),
    };
    return cmocka_run_group_tests(tests, init, NULL);
}
