/* Inner loops of the cpu backend, compiled once per instruction set. Internal to it.
 *
 * A kernel walks n consecutive numbers that are rows of `width` lanes (the last row may be
 * short). Lanes are channels, or several pixels' channels side by side when there are few: the
 * caller repeats its per-channel tables up to width, which is a multiple of RQ_LANES. Each lane
 * is summed in row order, without contraction, so all instruction sets give the same bits. */
#ifndef RQ_TRAIN_CPU_KERNELS_H
#define RQ_TRAIN_CPU_KERNELS_H

#include "train/backend_ops.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { RQ_LANES = 16 };

/* Where the ReLU's mask comes from. */
typedef enum rq_mask {
    RQ_MASK_NONE,
    RQ_MASK_Y /* y > 0 */,
    RQ_MASK_X /* x a + b > 0 */
} rq_mask;

/* Pointers to the first of the n numbers; tables of `width` floats. */
typedef struct rq_kernel_bn {
    rq_dtype type;
    size_t n, width;
    const void *x, *y, *residual, *dy, *dy2;
    void *out; /* y or dx */
    void *g;   /* see rq_bn_backward; NULL: g is not kept */
    bool relu;
    rq_mask mask;
    const float *a, *b, *mean; /* y = x a + b */
    const float *ca, *cb, *cc; /* dx = g ca + (x - mean) cb + cc */
    float *sums;               /* [2][width], overwritten */
} rq_kernel_bn;

typedef struct rq_kernels {
    const char *name;
    /* sums = sum (x - mean), sum (x - mean)^2, where mean is any number nearby */
    void (*bn_stats)(const rq_kernel_bn *k);
    /* out = relu(x a + b + residual) */
    void (*bn_apply)(const rq_kernel_bn *k);
    /* g = (dy + dy2) masked, kept if wanted; sums = sum g, sum g (x - mean) */
    void (*bn_reduce)(const rq_kernel_bn *k);
    /* out = g ca + (x - mean) cb + cc, with g as kept, or from dy and the mask */
    void (*bn_gradient)(const rq_kernel_bn *k);
    void (*convert)(void *dst, rq_dtype dst_type, const void *src, rq_dtype src_type, size_t n);
    /* One output row of one image: see rq_ops. */
    void (*maxpool_row)(const rq_pool_shape *s, int oy, const void *image, void *y,
                        uint8_t *where);
    /* One input row of one image. */
    void (*maxpool_grad_row)(const rq_pool_shape *s, int iy, const uint8_t *where,
                             const void *dy, const void *dy2, void *dx);
} rq_kernels;

/* The best set within a mask of RQ_CPU_ bits that this build has. */
const rq_kernels *rq_kernels_pick(unsigned cpu_flags);

extern const rq_kernels rq_kernels_c;
extern const rq_kernels rq_kernels_avx2;
extern const rq_kernels rq_kernels_avx512;

#ifdef __cplusplus
}
#endif
#endif
