// SPDX-License-Identifier: Apache-2.0
// Sources: one dataset in every layout gives one catalogue and the same bytes; order, classes,
// refusals, archives that are torn or lie.
#include "source_fixture.h"

/* ---- one dataset, many layouts ----------------------------------------------------------- */

/* In no order at all; each file's content is its own name. "B" sorts before "a". */
static const char *const dataset[][2] = {
    {"n02", "z.jpg"}, {"n01", "b.JPEG"}, {"n01", "a.jpg"},  {"B", "10.png"},
    {"B", "9.png"},   {"n02", "y"},      {"n01", "c.avif"},
};
enum { FILES = sizeof dataset / sizeof *dataset };
static const char *const catalogue[FILES] = {"B/10.png",   "B/9.png", "n01/a.jpg", "n01/b.JPEG",
                                             "n01/c.avif", "n02/y",   "n02/z.jpg"};
static const int catalogue_label[FILES] = {0, 0, 1, 1, 1, 2, 2};

static void full_name(char *dst, size_t n, int i)
{
    snprintf(dst, n, "%s/%s", dataset[i][0], dataset[i][1]);
}

static void write_folders(const char *root)
{
    for (int i = 0; i < FILES; i++) {
        char name[100], path[200];
        full_name(name, sizeof name, i);
        snprintf(path, sizeof path, "%s/%s", root, name);
        put_file(path, name);
    }
}

static void write_tar_of_tars(const char *path, int outer, int inner)
{
    static const char *const classes[] = {"n02", "B", "n01"};
    struct archive *a = tar_begin(path, outer);
    for (int c = 0; c < 3; c++) {
        struct archive *in = tar_begin("inner.tmp", inner);
        for (int i = 0; i < FILES; i++) {
            char name[100];
            full_name(name, sizeof name, i);
            if (strcmp(dataset[i][0], classes[c]) == 0)
                tar_text(in, dataset[i][1], name);
        }
        tar_end(in);
        char member[100];
        snprintf(member, sizeof member, "./%s%s", classes[c],
                 inner == ARCHIVE_FILTER_NONE ? ".tar" : ".tar.gz");
        tar_copy(a, member, "inner.tmp");
    }
    tar_end(a);
}

static void write_tar_folders(const char *path, const char *above, int filter)
{
    struct archive *a = tar_begin(path, filter);
    for (int i = 0; i < FILES; i++) {
        char name[100], member[200];
        full_name(name, sizeof name, i);
        snprintf(member, sizeof member, "%s%s", above, name);
        tar_text(a, member, name);
    }
    tar_end(a);
}

/* Catalogue and contents are those of `dataset`, twice, with a rewind between. */
static void check_dataset(fixture *f, const char *path, rq_layout layout)
{
    assert_ok(open_paths(f, path, NULL), &f->err);
    assert_string_equal(rq_layout_name(rq_source_layout(f->src)), rq_layout_name(layout));
    assert_int_equal(rq_source_count(f->src), FILES);
    assert_int_equal(rq_source_classes(f->src), 3);
    assert_string_equal(rq_source_class_name(f->src, 0), "B");
    assert_string_equal(rq_source_class_name(f->src, 2), "n02");
    assert_null(rq_source_class_name(f->src, 3));
    uint64_t bytes = 0;
    for (uint64_t id = 0; id < FILES; id++) {
        const rq_entry e = rq_source_entry(f->src, id);
        assert_string_equal(e.name, catalogue[id]);
        assert_int_equal(e.id, id);
        assert_int_equal(e.label, catalogue_label[id]);
        assert_string_equal(e.class_name, rq_source_class_name(f->src, e.label));
        assert_int_equal(e.bytes, strlen(e.name));
        bytes += e.bytes;
    }
    assert_int_equal(rq_source_bytes(f->src), bytes);
    for (int pass = 0; pass < 2; pass++) {
        unsigned seen = 0;
        rq_record r;
        rq_status s;
        for (int n = 0; (s = rq_source_next(f->src, &r, &f->err)) == RQ_OK; n++) {
            assert_int_equal(r.status, RQ_OK);
            assert_int_equal(r.size, strlen(r.entry.name));
            assert_memory_equal(r.data, r.entry.name, r.size);
            seen |= 1u << r.entry.id;
            if (layout == RQ_LAYOUT_CLASS_FOLDERS) /* folders are read in order of id */
                assert_int_equal(r.entry.id, n);
            if (layout == RQ_LAYOUT_TAR_FOLDERS) /* archives as stored */
                assert_int_equal(strcmp(rq_path_base(r.entry.name), dataset[n][1]), 0);
        }
        assert_ok(s == RQ_END ? RQ_OK : s, &f->err);
        assert_int_equal(seen, (1u << FILES) - 1);
        assert_status(rq_source_next(f->src, &r, NULL), RQ_END);
        assert_ok(rq_source_rewind(f->src, &f->err), &f->err);
    }
}

