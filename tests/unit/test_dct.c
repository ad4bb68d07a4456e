// SPDX-License-Identifier: Apache-2.0
// The encoding `dct`: every coefficient comes back, every sample is within 1 of libjpeg's, the
// three versions of the kernels agree on everything, and no payload, however made, gets past
// the checks.
#include "dct_fixture.h"

#include "common/bytes.h"
#include "common/cpu.h"
#include "common/file.h"
#include "pack/dct.h"
#include "pack/dct_kernels.h"
#include "pack/dct_pack.h"

#include <dirent.h>
#include <zstd.h>

enum { LEVELS = 3 };

typedef struct fixture {
    rq_limits limits;
    rq_dct *dct[LEVELS]; /* C, AVX2, AVX-512, as far as this machine has them */
    rq_decoder *decoder;
    rq_jpeg_coder *coder;
    rq_jpeg_coefs a, b;
    rq_image islow, img[LEVELS];
    rq_buf jpeg, payload, back;
    rq_err err;
} fixture;

static unsigned level_flags(int level)
{
    static const unsigned flags[LEVELS] = {0, RQ_CPU_AVX2, RQ_CPU_AVX2 | RQ_CPU_AVX512};
    return flags[level] & rq_cpu_detect();
}

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    *state = f;
    if (f == NULL)
        return -1;
    f->limits = rq_limits_default();
    for (int i = 0; i < LEVELS; i++)
        if (rq_dct_create(&f->dct[i], level_flags(i), &f->limits, &f->err) != RQ_OK)
            return -1;
    return rq_decoder_create(&f->decoder, &f->limits, &f->err) == RQ_OK &&
                   rq_jpeg_coder_create(&f->coder, &f->limits, &f->err) == RQ_OK
               ? 0
               : -1;
}

static int teardown(void **state)
{
    fixture *f = *state;
    for (int i = 0; i < LEVELS; i++) {
        rq_dct_destroy(&f->dct[i]);
        rq_image_free(&f->img[i]);
    }
    rq_decoder_destroy(&f->decoder);
    rq_jpeg_coder_destroy(&f->coder);
    rq_jpeg_coefs_free(&f->a);
    rq_jpeg_coefs_free(&f->b);
    rq_image_free(&f->islow);
    rq_buf_free(&f->jpeg);
    rq_buf_free(&f->payload);
    rq_buf_free(&f->back);
    free(f);
    return 0;
}

/* ---- comparing --------------------------------------------------------------------------- */

static int largest_difference(const rq_image *a, const rq_image *b)
{
    int largest = 0;
    assert_int_equal(a->pixels, b->pixels);
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->height, b->height);
    assert_int_equal(a->sub_x, b->sub_x);
    assert_int_equal(a->sub_y, b->sub_y);
    for (int i = 0; i < rq_pixels_planes(a->pixels); i++) {
        for (int y = 0; y < a->plane[i].height; y++) {
            const uint8_t *p = a->plane[i].data + (size_t)y * a->plane[i].stride;
            const uint8_t *q = b->plane[i].data + (size_t)y * b->plane[i].stride;
            for (int x = 0; x < a->plane[i].width; x++)
                largest = abs(p[x] - q[x]) > largest ? abs(p[x] - q[x]) : largest;
        }
    }
    return largest;
}

static void assert_same_coefs(const rq_jpeg_coefs *a, const rq_jpeg_coefs *b)
{
    assert_int_equal(a->pixels, b->pixels);
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->height, b->height);
    for (int i = 0; i < a->components; i++) {
        const rq_jpeg_component *x = &a->component[i], *y = &b->component[i];
        assert_int_equal(x->h, y->h);
        assert_int_equal(x->v, y->v);
        assert_memory_equal(x->quant, y->quant, sizeof x->quant);
        assert_memory_equal(x->coef, y->coef,
                            (size_t)x->blocks_x * (size_t)x->blocks_y * 64 * sizeof *x->coef);
    }
}

/* Decodes with every version; they give the same status and samples. */
static rq_status decode_all(fixture *f, const uint8_t *payload, size_t bytes)
{
    rq_status first = RQ_OK;
    for (int i = 0; i < LEVELS; i++) {
        memset(&f->err, 0, sizeof f->err);
        const rq_status s = rq_dct_decode(f->dct[i], payload, bytes, &f->img[i], &f->err);
        assert_int_equal(s == RQ_OK, f->err.text[0] == 0);
        if (i == 0)
            first = s;
        assert_int_equal(s, first);
        if (s == RQ_OK && largest_difference(&f->img[0], &f->img[i]) != 0)
            fail_msg("%s differs from C", rq_cpu_level_name(level_flags(i)));
    }
    return first;
}

