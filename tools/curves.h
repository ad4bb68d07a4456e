/* Curves read from a JSONL file of metrics: one JSON object per line, every number in it a
 * point of the curve of that name, over "step". */
#ifndef RQ_TOOLS_CURVES_H
#define RQ_TOOLS_CURVES_H

#include "common/mem.h"
#include "common/status.h"

enum { RQ_CURVE_NAME_BYTES = 48, RQ_CURVES_MAX = 96 };

typedef struct rq_curve {
    char name[RQ_CURVE_NAME_BYTES]; /* the field; "a.b" for a number inside an object */
    double *x, *y;                  /* [n], x strictly ascending, y finite */
    size_t n;
    size_t x_cap, y_cap; /* private */
} rq_curve;

/* Zero-initialise. */
typedef struct rq_curves {
    rq_curve *curve; /* [n], in the order in which the fields first appear */
    size_t n;
    size_t lines;     /* that were read */
    size_t bad_lines; /* that are no JSON object, a torn last line not counted */
    bool torn;        /* the last line ends in the middle */
} rq_curves;

/* Reads a metrics file into a zeroed *c. Lines that cannot be read are counted, not an error: a
 * run that was killed leaves a torn last line. When the step goes back, as after a resume from
 * an older checkpoint, later points win. NOT_FOUND when the file is missing. */
RQ_NODISCARD rq_status rq_curves_read(rq_curves *c, const char *path, rq_err *err);
/* The same from memory. */
RQ_NODISCARD rq_status rq_curves_parse(rq_curves *c, const char *text, size_t bytes,
                                       rq_err *err);
/* NULL when there is no such curve. */
const rq_curve *rq_curves_find(const rq_curves *c, const char *name);
void rq_curves_free(rq_curves *c);

#endif
