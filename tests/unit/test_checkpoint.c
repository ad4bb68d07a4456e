// SPDX-License-Identifier: Apache-2.0
//
// Checkpoints: bit-exact round trip, PyTorch's layout and names, refusal of what does not fit,
// and which of several a run goes on from.
#include "tests/unit/test.h"

#include "common/file.h"
#include "common/rng.h"
#include "train/checkpoint.h"

#include <math.h>

typedef struct fixture {
    rq_model *model;
    rq_weights w;
} fixture;

static float *randoms(size_t n, uint64_t seed)
{
    float *x = malloc(n * sizeof *x);
    rq_rng r = rq_rng_make(seed, 0, 0, 0, 0);
    for (size_t i = 0; i < n; i++)
        x[i] = rq_rng_range(&r, -1, 1);
    return x;
}

static fixture make_fixture(int width, bool random)
{
    fixture f = {0};
    rq_model_opts o;
    rq_err err = {0};
    rq_model_opts_default(&o);
    o.arch = RQ_RESNET18;
    o.stem = RQ_STEM_CIFAR;
    o.base_width = width;
    o.proj_hidden = o.pred_hidden = 32;
    o.proj_out = 16;
    assert_ok(rq_model_create(&f.model, &o, &err), &err);
    const size_t n = rq_model_param_floats(f.model), m = rq_model_state_floats(f.model);
    f.w.values = random ? randoms(n, 1) : calloc(n, sizeof(float));
    f.w.state = random ? randoms(m, 2) : calloc(m, sizeof(float));
    f.w.target_values = random ? randoms(n, 3) : calloc(n, sizeof(float));
    f.w.target_state = random ? randoms(m, 4) : calloc(m, sizeof(float));
    f.w.momentum = random ? randoms(n, 5) : calloc(n, sizeof(float));
    return f;
}

static void free_fixture(fixture *f)
{
    rq_model_destroy(&f->model);
    free(f->w.values);
    free(f->w.state);
    free(f->w.target_values);
    free(f->w.target_state);
    free(f->w.momentum);
}

static void save_at(const fixture *f, const char *path, uint64_t step)
{
    const rq_st_meta extra[] = {{"config", "lr = 0.3\nbatch = 64\n"}};
    const rq_checkpoint_info info = {
        .step = step, .online_views = 6, .target_views = 4, .extra = extra, .n_extra = 1};
    rq_err err = {0};
    assert_ok(rq_checkpoint_save(path, f->model, &f->w, &info, &err), &err);
}

static void assert_params_equal(const rq_model *m, const float *a, const float *b)
{
    for (size_t i = 0; i < rq_model_params(m); i++) {
        const rq_param *p = rq_model_param(m, i);
        assert_memory_equal(a + p->offset, b + p->offset, p->count * sizeof *a);
    }
}

static void assert_state_equal(const rq_model *m, const float *a, const float *b)
{
    for (size_t i = 0; i < rq_model_bns(m); i++) {
        const rq_bn_state *s = rq_model_bn(m, i);
        const size_t bytes = (size_t)s->channels * sizeof *a;
        assert_memory_equal(a + s->mean_offset, b + s->mean_offset, bytes);
        assert_memory_equal(a + s->var_offset, b + s->var_offset, bytes);
    }
}

static void test_round_trip(void **state)
{
    fixture f = make_fixture(8, true), g = make_fixture(8, false);
    rq_checkpoint *c = NULL;
    rq_err err = {0};
    f.w.values[3] = NAN; /* bits, not numbers, are kept */
    f.w.values[4] = -0.0f;
    save_at(&f, "c.safetensors", 1234);
    assert_ok(rq_checkpoint_open(&c, "c.safetensors", &err), &err);
    assert_int_equal(rq_checkpoint_step(c), 1234);
    assert_int_equal(rq_checkpoint_model(c)->base_width, 8);
    assert_int_equal(rq_checkpoint_model(c)->proj_out, 16);
    assert_string_equal(rq_checkpoint_meta(c, "config"), "lr = 0.3\nbatch = 64\n");
    assert_ok(rq_checkpoint_read(c, g.model, &g.w, &err), &err);
    assert_params_equal(f.model, f.w.values, g.w.values);
    assert_params_equal(f.model, f.w.target_values, g.w.target_values);
    assert_params_equal(f.model, f.w.momentum, g.w.momentum);
    assert_state_equal(f.model, f.w.state, g.w.state);
    assert_state_equal(f.model, f.w.target_state, g.w.target_state);
    rq_checkpoint_close(&c);
    free_fixture(&f);
    free_fixture(&g);
}

