// SPDX-License-Identifier: Apache-2.0
// `dct` kernels for AVX2 and BMI2: a batch is read whole, as 32 symbols of a byte, and
// transformed in two halves of 16 blocks. Arithmetic and order are those of dct_kernels_c.c.
#include "pack/dct_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

enum { HALF = RQ_DCT_BATCH / 2 };

/* ---- reading ----------------------------------------------------------------------------- */

/* Bit i of lanes as byte i, 0 or 255. */
static inline __m256i bytes_of(uint32_t lanes)
{
    const __m256i which =
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((int64_t)0x8040201008040201);
    const __m256i b = _mm256_shuffle_epi8(_mm256_set1_epi32((int)lanes), which);
    return _mm256_cmpeq_epi8(_mm256_and_si256(b, bit), bit);
}

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
    return _mm256_and_si256(bytes_of(rq_get_le32(p)), _mm256_set1_epi8(1));
}

/* Writes the escaped lanes of a row that has its other values. */
static bool add_escapes(rq_dct_stream *s, int width, uint32_t lanes, uint32_t negative,
                        int16_t *row)
{
    for (; lanes != 0; lanes &= lanes - 1) {
        const int lane = __builtin_ctz(lanes), v = rq_dct_escape(s, width);
        if (v < 0)
            return false;
        row[lane] = (int16_t)(negative >> lane & 1 ? -v : v);
    }
    return true;
}

/* The signed values of up to 32 blocks into a row; *nonzero has their lanes. The row is not
 * written when there are none. */
static inline bool read_values(const uint8_t *p, int width, uint32_t live, rq_dct_stream *s,
                               int16_t *row, uint32_t *nonzero)
{
    const __m256i zero = _mm256_setzero_si256();
    const __m256i symbols = load_symbols(p, width);
    const uint32_t lanes =
        ~(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(symbols, zero)) & live;
    *nonzero = lanes;
    if (lanes == 0)
        return true;
    const __m256i cap = _mm256_set1_epi8((char)rq_dct_cap(width));
    const uint32_t escaped =
        (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(symbols, cap)) & live;
    const uint32_t negative = _pdep_u32(rq_dct_signs(s), lanes);
    s->sign_bit += (size_t)__builtin_popcount(lanes);
    const __m256i kept =
        live == UINT32_MAX ? symbols : _mm256_and_si256(symbols, bytes_of(live));
    const __m256i sign = bytes_of(negative);
    for (int h = 0; h < 2; h++) {
        const __m128i m8 =
            h == 0 ? _mm256_castsi256_si128(kept) : _mm256_extracti128_si256(kept, 1);
        const __m128i s8 =
            h == 0 ? _mm256_castsi256_si128(sign) : _mm256_extracti128_si256(sign, 1);
        const __m256i m = _mm256_cvtepu8_epi16(m8), n = _mm256_cvtepi8_epi16(s8);
        _mm256_storeu_si256((void *)(row + HALF * h),
                            _mm256_sub_epi16(_mm256_xor_si256(m, n), n));
    }
    return escaped == 0 || add_escapes(s, width, escaped, negative, row);
}

static inline uint32_t first_lanes(size_t n)
{
    return n >= 32 ? UINT32_MAX : (1u << n) - 1;
}

static bool values_avx2(const rq_dct_plane *p, size_t n, rq_dct_stream *s, int16_t *out)
{
    for (size_t i = 0; i < n; i += RQ_DCT_BATCH) {
        uint32_t nonzero = 0;
        if (p->data != NULL && !read_values(p->data + ((i << p->width) >> 3), p->width,
                                            first_lanes(n - i), s, out + i, &nonzero))
            return false;
        if (nonzero == 0)
            memset(out + i, 0, RQ_DCT_BATCH * sizeof *out);
        if (s->sign_bit > s->sign_bits)
            return false;
    }
    return true;
}

