// SPDX-License-Identifier: Apache-2.0
// The layouts in which ImageNet and its like are found: whatever the packing, one catalogue
// with the same names, ids and labels; and one sentence when something is missing or two
// readings are possible.
#include "source_fixture.h"

#include <sys/resource.h>

/* ---- two datasets ------------------------------------------------------------------------ */

/* A train set in no order; "x" stands for an image, whose content is its name. */
static const char *const train_files[][2] = {
    {W3, W3 "_7.JPEG"},  {W1, W1 "_10.JPEG"}, {W1, W1 "_1.JPEG"},  {W2, W2 "_3.JPEG"},
    {W4, W4 "_22.JPEG"}, {W3, W3 "_1.JPEG"},  {W2, W2 "_30.JPEG"},
};
static const char *const train_names[] = {
    W1 "/" W1 "_1.JPEG", W1 "/" W1 "_10.JPEG", W2 "/" W2 "_3.JPEG", W2 "/" W2 "_30.JPEG",
    W3 "/" W3 "_1.JPEG", W3 "/" W3 "_7.JPEG",  W4 "/" W4 "_22.JPEG"};
static const int train_labels[] = {0, 0, 1, 1, 2, 2, 3};
enum { TRAIN = sizeof train_files / sizeof *train_files };
static const char *const wnids[] = {W1, W2, W3, W4};

/* Image i + 1 of the val set, as the devkit of the fixture labels it. */
static const int val_order[] = {0, 5, 1, 6, 2, 7, 3, 4}; /* by class, then name */

static void train_text(char text[200], int i)
{
    snprintf(text, 200, "%s/%s", train_files[i][0], train_files[i][1]);
}

static void val_name(char name[64], int i)
{
    snprintf(name, 64, "ILSVRC2012_val_%08d.JPEG", i + 1);
}

static void val_text(char text[200], int i)
{
    char name[64];
    val_name(name, i);
    snprintf(text, 200, "%s/%s", devkit_classes[i], name);
}

static void check_contents(fixture *f)
{
    unsigned seen = 0;
    rq_record r;
    rq_status s;
    while ((s = rq_source_next(f->src, &r, &f->err)) == RQ_OK) {
        if (r.status != RQ_OK)
            fail_msg("%s: %s", r.entry.name, r.reason);
        if (r.size != strlen(r.entry.name) || memcmp(r.data, r.entry.name, r.size) != 0)
            fail_msg("%s has content %.*s", r.entry.name, (int)r.size, (const char *)r.data);
        seen |= 1u << r.entry.id;
    }
    assert_ok(s == RQ_END ? RQ_OK : s, &f->err);
    assert_int_equal(seen, (1u << rq_source_count(f->src)) - 1);
}

static void check_classes(fixture *f)
{
    assert_int_equal(rq_source_classes(f->src), 4);
    for (int i = 0; i < 4; i++)
        assert_string_equal(rq_source_class_name(f->src, i), wnids[i]);
}

static void check_train(fixture *f, const char *path, const char *layout)
{
    assert_ok(open_paths(f, path, NULL), &f->err);
    assert_string_equal(rq_layout_name(rq_source_layout(f->src)), layout);
    assert_int_equal(rq_source_count(f->src), TRAIN);
    check_classes(f);
    for (uint64_t id = 0; id < TRAIN; id++) {
        const rq_entry e = rq_source_entry(f->src, id);
        assert_string_equal(e.name, train_names[id]);
        assert_int_equal(e.label, train_labels[id]);
        assert_string_equal(e.class_name, wnids[e.label]);
    }
    check_contents(f);
}

static void check_val(fixture *f, const char *path, const char *layout)
{
    assert_ok(open_paths(f, path, NULL), &f->err);
    assert_string_equal(rq_layout_name(rq_source_layout(f->src)), layout);
    assert_int_equal(rq_source_count(f->src), DEVKIT_IMAGES);
    check_classes(f);
    for (uint64_t id = 0; id < DEVKIT_IMAGES; id++) {
        char want[200];
        const rq_entry e = rq_source_entry(f->src, id);
        val_text(want, val_order[id]);
        assert_string_equal(e.name, want);
        assert_int_equal(e.label, devkit_labels[val_order[id]]);
        assert_string_equal(e.class_name, wnids[e.label]);
    }
    check_contents(f);
}

static void refused(fixture *f, const char *path, rq_status status, const char *words)
{
    assert_status(open_paths(f, path, NULL), status);
    if (strstr(f->err.text, words) == NULL)
        fail_msg("'%s' is not in: %s", words, f->err.text);
}

/* ---- writing ----------------------------------------------------------------------------- */

static void put_train_folder(const char *root)
{
    for (int i = 0; i < TRAIN; i++) {
        char text[200], path[300];
        train_text(text, i);
        snprintf(path, sizeof path, "%s/%s", root, text);
        put_file(path, text);
    }
}

/* filter < 0: zip. */
static struct archive *archive_begin(const char *path, int filter)
{
    if (filter >= 0)
        return tar_begin(path, filter);
    struct archive *a = archive_write_new();
    assert_int_equal(archive_write_set_format_zip(a), ARCHIVE_OK);
    assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
    return a;
}

static void add_train(struct archive *a, const char *above)
{
    for (int i = 0; i < TRAIN; i++) {
        char text[200], path[300];
        train_text(text, i);
        snprintf(path, sizeof path, "%s%s", above, text);
        tar_text(a, path, text);
    }
}

static void add_val(struct archive *a, const char *above)
{
    for (int i = DEVKIT_IMAGES - 1; i >= 0; i--) {
        char text[200], name[64], path[300];
        val_text(text, i);
        val_name(name, i);
        snprintf(path, sizeof path, "%s%s", above, name);
        tar_text(a, path, text);
    }
}

static void put_val_folder(const char *root)
{
    for (int i = 0; i < DEVKIT_IMAGES; i++) {
        char text[200], name[64], path[300];
        val_text(text, i);
        val_name(name, i);
        snprintf(path, sizeof path, "%s/%s", root, name);
        put_file(path, text);
    }
}

static void put_val_tar(const char *path, int filter)
{
    struct archive *a = archive_begin(path, filter);
    add_val(a, "");
    tar_end(a);
}

static void put_class_tar(const char *path, const char *class_name, int filter)
{
    struct archive *a = tar_begin(path, filter);
    for (int i = 0; i < TRAIN; i++) {
        char text[200];
        train_text(text, i);
        if (strcmp(train_files[i][0], class_name) == 0)
            tar_text(a, train_files[i][1], text);
    }
    tar_end(a);
}

static void put_train_tar(const char *path)
{
    struct archive *a = tar_begin(path, ARCHIVE_FILTER_NONE);
    for (int i = 3; i >= 0; i--) {
        char name[64];
        put_class_tar("inner.tmp", wnids[i], ARCHIVE_FILTER_NONE);
        snprintf(name, sizeof name, "%s.tar", wnids[i]);
        tar_copy(a, name, "inner.tmp");
    }
    tar_end(a);
}

/* ---- official archives ------------------------------------------------------------------- */

