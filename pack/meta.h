/* KEY.json: what a sample's frame says about itself beside picture and label. With the other
 * members it is enough to rebuild the sample's index entry. */
#ifndef RQ_PACK_META_H
#define RQ_PACK_META_H

#include "common/json.h"
#include "common/mem.h"
#include "pack/format.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rq_meta {
    const char *name;       /* in the source, any bytes */
    const char *class_name; /* NULL without labels */
    uint64_t id;
    bool has_id; /* false in shards of the first writers */
    int width, height;
    int orientation;     /* EXIF's, 1 to 8: how the decoded picture is to be turned */
    const char *codec;   /* of the source */
    const char *verdict; /* "ok", "fixed", "warned" */
    const char *notes;   /* "" for ok */
    cJSON *json;         /* of a parsed one: owns the strings */
} rq_meta;

/* Appends the member's text. Bytes that are no UTF-8 cannot stand in JSON: then `name` shows
 * U+FFFD in their place and `name_hex` has all bytes, likewise `class` and `class_hex`. */
RQ_NODISCARD rq_status rq_meta_write(const rq_meta *m, rq_buf *out, rq_err *err);
/* Parses and checks; rq_meta_free when done, which is fine after a failure too. */
RQ_NODISCARD rq_status rq_meta_parse(rq_meta *m, const char *text, size_t bytes, rq_err *err);
void rq_meta_free(rq_meta *m);

#ifdef __cplusplus
}
#endif
#endif
