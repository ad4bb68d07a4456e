/* The shard format: constants and records shared by writer, reader and repair. FORMAT.md is the
 * byte-level specification; a name here is a name there. */
#ifndef RQ_PACK_FORMAT_H
#define RQ_PACK_FORMAT_H

#include <stdint.h>

enum {
    RQ_FORMAT_VERSION = 1,
    RQ_INDEX_HEADER_BYTES = 48, /* the 8 bytes of the skippable frame header included */
    RQ_INDEX_ENTRY_BYTES = 64,
    RQ_INDEX_TRAILER_BYTES = 32,
    RQ_TABLE_FOOTER_BYTES = 9,
    RQ_MAX_RAW_BYTES = 64 << 20,    /* a sample's tar members together */
    RQ_MAX_STORED_BYTES = 65 << 20, /* the same as a zstd frame that did not compress */
    RQ_MAX_KEY_BYTES = 80,          /* tar key, so that every member name fits a ustar header */
    RQ_MAX_SIDE = 65535,            /* width and height */
    RQ_MAX_SHARD_SAMPLES = 1 << 24,
    RQ_MAX_SHARDS = 65535,
    RQ_MAX_CLASSES = 1 << 20, /* labels are below: what is counted per class stays small */
    RQ_MAX_END_BYTES = 2048,  /* the end frame: 1,024 zero bytes, compressed or not */
    RQ_MAX_WINDOW_LOG = 27    /* so that every zstd decoder accepts a frame */
};
#define RQ_MAGIC_INDEX_FRAME 0x184D2A50u /* zstd skippable frame that holds the index */
#define RQ_MAGIC_TABLE_FRAME 0x184D2A5Eu /* zstd skippable frame of the seekable format */
#define RQ_MAGIC_TABLE       0x8F92EAB1u /* last four bytes of a file in the seekable format */
#define RQ_MAGIC_INDEX       "RQIX"

/* How the picture of a sample is coded. The numbers are on disk. */
typedef enum rq_encoding {
    RQ_ENCODING_JPEG = 1, /* KEY.jpg: the source's bytes, or re-encoded on request */
    RQ_ENCODING_DCT = 2,  /* KEY.rqd: quantised coefficients */
    RQ_ENCODING_AVIF = 3, /* KEY.avif */
    RQ_ENCODING_PPM = 4,  /* KEY.ppm or KEY.pgm: exact pixels, RGB or grey */
    RQ_ENCODING_RAW = 5   /* KEY.rqp: exact planes as decoded, predicted */
} rq_encoding;

/* rq_index_entry.flags. The three orientation bits hold the EXIF orientation, 1 to 8, minus 1:
 * how the decoded picture is to be turned. Width and height are those of the turned picture,
 * the stored bytes those of the source. */
enum { RQ_ENTRY_HAS_MASK = 1, RQ_ENTRY_ORIENTATION_SHIFT = 1, RQ_ENTRY_FLAGS = 15 };

/* One sample of a shard, as the index has it. */
typedef struct rq_index_entry {
    uint64_t offset;       /* of the zstd frame in the file */
    uint32_t stored_bytes; /* of the frame */
    uint32_t raw_bytes;    /* of its content, tar headers and padding included */
    uint64_t hash;         /* XXH3-64 of the stored bytes */
    uint64_t id;           /* sample id: place in the catalogue */
    int32_t label;         /* -1: none */
    uint32_t width, height;
    uint8_t encoding;                   /* rq_encoding */
    uint8_t flags;                      /* RQ_ENTRY_ bits; others are 0 */
    uint16_t shard;                     /* in memory: shard of the dataset; 0 on disk */
    uint32_t image_offset, image_bytes; /* inside the raw content */
    uint32_t mask_offset, mask_bytes;   /* 0, 0 without mask */
} rq_index_entry;

#ifdef __cplusplus
extern "C" {
#endif

/* EXIF orientation, 1 to 8, in an entry's flags. */
static inline int rq_entry_orientation(uint8_t flags)
{
    return ((flags >> RQ_ENTRY_ORIENTATION_SHIFT) & 7) + 1;
}

/* "jpeg", "dct", "avif", "ppm", "raw"; "unknown" for another number. */
const char *rq_encoding_name(rq_encoding encoding);

#ifdef __cplusplus
}
#endif
#endif
