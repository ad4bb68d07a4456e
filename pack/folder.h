/* The folder that a build writes into: who may write, what its files are called while they are
 * made, and removing what a build replaces or a killed one left behind.
 *
 * Until a build is done, its shards are called PREFIX-NNNNNN.tar.zst.new and its journal and
 * report are hidden files. PREFIX is NAME, or NAME-pIIIofNNN for one part of a dataset that is
 * packed in parts: parts may be packed into one folder at the same time. */
#ifndef RQ_PACK_FOLDER_H
#define RQ_PACK_FOLDER_H

#include "pack/manifest.h"

#ifdef __cplusplus
extern "C" {
#endif

#define RQ_DRAFT_SUFFIX RQ_SHARD_SUFFIX ".new"

/* Zero-initialise; rq_folder_close when done. */
typedef struct rq_folder {
    const char *path; /* borrowed */
    const char *name; /* borrowed */
    rq_part part;
    int fd;      /* holds the lock on the folder: shared by parts, else exclusive */
    int part_fd; /* holds the lock of a part */
    bool open;
    bool created; /* by us: removed again when nothing was written */
    char prefix[RQ_MAX_PREFIX_BYTES];
    char manifest[RQ_MAX_FILE_BYTES], report[RQ_MAX_FILE_BYTES]; /* when done */
    char journal[RQ_MAX_FILE_BYTES], draft[RQ_MAX_FILE_BYTES];   /* draft: of the report */
    char lock[RQ_MAX_FILE_BYTES];
} rq_folder;

/* Creates the folder and locks it against other builds of the same thing: INVALID_ARG when one
 * is at work. Removes temporary files of killed builds. */
RQ_NODISCARD rq_status rq_folder_open(rq_folder *f, const char *path, const char *name,
                                      rq_part part, rq_err *err);
/* Unlocks. With `remove_if_empty`, a folder that was created here and is empty goes too. */
void rq_folder_close(rq_folder *f, bool remove_if_empty);

bool rq_folder_has(const rq_folder *f, const char *file);
/* Whether shards of this prefix stand there, or parts of a dataset, finished or not. */
RQ_NODISCARD rq_status rq_folder_has_shards(const rq_folder *f, bool *yes, rq_err *err);
RQ_NODISCARD rq_status rq_folder_has_parts(const rq_folder *f, bool *yes, rq_err *err);
/* Fine when it is not there. */
RQ_NODISCARD rq_status rq_folder_remove(const rq_folder *f, const char *file, rq_err *err);
RQ_NODISCARD rq_status rq_folder_rename(const rq_folder *f, const char *from, const char *to,
                                        rq_err *err);
/* fsync of the folder. */
RQ_NODISCARD rq_status rq_folder_sync(const rq_folder *f, rq_err *err);

/* Removes unfinished shards of this prefix with a number of `from` or more; a build of the
 * whole dataset removes those of any other name too. */
RQ_NODISCARD rq_status rq_folder_drop_drafts(const rq_folder *f, size_t from, rq_err *err);
/* Makes way for a dataset, or a part, of `shards` shards: removes the manifest first, then the
 * shards of what stood there, but for those that the new names replace. A build of the whole
 * dataset removes parts; a part removes its own old form, and a dataset without parts. */
RQ_NODISCARD rq_status rq_folder_clear(const rq_folder *f, size_t shards, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
