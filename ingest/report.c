// SPDX-License-Identifier: Apache-2.0
// Writing the ingest report: one JSON line an image, then the line with totals and hash. Lines
// are collected to blocks before they are written, and everything that is written goes through
// the hash, so that what commit seals is what stands in the file. report_read.c is the way
// back.
#include "ingest/report.h"

#include "common/file.h"

#include <inttypes.h>
#include <string.h>
#include <xxhash.h>

enum { BLOCK_BYTES = 256 << 10 };

struct rq_report {
    rq_atomic_file *file; /* NULL: only counted */
    XXH3_state_t *hash;
    rq_buf pending; /* lines not yet written and hashed */
    rq_report_totals totals;
};

/* ---- a line ------------------------------------------------------------------------------ */

static rq_status append_text(rq_buf *out, const char *key, const char *text, rq_err *err)
{
    RQ_TRY(rq_buf_printf(out, err, ",\"%s\":", key));
    return text != NULL ? rq_json_append_string(out, text, err)
                        : rq_buf_printf(out, err, "null");
}

static rq_status append_notes(rq_buf *out, unsigned notes, rq_err *err)
{
    RQ_TRY(rq_buf_printf(out, err, ",\"notes\":["));
    const char *comma = "";
    for (unsigned bit = 1; bit != 0; bit <<= 1) {
        if ((notes & bit) == 0)
            continue;
        RQ_TRY(rq_buf_printf(out, err, "%s\"%s\"", comma, rq_note_name(bit)));
        comma = ",";
    }
    return rq_buf_printf(out, err, "]");
}

rq_status rq_report_line(rq_buf *out, const rq_report_entry *e, rq_err *err)
{
    const rq_image_info *info = &e->info;
    char hex[RQ_CONTENT_HEX_BYTES];
    rq_content_id_hex(hex, e->content);
    const bool kept = e->verdict.kind != RQ_VERDICT_REJECTED && !e->dropped;
    RQ_TRY(rq_buf_printf(out, err, "{\"name\":"));
    RQ_TRY(rq_json_append_string(out, e->name, err));
    RQ_TRY(append_text(out, "class", e->class_name, err));
    RQ_TRY(rq_buf_printf(out, err,
                         ",\"label\":%d,\"bytes\":%" PRIu64 ",\"codec\":\"%s\",\"width\":%d,"
                         "\"height\":%d,\"components\":%d,\"colour\":\"%s\","
                         "\"orientation\":%d",
                         e->label, e->bytes, rq_codec_name(info->codec), info->width,
                         info->height, info->components, rq_color_model_name(info->color),
                         info->orientation));
    RQ_TRY(append_notes(out, info->notes, err));
    RQ_TRY(append_text(out, "hash", e->hashed ? hex : NULL, err));
    RQ_TRY(append_text(out, "duplicate_of", e->duplicate_of, err));
    RQ_TRY(rq_buf_printf(out, err, ",\"duplicate_label\":%d",
                         e->duplicate_of != NULL ? e->duplicate_label : -1));
    RQ_TRY(rq_buf_printf(out, err, ",\"kept\":%s,\"verdict\":\"%s\",\"status\":\"%s\"",
                         kept ? "true" : "false", rq_verdict_name(e->verdict.kind),
                         rq_status_name(e->verdict.status)));
    RQ_TRY(append_text(out, "reason", e->verdict.reason, err));
    return rq_buf_printf(out, err, "}\n");
}

/* ---- the file ---------------------------------------------------------------------------- */

rq_status rq_report_create(rq_report **out, const char *path, rq_err *err)
{
    *out = NULL;
    rq_report *r = rq_calloc(1, sizeof *r);
    if (r == NULL)
        return rq_fail(err, RQ_OOM, "out of memory for the report");
    r->hash = XXH3_createState();
    rq_status st = RQ_OK;
    if (r->hash == NULL || XXH3_64bits_reset(r->hash) != XXH_OK)
        st = rq_fail(err, RQ_OOM, "out of memory for the report");
    if (st == RQ_OK && path != NULL)
        st = rq_atomic_file_create(&r->file, path, true, err);
    if (st != RQ_OK)
        rq_report_abort(&r);
    *out = r;
    return st;
}