static void official_train_and_val(void **state)
{
    fixture *f = *state;
    assert_int_equal(mkdir("dl", 0777), 0);
    put_train_tar("dl/ILSVRC2012_img_train.tar");
    check_train(f, "dl/ILSVRC2012_img_train.tar", "tar-of-tars");
    f->opts.layout = RQ_LAYOUT_KAGGLE;
    refused(f, "dl/ILSVRC2012_img_train.tar", RQ_INVALID_ARG, "holds archives");
    f->opts.layout = RQ_LAYOUT_WEBDATASET;
    refused(f, "dl/ILSVRC2012_img_train.tar", RQ_INVALID_ARG,
            "7 of its 7 images have no label in KEY.cls or KEY.json, the first is n0");
    f->opts.layout = RQ_LAYOUT_AUTO;
    put_val_tar("dl/ILSVRC2012_img_val.tar", ARCHIVE_FILTER_NONE);
    put_devkit_archive("kit.tar.gz", ARCHIVE_FILTER_GZIP);
    f->opts.labels = "kit.tar.gz";
    check_val(f, "dl/ILSVRC2012_img_val.tar", "tar-flat");
    assert_int_equal(f->n_log, 0);
    put_devkit_folder("kit", false);
    f->opts.labels = "kit";
    check_val(f, "dl/ILSVRC2012_img_val.tar", "tar-flat");
    put_val_folder("flat");
    check_val(f, "flat", "flat-folder");
    f->opts.labels = NULL;
    /* the devkit that lies beside the archive is found */
    put_devkit_archive("dl/ILSVRC2012_devkit_t12.tar", ARCHIVE_FILTER_NONE);
    check_val(f, "dl/ILSVRC2012_img_val.tar", "tar-flat");
    put_devkit_folder("flat/ILSVRC2012_devkit_t12", true);
    check_val(f, "flat", "flat-folder");
    put_devkit_folder("above/ILSVRC2012_devkit_t12", true);
    put_val_folder("above/images");
    check_val(f, "above/images", "flat-folder");
    /* the folder of all downloads */
    put_file("dl/ILSVRC2012_bbox_train_v2.tar.gz", "not opened");
    put_file("dl/ILSVRC2012_img_train_t3.tar", "not opened");
    refused(f, "dl", RQ_INVALID_ARG, "dl holds train and val; say which");
    f->opts.split = RQ_SPLIT_TRAIN;
    check_train(f, "dl", "tar-of-tars");
    refused(f, "dl/ILSVRC2012_img_val.tar", RQ_INVALID_ARG, "is called val");
    f->opts.split = RQ_SPLIT_VAL;
    check_val(f, "dl", "tar-flat");
    f->opts.split = RQ_SPLIT_TEST;
    refused(f, "dl", RQ_NOT_FOUND, "and no test");
}

static void val_without_labels_says_what_is_missing(void **state)
{
    fixture *f = *state;
    put_val_tar("val.tar", ARCHIVE_FILTER_NONE);
    refused(f, "val.tar", RQ_INVALID_ARG,
            "val.tar is a flat archive of 8 images named ILSVRC2012_val_*: labels are in the "
            "devkit; add --labels ILSVRC2012_devkit_t12.tar.gz");
    put_val_folder("val");
    refused(f, "val", RQ_INVALID_ARG, "val is a flat folder of 8 images");
    f->opts.layout = RQ_LAYOUT_TAR_FLAT; /* asked for, it does without */
    assert_ok(open_paths(f, "val.tar", NULL), &f->err);
    assert_int_equal(rq_source_classes(f->src), 0);
    assert_int_equal(rq_source_entry(f->src, 0).label, -1);
    f->opts.layout = RQ_LAYOUT_AUTO;
    /* a label file that lacks one */
    rq_buf text = {0};
    for (int i = 0; i < DEVKIT_IMAGES; i++) {
        if (i != 2 && i != 5)
            assert_status(rq_buf_printf(&text, NULL, "ILSVRC2012_val_%08d.JPEG %s\n", i + 1,
                                        devkit_classes[i]),
                          RQ_OK);
    }
    put_file("l.txt", (const char *)text.data);
    f->opts.labels = "l.txt";
    refused(f, "val.tar", RQ_INVALID_ARG, "2 of 8 images have no label in l.txt, the first is");
    rq_buf_free(&text);
    f->opts.labels = "nowhere";
    refused(f, "val.tar", RQ_NOT_FOUND, "nowhere");
}

static void labels_of_val_in_other_files(void **state)
{
    fixture *f = *state;
    rq_buf pairs = {0}, places = {0}, numbers = {0}, ids = {0};
    static const int sorted[] = {0, 1, 2, 3, 3, 0, 1, 2};
    for (int i = 0; i < DEVKIT_IMAGES; i++) {
        assert_status(rq_buf_printf(&pairs, NULL, "val/ILSVRC2012_val_%08d.JPEG,%s\n", i + 1,
                                    devkit_classes[i]),
                      RQ_OK);
        assert_status(rq_buf_printf(&places, NULL, "%s\n", devkit_classes[i]), RQ_OK);
        assert_status(
            rq_buf_printf(&numbers, NULL, "ILSVRC2012_val_%08d.JPEG %d\n", i + 1, sorted[i]),
            RQ_OK);
        assert_status(
            rq_buf_printf(&ids, NULL, "ILSVRC2012_val_%08d.JPEG %d\n", i + 1, sorted[i] + 1),
            RQ_OK);
    }
    put_val_tar("val.tar", ARCHIVE_FILTER_NONE);
    put_file("pairs.csv", (const char *)pairs.data);
    f->opts.labels = "pairs.csv";
    check_val(f, "val.tar", "tar-flat");
    put_file("places.txt", (const char *)places.data);
    f->opts.labels = "places.txt";
    check_val(f, "val.tar", "tar-flat");
    put_file("places.txt", W1 "\n" W2 "\n");
    refused(f, "val.tar", RQ_INVALID_ARG, "2 lines of one label each, and there are 8 images");

    /* numbers from 0 are places among the sorted names, by a list or by themselves */
    put_file("numbers.txt", (const char *)numbers.data);
    put_file("LOC_synset_mapping.txt",
             W1 " tench\n" W2 " dog\n" W3 " ambulance\n" W4 " rule\n");
    f->opts.labels = "numbers.txt";
    f->opts.classes = "LOC_synset_mapping.txt";
    check_val(f, "val.tar", "tar-flat");
    f->opts.classes = NULL;
    assert_ok(open_paths(f, "val.tar", NULL), &f->err);
    assert_string_equal(rq_source_class_name(f->src, 3), "3");
    assert_string_equal(rq_source_entry(f->src, 0).name, "0/ILSVRC2012_val_00000001.JPEG");
    /* numbers from 1 could be anything */
    put_file("ids.txt", (const char *)ids.data);
    f->opts.labels = "ids.txt";
    refused(f, "val.tar", RQ_INVALID_ARG, "may be ILSVRC ids");
    /* with meta.mat they are ids, which here label the images otherwise */
    put_devkit_folder("kit", true);
    f->opts.classes = "kit/data/meta.mat";
    assert_ok(open_paths(f, "val.tar", NULL), &f->err);
    for (uint64_t id = 0; id < DEVKIT_IMAGES; id++) {
        static const char *const by_id[] = {W2, W4, W1, W3};
        const rq_entry e = rq_source_entry(f->src, id);
        const int image = atoi(e.name + strlen(W1 "/ILSVRC2012_val_")) - 1;
        assert_string_equal(e.class_name, by_id[sorted[image]]);
    }
    rq_buf_free(&pairs);
    rq_buf_free(&places);
    rq_buf_free(&numbers);
    rq_buf_free(&ids);
}

/* A val set of some classes only: the devkit knows the others, and labels agree with train. */
static void classes_come_from_the_devkit(void **state)
{
    fixture *f = *state;
    struct archive *a = tar_begin("val.tar", ARCHIVE_FILTER_NONE);
    char text[200];
    val_text(text, 3);
    tar_text(a, "ILSVRC2012_val_00000004.JPEG", text);
    tar_end(a);
    put_devkit_folder("kit", true);
    f->opts.labels = "kit";
    assert_ok(open_paths(f, "val.tar", NULL), &f->err);
    assert_int_equal(rq_source_count(f->src), 1);
    check_classes(f);
    assert_int_equal(rq_source_entry(f->src, 0).label, 3);
    assert_int_equal(f->n_log, 2);
    assert_non_null(strstr(f->log[0], "7 of the 8 labels in kit belong to no image"));
    assert_non_null(strstr(f->log[1], "3 of 4 classes have no images"));
    /* for folders by --classes */
    put_file("few/" W3 "/a.JPEG", "a");
    f->opts.labels = NULL;
    f->opts.classes = "kit";
    assert_ok(open_paths(f, "few", NULL), &f->err);
    check_classes(f);
    assert_int_equal(rq_source_entry(f->src, 0).label, 2);
    put_file("few/other/a.JPEG", "a");
    refused(f, "few", RQ_INVALID_ARG, "the class 'other' of other/a.JPEG is not in the list");
}

