// SPDX-License-Identifier: Apache-2.0
//
// The RELICv2 loss and its gradient. Each anchor gathers its 1 + n_e candidates, so a pair
// costs B * (1 + n_e) dot products rather than B * B.
//
// Two passes: the first runs over anchors and writes only to the anchor's own row; what an
// anchor owes to the other online rows (through q) is kept and scattered in a second pass whose
// order is fixed. Threads therefore never add into the same number.
#include "train/loss.h"

#include "common/mem.h"
#include "common/rng.h"

#include <math.h>
#include <string.h>

enum { OP_NEGATIVES = 32, LANES = 8, SCATTER_CHUNK = 64 };

struct rq_loss {
    rq_loss_opts o;
    int images, large, views, width;
    int candidates; /* 1 + negatives */
    int pairs_used;
    double *in;         /* float inputs as doubles: online, then target */
    double *u, *v;      /* normalised online and target */
    double *scale;      /* 1 / norm of the online rows; negative where the norm was clamped */
    double *du;         /* gradient with respect to u */
    double *gx;         /* [views * images][candidates]: logits, then d/dx */
    double *gy;         /* [pairs][images][candidates]: logits, then d/dy */
    double *con, *inv;  /* [pairs][images] */
    unsigned char *hit; /* [pairs][images] */
    size_t bytes;
};

void rq_loss_opts_default(rq_loss_opts *o)
{
    *o = (rq_loss_opts){.alpha = 0.3f,
                        .beta = 5.0f,
                        .tau = 0.2f,
                        .negatives = 10,
                        .inv_stop = RQ_INV_STOP_ENTROPY,
                        .include_same_view = true};
}

rq_status rq_loss_opts_check(const rq_loss_opts *o, int images, rq_err *err)
{
    if (!(o->alpha >= 0) || !(o->beta >= 0) || !isfinite(o->alpha) || !isfinite(o->beta))
        return rq_fail(err, RQ_INVALID_ARG, "loss weights alpha %g and beta %g must be >= 0",
                       (double)o->alpha, (double)o->beta);
    if (!(o->tau > 0) || !isfinite(o->tau))
        return rq_fail(err, RQ_INVALID_ARG, "temperature tau %g must be > 0", (double)o->tau);
    if ((unsigned)o->inv_stop > RQ_INV_STOP_NONE)
        return rq_fail(err, RQ_INVALID_ARG, "unknown stop-gradient variant %d",
                       (int)o->inv_stop);
    if (images < 2 || images > RQ_LOSS_MAX_IMAGES)
        return rq_fail(
            err, RQ_INVALID_ARG,
            "the loss needs a batch of 2 to %d images, not %d: change the batch size",
            RQ_LOSS_MAX_IMAGES, images);
    if (o->negatives < 1 || o->negatives > images - 1)
        return rq_fail(err, RQ_INVALID_ARG,
                       "%d negatives need a batch of at least %d images, not %d: enlarge the "
                       "batch or lower the number of negatives",
                       o->negatives, o->negatives + 1, images);
    return RQ_OK;
}

/* ---- negatives ----------------------------------------------------------------------------
 */

/* Floyd's subset sampling: n distinct values of [0, m), every subset equally likely. */
static void draw_distinct(int32_t *out, rq_rng *rng, uint64_t *seen, int m, int n)
{
    memset(seen, 0, (size_t)(m + 63) / 64 * sizeof *seen);
    for (int k = 0; k < n; k++) {
        const uint32_t last = (uint32_t)(m - n + k);
        uint32_t r = rq_rng_below(rng, last + 1);
        if (seen[r / 64] >> (r % 64) & 1)
            r = last;
        seen[r / 64] |= UINT64_C(1) << (r % 64);
        out[k] = (int32_t)r;
    }
}

