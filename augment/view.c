// SPDX-License-Identifier: Apache-2.0
//
// Makes the pixels of one view from drawn parameters. The view goes through the first-level
// cache in blocks of rows: crop and resize of each component plane at its own resolution (the
// flip is folded into the filter), RGB, colour operations. Only two things need the whole view
// and end a pass: contrast, which needs the means of its channels, and the blur.
#include "augment/view.h"
#include "augment/crop.h"
#include "augment/fast.h"
#include "augment/kernels.h"

#include <math.h>
#include <string.h>

enum {
    BLOCK_PIXELS = 2048,
    BLUR_ROWS = 4,
    BLUR_MARGIN = 64,
    LARGE_VIEW = 64 /* from this size on a batch does not stay in the caches anyway */
};

struct rq_view_maker {
    rq_recipe recipe;
    rq_kernels k;
    rq_crop crop;
    int16_t *plane[3];
    int16_t *some[3];   /* rows of each channel on their way out */
    int16_t *spread[2]; /* rows of chroma at the view's resolution */
    int16_t *blur_rows; /* a few, between zeros */
    int16_t *zero;
};

/* One blur: half of its symmetric weights. Radius 0: none. */
typedef struct blur {
    int radius;
    int16_t weight[RQ_BLUR_MAX_RADIUS + 1];
} blur;

/* One view on its way. */
typedef struct work {
    rq_view_maker *m;
    const rq_view_params *p;
    rq_pixels pixels;
    int size, block_rows;
    int channels; /* 1: all three are equal */
    bool whole;   /* more than one pass: the planes hold the view, not just a block */
    rq_step step[RQ_MAX_STEPS];
    int steps, contrast; /* how many; which is the contrast, `steps` if none */
    rq_step solarize;    /* after the blur */
    blur blur, chroma_blur;
    uint8_t *dst;
} work;

static int largest_size(const rq_recipe *r)
{
    int s = 0;
    for (int g = 0; g < RQ_MAX_GROUPS; g++)
        if (r->group[g].views > 0 && r->group[g].size > s)
            s = r->group[g].size;
    return s;
}

/* Even, unless the view has one row. */
static int rows_of_a_block(int size)
{
    const int rows = BLOCK_PIXELS / size / 2 * 2;
    return rows < size ? rows : size;
}

static size_t blur_stride(int size)
{
    return rq_round_up((size_t)size, RQ_ALIGN) + 2 * BLUR_MARGIN;
}

/* Samples of a block of rows, whichever pass makes it. */
static size_t block_samples(int size)
{
    return BLOCK_PIXELS + (size_t)BLUR_ROWS * (size_t)size;
}

size_t rq_view_maker_memory(const rq_recipe *r, int width, int height)
{
    const int size = largest_size(r);
    const size_t side = (size_t)size;
    const size_t samples =
        3 * side * side + 5 * block_samples(size) + BLUR_ROWS * blur_stride(size) + side;
    // Small views are made in larger blocks, whose rows of the image may be more.
    size_t crop = 0;
    for (int g = 0; g < RQ_MAX_GROUPS; g++) {
        const int s = r->group[g].size;
        const size_t one = r->group[g].views == 0 ? 0
                                                  : rq_crop_memory(s, rows_of_a_block(s), width,
                                                                   height, r->p_mask > 0);
        crop = one > crop ? one : crop;
    }
    return sizeof(rq_view_maker) + samples * sizeof(int16_t) + crop;
}

static bool make_room(rq_view_maker *m, int size)
{
    const size_t side = (size_t)size, block = block_samples(size);
    bool ok = true;
    for (int c = 0; c < 3; c++) {
        ok = (m->plane[c] = rq_alloc(side * side, sizeof(int16_t))) && ok;
        ok = (m->some[c] = rq_alloc(block, sizeof(int16_t))) && ok;
    }
    for (int c = 0; c < 2; c++)
        ok = (m->spread[c] = rq_alloc(block, sizeof(int16_t))) && ok;
    ok = (m->blur_rows = rq_alloc(BLUR_ROWS * blur_stride(size), sizeof(int16_t))) && ok;
    return (m->zero = rq_calloc(side, sizeof(int16_t))) && ok;
}

