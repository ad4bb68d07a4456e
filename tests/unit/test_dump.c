// SPDX-License-Identifier: Apache-2.0
//
// What is shown is what is trained on: the dump's views against batches of a shuffled stream
// with other batch sizes and threads; and the files made of them, read back independently.
#include "pack_fixture.h"

#include "common/json.h"
#include "tools/dump.h"

enum { EACH = 6, SHARDS = 2, COUNT = EACH * SHARDS, SEED = 77, EPOCH = 3 };

typedef struct fixture {
    char *dir;
    rq_dataset *ds;
    rq_recipe recipe;
    rq_dump dump;
} fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    uint64_t places[COUNT];
    f->dir = make_temp_dir();
    fixture_dataset(f->dir, SHARDS, EACH);
    assert_int_equal(rq_dataset_open(&f->ds, f->dir, NULL), RQ_OK);
    assert_int_equal(rq_recipe_preset(&f->recipe, "relicv2", NULL), RQ_OK);
    f->recipe.group[0] = (rq_view_group){3, 32, 0.2f, 1.0f};
    f->recipe.group[1] = (rq_view_group){2, 16, 0.05f, 0.3f};
    f->recipe.p_mask = 0.5f;
    for (uint64_t i = 0; i < COUNT; i++)
        places[i] = COUNT - 1 - i;
    const rq_dump_opts o = {SEED, EPOCH, true};
    rq_err err = {0};
    if (rq_dump_collect(&f->dump, f->ds, &f->recipe, places, COUNT, &o, &err) != RQ_OK)
        fail_msg("%s", err.text);
    f->dump.dataset = "a <dataset>";
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    rq_dump_free(&f->dump);
    rq_dataset_close(&f->ds);
    rm_tree(f->dir);
    free(f->dir);
    free(f);
    return 0;
}

static const rq_dump_item *item_of(const rq_dump *d, uint64_t id)
{
    for (int i = 0; i < d->images; i++)
        if (d->items[i].id == id)
            return &d->items[i];
    fail_msg("sample %llu is not in the dump", (unsigned long long)id);
    return NULL;
}

static void compare_batch(const fixture *f, const rq_batch *b)
{
    for (int g = 0, view = 0; g < b->groups; g++) {
        const size_t bytes = (size_t)b->group[g].size * (size_t)b->group[g].size * 3;
        for (int v = 0; v < b->group[g].views; v++, view++) {
            for (int i = 0; i < b->images; i++) {
                const rq_dump_item *item = item_of(&f->dump, b->ids[i]);
                const size_t at = (size_t)(v * b->images + i);
                int size;
                const uint8_t *shown = rq_dump_view(&f->dump, item, view, &size);
                assert_int_equal(size, b->group[g].size);
                assert_memory_equal(shown, b->group[g].data + at * bytes, bytes);
                const rq_view_params *p = &b->params[view * b->images + i];
                assert_int_equal(p->x, item->params[view].x);
                assert_int_equal(p->w, item->params[view].w);
                assert_int_equal(p->masked, item->params[view].masked);
                assert_int_equal(item->label, b->labels[i]);
            }
        }
    }
}

static void test_what_is_trained_on(void **state)
{
    const fixture *f = *state;
    rq_stream_opts o;
    rq_stream *s = NULL;
    const rq_batch *b = NULL;
    int batches = 0, masked = 0;
    rq_stream_opts_default(&o);
    o.seed = SEED;
    o.batch = 4;
    o.threads = 3;
    o.start = (rq_position){EPOCH, 0};
    o.epochs = EPOCH + 1;
    o.allow_missing_masks = true;
    assert_int_equal(rq_stream_open(&s, f->ds, &f->recipe, &o, NULL), RQ_OK);
    while (rq_stream_next(s, &b, NULL) == RQ_OK) {
        compare_batch(f, b);
        for (int i = 0; i < b->images * 5; i++)
            masked += b->params[i].masked;
        rq_stream_release(s, b);
        batches++;
    }
    rq_stream_close(&s);
    assert_int_equal(batches, COUNT / 4);
    assert_true(masked > 0);
}

