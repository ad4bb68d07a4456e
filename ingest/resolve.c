// SPDX-License-Identifier: Apache-2.0
// What the names of images mean. Each input's items are counted by kind, the layout follows
// from the counts unless it was asked for, and then every item gets its class or is passed
// over. All inputs are walked by now, because shards of one folder are judged together.
#include "ingest/source_impl.h"

#include "common/file.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* What the names of an input's items look like. */
typedef struct tally {
    uint64_t n, nested, labelled, companions, foldered, suffixed, val, test;
    const char *first; /* the first name in a folder */
    bool many_folders; /* not all of them are in the same one */
} tally;

/* Bytes of a path's folder, without the last slash. */
static size_t folder_bytes(const char *path)
{
    const char *base = rq_path_base(path);
    return base > path ? (size_t)(base - path) - 1 : 0;
}

/* Where "_n01440764" begins at the end of a name's stem; NULL without it. */
static const char *wnid_suffix(const char *name)
{
    const char *base = rq_path_base(name), *dot = strrchr(base, '.');
    const char *end = dot != NULL ? dot : base + strlen(base);
    if (end - base < 11 || end[-10] != '_' || !rq_is_wnid(end - 9, 9))
        return NULL;
    return end - 10;
}

static void tally_item(tally *t, const rq_item *item)
{
    bool test;
    const bool ilsvrc = rq_ilsvrc_number(item->stored, &test) > 0;
    t->n++;
    t->nested += item->origin == RQ_ORIGIN_NESTED;
    t->labelled += item->origin == RQ_ORIGIN_SIDECAR;
    t->companions += item->origin == RQ_ORIGIN_COMPANION;
    t->suffixed += wnid_suffix(item->stored) != NULL;
    t->val += ilsvrc && !test;
    t->test += ilsvrc && test;
    const size_t folder = folder_bytes(item->stored);
    if (folder == 0 || item->origin == RQ_ORIGIN_NESTED)
        return;
    if (t->first == NULL)
        t->first = item->stored;
    else if (folder != folder_bytes(t->first) || memcmp(t->first, item->stored, folder) != 0)
        t->many_folders = true;
    t->foldered++;
}

static tally tally_input(const rq_catalogue *c, const rq_input *in)
{
    tally t = {0};
    for (size_t i = in->first; i < in->end; i++)
        tally_item(&t, &c->items[i]);
    return t;
}

/* ---- splits inside archives -------------------------------------------------------------- */

/* The first of a path's folders that is called like a split; the last folder, which may be a
 * class, counts only when it is asked for. */
static rq_split split_of_path(const char *path, bool with_last)
{
    const char *base = rq_path_base(path);
    while (path < base) {
        const size_t n = strcspn(path, "/");
        const rq_split split = rq_split_of_word(path, n);
        if (split != RQ_SPLIT_ANY && (with_last || path + n + 1 < base))
            return split;
        path += n + 1;
    }
    return RQ_SPLIT_ANY;
}

static rq_split split_of_item(const rq_item *item, bool with_last)
{
    bool test;
    if (item->origin == RQ_ORIGIN_NESTED)
        return RQ_SPLIT_ANY;
    return split_of_path(item->stored, with_last || rq_ilsvrc_number(item->stored, &test) > 0);
}

/* The splits that the folders of an archive tell. *with_last: every last folder is one. */
static unsigned splits_inside(const rq_catalogue *c, const rq_input *in, bool *with_last)
{
    unsigned splits = 0, last = 0;
    *with_last = in->end > in->first;
    for (size_t i = in->first; i < in->end; i++) {
        splits |= 1u << split_of_item(&c->items[i], false);
        last |= 1u << split_of_item(&c->items[i], true);
    }
    *with_last = splits == 1u << RQ_SPLIT_ANY && (last & 1u << RQ_SPLIT_ANY) == 0;
    return (*with_last ? last : splits) & ~(1u << RQ_SPLIT_ANY);
}

