// SPDX-License-Identifier: Apache-2.0
//
// The kernels and their launches. A kernel is a loop of train/kernel_body.h's functions with
// barriers between their phases; the element type is its only template parameter, everything
// else is the same for all threads and costs a branch. Every block's work and every order of
// sums is a function of the shape.
#include "train/cuda/kernels.h"

#include "train/kernel_body.h"

#include <cuda_runtime_api.h>

static_assert((int)RQ_DTYPE_F32 == (int)RQ_K_F32 && (int)RQ_DTYPE_BF16 == (int)RQ_K_BF16,
              "types have one numbering");

/* Four blocks per multiprocessor at least: 64 registers. */
#define SMALL __launch_bounds__(RQ_K_THREADS, 4)
/* Three: 80 registers. */
#define LARGE __launch_bounds__(RQ_K_THREADS, 3)
/* Two: 128 registers. */
#define WIDEST __launch_bounds__(RQ_K_THREADS, 2)

static __device__ __forceinline__ rq_k_place here(const rq_k_tile &t)
{
    return rq_k_where(&t, blockIdx.x, (int)blockIdx.y, (int)blockIdx.z, (int)threadIdx.x);
}

static __device__ __forceinline__ int64_t index_of_thread()
{
    return (int64_t)blockIdx.x * RQ_K_THREADS + threadIdx.x;
}

static __device__ __forceinline__ void sum_up(float *shared, const rq_k_tile &t,
                                              const rq_k_place &p, float *partial)
{
    for (int half = t.slots / 2; half > 0; half /= 2) {
        __syncthreads();
        rq_k_fold(shared, &t, (int)threadIdx.x, half);
    }
    __syncthreads();
    rq_k_put_partial(shared, &t, &p, (int)threadIdx.x, partial);
}

/* ---- BatchNorm --------------------------------------------------------------------------- */

template <int T> __global__ void SMALL bn_stats(const __grid_constant__ rq_k_bn k)
{
    __shared__ float shared[RQ_K_SHARED_FLOATS];
    const rq_k_place p = here(k.t);

    rq_k_bn_stats(&k, &p, T, shared, (int)threadIdx.x);
    sum_up(shared, k.t, p, k.partial);
}

template <int T> __global__ void SMALL bn_apply(const __grid_constant__ rq_k_bn k)
{
    const rq_k_place p = here(k.t);

    rq_k_bn_apply(&k, &p, T);
}

template <int T> __global__ void LARGE bn_reduce(const __grid_constant__ rq_k_bn k)
{
    __shared__ float shared[RQ_K_SHARED_FLOATS];
    const rq_k_place p = here(k.t);

    rq_k_bn_reduce(&k, &p, T, shared, (int)threadIdx.x);
    sum_up(shared, k.t, p, k.partial);
}

template <int T> __global__ void WIDEST bn_gradient(const __grid_constant__ rq_k_bn k)
{
    const rq_k_place p = here(k.t);

    rq_k_bn_gradient(&k, &p, T);
}

static __device__ __forceinline__ int64_t finish_channel()
{
    return (int64_t)blockIdx.x * RQ_K_FINISH_LANES + threadIdx.x % RQ_K_FINISH_LANES;
}

/* The group's two sums, in the first slot's places; the caller's next barrier frees shared. */
static __device__ __forceinline__ void collect(const rq_k_bn &k, int group, int64_t channel,
                                               double *shared)
{
    __syncthreads();
    rq_k_finish_load(&k, group, channel, (int)threadIdx.x, shared);
    for (int half = RQ_K_FINISH_SLOTS / 2; half > 0; half /= 2) {
        __syncthreads();
        rq_k_finish_fold(shared, (int)threadIdx.x, half);
    }
    __syncthreads();
}

template <int T> __global__ void WIDEST bn_finish_stats(const __grid_constant__ rq_k_bn k)
{
    __shared__ double shared[RQ_K_FINISH_DOUBLES];
    const int64_t channel = finish_channel();

    for (int g = 0; g < k.t.groups; g++) {
        collect(k, g, channel, shared);
        rq_k_finish_stats(&k, T, g, channel, (int)threadIdx.x, shared);
    }
}

