// SPDX-License-Identifier: Apache-2.0
// The build, from folders of real files to datasets that are read back: bytes do not depend on
// threads, bad images are named and left out, nothing half made stands under a final name.
#include "pack_fixture.h"

#include "common/json.h"
#include "ingest/jpeg_encode.h"
#include "ingest/report.h"
#include "pack/build.h"
#include "pack/dct.h"
#include "pack/unpack.h"
#include "pack/verify.h"

typedef struct scene {
    char *dir;               /* everything */
    char src[400], out[400]; /* source and dataset */
    rq_build_result result;
    rq_err err;
} scene;

static int setup(void **state)
{
    scene *s = calloc(1, sizeof *s);
    s->dir = make_temp_dir();
    snprintf(s->src, sizeof s->src, "%s/src", s->dir);
    snprintf(s->out, sizeof s->out, "%s/out", s->dir);
    assert_int_equal(mkdir(s->src, 0777), 0);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    scene *s = *state;
    rm_tree(s->dir);
    free(s->dir);
    free(s);
    return 0;
}

static void put(const scene *s, const char *name, const void *data, size_t bytes)
{
    char path[800];
    snprintf(path, sizeof path, "%s/%s", s->src, name);
    char *slash = strrchr(path, '/');
    *slash = 0;
    assert_int_equal(rq_mkdirs(path, NULL), RQ_OK);
    *slash = '/';
    write_all(path, data, bytes);
}

static void pixels(uint8_t *rgb, int w, int h, unsigned seed)
{
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int c = 0; c < 3; c++)
                rgb[(y * w + x) * 3 + c] = (uint8_t)(x * 5 + y * 3 * (c + 1) + (int)seed * 37);
}

static void make_jpeg(rq_buf *out, int w, int h, unsigned seed)
{
    uint8_t rgb[64 * 64 * 3];
    rq_err err = {0};
    pixels(rgb, w, h, seed);
    if (rq_jpeg_write(rgb, w, h, 3, 90, out, &err) != RQ_OK)
        fail_msg("%s", err.text);
}

static void put_jpeg(const scene *s, const char *name, unsigned seed)
{
    rq_buf jpeg = {0};
    make_jpeg(&jpeg, 24 + (int)(seed % 9), 20, seed);
    put(s, name, jpeg.data, jpeg.size);
    rq_buf_free(&jpeg);
}

static void put_png(const scene *s, const char *name, unsigned seed)
{
    uint8_t rgb[16 * 12 * 3];
    rq_buf png = {0};
    pixels(rgb, 16, 12, seed);
    assert_int_equal(rq_png_encode(rgb, 16, 12, 3, &png, NULL), RQ_OK);
    put(s, name, png.data, png.size);
    rq_buf_free(&png);
}

static void put_three_classes(const scene *s, unsigned each)
{
    for (unsigned i = 0; i < 3 * each; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s/img_%03u.jpg",
                 i % 3 == 0   ? "ant"
                 : i % 3 == 1 ? "bee"
                              : "cat",
                 i);
        put_jpeg(s, name, i);
    }
}

static rq_build_opts options(void)
{
    rq_build_opts o;
    rq_build_opts_default(&o);
    o.encode.encoding = RQ_ENCODING_JPEG;
    o.threads = 2;
    return o;
}

static rq_status build(scene *s, const rq_build_opts *o, const char *mask_dir)
{
    rq_source *src = NULL;
    rq_masks *masks = NULL;
    rq_source_opts so;
    const char *path = s->src;
    rq_source_opts_default(&so);
    s->err = (rq_err){0};
    rq_status st = rq_source_open(&src, &path, 1, &so, &s->err);
    if (st == RQ_OK && mask_dir)
        st = rq_masks_open(&masks, mask_dir, &s->err);
    if (st == RQ_OK)
        st = rq_build(s->out, src, masks, o, &s->result, &s->err);
    rq_masks_close(&masks);
    rq_source_close(&src);
    return st;
}

static void build_well(scene *s, const rq_build_opts *o, const char *mask_dir)
{
    if (build(s, o, mask_dir) != RQ_OK)
        fail_msg("%s", s->err.text);
}

static bool there(const char *dir, const char *name)
{
    struct stat st;
    return stat(path_in(dir, name), &st) == 0;
}

static void verify_deep(const char *path)
{
    const rq_verify_opts o = {.deep = true, .threads = 1};
    rq_verify_result r;
    rq_err err = {0};
    if (rq_verify(path, &o, &r, &err) != RQ_OK)
        fail_msg("%s", err.text);
}

static void same_bytes_at_any_thread_count(void **state)
{
    scene *s = *state;
    char first[8][RQ_SHA256_HEX], manifest[RQ_SHA256_HEX];
    put_three_classes(s, 20);
    put_png(s, "ant/extra.png", 7);
    put(s, "bee/broken.jpg", "no picture", 10);
    rq_build_opts o = options();
    o.shard_bytes = 20000;
    for (int threads = 1; threads <= 3; threads++) {
        rq_manifest m;
        char hash[RQ_SHA256_HEX];
        o.threads = threads;
        build_well(s, &o, NULL);
        assert_int_equal(rq_manifest_read(&m, s->out, hash, NULL), RQ_OK);
        assert_string_equal(hash, s->result.manifest_sha256);
        assert_in_range(m.n_shards, 2, 8);
        for (size_t i = 0; i < m.n_shards; i++) {
            if (threads == 1)
                memcpy(first[i], m.shards[i].sha256, sizeof first[i]);
            assert_string_equal(first[i], m.shards[i].sha256);
        }
        if (threads == 1)
            memcpy(manifest, hash, sizeof manifest);
        assert_string_equal(manifest, hash);
        rq_manifest_free(&m);
        verify_deep(s->out);
        rm_tree(s->out);
    }
}

