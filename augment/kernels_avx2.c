// SPDX-License-Identifier: Apache-2.0
//
// The kernels for AVX2; the Makefile compiles this file for it. Empty elsewhere. What is left
// of a row behind its last whole vector goes through small buffers or, where the result of a
// sample depends on nothing beside it, is done by a last vector that overlaps the one before.
#include "augment/kernels.h"

#ifdef __AVX2__
#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
enum { LANES = 16 };
typedef __m256i vec;
typedef __m256i mask;

INLINE vec load(const int16_t *p, size_t m)
{
    if (m == LANES)
        return _mm256_loadu_si256((const __m256i *)p);
    int16_t some[LANES] = {0};
    memcpy(some, p, sizeof *p * m);
    return _mm256_loadu_si256((const __m256i *)some);
}

INLINE void put(int16_t *p, vec v, size_t m)
{
    if (m == LANES) {
        _mm256_storeu_si256((__m256i *)p, v);
        return;
    }
    int16_t some[LANES];
    _mm256_storeu_si256((__m256i *)some, v);
    memcpy(p, some, sizeof *p * m);
}

#define splat(x)          _mm256_set1_epi16((short)(x))
#define add(a, b)         _mm256_add_epi16(a, b)
#define sub(a, b)         _mm256_sub_epi16(a, b)
#define adds(a, b)        _mm256_adds_epi16(a, b)
#define subs(a, b)        _mm256_subs_epi16(a, b)
#define mul(a, b)         _mm256_mulhrs_epi16(a, b)
#define least(a, b)       _mm256_min_epi16(a, b)
#define most(a, b)        _mm256_max_epi16(a, b)
#define shift_right(a, n) _mm256_srai_epi16(a, n)
#define above(a, b)       _mm256_cmpgt_epi16(a, b)
#define both(a, b)        _mm256_and_si256(a, b)
#define either(a, b)      _mm256_or_si256(a, b)
#define only(a, b)        _mm256_andnot_si256(a, b)
#define pick(m, a, b)     _mm256_blendv_epi8(b, a, m)
#define any(m)            (!_mm256_testz_si256(m, m))
#define splat32(x)        _mm256_set1_epi32(x)
#define zip_low(a, b)     _mm256_unpacklo_epi16(a, b)
#define zip_high(a, b)    _mm256_unpackhi_epi16(a, b)
#define dot(sum, a, b)    _mm256_add_epi32(sum, _mm256_madd_epi16(a, b))
#define narrow(a, b, n)   _mm256_packs_epi32(_mm256_srai_epi32(a, n), _mm256_srai_epi32(b, n))
#define add32(a, b)       _mm256_add_epi32(a, b)
#define pairs_sum(a)      _mm256_madd_epi16(a, splat(1))

INLINE int64_t total32(vec lanes)
{
    int32_t v[8];
    int64_t total = 0;
    _mm256_storeu_si256((__m256i *)v, lanes);
    for (int i = 0; i < 8; i++)
        total += v[i];
    return total;
}

INLINE __m256i ratio_of(__m128i v, __m128i c)
{
    const __m256 top = _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(v)),
                 bottom = _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(c));
    return _mm256_cvttps_epi32(
        _mm256_div_ps(_mm256_mul_ps(top, _mm256_set1_ps(16384)), bottom));
}

INLINE vec clipped_ratio(vec v, vec c)
{
    const __m256i low = ratio_of(_mm256_castsi256_si128(v), _mm256_castsi256_si128(c));
    const __m256i high =
        ratio_of(_mm256_extracti128_si256(v, 1), _mm256_extracti128_si256(c, 1));
    return _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
}

#include "augment/kernels_vec.h"

