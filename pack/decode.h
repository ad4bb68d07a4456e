/* Stored pictures back to planes, whatever they are coded as: what readers, verify and the
 * tools share.
 *
 * Thread rule: one rq_sample_decoder per thread. */
#ifndef RQ_PACK_DECODE_H
#define RQ_PACK_DECODE_H

#include "ingest/codec.h"
#include "pack/format.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rq_sample_decoder rq_sample_decoder;
/* cpu_flags: RQ_CPU_ bits that the kernels may use; the planes are the same with any. */
RQ_NODISCARD rq_status rq_sample_decoder_create(rq_sample_decoder **out, unsigned cpu_flags,
                                                const rq_limits *limits, rq_err *err);
void rq_sample_decoder_destroy(rq_sample_decoder **d);

/* An image member and what the index says about it. */
typedef struct rq_stored_image {
    rq_encoding encoding;
    int orientation;   /* EXIF's, 1 to 8: how the decoded picture is to be turned */
    int width, height; /* of the turned picture */
    const uint8_t *data;
    size_t bytes;
} rq_stored_image;

rq_stored_image rq_stored_image_of(const rq_index_entry *e, const uint8_t *data, size_t bytes);

/* The picture's planes, upright. BAD_FORMAT when it is not what its encoding says or not of its
 * size; otherwise the codec's errors. img's content is undefined after a failure. */
RQ_NODISCARD rq_status rq_sample_decode(rq_sample_decoder *d, const rq_stored_image *s,
                                        rq_image *img, rq_err *err);
/* The same as RGB or GRAY planes of full size, with smooth chroma: for looking, and for files
 * that other programs read. */
RQ_NODISCARD rq_status rq_sample_decode_rgb(rq_sample_decoder *d, const rq_stored_image *s,
                                            rq_image *img, rq_err *err);
/* A mask member as one grey plane at its stored size. */
RQ_NODISCARD rq_status rq_sample_decode_mask(rq_sample_decoder *d, const uint8_t *data,
                                             size_t bytes, rq_image *mask, rq_err *err);
/* The picture as a file that other programs read (replaced): jpeg, avif and ppm as they are
 * stored, dct as a JPEG with the same coefficients and its orientation in an EXIF block, raw as
 * a PNG. *extension: of the file, without dot. */
RQ_NODISCARD rq_status rq_sample_export(rq_sample_decoder *d, const rq_stored_image *s,
                                        rq_buf *file, const char **extension, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
