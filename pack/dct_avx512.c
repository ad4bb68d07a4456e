// SPDX-License-Identifier: Apache-2.0
// `dct` kernels for AVX-512 (F, BW, VL, VBMI2): a batch of 64 blocks is read whole and
// transformed in two halves of 32, the blocks across the lanes of a register. Arithmetic and
// order are those of dct_kernels_c.c. Lanes stay where they are until the store: the last steps
// interleave bytes within 128-bit lanes only, each of which ends up as one row of a unit and is
// stored on its own.
#include "pack/dct_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

enum { HALF = RQ_DCT_BATCH / 2 };

/* ---- order ------------------------------------------------------------------------------- */

/* Classes of 16 units, one in a byte. */
static inline __m128i load_classes(const uint8_t *map, size_t unit)
{
    const uint8_t *p = map + unit / 2;
    const uint64_t half_bytes = 0x0f0f0f0f0f0f0f0f;
    uint64_t w = rq_get_le64(p);
    if (unit % 2 != 0)
        w = w >> 4 | (uint64_t)p[8] << 60;
    return _mm_set_epi64x((int64_t)_pdep_u64(w >> 32, half_bytes),
                          (int64_t)_pdep_u64(w, half_bytes));
}

static void sort_avx512(rq_dct_order *o, const rq_dct_row *r)
{
    const __m512i count =
        _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i steps = _mm512_mullo_epi32(count, _mm512_set1_epi32((int)r->step));
    for (size_t x = 0; x < r->units; x += 16) {
        const size_t left = r->units - x;
        const unsigned live = left < 16 ? (1u << left) - 1 : 0xffff;
        const __m128i classes = load_classes(o->map, r->first + x);
        const __m512i dc = _mm512_loadu_si512(r->dc + RQ_DCT_UNIT * x);
        const __m512i places =
            _mm512_add_epi32(steps, _mm512_set1_epi32((int)(r->place + (uint32_t)x * r->step)));
        for (int t = 0; t < o->classes; t++) {
            const unsigned of_class =
                _mm_mask_cmpeq_epi8_mask((__mmask16)live, classes, _mm_set1_epi8((char)t));
            const int n = __builtin_popcount(of_class);
            const __mmask16 front = (__mmask16)((1u << n) - 1), m = (__mmask16)of_class;
            _mm512_mask_storeu_epi32(o->dc + RQ_DCT_UNIT * o->next[t], front,
                                     _mm512_maskz_compress_epi32(m, dc));
            _mm512_mask_storeu_epi32(o->places + o->next[t], front,
                                     _mm512_maskz_compress_epi32(m, places));
            o->next[t] += (size_t)n;
        }
    }
}

/* ---- reading ----------------------------------------------------------------------------- */

/* 64 symbols of a plane, one in a byte. */
static inline __m512i load_symbols(const uint8_t *p, int width)
{
    if (width == 3)
        return _mm512_loadu_si512((const void *)p);
    if (width == 2) {
        const __m512i w = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const void *)p));
        return _mm512_and_si512(_mm512_or_si512(w, _mm512_slli_epi16(w, 4)),
                                _mm512_set1_epi8(15));
    }
    if (width == 1) {
        const __m512i w = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)p));
        const __m512i v = _mm512_or_si512(w, _mm512_slli_epi32(w, 6));
        return _mm512_and_si512(_mm512_or_si512(v, _mm512_slli_epi32(v, 12)),
                                _mm512_set1_epi8(3));
    }
    return _mm512_maskz_set1_epi8(rq_get_le64(p), 1);
}

/* Reading position, in registers while a loop runs. */
typedef struct position {
    const uint8_t *escape, *escape_end; /* of one width */
    const uint8_t *signs;
    size_t sign_bit;
} position;

/* 64 values of 16 bits. */
typedef struct row {
    __m512i low, high;
} row;

