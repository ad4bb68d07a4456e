/* Coefficients to a `dct` payload. Private to pack/dct*.c. */
#ifndef RQ_PACK_DCT_PACK_H
#define RQ_PACK_DCT_PACK_H

#include "ingest/jpeg_coef.h"
#include "pack/dct_groups.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rq_dct_packer rq_dct_packer;
RQ_NODISCARD rq_status rq_dct_packer_create(rq_dct_packer **out, rq_err *err);
void rq_dct_packer_destroy(rq_dct_packer **p);

/* Replaces payload; the same coefficients give the same bytes. splits: ascending places in the
 * payload at which a zstd block should end, *n_splits of them. UNSUPPORTED, with a sentence,
 * for samplings that rq_image cannot express and for coefficients that JPEG cannot write. */
RQ_NODISCARD rq_status rq_dct_pack(rq_dct_packer *p, const rq_jpeg_coefs *c, rq_buf *payload,
                                   uint32_t splits[RQ_DCT_MAX_PARTS], size_t *n_splits,
                                   rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
