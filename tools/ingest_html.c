// SPDX-License-Identifier: Apache-2.0
//
// Drawing the page of an ingest report. First what somebody who is about to train must know,
// the totals and the distributions, then the images one by one, the worst first. Everything
// that comes from a file, names above all, goes through rq_html_text.
#include "tools/cli.h"
#include "tools/html.h"
#include "tools/ingest_page_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Pictures up to this size are magnified, or nobody would see them. */
enum { TINY_SIDE = 32 };

static const char css[] =
    ":root{--bad:#b42318}@media(prefers-color-scheme:dark){:root{--bad:#ff8a7a}}"
    "main{max-width:1320px}"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(120px,1fr));gap:12px;"
    "margin-top:20px}"
    ".tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px "
    "16px}.tile b{display:block;font-size:23px;font-weight:650;letter-spacing:-.02em;"
    "font-variant-numeric:tabular-nums}.tile.good b{color:var(--good)}.tile.warn b{color:"
    "var(--warn)}.tile.bad b{color:var(--bad)}.tile.fixed b{color:var(--accent)}"
    ".tile.none b{color:var(--dim);font-weight:500}"
    ".split{display:flex;height:8px;border-radius:99px;overflow:hidden;margin-top:14px;"
    "background:var(--line)}.split i{min-width:3px}"
    ".facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(230px,1fr));gap:6px 40px}"
    ".facts h3{font-size:12px;font-weight:600;color:var(--dim);margin:0 0 4px}"
    ".facts div div{display:flex;justify-content:space-between;gap:12px;padding:2px 0;"
    "border-bottom:1px solid var(--line)}.facts b{font-weight:500;font-variant-numeric:"
    "tabular-nums}"
    ".head{display:flex;align-items:baseline;gap:10px;flex-wrap:wrap}.head+*{margin-top:14px}"
    ".count{font-variant-numeric:tabular-nums;color:var(--dim)}"
    ".images{display:grid;grid-template-columns:repeat(auto-fill,minmax(190px,1fr));gap:14px}"
    ".images.pairs{grid-template-columns:repeat(auto-fill,minmax(400px,1fr))}"
    ".images>figure{margin:0;border:1px solid var(--line);border-radius:8px;overflow:hidden;"
    "display:flex;flex-direction:column;min-width:0}"
    ".box{height:150px;background:var(--bg);display:flex;align-items:center;justify-content:"
    "center;padding:8px;color:var(--dim);font-size:12px}"
    ".box img{max-width:100%;max-height:100%;object-fit:contain;display:block}"
    ".box img.tiny{width:64px;height:64px;image-rendering:pixelated}"
    ".two{display:grid;grid-template-columns:1fr 1fr;gap:1px;background:var(--line)}"
    ".two>div{background:var(--card);min-width:0}"
    ".kind span{white-space:nowrap}"
    "figcaption,.two p{padding:9px 11px 11px;font-size:12px;margin:0}"
    ".name{overflow-wrap:anywhere;line-height:1.35}figcaption>div+div{margin-top:3px}"
    ".tags{display:flex;flex-wrap:wrap;gap:4px}.tags i{font-style:normal;font-size:11px;"
    "border:1px solid var(--line);border-radius:99px;padding:0 7px;color:var(--dim)}"
    ".tags i.alert{color:var(--bad);border-color:var(--bad)}"
    "table{border-collapse:collapse;width:100%;font-size:13px}"
    "th{text-align:left;font-weight:600;color:var(--dim);font-size:12px}"
    "td,th{padding:5px 14px 5px 0;border-bottom:1px solid var(--line);vertical-align:baseline}"
    "td.num{white-space:nowrap;font-variant-numeric:tabular-nums}"
    "tr:last-child "
    "td{border-bottom:0}.more{margin-top:12px;color:var(--dim);font-size:12.5px}\n";

/* ---- totals ------------------------------------------------------------------------------ */

