/* The page of an ingest report: the totals, how sizes and classes are distributed, each unusual
 * image with a small picture, and the duplicates. One self-contained file. */
#ifndef RQ_TOOLS_INGEST_PAGE_H
#define RQ_TOOLS_INGEST_PAGE_H

#include "common/mem.h"
#include "tools/ingest_stats.h"

/* How many images a page shows of each kind; what goes beyond is counted. All kinds together
 * stay below 500 pictures. */
enum { RQ_PAGE_SHOWN = 36, RQ_PAGE_REJECTED_SHOWN = 200 };

typedef struct rq_ingest_page rq_ingest_page;

RQ_NODISCARD rq_status rq_ingest_page_create(rq_ingest_page **out, rq_err *err);
void rq_ingest_page_destroy(rq_ingest_page **p);

/* Takes in one image, in reading order. data, its coded bytes, may be NULL: if the image is to
 * be shown its picture can be handed in later. */
RQ_NODISCARD rq_status rq_ingest_page_add(rq_ingest_page *p, const rq_report_entry *e,
                                          const void *data, size_t bytes, rq_err *err);
/* Images to be shown whose picture is not there yet. */
size_t rq_ingest_page_missing(const rq_ingest_page *p);
/* Whether that name is one of them. */
bool rq_ingest_page_wants(const rq_ingest_page *p, const char *name);
/* The coded bytes of an image of that name. Bytes that cannot be decoded give no picture. */
RQ_NODISCARD rq_status rq_ingest_page_offer(rq_ingest_page *p, const char *name,
                                            const void *data, size_t bytes, rq_err *err);

/* What was taken in so far. */
const rq_ingest_stats *rq_ingest_page_stats(const rq_ingest_page *p);
/* Appends the page. */
RQ_NODISCARD rq_status rq_ingest_page_html(rq_ingest_page *p, const rq_report_summary *summary,
                                           rq_buf *out, rq_err *err);

#endif
