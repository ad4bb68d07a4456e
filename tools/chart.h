/* A line chart as inline SVG: axes with round numbers, a legend, and the data for a crosshair
 * that the page's script may draw. */
#ifndef RQ_TOOLS_CHART_H
#define RQ_TOOLS_CHART_H

#include "tools/curves.h"

enum { RQ_CHART_MAX_SERIES = 4 };

typedef struct rq_chart {
    const char *title;
    const char *note;                            /* small text below the title, may be "" */
    const rq_curve *series[RQ_CHART_MAX_SERIES]; /* [n_series], each of at least one point */
    int n_series;
    bool smooth; /* the first series is drawn faint with a running mean over it */
} rq_chart;

/* Style rules and script that the charts of a page need, once. */
extern const char rq_chart_css[];
extern const char rq_chart_script[];

/* Appends one <figure>. Long curves are thinned to means over equal stretches. */
RQ_NODISCARD rq_status rq_chart_append(rq_buf *out, const rq_chart *chart, rq_err *err);

/* The largest "nice" step (1, 2 or 5 times a power of ten) that cuts a span into at least
 * `parts` pieces; 1 when the span is not positive. */
double rq_chart_step(double span, int parts);

#endif
