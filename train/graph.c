// SPDX-License-Identifier: Apache-2.0
//
// Lays out the steps of a network: forward in layer order, backward in reverse, each with the
// buffers it reads and writes; lifetimes follow from that. Backward works in place where the
// old content has no other reader: a BatchNorm turns dy into g (which is then also the gradient
// of the shortcut) or straight into dx.
#include "train/graph.h"

#include "common/mem.h"

#include <string.h>

/* A batch that needs a TiB is a mistake. */
static const size_t MAX_ARENA = (size_t)1 << 40;

typedef struct builder {
    rq_graph *g;
    const rq_net_opts *opts;
    const rq_layer *layers;
    rq_dtype type;
    bool train;
    size_t cap_bufs;
} builder;

const char *rq_step_name(rq_step_kind kind)
{
    static const char *const names[RQ_STEP_KINDS] = {[RQ_STEP_NORMALISE] = "normalise",
                                                     [RQ_STEP_CONV] = "conv",
                                                     [RQ_STEP_CONV_WEIGHTS] =
                                                         "conv weights grad",
                                                     [RQ_STEP_CONV_DATA] = "conv data grad",
                                                     [RQ_STEP_BIAS] = "bias",
                                                     [RQ_STEP_BIAS_GRAD] = "bias grad",
                                                     [RQ_STEP_BN] = "bn",
                                                     [RQ_STEP_BN_GRAD] = "bn grad",
                                                     [RQ_STEP_POOL] = "max-pool",
                                                     [RQ_STEP_POOL_GRAD] = "max-pool grad",
                                                     [RQ_STEP_GAP] = "mean-pool",
                                                     [RQ_STEP_GAP_GRAD] = "mean-pool grad",
                                                     [RQ_STEP_LOAD_GRAD] = "load grad"};

    return names[kind];
}

/* ---- shapes
 * --------------------------------------------------------------------------------*/

static rq_status value_bytes(const rq_value *v, size_t *bytes, rq_err *err)
{
    *bytes = rq_dtype_bytes(v->type);
    if (rq_mul_size(bytes, *bytes, (size_t)v->n) && rq_mul_size(bytes, *bytes, (size_t)v->h) &&
        rq_mul_size(bytes, *bytes, (size_t)v->w) && rq_mul_size(bytes, *bytes, (size_t)v->c))
        return RQ_OK;
    return rq_fail(err, RQ_LIMIT,
                   "network: a tensor of %d x %d x %d x %d does not fit in "
                   "memory; use a smaller batch",
                   v->n, v->h, v->w, v->c);
}

static size_t value_pixels(const rq_value *v)
{
    return (size_t)v->n * (size_t)v->h * (size_t)v->w;
}

static void shape_of(const rq_layer *l, const rq_value *in, rq_value *out)
{
    *out = *in;
    out->c = l->c_out;
    out->buf = out->grads[0] = out->grads[1] = RQ_BUF_NONE;
    if (l->kind == RQ_LAYER_CONV || l->kind == RQ_LAYER_MAXPOOL) {
        out->h = (in->h + 2 * (l->k / 2) - l->k) / l->stride + 1;
        out->w = (in->w + 2 * (l->k / 2) - l->k) / l->stride + 1;
    } else if (l->kind == RQ_LAYER_GAP) {
        out->h = out->w = 1;
    }
}

rq_conv_shape rq_step_conv_shape(const rq_step *s, bool train)
{
    const rq_layer *l = s->layer;
    const bool conv = l->kind == RQ_LAYER_CONV;

    return (rq_conv_shape){.n = s->in->n,
                           .h = s->in->h,
                           .w = s->in->w,
                           .c = l->c_in,
                           .k = l->c_out,
                           .r = conv ? l->k : 1,
                           .stride = conv ? l->stride : 1,
                           .pad = conv ? l->k / 2 : 0,
                           .oh = s->out->h,
                           .ow = s->out->w,
                           .type = s->in->type,
                           .out_type = s->out->type,
                           .need_dx = train && l->in != 0,
                           .need_dw = train};
}

rq_bn_shape rq_step_bn_shape(const rq_step *s, int groups)
{
    return (rq_bn_shape){.groups = groups,
                         .rows = value_pixels(s->out) / (size_t)groups,
                         .channels = s->out->c,
                         .type = s->out->type,
                         .relu = s->layer->relu,
                         .residual = s->layer->residual >= 0};
}

rq_pool_shape rq_step_pool_shape(const rq_step *s)
{
    return (rq_pool_shape){.n = s->in->n,
                           .h = s->in->h,
                           .w = s->in->w,
                           .c = s->in->c,
                           .oh = s->out->h,
                           .ow = s->out->w,
                           .type = s->in->type};
}

