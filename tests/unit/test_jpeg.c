// SPDX-License-Identifier: Apache-2.0
// JPEG against libjpeg's own conversions, over samplings, colour spaces and codings; damage of
// every kind; EXIF orientation.
#include "ingest_fixture.h"

static const struct sampling {
    const char *name;
    int h[3], v[3];
    rq_pixels pixels;
    int sub_x, sub_y;
} samplings[] = {
    {"4:4:4", {1, 1, 1}, {1, 1, 1}, RQ_PIXELS_YCBCR, 1, 1},
    {"4:2:2", {2, 1, 1}, {1, 1, 1}, RQ_PIXELS_YCBCR, 2, 1},
    {"4:2:0", {2, 1, 1}, {2, 1, 1}, RQ_PIXELS_YCBCR, 2, 2},
    {"4:4:0", {1, 1, 1}, {2, 1, 1}, RQ_PIXELS_YCBCR, 1, 2},
    {"4:1:1", {4, 1, 1}, {1, 1, 1}, RQ_PIXELS_YCBCR, 4, 1},
    {"4:1:0", {4, 1, 1}, {2, 1, 1}, RQ_PIXELS_YCBCR, 4, 2},
    {"4:4:4 in factors of 2", {2, 2, 2}, {1, 1, 1}, RQ_PIXELS_YCBCR, 1, 1},
    {"chroma finer than luma", {1, 2, 2}, {1, 1, 1}, RQ_PIXELS_RGB, 1, 1},
    {"chroma unequal", {2, 1, 2}, {2, 1, 1}, RQ_PIXELS_RGB, 1, 1},
    {"a third", {3, 1, 1}, {1, 1, 1}, RQ_PIXELS_RGB, 1, 1},
};

/* Planes hold what libjpeg gives with chroma repeated; RGB is libjpeg's default output. */
static void check_ycbcr(codec_fixture *f, const struct sampling *s, jpeg_spec spec)
{
    spec.pixels = JCS_RGB;
    spec.coded = JCS_YCbCr;
    memcpy(spec.h, s->h, sizeof s->h);
    memcpy(spec.v, s->v, sizeof s->v);
    fixture_jpeg(&f->file, &spec);
    assert_ok(codec_decode(f, true), &f->err);
    assert_int_equal(f->info.codec, RQ_CODEC_JPEG);
    assert_int_equal(f->info.width, spec.width);
    assert_int_equal(f->info.height, spec.height);
    assert_int_equal(f->info.components, 3);
    assert_int_equal(f->info.progressive, spec.progressive || spec.n_scans > 1);
    assert_int_equal(f->info.notes, 0);
    assert_int_equal(f->img.pixels, f->info.pixels);
    uint8_t *rgb = reference_jpeg(&f->file, JCS_RGB, true);
    if (s->pixels == RQ_PIXELS_YCBCR) {
        uint8_t *planes = reference_jpeg(&f->file, JCS_YCbCr, false);
        assert_int_equal(f->img.pixels, RQ_PIXELS_YCBCR);
        assert_int_equal(f->img.sub_x, s->sub_x);
        assert_int_equal(f->img.sub_y, s->sub_y);
        assert_planes(&f->img, planes, 3);
        free(planes);
    } else {
        assert_int_equal(f->img.pixels, RQ_PIXELS_RGB);
        assert_planes(&f->img, rgb, 3);
    }
    rq_err_clear(&f->err);
    assert_ok(
        rq_decode_rgb(f->decoder, f->file.data, f->file.size, true, &f->img, NULL, &f->err),
        &f->err);
    assert_int_equal(f->img.pixels, RQ_PIXELS_RGB);
    assert_planes(&f->img, rgb, 3);
    free(rgb);
}

