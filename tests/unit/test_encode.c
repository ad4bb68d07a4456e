// SPDX-License-Identifier: Apache-2.0
// Records to samples and back, in every encoding: what is kept exactly is exact, what is made
// anew is what its options say, fallbacks are counted with a reason, pictures stand upright
// when asked, and masks lie on their pictures.
#include "ingest_fixture.h"

#include "augment/view.h"
#include "common/cpu.h"
#include "ingest/avif_encode.h"
#include "ingest/jpeg_encode.h"
#include "ingest/orient.h"
#include "ingest/resize.h"
#include "pack/decode.h"
#include "pack/encode.h"

#include <stdlib.h>
#include <unistd.h>

static const rq_encoding all[] = {RQ_ENCODING_JPEG, RQ_ENCODING_DCT, RQ_ENCODING_AVIF,
                                  RQ_ENCODING_PPM, RQ_ENCODING_RAW};
enum { N_ALL = 5 };

typedef struct scene {
    rq_limits limits;
    rq_encode_opts opts;
    rq_decoder *decoder;
    rq_sample_decoder *samples;
    rq_masks *masks;
    char dir[64]; // of masks
    rq_encoded out;
    rq_frame_coder coder;
    rq_members members;
    rq_image source, got, want, spare;
    rq_buf file;
    rq_err err;
} scene;

static int setup(void **state)
{
    scene *s = calloc(1, sizeof *s);
    *state = s;
    s->limits = rq_limits_default();
    rq_encode_opts_default(&s->opts);
    strcpy(s->dir, "/tmp/rq-encode-XXXXXX");
    return mkdtemp(s->dir) && rq_decoder_create(&s->decoder, &s->limits, NULL) == RQ_OK &&
                   rq_sample_decoder_create(&s->samples, rq_cpu_detect(), &s->limits, NULL) ==
                       RQ_OK
               ? 0
               : -1;
}

static int teardown(void **state)
{
    scene *s = *state;
    char path[128];
    snprintf(path, sizeof path, "%s/x.pgm", s->dir);
    unlink(path);
    rmdir(s->dir);
    rq_masks_close(&s->masks);
    rq_decoder_destroy(&s->decoder);
    rq_sample_decoder_destroy(&s->samples);
    rq_encoded_fini(&s->out);
    rq_frame_coder_fini(&s->coder);
    rq_image *images[] = {&s->source, &s->got, &s->want, &s->spare};
    for (int i = 0; i < 4; i++)
        rq_image_free(images[i]);
    rq_buf_free(&s->file);
    free(s);
    return 0;
}

/* ---- helpers ----------------------------------------------------------------------------- */

static rq_status encode(scene *s, const char *name)
{
    rq_encoder *e = NULL;
    rq_err_clear(&s->err);
    assert_ok(rq_encode_opts_check(&s->opts, &s->err), &s->err);
    rq_status st = rq_encoder_create(&e, &s->opts, &s->limits, s->masks, &s->err);
    if (st == RQ_OK) {
        const rq_record rec = {
            .entry = {.id = 7, .name = name, .label = -1, .bytes = s->file.size},
            .data = s->file.data,
            .size = s->file.size};
        st = rq_encode_record(e, &rec, false, &s->out, &s->err);
    }
    rq_encoder_destroy(&e);
    return st;
}

/* Encodes s->file; the sample's planes are in s->got, those of the file in s->source. */
static void through(scene *s, rq_encoding encoding, const char *name)
{
    s->opts.encoding = encoding;
    assert_ok(encode(s, name), &s->err);
    if (s->out.verdict.kind == RQ_VERDICT_REJECTED)
        fail_msg("%s: %s", rq_encoding_name(encoding), s->out.verdict.reason);
    assert_ok(
        rq_frame_decode(&s->coder, s->out.frame.data, &s->out.entry, &s->members, &s->err),
        &s->err);
    const rq_stored_image stored =
        rq_stored_image_of(&s->out.entry, s->members.image, s->members.image_bytes);
    assert_ok(rq_sample_decode(s->samples, &stored, &s->got, &s->err), &s->err);
    assert_ok(
        rq_decode(s->decoder, s->file.data, s->file.size, false, &s->source, NULL, &s->err),
        &s->err);
}

