// SPDX-License-Identifier: Apache-2.0
//
// JSON over cJSON. A scan before parsing bounds the nesting, so that a hostile document cannot
// exhaust the stack of cJSON's recursive parser; duplicate keys are refused after it, because
// two readers could otherwise disagree about what a document says.
#include "common/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 16 };

/* Deepest nesting of brackets outside of strings. */
static int nesting(const char *text, size_t bytes)
{
    int depth = 0, deepest = 0;
    bool in_string = false;
    for (size_t i = 0; i < bytes; i++) {
        const char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > deepest)
                deepest = depth;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return deepest;
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorts the keys: a hostile object of n keys must not cost n^2. */
static rq_status check_keys(const cJSON *obj, const char *what, rq_err *err)
{
    const char **keys = NULL;
    size_t n = 0, cap = 0;
    rq_status status = RQ_OK;
    for (const cJSON *child = obj->child; child != NULL; child = child->next) {
        void *grown = keys;
        status = rq_grow(&grown, &cap, n + 1, sizeof *keys, err);
        keys = grown;
        if (status != RQ_OK)
            goto done;
        keys[n++] = child->string;
    }
    if (n > 1)
        qsort(keys, n, sizeof *keys, compare_keys);
    for (size_t i = 1; i < n && status == RQ_OK; i++) {
        if (strcmp(keys[i - 1], keys[i]) == 0)
            status = rq_fail(err, RQ_BAD_FORMAT, "%.200s: the key \"%.60s\" stands there twice",
                             what, keys[i]);
    }
done:
    rq_free(keys);
    return status;
}

/* Recursion is bounded by MAX_DEPTH. */
static rq_status check_tree(const cJSON *node, const char *what, rq_err *err)
{
    if (cJSON_IsObject(node))
        RQ_TRY(check_keys(node, what, err));
    for (const cJSON *child = node->child; child != NULL; child = child->next)
        RQ_TRY(check_tree(child, what, err));
    return RQ_OK;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

rq_status rq_json_parse(cJSON **out, const char *text, size_t bytes, const char *what,
                        rq_err *err)
{
    *out = NULL;
    if (nesting(text, bytes) > MAX_DEPTH)
        return rq_fail(err, RQ_LIMIT, "%.200s: JSON nested deeper than %d", what, MAX_DEPTH);
    const char *end = NULL;
    cJSON *root = cJSON_ParseWithLengthOpts(text, bytes, &end, false);
    if (root == NULL)
        return rq_fail(err, RQ_BAD_FORMAT, "%.200s: no valid JSON at byte %zu", what,
                       end != NULL && end >= text ? (size_t)(end - text) : 0);
    while (end < text + bytes && is_space(*end))
        end++;
    rq_status status = RQ_OK;
    if (end < text + bytes)
        status =
            rq_fail(err, RQ_BAD_FORMAT, "%.200s: unexpected text after the JSON at byte %zu",
                    what, (size_t)(end - text));
    if (status == RQ_OK)
        status = check_tree(root, what, err);
    if (status != RQ_OK) {
        cJSON_Delete(root);
        return status;
    }
    *out = root;
    return RQ_OK;
}

/* The member, or NULL with the message recorded. `kind` is e.g. "a number". */
static const cJSON *member(const cJSON *obj, const char *key, cJSON_bool (*is)(const cJSON *),
                           const char *kind, const char *what, rq_err *err)
{
    const cJSON *m = cJSON_IsObject(obj) ? cJSON_GetObjectItemCaseSensitive(obj, key) : NULL;
    if (m == NULL) {
        rq_fail(err, RQ_BAD_FORMAT, "%.200s: \"%s\" is missing", what, key);
        return NULL;
    }
    if (!is(m)) {
        rq_fail(err, RQ_BAD_FORMAT, "%.200s: \"%s\" is not %s", what, key, kind);
        return NULL;
    }
    return m;
}

rq_status rq_json_get_int(const cJSON *obj, const char *key, int64_t min, int64_t max,
                          int64_t *out, const char *what, rq_err *err)
{
    const cJSON *m = member(obj, key, cJSON_IsNumber, "a number", what, err);
    if (m == NULL)
        return RQ_BAD_FORMAT;
    const double v = m->valuedouble;
    if (!(v >= (double)min && v <= (double)max) || v != floor(v))
        return rq_fail(err, RQ_BAD_FORMAT,
                       "%.200s: \"%s\" is %g, not a whole number from %lld to %lld", what, key,
                       v, (long long)min, (long long)max);
    *out = (int64_t)v;
    return RQ_OK;
}

rq_status rq_json_get_double(const cJSON *obj, const char *key, double *out, const char *what,
                             rq_err *err)
{
    const cJSON *m = member(obj, key, cJSON_IsNumber, "a number", what, err);
    if (m == NULL)
        return RQ_BAD_FORMAT;
    if (!isfinite(m->valuedouble))
        return rq_fail(err, RQ_BAD_FORMAT, "%.200s: \"%s\" is not a finite number", what, key);
    *out = m->valuedouble;
    return RQ_OK;
}

rq_status rq_json_get_string(const cJSON *obj, const char *key, const char **out,
                             const char *what, rq_err *err)
{
    const cJSON *m = member(obj, key, cJSON_IsString, "a string", what, err);
    if (m == NULL)
        return RQ_BAD_FORMAT;
    *out = m->valuestring;
    return RQ_OK;
}

rq_status rq_json_get_array(const cJSON *obj, const char *key, const cJSON **out,
                            const char *what, rq_err *err)
{
    const cJSON *m = member(obj, key, cJSON_IsArray, "an array", what, err);
    if (m == NULL)
        return RQ_BAD_FORMAT;
    *out = m;
    return RQ_OK;
}

/* Length of the well-formed UTF-8 sequence at s (Unicode table 3-7), 0 when there is none. */
static size_t utf8_length(const unsigned char *s)
{
    const unsigned char c = s[0];
    if (c < 0x80)
        return 1;
    if (c < 0xC2 || c > 0xF4)
        return 0;
    const size_t n = c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    const unsigned char low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;
    const unsigned char high = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
    if (s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++) {
        if (s[i] < 0x80 || s[i] > 0xBF)
            return 0;
    }
    return n;
}

static rq_status append_escape(rq_buf *buf, unsigned char c, rq_err *err)
{
    static const char short_form[][3] = {
        ['"'] = "\\\"", ['\\'] = "\\\\", ['\n'] = "\\n", ['\r'] = "\\r", ['\t'] = "\\t"};
    if (c < sizeof short_form / sizeof *short_form && short_form[c][0] != '\0')
        return rq_buf_append(buf, short_form[c], 2, err);
    return rq_buf_printf(buf, err, "\\u%04x", c);
}

rq_status rq_json_append_string(rq_buf *buf, const char *text, rq_err *err)
{
    const unsigned char *s = (const unsigned char *)text;
    RQ_TRY(rq_buf_append(buf, "\"", 1, err));
    while (*s != '\0') {
        const size_t n = utf8_length(s);
        if (n == 0)
            RQ_TRY(rq_buf_append(buf, "\xEF\xBF\xBD", 3, err));
        else if (n == 1 && (*s < 0x20 || *s == '"' || *s == '\\' || *s == 0x7F))
            RQ_TRY(append_escape(buf, *s, err));
        else
            RQ_TRY(rq_buf_append(buf, s, n, err));
        s += n == 0 ? 1 : n;
    }
    return rq_buf_append(buf, "\"", 1, err);
}

rq_status rq_json_append_double(rq_buf *buf, double v, rq_err *err)
{
    if (!isfinite(v))
        return rq_buf_append(buf, "null", 4, err);
    /* The shortest of the precisions that read back to the same value. */
    char text[40];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    return rq_buf_append(buf, text, strlen(text), err);
}
