// SPDX-License-Identifier: Apache-2.0
//
// Brute-force neighbours: a matrix product in tiles of 8 queries by 16 training images, each
// tile kept in registers, each sum running over the coordinates in order. Wider vectors change
// how many sums run side by side, never the order within one, so every CPU finds the same
// neighbours.
#include "train/knn.h"

#include "common/cpu.h"
#include "common/mem.h"

#include <math.h>
#include <string.h>

enum { TILE_Q = 8, TILE_T = 16, BLOCK_Q = 64 };

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* panel: [width][TILE_T] of training images; q: TILE_Q rows; out: [TILE_Q][TILE_T]. */
typedef void (*tile_fn)(const float *panel, const float *const q[TILE_Q], size_t width,
                        float *out);

ALWAYS_INLINE void tile(const float *panel, const float *const q[TILE_Q], size_t width,
                        float *out)
{
    float sum[TILE_Q][TILE_T] = {{0}};
    for (size_t d = 0; d < width; d++, panel += TILE_T) {
        for (int i = 0; i < TILE_Q; i++) {
            for (int j = 0; j < TILE_T; j++)
                sum[i][j] += q[i][d] * panel[j];
        }
    }
    memcpy(out, sum, sizeof sum);
}

static void tile_c(const float *panel, const float *const q[TILE_Q], size_t width, float *out)
{
    tile(panel, q, width, out);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void
tile_avx2(const float *panel, const float *const q[TILE_Q], size_t width, float *out)
{
    tile(panel, q, width, out);
}

__attribute__((target("avx512f"))) static void
tile_avx512(const float *panel, const float *const q[TILE_Q], size_t width, float *out)
{
    tile(panel, q, width, out);
}
#endif

static tile_fn choose_tile(void)
{
#if defined(__x86_64__)
    const unsigned flags = rq_cpu_detect();
    if (flags & RQ_CPU_AVX512)
        return tile_avx512;
    if (flags & RQ_CPU_AVX2)
        return tile_avx2;
#endif
    return tile_c;
}

/* The k best so far, best first. */
typedef struct neighbour {
    float similarity;
    int32_t label;
} neighbour;

/* Candidates come in training order, so equal similarities keep that order. */
static void insert(neighbour *best, int k, int *n, float similarity, int32_t label)
{
    if (*n == k && !(similarity > best[k - 1].similarity))
        return;
    int at = *n < k ? (*n)++ : k - 1;
    for (; at > 0 && similarity > best[at - 1].similarity; at--)
        best[at] = best[at - 1];
    best[at] = (neighbour){similarity, label};
}

typedef struct job {
    const rq_features *train, *queries;
    int classes, k;
    float tau;
    tile_fn tile;
    const float *panels; /* [count / TILE_T up][width][TILE_T] */
    unsigned char *hit1, *hit5;
} job;

/* Transposes the training rows into panels, zeros behind the last. */
static float *make_panels(const rq_features *t)
{
    const size_t width = (size_t)t->width, n = (t->count + TILE_T - 1) / TILE_T;
    size_t floats;
    float *panels =
        rq_mul_size(&floats, n * TILE_T, width) ? rq_calloc(floats, sizeof *panels) : NULL;
    if (panels == NULL)
        return NULL;
#pragma omp parallel for schedule(static)
    for (size_t p = 0; p < n; p++) {
        float *panel = panels + p * width * TILE_T;
        for (size_t j = 0; j < TILE_T && p * TILE_T + j < t->count; j++) {
            const float *row = t->rows + (p * TILE_T + j) * width;
            for (size_t d = 0; d < width; d++)
                panel[d * TILE_T + j] = row[d];
        }
    }
    return panels;
}

/* Neighbours of BLOCK_Q queries: the block's rows stay in cache while panels pass by. */
static void find_block(const job *jb, size_t first, size_t n, neighbour *best, int *found)
{
    const size_t width = (size_t)jb->train->width, count = jb->train->count;
    float sim[TILE_Q * TILE_T];
    memset(found, 0, BLOCK_Q * sizeof *found);
    for (size_t p = 0; p * TILE_T < count; p++) {
        const float *panel = jb->panels + p * width * TILE_T;
        for (size_t q0 = 0; q0 < n; q0 += TILE_Q) {
            const float *q[TILE_Q];
            for (size_t i = 0; i < TILE_Q; i++) {
                const size_t at = first + (q0 + i < n ? q0 + i : n - 1);
                q[i] = jb->queries->rows + at * width;
            }
            jb->tile(panel, q, width, sim);
            for (size_t i = 0; i < TILE_Q && q0 + i < n; i++) {
                for (size_t j = 0; j < TILE_T && p * TILE_T + j < count; j++)
                    insert(best + (q0 + i) * (size_t)jb->k, jb->k, &found[q0 + i],
                           sim[i * TILE_T + j], jb->train->labels[p * TILE_T + j]);
            }
        }
    }
}

/* Place of the true class among the votes: 0 is the winner. */
static int rank_of(const neighbour *best, int n, int32_t label, double *votes, const job *jb)
{
    memset(votes, 0, (size_t)jb->classes * sizeof *votes);
    for (int i = 0; i < n; i++)
        votes[best[i].label] += exp((double)(best[i].similarity / jb->tau));
    int rank = 0;
    for (int c = 0; c < jb->classes; c++)
        rank += votes[c] > votes[label] || (votes[c] == votes[label] && c < label);
    return rank;
}

static rq_status run(const job *jb, rq_err *err)
{
    const size_t blocks = (jb->queries->count + BLOCK_Q - 1) / BLOCK_Q;
    bool failed = false;
#pragma omp parallel
    {
        neighbour *best = rq_alloc((size_t)BLOCK_Q * (size_t)jb->k, sizeof *best);
        double *votes = rq_alloc((size_t)jb->classes, sizeof *votes);
        int found[BLOCK_Q];
        if (best == NULL || votes == NULL) {
#pragma omp atomic write
            failed = true;
        }
#pragma omp for schedule(dynamic)
        for (size_t b = 0; b < blocks; b++) {
            if (best == NULL || votes == NULL)
                continue;
            const size_t first = b * BLOCK_Q, left = jb->queries->count - first;
            const size_t n = left < BLOCK_Q ? left : BLOCK_Q;
            find_block(jb, first, n, best, found);
            for (size_t i = 0; i < n; i++) {
                const int rank = rank_of(best + i * (size_t)jb->k, found[i],
                                         jb->queries->labels[first + i], votes, jb);
                jb->hit1[first + i] = rank < 1;
                jb->hit5[first + i] = rank < 5;
            }
        }
        rq_free(best);
        rq_free(votes);
    }
    return failed ? rq_fail(err, RQ_OOM, "no memory for the neighbours") : RQ_OK;
}

static rq_status check(const rq_features *f, int classes, const char *what, rq_err *err)
{
    if (f->count == 0)
        return rq_fail(err, RQ_INVALID_ARG, "kNN: the %s set is empty", what);
    for (size_t i = 0; i < f->count; i++) {
        if (f->labels[i] < 0 || f->labels[i] >= classes)
            return rq_fail(err, RQ_INVALID_ARG,
                           "kNN: image %zu of the %s set has no label among the %d classes", i,
                           what, classes);
    }
    return RQ_OK;
}

rq_status rq_knn_classify(rq_knn_result *out, const rq_features *train,
                          const rq_features *queries, int classes, const rq_knn_opts *o,
                          rq_err *err)
{
    RQ_TRY(check(train, classes, "training", err));
    RQ_TRY(check(queries, classes, "validation", err));
    if (train->width != queries->width || o->k < 1 || o->k > RQ_KNN_MAX_K || !(o->tau > 0))
        return rq_fail(err, RQ_INVALID_ARG,
                       "kNN needs features of one width, 1 <= k <= %d and "
                       "tau > 0",
                       RQ_KNN_MAX_K);
    const size_t k = (size_t)o->k < train->count ? (size_t)o->k : train->count;
    unsigned char *hits = rq_alloc(queries->count, 2);
    float *panels = make_panels(train);
    job jb = {.train = train,
              .queries = queries,
              .classes = classes,
              .k = (int)k,
              .tau = o->tau,
              .tile = choose_tile(),
              .panels = panels,
              .hit1 = hits,
              .hit5 = hits != NULL ? hits + queries->count : NULL};
    rq_status st = hits == NULL || panels == NULL
                       ? rq_fail(err, RQ_OOM, "no memory for kNN over %zu images", train->count)
                       : run(&jb, err);
    size_t top1 = 0, top5 = 0;
    for (size_t i = 0; st == RQ_OK && i < queries->count; i++) {
        top1 += jb.hit1[i];
        top5 += jb.hit5[i];
    }
    out->top1 = (double)top1 / (double)queries->count;
    out->top5 = (double)top5 / (double)queries->count;
    rq_free(hits);
    rq_free(panels);
    return st;
}
