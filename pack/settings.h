/* What a dataset was made with: names and values, as the manifest and a build's journal keep
 * them, and what differs between two such lists in words. */
#ifndef RQ_PACK_SETTINGS_H
#define RQ_PACK_SETTINGS_H

#include "common/json.h"
#include "common/mem.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rq_setting {
    char *name, *value; /* owned */
} rq_setting;

/* Zero-initialise; rq_settings_free when done. */
typedef struct rq_settings {
    rq_setting *items;
    size_t n, cap;
} rq_settings;

enum { RQ_MAX_SETTINGS = 64 };

void rq_settings_free(rq_settings *s);
/* Appends; the value is formatted. */
RQ_NODISCARD rq_status rq_settings_add(rq_settings *s, rq_err *err, const char *name,
                                       const char *format, ...) RQ_PRINTF(4, 5);
RQ_NODISCARD rq_status rq_settings_copy(rq_settings *to, const rq_settings *from, rq_err *err);
/* Value of a name, NULL without. */
const char *rq_settings_get(const rq_settings *s, const char *name);
/* Appends them as a JSON object. */
RQ_NODISCARD rq_status rq_settings_encode(const rq_settings *s, rq_buf *out, rq_err *err);
/* From an object of strings; `what` names the document in messages. */
RQ_NODISCARD rq_status rq_settings_parse(rq_settings *s, const cJSON *object, const char *what,
                                         rq_err *err);
/* True when both say the same. Otherwise text gets the differences: "--level was 3 and is 9".
 */
bool rq_settings_equal(const rq_settings *was, const rq_settings *is, char *text,
                       size_t text_bytes);

#ifdef __cplusplus
}
#endif
#endif
