// SPDX-License-Identifier: Apache-2.0
//
// What each kernel costs in plain C, AVX2 and AVX-512, and what a whole view costs. Everything
// works on a view of 224 x 224 cut from a window of 350 x 262 with chroma at half resolution.
// Versions take turns and the median counts, so that a change of the machine's clock or load
// meets all of them; a vector version that loses against C is pointed out.
#include "tools/bench_kernels.h"
#include "augment/kernels.h"
#include "augment/view.h"
#include "common/clock.h"
#include "common/cpu.h"
#include "common/rng.h"
#include "tools/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SIDE = 224,
    PIXELS = SIDE * SIDE,
    WINDOW_W = 350,
    WINDOW_H = 262,
    LINE = 224,
    BLOCK = 8, /* rows at a time */
    RING = 32,
    LEVELS = 3,
    MAX_REPEATS = 1001
};

static const unsigned level_flags[LEVELS] = {0, RQ_CPU_AVX2, RQ_CPU_ALL};

typedef struct bench {
    rq_kernels k[LEVELS];
    rq_view_maker *maker[LEVELS], *fast[LEVELS];
    bool have[LEVELS];
    rq_image image;
    rq_recipe recipe, fast_recipe;
    rq_cubic cubic;
    rq_taps across, down, built;
    int16_t *plane[3], *lines, *blurred;
    uint8_t *pixels, *bytes;
    float *line, *frac;
    int32_t *first;
} bench;

/* One row of the table: what is done, to how many output pixels. */
typedef struct row {
    const char *name, *note;
    void (*run)(bench *b, int level, int arg);
    int arg, pixels;
    bool slow; /* fewer runs suffice */
} row;

/* ---- what is measured ------------------------------------------------------------------ */

static void run_taps(bench *b, int level, int arg)
{
    const rq_span span = {0.5, WINDOW_W - 1, WINDOW_W};
    rq_err err = {0};
    (void)level;
    if (rq_taps_build(&b->built, &b->cubic, (rq_direction)arg, RQ_FILTER_BICUBIC, false, span,
                      SIDE, false, &err) != RQ_OK)
        abort();
}

static void run_resize_h(bench *b, int level, int arg)
{
    const rq_plane *p = &b->image.plane[0];
    (void)arg;
    for (int y = 0; y < WINDOW_H; y += BLOCK)
        b->k[level].resize_h(b->lines + (size_t)y % RING * LINE, LINE,
                             p->data + (size_t)y * p->stride, p->stride,
                             WINDOW_H - y < BLOCK ? WINDOW_H - y : BLOCK, &b->across);
}

static void run_resize_v(bench *b, int level, int arg)
{
    const rq_ring ring = {b->lines, LINE, RING - 1};
    (void)arg;
    for (int y = 0; y < SIDE; y++)
        b->k[level].resize_v(b->plane[0] + y * SIDE, &ring, &b->down, y, SIDE);
}

static rq_step step_of(int op)
{
    rq_step s = {.op = (rq_step_op)op, .half = 19000, .a = {7000, 8000, 9000}};
    if (op == RQ_STEP_BRIGHTNESS)
        s.a[0] = 700;
    return s;
}

static void run_colours(bench *b, int level, const rq_step *steps, int count)
{
    enum { N = 9 * SIDE };
    for (int at = 0; at < PIXELS; at += N) {
        int16_t *const x[3] = {b->plane[0] + at, b->plane[1] + at, b->plane[2] + at};
        b->k[level].colour(x, (size_t)(PIXELS - at < N ? PIXELS - at : N), steps, count, NULL);
    }
}

static void run_step(bench *b, int level, int arg)
{
    const rq_step s = step_of(arg);
    run_colours(b, level, &s, 1);
}

static void run_jitter(bench *b, int level, int arg)
{
    const rq_step s[] = {step_of(RQ_STEP_RECENTRE), step_of(RQ_STEP_BRIGHTNESS),
                         step_of(RQ_STEP_CONTRAST), step_of(RQ_STEP_SATURATION),
                         step_of(RQ_STEP_HUE)};
    run_colours(b, level, s, 5);
    (void)arg;
}