__global__ void WIDEST bn_finish_sums(const __grid_constant__ rq_k_bn k)
{
    __shared__ double shared[RQ_K_FINISH_DOUBLES];
    const int64_t channel = finish_channel();

    for (int g = 0; g < k.t.groups; g++) {
        collect(k, g, channel, shared);
        rq_k_finish_sums(&k, g, channel, (int)threadIdx.x, shared);
    }
}

__global__ void SMALL bn_table(const __grid_constant__ rq_k_bn k, int evaluate)
{
    const int64_t i = index_of_thread();

    if (i < (int64_t)k.t.groups * k.t.channels)
        rq_k_bn_table(&k, i, evaluate);
}

/* ---- the others -------------------------------------------------------------------------- */

template <int T>
__global__ void SMALL maxpool(const __grid_constant__ rq_k_pool k, int64_t vecs)
{
    const int64_t i = index_of_thread();

    if (i < vecs)
        rq_k_maxpool(&k, i, T);
}

template <int T>
__global__ void LARGE maxpool_grad(const __grid_constant__ rq_k_pool k, int64_t vecs)
{
    const int64_t i = index_of_thread();

    if (i < vecs)
        rq_k_maxpool_grad(&k, i, T);
}

template <int T, int OUT>
__global__ void SMALL gap(const void *x, int64_t vecs, int64_t pixels, int64_t channels,
                          void *y)
{
    const int64_t i = index_of_thread();

    if (i < vecs)
        rq_k_gap(x, i, T, pixels, channels, y, OUT);
}

template <int T>
__global__ void SMALL gap_grad(const void *dy, int64_t vecs, int64_t pixels, int64_t channels,
                               void *dx)
{
    const int64_t i = index_of_thread();

    if (i < vecs)
        rq_k_gap_grad(dy, i, T, pixels, channels, dx);
}

template <int T>
__global__ void SMALL normalise(const uint8_t *images, int64_t pixels, const float *table,
                                void *y)
{
    const int64_t i = index_of_thread();

    if (i < pixels)
        rq_k_normalise(images, i, table, y, T);
}

template <int DST, int SRC> __global__ void SMALL convert(void *dst, const void *src, int64_t n)
{
    const int64_t i = index_of_thread();

    if (i < n)
        rq_k_convert(dst, DST, src, SRC, i);
}

template <int T> __global__ void SMALL accumulate(float *dst, const void *src, int64_t n)
{
    const int64_t i = index_of_thread();

    if (i < n)
        rq_k_accumulate(dst, src, T, i);
}

template <int T>
__global__ void SMALL bias_forward(void *y, const float *bias, int64_t n, int width)
{
    const int64_t i = index_of_thread();

    if (i < n)
        rq_k_bias(y, T, bias, i, width);
}

template <int T>
__global__ void SMALL bias_backward(const void *dy, int64_t rows, int width, float *db)
{
    __shared__ double shared[RQ_K_THREADS];
    const int64_t column = finish_channel();
    const int thread = (int)threadIdx.x;

    rq_k_bias_load(dy, T, rows, width, column, thread, shared);
    for (int half = RQ_K_FINISH_SLOTS / 2; half > 0; half /= 2) {
        __syncthreads();
        rq_k_bias_fold(shared, thread, half);
    }
    if (thread < RQ_K_FINISH_LANES && column < width)
        db[column] += (float)shared[thread];
}

/* ---- launches ---------------------------------------------------------------------------- */

/* Launches f<type> with the arguments; n threads, one for each index. */
#define LAUNCH(s, f, grid, ...)                                                                \
    f<<<grid, RQ_K_THREADS, 0, (cudaStream_t)(s).stream>>>(__VA_ARGS__)
#define LAUNCH_TYPED(s, f, type, grid, ...)                                                    \
    ((type) == RQ_DTYPE_F32 ? LAUNCH(s, f<RQ_K_F32>, grid, __VA_ARGS__)                        \
                            : LAUNCH(s, f<RQ_K_BF16>, grid, __VA_ARGS__))

