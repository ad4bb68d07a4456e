/* Which planes of a `dct` payload share a Huffman table, and where its zstd blocks end.
 * Private to pack/dct*.c.
 *
 * All costs are integers (bits in 16.16 fixed point), so that every machine decides alike. */
#ifndef RQ_PACK_DCT_GROUPS_H
#define RQ_PACK_DCT_GROUPS_H

#include "pack/dct_format.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Logarithms for the costs. */
typedef struct rq_dct_cost {
    uint32_t log2[4096]; /* 65536 log2(n); [0] is 0 */
} rq_dct_cost;

void rq_dct_cost_init(rq_dct_cost *c);
/* What zstd's Huffman coder needs for symbols with this histogram, at least a bit for each. */
uint64_t rq_dct_cost_bits(const rq_dct_cost *c, const uint32_t hist[256]);

/* A plane that has been given its width and bytes. */
typedef struct rq_dct_coded {
    uint32_t hist[256]; /* of its bytes */
    size_t at, bytes;   /* in the packer's plane buffer */
    uint64_t mean;      /* magnitude, 16.16 */
    int width;          /* code */
    int group;          /* set by rq_dct_group */
} rq_dct_coded;

/* Puts planes of one width and like statistics into groups. Returns how many there are, at most
 * RQ_DCT_MAX_GROUPS; widths[g] is each one's width code. `order` is scratch for n pointers. */
int rq_dct_group(const rq_dct_cost *c, rq_dct_coded *planes, size_t n, rq_dct_coded **order,
                 uint8_t widths[RQ_DCT_MAX_GROUPS]);

/* Drops those of the n ascending `ends` (each the end of a part of data) at which a block of
 * its own does not pay; parts are cut by the ends, the last one is the end of the data
 * behind which only the trailer stands. Returns how
 * many are left. At most RQ_DCT_MAX_PARTS. */
enum { RQ_DCT_MAX_PARTS = RQ_DCT_MAX_GROUPS + 8 };
size_t rq_dct_join(const rq_dct_cost *c, const uint8_t *data, uint32_t *ends, size_t n);

#ifdef __cplusplus
}
#endif
#endif