/* The whole way of f->jpeg: payload, planes, JPEG again. */
static void check_round_trip(fixture *f)
{
    assert_ok(decode_all(f, f->payload.data, f->payload.size), &f->err);
    assert_ok(rq_decode(f->decoder, f->jpeg.data, f->jpeg.size, true, &f->islow, NULL, &f->err),
              &f->err);
    assert_in_range(largest_difference(&f->islow, &f->img[0]), 0, 1);
    assert_ok(rq_dct_to_jpeg(f->dct[0], f->payload.data, f->payload.size, &f->back, &f->err),
              &f->err);
    assert_ok(rq_jpeg_coefs_read(f->coder, f->jpeg.data, f->jpeg.size, &f->a, &f->err),
              &f->err);
    assert_ok(rq_jpeg_coefs_read(f->coder, f->back.data, f->back.size, &f->b, &f->err),
              &f->err);
    assert_same_coefs(&f->a, &f->b);
    rq_image_info info;
    assert_ok(rq_dct_probe(f->payload.data, f->payload.size, &f->limits, &info, &f->err),
              &f->err);
    assert_int_equal(info.width, f->islow.width);
    assert_int_equal(info.height, f->islow.height);
    assert_int_equal(info.pixels, f->islow.pixels);
    assert_int_equal(info.sub_x, f->islow.sub_x);
    assert_int_equal(info.sub_y, f->islow.sub_y);
}

static void encode_spec(fixture *f, const dct_spec *spec)
{
    dct_make_jpeg(&f->jpeg, spec);
    memset(&f->err, 0, sizeof f->err);
    assert_ok(rq_dct_encode(f->dct[2], f->jpeg.data, f->jpeg.size, &f->payload, &f->err),
              &f->err);
}

/* ---- made-up JPEGs ----------------------------------------------------------------------- */

static void test_every_sampling_and_size(void **state)
{
    fixture *f = *state;
    static const int sizes[][2] = {{1, 1},   {7, 5},   {8, 8},    {9, 17},  {16, 16},
                                   {33, 31}, {100, 3}, {130, 70}, {257, 65}};
    for (int s = 0; s < DCT_SAMPLINGS; s++) {
        for (size_t z = 0; z < sizeof sizes / sizeof *sizes; z++) {
            dct_spec spec = dct_samplings[s];
            spec.width = sizes[z][0];
            spec.height = sizes[z][1];
            spec.quality = 92;
            spec.content = z % 2 == 0 ? DCT_PHOTO : DCT_FLAT;
            spec.coding = (dct_coding)(z % DCT_CODINGS);
            encode_spec(f, &spec);
            check_round_trip(f);
        }
    }
}

/* More blocks than one scan may interleave: the file has a scan for each component, and so has
 * the file that is made again. */
static void test_samplings_of_one_scan_for_each_component(void **state)
{
    fixture *f = *state;
    static const dct_spec wide[] = {
        {.components = 3, .h = {2, 2, 2}, .v = {2, 2, 2}},
        {.components = 3, .h = {2, 2, 2}, .v = {2, 2, 2}, .rgb = true},
        {.components = 3, .h = {4, 1, 1}, .v = {4, 1, 1}},
        {.components = 3, .h = {4, 2, 2}, .v = {2, 2, 2}},
        {.components = 3, .h = {2, 1, 1}, .v = {4, 2, 2}},
    };
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
        dct_spec spec = wide[i];
        spec.width = 131;
        spec.height = 45;
        spec.quality = 90;
        spec.coding = DCT_SCANS;
        encode_spec(f, &spec);
        check_round_trip(f);
    }
}

/* Contents and tables of every kind. */
static void test_every_quality_and_content(void **state)
{
    fixture *f = *state;
    static const int qualities[] = {1, 2, 10, 50, 75, 90, 95, 100};
    for (int content = 0; content < DCT_CONTENTS; content++) {
        for (size_t q = 0; q < sizeof qualities / sizeof *qualities; q++) {
            for (int s = 1; s < DCT_SAMPLINGS; s += 2) {
                dct_spec spec = dct_samplings[s];
                spec.width = 75;
                spec.height = 49;
                spec.quality = qualities[q];
                spec.content = (dct_content)content;
                encode_spec(f, &spec);
                check_round_trip(f);
            }
        }
    }
}

/* Samples far beyond black and white: the 16-bit transform does not hold them, and the proof of
 * the encoder finds out. A little beyond is clamped as libjpeg clamps it. */
