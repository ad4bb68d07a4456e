// SPDX-License-Identifier: Apache-2.0
// Tar headers and keys: golden header bytes, every changed bit refused, keys unique and tame.
#include "pack_fixture.h"

#include "pack/key.h"
#include "pack/ustar.h"

static void header_has_the_bytes_of_the_standard(void **state)
{
    // tar --format=ustar --mode=644 --owner=0 --group=0 --mtime=@0 of a file of 1234 bytes,
    // without user and group names and device numbers.
    uint8_t h[RQ_USTAR_BLOCK], expected[RQ_USTAR_BLOCK] = {0};
    assert_int_equal(rq_ustar_header(h, "a/b.jpg", 1234, NULL), RQ_OK);
    memcpy(expected, "a/b.jpg", 7);
    memcpy(expected + 100, "0000644\0000000000\0000000000\00000000002322\00000000000000", 48);
    memcpy(expected + 148, "007107\0 0", 9);
    memcpy(expected + 257, "ustar\00000", 8);
    unsigned sum = 8 * ' ';
    for (int i = 0; i < RQ_USTAR_BLOCK; i++)
        sum += i >= 148 && i < 156 ? 0 : expected[i];
    sprintf((char *)expected + 148, "%06o", sum);
    expected[155] = ' ';
    assert_memory_equal(h, expected, sizeof h);
}

static void header_reads_back(void **state)
{
    const uint64_t sizes[] = {0, 1, 511, 512, 1 << 26, (UINT64_C(1) << 33) - 1};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint8_t h[RQ_USTAR_BLOCK];
        char name[RQ_USTAR_NAME_BYTES];
        uint64_t size;
        assert_int_equal(rq_ustar_header(h, "k.cls", sizes[i], NULL), RQ_OK);
        assert_int_equal(rq_ustar_parse(h, name, &size, NULL), RQ_OK);
        assert_string_equal(name, "k.cls");
        assert_true(size == sizes[i]);
    }
}

static void header_refuses_what_does_not_fit(void **state)
{
    uint8_t h[RQ_USTAR_BLOCK];
    char name[101];
    memset(name, 'n', 100);
    name[100] = 0;
    assert_int_equal(rq_ustar_header(h, name, 1, NULL), RQ_INVALID_ARG);
    name[99] = 0;
    assert_int_equal(rq_ustar_header(h, name, 1, NULL), RQ_OK);
    assert_int_equal(rq_ustar_header(h, "", 1, NULL), RQ_INVALID_ARG);
    assert_int_equal(rq_ustar_header(h, "n", UINT64_C(1) << 33, NULL), RQ_INVALID_ARG);
}

static void parse_refuses_every_changed_bit(void **state)
{
    uint8_t h[RQ_USTAR_BLOCK];
    char name[RQ_USTAR_NAME_BYTES];
    uint64_t size;
    assert_int_equal(rq_ustar_header(h, "class/name.jpg", 4711, NULL), RQ_OK);
    for (int bit = 0; bit < RQ_USTAR_BLOCK * 8; bit++) {
        h[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_not_equal(rq_ustar_parse(h, name, &size, NULL), RQ_OK);
        h[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void expect_key(const char *name, uint64_t id, bool ambiguous, const char *expected)
{
    char key[RQ_MAX_KEY_BYTES + 1];
    rq_key_make(key, name, id, ambiguous);
    assert_string_equal(key, expected);
    assert_true(rq_key_valid(key));
}

static void keys_are_plain_paths(void **state)
{
    expect_key("n01440764/n01440764_10026.JPEG", 3, false, "n01440764/n01440764_10026");
    expect_key("a.jpg", 7, false, "a");
    expect_key("cls/no-extension", 7, false, "cls/no-extension");
    expect_key("cls/a.b.jpg", 7, false, "cls/a_b+7");
    expect_key("cls/a.jpg", 7, true, "cls/a+7");
    expect_key("cls/a+9.jpg", 7, false, "cls/a_9+7");
    expect_key("my dir/\xc3\xa4.png", 12, false, "my_dir/__+12");
    expect_key("../../etc/passwd", 1, false, "__/__/etc/passwd+1");
    expect_key("/abs//x.jpg", 2, false, "abs/x+2");
    expect_key("cls/.hidden", 2, false, "cls/_hidden+2");
    expect_key("", 5, false, "_+5");
    expect_key("///", 5, false, "_+5");
}

static void long_keys_are_cut_and_stay_unique(void **state)
{
    char name[300], a[RQ_MAX_KEY_BYTES + 1], b[RQ_MAX_KEY_BYTES + 1];
    for (int n = 60; n < 200; n++) {
        memset(name, 'x', sizeof name);
        name[n / 2] = '/';
        strcpy(name + n, ".jpg");
        rq_key_make(a, name, 18446744073709551615u, false);
        rq_key_make(b, name, 18446744073709551614u, false);
        assert_true(rq_key_valid(a));
        assert_int_equal(strcmp(a, b) == 0, n <= RQ_MAX_KEY_BYTES);
    }
}

static void bad_keys_are_refused(void **state)
{
    const char *bad[] = {"a+b", "+1", "a+",   "a+1b", "a+1/b", "a/+1", "a++1", "",
                         "/a",  "a/", "a//b", "a.b",  "..",    "a b",  "a\\b", "a\x01"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(rq_key_valid(bad[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_has_the_bytes_of_the_standard),
        cmocka_unit_test(header_reads_back),
        cmocka_unit_test(header_refuses_what_does_not_fit),
        cmocka_unit_test(parse_refuses_every_changed_bit),
        cmocka_unit_test(keys_are_plain_paths),
        cmocka_unit_test(long_keys_are_cut_and_stay_unique),
        cmocka_unit_test(bad_keys_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
