// SPDX-License-Identifier: Apache-2.0
// Masks: found by name in either place, averaged by exact areas, refused when the shape is
// another picture's.
#include "ingest_fixture.h"
#include "source_fixture.h"

#include "ingest/masks.h"

typedef struct masks_fixture {
    codec_fixture *codec;
    void *dir;
    rq_masks *masks;
    rq_buf pgm;
} masks_fixture;

static int setup(void **state)
{
    masks_fixture *f = calloc(1, sizeof *f);
    void *codec;
    *state = f;
    if (f == NULL || codec_setup(&codec) != 0 || test_enter_temp_dir(&f->dir) != 0)
        return -1;
    f->codec = codec;
    return mkdir("m", 0777) == 0 && mkdir("m/n01", 0777) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    masks_fixture *f = *state;
    void *codec = f->codec;
    rq_masks_close(&f->masks);
    rq_buf_free(&f->pgm);
    const int failed = codec_teardown(&codec) + test_remove_temp_dir(&f->dir);
    free(f);
    return failed;
}

static void write_mask(const char *path, int width, int height, const uint8_t *data)
{
    rq_buf file = {0};
    assert_status(rq_png_encode(data, width, height, 1, &file, NULL), RQ_OK);
    assert_status(rq_file_write_atomic(path, file.data, file.size, NULL), RQ_OK);
    rq_buf_free(&file);
}

/* Opens anew each time: masks that were added since are to be seen. */
static rq_status get_from(masks_fixture *f, const char *path, const char *name, int width,
                          int height)
{
    rq_err_clear(&f->codec->err);
    rq_masks_close(&f->masks);
    assert_ok(rq_masks_open(&f->masks, path, &f->codec->err), &f->codec->err);
    return rq_masks_get(f->masks, f->codec->decoder, name, width, height, 1, &f->pgm,
                        &f->codec->err);
}

static rq_status get(masks_fixture *f, const char *name, int width, int height)
{
    return get_from(f, "m", name, width, height);
}