/* ---- archives of one dataset ------------------------------------------------------------- */

static void class_folders_in_any_archive(void **state)
{
    fixture *f = *state;
    static const int filters[] = {ARCHIVE_FILTER_NONE,  ARCHIVE_FILTER_GZIP,
                                  ARCHIVE_FILTER_ZSTD,  ARCHIVE_FILTER_XZ,
                                  ARCHIVE_FILTER_BZIP2, -1};
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
        struct archive *a = archive_begin("t.archive", filters[i]);
        add_train(a, "top/");
        tar_end(a);
        check_train(f, "t.archive", "tar-folders");
    }
    /* zip inside of tar, and tar inside of zip */
    struct archive *a = archive_begin("in.tmp", -1);
    tar_text(a, W1 "_1.JPEG", W1 "/" W1 "_1.JPEG");
    tar_end(a);
    a = tar_begin("out.tar", ARCHIVE_FILTER_NONE);
    tar_copy(a, W1 ".zip", "in.tmp");
    tar_end(a);
    assert_ok(open_paths(f, "out.tar", NULL), &f->err);
    assert_string_equal(rq_source_entry(f->src, 0).name, W1 "/" W1 "_1.JPEG");
    check_contents(f);
    put_class_tar("in.tmp", W1, ARCHIVE_FILTER_NONE);
    a = archive_begin("out.zip", -1);
    tar_copy(a, W1 ".tar", "in.tmp");
    tar_end(a);
    assert_ok(open_paths(f, "out.zip", NULL), &f->err);
    assert_int_equal(rq_source_count(f->src), 2);
    check_contents(f);
}

static void a_folder_of_class_tars(void **state)
{
    fixture *f = *state;
    assert_int_equal(mkdir("d", 0777), 0);
    for (int i = 0; i < 4; i++) {
        char path[100];
        snprintf(path, sizeof path, "d/%s%s", wnids[i], i % 2 ? ".tar" : ".tar.gz");
        put_class_tar(path, wnids[i], i % 2 ? ARCHIVE_FILTER_NONE : ARCHIVE_FILTER_GZIP);
    }
    check_train(f, "d", "class-tars");
    assert_string_equal(rq_source_about(f->src),
                        "class-tars: 7 images in 4 archives, 4 classes, "
                        "labels from the names of archives");
    assert_int_equal(rq_source_passed_over(f->src), 0);
    /* an archive without images is a class without images */
    put_class_tar("d/n09999999.tar", "none", ARCHIVE_FILTER_NONE);
    assert_ok(open_paths(f, "d", NULL), &f->err);
    assert_int_equal(rq_source_classes(f->src), 5);
    assert_string_equal(rq_source_class_name(f->src, 4), "n09999999");
    /* names that are numbered like parts could be either */
    assert_int_equal(mkdir("e", 0777), 0);
    put_class_tar("e/part-000.tar", W1, ARCHIVE_FILTER_NONE);
    put_class_tar("e/part-001.tar", W2, ARCHIVE_FILTER_NONE);
    refused(f, "e", RQ_INVALID_ARG, "--layout class-tars");
    f->opts.layout = RQ_LAYOUT_CLASS_TARS;
    assert_ok(open_paths(f, "e", NULL), &f->err);
    assert_string_equal(rq_source_class_name(f->src, 1), "part-001");
    f->opts.layout = RQ_LAYOUT_TAR_FLAT;
    assert_ok(open_paths(f, "e", NULL), &f->err);
    assert_int_equal(rq_source_classes(f->src), 0);
    assert_int_equal(rq_source_count(f->src), 4);
    f->opts.layout = RQ_LAYOUT_AUTO;
    put_class_tar("e/cat.tar", W3, ARCHIVE_FILTER_NONE); /* not numbered alike any more */
    assert_ok(open_paths(f, "e", NULL), &f->err);
    assert_int_equal(rq_source_classes(f->src), 3);
    f->opts.layout = RQ_LAYOUT_CLASS_TARS;
    put_train_folder("plain");
    refused(f, "plain", RQ_INVALID_ARG, "holds no archives");
}

static void hugging_face_archives(void **state)
{
    fixture *f = *state;
    assert_int_equal(mkdir("hf", 0777), 0);
    assert_int_equal(mkdir("hf/data", 0777), 0);
    put_file("hf/README.md", "a card");
    struct archive *parts[2] = {
        tar_begin("hf/data/train_images_0.tar.gz", ARCHIVE_FILTER_GZIP),
        tar_begin("hf/data/train_images_1.tar.gz", ARCHIVE_FILTER_GZIP)};
    for (int i = 0; i < TRAIN; i++) {
        char text[200], name[200];
        train_text(text, i);
        snprintf(name, sizeof name, "%.*s_%s.JPEG", (int)strcspn(train_files[i][1], "."),
                 train_files[i][1], train_files[i][0]);
        tar_text(parts[i % 2], name, text);
    }
    tar_end(parts[0]);
    tar_end(parts[1]);
    struct archive *val = tar_begin("hf/data/val_images.tar.gz", ARCHIVE_FILTER_GZIP);
    struct archive *test = tar_begin("hf/data/test_images.tar.gz", ARCHIVE_FILTER_GZIP);
    for (int i = 0; i < DEVKIT_IMAGES; i++) {
        char text[200], name[100];
        val_text(text, i);
        snprintf(name, sizeof name, "ILSVRC2012_val_%08d_%s.JPEG", i + 1, devkit_classes[i]);
        tar_text(val, name, text);
        snprintf(name, sizeof name, "ILSVRC2012_test_%08d.JPEG", i + 1);
        tar_text(test, name, name);
    }
    tar_end(val);
    tar_end(test);
    refused(f, "hf", RQ_INVALID_ARG, "hf holds train, val and test; say which");
    f->opts.split = RQ_SPLIT_TRAIN;
    check_train(f, "hf", "huggingface");
    f->opts.split = RQ_SPLIT_VAL;
    check_val(f, "hf", "huggingface");
    f->opts.split = RQ_SPLIT_TEST;
    assert_ok(open_paths(f, "hf", NULL), &f->err);
    assert_int_equal(rq_source_count(f->src), DEVKIT_IMAGES);
    assert_int_equal(rq_source_classes(f->src), 0);
    assert_int_equal(rq_source_entry(f->src, 7).label, -1);
    check_contents(f);
    f->opts.split = RQ_SPLIT_ANY;
    check_val(f, "hf/data/val_images.tar.gz", "huggingface");
    f->opts.layout = RQ_LAYOUT_HUGGINGFACE;
    check_val(f, "hf/data/val_images.tar.gz", "huggingface");
}

/* ---- Kaggle and splits ------------------------------------------------------------------- */

static void put_kaggle_files(const char *root)
{
    char path[200];
    rq_buf csv = {0};
    assert_status(rq_buf_printf(&csv, NULL, "ImageId,PredictionString\n"), RQ_OK);
    for (int i = DEVKIT_IMAGES; i > 0; i--)
        assert_status(rq_buf_printf(&csv, NULL, "ILSVRC2012_val_%08d,%s 1 2 3 4 %s 5 6 7 8 \n",
                                    i, devkit_classes[i - 1], devkit_classes[i - 1]),
                      RQ_OK);
    snprintf(path, sizeof path, "%s/LOC_val_solution.csv", root);
    put_file(path, (const char *)csv.data);
    snprintf(path, sizeof path, "%s/LOC_synset_mapping.txt", root);
    put_file(path,
             W1 " tench, Tinca tinca\n" W2 " dog\n" W3 " ambulance\n" W4 " rule, ruler\n");
    snprintf(path, sizeof path, "%s/LOC_sample_submission.csv", root);
    put_file(path, "ImageId,PredictionString\n");
    rq_buf_free(&csv);
}