static void samplings_agree_with_libjpeg(void **state)
{
    static const int sizes[][2] = {{1, 1}, {8, 8}, {15, 17}, {33, 31}, {64, 48}, {101, 67}};
    for (size_t i = 0; i < sizeof samplings / sizeof *samplings; i++) {
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            jpeg_spec spec = {.width = sizes[k][0], .height = sizes[k][1]};
            check_ycbcr(*state, &samplings[i], spec);
            spec.progressive = true;
            check_ycbcr(*state, &samplings[i], spec);
        }
    }
}

static void codings_agree_with_libjpeg(void **state)
{
    for (int i = 0; i < 3; i++) {
        check_ycbcr(*state, &samplings[i],
                    (jpeg_spec){.width = 70, .height = 45, .restart = 2});
        check_ycbcr(*state, &samplings[i],
                    (jpeg_spec){.width = 70, .height = 45, .arithmetic = true});
        check_ycbcr(*state, &samplings[i],
                    (jpeg_spec){.width = 70, .height = 45, .quality = 3});
    }
}

static void gray_is_one_plane(void **state)
{
    codec_fixture *f = *state;
    for (int factor = 1; factor <= 4; factor++) {
        fixture_jpeg(&f->file, &(jpeg_spec){.width = 37,
                                            .height = 29,
                                            .pixels = JCS_GRAYSCALE,
                                            .coded = JCS_GRAYSCALE,
                                            .h = {factor},
                                            .v = {factor}});
        assert_ok(codec_decode(f, true), &f->err);
        assert_int_equal(f->img.pixels, RQ_PIXELS_GRAY);
        assert_int_equal(f->info.notes, RQ_NOTE_GRAY);
        uint8_t *want = reference_jpeg(&f->file, JCS_GRAYSCALE, true);
        assert_planes(&f->img, want, 1);
        free(want);
    }
}

static void coded_rgb_stays_rgb(void **state)
{
    codec_fixture *f = *state;
    fixture_jpeg(&f->file,
                 &(jpeg_spec){.width = 20, .height = 30, .pixels = JCS_RGB, .coded = JCS_RGB});
    assert_ok(codec_decode(f, true), &f->err);
    assert_int_equal(f->img.pixels, RQ_PIXELS_RGB);
    uint8_t *want = reference_jpeg(&f->file, JCS_RGB, true);
    assert_planes(&f->img, want, 3);
    free(want);
}

/* Adobe's samples are inverted: with i = 255 - sample, R = (1 - iC / 255)(1 - iK / 255) 255. */
static void cmyk_and_ycck_become_rgb(void **state)
{
    codec_fixture *f = *state;
    for (int ycck = 0; ycck < 2; ycck++) {
        fixture_jpeg(&f->file, &(jpeg_spec){.width = 31,
                                            .height = 22,
                                            .pixels = JCS_CMYK,
                                            .coded = ycck ? JCS_YCCK : JCS_CMYK});
        assert_ok(codec_decode(f, true), &f->err);
        assert_int_equal(f->info.components, 4);
        assert_int_equal(f->info.notes, RQ_NOTE_CMYK);
        assert_int_equal(f->img.pixels, RQ_PIXELS_RGB);
        uint8_t *cmyk = reference_jpeg(&f->file, JCS_CMYK, true);
        for (int i = 0; i < 31 * 22; i++) {
            for (int c = 0; c < 3; c++) {
                const double want = cmyk[i * 4 + c] / 255.0 * cmyk[i * 4 + 3];
                const int got =
                    f->img.plane[c]
                        .data[(size_t)(i / 31) * f->img.plane[c].stride + (size_t)(i % 31)];
                if (got - want > 0.51 || want - got > 0.51)
                    fail_msg("pixel %d component %d: %d, expected %f", i, c, got, want);
            }
        }
        free(cmyk);
    }
}

