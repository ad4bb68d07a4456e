// SPDX-License-Identifier: Apache-2.0
//
// The GPU's kernels on the CPU: their bodies are called block by block and thread by thread,
// with the phases that barriers separate one after the other, over poisoned outputs with guard
// bands, and compared with the reference backend. Also that no order of blocks or threads
// within a phase changes a bit.
#include "tests/unit/test.h"

#include "augment/recipe.h"
#include "common/mem.h"
#include "common/rng.h"
#include "train/backend_ops.h"
#include "train/kernel_body.h"

#include <float.h>

enum { GUARD = 64, POISON = 0xFF };

/* ---- memory with guards ------------------------------------------------------------------ */

typedef struct block {
    uint8_t *all, *data;
    size_t bytes;
} block;

static block take(size_t bytes)
{
    block b = {.bytes = bytes};

    b.all = rq_alloc(1, bytes + 2 * GUARD);
    assert_non_null(b.all);
    memset(b.all, POISON, bytes + 2 * GUARD);
    b.data = b.all + GUARD;
    return b;
}

static void give(block *b)
{
    for (size_t i = 0; i < GUARD; i++) {
        assert_int_equal(b->all[i], POISON);
        assert_int_equal(b->data[b->bytes + i], POISON);
    }
    rq_free(b->all);
}

static float *floats(const block *b)
{
    return (float *)(void *)b->data;
}

static float get(const block *b, size_t i, int type)
{
    return rq_k_get(b->data, (int64_t)i, type);
}

static size_t bytes_of(int type)
{
    return type == RQ_K_F32 ? 4 : 2;
}

/* Numbers around `mean`, exact in the type. */
static block numbers(rq_rng *r, size_t n, int type, float mean)
{
    block b = take(n * bytes_of(type));

    for (size_t i = 0; i < n; i++)
        rq_k_put(b.data, (int64_t)i, type,
                 mean + (float)rq_rng_below(r, 2001) / 1000.0f - 1.0f);
    return b;
}

static block copy(const block *b)
{
    block c = take(b->bytes);

    memcpy(c.data, b->data, b->bytes);
    return c;
}

static void assert_near(const block *got, const block *want, size_t n, int type, double bound)
{
    for (size_t i = 0; i < n; i++) {
        const double a = (double)get(got, i, type), b = (double)get(want, i, type);
        if (!(fabs(a - b) <= bound * (1 + fabs(b))))
            fail_msg("number %zu of %zu is %.9g, not %.9g", i, n, a, b);
    }
}

/* One step of bf16, where sums that differ by rounding may land. */
static double bound_of(int type)
{
    return type == RQ_K_F32 ? 2e-5 : 1.0 / 128;
}

/* ---- the machine ------------------------------------------------------------------------- */

/* Runs the threads of a phase, forwards or backwards: on a GPU any order may happen. */
typedef struct machine {
    bool reverse;
} machine;

static int nth(const machine *m, int i, int n)
{
    return m->reverse ? n - 1 - i : i;
}

typedef void (*tile_fn)(const rq_k_bn *k, const rq_k_place *p, int type, float *shared,
                        int thread);

static void apply_fn(const rq_k_bn *k, const rq_k_place *p, int type, float *shared, int thread)
{
    rq_k_bn_apply(k, p, type);
}

static void gradient_fn(const rq_k_bn *k, const rq_k_place *p, int type, float *shared,
                        int thread)
{
    rq_k_bn_gradient(k, p, type);
}

