/* The three inner loops of `dct` decoding, in C and for AVX2 and AVX-512. All versions give the
 * same bits for every input, hostile ones included. Private to pack/dct*.c.
 *
 * 32 blocks of one class are a batch. `batch` reads their coefficients, one frequency at a time
 * with the blocks across the lanes; `transform` turns them into samples.
 *
 * The transform is Arai, Agui and Nakajima's (1988) in 16 bits with saturation: coefficients
 * are dequantised exactly, then scaled to 3 fractional bits. It holds samples to about +-512
 * levels around the middle; the encoder refuses pictures that leave that range. */
#ifndef RQ_PACK_DCT_KERNELS_H
#define RQ_PACK_DCT_KERNELS_H

#include "common/bytes.h"
#include "pack/dct_format.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Escapes and signs, read on from plane to plane. */
typedef struct rq_dct_stream {
    const uint8_t *escape[RQ_DCT_WIDTHS];
    const uint8_t *escape_end[RQ_DCT_WIDTHS];
    const uint8_t *signs;
    size_t sign_bit; /* of the next sign; may run up to 63 x 32 past the end inside a batch */
    size_t sign_bits;
} rq_dct_stream;

/* The AC planes of one class that are present, in zigzag order. */
typedef struct rq_dct_run {
    int count;
    uint8_t place[63]; /* in the block, natural order */
    uint8_t width[63];
    const uint8_t *data[63];
} rq_dct_run;

/* Coefficients of a batch: [natural place][block]. `present` has a bit for each place whose row
 * is not all zero; all other rows are zero. Row 0 is DC and belongs to the caller. */
typedef struct rq_dct_batch {
    _Alignas(64) int16_t coef[64][RQ_DCT_BATCH];
    uint64_t present;
} rq_dct_batch;

/* Where a batch's units go: unit u is 16 samples wide and 8 high at plane + at[u]. */
typedef struct rq_dct_target {
    uint8_t *plane;
    size_t stride;
    const uint32_t *at;
    int units; /* 1..16 */
} rq_dct_target;

typedef struct rq_dct_kernels {
    /* n signed values of a plane into out, which has room for n rounded up to 32. False when
     * the stream runs out of escapes, an escape is out of range, or signs ran out. */
    bool (*values)(const rq_dct_plane *p, size_t n, rq_dct_stream *s, int16_t *out);
    /* AC of the blocks `first` (a multiple of 32) to first + live - 1 (live 1..32) of a class.
     * False as above. */
    bool (*batch)(const rq_dct_run *r, size_t first, int live, rq_dct_stream *s,
                  rq_dct_batch *b);
    /* Dequantises, transforms, stores. quant in natural order. */
    void (*transform)(const rq_dct_batch *b, const uint16_t quant[64], const rq_dct_target *t);
} rq_dct_kernels;

/* The best for a set of RQ_CPU_ bits. */
const rq_dct_kernels *rq_dct_kernels_get(unsigned cpu_flags);

extern const rq_dct_kernels rq_dct_kernels_c;
extern const rq_dct_kernels rq_dct_kernels_avx2;
extern const rq_dct_kernels rq_dct_kernels_avx512;

/* ---- shared by the versions -------------------------------------------------------------- */

/* Scale of AAN: 2^14 a(row) a(column), a(0) = 1, a(k) = sqrt(2) cos(k pi / 16). */
extern const int16_t rq_dct_scale[64];

/* Fixed point, 15 bits behind the point: x * sqrt(2) is x + x * C_SQRT2 and so on. */
enum {
    RQ_DCT_C1414 = 13573, /* sqrt(2) - 1 */
    RQ_DCT_C1847 = -4989, /* 2 cos(pi/8) - 2 */
    RQ_DCT_C1082 = 2700,  /* 2 (cos(pi/8) - cos(3 pi/8)) - 1 */
    RQ_DCT_C2613 = 20091, /* 2 (cos(pi/8) + cos(3 pi/8)) - 2 */
    RQ_DCT_ROUND = 32 + 128 * 64,
    RQ_DCT_SHIFT = 6 /* 3 fractional bits and AAN's 1/8 */
};

/* Largest symbol of a width, the escape. */
static inline int rq_dct_cap(int width)
{
    return (1 << (1 << width)) - 1;
}

/* One escaped magnitude; -1 when there is none or it is out of range. */
static inline int rq_dct_escape(rq_dct_stream *s, int width)
{
    const uint8_t *p = s->escape[width], *end = s->escape_end[width];
    const int cap = rq_dct_cap(width);
    if (p == end)
        return -1;
    if (*p < 255) {
        s->escape[width] = p + 1;
        return cap + *p;
    }
    if (end - p < 3)
        return -1;
    const int m = rq_get_le16(p + 1);
    s->escape[width] = p + 3;
    return m < cap + 255 || m > RQ_DCT_MAX_MAGNITUDE ? -1 : m;
}

/* The next 32 signs, as bits. Reads 8 bytes. */
static inline uint32_t rq_dct_signs(const rq_dct_stream *s)
{
    return (uint32_t)(rq_get_le64(s->signs + (s->sign_bit >> 3)) >> (s->sign_bit & 7));
}

#ifdef __cplusplus
}
#endif
#endif
