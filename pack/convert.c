// SPDX-License-Identifier: Apache-2.0
// How a picture is kept. The header decides, before anything is decoded: what can be kept as it
// is in the encoding asked for goes through untouched; what cannot is kept exactly in the
// nearest encoding that can; only a size, a quality, or `avif` asked of another codec makes
// anything anew. Orientation costs nothing where the source's bytes are kept: it becomes three
// bits of the index entry.
#include "pack/convert.h"

#include "common/cpu.h"
#include "ingest/avif_encode.h"
#include "ingest/jpeg_encode.h"
#include "ingest/orient.h"
#include "ingest/resize.h"
#include "pack/dct.h"
#include "pack/planes.h"

#include <stdio.h>
#include <string.h>

enum { DEFAULT_QUALITY = 90, MAX_BLOCKS_A_UNIT = 8 };

struct rq_converter {
    rq_encode_opts opts;
    rq_limits limits;
    rq_decoder *decoder;
    rq_dct *dct;
    rq_resizer resizer;
    rq_image image, small, upright, proof;
    rq_buf member, jpeg, scratch;
};

// What is to be done with a picture.
typedef struct plan {
    rq_encoding kept;
    bool verbatim;     // the source's bytes, or its coefficients
    int width, height; // reduced, not turned
    int orientation;   // to be applied; 1: none
} plan;

rq_status rq_converter_create(rq_converter **out, const rq_encode_opts *opts,
                              const rq_limits *limits, rq_err *err)
{
    *out = NULL;
    rq_converter *c = rq_calloc(1, sizeof *c);
    if (!c)
        return rq_fail(err, RQ_OOM, "out of memory for an encoder");
    c->opts = *opts;
    c->limits = *limits;
    rq_status st = rq_decoder_create(&c->decoder, limits, err);
    if (st == RQ_OK && opts->encoding == RQ_ENCODING_DCT)
        st = rq_dct_create(&c->dct, rq_cpu_detect(), limits, err);
    if (st != RQ_OK)
        rq_converter_destroy(&c);
    *out = c;
    return st;
}

void rq_converter_destroy(rq_converter **converter)
{
    rq_converter *c = *converter;
    if (!c)
        return;
    rq_decoder_destroy(&c->decoder);
    rq_dct_destroy(&c->dct);
    rq_resizer_free(&c->resizer);
    rq_image *images[] = {&c->image, &c->small, &c->upright, &c->proof};
    for (int i = 0; i < 4; i++)
        rq_image_free(images[i]);
    rq_buf_free(&c->member);
    rq_buf_free(&c->jpeg);
    rq_buf_free(&c->scratch);
    rq_free(c);
    *converter = NULL;
}

rq_decoder *rq_converter_decoder(rq_converter *c)
{
    return c->decoder;
}

/* ---- what to do -------------------------------------------------------------------------- */

static bool exact(rq_encoding e)
{
    return e == RQ_ENCODING_PPM || e == RQ_ENCODING_RAW;
}

// What an image member may have, with some room for the other members.
enum { MAX_IMAGE_BYTES = RQ_MAX_RAW_BYTES - (RQ_MAX_RAW_BYTES >> 6) };

static bool pixels_fit(const rq_image_info *info, const plan *p)
{
    const uint64_t components = info->pixels == RQ_PIXELS_GRAY ? 1 : 3;
    return (uint64_t)p->width * (uint64_t)p->height * components <= MAX_IMAGE_BYTES;
}

// The encoding for a picture of which nothing is to be made anew.
static rq_encoding choose_exact(rq_encoding asked, const rq_image_info *info, bool fits)
{
    const bool jpeg = info->codec == RQ_CODEC_JPEG, avif = info->codec == RQ_CODEC_AVIF;
    if (exact(asked))
        return fits || !(jpeg || avif) ? asked : jpeg ? RQ_ENCODING_JPEG : RQ_ENCODING_AVIF;
    if (asked == RQ_ENCODING_AVIF || jpeg)
        return asked;
    if (avif)
        return RQ_ENCODING_AVIF;
    // Members that every program reads stay such; `dct` has private ones anyway.
    return asked == RQ_ENCODING_DCT ? RQ_ENCODING_RAW : RQ_ENCODING_PPM;
}

