/* Filter weights of one direction of a resize as integers, in the layout of the kernels.
 *
 * The filters are those of ingest/resample.h. Weights are rounded to 1/2^13 across and 1/2^14
 * down, and the largest of an output takes the rest, so that they sum to exactly one: a flat
 * picture stays flat. */
#ifndef RQ_AUGMENT_TAPS_H
#define RQ_AUGMENT_TAPS_H

#include "ingest/resample.h"

#include <stdint.h>

enum {
    RQ_ACROSS_BITS = 13,
    RQ_DOWN_BITS = 14,
    RQ_CUBIC_STEPS = 1024,
    RQ_TAPS_LANES = 32,
    RQ_TAPS_GROUP = 16
};

typedef enum rq_direction {
    /* Taps in fours: weight[2 * q * stride + o] holds the high parts of the weights of output o
     * for taps 4q to 4q + 3, one signed byte each, weight[(2 * q + 1) * stride + o] the low
     * parts; a weight is 128 * high + low, low in -64 .. 63. */
    RQ_ACROSS,
    /* Taps in pairs: weight[o * units + k] holds taps 2k and 2k + 1, 16 bits each. */
    RQ_DOWN
} rq_direction;

/* The four weights of the cubic at each step between two samples, for both directions. */
typedef struct rq_cubic {
    uint32_t weight[2][RQ_CUBIC_STEPS][2];
} rq_cubic;

/* Zero-initialise; keeps its storage from one use to the next. Taps are filled up with weights
 * of 0 to whole units. */
typedef struct rq_taps {
    rq_direction direction;
    int taps, units, window; /* units: fours or pairs of taps */
    int outputs, stride;     /* stride: outputs rounded up to RQ_TAPS_LANES */
    int32_t *first;          /* [stride], window sample of the first tap; rises or falls */
    uint32_t *weight;
    int32_t *low; /* across: [stride / RQ_TAPS_GROUP], lowest `first` of a group of outputs */
    int span;     /* across: samples from a group's lowest tap to its highest, at most */
    rq_axis axis;
    int *one; /* weights of one output while building */
    size_t first_cap, weight_cap, low_cap, one_cap;
} rq_taps;

RQ_NODISCARD rq_status rq_cubic_init(rq_cubic *c, rq_err *err);
/* As rq_axis_build. The plain cubic comes from the table, everything else from the axis. Where
 * the window has room, whole units lie inside it. */
RQ_NODISCARD rq_status rq_taps_build(rq_taps *t, const rq_cubic *c, rq_direction direction,
                                     rq_filter filter, bool antialias, rq_span span,
                                     int outputs, bool flip, rq_err *err);
/* The integer weight of tap `tap` of an output. */
int rq_taps_weight(const rq_taps *t, int output, int tap);
void rq_taps_free(rq_taps *t);

#endif
