// SPDX-License-Identifier: Apache-2.0
// Saliency masks found by name beside a dataset, in a folder or in a plain tar. Their names are
// listed once and sorted by base name; contents are read when they are asked for, by pread, and
// nothing changes after opening, hence any thread may ask. Each is decoded to grey and averaged
// down by exact area weights in integers, so that a mask has the same bytes on every machine.
#include "ingest/masks.h"

#include "common/file.h"
#include "common/hash.h"
#include "ingest/orient.h"
#include "ingest/source_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

struct rq_masks {
    char *path;
    rq_tar *tar; /* NULL: a folder */
    rq_catalogue catalogue;
    size_t *order;     /* items by base name without extension */
    size_t root_bytes; /* of the folder that holds all of a tar's masks */
};

/* ---- opening ----------------------------------------------------------------------------- */

static bool is_mask_name(const char *path)
{
    static const char *const extensions[] = {".png", ".pgm", ".jpg", ".jpeg"};
    const char *dot = strrchr(rq_path_base(path), '.');
    for (size_t i = 0; dot != NULL && i < sizeof extensions / sizeof *extensions; i++) {
        if (strcasecmp(dot, extensions[i]) == 0)
            return true;
    }
    return false;
}

static int by_base_stem(const void *a, const void *b, void *context)
{
    const rq_item *items = context;
    const rq_item *x = &items[*(const size_t *)a], *y = &items[*(const size_t *)b];
    const int order = rq_compare_base_stems(x->stored, y->stored);
    return order != 0 ? order : strcmp(x->stored, y->stored);
}

/* Bytes of the folders, with their slashes, that all paths begin with; without a WordNet id at
 * their end, which is a class. */
static size_t common_folder(const rq_catalogue *c)
{
    const char *first = c->n_items > 0 ? c->items[0].stored : "";
    size_t n = (size_t)(rq_path_base(first) - first);
    for (size_t i = 1; i < c->n_items; i++) {
        const char *path = c->items[i].stored;
        while (n > 0 && (strncmp(path, first, n) != 0 || first[n - 1] != '/'))
            n--;
    }
    return n >= 10 && rq_is_wnid(first + n - 10, 9) ? n - 10 : n;
}

static rq_status sort_masks(rq_masks *m, rq_err *err)
{
    rq_catalogue *c = &m->catalogue;
    size_t kept = 0;
    for (size_t i = 0; i < c->n_items; i++) {
        if (is_mask_name(c->items[i].stored))
            c->items[kept++] = c->items[i];
    }
    c->n_items = kept;
    m->order = rq_alloc(kept, sizeof *m->order);
    if (m->order == NULL)
        return rq_fail(err, RQ_OOM, "no memory for the list of masks");
    for (size_t i = 0; i < kept; i++)
        m->order[i] = i;
    qsort_r(m->order, kept, sizeof *m->order, by_base_stem, c->items);
    if (m->tar != NULL)
        m->root_bytes = common_folder(c);
    return RQ_OK;
}

static rq_status list_masks(rq_masks *m, bool folder, rq_err *err)
{
    rq_catalogue *c = &m->catalogue;
    rq_walk walk = {0};
    if (folder)
        return rq_dir_walk(c, 0, m->path, &walk, err);
    RQ_TRY(rq_tar_walk(c, 0, m->path, &walk, err));
    if (!walk.direct)
        return rq_fail(err, RQ_UNSUPPORTED,
                       "'%s' is compressed, and masks are read in any order; give a plain .tar "
                       "or a folder",
                       m->path);
    return rq_tar_open(&m->tar, m->path, &c->opts, err);
}

rq_status rq_masks_open(rq_masks **out, const char *path, rq_err *err)
{
    *out = NULL;
    struct stat st;
    if (stat(path, &st) != 0)
        return errno == ENOENT || errno == ENOTDIR
                   ? rq_fail(err, RQ_NOT_FOUND,
                             "there is no folder or tar of masks '%s'; check the path", path)
                   : rq_fail_errno(err, "cannot open the masks '%s'", path);
    if (!S_ISDIR(st.st_mode) && (!S_ISREG(st.st_mode) || rq_archive_stem(path) == 0))
        return rq_fail(err, RQ_NOT_FOUND,
                       "'%s' is neither a folder nor a tar; give one of masks", path);
    rq_masks *m = rq_calloc(1, sizeof *m);
    if (m != NULL)
        m->path = rq_strdup(path);
    rq_status s = RQ_OK;
    if (m == NULL || m->path == NULL)
        s = rq_fail(err, RQ_OOM, "no memory for the masks");
    if (s == RQ_OK) {
        rq_source_opts_default(&m->catalogue.opts);
        s = list_masks(m, S_ISDIR(st.st_mode), err);
    }
    if (s == RQ_OK)
        s = sort_masks(m, err);
    if (s != RQ_OK)
        rq_masks_close(&m);
    *out = m;
    return s;
}

