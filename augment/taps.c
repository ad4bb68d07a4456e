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

static int unit_taps(rq_direction d)
{
    return d == RQ_ACROSS ? 4 : 2;
}

static int one_of(rq_direction d)
{
    return 1 << (d == RQ_ACROSS ? RQ_ACROSS_BITS : RQ_DOWN_BITS);
}

/* The two words that hold four weights, and back. */
static void encode(uint32_t word[2], rq_direction d, const int q[4])
{
    word[0] = word[1] = 0;
    if (d == RQ_DOWN) {
        for (int i = 0; i < 4; i++)
            word[i / 2] |= (uint32_t)(uint16_t)q[i] << (16 * (i % 2));
        return;
    }
    for (int i = 0; i < 4; i++) {
        const int high = (q[i] + 64) >> 7, low = q[i] - high * 128;
        word[0] |= (uint32_t)(uint8_t)high << (8 * i);
        word[1] |= (uint32_t)(uint8_t)low << (8 * i);
    }
}

static int decode(const uint32_t word[2], rq_direction d, int tap)
{
    if (d == RQ_DOWN)
        return (int16_t)(uint16_t)(word[tap / 2] >> (16 * (tap % 2)));
    return (int8_t)(uint8_t)(word[0] >> (8 * tap)) * 128 +
           (int8_t)(uint8_t)(word[1] >> (8 * tap));
}

/* Where word `i` of an output stands: four taps have two, the last taps of a column may have
 * one. */
static size_t place_of(const rq_taps *t, int o, int i)
{
    return t->direction == RQ_ACROSS ? (size_t)i * (size_t)t->stride + (size_t)o
                                     : (size_t)o * (size_t)t->units + (size_t)i;
}

static int words_of(const rq_taps *t)
{
    return t->direction == RQ_ACROSS ? 2 * t->units : t->units;
}

int rq_taps_weight(const rq_taps *t, int output, int tap)
{
    const int i = tap / 4 * 2, words = words_of(t);
    const uint32_t word[2] = {t->weight[place_of(t, output, i)],
                              i + 1 < words ? t->weight[place_of(t, output, i + 1)] : 0};
    return decode(word, t->direction, tap % 4);
}

/* Weights that sum to about `total` to integers that sum to `one`. */
static void quantise(int *q, const double *w, int n, double total, int one)
{
    int sum = 0, largest = 0;
    for (int i = 0; i < n; i++) {
        q[i] = (int)rint(w[i] / total * one);
        sum += q[i];
        if (q[i] > q[largest])
            largest = i;
    }
    q[largest] += one - sum;
}

rq_status rq_cubic_init(rq_cubic *c, rq_err *err)
{
    // Outputs 1 / 1024 sample apart, in the middle of a window of four samples.
    const double step = 1.0 / RQ_CUBIC_STEPS;
    const rq_span span = {1.5 - step / 2, 1, CUBIC_TAPS};
    rq_axis a = {0};
    const rq_status st =
        rq_axis_build(&a, RQ_FILTER_BICUBIC, false, span, RQ_CUBIC_STEPS, false, err);
    for (int s = 0; st == RQ_OK && s < RQ_CUBIC_STEPS; s++) {
        double w[CUBIC_TAPS];
        int q[CUBIC_TAPS];
        for (int i = 0; i < CUBIC_TAPS; i++)
            w[i] = (double)a.weight[(size_t)i * RQ_CUBIC_STEPS + (size_t)s];
        quantise(q, w, CUBIC_TAPS, 1, one_of(RQ_ACROSS));
        encode(c->weight[RQ_ACROSS][s], RQ_ACROSS, q);
        quantise(q, w, CUBIC_TAPS, 1, one_of(RQ_DOWN));
        encode(c->weight[RQ_DOWN][s], RQ_DOWN, q);
    }
    rq_axis_free(&a);
    return st;
}

static rq_status make_room(rq_taps *t, int taps, int outputs, rq_err *err)
{
    const int n = unit_taps(t->direction);
    size_t words;
    t->taps = taps;
    t->units = (taps + n - 1) / n;
    t->outputs = outputs;
    t->stride = (int)rq_round_up((size_t)outputs, RQ_TAPS_LANES);
    if (!rq_mul_size(&words, (size_t)t->units * 2, (size_t)t->stride))
        return rq_fail(err, RQ_LIMIT, "resize: %d taps for %d outputs are too many", taps,
                       outputs);
    RQ_TRY(
        rq_grow((void **)&t->first, &t->first_cap, (size_t)t->stride, sizeof *t->first, err));
    RQ_TRY(rq_grow((void **)&t->low, &t->low_cap, (size_t)t->stride / RQ_TAPS_GROUP,
                   sizeof *t->low, err));
    RQ_TRY(rq_grow((void **)&t->one, &t->one_cap, (size_t)(t->units * n) + 2, sizeof *t->one,
                   err));
    return rq_grow((void **)&t->weight, &t->weight_cap, words, sizeof *t->weight, err);
}

