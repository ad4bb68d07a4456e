// SPDX-License-Identifier: Apache-2.0
//
// Distributions as bars in inline SVG. Bars are drawn in a fixed box and scaled to the highest
// one; each says its range and count when pointed at. A dataset of few classes shows each class
// by name, one of many the distribution of their sizes.
#include "tools/chart.h"
#include "tools/cli.h"
#include "tools/html.h"
#include "tools/ingest_page_impl.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 290, HEIGHT = 130, BOTTOM = 20, TOP = 6, FEW_CLASSES = 24, CLASS_BINS = 28 };

const char rq_bars_css[] =
    ".bars{display:grid;grid-template-columns:repeat(auto-fit,minmax(290px,1fr));gap:18px;"
    "margin-top:18px}.bars figure{margin:0;padding:16px 18px}"
    ".bars svg{width:100%;height:auto;display:block;margin-top:8px}"
    ".bars svg text{font-size:10px;fill:var(--dim);text-anchor:middle}"
    ".bars rect{fill:var(--accent);opacity:.82}.bars rect:hover{opacity:1}"
    ".bars line{stroke:var(--line)}"
    ".bars .note{font-size:12.5px;margin-top:2px;overflow-wrap:anywhere}"
    ".few{display:grid;grid-template-columns:minmax(60px,max-content) 1fr max-content;"
    "gap:4px 12px;align-items:center;margin-top:10px;font-size:12.5px}"
    ".few i{display:block;height:10px;border-radius:3px;background:var(--accent);opacity:.82}"
    ".few b{font-weight:400;font-variant-numeric:tabular-nums}"
    ".few span{overflow:hidden;text-overflow:ellipsis;white-space:nowrap;max-width:220px}\n";

static rq_status begin(rq_buf *out, const char *title, rq_err *err)
{
    return rq_buf_printf(out, err, "<figure class=\"card\"><h2>%s</h2><div class=\"dim note\">",
                         title);
}

static uint64_t highest(const uint64_t *count, int n)
{
    uint64_t most = 1;
    for (int i = 0; i < n; i++)
        most = count[i] > most ? count[i] : most;
    return most;
}

static rq_status put_bar(rq_buf *out, double x, double w, uint64_t count, uint64_t most,
                         const char *range, rq_err *err)
{
    char text[32];
    if (count == 0)
        return RQ_OK;
    const double room = HEIGHT - TOP - BOTTOM;
    const double h = fmax((double)count / (double)most * room, 1);
    return rq_buf_printf(
        out, err,
        "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"1.5\">"
        "<title>%s: %s</title></rect>",
        x + 0.4, TOP + room - h, fmax(w - 0.8, 0.5), h, range, rq_format_count(text, count));
}

static rq_status put_tick(rq_buf *out, double x, const char *text, rq_err *err)
{
    return rq_buf_printf(out, err,
                         "<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>"
                         "<text x=\"%.1f\" y=\"%d\">%s</text>",
                         x, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 4, x, HEIGHT - 5, text);
}

static rq_status begin_svg(rq_buf *out, rq_err *err)
{
    return rq_buf_printf(out, err,
                         "</div><svg viewBox=\"0 0 %d %d\"><line x1=\"0\" y1=\"%d\" x2=\"%d\" "
                         "y2=\"%d\"/>",
                         WIDTH, HEIGHT, HEIGHT - BOTTOM, WIDTH, HEIGHT - BOTTOM);
}

/* ---- log2 scales ------------------------------------------------------------------------- */

typedef void (*label_fn)(char *text, size_t bytes, double value);

static void label_pixels(char *text, size_t bytes, double value)
{
    snprintf(text, bytes, "%.0f", value);
}

static void label_bytes(char *text, size_t bytes, double value)
{
    char number[32];
    snprintf(text, bytes, "%s", rq_format_bytes(number, value));
}

static void label_ratio(char *text, size_t bytes, double value)
{
    snprintf(text, bytes, "%.2f", value);
}

