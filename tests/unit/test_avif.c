// SPDX-License-Identifier: Apache-2.0
// AVIF, written here by libavif without loss so that every sample is known; without libavif,
// the sentence that says so.
#include "ingest_fixture.h"

#ifndef RQ_HAVE_AVIF

static void the_build_without_avif_says_so(void **state)
{
    codec_fixture *f = *state;
    assert_status(rq_buf_append(&f->file,
                                "\0\0\0\x18"
                                "ftypavif\0\0\0\0avifmif1",
                                24, NULL),
                  RQ_OK);
    assert_status(codec_decode(f, true), RQ_UNSUPPORTED);
    assert_non_null(strstr(f->err.text, "libavif"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(
        the_build_without_avif_says_so, codec_setup, codec_teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

#include <avif/avif.h>

typedef struct avif_spec {
    int width, height, depth, frames;
    bool mono, alpha;
    int irot, imir; /* -1: none */
} avif_spec;

/* 4:4:4 with the identity matrix at quantizer 0: what goes in comes out. Mono: full range. */
static avifImage *avif_picture(const avif_spec *spec, const uint8_t *rgb)
{
    const avifPixelFormat format =
        spec->mono ? AVIF_PIXEL_FORMAT_YUV400 : AVIF_PIXEL_FORMAT_YUV444;
    avifImage *image = avifImageCreate((uint32_t)spec->width, (uint32_t)spec->height,
                                       (uint32_t)spec->depth, format);
    assert_non_null(image);
    image->yuvRange = AVIF_RANGE_FULL;
    image->matrixCoefficients =
        spec->mono ? AVIF_MATRIX_COEFFICIENTS_BT601 : AVIF_MATRIX_COEFFICIENTS_IDENTITY;
    avifImageAllocatePlanes(image, spec->alpha ? AVIF_PLANES_ALL : AVIF_PLANES_YUV);
    static const int channel_of_plane[3] = {1, 2, 0}; /* identity: Y is G, U is B, V is R */
    for (int p = 0; p < (spec->mono ? 1 : 3); p++) {
        for (int y = 0; y < spec->height; y++) {
            uint8_t *row = image->yuvPlanes[p] + (size_t)y * image->yuvRowBytes[p];
            for (int x = 0; x < spec->width; x++) {
                const uint8_t v =
                    rgb[(y * spec->width + x) * 3 + (spec->mono ? 0 : channel_of_plane[p])];
                if (spec->depth == 8)
                    row[x] = v;
                else
                    ((uint16_t *)(void *)row)[x] =
                        (uint16_t)((v * ((1 << spec->depth) - 1) + 127) / 255);
            }
        }
    }
    if (spec->alpha) {
        for (int y = 0; y < spec->height; y++)
            memset(image->alphaPlane + (size_t)y * image->alphaRowBytes, 100,
                   (size_t)spec->width);
    }
    if (spec->irot >= 0) {
        image->transformFlags |= AVIF_TRANSFORM_IROT;
        image->irot.angle = (uint8_t)spec->irot;
    }
    if (spec->imir >= 0) {
        image->transformFlags |= AVIF_TRANSFORM_IMIR;
        image->imir.mode = (uint8_t)spec->imir;
    }
    return image;
}

static void fixture_avif(rq_buf *dst, const avif_spec *spec, const uint8_t *rgb)
{
    avifRWData out = AVIF_DATA_EMPTY;
    avifEncoder *e = avifEncoderCreate();
    avifImage *image = avif_picture(spec, rgb);
    e->speed = AVIF_SPEED_FASTEST;
    e->minQuantizer = e->maxQuantizer = AVIF_QUANTIZER_LOSSLESS;
    e->minQuantizerAlpha = e->maxQuantizerAlpha = AVIF_QUANTIZER_LOSSLESS;
    for (int i = 0; i < (spec->frames > 0 ? spec->frames : 1); i++)
        assert_int_equal(avifEncoderAddImage(e, image, 1,
                                             spec->frames > 1 ? AVIF_ADD_IMAGE_FLAG_NONE
                                                              : AVIF_ADD_IMAGE_FLAG_SINGLE),
                         AVIF_RESULT_OK);
    assert_int_equal(avifEncoderFinish(e, &out), AVIF_RESULT_OK);
    dst->size = 0;
    assert_status(rq_buf_append(dst, out.data, out.size, NULL), RQ_OK);
    avifRWDataFree(&out);
    avifImageDestroy(image);
    avifEncoderDestroy(e);
}

static void check_avif(codec_fixture *f, avif_spec spec, unsigned notes, int orientation)
{
    spec.width = 40;
    spec.height = 30;
    uint8_t *rgb = fixture_pixels(40, 30, 3);
    fixture_avif(&f->file, &spec, rgb);
    assert_ok(codec_decode(f, true), &f->err);
    assert_int_equal(f->info.codec, RQ_CODEC_AVIF);
    assert_int_equal(f->info.bit_depth, spec.depth);
    assert_int_equal(f->info.notes, notes);
    assert_int_equal(f->info.orientation, orientation);
    assert_int_equal(f->img.pixels, spec.mono ? RQ_PIXELS_GRAY : RQ_PIXELS_RGB);
    for (int i = 0; spec.mono && i < 40 * 30; i++)
        rgb[i * 3 + 1] = rgb[i * 3 + 2] = rgb[i * 3];
    assert_planes(&f->img, rgb, 3);
    free(rgb);
}

static void kinds_are_read_without_loss(void **state)
{
    const avif_spec plain = {.depth = 8, .irot = -1, .imir = -1};
    avif_spec s = plain;
    check_avif(*state, s, 0, 1);
    s.mono = true;
    check_avif(*state, s, RQ_NOTE_GRAY, 1);
    s = plain;
    s.depth = 10;
    check_avif(*state, s, RQ_NOTE_DEPTH, 1);
    s = plain;
    s.alpha = true;
    check_avif(*state, s, RQ_NOTE_ALPHA, 1);
    s = plain;
    s.frames = 3;
    check_avif(*state, s, RQ_NOTE_SEQUENCE, 1);
}

/* irot turns anticlockwise; EXIF 6 asks for a clockwise quarter turn, 8 for the other. imir 0
 * exchanges top and bottom, which is EXIF 4; imir 1 left and right, EXIF 2. */
static void rotation_is_reported_as_orientation(void **state)
{
    static const struct {
        int irot, imir, orientation;
    } cases[] = {{1, -1, 8}, {2, -1, 3}, {3, -1, 6}, {-1, 0, 4}, {-1, 1, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_avif(*state,
                   (avif_spec){.depth = 8, .irot = cases[i].irot, .imir = cases[i].imir},
                   RQ_NOTE_ORIENTATION, cases[i].orientation);
}

static void damage_and_limits(void **state)
{
    codec_fixture *f = *state;
    uint8_t *rgb = fixture_pixels(40, 30, 3);
    fixture_avif(&f->file,
                 &(avif_spec){.width = 40, .height = 30, .depth = 8, .irot = -1, .imir = -1},
                 rgb);
    free(rgb);
    for (size_t n = 0; n < f->file.size; n += 97)
        assert_int_not_equal(decode_prefix(f, n, false), RQ_OK);
    for (size_t i = 0; i < f->file.size && i < 400; i++) {
        f->file.data[i] ^= 0xFF;
        (void)decode_prefix(f, f->file.size, false);
        f->file.data[i] ^= 0xFF;
    }
    rq_limits tight = f->limits;
    tight.max_pixels = 40 * 30 - 1;
    rq_err_clear(&f->err);
    assert_status(rq_probe(f->file.data, f->file.size, &tight, &f->info, &f->err), RQ_LIMIT);
    tight.max_pixels = 40 * 30;
    rq_err_clear(&f->err);
    assert_ok(rq_probe(f->file.data, f->file.size, &tight, &f->info, &f->err), &f->err);
    tight.max_memory_bytes = 1000;
    assert_status(rq_probe(f->file.data, f->file.size, &tight, &f->info, &f->err), RQ_LIMIT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, codec_setup, codec_teardown)
    const struct CMUnitTest tests[] = {
        TEST(kinds_are_read_without_loss),
        TEST(rotation_is_reported_as_orientation),
        TEST(damage_and_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
