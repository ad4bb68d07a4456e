/* Bytes of a `dct` payload (FORMAT.md, "dct payload"), taken apart and checked. Private to
 * pack/dct*.c.
 *
 * The blocks of a component are gathered into classes of equal activity, two neighbouring
 * blocks (a unit) at a time. Each class has one plane for each frequency: magnitudes of 1, 2, 4
 * or 8 bits, the largest value of a width being an escape. Planes with like statistics are
 * stored next to each other as a group, and the encoder ends a zstd block behind each group, so
 * that each group has a Huffman table of its own. Signs are raw bits. */
#ifndef RQ_PACK_DCT_FORMAT_H
#define RQ_PACK_DCT_FORMAT_H

#include "ingest/codec.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    RQ_DCT_HEADER_BYTES = 32,
    RQ_DCT_COMPONENT_BYTES = 4,
    RQ_DCT_TABLE_BYTES = 128,
    RQ_DCT_TRAILER_BYTES = 576, /* zeros, so that vector reads stay inside the payload */
    RQ_DCT_MAX_CLASSES = 8,
    RQ_DCT_MAX_GROUPS = 64,
    RQ_DCT_WIDTHS = 4, /* 1, 2, 4 and 8 bits: width code 0..3 */
    RQ_DCT_UNIT = 2,   /* blocks */
    RQ_DCT_BATCH = 64, /* blocks that are coded and transformed together */
    RQ_DCT_MAX_SIDE = 65535,
    RQ_DCT_MAX_MAGNITUDE = 2047 /* of a coefficient or a difference of DC */
};

/* Frequency k in zigzag order to its place in the block (T.81, figure 5). */
extern const uint8_t rq_dct_zigzag[64];

/* Largest symbol of a width, the escape. */
static inline int rq_dct_cap(int width)
{
    return (1 << (1 << width)) - 1;
}

/* One plane of magnitudes. data is NULL when all are zero. */
typedef struct rq_dct_plane {
    const uint8_t *data;
    int width; /* code */
} rq_dct_plane;

typedef struct rq_dct_component {
    int h, v, table, classes;
    int blocks_x, blocks_y;
    int units_x;        /* per row: the last one may hold one block and one dummy */
    size_t blocks;      /* blocks_x * blocks_y */
    size_t units;       /* units_x * blocks_y */
    uint16_t quant[64]; /* natural order */
    const uint8_t *map; /* class of each unit, two in a byte; NULL with one class */
    rq_dct_plane dc;    /* of `blocks` differences */
    size_t class_units[RQ_DCT_MAX_CLASSES];
    rq_dct_plane plane[RQ_DCT_MAX_CLASSES][64]; /* by zigzag index; 0 is not used */
} rq_dct_component;

typedef struct rq_dct_layout {
    rq_pixels pixels;
    int width, height, components;
    int h_max, v_max;
    rq_dct_component component[3];
    const uint8_t *escape[RQ_DCT_WIDTHS];
    const uint8_t *escape_end[RQ_DCT_WIDTHS];
    const uint8_t *signs;
    size_t sign_bits;
} rq_dct_layout;

/* Fills everything that follows from width, height, pixels, h and v: sizes in blocks and units.
 * False for a combination that no payload may have. */
RQ_NODISCARD bool rq_dct_geometry(rq_dct_layout *l);
/* Luma samples per chroma sample. */
int rq_dct_sub_x(const rq_dct_layout *l);
int rq_dct_sub_y(const rq_dct_layout *l);

/* Header alone: magic, sizes, sampling, against the limits. BAD_FORMAT, LIMIT. */
RQ_NODISCARD rq_status rq_dct_parse_header(rq_dct_layout *l, const uint8_t *payload,
                                           size_t bytes, const rq_limits *limits, rq_err *err);
/* All of it: *l points into the payload afterwards, and every plane, escape and sign lies
 * within it. What is left to check is whether escapes and signs are as many as the planes ask
 * for. BAD_FORMAT, LIMIT. */
RQ_NODISCARD rq_status rq_dct_parse(rq_dct_layout *l, const uint8_t *payload, size_t bytes,
                                    const rq_limits *limits, rq_err *err);

/* Bytes of a plane of n values. */
static inline size_t rq_dct_plane_bytes(size_t n, int width)
{
    return ((n << width) + 7) >> 3;
}

#ifdef __cplusplus
}
#endif
#endif
