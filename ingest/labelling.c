// SPDX-License-Identifier: Apache-2.0
// Labels that stand in files beside the images: which file is needed, which image each label
// belongs to, and when it is better to refuse than to guess. A class is a name here; numbers
// are given in classes.c, when all names are known.
#include "ingest/source_impl.h"

#include "common/file.h"
#include "ingest/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static rq_status refuse_unlabelled(const rq_input *in, rq_err *err)
{
    if (in->layout == RQ_LAYOUT_KAGGLE)
        return rq_fail(err, RQ_INVALID_ARG,
                       "%s holds %llu images named ILSVRC2012_val_*: their labels are in "
                       "LOC_val_solution.csv, which is not beside it; add --labels "
                       "LOC_val_solution.csv",
                       in->path, (unsigned long long)in->images);
    return rq_fail(err, RQ_INVALID_ARG,
                   "%s is a flat %s of %llu images named ILSVRC2012_val_*: labels are in the "
                   "devkit; add --labels ILSVRC2012_devkit_t12.tar.gz",
                   in->path, in->kind == RQ_INPUT_FOLDER ? "folder" : "archive",
                   (unsigned long long)in->images);
}

/* The file that labels come from, NULL when none is needed. */
static rq_status choose_label_file(const rq_source *s, const char **path, rq_err *err)
{
    const rq_source_opts *opts = &s->catalogue.opts;
    *path = opts->labels;
    for (size_t i = 0; i < s->n_inputs && *path == NULL; i++) {
        const rq_input *in = &s->inputs[i];
        const bool flat = in->layout == RQ_LAYOUT_FLAT_FOLDER ||
                          in->layout == RQ_LAYOUT_TAR_FLAT || in->layout == RQ_LAYOUT_KAGGLE;
        const bool asked_flat =
            in->asked == RQ_LAYOUT_FLAT_FOLDER || in->asked == RQ_LAYOUT_TAR_FLAT;
        if (!in->val_named || !flat || s->catalogue.items[in->first].class_name != NULL)
            continue;
        *path = s->labels_beside;
        if (*path == NULL && !asked_flat)
            return refuse_unlabelled(in, err);
    }
    return RQ_OK;
}

static bool any_val_named(const rq_source *s)
{
    for (size_t i = 0; i < s->n_inputs; i++) {
        if (s->inputs[i].val_named)
            return true;
    }
    return false;
}

/* The trap of ImageNet: numbers from 1 on are either ids of the devkit or places counted from
 * 1, and nothing in them says which. */
static rq_status refuse_ambiguous_ids(const rq_source *s, const rq_labels *l, const char *path,
                                      rq_err *err)
{
    if (!rq_labels_numbered(l) || rq_labels_least(l) == 0 || !any_val_named(s))
        return RQ_OK;
    return rq_fail(
        err, RQ_INVALID_ARG,
        "the labels in %s are numbers from %d on, which may be ILSVRC ids: these are "
        "not in the order of the class names; give the devkit (or add --classes with "
        "its meta.mat)",
        path, rq_labels_least(l));
}

rq_status rq_item_set_label(rq_catalogue *c, rq_item *item, const char *class_name,
                            bool numbered, rq_err *err)
{
    char number[16];
    const char *text = class_name;
    if (numbered) {
        snprintf(number, sizeof number, "%d", rq_label_number(class_name));
        text = number;
    }
    item->numbered = numbered;
    item->origin = RQ_ORIGIN_PLAIN;
    return rq_catalogue_class(c, text, strlen(text), &item->class_name, NULL, err);
}

static int by_stored(const void *a, const void *b, void *context)
{
    const rq_item *items = context;
    const rq_item *x = &items[*(const size_t *)a], *y = &items[*(const size_t *)b];
    const int order = strcmp(x->stored, y->stored);
    return order != 0 ? order : (x > y) - (x < y);
}

