/* The pixel kernels behind a table of functions: plain C, AVX2 and AVX-512, with equal bits.
 *
 * Numbers are 16-bit fixed point and every intermediate result is defined to the bit, so no
 * version depends on the order of additions; the C version is the definition. Samples of a
 * working picture count 64 units to a level: 0 is black, RQ_WHITE is white, and a colour kernel
 * takes and leaves values in between. `mulhrs(a, b)` below is (a * b + 2^14) >> 15.
 *
 * Kernels do not allocate and may run on any thread. Pointers need no alignment; planes do not
 * overlap unless the same pointer is given. */
#ifndef RQ_AUGMENT_KERNELS_H
#define RQ_AUGMENT_KERNELS_H

#include "augment/taps.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RQ_LEVEL = 64,
    RQ_WHITE = 255 * RQ_LEVEL,
    RQ_BLUR_MAX_RADIUS = 1024 / 20,
    RQ_MASK_SLACK = 33
};

/* Rows of a picture between the two parts of a resize: row y stands at (y & mask) * stride. */
typedef struct rq_ring {
    int16_t *rows;
    size_t stride, mask;
} rq_ring;

/* What is done to the colours of a pixel; the results are clipped to black and white. */
typedef enum rq_step_op {
    RQ_STEP_YCC,        /* what resize_h gave of Y, Cb, Cr (JFIF: BT.601, full range) to RGB */
    RQ_STEP_RECENTRE,   /* what resize_h gave of other planes: 128 levels are added back */
    RQ_STEP_BRIGHTNESS, /* x + a[0] */
    /* a[c] + mulhrs(2 * (x - a[c]), factor), a[c] being the mean of channel c */
    RQ_STEP_CONTRAST,
    RQ_STEP_SATURATION, /* S of HSV times the factor, at most 1 */
    RQ_STEP_HUE,        /* H of HSV plus a[0] / 2^15 sixths of a turn, |a[0]| < 2^15 */
    RQ_STEP_TURN,       /* H plus a third of a turn */
    RQ_STEP_GRAY,       /* all channels become luma */
    RQ_STEP_SOLARIZE,   /* white - x unless x < a[0] */
    /* a[i] + sum over j of m[i][j] * channel j, rounded; 2^RQ_MATRIX_BITS is one */
    RQ_STEP_MATRIX
} rq_step_op;

typedef struct rq_step {
    rq_step_op op;
    int half; /* half a factor, 2^15 is one: factors of 0 to 2 */
    int a[3];
    int16_t m[3][3];
} rq_step;

enum { RQ_MAX_STEPS = 12, RQ_MATRIX_BITS = 12 };

typedef struct rq_kernels {
    /* The horizontal part of a resize, `rows` rows of t's outputs: the sum of weight * sample,
     * minus 128 levels, in units of 1/128 level, rounded. Reads t->window samples of a row at
     * most. */
    void (*resize_h)(int16_t *dst, size_t dst_stride, const uint8_t *src, size_t src_stride,
                     int rows, const rq_taps *t);
    /* The vertical part, output row `o` of t: dst[x] = sum of weight * what resize_h gave in
     * units of 1/64 level, rounded, still minus 128 levels. */
    void (*resize_v)(int16_t *dst, const rq_ring *ring, const rq_taps *t, int o, int n);
    /* dst[x] = 255 where the mask is above `threshold`, else 0. The mask at x is linear between
     * mask[first[x]] and mask[first[x] + 1]: a + (b - a) * frac[x], in float. `first` does not
     * fall; RQ_MASK_SLACK floats behind the last one used may be read. */
    void (*mask_row)(uint8_t *dst, const float *mask, const int32_t *first, const float *frac,
                     float threshold, int n);
    /* dst[x] = src[x] where front[x] is 255, fill where it is 0. */
    void (*cut_row)(uint8_t *dst, const uint8_t *src, const uint8_t *front, uint8_t fill,
                    int n);

    /* Takes n pixels through steps, in place. The channels may all be the same one. sum, unless
     * NULL: the sums of what came out are added. */
    void (*colour)(int16_t *const x[3], size_t n, const rq_step *steps, int count,
                   int64_t sum[3]);
    /* dst[x] = src[x / 2]. */
    void (*spread)(int16_t *dst, const int16_t *src, int n);
    uint64_t (*sum_bytes)(const uint8_t *src, int n);
    /* One direction of a symmetric blur: dst[x] = mulhrs(centre[x], w[0]) plus, for k up to
     * radius, mulhrs(low[k][x] + high[k][x], w[k]). dst is none of the sources. */
    void (*blur_line)(int16_t *dst, const int16_t *centre, const int16_t *const *low,
                      const int16_t *const *high, const int16_t *w, int radius, int n);
    /* dst[i][3], rounded to levels and clipped. past: dst is large and will not be read soon,
     * so it may be written past the caches. */
    void (*store)(uint8_t *dst, const int16_t *r, const int16_t *g, const int16_t *b, size_t n,
                  bool past);
} rq_kernels;

/* The best versions among RQ_CPU_ flags that this machine has. */
void rq_kernels_init(rq_kernels *k, unsigned cpu_flags);

/* Half of a normalised Gaussian as integers, w[0] + 2 * (w[1] + .. + w[radius]) = 2^15. Returns
 * the radius in effect: outer taps below 2^-13 are left out, in each direction they carry
 * 1/20 of a level at most for a sigma up to 2, and 1/5 for the largest. 0: the blur changes
 * nothing, w is not set. */
int rq_blur_weights(int16_t *w, int radius, float sigma);

/* Versions of the table, each over what is there already. Internal to rq_kernels_init. */
void rq_kernels_add_c(rq_kernels *k);
void rq_kernels_add_avx2(rq_kernels *k);
void rq_kernels_add_avx512(rq_kernels *k);

#endif
