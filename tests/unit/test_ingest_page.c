// SPDX-License-Identifier: Apache-2.0
// The page of an ingest report: what it counts, how many images it shows, which pictures it
// asks for; and that no name, whatever it holds, becomes part of the page's own text.
#include "test.h"

#include "ingest/codec.h"
#include "tools/ingest_page.h"

typedef struct fixture {
    rq_ingest_page *page;
    rq_report_summary sum;
    rq_buf html;
    rq_err err;
} fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    assert_ok(rq_ingest_page_create(&f->page, &f->err), &f->err);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    rq_ingest_page_destroy(&f->page);
    rq_buf_free(&f->html);
    free(f);
    return 0;
}

static rq_report_entry entry(const char *name, int label, int width, int height)
{
    static const char *const classes[] = {"ant", "bee", "cat"};
    return (rq_report_entry){.name = name,
                             .class_name = label >= 0 ? classes[label % 3] : NULL,
                             .label = label,
                             .bytes = 1000,
                             .duplicate_label = -1,
                             .info = {.codec = RQ_CODEC_JPEG,
                                      .width = width,
                                      .height = height,
                                      .components = 3,
                                      .color = RQ_COLOR_YCBCR,
                                      .orientation = 1}};
}

static void add(fixture *f, const rq_report_entry *e, const rq_buf *data)
{
    rq_report_count(&f->sum.totals, e);
    assert_ok(rq_ingest_page_add(f->page, e, data ? data->data : NULL, data ? data->size : 0,
                                 &f->err),
              &f->err);
}

static const char *draw(fixture *f)
{
    f->html.size = 0;
    assert_ok(rq_ingest_page_html(f->page, &f->sum, &f->html, &f->err), &f->err);
    return (const char *)f->html.data;
}

static int count_of(const char *text, const char *what)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at += strlen(what))
        n++;
    return n;
}

static void holds(const char *html, const char *what)
{
    if (strstr(html, what) == NULL)
        fail_msg("the page does not hold '%s'", what);
}

static void png(rq_buf *file, int width, int height)
{
    uint8_t pixels[64 * 64] = {0};
    rq_err err = {0};
    assert_true(width * height <= (int)sizeof pixels);
    assert_ok(rq_png_encode(pixels, width, height, 1, file, &err), &err);
}

static void names_stay_text(void **state)
{
    fixture *f = *state;
    rq_report_entry e = entry("<script>\"'&\x1b.jpg", 0, 40, 30);
    e.class_name = "</style><b>";
    e.info.notes = RQ_NOTE_GRAY;
    add(f, &e, NULL);
    e.verdict.kind = RQ_VERDICT_REJECTED;
    e.verdict.status = RQ_BAD_FORMAT;
    snprintf(e.verdict.reason, sizeof e.verdict.reason, "<img src=x>");
    add(f, &e, NULL);
    snprintf(f->sum.source, sizeof f->sum.source, "<i>source");
    f->sum.classes = 1;
    const char *html = draw(f);
    holds(html, "&lt;script&gt;&quot;&#39;&amp;\xEF\xBF\xBD.jpg");
    holds(html, "&lt;/style&gt;&lt;b&gt;");
    holds(html, "&lt;img src=x&gt;");
    holds(html, "&lt;i&gt;source");
    assert_int_equal(count_of(html, "<script"), 0);
    assert_int_equal(count_of(html, "</style>"), 1);
    assert_int_equal(count_of(html, "<img"), 0);
}

static void no_image_or_no_label_draws_no_chart(void **state)
{
    fixture *f = *state;
    const char *html = draw(f);
    holds(html, "<b>0</b>images");
    assert_int_equal(count_of(html, "<svg"), 0);
    f->sum.classes = 7; /* from a list of classes, and no image has a label */
    const rq_report_entry e = entry("a.jpg", -1, 40, 30);
    add(f, &e, NULL);
    html = draw(f);
    assert_int_equal(count_of(html, "nan"), 0);
    assert_int_equal(count_of(html, "Images per class"), 0);
    assert_int_equal(count_of(html, "<svg"), 3);
}

static void classes_are_counted_by_what_is_kept(void **state)
{
    fixture *f = *state;
    rq_report_entry e = entry("a", 0, 40, 30);
    for (int i = 0; i < 5; i++)
        add(f, &e, NULL);
    e = entry("b", 1, 30, 40);
    add(f, &e, NULL);
    e.duplicate_of = "b";
    e.dropped = true;
    add(f, &e, NULL);
    e = entry("c", 2, 30, 30);
    e.verdict.kind = RQ_VERDICT_REJECTED;
    e.verdict.status = RQ_TRUNCATED;
    add(f, &e, NULL);
    f->sum.classes = 4; /* of the last there is no file */
    const rq_ingest_stats *s = rq_ingest_page_stats(f->page);
    assert_int_equal(s->kept, 6);
    assert_int_equal(s->landscape, 5);
    assert_int_equal(s->portrait, 1);
    assert_int_equal(s->errors[RQ_TRUNCATED], 1);
    assert_int_equal(rq_ingest_stats_side(s, 0.5), 30);
    holds(draw(f), "fewest 0 (<bdi>cat</bdi>), most 5 (<bdi>ant</bdi>)");
    assert_int_equal(s->n_classes, 4);
    assert_int_equal(s->classes[1].images, 1);
    assert_string_equal(s->classes[2].name, "cat");
    assert_null(s->classes[3].name);
}

