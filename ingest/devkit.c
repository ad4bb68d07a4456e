// SPDX-License-Identifier: Apache-2.0
// What an ImageNet release says about classes: the files that matter are gathered from whatever
// the path is (folder, archive, single file), and the list of classes comes from meta.mat, from
// LOC_synset_mapping.txt, or from plain text.
#include "ingest/devkit.h"

#include "common/file.h"
#include "ingest/labels.h"
#include "ingest/matfile.h"
#include "ingest/rows.h"
#include "ingest/source_impl.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

/* Real releases have a few MB; a file of lines of one digit takes 25 times its size in memory.
 */
enum { MEMBER_MAX = 16 << 20, CLASS_NAME_MAX = 255 };

/* ---- names ------------------------------------------------------------------------------- */

bool rq_is_wnid(const char *text, size_t bytes)
{
    if (bytes != 9 || text[0] != 'n')
        return false;
    for (size_t i = 1; i < bytes; i++) {
        if (!isdigit((unsigned char)text[i]))
            return false;
    }
    return true;
}

uint32_t rq_ilsvrc_number(const char *name, bool *is_test)
{
    const char *at = rq_path_base(name);
    *is_test = false;
    if (strncmp(at, "ILSVRC", 6) != 0)
        return 0;
    at += 6;
    at += strspn(at, "0123456789");
    *is_test = strncmp(at, "_test_", 6) == 0;
    if (!*is_test && strncmp(at, "_val_", 5) != 0)
        return 0;
    at += *is_test ? 6 : 5;
    const size_t digits = strspn(at, "0123456789");
    if (digits == 0 || digits > 9)
        return 0;
    const char *rest = at + digits;
    if (rest[0] == '_' && rq_is_wnid(rest + 1, strcspn(rest + 1, ".")))
        rest += 10;
    return *rest == '\0' || *rest == '.' ? (uint32_t)strtoul(at, NULL, 10) : 0;
}

int rq_ilsvrc_release(const char *name)
{
    const char *at = rq_path_base(name);
    if (strncmp(at, "ILSVRC", 6) != 0 || strspn(at + 6, "0123456789") != 4)
        return 0;
    const int year = (int)strtol(at + 6, NULL, 10);
    return year < 2012 ? year : 2012;
}

bool rq_is_class_name(const char *text)
{
    const size_t n = strlen(text);
    return n > 0 && n <= CLASS_NAME_MAX && strchr(text, '/') == NULL &&
           strcmp(text, ".") != 0 && strcmp(text, "..") != 0;
}

/* ---- gathering --------------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* RQ_DEVKIT_ROLES for a file of no interest. */
static rq_devkit_role role_of(const char *path)
{
    const char *base = rq_path_base(path);
    if (strcmp(base, "meta.mat") == 0 || strcmp(base, "meta_clsloc.mat") == 0)
        return RQ_DEVKIT_META;
    if (ends_with(base, "validation_ground_truth.txt") && strstr(base, "_det_") == NULL)
        return RQ_DEVKIT_TRUTH;
    if (strcmp(base, "LOC_val_solution.csv") == 0)
        return RQ_DEVKIT_SOLUTION;
    return strcmp(base, "LOC_synset_mapping.txt") == 0 ? RQ_DEVKIT_MAPPING : RQ_DEVKIT_ROLES;
}

void rq_devkit_free(rq_devkit *g)
{
    for (int i = 0; i < RQ_DEVKIT_ROLES; i++)
        rq_buf_free(&g->file[i]);
}

static void note(rq_devkit *g, rq_devkit_role role, const char *path)
{
    g->have[role] = true;
    if (role == RQ_DEVKIT_TRUTH)
        g->release = rq_ilsvrc_release(path);
}

