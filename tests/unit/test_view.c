// SPDX-License-Identifier: Apache-2.0
//
// Views: the distribution of every draw against the recipe (with the proof that a probability
// off by 5 % would be noticed), the properties that hold for any picture, and golden hashes of
// a fixed batch.
#include "tests/unit/test.h"

#include "augment/exact.h"
#include "augment/fast.h"
#include "augment/view.h"
#include "common/cpu.h"
#include "common/hash.h"
#include "common/rng.h"

#include <math.h>

/* ---- draws ----------------------------------------------------------------------------- */

enum { DRAWS = 60000, BINS = 20, WIDTH = 500, HEIGHT = 375 };

static rq_recipe recipe_of(const char *name)
{
    rq_recipe r;
    rq_err err = {0};
    assert_ok(rq_recipe_preset(&r, name, &err), &err);
    return r;
}

static rq_view_params draw(const rq_recipe *r, uint64_t sample, int view, bool has_mask)
{
    rq_view_params p;
    const rq_view_key key = {.seed = 7, .epoch = 3, .sample = sample, .view = view};
    rq_view_draw(&p, r, &key, WIDTH, HEIGHT, has_mask);
    return p;
}

/* Chi-square of one degree of freedom: `hits` of n at probability p. */
static double rate_statistic(int hits, int n, double p)
{
    const double d = hits - n * p;
    return d * d / (n * p * (1 - p));
}

/* 20 is passed by chance once in 130,000; draws are fixed, so this never flickers. */
static void check_rate(int hits, int n, double p, const char *what)
{
    if (rate_statistic(hits, n, p) > 20)
        fail_msg("%s: %d of %d, expected %g", what, hits, n, n * p);
    // The same counts against a probability 5 % away have to be refused, or the test is blind.
    if (rate_statistic(hits, n, p * 1.05) < 20 || rate_statistic(hits, n, p * 0.95) < 20)
        fail_msg("%s: %d draws cannot tell %g from 5 %% more or less", what, n, p);
}

static void check_uniform(const int bins[BINS], const char *what)
{
    double n = 0, sum = 0;
    for (int i = 0; i < BINS; i++)
        n += bins[i];
    for (int i = 0; i < BINS; i++)
        sum += (bins[i] - n / BINS) * (bins[i] - n / BINS) / (n / BINS);
    if (!(n > 5000 && sum < 60)) // 19 degrees of freedom
        fail_msg("%s: chi-square %g of %g draws", what, sum, n);
}

static void put(int bins[BINS], double x, double low, double high)
{
    assert_true(x >= low - 1e-4 && x <= high + 1e-4);
    const int i = (int)((x - low) / (high - low) * BINS);
    bins[i < 0 ? 0 : i >= BINS ? BINS - 1 : i]++;
}

static void probabilities_are_the_recipes(void **state)
{
    const rq_recipe r = recipe_of("relicv2");
    int flip = 0, jitter = 0, gray = 0, blur_b = 0, solar_b = 0, large = 0, n = 0, half = 0;
    for (uint64_t s = 0; s < DRAWS; s++)
        for (int v = 0; v < 6; v++) {
            const rq_view_params p = draw(&r, s, v, true);
            n++;
            flip += p.flip;
            jitter += p.jitter;
            gray += p.gray;
            assert_int_equal(p.group, v >= 4);
            assert_int_equal(p.view_in_group, v >= 4 ? v - 4 : v);
            assert_int_equal(p.preset, p.view_in_group % 2);
            assert_true(p.masked == p.mask_drawn);
            assert_true(v < 4 || !p.mask_drawn);
            large += p.mask_drawn;
            if (p.preset == 0) {
                assert_true(p.sigma > 0 && !p.solarize);
            } else {
                half++;
                blur_b += p.sigma > 0;
                solar_b += p.solarize;
            }
        }
    check_rate(flip, n, 0.5, "flip");
    check_rate(jitter, n, 0.8, "jitter");
    check_rate(gray, n, 0.2, "gray");
    check_rate(blur_b, half, 0.1, "blur of preset B");
    check_rate(solar_b, half, 0.2, "solarise of preset B");
    check_rate(large, DRAWS * 4, 0.1, "mask");
}

