// SPDX-License-Identifier: Apache-2.0
// Repair: what is whole is kept, in every byte; k damaged frames cost k samples; index, seek
// table and manifest come back from the frames alone; the original stays until then.
#include "verify_fixture.h"

#include "common/bytes.h"
#include "pack/index.h"
#include "pack/repair.h"

enum { N = 24 };

typedef struct scene {
    char *dir, *path; // one shard
    rq_buf data;
    rq_shard shard;
    rq_index_entry *entries;
} scene;

static int setup(void **state)
{
    scene *s = calloc(1, sizeof *s);
    s->dir = make_temp_dir();
    s->path = strdup(path_in(s->dir, "s.tar.zst"));
    s->entries = make_shard(s->path, 12000, &s->data, &s->shard);
    assert_in_range(s->shard.count, N, 80);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    scene *s = *state;
    rm_tree(s->dir);
    rq_shard_close(&s->shard);
    rq_free(s->entries);
    rq_buf_free(&s->data);
    free(s->dir);
    free(s->path);
    free(s);
    return 0;
}

static rq_status repair(const char *path, const char *out, rq_repair_result *r, heard *h,
                        rq_err *err)
{
    const rq_repair_opts o = {.out = out, .salvage = {.damage = hear, .cookie = h}};
    *h = (heard){0};
    *err = (rq_err){0};
    return rq_repair(path, &o, r, err);
}

static void repair_well(const char *path, const char *out, rq_repair_result *r, heard *h)
{
    rq_err err;
    if (repair(path, out, r, h, &err) != RQ_OK)
        fail_msg("%s", err.text);
}

static void same_file(const char *path, const rq_buf *data)
{
    rq_buf now = {0};
    read_all(path, &now);
    assert_int_equal(now.size, data->size);
    assert_memory_equal(now.data, data->data, now.size);
    rq_buf_free(&now);
}

static void intact_is_left_alone(void **state)
{
    scene *s = *state;
    rq_repair_result r;
    heard h;
    struct stat before, after;
    assert_int_equal(stat(s->path, &before), 0);
    repair_well(s->path, NULL, &r, &h);
    assert_true(r.was_intact);
    assert_int_equal(r.samples, s->shard.count);
    assert_int_equal(h.count, 0);
    assert_int_equal(stat(s->path, &after), 0);
    assert_true(before.st_ino == after.st_ino);
}

// With every frame intact the very bytes come back, whatever happened behind the frames.
static void lost_tails_come_back_byte_for_byte(void **state)
{
    scene *s = *state;
    rq_repair_result r;
    heard h;
    const size_t end = (size_t)s->shard.tail.end_offset;
    const size_t frames = end + s->shard.tail.end_bytes;
    const size_t cuts[] = {
        end,          end + 5,          frames,           frames + 1,
        frames + 100, s->data.size - 9, s->data.size - 1, s->data.size - 300};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        write_all(s->path, s->data.data, cuts[i]);
        repair_well(s->path, NULL, &r, &h);
        assert_int_equal(r.samples, s->shard.count);
        assert_true(h.count > 0);
        same_file(s->path, &s->data);
    }
    // Noise instead of a tail, and noise behind a good one.
    uint8_t *x = malloc(s->data.size + 5000);
    memcpy(x, s->data.data, s->data.size);
    for (size_t i = 0; i < 5000; i++)
        x[s->data.size + i] = fixture_byte(3, i);
    write_all(s->path, x, s->data.size + 5000);
    repair_well(s->path, NULL, &r, &h);
    same_file(s->path, &s->data);
    for (size_t i = frames; i < s->data.size; i++)
        x[i] = fixture_byte(9, i);
    write_all(s->path, x, s->data.size);
    repair_well(s->path, NULL, &r, &h);
    assert_int_equal(r.lost, 0);
    same_file(s->path, &s->data);
    free(x);
}

