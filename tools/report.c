// SPDX-License-Identifier: Apache-2.0
//
// The page about a run. It reads what the run wrote and computes nothing but means; a run that
// is still going, was killed or was resumed gives a page as well.
#include "tools/report.h"

#include "common/file.h"
#include "tools/chart.h"
#include "tools/cli.h"
#include "tools/html.h"

#include <stdio.h>
#include <string.h>

enum { MAX_CONFIG_BYTES = 1 << 20, MAX_VIEWS_BYTES = 64 << 20 };

static const char css[] =
    ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;"
    "margin-top:18px}.tile{padding:12px 16px;margin:0}.tile b{display:block;font-size:22px;"
    "font-weight:650;font-variant-numeric:tabular-nums;letter-spacing:-.01em}"
    ".tile small{color:var(--dim)}.tile.good b{color:var(--good)}.tile.warn "
    "b{color:var(--warn)}"
    ".sheet{max-width:100%;height:auto;border-radius:8px;display:block;margin-top:10px}"
    "section h2{margin-bottom:4px}\n";

/* Charts that are always in the same place, when the run has the numbers. */
static const struct {
    const char *title, *note;
    const char *fields[RQ_CHART_MAX_SERIES];
    bool smooth;
} known[] = {
    {"Loss", "", {"loss"}, true},
    {"kNN accuracy", "", {"knn"}, false},
    {"Terms", "before their weights", {"contrastive", "invariance"}, false},
    {"Agreement",
     "share of anchors whose own other view is the most similar candidate",
     {"agreement"},
     true},
    {"Spread of the embeddings",
     "standard deviation per dimension times the root of their number: 1 is spread over the "
     "sphere, 0 is collapsed",
     {"std"},
     false},
    {"Learning rate", "", {"lr"}, false},
    {"Momentum of the target network", "", {"ema"}, false},
};

typedef struct run {
    rq_curves metrics, timing;
    rq_buf config, views;
    const char *dir;
    bool shown[RQ_CURVES_MAX]; /* metrics that have a place already */
} run;

static void run_free(run *r)
{
    rq_curves_free(&r->metrics);
    rq_curves_free(&r->timing);
    rq_buf_free(&r->config);
    rq_buf_free(&r->views);
}

/* ---- reading ---------------------------------------------------------------------------- */

/* A file of the run that may be missing. */
static rq_status optional(rq_status st, rq_err *local, rq_err *err)
{
    if (st == RQ_OK || st == RQ_NOT_FOUND)
        return RQ_OK;
    return rq_fail(err, st, "%s", local->text);
}

static rq_status read_run(run *r, const char *views_png, rq_err *err)
{
    char *metrics = rq_path_join(r->dir, "metrics.jsonl");
    char *timing = rq_path_join(r->dir, "timing.jsonl");
    char *config = rq_path_join(r->dir, "config.txt");
    rq_status st = metrics == NULL || timing == NULL || config == NULL
                       ? rq_fail(err, RQ_OOM, "out of memory for a file name")
                       : rq_curves_read(&r->metrics, metrics, err);
    if (st == RQ_NOT_FOUND)
        rq_err_prefix(err, "%s is not the folder of a run", r->dir);
    if (st == RQ_OK && r->metrics.lines == 0)
        st =
            rq_fail(err, RQ_BAD_FORMAT,
                    "%s holds no line of metrics yet; let the run do its first steps", metrics);
    rq_err local = {0};
    if (st == RQ_OK)
        st = optional(rq_curves_read(&r->timing, timing, &local), &local, err);
    rq_err_clear(&local);
    if (st == RQ_OK)
        st = optional(rq_file_read(config, MAX_CONFIG_BYTES, &r->config, &local), &local, err);
    if (st == RQ_OK && views_png != NULL)
        st = rq_file_read(views_png, MAX_VIEWS_BYTES, &r->views, err);
    if (st == RQ_OK && r->views.size > 0 &&
        (r->views.size < 8 || memcmp(r->views.data, "\x89PNG\r\n\x1a\n", 8) != 0))
        st = rq_fail(
            err, RQ_BAD_FORMAT,
            "%s is no PNG; make a contact sheet with 'rq-dump views DATASET --png FILE'",
            views_png);
    rq_free(metrics);
    rq_free(timing);
    rq_free(config);
    return st;
}

/* ---- headline numbers ------------------------------------------------------------------- */

static double last(const rq_curve *c)
{
    return c->y[c->n - 1];
}

