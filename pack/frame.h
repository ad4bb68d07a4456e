/* One sample as one zstd frame: tar members in, frame out, and back.
 *
 * The content is KEY.jpg|rqd|avif|ppm|pgm|rqp, KEY.mask.pgm (optional), KEY.cls (with a label),
 * KEY.json, each with its header and padded with zeros to 512 bytes. There is one valid content
 * for a sample, so reading checks every byte that is not payload. */
#ifndef RQ_PACK_FRAME_H
#define RQ_PACK_FRAME_H

#include "common/mem.h"
#include "pack/format.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A sample's members. Borrowed in both directions. */
typedef struct rq_members {
    char key[RQ_MAX_KEY_BYTES + 1];
    const uint8_t *image;
    size_t image_bytes;
    /* Writing only: ascending places in the image at which a zstd block ends (rq_dct_splits).
     */
    const uint32_t *image_splits;
    size_t n_image_splits;
    const uint8_t *mask; /* NULL without */
    size_t mask_bytes;
    const char *meta; /* KEY.json */
    size_t meta_bytes;
} rq_members;

/* zstd contexts and scratch of one thread. Zero-initialise; rq_frame_coder_fini when done. */
typedef struct rq_frame_coder {
    struct ZSTD_CCtx_s *cctx;
    struct ZSTD_DCtx_s *dctx;
    /* Reading: leave out zstd's checksum of the content. The hash of the stored bytes is
     * checked in any case; this one is for those who look for faults of the machine. */
    bool trust_hash;
    rq_buf raw;  /* tar content */
    rq_buf back; /* content decoded again, to compare */
} rq_frame_coder;

void rq_frame_coder_fini(rq_frame_coder *c);

/* Extension of the image member: by encoding, for PPM by the P6 or P5 it begins with. */
const char *rq_frame_extension(rq_encoding encoding, const uint8_t *image, size_t bytes);

/* Whether the image begins like what its encoding says it is: ppm with a PNM, jpeg with a JPEG,
 * avif with an AVIF, dct and raw with a payload of version 1. BAD_FORMAT. */
RQ_NODISCARD rq_status rq_frame_check_codec(rq_encoding encoding, const uint8_t *image,
                                            size_t bytes, rq_err *err);

/* Encodes m into frame (replaced). Of *e, encoding, label, width, height and id are inputs;
 * stored_bytes, raw_bytes, hash, flags and the places of image and mask are filled in. The
 * frame is decoded again and compared before it is returned. LIMIT when the members together
 * are larger than RQ_MAX_RAW_BYTES. */
RQ_NODISCARD rq_status rq_frame_encode(rq_frame_coder *c, int level, const rq_members *m,
                                       rq_index_entry *e, rq_buf *frame, rq_err *err);
/* The frame that ends the tar: 1,024 zero bytes. Replaces frame. */
RQ_NODISCARD rq_status rq_frame_encode_end(rq_frame_coder *c, rq_buf *frame, rq_err *err);

/* Decodes a frame and checks all of it against e: hash of the stored bytes first, then the
 * frame header, sizes, members, names, padding, label. *m points into c until its next use.
 * BAD_CHECKSUM, BAD_FORMAT. */
RQ_NODISCARD rq_status rq_frame_decode(rq_frame_coder *c, const uint8_t *frame,
                                       const rq_index_entry *e, rq_members *m, rq_err *err);
RQ_NODISCARD rq_status rq_frame_decode_end(rq_frame_coder *c, const uint8_t *frame,
                                           size_t bytes, rq_err *err);
/* The key that the (damaged) frame begins with, as far as it can still be read; "" otherwise.
 */
void rq_frame_guess_key(rq_frame_coder *c, const uint8_t *frame, size_t bytes,
                        char key[RQ_MAX_KEY_BYTES + 1]);

#ifdef __cplusplus
}
#endif
#endif