static void kaggle_as_it_is_unzipped(void **state)
{
    fixture *f = *state;
    put_kaggle_files("k");
    put_train_folder("k/ILSVRC/Data/CLS-LOC/train");
    put_val_folder("k/ILSVRC/Data/CLS-LOC/val");
    put_file("k/ILSVRC/Data/CLS-LOC/test/ILSVRC2012_test_00000001.JPEG",
             "ILSVRC2012_test_00000001.JPEG");
    put_file("k/ILSVRC/ImageSets/CLS-LOC/val.txt", "not looked at");
    refused(f, "k", RQ_INVALID_ARG,
            "holds train, val and test; say which is wanted with --split");
    static const char *const paths[] = {"k", "k/", "k/ILSVRC", "k/ILSVRC/Data",
                                        "k/ILSVRC/Data/CLS-LOC"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        f->opts.split = RQ_SPLIT_TRAIN;
        check_train(f, paths[i], "kaggle");
        f->opts.split = RQ_SPLIT_VAL;
        check_val(f, paths[i], "kaggle");
        assert_non_null(strstr(rq_source_about(f->src), "LOC_val_solution.csv"));
        f->opts.split = RQ_SPLIT_TEST;
        assert_ok(open_paths(f, paths[i], NULL), &f->err);
        assert_int_equal(rq_source_classes(f->src), 0);
        assert_int_equal(rq_source_entry(f->src, 0).label, -1);
        check_contents(f);
    }
    f->opts.layout = RQ_LAYOUT_KAGGLE;
    f->opts.split = RQ_SPLIT_VAL;
    check_val(f, "k", "kaggle");
    refused(f, "k/ILSVRC/ImageSets", RQ_INVALID_ARG, "no ILSVRC/Data/CLS-LOC");
    f->opts.layout = RQ_LAYOUT_AUTO;
    assert_int_equal(rename("k/LOC_val_solution.csv", "elsewhere.csv"), 0);
    refused(f, "k", RQ_INVALID_ARG, "labels are in LOC_val_solution.csv, which is not beside");
    f->opts.labels = "elsewhere.csv";
    check_val(f, "k", "kaggle");
}

static void kaggle_as_it_is_downloaded(void **state)
{
    fixture *f = *state;
    put_kaggle_files("k");
    for (int zip = 0; zip < 2; zip++) {
        struct archive *a = archive_begin("k.archive", zip ? -1 : ARCHIVE_FILTER_GZIP);
        tar_copy(a, "LOC_val_solution.csv", "k/LOC_val_solution.csv");
        tar_copy(a, "LOC_synset_mapping.txt", "k/LOC_synset_mapping.txt");
        add_train(a, "ILSVRC/Data/CLS-LOC/train/");
        add_val(a, "ILSVRC/Data/CLS-LOC/val/");
        tar_end(a);
        assert_int_equal(rename("k.archive", zip ? "k.zip" : "k.tar.gz"), 0);
        const char *path = zip ? "k.zip" : "k.tar.gz";
        f->opts.split = RQ_SPLIT_ANY;
        refused(f, path, RQ_INVALID_ARG, "holds train and val; say which");
        f->opts.split = RQ_SPLIT_TRAIN;
        check_train(f, path, "tar-folders");
        f->opts.split = RQ_SPLIT_VAL;
        check_val(f, path, "tar-flat");
        f->opts.split = RQ_SPLIT_TEST;
        refused(f, path, RQ_NOT_FOUND, "and no test");
    }
}

static void folders_and_archives_of_splits(void **state)
{
    fixture *f = *state;
    put_train_folder("d/train");
    check_train(f, "d", "class-folders"); /* there is only the one */
    put_train_folder("d/val");
    put_file("d/val/" W1 "/extra.JPEG", "extra");
    refused(f, "d", RQ_INVALID_ARG, "d holds train and val");
    f->opts.split = RQ_SPLIT_TRAIN;
    check_train(f, "d", "class-folders");
    check_train(f, "d/train", "class-folders");
    refused(f, "d/val", RQ_INVALID_ARG, "is called val");
    f->opts.split = RQ_SPLIT_VAL;
    assert_ok(open_paths(f, "d", NULL), &f->err);
    assert_int_equal(rq_source_count(f->src), TRAIN + 1);
    /* in a folder of its own, as archives are unpacked */
    assert_int_equal(mkdir("up", 0777), 0);
    assert_int_equal(rename("d", "up/d"), 0);
    assert_ok(open_paths(f, "up", NULL), &f->err);
    assert_int_equal(rq_source_count(f->src), TRAIN + 1);
    f->opts.split = RQ_SPLIT_TEST;
    refused(f, "up", RQ_NOT_FOUND, "holds train and val, and no test");

    struct archive *a = tar_begin("both.tgz", ARCHIVE_FILTER_GZIP);
    add_train(a, "imagenette2/train/");
    tar_text(a, "imagenette2/val/" W1 "/v.JPEG", W1 "/v.JPEG");
    tar_text(a, "imagenette2/val/empty/", "");
    tar_end(a);
    f->opts.split = RQ_SPLIT_ANY;
    refused(f, "both.tgz", RQ_INVALID_ARG, "both.tgz holds train and val");
    f->opts.split = RQ_SPLIT_TRAIN;
    check_train(f, "both.tgz", "tar-folders");
    f->opts.split = RQ_SPLIT_VAL;
    assert_ok(open_paths(f, "both.tgz", NULL), &f->err);
    assert_int_equal(rq_source_count(f->src), 1);
    assert_int_equal(rq_source_classes(f->src), 2);
    check_contents(f);
    /* a folder as other tools leave it: downloads and notes beside the splits */
    f->opts.split = RQ_SPLIT_TRAIN;
    put_file("up/d/meta.bin", "a cache");
    put_file("up/d/ILSVRC2012_devkit_t12.tar.gz", "not opened");
    check_train(f, "up/d", "class-folders");
    assert_int_equal(f->n_log, 0);
    put_file("up/d/loose.JPEG", "loose");
    put_file("up/d/notes/readme.txt", "not looked at");
    check_train(f, "up/d", "class-folders");
    assert_int_equal(rq_source_passed_over(f->src), 1);
    assert_non_null(strstr(f->log[0], "1 files beside its folder 'train'"));
    f->opts.split = RQ_SPLIT_ANY;
    refused(f, "up/d", RQ_INVALID_ARG, "holds train and val");
    /* two folders of one split */
    put_file("up/d/validation/" W1 "/v.JPEG", "v");
    f->opts.split = RQ_SPLIT_VAL;
    refused(f, "up/d", RQ_INVALID_ARG, "more than one folder of val");
    f->opts.split = RQ_SPLIT_TRAIN;
    check_train(f, "up/d", "class-folders");
    /* a class may be called train */
    f->opts.split = RQ_SPLIT_ANY;
    put_file("cifar/train/a.png", "a");
    put_file("cifar/bicycle/a.png", "a");
    assert_ok(open_paths(f, "cifar", NULL), &f->err);
    assert_int_equal(rq_source_classes(f->src), 2);
    assert_int_equal(mkdir("tars", 0777), 0);
    put_class_tar("tars/bicycle.tar", W1, ARCHIVE_FILTER_NONE);
    put_class_tar("tars/train.tar", W2, ARCHIVE_FILTER_NONE);
    assert_ok(open_paths(f, "tars", NULL), &f->err);
    assert_int_equal(rq_source_classes(f->src), 2);
    assert_int_equal(rq_source_count(f->src), 4);
    f->opts.split = RQ_SPLIT_TRAIN; /* unless it is asked for */
    assert_ok(open_paths(f, "tars", NULL), &f->err);
    assert_int_equal(rq_source_count(f->src), 2);
}

