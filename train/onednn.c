// SPDX-License-Identifier: Apache-2.0
//
// All calls into oneDNN, C API of version 2. Each convolution holds up to three passes
// (forward, data gradient, weight gradient), compiled once; memory objects have no memory of
// their own, they are pointed at the caller's buffers before each call. Weights change at every
// step, so each pass brings them into its own layout (and bf16) first, which costs little next
// to the convolution; weight gradients come back the same way and are added by that reorder.
#include "train/onednn.h"

#include "common/mem.h"

#include <dnnl.h>
#include <stdio.h>

#if DNNL_VERSION_MAJOR != 2
#error "train/onednn.c is written for oneDNN 2; build with WITH_ONEDNN=no"
#endif

struct rq_onednn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
};

enum { PASS_FORWARD, PASS_DATA, PASS_WEIGHTS, PASSES };

typedef struct pass {
    dnnl_primitive_t prim;
    dnnl_memory_t tensors[3]; /* in the order of pass_args */
    dnnl_memory_t pad;        /* oneDNN's scratchpad */
    dnnl_primitive_t
        reorder;          /* master -> packed weights before it; WEIGHTS: packed -> master */
    dnnl_memory_t master; /* dense KRSC f32 */
    size_t pad_at;        /* in scratch, behind the packed weights */
} pass;

struct rq_conv {
    pass passes[PASSES];
};

