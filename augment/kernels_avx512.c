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
#define splat32(x)        _mm512_set1_epi32(x)
#define zip_low(a, b)     _mm512_unpacklo_epi16(a, b)
#define zip_high(a, b)    _mm512_unpackhi_epi16(a, b)
#define dot(sum, a, b)    _mm512_dpwssd_epi32(sum, a, b)
#define narrow(a, b, n)   _mm512_packs_epi32(_mm512_srai_epi32(a, n), _mm512_srai_epi32(b, n))
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

INLINE __m512i load_bytes(const uint8_t *p, __mmask64 m)
{
    return _mm512_maskz_loadu_epi8(m, p);
}

/* ---- resize ---------------------------------------------------------------------------- */

/* How the samples of 16 outputs are fetched: from one or two vectors behind the lowest sample,
 * or, where they lie too far apart, one by one. */
enum reach { REACH_64, REACH_128, REACH_ANY };

/* Sixteen outputs: the lowest sample, which of those behind it belong to the row, and which
 * four make an output. For REACH_ANY the places themselves. */
typedef struct group {
    int low;
    __mmask64 in[2];
    __m512i index;
    __m512i high, fine; /* weights of four taps */
} group;

INLINE __mmask64 samples(int n)
{
    return n >= 64 ? ~0ull : n > 0 ? _bzhi_u64(~0ull, (unsigned)n) : 0;
}

INLINE __m512i fetch(const group *g, const uint8_t *s, int unit, int window, enum reach reach)
{
    const uint8_t *p = s + g->low + 4 * unit;
    if (reach == REACH_ANY)
        return _mm512_i32gather_epi32(g->index, s + 4 * unit, 1);
    const int left = window - g->low - 4 * unit;
    const __m512i near = load_bytes(p, unit == 0 ? g->in[0] : samples(left));
    if (reach == REACH_64)
        return _mm512_permutexvar_epi8(g->index, near);
    const __m512i far = load_bytes(p + 64, unit == 0 ? g->in[1] : samples(left - 64));
    return _mm512_permutex2var_epi8(near, g->index, far);
}

INLINE __m512i weigh(__m512i x, __m512i high, __m512i fine, __m512i sum)
{
    const __m512i coarse = _mm512_dpbusd_epi32(_mm512_setzero_si512(), x, high);
    return _mm512_dpbusd_epi32(_mm512_add_epi32(sum, _mm512_slli_epi32(coarse, 7)), x, fine);
}

INLINE __m512i sixteen(const group *g, const uint8_t *s, const rq_taps *t, int o, bool four,
                       enum reach reach)
{
    __m512i sum = _mm512_set1_epi32((1 << 5) - (128 << 13));
    sum = weigh(fetch(g, s, 0, t->window, reach), g->high, g->fine, sum);
    for (int u = 1; !four && u < t->units; u++) {
        const uint32_t *w = t->weight + (ptrdiff_t)(2 * u) * t->stride + o;
        sum = weigh(fetch(g, s, u, t->window, reach), _mm512_loadu_si512(w),
                    _mm512_loadu_si512(w + t->stride), sum);
    }
    return _mm512_srai_epi32(sum, 6);
}

INLINE void set_group(group *g, const rq_taps *t, int o, enum reach reach)
{
    const __m512i first = _mm512_loadu_si512(t->first + o);
    g->low = t->low[o / RQ_TAPS_GROUP];
    g->in[0] = samples(t->window - g->low);
    g->in[1] = samples(t->window - g->low - 64);
    g->high = _mm512_loadu_si512(t->weight + o);
    g->fine = _mm512_loadu_si512(t->weight + t->stride + o);
    const __m512i from = _mm512_sub_epi32(first, _mm512_set1_epi32(g->low));
    g->index = reach == REACH_ANY
                   ? first
                   : _mm512_add_epi32(_mm512_mullo_epi32(from, _mm512_set1_epi32(0x01010101)),
                                      _mm512_set1_epi32(0x03020100));
}

