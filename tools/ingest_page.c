// SPDX-License-Identifier: Apache-2.0
//
// Collecting what the page of an ingest report shows. Images come in reading order, and the
// first of each kind are kept, so that the page does not depend on the number of threads. The
// pictures are made here, small, from the same decoder that judged the image.
#include "tools/ingest_page_impl.h"

#include "ingest/jpeg_encode.h"
#include "ingest/orient.h"
#include "ingest/resize.h"

#include <stdio.h>
#include <string.h>

enum { PICTURE_SIDE = 176, PICTURE_QUALITY = 86, NONE = -1 };

/* What changed the picture comes first. */
const unsigned rq_page_notes[RQ_GROUP_NOTES] = {
    RQ_NOTE_EXTENSION, RQ_NOTE_CMYK,        RQ_NOTE_ALPHA,       RQ_NOTE_DEPTH,
    RQ_NOTE_PALETTE,   RQ_NOTE_SEQUENCE,    RQ_NOTE_TURNED,      RQ_NOTE_CROP,
    RQ_NOTE_TRAILING,  RQ_NOTE_EXIF_BROKEN, RQ_NOTE_ORIENTATION, RQ_NOTE_GRAY};

rq_status rq_ingest_page_create(rq_ingest_page **out, rq_err *err)
{
    *out = NULL;
    rq_ingest_page *p = rq_calloc(1, sizeof *p);
    if (p == NULL)
        return rq_fail(err, RQ_OOM, "out of memory for the page");
    const rq_limits limits = rq_limits_default();
    rq_status st = rq_ingest_stats_init(&p->stats, err);
    if (st == RQ_OK)
        st = rq_decoder_create(&p->decoder, &limits, err);
    p->resizer = rq_calloc(1, sizeof *p->resizer);
    if (st == RQ_OK && p->resizer == NULL)
        st = rq_fail(err, RQ_OOM, "out of memory for the page");
    for (int i = 0; i < RQ_GROUP_COUNT; i++)
        p->groups[i].most = i == RQ_GROUP_REJECTED ? RQ_PAGE_REJECTED_SHOWN : RQ_PAGE_SHOWN;
    *out = p;
    if (st != RQ_OK)
        rq_ingest_page_destroy(out);
    return st;
}

static void free_item(rq_page_item *item)
{
    rq_free(item->name);
    rq_free(item->class_name);
    rq_free(item->original);
    rq_buf_free(&item->picture);
}

void rq_ingest_page_destroy(rq_ingest_page **page)
{
    rq_ingest_page *p = *page;
    if (p == NULL)
        return;
    for (int g = 0; g < RQ_GROUP_COUNT; g++) {
        for (size_t i = 0; i < p->groups[g].n; i++)
            free_item(&p->groups[g].items[i]);
        rq_free(p->groups[g].items);
    }
    rq_ingest_stats_free(&p->stats);
    rq_decoder_destroy(&p->decoder);
    rq_image_free(&p->decoded);
    rq_image_free(&p->upright);
    rq_image_free(&p->small);
    if (p->resizer != NULL)
        rq_resizer_free(p->resizer);
    rq_free(p->resizer);
    rq_buf_free(&p->pixels);
    rq_free(p);
    *page = NULL;
}

/* ---- pictures ---------------------------------------------------------------------------- */

static rq_status shrink(rq_ingest_page *p, const rq_image *img, rq_page_item *item, rq_err *err)
{
    int w, h;
    rq_resize_fit(img->width, img->height, PICTURE_SIDE, 0, &w, &h);
    RQ_TRY(rq_image_resize(p->resizer, img, w, h, 1, 1, &p->small, err));
    RQ_TRY(rq_buf_reserve(&p->pixels, (size_t)w * (size_t)h * 3, err));
    rq_image_to_rgb(&p->small, p->pixels.data);
    item->width = w;
    item->height = h;
    return rq_jpeg_write(p->pixels.data, w, h, 3, PICTURE_QUALITY, &item->picture, err);
}

