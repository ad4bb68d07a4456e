// SPDX-License-Identifier: Apache-2.0
// Sniffing and dispatch: what a coded image is by its first bytes, the limits every codec
// obeys, and the decoder object that owns what a thread reuses from one image to the next.
// Names and extensions are never believed; they only serve to note a disagreement.
#include "ingest/codec_impl.h"

#include "common/clock.h"

#include <string.h>
#include <strings.h>

enum { KEEP_SCRATCH_BYTES = 4 << 20 }; /* more than that is given back after a decode */

struct rq_decoder {
    rq_limits limits;
    rq_jpeg *jpeg;
    rq_buf scratch;
    char warning[RQ_WARNING_BYTES];
};

/* ---- sniffing ---------------------------------------------------------------------------- */

static bool avif_brand(const uint8_t *brand)
{
    return memcmp(brand, "avif", 4) == 0 || memcmp(brand, "avis", 4) == 0;
}

/* ISO BMFF: an ftyp box whose major or one of its first compatible brands is AVIF's. */
static bool sniff_avif(const uint8_t *p, size_t n)
{
    if (n < 12 || memcmp(p + 4, "ftyp", 4) != 0)
        return false;
    if (avif_brand(p + 8))
        return true;
    const size_t box =
        (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | (size_t)p[3];
    for (size_t at = 16; at + 4 <= n && at + 4 <= box && at < 32; at += 4) {
        if (avif_brand(p + at))
            return true;
    }
    return false;
}

rq_codec rq_codec_sniff(const void *data, size_t bytes)
{
    const uint8_t *p = data;
    if (bytes >= 3 && p[0] == 0xFF && p[1] == 0xD8 && p[2] == 0xFF)
        return RQ_CODEC_JPEG;
    if (bytes >= 8 && memcmp(p, "\x89PNG\r\n\x1a\n", 8) == 0)
        return RQ_CODEC_PNG;
    if (sniff_avif(p, bytes))
        return RQ_CODEC_AVIF;
    if (bytes >= 3 && p[0] == 'P' && (p[1] == '5' || p[1] == '6') &&
        (p[2] == ' ' || (p[2] >= '\t' && p[2] <= '\r')))
        return RQ_CODEC_PNM;
    return RQ_CODEC_UNKNOWN;
}

const char *rq_codec_name(rq_codec codec)
{
    static const char *const names[] = {"unknown", "JPEG", "PNG", "AVIF", "PNM"};
    return (unsigned)codec < sizeof names / sizeof *names ? names[codec] : names[0];
}

const char *rq_color_model_name(rq_color_model model)
{
    static const char *const names[RQ_COLOR_COUNT] = {"unknown", "gray", "YCbCr",  "RGB",
                                                      "CMYK",    "YCCK", "palette"};
    return (unsigned)model < RQ_COLOR_COUNT ? names[model] : names[0];
}

const char *rq_codec_extension(rq_codec codec, int components)
{
    switch (codec) {
    case RQ_CODEC_JPEG:
        return "jpg";
    case RQ_CODEC_PNG:
        return "png";
    case RQ_CODEC_AVIF:
        return "avif";
    case RQ_CODEC_PNM:
        return components == 1 ? "pgm" : "ppm";
    default:
        return "bin";
    }
}

bool rq_codec_name_agrees(const char *name, rq_codec codec)
{
    static const struct {
        const char *extension;
        rq_codec codec;
    } known[] = {{"jpg", RQ_CODEC_JPEG},  {"jpeg", RQ_CODEC_JPEG}, {"jpe", RQ_CODEC_JPEG},
                 {"jfif", RQ_CODEC_JPEG}, {"png", RQ_CODEC_PNG},   {"avif", RQ_CODEC_AVIF},
                 {"pgm", RQ_CODEC_PNM},   {"ppm", RQ_CODEC_PNM},   {"pnm", RQ_CODEC_PNM}};
    const char *dot = strrchr(name, '.');
    const char *slash = strrchr(name, '/');
    if (dot == NULL || (slash != NULL && slash > dot))
        return true;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcasecmp(dot + 1, known[i].extension) == 0)
            return known[i].codec == codec;
    }
    return true;
}

