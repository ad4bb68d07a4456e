// SPDX-License-Identifier: Apache-2.0
// AVIF writing. Component planes of JPEGs go in as they are, with the matrix and range they
// have, so that nothing is lost to a conversion. Constant quality instead of a bit rate: what a
// picture gets does not depend on its neighbours.
#include "ingest/avif_encode.h"

// Quantizers that give the PSNR of JPEG at a quality, on photographs, with speed 9.
int rq_avif_quantizer(int quality)
{
    static const struct {
        int quality, quantizer;
    } at[] = {{1, 63}, {25, 46}, {50, 36}, {75, 28}, {85, 21}, {90, 14}, {95, 8}, {100, 0}};
    const int n = sizeof at / sizeof *at;
    if (quality <= at[0].quality)
        return at[0].quantizer;
    for (int i = 1; i < n; i++) {
        const int span = at[i].quality - at[i - 1].quality, into = quality - at[i - 1].quality;
        const int drop = at[i - 1].quantizer - at[i].quantizer;
        if (into <= span)
            return at[i - 1].quantizer - (drop * into + span / 2) / span;
    }
    return at[n - 1].quantizer;
}

bool rq_avif_takes_sampling(int sub_x, int sub_y)
{
    return (sub_x == 1 || sub_x == 2) && (sub_y == 1 || sub_y == 2) && sub_y <= sub_x;
}

#ifdef RQ_HAVE_AVIF

#include <avif/avif.h>
#include <stdio.h>

rq_status rq_avif_can_encode(rq_err *err)
{
    if (avifCodecName(AVIF_CODEC_CHOICE_AOM, AVIF_CODEC_FLAG_CAN_ENCODE) == NULL)
        return rq_fail(err, RQ_UNSUPPORTED,
                       "the libavif of this machine is without the aom encoder and cannot "
                       "write AVIF; install one that has it, or use another --encode");
    return RQ_OK;
}

static rq_status fail_avif(avifResult result, const char *detail, rq_err *err)
{
    const rq_status s = result == AVIF_RESULT_OUT_OF_MEMORY ? RQ_OOM : RQ_INTERNAL;
    return rq_fail(err, s, "libavif cannot write this picture: %s%s%s",
                   avifResultToString(result), detail[0] ? ": " : "", detail);
}

static avifPixelFormat format_of(const rq_image *img, const rq_avif_opts *opts)
{
    if (img->pixels == RQ_PIXELS_GRAY)
        return AVIF_PIXEL_FORMAT_YUV400;
    if (img->pixels == RQ_PIXELS_RGB)
        return opts->full_chroma ? AVIF_PIXEL_FORMAT_YUV444 : AVIF_PIXEL_FORMAT_YUV420;
    return img->sub_x == 1   ? AVIF_PIXEL_FORMAT_YUV444
           : img->sub_y == 1 ? AVIF_PIXEL_FORMAT_YUV422
                             : AVIF_PIXEL_FORMAT_YUV420;
}

// libavif converts from interleaved samples only.
static rq_status convert_rgb(const rq_image *img, avifImage *to, rq_err *err)
{
    const size_t w = (size_t)img->width, h = (size_t)img->height;
    uint8_t *samples = rq_alloc(w * h, 3);
    if (samples == NULL)
        return rq_fail(err, RQ_OOM, "no memory to convert a picture of %zu x %zu pixels", w, h);
    rq_image_to_rgb(img, samples);
    avifRGBImage rgb;
    avifRGBImageSetDefaults(&rgb, to);
    rgb.format = AVIF_RGB_FORMAT_RGB;
    rgb.depth = 8;
    rgb.pixels = samples;
    rgb.rowBytes = (uint32_t)(w * 3);
    const avifResult result = avifImageRGBToYUV(to, &rgb);
    rq_free(samples);
    return result == AVIF_RESULT_OK ? RQ_OK : fail_avif(result, "", err);
}

// The planes stay ours.
static void lend_planes(const rq_image *img, avifImage *to)
{
    to->imageOwnsYUVPlanes = AVIF_FALSE;
    for (int i = 0; i < rq_pixels_planes(img->pixels); i++) {
        to->yuvPlanes[i] = img->plane[i].data;
        to->yuvRowBytes[i] = (uint32_t)img->plane[i].stride;
    }
}

static rq_status fill(const rq_image *img, avifImage *to, rq_err *err)
{
    to->yuvRange = AVIF_RANGE_FULL;
    to->colorPrimaries = AVIF_COLOR_PRIMARIES_BT709;
    to->transferCharacteristics = AVIF_TRANSFER_CHARACTERISTICS_SRGB;
    to->matrixCoefficients = AVIF_MATRIX_COEFFICIENTS_BT601;
    if (img->pixels == RQ_PIXELS_RGB)
        return convert_rgb(img, to, err);
    lend_planes(img, to);
    return RQ_OK;
}

static rq_status write_file(avifImage *image, const rq_avif_opts *opts, rq_buf *dst,
                            rq_err *err)
{
    char quantizer[8];
    avifRWData file = AVIF_DATA_EMPTY;
    avifEncoder *e = avifEncoderCreate();
    if (e == NULL)
        return rq_fail(err, RQ_OOM, "no memory for an AVIF encoder");
    e->codecChoice = AVIF_CODEC_CHOICE_AOM;
    e->maxThreads = 1;
    e->speed = opts->speed;
    e->minQuantizer = AVIF_QUANTIZER_BEST_QUALITY;
    e->maxQuantizer = AVIF_QUANTIZER_WORST_QUALITY;
    snprintf(quantizer, sizeof quantizer, "%d", rq_avif_quantizer(opts->quality));
    // Libraries from 1.0 on return a result, which concerns memory only.
    (void)avifEncoderSetCodecSpecificOption(e, "end-usage", "q");
    (void)avifEncoderSetCodecSpecificOption(e, "cq-level", quantizer);
    const avifResult result = avifEncoderWrite(e, image, &file);
    rq_status st = RQ_OK;
    if (result != AVIF_RESULT_OK)
        st = fail_avif(result, e->diag.error, err);
    dst->size = 0;
    if (st == RQ_OK)
        st = rq_buf_append(dst, file.data, file.size, err);
    avifRWDataFree(&file);
    avifEncoderDestroy(e);
    return st;
}

rq_status rq_avif_encode(const rq_image *img, const rq_avif_opts *opts, rq_buf *dst,
                         rq_err *err)
{
    RQ_TRY(rq_avif_can_encode(err));
    if (img->pixels == RQ_PIXELS_YCBCR && !rq_avif_takes_sampling(img->sub_x, img->sub_y))
        return rq_fail(err, RQ_INVALID_ARG, "AVIF has no chroma sampling of %d x %d",
                       img->sub_x, img->sub_y);
    avifImage *image =
        avifImageCreate((uint32_t)img->width, (uint32_t)img->height, 8, format_of(img, opts));
    if (image == NULL)
        return rq_fail(err, RQ_OOM, "no memory for an AVIF picture");
    rq_status st = fill(img, image, err);
    if (st == RQ_OK)
        st = write_file(image, opts, dst, err);
    avifImageDestroy(image);
    return st;
}

#else

rq_status rq_avif_can_encode(rq_err *err)
{
    return rq_fail(err, RQ_UNSUPPORTED,
                   "this build is without libavif and cannot write AVIF; install libavif-dev "
                   "and build again, or use another --encode");
}

rq_status rq_avif_encode(const rq_image *img, const rq_avif_opts *opts, rq_buf *dst,
                         rq_err *err)
{
    (void)img;
    (void)opts;
    (void)dst;
    return rq_avif_can_encode(err);
}

#endif