/* Largest difference; pictures of other kinds or sizes fail. */
static int difference(const rq_image *a, const rq_image *b)
{
    int most = 0;
    assert_int_equal(a->pixels, b->pixels);
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->height, b->height);
    assert_int_equal(a->sub_x, b->sub_x);
    assert_int_equal(a->sub_y, b->sub_y);
    for (int i = 0; i < rq_pixels_planes(a->pixels); i++)
        for (int y = 0; y < a->plane[i].height; y++)
            for (int x = 0; x < a->plane[i].width; x++) {
                const int d = a->plane[i].data[(size_t)y * a->plane[i].stride + (size_t)x] -
                              b->plane[i].data[(size_t)y * b->plane[i].stride + (size_t)x];
                most = abs(d) > most ? abs(d) : most;
            }
    return most;
}

static double mean_difference(const rq_image *a, const rq_image *b)
{
    double sum = 0;
    assert_int_equal(a->pixels, b->pixels);
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->height, b->height);
    for (int y = 0; y < a->height; y++)
        for (int x = 0; x < a->width; x++)
            sum += abs(a->plane[0].data[(size_t)y * a->plane[0].stride + (size_t)x] -
                       b->plane[0].data[(size_t)y * b->plane[0].stride + (size_t)x]);
    return sum / a->width / a->height;
}

/* A smooth picture with an arrow in it, so that no two orientations look alike. */
static void draw(rq_image *img, rq_pixels pixels, int w, int h, int sub)
{
    assert_int_equal(rq_image_shape(img, pixels, w, h, sub, sub, 1, NULL), RQ_OK);
    for (int i = 0; i < rq_pixels_planes(pixels); i++)
        for (int y = 0; y < img->plane[i].height; y++)
            for (int x = 0; x < img->plane[i].width; x++) {
                const int at = x * 180 / img->plane[i].width, down = y * 60 / h;
                img->plane[i].data[(size_t)y * img->plane[i].stride + (size_t)x] =
                    (uint8_t)(pixels == RQ_PIXELS_YCBCR && i ? 90 + at / 3 + down
                                                             : 10 + at + down + i * 3);
            }
}

enum { W = 96, H = 64 };

static void draw_jpeg(scene *s, int w, int h, int sub, int orientation)
{
    const rq_jpeg_opts o = {.quality = 95, .sub_x = sub, .sub_y = sub};
    draw(&s->spare, RQ_PIXELS_YCBCR, w, h, sub);
    assert_ok(rq_jpeg_encode(&s->spare, &o, &s->file, &s->err), &s->err);
    assert_ok(rq_exif_insert_orientation(&s->file, orientation, &s->err), &s->err);
}

static void draw_png(scene *s, int w, int h)
{
    uint8_t *rgb = fixture_pixels(w, h, 3);
    assert_ok(rq_png_encode(rgb, w, h, 3, &s->file, &s->err), &s->err);
    free(rgb);
}

static void draw_avif(scene *s, int w, int h)
{
    const rq_avif_opts o = {.quality = 80, .speed = 10};
    draw(&s->spare, RQ_PIXELS_YCBCR, w, h, 2);
    assert_ok(rq_avif_encode(&s->spare, &o, &s->file, &s->err), &s->err);
}

static bool have_avif(void)
{
    return rq_avif_can_encode(NULL) == RQ_OK;
}

/* ---- exactly ----------------------------------------------------------------------------- */

static void jpegs_are_kept(void **state)
{
    scene *s = *state;
    for (int sub = 1; sub <= 2; sub++) {
        draw_jpeg(s, W + 3, H + 1, sub, 1);
        through(s, RQ_ENCODING_JPEG, "x.jpg");
        assert_int_equal(s->out.entry.encoding, RQ_ENCODING_JPEG);
        assert_int_equal(s->members.image_bytes, s->file.size);
        assert_memory_equal(s->members.image, s->file.data, s->file.size);
        assert_int_equal(difference(&s->got, &s->source), 0);

        through(s, RQ_ENCODING_DCT, "x.jpg");
        assert_int_equal(s->out.entry.encoding, RQ_ENCODING_DCT);
        assert_true(difference(&s->got, &s->source) <= 1);

        through(s, RQ_ENCODING_RAW, "x.jpg");
        assert_int_equal(s->out.entry.encoding, RQ_ENCODING_RAW);
        assert_int_equal(difference(&s->got, &s->source), 0);

        through(s, RQ_ENCODING_PPM, "x.jpg");
        assert_int_equal(s->out.entry.encoding, RQ_ENCODING_PPM);
        assert_ok(rq_decode_rgb(s->decoder, s->file.data, s->file.size, true, &s->want, NULL,
                                &s->err),
                  &s->err);
        assert_int_equal(difference(&s->got, &s->want), 0);
        assert_false(s->out.fallback || s->out.resized || s->out.turned);
        assert_int_equal(s->out.entry.width, W + 3);
    }
}