static plan make_plan(const rq_converter *c, const rq_image_info *info)
{
    const rq_encode_opts *o = &c->opts;
    plan p = {.kept = o->encoding, .orientation = o->exif_apply ? info->orientation : 1};
    rq_resize_fit(info->width, info->height, o->long_side, o->short_side, &p.width, &p.height);
    const bool reduced = p.width != info->width || p.height != info->height;
    const bool chroma = o->encoding == RQ_ENCODING_RAW && info->pixels == RQ_PIXELS_YCBCR &&
                        o->chroma > RQ_CHROMA_KEEP;
    if (reduced || o->quality || chroma)
        return p;
    p.kept = choose_exact(o->encoding, info, pixels_fit(info, &p));
    if (p.kept == RQ_ENCODING_AVIF)
        p.verbatim = info->codec == RQ_CODEC_AVIF;
    else
        p.verbatim = !exact(p.kept);
    return p;
}

static void explain(rq_converted *out, rq_encoding asked)
{
    if (out->encoding == asked || out->fallback_reason[0])
        return;
    if (exact(asked))
        snprintf(out->fallback_reason, sizeof out->fallback_reason,
                 "its pixels do not fit a sample of %d MiB", RQ_MAX_RAW_BYTES >> 20);
    else
        snprintf(out->fallback_reason, sizeof out->fallback_reason,
                 "it is %s %s, and `%s` would encode it anew",
                 out->info.codec == RQ_CODEC_AVIF ? "an" : "a", rq_codec_name(out->info.codec),
                 rq_encoding_name(asked));
}

/* ---- pixels ------------------------------------------------------------------------------ */

// Chroma sampling of a picture that is made anew, before it is turned.
static void target_sampling(const rq_converter *c, const plan *p, int *sub_x, int *sub_y)
{
    const rq_image *img = &c->image;
    const bool swap = rq_orientation_swaps(p->orientation);
    rq_chroma chroma = c->opts.chroma;
    if (chroma == RQ_CHROMA_AUTO)
        chroma = exact(p->kept) ? RQ_CHROMA_KEEP : RQ_CHROMA_420;
    *sub_x = *sub_y = 1;
    if (img->pixels != RQ_PIXELS_YCBCR || chroma == RQ_CHROMA_444)
        return;
    *sub_x = img->sub_x;
    *sub_y = img->sub_y;
    const bool held =
        p->kept == RQ_ENCODING_AVIF
            ? rq_avif_takes_sampling(swap ? *sub_y : *sub_x, swap ? *sub_x : *sub_y)
            : exact(p->kept) || *sub_x * *sub_y <= MAX_BLOCKS_A_UNIT;
    if (chroma == RQ_CHROMA_420 || !held)
        *sub_x = *sub_y = 2;
}

// Reduces and turns; *out is one of c's pictures.
static rq_status shape_pixels(rq_converter *c, const plan *p, const rq_image **out, rq_err *err)
{
    int sub_x, sub_y;
    const rq_image *img = &c->image;
    target_sampling(c, p, &sub_x, &sub_y);
    if (p->width != img->width || p->height != img->height || sub_x != img->sub_x ||
        sub_y != img->sub_y) {
        RQ_TRY(rq_image_resize(&c->resizer, img, p->width, p->height, sub_x, sub_y, &c->small,
                               err));
        img = &c->small;
    }
    if (p->orientation != 1) {
        RQ_TRY(rq_image_orient(img, p->orientation, &c->upright, err));
        img = &c->upright;
    }
    *out = img;
    return RQ_OK;
}

/* ---- members ----------------------------------------------------------------------------- */

// The picture as P6 or P5.
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

