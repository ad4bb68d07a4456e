/* JSON in and out, over cJSON: bounded parsing, typed getters with clear errors, and a small
 * writer for lines that are appended often. */
#ifndef RQ_COMMON_JSON_H
#define RQ_COMMON_JSON_H

#include "common/mem.h"
#include "common/status.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Parses `bytes` of text that need not end in NUL. Refuses nesting deeper than 16, trailing
 * content and duplicate keys. `what` names the document in messages. Free with cJSON_Delete. */
RQ_NODISCARD rq_status rq_json_parse(cJSON **out, const char *text, size_t bytes,
                                     const char *what, rq_err *err);

/* Members of an object; BAD_FORMAT naming `what` and key when missing or of another type.
 * Integers must be whole and within [min, max], max <= 2^53. Strings are borrowed. */
RQ_NODISCARD rq_status rq_json_get_int(const cJSON *obj, const char *key, int64_t min,
                                       int64_t max, int64_t *out, const char *what,
                                       rq_err *err);
RQ_NODISCARD rq_status rq_json_get_double(const cJSON *obj, const char *key, double *out,
                                          const char *what, rq_err *err);
RQ_NODISCARD rq_status rq_json_get_string(const cJSON *obj, const char *key, const char **out,
                                          const char *what, rq_err *err);
RQ_NODISCARD rq_status rq_json_get_array(const cJSON *obj, const char *key, const cJSON **out,
                                         const char *what, rq_err *err);

/* Appends text as a quoted JSON string. Invalid UTF-8 bytes become U+FFFD. */
RQ_NODISCARD rq_status rq_json_append_string(rq_buf *buf, const char *text, rq_err *err);
/* Appends a number that reads back to the same double; non-finite values become null. */
RQ_NODISCARD rq_status rq_json_append_double(rq_buf *buf, double v, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
