// SPDX-License-Identifier: Apache-2.0
//
// Crop and resize. Rows are resized across first, straight from the bytes, into a ring that
// holds what a block of output rows needs, so that every row of the picture is touched once
// although neighbouring outputs share it.
#include "augment/crop.h"

#include <math.h>

rq_status rq_crop_init(rq_crop *c, rq_err *err)
{
    *c = (rq_crop){0};
    return rq_cubic_init(&c->cubic, err);
}

void rq_crop_free(rq_crop *c)
{
    for (int i = 0; i < 4; i++)
        rq_taps_free(&c->taps[i / 2][i % 2]);
    for (int i = 0; i < 3; i++)
        rq_free(c->ring[i].rows);
    rq_cutout_free(&c->cutout);
}

size_t rq_crop_memory(int size, int block_rows, int width, int height, bool masks)
{
    const size_t side = (size_t)size + RQ_TAPS_LANES, w = (size_t)width, h = (size_t)height;
    // A block of outputs and the taps around it, to a power of two, grown by doubling.
    const size_t rows = (h + (size_t)size - 1) / (size_t)size * (size_t)block_rows + 8;
    size_t bytes = 3 * 4 * rows * side * sizeof(int16_t);
    bytes += 4 * 3 * 2 * side * sizeof(uint32_t);
    if (masks)
        bytes += 2 * ((w + RQ_ALIGN) * (h * 3 + 9) + RQ_MASK_SLACK * sizeof(float));
    return bytes;
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

static rq_status build_taps(rq_taps taps[2], const rq_crop *c, const rq_recipe *r,
                            const rq_window *win, const rq_view_params *p, int sub_x, int sub_y,
                            int size, rq_err *err)
{
    const rq_span across = {(double)p->x / sub_x - win->x, (double)p->w / sub_x, win->w};
    const rq_span down = {(double)p->y / sub_y - win->y, (double)p->h / sub_y, win->h};
    RQ_TRY(rq_taps_build(&taps[0], &c->cubic, RQ_ACROSS, r->filter, r->antialias, across, size,
                         p->flip, err));
    return rq_taps_build(&taps[1], &c->cubic, RQ_DOWN, r->filter, r->antialias, down, size,
                         false, err);
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

static rq_status make_ring(rq_crop *c, int plane, int block_rows, rq_err *err)
{
    rq_ring *ring = &c->ring[plane];
    const size_t rows = ring_rows(&c->axes[plane][1], block_rows);
    size_t samples;
    ring->stride = (size_t)c->axes[plane][0].stride;
    ring->mask = rows - 1;
    if (!rq_mul_size(&samples, rows, ring->stride))
        return rq_fail(err, RQ_LIMIT, "view: a filter over %zu rows is too large", rows);
    return rq_grow((void **)&ring->rows, &c->ring_cap[plane], samples, sizeof *ring->rows, err);
}

rq_status rq_crop_begin(rq_crop *c, const rq_kernels *k, const rq_recipe *r,
                        const rq_image *image, const rq_image *mask, const rq_view_params *p,
                        int size, int chroma_size, int block_rows, rq_err *err)
{
    const int planes = rq_pixels_planes(image->pixels);
    const bool shared = image->sub_x == 1 && image->sub_y == 1;
    uint8_t fill[3];
    fill_of(fill, image->pixels, p->fill);
    c->k = k;
    for (int i = 0; i < planes; i++) {
        c->window[i] = window_of(&image->plane[i], p, i == 0 ? 1 : image->sub_x,
                                 i == 0 ? 1 : image->sub_y);
        c->done[i] = 0;
        c->axes[i] = c->taps[i > 0 && !(shared && size == chroma_size)];
    }
    for (int i = 0; i < planes; i++) {
        // Planes of equal sampling share their axes and the mask.
        if (i == 0 || (i == 1 && c->axes[1] != c->axes[0]))
            RQ_TRY(build_taps(c->taps[i], c, r, &c->window[i], p, i == 0 ? 1 : image->sub_x,
                              i == 0 ? 1 : image->sub_y, i == 0 ? size : chroma_size, err));
        RQ_TRY(make_ring(c, i, block_rows, err));
    }
    for (int i = 0, end; p->masked && i < planes; i = end) {
        end = shared || i > 0 ? planes : 1;
        RQ_TRY(rq_cutout_make(&c->cutout, k, i, end, image, mask, r->mask_threshold * 255.0f,
                              fill, c->window, err));
    }
    return RQ_OK;
}

/* Rows [from, to) of a plane's window, resized across into its ring. */
static void fill_ring(const rq_crop *c, int plane, int from, int to)
{
    const rq_window *win = &c->window[plane];
    const rq_ring *ring = &c->ring[plane];
    while (from < to) {
        const size_t slot = (size_t)from & ring->mask, left = ring->mask + 1 - slot;
        const int rows = (size_t)(to - from) < left ? to - from : (int)left;
        c->k->resize_h(ring->rows + slot * ring->stride, ring->stride,
                       win->data + (size_t)from * win->stride, win->stride, rows,
                       &c->axes[plane][0]);
        from += rows;
    }
}

/* Each row of the window that any of the block's rows needs is resized across once; those
 * between that none needs are left out. */
void rq_crop_rows(rq_crop *c, int plane, int16_t *dst, int y, int rows)
{
    const rq_taps *across = &c->axes[plane][0], *down = &c->axes[plane][1];
    int from = c->done[plane], to = from;
    for (int r = 0; r < rows; r++) {
        const int first = down->first[y + r], end = first + down->taps;
        if (first > to) {
            fill_ring(c, plane, from, to);
            from = to = first;
        }
        to = end > to ? end : to;
    }
    fill_ring(c, plane, from, to);
    c->done[plane] = to;
    for (int r = 0; r < rows; r++)
        c->k->resize_v(dst + (size_t)r * (size_t)across->outputs, &c->ring[plane], down, y + r,
                       across->outputs);
}

double rq_crop_mean(const rq_crop *c, int plane)
{
    enum { STEP = 4 };
    const rq_window *win = &c->window[plane];
    uint64_t sum = 0;
    int rows = 0;
    for (int y = 0; y < win->h; y += STEP, rows++)
        sum += c->k->sum_bytes(win->data + (size_t)y * win->stride, win->w);
    return (double)sum / ((double)rows * win->w);
}