/* First and last bin that hold something, with one more on either side. */
static void used_bins(const rq_bins *b, int *first, int *last)
{
    *first = 0;
    *last = b->n - 1;
    while (*first < b->n - 1 && b->count[*first] == 0)
        (*first)++;
    while (*last > *first && b->count[*last] == 0)
        (*last)--;
    *first -= *first > 0;
    *last += *last < b->n - 1;
}

/* Ticks at multiples of `every` octaves. */
static rq_status put_log_bars(rq_buf *out, const rq_bins *b, double every, label_fn label,
                              rq_err *err)
{
    int first, last;
    used_bins(b, &first, &last);
    const double w = (double)WIDTH / (last - first + 1), low = b->first + first * b->step;
    const uint64_t most = highest(b->count, b->n);
    RQ_TRY(begin_svg(out, err));
    for (int i = first; i <= last; i++) {
        char from[48], to[48], range[112];
        label(from, sizeof from, exp2(b->first + i * b->step));
        label(to, sizeof to, exp2(b->first + (i + 1) * b->step));
        snprintf(range, sizeof range, "%s to %s", from, to);
        RQ_TRY(put_bar(out, (i - first) * w, w, b->count[i], most, range, err));
    }
    for (double t = ceil(low / every) * every; t < low + (last - first + 1) * b->step;
         t += every) {
        char text[48];
        label(text, sizeof text, exp2(t));
        const double x = (t - low) / b->step * w;
        if (x > 16 && x < WIDTH - 16)
            RQ_TRY(put_tick(out, x, text, err));
    }
    return rq_buf_printf(out, err, "</svg></figure>\n");
}

static rq_status put_sides(rq_buf *out, const rq_ingest_stats *s, rq_err *err)
{
    RQ_TRY(begin(out, "Shorter side, pixels", err));
    RQ_TRY(rq_buf_printf(out, err, "smallest %d, median %d, largest %d",
                         rq_ingest_stats_side(s, 0), rq_ingest_stats_side(s, 0.5),
                         rq_ingest_stats_side(s, 1)));
    if (s->kept >= 100)
        RQ_TRY(rq_buf_printf(out, err, "; 1 in 100 has %d or less",
                             rq_ingest_stats_side(s, 0.01)));
    return put_log_bars(out, &s->side, 1, label_pixels, err);
}

static rq_status put_aspect(rq_buf *out, const rq_ingest_stats *s, rq_err *err)
{
    const double n = (double)(s->kept > 0 ? s->kept : 1);
    RQ_TRY(begin(out, "Width to height", err));
    RQ_TRY(rq_buf_printf(out, err, "%.0f %% wide, %.0f %% tall, %.0f %% square",
                         100 * (double)s->landscape / n, 100 * (double)s->portrait / n,
                         100 * (double)(s->kept - s->landscape - s->portrait) / n));
    return put_log_bars(out, &s->aspect, 0.5, label_ratio, err);
}

static rq_status put_file_sizes(rq_buf *out, const rq_ingest_stats *s, rq_err *err)
{
    RQ_TRY(begin(out, "File size", err));
    RQ_TRY(rq_buf_printf(out, err, "in half octaves"));
    return put_log_bars(out, &s->bytes, 2, label_bytes, err);
}

/* ---- classes ----------------------------------------------------------------------------- */

/* Isolated, so that a name that is written from right to left turns nothing else around. */
static rq_status put_class_name(rq_buf *out, const rq_class_stats *c, rq_err *err)
{
    RQ_TRY(rq_buf_printf(out, err, "<bdi>"));
    RQ_TRY(rq_html_text(out, c->name != NULL ? c->name : "no file in it", err));
    return rq_buf_printf(out, err, "</bdi>");
}

static rq_status put_few_classes(rq_buf *out, const rq_ingest_stats *s, uint64_t most,
                                 rq_err *err)
{
    RQ_TRY(rq_buf_printf(out, err, "</div><div class=\"few\">"));
    for (size_t i = 0; i < s->n_classes; i++) {
        char text[32];
        RQ_TRY(rq_buf_printf(out, err, "<span>"));
        RQ_TRY(put_class_name(out, &s->classes[i], err));
        RQ_TRY(rq_buf_printf(out, err, "</span><i style=\"width:%.1f%%\"></i><b>%s</b>",
                             100 * (double)s->classes[i].images / (double)most,
                             rq_format_count(text, s->classes[i].images)));
    }
    return rq_buf_printf(out, err, "</div></figure>\n");
}