INLINE void outputs(int16_t *dst, size_t dst_stride, const uint8_t *src, size_t src_stride,
                    int rows, const rq_taps *t, int o, size_t m, bool four, enum reach reach)
{
    const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    group g[2];
    set_group(&g[0], t, o, reach);
    set_group(&g[1], t, o + RQ_TAPS_GROUP, reach);
    for (int r = 0; r < rows; r++, dst += dst_stride, src += src_stride) {
        const __m512i all =
            _mm512_packs_epi32(sixteen(&g[0], src, t, o, four, reach),
                               sixteen(&g[1], src, t, o + RQ_TAPS_GROUP, four, reach));
        put(dst, _mm512_permutexvar_epi64(order, all), m);
    }
}

INLINE void all_outputs(int16_t *dst, size_t dst_stride, const uint8_t *src, size_t src_stride,
                        int rows, const rq_taps *t, bool four, enum reach reach)
{
    int o = 0;
    for (; o + LANES <= t->outputs; o += LANES)
        outputs(dst + o, dst_stride, src, src_stride, rows, t, o, LANES, four, reach);
    if (o < t->outputs)
        outputs(dst + o, dst_stride, src, src_stride, rows, t, o, (size_t)(t->outputs - o),
                four, reach);
}

static void resize_h(int16_t *dst, size_t dst_stride, const uint8_t *src, size_t src_stride,
                     int rows, const rq_taps *t)
{
#define ALL(four, reach) all_outputs(dst, dst_stride, src, src_stride, rows, t, four, reach)
    if (t->units == 1 && t->span <= 64) {
        ALL(true, REACH_64);
    } else if (t->span <= 128) {
        ALL(false, REACH_128);
    } else if (4 * t->units <= t->window) {
        ALL(false, REACH_ANY);
    } else {
        rq_kernels c;
        rq_kernels_add_c(&c);
        c.resize_h(dst, dst_stride, src, src_stride, rows, t);
    }
#undef ALL
}

/* Two rows of 32 numbers times their weights, added to the sums of the low and the high numbers
 * of each 128 bits. */
INLINE void add_rows(__m512i sum[2], __m512i a, __m512i b, uint32_t pair)
{
    const __m512i w = _mm512_set1_epi32((int)pair);
    sum[0] = _mm512_dpwssd_epi32(sum[0], _mm512_unpacklo_epi16(a, b), w);
    sum[1] = _mm512_dpwssd_epi32(sum[1], _mm512_unpackhi_epi16(a, b), w);
}

INLINE void columns(int16_t *dst, const rq_ring *ring, size_t first, const uint32_t *pair,
                    int taps, size_t x, size_t m)
{
    __m512i sum[2] = {_mm512_set1_epi32(1 << 14), _mm512_set1_epi32(1 << 14)};
#define ROW(t) load(ring->rows + ((first + (size_t)(t)) & ring->mask) * ring->stride + x, m)
    for (int t = 0; t + 1 < taps; t += 2)
        add_rows(sum, ROW(t), ROW(t + 1), pair[t / 2]);
    if (taps % 2 == 1)
        add_rows(sum, ROW(taps - 1), splat(0), pair[taps / 2]);
#undef ROW
    put(dst + x,
        _mm512_packs_epi32(_mm512_srai_epi32(sum[0], 15), _mm512_srai_epi32(sum[1], 15)), m);
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
    for (int x = 0; x < n; x += LANES) {
        const size_t m = n - x < LANES ? (size_t)(n - x) : LANES;
        const __m256i half =
            _mm256_maskz_loadu_epi16((__mmask16)first_of((m + 1) / 2), src + x / 2);
        const __m512i one = _mm512_cvtepu16_epi32(half);
        put(dst + x, _mm512_or_si512(one, _mm512_slli_epi32(one, 16)), m);
    }
}

static uint64_t sum_bytes(const uint8_t *src, int n)
{
    __m512i sum = _mm512_setzero_si512();
    for (int x = 0; x < n; x += 64)
        sum = _mm512_add_epi64(
            sum, _mm512_sad_epu8(load_bytes(src + x, samples(n - x)), _mm512_setzero_si512()));
    return (uint64_t)_mm512_reduce_add_epi64(sum);
}

/* ---- masks ----------------------------------------------------------------------------- */

INLINE __mmask16 first_16(int m)
{
    return (__mmask16)(m < 16 ? _bzhi_u32(0xffff, (unsigned)m) : 0xffff);
}

