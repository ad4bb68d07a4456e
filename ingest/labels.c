// SPDX-License-Identifier: Apache-2.0
// Labels beside the images: from the ground truth of a devkit, Kaggle's CSV or plain rows to a
// class for each name. Lookup is by sorted names, and by base name where folders differ.
#include "ingest/devkit.h"

#include "ingest/rows.h"
#include "ingest/source_impl.h"

#include <stdlib.h>
#include <string.h>

typedef struct label {
    const char *name;
    const char *class_name;
    bool used;
} label;

struct rq_labels {
    rq_class_list classes; /* of the devkit */
    rq_rows rows;
    label *labels; /* by name, by ILSVRC number, or by place */
    uint32_t *by_base;
    size_t n, n_used;
    bool by_number, by_place, numbered;
    int least, release;
};

/* ---- labels ------------------------------------------------------------------------------ */

/* The class that a label's text means; numbers by the list, if there is one. */
static rq_status resolve(const rq_labels *l, const rq_class_list *classes, const rq_row *row,
                         const char *text, const char **out, const char *path, rq_err *err)
{
    const int number = rq_label_number(text);
    *out = text;
    if (!rq_is_class_name(text))
        return rq_fail(err, RQ_BAD_FORMAT, "%s, line %llu: '%.80s' cannot be a class", path,
                       (unsigned long long)row->line, text);
    if (!l->numbered || classes == NULL)
        return RQ_OK;
    *out = rq_class_list_at(classes, number);
    return *out != NULL ? RQ_OK
                        : rq_fail(err, RQ_INVALID_ARG,
                                  "%s, line %llu: there is no class %d among the %zu; labels "
                                  "and classes do not belong together",
                                  path, (unsigned long long)row->line, number, classes->n);
}

static int by_base_name(const void *a, const void *b, void *context)
{
    const label *labels = context;
    return rq_compare_base_stems(labels[*(const uint32_t *)a].name,
                                 labels[*(const uint32_t *)b].name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const label *)a)->name, ((const label *)b)->name);
}

static rq_status index_names(rq_labels *l, const char *path, rq_err *err)
{
    qsort(l->labels, l->n, sizeof *l->labels, by_name);
    size_t kept = 0;
    for (size_t i = 0; i < l->n; i++) {
        const label *last = kept > 0 ? &l->labels[kept - 1] : NULL;
        if (last == NULL || strcmp(last->name, l->labels[i].name) != 0)
            l->labels[kept++] = l->labels[i];
        else if (strcmp(last->class_name, l->labels[i].class_name) != 0)
            return rq_fail(err, RQ_BAD_FORMAT, "%s: '%s' has two labels, '%s' and '%s'", path,
                           last->name, last->class_name, l->labels[i].class_name);
    }
    l->n = kept;
    l->by_base = rq_alloc(l->n, sizeof *l->by_base);
    if (l->by_base == NULL || l->n > UINT32_MAX)
        return rq_fail(err, RQ_OOM, "%s: no memory for its labels", path);
    for (size_t i = 0; i < l->n; i++)
        l->by_base[i] = (uint32_t)i;
    qsort_r(l->by_base, l->n, sizeof *l->by_base, by_base_name, l->labels);
    return RQ_OK;
}

static rq_status labels_of_rows(rq_labels *l, const rq_class_list *classes, const char *path,
                                rq_err *err)
{
    size_t numbers = 0;
    l->least = RQ_ROWS_LABEL_MAX;
    l->by_place = !l->by_number && !l->rows.paired;
    for (size_t i = 0; i < l->rows.n; i++) {
        const int v =
            rq_label_number(l->rows.paired ? l->rows.rows[i].label : l->rows.rows[i].name);
        numbers += v >= 0;
        if (v >= 0 && v < l->least)
            l->least = v;
    }
    l->numbered = numbers == l->rows.n;
    if (l->rows.n == 0)
        return rq_fail(err, RQ_NOT_FOUND, "%s: no labels in it", path);
    if (numbers > 0 && !l->numbered)
        return rq_fail(err, RQ_BAD_FORMAT,
                       "%s: %zu of its %zu labels are numbers and the others are names; all "
                       "must be of one kind",
                       path, numbers, l->rows.n);
    l->labels = rq_calloc(l->rows.n, sizeof *l->labels);
    if (l->labels == NULL)
        return rq_fail(err, RQ_OOM, "%s: no memory for its labels", path);
    for (l->n = 0; l->n < l->rows.n; l->n++) {
        const rq_row *row = &l->rows.rows[l->n];
        label *to = &l->labels[l->n];
        to->name = row->name;
        RQ_TRY(resolve(l, classes, row, l->rows.paired ? row->label : row->name,
                       &to->class_name, path, err));
    }
    l->numbered = l->numbered && classes == NULL;
    l->least = l->numbered ? l->least : 0;
    return l->rows.paired ? index_names(l, path, err) : RQ_OK;
}

