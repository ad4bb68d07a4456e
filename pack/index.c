// SPDX-License-Identifier: Apache-2.0
// Index and seek table of a shard. The index is found from the end of the file: footer of the
// seek table, count, sizes. Each hash is checked before any field behind it is believed, and
// each field is checked although its hash is right, since anyone can compute a hash.
#include "pack/index.h"

#include "common/bytes.h"
#include "common/hash.h"
#include "pack/ustar.h"

#include <string.h>

// The smallest zstd frame with content size and checksum is larger than this.
enum { MIN_FRAME_BYTES = 12, TABLE_HEADER_BYTES = 8, TABLE_ENTRY_BYTES = 8 };

size_t rq_index_frame_bytes(size_t n)
{
    return RQ_INDEX_HEADER_BYTES + n * RQ_INDEX_ENTRY_BYTES + RQ_INDEX_TRAILER_BYTES;
}

size_t rq_table_frame_bytes(size_t n)
{
    // One entry per sample, one for the end frame, one for the index.
    return TABLE_HEADER_BYTES + (n + 2) * TABLE_ENTRY_BYTES + RQ_TABLE_FOOTER_BYTES;
}

static void encode_entry(uint8_t *p, const rq_index_entry *e)
{
    rq_put_le64(p, e->offset);
    rq_put_le32(p + 8, e->stored_bytes);
    rq_put_le32(p + 12, e->raw_bytes);
    rq_put_le64(p + 16, e->hash);
    rq_put_le64(p + 24, e->id);
    rq_put_le32(p + 32, (uint32_t)e->label);
    rq_put_le32(p + 36, e->width);
    rq_put_le32(p + 40, e->height);
    p[44] = e->encoding;
    p[45] = e->flags;
    rq_put_le16(p + 46, 0);
    rq_put_le32(p + 48, e->image_offset);
    rq_put_le32(p + 52, e->image_bytes);
    rq_put_le32(p + 56, e->mask_offset);
    rq_put_le32(p + 60, e->mask_bytes);
}

// True when the reserved bytes are zero.
static bool decode_entry(rq_index_entry *e, const uint8_t *p)
{
    e->offset = rq_get_le64(p);
    e->stored_bytes = rq_get_le32(p + 8);
    e->raw_bytes = rq_get_le32(p + 12);
    e->hash = rq_get_le64(p + 16);
    e->id = rq_get_le64(p + 24);
    e->label = (int32_t)rq_get_le32(p + 32);
    e->width = rq_get_le32(p + 36);
    e->height = rq_get_le32(p + 40);
    e->encoding = p[44];
    e->flags = p[45];
    e->shard = 0;
    e->image_offset = rq_get_le32(p + 48);
    e->image_bytes = rq_get_le32(p + 52);
    e->mask_offset = rq_get_le32(p + 56);
    e->mask_bytes = rq_get_le32(p + 60);
    return rq_get_le16(p + 46) == 0;
}

static void encode_table(uint8_t *p, const rq_index_entry *entries, size_t n,
                         const rq_index_tail *tail)
{
    const size_t bytes = rq_table_frame_bytes(n);
    rq_put_le32(p, RQ_MAGIC_TABLE_FRAME);
    rq_put_le32(p + 4, (uint32_t)(bytes - TABLE_HEADER_BYTES));
    uint8_t *row = p + TABLE_HEADER_BYTES;
    for (size_t i = 0; i < n; i++, row += TABLE_ENTRY_BYTES) {
        rq_put_le32(row, entries[i].stored_bytes);
        rq_put_le32(row + 4, entries[i].raw_bytes);
    }
    rq_put_le32(row, tail->end_bytes);
    rq_put_le32(row + 4, RQ_USTAR_END_BYTES);
    rq_put_le32(row + 8, (uint32_t)rq_index_frame_bytes(n));
    rq_put_le32(row + 12, 0);
    rq_put_le32(row + 16, (uint32_t)(n + 2));
    row[20] = 0; // descriptor: no per-frame checksums here, the index has them
    rq_put_le32(row + 21, RQ_MAGIC_TABLE);
}

