// SPDX-License-Identifier: Apache-2.0
// AVIF through libavif: the first frame, on one thread, converted by libavif's own matrix and
// range to 8-bit RGB, or to GRAY when the file is monochrome. Rotation and mirror properties
// are reported like an EXIF orientation and, like it, not applied; a crop is a note. Without
// libavif the codec is still there and says so.
//
// dav1d, libavif's first choice, writes lines to stderr about damaged data, and libavif 0.11
// has no switch for that. Bytes that nobody has vouched for therefore go to libaom, which gives
// the same samples without a word.
#include "ingest/codec_impl.h"

#ifdef RQ_HAVE_AVIF

#include <avif/avif.h>
#include <string.h>

static rq_status status_of(avifResult result)
{
    switch (result) {
    case AVIF_RESULT_TRUNCATED_DATA:
    case AVIF_RESULT_IO_ERROR:
        return RQ_TRUNCATED;
    case AVIF_RESULT_OUT_OF_MEMORY:
        return RQ_OOM;
    case AVIF_RESULT_NOT_IMPLEMENTED:
    case AVIF_RESULT_NO_CODEC_AVAILABLE:
    case AVIF_RESULT_UNSUPPORTED_DEPTH:
        return RQ_UNSUPPORTED;
    case AVIF_RESULT_INVALID_FTYP:
    case AVIF_RESULT_NO_CONTENT:
    case AVIF_RESULT_BMFF_PARSE_FAILED:
    case AVIF_RESULT_NO_AV1_ITEMS_FOUND:
    case AVIF_RESULT_INVALID_IMAGE_GRID:
        return RQ_BAD_FORMAT;
    default:
        return RQ_CORRUPT_IMAGE;
    }
}

static rq_status fail_avif(const avifDecoder *d, avifResult result, rq_err *err)
{
    const char *detail = d->diag.error;
    /* libavif's size limits come back as parse errors of this wording. */
    const rq_status s = strstr(detail, "too large") != NULL ? RQ_LIMIT : status_of(result);
    return rq_fail(err, s, "AVIF: %s%s%s", avifResultToString(result),
                   detail[0] != '\0' ? ": " : "", detail);
}

/* The EXIF orientation that irot (anticlockwise quarter turns) and then imir stand for. */
static int orientation_of(const avifImage *image)
{
    const bool turned = (image->transformFlags & AVIF_TRANSFORM_IROT) != 0;
    const bool mirrored = (image->transformFlags & AVIF_TRANSFORM_IMIR) != 0;
    const unsigned angle = turned ? image->irot.angle & 3u : 0;
    static const uint8_t plain[4] = {1, 8, 3, 6};
    static const uint8_t top_bottom[4] = {4, 5, 2, 7};
    static const uint8_t left_right[4] = {2, 7, 4, 5};
    if (!mirrored)
        return plain[angle];
    return image->imir.mode == 0 ? top_bottom[angle] : left_right[angle];
}

static void configure(avifDecoder *d, const rq_limits *limits)
{
    const uint64_t most = AVIF_DEFAULT_IMAGE_SIZE_LIMIT;
    d->codecChoice = AVIF_CODEC_CHOICE_AUTO;
    if (!limits->trusted &&
        avifCodecName(AVIF_CODEC_CHOICE_AOM, AVIF_CODEC_FLAG_CAN_DECODE) != NULL)
        d->codecChoice = AVIF_CODEC_CHOICE_AOM;
    d->maxThreads = 1;
    d->ignoreExif = AVIF_TRUE;
    d->ignoreXMP = AVIF_TRUE;
    d->imageSizeLimit = (uint32_t)(limits->max_pixels < most ? limits->max_pixels : most);
    d->imageDimensionLimit = (uint32_t)limits->max_side;
    /* Files of early writers lack properties that the standard asks for but nobody needs. */
    d->strictFlags = AVIF_STRICT_DISABLED;
}