static void ranges_are_filled_uniformly(void **state)
{
    const rq_recipe r = recipe_of("relicv2");
    static int b[BINS], c[BINS], s[BINS], h[BINS], sigma[BINS], order[BINS + 4];
    for (uint64_t i = 0; i < DRAWS; i++) {
        const rq_view_params p = draw(&r, i, 0, false);
        put(sigma, (double)p.sigma, 0.1, 2);
        if (!p.jitter) {
            assert_true(p.brightness == 0 && p.contrast == 1 && p.saturation == 1 &&
                        p.hue == 0);
            continue;
        }
        put(b, (double)p.brightness, -0.4, 0.4);
        put(c, (double)p.contrast, 0.6, 1.4);
        put(s, (double)p.saturation, 0.8, 1.2);
        put(h, (double)p.hue, -0.1, 0.1);
        // The permutation's number, 0 to 23.
        int number = 0;
        for (int k = 0; k < 4; k++) {
            int smaller = 0;
            for (int m = k + 1; m < 4; m++)
                smaller += p.order[m] < p.order[k];
            number = number * (4 - k) + smaller;
        }
        order[number]++;
    }
    check_uniform(b, "brightness");
    check_uniform(c, "contrast");
    check_uniform(s, "saturation");
    check_uniform(h, "hue");
    check_uniform(sigma, "sigma");
    double sum = 0, n = 0;
    for (int i = 0; i < 24; i++)
        n += order[i];
    for (int i = 0; i < 24; i++)
        sum += (order[i] - n / 24) * (order[i] - n / 24) / (n / 24);
    assert_true(sum < 70); // 23 degrees of freedom
}

static void check_crops(const rq_recipe *r, int view, double area_min, double area_max)
{
    int area[BINS] = {0}, ratio[BINS] = {0}, x[BINS] = {0}, y[BINS] = {0};
    for (uint64_t i = 0; i < DRAWS; i++) {
        rq_view_params p;
        const rq_view_key key = {.seed = 1, .epoch = 2, .sample = i, .view = view};
        rq_view_draw(&p, r, &key, 20000, 20000, false);
        assert_true(p.x >= 0 && p.y >= 0 && p.w >= 1 && p.h >= 1);
        assert_true(p.x + p.w <= 20000 && p.y + p.h <= 20000);
        if (p.w == 20000 || p.h == 20000)
            continue; // cut to the image
        put(area, (double)p.w * p.h / 4e8, area_min, area_max);
        if (area_max < 0.7) // no box was cut, so the ratio is unbiased
            put(ratio, log((double)p.w / p.h), log(0.75) - 1e-4, log(4.0 / 3) + 1e-4);
        put(x, p.x / (20000.0 - p.w + 1), 0, 1);
        put(y, p.y / (20000.0 - p.h + 1), 0, 1);
    }
    check_uniform(x, "x");
    check_uniform(y, "y");
    if (area_max < 0.7) {
        check_uniform(area, "area");
        check_uniform(ratio, "log ratio");
    }
}

static void crops_have_the_recipes_shape(void **state)
{
    const rq_recipe r = recipe_of("relicv2");
    check_crops(&r, 0, (double)0.14f, 1);
    check_crops(&r, 5, (double)0.05f, (double)0.14f);
    // Where the box does not fit it is cut, not drawn again.
    int cut = 0;
    for (uint64_t i = 0; i < 2000; i++) {
        rq_view_params p;
        const rq_view_key key = {.sample = i};
        rq_view_draw(&p, &r, &key, 4000, 10, false);
        assert_true(p.w <= 4000 && p.h == 10 && p.y == 0);
        cut += p.h == 10;
        rq_view_draw(&p, &r, &key, 1, 1, false);
        assert_true(p.x == 0 && p.y == 0 && p.w == 1 && p.h == 1);
    }
    assert_int_equal(cut, 2000);
}

static void eval_takes_the_centre(void **state)
{
    const rq_recipe r = recipe_of("eval");
    const rq_view_params p = draw(&r, 99, 0, false);
    assert_int_equal(p.w, 328); // 0.875 * 375 = 328.125
    assert_int_equal(p.h, 328);
    assert_int_equal(p.x, 86);
    assert_int_equal(p.y, 24); // (47 + 1) / 2
    assert_false(p.flip || p.jitter || p.gray || p.solarize || p.masked);
    assert_true(p.sigma == 0);
}

/* Every field, without the padding between them. */
static void assert_same_draw(const rq_view_params *a, const rq_view_params *b)
{
    const rq_view_params *const both[2] = {a, b};
    char text[2][512];
    for (int i = 0; i < 2; i++) {
        const rq_view_params *p = both[i];
        snprintf(text[i], sizeof text[i],
                 "%d %d %d %d %d %d %d %d %d%d%d%d %a %a %a %a %d %a %d %a %a %a %d %d %d",
                 p->x, p->y, p->w, p->h, p->flip, p->mask_drawn, p->masked, p->jitter,
                 p->order[0], p->order[1], p->order[2], p->order[3], (double)p->brightness,
                 (double)p->contrast, (double)p->saturation, (double)p->hue, p->gray,
                 (double)p->sigma, p->solarize, (double)p->fill[0], (double)p->fill[1],
                 (double)p->fill[2], p->group, p->view_in_group, p->preset);
    }
    assert_string_equal(text[0], text[1]);
}

