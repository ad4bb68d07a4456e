/* One axis of a resize: for every output sample, where its source samples start and how much
 * each of them counts.
 *
 * Half-pixel centres; source samples outside the window do not exist and the weights of the
 * others are scaled to sum to 1. Bicubic is Keys' cubic with a = -0.5. Not antialiased: 4
 * samples (2 when bilinear), the cubic read from a table of 1024 steps per sample, as
 * TensorFlow's resize does. Antialiased: the kernel is widened by the reduction, as Pillow's
 * resize does. */
#ifndef RQ_INGEST_RESAMPLE_H
#define RQ_INGEST_RESAMPLE_H

#include "common/mem.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rq_filter {
    RQ_FILTER_BICUBIC, /* Keys, a = -0.5 */
    RQ_FILTER_BILINEAR
} rq_filter;

/* Zero-initialise; keeps its storage from one use to the next. */
typedef struct rq_axis {
    int taps, outputs;
    int32_t *first; /* [outputs], window sample of the first tap */
    float *weight;  /* [taps][outputs] */
    double *one;    /* weights of one output while building */
    size_t first_cap, weight_cap, one_cap;
} rq_axis;

/* What of a line of samples is resized to how many. Positions are in samples with the left edge
 * of the window's first sample at 0; [start, start + length) is spread over the outputs. */
typedef struct rq_span {
    double start, length;
    int window; /* samples there are */
} rq_span;

/* flip reverses the outputs. */
RQ_NODISCARD rq_status rq_axis_build(rq_axis *a, rq_filter filter, bool antialias, rq_span span,
                                     int outputs, bool flip, rq_err *err);
void rq_axis_free(rq_axis *a);

#ifdef __cplusplus
}
#endif
#endif
