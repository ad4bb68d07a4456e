/* Recipes: which views an image gives and what is done to them. Every constant of the method is
 * a field here; nothing is hard-coded further in.
 *
 * Source: RELICv2 (arXiv 2201.05119) and the official evaluation code's augmentation, as
 * restated in this folder's README, which also says which values are confirmed and which are
 * choices. */
#ifndef RQ_AUGMENT_RECIPE_H
#define RQ_AUGMENT_RECIPE_H

#include "ingest/resample.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { RQ_MAX_VIEWS = 16, RQ_MAX_GROUPS = 2 };

typedef enum rq_fill { RQ_FILL_ZERO, RQ_FILL_MEAN, RQ_FILL_RANDOM_GRAY } rq_fill;

/* One photometric preset. Probabilities in [0, 1]; an operation is applied when u <= p, and
 * never when p is 0. */
typedef struct rq_photometric {
    float p_jitter;             /* 0.8 */
    float brightness;           /* 0.4: adds d, d in [-b, b] */
    float contrast;             /* 0.4: (x - mean) * f + mean per channel, f in [1-c, 1+c] */
    float saturation;           /* 0.2: S of HSV times f in [1-s, 1+s] */
    float hue;                  /* 0.1: H of HSV plus d in [-h, h], in turns */
    float p_gray;               /* 0.2 */
    float p_blur;               /* A 1.0, B 0.1 */
    float sigma_min, sigma_max; /* 0.1, 2.0 pixels of the view */
    float p_solarize;           /* A 0.0, B 0.2 */
    float solarize_threshold;   /* 0.5: values below stay, others become 1 - x */
} rq_photometric;

/* One group of equally sized views. */
typedef struct rq_view_group {
    int views;                /* 0: the group is absent */
    int size;                 /* pixels, square */
    float area_min, area_max; /* fraction of the image */
} rq_view_group;

typedef struct rq_recipe {
    char name[24];
    rq_view_group group[RQ_MAX_GROUPS]; /* 0: large, 1: small */
    float ratio_min, ratio_max;         /* width / height, drawn log-uniformly; 3/4, 4/3 */
    float p_flip;                       /* 0.5 */
    bool center_crop;                   /* eval: no random crop, the centre instead */
    float center_fraction;              /* of the shorter side; 0.875 */
    rq_filter filter;
    bool antialias; /* false: 4 taps, as TensorFlow; true: support widened, as Pillow */
    rq_photometric preset[2]; /* view k of a group uses preset k % 2 */
    float p_mask;             /* background removal per large view; 0.1 */
    float mask_threshold;     /* foreground where mask > threshold, in [0, 1]; 0.5 */
    float mask_min_cover, mask_max_cover; /* masks outside are not used; 0.01, 0.99 */
    rq_fill fill;
    bool fast; /* colours approximated by one matrix, chroma at half the view's resolution */
} rq_recipe;

/* "relicv2", "byol", "linear", "eval", "supervised", "relicv2-fast". INVALID_ARG lists the
 * names. */
RQ_NODISCARD rq_status rq_recipe_preset(rq_recipe *r, const char *name, rq_err *err);
/* Every field in range, with the field named otherwise. */
RQ_NODISCARD rq_status rq_recipe_check(const rq_recipe *r, rq_err *err);
int rq_recipe_views(const rq_recipe *r);
/* Blur kernel radius at a view size: taps = 2 * radius + 1, radius = int(size / 10 / 2) in
 * floats: 11 (23 taps) at 224, 4 (9 taps) at 96. */
int rq_recipe_blur_radius(int size);

/* Mean and standard deviation of ImageNet's RGB in [0, 1]: what networks normalise by, and the
 * mean that RQ_FILL_MEAN paints. */
extern const float rq_imagenet_mean[3], rq_imagenet_std[3];

#ifdef __cplusplus
}
#endif
#endif
