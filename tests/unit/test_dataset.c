// SPDX-License-Identifier: Apache-2.0
// The dataset reader: places, ids, labels, damage that stays local, shared use by threads, and
// manifests that lie.
#include "pack_fixture.h"

#include "common/bytes.h"
#include "common/pool.h"

enum { SHARDS = 3, EACH = 7, COUNT = SHARDS * EACH };

static int setup(void **state)
{
    char *dir = make_temp_dir();
    fixture_dataset(dir, SHARDS, EACH);
    *state = dir;
    return 0;
}

static int teardown(void **state)
{
    rm_tree(*state);
    free(*state);
    return 0;
}

static rq_dataset *open_good(const char *path)
{
    rq_dataset *ds;
    rq_err err = {0};
    if (rq_dataset_open(&ds, path, &err) != RQ_OK)
        fail_msg("%s", err.text);
    return ds;
}

static void check_sample(rq_reader *r, uint64_t place, uint64_t id)
{
    rq_sample s;
    rq_err err = {0};
    uint8_t image[1024];
    if (rq_reader_get(r, place, &s, &err) != RQ_OK)
        fail_msg("%s", err.text);
    const size_t n = fixture_image(id, image);
    assert_true(s.id == id && s.place == place);
    assert_int_equal(s.label, id % FIXTURE_CLASSES);
    assert_int_equal(s.image_bytes, n);
    assert_memory_equal(s.image, image, n);
    assert_int_equal(s.encoding, RQ_ENCODING_PPM);
    assert_int_equal(s.mask != NULL, id % 3 == 0);
}

static void places_ascend_by_id(void **state)
{
    rq_dataset *ds = open_good(*state);
    rq_reader *r;
    assert_int_equal(rq_reader_create(&r, ds, NULL), RQ_OK);
    assert_int_equal(rq_dataset_count(ds), COUNT);
    assert_int_equal(rq_dataset_shards(ds), SHARDS);
    assert_int_equal(rq_dataset_masks(ds), 7);
    for (uint64_t i = 0; i < COUNT; i++) {
        uint64_t place;
        int shard;
        assert_true(rq_dataset_entry(ds, i, &shard)->id == i);
        assert_int_equal(shard, i % SHARDS);
        assert_int_equal(rq_dataset_find(ds, i, &place, NULL), RQ_OK);
        assert_true(place == i);
        check_sample(r, i, i);
    }
    uint64_t place;
    assert_int_equal(rq_dataset_find(ds, COUNT, &place, NULL), RQ_NOT_FOUND);
    assert_null(rq_dataset_entry(ds, COUNT, NULL));
    rq_sample s;
    assert_int_equal(rq_reader_get(r, COUNT, &s, NULL), RQ_INVALID_ARG);
    rq_reader_destroy(&r);
    rq_dataset_close(&ds);
}

static void classes_come_from_the_manifest(void **state)
{
    rq_dataset *ds = open_good(*state);
    assert_int_equal(rq_dataset_classes(ds), FIXTURE_CLASSES);
    assert_string_equal(rq_dataset_class_name(ds, 2), "c2");
    assert_null(rq_dataset_class_name(ds, 3));
    assert_null(rq_dataset_class_name(ds, -1));
    assert_int_equal(strlen(rq_dataset_hash(ds)), 64);
    assert_true(rq_dataset_memory(ds) < COUNT * 64 + 4096);
    rq_dataset_close(&ds);
}

static void pictures_and_masks_decode(void **state)
{
    rq_dataset *ds = open_good(*state);
    rq_reader *r;
    rq_sample s;
    rq_image img = {0}, mask = {0};
    rq_err err = {0};
    assert_int_equal(rq_reader_create(&r, ds, NULL), RQ_OK);
    assert_int_equal(rq_reader_get(r, 3, &s, NULL), RQ_OK);
    assert_int_equal(rq_reader_decode(r, &s, &img, &err), RQ_OK);
    assert_int_equal(img.pixels, RQ_PIXELS_RGB);
    const int side = fixture_side(3);
    assert_int_equal(img.width, side);
    assert_int_equal(img.height, side + 1);
    for (int y = 0; y <= side; y++)
        for (int x = 0; x < side; x++)
            for (int c = 0; c < 3; c++)
                assert_int_equal(img.plane[c].data[(size_t)y * img.plane[c].stride + (size_t)x],
                                 fixture_byte(3, (size_t)((y * side + x) * 3 + c)));
    assert_int_equal(rq_reader_decode_mask(r, &s, &mask, &err), RQ_OK);
    assert_int_equal(mask.width, 2);
    assert_int_equal(mask.plane[0].data[1], 255);
    assert_int_equal(rq_reader_get(r, 4, &s, NULL), RQ_OK);
    assert_int_equal(rq_reader_decode_mask(r, &s, &mask, &err), RQ_NOT_FOUND);
    rq_image_free(&img);
    rq_image_free(&mask);
    rq_reader_destroy(&r);
    rq_dataset_close(&ds);
}