static rq_status launched(const char *what, rq_err *err)
{
    const cudaError_t e = cudaGetLastError();

    if (e == cudaSuccess)
        return RQ_OK;
    return rq_fail(err, RQ_DEVICE, "cuda: the kernel for %s was refused: %s", what,
                   cudaGetErrorString(e));
}

/* Blocks for one thread per item. */
static dim3 blocks_for(int64_t items, int64_t per_block)
{
    return dim3((unsigned)((items + per_block - 1) / per_block));
}

/* Grids have fewer than 2^31 blocks. */
static rq_status check_items(const char *what, size_t items, int channels, rq_err *err)
{
    if (items >= ((size_t)INT32_MAX - 1) * RQ_K_THREADS)
        return rq_fail(err, RQ_LIMIT,
                       "cuda: %zu numbers are too many for %s; use a smaller batch", items,
                       what);
    if (channels % RQ_K_VEC != 0)
        return rq_fail(
            err, RQ_UNSUPPORTED,
            "cuda: %d channels of %s are not a multiple of %d; choose a width that is",
            channels, what, (int)RQ_K_VEC);
    return RQ_OK;
}

rq_status rq_cuda_normalise(rq_gpu_stream s, const uint8_t *images, size_t pixels,
                            const float *table, void *y, rq_dtype type, rq_err *err)
{
    const int64_t n = (int64_t)pixels;

    RQ_TRY(check_items("the images", pixels, 0, err));
    LAUNCH_TYPED(s, normalise, type, blocks_for(n, RQ_K_THREADS), images, n, table, y);
    return launched("the images", err);
}

rq_status rq_cuda_convert(rq_gpu_stream s, void *dst, rq_dtype dst_type, const void *src,
                          rq_dtype src_type, size_t count, rq_err *err)
{
    const int64_t n = (int64_t)count;
    const dim3 grid = blocks_for(n, RQ_K_THREADS);

    RQ_TRY(check_items("a conversion", count, 0, err));
    if (n == 0)
        return RQ_OK;
    if (dst_type == RQ_DTYPE_F32 && src_type == RQ_DTYPE_F32)
        LAUNCH(s, (convert<RQ_K_F32, RQ_K_F32>), grid, dst, src, n);
    else if (dst_type == RQ_DTYPE_F32)
        LAUNCH(s, (convert<RQ_K_F32, RQ_K_BF16>), grid, dst, src, n);
    else if (src_type == RQ_DTYPE_F32)
        LAUNCH(s, (convert<RQ_K_BF16, RQ_K_F32>), grid, dst, src, n);
    else
        LAUNCH(s, (convert<RQ_K_BF16, RQ_K_BF16>), grid, dst, src, n);
    return launched("a conversion", err);
}

rq_status rq_cuda_accumulate(rq_gpu_stream s, float *dst, const void *src, rq_dtype type,
                             size_t count, rq_err *err)
{
    const int64_t n = (int64_t)count;

    RQ_TRY(check_items("a gradient", count, 0, err));
    LAUNCH_TYPED(s, accumulate, type, blocks_for(n, RQ_K_THREADS), dst, src, n);
    return launched("a gradient", err);
}

rq_status rq_cuda_bias_forward(rq_gpu_stream s, void *y, rq_dtype type, const float *bias,
                               size_t rows, int width, rq_err *err)
{
    const int64_t n = (int64_t)rows * width;

    RQ_TRY(check_items("a bias", (size_t)n, 0, err));
    LAUNCH_TYPED(s, bias_forward, type, blocks_for(n, RQ_K_THREADS), y, bias, n, width);
    return launched("a bias", err);
}

rq_status rq_cuda_bias_backward(rq_gpu_stream s, const void *dy, rq_dtype type, float *db,
                                size_t rows, int width, rq_err *err)
{
    LAUNCH_TYPED(s, bias_backward, type, blocks_for(width, RQ_K_FINISH_LANES), dy,
                 (int64_t)rows, width, db);
    return launched("a bias gradient", err);
}

/* ---- BatchNorm ---- */

