/* The arithmetic of the GPU's kernels, as functions that a kernel's thread calls and that a
 * test calls on the CPU, block by block and thread by thread: one text for both, so that what
 * is proved without a GPU is what runs on one.
 *
 * A thread is given its coordinates; where threads of a block exchange sums, the kernel is cut
 * into phases with a barrier between them, and the sums lie in `shared`. All sums are taken in
 * an order that depends on the shape alone: the same bits on every device and at every run, and
 * (no contraction to FMA on either side) the same as on the CPU. Indices are 64 bit.
 *
 * Tensors are dense NHWC; channels go in vectors of 8, so their number is a multiple of 8.
 * Valid C11 and C++17. Internal to train/. */
#ifndef RQ_TRAIN_KERNEL_BODY_H
#define RQ_TRAIN_KERNEL_BODY_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
#define RQ_KFN static __device__ __forceinline__
#else
#define RQ_KFN static inline
#endif

/* Element types as numbers, so that they can be constants of a template. As rq_dtype. */
enum { RQ_K_F32, RQ_K_BF16 };

enum {
    RQ_K_VEC = 8,      /* channels of a vector */
    RQ_K_THREADS = 256 /* of a block */
};

typedef struct rq_k_vec {
    float v[RQ_K_VEC];
} rq_k_vec;

/* ---- numbers ----------------------------------------------------------------------------- */

RQ_KFN float rq_k_widen(uint16_t h)
{
    const uint32_t u = (uint32_t)h << 16;
    float f;

    memcpy(&f, &u, sizeof f);
    return f;
}

/* To nearest, ties to even. */
RQ_KFN uint16_t rq_k_narrow(float f)
{
    uint32_t u;

    memcpy(&u, &f, sizeof u);
    return (uint16_t)((u + 0x7FFFu + ((u >> 16) & 1u)) >> 16);
}

RQ_KFN float rq_k_get(const void *p, int64_t i, int type)
{
    return type == RQ_K_F32 ? ((const float *)p)[i] : rq_k_widen(((const uint16_t *)p)[i]);
}

RQ_KFN void rq_k_put(void *p, int64_t i, int type, float f)
{
    if (type == RQ_K_F32)
        ((float *)p)[i] = f;
    else
        ((uint16_t *)p)[i] = rq_k_narrow(f);
}

/* 16 bytes at a 16-byte boundary, in one access on a GPU. */
typedef struct rq_k_words {
    uint32_t w[4];
} rq_k_words;

RQ_KFN rq_k_words rq_k_read16(const void *p)
{
    rq_k_words r;
#ifdef __CUDACC__
    const uint4 u = *(const uint4 *)p;
    r.w[0] = u.x, r.w[1] = u.y, r.w[2] = u.z, r.w[3] = u.w;
#else
    memcpy(&r, p, sizeof r);
#endif
    return r;
}

RQ_KFN void rq_k_write16(void *p, rq_k_words r)
{
#ifdef __CUDACC__
    *(uint4 *)p = make_uint4(r.w[0], r.w[1], r.w[2], r.w[3]);
#else
    memcpy(p, &r, sizeof r);
#endif
}

/* 8 bytes at an 8-byte boundary, one per channel. */
RQ_KFN uint64_t rq_k_read8(const uint8_t *p)
{
#ifdef __CUDACC__
    return *(const unsigned long long *)p;
#else
    uint64_t u;
    memcpy(&u, p, sizeof u);
    return u;
#endif
}

RQ_KFN void rq_k_write8(uint8_t *p, uint64_t u)
{
#ifdef __CUDACC__
    *(unsigned long long *)p = u;
#else
    memcpy(p, &u, sizeof u);
#endif
}

/* Vector i of a tensor. */
RQ_KFN rq_k_vec rq_k_load(const void *p, int64_t i, int type)
{
    rq_k_vec r;

    if (type == RQ_K_F32) {
        const rq_k_words a = rq_k_read16((const float *)p + i * RQ_K_VEC);
        const rq_k_words b = rq_k_read16((const float *)p + i * RQ_K_VEC + 4);
        memcpy(r.v, &a, sizeof a);
        memcpy(r.v + 4, &b, sizeof b);
    } else {
        const rq_k_words a = rq_k_read16((const uint16_t *)p + i * RQ_K_VEC);
        for (int k = 0; k < 4; k++) {
            r.v[2 * k] = rq_k_widen((uint16_t)a.w[k]);
            r.v[2 * k + 1] = rq_k_widen((uint16_t)(a.w[k] >> 16));
        }
    }
    return r;
}

