// SPDX-License-Identifier: Apache-2.0
// Saliency masks found by name beside a dataset. Each is decoded to grey and averaged down by
// exact area weights in integers, so that a mask has the same bytes on every machine. There is
// no state but the folder's name, hence any thread may ask.
#include "ingest/masks.h"

#include "common/file.h"
#include "ingest/orient.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct rq_masks {
    char *dir;
};

rq_status rq_masks_open(rq_masks **out, const char *dir, rq_err *err)
{
    *out = NULL;
    struct stat st;
    if (stat(dir, &st) != 0)
        return errno == ENOENT || errno == ENOTDIR
                   ? rq_fail(err, RQ_NOT_FOUND,
                             "there is no folder of masks '%s'; check the path", dir)
                   : rq_fail_errno(err, "cannot open the folder of masks '%s'", dir);
    if (!S_ISDIR(st.st_mode))
        return rq_fail(err, RQ_NOT_FOUND, "'%s' is not a folder; give a folder of masks", dir);
    rq_masks *m = rq_calloc(1, sizeof *m);
    if (m != NULL)
        m->dir = rq_strdup(dir);
    if (m == NULL || m->dir == NULL) {
        rq_free(m);
        return rq_fail(err, RQ_OOM, "no memory for the folder of masks");
    }
    *out = m;
    return RQ_OK;
}

void rq_masks_close(rq_masks **m)
{
    if (m == NULL || *m == NULL)
        return;
    rq_free((*m)->dir);
    rq_free(*m);
    *m = NULL;
}

/* Reads DIR/STEM.EXT for the first extension there is; NOT_FOUND when there is none. */
static rq_status read_candidate(const rq_masks *m, const char *stem, int stem_length,
                                rq_buf *file, char *path, size_t path_bytes, rq_err *err)
{
    static const char *const extensions[] = {"png", "pgm", "jpg", "jpeg"};
    for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++) {
        const int n =
            snprintf(path, path_bytes, "%s/%.*s.%s", m->dir, stem_length, stem, extensions[i]);
        struct stat st;
        if (n < 0 || (size_t)n >= path_bytes || stat(path, &st) != 0)
            continue;
        return rq_file_read(path, rq_limits_default().max_file_bytes, file, err);
    }
    return RQ_NOT_FOUND;
}

/* Names come from archives: one that climbs out of the folder has no mask. */
static bool stays_inside(const char *name)
{
    if (name[0] == '/' || strncmp(name, "../", 3) == 0)
        return false;
    return strstr(name, "/../") == NULL;
}

static rq_status find_mask(const rq_masks *m, const char *name, rq_buf *file, char *path,
                           size_t path_bytes, rq_err *err)
{
    if (!stays_inside(name))
        return RQ_NOT_FOUND;
    const char *base = rq_path_base(name);
    const char *dot = strrchr(base, '.');
    const char *end = dot != NULL && dot != base ? dot : base + strlen(base);
    const rq_status s = read_candidate(m, name, (int)(end - name), file, path, path_bytes, err);
    if (s != RQ_NOT_FOUND || base == name)
        return s;
    return read_candidate(m, base, (int)(end - base), file, path, path_bytes, err);
}

/* Output row oy of the area average of src to ow x oh samples. In units of 1 / ow source
 * columns, source column x covers [x ow, (x + 1) ow) and output column o covers
 * [o w, (o + 1) w); rows likewise; all weights of a sample add up to w h. */
static void average_row(uint8_t *dst, const rq_plane *src, size_t oy, size_t ow, size_t oh)
{
    const size_t w = (size_t)src->width, h = (size_t)src->height;
    const size_t top = oy * h, bottom = top + h;
    for (size_t ox = 0; ox < ow; ox++) {
        const size_t left = ox * w, right = left + w;
        uint64_t sum = 0;
        for (size_t y = top / oh; y * oh < bottom; y++) {
            const size_t y0 = y * oh > top ? y * oh : top;
            const size_t y1 = (y + 1) * oh < bottom ? (y + 1) * oh : bottom;
            const uint8_t *row = src->data + y * src->stride;
            uint64_t row_sum = 0;
            for (size_t x = left / ow; x * ow < right; x++) {
                const size_t x0 = x * ow > left ? x * ow : left;
                const size_t x1 = (x + 1) * ow < right ? (x + 1) * ow : right;
                row_sum += (uint64_t)(x1 - x0) * row[x];
            }
            sum += row_sum * (y1 - y0);
        }
        dst[ox] = (uint8_t)((sum + (uint64_t)w * h / 2) / ((uint64_t)w * h));
    }
}

static rq_status write_pgm(rq_buf *dst, const rq_plane *src, rq_err *err)
{
    const size_t w = (size_t)src->width, h = (size_t)src->height;
    const size_t side = w > h ? w : h, most = RQ_MASK_MAX_SIDE;
    size_t ow = w, oh = h;
    if (side > most) {
        ow = (w * most + side / 2) / side;
        oh = (h * most + side / 2) / side;
        ow += ow == 0;
        oh += oh == 0;
    }
    RQ_TRY(rq_buf_printf(dst, err, "P5\n%zu %zu\n255\n", ow, oh));
    const size_t header = dst->size;
    RQ_TRY(rq_buf_append(dst, NULL, ow * oh, err));
    for (size_t y = 0; y < oh; y++)
        average_row(dst->data + header + y * ow, src, y, ow, oh);
    return RQ_OK;
}

/* Shapes may differ by 2 % in aspect: masks are often stored at a reduced, rounded size. */
static bool same_aspect(const rq_image *mask, int width, int height)
{
    const int64_t a = (int64_t)mask->width * height, b = (int64_t)mask->height * width;
    const int64_t difference = a > b ? a - b : b - a;
    return difference * 50 <= b;
}

/* Makes sure that *mask lies like an image of width x height. */
static rq_status lay_like_image(rq_image *mask, int width, int height, int orientation,
                                const char *path, rq_err *err)
{
    if (same_aspect(mask, width, height))
        return RQ_OK;
    if (!rq_orientation_swaps(orientation) || !same_aspect(mask, height, width))
        return rq_fail(
            err, RQ_BAD_FORMAT,
            "mask %s of %d x %d pixels does not have the shape of its image, %d x %d", path,
            mask->width, mask->height, width, height);
    rq_image turned = {0};
    const rq_status s = rq_image_orient(mask, orientation, &turned, err);
    rq_image_free(mask);
    *mask = turned;
    return s;
}

rq_status rq_masks_get(rq_masks *m, rq_decoder *d, const char *image_name, int image_width,
                       int image_height, int orientation, rq_buf *dst, rq_err *err)
{
    char path[8192];
    rq_buf file = {0};
    rq_image mask = {0};
    dst->size = 0;
    rq_status s = find_mask(m, image_name, &file, path, sizeof path, err);
    if (s == RQ_NOT_FOUND) {
        rq_buf_free(&file);
        return RQ_OK;
    }
    if (s == RQ_OK) {
        s = rq_decode_gray(d, file.data, file.size, &mask, err);
        if (s != RQ_OK)
            rq_err_prefix(err, "mask %s", path);
    }
    if (s == RQ_OK)
        s = lay_like_image(&mask, image_width, image_height, orientation, path, err);
    if (s == RQ_OK)
        s = write_pgm(dst, &mask.plane[0], err);
    rq_image_free(&mask);
    rq_buf_free(&file);
    return s;
}
