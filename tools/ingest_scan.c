// SPDX-License-Identifier: Apache-2.0
//
// `rq-ingest scan`: every image of a source is decoded and judged; a report, a page and one
// line say what came out. Outputs are opened before the source is listed, so that a path that
// cannot be written fails at once, and get their names when all is done.
#include "ingest/scan.h"
#include "tools/ingest_commands.h"
#include "tools/source_opts.h"

#include "common/clock.h"

#include <string.h>

static const char *const exif_modes[] = {"ignore", "apply", NULL};
static const char *const dedup_modes[] = {"off", "report", "drop", NULL};
static const char *const bad_policies[] = {"reject", "stop", NULL};

typedef struct request {
    rq_source_request in;
    const char *report, *html;
    int exif, dedup, on_bad, threads;
    const char *const *paths;
    size_t n_paths;
} request;

typedef struct outputs {
    rq_report *report;
    rq_ingest_page *page;
    rq_atomic_file *html;
} outputs;

static int parse(request *q, int argc, char **argv)
{
    const rq_opt opts[] = {
        {RQ_OPT_GROUP, "", 0, NULL, NULL, "Output", 0, 0, NULL},
        {RQ_OPT_STRING, "report", 0, &q->report, "FILE",
         "one JSON line an image and a last one with the totals; 'none' for no report", 0, 0,
         NULL},
        {RQ_OPT_STRING, "html", 0, &q->html, "FILE",
         "self-contained page with a picture of each unusual image", 0, 0, NULL},
        {RQ_OPT_GROUP, "", 0, NULL, NULL, "Input", 0, 0, NULL},
        RQ_SOURCE_OPTS(q->in),
        {RQ_OPT_GROUP, "", 0, NULL, NULL, "Verdicts", 0, 0, NULL},
        {RQ_OPT_CHOICE, "exif", 0, &q->exif, "WHAT",
         "an image's orientation is noted and ignored, as training loaders do, or applied", 0,
         0, exif_modes},
        {RQ_OPT_CHOICE, "dedup", 0, &q->dedup, "WHAT",
         "images with equal bytes: not looked for, named, or dropped but for the first", 0, 0,
         dedup_modes},
        {RQ_OPT_CHOICE, "on-bad", 0, &q->on_bad, "WHAT",
         "an image that cannot be used is rejected and named, or stops the scan", 0, 0,
         bad_policies},
        {RQ_OPT_GROUP, "", 0, NULL, NULL, "Work", 0, 0, NULL},
        {RQ_OPT_INT, "threads", 0, &q->threads, "N", "decoding threads, 0 for one per CPU", 0,
         256, NULL},
        {0}};
    int n_args = 0;
    const int code =
        rq_cli_parse(argc, argv, "SRC... [--report FILE] [--html FILE]",
                     "  rq-ingest scan ILSVRC2012_img_train.tar --html scan.html\n"
                     "  rq-ingest scan photos/ --dedup drop --report photos.jsonl\n",
                     opts, &n_args);
    if (code >= 0)
        return code;
    if (n_args == 0)
        return rq_cli_usage("no source given: name folders or tar archives of images");
    if (strcmp(q->report, "none") == 0)
        q->report = NULL;
    q->paths = (const char *const *)argv + 1;
    q->n_paths = (size_t)n_args;
    const char *taken = rq_ingest_same_file(q->report, &q->html, 1);
    taken = taken != NULL ? taken : rq_ingest_same_file(q->report, q->paths, q->n_paths);
    taken = taken != NULL ? taken : rq_ingest_same_file(q->html, q->paths, q->n_paths);
    if (taken != NULL)
        return rq_cli_usage("'%.200s' would be written over: give outputs names of their own",
                            taken);
    return -1;
}

static rq_status open_outputs(const request *q, outputs *out, rq_err *err)
{
    RQ_TRY(rq_report_create(&out->report, q->report, err));
    if (q->html == NULL)
        return RQ_OK;
    RQ_TRY(rq_atomic_file_create(&out->html, q->html, true, err));
    return rq_ingest_page_create(&out->page, err);
}

