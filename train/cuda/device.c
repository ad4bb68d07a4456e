// SPDX-License-Identifier: Apache-2.0
//
// What the CUDA runtime says about this machine, and what that means for the user. Asking and
// judging are apart, so that every judgement can be tested where there is no GPU. A driver that
// is missing and one that is too old give the same error code; its version tells them apart.
#include "train/cuda/device.h"

#include <cuda_runtime_api.h>
#include <stdio.h>
#include <string.h>

void rq_cuda_look(rq_cuda_probe *p)
{
    struct cudaDeviceProp prop;

    *p = (rq_cuda_probe){.devices = -1};
    if (cudaRuntimeGetVersion(&p->runtime) != cudaSuccess)
        p->runtime = CUDART_VERSION;
    if (cudaDriverGetVersion(&p->driver) != cudaSuccess)
        p->driver = 0;
    const cudaError_t e = cudaGetDeviceCount(&p->devices);
    if (e != cudaSuccess) {
        p->devices = e == cudaErrorNoDevice ? 0 : -1;
        snprintf(p->error, sizeof p->error, "%s", cudaGetErrorString(e));
    } else if (p->devices > 0 && cudaGetDeviceProperties(&prop, 0) == cudaSuccess) {
        p->cc = 10 * prop.major + prop.minor;
        snprintf(p->name, sizeof p->name, "%.*s", (int)sizeof p->name - 1, prop.name);
    }
}

rq_status rq_cuda_judge(const rq_cuda_probe *p, rq_err *err)
{
    if (p->driver == 0)
        return rq_fail(err, RQ_DEVICE,
                       "backend cuda: no NVIDIA driver was found; install one for CUDA %d, or "
                       "use --backend cpu",
                       p->runtime / 1000);
    /* Within a major version any driver runs what any toolkit compiled. */
    if (p->driver / 1000 < p->runtime / 1000)
        return rq_fail(err, RQ_DEVICE,
                       "backend cuda: the driver supports CUDA up to %d.%d, but this build "
                       "needs %d.0; update the driver, or use --backend cpu",
                       p->driver / 1000, p->driver % 1000 / 10, p->runtime / 1000);
    if (p->devices == 0)
        return rq_fail(err, RQ_DEVICE,
                       "backend cuda: the driver shows no GPU; look at nvidia-smi and "
                       "CUDA_VISIBLE_DEVICES, or use --backend cpu");
    if (p->devices < 0)
        return rq_fail(err, RQ_DEVICE,
                       "backend cuda: the driver does not answer (%s); look at nvidia-smi, or "
                       "use --backend cpu",
                       p->error);
    if (p->cc < RQ_CUDA_OLDEST_CC)
        return rq_fail(err, RQ_DEVICE,
                       "backend cuda: %s has compute capability %d.%d, but %d.%d or newer is "
                       "needed; use --backend cpu",
                       p->name, p->cc / 10, p->cc % 10, RQ_CUDA_OLDEST_CC / 10,
                       RQ_CUDA_OLDEST_CC % 10);
    return RQ_OK;
}