/* A PNG's pixels stay exact in every encoding that is not asked to encode anew. */
static void png_pixels_are_kept(void **state)
{
    static const rq_encoding kept[] = {RQ_ENCODING_PPM, RQ_ENCODING_RAW, RQ_ENCODING_AVIF,
                                       RQ_ENCODING_PPM, RQ_ENCODING_RAW};
    scene *s = *state;
    draw_png(s, 41, 23);
    for (int i = 0; i < N_ALL; i++) {
        if (all[i] == RQ_ENCODING_AVIF)
            continue;
        through(s, all[i], "x.png");
        assert_int_equal(s->out.entry.encoding, kept[i]);
        assert_int_equal(s->out.fallback, kept[i] != all[i]);
        assert_int_equal(s->out.fallback_reason[0] != 0, s->out.fallback);
        if (s->out.fallback)
            assert_non_null(strstr(s->out.fallback_reason, "PNG"));
        assert_int_equal(difference(&s->got, &s->source), 0);
    }
    s->opts.quality = 85; // with a quality it becomes a JPEG, and its coefficients
    for (int i = 0; i < 2; i++) {
        through(s, all[i], "x.png");
        assert_int_equal(s->out.entry.encoding, all[i]);
        assert_false(s->out.fallback);
        assert_int_equal(s->got.pixels, RQ_PIXELS_YCBCR);
        assert_int_equal(s->got.sub_x, 2);
    }
}

static void avif_is_kept(void **state)
{
    static const rq_encoding kept[] = {RQ_ENCODING_AVIF, RQ_ENCODING_AVIF, RQ_ENCODING_AVIF,
                                       RQ_ENCODING_PPM, RQ_ENCODING_RAW};
    scene *s = *state;
    if (!have_avif())
        skip();
    draw_avif(s, W, H);
    for (int i = 0; i < N_ALL; i++) {
        through(s, all[i], "x.avif");
        assert_int_equal(s->out.entry.encoding, kept[i]);
        assert_int_equal(s->out.fallback, kept[i] != all[i]);
        assert_int_equal(difference(&s->got, &s->source), 0);
        if (kept[i] == RQ_ENCODING_AVIF)
            assert_memory_equal(s->members.image, s->file.data, s->file.size);
    }
}

/* What dct cannot hold stays the JPEG that it is, and is counted. */
static void cmyk_falls_back(void **state)
{
    scene *s = *state;
    const jpeg_spec spec = {.width = 33, .height = 21, .pixels = JCS_CMYK, .coded = JCS_CMYK};
    fixture_jpeg(&s->file, &spec);
    through(s, RQ_ENCODING_DCT, "x.jpg");
    assert_int_equal(s->out.entry.encoding, RQ_ENCODING_JPEG);
    assert_true(s->out.fallback);
    assert_true(s->out.fallback_reason[0] != 0);
    assert_memory_equal(s->members.image, s->file.data, s->file.size);
    assert_int_equal(s->out.verdict.kind, RQ_VERDICT_FIXED);
    s->opts.short_side = 10; // made anew it has three components
    through(s, RQ_ENCODING_DCT, "x.jpg");
    assert_int_equal(s->out.entry.encoding, RQ_ENCODING_DCT);
    assert_false(s->out.fallback);
    assert_int_equal(s->got.height, 10);
}

/* ---- anew -------------------------------------------------------------------------------- */

