// SPDX-License-Identifier: Apache-2.0
// `dct` kernels for AVX-512 (F, BW, VL, VBMI2) with 32 blocks across the lanes of a register.
// Arithmetic and order are those of dct_kernels_c.c. Lanes stay where they are until the store:
// the last steps interleave bytes within 128-bit lanes only, each of which ends up as one row
// of a unit and is stored on its own.
#include "pack/dct_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

/* ---- reading ----------------------------------------------------------------------------- */

/* 32 symbols of a plane, one in a byte. */
static inline __m256i load_symbols(const uint8_t *p, int width)
{
    if (width == 3)
        return _mm256_loadu_si256((const void *)p);
    if (width == 2) {
        const __m256i w = _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)p));
        return _mm256_and_si256(_mm256_or_si256(w, _mm256_slli_epi16(w, 4)),
                                _mm256_set1_epi8(15));
    }
    if (width == 1) {
        const __m256i w = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)p));
        const __m256i v = _mm256_or_si256(w, _mm256_slli_epi32(w, 6));
        return _mm256_and_si256(_mm256_or_si256(v, _mm256_slli_epi32(v, 12)),
                                _mm256_set1_epi8(3));
    }
    return _mm256_maskz_set1_epi8(rq_get_le32(p), 1);
}

/* Magnitudes of escaped lanes, the rare kind: one of them does not fit a byte. */
static bool long_escapes(rq_dct_stream *s, int width, uint32_t lanes, __m512i *m)
{
    _Alignas(64) int16_t row[RQ_DCT_BATCH];
    _mm512_store_si512(row, *m);
    for (; lanes != 0; lanes &= lanes - 1) {
        const int v = rq_dct_escape(s, width);
        if (v < 0)
            return false;
        row[__builtin_ctz(lanes)] = (int16_t)v;
    }
    *m = _mm512_load_si512(row);
    return true;
}

static inline bool add_escapes(rq_dct_stream *s, int width, uint32_t lanes, __m512i *m)
{
    const uint8_t *p = s->escape[width];
    const int n = __builtin_popcount(lanes);
    if (s->escape_end[width] - p < n)
        return false;
    const __m256i e = _mm256_maskz_expand_epi8(lanes, _mm256_loadu_si256((const void *)p));
    if (_mm256_cmpeq_epi8_mask(e, _mm256_set1_epi8(-1)) != 0)
        return long_escapes(s, width, lanes, m);
    *m = _mm512_add_epi16(*m, _mm512_cvtepu8_epi16(e));
    s->escape[width] = p + n;
    return true;
}

/* The signed values of up to 32 blocks; *nonzero has their lanes. */
static inline bool read_values(const uint8_t *p, int width, uint32_t live, rq_dct_stream *s,
                               __m512i *values, uint32_t *nonzero)
{
    const __m256i symbols = _mm256_maskz_mov_epi8(live, load_symbols(p, width));
    const uint32_t lanes = _mm256_test_epi8_mask(symbols, symbols);
    const uint32_t escaped =
        _mm256_cmpeq_epi8_mask(symbols, _mm256_set1_epi8((char)rq_dct_cap(width)));
    __m512i m = _mm512_cvtepu8_epi16(symbols);
    *nonzero = lanes;
    if (escaped != 0 && !add_escapes(s, width, escaped, &m))
        return false;
    const uint32_t negative = _pdep_u32(rq_dct_signs(s), lanes);
    s->sign_bit += (size_t)__builtin_popcount(lanes);
    *values = _mm512_mask_sub_epi16(m, negative, _mm512_setzero_si512(), m);
    return true;
}

static inline uint32_t first_lanes(size_t n)
{
    return n >= 32 ? UINT32_MAX : (1u << n) - 1;
}

static bool values_avx512(const rq_dct_plane *p, size_t n, rq_dct_stream *s, int16_t *out)
{
    for (size_t i = 0; i < n; i += RQ_DCT_BATCH) {
        __m512i v = _mm512_setzero_si512();
        uint32_t nonzero;
        if (p->data != NULL && !read_values(p->data + ((i << p->width) >> 3), p->width,
                                            first_lanes(n - i), s, &v, &nonzero))
            return false;
        _mm512_storeu_si512(out + i, v);
        if (s->sign_bit > s->sign_bits)
            return false;
    }
    return true;
}

