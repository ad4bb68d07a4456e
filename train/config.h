/* What is trained and how: everything that decides the numbers of a run. Where the data lie,
 * where the run writes, and how many threads it uses stand elsewhere (run.h). */
#ifndef RQ_TRAIN_CONFIG_H
#define RQ_TRAIN_CONFIG_H

#include "augment/recipe.h"
#include "train/backend.h"
#include "train/lars.h"
#include "train/loss.h"
#include "train/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rq_train_config {
    rq_model_opts model;
    rq_recipe recipe;
    rq_loss_opts loss;
    rq_lars_opts optimizer;
    rq_precision precision;
    int batch;           /* images; 4096 */
    uint64_t seed;       /* 0 */
    float epochs;        /* 1000 */
    uint64_t steps;      /* instead of epochs; 0: floor(epochs * images / batch) */
    float warmup_epochs; /* 10 */
    float lr;            /* for 256 images: the peak is lr * batch / 256; 0.3 */
    float ema;           /* momentum of the target at step 0; 0.996 */
} rq_train_config;

/* RELICv2 for 1000 epochs of ResNet-50. */
RQ_NODISCARD rq_status rq_train_config_default(rq_train_config *c, rq_err *err);
/* Every field in range and the fields consistent with each other. */
RQ_NODISCARD rq_status rq_train_config_check(const rq_train_config *c, rq_err *err);

/* The run's schedule for a dataset of `images`. */
typedef struct rq_train_plan {
    uint64_t steps, warmup;
    double peak_lr;
} rq_train_plan;
/* INVALID_ARG when the dataset is smaller than a batch or there is not one step. */
RQ_NODISCARD rq_status rq_train_plan_make(rq_train_plan *p, const rq_train_config *c,
                                          uint64_t images, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
