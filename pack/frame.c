// SPDX-License-Identifier: Apache-2.0
// Sample frames: builds the tar content of a sample, compresses it, and takes it apart again.
// The reader accepts exactly what the writer produces: one frame, content size and checksum
// present, no dictionary, members in one order with canonical headers.
#include "pack/frame.h"

#include "common/bytes.h"
#include "common/hash.h"
#include "ingest/codec.h"
#include "pack/key.h"
#include "pack/ustar.h"

#include <stdio.h>
#include <string.h>
#define ZSTD_STATIC_LINKING_ONLY /* for ZSTD_d_forceIgnoreChecksum; see set_checksum */
#include <zstd.h>

enum { GUESS_WINDOW_LOG = 26 };
_Static_assert(RQ_MAX_RAW_BYTES <= 1 << GUESS_WINDOW_LOG, "a sample fits the window");

const char *rq_encoding_name(rq_encoding encoding)
{
    switch (encoding) {
    case RQ_ENCODING_JPEG:
        return "jpeg";
    case RQ_ENCODING_DCT:
        return "dct";
    case RQ_ENCODING_AVIF:
        return "avif";
    case RQ_ENCODING_PPM:
        return "ppm";
    case RQ_ENCODING_RAW:
        return "raw";
    }
    return "unknown";
}

void rq_frame_coder_fini(rq_frame_coder *c)
{
    ZSTD_freeCCtx(c->cctx);
    ZSTD_freeDCtx(c->dctx);
    rq_buf_free(&c->raw);
    rq_buf_free(&c->back);
    *c = (rq_frame_coder){0};
}

const char *rq_frame_extension(rq_encoding encoding, const uint8_t *image, size_t bytes)
{
    switch (encoding) {
    case RQ_ENCODING_JPEG:
        return "jpg";
    case RQ_ENCODING_DCT:
        return "rqd";
    case RQ_ENCODING_AVIF:
        return "avif";
    case RQ_ENCODING_PPM:
        return bytes >= 2 && image[1] == '5' ? "pgm" : "ppm";
    case RQ_ENCODING_RAW:
        return "rqp";
    }
    return "bin";
}

static bool begins_with(const uint8_t *image, size_t bytes, const char magic[5])
{
    return bytes >= 4 && memcmp(image, magic, 4) == 0;
}

// What the first bytes are, by the name of an encoding; NULL when they are none of them.
static const char *encoding_found(const uint8_t *image, size_t bytes)
{
    if (begins_with(image, bytes, "RQD1"))
        return rq_encoding_name(RQ_ENCODING_DCT);
    if (begins_with(image, bytes, "RQPL"))
        return rq_encoding_name(RQ_ENCODING_RAW);
    switch (rq_codec_sniff(image, bytes)) {
    case RQ_CODEC_JPEG:
        return rq_encoding_name(RQ_ENCODING_JPEG);
    case RQ_CODEC_AVIF:
        return rq_encoding_name(RQ_ENCODING_AVIF);
    case RQ_CODEC_PNM:
        return rq_encoding_name(RQ_ENCODING_PPM);
    default:
        return NULL;
    }
}

rq_status rq_frame_check_codec(rq_encoding encoding, const uint8_t *image, size_t bytes,
                               rq_err *err)
{
    const char *says = rq_encoding_name(encoding), *found = encoding_found(image, bytes);
    if (found == NULL || strcmp(says, found) != 0)
        return rq_fail(err, RQ_BAD_FORMAT, "the index says `%s`, but the picture is %s", says,
                       found == NULL ? "none of the known kinds" : found);
    return RQ_OK;
}

/* ---- writing ----------------------------------------------------------------------------- */

static rq_status add_member(rq_buf *raw, const char *key, const char *ext, const void *data,
                            size_t bytes, rq_err *err)
{
    char name[RQ_USTAR_NAME_BYTES];
    uint8_t header[RQ_USTAR_BLOCK];
    snprintf(name, sizeof name, "%s.%s", key, ext);
    RQ_TRY(rq_ustar_header(header, name, bytes, err));
    RQ_TRY(rq_buf_append(raw, header, sizeof header, err));
    RQ_TRY(rq_buf_append(raw, data, bytes, err));
    return rq_buf_append(raw, NULL, rq_round_up(bytes, RQ_USTAR_BLOCK) - bytes, err);
}

