// SPDX-License-Identifier: Apache-2.0
//
// The RELICv2 loss against golden values (float64 autograd of an independent implementation),
// central differences, and the properties its definition implies.
#include "tests/unit/test.h"

#include "common/rng.h"
#include "train/loss.h"

#include <math.h>

static double close_to(double a, double b)
{
    return fabs(a - b);
}

#define assert_near(a, b, tol)                                                                 \
    do {                                                                                       \
        const double near_a_ = (a), near_b_ = (b);                                             \
        if (!(close_to(near_a_, near_b_) <= (tol)))                                            \
            fail_msg("%.12g is not %.12g within %g", near_a_, near_b_, (double)(tol));         \
    } while (0)

static rq_loss_opts opts_of(double alpha, double beta, double tau, int negatives)
{
    rq_loss_opts o;
    rq_loss_opts_default(&o);
    o.alpha = (float)alpha;
    o.beta = (float)beta;
    o.tau = (float)tau;
    o.negatives = negatives;
    return o;
}

static rq_loss *make(const rq_loss_opts *o, int images, int large, int small, int width)
{
    rq_loss *l = NULL;
    rq_err err = {0};
    assert_ok(rq_loss_create(&l, o, images, large, small, width, &err), &err);
    return l;
}

static rq_loss_terms compute(rq_loss *l, const double *o, const double *t, const int32_t *neg,
                             double *grad)
{
    rq_loss_terms terms;
    rq_err err = {0};
    assert_ok(rq_loss_compute_f64(l, o, t, neg, &terms, grad, &err), &err);
    return terms;
}

/* ---- golden values ------------------------------------------------------------------------
 */

static const double g1_o[6] = {1, 0, 0, 1, 1, 1}, g1_t[6] = {1, 0, 1, 1, 0, 1};
static const int32_t g1_neg[6] = {1, 2, 0, 2, 0, 1};

static void test_g1_contrastive(void **state)
{
    static const double want[6] = {0, .2084152628, -.2629892580, 0, .2357022604, -.2357022604};
    const rq_loss_opts o = opts_of(1, 0, .5, 2);
    rq_loss *l = make(&o, 3, 1, 0, 2);
    double g[6];
    const rq_loss_terms t = compute(l, g1_o, g1_t, g1_neg, g);
    assert_near(t.contrastive, .9905556060, 1e-9);
    assert_near(t.invariance, .2038523130, 1e-9);
    assert_near(t.loss, t.contrastive, 1e-12);
    for (int i = 0; i < 6; i++)
        assert_near(g[i], want[i], 1e-9);
    rq_loss_destroy(&l);
}

static void test_g1_invariance_variants(void **state)
{
    static const double want[4][6] = {
        {0, .1587022423, -.1247746005, 0, .1310353801, -.1310353801},
        {0, -.0358153686, -.1969298040, 0, .0432329744, -.0432329744},
        {0, .0705267441, -.0518356634, 0, .0878024058, -.0878024058},
        {0, .0347113754, -.2487654674, 0, .1310353801, -.1310353801}};
    for (int v = 0; v < 4; v++) {
        rq_loss_opts o = opts_of(0, 1, .5, 2);
        o.inv_stop = (rq_inv_stop)v;
        rq_loss *l = make(&o, 3, 1, 0, 2);
        double g[6];
        const rq_loss_terms t = compute(l, g1_o, g1_t, g1_neg, g);
        assert_near(t.loss, .2038523130, 1e-9);
        for (int i = 0; i < 6; i++)
            assert_near(g[i], want[v][i], 1e-9);
        rq_loss_destroy(&l);
    }
}