static rq_status check_split(const rq_input *in, unsigned splits, rq_split asked, rq_err *err)
{
    const char *name = rq_input_name(in);
    const rq_split named = rq_split_of_name(name);
    rq_split chosen;
    if (splits != 0)
        return rq_split_choose(name, splits, asked, &chosen, err);
    if (asked != RQ_SPLIT_ANY && named != RQ_SPLIT_ANY && named != asked)
        return rq_fail(err, RQ_INVALID_ARG, "%s is called %s, and --split asks for %s", name,
                       rq_split_name(named), rq_split_name(asked));
    return RQ_OK;
}

/* Keeps the items of the wanted split; the others move out of [first, end). */
static rq_status filter_split(rq_source *s, rq_input *in, rq_err *err)
{
    rq_catalogue *c = &s->catalogue;
    const rq_split asked = c->opts.split;
    bool with_last = false;
    const unsigned splits = in->kind == RQ_INPUT_ARCHIVE ? splits_inside(c, in, &with_last) : 0;
    RQ_TRY(check_split(in, splits, asked, err));
    if (splits == 0 || asked == RQ_SPLIT_ANY)
        return RQ_OK;
    size_t kept = in->first;
    for (size_t i = in->first; i < in->end; i++) {
        if (split_of_item(&c->items[i], with_last) == asked)
            c->items[kept++] = c->items[i];
    }
    in->end = kept;
    kept = in->first_folder; /* a class that is empty in another split is none here */
    for (size_t i = in->first_folder; i < in->end_folder; i++) {
        if (c->folders[i].is_archive || split_of_path(c->folders[i].path, true) == asked)
            c->folders[kept++] = c->folders[i];
    }
    in->end_folder = kept;
    return RQ_OK;
}

/* ---- layout ------------------------------------------------------------------------------ */

static bool asks_for_classes(rq_layout layout)
{
    return layout != RQ_LAYOUT_FLAT_FOLDER && layout != RQ_LAYOUT_TAR_FLAT;
}

/* Whether the folder that a path is in has a WordNet id for a name. */
static bool is_in_wnid(const char *path)
{
    const size_t n = folder_bytes(path);
    return n >= 9 && rq_is_wnid(path + n - 9, 9) && (n == 9 || path[n - 10] == '/');
}

/* All images are loose, or in one folder and named so that it cannot be a class. */
static bool is_flat(const tally *t)
{
    if (t->foldered == 0)
        return true;
    return !t->many_folders && t->val + t->test == t->n && !is_in_wnid(t->first);
}

static rq_layout layout_of_folder(const rq_input *in, const tally *t)
{
    if (in->asked == RQ_LAYOUT_KAGGLE || in->asked == RQ_LAYOUT_HUGGINGFACE)
        return in->asked;
    if (in->asked != RQ_LAYOUT_AUTO)
        return asks_for_classes(in->asked) ? RQ_LAYOUT_CLASS_FOLDERS : RQ_LAYOUT_FLAT_FOLDER;
    if (t->n > 0 && t->suffixed == t->n && !t->many_folders)
        return RQ_LAYOUT_HUGGINGFACE;
    return is_flat(t) && (t->n > 0 || in->first_folder == in->end_folder)
               ? RQ_LAYOUT_FLAT_FOLDER
               : RQ_LAYOUT_CLASS_FOLDERS;
}

