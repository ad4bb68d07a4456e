// SPDX-License-Identifier: Apache-2.0
// JPEG coefficients: what is read is what libjpeg's own decoder sees, what is written reads
// back and shows the same pixels, and every file that coefficients alone do not explain is
// refused.
#include "dct_fixture.h"

#include "ingest/jpeg_coef.h"

typedef struct fixture {
    rq_jpeg_coder *coder;
    rq_limits limits;
    rq_jpeg_coefs a, b;
    rq_buf file, again;
    rq_err err;
} fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    *state = f;
    if (f == NULL)
        return -1;
    f->limits = rq_limits_default();
    return rq_jpeg_coder_create(&f->coder, &f->limits, &f->err) == RQ_OK ? 0 : -1;
}

static int teardown(void **state)
{
    fixture *f = *state;
    rq_jpeg_coder_destroy(&f->coder);
    rq_jpeg_coefs_free(&f->a);
    rq_jpeg_coefs_free(&f->b);
    rq_buf_free(&f->file);
    rq_buf_free(&f->again);
    free(f);
    return 0;
}

static rq_status read_coefs(fixture *f, const rq_buf *file, rq_jpeg_coefs *c)
{
    memset(&f->err, 0, sizeof f->err);
    return rq_jpeg_coefs_read(f->coder, file->data, file->size, c, &f->err);
}

static void assert_same(const rq_jpeg_coefs *a, const rq_jpeg_coefs *b)
{
    assert_int_equal(a->pixels, b->pixels);
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->height, b->height);
    assert_int_equal(a->components, b->components);
    for (int i = 0; i < a->components; i++) {
        const rq_jpeg_component *x = &a->component[i], *y = &b->component[i];
        assert_int_equal(x->h, y->h);
        assert_int_equal(x->v, y->v);
        assert_int_equal(x->blocks_x, y->blocks_x);
        assert_int_equal(x->blocks_y, y->blocks_y);
        assert_memory_equal(x->quant, y->quant, sizeof x->quant);
        assert_memory_equal(x->coef, y->coef,
                            (size_t)x->blocks_x * (size_t)x->blocks_y * 64 * sizeof *x->coef);
    }
}

/* The whole picture in the file's own colour space, by libjpeg. */
static uint8_t *pixels_of(const rq_buf *file, size_t *bytes)
{
    struct jpeg_decompress_struct d;
    struct jpeg_error_mgr errors;
    d.err = jpeg_std_error(&errors);
    jpeg_create_decompress(&d);
    jpeg_mem_src(&d, file->data, file->size);
    jpeg_read_header(&d, TRUE);
    d.out_color_space = d.jpeg_color_space;
    jpeg_start_decompress(&d);
    const size_t row_bytes = (size_t)d.output_width * (size_t)d.output_components;
    *bytes = row_bytes * d.output_height;
    uint8_t *out = malloc(*bytes);
    assert_non_null(out);
    while (d.output_scanline < d.output_height) {
        JSAMPROW row = out + d.output_scanline * row_bytes;
        jpeg_read_scanlines(&d, &row, 1);
    }
    jpeg_finish_decompress(&d);
    jpeg_destroy_decompress(&d);
    return out;
}

/* ---- what can be held -------------------------------------------------------------------- */

static void test_files_come_back(void **state)
{
    fixture *f = *state;
    static const int sizes[][2] = {{1, 1}, {8, 8}, {9, 17}, {33, 31}, {100, 3}};
    for (int s = 0; s < DCT_SAMPLINGS; s++) {
        for (size_t z = 0; z < sizeof sizes / sizeof *sizes; z++) {
            for (int coding = 0; coding < DCT_CODINGS; coding++) {
                dct_spec spec = dct_samplings[s];
                spec.width = sizes[z][0];
                spec.height = sizes[z][1];
                spec.quality = coding == DCT_BASELINE ? 2 : 85;
                spec.content = DCT_PHOTO;
                spec.coding = (dct_coding)coding;
                dct_make_jpeg(&f->file, &spec);
                assert_ok(read_coefs(f, &f->file, &f->a), &f->err);
                assert_int_equal(f->a.width, spec.width);
                assert_int_equal(f->a.component[0].h, spec.h[0]);
                assert_ok(rq_jpeg_coefs_write(f->coder, &f->a, &f->again, &f->err), &f->err);
                assert_ok(read_coefs(f, &f->again, &f->b), &f->err);
                assert_same(&f->a, &f->b);
                size_t n = 0, m = 0;
                uint8_t *p = pixels_of(&f->file, &n), *q = pixels_of(&f->again, &m);
                assert_int_equal(n, m);
                assert_memory_equal(p, q, n);
                free(p);
                free(q);
            }
        }
    }
}