/* 0.2 and 0.5 as float and the golden values' double tau differ by 1.5e-8 relative. */
static void test_g2_views(void **state)
{
    static const double o[18] = {1, 0, 0, 1, -1, 0, 1, 1, -1, 1, 0, -1, 2, 1, 1, 2, -1, -1};
    static const double t[12] = {1, .5, 0, 2, -1, 0, 3, 0, 1, 1, 0, -2};
    static const int32_t n1[3] = {1, 2, 0}, n2[3] = {2, 0, 1};
    static const double want[18] = {0,
                                    .0335861954,
                                    -.0399034417,
                                    0,
                                    0,
                                    .0431021130,
                                    -.1176395723,
                                    .1176395723,
                                    -.1295339880,
                                    -.1295339880,
                                    .1424452375,
                                    0,
                                    -.0341337933,
                                    .0682675866,
                                    -.0167244951,
                                    .0083622476,
                                    .0001170338,
                                    -.0001170338};
    const int32_t *order[6] = {n1, n2, n2, n1, n1, n1};
    int32_t neg[18];
    for (int p = 0; p < 6; p++)
        memcpy(neg + 3 * p, order[p], sizeof n1);
    rq_loss_opts opts = opts_of(1, .5, .2, 1);
    rq_loss *l = make(&opts, 3, 2, 1, 2);
    double g[18];
    const rq_loss_terms terms = compute(l, o, t, neg, g);
    assert_near(terms.loss, .4543384966, 2e-8);
    for (int i = 0; i < 18; i++)
        assert_near(g[i], want[i], 2e-8);
    rq_loss_destroy(&l);

    opts.include_same_view = false;
    l = make(&opts, 3, 2, 1, 2);
    assert_near(compute(l, o, t, neg, NULL).loss, .3150385158, 2e-8);
    rq_loss_destroy(&l);
}

static void test_g2_single_pairs(void **state)
{
    static const double large0[6] = {1, 0, 0, 1, -1, 0}, target0[6] = {1, .5, 0, 2, -1, 0};
    static const int32_t n1[3] = {1, 2, 0};
    const rq_loss_opts o = opts_of(1, .5, .2, 1);
    rq_loss *l = make(&o, 3, 1, 0, 2);
    const rq_loss_terms t = compute(l, large0, target0, n1, NULL);
    assert_near(t.contrastive, .0060501516, 2e-9);
    assert_near(t.invariance, .0216468006, 2e-9);
    rq_loss_destroy(&l);
}

static void test_g5_limits(void **state)
{
    static const int32_t neg[12] = {1, 2, 3, 0, 2, 3, 0, 1, 3, 0, 1, 2};
    const rq_loss_opts o = opts_of(1, 1, .2, 3);
    double zero[32] = {0}, one_hot[16] = {0}, g[32];
    for (int i = 0; i < 4; i++)
        one_hot[i * 5] = 1;
    rq_loss *l = make(&o, 4, 1, 0, 8);
    rq_loss_terms t = compute(l, zero, zero, neg, g);
    assert_near(t.contrastive, 1.3862943611, 1e-9);
    assert_near(t.invariance, 0, 1e-15);
    for (int i = 0; i < 32; i++)
        assert_true(isfinite(g[i]));
    rq_loss_destroy(&l);
    l = make(&o, 4, 1, 0, 4);
    t = compute(l, one_hot, one_hot, neg, NULL);
    assert_near(t.contrastive, log(1 + 3 * exp(-5)), 1e-8);
    assert_near(t.invariance, 0, 1e-15);
    assert_true(t.agreement == 1);
    rq_loss_destroy(&l);
}

/* ---- central differences ------------------------------------------------------------------
 */

enum { B = 6, L = 2, S = 1, D = 5, N = 3, ROWS = (L + S) * B, PAIRS = (L + S) * L };

typedef struct random_case {
    double o[ROWS * D], t[L * B * D];
    int32_t neg[PAIRS * B * N];
} random_case;

static double normal(rq_rng *r)
{
    double s = -6;
    for (int i = 0; i < 12; i++)
        s += (double)rq_rng_float(r);
    return s;
}

static random_case random_inputs(uint64_t seed)
{
    random_case c;
    rq_rng r = rq_rng_make(seed, 0, 0, 0, 0);
    for (int i = 0; i < ROWS * D; i++)
        c.o[i] = normal(&r);
    for (int i = 0; i < L * B * D; i++)
        c.t[i] = normal(&r);
    rq_loss_draw_negatives(c.neg, seed, 3, PAIRS, B, N);
    return c;
}