/* One block of a tiled kernel. */
static void run_block(const machine *m, const rq_k_bn *k, tile_fn fn, bool sums, int type,
                      int64_t chunk, int tile, int group)
{
    static float shared[RQ_K_SHARED_FLOATS];
    const rq_k_tile *t = &k->t;

    memset(shared, POISON, sizeof shared);
    for (int i = 0; i < RQ_K_THREADS; i++) {
        const int thread = nth(m, i, RQ_K_THREADS);
        const rq_k_place p = rq_k_where(t, chunk, tile, group, thread);
        fn(k, &p, type, shared, thread);
    }
    for (int half = t->slots / 2; half > 0 && sums; half /= 2) {
        for (int i = 0; i < RQ_K_THREADS; i++)
            rq_k_fold(shared, t, nth(m, i, RQ_K_THREADS), half);
    }
    for (int i = 0; i < RQ_K_THREADS && sums; i++) {
        const int thread = nth(m, i, RQ_K_THREADS);
        const rq_k_place p = rq_k_where(t, chunk, tile, group, thread);
        rq_k_put_partial(shared, t, &p, thread, k->partial);
    }
}

static void run_tiles(const machine *m, const rq_k_bn *k, tile_fn fn, bool sums, int type)
{
    const int blocks = (int)k->t.chunks * k->t.tiles * k->t.groups;

    for (int i = 0; i < blocks; i++) {
        const int b = nth(m, i, blocks), chunk = b % (int)k->t.chunks;
        const int tile = b / (int)k->t.chunks % k->t.tiles;
        run_block(m, k, fn, sums, type, chunk, tile, b / (int)k->t.chunks / k->t.tiles);
    }
}

/* One block of the kernels that finish a BatchNorm. */
static void finish_block(const machine *m, const rq_k_bn *k, bool backward, int type, int index)
{
    static double shared[RQ_K_FINISH_DOUBLES];
    const int64_t first = (int64_t)index * RQ_K_FINISH_LANES;

    for (int g = 0; g < k->t.groups; g++) {
        memset(shared, POISON, sizeof shared);
        for (int i = 0; i < RQ_K_THREADS; i++) {
            const int t = nth(m, i, RQ_K_THREADS);
            rq_k_finish_load(k, g, first + t % RQ_K_FINISH_LANES, t, shared);
        }
        for (int half = RQ_K_FINISH_SLOTS / 2; half > 0; half /= 2) {
            for (int i = 0; i < RQ_K_THREADS; i++)
                rq_k_finish_fold(shared, nth(m, i, RQ_K_THREADS), half);
        }
        for (int i = 0; i < RQ_K_THREADS; i++) {
            const int t = nth(m, i, RQ_K_THREADS);
            if (backward)
                rq_k_finish_sums(k, g, first + t % RQ_K_FINISH_LANES, t, shared);
            else
                rq_k_finish_stats(k, type, g, first + t % RQ_K_FINISH_LANES, t, shared);
        }
    }
}

static void finish(const machine *m, const rq_k_bn *k, bool backward, int type)
{
    const int blocks = (k->t.channels + RQ_K_FINISH_LANES - 1) / RQ_K_FINISH_LANES;

    for (int i = 0; i < blocks; i++)
        finish_block(m, k, backward, type, nth(m, i, blocks));
}

static void bn_tables(const rq_k_bn *k, int evaluate)
{
    for (int64_t i = 0; i < (int64_t)k->t.groups * k->t.channels; i++)
        rq_k_bn_table(k, i, evaluate);
}

/* ---- BatchNorm --------------------------------------------------------------------------- */

static rq_backend *ref;

typedef struct bn_case {
    int groups;
    size_t rows;
    int channels;
    bool relu, residual, dy2, keep_g;
    float mean;
} bn_case;

static const bn_case bn_cases[] = {
    {1, 1, 8, true, false, false, false, 0},      /* one pixel */
    {2, 37, 8, false, false, false, false, 0},    /* fewer channels than a lane's share */
    {3, 131, 24, true, false, true, true, 0},     /* lanes without channels, a short chunk */
    {4, 1500, 64, true, true, false, true, 0.5f}, /* several chunks */
    {2, 300, 264, true, true, true, true, -3},    /* two tiles, the second nearly empty */
    {1, 5000, 16, true, false, false, false, 60}, /* the mean is 100 deviations */
    {2, 64, 512, false, true, false, true, 0},
};

