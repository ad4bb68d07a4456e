// SPDX-License-Identifier: Apache-2.0
// Labels beside the images: tables of MATLAB files, devkits whose ids are not in the order of
// the class names, Kaggle's files, rows of names and labels in every spelling, and what is
// refused instead of guessed.
#include "source_fixture.h"

#include "common/bytes.h"
#include "ingest/labels.h"
#include "ingest/matfile.h"
#include "ingest/rows.h"

/* ---- MATLAB tables ----------------------------------------------------------------------- */

typedef struct seen {
    char text[4096];
    size_t rows;
} seen;

static rq_status note(void *cookie, size_t row, const char *field, const rq_mat_value *v,
                      rq_err *err)
{
    seen *s = cookie;
    char value[100];
    const size_t used = strlen(s->text);
    if (v->is_text)
        snprintf(value, sizeof value, "'%.60s'", v->text);
    else
        snprintf(value, sizeof value, "%g/%zu", v->number, v->count);
    snprintf(s->text + used, sizeof s->text - used, "%zu.%s=%s ", row, field, value);
    s->rows = row + 1;
    return RQ_OK;
}

static rq_status read_table(const rq_buf *file, const char *variable, seen *s, rq_err *err)
{
    memset(s, 0, sizeof *s);
    *err = (rq_err){0};
    const rq_status st =
        rq_mat_read_struct(file->data, file->size, "meta.mat", variable, note, s, err);
    assert_int_equal(st == RQ_OK, err->text[0] == '\0');
    return st;
}

static void a_table_is_read_row_by_row(void **state)
{
    static const mat_synset synsets[] = {{3, "n01440764", 0}, {1000, "n2", 2}, {7, "", 3}};
    static const char want[] =
        "0.ILSVRC2012_ID=3/1 0.WNID='n01440764' 0.words='what it is called, and more' "
        "0.num_children=0/1 0.children=0/0 "
        "1.ILSVRC2012_ID=1000/1 1.WNID='n2' 1.words='what it is called, and more' "
        "1.num_children=2/1 1.children=1/2 "
        "2.ILSVRC2012_ID=7/1 2.WNID='' 2.words='what it is called, and more' "
        "2.num_children=3/1 2.children=1/3 ";
    for (int compress = 0; compress < 2; compress++) {
        rq_buf file = {0};
        seen s;
        rq_err err;
        make_meta(&file, synsets, 3, compress);
        assert_true(rq_mat_sniff(file.data, file.size));
        assert_ok(read_table(&file, "synsets", &s, &err), &err);
        assert_string_equal(s.text, want);
        assert_status(read_table(&file, "synset", &s, &err), RQ_NOT_FOUND);
        assert_non_null(strstr(err.text, "'synset'"));
        /* another variable before it */
        rq_buf two = {0}, other = {0};
        assert_status(rq_buf_append(&two, file.data, 128, NULL), RQ_OK);
        mat_array(&other, 6, 0, 0, "x");
        mat_element(&two, 14, other.data, other.size);
        assert_status(rq_buf_append(&two, file.data + 128, file.size - 128, NULL), RQ_OK);
        assert_ok(read_table(&two, "synsets", &s, &err), &err);
        assert_string_equal(s.text, want);
        rq_buf_free(&two);
        rq_buf_free(&other);
        rq_buf_free(&file);
    }
}

static void other_kinds_of_files_are_refused(void **state)
{
    rq_buf file = {0};
    seen s;
    rq_err err;
    make_meta(&file, devkit_synsets, DEVKIT_SYNSETS, false);
    memcpy(file.data + 124, "\1\0MI", 4);
    assert_status(read_table(&file, "synsets", &s, &err), RQ_UNSUPPORTED);
    assert_non_null(strstr(err.text, "big-endian"));
    memcpy(file.data + 124, "\0\2IM", 4); /* 7.3, which is HDF5 */
    assert_status(read_table(&file, "synsets", &s, &err), RQ_UNSUPPORTED);
    assert_non_null(strstr(err.text, "version 5"));
    file.data[0] = 'X';
    assert_status(read_table(&file, "synsets", &s, &err), RQ_BAD_FORMAT);
    rq_buf_free(&file);
}

