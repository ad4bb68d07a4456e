/* The inner loops of `raw` decoding behind a table of functions. Every version gives the bytes
 * of the C version. Private to pack/. */
#ifndef RQ_PACK_PLANES_KERNELS_H
#define RQ_PACK_PLANES_KERNELS_H

#include <stddef.h>
#include <stdint.h>

typedef struct rq_planes_kernels {
    /* dst[i] = first + src[0] + ... + src[i], plus above[i] when there is a row above; modulo
     * 256. May write, but never reads, up to 63 bytes behind the n of dst; `above` may be read
     * as far, src not. */
    void (*sum)(uint8_t *dst, const uint8_t *src, const uint8_t *above, size_t n,
                uint8_t first);
    /* dst[i] = src[i] + above[i]; dst may be src or above. Touches n bytes only. */
    void (*add)(uint8_t *dst, const uint8_t *src, const uint8_t *above, size_t n);
} rq_planes_kernels;

extern const rq_planes_kernels rq_planes_kernels_c;
#ifdef __x86_64__
extern const rq_planes_kernels rq_planes_kernels_avx2, rq_planes_kernels_avx512;
#endif

#endif
