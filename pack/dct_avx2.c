// SPDX-License-Identifier: Apache-2.0
// `dct` kernels for AVX2 and BMI2: a batch is read whole and transformed in four
// quarters of 16 blocks. Arithmetic and order are those of dct_kernels_c.c.
#include "pack/dct_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

enum { QUARTER = RQ_DCT_BATCH / 4 };

/* ---- reading ----------------------------------------------------------------------------- */

/* 64 bytes. */
typedef struct row {
    __m256i low, high;
} row;

/* Bit i of lanes as byte i, 0 or 255. */
static inline __m256i bytes_of(uint32_t lanes)
{
    const __m256i which =
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((int64_t)0x8040201008040201);
    const __m256i b = _mm256_shuffle_epi8(_mm256_set1_epi32((int)lanes), which);
    return _mm256_cmpeq_epi8(_mm256_and_si256(b, bit), bit);
}

static inline uint64_t lanes_of(__m256i low, __m256i high)
{
    return (uint32_t)_mm256_movemask_epi8(low) | (uint64_t)(uint32_t)_mm256_movemask_epi8(high)
                                                     << 32;
}

/* 32 symbols of a plane, one in a byte. */
static inline __m256i load_half(const uint8_t *p, int width)
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

/* 32 magnitudes and signs (0 or 255) to signed values. */
static inline void store_half(int16_t *to, __m256i m, __m256i s)
{
    const __m256i m0 = _mm256_cvtepu8_epi16(_mm256_castsi256_si128(m));
    const __m256i m1 = _mm256_cvtepu8_epi16(_mm256_extracti128_si256(m, 1));
    const __m256i s0 = _mm256_cvtepi8_epi16(_mm256_castsi256_si128(s));
    const __m256i s1 = _mm256_cvtepi8_epi16(_mm256_extracti128_si256(s, 1));
    _mm256_storeu_si256((void *)to, _mm256_sub_epi16(_mm256_xor_si256(m0, s0), s0));
    _mm256_storeu_si256((void *)(to + 16), _mm256_sub_epi16(_mm256_xor_si256(m1, s1), s1));
}

/* Writes the escaped lanes of a row that has its other values. */
static inline bool add_escapes(rq_dct_stream *s, int width, uint64_t lanes, uint64_t negative,
                               int16_t *to)
{
    for (; lanes != 0; lanes &= lanes - 1) {
        const int lane = __builtin_ctzll(lanes);
        const int v = rq_dct_escape(&s->escape[width], s->escape_end[width], width);
        if (v < 0)
            return false;
        const int sign = -(int)(negative >> lane & 1);
        to[lane] = (int16_t)((v ^ sign) - sign);
    }
    return true;
}

/* The signed values of up to 64 blocks into a row; *nonzero has their lanes. */
static inline __attribute__((always_inline)) bool read_values(const uint8_t *p, int width,
                                                              uint64_t live, rq_dct_stream *s,
                                                              int16_t *to, uint64_t *nonzero)
{
    const __m256i zero = _mm256_setzero_si256();
    const __m256i cap = _mm256_set1_epi8((char)rq_dct_cap(width));
    row m = {load_half(p, width), load_half(p + ((32 << width) >> 3), width)};
    if (live != UINT64_MAX) {
        m.low = _mm256_and_si256(m.low, bytes_of((uint32_t)live));
        m.high = _mm256_and_si256(m.high, bytes_of((uint32_t)(live >> 32)));
    }
    const uint64_t lanes =
        ~lanes_of(_mm256_cmpeq_epi8(m.low, zero), _mm256_cmpeq_epi8(m.high, zero));
    const uint64_t escaped =
        lanes_of(_mm256_cmpeq_epi8(m.low, cap), _mm256_cmpeq_epi8(m.high, cap));
    const uint64_t negative = _pdep_u64(rq_dct_signs(s->signs, s->sign_bit), lanes);
    s->sign_bit += (size_t)__builtin_popcountll(lanes);
    store_half(to, m.low, bytes_of((uint32_t)negative));
    store_half(to + 32, m.high, bytes_of((uint32_t)(negative >> 32)));
    *nonzero = lanes;
    return escaped == 0 || add_escapes(s, width, escaped, negative, to);
}

static inline uint64_t first_lanes(size_t n)
{
    return n >= 64 ? UINT64_MAX : ((uint64_t)1 << n) - 1;
}

