/* Background removal: a copy of a window of each plane in which every sample outside the mask's
 * foreground has the fill value. Done at the plane's own resolution, before any resize. */
#ifndef RQ_AUGMENT_CUTOUT_H
#define RQ_AUGMENT_CUTOUT_H

#include "augment/kernels.h"
#include "ingest/image.h"

#include <stddef.h>
#include <stdint.h>

/* A rectangle of a plane: sample (0, 0) of it is sample (x, y) of the plane. */
typedef struct rq_window {
    const uint8_t *data; /* its first sample */
    size_t stride;
    int x, y, w, h;
} rq_window;

/* Scratch of one thread; zero-initialise. One copy per plane lives at a time. */
typedef struct rq_cutout {
    uint8_t *copy[3];
    float *line, *frac; /* a mask row, interpolated between rows; place between its columns */
    int32_t *first;
    uint8_t *front; /* one row: 255 where the picture stays */
    size_t copy_cap[3], line_cap, frac_cap, first_cap, front_cap;
} rq_cutout;

/* The mask at a sample is what bilinear interpolation gives at the sample's centre, both the
 * picture and the mask being spread over the same rectangle, edges repeated. A chroma sample is
 * foreground when the mask at its own centre is. threshold in 0..255. Planes [plane, end) are
 * of equal sampling; windows and fill are indexed by plane, and the windows, all alike, get
 * replaced by the copies. */
RQ_NODISCARD rq_status rq_cutout_make(rq_cutout *c, const rq_kernels *k, int plane, int end,
                                      const rq_image *image, const rq_image *mask,
                                      float threshold, const uint8_t fill[3],
                                      rq_window window[3], rq_err *err);
void rq_cutout_free(rq_cutout *c);

#endif
