// SPDX-License-Identifier: Apache-2.0
// `dct` kernels in plain C: what every version must give, bit for bit. The transform is written
// with the blocks innermost, so that a compiler can vectorise it with whatever it has.
#include "pack/dct_kernels.h"

#include "common/cpu.h"

#include <string.h>

// clang-format off
const int16_t rq_dct_scale[64] = {
    16384, 22725, 21407, 19266, 16384, 12873,  8867, 4520,
    22725, 31521, 29692, 26722, 22725, 17855, 12299, 6270,
    21407, 29692, 27969, 25172, 21407, 16819, 11585, 5906,
    19266, 26722, 25172, 22654, 19266, 15137, 10426, 5315,
    16384, 22725, 21407, 19266, 16384, 12873,  8867, 4520,
    12873, 17855, 16819, 15137, 12873, 10114,  6967, 3552,
     8867, 12299, 11585, 10426,  8867,  6967,  4799, 2446,
     4520,  6270,  5906,  5315,  4520,  3552,  2446, 1247};
// clang-format on

/* ---- reading ----------------------------------------------------------------------------- */

static bool all_zero(const uint8_t *p, size_t n)
{
    uint8_t any = 0;
    for (size_t i = 0; i < n; i++)
        any |= p[i];
    return any == 0;
}

/* n (1..32) values of a plane from its value `first` on, a multiple of 32. *nonzero says
 * whether there is one; out is not written otherwise. False when escapes do not fit. */
static bool read_values(const uint8_t *data, int width, size_t first, int n, rq_dct_stream *s,
                        int16_t *out, bool *nonzero)
{
    const int cap = rq_dct_cap(width), per = 3 - width; /* 2^per values in a byte */
    const uint8_t *p = data + ((first << width) >> 3);
    *nonzero = !all_zero(p, rq_dct_plane_bytes((size_t)n, width));
    if (!*nonzero)
        return true;
    for (int i = 0; i < n; i++) {
        int m = p[i >> per] >> ((i & ((1 << per) - 1)) << width) & cap;
        if (m != 0) {
            if (m == cap && (m = rq_dct_escape(s, width)) < 0)
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
    const uint64_t dirty = b->present;
    b->present = 0;
    for (int i = 0; i < r->count; i++) {
        bool nonzero;
        if (!read_values(r->data[i], r->width[i], first, live, s, b->coef[r->place[i]],
                         &nonzero))
            return false;
        b->present |= (uint64_t)nonzero << r->place[i];
    }
    const uint64_t stale = dirty & ~b->present;
    for (int k = 1; k < 64; k++)
        if (stale >> k & 1)
            memset(b->coef[k], 0, sizeof b->coef[k]);
    return s->sign_bit <= s->sign_bits;
}

/* ---- transform --------------------------------------------------------------------------- */

static inline int sat16(int x)
{
    return x < -32768 ? -32768 : x > 32767 ? 32767 : x;
}

static inline int add(int a, int b)
{
    return sat16(a + b);
}

static inline int sub(int a, int b)
{
    return sat16(a - b);
}

/* pmulhrsw: x * c / 2^15, rounded. */
static inline int mul(int x, int c)
{
    return (x * c + (1 << 14)) >> 15;
}

/* Column of 8 at in[0], in[step], ...: each element is the same for 32 blocks. */
static void idct_1d(const int16_t (*in)[RQ_DCT_BATCH], int16_t (*out)[RQ_DCT_BATCH], int step)
{
    for (int i = 0; i < RQ_DCT_BATCH; i++) {
        const int v0 = in[0][i], v1 = in[step][i], v2 = in[2 * step][i], v3 = in[3 * step][i];
        const int v4 = in[4 * step][i], v5 = in[5 * step][i], v6 = in[6 * step][i];
        const int v7 = in[7 * step][i];
        /* even part */
        const int t10 = add(v0, v4), t11 = sub(v0, v4), t13 = add(v2, v6), d = sub(v2, v6);
        const int t12 = sub(add(d, mul(d, RQ_DCT_C1414)), t13);
        const int e0 = add(t10, t13), e3 = sub(t10, t13), e1 = add(t11, t12);
        const int e2 = sub(t11, t12);
        /* odd part */
        const int z13 = add(v5, v3), z10 = sub(v5, v3), z11 = add(v1, v7), z12 = sub(v1, v7);
        const int o7 = add(z11, z13), g = sub(z11, z13);
        const int m11 = add(g, mul(g, RQ_DCT_C1414)), y = add(z10, z12);
        const int z5 = add(add(y, y), mul(y, RQ_DCT_C1847));
        const int m10 = sub(z5, add(z12, mul(z12, RQ_DCT_C1082)));
        const int o6 = sub(sub(z5, add(add(z10, z10), mul(z10, RQ_DCT_C2613))), o7);
        const int o5 = sub(m11, o6), o4 = sub(m10, o5);
        out[0][i] = (int16_t)add(e0, o7);
        out[7 * step][i] = (int16_t)sub(e0, o7);
        out[step][i] = (int16_t)add(e1, o6);
        out[6 * step][i] = (int16_t)sub(e1, o6);
        out[2 * step][i] = (int16_t)add(e2, o5);
        out[5 * step][i] = (int16_t)sub(e2, o5);
        out[3 * step][i] = (int16_t)add(e3, o4);
        out[4 * step][i] = (int16_t)sub(e3, o4);
    }
}

static void dequantise(const rq_dct_batch *b, const uint16_t quant[64],
                       int16_t (*w)[RQ_DCT_BATCH])
{
    for (int k = 0; k < 64; k++) {
        if (k > 0 && !(b->present >> k & 1)) {
            memset(w[k], 0, sizeof w[k]);
            continue;
        }
        const int q = quant[k], scale = rq_dct_scale[k];
        for (int i = 0; i < RQ_DCT_BATCH; i++) {
            const int16_t x = (int16_t)(uint16_t)((unsigned)b->coef[k][i] * (unsigned)q * 16u);
            w[k][i] = (int16_t)mul(x, scale);
        }
    }
}

static void store_unit(const rq_dct_target *t, int u, const int16_t (*w)[RQ_DCT_BATCH])
{
    uint8_t *row = t->plane + t->at[u];
    for (int y = 0; y < 8; y++, row += t->stride) {
        for (int x = 0; x < 8 * RQ_DCT_UNIT; x++) {
            const int v =
                add(w[8 * y + x % 8][RQ_DCT_UNIT * u + x / 8], RQ_DCT_ROUND) >> RQ_DCT_SHIFT;
            row[x] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
        }
    }
}

static void transform_c(const rq_dct_batch *b, const uint16_t quant[64], const rq_dct_target *t)
{
    int16_t w[64][RQ_DCT_BATCH], v[64][RQ_DCT_BATCH];
    dequantise(b, quant, w);
    for (int x = 0; x < 8; x++)
        idct_1d((const int16_t(*)[RQ_DCT_BATCH])(w + x), v + x, 8);
    for (int y = 0; y < 8; y++)
        idct_1d((const int16_t(*)[RQ_DCT_BATCH])(v + 8 * y), w + 8 * y, 1);
    for (int u = 0; u < t->units; u++)
        store_unit(t, u, (const int16_t(*)[RQ_DCT_BATCH])w);
}

const rq_dct_kernels rq_dct_kernels_c = {values_c, batch_c, transform_c};

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
