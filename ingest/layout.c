// SPDX-License-Identifier: Apache-2.0
// Looks at the paths that a caller names and makes inputs of them: a folder of class folders is
// one input, a folder of archives one input for each, a folder of splits the one that was asked
// for. Only names are looked at here; what the names of images mean is resolve.c's.
#include "ingest/source_impl.h"

#include "common/file.h"
#include "ingest/codec.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

static const char next_step[] = "give a folder of class folders or a tar archive";

/* ---- splits ------------------------------------------------------------------------------ */

rq_split rq_split_of_word(const char *word, size_t length)
{
    static const struct {
        const char *word;
        rq_split split;
    } words[] = {{"train", RQ_SPLIT_TRAIN},    {"training", RQ_SPLIT_TRAIN},
                 {"val", RQ_SPLIT_VAL},        {"valid", RQ_SPLIT_VAL},
                 {"validation", RQ_SPLIT_VAL}, {"test", RQ_SPLIT_TEST},
                 {"testing", RQ_SPLIT_TEST}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strlen(words[i].word) == length && strncasecmp(word, words[i].word, length) == 0)
            return words[i].split;
    }
    return RQ_SPLIT_ANY;
}

rq_split rq_split_of_name(const char *path)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t at = end;
    while (at > 0 && path[at - 1] != '/')
        at--;
    rq_split found = RQ_SPLIT_ANY;
    while (at < end) {
        size_t n = strcspn(path + at, "-_./");
        n = n < end - at ? n : end - at;
        const rq_split split = rq_split_of_word(path + at, n);
        if (split != RQ_SPLIT_ANY && found != RQ_SPLIT_ANY && split != found)
            return RQ_SPLIT_ANY;
        found = split != RQ_SPLIT_ANY ? split : found;
        at += n + 1;
    }
    return found;
}

/* "train and val" of a set of 1 << rq_split; returns buf, of at least 32 bytes. */
static const char *split_names(char *buf, unsigned splits)
{
    size_t used = 0;
    buf[0] = '\0';
    for (int i = RQ_SPLIT_TRAIN; i <= RQ_SPLIT_TEST; i++) {
        if ((splits & 1u << i) == 0)
            continue;
        const bool last = splits >> (i + 1) == 0;
        const char *between = used == 0 ? "" : last ? " and " : ", ";
        used += (size_t)snprintf(buf + used, 32 - used, "%s%s", between,
                                 rq_split_name((rq_split)i));
    }
    return buf;
}

static bool are_several(unsigned splits)
{
    return (splits & (splits - 1)) != 0;
}

rq_status rq_split_choose(const char *name, unsigned splits, rq_split asked, rq_split *out,
                          rq_err *err)
{
    char names[32];
    *out = asked;
    if (asked != RQ_SPLIT_ANY && (splits & 1u << asked) != 0)
        return RQ_OK;
    if (asked != RQ_SPLIT_ANY)
        return rq_fail(err, RQ_NOT_FOUND, "%s holds %s, and no %s", name,
                       split_names(names, splits), rq_split_name(asked));
    if (are_several(splits))
        return rq_fail(err, RQ_INVALID_ARG,
                       "%s holds %s; say which is wanted with --split, each split is a dataset "
                       "of its own",
                       name, split_names(names, splits));
    for (int i = RQ_SPLIT_TRAIN; i <= RQ_SPLIT_TEST; i++) {
        if (splits == 1u << i)
            *out = (rq_split)i;
    }
    return RQ_OK;
}

/* ---- inputs ------------------------------------------------------------------------------ */

/* Takes nothing over. */
static rq_status push_input(rq_source *s, rq_input_kind kind, const char *path, rq_layout asked,
                            rq_input **out, rq_err *err)
{
    void *inputs = s->inputs;
    if (s->n_inputs == UINT32_MAX)
        return rq_fail(err, RQ_LIMIT, "more than %u inputs", UINT32_MAX);
    RQ_TRY(rq_grow(&inputs, &s->inputs_cap, s->n_inputs + 1, sizeof *s->inputs, err));
    s->inputs = inputs;
    rq_input *in = &s->inputs[s->n_inputs];
    memset(in, 0, sizeof *in);
    in->kind = kind;
    in->asked = asked;
    in->path = rq_strdup(path);
    if (in->path == NULL)
        return rq_fail(err, RQ_OOM, "no memory for the name of an input");
    s->n_inputs++;
    *out = in;
    return RQ_OK;
}