static void test_coefficients_are_what_the_samples_ask_for(void **state)
{
    fixture *f = *state;
    /* A picture of one grey: DC is 8 (grey - 128) / q, everything else 0. */
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    unsigned char *file = NULL;
    unsigned long bytes = 0;
    c.err = jpeg_std_error(&errors);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &file, &bytes);
    c.image_width = 24;
    c.image_height = 9;
    c.input_components = 1;
    c.in_color_space = JCS_GRAYSCALE;
    jpeg_set_defaults(&c);
    jpeg_set_quality(&c, 100, TRUE); /* all steps are 1 */
    jpeg_start_compress(&c, TRUE);
    JSAMPLE row[24];
    memset(row, 200, sizeof row);
    JSAMPROW rows = row;
    for (int y = 0; y < 9; y++)
        jpeg_write_scanlines(&c, &rows, 1);
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    assert_ok(rq_jpeg_coefs_read(f->coder, file, bytes, &f->a, &f->err), &f->err);
    free(file);
    const rq_jpeg_component *p = &f->a.component[0];
    assert_int_equal(f->a.pixels, RQ_PIXELS_GRAY);
    assert_int_equal(p->blocks_x, 3);
    assert_int_equal(p->blocks_y, 2);
    for (int i = 0; i < 6 * 64; i++)
        assert_int_equal(p->coef[i], i % 64 == 0 ? 8 * (200 - 128) : 0);
}

static void test_writing_is_deterministic(void **state)
{
    fixture *f = *state;
    dct_spec spec = dct_samplings[3];
    spec.width = 70;
    spec.height = 50;
    spec.quality = 80;
    dct_make_jpeg(&f->file, &spec);
    assert_ok(read_coefs(f, &f->file, &f->a), &f->err);
    assert_ok(rq_jpeg_coefs_write(f->coder, &f->a, &f->again, &f->err), &f->err);
    rq_jpeg_coder *other = NULL;
    rq_buf twice = {0};
    assert_ok(rq_jpeg_coder_create(&other, &f->limits, &f->err), &f->err);
    assert_ok(rq_jpeg_coefs_write(other, &f->a, &twice, &f->err), &f->err);
    assert_ok(rq_jpeg_coefs_write(other, &f->a, &twice, &f->err), &f->err);
    assert_int_equal(twice.size, f->again.size);
    assert_memory_equal(twice.data, f->again.data, twice.size);
    rq_buf_free(&twice);
    rq_jpeg_coder_destroy(&other);
}

/* ---- what cannot ------------------------------------------------------------------------- */

static void make_plain(fixture *f, dct_coding coding)
{
    dct_spec spec = dct_samplings[2];
    spec.width = 64;
    spec.height = 48;
    spec.quality = 90;
    spec.coding = coding;
    dct_make_jpeg(&f->file, &spec);
}

/* Takes the Huffman tables out, as a frame of Motion JPEG has it: the standard's then count. */
static void strip_tables(rq_buf *file)
{
    size_t at = 2, to = 2;
    while (file->data[at + 1] != 0xda) {
        const size_t bytes = 2 + ((size_t)file->data[at + 2] << 8 | file->data[at + 3]);
        if (file->data[at + 1] != 0xc4) {
            memmove(file->data + to, file->data + at, bytes);
            to += bytes;
        }
        at += bytes;
    }
    memmove(file->data + to, file->data + at, file->size - at);
    file->size -= at - to;
}

