// SPDX-License-Identifier: Apache-2.0
//
// From a convolution's shape to a plan. A plan from the cache is trusted no further than cuDNN
// takes it: what does not load, or needs more workspace than there is, is found anew.
#include "train/cuda/convplan.h"

rq_status rq_cuda_conv_graph(rq_dg **out, rq_dg_device *d, const rq_conv_shape *s,
                             rq_dg_conv_kind pass, rq_err *err)
{
    const int64_t x[4] = {s->n, s->h, s->w, s->c}, w[4] = {s->k, s->r, s->r, s->c};
    const int64_t y[4] = {s->n, s->oh, s->ow, s->k};

    RQ_TRY(rq_dg_create(out, d, err));
    const int tx = rq_dg_tensor(*out, s->type, x, RQ_DG_IO);
    const int tw = rq_dg_tensor(*out, s->type, w, RQ_DG_IO);
    const int ty = rq_dg_tensor(*out, pass == RQ_DG_FPROP ? s->out_type : s->type, y, RQ_DG_IO);
    rq_dg_conv(*out, pass, tx, tw, ty, s->stride, s->pad);
    const rq_status st = rq_dg_finish(*out, err);
    if (st != RQ_OK)
        rq_dg_destroy(out);
    return st;
}

rq_status rq_plan_identity(const rq_dg_device *d, rq_buf *text, rq_err *err)
{
    return rq_buf_printf(text, err, "cudnn %zu\ndevice %s\nsms %d\n", rq_dg_cudnn_version(d),
                         rq_dg_device_name(d), rq_dg_device_sms(d));
}

static rq_status guess(rq_dg_plan **out, rq_dg *g, const rq_dg_filter *f, rq_err *err)
{
    rq_dg_report r;
    size_t n;

    RQ_TRY(rq_dg_plans(g, f, out, 1, &n, &r, err));
    return n > 0 ? RQ_OK : rq_dg_no_plan(g, f, &r, err);
}

static bool from_cache(rq_dg_plan **out, rq_dg *g, const rq_dg_filter *f,
                       const rq_plan_cache *cache, const char *key)
{
    rq_plan_entry e;
    rq_err ignored = {0};

    if (!rq_plan_cache_find(cache, key, &e) ||
        rq_dg_plan_load(out, g, e.name, e.json, e.json_bytes, &ignored) != RQ_OK)
        return false;
    if (rq_dg_plan_workspace(*out) <= f->workspace)
        return true;
    rq_dg_plan_destroy(out);
    return false;
}

static rq_status to_cache(const rq_dg_plan *p, rq_plan_cache *cache, const char *key,
                          rq_err *err)
{
    rq_buf json = {0};
    rq_status st = rq_dg_plan_save(p, &json, err);

    if (st == RQ_OK) {
        const rq_plan_entry e = {.name = rq_dg_plan_name(p),
                                 .json = (const char *)json.data,
                                 .json_bytes = json.size};
        st = rq_plan_cache_put(cache, key, &e, err);
    }
    rq_buf_free(&json);
    return st;
}

rq_status rq_plan_choose(rq_dg_plan **out, rq_dg *g, const rq_dg_filter *f,
                         rq_plan_cache *cache, bool *hit, rq_err *err)
{
    rq_buf key = {0};
    bool found = false;

    *out = NULL;
    rq_status st = rq_buf_printf(&key, err, "%sforbid %u workspace %zu\n", rq_dg_text(g),
                                 f->forbid, f->workspace);
    if (st == RQ_OK && cache)
        found = from_cache(out, g, f, cache, (const char *)key.data);
    if (st == RQ_OK && !found)
        st = guess(out, g, f, err);
    if (st == RQ_OK && !found && cache)
        st = to_cache(*out, cache, (const char *)key.data, err);
    if (st != RQ_OK)
        rq_dg_plan_destroy(out);
    if (hit)
        *hit = found;
    rq_buf_free(&key);
    return st;
}
