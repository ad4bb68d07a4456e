// SPDX-License-Identifier: Apache-2.0
//
// One RELICv2 step. Three networks share one table of parameters: online over the large views,
// online over the small views, target over the large views. The two online networks add into
// the same gradient buffer. Each network updates its own BatchNorm state before anything is
// known about the loss, so the states are kept aside and put back if the step has to be
// refused.
#include "train/trainer.h"

#include "common/mem.h"
#include "train/schedule.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

struct rq_trainer {
    rq_train_config c;
    rq_train_plan plan;
    rq_model *model;
    rq_net *large, *small, *target; /* small: NULL without small views */
    rq_loss *loss;
    rq_lars *lars;
    float *values, *grads, *momentum, *target_values;
    float *state, *target_state, *state_before, *target_state_before;
    float *online_out, *donline, *target_out;
    int32_t *negatives;
    size_t embedding_bytes;
    rq_net_profile profile;
    uint64_t done;
};

static int large_views(const rq_trainer *t)
{
    return t->c.recipe.group[0].views;
}

static int small_views(const rq_trainer *t)
{
    return t->c.recipe.group[1].views;
}

static rq_status make_net(rq_trainer *t, rq_backend *backend, rq_net **net, int group,
                          bool online, rq_err *err)
{
    const rq_view_group *g = &t->c.recipe.group[group];
    const rq_net_opts o = {
        .mode = online ? RQ_NET_TRAIN : RQ_NET_FORWARD,
        .output = online ? RQ_PART_PREDICTOR : RQ_PART_PROJECTOR,
        .images = t->c.batch,
        .groups = g->views,
        .size = g->size,
    };
    RQ_TRY(rq_net_create(net, backend, t->model, &o, err));
    rq_net_set_profile(*net, &t->profile);
    return RQ_OK;
}

static rq_status make_nets(rq_trainer *t, rq_backend *backend, rq_err *err)
{
    RQ_TRY(make_net(t, backend, &t->large, 0, true, err));
    if (small_views(t) > 0)
        RQ_TRY(make_net(t, backend, &t->small, 1, true, err));
    return make_net(t, backend, &t->target, 0, false, err);
}

static rq_status take(float **p, size_t n, rq_err *err)
{
    *p = rq_calloc(n, sizeof **p);
    return *p == NULL ? rq_fail(err, RQ_OOM, "no memory for the parameters of the model")
                      : RQ_OK;
}

static rq_status make_buffers(rq_trainer *t, rq_err *err)
{
    const size_t params = rq_model_param_floats(t->model);
    const size_t state = rq_model_state_floats(t->model);
    const size_t large = (size_t)(large_views(t) * t->c.batch) * (size_t)t->c.model.proj_out;
    const size_t online =
        large + (size_t)(small_views(t) * t->c.batch) * (size_t)t->c.model.proj_out;
    const size_t anchors =
        (size_t)(large_views(t) + small_views(t)) * (size_t)large_views(t) * (size_t)t->c.batch;
    const struct {
        float **p;
        size_t n;
    } blocks[] = {
        {&t->values, params},      {&t->grads, params},
        {&t->momentum, params},    {&t->target_values, params},
        {&t->state, state},        {&t->target_state, state},
        {&t->state_before, state}, {&t->target_state_before, state},
        {&t->online_out, online},  {&t->donline, online},
        {&t->target_out, large},
    };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        RQ_TRY(take(blocks[i].p, blocks[i].n, err));
    const size_t draws = anchors * (size_t)t->c.loss.negatives;
    t->negatives = rq_alloc(draws, sizeof *t->negatives);
    if (t->negatives == NULL)
        return rq_fail(err, RQ_OOM, "no memory for the negatives");
    t->embedding_bytes = (2 * online + large) * sizeof(float) + draws * sizeof *t->negatives;
    return RQ_OK;
}

static rq_status build(rq_trainer *t, rq_backend *backend, rq_err *err)
{
    RQ_TRY(rq_model_create(&t->model, &t->c.model, err));
    RQ_TRY(rq_lars_create(&t->lars, t->model, &t->c.optimizer, err));
    RQ_TRY(rq_loss_create(&t->loss, &t->c.loss, t->c.batch, large_views(t), small_views(t),
                          t->c.model.proj_out, err));
    RQ_TRY(make_nets(t, backend, err));
    RQ_TRY(make_buffers(t, err));
    rq_model_init(t->model, t->c.seed, t->values, t->state);
    memcpy(t->target_values, t->values, rq_model_param_floats(t->model) * sizeof(float));
    memcpy(t->target_state, t->state, rq_model_state_floats(t->model) * sizeof(float));
    return RQ_OK;
}

