// SPDX-License-Identifier: Apache-2.0
// The catalogue while it is being made: what names say, strings that live as long as the
// source, and the lists that the walkers of folders and archives fill. Sorting and layouts are
// source.c's.
#include "ingest/source_impl.h"

#include "common/file.h"

#include <string.h>
#include <strings.h>

/* ---- names ------------------------------------------------------------------------------- */

static bool has_suffix(const char *text, size_t length, const char *suffix)
{
    const size_t n = strlen(suffix);
    return length >= n && strncasecmp(text + length - n, suffix, n) == 0;
}

size_t rq_archive_stem(const char *path)
{
    static const char *const suffixes[] = {".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst"};
    const size_t length = strlen(path);
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        const size_t n = strlen(suffixes[i]);
        if (has_suffix(path, length, suffixes[i]) && length > n && path[length - n - 1] != '/')
            return length - n;
    }
    return 0;
}

bool rq_is_no_image(const char *path)
{
    static const char *const extensions[] = {
        "txt", "xml", "csv", "tsv", "md",  "json", "jsonl", "yaml", "yml",  "toml",   "html",
        "htm", "pdf", "mat", "npy", "npz", "pkl",  "pt",    "py",   "sh",   "m",      "log",
        "ini", "cfg", "db",  "rst", "tex", "md5",  "cls",   "sha1", "lock", "sha256", "lst"};
    if (path[0] == '.' || strstr(path, "/.") != NULL)
        return true;
    const char *base = rq_path_base(path), *dot = strrchr(base, '.');
    if (dot == NULL)
        return false;
    for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++) {
        if (strcasecmp(dot + 1, extensions[i]) == 0)
            return true;
    }
    return false;
}

/* ---- text pool and catalogue ------------------------------------------------------------- */

enum { TEXT_BLOCK_BYTES = 1 << 20 };

typedef struct rq_text_block {
    struct rq_text_block *next;
    size_t used, cap;
    char text[];
} rq_text_block;

const char *rq_text_add(rq_text_pool *pool, const char *text, size_t length)
{
    rq_text_block *b = pool->blocks;
    if (b == NULL || b->cap - b->used <= length) {
        const size_t cap = length < TEXT_BLOCK_BYTES ? TEXT_BLOCK_BYTES : length + 1;
        b = rq_alloc(1, sizeof *b + cap);
        if (b == NULL)
            return NULL;
        b->used = 0;
        b->cap = cap;
        b->next = pool->blocks;
        pool->blocks = b;
    }
    char *copy = b->text + b->used;
    memcpy(copy, text, length);
    copy[length] = '\0';
    b->used += length + 1;
    return copy;
}

void rq_text_free(rq_text_pool *pool)
{
    while (pool->blocks != NULL) {
        rq_text_block *next = pool->blocks->next;
        rq_free(pool->blocks);
        pool->blocks = next;
    }
}

rq_status rq_catalogue_add(rq_catalogue *c, const rq_item *item, rq_err *err)
{
    void *items = c->items;
    RQ_TRY(rq_grow(&items, &c->items_cap, c->n_items + 1, sizeof *c->items, err));
    c->items = items;
    const bool first = c->n_items == 0 || c->items[c->n_items - 1].input != item->input;
    c->items[c->n_items] = *item;
    c->items[c->n_items].sequence = first ? 0 : c->items[c->n_items - 1].sequence + 1;
    c->n_items++;
    return RQ_OK;
}

static rq_status add_text(const char ***list, size_t *n, size_t *cap, const char *text,
                          rq_err *err)
{
    void *grown = *list;
    RQ_TRY(rq_grow(&grown, cap, *n + 1, sizeof **list, err));
    *list = grown;
    (*list)[(*n)++] = text;
    return RQ_OK;
}

rq_status rq_catalogue_class(rq_catalogue *c, const char *name, size_t length, const char **out,
                             rq_err *err)
{
    const char *last = c->n_classes > 0 ? c->classes[c->n_classes - 1] : NULL;
    if (last == NULL || strncmp(last, name, length) != 0 || last[length] != '\0') {
        last = rq_text_add(&c->pool, name, length);
        if (last == NULL)
            return rq_fail(err, RQ_OOM, "no memory for the list of classes");
        RQ_TRY(add_text(&c->classes, &c->n_classes, &c->classes_cap, last, err));
    }
    *out = last;
    return RQ_OK;
}

rq_status rq_catalogue_add_folder(rq_catalogue *c, const char *path, rq_err *err)
{
    const char *copy = rq_text_add(&c->pool, path, strlen(path));
    if (copy == NULL)
        return rq_fail(err, RQ_OOM, "no memory for the list of folders");
    return add_text(&c->folders, &c->n_folders, &c->folders_cap, copy, err);
}

rq_status rq_catalogue_visit(rq_catalogue *c, const char *where, rq_err *err)
{
    if (c->visited++ < c->opts.max_entries)
        return RQ_OK;
    return rq_fail(err, RQ_LIMIT,
                   "%s: more than %llu entries; give a folder or archive of fewer files", where,
                   (unsigned long long)c->opts.max_entries);
}
