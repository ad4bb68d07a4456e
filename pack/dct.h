/* The `dct` encoding: a JPEG's quantised coefficients, laid out so that zstd is the only
 * entropy coder, and the way from there to planes.
 *
 * No coefficient is lost: every component, every sampling, baseline and progressive, tables of
 * 8 and 16 bits. What goes is what does not touch a pixel: Huffman tables, restart markers,
 * JFIF density, EXIF, ICC, comments. Decoding is an accurate inverse DCT over many blocks at
 * once, within 1 level of libjpeg's islow; C, AVX2 and AVX-512 give the same bytes.
 *
 * A payload is not compressed in itself: the sample's zstd frame does that. FORMAT.md has its
 * bytes.
 *
 * Thread rule: one rq_dct per thread. */
#ifndef RQ_PACK_DCT_H
#define RQ_PACK_DCT_H

#include "ingest/codec.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Scratch of one thread. */
typedef struct rq_dct rq_dct;
/* cpu_flags: RQ_CPU_ bits that the kernels may use, normally rq_cpu_flags(). */
RQ_NODISCARD rq_status rq_dct_create(rq_dct **out, unsigned cpu_flags, const rq_limits *limits,
                                     rq_err *err);
void rq_dct_destroy(rq_dct **d);

/* JPEG file to payload (replaced), proved before it is returned: decoded again, every
 * coefficient equal and every sample within 1 of islow. UNSUPPORTED says why the file cannot be
 * held (CMYK, odd sampling, overshoot beyond the 16-bit transform, a codec warning, scans that
 * are missing): the caller then keeps the JPEG. Other errors as rq_decode. */
RQ_NODISCARD rq_status rq_dct_encode(rq_dct *d, const uint8_t *jpeg, size_t bytes,
                                     rq_buf *payload, rq_err *err);
/* Ascending places in the last payload at which a zstd block should end, so that data with like
 * statistics share a Huffman table: rq_members.image_splits. Valid until d's next use. */
const uint32_t *rq_dct_splits(const rq_dct *d, size_t *n);

/* Size, pixel kind and sampling from the payload's header, which is checked against the limits.
 * info->codec is UNKNOWN. BAD_FORMAT, LIMIT. */
RQ_NODISCARD rq_status rq_dct_probe(const uint8_t *payload, size_t bytes,
                                    const rq_limits *limits, rq_image_info *info, rq_err *err);
/* Payload to planes, as rq_decode gives them for the JPEG: YCBCR with its own sampling, GRAY,
 * or RGB. Everything is checked; img's content is undefined after a failure. BAD_FORMAT, LIMIT,
 * OOM. */
RQ_NODISCARD rq_status rq_dct_decode(rq_dct *d, const uint8_t *payload, size_t bytes,
                                     rq_image *img, rq_err *err);
/* Payload to a JPEG file (replaced) with the same coefficients and so the same pixels. The same
 * payload gives the same bytes. As rq_dct_decode. */
RQ_NODISCARD rq_status rq_dct_to_jpeg(rq_dct *d, const uint8_t *payload, size_t bytes,
                                      rq_buf *jpeg, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
