// SPDX-License-Identifier: Apache-2.0
// From the outcome of a decode to the verdict that people read, and to one line of the report.
// Which notes make a picture "fixed" is decided here alone: those where what is stored differs
// from what a plain reader of the file would expect. Grey, orientation, broken EXIF and
// trailing bytes are listed but leave the picture "ok", as they touch no pixel.
#include "ingest/verdict.h"

#include "common/json.h"

#include <stdio.h>
#include <string.h>

static const struct {
    unsigned note;
    const char *name;   /* in the report */
    const char *reason; /* NULL: does not change the verdict */
} note_table[] = {
    {RQ_NOTE_EXTENSION, "extension", "the name says another format than the content"},
    {RQ_NOTE_CMYK, "cmyk", "CMYK converted to RGB"},
    {RQ_NOTE_ALPHA, "alpha", "alpha dropped"},
    {RQ_NOTE_DEPTH, "depth", "reduced to 8 bits"},
    {RQ_NOTE_PALETTE, "palette", "palette expanded"},
    {RQ_NOTE_SEQUENCE, "sequence", "first of several frames"},
    {RQ_NOTE_EXIF_BROKEN, "exif-broken", NULL},
    {RQ_NOTE_TRAILING, "trailing-bytes", NULL},
    {RQ_NOTE_GRAY, "gray", NULL},
    {RQ_NOTE_ORIENTATION, "orientation-ignored", NULL},
    {RQ_NOTE_CODEC_WARNING, "codec-warning", NULL},
};
enum { NOTES = sizeof note_table / sizeof *note_table };

const char *rq_verdict_name(rq_verdict_kind kind)
{
    static const char *const names[RQ_VERDICT_COUNT] = {"ok", "fixed", "warned", "rejected"};
    return (unsigned)kind < RQ_VERDICT_COUNT ? names[kind] : "unknown";
}

static void append_reason(rq_verdict *v, const char *text)
{
    const size_t used = strlen(v->reason);
    snprintf(v->reason + used, sizeof v->reason - used, "%s%s", used > 0 ? "; " : "", text);
}

void rq_verdict_make(rq_verdict *v, rq_status status, const char *error_text, unsigned notes,
                     const char *codec_warning)
{
    memset(v, 0, sizeof *v);
    if (status != RQ_OK) {
        v->kind = RQ_VERDICT_REJECTED;
        append_reason(v, error_text != NULL && error_text[0] != '\0'
                             ? error_text
                             : rq_status_meaning(status));
        return;
    }
    if ((notes & RQ_NOTE_CODEC_WARNING) != 0) {
        v->kind = RQ_VERDICT_WARNED;
        append_reason(v, codec_warning != NULL && codec_warning[0] != '\0'
                             ? codec_warning
                             : "the codec complained");
    }
    for (int i = 0; i < NOTES; i++) {
        if ((notes & note_table[i].note) == 0 || note_table[i].reason == NULL)
            continue;
        if (v->kind == RQ_VERDICT_OK)
            v->kind = RQ_VERDICT_FIXED;
        append_reason(v, note_table[i].reason);
    }
}

static rq_status append_notes(rq_buf *line, unsigned notes, rq_err *err)
{
    RQ_TRY(rq_buf_printf(line, err, "["));
    const char *comma = "";
    for (int i = 0; i < NOTES; i++) {
        if ((notes & note_table[i].note) == 0)
            continue;
        RQ_TRY(rq_buf_printf(line, err, "%s\"%s\"", comma, note_table[i].name));
        comma = ",";
    }
    return rq_buf_printf(line, err, "]");
}

rq_status rq_verdict_append_json(rq_buf *line, const char *name, const char *class_name,
                                 int label, size_t bytes, const rq_image_info *info,
                                 const rq_verdict *v, rq_err *err)
{
    RQ_TRY(rq_buf_printf(line, err, "{\"name\":"));
    RQ_TRY(rq_json_append_string(line, name, err));
    RQ_TRY(rq_buf_printf(line, err, ",\"class\":"));
    if (class_name != NULL)
        RQ_TRY(rq_json_append_string(line, class_name, err));
    else
        RQ_TRY(rq_buf_printf(line, err, "null"));
    RQ_TRY(rq_buf_printf(line, err,
                         ",\"label\":%d,\"bytes\":%zu,\"codec\":\"%s\",\"width\":%d,"
                         "\"height\":%d,\"components\":%d,\"notes\":",
                         label, bytes, rq_codec_name(info->codec), info->width, info->height,
                         info->components));
    RQ_TRY(append_notes(line, info->notes, err));
    RQ_TRY(
        rq_buf_printf(line, err, ",\"verdict\":\"%s\",\"reason\":", rq_verdict_name(v->kind)));
    RQ_TRY(rq_json_append_string(line, v->reason, err));
    return rq_buf_printf(line, err, "}\n");
}
