// SPDX-License-Identifier: Apache-2.0
//
// A damaged shard, searched for whole frames without trust in its index. The first byte: 1 and
// 2 as in fuzz_shard.c, 4 writes what was found to a shard. Frames that were found lie in the
// file one behind the other; a shard written from them is intact and holds every one of them.
#include "seal.h"

#include "pack/dataset.h"
#include "pack/salvage.h"
#include "pack/verify.h"

enum { SEAL = 1, TILE = 2, WRITE = 4, MAX_BYTES = 1 << 15 };

static void check_entries(const rq_salvage *s, size_t bytes)
{
    uint64_t end = 0;
    FUZZ_HOLDS(s->bytes == bytes && (s->n > 0 || !s->intact));
    FUZZ_HOLDS(!s->intact || s->lost == 0);
    for (size_t i = 0; i < s->n; i++) {
        FUZZ_HOLDS(s->entries[i].offset >= end);
        end = s->entries[i].offset + s->entries[i].stored_bytes;
    }
    FUZZ_HOLDS(end <= bytes);
}

static void check_written(const rq_salvage *s, const char *path)
{
    const rq_verify_opts opts = {.threads = 1};
    rq_verify_result result = {0};
    rq_dataset *ds = NULL;
    rq_reader *r = NULL;
    rq_err err = {0};
    FUZZ_OK(rq_dataset_open(&ds, path, &err), &err);
    FUZZ_HOLDS(rq_dataset_count(ds) == s->n);
    FUZZ_OK(rq_reader_create(&r, ds, &err), &err);
    for (uint64_t i = 0; i < s->n; i++) {
        rq_sample sample;
        FUZZ_OK(rq_reader_get(r, i, &sample, &err), &err);
    }
    rq_reader_destroy(&r);
    rq_dataset_close(&ds);
    FUZZ_OK(rq_verify(path, &opts, &result, &err), &err);
}

/* In a folder in memory, where flushing a file costs nothing. */
static void write_shard(const rq_salvage *s, const char *path)
{
    char dir[] = "/dev/shm/rq-fuzz-XXXXXX", out[64];
    rq_manifest_shard info = {0};
    rq_err err = {0};
    if (mkdtemp(dir) == NULL)
        return;
    snprintf(out, sizeof out, "%s/data-000000.tar.zst", dir);
    const rq_salvage_opts opts = {0};
    FUZZ_OK(rq_salvage_write(s, path, out, &opts, &info, &err), &err);
    FUZZ_HOLDS(info.samples == s->n);
    check_written(s, out);
    unlink(out);
    FUZZ_HOLDS(rmdir(dir) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > MAX_BYTES)
        return 0;
    uint8_t *shard = fuzz_copy(data + 1, size - 1);
    if (data[0] & SEAL)
        fuzz_seal_shard(shard, size - 1, (data[0] & TILE) != 0);
    fuzz_file f = fuzz_file_make(shard, size - 1);
    const rq_salvage_opts opts = {0};
    rq_salvage s = {0};
    rq_err err = {0};
    if (fuzz_status(rq_salvage_scan(&s, f.path, 0, &opts, &err), &err) == RQ_OK) {
        check_entries(&s, size - 1);
        if (s.intact)
            fuzz_accepted();
        if ((data[0] & WRITE) && s.n > 0)
            write_shard(&s, f.path);
    }
    rq_salvage_free(&s);
    fuzz_file_close(&f);
    free(shard);
    return 0;
}