void rq_loss_draw_negatives(int32_t *out, uint64_t seed, uint64_t step, int pairs, int images,
                            int n)
{
#pragma omp parallel for schedule(static) collapse(2)
    for (int pair = 0; pair < pairs; pair++) {
        for (int i = 0; i < images; i++) {
            uint64_t seen[RQ_LOSS_MAX_IMAGES / 64];
            /* The step takes the place of epoch and upper sample bits. */
            const uint64_t sample = (uint64_t)(uint32_t)i | (step >> 32 & 0xFFFF) << 32;
            rq_rng rng =
                rq_rng_make(seed, (uint32_t)step, sample, (uint32_t)pair, OP_NEGATIVES);
            int32_t *row = out + ((size_t)pair * (size_t)images + (size_t)i) * (size_t)n;
            draw_distinct(row, &rng, seen, images - 1, n);
            for (int k = 0; k < n; k++)
                row[k] += row[k] >= i;
        }
    }
}

/* ---- scratch ------------------------------------------------------------------------------
 */

static rq_status take(double **p, size_t a, size_t b, size_t *bytes, rq_err *err)
{
    size_t n;
    *p = rq_mul_size(&n, a, b) ? rq_alloc(n, sizeof **p) : NULL;
    if (*p == NULL)
        return rq_fail(err, RQ_OOM, "no memory for the loss: lower the batch size");
    *bytes += n * sizeof **p;
    return RQ_OK;
}

static rq_status alloc_scratch(rq_loss *l, rq_err *err)
{
    const size_t b = (size_t)l->images, d = (size_t)l->width, c = (size_t)l->candidates;
    const size_t online = (size_t)l->views * b, target = (size_t)l->large * b;
    const size_t anchors = online * (size_t)l->large;
    RQ_TRY(take(&l->in, online + target, d, &l->bytes, err));
    RQ_TRY(take(&l->u, online, d, &l->bytes, err));
    RQ_TRY(take(&l->v, target, d, &l->bytes, err));
    RQ_TRY(take(&l->scale, online, 1, &l->bytes, err));
    RQ_TRY(take(&l->du, online, d, &l->bytes, err));
    RQ_TRY(take(&l->gx, online, c, &l->bytes, err));
    RQ_TRY(take(&l->gy, anchors, c, &l->bytes, err));
    RQ_TRY(take(&l->con, anchors, 1, &l->bytes, err));
    RQ_TRY(take(&l->inv, anchors, 1, &l->bytes, err));
    l->hit = rq_alloc(anchors, 1);
    l->bytes += anchors;
    return l->hit == NULL ? rq_fail(err, RQ_OOM, "no memory for the loss") : RQ_OK;
}

rq_status rq_loss_create(rq_loss **out, const rq_loss_opts *o, int images, int large, int small,
                         int width, rq_err *err)
{
    *out = NULL;
    RQ_TRY(rq_loss_opts_check(o, images, err));
    if (large < 1 || small < 0 || width < 1)
        return rq_fail(err, RQ_INVALID_ARG,
                       "the loss needs at least one large view, not %d large and %d small",
                       large, small);
    const int pairs = (large + small - (o->include_same_view ? 0 : 1)) * large;
    if (pairs < 1)
        return rq_fail(err, RQ_INVALID_ARG,
                       "one large view and no other leaves no pair without the same view: add "
                       "views or include the same view");
    rq_loss *l = rq_calloc(1, sizeof *l);
    if (l == NULL)
        return rq_fail(err, RQ_OOM, "no memory for the loss");
    l->o = *o;
    l->images = images;
    l->large = large;
    l->views = large + small;
    l->width = width;
    l->candidates = 1 + o->negatives;
    l->pairs_used = pairs;
    const rq_status st = alloc_scratch(l, err);
    if (st != RQ_OK)
        rq_loss_destroy(&l);
    *out = l;
    return st;
}

void rq_loss_destroy(rq_loss **l)
{
    if (*l == NULL)
        return;
    double *const blocks[] = {(*l)->in, (*l)->u,  (*l)->v,   (*l)->scale, (*l)->du,
                              (*l)->gx, (*l)->gy, (*l)->con, (*l)->inv};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        rq_free(blocks[i]);
    rq_free((*l)->hit);
    rq_free(*l);
    *l = NULL;
}

