/* The layer graph: a model at one input shape as two lists of steps, forward and backward, over
 * numbered buffers with known sizes and lifetimes. Only arithmetic on shapes: no backend, no
 * memory. Internal to train/; net.h runs it. */
#ifndef RQ_TRAIN_GRAPH_H
#define RQ_TRAIN_GRAPH_H

#include "train/backend_ops.h"
#include "train/net.h"
#include "train/plan.h"
#include "train/resnet.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Buffers that the caller of a pass brings; the planned ones follow. */
enum { RQ_BUF_NONE = -1, RQ_BUF_IMAGES, RQ_BUF_OUT, RQ_BUF_DOUT, RQ_BUF_PLANNED };

typedef enum rq_step_kind {
    RQ_STEP_NORMALISE,    /* x u8 -> y */
    RQ_STEP_CONV,         /* x -> y; also linear layers */
    RQ_STEP_CONV_WEIGHTS, /* x, dy -> gradient of the weight */
    RQ_STEP_CONV_DATA,    /* dy -> dx */
    RQ_STEP_BIAS,         /* y += bias */
    RQ_STEP_BIAS_GRAD,    /* dy -> gradient of the bias */
    RQ_STEP_BN,           /* x, extra: residual -> y; aux: saved statistics */
    RQ_STEP_BN_GRAD,      /* x, y, dy, extra: dy2, aux -> g, dx */
    RQ_STEP_POOL,         /* x -> y; aux: places of the maxima */
    RQ_STEP_POOL_GRAD,    /* dy, extra: dy2, aux -> dx */
    RQ_STEP_GAP,          /* x -> y */
    RQ_STEP_GAP_GRAD,     /* dy -> dx */
    RQ_STEP_LOAD_GRAD,    /* dy f32 -> dx, of the network's type */
    RQ_STEP_KINDS
} rq_step_kind;

/* "conv", "conv weights", ...: for profiles and messages. */
const char *rq_step_name(rq_step_kind kind);

/* An activation: n images (all groups) of h x w x c. */
typedef struct rq_value {
    int n, h, w, c;
    rq_dtype type;
    int buf;      /* buffer of the value */
    int grads[2]; /* buffers that sum up to its gradient; RQ_BUF_NONE */
} rq_value;

typedef struct rq_step {
    rq_step_kind kind;
    const rq_layer *layer; /* NULL: NORMALISE, LOAD_GRAD */
    size_t layer_index;
    const rq_value *in, *out;        /* shapes of the layer's values */
    int x, y, extra, aux, dy, g, dx; /* buffers; RQ_BUF_NONE where not used */
} rq_step;

typedef struct rq_graph {
    rq_value *values; /* [0]: the normalised images; [layer.out] */
    rq_step *steps;
    size_t n_steps, n_forward; /* backward steps are [n_forward, n_steps) */
    rq_interval *bufs;         /* index: buffer number; the first RQ_BUF_PLANNED are empty */
    size_t n_bufs;
    size_t n_layers; /* of the model, up to the chosen output */
    int output;      /* the value */
    double forward_flops, backward_flops;
    size_t arena_bytes, live_bytes; /* after rq_graph_build: planned */
} rq_graph;

/* INVALID_ARG when opts are out of range or ask for a part that the model does not have. */
RQ_NODISCARD rq_status rq_graph_check(const rq_model *model, const rq_net_opts *opts,
                                      rq_err *err);

/* Checks, too. opts as in rq_net_create; precision is that of the activations. Release with
 * rq_graph_free, also after a failure. The model must outlive the graph. */
RQ_NODISCARD rq_status rq_graph_build(rq_graph *g, const rq_model *model,
                                      const rq_net_opts *opts, rq_precision precision,
                                      rq_err *err);
void rq_graph_free(rq_graph *g);

/* Shapes of a step, for its layer's operations. */
rq_conv_shape rq_step_conv_shape(const rq_step *s, bool train);
rq_bn_shape rq_step_bn_shape(const rq_step *s, int groups);
rq_pool_shape rq_step_pool_shape(const rq_step *s);

#ifdef __cplusplus
}
#endif
#endif