static void found_by_name(void **state)
{
    masks_fixture *f = *state;
    write_mask("m/n01/a.png", 2, 1, (const uint8_t *)"AB");
    write_mask("m/a.png", 2, 1, (const uint8_t *)"CD");
    write_mask("m/b.c.png", 2, 1, (const uint8_t *)"EF");
    assert_status(rq_file_write_atomic("m/p.pgm", "P5 2 1 255\nGH", 13, NULL), RQ_OK);
    static const struct {
        const char *name, *pixels;
    } cases[] = {{"n01/a.JPEG", "AB"},  {"n02/a.JPEG", "CD"}, {"a.jpg", "CD"},
                 {"n01/b.c.jpg", "EF"}, {"n01/p.jpg", "GH"},  {"n01/sub/p.jpg", "GH"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char want[32];
        snprintf(want, sizeof want, "P5\n2 1\n255\n%s", cases[i].pixels);
        assert_ok(get(f, cases[i].name, 200, 100), &f->codec->err);
        assert_int_equal(f->pgm.size, strlen(want));
        assert_memory_equal(f->pgm.data, want, f->pgm.size);
    }
    static const char *const none[] = {"n01/nothing.jpg", "b.jpg", "n01/a.png.jpg"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        assert_ok(get(f, none[i], 200, 100), &f->codec->err);
        assert_int_equal(f->pgm.size, 0);
    }
}

static void check_pixels(masks_fixture *f, const char *path, const char *name,
                         const char *pixels)
{
    char want[32];
    assert_ok(get_from(f, path, name, 200, 100), &f->codec->err);
    snprintf(want, sizeof want, "P5\n2 1\n255\n%s", pixels);
    if (pixels[0] == '\0')
        want[0] = '\0';
    assert_int_equal(f->pgm.size, strlen(want));
    assert_memory_equal(f->pgm.data, want, f->pgm.size);
}

static void extensions_in_any_case(void **state)
{
    masks_fixture *f = *state;
    write_mask("m/n01/a.PNG", 2, 1, (const uint8_t *)"AB");
    put_bytes("m/n01/b.Pgm", "P5 2 1 255\nCD", 13);
    put_file("m/n01/c.txt", "no mask");
    check_pixels(f, "m", "n01/a.jpg", "AB");
    check_pixels(f, "m", "n01/b.jpg", "CD");
    check_pixels(f, "m", "n01/c.jpg", "");
}

static void masks_in_a_tar(void **state)
{
    masks_fixture *f = *state;
    static const char *const above[] = {"", "./", "masks/", "data/masks/"};
    for (int i = 0; i < 4; i++) {
        char name[64];
        struct archive *a = tar_begin("m.tar", ARCHIVE_FILTER_NONE);
        static const char *const files[][2] = {
            {"n01/a.pgm", "AB"}, {"n02/a.pgm", "CD"}, {"b.pgm", "EF"}};
        for (int k = 0; k < 3; k++) {
            char content[32];
            snprintf(name, sizeof name, "%s%s", above[i], files[k][0]);
            snprintf(content, sizeof content, "P5 2 1 255\n%s", files[k][1]);
            tar_text(a, name, content);
        }
        tar_end(a);
        check_pixels(f, "m.tar", "n01/a.jpg", "AB");
        check_pixels(f, "m.tar", "n02/a.jpg", "CD");
        check_pixels(f, "m.tar", "n03/a.jpg", "");
        check_pixels(f, "m.tar", "n03/b.jpg", "EF");
        check_pixels(f, "m.tar", "b.jpg", "EF");
    }
    struct archive *a = tar_begin("z.tar.gz", ARCHIVE_FILTER_GZIP);
    tar_text(a, "n01/a.pgm", "P5 2 1 255\nAB");
    tar_end(a);
    rq_err err = {0};
    rq_masks_close(&f->masks);
    assert_status(rq_masks_open(&f->masks, "z.tar.gz", &err), RQ_UNSUPPORTED);
    assert_null(f->masks);
    assert_non_null(strstr(err.text, "plain .tar"));
}

static void two_masks_are_one_too_many(void **state)
{
    masks_fixture *f = *state;
    write_mask("m/n01/a.png", 2, 1, (const uint8_t *)"AB");
    write_mask("m/a.png", 2, 1, (const uint8_t *)"CD");
    check_pixels(f, "m", "n01/a.jpg", "AB"); /* that of the class comes first */
    put_bytes("m/n01/a.pgm", "P5 2 1 255\nEF", 13);
    assert_status(get(f, "n01/a.jpg", 200, 100), RQ_BAD_FORMAT);
    assert_non_null(strstr(f->codec->err.text, "n01/a.pgm and n01/a.png"));
    check_pixels(f, "m", "n02/a.jpg", "CD");
}

/* A pipe must not be waited for, whenever it comes; nor a link to nowhere or a folder. */
static void what_is_no_file_is_not_waited_for(void **state)
{
    masks_fixture *f = *state;
    assert_int_equal(mkfifo("m/n01/p.png", 0666), 0);
    assert_int_equal(symlink("nowhere", "m/n01/l.png"), 0);
    assert_int_equal(mkdir("m/n01/d.png", 0777), 0);
    write_mask("m/n01/x.png", 2, 1, (const uint8_t *)"AB");
    check_pixels(f, "m", "n01/p.jpg", "");
    check_pixels(f, "m", "n01/d.jpg", "");
    assert_status(get(f, "n01/l.jpg", 200, 100), RQ_NOT_FOUND);
    assert_ok(get(f, "n01/x.jpg", 200, 100), &f->codec->err);
    assert_int_equal(unlink("m/n01/x.png"), 0);
    assert_int_equal(mkfifo("m/n01/x.png", 0666), 0);
    assert_status(rq_masks_get(f->masks, f->codec->decoder, "n01/x.jpg", 200, 100, 1, &f->pgm,
                               &f->codec->err),
                  RQ_UNSUPPORTED);
}

/* Against the same average in floating point; and flat stays flat. */
static void reduced_by_area(void **state)
{
    masks_fixture *f = *state;
    enum { W = 413, H = 250, OW = 160, OH = 97 };
    uint8_t *data = fixture_pixels(W, H, 1);
    write_mask("m/x.png", W, H, data);
    assert_ok(get(f, "x.jpg", W, H), &f->codec->err);
    static const char header[] = "P5\n160 97\n255\n";
    assert_memory_equal(f->pgm.data, header, sizeof header - 1);
    assert_int_equal(f->pgm.size, sizeof header - 1 + OW * OH);
    for (int oy = 0; oy < OH; oy += 7) {
        for (int ox = 0; ox < OW; ox++) {
            double sum = 0, weight = 0;
            for (int y = 0; y < H; y++) {
                const double y0 = oy * (double)H / OH, y1 = (oy + 1) * (double)H / OH;
                const double wy = (y + 1 < y1 ? y + 1 : y1) - (y > y0 ? y : y0);
                for (int x = 0; wy > 0 && x < W; x++) {
                    const double x0 = ox * (double)W / OW, x1 = (ox + 1) * (double)W / OW;
                    const double wx = (x + 1 < x1 ? x + 1 : x1) - (x > x0 ? x : x0);
                    sum += wx > 0 ? wx * wy * data[y * W + x] : 0;
                    weight += wx > 0 ? wx * wy : 0;
                }
            }
            const double off =
                f->pgm.data[sizeof header - 1 + (size_t)(oy * OW + ox)] - sum / weight;
            assert_true(off < 0.501 && off > -0.501);
        }
    }
    memset(data, 255, W * H);
    write_mask("m/flat.png", W, H, data);
    free(data);
    assert_ok(get(f, "flat.jpg", W, H), &f->codec->err);
    for (size_t i = sizeof header - 1; i < f->pgm.size; i++)
        assert_int_equal(f->pgm.data[i], 255);
}

static void long_and_thin(void **state)
{
    masks_fixture *f = *state;
    uint8_t data[1000];
    memset(data, 128, sizeof data);
    write_mask("m/thin.png", 1, 1000, data);
    assert_ok(get(f, "thin.jpg", 1, 1000), &f->codec->err);
    assert_memory_equal(f->pgm.data, "P5\n1 160\n255\n", 13);
}

static void what_cannot_be_a_mask_is_an_error(void **state)
{
    masks_fixture *f = *state;
    uint8_t *data = fixture_pixels(100, 100, 1);
    write_mask("m/a.png", 100, 100, data);
    free(data);
    assert_status(get(f, "a.jpg", 50, 50), RQ_OK);
    assert_status(get(f, "a.jpg", 1000, 1020), RQ_OK);
    assert_status(get(f, "a.jpg", 1000, 1021), RQ_BAD_FORMAT);
    assert_non_null(strstr(f->codec->err.text, "m/a.png"));
    assert_status(rq_file_write_atomic("m/t.png", "no picture", 10, NULL), RQ_OK);
    assert_status(get(f, "t.jpg", 5, 5), RQ_BAD_FORMAT);
    assert_non_null(strstr(f->codec->err.text, "m/t.png"));

    rq_masks *none;
    rq_err err = {0};
    assert_status(rq_masks_open(&none, "nowhere", &err), RQ_NOT_FOUND);
    assert_null(none);
    assert_non_null(strstr(err.text, "nowhere"));
    assert_status(rq_masks_open(&none, "m/a.png", NULL), RQ_NOT_FOUND);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(found_by_name),
        TEST(extensions_in_any_case),
        TEST(masks_in_a_tar),
        TEST(two_masks_are_one_too_many),
        TEST(what_is_no_file_is_not_waited_for),
        TEST(reduced_by_area),
        TEST(long_and_thin),
        TEST(what_cannot_be_a_mask_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