static void test_torch_layout(void **state)
{
    fixture f = make_fixture(8, true);
    rq_safetensors *s = NULL;
    rq_err err = {0};
    save_at(&f, "c.safetensors", 10);
    assert_ok(rq_safetensors_open(&s, "c.safetensors", &err), &err);
    const rq_st_tensor *t = rq_safetensors_find(s, "encoder.layer2.0.conv1.weight");
    assert_non_null(t);
    assert_int_equal(t->shape[0], 16);
    assert_int_equal(t->shape[1], 8);
    assert_int_equal(t->shape[2], 3);
    float *oihw = malloc(t->bytes);
    assert_ok(rq_safetensors_read(s, t, oihw, &err), &err);
    const float *krsc =
        f.w.values + rq_model_find(f.model, "encoder.layer2.0.conv1.weight")->offset;
    for (size_t o = 0; o < 16; o++)
        for (size_t i = 0; i < 8; i++)
            for (size_t y = 0; y < 3; y++)
                for (size_t x = 0; x < 3; x++)
                    assert_true(oihw[((o * 8 + i) * 3 + y) * 3 + x] ==
                                krsc[((o * 3 + y) * 3 + x) * 8 + i]);
    free(oihw);
    int64_t batches;
    t = rq_safetensors_find(s, "encoder.bn1.num_batches_tracked");
    assert_non_null(t);
    assert_int_equal(t->ndim, 0);
    assert_ok(rq_safetensors_read(s, t, &batches, &err), &err);
    assert_int_equal(batches, 60);
    t = rq_safetensors_find(s, "target.encoder.layer4.1.bn2.num_batches_tracked");
    assert_ok(rq_safetensors_read(s, t, &batches, &err), &err);
    assert_int_equal(batches, 40);
    assert_non_null(rq_safetensors_find(s, "opt.momentum.predictor.fc2.weight"));
    assert_non_null(rq_safetensors_find(s, "encoder.layer2.0.downsample.0.weight"));
    assert_non_null(rq_safetensors_find(s, "encoder.layer2.0.downsample.1.running_var"));
    rq_safetensors_close(&s);
    free_fixture(&f);
}

static void test_other_shape(void **state)
{
    fixture f = make_fixture(8, true), g = make_fixture(16, false);
    rq_checkpoint *c = NULL;
    rq_err err = {0};
    save_at(&f, "c.safetensors", 1);
    assert_ok(rq_checkpoint_open(&c, "c.safetensors", &err), &err);
    assert_status(rq_checkpoint_read(c, g.model, &g.w, &err), RQ_BAD_FORMAT);
    assert_non_null(strstr(err.text, "encoder.conv1.weight"));
    rq_checkpoint_close(&c);
    free_fixture(&f);
    free_fixture(&g);
}

static void test_export(void **state)
{
    fixture f = make_fixture(8, true);
    rq_safetensors *s = NULL;
    rq_err err = {0};
    const rq_st_meta meta[] = {{"format", "pt"}};
    assert_ok(
        rq_export_encoder("e.safetensors", f.model, f.w.values, f.w.state, meta, 1, 5, &err),
        &err);
    assert_ok(rq_safetensors_open(&s, "e.safetensors", &err), &err);
    /* ResNet-18: 20 convolutions, 20 BatchNorms of 5 tensors. */
    assert_int_equal(rq_safetensors_count(s), 20 + 20 * 5);
    assert_non_null(rq_safetensors_find(s, "conv1.weight"));
    assert_non_null(rq_safetensors_find(s, "layer4.0.downsample.1.num_batches_tracked"));
    rq_safetensors_close(&s);
    rq_checkpoint *c = NULL;
    assert_status(rq_checkpoint_open(&c, "e.safetensors", &err), RQ_BAD_FORMAT);
    free_fixture(&f);
}