static void val_sorted_into_class_folders(void **state)
{
    fixture *f = *state;
    for (int i = 0; i < DEVKIT_IMAGES; i++) {
        char text[200], path[300];
        val_text(text, i);
        snprintf(path, sizeof path, "val/%s", text);
        put_file(path, text);
    }
    check_val(f, "val", "class-folders");
    assert_int_equal(mkdir("one", 0777), 0);
    assert_int_equal(rename("val/" W1, "one/" W1), 0); /* a single class is one, too */
    assert_ok(open_paths(f, "one", NULL), &f->err);
    assert_int_equal(rq_source_classes(f->src), 1);
}

/* ---- WebDataset -------------------------------------------------------------------------- */

typedef struct sample {
    const char *key, *image, *cls, *json; /* content of KEY.jpg is its final name */
} sample;

static void add_samples(struct archive *a, const sample *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char name[200];
        snprintf(name, sizeof name, "%s.jpg", s[i].key);
        if (s[i].image != NULL)
            tar_text(a, name, s[i].image);
        snprintf(name, sizeof name, "%s.cls", s[i].key);
        if (s[i].cls != NULL)
            tar_text(a, name, s[i].cls);
        snprintf(name, sizeof name, "%s.json", s[i].key);
        if (s[i].json != NULL)
            tar_text(a, name, s[i].json);
    }
}

static void put_samples(const char *path, int filter, const sample *s, size_t n)
{
    struct archive *a = tar_begin(path, filter);
    add_samples(a, s, n);
    tar_end(a);
}

static void check_entries(fixture *f, const char *const *names, const int *labels, size_t n)
{
    assert_int_equal(rq_source_count(f->src), n);
    for (uint64_t id = 0; id < n; id++) {
        assert_string_equal(rq_source_entry(f->src, id).name, names[id]);
        assert_int_equal(rq_source_entry(f->src, id).label, labels[id]);
    }
    check_contents(f);
}

static void webdataset_labels(void **state)
{
    fixture *f = *state;
    static const struct {
        sample samples[3];
        const char *names[3];
        int labels[3], classes;
        const char *class_of_last;
    } cases[] = {
        /* integers keep their value, whatever their spelling sorts as */
        {{{"a", "10/a.jpg", "10", NULL},
          {"b", "2/b.jpg", "2\n", NULL},
          {"c", "0/c.jpg", " 0", NULL}},
         {"0/c.jpg", "2/b.jpg", "10/a.jpg"},
         {0, 2, 10},
         11,
         "10"},
        {{{"x/a", "dog/x/a.jpg", "dog", NULL},
          {"b", "cat/b.jpg", "cat\r\n", NULL},
          {"c", "dog/c.jpg", "dog", NULL}},
         {"cat/b.jpg", "dog/c.jpg", "dog/x/a.jpg"},
         {0, 1, 1},
         2,
         "dog"},
        {{{"a", "1/a.jpg", NULL, "{\"label\": 1}"},
          {"b", "0/b.jpg", NULL, "{\"cls\":0,\"url\":\"u\"}"},
          {"c", "1/c.jpg", NULL, "{\"label\":1}"}},
         {"0/b.jpg", "1/a.jpg", "1/c.jpg"},
         {0, 1, 1},
         2,
         "1"},
        /* a number and a name: the class has the name and keeps the number */
        {{{"a", "zebra/a.jpg", "0", "{\"class\": \"zebra\"}"},
          {"b", "ant/b.jpg", "1", "{\"class\":\"ant\"}"},
          {"c", "ant/c.jpg", NULL, "{\"label\":1,\"class\":\"ant\"}"}},
         {"zebra/a.jpg", "ant/b.jpg", "ant/c.jpg"},
         {0, 1, 1},
         2,
         "ant"},
        {{{"a", "ant/a.jpg", NULL, "{\"class\": \"ant\"}"},
          {"b", "bee/b.jpg", NULL, "{\"label\":\"bee\"}"},
          {"c", "cow/c.jpg", "cow", "{\"width\":3}"}},
         {"ant/a.jpg", "bee/b.jpg", "cow/c.jpg"},
         {0, 1, 2},
         3,
         "cow"},
    };
    static const int filters[] = {ARCHIVE_FILTER_NONE, ARCHIVE_FILTER_GZIP,
                                  ARCHIVE_FILTER_ZSTD};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int k = 0; k < 3; k++) {
            put_samples("w.tar", filters[k], cases[i].samples, 3);
            assert_ok(open_paths(f, "w.tar", NULL), &f->err);
            assert_string_equal(rq_layout_name(rq_source_layout(f->src)), "webdataset");
            check_entries(f, cases[i].names, cases[i].labels, 3);
            assert_int_equal(rq_source_classes(f->src), cases[i].classes);
            assert_string_equal(rq_source_class_name(f->src, cases[i].classes - 1),
                                cases[i].class_of_last);
        }
    }
}

static void webdataset_shards(void **state)
{
    fixture *f = *state;
    static const sample one[] = {{"s0", "0/s0.jpg", "0", NULL}, {"s1", "1/s1.jpg", "1", NULL}};
    static const sample two[] = {{"s2", "1/s2.jpg", "1", NULL}};
    static const char *const names[] = {"0/s0.jpg", "1/s1.jpg", "1/s2.jpg"};
    static const int labels[] = {0, 1, 1};
    assert_int_equal(mkdir("w", 0777), 0);
    put_samples("w/set-000001.tar", ARCHIVE_FILTER_NONE, two, 1);
    put_samples("w/set-000000.tar", ARCHIVE_FILTER_ZSTD, one, 2);
    put_file("w/dataset.json", "{}");
    assert_ok(open_paths(f, "w", NULL), &f->err);
    check_entries(f, names, labels, 3);
    assert_string_equal(rq_source_about(f->src),
                        "webdataset: 3 images in 2 archives, 2 classes, labels from KEY.cls or "
                        "KEY.json");
    assert_ok(open_paths(f, "w/set-000000.tar", "w/set-000001.tar"), &f->err);
    check_entries(f, names, labels, 3);
    /* keys that repeat from shard to shard */
    static const sample again[] = {{"s0", "1/set-000001/s0.jpg", "1", NULL},
                                   {"s1", "1/set-000001/s1.jpg", "1", NULL}};
    static const sample first[] = {{"s0", "0/set-000000/s0.jpg", "0", NULL},
                                   {"s1", "1/set-000000/s1.jpg", "1", NULL}};
    static const char *const long_names[] = {"0/set-000000/s0.jpg", "1/set-000000/s1.jpg",
                                             "1/set-000001/s0.jpg", "1/set-000001/s1.jpg"};
    static const int long_labels[] = {0, 1, 1, 1};
    put_samples("w/set-000001.tar", ARCHIVE_FILTER_NONE, again, 2);
    put_samples("w/set-000000.tar", ARCHIVE_FILTER_ZSTD, first, 2);
    assert_ok(open_paths(f, "w", NULL), &f->err);
    check_entries(f, long_names, long_labels, 4);
}

