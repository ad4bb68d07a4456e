/* The folder that a build writes into: who may write, what stands there already, and removing
 * what a build replaces or an interrupted one left behind. */
#ifndef RQ_PACK_FOLDER_H
#define RQ_PACK_FOLDER_H

#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Zero-initialise; rq_folder_close when done. */
typedef struct rq_folder {
    const char *path; /* borrowed */
    const char *name; /* shard prefix, borrowed */
    int fd;           /* holds the lock */
    bool open;
    bool created;  /* by us: removed again when nothing was written */
    bool occupied; /* there is an old dataset.json */
} rq_folder;

/* Creates the folder and locks it against other builds. INVALID_ARG when it is occupied and
 * `replace` is false, or when it is locked. Removes temporary files of builds that were
 * killed. */
RQ_NODISCARD rq_status rq_folder_open(rq_folder *f, const char *path, const char *name,
                                      bool replace, rq_err *err);
/* Removes dataset.json first, then the shards and the report that belong to it. No effect when
 * there is no old dataset. */
RQ_NODISCARD rq_status rq_folder_clear(rq_folder *f, rq_err *err);
/* Removes shards NAME-NNNNNN.tar.zst with a number of `shards` or more. */
RQ_NODISCARD rq_status rq_folder_trim(rq_folder *f, size_t shards, rq_err *err);
/* Unlocks. With `remove_if_empty`, a folder that was created here and is empty goes too. */
void rq_folder_close(rq_folder *f, bool remove_if_empty);

#ifdef __cplusplus
}
#endif
#endif
