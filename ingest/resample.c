// SPDX-License-Identifier: Apache-2.0
//
// Filter weights of a resize. Everything is computed in double and rounded to float once. Every
// output of an axis has the same number of taps, those that fall outside the window with weight
// 0, so that the kernels need no border cases.
#include "ingest/resample.h"

#include <math.h>

enum { TABLE_STEPS = 1024 };

static double keys_cubic(double x)
{
    const double a = -0.5, t = fabs(x);
    if (t < 1)
        return ((a + 2) * t - (a + 3)) * t * t + 1;
    if (t < 2)
        return ((a * t - 5 * a) * t + 8 * a) * t - 4 * a;
    return 0;
}

static double triangle(double x)
{
    const double t = fabs(x);
    return t < 1 ? 1 - t : 0;
}

/* Where the taps of one output lie: [first, first + n) of the window; weights go to w. */
typedef struct taps {
    int first, n;
} taps;

/* `centre` is the output's place in sample indices. Fills w[0..n) with weights that sum to 1.
 */
static taps plain_taps(double *w, rq_filter filter, double centre, int window)
{
    const int reach = filter == RQ_FILTER_BICUBIC ? 2 : 1;
    const double base = floor(centre);
    double delta = centre - base;
    if (filter == RQ_FILTER_BICUBIC)
        delta = rint(delta * TABLE_STEPS) / TABLE_STEPS;
    taps t = {.first = -1};
    double sum = 0;
    for (int k = 1 - reach; k <= reach; k++) {
        const int at = (int)base + k;
        if (at < 0 || at >= window)
            continue;
        if (t.n == 0)
            t.first = at;
        w[t.n] = filter == RQ_FILTER_BICUBIC ? keys_cubic(delta - k) : triangle(delta - k);
        sum += w[t.n++];
    }
    for (int i = 0; i < t.n; i++)
        w[i] /= sum;
    return t;
}

static taps wide_taps(double *w, rq_filter filter, double centre, double widen, int window)
{
    const double support = (filter == RQ_FILTER_BICUBIC ? 2 : 1) * widen;
    const double low = floor(centre + 0.5 - support + 0.5),
                 high = floor(centre + 0.5 + support + 0.5);
    const int first = low < 0 ? 0 : (int)low, end = high > window ? window : (int)high;
    double sum = 0;
    for (int i = first; i < end; i++) {
        const double x = (i - centre) / widen;
        w[i - first] = filter == RQ_FILTER_BICUBIC ? keys_cubic(x) : triangle(x);
        sum += w[i - first];
    }
    for (int i = first; i < end; i++)
        w[i - first] /= sum;
    return (taps){first, end - first};
}

static int most_taps(rq_filter filter, double widen, int window)
{
    const double support = (filter == RQ_FILTER_BICUBIC ? 2 : 1) * widen;
    const double n = widen > 1 ? 2 * ceil(support) + 1 : 2 * support;
    return n < window ? (int)n : window;
}

static rq_status make_room(rq_axis *a, rq_err *err)
{
    const size_t outputs = (size_t)a->outputs, n = (size_t)a->taps;
    size_t weights;
    if (!rq_mul_size(&weights, outputs, n))
        return rq_fail(err, RQ_LIMIT, "resize: %d taps for %d outputs are too many", a->taps,
                       a->outputs);
    RQ_TRY(rq_grow((void **)&a->first, &a->first_cap, outputs, sizeof *a->first, err));
    RQ_TRY(rq_grow((void **)&a->one, &a->one_cap, n + 4, sizeof *a->one, err));
    return rq_grow((void **)&a->weight, &a->weight_cap, weights, sizeof *a->weight, err);
}

rq_status rq_axis_build(rq_axis *a, rq_filter filter, bool antialias, rq_span span, int outputs,
                        bool flip, rq_err *err)
{
    const double scale = span.length / outputs, widen = antialias && scale > 1 ? scale : 1;
    a->outputs = outputs;
    a->taps = most_taps(filter, widen, span.window);
    RQ_TRY(make_room(a, err));
    for (int o = 0; o < outputs; o++) {
        const double centre = span.start + (o + 0.5) * scale - 0.5;
        const taps t = widen > 1 ? wide_taps(a->one, filter, centre, widen, span.window)
                                 : plain_taps(a->one, filter, centre, span.window);
        const int last = span.window - a->taps, to = flip ? outputs - 1 - o : o;
        const int first = t.first < last ? t.first : last;
        a->first[to] = first;
        for (int i = 0; i < a->taps; i++) {
            const int from = first + i - t.first;
            a->weight[(size_t)i * (size_t)outputs + (size_t)to] =
                from >= 0 && from < t.n ? (float)a->one[from] : 0.0f;
        }
    }
    return RQ_OK;
}

void rq_axis_free(rq_axis *a)
{
    rq_free(a->first);
    rq_free(a->weight);
    rq_free(a->one);
    *a = (rq_axis){0};
}
