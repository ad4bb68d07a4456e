// SPDX-License-Identifier: Apache-2.0
// JPEG that libjpeg warns about or refuses: each of its warnings provoked by a file made here
// and given the verdict it should have; kinds that are not read are named; nothing is taken
// over from the file before; CPU time is bounded.
#include "ingest_fixture.h"

#include "ingest/verdict.h"

static const jpeg_spec plain = {
    .width = 200, .height = 160, .pixels = JCS_RGB, .coded = JCS_YCbCr, .restart = 5};

static size_t find_marker(const rq_buf *file, uint8_t marker, int nth)
{
    for (size_t i = 2; i + 1 < file->size; i++)
        if (file->data[i] == 0xFF && file->data[i + 1] == marker && nth-- == 0)
            return i;
    fail_msg("no marker %02x", marker);
    return 0;
}

static void insert(rq_buf *file, size_t at, const void *bytes, size_t n)
{
    rq_buf longer = {0};
    assert_status(rq_buf_append(&longer, file->data, at, NULL), RQ_OK);
    assert_status(rq_buf_append(&longer, bytes, n, NULL), RQ_OK);
    assert_status(rq_buf_append(&longer, file->data + at, file->size - at, NULL), RQ_OK);
    rq_buf_free(file);
    *file = longer;
}

static void cut_out(rq_buf *file, size_t from, size_t to)
{
    memmove(file->data + from, file->data + to, file->size - to);
    file->size -= to - from;
}

static rq_verdict judge(codec_fixture *f)
{
    rq_verdict v;
    const rq_status st = codec_decode(f, false);
    rq_verdict_make(&v, st, f->err.text, f->info.notes, rq_decoder_warning(f->decoder));
    return v;
}

static void expect(codec_fixture *f, rq_verdict_kind kind, const char *words)
{
    const rq_verdict v = judge(f);
    if (v.kind != kind || strstr(v.reason, words) == NULL)
        fail_msg("%s (%s), expected %s (%s)", rq_verdict_name(v.kind), v.reason,
                 rq_verdict_name(kind), words);
    /* A strict reader takes nothing but images without fault. */
    assert_int_equal(codec_decode(f, true) == RQ_OK, kind == RQ_VERDICT_OK);
}

/* ---- warnings that leave the picture whole ------------------------------------------------
 */

static void remarks_on_markers_are_none(void **state)
{
    codec_fixture *f = *state;
    fixture_jpeg(&f->file, &plain); /* JWRN_JFIF_MAJOR */
    f->file.data[find_marker(&f->file, 0xE0, 0) + 9] = 9;
    expect(f, RQ_VERDICT_OK, "");
    fixture_jpeg(&f->file, &(jpeg_spec){.width = 16, /* JWRN_ADOBE_XFORM */
                                        .height = 16,
                                        .pixels = JCS_RGB,
                                        .coded = JCS_RGB});
    f->file.data[find_marker(&f->file, 0xEE, 0) + 15] = 77;
    expect(f, RQ_VERDICT_OK, "");
}

static void bytes_between_segments(void **state)
{
    codec_fixture *f = *state;
    fixture_jpeg(&f->file, &plain); /* JWRN_EXTRANEOUS_DATA */
    insert(&f->file, find_marker(&f->file, 0xDB, 0), "\1\2\3", 3);
    expect(f, RQ_VERDICT_WARNED, "3 extraneous bytes before marker 0xdb");
}

static void scan_header_of_another_process(void **state)
{
    codec_fixture *f = *state;
    fixture_jpeg(&f->file, &plain); /* JWRN_NOT_SEQUENTIAL */
    const size_t sos = find_marker(&f->file, 0xDA, 0);
    f->file.data[sos + 2 + f->file.data[sos + 3] - 2] = 0; /* Se */
    expect(f, RQ_VERDICT_WARNED, "Invalid SOS parameters");
}

/* ---- warnings that touch it ---------------------------------------------------------------
 */

static void missing_end(void **state)
{
    codec_fixture *f = *state;
    fixture_jpeg(&f->file, &plain); /* JWRN_JPEG_EOF */
    f->file.size = f->file.size * 2 / 3;
    expect(f, RQ_VERDICT_REJECTED, "the JPEG ends before its picture does");
    assert_int_equal(judge(f).status, RQ_TRUNCATED);
}