/* The contrastive term and plain KL have no stopped part: their value can be differenced. */
static void test_gradient_by_differences(void **state)
{
    random_case c = random_inputs(11);
    rq_loss_opts o = opts_of(.7, 1.3, .4, N);
    o.inv_stop = RQ_INV_STOP_NONE;
    rq_loss *l = make(&o, B, L, S, D);
    double g[ROWS * D];
    compute(l, c.o, c.t, c.neg, g);
    for (int i = 0; i < ROWS * D; i++) {
        const double x = c.o[i], h = 1e-5;
        c.o[i] = x + h;
        const double up = compute(l, c.o, c.t, c.neg, NULL).loss;
        c.o[i] = x - h;
        const double down = compute(l, c.o, c.t, c.neg, NULL).loss;
        c.o[i] = x;
        assert_near((up - down) / (2 * h), g[i], 2e-9);
    }
    rq_loss_destroy(&l);
}

/* Cross-entropy H(p, q) of one pair, from scratch: what the variant "entropy" descends. */
static double cross_entropy(const double *o, const double *t, const int32_t *neg, double tau)
{
    double total = 0;
    for (int i = 0; i < B; i++) {
        double x[N + 1], y[N + 1], sx = 0, sy = 0;
        for (int j = 0; j <= N; j++) {
            const int c = j == 0 ? i : neg[i * N + j - 1];
            double ot = 0, to = 0, oi = 0, ti = 0, oc = 0, tc = 0;
            for (int k = 0; k < D; k++) {
                ot += o[i * D + k] * t[c * D + k];
                to += t[i * D + k] * o[c * D + k];
                oi += o[i * D + k] * o[i * D + k];
                ti += t[i * D + k] * t[i * D + k];
                oc += o[c * D + k] * o[c * D + k];
                tc += t[c * D + k] * t[c * D + k];
            }
            sx += x[j] = exp(ot / sqrt(oi * tc) / tau);
            sy += y[j] = exp(to / sqrt(ti * oc) / tau);
        }
        for (int j = 0; j <= N; j++)
            total -= x[j] / sx * log(y[j] / sy);
    }
    return total / B;
}

static void test_entropy_gradient_by_differences(void **state)
{
    random_case c = random_inputs(14);
    const rq_loss_opts o = opts_of(0, 1, .5, N);
    rq_loss *l = make(&o, B, 1, 0, D);
    double g[B * D];
    compute(l, c.o, c.t, c.neg, g);
    for (int i = 0; i < B * D; i++) {
        const double x = c.o[i], h = 1e-5;
        c.o[i] = x + h;
        const double up = cross_entropy(c.o, c.t, c.neg, .5);
        c.o[i] = x - h;
        const double down = cross_entropy(c.o, c.t, c.neg, .5);
        c.o[i] = x;
        assert_near((up - down) / (2 * h), g[i], 2e-9);
    }
    rq_loss_destroy(&l);
}

/* none = first + second; all four have one value; "entropy" is none of the others. */
static void test_variants_add_up(void **state)
{
    const random_case c = random_inputs(12);
    double g[4][ROWS * D];
    double value[4];
    for (int v = 0; v < 4; v++) {
        rq_loss_opts o = opts_of(0, 1, .4, N);
        o.inv_stop = (rq_inv_stop)v;
        rq_loss *l = make(&o, B, L, S, D);
        value[v] = compute(l, c.o, c.t, c.neg, g[v]).loss;
        rq_loss_destroy(&l);
    }
    double apart = 0;
    for (int i = 0; i < ROWS * D; i++) {
        assert_near(g[RQ_INV_STOP_NONE][i], g[RQ_INV_STOP_FIRST][i] + g[RQ_INV_STOP_SECOND][i],
                    1e-14);
        apart += fabs(g[RQ_INV_STOP_ENTROPY][i] - g[RQ_INV_STOP_NONE][i]);
    }
    assert_true(apart > 1e-3);
    for (int v = 1; v < 4; v++)
        assert_true(value[v] == value[0]);
}

/* ---- properties ---------------------------------------------------------------------------
 */

