// SPDX-License-Identifier: Apache-2.0
// Scanning a folder that holds each quirk of a real dataset: every image gets the verdict it
// should, the report does not depend on the number of threads, duplicates name the first, and a
// scan that is stopped leaves nothing behind.
#include "ingest_fixture.h"

#include "ingest/scan.h"

#include <malloc.h>
#include <sys/wait.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

static void put_file(const char *path, const rq_buf *file)
{
    rq_err err = {0};
    assert_ok(rq_file_write_atomic(path, file->data, file->size, &err), &err);
}

static void put_jpeg(const char *path, jpeg_spec spec)
{
    rq_buf file = {0};
    spec.width = spec.width ? spec.width : 64;
    spec.height = spec.height ? spec.height : 48;
    spec.pixels = spec.pixels ? spec.pixels : JCS_RGB;
    spec.coded = spec.coded ? spec.coded : JCS_YCbCr;
    fixture_jpeg(&file, &spec);
    put_file(path, &file);
    rq_buf_free(&file);
}

static const uint8_t exif_turned[] = "Exif\0\0MM\0*\0\0\0\10\0\1\1\22\0\3\0\0\0\1\0\6\0\0";
static const uint8_t exif_broken[] = "Exif\0\0MM\0*\377\377\377\377";

/* 8 images in two classes; the copy stands in another class than the original. */
static void make_source(void)
{
    rq_err err = {0};
    rq_buf file = {0};
    assert_int_equal(mkdir("src", 0777), 0);
    assert_int_equal(mkdir("src/ant", 0777), 0);
    assert_int_equal(mkdir("src/bee", 0777), 0);
    put_jpeg("src/ant/a-plain.jpg", (jpeg_spec){.quality = 80});
    put_jpeg("src/ant/b-cmyk.jpg", (jpeg_spec){.pixels = JCS_CMYK, .coded = JCS_YCCK});
    put_jpeg("src/ant/c-gray.jpg",
             (jpeg_spec){.pixels = JCS_GRAYSCALE, .coded = JCS_GRAYSCALE});
    put_jpeg("src/ant/d-turned.jpg",
             (jpeg_spec){.app1 = exif_turned, .app1_bytes = sizeof exif_turned - 1});
    put_jpeg("src/ant/e-exif.jpg",
             (jpeg_spec){.app1 = exif_broken, .app1_bytes = sizeof exif_broken - 1});
    uint8_t *pixels = fixture_pixels(20, 10, 3);
    assert_ok(rq_png_encode(pixels, 20, 10, 3, &file, &err), &err);
    put_file("src/ant/f-png.JPEG", &file);
    free(pixels);
    put_jpeg("src/bee/a-copy.jpg", (jpeg_spec){.quality = 80});
    assert_ok(rq_file_read("src/bee/a-copy.jpg", 1 << 20, &file, &err), &err);
    file.size /= 2;
    put_file("src/bee/b-cut.jpg", &file);
    rq_buf_free(&file);
}

typedef struct fixture {
    rq_scan_opts opts;
    rq_report_totals totals;
    rq_err err;
} fixture;

static rq_status scan(fixture *f, const char *path)
{
    static const char *const paths[] = {"src"};
    rq_source_opts so;
    rq_source *src;
    rq_report *report;
    rq_source_opts_default(&so);
    rq_err_clear(&f->err);
    assert_ok(rq_source_open(&src, paths, 1, &so, &f->err), &f->err);
    assert_ok(rq_report_create(&report, path, &f->err), &f->err);
    rq_status st = rq_scan(src, &f->opts, report, &f->err);
    f->totals = rq_report_get_totals(report);
    if (st == RQ_OK)
        st = rq_report_commit(&report, rq_source_classes(src), NULL, &f->err);
    rq_report_abort(&report);
    rq_source_close(&src);
    return st;
}