/* Lanes behind the last output repeat its place with weight 0, and groups learn their ends. */
static void finish(rq_taps *t)
{
    t->span = 0;
    for (int o = t->outputs; o < t->stride; o++) {
        t->first[o] = t->first[t->outputs - 1];
        for (int i = 0; i < words_of(t); i++)
            t->weight[place_of(t, o, i)] = 0;
    }
    for (int o = 0; o < t->stride; o += RQ_TAPS_GROUP) {
        const int a = t->first[o], b = t->first[o + RQ_TAPS_GROUP - 1];
        const int span = (a < b ? b - a : a - b) + unit_taps(t->direction) * t->units;
        t->low[o / RQ_TAPS_GROUP] = a < b ? a : b;
        t->span = span > t->span ? span : t->span;
    }
}

/* The four taps at `first` of which some lie outside the window: those inside share the weight,
 * and the four move inside. Returns the new first tap. */
static int border(uint32_t to[2], rq_direction d, const uint32_t from[2], int first, int window)
{
    const int last = window - CUBIC_TAPS, moved = first < 0 ? 0 : first > last ? last : first;
    double inside[CUBIC_TAPS] = {0}, total = 0;
    int q[CUBIC_TAPS];
    for (int i = 0; i < CUBIC_TAPS; i++)
        if (first + i >= 0 && first + i < window) {
            inside[first + i - moved] = decode(from, d, i);
            total += decode(from, d, i);
        }
    quantise(q, inside, CUBIC_TAPS, total, one_of(d));
    encode(to, d, q);
    return moved;
}

/* x to the nearest integer, halves to even, for |x| < 2^31. */
static inline int32_t nearest(double x)
{
    const double shifted = x + 0x1.8p52;
    int64_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    return (int32_t)bits;
}

/* Places of the outputs in steps of the table; first[] holds them until they are looked up. */
static void find_places(int32_t *restrict place, rq_span span, int outputs, bool flip)
{
    const double scale = span.length / outputs, start = span.start - 0.5;
    for (int o = 0; o < outputs; o++) {
        const int from = flip ? outputs - 1 - o : o;
        place[o] = nearest((start + (from + 0.5) * scale) * RQ_CUBIC_STEPS);
    }
}

static void from_table(rq_taps *t, const rq_cubic *c, rq_span span, bool flip)
{
    const unsigned last = (unsigned)(span.window - CUBIC_TAPS);
    // The two words of an output, and from one output to the next.
    const size_t second = t->direction == RQ_ACROSS ? (size_t)t->stride : 1,
                 next = t->direction == RQ_ACROSS ? 1 : 2;
    find_places(t->first, span, t->outputs, flip);
    uint32_t *to = t->weight;
    for (int o = 0; o < t->outputs; o++, to += next) {
        const int32_t place = t->first[o], first = (place >> 10) - 1;
        const uint32_t *from = c->weight[t->direction][place & (RQ_CUBIC_STEPS - 1)];
        uint32_t moved[2];
        t->first[o] = first;
        if ((unsigned)first > last) {
            t->first[o] = border(moved, t->direction, from, first, span.window);
            from = moved;
        }
        to[0] = from[0];
        to[second] = from[1];
    }
}

static void from_axis(rq_taps *t)
{
    const rq_axis *a = &t->axis;
    const int n = unit_taps(t->direction), whole = n * t->units, one = one_of(t->direction);
    for (int o = 0; o < a->outputs; o++) {
        // Moved to the left where the last unit would reach over the window's end.
        int first = a->first[o], sum = 0, largest = 0;
        if (first + whole > t->window)
            first = t->window > whole ? t->window - whole : 0;
        memset(t->one, 0, sizeof *t->one * (size_t)(whole + 2));
        for (int i = 0; i < a->taps; i++) {
            const float w = a->weight[(size_t)i * (size_t)a->outputs + (size_t)o];
            const int at = i + a->first[o] - first;
            t->one[at] = (int)rint((double)w * one);
            sum += t->one[at];
            if (t->one[at] > t->one[largest])
                largest = at;
        }
        t->one[largest] += one - sum;
        t->first[o] = first;
        for (int i = 0; i < words_of(t); i += 2) {
            uint32_t word[2];
            encode(word, t->direction, t->one + 2 * i);
            t->weight[place_of(t, o, i)] = word[0];
            if (i + 1 < words_of(t))
                t->weight[place_of(t, o, i + 1)] = word[1];
        }
    }
    if (whole <= t->window)
        t->taps = whole;
}

rq_status rq_taps_build(rq_taps *t, const rq_cubic *c, rq_direction direction, rq_filter filter,
                        bool antialias, rq_span span, int outputs, bool flip, rq_err *err)
{
    const bool wide = antialias && span.length > outputs;
    t->direction = direction;
    t->window = span.window;
    if (filter == RQ_FILTER_BICUBIC && !wide && span.window >= CUBIC_TAPS) {
        RQ_TRY(make_room(t, CUBIC_TAPS, outputs, err));
        from_table(t, c, span, flip);
    } else {
        RQ_TRY(rq_axis_build(&t->axis, filter, antialias, span, outputs, flip, err));
        RQ_TRY(make_room(t, t->axis.taps, outputs, err));
        from_axis(t);
    }
    finish(t);
    return RQ_OK;
}

void rq_taps_free(rq_taps *t)
{
    rq_free(t->first);
    rq_free(t->low);
    rq_free(t->weight);
    rq_free(t->one);
    rq_axis_free(&t->axis);
    *t = (rq_taps){0};
}
