// SPDX-License-Identifier: Apache-2.0
//
// `rq-ingest report`: a report that was written earlier, by rq-ingest or rq-pack, as totals and
// as a page. The report holds no pictures; with the source beside it the page gets them. Also
// here: what the commands share.
#include "ingest/source.h"
#include "tools/ingest_commands.h"
#include "tools/source_opts.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

/* ---- shared ------------------------------------------------------------------------------ */

void rq_ingest_print_count(FILE *to, uint64_t n, const char *one, const char *many)
{
    char text[32];
    fprintf(to, "%s %s", rq_format_count(text, n), n == 1 ? one : many);
}

void rq_ingest_print_summary(FILE *to, const rq_report_totals *t, int classes)
{
    static const char dot[] = " \xC2\xB7 ";
    rq_ingest_print_count(to, t->images, "image", "images");
    fputs(dot, to);
    rq_ingest_print_count(to, (uint64_t)classes, "class", "classes");
    for (int k = 0; k < RQ_VERDICT_COUNT; k++) {
        const char *name = rq_verdict_name((rq_verdict_kind)k);
        if (k == RQ_VERDICT_WARNED && t->verdicts[k] == 0)
            continue;
        fputs(dot, to);
        rq_ingest_print_count(to, t->verdicts[k], name, name);
    }
    if (t->duplicates > 0) {
        fputs(dot, to);
        rq_ingest_print_count(to, t->duplicates, "duplicate", "duplicates");
    }
    if (t->conflicts > 0)
        fprintf(to, " (%" PRIu64 " in another class)", t->conflicts);
    if (t->dropped > 0) {
        fputs(dot, to);
        rq_ingest_print_count(to, t->dropped, "dropped", "dropped");
    }
    fputc('\n', to);
}

void rq_ingest_print_json(FILE *to, const rq_report_totals *t, int classes)
{
    fprintf(to, "\"images\": %" PRIu64 ", \"classes\": %d, \"bytes\": %" PRIu64, t->images,
            classes, t->bytes);
    for (int k = 0; k < RQ_VERDICT_COUNT; k++)
        fprintf(to, ", \"%s\": %" PRIu64, rq_verdict_name((rq_verdict_kind)k), t->verdicts[k]);
    fprintf(to,
            ", \"duplicates\": %" PRIu64 ", \"conflicts\": %" PRIu64 ", \"dropped\": %" PRIu64,
            t->duplicates, t->conflicts, t->dropped);
}

const char *rq_ingest_same_file(const char *path, const char *const *paths, size_t n)
{
    struct stat mine, other;
    const bool exists = path != NULL && stat(path, &mine) == 0;
    for (size_t i = 0; path != NULL && i < n; i++) {
        if (paths[i] == NULL)
            continue;
        if (strcmp(path, paths[i]) == 0 ||
            (exists && stat(paths[i], &other) == 0 && mine.st_dev == other.st_dev &&
             mine.st_ino == other.st_ino))
            return paths[i];
    }
    return NULL;
}

rq_status rq_ingest_write_page(rq_ingest_page *page, const rq_report_summary *summary,
                               rq_atomic_file **file, rq_err *err)
{
    rq_buf html = {0};
    rq_status st = rq_ingest_page_html(page, summary, &html, err);
    if (st == RQ_OK)
        st = rq_atomic_file_write(*file, html.data, html.size, err);
    if (st == RQ_OK)
        st = rq_atomic_file_commit(file, err);
    rq_buf_free(&html);
    return st;
}

/* ---- the command ------------------------------------------------------------------------- */

typedef struct request {
    rq_source_request in;
    const char *report, *html;
    const char *const *paths; /* of the source */
    size_t n_paths;
} request;

static int parse(request *q, int argc, char **argv)
{
    const rq_opt opts[] = {
        {RQ_OPT_GROUP, "", 0, NULL, NULL, "Output", 0, 0, NULL},
        {RQ_OPT_STRING, "html", 0, &q->html, "FILE",
         "self-contained page; with pictures when the source is given", 0, 0, NULL},
        {RQ_OPT_GROUP, "", 0, NULL, NULL, "Source of the pictures", 0, 0, NULL},
        RQ_SOURCE_OPTS(q->in),
        {0}};
    int n_args = 0;
    const int code = rq_cli_parse(
        argc, argv, "REPORT [SRC...] [--html FILE]",
        "  rq-ingest report ingest-report.jsonl\n"
        "  rq-ingest report imagenet/ingest-report.jsonl train.tar --html scan.html\n",
        opts, &n_args);
    if (code >= 0)
        return code;
    if (n_args == 0)
        return rq_cli_usage("no report given: name the ingest-report.jsonl of a scan or build");
    if (n_args > 1 && q->html == NULL)
        return rq_cli_usage("a source is only of use for the page: add --html FILE");
    q->report = argv[1];
    q->paths = (const char *const *)argv + 2;
    q->n_paths = (size_t)n_args - 1;
    const char *taken =
        rq_ingest_same_file(q->html, (const char *const *)argv + 1, (size_t)n_args);
    if (taken != NULL)
        return rq_cli_usage("'%.200s' would be written over: give the page a name of its own",
                            taken);
    return -1;
}

