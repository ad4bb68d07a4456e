// SPDX-License-Identifier: Apache-2.0
// From class names to label numbers. A label is the place of its class among the sorted names,
// so that train and val agree whatever each of them holds; labels that were integers to begin
// with keep their value. Classes are those of the images, of a given list, and folders or
// archives that turned out empty.
#include "ingest/source_impl.h"

#include "common/file.h"
#include "ingest/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Either every image has a class or none has; classes are numbers or names. */
static rq_status check_kinds(rq_source *s, rq_err *err)
{
    const rq_catalogue *c = &s->catalogue;
    const rq_item *with = NULL, *without = NULL, *number = NULL, *name = NULL;
    for (size_t i = 0; i < c->n_items; i++) {
        const rq_item *item = &c->items[i];
        if (item->class_name == NULL)
            without = item;
        else
            with = item;
        if (item->class_name != NULL && item->numbered)
            number = item;
        else if (item->class_name != NULL)
            name = item;
    }
    if (with != NULL && without != NULL)
        return rq_fail(err, RQ_INVALID_ARG,
                       "%s is %s and %s is %s: either all inputs have classes or none has",
                       rq_input_name(&s->inputs[with->input]),
                       rq_layout_name(s->inputs[with->input].layout),
                       rq_input_name(&s->inputs[without->input]),
                       rq_layout_name(s->inputs[without->input].layout));
    if (number != NULL && name != NULL)
        return rq_fail(err, RQ_INVALID_ARG,
                       "the label of %s is a number and that of %s is a name; all must be of "
                       "one kind",
                       number->stored, name->stored);
    s->labelled = with != NULL;
    s->numbered = number != NULL;
    return RQ_OK;
}

/* With a list, numbers are places in it. A devkit's list is in the order of ILSVRC ids, from 1,
 * which labels from 0 must not be taken for. */
static rq_status name_numbers(rq_source *s, rq_err *err)
{
    rq_catalogue *c = &s->catalogue;
    if (s->class_list.ilsvrc_ids)
        return rq_fail(
            err, RQ_INVALID_ARG,
            "the label of %s is the number %s, and the list of classes is a devkit's, "
            "in the order of ILSVRC ids; give --classes as LOC_synset_mapping.txt or "
            "one name a line, in the order of the numbers",
            c->items[0].stored, c->items[0].class_name);
    for (size_t i = 0; i < c->n_items; i++) {
        rq_item *item = &c->items[i];
        const int number = rq_label_number(item->class_name);
        const char *name = rq_class_list_at(&s->class_list, number);
        if (name == NULL)
            return rq_fail(err, RQ_INVALID_ARG,
                           "the label of %s is %d, and the %zu classes of the list have the "
                           "numbers from 0 on",
                           item->stored, number, s->class_list.n);
        RQ_TRY(rq_item_set_label(c, item, name, false, err));
    }
    s->numbered = false;
    return RQ_OK;
}

/* Which of the catalogue's class names are classes: one flag each. */
typedef struct class_set {
    bool *is_class;
    bool *has_images;
    int32_t *label;
    size_t n;
} class_set;

static rq_status note_class(rq_catalogue *c, const char *name, size_t bytes, class_set *set,
                            bool has_images, rq_err *err)
{
    const char *unused;
    size_t index;
    RQ_TRY(rq_catalogue_class(c, name, bytes, &unused, &index, err));
    if (set == NULL)
        return RQ_OK;
    set->is_class[index] = true;
    set->has_images[index] = set->has_images[index] || has_images;
    return RQ_OK;
}

static rq_status class_index(rq_catalogue *c, const char *name, size_t *index, rq_err *err)
{
    const char *unused;
    return rq_catalogue_class(c, name, strlen(name), &unused, index, err);
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
    return low < n && rq_is_inside(paths[low], folder, length);
}

/* In a tar of class folders, a folder with nothing in it is a class without images: the others
 * are dropped, and these cut to their last parts. */
static rq_status keep_empty_folders(rq_catalogue *c, rq_input *in, rq_err *err)
{
    const size_t n_folders = in->end_folder - in->first_folder;
    const size_t n_items = in->end - in->first, n_paths = n_folders + n_items;
    rq_folder *folders = c->folders + in->first_folder;
    const char **paths = rq_alloc(n_paths, sizeof *paths);
    if (paths == NULL)
        return rq_fail(err, RQ_OOM, "no memory for the list of folders");
    for (size_t i = 0; i < n_folders; i++)
        paths[i] = folders[i].path;
    for (size_t i = 0; i < n_items; i++)
        paths[n_folders + i] = c->items[in->first + i].stored;
    qsort(paths, n_paths, sizeof *paths, rq_compare_texts);
    size_t kept = 0;
    for (size_t i = 0; i < n_folders; i++) {
        const char *path = folders[i].path;
        if (!folders[i].is_archive && !rq_is_no_image(path) &&
            !any_inside(paths, n_paths, path))
            folders[kept++].path = rq_path_base(path);
    }
    in->end_folder = in->first_folder + kept;
    rq_free(paths);
    return RQ_OK;
}