static bool batch_avx2(const rq_dct_run *r, size_t first, int live, rq_dct_stream *s,
                       rq_dct_batch *b)
{
    const uint32_t lanes = first_lanes((size_t)live);
    uint64_t stale = b->present & ~(uint64_t)1, present = 0;
    for (int i = 0; i < r->count; i++) {
        const int width = r->width[i], place = r->place[i];
        uint32_t nonzero;
        if (!read_values(r->data[i] + ((first << width) >> 3), width, lanes, s, b->coef[place],
                         &nonzero))
            return false;
        present |= (uint64_t)(nonzero != 0) << place;
    }
    for (stale &= ~present; stale != 0; stale &= stale - 1)
        memset(b->coef[__builtin_ctzll(stale)], 0, sizeof b->coef[0]);
    b->present = present;
    return s->sign_bit <= s->sign_bits;
}

/* ---- transform --------------------------------------------------------------------------- */

static inline __m256i add(__m256i a, __m256i b)
{
    return _mm256_adds_epi16(a, b);
}

static inline __m256i sub(__m256i a, __m256i b)
{
    return _mm256_subs_epi16(a, b);
}

static inline __m256i mul(__m256i a, int c)
{
    return _mm256_mulhrs_epi16(a, _mm256_set1_epi16((int16_t)c));
}

static inline void idct_odd(const __m256i z[4], const __m256i e[4], __m256i v[8])
{
    const __m256i z13 = z[0], z10 = z[1], z11 = z[2], z12 = z[3];
    const __m256i o7 = add(z11, z13), g = sub(z11, z13);
    const __m256i m11 = add(g, mul(g, RQ_DCT_C1414)), y = add(z10, z12);
    const __m256i z5 = add(add(y, y), mul(y, RQ_DCT_C1847));
    const __m256i m10 = sub(z5, add(z12, mul(z12, RQ_DCT_C1082)));
    const __m256i o6 = sub(sub(z5, add(add(z10, z10), mul(z10, RQ_DCT_C2613))), o7);
    const __m256i o5 = sub(m11, o6), o4 = sub(m10, o5);
    v[0] = add(e[0], o7);
    v[7] = sub(e[0], o7);
    v[1] = add(e[1], o6);
    v[6] = sub(e[1], o6);
    v[2] = add(e[2], o5);
    v[5] = sub(e[2], o5);
    v[3] = add(e[3], o4);
    v[4] = sub(e[3], o4);
}

static inline void idct_8(__m256i v[8])
{
    const __m256i t10 = add(v[0], v[4]), t11 = sub(v[0], v[4]), t13 = add(v[2], v[6]);
    const __m256i d = sub(v[2], v[6]), t12 = sub(add(d, mul(d, RQ_DCT_C1414)), t13);
    const __m256i e[4] = {add(t10, t13), add(t11, t12), sub(t11, t12), sub(t10, t13)};
    const __m256i z[4] = {add(v[5], v[3]), sub(v[5], v[3]), add(v[1], v[7]), sub(v[1], v[7])};
    idct_odd(z, e, v);
}

/* The same for v[4] to v[7] zero; they need not be set. */
static inline void idct_4(__m256i v[8])
{
    const __m256i d = v[2], t12 = sub(add(d, mul(d, RQ_DCT_C1414)), d);
    const __m256i e[4] = {add(v[0], d), add(v[0], t12), sub(v[0], t12), sub(v[0], d)};
    const __m256i z[4] = {v[3], sub(_mm256_setzero_si256(), v[3]), v[1], v[1]};
    idct_odd(z, e, v);
}

static inline __m256i dequantise(const int16_t (*coef)[RQ_DCT_BATCH], const uint16_t quant[64],
                                 int k)
{
    const __m256i x = _mm256_mullo_epi16(_mm256_load_si256((const void *)coef[k]),
                                         _mm256_set1_epi16((int16_t)quant[k]));
    return mul(_mm256_slli_epi16(x, 4), rq_dct_scale[k]);
}

