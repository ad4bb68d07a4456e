/* The properties of decoding, the same for every codec of ingest/codec.h. */
#ifndef RQ_TESTS_FUZZ_CODECS_H
#define RQ_TESTS_FUZZ_CODECS_H

#include "fuzz.h"

#include "ingest/upsample.h"

/* One decode with a decoder of its own. */
static inline rq_status fuzz_decode(const uint8_t *data, size_t size, bool strict, bool rgb,
                                    rq_image *img, rq_image_info *info)
{
    const rq_limits limits = fuzz_limits();
    rq_decoder *d = NULL;
    rq_err err = {0};
    FUZZ_OK(rq_decoder_create(&d, &limits, &err), &err);
    const rq_status s = rgb ? rq_decode_rgb(d, data, size, strict, img, info, &err)
                            : rq_decode(d, data, size, strict, img, info, &err);
    rq_decoder_destroy(&d);
    return fuzz_status(s, &err);
}

/* What was decoded is what the header says, within the limits. */
static inline void fuzz_check_info(const rq_image *img, const rq_image_info *probed,
                                   const rq_image_info *info)
{
    const rq_limits limits = fuzz_limits();
    FUZZ_HOLDS(probed->codec == info->codec);
    FUZZ_HOLDS(probed->width == img->width && probed->height == img->height);
    FUZZ_HOLDS(info->width == img->width && info->height == img->height);
    FUZZ_HOLDS(probed->pixels == img->pixels);
    FUZZ_HOLDS(probed->sub_x == img->sub_x && probed->sub_y == img->sub_y);
    FUZZ_HOLDS(probed->orientation >= 1 && probed->orientation <= 8);
    FUZZ_HOLDS((uint64_t)img->width * (uint64_t)img->height <= limits.max_pixels);
    FUZZ_HOLDS((probed->notes & ~info->notes) == 0);
}

/* Planes made into a picture to look at are the picture that was decoded to be looked at. */
static inline void fuzz_check_look(const rq_image *planes, const rq_image *look)
{
    rq_image up = {0};
    rq_err err = {0};
    FUZZ_HOLDS(look->width == planes->width && look->height == planes->height);
    FUZZ_HOLDS(look->pixels != RQ_PIXELS_YCBCR);
    fuzz_touch(look);
    FUZZ_OK(rq_image_upsample(planes, &up, &err), &err);
    FUZZ_HOLDS(fuzz_same_image(look, &up));
    rq_image_free(&up);
}

/* Reading the header, decoding, decoding strictly and decoding for looking agree. */
static inline void fuzz_codec(const uint8_t *data, size_t size)
{
    const rq_limits limits = fuzz_limits();
    rq_image img = {0}, other = {0};
    rq_image_info probed = {0}, info = {0}, again = {0};
    rq_err err = {0};
    const rq_status probe = fuzz_status(rq_probe(data, size, &limits, &probed, &err), &err);
    const rq_status s = fuzz_decode(data, size, false, false, &img, &info);
    if (s == RQ_OK) {
        fuzz_accepted();
        FUZZ_HOLDS(probe == RQ_OK);
        fuzz_touch(&img);
        fuzz_check_info(&img, &probed, &info);
    }
    const rq_status strict = fuzz_decode(data, size, true, false, &other, &again);
    if (strict == RQ_OK) {
        FUZZ_HOLDS(s == RQ_OK && info.notes == again.notes);
        FUZZ_HOLDS(fuzz_same_image(&img, &other));
    } else if (s == RQ_OK) {
        FUZZ_HOLDS((info.notes & RQ_NOTE_CODEC_WARNING) != 0);
    }
    if (fuzz_decode(data, size, false, true, &other, &again) == RQ_OK) {
        FUZZ_HOLDS(s == RQ_OK);
        fuzz_check_look(&img, &other);
    }
    rq_image_free(&img);
    rq_image_free(&other);
}

#endif
