// SPDX-License-Identifier: Apache-2.0
//
// The plan cache: what was put comes back, whatever is wrong with a file makes it empty and
// never worse, and a choice of plan goes through it.
#include "tests/unit/test.h"

#ifdef RQ_HAVE_CUDA
#include "common/bytes.h"
#include "common/file.h"
#include "common/hash.h"
#include "train/cuda/convplan.h"

static const char identity[] = "cudnn 91900\ndevice NVIDIA H200\nsms 132\n";

static rq_plan_cache *open_cache(const char *id)
{
    rq_plan_cache *c;
    rq_err err = {0};

    assert_ok(rq_plan_cache_open(&c, "deep/cache", id, &err), &err);
    return c;
}

static void put(rq_plan_cache *c, const char *key, const char *json, double ms)
{
    const rq_plan_entry e = {
        .name = "eng62_k2=0", .json = json, .json_bytes = strlen(json), .ms = ms};
    rq_err err = {0};

    assert_ok(rq_plan_cache_put(c, key, &e, &err), &err);
}

/* A saved cache of two; its path in `path`. */
static void make_file(char *path, size_t bytes)
{
    rq_plan_cache *c = open_cache(identity);
    rq_err err = {0};

    put(c, "graph a\n", "{\"plan\": 1}", 0.25);
    put(c, "graph b\n", "{\"plan\": 2}", 0);
    assert_ok(rq_plan_cache_save(c, &err), &err);
    snprintf(path, bytes, "%s", rq_plan_cache_path(c));
    rq_plan_cache_close(&c);
}

static void what_was_put_comes_back(void **state)
{
    char path[256];
    rq_plan_entry e;
    rq_err err = {0};

    make_file(path, sizeof path);
    rq_plan_cache *c = open_cache(identity);
    assert_string_equal(rq_plan_cache_note(c), "");
    assert_int_equal(rq_plan_cache_count(c), 2);
    assert_true(rq_plan_cache_find(c, "graph a\n", &e));
    assert_string_equal(e.name, "eng62_k2=0");
    assert_string_equal(e.json, "{\"plan\": 1}");
    assert_int_equal(e.json_bytes, 11);
    assert_true(e.ms == 0.25);
    assert_false(rq_plan_cache_find(c, "graph ", &e));
    put(c, "graph a\n", "{}", 1);
    assert_int_equal(rq_plan_cache_count(c), 2);
    assert_ok(rq_plan_cache_save(c, &err), &err);
    rq_plan_cache_close(&c);
    c = open_cache(identity);
    assert_true(rq_plan_cache_find(c, "graph a\n", &e));
    assert_string_equal(e.json, "{}");
    assert_true(rq_plan_cache_find(c, "graph b\n", &e));
    rq_plan_cache_close(&c);
}

static void nothing_new_writes_nothing(void **state)
{
    rq_err err = {0};
    rq_plan_cache *c = open_cache("untouched");

    assert_ok(rq_plan_cache_save(c, &err), &err);
    assert_int_equal(access(rq_plan_cache_path(c), F_OK), -1);
    rq_plan_cache_close(&c);
}

static void another_identity_has_another_file(void **state)
{
    static const char other[] = "cudnn 92000\ndevice NVIDIA H200\nsms 132\n";
    char path[256], command[600];
    rq_plan_cache *c = open_cache(other);

    make_file(path, sizeof path);
    assert_string_not_equal(path, rq_plan_cache_path(c));
    snprintf(command, sizeof command, "cp %s %s", path, rq_plan_cache_path(c));
    rq_plan_cache_close(&c);
    assert_int_equal(system(command), 0);
    c = open_cache(other);
    assert_int_equal(rq_plan_cache_count(c), 0);
    assert_non_null(strstr(rq_plan_cache_note(c), "another device or version"));
    rq_plan_cache_close(&c);
}

static void expect_ignored(const char *path, const uint8_t *data, size_t n)
{
    rq_err err = {0};

    assert_ok(rq_file_write_atomic(path, data, n, &err), &err);
    rq_plan_cache *c = open_cache(identity);
    assert_int_equal(rq_plan_cache_count(c), 0);
    assert_non_null(strstr(rq_plan_cache_note(c), "is not used"));
    rq_plan_cache_close(&c);
}

static rq_buf read_file(const char *path)
{
    rq_buf b = {0};
    rq_err err = {0};

    assert_ok(rq_file_read(path, 1 << 20, &b, &err), &err);
    return b;
}

static void any_damage_empties_it(void **state)
{
    char path[256];

    make_file(path, sizeof path);
    rq_buf b = read_file(path);
    for (size_t i = 0; i < b.size; i += i < 40 ? 1 : 7) {
        b.data[i] ^= 0x40;
        expect_ignored(path, b.data, b.size);
        b.data[i] ^= 0x40;
    }
    for (size_t n = 0; n < b.size; n += 11)
        expect_ignored(path, b.data, n);
    expect_ignored(path, b.data, b.size - 1);
    rq_buf_free(&b);
}

/* Whoever makes up lengths can also make up a checksum. */
static void made_up_lengths_are_refused(void **state)
{
    static const uint32_t lengths[] = {0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 1000, 100};
    char path[256];

    make_file(path, sizeof path);
    rq_buf b = read_file(path);
    const size_t first = 32 + 4 + strlen(identity);
    const size_t at[] = {12, 32, first, first + 4, first + 8};
    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        for (size_t k = 0; k < sizeof lengths / sizeof lengths[0]; k++) {
            uint8_t old[4];
            memcpy(old, b.data + at[i], 4);
            rq_put_le32(b.data + at[i], lengths[k]);
            rq_put_le64(b.data + 24, rq_xxh3(b.data + 32, b.size - 32));
            expect_ignored(path, b.data, b.size);
            memcpy(b.data + at[i], old, 4);
        }
    }
    rq_buf_free(&b);
}