static const struct expected {
    const char *name;
    rq_verdict_kind kind;
    unsigned notes;
} expected[] = {{"ant/a-plain.jpg", RQ_VERDICT_OK, 0},
                {"ant/b-cmyk.jpg", RQ_VERDICT_FIXED, RQ_NOTE_CMYK},
                {"ant/c-gray.jpg", RQ_VERDICT_OK, RQ_NOTE_GRAY},
                {"ant/d-turned.jpg", RQ_VERDICT_OK, RQ_NOTE_ORIENTATION},
                {"ant/e-exif.jpg", RQ_VERDICT_OK, RQ_NOTE_EXIF_BROKEN},
                {"ant/f-png.JPEG", RQ_VERDICT_FIXED, RQ_NOTE_EXTENSION},
                {"bee/a-copy.jpg", RQ_VERDICT_OK, 0},
                {"bee/b-cut.jpg", RQ_VERDICT_REJECTED, 0}};
enum { IMAGES = sizeof expected / sizeof *expected };

typedef struct check {
    int n;
    rq_exif_mode exif;
    rq_dedup_mode dedup;
} check;

static rq_status check_one(void *cookie, const rq_report_entry *e, const void *data,
                           size_t bytes, rq_err *err)
{
    check *c = cookie;
    const struct expected *want = &expected[c->n++];
    const bool copy = strcmp(e->name, "bee/a-copy.jpg") == 0;
    const bool turned = want->notes == RQ_NOTE_ORIENTATION && c->exif == RQ_EXIF_APPLY;
    assert_string_equal(e->name, want->name);
    assert_int_equal(e->verdict.kind, turned ? RQ_VERDICT_FIXED : want->kind);
    if (want->kind != RQ_VERDICT_REJECTED)
        assert_int_equal(e->info.notes, turned ? RQ_NOTE_TURNED : want->notes);
    assert_int_equal(e->label, e->name[0] == 'b');
    assert_int_equal(e->bytes, bytes);
    const rq_content_id id = rq_content_id_of(data, bytes);
    assert_true(e->hashed && e->content.high == id.high && e->content.low == id.low);
    if (copy && c->dedup != RQ_DEDUP_OFF) {
        assert_string_equal(e->duplicate_of, "ant/a-plain.jpg");
        assert_int_equal(e->duplicate_label, 0);
        assert_int_equal(e->dropped, c->dedup == RQ_DEDUP_DROP);
    } else {
        assert_null(e->duplicate_of);
    }
    return RQ_OK;
}

static void each_quirk_has_its_verdict(void **state)
{
    make_source();
    for (int dedup = RQ_DEDUP_OFF; dedup <= RQ_DEDUP_DROP; dedup++) {
        for (int exif = RQ_EXIF_IGNORE; exif <= RQ_EXIF_APPLY; exif++) {
            fixture f = {0};
            check c = {.exif = (rq_exif_mode)exif, .dedup = (rq_dedup_mode)dedup};
            rq_scan_opts_default(&f.opts);
            f.opts.exif = c.exif;
            f.opts.dedup = c.dedup;
            f.opts.seen = check_one;
            f.opts.seen_cookie = &c;
            assert_ok(scan(&f, NULL), &f.err);
            assert_int_equal(c.n, IMAGES);
            assert_int_equal(f.totals.images, IMAGES);
            assert_int_equal(f.totals.verdicts[RQ_VERDICT_REJECTED], 1);
            assert_int_equal(f.totals.duplicates, dedup != RQ_DEDUP_OFF);
            assert_int_equal(f.totals.conflicts, dedup != RQ_DEDUP_OFF);
            assert_int_equal(f.totals.dropped, dedup == RQ_DEDUP_DROP);
        }
    }
}