/* Leaves in *r what a load would read back. */
RQ_KFN void rq_k_store(void *p, int64_t i, int type, rq_k_vec *r)
{
    rq_k_words a, b;

    if (type == RQ_K_F32) {
        memcpy(&a, r->v, sizeof a);
        memcpy(&b, r->v + 4, sizeof b);
        rq_k_write16((float *)p + i * RQ_K_VEC, a);
        rq_k_write16((float *)p + i * RQ_K_VEC + 4, b);
        return;
    }
    for (int k = 0; k < 4; k++) {
        const uint16_t low = rq_k_narrow(r->v[2 * k]), high = rq_k_narrow(r->v[2 * k + 1]);
        a.w[k] = (uint32_t)low | (uint32_t)high << 16;
        r->v[2 * k] = rq_k_widen(low);
        r->v[2 * k + 1] = rq_k_widen(high);
    }
    rq_k_write16((uint16_t *)p + i * RQ_K_VEC, a);
}

RQ_KFN rq_k_vec rq_k_floats(const float *p)
{
    return rq_k_load(p, 0, RQ_K_F32);
}

/* Lets NaN through, so that divergence shows. */
RQ_KFN float rq_k_relu(float f)
{
    return f < 0.0f ? 0.0f : f;
}

/* ---- tiles: how a [groups][rows][channels] tensor is cut up ------------------------------ */

/* A block has `lanes` threads side by side, each with one vector of channels, and `slots` rows
 * at a time; it walks `chunk` rows of one group. Blocks: chunks x tiles x groups. */
typedef struct rq_k_tile {
    int64_t rows; /* per group */
    int channels, groups;
    int lanes, slots; /* powers of two; lanes * slots = RQ_K_THREADS */
    int tiles;        /* of lanes * RQ_K_VEC channels */
    int64_t chunk, chunks;
} rq_k_tile;

/* Rows per thread: few enough for the sums of f32, and for thousands of blocks where the tensor
 * is large enough. Depends on the shape alone. */
static inline rq_k_tile rq_k_make_tile(int groups, int64_t rows, int channels)
{
    enum { MOST_LANES = 32, MOST_ROWS = 32, LEAST_ROWS = 4, ENOUGH_BLOCKS = 1024 };
    rq_k_tile t;
    int64_t per_thread = MOST_ROWS;

    t.rows = rows;
    t.channels = channels;
    t.groups = groups;
    t.lanes = 1;
    while (t.lanes < MOST_LANES && t.lanes * RQ_K_VEC < channels)
        t.lanes *= 2;
    t.slots = RQ_K_THREADS / t.lanes;
    t.tiles = (channels / RQ_K_VEC + t.lanes - 1) / t.lanes;
    for (;; per_thread /= 2) {
        t.chunk = t.slots * per_thread;
        t.chunks = (rows + t.chunk - 1) / t.chunk;
        if (per_thread == LEAST_ROWS || t.chunks * t.tiles * groups >= ENOUGH_BLOCKS)
            return t;
    }
}

/* Where a thread works: rows [row, end) in steps of slots, one vector of channels. */
typedef struct rq_k_place {
    int lane, slot, group;
    int64_t chunk, vec; /* vec: of channels, within the tensor's row */
    int64_t first, row, end;
    int64_t row_vecs;
    int active; /* 0: beyond the last channel */
} rq_k_place;

RQ_KFN rq_k_place rq_k_where(const rq_k_tile *t, int64_t chunk, int tile, int group, int thread)
{
    rq_k_place p;

    p.lane = thread % t->lanes;
    p.slot = thread / t->lanes;
    p.group = group;
    p.chunk = chunk;
    p.vec = (int64_t)tile * t->lanes + p.lane;
    p.row_vecs = t->channels / RQ_K_VEC;
    p.active = p.vec < p.row_vecs;
    p.first = (int64_t)group * t->rows;
    p.row = chunk * t->chunk + p.slot;
    p.end = (chunk + 1) * t->chunk < t->rows ? (chunk + 1) * t->chunk : t->rows;
    return p;
}

