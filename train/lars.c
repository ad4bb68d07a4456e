// SPDX-License-Identifier: Apache-2.0
//
// LARS in two sweeps over a table of chunks: norms first, then the update. Chunks never cross a
// parameter, their partial sums are added in table order, so any number of threads gives the
// same bytes, and a single huge layer is still shared out.
#include "train/lars.h"

#include "common/mem.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 16384, LANES = 8 };

typedef struct chunk {
    size_t offset, count;
    size_t param;
    double ww, uu, gg; /* sums of squares: weight, decayed gradient, gradient */
} chunk;

struct rq_lars {
    const rq_model *model;
    rq_lars_opts o;
    chunk *chunks;
    size_t n_chunks;
    double *ratio; /* per parameter */
};

static size_t count_chunks(const rq_model *m)
{
    size_t n = 0;
    for (size_t i = 0; i < rq_model_params(m); i++)
        n += (rq_model_param(m, i)->count + CHUNK - 1) / CHUNK;
    return n;
}

static void fill_chunks(rq_lars *l)
{
    size_t n = 0;
    for (size_t i = 0; i < rq_model_params(l->model); i++) {
        const rq_param *p = rq_model_param(l->model, i);
        for (size_t at = 0; at < p->count; at += CHUNK) {
            const size_t left = p->count - at;
            l->chunks[n++] = (chunk){
                .offset = p->offset + at, .count = left < CHUNK ? left : CHUNK, .param = i};
        }
    }
}

rq_status rq_lars_create(rq_lars **out, const rq_model *model, const rq_lars_opts *opts,
                         rq_err *err)
{
    *out = NULL;
    rq_lars *l = rq_calloc(1, sizeof *l);
    if (l == NULL)
        return rq_fail(err, RQ_OOM, "no memory for the optimiser");
    l->model = model;
    l->o = *opts;
    l->n_chunks = count_chunks(model);
    l->chunks = rq_calloc(l->n_chunks, sizeof *l->chunks);
    l->ratio = rq_calloc(rq_model_params(model), sizeof *l->ratio);
    if (l->chunks == NULL || l->ratio == NULL) {
        rq_lars_destroy(&l);
        return rq_fail(err, RQ_OOM, "no memory for the optimiser");
    }
    fill_chunks(l);
    *out = l;
    return RQ_OK;
}

void rq_lars_destroy(rq_lars **l)
{
    if (*l == NULL)
        return;
    rq_free((*l)->chunks);
    rq_free((*l)->ratio);
    rq_free(*l);
    *l = NULL;
}

static void chunk_norms(chunk *c, const float *w, const float *g, float decay)
{
    double ww[LANES] = {0}, uu[LANES] = {0}, gg[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= c->count; i += LANES) {
        for (size_t k = 0; k < LANES; k++) {
            const double wk = (double)w[i + k], gk = (double)g[i + k];
            const double uk = (double)(g[i + k] + decay * w[i + k]);
            ww[k] += wk * wk;
            gg[k] += gk * gk;
            uu[k] += uk * uk;
        }
    }
    for (size_t k = 0; i < c->count; i++, k++) {
        const double wk = (double)w[i], gk = (double)g[i], uk = (double)(g[i] + decay * w[i]);
        ww[k] += wk * wk;
        gg[k] += gk * gk;
        uu[k] += uk * uk;
    }
    c->ww = c->uu = c->gg = 0;
    for (size_t k = 0; k < LANES; k++) {
        c->ww += ww[k];
        c->uu += uu[k];
        c->gg += gg[k];
    }
}

static void chunk_update(const chunk *c, float *w, const float *g, float *m, float decay,
                         float ratio, float mu, float lr)
{
    for (size_t i = 0; i < c->count; i++) {
        const float u = g[i] + decay * w[i];
        m[i] = mu * m[i] + ratio * u;
        w[i] -= lr * m[i];
    }
}

/* Adds up the chunks of each parameter, refuses what is not finite, sets the trust ratios. */
static rq_status reduce(rq_lars *l, rq_lars_stats *stats, rq_err *err)
{
    double all_g = 0, all_w = 0;
    size_t c = 0;
    for (size_t i = 0; i < rq_model_params(l->model); i++) {
        const rq_param *p = rq_model_param(l->model, i);
        double ww = 0, uu = 0, gg = 0;
        for (; c < l->n_chunks && l->chunks[c].param == i; c++) {
            ww += l->chunks[c].ww;
            uu += l->chunks[c].uu;
            gg += l->chunks[c].gg;
        }
        if (!isfinite(gg) || !isfinite(ww))
            return rq_fail(err, RQ_DIVERGED,
                           "%s of %s is not finite: lower the learning rate or lengthen the "
                           "warm-up",
                           isfinite(gg) ? "the weight" : "the gradient", p->name);
        const bool scaled = p->adapt && l->o.trust > 0 && ww > 0 && uu > 0;
        l->ratio[i] = scaled ? (double)l->o.trust * sqrt(ww) / sqrt(uu) : 1;
        all_g += gg;
        all_w += ww;
    }
    *stats = (rq_lars_stats){.grad_norm = sqrt(all_g), .weight_norm = sqrt(all_w)};
    return RQ_OK;
}

rq_status rq_lars_step(rq_lars *l, float *values, const float *grads, float *momentum,
                       double lr, rq_lars_stats *stats, rq_err *err)
{
#pragma omp parallel for schedule(static)
    for (size_t c = 0; c < l->n_chunks; c++) {
        chunk *ch = &l->chunks[c];
        const bool adapt = rq_model_param(l->model, ch->param)->adapt;
        chunk_norms(ch, values + ch->offset, grads + ch->offset,
                    adapt ? l->o.weight_decay : 0.0f);
    }
    RQ_TRY(reduce(l, stats, err));
#pragma omp parallel for schedule(static)
    for (size_t c = 0; c < l->n_chunks; c++) {
        const chunk *ch = &l->chunks[c];
        const bool adapt = rq_model_param(l->model, ch->param)->adapt;
        chunk_update(ch, values + ch->offset, grads + ch->offset, momentum + ch->offset,
                     adapt ? l->o.weight_decay : 0.0f, (float)l->ratio[ch->param],
                     l->o.momentum, (float)lr);
    }
    return RQ_OK;
}

double rq_lars_trust(const rq_lars *l, size_t i)
{
    return l->ratio[i];
}

void rq_ema_update(float *target, const float *online, size_t count, double momentum)
{
    const float step = (float)(1 - momentum);
    if (step >= 1) {
        memcpy(target, online, count * sizeof *target);
        return;
    }
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++)
        target[i] += step * (online[i] - target[i]);
}