/* Cut anywhere, and with any byte changed: an error or another table, never harm. The copy has
 * exactly the bytes that are there, so that a sanitizer sees one too far. */
static void no_damage_harms_the_reader(void **state)
{
    for (int compress = 0; compress < 2; compress++) {
        rq_buf file = {0};
        seen s;
        rq_err err;
        make_meta(&file, devkit_synsets, 2, compress);
        for (size_t n = 0; n < file.size; n++) {
            rq_buf cut = {.data = malloc(n > 0 ? n : 1), .size = n};
            memcpy(cut.data, file.data, n);
            assert_int_not_equal(read_table(&cut, "synsets", &s, &err), RQ_OK);
            free(cut.data);
        }
        static const uint8_t changes[] = {0x01, 0x80, 0xFF};
        for (size_t i = 128; i < file.size; i++) {
            for (size_t k = 0; k < sizeof changes; k++) {
                file.data[i] ^= changes[k];
                const rq_status st = read_table(&file, "synsets", &s, &err);
                assert_true(st != RQ_INTERNAL && st != RQ_OOM);
                file.data[i] ^= changes[k];
            }
        }
        rq_buf_free(&file);
    }
}

/* Variables of zeros that swell a thousandfold end at the limit, which is one for all: each of
 * these is too small for it. */
static void a_swelling_table_is_stopped(void **state)
{
    const size_t big = (size_t)RQ_MAT_INFLATED_MAX / 3;
    uint8_t *zeros = calloc(1, big);
    rq_buf file = {0};
    seen s;
    rq_err err;
    assert_non_null(zeros);
    make_meta(&file, devkit_synsets, 1, false);
    file.size = 128;
    uLongf bytes = compressBound(big);
    uint8_t *packed = malloc(bytes);
    assert_int_equal(compress2(packed, &bytes, zeros, big, 1), Z_OK);
    for (int i = 0; i < 6; i++) {
        mat_u32(&file, 15);
        mat_u32(&file, (uint32_t)bytes);
        assert_status(rq_buf_append(&file, packed, bytes, NULL), RQ_OK);
        if (i == 0) /* zeros are no variable */
            assert_status(read_table(&file, "synsets", &s, &err), RQ_NOT_FOUND);
    }
    assert_status(read_table(&file, "synsets", &s, &err), RQ_LIMIT);
    free(zeros);
    free(packed);
    rq_buf_free(&file);
}

/* ---- rows -------------------------------------------------------------------------------- */

static rq_status parse(rq_rows *r, const char *text, size_t bytes, rq_rows_kind kind,
                       rq_err *err)
{
    rq_buf buf = {0};
    *err = (rq_err){0};
    assert_status(rq_buf_append(&buf, text, bytes, NULL), RQ_OK);
    return rq_rows_parse(r, &buf, kind, "labels.txt", err);
}

