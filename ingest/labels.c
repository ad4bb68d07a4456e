// SPDX-License-Identifier: Apache-2.0
// Labels beside the images. First the files that matter are gathered from whatever the path is;
// then classes come from meta.mat or a list, and labels from the ground truth, Kaggle's CSV or
// plain rows. Lookup is by sorted names, and by base name where folders differ.
#include "ingest/labels.h"

#include "common/file.h"
#include "ingest/matfile.h"
#include "ingest/rows.h"
#include "ingest/source_impl.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { MEMBER_MAX = 64 << 20, CLASS_NAME_MAX = 255 };

typedef enum role { META, TRUTH, SOLUTION, MAPPING, ROLES } role;

/* Contents of the files that were there. */
typedef struct gathered {
    rq_buf file[ROLES];
    bool have[ROLES];
} gathered;

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
    int least;
};

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

/* Bytes of a path without its extension. */
static size_t stem_bytes(const char *path)
{
    const char *base = rq_path_base(path), *dot = strrchr(base, '.');
    return dot != NULL && dot != base ? (size_t)(dot - path) : strlen(path);
}

static bool is_class_name(const char *text)
{
    const size_t n = strlen(text);
    return n > 0 && n <= CLASS_NAME_MAX && strchr(text, '/') == NULL;
}

/* ---- gathering --------------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* ROLES for a file of no interest. */
static role role_of(const char *path)
{
    const char *base = rq_path_base(path);
    if (strcmp(base, "meta.mat") == 0 || strcmp(base, "meta_clsloc.mat") == 0)
        return META;
    if (ends_with(base, "validation_ground_truth.txt") && strstr(base, "_det_") == NULL)
        return TRUTH;
    if (strcmp(base, "LOC_val_solution.csv") == 0)
        return SOLUTION;
    return strcmp(base, "LOC_synset_mapping.txt") == 0 ? MAPPING : ROLES;
}

static void gathered_free(gathered *g)
{
    for (int i = 0; i < ROLES; i++)
        rq_buf_free(&g->file[i]);
}

static rq_status gather_archive(gathered *g, const char *path, rq_err *err)
{
    rq_source_opts opts;
    rq_tar *t = NULL;
    rq_member *m = rq_alloc(1, sizeof *m);
    rq_source_opts_default(&opts);
    opts.max_depth = 1;
    rq_status s = m != NULL ? rq_tar_open(&t, path, &opts, err)
                            : rq_fail(err, RQ_OOM, "%s: no memory to read it", path);
    for (uint64_t n = 0; s == RQ_OK && (s = rq_tar_next(t, m, err)) == RQ_OK; n++) {
        const role r = m->kind == RQ_MEMBER_FILE && !m->sparse ? role_of(m->path) : ROLES;
        if (n == opts.max_entries)
            s = rq_fail(err, RQ_LIMIT, "%s: too many entries", path);
        if (s != RQ_OK || r == ROLES || g->have[r])
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
            g->have[r] = true;
        }
    }
    rq_tar_close(&t);
    rq_free(m);
    return s == RQ_END ? RQ_OK : s;
}

static rq_status gather_folder(gathered *g, const char *path, rq_err *err)
{
    static const char *const folders[] = {".", "data", "ILSVRC2012_devkit_t12/data",
                                          "ILSVRC2014_devkit/data"};
    static const struct {
        role is;
        const char *name;
    } files[] = {{META, "meta.mat"},
                 {META, "meta_clsloc.mat"},
                 {TRUTH, "ILSVRC2012_validation_ground_truth.txt"},
                 {TRUTH, "ILSVRC2014_clsloc_validation_ground_truth.txt"},
                 {SOLUTION, "LOC_val_solution.csv"},
                 {MAPPING, "LOC_synset_mapping.txt"}};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        for (size_t k = 0; k < sizeof files / sizeof *files; k++) {
            const role r = files[k].is;
            char file[RQ_PATH_BYTES_MAX];
            const int n =
                snprintf(file, sizeof file, "%s/%s/%s", path, folders[i], files[k].name);
            struct stat st;
            if (n < 0 || (size_t)n >= sizeof file || g->have[r] || stat(file, &st) != 0)
                continue;
            RQ_TRY(rq_read_regular(file, MEMBER_MAX, &g->file[r], err));
            g->have[r] = true;
        }
    }
    return RQ_OK;
}