/* What a file is that no codec here reads; NULL when that is not known either. */
static const char *foreign_format(const uint8_t *p, size_t n)
{
    static const struct {
        const char *magic;
        size_t at, length;
        const char *name;
    } known[] = {{"GIF8", 0, 4, "a GIF image"},
                 {"BM", 0, 2, "a BMP image"},
                 {"II*\0", 0, 4, "a TIFF image"},
                 {"MM\0*", 0, 4, "a TIFF image"},
                 {"WEBP", 8, 4, "a WebP image"},
                 {"ftypheic", 4, 8, "a HEIC image"},
                 {"ftypmif1", 4, 8, "a HEIF image"},
                 {"\xFF\x0A", 0, 2, "a JPEG XL image"},
                 {"\0\0\0\x0CJXL ", 0, 8, "a JPEG XL image"},
                 {"\0\0\0\x0CjP  ", 0, 8, "a JPEG 2000 image"},
                 {"P1", 0, 2, "a bitmap or plain PNM image"},
                 {"P2", 0, 2, "a bitmap or plain PNM image"},
                 {"P3", 0, 2, "a bitmap or plain PNM image"},
                 {"P4", 0, 2, "a bitmap or plain PNM image"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (n >= known[i].at + known[i].length &&
            memcmp(p + known[i].at, known[i].magic, known[i].length) == 0)
            return known[i].name;
    }
    return NULL;
}

static bool looks_like_text(const uint8_t *p, size_t n)
{
    const size_t look = n < 64 ? n : 64;
    for (size_t i = 0; i < look; i++) {
        if ((p[i] < 32 && !(p[i] >= '\t' && p[i] <= '\r')) || p[i] == 127)
            return false;
    }
    return true;
}

static rq_status refuse_unknown(const uint8_t *p, size_t n, rq_err *err)
{
    const char *foreign = foreign_format(p, n);
    if (foreign != NULL)
        return rq_fail(err, RQ_UNSUPPORTED, "%s, which is not read; convert it to PNG or JPEG",
                       foreign);
    return rq_fail(err, RQ_BAD_FORMAT, "%s, not a JPEG, PNG, AVIF or binary PGM/PPM image",
                   looks_like_text(p, n) ? "a text file" : "unknown content");
}

/* ---- limits ------------------------------------------------------------------------------ */

rq_limits rq_limits_default(void)
{
    return (rq_limits){.max_side = 32768,
                       .max_pixels = 100000000,
                       .max_file_bytes = (size_t)64 << 20,
                       .max_memory_bytes = (size_t)512 << 20,
                       .max_scans = 100,
                       .max_cpu_seconds = 2.0};
}

rq_status rq_limits_check_size(const rq_limits *limits, const char *codec, uint64_t width,
                               uint64_t height, rq_err *err)
{
    if (width == 0 || height == 0)
        return rq_fail(err, RQ_BAD_FORMAT, "%s of %llu x %llu pixels has no content", codec,
                       (unsigned long long)width, (unsigned long long)height);
    const uint64_t side = (uint64_t)limits->max_side;
    if (width > side || height > side)
        return rq_fail(err, RQ_LIMIT, "%s of %llu x %llu pixels is over the limit of %d a side",
                       codec, (unsigned long long)width, (unsigned long long)height,
                       limits->max_side);
    if (width * height > limits->max_pixels)
        return rq_fail(err, RQ_LIMIT,
                       "%s of %llu x %llu pixels is over the limit of %llu pixels", codec,
                       (unsigned long long)width, (unsigned long long)height,
                       (unsigned long long)limits->max_pixels);
    return RQ_OK;
}

rq_status rq_codec_check_memory(rq_codec_job *job, const char *codec, uint64_t bytes,
                                rq_err *err)
{
    job->info->memory = bytes;
    if (bytes <= job->limits->max_memory_bytes)
        return RQ_OK;
    return rq_fail(
        err, RQ_LIMIT, "decoding this %s needs %llu MiB of memory, over the limit of %zu MiB",
        codec, (unsigned long long)(bytes >> 20), job->limits->max_memory_bytes >> 20);
}

static uint64_t cpu_end(const rq_limits *limits)
{
    return limits->max_cpu_seconds > 0
               ? rq_clock_thread_cpu_ns() + (uint64_t)(limits->max_cpu_seconds * 1e9)
               : 0;
}

bool rq_codec_out_of_time(const rq_codec_job *job)
{
    return job->cpu_end_ns != 0 && rq_clock_thread_cpu_ns() > job->cpu_end_ns;
}

rq_status rq_codec_fail_time(const rq_codec_job *job, const char *codec, rq_err *err)
{
    return rq_fail(err, RQ_LIMIT, "decoding this %s takes more than the limit of %.3g s", codec,
                   job->limits->max_cpu_seconds);
}

/* ---- helpers of the codecs --------------------------------------------------------------- */

void rq_codec_warn(rq_codec_job *job, const char *text)
{
    if (job->warnings++ > 0)
        return;
    const size_t n = strnlen(text, sizeof job->warning - 1);
    memcpy(job->warning, text, n);
    job->warning[n] = '\0';
}

rq_status rq_codec_settle(rq_codec_job *job, rq_err *err)
{
    if (job->warnings == 0)
        return RQ_OK;
    job->info->notes |= RQ_NOTE_CODEC_WARNING;
    if (!job->strict)
        return RQ_OK;
    return rq_fail(err, RQ_CORRUPT_IMAGE, "%s (%u %s)", job->warning, job->warnings,
                   job->warnings == 1 ? "warning" : "warnings");
}

rq_status rq_codec_scratch(rq_codec_job *job, size_t bytes, rq_err *err)
{
    return rq_buf_reserve(job->scratch, bytes, err);
}

void rq_codec_put_row(rq_image *img, int y, const uint8_t *src, int step)
{
    const int planes = rq_pixels_planes(img->pixels);
    for (int i = 0; i < planes; i++) {
        uint8_t *dst = img->plane[i].data + (size_t)y * img->plane[i].stride;
        for (int x = 0; x < img->width; x++)
            dst[x] = src[(size_t)x * (size_t)step + (size_t)i];
    }
}

/* ---- decoding ---------------------------------------------------------------------------- */

static rq_status run_job(rq_jpeg *jpeg, rq_codec_job *job, rq_err *err)
{
    rq_image_info *info = job->info;
    memset(info, 0, sizeof *info);
    info->sub_x = info->sub_y = info->orientation = 1;
    if (job->bytes == 0)
        return rq_fail(err, RQ_TRUNCATED, "the file is empty");
    if (job->bytes > job->limits->max_file_bytes)
        return rq_fail(err, RQ_LIMIT, "the file has %zu bytes, over the limit of %zu",
                       job->bytes, job->limits->max_file_bytes);
    info->codec = rq_codec_sniff(job->data, job->bytes);
    switch (info->codec) {
    case RQ_CODEC_JPEG:
        RQ_TRY(rq_jpeg_run(jpeg, job, err));
        break;
    case RQ_CODEC_PNG:
        RQ_TRY(rq_png_run(job, err));
        break;
    case RQ_CODEC_AVIF:
        RQ_TRY(rq_avif_run(job, err));
        break;
    case RQ_CODEC_PNM:
        RQ_TRY(rq_pnm_run(job, err));
        break;
    default:
        return refuse_unknown(job->data, job->bytes, err);
    }
    if (info->components == 1)
        info->notes |= RQ_NOTE_GRAY;
    if (info->orientation != 1)
        info->notes |= RQ_NOTE_ORIENTATION;
    return job->header_only ? RQ_OK : rq_codec_settle(job, err);
}

rq_status rq_probe(const void *data, size_t bytes, const rq_limits *limits, rq_image_info *info,
                   rq_err *err)
{
    rq_buf scratch = {0};
    rq_jpeg *jpeg = NULL;
    rq_codec_job job = {.data = data,
                        .bytes = bytes,
                        .limits = limits,
                        .header_only = true,
                        .info = info,
                        .cpu_end_ns = cpu_end(limits),
                        .scratch = &scratch};
    if (rq_codec_sniff(data, bytes) == RQ_CODEC_JPEG)
        RQ_TRY(rq_jpeg_create(&jpeg, err));
    const rq_status s = run_job(jpeg, &job, err);
    rq_jpeg_destroy(&jpeg);
    rq_buf_free(&scratch);
    return s;
}

rq_status rq_decoder_create(rq_decoder **out, const rq_limits *limits, rq_err *err)
{
    *out = NULL;
    rq_decoder *d = rq_calloc(1, sizeof *d);
    if (d == NULL)
        return rq_fail(err, RQ_OOM, "no memory for an image decoder");
    d->limits = *limits;
    const rq_status s = rq_jpeg_create(&d->jpeg, err);
    if (s != RQ_OK) {
        rq_decoder_destroy(&d);
        return s;
    }
    *out = d;
    return RQ_OK;
}

void rq_decoder_destroy(rq_decoder **d)
{
    if (d == NULL || *d == NULL)
        return;
    rq_jpeg_destroy(&(*d)->jpeg);
    rq_buf_free(&(*d)->scratch);
    rq_free(*d);
    *d = NULL;
}

const char *rq_decoder_warning(const rq_decoder *d)
{
    return d->warning;
}

static rq_status decode(rq_decoder *d, const void *data, size_t bytes, bool strict, bool rgb,
                        rq_image *img, rq_image_info *info, rq_err *err)
{
    rq_image_info unused;
    rq_codec_job job = {.data = data,
                        .bytes = bytes,
                        .limits = &d->limits,
                        .strict = strict,
                        .rgb = rgb,
                        .img = img,
                        .info = info != NULL ? info : &unused,
                        .cpu_end_ns = cpu_end(&d->limits),
                        .scratch = &d->scratch};
    const rq_status s = run_job(d->jpeg, &job, err);
    if (d->scratch.cap > KEEP_SCRATCH_BYTES)
        rq_buf_free(&d->scratch);
    memcpy(d->warning, job.warning, sizeof d->warning);
    return s;
}

rq_status rq_decode(rq_decoder *d, const void *data, size_t bytes, bool strict, rq_image *img,
                    rq_image_info *info, rq_err *err)
{
    return decode(d, data, bytes, strict, false, img, info, err);
}

rq_status rq_decode_rgb(rq_decoder *d, const void *data, size_t bytes, bool strict,
                        rq_image *img, rq_image_info *info, rq_err *err)
{
    return decode(d, data, bytes, strict, true, img, info, err);
}

/* Luma of RGB planes into the first one: BT.601 weights in 16-bit fixed point, as libjpeg. */
static void rgb_to_luma(rq_image *img)
{
    enum { R = 19595, G = 38470, B = 7471, HALF = 1 << 15 };
    for (int y = 0; y < img->height; y++) {
        uint8_t *r = img->plane[0].data + (size_t)y * img->plane[0].stride;
        const uint8_t *g = img->plane[1].data + (size_t)y * img->plane[1].stride;
        const uint8_t *b = img->plane[2].data + (size_t)y * img->plane[2].stride;
        for (int x = 0; x < img->width; x++)
            r[x] = (uint8_t)((R * r[x] + G * g[x] + B * b[x] + HALF) >> 16);
    }
}

rq_status rq_decode_gray(rq_decoder *d, const void *data, size_t bytes, rq_image *img,
                         rq_err *err)
{
    RQ_TRY(decode(d, data, bytes, false, false, img, NULL, err));
    if (img->pixels == RQ_PIXELS_RGB)
        rgb_to_luma(img);
    memset(&img->plane[1], 0, 2 * sizeof img->plane[1]);
    img->pixels = RQ_PIXELS_GRAY;
    img->sub_x = img->sub_y = 1;
    return RQ_OK;
}
