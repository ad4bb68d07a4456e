// SPDX-License-Identifier: Apache-2.0
//
// Metrics as curves. The reader knows no field but "step": whatever number a run writes becomes
// a curve, so a new metric shows up in the report without a change here. Runs are killed and
// resumed, so the text is taken as it is: torn, repeated, with lines that do not parse.
#include "tools/curves.h"

#include "common/file.h"
#include "common/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_FILE_BYTES = 1 << 30 };

const rq_curve *rq_curves_find(const rq_curves *c, const char *name)
{
    for (size_t i = 0; i < c->n; i++)
        if (strcmp(c->curve[i].name, name) == 0)
            return &c->curve[i];
    return NULL;
}

/* *out stays NULL when there are as many curves as are kept. */
static rq_status find_or_add(rq_curves *c, const char *name, rq_curve **out, rq_err *err)
{
    *out = (rq_curve *)rq_curves_find(c, name);
    if (*out != NULL || c->n == RQ_CURVES_MAX)
        return RQ_OK;
    if (c->curve == NULL) {
        c->curve = rq_calloc(RQ_CURVES_MAX, sizeof *c->curve);
        if (c->curve == NULL)
            return rq_fail(err, RQ_OOM, "out of memory for the curves of a report");
    }
    *out = &c->curve[c->n++];
    snprintf((*out)->name, sizeof(*out)->name, "%s", name);
    return RQ_OK;
}

static rq_status add_point(rq_curves *c, const char *name, double x, double y, rq_err *err)
{
    rq_curve *curve = NULL;
    if (!isfinite(x) || !isfinite(y))
        return RQ_OK;
    RQ_TRY(find_or_add(c, name, &curve, err));
    if (curve == NULL)
        return RQ_OK;
    while (curve->n > 0 && curve->x[curve->n - 1] >= x)
        curve->n--;
    RQ_TRY(rq_grow((void **)&curve->x, &curve->x_cap, curve->n + 1, sizeof(double), err));
    RQ_TRY(rq_grow((void **)&curve->y, &curve->y_cap, curve->n + 1, sizeof(double), err));
    curve->x[curve->n] = x;
    curve->y[curve->n] = y;
    curve->n++;
    return RQ_OK;
}

static rq_status add_object(rq_curves *c, const cJSON *object, const char *prefix, double x,
                            rq_err *err)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, object)
    {
        char name[RQ_CURVE_NAME_BYTES];
        const int n =
            snprintf(name, sizeof name, "%s%s%s", prefix, *prefix ? "." : "", item->string);
        if (n < 0 || (size_t)n >= sizeof name)
            continue;
        if (cJSON_IsNumber(item))
            RQ_TRY(add_point(c, name, x, item->valuedouble, err));
        else if (cJSON_IsObject(item) && *prefix == '\0')
            RQ_TRY(add_object(c, item, name, x, err));
    }
    return RQ_OK;
}

static rq_status add_line(rq_curves *c, const char *line, size_t bytes, bool complete,
                          rq_err *err)
{
    cJSON *json = NULL;
    const rq_status parsed = rq_json_parse(&json, line, bytes, "a line of metrics", NULL);
    if (parsed == RQ_OOM)
        return rq_fail(err, RQ_OOM, "out of memory for a line of metrics");
    if (parsed != RQ_OK || !cJSON_IsObject(json)) {
        c->torn |= !complete;
        c->bad_lines += complete;
        cJSON_Delete(json);
        return RQ_OK;
    }
    c->lines++;
    const cJSON *step = cJSON_GetObjectItemCaseSensitive(json, "step");
    const double x = cJSON_IsNumber(step) ? step->valuedouble : (double)c->lines;
    const rq_status st = add_object(c, json, "", x, err);
    cJSON_Delete(json);
    return st;
}

rq_status rq_curves_parse(rq_curves *c, const char *text, size_t bytes, rq_err *err)
{
    for (size_t at = 0; at < bytes;) {
        const char *end = memchr(text + at, '\n', bytes - at);
        const size_t n = end != NULL ? (size_t)(end - (text + at)) : bytes - at;
        if (n > 0)
            RQ_TRY(add_line(c, text + at, n, end != NULL, err));
        at += n + 1;
    }
    return RQ_OK;
}

rq_status rq_curves_read(rq_curves *c, const char *path, rq_err *err)
{
    rq_buf text = {0};
    rq_status st = rq_file_read(path, MAX_FILE_BYTES, &text, err);
    if (st == RQ_OK)
        st = rq_curves_parse(c, (const char *)text.data, text.size, err);
    rq_buf_free(&text);
    return st;
}

void rq_curves_free(rq_curves *c)
{
    for (size_t i = 0; i < c->n; i++) {
        rq_free(c->curve[i].x);
        rq_free(c->curve[i].y);
    }
    rq_free(c->curve);
    memset(c, 0, sizeof *c);
}
