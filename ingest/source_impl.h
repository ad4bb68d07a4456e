/* Inside of the sources: the catalogue under construction, and what folders and tar archives
 * offer to it. Private to ingest/.
 *
 * A source is opened in two steps. Each input is walked, which adds items with their names as
 * found; then source.c decides what the layout means, cuts the names into class and file, and
 * sorts. Strings live in the catalogue's pool until the source is closed. */
#ifndef RQ_INGEST_SOURCE_IMPL_H
#define RQ_INGEST_SOURCE_IMPL_H

#include "ingest/source.h"

enum { RQ_PATH_BYTES_MAX = 4096 };
#define RQ_NO_OFFSET UINT64_MAX

/* Strings that are only ever added. */
typedef struct rq_text_pool {
    struct rq_text_block *blocks;
} rq_text_pool;

typedef struct rq_item {
    const char *name;       /* see rq_entry */
    const char *class_name; /* NULL: none, or not yet known */
    uint64_t bytes;
    uint64_t offset;   /* of the data in the archive file, RQ_NO_OFFSET when it has to be read
                          in sequence */
    uint64_t sequence; /* place in the reading order of its input */
    uint32_t input;
    int32_t label;
    rq_status status;   /* RQ_OK, or why the entry will not be delivered */
    const char *reason; /* static text */
} rq_item;

typedef struct rq_catalogue {
    rq_item *items;
    size_t n_items, items_cap;
    const char **classes; /* names of classes seen; duplicates are fine */
    size_t n_classes, classes_cap;
    const char **folders; /* paths of an archive's folder members, for the empty ones */
    size_t n_folders, folders_cap;
    uint64_t visited; /* against opts.max_entries */
    uint64_t passed_over;
    rq_text_pool pool;
    rq_source_opts opts;
} rq_catalogue;

/* Copy of text[0, length) that lives as long as the pool; NULL when out of memory. */
const char *rq_text_add(rq_text_pool *pool, const char *text, size_t length);
void rq_text_free(rq_text_pool *pool);

/* The walkers set name, class_name, bytes, offset, status, reason; sequence is counted here. */
RQ_NODISCARD rq_status rq_catalogue_add(rq_catalogue *c, const rq_item *item, rq_err *err);
/* The class of this name, added to the list unless it is the last one there. */
RQ_NODISCARD rq_status rq_catalogue_class(rq_catalogue *c, const char *name, size_t length,
                                          const char **out, rq_err *err);
RQ_NODISCARD rq_status rq_catalogue_add_folder(rq_catalogue *c, const char *path, rq_err *err);
/* Counts one directory entry or archive member; LIMIT beyond opts.max_entries. */
RQ_NODISCARD rq_status rq_catalogue_visit(rq_catalogue *c, const char *where, rq_err *err);
/* Hidden (any part begins with '.'), or clearly no image by its extension. */
bool rq_is_no_image(const char *path);
/* "x.tar", "x.tar.gz", "x.tgz", "x.tar.zst", "x.tzst": length of x, else 0. */
size_t rq_archive_stem(const char *path);

/* What one walk found, for choosing the layout. */
typedef struct rq_walk {
    uint64_t nested;   /* images in archives inside the archive */
    uint64_t foldered; /* images in folders */
    uint64_t loose;    /* images at the top */
    uint64_t archives; /* archives in a folder, which are not opened */
    bool direct;       /* every item of the archive has an offset */
} rq_walk;

RQ_NODISCARD rq_status rq_dir_walk(rq_catalogue *c, uint32_t input, const char *root,
                                   rq_walk *walk, rq_err *err);
/* Reads root/name into buf. What is wrong with the one file goes to *failure and *reason (256
 * bytes) and the result is RQ_OK. */
RQ_NODISCARD rq_status rq_dir_read(const char *root, const char *name, size_t max_bytes,
                                   rq_buf *buf, rq_status *failure, char *reason, rq_err *err);

/* Iterator over the members of a tar file and of the tar files inside it. */
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
} rq_member;

RQ_NODISCARD rq_status rq_tar_open(rq_tar **out, const char *path, const rq_source_opts *opts,
                                   rq_err *err);
void rq_tar_close(rq_tar **t);
/* The next member, END behind the last. */
RQ_NODISCARD rq_status rq_tar_next(rq_tar *t, rq_member *m, rq_err *err);
/* Content of the FILE member that next gave: `bytes` of it into dst, in sequence. */
RQ_NODISCARD rq_status rq_tar_read(rq_tar *t, void *dst, size_t bytes, rq_err *err);
/* Content at an offset that a member had. */
RQ_NODISCARD rq_status rq_tar_read_at(rq_tar *t, void *dst, size_t bytes, uint64_t offset,
                                      rq_err *err);
RQ_NODISCARD rq_status rq_tar_walk(rq_catalogue *c, uint32_t input, const char *path,
                                   rq_walk *walk, rq_err *err);
/* Whether the walk made an item of this member: the second pass must agree with the first. */
bool rq_tar_is_item(const rq_member *m);

#endif
