/* Features of a dataset: the encoder's output for every image, or the pixels themselves, by way
 * of a stream with a recipe of one view. */
#ifndef RQ_TRAIN_FEATURES_H
#define RQ_TRAIN_FEATURES_H

#include "augment/stream.h"
#include "train/net.h"

#include <signal.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A network in EVAL mode with the weights to use; all borrowed. backend NULL: raw pixels,
 * normalised as the network's first operation does. */
typedef struct rq_feature_source {
    rq_backend *backend;
    const rq_model *model;
    const float *values;
    float *state; /* not changed */
} rq_feature_source;

typedef struct rq_feature_opts {
    int batch;     /* images at a time; 128 */
    int threads;   /* of the stream; 0: one per CPU */
    uint64_t seed; /* of random crops */
    uint32_t epoch;
    rq_order order;
    size_t limit;        /* images at most, the first of the order; 0: all */
    uint64_t bad_budget; /* damaged samples replaced as the stream does it; 0: none */
    rq_log_sink log;
    const volatile sig_atomic_t *stop; /* CANCELLED when it becomes nonzero; may be NULL */
} rq_feature_opts;

void rq_feature_opts_default(rq_feature_opts *o);

typedef struct rq_features {
    float *rows; /* [count][width] */
    int32_t *labels;
    size_t count;
    int width;
} rq_features;

void rq_features_free(rq_features *f);

/* Floats per image: the encoder's width, or size * size * 3. */
int rq_feature_width(const rq_feature_source *src, const rq_recipe *recipe);
/* The images of the dataset in the order of the stream; the recipe must give one view per
 * image. The caller frees *f whatever the outcome. */
RQ_NODISCARD rq_status rq_features_extract(rq_features *f, const rq_feature_source *src,
                                           const rq_dataset *ds, const rq_recipe *recipe,
                                           const rq_feature_opts *o, rq_err *err);

/* Called with the features of one batch after the other; END stops without an error. */
typedef rq_status (*rq_feature_sink)(void *ctx, const float *rows, const int32_t *labels,
                                     int count, rq_err *err);
/* The same, one epoch, without keeping them. */
RQ_NODISCARD rq_status rq_features_each(const rq_feature_source *src, const rq_dataset *ds,
                                        const rq_recipe *recipe, const rq_feature_opts *o,
                                        rq_feature_sink sink, void *ctx, rq_err *err);

/* Scales every row to length 1 (rows of zeros stay). */
void rq_features_normalise(rq_features *f);

#ifdef __cplusplus
}
#endif
#endif
