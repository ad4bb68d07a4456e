/* LARS and the EMA of the target network, over a model's flat parameter buffers.
 *
 * For a parameter with weights w and gradient g, in this order (official RELICv2 code):
 *   u = g + weight_decay w
 *   u = trust |w| / |u| u        (ratio 1 when either norm is 0; no epsilon, no clipping)
 *   m = momentum m + u           (the trust ratio is inside the buffer)
 *   w = w - lr m
 * Biases and BatchNorm (param.adapt false) take neither decay nor trust ratio. With trust 0 the
 * ratio is 1 everywhere: plain SGD with momentum. Norms are summed in float64 over fixed
 * chunks: the result does not depend on the number of threads. */
#ifndef RQ_TRAIN_LARS_H
#define RQ_TRAIN_LARS_H

#include "train/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rq_lars_opts {
    float momentum;     /* 0.9 */
    float weight_decay; /* 1.5e-6 */
    float trust;        /* 1e-3; 0: plain SGD */
} rq_lars_opts;

typedef struct rq_lars_stats {
    double grad_norm;   /* of all gradients together */
    double weight_norm; /* of all weights before the step */
} rq_lars_stats;

typedef struct rq_lars rq_lars;
/* The model must outlive it. */
RQ_NODISCARD rq_status rq_lars_create(rq_lars **out, const rq_model *model,
                                      const rq_lars_opts *opts, rq_err *err);
void rq_lars_destroy(rq_lars **l);
/* One step on buffers of the model's layout. DIVERGED naming the first parameter whose gradient
 * or weight is not finite; then nothing has been changed. */
RQ_NODISCARD rq_status rq_lars_step(rq_lars *l, float *values, const float *grads,
                                    float *momentum, double lr, rq_lars_stats *stats,
                                    rq_err *err);
/* Trust ratio of parameter i in the last step; 1 where it does not apply. */
double rq_lars_trust(const rq_lars *l, size_t i);

/* target += (1 - momentum) (online - target); momentum 0 copies, 1 leaves the target alone. */
void rq_ema_update(float *target, const float *online, size_t count, double momentum);

#ifdef __cplusplus
}
#endif
#endif