/* ---- buffers and steps
 * ---------------------------------------------------------------------*/

static rq_status new_buf(builder *b, size_t bytes, int *buf, rq_err *err)
{
    rq_graph *g = b->g;

    RQ_TRY(rq_grow((void **)&g->bufs, &b->cap_bufs, g->n_bufs + 1, sizeof *g->bufs, err));
    g->bufs[g->n_bufs] = (rq_interval){.bytes = bytes, .first = -1};
    *buf = (int)g->n_bufs++;
    return RQ_OK;
}

static rq_status new_buf_like(builder *b, const rq_value *v, int *buf, rq_err *err)
{
    size_t bytes;

    RQ_TRY(value_bytes(v, &bytes, err));
    return new_buf(b, bytes, buf, err);
}

/* The next step; room was made for it. Its shapes and kind are set, its buffers are NONE. */
static rq_step *new_step(builder *b, rq_step_kind kind, const rq_layer *l)
{
    rq_graph *g = b->g;
    rq_step *s = &g->steps[g->n_steps++];
    const int no = RQ_BUF_NONE;

    *s = (rq_step){.kind = kind,
                   .layer = l,
                   .x = no,
                   .y = no,
                   .extra = no,
                   .aux = no,
                   .dy = no,
                   .g = no,
                   .dx = no};
    if (l) {
        s->layer_index = (size_t)(l - b->layers);
        s->in = &g->values[l->in];
        s->out = &g->values[l->out];
    }
    return s;
}

static double conv_flops(const rq_layer *l, const rq_value *out)
{
    const double taps = l->kind == RQ_LAYER_CONV ? (double)(l->k * l->k) : 1;

    return 2.0 * (double)value_pixels(out) * taps * (double)l->c_in * (double)l->c_out;
}

/* ---- forward
 * -------------------------------------------------------------------------------*/

static rq_status forward_bn(builder *b, const rq_layer *l, rq_step *s, rq_err *err)
{
    rq_graph *g = b->g;
    const size_t stats = 2 * (size_t)b->opts->groups * (size_t)l->c_out * sizeof(float);

    if (l->residual >= 0)
        s->extra = g->values[l->residual].buf;
    if (b->opts->mode != RQ_NET_EVAL)
        RQ_TRY(new_buf(b, stats, &s->aux, err));
    if (!b->train) { /* nobody needs the input again */
        g->values[l->out].buf = s->y = s->x;
        return RQ_OK;
    }
    RQ_TRY(new_buf_like(b, &g->values[l->out], &s->y, err));
    g->values[l->out].buf = s->y;
    return RQ_OK;
}

static rq_status forward_layer(builder *b, const rq_layer *l, rq_err *err)
{
    static const rq_step_kind kinds[] = {[RQ_LAYER_CONV] = RQ_STEP_CONV,
                                         [RQ_LAYER_LINEAR] = RQ_STEP_CONV,
                                         [RQ_LAYER_BN] = RQ_STEP_BN,
                                         [RQ_LAYER_MAXPOOL] = RQ_STEP_POOL,
                                         [RQ_LAYER_GAP] = RQ_STEP_GAP};
    rq_graph *g = b->g;
    rq_value *out = &g->values[l->out];
    rq_step *s;

    shape_of(l, &g->values[l->in], out);
    s = new_step(b, kinds[l->kind], l);
    s->x = g->values[l->in].buf;
    if (l->kind == RQ_LAYER_BN)
        return forward_bn(b, l, s, err);
    if (l->out == g->output) {
        out->type = RQ_DTYPE_F32;
        s->y = RQ_BUF_OUT;
    } else {
        RQ_TRY(new_buf_like(b, out, &s->y, err));
    }
    out->buf = s->y;
    if (l->kind == RQ_LAYER_MAXPOOL && b->train)
        RQ_TRY(new_buf(b, value_pixels(out) * (size_t)out->c, &s->aux, err));
    if (s->kind == RQ_STEP_CONV)
        g->forward_flops += conv_flops(l, out);
    if (l->kind == RQ_LAYER_LINEAR && l->bias)
        new_step(b, RQ_STEP_BIAS, l)->y = s->y;
    return RQ_OK;
}

