/* dataset.json: which shards form a dataset, what its classes are called, and how it was made;
 * and the same for one part of a dataset that is packed in parts, NAME-pIIIofNNN.part.json.
 *
 * The text is JSON with one fixed spelling; its last member is the XXH3-64 of everything before
 * that member, so that a changed byte is noticed. Its SHA-256 is the dataset's identity. */
#ifndef RQ_PACK_MANIFEST_H
#define RQ_PACK_MANIFEST_H

#include "common/hash.h"
#include "common/mem.h"
#include "ingest/verdict.h"
#include "pack/format.h"
#include "pack/settings.h"

#ifdef __cplusplus
extern "C" {
#endif

#define RQ_MANIFEST_FILE "dataset.json"
#define RQ_REPORT_FILE   "ingest-report.jsonl"
#define RQ_SHARD_SUFFIX  ".tar.zst"
#define RQ_PART_SUFFIX   ".part.json"
enum {
    RQ_MANIFEST_MAX_BYTES = 64 << 20,
    RQ_MAX_NAME_BYTES = 64,
    RQ_MAX_PREFIX_BYTES = 80, /* NAME, or NAME-pIIIofNNN */
    RQ_MAX_FILE_BYTES = 112,  /* any file of a dataset, with the NUL */
    RQ_MAX_PARTS = 9999
};

/* Which part of a dataset: `index` of `count`, counted from 1; 0 of 0 for all of it. */
typedef struct rq_part {
    int index, count;
} rq_part;

typedef struct rq_manifest_shard {
    char *file; /* name in the dataset's folder */
    uint64_t bytes;
    uint64_t samples;
    uint64_t index_hash; /* XXH3-64 of its index */
    char sha256[RQ_SHA256_HEX];
} rq_manifest_shard;

/* Everything is owned; zero-initialise, rq_manifest_free when done. */
typedef struct rq_manifest {
    char *name; /* shard prefix, without the part */
    rq_part part;
    uint64_t first, records; /* of a part: its range of the source's reading order */
    rq_encoding encoding;
    int level;            /* 0: not known */
    rq_settings settings; /* all that the bytes depend on; empty when not known */
    uint64_t samples, masks, fallbacks;
    uint64_t lost; /* samples that a repair could not read any more */
    uint64_t verdicts[RQ_VERDICT_COUNT];
    char **classes;
    size_t n_classes, cap_classes;
    rq_manifest_shard *shards;
    size_t n_shards, cap_shards;
    char *layout; /* of the source */
    uint64_t source_images, source_bytes, source_passed_over;
    char *created_by;
} rq_manifest;

void rq_manifest_free(rq_manifest *m);
/* Append copies. */
RQ_NODISCARD rq_status rq_manifest_add_class(rq_manifest *m, const char *name, rq_err *err);
RQ_NODISCARD rq_status rq_manifest_add_shard(rq_manifest *m, const char *file,
                                             const rq_manifest_shard *info, rq_err *err);

/* The text, appended to out. */
RQ_NODISCARD rq_status rq_manifest_encode(const rq_manifest *m, rq_buf *out, rq_err *err);
/* SHA-256 of the text: the dataset's identity. */
RQ_NODISCARD rq_status rq_manifest_hash(const rq_buf *text, char sha256[RQ_SHA256_HEX],
                                        rq_err *err);
/* Parses and checks the text: hash, types, ranges, shard names without folders, sums. A dataset
 * has at least one shard, a part may have none. `m` is freed on failure. */
RQ_NODISCARD rq_status rq_manifest_parse(rq_manifest *m, const char *text, size_t bytes,
                                         rq_err *err);
/* Reads DIR/dataset.json; sha256 (may be NULL) gets the hash of the file. NOT_FOUND says
 * whether the folder is missing or unfinished. */
RQ_NODISCARD rq_status rq_manifest_read(rq_manifest *m, const char *dir,
                                        char sha256[RQ_SHA256_HEX], rq_err *err);

/* Reads the file at `path`, part or whole; NOT_FOUND is that of the file. */
RQ_NODISCARD rq_status rq_manifest_read_file(rq_manifest *m, const char *path,
                                             char sha256[RQ_SHA256_HEX], rq_err *err);

/* "PREFIX-000017.tar.zst" into buf. */
void rq_shard_file_name(char *buf, size_t buf_bytes, const char *prefix, size_t number);
/* First record of part `index` of `parts` when there are `records`; parts + 1 gives the end. */
static inline uint64_t rq_part_first(uint64_t records, uint64_t index, uint64_t parts)
{
    const uint64_t k = index - 1;
    return records / parts * k + records % parts * k / parts;
}
/* "NAME" or "NAME-p002of004" into buf. */
void rq_shard_prefix(char *buf, size_t buf_bytes, const char *name, rq_part part);
/* Takes "NAME-000017SUFFIX" or "NAME-p002of004-000017SUFFIX" apart; NAME is that of `name`, any
 * valid one when it is NULL. False for another file. part and number may be NULL. */
bool rq_shard_file_parse(const char *file, const char *name, const char *suffix, rq_part *part,
                         size_t *number);
/* A shard prefix: 1 to 64 of [A-Za-z0-9_-]. */
bool rq_shard_prefix_valid(const char *name);

#ifdef __cplusplus
}
#endif
#endif