static void jpeg_keeps_the_source_bytes(void **state)
{
    scene *s = *state;
    rq_build_opts o = options();
    rq_dataset *ds;
    rq_reader *r;
    put_three_classes(s, 4);
    assert_int_equal(mkdir(path_in(s->src, "bat"), 0777), 0); // empty: keeps its label
    build_well(s, &o, NULL);
    assert_int_equal(s->result.counts.samples, 12);
    assert_int_equal(s->result.counts.verdicts[RQ_VERDICT_OK], 12);
    assert_int_equal(rq_dataset_open(&ds, s->out, NULL), RQ_OK);
    assert_int_equal(rq_dataset_classes(ds), 4);
    assert_string_equal(rq_dataset_class_name(ds, 1), "bat");
    assert_int_equal(rq_reader_create(&r, ds, NULL), RQ_OK);
    for (uint64_t i = 0; i < 12; i++) {
        rq_sample sample;
        rq_buf file = {0};
        char path[900];
        assert_int_equal(rq_reader_get(r, i, &sample, NULL), RQ_OK);
        assert_true(sample.id == i);
        snprintf(path, sizeof path, "%s/%s.jpg", s->src, sample.key);
        assert_true(strncmp(sample.key, rq_dataset_class_name(ds, sample.label), 3) == 0);
        read_all(path, &file);
        assert_int_equal(file.size, sample.image_bytes);
        assert_memory_equal(file.data, sample.image, file.size);
        rq_buf_free(&file);
    }
    rq_reader_destroy(&r);
    rq_dataset_close(&ds);
}

static void raw_keeps_the_pixels(void **state)
{
    scene *s = *state;
    rq_build_opts o = options();
    rq_dataset *ds;
    rq_reader *r;
    rq_decoder *d;
    rq_image expected = {0}, img = {0};
    const rq_limits limits = rq_limits_default();
    put_jpeg(s, "a/x.jpg", 3);
    put_png(s, "a/y.png", 4);
    o.encode.encoding = RQ_ENCODING_PPM;
    build_well(s, &o, NULL);
    assert_int_equal(s->result.counts.fallbacks, 0);
    assert_int_equal(rq_dataset_open(&ds, s->out, NULL), RQ_OK);
    assert_int_equal(rq_reader_create(&r, ds, NULL), RQ_OK);
    assert_int_equal(rq_decoder_create(&d, &limits, NULL), RQ_OK);
    for (uint64_t i = 0; i < 2; i++) {
        rq_sample sample;
        rq_buf file = {0};
        read_all(path_in(s->src, i ? "a/y.png" : "a/x.jpg"), &file);
        assert_int_equal(rq_decode_rgb(d, file.data, file.size, true, &expected, NULL, NULL),
                         RQ_OK);
        assert_int_equal(rq_reader_get(r, i, &sample, NULL), RQ_OK);
        assert_int_equal(sample.encoding, RQ_ENCODING_PPM);
        assert_int_equal(rq_reader_decode(r, &sample, &img, NULL), RQ_OK);
        assert_int_equal(img.width, expected.width);
        for (int c = 0; c < 3; c++)
            for (int y = 0; y < img.height; y++)
                assert_memory_equal(img.plane[c].data + (size_t)y * img.plane[c].stride,
                                    expected.plane[c].data +
                                        (size_t)y * expected.plane[c].stride,
                                    (size_t)img.width);
        rq_buf_free(&file);
    }
    rq_image_free(&img);
    rq_image_free(&expected);
    rq_decoder_destroy(&d);
    rq_reader_destroy(&r);
    rq_dataset_close(&ds);
}

static void keys_differ_though_other_names_lie_between(void **state)
{
    scene *s = *state;
    rq_build_opts o = options();
    rq_dataset *ds;
    rq_reader *r;
    put_jpeg(s, "a/x", 3); // sorted before x-1.jpg, x.jpg behind it
    put_jpeg(s, "a/x-1.jpg", 4);
    put_jpeg(s, "a/x.jpg", 5);
    build_well(s, &o, NULL);
    static const char *const keys[] = {"a/x+0", "a/x-1", "a/x+2"};
    assert_int_equal(rq_dataset_open(&ds, s->out, NULL), RQ_OK);
    assert_int_equal(rq_reader_create(&r, ds, NULL), RQ_OK);
    for (uint64_t i = 0; i < 3; i++) {
        rq_sample sample;
        assert_int_equal(rq_reader_get(r, i, &sample, NULL), RQ_OK);
        assert_string_equal(sample.key, keys[i]);
    }
    rq_reader_destroy(&r);
    rq_dataset_close(&ds);
}

