// SPDX-License-Identifier: Apache-2.0
// Smooth chroma against libjpeg's own, bit for bit, over samplings and sizes, the narrow ones
// above all.
#include "ingest_fixture.h"

#include "ingest/upsample.h"

static void equals_libjpeg(void **state)
{
    codec_fixture *f = *state;
    rq_image rgb = {0};
    static const int samplings[][2] = {{1, 1}, {2, 1}, {2, 2}, {1, 2}, {4, 1}, {4, 2}};
    static const int sizes[][2] = {{1, 1},  {2, 2},   {3, 3},   {4, 5},   {5, 4},
                                   {6, 17}, {17, 16}, {33, 35}, {64, 48}, {121, 2}};
    for (size_t s = 0; s < sizeof samplings / sizeof *samplings; s++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            const jpeg_spec spec = {.width = sizes[i][0],
                                    .height = sizes[i][1],
                                    .pixels = JCS_RGB,
                                    .coded = JCS_YCbCr,
                                    .h = {samplings[s][0]},
                                    .v = {samplings[s][1]}};
            fixture_jpeg(&f->file, &spec);
            assert_ok(codec_decode(f, true), &f->err);
            assert_int_equal(f->img.pixels, RQ_PIXELS_YCBCR);
            assert_ok(rq_image_upsample(&f->img, &rgb, &f->err), &f->err);
            assert_int_equal(rgb.pixels, RQ_PIXELS_RGB);
            uint8_t *want = reference_jpeg(&f->file, JCS_RGB, true);
            assert_planes(&rgb, want, 3);
            free(want);
        }
    }
    rq_image_free(&rgb);
}

static void other_pixels_are_copied(void **state)
{
    codec_fixture *f = *state;
    rq_image out = {0};
    const jpeg_spec spec = {
        .width = 19, .height = 7, .pixels = JCS_GRAYSCALE, .coded = JCS_GRAYSCALE};
    fixture_jpeg(&f->file, &spec);
    assert_ok(codec_decode(f, true), &f->err);
    assert_ok(rq_image_upsample(&f->img, &out, &f->err), &f->err);
    uint8_t *want = reference_jpeg(&f->file, JCS_GRAYSCALE, true);
    assert_int_equal(out.pixels, RQ_PIXELS_GRAY);
    assert_planes(&out, want, 1);
    free(want);
    rq_image_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(equals_libjpeg, codec_setup, codec_teardown),
        cmocka_unit_test_setup_teardown(other_pixels_are_copied, codec_setup, codec_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
