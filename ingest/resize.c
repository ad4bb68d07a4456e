// SPDX-License-Identifier: Apache-2.0
// The reducing filter. Columns first, then rows, 8 bits in between: the order and the rounding
// of Pillow, since a value that overshoots is cut off at the same place. Columns are filtered
// for 16 rows at once, which are turned into lanes for it, so that both passes are plain loops
// over contiguous samples that a compiler turns into vector code.
#include "ingest/resize.h"

#include <math.h>
#include <string.h>

enum { BITS = 14, ONE = 1 << BITS, LANES = 16, TILE = 64 };

void rq_resize_fit(int width, int height, int long_side, int short_side, int *new_width,
                   int *new_height)
{
    const int64_t longer = width > height ? width : height;
    const int64_t shorter = width > height ? height : width;
    int64_t from = 1, to = 1;
    if (long_side > 0 && long_side < longer) {
        from = longer;
        to = long_side;
    } else if (short_side > 0 && short_side < shorter) {
        from = shorter;
        to = short_side;
    }
    const int w = (int)((width * to + from / 2) / from);
    const int h = (int)((height * to + from / 2) / from);
    *new_width = w > 0 ? w : 1;
    *new_height = h > 0 ? h : 1;
}

/* ---- weights ----------------------------------------------------------------------------- */

/* The weights of output o as integers that add up to ONE: what rounding leaves over goes to the
 * next one, so that a flat picture stays flat however many there are. */
static void quantise(int16_t *w, const rq_axis *a, int o)
{
    double sum = 0;
    int given = 0;
    for (int t = 0; t < a->taps; t++) {
        sum += (double)a->weight[(size_t)t * (size_t)a->outputs + (size_t)o] * ONE;
        w[t] = (int16_t)((int)lrint(sum) - given);
        given += w[t];
    }
}

/* Direction d: `outputs` samples, `step` source samples apart, from `window` of them. */
static rq_status build_weights(rq_resizer *r, int d, int window, int outputs, double step,
                               rq_err *err)
{
    const rq_span span = {0, step * outputs, window};
    RQ_TRY(rq_axis_build(&r->axis, RQ_FILTER_BICUBIC, true, span, outputs, false, err));
    const size_t taps = (size_t)r->axis.taps;
    size_t weights;
    if (!rq_mul_size(&weights, taps, (size_t)outputs))
        return rq_fail(err, RQ_LIMIT, "resize: %d outputs are too many", outputs);
    RQ_TRY(
        rq_grow((void **)&r->weight[d], &r->weight_cap[d], weights, sizeof *r->weight[d], err));
    RQ_TRY(rq_grow((void **)&r->first[d], &r->first_cap[d], (size_t)outputs,
                   sizeof *r->first[d], err));
    memcpy(r->first[d], r->axis.first, (size_t)outputs * sizeof *r->first[d]);
    for (int o = 0; o < outputs; o++)
        quantise(r->weight[d] + (size_t)o * taps, &r->axis, o);
    return RQ_OK;
}

/* ---- passes ------------------------------------------------------------------------------ */