static void test_items(void **state)
{
    const fixture *f = *state;
    for (int i = 0; i < COUNT; i++) {
        const rq_dump_item *item = &f->dump.items[i];
        assert_int_equal(item->id, COUNT - 1 - i);
        assert_int_equal(item->width, fixture_side(item->id));
        assert_int_equal(item->height, fixture_side(item->id) + 1);
        assert_int_equal(item->source.width, item->width);
        for (size_t k = 0; k < (size_t)(item->width * item->height * 3); k++)
            assert_int_equal(item->source.rgb[k], fixture_byte(item->id, k));
        assert_int_equal(item->has_mask, item->id % 3 == 0);
        if (item->has_mask) {
            /* Two of the mask's four samples are above the half. */
            assert_true(item->mask_usable);
            assert_true(item->mask_cover == 0.5f);
            assert_int_equal(item->overlay.width, item->width);
            assert_non_null(item->removed.rgb);
        } else {
            assert_null(item->overlay.rgb);
            assert_null(item->removed.rgb);
        }
    }
}

/* Header and layout as NumPy's format description has them. */
static void test_npy(void **state)
{
    const fixture *f = *state;
    for (int g = 0; g < 2; g++) {
        const int views = g == 0 ? 3 : 2, size = g == 0 ? 32 : 16;
        const size_t bytes = (size_t)size * (size_t)size * 3;
        rq_buf out = {0};
        assert_int_equal(rq_dump_npy(&f->dump, g, &out, NULL), RQ_OK);
        assert_memory_equal(out.data, "\x93NUMPY\x01\x00", 8);
        const size_t head = 10 + (size_t)out.data[8] + 256u * out.data[9];
        assert_int_equal(head % 64, 0);
        assert_int_equal(out.data[head - 1], '\n');
        char shape[100];
        snprintf(shape, sizeof shape, "'shape': (%d, %d, %d, %d, 3), }", views, COUNT, size,
                 size);
        out.data[head - 1] = '\0';
        assert_non_null(strstr((const char *)out.data + 10, shape));
        assert_int_equal(out.size, head + (size_t)views * COUNT * bytes);
        int s;
        for (int v = 0; v < views; v++)
            for (int i = 0; i < COUNT; i++)
                assert_memory_equal(out.data + head + (size_t)(v * COUNT + i) * bytes,
                                    rq_dump_view(&f->dump, &f->dump.items[i], g * 3 + v, &s),
                                    bytes);
        rq_buf_free(&out);
    }
}

static void test_json(void **state)
{
    const fixture *f = *state;
    rq_buf out = {0};
    cJSON *json = NULL;
    const cJSON *images, *views;
    int64_t n;
    assert_int_equal(rq_dump_json(&f->dump, &out, NULL), RQ_OK);
    assert_int_equal(rq_json_parse(&json, (const char *)out.data, out.size, "dump", NULL),
                     RQ_OK);
    assert_int_equal(rq_json_get_array(json, "images", &images, "dump", NULL), RQ_OK);
    assert_int_equal(cJSON_GetArraySize(images), COUNT);
    const cJSON *image = cJSON_GetArrayItem(images, 2);
    assert_int_equal(rq_json_get_int(image, "id", 0, 99, &n, "image", NULL), RQ_OK);
    assert_int_equal(n, f->dump.items[2].id);
    assert_int_equal(rq_json_get_array(image, "views", &views, "image", NULL), RQ_OK);
    assert_int_equal(cJSON_GetArraySize(views), 5);
    const cJSON *sigma = cJSON_GetObjectItem(cJSON_GetArrayItem(views, 0), "sigma");
    assert_true((float)sigma->valuedouble == f->dump.items[2].params[0].sigma);
    cJSON_Delete(json);
    rq_buf_free(&out);
}

