// SPDX-License-Identifier: Apache-2.0
//
// The kernels for AVX-512 (x86-64-v4); the Makefile compiles this file for it. Empty elsewhere.
#ifdef __AVX512BW__
#define RQ_KERNELS      rq_kernels_avx512
#define RQ_KERNELS_NAME "avx512"
#include "train/cpu_kernels.c"
#else
typedef int rq_no_avx512_kernels;
#endif