static void a_single_shard_is_a_dataset(void **state)
{
    rq_dataset *ds = open_good(path_in(*state, "data-000001.tar.zst"));
    rq_reader *r;
    assert_int_equal(rq_reader_create(&r, ds, NULL), RQ_OK);
    assert_int_equal(rq_dataset_count(ds), EACH);
    assert_int_equal(rq_dataset_classes(ds), 2); // its labels are all 1
    assert_null(rq_dataset_class_name(ds, 0));
    for (uint64_t i = 0; i < EACH; i++)
        check_sample(r, i, i * SHARDS + 1);
    rq_reader_destroy(&r);
    rq_dataset_close(&ds);
}

// k damaged frames lose exactly k samples.
static void damage_is_local(void **state)
{
    static const uint64_t hit[] = {0, 4, 5, 20};
    rq_dataset *ds = open_good(*state);
    rq_reader *r;
    for (size_t k = 0; k < 4; k++) {
        int shard;
        const rq_index_entry *e = rq_dataset_entry(ds, hit[k], &shard);
        const int fd = open(path_in(*state, rq_dataset_shard_name(ds, shard)), O_RDWR);
        uint8_t b;
        const off_t at = (off_t)(e->offset + e->stored_bytes / 2);
        assert_int_equal(pread(fd, &b, 1, at), 1);
        b ^= 0x40;
        assert_int_equal(pwrite(fd, &b, 1, at), 1);
        close(fd);
    }
    assert_int_equal(rq_reader_create(&r, ds, NULL), RQ_OK);
    for (uint64_t i = 0; i < COUNT; i++) {
        rq_sample s;
        rq_err err = {0};
        if (i != 0 && i != 4 && i != 5 && i != 20) {
            check_sample(r, i, i);
            continue;
        }
        char id[40];
        snprintf(id, sizeof id, "sample %d at byte", (int)i);
        assert_int_equal(rq_reader_get(r, i, &s, &err), RQ_BAD_CHECKSUM);
        assert_non_null(strstr(err.text, id));
        assert_non_null(strstr(err.text, "data-00000"));
        assert_non_null(strstr(err.text, "rq-pack verify"));
    }
    rq_reader_destroy(&r);
    rq_dataset_close(&ds);
}

// A file cut off while it is open gives an error, not a signal.
static void truncation_in_use_is_an_error(void **state)
{
    rq_dataset *ds = open_good(*state);
    rq_reader *r;
    rq_sample s;
    rq_err err = {0};
    assert_int_equal(rq_reader_create(&r, ds, NULL), RQ_OK);
    assert_int_equal(truncate(path_in(*state, "data-000000.tar.zst"), 100), 0);
    assert_int_equal(rq_reader_get(r, 0, &s, &err), RQ_TRUNCATED);
    check_sample(r, 1, 1);
    rq_reader_destroy(&r);
    rq_dataset_close(&ds);
}

typedef struct shared {
    const rq_dataset *ds;
    rq_reader *readers[3];
} shared;

static rq_status read_one(void *ctx, size_t index, int worker, rq_err *err)
{
    shared *s = ctx;
    rq_sample sample;
    uint8_t image[1024];
    const uint64_t id = index * 5 % COUNT;
    if (!s->readers[worker])
        RQ_TRY(rq_reader_create(&s->readers[worker], s->ds, err));
    RQ_TRY(rq_reader_get(s->readers[worker], id, &sample, err));
    if (sample.image_bytes != fixture_image(id, image) ||
        memcmp(sample.image, image, sample.image_bytes) != 0)
        return rq_fail(err, RQ_INTERNAL, "another sample's bytes");
    return RQ_OK;
}

