// SPDX-License-Identifier: Apache-2.0
//
// Integer filter weights. A view needs four axes of a few hundred outputs, and computing cubic
// polynomials for each would cost more than the resize; the cubic without antialiasing is
// defined by a table of 1024 steps anyway, so its weights are looked up ready-made, and only
// outputs at the window's border are worked out.
#include "augment/taps.h"

#include <math.h>
#include <string.h>

enum { CUBIC_TAPS = 4 };

static int16_t low_of(uint32_t pair)
{
    return (int16_t)(uint16_t)pair;
}

static int16_t high_of(uint32_t pair)
{
    return (int16_t)(uint16_t)(pair >> 16);
}

static uint32_t pair_of(int a, int b)
{
    return (uint32_t)(uint16_t)a | (uint32_t)(uint16_t)b << 16;
}

/* Weights that sum to about `total` to integers that sum to one. */
static void quantise(int *q, const double *w, int n, double total)
{
    int sum = 0, largest = 0;
    for (int i = 0; i < n; i++) {
        q[i] = (int)rint(w[i] / total * RQ_TAPS_ONE);
        sum += q[i];
        if (q[i] > q[largest])
            largest = i;
    }
    q[largest] += RQ_TAPS_ONE - sum;
}

rq_status rq_cubic_init(rq_cubic *c, rq_err *err)
{
    // Outputs 1 / 1024 sample apart, in the middle of a window of four samples.
    const double step = 1.0 / RQ_CUBIC_STEPS;
    const rq_span span = {1.5 - step / 2, 1, CUBIC_TAPS};
    rq_axis a = {0};
    RQ_TRY(rq_axis_build(&a, RQ_FILTER_BICUBIC, false, span, RQ_CUBIC_STEPS, false, err));
    for (int s = 0; s < RQ_CUBIC_STEPS; s++) {
        double w[CUBIC_TAPS];
        int q[CUBIC_TAPS];
        for (int i = 0; i < CUBIC_TAPS; i++)
            w[i] = (double)a.weight[(size_t)i * RQ_CUBIC_STEPS + (size_t)s];
        quantise(q, w, CUBIC_TAPS, 1);
        c->pair[s][0] = pair_of(q[0], q[1]);
        c->pair[s][1] = pair_of(q[2], q[3]);
    }
    rq_axis_free(&a);
    return RQ_OK;
}

static rq_status make_room(rq_taps *t, int taps, int outputs, rq_err *err)
{
    size_t n;
    t->taps = taps;
    t->pairs = (taps + 1) / 2;
    t->outputs = outputs;
    t->stride = (int)rq_round_up((size_t)outputs, RQ_TAPS_LANES);
    if (!rq_mul_size(&n, (size_t)t->pairs, (size_t)t->stride))
        return rq_fail(err, RQ_LIMIT, "resize: %d taps for %d outputs are too many", taps,
                       outputs);
    RQ_TRY(
        rq_grow((void **)&t->first, &t->first_cap, (size_t)t->stride, sizeof *t->first, err));
    RQ_TRY(rq_grow((void **)&t->low, &t->low_cap, (size_t)t->stride / RQ_TAPS_GROUP,
                   sizeof *t->low, err));
    return rq_grow((void **)&t->pair, &t->pair_cap, n, sizeof *t->pair, err);
}

/* Lanes behind the last output repeat its place with weight 0. */
static void pad(rq_taps *t)
{
    for (int o = t->outputs; o < t->stride; o++) {
        t->first[o] = t->first[t->outputs - 1];
        for (int k = 0; k < t->pairs; k++)
            t->pair[(size_t)k * (size_t)t->stride + (size_t)o] = 0;
    }
}

/* The four taps at `first` of which some lie outside the window: those inside share the weight,
 * and the four move inside. */