static void layouts_give_one_catalogue(void **state)
{
    fixture *f = *state;
    write_folders("d");
    check_dataset(f, "d", RQ_LAYOUT_CLASS_FOLDERS);
    check_dataset(f, "d//", RQ_LAYOUT_CLASS_FOLDERS);
    static const int filters[] = {ARCHIVE_FILTER_NONE, ARCHIVE_FILTER_GZIP,
                                  ARCHIVE_FILTER_ZSTD};
    for (int i = 0; i < 3; i++) {
        write_tar_of_tars("t.tar", filters[i], ARCHIVE_FILTER_NONE);
        check_dataset(f, "t.tar", RQ_LAYOUT_TAR_OF_TARS);
        write_tar_of_tars("t.tar", filters[i], ARCHIVE_FILTER_GZIP);
        check_dataset(f, "t.tar", RQ_LAYOUT_TAR_OF_TARS);
        write_tar_folders("t.tar", "", filters[i]);
        check_dataset(f, "t.tar", RQ_LAYOUT_TAR_FOLDERS);
        write_tar_folders("t.tar", "./top/train/", filters[i]);
        check_dataset(f, "t.tar", RQ_LAYOUT_TAR_FOLDERS);
        write_tar_folders("t.tar", "/../..//", filters[i]);
        check_dataset(f, "t.tar", RQ_LAYOUT_TAR_FOLDERS);
    }
}

static void a_real_tar_program_is_understood(void **state)
{
    fixture *f = *state;
    write_folders("d");
    static const char *const commands[] = {
        "tar --format=gnu -cf t.tar -C d .", "tar --format=ustar -cf t.tar -C d B n01 n02",
        "tar --format=pax -cf t.tar d", "tar --format=v7 -czf t.tar d"};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (system(commands[i]) != 0)
            skip();
        assert_ok(open_paths(f, "t.tar", NULL), &f->err);
        assert_int_equal(rq_source_count(f->src), FILES);
        for (uint64_t id = 0; id < FILES; id++)
            assert_string_equal(rq_source_entry(f->src, id).name, catalogue[id]);
        assert_int_equal(f->n_log, 0);
    }
}

static void flat_sources_have_no_labels(void **state)
{
    fixture *f = *state;
    put_file("d/b.jpg", "b");
    put_file("d/a.png", "a");
    struct archive *a = tar_begin("t.tar", ARCHIVE_FILTER_NONE);
    tar_text(a, "./b.jpg", "b");
    tar_text(a, "a.png", "a");
    tar_end(a);
    for (int i = 0; i < 2; i++) {
        assert_ok(open_paths(f, i == 0 ? "d" : "t.tar", NULL), &f->err);
        assert_int_equal(rq_source_layout(f->src),
                         i == 0 ? RQ_LAYOUT_FLAT_FOLDER : RQ_LAYOUT_TAR_FLAT);
        assert_int_equal(rq_source_classes(f->src), 0);
        const rq_entry e = rq_source_entry(f->src, 0);
        assert_string_equal(e.name, "a.png");
        assert_int_equal(e.label, -1);
        assert_null(e.class_name);
        rq_record r;
        assert_ok(rq_source_next(f->src, &r, &f->err), &f->err);
        assert_string_equal(r.entry.name, i == 0 ? "a.png" : "b.jpg");
    }
    /* A layout that is asked for wins over what it looks like. */
    write_folders("e");
    f->opts.layout = RQ_LAYOUT_FLAT_FOLDER;
    assert_ok(open_paths(f, "e", NULL), &f->err);
    assert_int_equal(rq_source_classes(f->src), 0);
    assert_string_equal(rq_source_entry(f->src, 2).name, "n01/a.jpg");
    f->opts.layout = RQ_LAYOUT_TAR_OF_TARS;
    assert_status(open_paths(f, "e", NULL), RQ_INVALID_ARG);
}

