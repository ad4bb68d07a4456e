// SPDX-License-Identifier: Apache-2.0
//
// Archives as a source: the walk over names and headers, the catalogue, and reading every
// image. The first byte says what is done to the rest, a tar file: 1 the checksums of its
// headers are made right, 2 it is compressed with zstd, 4 only tar archives of tar archives are
// accepted. The catalogue is in order and complete, its names cannot leave a folder, and
// reading it gives each image once, the same ones after a rewind.
#include "fuzz.h"

#include "ingest/source.h"

#include <zstd.h>

enum { CHECKSUMS = 1, COMPRESS = 2, TRUNCATED = 4, BLOCK = 512, MAX_BYTES = 1 << 16 };

static uint64_t octal(const uint8_t *text, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n && text[i] >= '0' && text[i] <= '7'; i++)
        v = v * 8 + (uint64_t)(text[i] - '0');
    return v;
}

/* Every header from `at` on, and those of archives inside, one level down. */
static void fix_checksums(uint8_t *tar, size_t bytes, int depth)
{
    for (size_t at = 0; bytes - at >= BLOCK;) {
        uint8_t *h = tar + at;
        unsigned sum = 8 * ' ';
        for (size_t i = 0; i < BLOCK; i++)
            sum += i >= 148 && i < 156 ? 0u : h[i];
        if (sum == 8 * ' ')
            return;
        char text[12];
        snprintf(text, sizeof text, "%06o", sum);
        memcpy(h + 148, text, 7);
        h[155] = ' ';
        at += BLOCK;
        const uint64_t size = octal(h + 124, 12);
        const size_t room = bytes - at;
        const size_t body = size < room ? (size_t)size : room;
        if (depth > 0 && memmem(h, 100, ".tar", 4) != NULL)
            fix_checksums(tar + at, body, depth - 1);
        const size_t step = rq_round_up(body, BLOCK);
        at += step < room ? step : room;
    }
}

static uint8_t *compressed(const uint8_t *data, size_t *bytes)
{
    const size_t cap = ZSTD_compressBound(*bytes);
    uint8_t *out = malloc(cap);
    FUZZ_HOLDS(out != NULL);
    *bytes = ZSTD_compress(out, cap, data, *bytes, 1);
    FUZZ_HOLDS(!ZSTD_isError(*bytes));
    return out;
}

static bool is_inside(const char *name)
{
    if (name[0] == '\0' || name[0] == '/')
        return false;
    for (const char *part = name; part != NULL; part = strchr(part, '/')) {
        part += *part == '/';
        const size_t n = strcspn(part, "/");
        if (n == 0 || (n <= 2 && strspn(part, ".") >= n))
            return false;
    }
    return true;
}

static void check_catalogue(const rq_source *src)
{
    const uint64_t n = rq_source_count(src);
    uint64_t bytes = 0;
    FUZZ_HOLDS(n > 0);
    for (uint64_t id = 0; id < n; id++) {
        const rq_entry e = rq_source_entry(src, id);
        FUZZ_HOLDS(e.id == id && is_inside(e.name));
        FUZZ_HOLDS((e.label >= 0) == (e.class_name != NULL));
        FUZZ_HOLDS(e.label < rq_source_classes(src));
        if (e.label >= 0)
            FUZZ_HOLDS(strcmp(rq_source_class_name(src, e.label), e.class_name) == 0);
        bytes += e.bytes;
    }
    FUZZ_HOLDS(bytes == rq_source_bytes(src));
}

/* Hash over all that reading gives; *whole says whether it came to the end. */
static uint64_t drain(rq_source *src, bool *whole)
{
    rq_record rec;
    rq_err err = {0};
    rq_status s;
    uint64_t sum = 0, count = 0;
    while ((s = fuzz_status(rq_source_next(src, &rec, &err), &err)) == RQ_OK) {
        FUZZ_HOLDS(rec.status == RQ_OK ? rec.data != NULL || rec.size == 0 : rec.data == NULL);
        FUZZ_HOLDS(rec.status != RQ_OK || rec.size == rec.entry.bytes);
        FUZZ_HOLDS(rec.status == RQ_OK || rec.reason[0] != '\0');
        FUZZ_HOLDS(++count <= rq_source_count(src));
        sum = sum * 31 + rec.entry.id;
        sum = sum * 31 + (rec.status == RQ_OK ? rq_xxh3(rec.data, rec.size) : 7);
    }
    *whole = s == RQ_END;
    FUZZ_HOLDS(!*whole || count == rq_source_count(src));
    return sum;
}

static void check_source(const char *path, unsigned choice)
{
    rq_source_opts opts;
    rq_source *src = NULL;
    rq_err err = {0};
    rq_source_opts_default(&opts);
    opts.max_member_bytes = 1 << 20;
    opts.max_entries = 10000;
    opts.layout = (rq_layout)((choice >> 3) % RQ_LAYOUT_COUNT);
    opts.allow_truncated = (choice & TRUNCATED) != 0;
    const char *paths[] = {path};
    if (fuzz_status(rq_source_open(&src, paths, 1, &opts, &err), &err) == RQ_OK) {
        bool whole, again;
        check_catalogue(src);
        if (rq_source_layout(src) == RQ_LAYOUT_LIST) { /* of files on this disk */
            rq_source_close(&src);
            return;
        }
        const uint64_t first = drain(src, &whole);
        FUZZ_OK(rq_source_rewind(src, &err), &err);
        const uint64_t second = drain(src, &again);
        FUZZ_HOLDS(first == second && whole == again);
        if (whole)
            fuzz_accepted();
    }
    rq_source_close(&src);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > MAX_BYTES)
        return 0;
    size_t bytes = size - 1;
    uint8_t *tar = fuzz_copy(data + 1, bytes);
    if (data[0] & CHECKSUMS)
        fix_checksums(tar, bytes, 1);
    if (data[0] & COMPRESS) {
        uint8_t *small = compressed(tar, &bytes);
        free(tar);
        tar = small;
    }
    fuzz_file f = fuzz_file_make(tar, bytes);
    check_source(f.path, data[0]);
    fuzz_file_close(&f);
    free(tar);
    return 0;
}