static void test_overshoot(void **state)
{
    fixture *f = *state;
    f->a =
        (rq_jpeg_coefs){.pixels = RQ_PIXELS_GRAY, .width = 24, .height = 16, .components = 1};
    f->a.component[0].h = f->a.component[0].v = 1;
    assert_ok(rq_jpeg_coefs_shape(&f->a, &f->limits, &f->err), &f->err);
    rq_jpeg_component *c = &f->a.component[0];
    memset(c->coef, 0, 6 * 64 * sizeof *c->coef);
    for (int k = 0; k < 64; k++)
        c->quant[k] = 40;
    c->coef[64] = 50;      /* 128 + 250 */
    c->coef[128 + 0] = 45; /* 128 + 225, and a wave of 100 upon it */
    c->coef[128 + 4] = 20;
    assert_ok(rq_jpeg_coefs_write(f->coder, &f->a, &f->jpeg, &f->err), &f->err);
    assert_ok(rq_dct_encode(f->dct[2], f->jpeg.data, f->jpeg.size, &f->payload, &f->err),
              &f->err);
    check_round_trip(f);
    f->a.component[0].coef[128] = 1000; /* 128 + 5,000 */
    assert_ok(rq_jpeg_coefs_write(f->coder, &f->a, &f->jpeg, &f->err), &f->err);
    assert_status(rq_dct_encode(f->dct[2], f->jpeg.data, f->jpeg.size, &f->payload, &f->err),
                  RQ_UNSUPPORTED);
    assert_non_null(strstr(f->err.text, "16-bit"));
}

