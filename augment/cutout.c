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

static rq_status make_room(rq_cutout *c, int plane, const rq_window *window,
                           const rq_plane *mask, rq_err *err)
{
    const size_t w = (size_t)window->w;
    RQ_TRY(
        rq_grow((void **)&c->copy[plane], &c->copy_cap[plane], w * (size_t)window->h, 1, err));
    RQ_TRY(rq_grow((void **)&c->first, &c->first_cap, w, sizeof *c->first, err));
    RQ_TRY(rq_grow((void **)&c->frac, &c->frac_cap, w, sizeof *c->frac, err));
    return rq_grow((void **)&c->line, &c->line_cap, (size_t)mask->width + 1, sizeof *c->line,
                   err);
}

rq_status rq_cutout_make(rq_cutout *c, const rq_kernels *k, int plane, const rq_image *image,
                         const rq_image *mask, float threshold, uint8_t fill, rq_window *window,
                         rq_err *err)
{
    const rq_plane *m = &mask->plane[0];
    const int sub_x = plane == 0 ? 1 : image->sub_x, sub_y = plane == 0 ? 1 : image->sub_y;
    RQ_TRY(make_room(c, plane, window, m, err));
    for (int x = 0; x < window->w; x++)
        c->first[x] = mask_place(&c->frac[x], window->x + x, sub_x, image->width, m->width);
    for (int y = 0; y < window->h; y++) {
        float frac;
        const int row = mask_place(&frac, window->y + y, sub_y, image->height, m->height);
        mask_line(c, m, row, frac);
        k->mask_row(c->copy[plane] + (size_t)y * (size_t)window->w,
                    window->data + (size_t)y * window->stride, c->line, c->first, c->frac,
                    threshold, fill, window->w);
    }
    window->data = c->copy[plane];
    window->stride = (size_t)window->w;
    return RQ_OK;
}

void rq_cutout_free(rq_cutout *c)
{
    for (int i = 0; i < 3; i++)
        rq_free(c->copy[i]);
    rq_free(c->line);
    rq_free(c->frac);
    rq_free(c->first);
    *c = (rq_cutout){0};
}