static void draws_depend_on_their_key_alone(void **state)
{
    rq_recipe r = recipe_of("relicv2"), never = r, always = r, byol = recipe_of("byol");
    never.p_mask = 0;
    always.p_mask = 1;
    for (uint64_t i = 0; i < 500; i++)
        for (int v = 0; v < 4; v++) {
            rq_view_params a = draw(&r, i, v, true), b = draw(&r, i, v, true);
            assert_same_draw(&a, &b);
            // The mask draw moves nothing else.
            rq_view_params c = draw(&always, i, v, true), d = draw(&never, i, v, true);
            assert_true(c.masked && !d.mask_drawn && !d.masked);
            c.mask_drawn = c.masked = false;
            assert_same_draw(&c, &d);
            assert_false(draw(&always, i, v, false).masked);
            // Another recipe with the same probabilities draws the same colours.
            if (v < 2) {
                const rq_view_params e = draw(&byol, i, v, false);
                assert_true(e.brightness == d.brightness && e.sigma == d.sigma &&
                            e.flip == d.flip && e.gray == d.gray);
            }
        }
    const rq_view_params a = draw(&r, 1, 0, true), b = draw(&r, 2, 0, true),
                         c = draw(&r, 1, 2, true);
    assert_true(a.x != b.x || a.y != b.y || a.w != b.w);
    assert_true(a.x != c.x || a.y != c.y || a.w != c.w);
}

/* ---- pixels ---------------------------------------------------------------------------- */

typedef struct scene {
    rq_recipe recipe;
    rq_view_maker *maker;
    rq_image image, mask;
} scene;

/* A deterministic picture: gradients, stripes and noise, different in each plane. */
static void paint(rq_image *image, rq_pixels pixels, int width, int height, int sub)
{
    rq_err err = {0};
    rq_rng r = rq_rng_make(4, 4, 4, 4, 4);
    assert_ok(rq_image_shape(image, pixels, width, height, sub, sub, 16, &err), &err);
    for (int c = 0; c < rq_pixels_planes(pixels); c++)
        for (int y = 0; y < image->plane[c].height; y++)
            for (int x = 0; x < image->plane[c].width; x++)
                image->plane[c].data[(size_t)y * image->plane[c].stride + (size_t)x] =
                    (uint8_t)((x * (3 + c) + y * (5 - c) + (int)(rq_rng_u32(&r) & 31)) & 255);
}

static void fill(rq_image *image, int plane, uint8_t value)
{
    const rq_plane *p = &image->plane[plane];
    for (int y = 0; y < p->height; y++)
        memset(p->data + (size_t)y * p->stride, value, (size_t)p->width);
}

static void paint_mask(rq_image *mask, int width, int height)
{
    rq_err err = {0};
    assert_ok(rq_image_shape(mask, RQ_PIXELS_GRAY, width, height, 1, 1, 1, &err), &err);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            const int dx = x - width / 2, dy = y - height / 2;
            const int v = 255 - (dx * dx + dy * dy) * 900 / (width * height);
            mask->plane[0].data[(size_t)y * mask->plane[0].stride + (size_t)x] =
                (uint8_t)(v < 0 ? 0 : v);
        }
}

static int open_scene(void **state)
{
    scene *s = calloc(1, sizeof *s);
    if (!s || rq_recipe_preset(&s->recipe, "relicv2", NULL) != RQ_OK ||
        rq_view_maker_create(&s->maker, &s->recipe, RQ_CPU_ALL, NULL) != RQ_OK)
        return -1;
    paint(&s->image, RQ_PIXELS_YCBCR, 161, 119, 2);
    paint_mask(&s->mask, 40, 30);
    *state = s;
    return 0;
}

static int close_scene(void **state)
{
    scene *s = *state;
    rq_view_maker_destroy(&s->maker);
    rq_image_free(&s->image);
    rq_image_free(&s->mask);
    free(s);
    return 0;
}

enum { LARGE = 224 * 224 * 3 };

static void make(scene *s, const rq_view_params *p, uint8_t *dst)
{
    rq_err err = {0};
    assert_ok(rq_view_make(s->maker, &s->image, &s->mask, p, dst, &err), &err);
}

/* Crop and resize of the whole picture, nothing else. */
static rq_view_params plain(const scene *s)
{
    return (rq_view_params){.w = s->image.width, .h = s->image.height};
}