static uint8_t to_level(int32_t sum)
{
    const int32_t v = sum >> BITS;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* strip[x][lane] = row y + lane, sample x; rows past the last one repeat it. */
static void turn_rows(int16_t *strip, const rq_plane *src, int y)
{
    for (int lane = 0; lane < LANES; lane++) {
        const int row = y + lane < src->height ? y + lane : src->height - 1;
        const uint8_t *from = src->data + (size_t)row * src->stride;
        for (int x = 0; x < src->width; x++)
            strip[(size_t)x * LANES + (size_t)lane] = from[x];
    }
}

/* Columns: src to r->narrow[src height][outputs]. */
static rq_status filter_columns(rq_resizer *r, const rq_plane *src, int outputs, int taps,
                                rq_err *err)
{
    const size_t n = (size_t)outputs, rows = (size_t)src->height;
    RQ_TRY(rq_grow((void **)&r->strip, &r->strip_cap, (size_t)src->width * LANES,
                   sizeof *r->strip, err));
    RQ_TRY(rq_grow((void **)&r->narrow, &r->narrow_cap, rows * n, 1, err));
    for (int y = 0; y < src->height; y += LANES) {
        const int live = src->height - y < LANES ? src->height - y : LANES;
        turn_rows(r->strip, src, y);
        for (size_t o = 0; o < n; o++) {
            const int16_t *s = r->strip + (size_t)r->first[0][o] * LANES;
            const int16_t *w = r->weight[0] + o * (size_t)taps;
            int32_t sum[LANES];
            for (int l = 0; l < LANES; l++)
                sum[l] = ONE / 2;
            for (int t = 0; t < taps; t++, s += LANES)
                for (int l = 0; l < LANES; l++)
                    sum[l] += (int32_t)w[t] * s[l];
            for (int l = 0; l < live; l++)
                r->narrow[(size_t)(y + l) * n + o] = to_level(sum[l]);
        }
    }
    return RQ_OK;
}

/* Rows: r->narrow to dst. */
static void filter_rows(const rq_resizer *r, const rq_plane *dst, int taps)
{
    const size_t n = (size_t)dst->width;
    for (int y = 0; y < dst->height; y++) {
        const uint8_t *src = r->narrow + (size_t)r->first[1][y] * n;
        const int16_t *w = r->weight[1] + (size_t)y * (size_t)taps;
        uint8_t *out = dst->data + (size_t)y * dst->stride;
        for (size_t x = 0; x < n; x += TILE) {
            const size_t live = n - x < TILE ? n - x : TILE;
            int32_t sum[TILE];
            for (size_t i = 0; i < TILE; i++)
                sum[i] = ONE / 2;
            for (int t = 0; t < taps; t++) {
                const uint8_t *row = src + (size_t)t * n + x;
                const int16_t weight = w[t];
                for (size_t i = 0; i < live; i++)
                    sum[i] += (int32_t)weight * (int16_t)row[i];
            }
            for (size_t i = 0; i < live; i++)
                out[x + i] = to_level(sum[i]);
        }
    }
}

/* step_x, step_y: source samples from one output to the next. */
static rq_status resize_plane(rq_resizer *r, const rq_plane *src, const rq_plane *dst,
                              double step_x, double step_y, rq_err *err)
{
    if (src->width == dst->width && src->height == dst->height && step_x == 1 && step_y == 1) {
        for (int y = 0; y < dst->height; y++)
            memcpy(dst->data + (size_t)y * dst->stride, src->data + (size_t)y * src->stride,
                   (size_t)dst->width);
        return RQ_OK;
    }
    RQ_TRY(build_weights(r, 0, src->width, dst->width, step_x, err));
    RQ_TRY(filter_columns(r, src, dst->width, r->axis.taps, err));
    RQ_TRY(build_weights(r, 1, src->height, dst->height, step_y, err));
    filter_rows(r, dst, r->axis.taps);
    return RQ_OK;
}

rq_status rq_image_resize(rq_resizer *r, const rq_image *src, int width, int height, int sub_x,
                          int sub_y, rq_image *dst, rq_err *err)
{
    if (width < 1 || height < 1 || width > src->width || height > src->height ||
        (src->pixels != RQ_PIXELS_YCBCR && (sub_x != 1 || sub_y != 1)))
        return rq_fail(err, RQ_INVALID_ARG,
                       "a picture of %d x %d pixels cannot be reduced to %d x %d", src->width,
                       src->height, width, height);
    RQ_TRY(rq_image_shape(dst, src->pixels, width, height, sub_x, sub_y, 32, err));
    const double step_x = (double)src->width / width, step_y = (double)src->height / height;
    for (int i = 0; i < rq_pixels_planes(src->pixels); i++) {
        const double chroma_x = i == 0 ? 1 : (double)sub_x / src->sub_x;
        const double chroma_y = i == 0 ? 1 : (double)sub_y / src->sub_y;
        RQ_TRY(resize_plane(r, &src->plane[i], &dst->plane[i], step_x * chroma_x,
                            step_y * chroma_y, err));
    }
    return RQ_OK;
}

void rq_resizer_free(rq_resizer *r)
{
    rq_axis_free(&r->axis);
    for (int d = 0; d < 2; d++) {
        rq_free(r->weight[d]);
        rq_free(r->first[d]);
    }
    rq_free(r->strip);
    rq_free(r->narrow);
    *r = (rq_resizer){0};
}
