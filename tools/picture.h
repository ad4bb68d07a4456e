/* Pictures to look at: an RGB canvas with boxes, text and scaled copies, for contact sheets and
 * overlays. Everything clips at the canvas; coordinates may lie outside. One thread at a time.
 */
#ifndef RQ_TOOLS_PICTURE_H
#define RQ_TOOLS_PICTURE_H

#include "common/mem.h"
#include "common/status.h"

#include <stdint.h>

/* 0xRRGGBB */
typedef uint32_t rq_color;

typedef struct rq_picture {
    int width, height;
    uint8_t *rgb; /* [height][width][3], owned */
} rq_picture;

enum {
    RQ_GLYPH_WIDTH = 6, /* advance of one character at scale 1, pixels */
    RQ_GLYPH_HEIGHT = 7
};

/* A canvas of one colour. LIMIT when a side is not positive or the canvas would be larger than
 * 256 Mpx. */
RQ_NODISCARD rq_status rq_picture_create(rq_picture *p, int width, int height, rq_color color,
                                         rq_err *err);
void rq_picture_free(rq_picture *p);

void rq_picture_fill(rq_picture *p, int x, int y, int w, int h, rq_color color);
/* The border of a box, `thickness` pixels, inside of it. */
void rq_picture_frame(rq_picture *p, int x, int y, int w, int h, int thickness, rq_color color);
/* 5x7 letters of ASCII 32..126, anything else as '?'; x, y is the upper left corner. */
void rq_picture_text(rq_picture *p, int x, int y, int scale, rq_color color, const char *text);
/* Width in pixels of that text. */
int rq_picture_text_width(const char *text, int scale);
/* Copies src[sh][sw][3] into the box: mean over the covered area when shrinking, nearest sample
 * when growing. */
void rq_picture_blit(rq_picture *p, int x, int y, int w, int h, const uint8_t *src, int sw,
                     int sh);
/* Shows a grey map over dst[height][width][3], in place: where mask[mh][mw] (rows of
 * `mask_stride` bytes) is low the picture is dimmed and greyed, where it is high it stays, and
 * the border at half is drawn in `color`. The map is stretched over the picture. */
void rq_picture_overlay_mask(uint8_t *dst, int width, int height, const uint8_t *mask, int mw,
                             int mh, size_t mask_stride, rq_color color);

#endif