rq_status rq_view_maker_create(rq_view_maker **out, const rq_recipe *r, unsigned cpu_flags,
                               rq_err *err)
{
    *out = NULL;
    RQ_TRY(rq_recipe_check(r, err));
    rq_view_maker *m = rq_calloc(1, sizeof *m);
    if (!m)
        return rq_fail(err, RQ_OOM, "view maker: out of memory");
    m->recipe = *r;
    rq_kernels_init(&m->k, cpu_flags);
    rq_status st = rq_crop_init(&m->crop, err);
    if (st == RQ_OK && !make_room(m, largest_size(r)))
        st = rq_fail(err, RQ_OOM, "view maker: no memory for views of %d pixels",
                     largest_size(r));
    if (st != RQ_OK)
        rq_view_maker_destroy(&m);
    *out = m;
    return st;
}

void rq_view_maker_destroy(rq_view_maker **maker)
{
    rq_view_maker *m = *maker;
    if (!m)
        return;
    for (int c = 0; c < 3; c++) {
        rq_free(m->plane[c]);
        rq_free(m->some[c]);
    }
    for (int c = 0; c < 2; c++)
        rq_free(m->spread[c]);
    rq_free(m->blur_rows);
    rq_free(m->zero);
    rq_crop_free(&m->crop);
    rq_free(m);
    *maker = NULL;
}

/* ---- what to do ------------------------------------------------------------------------ */

static int nearest(double x)
{
    return (int)rint(x);
}

static int clamp(int x, int low, int high)
{
    return x < low ? low : x > high ? high : x;
}

static rq_step *add_step(work *k, rq_step_op op)
{
    k->step[k->steps] = (rq_step){.op = op};
    return &k->step[k->steps++];
}

static void add_factor(work *k, rq_step_op op, float factor)
{
    add_step(k, op)->half = clamp(nearest((double)factor * 16384), 0, 32767);
}

/* A turn is three thirds, and what is left at most a sixth either way. */
static void add_hue(work *k)
{
    const double sixths = 6 * (double)k->p->hue;
    const int thirds = nearest(sixths / 2);
    for (int i = 0; i < (thirds + 3) % 3; i++)
        add_step(k, RQ_STEP_TURN);
    add_step(k, RQ_STEP_HUE)->a[0] =
        clamp(nearest((sixths - 2 * thirds) * 32768), -32767, 32767);
}

static void add_jitter(work *k, int op)
{
    if (op == RQ_JITTER_BRIGHTNESS)
        add_step(k, RQ_STEP_BRIGHTNESS)->a[0] = nearest((double)k->p->brightness * RQ_WHITE);
    else if (op == RQ_JITTER_CONTRAST)
        add_factor(k, RQ_STEP_CONTRAST, k->p->contrast);
    else if (op == RQ_JITTER_SATURATION)
        add_factor(k, RQ_STEP_SATURATION, k->p->saturation);
    else
        add_hue(k);
}

static void plan_blur(blur *b, int radius, double sigma)
{
    b->radius = sigma > 0 ? rq_blur_weights(b->weight, radius, (float)sigma) : 0;
}

static void plan_end(work *k)
{
    const float threshold = k->m->recipe.preset[k->p->preset % 2].solarize_threshold;
    plan_blur(&k->blur, rq_recipe_blur_radius(k->size), (double)k->p->sigma);
    k->solarize =
        (rq_step){.op = RQ_STEP_SOLARIZE, .a = {nearest((double)threshold * RQ_WHITE)}};
}

