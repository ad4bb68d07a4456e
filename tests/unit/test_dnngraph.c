// SPDX-License-Identifier: Apache-2.0
//
// cuDNN's graphs without a GPU: from the description of an H200, cuDNN itself says which
// engines that device has for each graph and builds their plans. Every convolution of every
// ResNet's training step must get one. Nothing runs.
#include "tests/unit/test.h"

#ifdef RQ_HAVE_CUDA
#include "common/file.h"
#include "train/cuda/dnnlib.h"
#include "train/cuda/survey.h"

#define COUNT(v) (sizeof(v) / sizeof(v)[0])

/* cuDNN 9.19 keeps a handle of cuBLASLt per graph that it has planned. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libcublasLt\nleak:libcudnn\n";
}

static rq_dg_device *h200;
static char no_cudnn[RQ_ERR_TEXT_BYTES];

static rq_buf read_h200(void)
{
    const char *root = getenv("RQ_SOURCE");
    char path[512];
    rq_buf json = {0};
    rq_err err = {0};

    snprintf(path, sizeof path, "%s/tests/gpu/h200_devprop.json", root ? root : ".");
    assert_ok(rq_file_read(path, 1 << 16, &json, &err), &err);
    return json;
}

static int open_h200(void **state)
{
    rq_dnnlib lib;
    rq_err err = {0};

    if (rq_dnnlib_open(&lib, NULL, &err) != RQ_OK) {
        snprintf(no_cudnn, sizeof no_cudnn, "%s", err.text);
        return 0;
    }
    rq_buf json = read_h200();
    assert_ok(rq_dg_device_open_json(&h200, (const char *)json.data, json.size, &err), &err);
    rq_buf_free(&json);
    return 0;
}

static int close_h200(void **state)
{
    rq_dg_device_close(&h200);
    return 0;
}

static void need_cudnn(void)
{
    if (!h200) {
        print_message("%s\n", no_cudnn);
        skip();
    }
}

static void versions_are_judged(void **state)
{
    rq_err err = {0};

    assert_ok(rq_dnnlib_check(90800, 9, &err), &err);
    assert_ok(rq_dnnlib_check(91900, 9, &err), &err);
    assert_status(rq_dnnlib_check(8907, 9, &err), RQ_DEVICE);
    assert_non_null(strstr(err.text, "made for cuDNN 9"));
    rq_err_clear(&err);
    assert_status(rq_dnnlib_check(100000, 9, &err), RQ_DEVICE);
    assert_non_null(strstr(err.text, "cuDNN 10.0 was found"));
    rq_err_clear(&err);
    assert_status(rq_dnnlib_check(90701, 9, &err), RQ_DEVICE);
    assert_non_null(strstr(err.text, "cuDNN 9.7 was found, which is too old; install 9.8"));
}

static void a_missing_library_is_a_sentence(void **state)
{
    rq_dnnlib lib;
    rq_err err = {0};

    assert_status(rq_dnnlib_open(&lib, "libcudnn-is-not-here.so.9", &err), RQ_DEVICE);
    assert_non_null(strstr(err.text, "cuDNN cannot be loaded"));
    assert_non_null(strstr(err.text, "LD_LIBRARY_PATH"));
    rq_err_clear(&err);
    assert_status(rq_dnnlib_open(&lib, "libm.so.6", &err), RQ_DEVICE);
    assert_non_null(strstr(err.text, "libm.so.6 has no function cudnnGetVersion"));
}

static void a_device_is_what_its_description_says(void **state)
{
    static const char *const wrong[] = {"", "{", "{}", "[1]", "{\"deviceName\": 3}"};

    need_cudnn();
    assert_string_equal(rq_dg_device_name(h200), "NVIDIA H200");
    assert_int_equal(rq_dg_device_sms(h200), 132);
    assert_int_equal(rq_dg_device_cc(h200), 90);
    assert_true(rq_dg_device_memory(h200) == 150754820096u);
    assert_non_null(strstr(rq_dg_device_json(h200), "NVIDIA H200"));
    for (size_t i = 0; i < COUNT(wrong); i++) {
        rq_dg_device *d;
        rq_err err = {0};
        assert_true(rq_dg_device_open_json(&d, wrong[i], strlen(wrong[i]), &err) != RQ_OK);
        assert_null(d);
        assert_true(err.text[0] != '\0');
    }
}

/* ---- all convolutions of all networks ---------------------------------------------------- */