/* Each scan visits every block: their number and their work are bounded. */
static void scans_are_bounded(void **state)
{
    codec_fixture *f = *state;
    jpeg_scan_info scans[190];
    memset(scans, 0, sizeof scans);
    scans[0] = (jpeg_scan_info){.comps_in_scan = 3, .component_index = {0, 1, 2}};
    for (int i = 1; i < 190; i++)
        scans[i] = (jpeg_scan_info){.comps_in_scan = 1,
                                    .component_index = {(i - 1) / 63},
                                    .Ss = 1 + (i - 1) % 63,
                                    .Se = 1 + (i - 1) % 63};
    const jpeg_spec spec = {
        .width = 40, .height = 40, .pixels = JCS_RGB, .scans = scans, .n_scans = 190};
    jpeg_spec coded = spec;
    coded.coded = JCS_YCbCr;
    fixture_jpeg(&f->file, &coded);
    assert_status(codec_decode(f, false), RQ_LIMIT);
    assert_non_null(strstr(f->err.text, "scans"));
    assert_status(rq_probe(f->file.data, f->file.size, &f->limits, &f->info, &f->err), RQ_OK);

    rq_decoder *patient;
    f->limits.max_scans = 190;
    rq_err_clear(&f->err);
    assert_ok(rq_decoder_create(&patient, &f->limits, &f->err), &f->err);
    assert_ok(rq_decode(patient, f->file.data, f->file.size, true, &f->img, &f->info, &f->err),
              &f->err);
    uint8_t *want = reference_jpeg(&f->file, JCS_YCbCr, false);
    assert_planes(&f->img, want, 3);
    free(want);
    rq_decoder_destroy(&patient);
}

/* Coefficients of a progressive picture are kept whole: that memory counts before it is taken.
 */
static void progressive_memory_is_bounded(void **state)
{
    codec_fixture *f = *state;
    jpeg_spec spec = {.width = 256,
                      .height = 256,
                      .pixels = JCS_RGB,
                      .coded = JCS_YCbCr,
                      .progressive = true};
    rq_limits tight = f->limits;
    tight.max_memory_bytes = 256 * 256 * 6; /* planes fit, coefficients do not */
    fixture_jpeg(&f->file, &spec);
    assert_status(rq_probe(f->file.data, f->file.size, &tight, &f->info, &f->err), RQ_LIMIT);
    spec.progressive = false;
    fixture_jpeg(&f->file, &spec);
    rq_err_clear(&f->err);
    assert_ok(rq_probe(f->file.data, f->file.size, &tight, &f->info, &f->err), &f->err);
}

static void truncation_is_never_accepted(void **state)
{
    codec_fixture *f = *state;
    for (int kind = 0; kind < 4; kind++) {
        fixture_jpeg(&f->file, &(jpeg_spec){.width = 120,
                                            .height = 90,
                                            .pixels = JCS_RGB,
                                            .coded = JCS_YCbCr,
                                            .h = {2, 1, 1},
                                            .v = {2, 1, 1},
                                            .progressive = kind == 1,
                                            .restart = kind == 2 ? 3 : 0,
                                            .arithmetic = kind == 3});
        assert_ok(codec_decode(f, true), &f->err);
        for (size_t n = 0; n + 40 < f->file.size; n += 97) {
            assert_int_not_equal(decode_prefix(f, n, false), RQ_OK);
            assert_int_not_equal(decode_prefix(f, n, true), RQ_OK);
        }
        assert_ok(codec_decode(f, true), &f->err); /* the decoder is none the worse */
    }
}

static void a_missing_end_marker_loses_no_row(void **state)
{
    codec_fixture *f = *state;
    fixture_jpeg(
        &f->file,
        &(jpeg_spec){.width = 50, .height = 50, .pixels = JCS_RGB, .coded = JCS_YCbCr});
    uint8_t *want = reference_jpeg(&f->file, JCS_YCbCr, false);
    assert_status(decode_prefix(f, f->file.size - 2, true), RQ_TRUNCATED);
    assert_status(decode_prefix(f, f->file.size - 2, false), RQ_OK);
    assert_int_equal(f->info.notes, RQ_NOTE_CODEC_WARNING);
    assert_true(strlen(rq_decoder_warning(f->decoder)) > 0);
    assert_planes(&f->img, want, 3);
    free(want);
    assert_ok(codec_decode(f, true), &f->err);
    assert_string_equal(rq_decoder_warning(f->decoder), "");
}