// Every byte of the tail, changed: nothing is lost, and the file is as before.
static void any_changed_byte_behind_the_frames_is_mended(void **state)
{
    scene *s = *state;
    rq_repair_result r;
    heard h;
    const size_t frames = (size_t)s->shard.tail.end_offset;
    for (size_t i = frames; i < s->data.size; i += 7) {
        s->data.data[i] ^= 0x55;
        write_all(s->path, s->data.data, s->data.size);
        s->data.data[i] ^= 0x55;
        repair_well(s->path, NULL, &r, &h);
        assert_false(r.was_intact);
        assert_int_equal(r.samples, s->shard.count);
        same_file(s->path, &s->data);
    }
}

// The entries of the repaired shard are those of the intact frames, but for the place.
static void check_survivors(const scene *s, const char *path, const bool *hurt)
{
    rq_shard now;
    rq_err err = {0};
    if (rq_shard_open(&now, path, &err) != RQ_OK)
        fail_msg("%s", err.text);
    rq_index_entry *entries = rq_alloc(now.count, sizeof *entries);
    assert_int_equal(rq_shard_load(&now, entries, NULL), RQ_OK);
    size_t k = 0;
    uint64_t at = 0;
    for (size_t i = 0; i < s->shard.count; i++) {
        if (hurt[i])
            continue;
        rq_index_entry expected = s->entries[i];
        assert_true(k < now.count);
        expected.offset = at;
        at += expected.stored_bytes;
        assert_memory_equal(&expected, &entries[k], sizeof expected);
        k++;
    }
    assert_int_equal(k, now.count);
    rq_free(entries);
    rq_shard_close(&now);
    const rq_verify_opts o = {.deep = true, .threads = 1};
    rq_verify_result v;
    assert_int_equal(rq_verify(path, &o, &v, NULL), RQ_OK);
}

// A few frames hurt in many ways, with the index and without: exactly those are lost.
static void k_damaged_frames_lose_k_samples(void **state)
{
    scene *s = *state;
    for (unsigned round = 0; round < 60; round++) {
        bool hurt[80] = {false};
        uint64_t k = 0;
        rq_repair_result r;
        heard h;
        uint8_t *x = malloc(s->data.size);
        memcpy(x, s->data.data, s->data.size);
        for (size_t i = 0; i < s->shard.count; i++) {
            const rq_index_entry *e = &s->entries[i];
            if ((i * 7 + round * 3) % 11 > 2)
                continue;
            hurt[i] = true;
            k++;
            const size_t at = (size_t)e->offset + (round * 13 + i * 5) % e->stored_bytes;
            if (round % 3 == 0)
                x[at] ^= (uint8_t)(1 << i % 8);
            else if (round % 3 == 1)
                memset(x + e->offset, 0, e->stored_bytes); // a sector that is gone
            else
                x[e->offset + 5] ^= 0xFF; // the header: its size is wrong
        }
        const bool index = round % 2 == 0;
        const size_t size = index ? s->data.size : (size_t)s->shard.tail.end_offset;
        write_all(s->path, x, size);
        char *out = path_in(s->dir, "mended.tar.zst");
        unlink(out);
        repair_well(s->path, out, &r, &h);
        assert_int_equal(r.samples, s->shard.count - k);
        assert_int_equal(r.lost_known, index);
        if (index)
            assert_int_equal(r.lost, k);
        assert_true(h.count > 0);
        check_survivors(s, out, hurt);
        // The original is as it was.
        rq_buf now = {0};
        read_all(s->path, &now);
        assert_int_equal(now.size, size);
        assert_memory_equal(now.data, x, size);
        rq_buf_free(&now);
        free(x);
    }
}

