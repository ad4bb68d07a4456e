// SPDX-License-Identifier: Apache-2.0
// Packing in parts: any number of them, at the same time or not, in one folder or several, make
// the samples of a single build; what does not belong together is refused and named.
#include "pack_fixture.h"

#include "common/pool.h"
#include "ingest/report.h"
#include "pack/build.h"
#include "pack/merge.h"
#include "pack/verify.h"

enum { IMAGES = 25 };

typedef struct scene {
    char *dir;
    char src[400], out[400], whole[400];
    rq_err err;
} scene;

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

static rq_build_opts options(void)
{
    rq_build_opts o;
    rq_build_opts_default(&o);
    o.encode.encoding = RQ_ENCODING_PPM;
    o.threads = 1;
    o.shard_bytes = 1200;
    return o;
}

static rq_status build(const scene *s, const char *out, const rq_build_opts *o, rq_err *err)
{
    rq_source *src = NULL;
    rq_source_opts so;
    rq_build_result r;
    const char *path = s->src;
    rq_source_opts_default(&so);
    *err = (rq_err){0};
    rq_status st = rq_source_open(&src, &path, 1, &so, err);
    if (st == RQ_OK)
        st = rq_build(out, src, NULL, o, &r, err);
    rq_source_close(&src);
    return st;
}

static void build_part(scene *s, const char *out, int index, int count)
{
    rq_build_opts o = options();
    o.part = (rq_part){index, count};
    if (build(s, out, &o, &s->err) != RQ_OK)
        fail_msg("part %d of %d: %s", index, count, s->err.text);
}

static int setup(void **state)
{
    scene *s = calloc(1, sizeof *s);
    s->dir = make_temp_dir();
    snprintf(s->src, sizeof s->src, "%s/src", s->dir);
    snprintf(s->out, sizeof s->out, "%s/out", s->dir);
    snprintf(s->whole, sizeof s->whole, "%s/whole", s->dir);
    for (unsigned i = 0; i < IMAGES; i++) {
        char name[40];
        uint8_t image[1024];
        snprintf(name, sizeof name, "c%u/%02u.ppm", i % 3, i);
        put(s, name, image, fixture_image(i, image));
    }
    put(s, "c1/bad.ppm", "bad", 3);
    const rq_build_opts o = options();
    if (build(s, s->whole, &o, &s->err) != RQ_OK)
        fail_msg("%s", s->err.text);
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

static rq_status merge(scene *s, const char *const *dirs, size_t n, const char *out,
                       rq_merge_result *r)
{
    const rq_merge_opts o = {.out = out};
    s->err = (rq_err){0};
    return rq_merge(dirs, n, &o, r, &s->err);
}

// Ids, labels, sizes and frames of both datasets are the same, and so are their reports.
static void same_samples(const scene *s, const char *out)
{
    rq_dataset *a, *b;
    rq_err err = {0};
    if (rq_dataset_open(&a, s->whole, &err) != RQ_OK || rq_dataset_open(&b, out, &err) != RQ_OK)
        fail_msg("%s", err.text);
    assert_int_equal(rq_dataset_count(a), IMAGES);
    assert_int_equal(rq_dataset_count(b), IMAGES);
    assert_int_equal(rq_dataset_classes(a), rq_dataset_classes(b));
    for (uint64_t i = 0; i < IMAGES; i++) {
        const rq_index_entry *x = rq_dataset_entry(a, i, NULL),
                             *y = rq_dataset_entry(b, i, NULL);
        assert_true(x->id == y->id && x->hash == y->hash && x->label == y->label &&
                    x->stored_bytes == y->stored_bytes && x->width == y->width);
    }
    for (int c = 0; c < rq_dataset_classes(a); c++)
        assert_string_equal(rq_dataset_class_name(a, c), rq_dataset_class_name(b, c));
    rq_dataset_close(&a);
    rq_dataset_close(&b);
    rq_buf x = {0}, y = {0};
    read_all(path_in(s->whole, RQ_REPORT_FILE), &x);
    read_all(path_in(out, RQ_REPORT_FILE), &y);
    assert_int_equal(x.size, y.size);
    assert_memory_equal(x.data, y.data, x.size);
    rq_buf_free(&x);
    rq_buf_free(&y);
    const rq_verify_opts o = {.deep = true, .threads = 1};
    rq_verify_result v;
    assert_int_equal(rq_verify(out, &o, &v, NULL), RQ_OK);
}

static void any_number_of_parts_makes_the_same_samples(void **state)
{
    scene *s = *state;
    static const int counts[] = {1, 2, 3, 7, 26, 40}; // some parts have no image
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        rq_merge_result r, again;
        for (int i = counts[k]; i >= 1; i--)
            build_part(s, s->out, i, counts[k]);
        const char *dirs[] = {s->out};
        if (merge(s, dirs, 1, NULL, &r) != RQ_OK)
            fail_msg("%d parts: %s", counts[k], s->err.text);
        assert_int_equal(r.parts, counts[k]);
        assert_int_equal(r.samples, IMAGES);
        assert_int_equal(r.rejected, 1);
        same_samples(s, s->out);
        assert_int_equal(merge(s, dirs, 1, NULL, &again), RQ_OK);
        assert_true(again.was_complete);
        assert_string_equal(again.manifest_sha256, r.manifest_sha256);
        // A part that is packed again finds itself complete; a build of the whole does too.
        build_part(s, s->out, 1, counts[k]);
        const rq_build_opts o = options();
        assert_int_equal(build(s, s->out, &o, &s->err), RQ_OK);
        rm_tree(s->out);
    }
}