static const struct {
    const char *name;
    int arg[3];
    dnnl_query_t md[3];
    int weights; /* which of them */
} pass_args[PASSES] = {
    {"forward",
     {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
     {dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md},
     1},
    {"data gradient",
     {DNNL_ARG_DIFF_DST, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_SRC},
     {dnnl_query_diff_dst_md, dnnl_query_weights_md, dnnl_query_diff_src_md},
     1},
    {"weight gradient",
     {DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_WEIGHTS},
     {dnnl_query_src_md, dnnl_query_diff_dst_md, dnnl_query_diff_weights_md},
     2},
};

static rq_status check(dnnl_status_t st, const char *what, rq_err *err)
{
    if (st == dnnl_success)
        return RQ_OK;
    if (st == dnnl_out_of_memory)
        return rq_fail(err, RQ_OOM, "oneDNN: out of memory for %s", what);
    return rq_fail(err, RQ_DEVICE, "oneDNN: %s failed with status %d; try --backend ref", what,
                   (int)st);
}

rq_status rq_onednn_create(rq_onednn **out, rq_err *err)
{
    *out = NULL;
    rq_onednn *d = rq_calloc(1, sizeof *d);
    if (!d)
        return rq_fail(err, RQ_OOM, "oneDNN: out of memory");
    rq_status st =
        check(dnnl_engine_create(&d->engine, dnnl_cpu, 0), "creating the engine", err);
    if (st == RQ_OK)
        st = check(dnnl_stream_create(&d->stream, d->engine, dnnl_stream_default_flags),
                   "creating the stream", err);
    if (st != RQ_OK)
        rq_onednn_destroy(&d);
    *out = d;
    return st;
}

/* Releasing can only fail for a NULL or foreign handle. */
static void release(dnnl_status_t st)
{
    (void)st;
}

void rq_onednn_destroy(rq_onednn **d)
{
    if (!d || !*d)
        return;
    if ((*d)->stream)
        release(dnnl_stream_destroy((*d)->stream));
    if ((*d)->engine)
        release(dnnl_engine_destroy((*d)->engine));
    rq_free(*d);
    *d = NULL;
}

void rq_onednn_version(char *buf, size_t bytes)
{
    const dnnl_version_t *v = dnnl_version();

    snprintf(buf, bytes, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
}

bool rq_onednn_has_bf16(void)
{
    const unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();

    return (isa & (unsigned)dnnl_cpu_isa_avx512_core_bf16) ==
           (unsigned)dnnl_cpu_isa_avx512_core_bf16;
}

/* ---- descriptors
 * ---------------------------------------------------------------------------*/

/* Descriptors of one layer; `any` where oneDNN chooses. */
typedef struct descs {
    dnnl_memory_desc_t x, y, dy, w, dw, master;
    dnnl_dims_t stride, pad;
    bool linear;
    dnnl_primitive_attr_t attr; /* scratchpad from the user */
} descs;

static dnnl_data_type_t data_type(rq_dtype t)
{
    return t == RQ_DTYPE_F32 ? dnnl_f32 : dnnl_bf16;
}

static dnnl_status_t make_descs(descs *d, const rq_conv_shape *s)
{
    const dnnl_dims_t x = {s->n, s->c, s->h, s->w}, w = {s->k, s->c, s->r, s->r},
                      y = {s->n, s->k, s->oh, s->ow};
    const dnnl_data_type_t type = data_type(s->type);

    d->linear = s->h == 1 && s->w == 1 && s->r == 1;
    for (int i = 0; i < 2; i++) {
        d->stride[i] = s->stride;
        d->pad[i] = s->pad;
    }
    const int nd = d->linear ? 2 : 4;
    const dnnl_format_tag_t dense = d->linear ? dnnl_ab : dnnl_nhwc;
    const dnnl_format_tag_t krsc = d->linear ? dnnl_ab : dnnl_ohwi;
    const struct {
        dnnl_memory_desc_t *md;
        const dnnl_dim_t *dims;
        dnnl_data_type_t type;
        dnnl_format_tag_t tag;
    } all[] = {{&d->x, x, type, dense},
               {&d->y, y, data_type(s->out_type), dense},
               {&d->dy, y, type, dense},
               {&d->w, w, type, dnnl_format_tag_any},
               {&d->dw, w, dnnl_f32, dnnl_format_tag_any},
               {&d->master, w, dnnl_f32, krsc}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        const dnnl_status_t st =
            dnnl_memory_desc_init_by_tag(all[i].md, nd, all[i].dims, all[i].type, all[i].tag);
        if (st != dnnl_success)
            return st;
    }
    return dnnl_success;
}

static dnnl_status_t conv_pd(dnnl_primitive_desc_t *pd, int which, const descs *d,
                             dnnl_engine_t engine, dnnl_primitive_desc_t hint)
{
    const dnnl_alg_kind_t alg = dnnl_convolution_direct;
    dnnl_convolution_desc_t op;
    dnnl_status_t st;

    if (which == PASS_FORWARD)
        st = dnnl_convolution_forward_desc_init(&op, dnnl_forward_training, alg, &d->x, &d->w,
                                                NULL, &d->y, d->stride, d->pad, d->pad);
    else if (which == PASS_DATA)
        st = dnnl_convolution_backward_data_desc_init(&op, alg, &d->x, &d->w, &d->dy, d->stride,
                                                      d->pad, d->pad);
    else
        st = dnnl_convolution_backward_weights_desc_init(&op, alg, &d->x, &d->dw, NULL, &d->dy,
                                                         d->stride, d->pad, d->pad);
    return st == dnnl_success ? dnnl_primitive_desc_create(pd, &op, d->attr, engine, hint) : st;
}

static dnnl_status_t linear_pd(dnnl_primitive_desc_t *pd, int which, const descs *d,
                               dnnl_engine_t engine, dnnl_primitive_desc_t hint)
{
    dnnl_inner_product_desc_t op;
    dnnl_status_t st;

    if (which == PASS_FORWARD)
        st = dnnl_inner_product_forward_desc_init(&op, dnnl_forward_training, &d->x, &d->w,
                                                  NULL, &d->y);
    else if (which == PASS_DATA)
        st = dnnl_inner_product_backward_data_desc_init(&op, &d->x, &d->w, &d->dy);
    else
        st = dnnl_inner_product_backward_weights_desc_init(&op, &d->x, &d->dw, NULL, &d->dy);
    return st == dnnl_success ? dnnl_primitive_desc_create(pd, &op, d->attr, engine, hint) : st;
}

/* ---- creation
 * ------------------------------------------------------------------------------*/

static dnnl_status_t empty_memory(dnnl_memory_t *m, const dnnl_memory_desc_t *md,
                                  dnnl_engine_t engine)
{
    return dnnl_memory_create(m, md, engine, DNNL_MEMORY_NONE);
}

/* The primitive that carries weights in and out; a sum when they come out. */
static dnnl_status_t make_reorder(pass *p, const dnnl_memory_desc_t *master,
                                  const dnnl_memory_desc_t *packed, bool out,
                                  dnnl_engine_t engine)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t ops = NULL;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t st = dnnl_primitive_attr_create(&attr);

    if (st == dnnl_success && out)
        st = dnnl_post_ops_create(&ops);
    if (st == dnnl_success && out)
        st = dnnl_post_ops_append_sum(ops, 1.0f);
    if (st == dnnl_success && out)
        st = dnnl_primitive_attr_set_post_ops(attr, ops);
    if (st == dnnl_success)
        st = dnnl_reorder_primitive_desc_create(&pd, out ? packed : master, engine,
                                                out ? master : packed, engine, attr);
    if (st == dnnl_success)
        st = dnnl_primitive_create(&p->reorder, pd);
    if (pd)
        release(dnnl_primitive_desc_destroy(pd));
    if (ops)
        release(dnnl_post_ops_destroy(ops));
    if (attr)
        release(dnnl_primitive_attr_destroy(attr));
    return st;
}

/* Makes the objects of one pass from its descriptor; *bytes: the scratch it uses. */
static dnnl_status_t fill_pass(pass *p, int which, const descs *d, dnnl_primitive_desc_t pd,
                               dnnl_engine_t engine, size_t *bytes)
{
    const int weights = pass_args[which].weights;
    const dnnl_memory_desc_t *packed =
        dnnl_primitive_desc_query_md(pd, pass_args[which].md[weights], 0);
    const dnnl_memory_desc_t *pad =
        dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    dnnl_status_t st = dnnl_primitive_create(&p->prim, pd);

    for (int i = 0; i < 3 && st == dnnl_success; i++)
        st = empty_memory(&p->tensors[i],
                          dnnl_primitive_desc_query_md(pd, pass_args[which].md[i], 0), engine);
    if (st == dnnl_success)
        st = empty_memory(&p->pad, pad, engine);
    if (st == dnnl_success)
        st = empty_memory(&p->master, &d->master, engine);
    if (st == dnnl_success)
        st = make_reorder(p, &d->master, packed, which == PASS_WEIGHTS, engine);
    p->pad_at = rq_round_up(dnnl_memory_desc_get_size(packed), RQ_ALIGN);
    *bytes = p->pad_at + dnnl_memory_desc_get_size(pad);
    return st;
}

static rq_status create_passes(rq_onednn *dnn, rq_conv *c, const rq_conv_shape *s, descs *d,
                               size_t *scratch_bytes, rq_err *err)
{
    const bool wanted[PASSES] = {true, s->need_dx, s->need_dw};
    dnnl_primitive_desc_t hint = NULL;
    rq_status st = RQ_OK;

    *scratch_bytes = 0;
    for (int i = 0; i < PASSES && st == RQ_OK; i++) {
        dnnl_primitive_desc_t pd = NULL;
        size_t bytes = 0;
        if (!wanted[i])
            continue;
        dnnl_status_t ds = (d->linear ? linear_pd : conv_pd)(&pd, i, d, dnn->engine, hint);
        if (ds == dnnl_success)
            ds = fill_pass(&c->passes[i], i, d, pd, dnn->engine, &bytes);
        st = check(ds, pass_args[i].name, err);
        if (bytes > *scratch_bytes)
            *scratch_bytes = bytes;
        if (i == PASS_FORWARD)
            hint = pd;
        else if (pd)
            release(dnnl_primitive_desc_destroy(pd));
    }
    if (hint)
        release(dnnl_primitive_desc_destroy(hint));
    return st;
}

rq_status rq_onednn_conv_create(rq_onednn *dnn, rq_conv **out, const rq_conv_shape *s,
                                size_t *scratch_bytes, rq_err *err)
{
    descs d = {.attr = NULL};

    *out = NULL;
    rq_conv *c = rq_calloc(1, sizeof *c);
    if (!c)
        return rq_fail(err, RQ_OOM, "oneDNN: out of memory");
    dnnl_status_t ds = dnnl_primitive_attr_create(&d.attr);
    if (ds == dnnl_success)
        ds = dnnl_primitive_attr_set_scratchpad_mode(d.attr, dnnl_scratchpad_mode_user);
    if (ds == dnnl_success)
        ds = make_descs(&d, s);
    rq_status st = check(ds, "describing a layer", err);
    if (st == RQ_OK)
        st = create_passes(dnn, c, s, &d, scratch_bytes, err);
    if (d.attr)
        release(dnnl_primitive_attr_destroy(d.attr));
    if (st != RQ_OK)
        rq_onednn_conv_destroy(&c);
    *out = c;
    return st;
}

static void destroy_pass(pass *p)
{
    dnnl_memory_t memories[] = {p->tensors[0], p->tensors[1], p->tensors[2], p->pad, p->master};

    for (size_t i = 0; i < sizeof memories / sizeof memories[0]; i++) {
        if (memories[i])
            release(dnnl_memory_destroy(memories[i]));
    }
    if (p->prim)
        release(dnnl_primitive_destroy(p->prim));
    if (p->reorder)
        release(dnnl_primitive_destroy(p->reorder));
}

void rq_onednn_conv_destroy(rq_conv **c)
{
    if (!c || !*c)
        return;
    for (int i = 0; i < PASSES; i++)
        destroy_pass(&(*c)->passes[i]);
    rq_free(*c);
    *c = NULL;
}

/* ---- execution
 * -----------------------------------------------------------------------------*/

/* oneDNN takes addresses without const, and does not write to inputs. */
static dnnl_status_t point(dnnl_memory_t m, const void *p)
{
    union {
        const void *in;
        void *out;
    } u = {.in = p};

    return dnnl_memory_set_data_handle(m, u.out);
}

static dnnl_status_t run_reorder(rq_onednn *d, const pass *p, dnnl_memory_t from,
                                 dnnl_memory_t to)
{
    const dnnl_exec_arg_t args[2] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};

    return dnnl_primitive_execute(p->reorder, d->stream, 2, args);
}