static void rows_in_every_spelling(void **state)
{
    static const struct {
        const char *text, *want; /* "name>label;" or "name;" */
    } cases[] = {
        {"a.jpg 1\nb.jpg 2\n", "a.jpg>1;b.jpg>2;"},
        {"a.jpg 1\r\nb.jpg 2", "a.jpg>1;b.jpg>2;"},
        {"\xEF\xBB\xBF"
         "a.jpg   1  \n\n# note\n  b c.jpg\t 2\n",
         "a.jpg>1;b c.jpg>2;"},
        {"a b.jpg\tgreen tea\nc.jpg\tblack, hot\n", "a b.jpg>green tea;c.jpg>black, hot;"},
        {"a.jpg,1\nx,y.jpg,2\n", "a.jpg>1;x,y.jpg>2;"},
        {"\"a, \"\"b\"\".jpg\",\"the \"\"c\"\"\"\nb.jpg,2\n",
         "a, \"b\".jpg>the \"c\";b.jpg>2;"},
        {"a.jpg,\"beer, cold\"\n\"b,c\",2\n", "a.jpg>beer, cold;b,c>2;"},
        {"\"unended,1\n\",2\n", "\"unended>1;\">2;"},
        {"filename,label\na.jpg,1\n", "a.jpg>1;"},
        {"ImageId,PredictionString\nv_1,n2 1 2 3 4 n2 5 6 7 8 \nv_2,n1 0 0 9 9 \n",
         "v_1>n2;v_2>n1;"},
        {"3\n1\n4\n", "3;1;4;"},
        {"my photo.jpg\nother photo.jpg\n", "my photo.jpg;other photo.jpg;"},
        {"a.jpg\nb.jpg 2\n", "a.jpg;b.jpg 2;"},
        {"dir/a b\ndir/c\n", "dir/a b;dir/c;"},
        {"", ""},
        {"# nothing\n\n", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rq_rows r;
        rq_err err;
        char got[500] = "";
        assert_ok(parse(&r, cases[i].text, strlen(cases[i].text), RQ_ROWS_AUTO, &err), &err);
        for (size_t k = 0; k < r.n; k++) {
            const size_t used = strlen(got);
            assert_int_equal(r.rows[k].label != NULL, r.paired);
            snprintf(got + used, sizeof got - used, "%s%s%s;", r.rows[k].name,
                     r.paired ? ">" : "", r.paired ? r.rows[k].label : "");
        }
        assert_string_equal(got, cases[i].want);
        rq_rows_free(&r);
    }
}

static void rows_that_are_refused(void **state)
{
    rq_rows r;
    rq_err err;
    assert_status(parse(&r, "a 1\nb\0c 2\n", 11, RQ_ROWS_AUTO, &err), RQ_BAD_FORMAT);
    assert_non_null(strstr(err.text, "line 2"));
    assert_status(parse(&r, "a,1\n,2\n", 7, RQ_ROWS_AUTO, &err), RQ_BAD_FORMAT);
    assert_non_null(strstr(err.text, "line 2: no name"));
    assert_status(parse(&r, "a,1\n\nb,\n", 8, RQ_ROWS_AUTO, &err), RQ_BAD_FORMAT);
    assert_non_null(strstr(err.text, "line 3: no label"));
    char *line = malloc(20000);
    memset(line, 'x', 20000);
    assert_status(parse(&r, line, 20000, RQ_ROWS_NAMES, &err), RQ_LIMIT);
    free(line);
    assert_int_equal(mkfifo("pipe", 0666), 0);
    assert_status(rq_rows_read(&r, "pipe", RQ_ROWS_AUTO, &err), RQ_NOT_FOUND);
    assert_status(rq_rows_read(&r, "nowhere", RQ_ROWS_AUTO, NULL), RQ_NOT_FOUND);
}

static void numbers_are_whole_and_not_too_large(void **state)
{
    assert_int_equal(rq_label_number("0"), 0);
    assert_int_equal(rq_label_number("007"), 7);
    assert_int_equal(rq_label_number("1048575"), 1048575);
    static const char *const none[] = {"",        "-1",          "+1",  "1.0",
                                       "1048576", "99999999999", "n01", " 1"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(rq_label_number(none[i]), -1);
}

/* ---- names ------------------------------------------------------------------------------- */

static void numbers_in_names(void **state)
{
    static const struct {
        const char *name;
        uint32_t number;
        bool test;
    } cases[] = {{"ILSVRC2012_val_00000293.JPEG", 293, false},
                 {"x/y/ILSVRC2012_val_00050000.jpeg", 50000, false},
                 {"ILSVRC2012_val_00000001", 1, false},
                 {"ILSVRC2010_val_00000007.JPEG", 7, false},
                 {"ILSVRC2012_test_00000009.JPEG", 9, true},
                 {"ILSVRC2012_val_00000001_n01751748.JPEG", 1, false},
                 {"ILSVRC2012_val_00000001_n0175174.JPEG", 0, false},
                 {"ILSVRC2012_val_00000001x.JPEG", 0, false},
                 {"ILSVRC2012_val_.JPEG", 0, false},
                 {"ILSVRC2012_train_00000001.JPEG", 0, false},
                 {"ILSVRC2012_val_9999999999.JPEG", 0, false},
                 {"n01440764_10026.JPEG", 0, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool test;
        assert_int_equal(rq_ilsvrc_number(cases[i].name, &test), cases[i].number);
        if (cases[i].number > 0)
            assert_int_equal(test, cases[i].test);
    }
    assert_true(rq_is_wnid("n01440764", 9));
    assert_false(rq_is_wnid("n0144076", 8));
    assert_false(rq_is_wnid("m01440764", 9));
    assert_false(rq_is_wnid("n0144076x", 9));
}

/* ---- classes ----------------------------------------------------------------------------- */

static void check_devkit_classes(const char *path)
{
    static const char *const by_id[] = {W2, W4, W1, W3};
    rq_class_list l;
    rq_err err = {0};
    assert_ok(rq_class_list_read(&l, path, &err), &err);
    assert_int_equal(l.n, 4);
    assert_true(l.ilsvrc_ids);
    for (int i = 0; i < 4; i++)
        assert_string_equal(rq_class_list_at(&l, i + 1), by_id[i]);
    assert_null(rq_class_list_at(&l, 0));
    assert_null(rq_class_list_at(&l, 5));
    assert_null(rq_class_list_at(&l, -1));
    rq_class_list_free(&l);
}

static void classes_of_a_devkit(void **state)
{
    put_devkit_folder("dev", true);
    check_devkit_classes("dev");
    check_devkit_classes("dev/data");
    check_devkit_classes("dev/data/meta.mat");
    put_devkit_archive("dev.tar.gz", ARCHIVE_FILTER_GZIP);
    check_devkit_classes("dev.tar.gz");
    put_devkit_archive("dev.tar", ARCHIVE_FILTER_NONE); /* unzipped by the browser */
    check_devkit_classes("dev.tar");
    put_devkit_folder("above/ILSVRC2012_devkit_t12", false);
    check_devkit_classes("above");
}

static void classes_of_text(void **state)
{
    static const char *const files[] = {"LOC_synset_mapping.txt",
                                        "n02 great, white\nn01 tench, Tinca\nn03 x\n",
                                        "synsets.txt",
                                        W2 " dog, tame\n" W1 "\n" W3 ": car\n",
                                        "names.txt",
                                        "golden retriever\nbeer, cold\n\ncat\n"};
    static const char *const want[][3] = {
        {"n02", "n01", "n03"}, {W2, W1, W3 ": car"}, {"golden retriever", "beer, cold", "cat"}};
    for (int i = 0; i < 3; i++) {
        rq_class_list l;
        rq_err err = {0};
        put_file(files[2 * i], files[2 * i + 1]);
        assert_ok(rq_class_list_read(&l, files[2 * i], &err), &err);
        assert_int_equal(l.n, 3);
        assert_false(l.ilsvrc_ids);
        for (int k = 0; k < 3; k++)
            assert_string_equal(rq_class_list_at(&l, k), want[i][k]);
        rq_class_list_free(&l);
    }
}

static void classes_that_are_refused(void **state)
{
    static const struct {
        mat_synset synsets[3];
        const char *words;
    } cases[] = {
        {{{1, W1, 0}, {1, W2, 0}, {3, W3, 0}}, "each once"},
        {{{1, W1, 0}, {2, W2, 0}, {4, W3, 0}}, "1 to 3"},
        {{{1, W1, 0}, {2, W1, 0}, {3, W3, 0}}, "twice"},
        {{{1, W1, 0}, {2, "", 0}, {3, W3, 0}}, "cannot be"},
        {{{1, "a/b", 0}, {2, W1, 0}, {3, W3, 0}}, "cannot be"},
        {{{1, W1, 1}, {2, W2, 1}, {3, W3, 1}}, "no classes"},
    };
    rq_class_list l;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rq_buf meta = {0};
        rq_err err = {0};
        make_meta(&meta, cases[i].synsets, 3, false);
        put_bytes("meta.mat", meta.data, meta.size);
        rq_buf_free(&meta);
        assert_int_not_equal(rq_class_list_read(&l, "meta.mat", &err), RQ_OK);
        assert_int_equal(l.n, 0);
        if (strstr(err.text, cases[i].words) == NULL)
            fail_msg("case %zu: %s", i, err.text);
    }
    put_file("twice.txt", "a\nb\na\n");
    assert_status(rq_class_list_read(&l, "twice.txt", NULL), RQ_BAD_FORMAT);
    put_file("empty.txt", "\n");
    assert_status(rq_class_list_read(&l, "empty.txt", NULL), RQ_NOT_FOUND);
    assert_int_equal(mkdir("nothing", 0777), 0);
    assert_status(rq_class_list_read(&l, "nothing", NULL), RQ_NOT_FOUND);
    assert_status(rq_class_list_read(&l, "nowhere", NULL), RQ_NOT_FOUND);
}

/* ---- labels ------------------------------------------------------------------------------ */

/* The trap: an id is a place in meta.mat, and not among the sorted names. */
static void check_devkit_labels(const char *path)
{
    rq_labels *l;
    rq_err err = {0};
    assert_ok(rq_labels_open(&l, path, NULL, &err), &err);
    assert_int_equal(rq_labels_count(l), DEVKIT_IMAGES);
    assert_false(rq_labels_numbered(l));
    assert_false(rq_labels_by_place(l));
    assert_int_equal(rq_labels_classes(l)->n, 4);
    for (int i = 0; i < DEVKIT_IMAGES; i++) {
        char name[64];
        assert_int_equal(rq_labels_unused(l), DEVKIT_IMAGES - i);
        snprintf(name, sizeof name, "val/ILSVRC2012_val_%08d.JPEG", i + 1);
        assert_string_equal(rq_labels_find(l, name), devkit_classes[i]);
    }
    assert_null(rq_labels_find(l, "ILSVRC2012_val_00000009.JPEG"));
    assert_null(rq_labels_find(l, "ILSVRC2012_val_00000000.JPEG"));
    assert_null(rq_labels_find(l, "ILSVRC2012_test_00000001.JPEG"));
    assert_null(rq_labels_find(l, "other.JPEG"));
    rq_labels_close(&l);
    assert_null(l);
}

static void labels_of_a_devkit(void **state)
{
    put_devkit_folder("dev", true);
    check_devkit_labels("dev");
    check_devkit_labels("dev/data");
    check_devkit_labels("dev/data/ILSVRC2012_validation_ground_truth.txt");
    put_devkit_archive("dev.tar.gz", ARCHIVE_FILTER_GZIP);
    check_devkit_labels("dev.tar.gz");
    put_devkit_archive("dev.tar", ARCHIVE_FILTER_NONE);
    check_devkit_labels("dev.tar");
}

static void a_ground_truth_needs_its_table(void **state)
{
    rq_labels *l;
    rq_err err = {0};
    rq_class_list classes;
    put_devkit_folder("dev", true);
    put_file("alone/ILSVRC2012_validation_ground_truth.txt", DEVKIT_TRUTH);
    static const char truth[] = "alone/ILSVRC2012_validation_ground_truth.txt";
    assert_status(rq_labels_open(&l, truth, NULL, &err), RQ_INVALID_ARG);
    assert_null(l);
    assert_non_null(strstr(err.text, "meta.mat"));
    /* a list that is not by ids does not help, one that is does */
    put_file("names.txt", W1 "\n" W2 "\n" W3 "\n" W4 "\n");
    assert_status(rq_class_list_read(&classes, "names.txt", NULL), RQ_OK);
    assert_status(rq_labels_open(&l, truth, &classes, NULL), RQ_INVALID_ARG);
    rq_class_list_free(&classes);
    assert_status(rq_class_list_read(&classes, "dev", NULL), RQ_OK);
    assert_status(rq_labels_open(&l, truth, &classes, NULL), RQ_OK);
    assert_string_equal(rq_labels_find(l, "ILSVRC2012_val_00000001.JPEG"), W1);
    rq_labels_close(&l);
    rq_class_list_free(&classes);
    /* 2010 has other images and classes, all years from 2012 on the same */
    put_file("other/ILSVRC2010_validation_ground_truth.txt", DEVKIT_TRUTH);
    put_file("other/ILSVRC2014_clsloc_validation_ground_truth.txt", DEVKIT_TRUTH);
    assert_int_equal(rename("dev/data/meta.mat", "other/meta_clsloc.mat"), 0);
    assert_ok(rq_labels_open(&l, "other/ILSVRC2010_validation_ground_truth.txt", NULL, &err),
              &err);
    assert_null(rq_labels_find(l, "ILSVRC2012_val_00000001.JPEG"));
    assert_string_equal(rq_labels_find(l, "ILSVRC2010_val_00000001.JPEG"), W1);
    rq_labels_close(&l);
    assert_ok(
        rq_labels_open(&l, "other/ILSVRC2014_clsloc_validation_ground_truth.txt", NULL, &err),
        &err);
    assert_string_equal(rq_labels_find(l, "ILSVRC2012_val_00000001.JPEG"), W1);
    assert_null(rq_labels_find(l, "ILSVRC2011_val_00000001.JPEG"));
    rq_labels_close(&l);
    assert_int_equal(rename("other/meta_clsloc.mat", "dev/data/meta.mat"), 0);
    /* an id that no class has */
    put_file("dev/data/ILSVRC2012_validation_ground_truth.txt", "1\n5\n");
    err = (rq_err){0};
    assert_status(rq_labels_open(&l, "dev", NULL, &err), RQ_INVALID_ARG);
    assert_non_null(strstr(err.text, "line 2: there is no class 5"));
    put_file("dev/data/ILSVRC2012_validation_ground_truth.txt", "1\n0\n");
    assert_status(rq_labels_open(&l, "dev", NULL, NULL), RQ_INVALID_ARG);
    /* lines without end would fill the memory */
    assert_int_equal(truncate("dev/data/ILSVRC2012_validation_ground_truth.txt", 17 << 20), 0);
    assert_status(rq_labels_open(&l, "dev", NULL, NULL), RQ_LIMIT);
}

static void labels_by_name(void **state)
{
    rq_labels *l;
    rq_err err = {0};
    put_file("l.csv", "a.jpg,cat\nx/b.jpg,dog\ny/b.jpg,cat\nc,dog\nz/d.jpg,dog\nz/d.png,cat\n");
    assert_ok(rq_labels_open(&l, "l.csv", NULL, &err), &err);
    static const char *const cases[][2] = {
        {"a.jpg", "cat"},   {"any/a.JPEG", "cat"}, {"x/b.jpg", "dog"}, {"y/b.jpg", "cat"},
        {"b.jpg", NULL},    {"q/y/b.png", "cat"},  {"q/b.jpg", NULL},  {"xy/b.jpg", NULL},
        {"k/c.jpg", "dog"}, {"d.gif", NULL},       {"z/d.jpg", "dog"}, {"e.jpg", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *got = rq_labels_find(l, cases[i][0]);
        if (cases[i][1] == NULL ? got != NULL : got == NULL || strcmp(got, cases[i][1]) != 0)
            fail_msg("%s: %s", cases[i][0], got != NULL ? got : "none");
    }
    rq_labels_close(&l);
    put_file("l.csv", "a.jpg,cat\na.jpg,dog\n");
    assert_status(rq_labels_open(&l, "l.csv", NULL, &err), RQ_BAD_FORMAT);
    assert_non_null(strstr(err.text, "two labels"));
    put_file("l.csv", "a.jpg,cat\nb.jpg,3\n");
    assert_status(rq_labels_open(&l, "l.csv", NULL, NULL), RQ_BAD_FORMAT);
    put_file("l.csv", "a.jpg,a/b\n");
    assert_status(rq_labels_open(&l, "l.csv", NULL, NULL), RQ_BAD_FORMAT);
}

static void labels_of_kaggle(void **state)
{
    rq_labels *l;
    rq_err err = {0};
    put_file("k/LOC_val_solution.csv",
             "ImageId,PredictionString\nILSVRC2012_val_00000002," W3 " 85 1 499 272\n"
             "ILSVRC2012_val_00000001," W1 " 1 2 3 4 " W1 " 5 6 7 8\n");
    struct archive *a = tar_begin("k.tar.gz", ARCHIVE_FILTER_GZIP);
    tar_copy(a, "top/LOC_val_solution.csv", "k/LOC_val_solution.csv");
    tar_end(a);
    static const char *const paths[] = {"k", "k/LOC_val_solution.csv", "k.tar.gz"};
    for (int i = 0; i < 3; i++) {
        assert_ok(rq_labels_open(&l, paths[i], NULL, &err), &err);
        assert_string_equal(rq_labels_find(l, "ILSVRC2012_val_00000001.JPEG"), W1);
        assert_string_equal(rq_labels_find(l, "CLS-LOC/val/ILSVRC2012_val_00000002.JPEG"), W3);
        assert_null(rq_labels_classes(l));
        rq_labels_close(&l);
    }
}

static void numbers_and_places(void **state)
{
    rq_labels *l;
    rq_err err = {0};
    rq_class_list classes;
    put_file("n.txt", "a.jpg 2\nb.jpg 1\n");
    assert_ok(rq_labels_open(&l, "n.txt", NULL, &err), &err);
    assert_true(rq_labels_numbered(l));
    assert_int_equal(rq_labels_least(l), 1);
    assert_string_equal(rq_labels_find(l, "a.jpg"), "2");
    rq_labels_close(&l);
    put_file("names.txt", "cow\nant\nbee\n"); /* places in the list as it is written */
    assert_status(rq_class_list_read(&classes, "names.txt", NULL), RQ_OK);
    assert_ok(rq_labels_open(&l, "n.txt", &classes, &err), &err);
    assert_false(rq_labels_numbered(l));
    assert_string_equal(rq_labels_find(l, "a.jpg"), "bee");
    assert_string_equal(rq_labels_find(l, "b.jpg"), "ant");
    rq_labels_close(&l);
    put_file("n.txt", "a.jpg 3\n");
    assert_status(rq_labels_open(&l, "n.txt", &classes, NULL), RQ_INVALID_ARG);
    rq_class_list_free(&classes);
    put_file("p.txt", "cat\ndog\ncat\n");
    assert_ok(rq_labels_open(&l, "p.txt", NULL, &err), &err);
    assert_true(rq_labels_by_place(l));
    assert_string_equal(rq_labels_at(l, 1), "dog");
    assert_null(rq_labels_at(l, 3));
    assert_null(rq_labels_find(l, "a.jpg"));
    rq_labels_close(&l);
    put_file("p.txt", "");
    assert_status(rq_labels_open(&l, "p.txt", NULL, NULL), RQ_NOT_FOUND);
}

static void no_memory_at_any_point(void **state)
{
    put_devkit_archive("dev.tar", ARCHIVE_FILTER_NONE);
    put_file("l.csv", "a.jpg,cat\nx/b.jpg,dog\n");
    for (int kind = 0; kind < 2; kind++) {
        rq_status s = RQ_OOM;
        int n = 1;
        for (; s != RQ_OK && n < 200; n++) {
            rq_labels *l;
            rq_mem_fail_nth(n);
            s = rq_labels_open(&l, kind == 0 ? "dev.tar" : "l.csv", NULL, NULL);
            rq_mem_fail_nth(0);
            assert_true(s == RQ_OK || s == RQ_OOM);
            assert_int_equal(s == RQ_OK, l != NULL);
            rq_labels_close(&l);
        }
        assert_true(n > 4 && n < 200);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, source_setup, source_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_table_is_read_row_by_row),
        TEST(other_kinds_of_files_are_refused),
        TEST(no_damage_harms_the_reader),
        TEST(a_swelling_table_is_stopped),
        TEST(rows_in_every_spelling),
        TEST(rows_that_are_refused),
        TEST(numbers_are_whole_and_not_too_large),
        TEST(numbers_in_names),
        TEST(classes_of_a_devkit),
        TEST(classes_of_text),
        TEST(classes_that_are_refused),
        TEST(labels_of_a_devkit),
        TEST(a_ground_truth_needs_its_table),
        TEST(labels_by_name),
        TEST(labels_of_kaggle),
        TEST(numbers_and_places),
        TEST(no_memory_at_any_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