static void ranges_cover_everything_once(void **state)
{
    for (uint64_t n = 0; n < 300; n += 7)
        for (uint64_t parts = 1; parts < 40; parts++) {
            assert_true(rq_part_first(n, 1, parts) == 0);
            assert_true(rq_part_first(n, parts + 1, parts) == n);
            for (uint64_t i = 1; i <= parts; i++) {
                const uint64_t size =
                    rq_part_first(n, i + 1, parts) - rq_part_first(n, i, parts);
                assert_in_range(size, n / parts, n / parts + 1);
            }
        }
    assert_true(rq_part_first(UINT64_MAX, 9999, 9999) < UINT64_MAX);
}

typedef struct job {
    scene *s;
    int index, count;
    rq_status status;
    rq_err err;
} job;

static void pack_one(void *ctx)
{
    job *j = ctx;
    rq_build_opts o = options();
    o.part = (rq_part){j->index, j->count};
    j->status = build(j->s, j->s->out, &o, &j->err);
}

static void parts_at_the_same_time_do_not_disturb_each_other(void **state)
{
    scene *s = *state;
    for (int round = 0; round < 3; round++) {
        enum { PARTS = 5 };
        job jobs[PARTS];
        rq_thread *threads[PARTS];
        rq_merge_result r;
        for (int i = 0; i < PARTS; i++) {
            jobs[i] = (job){.s = s, .index = i + 1, .count = PARTS};
            assert_int_equal(rq_thread_start(&threads[i], "part", pack_one, &jobs[i], NULL),
                             RQ_OK);
        }
        for (int i = 0; i < PARTS; i++) {
            rq_thread_join(&threads[i]);
            if (jobs[i].status != RQ_OK)
                fail_msg("%s", jobs[i].err.text);
        }
        const char *dirs[] = {s->out};
        if (merge(s, dirs, 1, NULL, &r) != RQ_OK)
            fail_msg("%s", s->err.text);
        same_samples(s, s->out);
        rm_tree(s->out);
    }
}

static void parts_of_several_folders_come_together(void **state)
{
    scene *s = *state;
    char a[450], b[450];
    rq_merge_result r, again;
    snprintf(a, sizeof a, "%s/a", s->dir);
    snprintf(b, sizeof b, "%s/b", s->dir);
    build_part(s, a, 1, 3);
    build_part(s, a, 3, 3);
    build_part(s, b, 2, 3);
    const char *dirs[] = {a, b};
    assert_int_equal(merge(s, dirs, 2, NULL, &r), RQ_INVALID_ARG);
    assert_non_null(strstr(s->err.text, "-o DIR"));
    if (merge(s, dirs, 2, s->out, &r) != RQ_OK)
        fail_msg("%s", s->err.text);
    same_samples(s, s->out);
    assert_int_equal(merge(s, dirs, 2, s->out, &again), RQ_OK);
    assert_true(again.was_complete);
    // What was brought together stands on its own.
    rm_tree(a);
    rm_tree(b);
    const char *out[] = {s->out};
    assert_int_equal(merge(s, out, 1, NULL, &again), RQ_OK);
    same_samples(s, s->out);
}

