// SPDX-License-Identifier: Apache-2.0
//
// A whole shard, opened as a dataset: every sample is read and decoded. The first byte says
// what is made right in the altered file: 1 hashes, 2 the places of the frames. 4 also asks
// `verify` for a deep look; what that calls intact must read and decode.
#include "seal.h"

#include "pack/dataset.h"
#include "pack/verify.h"

enum { SEAL = 1, TILE = 2, VERIFY = 4, MAX_BYTES = 1 << 16 };

/* Entries may promise large pictures: those are read but not decoded here, for speed. */
static bool is_small(const rq_sample *s)
{
    return (uint64_t)s->width * (uint64_t)s->height <= 1 << 18;
}

static void check_sample(const rq_dataset *ds, const rq_sample *s, uint64_t i)
{
    const rq_index_entry *e = rq_dataset_entry(ds, i, NULL);
    uint64_t place;
    FUZZ_HOLDS(s->place == i && s->id == e->id && s->label == e->label);
    FUZZ_HOLDS(strlen(s->key) <= RQ_MAX_KEY_BYTES && strchr(s->key, '.') == NULL);
    FUZZ_HOLDS(s->image_bytes == e->image_bytes && s->mask_bytes == e->mask_bytes);
    FUZZ_HOLDS(rq_dataset_find(ds, s->id, &place, NULL) == RQ_OK && place == i);
}

/* Whether every sample reads and decodes. */
static bool read_all(const rq_dataset *ds)
{
    rq_reader *r = NULL;
    rq_image img = {0};
    bool good = true;
    rq_err err = {0};
    FUZZ_OK(rq_reader_create(&r, ds, &err), &err);
    for (uint64_t i = 0; i < rq_dataset_count(ds); i++) {
        rq_sample s;
        rq_err get = {0}, decode = {0}, mask = {0};
        if (fuzz_status(rq_reader_get(r, i, &s, &get), &get) != RQ_OK) {
            good = false;
            continue;
        }
        check_sample(ds, &s, i);
        if (!is_small(&s))
            continue;
        if (fuzz_status(rq_reader_decode(r, &s, &img, &decode), &decode) == RQ_OK) {
            FUZZ_HOLDS(img.width == s.width && img.height == s.height);
            fuzz_touch(&img);
        } else {
            good = false;
        }
        if (s.mask == NULL)
            continue;
        if (fuzz_status(rq_reader_decode_mask(r, &s, &img, &mask), &mask) == RQ_OK)
            fuzz_touch(&img);
        else
            good = false;
    }
    rq_image_free(&img);
    rq_reader_destroy(&r);
    return good;
}

static bool is_intact(const char *path)
{
    const rq_verify_opts opts = {.deep = true, .threads = 1};
    rq_verify_result result = {0};
    rq_err err = {0};
    return fuzz_status(rq_verify(path, &opts, &result, &err), &err) == RQ_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > MAX_BYTES)
        return 0;
    uint8_t *shard = fuzz_copy(data + 1, size - 1);
    if (data[0] & SEAL)
        fuzz_seal_shard(shard, size - 1, (data[0] & TILE) != 0);
    fuzz_file f = fuzz_file_make(shard, size - 1);
    rq_dataset *ds = NULL;
    rq_err err = {0};
    const rq_status s = fuzz_status(rq_dataset_open(&ds, f.path, &err), &err);
    const bool good = s == RQ_OK && read_all(ds);
    if (good)
        fuzz_accepted();
    if ((data[0] & VERIFY) && !good)
        FUZZ_HOLDS(!is_intact(f.path));
    rq_dataset_close(&ds);
    fuzz_file_close(&f);
    free(shard);
    return 0;
}
