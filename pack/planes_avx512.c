// SPDX-License-Identifier: Apache-2.0
// Running sums of 64 bytes with AVX-512 (BW and VBMI): within each quarter by shifts, then the
// totals of the quarters before. Row ends are masked. Compiled for these extensions; called
// only where the CPU has them.
#ifdef __x86_64__

#include "pack/planes_kernels.h"

#include <immintrin.h>

static __m512i running_sum(__m512i v)
{
    v = _mm512_add_epi8(v, _mm512_bslli_epi128(v, 1));
    v = _mm512_add_epi8(v, _mm512_bslli_epi128(v, 2));
    v = _mm512_add_epi8(v, _mm512_bslli_epi128(v, 4));
    v = _mm512_add_epi8(v, _mm512_bslli_epi128(v, 8));
    // Totals of the quarters, moved up by one, two and three of them.
    const __m512i t = _mm512_shuffle_epi8(v, _mm512_set1_epi8(15));
    const __m512i one = _mm512_maskz_shuffle_i64x2(0xFC, t, t, 0x90);
    const __m512i two = _mm512_maskz_shuffle_i64x2(0xF0, t, t, 0x40);
    const __m512i three = _mm512_maskz_shuffle_i64x2(0xC0, t, t, 0x00);
    return _mm512_add_epi8(_mm512_add_epi8(v, one), _mm512_add_epi8(two, three));
}

static __mmask64 live(size_t left)
{
    return left >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << left) - 1;
}

static void sum(uint8_t *dst, const uint8_t *src, const uint8_t *above, size_t n, uint8_t first)
{
    __m512i carry = _mm512_set1_epi8((char)first);
    for (size_t x = 0; x < n; x += 64) {
        const __mmask64 k = live(n - x);
        __m512i v = _mm512_add_epi8(running_sum(_mm512_maskz_loadu_epi8(k, src + x)), carry);
        carry = _mm512_permutexvar_epi8(_mm512_set1_epi8(63), v);
        if (above)
            v = _mm512_add_epi8(v, _mm512_maskz_loadu_epi8(k, above + x));
        _mm512_mask_storeu_epi8(dst + x, k, v);
    }
}

static void add(uint8_t *dst, const uint8_t *src, const uint8_t *above, size_t n)
{
    for (size_t x = 0; x < n; x += 64) {
        const __mmask64 k = live(n - x);
        const __m512i a = _mm512_maskz_loadu_epi8(k, src + x);
        const __m512i b = _mm512_maskz_loadu_epi8(k, above + x);
        _mm512_mask_storeu_epi8(dst + x, k, _mm512_add_epi8(a, b));
    }
}

const rq_planes_kernels rq_planes_kernels_avx512 = {.sum = sum, .add = add};

#else
typedef int rq_no_avx512_here;
#endif