static void sizes_are_reduced(void **state)
{
    scene *s = *state;
    rq_resizer resizer = {0};
    for (int i = 0; i < N_ALL; i++) {
        if (all[i] == RQ_ENCODING_AVIF && !have_avif())
            continue;
        for (int mode = 0; mode < 2; mode++) {
            rq_encode_opts_default(&s->opts);
            if (mode == 0)
                s->opts.long_side = 48;
            else
                s->opts.short_side = 32;
            draw_jpeg(s, W, H, 1, 1);
            through(s, all[i], "x.jpg");
            assert_int_equal(s->out.entry.encoding, all[i]);
            assert_true(s->out.resized);
            assert_int_equal(s->out.entry.width, 48);
            assert_int_equal(s->out.entry.height, 32);
            const bool planes = all[i] == RQ_ENCODING_JPEG || all[i] == RQ_ENCODING_DCT;
            const int sub = planes ? 2 : 1;
            if (all[i] == RQ_ENCODING_PPM || all[i] == RQ_ENCODING_AVIF)
                assert_ok(rq_decode_rgb(s->decoder, s->file.data, s->file.size, true,
                                        &s->source, NULL, &s->err),
                          &s->err);
            assert_ok(
                rq_image_resize(&resizer, &s->source, 48, 32, sub, sub, &s->want, &s->err),
                &s->err);
            if (all[i] == RQ_ENCODING_PPM || all[i] == RQ_ENCODING_RAW)
                assert_int_equal(difference(&s->got, &s->want), 0);
            else if (mean_difference(&s->got, &s->want) > 2.5)
                fail_msg("%s is off by %g", rq_encoding_name(all[i]),
                         mean_difference(&s->got, &s->want));
        }
    }
    rq_resizer_free(&resizer);
}

/* Pictures that are small enough are left alone, unless a quality asks for all. */
static void small_pictures_are_left_alone(void **state)
{
    scene *s = *state;
    draw_jpeg(s, W, H, 1, 1);
    s->opts.long_side = W;
    through(s, RQ_ENCODING_JPEG, "x.jpg");
    assert_false(s->out.resized);
    assert_int_equal(s->members.image_bytes, s->file.size);
    assert_memory_equal(s->members.image, s->file.data, s->file.size);
    s->opts.quality = 30;
    through(s, RQ_ENCODING_JPEG, "x.jpg");
    assert_false(s->out.resized);
    assert_true(s->members.image_bytes < s->file.size);
    assert_int_equal(s->got.sub_x, 2);
    s->opts.chroma = RQ_CHROMA_KEEP;
    through(s, RQ_ENCODING_JPEG, "x.jpg");
    assert_int_equal(s->got.sub_x, 1);
    draw_jpeg(s, W, H, 2, 1);
    through(s, RQ_ENCODING_JPEG, "x.jpg");
    assert_int_equal(s->got.sub_x, 2);
    s->opts.chroma = RQ_CHROMA_444;
    through(s, RQ_ENCODING_JPEG, "x.jpg");
    assert_int_equal(s->got.sub_x, 1);
    rq_encode_opts_default(&s->opts);
    s->opts.chroma = RQ_CHROMA_420; // of raw planes: asked for, hence done
    draw_jpeg(s, W, H, 1, 1);
    through(s, RQ_ENCODING_RAW, "x.jpg");
    assert_int_equal(s->got.sub_x, 2);
}

