// SPDX-License-Identifier: Apache-2.0
//
// Runs a layer graph: one arena for all planned buffers, one scratch area shared by all steps,
// convolutions compiled at creation. A pass is a loop over the steps; the only thing that
// changes from pass to pass are the addresses of what the caller brings.
#include "train/net.h"

#include "common/clock.h"
#include "common/mem.h"
#include "train/graph.h"

#include <string.h>

struct rq_net {
    rq_backend *backend;
    const rq_model *model;
    rq_net_opts opts;
    rq_graph graph;
    rq_conv **convs; /* by layer; NULL where it is not one */
    void **bufs;     /* addresses by buffer */
    void *arena, *scratch;
    size_t scratch_bytes;
    bool forward_done; /* a backward may follow */
    rq_net_profile *profile;
};

_Static_assert((int)RQ_STEP_KINDS <= (int)RQ_PROFILE_KINDS, "profile has room for all kinds");

/* The parameters of one pass, by role. */
typedef struct pass {
    const float *values;
    float *state; /* NULL: running statistics are not updated */
    float *grads;
} pass;

static void *buf(const rq_net *net, int i)
{
    return i == RQ_BUF_NONE ? NULL : net->bufs[i];
}

static size_t param_at(const rq_net *net, const rq_layer *l, size_t k)
{
    return rq_model_param(net->model, l->param + k)->offset;
}

static size_t out_pixels(const rq_step *s)
{
    return (size_t)s->out->n * (size_t)s->out->h * (size_t)s->out->w;
}

static void run_bn(rq_net *net, const rq_step *s, const pass *p)
{
    const rq_ops *ops = net->backend->ops;
    const rq_bn_shape shape = rq_step_bn_shape(s, net->opts.groups);
    const rq_bn_state *at = rq_model_bn(net->model, s->layer->bn);
    const rq_bn_forward a = {.x = buf(net, s->x),
                             .residual = buf(net, s->extra),
                             .y = buf(net, s->y),
                             .scale = p->values + param_at(net, s->layer, 0),
                             .shift = p->values + param_at(net, s->layer, 1),
                             .save = buf(net, s->aux),
                             .mean = p->state ? p->state + at->mean_offset : NULL,
                             .var = p->state ? p->state + at->var_offset : NULL};

    if (net->opts.mode == RQ_NET_EVAL)
        ops->bn_eval(net->backend, &shape, &a, net->scratch);
    else
        ops->bn_forward(net->backend, &shape, &a, net->scratch);
}

static void run_bn_grad(rq_net *net, const rq_step *s, const pass *p)
{
    const rq_bn_shape shape = rq_step_bn_shape(s, net->opts.groups);
    const rq_bn_backward a = {.x = buf(net, s->x),
                              .y = buf(net, s->y),
                              .dy = buf(net, s->dy),
                              .dy2 = buf(net, s->extra),
                              .g = buf(net, s->g),
                              .dx = buf(net, s->dx),
                              .scale = p->values + param_at(net, s->layer, 0),
                              .shift = p->values + param_at(net, s->layer, 1),
                              .save = buf(net, s->aux),
                              .dscale = p->grads + param_at(net, s->layer, 0),
                              .dshift = p->grads + param_at(net, s->layer, 1)};

    net->backend->ops->bn_backward(net->backend, &shape, &a, net->scratch);
}

static rq_status run_conv(rq_net *net, const rq_step *s, const pass *p, rq_err *err)
{
    const rq_ops *ops = net->backend->ops;
    rq_backend *b = net->backend;
    rq_conv *c = net->convs[s->layer_index];
    const size_t at = param_at(net, s->layer, 0);

    switch (s->kind) {
    case RQ_STEP_CONV:
        return ops->conv_forward(b, c, buf(net, s->x), p->values + at, buf(net, s->y),
                                 net->scratch, err);
    case RQ_STEP_CONV_DATA:
        return ops->conv_backward_data(b, c, buf(net, s->dy), p->values + at, buf(net, s->dx),
                                       net->scratch, err);
    default:
        return ops->conv_backward_weights(b, c, buf(net, s->x), buf(net, s->dy), p->grads + at,
                                          net->scratch, err);
    }
}

static void run_bias(rq_net *net, const rq_step *s, const pass *p)
{
    const rq_ops *ops = net->backend->ops;
    const size_t at = param_at(net, s->layer, 1);

    if (s->kind == RQ_STEP_BIAS)
        ops->bias_forward(net->backend, buf(net, s->y), s->out->type, p->values + at,
                          out_pixels(s), s->out->c);
    else
        ops->bias_backward(net->backend, buf(net, s->dy), s->in->type, p->grads + at,
                           out_pixels(s), s->out->c);
}