/* The record behind k skipped ones is the one that the k + 1st next gives. */
static void skipped_records_are_as_if_read(void **state)
{
    fixture *f = *state;
    write_folders("d");
    write_tar_of_tars("t.tar", ARCHIVE_FILTER_NONE, ARCHIVE_FILTER_NONE);
    write_tar_of_tars("c.tar", ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_NONE);
    static const char *const paths[] = {"d", "t.tar", "c.tar"};
    for (int kind = 0; kind < 3; kind++) {
        uint64_t order[FILES];
        rq_record r;
        assert_ok(open_paths(f, paths[kind], NULL), &f->err);
        for (int i = 0; i < FILES; i++) {
            assert_ok(rq_source_next(f->src, &r, &f->err), &f->err);
            order[i] = r.entry.id;
        }
        for (uint64_t k = 0; k < FILES; k++) {
            for (uint64_t read = 0; read <= k; read++) { /* some read, the rest skipped */
                assert_ok(rq_source_rewind(f->src, &f->err), &f->err);
                for (uint64_t i = 0; i < read; i++)
                    assert_ok(rq_source_next(f->src, &r, &f->err), &f->err);
                assert_ok(rq_source_skip(f->src, k - read, &f->err), &f->err);
                assert_ok(rq_source_next(f->src, &r, &f->err), &f->err);
                assert_int_equal(r.entry.id, order[k]);
                assert_memory_equal(r.data, r.entry.name, r.size);
            }
        }
        assert_status(rq_source_skip(f->src, 1, NULL), RQ_INVALID_ARG);
        assert_ok(rq_source_skip(f->src, 0, &f->err), &f->err);
        assert_status(rq_source_next(f->src, &r, NULL), RQ_END);
    }
}

static void inputs_merge_by_class(void **state)
{
    fixture *f = *state;
    put_file("one/n01/a.jpg", "1");
    put_file("one/n03/a.jpg", "1");
    struct archive *a = tar_begin("two.tar", ARCHIVE_FILTER_NONE);
    tar_text(a, "n01/b.jpg", "2");
    tar_text(a, "n02/a.jpg", "2");
    tar_text(a, "n03/a.jpg", "twin");
    tar_end(a);
    assert_ok(open_paths(f, "one", "two.tar"), &f->err);
    assert_int_equal(rq_source_classes(f->src), 3);
    static const char *const names[] = {"n01/a.jpg", "n01/b.jpg", "n02/a.jpg", "n03/a.jpg",
                                        "n03/a.jpg"};
    assert_int_equal(rq_source_count(f->src), 5);
    for (uint64_t id = 0; id < 5; id++)
        assert_string_equal(rq_source_entry(f->src, id).name, names[id]);
    int rejected = 0;
    rq_record r;
    while (rq_source_next(f->src, &r, &f->err) == RQ_OK) {
        if (r.status == RQ_OK)
            continue;
        rejected++;
        assert_int_equal(r.entry.id, 4);
        assert_null(r.data);
        assert_non_null(strstr(r.reason, "duplicate name"));
    }
    assert_int_equal(rejected, 1);
    put_file("flat/a.jpg", "1");
    assert_status(open_paths(f, "one", "flat"), RQ_INVALID_ARG);
}