size_t rq_loss_memory(const rq_loss *l)
{
    return l->bytes;
}

/* ---- small vector operations --------------------------------------------------------------
 */

/* Fixed lanes: the order of summation is the same at any vector width. */
static double dot(const double *a, const double *b, int n)
{
    double s[LANES] = {0};
    int i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int k = 0; k < LANES; k++)
            s[k] += a[i + k] * b[i + k];
    }
    for (int k = 0; i < n; i++, k++)
        s[k] += a[i] * b[i];
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

static void axpy(double *y, double a, const double *x, int n)
{
    for (int i = 0; i < n; i++)
        y[i] += a * x[i];
}

/* y = x / max(|x|, 1e-6); returns 1 / norm, negative when the norm was clamped. */
static double normalise(double *y, const double *x, int n)
{
    const double sq = dot(x, x, n);
    const double r = 1 / sqrt(sq > 1e-12 ? sq : 1e-12);
    for (int i = 0; i < n; i++)
        y[i] = x[i] * r;
    return sq >= 1e-12 ? r : -r;
}

/* Turns logits into log probabilities. */
static void log_softmax(double *x, int n)
{
    double max = x[0], sum = 0;
    for (int j = 1; j < n; j++)
        max = x[j] > max ? x[j] : max;
    for (int j = 0; j < n; j++)
        sum += exp(x[j] - max);
    const double lse = max + log(sum);
    for (int j = 0; j < n; j++)
        x[j] -= lse;
}

/* ---- one anchor ---------------------------------------------------------------------------
 */

/* In: x = log p, y = log q. Out: the gradients of wc * contrastive + wi * invariance with
 * respect to the logits, in place. kl is the invariance term's value. */
static void logit_gradients(double *x, double *y, int n, double kl, double wc, double wi,
                            rq_inv_stop stop)
{
    const bool through_q = stop != RQ_INV_STOP_SECOND;
    double cross = 0; /* sum p log q */
    for (int j = 0; j < n; j++)
        cross += exp(x[j]) * y[j];
    for (int j = 0; j < n; j++) {
        const double lp = x[j], lq = y[j], p = exp(lp), q = exp(lq);
        double dinv = 0;
        if (stop == RQ_INV_STOP_ENTROPY)
            dinv = -p * (lq - cross);
        else if (stop != RQ_INV_STOP_FIRST)
            dinv = p * (lp - lq - kl);
        x[j] = wc * (p - (j == 0)) + wi * dinv;
        y[j] = through_q ? wi * (q - p) : 0;
    }
}

typedef struct pass {
    rq_loss *l;
    const int32_t *negatives;
    bool gradient;
} pass;

/* Anchor i of online view a against target view b. */
static void anchor(const pass *ps, int a, int b, int i)
{
    rq_loss *l = ps->l;
    const int n = l->candidates, d = l->width, images = l->images;
    const size_t at = ((size_t)(a * l->large + b)) * (size_t)images + (size_t)i;
    const int32_t *neg = ps->negatives + at * (size_t)(n - 1);
    const double *ua = l->u + (size_t)a * (size_t)images * (size_t)d;
    const double *vb = l->v + (size_t)b * (size_t)images * (size_t)d;
    const double *ui = ua + (size_t)i * (size_t)d, *vi = vb + (size_t)i * (size_t)d;
    double *x = l->gx + ((size_t)a * (size_t)images + (size_t)i) * (size_t)n;
    double *y = l->gy + at * (size_t)n;
    const double inv_tau = 1 / (double)l->o.tau;
    bool hit = true;
    for (int j = 0; j < n; j++) {
        const size_t c = (size_t)(j == 0 ? i : neg[j - 1]) * (size_t)d;
        x[j] = dot(ui, vb + c, d) * inv_tau;
        y[j] = dot(vi, ua + c, d) * inv_tau;
        hit = hit && (j == 0 || x[j] < x[0]);
    }
    log_softmax(x, n);
    log_softmax(y, n);
    double kl = 0;
    for (int j = 0; j < n; j++)
        kl += exp(x[j]) * (x[j] - y[j]);
    l->con[at] = -x[0];
    l->inv[at] = kl;
    l->hit[at] = hit;
    if (!ps->gradient)
        return;
    const double w = 1 / ((double)images * l->pairs_used);
    logit_gradients(x, y, n, kl, w * (double)l->o.alpha, w * (double)l->o.beta, l->o.inv_stop);
    double *du = l->du + ((size_t)a * (size_t)images + (size_t)i) * (size_t)d;
    for (int j = 0; j < n; j++)
        axpy(du, x[j] * inv_tau, vb + (size_t)(j == 0 ? i : neg[j - 1]) * (size_t)d, d);
}

