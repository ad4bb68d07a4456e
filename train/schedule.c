// SPDX-License-Identifier: Apache-2.0
//
// Schedules as the official RELICv2 and BYOL code define them: warm-up then half-cosine for the
// learning rate, cosine towards 1 for the momentum of the target network.
#include "train/schedule.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

uint64_t rq_schedule_steps(double epochs, uint64_t images, int batch)
{
    return (uint64_t)floor(epochs * (double)images / batch);
}

double rq_schedule_lr(uint64_t step, uint64_t warmup, uint64_t total, double peak)
{
    if (step < warmup)
        return peak * (double)step / (double)warmup;
    if (step >= total)
        return 0;
    const double t = (double)(step - warmup) / (double)(total - warmup);
    return peak * 0.5 * (1 + cos(pi * t));
}

double rq_schedule_ema(uint64_t step, uint64_t total, double base)
{
    if (step >= total)
        return 1;
    return 1 - (1 - base) * 0.5 * (1 + cos(pi * (double)step / (double)total));
}