static rq_status walk_last(rq_source *s, rq_err *err)
{
    rq_catalogue *c = &s->catalogue;
    const uint32_t index = (uint32_t)s->n_inputs - 1;
    rq_input *in = &s->inputs[index];
    in->first = c->n_items;
    in->first_folder = c->n_folders;
    if (in->kind == RQ_INPUT_FOLDER)
        RQ_TRY(rq_dir_walk(c, index, in->path, &in->walk, err));
    else if (in->kind == RQ_INPUT_LIST)
        RQ_TRY(rq_list_walk(c, index, in->path, in->list, err));
    else
        RQ_TRY(rq_tar_walk(c, index, in->path, &in->walk, err));
    in->end = c->n_items;
    in->end_folder = c->n_folders;
    return RQ_OK;
}

static rq_status add_input(rq_source *s, rq_input_kind kind, const char *path, rq_layout asked,
                           rq_err *err)
{
    rq_input *in;
    RQ_TRY(push_input(s, kind, path, asked, &in, err));
    return walk_last(s, err);
}

static rq_status add_list(rq_source *s, const char *path, rq_err *err)
{
    rq_input *in;
    const size_t n = (size_t)(rq_path_base(path) - path);
    char folder[RQ_PATH_BYTES_MAX];
    if (n >= sizeof folder)
        return rq_fail(err, RQ_LIMIT, "a path longer than %d bytes", RQ_PATH_BYTES_MAX - 1);
    memcpy(folder, path, n);
    folder[n] = '\0';
    RQ_TRY(push_input(s, RQ_INPUT_LIST, n > 0 ? folder : ".", RQ_LAYOUT_LIST, &in, err));
    in->list = rq_strdup(path);
    if (in->list == NULL)
        return rq_fail(err, RQ_OOM, "no memory for the name of an input");
    return walk_last(s, err);
}

/* ---- what stands beside ------------------------------------------------------------------ */

static bool exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

/* Copy of "folder/name" in *out when there is such a thing and *out is not set yet. */
static rq_status note_if_there(rq_source *s, const char *folder, const char *name,
                               const char **out, rq_err *err)
{
    char path[RQ_PATH_BYTES_MAX];
    const int n = snprintf(path, sizeof path, "%s/%s", folder, name);
    if (*out != NULL || n < 0 || (size_t)n >= sizeof path || !exists(path))
        return RQ_OK;
    return rq_catalogue_text(&s->catalogue, path, (size_t)n, out, err);
}

/* Labels and classes of ImageNet's releases in a folder: used when the images need them, the
 * first that is found. */
static rq_status look_beside(rq_source *s, const char *folder, rq_err *err)
{
    static const char *const labels[] = {
        "LOC_val_solution.csv",  "ILSVRC2012_devkit_t12.tar.gz", "ILSVRC2012_devkit_t12.tar",
        "ILSVRC2012_devkit_t12", "ILSVRC2014_devkit.tgz",        "ILSVRC2014_devkit"};
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++)
        RQ_TRY(note_if_there(s, folder, labels[i], &s->labels_beside, err));
    return note_if_there(s, folder, "LOC_synset_mapping.txt", &s->classes_beside, err);
}

static rq_status look_beside_file(rq_source *s, const char *path, rq_err *err)
{
    char folder[RQ_PATH_BYTES_MAX];
    const size_t n = (size_t)(rq_path_base(path) - path);
    if (n >= sizeof folder)
        return RQ_OK;
    memcpy(folder, path, n);
    folder[n] = '\0';
    return look_beside(s, n > 0 ? folder : ".", err);
}

/* ---- folders ----------------------------------------------------------------------------- */

/* What stands directly in a folder. */
typedef struct glance {
    size_t folders, split_folders; /* visible ones */
    size_t files;                  /* that may be images */
    unsigned splits, twice; /* sets of 1 << rq_split; those that two folders are called */
    char split_name[4][64]; /* of the folder for each split */
    char last_folder[256];
} glance;

