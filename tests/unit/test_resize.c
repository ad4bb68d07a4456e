// SPDX-License-Identifier: Apache-2.0
// The reducing filter: against a filter written down in double by its definition, for planes of
// every sampling; flat stays flat; sizes; and what encodes the result.
#include "ingest_fixture.h"

#include "ingest/jpeg_encode.h"
#include "ingest/resize.h"

#include <math.h>

static void make_image(rq_image *img, rq_pixels pixels, int w, int h, int sub_x, int sub_y)
{
    rq_rng r = rq_rng_make(5, 4, 3, 2, (uint32_t)(w * h));
    assert_int_equal(rq_image_shape(img, pixels, w, h, sub_x, sub_y, 1, NULL), RQ_OK);
    for (int i = 0; i < rq_pixels_planes(pixels); i++) {
        const rq_plane *p = &img->plane[i];
        for (int y = 0; y < p->height; y++)
            for (int x = 0; x < p->width; x++)
                p->data[(size_t)y * p->stride + (size_t)x] =
                    (uint8_t)((x * 5 + y * 3 + (int)rq_rng_below(&r, 120)) & 255);
    }
}

/* ---- the filter by its definition -------------------------------------------------------- */

static double keys(double x)
{
    x = fabs(x);
    if (x < 1)
        return 1.5 * x * x * x - 2.5 * x * x + 1;
    return x < 2 ? -0.5 * x * x * x + 2.5 * x * x - 4 * x + 2 : 0;
}

static double clip_round(double v)
{
    return fmin(255, fmax(0, floor(v + 0.5)));
}

/* One line of n samples to out samples, `step` apart, the kernel widened by `step` above 1. */
static void filter_line(const double *src, int n, double *dst, int out, double step)
{
    const double wide = step > 1 ? step : 1;
    for (int o = 0; o < out; o++) {
        const double centre = (o + 0.5) * step - 0.5;
        double sum = 0, weights = 0;
        for (int i = 0; i < n; i++) {
            const double w = keys((i - centre) / wide);
            sum += w * src[i];
            weights += w;
        }
        dst[o] = clip_round(sum / weights);
    }
}

static double *filter_plane(const rq_plane *p, int w, int h, double step_x, double step_y)
{
    double *rows = calloc((size_t)w * (size_t)p->height, sizeof *rows);
    double *out = calloc((size_t)w * (size_t)h, sizeof *out);
    double line[600], column[600];
    assert_true(p->width <= 600 && p->height <= 600 && h <= 600);
    for (int y = 0; y < p->height; y++) {
        for (int x = 0; x < p->width; x++)
            line[x] = p->data[(size_t)y * p->stride + (size_t)x];
        filter_line(line, p->width, rows + (size_t)y * (size_t)w, w, step_x);
    }
    for (int x = 0; x < w; x++) {
        for (int y = 0; y < p->height; y++)
            line[y] = rows[(size_t)y * (size_t)w + (size_t)x];
        filter_line(line, p->height, column, h, step_y);
        for (int y = 0; y < h; y++)
            out[(size_t)y * (size_t)w + (size_t)x] = column[y];
    }
    free(rows);
    return out;
}

static void check_plane(const rq_plane *src, const rq_plane *dst, double step_x, double step_y)
{
    double *want = filter_plane(src, dst->width, dst->height, step_x, step_y);
    for (int y = 0; y < dst->height; y++)
        for (int x = 0; x < dst->width; x++) {
            const double got = dst->data[(size_t)y * dst->stride + (size_t)x];
            const double w = want[(size_t)y * (size_t)dst->width + (size_t)x];
            if (fabs(got - w) > 1)
                fail_msg("%d x %d at %d,%d: %g, expected %g", dst->width, dst->height, x, y,
                         got, w);
        }
    free(want);
}

