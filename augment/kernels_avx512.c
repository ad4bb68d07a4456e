// SPDX-License-Identifier: Apache-2.0
//
// The kernels for AVX-512 with VBMI and VNNI; the Makefile compiles this file for it. Empty
// elsewhere. Rows end in masked loads and stores, so nothing is touched outside them.
#include "augment/kernels.h"

#if defined(__AVX512VBMI__) && defined(__AVX512VNNI__)
#include <immintrin.h>
#include <stdbool.h>

#define INLINE static inline __attribute__((always_inline))
enum { LANES = 32 };
typedef __m512i vec;
typedef __mmask32 mask;

INLINE mask first_of(size_t m)
{
    return (mask)_bzhi_u32(0xffffffffu, (unsigned)m);
}

INLINE vec load(const int16_t *p, size_t m)
{
    return m == LANES ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi16(first_of(m), p);
}

INLINE void put(int16_t *p, vec v, size_t m)
{
    if (m == LANES)
        _mm512_storeu_si512(p, v);
    else
        _mm512_mask_storeu_epi16(p, first_of(m), v);
}

#define splat(x)          _mm512_set1_epi16((short)(x))
#define add(a, b)         _mm512_add_epi16(a, b)
#define sub(a, b)         _mm512_sub_epi16(a, b)
#define adds(a, b)        _mm512_adds_epi16(a, b)
#define subs(a, b)        _mm512_subs_epi16(a, b)
#define mul(a, b)         _mm512_mulhrs_epi16(a, b)
#define least(a, b)       _mm512_min_epi16(a, b)
#define most(a, b)        _mm512_max_epi16(a, b)
#define shift_right(a, n) _mm512_srai_epi16(a, n)
#define above(a, b)       _mm512_cmpgt_epi16_mask(a, b)
#define both(a, b)        _kand_mask32(a, b)
#define either(a, b)      _kor_mask32(a, b)
#define only(a, b)        _kandn_mask32(a, b)
#define pick(m, a, b)     _mm512_mask_blend_epi16(m, b, a)
#define any(m)            ((m) != 0)
#define add32(a, b)       _mm512_add_epi32(a, b)
#define pairs_sum(a)      _mm512_madd_epi16(a, splat(1))

INLINE int64_t total32(vec lanes)
{
    const vec low = _mm512_cvtepi32_epi64(_mm512_castsi512_si256(lanes)),
              high = _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(lanes, 1));
    return _mm512_reduce_add_epi64(_mm512_add_epi64(low, high));
}

INLINE __m256i ratio_of(__m256i v, __m256i c)
{
    const __m512 top = _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(v)),
                 bottom = _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(c));
    const __m512 ratio = _mm512_div_ps(_mm512_mul_ps(top, _mm512_set1_ps(16384)), bottom);
    return _mm512_cvtsepi32_epi16(_mm512_cvttps_epi32(ratio));
}

INLINE vec clipped_ratio(vec v, vec c)
{
    const __m256i low = ratio_of(_mm512_castsi512_si256(v), _mm512_castsi512_si256(c));
    const __m256i high =
        ratio_of(_mm512_extracti64x4_epi64(v, 1), _mm512_extracti64x4_epi64(c, 1));
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

#include "augment/kernels_vec.h"

/* ---- resize ---------------------------------------------------------------------------- */

INLINE __m512i load_bytes(const uint8_t *p, __mmask64 m)
{
    return _mm512_maskz_loadu_epi8(m, p);
}

/* Adds two rows of 64 samples times their weights to 64 sums. */
INLINE void add_rows(__m512i sum[4], __m512i a, __m512i b, uint32_t pair)
{
    const __m512i zero = _mm512_setzero_si512(), w = _mm512_set1_epi32((int)pair);
    const __m512i low = _mm512_unpacklo_epi8(a, b), high = _mm512_unpackhi_epi8(a, b);
    sum[0] = _mm512_dpwssd_epi32(sum[0], _mm512_unpacklo_epi8(low, zero), w);
    sum[1] = _mm512_dpwssd_epi32(sum[1], _mm512_unpackhi_epi8(low, zero), w);
    sum[2] = _mm512_dpwssd_epi32(sum[2], _mm512_unpacklo_epi8(high, zero), w);
    sum[3] = _mm512_dpwssd_epi32(sum[3], _mm512_unpackhi_epi8(high, zero), w);
}

INLINE void columns(int16_t *dst, const uint8_t *src, size_t stride, const uint32_t *pair,
                    size_t step, int taps, size_t m)
{
    const __mmask64 in = _bzhi_u64(~0ull, (unsigned)m);
    __m512i sum[4];
    for (int i = 0; i < 4; i++)
        sum[i] = _mm512_set1_epi32((1 << 6) - (128 << 14));
    for (int t = 0; t + 1 < taps; t += 2, src += 2 * stride)
        add_rows(sum, load_bytes(src, in), load_bytes(src + stride, in),
                 pair[(size_t)t / 2 * step]);
    if (taps % 2 == 1)
        add_rows(sum, load_bytes(src, in), _mm512_setzero_si512(),
                 pair[(size_t)taps / 2 * step]);
    for (int i = 0; i < 4; i++)
        sum[i] = _mm512_srai_epi32(sum[i], 7);
    // Eight columns of each 16 in one vector, the other eight in another.
    const __m512i even = _mm512_packs_epi32(sum[0], sum[1]),
                  odd = _mm512_packs_epi32(sum[2], sum[3]);
    const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11),
                  second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    put(dst, _mm512_permutex2var_epi64(even, first, odd), m < LANES ? m : LANES);
    if (m > LANES)
        put(dst + LANES, _mm512_permutex2var_epi64(even, second, odd), m - LANES);
}

