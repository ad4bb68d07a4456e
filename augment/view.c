// SPDX-License-Identifier: Apache-2.0
//
// Makes the pixels of one view from drawn parameters. The view goes through the first-level
// cache in blocks of rows: crop and resize of each component plane at its own resolution (the
// flip is folded into the filter), RGB, colour operations. Only two things need the whole view
// and end a pass: contrast, which needs the means of its channels, and the blur.
#include "augment/view.h"
#include "augment/cutout.h"
#include "augment/kernels.h"

#include <math.h>
#include <string.h>

enum { BLOCK_PIXELS = 2048, BLUR_ROWS = 4, BLUR_MARGIN = 64 };

struct rq_view_maker {
    rq_recipe recipe;
    rq_kernels k;
    rq_cubic cubic;
    int16_t *plane[3];
    int16_t *blur_rows; /* a few of each channel, between zeros */
    int16_t *zero, *blurred[3];
    rq_taps taps[2][2]; /* [luma, chroma][across, down] */
    rq_ring ring[3];    /* rows of each plane of the window, resized across */
    size_t ring_cap[3];
    rq_cutout cutout;
};

/* One view on its way. */
typedef struct work {
    rq_view_maker *m;
    const rq_view_params *p;
    rq_pixels pixels;
    int size, block_rows;
    int channels; /* 1: all three are equal */
    bool whole;   /* more than one pass: the planes hold the view, not just a block */
    rq_window window[3];
    const rq_taps *taps[3]; /* [2] each: across, down */
    int done[3];            /* rows of the window before this one are in the ring */
    rq_step step[RQ_MAX_STEPS];
    int steps, contrast; /* how many; which is the contrast, `steps` if none */
    int radius;          /* of the blur, 0: none */
    rq_step solarize;    /* after the blur */
    int16_t blur_weight[RQ_BLUR_MAX_RADIUS + 1];
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

static int rows_of_a_block(int size)
{
    const int rows = BLOCK_PIXELS / size;
    return rows < 1 ? 1 : rows < size ? rows : size;
}

/* Rows of a window, at most, between the first and the last that a block of outputs needs. */
static size_t ring_rows(const rq_taps *down, int block_rows)
{
    int most = down->taps;
    for (int o = 0; o < down->outputs; o += block_rows) {
        const int end = o + block_rows < down->outputs ? o + block_rows : down->outputs;
        const int rows = down->first[end - 1] + down->taps - down->first[o];
        most = rows > most ? rows : most;
    }
    size_t power = 1;
    while (power < (size_t)most)
        power *= 2;
    return power;
}

static size_t blur_stride(int size)
{
    return rq_round_up((size_t)size, RQ_ALIGN) + 2 * BLUR_MARGIN;
}

size_t rq_view_maker_memory(const rq_recipe *r, int width, int height)
{
    const size_t side = (size_t)largest_size(r), w = (size_t)width, h = (size_t)height;
    size_t bytes = sizeof(rq_view_maker) + 3 * side * side * sizeof(int16_t);
    bytes += (3 * BLUR_ROWS * (blur_stride((int)side) + side) + side) * sizeof(int16_t);
    // A block of outputs and the taps around it, to a power of two, grown by doubling.
    const size_t rows = (h + side - 1) / side * (size_t)rows_of_a_block((int)side) + 8;
    bytes += 3 * 4 * rows * (side + RQ_TAPS_LANES) * sizeof(int16_t);
    bytes += 4 * 3 * 2 * (side + RQ_TAPS_LANES) * sizeof(uint32_t);
    if (r->p_mask > 0)
        bytes += 2 * ((w + RQ_ALIGN) * (h * 3 + 9) + RQ_MASK_SLACK * sizeof(float));
    return bytes;
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
    const size_t side = (size_t)largest_size(r);
    bool ok = true;
    for (int c = 0; c < 3; c++) {
        ok = (m->plane[c] = rq_alloc(side * side, sizeof(int16_t))) && ok;
        ok = (m->blurred[c] = rq_alloc(BLUR_ROWS * side, sizeof(int16_t))) && ok;
    }
    m->blur_rows = rq_alloc(3 * BLUR_ROWS * blur_stride((int)side), sizeof(int16_t));
    m->zero = rq_calloc(side, sizeof(int16_t));
    rq_status st = RQ_OK;
    if (!ok || !m->blur_rows || !m->zero)
        st = rq_fail(err, RQ_OOM, "view maker: no memory for views of %zu pixels", side);
    if (st == RQ_OK)
        st = rq_cubic_init(&m->cubic, err);
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
        rq_free(m->blurred[c]);
    }
    rq_free(m->blur_rows);
    rq_free(m->zero);
    for (int i = 0; i < 4; i++)
        rq_taps_free(&m->taps[i / 2][i % 2]);
    for (int c = 0; c < 3; c++)
        rq_free(m->ring[c].rows);
    rq_cutout_free(&m->cutout);
    rq_free(m);
    *maker = NULL;
}

