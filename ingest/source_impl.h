/* Inside of the sources: the catalogue under construction, what folders, archives and lists
 * offer to it, and how layouts are told apart. Private to ingest/.
 *
 * A source is opened in steps. layout.c looks at each path and makes inputs of it (a folder of
 * shards becomes one input per shard); dirsrc.c, archive.c and listsrc.c walk an input and add
 * items with their names as found; resolve.c decides what the names mean; labelling.c brings
 * labels from files; classes.c numbers the classes; naming.c names, excludes and sorts;
 * source.c reads. Strings live in the catalogue's pool until the source is closed. */
#ifndef RQ_INGEST_SOURCE_IMPL_H
#define RQ_INGEST_SOURCE_IMPL_H

#include "ingest/labels.h"
#include "ingest/source.h"

enum { RQ_PATH_BYTES_MAX = 4096 };
#define RQ_NO_OFFSET UINT64_MAX

/* ---- catalogue --------------------------------------------------------------------------- */

/* Strings that are only ever added. */
typedef struct rq_text_pool {
    struct rq_text_block *blocks;
    size_t bytes;
} rq_text_pool;

typedef enum rq_origin {
    RQ_ORIGIN_PLAIN,
    RQ_ORIGIN_NESTED,   /* in an archive inside the archive, which is its class */
    RQ_ORIGIN_SIDECAR,  /* KEY.cls or KEY.json beside it says its class */
    RQ_ORIGIN_COMPANION /* another picture of a sample that has one: a mask, a depth map */
} rq_origin;

typedef struct rq_item {
    const char *name;       /* see rq_entry */
    const char *stored;     /* its path in the input */
    const char *class_name; /* NULL: none, or not yet known */
    uint64_t bytes;
    uint64_t offset;    /* of the data in the archive file, RQ_NO_OFFSET when it has to be read
                           in sequence */
    uint64_t sequence;  /* place in the reading order of its input */
    const char *reason; /* static text */
    uint32_t input;
    int32_t label;
    rq_status status; /* RQ_OK, or why the entry will not be delivered */
    uint8_t origin;   /* rq_origin */
    bool numbered;    /* class_name is an integer label as text */
} rq_item;

typedef struct rq_folder {
    const char *path;
    bool is_archive; /* an archive inside the archive, by its class name */
} rq_folder;

typedef struct rq_catalogue {
    rq_item *items;
    size_t n_items, items_cap;
    const char **classes; /* class names met so far, each once */
    size_t n_classes, classes_cap;
    uint32_t *class_table; /* open addressing: 1 + index into classes, 0 for free */
    size_t class_slots;
    rq_folder *folders; /* what may be a class without images */
    size_t n_folders, folders_cap;
    const char **archives; /* paths of archives in the folder that is walked */
    size_t n_archives, archives_cap;
    const char **number_names; /* names that sidecars give to integer labels, NULL: none */
    size_t n_number_names, number_names_cap;
    uint64_t visited; /* against opts.max_entries */
    uint64_t passed_over;
    rq_text_pool pool;
    rq_source_opts opts;
} rq_catalogue;

/* Copy of text[0, length) that lives as long as the catalogue. LIMIT when names take more
 * memory than opts.max_name_bytes. */
RQ_NODISCARD rq_status rq_catalogue_text(rq_catalogue *c, const char *text, size_t length,
                                         const char **out, rq_err *err);
/* "folder/name", likewise. */
RQ_NODISCARD rq_status rq_catalogue_join(rq_catalogue *c, const char *folder, const char *name,
                                         const char **out, rq_err *err);
/* The walkers set all but sequence, which is counted here. */
RQ_NODISCARD rq_status rq_catalogue_add(rq_catalogue *c, const rq_item *item, rq_err *err);
/* The one copy of this class name; *index (may be NULL) is its place in `classes`. */
RQ_NODISCARD rq_status rq_catalogue_class(rq_catalogue *c, const char *name, size_t length,
                                          const char **out, size_t *index, rq_err *err);
RQ_NODISCARD rq_status rq_catalogue_add_folder(rq_catalogue *c, const char *path,
                                               bool is_archive, rq_err *err);
RQ_NODISCARD rq_status rq_catalogue_add_archive(rq_catalogue *c, const char *path, rq_err *err);
/* Label `number` is called `name`; the first name stays. */
RQ_NODISCARD rq_status rq_catalogue_name_number(rq_catalogue *c, int number, const char *name,
                                                rq_err *err);
