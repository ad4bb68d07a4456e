/* The RELICv2 loss over all ordered pairs (online view, large target view), with gradients.
 *
 * For anchor i and candidates c = (i, n_1 .. n_k), cosine similarities divided by tau:
 *   p = softmax over c of <o_i, t_c> / tau,   q = softmax over c of <t_i, o_c> / tau
 *   contrastive = -log p[0],   invariance = KL(p || q) with the stop-gradient chosen by
 * inv_stop
 *
 * loss = 1 / ((L + S) L) * sum over pairs of the mean over i of alpha contrastive + beta
 * invariance; without the pairs of equal views the divisor is (L - 1 + S) L.
 *
 * Embeddings are normalised here, x * rsqrt(max(sum x^2, 1e-12)), on both sides. t never
 * receives a gradient. Everything is computed in float64, and in one order of summation: the
 * result does not depend on the number of threads. Thread rule: one thread at a time per
 * rq_loss; it works on OpenMP's threads. */
#ifndef RQ_TRAIN_LOSS_H
#define RQ_TRAIN_LOSS_H

#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rq_inv_stop {
    RQ_INV_STOP_ENTROPY, /* default: sg[sum p log p] - sum p log q */
    RQ_INV_STOP_FIRST,   /* KL(sg p || q) */
    RQ_INV_STOP_SECOND,  /* KL(p || sg q) */
    RQ_INV_STOP_NONE     /* plain KL */
} rq_inv_stop;

typedef struct rq_loss_opts {
    float alpha;   /* weight of the contrastive term; 0.3 */
    float beta;    /* weight of the invariance term; 5 */
    float tau;     /* temperature; 0.2 */
    int negatives; /* n_e, 1 .. B - 1; 10 */
    rq_inv_stop inv_stop;
    bool include_same_view; /* pairs (a, a) count; true */
} rq_loss_opts;

void rq_loss_opts_default(rq_loss_opts *o);
RQ_NODISCARD rq_status rq_loss_opts_check(const rq_loss_opts *o, int images, rq_err *err);

typedef struct rq_loss_terms {
    double loss, contrastive, invariance; /* the last two unweighted means over pairs */
    double agreement; /* share of anchors whose positive is the most similar candidate */
    double spread;    /* standard deviation over a view's images of each normalised online
                         coordinate, averaged, times sqrt(width): 1 is healthy (isotropic),
                         0 is collapse (every image the same) */
} rq_loss_terms;

/* Draws negatives: out[pairs][images][n], distinct, never the anchor itself, uniform; keyed by
 * (seed, step, pair, anchor). pairs = (large + small) * large, pair = online view * large +
 * target view. */
void rq_loss_draw_negatives(int32_t *out, uint64_t seed, uint64_t step, int pairs, int images,
                            int n);

/* Largest batch the negatives can be drawn from. */
enum { RQ_LOSS_MAX_IMAGES = 65536 };

typedef struct rq_loss rq_loss; /* scratch for one shape */
RQ_NODISCARD rq_status rq_loss_create(rq_loss **out, const rq_loss_opts *o, int images,
                                      int large, int small, int width, rq_err *err);
void rq_loss_destroy(rq_loss **l);
/* online: float [large + small][images][width], target: float [large][images][width], negatives
 * as drawn above. Writes terms and, unless NULL, donline, of online's shape. */
RQ_NODISCARD rq_status rq_loss_compute(rq_loss *l, const float *online, const float *target,
                                       const int32_t *negatives, rq_loss_terms *terms,
                                       float *donline, rq_err *err);
/* The same on doubles, for golden values and central differences. */
RQ_NODISCARD rq_status rq_loss_compute_f64(rq_loss *l, const double *online,
                                           const double *target, const int32_t *negatives,
                                           rq_loss_terms *terms, double *donline, rq_err *err);
/* Bytes of scratch it holds. */
size_t rq_loss_memory(const rq_loss *l);

#ifdef __cplusplus
}
#endif
#endif