static rq_status gather_archive(rq_devkit *g, const char *path, rq_err *err)
{
    rq_source_opts opts;
    rq_tar *t = NULL;
    rq_member *m = rq_alloc(1, sizeof *m);
    rq_source_opts_default(&opts);
    opts.max_depth = 1;
    rq_status s = m != NULL ? rq_tar_open(&t, path, &opts, err)
                            : rq_fail(err, RQ_OOM, "%s: no memory to read it", path);
    for (uint64_t n = 0; s == RQ_OK && (s = rq_tar_next(t, m, err)) == RQ_OK; n++) {
        const rq_devkit_role r =
            m->kind == RQ_MEMBER_FILE && !m->sparse ? role_of(m->path) : RQ_DEVKIT_ROLES;
        if (n == opts.max_entries)
            s = rq_fail(err, RQ_LIMIT, "%s: too many entries", path);
        if (s != RQ_OK || r == RQ_DEVKIT_ROLES || g->have[r])
            continue;
        if (m->bytes > MEMBER_MAX) {
            s = rq_fail(err, RQ_LIMIT, "%s: %s is larger than %d MiB", path, m->path,
                        MEMBER_MAX >> 20);
            continue;
        }
        s = rq_buf_reserve(&g->file[r], (size_t)m->bytes, err);
        if (s == RQ_OK)
            s = rq_tar_read(t, g->file[r].data, (size_t)m->bytes, err);
        if (s == RQ_OK) {
            g->file[r].size = (size_t)m->bytes;
            note(g, r, m->path);
        }
    }
    rq_tar_close(&t);
    rq_free(m);
    return s == RQ_END ? RQ_OK : s;
}

static rq_status gather_folder(rq_devkit *g, const char *path, rq_err *err)
{
    static const char *const folders[] = {".", "data", "ILSVRC2012_devkit_t12/data",
                                          "ILSVRC2014_devkit/data"};
    static const struct {
        rq_devkit_role is;
        const char *name;
    } files[] = {{RQ_DEVKIT_META, "meta.mat"},
                 {RQ_DEVKIT_META, "meta_clsloc.mat"},
                 {RQ_DEVKIT_TRUTH, "ILSVRC2012_validation_ground_truth.txt"},
                 {RQ_DEVKIT_TRUTH, "ILSVRC2014_clsloc_validation_ground_truth.txt"},
                 {RQ_DEVKIT_SOLUTION, "LOC_val_solution.csv"},
                 {RQ_DEVKIT_MAPPING, "LOC_synset_mapping.txt"}};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        for (size_t k = 0; k < sizeof files / sizeof *files; k++) {
            const rq_devkit_role r = files[k].is;
            char file[RQ_PATH_BYTES_MAX];
            const int n =
                snprintf(file, sizeof file, "%s/%s/%s", path, folders[i], files[k].name);
            struct stat st;
            if (n < 0 || (size_t)n >= sizeof file || g->have[r] || stat(file, &st) != 0)
                continue;
            RQ_TRY(rq_read_regular(file, MEMBER_MAX, &g->file[r], err));
            note(g, r, file);
        }
    }
    return RQ_OK;
}

/* The meta.mat, of whatever name, that stands beside a ground truth on its own. */
static rq_status gather_sibling(rq_devkit *g, const char *path, rq_err *err)
{
    static const char *const names[] = {"meta.mat", "meta_clsloc.mat"};
    const size_t folder = (size_t)(rq_path_base(path) - path);
    for (size_t i = 0; i < sizeof names / sizeof *names && !g->have[RQ_DEVKIT_META]; i++) {
        char file[RQ_PATH_BYTES_MAX];
        const int n = snprintf(file, sizeof file, "%.*s%s", (int)folder, path, names[i]);
        struct stat st;
        if (n < 0 || (size_t)n >= sizeof file || stat(file, &st) != 0)
            continue;
        RQ_TRY(rq_read_regular(file, MEMBER_MAX, &g->file[RQ_DEVKIT_META], err));
        g->have[RQ_DEVKIT_META] = true;
    }
    return RQ_OK;
}

static bool is_archive(const char *path)
{
    if (rq_archive_stem(path) > 0)
        return true;
    const size_t n = strlen(path);
    return n > 3 && strcasecmp(path + n - 3, ".gz") == 0;
}