/* ---- what to do ------------------------------------------------------------------------ */

/* The samples of a plane that the crop box touches. */
static rq_window window_of(const rq_plane *plane, const rq_view_params *p, int sub_x, int sub_y)
{
    const int x1 = (p->x + p->w + sub_x - 1) / sub_x, y1 = (p->y + p->h + sub_y - 1) / sub_y;
    rq_window win = {.stride = plane->stride, .x = p->x / sub_x, .y = p->y / sub_y};
    win.w = (x1 < plane->width ? x1 : plane->width) - win.x;
    win.h = (y1 < plane->height ? y1 : plane->height) - win.y;
    win.data = plane->data + (size_t)win.y * plane->stride + (size_t)win.x;
    return win;
}

static uint8_t to_level(double x)
{
    return (uint8_t)(x < 0 ? 0 : x > 255 ? 255 : rint(x));
}

/* The fill colour as samples of the planes of the image. */
static void fill_of(uint8_t fill[3], rq_pixels pixels, const float rgb[3])
{
    const double r = 255 * (double)rgb[0], g = 255 * (double)rgb[1], b = 255 * (double)rgb[2];
    if (pixels == RQ_PIXELS_RGB) {
        for (int c = 0; c < 3; c++)
            fill[c] = to_level(255 * (double)rgb[c]);
        return;
    }
    fill[0] = to_level(0.299 * r + 0.587 * g + 0.114 * b);
    fill[1] = to_level(128 - 0.168735892 * r - 0.331264108 * g + 0.5 * b);
    fill[2] = to_level(128 + 0.5 * r - 0.418687589 * g - 0.081312411 * b);
}

static rq_status build_taps(work *k, int plane, int sub_x, int sub_y, rq_err *err)
{
    rq_view_maker *m = k->m;
    const rq_recipe *r = &m->recipe;
    const rq_view_params *p = k->p;
    const rq_window *win = &k->window[plane];
    rq_taps *taps = m->taps[plane > 0];
    const rq_span across = {(double)p->x / sub_x - win->x, (double)p->w / sub_x, win->w};
    const rq_span down = {(double)p->y / sub_y - win->y, (double)p->h / sub_y, win->h};
    RQ_TRY(rq_taps_build(&taps[0], &m->cubic, RQ_ACROSS, r->filter, r->antialias, across,
                         k->size, p->flip, err));
    return rq_taps_build(&taps[1], &m->cubic, RQ_DOWN, r->filter, r->antialias, down, k->size,
                         false, err);
}

static rq_status make_ring(work *k, int plane, rq_err *err)
{
    rq_ring *ring = &k->m->ring[plane];
    const size_t rows = ring_rows(&k->taps[plane][1], k->block_rows);
    size_t samples;
    ring->stride = rq_round_up((size_t)k->size, RQ_TAPS_LANES);
    ring->mask = rows - 1;
    if (!rq_mul_size(&samples, rows, ring->stride))
        return rq_fail(err, RQ_LIMIT, "view: a filter over %zu rows is too large", rows);
    return rq_grow((void **)&ring->rows, &k->m->ring_cap[plane], samples, sizeof *ring->rows,
                   err);
}

