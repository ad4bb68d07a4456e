/* The trainer: networks, buffers and one step of RELICv2.
 *
 * A step takes a batch of views, and does, in this order: target forward on the large views;
 * online forward on large and small views; negatives, loss and its gradient; both backwards
 * into one gradient; LARS; EMA of the target. All views of a group go through a network in one
 * call with BatchNorm per view. Nothing is allocated in a step.
 *
 * With the cpu and ref backends the state after a step is a pure function of (state before,
 * batch, step number, configuration, number of threads). Thread rule: one thread. */
#ifndef RQ_TRAIN_TRAINER_H
#define RQ_TRAIN_TRAINER_H

#include "augment/stream.h"
#include "train/checkpoint.h"
#include "train/config.h"
#include "train/net.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rq_step_stats {
    rq_loss_terms terms;
    double lr, ema;
    double grad_norm, weight_norm;
} rq_step_stats;

/* Bytes by purpose. */
typedef struct rq_train_memory {
    size_t parameters;  /* values, gradients, momentum, target, states */
    size_t activations; /* arenas of the three networks */
    size_t scratch;     /* of the networks */
    size_t loss;        /* embeddings, their gradients, negatives, scratch */
    double flops;       /* of one step, multiply-add = 2 */
} rq_train_memory;

typedef struct rq_trainer rq_trainer;

/* Backend must outlive it; config is copied. The online network is initialised from the seed,
 * the target is a copy of it, the step is 0. */
RQ_NODISCARD rq_status rq_trainer_create(rq_trainer **out, rq_backend *backend,
                                         const rq_train_config *config,
                                         const rq_train_plan *plan, rq_err *err);
void rq_trainer_destroy(rq_trainer **t);

/* One step on a batch of config->batch images in the recipe's groups. DIVERGED, naming what is
 * not finite; weights, momentum and target are then those before the step. */
RQ_NODISCARD rq_status rq_trainer_step(rq_trainer *t, const rq_batch *batch,
                                       rq_step_stats *stats, rq_err *err);

/* Steps done. */
uint64_t rq_trainer_done(const rq_trainer *t);
const rq_model *rq_trainer_model(const rq_trainer *t);
/* The live buffers. */
rq_weights rq_trainer_weights(const rq_trainer *t);
/* Gradients of the last step, in the model's layout. */
const float *rq_trainer_grads(const rq_trainer *t);
/* Negatives of the last step, as rq_loss_draw_negatives writes them. */
const int32_t *rq_trainer_negatives(const rq_trainer *t);
rq_train_memory rq_trainer_memory(const rq_trainer *t);
/* Where network time goes, over all steps. */
const rq_net_profile *rq_trainer_profile(const rq_trainer *t);

RQ_NODISCARD rq_status rq_trainer_save(const rq_trainer *t, const char *path,
                                       const rq_st_meta *extra, size_t n_extra, rq_err *err);
/* Takes over weights, momentum, target and step. */
RQ_NODISCARD rq_status rq_trainer_load(rq_trainer *t, const rq_checkpoint *c, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