/* libjpeg keeps the tables of one file for the next. */
static void test_files_know_nothing_of_each_other(void **state)
{
    fixture *f = *state;
    make_plain(f, DCT_BASELINE);
    const size_t whole = f->file.size;
    strip_tables(&f->file);
    assert_true(f->file.size < whole);
    rq_buf stripped = {0};
    assert_ok(rq_buf_append(&stripped, f->file.data, f->file.size, &f->err), &f->err);
    assert_ok(read_coefs(f, &stripped, &f->a), &f->err);
    make_plain(f, DCT_PROGRESSIVE); /* optimised tables */
    assert_ok(read_coefs(f, &f->file, &f->b), &f->err);
    assert_ok(read_coefs(f, &stripped, &f->b), &f->err);
    assert_same(&f->a, &f->b);
    rq_buf_free(&stripped);
}

static void test_damage_is_refused(void **state)
{
    fixture *f = *state;
    make_plain(f, DCT_BASELINE);
    const size_t whole = f->file.size;
    f->file.size = whole - 2; /* no end marker */
    assert_status(read_coefs(f, &f->file, &f->a), RQ_UNSUPPORTED);
    assert_non_null(strstr(f->err.text, "warns"));
    f->file.size = whole / 2;
    assert_status(read_coefs(f, &f->file, &f->a), RQ_UNSUPPORTED);
    f->file.size = 20;
    assert_int_not_equal(read_coefs(f, &f->file, &f->a), RQ_OK);
    f->file.size = 0;
    assert_status(read_coefs(f, &f->file, &f->a), RQ_TRUNCATED);
    f->file.size = whole;
    f->file.data[0] = 'x';
    assert_status(read_coefs(f, &f->file, &f->a), RQ_BAD_FORMAT);
    f->file.data[0] = 0xff;
    assert_ok(read_coefs(f, &f->file, &f->a), &f->err); /* the coder is as good as new */
}

/* Every length at which a progressive file can end: never a success. */
static void test_missing_scans_are_refused(void **state)
{
    fixture *f = *state;
    make_plain(f, DCT_PROGRESSIVE);
    const size_t whole = f->file.size;
    for (size_t n = whole - 1; n > 400; n -= 7) {
        /* cut, with an end marker where the cut is */
        rq_buf cut = {0};
        assert_ok(rq_buf_append(&cut, f->file.data, n, &f->err), &f->err);
        assert_ok(rq_buf_append(&cut, "\xff\xd9", 2, &f->err), &f->err);
        if (n < whole - 2)
            assert_int_not_equal(read_coefs(f, &cut, &f->a), RQ_OK);
        rq_buf_free(&cut);
    }
}

/* A scan less, cleanly: nothing to warn about, yet coefficients are missing. */
static void test_a_scan_left_out_is_refused(void **state)
{
    fixture *f = *state;
    make_plain(f, DCT_PROGRESSIVE);
    size_t last = 0;
    for (size_t i = 0; i + 1 < f->file.size; i++)
        if (f->file.data[i] == 0xff && f->file.data[i + 1] == 0xda)
            last = i;
    assert_int_not_equal(last, 0);
    /* The scan's Huffman table stands before it; a table without a scan is no offence. */
    f->file.data[last] = 0xff;
    f->file.data[last + 1] = 0xd9;
    f->file.size = last + 2;
    assert_status(read_coefs(f, &f->file, &f->a), RQ_UNSUPPORTED);
    assert_non_null(strstr(f->err.text, "missing"));
}

static void test_other_colours_are_refused(void **state)
{
    fixture *f = *state;
    const dct_spec cmyk = {.width = 20,
                           .height = 20,
                           .components = 4,
                           .h = {1, 1, 1, 1},
                           .v = {1, 1, 1, 1},
                           .quality = 90};
    dct_make_jpeg(&f->file, &cmyk);
    assert_status(read_coefs(f, &f->file, &f->a), RQ_UNSUPPORTED);
}

