/* Plans on disk: what was found out about a graph on one device with one version of cuDNN, so
 * that the next run starts with it.
 *
 * A file holds the plans of one identity (versions and device, see rq_plan_identity); its name
 * is made from the identity, so machines and versions can share a folder. It is read whole and
 * replaced whole, atomically. A file that is damaged, or of another identity or format, counts
 * as empty, and rq_plan_cache_note says why: a cache may be lost, never believed.
 *
 * File format, little-endian: "RQPLANS" and a NUL; u32 format 1; u32 entries; u64 bytes that
 * follow the header; u64 XXH3 of them; then u32 length and text of the identity; per entry u32
 * lengths of key, name and plan, f64 milliseconds, and those three texts.
 *
 * Thread rule: one thread at a time. Processes may share a file; the last one to save wins. */
#ifndef RQ_TRAIN_CUDA_PLANCACHE_H
#define RQ_TRAIN_CUDA_PLANCACHE_H

#include "common/mem.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rq_plan_cache rq_plan_cache;

typedef struct rq_plan_entry {
    const char *name; /* engine and settings */
    const char *json; /* cuDNN's form of the plan */
    size_t json_bytes;
    double ms; /* measured; 0: never */
} rq_plan_entry;

enum {
    RQ_PLAN_CACHE_MAX_FILE = 64 << 20,
    RQ_PLAN_CACHE_MAX_TEXT = 1 << 20,
    RQ_PLAN_CACHE_MAX_ENTRIES = 1 << 16
};

/* Reads the file of that identity in `folder`, if there is one. Fails only for want of memory
 * or when the folder cannot be read. */
RQ_NODISCARD rq_status rq_plan_cache_open(rq_plan_cache **out, const char *folder,
                                          const char *identity, rq_err *err);
void rq_plan_cache_close(rq_plan_cache **c);
/* Why the file was ignored, a sentence; "" when it was not. */
const char *rq_plan_cache_note(const rq_plan_cache *c);
const char *rq_plan_cache_path(const rq_plan_cache *c);
size_t rq_plan_cache_count(const rq_plan_cache *c);

/* False when there is none. The entry is valid until the next put of that key. */
bool rq_plan_cache_find(const rq_plan_cache *c, const char *key, rq_plan_entry *e);
/* Adds, or replaces what the key had. LIMIT when a text is too long. */
RQ_NODISCARD rq_status rq_plan_cache_put(rq_plan_cache *c, const char *key,
                                         const rq_plan_entry *e, rq_err *err);
/* Writes the file, and its folder where missing, if anything was put since it was read. */
RQ_NODISCARD rq_status rq_plan_cache_save(rq_plan_cache *c, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
