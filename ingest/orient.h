/* Pictures stood upright, as EXIF's orientation asks for: decoded planes turned and mirrored,
 * and the tag itself written into a JPEG that has lost it.
 *
 * Orientations are EXIF's: 1 as stored, 2 mirrored left to right, 3 turned by 180 degrees, 4
 * mirrored top to bottom, 5 transposed, 6 to be turned clockwise by 90, 7 transposed along the
 * other diagonal, 8 to be turned anticlockwise by 90. */
#ifndef RQ_INGEST_ORIENT_H
#define RQ_INGEST_ORIENT_H

#include "ingest/image.h"

#ifdef __cplusplus
extern "C" {
#endif

/* 5 to 8: width and height change places. */
bool rq_orientation_swaps(int orientation);

/* src upright in dst; orientation 1 to 8. A plane is turned by itself, and sub_x and sub_y
 * change places with width and height. When the chroma of an odd size would come to lie on the
 * other side of the picture's edge, chroma is shifted by at most half of a sample of its own.
 */
RQ_NODISCARD rq_status rq_image_orient(const rq_image *src, int orientation, rq_image *dst,
                                       rq_err *err);

/* Puts an EXIF block with this orientation and nothing else behind SOI, or behind the JFIF
 * block that must follow it; orientation 1 leaves the file alone. For a JPEG that has no EXIF.
 * BAD_FORMAT when it is no JPEG. */
RQ_NODISCARD rq_status rq_exif_insert_orientation(rq_buf *jpeg, int orientation, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