// Bytes missing or doubled in the middle: everything behind is found again.
static void shifted_frames_are_found(void **state)
{
    scene *s = *state;
    uint8_t *x = malloc(s->data.size + 100);
    for (size_t i = 3; i < 20; i += 4) {
        bool hurt[80] = {false};
        rq_repair_result r;
        heard h;
        const rq_index_entry *e = &s->entries[i];
        const size_t at = (size_t)e->offset + 20, gone = e->stored_bytes / 2;
        hurt[i] = true;
        memcpy(x, s->data.data, at);
        memcpy(x + at, s->data.data + at + gone, s->data.size - at - gone);
        write_all(s->path, x, s->data.size - gone);
        repair_well(s->path, NULL, &r, &h);
        assert_int_equal(r.lost, 1);
        assert_true(r.lost_known); // the seek table still counts
        check_survivors(s, s->path, hurt);
        hurt[i] = false; // noise between two frames hurts none
        memcpy(x, s->data.data, (size_t)e->offset);
        memset(x + e->offset, 0x28, 100);
        memcpy(x + e->offset + 100, s->data.data + e->offset, s->data.size - (size_t)e->offset);
        write_all(s->path, x, s->data.size + 100);
        repair_well(s->path, NULL, &r, &h);
        assert_int_equal(r.lost, 0);
        check_survivors(s, s->path, hurt);
        same_file(s->path, &s->data);
    }
    free(x);
}

static void first_writers_shards_get_ids(void **state)
{
    scene *s = *state;
    rq_manifest_shard info;
    rq_repair_result r;
    heard h;
    static const uint64_t ids[] = {0, 1, 2, 3};
    fixture_ids = false;
    fixture_shard(s->path, ids, 4, &info);
    fixture_ids = true;
    rq_buf whole = {0};
    read_all(s->path, &whole);
    assert_int_equal(truncate(s->path, (off_t)info.bytes - 60), 0);
    repair_well(s->path, NULL, &r, &h);
    assert_int_equal(r.guessed, 4);
    same_file(s->path, &whole); // numbered in order, as they were
    rq_buf_free(&whole);
}

static void nothing_readable_is_an_error_and_changes_nothing(void **state)
{
    scene *s = *state;
    rq_repair_result r;
    rq_err err;
    heard h;
    const char *texts[] = {"", "x", "no shard at all, but longer than any footer is"};
    for (size_t i = 0; i < 3; i++) {
        rq_buf text = {(uint8_t *)(uintptr_t)texts[i], strlen(texts[i]), 0};
        write_all(s->path, texts[i], strlen(texts[i]));
        assert_int_equal(repair(s->path, NULL, &r, &h, &err), RQ_NOT_FOUND);
        same_file(s->path, &text);
    }
    assert_int_equal(repair(path_in(s->dir, "none"), NULL, &r, &h, &err), RQ_NOT_FOUND);
    assert_int_equal(repair(s->dir, NULL, &r, &h, &err), RQ_NOT_FOUND); // s.tar.zst is no name
    // An output that exists is not overwritten.
    write_all(s->path, s->data.data, s->data.size);
    write_all(path_in(s->dir, "mine"), "mine", 4);
    assert_int_equal(repair(s->path, path_in(s->dir, "mine"), &r, &h, &err), RQ_INVALID_ARG);
}

// A file of nothing but beginnings of frames: an end in reasonable time.
static void false_beginnings_come_to_an_end(void **state)
{
    scene *s = *state;
    rq_repair_result r;
    rq_err err;
    heard h;
    enum { BYTES = 4 << 20 };
    uint8_t *x = malloc(BYTES);
    // Header of 9 bytes, then blocks of one byte each: every beginning walks the whole file.
    static const uint8_t begin[] = {0x28, 0xB5, 0x2F, 0xFD, 0xA4, 0, 0, 0, 1};
    for (size_t i = 0; i < BYTES; i++)
        x[i] = i % 4096 < sizeof begin ? begin[i % 4096] : 0;
    write_all(s->path, x, BYTES);
    const rq_status st = repair(s->path, NULL, &r, &h, &err);
    assert_true(st == RQ_NOT_FOUND || st == RQ_LIMIT);
    free(x);
}