static rq_status glance_at(glance *g, const char *path, rq_err *err)
{
    DIR *dir = opendir(path);
    memset(g, 0, sizeof *g);
    if (dir == NULL)
        return rq_fail_errno(err, "folder %s", path);
    errno = 0;
    for (const struct dirent *e; (e = readdir(dir)) != NULL; errno = 0) {
        struct stat st;
        if (e->d_name[0] == '.' || fstatat(dirfd(dir), e->d_name, &st, 0) != 0)
            continue;
        if (!S_ISDIR(st.st_mode)) {
            g->files += !rq_is_no_image(e->d_name) && rq_archive_stem(e->d_name) == 0;
            continue;
        }
        const rq_split split = rq_split_of_word(e->d_name, strlen(e->d_name));
        g->folders++;
        g->split_folders += split != RQ_SPLIT_ANY;
        g->twice |= g->splits & 1u << split;
        g->splits |= split != RQ_SPLIT_ANY ? 1u << split : 0;
        snprintf(g->split_name[split], sizeof g->split_name[split], "%.63s", e->d_name);
        snprintf(g->last_folder, sizeof g->last_folder, "%s", e->d_name);
        if (g->folders > 1000 && g->split_folders == 0)
            break; /* class folders: no need to count them all */
    }
    const rq_status s = errno != 0 ? rq_fail_errno(err, "listing folder %s", path) : RQ_OK;
    closedir(dir);
    return s;
}

static rq_status add_folder(rq_source *s, const char *path, rq_layout asked, rq_err *err);

/* Goes on with the folder of the wanted split. */
static rq_status enter_split(rq_source *s, const char *path, const glance *g, rq_layout asked,
                             rq_err *err)
{
    char below[RQ_PATH_BYTES_MAX];
    rq_split split;
    RQ_TRY(rq_split_choose(path, g->splits, s->catalogue.opts.split, &split, err));
    if ((g->twice & 1u << split) != 0)
        return rq_fail(err, RQ_INVALID_ARG,
                       "%s holds more than one folder of %s, '%s' is one; give the one that is "
                       "wanted itself",
                       path, rq_split_name(split), g->split_name[split]);
    if (g->files > 0)
        rq_log(&s->catalogue.opts.log, RQ_LOG_WARN,
               "%s: %zu files beside its folder '%s' are passed over", path, g->files,
               g->split_name[split]);
    s->catalogue.passed_over += g->files;
    const int n = snprintf(below, sizeof below, "%s/%s", path, g->split_name[split]);
    if (n < 0 || (size_t)n >= sizeof below)
        return rq_fail(err, RQ_LIMIT, "a path longer than %d bytes", RQ_PATH_BYTES_MAX - 1);
    RQ_TRY(look_beside(s, path, err));
    return asked == RQ_LAYOUT_KAGGLE ? add_input(s, RQ_INPUT_FOLDER, below, asked, err)
                                     : add_folder(s, below, asked, err);
}

/* CLS-LOC below (or at) a folder, "" when there is none. */
static void find_kaggle(char found[RQ_PATH_BYTES_MAX], const char *path)
{
    static const char *const below[] = {"/ILSVRC/Data/CLS-LOC", "/Data/CLS-LOC", "/CLS-LOC"};
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    for (size_t i = 0; i < sizeof below / sizeof *below; i++) {
        const int m = snprintf(found, RQ_PATH_BYTES_MAX, "%.*s%s", (int)n, path, below[i]);
        if (m > 0 && m < RQ_PATH_BYTES_MAX && exists(found))
            return;
    }
    if (n >= 7 && n < RQ_PATH_BYTES_MAX && strncmp(path + n - 7, "CLS-LOC", 7) == 0)
        snprintf(found, RQ_PATH_BYTES_MAX, "%.*s", (int)n, path);
    else
        found[0] = '\0';
}

/* In the folders above; Kaggle's files stand three above CLS-LOC. */
static rq_status look_above(rq_source *s, const char *root, size_t levels, rq_err *err)
{
    static const char *const up[] = {"/..", "/../..", "/../../.."};
    for (size_t i = 0; i < levels; i++) {
        char folder[RQ_PATH_BYTES_MAX];
        const int n = snprintf(folder, sizeof folder, "%s%s", root, up[i]);
        if (n > 0 && (size_t)n < sizeof folder)
            RQ_TRY(look_beside(s, folder, err));
    }
    return RQ_OK;
}

/* Several splits are no accident; a single one may be a class, unless it is alone. */
static bool is_of_splits(const glance *g)
{
    return g->folders > 0 && (g->folders == g->split_folders || are_several(g->splits));
}