typedef struct bn_data {
    size_t n, table;
    block x, residual, dy, dy2, scale, shift;
    block y, save, mean, var, g, dx, dscale, dshift, scratch; /* of the kernels */
} bn_data;

static bn_data make_data(const bn_case *c, int type, uint64_t seed)
{
    rq_rng r = rq_rng_make(seed, 0, 0, 0, 0);
    bn_data d = {.n = (size_t)c->groups * c->rows * (size_t)c->channels,
                 .table = (size_t)c->groups * (size_t)c->channels};
    const size_t channels = (size_t)c->channels;

    d.x = numbers(&r, d.n, type, c->mean);
    d.residual = numbers(&r, d.n, type, 0);
    d.dy = numbers(&r, d.n, type, 0);
    d.dy2 = numbers(&r, d.n, type, 0);
    d.scale = numbers(&r, channels, RQ_K_F32, 1.5f);
    d.shift = numbers(&r, channels, RQ_K_F32, 0);
    d.mean = numbers(&r, channels, RQ_K_F32, 0);
    d.var = numbers(&r, channels, RQ_K_F32, 2);
    d.dscale = numbers(&r, channels, RQ_K_F32, 0);
    d.dshift = numbers(&r, channels, RQ_K_F32, 0);
    d.y = take(d.n * bytes_of(type));
    d.g = take(d.n * bytes_of(type));
    d.dx = take(d.n * bytes_of(type));
    d.save = take(2 * d.table * sizeof(float));
    return d;
}

static void free_data(bn_data *d)
{
    block *all[] = {&d->x,     &d->residual, &d->dy,  &d->dy2,    &d->scale,
                    &d->shift, &d->mean,     &d->var, &d->dscale, &d->dshift,
                    &d->y,     &d->g,        &d->dx,  &d->save,   &d->scratch};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        give(all[i]);
}

/* The arguments of all kernels of a case. */
static rq_k_bn make_args(const bn_case *c, bn_data *d)
{
    rq_k_bn k = {.t = rq_k_make_tile(c->groups, (int64_t)c->rows, c->channels),
                 .relu = c->relu,
                 .mask = !c->relu      ? RQ_K_MASK_NONE
                         : c->residual ? RQ_K_MASK_Y
                                       : RQ_K_MASK_X,
                 .x = d->x.data,
                 .residual = c->residual ? d->residual.data : NULL,
                 .y = d->y.data,
                 .dy = d->dy.data,
                 .dy2 = c->dy2 ? d->dy2.data : NULL,
                 .out = d->y.data,
                 .g = c->keep_g ? d->g.data : NULL,
                 .scale = floats(&d->scale),
                 .shift = floats(&d->shift),
                 .save = floats(&d->save),
                 .running_mean = floats(&d->mean),
                 .running_var = floats(&d->var),
                 .dscale = floats(&d->dscale),
                 .dshift = floats(&d->dshift),
                 .eps = RQ_BN_EPS,
                 .momentum = RQ_BN_MOMENTUM};

    d->scratch = take((5 + 2 * (size_t)k.t.chunks) * d->table * sizeof(float));
    float **const tables[] = {&k.a, &k.b, &k.ca, &k.cb, &k.cc, &k.partial};
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        *tables[i] = floats(&d->scratch) + i * d->table;
    return k;
}

static void run_forward(const machine *m, rq_k_bn k, int type)
{
    run_tiles(m, &k, rq_k_bn_stats, true, type);
    finish(m, &k, false, type);
    run_tiles(m, &k, apply_fn, false, type);
}

static void run_backward(const machine *m, rq_k_bn k, void *dx, int type)
{
    k.out = dx;
    bn_tables(&k, 0);
    run_tiles(m, &k, rq_k_bn_reduce, true, type);
    finish(m, &k, true, type);
    run_tiles(m, &k, gradient_fn, false, type);
}

