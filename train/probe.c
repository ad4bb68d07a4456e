// SPDX-License-Identifier: Apache-2.0
//
// Logistic regression on rows of features. Rows are shared out for the scores, classes for the
// gradient, and every sum runs in row order: threads never add into the same number.
#include "train/probe.h"

#include "common/mem.h"
#include "train/schedule.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { LANES = 8 };

struct rq_linear_probe {
    rq_linear_probe_opts o;
    int width, classes;
    uint64_t done, steps;
    float *w, *velocity; /* [classes][width + 1], the bias last */
    float *rows;         /* a gathered batch */
    int32_t *labels;
    float *scores; /* [batch][classes]: scores, then d loss / d scores */
    double *losses;
};

void rq_linear_probe_opts_default(rq_linear_probe_opts *o)
{
    *o = (rq_linear_probe_opts){.lr = 0.3f, .momentum = 0.9f, .batch = 1024, .epochs = 100};
}

rq_status rq_linear_probe_opts_check(const rq_linear_probe_opts *o, rq_err *err)
{
    if (!(o->lr > 0) || !(o->momentum >= 0 && o->momentum < 1) || !(o->weight_decay >= 0) ||
        o->batch < 1 || o->epochs < 1)
        return rq_fail(err, RQ_INVALID_ARG,
                       "the probe needs lr > 0, 0 <= momentum < 1, weight decay >= 0, and at "
                       "least one image a batch and one epoch");
    return RQ_OK;
}

rq_status rq_linear_probe_create(rq_linear_probe **out, const rq_linear_probe_opts *o,
                                 int width, int classes, uint64_t steps, rq_err *err)
{
    *out = NULL;
    RQ_TRY(rq_linear_probe_opts_check(o, err));
    if (width < 1 || classes < 2 || steps < 1)
        return rq_fail(err, RQ_INVALID_ARG,
                       "the probe needs features, at least two classes and one step");
    rq_linear_probe *p = rq_calloc(1, sizeof *p);
    if (p == NULL)
        return rq_fail(err, RQ_OOM, "no memory for the probe");
    *p = (rq_linear_probe){.o = *o, .width = width, .classes = classes, .steps = steps};
    const size_t weights = (size_t)classes * (size_t)(width + 1), batch = (size_t)o->batch;
    p->w = rq_calloc(weights, sizeof *p->w);
    p->velocity = rq_calloc(weights, sizeof *p->velocity);
    p->rows = rq_alloc(batch * (size_t)width, sizeof *p->rows);
    p->labels = rq_alloc(batch, sizeof *p->labels);
    p->scores = rq_alloc(batch * (size_t)classes, sizeof *p->scores);
    p->losses = rq_alloc(batch, sizeof *p->losses);
    if (p->w == NULL || p->velocity == NULL || p->rows == NULL || p->labels == NULL ||
        p->scores == NULL || p->losses == NULL) {
        rq_linear_probe_destroy(&p);
        return rq_fail(err, RQ_OOM, "no memory for the probe");
    }
    *out = p;
    return RQ_OK;
}

void rq_linear_probe_destroy(rq_linear_probe **p)
{
    if (*p == NULL)
        return;
    rq_free((*p)->w);
    rq_free((*p)->velocity);
    rq_free((*p)->rows);
    rq_free((*p)->labels);
    rq_free((*p)->scores);
    rq_free((*p)->losses);
    rq_free(*p);
    *p = NULL;
}

/* Fixed lanes: the same sum at any vector width. */
static float dot(const float *a, const float *b, int n)
{
    float s[LANES] = {0};
    int i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int k = 0; k < LANES; k++)
            s[k] += a[i + k] * b[i + k];
    }
    for (int k = 0; i < n; i++, k++)
        s[k] += a[i] * b[i];
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

static void row_scores(const rq_linear_probe *p, const float *row, float *scores)
{
    const size_t stride = (size_t)p->width + 1;
    for (int c = 0; c < p->classes; c++) {
        const float *w = p->w + (size_t)c * stride;
        scores[c] = dot(w, row, p->width) + w[p->width];
    }
}

/* Scores to (softmax - one-hot) / count; returns the cross-entropy. */
static double row_loss(float *scores, int classes, int label, int count)
{
    float max = scores[0];
    double sum = 0;
    for (int c = 1; c < classes; c++)
        max = scores[c] > max ? scores[c] : max;
    for (int c = 0; c < classes; c++)
        sum += exp((double)(scores[c] - max));
    const double loss = log(sum) - (double)(scores[label] - max);
    for (int c = 0; c < classes; c++) {
        const double q = exp((double)(scores[c] - max)) / sum;
        scores[c] = (float)((q - (c == label)) / count);
    }
    return loss;
}

