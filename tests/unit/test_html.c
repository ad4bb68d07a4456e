// SPDX-License-Identifier: Apache-2.0
//
// Escaping, base64 and the page frame.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tools/html.h"

static void escaped(const char *text, const char *want)
{
    rq_buf out = {0};
    assert_int_equal(rq_html_text(&out, text, NULL), RQ_OK);
    assert_int_equal(rq_buf_append(&out, "", 1, NULL), RQ_OK);
    assert_string_equal((const char *)out.data, want);
    rq_buf_free(&out);
}

static void test_text(void **state)
{
    (void)state;
    escaped("", "");
    escaped(NULL, "");
    escaped("plain text, 1 + 1", "plain text, 1 + 1");
    escaped("<script>alert(\"x\")</script>",
            "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;");
    escaped("a' onload='b & c", "a&#39; onload=&#39;b &amp; c");
    escaped("two\nlines\x01", "two\nlines\xEF\xBF\xBD");
}

static void test_text_utf8(void **state)
{
    (void)state;
    escaped("\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x90\x88", "\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x90\x88");
    /* Overlong '<', a surrogate, a lone continuation, a cut sequence, above U+10FFFF. */
    escaped("\xC0\xBC", "\xEF\xBF\xBD\xEF\xBF\xBD");
    escaped("\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
    escaped("a\x80z", "a\xEF\xBF\xBDz");
    escaped("\xE2\x82<", "\xEF\xBF\xBD\xEF\xBF\xBD&lt;");
    escaped("\xF4\x90\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
}

/* The test vectors of RFC 4648 section 10, and bytes that use every kind of digit. */
static void test_base64(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        size_t n;
        const char *want;
    } rows[] = {{"", 0, ""},
                {"f", 1, "Zg=="},
                {"fo", 2, "Zm8="},
                {"foo", 3, "Zm9v"},
                {"foob", 4, "Zm9vYg=="},
                {"fooba", 5, "Zm9vYmE="},
                {"foobar", 6, "Zm9vYmFy"},
                {"\xFB\xFF\xBF\x00", 4, "+/+/AA=="}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        rq_buf out = {0};
        assert_int_equal(rq_html_base64(&out, rows[i].in, rows[i].n, NULL), RQ_OK);
        assert_int_equal(out.size, strlen(rows[i].want));
        assert_memory_equal(out.data, rows[i].want, out.size);
        rq_buf_free(&out);
    }
}

static void test_data_uri(void **state)
{
    (void)state;
    rq_buf out = {0};
    assert_int_equal(rq_html_data_uri(&out, "image/png", "foo", 3, NULL), RQ_OK);
    assert_int_equal(out.size, strlen("data:image/png;base64,Zm9v"));
    assert_memory_equal(out.data, "data:image/png;base64,Zm9v", out.size);
    rq_buf_free(&out);
}

static void test_page(void **state)
{
    (void)state;
    rq_buf out = {0};
    assert_int_equal(rq_html_begin(&out, "a <b> title", "p{color:red}", NULL), RQ_OK);
    assert_int_equal(rq_html_end(&out, "let a = 1;", NULL), RQ_OK);
    assert_int_equal(rq_buf_append(&out, "", 1, NULL), RQ_OK);
    const char *page = (const char *)out.data;
    assert_int_equal(strncmp(page, "<!doctype html>", 15), 0);
    assert_non_null(strstr(page, "<title>a &lt;b&gt; title</title>"));
    assert_non_null(strstr(page, "p{color:red}"));
    assert_non_null(strstr(page, "<script>\nlet a = 1;</script>"));
    assert_non_null(strstr(page, "default-src 'none'"));
    assert_null(strstr(page, "http:"));
    assert_null(strstr(page, "https:"));
    rq_buf_free(&out);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    for (long n = 1; n <= 2; n++) {
        rq_buf out = {0};
        rq_err err = {0};
        rq_mem_fail_nth(n);
        rq_status st = rq_html_begin(&out, "t", "", &err);
        rq_mem_fail_nth(0);
        assert_true(st == RQ_OOM || n > 1);
        assert_true(st == RQ_OK || err.status == st);
        rq_buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),   cmocka_unit_test(test_text_utf8),
        cmocka_unit_test(test_base64), cmocka_unit_test(test_data_uri),
        cmocka_unit_test(test_page),   cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
