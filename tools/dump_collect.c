// SPDX-License-Identifier: Apache-2.0
//
// Gets from the stream what rq-dump shows. A sequential stream with batches of one image has
// step = place in the dataset, so a stream opened at (epoch, place) gives just the sample asked
// for, with the bytes that any other order, batch size or number of threads would give it.
#include "tools/dump.h"

#include "common/cpu.h"

#include <string.h>

const uint8_t *rq_dump_view(const rq_dump *d, const rq_dump_item *item, int view, int *size)
{
    size_t at = 0;
    int first = 0;
    for (int g = 0; g < RQ_MAX_GROUPS; g++) {
        const rq_view_group *group = &d->recipe.group[g];
        const size_t bytes = (size_t)group->size * (size_t)group->size * 3;
        if (view < first + group->views) {
            *size = group->size;
            return item->pixels + at + (size_t)(view - first) * bytes;
        }
        first += group->views;
        at += (size_t)group->views * bytes;
    }
    *size = 0;
    return NULL;
}

char *rq_dump_view_name(char *buf, const rq_dump *d, int view)
{
    const int large = d->recipe.group[0].views;
    const bool small = view >= large;
    const unsigned number = (unsigned)(small ? view - large : view) % RQ_MAX_VIEWS + 1;
    buf[0] = small ? 'S' : 'L';
    char *end = buf + 1;
    if (number > 9)
        *end++ = (char)('0' + number / 10);
    *end++ = (char)('0' + number % 10);
    *end = '\0';
    return buf;
}

rq_color rq_dump_view_color(int view)
{
    static const rq_color colors[RQ_MAX_VIEWS] = {
        0x3B82F6, 0xF04438, 0x12B76A, 0xF79009, 0xB36BFF, 0xF670C7, 0x06AED4, 0xA3C626,
        0x6172F3, 0xE31B54, 0x15B79E, 0xEAAA08, 0x875BF7, 0xEE46BC, 0x36BFFA, 0x66C61C};
    return colors[(unsigned)view % RQ_MAX_VIEWS];
}

void rq_dump_free(rq_dump *d)
{
    if (d == NULL)
        return;
    for (int i = 0; d->items != NULL && i < d->images; i++) {
        rq_dump_item *item = &d->items[i];
        rq_picture_free(&item->source);
        rq_picture_free(&item->overlay);
        rq_picture_free(&item->removed);
        rq_free(item->pixels);
        rq_free(item->params);
    }
    rq_free(d->items);
    memset(d, 0, sizeof *d);
}

/* ---- the views, from the stream --------------------------------------------------------- */

static rq_status copy_views(const rq_dump *d, rq_dump_item *item, const rq_batch *batch,
                            rq_err *err)
{
    size_t bytes = 0;
    for (int g = 0; g < batch->groups; g++) {
        const size_t size = (size_t)batch->group[g].size;
        bytes += (size_t)batch->group[g].views * size * size * 3;
    }
    item->pixels = rq_alloc(bytes, 1);
    item->params = rq_alloc((size_t)d->views, sizeof *item->params);
    if (item->pixels == NULL || item->params == NULL)
        return rq_fail(err, RQ_OOM, "out of memory for the views of sample %llu",
                       (unsigned long long)item->id);
    uint8_t *dst = item->pixels;
    for (int g = 0; g < batch->groups; g++) {
        const size_t size = (size_t)batch->group[g].size;
        const size_t n = (size_t)batch->group[g].views * size * size * 3;
        memcpy(dst, batch->group[g].data, n);
        dst += n;
    }
    memcpy(item->params, batch->params, (size_t)d->views * sizeof *item->params);
    return RQ_OK;
}

static rq_status stream_views(const rq_dump *d, rq_dump_item *item, const rq_dataset *ds,
                              uint64_t place, bool allow_missing_masks, rq_err *err)
{
    rq_stream_opts o;
    rq_stream_opts_default(&o);
    o.seed = d->seed;
    o.batch = 1;
    o.threads = 1;
    o.slots = 2;
    o.epochs = d->epoch + 1;
    o.start = (rq_position){d->epoch, place};
    o.order = RQ_ORDER_SEQUENTIAL;
    o.allow_missing_masks = allow_missing_masks;
    rq_stream *stream = NULL;
    const rq_batch *batch = NULL;
    rq_status st = rq_stream_open(&stream, ds, &d->recipe, &o, err);
    if (st == RQ_OK)
        st = rq_stream_next(stream, &batch, err);
    if (st == RQ_OK && batch->ids[0] != item->id)
        st = rq_fail(err, RQ_INTERNAL, "the stream gave sample %llu where %llu was asked for",
                     (unsigned long long)batch->ids[0], (unsigned long long)item->id);
    if (st == RQ_OK)
        st = copy_views(d, item, batch, err);
    if (batch != NULL)
        rq_stream_release(stream, batch);
    rq_stream_close(&stream);
    return st;
}

/* ---- the source and its mask ------------------------------------------------------------ */

static rq_status take_source(rq_dump_item *item, const rq_image *image, rq_err *err)
{
    const int w = image->width, h = image->height, side = w > h ? w : h;
    const double shrink = side > RQ_DUMP_SOURCE_SIDE ? (double)RQ_DUMP_SOURCE_SIDE / side : 1;
    rq_picture full = {0};
    RQ_TRY(rq_picture_create(&full, w, h, 0, err));
    rq_image_to_rgb(image, full.rgb);
    if (shrink == 1) {
        item->source = full;
        return RQ_OK;
    }
    const int sw = (int)(w * shrink), sh = (int)(h * shrink);
    const rq_status st =
        rq_picture_create(&item->source, sw > 0 ? sw : 1, sh > 0 ? sh : 1, 0, err);
    if (st == RQ_OK)
        rq_picture_blit(&item->source, 0, 0, item->source.width, item->source.height, full.rgb,
                        w, h);
    rq_picture_free(&full);
    return st;
}