static rq_status put_tile(rq_buf *out, uint64_t n, const char *what, const char *kind,
                          rq_err *err)
{
    char text[32];
    return rq_buf_printf(out, err, "<div class=\"tile %s\"><b>%s</b>%s</div>",
                         n == 0 ? "none" : kind, rq_format_count(text, n), what);
}

static rq_status put_share(rq_buf *out, uint64_t n, uint64_t all, const char *color,
                           rq_err *err)
{
    if (n == 0)
        return RQ_OK;
    return rq_buf_printf(out, err, "<i style=\"flex:%.6f;background:var(--%s)\"></i>",
                         (double)n / (double)all, color);
}

static rq_status put_totals(rq_buf *out, const rq_report_summary *s, rq_err *err)
{
    const rq_report_totals *t = &s->totals;
    const uint64_t *v = t->verdicts;
    char size[32];
    RQ_TRY(rq_buf_printf(out, err, "<h1>Ingest report</h1><div class=\"dim\">"));
    RQ_TRY(rq_html_text(out, s->source, err));
    RQ_TRY(rq_buf_printf(out, err, "%s%s of coded images</div><div class=\"tiles\">",
                         s->source[0] != '\0' ? " \xC2\xB7 " : "",
                         rq_format_bytes(size, (double)t->bytes)));
    RQ_TRY(put_tile(out, t->images, t->images == 1 ? "image" : "images", "", err));
    RQ_TRY(put_tile(out, (uint64_t)s->classes, s->classes == 1 ? "class" : "classes", "", err));
    RQ_TRY(put_tile(out, v[RQ_VERDICT_OK], "ok", "good", err));
    RQ_TRY(put_tile(out, v[RQ_VERDICT_FIXED], "fixed", "fixed", err));
    RQ_TRY(put_tile(out, v[RQ_VERDICT_WARNED], "warned", "warn", err));
    RQ_TRY(put_tile(out, v[RQ_VERDICT_REJECTED], "rejected", "bad", err));
    RQ_TRY(put_tile(out, t->duplicates, t->duplicates == 1 ? "duplicate" : "duplicates", "warn",
                    err));
    RQ_TRY(rq_buf_printf(out, err, "</div><div class=\"split\">"));
    RQ_TRY(put_share(out, v[RQ_VERDICT_OK], t->images, "good", err));
    RQ_TRY(put_share(out, v[RQ_VERDICT_FIXED], t->images, "accent", err));
    RQ_TRY(put_share(out, v[RQ_VERDICT_WARNED], t->images, "warn", err));
    RQ_TRY(put_share(out, v[RQ_VERDICT_REJECTED], t->images, "bad", err));
    return rq_buf_printf(out, err, "</div>\n");
}

static rq_status put_fact(rq_buf *out, const char *what, uint64_t n, rq_err *err)
{
    char text[32];
    if (n == 0)
        return RQ_OK;
    return rq_buf_printf(out, err, "<div><span>%s</span><b>%s</b></div>", what,
                         rq_format_count(text, n));
}

static rq_status put_facts(rq_buf *out, const rq_ingest_stats *s, rq_err *err)
{
    bool noted = false, failed = false;
    RQ_TRY(
        rq_buf_printf(out, err, "<div class=\"card facts\"><div><h3>Formats, by content</h3>"));
    for (int i = 0; i <= RQ_CODEC_PNM; i++)
        RQ_TRY(put_fact(out, rq_codec_name((rq_codec)i), s->codecs[i], err));
    RQ_TRY(rq_buf_printf(out, err, "</div><div><h3>Colour, as coded</h3>"));
    for (int i = 0; i < RQ_COLOR_COUNT; i++)
        RQ_TRY(put_fact(out, rq_color_model_name((rq_color_model)i), s->colors[i], err));
    for (int i = 0; i < RQ_NOTE_BITS; i++)
        noted = noted || s->notes[i] > 0;
    RQ_TRY(rq_buf_printf(out, err, "</div>%s", noted ? "<div><h3>Notes</h3>" : ""));
    for (int i = 0; i < RQ_NOTE_BITS; i++)
        RQ_TRY(put_fact(out, rq_note_meaning(1u << i), s->notes[i], err));
    for (int i = 0; i < RQ_STATUS_COUNT; i++)
        failed = failed || s->errors[i] > 0;
    RQ_TRY(rq_buf_printf(out, err, "%s%s", noted ? "</div>" : "",
                         failed ? "<div><h3>Rejected because</h3>" : ""));
    for (int i = 0; i < RQ_STATUS_COUNT; i++)
        RQ_TRY(put_fact(out, rq_status_meaning((rq_status)i), s->errors[i], err));
    return rq_buf_printf(out, err, "%s</div>\n", failed ? "</div>" : "");
}

