// SPDX-License-Identifier: Apache-2.0
//
// The dump for programs: the bytes of the views as NumPy files in the layout of a batch, and
// the parameters of every view as JSON. With these, what was shown can be compared with what is
// trained on.
#include "tools/dump.h"

#include "common/json.h"

#include <stdio.h>
#include <string.h>

/* The array header of NumPy format 1.0: magic, version, length of the text, text padded with
 * blanks so that the data start at a multiple of 64. */
static rq_status npy_header(rq_buf *out, int views, int images, int size, rq_err *err)
{
    enum { PREFIX = 10, BLOCK = 64 };
    char text[BLOCK * 3];
    const int n = snprintf(text, sizeof text,
                           "{'descr': '|u1', 'fortran_order': False, 'shape': "
                           "(%d, %d, %d, %d, 3), }",
                           views, images, size, size);
    const size_t total = rq_round_up(PREFIX + (size_t)n + 1, BLOCK);
    const size_t text_bytes = total - PREFIX;
    const uint8_t prefix[PREFIX] = {
        0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (uint8_t)text_bytes, (uint8_t)(text_bytes >> 8)};
    memset(text + n, ' ', text_bytes - (size_t)n - 1);
    text[text_bytes - 1] = '\n';
    RQ_TRY(rq_buf_append(out, prefix, sizeof prefix, err));
    return rq_buf_append(out, text, text_bytes, err);
}

rq_status rq_dump_npy(const rq_dump *d, int group, rq_buf *out, rq_err *err)
{
    const rq_view_group *g = &d->recipe.group[group];
    const int first = group == 0 ? 0 : d->recipe.group[0].views;
    RQ_TRY(npy_header(out, g->views, d->images, g->size, err));
    for (int v = 0; v < g->views; v++) {
        for (int i = 0; i < d->images; i++) {
            int size;
            const uint8_t *pixels = rq_dump_view(d, &d->items[i], first + v, &size);
            RQ_TRY(rq_buf_append(out, pixels, (size_t)size * (size_t)size * 3, err));
        }
    }
    return RQ_OK;
}

static const char *yes(bool b)
{
    return b ? "true" : "false";
}

static rq_status view_json(const rq_dump *d, const rq_dump_item *item, int view, rq_buf *out,
                           rq_err *err)
{
    const rq_view_params *p = &item->params[view];
    char name[8];
    RQ_TRY(
        rq_buf_printf(out, err,
                      "{\"view\":%d,\"name\":\"%s\",\"preset\":\"%c\",\"crop\":[%d,%d,%d,%d],"
                      "\"flip\":%s,\"mask_drawn\":%s,\"masked\":%s,\"jitter\":%s,"
                      "\"order\":[%d,%d,%d,%d],",
                      view, rq_dump_view_name(name, d, view), 'A' + p->preset, p->x, p->y, p->w,
                      p->h, yes(p->flip), yes(p->mask_drawn), yes(p->masked), yes(p->jitter),
                      p->order[0], p->order[1], p->order[2], p->order[3]));
    const struct {
        const char *key;
        double value;
    } numbers[] = {{"brightness", p->brightness}, {"contrast", p->contrast},
                   {"saturation", p->saturation}, {"hue", p->hue},
                   {"sigma", p->sigma},           {"fill_r", p->fill[0]},
                   {"fill_g", p->fill[1]},        {"fill_b", p->fill[2]}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        RQ_TRY(rq_buf_printf(out, err, "\"%s\":", numbers[i].key));
        RQ_TRY(rq_json_append_double(out, numbers[i].value, err));
        RQ_TRY(rq_buf_append(out, ",", 1, err));
    }
    return rq_buf_printf(out, err, "\"gray\":%s,\"solarize\":%s}", yes(p->gray),
                         yes(p->solarize));
}

static rq_status item_json(const rq_dump *d, const rq_dump_item *item, rq_buf *out, rq_err *err)
{
    RQ_TRY(rq_buf_printf(out, err, "{\"id\":%llu,\"label\":%d,\"key\":",
                         (unsigned long long)item->id, item->label));
    RQ_TRY(rq_json_append_string(out, item->key, err));
    RQ_TRY(rq_buf_printf(out, err, ",\"class\":"));
    if (item->class_name != NULL)
        RQ_TRY(rq_json_append_string(out, item->class_name, err));
    else
        RQ_TRY(rq_buf_printf(out, err, "null"));
    RQ_TRY(rq_buf_printf(out, err, ",\"width\":%d,\"height\":%d,\"has_mask\":%s,\"views\":[\n",
                         item->width, item->height, yes(item->has_mask)));
    for (int v = 0; v < d->views; v++) {
        RQ_TRY(rq_buf_printf(out, err, v > 0 ? ",\n  " : "  "));
        RQ_TRY(view_json(d, item, v, out, err));
    }
    return rq_buf_printf(out, err, "]}");
}

rq_status rq_dump_json(const rq_dump *d, rq_buf *out, rq_err *err)
{
    RQ_TRY(rq_buf_printf(out, err, "{\"dataset\":"));
    RQ_TRY(rq_json_append_string(out, d->dataset, err));
    RQ_TRY(rq_buf_printf(out, err,
                         ",\"hash\":\"%s\",\"recipe\":\"%s\",\"seed\":\"%llu\",\"epoch\":%u,"
                         "\"images\":[\n",
                         d->hash, d->recipe.name, (unsigned long long)d->seed, d->epoch));
    for (int i = 0; i < d->images; i++) {
        if (i > 0)
            RQ_TRY(rq_buf_printf(out, err, ",\n"));
        RQ_TRY(item_json(d, &d->items[i], out, err));
    }
    return rq_buf_printf(out, err, "\n]}\n");
}