static rq_status flush(rq_report *r, rq_err *err)
{
    (void)XXH3_64bits_update(r->hash, r->pending.data, r->pending.size); /* NULL is no error */
    const size_t n = r->pending.size;
    r->pending.size = 0;
    return r->file != NULL && n > 0 ? rq_atomic_file_write(r->file, r->pending.data, n, err)
                                    : RQ_OK;
}

void rq_report_count(rq_report_totals *t, const rq_report_entry *e)
{
    t->images++;
    t->bytes += e->bytes;
    t->verdicts[e->verdict.kind]++;
    t->duplicates += e->duplicate_of != NULL;
    t->conflicts += e->duplicate_of != NULL && e->duplicate_label != e->label;
    t->dropped += e->dropped;
}

rq_status rq_report_add(rq_report *r, const rq_report_entry *e, rq_err *err)
{
    RQ_TRY(rq_report_line(&r->pending, e, err));
    rq_report_count(&r->totals, e);
    return r->pending.size >= BLOCK_BYTES ? flush(r, err) : RQ_OK;
}

rq_status rq_report_add_lines(rq_report *r, const char *lines, size_t bytes, rq_err *err)
{
    for (size_t at = 0; at < bytes;) {
        const char *end = memchr(lines + at, '\n', bytes - at);
        if (end == NULL)
            return rq_fail(err, RQ_TRUNCATED, "lines for the report end within a line");
        const size_t n = (size_t)(end - (lines + at)) + 1;
        rq_report_entry e;
        cJSON *json = NULL;
        rq_status st = rq_report_parse(&e, &json, lines + at, n, err);
        if (st == RQ_OK)
            st = rq_buf_append(&r->pending, lines + at, n, err);
        if (st == RQ_OK)
            rq_report_count(&r->totals, &e);
        cJSON_Delete(json);
        RQ_TRY(st);
        if (r->pending.size >= BLOCK_BYTES)
            RQ_TRY(flush(r, err));
        at += n;
    }
    return RQ_OK;
}

rq_report_totals rq_report_get_totals(const rq_report *r)
{
    return r->totals;
}

static rq_status write_last_line(rq_report *r, int classes, const char *source, rq_err *err)
{
    const rq_report_totals *t = &r->totals;
    RQ_TRY(rq_buf_printf(&r->pending, err,
                         "{\"end\":true,\"images\":%" PRIu64
                         ",\"classes\":%d,\"bytes\":%" PRIu64,
                         t->images, classes, t->bytes));
    for (int k = 0; k < RQ_VERDICT_COUNT; k++)
        RQ_TRY(rq_buf_printf(&r->pending, err, ",\"%s\":%" PRIu64,
                             rq_verdict_name((rq_verdict_kind)k), t->verdicts[k]));
    RQ_TRY(rq_buf_printf(&r->pending, err,
                         ",\"duplicates\":%" PRIu64 ",\"conflicts\":%" PRIu64
                         ",\"dropped\":%" PRIu64,
                         t->duplicates, t->conflicts, t->dropped));
    RQ_TRY(append_text(&r->pending, "source", source, err));
    RQ_TRY(flush(r, err));
    const uint64_t hash = XXH3_64bits_digest(r->hash);
    RQ_TRY(rq_buf_printf(&r->pending, err, ",\"xxh3\":\"%016" PRIx64 "\"}\n", hash));
    return flush(r, err);
}

rq_status rq_report_commit(rq_report **r, int classes, const char *source, rq_err *err)
{
    rq_status st = write_last_line(*r, classes, source, err);
    if (st == RQ_OK && (*r)->file != NULL)
        st = rq_atomic_file_commit(&(*r)->file, err);
    rq_report_abort(r);
    return st;
}

void rq_report_abort(rq_report **r)
{
    if (*r == NULL)
        return;
    rq_atomic_file_abort(&(*r)->file);
    XXH3_freeState((*r)->hash);
    rq_buf_free(&(*r)->pending);
    rq_free(*r);
    *r = NULL;
}