/* Vector of the tensor at a row of the place's group. */
RQ_KFN int64_t rq_k_at(const rq_k_place *p, int64_t row)
{
    return (p->first + row) * p->row_vecs + p->vec;
}

/* ---- two sums per channel over the rows of a chunk --------------------------------------- */

enum { RQ_K_SUMS = 2 * RQ_K_VEC, RQ_K_SHARED_FLOATS = RQ_K_SUMS * RQ_K_THREADS };

RQ_KFN void rq_k_share(float *shared, int thread, const rq_k_vec *a, const rq_k_vec *b)
{
    for (int k = 0; k < RQ_K_VEC; k++) {
        shared[k * RQ_K_THREADS + thread] = a->v[k];
        shared[(RQ_K_VEC + k) * RQ_K_THREADS + thread] = b->v[k];
    }
}

/* Adds the upper half of 2 * half slots to the lower one; once per halving, with a barrier
 * before each. */
RQ_KFN void rq_k_fold(float *shared, const rq_k_tile *t, int thread, int half)
{
    if (thread / t->lanes >= half)
        return;
    for (int k = 0; k < RQ_K_SUMS; k++)
        shared[k * RQ_K_THREADS + thread] +=
            shared[k * RQ_K_THREADS + thread + half * t->lanes];
}

/* The first slot's sums to partial[group][chunk][2][channels]. */
RQ_KFN void rq_k_put_partial(const float *shared, const rq_k_tile *t, const rq_k_place *p,
                             int thread, float *partial)
{
    if (p->slot != 0 || !p->active)
        return;
    float *out = partial + ((int64_t)p->group * t->chunks + p->chunk) * 2 * t->channels;
    for (int k = 0; k < RQ_K_VEC; k++) {
        out[p->vec * RQ_K_VEC + k] = shared[k * RQ_K_THREADS + thread];
        out[t->channels + p->vec * RQ_K_VEC + k] =
            shared[(RQ_K_VEC + k) * RQ_K_THREADS + thread];
    }
}

/* ---- BatchNorm --------------------------------------------------------------------------- */

/* Tables are f32 [groups][channels] unless said otherwise. */
typedef struct rq_k_bn {
    rq_k_tile t;
    int relu;
    int mask; /* backward: RQ_K_MASK_ */
    const void *x, *residual, *y, *dy, *dy2;
    void *out;                         /* y or dx */
    void *g;                           /* where to leave g; may be dy; NULL */
    const float *scale, *shift;        /* [channels] */
    float *save;                       /* [2][groups][channels]: mean, 1 / sigma */
    float *a, *b;                      /* y = x a + b */
    float *ca, *cb, *cc;               /* dx = g ca + (x - mean) cb + cc */
    float *partial;                    /* [groups][chunks][2][channels] */
    float *running_mean, *running_var; /* [channels]; NULL: left alone */
    float *dscale, *dshift;            /* [channels], added to */
    float eps, momentum;
} rq_k_bn;

/* Where the ReLU's mask comes from. */
enum { RQ_K_MASK_NONE, RQ_K_MASK_Y /* y > 0 */, RQ_K_MASK_X /* x a + b > 0 */ };

/* Sums about the group's first pixel, so that a large mean cancels nothing. */
RQ_KFN void rq_k_bn_stats(const rq_k_bn *k, const rq_k_place *p, int type, float *shared,
                          int thread)
{
    rq_k_vec sum = {{0}}, squares = {{0}};

    if (p->active) {
        const rq_k_vec pivot = rq_k_load(k->x, rq_k_at(p, 0), type);
        for (int64_t r = p->row; r < p->end; r += k->t.slots) {
            const rq_k_vec x = rq_k_load(k->x, rq_k_at(p, r), type);
            for (int i = 0; i < RQ_K_VEC; i++) {
                const float d = x.v[i] - pivot.v[i];
                sum.v[i] += d;
                squares.v[i] += d * d;
            }
        }
    }
    rq_k_share(shared, thread, &sum, &squares);
}