/* Magnitudes of escaped lanes, the rare kind: one of them does not fit a byte with the cap. */
static __attribute__((noinline)) bool long_escapes(position *p, int width, uint64_t lanes,
                                                   row *m)
{
    _Alignas(64) int16_t values[RQ_DCT_BATCH];
    _mm512_store_si512(values, m->low);
    _mm512_store_si512(values + 32, m->high);
    for (; lanes != 0; lanes &= lanes - 1) {
        const int v = rq_dct_escape(&p->escape, p->escape_end, width);
        if (v < 0)
            return false;
        values[__builtin_ctzll(lanes)] = (int16_t)v;
    }
    m->low = _mm512_load_si512(values);
    m->high = _mm512_load_si512(values + 32);
    return true;
}

static inline row widen(__m512i bytes)
{
    return (row){_mm512_cvtepu8_epi16(_mm512_castsi512_si256(bytes)),
                 _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(bytes, 1))};
}

/* The signed values of up to 64 blocks; *nonzero has their lanes. Escapes are fetched without
 * asking whether there are any: that would be guessed wrong too often. */
static inline __attribute__((always_inline)) bool read_values(const uint8_t *data, int width,
                                                              uint64_t live, position *p,
                                                              row *values, uint64_t *nonzero)
{
    const int cap = rq_dct_cap(width);
    const __m512i symbols = _mm512_maskz_mov_epi8(live, load_symbols(data, width));
    const uint64_t lanes = _mm512_test_epi8_mask(symbols, symbols);
    const uint64_t escaped = _mm512_cmpeq_epi8_mask(symbols, _mm512_set1_epi8((char)cap));
    const int n = __builtin_popcountll(escaped);
    if (p->escape_end - p->escape < n)
        return false;
    const __m512i e =
        _mm512_maskz_expand_epi8(escaped, _mm512_loadu_si512((const void *)p->escape));
    row m;
    if (_mm512_cmpgt_epu8_mask(e, _mm512_set1_epi8((char)(255 - cap))) == 0 &&
        (cap < 255 || escaped == 0)) {
        m = widen(_mm512_add_epi8(symbols, e));
        p->escape += n;
    } else {
        m = widen(symbols);
        if (!long_escapes(p, width, escaped, &m))
            return false;
    }
    const uint64_t negative = _pdep_u64(rq_dct_signs(p->signs, p->sign_bit), lanes);
    const __m512i zero = _mm512_setzero_si512();
    p->sign_bit += (size_t)__builtin_popcountll(lanes);
    values->low = _mm512_mask_sub_epi16(m.low, (__mmask32)negative, zero, m.low);
    values->high = _mm512_mask_sub_epi16(m.high, (__mmask32)(negative >> 32), zero, m.high);
    *nonzero = lanes;
    return true;
}

static inline void store_values(int16_t *to, const row *values)
{
    _mm512_storeu_si512(to, values->low);
    _mm512_storeu_si512(to + 32, values->high);
}

static inline uint64_t first_lanes(size_t n)
{
    return n >= 64 ? UINT64_MAX : ((uint64_t)1 << n) - 1;
}

static inline position begin(const rq_dct_stream *s, int width)
{
    return (position){s->escape[width], s->escape_end[width], s->signs, s->sign_bit};
}

static inline void end(rq_dct_stream *s, int width, const position *p)
{
    s->escape[width] = p->escape;
    s->sign_bit = p->sign_bit;
}

static bool values_avx512(const rq_dct_plane *plane, size_t n, rq_dct_stream *s, int16_t *out)
{
    position p = begin(s, plane->width);
    for (size_t i = 0; i < n; i += RQ_DCT_BATCH) {
        row v = {_mm512_setzero_si512(), _mm512_setzero_si512()};
        uint64_t nonzero;
        if (plane->data != NULL &&
            !read_values(plane->data + ((i << plane->width) >> 3), plane->width,
                         first_lanes(n - i), &p, &v, &nonzero))
            return false;
        store_values(out + i, &v);
        if (p.sign_bit > s->sign_bits)
            return false;
    }
    end(s, plane->width, &p);
    return true;
}