static bool values_avx2(const rq_dct_plane *p, size_t n, rq_dct_stream *s, int16_t *out)
{
    for (size_t i = 0; i < n; i += RQ_DCT_BATCH) {
        uint64_t nonzero;
        if (p->data == NULL)
            memset(out + i, 0, RQ_DCT_BATCH * sizeof *out);
        else if (!read_values(p->data + ((i << p->width) >> 3), p->width, first_lanes(n - i), s,
                              out + i, &nonzero) ||
                 s->sign_bit > s->sign_bits)
            return false;
    }
    return true;
}

/* The planes of one width, so that the width is a constant. */
static inline __attribute__((always_inline)) bool read_planes(const rq_dct_run *r, int width,
                                                              size_t first, uint64_t live,
                                                              rq_dct_stream *stream,
                                                              rq_dct_batch *b)
{
    const size_t offset = (first << width) >> 3;
    rq_dct_stream s = *stream; /* in registers while the loop runs */
    uint64_t present = b->present;
    for (int i = width == 0 ? 0 : r->end[width - 1], n = r->end[width]; i < n; i++) {
        const int place = r->place[i];
        uint64_t nonzero;
        if (!read_values(r->data[i] + offset, width, live, &s, b->coef[place], &nonzero))
            return false;
        present |= (uint64_t)(nonzero != 0) << place;
    }
    b->present = present;
    stream->escape[width] = s.escape[width];
    stream->sign_bit = s.sign_bit;
    return true;
}

static bool batch_avx2(const rq_dct_run *r, size_t first, int live, rq_dct_stream *s,
                       rq_dct_batch *b)
{
    const uint64_t lanes = first_lanes((size_t)live);
    b->present = 0;
    return read_planes(r, 0, first, lanes, s, b) && read_planes(r, 1, first, lanes, s, b) &&
           read_planes(r, 2, first, lanes, s, b) && read_planes(r, 3, first, lanes, s, b) &&
           s->sign_bit <= s->sign_bits;
}

/* ---- transform --------------------------------------------------------------------------- */

static inline __m256i add(__m256i a, __m256i b)
{
    return _mm256_add_epi16(a, b);
}

static inline __m256i sub(__m256i a, __m256i b)
{
    return _mm256_sub_epi16(a, b);
}

static inline __m256i mul(__m256i a, int c)
{
    return _mm256_mulhrs_epi16(a, _mm256_set1_epi16((int16_t)c));
}

/* The odd half, and the outputs; those of rows saturate. */
static inline void idct_odd(const __m256i z[4], const __m256i e[4], bool rows, __m256i v[8])
{
    const __m256i z13 = z[0], z10 = z[1], z11 = z[2], z12 = z[3];
    const __m256i o7 = add(z11, z13), g = sub(z11, z13);
    const __m256i m11 = add(g, mul(g, RQ_DCT_C1414)), y = add(z10, z12);
    const __m256i z5 = add(add(y, y), mul(y, RQ_DCT_C1847));
    const __m256i m10 = sub(z5, add(z12, mul(z12, RQ_DCT_C1082)));
    const __m256i o6 = sub(sub(z5, add(add(z10, z10), mul(z10, RQ_DCT_C2613))), o7);
    const __m256i o5 = sub(m11, o6), o4 = sub(m10, o5);
    const __m256i o[4] = {o7, o6, o5, o4};
    for (int i = 0; i < 4; i++) {
        v[i] = rows ? _mm256_adds_epi16(e[i], o[i]) : add(e[i], o[i]);
        v[7 - i] = rows ? _mm256_subs_epi16(e[i], o[i]) : sub(e[i], o[i]);
    }
}

static inline void idct_8(__m256i v[8], bool rows)
{
    const __m256i t10 = add(v[0], v[4]), t11 = sub(v[0], v[4]), t13 = add(v[2], v[6]);
    const __m256i d = sub(v[2], v[6]), t12 = sub(add(d, mul(d, RQ_DCT_C1414)), t13);
    const __m256i e[4] = {add(t10, t13), add(t11, t12), sub(t11, t12), sub(t10, t13)};
    const __m256i z[4] = {add(v[5], v[3]), sub(v[5], v[3]), add(v[1], v[7]), sub(v[1], v[7])};
    idct_odd(z, e, rows, v);
}

/* The same for v[4] to v[7] zero; they need not be set. */
static inline void idct_4(__m256i v[8], bool rows)
{
    const __m256i d = v[2], t12 = sub(add(d, mul(d, RQ_DCT_C1414)), d);
    const __m256i e[4] = {add(v[0], d), add(v[0], t12), sub(v[0], t12), sub(v[0], d)};
    const __m256i z[4] = {v[3], sub(_mm256_setzero_si256(), v[3]), v[1], v[1]};
    idct_odd(z, e, rows, v);
}