static void border(rq_taps *t, int o, int first, const uint32_t pair[2], int window)
{
    const int w[CUBIC_TAPS] = {low_of(pair[0]), high_of(pair[0]), low_of(pair[1]),
                               high_of(pair[1])};
    const int last = window - CUBIC_TAPS, to = first < 0 ? 0 : first > last ? last : first;
    double inside[CUBIC_TAPS] = {0}, total = 0;
    int q[CUBIC_TAPS];
    for (int i = 0; i < CUBIC_TAPS; i++)
        if (first + i >= 0 && first + i < window) {
            inside[first + i - to] = w[i];
            total += w[i];
        }
    quantise(q, inside, CUBIC_TAPS, total);
    t->first[o] = to;
    t->pair[o] = pair_of(q[0], q[1]);
    t->pair[t->stride + o] = pair_of(q[2], q[3]);
}

/* x to the nearest integer, halves to even, for |x| < 2^31. */
static int32_t nearest(double x)
{
    const double shifted = x + 0x1.8p52;
    int64_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    return (int32_t)bits;
}

static void from_table(rq_taps *t, const rq_cubic *c, rq_span span, bool flip)
{
    const double scale = span.length / t->outputs;
    const int last = span.window - CUBIC_TAPS;
    for (int o = 0; o < t->outputs; o++) {
        const double centre = span.start + (o + 0.5) * scale - 0.5;
        const int32_t place = nearest(centre * RQ_CUBIC_STEPS);
        const int first = (place >> 10) - 1, to = flip ? t->outputs - 1 - o : o;
        const uint32_t *pair = c->pair[place & (RQ_CUBIC_STEPS - 1)];
        if (first < 0 || first > last) {
            border(t, to, first, pair, span.window);
            continue;
        }
        t->first[to] = first;
        t->pair[to] = pair[0];
        t->pair[t->stride + to] = pair[1];
    }
}

static void from_axis(rq_taps *t)
{
    const rq_axis *a = &t->axis;
    const size_t outputs = (size_t)a->outputs, stride = (size_t)t->stride;
    for (size_t o = 0; o < outputs; o++) {
        int sum = 0, largest = 0, most = 0;
        t->first[o] = a->first[o];
        for (int i = 0; i < t->pairs * 2; i++) {
            const int q =
                i < a->taps
                    ? (int)rint((double)a->weight[(size_t)i * outputs + o] * RQ_TAPS_ONE)
                    : 0;
            uint32_t *pair = &t->pair[(size_t)(i / 2) * stride + o];
            *pair = i % 2 == 0 ? pair_of(q, 0) : *pair | pair_of(0, q);
            sum += q;
            if (q > most) {
                most = q;
                largest = i;
            }
        }
        uint32_t *pair = &t->pair[(size_t)(largest / 2) * stride + o];
        most += RQ_TAPS_ONE - sum;
        *pair = largest % 2 == 0 ? pair_of(most, high_of(*pair)) : pair_of(low_of(*pair), most);
    }
}

rq_status rq_taps_build(rq_taps *t, const rq_cubic *c, rq_filter filter, bool antialias,
                        rq_span span, int outputs, bool flip, rq_err *err)
{
    const bool wide = antialias && span.length > outputs;
    if (filter == RQ_FILTER_BICUBIC && !wide && span.window >= CUBIC_TAPS) {
        RQ_TRY(make_room(t, CUBIC_TAPS, outputs, err));
        from_table(t, c, span, flip);
    } else {
        RQ_TRY(rq_axis_build(&t->axis, filter, antialias, span, outputs, flip, err));
        RQ_TRY(make_room(t, t->axis.taps, outputs, err));
        from_axis(t);
    }
    pad(t);
    rq_taps_group(t);
    return RQ_OK;
}

void rq_taps_group(rq_taps *t)
{
    t->span = 0;
    for (int o = 0; o < t->stride; o += RQ_TAPS_GROUP) {
        int low = t->first[o], high = low;
        for (int i = 1; i < RQ_TAPS_GROUP; i++) {
            const int at = t->first[o + i];
            low = at < low ? at : low;
            high = at > high ? at : high;
        }
        t->low[o / RQ_TAPS_GROUP] = low;
        if (high - low + 1 > t->span)
            t->span = high - low + 1;
    }
}

void rq_taps_free(rq_taps *t)
{
    rq_free(t->first);
    rq_free(t->low);
    rq_free(t->pair);
    rq_axis_free(&t->axis);
    *t = (rq_taps){0};
}
