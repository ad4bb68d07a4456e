// SPDX-License-Identifier: Apache-2.0
// Verification: every single flipped bit, every truncation and every small edit of a shard is
// found; k damaged frames are reported as k samples and nothing else.
#include "verify_fixture.h"

#include "pack/index.h"

static int setup(void **state)
{
    *state = make_temp_dir();
    return 0;
}

static int teardown(void **state)
{
    rm_tree(*state);
    free(*state);
    return 0;
}

static void intact_is_ok_at_any_thread_count(void **state)
{
    rq_verify_result r;
    heard h;
    fixture_dataset(*state, 3, 11);
    for (int threads = 1; threads <= 3; threads++) {
        assert_int_equal(verify(*state, false, threads, &r, &h), RQ_OK);
        assert_int_equal(r.samples, 33);
        assert_int_equal(r.shards, 3);
        struct stat st;
        uint64_t bytes = 0;
        for (size_t i = 0; i < 3; i++) {
            char file[64];
            rq_shard_file_name(file, sizeof file, "data", i);
            assert_int_equal(stat(path_in(*state, file), &st), 0);
            bytes += (uint64_t)st.st_size;
        }
        assert_true(r.bytes == bytes); // every byte was looked at
        assert_int_equal(verify(*state, true, threads, &r, &h), RQ_OK);
    }
}

static const uint64_t few[] = {1, 3, 2, 9, 7, 12, 5, 4, 30, 8, 11, 10};
enum { N_FEW = sizeof few / sizeof *few };

static void every_flipped_bit_is_found_and_named(void **state)
{
    flip_every_bit(*state, 16 << 10);
}

static void expect_found(const char *path, int fd, const void *data, size_t n)
{
    rq_verify_result r;
    heard h;
    assert_int_equal(pwrite(fd, data, n, 0), n);
    assert_int_equal(ftruncate(fd, (off_t)n), 0);
    assert_int_not_equal(verify(path, false, 1, &r, &h), RQ_OK);
    assert_non_null(strstr(h.first, "s.tar.zst"));
}

static void every_truncation_and_edit_is_found(void **state)
{
    char *path = path_in(*state, "s.tar.zst");
    rq_manifest_shard info;
    rq_buf data = {0};
    fixture_shard(path, few, N_FEW, &info);
    read_all(path, &data);
    uint8_t *x = malloc(data.size + 1);
    // One descriptor, never closed in between: closing a file cut to nothing is slow.
    const int fd = open(path, O_RDWR);
    for (size_t i = 0; i < data.size; i++) {
        expect_found(path, fd, data.data, i); // cut off
        memcpy(x, data.data, i);              // deleted
        memcpy(x + i, data.data + i + 1, data.size - i - 1);
        expect_found(path, fd, x, data.size - 1);
        memcpy(x + i, data.data + i, 1); // doubled
        memcpy(x + i + 1, data.data + i, data.size - i);
        expect_found(path, fd, x, data.size + 1);
        if (i + 1 == data.size || data.data[i] == data.data[i + 1])
            continue;
        memcpy(x, data.data, data.size); // swapped with its neighbour
        x[i] = data.data[i + 1], x[i + 1] = data.data[i];
        expect_found(path, fd, x, data.size);
    }
    close(fd);
    free(x);
    rq_buf_free(&data);
}

static void damaged_frames_are_counted_and_named(void **state)
{
    rq_verify_result r;
    heard h;
    rq_dataset *ds;
    fixture_dataset(*state, 2, 20);
    assert_int_equal(rq_dataset_open(&ds, *state, NULL), RQ_OK);
    for (uint64_t i = 3; i < 40; i += 9) { // 3 12 21 30 39
        int shard;
        const rq_index_entry *e = rq_dataset_entry(ds, i, &shard);
        const int fd = open(path_in(*state, rq_dataset_shard_name(ds, shard)), O_RDWR);
        assert_int_equal(pwrite(fd, "\xA5\x5A", 2, (off_t)(e->offset + e->stored_bytes - 2)),
                         2);
        close(fd);
    }
    rq_dataset_close(&ds);
    for (int threads = 1; threads <= 2; threads++) {
        assert_int_equal(verify(*state, threads == 2, threads, &r, &h), RQ_BAD_CHECKSUM);
        assert_int_equal(r.samples, 40);
        assert_int_equal(r.damaged_samples, 5);
        assert_int_equal(r.damaged_other, 0);
        assert_int_equal(h.count, 5);
        assert_non_null(strstr(h.first, "data-00000"));
        assert_non_null(strstr(h.first, "(c0/img_0000")); // the key could still be read
    }
}

