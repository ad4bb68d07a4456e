// SPDX-License-Identifier: Apache-2.0
//
// The kernels for AVX2; the Makefile compiles this file for it. Empty elsewhere.
#ifdef __AVX2__
#define RQ_KERNELS      rq_kernels_avx2
#define RQ_KERNELS_NAME "avx2"
#include "train/cpu_kernels.c"
#else
typedef int rq_no_avx2_kernels;
#endif
