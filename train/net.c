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

/* One or all views of the batch, with all that a pass over them writes to. */
typedef struct lane {
    const rq_net *net;
    rq_conv **convs; /* by layer; NULL where it is not one */
    void **bufs;     /* addresses by buffer */
    void *arena, *scratch;
    float *grads, *state; /* of lanes behind the first, to be added in order */
    rq_net_profile profile;
    rq_status status;
    rq_err err;
} lane;

struct rq_net {
    rq_backend *backend;
    const rq_model *model;
    rq_net_opts opts; /* as asked for, but for the cut of an evaluation */
    int groups;       /* per lane */
    int threads;      /* per lane */
    rq_graph graph;   /* of a lane */
    lane *lanes;
    int n_lanes;
    size_t scratch_bytes; /* per lane */
    bool forward_done;    /* a backward may follow */
    rq_net_profile *profile;
};

_Static_assert((int)RQ_STEP_KINDS <= (int)RQ_PROFILE_KINDS, "profile has room for all kinds");

/* The parameters of one pass, by role. */
typedef struct pass {
    const float *values;
    float *state; /* NULL: running statistics are not updated */
    float *grads;
} pass;

static void *buf(const lane *l, int i)
{
    return i == RQ_BUF_NONE ? NULL : l->bufs[i];
}

static size_t param_at(const rq_net *net, const rq_layer *l, size_t k)
{
    return rq_model_param(net->model, l->param + k)->offset;
}

static size_t out_pixels(const rq_step *s)
{
    return (size_t)s->out->n * (size_t)s->out->h * (size_t)s->out->w;
}

static void run_bn(lane *l, const rq_step *s, const pass *p)
{
    const rq_net *net = l->net;
    const rq_ops *ops = net->backend->ops;
    const rq_bn_shape shape = rq_step_bn_shape(s, net->groups);
    const rq_bn_state *at = rq_model_bn(net->model, s->layer->bn);
    const rq_bn_forward a = {.x = buf(l, s->x),
                             .residual = buf(l, s->extra),
                             .y = buf(l, s->y),
                             .scale = p->values + param_at(net, s->layer, 0),
                             .shift = p->values + param_at(net, s->layer, 1),
                             .save = buf(l, s->aux),
                             .mean = p->state ? p->state + at->mean_offset : NULL,
                             .var = p->state ? p->state + at->var_offset : NULL};

    if (net->opts.mode == RQ_NET_EVAL)
        ops->bn_eval(net->backend, &shape, &a, l->scratch);
    else
        ops->bn_forward(net->backend, &shape, &a, l->scratch);
}

static void run_bn_grad(lane *l, const rq_step *s, const pass *p)
{
    const rq_net *net = l->net;
    const rq_bn_shape shape = rq_step_bn_shape(s, net->groups);
    const rq_bn_backward a = {.x = buf(l, s->x),
                              .y = buf(l, s->y),
                              .dy = buf(l, s->dy),
                              .dy2 = buf(l, s->extra),
                              .g = buf(l, s->g),
                              .dx = buf(l, s->dx),
                              .scale = p->values + param_at(net, s->layer, 0),
                              .shift = p->values + param_at(net, s->layer, 1),
                              .save = buf(l, s->aux),
                              .dscale = p->grads + param_at(net, s->layer, 0),
                              .dshift = p->grads + param_at(net, s->layer, 1)};

    net->backend->ops->bn_backward(net->backend, &shape, &a, l->scratch);
}

static rq_status run_conv(lane *l, const rq_step *s, const pass *p, rq_err *err)
{
    const rq_net *net = l->net;
    const rq_ops *ops = net->backend->ops;
    rq_backend *b = net->backend;
    rq_conv *c = l->convs[s->layer_index];
    const size_t at = param_at(net, s->layer, 0);

    switch (s->kind) {
    case RQ_STEP_CONV:
        return ops->conv_forward(b, c, buf(l, s->x), p->values + at, buf(l, s->y), l->scratch,
                                 err);
    case RQ_STEP_CONV_DATA:
        return ops->conv_backward_data(b, c, buf(l, s->dy), p->values + at, buf(l, s->dx),
                                       l->scratch, err);
    default:
        return ops->conv_backward_weights(b, c, buf(l, s->x), buf(l, s->dy), p->grads + at,
                                          l->scratch, err);
    }
}

static void run_bias(lane *l, const rq_step *s, const pass *p)
{
    const rq_net *net = l->net;
    const rq_ops *ops = net->backend->ops;
    const size_t at = param_at(net, s->layer, 1);

    if (s->kind == RQ_STEP_BIAS)
        ops->bias_forward(net->backend, buf(l, s->y), s->out->type, p->values + at,
                          out_pixels(s), s->out->c);
    else
        ops->bias_backward(net->backend, buf(l, s->dy), s->in->type, p->grads + at,
                           out_pixels(s), s->out->c);
}

