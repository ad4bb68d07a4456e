// SPDX-License-Identifier: Apache-2.0
//
// Sizes that overflow, alignment, growth that keeps its content, and the switch that makes one
// allocation fail.
#include "tests/unit/test.h"

#include "common/mem.h"

#include <pthread.h>

static void sizes_that_overflow_are_refused(void **state)
{
    size_t out = 7;
    assert_false(rq_mul_size(&out, SIZE_MAX, 2));
    assert_false(rq_mul_size(&out, SIZE_MAX / 2 + 1, 2));
    assert_false(rq_add_size(&out, SIZE_MAX, 1));
    assert_int_equal(out, 7);
    assert_true(rq_mul_size(&out, SIZE_MAX, 1));
    assert_true(out == SIZE_MAX);
    assert_true(rq_mul_size(&out, 0, SIZE_MAX));
    assert_int_equal(out, 0);
    assert_true(rq_add_size(&out, SIZE_MAX - 1, 1));
    assert_true(out == SIZE_MAX);
    assert_null(rq_alloc(SIZE_MAX, 1));
    assert_null(rq_alloc(SIZE_MAX / 2, 3));
    assert_null(rq_calloc(SIZE_MAX / 8, 9));
}

static void rounding_up(void **state)
{
    assert_int_equal(rq_round_up(0, 64), 0);
    assert_int_equal(rq_round_up(1, 64), 64);
    assert_int_equal(rq_round_up(64, 64), 64);
    assert_int_equal(rq_round_up(65, 64), 128);
    assert_int_equal(rq_round_up(511, 512), 512);
}

static void blocks_are_aligned_and_zeroed(void **state)
{
    for (size_t n = 0; n < 300; n++) {
        uint8_t *p = rq_calloc(n, 1);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % RQ_ALIGN, 0);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(p[i], 0);
        rq_free(p);
    }
    rq_free(NULL);
}

static void growing_keeps_the_content(void **state)
{
    uint32_t *values = NULL;
    size_t cap = 0, n_moves = 0;
    for (uint32_t i = 0; i < 5000; i++) {
        rq_err err = {0};
        void *grown = values;
        assert_ok(rq_grow(&grown, &cap, i + 1, sizeof *values, &err), &err);
        n_moves += grown != values;
        values = grown;
        values[i] = i * 2654435761u;
    }
    for (uint32_t i = 0; i < 5000; i++)
        assert_int_equal(values[i], i * 2654435761u);
    assert_true(n_moves < 20); /* doubles */
    void *grown = values;
    const size_t before = cap;
    rq_err err = {0};
    assert_status(rq_grow(&grown, &cap, SIZE_MAX / 2, sizeof *values, &err), RQ_OOM);
    assert_ptr_equal(grown, values);
    assert_int_equal(cap, before);
    rq_free(values);
}

static void the_nth_allocation_fails_once(void **state)
{
    rq_mem_fail_nth(3);
    void *a = rq_alloc(1, 1), *b = rq_alloc(1, 1), *c = rq_alloc(1, 1), *d = rq_alloc(1, 1);
    assert_non_null(a);
    assert_non_null(b);
    assert_null(c);
    assert_non_null(d);
    rq_free(a);
    rq_free(b);
    rq_free(d);
    rq_mem_fail_nth(1);
    rq_mem_fail_nth(0);
    char *copy = rq_strdup("kept");
    assert_string_equal(copy, "kept");
    rq_free(copy);
}

enum { THREADS = 4, PER_THREAD = 2000 };

static void *count_failures(void *arg)
{
    for (int i = 0; i < PER_THREAD; i++) {
        void *p = rq_alloc(8, 8);
        *(int *)arg += p == NULL;
        rq_free(p);
    }
    return NULL;
}

static void exactly_one_fails_among_threads(void **state)
{
    pthread_t threads[THREADS];
    int failures[THREADS] = {0}, sum = 0;
    rq_mem_fail_nth(THREADS * PER_THREAD / 2);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_failures, &failures[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        sum += failures[i];
    }
    rq_mem_fail_nth(0);
    assert_int_equal(sum, 1);
}

static void buffers_append_and_format(void **state)
{
    rq_buf buf = {0};
    rq_err err = {0};
    assert_ok(rq_buf_append(&buf, "ab", 2, &err), &err);
    assert_string_equal((char *)buf.data, "ab");
    assert_ok(rq_buf_append(&buf, NULL, 3, &err), &err);
    assert_ok(rq_buf_printf(&buf, &err, "%s-%d", "cd", 42), &err);
    assert_int_equal(buf.size, 10);
    assert_memory_equal(buf.data, "ab\0\0\0cd-42", 11);
    for (int i = 0; i < 1000; i++)
        assert_ok(rq_buf_printf(&buf, &err, "%06d", i), &err);
    assert_int_equal(buf.size, 6010);
    assert_memory_equal(buf.data + 6004, "000999", 7);
    rq_buf_free(&buf);
    assert_null(buf.data);
    assert_int_equal(buf.size + buf.cap, 0);
    rq_buf_free(&buf);
}

static void buffers_survive_a_failed_growth(void **state)
{
    rq_buf buf = {0};
    rq_err err = {0};
    assert_ok(rq_buf_append(&buf, "keep", 4, &err), &err);
    rq_mem_fail_nth(1);
    assert_status(rq_buf_append(&buf, NULL, 1000, &err), RQ_OOM);
    assert_int_equal(buf.size, 4);
    assert_string_equal((char *)buf.data, "keep");
    rq_err_clear(&err);
    assert_status(rq_buf_append(&buf, NULL, SIZE_MAX - 2, &err), RQ_OOM);
    assert_status(rq_buf_reserve(&buf, SIZE_MAX, NULL), RQ_OOM);
    assert_string_equal((char *)buf.data, "keep");
    rq_buf_free(&buf);
}

static void default_allocator_aligns(void **state)
{
    const rq_allocator a = rq_default_allocator();
    void *p = a.alloc(a.cookie, 1000);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % RQ_ALIGN, 0);
    memset(p, 1, 1000);
    a.free(a.cookie, p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_that_overflow_are_refused),
        cmocka_unit_test(rounding_up),
        cmocka_unit_test(blocks_are_aligned_and_zeroed),
        cmocka_unit_test(growing_keeps_the_content),
        cmocka_unit_test(the_nth_allocation_fails_once),
        cmocka_unit_test(exactly_one_fails_among_threads),
        cmocka_unit_test(buffers_append_and_format),
        cmocka_unit_test(buffers_survive_a_failed_growth),
        cmocka_unit_test(default_allocator_aligns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