static void png_falls_back_to_raw(void **state)
{
    scene *s = *state;
    rq_build_opts o = options();
    rq_dataset *ds;
    put_jpeg(s, "a/x.jpg", 3);
    put_png(s, "a/x.png", 4);      // the same stem: keys must differ
    put_png(s, "a/named.JPEG", 5); // a PNG that says it is a JPEG
    build_well(s, &o, NULL);
    assert_int_equal(s->result.counts.fallbacks, 2);
    assert_int_equal(s->result.counts.verdicts[RQ_VERDICT_FIXED], 1);
    assert_int_equal(rq_dataset_open(&ds, s->out, NULL), RQ_OK);
    static const int encodings[] = {RQ_ENCODING_PPM, RQ_ENCODING_JPEG, RQ_ENCODING_PPM};
    static const char *const keys[] = {"a/named", "a/x+1", "a/x+2"};
    rq_reader *r;
    assert_int_equal(rq_reader_create(&r, ds, NULL), RQ_OK);
    for (uint64_t i = 0; i < 3; i++) {
        rq_sample sample;
        assert_int_equal(rq_reader_get(r, i, &sample, NULL), RQ_OK);
        assert_int_equal(sample.encoding, encodings[i]);
        assert_string_equal(sample.key, keys[i]);
    }
    rq_reader_destroy(&r);
    rq_dataset_close(&ds);
}

static void put_bad_images(const scene *s)
{
    rq_buf jpeg = {0};
    make_jpeg(&jpeg, 60, 60, 1);
    put(s, "a/cut.jpg", jpeg.data, jpeg.size / 2);
    put(s, "a/empty.jpg", "", 0);
    put(s, "a/text.jpg", "this is text\n", 13);
    rq_buf_free(&jpeg);
}

static void bad_images_are_named_and_left_out(void **state)
{
    scene *s = *state;
    rq_build_opts o = options();
    rq_buf report = {0};
    put_bad_images(s);
    put_jpeg(s, "a/good.jpg", 1);
    put_jpeg(s, "b/good.jpg", 2);
    build_well(s, &o, NULL);
    assert_int_equal(s->result.counts.samples, 2);
    assert_int_equal(s->result.counts.verdicts[RQ_VERDICT_REJECTED], 3);
    verify_deep(s->out);
    read_all(path_in(s->out, RQ_REPORT_FILE), &report);
    int lines = 0, rejected = 0;
    for (char *line = strtok((char *)report.data, "\n"); line; line = strtok(NULL, "\n")) {
        if (strncmp(line, "{\"end\"", 6) == 0)
            continue; // the totals
        cJSON *json;
        const char *verdict, *reason, *name;
        assert_int_equal(rq_json_parse(&json, line, strlen(line), "line", NULL), RQ_OK);
        assert_int_equal(rq_json_get_string(json, "verdict", &verdict, "line", NULL), RQ_OK);
        assert_int_equal(rq_json_get_string(json, "reason", &reason, "line", NULL), RQ_OK);
        assert_int_equal(rq_json_get_string(json, "name", &name, "line", NULL), RQ_OK);
        lines++;
        if (strcmp(verdict, "rejected") == 0) {
            rejected++;
            assert_true(strlen(reason) > 5);
            assert_null(strstr(name, "good"));
        }
        cJSON_Delete(json);
    }
    assert_int_equal(lines, 5);
    assert_int_equal(rejected, 3);
    rq_buf_free(&report);
    rq_report_summary sum;
    assert_int_equal(rq_report_read(path_in(s->out, RQ_REPORT_FILE), NULL, NULL, &sum, &s->err),
                     RQ_OK);
    assert_int_equal(sum.totals.images, 5);
    assert_int_equal(sum.totals.verdicts[RQ_VERDICT_REJECTED], 3);
}

static void nothing_usable_is_an_error_and_leaves_nothing(void **state)
{
    scene *s = *state;
    rq_build_opts o = options();
    put_bad_images(s);
    assert_int_equal(build(s, &o, NULL), RQ_NOT_FOUND);
    assert_non_null(strstr(s->err.text, "none of the 3 images"));
    assert_false(there(s->out, "."));
}

static void stop_on_bad_names_the_image(void **state)
{
    scene *s = *state;
    rq_build_opts o = options();
    put_three_classes(s, 5);
    put(s, "bee/zz.jpg", "text", 4);
    o.stop_on_bad = true;
    assert_int_not_equal(build(s, &o, NULL), RQ_OK);
    assert_non_null(strstr(s->err.text, "bee/zz.jpg"));
    assert_false(there(s->out, "."));
}

static void an_existing_dataset_is_kept_without_replace(void **state)
{
    scene *s = *state;
    rq_build_opts o = options();
    char before[RQ_SHA256_HEX];
    put_three_classes(s, 12);
    o.shard_bytes = 4000;
    build_well(s, &o, NULL);
    const int many = s->result.shards;
    assert_true(many > 3);
    strcpy(before, s->result.manifest_sha256);
    o.shard_bytes = 1 << 30;
    assert_int_equal(build(s, &o, NULL), RQ_INVALID_ARG);
    assert_non_null(strstr(s->err.text, "--force"));
    rq_manifest m;
    char now[RQ_SHA256_HEX];
    assert_int_equal(rq_manifest_read(&m, s->out, now, NULL), RQ_OK);
    assert_string_equal(now, before);
    rq_manifest_free(&m);
    verify_deep(s->out);
    // Replaced under another name: none of the old shards stays.
    o.replace = true;
    o.name = "other";
    build_well(s, &o, NULL);
    assert_int_equal(s->result.shards, 1);
    assert_int_equal(count_files(s->out, RQ_SHARD_SUFFIX), 1);
    assert_int_equal(count_files(s->out, ""), 3);
    verify_deep(s->out);
}

