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
#include <fcntl.h>

typedef struct avif_spec {
    int width, height, depth, frames;
    bool mono, alpha, crop;
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
    if (spec->crop) {
        image->transformFlags |= AVIF_TRANSFORM_CLAP;
        image->clap = (avifCleanApertureBox){20, 1, 10, 1, 0, 1, 0, 1};
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
    s.depth = 12;
    check_avif(*state, s, RQ_NOTE_DEPTH, 1);
    s.mono = true;
    check_avif(*state, s, RQ_NOTE_DEPTH | RQ_NOTE_GRAY, 1);
    s = plain;
    s.alpha = true;
    check_avif(*state, s, RQ_NOTE_ALPHA, 1);
    s = plain;
    s.frames = 3;
    check_avif(*state, s, RQ_NOTE_SEQUENCE, 1);
    s = plain;
    s.crop = true; /* the whole picture is read, and the crop noted */
    check_avif(*state, s, RQ_NOTE_CROP, 1);
}

/* What an orientation does to a corner, from its definition in EXIF: the corner of the stored
 * picture that stands at the upper left of the upright one, as (right, bottom), and the one
 * beside it to the right. */
typedef struct corners {
    int left_x, left_y, right_x, right_y;
} corners;

static corners upright_by_exif(int orientation)
{
    static const corners at[9] = {{0},          {0, 0, 1, 0}, {1, 0, 0, 0},
                                  {1, 1, 0, 1}, {0, 1, 1, 1}, {0, 0, 0, 1},
                                  {0, 1, 0, 0}, {1, 1, 1, 0}, {1, 0, 1, 1}};
    return at[orientation];
}

/* The same from AVIF's definition: turned anticlockwise by quarters, then mirrored. */
static corners upright_by_avif(int irot, int imir)
{
    int x[2] = {0, 1}, y[2] = {0, 0}; /* of the upright picture, traced back */
    for (int i = 0; i < 2; i++) {
        if (imir == 1) /* left and right change places */
            x[i] = 1 - x[i];
        if (imir == 0)
            y[i] = 1 - y[i];
        for (int k = 0; k < irot; k++) { /* undone clockwise: what is at the right was on top */
            const int old = x[i];
            x[i] = 1 - y[i];
            y[i] = old;
        }
    }
    return (corners){x[0], y[0], x[1], y[1]};
}

static void rotation_and_mirror_are_reported_as_orientation(void **state)
{
    codec_fixture *f = *state;
    unsigned met = 0;
    for (int irot = -1; irot < 4; irot++) {
        for (int imir = -1; imir < 2; imir++) {
            const corners want = upright_by_avif(irot < 0 ? 0 : irot, imir);
            int orientation = 1;
            while (orientation <= 8) {
                const corners c = upright_by_exif(orientation);
                if (memcmp(&c, &want, sizeof c) == 0)
                    break;
                orientation++;
            }
            assert_in_range(orientation, 1, 8);
            met |= 1u << orientation;
            check_avif(f, (avif_spec){.depth = 8, .irot = irot, .imir = imir},
                       orientation == 1 ? 0 : RQ_NOTE_ORIENTATION, orientation);
        }
    }
    assert_int_equal(met, 0x1FE); /* all eight */
}

/* Four cells of 64 x 64. */
static void a_grid_is_one_picture(void **state)
{
    codec_fixture *f = *state;
    uint8_t *rgb = fixture_pixels(128, 128, 3), *cell = malloc(64 * 64 * 3);
    avifImage *cells[4];
    avifRWData out = AVIF_DATA_EMPTY;
    avifEncoder *e = avifEncoderCreate();
    assert_non_null(cell);
    for (int i = 0; i < 4; i++) {
        for (int y = 0; y < 64; y++)
            memcpy(cell + y * 64 * 3, rgb + ((y + i / 2 * 64) * 128 + i % 2 * 64) * 3, 64 * 3);
        cells[i] = avif_picture(
            &(avif_spec){.width = 64, .height = 64, .depth = 8, .irot = -1, .imir = -1}, cell);
    }
    e->speed = AVIF_SPEED_FASTEST;
    e->minQuantizer = e->maxQuantizer = AVIF_QUANTIZER_LOSSLESS;
    assert_int_equal(avifEncoderAddImageGrid(e, 2, 2, (const avifImage *const *)cells,
                                             AVIF_ADD_IMAGE_FLAG_SINGLE),
                     AVIF_RESULT_OK);
    assert_int_equal(avifEncoderFinish(e, &out), AVIF_RESULT_OK);
    f->file.size = 0;
    assert_status(rq_buf_append(&f->file, out.data, out.size, NULL), RQ_OK);
    assert_ok(codec_decode(f, true), &f->err);
    assert_int_equal(f->info.width, 128);
    assert_int_equal(f->info.notes, 0);
    assert_planes(&f->img, rgb, 3);
    avifRWDataFree(&out);
    avifEncoderDestroy(e);
    for (int i = 0; i < 4; i++)
        avifImageDestroy(cells[i]);
    free(cell);
    free(rgb);
}

/* Whoever vouches for the bytes gets another decoder and the same samples. */
static void trusted_bytes_give_the_same_picture(void **state)
{
    codec_fixture *f = *state;
    rq_decoder *d;
    rq_limits limits = f->limits;
    uint8_t *rgb = fixture_pixels(40, 30, 3);
    fixture_avif(&f->file,
                 &(avif_spec){.width = 40, .height = 30, .depth = 10, .irot = -1, .imir = -1},
                 rgb);
    limits.trusted = true;
    assert_ok(rq_decoder_create(&d, &limits, &f->err), &f->err);
    assert_ok(rq_decode(d, f->file.data, f->file.size, true, &f->img, &f->info, &f->err),
              &f->err);
    assert_planes(&f->img, rgb, 3);
    rq_decoder_destroy(&d);
    free(rgb);
}

/* No line on stderr, however damaged the data: libraries do not print. */
static void damage_is_silent(void **state)
{
    codec_fixture *f = *state;
    char path[] = "/tmp/rq-test-XXXXXX";
    uint8_t *rgb = fixture_pixels(40, 30, 3);
    const int file = mkstemp(path), old = dup(2);
    assert_true(file >= 0 && old >= 0);
    unlink(path);
    fixture_avif(&f->file,
                 &(avif_spec){.width = 40, .height = 30, .depth = 8, .irot = -1, .imir = -1},
                 rgb);
    free(rgb);
    const bool quiet = avifCodecName(AVIF_CODEC_CHOICE_AOM, AVIF_CODEC_FLAG_CAN_DECODE) != NULL;
    fflush(stderr);
    assert_true(dup2(file, 2) == 2);
    int failed = 0;
    for (size_t i = f->file.size / 8; i < f->file.size; i += 5) {
        f->file.data[i] ^= 0x5A;
        failed += codec_decode(f, false) != RQ_OK;
        f->file.data[i] ^= 0x5A;
    }
    fflush(stderr);
    assert_true(dup2(old, 2) == 2);
    const off_t written = lseek(file, 0, SEEK_END);
    close(file);
    close(old);
    assert_true(failed > 10);
    if (quiet)
        assert_int_equal(written, 0);
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
        TEST(rotation_and_mirror_are_reported_as_orientation),
        TEST(a_grid_is_one_picture),
        TEST(trusted_bytes_give_the_same_picture),
        TEST(damage_is_silent),
        TEST(damage_and_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