static void test_scale_free_and_orthogonal(void **state)
{
    random_case c = random_inputs(13);
    const rq_loss_opts o = opts_of(.3, 5, .2, N);
    rq_loss *l = make(&o, B, L, S, D);
    double g[ROWS * D];
    const double before = compute(l, c.o, c.t, c.neg, g).loss;
    for (int r = 0; r < ROWS; r++) {
        double along = 0;
        for (int k = 0; k < D; k++)
            along += g[r * D + k] * c.o[r * D + k];
        assert_near(along, 0, 1e-13);
        for (int k = 0; k < D; k++)
            c.o[r * D + k] *= 0.5 + r;
    }
    for (int i = 0; i < L * B * D; i++)
        c.t[i] *= 3;
    assert_near(compute(l, c.o, c.t, c.neg, NULL).loss, before, 1e-12);
    rq_loss_destroy(&l);
}

static void test_invariance_is_a_divergence(void **state)
{
    for (uint64_t seed = 20; seed < 30; seed++) {
        random_case c = random_inputs(seed);
        const rq_loss_opts o = opts_of(0, 1, .3, N);
        rq_loss *l = make(&o, B, L, 0, D);
        assert_true(compute(l, c.o, c.t, c.neg, NULL).invariance > 0);
        rq_loss_destroy(&l);
        l = make(&o, B, 1, 0, D);
        assert_near(compute(l, c.o, c.o, c.neg, NULL).invariance, 0, 1e-13);
        rq_loss_destroy(&l);
    }
}

static void test_bounds(void **state)
{
    const random_case c = random_inputs(31);
    for (double tau = .01; tau < 20; tau *= 10) {
        const rq_loss_opts o = opts_of(1, 1, tau, N);
        rq_loss *l = make(&o, B, L, S, D);
        double g[ROWS * D];
        const rq_loss_terms t = compute(l, c.o, c.t, c.neg, g);
        assert_true(t.contrastive <= log(1 + N) + 2 / tau);
        assert_true(t.contrastive >= log(1 + N * exp(-2 / tau)) - 1e-12);
        for (int i = 0; i < ROWS * D; i++)
            assert_true(isfinite(g[i]));
        rq_loss_destroy(&l);
    }
}

/* All views equal, same negatives for every pair: the value does not depend on how many. */
static void test_divisor(void **state)
{
    const random_case c = random_inputs(32);
    double value[4], o[4 * B * D], t[4 * B * D];
    int32_t neg[16 * B * N];
    for (int v = 0; v < 4; v++) {
        memcpy(o + v * B * D, c.o, B * D * sizeof *o);
        memcpy(t + v * B * D, c.t, B * D * sizeof *t);
    }
    for (int p = 0; p < 16; p++)
        memcpy(neg + p * B * N, c.neg, B * N * sizeof *neg);
    const int shapes[4][2] = {{1, 0}, {3, 0}, {4, 0}, {2, 2}};
    for (int k = 0; k < 4; k++) {
        for (int same = 0; same < 2; same++) {
            rq_loss_opts opts = opts_of(.3, 5, .2, N);
            opts.include_same_view = same || k == 0;
            rq_loss *l = make(&opts, B, shapes[k][0], shapes[k][1], D);
            value[k] = compute(l, o, t, neg, NULL).loss;
            rq_loss_destroy(&l);
            assert_near(value[k], value[0], 1e-13);
        }
    }
}

/* alpha 1, beta 0, two large views, all negatives, no same view: the mean of the two InfoNCE
 * losses, computed here from scratch. */
static double info_nce(const double *o, const double *t, double tau)
{
    double total = 0;
    for (int i = 0; i < B; i++) {
        double sum = 0, positive = 0;
        for (int j = 0; j < B; j++) {
            double dot = 0, oo = 0, tt = 0;
            for (int k = 0; k < D; k++) {
                dot += o[i * D + k] * t[j * D + k];
                oo += o[i * D + k] * o[i * D + k];
                tt += t[j * D + k] * t[j * D + k];
            }
            const double x = dot / sqrt(oo * tt) / tau;
            sum += exp(x);
            positive = i == j ? x : positive;
        }
        total += log(sum) - positive;
    }
    return total / B;
}