/* y = relu(x a + b + residual) */
RQ_KFN void rq_k_bn_apply(const rq_k_bn *k, const rq_k_place *p, int type)
{
    if (!p->active)
        return;
    const int64_t table = (int64_t)p->group * k->t.channels + p->vec * RQ_K_VEC;
    const rq_k_vec a = rq_k_floats(k->a + table), b = rq_k_floats(k->b + table);
    for (int64_t r = p->row; r < p->end; r += k->t.slots) {
        const int64_t at = rq_k_at(p, r);
        rq_k_vec y = rq_k_load(k->x, at, type);
        for (int i = 0; i < RQ_K_VEC; i++)
            y.v[i] = y.v[i] * a.v[i] + b.v[i];
        if (k->residual) {
            const rq_k_vec s = rq_k_load(k->residual, at, type);
            for (int i = 0; i < RQ_K_VEC; i++)
                y.v[i] += s.v[i];
        }
        if (k->relu) {
            for (int i = 0; i < RQ_K_VEC; i++)
                y.v[i] = rq_k_relu(y.v[i]);
        }
        rq_k_store(k->out, at, type, &y);
    }
}

/* g at one vector: (dy + dy2) where the output was positive. x: already loaded. */
RQ_KFN rq_k_vec rq_k_bn_g(const rq_k_bn *k, int64_t at, int type, const rq_k_vec *x,
                          const rq_k_vec *a, const rq_k_vec *b)
{
    rq_k_vec g = rq_k_load(k->dy, at, type);

    if (k->dy2) {
        const rq_k_vec more = rq_k_load(k->dy2, at, type);
        for (int i = 0; i < RQ_K_VEC; i++)
            g.v[i] += more.v[i];
    }
    if (k->mask == RQ_K_MASK_Y) {
        const rq_k_vec y = rq_k_load(k->y, at, type);
        for (int i = 0; i < RQ_K_VEC; i++)
            g.v[i] = y.v[i] > 0.0f ? g.v[i] : 0.0f;
    } else if (k->mask == RQ_K_MASK_X) {
        for (int i = 0; i < RQ_K_VEC; i++)
            g.v[i] = x->v[i] * a->v[i] + b->v[i] > 0.0f ? g.v[i] : 0.0f;
    }
    return g;
}

/* Sums of g and g (x - mean); leaves g where wanted. */
RQ_KFN void rq_k_bn_reduce(const rq_k_bn *k, const rq_k_place *p, int type, float *shared,
                           int thread)
{
    rq_k_vec sum = {{0}}, dot = {{0}};

    if (p->active) {
        const int64_t table = (int64_t)p->group * k->t.channels + p->vec * RQ_K_VEC;
        const rq_k_vec mean = rq_k_floats(k->save + table);
        const rq_k_vec a = rq_k_floats(k->a + table), b = rq_k_floats(k->b + table);
        for (int64_t r = p->row; r < p->end; r += k->t.slots) {
            const int64_t at = rq_k_at(p, r);
            const rq_k_vec x = rq_k_load(k->x, at, type);
            rq_k_vec g = rq_k_bn_g(k, at, type, &x, &a, &b);
            if (k->g)
                rq_k_store(k->g, at, type, &g);
            for (int i = 0; i < RQ_K_VEC; i++) {
                sum.v[i] += g.v[i];
                dot.v[i] += g.v[i] * (x.v[i] - mean.v[i]);
            }
        }
    }
    rq_k_share(shared, thread, &sum, &dot);
}