static bool pair_used(const rq_loss *l, int a, int b)
{
    return l->o.include_same_view || a >= l->large || a != b;
}

/* Adds what the anchors of view a owe to its candidates' rows, for coordinates [lo, hi). */
static void scatter(const pass *ps, int a, int lo, int hi)
{
    const rq_loss *l = ps->l;
    const int n = l->candidates, images = l->images;
    const size_t d = (size_t)l->width;
    const double inv_tau = 1 / (double)l->o.tau;
    double *du = l->du + (size_t)a * (size_t)images * d + lo;
    for (int b = 0; b < l->large; b++) {
        if (!pair_used(l, a, b))
            continue;
        for (int i = 0; i < images; i++) {
            const size_t at = ((size_t)(a * l->large + b)) * (size_t)images + (size_t)i;
            const double *vi = l->v + ((size_t)b * (size_t)images + (size_t)i) * d + lo;
            for (int j = 0; j < n; j++) {
                const int c = j == 0 ? i : ps->negatives[at * (size_t)(n - 1) + (size_t)j - 1];
                axpy(du + (size_t)c * d, l->gy[at * (size_t)n + (size_t)j] * inv_tau, vi,
                     hi - lo);
            }
        }
    }
}

/* ---- the whole ----------------------------------------------------------------------------
 */

/* Sum over coordinates [lo, lo + n) of the standard deviation over the rows of view a. */
static double chunk_spread(const rq_loss *l, int a, int lo, int n)
{
    double sum[SCATTER_CHUNK] = {0}, squares[SCATTER_CHUNK] = {0}, total = 0;
    const double *u = l->u + (size_t)a * (size_t)l->images * (size_t)l->width + lo;
    for (int i = 0; i < l->images; i++, u += l->width) {
        for (int k = 0; k < n; k++) {
            sum[k] += u[k];
            squares[k] += u[k] * u[k];
        }
    }
    for (int k = 0; k < n; k++) {
        const double mean = sum[k] / l->images, var = squares[k] / l->images - mean * mean;
        total += sqrt(var > 0 ? var : 0);
    }
    return total;
}

static double spread(const rq_loss *l)
{
    double total = 0;
    for (int a = 0; a < l->views; a++) {
        for (int lo = 0; lo < l->width; lo += SCATTER_CHUNK) {
            const int left = l->width - lo;
            total += chunk_spread(l, a, lo, left < SCATTER_CHUNK ? left : SCATTER_CHUNK);
        }
    }
    return total / l->views / sqrt(l->width);
}

static void sum_terms(const rq_loss *l, rq_loss_terms *t)
{
    *t = (rq_loss_terms){0};
    for (int a = 0; a < l->views; a++) {
        for (int b = 0; b < l->large; b++) {
            if (!pair_used(l, a, b))
                continue;
            const size_t at = (size_t)(a * l->large + b) * (size_t)l->images;
            for (size_t i = at; i < at + (size_t)l->images; i++) {
                t->contrastive += l->con[i];
                t->invariance += l->inv[i];
                t->agreement += l->hit[i];
            }
        }
    }
    const double n = (double)l->images * l->pairs_used;
    t->contrastive /= n;
    t->invariance /= n;
    t->agreement /= n;
    t->loss = (double)l->o.alpha * t->contrastive + (double)l->o.beta * t->invariance;
    t->spread = spread(l);
}