static void plan_colours(work *k)
{
    const rq_view_params *p = k->p;
    add_step(k, k->pixels == RQ_PIXELS_YCBCR ? RQ_STEP_YCC : RQ_STEP_RECENTRE);
    for (int i = 0; p->jitter && i < 4; i++)
        add_jitter(k, p->order[i]);
    if (p->gray)
        add_step(k, RQ_STEP_GRAY);
    plan_end(k);
    if (p->solarize && k->blur.radius == 0)
        k->step[k->steps++] = k->solarize;
    while (k->contrast < k->steps && k->step[k->contrast].op != RQ_STEP_CONTRAST)
        k->contrast++;
    k->whole = k->contrast < k->steps || k->blur.radius > 0;
}

/* ---- the exact view -------------------------------------------------------------------- */

/* Where the channels of the view are, `at` pixels on; one may stand for all. */
static void channels_at(const work *k, int16_t *x[3], int16_t *const plane[3], size_t at)
{
    for (int c = 0; c < 3; c++)
        x[c] = plane[k->channels == 3 ? c : 0] + at;
}

/* The first pass crops, the second begins with the contrast. Each goes on as far as it can. */
static void colour_pass(work *k, bool first)
{
    const rq_kernels *f = &k->m->k;
    const int begin = first ? 0 : k->contrast, end = first ? k->contrast : k->steps;
    const size_t size = (size_t)k->size;
    int64_t sum[3] = {0};
    for (int y = 0; y < k->size; y += k->block_rows) {
        const int rows = k->size - y < k->block_rows ? k->size - y : k->block_rows;
        const size_t n = (size_t)rows * size, at = (size_t)y * size;
        int16_t *x[3];
        channels_at(k, x, k->m->plane, k->whole ? at : 0);
        for (int c = 0; first && c < k->channels; c++)
            rq_crop_rows(&k->m->crop, c, x[c], y, rows);
        f->colour(x, n, k->step + begin, end - begin, end < k->steps ? sum : NULL);
        if (end == k->steps && k->blur.radius == 0)
            f->store(k->dst + 3 * at, x[0], x[1], x[2], n, k->size >= LARGE_VIEW);
    }
    const int64_t pixels = (int64_t)(size * size);
    for (int c = 0; c < 3 && end < k->steps; c++)
        k->step[end].a[c] = (int)((sum[c] + pixels / 2) / pixels);
}

/* One row of a square plane, blurred vertically; zeros lie outside. */
static void blur_down(const rq_view_maker *m, const blur *b, const int16_t *plane, int size,
                      int y, int16_t *dst)
{
    const int16_t *low[RQ_BLUR_MAX_RADIUS + 1], *high[RQ_BLUR_MAX_RADIUS + 1];
    const int16_t *src = plane + (ptrdiff_t)y * size;
    for (int i = 1; i <= b->radius; i++) {
        low[i] = y - i >= 0 ? src - (ptrdiff_t)i * size : m->zero;
        high[i] = y + i < size ? src + (ptrdiff_t)i * size : m->zero;
    }
    m->k.blur_line(dst, src, low, high, b->weight, b->radius, size);
}

/* A row horizontally; zeros stand to its left and right. */
static void blur_across(const rq_view_maker *m, const blur *b, const int16_t *row, int size,
                        int16_t *dst)
{
    const int16_t *low[RQ_BLUR_MAX_RADIUS + 1], *high[RQ_BLUR_MAX_RADIUS + 1];
    for (int i = 1; i <= b->radius; i++) {
        low[i] = row - i;
        high[i] = row + i;
    }
    m->k.blur_line(dst, row, low, high, b->weight, b->radius, size);
}

/* Rows [y, y + rows) of a square plane, blurred: all of them one way and then the other, since
 * what was just written is slow to read at another alignment. */
static void blur_block(const rq_view_maker *m, const blur *b, const int16_t *plane, int size,
                       int y, int rows, int16_t *dst)
{
    const size_t stride = blur_stride(size), margin = (size_t)b->radius, n = (size_t)size;
    if (b->radius == 0) {
        memcpy(dst, plane + (size_t)y * n, sizeof *dst * (size_t)rows * n);
        return;
    }
    for (int r = 0; r < rows; r++) {
        int16_t *row = m->blur_rows + (size_t)r * stride + BLUR_MARGIN;
        memset(row - margin, 0, sizeof *row * margin);
        memset(row + n, 0, sizeof *row * margin);
        blur_down(m, b, plane, size, y + r, row);
    }
    for (int r = 0; r < rows; r++)
        blur_across(m, b, m->blur_rows + (size_t)r * stride + BLUR_MARGIN, size,
                    dst + (size_t)r * n);
}

