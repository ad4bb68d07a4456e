// SPDX-License-Identifier: Apache-2.0
// A JPEG writer over libjpeg's memory destination. libjpeg reports errors by not returning, so
// nothing but the writer's own fields crosses the setjmp, the output pointer among them. What
// libjpeg reads beyond the right edge of a plane, to fill its last blocks, is given to it from
// a copy of the rows, so that neighbouring memory never gets into a file.
#include "ingest/jpeg_encode.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

enum { MAX_ROWS = 4 * DCTSIZE };

typedef struct writer {
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    jmp_buf failed;
    char text[JMSG_LENGTH_MAX];
    unsigned char *out; // malloc'ed by libjpeg
    unsigned long out_bytes;
    const rq_image *img; // or
    const uint8_t *data; // interleaved
    const rq_jpeg_opts *opts;
} writer;

static void on_error(j_common_ptr c)
{
    writer *w = c->client_data;
    c->err->format_message(c, w->text);
    longjmp(w->failed, 1);
}

static void on_message(j_common_ptr c)
{
    (void)c;
}

static void begin(writer *w, int width, int height, int channels)
{
    struct jpeg_compress_struct *c = &w->c;
    jpeg_mem_dest(c, &w->out, &w->out_bytes);
    c->image_width = (JDIMENSION)width;
    c->image_height = (JDIMENSION)height;
    c->input_components = channels;
    c->in_color_space = channels == 1 ? JCS_GRAYSCALE : channels == 3 ? JCS_RGB : JCS_CMYK;
    jpeg_set_defaults(c);
    jpeg_set_quality(c, w->opts->quality, TRUE);
    c->dct_method = JDCT_ISLOW;
    c->optimize_coding = w->opts->optimize;
}

static void set_sampling(writer *w, int sub_x, int sub_y)
{
    w->c.comp_info[0].h_samp_factor = sub_x;
    w->c.comp_info[0].v_samp_factor = sub_y;
}

/* Rows [y, y + n) of a plane, each filled up to `columns` samples with its last one; rows
 * behind the end repeat the last row. */
static void take_rows(JSAMPARRAY to, const rq_plane *p, size_t columns, size_t y, size_t n)
{
    const size_t width = (size_t)p->width, last = (size_t)p->height - 1;
    for (size_t r = 0; r < n; r++) {
        const uint8_t *from = p->data + (y + r < last ? y + r : last) * p->stride;
        memcpy(to[r], from, width);
        memset(to[r] + width, from[width - 1], columns - width);
    }
}

/* Planes of YCBCR or GRAY. */
static void compress_planes(writer *w)
{
    struct jpeg_compress_struct *c = &w->c;
    const rq_image *img = w->img;
    const int planes = rq_pixels_planes(img->pixels);
    begin(w, img->width, img->height, planes);
    if (planes == 3) {
        jpeg_set_colorspace(c, JCS_YCbCr);
        c->in_color_space = JCS_YCbCr;
        set_sampling(w, img->sub_x, img->sub_y);
    }
    c->raw_data_in = TRUE;
    jpeg_start_compress(c, TRUE);
    JSAMPARRAY rows[3] = {NULL};
    for (int i = 0; i < planes; i++)
        rows[i] = c->mem->alloc_sarray((j_common_ptr)c, JPOOL_IMAGE,
                                       c->comp_info[i].width_in_blocks * DCTSIZE, MAX_ROWS);
    const size_t lines = (size_t)c->max_v_samp_factor * DCTSIZE;
    for (size_t y = 0; y < c->image_height; y += lines) {
        for (int i = 0; i < planes; i++)
            take_rows(rows[i], &img->plane[i],
                      (size_t)c->comp_info[i].width_in_blocks * DCTSIZE,
                      y / (size_t)(i == 0 ? 1 : img->sub_y),
                      (size_t)c->comp_info[i].v_samp_factor * DCTSIZE);
        jpeg_write_raw_data(c, rows, (JDIMENSION)lines);
    }
    jpeg_finish_compress(c);
}

static void compress_rgb(writer *w)
{
    struct jpeg_compress_struct *c = &w->c;
    const rq_image *img = w->img;
    begin(w, img->width, img->height, 3);
    set_sampling(w, w->opts->sub_x, w->opts->sub_y);
    jpeg_start_compress(c, TRUE);
    JSAMPARRAY row = c->mem->alloc_sarray((j_common_ptr)c, JPOOL_IMAGE, c->image_width * 3, 1);
    while (c->next_scanline < c->image_height) {
        for (int i = 0; i < 3; i++) {
            const uint8_t *from =
                img->plane[i].data + (size_t)c->next_scanline * img->plane[i].stride;
            for (size_t x = 0; x < c->image_width; x++)
                row[0][3 * x + (size_t)i] = from[x];
        }
        jpeg_write_scanlines(c, row, 1);
    }
    jpeg_finish_compress(c);
}

static void compress_interleaved(writer *w, int width, int height, int channels)
{
    struct jpeg_compress_struct *c = &w->c;
    begin(w, width, height, channels);
    jpeg_start_compress(c, TRUE);
    const size_t stride = (size_t)width * (size_t)channels;
    while (c->next_scanline < c->image_height) {
        JSAMPROW row = (JSAMPROW)(w->data + c->next_scanline * stride);
        jpeg_write_scanlines(c, &row, 1);
    }
    jpeg_finish_compress(c);
}

/* Everything between setjmp and the last call into libjpeg. */
static void run(writer *w, int width, int height, int channels)
{
    jpeg_create_compress(&w->c);
    if (w->img == NULL)
        compress_interleaved(w, width, height, channels);
    else if (w->img->pixels == RQ_PIXELS_RGB)
        compress_rgb(w);
    else
        compress_planes(w);
}

static rq_status encode(const rq_image *img, const uint8_t *data, int width, int height,
                        int channels, const rq_jpeg_opts *opts, rq_buf *dst, rq_err *err)
{
    writer *w = rq_calloc(1, sizeof *w);
    if (w == NULL)
        return rq_fail(err, RQ_OOM, "out of memory for a JPEG of %d x %d pixels", width,
                       height);
    w->img = img;
    w->data = data;
    w->opts = opts;
    w->c.err = jpeg_std_error(&w->errors);
    w->c.client_data = w;
    w->errors.error_exit = on_error;
    w->errors.output_message = on_message;
    rq_status st = RQ_OK;
    if (setjmp(w->failed) == 0)
        run(w, width, height, channels);
    else
        st = rq_fail(err, RQ_INTERNAL, "libjpeg cannot write %d x %d x %d: %s", width, height,
                     channels, w->text);
    if (st == RQ_OK) {
        dst->size = 0;
        st = rq_buf_append(dst, w->out, w->out_bytes, err);
    }
    jpeg_destroy_compress(&w->c);
    free(w->out);
    rq_free(w);
    return st;
}

rq_status rq_jpeg_encode(const rq_image *img, const rq_jpeg_opts *opts, rq_buf *dst,
                         rq_err *err)
{
    return encode(img, NULL, img->width, img->height, rq_pixels_planes(img->pixels), opts, dst,
                  err);
}

rq_status rq_jpeg_write(const uint8_t *data, int width, int height, int channels, int quality,
                        rq_buf *dst, rq_err *err)
{
    const rq_jpeg_opts opts = {.quality = quality};
    return encode(NULL, data, width, height, channels, &opts, dst, err);
}
