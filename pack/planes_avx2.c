// SPDX-License-Identifier: Apache-2.0
// Running sums of bytes with AVX2: within each half by shifts, then the lower half's total to
// the upper one, then the total so far to all. Compiled for AVX2; called only where the CPU has
// it.
#ifdef __x86_64__

#include "pack/planes_kernels.h"

#include <immintrin.h>
#include <string.h>

static __m256i running_sum(__m256i v)
{
    v = _mm256_add_epi8(v, _mm256_bslli_epi128(v, 1));
    v = _mm256_add_epi8(v, _mm256_bslli_epi128(v, 2));
    v = _mm256_add_epi8(v, _mm256_bslli_epi128(v, 4));
    v = _mm256_add_epi8(v, _mm256_bslli_epi128(v, 8));
    // The lower half's last byte, in the upper half.
    const __m256i last = _mm256_shuffle_epi8(v, _mm256_set1_epi8(15));
    return _mm256_add_epi8(v, _mm256_permute2x128_si256(last, last, 0x08));
}

static __m256i last_byte(__m256i v)
{
    const __m256i last = _mm256_shuffle_epi8(v, _mm256_set1_epi8(15));
    return _mm256_permute2x128_si256(last, last, 0x11);
}

static void sum(uint8_t *dst, const uint8_t *src, const uint8_t *above, size_t n, uint8_t first)
{
    __m256i carry = _mm256_set1_epi8((char)first);
    for (size_t x = 0; x < n; x += 32) {
        uint8_t end[32] = {0};
        const uint8_t *from = src + x;
        if (n - x < 32)
            from = memcpy(end, src + x, n - x);
        __m256i v = _mm256_loadu_si256((const __m256i *)from);
        v = _mm256_add_epi8(running_sum(v), carry);
        carry = last_byte(v);
        if (above)
            v = _mm256_add_epi8(v, _mm256_loadu_si256((const __m256i *)(above + x)));
        _mm256_storeu_si256((__m256i *)(dst + x), v);
    }
}

static void add(uint8_t *dst, const uint8_t *src, const uint8_t *above, size_t n)
{
    size_t x = 0;
    for (; x + 32 <= n; x += 32) {
        const __m256i a = _mm256_loadu_si256((const __m256i *)(src + x));
        const __m256i b = _mm256_loadu_si256((const __m256i *)(above + x));
        _mm256_storeu_si256((__m256i *)(dst + x), _mm256_add_epi8(a, b));
    }
    for (; x < n; x++)
        dst[x] = (uint8_t)(src[x] + above[x]);
}

const rq_planes_kernels rq_planes_kernels_avx2 = {.sum = sum, .add = add};

#else
typedef int rq_no_avx2_here;
#endif
