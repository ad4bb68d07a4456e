/* One source record to one sample: decode once for the verdict, choose how the picture is kept,
 * build the members, compress. The work of a build's threads.
 *
 * Nothing is re-encoded unless long_side, short_side or quality asks for it: bytes,
 * coefficients or pixels are kept exactly. (avif stores files that are not AVIF by encoding
 * them; that is what asking for it means.) What the encoding cannot hold is kept in the nearest
 * one that can, and counted. */
#ifndef RQ_PACK_ENCODE_H
#define RQ_PACK_ENCODE_H

#include "ingest/masks.h"
#include "ingest/source.h"
#include "ingest/verdict.h"
#include "pack/frame.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Chroma of what is re-encoded. */
typedef enum rq_chroma {
    RQ_CHROMA_AUTO = 0, /* 4:2:0 for jpeg, dct and avif; as it is for raw */
    RQ_CHROMA_KEEP,     /* the source's own sampling */
    RQ_CHROMA_420,
    RQ_CHROMA_444
} rq_chroma;

/* How pictures are stored. */
typedef struct rq_encode_opts {
    rq_encoding encoding; /* default: dct */
    int level;            /* zstd, 1..19; 0: rq_encode_level(encoding), the default */
    int long_side;        /* the longer side is reduced to this, never enlarged; 0: as it is */
    int short_side;       /* the shorter one; at most one of the two is given */
    int quality;          /* 1..100, every picture is encoded anew; 0: those that a size or
                             `avif` asks for are, at 90 */
    rq_chroma chroma;     /* of what is encoded anew; for raw, of every YCbCr picture */
    int avif_speed;       /* libavif's 0 (slow) to 10; default 9 */
    bool exif_apply; /* pictures stand upright as their EXIF asks; default false: ignored */
} rq_encode_opts;

void rq_encode_opts_default(rq_encode_opts *o);
/* zstd level that suits an encoding. */
int rq_encode_level(rq_encoding encoding);
/* INVALID_ARG or UNSUPPORTED in one sentence, in the words of the command line. */
RQ_NODISCARD rq_status rq_encode_opts_check(const rq_encode_opts *o, rq_err *err);

/* What came out. frame and report keep their storage from one record to the next. */
typedef struct rq_encoded {
    rq_verdict verdict;
    rq_status reason;          /* why it was rejected */
    bool fallback;             /* kept in another encoding than asked for: entry.encoding */
    char fallback_reason[192]; /* one sentence, "" when there is none */
    bool resized;              /* reduced */
    bool turned;               /* stands upright as its EXIF asks, in the file it did not */
    bool mask_failed;          /* it has a mask that cannot be used: packed without */
    rq_index_entry entry;
    rq_buf frame;  /* empty when rejected */
    rq_buf report; /* one JSON line */
} rq_encoded;

void rq_encoded_fini(rq_encoded *e);

/* One per thread. opts have passed rq_encode_opts_check. */
typedef struct rq_encoder rq_encoder;
RQ_NODISCARD rq_status rq_encoder_create(rq_encoder **out, const rq_encode_opts *opts,
                                         const rq_limits *limits, rq_masks *masks, rq_err *err);
void rq_encoder_destroy(rq_encoder **e);

/* Encodes a record. `ambiguous`: another entry has the same stem (rq_key_make). A bad image is
 * RQ_OK with verdict REJECTED; an error is one that ends the build. */
RQ_NODISCARD rq_status rq_encode_record(rq_encoder *e, const rq_record *rec, bool ambiguous,
                                        rq_encoded *out, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