static rq_status write_jpeg(rq_converter *c, const rq_image *img, bool optimize, rq_buf *out,
                            rq_err *err)
{
    const bool halve = c->opts.chroma == RQ_CHROMA_AUTO || c->opts.chroma == RQ_CHROMA_420;
    const rq_jpeg_opts o = {.quality = c->opts.quality ? c->opts.quality : DEFAULT_QUALITY,
                            .sub_x = halve ? 2 : 1,
                            .sub_y = halve ? 2 : 1,
                            .optimize = optimize};
    return rq_jpeg_encode(img, &o, out, err);
}

static rq_status write_avif(rq_converter *c, const rq_image *img, rq_err *err)
{
    const rq_avif_opts o = {.quality = c->opts.quality ? c->opts.quality : DEFAULT_QUALITY,
                            .speed = c->opts.avif_speed,
                            .full_chroma = c->opts.chroma == RQ_CHROMA_KEEP ||
                                           c->opts.chroma == RQ_CHROMA_444};
    return rq_avif_encode(img, &o, &c->member, err);
}

// What was encoded anew decodes without a complaint to a picture of its size.
static rq_status prove_coded(rq_converter *c, const rq_buf *file, const rq_image *img,
                             rq_err *err)
{
    rq_err why = {0};
    const rq_status st =
        rq_decode(c->decoder, file->data, file->size, true, &c->proof, NULL, &why);
    if (st == RQ_OOM)
        return rq_fail(err, st, "%s", why.text);
    if (st != RQ_OK || c->proof.width != img->width || c->proof.height != img->height)
        return rq_fail(err, RQ_INTERNAL, "encoded anew, the picture does not decode%s%s",
                       why.text[0] ? ": " : "", why.text);
    return RQ_OK;
}

static rq_status prove_raw(rq_converter *c, const rq_image *img, rq_err *err)
{
    RQ_TRY(rq_planes_decode(rq_cpu_detect(), c->member.data, c->member.size, &c->limits,
                            &c->proof, err));
    for (int i = 0; i < rq_pixels_planes(img->pixels); i++) {
        const rq_plane *a = &img->plane[i], *b = &c->proof.plane[i];
        for (size_t y = 0; y < (size_t)a->height; y++)
            if (memcmp(a->data + y * a->stride, b->data + y * b->stride, (size_t)a->width) != 0)
                return rq_fail(err, RQ_INTERNAL,
                               "predicted planes do not decode to themselves; check the "
                               "machine's memory");
    }
    return RQ_OK;
}

// A JPEG's coefficients; the JPEG itself where they cannot be held.
static rq_status take_coefficients(rq_converter *c, const uint8_t *jpeg, size_t bytes,
                                   rq_converted *out, rq_err *err)
{
    rq_err why = {0};
    const rq_status st = rq_dct_encode(c->dct, jpeg, bytes, &c->member, &why);
    if (st == RQ_OOM || st == RQ_INTERNAL)
        return rq_fail(err, st, "%s", why.text);
    // Before zstd a payload is larger than its JPEG.
    const bool fits = st != RQ_OK || c->member.size <= MAX_IMAGE_BYTES;
    if (!fits)
        snprintf(why.text, sizeof why.text, "its coefficients do not fit a sample");
    const bool held = st == RQ_OK && fits;
    out->encoding = held ? RQ_ENCODING_DCT : RQ_ENCODING_JPEG;
    out->data = held ? c->member.data : jpeg;
    out->bytes = held ? c->member.size : bytes;
    if (held)
        out->splits = rq_dct_splits(c->dct, &out->n_splits);
    else
        snprintf(out->fallback_reason, sizeof out->fallback_reason, "%.190s", why.text);
    return RQ_OK;
}

