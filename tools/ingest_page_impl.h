/* Inside of the ingest page: what collecting (ingest_page.c), drawing (ingest_html.c) and the
 * distributions (ingest_bars.c) share. */
#ifndef RQ_TOOLS_INGEST_PAGE_IMPL_H
#define RQ_TOOLS_INGEST_PAGE_IMPL_H

#include "tools/ingest_page.h"

/* An image to be shown. */
typedef struct rq_page_item {
    char *name, *class_name; /* class_name NULL: none */
    char *original;          /* of a duplicate: the first one's name, else NULL */
    int label, original_label;
    uint64_t bytes;
    rq_image_info info;
    char reason[RQ_VERDICT_REASON_BYTES];
    rq_buf picture;    /* JPEG; empty: none */
    int width, height; /* of the picture */
} rq_page_item;

typedef struct rq_page_group {
    rq_page_item *items; /* [n], at most `most` */
    size_t n, cap, most;
    uint64_t total; /* also those not shown */
} rq_page_group;

/* Groups in the order of the page: rejected, warned, one for each note, duplicates. An image is
 * in the first group that fits, and besides in that of the duplicates. */
enum {
    RQ_GROUP_REJECTED,
    RQ_GROUP_WARNED,
    RQ_GROUP_FIRST_NOTE,
    RQ_GROUP_NOTES = 12,
    RQ_GROUP_DUPLICATES = RQ_GROUP_FIRST_NOTE + RQ_GROUP_NOTES,
    RQ_GROUP_COUNT
};
extern const unsigned rq_page_notes[RQ_GROUP_NOTES];

struct rq_ingest_page {
    rq_ingest_stats stats;
    rq_page_group groups[RQ_GROUP_COUNT];
    size_t missing;
    rq_decoder *decoder;
    rq_image decoded, upright, small;
    struct rq_resizer *resizer;
    rq_buf pixels;
};

/* Style rules of the bar charts. */
extern const char rq_bars_css[];
/* Appends figures: images per class, shorter side, aspect ratio, file size. */
RQ_NODISCARD rq_status rq_bars_append(rq_buf *out, const rq_ingest_stats *s, rq_err *err);

#endif
