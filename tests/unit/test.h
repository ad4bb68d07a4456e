/* What every unit test needs: cmocka and the headers it must have before it. */
#ifndef RQ_TESTS_UNIT_TEST_H
#define RQ_TESTS_UNIT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/status.h"

/* Fails with the message of err when status is not RQ_OK. */
#define assert_ok(status, err)                                                                 \
    do {                                                                                       \
        const rq_status test_status_ = (status);                                               \
        if (test_status_ != RQ_OK)                                                             \
            fail_msg("%s: %s", rq_status_name(test_status_), (err)->text);                     \
    } while (0)

/* Fails with both names when the statuses differ. */
#define assert_status(status, expected)                                                        \
    do {                                                                                       \
        const rq_status test_status_ = (status);                                               \
        if (test_status_ != (expected))                                                        \
            fail_msg("got %s, expected %s", rq_status_name(test_status_),                      \
                     rq_status_name(expected));                                                \
    } while (0)

/* A fresh folder in a cmocka fixture: setup makes it and enters it, teardown removes it. */
static inline int test_enter_temp_dir(void **state)
{
    char *dir = strdup("/tmp/rq-test-XXXXXX");
    *state = dir;
    return dir != NULL && mkdtemp(dir) != NULL && chdir(dir) == 0 ? 0 : -1;
}

static inline int test_remove_temp_dir(void **state)
{
    char command[128];
    snprintf(command, sizeof command, "chmod -R u+w %s; rm -rf %s", (char *)*state,
             (char *)*state);
    const int failed = chdir("/") != 0 || system(command) != 0;
    free(*state);
    return failed ? -1 : 0;
}

static inline void needs_what_this_build_lacks(void **state)
{
    skip();
}

/* main of a program whose tests need something that was not built in: one visible skip. */
static inline int test_skip_whole(const char *needed)
{
    printf("# needs %s\n", needed);
    const struct CMUnitTest tests[] = {cmocka_unit_test(needs_what_this_build_lacks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
