// SPDX-License-Identifier: Apache-2.0
//
// The plan cache: a list of entries in memory, one file on disk. Keys are whole graph texts,
// compared as text after their hash, so two graphs never share a plan. Nothing of a file is
// looked at before its checksum has held, and lengths are checked even then.
#include "train/cuda/plancache.h"

#include "common/bytes.h"
#include "common/file.h"
#include "common/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char magic[8] = "RQPLANS";
enum { FORMAT = 1, HEADER_BYTES = 32, ENTRY_BYTES = 20 };

typedef struct entry {
    uint64_t hash;
    char *key, *name, *json;
    size_t json_bytes;
    double ms;
} entry;

struct rq_plan_cache {
    char *path, *identity;
    entry *v;
    size_t n, cap;
    bool changed;
    char note[256];
};

/* ---- entries ----------------------------------------------------------------------------- */

static void free_entry(entry *e)
{
    rq_free(e->key);
    rq_free(e->name);
    rq_free(e->json);
    *e = (entry){0};
}

static entry *lookup(const rq_plan_cache *c, const char *key)
{
    const uint64_t hash = rq_xxh3(key, strlen(key));

    for (size_t i = 0; i < c->n; i++) {
        if (c->v[i].hash == hash && strcmp(c->v[i].key, key) == 0)
            return &c->v[i];
    }
    return NULL;
}

bool rq_plan_cache_find(const rq_plan_cache *c, const char *key, rq_plan_entry *e)
{
    const entry *found = lookup(c, key);

    if (!found)
        return false;
    *e = (rq_plan_entry){.name = found->name,
                         .json = found->json,
                         .json_bytes = found->json_bytes,
                         .ms = found->ms};
    return true;
}

/* A string of those bytes; NULL when out of memory. */
static char *text(const void *p, size_t n)
{
    char *s = rq_alloc(1, n + 1);

    if (s) {
        memcpy(s, p, n);
        s[n] = '\0';
    }
    return s;
}

static rq_status store(rq_plan_cache *c, entry e, rq_err *err)
{
    entry *old = lookup(c, e.key);

    if (old) {
        free_entry(old);
        *old = e;
        return RQ_OK;
    }
    RQ_TRY(rq_grow((void **)&c->v, &c->cap, c->n + 1, sizeof *c->v, err));
    c->v[c->n++] = e;
    return RQ_OK;
}

static rq_status add(rq_plan_cache *c, const char *const texts[3], const size_t sizes[3],
                     double ms, rq_err *err)
{
    entry e = {.key = text(texts[0], sizes[0]),
               .name = text(texts[1], sizes[1]),
               .json = text(texts[2], sizes[2]),
               .json_bytes = sizes[2],
               .ms = ms};
    rq_status st = RQ_OK;

    if (!e.key || !e.name || !e.json)
        st = rq_fail(err, RQ_OOM, "plan cache: out of memory");
    if (st == RQ_OK) {
        e.hash = rq_xxh3(e.key, strlen(e.key));
        st = store(c, e, err);
    }
    if (st != RQ_OK)
        free_entry(&e);
    return st;
}

rq_status rq_plan_cache_put(rq_plan_cache *c, const char *key, const rq_plan_entry *e,
                            rq_err *err)
{
    const char *const texts[3] = {key, e->name, e->json};
    const size_t sizes[3] = {strlen(key), strlen(e->name), e->json_bytes};

    for (int i = 0; i < 3; i++) {
        if (sizes[i] > RQ_PLAN_CACHE_MAX_TEXT)
            return rq_fail(err, RQ_LIMIT, "plan cache: a plan of %zu bytes is too long",
                           sizes[i]);
    }
    if (c->n == RQ_PLAN_CACHE_MAX_ENTRIES && !lookup(c, key))
        return rq_fail(err, RQ_LIMIT, "plan cache: %zu plans are too many; remove %s", c->n,
                       c->path);
    RQ_TRY(add(c, texts, sizes, e->ms, err));
    c->changed = true;
    return RQ_OK;
}

/* ---- reading ----------------------------------------------------------------------------- */

