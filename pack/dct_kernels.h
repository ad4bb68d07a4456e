/* The three inner loops of `dct` decoding, in C and for AVX2 and AVX-512. All versions give the
 * same bits for every input, hostile ones included. Private to pack/dct*.c.
 *
 * 64 blocks of one class are a batch. `batch` reads their coefficients, one frequency at a time
 * with the blocks across the lanes; `transform` turns them into samples.
 *
 * The transform is Arai, Agui and Nakajima's (1988) in 16 bits: coefficients are dequantised
 * exactly, then scaled to 3 fractional bits. Sums wrap, but for the last ones, which saturate
 * before the clamp to 0..255. It holds samples to about +-512 levels around the middle; the
 * encoder refuses pictures that leave that range. */
#ifndef RQ_PACK_DCT_KERNELS_H
#define RQ_PACK_DCT_KERNELS_H

#include "common/bytes.h"
#include "pack/dct_format.h"

/* Escapes and signs, read on from plane to plane. */
typedef struct rq_dct_stream {
    const uint8_t *escape[RQ_DCT_WIDTHS];
    const uint8_t *escape_end[RQ_DCT_WIDTHS];
    const uint8_t *signs;
    size_t sign_bit; /* of the next sign; may run up to 63 x 64 past the end inside a batch */
    size_t sign_bits;
} rq_dct_stream;

/* The AC planes of one class that are present, in the order in which they are coded: by width,
 * then by frequency. Planes of width code w are those from end[w - 1] (0) to end[w] - 1. */
typedef struct rq_dct_run {
    int end[RQ_DCT_WIDTHS];
    uint8_t place[63]; /* in the block, natural order */
    const uint8_t *data[63];
} rq_dct_run;

/* Coefficients of a batch: [natural place][block]. Row 0 is DC and belongs to the caller, who
 * also keeps the rows zero that are in no plane of the run. `present` has a bit for each AC row
 * that is not all zero. */
typedef struct rq_dct_batch {
    _Alignas(64) int16_t coef[64][RQ_DCT_BATCH];
    uint64_t present;
} rq_dct_batch;

/* What coefficients are multiplied with, natural order: the quantisation table times 16, modulo
 * 2^16, and the scale of AAN. Each stands twice in its word: a register is filled with words of
 * 32 bits by a load, with words of 16 bits only by a load and a shuffle. */
typedef struct rq_dct_factors {
    uint32_t quant16[64];
    uint32_t scale[64];
} rq_dct_factors;

void rq_dct_factors_set(rq_dct_factors *f, const uint16_t quant[64]);

/* Where a batch's units go: unit u is 16 samples wide and 8 high at plane + at[u]. */
typedef struct rq_dct_target {
    uint8_t *plane;
    size_t stride;
    const uint32_t *at;
    int units; /* 1..32 */
} rq_dct_target;

/* DC and places of the units, class by class. */
typedef struct rq_dct_order {
    const uint8_t
        *map; /* classes of all units, two in a byte; 9 bytes behind it are readable */
    int classes;
    size_t next[16];  /* of each class: where its next unit goes */
    int16_t *dc;      /* two for each unit */
    uint32_t *places; /* one for each unit */
} rq_dct_order;

/* Units of a row, for rq_dct_kernels.sort. */
typedef struct rq_dct_row {
    size_t first; /* unit, counted from the component's first */
    size_t units;
    const int16_t *dc;    /* of the row's blocks; readable for 64 values behind the last unit */
    uint32_t place, step; /* of the first unit, and from unit to unit */
} rq_dct_row;

typedef struct rq_dct_kernels {
    /* Puts a row's units behind those that their classes have so far. */
    void (*sort)(rq_dct_order *o, const rq_dct_row *r);
    /* n signed values of a plane into out, which has room for n rounded up to 64. False when
     * the stream runs out of escapes, an escape is out of range, or signs ran out. */
    bool (*values)(const rq_dct_plane *p, size_t n, rq_dct_stream *s, int16_t *out);
    /* AC of the blocks `first` (a multiple of 64) to first + live - 1 (live 1..64) of a class.
     * False as above. */
    bool (*batch)(const rq_dct_run *r, size_t first, int live, rq_dct_stream *s,
                  rq_dct_batch *b);
    /* Dequantises, transforms, stores. */
    void (*transform)(const rq_dct_batch *b, const rq_dct_factors *f, const rq_dct_target *t);
} rq_dct_kernels;

/* The best for a set of RQ_CPU_ bits. */
const rq_dct_kernels *rq_dct_kernels_get(unsigned cpu_flags);

extern const rq_dct_kernels rq_dct_kernels_c;
extern const rq_dct_kernels rq_dct_kernels_avx2;
extern const rq_dct_kernels rq_dct_kernels_avx512;

/* Member of rq_dct_kernels_c, for versions that have none of their own. */
void rq_dct_sort_c(rq_dct_order *o, const rq_dct_row *r);

/* ---- shared by the versions -------------------------------------------------------------- */

/* Fixed point, 15 bits behind the point: x * sqrt(2) is x + x * C_SQRT2 and so on. */
enum {
    RQ_DCT_C1414 = 13573, /* sqrt(2) - 1 */
    RQ_DCT_C1847 = -4989, /* 2 cos(pi/8) - 2 */
    RQ_DCT_C1082 = 2700,  /* 2 (cos(pi/8) - cos(3 pi/8)) - 1 */
    RQ_DCT_C2613 = 20091, /* 2 (cos(pi/8) + cos(3 pi/8)) - 2 */
    RQ_DCT_ROUND = 32 + 128 * 64,
    RQ_DCT_SHIFT = 6 /* 3 fractional bits and AAN's 1/8 */
};

/* One escaped magnitude of a width from *at; -1 when there is none or it is out of range. */
static inline int rq_dct_escape(const uint8_t **at, const uint8_t *end, int width)
{
    const uint8_t *p = *at;
    const int cap = rq_dct_cap(width);
    if (p == end)
        return -1;
    if (*p < 255) {
        *at = p + 1;
        return cap + *p;
    }
    if (end - p < 3)
        return -1;
    const int m = rq_get_le16(p + 1);
    *at = p + 3;
    return m < cap + 255 || m > RQ_DCT_MAX_MAGNITUDE ? -1 : m;
}

/* The 64 signs from a bit on. Reads 9 bytes. */
static inline uint64_t rq_dct_signs(const uint8_t *signs, size_t bit)
{
    const uint8_t *p = signs + (bit >> 3);
    const int shift = (int)(bit & 7);
    return rq_get_le64(p) >> shift | (uint64_t)p[8] << 1 << (63 - shift);
}

#endif
