// SPDX-License-Identifier: Apache-2.0
//
// Devices and graphs. An operation is a row in a table: the type of its descriptor and the
// attributes of its operands in order; one function builds them all. Every step also writes a
// line of text, by which plans are kept on disk. Descriptors must outlive what refers to them,
// so a graph owns all of its own and drops them in reverse.
#include "train/cuda/dnn_internal.h"

#include "common/json.h"

#include <stdio.h>
#include <string.h>

/* ---- calls ------------------------------------------------------------------------------- */

void rq_dnn_note(rq_dnn *c, cudnnStatus_t s, const char *call)
{
    char why[400] = "";

    if (s == CUDNN_STATUS_SUCCESS || c->status != RQ_OK)
        return;
    c->lib->cudnnGetLastErrorString(why, sizeof why);
    why[strcspn(why, "\n")] = '\0';
    c->status =
        rq_fail(c->err, RQ_DEVICE, "cuDNN %zu.%zu, %s: %s failed with %s%s%s%s",
                c->lib->version / 10000, c->lib->version / 100 % 100, c->what, call,
                c->lib->cudnnGetErrorString(s), why[0] ? " (" : "", why, why[0] ? ")" : "");
}

rq_desc rq_dnn_make(rq_dnn *c, cudnnBackendDescriptorType_t type)
{
    rq_desc d = NULL;

    if (c->status == RQ_OK)
        rq_dnn_note(c, c->lib->cudnnBackendCreateDescriptor(type, &d), "making a descriptor");
    return d;
}

void rq_dnn_set(rq_dnn *c, rq_desc d, cudnnBackendAttributeName_t name,
                cudnnBackendAttributeType_t type, int64_t n, const void *v)
{
    char call[40];

    if (c->status != RQ_OK)
        return;
    snprintf(call, sizeof call, "setting attribute %d", (int)name);
    rq_dnn_note(c, c->lib->cudnnBackendSetAttribute(d, name, type, n, v), call);
}

void rq_dnn_set_desc(rq_dnn *c, rq_desc d, cudnnBackendAttributeName_t name, rq_desc v)
{
    rq_dnn_set(c, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &v);
}

int64_t rq_dnn_get(rq_dnn *c, rq_desc d, cudnnBackendAttributeName_t name,
                   cudnnBackendAttributeType_t type, int64_t n, void *v)
{
    char call[40];
    int64_t got = 0;

    if (c->status != RQ_OK)
        return 0;
    snprintf(call, sizeof call, "reading attribute %d", (int)name);
    rq_dnn_note(c, c->lib->cudnnBackendGetAttribute(d, name, type, n, &got, v), call);
    return c->status == RQ_OK ? got : 0;
}

void rq_dnn_finalize(rq_dnn *c, rq_desc d)
{
    if (c->status == RQ_OK)
        rq_dnn_note(c, c->lib->cudnnBackendFinalize(d), "checking the descriptor");
}

void rq_dnn_json(rq_dnn *c, rq_desc d, cudnnBackendAttributeName_t name, rq_buf *out)
{
    const int64_t n = rq_dnn_get(c, d, name, CUDNN_TYPE_CHAR, 0, NULL);
    const size_t before = out->size;

    if (c->status == RQ_OK)
        c->status = rq_buf_append(out, NULL, (size_t)n, c->err);
    if (c->status != RQ_OK)
        return;
    rq_dnn_get(c, d, name, CUDNN_TYPE_CHAR, n, out->data + before);
    out->data[out->size] = '\0';
    out->size = before + strlen((const char *)out->data + before);
}

void rq_dnn_drop(const rq_dnnlib *lib, rq_desc *d)
{
    if (*d)
        lib->cudnnBackendDestroyDescriptor(*d);
    *d = NULL;
}

/* ---- device ------------------------------------------------------------------------------ */

