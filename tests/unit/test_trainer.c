// SPDX-License-Identifier: Apache-2.0
//
// The training step on a tiny ResNet-18: what it does to weights, target and states, that it
// can be cut in two anywhere, that it refuses what is not finite without a trace, and that it
// learns.
#include "tests/unit/test.h"

#include "common/rng.h"
#include "train/run.h"
#include "train/schedule.h"
#include "train/trainer.h"

#include <math.h>

enum { BATCH = 12, SIZE = 8, SMALL_SIZE = 4, CLASSES = 6 };

static rq_train_config tiny(int large, int small)
{
    rq_train_config c;
    rq_err err = {0};
    assert_ok(rq_train_config_default(&c, &err), &err);
    c.model.arch = RQ_RESNET18;
    c.model.stem = RQ_STEM_CIFAR;
    c.model.base_width = 8;
    c.model.proj_hidden = c.model.pred_hidden = 32;
    c.model.proj_out = 16;
    c.recipe.group[0].views = large;
    c.recipe.group[0].size = SIZE;
    c.recipe.group[1].views = small;
    c.recipe.group[1].size = SMALL_SIZE;
    c.batch = BATCH;
    c.loss.negatives = 5;
    c.lr = 10;
    c.ema = .9f;
    c.seed = 3;
    return c;
}

static const rq_train_plan plan = {.steps = 100, .warmup = 2, .peak_lr = .5};

typedef struct views {
    rq_batch batch;
    uint64_t ids[BATCH];
    int32_t labels[BATCH];
} views;

/* Images of a class share a pattern; every view of them has its own noise. */
static views make_views(const rq_train_config *c, uint64_t seed)
{
    views v = {.batch = {.images = BATCH, .groups = c->recipe.group[1].views > 0 ? 2 : 1}};
    rq_rng r = rq_rng_make(seed, 0, 0, 0, 0);
    for (int g = 0; g < v.batch.groups; g++) {
        const rq_view_group *vg = &c->recipe.group[g];
        const size_t bytes = (size_t)(vg->size * vg->size * 3);
        uint8_t *data = malloc((size_t)vg->views * BATCH * bytes);
        for (size_t i = 0; i < (size_t)vg->views * BATCH; i++) {
            const size_t label = i % CLASSES;
            for (size_t k = 0; k < bytes; k++) {
                const unsigned colour = k % 3 == label % 3 ? 60 : 0;
                const unsigned stripe = (k / 3 % 4) / 2 == label / 3 ? 80 : 0;
                data[i * bytes + k] = (uint8_t)(colour + stripe + rq_rng_below(&r, 60));
            }
        }
        v.batch.group[g] = (rq_batch_group){vg->views, vg->size, data};
    }
    return v;
}

static void free_views(views *v)
{
    for (int g = 0; g < v->batch.groups; g++)
        free(v->batch.group[g].data);
}

static rq_backend *make_backend(const char *name)
{
    rq_backend *b = NULL;
    rq_err err = {0};
    const rq_backend_opts o = {.threads = 2, .precision = RQ_F32};
    const rq_status st = rq_backend_create(&b, name, &o, &err);
    if (st == RQ_DEVICE)
        skip();
    assert_ok(st, &err);
    return b;
}

static rq_trainer *make_trainer(rq_backend *b, const rq_train_config *c)
{
    rq_trainer *t = NULL;
    rq_err err = {0};
    assert_ok(rq_trainer_create(&t, b, c, &plan, &err), &err);
    return t;
}

static rq_step_stats step(rq_trainer *t, const rq_train_config *c, uint64_t seed)
{
    rq_step_stats s;
    rq_err err = {0};
    views v = make_views(c, seed);
    assert_ok(rq_trainer_step(t, &v.batch, &s, &err), &err);
    free_views(&v);
    return s;
}

static float *copy(const float *x, size_t n)
{
    float *y = malloc(n * sizeof *y);
    memcpy(y, x, n * sizeof *y);
    return y;
}