static void scan_that_ends_early(void **state)
{
    codec_fixture *f = *state;
    fixture_jpeg(&f->file, &plain); /* JWRN_HIT_MARKER */
    cut_out(&f->file, f->file.size * 2 / 3, f->file.size - 2);
    expect(f, RQ_VERDICT_REJECTED, "part of the picture is missing");
    assert_int_equal(judge(f).status, RQ_CORRUPT_IMAGE);
}

/* JWRN_MUST_RESYNC: libjpeg goes on behind a restart marker of another number. What lies
 * between is lost when the number is far off, and nothing when two markers were only mixed up.
 */
static void restart_marker_of_another_number(void **state)
{
    codec_fixture *f = *state;
    fixture_jpeg(&f->file, &plain);
    f->file.data[find_marker(&f->file, 0xD1, 0) + 1] = 0xD3;
    const rq_verdict v = judge(f);
    assert_true(v.kind == RQ_VERDICT_REJECTED || v.kind == RQ_VERDICT_WARNED);
    assert_int_not_equal(codec_decode(f, true), RQ_OK);
    fixture_jpeg(&f->file, &plain);
    cut_out(&f->file, find_marker(&f->file, 0xD1, 0), find_marker(&f->file, 0xD4, 0));
    expect(f, RQ_VERDICT_REJECTED, "part of the picture is missing");
}

/* Changes the scan at one place after another until the warning comes with every row there. */
static void expect_bad_code(codec_fixture *f, const jpeg_spec *spec, const char *words)
{
    fixture_jpeg(&f->file, spec);
    const size_t begin = find_marker(&f->file, 0xDA, 0) + 16;
    for (size_t at = begin; at + 8 < f->file.size; at++) {
        uint8_t old[4];
        memcpy(old, f->file.data + at, 4);
        memcpy(f->file.data + at, "\xFF\0\xFF\0", 4);
        const rq_verdict v = judge(f);
        if (v.kind == RQ_VERDICT_WARNED && strstr(v.reason, words) != NULL) {
            assert_int_equal(codec_decode(f, true), RQ_CORRUPT_IMAGE);
            return;
        }
        memcpy(f->file.data + at, old, 4);
    }
    fail_msg("no damage gives the warning '%s'", words);
}

static void codes_that_no_table_has(void **state)
{
    const jpeg_spec huffman = {
        .width = 96, .height = 96, .pixels = JCS_GRAYSCALE, .coded = JCS_GRAYSCALE};
    jpeg_spec arithmetic = huffman;
    arithmetic.arithmetic = true;
    expect_bad_code(*state, &huffman, "bad Huffman code");       /* JWRN_HUFF_BAD_CODE */
    expect_bad_code(*state, &arithmetic, "bad arithmetic code"); /* JWRN_ARITH_BAD_CODE */
}

static void progression_without_its_beginning(void **state)
{
    codec_fixture *f = *state;
    fixture_jpeg(&f->file, &(jpeg_spec){.width = 64, /* JWRN_BOGUS_PROGRESSION */
                                        .height = 64,
                                        .pixels = JCS_GRAYSCALE,
                                        .coded = JCS_GRAYSCALE,
                                        .progressive = true});
    cut_out(&f->file, find_marker(&f->file, 0xDA, 0), find_marker(&f->file, 0xC4, 1));
    expect(f, RQ_VERDICT_WARNED, "Inconsistent progression sequence");
}

/* ---- kinds that are not read --------------------------------------------------------------
 */

static void kinds_that_are_not_read_are_named(void **state)
{
    static const struct {
        uint8_t sof;
        const char *words;
    } kinds[] = {{0xC3, "lossless"},     {0xC5, "hierarchical"}, {0xC6, "hierarchical"},
                 {0xC7, "hierarchical"}, {0xCB, "lossless"},     {0xCD, "hierarchical"},
                 {0xCE, "hierarchical"}, {0xCF, "hierarchical"}};
    codec_fixture *f = *state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        fixture_jpeg(&f->file, &plain);
        f->file.data[find_marker(&f->file, 0xC0, 0) + 1] = kinds[i].sof;
        expect(f, RQ_VERDICT_REJECTED, kinds[i].words);
        assert_int_equal(judge(f).status, RQ_UNSUPPORTED);
    }
    fixture_jpeg(&f->file, &plain);
    f->file.data[find_marker(&f->file, 0xC0, 0) + 4] = 12;
    expect(f, RQ_VERDICT_REJECTED, "12 bits per sample, and only 8 are read");
    assert_int_equal(judge(f).status, RQ_UNSUPPORTED);
    fixture_jpeg(&f->file, &(jpeg_spec){.width = 40, /* SOF9: arithmetic coding is read */
                                        .height = 40,
                                        .pixels = JCS_RGB,
                                        .coded = JCS_YCbCr,
                                        .arithmetic = true});
    expect(f, RQ_VERDICT_OK, "");
}