static float cover(const rq_image *mask, float threshold)
{
    uint64_t above = 0;
    for (int y = 0; y < mask->height; y++) {
        const uint8_t *row = mask->plane[0].data + (size_t)y * mask->plane[0].stride;
        for (int x = 0; x < mask->width; x++)
            above += (float)row[x] > threshold * 255;
    }
    return (float)((double)above / ((double)mask->width * mask->height));
}

/* The whole image, masked, as one view with nothing else done to it. */
static rq_status take_removed(const rq_dump *d, rq_dump_item *item, const rq_image *image,
                              const rq_image *mask, rq_err *err)
{
    rq_recipe r = d->recipe;
    const int side =
        item->source.width > item->source.height ? item->source.width : item->source.height;
    r.group[0].views = 1;
    r.group[0].size = side < 16 ? 16 : side;
    r.group[1].views = 0;
    r.p_mask = 1;
    const rq_view_key key = {d->seed, d->epoch, item->id, 0};
    rq_view_params drawn;
    rq_view_draw(&drawn, &r, &key, image->width, image->height, true);
    rq_view_params p = {.w = image->width,
                        .h = image->height,
                        .mask_drawn = true,
                        .masked = true,
                        .contrast = 1,
                        .saturation = 1,
                        .key = key};
    memcpy(p.fill, drawn.fill, sizeof p.fill);
    RQ_TRY(rq_picture_create(&item->removed, r.group[0].size, r.group[0].size, 0, err));
    rq_view_maker *maker = NULL;
    rq_status st = rq_view_maker_create(&maker, &r, RQ_CPU_ALL, err);
    if (st == RQ_OK)
        st = rq_view_make(maker, image, mask, &p, item->removed.rgb, err);
    rq_view_maker_destroy(&maker);
    return st;
}

static rq_status take_mask(const rq_dump *d, rq_dump_item *item, const rq_image *image,
                           const rq_image *mask, rq_err *err)
{
    item->has_mask = true;
    item->mask_usable = rq_mask_usable(&d->recipe, mask);
    item->mask_cover = cover(mask, d->recipe.mask_threshold);
    RQ_TRY(rq_picture_create(&item->overlay, item->source.width, item->source.height, 0, err));
    memcpy(item->overlay.rgb, item->source.rgb,
           (size_t)item->source.width * (size_t)item->source.height * 3);
    rq_picture_overlay_mask(item->overlay.rgb, item->overlay.width, item->overlay.height,
                            mask->plane[0].data, mask->width, mask->height,
                            mask->plane[0].stride, 0xFFD60A);
    return take_removed(d, item, image, mask, err);
}

static rq_status take_pictures(const rq_dump *d, rq_dump_item *item, rq_reader *reader,
                               const rq_sample *sample, rq_err *err)
{
    rq_image image = {0}, mask = {0};
    rq_status st = rq_reader_decode(reader, sample, &image, err);
    if (st == RQ_OK)
        st = take_source(item, &image, err);
    if (st == RQ_OK && sample->mask != NULL)
        st = rq_reader_decode_mask(reader, sample, &mask, err);
    if (st == RQ_OK && sample->mask != NULL)
        st = take_mask(d, item, &image, &mask, err);
    rq_image_free(&image);
    rq_image_free(&mask);
    return st;
}

static rq_status collect_one(const rq_dump *d, rq_dump_item *item, const rq_dataset *ds,
                             rq_reader *reader, uint64_t place, bool allow_missing_masks,
                             rq_err *err)
{
    rq_sample sample;
    RQ_TRY(rq_reader_get(reader, place, &sample, err));
    item->id = sample.id;
    item->label = sample.label;
    item->class_name = rq_dataset_class_name(ds, sample.label);
    strncpy(item->key, sample.key, sizeof item->key - 1);
    item->encoding = sample.encoding;
    item->stored_bytes = rq_dataset_entry(ds, place, NULL)->stored_bytes;
    item->width = sample.width;
    item->height = sample.height;
    RQ_TRY(take_pictures(d, item, reader, &sample, err));
    return stream_views(d, item, ds, place, allow_missing_masks, err);
}

rq_status rq_dump_collect(rq_dump *d, const rq_dataset *ds, const rq_recipe *recipe,
                          const uint64_t *places, int n, const rq_dump_opts *opts, rq_err *err)
{
    *d = (rq_dump){.recipe = *recipe,
                   .seed = opts->seed,
                   .epoch = opts->epoch,
                   .dataset = "",
                   .hash = rq_dataset_hash(ds),
                   .samples = rq_dataset_count(ds),
                   .masks = rq_dataset_masks(ds),
                   .views = rq_recipe_views(recipe)};
    if (n < 1 || n > RQ_DUMP_MAX_IMAGES)
        return rq_fail(err, RQ_INVALID_ARG, "between 1 and %d images can be shown, not %d",
                       RQ_DUMP_MAX_IMAGES, n);
    d->items = rq_calloc((size_t)n, sizeof *d->items);
    if (d->items == NULL)
        return rq_fail(err, RQ_OOM, "out of memory for %d images", n);
    d->images = n;
    rq_reader *reader = NULL;
    rq_status st = rq_reader_create(&reader, ds, err);
    for (int i = 0; st == RQ_OK && i < n; i++)
        st =
            collect_one(d, &d->items[i], ds, reader, places[i], opts->allow_missing_masks, err);
    rq_reader_destroy(&reader);
    if (st != RQ_OK)
        rq_dump_free(d);
    return st;
}