/* The planes of one width, so that the width is a constant. */
static inline __attribute__((always_inline)) bool read_planes(const rq_dct_run *r, int width,
                                                              size_t first, uint64_t live,
                                                              rq_dct_stream *s, rq_dct_batch *b)
{
    const size_t offset = (first << width) >> 3;
    position p = begin(s, width);
    uint64_t present = b->present;
    for (int i = width == 0 ? 0 : r->end[width - 1], n = r->end[width]; i < n; i++) {
        const int place = r->place[i];
        row v;
        uint64_t nonzero;
        if (!read_values(r->data[i] + offset, width, live, &p, &v, &nonzero))
            return false;
        store_values(b->coef[place], &v);
        present |= (uint64_t)(nonzero != 0) << place;
    }
    b->present = present;
    end(s, width, &p);
    return true;
}

static bool batch_avx512(const rq_dct_run *r, size_t first, int live, rq_dct_stream *s,
                         rq_dct_batch *b)
{
    const uint64_t lanes = first_lanes((size_t)live);
    b->present = 0;
    return read_planes(r, 0, first, lanes, s, b) && read_planes(r, 1, first, lanes, s, b) &&
           read_planes(r, 2, first, lanes, s, b) && read_planes(r, 3, first, lanes, s, b) &&
           s->sign_bit <= s->sign_bits;
}

/* ---- transform --------------------------------------------------------------------------- */

static inline __m512i add(__m512i a, __m512i b)
{
    return _mm512_add_epi16(a, b);
}

static inline __m512i sub(__m512i a, __m512i b)
{
    return _mm512_sub_epi16(a, b);
}

static inline __m512i mul(__m512i a, int c)
{
    return _mm512_mulhrs_epi16(a, _mm512_set1_epi16((int16_t)c));
}

/* The odd half, and the outputs; those of rows saturate. */
static inline void idct_odd(const __m512i z[4], const __m512i e[4], bool rows, __m512i v[8])
{
    const __m512i z13 = z[0], z10 = z[1], z11 = z[2], z12 = z[3];
    const __m512i o7 = add(z11, z13), g = sub(z11, z13);
    const __m512i m11 = add(g, mul(g, RQ_DCT_C1414)), y = add(z10, z12);
    const __m512i z5 = add(add(y, y), mul(y, RQ_DCT_C1847));
    const __m512i m10 = sub(z5, add(z12, mul(z12, RQ_DCT_C1082)));
    const __m512i o6 = sub(sub(z5, add(add(z10, z10), mul(z10, RQ_DCT_C2613))), o7);
    const __m512i o5 = sub(m11, o6), o4 = sub(m10, o5);
    const __m512i o[4] = {o7, o6, o5, o4};
    for (int i = 0; i < 4; i++) {
        v[i] = rows ? _mm512_adds_epi16(e[i], o[i]) : add(e[i], o[i]);
        v[7 - i] = rows ? _mm512_subs_epi16(e[i], o[i]) : sub(e[i], o[i]);
    }
}

static inline void idct_8(__m512i v[8], bool rows)
{
    const __m512i t10 = add(v[0], v[4]), t11 = sub(v[0], v[4]), t13 = add(v[2], v[6]);
    const __m512i d = sub(v[2], v[6]), t12 = sub(add(d, mul(d, RQ_DCT_C1414)), t13);
    const __m512i e[4] = {add(t10, t13), add(t11, t12), sub(t11, t12), sub(t10, t13)};
    const __m512i z[4] = {add(v[5], v[3]), sub(v[5], v[3]), add(v[1], v[7]), sub(v[1], v[7])};
    idct_odd(z, e, rows, v);
}