static rq_bn_shape shape_of(const bn_case *c, int type)
{
    return (rq_bn_shape){.groups = c->groups,
                         .rows = c->rows,
                         .channels = c->channels,
                         .type = type == RQ_K_F32 ? RQ_DTYPE_F32 : RQ_DTYPE_BF16,
                         .relu = c->relu,
                         .residual = c->residual};
}

static void check_forward(const bn_case *c, int type)
{
    const rq_bn_shape shape = shape_of(c, type);
    const machine m = {false};
    bn_data d = make_data(c, type, 7);
    block y = take(d.y.bytes), save = take(d.save.bytes);
    block mean = copy(&d.mean), var = copy(&d.var);
    void *scratch = rq_alloc(1, ref->ops->bn_scratch(ref, &shape));
    const rq_bn_forward a = {.x = d.x.data,
                             .residual = c->residual ? d.residual.data : NULL,
                             .y = y.data,
                             .scale = floats(&d.scale),
                             .shift = floats(&d.shift),
                             .save = floats(&save),
                             .mean = floats(&mean),
                             .var = floats(&var)};

    ref->ops->bn_forward(ref, &shape, &a, scratch);
    run_forward(&m, make_args(c, &d), type);
    assert_near(&d.save, &save, 2 * d.table, RQ_K_F32, 2e-5);
    assert_near(&d.mean, &mean, (size_t)c->channels, RQ_K_F32, 1e-6);
    assert_near(&d.var, &var, (size_t)c->channels, RQ_K_F32, 1e-5);
    assert_near(&d.y, &y, d.n, type, bound_of(type) + (c->mean > 50 ? 1e-3 : 0));
    rq_free(scratch);
    give(&y), give(&save), give(&mean), give(&var);
    free_data(&d);
}

static void check_backward(const bn_case *c, int type)
{
    const rq_bn_shape shape = shape_of(c, type);
    const machine m = {false};
    bn_data d = make_data(c, type, 11);
    rq_k_bn k = make_args(c, &d);
    block dx = take(d.dx.bytes), g = take(d.g.bytes);
    block dscale = copy(&d.dscale), dshift = copy(&d.dshift);
    void *scratch = rq_alloc(1, ref->ops->bn_scratch(ref, &shape));

    run_forward(&m, k, type); /* both from the same forward */
    const rq_bn_backward a = {.x = d.x.data,
                              .y = d.y.data,
                              .dy = d.dy.data,
                              .dy2 = c->dy2 ? d.dy2.data : NULL,
                              .g = c->keep_g ? g.data : NULL,
                              .dx = dx.data,
                              .scale = floats(&d.scale),
                              .shift = floats(&d.shift),
                              .save = floats(&d.save),
                              .dscale = floats(&dscale),
                              .dshift = floats(&dshift)};
    ref->ops->bn_backward(ref, &shape, &a, scratch);
    run_backward(&m, k, d.dx.data, type);
    if (c->keep_g)
        assert_memory_equal(d.g.data, g.data, g.bytes);
    /* the reference sums g before it is rounded; the roundings add up like a random walk */
    const bool rounded = type == RQ_K_BF16 && c->dy2;
    const double wide = c->mean > 50 ? 1e-3 : 0;
    const double sums =
        1e-4 + wide + (rounded ? sqrt((double)c->groups * (double)c->rows) / 256 : 0);
    assert_near(&d.dscale, &dscale, (size_t)c->channels, RQ_K_F32, sums);
    assert_near(&d.dshift, &dshift, (size_t)c->channels, RQ_K_F32, sums);
    assert_near(&d.dx, &dx, d.n, type, bound_of(type) + wide);
    rq_free(scratch);
    give(&dx), give(&g), give(&dscale), give(&dshift);
    free_data(&d);
}

