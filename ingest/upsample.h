/* Component planes to RGB of full size, as libjpeg shows a JPEG: chroma halved in a direction
 * comes back by its smooth ("fancy") interpolation, other samplings by repetition. The RGB of
 * planes from rq_decode equals what rq_decode_rgb gives for the same file, bit for bit. */
#ifndef RQ_INGEST_UPSAMPLE_H
#define RQ_INGEST_UPSAMPLE_H

#include "ingest/image.h"

#ifdef __cplusplus
extern "C" {
#endif

/* YCBCR to RGB; RGB and GRAY are copied. dst is not src. */
RQ_NODISCARD rq_status rq_image_upsample(const rq_image *src, rq_image *dst, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