static void run_pool(rq_net *net, const rq_step *s)
{
    const rq_ops *ops = net->backend->ops;
    const rq_pool_shape shape = rq_step_pool_shape(s);

    if (s->kind == RQ_STEP_POOL)
        ops->maxpool_forward(net->backend, &shape, buf(net, s->x), buf(net, s->y),
                             buf(net, s->aux));
    else
        ops->maxpool_backward(net->backend, &shape, buf(net, s->aux), buf(net, s->dy),
                              buf(net, s->extra), buf(net, s->dx));
}

static rq_status run_step(rq_net *net, const rq_step *s, const pass *p, rq_err *err)
{
    rq_backend *b = net->backend;
    const rq_ops *ops = b->ops;

    switch (s->kind) {
    case RQ_STEP_NORMALISE:
        ops->normalise(b, buf(net, s->x), out_pixels(s), buf(net, s->y), s->out->type);
        break;
    case RQ_STEP_CONV:
    case RQ_STEP_CONV_WEIGHTS:
    case RQ_STEP_CONV_DATA:
        return run_conv(net, s, p, err);
    case RQ_STEP_BIAS:
    case RQ_STEP_BIAS_GRAD:
        run_bias(net, s, p);
        break;
    case RQ_STEP_BN:
        run_bn(net, s, p);
        break;
    case RQ_STEP_BN_GRAD:
        run_bn_grad(net, s, p);
        break;
    case RQ_STEP_POOL:
    case RQ_STEP_POOL_GRAD:
        run_pool(net, s);
        break;
    case RQ_STEP_GAP:
        ops->gap_forward(b, buf(net, s->x), s->in->type, s->in->n,
                         (size_t)s->in->h * (size_t)s->in->w, s->in->c, buf(net, s->y),
                         s->out->type);
        break;
    case RQ_STEP_GAP_GRAD:
        ops->gap_backward(b, buf(net, s->dy), s->in->type, s->in->n,
                          (size_t)s->in->h * (size_t)s->in->w, s->in->c, buf(net, s->dx));
        break;
    case RQ_STEP_LOAD_GRAD:
        ops->convert(b, buf(net, s->dx), RQ_DTYPE_BF16, buf(net, s->dy), RQ_DTYPE_F32,
                     out_pixels(s) * (size_t)s->out->c);
        break;
    case RQ_STEP_KINDS:
        return rq_fail(err, RQ_INTERNAL, "network: unknown step");
    }
    return RQ_OK;
}

static rq_status run_steps(rq_net *net, size_t from, size_t to, const pass *p, rq_err *err)
{
    rq_status st = RQ_OK;

    net->backend->ops->enter(net->backend);
    for (size_t i = from; i < to && st == RQ_OK; i++) {
        const rq_step *s = &net->graph.steps[i];
        const uint64_t start = net->profile ? rq_clock_ns() : 0;
        st = run_step(net, s, p, err);
        if (st != RQ_OK && s->layer)
            rq_err_prefix(err, "layer %s, %s", s->layer->name, rq_step_name(s->kind));
        if (net->profile) {
            net->profile->ns[s->kind] += rq_clock_ns() - start;
            net->profile->calls[s->kind]++;
        }
    }
    net->backend->ops->leave(net->backend);
    return st;
}

rq_status rq_net_forward(rq_net *net, const uint8_t *images, const float *values, float *state,
                         float *out, rq_err *err)
{
    const bool keep = net->opts.mode != RQ_NET_EVAL && net->opts.frozen_state;
    const pass p = {.values = values, .state = keep ? NULL : state};
    union {
        const uint8_t *in;
        void *out;
    } input = {.in =
                   images}; /* the table of addresses is not const; steps only read this one */

    net->bufs[RQ_BUF_IMAGES] = input.out;
    net->bufs[RQ_BUF_OUT] = out;
    RQ_TRY(run_steps(net, 0, net->graph.n_forward, &p, err));
    net->forward_done = true;
    return RQ_OK;
}

rq_status rq_net_backward(rq_net *net, const float *dout, const float *values, float *grads,
                          rq_err *err)
{
    const pass p = {.values = values, .grads = grads};
    union {
        const float *in;
        void *out;
    } input = {.in = dout};

    if (net->opts.mode != RQ_NET_TRAIN || !net->forward_done)
        return rq_fail(err, RQ_INVALID_ARG,
                       "network: backward needs a network in training mode and one forward "
                       "before each backward");
    net->forward_done = false;
    net->bufs[RQ_BUF_DOUT] = input.out;
    return run_steps(net, net->graph.n_forward, net->graph.n_steps, &p, err);
}

/* ---- creation
 * ------------------------------------------------------------------------------*/