static rq_status plan_crop(work *k, const rq_image *image, const rq_image *mask, rq_err *err)
{
    const int planes = rq_pixels_planes(image->pixels);
    const bool shared = image->sub_x == 1 && image->sub_y == 1;
    const float threshold = k->m->recipe.mask_threshold * 255.0f;
    uint8_t fill[3];
    fill_of(fill, image->pixels, k->p->fill);
    for (int c = 0; c < planes; c++)
        k->window[c] = window_of(&image->plane[c], k->p, c == 0 ? 1 : image->sub_x,
                                 c == 0 ? 1 : image->sub_y);
    // Planes of equal sampling share their axes and the mask.
    for (int c = 0, end; c < planes; c = end) {
        end = shared ? planes : c == 0 ? 1 : planes;
        RQ_TRY(build_taps(k, c, c == 0 ? 1 : image->sub_x, c == 0 ? 1 : image->sub_y, err));
        for (int i = c; i < end; i++) {
            k->taps[i] = k->m->taps[c > 0];
            RQ_TRY(make_ring(k, i, err));
        }
        if (k->p->masked)
            RQ_TRY(rq_cutout_make(&k->m->cutout, &k->m->k, c, end, image, mask, threshold, fill,
                                  k->window, err));
    }
    return RQ_OK;
}

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

static void plan_colours(work *k)
{
    const rq_view_params *p = k->p;
    const float threshold = k->m->recipe.preset[p->preset % 2].solarize_threshold;
    add_step(k, k->pixels == RQ_PIXELS_YCBCR ? RQ_STEP_YCC : RQ_STEP_RECENTRE);
    for (int i = 0; p->jitter && i < 4; i++)
        add_jitter(k, p->order[i]);
    if (p->gray)
        add_step(k, RQ_STEP_GRAY);
    if (p->sigma > 0)
        k->radius = rq_blur_weights(k->blur_weight, rq_recipe_blur_radius(k->size), p->sigma);
    k->solarize =
        (rq_step){.op = RQ_STEP_SOLARIZE, .a = {nearest((double)threshold * RQ_WHITE)}};
    if (p->solarize && k->radius == 0)
        k->step[k->steps++] = k->solarize;
    while (k->contrast < k->steps && k->step[k->contrast].op != RQ_STEP_CONTRAST)
        k->contrast++;
    k->whole = k->contrast < k->steps || k->radius > 0;
}

/* ---- passes ---------------------------------------------------------------------------- */

/* Rows [from, to) of a plane's window, resized across into its ring. */
static void fill_ring(const work *k, int plane, int from, int to)
{
    const rq_window *win = &k->window[plane];
    const rq_ring *ring = &k->m->ring[plane];
    while (from < to) {
        const size_t slot = (size_t)from & ring->mask, left = ring->mask + 1 - slot;
        const int rows = (size_t)(to - from) < left ? to - from : (int)left;
        k->m->k.resize_h(ring->rows + slot * ring->stride, ring->stride,
                         win->data + (size_t)from * win->stride, win->stride, rows,
                         &k->taps[plane][0]);
        from += rows;
    }
}

/* Rows [y, y + rows) of one plane of the view. Each row of the window that any of them needs is
 * resized across once; those between that none needs are left out. */
static void resize_block(work *k, int plane, int16_t *dst, int y, int rows)
{
    const rq_taps *down = &k->taps[plane][1];
    int *done = &k->done[plane], from = *done, to = *done;
    for (int r = 0; r < rows; r++) {
        const int first = down->first[y + r], end = first + down->taps;
        if (first > to) {
            fill_ring(k, plane, from, to);
            from = first;
        }
        to = end > to ? end : to;
    }
    fill_ring(k, plane, from, to);
    *done = to;
    for (int r = 0; r < rows; r++)
        k->m->k.resize_v(dst + (size_t)r * (size_t)k->size, &k->m->ring[plane], down, y + r,
                         k->size);
}

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
            resize_block(k, c, x[c], y, rows);
        f->colour(x, n, k->step + begin, end - begin, end < k->steps ? sum : NULL);
        if (end == k->steps && k->radius == 0)
            f->store(k->dst + 3 * at, x[0], x[1], x[2], n);
    }
    const int64_t pixels = (int64_t)(size * size);
    for (int c = 0; c < 3 && end < k->steps; c++)
        k->step[end].a[c] = (int)((sum[c] + pixels / 2) / pixels);
}