static rq_status write_member(rq_converter *c, const rq_image *img, rq_encoding kept,
                              rq_converted *out, rq_err *err)
{
    switch (kept) {
    case RQ_ENCODING_PPM:
        RQ_TRY(write_pnm(img, &c->member, err));
        break;
    case RQ_ENCODING_RAW:
        RQ_TRY(rq_planes_encode(img, &c->scratch, &c->member, err));
        RQ_TRY(prove_raw(c, img, err));
        break;
    case RQ_ENCODING_JPEG:
        RQ_TRY(write_jpeg(c, img, true, &c->member, err));
        RQ_TRY(prove_coded(c, &c->member, img, err));
        break;
    case RQ_ENCODING_AVIF:
        RQ_TRY(write_avif(c, img, err));
        RQ_TRY(prove_coded(c, &c->member, img, err));
        break;
    case RQ_ENCODING_DCT: // its Huffman tables go away again
        RQ_TRY(write_jpeg(c, img, false, &c->jpeg, err));
        RQ_TRY(prove_coded(c, &c->jpeg, img, err));
        return take_coefficients(c, c->jpeg.data, c->jpeg.size, out, err);
    }
    out->encoding = kept;
    out->data = c->member.data;
    out->bytes = c->member.size;
    return RQ_OK;
}

static rq_status keep_source(rq_converter *c, const uint8_t *data, size_t bytes, const plan *p,
                             rq_converted *out, rq_err *err)
{
    const bool swap = rq_orientation_swaps(p->orientation);
    out->orientation = p->orientation;
    out->width = swap ? c->image.height : c->image.width;
    out->height = swap ? c->image.width : c->image.height;
    if (p->kept == RQ_ENCODING_DCT)
        return take_coefficients(c, data, bytes, out, err);
    out->encoding = p->kept;
    out->data = data;
    out->bytes = bytes;
    return RQ_OK;
}

static rq_status make_anew(rq_converter *c, const plan *p, rq_converted *out, rq_err *err)
{
    const rq_image *img;
    RQ_TRY(shape_pixels(c, p, &img, err));
    out->orientation = 1;
    out->width = img->width;
    out->height = img->height;
    return write_member(c, img, p->kept, out, err);
}

/* ---- the whole --------------------------------------------------------------------------- */

// Decodes in full. The header alone decides between planes as coded and RGB of full size; a
// file that has no header fails in the decoder, with the better sentence.
static rq_status look(rq_converter *c, const uint8_t *data, size_t bytes, plan *p,
                      rq_converted *out, rq_err *err)
{
    rq_image_info header = {0};
    rq_err trouble = {0};
    rq_status st = rq_probe(data, bytes, &c->limits, &header, &trouble);
    if (st == RQ_OOM)
        return rq_fail(err, st, "%s", trouble.text);
    *p = (plan){.kept = c->opts.encoding, .orientation = 1};
    if (st == RQ_OK)
        *p = make_plan(c, &header);
    st = p->kept == RQ_ENCODING_PPM
             ? rq_decode_rgb(c->decoder, data, bytes, false, &c->image, &out->info, err)
             : rq_decode(c->decoder, data, bytes, false, &c->image, &out->info, err);
    snprintf(out->warning, sizeof out->warning, "%s", rq_decoder_warning(c->decoder));
    if (st == RQ_OK && (c->image.width > RQ_MAX_SIDE || c->image.height > RQ_MAX_SIDE))
        return rq_fail(err, RQ_LIMIT, "a side is longer than %d pixels", RQ_MAX_SIDE);
    return st;
}

rq_status rq_convert(rq_converter *c, const uint8_t *data, size_t bytes, rq_converted *out,
                     rq_err *err)
{
    plan p;
    *out = (rq_converted){.encoding = c->opts.encoding, .orientation = 1, .turned = 1};
    RQ_TRY(look(c, data, bytes, &p, out, err));
    if (p.orientation != 1)
        out->info.notes &= ~(unsigned)RQ_NOTE_ORIENTATION;
    out->turned = p.orientation;
    out->resized = p.width != c->image.width || p.height != c->image.height;
    if (p.verbatim)
        RQ_TRY(keep_source(c, data, bytes, &p, out, err));
    else
        RQ_TRY(make_anew(c, &p, out, err));
    explain(out, c->opts.encoding);
    return RQ_OK;
}