static void run_pool(lane *l, const rq_step *s)
{
    const rq_net *net = l->net;
    const rq_ops *ops = net->backend->ops;
    const rq_pool_shape shape = rq_step_pool_shape(s);

    if (s->kind == RQ_STEP_POOL)
        ops->maxpool_forward(net->backend, &shape, buf(l, s->x), buf(l, s->y), buf(l, s->aux));
    else
        ops->maxpool_backward(net->backend, &shape, buf(l, s->aux), buf(l, s->dy),
                              buf(l, s->extra), buf(l, s->dx));
}

static rq_status run_step(lane *l, const rq_step *s, const pass *p, rq_err *err)
{
    rq_backend *b = l->net->backend;
    const rq_ops *ops = b->ops;

    switch (s->kind) {
    case RQ_STEP_NORMALISE:
        ops->normalise(b, buf(l, s->x), out_pixels(s), buf(l, s->y), s->out->type);
        break;
    case RQ_STEP_CONV:
    case RQ_STEP_CONV_WEIGHTS:
    case RQ_STEP_CONV_DATA:
        return run_conv(l, s, p, err);
    case RQ_STEP_BIAS:
    case RQ_STEP_BIAS_GRAD:
        run_bias(l, s, p);
        break;
    case RQ_STEP_BN:
        run_bn(l, s, p);
        break;
    case RQ_STEP_BN_GRAD:
        run_bn_grad(l, s, p);
        break;
    case RQ_STEP_POOL:
    case RQ_STEP_POOL_GRAD:
        run_pool(l, s);
        break;
    case RQ_STEP_GAP:
        ops->gap_forward(b, buf(l, s->x), s->in->type, s->in->n,
                         (size_t)s->in->h * (size_t)s->in->w, s->in->c, buf(l, s->y),
                         s->out->type);
        break;
    case RQ_STEP_GAP_GRAD:
        ops->gap_backward(b, buf(l, s->dy), s->in->type, s->in->n,
                          (size_t)s->in->h * (size_t)s->in->w, s->in->c, buf(l, s->dx));
        break;
    case RQ_STEP_LOAD_GRAD:
        ops->convert(b, buf(l, s->dx), RQ_DTYPE_BF16, buf(l, s->dy), RQ_DTYPE_F32,
                     out_pixels(s) * (size_t)s->out->c);
        break;
    case RQ_STEP_KINDS:
        return rq_fail(err, RQ_INTERNAL, "network: unknown step");
    }
    return RQ_OK;
}

/* A pass over all lanes. */
typedef struct job {
    rq_net *net;
    size_t from, to; /* steps */
    const uint8_t *images;
    const float *dout;
    float *out;
    pass params; /* of the first lane */
} job;

/* The table of addresses is not const; steps only read these. */
static void *readable(const void *p)
{
    union {
        const void *in;
        void *out;
    } u = {.in = p};

    return u.out;
}

/* Points the lane at its share of what the caller brought; returns its parameters. */
static pass bind(lane *l, const job *j, size_t index)
{
    const rq_net *net = l->net;
    const size_t rows = (size_t)net->groups * (size_t)net->opts.images * index;
    const size_t image = (size_t)net->opts.size * (size_t)net->opts.size * 3;
    const size_t width = (size_t)rq_net_width(net);
    pass p = j->params;

    l->bufs[RQ_BUF_IMAGES] = j->images ? readable(j->images + rows * image) : NULL;
    l->bufs[RQ_BUF_OUT] = j->out ? j->out + rows * width : NULL;
    l->bufs[RQ_BUF_DOUT] = j->dout ? readable(j->dout + rows * width) : NULL;
    if (index == 0)
        return p;
    if (p.grads) {
        p.grads = l->grads;
        memset(l->grads, 0, rq_model_param_floats(net->model) * sizeof(float));
    }
    if (p.state && net->opts.mode != RQ_NET_EVAL) {
        p.state = l->state;
        memset(l->state, 0, rq_model_state_floats(net->model) * sizeof(float));
    }
    return p;
}

static void run_lane(void *ctx, int index)
{
    const job *j = ctx;
    const rq_net *net = j->net;
    lane *l = &net->lanes[index];
    const pass p = bind(l, j, (size_t)index);

    l->status = RQ_OK;
    rq_err_clear(&l->err);
    for (size_t i = j->from; i < j->to && l->status == RQ_OK; i++) {
        const rq_step *s = &net->graph.steps[i];
        const uint64_t start = net->profile ? rq_clock_ns() : 0;
        l->status = run_step(l, s, &p, &l->err);
        if (l->status != RQ_OK && s->layer)
            rq_err_prefix(&l->err, "layer %s, %s", s->layer->name, rq_step_name(s->kind));
        if (net->profile) {
            l->profile.ns[s->kind] += rq_clock_ns() - start;
            l->profile.calls[s->kind]++;
        }
    }
}

