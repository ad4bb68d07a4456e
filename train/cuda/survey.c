// SPDX-License-Identifier: Apache-2.0
//
// Walks the layer graphs of a step. A GPU differs from the other backends in two places only:
// the image has padding channels, and the target's activations lie where those of the online
// networks will be, because its forward pass is over before theirs begin.
#include "train/cuda/survey.h"

#include "train/plan.h"

#include <stdio.h>
#include <string.h>

static bool same_shape(const rq_conv_shape *a, const rq_conv_shape *b)
{
    return a->n == b->n && a->h == b->h && a->w == b->w && a->c == b->c && a->k == b->k &&
           a->r == b->r && a->stride == b->stride && a->pad == b->pad && a->type == b->type &&
           a->out_type == b->out_type;
}

static rq_status add_use(rq_survey *s, const rq_conv_shape *shape, rq_dg_conv_kind pass,
                         const char *layer, rq_err *err)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->uses[i].pass == pass && same_shape(&s->uses[i].shape, shape)) {
            s->uses[i].layers++;
            return RQ_OK;
        }
    }
    RQ_TRY(rq_grow((void **)&s->uses, &s->cap, s->n + 1, sizeof *s->uses, err));
    rq_conv_use *u = &s->uses[s->n++];
    *u = (rq_conv_use){.shape = *shape, .pass = pass, .layers = 1};
    snprintf(u->layer, sizeof u->layer, "%s", layer);
    return RQ_OK;
}

void rq_survey_free(rq_survey *s)
{
    rq_free(s->uses);
    *s = (rq_survey){0};
}

static rq_status add_step(rq_survey *s, const rq_step *step, rq_err *err)
{
    rq_conv_shape shape = rq_step_conv_shape(step, true);
    const rq_dg_conv_kind pass = step->kind == RQ_STEP_CONV        ? RQ_DG_FPROP
                                 : step->kind == RQ_STEP_CONV_DATA ? RQ_DG_DGRAD
                                                                   : RQ_DG_WGRAD;

    if (step->layer->in == 0)
        shape.c = RQ_CUDA_IMAGE_CHANNELS;
    if (pass != RQ_DG_FPROP) /* the gradient of an f32 output is converted before */
        shape.out_type = shape.type;
    return add_use(s, &shape, pass, step->layer->name, err);
}

/* The arena with the padded image in it. */
static rq_status plan_arena(rq_graph *g, size_t *arena, rq_err *err)
{
    rq_interval *image = &g->bufs[g->values[0].buf];
    size_t live;

    image->bytes = image->bytes / (size_t)g->values[0].c * RQ_CUDA_IMAGE_CHANNELS;
    return rq_plan(g->bufs + RQ_BUF_PLANNED, g->n_bufs - RQ_BUF_PLANNED, arena, &live, err);
}

static rq_status walk(rq_survey *s, const rq_graph *g, rq_err *err)
{
    for (size_t i = 0; i < g->n_steps; i++) {
        const rq_step_kind kind = g->steps[i].kind;
        if (!g->steps[i].layer || g->steps[i].layer->kind != RQ_LAYER_CONV)
            continue;
        if (kind == RQ_STEP_CONV || kind == RQ_STEP_CONV_DATA || kind == RQ_STEP_CONV_WEIGHTS)
            RQ_TRY(add_step(s, &g->steps[i], err));
    }
    return RQ_OK;
}

rq_status rq_survey_add(rq_survey *s, const rq_model *model, const rq_net_opts *o,
                        rq_precision precision, size_t *arena, rq_err *err)
{
    rq_graph g = {0};
    rq_status st = rq_graph_build(&g, model, o, precision, err);

    if (st == RQ_OK && s)
        st = walk(s, &g, err);
    if (st == RQ_OK && arena)
        st = plan_arena(&g, arena, err);
    rq_graph_free(&g);
    return st;
}

static size_t image_bytes(const rq_survey_step *p)
{
    const size_t large = (size_t)p->large_size, small = (size_t)p->small_size;

    return (size_t)p->batch * 3 *
           ((size_t)p->large_views * large * large + (size_t)p->small_views * small * small);
}

rq_status rq_survey_step_add(rq_survey *s, const rq_model *model, const rq_survey_step *p,
                             size_t workspace, rq_survey_memory *m, rq_err *err)
{
    const rq_net_opts large = {.mode = RQ_NET_TRAIN,
                               .output = RQ_PART_PREDICTOR,
                               .images = p->batch,
                               .groups = p->large_views,
                               .size = p->large_size};
    rq_net_opts small = large, target = large;
    size_t online = 0, online_small = 0, before = 0;

    small.groups = p->small_views;
    small.size = p->small_size;
    target.mode = RQ_NET_FORWARD;
    target.output = RQ_PART_PROJECTOR;
    RQ_TRY(rq_survey_add(s, model, &target, p->precision, &before, err));
    RQ_TRY(rq_survey_add(s, model, &large, p->precision, &online, err));
    if (p->small_views > 0)
        RQ_TRY(rq_survey_add(s, model, &small, p->precision, &online_small, err));
    online += online_small;
    const size_t floats = rq_model_param_floats(model);
    m->parameters = 4 * floats * sizeof(float) +
                    (p->precision == RQ_BF16 ? 2 * floats * rq_dtype_bytes(RQ_DTYPE_BF16) : 0);
    m->activations = online > before ? online : before;
    m->images = 2 * image_bytes(p);
    m->workspace = workspace;
    m->total = m->parameters + m->activations + m->images + m->workspace;
    return RQ_OK;
}

rq_status rq_survey_largest_batch(const rq_model *model, const rq_survey_step *step,
                                  size_t workspace, size_t bytes, int multiple, int *batch,
                                  rq_err *err)
{
    enum { MOST = 1 << 16 };
    int fits = 0, over = MOST / multiple;

    /* In multiples: `fits` does, `over` does not. */
    while (over - fits > 1) {
        rq_survey_step p = *step;
        rq_survey_memory m;
        const int middle = fits + (over - fits) / 2;
        rq_err ignored = {0};
        p.batch = middle * multiple;
        const rq_status st = rq_survey_step_add(NULL, model, &p, workspace, &m, &ignored);
        if (st != RQ_OK && st != RQ_LIMIT)
            return rq_fail(err, st, "%s", ignored.text);
        if (st == RQ_OK && m.total <= bytes)
            fits = middle;
        else
            over = middle;
    }
    *batch = fits * multiple;
    return RQ_OK;
}

rq_status rq_survey_check_memory(const rq_model *model, const rq_survey_step *step,
                                 size_t workspace, size_t bytes, rq_err *err)
{
    const double gib = 1.0 / (1 << 30);
    rq_survey_memory m;
    int batch;

    RQ_TRY(rq_survey_step_add(NULL, model, step, workspace, &m, err));
    if (m.total <= bytes)
        return RQ_OK;
    RQ_TRY(rq_survey_largest_batch(model, step, workspace, bytes, 8, &batch, err));
    if (batch == 0)
        return rq_fail(err, RQ_OOM,
                       "a batch of %d images needs %.1f GiB of the GPU, which has %.1f, and no "
                       "batch fits; use a smaller network or smaller views",
                       step->batch, (double)m.total * gib, (double)bytes * gib);
    return rq_fail(err, RQ_OOM,
                   "a batch of %d images needs %.1f GiB of the GPU, which has %.1f; the "
                   "largest that fits is %d",
                   step->batch, (double)m.total * gib, (double)bytes * gib, batch);
}