static rq_status read_json(rq_dg_device *d, rq_err *err)
{
    static const char what[] = "cuDNN's description of the device";
    cJSON *root = NULL;
    const char *name = NULL;
    int64_t sms = 0, version = 0, memory = 0;

    RQ_TRY(rq_json_parse(&root, (const char *)d->json.data, d->json.size, what, err));
    rq_status st = rq_json_get_string(root, "deviceName", &name, what, err);
    if (st == RQ_OK)
        st = rq_json_get_int(root, "multiProcessorCount", 1, 1 << 16, &sms, what, err);
    if (st == RQ_OK)
        st = rq_json_get_int(root, "deviceVer", 100, 1 << 16, &version, what, err);
    if (st == RQ_OK)
        st = rq_json_get_int(root, "totalGlobalMem", 1, (int64_t)1 << 50, &memory, what, err);
    if (st == RQ_OK) {
        snprintf(d->name, sizeof d->name, "%s", name);
        d->sms = (int)sms;
        d->cc = (int)version / 10;
        d->memory = (uint64_t)memory;
    }
    cJSON_Delete(root);
    return st;
}

/* json NULL: of the device with that number. */
static rq_status describe(rq_dg_device *d, int ordinal, const char *json, size_t bytes,
                          rq_err *err)
{
    rq_dnn c = {.lib = &d->lib, .what = "device properties", .err = err};
    const int32_t number = ordinal;

    d->prop = rq_dnn_make(&c, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
    if (json)
        rq_dnn_set(&c, d->prop, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                   (int64_t)bytes, json);
    else
        rq_dnn_set(&c, d->prop, CUDNN_ATTR_DEVICEPROP_DEVICE_ID, CUDNN_TYPE_INT32, 1, &number);
    rq_dnn_finalize(&c, d->prop);
    rq_dnn_json(&c, d->prop, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, &d->json);
    RQ_TRY(c.status);
    return read_json(d, err);
}

static rq_status open_device(rq_dg_device *d, int ordinal, const char *json, size_t bytes,
                             rq_err *err)
{
    RQ_TRY(rq_dnnlib_open(&d->lib, NULL, err));
    if (!json) {
        rq_dnn c = {.lib = &d->lib, .what = "opening the device", .err = err};
        rq_dnn_note(&c, d->lib.cudnnCreate(&d->handle), "making a handle");
        RQ_TRY(c.status);
    }
    return describe(d, ordinal, json, bytes, err);
}

static rq_status new_device(rq_dg_device **out, int ordinal, const char *json, size_t bytes,
                            rq_err *err)
{
    *out = NULL;
    rq_dg_device *d = rq_calloc(1, sizeof *d);
    if (!d)
        return rq_fail(err, RQ_OOM, "cuDNN: out of memory");
    const rq_status st = open_device(d, ordinal, json, bytes, err);
    if (st != RQ_OK)
        rq_dg_device_close(&d);
    *out = d;
    return st;
}

rq_status rq_dg_device_open(rq_dg_device **out, int ordinal, rq_err *err)
{
    return new_device(out, ordinal, NULL, 0, err);
}

rq_status rq_dg_device_open_json(rq_dg_device **out, const char *json, size_t bytes,
                                 rq_err *err)
{
    return new_device(out, 0, json, bytes, err);
}

void rq_dg_device_close(rq_dg_device **d)
{
    if (!d || !*d)
        return;
    rq_dnn_drop(&(*d)->lib, &(*d)->prop);
    if ((*d)->handle)
        (*d)->lib.cudnnDestroy((*d)->handle);
    rq_buf_free(&(*d)->json);
    rq_free(*d);
    *d = NULL;
}

rq_status rq_dg_device_set_stream(rq_dg_device *d, void *stream, rq_err *err)
{
    rq_dnn c = {.lib = &d->lib, .what = "device", .err = err};

    if (!d->handle)
        return rq_fail(err, RQ_INVALID_ARG, "%s is a description here, not a device", d->name);
    rq_dnn_note(&c, d->lib.cudnnSetStream(d->handle, stream), "setting the stream");
    return c.status;
}

const char *rq_dg_device_name(const rq_dg_device *d)
{
    return d->name;
}

int rq_dg_device_sms(const rq_dg_device *d)
{
    return d->sms;
}

uint64_t rq_dg_device_memory(const rq_dg_device *d)
{
    return d->memory;
}

int rq_dg_device_cc(const rq_dg_device *d)
{
    return d->cc;
}

size_t rq_dg_cudnn_version(const rq_dg_device *d)
{
    return d->lib.version;
}

const char *rq_dg_device_json(const rq_dg_device *d)
{
    return (const char *)d->json.data;
}

/* ---- graph ------------------------------------------------------------------------------- */

/* A kind of operation: its descriptor, the attribute of its helper descriptor, and those of its
 * tensors in the order in which dnngraph.h names them. */
typedef struct op_row {
    const char *name;
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t helper, tensors[3];
} op_row;

static const op_row conv_rows[] = {
    [RQ_DG_FPROP] = {"conv fprop",
                     CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                     {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y}},
    [RQ_DG_DGRAD] = {"conv dgrad",
                     CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                     {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY}},
    [RQ_DG_WGRAD] = {"conv wgrad",
                     CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                     {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY}},
};

static const struct {
    cudnnBackendAttributeName_t alpha, beta;
} conv_factors[] = {
    [RQ_DG_FPROP] = {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    [RQ_DG_DGRAD] = {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    [RQ_DG_WGRAD] = {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
};

static const op_row pointwise_row = {"pointwise",
                                     CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR,
                                     CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR,
                                     {CUDNN_ATTR_OPERATION_POINTWISE_XDESC,
                                      CUDNN_ATTR_OPERATION_POINTWISE_BDESC,
                                      CUDNN_ATTR_OPERATION_POINTWISE_YDESC}};

static const op_row pointwise_backward_row = {"pointwise backward",
                                              CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR,
                                              CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR,
                                              {CUDNN_ATTR_OPERATION_POINTWISE_DYDESC,
                                               CUDNN_ATTR_OPERATION_POINTWISE_XDESC,
                                               CUDNN_ATTR_OPERATION_POINTWISE_DXDESC}};

static const op_row genstats_row = {"genstats",
                                    CUDNN_BACKEND_OPERATION_GEN_STATS_DESCRIPTOR,
                                    CUDNN_ATTR_OPERATION_GENSTATS_MODE, /* has no helper */
                                    {CUDNN_ATTR_OPERATION_GENSTATS_XDESC,
                                     CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC,
                                     CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC}};

static const struct {
    const char *name;
    cudnnPointwiseMode_t mode;
} pointwise_kinds[RQ_DG_POINTWISE_KINDS] = {
    [RQ_DG_ADD] = {"add", CUDNN_POINTWISE_ADD},
    [RQ_DG_MUL] = {"mul", CUDNN_POINTWISE_MUL},
    [RQ_DG_RELU] = {"relu", CUDNN_POINTWISE_RELU_FWD},
    [RQ_DG_IDENTITY] = {"identity", CUDNN_POINTWISE_IDENTITY},
    [RQ_DG_RELU_BACKWARD] = {"relu", CUDNN_POINTWISE_RELU_BWD},
};

static const cudnnDataType_t float_math = CUDNN_DATA_FLOAT;

rq_status rq_dg_create(rq_dg **out, rq_dg_device *d, rq_err *err)
{
    *out = NULL;
    rq_dg *g = rq_calloc(1, sizeof *g);
    if (!g)
        return rq_fail(err, RQ_OOM, "cuDNN: out of memory");
    g->device = d;
    g->c = (rq_dnn){.lib = &d->lib, .err = &g->err};
    *out = g;
    return RQ_OK;
}

void rq_dg_destroy(rq_dg **pg)
{
    if (!pg || !*pg)
        return;
    rq_dg *g = *pg;
    const rq_dnnlib *lib = &g->device->lib;
    rq_dnn_drop(lib, &g->graph);
    for (int i = g->n_ops; i-- > 0;) {
        rq_dnn_drop(lib, &g->ops[i]);
        rq_dnn_drop(lib, &g->helpers[i]);
    }
    for (int i = g->n_tensors; i-- > 0;)
        rq_dnn_drop(lib, &g->tensors[i]);
    rq_buf_free(&g->text);
    rq_free(g);
    *pg = NULL;
}

static void misuse(rq_dg *g, const char *what)
{
    if (g->c.status == RQ_OK)
        g->c.status = rq_fail(&g->err, RQ_INTERNAL, "cuDNN graph: %s", what);
}

int rq_dg_tensor(rq_dg *g, rq_dtype type, const int64_t d[4], unsigned flags)
{
    const int64_t dims[4] = {d[0], d[3], d[1], d[2]}, align = 16, uid = g->n_tensors + 1;
    const int64_t strides[4] = {d[1] * d[2] * d[3], 1, d[2] * d[3], d[3]};
    const cudnnDataType_t t = type == RQ_DTYPE_F32 ? CUDNN_DATA_FLOAT : CUDNN_DATA_BFLOAT16;
    const bool virt = flags & RQ_DG_VIRTUAL;
    rq_dnn *c = &g->c;

    if (g->n_tensors == RQ_DG_MAX_TENSORS)
        misuse(g, "too many tensors");
    c->what = "tensor";
    const rq_desc t_desc = rq_dnn_make(c, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    if (c->status != RQ_OK)
        return 0;
    g->virt[g->n_tensors] = virt;
    g->tensors[g->n_tensors++] = t_desc;
    rq_dnn_set(c, t_desc, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid);
    rq_dnn_set(c, t_desc, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &t);
    rq_dnn_set(c, t_desc, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &align);
    rq_dnn_set(c, t_desc, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims);
    rq_dnn_set(c, t_desc, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
    rq_dnn_set(c, t_desc, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &virt);
    rq_dnn_finalize(c, t_desc);
    if (c->status == RQ_OK)
        c->status =
            rq_buf_printf(&g->text, &g->err, "%d: %s%s %lldx%lldx%lldx%lld\n", (int)uid,
                          virt ? "virtual " : "", type == RQ_DTYPE_F32 ? "f32" : "bf16",
                          (long long)d[0], (long long)d[1], (long long)d[2], (long long)d[3]);
    return c->status == RQ_OK ? (int)uid : 0;
}

/* Starts an operation; the caller adds what is special about it and finalises it. helper: owned
 * from here on; NULL without one. A tensor of 0 is left out. */
static rq_desc start_op(rq_dg *g, const op_row *row, rq_desc helper, const int tensors[3])
{
    rq_dnn *c = &g->c;

    if (g->n_ops == RQ_DG_MAX_OPS)
        misuse(g, "too many operations");
    rq_desc op = rq_dnn_make(c, row->type);
    if (c->status != RQ_OK) {
        rq_dnn_drop(c->lib, &helper);
        return NULL;
    }
    g->helpers[g->n_ops] = helper;
    g->ops[g->n_ops++] = op;
    if (helper)
        rq_dnn_set_desc(c, op, row->helper, helper);
    for (int i = 0; i < 3; i++) {
        if (tensors[i] < 0 || tensors[i] > g->n_tensors)
            misuse(g, "an operation on a tensor that there is not");
        else if (tensors[i] > 0)
            rq_dnn_set_desc(c, op, row->tensors[i], g->tensors[tensors[i] - 1]);
    }
    return op;
}

static void end_op(rq_dg *g, rq_desc op, const char *name, const char *detail,
                   const int tensors[3])
{
    rq_dnn_finalize(&g->c, op);
    if (g->c.status == RQ_OK)
        g->c.status = rq_buf_printf(&g->text, &g->err, "%s %s (%d %d %d)\n", name, detail,
                                    tensors[0], tensors[1], tensors[2]);
}

void rq_dg_conv(rq_dg *g, rq_dg_conv_kind kind, int x, int w, int y, int stride, int pad)
{
    const op_row *row = &conv_rows[kind];
    const int tensors[3] = {x, w, y};
    const int64_t two = 2, pads[2] = {pad, pad}, strides[2] = {stride, stride},
                  ones[2] = {1, 1};
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const float one = 1, zero = 0;
    char detail[64];
    rq_dnn *c = &g->c;

    c->what = row->name;
    const rq_desc conv = rq_dnn_make(c, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    rq_dnn_set(c, conv, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &two);
    rq_dnn_set(c, conv, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &float_math);
    rq_dnn_set(c, conv, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1,
               &mode);
    rq_dnn_set(c, conv, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, pads);
    rq_dnn_set(c, conv, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, pads);
    rq_dnn_set(c, conv, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, ones);
    rq_dnn_set(c, conv, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, strides);
    rq_dnn_finalize(c, conv);
    const rq_desc op = start_op(g, row, conv, tensors);
    rq_dnn_set(c, op, conv_factors[kind].alpha, CUDNN_TYPE_FLOAT, 1, &one);
    rq_dnn_set(c, op, conv_factors[kind].beta, CUDNN_TYPE_FLOAT, 1, &zero);
    snprintf(detail, sizeof detail, "stride %d pad %d", stride, pad);
    end_op(g, op, row->name, detail, tensors);
}

static void pointwise(rq_dg *g, const op_row *row, rq_dg_pointwise f, const int tensors[3])
{
    rq_dnn *c = &g->c;

    c->what = row->name;
    const rq_desc pw = rq_dnn_make(c, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    rq_dnn_set(c, pw, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1,
               &pointwise_kinds[f].mode);
    rq_dnn_set(c, pw, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &float_math);
    rq_dnn_finalize(c, pw);
    const rq_desc op = start_op(g, row, pw, tensors);
    end_op(g, op, row->name, pointwise_kinds[f].name, tensors);
}

void rq_dg_pointwise_forward(rq_dg *g, rq_dg_pointwise f, int a, int b, int out)
{
    const int tensors[3] = {a, b, out};

    pointwise(g, &pointwise_row, f, tensors);
}

void rq_dg_pointwise_backward(rq_dg *g, rq_dg_pointwise f, int dy, int x, int dx)
{
    const int tensors[3] = {dy, x, dx};

    pointwise(g, &pointwise_backward_row, f, tensors);
}

void rq_dg_genstats(rq_dg *g, int x, int sum, int sqsum)
{
    const cudnnGenStatsMode_t mode = CUDNN_GENSTATS_SUM_SQSUM;
    const int tensors[3] = {x, sum, sqsum};
    rq_dnn *c = &g->c;

    c->what = genstats_row.name;
    const rq_desc op = start_op(g, &genstats_row, NULL, tensors);
    rq_dnn_set(c, op, CUDNN_ATTR_OPERATION_GENSTATS_MODE, CUDNN_TYPE_GENSTATS_MODE, 1, &mode);
    rq_dnn_set(c, op, CUDNN_ATTR_OPERATION_GENSTATS_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1,
               &float_math);
    end_op(g, op, genstats_row.name, "sum sqsum", tensors);
}

rq_status rq_dg_finish(rq_dg *g, rq_err *err)
{
    rq_dnn *c = &g->c;

    if (g->graph || g->n_ops == 0)
        misuse(g, "finished twice, or without an operation");
    c->what = "operation graph";
    g->graph = rq_dnn_make(c, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    rq_dnn_set(c, g->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
               g->n_ops, g->ops);
    rq_dnn_finalize(c, g->graph);
    if (c->status == RQ_OK)
        return RQ_OK;
    return rq_fail(err, c->status, "%s", g->err.text);
}

const char *rq_dg_text(const rq_dg *g)
{
    return g->text.data ? (const char *)g->text.data : "";
}