/* tensors in the order of pass_args, weights being the master copy */
static rq_status run(rq_onednn *d, rq_conv *c, int which, const void *const tensors[3],
                     void *scratch, rq_err *err)
{
    pass *p = &c->passes[which];
    const int weights = pass_args[which].weights;
    const bool out = which == PASS_WEIGHTS;
    dnnl_exec_arg_t args[4] = {{DNNL_ARG_SCRATCHPAD, p->pad}};
    dnnl_status_t st = point(p->pad, (char *)scratch + p->pad_at);

    for (int i = 0; i < 3 && st == dnnl_success; i++) {
        st = point(p->tensors[i], i == weights ? scratch : tensors[i]);
        args[i + 1] = (dnnl_exec_arg_t){pass_args[which].arg[i], p->tensors[i]};
    }
    if (st == dnnl_success)
        st = point(p->master, tensors[weights]);
    if (st == dnnl_success && !out)
        st = run_reorder(d, p, p->master, p->tensors[weights]);
    if (st == dnnl_success)
        st = dnnl_primitive_execute(p->prim, d->stream, 4, args);
    if (st == dnnl_success && out)
        st = run_reorder(d, p, p->tensors[weights], p->master);
    if (st == dnnl_success)
        st = dnnl_stream_wait(d->stream);
    return check(st, pass_args[which].name, err);
}

rq_status rq_onednn_forward(rq_onednn *d, rq_conv *c, const void *x, const float *w, void *y,
                            void *scratch, rq_err *err)
{
    return run(d, c, PASS_FORWARD, (const void *[3]){x, w, y}, scratch, err);
}

rq_status rq_onednn_backward_data(rq_onednn *d, rq_conv *c, const void *dy, const float *w,
                                  void *dx, void *scratch, rq_err *err)
{
    return run(d, c, PASS_DATA, (const void *[3]){dy, w, dx}, scratch, err);
}

rq_status rq_onednn_backward_weights(rq_onednn *d, rq_conv *c, const void *x, const void *dy,
                                     float *dw, void *scratch, rq_err *err)
{
    return run(d, c, PASS_WEIGHTS, (const void *[3]){x, dy, dw}, scratch, err);
}
