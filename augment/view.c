// SPDX-License-Identifier: Apache-2.0
//
// Makes the pixels of one view from drawn parameters: crop and resize of each component plane
// at its own resolution (the flip is folded into the filter), RGB, colour operations, blur,
// solarise, bytes. The working picture is planar float and small enough to stay in the
// second-level cache.
#include "augment/view.h"
#include "augment/cutout.h"
#include "augment/kernels.h"
#include "ingest/resample.h"

#include <math.h>
#include <string.h>

struct rq_view_maker {
    rq_recipe recipe;
    rq_kernels k;
    float *plane[4]; /* red, green, blue, spare; swapped about by the blur */
    float *blur_row, *zero;
    rq_axis axis[2][2]; /* [luma, chroma][x, y] */
    float *line;        /* one vertically resized row of the window */
    const uint8_t **rows;
    float *row_weight;
    size_t line_cap, rows_cap, row_weight_cap;
    rq_cutout cutout;
};

static int largest_size(const rq_recipe *r)
{
    int s = 0;
    for (int g = 0; g < RQ_MAX_GROUPS; g++)
        if (r->group[g].views > 0 && r->group[g].size > s)
            s = r->group[g].size;
    return s;
}

size_t rq_view_maker_memory(const rq_recipe *r, int width, int height)
{
    const size_t side = (size_t)largest_size(r), w = (size_t)width, h = (size_t)height;
    size_t bytes = sizeof(rq_view_maker) + 4 * side * side * sizeof(float);
    bytes += (4 * side + w) * sizeof(float);
    if (r->p_mask > 0)
        bytes += w * h * 3 + w * 2 * sizeof(float);
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
    for (int i = 0; i < 4; i++)
        ok = (m->plane[i] = rq_alloc(side * side, sizeof(float))) && ok;
    m->blur_row = rq_alloc(2 * side, sizeof(float));
    m->zero = rq_calloc(side, sizeof(float));
    if (!ok || !m->blur_row || !m->zero) {
        rq_view_maker_destroy(&m);
        return rq_fail(err, RQ_OOM, "view maker: no memory for views of %zu pixels", side);
    }
    *out = m;
    return RQ_OK;
}

void rq_view_maker_destroy(rq_view_maker **maker)
{
    rq_view_maker *m = *maker;
    if (!m)
        return;
    for (int i = 0; i < 4; i++)
        rq_free(m->plane[i]);
    rq_free(m->blur_row);
    rq_free(m->zero);
    for (int i = 0; i < 4; i++)
        rq_axis_free(&m->axis[i / 2][i % 2]);
    rq_free(m->line);
    rq_free(m->rows);
    rq_free(m->row_weight);
    rq_cutout_free(&m->cutout);
    rq_free(m);
    *maker = NULL;
}

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

/* The fill colour as a sample of a plane of the image. */
static uint8_t fill_of(const rq_image *image, int plane, const float rgb[3])
{
    const double r = 255 * (double)rgb[0], g = 255 * (double)rgb[1], b = 255 * (double)rgb[2];
    if (image->pixels == RQ_PIXELS_RGB)
        return to_level(255 * (double)rgb[plane]);
    if (plane == 0)
        return to_level(0.299 * r + 0.587 * g + 0.114 * b);
    if (plane == 1)
        return to_level(128 - 0.168735892 * r - 0.331264108 * g + 0.5 * b);
    return to_level(128 + 0.5 * r - 0.418687589 * g - 0.081312411 * b);
}

static rq_status build_axes(rq_view_maker *m, rq_axis axis[2], const rq_view_params *p,
                            const rq_window *win, int sub_x, int sub_y, int size, rq_err *err)
{
    const rq_recipe *r = &m->recipe;
    const rq_span across = {(double)p->x / sub_x - win->x, (double)p->w / sub_x, win->w};
    const rq_span down = {(double)p->y / sub_y - win->y, (double)p->h / sub_y, win->h};
    RQ_TRY(rq_axis_build(&axis[0], r->filter, r->antialias, across, size, p->flip, err));
    RQ_TRY(rq_axis_build(&axis[1], r->filter, r->antialias, down, size, false, err));
    const size_t taps = (size_t)axis[1].taps;
    RQ_TRY(rq_grow((void **)&m->line, &m->line_cap, (size_t)win->w, sizeof *m->line, err));
    RQ_TRY(rq_grow((void **)&m->rows, &m->rows_cap, taps, sizeof *m->rows, err));
    return rq_grow((void **)&m->row_weight, &m->row_weight_cap, taps, sizeof *m->row_weight,
                   err);
}

