// SPDX-License-Identifier: Apache-2.0
// Sample frames: round trip, one valid content only, and frames that lie although their hash is
// right.
#include "pack_fixture.h"

#include "common/bytes.h"
#include "common/hash.h"
#include "common/rng.h"

#include <zstd.h>

static void frame_reads_back(void **state)
{
    rq_frame_coder c = {0};
    rq_buf frame = {0};
    for (uint64_t id = 0; id < 12; id++) {
        rq_index_entry e;
        rq_members m;
        rq_err err = {0};
        uint8_t image[1024];
        fixture_frame(id, &e, &frame);
        assert_int_equal(rq_frame_decode(&c, frame.data, &e, &m, &err), RQ_OK);
        const size_t n = fixture_image(id, image);
        assert_int_equal(m.image_bytes, n);
        assert_memory_equal(m.image, image, n);
        assert_int_equal(m.mask != NULL, id % 3 == 0);
        assert_int_equal(e.raw_bytes % 512, 0);
        assert_memory_equal(c.raw.data + e.image_offset, image, n);
    }
    rq_buf_free(&frame);
    rq_frame_coder_fini(&c);
}

static void frame_without_label_has_no_cls(void **state)
{
    rq_frame_coder c = {0};
    rq_buf frame = {0};
    rq_index_entry e = {.id = 1, .label = -1, .width = 1, .height = 1, .encoding = 1};
    rq_members m = {.key = "k",
                    .image = (const uint8_t *)"x",
                    .image_bytes = 1,
                    .meta = "{}",
                    .meta_bytes = 2},
               back;
    assert_int_equal(rq_frame_encode(&c, 3, &m, &e, &frame, NULL), RQ_OK);
    assert_int_equal(e.raw_bytes, 4 * 512);
    assert_int_equal(rq_frame_decode(&c, frame.data, &e, &back, NULL), RQ_OK);
    // The label of the index must be the one in the frame.
    e.label = 0;
    assert_int_equal(rq_frame_decode(&c, frame.data, &e, &back, NULL), RQ_BAD_FORMAT);
    rq_buf_free(&frame);
    rq_frame_coder_fini(&c);
}

static void frame_is_standard_zstd(void **state)
{
    rq_buf frame = {0};
    rq_index_entry e;
    fixture_frame(5, &e, &frame);
    assert_int_equal(ZSTD_getFrameContentSize(frame.data, frame.size), e.raw_bytes);
    assert_int_equal(ZSTD_findFrameCompressedSize(frame.data, frame.size), frame.size);
    assert_int_equal(ZSTD_getDictID_fromFrame(frame.data, frame.size), 0);
    assert_true(frame.data[4] & 4); // content checksum
    rq_buf_free(&frame);
}

static void too_large_is_a_limit(void **state)
{
    rq_frame_coder c = {0};
    rq_buf frame = {0};
    rq_err err = {0};
    rq_index_entry e = {.width = 1, .height = 1, .encoding = RQ_ENCODING_PPM};
    uint8_t *big = calloc(1, RQ_MAX_RAW_BYTES);
    rq_members m = {.key = "k",
                    .image = big,
                    .image_bytes = RQ_MAX_RAW_BYTES,
                    .meta = "{}",
                    .meta_bytes = 2};
    assert_int_equal(rq_frame_encode(&c, 1, &m, &e, &frame, &err), RQ_LIMIT);
    free(big);
    rq_buf_free(&frame);
    rq_frame_coder_fini(&c);
}

/* A frame of any content, with an entry whose hash and sizes are right. */
static void seal(const void *content, size_t n, rq_index_entry *e, rq_buf *frame)
{
    ZSTD_CCtx *z = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, 1);
    frame->size = 0;
    assert_int_equal(rq_buf_reserve(frame, ZSTD_compressBound(n), NULL), RQ_OK);
    frame->size = ZSTD_compress2(z, frame->data, frame->cap, content, n);
    ZSTD_freeCCtx(z);
    e->stored_bytes = (uint32_t)frame->size;
    e->raw_bytes = (uint32_t)n;
    e->hash = rq_xxh3(frame->data, frame->size);
}

