// SPDX-License-Identifier: Apache-2.0
//
// What a user without a usable GPU is told: every state of driver, GPU and memory gets one
// sentence that says what to do.
#include "tests/unit/test.h"

#ifdef RQ_HAVE_CUDA
#include "train/backend.h"
#include "train/cuda/device.h"
#include "train/cuda/survey.h"

static void expect(rq_cuda_probe p, const char *words, const char *next)
{
    rq_err err = {0};

    assert_status(rq_cuda_judge(&p, &err), RQ_DEVICE);
    assert_int_equal(rq_status_exit_code(RQ_DEVICE), 7);
    if (!strstr(err.text, words) || !strstr(err.text, next))
        fail_msg("'%s' does not say '%s' and '%s'", err.text, words, next);
    assert_non_null(strstr(err.text, "--backend cpu"));
}

static void every_lack_is_a_sentence(void **state)
{
    const rq_cuda_probe good = {
        .runtime = 13000, .driver = 13000, .devices = 1, .cc = 90, .name = "NVIDIA H200"};
    rq_cuda_probe p = good;
    rq_err err = {0};

    assert_ok(rq_cuda_judge(&p, &err), &err);
    p.driver = 0, p.devices = -1;
    expect(p, "no NVIDIA driver was found", "install one for CUDA 13");
    p.driver = 12040;
    expect(p, "the driver supports CUDA up to 12.4, but this build needs 13.0", "update");
    p.driver = 13000;
    snprintf(p.error, sizeof p.error, "initialization error");
    expect(p, "does not answer (initialization error)", "nvidia-smi");
    p.devices = 0;
    expect(p, "shows no GPU", "CUDA_VISIBLE_DEVICES");
    p = good, p.cc = 75;
    expect(p, "NVIDIA H200 has compute capability 7.5, but 8.0 or newer is needed", "use");
    p = good, p.driver = 14000; /* newer is fine */
    assert_ok(rq_cuda_judge(&p, &err), &err);
    p.driver = 13020, p.runtime = 13010;
    assert_ok(rq_cuda_judge(&p, &err), &err);
}

static void looking_changes_nothing(void **state)
{
    rq_cuda_probe a, b;
    rq_err err = {0}, err2 = {0};

    rq_cuda_look(&a);
    rq_cuda_look(&b);
    assert_int_equal(a.runtime / 1000, 13);
    assert_int_equal(a.driver, b.driver);
    assert_int_equal(a.devices, b.devices);
    assert_int_equal(rq_cuda_judge(&a, &err), rq_cuda_judge(&b, &err2));
    assert_string_equal(err.text, err2.text);
}

/* Here without a GPU, or on a machine with one: never a crash, never a silent fallback. */
static void the_registry_forwards_it(void **state)
{
    const rq_backend_opts o = {.threads = 1};
    rq_backend *b;
    rq_err err = {0};

    assert_status(rq_backend_create(&b, "cuda", &o, &err), RQ_DEVICE);
    assert_null(b);
    assert_int_equal(strncmp(err.text, "backend cuda: ", 14), 0);
    assert_null(strchr(err.text, '\n'));
    rq_err_clear(&err);
    assert_ok(rq_backend_create(&b, "auto", &o, &err), &err);
    assert_string_not_equal(rq_backend_name(b), "cuda");
    rq_backend_destroy(&b);
}

static void a_batch_too_large_names_one_that_fits(void **state)
{
    const size_t memory = (size_t)139 << 30;
    rq_survey_step step = {.batch = 64,
                           .large_views = 4,
                           .large_size = 224,
                           .small_views = 2,
                           .small_size = 96,
                           .precision = RQ_BF16};
    rq_model_opts o;
    rq_model *m;
    rq_err err = {0};
    int batch;

    rq_model_opts_default(&o);
    o.arch = RQ_RESNET50;
    assert_ok(rq_model_create(&m, &o, &err), &err);
    assert_ok(rq_survey_check_memory(m, &step, RQ_CUDA_WORKSPACE, memory, &err), &err);
    step.batch = 4096;
    assert_status(rq_survey_check_memory(m, &step, RQ_CUDA_WORKSPACE, memory, &err), RQ_OOM);
    const char *at = strstr(err.text, "the largest that fits is ");
    assert_non_null(strstr(err.text, "a batch of 4096 images needs"));
    assert_non_null(at);
    batch = atoi(at + strlen("the largest that fits is "));
    rq_err_clear(&err);
    step.batch = batch;
    assert_ok(rq_survey_check_memory(m, &step, RQ_CUDA_WORKSPACE, memory, &err), &err);
    step.batch = batch + 8;
    assert_status(rq_survey_check_memory(m, &step, RQ_CUDA_WORKSPACE, memory, &err), RQ_OOM);
    rq_err_clear(&err);
    assert_status(rq_survey_check_memory(m, &step, 0, 1 << 20, &err), RQ_OOM);
    assert_non_null(strstr(err.text, "no batch fits"));
    rq_model_destroy(&m);
}

/* The kernels are linked in, and their launches are checked. */
static void a_launch_without_a_gpu_is_an_error(void **state)
{
    const rq_bn_shape shape = {
        .groups = 4, .rows = 1000, .channels = 64, .type = RQ_DTYPE_BF16};
    const rq_bn_shape odd = {.groups = 1, .rows = 10, .channels = 12, .type = RQ_DTYPE_F32};
    const rq_bn_forward a = {.x = NULL};
    const rq_gpu_stream s = {NULL};
    rq_cuda_probe probe;
    rq_err err = {0};
    float x[4] = {0}, y[4];

    assert_true(rq_cuda_bn_scratch(&shape) >= 7 * 4 * 64 * sizeof(float));
    assert_status(rq_cuda_bn_forward(s, &odd, &a, NULL, &err), RQ_UNSUPPORTED);
    assert_non_null(strstr(err.text, "12 channels"));
    rq_err_clear(&err);
    rq_cuda_look(&probe);
    if (probe.devices > 0)
        skip();
    assert_status(rq_cuda_convert(s, y, RQ_DTYPE_F32, x, RQ_DTYPE_F32, 4, &err), RQ_DEVICE);
    assert_non_null(strstr(err.text, "the kernel for a conversion was refused"));
    rq_err_clear(&err);
    assert_status(rq_cuda_bn_eval(s, &shape, &a, x, &err), RQ_DEVICE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_launch_without_a_gpu_is_an_error),
        cmocka_unit_test(every_lack_is_a_sentence),
        cmocka_unit_test(looking_changes_nothing),
        cmocka_unit_test(the_registry_forwards_it),
        cmocka_unit_test(a_batch_too_large_names_one_that_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#else
int main(void)
{
    return test_skip_whole("a build with CUDA");
}
#endif