/* Mean of the last twentieth, at least one point. */
static double tail_mean(const rq_curve *c)
{
    const size_t n = c->n / 20 > 0 ? c->n / 20 : 1;
    double sum = 0;
    for (size_t i = c->n - n; i < c->n; i++)
        sum += c->y[i];
    return sum / (double)n;
}

static double best(const rq_curve *c)
{
    double top = c->y[0];
    for (size_t i = 1; i < c->n; i++)
        top = c->y[i] > top ? c->y[i] : top;
    return top;
}

static rq_status tile(rq_buf *out, const char *kind, const char *value, const char *name,
                      rq_err *err)
{
    RQ_TRY(
        rq_buf_printf(out, err, "<div class=\"card tile %s\"><b>%s</b><small>", kind, value));
    RQ_TRY(rq_html_text(out, name, err));
    return rq_buf_printf(out, err, "</small></div>");
}

static rq_status put_tiles(rq_buf *out, const run *r, rq_err *err)
{
    const rq_curves *m = &r->metrics;
    const rq_curve *loss = rq_curves_find(m, "loss"), *std = rq_curves_find(m, "std");
    const rq_curve *knn = rq_curves_find(m, "knn"), *epoch = rq_curves_find(m, "epoch");
    const rq_curve *step = rq_curves_find(m, "step");
    const rq_curve *speed = rq_curves_find(&r->timing, "images_per_s");
    char value[96], count[32];
    RQ_TRY(rq_buf_printf(out, err, "<div class=\"tiles\">"));
    if (step != NULL)
        RQ_TRY(tile(out, "", rq_format_count(count, (uint64_t)last(step)), "steps", err));
    if (epoch != NULL) {
        snprintf(value, sizeof value, "%.4g", last(epoch));
        RQ_TRY(tile(out, "", value, "epoch", err));
    }
    if (loss != NULL) {
        snprintf(value, sizeof value, "%.4g", tail_mean(loss));
        RQ_TRY(tile(out, "", value, "loss, mean of the last 5 %", err));
    }
    if (std != NULL) {
        snprintf(value, sizeof value, "%.3f", last(std));
        RQ_TRY(tile(out, last(std) < 0.1 ? "warn" : "good", value,
                    last(std) < 0.1 ? "spread: collapsed?" : "spread of the embeddings", err));
    }
    if (knn != NULL) {
        snprintf(value, sizeof value, "%.1f %%", 100 * last(knn));
        RQ_TRY(tile(out, "", value, "kNN, last", err));
        snprintf(value, sizeof value, "%.1f %%", 100 * best(knn));
        RQ_TRY(tile(out, "good", value, "kNN, best", err));
    }
    if (speed != NULL) {
        snprintf(value, sizeof value, "%.4g", tail_mean(speed));
        RQ_TRY(tile(out, "", value, "images per second", err));
    }
    return rq_buf_printf(out, err, "</div>\n");
}

/* ---- charts ----------------------------------------------------------------------------- */

static rq_status put_known(rq_buf *out, run *r, rq_err *err)
{
    for (size_t k = 0; k < sizeof known / sizeof known[0]; k++) {
        rq_chart chart = {
            .title = known[k].title, .note = known[k].note, .smooth = known[k].smooth};
        for (int f = 0; f < RQ_CHART_MAX_SERIES && known[k].fields[f] != NULL; f++) {
            const rq_curve *c = rq_curves_find(&r->metrics, known[k].fields[f]);
            if (c == NULL)
                continue;
            r->shown[c - r->metrics.curve] = true;
            chart.series[chart.n_series++] = c;
        }
        if (chart.n_series > 0)
            RQ_TRY(rq_chart_append(out, &chart, err));
    }
    return RQ_OK;
}

static bool is_axis(const char *name)
{
    static const char *const axes[] = {"step", "epoch", "time", "seconds"};
    for (size_t i = 0; i < sizeof axes / sizeof axes[0]; i++)
        if (strcmp(name, axes[i]) == 0)
            return true;
    return false;
}

static rq_status put_others(rq_buf *out, const rq_curves *c, const bool *shown, rq_err *err)
{
    for (size_t i = 0; i < c->n; i++) {
        if ((shown != NULL && shown[i]) || is_axis(c->curve[i].name))
            continue;
        const rq_chart chart = {.title = c->curve[i].name,
                                .note = "",
                                .series = {&c->curve[i]},
                                .n_series = 1,
                                .smooth = true};
        RQ_TRY(rq_chart_append(out, &chart, err));
    }
    return RQ_OK;
}