// Every byte of the content that is not payload is checked: with hash and zstd checksum made
// right again, a change to any header or padding byte is still refused.
static void every_byte_outside_payload_is_checked(void **state)
{
    rq_frame_coder c = {0}, c2 = {0};
    rq_buf frame = {0}, forged = {0};
    rq_index_entry e;
    rq_members m;
    fixture_frame(6, &e, &frame);
    assert_int_equal(rq_frame_decode(&c, frame.data, &e, &m, NULL), RQ_OK);
    uint8_t *raw = c.raw.data;
    const size_t meta_at = (size_t)((const uint8_t *)m.meta - raw);
    for (size_t i = 0; i < e.raw_bytes; i++) {
        const bool payload = (i >= e.image_offset && i < e.image_offset + e.image_bytes) ||
                             (i >= e.mask_offset && i < e.mask_offset + e.mask_bytes) ||
                             (i >= meta_at && i < meta_at + m.meta_bytes);
        if (payload)
            continue;
        rq_index_entry lie = e;
        rq_members out;
        raw[i] ^= 0x11;
        seal(raw, e.raw_bytes, &lie, &forged);
        raw[i] ^= 0x11;
        const rq_status st = rq_frame_decode(&c2, forged.data, &lie, &out, NULL);
        if (st != RQ_BAD_FORMAT)
            fail_msg("byte %zu changed: %s", i, rq_status_name(st));
    }
    rq_buf_free(&frame);
    rq_buf_free(&forged);
    rq_frame_coder_fini(&c);
    rq_frame_coder_fini(&c2);
}

static void expect_refused(rq_frame_coder *c, const rq_buf *frame, const rq_index_entry *e)
{
    rq_members m;
    rq_err err = {0};
    assert_int_equal(rq_frame_decode(c, frame->data, e, &m, &err), RQ_BAD_FORMAT);
    assert_true(strlen(err.text) > 10);
}

static void entries_that_lie_are_refused(void **state)
{
    rq_frame_coder c = {0};
    rq_buf frame = {0};
    rq_index_entry e, lie;
    fixture_frame(3, &e, &frame);
    lie = e, lie.label = 2;
    expect_refused(&c, &frame, &lie);
    lie = e, lie.image_bytes--;
    expect_refused(&c, &frame, &lie);
    lie = e, lie.image_offset += 512;
    expect_refused(&c, &frame, &lie);
    lie = e, lie.mask_offset += 512;
    expect_refused(&c, &frame, &lie);
    lie = e, lie.mask_bytes++;
    expect_refused(&c, &frame, &lie);
    lie = e, lie.flags = 0, lie.mask_offset = lie.mask_bytes = 0;
    expect_refused(&c, &frame, &lie);
    lie = e, lie.encoding = RQ_ENCODING_JPEG;
    expect_refused(&c, &frame, &lie);
    lie = e, lie.raw_bytes += 512;
    expect_refused(&c, &frame, &lie);
    rq_buf_free(&frame);
    rq_frame_coder_fini(&c);
}

static void frames_we_do_not_write_are_refused(void **state)
{
    rq_frame_coder c = {0};
    rq_buf frame = {0}, other = {0};
    rq_index_entry e, lie;
    rq_members m;
    fixture_frame(1, &e, &frame);
    assert_int_equal(rq_frame_decode(&c, frame.data, &e, &m, NULL), RQ_OK);
    uint8_t *raw = malloc(e.raw_bytes);
    memcpy(raw, c.raw.data, e.raw_bytes);

    // No content checksum.
    ZSTD_CCtx *z = ZSTD_createCCtx();
    lie = e;
    assert_int_equal(rq_buf_reserve(&other, 65536, NULL), RQ_OK);
    other.size = ZSTD_compress2(z, other.data, other.cap, raw, e.raw_bytes);
    lie.stored_bytes = (uint32_t)other.size, lie.hash = rq_xxh3(other.data, other.size);
    expect_refused(&c, &other, &lie);
    // No content size.
    ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, 1);
    ZSTD_CCtx_setParameter(z, ZSTD_c_contentSizeFlag, 0);
    other.size = ZSTD_compress2(z, other.data, other.cap, raw, e.raw_bytes);
    lie.stored_bytes = (uint32_t)other.size, lie.hash = rq_xxh3(other.data, other.size);
    expect_refused(&c, &other, &lie);
    ZSTD_freeCCtx(z);
    // A skippable frame in front, and behind.
    uint8_t skip[12] = {0x50, 0x2A, 0x4D, 0x18, 4, 0, 0, 0, 1, 2, 3, 4};
    for (int behind = 0; behind < 2; behind++) {
        memcpy(other.data + (behind ? frame.size : 0), skip, 12);
        memcpy(other.data + (behind ? 0 : 12), frame.data, frame.size);
        other.size = frame.size + 12;
        lie.stored_bytes = (uint32_t)other.size, lie.hash = rq_xxh3(other.data, other.size);
        expect_refused(&c, &other, &lie);
    }
    // A dictionary id, a reserved bit, another magic number; hash recomputed each time.
    const uint8_t flips[][2] = {{4, 1}, {4, 8}, {0, 1}};
    for (int i = 0; i < 3; i++) {
        memcpy(other.data, frame.data, frame.size);
        other.data[flips[i][0]] ^= flips[i][1];
        lie.stored_bytes = (uint32_t)frame.size, lie.hash = rq_xxh3(other.data, frame.size);
        expect_refused(&c, &other, &lie);
    }
    free(raw);
    rq_buf_free(&frame);
    rq_buf_free(&other);
    rq_frame_coder_fini(&c);
}

