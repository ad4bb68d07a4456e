/* Sources: where images come from, before they are packed.
 *
 * Opening a source walks names and headers only (folders by readdir, tar files by seeking from
 * header to header; a compressed archive has to be decompressed once for that) and gives a
 * catalogue: every image in its canonical order, which is class order, then name, both by byte
 * value. The place in that order is the sample id. Then the data are read in one pass, in the
 * order in which the source stores them. Nothing is unpacked to disk and no file is created.
 *
 * The layout is found by looking: folders of class folders, flat folders, archives of either,
 * tars of per-class tars and folders of them, Kaggle's and Hugging Face's ImageNet, WebDataset
 * shards, list files. Where a source holds several splits, one has to be asked for; where
 * labels stand in a file of their own (ImageNet's val set), the file is named or found beside
 * it. Two readings of one source, or a label that is missing, are an error that says so:
 * nothing is guessed.
 *
 * Label numbers are places among the sorted class names, so that train and val agree. Labels
 * that a WebDataset, list or label file gives as integers keep their value.
 *
 *     rq_source_open(&src, &path, 1, &opts, &err);
 *     while ((s = rq_source_next(src, &rec, &err)) == RQ_OK) use(&rec);
 *     if (s != RQ_END) report(err);
 *
 * Thread rule: one thread at a time. */
#ifndef RQ_INGEST_SOURCE_H
#define RQ_INGEST_SOURCE_H

#include "common/log.h"
#include "common/mem.h"
#include "common/status.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Names for --layout are those of rq_layout_name, in this order. */
typedef enum rq_layout {
    RQ_LAYOUT_AUTO = 0,
    RQ_LAYOUT_CLASS_FOLDERS, /* DIR/CLASS/..IMAGE */
    RQ_LAYOUT_FLAT_FOLDER,   /* DIR/IMAGE; labels from opts.labels, or none */
    RQ_LAYOUT_TAR_OF_TARS,   /* TAR/CLASS.tar/..IMAGE */
    RQ_LAYOUT_TAR_FOLDERS,   /* TAR/../CLASS/IMAGE: class = last folder */
    RQ_LAYOUT_TAR_FLAT,      /* TAR/IMAGE; labels from opts.labels, or none */
    RQ_LAYOUT_CLASS_TARS,    /* DIR/CLASS.tar/..IMAGE */
    RQ_LAYOUT_KAGGLE,        /* ILSVRC/Data/CLS-LOC/{train/WNID,val,test} and LOC_* files */
    RQ_LAYOUT_HUGGINGFACE,   /* TAR/IMAGE_WNID.JPEG: class = end of the name */
    RQ_LAYOUT_WEBDATASET,    /* TAR/KEY.jpg with KEY.cls or KEY.json */
    RQ_LAYOUT_LIST,          /* text file of lines "PATH LABEL" */
    RQ_LAYOUT_COUNT
} rq_layout;

/* "auto", "class-folders", ... */
const char *rq_layout_name(rq_layout layout);

typedef enum rq_split {
    RQ_SPLIT_ANY = 0,
    RQ_SPLIT_TRAIN,
    RQ_SPLIT_VAL,
    RQ_SPLIT_TEST
} rq_split;

/* "any", "train", "val", "test". */
const char *rq_split_name(rq_split split);

/* Zeros but for the limits; rq_source_opts_default. Strings are used during rq_source_open. */
typedef struct rq_source_opts {
    rq_layout layout;     /* AUTO: decide by looking */
    rq_split split;       /* which part of a source that holds several; ANY: it holds one */
    const char *labels;   /* labels of flat sources: a devkit (archive or folder), a label file
                             or LOC_val_solution.csv; NULL: look beside the source */
    const char *classes;  /* the names of all classes, also of those without images: a devkit,
                             LOC_synset_mapping.txt or a file of one name a line; or NULL */
    const char *exclude;  /* file of names to leave out, one a line; or NULL */
    bool allow_truncated; /* an archive that ends early is a warning; what is whole is used */
    size_t max_member_bytes; /* larger members are rejected unread; default 64 MiB */
    uint64_t max_entries;    /* default 20,000,000 */
    size_t max_name_bytes;   /* memory for names, all together; default 2 GiB */
    int max_depth;           /* archives inside archives; default 2 */
    rq_log_sink log;
    const volatile sig_atomic_t *cancel; /* non-zero ends opening with CANCELLED; may be NULL */
} rq_source_opts;

void rq_source_opts_default(rq_source_opts *o);

typedef struct rq_source rq_source;

/* One image of the catalogue; strings are borrowed from the source. */
typedef struct rq_entry {
    uint64_t id;            /* place in canonical order */
    const char *name;       /* "CLASS/FILE.EXT" or "FILE.EXT", unique, as stored */
    const char *class_name; /* NULL when there are no labels */
    int label;              /* index in class order, -1 when there are no labels */
    uint64_t bytes;
} rq_entry;

/* An entry with its content. data is valid until the next call on the source. Entries that
 * cannot be delivered (too large, unreadable) come with status != RQ_OK, data NULL and a
 * sentence in reason: the caller counts them as rejected and goes on. */
typedef struct rq_record {
    rq_entry entry;
    const uint8_t *data;
    size_t size;
    rq_status status;
    char reason[256];
} rq_record;

/* Walks `n` paths that together form one dataset. A class without images is a warning in the
 * log and keeps its label; no image at all is NOT_FOUND with what was looked for. Hidden files,
 * and files that are clearly no image (by extension: txt, xml, csv, md, json, ...) are passed
 * over and counted; everything else is an entry and gets a verdict later. Links and devices
 * inside archives are passed over and counted. What was found is a line in the log at INFO.
 *
 * INVALID_ARG says which option is missing: --split, --labels or --layout. TRUNCATED: an
 * archive ends early, unless opts.allow_truncated. LIMIT: entries, names, or an archive that
 * swells to more than 200 times its size. */
RQ_NODISCARD rq_status rq_source_open(rq_source **out, const char *const *paths, size_t n,
                                      const rq_source_opts *opts, rq_err *err);
void rq_source_close(rq_source **src);

uint64_t rq_source_count(const rq_source *src);
uint64_t rq_source_bytes(const rq_source *src); /* sum over entries */
/* Files that are no images, links, devices; images in no class. */
uint64_t rq_source_passed_over(const rq_source *src);
/* Images that opts.exclude names; they are in no other count. */
uint64_t rq_source_excluded(const rq_source *src);
/* What was found, in one line: layout, archives, images, classes, where labels come from. */
const char *rq_source_about(const rq_source *src);
rq_layout rq_source_layout(const rq_source *src);
int rq_source_classes(const rq_source *src); /* 0 when there are no labels */
const char *rq_source_class_name(const rq_source *src, int label);
/* Entry by id, id < count. */
rq_entry rq_source_entry(const rq_source *src, uint64_t id);

/* The next record in reading order; END behind the last. A failure of the container itself
 * (torn archive, vanished folder) is an error; a single bad entry is not. */
RQ_NODISCARD rq_status rq_source_next(rq_source *src, rq_record *rec, rq_err *err);
/* Passes over the next `records` of the reading order, as if next had given them, without
 * reading their data; INVALID_ARG when fewer are left. Immediate: in a compressed archive the
 * way there is decompressed by the following next. */
RQ_NODISCARD rq_status rq_source_skip(rq_source *src, uint64_t records, rq_err *err);
/* Back to the first record. */
RQ_NODISCARD rq_status rq_source_rewind(rq_source *src, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
