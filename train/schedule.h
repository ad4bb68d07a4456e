/* Learning rate and EMA momentum as functions of the step. Pure. */
#ifndef RQ_TRAIN_SCHEDULE_H
#define RQ_TRAIN_SCHEDULE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* floor(epochs * images / batch): steps of a run that counts samples, not whole batches. */
uint64_t rq_schedule_steps(double epochs, uint64_t images, int batch);
/* Linear from 0 at step 0 to `peak` at step `warmup`, then half a cosine to 0 at step `total`;
 * 0 behind it. */
double rq_schedule_lr(uint64_t step, uint64_t warmup, uint64_t total, double peak);
/* 1 - (1 - base) (1 + cos(pi step / total)) / 2: from base to 1. */
double rq_schedule_ema(uint64_t step, uint64_t total, double base);

#ifdef __cplusplus
}
#endif
#endif
