// SPDX-License-Identifier: Apache-2.0
// The last steps of a catalogue: every image gets its final name, what is to be left out goes,
// and the rest is sorted. Order is label, then name by byte value, and does not depend on the
// layout that the images came in.
#include "ingest/source_impl.h"

#include "common/file.h"
#include "ingest/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Every name of a labelled source is "CLASS/rest". */
static rq_status name_items(rq_source *s, rq_err *err)
{
    rq_catalogue *c = &s->catalogue;
    for (size_t i = 0; i < c->n_items; i++) {
        rq_item *item = &c->items[i];
        if (!s->labelled) {
            item->label = -1;
            continue;
        }
        item->class_name = s->labels[item->label];
        if (!rq_is_inside(item->name, item->class_name, strlen(item->class_name)))
            RQ_TRY(rq_catalogue_join(c, item->class_name, item->name, &item->name, err));
    }
    return RQ_OK;
}

static int by_label_and_name(const void *a, const void *b)
{
    const rq_item *x = a, *y = b;
    if (x->label != y->label)
        return x->label < y->label ? -1 : 1;
    const int names = strcmp(x->name, y->name);
    if (names != 0)
        return names;
    if (x->input != y->input)
        return x->input < y->input ? -1 : 1;
    return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

/* Keys of shards need to differ within a shard only. */
static bool is_shard(const rq_source *s, const rq_item *item)
{
    const rq_layout layout = s->inputs[item->input].layout;
    return layout == RQ_LAYOUT_WEBDATASET ||
           (layout == RQ_LAYOUT_TAR_FLAT && s->inputs[item->input].shard);
}

static bool shards_collide(const rq_source *s)
{
    const rq_catalogue *c = &s->catalogue;
    for (size_t i = 1; i < c->n_items; i++) {
        const rq_item *x = &c->items[i - 1], *y = &c->items[i];
        if (x->input != y->input && is_shard(s, x) && is_shard(s, y) &&
            strcmp(x->name, y->name) == 0)
            return true;
    }
    return false;
}

/* "CLASS/KEY.jpg" becomes "CLASS/SHARD/KEY.jpg". */
static rq_status add_shard_names(rq_source *s, rq_err *err)
{
    rq_catalogue *c = &s->catalogue;
    for (size_t i = 0; i < c->n_items; i++) {
        rq_item *item = &c->items[i];
        if (!is_shard(s, item))
            continue;
        const char *base = rq_path_base(s->inputs[item->input].path), *shard;
        const char *rest = item->name + (s->labelled ? strlen(item->class_name) + 1 : 0);
        const size_t stem = rq_archive_stem(base);
        RQ_TRY(rq_catalogue_text(c, base, stem > 0 ? stem : strlen(base), &shard, err));
        RQ_TRY(rq_catalogue_join(c, shard, rest, &item->name, err));
        if (s->labelled)
            RQ_TRY(rq_catalogue_join(c, item->class_name, item->name, &item->name, err));
    }
    return RQ_OK;
}

static void reject_duplicates(rq_catalogue *c)
{
    const rq_item *kept = NULL;
    for (size_t i = 0; i < c->n_items; i++) {
        rq_item *item = &c->items[i];
        if (kept != NULL && strcmp(kept->name, item->name) == 0) {
            item->status = RQ_BAD_FORMAT;
            item->reason = "duplicate name: an earlier file of the source has it";
        } else {
            kept = item;
        }
    }
}

/* ---- exclusions -------------------------------------------------------------------------- */

static int by_row_name(const void *a, const void *b)
{
    return strcmp(((const rq_row *)a)->name, ((const rq_row *)b)->name);
}

static bool is_listed(const rq_rows *rows, bool *used, const char *name)
{
    const rq_row key = {.name = (char *)(uintptr_t)name};
    const rq_row *found = bsearch(&key, rows->rows, rows->n, sizeof key, by_row_name);
    if (found == NULL)
        return false;
    used[found - rows->rows] = true;
    return true;
}

/* By its name, its path in the source, its base name or its number in the val set. */
static bool is_excluded(const rq_rows *rows, bool *used, const rq_item *item)
{
    char number[16];
    bool test;
    const unsigned k = rq_ilsvrc_number(item->stored, &test);
    snprintf(number, sizeof number, "%u", k);
    return is_listed(rows, used, item->name) || is_listed(rows, used, item->stored) ||
           is_listed(rows, used, rq_path_base(item->name)) ||
           is_listed(rows, used, rq_path_base(item->stored)) ||
           (k > 0 && !test && is_listed(rows, used, number));
}

/* Sorted, each name once. */
static void sort_rows(rq_rows *rows)
{
    size_t n = 0;
    qsort(rows->rows, rows->n, sizeof *rows->rows, by_row_name);
    for (size_t i = 0; i < rows->n; i++) {
        if (n == 0 || strcmp(rows->rows[n - 1].name, rows->rows[i].name) != 0)
            rows->rows[n++] = rows->rows[i];
    }
    rows->n = n;
}

static void exclude_rows(rq_source *s, const rq_rows *rows, bool *used, const char *path)
{
    rq_catalogue *c = &s->catalogue;
    size_t kept = 0, unused = 0;
    const char *first = NULL;
    for (size_t i = 0; i < c->n_items; i++) {
        if (!is_excluded(rows, used, &c->items[i]))
            c->items[kept++] = c->items[i];
    }
    s->excluded = c->n_items - kept;
    c->n_items = kept;
    for (size_t i = 0; i < rows->n; i++) {
        if (!used[i] && unused++ == 0)
            first = rows->rows[i].name;
    }
    if (unused > 0)
        rq_log(&c->opts.log, RQ_LOG_WARN,
               "%zu of the %zu names in %s belong to no image here, the first is %s", unused,
               rows->n, path, first);
}

static rq_status exclude(rq_source *s, rq_err *err)
{
    const char *path = s->catalogue.opts.exclude;
    rq_rows rows;
    if (path == NULL)
        return RQ_OK;
    RQ_TRY(rq_rows_read(&rows, path, RQ_ROWS_NAMES, err));
    sort_rows(&rows);
    bool *used = rq_calloc(rows.n, sizeof *used);
    rq_status st = RQ_OK;
    if (used == NULL)
        st = rq_fail(err, RQ_OOM, "no memory for the names to leave out");
    else
        exclude_rows(s, &rows, used, path);
    rq_free(used);
    rq_rows_free(&rows);
    if (st == RQ_OK && s->catalogue.n_items == 0)
        st = rq_fail(err, RQ_NOT_FOUND, "%s leaves out every image there is", path);
    return st;
}

/* ---- the whole --------------------------------------------------------------------------- */

rq_status rq_finish_catalogue(rq_source *s, rq_err *err)
{
    rq_catalogue *c = &s->catalogue;
    RQ_TRY(name_items(s, err));
    RQ_TRY(exclude(s, err));
    qsort(c->items, c->n_items, sizeof *c->items, by_label_and_name);
    if (shards_collide(s)) {
        RQ_TRY(add_shard_names(s, err));
        qsort(c->items, c->n_items, sizeof *c->items, by_label_and_name);
    }
    reject_duplicates(c);
    return RQ_OK;
}
