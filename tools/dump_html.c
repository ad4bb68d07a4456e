// SPDX-License-Identifier: Apache-2.0
//
// The page: per image a card with the source, every crop box in its view's colour, the mask,
// the source without its background, and then each view at its own size with what was done to
// it, in the order in which it was done. Views are embedded as PNG, so that the pixels on the
// page are the bytes of the batch; the sources, which are only looked at, as JPEG.
#include "tools/dump.h"

#include "ingest/codec.h"
#include "ingest/jpeg_encode.h"
#include "tools/html.h"

#include <stdio.h>
#include <string.h>

enum { SOURCE_QUALITY = 88, SHOWN_AT_LEAST = 96 };

static const char css[] =
    ".head{display:flex;gap:6px 28px;flex-wrap:wrap;margin-top:8px}.head b{font-weight:600}"
    ".title{display:flex;align-items:baseline;gap:12px;margin-bottom:14px}"
    ".title button{margin-left:auto}"
    ".row{display:grid;grid-template-columns:330px minmax(0,1fr);gap:22px}"
    "@media(max-width:820px){.row{grid-template-columns:1fr}}"
    "figure{margin:0 0 12px}figcaption{color:var(--dim);font-size:12px;margin-top:4px}"
    ".pic{position:relative;line-height:0;border-radius:6px;overflow:hidden}"
    ".pic img{width:100%;height:auto;display:block}"
    ".pic svg{position:absolute;inset:0;width:100%;height:100%}"
    ".pair{display:grid;grid-template-columns:1fr 1fr;gap:10px}"
    "rect.box{fill:transparent;stroke-width:2;vector-effect:non-scaling-stroke;"
    "transition:opacity .12s}"
    "g.v text{font:600 13px system-ui,sans-serif;paint-order:stroke;stroke:#000c;"
    "stroke-width:3px}"
    ".views{display:flex;flex-wrap:wrap;gap:14px;align-items:flex-start;align-content:flex-"
    "start}"
    ".view{border:1px solid var(--line);border-top:3px solid var(--c);border-radius:8px;"
    "padding:10px;min-width:176px;transition:opacity .12s,box-shadow .12s}"
    ".view>img{display:block;image-rendering:pixelated;border-radius:4px;margin-bottom:8px}"
    ".view h3{font-size:13px;margin:0 0 8px;display:flex;gap:8px;align-items:center}"
    ".view h3 i{font-style:normal;color:var(--c);filter:saturate(1.2)}"
    ".tag{font-size:11px;font-weight:600;border-radius:99px;padding:0 8px;line-height:18px;"
    "border:1px solid var(--line);color:var(--dim)}.tag.on{background:#ffd60a;color:#1a1400;"
    "border-color:#ffd60a}"
    "dl{display:grid;grid-template-columns:auto 1fr;gap:1px 10px;margin:0;font-size:12px;"
    "max-width:max(224px,100%)}dt{color:var(--dim)}dd{margin:0;font-variant-numeric:tabular-"
    "nums}"
    "dd.no{color:var(--dim);opacity:.7}"
    ".lit .view:not(.hot),.lit g.v:not(.hot){opacity:.22}"
    ".view.hot{box-shadow:0 0 0 2px var(--c)}\n";

static const char script[] =
    "for(const s of document.querySelectorAll('section')){"
    "const set=(v,on)=>{s.classList.toggle('lit',on);"
    "for(const e of s.querySelectorAll('[data-v=\"'+v+'\"]'))e.classList.toggle('hot',on)};"
    "for(const e of s.querySelectorAll('[data-v]')){"
    "e.addEventListener('mouseenter',()=>set(e.dataset.v,true));"
    "e.addEventListener('mouseleave',()=>set(e.dataset.v,false))}}\n"
    "for(const b of document.querySelectorAll('button[data-cmd]'))"
    "b.addEventListener('click',()=>{const t=document.createElement('textarea');"
    "t.value=b.dataset.cmd;document.body.append(t);t.select();document.execCommand('copy');"
    "t.remove();const was=b.textContent;b.textContent='copied';"
    "setTimeout(()=>b.textContent=was,1200)});\n";

/* One page being written; `coded` is scratch for pictures. */
typedef struct page {
    const rq_dump *d;
    rq_buf *out;
    rq_buf coded;
} page;