INLINE void all_columns(int16_t *dst, const uint8_t *src, size_t stride, const uint32_t *pair,
                        size_t step, int taps, size_t n)
{
    size_t x = 0;
    for (; x + 64 <= n; x += 64)
        columns(dst + x, src + x, stride, pair, step, taps, 64);
    if (x < n)
        columns(dst + x, src + x, stride, pair, step, taps, n - x);
}

static void resize_v(int16_t *dst, const uint8_t *src, size_t stride, const uint32_t *pair,
                     size_t step, int taps, int n)
{
    if (taps == 4)
        all_columns(dst, src, stride, pair, step, 4, (size_t)n);
    else
        all_columns(dst, src, stride, pair, step, taps, (size_t)n);
}

/* How the samples of 16 outputs are fetched: from one or two vectors behind the lowest sample,
 * or, where they lie too far apart, one by one. */
enum reach { REACH_32, REACH_64, REACH_ANY };

/* Sixteen outputs: where their samples begin, and which they are, two words for each: a sample
 * and the next. For REACH_ANY the places themselves. */
typedef struct group {
    const int16_t *src;
    const uint32_t *pair;
    __m512i index;
    __m512i w0, w1; /* of four taps */
} group;

INLINE __m512i fetch(const int16_t *s, __m512i index, enum reach reach)
{
    if (reach == REACH_ANY)
        return _mm512_i32gather_epi32(index, s, 2);
    const __m512i low = _mm512_loadu_si512(s);
    if (reach == REACH_32)
        return _mm512_permutexvar_epi16(index, low);
    return _mm512_permutex2var_epi16(low, index, _mm512_loadu_si512(s + 32));
}

/* What lies two samples further is in the same vectors. */
INLINE __m512i four_taps(const group *g, const int16_t *s, enum reach reach)
{
    const __m512i far = _mm512_add_epi16(g->index, _mm512_set1_epi16(2));
    const __m512i sum =
        _mm512_dpwssd_epi32(_mm512_set1_epi32(1 << 14), fetch(s, g->index, reach), g->w0);
    return _mm512_dpwssd_epi32(
        sum, reach == REACH_ANY ? fetch(s + 2, g->index, reach) : fetch(s, far, reach), g->w1);
}

INLINE __m512i any_taps(const group *g, const int16_t *s, int pairs, int stride,
                        enum reach reach)
{
    __m512i sum = _mm512_set1_epi32(1 << 14);
    for (int k = 0; k < pairs; k++)
        sum = _mm512_dpwssd_epi32(sum, fetch(s + 2 * k, g->index, reach),
                                  _mm512_loadu_si512(g->pair + (ptrdiff_t)k * stride));
    return sum;
}

