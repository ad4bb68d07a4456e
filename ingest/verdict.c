// SPDX-License-Identifier: Apache-2.0
// From the outcome of a decode to the verdict that people read.
// Which notes make a picture "fixed" is decided here alone: those where what is stored differs
// from what a plain reader of the file would expect. Grey, orientation, broken EXIF and
// trailing bytes are listed but leave the picture "ok", as they touch no pixel.
#include "ingest/verdict.h"

#include "ingest/report.h"

#include <stdio.h>
#include <string.h>

static const struct {
    unsigned note;
    bool fixes; /* changes the verdict from ok to fixed */
    const char *name;
    const char *meaning;
} note_table[] = {
    {RQ_NOTE_EXTENSION, true, "extension", "the name says another format than the content"},
    {RQ_NOTE_CMYK, true, "cmyk", "CMYK converted to RGB"},
    {RQ_NOTE_ALPHA, true, "alpha", "alpha dropped"},
    {RQ_NOTE_DEPTH, true, "depth", "reduced to 8 bits"},
    {RQ_NOTE_PALETTE, true, "palette", "palette expanded"},
    {RQ_NOTE_SEQUENCE, true, "sequence", "first of several frames"},
    {RQ_NOTE_TURNED, true, "turned", "turned upright as its orientation says"},
    {RQ_NOTE_EXIF_BROKEN, false, "exif-broken", "EXIF block unreadable, ignored"},
    {RQ_NOTE_TRAILING, false, "trailing-bytes", "bytes behind the end of the image, ignored"},
    {RQ_NOTE_GRAY, false, "gray", "one component"},
    {RQ_NOTE_ORIENTATION, false, "orientation-ignored", "orientation not applied"},
    {RQ_NOTE_CROP, false, "crop-ignored", "AVIF crop not applied"},
    {RQ_NOTE_CODEC_WARNING, false, "codec-warning", "the codec complained"},
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
        v->status = status;
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
        if ((notes & note_table[i].note) == 0 || !note_table[i].fixes)
            continue;
        if (v->kind == RQ_VERDICT_OK)
            v->kind = RQ_VERDICT_FIXED;
        append_reason(v, note_table[i].meaning);
    }
}

static int note_index(unsigned bit)
{
    for (int i = 0; i < NOTES; i++)
        if (note_table[i].note == bit)
            return i;
    return -1;
}

const char *rq_note_name(unsigned bit)
{
    const int i = note_index(bit);
    return i < 0 ? "unknown" : note_table[i].name;
}

const char *rq_note_meaning(unsigned bit)
{
    const int i = note_index(bit);
    return i < 0 ? "" : note_table[i].meaning;
}

bool rq_note_fixes(unsigned bit)
{
    const int i = note_index(bit);
    return i >= 0 && note_table[i].fixes;
}

unsigned rq_note_from_name(const char *name)
{
    for (int i = 0; i < NOTES; i++)
        if (strcmp(note_table[i].name, name) == 0)
            return note_table[i].note;
    return 0;
}

rq_status rq_verdict_append_json(rq_buf *line, const char *name, const char *class_name,
                                 int label, size_t bytes, const rq_image_info *info,
                                 const rq_verdict *v, rq_err *err)
{
    const rq_report_entry entry = {.name = name,
                                   .class_name = class_name,
                                   .label = label,
                                   .bytes = bytes,
                                   .info = *info,
                                   .verdict = *v};
    return rq_report_line(line, &entry, err);
}