/* An image that cannot be drawn has no picture, and that is all. */
static rq_status draw(rq_ingest_page *p, const void *data, size_t bytes, rq_page_item *item,
                      rq_err *err)
{
    rq_image_info info;
    rq_err trouble = {0};
    const rq_image *img = &p->decoded;
    rq_status st = rq_decode_rgb(p->decoder, data, bytes, false, &p->decoded, &info, &trouble);
    if (st == RQ_OK && (item->info.notes & RQ_NOTE_TURNED) != 0) {
        st = rq_image_orient(&p->decoded, info.orientation, &p->upright, &trouble);
        img = &p->upright;
    }
    if (st == RQ_OK)
        st = shrink(p, img, item, &trouble);
    if (st == RQ_OK)
        return RQ_OK;
    item->picture.size = 0;
    return st == RQ_OOM ? rq_fail(err, st, "%s", trouble.text) : RQ_OK;
}

/* ---- items ------------------------------------------------------------------------------- */

static int group_of(const rq_report_entry *e)
{
    if (e->verdict.kind == RQ_VERDICT_REJECTED)
        return RQ_GROUP_REJECTED;
    if (e->verdict.kind == RQ_VERDICT_WARNED)
        return RQ_GROUP_WARNED;
    for (int i = 0; i < RQ_GROUP_NOTES; i++)
        if ((e->info.notes & rq_page_notes[i]) != 0)
            return RQ_GROUP_FIRST_NOTE + i;
    return NONE;
}

static bool copy_text(char **dst, const char *src)
{
    *dst = src != NULL ? rq_strdup(src) : NULL;
    return src == NULL || *dst != NULL;
}

static rq_status fill_item(rq_page_item *item, const rq_report_entry *e, rq_err *err)
{
    *item = (rq_page_item){.label = e->label,
                           .original_label = e->duplicate_label,
                           .bytes = e->bytes,
                           .info = e->info};
    snprintf(item->reason, sizeof item->reason, "%s", e->verdict.reason);
    if (copy_text(&item->name, e->name) && copy_text(&item->class_name, e->class_name) &&
        copy_text(&item->original, e->duplicate_of))
        return RQ_OK;
    free_item(item);
    return rq_fail(err, RQ_OOM, "out of memory for the page");
}

static rq_status add_to(rq_ingest_page *p, int group, const rq_report_entry *e,
                        const void *data, size_t bytes, rq_err *err)
{
    rq_page_group *g = &p->groups[group];
    if (g->total++ >= g->most)
        return RQ_OK;
    void *grown = g->items;
    const rq_status st = rq_grow(&grown, &g->cap, g->n + 1, sizeof *g->items, err);
    g->items = grown;
    RQ_TRY(st);
    rq_page_item *item = &g->items[g->n];
    RQ_TRY(fill_item(item, e, err));
    g->n++;
    if (group == RQ_GROUP_REJECTED)
        return RQ_OK;
    if (data != NULL)
        return draw(p, data, bytes, item, err);
    p->missing++;
    return RQ_OK;
}

rq_status rq_ingest_page_add(rq_ingest_page *p, const rq_report_entry *e, const void *data,
                             size_t bytes, rq_err *err)
{
    RQ_TRY(rq_ingest_stats_add(&p->stats, e, err));
    const int group = group_of(e);
    if (group != NONE)
        RQ_TRY(add_to(p, group, e, data, bytes, err));
    if (e->duplicate_of != NULL)
        RQ_TRY(add_to(p, RQ_GROUP_DUPLICATES, e, data, bytes, err));
    return RQ_OK;
}

size_t rq_ingest_page_missing(const rq_ingest_page *p)
{
    return p->missing;
}

static bool is_missing(const rq_page_item *item, const char *name)
{
    return item->picture.size == 0 && strcmp(item->name, name) == 0;
}

bool rq_ingest_page_wants(const rq_ingest_page *p, const char *name)
{
    for (int g = RQ_GROUP_WARNED; g < RQ_GROUP_COUNT; g++)
        for (size_t i = 0; i < p->groups[g].n; i++)
            if (is_missing(&p->groups[g].items[i], name))
                return true;
    return false;
}

rq_status rq_ingest_page_offer(rq_ingest_page *p, const char *name, const void *data,
                               size_t bytes, rq_err *err)
{
    for (int g = RQ_GROUP_WARNED; g < RQ_GROUP_COUNT; g++) {
        for (size_t i = 0; i < p->groups[g].n; i++) {
            rq_page_item *item = &p->groups[g].items[i];
            if (!is_missing(item, name))
                continue;
            RQ_TRY(draw(p, data, bytes, item, err));
            p->missing -= item->picture.size > 0;
        }
    }
    return RQ_OK;
}

const rq_ingest_stats *rq_ingest_page_stats(const rq_ingest_page *p)
{
    return &p->stats;
}