static void a_flat_picture_stays_flat(void **state)
{
    scene *s = *state;
    static uint8_t out[LARGE];
    const rq_pixels kinds[] = {RQ_PIXELS_GRAY, RQ_PIXELS_YCBCR, RQ_PIXELS_RGB};
    for (int kind = 0; kind < 3; kind++)
        for (int level = 0; level < 256; level += 51) {
            paint(&s->image, kinds[kind], 97, 61, kinds[kind] == RQ_PIXELS_YCBCR ? 2 : 1);
            for (int c = 0; c < rq_pixels_planes(kinds[kind]); c++)
                fill(&s->image, c,
                     (uint8_t)(c > 0 && kinds[kind] == RQ_PIXELS_YCBCR ? 128 : level));
            rq_view_params p = plain(s);
            for (int small = 0; small < 2; small++) {
                p.x = small * 13;
                p.y = small * 7;
                p.w = small ? 5 : 97;
                p.h = small ? 3 : 61;
                make(s, &p, out);
                for (size_t i = 0; i < LARGE; i++)
                    assert_int_equal(out[i], level);
            }
        }
}

static void blur_keeps_the_inside_and_darkens_the_border(void **state)
{
    scene *s = *state;
    static uint8_t out[LARGE];
    paint(&s->image, RQ_PIXELS_GRAY, 64, 64, 1);
    fill(&s->image, 0, 200);
    rq_view_params p = plain(s);
    p.sigma = 2;
    make(s, &p, out);
    for (int y = 0; y < 224; y++)
        for (int x = 0; x < 224; x++) {
            const int v = out[(y * 224 + x) * 3];
            if (x >= 11 && x < 213 && y >= 11 && y < 213)
                assert_int_equal(v, 200);
            else
                assert_true(v <= 200);
        }
    assert_in_range(out[112 * 224 * 3], 110, 125); // about half and half the centre tap
}

static void a_flip_mirrors_and_two_are_none(void **state)
{
    scene *s = *state;
    static uint8_t a[LARGE], b[LARGE];
    rq_view_params p = plain(s);
    p.x = 10, p.y = 5, p.w = 77, p.h = 83;
    make(s, &p, a);
    p.flip = true;
    make(s, &p, b);
    assert_memory_not_equal(a, b, sizeof a);
    for (int y = 0; y < 224; y++)
        for (int x = 0; x < 224; x++)
            assert_memory_equal(a + (y * 224 + x) * 3, b + (y * 224 + 223 - x) * 3, 3);
}

static void gray_makes_equal_channels(void **state)
{
    scene *s = *state;
    static uint8_t out[LARGE];
    rq_view_params p = plain(s);
    p.gray = true;
    make(s, &p, out);
    for (size_t i = 0; i < LARGE; i += 3)
        assert_true(out[i] == out[i + 1] && out[i] == out[i + 2]);
}

static void solarise_leaves_nothing_above_the_middle(void **state)
{
    scene *s = *state;
    static uint8_t a[LARGE], b[LARGE];
    rq_view_params p = plain(s);
    make(s, &p, a);
    p.solarize = true;
    make(s, &p, b);
    for (size_t i = 0; i < LARGE; i++)
        // One level of room: the bytes are rounded, the solarised values were not.
        assert_in_range(b[i] - (a[i] < 128 ? a[i] : 255 - a[i]) + 1, 0, 2);
}

static void a_full_mask_changes_no_bit(void **state)
{
    scene *s = *state;
    static uint8_t a[LARGE], b[LARGE];
    fill(&s->mask, 0, 255);
    for (uint64_t i = 0; i < 6; i++) {
        rq_view_params p;
        const rq_view_key key = {.seed = 5, .sample = i, .view = (int)i % 4};
        rq_view_draw(&p, &s->recipe, &key, s->image.width, s->image.height, false);
        make(s, &p, a);
        p.masked = true;
        make(s, &p, b);
        assert_memory_equal(a, b, sizeof a);
    }
}

static void the_background_becomes_the_fill(void **state)
{
    scene *s = *state;
    static uint8_t a[LARGE], b[LARGE];
    rq_view_params p = plain(s);
    make(s, &p, a);
    p.masked = true;
    const float fills[][3] = {{0, 0, 0}, {0.6f, 0.6f, 0.6f}, {0.485f, 0.456f, 0.406f}};
    for (int f = 0; f < 3; f++) {
        memcpy(p.fill, fills[f], sizeof p.fill);
        make(s, &p, b);
        const size_t centre = (112 * 224 + 112) * 3;
        assert_memory_equal(a + centre, b + centre, 3);
        for (int c = 0; c < 3; c++) // corners are background
            assert_in_range(b[c] + 2, (int)(255 * fills[f][c]), (int)(255 * fills[f][c]) + 4);
    }
    fill(&s->mask, 0, 0);
    p.fill[0] = p.fill[1] = p.fill[2] = 0;
    make(s, &p, b);
    for (size_t i = 0; i < LARGE; i++)
        assert_int_equal(b[i], 0);
}