static rq_status build_content(rq_buf *raw, const rq_members *m, rq_index_entry *e, rq_err *err)
{
    raw->size = 0;
    e->image_offset = RQ_USTAR_BLOCK;
    e->image_bytes = (uint32_t)m->image_bytes;
    e->mask_offset = e->mask_bytes = e->flags = 0;
    RQ_TRY(add_member(raw, m->key,
                      rq_frame_extension((rq_encoding)e->encoding, m->image, m->image_bytes),
                      m->image, m->image_bytes, err));
    if (m->mask) {
        e->flags |= RQ_ENTRY_HAS_MASK;
        e->mask_offset = (uint32_t)(raw->size + RQ_USTAR_BLOCK);
        e->mask_bytes = (uint32_t)m->mask_bytes;
        RQ_TRY(add_member(raw, m->key, "mask.pgm", m->mask, m->mask_bytes, err));
    }
    if (e->label >= 0) {
        char text[16];
        const int n = snprintf(text, sizeof text, "%d", e->label);
        RQ_TRY(add_member(raw, m->key, "cls", text, (size_t)n, err));
    }
    RQ_TRY(add_member(raw, m->key, "json", m->meta, m->meta_bytes, err));
    e->raw_bytes = (uint32_t)raw->size;
    return RQ_OK;
}

static rq_status make_contexts(rq_frame_coder *c, bool writing, rq_err *err)
{
    if (writing && !c->cctx)
        c->cctx = ZSTD_createCCtx();
    if (!c->dctx)
        c->dctx = ZSTD_createDCtx();
    if ((writing && !c->cctx) || !c->dctx)
        return rq_fail(err, RQ_OOM, "out of memory for a zstd context");
    return RQ_OK;
}

// Where blocks end: places in the content behind which statistics change.
typedef struct cuts {
    const uint32_t *at;
    size_t n;
    size_t offset; // of all of them
} cuts;

// The planes of a `dct` payload are for the Huffman coder: matches in them are chance, and cost
// more than they save. With the smallest table and the longest minimum only runs are found.
static size_t set_parameters(ZSTD_CCtx *cctx, int level, bool dct)
{
    ZSTD_CCtx_reset(cctx, ZSTD_reset_session_and_parameters);
    size_t rc = ZSTD_CCtx_setParameter(cctx, ZSTD_c_compressionLevel, level);
    if (!ZSTD_isError(rc))
        rc = ZSTD_CCtx_setParameter(cctx, ZSTD_c_checksumFlag, 1);
    if (!dct || level > 2)
        return rc;
    if (!ZSTD_isError(rc))
        rc = ZSTD_CCtx_setParameter(cctx, ZSTD_c_strategy, ZSTD_fast);
    if (!ZSTD_isError(rc))
        rc = ZSTD_CCtx_setParameter(cctx, ZSTD_c_minMatch, 7);
    if (!ZSTD_isError(rc))
        rc = ZSTD_CCtx_setParameter(cctx, ZSTD_c_hashLog, 6);
    return rc;
}

// data up to `end`, with the end of a block or of the frame behind it.
static size_t compress_part(ZSTD_CCtx *cctx, ZSTD_outBuffer *out, const uint8_t *data,
                            size_t bytes, ZSTD_EndDirective end)
{
    ZSTD_inBuffer in = {data, bytes, 0};
    size_t rc, written;
    do {
        written = out->pos;
        rc = ZSTD_compressStream2(cctx, out, &in, end);
    } while (rc != 0 && !ZSTD_isError(rc) && out->pos > written);
    return rc;
}

static rq_status compress(rq_frame_coder *c, int level, bool dct, const void *data,
                          size_t bytes, const cuts *blocks, rq_buf *frame, rq_err *err)
{
    RQ_TRY(make_contexts(c, true, err));
    frame->size = 0;
    // A block that is cut off costs its header and at most what raw bytes cost.
    RQ_TRY(rq_buf_reserve(frame, ZSTD_compressBound(bytes) + 16 * (blocks->n + 1), err));
    size_t at = 0, rc = set_parameters(c->cctx, level, dct);
    if (!ZSTD_isError(rc))
        rc = ZSTD_CCtx_setPledgedSrcSize(c->cctx, bytes);
    ZSTD_outBuffer out = {frame->data, frame->cap, 0};
    for (size_t i = 0; !ZSTD_isError(rc) && i < blocks->n; i++) {
        const size_t end = blocks->offset + blocks->at[i];
        if (end <= at || end >= bytes)
            return rq_fail(err, RQ_INTERNAL, "a block of a sample cannot end at byte %zu", end);
        rc = compress_part(c->cctx, &out, (const uint8_t *)data + at, end - at, ZSTD_e_flush);
        at = end;
    }
    if (!ZSTD_isError(rc))
        rc = compress_part(c->cctx, &out, (const uint8_t *)data + at, bytes - at, ZSTD_e_end);
    if (rc != 0)
        return rq_fail(err, RQ_INTERNAL, "zstd could not compress %zu bytes: %s", bytes,
                       ZSTD_isError(rc) ? ZSTD_getErrorName(rc) : "no room");
    frame->size = out.pos;
    return RQ_OK;
}

