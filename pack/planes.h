/* The `raw` encoding: a picture's planes exactly as they were decoded, each sample replaced by
 * its difference from a prediction. zstd, outside, does the entropy coding.
 *
 * A plane is predicted from the left, from above, or from both (left + above - above left),
 * whichever leaves the smallest differences; all three are undone by running sums of whole
 * vectors. Of RGB planes, red and blue may be differences from green. FORMAT.md has the bytes.
 */
#ifndef RQ_PACK_PLANES_H
#define RQ_PACK_PLANES_H

#include "ingest/codec.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { RQ_PLANES_HEADER_BYTES = 24 };

/* Planes to payload (replaced). scratch grows as needed. */
RQ_NODISCARD rq_status rq_planes_encode(const rq_image *img, rq_buf *scratch, rq_buf *payload,
                                        rq_err *err);
/* Size, pixel kind and sampling from the header; everything is checked, the length of the
 * payload too. BAD_FORMAT, UNSUPPORTED for a newer version, LIMIT. */
RQ_NODISCARD rq_status rq_planes_probe(const uint8_t *payload, size_t bytes,
                                       const rq_limits *limits, rq_image_info *info,
                                       rq_err *err);
/* Payload to planes. cpu_flags: RQ_CPU_ bits that may be used; the planes are the same with
 * any. Errors as rq_planes_probe, and OOM. */
RQ_NODISCARD rq_status rq_planes_decode(unsigned cpu_flags, const uint8_t *payload,
                                        size_t bytes, const rq_limits *limits, rq_image *img,
                                        rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
