/* One view: what was drawn for it, and the making of its pixels.
 *
 * Drawing and making are apart: rq_view_draw is a pure function of the random key and the
 * image's size; rq_view_make applies drawn parameters to planes. The dumper shows the
 * parameters, the stream uses them; neither re-implements the other. */
#ifndef RQ_AUGMENT_VIEW_H
#define RQ_AUGMENT_VIEW_H

#include "augment/recipe.h"
#include "ingest/image.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Operation numbers of the random key; fixed, because they decide the bytes of every batch. */
enum {
    RQ_OP_MASK = 0,
    RQ_OP_CROP = 1,
    RQ_OP_FLIP = 2,
    RQ_OP_JITTER = 3,
    RQ_OP_GRAY = 4,
    RQ_OP_BLUR = 5,
    RQ_OP_SOLARIZE = 6,
    RQ_OP_FILL = 7
};

/* Colour operations, in the order in which `order` lists them. */
enum { RQ_JITTER_BRIGHTNESS, RQ_JITTER_CONTRAST, RQ_JITTER_SATURATION, RQ_JITTER_HUE };

typedef struct rq_view_key {
    uint64_t seed;
    uint32_t epoch;
    uint64_t sample;
    int view; /* 0-based over all views of the image, large first */
} rq_view_key;

/* What was done to one view, exactly. */
typedef struct rq_view_params {
    int x, y, w, h; /* crop box in image pixels, inside the image */
    bool flip;
    bool mask_drawn; /* the draw with p_mask said yes */
    bool masked;     /* and there was a usable mask */
    bool jitter;
    uint8_t order[4];           /* RQ_JITTER_ in order of application, each once */
    float brightness;           /* added, -1 to 1 */
    float contrast, saturation; /* factors, 0 to 2 */
    float hue;                  /* turns added, -0.5 to 0.5 */
    bool gray;
    float sigma; /* blur in view pixels; 0: none */
    bool solarize;
    float fill[3]; /* RGB in [0, 1] where the background was removed */
    uint8_t group, view_in_group, preset;
    rq_view_key key;
} rq_view_params;

/* Draws everything for view `key->view` of an image of width x height. has_mask: the image has
 * a usable mask. Any thread. */
void rq_view_draw(rq_view_params *p, const rq_recipe *r, const rq_view_key *key, int width,
                  int height, bool has_mask);

/* Scratch of one thread, grown as needed. */
typedef struct rq_view_maker rq_view_maker;
/* cpu_flags: RQ_CPU_ bits the kernels may use; the bytes do not depend on them. */
RQ_NODISCARD rq_status rq_view_maker_create(rq_view_maker **out, const rq_recipe *r,
                                            unsigned cpu_flags, rq_err *err);
void rq_view_maker_destroy(rq_view_maker **m);
/* Bytes that a maker grows to at most on images of up to width x height, antialiased filters'
 * weights and rows not counted. */
size_t rq_view_maker_memory(const rq_recipe *r, int width, int height);

/* Is this mask (grey plane, 0..255) usable under the recipe: its cover within bounds? */
bool rq_mask_usable(const rq_recipe *r, const rq_image *mask);

/* Makes the view's u8 RGB pixels, dst[size][size][3]. mask may be NULL when !p->masked; it is
 * resized to the image bilinearly, thresholded, and cut with the same box and flip. */
RQ_NODISCARD rq_status rq_view_make(rq_view_maker *m, const rq_image *image,
                                    const rq_image *mask, const rq_view_params *p, uint8_t *dst,
                                    rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