static void batchnorm_is_that_of_the_reference(void **state)
{
    for (size_t i = 0; i < sizeof bn_cases / sizeof bn_cases[0]; i++) {
        for (int type = RQ_K_F32; type <= RQ_K_BF16; type++)
            check_forward(&bn_cases[i], type);
    }
}

static void its_gradient_is_that_of_the_reference(void **state)
{
    for (size_t i = 1; i < sizeof bn_cases / sizeof bn_cases[0]; i++) {
        for (int type = RQ_K_F32; type <= RQ_K_BF16; type++)
            check_backward(&bn_cases[i], type);
    }
}

static void evaluation_is_that_of_the_reference(void **state)
{
    const bn_case c = {1, 77, 40, true, true, false, false, 0};

    for (int type = RQ_K_F32; type <= RQ_K_BF16; type++) {
        const rq_bn_shape shape = shape_of(&c, type);
        const machine m = {false};
        bn_data d = make_data(&c, type, 3);
        const rq_k_bn k = make_args(&c, &d);
        block y = take(d.y.bytes);
        void *scratch = rq_alloc(1, ref->ops->bn_scratch(ref, &shape));
        const rq_bn_forward a = {.x = d.x.data,
                                 .residual = d.residual.data,
                                 .y = y.data,
                                 .scale = floats(&d.scale),
                                 .shift = floats(&d.shift),
                                 .mean = floats(&d.mean),
                                 .var = floats(&d.var)};
        ref->ops->bn_eval(ref, &shape, &a, scratch);
        bn_tables(&k, 1);
        run_tiles(&m, &k, apply_fn, false, type);
        assert_near(&d.y, &y, d.n, type, bound_of(type));
        rq_free(scratch);
        give(&y);
        free_data(&d);
    }
}

static void no_order_of_threads_changes_a_bit(void **state)
{
    const bn_case *c = &bn_cases[3];

    for (int type = RQ_K_F32; type <= RQ_K_BF16; type++) {
        const machine one = {false}, other = {true};
        bn_data a = make_data(c, type, 5), b = make_data(c, type, 5);
        rq_k_bn ka = make_args(c, &a), kb = make_args(c, &b);
        run_forward(&one, ka, type);
        run_backward(&one, ka, a.dx.data, type);
        run_forward(&other, kb, type);
        run_backward(&other, kb, b.dx.data, type);
        assert_memory_equal(a.y.data, b.y.data, a.y.bytes);
        assert_memory_equal(a.dx.data, b.dx.data, a.dx.bytes);
        assert_memory_equal(a.dscale.data, b.dscale.data, a.dscale.bytes);
        assert_memory_equal(a.mean.data, b.mean.data, a.mean.bytes);
        free_data(&a);
        free_data(&b);
    }
}

/* In place, as the layer graph asks for it: g over dy, dx over g. */
static void gradients_may_be_in_place(void **state)
{
    const bn_case *c = &bn_cases[4];
    const machine m = {false};
    bn_data a = make_data(c, RQ_K_BF16, 5), b = make_data(c, RQ_K_BF16, 5);
    rq_k_bn ka = make_args(c, &a), kb = make_args(c, &b);

    run_forward(&m, ka, RQ_K_BF16);
    run_backward(&m, ka, a.dx.data, RQ_K_BF16);
    run_forward(&m, kb, RQ_K_BF16);
    kb.g = b.dy.data;
    run_backward(&m, kb, b.dy.data, RQ_K_BF16);
    assert_memory_equal(a.dx.data, b.dy.data, a.dx.bytes);
    free_data(&a);
    free_data(&b);
}

/* ---- tiles ------------------------------------------------------------------------------- */

