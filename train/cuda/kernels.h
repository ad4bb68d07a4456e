/* The GPU's own kernels, queued on a stream: everything between the convolutions. As in rq_ops
 * (train/backend_ops.h), with pointers into device memory; tensors start at multiples of 16
 * bytes and have a multiple of 8 channels. The arithmetic is in train/kernel_body.h.
 *
 * Nothing is allocated, nothing waits; a launch can be captured in a CUDA graph. Errors: DEVICE
 * when a launch is refused; what happens while a kernel runs shows at the next synchronisation.
 */
#ifndef RQ_TRAIN_CUDA_KERNELS_H
#define RQ_TRAIN_CUDA_KERNELS_H

#include "train/backend_ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/* cudaStream_t; NULL: the default stream. */
typedef struct rq_gpu_stream {
    void *stream;
} rq_gpu_stream;

/* Channels of the normalised image: red, green, blue and zeros, so that cuDNN's kernels read
 * whole vectors of 16 bytes. */
enum { RQ_CUDA_IMAGE_CHANNELS = 8 };

/* table[3][256], device memory: the value of each byte. y [pixels][RQ_CUDA_IMAGE_CHANNELS]. */
RQ_NODISCARD rq_status rq_cuda_normalise(rq_gpu_stream s, const uint8_t *images, size_t pixels,
                                         const float *table, void *y, rq_dtype type,
                                         rq_err *err);
RQ_NODISCARD rq_status rq_cuda_convert(rq_gpu_stream s, void *dst, rq_dtype dst_type,
                                       const void *src, rq_dtype src_type, size_t n,
                                       rq_err *err);
/* dst += src, the gradient of filters as cuDNN leaves it. */
RQ_NODISCARD rq_status rq_cuda_accumulate(rq_gpu_stream s, float *dst, const void *src,
                                          rq_dtype type, size_t n, rq_err *err);

RQ_NODISCARD rq_status rq_cuda_bias_forward(rq_gpu_stream s, void *y, rq_dtype type,
                                            const float *bias, size_t rows, int width,
                                            rq_err *err);
RQ_NODISCARD rq_status rq_cuda_bias_backward(rq_gpu_stream s, const void *dy, rq_dtype type,
                                             float *db, size_t rows, int width, rq_err *err);

/* Bytes of device scratch that the three below use. */
size_t rq_cuda_bn_scratch(const rq_bn_shape *s);
RQ_NODISCARD rq_status rq_cuda_bn_forward(rq_gpu_stream s, const rq_bn_shape *shape,
                                          const rq_bn_forward *a, void *scratch, rq_err *err);
RQ_NODISCARD rq_status rq_cuda_bn_eval(rq_gpu_stream s, const rq_bn_shape *shape,
                                       const rq_bn_forward *a, void *scratch, rq_err *err);
RQ_NODISCARD rq_status rq_cuda_bn_backward(rq_gpu_stream s, const rq_bn_shape *shape,
                                           const rq_bn_backward *a, void *scratch, rq_err *err);

RQ_NODISCARD rq_status rq_cuda_maxpool_forward(rq_gpu_stream s, const rq_pool_shape *shape,
                                               const void *x, void *y, uint8_t *where,
                                               rq_err *err);
RQ_NODISCARD rq_status rq_cuda_maxpool_backward(rq_gpu_stream s, const rq_pool_shape *shape,
                                                const uint8_t *where, const void *dy,
                                                const void *dy2, void *dx, rq_err *err);

RQ_NODISCARD rq_status rq_cuda_gap_forward(rq_gpu_stream s, const void *x, rq_dtype type, int n,
                                           size_t pixels, int c, void *y, rq_dtype out_type,
                                           rq_err *err);
RQ_NODISCARD rq_status rq_cuda_gap_backward(rq_gpu_stream s, const void *dy, rq_dtype type,
                                            int n, size_t pixels, int c, void *dx, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