static void resize_plane(rq_view_maker *m, const rq_axis axis[2], const rq_window *win,
                         float *dst)
{
    const rq_axis *ax = &axis[0], *ay = &axis[1];
    for (int o = 0; o < ay->outputs; o++) {
        for (int t = 0; t < ay->taps; t++) {
            m->rows[t] = win->data + (size_t)(ay->first[o] + t) * win->stride;
            m->row_weight[t] = ay->weight[(size_t)t * (size_t)ay->outputs + (size_t)o];
        }
        m->k.resize_v(m->line, m->rows, m->row_weight, ay->taps, win->w);
        m->k.resize_h(dst + (size_t)o * (size_t)ax->outputs, m->line, ax->first, ax->weight,
                      ax->taps, ax->outputs);
    }
}

static rq_status crop(rq_view_maker *m, const rq_image *image, const rq_image *mask,
                      const rq_view_params *p, int size, rq_err *err)
{
    const float threshold = m->recipe.mask_threshold * 255.0f;
    for (int c = 0; c < rq_pixels_planes(image->pixels); c++) {
        const int sub_x = c == 0 ? 1 : image->sub_x, sub_y = c == 0 ? 1 : image->sub_y;
        const int chroma = sub_x > 1 || sub_y > 1;
        rq_window win = window_of(&image->plane[c], p, sub_x, sub_y);
        // Planes of equal sampling share their axes.
        if (c == 0 || (c == 1 && chroma))
            RQ_TRY(build_axes(m, m->axis[chroma], p, &win, sub_x, sub_y, size, err));
        if (p->masked)
            RQ_TRY(rq_cutout_make(&m->cutout, &m->k, c, image, mask, threshold,
                                  fill_of(image, c, p->fill), &win, err));
        resize_plane(m, m->axis[chroma], &win, m->plane[c]);
    }
    return RQ_OK;
}

static void to_rgb(rq_view_maker *m, rq_pixels pixels, size_t n)
{
    if (pixels == RQ_PIXELS_YCBCR) {
        m->k.ycc_to_rgb(m->plane[0], m->plane[1], m->plane[2], n);
        return;
    }
    for (int c = 0; c < rq_pixels_planes(pixels); c++)
        m->k.to_unit(m->plane[c], n);
    if (pixels == RQ_PIXELS_GRAY) {
        memcpy(m->plane[1], m->plane[0], n * sizeof(float));
        memcpy(m->plane[2], m->plane[0], n * sizeof(float));
    }
}

static void jitter(rq_view_maker *m, const rq_view_params *p, size_t n)
{
    float *const *x = m->plane;
    for (int i = 0; i < 4; i++) {
        switch (p->order[i]) {
        case RQ_JITTER_BRIGHTNESS:
            for (int c = 0; c < 3; c++)
                m->k.brightness(x[c], n, p->brightness);
            break;
        case RQ_JITTER_CONTRAST:
            for (int c = 0; c < 3; c++)
                m->k.contrast(x[c], n, (float)(m->k.sum(x[c], n) / (double)n), p->contrast);
            break;
        case RQ_JITTER_SATURATION:
            m->k.saturation(x[0], x[1], x[2], n, p->saturation);
            break;
        default:
            m->k.hue(x[0], x[1], x[2], n, p->hue);
            break;
        }
    }
}

static void blur(rq_view_maker *m, float sigma, int size)
{
    float weights[RQ_BLUR_MAX_RADIUS + 1];
    const int radius = rq_blur_weights(weights, rq_recipe_blur_radius(size), sigma);
    for (int c = 0; c < 3; c++) {
        m->k.blur(m->plane[3], m->plane[c], size, weights, radius, m->blur_row, m->zero);
        float *const done = m->plane[3];
        m->plane[3] = m->plane[c];
        m->plane[c] = done;
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
    const size_t n = (size_t)size * (size_t)size;
    RQ_TRY(crop(m, image, mask, p, size, err));
    to_rgb(m, image->pixels, n);
    if (p->jitter)
        jitter(m, p, n);
    if (p->gray)
        m->k.gray(m->plane[0], m->plane[1], m->plane[2], n);
    if (p->sigma > 0)
        blur(m, p->sigma, size);
    if (p->solarize)
        for (int c = 0; c < 3; c++)
            m->k.solarize(m->plane[c], n, m->recipe.preset[p->preset % 2].solarize_threshold);
    m->k.store(dst, m->plane[0], m->plane[1], m->plane[2], n);
    return RQ_OK;
}
