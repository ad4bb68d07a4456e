// SPDX-License-Identifier: Apache-2.0
// Reading an ingest report back, line by line, so that a report of any length takes the memory
// of one block. Every line is checked as it comes, the totals are counted anew and compared,
// and the hash in the last line decides whether what was read is what was written.
#include "ingest/report.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

enum { BLOCK_BYTES = 256 << 10, MAX_LINE_BYTES = 128 << 10 };

static const char last_line[] = "{\"end\":true,";
static const char hash_key[] = ",\"xxh3\":\"";

/* ---- a line ------------------------------------------------------------------------------ */

/* Strings that must be one of a list: its index. */
static rq_status choice(const cJSON *o, const char *key, const char *(*name)(int), int n,
                        int *out, const char *what, rq_err *err)
{
    const char *text;
    RQ_TRY(rq_json_get_string(o, key, &text, what, err));
    for (int i = 0; i < n; i++) {
        if (strcmp(text, name(i)) == 0) {
            *out = i;
            return RQ_OK;
        }
    }
    return rq_fail(err, RQ_BAD_FORMAT, "%s: \"%.40s\" is no %s", what, text, key);
}

static const char *codec_name(int i)
{
    return rq_codec_name((rq_codec)i);
}

static const char *color_name(int i)
{
    return rq_color_model_name((rq_color_model)i);
}

static const char *verdict_name(int i)
{
    return rq_verdict_name((rq_verdict_kind)i);
}

static const char *status_name(int i)
{
    return rq_status_name((rq_status)i);
}

/* A string, or NULL for null. */
static rq_status optional(const cJSON *o, const char *key, const char **out, const char *what,
                          rq_err *err)
{
    *out = NULL;
    if (cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(o, key)))
        return RQ_OK;
    return rq_json_get_string(o, key, out, what, err);
}

static rq_status get_number(const cJSON *o, const char *key, int64_t min, int64_t max, int *out,
                            const char *what, rq_err *err)
{
    int64_t v;
    RQ_TRY(rq_json_get_int(o, key, min, max, &v, what, err));
    *out = (int)v;
    return RQ_OK;
}

static rq_status get_notes(const cJSON *o, unsigned *notes, const char *what, rq_err *err)
{
    const cJSON *list, *item;
    RQ_TRY(rq_json_get_array(o, "notes", &list, what, err));
    cJSON_ArrayForEach(item, list)
    {
        if (!cJSON_IsString(item))
            return rq_fail(err, RQ_BAD_FORMAT, "%s: a note is no text", what);
        *notes |= rq_note_from_name(item->valuestring);
    }
    return RQ_OK;
}

static rq_status get_info(const cJSON *o, rq_image_info *info, const char *what, rq_err *err)
{
    int codec = 0, color = 0;
    RQ_TRY(choice(o, "codec", codec_name, RQ_CODEC_PNM + 1, &codec, what, err));
    RQ_TRY(choice(o, "colour", color_name, RQ_COLOR_COUNT, &color, what, err));
    info->codec = (rq_codec)codec;
    info->color = (rq_color_model)color;
    RQ_TRY(get_number(o, "width", 0, INT32_MAX, &info->width, what, err));
    RQ_TRY(get_number(o, "height", 0, INT32_MAX, &info->height, what, err));
    RQ_TRY(get_number(o, "components", 0, 4, &info->components, what, err));
    RQ_TRY(get_number(o, "orientation", 0, 8, &info->orientation, what, err));
    return get_notes(o, &info->notes, what, err);
}

static rq_status get_verdict(const cJSON *o, rq_verdict *v, const char *what, rq_err *err)
{
    int kind = 0, status = 0;
    const char *reason;
    RQ_TRY(choice(o, "verdict", verdict_name, RQ_VERDICT_COUNT, &kind, what, err));
    RQ_TRY(choice(o, "status", status_name, RQ_STATUS_COUNT, &status, what, err));
    RQ_TRY(rq_json_get_string(o, "reason", &reason, what, err));
    v->kind = (rq_verdict_kind)kind;
    v->status = (rq_status)status;
    snprintf(v->reason, sizeof v->reason, "%s", reason);
    return RQ_OK;
}