/* ---- the page --------------------------------------------------------------------------- */

static rq_status put_head(rq_buf *out, const run *r, rq_err *err)
{
    RQ_TRY(rq_buf_printf(out, err, "<h1>Run "));
    RQ_TRY(rq_html_text(out, r->dir, err));
    RQ_TRY(rq_buf_printf(out, err, "</h1><div class=\"dim\">%zu lines of metrics",
                         r->metrics.lines));
    if (r->metrics.torn)
        RQ_TRY(rq_buf_printf(out, err, "; the last one is torn, as a killed run leaves it"));
    if (r->metrics.bad_lines > 0)
        RQ_TRY(rq_buf_printf(out, err, "; %zu lines could not be read and are left out",
                             r->metrics.bad_lines));
    return rq_buf_printf(out, err, "</div>\n");
}

static rq_status put_views(rq_buf *out, const run *r, rq_err *err)
{
    if (r->views.size == 0)
        return RQ_OK;
    RQ_TRY(rq_buf_printf(out, err,
                         "<section class=\"card\"><h2>Views it was trained on</h2>"
                         "<img class=\"sheet\" alt=\"contact sheet\" src=\""));
    RQ_TRY(rq_html_data_uri(out, "image/png", r->views.data, r->views.size, err));
    return rq_buf_printf(out, err, "\"></section>\n");
}

static rq_status put_config(rq_buf *out, const run *r, rq_err *err)
{
    if (r->config.size == 0)
        return RQ_OK;
    RQ_TRY(rq_buf_printf(out, err,
                         "<section class=\"card\"><h2>Effective configuration</h2>"
                         "<pre class=\"mono\">"));
    RQ_TRY(rq_html_text(out, (const char *)r->config.data, err));
    return rq_buf_printf(out, err, "</pre></section>\n");
}

static rq_status put_page(rq_buf *out, run *r, rq_err *err)
{
    char style[sizeof css + 4096];
    snprintf(style, sizeof style, "%s%s", rq_chart_css, css);
    RQ_TRY(rq_html_begin(out, "Reliquary: run report", style, err));
    RQ_TRY(put_head(out, r, err));
    RQ_TRY(put_tiles(out, r, err));
    RQ_TRY(rq_buf_printf(out, err, "<div class=\"charts\">\n"));
    RQ_TRY(put_known(out, r, err));
    RQ_TRY(put_others(out, &r->metrics, r->shown, err));
    RQ_TRY(put_others(out, &r->timing, NULL, err));
    RQ_TRY(rq_buf_printf(out, err, "</div>\n"));
    RQ_TRY(put_views(out, r, err));
    RQ_TRY(put_config(out, r, err));
    return rq_html_end(out, rq_chart_script, err);
}

rq_status rq_report_html(const char *run_dir, const char *views_png, rq_buf *out, rq_err *err)
{
    run r = {.dir = run_dir};
    rq_status st = read_run(&r, views_png, err);
    if (st == RQ_OK)
        st = put_page(out, &r, err);
    run_free(&r);
    return st;
}

int rq_report_command(int argc, char **argv)
{
    const char *out = NULL, *views = NULL;
    const rq_opt opts[] = {{RQ_OPT_STRING, "out", 'o', &out, "FILE",
                            "page to write; RUN_DIR/report.html if absent", 0, 0, NULL},
                           {RQ_OPT_STRING, "views", 0, &views, "PNG",
                            "contact sheet to show, as 'rq-dump views --png' writes it", 0, 0,
                            NULL},
                           {0}};
    int n_args = 0;
    const int rc = rq_cli_parse(argc, argv, "RUN_DIR [-o FILE]",
                                "  rq-train report run -o report.html\n", opts, &n_args);
    if (rc >= 0)
        return rc;
    if (n_args != 1)
        return rq_cli_usage("%s", n_args == 0 ? "which run? name the folder it writes to"
                                              : "one run at a time");
    rq_err err = {0};
    rq_buf page = {0};
    char *beside = rq_path_join(argv[1], "report.html");
    const char *path = out != NULL ? out : beside;
    rq_status st = path == NULL ? rq_fail(&err, RQ_OOM, "out of memory for a file name")
                                : rq_report_html(argv[1], views, &page, &err);
    if (st == RQ_OK)
        st = rq_file_write_atomic(path, page.data, page.size, &err);
    if (st == RQ_OK)
        printf("%s\n", path);
    rq_buf_free(&page);
    rq_free(beside);
    return st == RQ_OK ? 0 : rq_cli_fail(&err);
}
