/* A model's shape: encoder, projector and predictor as a table of parameters and state, without
 * any numbers in it. Networks (net.h) are built over this table; optimiser, EMA and checkpoints
 * walk it.
 *
 * One flat float buffer per role (values, gradients, momentum, target) holds all parameters in
 * table order; one flat float buffer holds the state (BatchNorm running statistics). Offsets
 * are multiples of 16 floats. Names are torchvision's: "encoder.layer1.0.bn1.weight" and so on;
 * projector and predictor use "projector.fc1.weight", "projector.bn1.weight",
 * "projector.fc2.weight".
 *
 * Layout in memory: conv weights are KRSC (out, height, width, in), linear weights [out][in].
 * The checkpoint writes conv weights as OIHW. */
#ifndef RQ_TRAIN_MODEL_H
#define RQ_TRAIN_MODEL_H

#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rq_arch {
    RQ_RESNET18,
    RQ_RESNET34,
    RQ_RESNET50,
    RQ_RESNET101,
    RQ_RESNET152,
    RQ_RESNET200
} rq_arch;

typedef enum rq_stem {
    RQ_STEM_IMAGENET, /* 7x7 stride 2, BN, ReLU, 3x3 max-pool stride 2 */
    RQ_STEM_CIFAR     /* 3x3 stride 1, BN, ReLU */
} rq_stem;

typedef struct rq_model_opts {
    rq_arch arch;
    rq_stem stem;
    int base_width; /* channels of the stem; 64 is 1x, 128 is 2x; 16 for small CPU runs.
                       Multiple of 8 */
    int proj_hidden, proj_out; /* 4096, 256; proj_hidden 0: no heads at all */
    int pred_hidden; /* 4096; the predictor's output is proj_out wide; 0: no predictor */
    int classes;     /* > 0: a linear classifier "fc" instead of heads; 0 */
} rq_model_opts;

void rq_model_opts_default(rq_model_opts *o);
RQ_NODISCARD rq_status rq_arch_parse(rq_arch *arch, const char *name, rq_err *err);
const char *rq_arch_name(rq_arch arch);

typedef enum rq_param_kind {
    RQ_PARAM_CONV,
    RQ_PARAM_LINEAR,
    RQ_PARAM_BIAS,
    RQ_PARAM_BN_SCALE,
    RQ_PARAM_BN_SHIFT
} rq_param_kind;

enum { RQ_PARAM_NAME_BYTES = 64, RQ_PARAM_ALIGN = 16 };

typedef enum rq_model_part {
    RQ_PART_ENCODER,
    RQ_PART_PROJECTOR,
    RQ_PART_PREDICTOR,
    RQ_PART_FC
} rq_model_part;

typedef struct rq_param {
    char name[RQ_PARAM_NAME_BYTES];
    rq_param_kind kind;
    rq_model_part part;
    int ndim;
    int64_t shape[4]; /* as PyTorch writes it: conv OIHW, linear [out, in], others [n] */
    int64_t fan_in;   /* inputs of one output, for initialisation */
    size_t offset;    /* in floats */
    size_t count;     /* floats */
    bool adapt;       /* weight decay and LARS trust ratio apply: not for biases and BN */
    bool zero_init;   /* last BN scale of a residual block */
} rq_param;

/* One BatchNorm's running statistics: mean then variance, `channels` floats each. */
typedef struct rq_bn_state {
    char name[RQ_PARAM_NAME_BYTES]; /* of the layer: "encoder.layer1.0.bn1" */
    rq_model_part part;
    int channels;
    size_t mean_offset, var_offset; /* in floats, in the state buffer */
} rq_bn_state;

typedef struct rq_model rq_model;

RQ_NODISCARD rq_status rq_model_create(rq_model **out, const rq_model_opts *opts, rq_err *err);
void rq_model_destroy(rq_model **m);
const rq_model_opts *rq_model_get_opts(const rq_model *m);
size_t rq_model_params(const rq_model *m);
const rq_param *rq_model_param(const rq_model *m, size_t i);
/* NULL when there is none of that name. */
const rq_param *rq_model_find(const rq_model *m, const char *name);
size_t rq_model_bns(const rq_model *m);
const rq_bn_state *rq_model_bn(const rq_model *m, size_t i);
size_t rq_model_param_floats(const rq_model *m); /* length of a parameter buffer */
size_t rq_model_state_floats(const rq_model *m); /* length of a state buffer */
int rq_model_features(const rq_model *m);        /* width of the encoder's output */

/* Initial values: conv and linear truncated normal (+-2 sigma) of std 1/sqrt(fan_in), biases 0,
 * BN scale 1 (0 where zero_init), shift 0; running mean 0, variance 1. A pure function of
 * (opts, seed). values[param_floats], state[state_floats]. */
void rq_model_init(const rq_model *m, uint64_t seed, float *values, float *state);

#ifdef __cplusplus
}
#endif
#endif