static void survey_model(rq_survey *s, rq_arch arch, int width, int batch, rq_precision p)
{
    rq_model_opts o;
    rq_model *m;
    rq_survey_memory memory;
    rq_err err = {0};
    const rq_survey_step step = {.batch = batch,
                                 .large_views = 4,
                                 .large_size = 224,
                                 .small_views = 2,
                                 .small_size = 96,
                                 .precision = p};

    rq_model_opts_default(&o);
    o.arch = arch;
    o.stem = RQ_STEM_IMAGENET;
    o.base_width = 64 * width;
    assert_ok(rq_model_create(&m, &o, &err), &err);
    assert_ok(rq_survey_step_add(s, m, &step, RQ_CUDA_WORKSPACE, &memory, &err), &err);
    assert_true(memory.activations > (size_t)batch << 20);
    assert_true(memory.total > memory.activations + memory.parameters);
    rq_model_destroy(&m);
}

/* Every one has at least one plan in bounds. */
static void plan_all(const rq_survey *s, unsigned forbid)
{
    const rq_dg_filter f = {.workspace = RQ_CUDA_WORKSPACE, .forbid = forbid};

    for (size_t i = 0; i < s->n; i++) {
        rq_dg *g;
        rq_dg_plan *plan;
        rq_dg_report r;
        rq_err err = {0};
        size_t n;
        assert_ok(rq_cuda_conv_graph(&g, h200, &s->uses[i].shape, s->uses[i].pass, &err), &err);
        assert_ok(rq_dg_plans(g, &f, &plan, 1, &n, &r, &err), &err);
        if (n == 0)
            assert_ok(rq_dg_no_plan(g, &f, &r, &err), &err);
        assert_true(rq_dg_plan_workspace(plan) <= f.workspace);
        rq_dg_plan_destroy(&plan);
        rq_dg_destroy(&g);
    }
}

static void every_convolution_has_an_engine_in_bf16(void **state)
{
    static const rq_arch archs[] = {RQ_RESNET18, RQ_RESNET50, RQ_RESNET101, RQ_RESNET152,
                                    RQ_RESNET200};
    rq_survey s = {0};

    need_cudnn();
    for (size_t a = 0; a < COUNT(archs); a++) {
        for (int width = 1; width <= 4; width *= 2) {
            for (int batch = 64; batch <= 256; batch *= 2)
                survey_model(&s, archs[a], width, batch, RQ_BF16);
        }
    }
    /* 11 shapes of ResNet-18 and 20 more of the bottlenecks, three passes but for the image's
     * gradient, three widths, two resolutions, three batches */
    assert_true(s.n > 1200);
    plan_all(&s, RQ_DG_NO_NONDETERMINISTIC);
    rq_survey_free(&s);
}

static void every_convolution_has_an_exact_engine_in_f32(void **state)
{
    rq_survey s = {0};

    need_cudnn();
    survey_model(&s, RQ_RESNET18, 1, 64, RQ_F32);
    survey_model(&s, RQ_RESNET50, 1, 64, RQ_F32);
    assert_true(s.n > 100);
    plan_all(&s, RQ_DG_NO_NONDETERMINISTIC | RQ_DG_NO_TENSOR_CORE_F32);
    rq_survey_free(&s);
}

static void layers_of_one_shape_are_surveyed_once(void **state)
{
    rq_survey s = {0}, twice = {0};
    int layers = 0, images = 0;

    survey_model(&s, RQ_RESNET50, 1, 64, RQ_BF16);
    survey_model(&twice, RQ_RESNET50, 1, 64, RQ_BF16);
    survey_model(&twice, RQ_RESNET101, 1, 64, RQ_BF16);
    assert_int_equal(s.n, twice.n); /* only deeper */
    for (size_t i = 0; i < s.n; i++) {
        layers += s.uses[i].layers;
        images += s.uses[i].shape.c == RQ_CUDA_IMAGE_CHANNELS;
        assert_false(s.uses[i].pass == RQ_DG_DGRAD &&
                     s.uses[i].shape.c == RQ_CUDA_IMAGE_CHANNELS);
    }
    /* 53 convolutions: forward at 224 (online and target) and at 96, filters' gradients at
     * both, data gradients but for the image's */
    assert_int_equal(layers, 3 * 53 + 2 * 53 + 2 * 52);
    assert_int_equal(images, 4);
    rq_survey_free(&s);
    rq_survey_free(&twice);
}

