// SPDX-License-Identifier: Apache-2.0
// libjpeg's smooth chroma interpolation: a triangle filter, 3/4 of the nearer sample and 1/4 of
// the farther one in each halved direction, rounded up and down in turn so that no bias
// remains. Edges repeat their sample; a plane of two columns or fewer is repeated, not
// interpolated.
#include "ingest/upsample.h"

#include <string.h>

static const uint8_t *row_of(const rq_plane *p, int y)
{
    const int last = p->height - 1;
    return p->data + (size_t)(y < 0 ? 0 : y > last ? last : y) * p->stride;
}

/* Luma row y of a plane halved in both directions. */
static void smooth_both(uint8_t *dst, const rq_plane *p, int y, int width)
{
    const uint8_t *near = row_of(p, y / 2), *far = row_of(p, y / 2 + (y % 2 ? 1 : -1));
    const int last = p->width - 1;
    for (int x = 0; x < width; x++) {
        const int c = x / 2, side = c + (x % 2 ? 1 : -1);
        const int other = side < 0 ? 0 : side > last ? last : side;
        const int sum = 3 * (3 * near[c] + far[c]) + 3 * near[other] + far[other];
        dst[x] = (uint8_t)((sum + (x % 2 ? 7 : 8)) >> 4);
    }
}

static void smooth_columns(uint8_t *dst, const uint8_t *src, int last, int width)
{
    for (int x = 0; x < width; x++) {
        const int c = x / 2, side = c + (x % 2 ? 1 : -1);
        const int other = side < 0 ? 0 : side > last ? last : side;
        dst[x] = (uint8_t)((3 * src[c] + src[other] + (x % 2 ? 2 : 1)) >> 2);
    }
}

static void smooth_rows(uint8_t *dst, const rq_plane *p, int y, int width)
{
    const uint8_t *near = row_of(p, y / 2), *far = row_of(p, y / 2 + (y % 2 ? 1 : -1));
    for (int x = 0; x < width; x++)
        dst[x] = (uint8_t)((3 * near[x] + far[x] + (y % 2 ? 2 : 1)) >> 2);
}

/* Luma row y of a chroma plane. */
static void chroma_row(uint8_t *dst, const rq_image *img, int plane, int y)
{
    const rq_plane *p = &img->plane[plane];
    const bool smooth_x = img->sub_x == 2 && p->width > 2;
    if (smooth_x && img->sub_y == 2)
        smooth_both(dst, p, y, img->width);
    else if (smooth_x && img->sub_y == 1)
        smooth_columns(dst, row_of(p, y), p->width - 1, img->width);
    else if (img->sub_x == 1 && img->sub_y == 2)
        smooth_rows(dst, p, y, img->width);
    else
        for (int x = 0; x < img->width; x++)
            dst[x] = row_of(p, y / img->sub_y)[x / img->sub_x];
}

rq_status rq_image_upsample(const rq_image *src, rq_image *dst, rq_err *err)
{
    const rq_pixels pixels = src->pixels == RQ_PIXELS_YCBCR ? RQ_PIXELS_RGB : src->pixels;
    RQ_TRY(rq_image_shape(dst, pixels, src->width, src->height, 1, 1, 1, err));
    for (int y = 0; y < src->height; y++) {
        uint8_t *to[3];
        for (int i = 0; i < rq_pixels_planes(pixels); i++) {
            to[i] = dst->plane[i].data + (size_t)y * dst->plane[i].stride;
            if (i > 0 && src->pixels == RQ_PIXELS_YCBCR)
                chroma_row(to[i], src, i, y);
            else
                memcpy(to[i], src->plane[i].data + (size_t)y * src->plane[i].stride,
                       (size_t)src->width);
        }
        if (src->pixels != RQ_PIXELS_YCBCR)
            continue;
        for (int x = 0; x < src->width; x++) {
            uint8_t rgb[3];
            rq_ycbcr_to_rgb(rgb, to[0][x], to[1][x], to[2][x]);
            for (int i = 0; i < 3; i++)
                to[i][x] = rgb[i];
        }
    }
    return RQ_OK;
}
