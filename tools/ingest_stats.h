/* Numbers about the images of a report: formats, notes, classes and the distribution of sizes.
 * Filled line by line; the memory does not grow with the number of images. */
#ifndef RQ_TOOLS_INGEST_STATS_H
#define RQ_TOOLS_INGEST_STATS_H

#include "ingest/report.h"

enum { RQ_BINS_MAX = 64, RQ_SIDES = 65536, RQ_NOTE_BITS = 32 };

/* A histogram over log2 of a value; what lies outside is counted in the outermost bins. */
typedef struct rq_bins {
    double first; /* log2 of the lower edge of bin 0 */
    double step;  /* width of a bin in octaves */
    int n;
    uint64_t count[RQ_BINS_MAX];
} rq_bins;

typedef struct rq_class_stats {
    char *name;
    uint64_t images; /* kept */
} rq_class_stats;

/* rq_ingest_stats_init, then rq_ingest_stats_free. Codecs count all images, colours and notes
 * those that were not rejected, sizes and classes those that are kept. */
typedef struct rq_ingest_stats {
    uint64_t codecs[RQ_CODEC_PNM + 1];
    uint64_t colors[RQ_COLOR_COUNT];
    uint64_t notes[RQ_NOTE_BITS];       /* by number of the bit */
    uint64_t errors[RQ_STATUS_COUNT];   /* rejected, by reason */
    uint64_t kept, landscape, portrait; /* the others are square */
    uint64_t *sides;                    /* [RQ_SIDES]: images by shorter side */
    rq_bins side, aspect, bytes;
    rq_class_stats *classes; /* [n_classes], by label; name NULL: no file seen */
    size_t n_classes, class_cap;
} rq_ingest_stats;

RQ_NODISCARD rq_status rq_ingest_stats_init(rq_ingest_stats *s, rq_err *err);
RQ_NODISCARD rq_status rq_ingest_stats_add(rq_ingest_stats *s, const rq_report_entry *e,
                                           rq_err *err);
/* Makes room for that many classes, so that those at the end without an image are there too. */
RQ_NODISCARD rq_status rq_ingest_stats_classes(rq_ingest_stats *s, int classes, rq_err *err);
void rq_ingest_stats_free(rq_ingest_stats *s);
/* Shorter side below or at which a share of the images is, 0..1; 0 when there are none. */
int rq_ingest_stats_side(const rq_ingest_stats *s, double share);

#endif