/* dx = g ca + (x - mean) cb + cc */
RQ_KFN void rq_k_bn_gradient(const rq_k_bn *k, const rq_k_place *p, int type)
{
    if (!p->active)
        return;
    const int64_t table = (int64_t)p->group * k->t.channels + p->vec * RQ_K_VEC;
    const rq_k_vec mean = rq_k_floats(k->save + table);
    const rq_k_vec a = rq_k_floats(k->a + table), b = rq_k_floats(k->b + table);
    const rq_k_vec ca = rq_k_floats(k->ca + table), cb = rq_k_floats(k->cb + table);
    const rq_k_vec cc = rq_k_floats(k->cc + table);
    for (int64_t r = p->row; r < p->end; r += k->t.slots) {
        const int64_t at = rq_k_at(p, r);
        const rq_k_vec x = rq_k_load(k->x, at, type);
        rq_k_vec g = k->g ? rq_k_load(k->g, at, type) : rq_k_bn_g(k, at, type, &x, &a, &b);
        for (int i = 0; i < RQ_K_VEC; i++)
            g.v[i] = g.v[i] * ca.v[i] + (x.v[i] - mean.v[i]) * cb.v[i] + cc.v[i];
        rq_k_store(k->out, at, type, &g);
    }
}

/* ---- BatchNorm: from partial sums to tables ---------------------------------------------- */

/* A block finishes RQ_K_FINISH_LANES channels: each of RQ_K_FINISH_SLOTS threads of a channel
 * adds up every RQ_K_FINISH_SLOTS-th chunk in double, then they are folded in order. Groups are
 * taken one after the other, so that running statistics see them in order. */
enum {
    RQ_K_FINISH_LANES = 8,
    RQ_K_FINISH_SLOTS = RQ_K_THREADS / RQ_K_FINISH_LANES,
    RQ_K_FINISH_DOUBLES = 2 * RQ_K_THREADS
};

RQ_KFN void rq_k_finish_load(const rq_k_bn *k, int group, int64_t channel, int thread,
                             double *shared)
{
    double sum = 0, second = 0;

    if (channel < k->t.channels) {
        const float *p = k->partial + (int64_t)group * k->t.chunks * 2 * k->t.channels;
        for (int64_t c = thread / RQ_K_FINISH_LANES; c < k->t.chunks; c += RQ_K_FINISH_SLOTS) {
            sum += (double)p[c * 2 * k->t.channels + channel];
            second += (double)p[(c * 2 + 1) * k->t.channels + channel];
        }
    }
    shared[thread] = sum;
    shared[RQ_K_THREADS + thread] = second;
}

RQ_KFN void rq_k_finish_fold(double *shared, int thread, int half)
{
    if (thread / RQ_K_FINISH_LANES >= half)
        return;
    shared[thread] += shared[thread + half * RQ_K_FINISH_LANES];
    shared[RQ_K_THREADS + thread] += shared[RQ_K_THREADS + thread + half * RQ_K_FINISH_LANES];
}

RQ_KFN void rq_k_affine(const rq_k_bn *k, int64_t table, int64_t channel, float mean,
                        float rsigma)
{
    k->a[table] = k->scale[channel] * rsigma;
    k->b[table] = k->shift[channel] - mean * k->a[table];
}

/* By the first slot's thread of a channel: mean, 1 / sigma, a and b, running statistics. */
RQ_KFN void rq_k_finish_stats(const rq_k_bn *k, int type, int group, int64_t channel,
                              int thread, const double *shared)
{
    if (thread >= RQ_K_FINISH_LANES || channel >= k->t.channels)
        return;
    const int64_t table = (int64_t)group * k->t.channels + channel;
    const int64_t inverse = (int64_t)k->t.groups * k->t.channels + table;
    const double n = (double)k->t.rows, m = (double)k->momentum;
    const double pivot =
        (double)rq_k_get(k->x, (int64_t)group * k->t.rows * k->t.channels + channel, type);
    const double d = shared[thread] / n;
    const double v = shared[RQ_K_THREADS + thread] / n - d * d, var = v < 0 ? 0 : v;
    const double mean = pivot + d;

    k->save[table] = (float)mean;
    k->save[inverse] = (float)(1 / sqrt(var + (double)k->eps));
    rq_k_affine(k, table, channel, k->save[table], k->save[inverse]);
    if (k->running_mean) {
        const double unbias = k->t.rows > 1 ? n / (n - 1) : 1;
        k->running_mean[channel] =
            (float)((1 - m) * (double)k->running_mean[channel] + m * mean);
        k->running_var[channel] =
            (float)((1 - m) * (double)k->running_var[channel] + m * unbias * var);
    }
}

