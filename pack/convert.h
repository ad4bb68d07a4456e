/* One picture of a source in the form in which a sample keeps it: looks at it, decodes it once
 * in full, whatever it will be stored as, reduces and turns it where that is asked for, and
 * writes the image member. What was written is decoded again before it is given out.
 *
 * Thread rule: one rq_converter per thread. */
#ifndef RQ_PACK_CONVERT_H
#define RQ_PACK_CONVERT_H

#include "ingest/codec.h"
#include "pack/encode.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rq_converter rq_converter;
RQ_NODISCARD rq_status rq_converter_create(rq_converter **out, const rq_encode_opts *opts,
                                           const rq_limits *limits, rq_err *err);
void rq_converter_destroy(rq_converter **c);
/* For masks. */
rq_decoder *rq_converter_decoder(rq_converter *c);

typedef struct rq_converted {
    rq_image_info
        info;          /* of the source, with all notes; ORIENTATION only when it was ignored */
    char warning[256]; /* the codec's first one */
    rq_encoding encoding;
    const uint8_t *data; /* the image member: the source's bytes, or the converter's until its
                            next use */
    size_t bytes;
    const uint32_t *splits; /* rq_members.image_splits */
    size_t n_splits;
    int width, height;         /* upright */
    int orientation;           /* EXIF's, still to be applied to what is stored */
    int turned;                /* EXIF's, applied in whichever way: stored or to be */
    bool resized;              /* reduced */
    char fallback_reason[192]; /* why `encoding` is not the one asked for; "" when it is */
} rq_converted;

/* *out is filled as far as it went. The picture's own trouble is any error but OOM and
 * INTERNAL. */
RQ_NODISCARD rq_status rq_convert(rq_converter *c, const uint8_t *data, size_t bytes,
                                  rq_converted *out, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