/* ---- one file after another ---------------------------------------------------------------
 */

/* A file without Huffman tables is read with the standard ones (Motion JPEG leaves them out),
 * one without quantisation tables not at all; never with those of the file before. */
static void nothing_stays_of_the_file_before(void **state)
{
    codec_fixture *f = *state;
    rq_buf before = {0}, bare = {0};
    jpeg_spec other = plain;
    other.quality = 30;
    other.progressive = true; /* has tables of its own */
    other.restart = 0;
    fixture_jpeg(&before, &other);
    fixture_jpeg(&f->file, &plain);
    uint8_t *want = reference_jpeg(&f->file, JCS_YCbCr, false);
    assert_ok(rq_buf_append(&bare, f->file.data, f->file.size, &f->err), &f->err);
    for (int i = 0; i < 4; i++) {
        const size_t at = find_marker(&bare, 0xC4, 0);
        cut_out(&bare, at, at + 2 + (size_t)(bare.data[at + 2] << 8 | bare.data[at + 3]));
    }
    rq_buf_free(&f->file);
    f->file = before;
    assert_ok(codec_decode(f, true), &f->err);
    before = f->file;
    f->file = bare;
    assert_ok(codec_decode(f, true), &f->err);
    assert_planes(&f->img, want, 3);
    free(want);
    for (int i = 0; i < 2; i++) {
        const size_t at = find_marker(&f->file, 0xDB, 0);
        cut_out(&f->file, at,
                at + 2 + (size_t)(f->file.data[at + 2] << 8 | f->file.data[at + 3]));
    }
    assert_status(codec_decode(f, false), RQ_CORRUPT_IMAGE);
    rq_buf_free(&before);
}

/* ---- time ---------------------------------------------------------------------------------
 */

static void time_is_bounded(void **state)
{
    codec_fixture *f = *state;
    rq_decoder *hasty;
    rq_limits limits = f->limits;
    limits.max_cpu_seconds = 1e-9;
    assert_ok(rq_decoder_create(&hasty, &limits, &f->err), &f->err);
    for (int i = 0; i < 4; i++) {
        jpeg_spec spec = plain;
        spec.progressive = (i & 1) != 0;
        fixture_jpeg(&f->file, &spec);
        rq_err_clear(&f->err);
        const rq_status st =
            i < 2 ? rq_decode(hasty, f->file.data, f->file.size, false, &f->img, NULL, &f->err)
                  : rq_decode_rgb(hasty, f->file.data, f->file.size, false, &f->img, NULL,
                                  &f->err);
        assert_status(st, RQ_LIMIT);
        assert_non_null(strstr(f->err.text, "takes more than the limit"));
    }
    rq_decoder_destroy(&hasty);
    limits.max_cpu_seconds = 0; /* none */
    assert_ok(rq_decoder_create(&hasty, &limits, NULL), &f->err);
    assert_status(rq_decode(hasty, f->file.data, f->file.size, true, &f->img, NULL, NULL),
                  RQ_OK);
    rq_decoder_destroy(&hasty);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, codec_setup, codec_teardown)
    const struct CMUnitTest tests[] = {
        TEST(remarks_on_markers_are_none),
        TEST(bytes_between_segments),
        TEST(scan_header_of_another_process),
        TEST(missing_end),
        TEST(scan_that_ends_early),
        TEST(restart_marker_of_another_number),
        TEST(codes_that_no_table_has),
        TEST(progression_without_its_beginning),
        TEST(kinds_that_are_not_read_are_named),
        TEST(nothing_stays_of_the_file_before),
        TEST(time_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
