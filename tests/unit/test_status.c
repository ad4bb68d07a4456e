// SPDX-License-Identifier: Apache-2.0
//
// Status names and exit codes, and the rules of error text: the first error wins, NULL is fine,
// control characters cannot reach a terminal, long texts are cut and not overrun.
#include "tests/unit/test.h"

#include <errno.h>

static void every_status_has_name_meaning_and_exit_code(void **state)
{
    for (int s = 0; s < RQ_STATUS_COUNT; s++) {
        assert_non_null(rq_status_name((rq_status)s));
        assert_true(strlen(rq_status_meaning((rq_status)s)) > 3);
        assert_in_range(rq_status_exit_code((rq_status)s), 0, 130);
    }
    assert_string_equal(rq_status_name(RQ_BAD_FORMAT), "BAD_FORMAT");
    assert_int_equal(rq_status_exit_code(RQ_INVALID_ARG), 2);
    assert_int_equal(rq_status_exit_code(RQ_NOT_FOUND), 3);
    assert_int_equal(rq_status_exit_code(RQ_TRUNCATED), 4);
    assert_int_equal(rq_status_exit_code(RQ_NO_SPACE), 6);
    assert_int_equal(rq_status_exit_code(RQ_SAVED), 75);
    assert_string_equal(rq_status_name((rq_status)12345), "UNKNOWN");
    assert_int_equal(rq_status_exit_code((rq_status)-1), 70);
}

static void first_error_wins(void **state)
{
    rq_err err = {0};
    assert_status(rq_fail(&err, RQ_TRUNCATED, "first %d", 1), RQ_TRUNCATED);
    assert_status(rq_fail(&err, RQ_IO, "second"), RQ_IO);
    assert_status(err.status, RQ_TRUNCATED);
    assert_string_equal(err.text, "first 1");
    rq_err_clear(&err);
    assert_status(err.status, RQ_OK);
    rq_fail(&err, RQ_IO, "third");
    assert_string_equal(err.text, "third");
}

static void null_error_is_fine(void **state)
{
    assert_status(rq_fail(NULL, RQ_IO, "nobody listens"), RQ_IO);
    errno = ENOENT;
    assert_status(rq_fail_errno(NULL, "nobody listens"), RQ_NOT_FOUND);
    rq_err_prefix(NULL, "prefix");
    rq_err_clear(NULL);
}

static void errno_chooses_the_status(void **state)
{
    static const struct {
        int sys_errno;
        rq_status status;
    } cases[] = {{ENOENT, RQ_NOT_FOUND}, {ENOTDIR, RQ_NOT_FOUND}, {ENOSPC, RQ_NO_SPACE},
                 {EDQUOT, RQ_NO_SPACE},  {ENOMEM, RQ_OOM},        {EIO, RQ_IO},
                 {EACCES, RQ_IO},        {EFBIG, RQ_NO_SPACE}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rq_err err = {0};
        errno = cases[i].sys_errno;
        assert_status(rq_fail_errno(&err, "opening %s", "x"), cases[i].status);
        assert_int_equal(err.sys_errno, cases[i].sys_errno);
        assert_non_null(strstr(err.text, "opening x: "));
    }
}

static void control_characters_are_replaced(void **state)
{
    rq_err err = {0};
    rq_fail(&err, RQ_BAD_FORMAT, "name '%s'", "a\x1b[31mb\nc\x7f");
    assert_string_equal(err.text, "name 'a?[31mb?c?'");
    rq_err_prefix(&err, "in\t%s", "shard");
    assert_string_equal(err.text, "in?shard: name 'a?[31mb?c?'");
}

static void long_texts_are_cut(void **state)
{
    char name[4096];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    rq_err err = {0};
    errno = EIO;
    rq_fail_errno(&err, "%s", name);
    assert_int_equal(strlen(err.text), RQ_ERR_TEXT_BYTES - 1);
    rq_err_prefix(&err, "%s", name);
    assert_int_equal(strlen(err.text), RQ_ERR_TEXT_BYTES - 1);
}

static void prefix_needs_an_error(void **state)
{
    rq_err err = {0};
    rq_err_prefix(&err, "shard 7");
    assert_string_equal(err.text, "");
    rq_fail(&err, RQ_IO, "broken");
    rq_err_prefix(&err, "shard %d", 7);
    assert_string_equal(err.text, "shard 7: broken");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_name_meaning_and_exit_code),
        cmocka_unit_test(first_error_wins),
        cmocka_unit_test(null_error_is_fine),
        cmocka_unit_test(errno_chooses_the_status),
        cmocka_unit_test(control_characters_are_replaced),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(prefix_needs_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