INLINE __m256i load_bytes(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

/* ---- resize ---------------------------------------------------------------------------- */

/* Eight outputs of four taps: where the 16 samples of four of them begin, and which four make
 * an output. */
typedef struct group {
    int low[2];
    __m256i index;
    __m256i high, fine;
} group;

/* False when four outputs need more than 16 samples. */
INLINE bool set_group(group *g, const rq_taps *t, int o)
{
    int32_t from[8];
    for (int i = 0; i < 8; i += 4) {
        const int32_t *first = t->first + o + i;
        const int a = first[0] < first[3] ? first[0] : first[3],
                  b = first[0] < first[3] ? first[3] : first[0];
        const int low = a + 16 <= t->window ? a : t->window - 16;
        if (b + 4 - low > 16)
            return false;
        g->low[i / 4] = low;
        for (int k = 0; k < 4; k++)
            from[i + k] = first[k] - low;
    }
    g->index = _mm256_add_epi32(_mm256_mullo_epi32(_mm256_loadu_si256((const __m256i *)from),
                                                   _mm256_set1_epi32(0x01010101)),
                                _mm256_set1_epi32(0x03020100));
    g->high = _mm256_loadu_si256((const __m256i *)(t->weight + o));
    g->fine = _mm256_loadu_si256((const __m256i *)(t->weight + t->stride + o));
    return true;
}

INLINE __m256i weigh(__m256i x, __m256i high, __m256i fine, __m256i sum)
{
    const __m256i coarse = _mm256_madd_epi16(_mm256_maddubs_epi16(x, high), splat(128)),
                  rest = _mm256_madd_epi16(_mm256_maddubs_epi16(x, fine), splat(1));
    return _mm256_add_epi32(_mm256_add_epi32(sum, coarse), rest);
}

INLINE __m256i eight(const group *g, const uint8_t *s)
{
    const __m256i x = _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(s + g->low[0]))),
        _mm_loadu_si128((const __m128i *)(s + g->low[1])), 1);
    const __m256i sum = weigh(_mm256_shuffle_epi8(x, g->index), g->high, g->fine,
                              _mm256_set1_epi32((1 << 5) - (128 << 13)));
    return _mm256_srai_epi32(sum, 6);
}

/* Any number of taps, samples fetched four by four. */
INLINE __m256i eight_far(const uint8_t *s, const rq_taps *t, int o)
{
    const __m256i at = _mm256_loadu_si256((const __m256i *)(t->first + o));
    __m256i sum = _mm256_set1_epi32((1 << 5) - (128 << 13));
    for (int u = 0; u < t->units; u++) {
        const uint32_t *w = t->weight + (ptrdiff_t)(2 * u) * t->stride + o;
        sum = weigh(_mm256_i32gather_epi32((const int *)(const void *)(s + 4 * u), at, 1),
                    _mm256_loadu_si256((const __m256i *)w),
                    _mm256_loadu_si256((const __m256i *)(w + t->stride)), sum);
    }
    return _mm256_srai_epi32(sum, 6);
}

INLINE void put_outputs(int16_t *dst, __m256i a, __m256i b, size_t m)
{
    put(dst, _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8), m);
}

INLINE void outputs(int16_t *dst, size_t dst_stride, const uint8_t *src, size_t src_stride,
                    int rows, const rq_taps *t, int o, size_t m)
{
    group g[2];
    if (t->units == 1 && t->window >= 16 && set_group(&g[0], t, o) &&
        set_group(&g[1], t, o + 8)) {
        for (int r = 0; r < rows; r++, dst += dst_stride, src += src_stride)
            put_outputs(dst, eight(&g[0], src), eight(&g[1], src), m);
        return;
    }
    for (int r = 0; r < rows; r++, dst += dst_stride, src += src_stride)
        put_outputs(dst, eight_far(src, t, o), eight_far(src, t, o + 8), m);
}