static void want_scratch(rq_net *net, size_t bytes)
{
    if (bytes > net->scratch_bytes)
        net->scratch_bytes = bytes;
}

static rq_status compile_steps(rq_net *net, rq_err *err)
{
    const rq_ops *ops = net->backend->ops;

    for (size_t i = 0; i < net->graph.n_steps; i++) {
        const rq_step *s = &net->graph.steps[i];
        if (s->kind == RQ_STEP_BN || s->kind == RQ_STEP_BN_GRAD) {
            const rq_bn_shape shape = rq_step_bn_shape(s, net->opts.groups);
            want_scratch(net, ops->bn_scratch(net->backend, &shape));
        }
        if (s->kind != RQ_STEP_CONV)
            continue;
        const rq_conv_shape shape = rq_step_conv_shape(s, net->opts.mode == RQ_NET_TRAIN);
        size_t bytes;
        const rq_status st =
            ops->conv_create(net->backend, &net->convs[s->layer_index], &shape, &bytes, err);
        if (st != RQ_OK) {
            rq_err_prefix(err, "layer %s", s->layer->name);
            return st;
        }
        want_scratch(net, bytes);
    }
    return RQ_OK;
}

static rq_status lay_out(rq_net *net, rq_err *err)
{
    const rq_graph *g = &net->graph;

    net->arena = rq_alloc(1, g->arena_bytes + RQ_PLAN_ALIGN);
    net->scratch = rq_alloc(1, net->scratch_bytes);
    if (!net->arena || !net->scratch)
        return rq_fail(err, RQ_OOM,
                       "network: out of memory for %zu MiB of activations; use a smaller batch",
                       (g->arena_bytes + net->scratch_bytes) >> 20);
    for (size_t i = RQ_BUF_PLANNED; i < g->n_bufs; i++) {
        uint8_t *base = net->arena;
        base += (RQ_PLAN_ALIGN - (uintptr_t)base % RQ_PLAN_ALIGN) % RQ_PLAN_ALIGN;
        net->bufs[i] = base + g->bufs[i].offset;
    }
    return RQ_OK;
}

static rq_status create(rq_net *net, rq_err *err)
{
    RQ_TRY(
        rq_graph_build(&net->graph, net->model, &net->opts, net->backend->opts.precision, err));
    net->convs = rq_calloc(net->graph.n_layers, sizeof *net->convs);
    net->bufs = rq_calloc(net->graph.n_bufs, sizeof *net->bufs);
    if (!net->convs || !net->bufs)
        return rq_fail(err, RQ_OOM, "network: out of memory");
    net->backend->ops->enter(net->backend);
    const rq_status st = compile_steps(net, err);
    net->backend->ops->leave(net->backend);
    RQ_TRY(st);
    return lay_out(net, err);
}

rq_status rq_net_create(rq_net **out, rq_backend *backend, const rq_model *model,
                        const rq_net_opts *opts, rq_err *err)
{
    *out = NULL;
    rq_net *net = rq_calloc(1, sizeof *net);
    if (!net)
        return rq_fail(err, RQ_OOM, "network: out of memory");
    net->backend = backend;
    net->model = model;
    net->opts = *opts;
    const rq_status st = create(net, err);
    if (st != RQ_OK)
        rq_net_destroy(&net);
    *out = net;
    return st;
}

void rq_net_destroy(rq_net **pnet)
{
    if (!pnet || !*pnet)
        return;
    rq_net *net = *pnet;
    for (size_t i = 0; net->convs && i < net->graph.n_layers; i++) {
        if (net->convs[i])
            net->backend->ops->conv_destroy(&net->convs[i]);
    }
    rq_free(net->convs);
    rq_free(net->bufs);
    rq_free(net->arena);
    rq_free(net->scratch);
    rq_graph_free(&net->graph);
    rq_free(net);
    *pnet = NULL;
}

rq_net_plan rq_net_get_plan(const rq_net *net)
{
    const rq_graph *g = &net->graph;

    return (rq_net_plan){.arena_bytes = g->arena_bytes,
                         .live_bytes = g->live_bytes,
                         .scratch_bytes = net->scratch_bytes,
                         .buffers = g->n_bufs - RQ_BUF_PLANNED,
                         .forward_flops = g->forward_flops,
                         .backward_flops = g->backward_flops};
}

int rq_net_rows(const rq_net *net)
{
    return net->opts.groups * net->opts.images;
}

int rq_net_width(const rq_net *net)
{
    return net->graph.values[net->graph.output].c;
}

void rq_net_set_profile(rq_net *net, rq_net_profile *profile)
{
    net->profile = profile;
}

const char *rq_net_profile_kind(int kind)
{
    return kind >= 0 && kind < RQ_STEP_KINDS ? rq_step_name((rq_step_kind)kind) : NULL;
}