static void test_what_is_refused(void **state)
{
    fixture *f = *state;
    static const dct_spec bad[] = {
        {.components = 4, .h = {1, 1, 1, 1}, .v = {1, 1, 1, 1}},
        {.components = 3, .h = {1, 2, 2}, .v = {1, 1, 1}}, /* chroma finer than luma */
        {.components = 3, .h = {2, 1, 2}, .v = {1, 1, 1}}, /* chroma planes of two sizes */
        {.components = 3, .h = {3, 1, 1}, .v = {1, 1, 1}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        dct_spec spec = bad[i];
        spec.width = spec.height = 40;
        spec.quality = 80;
        dct_make_jpeg(&f->jpeg, &spec);
        f->err = (rq_err){0};
        assert_status(
            rq_dct_encode(f->dct[0], f->jpeg.data, f->jpeg.size, &f->payload, &f->err),
            RQ_UNSUPPORTED);
        assert_true(strlen(f->err.text) > 10);
    }
    dct_spec spec = dct_samplings[2];
    spec.width = spec.height = 40;
    spec.quality = 80;
    dct_make_jpeg(&f->jpeg, &spec);
    assert_status(rq_dct_encode(f->dct[0], f->jpeg.data, f->jpeg.size - 40, &f->payload, NULL),
                  RQ_UNSUPPORTED);
    assert_int_not_equal(rq_dct_encode(f->dct[0], f->jpeg.data, 0, &f->payload, NULL), RQ_OK);
}

/* Same file, same bytes: whoever encodes it and whatever came before. */
static void test_encoding_is_deterministic(void **state)
{
    fixture *f = *state;
    dct_spec spec = dct_samplings[3];
    spec.width = 300;
    spec.height = 200;
    spec.quality = 90;
    encode_spec(f, &spec);
    rq_buf other = {0};
    for (int i = 0; i < LEVELS; i++) {
        size_t n = 0, m = 0;
        assert_ok(rq_dct_encode(f->dct[i], f->jpeg.data, f->jpeg.size, &other, &f->err),
                  &f->err);
        assert_int_equal(other.size, f->payload.size);
        assert_memory_equal(other.data, f->payload.data, other.size);
        const uint32_t *a = rq_dct_splits(f->dct[i], &n), *b = rq_dct_splits(f->dct[2], &m);
        assert_int_equal(n, m);
        assert_memory_equal(a, b, n * sizeof *a);
        for (size_t k = 0; k < n; k++)
            assert_true(a[k] > (k == 0 ? 0 : a[k - 1]) && a[k] < other.size);
    }
    rq_buf_free(&other);
}

/* ---- known answers ----------------------------------------------------------------------- */

/* Pictures of one block, by their coefficients: DC alone is flat, and one frequency is a
 * cosine. */
static void test_known_samples(void **state)
{
    fixture *f = *state;
    rq_dct_packer *p = NULL;
    uint32_t splits[RQ_DCT_MAX_PARTS];
    size_t n;
    assert_ok(rq_dct_packer_create(&p, &f->err), &f->err);
    f->a = (rq_jpeg_coefs){.pixels = RQ_PIXELS_GRAY, .width = 8, .height = 8, .components = 1};
    f->a.component[0].h = f->a.component[0].v = 1;
    assert_ok(rq_jpeg_coefs_shape(&f->a, &f->limits, &f->err), &f->err);
    for (int k = 0; k < 64; k++)
        f->a.component[0].quant[k] = 8;
    int16_t *block = f->a.component[0].coef;
    for (int dc = -128; dc <= 127; dc++) {
        memset(block, 0, 64 * sizeof *block);
        block[0] = (int16_t)dc;
        assert_ok(rq_dct_pack(p, &f->a, &f->payload, splits, &n, &f->err), &f->err);
        assert_ok(decode_all(f, f->payload.data, f->payload.size), &f->err);
        for (int i = 0; i < 64; i++)
            assert_int_equal(
                f->img[0].plane[0].data[(size_t)(i / 8) * f->img[0].plane[0].stride +
                                        (size_t)(i % 8)],
                128 + dc);
    }
    /* T.81 A.3.3 with F(0, 4) = 8 * 40: cos((2 x + 1) pi / 4) is +-1/sqrt(2). */
    memset(block, 0, 64 * sizeof *block);
    block[4] = 40;
    assert_ok(rq_dct_pack(p, &f->a, &f->payload, splits, &n, &f->err), &f->err);
    assert_ok(decode_all(f, f->payload.data, f->payload.size), &f->err);
    for (int x = 0; x < 8; x++)
        assert_int_equal(f->img[0].plane[0].data[x],
                         x % 4 == 0 || x % 4 == 3 ? 128 + 40 : 128 - 40);
    rq_dct_packer_destroy(&p);
}

/* Coefficients that need every width and every length of escape. */
static void test_extreme_coefficients(void **state)
{
    fixture *f = *state;
    rq_dct_packer *p = NULL;
    uint32_t splits[RQ_DCT_MAX_PARTS];
    size_t n;
    assert_ok(rq_dct_packer_create(&p, &f->err), &f->err);
    rq_rng r = rq_rng_make(1, 2, 3, 4, 5);
    for (int round = 0; round < 24; round++) {
        f->a = (rq_jpeg_coefs){.pixels = round % 2 == 0 ? RQ_PIXELS_YCBCR : RQ_PIXELS_GRAY,
                               .width = 8 + round * 31,
                               .height = 100 - round * 3,
                               .components = round % 2 == 0 ? 3 : 1,
                               .storage = f->a.storage,
                               .storage_values = f->a.storage_values};
        for (int i = 0; i < f->a.components; i++)
            f->a.component[i].h = f->a.component[i].v = i == 0 ? 2 : 1;
        assert_ok(rq_jpeg_coefs_shape(&f->a, &f->limits, &f->err), &f->err);
        for (int i = 0; i < f->a.components; i++) {
            rq_jpeg_component *c = &f->a.component[i];
            for (int k = 0; k < 64; k++)
                c->quant[k] = (uint16_t)(1 + rq_rng_below(&r, round % 3 == 0 ? 65535 : 40));
            const size_t values = (size_t)c->blocks_x * (size_t)c->blocks_y * 64;
            for (size_t k = 0; k < values; k++) {
                /* sizes from 1 to 10 bits, the rarer the larger the frequency */
                const uint32_t most = 1u << rq_rng_below(&r, 11);
                const bool zero = rq_rng_below(&r, 64) < k % 64 * (uint32_t)(round % 5) / 4;
                const int m = zero ? 0 : (int)rq_rng_below(&r, most);
                c->coef[k] = (int16_t)(rq_rng_below(&r, 2) ? -m : m);
            }
        }
        assert_ok(rq_dct_pack(p, &f->a, &f->payload, splits, &n, &f->err), &f->err);
        assert_ok(decode_all(f, f->payload.data, f->payload.size), &f->err);
        for (int i = 0; i < LEVELS; i++) {
            assert_ok(
                rq_dct_to_jpeg(f->dct[i], f->payload.data, f->payload.size, &f->back, &f->err),
                &f->err);
            assert_ok(rq_jpeg_coefs_read(f->coder, f->back.data, f->back.size, &f->b, &f->err),
                      &f->err);
            assert_same_coefs(&f->a, &f->b);
        }
    }
    f->a.component[0].coef[70] = 1024;
    assert_status(rq_dct_pack(p, &f->a, &f->payload, splits, &n, NULL), RQ_UNSUPPORTED);
    rq_dct_packer_destroy(&p);
}

/* Splitting pays: a real zstd at the same level needs fewer bytes for the parts than for the
 * whole. */
static void test_splits_make_it_smaller(void **state)
{
    fixture *f = *state;
    dct_spec spec = dct_samplings[2];
    spec.width = 500;
    spec.height = 375;
    spec.quality = 92;
    encode_spec(f, &spec);
    size_t n = 0, at = 0, parts = 0;
    const uint32_t *splits = rq_dct_splits(f->dct[2], &n);
    assert_true(n > 2);
    rq_buf out = {0};
    assert_ok(rq_buf_reserve(&out, ZSTD_compressBound(f->payload.size), &f->err), &f->err);
    const size_t whole = ZSTD_compress(out.data, out.cap, f->payload.data, f->payload.size, 1);
    for (size_t i = 0; i <= n; i++) {
        const size_t end = i < n ? splits[i] : f->payload.size;
        parts += ZSTD_compress(out.data, out.cap, f->payload.data + at, end - at, 1);
        at = end;
    }
    assert_true(parts < whole);
    assert_true(parts < f->jpeg.size);
    rq_buf_free(&out);
}

/* ---- kernels ----------------------------------------------------------------------------- */

/* What a run reads, at random; escapes are plenty. */
typedef struct random_run {
    rq_dct_run run;
    uint8_t planes[63][RQ_DCT_BATCH + 64];
    uint8_t escapes[RQ_DCT_WIDTHS][63 * 64 * 3 + 64];
    uint8_t signs[1024 + RQ_DCT_TRAILER_BYTES];
} random_run;

static void fill_run(random_run *x, rq_rng *r, int density)
{
    int n = 0;
    for (int w = 0; w < RQ_DCT_WIDTHS; w++) {
        const int planes = (int)rq_rng_below(r, 16);
        for (int i = 0; i < planes; i++, n++) {
            x->run.place[n] = rq_dct_zigzag[n + 1];
            x->run.data[n] = x->planes[n];
        }
        x->run.end[w] = n;
    }
    for (int i = 0; i < n; i++)
        for (size_t k = 0; k < sizeof x->planes[i]; k++)
            x->planes[i][k] =
                (int)rq_rng_below(r, 100) < density ? (uint8_t)rq_rng_below(r, 256) : 0;
    for (int w = 0; w < RQ_DCT_WIDTHS; w++) {
        uint8_t *e = x->escapes[w];
        for (size_t k = 0; k + 3 < sizeof x->escapes[w];) {
            if (rq_rng_below(r, 20) != 0) {
                e[k++] = (uint8_t)rq_rng_below(r, 255);
                continue;
            }
            e[k++] = 255;
            rq_put_le16(e + k, (uint16_t)(255 + rq_dct_cap(w) +
                                          (int)rq_rng_below(r, 2047u - 255 - 255)));
            k += 2;
        }
    }
    for (size_t k = 0; k < sizeof x->signs; k++)
        x->signs[k] = (uint8_t)rq_rng_below(r, 256);
}

static rq_dct_stream stream_of(const random_run *x, size_t escape_bytes, size_t sign_bits,
                               size_t first_bit)
{
    rq_dct_stream s = {.signs = x->signs, .sign_bit = first_bit, .sign_bits = sign_bits};
    for (int w = 0; w < RQ_DCT_WIDTHS; w++) {
        s.escape[w] = x->escapes[w];
        s.escape_end[w] = x->escapes[w] + escape_bytes;
    }
    return s;
}

static void test_kernels_agree_on_reading(void **state)
{
    rq_rng r = rq_rng_make(11, 12, 13, 14, 15);
    random_run *x = calloc(1, sizeof *x);
    rq_dct_batch *b[LEVELS];
    assert_non_null(x);
    for (int i = 0; i < LEVELS; i++)
        assert_non_null(b[i] = rq_alloc(1, sizeof *b[i]));
    for (int round = 0; round < 400; round++) {
        fill_run(x, &r, (int)rq_rng_below(&r, 101));
        const int live = round % 3 == 0 ? 64 : 1 + (int)rq_rng_below(&r, 64);
        /* often enough, sometimes not */
        const size_t escapes =
            round % 4 == 0 ? rq_rng_below(&r, 200) : sizeof x->escapes[0] - 64;
        const size_t bits = round % 5 == 0 ? rq_rng_below(&r, 900) : 8192;
        const size_t first_bit = rq_rng_below(&r, 64);
        rq_dct_stream s[LEVELS];
        bool ok[LEVELS];
        for (int i = 0; i < LEVELS; i++) {
            memset(b[i], 0, sizeof *b[i]);
            s[i] = stream_of(x, escapes, bits, first_bit);
            ok[i] = rq_dct_kernels_get(level_flags(i))->batch(&x->run, 0, live, &s[i], b[i]);
            assert_int_equal(ok[i], ok[0]);
            if (!ok[i])
                continue;
            assert_int_equal(s[i].sign_bit, s[0].sign_bit);
            assert_memory_equal(s[i].escape, s[0].escape, sizeof s[0].escape);
            assert_true(b[i]->present == b[0]->present);
            assert_memory_equal(b[i]->coef, b[0]->coef, sizeof b[0]->coef);
        }
        if (!ok[0])
            continue;
        for (int k = 1; k < 64; k++) { /* `present` says what is there, dead lanes are zero */
            bool any = false;
            for (int i = 0; i < RQ_DCT_BATCH; i++) {
                any |= b[0]->coef[k][i] != 0;
                assert_true(i < live || b[0]->coef[k][i] == 0);
            }
            assert_int_equal(any, b[0]->present >> k & 1);
        }
    }
    for (int i = 0; i < LEVELS; i++)
        rq_free(b[i]);
    free(x);
}

static void test_kernels_agree_on_the_transform(void **state)
{
    enum { STRIDE = 64, ROWS = 8 * 16 };
    rq_rng r = rq_rng_make(21, 22, 23, 24, 25);
    rq_dct_batch *b = rq_alloc(1, sizeof *b);
    uint8_t *out[LEVELS];
    assert_non_null(b);
    for (int i = 0; i < LEVELS; i++)
        assert_non_null(out[i] = malloc(STRIDE * ROWS));
    for (int round = 0; round < 600; round++) {
        const int range = 1 << (1 + (int)rq_rng_below(&r, 15)); /* up to all of 16 bits */
        uint64_t allowed = (uint64_t)(rq_rng_u32(&r) | rq_rng_u32(&r)) << 32 | rq_rng_u32(&r);
        allowed &= round % 4 == 0   ? 0x000000000f0f0f0f
                   : round % 4 == 1 ? 0x0f0f0f0f0f0f0f0f
                   : round % 4 == 2 ? 0x0101010101ffff01
                                    : UINT64_MAX;
        if (round % 16 == 0)
            allowed = 0;
        memset(b, 0, sizeof *b);
        b->present = allowed & ~(uint64_t)1;
        for (int k = 0; k < 64; k++)
            for (int i = 0; i < RQ_DCT_BATCH; i++)
                if (k == 0 || b->present >> k & 1)
                    b->coef[k][i] =
                        (int16_t)((int)rq_rng_below(&r, (uint32_t)(2 * range)) - range);
        uint16_t quant[64];
        for (int k = 0; k < 64; k++)
            quant[k] = (uint16_t)rq_rng_below(&r, round % 2 == 0 ? 65536 : 20);
        rq_dct_factors factors;
        rq_dct_factors_set(&factors, quant);
        uint32_t at[RQ_DCT_BATCH / RQ_DCT_UNIT]; /* four in a row, in any order */
        for (uint32_t u = 0; u < 32; u++)
            at[u] = (u * 7 % 32) / 4 * 8 * STRIDE + (u * 7 % 32) % 4 * 16;
        const int units = round % 3 == 0 ? 32 : 1 + (int)rq_rng_below(&r, 32);
        for (int i = 0; i < LEVELS; i++) {
            memset(out[i], 0x5a, STRIDE * ROWS);
            const rq_dct_target t = {out[i], STRIDE, at, units};
            rq_dct_kernels_get(level_flags(i))->transform(b, &factors, &t);
            assert_memory_equal(out[i], out[0], STRIDE * ROWS);
        }
    }
    for (int i = 0; i < LEVELS; i++)
        free(out[i]);
    rq_free(b);
}

/* ---- hostile payloads -------------------------------------------------------------------- */

/* A payload with several classes, groups and escapes. */
static void make_payload(fixture *f)
{
    dct_spec spec = dct_samplings[3];
    spec.width = 90;
    spec.height = 70;
    spec.quality = 95;
    encode_spec(f, &spec);
}

/* Decoded in memory of exactly its length, so that a sanitizer sees every step beyond. */
static rq_status decode_exact(fixture *f, const uint8_t *payload, size_t bytes)
{
    uint8_t *copy = malloc(bytes + (bytes == 0));
    assert_non_null(copy);
    memcpy(copy, payload, bytes);
    const rq_status s = decode_all(f, copy, bytes);
    if (s != RQ_OK)
        assert_true(s == RQ_BAD_FORMAT || s == RQ_LIMIT);
    const rq_status j = rq_dct_to_jpeg(f->dct[0], copy, bytes, &f->back, NULL);
    assert_true(s == RQ_OK || j == s);
    free(copy);
    return s;
}

static void test_every_length_but_the_right_one_is_refused(void **state)
{
    fixture *f = *state;
    make_payload(f);
    const size_t whole = f->payload.size;
    assert_true(whole > 1000);
    for (size_t n = 0; n < whole; n += n < 700 ? 1 : 17)
        assert_status(decode_exact(f, f->payload.data, n), RQ_BAD_FORMAT);
    assert_ok(rq_buf_append(&f->payload, NULL, 1, &f->err), &f->err);
    assert_status(decode_exact(f, f->payload.data, whole + 1), RQ_BAD_FORMAT);
    assert_status(decode_exact(f, f->payload.data, whole), RQ_OK);
}

static void test_every_changed_byte_is_survived(void **state)
{
    fixture *f = *state;
    make_payload(f);
    static const uint8_t xors[] = {0x01, 0x80, 0xff};
    int refused = 0;
    for (size_t at = 0; at < f->payload.size; at += at < 700 ? 1 : 23) {
        for (size_t x = 0; x < sizeof xors; x++) {
            f->payload.data[at] ^= xors[x];
            refused += decode_exact(f, f->payload.data, f->payload.size) != RQ_OK;
            f->payload.data[at] ^= xors[x];
        }
    }
    assert_true(refused > 500);
}

static void test_lies_in_the_header(void **state)
{
    fixture *f = *state;
    make_payload(f);
    static const struct lie {
        size_t at;
        uint8_t value;
        rq_status expected;
    } lies[] = {
        {0, 'X', RQ_BAD_FORMAT},   {3, '2', RQ_BAD_FORMAT},   {4, 0, RQ_BAD_FORMAT},
        {5, 0xff, RQ_LIMIT},       {7, 0xff, RQ_LIMIT},       {8, 0, RQ_BAD_FORMAT},
        {8, 1, RQ_BAD_FORMAT},     {8, 3, RQ_BAD_FORMAT},     {8, 4, RQ_BAD_FORMAT},
        {9, 0, RQ_BAD_FORMAT},     {9, 4, RQ_BAD_FORMAT},     {10, 65, RQ_BAD_FORMAT},
        {10, 0, RQ_BAD_FORMAT},    {11, 1, RQ_BAD_FORMAT},    {15, 0xff, RQ_BAD_FORMAT},
        {28, 0, RQ_BAD_FORMAT},    {31, 0xff, RQ_BAD_FORMAT}, {32, 0x00, RQ_BAD_FORMAT},
        {32, 0x32, RQ_BAD_FORMAT}, {32, 0x88, RQ_BAD_FORMAT}, {36, 0x21, RQ_BAD_FORMAT},
        {33, 3, RQ_BAD_FORMAT},    {34, 0, RQ_BAD_FORMAT},    {34, 9, RQ_BAD_FORMAT},
        {35, 1, RQ_BAD_FORMAT},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        const uint8_t was = f->payload.data[lies[i].at];
        f->payload.data[lies[i].at] = lies[i].value;
        const rq_status s = decode_exact(f, f->payload.data, f->payload.size);
        if (s != lies[i].expected)
            fail_msg("byte %zu = %u: %s", lies[i].at, lies[i].value, rq_status_name(s));
        f->payload.data[lies[i].at] = was;
    }
    f->payload.data[f->payload.size - 1] = 1; /* the trailer is zeros */
    assert_status(decode_exact(f, f->payload.data, f->payload.size), RQ_BAD_FORMAT);
}

/* A header of huge dimensions behind which nothing stands costs nothing. */
static void test_bombs_are_refused_before_memory(void **state)
{
    fixture *f = *state;
    uint8_t bomb[36 + 128 + 1 + 63 + RQ_DCT_TRAILER_BYTES] = "RQD1\xff\xff\xff\xff\1\1";
    bomb[32] = 0x11;
    bomb[34] = 1;
    assert_status(decode_exact(f, bomb, sizeof bomb), RQ_LIMIT);
    rq_limits tight = f->limits;
    tight.max_memory_bytes = 1 << 20;
    rq_dct *d = NULL;
    assert_ok(rq_dct_create(&d, 0, &tight, &f->err), &f->err);
    rq_put_le16(bomb + 4, 2000);
    rq_put_le16(bomb + 6, 2000);
    assert_status(rq_dct_decode(d, bomb, sizeof bomb, &f->img[0], NULL), RQ_LIMIT);
    rq_dct_destroy(&d);
    /* the same of a legal size is a grey picture */
    assert_status(decode_exact(f, bomb, sizeof bomb), RQ_OK);
    assert_int_equal(f->img[0].plane[0].data[0], 128);
}

static void test_random_bytes(void **state)
{
    fixture *f = *state;
    make_payload(f);
    rq_rng r = rq_rng_make(31, 32, 33, 34, 35);
    for (int round = 0; round < 300; round++) {
        uint8_t *copy = malloc(f->payload.size);
        assert_non_null(copy);
        memcpy(copy, f->payload.data, f->payload.size);
        /* a stretch of noise, anywhere behind the fixed header */
        const size_t from = 44 + rq_rng_below(&r, (uint32_t)f->payload.size - 44);
        const size_t n = rq_rng_below(&r, (uint32_t)(f->payload.size - from));
        for (size_t i = from; i < from + n; i++)
            copy[i] = (uint8_t)rq_rng_below(&r, 256);
        decode_exact(f, copy, f->payload.size);
        free(copy);
    }
}

/* ---- memory ------------------------------------------------------------------------------ */

/* Everything once, with a codec of its own. */
static rq_status whole_way(const rq_buf *jpeg, rq_buf *payload, rq_buf *back, rq_err *err)
{
    const rq_limits limits = rq_limits_default();
    rq_dct *d = NULL;
    rq_image img = {0};
    rq_status s = rq_dct_create(&d, 0, &limits, err);
    if (s == RQ_OK)
        s = rq_dct_encode(d, jpeg->data, jpeg->size, payload, err);
    if (s == RQ_OK)
        s = rq_dct_decode(d, payload->data, payload->size, &img, err);
    if (s == RQ_OK)
        s = rq_dct_to_jpeg(d, payload->data, payload->size, back, err);
    rq_dct_destroy(&d);
    rq_image_free(&img);
    return s;
}

static void test_every_allocation_may_fail(void **state)
{
    fixture *f = *state;
    dct_spec spec = dct_samplings[3];
    spec.width = 40;
    spec.height = 30;
    spec.quality = 80;
    dct_make_jpeg(&f->jpeg, &spec);
    long n = 1;
    for (;; n++) {
        rq_buf payload = {0}, back = {0};
        rq_err err = {0};
        rq_mem_fail_nth(n);
        const rq_status s = whole_way(&f->jpeg, &payload, &back, &err);
        rq_mem_fail_nth(0);
        rq_buf_free(&payload);
        rq_buf_free(&back);
        if (s == RQ_OK)
            break;
        assert_status(s, RQ_OOM);
    }
    assert_in_range(n, 15, 200);
}

/* ---- real files -------------------------------------------------------------------------- */

/* Calls visit for every step-th file below folder; returns how many there were. */
static size_t walk(fixture *f, const char *folder, size_t step, size_t seen,
                   void (*visit)(fixture *f, const char *path))
{
    DIR *dir = opendir(folder);
    if (dir == NULL)
        return seen;
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (e->d_name[0] == '.')
            continue;
        if (e->d_type == DT_DIR)
            seen = walk(f, path, step, seen, visit);
        else if (strstr(e->d_name, ".j") != NULL || strstr(e->d_name, ".J") != NULL)
            if (seen++ % step == 0)
                visit(f, path);
    }
    closedir(dir);
    return seen;
}