/* arg: radius, negative for the horizontal direction. */
static void run_blur(bench *b, int level, int arg)
{
    const int16_t *low[RQ_BLUR_MAX_RADIUS + 1], *high[RQ_BLUR_MAX_RADIUS + 1];
    const int radius = arg < 0 ? -arg : arg, step = arg < 0 ? 1 : SIDE;
    int16_t w[RQ_BLUR_MAX_RADIUS + 1];
    for (int i = 0; i <= radius; i++)
        w[i] = (int16_t)(32768 / (2 * radius + 1));
    for (int y = 0; y < SIDE; y++) {
        const int16_t *middle = b->plane[0] + (y < radius          ? radius
                                               : y + radius < SIDE ? y
                                                                   : SIDE - 1 - radius) *
                                                  SIDE;
        for (int i = 1; i <= radius; i++) {
            low[i] = middle - i * step;
            high[i] = middle + i * step;
        }
        b->k[level].blur_line(b->blurred, middle, low, high, w, radius, SIDE);
    }
}

static void run_store(bench *b, int level, int arg)
{
    for (int y = 0; y < SIDE; y += BLOCK)
        b->k[level].store(b->pixels + 3 * y * SIDE, b->plane[0] + y * SIDE,
                          b->plane[1] + y * SIDE, b->plane[2] + y * SIDE, BLOCK * SIDE,
                          arg != 0);
}

static void run_mask(bench *b, int level, int arg)
{
    (void)arg;
    for (int y = 0; y < SIDE; y++)
        b->k[level].mask_row(b->bytes, b->line, b->first, b->frac, 127.5f, SIDE);
}

static void run_cut(bench *b, int level, int arg)
{
    (void)arg;
    for (int y = 0; y < SIDE; y++)
        b->k[level].cut_row(b->pixels + y * SIDE, b->image.plane[0].data, b->bytes, 17, SIDE);
}

/* arg: views, as they are drawn; negative for the fast recipe. */
static void run_views(bench *b, int level, int arg)
{
    rq_view_maker *m = arg < 0 ? b->fast[level] : b->maker[level];
    rq_err err = {0};
    for (int v = 0; v < abs(arg); v++) {
        const rq_view_key key = {.seed = 1, .sample = (uint64_t)v / 6, .view = v % 6};
        rq_view_params p;
        rq_view_draw(&p, &b->recipe, &key, b->image.width, b->image.height, false);
        if (rq_view_make(m, &b->image, NULL, &p, b->pixels, &err) != RQ_OK)
            abort();
    }
}

enum { VIEW_IMAGES = 12 };

static const row rows[] = {
    {"weights across", "one axis, cubic from the table", run_taps, RQ_ACROSS, SIDE, false},
    {"weights down", "one axis, cubic from the table", run_taps, RQ_DOWN, SIDE, false},
    {"resize_h", "luma, 4 taps, 262 rows", run_resize_h, 0, PIXELS, false},
    {"resize_v", "luma, 4 taps", run_resize_v, 0, PIXELS, false},
    {"ycc", "three channels", run_step, RQ_STEP_YCC, PIXELS, false},
    {"brightness", "three channels", run_step, RQ_STEP_BRIGHTNESS, PIXELS, false},
    {"contrast", "three channels", run_step, RQ_STEP_CONTRAST, PIXELS, false},
    {"saturation", "three channels, factor above 1", run_step, RQ_STEP_SATURATION, PIXELS,
     false},
    {"hue", "three channels", run_step, RQ_STEP_HUE, PIXELS, false},
    {"gray", "three channels", run_step, RQ_STEP_GRAY, PIXELS, false},
    {"solarize", "three channels", run_step, RQ_STEP_SOLARIZE, PIXELS, false},
    {"matrix", "three channels", run_step, RQ_STEP_MATRIX, PIXELS, false},
    {"all jitter", "recentre and four steps at once", run_jitter, 0, PIXELS, false},
    {"blur down", "one channel, 9 taps", run_blur, 4, PIXELS, false},
    {"blur across", "one channel, 9 taps", run_blur, -4, PIXELS, false},
    {"store", "three channels, interleaved", run_store, 0, PIXELS, false},
    {"store past", "the same, past the caches", run_store, 1, PIXELS, false},
    {"mask_row", "one plane", run_mask, 0, PIXELS, false},
    {"cut_row", "one plane", run_cut, 0, PIXELS, false},
    {"six views", "relicv2, 4 x 224 and 2 x 96, mean of 12 draws", run_views, 6 * VIEW_IMAGES,
     0, true},
    {"six fast views", "relicv2-fast, the same draws", run_views, -6 * VIEW_IMAGES, 0, true},
};
enum { ROWS = sizeof rows / sizeof *rows };