static rq_status read_header(avifDecoder *d, rq_codec_job *job, rq_err *err)
{
    rq_image_info *info = job->info;
    avifResult result = avifDecoderSetIOMemory(d, job->data, job->bytes);
    if (result == AVIF_RESULT_OK)
        result = avifDecoderParse(d);
    if (result != AVIF_RESULT_OK)
        return fail_avif(d, result, err);
    const avifImage *image = d->image;
    RQ_TRY(rq_limits_check_size(job->limits, "AVIF", image->width, image->height, err));
    info->width = (int)image->width;
    info->height = (int)image->height;
    info->components = image->yuvFormat == AVIF_PIXEL_FORMAT_YUV400 ? 1 : 3;
    info->bit_depth = (int)image->depth;
    info->pixels = info->components == 1 ? RQ_PIXELS_GRAY : RQ_PIXELS_RGB;
    info->color = info->components == 1 ? RQ_COLOR_GRAY
                  : image->matrixCoefficients == AVIF_MATRIX_COEFFICIENTS_IDENTITY
                      ? RQ_COLOR_RGB
                      : RQ_COLOR_YCBCR;
    info->alpha = d->alphaPresent;
    info->orientation = orientation_of(image);
    info->notes |= info->alpha ? RQ_NOTE_ALPHA : 0;
    info->notes |= info->bit_depth > 8 ? RQ_NOTE_DEPTH : 0;
    info->notes |= (image->transformFlags & AVIF_TRANSFORM_CLAP) != 0 ? RQ_NOTE_CROP : 0;
    info->notes |= d->imageCount > 1 ? RQ_NOTE_SEQUENCE : 0;
    /* Planes of the frame, alpha among them (2 bytes a sample when deep, a reference beside
     * it), RGB, our planes. */
    const uint64_t pixels = (uint64_t)image->width * image->height;
    const unsigned samples = info->alpha ? 4 : 3, sample_bytes = image->depth > 8 ? 2 : 1;
    return rq_codec_check_memory(job, "AVIF", pixels * (2 * samples * sample_bytes + 6), err);
}

static rq_status read_pixels(avifDecoder *d, rq_codec_job *job, rq_err *err)
{
    avifResult result = avifDecoderNextImage(d);
    if (result != AVIF_RESULT_OK)
        return fail_avif(d, result, err);
    const avifImage *image = d->image;
    const int width = job->info->width, height = job->info->height;
    if (image->width != (uint32_t)width || image->height != (uint32_t)height)
        return rq_fail(err, RQ_CORRUPT_IMAGE,
                       "AVIF frame of %u x %u pixels in a file of %d x %d", image->width,
                       image->height, width, height);
    const size_t row_bytes = (size_t)width * 3;
    RQ_TRY(rq_codec_scratch(job, row_bytes * (size_t)height, err));
    /* Given an alpha plane, libavif would composite on black; it is dropped instead. */
    avifImage opaque = *image;
    opaque.alphaPlane = NULL;
    avifRGBImage rgb;
    avifRGBImageSetDefaults(&rgb, &opaque);
    rgb.format = AVIF_RGB_FORMAT_RGB;
    rgb.depth = 8;
    rgb.pixels = job->scratch->data;
    rgb.rowBytes = (uint32_t)row_bytes;
    result = avifImageYUVToRGB(&opaque, &rgb);
    if (result != AVIF_RESULT_OK)
        return fail_avif(d, result, err);
    RQ_TRY(rq_image_shape(job->img, job->info->pixels, width, height, 1, 1, 1, err));
    for (int y = 0; y < height; y++)
        rq_codec_put_row(job->img, y, rgb.pixels + (size_t)y * row_bytes, 3);
    return RQ_OK;
}

rq_status rq_avif_run(rq_codec_job *job, rq_err *err)
{
    avifDecoder *d = avifDecoderCreate();
    if (d == NULL)
        return rq_fail(err, RQ_OOM, "no memory for an AVIF decoder");
    configure(d, job->limits);
    rq_status s = read_header(d, job, err);
    if (s == RQ_OK && !job->header_only)
        s = read_pixels(d, job, err);
    avifDecoderDestroy(d);
    return s;
}

#else

rq_status rq_avif_run(rq_codec_job *job, rq_err *err)
{
    return rq_fail(err, RQ_UNSUPPORTED,
                   "an AVIF image, and this build is without libavif; install libavif-dev and "
                   "build again");
}

#endif
