// SPDX-License-Identifier: Apache-2.0
// Index, seek table and shard files: the spans tile the file, and an index that lies is refused
// although its hashes are right.
#include "pack_fixture.h"

#include "common/bytes.h"
#include "common/hash.h"
#include "pack/index.h"
#include "pack/shard.h"

#include <zstd.h>

typedef struct shard_bytes {
    char *dir, *path;
    rq_buf data;
    size_t n;
    uint8_t *index, *table; // in data
} shard_bytes;

static int setup(void **state)
{
    static const uint64_t ids[] = {5, 0, 3, 1, 9};
    shard_bytes *s = calloc(1, sizeof *s);
    rq_manifest_shard info;
    s->dir = make_temp_dir();
    s->path = malloc(400);
    snprintf(s->path, 400, "%s/x.tar.zst", s->dir);
    s->n = sizeof ids / sizeof *ids;
    fixture_shard(s->path, ids, s->n, &info);
    read_all(s->path, &s->data);
    assert_int_equal(s->data.size, info.bytes);
    s->table = s->data.data + s->data.size - rq_table_frame_bytes(s->n);
    s->index = s->table - rq_index_frame_bytes(s->n);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    shard_bytes *s = *state;
    rm_tree(s->dir);
    free(s->dir);
    free(s->path);
    rq_buf_free(&s->data);
    free(s);
    return 0;
}

// Opens and loads; the status of the first that fails.
static rq_status load(const shard_bytes *s, rq_err *err)
{
    rq_shard shard;
    RQ_TRY(rq_shard_open(&shard, s->path, err));
    rq_index_entry *entries = rq_alloc(shard.count, sizeof *entries);
    const rq_status st = rq_shard_load(&shard, entries, err);
    rq_free(entries);
    rq_shard_close(&shard);
    return st;
}

// Table hash and index hash made right again, as a forger would.
static void reseal(shard_bytes *s)
{
    uint8_t *t = s->table - RQ_INDEX_TRAILER_BYTES;
    rq_put_le64(t + 16, rq_xxh3(s->table, rq_table_frame_bytes(s->n)));
    rq_put_le64(t + 24, rq_xxh3(s->index, rq_index_frame_bytes(s->n) - 8));
}

static void spans_tile_the_file(void **state)
{
    shard_bytes *s = *state;
    rq_shard shard;
    rq_index_entry e[5];
    assert_int_equal(rq_shard_open(&shard, s->path, NULL), RQ_OK);
    assert_int_equal(shard.count, 5);
    assert_int_equal(rq_shard_load(&shard, e, NULL), RQ_OK);
    uint64_t at = 0;
    for (int i = 0; i < 5; i++) {
        assert_true(e[i].offset == at);
        assert_true(e[i].hash == rq_xxh3(s->data.data + at, e[i].stored_bytes));
        at += e[i].stored_bytes;
    }
    assert_true(shard.tail.end_offset == at);
    at += shard.tail.end_bytes;
    assert_ptr_equal(s->data.data + at, s->index);
    assert_true(shard.tail.file_bytes == s->data.size);
    assert_int_equal(e[0].id, 5);
    assert_int_equal(e[4].id, 9);
    rq_shard_close(&shard);
}

// The seek table as the zstd seekable format 0.1.0 describes it.
static void seek_table_follows_its_standard(void **state)
{
    shard_bytes *s = *state;
    const uint8_t *t = s->table;
    assert_int_equal(rq_get_le32(t), 0x184D2A5E);
    assert_int_equal(rq_get_le32(t + 4), rq_table_frame_bytes(5) - 8);
    const uint8_t *footer = s->data.data + s->data.size - 9;
    assert_int_equal(rq_get_le32(footer), 7);
    assert_int_equal(footer[4], 0);
    assert_true(rq_get_le32(footer + 5) == 0x8F92EAB1);
    uint64_t compressed = 0;
    for (int i = 0; i < 7; i++)
        compressed += rq_get_le32(t + 8 + i * 8);
    assert_true(compressed + rq_table_frame_bytes(5) == s->data.size);
}

// A change at `at` of index or table with all hashes made right must be refused.
static void expect_lie(shard_bytes *s, uint8_t *at, const uint8_t *bytes, size_t n)
{
    uint8_t old[8];
    rq_err err = {0};
    memcpy(old, at, n);
    if (memcmp(old, bytes, n) == 0)
        return;
    memcpy(at, bytes, n);
    reseal(s);
    write_all(s->path, s->data.data, s->data.size);
    const rq_status st = load(s, &err);
    if (st == RQ_OK)
        fail_msg("a lie at byte %zu of the tail was believed", (size_t)(at - s->index));
    assert_true(rq_status_exit_code(st) == 4);
    assert_non_null(strstr(err.text, "x.tar.zst"));
    memcpy(at, old, n);
    reseal(s);
}

static void lie32(shard_bytes *s, uint8_t *at, uint32_t v)
{
    uint8_t b[4];
    rq_put_le32(b, v);
    expect_lie(s, at, b, 4);
}