/* The coefficients of dx; adds to the gradients of scale and shift. */
RQ_KFN void rq_k_finish_sums(const rq_k_bn *k, int group, int64_t channel, int thread,
                             const double *shared)
{
    if (thread >= RQ_K_FINISH_LANES || channel >= k->t.channels)
        return;
    const int64_t table = (int64_t)group * k->t.channels + channel;
    const int64_t inverse = (int64_t)k->t.groups * k->t.channels + table;
    const double n = (double)k->t.rows, r = (double)k->save[inverse];
    const double scale = (double)k->scale[channel] * r;
    const double sum = shared[thread], dot = shared[RQ_K_THREADS + thread];

    k->ca[table] = (float)scale;
    k->cb[table] = (float)(-scale * r * r * dot / n);
    k->cc[table] = (float)(-scale * sum / n);
    k->dshift[channel] += (float)sum;
    k->dscale[channel] += (float)(dot * r);
}

/* Evaluation, and the start of backward: a and b from what is known already. i: in [groups]
 * [channels]. */
RQ_KFN void rq_k_bn_table(const rq_k_bn *k, int64_t i, int evaluate)
{
    const int64_t channel = i % k->t.channels;

    if (evaluate) {
        const double var = (double)k->running_var[channel];
        rq_k_affine(k, i, channel, k->running_mean[channel],
                    (float)(1 / sqrt(var + (double)k->eps)));
    } else {
        rq_k_affine(k, i, channel, k->save[i],
                    k->save[(int64_t)k->t.groups * k->t.channels + i]);
    }
}

/* ---- pooling ----------------------------------------------------------------------------- */

/* 3x3, stride 2, padding 1. */
typedef struct rq_k_pool {
    int n, h, w, c, oh, ow;
    const void *x, *dy, *dy2;
    void *y, *dx;
    uint8_t *where; /* index 0 .. 8 of the first maximum in its window; NULL: not kept */
} rq_k_pool;

/* Vector i of the output. */
RQ_KFN void rq_k_maxpool(const rq_k_pool *k, int64_t i, int type)
{
    const int64_t vecs = k->c / RQ_K_VEC, vec = i % vecs, pixel = i / vecs;
    const int ox = (int)(pixel % k->ow), oy = (int)(pixel / k->ow % k->oh);
    const int64_t image = pixel / k->ow / k->oh;
    rq_k_vec best;
    int place[RQ_K_VEC];
    int found = 0;

    for (int t = 0; t < 9; t++) {
        const int y = 2 * oy - 1 + t / 3, x = 2 * ox - 1 + t % 3;
        if (y < 0 || y >= k->h || x < 0 || x >= k->w)
            continue;
        const rq_k_vec v = rq_k_load(k->x, ((image * k->h + y) * k->w + x) * vecs + vec, type);
        for (int j = 0; j < RQ_K_VEC; j++) {
            if (!found || v.v[j] > best.v[j]) {
                best.v[j] = v.v[j];
                place[j] = t;
            }
        }
        found = 1;
    }
    rq_k_store(k->y, i, type, &best);
    if (k->where) {
        uint64_t packed = 0;
        for (int j = 0; j < RQ_K_VEC; j++)
            packed |= (uint64_t)place[j] << (8 * j);
        rq_k_write8(k->where + i * RQ_K_VEC, packed);
    }
}