static void test_html(void **state)
{
    const fixture *f = *state;
    rq_buf out = {0};
    assert_int_equal(rq_dump_html(&f->dump, &out, NULL), RQ_OK);
    assert_int_equal(rq_buf_append(&out, "", 1, NULL), RQ_OK);
    const char *page = (const char *)out.data;
    int cards = 0, png = 0;
    for (const char *p = page; (p = strstr(p, "<div class=\"view\"")) != NULL; p++)
        cards++;
    for (const char *p = page; (p = strstr(p, "data:image/png;base64,")) != NULL; p++)
        png++;
    assert_int_equal(cards, COUNT * 5);
    assert_int_equal(png, COUNT * 5);
    assert_non_null(strstr(page, "a &lt;dataset&gt;"));
    assert_null(strstr(page, "a <dataset>"));
    assert_null(strstr(page, "http:"));
    assert_null(strstr(page, "https:"));
    assert_non_null(strstr(page, "background removed"));
    rq_buf_free(&out);
}

/* Every box has its view's colour, and every view is on the sheet where its column is. */
static void test_sheet(void **state)
{
    const fixture *f = *state;
    rq_picture sheet;
    assert_int_equal(rq_dump_sheet(&f->dump, 32, &sheet, NULL), RQ_OK);
    const rq_dump_item *item = &f->dump.items[1];
    const int y = 12 + 24 + 1 * (32 + 14 + 8), x = 12 + 2 * (32 + 8);
    int size;
    for (int view = 0; view < 3; view++) {
        const uint8_t *pixels = rq_dump_view(&f->dump, item, view, &size);
        for (int row = 0; row < 32; row++)
            assert_memory_equal(
                sheet.rgb +
                    ((size_t)(y + row) * (size_t)sheet.width + (size_t)(x + view * 40)) * 3,
                pixels + row * 32 * 3, 32 * 3);
        const uint8_t *bar =
            sheet.rgb + ((size_t)(y + 32) * (size_t)sheet.width + (size_t)(x + view * 40)) * 3;
        assert_int_equal(bar[0] << 16 | bar[1] << 8 | bar[2], (int)rq_dump_view_color(view));
    }
    rq_picture_free(&sheet);
}

static void test_refusals(void **state)
{
    const fixture *f = *state;
    rq_dump d;
    rq_err err = {0};
    const uint64_t place = 1; /* sample 1 has no mask */
    rq_dump_opts o = {SEED, EPOCH, false};
    assert_int_equal(rq_dump_collect(&d, f->ds, &f->recipe, &place, 0, &o, &err),
                     RQ_INVALID_ARG);
    assert_null(d.items);
    rq_err_clear(&err);
    assert_int_not_equal(rq_dump_collect(&d, f->ds, &f->recipe, &place, 1, &o, &err), RQ_OK);
    assert_null(d.items);
    assert_non_null(strstr(err.text, "mask"));
}

/* Every allocation fails once: a clean error, nothing leaks (the sanitizers look). */
static void test_out_of_memory(void **state)
{
    const fixture *f = *state;
    const uint64_t place = 0;
    const rq_dump_opts o = {SEED, EPOCH, true};
    int failed = 0;
    for (long n = 1; n < 400; n++) {
        rq_dump d;
        rq_mem_fail_nth(n);
        const rq_status st = rq_dump_collect(&d, f->ds, &f->recipe, &place, 1, &o, NULL);
        rq_mem_fail_nth(0);
        assert_true(st == RQ_OK || st == RQ_OOM);
        failed += st == RQ_OOM;
        rq_dump_free(&d);
        if (st == RQ_OK)
            break;
    }
    assert_true(failed > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_trained_on),
        cmocka_unit_test(test_items),
        cmocka_unit_test(test_npy),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_html),
        cmocka_unit_test(test_sheet),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
