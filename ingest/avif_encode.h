/* Writing AVIF through libavif and its aom encoder: one thread, the same bytes whenever the
 * libraries are the same. */
#ifndef RQ_INGEST_AVIF_ENCODE_H
#define RQ_INGEST_AVIF_ENCODE_H

#include "ingest/image.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rq_avif_opts {
    int quality; /* 1..100, on JPEG's scale: as far from the source as JPEG of this quality */
    int speed;   /* libavif's 0 (slow) to 10 */
    bool full_chroma; /* of RGB pictures: 4:4:4 instead of 4:2:0 */
} rq_avif_opts;

/* UNSUPPORTED when this build, or the libavif that it runs with, cannot write AVIF. */
RQ_NODISCARD rq_status rq_avif_can_encode(rq_err *err);
/* YCBCR planes of this sampling are coded without conversion; others have to be resampled. */
bool rq_avif_takes_sampling(int sub_x, int sub_y);
/* img as an AVIF file (dst replaced): full range, BT.601 matrix, as JPEG has it. INVALID_ARG
 * for a sampling it does not take; UNSUPPORTED; INTERNAL with libavif's words when it refuses.
 */
RQ_NODISCARD rq_status rq_avif_encode(const rq_image *img, const rq_avif_opts *opts,
                                      rq_buf *dst, rq_err *err);
/* The quantizer of aom, 0 (best) to 63, that stands for a quality. */
int rq_avif_quantizer(int quality);

#ifdef __cplusplus
}
#endif
#endif
