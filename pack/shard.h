/* One shard opened for reading: its length, index and end frame. */
#ifndef RQ_PACK_SHARD_H
#define RQ_PACK_SHARD_H

#include "pack/index.h"
#include "pack/manifest.h"

#include <signal.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rq_shard {
    char *path;       /* owned */
    const char *name; /* last part of path */
    int fd;           /* -1 when not open */
    uint64_t bytes;
    size_t count; /* samples */
    rq_index_tail tail;
} rq_shard;

/* Opens the file and reads its last bytes: bytes and count are known, and count is possible for
 * a file of that length, so that memory for it may be allocated. Messages name the file. */
RQ_NODISCARD rq_status rq_shard_open(rq_shard *s, const char *path, rq_err *err);
/* Opens the file whatever it holds: only name, descriptor and length are known. */
RQ_NODISCARD rq_status rq_shard_open_raw(rq_shard *s, const char *path, rq_err *err);
/* Reads and checks index and seek table; entries has room for s->count. */
RQ_NODISCARD rq_status rq_shard_load(rq_shard *s, rq_index_entry *entries, rq_err *err);
/* Zeroed or closed is fine (fd 0 with path NULL counts as closed). */
void rq_shard_close(rq_shard *s);

/* Whether the file is the one that a manifest or journal means: length, samples and index hash;
 * with `frames` every stored byte too. BAD_CHECKSUM and the like when it is not; CANCELLED when
 * *cancel (may be NULL) is set. */
RQ_NODISCARD rq_status rq_shard_check(const char *path, const rq_manifest_shard *m, bool frames,
                                      const volatile sig_atomic_t *cancel, rq_err *err);

/* Fails with "SHARD: sample ID at byte OFFSET: ..." around the text of `inner`. */
rq_status rq_shard_blame(const rq_shard *s, const rq_index_entry *e, const char *key,
                         const rq_err *inner, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