static rq_status put_jpeg(page *g, const rq_picture *p, rq_err *err)
{
    RQ_TRY(rq_jpeg_write(p->rgb, p->width, p->height, 3, SOURCE_QUALITY, &g->coded, err));
    return rq_html_data_uri(g->out, "image/jpeg", g->coded.data, g->coded.size, err);
}

/* ---- the source ------------------------------------------------------------------------- */

/* Lines stay 2 pixels wide however the picture is scaled; letters are sized in image pixels,
 * so they are made for a picture shown 330 pixels wide. */
static rq_status put_boxes(page *g, const rq_dump_item *item, rq_err *err)
{
    const double unit = item->width / 330.0;
    RQ_TRY(rq_buf_printf(g->out, err,
                         "<svg viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\">",
                         item->width, item->height));
    for (int v = 0; v < g->d->views; v++) {
        const rq_view_params *p = &item->params[v];
        char name[8];
        const unsigned color = rq_dump_view_color(v);
        RQ_TRY(rq_buf_printf(
            g->out, err,
            "<g class=\"v\" data-v=\"%d\"><rect class=\"box\" x=\"%d\" y=\"%d\" width=\"%d\" "
            "height=\"%d\" stroke=\"#%06X\"/><text x=\"%.2f\" y=\"%.2f\" fill=\"#%06X\" "
            "style=\"font-size:%.2fpx;stroke-width:%.2fpx\">%s%s</text></g>",
            v, p->x, p->y, p->w, p->h, color, p->x + 5 * unit,
            p->y + (15 + 14 * (v % 3)) * unit, color, 12 * unit, 3 * unit,
            rq_dump_view_name(name, g->d, v), p->flip ? " \xE2\x87\x84" : ""));
    }
    return rq_buf_printf(g->out, err, "</svg>");
}

static rq_status put_mask(page *g, const rq_dump_item *item, rq_err *err)
{
    if (!item->has_mask)
        return rq_buf_printf(g->out, err, "<p class=\"dim\">no mask is stored with it</p>\n");
    RQ_TRY(rq_buf_printf(g->out, err,
                         "<div class=\"pair\"><figure><div class=\"pic\"><img alt=\"mask\" "
                         "src=\""));
    RQ_TRY(put_jpeg(g, &item->overlay, err));
    RQ_TRY(rq_buf_printf(g->out, err,
                         "\"></div><figcaption>mask, covers %.1f %%%s</figcaption></figure>"
                         "<figure><div class=\"pic\"><img alt=\"background removed\" "
                         "style=\"aspect-ratio:%d/%d\" src=\"",
                         (double)item->mask_cover * 100,
                         item->mask_usable ? "" : ": outside the limits, not used", item->width,
                         item->height));
    RQ_TRY(put_jpeg(g, &item->removed, err));
    return rq_buf_printf(
        g->out, err, "\"></div><figcaption>background removed</figcaption></figure></div>\n");
}

static rq_status put_source(page *g, const rq_dump_item *item, rq_err *err)
{
    RQ_TRY(rq_buf_printf(g->out, err,
                         "<div><figure><div class=\"pic\"><img alt=\"source\" src=\""));
    RQ_TRY(put_jpeg(g, &item->source, err));
    RQ_TRY(rq_buf_printf(g->out, err, "\">"));
    RQ_TRY(put_boxes(g, item, err));
    RQ_TRY(rq_buf_printf(g->out, err,
                         "</div><figcaption>source, %d \xC3\x97 %d, %s, %zu bytes "
                         "stored; \xE2\x87\x84 flipped</figcaption></figure>\n",
                         item->width, item->height, rq_encoding_name(item->encoding),
                         item->stored_bytes));
    RQ_TRY(put_mask(g, item, err));
    return rq_buf_printf(g->out, err, "</div>\n");
}

/* ---- one view --------------------------------------------------------------------------- */

