// SPDX-License-Identifier: Apache-2.0
// Settings of a dataset: a short list of names and values in a fixed order. Values are text,
// so that a list written by another version can still be compared and told in words.
#include "pack/settings.h"

#include <stdio.h>
#include <string.h>

void rq_settings_free(rq_settings *s)
{
    for (size_t i = 0; i < s->n; i++) {
        rq_free(s->items[i].name);
        rq_free(s->items[i].value);
    }
    rq_free(s->items);
    *s = (rq_settings){0};
}

static rq_status add(rq_settings *s, const char *name, const char *value, rq_err *err)
{
    RQ_TRY(rq_grow((void **)&s->items, &s->cap, s->n + 1, sizeof *s->items, err));
    rq_setting item = {rq_strdup(name), rq_strdup(value)};
    if (!item.name || !item.value) {
        rq_free(item.name);
        rq_free(item.value);
        return rq_fail(err, RQ_OOM, "out of memory for settings");
    }
    s->items[s->n++] = item;
    return RQ_OK;
}

rq_status rq_settings_add(rq_settings *s, rq_err *err, const char *name, const char *format,
                          ...)
{
    char value[256];
    va_list args;
    va_start(args, format);
    vsnprintf(value, sizeof value, format, args);
    va_end(args);
    return add(s, name, value, err);
}

rq_status rq_settings_copy(rq_settings *to, const rq_settings *from, rq_err *err)
{
    for (size_t i = 0; i < from->n; i++)
        RQ_TRY(add(to, from->items[i].name, from->items[i].value, err));
    return RQ_OK;
}

const char *rq_settings_get(const rq_settings *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->items[i].name, name) == 0)
            return s->items[i].value;
    return NULL;
}

rq_status rq_settings_encode(const rq_settings *s, rq_buf *out, rq_err *err)
{
    RQ_TRY(rq_buf_append(out, "{", 1, err));
    for (size_t i = 0; i < s->n; i++) {
        RQ_TRY(rq_buf_append(out, ", ", i ? 2 : 0, err));
        RQ_TRY(rq_json_append_string(out, s->items[i].name, err));
        RQ_TRY(rq_buf_append(out, ": ", 2, err));
        RQ_TRY(rq_json_append_string(out, s->items[i].value, err));
    }
    return rq_buf_append(out, "}", 1, err);
}

rq_status rq_settings_parse(rq_settings *s, const cJSON *object, const char *what, rq_err *err)
{
    const cJSON *item;
    if (!cJSON_IsObject(object))
        return rq_fail(err, RQ_BAD_FORMAT, "%s: the settings are no object", what);
    cJSON_ArrayForEach(item, object)
    {
        if (!cJSON_IsString(item) || s->n == RQ_MAX_SETTINGS)
            return rq_fail(err, RQ_BAD_FORMAT,
                           "%s: a setting is no string, or there are more "
                           "than %d",
                           what, RQ_MAX_SETTINGS);
        RQ_TRY(add(s, item->string, item->valuestring, err));
    }
    return RQ_OK;
}

// Appends "NAME was A and is B", as far as there is room.
static void tell(char *text, size_t bytes, const char *name, const char *was, const char *is)
{
    const size_t used = strlen(text);
    if (used < bytes)
        snprintf(text + used, bytes - used, "%s%s was %.80s and is %.80s", used ? ", " : "",
                 name, was ? was : "not known", is ? is : "not known");
}

bool rq_settings_equal(const rq_settings *was, const rq_settings *is, char *text,
                       size_t text_bytes)
{
    bool equal = true;
    text[0] = 0;
    for (size_t i = 0; i < is->n; i++) {
        const char *old = rq_settings_get(was, is->items[i].name);
        if (old && strcmp(old, is->items[i].value) == 0)
            continue;
        tell(text, text_bytes, is->items[i].name, old, is->items[i].value);
        equal = false;
    }
    for (size_t i = 0; i < was->n; i++) {
        if (rq_settings_get(is, was->items[i].name))
            continue;
        tell(text, text_bytes, was->items[i].name, was->items[i].value, NULL);
        equal = false;
    }
    return equal;
}
