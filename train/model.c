// SPDX-License-Identifier: Apache-2.0
//
// The parameter table: made from the layer list of resnet.c, walked by the optimiser, the EMA
// and the checkpoint. Initial values come from Philox streams keyed by (seed, hash of the
// parameter's name), and the normal distribution from rejection with an exponential of our own,
// so that they are the same bits with every C library.
#include "train/model.h"

#include "common/hash.h"
#include "common/mem.h"
#include "common/rng.h"
#include "train/resnet.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The operation id of initialisation in random streams; views use small ones. */
enum { OP_INIT = 255 };

struct rq_model {
    rq_model_opts opts;
    rq_layer *layers;
    size_t n_layers;
    rq_param *params;
    size_t n_params;
    rq_bn_state *bns;
    size_t n_bns;
    size_t param_floats, state_floats;
    int features;
};

void rq_model_opts_default(rq_model_opts *o)
{
    *o = (rq_model_opts){.arch = RQ_RESNET50,
                         .stem = RQ_STEM_IMAGENET,
                         .base_width = 64,
                         .proj_hidden = 4096,
                         .proj_out = 256,
                         .pred_hidden = 4096};
}

rq_status rq_arch_parse(rq_arch *arch, const char *name, rq_err *err)
{
    for (int i = RQ_RESNET18; i <= RQ_RESNET200; i++) {
        if (strcmp(name, rq_arch_name((rq_arch)i)) == 0) {
            *arch = (rq_arch)i;
            return RQ_OK;
        }
    }
    return rq_fail(err, RQ_INVALID_ARG,
                   "unknown architecture '%s'; use resnet18, resnet34, resnet50, resnet101, "
                   "resnet152 or resnet200",
                   name);
}

static rq_status check_range(const char *what, int v, int lo, int hi, rq_err *err)
{
    if (v >= lo && v <= hi)
        return RQ_OK;
    return rq_fail(err, RQ_INVALID_ARG, "model: %s is %d; use %d to %d", what, v, lo, hi);
}

static rq_status check_opts(const rq_model_opts *o, rq_err *err)
{
    RQ_TRY(check_range("architecture", (int)o->arch, RQ_RESNET18, RQ_RESNET200, err));
    RQ_TRY(check_range("stem", (int)o->stem, RQ_STEM_IMAGENET, RQ_STEM_CIFAR, err));
    RQ_TRY(check_range("base width", o->base_width, 8, 1024, err));
    if (o->base_width % 8 != 0)
        return rq_fail(err, RQ_INVALID_ARG,
                       "model: base width is %d; use a multiple of 8, such as 16 or 64",
                       o->base_width);
    RQ_TRY(check_range("number of classes", o->classes, 0, 1 << 20, err));
    RQ_TRY(check_range("projector's hidden width", o->proj_hidden, 0, 1 << 16, err));
    RQ_TRY(check_range("predictor's hidden width", o->pred_hidden, 0, 1 << 16, err));
    if (o->classes == 0 && o->proj_hidden > 0)
        RQ_TRY(check_range("projector's output width", o->proj_out, 1, 1 << 16, err));
    return RQ_OK;
}

static void add_param(rq_model *m, const rq_layer *l, const char *suffix, rq_param_kind kind,
                      int ndim, const int64_t shape[4], int64_t fan_in)
{
    rq_param *p = &m->params[m->n_params++];

    *p = (rq_param){.kind = kind, .part = l->part, .ndim = ndim, .fan_in = fan_in, .count = 1};
    snprintf(p->name, sizeof p->name, "%.50s.%s", l->name, suffix);
    for (int i = 0; i < ndim; i++) {
        p->shape[i] = shape[i];
        p->count *= (size_t)shape[i];
    }
    p->adapt = kind == RQ_PARAM_CONV || kind == RQ_PARAM_LINEAR;
    p->zero_init = kind == RQ_PARAM_BN_SCALE && l->zero_init;
    p->offset = m->param_floats;
    m->param_floats += rq_round_up(p->count, RQ_PARAM_ALIGN);
}

static void add_bn_state(rq_model *m, const rq_layer *l)
{
    const size_t step = rq_round_up((size_t)l->c_out, RQ_PARAM_ALIGN);
    rq_bn_state *s = &m->bns[m->n_bns++];

    *s = (rq_bn_state){.part = l->part, .channels = l->c_out};
    snprintf(s->name, sizeof s->name, "%s", l->name);
    s->mean_offset = m->state_floats;
    s->var_offset = m->state_floats + step;
    m->state_floats += 2 * step;
}

static void add_layer(rq_model *m, const rq_layer *l)
{
    const int64_t in = l->c_in, out = l->c_out, k = l->k;
    const int64_t vector[4] = {out};

    switch (l->kind) {
    case RQ_LAYER_CONV:
        add_param(m, l, "weight", RQ_PARAM_CONV, 4, (const int64_t[4]){out, in, k, k},
                  in * k * k);
        break;
    case RQ_LAYER_LINEAR:
        add_param(m, l, "weight", RQ_PARAM_LINEAR, 2, (const int64_t[4]){out, in}, in);
        if (l->bias)
            add_param(m, l, "bias", RQ_PARAM_BIAS, 1, vector, in);
        break;
    case RQ_LAYER_BN:
        add_param(m, l, "weight", RQ_PARAM_BN_SCALE, 1, vector, 1);
        add_param(m, l, "bias", RQ_PARAM_BN_SHIFT, 1, vector, 1);
        add_bn_state(m, l);
        break;
    case RQ_LAYER_GAP:
        m->features = l->c_out;
        break;
    case RQ_LAYER_MAXPOOL:
        break;
    }
}