static void threads_change_nothing(void **state)
{
    rq_buf one = {0}, many = {0};
    make_source();
    for (int i = 0; i < 60; i++) { /* more than a ring of slots */
        char path[64];
        snprintf(path, sizeof path, "src/bee/%03d.jpg", i);
        put_jpeg(path,
                 (jpeg_spec){.width = 16 + i % 7 * 40, .height = 16, .quality = 50 + i / 2});
    }
    fixture f = {0};
    rq_scan_opts_default(&f.opts);
    f.opts.threads = 1;
    assert_ok(scan(&f, "one.jsonl"), &f.err);
    assert_ok(rq_file_read("one.jsonl", 1 << 20, &one, &f.err), &f.err);
    static const int threads[] = {2, 3, 16};
    for (size_t i = 0; i < 3; i++) {
        f.opts.threads = threads[i];
        assert_ok(scan(&f, "many.jsonl"), &f.err);
        assert_ok(rq_file_read("many.jsonl", 1 << 20, &many, &f.err), &f.err);
        assert_int_equal(one.size, many.size);
        assert_memory_equal(one.data, many.data, one.size);
    }
    rq_buf_free(&one);
    rq_buf_free(&many);
}

/* A budget of one image's memory lets them through one after another. */
static void memory_is_shared(void **state)
{
    fixture f = {0};
    make_source();
    rq_scan_opts_default(&f.opts);
    f.opts.threads = 4;
    f.opts.limits.max_memory_bytes = 64 * 48 * 4;
    assert_ok(scan(&f, NULL), &f.err);
    assert_int_equal(f.totals.images, IMAGES);
    assert_int_equal(f.totals.verdicts[RQ_VERDICT_REJECTED], 1);
    f.opts.limits.max_memory_bytes = 64 * 48 * 3 - 1; /* of RGB of that size */
    assert_ok(scan(&f, NULL), &f.err);
    assert_true(f.totals.verdicts[RQ_VERDICT_REJECTED] > 5);
}

/* Scans 24 pictures of 9 MB by eight threads with a budget of a little more than one, in a
 * process of its own; what that took at the most, in KiB. */
static long peak_of_large_pictures(void)
{
    struct rusage used;
    int wait_status;
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        fixture f = {0};
        mallopt(M_MMAP_THRESHOLD, 1 << 20); /* what is freed is given back */
        rq_scan_opts_default(&f.opts);
        f.opts.threads = 8;
        f.opts.limits.max_memory_bytes = 10 << 20;
        const rq_status st = scan(&f, NULL);
        _exit(st == RQ_OK && f.totals.verdicts[RQ_VERDICT_OK] == 24 ? 0 : 1);
    }
    assert_int_equal(wait4(pid, &wait_status, 0, &used), pid);
    assert_int_equal(wait_status, 0);
    return used.ru_maxrss;
}

static void threads_share_the_memory_of_one(void **state)
{
    enum { SIDE = 3000, PICTURES = 24, MOST_KIB = 40 << 10 };
    rq_err err = {0};
    rq_buf file = {0};
    if (SANITIZED)
        skip();
    uint8_t *pixels = calloc(SIDE, SIDE);
    assert_non_null(pixels);
    assert_ok(rq_png_encode(pixels, SIDE, SIDE, 1, &file, &err), &err);
    free(pixels);
    assert_int_equal(mkdir("src", 0777), 0);
    for (int i = 0; i < PICTURES; i++) {
        char path[64];
        snprintf(path, sizeof path, "src/%02d.png", i);
        put_file(path, &file);
    }
    rq_buf_free(&file);
    const long peak = peak_of_large_pictures();
    if (peak > MOST_KIB)
        fail_msg("eight threads took %ld MiB", peak >> 10);
}

/* ---- stopping ---------------------------------------------------------------------------- */

static rq_status raise_flag(void *cookie, const rq_report_entry *e, const void *data,
                            size_t bytes, rq_err *err)
{
    *(volatile sig_atomic_t *)cookie = 1;
    return RQ_OK;
}

static rq_status refuse(void *cookie, const rq_report_entry *e, const void *data, size_t bytes,
                        rq_err *err)
{
    return rq_fail(err, RQ_NO_SPACE, "enough");
}

