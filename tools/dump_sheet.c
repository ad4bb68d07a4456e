// SPDX-License-Identifier: Apache-2.0
//
// The contact sheet: one picture that can be looked at in any terminal or pasted anywhere. Rows
// are images; the columns are the source with every crop box, the mask, and the views. Small
// views keep their size relative to large ones.
#include "tools/dump.h"

#include <stdio.h>

static const rq_color PAPER = 0x14161A, INK = 0xE8EAEE, DIM = 0x98A1B0, TAG = 0xFFD60A;
enum { GAP = 8, HEAD = 24, FOOT = 14, MARGIN = 12 };

typedef struct sheet {
    rq_picture *p;
    int cell; /* side of a large view and of the box for sources */
} sheet;

static int view_side(const rq_dump *d, int view, int cell)
{
    const int large = d->recipe.group[0].views, size = d->recipe.group[0].size;
    if (view < large)
        return cell;
    const int side = size > 0 && large > 0 ? d->recipe.group[1].size * cell / size : cell;
    return side < 8 ? 8 : side > cell ? cell : side;
}

static int column_x(const rq_dump *d, int column, int cell)
{
    int x = MARGIN;
    for (int c = 0; c < column; c++)
        x += (c < 2 ? cell : view_side(d, c - 2, cell)) + GAP;
    return x;
}

/* The largest box of the picture's shape in the cell, centred. */
static void fit(int w, int h, int cell, int *bw, int *bh)
{
    *bw = w >= h ? cell : (int)((int64_t)w * cell / h);
    *bh = h >= w ? cell : (int)((int64_t)h * cell / w);
    *bw = *bw < 1 ? 1 : *bw;
    *bh = *bh < 1 ? 1 : *bh;
}

static void draw_boxes(const sheet *s, const rq_dump *d, const rq_dump_item *item, int x, int y,
                       int bw, int bh)
{
    for (int v = 0; v < d->views; v++) {
        const rq_view_params *p = &item->params[v];
        const int x0 = (int)((int64_t)p->x * bw / item->width);
        const int y0 = (int)((int64_t)p->y * bh / item->height);
        const int x1 = (int)((int64_t)(p->x + p->w) * bw / item->width);
        const int y1 = (int)((int64_t)(p->y + p->h) * bh / item->height);
        rq_picture_frame(s->p, x + x0, y + y0, x1 - x0, y1 - y0, 2, rq_dump_view_color(v));
    }
}

static void draw_source(const sheet *s, const rq_dump *d, const rq_dump_item *item, int y)
{
    int bw, bh;
    fit(item->width, item->height, s->cell, &bw, &bh);
    const int x = column_x(d, 0, s->cell) + (s->cell - bw) / 2, top = y + (s->cell - bh) / 2;
    rq_picture_blit(s->p, x, top, bw, bh, item->source.rgb, item->source.width,
                    item->source.height);
    draw_boxes(s, d, item, x, top, bw, bh);
    char text[160];
    snprintf(text, sizeof text, "%llu %s", (unsigned long long)item->id,
             item->class_name != NULL ? item->class_name : "");
    text[s->cell / RQ_GLYPH_WIDTH < 159 ? s->cell / RQ_GLYPH_WIDTH : 159] = '\0';
    rq_picture_text(s->p, column_x(d, 0, s->cell), y + s->cell + 4, 1, DIM, text);
}

static void draw_mask(const sheet *s, const rq_dump *d, const rq_dump_item *item, int y)
{
    const int x = column_x(d, 1, s->cell);
    if (!item->has_mask) {
        rq_picture_frame(s->p, x, y, s->cell, s->cell, 1, 0x2A2F38);
        rq_picture_text(s->p, x + (s->cell - rq_picture_text_width("no mask", 1)) / 2,
                        y + s->cell / 2 - 4, 1, DIM, "no mask");
        return;
    }
    int bw, bh;
    fit(item->width, item->height, s->cell, &bw, &bh);
    rq_picture_blit(s->p, x + (s->cell - bw) / 2, y + (s->cell - bh) / 2, bw, bh,
                    item->overlay.rgb, item->overlay.width, item->overlay.height);
    char text[64];
    snprintf(text, sizeof text, "covers %.0f %%%s", (double)item->mask_cover * 100,
             item->mask_usable ? "" : ", unused");
    rq_picture_text(s->p, x, y + s->cell + 4, 1, DIM, text);
}

static void draw_view(const sheet *s, const rq_dump *d, const rq_dump_item *item, int view,
                      int y)
{
    const int x = column_x(d, view + 2, s->cell), side = view_side(d, view, s->cell);
    int size;
    const uint8_t *pixels = rq_dump_view(d, item, view, &size);
    rq_picture_blit(s->p, x, y, side, side, pixels, size, size);
    const rq_view_params *p = &item->params[view];
    rq_picture_fill(s->p, x, y + side, side, 2, rq_dump_view_color(view));
    if (p->masked)
        rq_picture_text(s->p, x, y + side + 5, 1, TAG, side >= 40 ? "masked" : "m");
    if (p->flip)
        rq_picture_text(s->p, x + side - 12, y + side + 5, 1, DIM, "<>");
}

static void draw_heading(const sheet *s, const rq_dump *d)
{
    rq_picture_text(s->p, column_x(d, 0, s->cell), MARGIN, 2, INK, "source");
    rq_picture_text(s->p, column_x(d, 1, s->cell), MARGIN, 2, INK, "mask");
    for (int v = 0; v < d->views; v++) {
        char name[8];
        rq_picture_text(s->p, column_x(d, v + 2, s->cell), MARGIN, 2, rq_dump_view_color(v),
                        rq_dump_view_name(name, d, v));
    }
}

rq_status rq_dump_sheet(const rq_dump *d, int cell, rq_picture *out, rq_err *err)
{
    const int row = cell + FOOT + GAP;
    const int width = column_x(d, d->views + 2, cell) - GAP + MARGIN;
    const int height = MARGIN + HEAD + d->images * row + MARGIN - GAP;
    RQ_TRY(rq_picture_create(out, width, height, PAPER, err));
    const sheet s = {out, cell};
    draw_heading(&s, d);
    for (int i = 0; i < d->images; i++) {
        const int y = MARGIN + HEAD + i * row;
        draw_source(&s, d, &d->items[i], y);
        draw_mask(&s, d, &d->items[i], y);
        for (int v = 0; v < d->views; v++)
            draw_view(&s, d, &d->items[i], v, y);
    }
    return RQ_OK;
}