/* ---- images ------------------------------------------------------------------------------ */

static rq_status begin_group(rq_buf *out, const char *title, const rq_page_group *g,
                             const char *what, rq_err *err)
{
    char text[32];
    return rq_buf_printf(out, err,
                         "<section class=\"card\"><div class=\"head\"><h2>%s</h2>"
                         "<span class=\"count\">%s</span><span class=\"dim\">%s</span></div>\n",
                         title, rq_format_count(text, g->total), what);
}

static rq_status end_group(rq_buf *out, const rq_page_group *g, rq_err *err)
{
    char text[32];
    if (g->total > g->n)
        RQ_TRY(rq_buf_printf(out, err,
                             "<div class=\"more\">and %s more; the report names each</div>",
                             rq_format_count(text, g->total - g->n)));
    return rq_buf_printf(out, err, "</section>\n");
}

static rq_status put_picture(rq_buf *out, const rq_page_item *item, rq_err *err)
{
    if (item->picture.size == 0)
        return rq_buf_printf(out, err, "<div class=\"box\">no picture</div>");
    const bool tiny = item->width <= TINY_SIDE && item->height <= TINY_SIDE;
    RQ_TRY(rq_buf_printf(out, err,
                         "<div class=\"box\"><img%s alt=\"\" width=\"%d\" height=\"%d\" "
                         "src=\"",
                         tiny ? " class=\"tiny\"" : "", item->width, item->height));
    RQ_TRY(rq_html_data_uri(out, "image/jpeg", item->picture.data, item->picture.size, err));
    return rq_buf_printf(out, err, "\"></div>");
}

/* "PNG · RGB · 500 × 375 · 112 KiB" */
static rq_status put_kind(rq_buf *out, const rq_page_item *item, rq_err *err)
{
    char size[32];
    return rq_buf_printf(out, err,
                         "<div class=\"dim kind\">%s \xC2\xB7 %s \xC2\xB7 <span>%d \xC3\x97 %d "
                         "\xC2\xB7</span> <span>%s</span></div>",
                         rq_codec_name(item->info.codec), rq_color_model_name(item->info.color),
                         item->info.width, item->info.height,
                         rq_format_bytes(size, (double)item->bytes));
}

static rq_status put_tags(rq_buf *out, const rq_page_item *item, rq_err *err)
{
    const bool turn =
        (item->info.notes & (unsigned)(RQ_NOTE_ORIENTATION | RQ_NOTE_TURNED)) != 0;
    if (item->info.notes == 0)
        return RQ_OK;
    RQ_TRY(rq_buf_printf(out, err, "<div class=\"tags\">"));
    for (unsigned bit = 1; bit != 0; bit <<= 1)
        if ((item->info.notes & bit) != 0)
            RQ_TRY(rq_buf_printf(out, err, "<i>%s</i>", rq_note_name(bit)));
    if (turn)
        RQ_TRY(rq_buf_printf(out, err, "<i>EXIF %d</i>", item->info.orientation));
    return rq_buf_printf(out, err, "</div>");
}

static rq_status put_item(rq_buf *out, const rq_page_item *item, rq_err *err)
{
    RQ_TRY(rq_buf_printf(out, err, "<figure>"));
    RQ_TRY(put_picture(out, item, err));
    RQ_TRY(rq_buf_printf(out, err, "<figcaption><div class=\"mono name\">"));
    RQ_TRY(rq_html_text(out, item->name, err));
    RQ_TRY(rq_buf_printf(out, err, "</div>"));
    RQ_TRY(put_kind(out, item, err));
    if (item->reason[0] != '\0') {
        RQ_TRY(rq_buf_printf(out, err, "<div>"));
        RQ_TRY(rq_html_text(out, item->reason, err));
        RQ_TRY(rq_buf_printf(out, err, "</div>"));
    }
    RQ_TRY(put_tags(out, item, err));
    return rq_buf_printf(out, err, "</figcaption></figure>\n");
}