/* Where the tables and partial sums are in scratch; NULL: only the size. */
static size_t lay_out(rq_k_bn *k, void *scratch)
{
    const size_t table = (size_t)k->t.groups * (size_t)k->t.channels;
    float **const tables[] = {&k->a, &k->b, &k->ca, &k->cb, &k->cc};
    float *p = (float *)scratch;

    for (float **t : tables) {
        *t = p;
        p = p ? p + table : p;
    }
    k->partial = p;
    return (5 + 2 * (size_t)k->t.chunks) * table * sizeof(float);
}

static rq_k_bn describe(const rq_bn_shape *s, void *scratch)
{
    rq_k_bn k = {};

    k.t = rq_k_make_tile(s->groups, (int64_t)s->rows, s->channels);
    k.relu = s->relu;
    k.eps = RQ_BN_EPS;
    k.momentum = RQ_BN_MOMENTUM;
    lay_out(&k, scratch);
    return k;
}

size_t rq_cuda_bn_scratch(const rq_bn_shape *s)
{
    rq_k_bn k = {};

    k.t = rq_k_make_tile(s->groups, (int64_t)s->rows, s->channels);
    return lay_out(&k, NULL);
}

static dim3 tile_grid(const rq_k_tile *t)
{
    return dim3((unsigned)t->chunks, (unsigned)t->tiles, (unsigned)t->groups);
}

static rq_k_bn describe_forward(const rq_bn_shape *shape, const rq_bn_forward *a, void *scratch)
{
    rq_k_bn k = describe(shape, scratch);

    k.x = a->x;
    k.residual = shape->residual ? a->residual : NULL;
    k.out = a->y;
    k.scale = a->scale;
    k.shift = a->shift;
    k.save = a->save;
    k.running_mean = a->mean;
    k.running_var = a->var;
    return k;
}

rq_status rq_cuda_bn_forward(rq_gpu_stream s, const rq_bn_shape *shape, const rq_bn_forward *a,
                             void *scratch, rq_err *err)
{
    const rq_k_bn k = describe_forward(shape, a, scratch);
    const dim3 grid = tile_grid(&k.t);

    RQ_TRY(check_items("a BatchNorm", shape->rows, shape->channels, err));
    LAUNCH_TYPED(s, bn_stats, shape->type, grid, k);
    LAUNCH_TYPED(s, bn_finish_stats, shape->type, blocks_for(k.t.channels, RQ_K_FINISH_LANES),
                 k);
    LAUNCH_TYPED(s, bn_apply, shape->type, grid, k);
    return launched("a BatchNorm", err);
}

rq_status rq_cuda_bn_eval(rq_gpu_stream s, const rq_bn_shape *shape, const rq_bn_forward *a,
                          void *scratch, rq_err *err)
{
    const rq_k_bn k = describe_forward(shape, a, scratch);
    const dim3 tables = blocks_for((int64_t)k.t.groups * k.t.channels, RQ_K_THREADS);

    RQ_TRY(check_items("a BatchNorm", shape->rows, shape->channels, err));
    LAUNCH(s, bn_table, tables, k, 1);
    LAUNCH_TYPED(s, bn_apply, shape->type, tile_grid(&k.t), k);
    return launched("a BatchNorm", err);
}

rq_status rq_cuda_bn_backward(rq_gpu_stream s, const rq_bn_shape *shape,
                              const rq_bn_backward *a, void *scratch, rq_err *err)
{
    rq_k_bn k = describe(shape, scratch);
    const dim3 grid = tile_grid(&k.t);
    const dim3 tables = blocks_for((int64_t)k.t.groups * k.t.channels, RQ_K_THREADS);

    RQ_TRY(check_items("a BatchNorm's gradient", shape->rows, shape->channels, err));
    k.mask = !shape->relu ? RQ_K_MASK_NONE : shape->residual ? RQ_K_MASK_Y : RQ_K_MASK_X;
    k.x = a->x;
    k.y = a->y;
    k.dy = a->dy;
    k.dy2 = a->dy2;
    k.g = a->g;
    k.out = a->dx;
    k.scale = a->scale;
    k.shift = a->shift;
    k.save = const_cast<float *>(a->save); /* the forward's; only read here */
    k.dscale = a->dscale;
    k.dshift = a->dshift;
    LAUNCH(s, bn_table, tables, k, 0);
    LAUNCH_TYPED(s, bn_reduce, shape->type, grid, k);
    LAUNCH(s, bn_finish_sums, blocks_for(k.t.channels, RQ_K_FINISH_LANES), k);
    LAUNCH_TYPED(s, bn_gradient, shape->type, grid, k);
    return launched("a BatchNorm's gradient", err);
}

