// SPDX-License-Identifier: Apache-2.0
//
// The canvas: clipping, frames, letters, scaled copies, the mask overlay; and the JPEG writer
// and the demo's scenes, against the decoder and against themselves.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ingest/codec.h"
#include "ingest/jpeg_encode.h"
#include "tools/demo_scene.h"
#include "tools/picture.h"

static rq_color at(const rq_picture *p, int x, int y)
{
    const uint8_t *c = p->rgb + ((size_t)y * (size_t)p->width + (size_t)x) * 3;
    return (rq_color)c[0] << 16 | (rq_color)c[1] << 8 | c[2];
}

static int count(const rq_picture *p, rq_color color)
{
    int n = 0;
    for (int y = 0; y < p->height; y++)
        for (int x = 0; x < p->width; x++)
            n += at(p, x, y) == color;
    return n;
}

static void test_create(void **state)
{
    (void)state;
    rq_picture p;
    rq_err err = {0};
    assert_int_equal(rq_picture_create(&p, 0, 5, 0, &err), RQ_LIMIT);
    assert_null(p.rgb);
    assert_int_equal(rq_picture_create(&p, 1 << 20, 1 << 20, 0, NULL), RQ_LIMIT);
    assert_int_equal(rq_picture_create(&p, 7, 5, 0x123456, NULL), RQ_OK);
    assert_int_equal(count(&p, 0x123456), 35);
    rq_picture_free(&p);
    rq_picture_free(&p);
    rq_mem_fail_nth(1);
    assert_int_equal(rq_picture_create(&p, 7, 5, 0, NULL), RQ_OOM);
    rq_mem_fail_nth(0);
}