static rq_status put_group(rq_buf *out, const rq_page_group *g, const char *title,
                           const char *what, rq_err *err)
{
    if (g->total == 0)
        return RQ_OK;
    RQ_TRY(begin_group(out, title, g, what, err));
    RQ_TRY(rq_buf_printf(out, err, "<div class=\"images\">\n"));
    for (size_t i = 0; i < g->n; i++)
        RQ_TRY(put_item(out, &g->items[i], err));
    RQ_TRY(rq_buf_printf(out, err, "</div>"));
    return end_group(out, g, err);
}

/* Rows of the table from one image to another. */
static rq_status put_rows(rq_buf *out, const rq_page_group *g, size_t from, size_t to,
                          rq_err *err)
{
    RQ_TRY(rq_buf_printf(out, err,
                         "<table><tr><th>image</th><th>size</th><th>reason</th></tr>\n"));
    for (size_t i = from; i < to; i++) {
        char size[32];
        RQ_TRY(rq_buf_printf(out, err, "<tr><td class=\"mono name\">"));
        RQ_TRY(rq_html_text(out, g->items[i].name, err));
        RQ_TRY(rq_buf_printf(out, err, "</td><td class=\"num\">%s</td><td>",
                             rq_format_bytes(size, (double)g->items[i].bytes)));
        RQ_TRY(rq_html_text(out, g->items[i].reason, err));
        RQ_TRY(rq_buf_printf(out, err, "</td></tr>\n"));
    }
    return rq_buf_printf(out, err, "</table>");
}

static rq_status put_rejected(rq_buf *out, const rq_page_group *g, rq_err *err)
{
    enum { AT_ONCE = 16 };
    const size_t first = g->n > AT_ONCE + 4 ? AT_ONCE : g->n;
    if (g->total == 0)
        return RQ_OK;
    RQ_TRY(begin_group(out, "Rejected", g, "not usable; a build leaves them out", err));
    RQ_TRY(put_rows(out, g, 0, first, err));
    if (first < g->n) {
        RQ_TRY(rq_buf_printf(out, err, "<details><summary>%zu more</summary>", g->n - first));
        RQ_TRY(put_rows(out, g, first, g->n, err));
        RQ_TRY(rq_buf_printf(out, err, "</details>"));
    }
    return end_group(out, g, err);
}

/* One half of a pair. */
static rq_status put_half(rq_buf *out, const rq_page_item *item, const char *name,
                          const char *role, rq_err *err)
{
    RQ_TRY(rq_buf_printf(out, err, "<div>"));
    RQ_TRY(put_picture(out, item, err));
    RQ_TRY(rq_buf_printf(out, err,
                         "<p><span class=\"dim\">%s</span><br><span class=\"mono "
                         "name\">",
                         role));
    RQ_TRY(rq_html_text(out, name, err));
    return rq_buf_printf(out, err, "</span></p></div>");
}

static rq_status put_pair(rq_buf *out, const rq_page_item *item, rq_err *err)
{
    RQ_TRY(rq_buf_printf(out, err, "<figure><div class=\"two\">"));
    RQ_TRY(put_half(out, item, item->original, "first", err));
    RQ_TRY(put_half(out, item, item->name, "again", err));
    RQ_TRY(rq_buf_printf(out, err, "</div><figcaption>"));
    RQ_TRY(put_kind(out, item, err));
    if (item->label != item->original_label)
        RQ_TRY(rq_buf_printf(out, err,
                             "<div class=\"tags\"><i class=\"alert\">another class: label %d "
                             "and %d</i></div>",
                             item->original_label, item->label));
    return rq_buf_printf(out, err, "</figcaption></figure>\n");
}

