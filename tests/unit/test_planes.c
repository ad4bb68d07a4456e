// SPDX-License-Identifier: Apache-2.0
// The encoding `raw`: planes come back exactly, with every kernel; what is stored is what the
// format says; lies and truncations are refused.
#include "ingest_fixture.h"

#include "common/bytes.h"
#include "common/cpu.h"
#include "pack/planes.h"

typedef struct planes {
    rq_limits limits;
    rq_image img, back;
    rq_buf payload, scratch;
    rq_err err;
} planes;

static int setup(void **state)
{
    planes *p = calloc(1, sizeof *p);
    *state = p;
    if (!p)
        return -1;
    p->limits = rq_limits_default();
    return 0;
}

static int teardown(void **state)
{
    planes *p = *state;
    rq_image_free(&p->img);
    rq_image_free(&p->back);
    rq_buf_free(&p->payload);
    rq_buf_free(&p->scratch);
    free(p);
    return 0;
}

enum { NOISE, SLOPE, STRIPES, COLUMNS, GRAYISH, PATTERNS };

static uint8_t sample_of(int pattern, int plane, int x, int y, rq_rng *r)
{
    switch (pattern) {
    case NOISE:
        return (uint8_t)rq_rng_below(r, 256);
    case SLOPE: // predicted best from both sides
        return (uint8_t)(x * 7 + y * 11 + plane + (int)rq_rng_below(r, 2));
    case STRIPES: // rows differ: from the left
        return (uint8_t)((y * 83 + plane) ^ (int)rq_rng_below(r, 2));
    case COLUMNS: // from above
        return (uint8_t)((x * 83 + plane) ^ (int)rq_rng_below(r, 2));
    default: // all planes alike: less green
        return (uint8_t)((unsigned)(x * x * 3 + y * y * 5 + x * y) * 40503u >> 7);
    }
}

static void make(rq_image *img, rq_pixels pixels, int w, int h, int sub_x, int sub_y,
                 int pattern)
{
    rq_rng r = rq_rng_make(9, 8, 7, (uint32_t)w, (uint32_t)h);
    assert_int_equal(rq_image_shape(img, pixels, w, h, sub_x, sub_y, 1, NULL), RQ_OK);
    for (int i = 0; i < rq_pixels_planes(pixels); i++)
        for (int y = 0; y < img->plane[i].height; y++)
            for (int x = 0; x < img->plane[i].width; x++)
                img->plane[i].data[(size_t)y * img->plane[i].stride + (size_t)x] =
                    sample_of(pattern, i, x, y, &r);
}

static void assert_same(const rq_image *a, const rq_image *b)
{
    assert_int_equal(a->pixels, b->pixels);
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->height, b->height);
    assert_int_equal(a->sub_x, b->sub_x);
    assert_int_equal(a->sub_y, b->sub_y);
    for (int i = 0; i < rq_pixels_planes(a->pixels); i++)
        for (int y = 0; y < a->plane[i].height; y++)
            assert_memory_equal(a->plane[i].data + (size_t)y * a->plane[i].stride,
                                b->plane[i].data + (size_t)y * b->plane[i].stride,
                                (size_t)a->plane[i].width);
}

static unsigned levels(unsigned out[3])
{
    const unsigned have = rq_cpu_detect();
    unsigned n = 0;
    out[n++] = 0;
    if (have & RQ_CPU_AVX2)
        out[n++] = RQ_CPU_AVX2;
    if (have & RQ_CPU_AVX512)
        out[n++] = RQ_CPU_ALL;
    return n;
}

/* Decodes from a block of exactly the payload's size, so that a sanitizer sees one byte too
 * far. */
static rq_status decode(planes *p, unsigned flags, size_t bytes)
{
    uint8_t *copy = malloc(bytes ? bytes : 1);
    assert_non_null(copy);
    memcpy(copy, p->payload.data, bytes);
    rq_err_clear(&p->err);
    const rq_status st = rq_planes_decode(flags, copy, bytes, &p->limits, &p->back, &p->err);
    free(copy);
    assert_int_equal(st == RQ_OK, p->err.text[0] == 0);
    return st;
}