static rq_status put_jitter(page *g, const rq_view_params *p, rq_err *err)
{
    if (!p->jitter)
        return rq_buf_printf(g->out, err, "<dt>jitter</dt><dd class=\"no\">none</dd>");
    RQ_TRY(rq_buf_printf(g->out, err, "<dt>jitter</dt><dd>"));
    for (int i = 0; i < 4; i++) {
        const char *then = i == 0 ? "" : "<br>";
        switch (p->order[i]) {
        case RQ_JITTER_BRIGHTNESS:
            RQ_TRY(
                rq_buf_printf(g->out, err, "%sbrightness %+.3f", then, (double)p->brightness));
            break;
        case RQ_JITTER_CONTRAST:
            RQ_TRY(rq_buf_printf(g->out, err, "%scontrast \xC3\x97%.3f", then,
                                 (double)p->contrast));
            break;
        case RQ_JITTER_SATURATION:
            RQ_TRY(rq_buf_printf(g->out, err, "%ssaturation \xC3\x97%.3f", then,
                                 (double)p->saturation));
            break;
        default:
            RQ_TRY(
                rq_buf_printf(g->out, err, "%shue %+.1f\xC2\xB0", then, (double)p->hue * 360));
        }
    }
    return rq_buf_printf(g->out, err, "</dd>");
}

static rq_status put_row(page *g, const char *name, bool on, const char *value, rq_err *err)
{
    return rq_buf_printf(g->out, err, "<dt>%s</dt><dd%s>%s</dd>", name,
                         on ? "" : " class=\"no\"", on ? value : "none");
}

static rq_status put_params(page *g, const rq_dump_item *item, const rq_view_params *p,
                            rq_err *err)
{
    const double area = (double)p->w * p->h / ((double)item->width * item->height);
    RQ_TRY(rq_buf_printf(g->out, err,
                         "<dl><dt>crop</dt><dd>%d,%d \xC2\xB7 %d\xC3\x97%d</dd>"
                         "<dt>scale</dt><dd>%.3f of the area</dd><dt>ratio</dt><dd>%.3f</dd>",
                         p->x, p->y, p->w, p->h, area, (double)p->w / p->h));
    RQ_TRY(put_row(g, "flip", p->flip, "horizontal", err));
    RQ_TRY(put_jitter(g, p, err));
    RQ_TRY(put_row(g, "grey", p->gray, "yes", err));
    char text[64];
    snprintf(text, sizeof text, "\xCF\x83 %.3f px", (double)p->sigma);
    RQ_TRY(put_row(g, "blur", p->sigma > 0, text, err));
    RQ_TRY(put_row(g, "solarise", p->solarize, "yes", err));
    snprintf(text, sizeof text, "%s",
             p->masked ? "background removed" : "drawn, no usable mask");
    RQ_TRY(put_row(g, "mask", p->mask_drawn, text, err));
    if (p->masked)
        RQ_TRY(rq_buf_printf(g->out, err, "<dt>fill</dt><dd>%.3f %.3f %.3f</dd>",
                             (double)p->fill[0], (double)p->fill[1], (double)p->fill[2]));
    return rq_buf_printf(g->out, err,
                         "<dt>key</dt><dd class=\"mono\">%llu\xC2\xB7%u\xC2\xB7%llu"
                         "\xC2\xB7%d</dd></dl>",
                         (unsigned long long)p->key.seed, p->key.epoch,
                         (unsigned long long)p->key.sample, p->key.view);
}

static rq_status put_view(page *g, const rq_dump_item *item, int view, rq_err *err)
{
    const rq_view_params *p = &item->params[view];
    int size;
    char name[8];
    const uint8_t *pixels = rq_dump_view(g->d, item, view, &size);
    const int zoom = size < SHOWN_AT_LEAST ? (SHOWN_AT_LEAST + size - 1) / size : 1;
    rq_dump_view_name(name, g->d, view);
    RQ_TRY(rq_buf_printf(g->out, err,
                         "<div class=\"view\" data-v=\"%d\" style=\"--c:#%06X\"><h3><i>%s</i>"
                         "<span class=\"tag%s\">%s</span><span class=\"dim\">%d px%s",
                         view, (unsigned)rq_dump_view_color(view), name, p->masked ? " on" : "",
                         p->masked ? "masked" : "plain", size, zoom > 1 ? " shown " : ""));
    if (zoom > 1)
        RQ_TRY(rq_buf_printf(g->out, err, "\xC3\x97%d", zoom));
    RQ_TRY(rq_buf_printf(g->out, err,
                         " \xC2\xB7 %c</span></h3><img alt=\"view %s\" width=\"%d\" "
                         "height=\"%d\" src=\"",
                         'A' + p->preset, name, size * zoom, size * zoom));
    RQ_TRY(rq_png_encode(pixels, size, size, 3, &g->coded, err));
    RQ_TRY(rq_html_data_uri(g->out, "image/png", g->coded.data, g->coded.size, err));
    RQ_TRY(rq_buf_printf(g->out, err, "\">"));
    RQ_TRY(put_params(g, item, p, err));
    return rq_buf_printf(g->out, err, "</div>\n");
}