/* One row of one channel, blurred vertically; zeros lie outside. */
static void blur_down(const work *k, int channel, int y, int16_t *dst)
{
    const int16_t *low[RQ_BLUR_MAX_RADIUS + 1], *high[RQ_BLUR_MAX_RADIUS + 1];
    const rq_view_maker *m = k->m;
    const int16_t *src = m->plane[channel] + (ptrdiff_t)y * k->size;
    for (int i = 1; i <= k->radius; i++) {
        low[i] = y - i >= 0 ? src - (ptrdiff_t)i * k->size : m->zero;
        high[i] = y + i < k->size ? src + (ptrdiff_t)i * k->size : m->zero;
    }
    m->k.blur_line(dst, src, low, high, k->blur_weight, k->radius, k->size);
}

/* The same row horizontally; zeros stand to its left and right. */
static void blur_across(const work *k, const int16_t *row, int16_t *dst)
{
    const int16_t *low[RQ_BLUR_MAX_RADIUS + 1], *high[RQ_BLUR_MAX_RADIUS + 1];
    for (int i = 1; i <= k->radius; i++) {
        low[i] = row - i;
        high[i] = row + i;
    }
    k->m->k.blur_line(dst, row, low, high, k->blur_weight, k->radius, k->size);
}

static void blur_pass(work *k)
{
    rq_view_maker *m = k->m;
    const size_t size = (size_t)k->size, stride = blur_stride(k->size);
    memset(m->blur_rows, 0, sizeof *m->blur_rows * 3 * BLUR_ROWS * stride);
    for (int y = 0; y < k->size; y += BLUR_ROWS) {
        const int rows = k->size - y < BLUR_ROWS ? k->size - y : BLUR_ROWS;
        int16_t *x[3];
        // A few rows one way, then the other: what was just written is not read at once.
        for (int c = 0; c < k->channels; c++) {
            int16_t *row = m->blur_rows + (size_t)(c * BLUR_ROWS) * stride + BLUR_MARGIN;
            for (int r = 0; r < rows; r++)
                blur_down(k, c, y + r, row + (size_t)r * stride);
        }
        for (int c = 0; c < k->channels; c++) {
            const int16_t *row = m->blur_rows + (size_t)(c * BLUR_ROWS) * stride + BLUR_MARGIN;
            for (int r = 0; r < rows; r++)
                blur_across(k, row + (size_t)r * stride, m->blurred[c] + (size_t)r * size);
        }
        channels_at(k, x, m->blurred, 0);
        if (k->p->solarize)
            m->k.colour(x, (size_t)rows * size, &k->solarize, 1, NULL);
        m->k.store(k->dst + 3 * (size_t)y * size, x[0], x[1], x[2], (size_t)rows * size);
    }
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
    return RQ_OK;
}

rq_status rq_view_make(rq_view_maker *m, const rq_image *image, const rq_image *mask,
                       const rq_view_params *p, uint8_t *dst, rq_err *err)
{
    RQ_TRY(check(m, image, mask, p, err));
    const int size = m->recipe.group[p->group].size;
    work k = {.m = m,
              .p = p,
              .pixels = image->pixels,
              .size = size,
              .block_rows = rows_of_a_block(size),
              .channels = rq_pixels_planes(image->pixels),
              .dst = dst};
    RQ_TRY(plan_crop(&k, image, mask, err));
    plan_colours(&k);
    colour_pass(&k, true);
    if (k.contrast < k.steps)
        colour_pass(&k, false);
    if (p->gray)
        k.channels = 1;
    if (k.radius > 0)
        blur_pass(&k);
    return RQ_OK;
}