/* *done: the folder is one of splits, and its part was added. */
static rq_status try_splits(rq_source *s, const char *path, rq_layout asked, bool *done,
                            rq_err *err)
{
    char root[RQ_PATH_BYTES_MAX];
    glance g;
    *done = true;
    find_kaggle(root, path);
    if (root[0] != '\0') {
        RQ_TRY(glance_at(&g, root, err));
        if (g.splits != 0) {
            RQ_TRY(look_beside(s, path, err));
            RQ_TRY(look_above(s, root, 3, err));
            return enter_split(s, root, &g, RQ_LAYOUT_KAGGLE, err);
        }
    }
    RQ_TRY(glance_at(&g, path, err));
    if (is_of_splits(&g))
        return enter_split(s, path, &g, asked, err);
    *done = false;
    return RQ_OK;
}

/* The same, also for a folder that holds nothing but such a folder. */
static rq_status try_wrapped_splits(rq_source *s, const char *path, rq_layout asked, bool *done,
                                    rq_err *err)
{
    char below[RQ_PATH_BYTES_MAX];
    glance g, inner;
    RQ_TRY(try_splits(s, path, asked, done, err));
    if (*done)
        return RQ_OK;
    RQ_TRY(glance_at(&g, path, err));
    const int n = snprintf(below, sizeof below, "%s/%s", path, g.last_folder);
    if (g.folders != 1 || g.files > 0 || n < 0 || (size_t)n >= sizeof below)
        return RQ_OK;
    RQ_TRY(glance_at(&inner, below, err));
    return inner.splits != 0 ? try_splits(s, below, asked, done, err) : RQ_OK;
}

/* ---- folders of archives ----------------------------------------------------------------- */

/* Archives of ImageNet's releases that hold no images of the task. */
static bool is_aside(const char *path)
{
    const char *base = rq_path_base(path);
    return strcasestr(base, "devkit") != NULL || strcasestr(base, "bbox") != NULL ||
           strcasestr(base, "_t3.tar") != NULL;
}

static bool wanted(const char *archive, rq_split split)
{
    return !is_aside(archive) && (split == RQ_SPLIT_ANY || rq_split_of_name(archive) == split);
}

/* The archives that the walk of `folder` found become the inputs in its place. */
static rq_status expand_archives(rq_source *s, const char *folder, rq_layout asked, rq_err *err)
{
    rq_catalogue *c = &s->catalogue;
    const rq_split asked_split = c->opts.split;
    unsigned splits = 0;
    size_t added = 0, others = 0;
    rq_split split = RQ_SPLIT_ANY;
    qsort(c->archives, c->n_archives, sizeof *c->archives, rq_compare_texts);
    for (size_t i = 0; i < c->n_archives; i++) {
        const rq_split one = rq_split_of_name(c->archives[i]);
        if (is_aside(c->archives[i]))
            continue;
        splits |= one != RQ_SPLIT_ANY ? 1u << one : 0;
        others += one == RQ_SPLIT_ANY;
    }
    /* One word among other names may be a class: train.tar beside bus.tar. */
    if (splits != 0 && (asked_split != RQ_SPLIT_ANY || others == 0 || are_several(splits)))
        RQ_TRY(rq_split_choose(folder, splits, asked_split, &split, err));
    RQ_TRY(look_beside(s, folder, err));
    for (size_t i = 0; i < c->n_archives; i++) {
        char path[2 * RQ_PATH_BYTES_MAX];
        const int n = snprintf(path, sizeof path, "%s/%s", folder, c->archives[i]);
        if (!wanted(c->archives[i], split))
            continue;
        if (n < 0 || (size_t)n >= sizeof path)
            return rq_fail(err, RQ_LIMIT, "%s: a path longer than it can be", folder);
        RQ_TRY(add_input(s, RQ_INPUT_ARCHIVE, path, asked, err));
        s->inputs[s->n_inputs - 1].shard = true;
        added++;
    }
    if (added == 0)
        return rq_fail(err, RQ_NOT_FOUND,
                       "%s: no images found, and none of its archives "
                       "holds any",
                       folder);
    c->passed_over -= added; /* the walk of the folder had counted them */
    return RQ_OK;
}