static void webdataset_samples_of_several_files(void **state)
{
    fixture *f = *state;
    static const char *const names[] = {"0/k.jpg", "1/l.png"};
    static const int labels[] = {0, 1};
    for (int filter = 0; filter < 2; filter++) {
        struct archive *a =
            tar_begin("w.tar", filter ? ARCHIVE_FILTER_GZIP : ARCHIVE_FILTER_NONE);
        tar_text(a, "k.cls", "0");
        tar_text(a, "k.mask.pgm", "a mask");
        tar_text(a, "k.png", "a segmentation");
        tar_text(a, "k.jpg", "0/k.jpg");
        tar_text(a, "k.txt", "a caption");
        tar_text(a, "l.png", "1/l.png");
        tar_text(a, "l.depth.png", "depth");
        tar_text(a, "l.cls", "1");
        tar_end(a);
        assert_ok(open_paths(f, "w.tar", NULL), &f->err);
        check_entries(f, names, labels, 2);
        assert_int_equal(f->n_log, 0);
        assert_int_equal(rq_source_passed_over(f->src), 6);
    }
    /* some without a label */
    static const sample missing[] = {{"a", "a.jpg", "0", NULL},
                                     {"b", "b.jpg", "-1", NULL},
                                     {"c", "c.jpg", NULL, "{\"label\": tru"}};
    put_samples("w.tar", ARCHIVE_FILTER_NONE, missing, 3);
    f->opts.layout = RQ_LAYOUT_WEBDATASET;
    refused(f, "w.tar", RQ_INVALID_ARG, "2 of its 3 images have no label");
    assert_non_null(strstr(f->err.text, "b.jpg"));
    f->opts.layout = RQ_LAYOUT_AUTO;
    refused(f, "w.tar", RQ_INVALID_ARG, "2 of its 3 images have no label");
    put_file("l.csv", "a.jpg,cat\nb.jpg,dog\nc.jpg,cat\n");
    f->opts.labels = "l.csv"; /* labels for all: none of them is lost */
    for (int asked = 0; asked < 2; asked++) {
        f->opts.layout = asked ? RQ_LAYOUT_WEBDATASET : RQ_LAYOUT_AUTO;
        assert_ok(open_paths(f, "w.tar", NULL), &f->err);
        assert_int_equal(rq_source_count(f->src), 3);
        assert_string_equal(rq_source_entry(f->src, 2).name, "dog/b.jpg");
    }
    f->opts.labels = NULL;
    put_train_folder("d");
    refused(f, "d", RQ_INVALID_ARG, "WebDataset");
    f->opts.layout = RQ_LAYOUT_AUTO;
    static const sample climbing[] = {{"a", "a.jpg", "..", NULL},
                                      {"b", "b.jpg", "x/y", "{\"class\": \".\"}"}};
    put_samples("w.tar", ARCHIVE_FILTER_NONE, climbing, 2); /* no labels, and no folders */
    assert_ok(open_paths(f, "w.tar", NULL), &f->err);
    assert_int_equal(rq_source_classes(f->src), 0);
    static const sample mixed[] = {{"a", "a", "0", NULL}, {"b", "b", "dog", NULL}};
    put_samples("w.tar", ARCHIVE_FILTER_NONE, mixed, 2);
    refused(f, "w.tar", RQ_INVALID_ARG, "is a number");
    /* numbers are no ILSVRC ids */
    static const sample ones[] = {{"a", "a", "1", NULL}, {"b", "b", "3", NULL}};
    put_samples("w.tar", ARCHIVE_FILTER_NONE, ones, 2);
    put_devkit_folder("kit", true);
    f->opts.classes = "kit";
    refused(f, "w.tar", RQ_INVALID_ARG, "in the order of ILSVRC ids");
    put_file("names.txt", W1 "\n" W2 "\n" W3 "\n" W4 "\n");
    f->opts.classes = "names.txt";
    assert_ok(open_paths(f, "w.tar", NULL), &f->err);
    check_classes(f);
    assert_int_equal(rq_source_entry(f->src, 1).label, 3);
    put_file("names.txt", W1 "\n" W2 "\n");
    refused(f, "w.tar", RQ_INVALID_ARG, "the 2 classes of the list have the numbers from 0 on");
}

/* Metadata beside images in class folders does not make a WebDataset of them. */
static void json_beside_images_in_folders(void **state)
{
    fixture *f = *state;
    struct archive *a = tar_begin("t.tar", ARCHIVE_FILTER_NONE);
    tar_text(a, "cat/1.jpg", "cat/1.jpg");
    tar_text(a, "cat/1.json", "{\"author\": \"x\"}");
    tar_text(a, "dog/2.jpg", "dog/2.jpg");
    tar_text(a, "dog/2.json", "{\"author\": \"y\"}");
    tar_end(a);
    assert_ok(open_paths(f, "t.tar", NULL), &f->err);
    assert_string_equal(rq_layout_name(rq_source_layout(f->src)), "tar-folders");
    assert_int_equal(rq_source_classes(f->src), 2);
}

/* ---- lists ------------------------------------------------------------------------------- */

static void lists_of_files(void **state)
{
    fixture *f = *state;
    put_file("d/img/a.jpg", "cat/img/a.jpg");
    put_file("d/img/b c.png", "dog/img/b c.png");
    put_file("other/c.avif", "dog/other/c.avif");
    static const char *const texts[] = {
        "img/a.jpg cat\nimg/b c.png dog\n../other/c.avif dog\n",
        "img/a.jpg,cat\nimg/b c.png,dog\n../other/c.avif,dog\n",
        "path\tlabel\n./img/a.jpg\tcat\nimg/b c.png\tdog\n../other/c.avif\tdog\n"};
    static const char *const paths[] = {"d/l.txt", "d/l.csv", "d/l.tsv"};
    static const char *const names[] = {"cat/img/a.jpg", "dog/img/b c.png", "dog/other/c.avif"};
    static const int labels[] = {0, 1, 1};
    for (int i = 0; i < 3; i++) {
        put_file(paths[i], texts[i]);
        assert_ok(open_paths(f, paths[i], NULL), &f->err);
        assert_string_equal(rq_layout_name(rq_source_layout(f->src)), "list");
        check_entries(f, names, labels, 3);
    }
    put_file("d/list", texts[0]);
    f->opts.layout = RQ_LAYOUT_LIST;
    assert_ok(open_paths(f, "d/list", NULL), &f->err);
    check_entries(f, names, labels, 3);
    refused(f, "d", RQ_INVALID_ARG, "is a folder and no list");
    f->opts.layout = RQ_LAYOUT_AUTO;

    char text[600], here[300];
    assert_non_null(getcwd(here, sizeof here));
    snprintf(text, sizeof text, "%s/d/img/a.jpg 12\nimg/b c.png 3\n", here);
    put_file("d/l.txt", text);
    assert_ok(open_paths(f, "d/l.txt", NULL), &f->err);
    assert_int_equal(rq_source_classes(f->src), 13);
    assert_int_equal(rq_source_entry(f->src, 0).label, 3);
    assert_int_equal(rq_source_entry(f->src, 1).label, 12);
    rq_record r;
    assert_ok(rq_source_next(f->src, &r, &f->err), &f->err);
    assert_ok(rq_source_next(f->src, &r, &f->err), &f->err);
    assert_status(r.status, RQ_OK);
    assert_memory_equal(r.data, "cat/img/a.jpg", r.size);

    put_file("d/val.txt", texts[0]);
    f->opts.split = RQ_SPLIT_TRAIN;
    refused(f, "d/val.txt", RQ_INVALID_ARG, "d/val.txt is called val");
    f->opts.split = RQ_SPLIT_ANY;
    put_file("d/l.txt", "img/a.jpg\nimg/b c.png\n");
    assert_ok(open_paths(f, "d/l.txt", NULL), &f->err);
    assert_int_equal(rq_source_classes(f->src), 0);
    assert_string_equal(rq_source_entry(f->src, 0).name, "img/a.jpg");
}

static void lists_with_bad_lines(void **state)
{
    fixture *f = *state;
    put_file("a.jpg", "1/a.jpg");
    assert_int_equal(mkfifo("pipe.jpg", 0666), 0);
    assert_int_equal(mkdir("dir.jpg", 0777), 0);
    put_file("l.txt", "a.jpg 1\ngone.jpg 1\npipe.jpg 1\ndir.jpg 1\na.jpg 1\n");
    assert_ok(open_paths(f, "l.txt", NULL), &f->err);
    assert_int_equal(rq_source_count(f->src), 5);
    static const rq_status want[] = {RQ_OK, RQ_BAD_FORMAT, RQ_UNSUPPORTED, RQ_NOT_FOUND,
                                     RQ_UNSUPPORTED};
    rq_record r;
    for (int i = 0; i < 5; i++) { /* a, a again, dir, gone, pipe */
        assert_ok(rq_source_next(f->src, &r, &f->err), &f->err);
        assert_status(r.status, want[i]);
    }
    put_file("l.txt", "a.jpg\t1\na.jpg\t..\n");
    refused(f, "l.txt", RQ_BAD_FORMAT, "line 2: '..' cannot be a class");
    put_file("l.txt", "a.jpg 1\n../.. 1\n");
    refused(f, "l.txt", RQ_BAD_FORMAT, "line 2: '../..' names no file");
    put_file("l.txt", "a.jpg 1\na.jpg x/y\n");
    refused(f, "l.txt", RQ_NOT_FOUND, "none of its 2 files is there"); /* x/y is no label */
}