rq_status rq_index_encode(const rq_index_entry *entries, size_t n, rq_index_tail *tail,
                          rq_buf *out, rq_err *err)
{
    if (n == 0 || n > RQ_MAX_SHARD_SAMPLES)
        return rq_fail(err, RQ_INVALID_ARG, "a shard holds 1 to %d samples, not %zu",
                       RQ_MAX_SHARD_SAMPLES, n);
    const size_t start = out->size, index_bytes = rq_index_frame_bytes(n);
    RQ_TRY(rq_buf_append(out, NULL, index_bytes + rq_table_frame_bytes(n), err));
    uint8_t *p = out->data + start, *table = p + index_bytes;
    tail->file_bytes =
        tail->end_offset + tail->end_bytes + index_bytes + rq_table_frame_bytes(n);
    tail->masks = 0;
    for (size_t i = 0; i < n; i++) {
        encode_entry(p + RQ_INDEX_HEADER_BYTES + i * RQ_INDEX_ENTRY_BYTES, &entries[i]);
        tail->masks += (entries[i].flags & RQ_ENTRY_HAS_MASK) != 0;
    }
    rq_put_le32(p, RQ_MAGIC_INDEX_FRAME);
    rq_put_le32(p + 4, (uint32_t)(index_bytes - 8));
    memcpy(p + 8, RQ_MAGIC_INDEX, 4);
    rq_put_le32(p + 12, RQ_FORMAT_VERSION);
    rq_put_le32(p + 16, 0); // flags
    rq_put_le32(p + 20, (uint32_t)n);
    rq_put_le32(p + 24, RQ_INDEX_ENTRY_BYTES);
    rq_put_le32(p + 28, tail->end_bytes);
    rq_put_le64(p + 32, tail->end_offset);
    rq_put_le32(p + 40, tail->masks);
    rq_put_le32(p + 44, 0); // reserved
    encode_table(table, entries, n, tail);
    uint8_t *t = table - RQ_INDEX_TRAILER_BYTES;
    rq_put_le64(t, tail->file_bytes);
    rq_put_le64(t + 8, tail->end_hash);
    rq_put_le64(t + 16, rq_xxh3(table, rq_table_frame_bytes(n)));
    tail->hash = rq_xxh3(p, index_bytes - 8);
    rq_put_le64(t + 24, tail->hash);
    return RQ_OK;
}

rq_status rq_index_count(const uint8_t footer[RQ_TABLE_FOOTER_BYTES], uint64_t file_bytes,
                         size_t *n, rq_err *err)
{
    if (rq_get_le32(footer + 5) != RQ_MAGIC_TABLE)
        return rq_fail(err, RQ_BAD_FORMAT,
                       "the file does not end like a shard: it is cut off, damaged at its "
                       "end, or was not written by rq-pack");
    const uint32_t frames = rq_get_le32(footer);
    if (footer[4] != 0)
        return rq_fail(err, RQ_BAD_FORMAT, "the seek table's descriptor is %u, must be 0",
                       footer[4]);
    if (frames < 3 || frames - 2 > RQ_MAX_SHARD_SAMPLES)
        return rq_fail(err, RQ_BAD_FORMAT, "the seek table counts %u frames", frames);
    *n = frames - 2;
    const uint64_t least = rq_index_frame_bytes(*n) + rq_table_frame_bytes(*n) +
                           (uint64_t)(*n + 1) * MIN_FRAME_BYTES;
    if (file_bytes < least)
        return rq_fail(err, RQ_TRUNCATED,
                       "%u frames need at least %llu bytes, the file has "
                       "%llu",
                       frames, (unsigned long long)least, (unsigned long long)file_bytes);
    return RQ_OK;
}

static rq_status check_header(const uint8_t *p, size_t n, rq_err *err)
{
    const size_t bytes = rq_index_frame_bytes(n);
    if (rq_get_le32(p) != RQ_MAGIC_INDEX_FRAME || rq_get_le32(p + 4) != bytes - 8 ||
        memcmp(p + 8, RQ_MAGIC_INDEX, 4) != 0)
        return rq_fail(err, RQ_BAD_FORMAT, "there is no index where the seek table puts it");
    if (rq_xxh3(p, bytes - 8) != rq_get_le64(p + bytes - 8))
        return rq_fail(err, RQ_BAD_CHECKSUM, "the index does not match its hash");
    if (rq_get_le32(p + 12) > RQ_FORMAT_VERSION)
        return rq_fail(err, RQ_UNSUPPORTED,
                       "format version %u is newer than this program, which reads version %d",
                       rq_get_le32(p + 12), RQ_FORMAT_VERSION);
    if (rq_get_le32(p + 12) != RQ_FORMAT_VERSION || rq_get_le32(p + 16) != 0 ||
        rq_get_le32(p + 20) != n || rq_get_le32(p + 24) != RQ_INDEX_ENTRY_BYTES ||
        rq_get_le32(p + 44) != 0)
        return rq_fail(err, RQ_BAD_FORMAT, "a field of the index header is out of range");
    return RQ_OK;
}

