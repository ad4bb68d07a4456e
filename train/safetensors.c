// SPDX-License-Identifier: Apache-2.0
//
// safetensors in and out. The hashes stand in the header's __metadata__ rather than in a second
// file: one rename publishes content and hashes together, and there is no pair to fall apart.
// They are therefore computed in a first walk over the tensors, before the header is written.
#include "train/safetensors.h"

#include "common/bytes.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/json.h"
#include "common/mem.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
    const char *name;
    size_t bytes;
} dtypes[RQ_ST_DTYPES] = {
    [RQ_ST_F32] = {"F32", 4},   [RQ_ST_I64] = {"I64", 8},   [RQ_ST_F64] = {"F64", 8},
    [RQ_ST_F16] = {"F16", 2},   [RQ_ST_BF16] = {"BF16", 2}, [RQ_ST_I32] = {"I32", 4},
    [RQ_ST_I16] = {"I16", 2},   [RQ_ST_I8] = {"I8", 1},     [RQ_ST_U8] = {"U8", 1},
    [RQ_ST_BOOL] = {"BOOL", 1},
};

static const char hash_key[] = "xxh3";
enum { SEAL_DIGITS = 16 };

const char *rq_st_dtype_name(rq_st_dtype t)
{
    return dtypes[t].name;
}

size_t rq_st_dtype_bytes(rq_st_dtype t)
{
    return dtypes[t].bytes;
}

/* Bytes of a tensor by shape and type; false on overflow or a negative dimension. */
static bool tensor_bytes(const rq_st_tensor *t, uint64_t *bytes)
{
    size_t n = dtypes[t->dtype].bytes;
    for (int k = 0; k < t->ndim; k++) {
        if (t->shape[k] < 0 || !rq_mul_size(&n, n, (size_t)t->shape[k]))
            return false;
    }
    *bytes = n;
    return true;
}

/* Where the 16 digits of the header's hash stand in its text, NULL without. A quote within a
 * string is escaped, so no value can look like this. */
static char *find_seal(char *header, size_t bytes)
{
    static const char key[] = "\"xxh3\":\"";
    char *at = memmem(header, bytes, key, sizeof key - 1);
    const size_t digits = sizeof key - 1 + SEAL_DIGITS;
    return at != NULL && (size_t)(header + bytes - at) >= digits ? at + sizeof key - 1 : NULL;
}

/* The hash of the header's text with zeros in the place of its own digits. */
static uint64_t seal(char *header, size_t bytes, char *digits)
{
    memset(digits, '0', SEAL_DIGITS);
    return rq_xxh3(header, bytes);
}

/* ---- writing ------------------------------------------------------------------------------
 */

static rq_status lay_out(rq_st_tensor *tensors, size_t n, size_t *largest, rq_err *err)
{
    uint64_t at = 0;
    *largest = 0;
    if (n > RQ_ST_MAX_TENSORS)
        return rq_fail(err, RQ_LIMIT, "%zu tensors are more than a file may hold (%d)", n,
                       RQ_ST_MAX_TENSORS);
    for (size_t i = 0; i < n; i++) {
        if (!tensor_bytes(&tensors[i], &tensors[i].bytes))
            return rq_fail(err, RQ_INTERNAL, "tensor %s has an impossible shape",
                           tensors[i].name);
        tensors[i].begin = at;
        at += tensors[i].bytes;
        if (tensors[i].bytes > *largest)
            *largest = tensors[i].bytes;
    }
    return RQ_OK;
}

static rq_status append_tensor(rq_buf *h, const rq_st_tensor *t, rq_err *err)
{
    RQ_TRY(rq_json_append_string(h, t->name, err));
    RQ_TRY(rq_buf_printf(h, err, ":{\"dtype\":\"%s\",\"shape\":[", dtypes[t->dtype].name));
    for (int k = 0; k < t->ndim; k++)
        RQ_TRY(rq_buf_printf(h, err, "%s%" PRId64, k ? "," : "", t->shape[k]));
    return rq_buf_printf(h, err, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", t->begin,
                         t->begin + t->bytes);
}

