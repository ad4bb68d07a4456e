/* The pixel kernels behind a table of functions, so that versions for particular CPUs can
 * replace the C ones entry by entry. Every version gives the bits of the C version: the order
 * of additions below is part of the contract, and nothing is contracted to fused operations.
 *
 * Working pictures are planar float, `n` samples a plane, values in [0, 1] once they are RGB.
 * Kernels do not allocate, use no library function whose result may vary, and may run on any
 * thread. Pointers need
 * no alignment; planes do not overlap unless the same pointer is given. */
#ifndef RQ_AUGMENT_KERNELS_H
#define RQ_AUGMENT_KERNELS_H

#include <stddef.h>
#include <stdint.h>

enum { RQ_SUM_LANES = 16, RQ_BLUR_MAX_RADIUS = 1024 / 20 };

typedef struct rq_kernels {
    /* dst[x] = sum over t ascending of weights[t] * rows[t][x]; taps >= 1. */
    void (*resize_v)(float *dst, const uint8_t *const *rows, const float *weights, int taps,
                     int n);
    /* dst[o] = sum over t ascending of weights[t * n + o] * src[first[o] + t]; taps >= 1. */
    void (*resize_h)(float *dst, const float *src, const int32_t *first, const float *weights,
                     int taps, int n);
    /* dst[x] = src[x] where the mask is above `threshold`, else fill. The mask at x is linear
     * between mask[first[x]] and mask[first[x] + 1]: a + (b - a) * frac[x]. */
    void (*mask_row)(uint8_t *dst, const uint8_t *src, const float *mask, const int32_t *first,
                     const float *frac, float threshold, uint8_t fill, int n);

    /* YCbCr of 0..255 (JFIF: BT.601, full range) to RGB in [0, 1], in place. */
    void (*ycc_to_rgb)(float *y_r, float *cb_g, float *cr_b, size_t n);
    /* 0..255 to [0, 1], in place. */
    void (*to_unit)(float *x, size_t n);
    void (*brightness)(float *x, size_t n, float delta); /* x + delta, clipped */
    /* Sum in double: lane i % RQ_SUM_LANES takes x[i]; then the lanes in ascending order. */
    double (*sum)(const float *x, size_t n);
    void (*contrast)(float *x, size_t n, float mean, float factor);           /* clipped */
    void (*saturation)(float *r, float *g, float *b, size_t n, float factor); /* clipped */
    void (*hue)(float *r, float *g, float *b, size_t n, float turns); /* |turns| <= 0.5 */
    void (*gray)(float *r, float *g, float *b, size_t n);
    /* Separable, symmetric, zeros outside: vertical, then horizontal; each sum is w[0] * x
     * plus, k ascending, w[k] * (x[-k] + x[+k]). row: scratch of size + 2 * radius floats;
     * zero: `size` zeros. dst is not src. */
    void (*blur)(float *dst, const float *src, int size, const float *w, int radius, float *row,
                 const float *zero);
    void (*solarize)(float *x, size_t n, float threshold);
    /* dst[i][3] = x * 255, rounded to nearest. */
    void (*store)(uint8_t *dst, const float *r, const float *g, const float *b, size_t n);
} rq_kernels;

/* The best versions among RQ_CPU_ flags; so far the C ones for every set. */
void rq_kernels_init(rq_kernels *k, unsigned cpu_flags);

/* Half of a normalised Gaussian, w[0..radius], computed in double. Returns the radius in
 * effect: outer taps below 2^-26 are left out, they cannot move a byte. */
int rq_blur_weights(float *w, int radius, float sigma);

#endif