static void tiles_cover_everything_once(void **state)
{
    static const struct {
        int groups, channels;
        int64_t rows;
    } shapes[] = {{4, 64, 802816},         {4, 2048, 3136}, {2, 8, 1}, {1, 264, 1000},
                  {4, 64, 3456LL * 12544}, {2, 4096, 512},  {1, 24, 7}};

    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const rq_k_tile t =
            rq_k_make_tile(shapes[i].groups, shapes[i].rows, shapes[i].channels);
        assert_int_equal(t.lanes * t.slots, RQ_K_THREADS);
        assert_int_equal(t.lanes & (t.lanes - 1), 0);
        assert_true((int64_t)t.tiles * t.lanes * RQ_K_VEC >= t.channels);
        assert_true((int64_t)(t.tiles - 1) * t.lanes * RQ_K_VEC < t.channels);
        assert_true(t.chunks * t.chunk >= t.rows && (t.chunks - 1) * t.chunk < t.rows);
        assert_true(t.chunk / t.slots <= 32);
        assert_true(t.chunks < INT32_MAX && t.tiles < 65536 && t.groups < 65536);
    }
    /* beyond 2^31 numbers */
    const rq_k_tile t = rq_k_make_tile(4, 3456LL * 12544, 64);
    const rq_k_place p = rq_k_where(&t, t.chunks - 1, 0, 3, RQ_K_THREADS - 1);
    assert_true(rq_k_at(&p, t.rows - 1) * RQ_K_VEC + RQ_K_VEC == 4 * 3456LL * 12544 * 64);
}

/* ---- the others -------------------------------------------------------------------------- */

static void check_pool(int n, int h, int w, int c, bool two, int type)
{
    const int oh = (h - 1) / 2 + 1, ow = (w - 1) / 2 + 1;
    const rq_pool_shape shape = {.n = n,
                                 .h = h,
                                 .w = w,
                                 .c = c,
                                 .oh = oh,
                                 .ow = ow,
                                 .type = type == RQ_K_F32 ? RQ_DTYPE_F32 : RQ_DTYPE_BF16};
    const size_t in = (size_t)(n * h * w * c), out = (size_t)(n * oh * ow * c);
    rq_rng r = rq_rng_make(9, 0, 0, 0, 0);
    block x = numbers(&r, in, type, 0), dy = numbers(&r, out, type, 0);
    block dy2 = numbers(&r, out, type, 0), y = take(out * bytes_of(type));
    block y2 = take(out * bytes_of(type)), where = take(out), where2 = take(out);
    block dx = take(in * bytes_of(type)), dx2 = take(in * bytes_of(type));
    const rq_k_pool k = {.n = n,
                         .h = h,
                         .w = w,
                         .c = c,
                         .oh = oh,
                         .ow = ow,
                         .x = x.data,
                         .y = y.data,
                         .dy = dy.data,
                         .dy2 = two ? dy2.data : NULL,
                         .dx = dx.data,
                         .where = where.data};

    for (size_t i = 0; i < out / RQ_K_VEC; i++)
        rq_k_maxpool(&k, (int64_t)i, type);
    for (size_t i = 0; i < in / RQ_K_VEC; i++)
        rq_k_maxpool_grad(&k, (int64_t)i, type);
    ref->ops->maxpool_forward(ref, &shape, x.data, y2.data, where2.data);
    ref->ops->maxpool_backward(ref, &shape, where2.data, dy.data, two ? dy2.data : NULL,
                               dx2.data);
    assert_memory_equal(y.data, y2.data, y.bytes);
    assert_memory_equal(where.data, where2.data, where.bytes);
    assert_near(&dx, &dx2, in, type, bound_of(type));
    block *all[] = {&x, &dy, &dy2, &y, &y2, &where, &where2, &dx, &dx2};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        give(all[i]);
}

static void max_pooling_is_that_of_the_reference(void **state)
{
    for (int type = RQ_K_F32; type <= RQ_K_BF16; type++) {
        check_pool(2, 8, 8, 16, false, type);
        check_pool(1, 7, 9, 8, true, type);
        check_pool(3, 1, 2, 24, true, type);
    }
}