static void close_outputs(outputs *out)
{
    rq_report_abort(&out->report);
    rq_atomic_file_abort(&out->html);
    rq_ingest_page_destroy(&out->page);
}

static rq_status on_image(void *cookie, const rq_report_entry *e, const void *data,
                          size_t bytes, rq_err *err)
{
    const outputs *out = cookie;
    return out->page != NULL ? rq_ingest_page_add(out->page, e, data, bytes, err) : RQ_OK;
}

/* Begins with the first image: what fails before that is said without a progress line. */
static void on_progress(void *cookie, uint64_t done, uint64_t total, uint64_t bytes)
{
    bool *begun = cookie;
    if (!*begun)
        rq_progress_begin("scanning", "images", total);
    *begun = true;
    rq_progress_update(done, bytes, NULL);
}

static rq_status scan(const request *q, rq_source *src, outputs *out, rq_err *err)
{
    rq_scan_opts o;
    bool begun = false;
    rq_scan_opts_default(&o);
    o.exif = (rq_exif_mode)q->exif;
    o.dedup = (rq_dedup_mode)q->dedup;
    o.stop_on_bad = q->on_bad == 1;
    o.threads = q->threads;
    o.log = rq_cli_log();
    o.seen = on_image;
    o.seen_cookie = out;
    o.progress = on_progress;
    o.progress_cookie = &begun;
    o.cancel = &rq_cli_stop;
    const rq_status st = rq_scan(src, &o, out->report, err);
    if (begun)
        rq_progress_end();
    return st;
}

static rq_status finish(const request *q, const rq_source *src, outputs *out,
                        rq_report_totals *totals, rq_err *err)
{
    rq_report_summary summary = {.totals = rq_report_get_totals(out->report),
                                 .classes = rq_source_classes(src)};
    snprintf(summary.source, sizeof summary.source, "%s", rq_source_about(src));
    *totals = summary.totals;
    RQ_TRY(rq_report_commit(&out->report, summary.classes, summary.source, err));
    return q->html != NULL ? rq_ingest_write_page(out->page, &summary, &out->html, err) : RQ_OK;
}

static void print_result(const request *q, const rq_source *src, const rq_report_totals *t,
                         double seconds)
{
    const int classes = rq_source_classes(src);
    FILE *people = rq_cli.json ? stderr : stdout;
    if (!rq_cli.json || rq_cli.verbose >= 0) {
        rq_ingest_print_summary(people, t, classes);
        if (q->report != NULL)
            fprintf(people, "report written to %s\n", q->report);
        if (q->html != NULL)
            fprintf(people, "page written to %s\n", q->html);
    }
    if (!rq_cli.json)
        return;
    printf("{");
    rq_ingest_print_json(stdout, t, classes);
    printf(", \"layout\": \"%s\", \"seconds\": %.3f}\n", rq_layout_name(rq_source_layout(src)),
           seconds);
}

int rq_ingest_scan(int argc, char **argv)
{
    request q = {.report = "ingest-report.jsonl", .dedup = RQ_DEDUP_REPORT};
    const int code = parse(&q, argc, argv);
    if (code >= 0)
        return code;
    rq_err err = {0};
    rq_source *src = NULL;
    outputs out = {0};
    rq_report_totals totals = {0};
    const uint64_t begin = rq_clock_ns();
    rq_status st = open_outputs(&q, &out, &err);
    if (st == RQ_OK)
        st = rq_source_request_open(&src, &q.in, q.paths, q.n_paths, &err);
    if (st == RQ_OK)
        st = scan(&q, src, &out, &err);
    if (st == RQ_OK)
        st = finish(&q, src, &out, &totals, &err);
    if (st == RQ_OK)
        print_result(&q, src, &totals, (double)(rq_clock_ns() - begin) / 1e9);
    close_outputs(&out);
    rq_source_close(&src);
    if (st != RQ_OK)
        return rq_cli_fail(&err);
    return totals.verdicts[RQ_VERDICT_REJECTED] > 0 ? 1 : 0;
}