static void bytes_behind_the_end_are_a_note(void **state)
{
    codec_fixture *f = *state;
    fixture_jpeg(
        &f->file,
        &(jpeg_spec){.width = 50, .height = 50, .pixels = JCS_RGB, .coded = JCS_YCbCr});
    assert_status(rq_buf_append(&f->file, "trailer", 7, NULL), RQ_OK);
    assert_ok(codec_decode(f, true), &f->err);
    assert_int_equal(f->info.notes, RQ_NOTE_TRAILING);
}

static size_t find_marker(const rq_buf *file, uint8_t marker, int nth)
{
    for (size_t i = 2; i + 1 < file->size; i++) {
        if (file->data[i] == 0xFF && file->data[i + 1] == marker && nth-- == 0)
            return i;
    }
    fail_msg("no marker %02x", marker);
    return 0;
}

static void damage_in_the_middle(void **state)
{
    codec_fixture *f = *state;
    const jpeg_spec spec = {
        .width = 200, .height = 160, .pixels = JCS_RGB, .coded = JCS_YCbCr, .restart = 5};
    /* A lost restart segment: data are missing, whatever the decoder makes of it. */
    fixture_jpeg(&f->file, &spec);
    const size_t from = find_marker(&f->file, 0xD1, 0), to = find_marker(&f->file, 0xD2, 0);
    memmove(f->file.data + from, f->file.data + to, f->file.size - to);
    f->file.size -= to - from;
    assert_status(codec_decode(f, true), RQ_CORRUPT_IMAGE);
    assert_int_not_equal(codec_decode(f, false), RQ_OK);
    /* Bytes that no marker explains, in front of one: every row is there. */
    fixture_jpeg(&f->file, &spec);
    const size_t at = find_marker(&f->file, 0xDB, 0);
    rq_buf longer = {0};
    assert_status(rq_buf_append(&longer, f->file.data, at, NULL), RQ_OK);
    assert_status(rq_buf_append(&longer, "\1\2\3", 3, NULL), RQ_OK);
    assert_status(rq_buf_append(&longer, f->file.data + at, f->file.size - at, NULL), RQ_OK);
    rq_buf_free(&f->file);
    f->file = longer;
    assert_status(codec_decode(f, true), RQ_CORRUPT_IMAGE);
    assert_ok(codec_decode(f, false), &f->err);
    assert_int_equal(f->info.notes, RQ_NOTE_CODEC_WARNING);
    assert_non_null(strstr(rq_decoder_warning(f->decoder), "extraneous"));
}

/* Every byte of a file changed in turn: it decodes or fails with a sentence, no more. */
static void no_changed_byte_harms_the_decoder(void **state)
{
    codec_fixture *f = *state;
    for (int progressive = 0; progressive < 2; progressive++) {
        fixture_jpeg(&f->file, &(jpeg_spec){.width = 24,
                                            .height = 24,
                                            .pixels = JCS_RGB,
                                            .coded = JCS_YCbCr,
                                            .h = {2, 1, 1},
                                            .v = {2, 1, 1},
                                            .progressive = progressive != 0});
        for (size_t i = 0; i < f->file.size; i++) {
            const uint8_t old = f->file.data[i];
            f->file.data[i] = (uint8_t)(old ^ (i % 3 == 0 ? 0xFF : 0x41));
            (void)decode_prefix(f, f->file.size, (i & 1) != 0);
            f->file.data[i] = old;
        }
    }
}