/* *text: the path is a text file, which is not read here. */
rq_status rq_devkit_gather(rq_devkit *g, const char *path, bool *text, rq_err *err)
{
    struct stat st;
    *text = false;
    if (stat(path, &st) != 0)
        return rq_fail_errno(err, "%s", path);
    if (S_ISDIR(st.st_mode))
        return gather_folder(g, path, err);
    if (is_archive(path))
        return gather_archive(g, path, err);
    const rq_devkit_role r = role_of(path);
    if (r == RQ_DEVKIT_ROLES && !ends_with(path, ".mat")) {
        *text = true;
        return RQ_OK;
    }
    const rq_devkit_role as = r == RQ_DEVKIT_ROLES ? RQ_DEVKIT_META : r;
    RQ_TRY(rq_read_regular(path, MEMBER_MAX, &g->file[as], err));
    note(g, as, path);
    return as == RQ_DEVKIT_TRUTH ? gather_sibling(g, path, err) : RQ_OK;
}

/* ---- classes ----------------------------------------------------------------------------- */

/* The synsets of meta.mat while they are visited. */
typedef struct synset {
    int id;
    bool leaf;
    char wnid[CLASS_NAME_MAX + 1];
} synset;

typedef struct synset_list {
    synset *items;
    size_t n, cap;
} synset_list;

static rq_status on_field(void *cookie, size_t row, const char *field, const rq_mat_value *v,
                          rq_err *err)
{
    synset_list *l = cookie;
    if (row == l->n) {
        void *items = l->items;
        RQ_TRY(rq_grow(&items, &l->cap, l->n + 1, sizeof *l->items, err));
        l->items = items;
        l->items[l->n++] = (synset){.leaf = true};
    }
    synset *s = &l->items[row];
    if (strncmp(field, "ILSVRC", 6) == 0 && ends_with(field, "_ID") && !v->is_text &&
        v->number >= 1 && v->number <= RQ_ROWS_LABEL_MAX)
        s->id = (int)v->number;
    else if (strcmp(field, "WNID") == 0 && v->is_text)
        snprintf(s->wnid, sizeof s->wnid, "%s", v->text);
    else if (strcmp(field, "num_children") == 0 && !v->is_text && v->count > 0)
        s->leaf = v->number <= 0;
    return RQ_OK;
}

/* Class names must be names, and differ. */
static rq_status check_classes(const rq_class_list *l, const char *path, rq_err *err)
{
    const char **sorted = rq_alloc(l->n, sizeof *sorted);
    if (sorted == NULL)
        return rq_fail(err, RQ_OOM, "%s: no memory for its classes", path);
    rq_status s = l->n > 0 ? RQ_OK : rq_fail(err, RQ_NOT_FOUND, "%s: no classes in it", path);
    memcpy(sorted, l->names, l->n * sizeof *sorted);
    qsort(sorted, l->n, sizeof *sorted, rq_compare_texts);
    for (size_t i = 0; i < l->n && s == RQ_OK; i++) {
        if (!rq_is_class_name(sorted[i]))
            s = rq_fail(err, RQ_BAD_FORMAT, "%s: '%.80s' cannot be the name of a class", path,
                        sorted[i]);
        else if (i > 0 && strcmp(sorted[i - 1], sorted[i]) == 0)
            s = rq_fail(err, RQ_BAD_FORMAT, "%s: class '%s' is in it twice", path, sorted[i]);
    }
    rq_free(sorted);
    return s;
}