/* Calls rq_catalogue_class for the classes that an input has even without images of them; with
 * a set, marks them. */
static rq_status note_classes(rq_catalogue *c, const rq_input *in, class_set *set, rq_err *err)
{
    const bool folders = in->layout == RQ_LAYOUT_CLASS_FOLDERS ||
                         in->layout == RQ_LAYOUT_TAR_FOLDERS ||
                         in->layout == RQ_LAYOUT_TAR_OF_TARS || in->layout == RQ_LAYOUT_KAGGLE;
    const bool archives = in->layout == RQ_LAYOUT_TAR_OF_TARS;
    if (in->layout == RQ_LAYOUT_CLASS_TARS) {
        const char *base = rq_path_base(in->path);
        RQ_TRY(note_class(c, base, rq_archive_stem(base), set, false, err));
    }
    for (size_t i = in->first_folder; i < in->end_folder && folders; i++) {
        const rq_folder *f = &c->folders[i];
        if (f->is_archive == archives)
            RQ_TRY(note_class(c, f->path, strlen(f->path), set, false, err));
    }
    return RQ_OK;
}

/* All classes into the catalogue's names or, in a second pass, into the set over these. */
static rq_status note_all(rq_source *s, class_set *set, rq_err *err)
{
    rq_catalogue *c = &s->catalogue;
    const char *last = NULL;
    for (size_t i = 0; i < c->n_items && set != NULL; i++) {
        const char *name = c->items[i].class_name;
        if (name != last)
            RQ_TRY(note_class(c, name, strlen(name), set, true, err));
        last = name;
    }
    for (size_t i = 0; i < s->class_list.n; i++) {
        const char *name = s->class_list.names[i];
        RQ_TRY(note_class(c, name, strlen(name), set, false, err));
    }
    if (s->class_list.n > 0 || s->labels_about != NULL)
        return RQ_OK;
    for (size_t i = 0; i < s->n_inputs; i++)
        RQ_TRY(note_classes(c, &s->inputs[i], set, err));
    return RQ_OK;
}

/* With a list of all classes, others are a mistake somewhere. */
static rq_status check_listed(rq_source *s, rq_err *err)
{
    rq_catalogue *c = &s->catalogue;
    if (s->class_list.n == 0)
        return RQ_OK;
    const char **sorted = rq_alloc(s->class_list.n, sizeof *sorted);
    if (sorted == NULL)
        return rq_fail(err, RQ_OOM, "no memory for the list of classes");
    memcpy(sorted, s->class_list.names, s->class_list.n * sizeof *sorted);
    qsort(sorted, s->class_list.n, sizeof *sorted, rq_compare_texts);
    const char *last = NULL;
    rq_status st = RQ_OK;
    for (size_t i = 0; i < c->n_items && st == RQ_OK; i++) {
        const char *name = c->items[i].class_name;
        if (name != last &&
            bsearch(&name, sorted, s->class_list.n, sizeof *sorted, rq_compare_texts) == NULL)
            st = rq_fail(err, RQ_INVALID_ARG,
                         "the class '%s' of %s is not in the list of %zu classes", name,
                         c->items[i].stored, s->class_list.n);
        last = name;
    }
    rq_free(sorted);
    return st;
}

static void warn_empty(const rq_source *s, size_t empty, int first)
{
    const rq_log_sink *log = &s->catalogue.opts.log;
    if (empty == 1)
        rq_log(log, RQ_LOG_WARN, "class '%s' has no images; it keeps label %d",
               s->labels[first], first);
    else if (empty > 1)
        rq_log(log, RQ_LOG_WARN,
               "%zu of %d classes have no images and keep their labels, the first is '%s' with "
               "label %d",
               empty, s->n_labels, s->labels[first], first);
}