static bool batch_avx512(const rq_dct_run *r, size_t first, int live, rq_dct_stream *s,
                         rq_dct_batch *b)
{
    const uint32_t lanes = first_lanes((size_t)live);
    uint64_t stale = b->present & ~(uint64_t)1, present = 0;
    for (int i = 0; i < r->count; i++) {
        const int width = r->width[i], place = r->place[i];
        __m512i v;
        uint32_t nonzero;
        if (!read_values(r->data[i] + ((first << width) >> 3), width, lanes, s, &v, &nonzero))
            return false;
        if (nonzero != 0) {
            _mm512_store_si512(b->coef[place], v);
            present |= (uint64_t)1 << place;
        }
    }
    for (stale &= ~present; stale != 0; stale &= stale - 1)
        _mm512_store_si512(b->coef[__builtin_ctzll(stale)], _mm512_setzero_si512());
    b->present = present;
    return s->sign_bit <= s->sign_bits;
}

/* ---- transform --------------------------------------------------------------------------- */

static inline __m512i add(__m512i a, __m512i b)
{
    return _mm512_adds_epi16(a, b);
}

static inline __m512i sub(__m512i a, __m512i b)
{
    return _mm512_subs_epi16(a, b);
}

static inline __m512i mul(__m512i a, int c)
{
    return _mm512_mulhrs_epi16(a, _mm512_set1_epi16((int16_t)c));
}

static inline void idct_odd(const __m512i z[4], const __m512i e[4], __m512i v[8])
{
    const __m512i z13 = z[0], z10 = z[1], z11 = z[2], z12 = z[3];
    const __m512i o7 = add(z11, z13), g = sub(z11, z13);
    const __m512i m11 = add(g, mul(g, RQ_DCT_C1414)), y = add(z10, z12);
    const __m512i z5 = add(add(y, y), mul(y, RQ_DCT_C1847));
    const __m512i m10 = sub(z5, add(z12, mul(z12, RQ_DCT_C1082)));
    const __m512i o6 = sub(sub(z5, add(add(z10, z10), mul(z10, RQ_DCT_C2613))), o7);
    const __m512i o5 = sub(m11, o6), o4 = sub(m10, o5);
    v[0] = add(e[0], o7);
    v[7] = sub(e[0], o7);
    v[1] = add(e[1], o6);
    v[6] = sub(e[1], o6);
    v[2] = add(e[2], o5);
    v[5] = sub(e[2], o5);
    v[3] = add(e[3], o4);
    v[4] = sub(e[3], o4);
}

static inline void idct_8(__m512i v[8])
{
    const __m512i t10 = add(v[0], v[4]), t11 = sub(v[0], v[4]), t13 = add(v[2], v[6]);
    const __m512i d = sub(v[2], v[6]), t12 = sub(add(d, mul(d, RQ_DCT_C1414)), t13);
    const __m512i e[4] = {add(t10, t13), add(t11, t12), sub(t11, t12), sub(t10, t13)};
    const __m512i z[4] = {add(v[5], v[3]), sub(v[5], v[3]), add(v[1], v[7]), sub(v[1], v[7])};
    idct_odd(z, e, v);
}

/* The same for v[4] to v[7] zero; they need not be set. */
static inline void idct_4(__m512i v[8])
{
    const __m512i d = v[2], t12 = sub(add(d, mul(d, RQ_DCT_C1414)), d);
    const __m512i e[4] = {add(v[0], d), add(v[0], t12), sub(v[0], t12), sub(v[0], d)};
    const __m512i z[4] = {v[3], sub(_mm512_setzero_si512(), v[3]), v[1], v[1]};
    idct_odd(z, e, v);
}

static inline __m512i dequantise(const rq_dct_batch *b, const uint16_t quant[64], int k)
{
    const __m512i x =
        _mm512_mullo_epi16(_mm512_load_si512(b->coef[k]), _mm512_set1_epi16((int16_t)quant[k]));
    return mul(_mm512_slli_epi16(x, 4), rq_dct_scale[k]);
}

/* Samples of one row of 32 blocks: v[x] holds column x. q[i] gets units i, 4 + i, 8 + i, 12 +
 * i. */
