// SPDX-License-Identifier: Apache-2.0
//
// Loads cuDNN at run time. The run path of the executable holds for dlopen too, so the library
// that the build was made with is found first unless the environment says otherwise. NVRTC is
// loaded before, from the same run path: cuDNN would ask for it by its bare name when it
// compiles a kernel, and then finds the one that is already there.
#include "train/cuda/dnnlib.h"

#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

rq_status rq_dnnlib_check(size_t version, int major, rq_err *err)
{
    if (version / 10000 != (size_t)major)
        return rq_fail(err, RQ_DEVICE,
                       "cuDNN %zu.%zu was found, but this build is made for cuDNN %d; install "
                       "cuDNN %d or build again with CUDNN_ROOT pointing at the one to use",
                       version / 10000, version / 100 % 100, major, major);
    if (version < RQ_CUDNN_OLDEST)
        return rq_fail(err, RQ_DEVICE,
                       "cuDNN %zu.%zu was found, which is too old; install %d.%d or newer",
                       version / 10000, version / 100 % 100, RQ_CUDNN_OLDEST / 10000,
                       RQ_CUDNN_OLDEST / 100 % 100);
    return RQ_OK;
}

/* ISO C knows no conversion from object to function pointer; POSIX promises the same bits. */
static bool find(void *so, const char *name, void *function, size_t bytes)
{
    void *const p = dlsym(so, name);

    memcpy(function, &p, bytes);
    return p != NULL;
}

rq_status rq_dnnlib_open(rq_dnnlib *lib, const char *soname, rq_err *err)
{
    char name[32], nvrtc[32];

    snprintf(name, sizeof name, "libcudnn.so.%d", CUDNN_MAJOR);
    snprintf(nvrtc, sizeof nvrtc, "libnvrtc.so.%d", CUDART_VERSION / 1000);
    dlopen(nvrtc, RTLD_NOW | RTLD_GLOBAL);
    void *so = dlopen(soname ? soname : name, RTLD_NOW | RTLD_LOCAL);
    if (!so)
        return rq_fail(err, RQ_DEVICE,
                       "cuDNN cannot be loaded (%s); install cuDNN %d, or add its folder to "
                       "LD_LIBRARY_PATH",
                       dlerror(), CUDNN_MAJOR);
#define RQ_DNNLIB_FIND(f)                                                                      \
    if (!find(so, #f, &lib->f, sizeof lib->f))                                                 \
        return rq_fail(err, RQ_DEVICE, "%s has no function %s; is it cuDNN %d?",               \
                       soname ? soname : name, #f, CUDNN_MAJOR);
    RQ_DNNLIB_FUNCTIONS(RQ_DNNLIB_FIND)
#undef RQ_DNNLIB_FIND
    lib->version = lib->cudnnGetVersion();
    return rq_dnnlib_check(lib->version, CUDNN_MAJOR, err);
}
