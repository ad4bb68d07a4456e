// SPDX-License-Identifier: Apache-2.0
//
// What training ResNets asks of a GPU, without one: gpu_plan DEVICE.json prints every
// convolution of ResNet-50's step with the engine that cuDNN would start with, then for five
// networks in three widths whether all convolutions have an engine, the memory of the step, and
// the batch that fits. Exits 1 when a convolution has none. Run by `make gpu-plan`.
#include "common/clock.h"
#include "common/file.h"
#include "train/cuda/survey.h"

#include <stdio.h>

#define COUNT(v) (sizeof(v) / sizeof(v)[0])

static const rq_arch archs[] = {RQ_RESNET18, RQ_RESNET50, RQ_RESNET101, RQ_RESNET152,
                                RQ_RESNET200};
static const int widths[] = {1, 2, 4}, batches[] = {64, 128, 256};

/* What context, code and libraries keep for themselves. An assumption. */
static const size_t reserve = (size_t)2 << 30;

static double mib(size_t bytes)
{
    return (double)bytes / (1 << 20);
}

static double gib(size_t bytes)
{
    return (double)bytes / (1 << 30);
}

static rq_status make_model(rq_model **m, rq_arch arch, int width, rq_err *err)
{
    rq_model_opts o;

    rq_model_opts_default(&o);
    o.arch = arch;
    o.stem = RQ_STEM_IMAGENET;
    o.base_width = 64 * width;
    return rq_model_create(m, &o, err);
}

static rq_survey_step make_step(int batch)
{
    return (rq_survey_step){.batch = batch,
                            .large_views = 4,
                            .large_size = 224,
                            .small_views = 2,
                            .small_size = 96,
                            .precision = RQ_BF16};
}

/* ---- one network, convolution by convolution --------------------------------------------- */

static rq_status print_use(rq_dg_device *d, const rq_conv_use *u, rq_err *err)
{
    static const char *const passes[] = {"fwd", "dgrad", "wgrad"};
    const rq_dg_filter f = {.workspace = RQ_CUDA_WORKSPACE,
                            .forbid = RQ_DG_NO_NONDETERMINISTIC};
    const rq_conv_shape *s = &u->shape;
    rq_dg_plan *plans[256];
    rq_dg_report r;
    rq_dg *g;
    size_t n = 0;

    RQ_TRY(rq_cuda_conv_graph(&g, d, s, u->pass, err));
    const rq_status st = rq_dg_plans(g, &f, plans, COUNT(plans), &n, &r, err);
    if (st == RQ_OK)
        printf("%-5s %5d x %3d x %3d %5d %5d  %dx%d /%d %3d %4zu %4d %5d %7.1f  %s\n",
               passes[u->pass], s->n, s->h, s->w, s->c, s->k, s->r, s->r, s->stride, u->layers,
               n, r.forbidden, r.too_large, n ? mib(rq_dg_plan_workspace(plans[0])) : 0.0,
               n ? rq_dg_plan_name(plans[0]) : "none");
    while (n > 0)
        rq_dg_plan_destroy(&plans[--n]);
    rq_dg_destroy(&g);
    return st;
}

static rq_status print_network(rq_dg_device *d, rq_arch arch, int batch, rq_err *err)
{
    const rq_survey_step step = make_step(batch);
    rq_survey s = {0};
    rq_survey_memory memory;
    rq_model *m;

    RQ_TRY(make_model(&m, arch, 1, err));
    rq_status st = rq_survey_step_add(&s, m, &step, RQ_CUDA_WORKSPACE, &memory, err);
    printf("%s x1, batch %d, 4 views of 224 and 2 of 96, bf16; engines that are deterministic "
           "and need at most %.0f MiB:\n\n",
           rq_arch_name(arch), batch, mib(RQ_CUDA_WORKSPACE));
    printf("pass           input   in   out  filter  uses ok nondet large ws MiB  first\n");
    for (size_t i = 0; i < s.n && st == RQ_OK; i++)
        st = print_use(d, &s.uses[i], err);
    rq_survey_free(&s);
    rq_model_destroy(&m);
    return st;
}

/* ---- all networks ------------------------------------------------------------------------ */

typedef struct tally {
    size_t planned, missing, workspace;
} tally;

