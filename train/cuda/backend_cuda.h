/* The door of train/cuda/ for the registry of backends. */
#ifndef RQ_TRAIN_CUDA_BACKEND_CUDA_H
#define RQ_TRAIN_CUDA_BACKEND_CUDA_H

#include "common/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Always DEVICE, in one sentence: what this machine lacks, or, on one that lacks nothing, that
 * training on it is not built yet. */
rq_status rq_cuda_unusable(rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