static void round_trip(planes *p)
{
    unsigned level[3];
    rq_image_info info;
    assert_ok(rq_planes_encode(&p->img, &p->scratch, &p->payload, &p->err), &p->err);
    assert_ok(rq_planes_probe(p->payload.data, p->payload.size, &p->limits, &info, &p->err),
              &p->err);
    assert_int_equal(info.width, p->img.width);
    assert_int_equal(info.height, p->img.height);
    assert_int_equal(info.pixels, p->img.pixels);
    assert_int_equal(info.orientation, 1);
    const unsigned n = levels(level);
    for (unsigned i = 0; i < n; i++) {
        assert_ok(decode(p, level[i], p->payload.size), &p->err);
        assert_same(&p->img, &p->back);
    }
}

static void planes_come_back(void **state)
{
    static const int widths[] = {1, 2, 15, 16, 31, 32, 33, 63, 64, 65, 127, 129, 200};
    static const int subs[][2] = {{1, 1}, {2, 1}, {2, 2}, {1, 2}, {4, 1}, {4, 4}};
    planes *p = *state;
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
        for (int h = 1; h < 12; h += 5)
            for (int pattern = 0; pattern < PATTERNS; pattern++) {
                make(&p->img, RQ_PIXELS_GRAY, widths[w], h, 1, 1, pattern);
                round_trip(p);
                make(&p->img, RQ_PIXELS_RGB, widths[w], h, 1, 1, pattern);
                round_trip(p);
                for (int s = 0; s < 6; s++) {
                    make(&p->img, RQ_PIXELS_YCBCR, widths[w], h, subs[s][0], subs[s][1],
                         pattern);
                    round_trip(p);
                }
            }
}

/* The predictor that a plane asks for, and red and blue less green where that is less. */
static void choices_are_made(void **state)
{
    planes *p = *state;
    static const uint8_t filter[PATTERNS] = {[SLOPE] = 3, [STRIPES] = 1, [COLUMNS] = 2};
    for (int pattern = SLOPE; pattern <= COLUMNS; pattern++) {
        make(&p->img, RQ_PIXELS_GRAY, 90, 60, 1, 1, pattern);
        round_trip(p);
        assert_int_equal(p->payload.data[16], filter[pattern]);
        assert_int_equal(p->payload.data[17], 0);
        assert_int_equal(p->payload.data[19], 0);
    }
    make(&p->img, RQ_PIXELS_RGB, 90, 60, 1, 1, GRAYISH);
    round_trip(p);
    assert_int_equal(p->payload.data[19], 1);
    for (size_t i = 0; i < 90 * 60; i++) // nothing is left of red and blue
        assert_int_equal(p->payload.data[24 + i] | p->payload.data[24 + 2 * 90 * 60 + i], 0);
    make(&p->img, RQ_PIXELS_RGB, 90, 60, 1, 1, NOISE);
    memset(p->img.plane[0].data, 7, p->img.plane[0].stride * 60);
    memset(p->img.plane[2].data, 9, p->img.plane[2].stride * 60);
    round_trip(p);
    assert_int_equal(p->payload.data[19], 0);
}

/* Three rows of three, worked out by hand from the format's text. */
static void bytes_are_those_of_the_format(void **state)
{
    static const uint8_t pixels[9] = {10, 12, 15, 20, 22, 25, 250, 252, 255};
    static const uint8_t want[] = {'R', 'Q', 'P', 'L', 1, 1,  1, 1, 3,   0, 0,
                                   0,   3,   0,   0,   0, 3,  0, 0, 0,   0, 0,
                                   0,   0,   10,  2,   3, 10, 0, 0, 230, 0, 0};
    planes *p = *state;
    assert_int_equal(rq_image_shape(&p->img, RQ_PIXELS_GRAY, 3, 3, 1, 1, 1, NULL), RQ_OK);
    for (int y = 0; y < 3; y++)
        memcpy(p->img.plane[0].data + (size_t)y * p->img.plane[0].stride, pixels + 3 * y, 3);
    assert_ok(rq_planes_encode(&p->img, &p->scratch, &p->payload, &p->err), &p->err);
    assert_int_equal(p->payload.size, sizeof want);
    assert_memory_equal(p->payload.data, want, sizeof want);
}

