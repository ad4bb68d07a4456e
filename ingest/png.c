// SPDX-License-Identifier: Apache-2.0
// PNG through libpng's low-level API, in and out. Only what changes pixels is read: IHDR, PLTE,
// tRNS (to know that there is alpha) and IDAT; every other chunk is skipped unread, so that
// text and profile bombs have nothing to blow up. Alpha is dropped, not composited.
//
// libpng reports errors by longjmp. The functions that call setjmp have no variables of their
// own that change behind it; what does change lies in their caller.
#include "ingest/codec_impl.h"

#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

enum { CHUNK_BYTES_MAX = 8 << 20, CHUNKS_CACHED_MAX = 128, ROWS_BETWEEN_CHECKS = 16 };

typedef struct png_reader {
    rq_codec_job *job;
    png_structp png;
    png_infop meta;
    size_t at;  /* next byte to hand out */
    bool ended; /* libpng wanted more bytes than there are */
    bool late;  /* the CPU time is used up */
    bool rows_done;
    bool header_done;
    char error[RQ_WARNING_BYTES];
} png_reader;

static void keep_text(char dst[RQ_WARNING_BYTES], const char *text)
{
    snprintf(dst, RQ_WARNING_BYTES, "%s", text);
}

static void on_error(png_structp png, png_const_charp text)
{
    png_reader *r = png_get_error_ptr(png);
    if (r->error[0] == '\0')
        keep_text(r->error, text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    png_reader *r = png_get_error_ptr(png);
    rq_codec_warn(r->job, text);
}

static void check_time(png_reader *r)
{
    r->late = rq_codec_out_of_time(r->job);
    if (r->late)
        png_error(r->png, "out of time");
}

/* Asked for at most 8 KiB of compressed data at a time, also for what stands behind the last
 * row and would be inflated without end. */
static void on_read(png_structp png, png_bytep dst, size_t n)
{
    png_reader *r = png_get_io_ptr(png);
    check_time(r);
    if (n > r->job->bytes - r->at) {
        r->ended = true;
        png_error(png, "the PNG ends before its picture does");
    }
    memcpy(dst, r->job->data + r->at, n);
    r->at += n;
}

static uint32_t get_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Whether an acTL chunk (APNG: more frames follow) stands before the image data. */
static bool is_animated(const uint8_t *data, size_t bytes)
{
    size_t at = 8;
    while (bytes - at >= 12) {
        const uint32_t length = get_be32(data + at);
        if (memcmp(data + at + 4, "acTL", 4) == 0)
            return true;
        if (memcmp(data + at + 4, "IDAT", 4) == 0 || length > bytes - at - 12)
            return false;
        at += (size_t)length + 12;
    }
    return false;
}

/* IHDR's size by hand, since libpng words its own limits as plain errors. */
static rq_status check_size(const rq_codec_job *job, rq_err *err)
{
    if (job->bytes < 33)
        return rq_fail(err, RQ_TRUNCATED, "the PNG ends within its header");
    if (memcmp(job->data + 12, "IHDR", 4) != 0)
        return rq_fail(err, RQ_BAD_FORMAT, "PNG does not begin with an IHDR chunk");
    return rq_limits_check_size(job->limits, "PNG", get_be32(job->data + 16),
                                get_be32(job->data + 20), err);
}

static void set_limits(png_structp png, const rq_limits *limits)
{
    static const png_byte skipped[] = "bKGD\0cHRM\0eXIf\0gAMA\0hIST\0iCCP\0iTXt\0oFFs\0pCAL\0"
                                      "pHYs\0sBIT\0sCAL\0sPLT\0sRGB\0sTER\0tEXt\0tIME\0zTXt";
    png_set_user_limits(png, (png_uint_32)limits->max_side, (png_uint_32)limits->max_side);
    png_set_chunk_cache_max(png, CHUNKS_CACHED_MAX);
    png_set_chunk_malloc_max(png, CHUNK_BYTES_MAX);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, 0);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, skipped,
                                (int)(sizeof skipped / 5));
}

