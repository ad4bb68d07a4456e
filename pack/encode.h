/* One source record to one sample: decode once for the verdict, choose how the picture is kept,
 * build the members, compress. The work of a build's threads. */
#ifndef RQ_PACK_ENCODE_H
#define RQ_PACK_ENCODE_H

#include "ingest/masks.h"
#include "ingest/source.h"
#include "ingest/verdict.h"
#include "pack/frame.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What came out. frame and report keep their storage from one record to the next. */
typedef struct rq_encoded {
    rq_verdict verdict;
    rq_status reason; /* why it was rejected */
    bool fallback;    /* kept in another encoding than asked for */
    bool mask_failed; /* it has a mask that cannot be used: packed without */
    rq_index_entry entry;
    rq_buf frame;  /* empty when rejected */
    rq_buf report; /* one JSON line */
} rq_encoded;

void rq_encoded_fini(rq_encoded *e);

/* One per thread. */
typedef struct rq_encoder rq_encoder;
RQ_NODISCARD rq_status rq_encoder_create(rq_encoder **out, rq_encoding encoding, int level,
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