/* What is left of the bytes after the checksum has held. */
typedef struct reader {
    const uint8_t *p;
    size_t left;
} reader;

static const char *take(reader *r, size_t n)
{
    const uint8_t *p = r->p;

    if (n > r->left)
        return NULL;
    r->p += n;
    r->left -= n;
    return (const char *)p;
}

static double get_double(const uint8_t *p)
{
    const uint64_t bits = rq_get_le64(p);
    double d;

    memcpy(&d, &bits, sizeof d);
    return d;
}

/* BAD_FORMAT without a sentence: whoever damaged a file and repaired its checksum. */
static rq_status read_entry(rq_plan_cache *c, reader *r, rq_err *err)
{
    const uint8_t *head = (const uint8_t *)take(r, ENTRY_BYTES);
    const char *texts[3];
    size_t sizes[3];

    if (!head)
        return RQ_BAD_FORMAT;
    for (int i = 0; i < 3; i++) {
        sizes[i] = rq_get_le32(head + 4 * i);
        texts[i] = take(r, sizes[i]);
        if (!texts[i] || sizes[i] > RQ_PLAN_CACHE_MAX_TEXT)
            return RQ_BAD_FORMAT;
        if (i < 2 && memchr(texts[i], '\0', sizes[i]))
            return RQ_BAD_FORMAT;
    }
    return add(c, texts, sizes, get_double(head + 12), err);
}

static rq_status ignore(rq_plan_cache *c, const char *why)
{
    for (size_t i = 0; i < c->n; i++)
        free_entry(&c->v[i]);
    c->n = 0;
    snprintf(c->note, sizeof c->note, "plan cache %s is not used: %s", c->path, why);
    return RQ_OK;
}

static rq_status parse(rq_plan_cache *c, const rq_buf *file, rq_err *err)
{
    const uint8_t *h = file->data;

    if (file->size < HEADER_BYTES || memcmp(h, magic, sizeof magic) != 0)
        return ignore(c, "it is no plan cache");
    if (rq_get_le32(h + 8) != FORMAT)
        return ignore(c, "it has another format");
    reader r = {.p = h + HEADER_BYTES, .left = file->size - HEADER_BYTES};
    if (rq_get_le64(h + 16) != r.left || rq_get_le64(h + 24) != rq_xxh3(r.p, r.left))
        return ignore(c, "it is damaged");
    const uint32_t entries = rq_get_le32(h + 12);
    const char *length = take(&r, 4);
    const size_t n = length ? rq_get_le32((const uint8_t *)length) : 0;
    const char *identity = take(&r, n);
    if (!length || !identity || entries > RQ_PLAN_CACHE_MAX_ENTRIES)
        return ignore(c, "it is damaged");
    if (n != strlen(c->identity) || memcmp(identity, c->identity, n) != 0)
        return ignore(c, "it was made for another device or version");
    for (uint32_t i = 0; i < entries; i++) {
        const rq_status st = read_entry(c, &r, err);
        if (st == RQ_BAD_FORMAT)
            return ignore(c, "it is damaged");
        RQ_TRY(st);
    }
    return r.left == 0 ? RQ_OK : ignore(c, "it is damaged");
}

static rq_status load(rq_plan_cache *c, rq_err *err)
{
    rq_buf file = {0};
    rq_err why = {0};
    rq_status st = rq_file_read(c->path, RQ_PLAN_CACHE_MAX_FILE, &file, &why);

    if (st == RQ_NOT_FOUND)
        st = RQ_OK;
    else if (st == RQ_LIMIT)
        st = ignore(c, "it is too large");
    else if (st == RQ_OK)
        st = parse(c, &file, err);
    else
        st = rq_fail(err, st, "plan cache: %s", why.text);
    rq_buf_free(&file);
    return st;
}