rq_status rq_trainer_create(rq_trainer **out, rq_backend *backend,
                            const rq_train_config *config, const rq_train_plan *plan,
                            rq_err *err)
{
    *out = NULL;
    RQ_TRY(rq_train_config_check(config, err));
    rq_trainer *t = rq_calloc(1, sizeof *t);
    if (t == NULL)
        return rq_fail(err, RQ_OOM, "no memory for the trainer");
    t->c = *config;
    t->plan = *plan;
    const rq_status st = build(t, backend, err);
    if (st != RQ_OK)
        rq_trainer_destroy(&t);
    *out = t;
    return st;
}

void rq_trainer_destroy(rq_trainer **t)
{
    if (*t == NULL)
        return;
    rq_trainer *x = *t;
    rq_net_destroy(&x->large);
    rq_net_destroy(&x->small);
    rq_net_destroy(&x->target);
    rq_loss_destroy(&x->loss);
    rq_lars_destroy(&x->lars);
    rq_model_destroy(&x->model);
    float *const blocks[] = {
        x->values,     x->grads,        x->momentum,     x->target_values,
        x->state,      x->target_state, x->state_before, x->target_state_before,
        x->online_out, x->donline,      x->target_out};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        rq_free(blocks[i]);
    rq_free(x->negatives);
    rq_free(x);
    *t = NULL;
}

/* ---- the step -----------------------------------------------------------------------------
 */

static rq_status check_batch(const rq_trainer *t, const rq_batch *b, rq_err *err)
{
    bool same = b->images == t->c.batch && b->groups >= 1;
    for (int g = 0; g < RQ_MAX_GROUPS; g++) {
        const rq_view_group *want = &t->c.recipe.group[g];
        const int views = g < b->groups ? b->group[g].views : 0;
        same = same && views == want->views && (views == 0 || b->group[g].size == want->size);
    }
    return same ? RQ_OK
                : rq_fail(err, RQ_INVALID_ARG,
                          "a batch of %d images does not have the views of the configuration",
                          b->images);
}

static size_t small_at(const rq_trainer *t)
{
    return (size_t)(large_views(t) * t->c.batch) * (size_t)t->c.model.proj_out;
}

static rq_status forward(rq_trainer *t, const rq_batch *b, rq_err *err)
{
    RQ_TRY(rq_net_forward(t->target, b->group[0].data, t->target_values, t->target_state,
                          t->target_out, err));
    RQ_TRY(rq_net_forward(t->large, b->group[0].data, t->values, t->state, t->online_out, err));
    if (t->small == NULL)
        return RQ_OK;
    return rq_net_forward(t->small, b->group[1].data, t->values, t->state,
                          t->online_out + small_at(t), err);
}

static rq_status compute_loss(rq_trainer *t, rq_loss_terms *terms, rq_err *err)
{
    const int pairs = (large_views(t) + small_views(t)) * large_views(t);
    rq_loss_draw_negatives(t->negatives, t->c.seed, t->done, pairs, t->c.batch,
                           t->c.loss.negatives);
    RQ_TRY(rq_loss_compute(t->loss, t->online_out, t->target_out, t->negatives, terms,
                           t->donline, err));
    if (!isfinite(terms->loss))
        return rq_fail(err, RQ_DIVERGED,
                       "the loss is not finite (contrastive %g, invariance %g): lower the "
                       "learning rate or lengthen the warm-up",
                       terms->contrastive, terms->invariance);
    return RQ_OK;
}

static rq_status backward(rq_trainer *t, rq_err *err)
{
    memset(t->grads, 0, rq_model_param_floats(t->model) * sizeof *t->grads);
    RQ_TRY(rq_net_backward(t->large, t->donline, t->values, t->grads, err));
    if (t->small == NULL)
        return RQ_OK;
    return rq_net_backward(t->small, t->donline + small_at(t), t->values, t->grads, err);
}