static void masks_count_by_their_cover(void **state)
{
    scene *s = *state;
    assert_true(rq_mask_usable(&s->recipe, &s->mask));
    fill(&s->mask, 0, 255);
    assert_false(rq_mask_usable(&s->recipe, &s->mask));
    fill(&s->mask, 0, 0);
    assert_false(rq_mask_usable(&s->recipe, &s->mask));
    // 12 of 1200 samples are 1 %, 11 are less; 127 is below half, 128 above.
    memset(s->mask.plane[0].data, 128, 12);
    assert_true(rq_mask_usable(&s->recipe, &s->mask));
    s->mask.plane[0].data[3] = 127;
    assert_false(rq_mask_usable(&s->recipe, &s->mask));
}

static void planes_of_every_sampling_agree(void **state)
{
    scene *s = *state;
    static uint8_t a[LARGE], b[LARGE];
    // Weights sum to one exactly, so flat chroma is flat whatever its sampling.
    const int subs[] = {1, 2, 4};
    for (int i = 0; i < 3; i++) {
        paint(&s->image, RQ_PIXELS_YCBCR, 161, 119, subs[i]);
        rq_rng r = rq_rng_make(4, 4, 4, 4, 5);
        for (int y = 0; y < 119; y++)
            for (int x = 0; x < 161; x++)
                s->image.plane[0].data[(size_t)y * s->image.plane[0].stride + (size_t)x] =
                    (uint8_t)rq_rng_u32(&r);
        fill(&s->image, 1, 90);
        fill(&s->image, 2, 180);
        rq_view_params p = plain(s);
        p.x = 33, p.y = 21, p.w = 91, p.h = 85;
        make(s, &p, i == 0 ? a : b);
        if (i > 0)
            assert_memory_equal(a, b, LARGE);
    }
}

static void the_maker_has_no_memory_of_earlier_views(void **state)
{
    scene *s = *state;
    static uint8_t a[LARGE], b[LARGE], other[LARGE];
    rq_view_params p = plain(s), q = plain(s);
    p.sigma = 1.5f;
    p.masked = true;
    p.jitter = true;
    p.contrast = 1.3f;
    p.saturation = 0.9f;
    p.brightness = 0.1f;
    p.hue = -0.06f;
    for (uint8_t i = 0; i < 4; i++)
        p.order[i] = 3 - i;
    make(s, &p, a);
    q.group = 1;
    q.x = q.y = 3;
    q.w = q.h = 30;
    q.flip = true;
    make(s, &q, other);
    make(s, &p, b);
    assert_memory_equal(a, b, sizeof a);
}

static void impossible_parameters_are_refused(void **state)
{
    scene *s = *state;
    static uint8_t out[LARGE];
    rq_view_params p = plain(s);
    p.x = 1;
    assert_status(rq_view_make(s->maker, &s->image, NULL, &p, out, NULL), RQ_INVALID_ARG);
    p = plain(s);
    p.w = 0;
    assert_status(rq_view_make(s->maker, &s->image, NULL, &p, out, NULL), RQ_INVALID_ARG);
    p = plain(s);
    p.group = 2;
    assert_status(rq_view_make(s->maker, &s->image, NULL, &p, out, NULL), RQ_INVALID_ARG);
    p = plain(s);
    p.masked = true;
    assert_status(rq_view_make(s->maker, &s->image, NULL, &p, out, NULL), RQ_INVALID_ARG);
    rq_view_params good = plain(s);
    good.jitter = true;
    good.contrast = good.saturation = 1;
    for (uint8_t i = 0; i < 4; i++)
        good.order[i] = i;
    assert_status(rq_view_make(s->maker, &s->image, NULL, &good, out, NULL), RQ_OK);
    p = good;
    p.order[0] = p.order[1] = p.order[2] = p.order[3] = RQ_JITTER_HUE;
    p.hue = -0.4f;
    assert_status(rq_view_make(s->maker, &s->image, NULL, &p, out, NULL), RQ_INVALID_ARG);
    p = good;
    p.order[2] = 200;
    assert_status(rq_view_make(s->maker, &s->image, NULL, &p, out, NULL), RQ_INVALID_ARG);
    const float bad[] = {NAN, 3, -3};
    for (int i = 0; i < 3; i++) {
        float *const field[] = {&p.brightness, &p.contrast, &p.saturation, &p.hue};
        for (int k = 0; k < 4; k++) {
            p = good;
            *field[k] = bad[i];
            assert_status(rq_view_make(s->maker, &s->image, NULL, &p, out, NULL),
                          RQ_INVALID_ARG);
        }
    }
}