rq_status rq_plan_cache_open(rq_plan_cache **out, const char *folder, const char *identity,
                             rq_err *err)
{
    char name[40];

    *out = NULL;
    rq_plan_cache *c = rq_calloc(1, sizeof *c);
    if (!c)
        return rq_fail(err, RQ_OOM, "plan cache: out of memory");
    snprintf(name, sizeof name, "plans-%016" PRIx64, rq_xxh3(identity, strlen(identity)));
    c->path = rq_path_join(folder, name);
    c->identity = rq_strdup(identity);
    rq_status st = RQ_OK;
    if (!c->path || !c->identity)
        st = rq_fail(err, RQ_OOM, "plan cache: out of memory");
    if (st == RQ_OK)
        st = load(c, err);
    if (st != RQ_OK)
        rq_plan_cache_close(&c);
    *out = c;
    return st;
}

void rq_plan_cache_close(rq_plan_cache **pc)
{
    if (!pc || !*pc)
        return;
    rq_plan_cache *c = *pc;
    for (size_t i = 0; i < c->n; i++)
        free_entry(&c->v[i]);
    rq_free(c->v);
    rq_free(c->path);
    rq_free(c->identity);
    rq_free(c);
    *pc = NULL;
}

const char *rq_plan_cache_note(const rq_plan_cache *c)
{
    return c->note;
}

const char *rq_plan_cache_path(const rq_plan_cache *c)
{
    return c->path;
}

size_t rq_plan_cache_count(const rq_plan_cache *c)
{
    return c->n;
}

/* ---- writing ----------------------------------------------------------------------------- */

static rq_status put32(rq_buf *b, size_t v, rq_err *err)
{
    uint8_t bytes[4];

    rq_put_le32(bytes, (uint32_t)v);
    return rq_buf_append(b, bytes, sizeof bytes, err);
}

static rq_status put_entry(rq_buf *b, const entry *e, rq_err *err)
{
    const char *const texts[3] = {e->key, e->name, e->json};
    const size_t sizes[3] = {strlen(e->key), strlen(e->name), e->json_bytes};
    uint8_t bytes[8];
    uint64_t bits;

    for (int i = 0; i < 3; i++)
        RQ_TRY(put32(b, sizes[i], err));
    memcpy(&bits, &e->ms, sizeof bits);
    rq_put_le64(bytes, bits);
    RQ_TRY(rq_buf_append(b, bytes, sizeof bytes, err));
    for (int i = 0; i < 3; i++)
        RQ_TRY(rq_buf_append(b, texts[i], sizes[i], err));
    return RQ_OK;
}

static rq_status format(const rq_plan_cache *c, rq_buf *b, rq_err *err)
{
    RQ_TRY(rq_buf_append(b, NULL, HEADER_BYTES, err));
    RQ_TRY(put32(b, strlen(c->identity), err));
    RQ_TRY(rq_buf_append(b, c->identity, strlen(c->identity), err));
    for (size_t i = 0; i < c->n; i++)
        RQ_TRY(put_entry(b, &c->v[i], err));
    if (b->size > RQ_PLAN_CACHE_MAX_FILE)
        return rq_fail(err, RQ_LIMIT, "plan cache: %zu plans are too many; remove %s", c->n,
                       c->path);
    memcpy(b->data, magic, sizeof magic);
    rq_put_le32(b->data + 8, FORMAT);
    rq_put_le32(b->data + 12, (uint32_t)c->n);
    rq_put_le64(b->data + 16, b->size - HEADER_BYTES);
    rq_put_le64(b->data + 24, rq_xxh3(b->data + HEADER_BYTES, b->size - HEADER_BYTES));
    return RQ_OK;
}

static rq_status make_folder(const char *path, rq_err *err)
{
    char *folder = rq_strdup(path);

    if (!folder)
        return rq_fail(err, RQ_OOM, "plan cache: out of memory");
    folder[strlen(path) - strlen(rq_path_base(path))] = '\0';
    const rq_status st = rq_mkdirs(folder[0] ? folder : ".", err);
    rq_free(folder);
    return st;
}

rq_status rq_plan_cache_save(rq_plan_cache *c, rq_err *err)
{
    rq_buf b = {0};

    if (!c->changed)
        return RQ_OK;
    RQ_TRY(make_folder(c->path, err));
    rq_status st = format(c, &b, err);
    if (st == RQ_OK)
        st = rq_file_write_atomic(c->path, b.data, b.size, err);
    rq_buf_free(&b);
    c->changed = st != RQ_OK;
    return st;
}