rq_status rq_model_create(rq_model **out, const rq_model_opts *opts, rq_err *err)
{
    *out = NULL;
    RQ_TRY(check_opts(opts, err));
    rq_model *m = rq_calloc(1, sizeof *m);
    if (!m)
        return rq_fail(err, RQ_OOM, "model: out of memory");
    m->opts = *opts;
    rq_status st = rq_resnet_layers(opts, &m->layers, &m->n_layers, err);
    if (st != RQ_OK)
        goto fail;
    m->params = rq_calloc(2 * m->n_layers, sizeof *m->params);
    m->bns = rq_calloc(m->n_layers, sizeof *m->bns);
    if (!m->params || !m->bns) {
        st = rq_fail(err, RQ_OOM, "model: out of memory for the table of parameters");
        goto fail;
    }
    for (size_t i = 0; i < m->n_layers; i++)
        add_layer(m, &m->layers[i]);
    *out = m;
    return RQ_OK;
fail:
    rq_model_destroy(&m);
    return st;
}

void rq_model_destroy(rq_model **m)
{
    if (!m || !*m)
        return;
    rq_free((*m)->layers);
    rq_free((*m)->params);
    rq_free((*m)->bns);
    rq_free(*m);
    *m = NULL;
}

const rq_model_opts *rq_model_get_opts(const rq_model *m)
{
    return &m->opts;
}

const rq_layer *rq_model_layers(const rq_model *m, size_t *n_layers)
{
    *n_layers = m->n_layers;
    return m->layers;
}

size_t rq_model_params(const rq_model *m)
{
    return m->n_params;
}

const rq_param *rq_model_param(const rq_model *m, size_t i)
{
    return &m->params[i];
}

const rq_param *rq_model_find(const rq_model *m, const char *name)
{
    for (size_t i = 0; i < m->n_params; i++) {
        if (strcmp(m->params[i].name, name) == 0)
            return &m->params[i];
    }
    return NULL;
}

size_t rq_model_bns(const rq_model *m)
{
    return m->n_bns;
}

const rq_bn_state *rq_model_bn(const rq_model *m, size_t i)
{
    return &m->bns[i];
}

size_t rq_model_param_floats(const rq_model *m)
{
    return m->param_floats;
}

size_t rq_model_state_floats(const rq_model *m)
{
    return m->state_floats;
}

int rq_model_features(const rq_model *m)
{
    return m->features;
}

/* exp(-t) for t in [0, 2]: the Taylor series of exp(-t / 16), to the 16th power; within 1e-15.
 * Only additions and multiplications, so the same bits everywhere. */
static double exp_minus(double t)
{
    const double x = -t / 16;
    double s = 1;

    for (int n = 10; n >= 1; n--)
        s = 1 + s * x / n;
    for (int i = 0; i < 4; i++)
        s *= s;
    return s;
}

/* Standard normal restricted to +-2, by rejection from the uniform. */
static double truncated_normal(rq_rng *r)
{
    for (;;) {
        const double z = 4.0 * ((double)rq_rng_u32(r) + 0.5) * 0x1p-32 - 2.0;
        const double u = (double)rq_rng_u32(r) * 0x1p-32;
        if (u < exp_minus(0.5 * z * z))
            return z;
    }
}

static void init_param(const rq_param *p, uint64_t seed, float *v)
{
    if (p->kind == RQ_PARAM_CONV || p->kind == RQ_PARAM_LINEAR) {
        const uint64_t key = rq_xxh3(p->name, strlen(p->name)) & 0xFFFFFFFFFFFFu;
        const double sigma = 1 / sqrt((double)p->fan_in);
        rq_rng r = rq_rng_make(seed, 0, key, 0, OP_INIT);
        for (size_t i = 0; i < p->count; i++)
            v[i] = (float)(sigma * truncated_normal(&r));
        return;
    }
    const float value = p->kind == RQ_PARAM_BN_SCALE && !p->zero_init ? 1.0f : 0.0f;
    for (size_t i = 0; i < p->count; i++)
        v[i] = value;
}

void rq_model_init(const rq_model *m, uint64_t seed, float *values, float *state)
{
    memset(values, 0, m->param_floats * sizeof *values);
    memset(state, 0, m->state_floats * sizeof *state);
    for (size_t i = 0; i < m->n_params; i++)
        init_param(&m->params[i], seed, values + m->params[i].offset);
    for (size_t i = 0; i < m->n_bns; i++) {
        for (int c = 0; c < m->bns[i].channels; c++)
            state[m->bns[i].var_offset + (size_t)c] = 1.0f;
    }
}
