// SPDX-License-Identifier: Apache-2.0
// From a record of the source to a verified frame. Every image is decoded in full once,
// whatever it is stored as: that is what the verdict in the report stands on. What an image
// cannot be kept as falls back to the nearest lossless form: PNG to raw, AVIF to itself, raw
// pixels beyond a sample's size to the source's bytes.
#include "pack/encode.h"

#include "pack/key.h"
#include "pack/meta.h"

#include <stdio.h>
#include <string.h>

struct rq_encoder {
    rq_encoding encoding;
    int level;
    rq_limits limits;
    rq_masks *masks; // borrowed, may be NULL
    rq_decoder *decoder;
    rq_frame_coder coder;
    rq_image image;
    rq_buf pixels, mask, meta;
};

void rq_encoded_fini(rq_encoded *e)
{
    rq_buf_free(&e->frame);
    rq_buf_free(&e->report);
}

void rq_encode_opts_default(rq_encode_opts *o)
{
    *o = (rq_encode_opts){.encoding = RQ_ENCODING_DCT, .avif_speed = 9};
}

int rq_encode_level(rq_encoding encoding)
{
    switch (encoding) {
    case RQ_ENCODING_DCT:
        return 12;
    case RQ_ENCODING_RAW:
        return 1;
    default:
        return 3;
    }
}

static rq_status check_range(const char *option, int value, int low, int high, rq_err *err)
{
    if (value >= low && value <= high)
        return RQ_OK;
    return rq_fail(err, RQ_INVALID_ARG, "%s must be %d to %d, not %d", option, low, high,
                   value);
}

rq_status rq_encode_opts_check(const rq_encode_opts *o, rq_err *err)
{
    RQ_TRY(check_range("the encoding's number", (int)o->encoding, RQ_ENCODING_JPEG,
                       RQ_ENCODING_RAW, err));
    RQ_TRY(check_range("--level", o->level, 0, 19, err));
    RQ_TRY(check_range("--long", o->long_side, 0, RQ_MAX_SIDE, err));
    RQ_TRY(check_range("--short", o->short_side, 0, RQ_MAX_SIDE, err));
    RQ_TRY(check_range("--quality", o->quality, 0, 100, err));
    RQ_TRY(check_range("--speed", o->avif_speed, 0, 10, err));
    RQ_TRY(
        check_range("the chroma's number", (int)o->chroma, RQ_CHROMA_AUTO, RQ_CHROMA_444, err));
    const bool exact = o->encoding == RQ_ENCODING_PPM || o->encoding == RQ_ENCODING_RAW;
    if (o->long_side && o->short_side)
        return rq_fail(err, RQ_INVALID_ARG,
                       "--long and --short both name a size; give one of them");
    if (o->quality && exact)
        return rq_fail(err, RQ_INVALID_ARG,
                       "--quality has no meaning for `%s`, which keeps pixels exactly; leave "
                       "it out, or use --encode dct, jpeg or avif",
                       rq_encoding_name(o->encoding));
#ifndef RQ_HAVE_AVIF
    if (o->encoding == RQ_ENCODING_AVIF)
        return rq_fail(err, RQ_UNSUPPORTED,
                       "this build is without libavif and cannot write `avif`; install "
                       "libavif-dev and build again, or use another --encode");
#endif
    return RQ_OK;
}

rq_status rq_encoder_create(rq_encoder **out, const rq_encode_opts *opts,
                            const rq_limits *limits, rq_masks *masks, rq_err *err)
{
    *out = NULL;
    rq_encoder *e = rq_calloc(1, sizeof *e);
    if (!e)
        return rq_fail(err, RQ_OOM, "out of memory for an encoder");
    *e = (rq_encoder){.encoding = opts->encoding,
                      .level = opts->level ? opts->level : rq_encode_level(opts->encoding),
                      .limits = *limits,
                      .masks = masks};
    const rq_status st = rq_decoder_create(&e->decoder, limits, err);
    if (st != RQ_OK)
        rq_encoder_destroy(&e);
    *out = e;
    return st;
}