static void resize_h(int16_t *dst, size_t dst_stride, const uint8_t *src, size_t src_stride,
                     int rows, const rq_taps *t)
{
    if (4 * t->units > t->window) {
        rq_kernels c;
        rq_kernels_add_c(&c);
        c.resize_h(dst, dst_stride, src, src_stride, rows, t);
        return;
    }
    int o = 0;
    for (; o + LANES <= t->outputs; o += LANES)
        outputs(dst + o, dst_stride, src, src_stride, rows, t, o, LANES);
    if (o < t->outputs)
        outputs(dst + o, dst_stride, src, src_stride, rows, t, o, (size_t)(t->outputs - o));
}

/* Two rows of 16 numbers times their weights, added to the sums of the low and the high numbers
 * of each 128 bits. */
INLINE void add_rows(__m256i sum[2], __m256i a, __m256i b, uint32_t pair)
{
    const __m256i w = _mm256_set1_epi32((int)pair);
    sum[0] = _mm256_add_epi32(sum[0], _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), w));
    sum[1] = _mm256_add_epi32(sum[1], _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), w));
}

INLINE void columns(int16_t *dst, const rq_ring *ring, size_t first, const uint32_t *pair,
                    int taps, size_t x, size_t m)
{
    __m256i sum[2] = {_mm256_set1_epi32(1 << 14), _mm256_set1_epi32(1 << 14)};
#define ROW(t) load(ring->rows + ((first + (size_t)(t)) & ring->mask) * ring->stride + x, m)
    for (int t = 0; t + 1 < taps; t += 2)
        add_rows(sum, ROW(t), ROW(t + 1), pair[t / 2]);
    if (taps % 2 == 1)
        add_rows(sum, ROW(taps - 1), splat(0), pair[taps / 2]);
#undef ROW
    put(dst + x,
        _mm256_packs_epi32(_mm256_srai_epi32(sum[0], 15), _mm256_srai_epi32(sum[1], 15)), m);
}

static void resize_v(int16_t *dst, const rq_ring *ring, const rq_taps *t, int o, int n)
{
    const uint32_t *pair = t->weight + (ptrdiff_t)o * t->units;
    const size_t first = (size_t)t->first[o];
    if (t->taps == 4)
        FOR_VECTORS((size_t)n, columns(dst, ring, first, pair, 4, at, m));
    else
        FOR_VECTORS((size_t)n, columns(dst, ring, first, pair, t->taps, at, m));
}

static void spread(int16_t *dst, const int16_t *src, int n)
{
    int x = 0;
    for (; x + LANES <= n; x += LANES) {
        const __m256i one =
            _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(src + x / 2)));
        put(dst + x, _mm256_or_si256(one, _mm256_slli_epi32(one, 16)), LANES);
    }
    for (; x < n; x++)
        dst[x] = src[x / 2];
}

static uint64_t sum_bytes(const uint8_t *src, int n)
{
    __m256i sum = _mm256_setzero_si256();
    uint64_t part[4], total = 0;
    int x = 0;
    for (; x + 32 <= n; x += 32)
        sum =
            _mm256_add_epi64(sum, _mm256_sad_epu8(load_bytes(src + x), _mm256_setzero_si256()));
    _mm256_storeu_si256((__m256i *)part, sum);
    for (int i = 0; i < 4; i++)
        total += part[i];
    for (; x < n; x++)
        total += src[x];
    return total;
}

/* ---- masks ----------------------------------------------------------------------------- */

INLINE __m256i mask_8(const float *line, const int32_t *first, const float *frac,
                      float threshold)
{
    const float *p = line + first[0];
    const __m256i at = _mm256_sub_epi32(_mm256_loadu_si256((const __m256i *)first),
                                        _mm256_set1_epi32(first[0]));
    __m256 a, b;
    if (first[7] - first[0] < 8) {
        // The samples of eight places lie within one vector, mostly.
        a = _mm256_permutevar8x32_ps(_mm256_loadu_ps(p), at);
        b = _mm256_permutevar8x32_ps(_mm256_loadu_ps(p + 1), at);
    } else {
        a = _mm256_i32gather_ps(p, at, 4);
        b = _mm256_i32gather_ps(p + 1, at, 4);
    }
    const __m256 v =
        _mm256_add_ps(a, _mm256_mul_ps(_mm256_sub_ps(b, a), _mm256_loadu_ps(frac)));
    return _mm256_castps_si256(_mm256_cmp_ps(v, _mm256_set1_ps(threshold), _CMP_GT_OQ));
}

