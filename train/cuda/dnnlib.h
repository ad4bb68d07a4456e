/* cuDNN as a library that is loaded when it is needed: no tool depends on it at start.
 *
 * The functions of cuDNN that the project uses, each once, behind pointers with the types of
 * cuDNN's own headers. Internal to train/cuda/; empty in a build without CUDA. Loaded libraries
 * stay loaded until the process ends. */
#ifndef RQ_TRAIN_CUDA_DNNLIB_H
#define RQ_TRAIN_CUDA_DNNLIB_H

#include "common/status.h"

/* The oldest cuDNN that knows device properties as JSON. */
enum { RQ_CUDNN_OLDEST = 90800 };

/* DEVICE, in one sentence, when the cuDNN of that number cannot be used by a build that was
 * made for cuDNN `major`: another major version, or older than RQ_CUDNN_OLDEST. */
RQ_NODISCARD rq_status rq_dnnlib_check(size_t version, int major, rq_err *err);

#ifdef RQ_HAVE_CUDA
#include <cudnn.h>

#define RQ_DNNLIB_FUNCTIONS(X)                                                                 \
    X(cudnnGetVersion)                                                                         \
    X(cudnnGetErrorString)                                                                     \
    X(cudnnGetLastErrorString)                                                                 \
    X(cudnnCreate)                                                                             \
    X(cudnnDestroy)                                                                            \
    X(cudnnSetStream)                                                                          \
    X(cudnnBackendCreateDescriptor)                                                            \
    X(cudnnBackendDestroyDescriptor)                                                           \
    X(cudnnBackendSetAttribute)                                                                \
    X(cudnnBackendGetAttribute)                                                                \
    X(cudnnBackendFinalize)                                                                    \
    X(cudnnBackendExecute)

typedef struct rq_dnnlib {
#define RQ_DNNLIB_MEMBER(name) __typeof__(name) *name;
    RQ_DNNLIB_FUNCTIONS(RQ_DNNLIB_MEMBER)
#undef RQ_DNNLIB_MEMBER
    size_t version; /* 91900 is 9.19.0 */
} rq_dnnlib;

/* Fills the table from the library of that name; NULL: libcudnn.so of the major version this
 * build was made for, from the run path or as the system finds it. DEVICE, in one sentence,
 * when it is not there, lacks a function, or is of the wrong version. */
RQ_NODISCARD rq_status rq_dnnlib_open(rq_dnnlib *lib, const char *soname, rq_err *err);
#endif

#endif
