/* CPU features for kernel dispatch, with a mask so that tests and `--cpu-mask` can switch off
 * what the machine has. */
#ifndef RQ_COMMON_CPU_H
#define RQ_COMMON_CPU_H

#include "common/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* AVX2 includes FMA and BMI2; AVX512 is F, BW, VL, DQ, VBMI, VBMI2 and VNNI together. */
enum { RQ_CPU_AVX2 = 1, RQ_CPU_AVX512 = 2, RQ_CPU_ALL = 3 };

/* Features of this CPU that the operating system supports, as a set of RQ_CPU_ bits. */
unsigned rq_cpu_detect(void);
/* "c", "avx2", "avx512" (each includes the ones before it), "native" (all) to a mask. */
RQ_NODISCARD rq_status rq_cpu_mask_parse(unsigned *mask, const char *text, rq_err *err);
/* "c", "avx2" or "avx512": the best level in the set. */
const char *rq_cpu_level_name(unsigned flags);

#ifdef __cplusplus
}
#endif
#endif
