// SPDX-License-Identifier: Apache-2.0
//
// Metrics to curves to charts to the page, on files as runs leave them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/file.h"
#include "tools/chart.h"
#include "tools/report.h"

static void parse(rq_curves *c, const char *text)
{
    memset(c, 0, sizeof *c);
    assert_int_equal(rq_curves_parse(c, text, strlen(text), NULL), RQ_OK);
}

static void check_curve(const rq_curves *c, const char *name, size_t n, const double *x,
                        const double *y)
{
    const rq_curve *curve = rq_curves_find(c, name);
    assert_non_null(curve);
    assert_int_equal(curve->n, n);
    for (size_t i = 0; i < n; i++) {
        assert_true(curve->x[i] == x[i]);
        assert_true(curve->y[i] == y[i]);
    }
}

static void test_curves(void **state)
{
    (void)state;
    rq_curves c;
    parse(&c, "{\"step\":1,\"loss\":2.5,\"note\":\"text\",\"ok\":true,\"std\":null}\n"
              "{\"step\":2,\"loss\":2.25,\"knn\":{\"top1\":0.5}}\n"
              "{\"step\":5,\"loss\":2}\n");
    assert_int_equal(c.lines, 3);
    assert_int_equal(c.bad_lines, 0);
    assert_false(c.torn);
    check_curve(&c, "loss", 3, (const double[]){1, 2, 5}, (const double[]){2.5, 2.25, 2});
    check_curve(&c, "knn.top1", 1, (const double[]){2}, (const double[]){0.5});
    assert_null(rq_curves_find(&c, "note"));
    assert_null(rq_curves_find(&c, "ok"));
    assert_null(rq_curves_find(&c, "std"));
    rq_curves_free(&c);
    assert_int_equal(c.n, 0);
}

static void test_torn_and_bad_lines(void **state)
{
    (void)state;
    rq_curves c;
    parse(&c, "{\"step\":1,\"loss\":3}\nnot "
              "json\n\n[1,2]\n{\"step\":2,\"loss\":2}\n{\"step\":3,\"lo");
    assert_int_equal(c.lines, 2);
    assert_int_equal(c.bad_lines, 2);
    assert_true(c.torn);
    check_curve(&c, "loss", 2, (const double[]){1, 2}, (const double[]){3, 2});
    rq_curves_free(&c);
    /* A last line that is whole but for its newline counts. */
    parse(&c, "{\"step\":1,\"loss\":3}\n{\"step\":2,\"loss\":2}");
    assert_int_equal(c.lines, 2);
    assert_false(c.torn);
    rq_curves_free(&c);
    parse(&c, "");
    assert_int_equal(c.lines, 0);
    rq_curves_free(&c);
}

/* A resume goes back to step 2: what was after it is replaced. */
static void test_resume_goes_back(void **state)
{
    (void)state;
    rq_curves c;
    parse(&c, "{\"step\":1,\"a\":1}\n{\"step\":2,\"a\":2}\n{\"step\":3,\"a\":3}\n"
              "{\"step\":2,\"a\":20}\n{\"step\":3,\"a\":30}\n");
    check_curve(&c, "a", 3, (const double[]){1, 2, 3}, (const double[]){1, 20, 30});
    rq_curves_free(&c);
}

static void test_curve_limits(void **state)
{
    (void)state;
    rq_buf text = {0};
    for (int i = 0; i < RQ_CURVES_MAX + 20; i++)
        assert_int_equal(rq_buf_printf(&text, NULL, "{\"field%d\":%d}\n", i, i), RQ_OK);
    assert_int_equal(rq_buf_printf(&text, NULL, "{\"%0100d\":1}\n", 1), RQ_OK);
    rq_curves c = {0};
    assert_int_equal(rq_curves_parse(&c, (const char *)text.data, text.size, NULL), RQ_OK);
    assert_int_equal(c.n, RQ_CURVES_MAX);
    rq_curves_free(&c);
    rq_buf_free(&text);
}

static void test_chart_step(void **state)
{
    (void)state;
    static const struct {
        double span;
        int parts;
        double want;
    } rows[] = {{100, 4, 20}, {100, 5, 20},   {99, 5, 10},      {1, 4, 0.2}, {0.03, 4, 0.005},
                {7, 4, 1},    {3000, 4, 500}, {1e-9, 4, 2e-10}, {0, 4, 1},   {-3, 4, 1}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const double got = rq_chart_step(rows[i].span, rows[i].parts);
        assert_true(got > rows[i].want * 0.999 && got < rows[i].want * 1.001);
    }
}

