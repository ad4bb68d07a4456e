// SPDX-License-Identifier: Apache-2.0
//
// Runs one forward and backward of a network and leaves every number in files, for a script
// that compares them with another implementation.
//
//     oracle_net DIR backend precision arch stem images groups size
//
// params.txt: one line per parameter, "name offset count dims..."; bns.txt: "name mean_offset
// var_offset channels"; values, state0, state, images, out, dout, grads: raw arrays.
#include "common/file.h"
#include "common/mem.h"
#include "common/rng.h"
#include "train/net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static rq_err err;

static void must(rq_status st)
{
    if (st != RQ_OK) {
        fprintf(stderr, "oracle_net: %s\n", err.text);
        exit(1);
    }
}

static void write_file(const char *dir, const char *name, const void *data, size_t bytes)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    must(rq_file_write_atomic(path, data, bytes, &err));
}

static void write_tables(const char *dir, const rq_model *m)
{
    rq_buf buf = {0};

    for (size_t i = 0; i < rq_model_params(m); i++) {
        const rq_param *p = rq_model_param(m, i);
        must(rq_buf_printf(&buf, &err, "%s %zu %zu", p->name, p->offset, p->count));
        for (int d = 0; d < p->ndim; d++)
            must(rq_buf_printf(&buf, &err, " %lld", (long long)p->shape[d]));
        must(rq_buf_printf(&buf, &err, "\n"));
    }
    write_file(dir, "params.txt", buf.data, buf.size);
    buf.size = 0;
    for (size_t i = 0; i < rq_model_bns(m); i++) {
        const rq_bn_state *s = rq_model_bn(m, i);
        must(rq_buf_printf(&buf, &err, "%s %zu %zu %d\n", s->name, s->mean_offset,
                           s->var_offset, s->channels));
    }
    write_file(dir, "bns.txt", buf.data, buf.size);
    rq_buf_free(&buf);
}

/* BN scales around 1 and shifts around 0, so that no branch is switched off. */
static void liven(const rq_model *m, float *values)
{
    rq_rng r = rq_rng_make(1, 0, 0, 0, 0);

    for (size_t i = 0; i < rq_model_params(m); i++) {
        const rq_param *p = rq_model_param(m, i);
        for (size_t k = 0; !p->adapt && k < p->count; k++)
            values[p->offset + k] =
                rq_rng_range(&r, -0.2f, 0.2f) + (p->kind == RQ_PARAM_BN_SCALE ? 1 : 0);
    }
}

static void *alloc(size_t n, size_t size)
{
    void *p = rq_calloc(n, size);

    if (!p)
        exit(1);
    return p;
}

int main(int argc, char **argv)
{
    if (argc != 9) {
        fprintf(stderr,
                "usage: oracle_net DIR backend precision arch stem images groups size\n");
        return 2;
    }
    const char *dir = argv[1];
    const rq_backend_opts bo = {.threads = 2,
                                .precision = strcmp(argv[3], "bf16") == 0 ? RQ_BF16 : RQ_F32};
    rq_model_opts mo = {.stem =
                            strcmp(argv[5], "cifar") == 0 ? RQ_STEM_CIFAR : RQ_STEM_IMAGENET,
                        .base_width = 64,
                        .proj_hidden = 96,
                        .proj_out = 40,
                        .pred_hidden = 64};
    const rq_net_opts no = {.mode = RQ_NET_TRAIN,
                            .output = RQ_PART_PREDICTOR,
                            .images = atoi(argv[6]),
                            .groups = atoi(argv[7]),
                            .size = atoi(argv[8])};
    rq_backend *b;
    rq_model *m;
    rq_net *net;

    must(rq_arch_parse(&mo.arch, argv[4], &err));
    must(rq_backend_create(&b, argv[2], &bo, &err));
    must(rq_model_create(&m, &mo, &err));
    must(rq_net_create(&net, b, m, &no, &err));
    const size_t n = rq_model_param_floats(m), ns = rq_model_state_floats(m);
    const size_t pixels = (size_t)rq_net_rows(net) * (size_t)(no.size * no.size) * 3;
    const size_t n_out = (size_t)rq_net_rows(net) * (size_t)rq_net_width(net);
    float *values = alloc(n, 4), *grads = alloc(n, 4), *state = alloc(ns, 4);
    float *out = alloc(n_out, 4), *dout = alloc(n_out, 4);
    uint8_t *images = alloc(pixels, 1);
    rq_rng r = rq_rng_make(2, 0, 0, 0, 0);

    rq_model_init(m, 5, values, state);
    liven(m, values);
    for (size_t i = 0; i < pixels; i++)
        images[i] = (uint8_t)rq_rng_below(&r, 256);
    for (size_t i = 0; i < n_out; i++)
        dout[i] = rq_rng_range(&r, -1, 1);
    write_tables(dir, m);
    write_file(dir, "values", values, n * 4);
    write_file(dir, "state0", state, ns * 4);
    write_file(dir, "images", images, pixels);
    write_file(dir, "dout", dout, n_out * 4);
    must(rq_net_forward(net, images, values, state, out, &err));
    must(rq_net_backward(net, dout, values, grads, &err));
    write_file(dir, "state", state, ns * 4);
    write_file(dir, "out", out, n_out * 4);
    write_file(dir, "grads", grads, n * 4);
    rq_net_destroy(&net);
    rq_model_destroy(&m);
    rq_backend_destroy(&b);
    rq_free(values);
    rq_free(grads);
    rq_free(state);
    rq_free(out);
    rq_free(dout);
    rq_free(images);
    return 0;
}
