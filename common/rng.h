/* Counter-based random numbers: Philox4x32-10 (Salmon et al., SC 2011), in a header so that the
 * same code runs in C and in CUDA kernels.
 *
 * A stream of draws is a pure function of (seed, epoch, sample id, view, operation): it does
 * not depend on threads, batches or ranks, and no state has to be saved to resume.
 *
 *     rq_rng r = rq_rng_make(seed, epoch, sample, view, RQ_OP_CROP);
 *     float u = rq_rng_float(&r);
 *
 * Layout of the 128-bit counter, low word first: block number within the stream; view (8 bits),
 * operation (8 bits), sample bits 32-47; sample bits 0-31; epoch. The 64-bit key is the seed.
 */
#ifndef RQ_COMMON_RNG_H
#define RQ_COMMON_RNG_H

#include <stdint.h>

#ifdef __CUDACC__
#define RQ_RNG_FN static __host__ __device__ inline
#else
#define RQ_RNG_FN static inline
#endif

/* out = Philox4x32-10(counter, key). */
RQ_RNG_FN void rq_philox4x32_10(uint32_t out[4], const uint32_t counter[4],
                                const uint32_t key[2])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * c0;
        const uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* One stream of draws. Copy freely; owned by one thread. */
typedef struct rq_rng {
    uint32_t counter[4];
    uint32_t key[2];
    uint32_t block[4]; /* the current four draws */
    uint32_t used;     /* how many of them are spent */
} rq_rng;

/* sample < 2^48, view < 256, op < 256. */
RQ_RNG_FN rq_rng rq_rng_make(uint64_t seed, uint32_t epoch, uint64_t sample, uint32_t view,
                             uint32_t op)
{
    rq_rng r;
    r.counter[0] = 0;
    r.counter[1] =
        (view & 255u) | (op & 255u) << 8 | ((uint32_t)(sample >> 32) & 0xFFFFu) << 16;
    r.counter[2] = (uint32_t)sample;
    r.counter[3] = epoch;
    r.key[0] = (uint32_t)seed;
    r.key[1] = (uint32_t)(seed >> 32);
    r.block[0] = r.block[1] = r.block[2] = r.block[3] = 0;
    r.used = 4;
    return r;
}

/* Uniform 32-bit integer. */
RQ_RNG_FN uint32_t rq_rng_u32(rq_rng *r)
{
    if (r->used == 4) {
        rq_philox4x32_10(r->block, r->counter, r->key);
        r->counter[0]++;
        r->used = 0;
    }
    return r->block[r->used++];
}

/* Uniform in [0, 1), a multiple of 2^-24: exact in float on every machine. */
RQ_RNG_FN float rq_rng_float(rq_rng *r)
{
    return (float)(rq_rng_u32(r) >> 8) * 0x1p-24f;
}

/* Uniform in [lo, hi). */
RQ_RNG_FN float rq_rng_range(rq_rng *r, float lo, float hi)
{
    return lo + (hi - lo) * rq_rng_float(r);
}

/* Uniform integer in [0, n), n > 0, without bias (Lemire's multiply and reject). */
RQ_RNG_FN uint32_t rq_rng_below(rq_rng *r, uint32_t n)
{
    uint64_t m = (uint64_t)rq_rng_u32(r) * n;
    if ((uint32_t)m < n) {
        const uint32_t least = (0u - n) % n;
        while ((uint32_t)m < least)
            m = (uint64_t)rq_rng_u32(r) * n;
    }
    return (uint32_t)(m >> 32);
}

#endif
