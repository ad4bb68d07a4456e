// SPDX-License-Identifier: Apache-2.0
// The catalogue while it is being made: what names say, strings that live as long as the
// source, and the lists that the walkers of folders and archives fill. Layouts are resolve.c's,
// sorting is naming.c's.
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
    static const char *const suffixes[] = {".tar",    ".tar.gz", ".tgz", ".tar.zst",
                                           ".tzst",   ".tar.xz", ".txz", ".tar.bz2",
                                           ".tar.bz", ".tbz2",   ".tbz", ".zip"};
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
        "txt",  "xml",  "csv",  "tsv",  "md",     "json", "jsonl", "yaml", "yml",
        "toml", "html", "htm",  "pdf",  "mat",    "npy",  "npz",   "pkl",  "pt",
        "py",   "sh",   "m",    "log",  "ini",    "cfg",  "db",    "rst",  "tex",
        "md5",  "cls",  "sha1", "lock", "sha256", "lst",  "bin"};
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

/* Bytes of a path without its extension. */
static size_t stem_bytes(const char *path)
{
    const char *base = rq_path_base(path), *dot = strrchr(base, '.');
    return dot != NULL && dot != base ? (size_t)(dot - path) : strlen(path);
}

int rq_compare_base_stems(const char *a, const char *b)
{
    const char *x = rq_path_base(a), *y = rq_path_base(b);
    const size_t n = stem_bytes(x), m = stem_bytes(y);
    const int order = memcmp(x, y, n < m ? n : m);
    return order != 0 ? order : (n > m) - (n < m);
}

bool rq_same_stem(const char *a, const char *b)
{
    const size_t n = stem_bytes(a);
    return n == stem_bytes(b) && memcmp(a, b, n) == 0;
}

bool rq_same_ending(const char *a, const char *b)
{
    const size_t n = stem_bytes(a), m = stem_bytes(b), common = n < m ? n : m;
    const char *longer = n < m ? b : a;
    const size_t rest = n + m - 2 * common;
    if (memcmp(a + n - common, b + m - common, common) != 0)
        return false;
    return rest == 0 || longer[rest - 1] == '/';
}

int rq_compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

bool rq_is_inside(const char *path, const char *folder, size_t length)
{
    return strncmp(path, folder, length) == 0 && path[length] == '/';
}

/* ---- text pool and catalogue ------------------------------------------------------------- */

enum { TEXT_BLOCK_BYTES = 1 << 20 };

typedef struct rq_text_block {
    struct rq_text_block *next;
    size_t used, cap;
    char text[];
} rq_text_block;

static char *pool_room(rq_text_pool *pool, size_t length)
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
    char *room = b->text + b->used;
    b->used += length + 1;
    pool->bytes += length + 1;
    return room;
}

static rq_status text_room(rq_catalogue *c, size_t length, char **out, rq_err *err)
{
    const size_t most = c->opts.max_name_bytes;
    if (length >= most || c->pool.bytes > most - length - 1)
        return rq_fail(err, RQ_LIMIT,
                       "the names of the images take more than %zu bytes of memory; give a "
                       "source of fewer files",
                       most);
    *out = pool_room(&c->pool, length);
    return *out != NULL ? RQ_OK : rq_fail(err, RQ_OOM, "no memory for the names of the images");
}

rq_status rq_catalogue_text(rq_catalogue *c, const char *text, size_t length, const char **out,
                            rq_err *err)
{
    char *copy;
    RQ_TRY(text_room(c, length, &copy, err));
    memcpy(copy, text, length);
    copy[length] = '\0';
    *out = copy;
    return RQ_OK;
}

rq_status rq_catalogue_join(rq_catalogue *c, const char *folder, const char *name,
                            const char **out, rq_err *err)
{
    const size_t n = strlen(folder), m = strlen(name);
    char *copy;
    RQ_TRY(text_room(c, n + 1 + m, &copy, err));
    memcpy(copy, folder, n);
    copy[n] = '/';
    memcpy(copy + n + 1, name, m + 1);
    *out = copy;
    return RQ_OK;
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

/* ---- classes ----------------------------------------------------------------------------- */

/* FNV-1a: names come in any number and order, hostile ones only cost time. */
static size_t class_hash(const char *name, size_t length)
{
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < length; i++)
        h = (h ^ (unsigned char)name[i]) * 1099511628211u;
    return (size_t)(h ^ h >> 32);
}

