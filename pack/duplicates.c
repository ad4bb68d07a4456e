// SPDX-License-Identifier: Apache-2.0
// Duplicates are known by the hash of their coded bytes and remembered by their place in the
// reading order, with the sample id beside it. A build that goes on after a kill has no ids for
// what is done, only names in the report: they are looked up in the catalogue, sorted by name
// once.
#include "pack/duplicates.h"

#include "ingest/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct named {
    const char *name;
    uint64_t id;
} named;

static const uint64_t NO_ID = UINT64_MAX;

struct rq_duplicates {
    const rq_source *src;
    rq_dedup *seen;
    bool drop;
    uint64_t *ids; // by place; NO_ID when the name in the report was none of the catalogue
    size_t n, cap;
    rq_buf line;
};

rq_status rq_duplicates_create(rq_duplicates **out, const rq_source *src, bool drop,
                               rq_err *err)
{
    *out = NULL;
    rq_duplicates *d = rq_calloc(1, sizeof *d);
    if (!d)
        return rq_fail(err, RQ_OOM, "out of memory for duplicates");
    *d = (rq_duplicates){.src = src, .drop = drop};
    const rq_status st = rq_dedup_create(&d->seen, err);
    if (st != RQ_OK)
        rq_duplicates_destroy(&d);
    *out = d;
    return st;
}

void rq_duplicates_destroy(rq_duplicates **d)
{
    if (!*d)
        return;
    rq_dedup_destroy(&(*d)->seen);
    rq_free((*d)->ids);
    rq_buf_free(&(*d)->line);
    rq_free(*d);
    *d = NULL;
}

// Remembers an image; *first is its own place, or that of the first with these bytes.
static rq_status remember(rq_duplicates *d, rq_content_id content, uint64_t id, uint64_t *first,
                          rq_err *err)
{
    RQ_TRY(rq_grow((void **)&d->ids, &d->cap, d->n + 1, sizeof *d->ids, err));
    RQ_TRY(rq_dedup_add(d->seen, content, d->n, first, err));
    d->ids[d->n++] = id;
    return RQ_OK;
}

/* ---- going on ---------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const named *)a)->name, ((const named *)b)->name);
}

static rq_status recall_line(rq_duplicates *d, const named *names, const char *line, size_t n,
                             rq_err *err)
{
    rq_report_entry e;
    cJSON *json = NULL;
    rq_status st = rq_report_parse(&e, &json, line, n, err);
    if (st == RQ_OK && e.hashed) {
        const named key = {.name = e.name};
        const named *at = bsearch(&key, names, rq_source_count(d->src), sizeof *names, by_name);
        uint64_t first;
        // Names that are no UTF-8 stand altered in the report.
        st = remember(d, e.content, at ? at->id : NO_ID, &first, err);
    }
    cJSON_Delete(json);
    return st;
}

static rq_status recall_lines(rq_duplicates *d, const named *names, FILE *file, rq_err *err)
{
    char *line = NULL;
    size_t cap = 0;
    rq_status st = RQ_OK;
    for (ssize_t n; st == RQ_OK && (n = getline(&line, &cap, file)) > 0;)
        st = recall_line(d, names, line, (size_t)n, err);
    if (st == RQ_OK && ferror(file))
        st = rq_fail(err, RQ_IO, "cannot read the report of the build");
    free(line);
    return st;
}

rq_status rq_duplicates_recall(rq_duplicates *d, const char *path, rq_err *err)
{
    const uint64_t count = rq_source_count(d->src);
    named *names = rq_alloc((size_t)count, sizeof *names);
    FILE *file = fopen(path, "rbe");
    rq_status st = RQ_OK;
    if (!names)
        st = rq_fail(err, RQ_OOM, "out of memory for names");
    else if (!file)
        st = rq_fail_errno(err, "cannot open '%s'", path);
    for (uint64_t i = 0; i < count && st == RQ_OK; i++)
        names[i] = (named){rq_source_entry(d->src, i).name, i};
    if (st == RQ_OK) {
        qsort(names, (size_t)count, sizeof *names, by_name);
        st = recall_lines(d, names, file, err);
    }
    if (file)
        fclose(file);
    rq_free(names);
    return st;
}

/* ---- seeing ------------------------------------------------------------------------------ */

rq_status rq_duplicates_see(rq_duplicates *d, const rq_record *rec, rq_buf *line,
                            bool *duplicate, rq_err *err)
{
    rq_report_entry e;
    cJSON *json = NULL;
    *duplicate = false;
    if (rec->status != RQ_OK) // unread: nothing to compare
        return RQ_OK;
    uint64_t first;
    const uint64_t own = d->n;
    const rq_content_id content = rq_content_id_of(rec->data, rec->size);
    RQ_TRY(remember(d, content, rec->entry.id, &first, err));
    RQ_TRY(rq_report_parse(&e, &json, (const char *)line->data, line->size, err));
    e.hashed = true;
    e.content = content;
    if (first != own) {
        const uint64_t id = d->ids[first];
        *duplicate = true;
        e.duplicate_of =
            id == NO_ID ? "(its name is no UTF-8)" : rq_source_entry(d->src, id).name;
        e.duplicate_label = id == NO_ID ? -1 : rq_source_entry(d->src, id).label;
        e.dropped = d->drop;
    }
    d->line.size = 0;
    const rq_status st = rq_report_line(&d->line, &e, err);
    cJSON_Delete(json);
    RQ_TRY(st);
    line->size = 0;
    return rq_buf_append(line, d->line.data, d->line.size, err);
}