static void what_is_missing_is_named(void **state)
{
    scene *s = *state;
    rq_merge_result r;
    const char *dirs[] = {s->out};
    assert_int_equal(merge(s, dirs, 1, NULL, &r), RQ_NOT_FOUND); // no folder
    assert_int_equal(mkdir(s->out, 0777), 0);
    assert_int_equal(merge(s, dirs, 1, NULL, &r), RQ_NOT_FOUND);
    assert_non_null(strstr(s->err.text, "no part"));
    build_part(s, s->out, 2, 5);
    build_part(s, s->out, 4, 5);
    assert_int_equal(merge(s, dirs, 1, NULL, &r), RQ_NOT_FOUND);
    assert_non_null(strstr(s->err.text, "missing: 1, 3 and 5"));
    // An opened folder of parts says so too.
    rq_dataset *ds;
    rq_err err = {0};
    assert_int_equal(rq_dataset_open(&ds, s->out, &err), RQ_NOT_FOUND);
    assert_non_null(strstr(err.text, "rq-pack merge"));
    const int parts[] = {1, 3, 5};
    for (int i = 0; i < 3; i++)
        build_part(s, s->out, parts[i], 5);
    assert_int_equal(unlink(path_in(s->out, "data-p003of005-000000.tar.zst")), 0);
    assert_int_equal(merge(s, dirs, 1, NULL, &r), RQ_NOT_FOUND);
    assert_non_null(strstr(s->err.text, "data-p003of005-000000"));
}

static void what_does_not_belong_together_is_refused(void **state)
{
    scene *s = *state;
    rq_merge_result r;
    const char *dirs[] = {s->out};
    rq_build_opts o = options();
    build_part(s, s->out, 1, 2);
    o.part = (rq_part){2, 2};
    o.encode.level = 9;
    assert_int_equal(build(s, s->out, &o, &s->err), RQ_OK);
    assert_int_equal(merge(s, dirs, 1, NULL, &r), RQ_INVALID_ARG);
    assert_non_null(strstr(s->err.text, "--level was 3 and is 9"));
    // Of another source.
    o.encode.level = 0;
    o.replace = true;
    put(s, "c0/more.ppm", "P5\n1 1\n255\nx", 12);
    assert_int_equal(build(s, s->out, &o, &s->err), RQ_OK);
    assert_int_equal(merge(s, dirs, 1, NULL, &r), RQ_INVALID_ARG);
    assert_non_null(strstr(s->err.text, "the source was"));
    assert_int_equal(unlink(path_in(s->src, "c0/more.ppm")), 0);
    // Another division.
    build_part(s, s->out, 1, 3);
    assert_int_equal(merge(s, dirs, 1, NULL, &r), RQ_INVALID_ARG);
    assert_non_null(strstr(s->err.text, "of 2"));
    assert_non_null(strstr(s->err.text, "of 3"));
    assert_false(access(path_in(s->out, RQ_MANIFEST_FILE), F_OK) == 0);
}

// Manifests with right hashes whose shards hold the same sample.
static void a_sample_in_two_parts_is_found(void **state)
{
    scene *s = *state;
    static const uint64_t ids[2][3] = {{0, 1, 2}, {3, 2, 4}};
    rq_merge_result r;
    assert_int_equal(mkdir(s->out, 0777), 0);
    for (int i = 0; i < 2; i++) {
        char file[100], prefix[80];
        rq_manifest_shard info;
        rq_buf text = {0};
        rq_manifest m = {.name = rq_strdup("data"),
                         .part = {i + 1, 2},
                         .first = 3 * (uint64_t)i,
                         .records = 3,
                         .samples = 3,
                         .encoding = RQ_ENCODING_PPM,
                         .source_images = 6,
                         .verdicts = {3},
                         .layout = rq_strdup("class-folders"),
                         .created_by = rq_strdup("a test")};
        rq_shard_prefix(prefix, sizeof prefix, "data", m.part);
        rq_shard_file_name(file, sizeof file, prefix, 0);
        fixture_shard(path_in(s->out, file), ids[i], 3, &info);
        assert_int_equal(rq_manifest_add_shard(&m, file, &info, NULL), RQ_OK);
        assert_int_equal(rq_manifest_encode(&m, &text, NULL), RQ_OK);
        snprintf(file, sizeof file, "%s%s", prefix, RQ_PART_SUFFIX);
        write_all(path_in(s->out, file), text.data, text.size);
        rq_buf_free(&text);
        rq_manifest_free(&m);
    }
    const char *dirs[] = {s->out};
    assert_int_equal(merge(s, dirs, 1, NULL, &r), RQ_BAD_FORMAT);
    assert_non_null(strstr(s->err.text, "sample 2 is in another shard too"));
}

