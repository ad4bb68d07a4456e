/* Filter weights of one direction of a resize as integers, in the layout of the kernels.
 *
 * The filters are those of ingest/resample.h. Weights are rounded to 1/2^14, the largest of an
 * output takes the rest, so that they sum to exactly one: a flat picture stays flat. */
#ifndef RQ_AUGMENT_TAPS_H
#define RQ_AUGMENT_TAPS_H

#include "ingest/resample.h"

#include <stdint.h>

enum { RQ_TAPS_ONE = 1 << 14, RQ_CUBIC_STEPS = 1024, RQ_TAPS_LANES = 32, RQ_TAPS_GROUP = 16 };

/* The four weights of the cubic at each step between two samples; two words, low half first. */
typedef struct rq_cubic {
    uint32_t pair[RQ_CUBIC_STEPS][2];
} rq_cubic;

/* Zero-initialise; keeps its storage from one use to the next. */
typedef struct rq_taps {
    int taps, pairs;     /* pairs = ceil(taps / 2); an odd last tap is paired with weight 0 */
    int outputs, stride; /* stride: outputs rounded up to RQ_TAPS_LANES */
    int32_t *first;      /* [stride], window sample of the first tap */
    uint32_t *pair;      /* [pairs][stride]; beyond `outputs` the weights are 0 */
    int32_t *low;        /* [stride / RQ_TAPS_GROUP], lowest `first` of a group of outputs */
    int span;            /* samples from any group's lowest first tap to its highest, at most */
    rq_axis axis;
    size_t first_cap, pair_cap, low_cap;
} rq_taps;

RQ_NODISCARD rq_status rq_cubic_init(rq_cubic *c, rq_err *err);
/* As rq_axis_build. The plain cubic comes from the table, everything else from the axis. */
RQ_NODISCARD rq_status rq_taps_build(rq_taps *t, const rq_cubic *c, rq_filter filter,
                                     bool antialias, rq_span span, int outputs, bool flip,
                                     rq_err *err);
/* Sets low and span from first. */
void rq_taps_group(rq_taps *t);
void rq_taps_free(rq_taps *t);

#endif
