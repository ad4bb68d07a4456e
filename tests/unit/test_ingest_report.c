// SPDX-License-Identifier: Apache-2.0
// The ingest report: a line is one JSON object that reads back to the same entry; the last line
// counts and seals; every changed byte, every cut and every exchange of lines is noticed.
#include "test.h"

#include "common/file.h"
#include "ingest/report.h"

#include <sys/stat.h>

static rq_report_entry entry(const char *name, rq_verdict_kind kind)
{
    rq_report_entry e = {.name = name,
                         .class_name = "n01440764",
                         .label = 3,
                         .bytes = 12345,
                         .info = {.codec = RQ_CODEC_JPEG,
                                  .width = 500,
                                  .height = 375,
                                  .components = 4,
                                  .color = RQ_COLOR_YCCK,
                                  .orientation = 6,
                                  .notes = RQ_NOTE_CMYK | RQ_NOTE_ORIENTATION},
                         .hashed = true,
                         .content = {0x0123456789abcdef, 0xfedcba9876543210},
                         .duplicate_label = -1};
    e.verdict.kind = kind;
    if (kind == RQ_VERDICT_REJECTED)
        e.verdict.status = RQ_CORRUPT_IMAGE;
    if (kind != RQ_VERDICT_OK)
        snprintf(e.verdict.reason, sizeof e.verdict.reason, "because of \"%s\"", name);
    return e;
}

static void assert_entry(const rq_report_entry *a, const rq_report_entry *b)
{
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->class_name == NULL, b->class_name == NULL);
    if (a->class_name != NULL)
        assert_string_equal(a->class_name, b->class_name);
    assert_int_equal(a->label, b->label);
    assert_int_equal(a->bytes, b->bytes);
    assert_int_equal(a->info.codec, b->info.codec);
    assert_int_equal(a->info.width, b->info.width);
    assert_int_equal(a->info.height, b->info.height);
    assert_int_equal(a->info.components, b->info.components);
    assert_int_equal(a->info.color, b->info.color);
    assert_int_equal(a->info.orientation, b->info.orientation);
    assert_int_equal(a->info.notes, b->info.notes);
    assert_int_equal(a->verdict.kind, b->verdict.kind);
    assert_int_equal(a->verdict.status, b->verdict.status);
    assert_string_equal(a->verdict.reason, b->verdict.reason);
    assert_int_equal(a->hashed, b->hashed);
    assert_true(a->content.high == b->content.high && a->content.low == b->content.low);
    assert_int_equal(a->duplicate_of == NULL, b->duplicate_of == NULL);
    if (a->duplicate_of != NULL)
        assert_string_equal(a->duplicate_of, b->duplicate_of);
    assert_int_equal(a->duplicate_label, b->duplicate_label);
    assert_int_equal(a->dropped, b->dropped);
}

static void a_line_reads_back(void **state)
{
    rq_report_entry cases[5];
    for (int i = 0; i < 5; i++)
        cases[i] = entry("n01440764/a \"quoted\" \\ name\t\xC3\xA9.JPEG",
                         i < RQ_VERDICT_COUNT ? (rq_verdict_kind)i : RQ_VERDICT_OK);
    cases[1].class_name = NULL;
    cases[1].label = -1;
    cases[2].hashed = false;
    cases[2].content = (rq_content_id){0, 0};
    cases[4].duplicate_of = "n01440764/first.JPEG";
    cases[4].duplicate_label = 3;
    cases[4].dropped = true;
    cases[4].info.notes = (1u << 13) - 1; /* all there are */
    for (int i = 0; i < 5; i++) {
        rq_buf line = {0};
        rq_err err = {0};
        rq_report_entry back;
        cJSON *json;
        assert_ok(rq_report_line(&line, &cases[i], &err), &err);
        assert_ok(rq_report_parse(&back, &json, (char *)line.data, line.size, &err), &err);
        assert_entry(&cases[i], &back);
        assert_int_equal(cJSON_IsTrue(cJSON_GetObjectItem(json, "kept")),
                         i != RQ_VERDICT_REJECTED && i != 4);
        cJSON_Delete(json);
        rq_buf_free(&line);
    }
}