/* Nesterov: v = mu v + g, w = w - lr (g + mu v). The gradient of one class, then its update. */
static void class_update(rq_linear_probe *p, int c, const float *rows, int count, float lr,
                         float *g)
{
    const size_t stride = (size_t)p->width + 1;
    float *w = p->w + (size_t)c * stride, *v = p->velocity + (size_t)c * stride;
    memset(g, 0, stride * sizeof *g);
    for (int i = 0; i < count; i++) {
        const float d = p->scores[(size_t)i * (size_t)p->classes + (size_t)c];
        const float *row = rows + (size_t)i * (size_t)p->width;
        for (int k = 0; k < p->width; k++)
            g[k] += d * row[k];
        g[p->width] += d;
    }
    for (size_t k = 0; k < stride; k++) {
        const float decay = k < (size_t)p->width ? p->o.weight_decay : 0.0f;
        const float gk = g[k] + decay * w[k];
        v[k] = p->o.momentum * v[k] + gk;
        w[k] -= lr * (gk + p->o.momentum * v[k]);
    }
}

static rq_status update(rq_linear_probe *p, const float *rows, int count, rq_err *err)
{
    const double peak = (double)p->o.lr * p->o.batch / 256;
    const float lr = (float)rq_schedule_lr(p->done, 0, p->steps, peak);
    bool failed = false;
#pragma omp parallel
    {
        float *g = rq_alloc((size_t)p->width + 1, sizeof *g);
        if (g == NULL) {
#pragma omp atomic write
            failed = true;
        }
#pragma omp for schedule(static)
        for (int c = 0; c < p->classes; c++) {
            if (g != NULL)
                class_update(p, c, rows, count, lr, g);
        }
        rq_free(g);
    }
    p->done++;
    return failed ? rq_fail(err, RQ_OOM, "no memory for a step of the probe") : RQ_OK;
}

static rq_status check_labels(const rq_linear_probe *p, const int32_t *labels, size_t count,
                              rq_err *err)
{
    for (size_t i = 0; i < count; i++) {
        if (labels[i] < 0 || labels[i] >= p->classes)
            return rq_fail(err, RQ_INVALID_ARG,
                           "probe: an image has label %d, not one of the %d classes",
                           (int)labels[i], p->classes);
    }
    return RQ_OK;
}

rq_status rq_linear_probe_step(rq_linear_probe *p, const float *rows, const int32_t *labels,
                               int count, double *loss, rq_err *err)
{
    if (count < 1 || count > p->o.batch)
        return rq_fail(err, RQ_INVALID_ARG, "probe: a step of %d images, not 1 to %d", count,
                       p->o.batch);
    RQ_TRY(check_labels(p, labels, (size_t)count, err));
#pragma omp parallel for schedule(static)
    for (int i = 0; i < count; i++) {
        float *scores = p->scores + (size_t)i * (size_t)p->classes;
        row_scores(p, rows + (size_t)i * (size_t)p->width, scores);
        p->losses[i] = row_loss(scores, p->classes, labels[i], count);
    }
    *loss = 0;
    for (int i = 0; i < count; i++)
        *loss += p->losses[i] / count;
    if (!isfinite(*loss))
        return rq_fail(err, RQ_DIVERGED,
                       "probe: the loss is not finite at step %" PRIu64 ": lower its lr",
                       p->done + 1);
    return update(p, rows, count, err);
}

static size_t batches_of(const rq_linear_probe_opts *o, size_t count)
{
    const size_t n = count / (size_t)o->batch;
    return n > 0 ? n : 1;
}

uint64_t rq_linear_probe_steps(const rq_linear_probe_opts *o, size_t count)
{
    return (uint64_t)batches_of(o, count) * (uint64_t)o->epochs;
}

rq_status rq_linear_probe_train(rq_linear_probe *p, const rq_features *f, double *last_loss,
                                rq_err *err)
{
    const size_t width = (size_t)p->width, batch = (size_t)p->o.batch;
    const size_t n = f->count < batch ? f->count : batch;
    if (f->width != p->width || f->count == 0)
        return rq_fail(err, RQ_INVALID_ARG, "probe: no features of width %d", p->width);
    for (int epoch = 0; epoch < p->o.epochs; epoch++) {
        for (size_t b = 0; b < batches_of(&p->o, f->count); b++) {
            for (size_t i = 0; i < n; i++) {
                const uint64_t at =
                    rq_order_place(p->o.seed, (uint32_t)epoch, f->count, b * batch + i);
                memcpy(p->rows + i * width, f->rows + at * width, width * sizeof *p->rows);
                p->labels[i] = f->labels[at];
            }
            RQ_TRY(rq_linear_probe_step(p, p->rows, p->labels, (int)n, last_loss, err));
        }
    }
    return RQ_OK;
}

rq_status rq_linear_probe_evaluate(const rq_linear_probe *p, const rq_features *f, double *top1,
                                   double *top5, rq_err *err)
{
    RQ_TRY(check_labels(p, f->labels, f->count, err));
    if (f->width != p->width || f->count == 0)
        return rq_fail(err, RQ_INVALID_ARG, "probe: no features of width %d", p->width);
    size_t first = 0, five = 0;
    for (size_t i = 0; i < f->count; i++) {
        float *scores = p->scores;
        row_scores(p, f->rows + i * (size_t)p->width, scores);
        const int label = f->labels[i];
        int rank = 0;
        for (int c = 0; c < p->classes; c++)
            rank += scores[c] > scores[label] || (scores[c] >= scores[label] && c < label);
        first += rank < 1;
        five += rank < 5;
    }
    *top1 = (double)first / (double)f->count;
    *top5 = (double)five / (double)f->count;
    return RQ_OK;
}