/* ---- pooling ---- */

static rq_k_pool describe_pool(const rq_pool_shape *s)
{
    rq_k_pool k = {};

    k.n = s->n, k.h = s->h, k.w = s->w, k.c = s->c, k.oh = s->oh, k.ow = s->ow;
    return k;
}

rq_status rq_cuda_maxpool_forward(rq_gpu_stream s, const rq_pool_shape *shape, const void *x,
                                  void *y, uint8_t *where, rq_err *err)
{
    rq_k_pool k = describe_pool(shape);
    const int64_t vecs = (int64_t)k.n * k.oh * k.ow * (k.c / RQ_K_VEC);

    RQ_TRY(check_items("max-pooling", (size_t)vecs, k.c, err));
    k.x = x;
    k.y = y;
    k.where = where;
    LAUNCH_TYPED(s, maxpool, shape->type, blocks_for(vecs, RQ_K_THREADS), k, vecs);
    return launched("max-pooling", err);
}

rq_status rq_cuda_maxpool_backward(rq_gpu_stream s, const rq_pool_shape *shape,
                                   const uint8_t *where, const void *dy, const void *dy2,
                                   void *dx, rq_err *err)
{
    rq_k_pool k = describe_pool(shape);
    const int64_t vecs = (int64_t)k.n * k.h * k.w * (k.c / RQ_K_VEC);

    RQ_TRY(check_items("max-pooling's gradient", (size_t)vecs, k.c, err));
    k.where = const_cast<uint8_t *>(where); /* only read here */
    k.dy = dy;
    k.dy2 = dy2;
    k.dx = dx;
    LAUNCH_TYPED(s, maxpool_grad, shape->type, blocks_for(vecs, RQ_K_THREADS), k, vecs);
    return launched("max-pooling's gradient", err);
}

rq_status rq_cuda_gap_forward(rq_gpu_stream s, const void *x, rq_dtype type, int n,
                              size_t pixels, int c, void *y, rq_dtype out_type, rq_err *err)
{
    const int64_t vecs = (int64_t)n * (c / RQ_K_VEC), p = (int64_t)pixels;
    const dim3 grid = blocks_for(vecs, RQ_K_THREADS);

    RQ_TRY(check_items("mean-pooling", (size_t)vecs, c, err));
    if (type == RQ_DTYPE_F32 && out_type == RQ_DTYPE_F32)
        LAUNCH(s, (gap<RQ_K_F32, RQ_K_F32>), grid, x, vecs, p, c, y);
    else if (type == RQ_DTYPE_F32)
        LAUNCH(s, (gap<RQ_K_F32, RQ_K_BF16>), grid, x, vecs, p, c, y);
    else if (out_type == RQ_DTYPE_F32)
        LAUNCH(s, (gap<RQ_K_BF16, RQ_K_F32>), grid, x, vecs, p, c, y);
    else
        LAUNCH(s, (gap<RQ_K_BF16, RQ_K_BF16>), grid, x, vecs, p, c, y);
    return launched("mean-pooling", err);
}

rq_status rq_cuda_gap_backward(rq_gpu_stream s, const void *dy, rq_dtype type, int n,
                               size_t pixels, int c, void *dx, rq_err *err)
{
    const int64_t p = (int64_t)pixels, vecs = n * p * (c / RQ_K_VEC);

    RQ_TRY(check_items("mean-pooling's gradient", (size_t)vecs, c, err));
    LAUNCH_TYPED(s, gap_grad, type, blocks_for(vecs, RQ_K_THREADS), dy, vecs, p, c, dx);
    return launched("mean-pooling's gradient", err);
}
