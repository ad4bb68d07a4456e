/* Crop and resize of the planes of one view, rows at a time.
 *
 * Each plane is resized from its own resolution; the flip is folded into the filter, and the
 * background is removed first where the view wants that. */
#ifndef RQ_AUGMENT_CROP_H
#define RQ_AUGMENT_CROP_H

#include "augment/cutout.h"
#include "augment/taps.h"
#include "augment/view.h"

/* Scratch of one thread, and the view that is being cut. rq_crop_init or zeros; rq_crop_free
 * when done. */
typedef struct rq_crop {
    rq_cubic cubic;
    rq_cutout cutout;
    rq_taps taps[2][2]; /* [luma, chroma][across, down] */
    rq_ring ring[3];    /* rows of each plane of the window, resized across */
    size_t ring_cap[3];

    const rq_kernels *k;
    rq_window window[3];
    const rq_taps *axes[3]; /* [2] each: across, down */
    int done[3];            /* rows of the window before this one are in the ring */
} rq_crop;

RQ_NODISCARD rq_status rq_crop_init(rq_crop *c, rq_err *err);
void rq_crop_free(rq_crop *c);
/* Bytes that a crop grows to at most, antialiased filters not counted. */
size_t rq_crop_memory(int size, int block_rows, int width, int height, bool masks);

/* Begins a view of size x size; chroma planes are made chroma_size x chroma_size. mask as for
 * rq_view_make. Rows will be asked for in blocks of up to block_rows. */
RQ_NODISCARD rq_status rq_crop_begin(rq_crop *c, const rq_kernels *k, const rq_recipe *r,
                                     const rq_image *image, const rq_image *mask,
                                     const rq_view_params *p, int size, int chroma_size,
                                     int block_rows, rq_err *err);
/* Rows [y, y + rows) of a plane, in ascending order, as resize_v leaves them: 64 units to a
 * level, minus 128 levels. dst[rows][size of the plane]. */
void rq_crop_rows(rq_crop *c, int plane, int16_t *dst, int y, int rows);
/* The mean of a plane's samples in the crop, from every fourth row. */
double rq_crop_mean(const rq_crop *c, int plane);

#endif