static void avif_is_made_from_planes(void **state)
{
    scene *s = *state;
    if (!have_avif())
        skip();
    rq_buf first = {0};
    size_t sizes[2];
    for (int q = 0; q < 2; q++) {
        s->opts.quality = q ? 95 : 50;
        draw_jpeg(s, W, H, 2, 1);
        through(s, RQ_ENCODING_AVIF, "x.jpg");
        assert_int_equal(s->out.entry.encoding, RQ_ENCODING_AVIF);
        assert_false(s->out.fallback);
        assert_ok(rq_decode_rgb(s->decoder, s->file.data, s->file.size, true, &s->want, NULL,
                                &s->err),
                  &s->err);
        // Colours too: a wrong matrix or range is off by much more.
        assert_true(difference(&s->got, &s->want) <= (q ? 12 : 40));
        assert_true(mean_difference(&s->got, &s->want) < (q ? 1.5 : 4));
        sizes[q] = s->members.image_bytes;
        assert_ok(rq_buf_append(&first, s->out.frame.data, s->out.frame.size, NULL), &s->err);
        through(s, RQ_ENCODING_AVIF, "x.jpg"); // the same bytes again
        assert_int_equal(s->out.frame.size, first.size);
        assert_memory_equal(s->out.frame.data, first.data, first.size);
        first.size = 0;
    }
    assert_true(sizes[0] < sizes[1]);
    // Grey, one plane; samplings that AVIF has not; full colour of a PNG.
    const jpeg_spec gray = {
        .width = 30, .height = 20, .pixels = JCS_GRAYSCALE, .coded = JCS_GRAYSCALE};
    fixture_jpeg(&s->file, &gray);
    through(s, RQ_ENCODING_AVIF, "x.jpg");
    assert_int_equal(s->got.pixels, RQ_PIXELS_GRAY);
    const jpeg_spec tall = {
        .width = 30, .height = 20, .pixels = JCS_RGB, .coded = JCS_YCbCr, .h = {1}, .v = {2}};
    fixture_jpeg(&s->file, &tall);
    s->opts.chroma = RQ_CHROMA_KEEP;
    through(s, RQ_ENCODING_AVIF, "x.jpg");
    draw_png(s, 31, 17);
    through(s, RQ_ENCODING_AVIF, "x.png");
    assert_int_equal(s->got.width, 31);
    rq_buf_free(&first);
}

static void qualities_map_to_quantizers(void **state)
{
    int last = 64;
    for (int q = 1; q <= 100; q++) {
        const int z = rq_avif_quantizer(q);
        assert_in_range(z, 0, 63);
        assert_true(z <= last);
        last = z;
    }
    assert_int_equal(rq_avif_quantizer(1), 63);
    assert_int_equal(rq_avif_quantizer(90), 14);
    assert_int_equal(rq_avif_quantizer(100), 0);
}

/* ---- upright ----------------------------------------------------------------------------- */

static void orientation_is_ignored_or_applied(void **state)
{
    scene *s = *state;
    for (int i = 0; i < N_ALL; i++)
        for (int o = 1; o <= 8; o++) {
            if (all[i] == RQ_ENCODING_AVIF && !have_avif())
                continue;
            const bool swap = o >= 5, keeps = all[i] <= RQ_ENCODING_DCT;
            draw_jpeg(s, W, H, 2, o);
            rq_encode_opts_default(&s->opts);
            if (i == 0) { // as training code does
                through(s, all[i], "x.jpg");
                assert_int_equal(s->out.entry.width, W);
                assert_int_equal(s->out.entry.flags, 0);
                assert_false(s->out.turned);
                assert_int_equal(difference(&s->got, &s->source), 0);
            }
            s->opts.exif_apply = true;
            through(s, all[i], "x.jpg");
            assert_int_equal(s->out.entry.width, swap ? H : W);
            assert_int_equal(s->out.entry.height, swap ? W : H);
            assert_int_equal(rq_entry_orientation(s->out.entry.flags), keeps ? o : 1);
            assert_int_equal(s->out.turned, o != 1);
            assert_int_equal(s->out.verdict.reason[0], 0);
            if (i == 0) // not a byte of the file is touched
                assert_memory_equal(s->members.image, s->file.data, s->file.size);
            if (all[i] == RQ_ENCODING_PPM || all[i] == RQ_ENCODING_AVIF)
                assert_ok(rq_decode_rgb(s->decoder, s->file.data, s->file.size, true,
                                        &s->source, NULL, &s->err),
                          &s->err);
            assert_ok(rq_image_orient(&s->source, o, &s->want, &s->err), &s->err);
            const int most = all[i] == RQ_ENCODING_AVIF ? 12 : all[i] == RQ_ENCODING_DCT;
            assert_true(difference(&s->got, &s->want) <= most);
            // and for looking
            const rq_stored_image stored =
                rq_stored_image_of(&s->out.entry, s->members.image, s->members.image_bytes);
            assert_ok(rq_sample_decode_rgb(s->samples, &stored, &s->got, &s->err), &s->err);
            assert_ok(rq_decode_rgb(s->decoder, s->file.data, s->file.size, true, &s->source,
                                    NULL, &s->err),
                      &s->err);
            assert_ok(rq_image_orient(&s->source, o, &s->want, &s->err), &s->err);
            if (all[i] != RQ_ENCODING_RAW) // turned before its chroma is interpolated
                assert_true(difference(&s->got, &s->want) <= (most ? 12 : 0));
        }
}