static void too_long_is_refused(void **state)
{
    rq_plan_cache *c = open_cache("long");
    char *key = calloc(1, RQ_PLAN_CACHE_MAX_TEXT + 2);
    const rq_plan_entry e = {.name = "", .json = "", .json_bytes = 0};
    rq_err err = {0};

    memset(key, 'x', RQ_PLAN_CACHE_MAX_TEXT + 1);
    assert_status(rq_plan_cache_put(c, key, &e, &err), RQ_LIMIT);
    assert_int_equal(rq_plan_cache_count(c), 0);
    free(key);
    rq_plan_cache_close(&c);
}

/* ---- with cuDNN -------------------------------------------------------------------------- */

static rq_dg_device *open_h200(void)
{
    const char *root = getenv("RQ_SOURCE");
    char path[512];
    rq_buf json = {0};
    rq_dg_device *d = NULL;
    rq_err err = {0};

    snprintf(path, sizeof path, "%s/tests/gpu/h200_devprop.json", root ? root : ".");
    if (rq_file_read(path, 1 << 16, &json, &err) == RQ_OK &&
        rq_dg_device_open_json(&d, (const char *)json.data, json.size, &err) != RQ_OK)
        d = NULL;
    rq_buf_free(&json);
    if (!d)
        print_message("%s\n", err.text);
    return d;
}

static rq_dg_device *h200;

static rq_dg *make_graph(void)
{
    const rq_conv_shape s = {.n = 64,
                             .h = 14,
                             .w = 14,
                             .c = 256,
                             .k = 256,
                             .r = 3,
                             .stride = 1,
                             .pad = 1,
                             .oh = 14,
                             .ow = 14,
                             .type = RQ_DTYPE_BF16,
                             .out_type = RQ_DTYPE_BF16};
    rq_dg *g;
    rq_err err = {0};

    assert_ok(rq_cuda_conv_graph(&g, h200, &s, RQ_DG_DGRAD, &err), &err);
    return g;
}

static void choose(rq_dg *g, unsigned forbid, rq_plan_cache *c, bool expect_hit, char *name)
{
    const rq_dg_filter f = {.workspace = RQ_CUDA_WORKSPACE, .forbid = forbid};
    rq_dg_plan *p;
    rq_err err = {0};
    bool hit;

    assert_ok(rq_plan_choose(&p, g, &f, c, &hit, &err), &err);
    assert_int_equal(hit, expect_hit);
    assert_true(rq_dg_plan_workspace(p) <= f.workspace);
    snprintf(name, 256, "%s", rq_dg_plan_name(p));
    rq_dg_plan_destroy(&p);
}

static void a_plan_is_looked_for_once(void **state)
{
    char first[256], again[256];
    rq_err err = {0};
    rq_buf id = {0};

    if (!h200)
        skip();
    assert_ok(rq_plan_identity(h200, &id, &err), &err);
    assert_non_null(strstr((const char *)id.data, "device NVIDIA H200\nsms 132\n"));
    rq_dg *g = make_graph();
    rq_plan_cache *c = open_cache((const char *)id.data);
    choose(g, 0, c, false, first);
    choose(g, 0, c, true, again);
    assert_string_equal(first, again);
    choose(g, RQ_DG_NO_NONDETERMINISTIC, c, false, again); /* another question */
    assert_int_equal(rq_plan_cache_count(c), 2);
    assert_ok(rq_plan_cache_save(c, &err), &err);
    rq_plan_cache_close(&c);
    c = open_cache((const char *)id.data);
    choose(g, 0, c, true, again);
    assert_string_equal(first, again);
    rq_plan_cache_close(&c);
    choose(g, 0, NULL, false, again);
    rq_dg_destroy(&g);
    rq_buf_free(&id);
}

static void a_plan_that_cudnn_refuses_is_found_anew(void **state)
{
    char key[512], name[256], again[256];
    rq_plan_entry e;

    if (!h200)
        skip();
    rq_dg *g = make_graph();
    rq_plan_cache *c = open_cache("refused");
    snprintf(key, sizeof key, "%sforbid 0 workspace %zu\n", rq_dg_text(g), RQ_CUDA_WORKSPACE);
    put(c, key, "{\"no\": \"plan\"}", 0);
    choose(g, 0, c, false, name);
    choose(g, 0, c, true, again);
    assert_string_equal(name, again);
    assert_true(rq_plan_cache_find(c, key, &e)); /* the key is what was put */
    assert_int_equal(rq_plan_cache_count(c), 1);
    rq_plan_cache_close(&c);
    rq_dg_destroy(&g);
}

static int setup(void **state)
{
    h200 = open_h200();
    return test_enter_temp_dir(state);
}

static int teardown(void **state)
{
    rq_dg_device_close(&h200);
    return test_remove_temp_dir(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_comes_back),
        cmocka_unit_test(nothing_new_writes_nothing),
        cmocka_unit_test(another_identity_has_another_file),
        cmocka_unit_test(any_damage_empties_it),
        cmocka_unit_test(made_up_lengths_are_refused),
        cmocka_unit_test(too_long_is_refused),
        cmocka_unit_test(a_plan_is_looked_for_once),
        cmocka_unit_test(a_plan_that_cudnn_refuses_is_found_anew),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
#else
int main(void)
{
    return test_skip_whole("a build with CUDA");
}
#endif
