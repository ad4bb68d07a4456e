// SPDX-License-Identifier: Apache-2.0
//
// Chooses the kernels for a CPU, and makes the weights of the blur.
#include "augment/kernels.h"
#include "augment/exact.h"
#include "common/cpu.h"

#include <math.h>

void rq_kernels_init(rq_kernels *k, unsigned cpu_flags)
{
    const unsigned flags = cpu_flags & rq_cpu_detect();
    rq_kernels_add_c(k);
    if (flags & RQ_CPU_AVX2)
        rq_kernels_add_avx2(k);
    if (flags & RQ_CPU_AVX512)
        rq_kernels_add_avx512(k);
}

int rq_blur_weights(int16_t *w, int radius, float sigma)
{
    enum { LEAST = 4 };
    double value[RQ_BLUR_MAX_RADIUS + 1], total = 0;
    const double scale = -0.5 / ((double)sigma * (double)sigma);
    for (int k = 0; k <= radius; k++) {
        const double e = scale * k * k;
        value[k] = e < -700 ? 0 : rq_exact_exp(e);
        total += k == 0 ? value[k] : 2 * value[k];
    }
    int used = 0, sum = 0;
    for (int k = 1; k <= radius; k++) {
        const int q = (int)rint(value[k] / total * 32768);
        if (q < LEAST)
            break;
        w[k] = (int16_t)q;
        sum += 2 * q;
        used = k;
    }
    if (used > 0)
        w[0] = (int16_t)(32768 - sum);
    return used;
}
