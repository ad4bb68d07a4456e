// SPDX-License-Identifier: Apache-2.0
//
// Writes the seeds of the fuzz corpus: seeds DIR fills DIR/TARGET with small valid inputs and a
// few broken ones, made by the libraries and by this project's own writers, never from
// anybody's pictures. What a target wants in front of a file is said in the target.
#include "common/bytes.h"
#include "common/cpu.h"
#include "common/file.h"
#include "common/rng.h"
#include "ingest/codec.h"
#include "ingest/report.h"
#include "pack/dct.h"
#include "pack/frame.h"
#include "pack/index.h"
#include "pack/manifest.h"
#include "pack/meta.h"
#include "pack/planes.h"
#include "pack/shard_writer.h"
#include "pack/ustar.h"
#include "train/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>
#include <jpeglib.h>
#include <png.h>
#include <zlib.h>
#ifdef RQ_HAVE_AVIF
#include <avif/avif.h>
#endif

static const char *root;

static void die(const char *what)
{
    fprintf(stderr, "seeds: %s\n", what);
    exit(1);
}

static void must(rq_status s, const rq_err *err)
{
    if (s != RQ_OK)
        die(err->text);
}

/* DIR/TARGET/NAME: `head` bytes of choices, then data. */
static void put(const char *target, const char *name, const void *head, size_t head_bytes,
                const void *data, size_t bytes)
{
    char dir[600], path[700];
    rq_buf file = {0};
    rq_err err = {0};
    snprintf(dir, sizeof dir, "%.400s/%s", root, target);
    snprintf(path, sizeof path, "%s/%s", dir, name);
    must(rq_mkdirs(dir, &err), &err);
    must(rq_buf_append(&file, head_bytes ? head : "", head_bytes, &err), &err);
    must(rq_buf_append(&file, bytes ? data : "", bytes, &err), &err);
    must(rq_file_write_atomic(path, file.data, file.size, &err), &err);
    rq_buf_free(&file);
}

static void put_text(const char *target, const char *name, const char *text)
{
    put(target, name, NULL, 0, text, strlen(text));
}

/* data[height][width][channels]: slopes and a little noise. */
static uint8_t *pixels(int width, int height, int channels)
{
    uint8_t *data = malloc((size_t)width * (size_t)height * (size_t)channels), *p = data;
    rq_rng r = rq_rng_make(7, 0, 0, 0, 0);
    if (data == NULL)
        die("out of memory");
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            for (int c = 0; c < channels; c++)
                *p++ =
                    (uint8_t)((x * (7 + c) + y * (11 - c) + (int)rq_rng_below(&r, 12)) & 255);
        }
    }
    return data;
}

/* ---- JPEG -------------------------------------------------------------------------------- */

typedef struct jpeg_seed {
    const char *name;
    int width, height;
    J_COLOR_SPACE space; /* of the file */
    int h, v;            /* sampling of the first component */
    int quality;
    bool progressive, arithmetic;
    unsigned restart;
} jpeg_seed;

/* 16-bit tables are meant. */
static void on_jpeg_message(j_common_ptr c, int level)
{
    (void)c;
    (void)level;
}

static void make_jpeg(const jpeg_seed *s, rq_buf *out)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    unsigned char *file = NULL;
    unsigned long bytes = 0;
    const bool cmyk = s->space == JCS_CMYK || s->space == JCS_YCCK;
    const int channels = s->space == JCS_GRAYSCALE ? 1 : cmyk ? 4 : 3;
    uint8_t *data = pixels(s->width, s->height, channels);
    c.err = jpeg_std_error(&errors);
    errors.emit_message = on_jpeg_message;
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &file, &bytes);
    c.image_width = (JDIMENSION)s->width;
    c.image_height = (JDIMENSION)s->height;
    c.input_components = channels;
    c.in_color_space = channels == 1 ? JCS_GRAYSCALE : cmyk ? JCS_CMYK : JCS_RGB;
    jpeg_set_defaults(&c);
    jpeg_set_colorspace(&c, s->space);
    jpeg_set_quality(&c, s->quality, FALSE);
    for (int i = 0; i < c.num_components; i++) {
        const bool full = i == 0 || (s->space == JCS_YCCK && i == 3);
        c.comp_info[i].h_samp_factor = full ? s->h : 1;
        c.comp_info[i].v_samp_factor = full ? s->v : 1;
    }
    c.arith_code = s->arithmetic;
    c.optimize_coding = !s->arithmetic; /* small tables */
    c.restart_interval = s->restart;
    if (s->progressive)
        jpeg_simple_progression(&c);
    jpeg_start_compress(&c, TRUE);
    while (c.next_scanline < c.image_height) {
        JSAMPROW row = data + (size_t)c.next_scanline * (size_t)s->width * (size_t)channels;
        jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    rq_err err = {0};
    out->size = 0;
    must(rq_buf_append(out, file, bytes, &err), &err);
    free(file);
    free(data);
}

