// SPDX-License-Identifier: Apache-2.0
// The source: walks its inputs, decides what their layout means, sorts the catalogue, and hands
// out records. The order of the catalogue (class, then name, by byte value) is what makes a
// sample id; the order of reading is that of the storage, so that a disk is read forwards.
#include "ingest/source_impl.h"

#include "common/file.h"
#include "ingest/codec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct input {
    char *path;
    bool is_folder;
    rq_walk walk;
    rq_layout layout;
} input;

struct rq_source {
    rq_catalogue catalogue;
    input *inputs;
    size_t n_inputs;
    rq_layout layout;
    const char **labels; /* class names in label order */
    int n_labels;
    uint64_t bytes;
    uint64_t *order; /* ids in reading order */
    uint64_t at;     /* next place in order */
    rq_tar *tar;     /* open archive of input tar_input */
    uint32_t tar_input;
    uint64_t tar_sequence; /* items of it that were passed */
    rq_member *member;
    rq_buf data;
    uint64_t excluded;
    char about[512];
};

const char *rq_layout_name(rq_layout layout)
{
    static const char *const names[] = {
        "auto",       "class-folders", "flat-folder", "tar-of-tars", "tar-folders", "tar-flat",
        "class-tars", "kaggle",        "huggingface", "webdataset",  "list"};
    return (unsigned)layout < sizeof names / sizeof *names ? names[layout] : "unknown";
}

const char *rq_split_name(rq_split split)
{
    static const char *const names[] = {"any", "train", "val", "test"};
    return (unsigned)split < sizeof names / sizeof *names ? names[split] : "unknown";
}

void rq_source_opts_default(rq_source_opts *o)
{
    memset(o, 0, sizeof *o);
    o->max_member_bytes = (size_t)64 << 20;
    o->max_entries = 20000000;
    o->max_name_bytes = (size_t)4 << 30;
    o->max_depth = 2;
}

/* ---- layout ------------------------------------------------------------------------------ */

static bool has_labels(rq_layout layout)
{
    return layout != RQ_LAYOUT_FLAT_FOLDER && layout != RQ_LAYOUT_TAR_FLAT;
}

/* A layout asked for is taken as "with classes" or "without" for the other kind of input. */
static rq_status choose_layout(const rq_source_opts *opts, input *in, rq_err *err)
{
    const rq_walk *w = &in->walk;
    const bool asked = opts->layout != RQ_LAYOUT_AUTO;
    if (opts->layout == RQ_LAYOUT_TAR_OF_TARS && (in->is_folder || w->nested == 0))
        return rq_fail(err, RQ_INVALID_ARG,
                       "%s is no tar of per-class tars, as the layout says", in->path);
    const bool labels = asked ? has_labels(opts->layout) : w->nested + w->foldered > 0;
    if (in->is_folder)
        in->layout = labels ? RQ_LAYOUT_CLASS_FOLDERS : RQ_LAYOUT_FLAT_FOLDER;
    else if (!labels)
        in->layout = RQ_LAYOUT_TAR_FLAT;
    else
        in->layout = w->nested > 0 && opts->layout != RQ_LAYOUT_TAR_FOLDERS
                         ? RQ_LAYOUT_TAR_OF_TARS
                         : RQ_LAYOUT_TAR_FOLDERS;
    return RQ_OK;
}