/* Rows of 32 outputs, of which `m` are wanted. */
INLINE void outputs(int16_t *dst, size_t dst_stride, size_t src_stride, int rows,
                    const rq_taps *t, const group g[2], size_t m, bool four, enum reach reach)
{
    const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    for (size_t r = 0; r < (size_t)rows; r++) {
        const int16_t *s0 = g[0].src + r * src_stride, *s1 = g[1].src + r * src_stride;
        const __m512i a = four ? four_taps(&g[0], s0, reach)
                               : any_taps(&g[0], s0, t->pairs, t->stride, reach);
        const __m512i b = four ? four_taps(&g[1], s1, reach)
                               : any_taps(&g[1], s1, t->pairs, t->stride, reach);
        const __m512i all =
            _mm512_packs_epi32(_mm512_srai_epi32(a, 15), _mm512_srai_epi32(b, 15));
        put(dst + r * dst_stride, _mm512_permutexvar_epi64(order, all), m);
    }
}

INLINE void set_group(group *g, const int16_t *src, const rq_taps *t, int o, enum reach reach)
{
    const __m512i first = _mm512_loadu_si512(t->first + o);
    const int low = reach == REACH_ANY ? 0 : t->low[o / RQ_TAPS_GROUP];
    const __m512i from = _mm512_sub_epi32(first, _mm512_set1_epi32(low));
    g->src = src + low;
    g->pair = t->pair + o;
    g->w0 = _mm512_loadu_si512(g->pair);
    g->w1 = t->pairs == 2 ? _mm512_loadu_si512(g->pair + t->stride) : g->w0;
    g->index = reach == REACH_ANY
                   ? from
                   : _mm512_add_epi32(_mm512_or_si512(from, _mm512_slli_epi32(from, 16)),
                                      _mm512_set1_epi32(1 << 16));
}

INLINE void all_outputs(int16_t *dst, size_t dst_stride, const int16_t *src, size_t src_stride,
                        int rows, const rq_taps *t, bool four, enum reach reach)
{
    for (int o = 0; o < t->outputs; o += LANES) {
        const int left = t->outputs - o;
        group g[2];
        set_group(&g[0], src, t, o, reach);
        set_group(&g[1], src, t, o + RQ_TAPS_GROUP, reach);
        if (left >= LANES)
            outputs(dst + o, dst_stride, src_stride, rows, t, g, LANES, four, reach);
        else
            outputs(dst + o, dst_stride, src_stride, rows, t, g, (size_t)left, four, reach);
    }
}

static void resize_h(int16_t *dst, size_t dst_stride, const int16_t *src, size_t src_stride,
                     int rows, const rq_taps *t)
{
    const int span = t->span + (t->pairs == 2 ? 3 : 1);
#define ALL(four, reach) all_outputs(dst, dst_stride, src, src_stride, rows, t, four, reach)
    if (t->pairs == 2 && span <= 32)
        ALL(true, REACH_32);
    else if (t->pairs == 2 && span <= 64)
        ALL(true, REACH_64);
    else if (t->pairs == 2)
        ALL(true, REACH_ANY);
    else if (span <= 64)
        ALL(false, REACH_64);
    else
        ALL(false, REACH_ANY);
#undef ALL
}

INLINE __mmask16 first_16(int m)
{
    return (__mmask16)(m < 16 ? _bzhi_u32(0xffff, (unsigned)m) : 0xffff);
}

/* ---- masks ----------------------------------------------------------------------------- */

static void mask_row(uint8_t *dst, const float *line, const int32_t *first, const float *frac,
                     float threshold, int n)
{
    for (int x = 0; x < n; x += 16) {
        const int left = n - x < 16 ? n - x : 16, low = first[x];
        const __mmask16 m = first_16(left);
        const float *p = line + low;
        const __m512i at =
            _mm512_sub_epi32(_mm512_maskz_loadu_epi32(m, first + x), _mm512_set1_epi32(low));
        __m512 a, b;
        if (first[x + left - 1] - low < 32) {
            // The samples of sixteen places lie within two vectors, mostly.
            a = _mm512_permutex2var_ps(_mm512_loadu_ps(p), at, _mm512_loadu_ps(p + 16));
            b = _mm512_permutex2var_ps(_mm512_loadu_ps(p + 1), at, _mm512_loadu_ps(p + 17));
        } else {
            a = _mm512_mask_i32gather_ps(_mm512_setzero_ps(), m, at, p, 4);
            b = _mm512_mask_i32gather_ps(_mm512_setzero_ps(), m, at, p + 1, 4);
        }
        const __m512 v = _mm512_add_ps(
            a, _mm512_mul_ps(_mm512_sub_ps(b, a), _mm512_maskz_loadu_ps(m, frac + x)));
        const __mmask16 front = _mm512_cmp_ps_mask(v, _mm512_set1_ps(threshold), _CMP_GT_OQ);
        _mm_mask_storeu_epi8(dst + x, m, _mm_movm_epi8(front));
    }
}