/* The 8 length bytes and the JSON, padded with blanks so that the data start at a multiple of
 * eight. */
static rq_status build_header(rq_buf *h, const rq_st_tensor *tensors, size_t n,
                              const rq_st_meta *meta, size_t n_meta, const uint64_t *hashes,
                              rq_err *err)
{
    RQ_TRY(rq_buf_append(h, NULL, 8, err));
    RQ_TRY(rq_buf_printf(h, err, "{\"__metadata__\":{"));
    for (size_t i = 0; i < n_meta; i++) {
        RQ_TRY(rq_json_append_string(h, meta[i].key, err));
        RQ_TRY(rq_buf_append(h, ":", 1, err));
        RQ_TRY(rq_json_append_string(h, meta[i].value, err));
        RQ_TRY(rq_buf_append(h, ",", 1, err));
    }
    RQ_TRY(rq_buf_printf(h, err, "\"%s\":\"%016d", hash_key, 0));
    for (size_t i = 0; i < n; i++)
        RQ_TRY(rq_buf_printf(h, err, " %016" PRIx64, hashes[i]));
    RQ_TRY(rq_buf_printf(h, err, "\"}"));
    for (size_t i = 0; i < n; i++) {
        RQ_TRY(rq_buf_append(h, ",", 1, err));
        RQ_TRY(append_tensor(h, &tensors[i], err));
    }
    RQ_TRY(rq_buf_append(h, "}", 1, err));
    while (h->size % 8 != 0)
        RQ_TRY(rq_buf_append(h, " ", 1, err));
    rq_put_le64(h->data, h->size - 8);
    char *text = (char *)h->data + 8, *digits = find_seal(text, h->size - 8), hex[17];
    snprintf(hex, sizeof hex, "%016" PRIx64, seal(text, h->size - 8, digits));
    memcpy(digits, hex, SEAL_DIGITS);
    return RQ_OK;
}

static rq_status write_file(const char *path, const rq_buf *header, const rq_st_tensor *tensors,
                            size_t n, rq_st_fill fill, void *ctx, void *scratch, rq_err *err)
{
    rq_atomic_file *f = NULL;
    RQ_TRY(rq_atomic_file_create(&f, path, true, err));
    rq_status st = rq_atomic_file_write(f, header->data, header->size, err);
    for (size_t i = 0; i < n && st == RQ_OK; i++) {
        st = fill(ctx, i, scratch, err);
        if (st == RQ_OK)
            st = rq_atomic_file_write(f, scratch, tensors[i].bytes, err);
    }
    if (st != RQ_OK) {
        rq_atomic_file_abort(&f);
        return st;
    }
    return rq_atomic_file_commit(&f, err);
}

rq_status rq_safetensors_write(const char *path, rq_st_tensor *tensors, size_t n,
                               rq_st_fill fill, void *ctx, const rq_st_meta *meta,
                               size_t n_meta, rq_err *err)
{
    size_t largest;
    RQ_TRY(lay_out(tensors, n, &largest, err));
    rq_buf header = {0};
    uint64_t *hashes = rq_calloc(n, sizeof *hashes);
    void *scratch = rq_alloc(largest, 1);
    rq_status st = hashes == NULL || scratch == NULL
                       ? rq_fail(err, RQ_OOM, "no memory to write %.300s", path)
                       : RQ_OK;
    for (size_t i = 0; i < n && st == RQ_OK; i++) {
        st = fill(ctx, i, scratch, err);
        if (st == RQ_OK)
            hashes[i] = rq_xxh3(scratch, tensors[i].bytes);
    }
    if (st == RQ_OK)
        st = build_header(&header, tensors, n, meta, n_meta, hashes, err);
    if (st == RQ_OK)
        st = write_file(path, &header, tensors, n, fill, ctx, scratch, err);
    rq_buf_free(&header);
    rq_free(scratch);
    rq_free(hashes);
    return st;
}