static void collect_profile(rq_net *net)
{
    for (int i = 0; net->profile && i < net->n_lanes; i++) {
        for (int k = 0; k < RQ_PROFILE_KINDS; k++) {
            net->profile->ns[k] += net->lanes[i].profile.ns[k];
            net->profile->calls[k] += net->lanes[i].profile.calls[k];
        }
        memset(&net->lanes[i].profile, 0, sizeof net->lanes[i].profile);
    }
}

static rq_status run_lanes(job *j, rq_err *err)
{
    rq_net *net = j->net;

    net->backend->ops->run_lanes(net->backend, net->n_lanes, net->threads, run_lane, j);
    collect_profile(net);
    for (int i = 0; i < net->n_lanes; i++) {
        if (net->lanes[i].status != RQ_OK)
            return rq_fail(err, net->lanes[i].status, "%s", net->lanes[i].err.text);
    }
    return RQ_OK;
}

/* The later lanes began at zero: each left 0.1 times its batch's statistics. */
static void merge_state(const rq_net *net, float *state)
{
    const size_t n = rq_model_state_floats(net->model);

    for (int k = 1; k < net->n_lanes; k++) {
        for (size_t i = 0; i < n; i++)
            state[i] = (1 - RQ_BN_MOMENTUM) * state[i] + net->lanes[k].state[i];
    }
}

static void merge_grads(const rq_net *net, float *grads)
{
    const size_t n = rq_model_param_floats(net->model);

    for (int k = 1; k < net->n_lanes; k++) {
        for (size_t i = 0; i < n; i++)
            grads[i] += net->lanes[k].grads[i];
    }
}

rq_status rq_net_forward(rq_net *net, const uint8_t *images, const float *values, float *state,
                         float *out, rq_err *err)
{
    const bool frozen = net->opts.mode != RQ_NET_EVAL && net->opts.frozen_state;
    job j = {.net = net,
             .to = net->graph.n_forward,
             .images = images,
             .out = out,
             .params = {.values = values, .state = frozen ? NULL : state}};

    RQ_TRY(run_lanes(&j, err));
    if (!frozen && net->opts.mode != RQ_NET_EVAL)
        merge_state(net, state);
    net->forward_done = true;
    return RQ_OK;
}

rq_status rq_net_backward(rq_net *net, const float *dout, const float *values, float *grads,
                          rq_err *err)
{
    job j = {.net = net,
             .from = net->graph.n_forward,
             .to = net->graph.n_steps,
             .dout = dout,
             .params = {.values = values, .grads = grads}};

    if (net->opts.mode != RQ_NET_TRAIN || !net->forward_done)
        return rq_fail(err, RQ_INVALID_ARG,
                       "network: backward needs a network in training mode and one forward "
                       "before each backward");
    net->forward_done = false;
    RQ_TRY(run_lanes(&j, err));
    merge_grads(net, grads);
    return RQ_OK;
}

/* ---- creation
 * ------------------------------------------------------------------------------*/

static void want_scratch(rq_net *net, size_t bytes)
{
    if (bytes > net->scratch_bytes)
        net->scratch_bytes = bytes;
}

static rq_status compile_steps(rq_net *net, lane *l, rq_err *err)
{
    const rq_ops *ops = net->backend->ops;

    for (size_t i = 0; i < net->graph.n_steps; i++) {
        const rq_step *s = &net->graph.steps[i];
        if (s->kind == RQ_STEP_BN || s->kind == RQ_STEP_BN_GRAD) {
            const rq_bn_shape shape = rq_step_bn_shape(s, net->groups);
            want_scratch(net, ops->bn_scratch(net->backend, &shape));
        }
        if (s->kind != RQ_STEP_CONV)
            continue;
        const rq_conv_shape shape = rq_step_conv_shape(s, net->opts.mode == RQ_NET_TRAIN);
        size_t bytes;
        const rq_status st =
            ops->conv_create(net->backend, &l->convs[s->layer_index], &shape, &bytes, err);
        if (st != RQ_OK) {
            rq_err_prefix(err, "layer %s", s->layer->name);
            return st;
        }
        want_scratch(net, bytes);
    }
    return RQ_OK;
}

static rq_status out_of_memory(const rq_net *net, rq_err *err)
{
    return rq_fail(err, RQ_OOM,
                   "network: out of memory for %zu MiB of activations; use a smaller batch",
                   (size_t)net->n_lanes * (net->graph.arena_bytes + net->scratch_bytes) >> 20);
}