/* Cuts an item's name into class and name; *keep is false when it is in no class. */
static rq_status assign_class(rq_catalogue *c, rq_item *item, rq_layout layout, bool *keep,
                              rq_err *err)
{
    const char *slash;
    *keep = true;
    switch (layout) {
    case RQ_LAYOUT_CLASS_FOLDERS:
        slash = strchr(item->name, '/');
        *keep = slash != NULL;
        return *keep ? rq_catalogue_class(c, item->name, (size_t)(slash - item->name),
                                          &item->class_name, err)
                     : RQ_OK;
    case RQ_LAYOUT_TAR_FOLDERS:
        slash = strrchr(item->name, '/');
        *keep = slash != NULL;
        if (!*keep)
            return RQ_OK;
        const char *start = slash;
        while (start > item->name && start[-1] != '/')
            start--;
        item->name = start;
        return rq_catalogue_class(c, start, (size_t)(slash - start), &item->class_name, err);
    case RQ_LAYOUT_TAR_OF_TARS:
        *keep = item->class_name != NULL;
        return RQ_OK;
    default:
        item->class_name = NULL;
        return RQ_OK;
    }
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Whether a sorted list of paths has one inside of `folder`. */
static bool any_inside(const char *const *paths, size_t n, const char *folder)
{
    const size_t length = strlen(folder);
    size_t low = 0, high = n;
    while (low < high) { /* first path behind "folder/" */
        const size_t middle = low + (high - low) / 2;
        const int order = strncmp(paths[middle], folder, length);
        if (order < 0 || (order == 0 && (unsigned char)paths[middle][length] < '/'))
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && strncmp(paths[low], folder, length) == 0 && paths[low][length] == '/';
}

/* In a tar of class folders, a folder with nothing in it is a class without images. */
static rq_status add_empty_folders(rq_catalogue *c, size_t first, rq_err *err)
{
    const size_t n_paths = c->n_items - first + c->n_folders;
    if (c->n_folders == 0)
        return RQ_OK;
    const char **paths = rq_alloc(n_paths, sizeof *paths);
    if (paths == NULL)
        return rq_fail(err, RQ_OOM, "no memory for the list of folders");
    memcpy(paths, c->folders, c->n_folders * sizeof *paths);
    for (size_t i = first; i < c->n_items; i++)
        paths[c->n_folders + i - first] = c->items[i].name;
    qsort(paths, n_paths, sizeof *paths, by_text);
    rq_status s = RQ_OK;
    for (size_t i = 0; i < c->n_folders && s == RQ_OK; i++) {
        const char *unused, *base = rq_path_base(c->folders[i]);
        if (!rq_is_no_image(c->folders[i]) && !any_inside(paths, n_paths, c->folders[i]))
            s = rq_catalogue_class(c, base, strlen(base), &unused, err);
    }
    rq_free(paths);
    return s;
}

/* Gives the items from `first` on their classes and drops those that are in none. */
static rq_status resolve_names(rq_catalogue *c, size_t first, size_t first_class,
                               const input *in, rq_err *err)
{
    if (!has_labels(in->layout))
        c->n_classes = first_class;
    if (in->layout == RQ_LAYOUT_TAR_FOLDERS)
        RQ_TRY(add_empty_folders(c, first, err));
    size_t kept = first;
    const char *dropped = NULL;
    for (size_t i = first; i < c->n_items; i++) {
        bool keep;
        RQ_TRY(assign_class(c, &c->items[i], in->layout, &keep, err));
        if (keep)
            c->items[kept++] = c->items[i];
        else if (dropped == NULL)
            dropped = c->items[i].name;
    }
    if (dropped != NULL)
        rq_log(&c->opts.log, RQ_LOG_WARN,
               "%s: %zu files are in no class folder and are passed over, the first is %s",
               in->path, c->n_items - kept, dropped);
    c->passed_over += c->n_items - kept;
    c->n_items = kept;
    return RQ_OK;
}

/* ---- opening ----------------------------------------------------------------------------- */

static const char next_step[] = "give a folder of class folders or a tar archive";

static rq_status look_at_input(input *in, rq_err *err)
{
    struct stat st;
    if (stat(in->path, &st) != 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            return rq_fail(err, RQ_NOT_FOUND, "%s: no such folder or archive; %s", in->path,
                           next_step);
        return rq_fail_errno(err, "%s", in->path);
    }
    in->is_folder = S_ISDIR(st.st_mode);
    if (in->is_folder || !S_ISREG(st.st_mode))
        return RQ_OK;
    uint8_t head[32];
    FILE *f = fopen(in->path, "rbe");
    if (f == NULL)
        return rq_fail_errno(err, "%s", in->path);
    const size_t n = fread(head, 1, sizeof head, f);
    fclose(f);
    const rq_codec codec = rq_codec_sniff(head, n);
    if (codec != RQ_CODEC_UNKNOWN)
        return rq_fail(err, RQ_UNSUPPORTED, "%s is a single %s image; %s", in->path,
                       rq_codec_name(codec), next_step);
    return RQ_OK;
}

static rq_status walk_input(rq_source *s, uint32_t index, rq_err *err)
{
    rq_catalogue *c = &s->catalogue;
    input *in = &s->inputs[index];
    const size_t first = c->n_items, first_class = c->n_classes;
    c->n_folders = 0;
    RQ_TRY(look_at_input(in, err));
    if (in->is_folder)
        RQ_TRY(rq_dir_walk(c, index, in->path, &in->walk, err));
    else
        RQ_TRY(rq_tar_walk(c, index, in->path, &in->walk, err));
    RQ_TRY(choose_layout(&c->opts, in, err));
    RQ_TRY(resolve_names(c, first, first_class, in, err));
    if (c->n_items == first && in->walk.archives > 0)
        return rq_fail(err, RQ_NOT_FOUND,
                       "%s holds %llu archives and no images; give a tar of these tars, or "
                       "unpack each into a folder of its name",
                       in->path, (unsigned long long)in->walk.archives);
    if (index == 0)
        s->layout = in->layout;
    if (has_labels(in->layout) != has_labels(s->layout) && c->n_items > first)
        return rq_fail(err, RQ_INVALID_ARG,
                       "%s is %s and %s is %s: either all inputs have classes or none has",
                       s->inputs[0].path, rq_layout_name(s->layout), in->path,
                       rq_layout_name(in->layout));
    return RQ_OK;
}

static int by_class_and_name(const void *a, const void *b)
{
    const rq_item *x = a, *y = b;
    if (x->class_name != y->class_name && x->class_name != NULL && y->class_name != NULL) {
        const int classes = strcmp(x->class_name, y->class_name);
        if (classes != 0)
            return classes;
    }
    const int names = strcmp(x->name, y->name);
    if (names != 0)
        return names;
    if (x->input != y->input)
        return x->input < y->input ? -1 : 1;
    return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
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

/* Sorted class names without repeats, and each item's place among them. */
static rq_status assign_labels(rq_source *s, rq_err *err)
{
    rq_catalogue *c = &s->catalogue;
    qsort(c->classes, c->n_classes, sizeof *c->classes, by_text);
    size_t n = 0;
    for (size_t i = 0; i < c->n_classes; i++) {
        if (n == 0 || strcmp(c->classes[n - 1], c->classes[i]) != 0)
            c->classes[n++] = c->classes[i];
    }
    if (n > INT32_MAX)
        return rq_fail(err, RQ_LIMIT, "more than %d classes", INT32_MAX);
    s->labels = c->classes;
    s->n_labels = (int)n;
    size_t at = 0;
    for (int label = 0; label < s->n_labels; label++) {
        const size_t first = at;
        for (; at < c->n_items && strcmp(c->items[at].class_name, s->labels[label]) == 0; at++)
            c->items[at].label = label;
        if (at == first)
            rq_log(&c->opts.log, RQ_LOG_WARN, "class '%s' has no images; it keeps label %d",
                   s->labels[label], label);
    }
    return RQ_OK;
}

static int by_storage(const void *a, const void *b, void *context)
{
    const rq_item *items = context;
    const rq_item *x = &items[*(const uint64_t *)a], *y = &items[*(const uint64_t *)b];
    if (x->input != y->input)
        return x->input < y->input ? -1 : 1;
    return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

static rq_status sort_catalogue(rq_source *s, rq_err *err)
{
    rq_catalogue *c = &s->catalogue;
    qsort(c->items, c->n_items, sizeof *c->items, by_class_and_name);
    reject_duplicates(c);
    if (has_labels(s->layout))
        RQ_TRY(assign_labels(s, err));
    s->order = rq_alloc(c->n_items, sizeof *s->order);
    if (s->order == NULL)
        return rq_fail(err, RQ_OOM, "no memory for the order of reading");
    for (size_t i = 0; i < c->n_items; i++) {
        rq_item *item = &c->items[i];
        s->order[i] = i;
        s->bytes += item->bytes;
        if (!has_labels(s->layout))
            item->label = -1;
        if (s->inputs[item->input].is_folder)
            item->sequence = i; /* folders are read in catalogue order */
    }
    qsort_r(s->order, c->n_items, sizeof *s->order, by_storage, c->items);
    return RQ_OK;
}

static rq_status open_inputs(rq_source *s, const char *const *paths, size_t n, rq_err *err)
{
    if (n == 0)
        return rq_fail(err, RQ_INVALID_ARG, "no input; %s", next_step);
    s->inputs = rq_calloc(n, sizeof *s->inputs);
    s->member = rq_alloc(1, sizeof *s->member);
    if (s->inputs == NULL || s->member == NULL || n > UINT32_MAX)
        return rq_fail(err, RQ_OOM, "no memory for %zu inputs", n);
    s->n_inputs = n;
    for (size_t i = 0; i < n; i++) {
        s->inputs[i].path = rq_strdup(paths[i]);
        if (s->inputs[i].path == NULL)
            return rq_fail(err, RQ_OOM, "no memory for %zu inputs", n);
        RQ_TRY(walk_input(s, (uint32_t)i, err));
    }
    if (s->catalogue.n_items == 0)
        return rq_fail(
            err, RQ_NOT_FOUND,
            "%s%s: no images found (%llu other files); looked for JPEG, PNG, AVIF, "
            "PGM and PPM files in class folders, in a flat folder and in tar archives",
            paths[0], n > 1 ? " and other inputs" : "",
            (unsigned long long)s->catalogue.passed_over);
    return sort_catalogue(s, err);
}

rq_status rq_source_open(rq_source **out, const char *const *paths, size_t n,
                         const rq_source_opts *opts, rq_err *err)
{
    *out = NULL;
    rq_source *s = rq_calloc(1, sizeof *s);
    if (s == NULL)
        return rq_fail(err, RQ_OOM, "no memory for a source");
    s->catalogue.opts = *opts;
    const rq_status st = open_inputs(s, paths, n, err);
    if (st != RQ_OK) {
        rq_source_close(&s);
        return st;
    }
    *out = s;
    return RQ_OK;
}

void rq_source_close(rq_source **src)
{
    if (src == NULL || *src == NULL)
        return;
    rq_source *s = *src;
    rq_tar_close(&s->tar);
    for (size_t i = 0; i < s->n_inputs; i++)
        rq_free(s->inputs[i].path);
    rq_free(s->inputs);
    rq_free(s->member);
    rq_free(s->order);
    rq_free(s->catalogue.items);
    rq_free(s->catalogue.classes);
    rq_free(s->catalogue.folders);
    rq_text_free(&s->catalogue.pool);
    rq_buf_free(&s->data);
    rq_free(s);
    *src = NULL;
}

/* ---- looking ----------------------------------------------------------------------------- */

uint64_t rq_source_count(const rq_source *src)
{
    return src->catalogue.n_items;
}

uint64_t rq_source_bytes(const rq_source *src)
{
    return src->bytes;
}

uint64_t rq_source_passed_over(const rq_source *src)
{
    return src->catalogue.passed_over;
}

uint64_t rq_source_excluded(const rq_source *src)
{
    return src->excluded;
}

const char *rq_source_about(const rq_source *src)
{
    return src->about;
}

rq_layout rq_source_layout(const rq_source *src)
{
    return src->layout;
}

int rq_source_classes(const rq_source *src)
{
    return src->n_labels;
}

const char *rq_source_class_name(const rq_source *src, int label)
{
    return label >= 0 && label < src->n_labels ? src->labels[label] : NULL;
}

rq_entry rq_source_entry(const rq_source *src, uint64_t id)
{
    const rq_item *item = &src->catalogue.items[id];
    return (rq_entry){.id = id,
                      .name = item->name,
                      .class_name = item->class_name,
                      .label = item->label,
                      .bytes = item->bytes};
}

/* ---- reading ----------------------------------------------------------------------------- */

static rq_status open_archive(rq_source *s, uint32_t index, rq_err *err)
{
    if (s->tar != NULL && s->tar_input == index)
        return RQ_OK;
    rq_tar_close(&s->tar);
    s->tar_input = index;
    s->tar_sequence = 0;
    return rq_tar_open(&s->tar, s->inputs[index].path, &s->catalogue.opts, err);
}

/* Walks a streamed archive on to the member of this item, as the first pass did. */
static rq_status advance_to(rq_source *s, const rq_item *item, rq_err *err)
{
    for (;;) {
        const rq_status st = rq_tar_next(s->tar, s->member, err);
        if (st == RQ_OK && !rq_tar_is_item(s->member))
            continue;
        if (st != RQ_OK && st != RQ_END)
            return st;
        if (st == RQ_OK && s->tar_sequence++ < item->sequence)
            continue;
        if (st == RQ_OK && s->member->bytes == item->bytes)
            return RQ_OK;
        return rq_fail(err, RQ_BAD_FORMAT, "%s changed while it was read",
                       s->inputs[item->input].path);
    }
}

static rq_status read_member(rq_source *s, const rq_item *item, rq_err *err)
{
    const size_t bytes = (size_t)item->bytes;
    RQ_TRY(open_archive(s, item->input, err));
    RQ_TRY(rq_buf_reserve(&s->data, bytes + 1, err));
    s->data.size = bytes;
    if (s->inputs[item->input].walk.direct)
        return rq_tar_read_at(s->tar, s->data.data, bytes, item->offset, err);
    RQ_TRY(advance_to(s, item, err));
    return rq_tar_read(s->tar, s->data.data, bytes, err);
}

rq_status rq_source_next(rq_source *src, rq_record *rec, rq_err *err)
{
    memset(rec, 0, sizeof *rec);
    if (src->at == src->catalogue.n_items)
        return RQ_END;
    const uint64_t id = src->order[src->at++];
    const rq_item *item = &src->catalogue.items[id];
    rec->entry = rq_source_entry(src, id);
    rec->status = item->status;
    if (item->status != RQ_OK) {
        snprintf(rec->reason, sizeof rec->reason, "%s (%llu bytes)", item->reason,
                 (unsigned long long)item->bytes);
        return RQ_OK;
    }
    const input *in = &src->inputs[item->input];
    if (in->is_folder) {
        RQ_TRY(rq_buf_reserve(&src->data, 1, err));
        RQ_TRY(rq_dir_read(in->path, item->name, src->catalogue.opts.max_member_bytes,
                           &src->data, &rec->status, rec->reason, err));
    } else {
        RQ_TRY(read_member(src, item, err));
    }
    rec->data = rec->status == RQ_OK ? src->data.data : NULL;
    rec->size = rec->status == RQ_OK ? src->data.size : 0;
    return RQ_OK;
}

rq_status rq_source_skip(rq_source *src, uint64_t records, rq_err *err)
{
    const uint64_t left = src->catalogue.n_items - src->at;
    if (records > left)
        return rq_fail(err, RQ_INVALID_ARG,
                       "%llu images are to be skipped, but the source has only %llu more",
                       (unsigned long long)records, (unsigned long long)left);
    src->at += records;
    return RQ_OK;
}

rq_status rq_source_rewind(rq_source *src, rq_err *err)
{
    rq_tar_close(&src->tar);
    src->at = 0;
    return RQ_OK;
}
