// SPDX-License-Identifier: Apache-2.0
//
// Sample frames. The first bytes say what the rest is and which index entry goes with it:
//
//     0  mode: 0 the bytes of a frame, 1 a frame's content (tar members), compressed here,
//        2 the same with every tar checksum made right, 3 the members of a sample to be encoded
//     1  encoding     2  label + 1     3  1: has a mask
//
// Everything the entry says beside these is taken from the content, so that the checks behind
// those of the index are reached. Mode 3: what was encoded decodes to the same members.
#include "seal.h"

#include "pack/frame.h"
#include "pack/key.h"
#include "pack/ustar.h"

enum { HEAD = 4, MAX_BYTES = 1 << 15 };

static void compress(rq_buf *frame, const uint8_t *content, size_t bytes)
{
    ZSTD_CCtx *c = ZSTD_createCCtx();
    FUZZ_HOLDS(c != NULL && rq_buf_reserve(frame, ZSTD_compressBound(bytes), NULL) == RQ_OK);
    ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, 1);
    ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
    frame->size = ZSTD_compress2(c, frame->data, frame->cap, content, bytes);
    FUZZ_HOLDS(!ZSTD_isError(frame->size));
    ZSTD_freeCCtx(c);
}

/* Size of the member whose header is at `block`, as the header says. */
static uint64_t member_bytes(const uint8_t *block)
{
    uint64_t bytes = 0;
    for (int i = 124; i < 135 && block[i] >= '0' && block[i] <= '7'; i++)
        bytes = bytes * 8 + (uint64_t)(block[i] - '0');
    return bytes;
}

/* Walks the members: their headers become ones that rq-pack could have written, and the entry
 * points at image and mask. */
static void describe(uint8_t *content, size_t bytes, bool fix, rq_index_entry *e)
{
    size_t at = 0;
    for (int i = 0; i < 8 && bytes - at >= RQ_USTAR_BLOCK; i++) {
        char name[RQ_USTAR_NAME_BYTES];
        const uint64_t size = member_bytes(content + at);
        memcpy(name, content + at, sizeof name);
        name[sizeof name - 1] = '\0';
        if (fix && name[0] != '\0')
            FUZZ_HOLDS(rq_ustar_header(content + at, name, size, NULL) == RQ_OK);
        at += RQ_USTAR_BLOCK;
        if (i == 0) {
            e->image_offset = (uint32_t)at;
            e->image_bytes = (uint32_t)size;
        } else if (i == 1 && (e->flags & RQ_ENTRY_HAS_MASK)) {
            e->mask_offset = (uint32_t)at;
            e->mask_bytes = (uint32_t)size;
        }
        if (size > bytes - at || rq_round_up((size_t)size, RQ_USTAR_BLOCK) > bytes - at)
            return;
        at += rq_round_up((size_t)size, RQ_USTAR_BLOCK);
    }
}

/* The same for a stored frame, as far as it can be decompressed. */
static void describe_frame(const uint8_t *frame, size_t bytes, rq_index_entry *e)
{
    uint8_t *content = malloc(e->raw_bytes > 0 ? e->raw_bytes : 1);
    FUZZ_HOLDS(content != NULL);
    if (ZSTD_decompress(content, e->raw_bytes, frame, bytes) == e->raw_bytes)
        describe(content, e->raw_bytes, false, e);
    free(content);
}

static void decode(const uint8_t *frame, const rq_index_entry *e)
{
    rq_frame_coder coder = {0};
    rq_members m;
    rq_err err = {0};
    if (fuzz_status(rq_frame_decode(&coder, frame, e, &m, &err), &err) == RQ_OK) {
        const uint8_t *raw = coder.raw.data;
        fuzz_accepted();
        FUZZ_HOLDS(rq_key_valid(m.key));
        FUZZ_HOLDS(m.image == raw + e->image_offset && m.image_bytes == e->image_bytes);
        FUZZ_HOLDS(m.image + m.image_bytes <= raw + coder.raw.size);
        FUZZ_HOLDS((m.mask != NULL) == ((e->flags & RQ_ENTRY_HAS_MASK) != 0));
        FUZZ_HOLDS((const uint8_t *)m.meta + m.meta_bytes <= raw + coder.raw.size);
    }
    char key[RQ_MAX_KEY_BYTES + 1];
    rq_frame_guess_key(&coder, frame, e->stored_bytes, key);
    FUZZ_HOLDS(key[0] == '\0' || rq_key_valid(key));
    rq_frame_coder_fini(&coder);
}

