/* Writes JPEG through libjpeg: for the demo's pictures and for sources shown in pages. */
#ifndef RQ_TOOLS_JPEG_WRITE_H
#define RQ_TOOLS_JPEG_WRITE_H

#include "common/mem.h"
#include "common/status.h"

/* Encodes data[height][width][channels] (dst replaced), quality 1..100. channels: 1 grey,
 * 3 RGB (stored as 4:2:0), 4 CMYK with an Adobe marker, samples given as they are stored:
 * inverted, 255 is no ink. INTERNAL with libjpeg's words when it refuses. */
RQ_NODISCARD rq_status rq_jpeg_write(const uint8_t *data, int width, int height, int channels,
                                     int quality, rq_buf *dst, rq_err *err);

#endif