/* What other programs get: the coefficients as a JPEG that says how it is to be turned, exact
 * pixels as a PNG, everything else as it is stored. */
static void samples_become_files_again(void **state)
{
    static const char *const extensions[] = {"jpg", "jpg", "avif", "ppm", "png"};
    scene *s = *state;
    rq_buf file = {0};
    s->opts.exif_apply = true;
    for (int i = 0; i < N_ALL; i++)
        for (int o = 1; o <= 8; o += 5) {
            if (all[i] == RQ_ENCODING_AVIF && !have_avif())
                continue;
            draw_jpeg(s, W, H, 2, o);
            through(s, all[i], "x.jpg");
            const rq_stored_image stored =
                rq_stored_image_of(&s->out.entry, s->members.image, s->members.image_bytes);
            const char *extension = "";
            rq_image_info info;
            assert_ok(rq_sample_export(s->samples, &stored, &file, &extension, &s->err),
                      &s->err);
            assert_string_equal(extension, extensions[i]);
            assert_ok(
                rq_decode(s->decoder, file.data, file.size, true, &s->want, &info, &s->err),
                &s->err);
            const bool keeps = all[i] <= RQ_ENCODING_DCT;
            assert_int_equal(info.orientation, keeps ? o : 1);
            if (keeps)
                assert_int_equal(difference(&s->want, &s->source), 0);
            if (all[i] != RQ_ENCODING_RAW)
                continue;
            assert_int_equal(info.codec, RQ_CODEC_PNG);
            assert_ok(rq_sample_decode_rgb(s->samples, &stored, &s->got, &s->err), &s->err);
            assert_int_equal(difference(&s->want, &s->got), 0);
            if (o == 1) {
                assert_ok(rq_decode_rgb(s->decoder, s->file.data, s->file.size, true,
                                        &s->source, NULL, &s->err),
                          &s->err);
                assert_int_equal(difference(&s->want, &s->source), 0);
            }
        }
    rq_buf_free(&file);
}

/* ---- views ------------------------------------------------------------------------------- */

/* Largest difference between the views that two pictures give by the same draws. */
static int view_difference(const rq_image *a, const rq_image *b, const char *recipe_name)
{
    enum { SIDE = 224 };
    rq_recipe recipe;
    rq_view_maker *maker;
    rq_err err = {0};
    uint8_t *views[2] = {malloc(SIDE * SIDE * 3), malloc(SIDE * SIDE * 3)};
    int most = 0;
    assert_ok(rq_recipe_preset(&recipe, recipe_name, &err), &err);
    recipe.p_mask = 0;
    assert_ok(rq_view_maker_create(&maker, &recipe, rq_cpu_detect(), &err), &err);
    for (int v = 0; v < rq_recipe_views(&recipe); v++) {
        const rq_view_key key = {1, 2, 3, v};
        rq_view_params p;
        rq_view_draw(&p, &recipe, &key, a->width, a->height, false);
        const int side = recipe.group[p.group].size;
        assert_true(side <= SIDE);
        assert_ok(rq_view_make(maker, a, NULL, &p, views[0], &err), &err);
        assert_ok(rq_view_make(maker, b, NULL, &p, views[1], &err), &err);
        if (p.solarize) // turns one level about its threshold into any number of them
            continue;
        for (int i = 0; i < side * side * 3; i++) {
            const int d = abs(views[0][i] - views[1][i]);
            most = d > most ? d : most;
        }
    }
    rq_view_maker_destroy(&maker);
    free(views[0]);
    free(views[1]);
    return most;
}

/* Views of exact planes are the same bytes; those of dct planes, which are within 1 level, are
 * close: cropped alone within the 3 levels that the colour matrix can make of 1, and with the
 * colours of training, which add, multiply and turn, within 6. */