static const jpeg_seed jpegs[] = {
    {"grey", 9, 7, JCS_GRAYSCALE, 1, 1, 60, false, false, 0},
    {"444", 17, 9, JCS_YCbCr, 1, 1, 50, false, false, 0},
    {"422", 18, 9, JCS_YCbCr, 2, 1, 75, false, false, 1},
    {"420", 20, 19, JCS_YCbCr, 2, 2, 80, false, false, 0},
    {"440", 9, 20, JCS_YCbCr, 1, 2, 75, false, false, 0},
    {"411", 33, 9, JCS_YCbCr, 4, 1, 40, false, false, 0},
    {"420-progressive", 24, 17, JCS_YCbCr, 2, 2, 70, true, false, 0},
    {"grey-progressive-restart", 17, 16, JCS_GRAYSCALE, 1, 1, 85, true, false, 2},
    {"tables-of-16-bits", 16, 16, JCS_YCbCr, 1, 1, 3, false, false, 0},
    {"quality-100", 8, 8, JCS_YCbCr, 1, 1, 100, false, false, 0},
    {"rgb", 11, 9, JCS_RGB, 1, 1, 60, false, false, 0},
    {"cmyk", 9, 8, JCS_CMYK, 1, 1, 50, false, false, 0},
    {"ycck", 16, 9, JCS_YCCK, 2, 2, 50, false, false, 0},
    {"arithmetic", 12, 9, JCS_YCbCr, 2, 2, 50, false, true, 0},
};

/* An EXIF block of orientation 6 behind the first two bytes. */
static void add_exif(rq_buf *file)
{
    static const uint8_t app1[] = {0xFF, 0xE1, 0, 34, 'E', 'x', 'i', 'f', 0, 0,  'M', 'M',
                                   0,    '*',  0, 0,  0,   8,   0,   1,   1, 18, 0,   3,
                                   0,    0,    0, 1,  0,   6,   0,   0,   0, 0,  0,   0};
    rq_buf out = {0};
    rq_err err = {0};
    must(rq_buf_append(&out, file->data, 2, &err), &err);
    must(rq_buf_append(&out, app1, sizeof app1, &err), &err);
    must(rq_buf_append(&out, file->data + 2, file->size - 2, &err), &err);
    rq_buf_free(file);
    *file = out;
}

static void jpeg_seeds(void)
{
    rq_buf file = {0};
    rq_err err = {0};
    for (size_t i = 0; i < sizeof jpegs / sizeof *jpegs; i++) {
        make_jpeg(&jpegs[i], &file);
        put("jpeg", jpegs[i].name, NULL, 0, file.data, file.size);
    }
    make_jpeg(&jpegs[1], &file);
    put("jpeg", "cut-off", NULL, 0, file.data, file.size - 20);
    must(rq_buf_append(&file, "behind the end", 14, &err), &err);
    put("jpeg", "trailing", NULL, 0, file.data, file.size);
    make_jpeg(&jpegs[0], &file);
    add_exif(&file);
    put("jpeg", "exif", NULL, 0, file.data, file.size);
    put("exif", "jpeg", NULL, 0, file.data, file.size < 80 ? file.size : 80);
    put("exif", "big-endian", NULL, 0, file.data + 12, 26);
    static const uint8_t little[] = "II*\0\x08\0\0\0\x02\0\x00\x01\x03\0\x01\0\0\0\x05\0\0\0"
                                    "\x12\x01\x04\0\x01\0\0\0\x08\0\0\0\0\0\0";
    put("exif", "little-endian", NULL, 0, little, sizeof little);
    rq_buf_free(&file);
}

/* ---- PNG --------------------------------------------------------------------------------- */

static void on_png_write(png_structp png, png_bytep data, size_t bytes)
{
    rq_err err = {0};
    must(rq_buf_append(png_get_io_ptr(png), data, bytes, &err), &err);
}

static void on_png_flush(png_structp png)
{
    (void)png;
}

