// SPDX-License-Identifier: Apache-2.0
//
// Masks at work: between a small soft map and the planes of a picture. Only the samples of the
// crop's window are looked at; the picture itself is never written, so other views of it are
// unaffected.
#include "augment/cutout.h"
#include "augment/view.h"

#include <math.h>

bool rq_mask_usable(const rq_recipe *r, const rq_image *mask)
{
    const rq_plane *p = &mask->plane[0];
    const float threshold = r->mask_threshold * 255.0f;
    uint64_t above = 0;
    for (int y = 0; y < p->height; y++) {
        const uint8_t *row = p->data + (size_t)y * p->stride;
        for (int x = 0; x < p->width; x++)
            above += (float)row[x] > threshold;
    }
    const double cover = (double)above / ((double)p->width * p->height);
    return cover >= (double)r->mask_min_cover && cover <= (double)r->mask_max_cover;
}

/* The mask column (or row) left of a sample's centre, and how far the centre is beyond it.
 * `at` counts samples of `sub` picture pixels; `length` is the picture's side in pixels. */
static int mask_place(float *frac, int at, int sub, int length, int mask_length)
{
    const double place = (at + 0.5) * sub * mask_length / length - 0.5;
    if (place <= 0 || place >= mask_length - 1) {
        *frac = 0;
        return place <= 0 ? 0 : mask_length - 1;
    }
    const double base = floor(place);
    *frac = (float)(place - base);
    return (int)base;
}

/* Interpolates mask rows into c->line, with the last column repeated behind the end. */
static void mask_line(rq_cutout *c, const rq_plane *mask, int row, float frac)
{
    const uint8_t *a = mask->data + (size_t)row * mask->stride;
    const uint8_t *b = row + 1 < mask->height ? a + mask->stride : a;
    for (int x = 0; x < mask->width; x++)
        c->line[x] = (float)a[x] + ((float)b[x] - (float)a[x]) * frac;
    c->line[mask->width] = c->line[mask->width - 1];
}

static rq_status make_room(rq_cutout *c, int plane, int end, const rq_window *window,
                           const rq_plane *mask, rq_err *err)
{
    const size_t w = (size_t)window->w, line = (size_t)mask->width + RQ_MASK_SLACK;
    size_t bytes;
    if (!rq_mul_size(&bytes, rq_round_up(w, RQ_ALIGN), (size_t)window->h))
        return rq_fail(err, RQ_LIMIT, "mask: a window of %dx%d is too large", window->w,
                       window->h);
    for (int i = plane; i < end; i++)
        RQ_TRY(rq_grow((void **)&c->copy[i], &c->copy_cap[i], bytes, 1, err));
    RQ_TRY(rq_grow((void **)&c->first, &c->first_cap, w, sizeof *c->first, err));
    RQ_TRY(rq_grow((void **)&c->frac, &c->frac_cap, w, sizeof *c->frac, err));
    RQ_TRY(rq_grow((void **)&c->front, &c->front_cap, w, 1, err));
    return rq_grow((void **)&c->line, &c->line_cap, line, sizeof *c->line, err);
}

rq_status rq_cutout_make(rq_cutout *c, const rq_kernels *k, int plane, int end,
                         const rq_image *image, const rq_image *mask, float threshold,
                         const uint8_t fill[3], rq_window window[3], rq_err *err)
{
    const rq_plane *m = &mask->plane[0];
    const rq_window win = window[plane];
    const size_t stride = rq_round_up((size_t)win.w, RQ_ALIGN);
    const int sub_x = plane == 0 ? 1 : image->sub_x, sub_y = plane == 0 ? 1 : image->sub_y;
    RQ_TRY(make_room(c, plane, end, &win, m, err));
    for (int x = 0; x < win.w; x++)
        c->first[x] = mask_place(&c->frac[x], win.x + x, sub_x, image->width, m->width);
    for (int y = 0; y < win.h; y++) {
        float frac;
        const int row = mask_place(&frac, win.y + y, sub_y, image->height, m->height);
        mask_line(c, m, row, frac);
        k->mask_row(c->front, c->line, c->first, c->frac, threshold, win.w);
        for (int i = plane; i < end; i++)
            k->cut_row(c->copy[i] + (size_t)y * stride,
                       window[i].data + (size_t)y * window[i].stride, c->front, fill[i], win.w);
    }
    for (int i = plane; i < end; i++) {
        window[i].data = c->copy[i];
        window[i].stride = stride;
    }
    return RQ_OK;
}

void rq_cutout_free(rq_cutout *c)
{
    for (int i = 0; i < 3; i++)
        rq_free(c->copy[i]);
    rq_free(c->line);
    rq_free(c->frac);
    rq_free(c->first);
    rq_free(c->front);
    *c = (rq_cutout){0};
}