static void threads_share_a_dataset(void **state)
{
    shared s = {.ds = open_good(*state)};
    rq_dataset *ds = (rq_dataset *)s.ds;
    rq_pool *pool;
    rq_err err = {0};
    assert_int_equal(rq_pool_create(&pool, 3, "test", &err), RQ_OK);
    if (rq_pool_for(pool, 2000, read_one, &s, &err) != RQ_OK)
        fail_msg("%s", err.text);
    rq_pool_destroy(&pool);
    for (int i = 0; i < 3; i++)
        rq_reader_destroy(&s.readers[i]);
    rq_dataset_close(&ds);
}

static void expect_open(const char *path, rq_status status, const char *words)
{
    rq_dataset *ds;
    rq_err err = {0};
    assert_int_equal(rq_dataset_open(&ds, path, &err), status);
    assert_null(ds);
    if (!strstr(err.text, words))
        fail_msg("'%s' does not say '%s'", err.text, words);
}

static void what_is_no_dataset_is_explained(void **state)
{
    expect_open(path_in(*state, "missing"), RQ_NOT_FOUND, "missing");
    assert_int_equal(unlink(path_in(*state, RQ_MANIFEST_FILE)), 0);
    expect_open(*state, RQ_NOT_FOUND, "did not finish");
}

static void missing_or_foreign_shards_are_named(void **state)
{
    rename(path_in(*state, "data-000002.tar.zst"), path_in(*state, "away"));
    expect_open(*state, RQ_NOT_FOUND, "data-000002.tar.zst");
    // Another, intact shard in its place: same size cannot be arranged, so by count.
    rq_manifest_shard info;
    const uint64_t ids[] = {2, 5};
    fixture_shard(path_in(*state, "data-000002.tar.zst"), ids, 2, &info);
    expect_open(*state, RQ_TRUNCATED, "data-000002.tar.zst");
}

static void two_shards_with_one_id_are_refused(void **state)
{
    rq_manifest_shard infos[2];
    const uint64_t a[] = {1, 2}, b[] = {2, 4};
    fixture_shard(path_in(*state, "data-000000.tar.zst"), a, 2, &infos[0]);
    fixture_shard(path_in(*state, "data-000001.tar.zst"), b, 2, &infos[1]);
    fixture_manifest(*state, infos, 2, 0);
    expect_open(*state, RQ_BAD_FORMAT, "both hold sample 2");
}

static void sparse_ids_are_sorted_too(void **state)
{
    rq_manifest_shard info;
    const uint64_t ids[] = {3000000001, 7, UINT64_MAX - 1, 4},
                   sorted[] = {4, 7, 3000000001, UINT64_MAX - 1};
    uint64_t place;
    fixture_shard(path_in(*state, "s.tar.zst"), ids, 4, &info);
    rq_dataset *ds = open_good(path_in(*state, "s.tar.zst"));
    for (uint64_t i = 0; i < 4; i++) {
        assert_true(rq_dataset_entry(ds, i, NULL)->id == sorted[i]);
        assert_int_equal(rq_dataset_find(ds, sorted[i], &place, NULL), RQ_OK);
        assert_true(place == i);
    }
    rq_dataset_close(&ds);
}

static void every_changed_bit_of_the_manifest_is_found(void **state)
{
    rq_buf text = {0};
    read_all(path_in(*state, RQ_MANIFEST_FILE), &text);
    for (size_t bit = 0; bit < text.size * 8; bit++) {
        rq_manifest m;
        text.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (rq_manifest_parse(&m, (const char *)text.data, text.size, NULL) == RQ_OK)
            fail_msg("bit %zu of byte %zu is not protected", bit % 8, bit / 8);
        text.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t n = 0; n < text.size; n++) {
        rq_manifest m;
        assert_int_not_equal(rq_manifest_parse(&m, (const char *)text.data, n, NULL), RQ_OK);
    }
    rq_buf_free(&text);
}

