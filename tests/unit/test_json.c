// SPDX-License-Identifier: Apache-2.0
//
// JSON: what is refused (nesting, trailing text, double keys, wrong types, every truncation),
// and that what is written reads back the same, for strings of any bytes and doubles of any
// size.
#include "tests/unit/test.h"

#include "common/json.h"

#include <float.h>
#include <math.h>

static rq_status parse(cJSON **out, const char *text, rq_err *err)
{
    return rq_json_parse(out, text, strlen(text), "manifest", err);
}

static cJSON *parsed(const char *text)
{
    rq_err err = {0};
    cJSON *root;
    assert_ok(parse(&root, text, &err), &err);
    return root;
}

static void hostile_documents_are_refused(void **state)
{
    static const struct {
        const char *text, *says;
        rq_status status;
    } cases[] = {
        {"", "no valid JSON", RQ_BAD_FORMAT},
        {"{", "no valid JSON", RQ_BAD_FORMAT},
        {"nul", "no valid JSON", RQ_BAD_FORMAT},
        {"{\"a\":1,}", "no valid JSON", RQ_BAD_FORMAT},
        {"{\"a\":1} x", "unexpected text", RQ_BAD_FORMAT},
        {"{}{}", "unexpected text", RQ_BAD_FORMAT},
        {"{\"a\":1,\"b\":2,\"a\":3}", "\"a\" stands there twice", RQ_BAD_FORMAT},
        {"[{\"x\":{\"k\":1,\"k\":1}}]", "\"k\" stands there twice", RQ_BAD_FORMAT},
        {"{\"a\":\"\\uD800\"}", "no valid JSON", RQ_BAD_FORMAT},
        {"{\"a\":\"unterminated", "no valid JSON", RQ_BAD_FORMAT},
        {"[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]", "nested deeper", RQ_LIMIT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rq_err err = {0};
        cJSON *root = (cJSON *)&err;
        assert_status(parse(&root, cases[i].text, &err), cases[i].status);
        assert_null(root);
        if (strstr(err.text, cases[i].says) == NULL || strstr(err.text, "manifest") == NULL)
            fail_msg("'%s' does not say '%s'", err.text, cases[i].says);
    }
}

static void a_million_brackets_do_not_exhaust_the_stack(void **state)
{
    const size_t n = 1000000;
    char *text = malloc(n);
    cJSON *root;
    assert_non_null(text);
    memset(text, '[', n);
    assert_status(rq_json_parse(&root, text, n, "x", NULL), RQ_LIMIT);
    memset(text, ' ', n);
    assert_status(rq_json_parse(&root, text, n, "x", NULL), RQ_BAD_FORMAT);
    free(text);
}

static void depth_and_brackets_in_strings(void **state)
{
    cJSON_Delete(parsed("[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]")); /* sixteen */
    cJSON_Delete(parsed("\"[[[[[[[[[[[[[[[[[[[[\\\"[[[[[[[[[[[[[[[[[[[[\\\\\""));
    cJSON_Delete(parsed(" \t\r\n{\"a\":[],\"A\":{}} \n"));
}

/* The text need not end in NUL: copied to the end of its allocation, so that a sanitizer sees
 * one byte too many. No beginning of the document is a document. */
static void every_truncation_is_refused(void **state)
{
    static const char text[] =
        "{\"name\":\"a\\u00e9\\n\",\"n\":[1,-2.5e3,true,false,null],\"o\":{\"k\":\"v\"}}";
    const size_t whole = sizeof text - 1;
    for (size_t n = 0; n <= whole; n++) {
        char *exact = malloc(n > 0 ? n : 1);
        cJSON *root;
        assert_non_null(exact);
        memcpy(exact, text, n);
        assert_status(rq_json_parse(&root, exact, n, "x", NULL),
                      n == whole ? RQ_OK : RQ_BAD_FORMAT);
        cJSON_Delete(root);
        free(exact);
    }
}

static void integers_are_whole_and_in_range(void **state)
{
    cJSON *o = parsed("{\"i\":42,\"f\":1.5,\"big\":9007199254740992,\"huge\":1e300,\"neg\":-3,"
                      "\"s\":\"42\",\"b\":true}");
    int64_t v = 0;
    rq_err err = {0};
    assert_ok(rq_json_get_int(o, "i", 0, 42, &v, "m", &err), &err);
    assert_int_equal(v, 42);
    assert_ok(rq_json_get_int(o, "big", 0, INT64_C(1) << 53, &v, "m", &err), &err);
    assert_true(v == INT64_C(1) << 53);
    assert_ok(rq_json_get_int(o, "neg", -3, 0, &v, "m", &err), &err);
    static const char *const refused[] = {"f", "huge", "neg", "s", "b", "missing"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        rq_err_clear(&err);
        assert_status(rq_json_get_int(o, refused[i], 0, 1000, &v, "manifest", &err),
                      RQ_BAD_FORMAT);
        assert_non_null(strstr(err.text, refused[i]));
        assert_non_null(strstr(err.text, "manifest"));
    }
    assert_int_equal(v, -3);
    assert_status(rq_json_get_int(o, "i", 43, 100, &v, "m", NULL), RQ_BAD_FORMAT);
    assert_status(rq_json_get_int(NULL, "i", 0, 1, &v, "m", NULL), RQ_BAD_FORMAT);
    cJSON_Delete(o);
}

static void members_of_other_types(void **state)
{
    cJSON *o = parsed("{\"d\":2.5,\"s\":\"text\",\"a\":[1,2],\"inf\":1e999}");
    double d = 0;
    const char *s = NULL;
    const cJSON *a = NULL;
    rq_err err = {0};
    assert_ok(rq_json_get_double(o, "d", &d, "m", &err), &err);
    assert_true(d == 2.5);
    assert_ok(rq_json_get_string(o, "s", &s, "m", &err), &err);
    assert_string_equal(s, "text");
    assert_ok(rq_json_get_array(o, "a", &a, "m", &err), &err);
    assert_int_equal(cJSON_GetArraySize(a), 2);
    assert_status(rq_json_get_double(o, "inf", &d, "m", NULL), RQ_BAD_FORMAT);
    assert_status(rq_json_get_double(o, "s", &d, "m", NULL), RQ_BAD_FORMAT);
    assert_status(rq_json_get_string(o, "a", &s, "m", NULL), RQ_BAD_FORMAT);
    assert_status(rq_json_get_array(o, "S", &a, "m", NULL), RQ_BAD_FORMAT);
    cJSON_Delete(o);
}

static void strings_read_back(void **state)
{
    char all[256];
    for (int i = 1; i < 256; i++)
        all[i - 1] = (char)i;
    all[255] = '\0';
    static const struct {
        const char *in, *json;
    } cases[] = {
        {"plain", "\"plain\""},
        {"a\"b\\c\n\r\t\x01\x7f", "\"a\\\"b\\\\c\\n\\r\\t\\u0001\\u007f\""},
        {"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x90\xB1", "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x90\xB1\""},
        /* a lone lead, overlong forms, a surrogate, beyond U+10FFFF, a lead at the end */
        {"\xC3", "\"\xEF\xBF\xBD\""},
        {"\xC0\xAF", "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},
        {"\xED\xA0\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
        {"\xF4\x90\x80\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
        {"x\xE2\x82", "\"x\xEF\xBF\xBD\xEF\xBF\xBD\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rq_buf buf = {0};
        rq_err err = {0};
        assert_ok(rq_json_append_string(&buf, cases[i].in, &err), &err);
        assert_string_equal((char *)buf.data, cases[i].json);
        rq_buf_free(&buf);
    }
    rq_buf buf = {0};
    rq_err err = {0};
    assert_ok(rq_json_append_string(&buf, all, &err), &err);
    cJSON *root = parsed((char *)buf.data);
    assert_int_equal(strncmp(cJSON_GetStringValue(root), all, 127), 0);
    cJSON_Delete(root);
    rq_buf_free(&buf);
}

static void doubles_read_back_exactly(void **state)
{
    static const double values[] = {0,      1,         -1,      0.1,     1.0 / 3, 1e-300,
                                    1e300,  DBL_MIN,   DBL_MAX, 5e-324,  0.2,     123456789,
                                    1.0e21, 4503599.5, M_PI,    -2.5e-7, 0.1f};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        rq_buf buf = {0};
        rq_err err = {0};
        assert_ok(rq_json_append_double(&buf, values[i], &err), &err);
        cJSON *root = parsed((char *)buf.data);
        assert_true(root->valuedouble == values[i]);
        cJSON_Delete(root);
        rq_buf_free(&buf);
    }
    rq_buf buf = {0};
    rq_err err = {0};
    assert_ok(rq_json_append_double(&buf, 0.1, &err), &err);
    assert_ok(rq_json_append_double(&buf, NAN, &err), &err);
    assert_ok(rq_json_append_double(&buf, -INFINITY, &err), &err);
    assert_string_equal((char *)buf.data, "0.1nullnull");
    rq_buf_free(&buf);
}

static void failed_allocations_are_reported(void **state)
{
    cJSON *root = (cJSON *)state;
    rq_mem_fail_nth(1);
    assert_status(parse(&root, "{\"a\":1}", NULL), RQ_OOM);
    assert_null(root);
    rq_buf buf = {0};
    rq_mem_fail_nth(1);
    assert_status(rq_json_append_string(&buf, "text", NULL), RQ_OOM);
    rq_buf_free(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_documents_are_refused),
        cmocka_unit_test(a_million_brackets_do_not_exhaust_the_stack),
        cmocka_unit_test(depth_and_brackets_in_strings),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(integers_are_whole_and_in_range),
        cmocka_unit_test(members_of_other_types),
        cmocka_unit_test(strings_read_back),
        cmocka_unit_test(doubles_read_back_exactly),
        cmocka_unit_test(failed_allocations_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