void rq_encoder_destroy(rq_encoder **e)
{
    if (!*e)
        return;
    rq_decoder_destroy(&(*e)->decoder);
    rq_frame_coder_fini(&(*e)->coder);
    rq_image_free(&(*e)->image);
    rq_buf_free(&(*e)->pixels);
    rq_buf_free(&(*e)->mask);
    rq_buf_free(&(*e)->meta);
    rq_free(*e);
    *e = NULL;
}

// How an image of this codec and size is kept when `wanted` was asked for.
static rq_encoding choose_encoding(rq_encoding wanted, const rq_image_info *info)
{
    const uint64_t raw = (uint64_t)info->width * (uint64_t)info->height *
                         (info->pixels == RQ_PIXELS_GRAY ? 1 : 3);
    const bool raw_fits = raw <= RQ_MAX_RAW_BYTES - (RQ_MAX_RAW_BYTES >> 6);
    if (wanted == RQ_ENCODING_PPM && raw_fits)
        return RQ_ENCODING_PPM;
    if (info->codec == RQ_CODEC_JPEG)
        return RQ_ENCODING_JPEG;
    return info->codec == RQ_CODEC_AVIF ? RQ_ENCODING_AVIF : RQ_ENCODING_PPM;
}

// The decoded picture as P6 or P5.
static rq_status write_pnm(const rq_image *img, rq_buf *out, rq_err *err)
{
    const bool gray = img->pixels == RQ_PIXELS_GRAY;
    const size_t w = (size_t)img->width, h = (size_t)img->height;
    out->size = 0;
    RQ_TRY(rq_buf_printf(out, err, "P%d\n%zu %zu\n255\n", gray ? 5 : 6, w, h));
    const size_t head = out->size, bytes = w * h * (gray ? 1 : 3);
    RQ_TRY(rq_buf_reserve(out, head + bytes, err));
    uint8_t *dst = out->data + head;
    if (gray)
        for (size_t y = 0; y < h; y++)
            memcpy(dst + y * w, img->plane[0].data + y * img->plane[0].stride, w);
    else
        rq_image_to_rgb(img, dst);
    out->size += bytes;
    return RQ_OK;
}

// Decodes for the verdict; *kept is what the picture will be stored as. `failure` is the
// image's own trouble.
static rq_status look(rq_encoder *e, const rq_record *rec, rq_image_info *info,
                      rq_encoding *kept, rq_err *failure)
{
    if (rec->status != RQ_OK)
        return rq_fail(failure, rec->status, "%s", rec->reason);
    rq_image_info header = {0};
    // The header alone decides between planes as coded and full RGB; a file that has no header
    // fails in the decoder, with the better sentence.
    *kept = e->encoding;
    rq_err trouble = {0};
    rq_status st = rq_probe(rec->data, rec->size, &e->limits, &header, &trouble);
    if (st == RQ_OOM)
        return rq_fail(failure, st, "%s", trouble.text);
    if (st == RQ_OK)
        *kept = choose_encoding(e->encoding, &header);
    st = *kept == RQ_ENCODING_PPM
             ? rq_decode_rgb(e->decoder, rec->data, rec->size, false, &e->image, info, failure)
             : rq_decode(e->decoder, rec->data, rec->size, false, &e->image, info, failure);
    if (st == RQ_OK && (e->image.width > RQ_MAX_SIDE || e->image.height > RQ_MAX_SIDE))
        return rq_fail(failure, RQ_LIMIT, "a side is longer than %d pixels", RQ_MAX_SIDE);
    return st;
}