static void other_shards_are_still_checked(void **state)
{
    rq_verify_result r;
    heard h;
    fixture_dataset(*state, 3, 5);
    assert_int_equal(truncate(path_in(*state, "data-000000.tar.zst"), 1000), 0);
    assert_int_equal(unlink(path_in(*state, "data-000001.tar.zst")), 0);
    assert_int_equal(verify(*state, false, 1, &r, &h), RQ_BAD_CHECKSUM);
    assert_int_equal(r.damaged_other, 2);
    assert_int_equal(r.samples, 5);
}

static void an_intact_foreign_shard_is_found(void **state)
{
    rq_verify_result r;
    heard h;
    rq_buf other = {0};
    fixture_dataset(*state, 2, 5);
    read_all(path_in(*state, "data-000000.tar.zst"), &other);
    write_all(path_in(*state, "data-000001.tar.zst"), other.data, other.size);
    assert_int_equal(verify(*state, false, 1, &r, &h), RQ_BAD_CHECKSUM);
    assert_non_null(strstr(h.first, "not the one"));
    rq_buf_free(&other);
}

static void ids_given_twice_are_found(void **state)
{
    rq_verify_result r;
    heard h;
    rq_manifest_shard infos[2];
    const uint64_t b[] = {4, 3};
    fixture_shard(path_in(*state, "data-000000.tar.zst"), few, 2, &infos[0]);
    fixture_shard(path_in(*state, "data-000001.tar.zst"), b, 2, &infos[1]);
    fixture_manifest(*state, infos, 2, 2);
    assert_int_equal(verify(*state, false, 1, &r, &h), RQ_BAD_CHECKSUM);
    assert_non_null(strstr(h.first, "both hold sample 3"));
}

/* A shard whose frame and hashes are right but whose picture is not what the index says. */
static void deep_decodes_pictures(void **state)
{
    char *path = path_in(*state, "s.tar.zst");
    rq_shard_writer *w;
    rq_manifest_shard info;
    rq_frame_coder c = {0};
    rq_buf frame = {0};
    rq_verify_result r;
    heard h;
    const char *image[] = {"P5\n2 2\n255\nabcd", "P5\n2 3\n255\nabcdef", "P5\n9 9\n255\nab"};
    for (int i = 0; i < 3; i++) {
        rq_index_entry e = {.width = 2, .height = 2, .encoding = RQ_ENCODING_PPM};
        const char meta[] = "{\"name\": \"x\", \"width\": 2, \"height\": 2}";
        rq_members m = {.key = "k",
                        .image = (const uint8_t *)image[i],
                        .image_bytes = strlen(image[i]),
                        .meta = meta,
                        .meta_bytes = sizeof meta - 1};
        assert_int_equal(rq_frame_encode(&c, 3, &m, &e, &frame, NULL), RQ_OK);
        assert_int_equal(rq_shard_writer_create(&w, path, NULL), RQ_OK);
        assert_int_equal(rq_shard_writer_append(w, &e, frame.data, NULL), RQ_OK);
        assert_int_equal(rq_shard_writer_finish(&w, &info, NULL), RQ_OK);
        assert_int_equal(verify(path, false, 1, &r, &h), RQ_OK);
        assert_int_equal(verify(path, true, 1, &r, &h), i == 0 ? RQ_OK : RQ_BAD_CHECKSUM);
        assert_int_equal(r.damaged_samples, i > 0);
    }
    rq_buf_free(&frame);
    rq_frame_coder_fini(&c);
}

/* An intact picture in an entry of another encoding: deep looks, and so does the reader. */
static void pictures_of_another_encoding_are_found(void **state)
{
    char *path = path_in(*state, "s.tar.zst");
    const char image[] = "P5\n2 2\n255\nabcd",
               meta[] = "{\"name\": \"x\", \"width\": 2, \"height\": 2}";
    const rq_encoding encodings[] = {RQ_ENCODING_PPM, RQ_ENCODING_JPEG, RQ_ENCODING_AVIF};
    rq_frame_coder c = {0};
    rq_buf frame = {0};
    for (int i = 0; i < 3; i++) {
        rq_index_entry e = {.width = 2, .height = 2, .encoding = (uint8_t)encodings[i]};
        const rq_members m = {.key = "k",
                              .image = (const uint8_t *)image,
                              .image_bytes = sizeof image - 1,
                              .meta = meta,
                              .meta_bytes = sizeof meta - 1};
        rq_shard_writer *w;
        rq_manifest_shard info;
        rq_verify_result r;
        heard h;
        assert_int_equal(rq_frame_encode(&c, 3, &m, &e, &frame, NULL), RQ_OK);
        assert_int_equal(rq_shard_writer_create(&w, path, NULL), RQ_OK);
        assert_int_equal(rq_shard_writer_append(w, &e, frame.data, NULL), RQ_OK);
        assert_int_equal(rq_shard_writer_finish(&w, &info, NULL), RQ_OK);
        assert_int_equal(verify(path, true, 1, &r, &h), i == 0 ? RQ_OK : RQ_BAD_CHECKSUM);
        assert_int_equal(r.damaged_samples, i > 0);
        rq_dataset *ds;
        rq_reader *reader;
        rq_sample s;
        rq_image picture = {0};
        assert_int_equal(rq_dataset_open(&ds, path, NULL), RQ_OK);
        assert_int_equal(rq_reader_create(&reader, ds, NULL), RQ_OK);
        assert_int_equal(rq_reader_get(reader, 0, &s, NULL), RQ_OK);
        assert_int_equal(rq_reader_decode(reader, &s, &picture, NULL),
                         i == 0 ? RQ_OK : RQ_BAD_FORMAT);
        rq_image_free(&picture);
        rq_reader_destroy(&reader);
        rq_dataset_close(&ds);
    }
    rq_buf_free(&frame);
    rq_frame_coder_fini(&c);
}