/* ---- leaving out ------------------------------------------------------------------------- */

static void excluded_images_are_counted(void **state)
{
    fixture *f = *state;
    put_train_folder("d");
    put_file("x.txt", "# why\n" W1 "/" W1 "_10.JPEG\n" W3 "_7.JPEG\n" W3 "_7.JPEG\nnone.jpg\n");
    f->opts.exclude = "x.txt";
    assert_ok(open_paths(f, "d", NULL), &f->err);
    assert_int_equal(rq_source_count(f->src), TRAIN - 2);
    assert_int_equal(rq_source_excluded(f->src), 2);
    check_classes(f);
    check_contents(f);
    assert_int_equal(f->n_log, 1);
    assert_non_null(strstr(f->log[0], "1 of the 3 names in x.txt"));
    assert_non_null(strstr(f->log[0], "none.jpg"));
    /* in archives the others must still be found */
    put_train_tar("t.tar");
    assert_ok(open_paths(f, "t.tar", NULL), &f->err);
    assert_int_equal(rq_source_count(f->src), TRAIN - 2);
    check_contents(f);
    struct archive *a = tar_begin("t.tar.gz", ARCHIVE_FILTER_GZIP);
    add_train(a, "");
    tar_end(a);
    assert_ok(open_paths(f, "t.tar.gz", NULL), &f->err);
    assert_int_equal(rq_source_count(f->src), TRAIN - 2);
    check_contents(f);
    /* numbers of val images, as the 2014 blacklist has them */
    put_val_folder("v");
    put_devkit_folder("kit", true);
    put_file("x.txt", "2\n8\n");
    f->opts.labels = "kit";
    assert_ok(open_paths(f, "v", NULL), &f->err);
    assert_int_equal(rq_source_excluded(f->src), 2);
    for (uint64_t id = 0; id < rq_source_count(f->src); id++) {
        assert_null(strstr(rq_source_entry(f->src, id).name, "00000002"));
        assert_null(strstr(rq_source_entry(f->src, id).name, "00000008"));
    }
    put_file("x.txt", "1\n2\n3\n4\n5\n6\n7\n8\n");
    refused(f, "v", RQ_NOT_FOUND, "leaves out every image");
    f->opts.exclude = "nowhere";
    refused(f, "v", RQ_NOT_FOUND, "nowhere");
}

/* ---- archives that end early ------------------------------------------------------------- */

static uint64_t drain(fixture *f, rq_status *end)
{
    uint64_t whole = 0;
    rq_record r;
    while ((*end = rq_source_next(f->src, &r, &f->err)) == RQ_OK)
        whole += r.status == RQ_OK;
    return whole;
}

/* Cut at every place: an error, unless it is allowed; then all that is whole is delivered. */
static void what_is_whole_of_a_cut_archive_can_be_used(void **state)
{
    fixture *f = *state;
    for (int kind = 0; kind < 3; kind++) {
        struct archive *a = NULL;
        if (kind == 1)
            put_train_tar("t.tar");
        else
            a = tar_begin("t.tar", kind == 2 ? ARCHIVE_FILTER_GZIP : ARCHIVE_FILTER_NONE);
        if (a != NULL) {
            add_train(a, "");
            tar_end(a);
        }
        rq_buf file = {0};
        uint64_t before = 0;
        assert_ok(rq_file_read("t.tar", 1 << 24, &file, &f->err), &f->err);
        for (size_t n = 1; n <= file.size; n += kind == 2 ? 13 : 256) {
            put_bytes("cut.tar", file.data, n);
            f->opts.allow_truncated = false;
            rq_status end = open_paths(f, "cut.tar", NULL);
            if (end == RQ_OK) /* only the zeros at the end are missing */
                assert_int_equal(drain(f, &end), TRAIN);
            f->opts.allow_truncated = true;
            end = open_paths(f, "cut.tar", NULL);
            if (end != RQ_OK) {
                assert_true(end == RQ_NOT_FOUND || end == RQ_TRUNCATED || end == RQ_BAD_FORMAT);
                if (before > 0)
                    fail_msg("kind %d at %zu: %s", kind, n, f->err.text);
                continue;
            }
            const uint64_t whole = drain(f, &end);
            assert_ok(end == RQ_END ? RQ_OK : end, &f->err);
            assert_true(whole >= before && whole <= TRAIN);
            if (whole < TRAIN)
                assert_true(f->n_log > 0);
            before = whole;
        }
        if (kind < 2) /* so small a stream is given whole or not at all */
            assert_int_equal(before, TRAIN);
        rq_buf_free(&file);
        f->opts.allow_truncated = false;
    }
}

/* Frames of zstd, or members of gzip, may end between two tar members as well. */
static void a_cut_between_members_is_noticed(void **state)
{
    fixture *f = *state;
    for (int i = 0; i < 3; i++) {
        struct archive *a = tar_begin("t.tar", ARCHIVE_FILTER_NONE);
        tar_text(a, "n01/a.jpg", "a");
        tar_text(a, "n01/b.jpg", "b");
        tar_end(a);
        assert_int_equal(truncate("t.tar", 2048), 0); /* both, and nothing behind them */
        const char *const commands[] = {"cat t.tar > u.tar", "gzip -c t.tar > u.tar",
                                        "zstd -q -c t.tar > u.tar"};
        if (system(commands[i]) != 0)
            skip();
        f->opts.allow_truncated = false;
        assert_status(open_paths(f, "u.tar", NULL), RQ_TRUNCATED);
        assert_non_null(strstr(f->err.text, "no end-of-archive mark"));
        assert_non_null(strstr(f->err.text, "--allow-truncated"));
        f->opts.allow_truncated = true;
        assert_ok(open_paths(f, "u.tar", NULL), &f->err);
        assert_int_equal(rq_source_count(f->src), 2);
        assert_int_equal(f->n_log, 1);
    }
}

/* ---- limits ------------------------------------------------------------------------------ */

static void names_may_not_fill_the_memory(void **state)
{
    fixture *f = *state;
    put_train_folder("d");
    f->opts.max_name_bytes = 100;
    refused(f, "d", RQ_LIMIT, "the names of the images take more than 100 bytes");
}

static void listing_can_be_stopped(void **state)
{
    fixture *f = *state;
    volatile sig_atomic_t stop = 1;
    put_train_folder("d");
    f->opts.cancel = &stop;
    refused(f, "d", RQ_CANCELLED, "d");
    stop = 0;
    check_train(f, "d", "class-folders");
}

/* Without descriptors every file would be "rejected": that is the machine's fault, not theirs.
 */