static void count_warning(void *cookie, rq_log_level level, const char *line)
{
    (void)line;
    if (level == RQ_LOG_WARN)
        ++*(int *)cookie;
}

static void damage(const char *path, long offset)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    fseek(f, offset, offset < 0 ? SEEK_END : SEEK_SET);
    const int c = fgetc(f);
    fseek(f, -1, SEEK_CUR);
    fputc(c ^ 0x10, f);
    fclose(f);
}

static void test_folder(void **state)
{
    fixture f = make_fixture(8, true);
    rq_err err = {0};
    uint64_t *steps;
    size_t n;
    int warnings = 0;
    const rq_log_sink log = {&warnings, RQ_LOG_WARN, count_warning};
    rq_checkpoint *c = NULL;
    assert_status(rq_checkpoint_open_latest(&c, "runs", &log, &err), RQ_NOT_FOUND);
    rq_err_clear(&err);
    assert_ok(rq_mkdirs("runs", &err), &err);
    for (uint64_t s = 80; s <= 120; s += 10) {
        char *name = rq_checkpoint_name("runs", s);
        save_at(&f, name, s);
        rq_free(name);
    }
    assert_ok(rq_file_write_atomic("runs/ckpt-7.safetensors", "x", 1, &err), &err);
    assert_ok(rq_file_write_atomic("runs/ckpt-00000999.safetensors.damaged", "x", 1, &err),
              &err);
    assert_ok(rq_checkpoint_prune("runs", 2, &err), &err);
    assert_ok(rq_checkpoint_list(&steps, &n, "runs", &err), &err);
    assert_int_equal(n, 2);
    assert_int_equal(steps[0], 110);
    rq_free(steps);
    assert_ok(rq_checkpoint_open_latest(&c, "runs", &log, &err), &err);
    assert_int_equal(rq_checkpoint_step(c), 120);
    assert_int_equal(warnings, 0);
    rq_checkpoint_close(&c);

    damage("runs/ckpt-00000120.safetensors", -9);
    assert_ok(rq_checkpoint_open_latest(&c, "runs", &log, &err), &err);
    assert_int_equal(rq_checkpoint_step(c), 110);
    assert_int_equal(warnings, 1);
    rq_checkpoint_close(&c);

    damage("runs/ckpt-00000110.safetensors", 40);
    assert_true(rq_checkpoint_open_latest(&c, "runs", &log, &err) != RQ_OK);
    assert_null(c);
    assert_non_null(strstr(err.text, "ckpt-00000110"));
    assert_non_null(strstr(err.text, "start anew"));
    assert_int_equal(warnings, 2);

    /* What cannot be read is reported: it may be whole. */
    rq_err_clear(&err);
    save_at(&f, "runs/ckpt-00000110.safetensors", 110);
    assert_int_equal(unlink("runs/ckpt-00000120.safetensors"), 0);
    assert_int_equal(symlink("ckpt-00000120.safetensors", "runs/ckpt-00000120.safetensors"), 0);
    assert_status(rq_checkpoint_open_latest(&c, "runs", &log, &err), RQ_IO);
    assert_null(c);
    assert_int_equal(warnings, 2);
    free_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),  cmocka_unit_test(test_torch_layout),
        cmocka_unit_test(test_other_shape), cmocka_unit_test(test_export),
        cmocka_unit_test(test_folder),
    };
    return cmocka_run_group_tests(tests, test_enter_temp_dir, test_remove_temp_dir);
}
