/* cuDNN's graph API in plain C: describe a few operations on tensors, get plans that run them.
 *
 * cuDNN 9's backend API is five calls on typed descriptors; this wrapper knows which attributes
 * belong to which operation (a table, one row each), keeps descriptors alive as long as they
 * are needed, and turns failures into sentences. It stands on the backend API alone: no C++
 * frontend, no entry point that cuDNN has marked as deprecated.
 *
 *     rq_dg_device_open_json(&dev, json, bytes, &err);   // or rq_dg_device_open: a real one
 *     rq_dg_create(&g, dev, &err);
 *     int x = rq_dg_tensor(g, RQ_DTYPE_BF16, (int64_t[4]){256, 56, 56, 64}, RQ_DG_IO); ...
 *     rq_dg_conv(g, RQ_DG_FPROP, x, w, y, 1, 1);
 *     rq_dg_finish(g, &err);                             // the first error of all of the above
 *     rq_dg_plans(g, &filter, plans, 8, &report, &err);  // best guess first
 *     rq_dg_pack_create(&pack, plan, pointers, workspace, &err);
 *     rq_dg_run(plan, pack, &err);                       // allocates nothing
 *
 * Without a GPU: a device made from cuDNN's JSON description of one gives engines, workspaces
 * and saved plans for it on any machine; only rq_dg_run needs the real one. Engines that
 * compile their kernel at run time are not offered where no driver can be loaded.
 *
 * Tensors are packed NHWC and numbered from 1 in the order of creation. Thread rule: a device
 * and what was made from it belong to one thread at a time. */
#ifndef RQ_TRAIN_CUDA_DNNGRAPH_H
#define RQ_TRAIN_CUDA_DNNGRAPH_H

#include "common/mem.h"
#include "train/backend_ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- device ------------------------------------------------------------------------------ */

typedef struct rq_dg_device rq_dg_device;

/* The GPU of that number, with a handle to run plans. DEVICE without one, or without cuDNN. */
RQ_NODISCARD rq_status rq_dg_device_open(rq_dg_device **out, int ordinal, rq_err *err);
/* A description of a GPU, as rq_dg_device_json gives it: plans, but nothing to run them on. */
RQ_NODISCARD rq_status rq_dg_device_open_json(rq_dg_device **out, const char *json,
                                              size_t bytes, rq_err *err);
/* After everything that was made from it. */
void rq_dg_device_close(rq_dg_device **d);
/* cudaStream_t for later runs. */
RQ_NODISCARD rq_status rq_dg_device_set_stream(rq_dg_device *d, void *stream, rq_err *err);

const char *rq_dg_device_name(const rq_dg_device *d); /* "NVIDIA H200" */
int rq_dg_device_sms(const rq_dg_device *d);          /* multiprocessors */
uint64_t rq_dg_device_memory(const rq_dg_device *d);  /* bytes in all */
int rq_dg_device_cc(const rq_dg_device *d);           /* compute capability: 90 */
size_t rq_dg_cudnn_version(const rq_dg_device *d);    /* 91900 */
/* cuDNN's description, to be kept and used elsewhere; valid while the device is. */
const char *rq_dg_device_json(const rq_dg_device *d);

/* ---- graph ------------------------------------------------------------------------------- */

typedef struct rq_dg rq_dg;

enum {
    RQ_DG_IO = 0,     /* in device memory */
    RQ_DG_VIRTUAL = 1 /* between two operations of the graph: never stored */
};

typedef enum rq_dg_conv_kind { RQ_DG_FPROP, RQ_DG_DGRAD, RQ_DG_WGRAD } rq_dg_conv_kind;

typedef enum rq_dg_pointwise {
    RQ_DG_ADD,
    RQ_DG_MUL,
    RQ_DG_RELU,          /* b: 0 */
    RQ_DG_IDENTITY,      /* b: 0; converts when the types differ */
    RQ_DG_RELU_BACKWARD, /* only in rq_dg_pointwise_backward */
    RQ_DG_POINTWISE_KINDS
} rq_dg_pointwise;

RQ_NODISCARD rq_status rq_dg_create(rq_dg **out, rq_dg_device *d, rq_err *err);
void rq_dg_destroy(rq_dg **g);

/* The first failure of these is kept, with the operation it happened in; later calls do
 * nothing, and rq_dg_finish reports it. Tensors are 16-byte aligned. Returns the number of the
 * tensor; 0 after a failure. */