/* names[id - 1] of the leaves; their text moves into l->text. */
static rq_status order_leaves(rq_class_list *l, const synset_list *all, const char *path,
                              rq_err *err)
{
    size_t leaves = 0;
    for (size_t i = 0; i < all->n; i++)
        leaves += all->items[i].leaf;
    l->names = rq_calloc(leaves, sizeof *l->names);
    RQ_TRY(rq_buf_reserve(&l->text, leaves * (CLASS_NAME_MAX + 1), err));
    if (l->names == NULL)
        return rq_fail(err, RQ_OOM, "%s: no memory for its classes", path);
    l->n = l->cap = leaves;
    for (size_t i = 0; i < all->n; i++) {
        const synset *s = &all->items[i];
        if (!s->leaf)
            continue;
        if (s->id < 1 || (size_t)s->id > leaves || l->names[s->id - 1] != NULL)
            return rq_fail(err, RQ_BAD_FORMAT,
                           "%s: the ids of its %zu classes without children are not 1 to %zu, "
                           "each once: '%s' has %d; get the devkit again",
                           path, leaves, leaves, s->wnid, s->id);
        char *copy = (char *)l->text.data + l->text.size;
        memcpy(copy, s->wnid, strlen(s->wnid) + 1);
        l->text.size += strlen(s->wnid) + 1;
        l->names[s->id - 1] = copy;
    }
    return RQ_OK;
}

rq_status rq_devkit_classes(rq_class_list *l, const rq_buf *meta, const char *path, rq_err *err)
{
    synset_list all = {0};
    rq_status s =
        rq_mat_read_struct(meta->data, meta->size, path, "synsets", on_field, &all, err);
    if (s == RQ_OK)
        s = order_leaves(l, &all, path, err);
    if (s == RQ_OK)
        s = check_classes(l, path, err);
    l->ilsvrc_ids = true;
    rq_free(all.items);
    return s;
}

static rq_status classes_of_rows(rq_class_list *l, rq_rows *rows, bool first_word,
                                 const char *path, rq_err *err)
{
    l->names = rq_alloc(rows->n, sizeof *l->names);
    if (l->names == NULL)
        return rq_fail(err, RQ_OOM, "%s: no memory for its classes", path);
    l->n = l->cap = rows->n;
    for (size_t i = 0; i < rows->n; i++) {
        char *name = rows->rows[i].name;
        const size_t word = strcspn(name, " \t,");
        if (first_word || rq_is_wnid(name, word))
            name[word] = '\0';
        l->names[i] = name;
    }
    return check_classes(l, path, err);
}

static rq_status read_class_list(rq_class_list *out, rq_devkit *g, const char *path, bool text,
                                 rq_err *err)
{
    if (g->have[RQ_DEVKIT_META])
        return rq_devkit_classes(out, &g->file[RQ_DEVKIT_META], path, err);
    if (!text && !g->have[RQ_DEVKIT_MAPPING])
        return rq_fail(err, RQ_NOT_FOUND,
                       "%s holds no list of classes: neither meta.mat nor "
                       "LOC_synset_mapping.txt",
                       path);
    rq_rows rows = {0};
    RQ_TRY(text ? rq_rows_read(&rows, path, RQ_ROWS_NAMES, err)
                : rq_rows_parse(&rows, &g->file[RQ_DEVKIT_MAPPING], RQ_ROWS_NAMES, path, err));
    const rq_status s = classes_of_rows(out, &rows, !text, path, err);
    out->text = rows.text; /* the names point into it */
    rows.text = (rq_buf){0};
    rq_rows_free(&rows);
    return s;
}

rq_status rq_class_list_read(rq_class_list *out, const char *path, rq_err *err)
{
    rq_devkit g = {0};
    bool text;
    memset(out, 0, sizeof *out);
    rq_status s = rq_devkit_gather(&g, path, &text, err);
    if (s == RQ_OK)
        s = read_class_list(out, &g, path, text, err);
    rq_devkit_free(&g);
    if (s != RQ_OK)
        rq_class_list_free(out);
    return s;
}

const char *rq_class_list_at(const rq_class_list *l, int number)
{
    const size_t i = l->ilsvrc_ids ? (size_t)number - 1 : (size_t)number;
    return number >= 0 && i < l->n ? l->names[i] : NULL;
}

void rq_class_list_free(rq_class_list *l)
{
    rq_free(l->names);
    rq_buf_free(&l->text);
    memset(l, 0, sizeof *l);
}
