// SPDX-License-Identifier: Apache-2.0
//
// The registry of backends: a name becomes a table of operations.
#include "train/backend.h"

#include "common/mem.h"
#include "common/pool.h"
#include "train/backend_ops.h"
#ifdef RQ_HAVE_CUDA
#include "train/cuda/backend_cuda.h"
#endif

#include <string.h>

static rq_status pick(const rq_ops **ops, const char *name, rq_err *err)
{
#ifdef RQ_HAVE_ONEDNN
    const rq_ops *best = &rq_ops_cpu;
#else
    const rq_ops *best = &rq_ops_ref;
#endif
    if (strcmp(name, "auto") == 0) {
        *ops = best;
    } else if (strcmp(name, "ref") == 0) {
        *ops = &rq_ops_ref;
    } else if (strcmp(name, "cpu") == 0) {
        *ops = &rq_ops_cpu;
    } else if (strcmp(name, "cuda") == 0) {
#ifdef RQ_HAVE_CUDA
        return rq_cuda_unusable(err);
#else
        return rq_fail(err, RQ_DEVICE, "this build has no CUDA backend; use --backend cpu");
#endif
    } else {
        return rq_fail(err, RQ_INVALID_ARG, "unknown backend '%s'; use cpu, ref or auto", name);
    }
    return RQ_OK;
}

rq_status rq_backend_create(rq_backend **out, const char *name, const rq_backend_opts *opts,
                            rq_err *err)
{
    const rq_ops *ops = NULL;

    *out = NULL;
    RQ_TRY(pick(&ops, name, err));
    if (opts->threads < 0)
        return rq_fail(err, RQ_INVALID_ARG,
                       "backend %s: %d threads; use 1 or more, or 0 for "
                       "one per CPU",
                       name, opts->threads);
    rq_backend *b = rq_calloc(1, sizeof *b);
    if (!b)
        return rq_fail(err, RQ_OOM, "backend %s: out of memory", name);
    b->ops = ops;
    b->opts = *opts;
    if (b->opts.threads == 0)
        b->opts.threads = rq_cpu_count();
    const rq_status st = ops->open(b, err);
    if (st != RQ_OK) {
        rq_free(b);
        return st;
    }
    *out = b;
    return RQ_OK;
}

void rq_backend_destroy(rq_backend **b)
{
    if (!b || !*b)
        return;
    (*b)->ops->close(*b);
    rq_free(*b);
    *b = NULL;
}

const char *rq_backend_name(const rq_backend *b)
{
    return b->ops->name;
}

const char *rq_backend_describe(const rq_backend *b)
{
    return b->text;
}
