/* k nearest neighbours by cosine similarity with weighted votes: every one of the k most
 * similar training images votes for its class with exp(similarity / tau) (the protocol of Wu et
 * al. 2018, as DINO and solo-learn use it). */
#ifndef RQ_TRAIN_KNN_H
#define RQ_TRAIN_KNN_H

#include "train/features.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { RQ_KNN_MAX_K = 1000 };

typedef struct rq_knn_opts {
    int k;     /* 20 */
    float tau; /* 0.07 */
} rq_knn_opts;

typedef struct rq_knn_result {
    double top1, top5; /* share of queries whose class is first, among the first five */
} rq_knn_result;

/* Rows of both must have length 1 (rq_features_normalise). Labels are 0 .. classes - 1. Ties go
 * to the earlier training image and to the lower class. The same on any number of threads and
 * any CPU. */
RQ_NODISCARD rq_status rq_knn_classify(rq_knn_result *out, const rq_features *train,
                                       const rq_features *queries, int classes,
                                       const rq_knn_opts *o, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