static void visit_original(fixture *f, const char *path)
{
    f->err = (rq_err){0};
    assert_ok(rq_file_read(path, 64 << 20, &f->jpeg, &f->err), &f->err);
    assert_ok(rq_dct_encode(f->dct[2], f->jpeg.data, f->jpeg.size, &f->payload, &f->err),
              &f->err);
    check_round_trip(f);
}

/* Any verdict, but no INTERNAL; what is held must be right. */
static void visit_odd(fixture *f, const char *path)
{
    f->err = (rq_err){0};
    assert_ok(rq_file_read(path, 64 << 20, &f->jpeg, &f->err), &f->err);
    const rq_status s =
        rq_dct_encode(f->dct[2], f->jpeg.data, f->jpeg.size, &f->payload, &f->err);
    assert_int_not_equal(s, RQ_INTERNAL);
    if (s == RQ_OK)
        check_round_trip(f);
}

static void test_real_files(void **state)
{
    const char *fixtures = getenv("RQ_FIXTURES");
    char path[4096];
    if (fixtures == NULL) {
        print_message("RQ_FIXTURES is not set: no real files\n");
        skip();
    }
    snprintf(path, sizeof path, "%s/imagenet-original", fixtures);
    const size_t originals = walk(*state, path, 40, 0, visit_original);
    snprintf(path, sizeof path, "%s/odd/jpeg", fixtures);
    size_t odd = walk(*state, path, 1, 0, visit_odd);
    snprintf(path, sizeof path, "%s/odd/crash", fixtures);
    odd = walk(*state, path, 1, odd, visit_odd);
    if (originals + odd == 0) {
        print_message("no JPEGs in %s\n", fixtures);
        skip();
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_every_sampling_and_size),
        TEST(test_samplings_of_one_scan_for_each_component),
        TEST(test_every_quality_and_content),
        TEST(test_overshoot),
        TEST(test_what_is_refused),
        TEST(test_encoding_is_deterministic),
        TEST(test_known_samples),
        TEST(test_extreme_coefficients),
        TEST(test_splits_make_it_smaller),
        cmocka_unit_test(test_kernels_agree_on_reading),
        cmocka_unit_test(test_kernels_agree_on_the_transform),
        TEST(test_every_length_but_the_right_one_is_refused),
        TEST(test_every_changed_byte_is_survived),
        TEST(test_lies_in_the_header),
        TEST(test_bombs_are_refused_before_memory),
        TEST(test_random_bytes),
        TEST(test_every_allocation_may_fail),
        TEST(test_real_files),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
