// SPDX-License-Identifier: Apache-2.0
// Turning planes. Every orientation is a choice of three: mirror the source's columns, mirror
// its rows, exchange the two. Exchanging goes block by block, so that reads and writes both
// stay within a few cache lines.
#include "ingest/orient.h"

#include <string.h>

enum { BLOCK = 32 };

typedef struct turn {
    bool mirror_x, mirror_y; // of the source
    bool swap;
} turn;

static turn turn_of(int orientation)
{
    const unsigned bit = 1u << orientation;
    return (turn){.mirror_x = (bit & (1u << 2 | 1u << 3 | 1u << 7 | 1u << 8)) != 0,
                  .mirror_y = (bit & (1u << 3 | 1u << 4 | 1u << 6 | 1u << 7)) != 0,
                  .swap = orientation >= 5};
}

bool rq_orientation_swaps(int orientation)
{
    return orientation >= 5;
}

static void mirror_plane(const rq_plane *src, const rq_plane *dst, turn t)
{
    const size_t w = (size_t)src->width;
    for (int y = 0; y < dst->height; y++) {
        const int row = t.mirror_y ? src->height - 1 - y : y;
        const uint8_t *from = src->data + (size_t)row * src->stride;
        uint8_t *to = dst->data + (size_t)y * dst->stride;
        if (!t.mirror_x)
            memcpy(to, from, w);
        else
            for (size_t x = 0; x < w; x++)
                to[x] = from[w - 1 - x];
    }
}

/* Destination samples [x, x1) of row y. */
static void swap_run(const rq_plane *src, const rq_plane *dst, turn t, int y, int x, int x1)
{
    const uint8_t *column = src->data + (t.mirror_x ? src->width - 1 - y : y);
    uint8_t *to = dst->data + (size_t)y * dst->stride;
    for (; x < x1; x++)
        to[x] = column[(size_t)(t.mirror_y ? src->height - 1 - x : x) * src->stride];
}

static void swap_plane(const rq_plane *src, const rq_plane *dst, turn t)
{
    for (int top = 0; top < dst->height; top += BLOCK) {
        const int bottom = dst->height - top < BLOCK ? dst->height : top + BLOCK;
        for (int left = 0; left < dst->width; left += BLOCK) {
            const int right = dst->width - left < BLOCK ? dst->width : left + BLOCK;
            for (int y = top; y < bottom; y++)
                swap_run(src, dst, t, y, left, right);
        }
    }
}

rq_status rq_image_orient(const rq_image *src, int orientation, rq_image *dst, rq_err *err)
{
    if (orientation < 1 || orientation > 8)
        return rq_fail(err, RQ_INVALID_ARG, "%d is no EXIF orientation; there are 1 to 8",
                       orientation);
    const turn t = turn_of(orientation);
    if (t.swap)
        RQ_TRY(rq_image_shape(dst, src->pixels, src->height, src->width, src->sub_y, src->sub_x,
                              1, err));
    else
        RQ_TRY(rq_image_shape(dst, src->pixels, src->width, src->height, src->sub_x, src->sub_y,
                              1, err));
    for (int i = 0; i < rq_pixels_planes(src->pixels); i++) {
        if (t.swap)
            swap_plane(&src->plane[i], &dst->plane[i], t);
        else
            mirror_plane(&src->plane[i], &dst->plane[i], t);
    }
    return RQ_OK;
}

rq_status rq_exif_insert_orientation(rq_buf *jpeg, int orientation, rq_err *err)
{
    uint8_t block[36] = {0xFF, 0xE1, 0, 34, 'E', 'x', 'i', 'f', 0, 0,
                         'M',  'M',  0, 42, 0,   0,   0,   8,   0, 1, // one entry
                         0x01, 0x12, 0, 3,  0,   0,   0,   1};        // orientation, one short
    block[29] = (uint8_t)orientation;
    if (jpeg->size < 4 || jpeg->data[0] != 0xFF || jpeg->data[1] != 0xD8)
        return rq_fail(err, RQ_BAD_FORMAT, "no JPEG to write an orientation into");
    if (orientation == 1)
        return RQ_OK;
    size_t at = 2;
    if (jpeg->size >= 6 && jpeg->data[2] == 0xFF && jpeg->data[3] == 0xE0) {
        const size_t length = (size_t)jpeg->data[4] << 8 | jpeg->data[5];
        at = 4 + length;
        if (length < 2 || at > jpeg->size)
            return rq_fail(err, RQ_BAD_FORMAT, "the JPEG's JFIF block has no sound length");
    }
    RQ_TRY(rq_buf_append(jpeg, NULL, sizeof block, err));
    memmove(jpeg->data + at + sizeof block, jpeg->data + at, jpeg->size - sizeof block - at);
    memcpy(jpeg->data + at, block, sizeof block);
    return RQ_OK;
}
