// SPDX-License-Identifier: Apache-2.0
//
// XXH3-64 and SHA-256 against published values, in one piece and in pieces.
#include "tests/unit/test.h"

#include "common/hash.h"
#include "common/mem.h"

static void xxh3_is_the_standard_one(void **state)
{
    /* XXH3_64bits of the empty input, from xxHash's documentation of its test values. */
    assert_true(rq_xxh3("", 0) == UINT64_C(0x2D06800538D394C2));
    uint8_t bytes[4096];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 31);
    const uint64_t hash = rq_xxh3(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i += 97) {
        bytes[i] ^= 1;
        assert_true(rq_xxh3(bytes, sizeof bytes) != hash);
        bytes[i] ^= 1;
    }
    assert_true(rq_xxh3(bytes, sizeof bytes) == hash);
    assert_true(rq_xxh3(bytes, sizeof bytes - 1) != hash);
}

static void sha256_gives_the_published_digests(void **state)
{
    /* FIPS 180-2 appendix B and the NIST example for a million times "a". */
    static const struct {
        const char *text, *hex;
    } cases[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    rq_err err = {0};
    rq_sha256 *s;
    char hex[RQ_SHA256_HEX];
    assert_ok(rq_sha256_create(&s, &err), &err);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rq_sha256_update(s, cases[i].text, strlen(cases[i].text));
        rq_sha256_hex(s, hex); /* starts anew for the next case */
        assert_string_equal(hex, cases[i].hex);
    }
    char thousand[1000];
    memset(thousand, 'a', sizeof thousand);
    for (int i = 0; i < 1000; i++)
        rq_sha256_update(s, thousand, sizeof thousand);
    rq_sha256_hex(s, hex);
    assert_string_equal(hex,
                        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    rq_sha256_destroy(&s);
    assert_null(s);
    rq_sha256_destroy(&s);
}

static void pieces_give_the_digest_of_the_whole(void **state)
{
    uint8_t bytes[1000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + 3);
    rq_err err = {0};
    rq_sha256 *s;
    char whole[RQ_SHA256_HEX], pieces[RQ_SHA256_HEX];
    assert_ok(rq_sha256_create(&s, &err), &err);
    rq_sha256_update(s, bytes, sizeof bytes);
    rq_sha256_hex(s, whole);
    for (size_t step = 1; step < 200; step += 13) {
        for (size_t at = 0; at < sizeof bytes; at += step)
            rq_sha256_update(s, bytes + at,
                             at + step <= sizeof bytes ? step : sizeof bytes - at);
        rq_sha256_hex(s, pieces);
        assert_string_equal(pieces, whole);
    }
    rq_sha256_destroy(&s);
}

static void out_of_memory_is_reported(void **state)
{
    rq_err err = {0};
    rq_sha256 *s = (rq_sha256 *)&err;
    rq_mem_fail_nth(1);
    assert_status(rq_sha256_create(&s, &err), RQ_OOM);
    assert_null(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(xxh3_is_the_standard_one),
        cmocka_unit_test(sha256_gives_the_published_digests),
        cmocka_unit_test(pieces_give_the_digest_of_the_whole),
        cmocka_unit_test(out_of_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