/* The same for v[4] to v[7] zero; they need not be set. */
static inline void idct_4(__m512i v[8], bool rows)
{
    const __m512i d = v[2], t12 = sub(add(d, mul(d, RQ_DCT_C1414)), d);
    const __m512i e[4] = {add(v[0], d), add(v[0], t12), sub(v[0], t12), sub(v[0], d)};
    const __m512i z[4] = {v[3], sub(_mm512_setzero_si512(), v[3]), v[1], v[1]};
    idct_odd(z, e, rows, v);
}

/* Half a batch: coef begins at its lanes. */
static inline __m512i dequantise(const int16_t (*coef)[RQ_DCT_BATCH], const rq_dct_factors *f,
                                 int k)
{
    const __m512i x =
        _mm512_mullo_epi16(_mm512_load_si512(coef[k]), _mm512_set1_epi32((int)f->quant16[k]));
    return _mm512_mulhrs_epi16(x, _mm512_set1_epi32((int)f->scale[k]));
}

/* Samples of one row, RQ_DCT_ROUND already added, of 32 blocks: v[x] holds column x. q[i] gets
 * units i, 4 + i, 8 + i, 12 + i. */
static inline void row_of_units(const __m512i v[8], __m512i q[4])
{
    __m512i s[8];
    for (int x = 0; x < 8; x++)
        s[x] = _mm512_srai_epi16(v[x], RQ_DCT_SHIFT);
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

/* Row by row into the units at p. */
static inline void store_row(uint8_t *const p[16], size_t offset, int units, const __m512i q[4])
{
    if (units == HALF / RQ_DCT_UNIT) {
        for (int i = 0; i < 4; i++) {
            store_unit(p[i] + offset, _mm512_castsi512_si128(q[i]));
            store_unit(p[4 + i] + offset, _mm512_extracti32x4_epi32(q[i], 1));
            store_unit(p[8 + i] + offset, _mm512_extracti32x4_epi32(q[i], 2));
            store_unit(p[12 + i] + offset, _mm512_extracti32x4_epi32(q[i], 3));
        }
        return;
    }
    _Alignas(64) uint8_t all[4][64];
    for (int i = 0; i < 4; i++)
        _mm512_store_si512(all[i], q[i]);
    for (int u = 0; u < units; u++)
        memcpy(p[u] + offset, all[u % 4] + u / 4 * 16, 16);
}

/* Columns of the left `columns` (4 or 8, a constant), then rows. */
static inline __attribute__((always_inline)) void
transform_columns(const int16_t (*coef)[RQ_DCT_BATCH], uint64_t present,
                  const rq_dct_factors *f, int columns, uint8_t *const p[16], size_t stride,
                  int units)
{
    __m512i w[8][8], q[4];
    for (int x = 0; x < columns; x++) {
        __m512i v[8];
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
        w[y][0] = add(w[y][0], _mm512_set1_epi16(RQ_DCT_ROUND));
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
                           uint8_t *const p[16], size_t stride, int units)
{
    __m512i v[8], q[4];
    for (int x = 0; x < 8; x++)
        v[x] = add(dequantise(coef, f, 0), _mm512_set1_epi16(RQ_DCT_ROUND));
    row_of_units(v, q);
    for (size_t y = 0; y < 8; y++)
        store_row(p, y * stride, units, q);
}

static void transform_avx512(const rq_dct_batch *b, const rq_dct_factors *f,
                             const rq_dct_target *t)
{
    for (int first = 0; first < t->units; first += HALF / RQ_DCT_UNIT) {
        const int left = t->units - first;
        const int units = left < HALF / RQ_DCT_UNIT ? left : HALF / RQ_DCT_UNIT;
        const int16_t(*coef)[RQ_DCT_BATCH] =
            (const int16_t(*)[RQ_DCT_BATCH])(b->coef[0] + first * RQ_DCT_UNIT);
        uint8_t *p[HALF / RQ_DCT_UNIT];
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

const rq_dct_kernels rq_dct_kernels_avx512 = {sort_avx512, values_avx512, batch_avx512,
                                              transform_avx512};

#endif