/* Sorted names, and each item's place among them. */
static rq_status number_classes(rq_source *s, class_set *set, rq_err *err)
{
    rq_catalogue *c = &s->catalogue;
    size_t n = 0, empty = 0;
    int first_empty = 0;
    for (size_t i = 0; i < set->n; i++)
        n += set->is_class[i];
    s->labels = rq_alloc(n, sizeof *s->labels);
    if (s->labels == NULL)
        return rq_fail(err, RQ_OOM, "no memory for the list of classes");
    s->n_labels = 0;
    for (size_t i = 0; i < set->n; i++) {
        if (set->is_class[i])
            s->labels[s->n_labels++] = c->classes[i];
    }
    qsort(s->labels, n, sizeof *s->labels, rq_compare_texts);
    for (int label = s->n_labels - 1; label >= 0; label--) {
        size_t index;
        RQ_TRY(class_index(c, s->labels[label], &index, err));
        set->label[index] = label;
        empty += !set->has_images[index];
        first_empty = set->has_images[index] ? first_empty : label;
    }
    const char *last = NULL;
    size_t index = 0;
    for (size_t i = 0; i < c->n_items; i++) {
        if (c->items[i].class_name != last)
            RQ_TRY(class_index(c, c->items[i].class_name, &index, err));
        last = c->items[i].class_name;
        c->items[i].label = set->label[index];
    }
    warn_empty(s, empty, first_empty);
    return RQ_OK;
}

static rq_status label_by_class(rq_source *s, rq_err *err)
{
    rq_catalogue *c = &s->catalogue;
    RQ_TRY(check_listed(s, err));
    for (size_t i = 0; i < s->n_inputs; i++) {
        rq_input *in = &s->inputs[i];
        if (in->layout == RQ_LAYOUT_TAR_FOLDERS && in->end_folder > in->first_folder)
            RQ_TRY(keep_empty_folders(c, in, err));
    }
    RQ_TRY(note_all(s, NULL, err));
    class_set set = {.n = c->n_classes};
    set.is_class = rq_calloc(set.n, sizeof *set.is_class);
    set.has_images = rq_calloc(set.n, sizeof *set.has_images);
    set.label = rq_calloc(set.n, sizeof *set.label);
    rq_status st = RQ_OK;
    if (set.is_class == NULL || set.has_images == NULL || set.label == NULL)
        st = rq_fail(err, RQ_OOM, "no memory for the list of classes");
    if (st == RQ_OK)
        st = note_all(s, &set, err);
    if (st == RQ_OK)
        st = number_classes(s, &set, err);
    rq_free(set.is_class);
    rq_free(set.has_images);
    rq_free(set.label);
    return st;
}

/* Names that sidecars gave to the numbers count when no two are the same. */
static void use_number_names(rq_source *s)
{
    const rq_catalogue *c = &s->catalogue;
    size_t n = 0;
    const char **sorted = rq_alloc(c->n_number_names, sizeof *sorted);
    if (sorted == NULL)
        return;
    for (size_t i = 0; i < c->n_number_names; i++) {
        if (c->number_names[i] != NULL)
            sorted[n++] = c->number_names[i];
    }
    qsort(sorted, n, sizeof *sorted, rq_compare_texts);
    bool different = true;
    for (size_t i = 1; i < n; i++)
        different = different && strcmp(sorted[i - 1], sorted[i]) != 0;
    rq_free(sorted);
    for (int i = 0; i < s->n_labels && different; i++) {
        if ((size_t)i < c->n_number_names && c->number_names[i] != NULL)
            s->labels[i] = c->number_names[i];
    }
}

/* Integer labels are what they are; what is between them is a class without images. */
static rq_status label_by_number(rq_source *s, rq_err *err)
{
    rq_catalogue *c = &s->catalogue;
    int most = 0;
    for (size_t i = 0; i < c->n_items; i++) {
        c->items[i].label = rq_label_number(c->items[i].class_name);
        most = c->items[i].label > most ? c->items[i].label : most;
    }
    const size_t n = (size_t)most + 1;
    bool *has_images = rq_calloc(n, sizeof *has_images);
    s->labels = rq_calloc(n, sizeof *s->labels);
    rq_status st = has_images != NULL && s->labels != NULL
                       ? RQ_OK
                       : rq_fail(err, RQ_OOM, "no memory for the list of classes");
    for (size_t i = 0; i < c->n_items && st == RQ_OK; i++)
        has_images[c->items[i].label] = true;
    size_t empty = 0;
    int first_empty = 0;
    for (int i = most; i >= 0 && st == RQ_OK; i--) {
        char text[16];
        const int length = snprintf(text, sizeof text, "%d", i);
        st = rq_catalogue_text(c, text, (size_t)length, &s->labels[i], err);
        empty += !has_images[i];
        first_empty = has_images[i] ? first_empty : i;
    }
    rq_free(has_images);
    RQ_TRY(st);
    s->n_labels = most + 1;
    use_number_names(s);
    warn_empty(s, empty, first_empty);
    return RQ_OK;
}

rq_status rq_number_labels(rq_source *s, rq_err *err)
{
    RQ_TRY(check_kinds(s, err));
    if (s->numbered && s->class_list.n > 0)
        RQ_TRY(name_numbers(s, err));
    if (s->numbered)
        return label_by_number(s, err);
    return s->labelled ? label_by_class(s, err) : RQ_OK;
}
