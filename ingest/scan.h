/* Scanning: every image of a source decoded in full and judged, nothing written but the report.
 *
 * Worker threads decode; lines, duplicates and callbacks come in the source's reading order, so
 * that a report does not depend on the number of threads. Memory: what is in flight is bounded,
 * decodes together stay below limits.max_memory_bytes, besides 8 MiB that a thread may keep
 * from one image to the next, and only the hashes grow with the number of images. */
#ifndef RQ_INGEST_SCAN_H
#define RQ_INGEST_SCAN_H

#include "common/log.h"
#include "ingest/report.h"
#include "ingest/source.h"

#include <signal.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What an image's own orientation is worth: IGNORE as the usual training loaders do, APPLY to
 * stand it upright. */
typedef enum rq_exif_mode { RQ_EXIF_IGNORE, RQ_EXIF_APPLY } rq_exif_mode;
/* Images with equal bytes: not looked for, named in the report, or left out but for the first
 * in reading order. */
typedef enum rq_dedup_mode { RQ_DEDUP_OFF, RQ_DEDUP_REPORT, RQ_DEDUP_DROP } rq_dedup_mode;

/* One image that was judged, in reading order, from the thread that called rq_scan. data is
 * NULL when the source could not deliver it. What is returned other than OK ends the scan. */
typedef rq_status (*rq_scan_fn)(void *cookie, const rq_report_entry *e, const void *data,
                                size_t bytes, rq_err *err);

typedef struct rq_scan_opts {
    rq_limits limits;
    rq_exif_mode exif;
    rq_dedup_mode dedup; /* default REPORT */
    bool stop_on_bad;    /* the first rejected image ends the scan with its error */
    int threads;         /* 0: one per CPU */
    rq_log_sink log;
    rq_scan_fn seen; /* may be NULL */
    void *seen_cookie;
    /* From the same thread, behind each image; may be NULL. */
    void (*progress)(void *cookie, uint64_t done, uint64_t total, uint64_t bytes);
    void *progress_cookie;
    const volatile sig_atomic_t *cancel; /* non-zero ends with CANCELLED; may be NULL */
} rq_scan_opts;

void rq_scan_opts_default(rq_scan_opts *o);

/* Judges one record, but for duplicates: fills *e, whose strings are those of the record. The
 * picture is in *img when the verdict is not REJECTED. OOM and INTERNAL are errors, a bad image
 * is not. */
RQ_NODISCARD rq_status rq_scan_judge(rq_decoder *d, const rq_record *rec, rq_exif_mode exif,
                                     rq_image *img, rq_report_entry *e, rq_err *err);

/* Scans src from where it stands to its end and adds every image to `report`; committing it is
 * the caller's. CANCELLED; the error of the source; with stop_on_bad that of the image. */
RQ_NODISCARD rq_status rq_scan(rq_source *src, const rq_scan_opts *opts, rq_report *report,
                               rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