static rq_status put_many_classes(rq_buf *out, const rq_ingest_stats *s, uint64_t least,
                                  uint64_t most, rq_err *err)
{
    uint64_t count[CLASS_BINS + 2] = {0};
    const uint64_t span = most - least + 1;
    const uint64_t step = (span + CLASS_BINS - 1) / CLASS_BINS;
    const uint64_t low = least / step * step;
    const int bins = (int)((most - low) / step) + 1;
    for (size_t i = 0; i < s->n_classes; i++)
        count[(s->classes[i].images - low) / step]++;
    const double w = (double)WIDTH / bins;
    const uint64_t tallest = highest(count, bins);
    RQ_TRY(begin_svg(out, err));
    for (int i = 0; i < bins; i++) {
        char range[80];
        const uint64_t from = low + (uint64_t)i * step;
        if (step == 1)
            snprintf(range, sizeof range, "classes of %" PRIu64 " images", from);
        else
            snprintf(range, sizeof range, "classes of %" PRIu64 " to %" PRIu64 " images", from,
                     from + step - 1);
        RQ_TRY(put_bar(out, i * w, w, count[i], tallest, range, err));
    }
    const double every = fmax(rq_chart_step((double)(bins * (int64_t)step), 5), 1);
    for (double t = ceil((double)low / every) * every; t < (double)low + bins * (double)step;
         t += every) {
        char text[32];
        const double x = (t - (double)low) / (double)step * w;
        if (x > 16 && x < WIDTH - 16)
            RQ_TRY(put_tick(out, x, rq_format_count(text, (uint64_t)t), err));
    }
    return rq_buf_printf(out, err, "</svg></figure>\n");
}

/* "fewest 3 (ant), most 7 (bee)" */
static rq_status put_extremes(rq_buf *out, const rq_class_stats *least,
                              const rq_class_stats *most, rq_err *err)
{
    char text[32];
    RQ_TRY(rq_buf_printf(out, err, "fewest %s (", rq_format_count(text, least->images)));
    RQ_TRY(put_class_name(out, least, err));
    RQ_TRY(rq_buf_printf(out, err, "), most %s (", rq_format_count(text, most->images)));
    RQ_TRY(put_class_name(out, most, err));
    return rq_buf_printf(out, err, ")");
}

static rq_status put_classes(rq_buf *out, const rq_ingest_stats *s, rq_err *err)
{
    const rq_class_stats *c = s->classes;
    size_t least = 0, most = 0;
    for (size_t i = 1; i < s->n_classes; i++) {
        least = c[i].images < c[least].images ? i : least;
        most = c[i].images > c[most].images ? i : most;
    }
    if (s->n_classes == 0 || c[most].images == 0) /* classes are known, labels are not */
        return RQ_OK;
    char text[32];
    const bool even = c[least].images == c[most].images;
    RQ_TRY(begin(out, "Images per class", err));
    if (even)
        RQ_TRY(rq_buf_printf(out, err, "%s in %s", rq_format_count(text, c[most].images),
                             s->n_classes == 1 ? "the only one" : "every class"));
    else
        RQ_TRY(put_extremes(out, &c[least], &c[most], err));
    if (s->n_classes <= FEW_CLASSES)
        return put_few_classes(out, s, c[most].images, err);
    if (even) /* nothing to draw */
        return rq_buf_printf(out, err, "</div></figure>\n");
    return put_many_classes(out, s, c[least].images, c[most].images, err);
}

rq_status rq_bars_append(rq_buf *out, const rq_ingest_stats *s, rq_err *err)
{
    if (s->kept == 0)
        return RQ_OK;
    RQ_TRY(rq_buf_printf(out, err, "<div class=\"bars\">"));
    RQ_TRY(put_classes(out, s, err));
    RQ_TRY(put_sides(out, s, err));
    RQ_TRY(put_aspect(out, s, err));
    RQ_TRY(put_file_sizes(out, s, err));
    return rq_buf_printf(out, err, "</div>\n");
}
