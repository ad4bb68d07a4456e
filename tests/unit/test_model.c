// SPDX-License-Identifier: Apache-2.0
//
// The parameter table: torchvision's names, shapes and counts, layout, initial values.
#include "common/mem.h"
#include "train/model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static rq_model *make(const rq_model_opts *o)
{
    rq_model *m;
    rq_err err = {0};

    if (rq_model_create(&m, o, &err) != RQ_OK)
        fail_msg("%s", err.text);
    return m;
}

static size_t count_part(const rq_model *m, rq_model_part part)
{
    size_t n = 0;

    for (size_t i = 0; i < rq_model_params(m); i++) {
        if (rq_model_param(m, i)->part == part)
            n += rq_model_param(m, i)->count;
    }
    return n;
}

/* Published parameter counts of torchvision's models, less their fc (2048 or 512 in, 1000 out);
 * resnet200 by the same block formula. */
static void counts_are_torchvisions(void **state)
{
    static const struct {
        const char *name;
        size_t params, features;
    } expect[] = {{"resnet18", 11689512 - 513000, 512},
                  {"resnet34", 21797672 - 513000, 512},
                  {"resnet50", 25557032 - 2049000, 2048},
                  {"resnet101", 44549160 - 2049000, 2048},
                  {"resnet152", 60192808 - 2049000, 2048}};

    for (size_t i = 0; i < sizeof expect / sizeof expect[0]; i++) {
        rq_model_opts o;
        rq_model_opts_default(&o);
        assert_int_equal(rq_arch_parse(&o.arch, expect[i].name, NULL), RQ_OK);
        assert_string_equal(rq_arch_name(o.arch), expect[i].name);
        rq_model *m = make(&o);
        assert_int_equal(count_part(m, RQ_PART_ENCODER), expect[i].params);
        assert_int_equal(rq_model_features(m), expect[i].features);
        rq_model_destroy(&m);
    }
}

static void names_and_shapes(void **state)
{
    static const struct {
        const char *name;
        int ndim;
        int64_t shape[4];
        bool adapt, zero;
    } expect[] = {{"encoder.conv1.weight", 4, {64, 3, 7, 7}, true, false},
                  {"encoder.bn1.weight", 1, {64}, false, false},
                  {"encoder.layer1.0.conv1.weight", 4, {64, 64, 1, 1}, true, false},
                  {"encoder.layer1.0.downsample.0.weight", 4, {256, 64, 1, 1}, true, false},
                  {"encoder.layer1.0.downsample.1.bias", 1, {256}, false, false},
                  {"encoder.layer2.0.conv2.weight", 4, {128, 128, 3, 3}, true, false},
                  {"encoder.layer4.2.bn3.weight", 1, {2048}, false, true},
                  {"projector.fc1.weight", 2, {4096, 2048}, true, false},
                  {"projector.fc1.bias", 1, {4096}, false, false},
                  {"projector.bn1.weight", 1, {4096}, false, false},
                  {"predictor.fc2.weight", 2, {256, 4096}, true, false}};
    rq_model_opts o;

    rq_model_opts_default(&o);
    rq_model *m = make(&o);
    for (size_t i = 0; i < sizeof expect / sizeof expect[0]; i++) {
        const rq_param *p = rq_model_find(m, expect[i].name);
        if (!p)
            fail_msg("no %s", expect[i].name);
        assert_int_equal(p->ndim, expect[i].ndim);
        assert_memory_equal(p->shape, expect[i].shape, (size_t)p->ndim * sizeof p->shape[0]);
        assert_int_equal(p->adapt, expect[i].adapt);
        assert_int_equal(p->zero_init, expect[i].zero);
    }
    assert_null(rq_model_find(m, "encoder.layer1.1.downsample.0.weight"));
    assert_null(rq_model_find(m, "projector.fc2.bias"));
    assert_null(rq_model_find(m, "encoder.fc.weight"));
    assert_int_equal(rq_model_bns(m), 53 + 2);
    assert_string_equal(rq_model_bn(m, 0)->name, "encoder.bn1");
    rq_model_destroy(&m);
}

static void buffers_are_laid_out_without_overlap(void **state)
{
    const rq_model_opts o = {
        .arch = RQ_RESNET18, .stem = RQ_STEM_CIFAR, .base_width = 8, .classes = 10};
    rq_model *m = make(&o);
    size_t end = 0;

    for (size_t i = 0; i < rq_model_params(m); i++) {
        const rq_param *p = rq_model_param(m, i);
        size_t n = 1;
        for (int d = 0; d < p->ndim; d++)
            n *= (size_t)p->shape[d];
        assert_int_equal(p->count, n);
        assert_true(p->offset % RQ_PARAM_ALIGN == 0 && p->offset >= end);
        end = p->offset + p->count;
    }
    assert_true(end <= rq_model_param_floats(m));
    end = 0;
    for (size_t i = 0; i < rq_model_bns(m); i++) {
        const rq_bn_state *s = rq_model_bn(m, i);
        assert_true(s->mean_offset >= end);
        assert_true(s->var_offset >= s->mean_offset + (size_t)s->channels);
        end = s->var_offset + (size_t)s->channels;
    }
    assert_true(end <= rq_model_state_floats(m));
    assert_non_null(rq_model_find(m, "fc.bias"));
    assert_null(rq_model_find(m, "projector.fc1.weight"));
    rq_model_destroy(&m);
}

typedef struct buffers {
    float *values, *state;
} buffers;

