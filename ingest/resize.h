/* Pictures made smaller: a separable, antialiased bicubic filter on each plane, as Pillow's
 * resize with BICUBIC gives it, within 1 level. All in integers from weights that are computed
 * in double: the same bytes on every machine. */
#ifndef RQ_INGEST_RESIZE_H
#define RQ_INGEST_RESIZE_H

#include "ingest/image.h"
#include "ingest/resample.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Size of a width x height picture whose longer side is reduced to long_side, or its shorter
 * one to short_side; 0: no such wish. Never larger than it was; the other side is rounded to
 * nearest and at least 1. */
void rq_resize_fit(int width, int height, int long_side, int short_side, int *new_width,
                   int *new_height);

/* Scratch of one thread. Zero-initialise; keeps its storage from one picture to the next. */
typedef struct rq_resizer {
    rq_axis axis;
    int16_t *weight[2]; /* of the two directions, [outputs][taps], 14 fractional bits */
    int32_t *first[2];
    size_t weight_cap[2], first_cap[2];
    int16_t *strip; /* rows turned so that a filter runs over all of them at once */
    size_t strip_cap;
    uint8_t *narrow; /* the plane between the two passes */
    size_t narrow_cap;
} rq_resizer;

/* src at width x height, neither larger than src's, and, for YCBCR, with chroma reduced by
 * sub_x, sub_y: a change of sampling is part of the same filter. GRAY and RGB take 1, 1. Rows
 * and columns of dst are padded in memory to 32 samples, content undefined. */
RQ_NODISCARD rq_status rq_image_resize(rq_resizer *r, const rq_image *src, int width,
                                       int height, int sub_x, int sub_y, rq_image *dst,
                                       rq_err *err);
void rq_resizer_free(rq_resizer *r);

#ifdef __cplusplus
}
#endif
#endif