static void png_seed(const char *name, int type, int depth, int channels, bool interlaced)
{
    enum { WIDTH = 13, HEIGHT = 9 };
    rq_buf file = {0};
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    uint8_t *data = pixels(WIDTH * 2, HEIGHT, channels);
    if (setjmp(png_jmpbuf(png)))
        die("libpng");
    png_set_write_fn(png, &file, on_png_write, on_png_flush);
    png_set_IHDR(png, info, WIDTH, HEIGHT, depth, type,
                 interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (type == PNG_COLOR_TYPE_PALETTE) {
        png_color colors[4] = {{1, 2, 3}, {200, 100, 0}, {255, 255, 255}, {0, 90, 90}};
        const png_byte alpha[2] = {0, 128};
        png_set_PLTE(png, info, colors, 1 << (depth < 2 ? depth : 2));
        png_set_tRNS(png, info, alpha, 2, NULL);
        for (int i = 0; i < WIDTH * 2 * HEIGHT; i++)
            data[i] &= depth == 8 ? 3 : 255;
    }
    png_write_info(png, info);
    const int passes = png_set_interlace_handling(png);
    for (int pass = 0; pass < passes; pass++) {
        for (int y = 0; y < HEIGHT; y++)
            png_write_row(png, data + y * WIDTH * 2 * channels);
    }
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    put("png", name, NULL, 0, file.data, file.size);
    free(data);
    rq_buf_free(&file);
}

static void png_seeds(void)
{
    png_seed("grey-1", PNG_COLOR_TYPE_GRAY, 1, 1, false);
    png_seed("grey-8", PNG_COLOR_TYPE_GRAY, 8, 1, false);
    png_seed("grey-16-interlaced", PNG_COLOR_TYPE_GRAY, 16, 1, true);
    png_seed("grey-alpha", PNG_COLOR_TYPE_GRAY_ALPHA, 8, 2, false);
    png_seed("palette-2", PNG_COLOR_TYPE_PALETTE, 2, 1, false);
    png_seed("palette-8-interlaced", PNG_COLOR_TYPE_PALETTE, 8, 1, true);
    png_seed("rgb-8", PNG_COLOR_TYPE_RGB, 8, 3, false);
    png_seed("rgba-16", PNG_COLOR_TYPE_RGB_ALPHA, 16, 4, false);
}

/* ---- AVIF, PNM --------------------------------------------------------------------------- */

#ifdef RQ_HAVE_AVIF
static void avif_seed(const char *name, int depth, avifPixelFormat format, bool alpha)
{
    avifImage *image = avifImageCreate(16, 12, (uint32_t)depth, format);
    avifRGBImage rgb;
    avifEncoder *encoder = avifEncoderCreate();
    avifRWData out = AVIF_DATA_EMPTY;
    uint8_t *data = pixels(16, 12, alpha ? 4 : 3);
    avifRGBImageSetDefaults(&rgb, image);
    rgb.depth = 8;
    rgb.format = alpha ? AVIF_RGB_FORMAT_RGBA : AVIF_RGB_FORMAT_RGB;
    rgb.pixels = data;
    rgb.rowBytes = alpha ? 64 : 48;
    encoder->speed = 10;
    encoder->minQuantizer = encoder->maxQuantizer = 40;
    if (avifImageRGBToYUV(image, &rgb) != AVIF_RESULT_OK ||
        avifEncoderWrite(encoder, image, &out) != AVIF_RESULT_OK)
        die("libavif");
    put("avif", name, NULL, 0, out.data, out.size);
    avifRWDataFree(&out);
    avifEncoderDestroy(encoder);
    avifImageDestroy(image);
    free(data);
}

static void avif_seeds(void)
{
    avif_seed("444", 8, AVIF_PIXEL_FORMAT_YUV444, false);
    avif_seed("420-10-bits", 10, AVIF_PIXEL_FORMAT_YUV420, false);
    avif_seed("422-12-bits", 12, AVIF_PIXEL_FORMAT_YUV422, false);
    avif_seed("grey", 8, AVIF_PIXEL_FORMAT_YUV400, false);
    avif_seed("alpha", 8, AVIF_PIXEL_FORMAT_YUV420, true);
}
#else
static void avif_seeds(void)
{
    fprintf(stderr, "seeds: built without AVIF, its seeds stay as they are\n");
}
#endif

static void pnm_seeds(void)
{
    static const char mask[] = "P5\n2 2\n255\n\x00\xff\x80\x01";
    uint8_t image[200];
    uint8_t *data = pixels(5, 4, 3);
    const int head = snprintf((char *)image, sizeof image, "P6 # a comment\n5 4 255\n");
    memcpy(image + head, data, 60);
    put("pnm", "ppm", NULL, 0, image, (size_t)head + 60);
    put("pnm", "ppm-trailing", NULL, 0, image, (size_t)head + 61);
    put("pnm", "ppm-cut-off", NULL, 0, image, (size_t)head + 30);
    put("pnm", "pgm", NULL, 0, mask, sizeof mask - 1);
    put_text("pnm", "maxval", "P5 1 1 65535 ab");
    put_text("pnm", "bomb", "P6 65535 65535 255\n");
    put_text("pnm", "gif", "GIF89a");
    free(data);
}

/* ---- shards ------------------------------------------------------------------------------ */

/* One sample: its members and the entry that goes with them. */
static void make_sample(uint64_t id, rq_encoding encoding, const void *image, size_t bytes,
                        int width, int height, rq_members *m, rq_index_entry *e)
{
    static const char mask[] = "P5\n2 2\n255\n\x00\xff\x80\x01";
    static char meta[200];
    *m = (rq_members){.image = image, .image_bytes = bytes, .meta = meta};
    snprintf(m->key, sizeof m->key, "c%d/i%d", (int)id % 2, (int)id);
    const size_t n = (size_t)snprintf(
        meta, sizeof meta,
        "{\"name\": \"c%d/i%d.x\", \"class\": \"c%d\", \"id\": %d, \"width\": %d, "
        "\"height\": %d, \"codec\": \"PNM\", \"verdict\": \"ok\"}\n",
        (int)id % 2, (int)id, (int)id % 2, (int)id, width, height);
    m->meta_bytes = n;
    if (id == 0) {
        m->mask = (const uint8_t *)mask;
        m->mask_bytes = sizeof mask - 1;
    }
    *e = (rq_index_entry){.id = id,
                          .label = (int)id % 2,
                          .width = (uint32_t)width,
                          .height = (uint32_t)height,
                          .encoding = (uint8_t)encoding};
}

static void append_sample(rq_shard_writer *w, uint64_t id, rq_encoding encoding,
                          const void *image, size_t bytes, int width, int height)
{
    rq_frame_coder coder = {0};
    rq_buf frame = {0};
    rq_members m;
    rq_index_entry e;
    rq_err err = {0};
    make_sample(id, encoding, image, bytes, width, height, &m, &e);
    must(rq_frame_encode(&coder, 3, &m, &e, &frame, &err), &err);
    must(rq_shard_writer_append(w, &e, frame.data, &err), &err);
    rq_buf_free(&frame);
    rq_frame_coder_fini(&coder);
}

static void read_back(const char *path, rq_buf *out)
{
    rq_err err = {0};
    must(rq_file_read(path, 1 << 20, out, &err), &err);
    unlink(path);
}

/* Where files that a library writes by name stand for a moment. */
static const char *scratch(void)
{
    static char path[600];
    snprintf(path, sizeof path, "%.400s/scratch", root);
    return path;
}

static void dct_seeds(void)
{
    const rq_limits limits = rq_limits_default();
    rq_dct *d = NULL;
    rq_buf file = {0}, payload = {0};
    rq_err err = {0};
    must(rq_dct_create(&d, rq_cpu_detect(), &limits, &err), &err);
    for (size_t i = 0; i < sizeof jpegs / sizeof *jpegs; i++) {
        make_jpeg(&jpegs[i], &file);
        if (rq_dct_encode(d, file.data, file.size, &payload, NULL) == RQ_OK)
            put("dct", jpegs[i].name, NULL, 0, payload.data, payload.size);
    }
    rq_dct_destroy(&d);
    rq_buf_free(&file);
    rq_buf_free(&payload);
}

/* A file of each of the encodings that hold one. */
static void append_coded(rq_shard_writer *w)
{
    const rq_limits limits = rq_limits_default();
    rq_dct *d = NULL;
    rq_image img = {0};
    rq_buf file = {0}, payload = {0}, scratch_bytes = {0};
    rq_err err = {0};
    const jpeg_seed *seed = &jpegs[3];
    make_jpeg(seed, &file);
    append_sample(w, 3, RQ_ENCODING_JPEG, file.data, file.size, seed->width, seed->height);
    must(rq_dct_create(&d, rq_cpu_detect(), &limits, &err), &err);
    must(rq_dct_encode(d, file.data, file.size, &payload, &err), &err);
    append_sample(w, 5, RQ_ENCODING_DCT, payload.data, payload.size, seed->width, seed->height);
    must(rq_dct_decode(d, payload.data, payload.size, &img, &err), &err);
    must(rq_planes_encode(&img, &scratch_bytes, &payload, &err), &err);
    append_sample(w, 4, RQ_ENCODING_RAW, payload.data, payload.size, seed->width, seed->height);
    rq_dct_destroy(&d);
    rq_image_free(&img);
    rq_buf_free(&file);
    rq_buf_free(&payload);
    rq_buf_free(&scratch_bytes);
}

static void shard_seed(const char *name, bool ppm, bool coded)
{
    static const char picture[] = "P6\n2 2\n255\nabcdefghijkl";
    rq_shard_writer *w;
    rq_manifest_shard info = {0};
    rq_buf file = {0};
    rq_err err = {0};
    must(rq_shard_writer_create(&w, scratch(), &err), &err);
    if (ppm)
        append_sample(w, 0, RQ_ENCODING_PPM, picture, sizeof picture - 1, 2, 2);
    if (coded)
        append_coded(w);
    if (ppm)
        append_sample(w, 2, RQ_ENCODING_PPM, picture, sizeof picture - 1, 2, 2);
    must(rq_shard_writer_finish(&w, &info, &err), &err);
    read_back(scratch(), &file);
    put("shard", name, "\7", 1, file.data, file.size);
    put("salvage", name, "\7", 1, file.data, file.size);
    put("salvage", name[0] == 'm' ? "no-end" : "no-index", "\4", 1, file.data,
        file.size - (name[0] == 'm' ? 9 : 200));
    const size_t n = info.samples, tail = rq_index_frame_bytes(n) + rq_table_frame_bytes(n);
    const size_t frames = file.size - tail;
    must(rq_buf_append(&file, NULL, frames, &err), &err);
    memmove(file.data + frames, file.data, file.size - frames); /* all frames twice */
    put("salvage", "crash-frames-twice", "\4", 1, file.data, 2 * frames);
    memmove(file.data, file.data + frames, file.size - frames);
    file.size -= frames;
    put("index", name, "\7", 1, file.data + file.size - tail, tail);
    rq_buf_free(&file);
}

static void frame_seeds(void)
{
    static const char picture[] = "P6\n2 2\n255\nabcdefghijkl";
    rq_frame_coder coder = {0};
    rq_buf frame = {0};
    rq_members m;
    rq_index_entry e;
    rq_err err = {0};
    for (int masked = 0; masked < 2; masked++) {
        make_sample(masked ? 0 : 1, RQ_ENCODING_PPM, picture, sizeof picture - 1, 2, 2, &m, &e);
        must(rq_frame_encode(&coder, 3, &m, &e, &frame, &err), &err);
        uint8_t head[4] = {0, RQ_ENCODING_PPM - 1, (uint8_t)(e.label + 1), (uint8_t)masked};
        put("frame", masked ? "stored-mask" : "stored", head, 4, frame.data, frame.size);
        head[0] = 2;
        put("frame", masked ? "content-mask" : "content", head, 4, coder.raw.data,
            coder.raw.size);
    }
    put("frame", "members", "\3\3\1\1", 4, "\6c0/i_1\4P5 1\2ab\2{}", 18);
    rq_buf_free(&frame);
    rq_frame_coder_fini(&coder);
}

/* ---- archives ---------------------------------------------------------------------------- */

typedef struct tar_file {
    const char *name, *text, *link; /* a link when `link` is not NULL, a folder without text */
} tar_file;

static void make_tar(rq_buf *out, int format, const tar_file *files, size_t n)
{
    struct archive *a = archive_write_new();
    struct archive_entry *e = archive_entry_new();
    static char buffer[1 << 16];
    size_t used = 0;
    rq_err err = {0};
    archive_write_set_format(a, format);
    archive_write_set_bytes_per_block(a, 512);
    archive_write_set_bytes_in_last_block(a, 512);
    if (archive_write_open_memory(a, buffer, sizeof buffer, &used) != ARCHIVE_OK)
        die("libarchive");
    for (size_t i = 0; i < n; i++) {
        archive_entry_clear(e);
        archive_entry_set_pathname(e, files[i].name);
        archive_entry_set_perm(e, 0644);
        archive_entry_set_filetype(e, files[i].link   ? AE_IFLNK
                                      : files[i].text ? AE_IFREG
                                                      : AE_IFDIR);
        if (files[i].link)
            archive_entry_set_symlink(e, files[i].link);
        const size_t bytes = files[i].text && !files[i].link ? strlen(files[i].text) : 0;
        archive_entry_set_size(e, (la_int64_t)bytes);
        if (archive_write_header(a, e) < ARCHIVE_WARN || /* names are bytes */
            archive_write_data(a, files[i].text ? files[i].text : "", bytes) !=
                (la_ssize_t)bytes)
            die("libarchive");
    }
    archive_write_close(a);
    archive_write_free(a);
    archive_entry_free(e);
    out->size = 0;
    must(rq_buf_append(out, buffer, used, &err), &err);
}

static void nested_seed(void)
{
    static const tar_file inner[] = {{"n01_1.JPEG", "one", NULL}, {"n01_2.JPEG", "two", NULL}};
    rq_buf tar = {0}, out = {0};
    rq_err err = {0};
    uint8_t header[RQ_USTAR_BLOCK];
    make_tar(&tar, ARCHIVE_FORMAT_TAR_USTAR, inner, 2);
    must(rq_ustar_header(header, "n01.tar", tar.size, &err), &err);
    must(rq_buf_append(&out, header, sizeof header, &err), &err);
    must(rq_buf_append(&out, tar.data, tar.size, &err), &err);
    must(rq_buf_append(&out, NULL, 1024, &err), &err);
    put("archive", "tar-of-tars", "\1", 1, out.data, out.size);
    put("archive", "tar-of-tars-compressed", "\3", 1, out.data, out.size);
    put("archive", "tar-of-tars-wanted", "\31", 1, out.data, out.size);
    rq_buf_free(&tar);
    rq_buf_free(&out);
}

static void archive_seeds(void)
{
    static const tar_file folders[] = {{"a", NULL, NULL},
                                       {"a/1.jpg", "one", NULL},
                                       {"b/2.jpg", "two", NULL},
                                       {"b/LOC.xml", "<x/>", NULL}};
    static const tar_file flat[] = {{"ILSVRC2012_val_00000001.JPEG", "1", NULL},
                                    {"ILSVRC2012_val_00000002.JPEG", "", NULL}};
    static const tar_file hostile[] = {{"../../x/1.jpg", "up", NULL},
                                       {"/etc/2.jpg", "root", NULL},
                                       {"x/./3.jpg", "dot", NULL},
                                       {"x/4.jpg", NULL, "/etc/passwd"}};
    static const tar_file web[] = {{"s1.jpg", "one", NULL},
                                   {"s1.cls", "1", NULL},
                                   {"s2.jpg", "two", NULL},
                                   {"s2.cls", "0", NULL}};
    static const tar_file hugging[] = {{"n01440764_10026_n01440764.JPEG", "x", NULL},
                                       {"n01443537_2_n01443537.JPEG", "yy", NULL}};
    char name[120];
    memset(name, 'n', sizeof name - 1);
    memcpy(name, "class/", 6);
    memcpy(name + sizeof name - 5, ".jpg", 5);
    const tar_file longer[] = {{name, "long", NULL}, {"class/\xC3\xA9.jpg", "accent", NULL}};
    rq_buf tar = {0};
    make_tar(&tar, ARCHIVE_FORMAT_TAR_USTAR, folders, 4);
    put("archive", "folders", "\1", 1, tar.data, tar.size);
    make_tar(&tar, ARCHIVE_FORMAT_TAR_USTAR, flat, 2);
    put("archive", "flat", "\1", 1, tar.data, tar.size);
    make_tar(&tar, ARCHIVE_FORMAT_TAR_USTAR, hostile, 4);
    put("archive", "names-that-leave", "\1", 1, tar.data, tar.size);
    make_tar(&tar, ARCHIVE_FORMAT_TAR_USTAR, web, 4);
    put("archive", "webdataset", "\1", 1, tar.data, tar.size);
    make_tar(&tar, ARCHIVE_FORMAT_TAR_USTAR, hugging, 2);
    put("archive", "class-in-name", "\1", 1, tar.data, tar.size);
    make_tar(&tar, ARCHIVE_FORMAT_TAR_PAX_INTERCHANGE, longer, 2);
    put("archive", "pax", "\1", 1, tar.data, tar.size);
    make_tar(&tar, ARCHIVE_FORMAT_TAR_GNUTAR, longer, 2);
    put("archive", "gnu", "\1", 1, tar.data, tar.size);
    rq_buf_free(&tar);
    nested_seed();
}

/* ---- text and checkpoints ---------------------------------------------------------------- */

/* The same samples as the second of three parts. */
static void part_seed(const rq_manifest *whole)
{
    char prefix[RQ_MAX_PREFIX_BYTES], file[RQ_MAX_FILE_BYTES];
    rq_manifest part = *whole;
    rq_manifest_shard shards[2] = {whole->shards[0], whole->shards[1]};
    rq_buf text = {0};
    rq_err err = {0};
    part.part = (rq_part){2, 3};
    part.first = 5;
    part.records = 5;
    part.source_images = 15;
    part.shards = shards;
    char *names[2];
    rq_shard_prefix(prefix, sizeof prefix, part.name, part.part);
    for (size_t i = 0; i < 2; i++) {
        rq_shard_file_name(file, sizeof file, prefix, i);
        shards[i].file = names[i] = rq_strdup(file);
    }
    must(rq_manifest_encode(&part, &text, &err), &err);
    put("manifest", "part-2-of-3", NULL, 0, text.data, text.size);
    rq_free(names[0]);
    rq_free(names[1]);
    rq_buf_free(&text);
}

static void manifest_seeds(void)
{
    rq_manifest m = {.name = rq_strdup("data"),
                     .encoding = RQ_ENCODING_PPM,
                     .level = 3,
                     .samples = 5,
                     .masks = 1,
                     .source_images = 5,
                     .layout = rq_strdup("class-folders"),
                     .created_by = rq_strdup("seeds")};
    rq_manifest_shard s = {.bytes = 4000, .samples = 3, .index_hash = 77};
    rq_buf text = {0};
    rq_err err = {0};
    char file[100];
    memset(s.sha256, '5', 64);
    for (size_t i = 0; i < 2; i++) {
        rq_shard_file_name(file, sizeof file, "data", i);
        s.samples = 3 - i;
        must(rq_manifest_add_shard(&m, file, &s, &err), &err);
        must(rq_manifest_add_class(&m, i ? "cat" : "d\xC3\xB6g", &err), &err);
    }
    must(rq_settings_add(&m.settings, &err, "encoding", "%s", "ppm"), &err);
    must(rq_settings_add(&m.settings, &err, "level", "%d", 3), &err);
    must(rq_manifest_encode(&m, &text, &err), &err);
    put("manifest", "two-shards", NULL, 0, text.data, text.size);
    part_seed(&m);
    put("manifest", "cut-off", NULL, 0, text.data, text.size / 2);
    rq_manifest_free(&m);
    rq_buf_free(&text);
}

static void text_seeds(void)
{
    put_text("json", "object",
             "{\"a\": 1, \"b\": [true, null, -0.5e3], \"c\": \"\\u00e9\\n\"}");
    put_text(
        "json", "metrics",
        "{\"step\":1,\"loss\":0.5,\"knn\":{\"top1\":3}}\n{\"step\":2,\"loss\":null}\n{\"st");
    put_text("json", "deep", "[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]");
    put_text("json", "twice", "{\"a\": 1, \"a\": 2}");
    put_text("json", "surrogates", "\"\\ud83d\\ude00 \\ud83d\"");
    put_text("cli", "all",
             "--flag\n--no-flag\n-n\n5\n--seed=0xff\n--shard-size\n1.5GiB\n--rate=1e-3\n"
             "--encoding=dct\n--time=3h50m\narg\n-oout\n");
    put_text("cli", "config",
             "-f\n\n# a comment\ncount = 7\nname = \" a b\"\nrate=2\ntime=90\n");
    put_text("cli", "unknown", "--cuont=3\n-q\n-vv\n--json\n--no-progress\n--\n--flag\n");
    put_text("cli", "mistakes", "--count=12x\n\nencoding = png\n");
    put_text("cli", "help", "-h\n");
    put("names", "plain", "\0\1\0\0\0\0\0\0\0", 9, "n01440764/n01440764_10026.JPEG", 30);
    put("names", "key", "\0\1\0\0\0\0\0\0\0", 9, "n01440764/n01440764_10026", 25);
    put("names", "dots", "\1\5\0\0\0\0\0\0\0", 9, "../a//b/.c.d.jpg", 16);
    put("names", "slashes", "\4\xff\xff\xff\xff\xff\xff\xff\xff", 9, "/////", 5);
    put("names", "bytes", "\6\1\0\0\0\0\0\0\0", 9, "\xC3\xA9\x01\\\xFF+7.png", 10);
}

/* ---- labels, reports, planes ------------------------------------------------------------- */

/* A MATLAB element: type, length, data, padded to eight bytes. */
static void element(rq_buf *out, uint32_t type, const void *data, size_t bytes)
{
    uint8_t tag[8];
    rq_err err = {0};
    rq_put_le32(tag, type);
    rq_put_le32(tag + 4, (uint32_t)bytes);
    must(rq_buf_append(out, tag, sizeof tag, &err), &err);
    must(rq_buf_append(out, bytes ? data : "", bytes, &err), &err);
    must(rq_buf_append(out, NULL, (8 - bytes % 8) % 8, &err), &err);
}

/* The beginning of an array: class, dimensions, name. */
static void array(rq_buf *out, uint8_t class, uint32_t rows, uint32_t columns, const char *name)
{
    uint8_t flags[8] = {class}, dims[8];
    rq_put_le32(dims, rows);
    rq_put_le32(dims + 4, columns);
    element(out, 6, flags, sizeof flags);
    element(out, 5, dims, sizeof dims);
    element(out, 1, name, strlen(name));
}

static void make_table(rq_buf *out)
{
    enum { DOUBLE = 9, MATRIX = 14, UTF16 = 17, STRUCT = 2, TEXT = 4, NUMBERS = 6 };
    static const char fields[32] = "ILSVRC2012_ID\0\0\0WNID";
    static const char wnids[2][9] = {"n0144076", "n0144353"};
    const uint8_t width[4] = {16, 0, 0, 0};
    rq_buf cell = {0};
    array(out, STRUCT, 2, 1, "synsets");
    element(out, 5, width, sizeof width);
    element(out, 1, fields, sizeof fields);
    for (int row = 0; row < 2; row++) {
        const double id = row + 1;
        uint8_t text[16] = {0};
        for (int i = 0; i < 8; i++)
            text[2 * i] = (uint8_t)wnids[row][i];
        cell.size = 0;
        array(&cell, NUMBERS, 1, 1, "");
        element(&cell, DOUBLE, &id, sizeof id);
        element(out, MATRIX, cell.data, cell.size);
        cell.size = 0;
        array(&cell, TEXT, 1, 8, "");
        element(&cell, UTF16, text, sizeof text);
        element(out, MATRIX, cell.data, cell.size);
    }
    rq_buf_free(&cell);
}

/* A devkit as it is handed out: meta.mat and a ground truth in an archive. */
static void devkit_seed(const char *head, size_t head_bytes, const rq_buf *table)
{
    static const char folder[] = "ILSVRC2012_devkit_t12/data/";
    static const char truth[] = "2\n1\n2\n";
    uint8_t block[RQ_USTAR_BLOCK];
    char name[100];
    rq_buf tar = {0};
    rq_err err = {0};
    const size_t bytes = head_bytes + table->size;
    snprintf(name, sizeof name, "%smeta.mat", folder);
    must(rq_ustar_header(block, name, bytes, &err), &err);
    must(rq_buf_append(&tar, block, sizeof block, &err), &err);
    must(rq_buf_append(&tar, head, head_bytes, &err), &err);
    must(rq_buf_append(&tar, table->data, table->size, &err), &err);
    must(rq_buf_append(&tar, NULL, rq_round_up(bytes, 512) - bytes, &err), &err);
    snprintf(name, sizeof name, "%sILSVRC2012_validation_ground_truth.txt", folder);
    must(rq_ustar_header(block, name, sizeof truth - 1, &err), &err);
    must(rq_buf_append(&tar, block, sizeof block, &err), &err);
    must(rq_buf_append(&tar, truth, sizeof truth - 1, &err), &err);
    must(rq_buf_append(&tar, NULL, 512 - (sizeof truth - 1) + 1024, &err), &err);
    put("labels", "devkit-archive", "\3", 1, tar.data, tar.size);
    rq_buf_free(&tar);
}

static void table_seeds(void)
{
    enum { MATRIX = 14, COMPRESSED = 15 };
    char head[129] = "";
    rq_buf table = {0}, file = {0}, plain = {0};
    rq_err err = {0};
    head[0] = 2; /* the choice of the target */
    memset(head + 1, ' ', 124);
    memcpy(head + 1, "MATLAB 5.0 MAT-file", 19);
    memcpy(head + 125, "\0\1IM", 4);
    make_table(&table);
    element(&plain, MATRIX, table.data, table.size);
    put("labels", "devkit-plain", head, sizeof head, plain.data, plain.size);
    devkit_seed(head + 1, sizeof head - 1, &plain);
    uLongf bytes = compressBound(plain.size);
    uint8_t tag[8];
    must(rq_buf_reserve(&file, bytes, &err), &err);
    if (compress(file.data, &bytes, plain.data, plain.size) != Z_OK)
        die("zlib");
    rq_put_le32(tag, COMPRESSED);
    rq_put_le32(tag + 4, (uint32_t)bytes);
    rq_buf whole = {0};
    must(rq_buf_append(&whole, tag, sizeof tag, &err), &err);
    must(rq_buf_append(&whole, file.data, bytes, &err), &err);
    put("labels", "devkit", head, sizeof head, whole.data, whole.size);
    rq_buf_free(&whole);
    rq_buf_free(&table);
    rq_buf_free(&file);
    rq_buf_free(&plain);
}

static void put_choice(const char *target, const char *name, char choice, const char *text)
{
    put(target, name, &choice, 1, text, strlen(text));
}

static void label_seeds(void)
{
    put_choice("labels", "kaggle", 0,
               "ImageId,PredictionString\nILSVRC2012_val_00048981,n03995372 85 1 499 272 \n");
    put_choice("labels", "tabs", 0, "a b/1.jpg\t3\r\n# none\n\n\"c,\"\"d\".jpg\t0\n");
    put_choice("labels", "blanks", 0,
               "\xEF\xBB\xBF"
               "a.jpg 490\nb.jpg 361\n");
    put_choice("labels", "numbers", 0, "490\n361\n171\n");
    put_choice("labels", "kaggle-file", 3,
               "ImageId,PredictionString\nILSVRC2012_val_00000002,n03995372 85 1 499 272 \n");
    put_choice("labels", "synset-words", 3, "n01440764 tench, Tinca\nn01443537 goldfish\n");
    put_choice("labels", "numbers-file", 3, "1\n0\n1\n");
    put_choice("labels", "synsets", 1, "n01440764 tench, Tinca tinca\nn01443537 goldfish\n");
    table_seeds();
}

static void report_seeds(void)
{
    rq_report_entry e = {.name = "a/1.jpg",
                         .class_name = "a",
                         .label = 0,
                         .bytes = 77,
                         .info = {.codec = RQ_CODEC_JPEG,
                                  .width = 9,
                                  .height = 8,
                                  .components = 3,
                                  .orientation = 1,
                                  .notes = RQ_NOTE_CMYK},
                         .hashed = true,
                         .duplicate_label = -1};
    rq_report *r = NULL;
    rq_buf text = {0};
    rq_err err = {0};
    rq_verdict_make(&e.verdict, RQ_OK, "", e.info.notes, "");
    must(rq_report_create(&r, scratch(), &err), &err);
    must(rq_report_add(r, &e, &err), &err);
    e.duplicate_of = "a/1.jpg";
    e.name = "a/2.jpg";
    must(rq_report_add(r, &e, &err), &err);
    must(rq_report_commit(&r, 1, "a folder", &err), &err);
    read_back(scratch(), &text);
    put("report", "two-images", "\0", 1, text.data, text.size);
    text.size = 0;
    must(rq_report_line(&text, &e, &err), &err);
    put("report", "line", "\1", 1, text.data, text.size);
    const rq_meta m = {.name = "a/\xFF.jpg",
                       .class_name = "a",
                       .id = 5,
                       .width = 9,
                       .height = 8,
                       .orientation = 6,
                       .codec = "JPEG",
                       .verdict = "fixed",
                       .notes = "CMYK"};
    text.size = 0;
    must(rq_meta_write(&m, &text, &err), &err);
    put("report", "member", "\2", 1, text.data, text.size);
    rq_buf_free(&text);
}

static void planes_seeds(void)
{
    static const struct {
        const char *name;
        rq_pixels pixels;
        int width, height, sub_x, sub_y;
    } shapes[] = {{"grey", RQ_PIXELS_GRAY, 67, 3, 1, 1},
                  {"rgb", RQ_PIXELS_RGB, 9, 5, 1, 1},
                  {"420", RQ_PIXELS_YCBCR, 19, 7, 2, 2},
                  {"411", RQ_PIXELS_YCBCR, 35, 2, 4, 1},
                  {"one", RQ_PIXELS_GRAY, 1, 1, 1, 1}};
    rq_image img = {0};
    rq_buf out = {0}, other = {0};
    rq_err err = {0};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        must(rq_image_shape(&img, shapes[i].pixels, shapes[i].width, shapes[i].height,
                            shapes[i].sub_x, shapes[i].sub_y, 1, &err),
             &err);
        for (int p = 0; p < rq_pixels_planes(img.pixels); p++) {
            for (int y = 0; y < img.plane[p].height; y++) {
                for (int x = 0; x < img.plane[p].width; x++)
                    img.plane[p].data[(size_t)y * img.plane[p].stride + (size_t)x] =
                        (uint8_t)(x * (3 + p) + y * y + (x * y * 7) % 5);
            }
        }
        must(rq_planes_encode(&img, &other, &out, &err), &err);
        put("planes", shapes[i].name, NULL, 0, out.data, out.size);
    }
    rq_image_free(&img);
    rq_buf_free(&out);
    rq_buf_free(&other);
}