/* ---- set-up ---------------------------------------------------------------------------- */

static void paint(rq_image *image, rq_rng *r)
{
    for (int c = 0; c < rq_pixels_planes(image->pixels); c++)
        for (int y = 0; y < image->plane[c].height; y++)
            for (int x = 0; x < image->plane[c].width; x++)
                image->plane[c].data[(size_t)y * image->plane[c].stride + (size_t)x] =
                    (uint8_t)(c > 0 ? 100 + (x + y + (int)(rq_rng_u32(r) & 15)) % 56
                                    : (2 * x + y + (int)(rq_rng_u32(r) & 31)) & 255);
}

static rq_status make_room(bench *b, rq_err *err)
{
    bool ok = true;
    for (int c = 0; c < 3; c++)
        ok = (b->plane[c] = rq_calloc(PIXELS, sizeof(int16_t))) && ok;
    ok = (b->lines = rq_calloc(RING * LINE, sizeof(int16_t))) && ok;
    ok = (b->blurred = rq_calloc(SIDE, sizeof(int16_t))) && ok;
    ok = (b->pixels = rq_calloc(PIXELS, 3)) && ok;
    ok = (b->bytes = rq_calloc(SIDE, 1)) && ok;
    ok = (b->line = rq_calloc(SIDE + RQ_MASK_SLACK, sizeof(float))) && ok;
    ok = (b->frac = rq_calloc(SIDE, sizeof(float))) && ok;
    ok = (b->first = rq_calloc(SIDE, sizeof(int32_t))) && ok;
    return ok ? RQ_OK : rq_fail(err, RQ_OOM, "kernels: out of memory");
}

static rq_status set_up(bench *b, rq_err *err)
{
    rq_rng r = rq_rng_make(1, 1, 1, 1, 1);
    const unsigned here = rq_cpu_detect();
    RQ_TRY(make_room(b, err));
    RQ_TRY(rq_image_shape(&b->image, RQ_PIXELS_YCBCR, 500, 375, 2, 2, 16, err));
    paint(&b->image, &r);
    RQ_TRY(rq_recipe_preset(&b->recipe, "relicv2", err));
    RQ_TRY(rq_recipe_preset(&b->fast_recipe, "relicv2-fast", err));
    RQ_TRY(rq_cubic_init(&b->cubic, err));
    const rq_span across = {0.5, WINDOW_W - 1, WINDOW_W}, down = {0, WINDOW_H, WINDOW_H};
    RQ_TRY(rq_taps_build(&b->across, &b->cubic, RQ_ACROSS, RQ_FILTER_BICUBIC, false, across,
                         SIDE, false, err));
    RQ_TRY(rq_taps_build(&b->down, &b->cubic, RQ_DOWN, RQ_FILTER_BICUBIC, false, down, SIDE,
                         false, err));
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < PIXELS; i++)
            b->plane[c][i] = (int16_t)(4000 + rq_rng_below(&r, RQ_WHITE / 2));
    for (int x = 0; x < SIDE; x++) {
        b->first[x] = x * 3 / 10;
        b->frac[x] = rq_rng_float(&r);
        b->line[x] = 255 * rq_rng_float(&r);
    }
    for (int l = 0; l < LEVELS; l++) {
        b->have[l] = (level_flags[l] & ~here) == 0;
        rq_kernels_init(&b->k[l], level_flags[l]);
        RQ_TRY(rq_view_maker_create(&b->maker[l], &b->recipe, level_flags[l], err));
        RQ_TRY(rq_view_maker_create(&b->fast[l], &b->fast_recipe, level_flags[l], err));
    }
    return RQ_OK;
}

static void tear_down(bench *b)
{
    for (int l = 0; l < LEVELS; l++) {
        rq_view_maker_destroy(&b->maker[l]);
        rq_view_maker_destroy(&b->fast[l]);
    }
    for (int c = 0; c < 3; c++)
        rq_free(b->plane[c]);
    rq_free(b->lines);
    rq_free(b->blurred);
    rq_free(b->pixels);
    rq_free(b->bytes);
    rq_free(b->line);
    rq_free(b->frac);
    rq_free(b->first);
    rq_taps_free(&b->across);
    rq_taps_free(&b->down);
    rq_taps_free(&b->built);
    rq_image_free(&b->image);
}

