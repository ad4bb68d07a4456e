/* Backends: who computes. The one door between the layer graph and a device.
 *
 * "ref" is naive C, readable and right. "cpu" uses oneDNN for convolutions and matrix products
 * and threaded C for the rest. "cuda" will be a third. All three compute the same operations on
 * the same NHWC layouts; the graph does not know which one it runs on. The table of operations
 * is in backend_ops.h, for those who write a backend. */
#ifndef RQ_TRAIN_BACKEND_H
#define RQ_TRAIN_BACKEND_H

#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rq_precision {
    RQ_F32,
    RQ_BF16 /* activations and their gradients are stored as bf16; sums, statistics, weights,
               weight gradients and the network's output stay f32. cpu: needs AVX512-BF16,
               UNSUPPORTED otherwise */
} rq_precision;

typedef struct rq_backend_opts {
    int threads; /* 0: one per CPU this process may use. Best a divisor of the views, see net.h
                  */
    rq_precision precision;
} rq_backend_opts;

typedef struct rq_backend rq_backend;

/* name: "ref", "cpu", "cuda", or "auto" (the best one here). DEVICE, in one sentence with the
 * next step, when it is not built in or not usable on this machine. */
RQ_NODISCARD rq_status rq_backend_create(rq_backend **out, const char *name,
                                         const rq_backend_opts *opts, rq_err *err);
void rq_backend_destroy(rq_backend **b);
const char *rq_backend_name(const rq_backend *b);
/* One line: library versions, threads, precision. */
const char *rq_backend_describe(const rq_backend *b);

#ifdef __cplusplus
}
#endif
#endif