// RFC 8878 3.1.1.1.2: window descriptor 0xF8 is 2^41 bytes.
static void huge_window_is_refused(void **state)
{
    rq_frame_coder c = {0};
    rq_buf frame = {0};
    rq_index_entry e, lie;
    fixture_frame(1, &e, &frame);
    uint8_t forged[4096] = {0x28, 0xB5, 0x2F, 0xFD, 0x84 & ~0x20, 0xF8};
    rq_put_le32(forged + 6, e.raw_bytes);
    memset(forged + 10, 7, 100);
    lie = e, lie.stored_bytes = 110, lie.hash = rq_xxh3(forged, 110);
    rq_err err = {0};
    rq_members m;
    assert_int_equal(rq_frame_decode(&c, forged, &lie, &m, &err), RQ_BAD_FORMAT);
    assert_non_null(strstr(err.text, "window"));
    rq_buf_free(&frame);
    rq_frame_coder_fini(&c);
}

static void end_frame_is_zeros(void **state)
{
    rq_frame_coder c = {0};
    rq_buf end = {0};
    rq_index_entry e;
    assert_int_equal(rq_frame_encode_end(&c, &end, NULL), RQ_OK);
    assert_int_equal(rq_frame_decode_end(&c, end.data, end.size, NULL), RQ_OK);
    uint8_t other[1024] = {[1023] = 1};
    seal(other, sizeof other, &e, &end);
    assert_int_equal(rq_frame_decode_end(&c, end.data, end.size, NULL), RQ_BAD_FORMAT);
    rq_buf_free(&end);
    rq_frame_coder_fini(&c);
}

/* RFC 8878, 3.1.1.1: magic, descriptor, window unless single segment, content size. */
static size_t header_bytes(const rq_buf *frame)
{
    static const size_t size_bytes[] = {0, 2, 4, 8};
    const uint8_t d = frame->data[4];
    const bool single = d >> 5 & 1;
    const size_t window = single ? 0 : 1, small = single ? 1 : 0;
    return 5 + window + (d >> 6 == 0 ? small : size_bytes[d >> 6]);
}

/* How many blocks a frame has (3.1.1.2). */
static size_t count_blocks(const rq_buf *frame)
{
    size_t at = header_bytes(frame), n = 0;
    for (bool last = false; !last; n++) {
        const uint32_t h =
            (uint32_t)(frame->data[at] | frame->data[at + 1] << 8 | frame->data[at + 2] << 16);
        last = h & 1;
        at += 3 + ((h >> 1 & 3) == 1 ? 1 : h >> 3);
    }
    assert_int_equal(at + 4, frame->size); // the checksum
    return n;
}