static rq_layout layout_of_archive(const rq_input *in, const tally *t)
{
    switch (in->asked) {
    case RQ_LAYOUT_WEBDATASET:
    case RQ_LAYOUT_HUGGINGFACE:
    case RQ_LAYOUT_CLASS_TARS:
    case RQ_LAYOUT_TAR_FOLDERS:
        return in->asked;
    case RQ_LAYOUT_FLAT_FOLDER:
    case RQ_LAYOUT_TAR_FLAT:
        return RQ_LAYOUT_TAR_FLAT;
    case RQ_LAYOUT_TAR_OF_TARS:
    case RQ_LAYOUT_CLASS_FOLDERS:
        return t->nested > 0 ? RQ_LAYOUT_TAR_OF_TARS : RQ_LAYOUT_TAR_FOLDERS;
    default:
        break;
    }
    /* Loose images of which only some have labels are refused as such later. */
    if (t->labelled > 0 &&
        (t->labelled + t->companions == t->n || t->foldered + t->nested == 0))
        return RQ_LAYOUT_WEBDATASET;
    if (t->nested > 0)
        return RQ_LAYOUT_TAR_OF_TARS;
    if (t->n > 0 && t->suffixed == t->n && !t->many_folders)
        return RQ_LAYOUT_HUGGINGFACE;
    return is_flat(t) ? RQ_LAYOUT_TAR_FLAT : RQ_LAYOUT_TAR_FOLDERS;
}

static rq_status choose_layout(rq_source *s, rq_input *in, const tally *t, rq_err *err)
{
    const bool archive = in->kind == RQ_INPUT_ARCHIVE;
    if (in->asked == RQ_LAYOUT_KAGGLE && archive && t->nested > 0)
        return rq_fail(err, RQ_INVALID_ARG,
                       "%s holds archives, which Kaggle's layout does not have; leave out "
                       "--layout",
                       in->path);
    if ((in->asked == RQ_LAYOUT_TAR_OF_TARS && (!archive || t->nested == 0)) ||
        (in->asked == RQ_LAYOUT_WEBDATASET && !archive))
        return rq_fail(err, RQ_INVALID_ARG, "%s is no %s, as the layout says", in->path,
                       in->asked == RQ_LAYOUT_WEBDATASET ? "WebDataset tar"
                                                         : "tar of per-class tars");
    if (in->kind == RQ_INPUT_LIST)
        in->layout = RQ_LAYOUT_LIST;
    else
        in->layout = archive ? layout_of_archive(in, t) : layout_of_folder(in, t);
    if (archive && s->labels_beside == NULL && in->walk.has_solution)
        RQ_TRY(rq_catalogue_text(&s->catalogue, in->path, strlen(in->path), &s->labels_beside,
                                 err));
    return RQ_OK;
}

/* ---- folders of flat archives ------------------------------------------------------------ */

static void shard_stem(const char *path, const char **stem, size_t *bytes)
{
    *stem = rq_path_base(path);
    *bytes = rq_archive_stem(*stem);
    if (*bytes == 0)
        *bytes = strlen(*stem);
}

/* "train-000017" -> bytes of "train-"; all of the text when no digits end it. */
static size_t prefix_bytes(const char *text, size_t bytes)
{
    size_t n = bytes;
    while (n > 0 && isdigit((unsigned char)text[n - 1]))
        n--;
    return n;
}

/* Flat archives in a folder are one class each, unless they are numbered like the shards of one
 * dataset: then only the user knows. */
static rq_status judge_shards(rq_source *s, size_t first, size_t end, rq_err *err)
{
    size_t wnids = 0, numbered = 0, flat = 0;
    const char *first_stem = NULL;
    size_t first_prefix = 0;
    for (size_t i = first; i < end; i++) {
        const rq_input *in = &s->inputs[i];
        const tally t = tally_input(&s->catalogue, in);
        const char *stem;
        size_t bytes;
        shard_stem(in->path, &stem, &bytes);
        const size_t prefix = prefix_bytes(stem, bytes);
        if (i == first) {
            first_stem = stem;
            first_prefix = prefix;
        }
        wnids += rq_is_wnid(stem, bytes);
        numbered +=
            prefix < bytes && prefix == first_prefix && memcmp(stem, first_stem, prefix) == 0;
        flat += in->asked == RQ_LAYOUT_AUTO && in->layout == RQ_LAYOUT_TAR_FLAT &&
                t.val + t.test < t.n + (t.n == 0);
    }
    const size_t n = end - first;
    if (flat < n || (n == 1 && wnids == 0))
        return RQ_OK;
    if (wnids < n && numbered == n)
        return rq_fail(err, RQ_INVALID_ARG,
                       "%s and %zu more are flat archives without labels, numbered like the "
                       "parts of one dataset; say --layout class-tars if each is a class, "
                       "--layout tar-flat to do without labels, or add --labels",
                       s->inputs[first].path, n - 1);
    for (size_t i = first; i < end; i++)
        s->inputs[i].layout = RQ_LAYOUT_CLASS_TARS;
    return RQ_OK;
}

