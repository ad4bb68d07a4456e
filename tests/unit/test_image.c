// SPDX-License-Identifier: Apache-2.0
// Storage of pictures: layout, reuse, refusals, and the nearest-sample conversion for looking.
#include "test.h"

#include "ingest/image.h"

static void planes_have_room_for_whole_blocks(void **state)
{
    static const struct {
        rq_pixels pixels;
        int width, height, sub_x, sub_y, pad;
    } cases[] = {
        {RQ_PIXELS_GRAY, 1, 1, 1, 1, 8},       {RQ_PIXELS_YCBCR, 17, 33, 2, 2, 16},
        {RQ_PIXELS_YCBCR, 500, 375, 2, 1, 8},  {RQ_PIXELS_YCBCR, 63, 65, 4, 1, 8},
        {RQ_PIXELS_YCBCR, 100, 101, 1, 2, 16}, {RQ_PIXELS_RGB, 64, 3, 1, 1, 1},
        {RQ_PIXELS_YCBCR, 5, 1, 4, 4, 32},
    };
    rq_image img = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rq_err err = {0};
        assert_ok(rq_image_shape(&img, cases[i].pixels, cases[i].width, cases[i].height,
                                 cases[i].sub_x, cases[i].sub_y, cases[i].pad, &err),
                  &err);
        uint8_t *end = img.storage;
        for (int p = 0; p < rq_pixels_planes(img.pixels); p++) {
            const int sx = p == 0 ? 1 : cases[i].sub_x, sy = p == 0 ? 1 : cases[i].sub_y;
            const rq_plane *plane = &img.plane[p];
            assert_int_equal(plane->width, (cases[i].width + sx - 1) / sx);
            assert_int_equal(plane->height, (cases[i].height + sy - 1) / sy);
            assert_int_equal(plane->stride % RQ_ALIGN, 0);
            assert_int_equal((uintptr_t)plane->data % RQ_ALIGN, 0);
            assert_true(plane->data >= end);
            const size_t rows = rq_round_up((size_t)plane->height, (size_t)cases[i].pad);
            assert_true(plane->stride >=
                        rq_round_up((size_t)plane->width, (size_t)cases[i].pad));
            memset(plane->data, 0x5A, rows * plane->stride); /* a sanitizer watches */
            end = plane->data + rows * plane->stride;
        }
        assert_true(end <= img.storage + img.storage_bytes);
        if (cases[i].pixels == RQ_PIXELS_GRAY)
            assert_null(img.plane[1].data);
    }
    rq_image_free(&img);
    assert_null(img.storage);
}

static void storage_is_kept(void **state)
{
    rq_image img = {0};
    assert_status(rq_image_shape(&img, RQ_PIXELS_RGB, 300, 200, 1, 1, 8, NULL), RQ_OK);
    const uint8_t *storage = img.storage;
    const size_t bytes = img.storage_bytes;
    rq_mem_fail_nth(1); /* any allocation would fail */
    assert_status(rq_image_shape(&img, RQ_PIXELS_GRAY, 10, 10, 1, 1, 8, NULL), RQ_OK);
    assert_status(rq_image_shape(&img, RQ_PIXELS_RGB, 300, 200, 1, 1, 8, NULL), RQ_OK);
    rq_mem_fail_nth(0);
    assert_ptr_equal(img.storage, storage);
    assert_int_equal(img.storage_bytes, bytes);
    rq_image_free(&img);
}

static void impossible_sizes_are_refused(void **state)
{
    rq_image img = {0};
    rq_err err = {0};
    assert_status(rq_image_shape(&img, RQ_PIXELS_GRAY, 0, 5, 1, 1, 1, &err), RQ_LIMIT);
    assert_true(strlen(err.text) > 0);
    assert_status(rq_image_shape(&img, RQ_PIXELS_GRAY, 5, -1, 1, 1, 1, NULL), RQ_LIMIT);
    assert_status(rq_image_shape(&img, RQ_PIXELS_NONE, 5, 5, 1, 1, 1, NULL), RQ_INVALID_ARG);
    assert_status(rq_image_shape(&img, RQ_PIXELS_GRAY, 5, 5, 1, 1, 3, NULL), RQ_INVALID_ARG);
    assert_null(img.storage);
    rq_mem_fail_nth(1);
    assert_status(rq_image_shape(&img, RQ_PIXELS_GRAY, 5, 5, 1, 1, 1, NULL), RQ_OOM);
    assert_status(rq_image_shape(&img, RQ_PIXELS_GRAY, 5, 5, 1, 1, 1, NULL), RQ_OK);
    rq_image_free(&img);
}

static void colours_come_out_of_jfif_planes(void **state)
{
    /* BT.601 full range, computed in double precision and rounded. */
    static const uint8_t ycc[6][3] = {{0, 128, 128}, {255, 128, 128}, {76, 85, 255},
                                      {150, 44, 21}, {29, 255, 107},  {128, 0, 255}};
    rq_image img = {0};
    uint8_t rgb[6 * 3];
    assert_status(rq_image_shape(&img, RQ_PIXELS_YCBCR, 6, 1, 1, 1, 1, NULL), RQ_OK);
    for (int i = 0; i < 6; i++) {
        for (int c = 0; c < 3; c++)
            img.plane[c].data[i] = ycc[i][c];
    }
    rq_image_to_rgb(&img, rgb);
    for (int i = 0; i < 6; i++) {
        const double y = ycc[i][0], cb = ycc[i][1] - 128.0, cr = ycc[i][2] - 128.0;
        const double want[3] = {y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr,
                                y + 1.772 * cb};
        for (int c = 0; c < 3; c++) {
            const double clipped = want[c] < 0 ? 0 : want[c] > 255 ? 255 : want[c];
            const double off = clipped - rgb[i * 3 + c];
            assert_true(off <= 0.51 && off >= -0.51);
        }
    }
    assert_status(rq_image_shape(&img, RQ_PIXELS_YCBCR, 3, 3, 2, 2, 1, NULL), RQ_OK);
    memset(img.plane[0].data, 100, 3 * img.plane[0].stride);
    memset(img.plane[1].data, 128, 2 * img.plane[1].stride);
    memset(img.plane[2].data, 128, 2 * img.plane[2].stride);
    img.plane[2].data[img.plane[2].stride + 1] = 228; /* the last chroma sample: pixel 2,2 */
    uint8_t small[27];
    rq_image_to_rgb(&img, small);
    assert_int_equal(small[0], 100);
    assert_int_equal(small[(2 * 3 + 1) * 3], 100);
    assert_int_equal(small[(2 * 3 + 2) * 3], 240);
    rq_image_free(&img);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(planes_have_room_for_whole_blocks),
        cmocka_unit_test(storage_is_kept),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(colours_come_out_of_jfif_planes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