int rq_dg_tensor(rq_dg *g, rq_dtype type, const int64_t nhwc[4], unsigned flags);
/* FPROP reads x and w and writes y; DGRAD reads y as dy, and w, and writes x as dx; WGRAD reads
 * x, and y as dy, and writes w as dw. Filters are [k][r][r][c], given as nhwc = {k, r, r, c}.
 * Sums are f32 whatever the types. */
void rq_dg_conv(rq_dg *g, rq_dg_conv_kind kind, int x, int w, int y, int stride, int pad);
/* out = f(a, b); b is broadcast where its dimensions are 1. */
void rq_dg_pointwise_forward(rq_dg *g, rq_dg_pointwise f, int a, int b, int out);
/* dx = dy * f'(x); for RELU_BACKWARD x may be the output, too. */
void rq_dg_pointwise_backward(rq_dg *g, rq_dg_pointwise f, int dy, int x, int dx);
/* Per channel {1, 1, 1, c}, f32: sum of x, sum of x^2. */
void rq_dg_genstats(rq_dg *g, int x, int sum, int sqsum);
/* No more operations. */
RQ_NODISCARD rq_status rq_dg_finish(rq_dg *g, rq_err *err);
/* One line per tensor and operation: equal texts are equal graphs. Valid while the graph is. */
const char *rq_dg_text(const rq_dg *g);

/* ---- plans ------------------------------------------------------------------------------- */

typedef struct rq_dg_plan rq_dg_plan;

enum {
    RQ_DG_NO_NONDETERMINISTIC = 1, /* two runs give the same bits */
    RQ_DG_NO_TENSOR_CORE_F32 = 2,  /* f32 stays f32: no TF32, no down-conversion */
    RQ_DG_NO_WINOGRAD = 4,
    RQ_DG_NO_RUNTIME_COMPILED = 8
};

typedef struct rq_dg_filter {
    size_t workspace; /* bytes at most */
    unsigned forbid;  /* RQ_DG_NO_ */
} rq_dg_filter;

/* Where the engine configurations went. */
typedef struct rq_dg_report {
    int listed;                /* by the heuristics A, B and FALLBACK, each once */
    int forbidden;             /* by the filter */
    int refused;               /* by cuDNN for this device */
    int too_large;             /* needed more workspace than the filter allows */
    size_t smallest_workspace; /* of those; 0 without any */
} rq_dg_report;

/* Plans in the order in which cuDNN expects them to be fast; the caller destroys them. Stops
 * when `max` have been built. *n may be 0: rq_dg_no_plan makes a sentence of that. report may
 * be NULL; with a small max it counts what was looked at. The graph must outlive its plans. */
RQ_NODISCARD rq_status rq_dg_plans(rq_dg *g, const rq_dg_filter *f, rq_dg_plan **plans,
                                   size_t max, size_t *n, rq_dg_report *report, rq_err *err);
/* UNSUPPORTED: which graph has no engine, and why. */
rq_status rq_dg_no_plan(const rq_dg *g, const rq_dg_filter *f, const rq_dg_report *report,
                        rq_err *err);
void rq_dg_plan_destroy(rq_dg_plan **p);

size_t rq_dg_plan_workspace(const rq_dg_plan *p);
/* Engine and its settings: "eng62_k2=5_k27=1"; of a loaded plan what was given to load. */
const char *rq_dg_plan_name(const rq_dg_plan *p);
/* Appends cuDNN's JSON. */
RQ_NODISCARD rq_status rq_dg_plan_save(const rq_dg_plan *p, rq_buf *json, rq_err *err);
/* From such JSON, for the same graph, device and version of cuDNN. */
RQ_NODISCARD rq_status rq_dg_plan_load(rq_dg_plan **out, rq_dg *g, const char *name,
                                       const char *json, size_t bytes, rq_err *err);

/* ---- running ----------------------------------------------------------------------------- */

/* Where a plan's tensors are. */
typedef struct rq_dg_pack rq_dg_pack;

/* pointers[i]: device memory of tensor i + 1; those of virtual tensors are not read. */
RQ_NODISCARD rq_status rq_dg_pack_create(rq_dg_pack **out, const rq_dg_plan *p,
                                         void *const *pointers, void *workspace, rq_err *err);
void rq_dg_pack_destroy(rq_dg_pack **p);
/* Queues the plan on the device's stream. */
RQ_NODISCARD rq_status rq_dg_run(const rq_dg_plan *p, const rq_dg_pack *pack, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