static rq_status update(rq_trainer *t, rq_step_stats *s, rq_err *err)
{
    rq_lars_stats norms;
    s->lr = rq_schedule_lr(t->done, t->plan.warmup, t->plan.steps, t->plan.peak_lr);
    s->ema = rq_schedule_ema(t->done, t->plan.steps, (double)t->c.ema);
    RQ_TRY(rq_lars_step(t->lars, t->values, t->grads, t->momentum, s->lr, &norms, err));
    rq_ema_update(t->target_values, t->values, rq_model_param_floats(t->model), s->ema);
    s->grad_norm = norms.grad_norm;
    s->weight_norm = norms.weight_norm;
    return RQ_OK;
}

static rq_status run_step(rq_trainer *t, const rq_batch *b, rq_step_stats *s, rq_err *err)
{
    RQ_TRY(forward(t, b, err));
    RQ_TRY(compute_loss(t, &s->terms, err));
    RQ_TRY(backward(t, err));
    return update(t, s, err);
}

rq_status rq_trainer_step(rq_trainer *t, const rq_batch *batch, rq_step_stats *stats,
                          rq_err *err)
{
    RQ_TRY(check_batch(t, batch, err));
    const size_t bytes = rq_model_state_floats(t->model) * sizeof(float);
    memcpy(t->state_before, t->state, bytes);
    memcpy(t->target_state_before, t->target_state, bytes);
    *stats = (rq_step_stats){0};
    const rq_status st = run_step(t, batch, stats, err);
    if (st != RQ_OK) {
        memcpy(t->state, t->state_before, bytes);
        memcpy(t->target_state, t->target_state_before, bytes);
        rq_err_prefix(err, "step %" PRIu64, t->done + 1);
        return st;
    }
    t->done++;
    return RQ_OK;
}

/* ---- looking in, saving -------------------------------------------------------------------
 */

uint64_t rq_trainer_done(const rq_trainer *t)
{
    return t->done;
}

const rq_model *rq_trainer_model(const rq_trainer *t)
{
    return t->model;
}

rq_weights rq_trainer_weights(const rq_trainer *t)
{
    return (rq_weights){.values = t->values,
                        .state = t->state,
                        .target_values = t->target_values,
                        .target_state = t->target_state,
                        .momentum = t->momentum};
}

const float *rq_trainer_grads(const rq_trainer *t)
{
    return t->grads;
}

const int32_t *rq_trainer_negatives(const rq_trainer *t)
{
    return t->negatives;
}

rq_train_memory rq_trainer_memory(const rq_trainer *t)
{
    rq_train_memory m = {
        .parameters =
            (4 * rq_model_param_floats(t->model) + 4 * rq_model_state_floats(t->model)) *
            sizeof(float),
        .loss = t->embedding_bytes + rq_loss_memory(t->loss),
    };
    const rq_net *nets[] = {t->large, t->small, t->target};
    for (int i = 0; i < 3; i++) {
        if (nets[i] == NULL)
            continue;
        const rq_net_plan p = rq_net_get_plan(nets[i]);
        m.activations += p.arena_bytes;
        m.scratch += p.scratch_bytes;
        m.flops += p.forward_flops + (nets[i] == t->target ? 0 : p.backward_flops);
    }
    return m;
}

const rq_net_profile *rq_trainer_profile(const rq_trainer *t)
{
    return &t->profile;
}

rq_status rq_trainer_save(const rq_trainer *t, const char *path, const rq_st_meta *extra,
                          size_t n_extra, rq_err *err)
{
    const rq_weights w = rq_trainer_weights(t);
    const rq_checkpoint_info info = {.step = t->done,
                                     .online_views = large_views(t) + small_views(t),
                                     .target_views = large_views(t),
                                     .extra = extra,
                                     .n_extra = n_extra};
    return rq_checkpoint_save(path, t->model, &w, &info, err);
}

rq_status rq_trainer_load(rq_trainer *t, const rq_checkpoint *c, rq_err *err)
{
    const rq_weights w = rq_trainer_weights(t);
    if (rq_checkpoint_step(c) > t->plan.steps)
        return rq_fail(err, RQ_INVALID_ARG,
                       "%.300s is of step %" PRIu64 ", behind the end of a run of %" PRIu64
                       " steps: raise --epochs or --steps",
                       rq_checkpoint_path(c), rq_checkpoint_step(c), t->plan.steps);
    RQ_TRY(rq_checkpoint_read(c, t->model, &w, err));
    t->done = rq_checkpoint_step(c);
    return RQ_OK;
}