static void what_is_no_image_is_passed_over(void **state)
{
    fixture *f = *state;
    put_file("d/n01/a.jpg", "a");
    put_file("d/n01/deep/er/b.jpg", "b");
    put_file("d/n01/.hidden.jpg", "x");
    put_file("d/n01/notes.TXT", "x");
    put_file("d/n01/no extension", "c");
    put_file("d/.git/n01/a.jpg", "x");
    put_file("d/labels.csv", "x");
    put_file("d/loose.jpg", "x");
    assert_int_equal(mkdir("d/empty", 0777), 0);
    assert_int_equal(mkfifo("d/n01/pipe.jpg", 0666), 0);
    assert_ok(open_paths(f, "d", NULL), &f->err);
    assert_int_equal(rq_source_count(f->src), 3);
    assert_string_equal(rq_source_entry(f->src, 1).name, "n01/deep/er/b.jpg");
    assert_string_equal(rq_source_entry(f->src, 1).class_name, "n01");
    /* .hidden.jpg, notes.TXT, .git, labels.csv, loose.jpg, the pipe */
    assert_int_equal(rq_source_passed_over(f->src), 6);
    assert_int_equal(rq_source_classes(f->src), 2);
    assert_string_equal(rq_source_class_name(f->src, 0), "empty");
    assert_int_equal(rq_source_entry(f->src, 0).label, 1);
    assert_int_equal(f->n_log, 2);
    assert_non_null(strstr(f->log[0], "loose.jpg"));
    assert_non_null(strstr(f->log[1], "class 'empty' has no images"));

    struct archive *a = tar_begin("t.tar", ARCHIVE_FILTER_NONE);
    tar_text(a, "top/", "");
    tar_text(a, "top/empty/", "");
    tar_text(a, "top/n01/", "");
    tar_text(a, "top/n01/a.jpg", "a");
    tar_text(a, "top/n01/._a.jpg", "x");
    tar_text(a, "top/._n01.tar", "no archive at all");
    tar_text(a, "top/n01/a.xml", "x");
    tar_link(a, "top/n01/soft.jpg", "/etc/passwd", false);
    tar_link(a, "top/n01/hard.jpg", "top/n01/a.jpg", true);
    tar_end(a);
    assert_ok(open_paths(f, "t.tar", NULL), &f->err);
    assert_int_equal(rq_source_count(f->src), 1);
    assert_int_equal(rq_source_passed_over(f->src), 5);
    assert_int_equal(rq_source_classes(f->src), 2);
    assert_string_equal(rq_source_class_name(f->src, 0), "empty");
}

static void empty_class_archive_keeps_its_label(void **state)
{
    fixture *f = *state;
    struct archive *in = tar_begin("inner.tmp", ARCHIVE_FILTER_NONE);
    tar_end(in);
    struct archive *a = tar_begin("t.tar", ARCHIVE_FILTER_NONE);
    tar_copy(a, "n01.tar", "inner.tmp");
    tar_put(a, "n02.tar", "", 0);
    in = tar_begin("inner.tmp", ARCHIVE_FILTER_NONE);
    tar_text(in, "n03/x.jpg", "x"); /* its own folder is not repeated in the name */
    tar_end(in);
    tar_copy(a, "n03.tar", "inner.tmp");
    tar_end(a);
    assert_ok(open_paths(f, "t.tar", NULL), &f->err);
    assert_int_equal(rq_source_classes(f->src), 3);
    assert_int_equal(rq_source_count(f->src), 1);
    assert_string_equal(rq_source_entry(f->src, 0).name, "n03/x.jpg");
    assert_int_equal(rq_source_entry(f->src, 0).label, 2);
    assert_int_equal(f->n_log, 1);
    assert_non_null(strstr(f->log[0], "2 of 3 classes have no images"));
    assert_non_null(strstr(f->log[0], "'n01' with label 0"));
}