static rq_status open_labels(rq_labels *l, rq_devkit *g, const rq_class_list *classes,
                             const char *path, bool text, rq_err *err)
{
    if (text) {
        RQ_TRY(rq_rows_read(&l->rows, path, RQ_ROWS_AUTO, err));
        return labels_of_rows(l, classes, path, err);
    }
    if (g->have[RQ_DEVKIT_META])
        RQ_TRY(rq_devkit_classes(&l->classes, &g->file[RQ_DEVKIT_META], path, err));
    if (g->have[RQ_DEVKIT_TRUTH]) {
        if (g->have[RQ_DEVKIT_META])
            classes = &l->classes;
        if (classes == NULL || !classes->ilsvrc_ids)
            return rq_fail(err, RQ_INVALID_ARG,
                           "the labels in %s are ILSVRC ids, which only the devkit's meta.mat "
                           "explains; put it beside them or give the whole devkit",
                           path);
        l->by_number = true;
        l->release = g->release;
        RQ_TRY(rq_rows_parse(&l->rows, &g->file[RQ_DEVKIT_TRUTH], RQ_ROWS_NAMES, path, err));
        return labels_of_rows(l, classes, path, err);
    }
    if (!g->have[RQ_DEVKIT_SOLUTION])
        return rq_fail(err, RQ_NOT_FOUND,
                       "%s holds no labels: neither ILSVRC2012_validation_ground_truth.txt nor "
                       "LOC_val_solution.csv",
                       path);
    RQ_TRY(rq_rows_parse(&l->rows, &g->file[RQ_DEVKIT_SOLUTION], RQ_ROWS_AUTO, path, err));
    if (!l->rows.paired)
        return rq_fail(err, RQ_BAD_FORMAT, "%s: a line without a label", path);
    return labels_of_rows(l, classes, path, err);
}

rq_status rq_labels_open(rq_labels **out, const char *path, const rq_class_list *classes,
                         rq_err *err)
{
    rq_devkit g = {0};
    bool text;
    *out = NULL;
    rq_labels *l = rq_calloc(1, sizeof *l);
    if (l == NULL)
        return rq_fail(err, RQ_OOM, "%s: no memory for its labels", path);
    rq_status s = rq_devkit_gather(&g, path, &text, err);
    if (s == RQ_OK)
        s = open_labels(l, &g, classes, path, text, err);
    rq_devkit_free(&g);
    if (s != RQ_OK)
        rq_labels_close(&l);
    *out = l;
    return s;
}

void rq_labels_close(rq_labels **l)
{
    if (l == NULL || *l == NULL)
        return;
    rq_class_list_free(&(*l)->classes);
    rq_rows_free(&(*l)->rows);
    rq_free((*l)->labels);
    rq_free((*l)->by_base);
    rq_free(*l);
    *l = NULL;
}

/* ---- looking up -------------------------------------------------------------------------- */

static label *use(rq_labels *l, label *found)
{
    if (!found->used)
        l->n_used++;
    found->used = true;
    return found;
}

/* By the end of the path: all that match must agree. */
static const char *find_by_base(rq_labels *l, const char *name)
{
    size_t low = 0, high = l->n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (rq_compare_base_stems(l->labels[l->by_base[middle]].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    const char *found = NULL;
    for (; low < l->n; low++) {
        label *at = &l->labels[l->by_base[low]];
        if (rq_compare_base_stems(at->name, name) != 0)
            break;
        if (!rq_same_ending(at->name, name))
            continue;
        if (found != NULL && strcmp(found, at->class_name) != 0)
            return NULL;
        found = use(l, at)->class_name;
    }
    return found;
}

const char *rq_labels_find(rq_labels *l, const char *image_name)
{
    if (l->by_place)
        return NULL;
    if (l->by_number) {
        bool is_test;
        const uint32_t number = rq_ilsvrc_number(image_name, &is_test);
        const int release = rq_ilsvrc_release(image_name);
        if (number == 0 || number > l->n || is_test)
            return NULL;
        if (release != 0 && l->release != 0 && release != l->release)
            return NULL; /* the same number is another picture there */
        return use(l, &l->labels[number - 1])->class_name;
    }
    const label key = {.name = image_name};
    label *found = bsearch(&key, l->labels, l->n, sizeof *l->labels, by_name);
    return found != NULL ? use(l, found)->class_name : find_by_base(l, image_name);
}

const char *rq_labels_at(const rq_labels *l, size_t i)
{
    return i < l->n ? l->labels[i].class_name : NULL;
}

size_t rq_labels_count(const rq_labels *l)
{
    return l->n;
}

bool rq_labels_numbered(const rq_labels *l)
{
    return l->numbered;
}

int rq_labels_least(const rq_labels *l)
{
    return l->least;
}

bool rq_labels_by_place(const rq_labels *l)
{
    return l->by_place;
}

size_t rq_labels_unused(const rq_labels *l)
{
    return l->by_place ? 0 : l->n - l->n_used;
}

const rq_class_list *rq_labels_classes(const rq_labels *l)
{
    return l->classes.n > 0 ? &l->classes : NULL;
}