// The same with blocks of two megabytes, each ending where another can begin: every beginning
// leads far away, and the walk comes back to the next one.
static void false_beginnings_of_long_blocks_come_to_an_end(void **state)
{
    scene *s = *state;
    rq_repair_result r;
    rq_err err;
    heard h;
    enum { BYTES = 12 << 20, BLOCK = 2097141 }; // BLOCK % 12 == 9
    static const uint8_t begin[12] = {0x28,
                                      0xB5,
                                      0x2F,
                                      0xFD,
                                      0xA4,
                                      0,
                                      0,
                                      0,
                                      1,
                                      BLOCK << 3 & 255,
                                      BLOCK >> 5 & 255,
                                      BLOCK >> 13 & 255};
    uint8_t *x = malloc(BYTES);
    for (size_t i = 0; i < BYTES; i++)
        x[i] = begin[i % sizeof begin];
    write_all(s->path, x, BYTES);
    assert_int_equal(repair(s->path, NULL, &r, &h, &err), RQ_LIMIT);
    free(x);
}

// Cut off between two frames nothing is unreadable, and yet samples are gone.
static void a_cut_between_frames_is_a_loss(void **state)
{
    scene *s = *state;
    rq_repair_result r;
    heard h;
    write_all(s->path, s->data.data, (size_t)s->entries[N / 2].offset);
    repair_well(s->path, NULL, &r, &h);
    assert_int_equal(r.samples, N / 2);
    assert_false(r.lost_known);
    assert_int_equal(r.lost, 1);
    assert_int_equal(h.count, 2); // no index; cut off
    repair_well(s->path, NULL, &r, &h);
    assert_true(r.was_intact);
}

/* ---- datasets ---------------------------------------------------------------------------- */

static void verify_all(const char *dir, uint64_t samples)
{
    const rq_verify_opts o = {.deep = true, .threads = 1};
    rq_verify_result v;
    rq_err err = {0};
    if (rq_verify(dir, &o, &v, &err) != RQ_OK)
        fail_msg("%s", err.text);
    assert_int_equal(v.samples, samples);
}

static void a_lost_manifest_is_rebuilt(void **state)
{
    scene *s = *state;
    char dir[500];
    rq_repair_result r;
    heard h;
    rq_manifest before, after;
    snprintf(dir, sizeof dir, "%s/set", s->dir);
    assert_int_equal(mkdir(dir, 0777), 0);
    fixture_dataset(dir, 3, 9);
    assert_int_equal(rq_manifest_read(&before, dir, NULL, NULL), RQ_OK);
    for (int kind = 0; kind < 2; kind++) {
        if (kind == 0)
            assert_int_equal(unlink(path_in(dir, RQ_MANIFEST_FILE)), 0);
        else
            write_all(path_in(dir, RQ_MANIFEST_FILE), "damaged", 7);
        repair_well(dir, NULL, &r, &h);
        assert_true(r.manifest);
        assert_int_equal(r.samples, 27);
        assert_int_equal(r.rebuilt, 0);
        verify_all(dir, 27);
        assert_int_equal(rq_manifest_read(&after, dir, NULL, NULL), RQ_OK);
        assert_string_equal(after.name, before.name);
        assert_int_equal(after.masks, before.masks);
        assert_int_equal(after.encoding, before.encoding);
        assert_int_equal(after.n_classes, before.n_classes);
        for (size_t i = 0; i < after.n_classes; i++)
            assert_string_equal(after.classes[i], before.classes[i]);
        for (size_t i = 0; i < after.n_shards; i++)
            assert_string_equal(after.shards[i].sha256, before.shards[i].sha256);
        rq_manifest_free(&after);
    }
    rq_manifest_free(&before);
}