/* ---- the fast recipe ------------------------------------------------------------------- */

/* A smooth picture of moderate colours, which no operation clips. */
static void paint_smooth(rq_image *image, int width, int height, int sub)
{
    rq_err err = {0};
    assert_ok(rq_image_shape(image, RQ_PIXELS_YCBCR, width, height, sub, sub, 16, &err), &err);
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < image->plane[c].height; y++)
            for (int x = 0; x < image->plane[c].width; x++) {
                const double u = (double)x / image->plane[c].width,
                             v = (double)y / image->plane[c].height;
                image->plane[c].data[(size_t)y * image->plane[c].stride + (size_t)x] =
                    (uint8_t)(c == 0   ? 110 + 30 * sin(7 * u + 3 * v)
                              : c == 1 ? 118 + 12 * cos(5 * v + u)
                                       : 134 + 12 * sin(4 * u - 2 * v));
            }
}

/* The largest and the mean difference of the two recipes' views, p made exactly and q fast. */
static void compare_recipes(scene *s, const rq_view_params *p, const rq_view_params *q,
                            double *most, double *mean)
{
    static uint8_t a[LARGE], b[LARGE];
    rq_recipe fast = recipe_of("relicv2-fast");
    rq_view_maker *exact = s->maker;
    rq_err err = {0};
    make(s, p, a);
    assert_ok(rq_view_maker_create(&s->maker, &fast, RQ_CPU_ALL, &err), &err);
    make(s, q, b);
    rq_view_maker_destroy(&s->maker);
    s->maker = exact;
    *most = *mean = 0;
    for (size_t i = 0; i < LARGE; i++) {
        const double d = abs(a[i] - b[i]);
        *most = d > *most ? d : *most;
        *mean += d / LARGE;
    }
}

/* What is linear in both recipes agrees; what is not stays near on colours that are not far
 * from grey. */
static void fast_views_are_near_the_exact_ones(void **state)
{
    scene *s = *state;
    const double limits[][2] = {{2, 0.6}, {2, 0.6}, {3, 0.9},  {14, 7}, {26, 11},
                                {2, 0.6}, {1, 0.6}, {20, 4.5}, {4, 1}};
    paint_smooth(&s->image, 300, 260, 2);
    for (int op = 0; op < 9; op++) {
        rq_view_params p = plain(s);
        double most, mean;
        p.x = 20, p.y = 10, p.w = 240, p.h = 230;
        p.flip = op % 2 == 1;
        p.jitter = op >= 1 && op <= 4;
        p.contrast = op == 2 ? 1.3f : 1;
        p.saturation = op == 3 ? 1.2f : 1;
        p.brightness = op == 1 ? 0.15f : 0;
        p.hue = op == 4 ? 0.1f : 0;
        for (uint8_t i = 0; i < 4; i++)
            p.order[i] = i;
        p.solarize = op == 5;
        p.gray = op == 6;
        p.sigma = op >= 7 ? 1.5f : 0;
        // The blur's dark border stays, but chroma fades with it.
        if (op == 8) {
            p.gray = true;
            p.masked = true;
        }
        compare_recipes(s, &p, &p, &most, &mean);
        if (!(most <= limits[op][0] && mean <= limits[op][1]))
            fail_msg("operation %d: %g levels at most, %g on average", op, most, mean);
        if (op == 4) { // a turn the other way would be far worse
            rq_view_params q = p;
            double wrong;
            q.hue = -p.hue;
            compare_recipes(s, &p, &q, &most, &wrong);
            assert_true(wrong > 1.8 * mean);
        }
    }
}

static void apply_fast(const rq_view_params *p, const double ycc[3], double rgb[3])
{
    rq_fast_colour f;
    const double mean[3] = {100, 120, 140};
    rq_fast_colour_of(&f, p, mean);
    for (int i = 0; i < 3; i++) {
        rgb[i] = f.offset[i];
        for (int j = 0; j < 3; j++)
            rgb[i] += f.matrix[i][j] * (ycc[j] - 128);
    }
}