static void a_scan_can_be_stopped(void **state)
{
    volatile sig_atomic_t flag = 0;
    fixture f = {0};
    make_source();
    rq_scan_opts_default(&f.opts);
    f.opts.cancel = &flag;
    f.opts.seen = raise_flag;
    f.opts.seen_cookie = (void *)(uintptr_t)&flag;
    assert_status(scan(&f, "stopped.jsonl"), RQ_CANCELLED);
    assert_int_not_equal(access("stopped.jsonl", F_OK), 0);
    f.opts.cancel = NULL;
    f.opts.seen = refuse;
    assert_status(scan(&f, "stopped.jsonl"), RQ_NO_SPACE);
    f.opts.seen = NULL;
    f.opts.stop_on_bad = true;
    assert_status(scan(&f, "stopped.jsonl"), RQ_TRUNCATED);
    assert_non_null(strstr(f.err.text, "bee/b-cut.jpg"));
    assert_int_not_equal(access("stopped.jsonl", F_OK), 0);
}

typedef struct heard {
    int warnings, others;
    bool last_explains;
} heard;

static void listen(void *cookie, rq_log_level level, const char *line)
{
    heard *h = cookie;
    h->warnings += level == RQ_LOG_WARN;
    h->others += level == RQ_LOG_INFO;
    if (level == RQ_LOG_WARN)
        h->last_explains = strstr(line, "only with --verbose") != NULL;
}

/* 30 bad images: 20 are named, then one line says that there are more. */
static void warnings_become_quiet(void **state)
{
    fixture f = {0};
    heard h = {0};
    assert_int_equal(mkdir("src", 0777), 0);
    for (int i = 0; i < 30; i++) {
        char path[64];
        snprintf(path, sizeof path, "src/%02d.jpg", i);
        put_file(path, &(rq_buf){.data = (uint8_t *)path, .size = 9});
    }
    rq_scan_opts_default(&f.opts);
    f.opts.log = (rq_log_sink){&h, RQ_LOG_INFO, listen};
    assert_ok(scan(&f, NULL), &f.err);
    assert_int_equal(f.totals.verdicts[RQ_VERDICT_REJECTED], 30);
    assert_int_equal(h.warnings, 21);
    assert_int_equal(h.others, 10);
    assert_true(h.last_explains);
}

/* The n-th of our allocations fails: an error or a whole report, never a crash. Which thread
 * meets it may differ, the outcome may not. */
static void no_memory_at_any_point(void **state)
{
    fixture f = {0};
    make_source();
    rq_scan_opts_default(&f.opts);
    f.opts.threads = 1;
    rq_status st = RQ_OOM;
    int n = 1, failures = 0;
    static const char *const paths[] = {"src"};
    for (; n < 400; n++) {
        rq_source_opts so;
        rq_source *src;
        rq_report *report;
        rq_source_opts_default(&so);
        rq_err_clear(&f.err);
        assert_ok(rq_source_open(&src, paths, 1, &so, &f.err), &f.err);
        assert_ok(rq_report_create(&report, NULL, &f.err), &f.err);
        rq_mem_fail_nth(n);
        st = rq_scan(src, &f.opts, report, &f.err);
        rq_mem_fail_nth(0);
        assert_true(st == RQ_OK || st == RQ_OOM);
        failures += st == RQ_OOM;
        rq_report_abort(&report);
        rq_source_close(&src);
        if (st == RQ_OK && n > 100)
            break;
    }
    assert_int_equal(st, RQ_OK);
    assert_true(failures > 10);
}

int main(void)
{
#define TEST(name)                                                                             \
    cmocka_unit_test_setup_teardown(name, test_enter_temp_dir, test_remove_temp_dir)
    const struct CMUnitTest tests[] = {
        TEST(each_quirk_has_its_verdict), TEST(threads_change_nothing),
        TEST(memory_is_shared),           TEST(threads_share_the_memory_of_one),
        TEST(warnings_become_quiet),      TEST(a_scan_can_be_stopped),
        TEST(no_memory_at_any_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