/* Counts one directory entry, member or line; LIMIT beyond opts.max_entries, CANCELLED. */
RQ_NODISCARD rq_status rq_catalogue_visit(rq_catalogue *c, const char *where, rq_err *err);
void rq_catalogue_free(rq_catalogue *c);

/* Order of two `const char *` elements by byte value, for qsort and bsearch. */
int rq_compare_texts(const void *a, const void *b);
/* Order of two paths by their last parts without extensions; folders do not count. */
int rq_compare_base_stems(const char *a, const char *b);
/* Whether two paths are equal but for their extensions. */
bool rq_same_stem(const char *a, const char *b);
/* Whether one of them ends in the other, in whole parts and without extensions. */
bool rq_same_ending(const char *a, const char *b);
/* Hidden (any part begins with '.'), or clearly no image by its extension. */
bool rq_is_no_image(const char *path);
/* "x.tar", "x.tar.gz", "x.tgz", "x.tar.zst", "x.zip", ...: length of x, else 0. */
size_t rq_archive_stem(const char *path);

/* ---- inputs ------------------------------------------------------------------------------ */

/* What one walk found. */
typedef struct rq_walk {
    uint64_t archives; /* archives in a folder, which are not opened */
    bool direct;       /* every item of the archive has an offset */
    bool has_solution; /* LOC_val_solution.csv is in the archive */
} rq_walk;

typedef enum rq_input_kind { RQ_INPUT_FOLDER, RQ_INPUT_ARCHIVE, RQ_INPUT_LIST } rq_input_kind;

typedef struct rq_input {
    char *path; /* folder or archive; of a list: the folder that its paths start from */
    char *list; /* the list file */
    rq_input_kind kind;
    bool shard;       /* found in a folder of archives */
    rq_layout asked;  /* AUTO: by what the walk finds */
    rq_layout layout; /* what it was resolved to */
    rq_walk walk;
    size_t first, end;               /* its items, until they are sorted */
    size_t first_folder, end_folder; /* its part of the catalogue's folders */
    uint64_t images;                 /* that were kept */
    bool val_named;                  /* they are all named ILSVRC2012_val_* and in no class */
} rq_input;

/* What the user called it: the list file of a list, else its path. */
const char *rq_input_name(const rq_input *in);

struct rq_source {
    rq_catalogue catalogue;
    rq_input *inputs;
    size_t n_inputs, inputs_cap;
    rq_layout layout;
    const char *labels_beside;  /* labels found beside the images, or NULL */
    const char *classes_beside; /* list of classes found beside them */
    const char *labels_about;   /* where labels came from, for people */
    rq_class_list class_list;
    const char **labels; /* class names in label order */
    int n_labels;
    bool labelled, numbered;
    uint64_t bytes, excluded;
    char about[512];
    uint64_t *order;    /* ids in reading order */
    uint64_t at;        /* next place in order */
    struct rq_tar *tar; /* open archive of input tar_input */
    uint32_t tar_input;
    uint64_t tar_sequence; /* items of it that were passed */
    struct rq_member *member;
    rq_buf data;
};

/* layout.c: makes inputs of a path and walks them. */
RQ_NODISCARD rq_status rq_layout_add_path(rq_source *s, const char *path, rq_err *err);
/* The split that a word like "training" means; ANY for others. */
rq_split rq_split_of_word(const char *word, size_t length);
/* The split that the words of a path's last part tell, ANY when none or several do. */
rq_split rq_split_of_name(const char *path);
/* The one of a set of 1 << rq_split that `asked` means, or the only one; INVALID_ARG when one
 * has to be asked for, NOT_FOUND when it is not in the set. `name` is what holds them. */
RQ_NODISCARD rq_status rq_split_choose(const char *name, unsigned splits, rq_split asked,
                                       rq_split *out, rq_err *err);

/* resolve.c: what the names of all items mean in the layouts of their inputs: classes, and
 * which items stay. */
RQ_NODISCARD rq_status rq_resolve(rq_source *s, rq_err *err);
/* labelling.c: labels from the caller's file, or from the one beside the images when they need
 * it. */
RQ_NODISCARD rq_status rq_find_labels(rq_source *s, rq_err *err);
/* Gives an item its class; numbered: an integer label as text. */
RQ_NODISCARD rq_status rq_item_set_label(rq_catalogue *c, rq_item *item, const char *class_name,
                                         bool numbered, rq_err *err);