static buffers init(const rq_model *m, uint64_t seed)
{
    buffers b = {rq_alloc(rq_model_param_floats(m), sizeof(float)),
                 rq_alloc(rq_model_state_floats(m), sizeof(float))};

    assert_non_null(b.values);
    assert_non_null(b.state);
    rq_model_init(m, seed, b.values, b.state);
    return b;
}

static void drop(buffers *b)
{
    rq_free(b->values);
    rq_free(b->state);
}

static void initial_values(void **state)
{
    const rq_model_opts o = {.arch = RQ_RESNET18,
                             .stem = RQ_STEM_IMAGENET,
                             .base_width = 32,
                             .proj_hidden = 512,
                             .proj_out = 64,
                             .pred_hidden = 32};
    rq_model *m = make(&o);
    buffers b = init(m, 1);

    for (size_t i = 0; i < rq_model_params(m); i++) {
        const rq_param *p = rq_model_param(m, i);
        const float *v = b.values + p->offset;
        if (!p->adapt) {
            const bool one = p->kind == RQ_PARAM_BN_SCALE && !p->zero_init;
            for (size_t k = 0; k < p->count; k++)
                assert_true(v[k] == (one ? 1.0f : 0.0f));
            continue;
        }
        /* A normal cut at 2 sigma has the deviation 0.87962566. */
        const double sigma = 1 / sqrt((double)p->fan_in);
        double sum = 0, squares = 0, most = 0;
        for (size_t k = 0; k < p->count; k++) {
            sum += (double)v[k];
            squares += (double)v[k] * (double)v[k];
            most = fmax(most, fabs((double)v[k]));
        }
        const double n = (double)p->count, sd = sqrt(squares / n) / sigma;
        assert_true(most <= 2 * sigma * (1 + 1e-6));
        assert_true(fabs(sum / n) < 5 * sigma / sqrt(n));
        if (!(fabs(sd - 0.87962566) < 3 / sqrt(n)))
            fail_msg("%s: deviation %g sigma", p->name, sd);
    }
    for (size_t i = 0; i < rq_model_bns(m); i++) {
        const rq_bn_state *s = rq_model_bn(m, i);
        assert_true(b.state[s->mean_offset] == 0.0f && b.state[s->var_offset] == 1.0f);
    }
    drop(&b);
    rq_model_destroy(&m);
}

/* Values depend on the seed and the parameter's name, on nothing else in the model. */
static void initial_values_are_keyed_by_name(void **state)
{
    const rq_model_opts with = {.arch = RQ_RESNET18,
                                .stem = RQ_STEM_CIFAR,
                                .base_width = 8,
                                .proj_hidden = 16,
                                .proj_out = 8,
                                .pred_hidden = 16};
    const rq_model_opts without = {
        .arch = RQ_RESNET34, .stem = RQ_STEM_CIFAR, .base_width = 8, .classes = 3};
    rq_model *a = make(&with), *b = make(&without);
    buffers va = init(a, 9), vb = init(b, 9), vc = init(a, 10);
    const char *name = "encoder.layer3.1.conv2.weight";
    const rq_param *pa = rq_model_find(a, name), *pb = rq_model_find(b, name);

    assert_memory_equal(va.values + pa->offset, vb.values + pb->offset,
                        pa->count * sizeof(float));
    assert_memory_not_equal(va.values + pa->offset, vc.values + pa->offset,
                            pa->count * sizeof(float));
    const rq_param *other = rq_model_find(a, "encoder.layer3.1.conv1.weight");
    assert_memory_not_equal(va.values + pa->offset, va.values + other->offset,
                            pa->count * sizeof(float));
    drop(&va);
    drop(&vb);
    drop(&vc);
    rq_model_destroy(&a);
    rq_model_destroy(&b);
}

static void bad_options_are_named(void **state)
{
    rq_model_opts o;
    rq_model *m;
    rq_err err = {0};

    rq_model_opts_default(&o);
    o.base_width = 20;
    assert_int_equal(rq_model_create(&m, &o, &err), RQ_INVALID_ARG);
    assert_null(m);
    assert_non_null(strstr(err.text, "multiple of 8"));
    rq_err_clear(&err);
    o.base_width = 64;
    o.proj_out = 0;
    assert_int_equal(rq_model_create(&m, &o, &err), RQ_INVALID_ARG);
    assert_non_null(strstr(err.text, "projector's output"));
    rq_err_clear(&err);
    rq_arch arch;
    assert_int_equal(rq_arch_parse(&arch, "resnet51", &err), RQ_INVALID_ARG);
    assert_non_null(strstr(err.text, "resnet51"));
}

static void failing_memory_leaves_nothing(void **state)
{
    const rq_model_opts o = {
        .arch = RQ_RESNET18, .stem = RQ_STEM_CIFAR, .base_width = 8, .classes = 3};

    for (long n = 1; n < 50; n++) {
        rq_model *m;
        rq_mem_fail_nth(n);
        const rq_status st = rq_model_create(&m, &o, NULL);
        rq_mem_fail_nth(0);
        if (st == RQ_OK) {
            assert_true(n > 3);
            rq_model_destroy(&m);
            return;
        }
        assert_int_equal(st, RQ_OOM);
        assert_null(m);
    }
    fail_msg("creation never succeeded");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_torchvisions),
        cmocka_unit_test(names_and_shapes),
        cmocka_unit_test(buffers_are_laid_out_without_overlap),
        cmocka_unit_test(initial_values),
        cmocka_unit_test(initial_values_are_keyed_by_name),
        cmocka_unit_test(bad_options_are_named),
        cmocka_unit_test(failing_memory_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
