// SPDX-License-Identifier: Apache-2.0
//
// Says why the cuda backend cannot train here. Looks at the machine in the order in which a
// user can do something about it: driver, GPU, cuDNN.
#include "train/cuda/backend_cuda.h"

#include "train/cuda/device.h"
#include "train/cuda/dnngraph.h"

rq_status rq_cuda_unusable(rq_err *err)
{
    rq_cuda_probe probe;
    rq_dg_device *d;

    rq_cuda_look(&probe);
    RQ_TRY(rq_cuda_judge(&probe, err));
    const rq_status st = rq_dg_device_open(&d, 0, err);
    if (st != RQ_OK) {
        rq_err_prefix(err, "backend cuda");
        return st;
    }
    const size_t version = rq_dg_cudnn_version(d);
    rq_dg_device_close(&d);
    return rq_fail(err, RQ_DEVICE,
                   "backend cuda: %s and cuDNN %zu.%zu are ready, but this build plans for a "
                   "GPU and does not train on it yet; use --backend cpu",
                   probe.name, version / 10000, version / 100 % 100);
}