/* ---- the page --------------------------------------------------------------------------- */

static rq_status put_item(page *g, const rq_dump_item *item, rq_err *err)
{
    RQ_TRY(rq_buf_printf(g->out, err,
                         "<section class=\"card\"><div class=\"title\"><h2>sample %llu</h2>"
                         "<span>",
                         (unsigned long long)item->id));
    RQ_TRY(rq_html_text(g->out, item->class_name, err));
    RQ_TRY(rq_buf_printf(g->out, err, "</span><span class=\"dim mono\">"));
    RQ_TRY(rq_html_text(g->out, item->key, err));
    RQ_TRY(rq_buf_printf(g->out, err, "</span>"));
    if (g->d->image_command != NULL) {
        RQ_TRY(rq_buf_printf(g->out, err, "<button data-cmd=\""));
        RQ_TRY(rq_html_text(g->out, g->d->image_command, err));
        RQ_TRY(rq_buf_printf(g->out, err,
                             " --ids %llu --html sample-%llu.html\">copy command</button>",
                             (unsigned long long)item->id, (unsigned long long)item->id));
    }
    RQ_TRY(rq_buf_printf(g->out, err, "</div>\n<div class=\"row\">"));
    RQ_TRY(put_source(g, item, err));
    RQ_TRY(rq_buf_printf(g->out, err, "<div class=\"views\">"));
    for (int v = 0; v < g->d->views; v++)
        RQ_TRY(put_view(g, item, v, err));
    return rq_buf_printf(g->out, err, "</div></div></section>\n");
}

static rq_status put_head(page *g, rq_err *err)
{
    const rq_dump *d = g->d;
    const rq_recipe *r = &d->recipe;
    RQ_TRY(rq_buf_printf(g->out, err, "<h1>Views of "));
    RQ_TRY(rq_html_text(g->out, d->dataset, err));
    RQ_TRY(rq_buf_printf(
        g->out, err,
        "</h1><div class=\"dim\">exactly what training gets for this seed and epoch: read from "
        "the stream, nothing is redrawn</div><div class=\"head\"><span><b>%d</b> of %llu "
        "images, "
        "%llu with a mask</span><span>recipe <b>%s</b>: %d large \xC3\x97 %d px",
        d->images, (unsigned long long)d->samples, (unsigned long long)d->masks, r->name,
        r->group[0].views, r->group[0].size));
    if (r->group[1].views > 0)
        RQ_TRY(rq_buf_printf(g->out, err, ", %d small \xC3\x97 %d px", r->group[1].views,
                             r->group[1].size));
    RQ_TRY(rq_buf_printf(g->out, err,
                         "</span><span>seed <b>%llu</b></span><span>epoch <b>%u</b></span>"
                         "<span>p-mask <b>%.3g</b>, threshold %.3g</span>"
                         "<span>dataset <code>%.16s</code></span></div>\n",
                         (unsigned long long)d->seed, d->epoch, (double)r->p_mask,
                         (double)r->mask_threshold, d->hash));
    if (d->command == NULL)
        return RQ_OK;
    RQ_TRY(rq_buf_printf(g->out, err, "<pre class=\"mono\">"));
    RQ_TRY(rq_html_text(g->out, d->command, err));
    return rq_buf_printf(g->out, err, "</pre>\n");
}

static rq_status put_page(page *g, rq_err *err)
{
    RQ_TRY(rq_html_begin(g->out, "Reliquary: views", css, err));
    RQ_TRY(put_head(g, err));
    for (int i = 0; i < g->d->images; i++)
        RQ_TRY(put_item(g, &g->d->items[i], err));
    RQ_TRY(rq_buf_printf(g->out, err,
                         "<footer>key: seed \xC2\xB7 epoch \xC2\xB7 sample \xC2\xB7 view. A "
                         "and B are the photometric presets. Point at "
                         "a box or a view to see the one that belongs to it.</footer>\n"));
    return rq_html_end(g->out, script, err);
}

rq_status rq_dump_html(const rq_dump *d, rq_buf *out, rq_err *err)
{
    page g = {.d = d, .out = out};
    const rq_status st = put_page(&g, err);
    rq_buf_free(&g.coded);
    return st;
}