static void a_failed_replacement_keeps_the_old_dataset(void **state)
{
    scene *s = *state;
    rq_build_opts o = options();
    put_jpeg(s, "a/x.jpg", 3);
    build_well(s, &o, NULL);
    rm_tree(path_in(s->src, "a"));
    put_bad_images(s);
    o.replace = true;
    assert_int_equal(build(s, &o, NULL), RQ_NOT_FOUND);
    verify_deep(s->out);
}

// What killed builds of other kinds leave goes; what is not ours stays.
static void leftovers_are_removed(void **state)
{
    scene *s = *state;
    rq_build_opts o = options();
    put_three_classes(s, 3);
    assert_int_equal(mkdir(s->out, 0777), 0);
    static const char *const ours[] = {"data-000000.tar.zst.new", "other-000007.tar.zst.new",
                                       ".data-000008.tar.zst.new.tmp-123-0",
                                       ".dataset.json.new.tmp-123-0", ".build.report"};
    static const char *const mine[] = {".tmp-mine",    "mine.txt",     "other-000007.tar.zst",
                                       ".other.tmp-1", "data.tar.zst", "x.new"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        write_all(path_in(s->out, ours[i]), "old", 3);
    for (size_t i = 0; i < sizeof mine / sizeof *mine; i++)
        write_all(path_in(s->out, mine[i]), "keep", 4);
    build_well(s, &o, NULL);
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        assert_false(there(s->out, ours[i]));
    for (size_t i = 0; i < sizeof mine / sizeof *mine; i++)
        assert_true(there(s->out, mine[i]));
    assert_int_equal(count_files(s->out, ""), 3 + (int)(sizeof mine / sizeof *mine));
    verify_deep(s->out);
}

// Shards without a manifest may be all that is left of a dataset.
static void shards_without_manifest_are_not_overwritten(void **state)
{
    scene *s = *state;
    rq_build_opts o = options();
    put_three_classes(s, 3);
    build_well(s, &o, NULL);
    assert_int_equal(unlink(path_in(s->out, RQ_MANIFEST_FILE)), 0);
    assert_int_equal(build(s, &o, NULL), RQ_INVALID_ARG);
    assert_non_null(strstr(s->err.text, "rq-pack repair"));
    verify_deep(path_in(s->out, "data-000000.tar.zst"));
    o.replace = true;
    build_well(s, &o, NULL);
    verify_deep(s->out);
}

static volatile sig_atomic_t stop_flag;

static uint64_t stop_at;

static void stop_there(void *cookie, uint64_t done, uint64_t total, uint64_t bytes)
{
    *(uint64_t *)cookie = done;
    assert_true(total == 31);
    stop_flag = done >= stop_at;
}

static void read_dataset(const scene *s, rq_buf *manifest, rq_buf *report)
{
    read_all(path_in(s->out, RQ_MANIFEST_FILE), manifest);
    read_all(path_in(s->out, RQ_REPORT_FILE), report);
}

// Interrupted behind every single image, and continued with another number of threads: the same
// manifest and the same report, byte for byte.
static void a_build_goes_on_where_it_stopped(void **state)
{
    scene *s = *state;
    rq_build_opts o = options();
    rq_buf manifest = {0}, report = {0}, m = {0}, r = {0};
    uint64_t done = 0;
    put_three_classes(s, 10);
    put(s, "bee/broken.jpg", "no picture", 10);
    o.shard_bytes = 5000;
    o.dedup = RQ_DEDUP_REPORT;
    build_well(s, &o, NULL);
    const int shards = s->result.shards;
    assert_in_range(shards, 5, 12);
    read_dataset(s, &manifest, &report);
    rm_tree(s->out);
    o.progress_cookie = &done;
    o.cancel = &stop_flag;
    int kept = 0;
    for (stop_at = 1; stop_at < 31; stop_at += 2) {
        stop_flag = 0;
        o.progress = stop_there;
        o.threads = 1 + (int)(stop_at % 3);
        assert_int_equal(build(s, &o, NULL), RQ_CANCELLED);
        assert_int_equal(done, stop_at);
        assert_int_equal(count_files(s->out, ".tmp-"), 0);
        assert_false(there(s->out, RQ_MANIFEST_FILE));
        assert_int_equal(there(s->out, "."), s->result.shards > 0);
        const int finished = s->result.shards;
        stop_flag = 0;
        o.progress = NULL;
        o.threads = 3 - (int)(stop_at % 3);
        build_well(s, &o, NULL);
        assert_int_equal(s->result.kept_shards, finished);
        assert_int_equal(s->result.shards, shards);
        assert_int_equal(s->result.counts.samples, 30);
        kept += finished;
        read_dataset(s, &m, &r);
        assert_int_equal(m.size, manifest.size);
        assert_memory_equal(m.data, manifest.data, m.size);
        assert_int_equal(r.size, report.size);
        assert_memory_equal(r.data, report.data, r.size);
        assert_int_equal(count_files(s->out, ""), shards + 2);
        rm_tree(s->out);
    }
    assert_true(kept > 20);
    rq_buf_free(&manifest);
    rq_buf_free(&report);
    rq_buf_free(&m);
    rq_buf_free(&r);
}

static void stop_after(scene *s, rq_build_opts *o, uint64_t images)
{
    uint64_t done;
    stop_flag = 0;
    stop_at = images;
    o->progress = stop_there;
    o->progress_cookie = &done;
    o->cancel = &stop_flag;
    assert_int_equal(build(s, o, NULL), RQ_CANCELLED);
    stop_flag = 0;
    o->progress = NULL;
}

static void another_command_does_not_go_on(void **state)
{
    scene *s = *state;
    rq_build_opts o = options();
    put_three_classes(s, 10);
    put_png(s, "cat/zz.png", 1);
    o.shard_bytes = 5000;
    stop_after(s, &o, 20);
    const int finished = s->result.shards;
    assert_true(finished >= 2);
    rq_build_opts other = o;
    other.encode.level = 9;
    other.name = "b";
    assert_int_equal(build(s, &other, NULL), RQ_INVALID_ARG);
    assert_non_null(strstr(s->err.text, "--level was 3 and is 9"));
    assert_non_null(strstr(s->err.text, "--name was data and is b"));
    assert_non_null(strstr(s->err.text, "--force"));
    // A source that changed is another source.
    put_png(s, "cat/zzz.png", 2);
    assert_int_equal(build(s, &o, NULL), RQ_INVALID_ARG);
    assert_non_null(strstr(s->err.text, "the source was"));
    assert_int_equal(unlink(path_in(s->src, "cat/zzz.png")), 0);
    // Nothing of that did harm.
    assert_int_equal(count_files(s->out, ".new"), finished);
    // Started over under another name: nothing of the old one stays.
    other.replace = true;
    build_well(s, &other, NULL);
    assert_int_equal(s->result.kept_shards, 0);
    assert_int_equal(count_files(s->out, "data-0"), 0);
    assert_int_equal(count_files(s->out, ""), s->result.shards + 2);
    verify_deep(s->out);
}

// Interrupted while it still looks at what is there: all of it stays.
static void looking_at_finished_shards_may_be_interrupted(void **state)
{
    scene *s = *state;
    rq_build_opts o = options();
    put_three_classes(s, 10);
    put_png(s, "cat/zz.png", 1);
    o.shard_bytes = 5000;
    stop_after(s, &o, 20);
    const int finished = s->result.shards;
    assert_true(finished >= 2);
    stop_flag = 1;
    assert_int_equal(build(s, &o, NULL), RQ_CANCELLED);
    assert_int_equal(count_files(s->out, ".new"), finished);
    stop_flag = 0;
    build_well(s, &o, NULL);
    assert_int_equal(s->result.kept_shards, finished);
    verify_deep(s->out);
}

// A shard that is whole under its final name is not replaced by a draft that is not.
static void a_damaged_draft_does_not_replace_a_final_shard(void **state)
{
    scene *s = *state;
    rq_build_opts o = options();
    rq_buf data = {0};
    put_three_classes(s, 10);
    put_png(s, "cat/zz.png", 1);
    o.shard_bytes = 5000;
    stop_after(s, &o, 20);
    const int finished = s->result.shards;
    read_all(path_in(s->out, "data-000000.tar.zst.new"), &data);
    write_all(path_in(s->out, "data-000000.tar.zst"), data.data, data.size);
    data.data[100] ^= 1;
    write_all(path_in(s->out, "data-000000.tar.zst.new"), data.data, data.size);
    rq_buf_free(&data);
    build_well(s, &o, NULL);
    assert_int_equal(s->result.kept_shards, finished);
    verify_deep(s->out);
}

// A finished shard that was damaged in the meantime is packed again, and all behind it.
static void damaged_finished_shards_are_packed_again(void **state)
{
    scene *s = *state;
    rq_build_opts o = options();
    char hash[RQ_SHA256_HEX];
    put_three_classes(s, 10);
    put_png(s, "cat/zz.png", 1);
    o.shard_bytes = 5000;
    build_well(s, &o, NULL);
    memcpy(hash, s->result.manifest_sha256, sizeof hash);
    for (int kind = 0; kind < 3; kind++) {
        rm_tree(s->out);
        stop_after(s, &o, 20);
        assert_true(s->result.shards >= 3);
        const char *path = path_in(s->out, "data-000001.tar.zst.new");
        if (kind == 0)
            assert_int_equal(truncate(path, 1000), 0);
        else if (kind == 1)
            assert_int_equal(unlink(path), 0);
        else {
            const int fd = open(path, O_RDWR);
            assert_int_equal(pwrite(fd, "?", 1, 200), 1); // in a frame
            close(fd);
        }
        build_well(s, &o, NULL);
        assert_int_equal(s->result.kept_shards, 1);
        assert_string_equal(s->result.manifest_sha256, hash);
    }
    // The report is checked too: behind the line that changed nothing is kept.
    rm_tree(s->out);
    stop_after(s, &o, 20);
    const int fd = open(path_in(s->out, ".build.report"), O_RDWR);
    assert_int_equal(pwrite(fd, "?", 1, 12), 1);
    close(fd);
    build_well(s, &o, NULL);
    assert_int_equal(s->result.kept_shards, 0);
    assert_string_equal(s->result.manifest_sha256, hash);
}

static void the_same_command_again_does_nothing(void **state)
{
    scene *s = *state;
    rq_build_opts o = options();
    char hash[RQ_SHA256_HEX];
    struct stat before, after;
    put_three_classes(s, 3);
    build_well(s, &o, NULL);
    memcpy(hash, s->result.manifest_sha256, sizeof hash);
    assert_false(s->result.was_complete);
    assert_int_equal(stat(path_in(s->out, RQ_MANIFEST_FILE), &before), 0);
    build_well(s, &o, NULL);
    assert_true(s->result.was_complete);
    assert_int_equal(s->result.counts.samples, 9);
    assert_string_equal(s->result.manifest_sha256, hash);
    assert_int_equal(stat(path_in(s->out, RQ_MANIFEST_FILE), &after), 0);
    assert_true(before.st_ino == after.st_ino);
    // A dataset that lost a shard is not called complete.
    assert_int_equal(truncate(path_in(s->out, "data-000000.tar.zst"), 100), 0);
    assert_int_not_equal(build(s, &o, NULL), RQ_OK);
    assert_non_null(strstr(s->err.text, "--force"));
    o.replace = true;
    build_well(s, &o, NULL);
    assert_string_equal(s->result.manifest_sha256, hash);
    verify_deep(s->out);
}

static void duplicates_are_reported_or_left_out(void **state)
{
    scene *s = *state;
    rq_build_opts o = options();
    put_jpeg(s, "a/x.jpg", 1);
    put_jpeg(s, "a/y.jpg", 2);
    put_jpeg(s, "b/x.jpg", 1); // as a/x
    put_jpeg(s, "b/z.jpg", 10);
    put_jpeg(s, "c/y.jpg", 2); // as a/y
    put(s, "c/bad1.jpg", "bad", 3);
    put(s, "c/bad2.jpg", "bad", 3);
    o.dedup = RQ_DEDUP_REPORT;
    build_well(s, &o, NULL);
    assert_int_equal(s->result.counts.samples, 5);
    assert_int_equal(s->result.counts.duplicates, 3); // one of the two bad ones too
    assert_int_equal(s->result.counts.dropped, 3 - 3);
    rm_tree(s->out);
    o.dedup = RQ_DEDUP_DROP;
    build_well(s, &o, NULL);
    assert_int_equal(s->result.counts.samples, 3);
    assert_int_equal(s->result.counts.dropped, 3);
    rq_dataset *ds;
    static const uint64_t ids[] = {0, 1, 3};
    assert_int_equal(rq_dataset_open(&ds, s->out, NULL), RQ_OK);
    for (uint64_t i = 0; i < 3; i++)
        assert_true(rq_dataset_entry(ds, i, NULL)->id == ids[i]);
    assert_int_equal(rq_dataset_classes(ds), 3);
    rq_dataset_close(&ds);
    rq_report_summary sum;
    assert_int_equal(rq_report_read(path_in(s->out, RQ_REPORT_FILE), NULL, NULL, &sum, &s->err),
                     RQ_OK);
    assert_int_equal(sum.totals.images, 7);
    assert_int_equal(sum.totals.duplicates, 3);
    o.part = (rq_part){1, 2};
    assert_int_equal(build(s, &o, NULL), RQ_INVALID_ARG);
    assert_non_null(strstr(s->err.text, "--exclude"));
}

static void masks_are_packed_and_bad_ones_counted(void **state)
{
    scene *s = *state;
    rq_build_opts o = options();
    rq_dataset *ds;
    char masks[450];
    put_png(s, "a/x.png", 1);
    put_png(s, "a/y.png", 2);
    put_png(s, "a/z.png", 3);
    snprintf(masks, sizeof masks, "%s/masks", s->dir);
    assert_int_equal(mkdir(masks, 0777), 0);
    uint8_t gray[16 * 12];
    rq_buf png = {0};
    memset(gray, 200, sizeof gray);
    assert_int_equal(rq_png_encode(gray, 16, 12, 1, &png, NULL), RQ_OK);
    write_all(path_in(masks, "x.png"), png.data, png.size);
    write_all(path_in(masks, "y.png"), "broken", 6);
    rq_buf_free(&png);
    build_well(s, &o, masks);
    assert_int_equal(s->result.counts.masks, 1);
    assert_int_equal(s->result.counts.bad_masks, 1);
    assert_int_equal(s->result.counts.verdicts[RQ_VERDICT_WARNED], 1);
    assert_int_equal(s->result.counts.samples, 3);
    assert_int_equal(rq_dataset_open(&ds, s->out, NULL), RQ_OK);
    assert_int_equal(rq_dataset_masks(ds), 1);
    rq_reader *r;
    rq_sample sample;
    rq_image mask = {0};
    assert_int_equal(rq_reader_create(&r, ds, NULL), RQ_OK);
    assert_int_equal(rq_reader_get(r, 0, &sample, NULL), RQ_OK);
    assert_int_equal(rq_reader_decode_mask(r, &sample, &mask, NULL), RQ_OK);
    assert_int_equal(mask.plane[0].data[0], 200);
    rq_image_free(&mask);
    rq_reader_destroy(&r);
    rq_dataset_close(&ds);
    verify_deep(s->out);
    // The same masks are the same build, others are not.
    build_well(s, &o, masks);
    write_all(path_in(masks, "y.png"), "broken too", 10);
    assert_int_equal(build(s, &o, masks), RQ_INVALID_ARG);
    assert_non_null(strstr(s->err.text, "--masks"));
}

static void options_are_checked(void **state)
{
    scene *s = *state;
    put_jpeg(s, "a/x.jpg", 3);
    const struct {
        int encoding, level, threads;
        uint64_t shard;
        const char *name;
    } bad[] = {{9, 3, 1, 1, "d"},
               {RQ_ENCODING_PPM, -1, 1, 1, "d"},
               {RQ_ENCODING_PPM, 20, 1, 1, "d"},
               {RQ_ENCODING_PPM, 3, -1, 1, "d"},
               {RQ_ENCODING_PPM, 3, 257, 1, "d"},
               {RQ_ENCODING_PPM, 3, 1, 0, "d"},
               {RQ_ENCODING_PPM, 3, 1, 1, "../d"},
               {RQ_ENCODING_PPM, 3, 1, 1, ""},
               {RQ_ENCODING_PPM, 3, 1, 1, "d-p001of002"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rq_build_opts o = options();
        o.encode.encoding = (rq_encoding)bad[i].encoding;
        o.encode.level = bad[i].level;
        o.threads = bad[i].threads;
        o.shard_bytes = bad[i].shard;
        o.name = bad[i].name;
        assert_int_equal(build(s, &o, NULL), RQ_INVALID_ARG);
        assert_false(there(s->out, "."));
    }
}

static void unpack_gives_the_source_back(void **state)
{
    scene *s = *state;
    rq_build_opts o = options();
    rq_dataset *ds;
    rq_unpack_result r;
    const rq_unpack_opts u = {0};
    put_jpeg(s, "a b/x.1.jpg", 1);
    put_jpeg(s, "a b/x.2.JPEG", 2);
    put_png(s, "c/x.png", 3);
    build_well(s, &o, NULL);
    assert_int_equal(rq_dataset_open(&ds, s->out, NULL), RQ_OK);
    char *back = path_in(s->dir, "back");
    assert_int_equal(rq_unpack(ds, back, &u, &r, NULL), RQ_OK);
    assert_int_equal(r.images, 3);
    static const char *const names[] = {"a b/x.1.jpg", "a b/x.2.JPEG"};
    for (int i = 0; i < 2; i++) {
        rq_buf x = {0}, y = {0};
        read_all(path_in(s->src, names[i]), &x);
        read_all(path_in(s->dir, i ? "back/a b/x.2.JPEG" : "back/a b/x.1.jpg"), &y);
        assert_int_equal(x.size, y.size);
        assert_memory_equal(x.data, y.data, x.size);
        rq_buf_free(&x);
        rq_buf_free(&y);
    }
    assert_true(there(s->dir, "back/c/x.ppm"));
    rq_err err = {0};
    assert_int_equal(rq_unpack(ds, path_in(s->dir, "back"), &u, &r, &err), RQ_INVALID_ARG);
    assert_non_null(strstr(err.text, "--force"));
    rq_dataset_close(&ds);
}

static void hostile_names_do_not_leave_the_folder(void **state)
{
    static const char *const hostile[] = {"../x.jpg", "/etc/x.jpg", "a/../x.jpg", "a//x.jpg",
                                          "",         "a/.x.jpg",   "a/x\n.jpg",  "a\\x.jpg",
                                          "a/",       "."};
    const rq_sample jpeg = {.id = 4,
                            .encoding = RQ_ENCODING_JPEG,
                            .key = "k/key",
                            .image = (const uint8_t *)"xx",
                            .image_bytes = 2};
    rq_sample raw = jpeg;
    char name[4200];
    raw.encoding = RQ_ENCODING_PPM;
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        rq_unpack_name(name, sizeof name, hostile[i], "JPEG", &jpeg);
        assert_string_equal(name, "k/key.jpg");
    }
    rq_unpack_name(name, sizeof name, NULL, NULL, &raw);
    assert_string_equal(name, "k/key.ppm");
    rq_unpack_name(name, sizeof name, "c/My Photo.png", "PNG", &raw);
    assert_string_equal(name, "c/My Photo.ppm");
    raw.key = "c/x+4";
    rq_unpack_name(name, sizeof name, "c/x.png", "PNG", &raw);
    assert_string_equal(name, "c/x+4.ppm");
    // Any bytes are a name as long as they stay inside.
    rq_unpack_name(name, sizeof name, "c/\xff\xfe.jpg", "JPEG", &jpeg);
    assert_string_equal(name, "c/\xff\xfe.jpg");
    // A PNG that was made a JPEG does not keep the name of a PNG; a JPEG called so does.
    rq_unpack_name(name, sizeof name, "c/x.png", "PNG", &jpeg);
    assert_string_equal(name, "c/x.jpg");
    rq_unpack_name(name, sizeof name, "c/x.png", "JPEG", &jpeg);
    assert_string_equal(name, "c/x.png");
}

// Every encoding comes back as files with the source's pictures, under the source's names, even
// those that are no UTF-8 or differ in the extension alone.
static void unpack_gives_files_of_every_encoding(void **state)
{
    scene *s = *state;
    static const char *const names[] = {"a/x.jpg", "a/x.jpeg", "a/\xff\xfe.jpg", "b/y.JPEG"};
    static const rq_encoding encodings[] = {RQ_ENCODING_JPEG, RQ_ENCODING_DCT, RQ_ENCODING_RAW,
                                            RQ_ENCODING_PPM};
    for (unsigned i = 0; i < 4; i++)
        put_jpeg(s, names[i], i + 1);
    put_png(s, "b/y.png", 9);
    for (size_t k = 0; k < 4; k++) {
        rq_build_opts o = options();
        rq_dataset *ds;
        rq_unpack_result r;
        const rq_unpack_opts u = {0};
        char back[450];
        snprintf(back, sizeof back, "%s/back", s->dir);
        o.encode.encoding = encodings[k];
        build_well(s, &o, NULL);
        verify_deep(s->out);
        assert_int_equal(rq_dataset_open(&ds, s->out, NULL), RQ_OK);
        if (rq_unpack(ds, back, &u, &r, &s->err) != RQ_OK)
            fail_msg("%s", s->err.text);
        assert_int_equal(r.images, 5);
        rq_dataset_close(&ds);
        // Unpacked, and packed again: the same pixels under the same ids.
        const bool kept = encodings[k] == RQ_ENCODING_JPEG || encodings[k] == RQ_ENCODING_DCT;
        for (unsigned i = 0; i < 4 && kept; i++)
            assert_true(there(back, names[i]));
        // The PNG cannot be held as coefficients: the nearest that keeps its pixels.
        assert_true(there(back, "b/y+4.png") || there(back, "b/y+4.ppm"));
        assert_int_equal(count_files(path_in(s->dir, "back/a"), ""), 3);
        assert_int_equal(count_files(path_in(s->dir, "back/b"), ""), 2);
        if (encodings[k] == RQ_ENCODING_DCT)
            for (unsigned i = 0; i < 4; i++) {
                // The same coefficients: both files make the same payload.
                rq_buf file = {0}, a = {0}, b = {0};
                rq_dct *d;
                const rq_limits limits = rq_limits_default();
                assert_int_equal(rq_dct_create(&d, 0, &limits, NULL), RQ_OK);
                read_all(path_in(s->src, names[i]), &file);
                assert_int_equal(rq_dct_encode(d, file.data, file.size, &a, NULL), RQ_OK);
                read_all(path_in(back, names[i]), &file);
                assert_int_equal(rq_dct_encode(d, file.data, file.size, &b, NULL), RQ_OK);
                assert_int_equal(a.size, b.size);
                assert_memory_equal(a.data, b.data, a.size);
                rq_dct_destroy(&d);
                rq_buf_free(&file);
                rq_buf_free(&a);
                rq_buf_free(&b);
            }
        rm_tree(back);
        rm_tree(s->out);
    }
}

// Every allocation of a build that fails: OOM, nothing half made, and (under asan) no leak.
static void builds_survive_any_failed_allocation(void **state)
{
    scene *s = *state;
    rq_build_opts o = options();
    o.threads = 1;
    put_jpeg(s, "a/x.jpg", 3);
    put_png(s, "a/y.png", 3);
    for (long n = 1;; n++) {
        rq_mem_fail_nth(n);
        const rq_status st = build(s, &o, NULL);
        rq_mem_fail_nth(0);
        if (st == RQ_OK && s->result.counts.samples == 2)
            break;
        // A decoder out of memory may also count as a rejected image.
        assert_true(st == RQ_OOM || st == RQ_OK || st == RQ_NOT_FOUND);
        if (st != RQ_OK) {
            assert_false(there(s->out, RQ_MANIFEST_FILE));
            assert_int_equal(count_files(s->out, ".tmp-"), 0);
        }
        rm_tree(s->out);
        assert_true(n < 2000);
    }
    verify_deep(s->out);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(same_bytes_at_any_thread_count),
        T(jpeg_keeps_the_source_bytes),
        T(raw_keeps_the_pixels),
        T(keys_differ_though_other_names_lie_between),
        T(png_falls_back_to_raw),
        T(bad_images_are_named_and_left_out),
        T(nothing_usable_is_an_error_and_leaves_nothing),
        T(stop_on_bad_names_the_image),
        T(an_existing_dataset_is_kept_without_replace),
        T(a_failed_replacement_keeps_the_old_dataset),
        T(leftovers_are_removed),
        T(shards_without_manifest_are_not_overwritten),
        T(a_build_goes_on_where_it_stopped),
        T(another_command_does_not_go_on),
        T(looking_at_finished_shards_may_be_interrupted),
        T(a_damaged_draft_does_not_replace_a_final_shard),
        T(damaged_finished_shards_are_packed_again),
        T(the_same_command_again_does_nothing),
        T(duplicates_are_reported_or_left_out),
        T(masks_are_packed_and_bad_ones_counted),
        T(options_are_checked),
        T(unpack_gives_the_source_back),
        T(hostile_names_do_not_leave_the_folder),
        T(unpack_gives_files_of_every_encoding),
        T(builds_survive_any_failed_allocation),
    };
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
