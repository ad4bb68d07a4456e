/* What a network asks of a GPU: its convolutions, each once, as cuDNN graphs, and the memory of
 * a training step. Taken from the layer graphs that the trainer runs; nothing is computed, so
 * no GPU is needed.
 *
 * Linear layers are not among them: cuDNN has no engine that turns bf16 into the f32 of a
 * network's output, so matrix products are left to cuBLASLt. */
#ifndef RQ_TRAIN_CUDA_SURVEY_H
#define RQ_TRAIN_CUDA_SURVEY_H

#include "train/cuda/convplan.h"
#include "train/cuda/kernels.h"
#include "train/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One pass of one shape of convolution. */
typedef struct rq_conv_use {
    rq_conv_shape shape;
    rq_dg_conv_kind pass;
    int layers;                      /* that have it */
    char layer[RQ_PARAM_NAME_BYTES]; /* the first of them */
} rq_conv_use;

/* Zero-initialise. */
typedef struct rq_survey {
    rq_conv_use *uses;
    size_t n, cap;
} rq_survey;

/* Adds a network's convolutions; those that are there already are counted up. *arena: bytes of
 * its activations; may be NULL. */
RQ_NODISCARD rq_status rq_survey_add(rq_survey *s, const rq_model *model, const rq_net_opts *o,
                                     rq_precision precision, size_t *arena, rq_err *err);
void rq_survey_free(rq_survey *s);

/* The training step's views. */
typedef struct rq_survey_step {
    int batch; /* source images */
    int large_views, large_size, small_views, small_size;
    rq_precision precision;
} rq_survey_step;

/* Bytes by purpose; total is their sum. */
typedef struct rq_survey_memory {
    size_t parameters; /* f32 values, gradients, momentum, target; a bf16 copy of two of them */
    size_t activations; /* both online networks; the target's fit in before them */
    size_t images;      /* two batches of u8 views */
    size_t workspace;   /* as given */
    size_t total;
} rq_survey_memory;

/* All networks of a step: online over large and over small views, target over large ones. s may
 * be NULL. */
RQ_NODISCARD rq_status rq_survey_step_add(rq_survey *s, const rq_model *model,
                                          const rq_survey_step *step, size_t workspace,
                                          rq_survey_memory *memory, rq_err *err);

/* The largest batch, a multiple of `multiple`, whose step fits into `bytes`; 0: none. */
RQ_NODISCARD rq_status rq_survey_largest_batch(const rq_model *model,
                                               const rq_survey_step *step, size_t workspace,
                                               size_t bytes, int multiple, int *batch,
                                               rq_err *err);

/* OOM unless the step fits into `bytes`; the sentence names the largest batch that does. */
RQ_NODISCARD rq_status rq_survey_check_memory(const rq_model *model, const rq_survey_step *step,
                                              size_t workspace, size_t bytes, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