static void parts_and_other_builds_keep_apart(void **state)
{
    scene *s = *state;
    rq_build_opts o = options();
    build_part(s, s->out, 1, 2);
    // A build of the whole does not go over parts, and no part over a dataset.
    assert_int_equal(build(s, s->out, &o, &s->err), RQ_INVALID_ARG);
    assert_non_null(strstr(s->err.text, "rq-pack merge"));
    o.part = (rq_part){1, 2};
    assert_int_equal(build(s, s->whole, &o, &s->err), RQ_INVALID_ARG);
    assert_non_null(strstr(s->err.text, "--force"));
    // With --force it does, and nothing of the parts stays.
    o = options();
    o.replace = true;
    assert_int_equal(build(s, s->out, &o, &s->err), RQ_OK);
    same_samples(s, s->out);
    DIR *d = opendir(s->out);
    for (struct dirent *e; (e = readdir(d));)
        assert_null(strstr(e->d_name, "part"));
    closedir(d);
}

static volatile sig_atomic_t stop_flag;

static void stop_soon(void *cookie, uint64_t done, uint64_t total, uint64_t bytes)
{
    stop_flag = done >= 8;
}

// A build of the whole dataset leaves what a part has done so far alone, and with --force
// removes all of it.
static void an_unfinished_part_is_not_swept_away(void **state)
{
    scene *s = *state;
    rq_build_opts part = options();
    const rq_build_opts all = options();
    part.part = (rq_part){1, 2};
    part.progress = stop_soon;
    part.cancel = &stop_flag;
    assert_int_equal(build(s, s->out, &part, &s->err), RQ_CANCELLED);
    const int drafts = count_files(s->out, ".tar.zst.new");
    assert_true(drafts > 0);
    assert_int_equal(build(s, s->out, &all, &s->err), RQ_INVALID_ARG);
    assert_non_null(strstr(s->err.text, "--force"));
    assert_int_equal(count_files(s->out, ".tar.zst.new"), drafts);
    rq_build_opts replace = all;
    replace.replace = true;
    assert_int_equal(build(s, s->out, &replace, &s->err), RQ_OK);
    assert_int_equal(count_files(s->out, ""), count_files(s->whole, ""));
    same_samples(s, s->out);
}

// A merge that was killed while it copied leaves temporary files: the next one removes them.
static void leftovers_of_a_merge_are_removed(void **state)
{
    scene *s = *state;
    rq_merge_result r;
    build_part(s, s->out, 1, 1);
    write_all(path_in(s->out, ".data-p001of001.part.json.tmp-1-2"), "x", 1);
    write_all(path_in(s->out, ".data-p001of001.part.jsonl.tmp-1-2"), "x", 1);
    assert_int_equal(merge(s, (const char *[]){s->out}, 1, NULL, &r), RQ_OK);
    assert_int_equal(count_files(s->out, ".tmp-"), 0);
    same_samples(s, s->out);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(any_number_of_parts_makes_the_same_samples),
        T(ranges_cover_everything_once),
        T(parts_at_the_same_time_do_not_disturb_each_other),
        T(parts_of_several_folders_come_together),
        T(what_is_missing_is_named),
        T(what_does_not_belong_together_is_refused),
        T(a_sample_in_two_parts_is_found),
        T(parts_and_other_builds_keep_apart),
        T(an_unfinished_part_is_not_swept_away),
        T(leftovers_of_a_merge_are_removed),
    };
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
