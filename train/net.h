/* A network compiled for one input shape and one purpose: forward, and backward where asked.
 *
 * There is no autograd: the layer graph is laid out once from a model, each operation has a
 * hand-written backward, every buffer's first and last use is known, and all activations live
 * in one arena planned at creation. Nothing is allocated in a step.
 *
 *     rq_net_create(&net, backend, model, &(rq_net_opts){...}, &err);
 *     rq_net_forward(net, images, values, state, out, &err);     // saves what backward needs
 *     rq_net_backward(net, dout, values, grads, &err);           // adds into grads
 *
 * Views are batched and BatchNorm is grouped: `groups` views of `images` each go through one
 * convolution, while statistics are taken per view, and running statistics are updated once per
 * view in view order (as separate forwards would). Thread rule: one thread at a time per
 * backend. Activations are NHWC.
 *
 * When the backend's number of threads divides the number of views, each view is run from end
 * to end by one thread, without barriers: results are the same bytes for every such number.
 * With other numbers the threads share each step, and results differ by rounding. Evaluation is
 * cut into four when the number of images allows it. */
#ifndef RQ_TRAIN_NET_H
#define RQ_TRAIN_NET_H

#include "train/backend.h"
#include "train/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rq_net_mode {
    RQ_NET_EVAL,    /* BN by running statistics; no backward */
    RQ_NET_FORWARD, /* BN by batch statistics, updates state; no backward (target network) */
    RQ_NET_TRAIN    /* as FORWARD, and keeps what backward needs */
} rq_net_mode;

typedef struct rq_net_opts {
    rq_net_mode mode;
    rq_model_part output; /* ENCODER: pooled features; PROJECTOR; PREDICTOR; FC: logits */
    int images;           /* per group (view) */
    int groups;           /* views; BN statistics are per group; 1 for EVAL */
    int size;             /* input height and width, pixels */
    bool frozen_state;    /* FORWARD/TRAIN: leave running statistics alone */
} rq_net_opts;

typedef struct rq_net rq_net;

RQ_NODISCARD rq_status rq_net_create(rq_net **out, rq_backend *backend, const rq_model *model,
                                     const rq_net_opts *opts, rq_err *err);
void rq_net_destroy(rq_net **net);

typedef struct rq_net_plan {
    size_t arena_bytes; /* what was laid out */
    size_t live_bytes;  /* lower bound: most bytes live at once */
    size_t scratch_bytes;
    size_t buffers;
    double forward_flops, backward_flops; /* multiply-add = 2 */
} rq_net_plan;

rq_net_plan rq_net_get_plan(const rq_net *net);
int rq_net_rows(const rq_net *net);  /* groups * images */
int rq_net_width(const rq_net *net); /* floats per output row */

/* images: u8 [groups][images][size][size][3]; normalised by mean (.485, .456, .406) and std
 * (.229, .224, .225) in the first operation. out: float [groups * images][width]. values,
 * state: buffers of the model; state is updated unless EVAL or frozen_state. */
RQ_NODISCARD rq_status rq_net_forward(rq_net *net, const uint8_t *images, const float *values,
                                      float *state, float *out, rq_err *err);
/* dout: float [groups * images][width]. Adds the parameter gradients of the last forward into
 * grads[param_floats]. TRAIN only, once per forward, with the same values. */
RQ_NODISCARD rq_status rq_net_backward(rq_net *net, const float *dout, const float *values,
                                       float *grads, rq_err *err);

/* Where the time goes: wall nanoseconds and calls by kind of operation, added up over all
 * passes of all nets that share the profile. */
enum { RQ_PROFILE_KINDS = 16 };
typedef struct rq_net_profile {
    uint64_t ns[RQ_PROFILE_KINDS], calls[RQ_PROFILE_KINDS];
} rq_net_profile;

/* NULL switches it off. The profile must outlive the net or be switched off before. */
void rq_net_set_profile(rq_net *net, rq_net_profile *profile);
/* Name of a kind; NULL behind the last one. */
const char *rq_net_profile_kind(int kind);

#ifdef __cplusplus
}
#endif
#endif