static rq_status find_mask(rq_encoder *e, const rq_record *rec, rq_encoded *out, rq_err *err)
{
    e->mask.size = 0;
    if (!e->masks)
        return RQ_OK;
    rq_err failure = {0};
    const rq_status st = rq_masks_get(e->masks, e->decoder, rec->entry.name, e->image.width,
                                      e->image.height, &e->mask, &failure);
    if (st == RQ_OOM)
        return rq_fail(err, st, "%s", failure.text);
    if (st == RQ_OK)
        return RQ_OK;
    e->mask.size = 0;
    out->mask_failed = true;
    out->verdict.kind = RQ_VERDICT_WARNED;
    snprintf(out->verdict.reason, sizeof out->verdict.reason, "packed without its mask: %.200s",
             failure.text);
    return RQ_OK;
}

static rq_status write_meta(rq_encoder *e, const rq_record *rec, const rq_image_info *info,
                            const rq_verdict *v, rq_err *err)
{
    const rq_meta m = {.name = rec->entry.name,
                       .class_name = rec->entry.class_name,
                       .id = rec->entry.id,
                       .width = e->image.width,
                       .height = e->image.height,
                       .orientation = 1,
                       .codec = rq_codec_name(info->codec),
                       .verdict = rq_verdict_name(v->kind),
                       .notes = v->reason};
    e->meta.size = 0;
    return rq_meta_write(&m, &e->meta, err);
}

// The frame of a usable image. LIMIT is the image's own trouble.
static rq_status make_frame(rq_encoder *e, const rq_record *rec, bool ambiguous,
                            const rq_image_info *info, rq_encoding kept, rq_encoded *out,
                            rq_err *err)
{
    rq_members m = {.image = rec->data, .image_bytes = rec->size};
    rq_key_make(m.key, rec->entry.name, rec->entry.id, ambiguous);
    if (kept == RQ_ENCODING_PPM) {
        RQ_TRY(write_pnm(&e->image, &e->pixels, err));
        m.image = e->pixels.data;
        m.image_bytes = e->pixels.size;
    }
    RQ_TRY(find_mask(e, rec, out, err));
    if (e->mask.size) {
        m.mask = e->mask.data;
        m.mask_bytes = e->mask.size;
    }
    RQ_TRY(write_meta(e, rec, info, &out->verdict, err));
    m.meta = (const char *)e->meta.data;
    m.meta_bytes = e->meta.size;
    out->entry = (rq_index_entry){.id = rec->entry.id,
                                  .label = rec->entry.label,
                                  .width = (uint32_t)e->image.width,
                                  .height = (uint32_t)e->image.height,
                                  .encoding = (uint8_t)kept};
    out->fallback = kept != e->encoding;
    return rq_frame_encode(&e->coder, e->level, &m, &out->entry, &out->frame, err);
}

static void reject(rq_encoded *out, const rq_err *failure)
{
    rq_verdict_make(&out->verdict, failure->status, failure->text, 0, "");
    out->reason = failure->status;
    out->frame.size = 0;
    out->fallback = false;
}

rq_status rq_encode_record(rq_encoder *e, const rq_record *rec, bool ambiguous, rq_encoded *out,
                           rq_err *err)
{
    rq_image_info info = {0};
    rq_encoding kept = e->encoding;
    rq_err failure = {0};
    out->frame.size = out->report.size = 0;
    out->fallback = out->mask_failed = false;
    out->reason = RQ_OK;
    rq_status st = look(e, rec, &info, &kept, &failure);
    if (st == RQ_OK) {
        if (!rq_codec_name_agrees(rec->entry.name, info.codec))
            info.notes |= RQ_NOTE_EXTENSION;
        rq_verdict_make(&out->verdict, RQ_OK, "", info.notes, rq_decoder_warning(e->decoder));
        st = make_frame(e, rec, ambiguous, &info, kept, out, &failure);
    }
    if (st == RQ_OOM || st == RQ_INTERNAL)
        return rq_fail(err, st, "'%s': %s", rec->entry.name, failure.text);
    if (st != RQ_OK)
        reject(out, &failure);
    return rq_verdict_append_json(&out->report, rec->entry.name, rec->entry.class_name,
                                  rec->entry.label, (size_t)rec->entry.bytes, &info,
                                  &out->verdict, err);
}