static void blur_pass(work *k)
{
    rq_view_maker *m = k->m;
    const size_t size = (size_t)k->size;
    for (int y = 0; y < k->size; y += BLUR_ROWS) {
        const int rows = k->size - y < BLUR_ROWS ? k->size - y : BLUR_ROWS;
        const size_t n = (size_t)rows * size;
        int16_t *x[3];
        channels_at(k, x, m->some, 0);
        for (int c = 0; c < k->channels; c++)
            blur_block(m, &k->blur, m->plane[c], k->size, y, rows, m->some[c]);
        if (k->p->solarize)
            m->k.colour(x, n, &k->solarize, 1, NULL);
        m->k.store(k->dst + 3 * (size_t)y * size, x[0], x[1], x[2], n, k->size >= LARGE_VIEW);
    }
}

static void make_exact(work *k)
{
    plan_colours(k);
    colour_pass(k, true);
    if (k->contrast < k->steps)
        colour_pass(k, false);
    if (k->p->gray)
        k->channels = 1;
    if (k->blur.radius > 0)
        blur_pass(k);
}

/* ---- the fast view --------------------------------------------------------------------- */

/* A matrix needs no clipping in between, so it may come last, after the blur; then chroma needs
 * half the resolution only, and none at all for a grey view. */
static void plan_fast(work *k)
{
    const rq_view_params *p = k->p;
    double mean[3] = {128, 128, 128};
    rq_fast_colour f;
    for (int c = 0; p->jitter && c < 3; c++)
        mean[c] = rq_crop_mean(&k->m->crop, c);
    rq_fast_colour_of(&f, p, mean);
    plan_end(k);
    const int radius = (rq_recipe_blur_radius(k->size) + 1) / 2;
    plan_blur(&k->chroma_blur, radius, k->blur.radius > 0 ? (double)p->sigma / 2 : 0);
    k->step[k->steps++] = rq_fast_step(&f, k->blur.radius > 0);
    if (p->gray) {
        // All rows are alike, and what chroma would add is below a level.
        k->channels = 1;
        for (int c = 0; c < 3; c++)
            k->step[0].m[c][1] = k->step[0].m[c][2] = 0;
    }
    if (p->solarize)
        k->step[k->steps++] = k->solarize;
}

/* Rows [y, y + rows), rows being even, of luma and of chroma at half resolution to bytes. */
static void finish_fast(const work *k, int16_t *const part[3], int y, int rows)
{
    const rq_view_maker *m = k->m;
    const size_t size = (size_t)k->size, n = (size_t)rows * size;
    int16_t *x[3] = {part[0], part[0], part[0]};
    for (int c = 1; c < k->channels; c++) {
        x[c] = m->spread[c - 1];
        for (size_t r = 0; r < (size_t)rows; r += 2) {
            int16_t *row = x[c] + r * size;
            m->k.spread(row, part[c] + r / 2 * (size / 2), k->size);
            memcpy(row + size, row, sizeof *row * size);
        }
    }
    m->k.colour(x, n, k->step, k->steps, NULL);
    m->k.store(k->dst + 3 * (size_t)y * size, x[0], x[1], x[2], n, k->size >= LARGE_VIEW);
}