static void planes_are_filtered_as_defined(void **state)
{
    static const struct {
        rq_pixels pixels;
        int w, h, sub_x, sub_y, to_w, to_h, to_sub_x, to_sub_y;
    } cases[] = {
        {RQ_PIXELS_GRAY, 100, 70, 1, 1, 50, 35, 1, 1},
        {RQ_PIXELS_GRAY, 100, 70, 1, 1, 99, 69, 1, 1},
        {RQ_PIXELS_GRAY, 100, 70, 1, 1, 1, 1, 1, 1},
        {RQ_PIXELS_GRAY, 500, 3, 1, 1, 7, 3, 1, 1},
        {RQ_PIXELS_RGB, 131, 97, 1, 1, 61, 45, 1, 1},
        {RQ_PIXELS_YCBCR, 131, 97, 1, 1, 61, 45, 2, 2}, // 4:4:4 to 4:2:0
        {RQ_PIXELS_YCBCR, 131, 97, 2, 2, 61, 45, 2, 2},
        {RQ_PIXELS_YCBCR, 131, 97, 2, 1, 61, 45, 2, 2},
        {RQ_PIXELS_YCBCR, 131, 97, 1, 2, 128, 95, 1, 1}, // chroma gains samples
        {RQ_PIXELS_YCBCR, 131, 97, 4, 1, 61, 45, 4, 1},
        {RQ_PIXELS_YCBCR, 131, 97, 1, 1, 131, 97, 2, 2}, // chroma alone
        {RQ_PIXELS_YCBCR, 5, 5, 2, 2, 1, 3, 2, 2},
        {RQ_PIXELS_YCBCR, 1, 1, 2, 2, 1, 1, 1, 1},
    };
    rq_resizer r = {0};
    rq_image src = {0}, dst = {0};
    rq_err err = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_image(&src, cases[i].pixels, cases[i].w, cases[i].h, cases[i].sub_x,
                   cases[i].sub_y);
        assert_ok(rq_image_resize(&r, &src, cases[i].to_w, cases[i].to_h, cases[i].to_sub_x,
                                  cases[i].to_sub_y, &dst, &err),
                  &err);
        assert_int_equal(dst.sub_x, cases[i].to_sub_x);
        assert_int_equal(dst.sub_y, cases[i].to_sub_y);
        const double x = (double)cases[i].w / cases[i].to_w;
        const double y = (double)cases[i].h / cases[i].to_h;
        for (int p = 0; p < rq_pixels_planes(src.pixels); p++)
            check_plane(&src.plane[p], &dst.plane[p], p ? x * dst.sub_x / src.sub_x : x,
                        p ? y * dst.sub_y / src.sub_y : y);
    }
    rq_resizer_free(&r);
    rq_image_free(&src);
    rq_image_free(&dst);
}

static void flat_stays_flat(void **state)
{
    rq_resizer r = {0};
    rq_image src = {0}, dst = {0};
    static const int levels[] = {0, 1, 127, 254, 255};
    for (int l = 0; l < 5; l++)
        for (int to = 1; to < 300; to += 37) {
            assert_int_equal(rq_image_shape(&src, RQ_PIXELS_GRAY, 299, 301, 1, 1, 1, NULL), 0);
            memset(src.plane[0].data, levels[l], src.plane[0].stride * 301);
            assert_int_equal(rq_image_resize(&r, &src, to, to, 1, 1, &dst, NULL), RQ_OK);
            for (int y = 0; y < to; y++)
                for (int x = 0; x < to; x++)
                    assert_int_equal(
                        dst.plane[0].data[(size_t)y * dst.plane[0].stride + (size_t)x],
                        levels[l]);
        }
    rq_resizer_free(&r);
    rq_image_free(&src);
    rq_image_free(&dst);
}

static void the_same_size_is_a_copy(void **state)
{
    rq_resizer r = {0};
    rq_image src = {0}, dst = {0};
    make_image(&src, RQ_PIXELS_YCBCR, 37, 23, 2, 2);
    assert_int_equal(rq_image_resize(&r, &src, 37, 23, 2, 2, &dst, NULL), RQ_OK);
    for (int p = 0; p < 3; p++)
        for (int y = 0; y < src.plane[p].height; y++)
            assert_memory_equal(dst.plane[p].data + (size_t)y * dst.plane[p].stride,
                                src.plane[p].data + (size_t)y * src.plane[p].stride,
                                (size_t)src.plane[p].width);
    rq_err err = {0}; // never enlarged
    assert_int_equal(rq_image_resize(&r, &src, 38, 23, 2, 2, &dst, &err), RQ_INVALID_ARG);
    assert_non_null(strstr(err.text, "38 x 23"));
    rq_resizer_free(&r);
    rq_image_free(&src);
    rq_image_free(&dst);
}

