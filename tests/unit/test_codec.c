// SPDX-License-Identifier: Apache-2.0
// Sniffing, PNM, limits, grey decoding, and running out of memory at every allocation. Files
// that others found to be unusual are in test_odd.
#include "ingest_fixture.h"

static rq_codec sniff(const char *bytes, size_t n)
{
    char *copy = malloc(n > 0 ? n : 1); /* exact size: a sanitizer sees one byte too far */
    assert_non_null(copy);
    memcpy(copy, bytes, n);
    const rq_codec codec = rq_codec_sniff(copy, n);
    free(copy);
    return codec;
}

static void content_decides(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        rq_codec codec;
    } cases[] = {
        {"", 0, RQ_CODEC_UNKNOWN},
        {"\xFF\xD8", 2, RQ_CODEC_UNKNOWN},
        {"\xFF\xD8\xFF", 3, RQ_CODEC_JPEG},
        {"\x89PNG\r\n\x1a\n", 8, RQ_CODEC_PNG},
        {"\x89PNG\r\n\x1a", 7, RQ_CODEC_UNKNOWN},
        {"P5\n", 3, RQ_CODEC_PNM},
        {"P6 ", 3, RQ_CODEC_PNM},
        {"P3\n", 3, RQ_CODEC_UNKNOWN},
        {"\0\0\0\x20"
         "ftypavif",
         12, RQ_CODEC_AVIF},
        {"\0\0\0\x20"
         "ftypavis",
         12, RQ_CODEC_AVIF},
        {"\0\0\0\x1c"
         "ftypmif1\0\0\0\0miafavif",
         24, RQ_CODEC_AVIF},
        {"\0\0\0\x14"
         "ftypmif1\0\0\0\0miafavif", /* the brand stands behind the box */
         24, RQ_CODEC_UNKNOWN},
        {"\0\0\0\x18"
         "ftypheic",
         12, RQ_CODEC_UNKNOWN},
        {"plain text", 10, RQ_CODEC_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (sniff(cases[i].bytes, cases[i].n) != cases[i].codec)
            fail_msg("case %zu: %s", i, rq_codec_name(sniff(cases[i].bytes, cases[i].n)));
    }
    assert_string_equal(rq_codec_extension(RQ_CODEC_PNM, 1), "pgm");
    assert_string_equal(rq_codec_extension(RQ_CODEC_PNM, 3), "ppm");
    assert_string_equal(rq_codec_name((rq_codec)77), "unknown");
}

static void names_are_only_compared(void **state)
{
    assert_true(rq_codec_name_agrees("a/b.JPEG", RQ_CODEC_JPEG));
    assert_false(rq_codec_name_agrees("a/b.JPEG", RQ_CODEC_PNG));
    assert_true(rq_codec_name_agrees("a.d/b", RQ_CODEC_PNG));
    assert_true(rq_codec_name_agrees("b.bin", RQ_CODEC_AVIF));
    assert_false(rq_codec_name_agrees("b.pgm", RQ_CODEC_AVIF));
}

static void expect(codec_fixture *f, const char *bytes, size_t n, rq_status status,
                   const char *word)
{
    f->file.size = 0;
    assert_status(rq_buf_append(&f->file, bytes, n, NULL), RQ_OK);
    assert_status(decode_prefix(f, n, true), status);
    if (strstr(f->err.text, word) == NULL)
        fail_msg("'%s' does not say '%s'", f->err.text, word);
    rq_err_clear(&f->err);
    assert_status(rq_probe(f->file.data, n, &f->limits, &f->info, &f->err), status);
}

static void what_is_no_image_is_named(void **state)
{
    codec_fixture *f = *state;
    expect(f, "", 0, RQ_TRUNCATED, "empty");
    expect(f, "hello, I am no picture", 22, RQ_BAD_FORMAT, "text file");
    expect(f, "\1\2\3\4\5", 5, RQ_BAD_FORMAT, "unknown content");
    expect(f, "GIF89a....", 10, RQ_UNSUPPORTED, "GIF");
    expect(f, "RIFF\0\0\0\0WEBPVP8 ", 16, RQ_UNSUPPORTED, "WebP");
    expect(f, "P3\n1 1\n255\n0 0 0\n", 17, RQ_UNSUPPORTED, "PNM");
    f->limits.max_file_bytes = 4;
    rq_err_clear(&f->err);
    assert_status(rq_probe("P5\n1 1\n255\n\0", 12, &f->limits, &f->info, &f->err), RQ_LIMIT);
}

