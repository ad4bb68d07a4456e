/* Makes the hashes of an altered shard right again. Hashes keep accidents out, not people: with
 * them in place a fuzzer would see nothing but "does not match its hash", so every check behind
 * them is reached by sealing what was altered. */
#ifndef RQ_TESTS_FUZZ_SEAL_H
#define RQ_TESTS_FUZZ_SEAL_H

#include "fuzz.h"

#include "common/bytes.h"
#include "pack/index.h"

#include <zstd.h>

/* Index and seek table of n samples in place: the table's hash, then the index's. */
static inline void fuzz_seal_index(uint8_t *index, size_t n)
{
    const size_t bytes = rq_index_frame_bytes(n);
    uint8_t *trailer = index + bytes - RQ_INDEX_TRAILER_BYTES;
    rq_put_le64(trailer + 16, rq_xxh3(index + bytes, rq_table_frame_bytes(n)));
    rq_put_le64(trailer + 24, rq_xxh3(index, bytes - 8));
}

/* Samples that the end of a file counts, as far as the file has room for them; 0 otherwise. */
static inline size_t fuzz_count(const uint8_t *file, size_t bytes)
{
    size_t n;
    return bytes >= RQ_TABLE_FOOTER_BYTES &&
                   rq_index_count(file + bytes - RQ_TABLE_FOOTER_BYTES, bytes, &n, NULL) ==
                       RQ_OK
               ? n
               : 0;
}

/* Length of the zstd frame at `at`, 0 when there is none before `end`. */
static inline size_t fuzz_frame_bytes(const uint8_t *file, size_t at, size_t end)
{
    if (end - at < 4 || rq_get_le32(file + at) != ZSTD_MAGICNUMBER)
        return 0;
    const size_t bytes = ZSTD_findFrameCompressedSize(file + at, end - at);
    return ZSTD_isError(bytes) ? 0 : bytes;
}

/* Lets the entries and the table follow the frames that are there, however long an edit made
 * them. The last frame is the end frame. */
static inline void fuzz_tile(uint8_t *file, size_t n, size_t frames_end)
{
    uint8_t *index = file + frames_end, *row = index + rq_index_frame_bytes(n) + 8;
    size_t at = 0;
    for (size_t i = 0; i < n; i++, row += 8) {
        uint8_t *e = index + RQ_INDEX_HEADER_BYTES + i * RQ_INDEX_ENTRY_BYTES;
        const size_t bytes = fuzz_frame_bytes(file, at, frames_end);
        if (bytes == 0)
            return;
        const unsigned long long content = ZSTD_getFrameContentSize(file + at, bytes);
        rq_put_le64(e, at);
        rq_put_le32(e + 8, (uint32_t)bytes);
        if (content <= RQ_MAX_RAW_BYTES)
            rq_put_le32(e + 12, (uint32_t)content);
        memcpy(row, e + 8, 8);
        at += bytes;
    }
    rq_put_le32(index + 28, (uint32_t)(frames_end - at));
    rq_put_le64(index + 32, at);
    rq_put_le32(row, (uint32_t)(frames_end - at));
}

/* The whole file in place. Entries that point outside of it keep their hash. */
static inline void fuzz_seal_shard(uint8_t *file, size_t bytes, bool tile)
{
    const size_t n = fuzz_count(file, bytes);
    if (n == 0)
        return;
    const size_t index_bytes = rq_index_frame_bytes(n);
    const size_t frames_end = bytes - index_bytes - rq_table_frame_bytes(n);
    uint8_t *index = file + frames_end, *trailer = index + index_bytes - RQ_INDEX_TRAILER_BYTES;
    if (tile) {
        fuzz_tile(file, n, frames_end);
        rq_put_le64(trailer, bytes);
    }
    for (size_t i = 0; i < n; i++) {
        uint8_t *e = index + RQ_INDEX_HEADER_BYTES + i * RQ_INDEX_ENTRY_BYTES;
        const uint64_t at = rq_get_le64(e), stored = rq_get_le32(e + 8);
        if (at <= frames_end && stored <= frames_end - at)
            rq_put_le64(e + 16, rq_xxh3(file + at, (size_t)stored));
    }
    const uint64_t at = rq_get_le64(index + 32), stored = rq_get_le32(index + 28);
    if (at <= frames_end && stored <= frames_end - at)
        rq_put_le64(trailer + 8, rq_xxh3(file + at, (size_t)stored));
    fuzz_seal_index(index, n);
}

#endif