static void mean_pooling_is_that_of_the_reference(void **state)
{
    enum { N = 3, PIXELS = 49, C = 24 };

    for (int t = 0; t < 4; t++) {
        const int type = t & 1, out_type = t >> 1;
        const rq_dtype rt = type == RQ_K_F32 ? RQ_DTYPE_F32 : RQ_DTYPE_BF16;
        const rq_dtype ro = out_type == RQ_K_F32 ? RQ_DTYPE_F32 : RQ_DTYPE_BF16;
        rq_rng r = rq_rng_make(2, 0, 0, 0, 0);
        block x = numbers(&r, N * PIXELS * C, type, 0), dy = numbers(&r, N * C, type, 0);
        block y = take(N * C * bytes_of(out_type)), y2 = take(N * C * bytes_of(out_type));
        block dx = take(x.bytes), dx2 = take(x.bytes);
        for (int i = 0; i < N * C / RQ_K_VEC; i++)
            rq_k_gap(x.data, i, type, PIXELS, C, y.data, out_type);
        for (int i = 0; i < N * PIXELS * C / RQ_K_VEC; i++)
            rq_k_gap_grad(dy.data, i, type, PIXELS, C, dx.data);
        ref->ops->gap_forward(ref, x.data, rt, N, PIXELS, C, y2.data, ro);
        ref->ops->gap_backward(ref, dy.data, rt, N, PIXELS, C, dx2.data);
        assert_near(&y, &y2, N * C, out_type, bound_of(out_type));
        assert_near(&dx, &dx2, N * PIXELS * C, type, bound_of(type));
        give(&x), give(&dy), give(&y), give(&y2), give(&dx), give(&dx2);
    }
}

static void images_are_those_of_the_reference(void **state)
{
    enum { PIXELS = 256 };
    uint8_t images[3 * PIXELS];
    float table[3 * 256];

    for (int c = 0; c < 3; c++) {
        for (int v = 0; v < 256; v++)
            table[256 * c + v] =
                (float)((v / 255.0 - (double)rq_imagenet_mean[c]) / (double)rq_imagenet_std[c]);
    }
    for (int i = 0; i < 3 * PIXELS; i++)
        images[i] = (uint8_t)(i / 3 + 85 * (i % 3));
    for (int type = RQ_K_F32; type <= RQ_K_BF16; type++) {
        block y = take(PIXELS * RQ_K_VEC * bytes_of(type));
        block want = take(PIXELS * 3 * bytes_of(type));
        for (int i = 0; i < PIXELS; i++)
            rq_k_normalise(images, i, table, y.data, type);
        ref->ops->normalise(ref, images, PIXELS, want.data,
                            type == RQ_K_F32 ? RQ_DTYPE_F32 : RQ_DTYPE_BF16);
        for (size_t i = 0; i < PIXELS; i++) {
            for (size_t c = 0; c < RQ_K_VEC; c++)
                assert_true(get(&y, i * RQ_K_VEC + c, type) ==
                            (c < 3 ? get(&want, 3 * i + c, type) : 0.0f));
        }
        give(&y), give(&want);
    }
}

