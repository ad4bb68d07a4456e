/* Is there a GPU that this build can use? Looked at through the CUDA runtime, which is linked
 * statically and finds the driver itself: without one, the answer is a sentence and nothing
 * else in the program changes. */
#ifndef RQ_TRAIN_CUDA_DEVICE_H
#define RQ_TRAIN_CUDA_DEVICE_H

#include "common/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Versions as CUDA writes them: 13000 is 13.0. */
typedef struct rq_cuda_probe {
    int runtime;    /* of this build */
    int driver;     /* the newest that the driver supports; 0: there is no driver */
    int devices;    /* that it shows; -1: it did not say */
    int cc;         /* compute capability of the first: 90 */
    char name[64];  /* of the first */
    char error[96]; /* of the runtime; "" without one */
} rq_cuda_probe;

/* Asks the runtime; never fails, what it did not find out stays 0. */
void rq_cuda_look(rq_cuda_probe *p);

/* The oldest compute capability that kernels are compiled for. */
enum { RQ_CUDA_OLDEST_CC = 80 };

/* DEVICE, in one sentence with what to do, unless device 0 can be used. */
RQ_NODISCARD rq_status rq_cuda_judge(const rq_cuda_probe *p, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