static void blocks_end_where_the_image_says(void **state)
{
    enum { BYTES = 60000 };
    rq_frame_coder c = {0};
    rq_buf frame = {0}, plain = {0};
    rq_index_entry e = {.label = 3, .width = 1, .height = 1, .encoding = RQ_ENCODING_DCT},
                   e2 = e;
    uint8_t *image = malloc(BYTES);
    rq_rng r = rq_rng_make(1, 2, 3, 4, 5);
    assert_non_null(image);
    for (size_t i = 0; i < BYTES; i++) // noise of 5 bits, then of other 5 bits
        image[i] = (uint8_t)(rq_rng_below(&r, 32) + (i < BYTES / 2 ? 0 : 100));
    const uint32_t splits[] = {100, BYTES / 2};
    rq_members m = {.key = "k",
                    .image = image,
                    .image_bytes = BYTES,
                    .image_splits = splits,
                    .n_image_splits = 2,
                    .meta = "{}",
                    .meta_bytes = 2},
               back;
    assert_int_equal(rq_frame_encode(&c, 1, &m, &e, &frame, NULL), RQ_OK);
    assert_int_equal(count_blocks(&frame), 3);
    m.n_image_splits = 0;
    assert_int_equal(rq_frame_encode(&c, 1, &m, &e2, &plain, NULL), RQ_OK);
    assert_int_equal(count_blocks(&plain), 1);
    assert_true(frame.size < plain.size);
    for (int trust = 0; trust < 2; trust++) {
        c.trust_hash = trust;
        assert_int_equal(rq_frame_decode(&c, frame.data, &e, &back, NULL), RQ_OK);
        assert_int_equal(back.image_bytes, BYTES);
        assert_memory_equal(back.image, image, BYTES);
        assert_int_equal(back.n_image_splits, 0);
    }
    // Splits that are none.
    const uint32_t wrong[][2] = {{5, 5}, {6, 5}, {5, BYTES + 4096}};
    m.n_image_splits = 2;
    for (int i = 0; i < 3; i++) {
        m.image_splits = wrong[i];
        assert_int_equal(rq_frame_encode(&c, 1, &m, &e, &frame, NULL), RQ_INTERNAL);
    }
    free(image);
    rq_buf_free(&frame);
    rq_buf_free(&plain);
    rq_frame_coder_fini(&c);
}

// A frame whose zstd checksum alone is wrong: refused, unless the hash is trusted.
static void zstd_checksum_is_checked_unless_the_hash_is_trusted(void **state)
{
    rq_frame_coder c = {0};
    rq_buf frame = {0};
    rq_index_entry e;
    rq_members m;
    fixture_frame(5, &e, &frame);
    frame.data[frame.size - 1] ^= 1;
    assert_int_equal(rq_frame_decode(&c, frame.data, &e, &m, NULL), RQ_BAD_CHECKSUM);
    e.hash = rq_xxh3(frame.data, frame.size);
    assert_int_equal(rq_frame_decode(&c, frame.data, &e, &m, NULL), RQ_BAD_FORMAT);
    c.trust_hash = true;
    assert_int_equal(rq_frame_decode(&c, frame.data, &e, &m, NULL), RQ_OK);
    c.trust_hash = false;
    assert_int_equal(rq_frame_decode(&c, frame.data, &e, &m, NULL), RQ_BAD_FORMAT);
    rq_buf_free(&frame);
    rq_frame_coder_fini(&c);
}

static void pictures_are_of_their_encoding(void **state)
{
    static const struct {
        rq_encoding encoding;
        const char *begins;
    } known[] = {{RQ_ENCODING_JPEG, "\xff\xd8\xff\xe0"},
                 {RQ_ENCODING_DCT, "RQD1"},
                 {RQ_ENCODING_AVIF, "\0\0\0\x1c"
                                    "ftypavif\0\0\0\0avifmif1miaf"},
                 {RQ_ENCODING_PPM, "P6\n1 1\n255\n"},
                 {RQ_ENCODING_RAW, "RQPL"}};
    for (int i = 0; i < 5; i++) {
        uint8_t image[64] = {0};
        memcpy(image, known[i].begins, i == 2 ? 28 : strlen(known[i].begins));
        for (int k = 0; k < 5; k++)
            assert_int_equal(rq_frame_check_codec(known[k].encoding, image, sizeof image, NULL),
                             i == k ? RQ_OK : RQ_BAD_FORMAT);
        assert_int_equal(rq_frame_check_codec(known[i].encoding, image, 1, NULL),
                         RQ_BAD_FORMAT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frame_reads_back),
        cmocka_unit_test(frame_without_label_has_no_cls),
        cmocka_unit_test(frame_is_standard_zstd),
        cmocka_unit_test(too_large_is_a_limit),
        cmocka_unit_test(every_byte_outside_payload_is_checked),
        cmocka_unit_test(entries_that_lie_are_refused),
        cmocka_unit_test(frames_we_do_not_write_are_refused),
        cmocka_unit_test(huge_window_is_refused),
        cmocka_unit_test(end_frame_is_zeros),
        cmocka_unit_test(blocks_end_where_the_image_says),
        cmocka_unit_test(zstd_checksum_is_checked_unless_the_hash_is_trusted),
        cmocka_unit_test(pictures_are_of_their_encoding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