static void truncations_and_additions_are_refused(void **state)
{
    planes *p = *state;
    make(&p->img, RQ_PIXELS_YCBCR, 13, 9, 2, 2, SLOPE);
    round_trip(p);
    const size_t whole = p->payload.size;
    for (size_t n = 0; n < whole; n++)
        assert_int_not_equal(decode(p, RQ_CPU_ALL & rq_cpu_detect(), n), RQ_OK);
    assert_ok(rq_buf_append(&p->payload, NULL, 1, NULL), &p->err);
    assert_int_equal(decode(p, 0, whole + 1), RQ_BAD_FORMAT);
}

/* Every value of every header byte: refused, or a picture of the size that the header says. */
static void header_lies_are_harmless(void **state)
{
    planes *p = *state;
    int believed = 0;
    for (int kind = RQ_PIXELS_GRAY; kind <= RQ_PIXELS_RGB; kind++) {
        const int sub = kind == RQ_PIXELS_YCBCR ? 2 : 1;
        make(&p->img, (rq_pixels)kind, 14, 9, sub, sub, SLOPE);
        assert_ok(rq_planes_encode(&p->img, &p->scratch, &p->payload, &p->err), &p->err);
        for (int at = 0; at < RQ_PLANES_HEADER_BYTES; at++) {
            const uint8_t good = p->payload.data[at];
            for (int v = 0; v < 256; v++) {
                p->payload.data[at] = (uint8_t)v;
                const rq_status st = decode(p, rq_cpu_detect(), p->payload.size);
                assert_true(st == RQ_OK || st == RQ_BAD_FORMAT || st == RQ_TRUNCATED ||
                            st == RQ_UNSUPPORTED || st == RQ_LIMIT);
                believed += st == RQ_OK && v != good;
                if (st == RQ_OK)
                    assert_int_equal(p->back.width * p->back.height, 14 * 9);
            }
            p->payload.data[at] = good;
        }
    }
    // Two other predictors for each of 1 + 3 + 3 planes, red and blue less green, and RGB taken
    // for YCbCr without subsampling.
    assert_int_equal(believed, 2 * 7 + 1 + 1);
    rq_put_le32(p->payload.data + 8, 65535);
    rq_put_le32(p->payload.data + 12, 65535);
    assert_int_equal(decode(p, 0, p->payload.size), RQ_LIMIT); // before anything is allocated
}

static void memory_runs_out_cleanly(void **state)
{
    planes *p = *state;
    make(&p->img, RQ_PIXELS_RGB, 50, 50, 1, 1, GRAYISH);
    for (long n = 1;; n++) {
        rq_buf payload = {0}, scratch = {0};
        rq_image back = {0};
        rq_err_clear(&p->err);
        rq_mem_fail_nth(n);
        rq_status st = rq_planes_encode(&p->img, &scratch, &payload, &p->err);
        if (st == RQ_OK)
            st = rq_planes_decode(0, payload.data, payload.size, &p->limits, &back, &p->err);
        rq_mem_fail_nth(0);
        rq_buf_free(&payload);
        rq_buf_free(&scratch);
        rq_image_free(&back);
        if (st == RQ_OK) {
            assert_true(n > 3);
            return;
        }
        assert_int_equal(st, RQ_OOM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(planes_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(choices_are_made, setup, teardown),
        cmocka_unit_test_setup_teardown(bytes_are_those_of_the_format, setup, teardown),
        cmocka_unit_test_setup_teardown(truncations_and_additions_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(header_lies_are_harmless, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_runs_out_cleanly, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