/* Key and members cut from the bytes: a length each, then as many bytes. */
static size_t take(const uint8_t **at, const uint8_t *end, const uint8_t **part)
{
    size_t n = *at < end ? *(*at)++ : 0;
    if (n > (size_t)(end - *at))
        n = (size_t)(end - *at);
    *part = *at;
    *at += n;
    return n;
}

static void round_trip(const uint8_t *data, size_t size, rq_index_entry *e)
{
    const uint8_t *at = data, *key, *meta;
    rq_members m = {0}, back;
    rq_frame_coder coder = {0};
    rq_buf frame = {0};
    rq_err err = {0};
    const size_t key_bytes = take(&at, data + size, &key);
    memcpy(m.key, key, key_bytes < RQ_MAX_KEY_BYTES ? key_bytes : RQ_MAX_KEY_BYTES);
    m.image_bytes = take(&at, data + size, &m.image);
    if (e->flags & RQ_ENTRY_HAS_MASK)
        m.mask_bytes = take(&at, data + size, &m.mask);
    m.meta_bytes = take(&at, data + size, &meta);
    m.meta = (const char *)meta;
    if (fuzz_status(rq_frame_encode(&coder, 1, &m, e, &frame, &err), &err) == RQ_OK) {
        FUZZ_OK(rq_frame_decode(&coder, frame.data, e, &back, &err), &err);
        fuzz_accepted();
        FUZZ_HOLDS(strcmp(back.key, m.key) == 0 && back.image_bytes == m.image_bytes);
        FUZZ_HOLDS(memcmp(back.image, m.image, m.image_bytes) == 0);
        FUZZ_HOLDS(back.mask_bytes == m.mask_bytes && back.meta_bytes == m.meta_bytes);
        FUZZ_HOLDS(m.mask_bytes == 0 || memcmp(back.mask, m.mask, m.mask_bytes) == 0);
        FUZZ_HOLDS(m.meta_bytes == 0 || memcmp(back.meta, m.meta, m.meta_bytes) == 0);
    }
    rq_buf_free(&frame);
    rq_frame_coder_fini(&coder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD || size > MAX_BYTES)
        return 0;
    rq_index_entry e = {.encoding = (uint8_t)(1 + data[1] % 5),
                        .label = data[2] - 1,
                        .width = 8,
                        .height = 8,
                        .flags = data[3] & RQ_ENTRY_HAS_MASK};
    const int mode = data[0] & 3;
    const size_t bytes = size - HEAD;
    rq_buf frame = {0};
    uint8_t *content = fuzz_copy(data + HEAD, bytes);
    if (mode == 3) {
        round_trip(content, bytes, &e);
    } else if (mode == 0) {
        const unsigned long long says = ZSTD_getFrameContentSize(content, bytes);
        e.raw_bytes = says <= MAX_BYTES ? (uint32_t)says : 512;
        e.stored_bytes = (uint32_t)bytes;
        e.hash = rq_xxh3(content, bytes);
        describe_frame(content, bytes, &e);
        decode(content, &e);
    } else {
        describe(content, bytes, mode == 2, &e);
        compress(&frame, content, bytes);
        uint8_t *exact = fuzz_copy(frame.data, frame.size);
        e.raw_bytes = (uint32_t)bytes;
        e.stored_bytes = (uint32_t)frame.size;
        e.hash = rq_xxh3(exact, frame.size);
        decode(exact, &e);
        free(exact);
    }
    free(content);
    rq_buf_free(&frame);
    return 0;
}