/* ---- reading ------------------------------------------------------------------------------
 */

struct rq_safetensors {
    int fd;
    char *path;
    uint64_t data_at, data_bytes;
    cJSON *header; /* owns the metadata strings */
    const cJSON *meta;
    rq_st_tensor *tensors;
    size_t n;
    uint64_t header_hash; /* found, when the header carries one */
    uint64_t *hashes;     /* NULL when the file carries none */
};

static bool parse_count(const cJSON *v, int64_t *out)
{
    if (!cJSON_IsNumber(v) || !(v->valuedouble >= 0 && v->valuedouble <= 0x1p53) ||
        v->valuedouble != (double)(int64_t)v->valuedouble)
        return false;
    *out = (int64_t)v->valuedouble;
    return true;
}

static bool parse_dtype(const cJSON *v, rq_st_dtype *out)
{
    for (int k = 0; cJSON_IsString(v) && k < RQ_ST_DTYPES; k++) {
        if (strcmp(v->valuestring, dtypes[k].name) == 0) {
            *out = (rq_st_dtype)k;
            return true;
        }
    }
    return false;
}

static bool parse_shape(const cJSON *v, rq_st_tensor *t)
{
    if (!cJSON_IsArray(v))
        return false;
    for (const cJSON *d = v->child; d != NULL; d = d->next) {
        if (t->ndim == RQ_ST_MAX_DIMS || !parse_count(d, &t->shape[t->ndim++]))
            return false;
    }
    return true;
}

/* One entry of the header. Bounds against the data; order comes later. */
static rq_status parse_tensor(const rq_safetensors *f, const cJSON *v, rq_st_tensor *t,
                              rq_err *err)
{
    const char *what = "is not an object of dtype, shape and data_offsets";
    const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(v, "data_offsets");
    int64_t begin, end;
    uint64_t bytes;
    if (strlen(v->string) >= sizeof t->name) {
        what = "has a name that is too long";
    } else if (cJSON_IsObject(v) && cJSON_GetArraySize(v) == 3 && cJSON_IsArray(offsets) &&
               cJSON_GetArraySize(offsets) == 2 &&
               parse_count(cJSON_GetArrayItem(offsets, 0), &begin) &&
               parse_count(cJSON_GetArrayItem(offsets, 1), &end) &&
               parse_dtype(cJSON_GetObjectItemCaseSensitive(v, "dtype"), &t->dtype) &&
               parse_shape(cJSON_GetObjectItemCaseSensitive(v, "shape"), t)) {
        if (begin > end || (uint64_t)end > f->data_bytes)
            what = "lies outside the file";
        else if (!tensor_bytes(t, &bytes) || bytes != (uint64_t)(end - begin))
            what = "has a shape that does not match its length";
        else
            what = NULL;
    }
    if (what != NULL)
        return rq_fail(err, RQ_BAD_FORMAT, "%.300s: tensor \"%.80s\" %s", f->path, v->string,
                       what);
    memcpy(t->name, v->string, strlen(v->string) + 1);
    t->begin = (uint64_t)begin;
    t->bytes = bytes;
    return RQ_OK;
}