bool rq_index_entry_sound(const rq_index_entry *e)
{
    const bool masked = (e->flags & RQ_ENTRY_HAS_MASK) != 0;
    const uint64_t image_end = (uint64_t)e->image_offset + e->image_bytes;
    const uint64_t mask_end = (uint64_t)e->mask_offset + e->mask_bytes;
    if (e->stored_bytes < MIN_FRAME_BYTES || e->stored_bytes > RQ_MAX_STORED_BYTES ||
        e->raw_bytes > RQ_MAX_RAW_BYTES || e->raw_bytes % RQ_USTAR_BLOCK != 0)
        return false;
    if (e->label < -1 || e->label >= RQ_MAX_CLASSES || e->width < 1 || e->width > RQ_MAX_SIDE ||
        e->height < 1 || e->height > RQ_MAX_SIDE || e->encoding < RQ_ENCODING_JPEG ||
        e->encoding > RQ_ENCODING_RAW || (e->flags & ~RQ_ENTRY_FLAGS) != 0)
        return false;
    // Pixels stored as such stand as they are to be seen.
    if ((e->encoding == RQ_ENCODING_PPM || e->encoding == RQ_ENCODING_RAW) &&
        rq_entry_orientation(e->flags) != 1)
        return false;
    if (e->image_offset != RQ_USTAR_BLOCK || e->image_bytes == 0 || image_end > e->raw_bytes)
        return false;
    if (!masked)
        return e->mask_offset == 0 && e->mask_bytes == 0;
    return e->mask_bytes > 0 && e->mask_offset >= image_end && mask_end <= e->raw_bytes;
}

rq_status rq_index_decode(const uint8_t *data, size_t n, uint64_t file_bytes,
                          rq_index_entry *entries, rq_index_tail *tail, rq_err *err)
{
    const size_t index_bytes = rq_index_frame_bytes(n), table_bytes = rq_table_frame_bytes(n);
    const uint8_t *table = data + index_bytes, *t = table - RQ_INDEX_TRAILER_BYTES;
    RQ_TRY(check_header(data, n, err));
    *tail = (rq_index_tail){.end_bytes = rq_get_le32(data + 28),
                            .end_offset = rq_get_le64(data + 32),
                            .masks = rq_get_le32(data + 40),
                            .file_bytes = rq_get_le64(t),
                            .end_hash = rq_get_le64(t + 8),
                            .hash = rq_get_le64(t + 24)};
    if (tail->file_bytes != file_bytes)
        return rq_fail(err, RQ_TRUNCATED, "the file has %llu bytes, its index says %llu",
                       (unsigned long long)file_bytes, (unsigned long long)tail->file_bytes);
    if (rq_xxh3(table, table_bytes) != rq_get_le64(t + 16))
        return rq_fail(err, RQ_BAD_CHECKSUM, "the seek table does not match its hash");
    const uint64_t frames_end = file_bytes - index_bytes - table_bytes;
    uint64_t at = 0;
    uint32_t masks = 0;
    for (size_t i = 0; i < n; i++) {
        rq_index_entry *e = &entries[i];
        const uint8_t *row = table + TABLE_HEADER_BYTES + i * TABLE_ENTRY_BYTES;
        if (!decode_entry(e, data + RQ_INDEX_HEADER_BYTES + i * RQ_INDEX_ENTRY_BYTES) ||
            !rq_index_entry_sound(e))
            return rq_fail(err, RQ_BAD_FORMAT, "index entry %zu has a field out of range", i);
        if (e->offset != at || e->stored_bytes > frames_end - at)
            return rq_fail(err, RQ_BAD_FORMAT,
                           "index entry %zu does not begin where the one before ends", i);
        if (rq_get_le32(row) != e->stored_bytes || rq_get_le32(row + 4) != e->raw_bytes)
            return rq_fail(err, RQ_BAD_FORMAT, "seek table and index disagree on frame %zu", i);
        at += e->stored_bytes;
        masks += e->flags & RQ_ENTRY_HAS_MASK;
    }
    const uint8_t *row = table + TABLE_HEADER_BYTES + n * TABLE_ENTRY_BYTES;
    if (tail->end_bytes > RQ_MAX_END_BYTES)
        return rq_fail(err, RQ_BAD_FORMAT, "the end frame has %u bytes, more than %d",
                       tail->end_bytes, RQ_MAX_END_BYTES);
    if (tail->end_offset != at || tail->end_bytes != frames_end - at || masks != tail->masks)
        return rq_fail(err, RQ_BAD_FORMAT, "the frames of the index do not fill the file");
    if (rq_get_le32(table) != RQ_MAGIC_TABLE_FRAME ||
        rq_get_le32(table + 4) != table_bytes - TABLE_HEADER_BYTES ||
        rq_get_le32(row) != tail->end_bytes || rq_get_le32(row + 4) != RQ_USTAR_END_BYTES ||
        rq_get_le32(row + 8) != index_bytes || rq_get_le32(row + 12) != 0)
        return rq_fail(err, RQ_BAD_FORMAT, "seek table and index disagree");
    return RQ_OK;
}