/* Back through the normalisation of one online row. */
static void row_gradient(const rq_loss *l, int row, double *dx)
{
    const size_t at = (size_t)row * (size_t)l->width;
    const double *u = l->u + at, *du = l->du + at;
    const double r = fabs(l->scale[row]);
    const double along = l->scale[row] > 0 ? dot(u, du, l->width) : 0;
    for (int k = 0; k < l->width; k++)
        dx[k] = r * (du[k] - u[k] * along);
}

static rq_status check_negatives(const rq_loss *l, const int32_t *negatives, rq_err *err)
{
    const size_t n =
        (size_t)l->views * (size_t)l->large * (size_t)l->images * (size_t)(l->candidates - 1);
    int32_t bad = 0;
    for (size_t k = 0; k < n; k++)
        bad |= negatives[k] < 0 || negatives[k] >= l->images;
    if (bad)
        return rq_fail(err, RQ_INVALID_ARG, "a negative lies outside the batch of %d images",
                       l->images);
    return RQ_OK;
}

rq_status rq_loss_compute_f64(rq_loss *l, const double *online, const double *target,
                              const int32_t *negatives, rq_loss_terms *terms, double *donline,
                              rq_err *err)
{
    RQ_TRY(check_negatives(l, negatives, err));
    const int rows = l->views * l->images, target_rows = l->large * l->images;
    const size_t d = (size_t)l->width;
    const int chunks = (l->width + SCATTER_CHUNK - 1) / SCATTER_CHUNK;
    const pass ps = {.l = l, .negatives = negatives, .gradient = donline != NULL};
#pragma omp parallel
    {
#pragma omp for schedule(static) nowait
        for (int r = 0; r < rows; r++)
            l->scale[r] = normalise(l->u + (size_t)r * d, online + (size_t)r * d, l->width);
#pragma omp for schedule(static)
        for (int r = 0; r < target_rows; r++)
            normalise(l->v + (size_t)r * d, target + (size_t)r * d, l->width);
#pragma omp for schedule(static)
        for (int r = 0; r < rows; r++) {
            memset(l->du + (size_t)r * d, 0, d * sizeof(double));
            const int a = r / l->images, i = r % l->images;
            for (int b = 0; b < l->large; b++) {
                if (pair_used(l, a, b))
                    anchor(&ps, a, b, i);
            }
        }
        if (ps.gradient) {
#pragma omp for schedule(static) collapse(2)
            for (int a = 0; a < l->views; a++) {
                for (int c = 0; c < chunks; c++) {
                    const int lo = c * SCATTER_CHUNK, hi = lo + SCATTER_CHUNK;
                    scatter(&ps, a, lo, hi < l->width ? hi : l->width);
                }
            }
#pragma omp for schedule(static)
            for (int r = 0; r < rows; r++)
                row_gradient(l, r, donline + (size_t)r * d);
        }
    }
    sum_terms(l, terms);
    return RQ_OK;
}

rq_status rq_loss_compute(rq_loss *l, const float *online, const float *target,
                          const int32_t *negatives, rq_loss_terms *terms, float *donline,
                          rq_err *err)
{
    const size_t n = (size_t)l->views * (size_t)l->images * (size_t)l->width;
    const size_t m = (size_t)l->large * (size_t)l->images * (size_t)l->width;
    for (size_t i = 0; i < n; i++)
        l->in[i] = (double)online[i];
    for (size_t i = 0; i < m; i++)
        l->in[n + i] = (double)target[i];
    /* Inputs are read before the first gradient is written: donline may take their place. */
    double *dx = donline != NULL ? l->in : NULL;
    RQ_TRY(rq_loss_compute_f64(l, l->in, l->in + n, negatives, terms, dx, err));
    for (size_t i = 0; dx != NULL && i < n; i++)
        donline[i] = (float)dx[i];
    return RQ_OK;
}