/* Samples of one row of 16 blocks: v[x] holds column x. q[i] gets the units i and 4 + i. */
static inline void row_of_units(const __m256i v[8], __m256i q[4])
{
    __m256i s[8];
    for (int x = 0; x < 8; x++)
        s[x] = _mm256_srai_epi16(add(v[x], _mm256_set1_epi16(RQ_DCT_ROUND)), RQ_DCT_SHIFT);
    const __m256i s02 = _mm256_packus_epi16(s[0], s[2]), s13 = _mm256_packus_epi16(s[1], s[3]);
    const __m256i s46 = _mm256_packus_epi16(s[4], s[6]), s57 = _mm256_packus_epi16(s[5], s[7]);
    const __m256i s01 = _mm256_unpacklo_epi8(s02, s13), s23 = _mm256_unpackhi_epi8(s02, s13);
    const __m256i s45 = _mm256_unpacklo_epi8(s46, s57), s67 = _mm256_unpackhi_epi8(s46, s57);
    const __m256i a0 = _mm256_unpacklo_epi16(s01, s23), a1 = _mm256_unpackhi_epi16(s01, s23);
    const __m256i b0 = _mm256_unpacklo_epi16(s45, s67), b1 = _mm256_unpackhi_epi16(s45, s67);
    q[0] = _mm256_unpacklo_epi32(a0, b0);
    q[1] = _mm256_unpackhi_epi32(a0, b0);
    q[2] = _mm256_unpacklo_epi32(a1, b1);
    q[3] = _mm256_unpackhi_epi32(a1, b1);
}

static inline void store_row(uint8_t *row, const uint32_t *at, int units, const __m256i q[4])
{
    if (units == HALF / RQ_DCT_UNIT) {
        for (int i = 0; i < 4; i++) {
            _mm_storeu_si128((void *)(row + at[i]), _mm256_castsi256_si128(q[i]));
            _mm_storeu_si128((void *)(row + at[4 + i]), _mm256_extracti128_si256(q[i], 1));
        }
        return;
    }
    _Alignas(32) uint8_t all[4][32];
    for (int i = 0; i < 4; i++)
        _mm256_store_si256((void *)all[i], q[i]);
    for (int u = 0; u < units; u++)
        memcpy(row + at[u], all[u % 4] + u / 4 * 16, 16);
}

/* 16 blocks; coef begins at their lane. */
static void transform_half(const int16_t (*coef)[RQ_DCT_BATCH], uint64_t present,
                           const uint16_t quant[64], const rq_dct_target *t)
{
    const uint64_t left_half = 0x0f0f0f0f0f0f0f0f;
    __m256i w[8][8], q[4];
    if ((present & ~(uint64_t)1) == 0) { /* DC alone: all rows are the same */
        for (int x = 0; x < 8; x++)
            w[0][x] = dequantise(coef, quant, 0);
        row_of_units(w[0], q);
        for (size_t y = 0; y < 8; y++)
            store_row(t->plane + y * t->stride, t->at, t->units, q);
        return;
    }
    const int columns = (present & ~left_half) == 0 ? 4 : 8;
    for (int x = 0; x < columns; x++) {
        __m256i v[8];
        const bool top = (present >> x & 0x0101010100000000) == 0;
        for (int y = 0; y < (top ? 4 : 8); y++)
            v[y] = dequantise(coef, quant, 8 * y + x);
        if (top)
            idct_4(v);
        else
            idct_8(v);
        for (int y = 0; y < 8; y++)
            w[y][x] = v[y];
    }
    for (size_t y = 0; y < 8; y++) {
        if (columns == 4)
            idct_4(w[y]);
        else
            idct_8(w[y]);
        row_of_units(w[y], q);
        store_row(t->plane + y * t->stride, t->at, t->units, q);
    }
}

static void transform_avx2(const rq_dct_batch *b, const uint16_t quant[64],
                           const rq_dct_target *t)
{
    for (int first = 0; first < t->units; first += HALF / RQ_DCT_UNIT) {
        rq_dct_target half = *t;
        half.at += first;
        half.units =
            t->units - first < HALF / RQ_DCT_UNIT ? t->units - first : HALF / RQ_DCT_UNIT;
        const int16_t(*coef)[RQ_DCT_BATCH] =
            (const int16_t(*)[RQ_DCT_BATCH])(b->coef[0] + first * RQ_DCT_UNIT);
        transform_half(coef, b->present, quant, &half);
    }
}

const rq_dct_kernels rq_dct_kernels_avx2 = {values_avx2, batch_avx2, transform_avx2};

#endif
