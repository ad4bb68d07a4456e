/* safetensors files: 8 bytes little-endian header length, a JSON header, raw tensor data.
 *
 * The reader trusts nothing: lengths before memory, every offset checked against the data, no
 * overlap and no hole, nesting bounded. The writer goes through a durable atomic file and puts
 * an XXH3-64 of each tensor, and of the rest of the header, into __metadata__ under "xxh3";
 * files that carry it are checked while they are read. Any safetensors reader can open the
 * result.
 *
 * Thread rule: one thread at a time per open file. */
#ifndef RQ_TRAIN_SAFETENSORS_H
#define RQ_TRAIN_SAFETENSORS_H

#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    RQ_ST_MAX_DIMS = 8,
    RQ_ST_NAME_BYTES = 128,
    RQ_ST_MAX_TENSORS = 65536,
    RQ_ST_MAX_HEADER = 16 << 20 /* bytes */
};

typedef enum rq_st_dtype {
    RQ_ST_F32,
    RQ_ST_I64,
    RQ_ST_F64,
    RQ_ST_F16,
    RQ_ST_BF16,
    RQ_ST_I32,
    RQ_ST_I16,
    RQ_ST_I8,
    RQ_ST_U8,
    RQ_ST_BOOL,
    RQ_ST_DTYPES
} rq_st_dtype;

/* "F32" and so on, as in the header. */
const char *rq_st_dtype_name(rq_st_dtype t);
size_t rq_st_dtype_bytes(rq_st_dtype t);

typedef struct rq_st_tensor {
    char name[RQ_ST_NAME_BYTES];
    rq_st_dtype dtype;
    int ndim; /* 0: a scalar */
    int64_t shape[RQ_ST_MAX_DIMS];
    uint64_t begin, bytes; /* within the data; set by reader and writer */
} rq_st_tensor;

typedef struct rq_st_meta {
    const char *key, *value;
} rq_st_meta;

/* Writes tensor i's bytes to dst; called twice for each, hashing and writing. */
typedef rq_status (*rq_st_fill)(void *ctx, size_t i, void *dst, rq_err *err);

/* Writes a file of n tensors in table order, atomically and durably, replacing `path`. Sets
 * begin and bytes in the table. Names must be unique; "xxh3" is not a key to pass. */
RQ_NODISCARD rq_status rq_safetensors_write(const char *path, rq_st_tensor *tensors, size_t n,
                                            rq_st_fill fill, void *ctx, const rq_st_meta *meta,
                                            size_t n_meta, rq_err *err);

typedef struct rq_safetensors rq_safetensors;

/* Opens and checks the header. NOT_FOUND, IO; BAD_FORMAT, TRUNCATED, LIMIT; BAD_CHECKSUM when
 * the header does not match its hash. */
RQ_NODISCARD rq_status rq_safetensors_open(rq_safetensors **out, const char *path, rq_err *err);
void rq_safetensors_close(rq_safetensors **f);
size_t rq_safetensors_count(const rq_safetensors *f);
/* In order of the data. */
const rq_st_tensor *rq_safetensors_tensor(const rq_safetensors *f, size_t i);
/* NULL when there is none of that name. */
const rq_st_tensor *rq_safetensors_find(const rq_safetensors *f, const char *name);
/* NULL when there is no such key. */
const char *rq_safetensors_meta(const rq_safetensors *f, const char *key);
/* The file carries hashes, and reading checks them. */
bool rq_safetensors_hashed(const rq_safetensors *f);
/* Reads a tensor of this file, t->bytes bytes; BAD_CHECKSUM naming file and tensor. */
RQ_NODISCARD rq_status rq_safetensors_read(const rq_safetensors *f, const rq_st_tensor *t,
                                           void *dst, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
