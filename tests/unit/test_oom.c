// SPDX-License-Identifier: Apache-2.0
//
// Every allocation of packing and reading fails once, for every encoding: the answer is OUT OF
// MEMORY or the very result that a run with enough memory gives, never damage, another verdict
// or a fallback, and nothing is left behind (the leak checker of the address sanitizer looks).
#include "test.h"

#include "common/file.h"
#include "ingest/jpeg_encode.h"
#include "pack/dataset.h"
#include "pack/encode.h"
#include "pack/shard_writer.h"
#include "pack/verify.h"

/* A failure may be one that can be lived with, so a sweep ends behind CALM successes in a row.
 */
enum { WIDTH = 37, HEIGHT = 21, MOST = 3000, CALM = 12 };

typedef struct fixture {
    rq_buf jpeg, frame; /* a source image, and its sample as encoded without trouble */
    rq_index_entry entry;
    rq_masks *masks;
    rq_encode_opts opts;
} fixture;

static rq_record make_record(const fixture *f)
{
    return (rq_record){.entry = {.id = 3,
                                 .name = "cat/one.jpg",
                                 .class_name = "cat",
                                 .label = 0,
                                 .bytes = f->jpeg.size},
                       .data = f->jpeg.data,
                       .size = f->jpeg.size};
}

/* One record with an encoder of its own. */
static rq_status encode(const fixture *f, rq_encoded *out)
{
    const rq_limits limits = rq_limits_default();
    const rq_record rec = make_record(f);
    rq_encoder *e = NULL;
    rq_err err = {0};
    rq_status s = rq_encoder_create(&e, &f->opts, &limits, f->masks, &err);
    if (s == RQ_OK)
        s = rq_encode_record(e, &rec, false, out, &err);
    rq_encoder_destroy(&e);
    assert_int_equal(s == RQ_OK, err.text[0] == '\0');
    return s;
}

/* The source, a mask beside it, and a shard "one.tar.zst" of the one sample. False when this
 * build cannot write the encoding. */
static bool prepare(fixture *f, rq_encoding encoding)
{
    uint8_t pixels[HEIGHT][WIDTH][3];
    for (int y = 0; y < HEIGHT; y++) {
        for (int x = 0; x < WIDTH; x++) {
            for (int c = 0; c < 3; c++)
                pixels[y][x][c] = (uint8_t)(x * 5 + y * (3 + c) + (x * y) % 9);
        }
    }
    rq_err err = {0};
    rq_encoded e = {0};
    rq_shard_writer *w;
    rq_manifest_shard info = {0};
    assert_ok(rq_jpeg_write(&pixels[0][0][0], WIDTH, HEIGHT, 3, 90, &f->jpeg, &err), &err);
    assert_ok(rq_mkdirs("masks/cat", &err), &err);
    rq_buf mask = {0};
    assert_ok(rq_buf_append(&mask, "P5\n37 21\n255\n", 13, &err), &err);
    assert_ok(rq_buf_append(&mask, NULL, (size_t)WIDTH * HEIGHT, &err), &err);
    assert_ok(rq_file_write_atomic("masks/cat/one.pgm", mask.data, mask.size, &err), &err);
    rq_buf_free(&mask);
    assert_ok(rq_masks_open(&f->masks, "masks", &err), &err);
    rq_encode_opts_default(&f->opts);
    f->opts.encoding = encoding;
    if (rq_encode_opts_check(&f->opts, &err) != RQ_OK)
        return false;
    assert_status(encode(f, &e), RQ_OK);
    assert_int_equal(e.entry.encoding, encoding);
    assert_true(e.entry.flags & RQ_ENTRY_HAS_MASK);
    assert_ok(rq_shard_writer_create(&w, "one.tar.zst", &err), &err);
    assert_ok(rq_shard_writer_append(w, &e.entry, e.frame.data, &err), &err);
    assert_ok(rq_shard_writer_finish(&w, &info, &err), &err);
    f->entry = e.entry;
    f->frame = e.frame;
    e.frame = (rq_buf){0};
    rq_encoded_fini(&e);
    return true;
}

static void clean(fixture *f)
{
    rq_buf_free(&f->jpeg);
    rq_buf_free(&f->frame);
    rq_masks_close(&f->masks);
}

