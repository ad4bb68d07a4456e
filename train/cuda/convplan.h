/* One pass of one convolution on a GPU: its graph, and the plan to run it with. */
#ifndef RQ_TRAIN_CUDA_CONVPLAN_H
#define RQ_TRAIN_CUDA_CONVPLAN_H

#include "train/cuda/dnngraph.h"
#include "train/cuda/plancache.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What one convolution may take besides its tensors, by default. */
static const size_t RQ_CUDA_WORKSPACE = (size_t)256 << 20;

/* The graph of a pass: tensor 1 is x or dx, 2 the filters or their gradient, 3 is y or dy. The
 * type of the filters is that of x. */
RQ_NODISCARD rq_status rq_cuda_conv_graph(rq_dg **out, rq_dg_device *d, const rq_conv_shape *s,
                                          rq_dg_conv_kind pass, rq_err *err);

/* Appends what plans depend on besides the graph: version of cuDNN, device, multiprocessors.
 * The identity of a plan cache. */
RQ_NODISCARD rq_status rq_plan_identity(const rq_dg_device *d, rq_buf *text, rq_err *err);

/* The plan for a graph: the cache's, or else cuDNN's best guess, which the cache then gets.
 * cache may be NULL. *hit may be NULL. UNSUPPORTED when there is none. */
RQ_NODISCARD rq_status rq_plan_choose(rq_dg_plan **out, rq_dg *g, const rq_dg_filter *f,
                                      rq_plan_cache *cache, bool *hit, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
