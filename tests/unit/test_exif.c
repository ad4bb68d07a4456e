// SPDX-License-Identifier: Apache-2.0
// EXIF orientation: every value in both byte orders and both integer types, in JPEG and PNG;
// values that mean nothing; blocks that are broken at every byte.
#include "test.h"

#include "ingest/codec_impl.h"

/* A TIFF structure with one entry, by default the orientation. */
typedef struct tiff_spec {
    bool big;
    unsigned tag, type;
    uint32_t count, value;
} tiff_spec;

enum { TIFF_BYTES = 26, ORIENTATION = 0x0112, BYTE = 1, SHORT = 3, LONG = 4 };

static void put(uint8_t *p, bool big, int bytes, uint32_t v)
{
    for (int i = 0; i < bytes; i++)
        p[i] = (uint8_t)(v >> 8 * (big ? bytes - 1 - i : i));
}

static void make_tiff(uint8_t p[TIFF_BYTES], const tiff_spec *s)
{
    memset(p, 0, TIFF_BYTES);
    memcpy(p, s->big ? "MM" : "II", 2);
    put(p + 2, s->big, 2, 42);
    put(p + 4, s->big, 4, 8);
    put(p + 8, s->big, 2, 1);
    put(p + 10, s->big, 2, s->tag);
    put(p + 12, s->big, 2, s->type);
    put(p + 14, s->big, 4, s->count);
    put(p + 18, s->big, s->type == SHORT ? 2 : 4, s->value);
}

/* As a JPEG's APP1 and as a PNG's chunk; both must agree. `bytes` of the TIFF are there. */
static int read_both(const uint8_t *tiff, size_t bytes, bool *broken)
{
    uint8_t jpeg[64] = {0xFF, 0xD8, 0xFF, 0xE1}, png[64] = "\x89PNG\r\n\x1a\n";
    memcpy(jpeg + 6, "Exif\0", 6);
    put(jpeg + 4, true, 2, (uint32_t)bytes + 8);
    memcpy(jpeg + 12, tiff, bytes);
    memcpy(jpeg + 12 + bytes, "\xFF\xD9", 2);
    put(png + 8, true, 4, (uint32_t)bytes);
    memcpy(png + 12, "eXIf", 4);
    memcpy(png + 16, tiff, bytes);
    bool other;
    const int v = rq_exif_orientation(jpeg, 14 + bytes, broken);
    assert_int_equal(rq_exif_orientation_png(png, 20 + bytes, &other), v);
    assert_int_equal(other, *broken);
    return v;
}

static void every_value_in_both_byte_orders(void **state)
{
    uint8_t tiff[TIFF_BYTES];
    for (int big = 0; big < 2; big++) {
        for (int is_long = 0; is_long < 2; is_long++) {
            for (uint32_t v = 0; v < 12; v++) {
                bool broken;
                make_tiff(tiff, &(tiff_spec){big, ORIENTATION, is_long ? LONG : SHORT, 1, v});
                const int got = read_both(tiff, TIFF_BYTES, &broken);
                assert_int_equal(got, v >= 1 && v <= 8 ? (int)v : 1);
                assert_int_equal(broken, v > 8); /* 0 is written for "not known" */
            }
        }
    }
}

static void what_is_no_orientation_is_broken_or_absent(void **state)
{
    static const struct {
        tiff_spec spec;
        bool broken;
    } cases[] = {{{false, 0x010F, SHORT, 1, 6}, false},
                 {{true, ORIENTATION, BYTE, 1, 6}, true},
                 {{true, ORIENTATION, SHORT, 2, 6}, true},
                 {{true, ORIENTATION, SHORT, 0, 6}, true},
                 {{false, ORIENTATION, LONG, 1, 0x80000006}, true},
                 {{false, ORIENTATION, SHORT, 1, 0xFFFF}, true}};
    uint8_t tiff[TIFF_BYTES];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool broken;
        make_tiff(tiff, &cases[i].spec);
        assert_int_equal(read_both(tiff, TIFF_BYTES, &broken), 1);
        assert_int_equal(broken, cases[i].broken);
    }
}

/* Cut anywhere in the entry it is broken, and nothing behind the bytes is read. */
static void cut_blocks_are_broken(void **state)
{
    uint8_t tiff[TIFF_BYTES];
    make_tiff(tiff, &(tiff_spec){true, ORIENTATION, SHORT, 1, 6});
    for (size_t n = 0; n < 22; n++) {
        bool broken = false;
        uint8_t *exact = malloc(n > 0 ? n : 1);
        assert_non_null(exact);
        memcpy(exact, tiff, n);
        assert_int_equal(rq_exif_orientation_tiff(exact, n, &broken), 1);
        assert_true(broken);
        free(exact);
    }
    for (size_t i = 0; i < 10; i++) { /* each byte of the header changed */
        bool broken;
        tiff[i] ^= 0x80;
        assert_int_equal(rq_exif_orientation_tiff(tiff, TIFF_BYTES, &broken), 1);
        assert_true(broken);
        tiff[i] ^= 0x80;
    }
}

static void files_are_walked_within_their_bytes(void **state)
{
    static const char png[] = "\x89PNG\r\n\x1a\n\0\0\0\1tEXtxCRC!\xFF\xFF\xFF\xFF"
                              "eXIfCRC!";
    static const char jpeg[] = "\xFF\xD8\xFF\xE0\0\4ab\xFF\xFF\xFF\xE1\xFF\xFF"
                               "Exif\0";
    for (size_t n = 0; n < sizeof png; n++) {
        bool broken;
        uint8_t *exact = malloc(n > 0 ? n : 1);
        assert_non_null(exact);
        memcpy(exact, png, n);
        assert_int_equal(rq_exif_orientation_png(exact, n, &broken), 1);
        assert_false(broken);
        if (n < sizeof jpeg) {
            memcpy(exact, jpeg, n);
            assert_int_equal(rq_exif_orientation(exact, n, &broken), 1);
            assert_false(broken);
        }
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_in_both_byte_orders),
        cmocka_unit_test(what_is_no_orientation_is_broken_or_absent),
        cmocka_unit_test(cut_blocks_are_broken),
        cmocka_unit_test(files_are_walked_within_their_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