static void write_report(const char *path)
{
    rq_report *r;
    rq_err err = {0};
    assert_ok(rq_report_create(&r, path, &err), &err);
    static const char *const names[] = {"a.JPEG", "b.JPEG", "c.JPEG", "d.JPEG", "e.JPEG"};
    for (int i = 0; i < 5; i++) {
        rq_report_entry e = entry(names[i], (rq_verdict_kind)(i % RQ_VERDICT_COUNT));
        if (i == 4) {
            e.duplicate_of = "a.JPEG";
            e.duplicate_label = 7; /* not its own: a conflict */
            e.dropped = true;
        }
        assert_ok(rq_report_add(r, &e, &err), &err);
    }
    assert_ok(rq_report_commit(&r, 1000, "a tar", &err), &err);
    assert_null(r);
}

typedef struct seen {
    int n;
    char names[200];
} seen;

static rq_status see(void *cookie, const rq_report_entry *e, rq_err *err)
{
    seen *s = cookie;
    s->n++;
    strcat(s->names, e->name);
    return RQ_OK;
}

static void a_report_counts_and_reads_back(void **state)
{
    rq_err err = {0};
    rq_report_summary sum;
    seen s = {0};
    write_report("r.jsonl");
    assert_ok(rq_report_read("r.jsonl", see, &s, &sum, &err), &err);
    assert_int_equal(s.n, 5);
    assert_string_equal(s.names, "a.JPEGb.JPEGc.JPEGd.JPEGe.JPEG");
    assert_int_equal(sum.totals.images, 5);
    assert_int_equal(sum.totals.bytes, 5 * 12345);
    assert_int_equal(sum.totals.verdicts[RQ_VERDICT_OK], 2);
    assert_int_equal(sum.totals.verdicts[RQ_VERDICT_FIXED], 1);
    assert_int_equal(sum.totals.verdicts[RQ_VERDICT_WARNED], 1);
    assert_int_equal(sum.totals.verdicts[RQ_VERDICT_REJECTED], 1);
    assert_int_equal(sum.totals.duplicates, 1);
    assert_int_equal(sum.totals.conflicts, 1);
    assert_int_equal(sum.totals.dropped, 1);
    assert_int_equal(sum.classes, 1000);
    assert_string_equal(sum.source, "a tar");
}