static void read_header(png_reader *r)
{
    rq_image_info *info = r->job->info;
    png_read_info(r->png, r->meta);
    r->header_done = true;
    const int colour = png_get_color_type(r->png, r->meta);
    const bool keyed = png_get_valid(r->png, r->meta, PNG_INFO_tRNS) != 0;
    info->width = (int)png_get_image_width(r->png, r->meta);
    info->height = (int)png_get_image_height(r->png, r->meta);
    info->bit_depth = png_get_bit_depth(r->png, r->meta);
    info->alpha = (colour & PNG_COLOR_MASK_ALPHA) != 0 || keyed;
    info->components = (colour & PNG_COLOR_MASK_COLOR) != 0 ? 3 : 1;
    info->pixels = info->components == 1 ? RQ_PIXELS_GRAY : RQ_PIXELS_RGB;
    info->progressive = png_get_interlace_type(r->png, r->meta) != PNG_INTERLACE_NONE;
    info->notes |= info->alpha ? RQ_NOTE_ALPHA : 0;
    info->notes |= (colour & PNG_COLOR_MASK_PALETTE) != 0 ? RQ_NOTE_PALETTE : 0;
    info->notes |= info->bit_depth > 8 ? RQ_NOTE_DEPTH : 0;
    info->color = (colour & PNG_COLOR_MASK_PALETTE) != 0 ? RQ_COLOR_PALETTE
                  : info->components == 3                ? RQ_COLOR_RGB
                                                         : RQ_COLOR_GRAY;
    bool broken;
    info->orientation = rq_exif_orientation_png(r->job->data, r->job->bytes, &broken);
    info->notes |= broken ? RQ_NOTE_EXIF_BROKEN : 0;
    info->notes |= is_animated(r->job->data, r->job->bytes) ? RQ_NOTE_SEQUENCE : 0;
}

/* Asks libpng for 8-bit GRAY or RGB whatever the file holds; returns the passes to read. */
static int set_transforms(png_reader *r)
{
    const int colour = png_get_color_type(r->png, r->meta);
    if (colour == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(r->png);
    else if (r->job->info->bit_depth < 8)
        png_set_expand_gray_1_2_4_to_8(r->png);
    if (r->job->info->bit_depth == 16)
        png_set_scale_16(r->png);
    if (r->job->info->alpha)
        png_set_strip_alpha(r->png);
    const int passes = png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->meta);
    return passes;
}

/* Planes, and what the rows need besides: 8-bit samples of a whole interlaced picture, or one
 * row; libpng keeps four rows of at most 8 bytes a pixel. */
static uint64_t memory_needed(const png_reader *r)
{
    const rq_image_info *info = r->job->info;
    const uint64_t row = (uint64_t)(unsigned)info->width * (unsigned)info->components;
    const uint64_t planes = row * (unsigned)info->height;
    return planes + (info->progressive ? planes : row) + (uint64_t)(unsigned)info->width * 32;
}

/* An interlaced picture is collected whole, any other goes through one row of scratch. */
static rq_status read_pixels(png_reader *r, rq_err *err)
{
    rq_codec_job *job = r->job;
    const int height = job->info->height;
    const int passes = set_transforms(r);
    const size_t row_bytes = png_get_rowbytes(r->png, r->meta);
    const int channels = png_get_channels(r->png, r->meta);
    const size_t whole = passes > 1 ? row_bytes * (size_t)height : row_bytes;
    if (channels != job->info->components)
        return rq_fail(err, RQ_INTERNAL, "libpng gives %d channels instead of %d", channels,
                       job->info->components);
    RQ_TRY(rq_image_shape(job->img, job->info->pixels, job->info->width, height, 1, 1, 1, err));
    RQ_TRY(rq_codec_scratch(job, whole, err));
    for (int pass = 0; pass < passes; pass++) {
        for (int y = 0; y < height; y++) {
            if (y % ROWS_BETWEEN_CHECKS == 0)
                check_time(r);
            uint8_t *row = job->scratch->data + (passes > 1 ? (size_t)y * row_bytes : 0);
            png_read_row(r->png, row, NULL);
            if (pass == passes - 1)
                rq_codec_put_row(job->img, y, row, channels);
        }
    }
    r->rows_done = true;
    png_read_end(r->png, NULL);
    job->info->notes |= r->at < job->bytes ? RQ_NOTE_TRAILING : 0;
    return RQ_OK;
}

static rq_status read_all(png_reader *r, rq_err *err)
{
    set_limits(r->png, r->job->limits);
    png_set_read_fn(r->png, r, on_read);
    read_header(r);
    RQ_TRY(rq_codec_check_memory(r->job, "PNG", memory_needed(r), err));
    return r->job->header_only ? RQ_OK : read_pixels(r, err);
}