// What was written must read back: a wrong frame is found now, not in the middle of training.
static rq_status compare_back(rq_frame_coder *c, const rq_buf *frame, const void *data,
                              size_t bytes, rq_err *err)
{
    c->back.size = 0;
    RQ_TRY(rq_buf_reserve(&c->back, bytes, err));
    const size_t rc =
        ZSTD_decompressDCtx(c->dctx, c->back.data, bytes, frame->data, frame->size);
    if (rc != bytes || memcmp(c->back.data, data, bytes) != 0)
        return rq_fail(err, RQ_INTERNAL,
                       "a compressed sample does not decompress to itself; check the "
                       "machine's memory");
    return RQ_OK;
}

rq_status rq_frame_encode(rq_frame_coder *c, int level, const rq_members *m, rq_index_entry *e,
                          rq_buf *frame, rq_err *err)
{
    if (!rq_key_valid(m->key))
        return rq_fail(err, RQ_INVALID_ARG, "'%s' is not a valid key", m->key);
    if (m->image_bytes == 0 || (m->mask && m->mask_bytes == 0))
        return rq_fail(err, RQ_INVALID_ARG, "sample '%s' has an empty member", m->key);
    if (m->image_bytes > RQ_MAX_RAW_BYTES || m->mask_bytes > RQ_MAX_RAW_BYTES ||
        m->meta_bytes > RQ_MAX_RAW_BYTES ||
        m->image_bytes + m->mask_bytes + m->meta_bytes > RQ_MAX_RAW_BYTES - 8 * RQ_USTAR_BLOCK)
        return rq_fail(err, RQ_LIMIT,
                       "stored as %s the image needs %zu bytes; a sample holds "
                       "at most %d MiB",
                       rq_encoding_name((rq_encoding)e->encoding), m->image_bytes,
                       RQ_MAX_RAW_BYTES >> 20);
    RQ_TRY(build_content(&c->raw, m, e, err));
    const cuts blocks = {m->image_splits, m->n_image_splits, e->image_offset};
    RQ_TRY(compress(c, level, e->encoding == RQ_ENCODING_DCT, c->raw.data, c->raw.size, &blocks,
                    frame, err));
    RQ_TRY(compare_back(c, frame, c->raw.data, c->raw.size, err));
    e->stored_bytes = (uint32_t)frame->size;
    e->hash = rq_xxh3(frame->data, frame->size);
    return RQ_OK;
}

rq_status rq_frame_encode_end(rq_frame_coder *c, rq_buf *frame, rq_err *err)
{
    static const uint8_t zeros[RQ_USTAR_END_BYTES];
    return compress(c, 3, false, zeros, sizeof zeros, &(cuts){NULL, 0, 0}, frame, err);
}

/* ---- reading ----------------------------------------------------------------------------- */

// RFC 8878, 3.1.1.1: what a frame of ours must say about itself before zstd is let at it.
static rq_status check_frame_header(const uint8_t *frame, size_t bytes, size_t content,
                                    rq_err *err)
{
    if (bytes < 10 || rq_get_le32(frame) != ZSTD_MAGICNUMBER)
        return rq_fail(err, RQ_BAD_FORMAT, "this is no zstd frame");
    const uint8_t descriptor = frame[4];
    if ((descriptor & 3) != 0 || (descriptor & 8) != 0 || (descriptor & 4) == 0)
        return rq_fail(
            err, RQ_BAD_FORMAT,
            "the zstd frame has a dictionary, no content checksum, or reserved bits");
    const bool single_segment = (descriptor & 0x20) != 0;
    // Exponent and eighths: the largest window allowed has no eighths.
    if (!single_segment && frame[5] > (RQ_MAX_WINDOW_LOG - 10) << 3)
        return rq_fail(err, RQ_BAD_FORMAT, "the zstd frame's window is larger than 2^%d",
                       RQ_MAX_WINDOW_LOG);
    if (ZSTD_getFrameContentSize(frame, bytes) != content)
        return rq_fail(err, RQ_BAD_FORMAT,
                       "the zstd frame does not hold the %zu bytes that "
                       "the index says",
                       content);
    if (ZSTD_findFrameCompressedSize(frame, bytes) != bytes)
        return rq_fail(err, RQ_BAD_FORMAT, "there is more or less than one zstd frame here");
    return RQ_OK;
}