static void the_fast_matrix_turns_the_right_way(void **state)
{
    const double red[3] = {128, 128 - 25, 128 + 75}, grey[3] = {90, 128, 128};
    double was[3], is[3];
    rq_view_params p = {.jitter = true, .contrast = 1, .saturation = 1, .order = {3, 2, 1, 0}};
    apply_fast(&p, red, was);
    // Hue grows from red by yellow to green: green rises, blue falls a little, luma stays.
    p.hue = 0.1f;
    apply_fast(&p, red, is);
    assert_true(is[1] > was[1] + 20 && is[2] < was[2] && is[0] < was[0] + 20);
    p.hue = -0.1f;
    apply_fast(&p, red, is);
    assert_true(is[2] > was[2] + 20 && is[1] < was[1] + 5);
    // Grey has no hue and no saturation.
    p.saturation = 1.2f;
    apply_fast(&p, grey, is);
    for (int i = 0; i < 3; i++)
        assert_true(fabs(is[i] - 90) < 0.5);
    // Contrast keeps the mean, brightness adds.
    const double mean[3] = {100, 120, 140};
    rq_view_params q = {.jitter = true, .contrast = 1, .saturation = 1, .order = {0, 1, 2, 3}};
    apply_fast(&q, mean, was);
    q.contrast = 0.6f;
    apply_fast(&q, mean, is);
    for (int i = 0; i < 3; i++)
        assert_true(fabs(is[i] - was[i]) < 1e-9);
    q.brightness = 0.1f;
    apply_fast(&q, mean, is);
    for (int i = 0; i < 3; i++)
        assert_true(fabs(is[i] - was[i] - 25.5) < 1e-5);
    q.gray = true;
    apply_fast(&q, red, is);
    assert_true(fabs(is[0] - is[1]) < 1e-9 && fabs(is[1] - is[2]) < 1e-9);
}

static void sine_and_cosine_are_exact(void **state)
{
    for (double x = -4; x <= 4; x += 0.013) {
        double sine, cosine;
        rq_exact_sin_cos(x, &sine, &cosine);
        assert_true(fabs(sine - sin(x)) < 1e-14 && fabs(cosine - cos(x)) < 1e-14);
    }
}

/* Both recipes draw the same. */
static void fast_draws_are_the_recipes_own(void **state)
{
    const rq_recipe a = recipe_of("relicv2"), b = recipe_of("relicv2-fast");
    assert_true(b.fast && !a.fast);
    for (uint64_t i = 0; i < 300; i++)
        for (int v = 0; v < 6; v++) {
            const rq_view_params x = draw(&a, i, v, true), y = draw(&b, i, v, true);
            assert_same_draw(&x, &y);
        }
}

/* ---- golden ---------------------------------------------------------------------------- */

static void hash_views(scene *s, bool antialias, rq_filter filter, bool fast, unsigned cpu,
                       char hex[RQ_SHA256_HEX])
{
    static uint8_t out[LARGE];
    rq_sha256 *h;
    rq_err err = {0};
    rq_recipe r = s->recipe;
    paint(&s->image, RQ_PIXELS_YCBCR, 451, 333, 2); // large enough to be reduced
    r.antialias = antialias;
    r.filter = filter;
    r.p_mask = 0.5f;
    r.fast = fast;
    rq_view_maker_destroy(&s->maker);
    assert_ok(rq_view_maker_create(&s->maker, &r, cpu, &err), &err);
    assert_ok(rq_sha256_create(&h, &err), &err);
    for (uint64_t i = 0; i < 4; i++)
        for (int v = 0; v < rq_recipe_views(&r); v++) {
            rq_view_params p;
            const rq_view_key key = {.seed = 2026, .epoch = 1, .sample = i, .view = v};
            rq_view_draw(&p, &r, &key, s->image.width, s->image.height, true);
            make(s, &p, out);
            const size_t side = (size_t)r.group[p.group].size;
            rq_sha256_update(h, out, side * side * 3);
        }
    rq_sha256_hex(h, hex);
    rq_sha256_destroy(&h);
}