static rq_status put_duplicates(rq_buf *out, const rq_page_group *g, const rq_report_totals *t,
                                rq_err *err)
{
    char what[160], text[32];
    if (g->total == 0)
        return RQ_OK;
    snprintf(what, sizeof what, "the same bytes twice; %s in another class; %s",
             t->conflicts > 0 ? rq_format_count(text, t->conflicts) : "none",
             t->dropped > 0 ? "the first in reading order stays" : "all are kept");
    RQ_TRY(begin_group(out, "Exact duplicates", g, what, err));
    RQ_TRY(rq_buf_printf(out, err, "<div class=\"images pairs\">\n"));
    for (size_t i = 0; i < g->n; i++)
        RQ_TRY(put_pair(out, &g->items[i], err));
    RQ_TRY(rq_buf_printf(out, err, "</div>"));
    return end_group(out, g, err);
}

/* ---- the page ---------------------------------------------------------------------------- */

static const struct {
    const char *title, *what;
} note_groups[RQ_GROUP_NOTES] = {
    {"Another format than the name says", "read by content; names are never believed"},
    {"CMYK and YCCK", "converted to RGB, inverted as Adobe writes it"},
    {"Alpha channel", "dropped, not composited on a background"},
    {"More than 8 bits per sample", "reduced to 8 bits"},
    {"Palette", "expanded to RGB"},
    {"More than one frame", "the first one is used"},
    {"Turned upright", "as the image's orientation says"},
    {"Crop ignored", "AVIF clean aperture; the whole picture is used"},
    {"Bytes behind the end", "ignored; the picture is whole"},
    {"Broken EXIF", "ignored; the picture is whole"},
    {"Orientation ignored", "shown as stored, as training loaders see it"},
    {"Grey", "one component, repeated for RGB; harmless"}};

static rq_status put_images(rq_buf *out, const rq_ingest_page *p, const rq_report_totals *t,
                            rq_err *err)
{
    RQ_TRY(put_rejected(out, &p->groups[RQ_GROUP_REJECTED], err));
    RQ_TRY(put_group(out, &p->groups[RQ_GROUP_WARNED], "Warned",
                     "the codec complained, and every row is there; look at them", err));
    for (int i = 0; i < RQ_GROUP_NOTES - 2; i++)
        RQ_TRY(put_group(out, &p->groups[RQ_GROUP_FIRST_NOTE + i], note_groups[i].title,
                         note_groups[i].what, err));
    RQ_TRY(put_duplicates(out, &p->groups[RQ_GROUP_DUPLICATES], t, err));
    for (int i = RQ_GROUP_NOTES - 2; i < RQ_GROUP_NOTES; i++)
        RQ_TRY(put_group(out, &p->groups[RQ_GROUP_FIRST_NOTE + i], note_groups[i].title,
                         note_groups[i].what, err));
    return RQ_OK;
}

rq_status rq_ingest_page_html(rq_ingest_page *p, const rq_report_summary *summary, rq_buf *out,
                              rq_err *err)
{
    rq_buf style = {0};
    RQ_TRY(rq_ingest_stats_classes(&p->stats, summary->classes, err));
    rq_status st = rq_buf_printf(&style, err, "%s%s", css, rq_bars_css);
    if (st == RQ_OK)
        st = rq_html_begin(out, "Reliquary: ingest report", (const char *)style.data, err);
    rq_buf_free(&style);
    RQ_TRY(st);
    RQ_TRY(put_totals(out, summary, err));
    RQ_TRY(rq_bars_append(out, &p->stats, err));
    RQ_TRY(put_facts(out, &p->stats, err));
    RQ_TRY(put_images(out, p, &summary->totals, err));
    RQ_TRY(rq_buf_printf(out, err,
                         "<footer>Of each kind at most %d pictures are shown, the first in "
                         "reading order. An image of several kinds stands with the first of "
                         "them.</footer>\n",
                         (int)RQ_PAGE_SHOWN));
    return rq_html_end(out, "", err);
}