static rq_status read_bytes(const void *data, size_t bytes)
{
    rq_err err = {0};
    rq_report_summary sum;
    FILE *f = fopen("changed.jsonl", "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, bytes, f), bytes);
    fclose(f);
    const rq_status st = rq_report_read("changed.jsonl", NULL, NULL, &sum, &err);
    assert_int_equal(st == RQ_OK, err.text[0] == '\0');
    return st;
}

static void every_damage_is_noticed(void **state)
{
    rq_buf file = {0};
    rq_err err = {0};
    write_report("r.jsonl");
    assert_ok(rq_file_read("r.jsonl", 1 << 20, &file, &err), &err);
    assert_status(read_bytes(file.data, file.size), RQ_OK);
    for (size_t i = 0; i < file.size; i++) {
        file.data[i] ^= 1;
        if (read_bytes(file.data, file.size) == RQ_OK)
            fail_msg("byte %zu may be changed", i);
        file.data[i] ^= 1;
    }
    for (size_t n = 0; n < file.size; n += 7)
        assert_int_not_equal(read_bytes(file.data, n), RQ_OK);
    assert_status(read_bytes(file.data, file.size - 1), RQ_TRUNCATED);
    /* without its first line, and with another one behind the last */
    const uint8_t *second = (uint8_t *)memchr(file.data, '\n', file.size) + 1;
    const size_t first_bytes = (size_t)(second - file.data);
    assert_int_not_equal(read_bytes(second, file.size - first_bytes), RQ_OK);
    rq_buf twice = {0};
    assert_ok(rq_buf_append(&twice, file.data, file.size, &err), &err);
    assert_ok(rq_buf_append(&twice, file.data, first_bytes, &err), &err);
    assert_status(read_bytes(twice.data, twice.size), RQ_BAD_FORMAT);
    assert_status(read_bytes("", 0), RQ_TRUNCATED);
    memset(file.data, 'x', file.size);
    assert_status(read_bytes(file.data, file.size), RQ_TRUNCATED);
    rq_buf_free(&twice);
    rq_buf_free(&file);
}

static void a_line_without_end_is_refused(void **state)
{
    const size_t n = 1 << 20;
    char *data = malloc(n);
    assert_non_null(data);
    memset(data, 'x', n);
    assert_status(read_bytes(data, n), RQ_BAD_FORMAT);
    free(data);
}

/* What an interrupted run wrote goes on to the same bytes as a run in one piece. */
static void lines_can_be_taken_over(void **state)
{
    rq_buf whole = {0}, again = {0};
    rq_err err = {0};
    rq_report *r;
    write_report("r.jsonl");
    assert_ok(rq_file_read("r.jsonl", 1 << 20, &whole, &err), &err);
    const char *last = strstr((char *)whole.data, "{\"end\"");
    const size_t lines = (size_t)(last - (char *)whole.data);
    assert_ok(rq_report_create(&r, "again.jsonl", &err), &err);
    assert_ok(rq_report_add_lines(r, (char *)whole.data, lines, &err), &err);
    assert_int_equal(rq_report_get_totals(r).duplicates, 1);
    assert_ok(rq_report_commit(&r, 1000, "a tar", &err), &err);
    assert_ok(rq_file_read("again.jsonl", 1 << 20, &again, &err), &err);
    assert_int_equal(again.size, whole.size);
    assert_memory_equal(again.data, whole.data, whole.size);
    assert_ok(rq_report_create(&r, NULL, &err), &err);
    assert_status(rq_report_add_lines(r, (char *)whole.data, lines - 1, &err), RQ_TRUNCATED);
    rq_err_clear(&err);
    assert_status(rq_report_add_lines(r, last, whole.size - lines, &err), RQ_BAD_FORMAT);
    rq_report_abort(&r);
    rq_buf_free(&whole);
    rq_buf_free(&again);
}

static void nothing_stands_before_commit(void **state)
{
    rq_report *r;
    rq_err err = {0};
    struct stat st;
    const rq_report_entry e = entry("a", RQ_VERDICT_OK);
    assert_ok(rq_report_create(&r, "never.jsonl", &err), &err);
    assert_ok(rq_report_add(r, &e, &err), &err);
    assert_int_not_equal(stat("never.jsonl", &st), 0);
    rq_report_abort(&r);
    assert_int_not_equal(stat("never.jsonl", &st), 0);
    assert_status(rq_report_create(&r, "no/such/folder/r.jsonl", &err), RQ_NOT_FOUND);
    assert_null(r);
    rq_err_clear(&err);
    rq_report_summary sum;
    assert_status(rq_report_read("missing.jsonl", NULL, NULL, &sum, &err), RQ_NOT_FOUND);
}

static void an_empty_report_is_one(void **state)
{
    rq_report *r;
    rq_err err = {0};
    rq_report_summary sum;
    assert_ok(rq_report_create(&r, "empty.jsonl", &err), &err);
    assert_ok(rq_report_commit(&r, 0, NULL, &err), &err);
    assert_ok(rq_report_read("empty.jsonl", NULL, NULL, &sum, &err), &err);
    assert_int_equal(sum.totals.images, 0);
    assert_string_equal(sum.source, "");
}

int main(void)
{
#define TEST(name)                                                                             \
    cmocka_unit_test_setup_teardown(name, test_enter_temp_dir, test_remove_temp_dir)
    const struct CMUnitTest tests[] = {
        TEST(a_line_reads_back),       TEST(a_report_counts_and_reads_back),
        TEST(every_damage_is_noticed), TEST(a_line_without_end_is_refused),
        TEST(lines_can_be_taken_over), TEST(nothing_stands_before_commit),
        TEST(an_empty_report_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
