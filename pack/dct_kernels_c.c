// SPDX-License-Identifier: Apache-2.0
// `dct` kernels in plain C: what every version must give, bit for bit. The transform is written
// with the blocks innermost, so that a compiler can vectorise it with whatever it has.
#include "pack/dct_kernels.h"

#include "common/cpu.h"

#include <string.h>

// clang-format off
/* Scale of AAN: 2^14 a(row) a(column), a(0) = 1, a(k) = sqrt(2) cos(k pi / 16). */
static const int16_t scale_of[64] = {
    16384, 22725, 21407, 19266, 16384, 12873,  8867, 4520,
    22725, 31521, 29692, 26722, 22725, 17855, 12299, 6270,
    21407, 29692, 27969, 25172, 21407, 16819, 11585, 5906,
    19266, 26722, 25172, 22654, 19266, 15137, 10426, 5315,
    16384, 22725, 21407, 19266, 16384, 12873,  8867, 4520,
    12873, 17855, 16819, 15137, 12873, 10114,  6967, 3552,
     8867, 12299, 11585, 10426,  8867,  6967,  4799, 2446,
     4520,  6270,  5906,  5315,  4520,  3552,  2446, 1247};
// clang-format on

void rq_dct_factors_set(rq_dct_factors *f, const uint16_t quant[64])
{
    for (int k = 0; k < 64; k++) {
        f->quant16[k] = (quant[k] * 16u & 0xffff) * 0x10001u;
        f->scale[k] = (uint32_t)scale_of[k] * 0x10001u;
    }
}

/* ---- order ------------------------------------------------------------------------------- */

void rq_dct_sort_c(rq_dct_order *o, const rq_dct_row *r)
{
    for (size_t x = 0; x < r->units; x++) {
        const size_t u = r->first + x;
        const int t = o->map[u / 2] >> (u % 2 * 4) & 15;
        const size_t at = o->next[t]++;
        memcpy(o->dc + RQ_DCT_UNIT * at, r->dc + RQ_DCT_UNIT * x, RQ_DCT_UNIT * sizeof *o->dc);
        o->places[at] = r->place + (uint32_t)x * r->step;
    }
}

/* ---- reading ----------------------------------------------------------------------------- */

static bool all_zero(const uint8_t *p, size_t n)
{
    uint8_t any = 0;
    for (size_t i = 0; i < n; i++)
        any |= p[i];
    return any == 0;
}

/* n (1..64) values of a plane from its value `first` on, a multiple of 64. *nonzero says
 * whether there is one; out is not written otherwise. False when escapes do not fit. */
static bool read_values(const uint8_t *data, int width, size_t first, int n, rq_dct_stream *s,
                        int16_t *out, bool *nonzero)
{
    const int cap = rq_dct_cap(width), per = 3 - width; /* 2^per values in a byte */
    const uint8_t *p = data + ((first << width) >> 3);
    *nonzero = false;
    if (all_zero(p, rq_dct_plane_bytes((size_t)n, width)))
        return true;
    for (int i = 0; i < n; i++) {
        int m = p[i >> per] >> ((i & ((1 << per) - 1)) << width) & cap;
        if (m != 0) {
            *nonzero = true;
            if (m == cap &&
                (m = rq_dct_escape(&s->escape[width], s->escape_end[width], width)) < 0)
                return false;
            if (s->signs[s->sign_bit >> 3] >> (s->sign_bit & 7) & 1)
                m = -m;
            s->sign_bit++;
        }
        out[i] = (int16_t)m;
    }
    for (int i = n; i < RQ_DCT_BATCH; i++)
        out[i] = 0;
    return true;
}

static bool values_c(const rq_dct_plane *p, size_t n, rq_dct_stream *s, int16_t *out)
{
    for (size_t i = 0; i < n; i += RQ_DCT_BATCH) {
        const size_t left = n - i;
        bool nonzero = false;
        if (p->data != NULL &&
            !read_values(p->data, p->width, i, left < RQ_DCT_BATCH ? (int)left : RQ_DCT_BATCH,
                         s, out + i, &nonzero))
            return false;
        if (!nonzero)
            memset(out + i, 0, RQ_DCT_BATCH * sizeof *out);
        if (s->sign_bit > s->sign_bits)
            return false;
    }
    return true;
}

static bool batch_c(const rq_dct_run *r, size_t first, int live, rq_dct_stream *s,
                    rq_dct_batch *b)
{
    b->present = 0;
    for (int w = 0, i = 0; w < RQ_DCT_WIDTHS; w++) {
        for (; i < r->end[w]; i++) {
            int16_t *row = b->coef[r->place[i]];
            bool nonzero;
            if (!read_values(r->data[i], w, first, live, s, row, &nonzero))
                return false;
            if (!nonzero)
                memset(row, 0, sizeof b->coef[0]);
            b->present |= (uint64_t)nonzero << r->place[i];
        }
    }
    return s->sign_bit <= s->sign_bits;
}

/* ---- transform --------------------------------------------------------------------------- */

/* Sums are modulo 2^16. */
static inline int16_t add(int16_t a, int16_t b)
{
    return (int16_t)(uint16_t)((unsigned)a + (unsigned)b);
}

static inline int16_t sub(int16_t a, int16_t b)
{
    return (int16_t)(uint16_t)((unsigned)a - (unsigned)b);
}

