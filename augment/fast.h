/* The colours of the fast recipe: everything that happens to them as one matrix.
 *
 * An approximation of the exact views: values are clipped once instead of after each operation,
 * saturation moves colours about their luma instead of about V of HSV, hue turns in the plane
 * of I and Q of YIQ instead of around HSV's hexagon, and contrast takes its means from the
 * source's crop. README.md says what that amounts to. */
#ifndef RQ_AUGMENT_FAST_H
#define RQ_AUGMENT_FAST_H

#include "augment/kernels.h"
#include "augment/view.h"

/* RGB in levels is offset + matrix * (Y, Cb, Cr), all of them minus 128 levels. */
typedef struct rq_fast_colour {
    double matrix[3][3], offset[3];
} rq_fast_colour;

/* What p draws; mean: of the crop's Y, Cb, Cr, in levels, used when the jitter is drawn. */
void rq_fast_colour_of(rq_fast_colour *f, const rq_view_params *p, const double mean[3]);
/* As a step for the kernels. zero_luma: Y comes with black at 0 instead of at -128 levels. */
rq_step rq_fast_step(const rq_fast_colour *f, bool zero_luma);

#endif