static void header_lies_are_refused(void **state)
{
    shard_bytes *s = *state;
    for (int i = 0; i < RQ_INDEX_HEADER_BYTES; i += 4) {
        const uint32_t good = rq_get_le32(s->index + i);
        const uint32_t lies[] = {good + 1, good - 1, good ^ 0x80000000u, 0xFFFFFFFFu};
        for (int k = 0; k < 4; k++)
            lie32(s, s->index + i, lies[k]);
    }
}

static void entry_lies_are_refused(void **state)
{
    shard_bytes *s = *state;
    uint8_t *e = s->index + RQ_INDEX_HEADER_BYTES + 2 * RQ_INDEX_ENTRY_BYTES;
    lie32(s, e, rq_get_le32(e) + 1); // offset: a gap
    lie32(s, e, rq_get_le32(e) - 1); // overlap
    lie32(s, e + 4, 1);              // offset beyond 2^32
    lie32(s, e + 8, 0);              // stored size
    lie32(s, e + 8, rq_get_le32(e + 8) + 1);
    lie32(s, e + 8, 0xFFFFFFFFu);
    lie32(s, e + 12, 0xFFFFFE00u);               // raw size
    lie32(s, e + 12, rq_get_le32(e + 12) + 1);   // not a multiple of 512
    lie32(s, e + 12, rq_get_le32(e + 12) + 512); // the table says otherwise
    lie32(s, e + 32, 0x80000000u);               // label
    lie32(s, e + 32, RQ_MAX_CLASSES);
    lie32(s, e + 32, 0x7FFFFFFEu);
    lie32(s, e + 36, 0); // width
    lie32(s, e + 36, 65536);
    lie32(s, e + 40, 0);                            // height
    lie32(s, e + 44, rq_get_le32(e + 44) & ~0xFFu); // encoding 0
    lie32(s, e + 44, (rq_get_le32(e + 44) & ~0xFFu) | 6);
    lie32(s, e + 44, rq_get_le32(e + 44) | 0x0200u);  // ppm pixels that are to be turned
    lie32(s, e + 44, rq_get_le32(e + 44) | 0x1000u);  // unknown flag
    lie32(s, e + 44, rq_get_le32(e + 44) | 0x10000u); // reserved
    lie32(s, e + 48, 0);                              // image place
    lie32(s, e + 48, 0xFFFFFFFFu);
    lie32(s, e + 52, 0);
    lie32(s, e + 52, 0xFFFFFFFFu);
    lie32(s, e + 56, 0); // mask place
    lie32(s, e + 56, 0xFFFFFFFFu);
    lie32(s, e + 60, 0);
    lie32(s, e + 60, 0xFFFFFFFFu);
    uint8_t *plain = e - RQ_INDEX_ENTRY_BYTES * 2; // id 5 has no mask
    lie32(s, plain + 60, 10);
    lie32(s, plain + 44, rq_get_le32(plain + 44) | 0x0100u);
}

static void table_lies_are_refused(void **state)
{
    shard_bytes *s = *state;
    // All of it but the footer, whose frame count decides where everything else lies.
    const size_t n = rq_table_frame_bytes(s->n) - RQ_TABLE_FOOTER_BYTES;
    for (size_t i = 0; i + 4 <= n; i += 4)
        lie32(s, s->table + i, rq_get_le32(s->table + i) + 1);
}

static void counts_that_lie_are_refused(void **state)
{
    shard_bytes *s = *state;
    uint8_t *footer = s->data.data + s->data.size - RQ_TABLE_FOOTER_BYTES;
    const uint32_t lies[] = {0, 1, 2, 3, 6, 8, 9, 1000, 1u << 24, 0x08000000u, 0xFFFFFFFFu};
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++)
        lie32(s, footer, lies[i]);
}

// The greatest label and end frame are taken, one more is not, in tails without any other
// fault.
static void limits_of_labels_and_the_end_frame(void **state)
{
    const struct {
        int32_t label;
        uint32_t end_bytes;
        rq_status expected;
    } cases[] = {{RQ_MAX_CLASSES - 1, RQ_MAX_END_BYTES, RQ_OK},
                 {RQ_MAX_CLASSES, RQ_MAX_END_BYTES, RQ_BAD_FORMAT},
                 {-1, RQ_MAX_END_BYTES + 1, RQ_BAD_FORMAT},
                 {0, 1u << 30, RQ_BAD_FORMAT}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const rq_index_entry e = {.stored_bytes = 100,
                                  .raw_bytes = 2048,
                                  .label = cases[i].label,
                                  .width = 1,
                                  .height = 1,
                                  .encoding = RQ_ENCODING_PPM,
                                  .image_offset = 512,
                                  .image_bytes = 12};
        rq_index_tail tail = {.end_offset = 100, .end_bytes = cases[i].end_bytes}, back;
        rq_index_entry read;
        rq_buf buf = {0};
        assert_int_equal(rq_index_encode(&e, 1, &tail, &buf, NULL), RQ_OK);
        assert_int_equal(rq_index_decode(buf.data, 1, tail.file_bytes, &read, &back, NULL),
                         cases[i].expected);
        rq_buf_free(&buf);
    }
}

