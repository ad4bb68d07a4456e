// SPDX-License-Identifier: Apache-2.0
//
// dataset.json. The hash in its last lines is made right again, so that every check behind it
// is reached; an input without those lines goes in as it is. What is accepted and written once
// more is accepted again and is then the same text.
#include "fuzz.h"

#include "pack/manifest.h"

#include <inttypes.h>

#define SEAL_START ",\n  \"xxh3\": \""
#define SEAL_END   "\"\n}\n"

/* The document with a right hash: what stands before the last member, and the member. */
static void seal(rq_buf *text, const uint8_t *data, size_t size)
{
    static const char start[] = SEAL_START;
    const uint8_t *at = NULL, *from = data;
    for (size_t left = size; left > 0;) {
        const uint8_t *hit = memmem(from, left, start, sizeof start - 1);
        if (hit == NULL)
            break;
        at = hit;
        from = hit + 1;
        left = size - (size_t)(from - data);
    }
    rq_err err = {0};
    const size_t body = at != NULL ? (size_t)(at - data) : size;
    FUZZ_OK(rq_buf_append(text, data, body, &err), &err);
    if (at != NULL)
        FUZZ_HOLDS(rq_buf_printf(text, &err, SEAL_START "%016" PRIx64 SEAL_END,
                                 rq_xxh3(data, body)) == RQ_OK);
}

static void check_shards(const rq_manifest *m)
{
    uint64_t samples = 0;
    FUZZ_HOLDS(rq_shard_prefix_valid(m->name));
    for (size_t i = 0; i < m->n_shards; i++) {
        FUZZ_HOLDS(strchr(m->shards[i].file, '/') == NULL && m->shards[i].file[0] != '.');
        samples += m->shards[i].samples;
    }
    FUZZ_HOLDS(samples == m->samples && m->masks <= m->samples);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rq_buf text = {0}, once = {0}, twice = {0};
    rq_manifest m = {0}, again = {0};
    rq_err err = {0};
    seal(&text, data, size);
    uint8_t *copy = fuzz_copy(text.data, text.size);
    const rq_status s = rq_manifest_parse(&m, (const char *)copy, text.size, &err);
    free(copy);
    if (fuzz_status(s, &err) == RQ_OK) {
        fuzz_accepted();
        check_shards(&m);
        FUZZ_OK(rq_manifest_encode(&m, &once, &err), &err);
        FUZZ_OK(rq_manifest_parse(&again, (const char *)once.data, once.size, &err), &err);
        FUZZ_OK(rq_manifest_encode(&again, &twice, &err), &err);
        FUZZ_HOLDS(once.size == twice.size && memcmp(once.data, twice.data, once.size) == 0);
    }
    rq_manifest_free(&m);
    rq_manifest_free(&again);
    rq_buf_free(&text);
    rq_buf_free(&once);
    rq_buf_free(&twice);
    return 0;
}
