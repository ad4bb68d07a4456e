/* The verdict on one source image; report.h collects them.
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

/* A note, given as one RQ_NOTE_ bit: its name in reports ("cmyk"; "unknown" for no known bit)
 * and what it says of the image ("CMYK converted to RGB"; "" for no known bit). */
const char *rq_note_name(unsigned bit);
const char *rq_note_meaning(unsigned bit);
/* The bit of that name, 0 when there is none. */
unsigned rq_note_from_name(const char *name);
/* Whether this note alone makes an image `fixed`. */
bool rq_note_fixes(unsigned bit);

enum { RQ_VERDICT_REASON_BYTES = 256 };

typedef struct rq_verdict {
    rq_verdict_kind kind;
    rq_status status;                     /* OK, or why it was rejected */
    char reason[RQ_VERDICT_REASON_BYTES]; /* "" for ok */
} rq_verdict;

/* From the outcome of a decode: status and its text, notes, the codec's warning. */
void rq_verdict_make(rq_verdict *v, rq_status status, const char *error_text, unsigned notes,
                     const char *codec_warning);

/* Appends one report line as rq_report_line does, for an image without a content hash.
 * class_name may be NULL, label -1. */
RQ_NODISCARD rq_status rq_verdict_append_json(rq_buf *line, const char *name,
                                              const char *class_name, int label, size_t bytes,
                                              const rq_image_info *info, const rq_verdict *v,
                                              rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
