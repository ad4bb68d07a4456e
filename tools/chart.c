// SPDX-License-Identifier: Apache-2.0
//
// Charts without a library: a polyline in a box with round axis numbers. The vertical range
// leaves out the outermost hundredth of the points when that shows the rest at more than twice
// the size, since the first steps of a run often dwarf everything after them.
#include "tools/chart.h"

#include "tools/html.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 620, HEIGHT = 250, LEFT = 58, RIGHT = 14, TOP = 12, BOTTOM = 28, POINTS = 500 };

static const char *const colors[RQ_CHART_MAX_SERIES] = {"var(--c1)", "var(--c2)", "var(--c3)",
                                                        "var(--c4)"};

const char rq_chart_css[] =
    ":root{--c1:#2456d6;--c2:#d1410c;--c3:#137a4b;--c4:#8b3fd1}"
    "@media(prefers-color-scheme:dark){:root{--c1:#7ea6ff;--c2:#ff9466;--c3:#4cc38a;"
    "--c4:#c79bff}}"
    ".charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(420px,1fr));gap:18px;"
    "margin-top:18px}figure.chart{margin:0;padding:14px 16px}"
    "figure.chart h2{display:flex;gap:12px;align-items:baseline}"
    "figure.chart .dim{font-size:12px;min-height:18px}"
    "figure.chart svg{width:100%;height:auto;display:block;margin-top:6px}"
    ".chart svg text{font-size:11px;fill:var(--dim)}"
    ".chart .grid{stroke:var(--line);stroke-width:1}"
    ".chart polyline{fill:none;stroke-width:1.8;stroke-linejoin:round}"
    ".chart polyline.faint{stroke-width:1;opacity:.3}"
    ".chart .cross{stroke:var(--dim);stroke-width:1;stroke-dasharray:3 3}"
    ".key{font-size:12px;font-weight:400;color:var(--dim)}.key b{font-weight:600}\n";

const char rq_chart_script[] =
    "for(const f of document.querySelectorAll('figure.chart')){const s=f.querySelector('svg'),"
    "a=s.dataset.axes.split(' "
    "').map(Number),o=f.querySelector('.at'),c=f.querySelector('.cross');"
    "const L=[...s.querySelectorAll('polyline[data-name]')].map(p=>({n:p.dataset.name,"
    "q:p.getAttribute('points').trim().split(' ').map(t=>t.split(',').map(Number))}));"
    "const num=v=>Math.abs(v)>=1e5||(v&&Math.abs(v)<1e-3)?v.toExponential(3):+v.toPrecision(5);"
    "s.addEventListener('mousemove',e=>{const r=s.getBoundingClientRect(),"
    "x=(e.clientX-r.left)/r.width*s.viewBox.baseVal.width;let t='',X=null;"
    "for(const l of L){let b=l.q[0];for(const q of "
    "l.q)if(Math.abs(q[0]-x)<Math.abs(b[0]-x))b=q;"
    "if(X===null){X=b[0];t='step '+Math.round(a[0]+(X-a[4])/a[6]*(a[1]-a[0]))}"
    "t+=' \\u00b7 '+l.n+' '+num(a[3]-(b[1]-a[5])/a[7]*(a[3]-a[2]))}"
    "o.textContent=t;c.setAttribute('x1',X);c.setAttribute('x2',X);c.style.display=''});"
    "s.addEventListener('mouseleave',()=>{o.textContent=o.dataset.note;c.style.display='none'})"
    "}\n";

/* What a chart is drawn in. */
typedef struct frame {
    double x0, x1, y0, y1;
} frame;