static rq_status on_line(void *cookie, const rq_report_entry *e, rq_err *err)
{
    return rq_ingest_page_add(cookie, e, NULL, 0, err);
}

/* Reads the source until every picture is there. */
static rq_status read_pictures(rq_source *src, rq_ingest_page *page, rq_err *err)
{
    rq_record rec;
    uint64_t images = 0, bytes = 0;
    while (rq_ingest_page_missing(page) > 0) {
        if (rq_cli_stop)
            return rq_fail(err, RQ_CANCELLED, "interrupted; no page was written");
        const rq_status st = rq_source_next(src, &rec, err);
        if (st != RQ_OK)
            return st == RQ_END ? RQ_OK : st;
        if (rec.status == RQ_OK && rq_ingest_page_wants(page, rec.entry.name))
            RQ_TRY(rq_ingest_page_offer(page, rec.entry.name, rec.data, rec.size, err));
        bytes += rec.entry.bytes;
        rq_progress_update(++images, bytes, NULL);
    }
    return RQ_OK;
}

static rq_status find_pictures(const request *q, rq_ingest_page *page, rq_err *err)
{
    rq_source *src = NULL;
    RQ_TRY(rq_source_request_open(&src, &q->in, q->paths, q->n_paths, err));
    rq_progress_begin("looking for pictures", "images", rq_source_count(src));
    const rq_status st = read_pictures(src, page, err);
    rq_progress_end();
    rq_source_close(&src);
    const rq_log_sink log = rq_cli_log();
    if (st == RQ_OK && rq_ingest_page_missing(page) > 0)
        rq_log(&log, RQ_LOG_WARN, "%zu pictures for the page are not in the source",
               rq_ingest_page_missing(page));
    return st;
}

static void print_counts(FILE *to, const rq_ingest_stats *s)
{
    char text[32];
    for (int i = 0; i <= RQ_CODEC_PNM; i++)
        if (s->codecs[i] > 0)
            fprintf(to, "  %12s  %s\n", rq_format_count(text, s->codecs[i]),
                    rq_codec_name((rq_codec)i));
    for (int i = 0; i < RQ_NOTE_BITS; i++)
        if (s->notes[i] > 0)
            fprintf(to, "  %12s  %s\n", rq_format_count(text, s->notes[i]),
                    rq_note_meaning(1u << i));
    for (int i = 0; i < RQ_STATUS_COUNT; i++)
        if (s->errors[i] > 0)
            fprintf(to, "  %12s  rejected: %s\n", rq_format_count(text, s->errors[i]),
                    rq_status_meaning((rq_status)i));
}

static void print_result(const request *q, const rq_report_summary *s,
                         const rq_ingest_stats *stats)
{
    FILE *people = rq_cli.json ? stderr : stdout;
    if (!rq_cli.json || rq_cli.verbose >= 0) {
        rq_ingest_print_summary(people, &s->totals, s->classes);
        print_counts(people, stats);
        if (q->html != NULL)
            fprintf(people, "page written to %s\n", q->html);
    }
    if (!rq_cli.json)
        return;
    printf("{");
    rq_ingest_print_json(stdout, &s->totals, s->classes);
    printf("}\n");
}

int rq_ingest_report(int argc, char **argv)
{
    request q = {0};
    const int code = parse(&q, argc, argv);
    if (code >= 0)
        return code;
    rq_err err = {0};
    rq_ingest_page *page = NULL;
    rq_atomic_file *html = NULL;
    rq_report_summary summary = {0};
    rq_status st = rq_ingest_page_create(&page, &err);
    if (st == RQ_OK && q.html != NULL)
        st = rq_atomic_file_create(&html, q.html, true, &err);
    if (st == RQ_OK)
        st = rq_report_read(q.report, on_line, page, &summary, &err);
    if (st == RQ_OK && q.n_paths > 0)
        st = find_pictures(&q, page, &err);
    if (st == RQ_OK && q.html != NULL)
        st = rq_ingest_write_page(page, &summary, &html, &err);
    if (st == RQ_OK)
        print_result(&q, &summary, rq_ingest_page_stats(page));
    rq_atomic_file_abort(&html);
    rq_ingest_page_destroy(&page);
    return st == RQ_OK ? 0 : rq_cli_fail(&err);
}