static void the_largest_batch_fits_and_the_next_does_not(void **state)
{
    const size_t bytes = (size_t)100 << 30;
    rq_model_opts o;
    rq_model *m;
    rq_survey_memory memory;
    rq_err err = {0};
    rq_survey_step step = {.large_views = 4,
                           .large_size = 224,
                           .small_views = 2,
                           .small_size = 96,
                           .precision = RQ_BF16};
    int batch;

    rq_model_opts_default(&o);
    o.arch = RQ_RESNET50;
    assert_ok(rq_model_create(&m, &o, &err), &err);
    assert_ok(rq_survey_largest_batch(m, &step, 0, bytes, 32, &batch, &err), &err);
    assert_true(batch > 0 && batch % 32 == 0);
    step.batch = batch;
    assert_ok(rq_survey_step_add(NULL, m, &step, 0, &memory, &err), &err);
    assert_true(memory.total <= bytes);
    step.batch = batch + 32;
    assert_ok(rq_survey_step_add(NULL, m, &step, 0, &memory, &err), &err);
    assert_true(memory.total > bytes);
    assert_ok(rq_survey_largest_batch(m, &step, 0, 1000, 32, &batch, &err), &err);
    assert_int_equal(batch, 0);
    rq_model_destroy(&m);
}

/* ---- the wrapper ------------------------------------------------------------------------- */

static rq_conv_shape conv3x3(void)
{
    return (rq_conv_shape){.n = 64,
                           .h = 28,
                           .w = 28,
                           .c = 128,
                           .k = 128,
                           .r = 3,
                           .stride = 1,
                           .pad = 1,
                           .oh = 28,
                           .ow = 28,
                           .type = RQ_DTYPE_BF16,
                           .out_type = RQ_DTYPE_BF16};
}

static size_t count_plans(rq_dg *g, size_t workspace, unsigned forbid, rq_dg_report *r)
{
    const rq_dg_filter f = {.workspace = workspace, .forbid = forbid};
    rq_dg_plan *plans[256];
    rq_err err = {0};
    size_t n;

    assert_ok(rq_dg_plans(g, &f, plans, COUNT(plans), &n, r, &err), &err);
    for (size_t i = 0; i < n; i++) {
        assert_true(rq_dg_plan_workspace(plans[i]) <= workspace);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(rq_dg_plan_name(plans[i]), rq_dg_plan_name(plans[k]));
    }
    for (size_t i = 0; i < n; i++)
        rq_dg_plan_destroy(&plans[i]);
    return n;
}

static void filters_hold(void **state)
{
    const rq_conv_shape shape = conv3x3();
    rq_dg *g;
    rq_dg_report all, small, calm;
    rq_err err = {0};

    need_cudnn();
    assert_ok(rq_cuda_conv_graph(&g, h200, &shape, RQ_DG_WGRAD, &err), &err);
    const size_t n_all = count_plans(g, (size_t)1 << 40, 0, &all);
    const size_t n_small = count_plans(g, 0, 0, &small);
    const size_t n_calm = count_plans(g, (size_t)1 << 40, RQ_DG_NO_NONDETERMINISTIC, &calm);
    assert_true(n_all > 10);
    assert_int_equal(n_all, all.listed - all.refused);
    assert_int_equal(all.forbidden + all.too_large, 0);
    assert_true(n_small < n_all && n_calm < n_all && n_calm > 0);
    assert_int_equal(n_small, small.listed - small.refused - small.too_large);
    assert_true(small.smallest_workspace > 0);
    assert_int_equal(calm.listed, all.listed);
    assert_true(calm.forbidden > 0);

    const rq_dg_filter tight = {.workspace = (size_t)7 << 20};
    const rq_dg_report bad = {.listed = 12, .forbidden = 3, .refused = 4, .too_large = 5};
    assert_status(rq_dg_no_plan(g, &tight, &bad, &err), RQ_UNSUPPORTED);
    assert_non_null(strstr(err.text, "of 12 configurations 3 are forbidden here, 4 refused, 5 "
                                     "need more than 7 MiB"));
    assert_non_null(strstr(err.text, "conv wgrad stride 1 pad 1"));
    assert_non_null(strstr(err.text, "NVIDIA H200"));
    rq_dg_destroy(&g);
}

