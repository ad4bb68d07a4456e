// SPDX-License-Identifier: Apache-2.0
// The JSON member of a sample. Written by hand, so that equal samples have equal bytes. Names
// are bytes on disk and Unicode in JSON; those that are not Unicode are kept in hexadecimal, so
// that unpacking gives every file its own name back.
#include "pack/meta.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const int64_t MAX_NUMBER = INT64_C(1) << 53;

// Length of the UTF-8 sequence at s, 0 when there is none (RFC 3629: shortest form, no
// surrogates, up to U+10FFFF).
static size_t sequence(const unsigned char *s)
{
    const size_t n = s[0] < 0x80                   ? 1
                     : s[0] >= 0xC2 && s[0] < 0xE0 ? 2
                     : s[0] >= 0xE0 && s[0] < 0xF0 ? 3
                     : s[0] >= 0xF0 && s[0] < 0xF5 ? 4
                                                   : 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xC0) != 0x80)
            return 0;
    if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] >= 0xA0) ||
        (s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] >= 0x90))
        return 0;
    return n;
}

static bool is_utf8(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    while (*s) {
        const size_t n = sequence(s);
        if (n == 0)
            return false;
        s += n;
    }
    return true;
}

// `"key": "text", ` and, where that loses bytes, `"key_hex": "...", `.
static rq_status put_bytes(rq_buf *out, const char *key, const char *text, rq_err *err)
{
    RQ_TRY(rq_buf_printf(out, err, "\"%s\": ", key));
    RQ_TRY(rq_json_append_string(out, text, err));
    if (!is_utf8(text)) {
        RQ_TRY(rq_buf_printf(out, err, ", \"%s_hex\": \"", key));
        for (const unsigned char *s = (const unsigned char *)text; *s; s++)
            RQ_TRY(rq_buf_printf(out, err, "%02x", *s));
        RQ_TRY(rq_buf_append(out, "\"", 1, err));
    }
    return rq_buf_append(out, ", ", 2, err);
}

rq_status rq_meta_write(const rq_meta *m, rq_buf *out, rq_err *err)
{
    RQ_TRY(rq_buf_append(out, "{", 1, err));
    RQ_TRY(put_bytes(out, "name", m->name, err));
    if (m->class_name)
        RQ_TRY(put_bytes(out, "class", m->class_name, err));
    RQ_TRY(rq_buf_printf(out, err, "\"id\": %" PRIu64 ", \"width\": %d, \"height\": %d", m->id,
                         m->width, m->height));
    if (m->orientation > 1)
        RQ_TRY(rq_buf_printf(out, err, ", \"orientation\": %d", m->orientation));
    RQ_TRY(rq_buf_printf(out, err, ", \"codec\": "));
    RQ_TRY(rq_json_append_string(out, m->codec, err));
    RQ_TRY(rq_buf_printf(out, err, ", \"verdict\": "));
    RQ_TRY(rq_json_append_string(out, m->verdict, err));
    if (m->notes[0]) {
        RQ_TRY(rq_buf_printf(out, err, ", \"notes\": "));
        RQ_TRY(rq_json_append_string(out, m->notes, err));
    }
    return rq_buf_append(out, "}\n", 2, err);
}

static int nibble(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// The string `key`, from `key_hex` where there is one, decoded in place. NULL without.
static rq_status get_bytes(cJSON *json, const char *key, const char **out, rq_err *err)
{
    char hex_key[32];
    snprintf(hex_key, sizeof hex_key, "%s_hex", key);
    const cJSON *plain = cJSON_GetObjectItemCaseSensitive(json, key);
    const cJSON *hex = cJSON_GetObjectItemCaseSensitive(json, hex_key);
    *out = cJSON_IsString(plain) ? plain->valuestring : NULL;
    if (!hex)
        return RQ_OK;
    char *text = cJSON_IsString(hex) ? hex->valuestring : NULL;
    const size_t n = text ? strlen(text) : 1;
    bool sound = n % 2 == 0;
    for (size_t i = 0; sound && i < n / 2; i++) {
        const int high = nibble(text[2 * i]), low = nibble(text[2 * i + 1]);
        sound = high >= 0 && low >= 0 && high + low > 0;
        if (sound)
            text[i] = (char)(unsigned char)(high << 4 | low);
    }
    if (!sound)
        return rq_fail(err, RQ_BAD_FORMAT, "KEY.json: '%s' is no name in hexadecimal", hex_key);
    text[n / 2] = 0;
    *out = text;
    return RQ_OK;
}

static rq_status parse_fields(rq_meta *m, rq_err *err)
{
    int64_t v;
    RQ_TRY(get_bytes(m->json, "name", &m->name, err));
    RQ_TRY(get_bytes(m->json, "class", &m->class_name, err));
    if (!m->name)
        return rq_fail(err, RQ_BAD_FORMAT, "KEY.json: 'name' is missing or no string");
    RQ_TRY(rq_json_get_int(m->json, "width", 1, RQ_MAX_SIDE, &v, "KEY.json", err));
    m->width = (int)v;
    RQ_TRY(rq_json_get_int(m->json, "height", 1, RQ_MAX_SIDE, &v, "KEY.json", err));
    m->height = (int)v;
    m->has_id = cJSON_GetObjectItemCaseSensitive(m->json, "id") != NULL;
    if (m->has_id) {
        RQ_TRY(rq_json_get_int(m->json, "id", 0, MAX_NUMBER, &v, "KEY.json", err));
        m->id = (uint64_t)v;
    }
    m->orientation = 1;
    if (cJSON_GetObjectItemCaseSensitive(m->json, "orientation")) {
        RQ_TRY(rq_json_get_int(m->json, "orientation", 1, 8, &v, "KEY.json", err));
        m->orientation = (int)v;
    }
    const cJSON *codec = cJSON_GetObjectItemCaseSensitive(m->json, "codec");
    const cJSON *verdict = cJSON_GetObjectItemCaseSensitive(m->json, "verdict");
    const cJSON *notes = cJSON_GetObjectItemCaseSensitive(m->json, "notes");
    m->codec = cJSON_IsString(codec) ? codec->valuestring : "";
    m->verdict = cJSON_IsString(verdict) ? verdict->valuestring : "";
    m->notes = cJSON_IsString(notes) ? notes->valuestring : "";
    return RQ_OK;
}

rq_status rq_meta_parse(rq_meta *m, const char *text, size_t bytes, rq_err *err)
{
    *m = (rq_meta){0};
    RQ_TRY(rq_json_parse(&m->json, text, bytes, "KEY.json", err));
    const rq_status st = parse_fields(m, err);
    if (st != RQ_OK)
        rq_meta_free(m);
    return st;
}

void rq_meta_free(rq_meta *m)
{
    cJSON_Delete(m->json);
    *m = (rq_meta){0};
}
