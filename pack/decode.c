// SPDX-License-Identifier: Apache-2.0
// One way from a stored image to planes for all encodings. What stands in a shard is checked
// against what the index says about it, kind and size, before anyone gets to see it. Pictures
// that stand on their side are decoded beside and turned; all others go straight into the
// caller's planes.
#include "pack/decode.h"

#include "ingest/orient.h"
#include "ingest/upsample.h"
#include "pack/dct.h"
#include "pack/frame.h"
#include "pack/planes.h"

struct rq_sample_decoder {
    rq_limits limits;
    unsigned cpu_flags;
    rq_decoder *decoder;
    rq_dct *dct;
    rq_image stored; // as decoded, when more is to be done with it
    rq_image rgb;    // the same, of full size
    rq_image shown;  // of a file that is exported
};

rq_status rq_sample_decoder_create(rq_sample_decoder **out, unsigned cpu_flags,
                                   const rq_limits *limits, rq_err *err)
{
    *out = NULL;
    rq_sample_decoder *d = rq_calloc(1, sizeof *d);
    if (!d)
        return rq_fail(err, RQ_OOM, "out of memory for a decoder");
    d->limits = *limits;
    d->cpu_flags = cpu_flags;
    rq_status st = rq_decoder_create(&d->decoder, limits, err);
    if (st == RQ_OK)
        st = rq_dct_create(&d->dct, cpu_flags, limits, err);
    if (st != RQ_OK)
        rq_sample_decoder_destroy(&d);
    *out = d;
    return st;
}

void rq_sample_decoder_destroy(rq_sample_decoder **d)
{
    if (!*d)
        return;
    rq_decoder_destroy(&(*d)->decoder);
    rq_dct_destroy(&(*d)->dct);
    rq_image_free(&(*d)->stored);
    rq_image_free(&(*d)->rgb);
    rq_image_free(&(*d)->shown);
    rq_free(*d);
    *d = NULL;
}

rq_stored_image rq_stored_image_of(const rq_index_entry *e, const uint8_t *data, size_t bytes)
{
    return (rq_stored_image){.encoding = (rq_encoding)e->encoding,
                             .orientation = rq_entry_orientation(e->flags),
                             .width = (int)e->width,
                             .height = (int)e->height,
                             .data = data,
                             .bytes = bytes};
}

static rq_status check_size(const rq_stored_image *s, int width, int height, rq_err *err)
{
    if (width == s->width && height == s->height)
        return RQ_OK;
    return rq_fail(err, RQ_BAD_FORMAT, "the picture is %d x %d, the index says %d x %d", width,
                   height, s->width, s->height);
}

// As stored, not turned.
static rq_status decode_stored(rq_sample_decoder *d, const rq_stored_image *s, rq_image *img,
                               rq_err *err)
{
    if (s->encoding == RQ_ENCODING_DCT) {
        // The cheap question first: a small payload may claim a large picture.
        rq_image_info info;
        RQ_TRY(rq_dct_probe(s->data, s->bytes, &d->limits, &info, err));
        const bool swap = rq_orientation_swaps(s->orientation);
        RQ_TRY(check_size(s, swap ? info.height : info.width, swap ? info.width : info.height,
                          err));
        return rq_dct_decode(d->dct, s->data, s->bytes, img, err);
    }
    if (s->encoding == RQ_ENCODING_RAW)
        return rq_planes_decode(d->cpu_flags, s->data, s->bytes, &d->limits, img, err);
    RQ_TRY(rq_frame_check_codec(s->encoding, s->data, s->bytes, err));
    return rq_decode(d->decoder, s->data, s->bytes, false, img, NULL, err);
}

rq_status rq_sample_decode(rq_sample_decoder *d, const rq_stored_image *s, rq_image *img,
                           rq_err *err)
{
    if (s->orientation == 1) {
        RQ_TRY(decode_stored(d, s, img, err));
    } else {
        RQ_TRY(decode_stored(d, s, &d->stored, err));
        RQ_TRY(rq_image_orient(&d->stored, s->orientation, img, err));
    }
    return check_size(s, img->width, img->height, err);
}

// Chroma is interpolated before the picture is turned, so that none of it moves.
rq_status rq_sample_decode_rgb(rq_sample_decoder *d, const rq_stored_image *s, rq_image *img,
                               rq_err *err)
{
    RQ_TRY(decode_stored(d, s, &d->stored, err));
    if (s->orientation == 1) {
        RQ_TRY(rq_image_upsample(&d->stored, img, err));
    } else {
        RQ_TRY(rq_image_upsample(&d->stored, &d->rgb, err));
        RQ_TRY(rq_image_orient(&d->rgb, s->orientation, img, err));
    }
    return check_size(s, img->width, img->height, err);
}

rq_status rq_sample_decode_mask(rq_sample_decoder *d, const uint8_t *data, size_t bytes,
                                rq_image *mask, rq_err *err)
{
    if (rq_codec_sniff(data, bytes) != RQ_CODEC_PNM)
        return rq_fail(err, RQ_BAD_FORMAT, "its mask is no binary PGM");
    return rq_decode_gray(d->decoder, data, bytes, mask, err);
}

static rq_status export_png(rq_sample_decoder *d, const rq_stored_image *s, rq_buf *file,
                            rq_err *err)
{
    RQ_TRY(rq_sample_decode_rgb(d, s, &d->shown, err));
    const rq_image *img = &d->shown;
    const int channels = rq_pixels_planes(img->pixels);
    uint8_t *samples = rq_alloc((size_t)img->width * (size_t)img->height, (size_t)channels);
    if (!samples)
        return rq_fail(err, RQ_OOM, "out of memory for a picture of %d x %d pixels", img->width,
                       img->height);
    for (int y = 0; y < img->height; y++)
        for (int x = 0; x < img->width; x++)
            for (int c = 0; c < channels; c++)
                samples[((size_t)y * (size_t)img->width + (size_t)x) * (size_t)channels +
                        (size_t)c] =
                    img->plane[c].data[(size_t)y * img->plane[c].stride + (size_t)x];
    const rq_status st = rq_png_encode(samples, img->width, img->height, channels, file, err);
    rq_free(samples);
    return st;
}

rq_status rq_sample_export(rq_sample_decoder *d, const rq_stored_image *s, rq_buf *file,
                           const char **extension, rq_err *err)
{
    file->size = 0;
    switch (s->encoding) {
    case RQ_ENCODING_DCT:
        *extension = "jpg";
        RQ_TRY(rq_dct_to_jpeg(d->dct, s->data, s->bytes, file, err));
        return rq_exif_insert_orientation(file, s->orientation, err);
    case RQ_ENCODING_RAW:
        *extension = "png";
        return export_png(d, s, file, err);
    default:
        *extension = rq_frame_extension(s->encoding, s->data, s->bytes);
        return rq_buf_append(file, s->data, s->bytes, err);
    }
}