static void test_full_info_nce(void **state)
{
    const random_case c = random_inputs(33);
    int32_t neg[4 * B * (B - 1)];
    rq_loss_draw_negatives(neg, 5, 0, 4, B, B - 1);
    rq_loss_opts o = opts_of(1, 0, .25, B - 1);
    o.include_same_view = false;
    rq_loss *l = make(&o, B, 2, 0, D);
    const double want = (info_nce(c.o, c.t + B * D, .25) + info_nce(c.o + B * D, c.t, .25)) / 2;
    assert_near(compute(l, c.o, c.t, neg, NULL).loss, want, 1e-12);
    rq_loss_destroy(&l);
}

static void test_permutation_of_images(void **state)
{
    static const int where[B] = {3, 0, 5, 1, 4, 2};
    const random_case c = random_inputs(34);
    random_case p = c;
    for (int v = 0; v < L + S; v++)
        for (int i = 0; i < B; i++)
            memcpy(p.o + (v * B + where[i]) * D, c.o + (v * B + i) * D, D * sizeof *p.o);
    for (int v = 0; v < L; v++)
        for (int i = 0; i < B; i++)
            memcpy(p.t + (v * B + where[i]) * D, c.t + (v * B + i) * D, D * sizeof *p.t);
    for (int q = 0; q < PAIRS; q++)
        for (int i = 0; i < B; i++)
            for (int k = 0; k < N; k++)
                p.neg[(q * B + where[i]) * N + k] = where[c.neg[(q * B + i) * N + k]];
    const rq_loss_opts o = opts_of(.3, 5, .2, N);
    rq_loss *l = make(&o, B, L, S, D);
    const double a = compute(l, c.o, c.t, c.neg, NULL).loss;
    assert_near(compute(l, p.o, p.t, p.neg, NULL).loss, a, 1e-12);
    rq_loss_destroy(&l);
}

static void test_float_entry_and_spread(void **state)
{
    const random_case c = random_inputs(35);
    float o[ROWS * D], t[L * B * D], g[ROWS * D];
    double od[ROWS * D], td[L * B * D], gd[ROWS * D];
    for (int i = 0; i < ROWS * D; i++)
        od[i] = (double)(o[i] = (float)c.o[i]);
    for (int i = 0; i < L * B * D; i++)
        td[i] = (double)(t[i] = (float)c.t[i]);
    const rq_loss_opts opts = opts_of(.3, 5, .2, N);
    rq_loss *l = make(&opts, B, L, S, D);
    rq_loss_terms terms;
    rq_err err = {0};
    assert_ok(rq_loss_compute(l, o, t, c.neg, &terms, g, &err), &err);
    const rq_loss_terms want = compute(l, od, td, c.neg, gd);
    assert_true(terms.loss == want.loss);
    for (int i = 0; i < ROWS * D; i++)
        assert_true(g[i] == (float)gd[i]);
    assert_true(terms.spread > .5 && terms.spread < 1.1);
    for (int i = 0; i < ROWS * D; i++)
        o[i] = (float)c.o[i % D];
    assert_ok(rq_loss_compute(l, o, t, c.neg, &terms, NULL, &err), &err);
    assert_true(terms.spread < 1e-6);
    rq_loss_destroy(&l);
}

/* ---- negatives ----------------------------------------------------------------------------
 */

static void test_negatives_distinct(void **state)
{
    enum { M = 40, P = 7 };
    const int counts[] = {1, 10, M - 2, M - 1};
    for (int c = 0; c < 4; c++) {
        const int n = counts[c];
        int32_t *neg = malloc((size_t)(P * M * n) * sizeof *neg);
        rq_loss_draw_negatives(neg, 9, 1, P, M, n);
        for (int r = 0; r < P * M; r++) {
            bool seen[M] = {false};
            for (int k = 0; k < n; k++) {
                const int32_t v = neg[r * n + k];
                assert_true(v >= 0 && v < M && v != r % M && !seen[v]);
                seen[v] = true;
            }
        }
        free(neg);
    }
}