void rq_masks_close(rq_masks **m)
{
    if (m == NULL || *m == NULL)
        return;
    rq_tar_close(&(*m)->tar);
    rq_catalogue_free(&(*m)->catalogue);
    rq_free((*m)->order);
    rq_free((*m)->path);
    rq_free(*m);
    *m = NULL;
}

uint64_t rq_masks_count(const rq_masks *m)
{
    return m->catalogue.n_items;
}

uint64_t rq_masks_fingerprint(const rq_masks *m)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < m->catalogue.n_items; i++) {
        const rq_item *item = &m->catalogue.items[m->order[i]];
        const uint64_t three[3] = {hash, rq_xxh3(item->stored, strlen(item->stored)),
                                   item->bytes};
        hash = rq_xxh3(three, sizeof three);
    }
    return hash;
}

/* ---- finding ----------------------------------------------------------------------------- */

/* How a mask's path fits an image's: 2 as CLASS/FILE, 1 as FILE for any class, 0 not at all. */
static int fit(const rq_masks *m, const char *mask, const char *image)
{
    const char *below = mask + m->root_bytes;
    if (rq_same_stem(below, image))
        return 2;
    return strchr(below, '/') == NULL ? 1 : 0;
}

/* Place in the order of the first mask whose base name is not below the image's. */
static size_t first_of_base(const rq_masks *m, const char *image)
{
    const rq_item *items = m->catalogue.items;
    size_t low = 0, high = m->catalogue.n_items;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (rq_compare_base_stems(items[m->order[middle]].stored, image) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* *found is NULL when the image has no mask. */
static rq_status find_mask(const rq_masks *m, const char *image, const rq_item **found,
                           rq_err *err)
{
    const rq_item *other = NULL;
    int best = 0;
    *found = NULL;
    for (size_t i = first_of_base(m, image); i < m->catalogue.n_items; i++) {
        const rq_item *item = &m->catalogue.items[m->order[i]];
        if (rq_compare_base_stems(item->stored, image) != 0)
            break;
        const int now = fit(m, item->stored, image);
        if (now == 0 || now < best)
            continue;
        other = now == best ? *found : NULL;
        *found = item;
        best = now;
    }
    if (other != NULL)
        return rq_fail(err, RQ_BAD_FORMAT, "the image has two masks, %s and %s; remove one",
                       other->stored, (*found)->stored);
    return RQ_OK;
}

static rq_status read_mask(const rq_masks *m, const rq_item *item, rq_buf *file, rq_err *err)
{
    rq_status failure = RQ_OK;
    char reason[256];
    if (item->status != RQ_OK)
        return rq_fail(err, item->status, "mask %s/%s: %s", m->path, item->stored,
                       item->reason);
    if (m->tar != NULL) {
        RQ_TRY(rq_buf_reserve(file, (size_t)item->bytes + 1, err));
        file->size = (size_t)item->bytes;
        return rq_tar_read_at(m->tar, file->data, file->size, item->offset, err);
    }
    RQ_TRY(rq_dir_read(m->path, item->stored, m->catalogue.opts.max_member_bytes, file,
                       &failure, reason, err));
    return failure == RQ_OK
               ? RQ_OK
               : rq_fail(err, failure, "mask %s/%s: %s", m->path, item->stored, reason);
}

/* ---- reducing ---------------------------------------------------------------------------- */

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
    char path[2 * RQ_PATH_BYTES_MAX];
    rq_buf file = {0};
    rq_image mask = {0};
    const rq_item *item;
    dst->size = 0;
    RQ_TRY(find_mask(m, image_name, &item, err));
    if (item == NULL)
        return RQ_OK;
    snprintf(path, sizeof path, "%s/%s", m->path, item->stored);
    rq_status s = read_mask(m, item, &file, err);
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
