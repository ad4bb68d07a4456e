// SPDX-License-Identifier: Apache-2.0
//
// A JPEG writer over libjpeg's memory destination. libjpeg reports errors by not returning, so
// the one setjmp of the tools is here; the output pointer lives in the state that it restores,
// not in a local, so that it is well defined after the jump.
#include "tools/jpeg_write.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

typedef struct writer {
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    jmp_buf failed;
    char text[JMSG_LENGTH_MAX];
    unsigned char *out; /* malloc'ed by libjpeg */
    unsigned long out_bytes;
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

static void compress(writer *w, const uint8_t *data, int width, int height, int channels,
                     int quality)
{
    jpeg_create_compress(&w->c);
    jpeg_mem_dest(&w->c, &w->out, &w->out_bytes);
    w->c.image_width = (JDIMENSION)width;
    w->c.image_height = (JDIMENSION)height;
    w->c.input_components = channels;
    w->c.in_color_space = channels == 1 ? JCS_GRAYSCALE : channels == 3 ? JCS_RGB : JCS_CMYK;
    jpeg_set_defaults(&w->c);
    jpeg_set_quality(&w->c, quality, TRUE);
    jpeg_start_compress(&w->c, TRUE);
    const size_t stride = (size_t)width * (size_t)channels;
    while (w->c.next_scanline < w->c.image_height) {
        JSAMPROW row = (JSAMPROW)(data + w->c.next_scanline * stride);
        jpeg_write_scanlines(&w->c, &row, 1);
    }
    jpeg_finish_compress(&w->c);
}

rq_status rq_jpeg_write(const uint8_t *data, int width, int height, int channels, int quality,
                        rq_buf *dst, rq_err *err)
{
    writer *w = rq_calloc(1, sizeof *w);
    if (w == NULL)
        return rq_fail(err, RQ_OOM, "out of memory for a JPEG of %d x %d pixels", width,
                       height);
    w->c.err = jpeg_std_error(&w->errors);
    w->c.client_data = w;
    w->errors.error_exit = on_error;
    w->errors.output_message = on_message;
    rq_status st = RQ_OK;
    if (setjmp(w->failed) == 0)
        compress(w, data, width, height, channels, quality);
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