static void links_are_followed_but_loops_end(void **state)
{
    fixture *f = *state;
    put_file("store/real.jpg", "real");
    put_file("d/n01/a.jpg", "a");
    assert_int_equal(symlink("../../store/real.jpg", "d/n01/linked.jpg"), 0);
    assert_int_equal(symlink("../store", "d/n02"), 0);
    assert_int_equal(symlink("..", "d/n01/loop"), 0);
    assert_int_equal(symlink("nowhere.jpg", "d/n01/dangling.jpg"), 0);
    assert_int_equal(symlink("self.jpg", "d/n01/self.jpg"), 0);
    assert_ok(open_paths(f, "d", NULL), &f->err);
    static const char *const names[] = {"n01/a.jpg", "n01/dangling.jpg", "n01/linked.jpg",
                                        "n01/self.jpg", "n02/real.jpg"};
    assert_int_equal(rq_source_count(f->src), 5);
    rq_record r;
    for (uint64_t id = 0; id < 5; id++) {
        assert_ok(rq_source_next(f->src, &r, &f->err), &f->err);
        assert_string_equal(r.entry.name, names[id]);
        assert_int_equal(r.status == RQ_OK, id != 1 && id != 3);
        assert_int_equal(r.status == RQ_OK, r.reason[0] == '\0');
    }
}

static void one_bad_file_does_not_stop_the_rest(void **state)
{
    fixture *f = *state;
    put_file("d/n01/a.jpg", "aaaa");
    put_file("d/n01/b.jpg", "much too large");
    put_file("d/n01/c.jpg", "");
    put_file("d/n01/gone.jpg", "x");
    put_file("d/n01/grown.jpg", "x");
    f->opts.max_member_bytes = 8;
    assert_ok(open_paths(f, "d", NULL), &f->err);
    assert_int_equal(unlink("d/n01/gone.jpg"), 0);
    put_file("d/n01/grown.jpg", "has grown since it was listed");
    static const rq_status want[] = {RQ_OK, RQ_LIMIT, RQ_OK, RQ_NOT_FOUND, RQ_LIMIT};
    rq_record r;
    for (int i = 0; i < 5; i++) {
        assert_ok(rq_source_next(f->src, &r, &f->err), &f->err);
        assert_status(r.status, want[i]);
        assert_int_equal(r.data != NULL, want[i] == RQ_OK);
        assert_int_equal(r.reason[0] != '\0', want[i] != RQ_OK);
    }
    assert_int_equal(r.size, 0);
    assert_status(rq_source_next(f->src, &r, NULL), RQ_END);
    /* The whole folder gone is another matter. */
    assert_ok(rq_source_rewind(f->src, &f->err), &f->err);
    assert_int_equal(rename("d", "e"), 0);
    assert_status(rq_source_next(f->src, &r, &f->err), RQ_NOT_FOUND);
    assert_non_null(strstr(f->err.text, "folder d"));

    for (int filter = 0; filter < 2; filter++) {
        struct archive *a =
            tar_begin("t.tar", filter ? ARCHIVE_FILTER_GZIP : ARCHIVE_FILTER_NONE);
        tar_text(a, "n01/a.jpg", "aaaa");
        tar_text(a, "n01/b.jpg", "much too large");
        tar_text(a, "n01/c.jpg", "cc");
        tar_text(a, "n01/d.jpg", "");
        tar_end(a);
        assert_ok(open_paths(f, "t.tar", NULL), &f->err);
        for (int i = 0; i < 4; i++) {
            assert_ok(rq_source_next(f->src, &r, &f->err), &f->err);
            assert_status(r.status, i == 1 ? RQ_LIMIT : RQ_OK);
        }
        assert_non_null(r.data);
        assert_int_equal(r.size, 0);
    }
}