static void test_negatives_keyed(void **state)
{
    enum { M = 50, P = 4, K = 10, COUNT = P * M * K };
    int32_t a[COUNT], b[COUNT];
    rq_loss_draw_negatives(a, 1, 2, P, M, K);
    rq_loss_draw_negatives(b, 1, 2, P, M, K);
    assert_memory_equal(a, b, sizeof a);
    /* Fewer pairs are a prefix: the draw of a pair does not depend on how many there are. */
    rq_loss_draw_negatives(b, 1, 2, 2, M, K);
    assert_memory_equal(a, b, sizeof a / 2);
    assert_memory_not_equal(a, a + M * K, M * K * sizeof *a);
    rq_loss_draw_negatives(b, 1, 3, P, M, K);
    assert_memory_not_equal(a, b, sizeof a);
    rq_loss_draw_negatives(b, 1, 2 + (UINT64_C(1) << 32), P, M, K);
    assert_memory_not_equal(a, b, sizeof a);
    rq_loss_draw_negatives(b, 2, 2, P, M, K);
    assert_memory_not_equal(a, b, sizeof a);
}

/* Chi-square over 132,000 draws: every other image is equally likely for an anchor. */
static void test_negatives_uniform(void **state)
{
    enum { M = 12, P = 10, K = 3, STEPS = 400 };
    static int32_t neg[P * M * K];
    double count[M][M] = {{0}};
    for (uint64_t step = 0; step < STEPS; step++) {
        rq_loss_draw_negatives(neg, 77, step, P, M, K);
        for (int r = 0; r < P * M; r++)
            for (int k = 0; k < K; k++)
                count[r % M][neg[r * K + k]]++;
    }
    const double expected = (double)P * STEPS * K / (M - 1);
    double chi2 = 0;
    for (int i = 0; i < M; i++)
        for (int j = 0; j < M; j++)
            chi2 += i == j ? 0 : (count[i][j] - expected) * (count[i][j] - expected) / expected;
    /* 120 degrees of freedom less the anti-correlation within a draw; 99.99 % quantile 186. */
    assert_true(chi2 < 186);
    assert_true(chi2 > 40);
}

static void test_refusals(void **state)
{
    rq_loss_opts o = opts_of(.3, 5, .2, 10);
    rq_loss *l = NULL;
    assert_status(rq_loss_create(&l, &o, 10, 2, 0, 8, NULL), RQ_INVALID_ARG);
    assert_null(l);
    o.include_same_view = false;
    assert_status(rq_loss_create(&l, &o, 16, 1, 0, 8, NULL), RQ_INVALID_ARG);
    o.tau = 0;
    assert_status(rq_loss_opts_check(&o, 16, NULL), RQ_INVALID_ARG);
    o = opts_of(.3, 5, .2, 2);
    l = make(&o, 3, 1, 0, 2);
    const int32_t outside[6] = {1, 2, 0, 3, 0, 1};
    rq_loss_terms t;
    assert_status(rq_loss_compute_f64(l, g1_o, g1_t, outside, &t, NULL, NULL), RQ_INVALID_ARG);
    rq_loss_destroy(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_g1_contrastive),
        cmocka_unit_test(test_g1_invariance_variants),
        cmocka_unit_test(test_g2_views),
        cmocka_unit_test(test_g2_single_pairs),
        cmocka_unit_test(test_g5_limits),
        cmocka_unit_test(test_gradient_by_differences),
        cmocka_unit_test(test_entropy_gradient_by_differences),
        cmocka_unit_test(test_variants_add_up),
        cmocka_unit_test(test_scale_free_and_orthogonal),
        cmocka_unit_test(test_invariance_is_a_divergence),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_divisor),
        cmocka_unit_test(test_full_info_nce),
        cmocka_unit_test(test_permutation_of_images),
        cmocka_unit_test(test_float_entry_and_spread),
        cmocka_unit_test(test_negatives_distinct),
        cmocka_unit_test(test_negatives_keyed),
        cmocka_unit_test(test_negatives_uniform),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
