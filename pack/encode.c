// SPDX-License-Identifier: Apache-2.0
// From a record of the source to a verified frame: the picture by pack/convert, then its mask,
// its description, and all of it compressed. The picture's own trouble becomes a verdict, and
// only what concerns the machine ends the build.
#include "pack/encode.h"

#include "ingest/avif_encode.h"
#include "pack/convert.h"
#include "pack/key.h"
#include "pack/meta.h"

#include <stdio.h>
#include <string.h>

struct rq_encoder {
    rq_encode_opts opts;
    rq_masks *masks; // borrowed, may be NULL
    rq_converter *converter;
    rq_frame_coder coder;
    rq_buf mask, meta;
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
    case RQ_ENCODING_DCT: // made for the Huffman coder: higher levels find nothing more
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

// What is given must have something to act on: an option without effect is a mistake.
static rq_status check_meaning(const rq_encode_opts *o, rq_err *err)
{
    const char *name = rq_encoding_name(o->encoding);
    const bool chroma = o->chroma != RQ_CHROMA_AUTO;
    const bool exact = o->encoding == RQ_ENCODING_PPM || o->encoding == RQ_ENCODING_RAW;
    if (o->quality && exact)
        return rq_fail(err, RQ_INVALID_ARG,
                       "--quality has no meaning for `%s`, which keeps pixels exactly; leave "
                       "it out, or use --encode dct, jpeg or avif",
                       name);
    if (chroma && o->encoding == RQ_ENCODING_PPM)
        return rq_fail(err, RQ_INVALID_ARG,
                       "--chroma has no meaning for `ppm`, whose pixels are RGB; leave it out");
    const bool anew = o->quality || o->long_side || o->short_side;
    if (chroma && !anew && (o->encoding == RQ_ENCODING_JPEG || o->encoding == RQ_ENCODING_DCT))
        return rq_fail(err, RQ_INVALID_ARG,
                       "--chroma is about pictures that are encoded anew, and `%s` keeps them "
                       "as they are; add --quality, --long or --short, or leave it out",
                       name);
    return RQ_OK;
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
    if (o->long_side && o->short_side)
        return rq_fail(err, RQ_INVALID_ARG,
                       "--long and --short both name a size; give one of them");
    RQ_TRY(check_meaning(o, err));
    return o->encoding == RQ_ENCODING_AVIF ? rq_avif_can_encode(err) : RQ_OK;
}

rq_status rq_encoder_create(rq_encoder **out, const rq_encode_opts *opts,
                            const rq_limits *limits, rq_masks *masks, rq_err *err)
{
    *out = NULL;
    rq_encoder *e = rq_calloc(1, sizeof *e);
    if (!e)
        return rq_fail(err, RQ_OOM, "out of memory for an encoder");
    *e = (rq_encoder){.opts = *opts, .masks = masks};
    const rq_status st = rq_converter_create(&e->converter, opts, limits, err);
    if (st != RQ_OK)
        rq_encoder_destroy(&e);
    *out = e;
    return st;
}

void rq_encoder_destroy(rq_encoder **e)
{
    if (!*e)
        return;
    rq_converter_destroy(&(*e)->converter);
    rq_frame_coder_fini(&(*e)->coder);
    rq_buf_free(&(*e)->mask);
    rq_buf_free(&(*e)->meta);
    rq_free(*e);
    *e = NULL;
}

static rq_status find_mask(rq_encoder *e, const rq_record *rec, const rq_converted *picture,
                           rq_encoded *out, rq_err *err)
{
    e->mask.size = 0;
    if (!e->masks)
        return RQ_OK;
    rq_err failure = {0};
    const rq_status st =
        rq_masks_get(e->masks, rq_converter_decoder(e->converter), rec->entry.name,
                     picture->width, picture->height, picture->turned, &e->mask, &failure);
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

static rq_status write_meta(rq_encoder *e, const rq_record *rec, const rq_converted *picture,
                            const rq_verdict *v, rq_err *err)
{
    const rq_meta m = {.name = rec->entry.name,
                       .class_name = rec->entry.class_name,
                       .id = rec->entry.id,
                       .width = picture->width,
                       .height = picture->height,
                       .orientation = picture->orientation,
                       .codec = rq_codec_name(picture->info.codec),
                       .verdict = rq_verdict_name(v->kind),
                       .notes = v->reason};
    e->meta.size = 0;
    return rq_meta_write(&m, &e->meta, err);
}

// What an encoding other than the one asked for is compressed with is its own level.
static int level_for(const rq_encoder *e, rq_encoding kept)
{
    return e->opts.level && kept == e->opts.encoding ? e->opts.level : rq_encode_level(kept);
}

// The frame of a usable image. LIMIT is the image's own trouble.
static rq_status make_frame(rq_encoder *e, const rq_record *rec, bool ambiguous,
                            const rq_converted *picture, rq_encoded *out, rq_err *err)
{
    rq_members m = {.image = picture->data,
                    .image_bytes = picture->bytes,
                    .image_splits = picture->splits,
                    .n_image_splits = picture->n_splits};
    rq_key_make(m.key, rec->entry.name, rec->entry.id, ambiguous);
    RQ_TRY(find_mask(e, rec, picture, out, err));
    if (e->mask.size) {
        m.mask = e->mask.data;
        m.mask_bytes = e->mask.size;
    }
    RQ_TRY(write_meta(e, rec, picture, &out->verdict, err));
    m.meta = (const char *)e->meta.data;
    m.meta_bytes = e->meta.size;
    out->entry = (rq_index_entry){.id = rec->entry.id,
                                  .label = rec->entry.label,
                                  .width = (uint32_t)picture->width,
                                  .height = (uint32_t)picture->height,
                                  .encoding = (uint8_t)picture->encoding};
    RQ_TRY(rq_frame_encode(&e->coder, level_for(e, picture->encoding), &m, &out->entry,
                           &out->frame, err));
    out->entry.flags |= (uint8_t)((picture->orientation - 1) << RQ_ENTRY_ORIENTATION_SHIFT);
    out->fallback = picture->encoding != e->opts.encoding;
    memcpy(out->fallback_reason, picture->fallback_reason, sizeof out->fallback_reason);
    out->resized = picture->resized;
    out->turned = picture->turned != 1;
    return RQ_OK;
}

static void reject(rq_encoded *out, const rq_err *failure)
{
    rq_verdict_make(&out->verdict, failure->status, failure->text, 0, "");
    out->reason = failure->status;
    out->frame.size = 0;
}

static void clear(rq_encoded *out)
{
    out->frame.size = out->report.size = 0;
    out->fallback = out->resized = out->turned = out->mask_failed = false;
    out->fallback_reason[0] = 0;
    out->reason = RQ_OK;
}

rq_status rq_encode_record(rq_encoder *e, const rq_record *rec, bool ambiguous, rq_encoded *out,
                           rq_err *err)
{
    rq_converted picture = {0};
    rq_err failure = {0};
    clear(out);
    rq_status st = rec->status == RQ_OK
                       ? rq_convert(e->converter, rec->data, rec->size, &picture, &failure)
                       : rq_fail(&failure, rec->status, "%s", rec->reason);
    if (st == RQ_OK) {
        if (!rq_codec_name_agrees(rec->entry.name, picture.info.codec))
            picture.info.notes |= RQ_NOTE_EXTENSION;
        rq_verdict_make(&out->verdict, RQ_OK, "", picture.info.notes, picture.warning);
        st = make_frame(e, rec, ambiguous, &picture, out, &failure);
    }
    if (st == RQ_OOM || st == RQ_INTERNAL)
        return rq_fail(err, st, "'%s': %s", rec->entry.name, failure.text);
    if (st != RQ_OK)
        reject(out, &failure);
    return rq_verdict_append_json(&out->report, rec->entry.name, rec->entry.class_name,
                                  rec->entry.label, (size_t)rec->entry.bytes, &picture.info,
                                  &out->verdict, err);
}
