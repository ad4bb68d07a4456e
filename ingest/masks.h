/* Saliency masks that come with a dataset: one grey picture per image, found by name.
 *
 * For an image CLASS/FILE.EXT the mask is CLASS/FILE.{png,pgm,jpg,jpeg}, extension in any
 * case, or else FILE.* at the top, which serves every class. Masks come as a folder or as a
 * plain tar, whose one outer folder, if it has one, does not count. Two masks for one image in
 * the same place are an error. 255 is foreground. Masks are stored as soft 8-bit maps of at
 * most RQ_MASK_MAX_SIDE pixels on the long side, averaged down, so that the threshold stays an
 * option of the stream. */
#ifndef RQ_INGEST_MASKS_H
#define RQ_INGEST_MASKS_H

#include "ingest/codec.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { RQ_MASK_MAX_SIDE = 160 };

typedef struct rq_masks rq_masks;

/* Lists the masks of a folder or tar: what is added later is not seen. NOT_FOUND when there is
 * neither; UNSUPPORTED for a compressed tar. Any thread may call get. */
RQ_NODISCARD rq_status rq_masks_open(rq_masks **out, const char *path, rq_err *err);
void rq_masks_close(rq_masks **m);
/* How many there are, and a hash over their names and sizes: whether it is the same set. */
uint64_t rq_masks_count(const rq_masks *m);
uint64_t rq_masks_fingerprint(const rq_masks *m);
/* The mask of an image of this size as binary PGM (dst replaced; empty when there is none,
 * which is RQ_OK). A mask that cannot be read, or whose shape differs from the image's by more
 * than 2 % in aspect, is an error.
 *
 * orientation: EXIF's, 1 to 8, by which the image was turned to get that size; 1 when it stands
 * as the file has it. The mask is taken to lie like the image, and a mask that has the shape of
 * the file's picture instead is turned along. */
RQ_NODISCARD rq_status rq_masks_get(rq_masks *m, rq_decoder *d, const char *image_name,
                                    int image_width, int image_height, int orientation,
                                    rq_buf *dst, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