/* The chart of y = x: its polyline goes from the lower left to the upper right. */
static void test_chart(void **state)
{
    (void)state;
    enum { N = 2000 };
    double x[N], y[N];
    for (int i = 0; i < N; i++)
        x[i] = y[i] = i;
    const rq_curve curve = {.name = "a<b", .x = x, .y = y, .n = N};
    const rq_chart chart = {.title = "T", .note = "", .series = {&curve}, .n_series = 1};
    rq_buf out = {0};
    assert_int_equal(rq_chart_append(&out, &chart, NULL), RQ_OK);
    assert_int_equal(rq_buf_append(&out, "", 1, NULL), RQ_OK);
    const char *p = strstr((const char *)out.data, "points=\"");
    assert_non_null(p);
    assert_non_null(strstr((const char *)out.data, "data-name=\"a&lt;b\""));
    double px, py, lx = -1, ly = 1e9;
    int n = 0, used;
    for (p += 8; sscanf(p, "%lf,%lf %n", &px, &py, &used) == 2; p += used, n++) {
        assert_true(px > lx && py < ly);
        lx = px;
        ly = py;
    }
    assert_int_equal(n, 500);
    rq_buf_free(&out);
}

/* ---- the page --------------------------------------------------------------------------- */

static char dir[] = "/tmp/rq-test-report-XXXXXX";

static void write_file(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(rq_file_write_atomic(path, text, strlen(text), NULL), RQ_OK);
}

static void remove_file(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    unlink(path);
}

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) == NULL;
}

static int remove_dir(void **state)
{
    (void)state;
    remove_file("metrics.jsonl");
    remove_file("timing.jsonl");
    remove_file("config.txt");
    remove_file("sheet.png");
    return rmdir(dir);
}

static char *report(const char *views, rq_status want)
{
    rq_buf out = {0};
    rq_err err = {0};
    assert_int_equal(rq_report_html(dir, views, &out, &err), want);
    assert_int_equal(err.status, want);
    if (want == RQ_OK)
        assert_int_equal(rq_buf_append(&out, "", 1, NULL), RQ_OK);
    char *page = want == RQ_OK ? strdup((const char *)out.data) : NULL;
    rq_buf_free(&out);
    return page;
}

static void test_page_missing(void **state)
{
    (void)state;
    remove_file("metrics.jsonl");
    report(NULL, RQ_NOT_FOUND);
    write_file("metrics.jsonl", "");
    report(NULL, RQ_BAD_FORMAT);
    write_file("metrics.jsonl", "{\"step\":");
    report(NULL, RQ_BAD_FORMAT);
}

static void test_page(void **state)
{
    (void)state;
    write_file("metrics.jsonl",
               "{\"step\":1200,\"epoch\":3,\"loss\":4,\"std\":0.9,\"lr\":0.1,\"my_own\":7}\n"
               "{\"step\":1300,\"epoch\":4,\"loss\":2,\"std\":0.8,\"lr\":0.2,\"my_own\":8}\n"
               "{\"step\":1300,\"knn\":0.625}\n{\"step\":1301,\"lo");
    write_file("timing.jsonl", "{\"step\":1,\"images_per_s\":512}\n");
    write_file("config.txt", "name = <b>&amp;\n");
    char *page = report(NULL, RQ_OK);
    assert_non_null(strstr(page, "<b>1,300</b>"));
    assert_non_null(strstr(page, "<b>2</b><small>loss"));
    assert_non_null(strstr(page, "<b>62.5 %</b>"));
    assert_non_null(strstr(page, "<b>512</b>"));
    assert_non_null(strstr(page, "torn"));
    assert_non_null(strstr(page, "<h2>my_own"));
    assert_non_null(strstr(page, "name = &lt;b&gt;&amp;amp;"));
    assert_null(strstr(page, "<h2>epoch"));
    assert_null(strstr(page, "http:"));
    assert_null(strstr(page, "https:"));
    assert_non_null(strstr(page, "</html>"));
    free(page);
}

static void test_page_views(void **state)
{
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s/sheet.png", dir);
    write_file("metrics.jsonl", "{\"step\":1,\"loss\":4}\n");
    write_file("sheet.png", "\x89PNG\r\n\x1a\nrest");
    char *page = report(path, RQ_OK);
    assert_non_null(strstr(page, "data:image/png;base64,iVBORw0KGgpyZXN0"));
    free(page);
    write_file("sheet.png", "GIF89a..");
    report(path, RQ_BAD_FORMAT);
    remove_file("sheet.png");
    report(path, RQ_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_curves),           cmocka_unit_test(test_torn_and_bad_lines),
        cmocka_unit_test(test_resume_goes_back), cmocka_unit_test(test_curve_limits),
        cmocka_unit_test(test_chart_step),       cmocka_unit_test(test_chart),
        cmocka_unit_test(test_page_missing),     cmocka_unit_test(test_page),
        cmocka_unit_test(test_page_views),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