/* What a jump out of libpng means. */
static rq_status judge_error(png_reader *r, rq_err *err)
{
    if (r->late)
        return rq_codec_fail_time(r->job, "PNG", err);
    if (r->rows_done) { /* all rows are out; something behind them is wrong */
        if (r->ended && r->job->strict)
            return rq_fail(err, RQ_TRUNCATED, "the PNG ends without its end chunk");
        rq_codec_warn(r->job, r->error);
        return RQ_OK;
    }
    const rq_status s = r->ended         ? RQ_TRUNCATED
                        : r->header_done ? RQ_CORRUPT_IMAGE
                                         : RQ_BAD_FORMAT;
    return rq_fail(err, s, "%s%s", r->ended ? "" : "PNG: ", r->error);
}

static rq_status read_guarded(png_reader *r, rq_err *err)
{
    if (setjmp(png_jmpbuf(r->png)) != 0)
        return judge_error(r, err);
    return read_all(r, err);
}

rq_status rq_png_run(rq_codec_job *job, rq_err *err)
{
    RQ_TRY(check_size(job, err));
    png_reader r = {.job = job};
    r.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, on_error, on_warning);
    r.meta = r.png != NULL ? png_create_info_struct(r.png) : NULL;
    if (r.meta == NULL) {
        png_destroy_read_struct(&r.png, NULL, NULL);
        return rq_fail(err, RQ_OOM, "no memory for a PNG decoder");
    }
    const rq_status s = read_guarded(&r, err);
    png_destroy_read_struct(&r.png, &r.meta, NULL);
    return s;
}

/* ---- writing ----------------------------------------------------------------------------- */

typedef struct png_writer {
    png_structp png;
    png_infop meta;
    rq_buf *dst;
    rq_err *err;
    rq_status status;
    char error[RQ_WARNING_BYTES];
} png_writer;

static void on_write_error(png_structp png, png_const_charp text)
{
    png_writer *w = png_get_error_ptr(png);
    keep_text(w->error, text);
    png_longjmp(png, 1);
}

static void on_write_warning(png_structp png, png_const_charp text)
{
}

static void on_write(png_structp png, png_bytep src, size_t n)
{
    png_writer *w = png_get_io_ptr(png);
    w->status = rq_buf_append(w->dst, src, n, w->err);
    if (w->status != RQ_OK)
        png_error(png, "no memory for the picture");
}

static void on_flush(png_structp png)
{
}

static rq_status write_guarded(png_writer *w, const uint8_t *data, int width, int height,
                               int channels)
{
    if (setjmp(png_jmpbuf(w->png)) != 0)
        return rq_fail(w->err, w->status != RQ_OK ? w->status : RQ_INTERNAL,
                       "writing a PNG: %s", w->error);
    png_set_user_limits(w->png, 0x7fffffff, 0x7fffffff);
    png_set_write_fn(w->png, w, on_write, on_flush);
    png_set_IHDR(w->png, w->meta, (png_uint_32)width, (png_uint_32)height, 8,
                 channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(w->png, w->meta);
    for (int y = 0; y < height; y++)
        png_write_row(w->png, data + (size_t)y * (size_t)width * (size_t)channels);
    png_write_end(w->png, w->meta);
    return RQ_OK;
}

rq_status rq_png_encode(const uint8_t *data, int width, int height, int channels, rq_buf *dst,
                        rq_err *err)
{
    dst->size = 0;
    if (width <= 0 || height <= 0 || (channels != 1 && channels != 3))
        return rq_fail(err, RQ_INVALID_ARG, "cannot write a PNG of %d x %d pixels, %d channels",
                       width, height, channels);
    png_writer w = {.dst = dst, .err = err};
    w.png =
        png_create_write_struct(PNG_LIBPNG_VER_STRING, &w, on_write_error, on_write_warning);
    w.meta = w.png != NULL ? png_create_info_struct(w.png) : NULL;
    const rq_status s = w.meta != NULL ? write_guarded(&w, data, width, height, channels)
                                       : rq_fail(err, RQ_OOM, "no memory for a PNG encoder");
    png_destroy_write_struct(&w.png, &w.meta);
    return s;
}