static void test_limits(void **state)
{
    fixture *f = *state;
    make_plain(f, DCT_PROGRESSIVE);
    rq_limits tight = f->limits;
    rq_jpeg_coder *j = NULL;
    tight.max_side = 63;
    assert_ok(rq_jpeg_coder_create(&j, &tight, &f->err), &f->err);
    assert_status(rq_jpeg_coefs_read(j, f->file.data, f->file.size, &f->a, NULL), RQ_LIMIT);
    rq_jpeg_coder_destroy(&j);
    tight = f->limits;
    tight.max_scans = 3;
    assert_ok(rq_jpeg_coder_create(&j, &tight, &f->err), &f->err);
    assert_status(rq_jpeg_coefs_read(j, f->file.data, f->file.size, &f->a, NULL), RQ_LIMIT);
    rq_jpeg_coder_destroy(&j);
    tight = f->limits;
    tight.max_memory_bytes = 1000;
    rq_jpeg_coefs c = {.width = 65535, .height = 65535, .components = 1};
    c.component[0].h = c.component[0].v = 1;
    assert_status(rq_jpeg_coefs_shape(&c, &tight, NULL), RQ_LIMIT);
    assert_status(rq_jpeg_coefs_shape(&c, &f->limits, NULL), RQ_LIMIT);
    c.width = 65536;
    c.height = 1;
    assert_status(rq_jpeg_coefs_shape(&c, &f->limits, NULL), RQ_LIMIT);
    assert_null(c.storage);
}

static void test_coefficients_too_large_to_write(void **state)
{
    fixture *f = *state;
    make_plain(f, DCT_BASELINE);
    assert_ok(read_coefs(f, &f->file, &f->a), &f->err);
    f->a.component[1].coef[64 + 5] = RQ_JPEG_MAX_AC;
    assert_ok(rq_jpeg_coefs_write(f->coder, &f->a, &f->again, &f->err), &f->err);
    f->a.component[1].coef[64 + 5] = RQ_JPEG_MAX_AC + 1;
    assert_status(rq_jpeg_coefs_write(f->coder, &f->a, &f->again, NULL), RQ_BAD_FORMAT);
    assert_int_equal(f->again.size, 0);
    f->a.component[1].coef[64 + 5] = 1;
    f->a.component[0].coef[0] = RQ_JPEG_MIN_DC;
    f->a.component[0].coef[64] = RQ_JPEG_MAX_DC;
    assert_ok(rq_jpeg_coefs_write(f->coder, &f->a, &f->again, &f->err), &f->err);
}

static void test_out_of_memory(void **state)
{
    fixture *f = *state;
    make_plain(f, DCT_BASELINE);
    rq_jpeg_coder *j = NULL;
    rq_mem_fail_nth(1);
    assert_status(rq_jpeg_coder_create(&j, &f->limits, NULL), RQ_OOM);
    assert_null(j);
    rq_mem_fail_nth(1);
    assert_status(rq_jpeg_coefs_read(f->coder, f->file.data, f->file.size, &f->a, NULL),
                  RQ_OOM);
    rq_mem_fail_nth(0);
    assert_ok(read_coefs(f, &f->file, &f->a), &f->err);
    rq_mem_fail_nth(1);
    assert_status(rq_jpeg_coefs_write(f->coder, &f->a, &f->again, NULL), RQ_OOM);
    rq_mem_fail_nth(0);
    assert_ok(rq_jpeg_coefs_write(f->coder, &f->a, &f->again, &f->err), &f->err);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_files_come_back),
        TEST(test_coefficients_are_what_the_samples_ask_for),
        TEST(test_writing_is_deterministic),
        TEST(test_files_know_nothing_of_each_other),
        TEST(test_damage_is_refused),
        TEST(test_missing_scans_are_refused),
        TEST(test_a_scan_left_out_is_refused),
        TEST(test_other_colours_are_refused),
        TEST(test_limits),
        TEST(test_coefficients_too_large_to_write),
        TEST(test_out_of_memory),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