// Hashing the content takes 5 % of the time to decode a `dct` sample, so readers that have
// hashed the stored bytes leave it out. A libzstd that does not know the parameter checks
// nevertheless.
static void set_checksum(rq_frame_coder *c)
{
    const size_t rc =
        ZSTD_DCtx_setParameter(c->dctx, ZSTD_d_forceIgnoreChecksum,
                               c->trust_hash ? ZSTD_d_ignoreChecksum : ZSTD_d_validateChecksum);
    (void)rc;
}

static rq_status decompress(rq_frame_coder *c, const uint8_t *frame, size_t bytes,
                            size_t content, rq_err *err)
{
    RQ_TRY(check_frame_header(frame, bytes, content, err));
    RQ_TRY(make_contexts(c, false, err));
    set_checksum(c);
    c->raw.size = 0;
    RQ_TRY(rq_buf_reserve(&c->raw, content, err));
    const size_t rc = ZSTD_decompressDCtx(c->dctx, c->raw.data, content, frame, bytes);
    if (ZSTD_isError(rc) || rc != content)
        return rq_fail(err, RQ_BAD_FORMAT, "zstd cannot decompress the frame: %s",
                       ZSTD_isError(rc) ? ZSTD_getErrorName(rc) : "wrong size");
    c->raw.size = rc;
    return RQ_OK;
}

typedef struct member {
    char name[RQ_USTAR_NAME_BYTES];
    size_t offset, bytes; // of the payload in the content
} member;

static rq_status next_member(const rq_buf *raw, size_t *at, member *m, rq_err *err)
{
    uint64_t bytes;
    if (raw->size - *at < RQ_USTAR_BLOCK)
        return rq_fail(err, RQ_BAD_FORMAT, "a tar member is missing");
    RQ_TRY(rq_ustar_parse(raw->data + *at, m->name, &bytes, err));
    m->offset = *at + RQ_USTAR_BLOCK;
    const size_t room = raw->size - m->offset;
    if (bytes > room || rq_round_up((size_t)bytes, RQ_USTAR_BLOCK) > room)
        return rq_fail(err, RQ_BAD_FORMAT, "tar member '%s' is longer than its frame", m->name);
    m->bytes = (size_t)bytes;
    *at = m->offset + rq_round_up(m->bytes, RQ_USTAR_BLOCK);
    for (size_t i = m->offset + m->bytes; i < *at; i++)
        if (raw->data[i] != 0)
            return rq_fail(err, RQ_BAD_FORMAT, "the padding behind '%s' is not zero", m->name);
    return RQ_OK;
}

// The next member must be KEY.ext.
static rq_status expect_member(const rq_buf *raw, size_t *at, const char *key, const char *ext,
                               member *m, rq_err *err)
{
    char name[RQ_USTAR_NAME_BYTES];
    RQ_TRY(next_member(raw, at, m, err));
    snprintf(name, sizeof name, "%s.%s", key, ext);
    if (strcmp(name, m->name) != 0)
        return rq_fail(err, RQ_BAD_FORMAT, "tar member '%s' stands where '%s' must be", m->name,
                       name);
    return RQ_OK;
}

static rq_status take_image(const rq_buf *raw, size_t *at, const rq_index_entry *e,
                            rq_members *m, rq_err *err)
{
    member image;
    RQ_TRY(next_member(raw, at, &image, err));
    const size_t key_bytes = strcspn(image.name, ".");
    const uint8_t *data = raw->data + image.offset;
    const char *ext = rq_frame_extension((rq_encoding)e->encoding, data, image.bytes);
    if (key_bytes > RQ_MAX_KEY_BYTES || strcmp(image.name + key_bytes, ".") == 0 ||
        image.name[key_bytes] == 0 || strcmp(image.name + key_bytes + 1, ext) != 0)
        return rq_fail(err, RQ_BAD_FORMAT, "the first tar member is '%s', not KEY.%s",
                       image.name, ext);
    memcpy(m->key, image.name, key_bytes);
    m->key[key_bytes] = 0;
    if (!rq_key_valid(m->key))
        return rq_fail(err, RQ_BAD_FORMAT, "'%s' is not a valid key", m->key);
    if (image.offset != e->image_offset || image.bytes != e->image_bytes)
        return rq_fail(err, RQ_BAD_FORMAT, "'%s' does not lie where the index says",
                       image.name);
    m->image = data;
    m->image_bytes = image.bytes;
    return RQ_OK;
}