static void cut_row(uint8_t *dst, const uint8_t *src, const uint8_t *front, uint8_t fill, int n)
{
    for (int x = 0; x < n; x += 64) {
        const __mmask64 m = _bzhi_u64(~0ull, n - x < 64 ? (unsigned)(n - x) : 64);
        const __mmask64 keep = _mm512_movepi8_mask(load_bytes(front + x, m));
        _mm512_mask_storeu_epi8(
            dst + x, m,
            _mm512_mask_blend_epi8(keep, _mm512_set1_epi8((char)fill), load_bytes(src + x, m)));
    }
}

/* ---- store ----------------------------------------------------------------------------- */

/* Bytes of pixels x .. x + 64 of one channel, in the order in which packing leaves them: eight
 * of the first 32, eight of the second, and so on. */
INLINE vec channel_bytes(const int16_t *c, size_t m)
{
    const vec low = load(c, m < LANES ? m : LANES),
              high = m > LANES ? load(c + LANES, m - LANES) : splat(0);
    return _mm512_packus_epi16(levels(low), levels(high));
}

/* Where byte i of 192 interleaved ones comes from, in packed order: channel 0 in the first
 * source, 1 in the second (64 on), 2 in the third. */
#define PACKED(pixel) ((pixel) % 32 / 8 * 16 + (pixel) / 32 * 8 + (pixel) % 8)
#define FROM(i)       (uint8_t)(PACKED((i) / 3) + ((i) % 3 == 1 ? 64 : 0))
#define FROM_8(i)                                                                              \
    FROM(i), FROM(i + 1), FROM(i + 2), FROM(i + 3), FROM(i + 4), FROM(i + 5), FROM(i + 6),     \
        FROM(i + 7)
#define FROM_64(i)                                                                             \
    FROM_8(i), FROM_8(i + 8), FROM_8(i + 16), FROM_8(i + 24), FROM_8(i + 32), FROM_8(i + 40),  \
        FROM_8(i + 48), FROM_8(i + 56)
static const uint8_t from[3][64] = {{FROM_64(0)}, {FROM_64(64)}, {FROM_64(128)}};
static const uint64_t third[3] = {0x4924924924924924, 0x2492492492492492, 0x9249249249249249};

INLINE void store_pixels(uint8_t *dst, const int16_t *r, const int16_t *g, const int16_t *b,
                         size_t m)
{
    const vec red = channel_bytes(r, m), green = channel_bytes(g, m),
              blue = channel_bytes(b, m);
    for (size_t o = 0; o < 3; o++) {
        const vec index = _mm512_loadu_si512(from[o]);
        const vec two = _mm512_permutex2var_epi8(red, index, green);
        const vec all = _mm512_mask_permutexvar_epi8(two, third[o], index, blue);
        if (m == 64)
            _mm512_storeu_si512(dst + 64 * o, all);
        else if (3 * m > 64 * o)
            _mm512_mask_storeu_epi8(
                dst + 64 * o,
                _bzhi_u64(~0ull, 3 * m - 64 * o < 64 ? (unsigned)(3 * m - 64 * o) : 64), all);
    }
}

static void store(uint8_t *dst, const int16_t *r, const int16_t *g, const int16_t *b, size_t n)
{
    size_t x = 0;
    for (; x + 64 <= n; x += 64)
        store_pixels(dst + 3 * x, r + x, g + x, b + x, 64);
    if (x < n)
        store_pixels(dst + 3 * x, r + x, g + x, b + x, n - x);
}

void rq_kernels_add_avx512(rq_kernels *k)
{
    k->colour = colour;
    k->blur_line = blur_line;
    k->resize_v = resize_v;
    k->resize_h = resize_h;
    k->mask_row = mask_row;
    k->cut_row = cut_row;
    k->store = store;
}
#else
void rq_kernels_add_avx512(rq_kernels *k)
{
    (void)k;
}
#endif
