/* One shard read without trust in its index: every frame that is whole is found again, and with
 * it everything that an index says. */
#ifndef RQ_PACK_SALVAGE_H
#define RQ_PACK_SALVAGE_H

#include "pack/manifest.h"

#include <signal.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rq_salvage_opts {
    /* Called for every stretch that holds no readable sample, with a full sentence. NULL: not.
     */
    void (*damage)(void *cookie, const char *sentence);
    void (*progress)(void *cookie, uint64_t bytes_done, uint64_t bytes); /* NULL: not */
    void *cookie;
    const volatile sig_atomic_t *cancel; /* may be NULL */
} rq_salvage_opts;

typedef struct rq_salvage {
    rq_index_entry *entries; /* [n], owned: as an index of the file at hand would have them */
    size_t n;
    bool intact;         /* the whole file, index included: there is nothing to rebuild */
    uint64_t lost;       /* samples that are gone */
    bool lost_known;     /* false: at least so many, since no index or table could be read */
    uint64_t guessed;    /* samples without an id in KEY.json or index: numbered in order */
    uint64_t bytes;      /* of the file */
    uint64_t index_hash; /* when intact */
} rq_salvage;

/* Examines the shard at `path`. expected: samples that it should hold, 0 when not known. Damage
 * is no error; a file that cannot be read at all is, and LIMIT when a file is made to be
 * examined without end. */
RQ_NODISCARD rq_status rq_salvage_scan(rq_salvage *s, const char *path, uint64_t expected,
                                       const rq_salvage_opts *opts, rq_err *err);
/* Writes a shard of the frames that were found to `out`, which may be `path`: it is replaced
 * when the new one is on disk. *info as rq_shard_writer_finish. */
RQ_NODISCARD rq_status rq_salvage_write(const rq_salvage *s, const char *path, const char *out,
                                        const rq_salvage_opts *opts, rq_manifest_shard *info,
                                        rq_err *err);
void rq_salvage_free(rq_salvage *s);

#ifdef __cplusplus
}
#endif
#endif
