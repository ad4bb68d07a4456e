// SPDX-License-Identifier: Apache-2.0
//
// CPU features for choosing kernels. The compiler's runtime check asks both the CPU and,
// through XGETBV, whether the operating system saves the wider registers.
#include "common/cpu.h"

#include <string.h>

unsigned rq_cpu_detect(void)
{
    unsigned flags = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("bmi2"))
        flags |= RQ_CPU_AVX2;
    if (flags != 0 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2") &&
        __builtin_cpu_supports("avx512vnni"))
        flags |= RQ_CPU_AVX512;
#endif
    return flags;
}

rq_status rq_cpu_mask_parse(unsigned *mask, const char *text, rq_err *err)
{
    static const struct {
        const char *name;
        unsigned mask;
    } levels[] = {{"c", 0},
                  {"avx2", RQ_CPU_AVX2},
                  {"avx512", RQ_CPU_AVX2 | RQ_CPU_AVX512},
                  {"native", RQ_CPU_ALL}};
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        if (strcmp(text, levels[i].name) == 0) {
            *mask = levels[i].mask;
            return RQ_OK;
        }
    }
    return rq_fail(err, RQ_INVALID_ARG,
                   "CPU level '%.40s' is unknown; choose c, avx2, avx512 or native", text);
}

const char *rq_cpu_level_name(unsigned flags)
{
    if (!(flags & RQ_CPU_AVX2))
        return "c";
    return flags & RQ_CPU_AVX512 ? "avx512" : "avx2";
}