static rq_status judge_all_shards(rq_source *s, rq_err *err)
{
    for (size_t first = 0; first < s->n_inputs;) {
        size_t end = first + 1;
        while (s->inputs[first].shard && end < s->n_inputs && s->inputs[end].shard)
            end++;
        if (s->inputs[first].shard && s->catalogue.opts.labels == NULL)
            RQ_TRY(judge_shards(s, first, end, err));
        first = end;
    }
    return RQ_OK;
}

/* ---- classes ----------------------------------------------------------------------------- */

static rq_status set_class(rq_catalogue *c, rq_item *item, const char *name, size_t bytes,
                           rq_err *err)
{
    item->numbered = false;
    return rq_catalogue_class(c, name, bytes, &item->class_name, NULL, err);
}

/* Class = the first folder, or the last one, to which the name is cut. */
static rq_status class_of_folder(rq_catalogue *c, rq_item *item, bool last, bool *keep,
                                 rq_err *err)
{
    const char *slash = last ? strrchr(item->stored, '/') : strchr(item->stored, '/');
    *keep = slash != NULL;
    if (!*keep)
        return RQ_OK;
    const char *start = slash;
    while (start > item->stored && start[-1] != '/')
        start--;
    item->name = start;
    return set_class(c, item, start, (size_t)(slash - start), err);
}

/* "n01440764_10026_n01440764.JPEG" is n01440764_10026.JPEG of class n01440764. */
static rq_status class_of_suffix(rq_catalogue *c, rq_item *item, bool *keep, rq_err *err)
{
    const char *base = rq_path_base(item->stored), *suffix = wnid_suffix(base);
    char name[RQ_PATH_BYTES_MAX];
    bool test;
    item->class_name = NULL;
    *keep = suffix != NULL || (rq_ilsvrc_number(base, &test) > 0 && test);
    if (suffix == NULL)
        return RQ_OK;
    const size_t n = (size_t)(suffix - base), rest = strlen(suffix + 10);
    if (n + rest >= sizeof name)
        return rq_fail(err, RQ_LIMIT, "a name of more than %d bytes", RQ_PATH_BYTES_MAX - 1);
    memcpy(name, base, n);
    memcpy(name + n, suffix + 10, rest + 1);
    RQ_TRY(rq_catalogue_text(c, name, n + rest, &item->name, err));
    return set_class(c, item, suffix + 1, 9, err);
}

static rq_status class_of_archive(rq_catalogue *c, const rq_input *in, rq_item *item,
                                  rq_err *err)
{
    const char *stem;
    size_t bytes;
    shard_stem(in->path, &stem, &bytes);
    return set_class(c, item, stem, bytes, err);
}

