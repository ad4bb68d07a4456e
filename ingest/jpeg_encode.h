/* Writing JPEG through libjpeg: decoded planes as they are, or interleaved samples. The
 * accurate integer DCT and one thread: the same bytes on every machine. */
#ifndef RQ_INGEST_JPEG_ENCODE_H
#define RQ_INGEST_JPEG_ENCODE_H

#include "ingest/image.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rq_jpeg_opts {
    int quality;      /* 1..100 */
    int sub_x, sub_y; /* 1, 2 or 4: chroma of an RGB picture; YCBCR planes have their own */
    bool optimize;    /* Huffman tables made for the picture: a few per cent smaller */
} rq_jpeg_opts;

/* img as a JPEG (dst replaced). YCBCR planes are coded as they are, without conversion or
 * resampling; RGB is converted and its chroma averaged by libjpeg. INTERNAL with libjpeg's
 * words when it refuses: a side above 65,500, or a sampling of more than 10 blocks a unit. */
RQ_NODISCARD rq_status rq_jpeg_encode(const rq_image *img, const rq_jpeg_opts *opts,
                                      rq_buf *dst, rq_err *err);

/* Encodes data[height][width][channels] (dst replaced), quality 1..100. channels: 1 grey,
 * 3 RGB (stored as 4:2:0), 4 CMYK with an Adobe marker, samples given as they are stored:
 * inverted, 255 is no ink. INTERNAL with libjpeg's words when it refuses. */
RQ_NODISCARD rq_status rq_jpeg_write(const uint8_t *data, int width, int height, int channels,
                                     int quality, rq_buf *dst, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