static void a_saved_plan_is_loaded_again(void **state)
{
    const rq_conv_shape shape = conv3x3();
    const rq_dg_filter f = {.workspace = RQ_CUDA_WORKSPACE};
    rq_dg *g;
    rq_dg_plan *plan, *again;
    rq_buf json = {0}, json2 = {0};
    rq_err err = {0};
    size_t n;

    need_cudnn();
    assert_ok(rq_cuda_conv_graph(&g, h200, &shape, RQ_DG_FPROP, &err), &err);
    assert_ok(rq_dg_plans(g, &f, &plan, 1, &n, NULL, &err), &err);
    assert_int_equal(n, 1);
    assert_ok(rq_dg_plan_save(plan, &json, &err), &err);
    assert_true(json.size > 100 && strlen((const char *)json.data) == json.size);
    assert_ok(rq_dg_plan_load(&again, g, rq_dg_plan_name(plan), (const char *)json.data,
                              json.size, &err),
              &err);
    assert_int_equal(rq_dg_plan_workspace(again), rq_dg_plan_workspace(plan));
    assert_string_equal(rq_dg_plan_name(again), rq_dg_plan_name(plan));
    assert_ok(rq_dg_plan_save(again, &json2, &err), &err);
    assert_int_equal(json.size, json2.size);
    assert_memory_equal(json.data, json2.data, json.size);
    rq_dg_plan_destroy(&again);
    assert_status(rq_dg_plan_load(&again, g, "x", (const char *)json.data, json.size / 2, &err),
                  RQ_DEVICE);
    assert_null(again);
    assert_non_null(strstr(err.text, "loading a plan"));
    rq_dg_plan_destroy(&plan);
    rq_buf_free(&json);
    rq_buf_free(&json2);
    rq_dg_destroy(&g);
}

static void a_description_runs_nothing(void **state)
{
    const rq_conv_shape shape = conv3x3();
    const rq_dg_filter f = {.workspace = 0};
    static char memory[64];
    void *const pointers[] = {memory, memory + 16, memory + 32};
    rq_dg *g;
    rq_dg_plan *plan;
    rq_dg_pack *pack;
    rq_err err = {0};
    size_t n;

    need_cudnn();
    assert_ok(rq_cuda_conv_graph(&g, h200, &shape, RQ_DG_FPROP, &err), &err);
    assert_ok(rq_dg_plans(g, &f, &plan, 1, &n, NULL, &err), &err);
    assert_ok(rq_dg_pack_create(&pack, plan, pointers, NULL, &err), &err);
    assert_status(rq_dg_run(plan, pack, &err), RQ_DEVICE);
    assert_non_null(strstr(err.text, "is a description here"));
    rq_err_clear(&err);
    assert_status(rq_dg_device_set_stream(h200, NULL, &err), RQ_INVALID_ARG);
    rq_dg_pack_destroy(&pack);
    rq_dg_plan_destroy(&plan);
    rq_dg_destroy(&g);
}

static void the_first_error_is_kept(void **state)
{
    rq_dg *g;
    rq_err err = {0};

    need_cudnn();
    assert_ok(rq_dg_create(&g, h200, &err), &err);
    const int x = rq_dg_tensor(g, RQ_DTYPE_BF16, (int64_t[4]){8, 16, 16, 64}, RQ_DG_IO);
    const int w = rq_dg_tensor(g, RQ_DTYPE_BF16, (int64_t[4]){64, 3, 3, 32}, RQ_DG_IO);
    const int y = rq_dg_tensor(g, RQ_DTYPE_BF16, (int64_t[4]){8, 16, 16, 64}, RQ_DG_IO);
    assert_int_equal(y, 3);
    rq_dg_conv(g, RQ_DG_FPROP, x, w, y, 1, 9); /* output too large for that padding */
    assert_int_equal(rq_dg_tensor(g, RQ_DTYPE_F32, (int64_t[4]){1, 1, 1, 1}, RQ_DG_IO), 0);
    rq_dg_conv(g, RQ_DG_FPROP, 77, w, y, 1, 1);
    assert_status(rq_dg_finish(g, &err), RQ_DEVICE);
    assert_non_null(strstr(err.text, "conv fprop"));
    assert_non_null(strstr(err.text, "CUDNN_STATUS_BAD_PARAM"));
    rq_dg_destroy(&g);

    rq_err_clear(&err);
    assert_ok(rq_dg_create(&g, h200, &err), &err);
    assert_int_equal(rq_dg_tensor(g, RQ_DTYPE_F32, (int64_t[4]){1, -1, 1, 1}, RQ_DG_IO), 0);
    assert_status(rq_dg_finish(g, &err), RQ_DEVICE);
    assert_non_null(strstr(err.text, "tensor"));
    rq_dg_destroy(&g);

    rq_err_clear(&err);
    assert_ok(rq_dg_create(&g, h200, &err), &err);
    assert_status(rq_dg_finish(g, &err), RQ_INTERNAL); /* nothing in it */
    rq_dg_destroy(&g);
}

