/* Keys: the name of a sample inside a shard, made from its name in the source.
 *
 * WebDataset groups members by everything before the first dot of the base name, so a key has
 * no dot. It consists of [A-Za-z0-9_/-], and of '+' only before the sample id that is put
 * behind a key when the plain one would not tell two samples apart. */
#ifndef RQ_PACK_KEY_H
#define RQ_PACK_KEY_H

#include "pack/format.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Key of source name "CLASS/FILE.EXT": the name without its extension. When a byte had to be
 * replaced by '_', when the name is too long, or when `ambiguous`, "+ID" follows: two different
 * ids never get one key as long as `ambiguous` is given wherever stems are equal. */
void rq_key_make(char key[RQ_MAX_KEY_BYTES + 1], const char *name, uint64_t id, bool ambiguous);
/* Bytes of the name before its extension: "a/b.jpg" gives 3, "a/.b" and "a/b" all of it. */
int rq_key_stem(const char *name);
/* True for what rq_key_make can give: the charset, no empty component, 1 to 80 bytes. */
bool rq_key_valid(const char *key);

#ifdef __cplusplus
}
#endif
#endif
