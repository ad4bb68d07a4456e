/* Linear probe: multinomial logistic regression on frozen features by SGD with Nesterov
 * momentum and a cosine schedule (the linear evaluation protocol of RELICv2 and BYOL: batch
 * 1024, lr 0.3 for 256 images, momentum 0.9, no weight decay, 100 epochs). Weights start at
 * zero. The same on any number of threads. */
#ifndef RQ_TRAIN_PROBE_H
#define RQ_TRAIN_PROBE_H

#include "train/features.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rq_linear_probe_opts {
    float lr;           /* for 256 images; 0.3 */
    float momentum;     /* 0.9 */
    float weight_decay; /* 0 */
    int batch;          /* 1024 */
    int epochs;         /* 100 */
    uint64_t seed;      /* of the order; 0 */
} rq_linear_probe_opts;

void rq_linear_probe_opts_default(rq_linear_probe_opts *o);
RQ_NODISCARD rq_status rq_linear_probe_opts_check(const rq_linear_probe_opts *o, rq_err *err);

typedef struct rq_linear_probe rq_linear_probe;

/* steps: length of the schedule. */
RQ_NODISCARD rq_status rq_linear_probe_create(rq_linear_probe **out,
                                              const rq_linear_probe_opts *o, int width,
                                              int classes, uint64_t steps, rq_err *err);
void rq_linear_probe_destroy(rq_linear_probe **p);

/* One step on up to o->batch rows; *loss is the mean cross-entropy before it, in nats.
 * INVALID_ARG for a label out of range, DIVERGED when the loss is not finite. */
RQ_NODISCARD rq_status rq_linear_probe_step(rq_linear_probe *p, const float *rows,
                                            const int32_t *labels, int count, double *loss,
                                            rq_err *err);
/* All epochs over features kept in memory, a new exact order each epoch, the short last batch
 * left out (unless it is the only one). steps of creation: rq_linear_probe_steps. */
uint64_t rq_linear_probe_steps(const rq_linear_probe_opts *o, size_t count);
RQ_NODISCARD rq_status rq_linear_probe_train(rq_linear_probe *p, const rq_features *f,
                                             double *last_loss, rq_err *err);
/* Share of rows whose class has the highest score, is among the five highest. */
RQ_NODISCARD rq_status rq_linear_probe_evaluate(const rq_linear_probe *p, const rq_features *f,
                                                double *top1, double *top5, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