static void pnm_is_read_strictly(void **state)
{
    codec_fixture *f = *state;
    static const char pgm[] = "P5\n# made by hand\n3 2\n255\nabcdef";
    expect(f, pgm, sizeof pgm - 1, RQ_OK, "");
    assert_int_equal(f->img.pixels, RQ_PIXELS_GRAY);
    assert_memory_equal(f->img.plane[0].data, "abc", 3);
    assert_memory_equal(f->img.plane[0].data + f->img.plane[0].stride, "def", 3);
    static const char ppm[] = "P6 2 1 255\nRGBrgb";
    expect(f, ppm, sizeof ppm - 1, RQ_OK, "");
    assert_memory_equal(f->img.plane[1].data, "Gg", 2);
    expect(f, ppm, sizeof ppm, RQ_OK, ""); /* the string's own NUL behind the picture */
    assert_int_equal(f->info.notes, RQ_NOTE_TRAILING);
    expect(f, ppm, sizeof ppm - 2, RQ_TRUNCATED, "5 bytes");
    expect(f, "P5\n1 1\n65535\n\0\0", 15, RQ_UNSUPPORTED, "65535");
    expect(f, "P5\n0 1\n255\n", 11, RQ_BAD_FORMAT, "no content");
    expect(f, "P5\n-1 1\n255\n\0", 13, RQ_BAD_FORMAT, "header");
    expect(f, "P5\n1 1 255X\0", 12, RQ_BAD_FORMAT, "white space");
    expect(f, "P5\n1 1\n255", 10, RQ_TRUNCATED, "header");
    expect(f, "P5\n99999999999999999999 1\n255\n\0", 31, RQ_BAD_FORMAT, "header");
    expect(f, "P5\n999999999 999999999\n255\n\0", 28, RQ_LIMIT, "limit");
    expect(f, "P5\n30000 30000\n255\n\0", 20, RQ_LIMIT, "pixels");
    expect(f, "P6\n10000 10000\n255\n\0", 20, RQ_TRUNCATED, "300000000");
}

static void grey_is_luma(void **state)
{
    codec_fixture *f = *state;
    fixture_jpeg(&f->file, &(jpeg_spec){.width = 40,
                                        .height = 30,
                                        .pixels = JCS_RGB,
                                        .coded = JCS_YCbCr,
                                        .h = {2, 1, 1},
                                        .v = {2, 1, 1}});
    uint8_t *want = reference_jpeg(&f->file, JCS_YCbCr, false);
    assert_ok(rq_decode_gray(f->decoder, f->file.data, f->file.size, &f->img, &f->err),
              &f->err);
    assert_int_equal(f->img.pixels, RQ_PIXELS_GRAY);
    assert_int_equal(f->img.sub_x, 1);
    assert_null(f->img.plane[1].data);
    assert_planes(&f->img, want, 3);
    free(want);
    const uint8_t rgb[9] = {255, 0, 0, 0, 255, 0, 0, 0, 255};
    assert_ok(rq_png_encode(rgb, 3, 1, 3, &f->file, &f->err), &f->err);
    assert_ok(rq_decode_gray(f->decoder, f->file.data, f->file.size, &f->img, &f->err),
              &f->err);
    assert_memory_equal(f->img.plane[0].data, "\x4c\x96\x1d", 3); /* .299 .587 .114 of 255 */
}

/* The n-th of our allocations fails, for every n: an error or a picture, never a crash. */
static void no_memory_at_any_point(void **state)
{
    codec_fixture *f = *state;
    uint8_t *pixels = fixture_pixels(30, 30, 3);
    for (int kind = 0; kind < 2; kind++) {
        if (kind == 0)
            fixture_jpeg(&f->file, &(jpeg_spec){.width = 30,
                                                .height = 30,
                                                .pixels = JCS_RGB,
                                                .coded = JCS_YCbCr,
                                                .progressive = true});
        else
            assert_ok(rq_png_encode(pixels, 30, 30, 3, &f->file, &f->err), &f->err);
        rq_status s = RQ_OOM;
        int n = 1;
        for (; s != RQ_OK && n < 50; n++) {
            rq_decoder *d = NULL;
            rq_image img = {0};
            rq_err err = {0};
            rq_mem_fail_nth(n);
            s = rq_decoder_create(&d, &f->limits, &err);
            if (s == RQ_OK)
                s = rq_decode(d, f->file.data, f->file.size, true, &img, NULL, &err);
            rq_mem_fail_nth(0);
            assert_true(s == RQ_OK || s == RQ_OOM);
            rq_image_free(&img);
            rq_decoder_destroy(&d);
        }
        assert_true(n > 3 && n < 50);
    }
    free(pixels);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, codec_setup, codec_teardown)
    const struct CMUnitTest tests[] = {
        TEST(content_decides),
        TEST(names_are_only_compared),
        TEST(what_is_no_image_is_named),
        TEST(pnm_is_read_strictly),
        TEST(grey_is_luma),
        TEST(no_memory_at_any_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
