// SPDX-License-Identifier: Apache-2.0
//
// The index and the seek table of a shard, in memory. The first byte says what is made right
// before they are read: 1 hashes, 2 the count, 4 the length of the file. What is accepted,
// written again, is the same bytes: there is one spelling of an index.
#include "seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { SEAL = 1, COUNT = 2, LENGTH = 4 };
    if (size < 1 || size - 1 < rq_index_frame_bytes(1) + rq_table_frame_bytes(1))
        return 0;
    const unsigned fix = data[0];
    const size_t none = rq_index_frame_bytes(0) + rq_table_frame_bytes(0);
    const size_t each = RQ_INDEX_ENTRY_BYTES + 8;
    size_t n = (size - 1 - none) / each, counted = 0;
    const size_t bytes = none + n * each;
    uint8_t *tail = fuzz_copy(data + size - bytes, bytes);
    uint8_t *index_end = tail + rq_index_frame_bytes(n);
    uint8_t *footer = tail + bytes - RQ_TABLE_FOOTER_BYTES;
    if (fix & COUNT)
        rq_put_le32(footer, (uint32_t)n + 2);
    uint64_t file_bytes = rq_get_le64(index_end - RQ_INDEX_TRAILER_BYTES);
    if (fix & LENGTH) {
        file_bytes = rq_get_le64(tail + 32) + rq_get_le32(tail + 28) + bytes;
        rq_put_le64(index_end - RQ_INDEX_TRAILER_BYTES, file_bytes);
    }
    if (fix & SEAL)
        fuzz_seal_index(tail, n);
    rq_err err = {0};
    rq_status s = fuzz_status(rq_index_count(footer, file_bytes, &counted, &err), &err);
    if (s == RQ_OK && counted == n) {
        rq_index_entry *entries = malloc(n * sizeof *entries);
        rq_index_tail t;
        FUZZ_HOLDS(entries != NULL);
        s = rq_index_decode(tail, n, file_bytes, entries, &t, &err);
        if (fuzz_status(s, &err) == RQ_OK) {
            rq_buf again = {0};
            fuzz_accepted();
            FUZZ_OK(rq_index_encode(entries, n, &t, &again, &err), &err);
            FUZZ_HOLDS(again.size == bytes && memcmp(again.data, tail, bytes) == 0);
            rq_buf_free(&again);
        }
        free(entries);
    }
    free(tail);
    return 0;
}
