/* A decoded picture: 8-bit component planes as the codec had them.
 *
 * Chroma stays at its own resolution, so that crops are cut straight from what was coded and
 * nothing is computed for pixels that no view looks at. Chroma samples lie in the middle of the
 * luma samples they cover (JPEG's siting): luma coordinate x, in pixels with the left edge of
 * the image at 0, is chroma coordinate x / sub_x. */
#ifndef RQ_INGEST_IMAGE_H
#define RQ_INGEST_IMAGE_H

#include "common/mem.h"
#include "common/status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rq_pixels {
    RQ_PIXELS_NONE = 0,
    RQ_PIXELS_GRAY = 1,  /* one plane */
    RQ_PIXELS_YCBCR = 2, /* three planes, JFIF: BT.601 matrix, full range */
    RQ_PIXELS_RGB = 3    /* three planes of full size */
} rq_pixels;

typedef struct rq_plane {
    uint8_t *data;
    int width, height; /* samples that carry the picture */
    size_t stride;     /* bytes from row to row, a multiple of RQ_ALIGN */
} rq_plane;

/* Zero-initialise; rq_image_free when done. An rq_image keeps its storage from one picture to
 * the next and only grows it, so one per thread decodes a whole dataset without allocating. */
typedef struct rq_image {
    rq_pixels pixels;
    int width, height; /* of the picture, in luma samples */
    int sub_x, sub_y; /* luma samples per chroma sample, 1, 2 or 4; 1 when there is no chroma */
    rq_plane plane[3]; /* those not used are zeroed; chroma width is ceil(width / sub_x) */
    uint8_t *storage;  /* private: owns the planes */
    size_t storage_bytes;
} rq_image;

/* Number of planes of a pixel kind: 1 or 3. */
int rq_pixels_planes(rq_pixels pixels);

/* Shapes img for a picture: sets every field and makes room, content undefined. Rows and
 * columns are padded in memory to whole blocks of `pad` samples (a power of two, >= 1), so that
 * a codec may write complete blocks. OOM; LIMIT when a size is not positive or overflows. */
RQ_NODISCARD rq_status rq_image_shape(rq_image *img, rq_pixels pixels, int width, int height,
                                      int sub_x, int sub_y, int pad, rq_err *err);
void rq_image_free(rq_image *img);

/* JFIF's inverse matrix in 16-bit fixed point, rounded as libjpeg rounds it. */
void rq_ycbcr_to_rgb(uint8_t dst[3], int y, int cb, int cr);

/* Interleaved RGB of the whole picture into dst[height][width][3]; chroma by the nearest
 * sample. For looking: the views use the planes, and rq_image_upsample gives smooth chroma. */
void rq_image_to_rgb(const rq_image *img, uint8_t *dst);

#ifdef __cplusplus
}
#endif
#endif