static rq_status label_by_place(rq_source *s, rq_labels *l, const char *path, rq_err *err)
{
    rq_catalogue *c = &s->catalogue;
    if (rq_labels_count(l) != c->n_items)
        return rq_fail(err, RQ_INVALID_ARG,
                       "%s has %zu lines of one label each, and there are %zu images; for "
                       "labels by name, write NAME LABEL on each line",
                       path, rq_labels_count(l), c->n_items);
    size_t *order = rq_alloc(c->n_items, sizeof *order);
    if (order == NULL)
        return rq_fail(err, RQ_OOM, "no memory for the order of labels");
    for (size_t i = 0; i < c->n_items; i++)
        order[i] = i;
    qsort_r(order, c->n_items, sizeof *order, by_stored, c->items);
    rq_status st = RQ_OK;
    for (size_t i = 0; i < c->n_items && st == RQ_OK; i++)
        st = rq_item_set_label(c, &c->items[order[i]], rq_labels_at(l, i),
                               rq_labels_numbered(l), err);
    rq_free(order);
    return st;
}

static rq_status label_by_name(rq_source *s, rq_labels *l, const char *path, rq_err *err)
{
    rq_catalogue *c = &s->catalogue;
    size_t missing = 0;
    const char *first = NULL;
    for (size_t i = 0; i < c->n_items; i++) {
        rq_item *item = &c->items[i];
        const char *found = rq_labels_find(l, item->stored);
        if (found != NULL)
            RQ_TRY(rq_item_set_label(c, item, found, rq_labels_numbered(l), err));
        else if (missing++ == 0)
            first = item->stored;
    }
    if (missing > 0)
        return rq_fail(err, RQ_INVALID_ARG,
                       "%zu of %zu images have no label in %s, the first is %s", missing,
                       c->n_items, path, first);
    if (rq_labels_unused(l) > 0)
        rq_log(&c->opts.log, RQ_LOG_WARN, "%zu of the %zu labels in %s belong to no image here",
               rq_labels_unused(l), rq_labels_count(l), path);
    return RQ_OK;
}

/* The devkit's classes become the source's, unless it was given others. */
static rq_status adopt_classes(rq_source *s, const rq_class_list *from, rq_err *err)
{
    rq_class_list *to = &s->class_list;
    if (from == NULL || to->n > 0)
        return RQ_OK;
    to->names = rq_alloc(from->n, sizeof *to->names);
    if (to->names == NULL)
        return rq_fail(err, RQ_OOM, "no memory for the list of classes");
    for (to->n = 0; to->n < from->n; to->n++)
        RQ_TRY(rq_catalogue_class(&s->catalogue, from->names[to->n], strlen(from->names[to->n]),
                                  &to->names[to->n], NULL, err));
    to->ilsvrc_ids = from->ilsvrc_ids;
    return RQ_OK;
}

static rq_status label_from_file(rq_source *s, const char *path, rq_err *err)
{
    rq_labels *l;
    RQ_TRY(rq_labels_open(&l, path, s->class_list.n > 0 ? &s->class_list : NULL, err));
    rq_status st = refuse_ambiguous_ids(s, l, path, err);
    if (st == RQ_OK)
        st = rq_labels_by_place(l) ? label_by_place(s, l, path, err)
                                   : label_by_name(s, l, path, err);
    if (st == RQ_OK)
        st = adopt_classes(s, rq_labels_classes(l), err);
    rq_labels_close(&l);
    s->labels_about = path;
    return st;
}

rq_status rq_find_labels(rq_source *s, rq_err *err)
{
    const rq_source_opts *opts = &s->catalogue.opts;
    const char *path;
    RQ_TRY(choose_label_file(s, &path, err));
    const char *classes = opts->classes;
    if (classes == NULL && path != NULL && path == s->labels_beside)
        classes = s->classes_beside;
    if (classes != NULL)
        RQ_TRY(rq_class_list_read(&s->class_list, classes, err));
    return path != NULL ? label_from_file(s, path, err) : RQ_OK;
}