static rq_status take_rest(const rq_buf *raw, size_t at, const rq_index_entry *e, rq_members *m,
                           rq_err *err)
{
    member part;
    if (e->flags & RQ_ENTRY_HAS_MASK) {
        RQ_TRY(expect_member(raw, &at, m->key, "mask.pgm", &part, err));
        if (part.offset != e->mask_offset || part.bytes != e->mask_bytes)
            return rq_fail(err, RQ_BAD_FORMAT, "'%s' does not lie where the index says",
                           part.name);
        m->mask = raw->data + part.offset;
        m->mask_bytes = part.bytes;
    }
    if (e->label >= 0) {
        char text[16];
        const int n = snprintf(text, sizeof text, "%d", e->label);
        RQ_TRY(expect_member(raw, &at, m->key, "cls", &part, err));
        if (part.bytes != (size_t)n || memcmp(raw->data + part.offset, text, part.bytes) != 0)
            return rq_fail(err, RQ_BAD_FORMAT, "'%s' and the index disagree on the label",
                           part.name);
    }
    RQ_TRY(expect_member(raw, &at, m->key, "json", &part, err));
    m->meta = (const char *)raw->data + part.offset;
    m->meta_bytes = part.bytes;
    if (at != raw->size)
        return rq_fail(err, RQ_BAD_FORMAT, "there is something behind '%s'", part.name);
    return RQ_OK;
}

rq_status rq_frame_decode(rq_frame_coder *c, const uint8_t *frame, const rq_index_entry *e,
                          rq_members *m, rq_err *err)
{
    *m = (rq_members){0};
    const uint64_t hash = rq_xxh3(frame, e->stored_bytes);
    if (hash != e->hash)
        return rq_fail(err, RQ_BAD_CHECKSUM,
                       "the stored bytes do not match their hash (index %016llx, file %016llx)",
                       (unsigned long long)e->hash, (unsigned long long)hash);
    RQ_TRY(decompress(c, frame, e->stored_bytes, e->raw_bytes, err));
    size_t at = 0;
    RQ_TRY(take_image(&c->raw, &at, e, m, err));
    return take_rest(&c->raw, at, e, m, err);
}

rq_status rq_frame_decode_end(rq_frame_coder *c, const uint8_t *frame, size_t bytes,
                              rq_err *err)
{
    RQ_TRY(decompress(c, frame, bytes, RQ_USTAR_END_BYTES, err));
    for (size_t i = 0; i < c->raw.size; i++)
        if (c->raw.data[i] != 0)
            return rq_fail(err, RQ_BAD_FORMAT, "the end frame is not 1,024 zero bytes");
    return RQ_OK;
}

void rq_frame_guess_key(rq_frame_coder *c, const uint8_t *frame, size_t bytes,
                        char key[RQ_MAX_KEY_BYTES + 1])
{
    uint8_t block[RQ_USTAR_BLOCK];
    char name[RQ_USTAR_NAME_BYTES];
    uint64_t size;
    key[0] = 0;
    if (make_contexts(c, false, NULL) != RQ_OK)
        return;
    ZSTD_DCtx_reset(c->dctx, ZSTD_reset_session_only);
    // A sample's window is never larger than a sample; a damaged header may ask for more.
    if (ZSTD_isError(ZSTD_DCtx_setParameter(c->dctx, ZSTD_d_windowLogMax, GUESS_WINDOW_LOG)))
        return;
    ZSTD_inBuffer in = {frame, bytes, 0};
    ZSTD_outBuffer out = {block, sizeof block, 0};
    for (size_t rc = 1; out.pos < out.size && rc != 0;) {
        const size_t in_before = in.pos, out_before = out.pos;
        rc = ZSTD_decompressStream(c->dctx, &out, &in);
        if (ZSTD_isError(rc) || (in.pos == in_before && out.pos == out_before))
            break;
    }
    ZSTD_DCtx_reset(c->dctx, ZSTD_reset_session_only);
    if (out.pos == sizeof block && rq_ustar_parse(block, name, &size, NULL) == RQ_OK) {
        name[strcspn(name, ".")] = 0;
        if (rq_key_valid(name))
            memcpy(key, name, strlen(name) + 1);
    }
}