/* Vector i of the input's gradient: gathered from the windows that it is in, in order. */
RQ_KFN void rq_k_maxpool_grad(const rq_k_pool *k, int64_t i, int type)
{
    const int64_t vecs = k->c / RQ_K_VEC, vec = i % vecs, pixel = i / vecs;
    const int x = (int)(pixel % k->w), y = (int)(pixel / k->w % k->h);
    const int64_t image = pixel / k->w / k->h;
    rq_k_vec sum = {{0}};

    for (int oy = y / 2; oy <= (y + 1) / 2 && oy < k->oh; oy++) {
        for (int ox = x / 2; ox <= (x + 1) / 2 && ox < k->ow; ox++) {
            const int64_t at = ((image * k->oh + oy) * k->ow + ox) * vecs + vec;
            const int tap = 3 * (y - (2 * oy - 1)) + x - (2 * ox - 1);
            const uint64_t places = rq_k_read8(k->where + at * RQ_K_VEC);
            rq_k_vec g = rq_k_load(k->dy, at, type);
            if (k->dy2) {
                const rq_k_vec more = rq_k_load(k->dy2, at, type);
                for (int j = 0; j < RQ_K_VEC; j++)
                    g.v[j] += more.v[j];
            }
            for (int j = 0; j < RQ_K_VEC; j++)
                sum.v[j] += (int)(places >> (8 * j) & 255) == tap ? g.v[j] : 0.0f;
        }
    }
    rq_k_store(k->dx, i, type, &sum);
}

/* Vector i of [n][c / 8]: the mean over an image's pixels. */
RQ_KFN void rq_k_gap(const void *x, int64_t i, int type, int64_t pixels, int64_t channels,
                     void *y, int out_type)
{
    const int64_t vecs = channels / RQ_K_VEC, image = i / vecs, vec = i % vecs;
    rq_k_vec sum = {{0}};

    for (int64_t p = 0; p < pixels; p++) {
        const rq_k_vec v = rq_k_load(x, (image * pixels + p) * vecs + vec, type);
        for (int j = 0; j < RQ_K_VEC; j++)
            sum.v[j] += v.v[j];
    }
    for (int j = 0; j < RQ_K_VEC; j++)
        sum.v[j] /= (float)pixels;
    rq_k_store(y, i, out_type, &sum);
}

/* Vector i of [n][pixels][c / 8]. */
RQ_KFN void rq_k_gap_grad(const void *dy, int64_t i, int type, int64_t pixels, int64_t channels,
                          void *dx)
{
    const int64_t vecs = channels / RQ_K_VEC;
    rq_k_vec g = rq_k_load(dy, i / vecs / pixels * vecs + i % vecs, type);

    for (int j = 0; j < RQ_K_VEC; j++)
        g.v[j] /= (float)pixels;
    rq_k_store(dx, i, type, &g);
}

/* ---- input, conversion, bias ------------------------------------------------------------- */

/* Pixel i: three bytes to RQ_K_VEC channels, of which the last five are 0. table[3][256]: each
 * byte's value, so that the values are those of the CPU. */
RQ_KFN void rq_k_normalise(const uint8_t *images, int64_t i, const float *table, void *y,
                           int type)
{
    rq_k_vec v = {{0}};

    for (int c = 0; c < 3; c++)
        v.v[c] = table[256 * c + images[3 * i + c]];
    rq_k_store(y, i, type, &v);
}

/* Number i. */
RQ_KFN void rq_k_convert(void *dst, int dst_type, const void *src, int src_type, int64_t i)
{
    rq_k_put(dst, i, dst_type, rq_k_get(src, i, src_type));
}

/* dst += a bf16 gradient that cuDNN left. */
RQ_KFN void rq_k_accumulate(float *dst, const void *src, int type, int64_t i)
{
    dst[i] += rq_k_get(src, i, type);
}

/* Number i of [rows][width]. */
RQ_KFN void rq_k_bias(void *y, int type, const float *bias, int64_t i, int width)
{
    rq_k_put(y, i, type, rq_k_get(y, i, type) + bias[i % width]);
}

/* Columns of a block and the threads of each: as many as finish a BatchNorm. shared: doubles,
 * one per thread. */
RQ_KFN void rq_k_bias_load(const void *dy, int type, int64_t rows, int width, int64_t column,
                           int thread, double *shared)
{
    double sum = 0;

    for (int64_t r = thread / RQ_K_FINISH_LANES; r < rows && column < width;
         r += RQ_K_FINISH_SLOTS)
        sum += (double)rq_k_get(dy, r * width + column, type);
    shared[thread] = sum;
}

RQ_KFN void rq_k_bias_fold(double *shared, int thread, int half)
{
    if (thread / RQ_K_FINISH_LANES < half)
        shared[thread] += shared[thread + half * RQ_K_FINISH_LANES];
}

#endif
