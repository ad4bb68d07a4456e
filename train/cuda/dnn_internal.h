/* What dnngraph.c and dnnplan.c share: the structures behind the handles of dnngraph.h, and
 * calls of cuDNN that latch their first failure. Internal to these two; empty in a build
 * without CUDA. */
#ifndef RQ_TRAIN_CUDA_DNN_INTERNAL_H
#define RQ_TRAIN_CUDA_DNN_INTERNAL_H

#include "train/cuda/dnngraph.h"
#include "train/cuda/dnnlib.h"

#ifdef RQ_HAVE_CUDA

/* Calls of cuDNN on behalf of one purpose. After the first failure all later calls do nothing,
 * so a sequence of them needs one look at the end. */
typedef struct rq_dnn {
    const rq_dnnlib *lib;
    const char *what; /* for messages: "convolution" */
    rq_status status;
    rq_err *err;
} rq_dnn;

typedef cudnnBackendDescriptor_t rq_desc;

/* Notes a failure of `call`, with what cuDNN says about it. */
void rq_dnn_note(rq_dnn *c, cudnnStatus_t s, const char *call);
/* NULL after a failure. */
rq_desc rq_dnn_make(rq_dnn *c, cudnnBackendDescriptorType_t type);
void rq_dnn_set(rq_dnn *c, rq_desc d, cudnnBackendAttributeName_t name,
                cudnnBackendAttributeType_t type, int64_t n, const void *v);
void rq_dnn_set_desc(rq_dnn *c, rq_desc d, cudnnBackendAttributeName_t name, rq_desc v);
/* Number of elements that were written. */
int64_t rq_dnn_get(rq_dnn *c, rq_desc d, cudnnBackendAttributeName_t name,
                   cudnnBackendAttributeType_t type, int64_t n, void *v);
void rq_dnn_finalize(rq_dnn *c, rq_desc d);
/* Appends a descriptor's JSON. */
void rq_dnn_json(rq_dnn *c, rq_desc d, cudnnBackendAttributeName_t name, rq_buf *out);
void rq_dnn_drop(const rq_dnnlib *lib, rq_desc *d);

struct rq_dg_device {
    rq_dnnlib lib;
    cudnnHandle_t handle; /* NULL: a description only */
    rq_desc prop;
    rq_buf json;
    char name[64];
    int sms, cc;
    uint64_t memory;
};

enum { RQ_DG_MAX_TENSORS = 32, RQ_DG_MAX_OPS = 16 };

struct rq_dg {
    rq_dg_device *device;
    rq_dnn c;
    rq_err err;
    rq_desc tensors[RQ_DG_MAX_TENSORS];
    bool virt[RQ_DG_MAX_TENSORS];
    rq_desc helpers[RQ_DG_MAX_OPS], ops[RQ_DG_MAX_OPS]; /* NULL helper: it has none */
    int n_tensors, n_ops;
    rq_desc graph; /* once finished */
    rq_buf text;
};

#endif
#endif