static void sizes_fit(void **state)
{
    static const int cases[][6] = {// width, height, long, short: new width, new height
                                   {500, 375, 250, 0, 250, 188}, {375, 500, 250, 0, 188, 250},
                                   {500, 375, 0, 256, 341, 256}, {375, 500, 0, 256, 256, 341},
                                   {500, 375, 500, 0, 500, 375}, {500, 375, 501, 0, 500, 375},
                                   {500, 375, 0, 375, 500, 375}, {500, 375, 0, 900, 500, 375},
                                   {500, 375, 0, 0, 500, 375},   {1000, 1, 10, 0, 10, 1},
                                   {32768, 3, 0, 1, 10923, 1},   {1, 1, 1, 0, 1, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int w, h;
        rq_resize_fit(cases[i][0], cases[i][1], cases[i][2], cases[i][3], &w, &h);
        assert_int_equal(w, cases[i][4]);
        assert_int_equal(h, cases[i][5]);
    }
}

/* ---- JPEG of planes ---------------------------------------------------------------------- */

/* Planes that were decoded from quality 100 come back within what quality 100 loses, at their
 * own sampling and size; and what lies in memory beyond them does not matter. */
static void planes_become_jpeg(void **state)
{
    codec_fixture *f = *state;
    static const int samplings[][2] = {{1, 1}, {2, 1}, {2, 2}, {1, 2}, {4, 1}};
    rq_image src = {0};
    rq_buf again = {0};
    for (int s = 0; s < 6; s++)
        for (int side = 1; side < 40; side += 6) {
            const bool gray = s == 5;
            rq_jpeg_opts o = {.quality = 100, .sub_x = 1, .sub_y = 1, .optimize = side & 1};
            make_image(&src, gray ? RQ_PIXELS_GRAY : RQ_PIXELS_YCBCR, side, side + 3,
                       gray ? 1 : samplings[s][0], gray ? 1 : samplings[s][1]);
            assert_ok(rq_jpeg_encode(&src, &o, &f->file, &f->err), &f->err);
            for (int p = 0; p < (gray ? 1 : 3); p++)
                for (int y = 0; y < src.plane[p].height; y++)
                    memset(src.plane[p].data + (size_t)y * src.plane[p].stride +
                               src.plane[p].width,
                           (int)(y * 7 + s), src.plane[p].stride - (size_t)src.plane[p].width);
            assert_ok(rq_jpeg_encode(&src, &o, &again, &f->err), &f->err);
            assert_int_equal(again.size, f->file.size);
            assert_memory_equal(again.data, f->file.data, again.size);
            assert_ok(codec_decode(f, true), &f->err);
            assert_int_equal(f->img.pixels, src.pixels);
            assert_int_equal(f->img.sub_x, src.sub_x);
            assert_int_equal(f->img.sub_y, src.sub_y);
            for (int p = 0; p < (gray ? 1 : 3); p++)
                for (int y = 0; y < src.plane[p].height; y++)
                    for (int x = 0; x < src.plane[p].width; x++)
                        assert_in_range(
                            3 +
                                f->img.plane[p]
                                    .data[(size_t)y * f->img.plane[p].stride + (size_t)x] -
                                src.plane[p].data[(size_t)y * src.plane[p].stride + (size_t)x],
                            0, 6);
        }
    rq_image_free(&src);
    rq_buf_free(&again);
}

static void rgb_becomes_jpeg(void **state)
{
    codec_fixture *f = *state;
    rq_image src = {0};
    make_image(&src, RQ_PIXELS_RGB, 41, 29, 1, 1);
    for (int sub = 1; sub <= 2; sub++) {
        const rq_jpeg_opts o = {.quality = 80, .sub_x = sub, .sub_y = sub};
        assert_ok(rq_jpeg_encode(&src, &o, &f->file, &f->err), &f->err);
        assert_ok(codec_decode(f, true), &f->err);
        assert_int_equal(f->img.sub_x, sub);
        assert_int_equal(f->img.sub_y, sub);
        assert_int_equal(f->img.width, 41);
    }
    const rq_jpeg_opts o = {.quality = 80, .sub_x = 4, .sub_y = 4};
    assert_int_equal(rq_jpeg_encode(&src, &o, &f->file, &f->err), RQ_INTERNAL);
    assert_non_null(strstr(f->err.text, "41 x 29"));
    rq_image_free(&src);
}

static void memory_runs_out_cleanly(void **state)
{
    rq_image src = {0};
    make_image(&src, RQ_PIXELS_YCBCR, 64, 64, 2, 2);
    for (long n = 1;; n++) {
        rq_resizer r = {0};
        rq_image dst = {0};
        rq_err err = {0};
        rq_mem_fail_nth(n);
        const rq_status st = rq_image_resize(&r, &src, 20, 30, 1, 1, &dst, &err);
        rq_mem_fail_nth(0);
        rq_resizer_free(&r);
        rq_image_free(&dst);
        if (st == RQ_OK) {
            assert_true(n > 8);
            break;
        }
        assert_int_equal(st, RQ_OOM);
    }
    rq_image_free(&src);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(planes_are_filtered_as_defined),
        cmocka_unit_test(flat_stays_flat),
        cmocka_unit_test(the_same_size_is_a_copy),
        cmocka_unit_test(sizes_fit),
        cmocka_unit_test_setup_teardown(planes_become_jpeg, codec_setup, codec_teardown),
        cmocka_unit_test_setup_teardown(rgb_becomes_jpeg, codec_setup, codec_teardown),
        cmocka_unit_test(memory_runs_out_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