static void sparse_and_nested_members_are_refused(void **state)
{
    fixture *f = *state;
    if (system("truncate -s 300k s.jpg && printf end >> s.jpg && "
               "tar --format=gnu -cSf sparse.tar s.jpg && tar --format=pax -cSf sparse2.tar "
               "s.jpg") != 0)
        skip();
    for (int i = 0; i < 2; i++) {
        rq_record r;
        assert_ok(open_paths(f, i == 0 ? "sparse.tar" : "sparse2.tar", NULL), &f->err);
        assert_ok(rq_source_next(f->src, &r, &f->err), &f->err);
        assert_status(r.status, RQ_UNSUPPORTED);
        assert_non_null(strstr(r.reason, "sparse"));
    }
    write_tar_of_tars("t1.tar", ARCHIVE_FILTER_NONE, ARCHIVE_FILTER_NONE);
    struct archive *a = tar_begin("t2.tar", ARCHIVE_FILTER_NONE);
    tar_copy(a, "deep.tar", "t1.tar");
    tar_end(a);
    rq_record r;
    assert_ok(open_paths(f, "t2.tar", NULL), &f->err);
    assert_int_equal(rq_source_count(f->src), 3);
    assert_ok(rq_source_next(f->src, &r, &f->err), &f->err);
    assert_status(r.status, RQ_UNSUPPORTED);
    f->opts.max_depth = 3;
    assert_ok(open_paths(f, "t2.tar", NULL), &f->err);
    assert_int_equal(rq_source_count(f->src), FILES);
    f->opts.max_depth = 1;
    assert_ok(open_paths(f, "t1.tar", NULL), &f->err);
    assert_int_equal(rq_source_classes(f->src), 0);
}

/* ---- damage ------------------------------------------------------------------------------ */

static rq_status open_and_drain(fixture *f, const char *path)
{
    rq_status s = open_paths(f, path, NULL);
    rq_record r;
    while (s == RQ_OK)
        s = rq_source_next(f->src, &r, &f->err);
    return s;
}

static void write_prefix(const rq_buf *file, size_t n)
{
    put_bytes("cut.tar", file->data, n);
}

static void a_torn_archive_is_an_error_or_a_warning(void **state)
{
    fixture *f = *state;
    for (int kind = 0; kind < 3; kind++) {
        if (kind == 1)
            write_tar_folders("t.tar", "", ARCHIVE_FILTER_GZIP);
        else if (kind == 2)
            write_tar_folders("t.tar", "", ARCHIVE_FILTER_NONE);
        else
            write_tar_of_tars("t.tar", ARCHIVE_FILTER_NONE, ARCHIVE_FILTER_NONE);
        rq_buf file = {0};
        assert_ok(rq_file_read("t.tar", 1 << 24, &file, &f->err), &f->err);
        const size_t end = kind == 1 ? file.size - 1 : file.size;
        for (size_t n = 0; n < end; n += kind == 1 ? 7 : 97) {
            write_prefix(&file, n);
            const rq_status s = open_and_drain(f, "cut.tar");
            if (s == RQ_END) { /* cut in the zeros, or between members: then it is said */
                assert_true(rq_source_count(f->src) == FILES || f->n_log > 0);
                continue;
            }
            assert_true(s == RQ_TRUNCATED || s == RQ_BAD_FORMAT || s == RQ_NOT_FOUND);
            assert_non_null(strstr(f->err.text, "cut.tar"));
        }
        rq_buf_free(&file);
    }
    /* In the data of a member: where, and what to do. */
    struct archive *a = tar_begin("t.tar", ARCHIVE_FILTER_NONE);
    char big[5000];
    memset(big, 'x', sizeof big);
    tar_put(a, "n01/a.jpg", big, sizeof big);
    tar_end(a);
    rq_buf file = {0};
    assert_ok(rq_file_read("t.tar", 1 << 24, &file, &f->err), &f->err);
    write_prefix(&file, 3000);
    rq_buf_free(&file);
    assert_status(open_and_drain(f, "cut.tar"), RQ_TRUNCATED);
    assert_non_null(strstr(f->err.text, "byte 3000"));
    assert_non_null(strstr(f->err.text, "whole"));
}

