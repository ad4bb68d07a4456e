// SPDX-License-Identifier: Apache-2.0
//
// Counting. Shorter sides are counted one by one, so that the median is exact; aspect ratio and
// file size go to bins of equal width in log2, the ratio's centred on 1:1.
#include "tools/ingest_stats.h"

#include "common/mem.h"
#include "ingest/orient.h"

#include <math.h>
#include <string.h>

enum { MAX_CLASSES = 1 << 20 };

rq_status rq_ingest_stats_init(rq_ingest_stats *s, rq_err *err)
{
    memset(s, 0, sizeof *s);
    s->side = (rq_bins){.first = 4, .step = 0.25, .n = 40};              /* 16 to 16,384 */
    s->aspect = (rq_bins){.first = -2 - 0.0625, .step = 0.125, .n = 33}; /* 1:4 to 4:1 */
    s->bytes = (rq_bins){.first = 8, .step = 0.5, .n = 36};              /* 256 to 64 Mi */
    s->sides = rq_calloc(RQ_SIDES, sizeof *s->sides);
    return s->sides != NULL ? RQ_OK : rq_fail(err, RQ_OOM, "out of memory for the statistics");
}

void rq_ingest_stats_free(rq_ingest_stats *s)
{
    for (size_t i = 0; i < s->n_classes; i++)
        rq_free(s->classes[i].name);
    rq_free(s->classes);
    rq_free(s->sides);
    memset(s, 0, sizeof *s);
}

static void count(rq_bins *b, double value)
{
    const double at = floor((log2(value) - b->first) / b->step);
    const int i = at < 0 ? 0 : at >= b->n ? b->n - 1 : (int)at;
    b->count[i]++;
}

rq_status rq_ingest_stats_classes(rq_ingest_stats *s, int classes, rq_err *err)
{
    if (classes < 0 || classes > MAX_CLASSES || (size_t)classes <= s->n_classes)
        return RQ_OK;
    const size_t n = (size_t)classes;
    void *grown = s->classes;
    const rq_status st = rq_grow(&grown, &s->class_cap, n, sizeof *s->classes, err);
    s->classes = grown;
    RQ_TRY(st);
    memset(s->classes + s->n_classes, 0, (n - s->n_classes) * sizeof *s->classes);
    s->n_classes = n;
    return RQ_OK;
}

/* Also a class of which nothing is kept has its name. */
static rq_status count_class(rq_ingest_stats *s, const rq_report_entry *e, bool kept,
                             rq_err *err)
{
    if (e->label < 0 || e->label >= MAX_CLASSES)
        return RQ_OK;
    RQ_TRY(rq_ingest_stats_classes(s, e->label + 1, err));
    rq_class_stats *c = &s->classes[e->label];
    c->images += kept;
    if (c->name != NULL || e->class_name == NULL)
        return RQ_OK;
    c->name = rq_strdup(e->class_name);
    return c->name != NULL ? RQ_OK : rq_fail(err, RQ_OOM, "out of memory for class names");
}

rq_status rq_ingest_stats_add(rq_ingest_stats *s, const rq_report_entry *e, rq_err *err)
{
    const bool swapped =
        (e->info.notes & RQ_NOTE_TURNED) != 0 && rq_orientation_swaps(e->info.orientation);
    const int w = swapped ? e->info.height : e->info.width;
    const int h = swapped ? e->info.width : e->info.height;
    s->codecs[e->info.codec]++;
    if (e->verdict.kind == RQ_VERDICT_REJECTED) {
        s->errors[e->verdict.status]++;
        return count_class(s, e, false, err);
    }
    s->colors[e->info.color]++;
    for (int i = 0; i < RQ_NOTE_BITS; i++)
        s->notes[i] += e->info.notes >> i & 1;
    if (e->dropped || w <= 0 || h <= 0)
        return count_class(s, e, false, err);
    s->kept++;
    s->landscape += w > h;
    s->portrait += h > w;
    const int side = w < h ? w : h;
    s->sides[side < RQ_SIDES ? side : RQ_SIDES - 1]++;
    count(&s->side, side);
    count(&s->aspect, (double)w / h);
    count(&s->bytes, e->bytes > 0 ? (double)e->bytes : 1);
    return count_class(s, e, true, err);
}

int rq_ingest_stats_side(const rq_ingest_stats *s, double share)
{
    const double wanted = share * (double)s->kept;
    uint64_t sum = 0;
    for (int i = 0; i < RQ_SIDES; i++) {
        sum += s->sides[i];
        if (sum > 0 && (double)sum >= wanted)
            return i;
    }
    return 0;
}