static rq_status fill(void *ctx, size_t i, void *dst, rq_err *err)
{
    const rq_st_tensor *t = ctx;
    (void)err;
    memset(dst, (int)i + 1, t[i].bytes);
    return RQ_OK;
}

/* A checkpoint's header over tensors that are not its model's, as choice 3 wants it: without
 * the length, and with a newline where the padding was. */
static void checkpoint_seed(void)
{
    rq_st_tensor t[] = {
        {.name = "encoder.conv1.weight", .dtype = RQ_ST_F32, .ndim = 2, .shape = {1, 2}}};
    const rq_st_meta meta[] = {{"format", "reliquary-checkpoint"},
                               {"version", "1"},
                               {"arch", "resnet18"},
                               {"stem", "1"},
                               {"base_width", "8"},
                               {"proj_hidden", "16"},
                               {"proj_out", "8"},
                               {"pred_hidden", "16"},
                               {"classes", "0"},
                               {"step", "12"}};
    rq_buf file = {0}, seed = {0};
    rq_err err = {0};
    must(rq_safetensors_write(scratch(), t, 1, fill, t, meta, sizeof meta / sizeof *meta, &err),
         &err);
    read_back(scratch(), &file);
    size_t header = (size_t)rq_get_le64(file.data);
    const uint8_t *data = file.data + 8 + header;
    while (file.data[8 + header - 1] == ' ')
        header--;
    must(rq_buf_append(&seed, file.data + 8, header, &err), &err);
    must(rq_buf_append(&seed, "\n", 1, &err), &err);
    must(rq_buf_append(&seed, data, (size_t)(file.data + file.size - data), &err), &err);
    put("safetensors", "checkpoint", "\3", 1, seed.data, seed.size);
    rq_buf_free(&file);
    rq_buf_free(&seed);
}

