/* Checkpoints: everything a run needs to go on exactly where it was, in one safetensors file.
 *
 * Tensors, all f32 but for the counters: the online network under its own names
 * ("encoder.layer1.0.conv1.weight" and so on, torchvision's keys behind the first dot; conv
 * weights OIHW), BatchNorm's "running_mean", "running_var" and "num_batches_tracked" (int64);
 * the same once more under "target."; momentum buffers under "opt.momentum.". __metadata__
 * holds the model's shape, the step, and what the run adds. Every tensor has a hash that is
 * checked at load.
 *
 * A folder keeps "ckpt-00001200.safetensors", newest last. */
#ifndef RQ_TRAIN_CHECKPOINT_H
#define RQ_TRAIN_CHECKPOINT_H

#include "common/log.h"
#include "train/model.h"
#include "train/safetensors.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Buffers of a model's layout; NULL ones are not written and not read. */
typedef struct rq_weights {
    float *values, *state;               /* online */
    float *target_values, *target_state; /* EMA */
    float *momentum;
} rq_weights;

typedef struct rq_checkpoint_info {
    uint64_t step;           /* steps done */
    int online_views;        /* forwards of each online BatchNorm in a step */
    int target_views;        /* the same of the target's */
    const rq_st_meta *extra; /* more metadata, e.g. "config" */
    size_t n_extra;
} rq_checkpoint_info;

RQ_NODISCARD rq_status rq_checkpoint_save(const char *path, const rq_model *model,
                                          const rq_weights *w, const rq_checkpoint_info *info,
                                          rq_err *err);

typedef struct rq_checkpoint rq_checkpoint;
/* Opens and checks the header; nothing else is read yet. */
RQ_NODISCARD rq_status rq_checkpoint_open(rq_checkpoint **out, const char *path, rq_err *err);
void rq_checkpoint_close(rq_checkpoint **c);
const char *rq_checkpoint_path(const rq_checkpoint *c);
uint64_t rq_checkpoint_step(const rq_checkpoint *c);
const rq_model_opts *rq_checkpoint_model(const rq_checkpoint *c);
const char *rq_checkpoint_meta(const rq_checkpoint *c, const char *key); /* NULL if absent */
/* Reads into the buffers of `model`, whose shape must be the checkpoint's; BAD_FORMAT naming
 * the first tensor that is missing or of another shape. */
RQ_NODISCARD rq_status rq_checkpoint_read(const rq_checkpoint *c, const rq_model *model,
                                          const rq_weights *w, rq_err *err);
/* Reads every tensor and compares its hash. */
RQ_NODISCARD rq_status rq_checkpoint_verify(const rq_checkpoint *c, rq_err *err);

/* "DIR/ckpt-00001200.safetensors" in a new string, NULL when out of memory; rq_free it. */
char *rq_checkpoint_name(const char *dir, uint64_t step);
/* Steps of the checkpoints of a folder, ascending, by name alone; rq_free *steps. A missing
 * folder has none. */
RQ_NODISCARD rq_status rq_checkpoint_list(uint64_t **steps, size_t *n, const char *dir,
                                          rq_err *err);
/* Removes all but the newest `keep`. */
RQ_NODISCARD rq_status rq_checkpoint_prune(const char *dir, int keep, rq_err *err);
/* Opens the newest checkpoint of a folder whose every tensor passes its hash; a damaged one is
 * named in the log and the one before it is tried. NOT_FOUND when the folder has none at all;
 * the oldest one's error when none of them passes; a file that cannot be read is no damage and
 * ends the search with its error. */
RQ_NODISCARD rq_status rq_checkpoint_open_latest(rq_checkpoint **out, const char *dir,
                                                 const rq_log_sink *log, rq_err *err);

/* Writes the encoder alone under torchvision's keys without prefix. */
RQ_NODISCARD rq_status rq_export_encoder(const char *path, const rq_model *model,
                                         const float *values, const float *state,
                                         const rq_st_meta *meta, size_t n_meta, int64_t batches,
                                         rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
