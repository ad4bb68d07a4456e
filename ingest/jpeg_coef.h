/* JPEG files as quantised DCT coefficients, and back: what `dct` shards keep of a JPEG.
 *
 * Reading stops behind the entropy decoder: no inverse transform, so nothing is rounded.
 * Writing gives a file with the same coefficients, tables, sampling and colour and so the same
 * pixels; its Huffman tables are made for it. What was neither (EXIF, ICC, comments, restart
 * markers, JFIF density) is gone.
 *
 * Thread rule: one rq_jpeg_coder per thread. */
#ifndef RQ_INGEST_JPEG_COEF_H
#define RQ_INGEST_JPEG_COEF_H

#include "ingest/codec.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Coefficients that baseline JPEG can write: AC within +-1023; differences of DC within
 * +-2047, which DC from -1024 to 1023 makes sure of. */
enum { RQ_JPEG_MAX_AC = 1023, RQ_JPEG_MIN_DC = -1024, RQ_JPEG_MAX_DC = 1023 };

typedef struct rq_jpeg_component {
    int h, v;               /* sampling factors, 1..4 */
    int blocks_x, blocks_y; /* blocks that carry the picture, without padding to whole MCUs */
    uint16_t quant[64];     /* quantisation table, natural order (row by row) */
    int16_t *coef;          /* [blocks_y][blocks_x][64], natural order */
} rq_jpeg_component;

/* Zero-initialise; rq_jpeg_coefs_free when done. Keeps its storage from one file to the next.
 */
typedef struct rq_jpeg_coefs {
    rq_pixels pixels; /* GRAY, YCBCR or RGB, as the file has it */
    int width, height;
    int components; /* 1 or 3 */
    rq_jpeg_component component[3];
    int16_t *storage; /* private: owns the coefficients */
    size_t storage_values;
} rq_jpeg_coefs;

/* Sets blocks_x, blocks_y and coef of every component from width, height, components, h and v,
 * and makes room, content undefined. LIMIT when the coefficients need more than
 * limits->max_memory_bytes or a side is outside 1..65,535; OOM. */
RQ_NODISCARD rq_status rq_jpeg_coefs_shape(rq_jpeg_coefs *c, const rq_limits *limits,
                                           rq_err *err);
void rq_jpeg_coefs_free(rq_jpeg_coefs *c);

/* libjpeg's two halves. */
typedef struct rq_jpeg_coder rq_jpeg_coder;
RQ_NODISCARD rq_status rq_jpeg_coder_create(rq_jpeg_coder **out, const rq_limits *limits,
                                            rq_err *err);
void rq_jpeg_coder_destroy(rq_jpeg_coder **j);

/* Any JPEG that libjpeg reads without a warning: baseline, progressive, arithmetic, restarts,
 * tables of 16 bits. UNSUPPORTED, with a sentence, for the others: four components, a colour
 * space that is neither grey, YCbCr nor RGB, a warning, scans that are missing. LIMIT when the
 * coefficients need more than a quarter of max_memory_bytes; OOM; and BAD_FORMAT, TRUNCATED or
 * CORRUPT_IMAGE for what libjpeg cannot read at all. */
RQ_NODISCARD rq_status rq_jpeg_coefs_read(rq_jpeg_coder *j, const void *data, size_t bytes,
                                          rq_jpeg_coefs *c, rq_err *err);

/* A JPEG file (replaced): sequential, optimised Huffman tables, one scan
 * where the sampling allows it and one for each component otherwise. The same coefficients give
 * the same bytes. BAD_FORMAT when a coefficient is larger than JPEG can write. */
RQ_NODISCARD rq_status rq_jpeg_coefs_write(rq_jpeg_coder *j, const rq_jpeg_coefs *c,
                                           rq_buf *jpeg, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
