/* The ingest report: what became of each image, as JSON lines, one an image in reading order,
 * and a last line with the totals and a hash over all before it, so that a report that is cut
 * off or damaged is noticed.
 *
 * A line: name, class, label, bytes, codec, width, height, components, colour, orientation,
 * notes, hash (XXH3-128 of the coded bytes or null), duplicate_of (a name or null),
 * duplicate_label, kept, verdict, status (OK or the code of the error), reason.
 *
 * Width and height are those that are coded, also when the orientation was applied.
 *
 * The last line: end, images, classes, bytes, ok, fixed, warned, rejected, duplicates,
 * conflicts, dropped, source, xxh3. The hash is XXH3-64 of every byte of the file in front of
 * `,"xxh3"`. */
#ifndef RQ_INGEST_REPORT_H
#define RQ_INGEST_REPORT_H

#include "common/json.h"
#include "ingest/dedup.h"
#include "ingest/verdict.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Strings are borrowed. */
typedef struct rq_report_entry {
    const char *name;
    const char *class_name; /* NULL: none */
    int label;              /* -1: none */
    uint64_t bytes;
    rq_image_info info; /* when read back: codec to color, orientation, notes; others 0 */
    rq_verdict verdict;
    bool hashed;
    rq_content_id content;
    const char *duplicate_of; /* name of the first image with the same bytes, or NULL */
    int duplicate_label;      /* its label; -1 when it has none, and without duplicate_of */
    bool dropped;             /* left out because of that */
} rq_report_entry;

typedef struct rq_report_totals {
    uint64_t images; /* all of them: the four verdicts add up to it */
    uint64_t verdicts[RQ_VERDICT_COUNT];
    uint64_t duplicates; /* whatever their verdict; the first of each is not counted */
    uint64_t conflicts;  /* duplicates of an image with another label */
    uint64_t dropped;    /* duplicates that were left out */
    uint64_t bytes;      /* coded */
} rq_report_totals;

void rq_report_count(rq_report_totals *t, const rq_report_entry *e);
/* Appends the line of one image. */
RQ_NODISCARD rq_status rq_report_line(rq_buf *out, const rq_report_entry *e, rq_err *err);
/* Reads a line back; the entry's strings live in *json, for cJSON_Delete. BAD_FORMAT. */
RQ_NODISCARD rq_status rq_report_parse(rq_report_entry *e, cJSON **json, const char *line,
                                       size_t bytes, rq_err *err);

/* ---- writing ----------------------------------------------------------------------------- */

typedef struct rq_report rq_report;

/* Writes to `path` under a temporary name until commit; path NULL counts and writes nothing. */
RQ_NODISCARD rq_status rq_report_create(rq_report **out, const char *path, rq_err *err);
RQ_NODISCARD rq_status rq_report_add(rq_report *r, const rq_report_entry *e, rq_err *err);
/* Adds whole lines of an earlier report, as they are, and counts them: for a run that goes on
 * where another stopped, and for merging. The lines must not hold the last line of a report. */
RQ_NODISCARD rq_status rq_report_add_lines(rq_report *r, const char *lines, size_t bytes,
                                           rq_err *err);
rq_report_totals rq_report_get_totals(const rq_report *r);
/* Writes the last line and makes the file durable under its name; destroys *r whatever the
 * outcome. classes: of the source, with or without images. source: what was read, in words, or
 * NULL. */
RQ_NODISCARD rq_status rq_report_commit(rq_report **r, int classes, const char *source,
                                        rq_err *err);
/* Removes the temporary file. NULL is fine. */
void rq_report_abort(rq_report **r);

/* ---- reading ----------------------------------------------------------------------------- */

typedef rq_status (*rq_report_fn)(void *cookie, const rq_report_entry *e, rq_err *err);

typedef struct rq_report_summary {
    rq_report_totals totals;
    int classes;
    char source[512]; /* "" when not told */
} rq_report_summary;

/* Calls fn (may be NULL) for every image in order and fills *summary. What fn was given is only
 * certain when the function returns OK. TRUNCATED when the last line is missing, BAD_CHECKSUM
 * when the content is not what was written, BAD_FORMAT. */
RQ_NODISCARD rq_status rq_report_read(const char *path, rq_report_fn fn, void *cookie,
                                      rq_report_summary *summary, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