/* ---- measuring ------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Median nanoseconds of a row in each version; levels take turns. */
static void measure(bench *b, const row *w, int repeats, double ns[LEVELS])
{
    static double took[LEVELS][MAX_REPEATS];
    const int runs = w->slow ? 1 : 4;
    for (int i = -1; i < repeats; i++)
        for (int l = 0; l < LEVELS; l++) {
            if (!b->have[l])
                continue;
            const uint64_t start = rq_clock_thread_cpu_ns();
            for (int n = 0; n < runs; n++)
                w->run(b, l, w->arg);
            if (i >= 0) // the first round warms up
                took[l][i] = (double)(rq_clock_thread_cpu_ns() - start) / runs;
        }
    for (int l = 0; l < LEVELS; l++) {
        qsort(took[l], (size_t)repeats, sizeof(double), by_size);
        ns[l] = b->have[l] ? took[l][repeats / 2] : 0;
        if (w->slow)
            ns[l] /= VIEW_IMAGES;
    }
}

static void print_row(const bench *b, const row *w, const double ns[LEVELS])
{
    printf("%-16s", w->name);
    for (int l = 0; l < LEVELS; l++) {
        if (b->have[l])
            printf(" %10.0f", ns[l]);
        else
            printf(" %10s", "-");
    }
    for (int l = 0; l < LEVELS; l++) {
        if (b->have[l] && w->pixels > 0)
            printf(" %8.3f", ns[l] / w->pixels);
        else
            printf(" %8s", "-");
    }
    printf("  %s", w->note);
    for (int l = 1; l < LEVELS; l++)
        if (b->have[l] && ns[l] > ns[0] * 1.05)
            printf("; %s IS SLOWER THAN C", rq_cpu_level_name(level_flags[l]));
    printf("\n");
}

static void print_json(const bench *b, const row *w, const double ns[LEVELS], bool first)
{
    printf("%s{\"kernel\":\"%s\",\"pixels\":%d", first ? "" : ",\n", w->name, w->pixels);
    for (int l = 0; l < LEVELS; l++)
        if (b->have[l])
            printf(",\"%s_ns\":%.1f", rq_cpu_level_name(level_flags[l]), ns[l]);
    printf("}");
}

static void print_all(bench *b, int repeats)
{
    double ns[LEVELS];
    const char *chosen = rq_cpu_level_name(rq_cpu_detect());
    if (rq_cli.json)
        printf("{\"chosen\":\"%s\",\"kernels\":[\n", chosen);
    else
        printf("view of %d x %d from %d x %d; kernels chosen here: %s\n\n"
               "%-16s %10s %10s %10s %8s %8s %8s\n"
               "%-16s %10s %10s %10s %8s %8s %8s\n",
               SIDE, SIDE, WINDOW_W, WINDOW_H, chosen, "", "c ns", "avx2 ns", "avx512 ns", "c",
               "avx2", "avx512", "", "", "", "", "/pixel", "/pixel", "/pixel");
    for (size_t i = 0; i < ROWS && !rq_cli_stop; i++) {
        measure(b, &rows[i], rows[i].slow && repeats > 25 ? 25 : repeats, ns);
        if (rq_cli.json)
            print_json(b, &rows[i], ns, i == 0);
        else
            print_row(b, &rows[i], ns);
    }
    if (rq_cli.json)
        printf("\n]}\n");
}

int rq_bench_kernels(int argc, char **argv)
{
    int repeats = 101, n;
    const rq_opt opts[] = {
        {RQ_OPT_GROUP, "", 0, NULL, NULL, "How long", 0, 0, NULL},
        {RQ_OPT_INT, "repeats", 'r', &repeats, "N", "measurements of each, of which the median",
         1, MAX_REPEATS, NULL},
        {.type = RQ_OPT_GROUP},
    };
    const int code = rq_cli_parse(argc, argv, "", "  rq-bench kernels --json\n", opts, &n);
    if (code >= 0)
        return code;
    if (n != 0)
        return rq_cli_usage("no argument is expected, but there are %d", n);
    bench b = {0};
    rq_err err = {0};
    const rq_status st = set_up(&b, &err);
    if (st == RQ_OK)
        print_all(&b, repeats);
    tear_down(&b);
    return st == RQ_OK ? 0 : rq_cli_fail(&err);
}