/* Encodes with the n-th allocation failing, for every n there is. */
static void sweep_encode(const fixture *f)
{
    int n = 1;
    for (int calm = 0; calm < CALM && n < MOST; n++) {
        rq_encoded e = {0};
        rq_mem_fail_nth(n);
        const rq_status s = encode(f, &e);
        rq_mem_fail_nth(0);
        if (s != RQ_OK) {
            assert_status(s, RQ_OOM);
            calm = 0;
        } else {
            calm++;
            assert_int_equal(e.frame.size, f->frame.size);
            assert_memory_equal(e.frame.data, f->frame.data, e.frame.size);
            assert_false(e.mask_failed || e.fallback);
        }
        rq_encoded_fini(&e);
    }
    assert_true(n > CALM + 5 && n < MOST);
}

/* Opens, reads, decodes picture and mask. */
static rq_status read_one(rq_image *img, rq_image *mask)
{
    rq_dataset *ds = NULL;
    rq_reader *r = NULL;
    rq_sample sample;
    rq_err err = {0};
    rq_status s = rq_dataset_open(&ds, "one.tar.zst", &err);
    if (s == RQ_OK)
        s = rq_reader_create(&r, ds, &err);
    if (s == RQ_OK)
        s = rq_reader_get(r, 0, &sample, &err);
    if (s == RQ_OK)
        s = rq_reader_decode(r, &sample, img, &err);
    if (s == RQ_OK)
        s = rq_reader_decode_mask(r, &sample, mask, &err);
    rq_reader_destroy(&r);
    rq_dataset_close(&ds);
    assert_int_equal(s == RQ_OK, err.text[0] == '\0');
    return s;
}

static void sweep_read(void)
{
    int n = 1;
    for (int calm = 0; calm < CALM && n < MOST; n++) {
        rq_image img = {0}, mask = {0};
        rq_mem_fail_nth(n);
        const rq_status s = read_one(&img, &mask);
        rq_mem_fail_nth(0);
        if (s != RQ_OK) {
            assert_status(s, RQ_OOM);
            calm = 0;
        } else {
            calm++;
            assert_int_equal(img.width, WIDTH);
            assert_int_equal(mask.height, HEIGHT);
        }
        rq_image_free(&img);
        rq_image_free(&mask);
    }
    assert_true(n > CALM + 5 && n < MOST);
}

/* A machine without memory must not read as a damaged dataset. */
static void sweep_verify(void)
{
    const rq_verify_opts opts = {.deep = true, .threads = 1};
    int n = 1;
    for (int calm = 0; calm < CALM && n < MOST; n++) {
        rq_verify_result result = {0};
        rq_err err = {0};
        rq_mem_fail_nth(n);
        const rq_status s = rq_verify("one.tar.zst", &opts, &result, &err);
        rq_mem_fail_nth(0);
        calm = s == RQ_OK ? calm + 1 : 0;
        if (s != RQ_OK)
            assert_status(s, RQ_OOM);
        assert_int_equal(result.damaged_samples + result.damaged_other, 0);
    }
    assert_true(n > CALM + 5 && n < MOST);
}

static void sweep(rq_encoding encoding)
{
    fixture f = {0};
    const bool can = prepare(&f, encoding);
    if (can) {
        sweep_encode(&f);
        sweep_read();
        sweep_verify();
    }
    clean(&f);
    if (!can)
        skip();
}

static void jpeg_without_memory(void **state)
{
    (void)state;
    sweep(RQ_ENCODING_JPEG);
}

static void dct_without_memory(void **state)
{
    (void)state;
    sweep(RQ_ENCODING_DCT);
}

static void raw_without_memory(void **state)
{
    (void)state;
    sweep(RQ_ENCODING_RAW);
}

static void avif_without_memory(void **state)
{
    (void)state;
    sweep(RQ_ENCODING_AVIF);
}

int main(void)
{
#define TEST(name)                                                                             \
    cmocka_unit_test_setup_teardown(name, test_enter_temp_dir, test_remove_temp_dir)
    const struct CMUnitTest tests[] = {TEST(jpeg_without_memory), TEST(dct_without_memory),
                                       TEST(raw_without_memory), TEST(avif_without_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