static int by_place(const void *a, const void *b)
{
    const rq_st_tensor *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* The tensors cover the data exactly: no overlap, no hole, nothing behind. */
static rq_status check_cover(const rq_safetensors *f, rq_err *err)
{
    uint64_t at = 0;
    for (size_t i = 0; i < f->n; i++) {
        if (f->tensors[i].begin != at)
            return rq_fail(
                err, RQ_BAD_FORMAT, "%.300s: tensor \"%.80s\" %s", f->path, f->tensors[i].name,
                f->tensors[i].begin < at ? "overlaps another" : "leaves a hole before it");
        at += f->tensors[i].bytes;
    }
    if (at != f->data_bytes)
        return rq_fail(err, RQ_BAD_FORMAT, "%.300s: %" PRIu64 " bytes belong to no tensor",
                       f->path, f->data_bytes - at);
    return RQ_OK;
}

static rq_status parse_table(rq_safetensors *f, rq_err *err)
{
    if (!cJSON_IsObject(f->header))
        return rq_fail(err, RQ_BAD_FORMAT, "%.300s: the header is not a JSON object", f->path);
    for (const cJSON *v = f->header->child; v != NULL; v = v->next)
        f->n += strcmp(v->string, "__metadata__") != 0;
    if (f->n > RQ_ST_MAX_TENSORS)
        return rq_fail(err, RQ_LIMIT, "%.300s: more than %d tensors", f->path,
                       RQ_ST_MAX_TENSORS);
    f->tensors = rq_calloc(f->n, sizeof *f->tensors);
    if (f->tensors == NULL)
        return rq_fail(err, RQ_OOM, "no memory to open %.300s", f->path);
    size_t i = 0;
    for (const cJSON *v = f->header->child; v != NULL; v = v->next) {
        if (strcmp(v->string, "__metadata__") == 0)
            f->meta = v;
        else
            RQ_TRY(parse_tensor(f, v, &f->tensors[i++], err));
    }
    bool strings = f->meta == NULL || cJSON_IsObject(f->meta);
    for (const cJSON *v = f->meta ? f->meta->child : NULL; v != NULL; v = v->next)
        strings = strings && cJSON_IsString(v);
    if (!strings)
        return rq_fail(err, RQ_BAD_FORMAT, "%.300s: __metadata__ is not an object of strings",
                       f->path);
    if (f->n > 0)
        qsort(f->tensors, f->n, sizeof *f->tensors, by_place);
    return check_cover(f, err);
}

/* n + 1 blank-separated words of 16 hex digits: the header's hash, then one per tensor. */
static bool parse_hashes(const char *text, uint64_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t v = 0;
        for (int k = 0; k < 16; k++, text++) {
            const char *digits = "0123456789abcdef";
            const char *d = *text != '\0' ? strchr(digits, *text) : NULL;
            if (d == NULL)
                return false;
            v = v << 4 | (uint64_t)(d - digits);
        }
        out[i] = v;
        if (*text != (i + 1 < n ? ' ' : '\0'))
            return false;
        text += i + 1 < n;
    }
    return true;
}

static rq_status load_hashes(rq_safetensors *f, rq_err *err)
{
    const char *text = rq_safetensors_meta(f, hash_key);
    if (text == NULL)
        return RQ_OK;
    f->hashes = rq_calloc(f->n + 1, sizeof *f->hashes);
    if (f->hashes == NULL)
        return rq_fail(err, RQ_OOM, "no memory to open %.300s", f->path);
    if (!parse_hashes(text, f->hashes, f->n + 1))
        return rq_fail(err, RQ_BAD_FORMAT, "%.300s: the list of hashes is damaged", f->path);
    if (f->header_hash != f->hashes[0])
        return rq_fail(err, RQ_BAD_CHECKSUM,
                       "%.300s: the header does not match its hash (stored %016" PRIx64
                       ", computed %016" PRIx64 ")",
                       f->path, f->hashes[0], f->header_hash);
    return RQ_OK;
}

