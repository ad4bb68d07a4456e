/* The layers of a model in the order of computation: one description from which both the
 * parameter table (model.c) and the layer graph (graph.c) are made. Internal to train/. */
#ifndef RQ_TRAIN_RESNET_H
#define RQ_TRAIN_RESNET_H

#include "train/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rq_layer_kind {
    RQ_LAYER_CONV,    /* no bias; k x k, stride, padding k / 2 */
    RQ_LAYER_BN,      /* BatchNorm, then + residual, then ReLU, both optional */
    RQ_LAYER_MAXPOOL, /* 3x3, stride 2, padding 1 */
    RQ_LAYER_GAP,     /* mean over height and width */
    RQ_LAYER_LINEAR
} rq_layer_kind;

/* Values are numbered: 0 is the normalised image batch, each layer makes one more. */
typedef struct rq_layer {
    char name[RQ_PARAM_NAME_BYTES]; /* "encoder.layer1.0.conv1"; parameters add ".weight" */
    rq_layer_kind kind;
    rq_model_part part;
    int in, out;  /* values read and made */
    int residual; /* BN: value added before the ReLU; -1: none */
    int c_in, c_out;
    int k, stride;  /* CONV, MAXPOOL; padding is k / 2 */
    bool relu;      /* BN */
    bool bias;      /* LINEAR */
    bool zero_init; /* BN: the scale starts at 0 */
    size_t param;   /* index of the weight or scale; a bias or shift follows it */
    size_t bn;      /* index among the BatchNorms */
} rq_layer;

/* At most two layers read a value. *layers is released with rq_free. */
RQ_NODISCARD rq_status rq_resnet_layers(const rq_model_opts *opts, rq_layer **layers,
                                        size_t *n_layers, rq_err *err);

/* The layers of a model; borrowed. */
const rq_layer *rq_model_layers(const rq_model *m, size_t *n_layers);

#ifdef __cplusplus
}
#endif
#endif