static void biases_and_conversions_are_those_of_the_reference(void **state)
{
    enum { ROWS = 67, WIDTH = 13, N = ROWS * WIDTH };

    for (int type = RQ_K_F32; type <= RQ_K_BF16; type++) {
        const rq_dtype rt = type == RQ_K_F32 ? RQ_DTYPE_F32 : RQ_DTYPE_BF16;
        rq_rng r = rq_rng_make(4, 0, 0, 0, 0);
        block y = numbers(&r, N, type, 0), y2 = copy(&y);
        block bias = numbers(&r, WIDTH, RQ_K_F32, 0), db = copy(&bias), db2 = copy(&bias);
        block narrow = take(N * 2), narrow2 = take(N * 2), sum = numbers(&r, N, RQ_K_F32, 0);
        block sum2 = copy(&sum);
        double shared[RQ_K_THREADS];
        for (int b = 0; b < (WIDTH + RQ_K_FINISH_LANES - 1) / RQ_K_FINISH_LANES; b++) {
            const int first = b * RQ_K_FINISH_LANES;
            for (int t = RQ_K_THREADS; t-- > 0;)
                rq_k_bias_load(y.data, type, ROWS, WIDTH, first + t % RQ_K_FINISH_LANES, t,
                               shared);
            for (int half = RQ_K_FINISH_SLOTS / 2; half > 0; half /= 2) {
                for (int t = RQ_K_THREADS; t-- > 0;)
                    rq_k_bias_fold(shared, t, half);
            }
            for (int t = 0; t < RQ_K_FINISH_LANES && first + t < WIDTH; t++)
                floats(&db)[first + t] += (float)shared[t];
        }
        ref->ops->bias_backward(ref, y.data, rt, floats(&db2), ROWS, WIDTH);
        assert_near(&db, &db2, WIDTH, RQ_K_F32, 1e-6);
        for (int i = 0; i < N; i++) {
            floats(&sum2)[i] += get(&y, (size_t)i, type);
            rq_k_accumulate(floats(&sum), y.data, type, i);
            rq_k_convert(narrow.data, RQ_K_BF16, y.data, type, i);
        }
        ref->ops->convert(ref, narrow2.data, RQ_DTYPE_BF16, y.data, rt, N);
        assert_memory_equal(narrow.data, narrow2.data, narrow.bytes);
        assert_memory_equal(sum.data, sum2.data, sum.bytes);
        for (int i = 0; i < N; i++)
            rq_k_bias(y.data, type, floats(&bias), i, WIDTH);
        ref->ops->bias_forward(ref, y2.data, rt, floats(&bias), ROWS, WIDTH);
        assert_near(&y, &y2, N, type, type == RQ_K_F32 ? 1e-7 : bound_of(type));
        give(&y), give(&y2), give(&bias), give(&db), give(&db2), give(&narrow), give(&narrow2);
        give(&sum), give(&sum2);
    }
}

/* The number format, against its definition: all of bf16, and every tie. */
static void bf16_rounds_to_nearest_even(void **state)
{
    for (uint32_t h = 0; h < 0x10000; h++) {
        const float f = rq_k_widen((uint16_t)h);
        if (f != f)
            continue;
        assert_int_equal(rq_k_narrow(f), h);
        if ((h & 0x7F80) == 0x7F80)
            continue;
        uint32_t u = h << 16 | 0x8000; /* halfway to the next */
        float tie;
        memcpy(&tie, &u, sizeof tie);
        assert_int_equal(rq_k_narrow(tie), h + (h & 1));
    }
    assert_int_equal(rq_k_narrow(INFINITY), 0x7F80);
    assert_int_equal(rq_k_narrow(FLT_MAX), 0x7F80);
    const float quiet = rq_k_widen(rq_k_narrow(NAN));
    assert_true(quiet != quiet);
}

static int setup(void **state)
{
    const rq_backend_opts o = {.threads = 1};

    return rq_backend_create(&ref, "ref", &o, NULL) == RQ_OK ? 0 : -1;
}

static int teardown(void **state)
{
    rq_backend_destroy(&ref);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiles_cover_everything_once),
        cmocka_unit_test(batchnorm_is_that_of_the_reference),
        cmocka_unit_test(its_gradient_is_that_of_the_reference),
        cmocka_unit_test(evaluation_is_that_of_the_reference),
        cmocka_unit_test(no_order_of_threads_changes_a_bit),
        cmocka_unit_test(gradients_may_be_in_place),
        cmocka_unit_test(max_pooling_is_that_of_the_reference),
        cmocka_unit_test(mean_pooling_is_that_of_the_reference),
        cmocka_unit_test(images_are_those_of_the_reference),
        cmocka_unit_test(biases_and_conversions_are_those_of_the_reference),
        cmocka_unit_test(bf16_rounds_to_nearest_even),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