static rq_dg *fused(int stride)
{
    const int64_t io[4] = {8, 16, 16, 64}, w[4] = {64, 3, 3, 64}, row[4] = {1, 1, 1, 64};
    rq_dg *g;
    rq_err err = {0};

    assert_ok(rq_dg_create(&g, h200, &err), &err);
    const int x = rq_dg_tensor(g, RQ_DTYPE_BF16, io, RQ_DG_IO);
    const int scale = rq_dg_tensor(g, RQ_DTYPE_F32, row, RQ_DG_IO);
    const int scaled = rq_dg_tensor(g, RQ_DTYPE_F32, io, RQ_DG_VIRTUAL);
    const int in = rq_dg_tensor(g, RQ_DTYPE_BF16, io, RQ_DG_VIRTUAL);
    const int filters = rq_dg_tensor(g, RQ_DTYPE_BF16, w, RQ_DG_IO);
    const int y = rq_dg_tensor(g, RQ_DTYPE_BF16, io, RQ_DG_IO);
    const int sum = rq_dg_tensor(g, RQ_DTYPE_F32, row, RQ_DG_IO);
    const int sqsum = rq_dg_tensor(g, RQ_DTYPE_F32, row, RQ_DG_IO);
    rq_dg_pointwise_forward(g, RQ_DG_MUL, x, scale, scaled);
    rq_dg_pointwise_forward(g, RQ_DG_RELU, scaled, 0, in);
    rq_dg_conv(g, RQ_DG_FPROP, in, filters, y, stride, 1);
    rq_dg_genstats(g, y, sum, sqsum);
    return g;
}

/* Whether it has an engine depends on the driver; that cuDNN takes the description does not. */
static void operations_are_fused(void **state)
{
    const int64_t io[4] = {8, 16, 16, 64}, w[4] = {64, 3, 3, 64};
    rq_dg *g, *h;
    rq_err err = {0};

    need_cudnn();
    g = fused(1);
    assert_ok(rq_dg_finish(g, &err), &err);
    assert_non_null(strstr(rq_dg_text(g), "3: virtual f32 8x16x16x64\n"));
    assert_non_null(strstr(rq_dg_text(g), "pointwise relu (3 0 4)\nconv fprop stride 1 pad 1 "
                                          "(4 5 6)\ngenstats sum sqsum (6 7 8)\n"));
    h = fused(1);
    assert_string_equal(rq_dg_text(g), rq_dg_text(h));
    rq_dg_destroy(&g);
    rq_dg_destroy(&h);

    assert_ok(rq_dg_create(&g, h200, &err), &err);
    const int dx = rq_dg_tensor(g, RQ_DTYPE_BF16, io, RQ_DG_VIRTUAL);
    const int filters = rq_dg_tensor(g, RQ_DTYPE_BF16, w, RQ_DG_IO);
    const int dy = rq_dg_tensor(g, RQ_DTYPE_BF16, io, RQ_DG_IO);
    const int out = rq_dg_tensor(g, RQ_DTYPE_BF16, io, RQ_DG_IO);
    const int masked = rq_dg_tensor(g, RQ_DTYPE_BF16, io, RQ_DG_IO);
    rq_dg_conv(g, RQ_DG_DGRAD, dx, filters, dy, 1, 1);
    rq_dg_pointwise_backward(g, RQ_DG_RELU_BACKWARD, dx, out, masked);
    assert_ok(rq_dg_finish(g, &err), &err);
    rq_dg_destroy(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions_are_judged),
        cmocka_unit_test(a_missing_library_is_a_sentence),
        cmocka_unit_test(a_device_is_what_its_description_says),
        cmocka_unit_test(every_convolution_has_an_engine_in_bf16),
        cmocka_unit_test(every_convolution_has_an_exact_engine_in_f32),
        cmocka_unit_test(layers_of_one_shape_are_surveyed_once),
        cmocka_unit_test(the_largest_batch_fits_and_the_next_does_not),
        cmocka_unit_test(filters_hold),
        cmocka_unit_test(a_saved_plan_is_loaded_again),
        cmocka_unit_test(a_description_runs_nothing),
        cmocka_unit_test(the_first_error_is_kept),
        cmocka_unit_test(operations_are_fused),
    };
    return cmocka_run_group_tests(tests, open_h200, close_h200);
}
#else
int main(void)
{
    return test_skip_whole("a build with CUDA");
}
#endif
