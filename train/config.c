// SPDX-License-Identifier: Apache-2.0
//
// Defaults and bounds of a training configuration. The values are RELICv2's where they are
// known and the ones this folder's README gives reasons for elsewhere.
#include "train/config.h"

#include "train/schedule.h"

#include <inttypes.h>
#include <math.h>

rq_status rq_train_config_default(rq_train_config *c, rq_err *err)
{
    *c = (rq_train_config){
        .optimizer = {.momentum = 0.9f, .weight_decay = 1.5e-6f, .trust = 1e-3f},
        .precision = RQ_F32,
        .batch = 4096,
        .epochs = 1000,
        .warmup_epochs = 10,
        .lr = 0.3f,
        .ema = 0.996f,
    };
    rq_model_opts_default(&c->model);
    rq_loss_opts_default(&c->loss);
    return rq_recipe_preset(&c->recipe, "relicv2", err);
}

static rq_status in_range(const char *name, double v, double lo, double hi, rq_err *err)
{
    if (!(v >= lo && v <= hi))
        return rq_fail(err, RQ_INVALID_ARG, "%s is %g, it must be from %g to %g", name, v, lo,
                       hi);
    return RQ_OK;
}

rq_status rq_train_config_check(const rq_train_config *c, rq_err *err)
{
    RQ_TRY(in_range("momentum", (double)c->optimizer.momentum, 0, 1, err));
    RQ_TRY(in_range("weight decay", (double)c->optimizer.weight_decay, 0, 1, err));
    RQ_TRY(in_range("trust", (double)c->optimizer.trust, 0, 1, err));
    RQ_TRY(in_range("batch", c->batch, 2, RQ_LOSS_MAX_IMAGES, err));
    RQ_TRY(in_range("epochs", (double)c->epochs, 0, 1e6, err));
    RQ_TRY(in_range("warm-up epochs", (double)c->warmup_epochs, 0, 1e6, err));
    RQ_TRY(in_range("lr", (double)c->lr, 0, 1e6, err));
    RQ_TRY(in_range("ema", (double)c->ema, 0, 1, err));
    RQ_TRY(rq_recipe_check(&c->recipe, err));
    if (c->recipe.group[0].views < 1)
        return rq_fail(err, RQ_INVALID_ARG, "training needs at least one large view");
    if (c->model.proj_hidden < 1 || c->model.pred_hidden < 1 || c->model.classes != 0)
        return rq_fail(err, RQ_INVALID_ARG,
                       "training needs a projector and a predictor and no classifier");
    return rq_loss_opts_check(&c->loss, c->batch, err);
}

rq_status rq_train_plan_make(rq_train_plan *p, const rq_train_config *c, uint64_t images,
                             rq_err *err)
{
    if (images < (uint64_t)c->batch)
        return rq_fail(err, RQ_INVALID_ARG,
                       "%" PRIu64 " images do not fill one batch of %d: lower the batch size",
                       images, c->batch);
    p->steps = c->steps > 0 ? c->steps : rq_schedule_steps((double)c->epochs, images, c->batch);
    p->warmup = rq_schedule_steps((double)c->warmup_epochs, images, c->batch);
    if (p->warmup > p->steps)
        p->warmup = p->steps;
    p->peak_lr = (double)c->lr * c->batch / 256;
    if (p->steps == 0)
        return rq_fail(err, RQ_INVALID_ARG, "%g epochs are not one step: raise the epochs",
                       (double)c->epochs);
    return RQ_OK;
}