static inline void row_of_units(const __m512i v[8], __m512i q[4])
{
    __m512i s[8];
    for (int x = 0; x < 8; x++)
        s[x] = _mm512_srai_epi16(add(v[x], _mm512_set1_epi16(RQ_DCT_ROUND)), RQ_DCT_SHIFT);
    const __m512i s02 = _mm512_packus_epi16(s[0], s[2]), s13 = _mm512_packus_epi16(s[1], s[3]);
    const __m512i s46 = _mm512_packus_epi16(s[4], s[6]), s57 = _mm512_packus_epi16(s[5], s[7]);
    const __m512i s01 = _mm512_unpacklo_epi8(s02, s13), s23 = _mm512_unpackhi_epi8(s02, s13);
    const __m512i s45 = _mm512_unpacklo_epi8(s46, s57), s67 = _mm512_unpackhi_epi8(s46, s57);
    const __m512i a0 = _mm512_unpacklo_epi16(s01, s23), a1 = _mm512_unpackhi_epi16(s01, s23);
    const __m512i b0 = _mm512_unpacklo_epi16(s45, s67), b1 = _mm512_unpackhi_epi16(s45, s67);
    q[0] = _mm512_unpacklo_epi32(a0, b0);
    q[1] = _mm512_unpackhi_epi32(a0, b0);
    q[2] = _mm512_unpacklo_epi32(a1, b1);
    q[3] = _mm512_unpackhi_epi32(a1, b1);
}

static inline void store_unit(uint8_t *p, __m128i samples)
{
    _mm_storeu_si128((void *)p, samples);
}

static inline void store_row(const rq_dct_target *t, size_t row, const __m512i q[4])
{
    uint8_t *plane = t->plane + row * t->stride;
    if (t->units == RQ_DCT_BATCH / RQ_DCT_UNIT) {
        for (int i = 0; i < 4; i++) {
            store_unit(plane + t->at[i], _mm512_castsi512_si128(q[i]));
            store_unit(plane + t->at[4 + i], _mm512_extracti32x4_epi32(q[i], 1));
            store_unit(plane + t->at[8 + i], _mm512_extracti32x4_epi32(q[i], 2));
            store_unit(plane + t->at[12 + i], _mm512_extracti32x4_epi32(q[i], 3));
        }
        return;
    }
    _Alignas(64) uint8_t all[4][64];
    for (int i = 0; i < 4; i++)
        _mm512_store_si512(all[i], q[i]);
    for (int u = 0; u < t->units; u++)
        memcpy(plane + t->at[u], all[u % 4] + u / 4 * 16, 16);
}

/* DC alone: every sample of a block is the same, and so is every row. */
static void transform_flat(const rq_dct_batch *b, const uint16_t quant[64],
                           const rq_dct_target *t)
{
    __m512i v[8], q[4];
    v[0] = dequantise(b, quant, 0);
    for (int x = 1; x < 8; x++)
        v[x] = v[0];
    row_of_units(v, q);
    for (size_t y = 0; y < 8; y++)
        store_row(t, y, q);
}

static void transform_avx512(const rq_dct_batch *b, const uint16_t quant[64],
                             const rq_dct_target *t)
{
    const uint64_t left_half = 0x0f0f0f0f0f0f0f0f;
    if ((b->present & ~(uint64_t)1) == 0) {
        transform_flat(b, quant, t);
        return;
    }
    __m512i w[8][8], q[4];
    const int columns = (b->present & ~left_half) == 0 ? 4 : 8;
    for (int x = 0; x < columns; x++) {
        __m512i v[8];
        const uint64_t used = b->present >> x & 0x0101010101010101;
        if (used >> 32 == 0) {
            for (int y = 0; y < 4; y++)
                v[y] = dequantise(b, quant, 8 * y + x);
            idct_4(v);
        } else {
            for (int y = 0; y < 8; y++)
                v[y] = dequantise(b, quant, 8 * y + x);
            idct_8(v);
        }
        for (int y = 0; y < 8; y++)
            w[y][x] = v[y];
    }
    for (size_t y = 0; y < 8; y++) {
        if (columns == 4)
            idct_4(w[y]);
        else
            idct_8(w[y]);
        row_of_units(w[y], q);
        store_row(t, y, q);
    }
}

const rq_dct_kernels rq_dct_kernels_avx512 = {values_avx512, batch_avx512, transform_avx512};

#endif