static void mask_row(uint8_t *dst, const float *line, const int32_t *first, const float *frac,
                     float threshold, int n)
{
    int x = 0;
    for (; x + 16 <= n; x += 16) {
        const __m256i a = mask_8(line, first + x, frac + x, threshold),
                      b = mask_8(line, first + x + 8, frac + x + 8, threshold);
        const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
        _mm_storeu_si128(
            (__m128i *)(dst + x),
            _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
    }
    for (; x < n; x++) {
        const float a = line[first[x]], b = line[first[x] + 1];
        dst[x] = a + (b - a) * frac[x] > threshold ? 255 : 0;
    }
}

static void cut_row(uint8_t *dst, const uint8_t *src, const uint8_t *front, uint8_t fill, int n)
{
    int x = 0;
    const __m256i other = _mm256_set1_epi8((char)fill);
    for (; x + 32 <= n; x += 32)
        _mm256_storeu_si256((__m256i *)(dst + x), _mm256_blendv_epi8(other, load_bytes(src + x),
                                                                     load_bytes(front + x)));
    for (; x < n; x++)
        dst[x] = front[x] ? src[x] : fill;
}

/* ---- store ----------------------------------------------------------------------------- */

/* 16 bytes of a channel. */
INLINE __m128i channel_bytes(const int16_t *c, size_t m)
{
    const vec v = levels(load(c, m));
    return _mm_packus_epi16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}

/* 16 of 48 interleaved bytes: each channel's contribution by a shuffle of its own. */
#define THIRD(r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, ra, rb, rc, rd, re, rf)                  \
    _mm_setr_epi8(r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, ra, rb, rc, rd, re, rf)
#define JOIN(pr, pg, pb)                                                                       \
    _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(r, pr), _mm_shuffle_epi8(g, pg)),               \
                 _mm_shuffle_epi8(b, pb))

INLINE void interleave(__m128i out[3], __m128i r, __m128i g, __m128i b)
{
    out[0] = JOIN(THIRD(0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1, 5),
                  THIRD(-1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1),
                  THIRD(-1, -1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1));
    out[1] = JOIN(THIRD(-1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10, -1),
                  THIRD(5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10),
                  THIRD(-1, 5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1));
    out[2] = JOIN(THIRD(-1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1, -1),
                  THIRD(-1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1),
                  THIRD(10, -1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15));
}

static void store(uint8_t *dst, const int16_t *r, const int16_t *g, const int16_t *b, size_t n,
                  bool past)
{
    const bool aligned = past && (uintptr_t)dst % 16 == 0;
    for (size_t x = 0; x < n; x += LANES) {
        const size_t m = n - x < LANES ? n - x : LANES;
        __m128i out[3];
        interleave(out, channel_bytes(r + x, m), channel_bytes(g + x, m),
                   channel_bytes(b + x, m));
        if (aligned && m == LANES)
            for (int i = 0; i < 3; i++)
                _mm_stream_si128((__m128i *)(dst + 3 * x) + i, out[i]);
        else
            memcpy(dst + 3 * x, out, 3 * m);
    }
    if (aligned)
        _mm_sfence();
}

void rq_kernels_add_avx2(rq_kernels *k)
{
    k->colour = colour;
    k->blur_line = blur_line;
    k->spread = spread;
    k->sum_bytes = sum_bytes;
    k->resize_v = resize_v;
    k->resize_h = resize_h;
    k->mask_row = mask_row;
    k->cut_row = cut_row;
    k->store = store;
}
#else
void rq_kernels_add_avx2(rq_kernels *k)
{
    (void)k;
}
#endif