// Replaces `from` by `to` and seals the text again, as a forger would.
static rq_status parse_forged(const rq_buf *text, const char *from, const char *to)
{
    static const char seal[] = ",\n  \"xxh3\": \"";
    char *copy = calloc(1, text->size + 4096), *out = calloc(1, text->size + 8192);
    memcpy(copy, text->data, text->size);
    *strstr(copy, seal) = 0;
    char *at = strstr(copy, from);
    if (!at)
        fail_msg("the manifest does not contain %s", from);
    const int n = sprintf(out, "%.*s%s%s", (int)(at - copy), copy, to, at + strlen(from));
    sprintf(out + n, "%s%016llx\"\n}\n", seal, (unsigned long long)rq_xxh3(out, (size_t)n));
    rq_manifest m;
    const rq_status st = rq_manifest_parse(&m, out, strlen(out), NULL);
    if (st == RQ_OK)
        rq_manifest_free(&m);
    free(copy);
    free(out);
    return st;
}

static void manifests_that_lie_are_refused(void **state)
{
    static const char *const lies[][2] = {
        {"\"data-000001.tar.zst\"", "\"../../etc/passwd\""},
        {"\"data-000001.tar.zst\"", "\"/etc/passwd\""},
        {"\"data-000001.tar.zst\"", "\"data-000000.tar.zst\""},
        {"\"name\": \"data\"", "\"name\": \"../data\""},
        {"\"name\": \"data\"", "\"name\": \"\""},
        {"\"name\": \"data\"", "\"name\": 7"},
        {"\"samples\": 21", "\"samples\": 22"},
        {"\"samples\": 21", "\"samples\": -1"},
        {"\"samples\": 21", "\"samples\": 21.5"},
        {"\"samples\": 21", "\"samples\": 1e300"},
        {"\"samples\": 7", "\"samples\": 0"},
        {"\"samples\": 7", "\"samples\": 16777217"},
        {"\"samples\": 7", "\"samples\": \"7\""},
        {"\"masks\": 7", "\"masks\": 22"},
        {"\"version\": 1", "\"version\": 0"},
        {"\"format\": \"reliquary-dataset\"", "\"format\": \"other\""},
        {"\"encoding\": \"ppm\"", "\"encoding\": \"bmp\""},
        {"\"classes\": [\"c0\", \"c1\", \"c2\"]", "\"classes\": [1, 2]"},
        {"\"classes\": [\"c0\", \"c1\", \"c2\"]", "\"classes\": {}"},
        {"\"verdicts\": {", "\"verdict\": {"},
        {"\"index\": \"", "\"index\": \"z"},
        {"\"sha256\": \"", "\"sha256\": \"0"},
        {"\"level\": 3", "\"level\": 3, \"level\": 4"},
        {"{", "{{"},
    };
    rq_buf text = {0};
    read_all(path_in(*state, RQ_MANIFEST_FILE), &text);
    assert_int_equal(parse_forged(&text, "a test", "a test"), RQ_OK);
    assert_int_equal(parse_forged(&text, "\"version\": 1", "\"version\": 2"), RQ_UNSUPPORTED);
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++)
        if (parse_forged(&text, lies[i][0], lies[i][1]) == RQ_OK)
            fail_msg("%s for %s was believed", lies[i][1], lies[i][0]);
    rq_buf_free(&text);
}

// Every allocation that fails on the way gives OOM, no crash and (under asan) no leak.
static void opening_survives_any_failed_allocation(void **state)
{
    for (long n = 1;; n++) {
        rq_dataset *ds;
        rq_reader *r = NULL;
        rq_sample s;
        rq_err err = {0};
        rq_mem_fail_nth(n);
        rq_status st = rq_dataset_open(&ds, *state, &err);
        if (st == RQ_OK)
            st = rq_reader_create(&r, ds, &err);
        if (st == RQ_OK)
            st = rq_reader_get(r, 0, &s, &err);
        rq_mem_fail_nth(0);
        rq_reader_destroy(&r);
        rq_dataset_close(&ds);
        if (st == RQ_OK)
            return;
        assert_int_equal(st, RQ_OOM);
        assert_true(n < 1000);
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(places_ascend_by_id),
        T(classes_come_from_the_manifest),
        T(pictures_and_masks_decode),
        T(a_single_shard_is_a_dataset),
        T(damage_is_local),
        T(truncation_in_use_is_an_error),
        T(threads_share_a_dataset),
        T(what_is_no_dataset_is_explained),
        T(missing_or_foreign_shards_are_named),
        T(two_shards_with_one_id_are_refused),
        T(sparse_ids_are_sorted_too),
        T(every_changed_bit_of_the_manifest_is_found),
        T(manifests_that_lie_are_refused),
        T(opening_survives_any_failed_allocation),
    };
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
