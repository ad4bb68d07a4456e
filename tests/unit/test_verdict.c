// SPDX-License-Identifier: Apache-2.0
// Verdicts: which outcome gives which kind, and that a report line is JSON whatever the names
// hold.
#include "test.h"

#include "common/json.h"
#include "ingest/verdict.h"

static void outcome_decides_the_kind(void **state)
{
    static const struct {
        rq_status status;
        const char *error;
        unsigned notes;
        const char *warning;
        rq_verdict_kind kind;
        const char *reason;
    } cases[] = {
        {RQ_OK, "", 0, "", RQ_VERDICT_OK, ""},
        {RQ_OK, "", RQ_NOTE_GRAY | RQ_NOTE_ORIENTATION | RQ_NOTE_EXIF_BROKEN | RQ_NOTE_TRAILING,
         "", RQ_VERDICT_OK, ""},
        {RQ_OK, "", RQ_NOTE_CMYK, "", RQ_VERDICT_FIXED, "CMYK converted to RGB"},
        {RQ_OK, "", RQ_NOTE_EXTENSION | RQ_NOTE_ALPHA, "", RQ_VERDICT_FIXED,
         "the name says another format than the content; alpha dropped"},
        {RQ_OK, "", RQ_NOTE_CODEC_WARNING | RQ_NOTE_CMYK, "12 extraneous bytes",
         RQ_VERDICT_WARNED, "12 extraneous bytes; CMYK converted to RGB"},
        {RQ_OK, "", RQ_NOTE_CODEC_WARNING, NULL, RQ_VERDICT_WARNED, "the codec complained"},
        {RQ_TRUNCATED, "the JPEG ends", RQ_NOTE_CMYK, "x", RQ_VERDICT_REJECTED,
         "the JPEG ends"},
        {RQ_LIMIT, NULL, 0, NULL, RQ_VERDICT_REJECTED, "a safety limit was exceeded"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rq_verdict v;
        rq_verdict_make(&v, cases[i].status, cases[i].error, cases[i].notes, cases[i].warning);
        assert_int_equal(v.kind, cases[i].kind);
        assert_string_equal(v.reason, cases[i].reason);
    }
}

/* Each note has one name, which leads back to it, and only some change the verdict. */
static void notes_have_names(void **state)
{
    for (unsigned bit = 1; bit <= RQ_NOTE_TURNED; bit <<= 1) {
        rq_verdict v;
        assert_int_equal(rq_note_from_name(rq_note_name(bit)), bit);
        assert_true(rq_note_meaning(bit)[0] != '\0');
        rq_verdict_make(&v, RQ_OK, "", bit, "");
        assert_int_equal(v.kind, bit == RQ_NOTE_CODEC_WARNING ? RQ_VERDICT_WARNED
                                 : rq_note_fixes(bit)         ? RQ_VERDICT_FIXED
                                                              : RQ_VERDICT_OK);
        if (rq_note_fixes(bit))
            assert_string_equal(v.reason, rq_note_meaning(bit));
    }
    assert_string_equal(rq_note_name(1u << 31), "unknown");
    assert_string_equal(rq_note_meaning(0), "");
    assert_int_equal(rq_note_from_name("unknown"), 0);
    assert_false(rq_note_fixes(1u << 31));
}

static void long_reasons_are_cut(void **state)
{
    char text[1000];
    memset(text, 'e', sizeof text);
    text[999] = '\0';
    rq_verdict v;
    rq_verdict_make(&v, RQ_OK, "", ~0u, text);
    assert_int_equal(strlen(v.reason), RQ_VERDICT_REASON_BYTES - 1);
    rq_verdict_make(&v, RQ_IO, text, 0, NULL);
    assert_int_equal(strlen(v.reason), RQ_VERDICT_REASON_BYTES - 1);
}

static void a_line_is_one_json_object(void **state)
{
    rq_buf line = {0};
    rq_err err = {0};
    const rq_image_info info = {.codec = RQ_CODEC_PNG,
                                .width = 7,
                                .height = 9,
                                .components = 3,
                                .notes = RQ_NOTE_EXTENSION | RQ_NOTE_TRAILING};
    rq_verdict v;
    rq_verdict_make(&v, RQ_OK, "", info.notes, "");
    const char name[] = "a\"b\\c\n\x01\xff.jpg";
    for (int labelled = 0; labelled < 2; labelled++) {
        line.size = 0;
        assert_ok(rq_verdict_append_json(&line, name, labelled ? "n01" : NULL,
                                         labelled ? 4 : -1, 123, &info, &v, &err),
                  &err);
        assert_int_equal(line.data[line.size - 1], '\n');
        assert_null(memchr(line.data, '\n', line.size - 1));
        cJSON *o;
        assert_ok(rq_json_parse(&o, (const char *)line.data, line.size, "line", &err), &err);
        assert_string_equal(cJSON_GetObjectItem(o, "name")->valuestring,
                            "a\"b\\c\n\x01\xEF\xBF\xBD.jpg");
        assert_int_equal(cJSON_IsNull(cJSON_GetObjectItem(o, "class")), !labelled);
        assert_int_equal(cJSON_GetObjectItem(o, "label")->valueint, labelled ? 4 : -1);
        assert_int_equal(cJSON_GetObjectItem(o, "bytes")->valueint, 123);
        assert_int_equal(cJSON_GetObjectItem(o, "width")->valueint, 7);
        assert_int_equal(cJSON_GetObjectItem(o, "height")->valueint, 9);
        assert_string_equal(cJSON_GetObjectItem(o, "codec")->valuestring, "PNG");
        assert_string_equal(cJSON_GetObjectItem(o, "verdict")->valuestring, "fixed");
        const cJSON *notes = cJSON_GetObjectItem(o, "notes");
        assert_int_equal(cJSON_GetArraySize(notes), 2);
        assert_string_equal(cJSON_GetArrayItem(notes, 0)->valuestring, "extension");
        assert_string_equal(cJSON_GetArrayItem(notes, 1)->valuestring, "trailing-bytes");
        cJSON_Delete(o);
    }
    rq_buf_free(&line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outcome_decides_the_kind),
        cmocka_unit_test(notes_have_names),
        cmocka_unit_test(long_reasons_are_cut),
        cmocka_unit_test(a_line_is_one_json_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