static void even_classes_are_a_sentence(void **state)
{
    fixture *f = *state;
    for (int i = 0; i < 100; i++) {
        const rq_report_entry e = entry("a", i % 50, 40, 30);
        add(f, &e, NULL);
    }
    f->sum.classes = 50;
    const char *html = draw(f);
    holds(html, "2 in every class");
    assert_int_equal(count_of(html, "<svg"), 3); /* none of them of the classes */
    holds(html, "1 in 100 has 30 or less");
    const rq_report_entry more = entry("b", 7, 40, 30);
    add(f, &more, NULL);
    assert_int_equal(count_of(draw(f), "<svg"), 4);
}

static void the_first_of_each_kind_are_shown(void **state)
{
    fixture *f = *state;
    char name[32];
    for (int i = 0; i < 3 * RQ_PAGE_SHOWN; i++) {
        snprintf(name, sizeof name, "image-%03d.jpg", i);
        rq_report_entry e = entry(name, 0, 40, 30);
        e.info.notes = RQ_NOTE_GRAY | (i % 2 != 0 ? RQ_NOTE_CMYK : 0u);
        add(f, &e, NULL);
    }
    const char *html = draw(f);
    assert_int_equal(count_of(html, "<figcaption>"), 2 * RQ_PAGE_SHOWN);
    assert_int_equal(count_of(html, "no picture"), 2 * RQ_PAGE_SHOWN);
    assert_int_equal(count_of(html, "and 18 more; the report names each"), 2);
    holds(html, "image-000.jpg");
    assert_null(strstr(html, "image-107.jpg"));
    assert_int_equal(rq_ingest_page_missing(f->page), 2 * RQ_PAGE_SHOWN);
}

static void pictures_can_come_later(void **state)
{
    fixture *f = *state;
    rq_buf large = {0}, tiny = {0};
    png(&large, 60, 40);
    png(&tiny, 3, 2);
    rq_report_entry e = entry("now", 0, 60, 40);
    e.info.notes = RQ_NOTE_GRAY;
    add(f, &e, &large);
    assert_int_equal(rq_ingest_page_missing(f->page), 0);
    e.name = "later";
    add(f, &e, NULL);
    assert_int_equal(rq_ingest_page_missing(f->page), 1);
    assert_true(rq_ingest_page_wants(f->page, "later"));
    assert_false(rq_ingest_page_wants(f->page, "now"));
    assert_ok(rq_ingest_page_offer(f->page, "later", "no image", 8, &f->err), &f->err);
    assert_true(rq_ingest_page_wants(f->page, "later"));
    assert_ok(rq_ingest_page_offer(f->page, "later", tiny.data, tiny.size, &f->err), &f->err);
    assert_int_equal(rq_ingest_page_missing(f->page), 0);
    const char *html = draw(f);
    holds(html, "<img alt=\"\" width=\"60\" height=\"40\" src=\"data:image/jpeg;base64,");
    holds(html, "<img class=\"tiny\" alt=\"\" width=\"3\" height=\"2\"");
    rq_buf_free(&large);
    rq_buf_free(&tiny);
}

/* The n-th of our allocations fails, for every n until none does. */
static void no_memory_at_any_point(void **state)
{
    rq_buf file = {0};
    png(&file, 20, 10);
    rq_status st = RQ_OOM;
    int n = 1;
    for (; st != RQ_OK && n < 200; n++) {
        rq_ingest_page *page = NULL;
        rq_buf html = {0};
        rq_err err = {0};
        const rq_report_summary sum = {.classes = 2};
        rq_report_entry e = entry("a", 0, 20, 10);
        e.info.notes = RQ_NOTE_GRAY;
        e.duplicate_of = "b";
        rq_mem_fail_nth(n);
        st = rq_ingest_page_create(&page, &err);
        if (st == RQ_OK)
            st = rq_ingest_page_add(page, &e, file.data, file.size, &err);
        if (st == RQ_OK)
            st = rq_ingest_page_html(page, &sum, &html, &err);
        rq_mem_fail_nth(0);
        assert_true(st == RQ_OK || st == RQ_OOM);
        rq_buf_free(&html);
        rq_ingest_page_destroy(&page);
    }
    assert_true(n > 10 && n < 200);
    rq_buf_free(&file);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(names_stay_text),
        TEST(no_image_or_no_label_draws_no_chart),
        TEST(classes_are_counted_by_what_is_kept),
        TEST(even_classes_are_a_sentence),
        TEST(the_first_of_each_kind_are_shown),
        TEST(pictures_can_come_later),
        TEST(no_memory_at_any_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