static rq_status get_entry(const cJSON *o, rq_report_entry *e, const char *what, rq_err *err)
{
    const char *hash;
    int64_t bytes;
    RQ_TRY(rq_json_get_string(o, "name", &e->name, what, err));
    RQ_TRY(optional(o, "class", &e->class_name, what, err));
    RQ_TRY(get_number(o, "label", -1, INT32_MAX, &e->label, what, err));
    RQ_TRY(rq_json_get_int(o, "bytes", 0, INT64_C(1) << 53, &bytes, what, err));
    e->bytes = (uint64_t)bytes;
    RQ_TRY(get_info(o, &e->info, what, err));
    RQ_TRY(get_verdict(o, &e->verdict, what, err));
    RQ_TRY(optional(o, "hash", &hash, what, err));
    RQ_TRY(optional(o, "duplicate_of", &e->duplicate_of, what, err));
    RQ_TRY(get_number(o, "duplicate_label", -1, INT32_MAX, &e->duplicate_label, what, err));
    e->hashed = hash != NULL;
    if (e->hashed && !rq_content_id_parse(&e->content, hash))
        return rq_fail(err, RQ_BAD_FORMAT, "%s: \"%.40s\" is no hash", what, hash);
    const bool kept = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, "kept"));
    e->dropped = !kept && e->verdict.kind != RQ_VERDICT_REJECTED && e->duplicate_of != NULL;
    return RQ_OK;
}

rq_status rq_report_parse(rq_report_entry *e, cJSON **json, const char *line, size_t bytes,
                          rq_err *err)
{
    static const char what[] = "a line of the report";
    memset(e, 0, sizeof *e);
    *json = NULL;
    RQ_TRY(rq_json_parse(json, line, bytes, what, err));
    return get_entry(*json, e, what, err);
}

/* ---- the file ---------------------------------------------------------------------------- */

typedef struct reader {
    const char *path;
    int fd;
    rq_buf data; /* from the start of a line; unread bytes begin at `at` */
    size_t at;
    uint64_t line; /* number of the current one, from 1 */
    XXH3_state_t *hash;
    rq_report_totals counted;
    rq_report_summary *summary;
    bool complete;
} reader;

/* More bytes behind those at hand; *end when there are none. */
static rq_status fill(reader *r, bool *end, rq_err *err)
{
    memmove(r->data.data, r->data.data + r->at, r->data.size - r->at);
    r->data.size -= r->at;
    r->at = 0;
    RQ_TRY(rq_buf_reserve(&r->data, r->data.size + BLOCK_BYTES, err));
    ssize_t n;
    do
        n = read(r->fd, r->data.data + r->data.size, BLOCK_BYTES);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return rq_fail_errno(err, "cannot read '%s'", r->path);
    r->data.size += (size_t)n;
    *end = n == 0;
    return RQ_OK;
}

/* The next line with its newline; NULL behind the last. */
static rq_status next_line(reader *r, const char **line, size_t *bytes, rq_err *err)
{
    *line = NULL;
    for (;;) {
        const char *begin = (const char *)r->data.data + r->at;
        const size_t left = r->data.size - r->at;
        const char *newline = left > 0 ? memchr(begin, '\n', left) : NULL;
        if (newline != NULL) {
            *line = begin;
            *bytes = (size_t)(newline - begin) + 1;
            r->at += *bytes;
            r->line++;
            return RQ_OK;
        }
        if (left > MAX_LINE_BYTES)
            return rq_fail(err, RQ_BAD_FORMAT,
                           "'%s' is no ingest report: line %" PRIu64 " does not end", r->path,
                           r->line + 1);
        bool end = false;
        RQ_TRY(fill(r, &end, err));
        if (end && r->data.size > 0)
            return rq_fail(err, RQ_TRUNCATED, "the report '%s' ends within line %" PRIu64,
                           r->path, r->line + 1);
        if (end)
            return RQ_OK;
    }
}

static rq_status get_count(const cJSON *o, const char *key, uint64_t counted, uint64_t *out,
                           const char *path, rq_err *err)
{
    int64_t v;
    RQ_TRY(rq_json_get_int(o, key, 0, INT64_C(1) << 53, &v, path, err));
    *out = (uint64_t)v;
    if (*out == counted)
        return RQ_OK;
    return rq_fail(err, RQ_BAD_CHECKSUM,
                   "the report '%s' says %" PRIu64 " %s and holds %" PRIu64
                   "; it was changed after it was written",
                   path, *out, key, counted);
}