static void views_are_those_of_the_jpeg(void **state)
{
    scene *s = *state;
    const jpeg_spec spec = {.width = 190,
                            .height = 141,
                            .pixels = JCS_RGB,
                            .coded = JCS_YCbCr,
                            .h = {2},
                            .v = {2},
                            .quality = 75};
    fixture_jpeg(&s->file, &spec);
    through(s, RQ_ENCODING_RAW, "x.jpg");
    assert_int_equal(view_difference(&s->got, &s->source, "relicv2"), 0);
    assert_int_equal(view_difference(&s->got, &s->source, "eval"), 0);
    through(s, RQ_ENCODING_DCT, "x.jpg");
    assert_int_equal(s->out.entry.encoding, RQ_ENCODING_DCT);
    const int plain = view_difference(&s->got, &s->source, "eval");
    assert_in_range(plain, 1, 3);
    const int coloured = view_difference(&s->got, &s->source, "relicv2");
    assert_in_range(coloured, 1, 6);
}

/* ---- masks ------------------------------------------------------------------------------- */

/* The mask is white where x < w / 4 of a w x h picture. */
static void write_mask(scene *s, int w, int h)
{
    char path[128];
    snprintf(path, sizeof path, "%s/x.pgm", s->dir);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fprintf(f, "P5\n%d %d\n255\n", w, h);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            fputc(x < w / 4 ? 255 : 0, f);
    assert_int_equal(fclose(f), 0);
    rq_masks_close(&s->masks);
    assert_int_equal(rq_masks_open(&s->masks, s->dir, NULL), RQ_OK);
}

static int mask_at(const rq_image *mask, double x, double y)
{
    return mask->plane[0]
        .data[(size_t)(y * mask->height) * mask->plane[0].stride + (size_t)(x * mask->width)];
}

static void masks_are_carried_in_every_encoding(void **state)
{
    scene *s = *state;
    for (int i = 0; i < N_ALL; i++) {
        if (all[i] == RQ_ENCODING_AVIF && !have_avif())
            continue;
        for (int reduced = 0; reduced < 2; reduced++) {
            rq_encode_opts_default(&s->opts);
            s->opts.long_side = reduced ? 50 : 0;
            draw_jpeg(s, W, H, 2, 1);
            write_mask(s, W, H);
            through(s, all[i], "x.jpg");
            assert_false(s->out.mask_failed);
            assert_true(s->out.entry.flags & RQ_ENTRY_HAS_MASK);
            assert_ok(rq_sample_decode_mask(s->samples, s->members.mask, s->members.mask_bytes,
                                            &s->want, &s->err),
                      &s->err);
            assert_int_equal(mask_at(&s->want, 0.1, 0.5), 255);
            assert_int_equal(mask_at(&s->want, 0.5, 0.5), 0);
        }
    }
}

/* Upright pictures: an upright mask stays, one of the file's shape is turned along. */
static void masks_are_turned_along(void **state)
{
    scene *s = *state;
    draw_jpeg(s, W, H, 2, 6); // to be turned clockwise: what was left comes to be the top
    s->opts.exif_apply = true;
    for (int upright = 0; upright < 2; upright++) {
        write_mask(s, upright ? H : W, upright ? W : H);
        through(s, RQ_ENCODING_JPEG, "x.jpg");
        assert_false(s->out.mask_failed);
        assert_ok(rq_sample_decode_mask(s->samples, s->members.mask, s->members.mask_bytes,
                                        &s->want, &s->err),
                  &s->err);
        assert_int_equal(s->want.width, H);
        assert_int_equal(mask_at(&s->want, upright ? 0.1 : 0.6, upright ? 0.6 : 0.1), 255);
        assert_int_equal(mask_at(&s->want, upright ? 0.6 : 0.1, upright ? 0.1 : 0.6), 0);
    }
    s->opts.exif_apply = false; // now the upright one does not fit
    through(s, RQ_ENCODING_JPEG, "x.jpg");
    assert_true(s->out.mask_failed);
    assert_int_equal(s->out.verdict.kind, RQ_VERDICT_WARNED);
}

/* ---- options, limits, memory ------------------------------------------------------------- */