static volatile sig_atomic_t stop_now;

static void stop_soon(void *cookie, uint64_t done, uint64_t total, uint64_t bytes)
{
    stop_now = 1;
}

static void it_can_be_interrupted(void **state)
{
    rq_verify_result r;
    rq_err err = {0};
    fixture_dataset(*state, 3, 5);
    for (int threads = 1; threads <= 2; threads++) {
        const rq_verify_opts o = {
            .threads = threads, .progress = stop_soon, .cancel = &stop_now};
        stop_now = 0;
        assert_int_equal(rq_verify(*state, &o, &r, &err), RQ_CANCELLED);
        assert_true(r.samples < 15);
    }
}

/* KEY.json that says another id or size than the index, behind right hashes. */
static void deep_compares_meta(void **state)
{
    char *path = path_in(*state, "s.tar.zst");
    static const char *const metas[] = {
        "{\"name\": \"x\", \"id\": 7, \"width\": 2, \"height\": 2}",
        "{\"name\": \"x\", \"id\": 8, \"width\": 2, \"height\": 2}",
        "{\"name\": \"x\", \"id\": 7, \"width\": 3, \"height\": 2}",
        "{\"name\": \"x\", \"id\": 7, \"width\": 2, \"height\": 2, \"orientation\": 3}",
        "{\"name\": \"x\", \"id\": -1, \"width\": 2, \"height\": 2}",
        "{\"name\": \"x\", \"name_hex\": \"7\", \"width\": 2, \"height\": 2}",
        "{\"width\": 2, \"height\": 2}",
        "no JSON"};
    rq_frame_coder c = {0};
    rq_buf frame = {0};
    for (size_t i = 0; i < sizeof metas / sizeof *metas; i++) {
        rq_index_entry e = {.id = 7, .width = 2, .height = 2, .encoding = RQ_ENCODING_PPM};
        const rq_members m = {.key = "k",
                              .image = (const uint8_t *)"P5\n2 2\n255\nabcd",
                              .image_bytes = 15,
                              .meta = metas[i],
                              .meta_bytes = strlen(metas[i])};
        rq_shard_writer *w;
        rq_manifest_shard info;
        rq_verify_result r;
        heard h;
        assert_int_equal(rq_frame_encode(&c, 3, &m, &e, &frame, NULL), RQ_OK);
        assert_int_equal(rq_shard_writer_create(&w, path, NULL), RQ_OK);
        assert_int_equal(rq_shard_writer_append(w, &e, frame.data, NULL), RQ_OK);
        assert_int_equal(rq_shard_writer_finish(&w, &info, NULL), RQ_OK);
        assert_int_equal(verify(path, true, 1, &r, &h), i == 0 ? RQ_OK : RQ_BAD_CHECKSUM);
    }
    rq_buf_free(&frame);
    rq_frame_coder_fini(&c);
}

static void what_cannot_be_examined_is_an_error(void **state)
{
    rq_verify_result r;
    rq_err err = {0};
    const rq_verify_opts o = {.threads = 1};
    assert_int_equal(rq_verify(path_in(*state, "none"), &o, &r, &err), RQ_NOT_FOUND);
    err = (rq_err){0};
    assert_int_equal(rq_verify(*state, &o, &r, &err), RQ_NOT_FOUND);
    assert_non_null(strstr(err.text, "dataset.json"));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(intact_is_ok_at_any_thread_count),
        T(every_flipped_bit_is_found_and_named),
        T(every_truncation_and_edit_is_found),
        T(damaged_frames_are_counted_and_named),
        T(other_shards_are_still_checked),
        T(an_intact_foreign_shard_is_found),
        T(ids_given_twice_are_found),
        T(deep_decodes_pictures),
        T(pictures_of_another_encoding_are_found),
        T(it_can_be_interrupted),
        T(deep_compares_meta),
        T(what_cannot_be_examined_is_an_error),
    };
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
