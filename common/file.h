/* Durable files: what stands under its final name is complete.
 *
 * A file is written under a temporary name in the same folder, fsynced, renamed, and the folder
 * is fsynced. Whoever dies in between leaves the old file, or none, and at worst a
 * `.NAME.tmp-PID-N`. */
#ifndef RQ_COMMON_FILE_H
#define RQ_COMMON_FILE_H

#include "common/mem.h"
#include "common/status.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rq_atomic_file rq_atomic_file;

/* Opens a temporary file beside `path`. `replace` false: fails at commit if path exists. */
RQ_NODISCARD rq_status rq_atomic_file_create(rq_atomic_file **out, const char *path,
                                             bool replace, rq_err *err);
/* Appends; writes everything or fails. */
RQ_NODISCARD rq_status rq_atomic_file_write(rq_atomic_file *f, const void *data, size_t bytes,
                                            rq_err *err);
/* Bytes written so far. */
uint64_t rq_atomic_file_tell(const rq_atomic_file *f);
/* fsync: the content is on disk under its temporary name, and nothing may be appended any more.
 * For who has something to do between that and the renaming; commit does it otherwise. */
RQ_NODISCARD rq_status rq_atomic_file_seal(rq_atomic_file *f, rq_err *err);
/* fsync, rename, fsync of the folder; then destroys *f whatever the outcome. On failure nothing
 * stands under the final name that was not there before, unless it was the folder that could
 * not be flushed: then the file stands there, complete. */
RQ_NODISCARD rq_status rq_atomic_file_commit(rq_atomic_file **f, rq_err *err);
/* Removes the temporary file. NULL is fine. */
void rq_atomic_file_abort(rq_atomic_file **f);

/* All of the above in one call. */
RQ_NODISCARD rq_status rq_file_write_atomic(const char *path, const void *data, size_t bytes,
                                            rq_err *err);
/* Reads a whole file of at most max_bytes into buf (replacing its content), with a NUL behind
 * it that size does not count. LIMIT when it is larger. */
RQ_NODISCARD rq_status rq_file_read(const char *path, size_t max_bytes, rq_buf *buf,
                                    rq_err *err);

/* pread until `bytes` are there; TRUNCATED at end of file. `name` is for the message. */
RQ_NODISCARD rq_status rq_pread_full(int fd, void *dst, size_t bytes, uint64_t offset,
                                     const char *name, rq_err *err);
/* write until all is out. */
RQ_NODISCARD rq_status rq_write_full(int fd, const void *src, size_t bytes, const char *name,
                                     rq_err *err);

/* Creates the folder and its missing parents; fine if it exists. */
RQ_NODISCARD rq_status rq_mkdirs(const char *path, rq_err *err);
/* fsync of a folder. */
RQ_NODISCARD rq_status rq_dir_sync(const char *path, rq_err *err);
/* "dir/name" in a new string, NULL when out of memory; rq_free it. */
char *rq_path_join(const char *dir, const char *name);
/* The part behind the last '/'. */
const char *rq_path_base(const char *path);

#ifdef __cplusplus
}
#endif
#endif
