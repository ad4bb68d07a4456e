/* JPEG files for the tests of `dct`: every sampling, coding and kind of table, with contents
 * from smooth to impossible. */
#ifndef RQ_TESTS_DCT_FIXTURE_H
#define RQ_TESTS_DCT_FIXTURE_H

#include "test.h"

#include "common/mem.h"
#include "common/rng.h"

#include <jpeglib.h>

typedef enum dct_content {
    DCT_PHOTO,   /* slopes and a little noise */
    DCT_NOISE,   /* every value alike */
    DCT_FLAT,    /* patches of one colour */
    DCT_CHECKER, /* black and white by turns */
    DCT_EXTREME, /* black and white by chance */
    DCT_CONTENTS
} dct_content;

typedef enum dct_coding {
    DCT_BASELINE,
    DCT_PROGRESSIVE,
    DCT_ARITHMETIC,
    DCT_RESTARTS,
    DCT_SCANS, /* sequential, a scan for each component */
    DCT_CODINGS
} dct_coding;

typedef struct dct_spec {
    int width, height;
    int components; /* 1, 3 or 4 */
    int h[4], v[4]; /* sampling factors */
    bool rgb;       /* coded without conversion */
    int quality;    /* below 3 some tables need 16 bits */
    dct_content content;
    dct_coding coding;
} dct_spec;

static inline int dct_sample(dct_content content, int x, int y, int c, rq_rng *r)
{
    switch (content) {
    case DCT_PHOTO:
        return (x * (3 + c) + y * 2) / 3 % 200 + (int)rq_rng_below(r, 24);
    case DCT_NOISE:
        return (int)rq_rng_below(r, 256);
    case DCT_FLAT:
        return (x / 13 + y / 11 + c) % 3 * 120;
    case DCT_CHECKER:
        return ((x ^ y) & 1) * 255;
    default:
        return (int)rq_rng_below(r, 2) * 255;
    }
}

/* Tables of 16 bits make libjpeg remark that they are not baseline. */
static inline void dct_quiet(j_common_ptr common, int level)
{
}

static inline void dct_make_jpeg(rq_buf *out, const dct_spec *spec)
{
    static const jpeg_scan_info one_by_one[3] = {
        {1, {0}, 0, 63, 0, 0}, {1, {1}, 0, 63, 0, 0}, {1, {2}, 0, 63, 0, 0}};
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    unsigned char *file = NULL;
    unsigned long bytes = 0;
    rq_rng r = rq_rng_make(7, (uint32_t)spec->width, (uint32_t)spec->height, 0, 0);
    c.err = jpeg_std_error(&errors);
    errors.emit_message = dct_quiet;
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &file, &bytes);
    c.image_width = (JDIMENSION)spec->width;
    c.image_height = (JDIMENSION)spec->height;
    c.input_components = spec->components;
    c.in_color_space = spec->components == 1   ? JCS_GRAYSCALE
                       : spec->components == 3 ? JCS_RGB
                                               : JCS_CMYK;
    jpeg_set_defaults(&c);
    if (spec->rgb)
        jpeg_set_colorspace(&c, JCS_RGB);
    jpeg_set_quality(&c, spec->quality, FALSE);
    for (int i = 0; i < spec->components; i++) {
        c.comp_info[i].h_samp_factor = spec->h[i];
        c.comp_info[i].v_samp_factor = spec->v[i];
    }
    if (spec->coding == DCT_PROGRESSIVE)
        jpeg_simple_progression(&c);
    if (spec->coding == DCT_SCANS && spec->components == 3) {
        c.scan_info = one_by_one;
        c.num_scans = 3;
    }
    c.arith_code = spec->coding == DCT_ARITHMETIC;
    c.restart_interval = spec->coding == DCT_RESTARTS ? 3 : 0;
    jpeg_start_compress(&c, TRUE);
    JSAMPLE *row = malloc((size_t)spec->width * 4);
    assert_non_null(row);
    while (c.next_scanline < c.image_height) {
        for (int x = 0; x < spec->width; x++)
            for (int k = 0; k < spec->components; k++)
                row[x * spec->components + k] =
                    (JSAMPLE)dct_sample(spec->content, x, (int)c.next_scanline, k, &r);
        jpeg_write_scanlines(&c, &row, 1);
    }
    free(row);
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    out->size = 0;
    assert_int_equal(rq_buf_append(out, file, bytes, NULL), RQ_OK);
    free(file);
}

/* Samplings that `dct` holds. */
static const dct_spec dct_samplings[] = {
    {.components = 1, .h = {1}, .v = {1}},
    {.components = 1, .h = {2}, .v = {2}},
    {.components = 3, .h = {1, 1, 1}, .v = {1, 1, 1}},
    {.components = 3, .h = {2, 1, 1}, .v = {2, 1, 1}}, /* 4:2:0 */
    {.components = 3, .h = {2, 1, 1}, .v = {1, 1, 1}}, /* 4:2:2 */
    {.components = 3, .h = {1, 1, 1}, .v = {2, 1, 1}}, /* 4:4:0 */
    {.components = 3, .h = {4, 1, 1}, .v = {1, 1, 1}}, /* 4:1:1 */
    {.components = 3, .h = {4, 1, 1}, .v = {2, 1, 1}}, /* 4:1:0 */
    {.components = 3, .h = {2, 2, 2}, .v = {1, 1, 1}}, /* 4:4:4 in pairs */
    {.components = 3, .h = {1, 1, 1}, .v = {1, 1, 1}, .rgb = true},
};
enum { DCT_SAMPLINGS = sizeof dct_samplings / sizeof *dct_samplings };

#endif