static void test_one_step(void **state)
{
    rq_backend *b = make_backend("ref");
    rq_train_config c = tiny(2, 1);
    rq_trainer *t = make_trainer(b, &c);
    const rq_weights w = rq_trainer_weights(t);
    const size_t n = rq_model_param_floats(rq_trainer_model(t));
    const size_t m = rq_model_state_floats(rq_trainer_model(t));
    assert_memory_equal(w.values, w.target_values, n * sizeof *w.values);
    step(t, &c, 1); /* learning rate 0: the first step of a warm-up */
    float *before = copy(w.values, n), *target = copy(w.target_values, n);
    float *state_before = copy(w.state, m), *target_state = copy(w.target_state, m);
    assert_memory_equal(before, target, n * sizeof *before);
    const rq_step_stats s = step(t, &c, 2);
    assert_int_equal(rq_trainer_done(t), 2);
    assert_true(s.lr == rq_schedule_lr(1, 2, 100, .5) && s.lr > 0);
    assert_true(s.ema == rq_schedule_ema(1, 100, (double)c.ema));
    assert_true(isfinite(s.terms.loss) && s.grad_norm > 0 && s.terms.spread > 0);
    assert_true(s.terms.loss == (double)c.loss.alpha * s.terms.contrastive +
                                    (double)c.loss.beta * s.terms.invariance);
    size_t moved = 0;
    for (size_t i = 0; i < n; i++) {
        moved += w.values[i] != before[i];
        const float want = target[i] + (float)(1 - s.ema) * (w.values[i] - target[i]);
        assert_true(w.target_values[i] == want);
    }
    assert_true(moved > n / 2);
    /* Own running statistics on either side: the online network also saw the small view. */
    assert_memory_not_equal(w.state, state_before, m * sizeof *w.state);
    assert_memory_not_equal(w.target_state, target_state, m * sizeof *w.state);
    assert_memory_not_equal(w.state, w.target_state, m * sizeof *w.state);
    free(before);
    free(target);
    free(state_before);
    free(target_state);
    rq_trainer_destroy(&t);
    rq_backend_destroy(&b);
}

/* The online network's gradients of large and small views add up in one buffer: without the
 * small views there is another gradient, and a step works all the same. */
static void test_without_small_views(void **state)
{
    rq_backend *b = make_backend("ref");
    const rq_train_config with = tiny(2, 1), without = tiny(2, 0);
    rq_trainer *t = make_trainer(b, &with), *u = make_trainer(b, &without);
    const rq_step_stats a = step(t, &with, 1), d = step(u, &without, 1);
    assert_true(a.grad_norm != d.grad_norm && d.grad_norm > 0);
    const size_t pairs = 2 * 2 * BATCH * 5;
    assert_memory_equal(rq_trainer_negatives(t), rq_trainer_negatives(u),
                        pairs * sizeof(int32_t));
    rq_trainer_destroy(&t);
    rq_trainer_destroy(&u);
    rq_backend_destroy(&b);
}

static void test_ema_zero_copies(void **state)
{
    rq_backend *b = make_backend("ref");
    rq_train_config c = tiny(1, 1);
    c.ema = 0;
    rq_train_plan p = plan;
    p.warmup = 0;
    rq_trainer *t = NULL;
    rq_err err = {0};
    assert_ok(rq_trainer_create(&t, b, &c, &p, &err), &err);
    const rq_weights w = rq_trainer_weights(t);
    const size_t n = rq_model_param_floats(rq_trainer_model(t));
    step(t, &c, 1);
    assert_memory_equal(w.values, w.target_values, n * sizeof *w.values);
    rq_trainer_destroy(&t);
    rq_backend_destroy(&b);
}

static void test_divergence_leaves_no_trace(void **state)
{
    rq_backend *b = make_backend("ref");
    const rq_train_config c = tiny(2, 1);
    rq_trainer *t = make_trainer(b, &c);
    const rq_model *model = rq_trainer_model(t);
    const rq_weights w = rq_trainer_weights(t);
    const size_t n = rq_model_param_floats(model), m = rq_model_state_floats(model);
    step(t, &c, 1);
    w.values[rq_model_find(model, "projector.fc2.weight")->offset] = INFINITY;
    float *values = copy(w.values, n), *state_before = copy(w.state, m);
    float *target = copy(w.target_values, n), *target_state = copy(w.target_state, m);
    float *momentum = copy(w.momentum, n);
    views v = make_views(&c, 2);
    rq_step_stats s;
    rq_err err = {0};
    assert_status(rq_trainer_step(t, &v.batch, &s, &err), RQ_DIVERGED);
    assert_non_null(strstr(err.text, "step 2"));
    assert_non_null(strstr(err.text, "not finite"));
    assert_memory_equal(values, w.values, n * sizeof *values);
    assert_memory_equal(target, w.target_values, n * sizeof *values);
    assert_memory_equal(momentum, w.momentum, n * sizeof *values);
    assert_memory_equal(state_before, w.state, m * sizeof *values);
    assert_memory_equal(target_state, w.target_state, m * sizeof *values);
    assert_int_equal(rq_trainer_done(t), 1);
    free_views(&v);
    free(values);
    free(target);
    free(momentum);
    free(state_before);
    free(target_state);
    rq_trainer_destroy(&t);
    rq_backend_destroy(&b);
}