/* Sets the size field of the member at `offset` and mends its checksum. */
static void lie_about_size(rq_buf *file, size_t offset, const char *field)
{
    uint8_t *h = file->data + offset;
    memcpy(h + 124, field, 12);
    memset(h + 148, ' ', 8);
    unsigned sum = 0;
    for (int i = 0; i < 512; i++)
        sum += h[i];
    char text[16];
    snprintf(text, sizeof text, "%06o", sum);
    memcpy(h + 148, text, 7);
}

static void lying_sizes_cost_nothing(void **state)
{
    fixture *f = *state;
    static const char *const fields[] = {
        "77777777777",                                      /* 8 GiB */
        "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff",       /* 2^63 - 1, base 256 */
        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xf0", /* -16 */
        "not a number",
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        struct archive *a = tar_begin("t.tar", ARCHIVE_FILTER_NONE);
        tar_text(a, "n01/a.jpg", "aaaa");
        tar_end(a);
        rq_buf file = {0};
        assert_ok(rq_file_read("t.tar", 1 << 24, &file, &f->err), &f->err);
        lie_about_size(&file, 0, fields[i]);
        put_bytes("lie.tar", file.data, file.size);
        rq_buf_free(&file);
        const rq_status s = open_and_drain(f, "lie.tar");
        if (s == RQ_OK || s == RQ_INTERNAL || s == RQ_OOM)
            fail_msg("case %zu: %s", i, rq_status_name(s));
    }
}

static void no_changed_byte_harms_the_reader(void **state)
{
    fixture *f = *state;
    write_tar_of_tars("t.tar", ARCHIVE_FILTER_NONE, ARCHIVE_FILTER_NONE);
    rq_buf file = {0};
    assert_ok(rq_file_read("t.tar", 1 << 24, &file, &f->err), &f->err);
    int fd = open("bad.tar", O_RDWR | O_CREAT | O_TRUNC, 0666);
    assert_true(fd >= 0);
    assert_status(rq_write_full(fd, file.data, file.size, "bad.tar", NULL), RQ_OK);
    for (size_t i = 0; i < 4096 && i < file.size; i += 3) {
        const uint8_t changed = (uint8_t)(file.data[i] ^ 0x81);
        assert_int_equal(pwrite(fd, &changed, 1, (off_t)i), 1);
        assert_int_not_equal(open_and_drain(f, "bad.tar"), RQ_INTERNAL);
        assert_int_equal(pwrite(fd, file.data + i, 1, (off_t)i), 1);
    }
    close(fd);
    rq_buf_free(&file);
}

static void what_swells_is_stopped(void **state)
{
    fixture *f = *state;
    struct archive *a = tar_begin("t.tar", ARCHIVE_FILTER_ZSTD);
    enum { BIG = 200 << 20, CHUNK = 1 << 20 };
    struct archive_entry *e = archive_entry_new();
    archive_entry_set_pathname(e, "n01/zeros.jpg");
    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_size(e, BIG);
    assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
    archive_entry_free(e);
    uint8_t *zeros = calloc(1, CHUNK);
    for (int i = 0; i < BIG / CHUNK; i++)
        assert_int_equal(archive_write_data(a, zeros, CHUNK), CHUNK);
    free(zeros);
    tar_text(a, "n01/a.jpg", "aaaa");
    tar_end(a);
    assert_status(open_and_drain(f, "t.tar"), RQ_LIMIT);
    assert_non_null(strstr(f->err.text, "compressed size"));
}