/* Boxes that hang over every side, and boxes wholly outside. */
static void test_fill_clips(void **state)
{
    (void)state;
    static const struct {
        int x, y, w, h, pixels;
    } rows[] = {{2, 1, 3, 2, 6},    {-2, -2, 4, 4, 4},       {8, 6, 10, 10, 4},
                {-5, 3, 30, 1, 10}, {-100, -100, 50, 50, 0}, {10, 0, 5, 5, 0},
                {0, 0, 0, 5, 0},    {3, 3, -2, 2, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        rq_picture p;
        assert_int_equal(rq_picture_create(&p, 10, 8, 0, NULL), RQ_OK);
        rq_picture_fill(&p, rows[i].x, rows[i].y, rows[i].w, rows[i].h, 0xFF8000);
        assert_int_equal(count(&p, 0xFF8000), rows[i].pixels);
        assert_int_equal(count(&p, 0), 80 - rows[i].pixels);
        rq_picture_free(&p);
    }
}

static void test_frame(void **state)
{
    (void)state;
    rq_picture p;
    assert_int_equal(rq_picture_create(&p, 20, 20, 0, NULL), RQ_OK);
    rq_picture_frame(&p, 2, 3, 10, 8, 2, 0xFFFFFF);
    assert_int_equal(count(&p, 0xFFFFFF), 10 * 8 - 6 * 4);
    assert_int_equal(at(&p, 2, 3), 0xFFFFFF);
    assert_int_equal(at(&p, 11, 10), 0xFFFFFF);
    assert_int_equal(at(&p, 12, 10), 0);
    assert_int_equal(at(&p, 4, 5), 0);
    /* Thinner than its border: a filled box, nothing outside of it. */
    rq_picture_fill(&p, 0, 0, 20, 20, 0);
    rq_picture_frame(&p, 5, 5, 3, 2, 4, 0xFFFFFF);
    assert_int_equal(count(&p, 0xFFFFFF), 6);
    rq_picture_free(&p);
}

static void test_text(void **state)
{
    (void)state;
    static const char *const letter_l[7] = {"#....", "#....", "#....", "#....",
                                            "#....", "#....", "#####"};
    for (int scale = 1; scale <= 3; scale++) {
        rq_picture p;
        assert_int_equal(rq_picture_create(&p, 20, 25, 0, NULL), RQ_OK);
        rq_picture_text(&p, 1, 2, scale, 0xFFFFFF, "L");
        for (int y = 0; y < 7 * scale; y++)
            for (int x = 0; x < 5 * scale; x++)
                assert_int_equal(at(&p, 1 + x, 2 + y) != 0,
                                 letter_l[y / scale][x / scale] == '#');
        assert_int_equal(count(&p, 0xFFFFFF), 11 * scale * scale);
        rq_picture_free(&p);
    }
    assert_int_equal(rq_picture_text_width("", 2), 0);
    assert_int_equal(rq_picture_text_width("L1", 1), 11);
    assert_int_equal(rq_picture_text_width("L1", 2), 22);
    /* One letter per character, whatever its bytes. */
    assert_int_equal(rq_picture_text_width("\xC3\xA9", 1), 5);
}

/* Every letter differs from every other one and none touches the gap to the next. */
static void test_font(void **state)
{
    (void)state;
    rq_picture p[95];
    for (int c = 0; c < 95; c++) {
        const char text[2] = {(char)(c + 32), '\0'};
        assert_int_equal(rq_picture_create(&p[c], RQ_GLYPH_WIDTH, RQ_GLYPH_HEIGHT, 0, NULL),
                         RQ_OK);
        rq_picture_text(&p[c], 0, 0, 1, 0xFFFFFF, text);
        for (int y = 0; y < RQ_GLYPH_HEIGHT; y++)
            assert_int_equal(at(&p[c], RQ_GLYPH_WIDTH - 1, y), 0);
        for (int o = 0; o < c; o++)
            assert_true(memcmp(p[c].rgb, p[o].rgb, RQ_GLYPH_WIDTH * RQ_GLYPH_HEIGHT * 3) != 0);
    }
    for (int c = 0; c < 95; c++)
        rq_picture_free(&p[c]);
}

static void test_blit(void **state)
{
    (void)state;
    const uint8_t two[2 * 2 * 3] = {0, 0, 0, 100, 0, 0, 0, 40, 0, 200, 80, 255};
    rq_picture p;
    assert_int_equal(rq_picture_create(&p, 8, 8, 0xABCDEF, NULL), RQ_OK);
    rq_picture_blit(&p, 1, 1, 1, 1, two, 2, 2);
    assert_int_equal(at(&p, 1, 1), 75 << 16 | 30 << 8 | 64);
    rq_picture_blit(&p, 2, 2, 4, 4, two, 2, 2);
    assert_int_equal(at(&p, 2, 2), 0);
    assert_int_equal(at(&p, 4, 3), 100 << 16);
    assert_int_equal(at(&p, 5, 5), 200 << 16 | 80 << 8 | 255);
    assert_int_equal(at(&p, 6, 6), 0xABCDEF);
    /* Over every edge. */
    rq_picture_blit(&p, -3, -3, 20, 20, two, 2, 2);
    rq_picture_blit(&p, 100, 100, 4, 4, two, 2, 2);
    rq_picture_free(&p);
}

static void test_overlay(void **state)
{
    (void)state;
    rq_picture p;
    const uint8_t mask[4] = {0, 255, 0, 255};
    assert_int_equal(rq_picture_create(&p, 8, 4, 0xC86432, NULL), RQ_OK);
    rq_picture_overlay_mask(p.rgb, 8, 4, mask, 2, 2, 2, 0x00FF00);
    assert_int_equal(at(&p, 6, 2), 0xC86432); /* inside: as it was */
    assert_int_equal(at(&p, 4, 2), 0x00FF00); /* the border */
    const rq_color out = at(&p, 1, 2);        /* outside: grey and darker */
    assert_int_equal(out >> 16, out & 255);
    assert_true((out & 255) < 0x64);
    rq_picture_free(&p);
}

/* ---- what the demo is made of ----------------------------------------------------------- */

static void test_jpeg_write(void **state)
{
    (void)state;
    enum { W = 37, H = 21 };
    uint8_t pixels[W * H * 4];
    for (int i = 0; i < W * H * 4; i++)
        pixels[i] = (uint8_t)(120 + i % 7);
    const rq_limits limits = rq_limits_default();
    static const int channels[] = {1, 3, 4};
    for (int c = 0; c < 3; c++) {
        rq_buf jpeg = {0};
        rq_image_info info;
        rq_image image = {0};
        rq_decoder *decoder = NULL;
        rq_err err = {0};
        assert_int_equal(rq_jpeg_write(pixels, W, H, channels[c], 90, &jpeg, &err), RQ_OK);
        assert_int_equal(rq_decoder_create(&decoder, &limits, &err), RQ_OK);
        assert_int_equal(rq_decode(decoder, jpeg.data, jpeg.size, true, &image, &info, &err),
                         RQ_OK);
        assert_int_equal(info.width, W);
        assert_int_equal(info.height, H);
        assert_int_equal(info.components, channels[c]);
        assert_int_equal((info.notes & RQ_NOTE_CMYK) != 0, channels[c] == 4);
        rq_image_free(&image);
        rq_decoder_destroy(&decoder);
        rq_buf_free(&jpeg);
    }
    rq_buf jpeg = {0};
    rq_err err = {0};
    assert_int_equal(rq_jpeg_write(pixels, 70000, 1, 1, 90, &jpeg, &err), RQ_INTERNAL);
    assert_non_null(strstr(err.text, "70000"));
    rq_buf_free(&jpeg);
}

/* The same arguments give the same picture, each argument matters, the mask covers a sensible
 * part, and changing pixels outside of it is all that the background does. */
static void test_scenes(void **state)
{
    (void)state;
    enum { S = 48, BYTES = S * S * 3 };
    uint8_t *a = malloc(BYTES), *b = malloc(BYTES), ma[S * S], mb[S * S];
    for (int label = 0; label < RQ_SCENE_CLASSES; label++) {
        rq_scene_paint(a, ma, S, 7, 0, 5, label);
        rq_scene_paint(b, mb, S, 7, 0, 5, label);
        assert_memory_equal(a, b, BYTES);
        assert_memory_equal(ma, mb, sizeof ma);
        int covered = 0, soft = 0;
        for (int i = 0; i < S * S; i++) {
            covered += ma[i] > 127;
            soft += ma[i] > 0 && ma[i] < 255;
        }
        assert_in_range(covered, S * S / 40, S * S * 3 / 5);
        assert_in_range(soft, 10, S * S / 4);
        rq_scene_paint(b, mb, S, 8, 0, 5, label);
        assert_true(memcmp(a, b, BYTES) != 0);
        rq_scene_paint(b, mb, S, 7, 1, 5, label);
        assert_true(memcmp(a, b, BYTES) != 0);
        rq_scene_paint(b, mb, S, 7, 0, 6, label);
        assert_true(memcmp(a, b, BYTES) != 0);
        /* Another class in the same scene: the same background, another object. */
        rq_scene_paint(b, mb, S, 7, 0, 5, (label + 1) % RQ_SCENE_CLASSES);
        assert_true(memcmp(ma, mb, sizeof ma) != 0);
        for (int i = 0; i < S * S; i++)
            if (ma[i] == 0 && mb[i] == 0)
                assert_true(abs(a[i * 3] - b[i * 3]) <= 1);
        if (label > 0)
            assert_true(strcmp(rq_scene_class_name(label - 1), rq_scene_class_name(label)) < 0);
    }
    free(a);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create),  cmocka_unit_test(test_fill_clips),
        cmocka_unit_test(test_frame),   cmocka_unit_test(test_text),
        cmocka_unit_test(test_font),    cmocka_unit_test(test_blit),
        cmocka_unit_test(test_overlay), cmocka_unit_test(test_jpeg_write),
        cmocka_unit_test(test_scenes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