static rq_status forward_steps(builder *b, rq_err *err)
{
    rq_graph *g = b->g;
    rq_step *s = new_step(b, RQ_STEP_NORMALISE, NULL);

    g->values[0] = (rq_value){.n = b->opts->groups * b->opts->images,
                              .h = b->opts->size,
                              .w = b->opts->size,
                              .c = 3,
                              .type = b->type,
                              .grads = {RQ_BUF_NONE, RQ_BUF_NONE}};
    s->out = &g->values[0];
    s->x = RQ_BUF_IMAGES;
    RQ_TRY(new_buf_like(b, &g->values[0], &s->y, err));
    g->values[0].buf = s->y;
    for (size_t i = 0; i < g->n_layers; i++)
        RQ_TRY(forward_layer(b, &b->layers[i], err));
    g->n_forward = g->n_steps;
    return RQ_OK;
}

/* ---- backward
 * ------------------------------------------------------------------------------*/

/* Notes one more buffer that adds to the gradient of a value. */
static rq_status add_grad(rq_graph *g, int value, int buf, rq_err *err)
{
    for (int i = 0; i < 2; i++) {
        if (g->values[value].grads[i] == RQ_BUF_NONE) {
            g->values[value].grads[i] = buf;
            return RQ_OK;
        }
    }
    return rq_fail(err, RQ_INTERNAL, "network: value %d has more than two readers", value);
}

static rq_status backward_conv(builder *b, const rq_layer *l, rq_err *err)
{
    rq_graph *g = b->g;
    rq_value *in = &g->values[l->in];
    const rq_value *out = &g->values[l->out];

    if (l->kind == RQ_LAYER_LINEAR && l->bias)
        new_step(b, RQ_STEP_BIAS_GRAD, l)->dy = out->grads[0];
    rq_step *s = new_step(b, RQ_STEP_CONV_WEIGHTS, l);
    s->x = in->buf;
    s->dy = out->grads[0];
    g->backward_flops += conv_flops(l, out);
    if (l->in == 0)
        return RQ_OK;
    s = new_step(b, RQ_STEP_CONV_DATA, l);
    s->dy = out->grads[0];
    g->backward_flops += conv_flops(l, out);
    RQ_TRY(new_buf_like(b, in, &s->dx, err));
    return add_grad(g, l->in, s->dx, err);
}

/* The forward step of the layer that made what `aux` names. */
static int forward_aux(const rq_graph *g, const rq_layer *l)
{
    for (size_t i = 0; i < g->n_forward; i++) {
        if (g->steps[i].layer == l && g->steps[i].aux != RQ_BUF_NONE)
            return g->steps[i].aux;
    }
    return RQ_BUF_NONE;
}

static rq_status backward_bn(builder *b, const rq_layer *l, rq_err *err)
{
    rq_graph *g = b->g;
    const rq_value *out = &g->values[l->out];
    rq_step *s = new_step(b, RQ_STEP_BN_GRAD, l);
    const bool residual = l->residual >= 0;

    s->x = g->values[l->in].buf;
    s->aux = forward_aux(g, l);
    s->dy = out->grads[0];
    s->extra = out->grads[1];
    if (residual) {
        s->y = out->buf;
        s->g = s->dy;
        RQ_TRY(add_grad(g, l->residual, s->g, err));
    } else if (s->extra != RQ_BUF_NONE) {
        s->g = s->dy;
    }
    /* In place, unless g stays behind for the shortcut. A BatchNorm on the shortcut runs after
     * the one that left g and is its last reader. */
    if (residual)
        RQ_TRY(new_buf_like(b, &g->values[l->in], &s->dx, err));
    else
        s->dx = s->dy;
    return add_grad(g, l->in, s->dx, err);
}

static rq_status backward_layer(builder *b, const rq_layer *l, rq_err *err)
{
    rq_graph *g = b->g;
    const rq_value *out = &g->values[l->out];

    if (l->kind == RQ_LAYER_CONV || l->kind == RQ_LAYER_LINEAR)
        return backward_conv(b, l, err);
    if (l->kind == RQ_LAYER_BN)
        return backward_bn(b, l, err);
    const bool pool = l->kind == RQ_LAYER_MAXPOOL;
    rq_step *s = new_step(b, pool ? RQ_STEP_POOL_GRAD : RQ_STEP_GAP_GRAD, l);
    s->dy = out->grads[0];
    s->extra = out->grads[1];
    s->aux = pool ? forward_aux(g, l) : RQ_BUF_NONE;
    RQ_TRY(new_buf_like(b, &g->values[l->in], &s->dx, err));
    return add_grad(g, l->in, s->dx, err);
}

