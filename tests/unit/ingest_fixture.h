/* Pictures and files for the tests of ingest/: made here with the plain libraries, so that what
 * they hold is known. */
#ifndef RQ_TESTS_INGEST_FIXTURE_H
#define RQ_TESTS_INGEST_FIXTURE_H

#include "test.h"

#include "common/file.h"
#include "common/rng.h"
#include "ingest/codec.h"

#include <dirent.h>
#include <jpeglib.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* data[height][width][channels]: slopes in every direction and some noise. */
static inline uint8_t *fixture_pixels(int width, int height, int channels)
{
    uint8_t *data = malloc((size_t)width * (size_t)height * (size_t)channels);
    assert_non_null(data);
    rq_rng r = rq_rng_make(1, 2, 3, 4, 5);
    uint8_t *p = data;
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            for (int c = 0; c < channels; c++) {
                const int slope = c == 0   ? x * 255 / width
                                  : c == 1 ? y * 255 / height
                                  : c == 2 ? (x + y) * 255 / (width + height)
                                           : 255 - x * 200 / width;
                const int v = slope * 3 / 4 + (int)rq_rng_below(&r, 60);
                *p++ = (uint8_t)(v > 255 ? 255 : v);
            }
        }
    }
    return data;
}

typedef struct jpeg_spec {
    int width, height;
    J_COLOR_SPACE pixels; /* of the source samples: RGB, GRAYSCALE or CMYK */
    J_COLOR_SPACE coded;
    int h[4], v[4]; /* sampling factors; 0: 1 */
    bool progressive, arithmetic;
    unsigned restart; /* MCUs */
    int quality;      /* 0: 90 */
    const jpeg_scan_info *scans;
    int n_scans;
    const uint8_t *app1; /* EXIF segment */
    unsigned app1_bytes;
} jpeg_spec;

static inline void fixture_jpeg(rq_buf *dst, const jpeg_spec *spec)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    unsigned char *out = NULL;
    unsigned long bytes = 0;
    const int channels = spec->pixels == JCS_GRAYSCALE ? 1 : spec->pixels == JCS_CMYK ? 4 : 3;
    uint8_t *pixels = fixture_pixels(spec->width, spec->height, channels);
    c.err = jpeg_std_error(&errors);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &out, &bytes);
    c.image_width = (JDIMENSION)spec->width;
    c.image_height = (JDIMENSION)spec->height;
    c.input_components = channels;
    c.in_color_space = spec->pixels;
    jpeg_set_defaults(&c);
    jpeg_set_colorspace(&c, spec->coded);
    jpeg_set_quality(&c, spec->quality != 0 ? spec->quality : 90, TRUE);
    for (int i = 0; i < c.num_components; i++) {
        c.comp_info[i].h_samp_factor = spec->h[i] != 0 ? spec->h[i] : 1;
        c.comp_info[i].v_samp_factor = spec->v[i] != 0 ? spec->v[i] : 1;
    }
    c.arith_code = spec->arithmetic;
    c.restart_interval = spec->restart;
    if (spec->progressive)
        jpeg_simple_progression(&c);
    if (spec->scans != NULL) {
        c.scan_info = spec->scans;
        c.num_scans = spec->n_scans;
    }
    jpeg_start_compress(&c, TRUE);
    if (spec->app1 != NULL)
        jpeg_write_marker(&c, JPEG_APP0 + 1, spec->app1, spec->app1_bytes);
    while (c.next_scanline < c.image_height) {
        JSAMPROW row =
            pixels + (size_t)c.next_scanline * (size_t)spec->width * (size_t)channels;
        jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    dst->size = 0;
    assert_int_equal(rq_buf_append(dst, out, bytes, NULL), RQ_OK);
    free(out);
    free(pixels);
}

/* Decodes with libjpeg to interleaved samples; `smooth` is its default upsampling. */
static inline uint8_t *reference_jpeg(const rq_buf *file, J_COLOR_SPACE space, bool smooth)
{
    struct jpeg_decompress_struct d;
    struct jpeg_error_mgr errors;
    d.err = jpeg_std_error(&errors);
    jpeg_create_decompress(&d);
    jpeg_mem_src(&d, file->data, file->size);
    jpeg_read_header(&d, TRUE);
    d.out_color_space = space;
    d.do_fancy_upsampling = smooth;
    jpeg_start_decompress(&d);
    const size_t row_bytes = (size_t)d.output_width * (size_t)d.output_components;
    uint8_t *out = malloc(row_bytes * d.output_height);
    assert_non_null(out);
    while (d.output_scanline < d.output_height) {
        JSAMPROW row = out + d.output_scanline * row_bytes;
        jpeg_read_scanlines(&d, &row, 1);
    }
    jpeg_finish_decompress(&d);
    jpeg_destroy_decompress(&d);
    return out;
}

/* Every sample of img equals the interleaved reference of `channels`, with chroma repeated. */
static inline void assert_planes(const rq_image *img, const uint8_t *reference, int channels)
{
    for (int c = 0; c < rq_pixels_planes(img->pixels); c++) {
        const int sx = c == 0 ? 1 : img->sub_x, sy = c == 0 ? 1 : img->sub_y;
        for (int y = 0; y < img->height; y++) {
            for (int x = 0; x < img->width; x++) {
                const uint8_t *row =
                    img->plane[c].data + (size_t)(y / sy) * img->plane[c].stride;
                const int want = reference[(y * img->width + x) * channels + c];
                if (row[x / sx] != want)
                    fail_msg("plane %d at %d,%d: %d, expected %d", c, x, y, row[x / sx], want);
            }
        }
    }
}

typedef struct codec_fixture {
    rq_decoder *decoder;
    rq_limits limits;
    rq_image img;
    rq_image_info info;
    rq_buf file;
    rq_err err;
} codec_fixture;

static inline int codec_setup(void **state)
{
    codec_fixture *f = calloc(1, sizeof *f);
    *state = f;
    if (f == NULL)
        return -1;
    f->limits = rq_limits_default();
    return rq_decoder_create(&f->decoder, &f->limits, &f->err) == RQ_OK ? 0 : -1;
}

static inline int codec_teardown(void **state)
{
    codec_fixture *f = *state;
    rq_decoder_destroy(&f->decoder);
    rq_image_free(&f->img);
    rq_buf_free(&f->file);
    free(f);
    return 0;
}

static inline rq_status codec_decode(codec_fixture *f, bool strict)
{
    rq_err_clear(&f->err);
    return rq_decode(f->decoder, f->file.data, f->file.size, strict, &f->img, &f->info,
                     &f->err);
}

/* The first `bytes` of a file in a block of exactly that size, so that a sanitizer sees one
 * byte too far. A failure must have a sentence. */
static inline rq_status decode_prefix(codec_fixture *f, size_t bytes, bool strict)
{
    uint8_t *copy = malloc(bytes > 0 ? bytes : 1);
    assert_non_null(copy);
    memcpy(copy, f->file.data, bytes);
    rq_err_clear(&f->err);
    const rq_status s = rq_decode(f->decoder, copy, bytes, strict, &f->img, &f->info, &f->err);
    free(copy);
    assert_int_equal(s == RQ_OK, f->err.text[0] == '\0');
    assert_int_not_equal(s, RQ_INTERNAL);
    return s;
}

/* Peak resident memory of this process, KiB. */
static inline long peak_kib(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_maxrss;
}

#endif