/* The meta.mat that stands beside a ground truth on its own. */
static rq_status gather_sibling(gathered *g, const char *path, rq_err *err)
{
    const size_t folder = (size_t)(rq_path_base(path) - path);
    char file[RQ_PATH_BYTES_MAX];
    const int n = snprintf(file, sizeof file, "%.*smeta.mat", (int)folder, path);
    struct stat st;
    if (n < 0 || (size_t)n >= sizeof file || stat(file, &st) != 0)
        return RQ_OK;
    RQ_TRY(rq_read_regular(file, MEMBER_MAX, &g->file[META], err));
    g->have[META] = true;
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
static rq_status gather(gathered *g, const char *path, bool *text, rq_err *err)
{
    struct stat st;
    *text = false;
    if (stat(path, &st) != 0)
        return rq_fail_errno(err, "%s", path);
    if (S_ISDIR(st.st_mode))
        return gather_folder(g, path, err);
    if (is_archive(path))
        return gather_archive(g, path, err);
    const role r = role_of(path);
    if (r == ROLES && !ends_with(path, ".mat")) {
        *text = true;
        return RQ_OK;
    }
    const role as = r == ROLES ? META : r;
    RQ_TRY(rq_read_regular(path, MEMBER_MAX, &g->file[as], err));
    g->have[as] = true;
    return as == TRUTH ? gather_sibling(g, path, err) : RQ_OK;
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

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Class names must be names, and differ. */
static rq_status check_classes(const rq_class_list *l, const char *path, rq_err *err)
{
    const char **sorted = rq_alloc(l->n, sizeof *sorted);
    if (sorted == NULL)
        return rq_fail(err, RQ_OOM, "%s: no memory for its classes", path);
    rq_status s = l->n > 0 ? RQ_OK : rq_fail(err, RQ_NOT_FOUND, "%s: no classes in it", path);
    memcpy(sorted, l->names, l->n * sizeof *sorted);
    qsort(sorted, l->n, sizeof *sorted, by_text);
    for (size_t i = 0; i < l->n && s == RQ_OK; i++) {
        if (!is_class_name(sorted[i]))
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

static rq_status classes_of_meta(rq_class_list *l, const rq_buf *meta, const char *path,
                                 rq_err *err)
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

static rq_status read_class_list(rq_class_list *out, gathered *g, const char *path, bool text,
                                 rq_err *err)
{
    if (g->have[META])
        return classes_of_meta(out, &g->file[META], path, err);
    if (!text && !g->have[MAPPING])
        return rq_fail(err, RQ_NOT_FOUND,
                       "%s holds no list of classes: neither meta.mat nor "
                       "LOC_synset_mapping.txt",
                       path);
    rq_rows rows = {0};
    RQ_TRY(text ? rq_rows_read(&rows, path, RQ_ROWS_NAMES, err)
                : rq_rows_parse(&rows, &g->file[MAPPING], RQ_ROWS_NAMES, path, err));
    const rq_status s = classes_of_rows(out, &rows, !text, path, err);
    out->text = rows.text; /* the names point into it */
    rows.text = (rq_buf){0};
    rq_rows_free(&rows);
    return s;
}

rq_status rq_class_list_read(rq_class_list *out, const char *path, rq_err *err)
{
    gathered g = {0};
    bool text;
    memset(out, 0, sizeof *out);
    rq_status s = gather(&g, path, &text, err);
    if (s == RQ_OK)
        s = read_class_list(out, &g, path, text, err);
    gathered_free(&g);
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

/* ---- labels ------------------------------------------------------------------------------ */

/* The class that a label's text means; numbers by the list, if there is one. */
static rq_status resolve(const rq_labels *l, const rq_class_list *classes, const rq_row *row,
                         const char *text, const char **out, const char *path, rq_err *err)
{
    const int number = rq_label_number(text);
    *out = text;
    if (!is_class_name(text))
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

static int compare_base(const label *x, const label *y)
{
    const char *a = rq_path_base(x->name), *b = rq_path_base(y->name);
    const size_t n = stem_bytes(a), m = stem_bytes(b);
    const int order = memcmp(a, b, n < m ? n : m);
    return order != 0 ? order : (n > m) - (n < m);
}

static int by_base_name(const void *a, const void *b, void *context)
{
    const label *labels = context;
    return compare_base(&labels[*(const uint32_t *)a], &labels[*(const uint32_t *)b]);
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

static rq_status open_labels(rq_labels *l, gathered *g, const rq_class_list *classes,
                             const char *path, bool text, rq_err *err)
{
    if (text) {
        RQ_TRY(rq_rows_read(&l->rows, path, RQ_ROWS_AUTO, err));
        return labels_of_rows(l, classes, path, err);
    }
    if (g->have[META])
        RQ_TRY(classes_of_meta(&l->classes, &g->file[META], path, err));
    if (g->have[TRUTH]) {
        if (g->have[META])
            classes = &l->classes;
        if (classes == NULL || !classes->ilsvrc_ids)
            return rq_fail(err, RQ_INVALID_ARG,
                           "the labels in %s are ILSVRC ids, which only the devkit's meta.mat "
                           "explains; put it beside them or give the whole devkit",
                           path);
        l->by_number = true;
        RQ_TRY(rq_rows_parse(&l->rows, &g->file[TRUTH], RQ_ROWS_NAMES, path, err));
        return labels_of_rows(l, classes, path, err);
    }
    if (!g->have[SOLUTION])
        return rq_fail(err, RQ_NOT_FOUND,
                       "%s holds no labels: neither ILSVRC2012_validation_ground_truth.txt nor "
                       "LOC_val_solution.csv",
                       path);
    RQ_TRY(rq_rows_parse(&l->rows, &g->file[SOLUTION], RQ_ROWS_AUTO, path, err));
    if (!l->rows.paired)
        return rq_fail(err, RQ_BAD_FORMAT, "%s: a line without a label", path);
    return labels_of_rows(l, classes, path, err);
}

rq_status rq_labels_open(rq_labels **out, const char *path, const rq_class_list *classes,
                         rq_err *err)
{
    gathered g = {0};
    bool text;
    *out = NULL;
    rq_labels *l = rq_calloc(1, sizeof *l);
    if (l == NULL)
        return rq_fail(err, RQ_OOM, "%s: no memory for its labels", path);
    rq_status s = gather(&g, path, &text, err);
    if (s == RQ_OK)
        s = open_labels(l, &g, classes, path, text, err);
    gathered_free(&g);
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

/* Whether one path ends in the other, in whole parts and without extensions. */
static bool same_ending(const char *a, const char *b)
{
    size_t n = stem_bytes(a), m = stem_bytes(b);
    const size_t common = n < m ? n : m;
    const char *longer = n < m ? b : a;
    const size_t rest = (n < m ? m : n) - common;
    if (memcmp(a + n - common, b + m - common, common) != 0)
        return false;
    return rest == 0 || longer[rest - 1] == '/';
}

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
    const label key = {.name = name};
    size_t low = 0, high = l->n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (compare_base(&l->labels[l->by_base[middle]], &key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    const char *found = NULL;
    for (; low < l->n; low++) {
        label *at = &l->labels[l->by_base[low]];
        if (compare_base(at, &key) != 0)
            break;
        if (!same_ending(at->name, name))
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
        if (number == 0 || number > l->n || is_test)
            return NULL;
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