static void no_descriptors_end_the_reading(void **state)
{
    fixture *f = *state;
    struct rlimit was, none;
    put_train_folder("d");
    assert_ok(open_paths(f, "d", NULL), &f->err);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    none = was;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    rq_record r;
    const rq_status s = rq_source_next(f->src, &r, &f->err);
    rq_err walk_err = {0};
    rq_source *src = NULL;
    const char *path = "d";
    const rq_status walk = rq_source_open(&src, &path, 1, &f->opts, &walk_err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    assert_status(s, RQ_IO);
    assert_status(walk, RQ_IO);
    assert_non_null(strstr(f->err.text, "Too many open files"));
}

/* ---- hostile archives -------------------------------------------------------------------- */

static void members_that_climb_or_are_no_files(void **state)
{
    fixture *f = *state;
    for (int zip = 0; zip < 2; zip++) {
        struct archive *a = archive_begin("t.archive", zip ? -1 : ARCHIVE_FILTER_NONE);
        tar_text(a, "../../cat/a.jpg", "cat/a.jpg");
        tar_text(a, "/etc/dog/b.jpg", "dog/b.jpg");
        tar_text(a, "cat/./../cow/c.jpg", "cow/c.jpg");
        tar_link(a, "cat/soft.jpg", "/etc/passwd", false);
        if (!zip)
            tar_link(a, "cat/hard.jpg", "cat/a.jpg", true);
        static const unsigned kinds[] = {AE_IFCHR, AE_IFBLK, AE_IFIFO};
        for (int k = 0; k < 3 && !zip; k++) {
            struct archive_entry *e = archive_entry_new();
            archive_entry_set_pathname(e, "cat/device.jpg");
            archive_entry_set_filetype(e, kinds[k]);
            archive_entry_set_perm(e, 0644);
            archive_entry_set_rdev(e, 1);
            assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
            archive_entry_free(e);
        }
        tar_end(a);
        static const char *const names[] = {"cat/a.jpg", "cow/c.jpg", "dog/b.jpg"};
        static const int labels[] = {0, 1, 2};
        assert_ok(open_paths(f, "t.archive", NULL), &f->err);
        check_entries(f, names, labels, 3);
        assert_int_equal(rq_source_passed_over(f->src), zip ? 1 : 5);
    }
}

/* A changed byte in a compressed or zip archive: some other result, never harm. */
static void no_changed_byte_harms_the_reader(void **state)
{
    fixture *f = *state;
    static const int filters[] = {-1, ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_ZSTD};
    for (int i = 0; i < 3; i++) {
        rq_buf file = {0};
        struct archive *a = archive_begin("t.archive", filters[i]);
        add_train(a, "");
        tar_end(a);
        assert_ok(rq_file_read("t.archive", 1 << 24, &file, &f->err), &f->err);
        for (size_t n = 0; n < file.size; n += 5) {
            file.data[n] ^= 0x55;
            put_bytes("bad.archive", file.data, file.size);
            file.data[n] ^= 0x55;
            rq_status s = open_paths(f, "bad.archive", NULL);
            if (s == RQ_OK)
                drain(f, &s);
            assert_true(s != RQ_INTERNAL && s != RQ_OOM);
            put_bytes("bad.archive", file.data, n);
            s = open_paths(f, "bad.archive", NULL);
            if (s == RQ_OK)
                drain(f, &s);
            assert_true(s != RQ_INTERNAL && s != RQ_OOM);
        }
        rq_buf_free(&file);
    }
}

/* One member of a zip whose content does not match its checksum costs that image alone. */
static void a_damaged_zip_member_is_one_image(void **state)
{
    fixture *f = *state;
    struct archive *a = archive_write_new();
    assert_int_equal(archive_write_set_format_zip(a), ARCHIVE_OK);
    assert_int_equal(archive_write_zip_set_compression_store(a), ARCHIVE_OK);
    assert_int_equal(archive_write_open_filename(a, "t.zip"), ARCHIVE_OK);
    tar_text(a, "cat/a.jpg", "content of a");
    tar_text(a, "cat/b.jpg", "content of b");
    tar_end(a);
    rq_buf file = {0};
    assert_ok(rq_file_read("t.zip", 1 << 20, &file, &f->err), &f->err);
    uint8_t *at = memmem(file.data, file.size, "content of a", 12);
    assert_non_null(at);
    *at = 'C';
    put_bytes("t.zip", file.data, file.size);
    rq_buf_free(&file);
    rq_record r;
    assert_ok(open_paths(f, "t.zip", NULL), &f->err);
    assert_ok(rq_source_next(f->src, &r, &f->err), &f->err);
    assert_status(r.status, RQ_BAD_CHECKSUM);
    assert_null(r.data);
    assert_ok(rq_source_next(f->src, &r, &f->err), &f->err);
    assert_status(r.status, RQ_OK);
    assert_memory_equal(r.data, "content of b", 12);
    assert_status(rq_source_next(f->src, &r, &f->err), RQ_END);
}

static void put_zeros(struct archive *a, const char *name, size_t mib)
{
    struct archive_entry *e = archive_entry_new();
    uint8_t *zeros = calloc(1, 1 << 20);
    archive_entry_set_pathname(e, name);
    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_size(e, (la_int64_t)(mib << 20));
    assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
    for (size_t i = 0; i < mib; i++)
        assert_int_equal(archive_write_data(a, zeros, 1 << 20), 1 << 20);
    archive_entry_free(e);
    free(zeros);
}

/* Bombs in zip, and in archives inside of archives whose ratios would multiply. */
static void bombs_are_stopped(void **state)
{
    fixture *f = *state;
    struct archive *a = archive_begin("bomb.zip", -1);
    for (int i = 0; i < 4; i++) {
        char name[32];
        snprintf(name, sizeof name, "cat/%d.jpg", i);
        put_zeros(a, name, 60);
    }
    tar_end(a);
    refused(f, "bomb.zip", RQ_LIMIT, "compressed size");
    a = tar_begin("inner.tar.gz", ARCHIVE_FILTER_GZIP);
    put_zeros(a, "a.jpg", 160);
    tar_end(a);
    a = tar_begin("bomb.tar.gz", ARCHIVE_FILTER_GZIP);
    tar_copy(a, "cat.tar.gz", "inner.tar.gz");
    tar_end(a);
    refused(f, "bomb.tar.gz", RQ_LIMIT, "compressed size");
}

static void no_memory_at_any_point(void **state)
{
    fixture *f = *state;
    put_kaggle_files("k");
    put_val_folder("k/ILSVRC/Data/CLS-LOC/val");
    static const sample samples[] = {{"s0", "0/s0.jpg", "0", NULL},
                                     {"s1", "1/s1.jpg", NULL, "{\"label\":1,\"class\":\"x\"}"}};
    assert_int_equal(mkdir("w", 0777), 0);
    put_samples("w/set-000001.tar", ARCHIVE_FILTER_NONE, samples, 2);
    put_samples("w/set-000000.tar", ARCHIVE_FILTER_GZIP, samples, 2);
    put_file("l.csv", "k/LOC_val_solution.csv,1\n");
    static const char *const paths[] = {"k", "w", "l.csv"};
    for (int kind = 0; kind < 3; kind++) {
        rq_status s = RQ_OOM;
        int n = 1;
        for (; s != RQ_END && n < 300; n++) {
            rq_mem_fail_nth(n);
            s = open_paths(f, paths[kind], NULL);
            if (s == RQ_OK)
                drain(f, &s);
            rq_mem_fail_nth(0);
            if (s != RQ_END && s != RQ_OOM)
                fail_msg("%s, allocation %d: %s", paths[kind], n, f->err.text);
        }
        assert_true(n > 5 && n < 300);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, source_setup, source_teardown)
    const struct CMUnitTest tests[] = {
        TEST(official_train_and_val),
        TEST(val_without_labels_says_what_is_missing),
        TEST(labels_of_val_in_other_files),
        TEST(classes_come_from_the_devkit),
        TEST(class_folders_in_any_archive),
        TEST(a_folder_of_class_tars),
        TEST(hugging_face_archives),
        TEST(kaggle_as_it_is_unzipped),
        TEST(kaggle_as_it_is_downloaded),
        TEST(folders_and_archives_of_splits),
        TEST(val_sorted_into_class_folders),
        TEST(webdataset_labels),
        TEST(webdataset_shards),
        TEST(webdataset_samples_of_several_files),
        TEST(json_beside_images_in_folders),
        TEST(lists_of_files),
        TEST(lists_with_bad_lines),
        TEST(excluded_images_are_counted),
        TEST(what_is_whole_of_a_cut_archive_can_be_used),
        TEST(a_cut_between_members_is_noticed),
        TEST(names_may_not_fill_the_memory),
        TEST(listing_can_be_stopped),
        TEST(no_descriptors_end_the_reading),
        TEST(members_that_climb_or_are_no_files),
        TEST(no_changed_byte_harms_the_reader),
        TEST(a_damaged_zip_member_is_one_image),
        TEST(bombs_are_stopped),
        TEST(no_memory_at_any_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