static void make_fast(work *k)
{
    rq_view_maker *m = k->m;
    const size_t size = (size_t)k->size;
    plan_fast(k);
    const bool blurred = k->blur.radius > 0;
    for (int y = 0; y < k->size; y += k->block_rows) {
        const int rows = k->size - y < k->block_rows ? k->size - y : k->block_rows;
        int16_t *part[3];
        for (int c = 0; c < k->channels; c++) {
            const int half = c > 0 ? 2 : 1;
            part[c] = m->plane[c] + (blurred ? (size_t)(y / half) * (size / (size_t)half) : 0);
            rq_crop_rows(&m->crop, c, part[c], y / half, rows / half);
        }
        if (!blurred) {
            finish_fast(k, part, y, rows);
            continue;
        }
        // Zero has to be black where the blur finds it outside.
        const rq_step recentre = {.op = RQ_STEP_RECENTRE};
        int16_t *const x[3] = {part[0], part[0], part[0]};
        m->k.colour(x, (size_t)rows * size, &recentre, 1, NULL);
    }
    for (int y = 0; blurred && y < k->size; y += BLUR_ROWS) {
        const int rows = k->size - y < BLUR_ROWS ? k->size - y : BLUR_ROWS;
        blur_block(m, &k->blur, m->plane[0], k->size, y, rows, m->some[0]);
        for (int c = 1; c < k->channels; c++)
            blur_block(m, &k->chroma_blur, m->plane[c], k->size / 2, y / 2, rows / 2,
                       m->some[c]);
        finish_fast(k, m->some, y, rows);
    }
}

/* ---------------------------------------------------------------------------------------- */

/* What the kernels are made for; NaN is outside. */
static bool jitter_is_possible(const rq_view_params *p)
{
    unsigned seen = 0;
    for (int i = 0; i < 4; i++)
        seen |= p->order[i] < 4 ? 1u << p->order[i] : 0;
    return seen == 15 && p->brightness >= -1 && p->brightness <= 1 && p->contrast >= 0 &&
           p->contrast <= 2 && p->saturation >= 0 && p->saturation <= 2 && p->hue >= -0.5f &&
           p->hue <= 0.5f;
}

static rq_status check(const rq_view_maker *m, const rq_image *image, const rq_image *mask,
                       const rq_view_params *p, rq_err *err)
{
    if (p->group >= RQ_MAX_GROUPS || m->recipe.group[p->group].views == 0)
        return rq_fail(err, RQ_INVALID_ARG, "view: recipe %s has no group %d", m->recipe.name,
                       p->group);
    if (image->pixels == RQ_PIXELS_NONE || p->w < 1 || p->h < 1 || p->x < 0 || p->y < 0 ||
        p->w > image->width - p->x || p->h > image->height - p->y)
        return rq_fail(err, RQ_INVALID_ARG,
                       "view: box %dx%d at %d,%d is not in an image of %dx%d", p->w, p->h, p->x,
                       p->y, image->width, image->height);
    if (p->masked && (!mask || mask->pixels != RQ_PIXELS_GRAY))
        return rq_fail(err, RQ_INVALID_ARG, "view: a masked view needs a grey mask");
    if (p->jitter && !jitter_is_possible(p))
        return rq_fail(
            err, RQ_INVALID_ARG,
            "view: the jitter is out of range, or its order names an operation twice");
    return RQ_OK;
}

rq_status rq_view_make(rq_view_maker *m, const rq_image *image, const rq_image *mask,
                       const rq_view_params *p, uint8_t *dst, rq_err *err)
{
    RQ_TRY(check(m, image, mask, p, err));
    const int size = m->recipe.group[p->group].size;
    // Pictures without chroma planes are few, and views of odd size fewer: they are made
    // exactly.
    const bool fast = m->recipe.fast && image->pixels == RQ_PIXELS_YCBCR && size % 2 == 0;
    work k = {.m = m,
              .p = p,
              .pixels = image->pixels,
              .size = size,
              .block_rows = rows_of_a_block(size),
              .channels = rq_pixels_planes(image->pixels),
              .dst = dst};
    RQ_TRY(rq_crop_begin(&m->crop, &m->k, &m->recipe, image, mask, p, size,
                         fast ? size / 2 : size, k.block_rows, err));
    if (fast)
        make_fast(&k);
    else
        make_exact(&k);
    return RQ_OK;
}
