/* Sources: where images come from, before they are packed.
 *
 * Opening a source walks names and headers only (folders by readdir, tar files by seeking from
 * header to header; a compressed archive has to be decompressed once for that) and gives a
 * catalogue: every image in its canonical order, which is class order, then name, both by byte
 * value. The place in that order is the sample id. Then the data are read in one pass, in the
 * order in which the source stores them. Nothing is unpacked to disk and no file is created.
 *
 * Layouts found by looking: a folder of class folders; a folder of images (no labels); a tar of
 * per-class tars (the official ImageNet train archive); a tar of class folders; a tar of
 * images.
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

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rq_layout {
    RQ_LAYOUT_AUTO = 0,
    RQ_LAYOUT_CLASS_FOLDERS, /* DIR/CLASS/..IMAGE */
    RQ_LAYOUT_FLAT_FOLDER,   /* DIR/IMAGE, no labels */
    RQ_LAYOUT_TAR_OF_TARS,   /* TAR/CLASS.tar/..IMAGE */
    RQ_LAYOUT_TAR_FOLDERS,   /* TAR/../CLASS/IMAGE: class = last folder */
    RQ_LAYOUT_TAR_FLAT       /* TAR/IMAGE, no labels */
} rq_layout;

const char *rq_layout_name(rq_layout layout);

typedef struct rq_source_opts {
    rq_layout layout;        /* AUTO: decide by looking */
    size_t max_member_bytes; /* larger members are rejected unread; default 64 MiB */
    uint64_t max_entries;    /* default 20,000,000 */
    int max_depth;           /* archives inside archives; default 2 */
    rq_log_sink log;
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

/* Walks `n` paths that together form one dataset. An empty class folder is a warning in the log
 * and keeps its label; no image at all is NOT_FOUND with what was looked for. Hidden files, and
 * files that are clearly no image (by extension: txt, xml, csv, md, json, ...) are passed over
 * and counted; everything else is an entry and gets a verdict later. Links and devices inside
 * archives are passed over and counted. */
RQ_NODISCARD rq_status rq_source_open(rq_source **out, const char *const *paths, size_t n,
                                      const rq_source_opts *opts, rq_err *err);
void rq_source_close(rq_source **src);

uint64_t rq_source_count(const rq_source *src);
uint64_t rq_source_bytes(const rq_source *src); /* sum over entries */
uint64_t rq_source_passed_over(const rq_source *src);
rq_layout rq_source_layout(const rq_source *src);
int rq_source_classes(const rq_source *src); /* 0 when there are no labels */
const char *rq_source_class_name(const rq_source *src, int label);
/* Entry by id, id < count. */
rq_entry rq_source_entry(const rq_source *src, uint64_t id);

/* The next record in reading order; END behind the last. A failure of the container itself
 * (torn archive, vanished folder) is an error; a single bad entry is not. */
RQ_NODISCARD rq_status rq_source_next(rq_source *src, rq_record *rec, rq_err *err);
/* Back to the first record. */
RQ_NODISCARD rq_status rq_source_rewind(rq_source *src, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