/* A picture of 65,500 x 65,500 costs nothing but its header. */
static void bombs_are_refused_unallocated(void **state)
{
    codec_fixture *f = *state;
    const long before = peak_kib();
    for (int progressive = 0; progressive < 2; progressive++) {
        fixture_jpeg(&f->file, &(jpeg_spec){.width = 16,
                                            .height = 16,
                                            .pixels = JCS_RGB,
                                            .coded = JCS_YCbCr,
                                            .progressive = progressive != 0});
        static const uint16_t sides[][2] = {
            {65500, 65500}, {65535, 65535}, {32769, 1}, {32000, 32000}};
        const size_t sof = find_marker(&f->file, progressive ? 0xC2 : 0xC0, 0);
        for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
            for (size_t k = 0; k < 2; k++) {
                f->file.data[sof + 5 + 2 * k] = (uint8_t)(sides[i][k] >> 8);
                f->file.data[sof + 6 + 2 * k] = (uint8_t)sides[i][k];
            }
            assert_status(codec_decode(f, false), RQ_LIMIT);
            rq_err_clear(&f->err);
            assert_status(rq_probe(f->file.data, f->file.size, &f->limits, &f->info, &f->err),
                          RQ_LIMIT);
        }
    }
    assert_true(peak_kib() - before < 32 * 1024);
}

static void exif(codec_fixture *f, const char *tiff, unsigned bytes, int orientation,
                 unsigned notes)
{
    uint8_t app1[256];
    memcpy(app1, "Exif\0", 6);
    memcpy(app1 + 6, tiff, bytes);
    fixture_jpeg(&f->file, &(jpeg_spec){.width = 8,
                                        .height = 8,
                                        .pixels = JCS_RGB,
                                        .coded = JCS_YCbCr,
                                        .app1 = app1,
                                        .app1_bytes = bytes + 6});
    assert_ok(codec_decode(f, true), &f->err);
    assert_int_equal(f->info.orientation, orientation);
    assert_int_equal(f->info.notes, notes);
}

static void exif_orientation_is_read_with_bounds(void **state)
{
    static const char big[] = "MM\0*\0\0\0\10\0\1\1\22\0\3\0\0\0\1\0\6\0\0\0\0\0\0";
    static const char little[] = "II*\0\10\0\0\0\1\0\22\1\3\0\1\0\0\0\3\0\0\0\0\0\0\0";
    static const char other_tag[] = "II*\0\10\0\0\0\1\0\17\1\3\0\1\0\0\0\3\0\0\0\0\0\0\0";
    static const char nine[] = "II*\0\10\0\0\0\1\0\22\1\3\0\1\0\0\0\11\0\0\0\0\0\0\0";
    static const char far_away[] = "II*\0\377\377\377\377\1\0";
    static const char many[] = "II*\0\10\0\0\0\377\377\22\1\3\0\1\0\0\0\3\0\0\0";
    codec_fixture *f = *state;
    exif(f, big, 26, 6, RQ_NOTE_ORIENTATION);
    exif(f, little, 26, 3, RQ_NOTE_ORIENTATION);
    exif(f, other_tag, 26, 1, 0);
    exif(f, nine, 26, 1, RQ_NOTE_EXIF_BROKEN);
    exif(f, far_away, 10, 1, RQ_NOTE_EXIF_BROKEN);
    exif(f, many, 22, 1, RQ_NOTE_EXIF_BROKEN);
    exif(f, "", 0, 1, RQ_NOTE_EXIF_BROKEN);
    for (unsigned n = 0; n < 22; n++)
        exif(f, little, n, 1, RQ_NOTE_EXIF_BROKEN);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, codec_setup, codec_teardown)
    const struct CMUnitTest tests[] = {
        TEST(samplings_agree_with_libjpeg),
        TEST(codings_agree_with_libjpeg),
        TEST(gray_is_one_plane),
        TEST(coded_rgb_stays_rgb),
        TEST(cmyk_and_ycck_become_rgb),
        TEST(scans_are_bounded),
        TEST(progressive_memory_is_bounded),
        TEST(truncation_is_never_accepted),
        TEST(a_missing_end_marker_loses_no_row),
        TEST(bytes_behind_the_end_are_a_note),
        TEST(damage_in_the_middle),
        TEST(no_changed_byte_harms_the_decoder),
        TEST(bombs_are_refused_unallocated),
        TEST(exif_orientation_is_read_with_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