static inline __m256i dequantise(const int16_t (*coef)[RQ_DCT_BATCH], const rq_dct_factors *f,
                                 int k)
{
    const __m256i x = _mm256_mullo_epi16(_mm256_load_si256((const void *)coef[k]),
                                         _mm256_set1_epi32((int)f->quant16[k]));
    return _mm256_mulhrs_epi16(x, _mm256_set1_epi32((int)f->scale[k]));
}

/* Samples of one row, RQ_DCT_ROUND already added, of 16 blocks: v[x] holds column x. q[i] gets
 * the units i and 4 + i. */
static inline void row_of_units(const __m256i v[8], __m256i q[4])
{
    __m256i s[8];
    for (int x = 0; x < 8; x++)
        s[x] = _mm256_srai_epi16(v[x], RQ_DCT_SHIFT);
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

static inline void store_row(uint8_t *const p[8], size_t offset, int units, const __m256i q[4])
{
    if (units == QUARTER / RQ_DCT_UNIT) {
        for (int i = 0; i < 4; i++) {
            _mm_storeu_si128((void *)(p[i] + offset), _mm256_castsi256_si128(q[i]));
            _mm_storeu_si128((void *)(p[4 + i] + offset), _mm256_extracti128_si256(q[i], 1));
        }
        return;
    }
    _Alignas(32) uint8_t all[4][32];
    for (int i = 0; i < 4; i++)
        _mm256_store_si256((void *)all[i], q[i]);
    for (int u = 0; u < units; u++)
        memcpy(p[u] + offset, all[u % 4] + u / 4 * 16, 16);
}

/* Columns of the left `columns` (4 or 8, a constant), then rows. */
static inline __attribute__((always_inline)) void
transform_columns(const int16_t (*coef)[RQ_DCT_BATCH], uint64_t present,
                  const rq_dct_factors *f, int columns, uint8_t *const p[8], size_t stride,
                  int units)
{
    __m256i w[8][8], q[4];
    for (int x = 0; x < columns; x++) {
        __m256i v[8];
        if ((present >> x & 0x0101010100000000) == 0) {
            for (int y = 0; y < 4; y++)
                v[y] = dequantise(coef, f, 8 * y + x);
            idct_4(v, false);
        } else {
            for (int y = 0; y < 8; y++)
                v[y] = dequantise(coef, f, 8 * y + x);
            idct_8(v, false);
        }
        for (int y = 0; y < 8; y++)
            w[y][x] = v[y];
    }
    for (size_t y = 0; y < 8; y++) {
        w[y][0] = add(w[y][0], _mm256_set1_epi16(RQ_DCT_ROUND));
        if (columns == 4)
            idct_4(w[y], true);
        else
            idct_8(w[y], true);
        row_of_units(w[y], q);
        store_row(p, y * stride, units, q);
    }
}

/* DC alone: every sample of a block is the same, and so is every row. */
static void transform_flat(const int16_t (*coef)[RQ_DCT_BATCH], const rq_dct_factors *f,
                           uint8_t *const p[8], size_t stride, int units)
{
    __m256i v[8], q[4];
    for (int x = 0; x < 8; x++)
        v[x] = add(dequantise(coef, f, 0), _mm256_set1_epi16(RQ_DCT_ROUND));
    row_of_units(v, q);
    for (size_t y = 0; y < 8; y++)
        store_row(p, y * stride, units, q);
}

static void transform_avx2(const rq_dct_batch *b, const rq_dct_factors *f,
                           const rq_dct_target *t)
{
    for (int first = 0; first < t->units; first += QUARTER / RQ_DCT_UNIT) {
        const int left = t->units - first;
        const int units = left < QUARTER / RQ_DCT_UNIT ? left : QUARTER / RQ_DCT_UNIT;
        const int16_t(*coef)[RQ_DCT_BATCH] =
            (const int16_t(*)[RQ_DCT_BATCH])(b->coef[0] + first * RQ_DCT_UNIT);
        uint8_t *p[QUARTER / RQ_DCT_UNIT];
        for (int u = 0; u < units; u++)
            p[u] = t->plane + t->at[first + u];
        if (b->present == 0)
            transform_flat(coef, f, p, t->stride, units);
        else if ((b->present & 0xf0f0f0f0f0f0f0f0) == 0)
            transform_columns(coef, b->present, f, 4, p, t->stride, units);
        else
            transform_columns(coef, b->present, f, 8, p, t->stride, units);
    }
}

const rq_dct_kernels rq_dct_kernels_avx2 = {rq_dct_sort_c, values_avx2, batch_avx2,
                                            transform_avx2};

#endif