static bool wants_archives(rq_layout asked)
{
    return asked == RQ_LAYOUT_CLASS_TARS || asked == RQ_LAYOUT_WEBDATASET ||
           asked == RQ_LAYOUT_TAR_OF_TARS || asked == RQ_LAYOUT_TAR_FOLDERS ||
           asked == RQ_LAYOUT_TAR_FLAT || asked == RQ_LAYOUT_HUGGINGFACE;
}

static rq_status add_folder(rq_source *s, const char *path, rq_layout asked, rq_err *err)
{
    rq_catalogue *c = &s->catalogue;
    bool done = false;
    if (asked == RQ_LAYOUT_AUTO || asked == RQ_LAYOUT_KAGGLE || c->opts.split != RQ_SPLIT_ANY)
        RQ_TRY(try_wrapped_splits(s, path, asked, &done, err));
    if (done)
        return RQ_OK;
    if (asked == RQ_LAYOUT_KAGGLE)
        return rq_fail(err, RQ_INVALID_ARG,
                       "%s holds no ILSVRC/Data/CLS-LOC with train, val or test, as Kaggle's "
                       "layout has",
                       path);
    RQ_TRY(look_beside(s, path, err));
    RQ_TRY(look_above(s, path, 1, err));
    c->n_archives = 0;
    RQ_TRY(add_input(s, RQ_INPUT_FOLDER, path, asked, err));
    rq_input *in = &s->inputs[s->n_inputs - 1];
    const bool archives = c->n_archives > 0;
    if (asked == RQ_LAYOUT_CLASS_TARS && !archives)
        return rq_fail(err, RQ_INVALID_ARG, "%s holds no archives, as the layout says", path);
    if (archives && (wants_archives(asked) || in->end == in->first)) {
        c->passed_over += in->end - in->first;
        c->n_items = in->end = in->first;
        c->n_folders = in->end_folder = in->first_folder;
        return expand_archives(s, path, asked, err);
    }
    if (archives)
        rq_log(&c->opts.log, RQ_LOG_WARN,
               "%s: %zu archives among the images are passed over, the first is %s", path,
               c->n_archives, c->archives[0]);
    return RQ_OK;
}

/* ---- paths ------------------------------------------------------------------------------- */

static bool has_list_extension(const char *path)
{
    const char *dot = strrchr(rq_path_base(path), '.');
    return dot != NULL && (strcasecmp(dot, ".txt") == 0 || strcasecmp(dot, ".csv") == 0 ||
                           strcasecmp(dot, ".tsv") == 0 || strcasecmp(dot, ".lst") == 0);
}

static rq_status refuse_single_image(const char *path, rq_err *err)
{
    uint8_t head[32];
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return rq_fail_errno(err, "%s", path);
    const ssize_t n = read(fd, head, sizeof head);
    close(fd);
    const rq_codec codec = n > 0 ? rq_codec_sniff(head, (size_t)n) : RQ_CODEC_UNKNOWN;
    if (codec == RQ_CODEC_UNKNOWN)
        return RQ_OK;
    return rq_fail(err, RQ_UNSUPPORTED, "%s is a single %s image; %s", path,
                   rq_codec_name(codec), next_step);
}

rq_status rq_layout_add_path(rq_source *s, const char *path, rq_err *err)
{
    const rq_layout asked = s->catalogue.opts.layout;
    struct stat st;
    if (stat(path, &st) != 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            return rq_fail(err, RQ_NOT_FOUND, "%s: no such folder or archive; %s", path,
                           next_step);
        return rq_fail_errno(err, "%s", path);
    }
    if (S_ISDIR(st.st_mode)) {
        if (asked == RQ_LAYOUT_LIST)
            return rq_fail(err, RQ_INVALID_ARG, "%s is a folder and no list file", path);
        return add_folder(s, path, asked, err);
    }
    if (!S_ISREG(st.st_mode))
        return rq_fail(err, RQ_UNSUPPORTED, "%s is neither a folder nor a regular file", path);
    if (asked == RQ_LAYOUT_LIST || (asked == RQ_LAYOUT_AUTO && has_list_extension(path)))
        return add_list(s, path, err);
    RQ_TRY(refuse_single_image(path, err));
    RQ_TRY(look_beside_file(s, path, err));
    return add_input(s, RQ_INPUT_ARCHIVE, path, asked, err);
}