/* 16 places, of which `left` are wanted. */
INLINE void mask_16(uint8_t *dst, const float *line, const int32_t *first, const float *frac,
                    float threshold, int left)
{
    const __mmask16 m = left == 16 ? 0xffff : first_16(left);
    const float *p = line + first[0];
    const __m512i at =
        _mm512_sub_epi32(_mm512_maskz_loadu_epi32(m, first), _mm512_set1_epi32(first[0]));
    const int span = first[left - 1] - first[0];
    __m512 a, b;
    // The samples of sixteen places lie within a vector, mostly.
    if (span < 15) {
        const __m512 both = _mm512_loadu_ps(p);
        a = _mm512_permutexvar_ps(at, both);
        b = _mm512_permutexvar_ps(_mm512_add_epi32(at, _mm512_set1_epi32(1)), both);
    } else {
        a = _mm512_mask_i32gather_ps(_mm512_setzero_ps(), m, at, p, 4);
        b = _mm512_mask_i32gather_ps(_mm512_setzero_ps(), m, at, p + 1, 4);
    }
    const __m512 v =
        _mm512_add_ps(a, _mm512_mul_ps(_mm512_sub_ps(b, a), _mm512_maskz_loadu_ps(m, frac)));
    const __mmask16 front = _mm512_cmp_ps_mask(v, _mm512_set1_ps(threshold), _CMP_GT_OQ);
    if (left == 16)
        _mm_storeu_si128((__m128i *)dst, _mm_movm_epi8(front));
    else
        _mm_mask_storeu_epi8(dst, m, _mm_movm_epi8(front));
}

static void mask_row(uint8_t *dst, const float *line, const int32_t *first, const float *frac,
                     float threshold, int n)
{
    int x = 0;
    for (; x + 16 <= n; x += 16)
        mask_16(dst + x, line, first + x, frac + x, threshold, 16);
    if (x < n)
        mask_16(dst + x, line, first + x, frac + x, threshold, n - x);
}

static void cut_row(uint8_t *dst, const uint8_t *src, const uint8_t *front, uint8_t fill, int n)
{
    const __m512i other = _mm512_set1_epi8((char)fill);
    int x = 0;
    for (; x + 64 <= n; x += 64) {
        const __m512i keep = _mm512_loadu_si512(front + x);
        // keep ? src : fill, bit by bit
        _mm512_storeu_si512(
            dst + x, _mm512_ternarylogic_epi64(keep, _mm512_loadu_si512(src + x), other, 0xca));
    }
    if (x < n) {
        const __mmask64 m = samples(n - x);
        const __m512i keep = load_bytes(front + x, m);
        _mm512_mask_storeu_epi8(
            dst + x, m, _mm512_ternarylogic_epi64(keep, load_bytes(src + x, m), other, 0xca));
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

/* `past`: dst is aligned and written past the caches. */
INLINE void store_pixels(uint8_t *dst, const int16_t *r, const int16_t *g, const int16_t *b,
                         size_t m, bool past)
{
    const vec red = channel_bytes(r, m), green = channel_bytes(g, m),
              blue = channel_bytes(b, m);
    for (size_t o = 0; o < 3; o++) {
        const vec index = _mm512_loadu_si512(from[o]);
        const vec two = _mm512_permutex2var_epi8(red, index, green);
        const vec all = _mm512_mask_permutexvar_epi8(two, third[o], index, blue);
        if (past)
            _mm512_stream_si512((void *)(dst + 64 * o), all);
        else if (m == 64)
            _mm512_storeu_si512(dst + 64 * o, all);
        else if (3 * m > 64 * o)
            _mm512_mask_storeu_epi8(dst + 64 * o, samples((int)(3 * m - 64 * o)), all);
    }
}

static void store(uint8_t *dst, const int16_t *r, const int16_t *g, const int16_t *b, size_t n,
                  bool past)
{
    size_t x = 0;
    if (past && (uintptr_t)dst % 64 == 0) {
        for (; x + 64 <= n; x += 64)
            store_pixels(dst + 3 * x, r + x, g + x, b + x, 64, true);
        _mm_sfence();
    }
    for (; x + 64 <= n; x += 64)
        store_pixels(dst + 3 * x, r + x, g + x, b + x, 64, false);
    if (x < n)
        store_pixels(dst + 3 * x, r + x, g + x, b + x, n - x, false);
}

void rq_kernels_add_avx512(rq_kernels *k)
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
void rq_kernels_add_avx512(rq_kernels *k)
{
    (void)k;
}
#endif
