/* Files of a dataset into another folder: by a hard link where that can be, else by a copy that
 * is checked on the way. */
#ifndef RQ_PACK_CARRY_H
#define RQ_PACK_CARRY_H

#include "pack/manifest.h"

#include <signal.h>

#ifdef __cplusplus
extern "C" {
#endif

/* `from` stands at `to` when this returns RQ_OK, whole; what stood there is replaced. With
 * `shard`, one that is there already is kept if it is the very same, and a copy must have its
 * SHA-256: BAD_CHECKSUM. A copy is durable, a link when its folder has been flushed. */
RQ_NODISCARD rq_status rq_carry(const char *from, const char *to,
                                const rq_manifest_shard *shard,
                                const volatile sig_atomic_t *cancel, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