static void same_after_resume(const char *backend)
{
    rq_backend *b = make_backend(backend);
    const rq_train_config c = tiny(2, 1);
    rq_trainer *t = make_trainer(b, &c);
    rq_checkpoint *k = NULL;
    rq_err err = {0};
    for (uint64_t s = 0; s < 3; s++)
        step(t, &c, s);
    assert_ok(rq_trainer_save(t, "t.safetensors", NULL, 0, &err), &err);
    for (uint64_t s = 3; s < 5; s++)
        step(t, &c, s);
    rq_trainer *u = make_trainer(b, &c);
    assert_ok(rq_checkpoint_open(&k, "t.safetensors", &err), &err);
    assert_ok(rq_trainer_load(u, k, &err), &err);
    assert_int_equal(rq_trainer_done(u), 3);
    for (uint64_t s = 3; s < 5; s++)
        step(u, &c, s);
    const rq_weights x = rq_trainer_weights(t), y = rq_trainer_weights(u);
    const size_t n = rq_model_param_floats(rq_trainer_model(t)) * sizeof(float);
    const size_t m = rq_model_state_floats(rq_trainer_model(t)) * sizeof(float);
    assert_memory_equal(x.values, y.values, n);
    assert_memory_equal(x.target_values, y.target_values, n);
    assert_memory_equal(x.momentum, y.momentum, n);
    assert_memory_equal(x.state, y.state, m);
    assert_memory_equal(x.target_state, y.target_state, m);
    rq_checkpoint_close(&k);
    rq_trainer_destroy(&t);
    rq_trainer_destroy(&u);
    rq_backend_destroy(&b);
}

static void test_resume_ref(void **state)
{
    same_after_resume("ref");
}

static void test_resume_cpu(void **state)
{
    same_after_resume("cpu");
}

static void test_learns(void **state)
{
    rq_backend *b = make_backend("auto");
    rq_train_config c = tiny(2, 1);
    c.ema = .5f;
    rq_trainer *t = make_trainer(b, &c);
    const rq_step_stats first = step(t, &c, 0);
    rq_step_stats last = first;
    for (uint64_t s = 1; s < 60; s++)
        last = step(t, &c, s);
    assert_true(last.terms.loss < .8 * first.terms.loss);
    assert_true(last.terms.spread > .5);
    rq_trainer_destroy(&t);
    rq_backend_destroy(&b);
}

static void test_wrong_batch(void **state)
{
    rq_backend *b = make_backend("ref");
    const rq_train_config c = tiny(2, 0), other = tiny(2, 1);
    rq_trainer *t = make_trainer(b, &c);
    views v = make_views(&other, 1);
    rq_step_stats s;
    assert_status(rq_trainer_step(t, &v.batch, &s, NULL), RQ_INVALID_ARG);
    free_views(&v);
    rq_trainer_destroy(&t);
    rq_backend_destroy(&b);
}

static void test_collapse_alarm(void **state)
{
    rq_collapse_alarm a = {0};
    for (int i = 0; i < 10000; i++)
        assert_false(rq_collapse_update(&a, i % 99 == 0 ? .5 : .05));
    int rung = 0;
    for (int i = 0; i < 200; i++)
        rung += rq_collapse_update(&a, .01);
    assert_int_equal(rung, 1);
}

static void test_config_diff(void **state)
{
    static const char *const free_keys[] = {"threads", NULL};
    static const char before[] = "lr = 0.3\nbatch = 64\nthreads = 2\nold = 1\n";
    static const char now[] = "lr = 0.30\nbatch = 64\nthreads = 4\nnew = 2\n";
    rq_buf out = {0};
    rq_err err = {0};
    assert_ok(rq_config_diff(&out, before, now, free_keys, &err), &err);
    assert_string_equal((const char *)out.data, "lr: 0.3 -> 0.30; old: 1 -> ; new:  -> 2; ");
    out.size = 0;
    assert_ok(rq_config_diff(&out, before, before, NULL, &err), &err);
    assert_int_equal(out.size, 0);
    rq_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_step),
        cmocka_unit_test(test_without_small_views),
        cmocka_unit_test(test_ema_zero_copies),
        cmocka_unit_test(test_divergence_leaves_no_trace),
        cmocka_unit_test(test_resume_ref),
        cmocka_unit_test(test_resume_cpu),
        cmocka_unit_test(test_learns),
        cmocka_unit_test(test_wrong_batch),
        cmocka_unit_test(test_collapse_alarm),
        cmocka_unit_test(test_config_diff),
    };
    return cmocka_run_group_tests(tests, test_enter_temp_dir, test_remove_temp_dir);
}