static rq_status plan_use(rq_dg_device *d, const rq_conv_use *u, tally *t, rq_err *err)
{
    const rq_dg_filter f = {.workspace = RQ_CUDA_WORKSPACE,
                            .forbid = RQ_DG_NO_NONDETERMINISTIC};
    rq_err why = {0};
    rq_dg_plan *p;
    rq_dg *g;

    RQ_TRY(rq_cuda_conv_graph(&g, d, &u->shape, u->pass, err));
    const rq_status st = rq_plan_choose(&p, g, &f, NULL, NULL, &why);
    t->planned++;
    if (st == RQ_OK) {
        if (rq_dg_plan_workspace(p) > t->workspace)
            t->workspace = rq_dg_plan_workspace(p);
        rq_dg_plan_destroy(&p);
    } else {
        printf("%s: %s\n", u->layer, why.text);
        t->missing++;
    }
    rq_dg_destroy(&g);
    return st == RQ_OK || st == RQ_UNSUPPORTED ? RQ_OK : rq_fail(err, st, "%s", why.text);
}

static rq_status print_row(rq_dg_device *d, rq_arch arch, int width, size_t *missing,
                           rq_err *err)
{
    const size_t room = (size_t)rq_dg_device_memory(d) - reserve;
    rq_survey s = {0};
    rq_survey_memory memory[COUNT(batches) + 1];
    rq_survey_step step = make_step(0);
    rq_model *m;
    tally t = {0};
    int fits = 0;

    RQ_TRY(make_model(&m, arch, width, err));
    rq_status st = rq_survey_largest_batch(m, &step, RQ_CUDA_WORKSPACE, room, 8, &fits, err);
    for (size_t i = 0; i <= COUNT(batches) && st == RQ_OK; i++) {
        step = make_step(i < COUNT(batches) ? batches[i] : fits);
        st = rq_survey_step_add(&s, m, &step, RQ_CUDA_WORKSPACE, &memory[i], err);
    }
    for (size_t i = 0; i < s.n && st == RQ_OK; i++)
        st = plan_use(d, &s.uses[i], &t, err);
    if (st == RQ_OK)
        printf("%-9s x%d %7.1f %6zu %5zu %7.1f %9.1f %6.1f %6.1f %6d\n", rq_arch_name(arch),
               width, (double)rq_model_param_floats(m) / 1e6, t.planned, t.missing,
               mib(t.workspace), gib(memory[0].total), gib(memory[1].total),
               gib(memory[2].total), fits);
    *missing += t.missing;
    rq_survey_free(&s);
    rq_model_destroy(&m);
    return st;
}

static rq_status print_all(rq_dg_device *d, size_t *missing, rq_err *err)
{
    printf(
        "\nThe whole step by batch, bf16: weights, gradients, momentum, target (f32) and two "
        "bf16 copies,\nactivations, two batches of views, %.0f MiB of workspace; `fits` in "
        "%.1f GiB less %.0f:\n\n",
        mib(RQ_CUDA_WORKSPACE), gib((size_t)rq_dg_device_memory(d)), gib(reserve));
    printf("network      params graphs  none  ws MiB  GiB at 64    128    256   fits\n");
    for (size_t a = 0; a < COUNT(archs); a++) {
        for (size_t w = 0; w < COUNT(widths); w++)
            RQ_TRY(print_row(d, archs[a], widths[w], missing, err));
    }
    return RQ_OK;
}

static rq_status run(const char *path, size_t *missing, rq_err *err)
{
    const uint64_t start = rq_clock_ns();
    rq_dg_device *d = NULL;
    rq_buf json = {0};

    rq_status st = rq_file_read(path, 1 << 20, &json, err);
    if (st == RQ_OK)
        st = rq_dg_device_open_json(&d, (const char *)json.data, json.size, err);
    rq_buf_free(&json);
    RQ_TRY(st);
    printf("%s as described by %s, cuDNN %zu.%zu.%zu\n\n", rq_dg_device_name(d), path,
           rq_dg_cudnn_version(d) / 10000, rq_dg_cudnn_version(d) / 100 % 100,
           rq_dg_cudnn_version(d) % 100);
    st = print_network(d, RQ_RESNET50, 256, err);
    if (st == RQ_OK)
        st = print_all(d, missing, err);
    if (st == RQ_OK)
        printf("\n%zu without an engine, %.0f s\n", *missing,
               (double)(rq_clock_ns() - start) * 1e-9);
    rq_dg_device_close(&d);
    return st;
}

int main(int argc, char **argv)
{
    rq_err err = {0};
    size_t missing = 0;

    if (argc != 2) {
        fprintf(stderr, "usage: gpu_plan DEVICE.json\n");
        return 2;
    }
    if (run(argv[1], &missing, &err) != RQ_OK) {
        fprintf(stderr, "gpu_plan: %s\n", err.text);
        return rq_status_exit_code(err.status);
    }
    return missing > 0;
}
