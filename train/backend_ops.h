/* The operations a backend provides: for those who write one, and for the graph that calls
 * them.
 *
 * All tensors are dense NHWC in the backend's memory. Activations and their gradients are f32
 * or bf16 (the same type within a network, except for its f32 input and output); parameters,
 * their gradients, statistics and all sums are f32 or wider. `scratch` is what the matching
 * _scratch function or create call asked for; nothing is allocated by the other operations.
 * Sizes have been checked by the graph: every tensor's bytes fit in size_t. */
#ifndef RQ_TRAIN_BACKEND_OPS_H
#define RQ_TRAIN_BACKEND_OPS_H

#include "train/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rq_dtype { RQ_DTYPE_F32, RQ_DTYPE_BF16 } rq_dtype;

static inline size_t rq_dtype_bytes(rq_dtype t)
{
    return t == RQ_DTYPE_F32 ? 4 : 2;
}

/* A convolution, or a linear layer (h = w = r = stride = 1, pad = 0). */
typedef struct rq_conv_shape {
    int n, h, w, c;        /* input x */
    int k, r, stride, pad; /* k filters of r x r; weights [k][r][r][c], f32 */
    int oh, ow;            /* output y: n, oh, ow, k */
    rq_dtype type;         /* of x, dx and dy */
    rq_dtype out_type;     /* of y */
    bool need_dx, need_dw; /* which backward passes will be called */
} rq_conv_shape;

/* Compiled for one shape. */
typedef struct rq_conv rq_conv;

/* BatchNorm over `groups` views of `rows` pixels each, then + residual, then ReLU. */
typedef struct rq_bn_shape {
    int groups;
    size_t rows; /* images * height * width of a group */
    int channels;
    rq_dtype type;
    bool relu;
    bool residual;
} rq_bn_shape;

typedef struct rq_bn_forward {
    const void *x, *residual;   /* [groups][rows][channels]; residual NULL without one */
    void *y;                    /* may be x */
    const float *scale, *shift; /* [channels] */
    float *save;                /* [2][groups][channels]: mean, 1 / sqrt(var + eps) */
    float *mean, *var;          /* running statistics, updated once per group in order as
                                   PyTorch does (momentum 0.1, unbiased variance); NULL: leave */
} rq_bn_forward;

/* With g = (dy + dy2) where the output was positive (everywhere without ReLU):
 * dshift += sum g, dscale += sum g xhat, dx = gradient of g through the statistics. g itself is
 * the gradient of the residual. */
typedef struct rq_bn_backward {
    const void *x;
    const void *y;        /* the forward's output; read only with relu and residual */
    const void *dy, *dy2; /* dy2 may be NULL */
    void *g;              /* where to leave g: dy itself is fine; NULL: not wanted, only
                             without dy2 */
    void *dx;             /* may be dy, or g when nobody else reads it */
    const float *scale, *shift;
    const float *save;
    float *dscale, *dshift; /* added to */
} rq_bn_backward;

/* 3x3, stride 2, padding 1. */
typedef struct rq_pool_shape {
    int n, h, w, c, oh, ow;
    rq_dtype type;
} rq_pool_shape;

#define RQ_BN_EPS      1e-5f
#define RQ_BN_MOMENTUM 0.1f

typedef struct rq_ops {
    const char *name;
    rq_status (*open)(rq_backend *b, rq_err *err);
    void (*close)(rq_backend *b);
    /* Around conv_create and, unless run_lanes does it, the operations: sets the number of
     * threads that they use, and puts it back. */
    void (*enter)(rq_backend *b, int threads);
    void (*leave)(rq_backend *b);
    /* Calls fn(ctx, lane) for each lane, side by side when there are several, each with
     * `threads` threads for its operations: 1, unless there is one lane. */
    void (*run_lanes)(rq_backend *b, int lanes, int threads, void (*fn)(void *ctx, int lane),
                      void *ctx);

    /* y[i] = (images[i] / 255 - mean[i % 3]) / std[i % 3] */
    void (*normalise)(rq_backend *b, const uint8_t *images, size_t pixels, void *y,
                      rq_dtype type);
    /* Copies n numbers from one type to the other (or the same). */
    void (*convert)(rq_backend *b, void *dst, rq_dtype dst_type, const void *src,
                    rq_dtype src_type, size_t n);

    /* *scratch_bytes: what each of the three passes may use. */
    rq_status (*conv_create)(rq_backend *b, rq_conv **out, const rq_conv_shape *s,
                             size_t *scratch_bytes, rq_err *err);
    void (*conv_destroy)(rq_conv **c);
    rq_status (*conv_forward)(rq_backend *b, rq_conv *c, const void *x, const float *w, void *y,
                              void *scratch, rq_err *err);
    rq_status (*conv_backward_data)(rq_backend *b, rq_conv *c, const void *dy, const float *w,
                                    void *dx, void *scratch, rq_err *err);
    /* dw += */
    rq_status (*conv_backward_weights)(rq_backend *b, rq_conv *c, const void *x, const void *dy,
                                       float *dw, void *scratch, rq_err *err);

    /* y[row][i] += bias[i]; db[i] += sum over rows of dy[row][i] */
    void (*bias_forward)(rq_backend *b, void *y, rq_dtype type, const float *bias, size_t rows,
                         int width);
    void (*bias_backward)(rq_backend *b, const void *dy, rq_dtype type, float *db, size_t rows,
                          int width);

    size_t (*bn_scratch)(const rq_backend *b, const rq_bn_shape *s);
    void (*bn_forward)(rq_backend *b, const rq_bn_shape *s, const rq_bn_forward *a,
                       void *scratch);
    /* By the running statistics a->mean and a->var; save is not used. */
    void (*bn_eval)(rq_backend *b, const rq_bn_shape *s, const rq_bn_forward *a, void *scratch);
    void (*bn_backward)(rq_backend *b, const rq_bn_shape *s, const rq_bn_backward *a,
                        void *scratch);

    /* where[n][oh][ow][c]: index 0 .. 8 of the (first) maximum in its window; NULL: not kept */
    void (*maxpool_forward)(rq_backend *b, const rq_pool_shape *s, const void *x, void *y,
                            uint8_t *where);
    /* dx = gradient of dy + dy2 (NULL: none) */
    void (*maxpool_backward)(rq_backend *b, const rq_pool_shape *s, const uint8_t *where,
                             const void *dy, const void *dy2, void *dx);

    /* x [n][pixels][c] to y [n][c], and back */
    void (*gap_forward)(rq_backend *b, const void *x, rq_dtype type, int n, size_t pixels,
                        int c, void *y, rq_dtype out_type);
    void (*gap_backward)(rq_backend *b, const void *dy, rq_dtype type, int n, size_t pixels,
                         int c, void *dx);
} rq_ops;

struct rq_backend {
    const rq_ops *ops;
    rq_backend_opts opts; /* threads resolved */
    void *impl;           /* the backend's own */
    char text[160];       /* describe */
};

extern const rq_ops rq_ops_ref;
extern const rq_ops rq_ops_cpu;

#ifdef __cplusplus
}
#endif
#endif