static void damage_in_a_dataset_is_written_into_its_manifest(void **state)
{
    scene *s = *state;
    char dir[500], out[500];
    rq_repair_result r;
    heard h;
    rq_manifest m;
    snprintf(dir, sizeof dir, "%s/set", s->dir);
    snprintf(out, sizeof out, "%s/out", s->dir);
    assert_int_equal(mkdir(dir, 0777), 0);
    fixture_dataset(dir, 4, 9);
    // A hurt frame in shard 1, a shard without tail, one that is gone.
    const int fd = open(path_in(dir, "data-000001.tar.zst"), O_RDWR);
    assert_int_equal(pwrite(fd, "???", 3, 100), 3);
    close(fd);
    struct stat st;
    char two[600];
    snprintf(two, sizeof two, "%s/data-000002.tar.zst", dir);
    assert_int_equal(stat(two, &st), 0);
    assert_int_equal(truncate(two, st.st_size - 200), 0);
    assert_int_equal(unlink(path_in(dir, "data-000003.tar.zst")), 0);
    // Into another folder first: the dataset stays as it is.
    repair_well(dir, out, &r, &h);
    assert_int_equal(r.samples, 26);
    assert_int_equal(r.lost, 10);
    assert_true(r.lost_known);
    assert_int_equal(r.rebuilt, 2);
    assert_int_equal(r.missing, 1);
    verify_all(out, 26);
    assert_int_equal(stat(two, &st), 0);
    const rq_verify_opts vo = {.threads = 1};
    rq_verify_result v;
    assert_int_equal(rq_verify(dir, &vo, &v, NULL), RQ_BAD_CHECKSUM);
    // Then in place.
    repair_well(dir, NULL, &r, &h);
    assert_int_equal(r.lost, 10);
    verify_all(dir, 26);
    assert_int_equal(rq_manifest_read(&m, dir, NULL, NULL), RQ_OK);
    assert_int_equal(m.lost, 10);
    assert_int_equal(m.samples, 26);
    assert_int_equal(m.n_shards, 3);
    rq_manifest_free(&m);
    rq_buf a = {0}, b = {0};
    read_all(path_in(dir, RQ_MANIFEST_FILE), &a);
    read_all(path_in(out, RQ_MANIFEST_FILE), &b);
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
    rq_buf_free(&a);
    rq_buf_free(&b);
    // Again: nothing is left to do.
    repair_well(dir, NULL, &r, &h);
    assert_true(r.was_intact);
    verify_all(dir, 26);
}

static uint64_t last_done, all_bytes;

static void watch(void *cookie, uint64_t done, uint64_t bytes)
{
    assert_true(done >= last_done && done <= bytes);
    assert_true(all_bytes == 0 || bytes == all_bytes);
    last_done = done;
    all_bytes = bytes;
}

// Progress grows over all shards, those that are rebuilt included.
static void progress_covers_the_dataset(void **state)
{
    scene *s = *state;
    char *dir = strdup(path_in(s->dir, "ds"));
    rq_repair_result r;
    rq_err err = {0};
    struct stat st;
    uint64_t bytes = 0;
    assert_int_equal(mkdir(dir, 0777), 0);
    fixture_dataset(dir, 3, 8);
    const char *files[] = {"data-000000.tar.zst", "data-000001.tar.zst", "data-000002.tar.zst"};
    assert_int_equal(stat(path_in(dir, files[1]), &st), 0);
    assert_int_equal(truncate(path_in(dir, files[1]), st.st_size - 50), 0);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(stat(path_in(dir, files[i]), &st), 0);
        bytes += (uint64_t)st.st_size;
    }
    last_done = all_bytes = 0;
    const rq_repair_opts o = {.salvage = {.progress = watch}};
    if (rq_repair(dir, &o, &r, &err) != RQ_OK)
        fail_msg("%s", err.text);
    assert_int_equal(r.rebuilt, 1);
    assert_true(all_bytes == bytes && last_done == bytes);
    free(dir);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(intact_is_left_alone),
        T(lost_tails_come_back_byte_for_byte),
        T(any_changed_byte_behind_the_frames_is_mended),
        T(k_damaged_frames_lose_k_samples),
        T(shifted_frames_are_found),
        T(first_writers_shards_get_ids),
        T(nothing_readable_is_an_error_and_changes_nothing),
        T(false_beginnings_come_to_an_end),
        T(false_beginnings_of_long_blocks_come_to_an_end),
        T(a_cut_between_frames_is_a_loss),
        T(progress_covers_the_dataset),
        T(a_lost_manifest_is_rebuilt),
        T(damage_in_a_dataset_is_written_into_its_manifest),
    };
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
