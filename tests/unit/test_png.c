// SPDX-License-Identifier: Apache-2.0
// PNG of every kind that libpng can write, our writer, damage, and chunks that swell.
#include "ingest_fixture.h"

#include <png.h>
#include <zlib.h>

typedef struct png_spec {
    int width, height, depth, colour; /* PNG_COLOR_TYPE_ */
    bool interlaced;
    bool keyed; /* a tRNS chunk */
} png_spec;

static void on_write(png_structp png, png_bytep data, size_t n)
{
    assert_int_equal(rq_buf_append(png_get_io_ptr(png), data, n, NULL), RQ_OK);
}

static void on_flush(png_structp png)
{
}

/* rows: packed as PNG wants them. */
static void fixture_png(rq_buf *dst, const png_spec *spec, uint8_t *rows, size_t row_bytes)
{
    dst->size = 0;
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop meta = png_create_info_struct(png);
    png_set_write_fn(png, dst, on_write, on_flush);
    png_set_IHDR(png, meta, (png_uint_32)spec->width, (png_uint_32)spec->height, spec->depth,
                 spec->colour, spec->interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (spec->colour == PNG_COLOR_TYPE_PALETTE) {
        png_color palette[256];
        for (int i = 0; i < 256; i++)
            palette[i] = (png_color){(png_byte)i, (png_byte)(255 - i), (png_byte)(i * 7)};
        png_set_PLTE(png, meta, palette, 1 << spec->depth);
    }
    const png_color_16 key = {.red = 1, .green = 2, .blue = 3, .gray = 1};
    png_byte half = 128;
    if (spec->keyed)
        png_set_tRNS(png, meta, spec->colour == PNG_COLOR_TYPE_PALETTE ? &half : NULL, 1, &key);
    png_write_info(png, meta);
    const int passes = png_set_interlace_handling(png);
    for (int pass = 0; pass < passes; pass++) {
        for (int y = 0; y < spec->height; y++)
            png_write_row(png, rows + (size_t)y * row_bytes);
    }
    png_write_end(png, meta);
    png_destroy_write_struct(&png, &meta);
}

static int channels_of(int colour)
{
    return colour == PNG_COLOR_TYPE_RGB          ? 3
           : colour == PNG_COLOR_TYPE_RGB_ALPHA  ? 4
           : colour == PNG_COLOR_TYPE_GRAY_ALPHA ? 2
                                                 : 1;
}

/* The 8-bit sample that channel c of pixel x stands for, from first principles. */
static int expected_sample(const png_spec *spec, const uint8_t *row, int x, int c)
{
    const int channels = channels_of(spec->colour);
    if (spec->depth == 16) {
        const uint8_t *p = row + (x * channels + c) * 2;
        return (p[0] * 256 + p[1] + 128) / 257; /* nearest */
    }
    if (spec->depth == 8 && spec->colour != PNG_COLOR_TYPE_PALETTE)
        return row[x * channels + c];
    const int per_byte = 8 / spec->depth, shift = 8 - spec->depth * (x % per_byte + 1);
    const int v = row[x / per_byte] >> shift & ((1 << spec->depth) - 1);
    if (spec->colour == PNG_COLOR_TYPE_PALETTE)
        return c == 0 ? v : c == 1 ? 255 - v : (v * 7) & 255;
    return v * 255 / ((1 << spec->depth) - 1);
}

static void check_png(codec_fixture *f, const png_spec *spec)
{
    const int channels = channels_of(spec->colour);
    const size_t row_bytes =
        ((size_t)spec->width * (size_t)channels * (size_t)spec->depth + 7) / 8;
    uint8_t *rows = fixture_pixels((int)row_bytes, spec->height, 1);
    fixture_png(&f->file, spec, rows, row_bytes);
    assert_ok(codec_decode(f, true), &f->err);
    const bool gray =
        spec->colour == PNG_COLOR_TYPE_GRAY || spec->colour == PNG_COLOR_TYPE_GRAY_ALPHA;
    const bool alpha = (spec->colour & PNG_COLOR_MASK_ALPHA) != 0 || spec->keyed;
    assert_int_equal(f->info.codec, RQ_CODEC_PNG);
    assert_int_equal(f->img.pixels, gray ? RQ_PIXELS_GRAY : RQ_PIXELS_RGB);
    assert_int_equal(f->info.pixels, f->img.pixels);
    assert_int_equal(f->info.bit_depth, spec->depth);
    assert_int_equal(f->info.alpha, alpha);
    assert_int_equal(f->info.notes,
                     (alpha ? RQ_NOTE_ALPHA : 0) | (gray ? RQ_NOTE_GRAY : 0) |
                         (spec->depth == 16 ? RQ_NOTE_DEPTH : 0) |
                         (spec->colour == PNG_COLOR_TYPE_PALETTE ? RQ_NOTE_PALETTE : 0));
    for (int c = 0; c < rq_pixels_planes(f->img.pixels); c++) {
        for (int y = 0; y < spec->height; y++) {
            for (int x = 0; x < spec->width; x++) {
                const int got =
                    f->img.plane[c].data[(size_t)y * f->img.plane[c].stride + (size_t)x];
                const int want = expected_sample(spec, rows + (size_t)y * row_bytes, x, c);
                if (got != want)
                    fail_msg("colour %d depth %d, %d,%d,%d: %d, expected %d", spec->colour,
                             spec->depth, x, y, c, got, want);
            }
        }
    }
    free(rows);
}

static void every_kind_is_read(void **state)
{
    static const struct {
        int colour, depth;
    } kinds[] = {
        {PNG_COLOR_TYPE_GRAY, 1},       {PNG_COLOR_TYPE_GRAY, 2},
        {PNG_COLOR_TYPE_GRAY, 4},       {PNG_COLOR_TYPE_GRAY, 8},
        {PNG_COLOR_TYPE_GRAY, 16},      {PNG_COLOR_TYPE_RGB, 8},
        {PNG_COLOR_TYPE_RGB, 16},       {PNG_COLOR_TYPE_PALETTE, 1},
        {PNG_COLOR_TYPE_PALETTE, 4},    {PNG_COLOR_TYPE_PALETTE, 8},
        {PNG_COLOR_TYPE_GRAY_ALPHA, 8}, {PNG_COLOR_TYPE_GRAY_ALPHA, 16},
        {PNG_COLOR_TYPE_RGB_ALPHA, 8},  {PNG_COLOR_TYPE_RGB_ALPHA, 16},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        for (int variant = 0; variant < 4; variant++) {
            const bool has_alpha = (kinds[i].colour & PNG_COLOR_MASK_ALPHA) != 0;
            check_png(*state, &(png_spec){.width = 13,
                                          .height = 9,
                                          .depth = kinds[i].depth,
                                          .colour = kinds[i].colour,
                                          .interlaced = (variant & 1) != 0,
                                          .keyed = (variant & 2) != 0 && !has_alpha});
        }
    }
}

static void what_we_write_reads_back(void **state)
{
    codec_fixture *f = *state;
    for (int channels = 1; channels <= 3; channels += 2) {
        uint8_t *pixels = fixture_pixels(61, 43, channels);
        assert_ok(rq_png_encode(pixels, 61, 43, channels, &f->file, &f->err), &f->err);
        assert_ok(codec_decode(f, true), &f->err);
        assert_int_equal(f->info.width, 61);
        assert_int_equal(f->info.notes, channels == 1 ? RQ_NOTE_GRAY : 0);
        assert_planes(&f->img, pixels, channels);
        free(pixels);
    }
    assert_status(rq_png_encode(NULL, 0, 4, 3, &f->file, &f->err), RQ_INVALID_ARG);
    assert_status(rq_png_encode(NULL, 4, 4, 2, &f->file, NULL), RQ_INVALID_ARG);
    uint8_t pixel[3] = {1, 2, 3};
    rq_buf fresh = {0};
    rq_mem_fail_nth(1);
    assert_status(rq_png_encode(pixel, 1, 1, 3, &fresh, NULL), RQ_OOM);
    rq_mem_fail_nth(0);
    rq_buf_free(&fresh);
}

static void truncation_is_never_accepted(void **state)
{
    codec_fixture *f = *state;
    for (int interlaced = 0; interlaced < 2; interlaced++) {
        uint8_t *rows = fixture_pixels(60 * 3, 50, 1);
        fixture_png(&f->file,
                    &(png_spec){.width = 60,
                                .height = 50,
                                .depth = 8,
                                .colour = PNG_COLOR_TYPE_RGB,
                                .interlaced = interlaced != 0},
                    rows, 180);
        for (size_t n = 0; n + 40 < f->file.size; n += 97) {
            const rq_status s = decode_prefix(f, n, false);
            assert_true(s == RQ_TRUNCATED || (n < 8 && s == RQ_BAD_FORMAT));
        }
        /* Only the end chunk is gone: every row is there. */
        assert_status(decode_prefix(f, f->file.size - 12, true), RQ_TRUNCATED);
        assert_status(decode_prefix(f, f->file.size - 12, false), RQ_OK);
        assert_int_equal(f->info.notes, RQ_NOTE_CODEC_WARNING);
        assert_planes(&f->img, rows, 3);
        assert_status(rq_buf_append(&f->file, "x", 1, NULL), RQ_OK);
        assert_ok(codec_decode(f, true), &f->err);
        assert_int_equal(f->info.notes, RQ_NOTE_TRAILING);
        free(rows);
    }
}

static void no_changed_byte_harms_the_decoder(void **state)
{
    codec_fixture *f = *state;
    uint8_t *rows = fixture_pixels(20 * 4, 20, 1);
    fixture_png(
        &f->file,
        &(png_spec){.width = 20, .height = 20, .depth = 8, .colour = PNG_COLOR_TYPE_RGB_ALPHA},
        rows, 80);
    free(rows);
    size_t accepted = 0;
    for (size_t i = 8; i < f->file.size; i++) {
        f->file.data[i] ^= 0x55;
        accepted += decode_prefix(f, f->file.size, true) == RQ_OK;
        f->file.data[i] ^= 0x55;
    }
    assert_int_equal(accepted, 0); /* all of it is under a CRC or a length */
}

/* CRC-32 of PNG, bit by bit (ISO 3309). */
static uint32_t png_crc(const uint8_t *data, size_t n)
{
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < n; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return ~crc;
}

static void put_be32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static void an_animation_gives_its_first_frame(void **state)
{
    codec_fixture *f = *state;
    const uint8_t pixel[3] = {9, 8, 7};
    uint8_t chunk[20] = {0, 0, 0, 8, 'a', 'c', 'T', 'L', 0, 0, 0, 2};
    put_be32(chunk + 16, png_crc(chunk + 4, 12));
    rq_buf out = {0};
    assert_ok(rq_png_encode(pixel, 1, 1, 3, &f->file, &f->err), &f->err);
    assert_status(rq_buf_append(&out, f->file.data, 33, NULL), RQ_OK);
    assert_status(rq_buf_append(&out, chunk, sizeof chunk, NULL), RQ_OK);
    assert_status(rq_buf_append(&out, f->file.data + 33, f->file.size - 33, NULL), RQ_OK);
    rq_buf_free(&f->file);
    f->file = out;
    assert_ok(codec_decode(f, true), &f->err);
    assert_int_equal(f->info.notes, RQ_NOTE_SEQUENCE);
    assert_planes(&f->img, pixel, 3);
}

/* 64 MiB of text in 64 KiB of a chunk: it is not even unpacked. */
static void compressed_text_stays_packed(void **state)
{
    codec_fixture *f = *state;
    enum { SWOLLEN = 64 << 20 };
    char *text = malloc(SWOLLEN + 1);
    assert_non_null(text);
    memset(text, 'a', SWOLLEN);
    text[SWOLLEN] = '\0';
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop meta = png_create_info_struct(png);
    png_set_write_fn(png, &f->file, on_write, on_flush);
    png_set_IHDR(png, meta, 1, 1, 8, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    char key[] = "Comment";
    const png_text bomb = {.compression = PNG_TEXT_COMPRESSION_zTXt,
                           .key = key,
                           .text = text,
                           .text_length = SWOLLEN};
    png_set_text(png, meta, &bomb, 1);
    png_write_info(png, meta);
    const uint8_t row = 77;
    png_write_row(png, &row);
    png_write_end(png, meta);
    png_destroy_write_struct(&png, &meta);
    free(text);
    assert_true(f->file.size > 10000 && f->file.size < SWOLLEN / 100);

    rq_decoder *d;
    rq_limits small = f->limits;
    small.max_memory_bytes = 1 << 20;
    assert_ok(rq_decoder_create(&d, &small, &f->err), &f->err);
    assert_ok(rq_decode(d, f->file.data, f->file.size, true, &f->img, &f->info, &f->err),
              &f->err);
    assert_int_equal(f->img.plane[0].data[0], 77);
    rq_decoder_destroy(&d);
}

static void bombs_are_refused_unallocated(void **state)
{
    codec_fixture *f = *state;
    uint8_t pixel[3] = {9, 8, 7};
    static const uint32_t sides[][2] = {
        {65535, 65535}, {0x7fffffff, 0x7fffffff}, {0xffffffff, 1}, {1, 32769}, {20000, 20000}};
    const long before = peak_kib();
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
        assert_ok(rq_png_encode(pixel, 1, 1, 3, &f->file, &f->err), &f->err);
        put_be32(f->file.data + 16, sides[i][0]);
        put_be32(f->file.data + 20, sides[i][1]);
        put_be32(f->file.data + 29, png_crc(f->file.data + 12, 17));
        assert_status(codec_decode(f, false), RQ_LIMIT);
    }
    /* Within the sides and pixels, but not within the memory once it is interlaced. */
    rq_limits tight = f->limits;
    tight.max_memory_bytes = 100 * 100 * 4;
    rq_decoder *d;
    assert_ok(rq_decoder_create(&d, &tight, &f->err), &f->err);
    for (int interlaced = 0; interlaced < 2; interlaced++) {
        uint8_t *rows = fixture_pixels(300, 100, 1);
        fixture_png(&f->file,
                    &(png_spec){.width = 100,
                                .height = 100,
                                .depth = 8,
                                .colour = PNG_COLOR_TYPE_RGB,
                                .interlaced = interlaced != 0},
                    rows, 300);
        free(rows);
        rq_err_clear(&f->err);
        assert_status(
            rq_decode(d, f->file.data, f->file.size, true, &f->img, &f->info, &f->err),
            interlaced ? RQ_LIMIT : RQ_OK);
    }
    rq_decoder_destroy(&d);
    assert_true(peak_kib() - before < 32 * 1024);
}

/* A chunk of that type at byte `at` of the file. */
static void insert_chunk(rq_buf *file, size_t at, const char *type, const void *data, size_t n)
{
    rq_buf out = {0};
    uint8_t length[4], crc[4];
    put_be32(length, (uint32_t)n);
    assert_status(rq_buf_append(&out, file->data, at, NULL), RQ_OK);
    assert_status(rq_buf_append(&out, length, 4, NULL), RQ_OK);
    assert_status(rq_buf_append(&out, type, 4, NULL), RQ_OK);
    assert_status(rq_buf_append(&out, data, n, NULL), RQ_OK);
    put_be32(crc, png_crc(out.data + at + 4, n + 4));
    assert_status(rq_buf_append(&out, crc, 4, NULL), RQ_OK);
    assert_status(rq_buf_append(&out, file->data + at, file->size - at, NULL), RQ_OK);
    rq_buf_free(file);
    *file = out;
}

/* eXIf before and behind the picture; broken is a note and no more. */
static void orientation_is_read(void **state)
{
    static const char exif[] = "II*\0\10\0\0\0\1\0\22\1\3\0\1\0\0\0\7\0\0";
    codec_fixture *f = *state;
    const uint8_t pixel[3] = {9, 8, 7};
    for (int i = 0; i < 3; i++) {
        assert_ok(rq_png_encode(pixel, 1, 1, 3, &f->file, &f->err), &f->err);
        insert_chunk(&f->file, i == 1 ? f->file.size - 12 : 33, "eXIf", exif, i < 2 ? 22 : 12);
        assert_ok(codec_decode(f, true), &f->err);
        assert_int_equal(f->info.orientation, i < 2 ? 7 : 1);
        assert_int_equal(f->info.notes, i < 2 ? RQ_NOTE_ORIENTATION : RQ_NOTE_EXIF_BROKEN);
        assert_planes(&f->img, pixel, 3);
    }
}

/* A stream of zeros: 1 MiB, flushed so that its bytes may be repeated. */
static void append_zeros(rq_buf *out, int mebibytes)
{
    enum { MIB = 1 << 20 };
    static uint8_t zeros[MIB], packed[4096];
    z_stream z = {0};
    assert_int_equal(deflateInit(&z, 9), Z_OK);
    z.next_in = zeros;
    z.avail_in = MIB;
    z.next_out = packed;
    z.avail_out = sizeof packed;
    assert_int_equal(deflate(&z, Z_FULL_FLUSH), Z_OK);
    const size_t n = sizeof packed - z.avail_out;
    deflateEnd(&z);
    assert_status(rq_buf_append(out, packed, n, NULL), RQ_OK);
    for (int i = 1; i < mebibytes; i++) /* without the stream's two bytes of header */
        assert_status(rq_buf_append(out, packed + 2, n - 2, NULL), RQ_OK);
}

/* Behind the last row libpng inflates on to the end of the stream, however long that is: 3 GiB
 * from 3 MiB. The time ends it; a picture whose rows take too long likewise. */
static void time_is_bounded(void **state)
{
    codec_fixture *f = *state;
    rq_decoder *hasty;
    rq_limits limits = f->limits;
    rq_buf stream = {0};
    const uint8_t pixel[3] = {9, 8, 7};
    append_zeros(&stream, 3 << 10);
    assert_ok(rq_png_encode(pixel, 1, 1, 3, &f->file, &f->err), &f->err);
    f->file.size = 33;
    assert_status(rq_buf_append(&f->file, "\0\0\0\0IEND\xAE\x42\x60\x82", 12, NULL), RQ_OK);
    insert_chunk(&f->file, 33, "IDAT", stream.data, stream.size);
    limits.max_cpu_seconds = 0.02;
    assert_ok(rq_decoder_create(&hasty, &limits, &f->err), &f->err);
    assert_status(rq_decode(hasty, f->file.data, f->file.size, false, &f->img, NULL, &f->err),
                  RQ_LIMIT);
    assert_non_null(strstr(f->err.text, "takes more than the limit"));
    rq_decoder_destroy(&hasty);
    rq_buf_free(&stream);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, codec_setup, codec_teardown)
    const struct CMUnitTest tests[] = {
        TEST(every_kind_is_read),
        TEST(what_we_write_reads_back),
        TEST(truncation_is_never_accepted),
        TEST(no_changed_byte_harms_the_decoder),
        TEST(an_animation_gives_its_first_frame),
        TEST(compressed_text_stays_packed),
        TEST(bombs_are_refused_unallocated),
        TEST(orientation_is_read),
        TEST(time_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