static void newer_version_says_so(void **state)
{
    shard_bytes *s = *state;
    rq_err err = {0};
    rq_put_le32(s->index + 12, 2);
    reseal(s);
    write_all(s->path, s->data.data, s->data.size);
    assert_int_equal(load(s, &err), RQ_UNSUPPORTED);
    assert_non_null(strstr(err.text, "newer"));
}

static void other_files_are_no_shards(void **state)
{
    shard_bytes *s = *state;
    rq_err err = {0};
    rq_shard shard;
    assert_int_equal(rq_shard_open(&shard, path_in(s->dir, "nothing"), &err), RQ_NOT_FOUND);
    write_all(s->path, "", 0);
    assert_int_equal(load(s, NULL), RQ_TRUNCATED);
    write_all(s->path, "this is some text, not a shard", 30);
    assert_int_equal(load(s, NULL), RQ_BAD_FORMAT);
}

static void a_shard_needs_a_sample(void **state)
{
    shard_bytes *s = *state;
    rq_shard_writer *w;
    rq_manifest_shard info;
    assert_int_equal(rq_shard_writer_create(&w, path_in(s->dir, "empty.tar.zst"), NULL), RQ_OK);
    assert_int_equal(rq_shard_writer_finish(&w, &info, NULL), RQ_INVALID_ARG);
    assert_null(w);
    struct stat st;
    assert_int_equal(stat(path_in(s->dir, "empty.tar.zst"), &st), -1);
}

static void same_samples_same_bytes(void **state)
{
    shard_bytes *s = *state;
    static const uint64_t ids[] = {5, 0, 3, 1, 9};
    rq_manifest_shard info;
    rq_buf again = {0};
    fixture_shard(path_in(s->dir, "y.tar.zst"), ids, 5, &info);
    read_all(path_in(s->dir, "y.tar.zst"), &again);
    assert_int_equal(again.size, s->data.size);
    assert_memory_equal(again.data, s->data.data, again.size);
    rq_buf_free(&again);
}

// A shard written by the first version of this format must be readable forever. FORMAT.md shows
// its bytes; tests/oracle/pack_format.py compares the two.
static void the_golden_shard_is_read(void **state)
{
    shard_bytes *s = *state;
    static const uint64_t ids[] = {4, 6};
    const char *root = getenv("RQ_SOURCE");
    char path[600];
    rq_dataset *ds;
    rq_reader *r;
    rq_err err = {0};
    snprintf(path, sizeof path, "%s/tests/golden/shard-v1.tar.zst", root ? root : ".");
    if (rq_dataset_open(&ds, path, &err) != RQ_OK)
        fail_msg("%s", err.text);
    assert_int_equal(rq_reader_create(&r, ds, &err), RQ_OK);
    assert_int_equal(rq_dataset_count(ds), 2);
    for (uint64_t i = 0; i < 2; i++) {
        rq_sample sample;
        uint8_t image[1024];
        const size_t n = fixture_image(ids[i], image);
        if (rq_reader_get(r, i, &sample, &err) != RQ_OK)
            fail_msg("%s", err.text);
        assert_true(sample.id == ids[i]);
        assert_int_equal(sample.image_bytes, n);
        assert_memory_equal(sample.image, image, n);
        assert_int_equal(sample.mask != NULL, i == 1);
    }
    rq_reader_destroy(&r);
    rq_dataset_close(&ds);
    if (ZSTD_versionNumber() != 10504)
        return; // another zstd may compress to other bytes
    rq_manifest_shard info;
    rq_buf golden = {0}, now = {0};
    fixture_ids = false;
    fixture_shard(path_in(s->dir, "g.tar.zst"), ids, 2, &info);
    fixture_ids = true;
    read_all(path, &golden);
    read_all(path_in(s->dir, "g.tar.zst"), &now);
    assert_int_equal(now.size, golden.size);
    assert_memory_equal(now.data, golden.data, now.size);
    rq_buf_free(&golden);
    rq_buf_free(&now);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(spans_tile_the_file, setup, teardown),
        cmocka_unit_test_setup_teardown(seek_table_follows_its_standard, setup, teardown),
        cmocka_unit_test_setup_teardown(header_lies_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(entry_lies_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(table_lies_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(counts_that_lie_are_refused, setup, teardown),
        cmocka_unit_test(limits_of_labels_and_the_end_frame),
        cmocka_unit_test_setup_teardown(newer_version_says_so, setup, teardown),
        cmocka_unit_test_setup_teardown(other_files_are_no_shards, setup, teardown),
        cmocka_unit_test_setup_teardown(a_shard_needs_a_sample, setup, teardown),
        cmocka_unit_test_setup_teardown(same_samples_same_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(the_golden_shard_is_read, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