static rq_status backward_steps(builder *b, rq_err *err)
{
    rq_graph *g = b->g;
    int dout = RQ_BUF_DOUT;

    if (b->type != RQ_DTYPE_F32) {
        rq_value v = g->values[g->output];
        v.type = b->type;
        RQ_TRY(new_buf_like(b, &v, &dout, err));
        rq_step *s = new_step(b, RQ_STEP_LOAD_GRAD, NULL);
        s->out = &g->values[g->output];
        s->dy = RQ_BUF_DOUT;
        s->dx = dout;
    }
    RQ_TRY(add_grad(g, g->output, dout, err));
    for (size_t i = g->n_layers; i-- > 0;)
        RQ_TRY(backward_layer(b, &b->layers[i], err));
    return RQ_OK;
}

/* ---- lifetimes
 * -----------------------------------------------------------------------------*/

static void find_lifetimes(rq_graph *g)
{
    for (size_t t = 0; t < g->n_steps; t++) {
        const rq_step *s = &g->steps[t];
        const int used[] = {s->x, s->y, s->extra, s->aux, s->dy, s->g, s->dx};
        for (size_t k = 0; k < sizeof used / sizeof used[0]; k++) {
            if (used[k] < RQ_BUF_PLANNED)
                continue;
            rq_interval *v = &g->bufs[used[k]];
            if (v->first < 0)
                v->first = (int)t;
            v->last = (int)t;
        }
    }
}

/* Number of layers up to the end of `part`; 0 when the model has no such part. */
static size_t layers_up_to(const rq_layer *layers, size_t n, rq_model_part part)
{
    while (n > 0 && layers[n - 1].part != part)
        n--;
    return n;
}

static rq_status check_opts(const rq_net_opts *o, size_t n_layers, rq_err *err)
{
    static const char *const parts[] = {"encoder", "projector", "predictor", "classifier"};

    if (n_layers == 0)
        return rq_fail(err, RQ_INVALID_ARG, "network: the model has no %s", parts[o->output]);
    if (o->images < 1 || o->groups < 1 || o->size < 1 || o->size > 4096 ||
        o->images > 1 << 24 || o->groups > 1 << 6)
        return rq_fail(
            err, RQ_INVALID_ARG,
            "network: %d views of %d images of %d pixels; use 1 to 64 views, at least "
            "1 image and 1 to 4096 pixels",
            o->groups, o->images, o->size);
    if (o->mode == RQ_NET_EVAL && o->groups != 1)
        return rq_fail(err, RQ_INVALID_ARG, "network: evaluation knows 1 view, not %d",
                       o->groups);
    return RQ_OK;
}

rq_status rq_graph_check(const rq_model *model, const rq_net_opts *opts, rq_err *err)
{
    size_t n;
    const rq_layer *layers = rq_model_layers(model, &n);

    return check_opts(opts, layers_up_to(layers, n, opts->output), err);
}

rq_status rq_graph_build(rq_graph *g, const rq_model *model, const rq_net_opts *opts,
                         rq_precision precision, rq_err *err)
{
    size_t n_layers;
    const rq_layer *layers = rq_model_layers(model, &n_layers);

    memset(g, 0, sizeof *g);
    g->n_layers = layers_up_to(layers, n_layers, opts->output);
    RQ_TRY(check_opts(opts, g->n_layers, err));
    g->output = layers[g->n_layers - 1].out;
    g->values = rq_calloc(g->n_layers + 1, sizeof *g->values);
    g->steps = rq_calloc(2 + 5 * g->n_layers, sizeof *g->steps);
    if (!g->values || !g->steps)
        return rq_fail(err, RQ_OOM, "network: out of memory for the layer graph");
    builder b = {.g = g,
                 .opts = opts,
                 .layers = layers,
                 .type = precision == RQ_BF16 ? RQ_DTYPE_BF16 : RQ_DTYPE_F32,
                 .train = opts->mode == RQ_NET_TRAIN};
    for (int unused, i = 0; i < RQ_BUF_PLANNED; i++)
        RQ_TRY(new_buf(&b, 0, &unused, err));
    RQ_TRY(forward_steps(&b, err));
    if (b.train)
        RQ_TRY(backward_steps(&b, err));
    find_lifetimes(g);
    RQ_TRY(rq_plan(g->bufs + RQ_BUF_PLANNED, g->n_bufs - RQ_BUF_PLANNED, &g->arena_bytes,
                   &g->live_bytes, err));
    if (g->arena_bytes >= MAX_ARENA)
        return rq_fail(err, RQ_LIMIT,
                       "network: %zu GiB of activations are too many; use a smaller batch",
                       g->arena_bytes >> 30);
    return RQ_OK;
}

void rq_graph_free(rq_graph *g)
{
    rq_free(g->values);
    rq_free(g->steps);
    rq_free(g->bufs);
    memset(g, 0, sizeof *g);
}