static void bytes_are_fixed_for_all_time_and_every_cpu(void **state)
{
    static const struct {
        bool antialias;
        rq_filter filter;
        bool fast;
        const char *hash;
    } golden[] = {
        {false, RQ_FILTER_BICUBIC, false,
         "f7a4ac80b7b5d6cb5507deacb0b6d64be8b7328b134ea5e733d05a72d1b741cb"},
        {true, RQ_FILTER_BICUBIC, false,
         "f827c5d1ee9dafc364bb8ff2cf2d8ac7d79f44b5345fd90a386337a8ac2a7366"},
        {false, RQ_FILTER_BILINEAR, false,
         "16382dcf7507b148552d90f202f1a32a4c396ba45cd22bae7ff427a4e4ffc07c"},
        {false, RQ_FILTER_BICUBIC, true,
         "6c18a28c89e012a88f5455f0a113040e4480bfe38d6db241719b034533a1cedb"},
    };
    const unsigned cpus[] = {0, RQ_CPU_AVX2, RQ_CPU_ALL};
    for (size_t g = 0; g < sizeof golden / sizeof *golden; g++)
        for (int c = 0; c < 3; c++) {
            char hex[RQ_SHA256_HEX];
            hash_views(*state, golden[g].antialias, golden[g].filter, golden[g].fast, cpus[c],
                       hex);
            assert_string_equal(hex, golden[g].hash);
        }
}

/* Pictures, sizes and parameters beyond what a recipe draws. */
static void every_cpu_makes_the_same_views(void **state)
{
    scene *s = *state;
    enum { VIEWS = 150 };
    static uint8_t out[3][512 * 512 * 3];
    rq_rng r = rq_rng_make(8, 8, 8, 8, 8);
    for (int i = 0; i < VIEWS; i++) {
        const int sizes[] = {224, 96, 32, 7, 1, 225, 300};
        const rq_pixels kinds[] = {RQ_PIXELS_YCBCR, RQ_PIXELS_RGB, RQ_PIXELS_GRAY};
        const rq_pixels kind = kinds[rq_rng_below(&r, 3)];
        rq_recipe recipe = s->recipe;
        rq_err err = {0};
        recipe.group[0].size = sizes[rq_rng_below(&r, 7)];
        recipe.group[0].area_min = 1e-4f;
        recipe.antialias = i % 5 == 4;
        recipe.filter = i % 7 == 6 ? RQ_FILTER_BILINEAR : RQ_FILTER_BICUBIC;
        recipe.preset[0].hue = recipe.preset[1].hue = 0.5f;
        recipe.preset[0].contrast = recipe.preset[1].saturation = 1;
        recipe.preset[0].sigma_max = 3;
        recipe.p_mask = 0.5f;
        recipe.fast = i % 3 == 1;
        paint(&s->image, kind, 1 + (int)rq_rng_below(&r, 700), 1 + (int)rq_rng_below(&r, 200),
              kind == RQ_PIXELS_YCBCR ? 1 << rq_rng_below(&r, 3) : 1);
        rq_view_params p;
        const rq_view_key key = {.sample = (uint64_t)i, .view = i % 6};
        rq_view_draw(&p, &recipe, &key, s->image.width, s->image.height, true);
        const size_t side = (size_t)recipe.group[p.group].size;
        for (int c = 0; c < 3; c++) {
            const unsigned cpus[] = {0, RQ_CPU_AVX2, RQ_CPU_ALL};
            rq_view_maker_destroy(&s->maker);
            assert_ok(rq_view_maker_create(&s->maker, &recipe, cpus[c], &err), &err);
            make(s, &p, out[c]);
            assert_memory_equal(out[0], out[c], side * side * 3);
        }
    }
}

#define SCENE_TEST(f) cmocka_unit_test_setup_teardown(f, open_scene, close_scene)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(probabilities_are_the_recipes),
        cmocka_unit_test(ranges_are_filled_uniformly),
        cmocka_unit_test(crops_have_the_recipes_shape),
        cmocka_unit_test(eval_takes_the_centre),
        cmocka_unit_test(draws_depend_on_their_key_alone),
        SCENE_TEST(a_flat_picture_stays_flat),
        SCENE_TEST(blur_keeps_the_inside_and_darkens_the_border),
        SCENE_TEST(a_flip_mirrors_and_two_are_none),
        SCENE_TEST(gray_makes_equal_channels),
        SCENE_TEST(solarise_leaves_nothing_above_the_middle),
        SCENE_TEST(a_full_mask_changes_no_bit),
        SCENE_TEST(the_background_becomes_the_fill),
        SCENE_TEST(masks_count_by_their_cover),
        SCENE_TEST(planes_of_every_sampling_agree),
        SCENE_TEST(the_maker_has_no_memory_of_earlier_views),
        SCENE_TEST(impossible_parameters_are_refused),
        SCENE_TEST(fast_views_are_near_the_exact_ones),
        cmocka_unit_test(the_fast_matrix_turns_the_right_way),
        cmocka_unit_test(sine_and_cosine_are_exact),
        cmocka_unit_test(fast_draws_are_the_recipes_own),
        SCENE_TEST(bytes_are_fixed_for_all_time_and_every_cpu),
        SCENE_TEST(every_cpu_makes_the_same_views),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