static rq_status check_totals(reader *r, const cJSON *o, rq_err *err)
{
    rq_report_totals *t = &r->summary->totals;
    const rq_report_totals *c = &r->counted;
    int64_t classes;
    const char *source;
    RQ_TRY(get_count(o, "images", c->images, &t->images, r->path, err));
    RQ_TRY(get_count(o, "bytes", c->bytes, &t->bytes, r->path, err));
    RQ_TRY(get_count(o, "duplicates", c->duplicates, &t->duplicates, r->path, err));
    RQ_TRY(get_count(o, "conflicts", c->conflicts, &t->conflicts, r->path, err));
    RQ_TRY(get_count(o, "dropped", c->dropped, &t->dropped, r->path, err));
    for (int k = 0; k < RQ_VERDICT_COUNT; k++)
        RQ_TRY(get_count(o, rq_verdict_name((rq_verdict_kind)k), c->verdicts[k],
                         &t->verdicts[k], r->path, err));
    RQ_TRY(rq_json_get_int(o, "classes", 0, INT32_MAX, &classes, r->path, err));
    r->summary->classes = (int)classes;
    RQ_TRY(optional(o, "source", &source, r->path, err));
    snprintf(r->summary->source, sizeof r->summary->source, "%s", source ? source : "");
    return RQ_OK;
}

static rq_status take_last_line(reader *r, const char *line, size_t bytes, rq_err *err)
{
    const size_t tail = sizeof hash_key - 1 + 16 + strlen("\"}\n");
    const char *key = bytes > tail ? line + bytes - tail : NULL;
    if (key == NULL || memcmp(key, hash_key, sizeof hash_key - 1) != 0)
        return rq_fail(err, RQ_BAD_FORMAT, "the last line of the report '%s' has no hash",
                       r->path);
    (void)XXH3_64bits_update(r->hash, line, (size_t)(key - line));
    char expected[17];
    snprintf(expected, sizeof expected, "%016" PRIx64, XXH3_64bits_digest(r->hash));
    if (memcmp(key + sizeof hash_key - 1, expected, 16) != 0)
        return rq_fail(err, RQ_BAD_CHECKSUM,
                       "the report '%s' does not match its hash; it was changed after it was "
                       "written",
                       r->path);
    cJSON *json = NULL;
    rq_status st = rq_json_parse(&json, line, bytes, r->path, err);
    if (st == RQ_OK)
        st = check_totals(r, json, err);
    cJSON_Delete(json);
    r->complete = st == RQ_OK;
    return st;
}

static rq_status take_line(reader *r, const char *line, size_t bytes, rq_report_fn fn,
                           void *cookie, rq_err *err)
{
    if (r->complete)
        return rq_fail(err, RQ_BAD_FORMAT, "the report '%s' goes on behind its last line",
                       r->path);
    if (bytes > sizeof last_line && memcmp(line, last_line, sizeof last_line - 1) == 0)
        return take_last_line(r, line, bytes, err);
    rq_report_entry e;
    cJSON *json = NULL;
    rq_status st = rq_report_parse(&e, &json, line, bytes, err);
    if (st != RQ_OK)
        rq_err_prefix(err, "'%s', line %" PRIu64, r->path, r->line);
    if (st == RQ_OK && fn != NULL)
        st = fn(cookie, &e, err);
    if (st == RQ_OK) {
        rq_report_count(&r->counted, &e);
        (void)XXH3_64bits_update(r->hash, line, bytes);
    }
    cJSON_Delete(json);
    return st;
}

static rq_status read_all(reader *r, rq_report_fn fn, void *cookie, rq_err *err)
{
    r->hash = XXH3_createState();
    if (r->hash == NULL || XXH3_64bits_reset(r->hash) != XXH_OK)
        return rq_fail(err, RQ_OOM, "out of memory for reading a report");
    RQ_TRY(rq_buf_reserve(&r->data, BLOCK_BYTES, err));
    for (;;) {
        const char *line;
        size_t bytes = 0;
        RQ_TRY(next_line(r, &line, &bytes, err));
        if (line == NULL)
            break;
        RQ_TRY(take_line(r, line, bytes, fn, cookie, err));
    }
    if (!r->complete)
        return rq_fail(err, RQ_TRUNCATED,
                       "the report '%s' has no last line with totals and hash: it was cut off, "
                       "or what wrote it did not finish",
                       r->path);
    return RQ_OK;
}

rq_status rq_report_read(const char *path, rq_report_fn fn, void *cookie,
                         rq_report_summary *summary, rq_err *err)
{
    memset(summary, 0, sizeof *summary);
    reader r = {.path = path, .summary = summary, .fd = open(path, O_RDONLY | O_CLOEXEC)};
    if (r.fd < 0)
        return rq_fail_errno(err, "cannot open the report '%s'", path);
    const rq_status st = read_all(&r, fn, cookie, err);
    close(r.fd);
    XXH3_freeState(r.hash);
    rq_buf_free(&r.data);
    return st;
}