/* pmulhrsw: x * c / 2^15, rounded. */
static inline int16_t mul(int16_t x, int c)
{
    return (int16_t)((x * c + (1 << 14)) >> 15);
}

static inline int16_t saturated(int x)
{
    return (int16_t)(x < -32768 ? -32768 : x > 32767 ? 32767 : x);
}

/* Even and odd half of one transform: outputs are e + o and, from the end, e - o. */
static inline void idct_parts(const int16_t v[8], int16_t e[4], int16_t o[4])
{
    const int16_t t10 = add(v[0], v[4]), t11 = sub(v[0], v[4]), t13 = add(v[2], v[6]);
    const int16_t d = sub(v[2], v[6]), t12 = sub(add(d, mul(d, RQ_DCT_C1414)), t13);
    e[0] = add(t10, t13);
    e[1] = add(t11, t12);
    e[2] = sub(t11, t12);
    e[3] = sub(t10, t13);
    const int16_t z13 = add(v[5], v[3]), z10 = sub(v[5], v[3]);
    const int16_t z11 = add(v[1], v[7]), z12 = sub(v[1], v[7]);
    const int16_t g = sub(z11, z13), m11 = add(g, mul(g, RQ_DCT_C1414)), y = add(z10, z12);
    const int16_t z5 = add(add(y, y), mul(y, RQ_DCT_C1847));
    const int16_t m10 = sub(z5, add(z12, mul(z12, RQ_DCT_C1082)));
    o[0] = add(z11, z13);
    o[1] = sub(sub(z5, add(add(z10, z10), mul(z10, RQ_DCT_C2613))), o[0]);
    o[2] = sub(m11, o[1]);
    o[3] = sub(m10, o[2]);
}

/* Columns: sums wrap. w[8 y + x] is place (y, x) of all blocks. */
static void idct_columns(int16_t (*w)[RQ_DCT_BATCH])
{
    for (int x = 0; x < 8; x++) {
        for (int i = 0; i < RQ_DCT_BATCH; i++) {
            int16_t v[8], e[4], o[4];
            for (int y = 0; y < 8; y++)
                v[y] = w[8 * y + x][i];
            idct_parts(v, e, o);
            for (int y = 0; y < 4; y++) {
                w[8 * y + x][i] = add(e[y], o[y]);
                w[8 * (7 - y) + x][i] = sub(e[y], o[y]);
            }
        }
    }
}

/* Rows: outputs saturate, and are samples times 2^RQ_DCT_SHIFT. */
static void idct_rows(int16_t (*w)[RQ_DCT_BATCH])
{
    for (int y = 0; y < 8; y++) {
        for (int i = 0; i < RQ_DCT_BATCH; i++) {
            int16_t v[8], e[4], o[4];
            for (int x = 0; x < 8; x++)
                v[x] = w[8 * y + x][i];
            v[0] = add(v[0], RQ_DCT_ROUND);
            idct_parts(v, e, o);
            for (int x = 0; x < 4; x++) {
                w[8 * y + x][i] = saturated(e[x] + o[x]);
                w[8 * y + 7 - x][i] = saturated(e[x] - o[x]);
            }
        }
    }
}

static void dequantise(const rq_dct_batch *b, const rq_dct_factors *f,
                       int16_t (*w)[RQ_DCT_BATCH])
{
    for (int k = 0; k < 64; k++) {
        if (k > 0 && !(b->present >> k & 1)) {
            memset(w[k], 0, sizeof w[k]);
            continue;
        }
        const int q = (int)(f->quant16[k] & 0xffff), scale = (int)(f->scale[k] & 0xffff);
        for (int i = 0; i < RQ_DCT_BATCH; i++) {
            const int16_t x = (int16_t)(uint16_t)((unsigned)b->coef[k][i] * (unsigned)q);
            w[k][i] = mul(x, scale);
        }
    }
}

static void store_unit(const rq_dct_target *t, int u, const int16_t (*w)[RQ_DCT_BATCH])
{
    uint8_t *row = t->plane + t->at[u];
    for (int y = 0; y < 8; y++, row += t->stride) {
        for (int x = 0; x < 8 * RQ_DCT_UNIT; x++) {
            const int v = w[8 * y + x % 8][RQ_DCT_UNIT * u + x / 8] >> RQ_DCT_SHIFT;
            row[x] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
        }
    }
}

static void transform_c(const rq_dct_batch *b, const rq_dct_factors *f, const rq_dct_target *t)
{
    int16_t w[64][RQ_DCT_BATCH];
    dequantise(b, f, w);
    idct_columns(w);
    idct_rows(w);
    for (int u = 0; u < t->units; u++)
        store_unit(t, u, (const int16_t(*)[RQ_DCT_BATCH])w);
}

const rq_dct_kernels rq_dct_kernels_c = {rq_dct_sort_c, values_c, batch_c, transform_c};

const rq_dct_kernels *rq_dct_kernels_get(unsigned cpu_flags)
{
#if defined(__x86_64__)
    if ((cpu_flags & RQ_CPU_AVX2) != 0 && (cpu_flags & RQ_CPU_AVX512) != 0)
        return &rq_dct_kernels_avx512;
    if ((cpu_flags & RQ_CPU_AVX2) != 0)
        return &rq_dct_kernels_avx2;
#endif
    return &rq_dct_kernels_c;
}