/* The slot of a class, or the free one where it belongs. */
static uint32_t *class_slot(const rq_catalogue *c, const char *name, size_t length)
{
    const size_t mask = c->class_slots - 1;
    for (size_t i = class_hash(name, length) & mask;; i = (i + 1) & mask) {
        uint32_t *slot = &c->class_table[i];
        if (*slot == 0)
            return slot;
        const char *have = c->classes[*slot - 1];
        if (strncmp(have, name, length) == 0 && have[length] == '\0')
            return slot;
    }
}

static rq_status grow_class_table(rq_catalogue *c, rq_err *err)
{
    const size_t slots = c->class_slots == 0 ? 256 : 2 * c->class_slots;
    uint32_t *table = rq_calloc(slots, sizeof *table);
    if (table == NULL)
        return rq_fail(err, RQ_OOM, "no memory for the list of classes");
    rq_free(c->class_table);
    c->class_table = table;
    c->class_slots = slots;
    for (size_t i = 0; i < c->n_classes; i++)
        *class_slot(c, c->classes[i], strlen(c->classes[i])) = (uint32_t)i + 1;
    return RQ_OK;
}

rq_status rq_catalogue_class(rq_catalogue *c, const char *name, size_t length, const char **out,
                             size_t *index, rq_err *err)
{
    if (2 * (c->n_classes + 1) > c->class_slots)
        RQ_TRY(grow_class_table(c, err));
    uint32_t *slot = class_slot(c, name, length);
    if (*slot == 0) {
        const char *copy;
        if (c->n_classes >= INT32_MAX)
            return rq_fail(err, RQ_LIMIT, "more than %d classes", INT32_MAX);
        RQ_TRY(rq_catalogue_text(c, name, length, &copy, err));
        RQ_TRY(add_text(&c->classes, &c->n_classes, &c->classes_cap, copy, err));
        *slot = (uint32_t)c->n_classes;
    }
    *out = c->classes[*slot - 1];
    if (index != NULL)
        *index = *slot - 1;
    return RQ_OK;
}

rq_status rq_catalogue_name_number(rq_catalogue *c, int number, const char *name, rq_err *err)
{
    const size_t i = (size_t)number;
    void *grown = c->number_names;
    const size_t had = c->number_names_cap;
    RQ_TRY(rq_grow(&grown, &c->number_names_cap, i + 1, sizeof *c->number_names, err));
    c->number_names = grown;
    memset(c->number_names + had, 0, (c->number_names_cap - had) * sizeof *c->number_names);
    if (c->n_number_names <= i)
        c->n_number_names = i + 1;
    if (c->number_names[i] != NULL)
        return RQ_OK;
    return rq_catalogue_text(c, name, strlen(name), &c->number_names[i], err);
}

/* ---- the rest ---------------------------------------------------------------------------- */

rq_status rq_catalogue_add_folder(rq_catalogue *c, const char *path, bool is_archive,
                                  rq_err *err)
{
    void *folders = c->folders;
    RQ_TRY(rq_grow(&folders, &c->folders_cap, c->n_folders + 1, sizeof *c->folders, err));
    c->folders = folders;
    rq_folder *folder = &c->folders[c->n_folders];
    RQ_TRY(rq_catalogue_text(c, path, strlen(path), &folder->path, err));
    folder->is_archive = is_archive;
    c->n_folders++;
    return RQ_OK;
}

rq_status rq_catalogue_add_archive(rq_catalogue *c, const char *path, rq_err *err)
{
    const char *copy;
    RQ_TRY(rq_catalogue_text(c, path, strlen(path), &copy, err));
    return add_text(&c->archives, &c->n_archives, &c->archives_cap, copy, err);
}

void rq_catalogue_free(rq_catalogue *c)
{
    rq_free(c->items);
    rq_free(c->classes);
    rq_free(c->class_table);
    rq_free(c->folders);
    rq_free(c->archives);
    rq_free(c->number_names);
    while (c->pool.blocks != NULL) {
        rq_text_block *next = c->pool.blocks->next;
        rq_free(c->pool.blocks);
        c->pool.blocks = next;
    }
    memset(c, 0, sizeof *c);
}

rq_status rq_catalogue_visit(rq_catalogue *c, const char *where, rq_err *err)
{
    if (c->opts.cancel != NULL && *c->opts.cancel)
        return rq_fail(err, RQ_CANCELLED, "stopped while %s was listed", where);
    if (c->visited++ < c->opts.max_entries)
        return RQ_OK;
    return rq_fail(err, RQ_LIMIT,
                   "%s: more than %llu entries; give a folder or archive of fewer files", where,
                   (unsigned long long)c->opts.max_entries);
}
