// SPDX-License-Identifier: Apache-2.0
// The eight orientations: by where the corners and every sample go, by what they undo, on
// subsampled planes; and the EXIF block that says them.
#include "ingest_fixture.h"

#include "ingest/orient.h"

/* Where sample (x, y) of a w x h picture goes, by the words of the EXIF standard: which side of
 * the stored picture row 0 and column 0 are. */
static void place(int orientation, int w, int h, int x, int y, int *to_x, int *to_y)
{
    const int right = w - 1 - x, bottom = h - 1 - y;
    switch (orientation) {
    case 1: // row 0 is the top, column 0 the left side
        *to_x = x, *to_y = y;
        return;
    case 2: // top, right
        *to_x = right, *to_y = y;
        return;
    case 3: // bottom, right
        *to_x = right, *to_y = bottom;
        return;
    case 4: // bottom, left
        *to_x = x, *to_y = bottom;
        return;
    case 5: // left, top: the stored row 0 is shown as the left side
        *to_x = y, *to_y = x;
        return;
    case 6: // right, top
        *to_x = bottom, *to_y = x;
        return;
    case 7: // right, bottom
        *to_x = bottom, *to_y = right;
        return;
    default: // left, bottom
        *to_x = y, *to_y = right;
        return;
    }
}

static void fill(rq_image *img, rq_pixels pixels, int w, int h, int sub_x, int sub_y)
{
    assert_int_equal(rq_image_shape(img, pixels, w, h, sub_x, sub_y, 1, NULL), RQ_OK);
    for (int i = 0; i < rq_pixels_planes(pixels); i++)
        for (int y = 0; y < img->plane[i].height; y++)
            for (int x = 0; x < img->plane[i].width; x++)
                img->plane[i].data[(size_t)y * img->plane[i].stride + (size_t)x] =
                    (uint8_t)(x * 31 + y * 17 + i * 101);
}

static void check(const rq_image *src, const rq_image *dst, int orientation)
{
    const bool swap = orientation >= 5;
    assert_int_equal(rq_orientation_swaps(orientation), swap);
    assert_int_equal(dst->width, swap ? src->height : src->width);
    assert_int_equal(dst->height, swap ? src->width : src->height);
    assert_int_equal(dst->sub_x, swap ? src->sub_y : src->sub_x);
    assert_int_equal(dst->sub_y, swap ? src->sub_x : src->sub_y);
    assert_int_equal(dst->pixels, src->pixels);
    for (int i = 0; i < rq_pixels_planes(src->pixels); i++) {
        const rq_plane *s = &src->plane[i], *d = &dst->plane[i];
        assert_int_equal(d->width, swap ? s->height : s->width);
        for (int y = 0; y < s->height; y++)
            for (int x = 0; x < s->width; x++) {
                int to_x, to_y;
                place(orientation, s->width, s->height, x, y, &to_x, &to_y);
                assert_int_equal(d->data[(size_t)to_y * d->stride + (size_t)to_x],
                                 s->data[(size_t)y * s->stride + (size_t)x]);
            }
    }
}

static void every_sample_goes_to_its_place(void **state)
{
    static const int sizes[][2] = {{1, 1}, {2, 3}, {31, 33}, {64, 32}, {70, 5}, {3, 90}};
    rq_image src = {0}, dst = {0};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int o = 1; o <= 8; o++) {
            fill(&src, RQ_PIXELS_GRAY, sizes[i][0], sizes[i][1], 1, 1);
            assert_int_equal(rq_image_orient(&src, o, &dst, NULL), RQ_OK);
            check(&src, &dst, o);
            fill(&src, RQ_PIXELS_RGB, sizes[i][0], sizes[i][1], 1, 1);
            assert_int_equal(rq_image_orient(&src, o, &dst, NULL), RQ_OK);
            check(&src, &dst, o);
            fill(&src, RQ_PIXELS_YCBCR, sizes[i][0], sizes[i][1], 2, 1);
            assert_int_equal(rq_image_orient(&src, o, &dst, NULL), RQ_OK);
            check(&src, &dst, o);
        }
    rq_err err = {0};
    assert_int_equal(rq_image_orient(&src, 0, &dst, &err), RQ_INVALID_ARG);
    assert_int_equal(rq_image_orient(&src, 9, &dst, NULL), RQ_INVALID_ARG);
    assert_non_null(strstr(err.text, "orientation"));
    rq_image_free(&src);
    rq_image_free(&dst);
}

static void turning_back_gives_the_picture(void **state)
{
    static const int back[9] = {0, 1, 2, 3, 4, 5, 8, 7, 6};
    rq_image src = {0}, once = {0}, twice = {0};
    fill(&src, RQ_PIXELS_YCBCR, 35, 22, 2, 2);
    for (int o = 1; o <= 8; o++) {
        assert_int_equal(rq_image_orient(&src, o, &once, NULL), RQ_OK);
        assert_int_equal(rq_image_orient(&once, back[o], &twice, NULL), RQ_OK);
        check(&src, &twice, 1);
    }
    rq_image_free(&src);
    rq_image_free(&once);
    rq_image_free(&twice);
}

static void exif_is_written_and_read(void **state)
{
    codec_fixture *f = *state;
    const jpeg_spec spec = {.width = 20, .height = 10, .pixels = JCS_RGB, .coded = JCS_YCbCr};
    for (int o = 1; o <= 8; o++) {
        fixture_jpeg(&f->file, &spec);
        const size_t plain = f->file.size;
        assert_ok(rq_exif_insert_orientation(&f->file, o, &f->err), &f->err);
        assert_int_equal(f->file.size, o == 1 ? plain : plain + 36);
        assert_ok(codec_decode(f, true), &f->err);
        assert_int_equal(f->info.orientation, o);
        assert_int_equal(f->info.notes & RQ_NOTE_EXIF_BROKEN, 0);
    }
    f->file.size = 3;
    assert_int_equal(rq_exif_insert_orientation(&f->file, 2, &f->err), RQ_BAD_FORMAT);
    f->file.size = 6; // the JFIF block says more than there is
    assert_int_equal(rq_exif_insert_orientation(&f->file, 2, NULL), RQ_BAD_FORMAT);
    f->file.data[1] = 0;
    assert_int_equal(rq_exif_insert_orientation(&f->file, 2, NULL), RQ_BAD_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sample_goes_to_its_place),
        cmocka_unit_test(turning_back_gives_the_picture),
        cmocka_unit_test_setup_teardown(exif_is_written_and_read, codec_setup, codec_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