double rq_chart_step(double span, int parts)
{
    if (!(span > 0) || !isfinite(span) || parts < 1)
        return 1;
    const double raw = span / parts, power = pow(10, floor(log10(raw)));
    const double lead = raw / power * (1 + 1e-9);
    return (lead >= 5 ? 5 : lead >= 2 ? 2 : 1) * power;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* All values of the chart, sorted, in new memory. */
static double *sorted_values(const rq_chart *chart, size_t *n)
{
    *n = 0;
    for (int s = 0; s < chart->n_series; s++)
        *n += chart->series[s]->n;
    double *all = rq_alloc(*n, sizeof *all);
    if (all == NULL)
        return NULL;
    size_t at = 0;
    for (int s = 0; s < chart->n_series; s++) {
        memcpy(all + at, chart->series[s]->y, chart->series[s]->n * sizeof *all);
        at += chart->series[s]->n;
    }
    qsort(all, *n, sizeof *all, ascending);
    return all;
}

static rq_status frame_of(const rq_chart *chart, frame *f, rq_err *err)
{
    size_t n;
    double *all = sorted_values(chart, &n);
    if (all == NULL)
        return rq_fail(err, RQ_OOM, "out of memory for a chart");
    const size_t cut = n / 100;
    f->y0 = all[0];
    f->y1 = all[n - 1];
    if (f->y1 - f->y0 > 2 * (all[n - 1 - cut] - all[cut]) && all[n - 1 - cut] > all[cut]) {
        f->y0 = all[cut];
        f->y1 = all[n - 1 - cut];
    }
    rq_free(all);
    f->x0 = INFINITY;
    f->x1 = -INFINITY;
    for (int s = 0; s < chart->n_series; s++) {
        f->x0 = fmin(f->x0, chart->series[s]->x[0]);
        f->x1 = fmax(f->x1, chart->series[s]->x[chart->series[s]->n - 1]);
    }
    if (f->x1 <= f->x0)
        f->x1 = f->x0 + 1;
    const double pad =
        f->y1 > f->y0 ? (f->y1 - f->y0) * 0.06 : (f->y0 != 0 ? fabs(f->y0) * 0.1 : 1);
    /* A curve that never goes below zero is not given room there. */
    f->y0 = f->y0 >= 0 && f->y0 < pad ? 0 : f->y0 - pad;
    f->y1 += pad;
    return RQ_OK;
}

static double to_x(const frame *f, double x)
{
    return LEFT + (x - f->x0) / (f->x1 - f->x0) * (WIDTH - LEFT - RIGHT);
}

static double to_y(const frame *f, double y)
{
    const double c = y < f->y0 ? f->y0 : y > f->y1 ? f->y1 : y;
    return TOP + (f->y1 - c) / (f->y1 - f->y0) * (HEIGHT - TOP - BOTTOM);
}

static rq_status put_axes(rq_buf *out, const frame *f, rq_err *err)
{
    const double ys = rq_chart_step(f->y1 - f->y0, 4), xs = rq_chart_step(f->x1 - f->x0, 4);
    for (double y = ceil(f->y0 / ys) * ys; y <= f->y1; y += ys)
        RQ_TRY(
            rq_buf_printf(out, err,
                          "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
                          "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.6g</text>",
                          LEFT, WIDTH - RIGHT, to_y(f, y), to_y(f, y), LEFT - 7, to_y(f, y) + 4,
                          fabs(y) < ys * 1e-6 ? 0.0 : y));
    for (double x = ceil(f->x0 / xs) * xs; x <= f->x1; x += xs)
        RQ_TRY(rq_buf_printf(out, err,
                             "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.10g</text>",
                             to_x(f, x), HEIGHT - 8, fabs(x) < xs * 1e-6 ? 0.0 : x));
    return RQ_OK;
}

static rq_status put_points(rq_buf *out, const frame *f, const double *x, const double *y,
                            size_t n, rq_err *err)
{
    const size_t points = n < POINTS ? n : POINTS;
    for (size_t p = 0, i = 0; p < points; p++) {
        const size_t start = i, end = (p + 1) * n / points;
        double sx = 0, sy = 0;
        for (; i < end; i++) {
            sx += x[i];
            sy += y[i];
        }
        const double count = (double)(end - start);
        RQ_TRY(rq_buf_printf(out, err, "%.2f,%.2f ", to_x(f, sx / count), to_y(f, sy / count)));
    }
    return RQ_OK;
}

/* Mean over the points within `reach` to both sides, fewer at the ends, so that it does not lag
 * behind the curve. */
static void running_mean(double *dst, const double *y, size_t n, size_t reach)
{
    double sum = 0;
    size_t from = 0, to = 0;
    for (size_t i = 0; i < n; i++) {
        while (to < n && to <= i + reach)
            sum += y[to++];
        while (from + reach < i)
            sum -= y[from++];
        dst[i] = sum / (double)(to - from);
    }
}

static rq_status put_smoothed(rq_buf *out, const frame *f, const rq_curve *c, rq_err *err)
{
    double *mean = rq_alloc(c->n, sizeof *mean);
    if (mean == NULL)
        return rq_fail(err, RQ_OOM, "out of memory for a chart");
    running_mean(mean, c->y, c->n, c->n / 50 + 1);
    const rq_status st = put_points(out, f, c->x, mean, c->n, err);
    rq_free(mean);
    return st;
}

static rq_status put_curve(rq_buf *out, const frame *f, const rq_curve *c, const char *color,
                           bool smooth, rq_err *err)
{
    const bool mean = smooth && c->n >= 20;
    if (mean) {
        RQ_TRY(rq_buf_printf(out, err, "<polyline class=\"faint\" stroke=\"%s\" points=\"",
                             color));
        RQ_TRY(put_points(out, f, c->x, c->y, c->n, err));
        RQ_TRY(rq_buf_printf(out, err, "\"/>"));
    }
    if (c->n == 1)
        RQ_TRY(rq_buf_printf(out, err, "<circle cx=\"%.2f\" cy=\"%.2f\" r=\"3\" fill=\"%s\"/>",
                             to_x(f, c->x[0]), to_y(f, c->y[0]), color));
    RQ_TRY(rq_buf_printf(out, err, "<polyline stroke=\"%s\" data-name=\"", color));
    RQ_TRY(rq_html_text(out, c->name, err));
    RQ_TRY(rq_buf_printf(out, err, "\" points=\""));
    RQ_TRY(mean ? put_smoothed(out, f, c, err) : put_points(out, f, c->x, c->y, c->n, err));
    return rq_buf_printf(out, err, "\"/>");
}

static rq_status put_heading(rq_buf *out, const rq_chart *chart, rq_err *err)
{
    RQ_TRY(rq_buf_printf(out, err, "<figure class=\"card chart\"><h2>"));
    RQ_TRY(rq_html_text(out, chart->title, err));
    for (int s = 0; chart->n_series > 1 && s < chart->n_series; s++) {
        RQ_TRY(rq_buf_printf(out, err, "<span class=\"key\"><b style=\"color:%s\">&#9473;</b> ",
                             colors[s]));
        RQ_TRY(rq_html_text(out, chart->series[s]->name, err));
        RQ_TRY(rq_buf_printf(out, err, "</span>"));
    }
    RQ_TRY(rq_buf_printf(out, err, "</h2><div class=\"dim at\" data-note=\""));
    RQ_TRY(rq_html_text(out, chart->note, err));
    RQ_TRY(rq_buf_printf(out, err, "\">"));
    RQ_TRY(rq_html_text(out, chart->note, err));
    return rq_buf_printf(out, err, "</div>");
}

rq_status rq_chart_append(rq_buf *out, const rq_chart *chart, rq_err *err)
{
    frame f;
    RQ_TRY(frame_of(chart, &f, err));
    RQ_TRY(put_heading(out, chart, err));
    RQ_TRY(rq_buf_printf(out, err,
                         "<svg viewBox=\"0 0 %d %d\" role=\"img\" "
                         "data-axes=\"%.17g %.17g %.17g %.17g %d %d %d %d\">",
                         WIDTH, HEIGHT, f.x0, f.x1, f.y0, f.y1, LEFT, TOP, WIDTH - LEFT - RIGHT,
                         HEIGHT - TOP - BOTTOM));
    RQ_TRY(put_axes(out, &f, err));
    for (int s = 0; s < chart->n_series; s++)
        RQ_TRY(put_curve(out, &f, chart->series[s], colors[s], chart->smooth && s == 0, err));
    return rq_buf_printf(out, err,
                         "<line class=\"cross\" y1=\"%d\" y2=\"%d\" style=\"display:none\"/>"
                         "</svg></figure>\n",
                         TOP, HEIGHT - BOTTOM);
}