static rq_status read_header(rq_safetensors *f, rq_err *err)
{
    uint8_t length[8];
    struct stat sb;
    f->fd = open(f->path, O_RDONLY | O_CLOEXEC);
    if (f->fd < 0 || fstat(f->fd, &sb) != 0)
        return rq_fail_errno(err, "cannot open %.300s", f->path);
    if (!S_ISREG(sb.st_mode))
        return rq_fail(err, RQ_BAD_FORMAT, "%.300s is not a file", f->path);
    RQ_TRY(rq_pread_full(f->fd, length, sizeof length, 0, f->path, err));
    const uint64_t bytes = rq_get_le64(length), file_bytes = (uint64_t)sb.st_size;
    if (bytes > RQ_ST_MAX_HEADER)
        return rq_fail(err, RQ_LIMIT,
                       "%.300s: a header of %" PRIu64 " bytes is more than %d: not a "
                       "safetensors file?",
                       f->path, bytes, RQ_ST_MAX_HEADER);
    if (bytes > file_bytes - 8)
        return rq_fail(err, RQ_TRUNCATED, "%.300s ends within its header", f->path);
    char *text = rq_alloc(bytes, 1);
    if (text == NULL)
        return rq_fail(err, RQ_OOM, "no memory to open %.300s", f->path);
    rq_status st = rq_pread_full(f->fd, text, bytes, 8, f->path, err);
    if (st == RQ_OK)
        st = rq_json_parse(&f->header, text, bytes, f->path, err);
    char *digits = st == RQ_OK ? find_seal(text, bytes) : NULL;
    if (digits != NULL)
        f->header_hash = seal(text, bytes, digits);
    rq_free(text);
    f->data_at = 8 + bytes;
    f->data_bytes = file_bytes - f->data_at;
    return st;
}

rq_status rq_safetensors_open(rq_safetensors **out, const char *path, rq_err *err)
{
    *out = NULL;
    rq_safetensors *f = rq_calloc(1, sizeof *f);
    if (f == NULL)
        return rq_fail(err, RQ_OOM, "no memory to open %.300s", path);
    f->fd = -1;
    f->path = rq_strdup(path);
    rq_status st =
        f->path == NULL ? rq_fail(err, RQ_OOM, "no memory to open %.300s", path) : RQ_OK;
    if (st == RQ_OK)
        st = read_header(f, err);
    if (st == RQ_OK)
        st = parse_table(f, err);
    if (st == RQ_OK)
        st = load_hashes(f, err);
    if (st != RQ_OK)
        rq_safetensors_close(&f);
    *out = f;
    return st;
}

void rq_safetensors_close(rq_safetensors **f)
{
    if (*f == NULL)
        return;
    if ((*f)->fd >= 0)
        close((*f)->fd);
    cJSON_Delete((*f)->header);
    rq_free((*f)->tensors);
    rq_free((*f)->hashes);
    rq_free((*f)->path);
    rq_free(*f);
    *f = NULL;
}

size_t rq_safetensors_count(const rq_safetensors *f)
{
    return f->n;
}

const rq_st_tensor *rq_safetensors_tensor(const rq_safetensors *f, size_t i)
{
    return &f->tensors[i];
}

const rq_st_tensor *rq_safetensors_find(const rq_safetensors *f, const char *name)
{
    for (size_t i = 0; i < f->n; i++) {
        if (strcmp(f->tensors[i].name, name) == 0)
            return &f->tensors[i];
    }
    return NULL;
}

const char *rq_safetensors_meta(const rq_safetensors *f, const char *key)
{
    const cJSON *v = f->meta ? cJSON_GetObjectItemCaseSensitive(f->meta, key) : NULL;
    return v != NULL ? v->valuestring : NULL;
}

bool rq_safetensors_hashed(const rq_safetensors *f)
{
    return f->hashes != NULL;
}

rq_status rq_safetensors_read(const rq_safetensors *f, const rq_st_tensor *t, void *dst,
                              rq_err *err)
{
    RQ_TRY(rq_pread_full(f->fd, dst, t->bytes, f->data_at + t->begin, f->path, err));
    if (f->hashes == NULL)
        return RQ_OK;
    const uint64_t stored = f->hashes[1 + (size_t)(t - f->tensors)];
    const uint64_t found = rq_xxh3(dst, t->bytes);
    if (stored != found)
        return rq_fail(err, RQ_BAD_CHECKSUM,
                       "%.300s: tensor \"%s\" does not match its hash (stored %016" PRIx64
                       ", computed %016" PRIx64 ")",
                       f->path, t->name, stored, found);
    return RQ_OK;
}