static void limits_and_refusals_name_the_next_step(void **state)
{
    fixture *f = *state;
    assert_status(open_paths(f, "nowhere", NULL), RQ_NOT_FOUND);
    assert_string_equal(f->err.text,
                        "nowhere: no such folder or archive; give a folder of class "
                        "folders or a tar archive");
    put_file("text.tar", "this is a text file that pretends to be an archive");
    assert_status(open_paths(f, "text.tar", NULL), RQ_BAD_FORMAT);
    assert_non_null(strstr(f->err.text, "not a tar archive that can be read"));
    put_file("image.jpg", "\xFF\xD8\xFF\xE0 and so on");
    assert_status(open_paths(f, "image.jpg", NULL), RQ_UNSUPPORTED);
    assert_non_null(strstr(f->err.text, "single JPEG image; give"));
    put_file("empty.tar", "");
    assert_status(open_paths(f, "empty.tar", NULL), RQ_TRUNCATED);
    assert_int_equal(mkdir("d", 0777), 0);
    assert_status(open_paths(f, "d", NULL), RQ_NOT_FOUND);
    assert_non_null(strstr(f->err.text, "no images"));
    put_file("tars/n01.tar", "x");
    assert_status(open_paths(f, "tars", NULL), RQ_BAD_FORMAT);
    assert_non_null(strstr(f->err.text, "tars/n01.tar"));
    assert_int_equal(mkfifo("pipe", 0666), 0);
    assert_status(open_paths(f, "pipe", NULL), RQ_UNSUPPORTED);
    write_folders("e");
    f->opts.max_entries = 5;
    assert_status(open_paths(f, "e", NULL), RQ_LIMIT);
    assert_status(rq_source_open(&f->src, NULL, 0, &f->opts, NULL), RQ_INVALID_ARG);
}

/* Names are bytes: UTF-8, Latin-1 and control bytes come through as they are stored. */
static void names_are_bytes(void **state)
{
    fixture *f = *state;
    static const char *const names[] = {"n01/\x01 line\nfeed.jpg", "n01/caf\xc3\xa9.jpg",
                                        "n01/caf\xe9.jpg"};
    for (int i = 0; i < 3; i++) {
        char path[100];
        snprintf(path, sizeof path, "d/%s", names[i]);
        put_file(path, names[i]);
    }
    static const char *const commands[] = {":", "tar --format=pax -cf t.tar -C d .",
                                           "tar --format=gnu -cf t.tar -C d ."};
    for (int i = 0; i < 3; i++) {
        if (system(commands[i]) != 0)
            skip();
        assert_ok(open_paths(f, i == 0 ? "d" : "t.tar", NULL), &f->err);
        assert_int_equal(rq_source_count(f->src), 3);
        for (uint64_t id = 0; id < 3; id++)
            assert_string_equal(rq_source_entry(f->src, id).name, names[id]);
    }
}

static void no_memory_at_any_point(void **state)
{
    fixture *f = *state;
    write_tar_of_tars("t.tar", ARCHIVE_FILTER_NONE, ARCHIVE_FILTER_NONE);
    write_folders("d");
    for (int kind = 0; kind < 2; kind++) {
        rq_status s = RQ_OOM;
        int n = 1;
        for (; s != RQ_END && n < 200; n++) {
            rq_mem_fail_nth(n);
            s = open_and_drain(f, kind == 0 ? "t.tar" : "d");
            rq_mem_fail_nth(0);
            assert_true(s == RQ_END || s == RQ_OOM);
        }
        assert_true(n > 5 && n < 200);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, source_setup, source_teardown)
    const struct CMUnitTest tests[] = {
        TEST(layouts_give_one_catalogue),
        TEST(a_real_tar_program_is_understood),
        TEST(flat_sources_have_no_labels),
        TEST(skipped_records_are_as_if_read),
        TEST(inputs_merge_by_class),
        TEST(what_is_no_image_is_passed_over),
        TEST(empty_class_archive_keeps_its_label),
        TEST(links_are_followed_but_loops_end),
        TEST(one_bad_file_does_not_stop_the_rest),
        TEST(sparse_and_nested_members_are_refused),
        TEST(a_torn_archive_is_an_error_or_a_warning),
        TEST(lying_sizes_cost_nothing),
        TEST(no_changed_byte_harms_the_reader),
        TEST(what_swells_is_stopped),
        TEST(limits_and_refusals_name_the_next_step),
        TEST(names_are_bytes),
        TEST(no_memory_at_any_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