static rq_status assign_class(rq_catalogue *c, const rq_input *in, bool flat, rq_item *item,
                              bool *keep, rq_err *err)
{
    bool test;
    *keep = true;
    switch (in->layout) {
    case RQ_LAYOUT_CLASS_FOLDERS:
        return class_of_folder(c, item, false, keep, err);
    case RQ_LAYOUT_TAR_FOLDERS:
        return class_of_folder(c, item, true, keep, err);
    case RQ_LAYOUT_TAR_OF_TARS:
        *keep = item->origin == RQ_ORIGIN_NESTED;
        return RQ_OK;
    case RQ_LAYOUT_HUGGINGFACE:
        return class_of_suffix(c, item, keep, err);
    case RQ_LAYOUT_CLASS_TARS:
        return class_of_archive(c, in, item, err);
    case RQ_LAYOUT_WEBDATASET:
        *keep = item->origin == RQ_ORIGIN_SIDECAR ||
                (item->origin != RQ_ORIGIN_COMPANION && c->opts.labels != NULL);
        return RQ_OK;
    case RQ_LAYOUT_LIST:
        return RQ_OK;
    case RQ_LAYOUT_KAGGLE:
        if (!flat)
            return class_of_folder(c, item, false, keep, err);
        break;
    default:
        break;
    }
    item->class_name = NULL;
    item->numbered = false;
    if (rq_ilsvrc_number(item->stored, &test) > 0)
        item->name = rq_path_base(item->stored);
    return RQ_OK;
}

/* A WebDataset sample without a label cannot be told from a forgotten one. */
static rq_status check_sidecars(const rq_catalogue *c, const rq_input *in, const tally *t,
                                rq_err *err)
{
    const uint64_t missing = t->n - t->labelled - t->companions;
    if (in->layout != RQ_LAYOUT_WEBDATASET || missing == 0 || c->opts.labels != NULL)
        return RQ_OK;
    const char *first = "";
    for (size_t i = in->end; i > in->first; i--) {
        if (c->items[i - 1].origin != RQ_ORIGIN_SIDECAR &&
            c->items[i - 1].origin != RQ_ORIGIN_COMPANION)
            first = c->items[i - 1].stored;
    }
    return rq_fail(
        err, RQ_INVALID_ARG,
        "%s: %llu of its %llu images have no label in KEY.cls or KEY.json, the first "
        "is %s; bring them with --labels, or do without any with --layout tar-flat",
        in->path, (unsigned long long)missing, (unsigned long long)t->n, first);
}

/* Moves the items of an input that stay to *kept. */
static rq_status resolve_items(rq_source *s, rq_input *in, size_t *kept, rq_err *err)
{
    rq_catalogue *c = &s->catalogue;
    const tally t = tally_input(c, in);
    const char *dropped = NULL;
    uint64_t lost = 0;
    const size_t first = *kept;
    RQ_TRY(check_sidecars(c, in, &t, err));
    const bool flat = t.foldered == 0;
    for (size_t i = in->first; i < in->end; i++) {
        rq_item item = c->items[i];
        bool keep;
        RQ_TRY(assign_class(c, in, flat, &item, &keep, err));
        if (keep) {
            c->items[(*kept)++] = item;
        } else if (item.origin != RQ_ORIGIN_COMPANION && lost++ == 0) {
            dropped = item.stored;
        }
    }
    if (dropped != NULL)
        rq_log(&c->opts.log, RQ_LOG_WARN,
               "%s: %llu files are in no class %s and are passed over, the first is %s",
               in->path, (unsigned long long)lost,
               in->layout == RQ_LAYOUT_HUGGINGFACE ? "by their name" : "folder", dropped);
    c->passed_over += in->end - in->first - (*kept - first);
    in->images = *kept - first;
    in->val_named = in->images > 0 && t.val == t.n && !t.nested;
    in->first = first;
    in->end = *kept;
    return RQ_OK;
}

rq_status rq_resolve(rq_source *s, rq_err *err)
{
    rq_catalogue *c = &s->catalogue;
    for (size_t i = 0; i < s->n_inputs; i++) {
        rq_input *in = &s->inputs[i];
        const size_t all = in->end - in->first;
        RQ_TRY(filter_split(s, in, err));
        c->passed_over += all - (in->end - in->first);
        const tally t = tally_input(c, in);
        RQ_TRY(choose_layout(s, in, &t, err));
    }
    RQ_TRY(judge_all_shards(s, err));
    size_t kept = 0;
    for (size_t i = 0; i < s->n_inputs; i++)
        RQ_TRY(resolve_items(s, &s->inputs[i], &kept, err));
    c->n_items = kept;
    return RQ_OK;
}
