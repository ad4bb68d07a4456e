/* Convolutions and linear layers by oneDNN 2.x: the only door to that library. Internal to the
 * cpu backend. Tensors are dense NHWC, weights KRSC f32; the layout oneDNN prefers for weights
 * is made in scratch at each call. Nothing is allocated after creation. */
#ifndef RQ_TRAIN_ONEDNN_H
#define RQ_TRAIN_ONEDNN_H

#include "train/backend_ops.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rq_onednn rq_onednn;

RQ_NODISCARD rq_status rq_onednn_create(rq_onednn **out, rq_err *err);
void rq_onednn_destroy(rq_onednn **d);
/* "oneDNN 2.6.3" into buf. */
void rq_onednn_version(char *buf, size_t bytes);
/* Has this CPU the bf16 dot product (AVX512-BF16)? */
bool rq_onednn_has_bf16(void);

/* As in rq_ops; OpenMP's number of threads must be the same at creation and at each call. */
RQ_NODISCARD rq_status rq_onednn_conv_create(rq_onednn *d, rq_conv **out,
                                             const rq_conv_shape *s, size_t *scratch_bytes,
                                             rq_err *err);
void rq_onednn_conv_destroy(rq_conv **c);
RQ_NODISCARD rq_status rq_onednn_forward(rq_onednn *d, rq_conv *c, const void *x,
                                         const float *w, void *y, void *scratch, rq_err *err);
RQ_NODISCARD rq_status rq_onednn_backward_data(rq_onednn *d, rq_conv *c, const void *dy,
                                               const float *w, void *dx, void *scratch,
                                               rq_err *err);
RQ_NODISCARD rq_status rq_onednn_backward_weights(rq_onednn *d, rq_conv *c, const void *x,
                                                  const void *dy, float *dw, void *scratch,
                                                  rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
