// SPDX-License-Identifier: Apache-2.0
// Storage of decoded pictures. One block holds all planes of a picture and is only ever grown,
// so that a thread decodes a whole dataset without allocating. Sizes come from file headers:
// every product and sum is checked before anything is allocated.
#include "ingest/image.h"

#include <string.h>

int rq_pixels_planes(rq_pixels pixels)
{
    return pixels == RQ_PIXELS_NONE ? 0 : pixels == RQ_PIXELS_GRAY ? 1 : 3;
}

static bool pad_to(size_t *out, int n, int pad)
{
    const size_t mask = (size_t)pad - 1;
    if (!rq_add_size(out, (size_t)n, mask))
        return false;
    *out &= ~mask;
    return true;
}

/* Bytes of one plane with its padding; sets its width, height and stride. */
static bool plane_layout(rq_plane *p, int width, int height, int pad, size_t *bytes)
{
    size_t columns, rows;
    if (!pad_to(&columns, width, pad) || !pad_to(&rows, height, pad))
        return false;
    p->width = width;
    p->height = height;
    p->stride = rq_round_up(columns, RQ_ALIGN);
    return rq_mul_size(bytes, p->stride, rows);
}

rq_status rq_image_shape(rq_image *img, rq_pixels pixels, int width, int height, int sub_x,
                         int sub_y, int pad, rq_err *err)
{
    const int planes = rq_pixels_planes(pixels);
    if (width <= 0 || height <= 0 || sub_x <= 0 || sub_y <= 0)
        return rq_fail(err, RQ_LIMIT, "a picture of %d x %d pixels has no content", width,
                       height);
    if (planes == 0 || pad <= 0 || (pad & (pad - 1)) != 0)
        return rq_fail(err, RQ_INVALID_ARG,
                       "picture of pixel kind %d cannot be padded to %d samples", (int)pixels,
                       pad);
    rq_plane shape[3] = {{0}};
    size_t offset[3] = {0}, total = 0;
    for (int i = 0; i < planes; i++) {
        const int w = i == 0 ? width : (width - 1) / sub_x + 1;
        const int h = i == 0 ? height : (height - 1) / sub_y + 1;
        size_t bytes;
        offset[i] = total;
        if (!plane_layout(&shape[i], w, h, pad, &bytes) || !rq_add_size(&total, total, bytes))
            return rq_fail(err, RQ_LIMIT, "a picture of %d x %d pixels is too large", width,
                           height);
    }
    if (total > img->storage_bytes) {
        rq_free(img->storage);
        img->storage_bytes = 0;
        img->storage = rq_alloc(total, 1);
        if (img->storage == NULL) {
            memset(img, 0, sizeof *img);
            return rq_fail(err, RQ_OOM, "no memory for a picture of %d x %d pixels (%zu bytes)",
                           width, height, total);
        }
        img->storage_bytes = total;
    }
    for (int i = 0; i < planes; i++)
        shape[i].data = img->storage + offset[i];
    memcpy(img->plane, shape, sizeof shape);
    img->pixels = pixels;
    img->width = width;
    img->height = height;
    img->sub_x = sub_x;
    img->sub_y = sub_y;
    return RQ_OK;
}

void rq_image_free(rq_image *img)
{
    if (img == NULL)
        return;
    rq_free(img->storage);
    memset(img, 0, sizeof *img);
}

static uint8_t clip8(int v)
{
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

void rq_ycbcr_to_rgb(uint8_t dst[3], int y, int cb, int cr)
{
    enum { HALF = 1 << 15, R_CR = 91881, B_CB = 116130, G_CB = 22554, G_CR = 46802 };
    cb -= 128;
    cr -= 128;
    dst[0] = clip8(y + ((R_CR * cr + HALF) >> 16));
    dst[1] = clip8(y + ((-G_CB * cb - G_CR * cr + HALF) >> 16));
    dst[2] = clip8(y + ((B_CB * cb + HALF) >> 16));
}

void rq_image_to_rgb(const rq_image *img, uint8_t *dst)
{
    const rq_plane *p = img->plane;
    const bool gray = img->pixels == RQ_PIXELS_GRAY;
    for (int y = 0; y < img->height; y++) {
        const uint8_t *a = p[0].data + (size_t)y * p[0].stride;
        const uint8_t *b = gray ? a : p[1].data + (size_t)(y / img->sub_y) * p[1].stride;
        const uint8_t *c = gray ? a : p[2].data + (size_t)(y / img->sub_y) * p[2].stride;
        for (int x = 0; x < img->width; x++, dst += 3) {
            const int xc = gray ? x : x / img->sub_x;
            if (img->pixels == RQ_PIXELS_YCBCR) {
                rq_ycbcr_to_rgb(dst, a[x], b[xc], c[xc]);
            } else {
                dst[0] = a[x];
                dst[1] = b[xc];
                dst[2] = c[xc];
            }
        }
    }
}
