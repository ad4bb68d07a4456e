// SPDX-License-Identifier: Apache-2.0
//
// Speed of the networks: a RELICv2-like step (online training on 4 large and 2 small views, the
// target's forward on 4 large ones, no loss or optimiser) and a plain single-view training
// step, in images per second of wall time and of CPU time, with the share of the CPU's peak and
// where the time goes. Times are the best of a few repetitions, since machines are shared.
//
//     bench_net [arch width batch large small threads precision]
#include "common/clock.h"
#include "common/mem.h"
#include "train/net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct job {
    const char *arch, *precision;
    int width, batch, large, small, threads;
} job;

typedef struct bench {
    rq_backend *backend;
    rq_model *model;
    rq_net *large, *small, *target;
    rq_net_profile profile;
    uint8_t *images;
    float *values, *state, *grads, *out;
} bench;

static void die(const rq_err *err)
{
    fprintf(stderr, "bench_net: %s\n", err->text);
    exit(1);
}

static rq_net *make_net(bench *b, const job *j, rq_net_mode mode, int groups, int size)
{
    rq_err err = {0};
    rq_net *net;
    const rq_net_opts o = {.mode = mode,
                           .output =
                               mode == RQ_NET_TRAIN ? RQ_PART_PREDICTOR : RQ_PART_PROJECTOR,
                           .images = j->batch,
                           .groups = groups,
                           .size = size};

    if (rq_net_create(&net, b->backend, b->model, &o, &err) != RQ_OK)
        die(&err);
    rq_net_set_profile(net, &b->profile);
    return net;
}

static void open_bench(bench *b, const job *j, int groups)
{
    rq_err err = {0};
    const rq_backend_opts bo = {.threads = j->threads,
                                .precision =
                                    strcmp(j->precision, "bf16") == 0 ? RQ_BF16 : RQ_F32};
    rq_model_opts mo = {.stem = j->large < 64 ? RQ_STEM_CIFAR : RQ_STEM_IMAGENET,
                        .base_width = j->width,
                        .proj_hidden = 512,
                        .proj_out = 128,
                        .pred_hidden = 512};

    memset(b, 0, sizeof *b);
    if (rq_arch_parse(&mo.arch, j->arch, &err) != RQ_OK ||
        rq_backend_create(&b->backend, "cpu", &bo, &err) != RQ_OK ||
        rq_model_create(&b->model, &mo, &err) != RQ_OK)
        die(&err);
    b->large = make_net(b, j, RQ_NET_TRAIN, groups, j->large);
    if (groups > 1) {
        b->small = make_net(b, j, RQ_NET_TRAIN, 2, j->small);
        b->target = make_net(b, j, RQ_NET_FORWARD, 4, j->large);
    }
    const size_t bytes = (size_t)(groups * j->batch) * (size_t)(j->large * j->large) * 3;
    const size_t n = rq_model_param_floats(b->model);
    b->images = rq_alloc(bytes, 1);
    b->values = rq_alloc(n, sizeof(float));
    b->grads = rq_calloc(n, sizeof(float));
    b->state = rq_alloc(rq_model_state_floats(b->model), sizeof(float));
    b->out = rq_calloc((size_t)(groups * j->batch) * 128, sizeof(float));
    if (!b->images || !b->values || !b->grads || !b->state || !b->out)
        exit(1);
    for (size_t i = 0; i < bytes; i++)
        b->images[i] = (uint8_t)((i * 2654435761u) >> 13);
    rq_model_init(b->model, 1, b->values, b->state);
}

static void close_bench(bench *b)
{
    rq_net_destroy(&b->large);
    rq_net_destroy(&b->small);
    rq_net_destroy(&b->target);
    rq_model_destroy(&b->model);
    rq_backend_destroy(&b->backend);
    rq_free(b->images);
    rq_free(b->values);
    rq_free(b->grads);
    rq_free(b->state);
    rq_free(b->out);
}

static double pass(bench *b, rq_net *net, bool backward)
{
    rq_err err = {0};
    const rq_net_plan p = rq_net_get_plan(net);

    if (rq_net_forward(net, b->images, b->values, b->state, b->out, &err) != RQ_OK)
        die(&err);
    if (backward && rq_net_backward(net, b->out, b->values, b->grads, &err) != RQ_OK)
        die(&err);
    return p.forward_flops + (backward ? p.backward_flops : 0);
}

/* One step; returns its floating-point operations. */
static double step(bench *b)
{
    double flops = pass(b, b->large, true);

    if (b->small) {
        flops += pass(b, b->small, true);
        flops += pass(b, b->target, false);
    }
    return flops;
}

static void print_profile(const bench *b)
{
    uint64_t all = 0;

    for (int k = 0; k < RQ_PROFILE_KINDS; k++)
        all += b->profile.ns[k];
    for (int k = 0; rq_net_profile_kind(k); k++) {
        if (b->profile.ns[k] * 200 > all)
            printf("    %-18s %5.1f %%\n", rq_net_profile_kind(k),
                   100.0 * (double)b->profile.ns[k] / (double)all);
    }
}

static void run(const job *j, int groups)
{
    bench b;
    double best_wall = 1e30, best_cpu = 1e30, flops = 0;

    open_bench(&b, j, groups);
    step(&b);
    memset(&b.profile, 0, sizeof b.profile);
    const uint64_t begin = rq_clock_ns();
    for (int i = 0; i < 3 || (i < 20 && rq_clock_ns() - begin < 1500000000u); i++) {
        const uint64_t wall = rq_clock_ns(), cpu = rq_clock_process_cpu_ns();
        flops = step(&b);
        const double w = 1e-9 * (double)(rq_clock_ns() - wall);
        const double c = 1e-9 * (double)(rq_clock_process_cpu_ns() - cpu);
        best_wall = w < best_wall ? w : best_wall;
        best_cpu = c < best_cpu ? c : best_cpu;
    }
    printf(
        "%s width %d, batch %d, %d%s px, %d threads, %s: %.0f images/s, %.0f per CPU second, "
        "%.1f GFLOP/s per core\n",
        j->arch, j->width, j->batch, j->large, groups > 1 ? " x 4 + small x 2 views" : "",
        j->threads, j->precision, j->batch / best_wall, j->batch / best_cpu,
        1e-9 * flops / best_cpu);
    print_profile(&b);
    fflush(stdout);
    close_bench(&b);
}

int main(int argc, char **argv)
{
    static const char *const precisions[] = {"f32", "bf16"};

    if (argc == 8) {
        const job j = {argv[1],       argv[7],       atoi(argv[2]), atoi(argv[3]),
                       atoi(argv[4]), atoi(argv[5]), atoi(argv[6])};
        run(&j, 1);
        run(&j, 4);
        return 0;
    }
    for (int width = 16; width <= 64; width *= 2) {
        for (int p = 0; p < 2; p++) {
            const job one = {"resnet18", precisions[p], width, width == 64 ? 64 : 128, 32, 16,
                             1};
            job two = one;
            two.threads = 2;
            run(&one, 1);
            run(&one, 4);
            run(&two, 4);
        }
    }
    return 0;
}
