// SPDX-License-Identifier: Apache-2.0
//
// Metrics: what is kept when a file is opened again, for every place a killed writer may have
// left it at.
#include "tests/unit/test.h"

#include "common/file.h"
#include "train/metrics.h"

#include <math.h>

static void write_steps(const char *path, uint64_t resume, uint64_t from, uint64_t to)
{
    rq_metrics *m = NULL;
    rq_err err = {0};
    assert_ok(rq_metrics_open(&m, path, resume, NULL, &err), &err);
    for (uint64_t s = from; s <= to; s++) {
        const rq_metric v[] = {{"loss", 1.0 / (double)s}, {"std", NAN}};
        assert_ok(rq_metrics_write(m, s, v, 2, &err), &err);
        if (s % 4 == 0)
            assert_ok(rq_metrics_write(m, s, v, 1, &err), &err);
    }
    assert_ok(rq_metrics_sync(m, &err), &err);
    rq_metrics_close(&m);
}

static rq_buf slurp(const char *path)
{
    rq_buf b = {0};
    rq_err err = {0};
    assert_ok(rq_file_read(path, 1 << 20, &b, &err), &err);
    return b;
}

static void test_lines(void **state)
{
    write_steps("m", 0, 1, 4);
    rq_buf b = slurp("m");
    assert_string_equal((const char *)b.data, "{\"step\":1,\"loss\":1,\"std\":null}\n"
                                              "{\"step\":2,\"loss\":0.5,\"std\":null}\n"
                                              "{\"step\":3,\"loss\":0.3333333333333333,"
                                              "\"std\":null}\n"
                                              "{\"step\":4,\"loss\":0.25,\"std\":null}\n"
                                              "{\"step\":4,\"loss\":0.25}\n");
    rq_buf_free(&b);
    /* A run from the beginning starts the file anew. */
    write_steps("m", 0, 1, 1);
    b = slurp("m");
    assert_string_equal((const char *)b.data, "{\"step\":1,\"loss\":1,\"std\":null}\n");
    rq_buf_free(&b);
}

/* Cut anywhere behind the line of step 8, and resumed there, the file ends the same. */
static void test_any_cut(void **state)
{
    write_steps("whole", 0, 1, 20);
    rq_buf want = slurp("whole");
    write_steps("part", 0, 1, 8);
    rq_buf part = slurp("part");
    const size_t saved = part.size;
    rq_buf_free(&part);
    for (size_t cut = saved; cut <= want.size; cut += 7) {
        rq_err err = {0};
        assert_ok(rq_file_write_atomic("cut", want.data, cut, &err), &err);
        write_steps("cut", 8, 9, 20);
        rq_buf got = slurp("cut");
        assert_int_equal(got.size, want.size);
        assert_memory_equal(got.data, want.data, want.size);
        rq_buf_free(&got);
    }
    rq_buf_free(&want);
}

static void test_garbage(void **state)
{
    const char text[] = "{\"step\":1,\"loss\":1}\n{\"step\":2,\"lo\x01\x02 garbage\nnot json\n";
    rq_err err = {0};
    assert_ok(rq_file_write_atomic("g", text, sizeof text - 1, &err), &err);
    write_steps("g", 5, 6, 6);
    rq_buf b = slurp("g");
    assert_null(strstr((const char *)b.data, "not json"));
    assert_non_null(strstr((const char *)b.data, "\n{\"step\":6,"));
    rq_buf_free(&b);
    rq_metrics *m = NULL;
    assert_true(rq_metrics_open(&m, "no/such/file", 0, NULL, &err) != RQ_OK);
    assert_null(m);
}

/* The line that is to be written again goes; the same metric at other steps stays. */
static void test_again(void **state)
{
    static const char kept[] = "{\"step\":1,\"loss\":1}\n{\"step\":1,\"epoch\":1,\"knn\":0.5}\n"
                               "{\"step\":2,\"loss\":1}\n";
    static const char line[] = "{\"step\":2,\"epoch\":2,\"knn\":0.5}\n";
    rq_err err = {0};
    rq_metrics *m = NULL;
    char text[256];
    snprintf(text, sizeof text, "%s%s", kept, line);
    for (int again = 0; again < 2; again++) {
        assert_ok(rq_file_write_atomic("again", text, strlen(text), &err), &err);
        assert_ok(rq_metrics_open(&m, "again", 2, again ? "knn" : NULL, &err), &err);
        rq_metrics_close(&m);
        rq_buf b = slurp("again");
        assert_string_equal((const char *)b.data, again ? kept : text);
        rq_buf_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_any_cut),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_again),
    };
    return cmocka_run_group_tests(tests, test_enter_temp_dir, test_remove_temp_dir);
}
