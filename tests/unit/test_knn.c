// SPDX-License-Identifier: Apache-2.0
//
// kNN against a plain search that sorts all similarities, on shapes that leave remainders in
// every tile, and its rules for ties.
#include "tests/unit/test.h"

#include "common/rng.h"
#include "train/knn.h"

#include <math.h>
#include <omp.h>

enum { TRAIN = 533, QUERIES = 77, WIDTH = 37, CLASSES = 7 };

static rq_features random_features(size_t n, uint64_t seed)
{
    rq_features f = {.rows = malloc(n * WIDTH * sizeof(float)),
                     .labels = malloc(n * sizeof(int32_t)),
                     .count = n,
                     .width = WIDTH};
    rq_rng r = rq_rng_make(seed, 0, 0, 0, 0);
    for (size_t i = 0; i < n; i++) {
        f.labels[i] = (int32_t)rq_rng_below(&r, CLASSES);
        for (int k = 0; k < WIDTH; k++)
            f.rows[i * WIDTH + (size_t)k] =
                rq_rng_range(&r, -1, 1) + (k == f.labels[i] ? 1.6f : 0);
    }
    rq_features_normalise(&f);
    return f;
}

static void free_features(rq_features *f)
{
    free(f->rows);
    free(f->labels);
}

typedef struct pair {
    float s;
    int32_t label;
    size_t at;
} pair;

static int descending(const void *a, const void *b)
{
    const pair *x = a, *y = b;
    if (x->s != y->s)
        return x->s > y->s ? -1 : 1;
    return x->at < y->at ? -1 : 1;
}

static double plain_top1(const rq_features *t, const rq_features *q, int k, double tau)
{
    size_t hits = 0;
    pair *p = malloc(t->count * sizeof *p);
    for (size_t i = 0; i < q->count; i++) {
        for (size_t j = 0; j < t->count; j++) {
            float s = 0;
            for (int d = 0; d < WIDTH; d++)
                s += q->rows[i * WIDTH + (size_t)d] * t->rows[j * WIDTH + (size_t)d];
            p[j] = (pair){s, t->labels[j], j};
        }
        qsort(p, t->count, sizeof *p, descending);
        double votes[CLASSES] = {0};
        for (int n = 0; n < k && (size_t)n < t->count; n++)
            votes[p[n].label] += exp((double)p[n].s / tau);
        int best = 0;
        for (int c = 1; c < CLASSES; c++)
            best = votes[c] > votes[best] ? c : best;
        hits += best == q->labels[i];
    }
    free(p);
    return (double)hits / (double)q->count;
}

static void test_against_plain_search(void **state)
{
    rq_features t = random_features(TRAIN, 1), q = random_features(QUERIES, 2);
    const int ks[] = {1, 20, TRAIN, 1000};
    for (int i = 0; i < 4; i++) {
        const rq_knn_opts o = {.k = ks[i], .tau = .07f};
        rq_knn_result r;
        rq_err err = {0};
        assert_ok(rq_knn_classify(&r, &t, &q, CLASSES, &o, &err), &err);
        const double want = plain_top1(&t, &q, ks[i], (double)o.tau);
        assert_true(r.top1 == want);
        assert_true(r.top5 >= r.top1);
        assert_true(want > .3); /* the classes can be told apart, so the test can fail */
    }
    free_features(&t);
    free_features(&q);
}

static void test_threads(void **state)
{
    rq_features t = random_features(TRAIN, 3), q = random_features(QUERIES, 4);
    const rq_knn_opts o = {.k = 20, .tau = .07f};
    const int threads = omp_get_max_threads();
    rq_knn_result one, many;
    rq_err err = {0};
    omp_set_num_threads(1);
    assert_ok(rq_knn_classify(&one, &t, &q, CLASSES, &o, &err), &err);
    omp_set_num_threads(3);
    assert_ok(rq_knn_classify(&many, &t, &q, CLASSES, &o, &err), &err);
    omp_set_num_threads(threads);
    assert_true(one.top1 == many.top1 && one.top5 == many.top5);
    free_features(&t);
    free_features(&q);
}

/* Equal neighbours: the earlier one counts; equal votes: the lower class wins. */
static void test_ties(void **state)
{
    float rows[4 * 2] = {1, 0, 1, 0, 1, 0, 0, 1}, query[2] = {1, 0};
    int32_t labels[4] = {2, 1, 0, 0}, label = 2;
    const rq_features t = {rows, labels, 4, 2}, q = {query, &label, 1, 2};
    rq_knn_opts o = {.k = 1, .tau = .07f};
    rq_knn_result r;
    rq_err err = {0};
    assert_ok(rq_knn_classify(&r, &t, &q, 3, &o, &err), &err);
    assert_true(r.top1 == 1);
    o.k = 2;
    assert_ok(rq_knn_classify(&r, &t, &q, 3, &o, &err), &err);
    assert_true(r.top1 == 0 && r.top5 == 1);
}

static void test_refusals(void **state)
{
    float row[2] = {1, 0};
    int32_t label = 3;
    const rq_features f = {row, &label, 1, 2}, none = {.width = 2};
    const rq_knn_opts o = {.k = 1, .tau = .07f};
    rq_knn_result r;
    assert_status(rq_knn_classify(&r, &f, &f, 3, &o, NULL), RQ_INVALID_ARG);
    assert_status(rq_knn_classify(&r, &none, &f, 4, &o, NULL), RQ_INVALID_ARG);
    const rq_knn_opts bad = {.k = 0, .tau = .07f};
    assert_status(rq_knn_classify(&r, &f, &f, 4, &bad, NULL), RQ_INVALID_ARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_plain_search),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_ties),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