/* classes.c: the classes of the source and each item's place among them. */
RQ_NODISCARD rq_status rq_number_labels(rq_source *s, rq_err *err);
/* naming.c: final names, exclusions, order. */
RQ_NODISCARD rq_status rq_finish_catalogue(rq_source *s, rq_err *err);
/* "folder/rest", folder of `length` bytes. */
bool rq_is_inside(const char *path, const char *folder, size_t length);

/* ---- walkers ----------------------------------------------------------------------------- */

RQ_NODISCARD rq_status rq_dir_walk(rq_catalogue *c, uint32_t input, const char *root,
                                   rq_walk *walk, rq_err *err);
/* Reads root/name (or name, when it is absolute) into buf. What is wrong with the one file goes
 * to *failure and *reason (256 bytes) and the result is RQ_OK; what would be wrong with every
 * file (no descriptors, no memory, I/O errors, the root is gone) is the result. */
RQ_NODISCARD rq_status rq_dir_read(const char *root, const char *name, size_t max_bytes,
                                   rq_buf *buf, rq_status *failure, char *reason, rq_err *err);
/* Whether errno is about one file alone. */
bool rq_errno_is_of_file(int sys_errno);

RQ_NODISCARD rq_status rq_list_walk(rq_catalogue *c, uint32_t input, const char *root,
                                    const char *list, rq_err *err);

/* Iterator over the members of an archive and of the archives inside it. */
typedef struct rq_tar rq_tar;

typedef enum rq_member_kind {
    RQ_MEMBER_FILE,
    RQ_MEMBER_FOLDER,
    RQ_MEMBER_ARCHIVE, /* opened: its members follow */
    RQ_MEMBER_OTHER    /* link, device, ... */
} rq_member_kind;

typedef struct rq_member {
    rq_member_kind kind;
    char path[RQ_PATH_BYTES_MAX];       /* cleaned: no empty, "." and ".." parts */
    char class_name[RQ_PATH_BYTES_MAX]; /* name of the archive it is in, "" at the top */
    uint64_t bytes;
    uint64_t offset; /* or RQ_NO_OFFSET */
    bool sparse;
    bool too_deep; /* an archive that max_depth forbids to open */
    bool too_long; /* path was cut */
    bool cut;      /* the file ends within it: only with allow_truncated */
} rq_member;

RQ_NODISCARD rq_status rq_tar_open(rq_tar **out, const char *path, const rq_source_opts *opts,
                                   rq_err *err);
void rq_tar_close(rq_tar **t);
/* The next member, END behind the last. */
RQ_NODISCARD rq_status rq_tar_next(rq_tar *t, rq_member *m, rq_err *err);
/* Content of the FILE member that next gave: `bytes` of it into dst, in sequence. What is wrong
 * with this member alone is BAD_CHECKSUM or UNSUPPORTED. */
RQ_NODISCARD rq_status rq_tar_read(rq_tar *t, void *dst, size_t bytes, rq_err *err);
/* Content at an offset that a member had. */
RQ_NODISCARD rq_status rq_tar_read_at(rq_tar *t, void *dst, size_t bytes, uint64_t offset,
                                      rq_err *err);
RQ_NODISCARD rq_status rq_tar_walk(rq_catalogue *c, uint32_t input, const char *path,
                                   rq_walk *walk, rq_err *err);
/* Whether the walk made an item of this member: the second pass must agree with the first. */
bool rq_tar_is_item(const rq_member *m);

/* ---- sidecars ---------------------------------------------------------------------------- */

enum { RQ_SIDECAR_BYTES_MAX = 64 << 10 };

/* The WebDataset sample that a walk is in: members with one KEY stand together. */
typedef struct rq_sample {
    char key[RQ_PATH_BYTES_MAX];
    size_t first; /* its first item */
    bool open;
    int number; /* -1: none */
    char name[256];
} rq_sample;

/* Call for each file member before its item is added: ends the sample that it is no part of. */
RQ_NODISCARD rq_status rq_sample_enter(rq_catalogue *c, rq_sample *sample, const char *path,
                                       rq_err *err);
/* Gives the items of the sample what its sidecars said. */
RQ_NODISCARD rq_status rq_sample_end(rq_catalogue *c, rq_sample *sample, rq_err *err);
/* "KEY.cls" or "KEY.json". */
bool rq_is_sidecar(const char *path);
/* Takes the label out of a sidecar's content; what is no label is ignored. */
RQ_NODISCARD rq_status rq_sample_read(rq_sample *sample, const char *path, const char *text,
                                      size_t bytes, rq_err *err);

#endif
