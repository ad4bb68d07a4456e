// SPDX-License-Identifier: Apache-2.0
// Content hashes against the published value of XXH3-128, and the table of duplicates against a
// plain list, over several times its first size.
#include "test.h"

#include "common/mem.h"
#include "ingest/dedup.h"

static void the_hash_is_xxh3_128(void **state)
{
    char hex[RQ_CONTENT_HEX_BYTES];
    rq_content_id back;
    /* of nothing, as in xxHash's own specification */
    rq_content_id_hex(hex, rq_content_id_of("", 0));
    assert_string_equal(hex, "99aa06d3014798d86001c324468d497f");
    const rq_content_id id = rq_content_id_of("abc", 3);
    rq_content_id_hex(hex, id);
    assert_true(rq_content_id_parse(&back, hex));
    assert_true(back.high == id.high && back.low == id.low);
    assert_false(rq_content_id_parse(&back, "99aa06d3014798d86001c324468d497"));
    assert_false(rq_content_id_parse(&back, "99aa06d3014798d86001c324468d497f0"));
    assert_false(rq_content_id_parse(&back, "99AA06d3014798d86001c324468d497f"));
    assert_false(rq_content_id_parse(&back, ""));
}

/* Draws from few contents, compared with a plain list. With `collide` all have one low word, so
 * that every one is looked for in the same slot. */
static void check_against_a_list(bool collide)
{
    enum { DRAWS = 4000, CONTENTS = 1500 };
    static uint64_t first_of[CONTENTS];
    rq_dedup *d;
    rq_err err = {0};
    memset(first_of, 0xFF, sizeof first_of);
    assert_ok(rq_dedup_create(&d, &err), &err);
    uint64_t draw = 1;
    for (uint64_t i = 0; i < DRAWS; i++) {
        draw = draw * 6364136223846793005u + 1442695040888963407u;
        const uint64_t content = (draw >> 33) % CONTENTS;
        const rq_content_id id =
            collide ? (rq_content_id){content, 7} : rq_content_id_of(&content, sizeof content);
        uint64_t first;
        assert_ok(rq_dedup_add(d, id, i, &first, &err), &err);
        if (first_of[content] == UINT64_MAX)
            first_of[content] = i;
        assert_int_equal(first, first_of[content]);
    }
    rq_dedup_destroy(&d);
    assert_null(d);
    rq_dedup_destroy(&d);
}

static void the_first_of_equals_is_named(void **state)
{
    check_against_a_list(false);
    check_against_a_list(true);
}

static void no_memory_is_an_error(void **state)
{
    rq_dedup *d = NULL;
    rq_err err = {0};
    for (int n = 1; n <= 2; n++) {
        rq_mem_fail_nth(n);
        assert_status(rq_dedup_create(&d, &err), RQ_OOM);
        assert_null(d);
    }
    rq_mem_fail_nth(0);
    rq_err_clear(&err);
    assert_ok(rq_dedup_create(&d, &err), &err);
    rq_mem_fail_nth(1);
    rq_status st = RQ_OK;
    uint64_t i = 0, first;
    for (; i < 2000 && st == RQ_OK; i++)
        st = rq_dedup_add(d, rq_content_id_of(&i, 8), i, &first, &err);
    rq_mem_fail_nth(0);
    assert_status(st, RQ_OOM);
    const uint64_t zero = 0; /* the table is as it was */
    rq_err_clear(&err);
    assert_ok(rq_dedup_add(d, rq_content_id_of(&zero, 8), 9, &first, &err), &err);
    assert_int_equal(first, 0);
    rq_dedup_destroy(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hash_is_xxh3_128),
        cmocka_unit_test(the_first_of_equals_is_named),
        cmocka_unit_test(no_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