static void options_are_checked(void **state)
{
    static const struct {
        rq_encode_opts o;
        const char *words; // NULL: fine
    } cases[] = {
        {{.encoding = RQ_ENCODING_DCT}, NULL},
        {{.encoding = RQ_ENCODING_DCT, .long_side = 500, .quality = 90}, NULL},
        {{.encoding = RQ_ENCODING_RAW, .chroma = RQ_CHROMA_420}, NULL},
        {{.encoding = (rq_encoding)0}, "encoding"},
        {{.encoding = (rq_encoding)6}, "encoding"},
        {{.encoding = RQ_ENCODING_DCT, .level = 20}, "--level"},
        {{.encoding = RQ_ENCODING_DCT, .long_side = -1}, "--long"},
        {{.encoding = RQ_ENCODING_DCT, .short_side = 70000}, "--short"},
        {{.encoding = RQ_ENCODING_DCT, .long_side = 5, .short_side = 5}, "one of them"},
        {{.encoding = RQ_ENCODING_DCT, .quality = 101}, "--quality"},
        {{.encoding = RQ_ENCODING_PPM, .quality = 90}, "`ppm`"},
        {{.encoding = RQ_ENCODING_RAW, .quality = 90}, "`raw`"},
        {{.encoding = RQ_ENCODING_PPM, .chroma = RQ_CHROMA_420, .long_side = 9}, "--chroma"},
        {{.encoding = RQ_ENCODING_JPEG, .chroma = RQ_CHROMA_444}, "--chroma"},
        {{.encoding = RQ_ENCODING_DCT, .chroma = (rq_chroma)4}, "chroma"},
        {{.encoding = RQ_ENCODING_DCT, .avif_speed = 11}, "--speed"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rq_err err = {0};
        const rq_status st = rq_encode_opts_check(&cases[i].o, &err);
        if (!cases[i].words) {
            assert_ok(st, &err);
            continue;
        }
        assert_int_equal(st, RQ_INVALID_ARG);
        if (!strstr(err.text, cases[i].words))
            fail_msg("'%s' does not say '%s'", err.text, cases[i].words);
    }
    rq_err err = {0};
    const rq_encode_opts avif = {.encoding = RQ_ENCODING_AVIF};
    assert_int_equal(rq_encode_opts_check(&avif, &err), have_avif() ? RQ_OK : RQ_UNSUPPORTED);
    for (int i = 0; i < N_ALL; i++)
        assert_in_range(rq_encode_level(all[i]), 1, 19);
}

static void what_is_no_picture_is_rejected(void **state)
{
    scene *s = *state;
    for (int i = 0; i < N_ALL; i++) {
        if (all[i] == RQ_ENCODING_AVIF && !have_avif())
            continue;
        draw_jpeg(s, W, H, 2, 1);
        s->file.size = s->file.size / 2;
        s->opts.encoding = all[i];
        assert_ok(encode(s, "x.jpg"), &s->err);
        assert_int_equal(s->out.verdict.kind, RQ_VERDICT_REJECTED);
        assert_int_equal(s->out.reason, RQ_TRUNCATED);
        assert_int_equal(s->out.frame.size, 0);
        memset(s->file.data, 'x', s->file.size);
        assert_ok(encode(s, "x.jpg"), &s->err);
        assert_int_equal(s->out.reason, RQ_BAD_FORMAT);
    }
}

static void memory_runs_out_cleanly(void **state)
{
    scene *s = *state;
    for (int i = 0; i < N_ALL; i++) {
        if (all[i] == RQ_ENCODING_AVIF)
            continue; // most of its memory is not ours
        draw_jpeg(s, 40, 30, 1, 6);
        s->opts = (rq_encode_opts){.encoding = all[i], .long_side = 20, .exif_apply = true};
        for (long n = 1;; n++) {
            rq_mem_fail_nth(n);
            const rq_status st = encode(s, "x.jpg");
            rq_mem_fail_nth(0);
            if (st == RQ_OK) {
                assert_true(n > 10);
                break;
            }
            assert_int_equal(st, RQ_OOM);
            rq_encoded_fini(&s->out);
        }
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(jpegs_are_kept),
        T(png_pixels_are_kept),
        T(avif_is_kept),
        T(cmyk_falls_back),
        T(sizes_are_reduced),
        T(small_pictures_are_left_alone),
        T(avif_is_made_from_planes),
        T(qualities_map_to_quantizers),
        T(orientation_is_ignored_or_applied),
        T(samples_become_files_again),
        T(views_are_those_of_the_jpeg),
        T(masks_are_carried_in_every_encoding),
        T(masks_are_turned_along),
        T(options_are_checked),
        T(what_is_no_picture_is_rejected),
        T(memory_runs_out_cleanly),
    };
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