static rq_status lay_out(rq_net *net, lane *l, rq_err *err)
{
    const rq_graph *g = &net->graph;

    l->arena = rq_alloc(1, g->arena_bytes + RQ_PLAN_ALIGN);
    l->scratch = rq_alloc(1, net->scratch_bytes);
    if (!l->arena || !l->scratch)
        return out_of_memory(net, err);
    for (size_t i = RQ_BUF_PLANNED; i < g->n_bufs; i++) {
        uint8_t *base = l->arena;
        base += (RQ_PLAN_ALIGN - (uintptr_t)base % RQ_PLAN_ALIGN) % RQ_PLAN_ALIGN;
        l->bufs[i] = base + g->bufs[i].offset;
    }
    if (l == net->lanes)
        return RQ_OK;
    if (net->opts.mode == RQ_NET_TRAIN) {
        l->grads = rq_alloc(rq_model_param_floats(net->model), sizeof(float));
        if (!l->grads)
            return out_of_memory(net, err);
    }
    l->state = rq_alloc(rq_model_state_floats(net->model), sizeof(float));
    return l->state ? RQ_OK : out_of_memory(net, err);
}

static rq_status create_lanes(rq_net *net, rq_err *err)
{
    rq_status st = RQ_OK;

    for (int i = 0; i < net->n_lanes; i++) {
        lane *l = &net->lanes[i];
        l->net = net;
        l->convs = rq_calloc(net->graph.n_layers, sizeof *l->convs);
        l->bufs = rq_calloc(net->graph.n_bufs, sizeof *l->bufs);
        if (!l->convs || !l->bufs)
            return rq_fail(err, RQ_OOM, "network: out of memory");
    }
    net->backend->ops->enter(net->backend, net->threads);
    for (int i = 0; i < net->n_lanes && st == RQ_OK; i++)
        st = compile_steps(net, &net->lanes[i], err);
    net->backend->ops->leave(net->backend);
    for (int i = 0; i < net->n_lanes && st == RQ_OK; i++)
        st = lay_out(net, &net->lanes[i], err);
    return st;
}

/* Decides how the batch is cut into lanes. */
static void choose_lanes(rq_net *net)
{
    enum { EVAL_LANES = 4 };
    rq_net_opts *o = &net->opts;

    /* Images are independent of each other in evaluation: any cut will do. */
    if (o->mode == RQ_NET_EVAL && o->images % EVAL_LANES == 0) {
        o->groups = EVAL_LANES;
        o->images /= EVAL_LANES;
    }
    const int threads = net->backend->opts.threads;
    const bool split = o->groups > 1 && o->groups % threads == 0;
    net->n_lanes = split ? o->groups : 1;
    net->threads = split ? 1 : threads;
    net->groups = split ? 1 : o->groups;
}

static rq_status create(rq_net *net, rq_err *err)
{
    RQ_TRY(rq_graph_check(net->model, &net->opts, err));
    choose_lanes(net);
    rq_net_opts o = net->opts;
    o.groups = net->groups;
    if (o.mode == RQ_NET_EVAL && net->n_lanes == 1) {
        o.images *= o.groups;
        o.groups = 1;
    }
    RQ_TRY(rq_graph_build(&net->graph, net->model, &o, net->backend->opts.precision, err));
    net->lanes = rq_calloc((size_t)net->n_lanes, sizeof *net->lanes);
    if (!net->lanes)
        return rq_fail(err, RQ_OOM, "network: out of memory");
    return create_lanes(net, err);
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

static void free_lane(lane *l)
{
    const rq_net *net = l->net;

    for (size_t i = 0; l->convs && i < net->graph.n_layers; i++) {
        if (l->convs[i])
            net->backend->ops->conv_destroy(&l->convs[i]);
    }
    rq_free(l->convs);
    rq_free(l->bufs);
    rq_free(l->arena);
    rq_free(l->scratch);
    rq_free(l->grads);
    rq_free(l->state);
}

void rq_net_destroy(rq_net **pnet)
{
    if (!pnet || !*pnet)
        return;
    rq_net *net = *pnet;
    for (int i = 0; net->lanes && i < net->n_lanes; i++)
        free_lane(&net->lanes[i]);
    rq_free(net->lanes);
    rq_graph_free(&net->graph);
    rq_free(net);
    *pnet = NULL;
}

rq_net_plan rq_net_get_plan(const rq_net *net)
{
    const rq_graph *g = &net->graph;
    const size_t lanes = (size_t)net->n_lanes;

    return (rq_net_plan){.arena_bytes = lanes * g->arena_bytes,
                         .live_bytes = lanes * g->live_bytes,
                         .scratch_bytes = lanes * net->scratch_bytes,
                         .buffers = lanes * (g->n_bufs - RQ_BUF_PLANNED),
                         .forward_flops = (double)lanes * g->forward_flops,
                         .backward_flops = (double)lanes * g->backward_flops};
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
