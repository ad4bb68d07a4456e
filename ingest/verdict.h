/* The verdict on one source image, and the JSONL report that collects them.
 *
 * ok: nothing to say. fixed: unusual but handled (CMYK, PNG named .JPEG, alpha dropped).
 * warned: the codec complained, every row is there. rejected: not usable; named and counted,
 * and the run goes on. */
#ifndef RQ_INGEST_VERDICT_H
#define RQ_INGEST_VERDICT_H

#include "ingest/codec.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rq_verdict_kind {
    RQ_VERDICT_OK,
    RQ_VERDICT_FIXED,
    RQ_VERDICT_WARNED,
    RQ_VERDICT_REJECTED,
    RQ_VERDICT_COUNT
} rq_verdict_kind;

const char *rq_verdict_name(rq_verdict_kind kind);

enum { RQ_VERDICT_REASON_BYTES = 256 };

typedef struct rq_verdict {
    rq_verdict_kind kind;
    char reason[RQ_VERDICT_REASON_BYTES]; /* "" for ok */
} rq_verdict;

/* From the outcome of a decode: status and its text, notes, the codec's warning. */
void rq_verdict_make(rq_verdict *v, rq_status status, const char *error_text, unsigned notes,
                     const char *codec_warning);

/* Appends one report line, a JSON object and a newline: name, class, label, bytes, codec,
 * width, height, components, notes, verdict, reason. class_name may be NULL, label -1. */
RQ_NODISCARD rq_status rq_verdict_append_json(rq_buf *line, const char *name,
                                              const char *class_name, int label, size_t bytes,
                                              const rq_image_info *info, const rq_verdict *v,
                                              rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