static void safetensors_seeds(void)
{
    rq_st_tensor t[] = {{.name = "a", .dtype = RQ_ST_F32, .ndim = 2, .shape = {2, 3}},
                        {.name = "b", .dtype = RQ_ST_I64, .ndim = 0},
                        {.name = "c", .dtype = RQ_ST_BF16, .ndim = 1, .shape = {4}}};
    const rq_st_meta meta[] = {{"format", "pt"}};
    static const char plain[] =
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]},"
        "\"__metadata__\":{\"step\":\"7\",\"arch\":\"resnet18\"}}\nabcdefgh";
    rq_buf file = {0};
    rq_err err = {0};
    must(rq_safetensors_write(scratch(), t, 3, fill, t, meta, 1, &err), &err);
    read_back(scratch(), &file);
    put("safetensors", "hashed", "\0", 1, file.data, file.size);
    put("safetensors", "plain", "\1", 1, plain, sizeof plain - 1);
    rq_buf_free(&file);
    checkpoint_seed();
}

int main(int argc, char **argv)
{
    if (argc != 2)
        die("usage: seeds DIR");
    root = argv[1];
    jpeg_seeds();
    png_seeds();
    avif_seeds();
    pnm_seeds();
    shard_seed("ppm", true, false);
    shard_seed("coded", false, true);
    shard_seed("mixed", true, true);
    dct_seeds();
    frame_seeds();
    archive_seeds();
    manifest_seeds();
    text_seeds();
    safetensors_seeds();
    label_seeds();
    report_seeds();
    planes_seeds();
    return 0;
}
