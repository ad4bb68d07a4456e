// SPDX-License-Identifier: Apache-2.0
// Random access to a packed dataset. The index entries of all shards stand in one array sorted
// by sample id: that array, 64 bytes a sample, is all the memory an open dataset needs. Keys
// and everything else stay in the frames. Readers share the descriptors through pread.
#include "pack/dataset.h"

#include "common/bytes.h"
#include "common/cpu.h"
#include "common/file.h"
#include "pack/decode.h"
#include "pack/frame.h"
#include "pack/manifest.h"
#include "pack/shard.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct rq_dataset {
    rq_manifest manifest; // of a single shard: empty
    rq_shard *shards;
    size_t n_shards;
    rq_index_entry *entries; // [count], ascending id
    uint64_t count, masks;
    int classes;
    char hash[RQ_SHA256_HEX];
};

struct rq_reader {
    const rq_dataset *ds;
    rq_buf stored;
    rq_frame_coder coder;
    rq_members members;
    rq_sample_decoder *decoder;
};

/* ---- opening ----------------------------------------------------------------------------- */

// An array of that many entries. Indexes are gone through in all orders: large pages spare most
// of the page faults and table walks. Without them it is only slower.
static rq_index_entry *alloc_entries(uint64_t count)
{
    enum { PAGE = 4096, WORTH_IT = 8 << 20 };
    rq_index_entry *entries = rq_alloc((size_t)count, sizeof *entries);
    const size_t bytes = (size_t)count * sizeof *entries;
    if (entries && bytes >= WORTH_IT) {
        const uintptr_t begin = ((uintptr_t)entries + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
        const uintptr_t end = ((uintptr_t)entries + bytes) & ~(uintptr_t)(PAGE - 1);
        if (madvise((void *)begin, end - begin, MADV_HUGEPAGE) != 0)
            errno = 0;
    }
    return entries;
}

static int by_id(const void *a, const void *b)
{
    const uint64_t x = ((const rq_index_entry *)a)->id, y = ((const rq_index_entry *)b)->id;
    return (x > y) - (x < y);
}

// Moves each entry to its place: at `n` comes what stands at from[n], which is used up.
static void permute(rq_index_entry *entries, uint32_t *from, uint64_t count)
{
    for (uint64_t first = 0; first < count; first++) {
        const rq_index_entry lifted = entries[first];
        uint64_t hole = first;
        while (from[hole] != first) {
            const uint32_t next = from[hole];
            entries[hole] = entries[next];
            from[hole] = (uint32_t)hole;
            hole = next;
        }
        entries[hole] = lifted;
        from[hole] = (uint32_t)hole;
    }
}

// Ids are places in a catalogue, so they are dense but for rejected images: each goes straight
// to its place by a table. False, and nothing changed, when they are not dense, or one is there
// twice, or there is no memory for the table: then the general sort has to do.
static bool sort_dense(rq_dataset *ds)
{
    const uint64_t size = ds->count + ds->count / 4 + 1024;
    if (size >= UINT32_MAX)
        return false;
    uint32_t *at = rq_calloc((size_t)size, sizeof *at); // by id: place in entries + 1
    bool dense = at != NULL;
    for (uint64_t i = 0; i < ds->count && dense; i++) {
        const uint64_t id = ds->entries[i].id;
        dense = id < size && at[id] == 0;
        if (dense)
            at[id] = (uint32_t)(i + 1);
    }
    uint64_t n = 0;
    for (uint64_t id = 0; id < size && dense; id++)
        if (at[id])
            at[n++] = at[id] - 1;
    if (dense)
        permute(ds->entries, at, ds->count);
    rq_free(at);
    return dense;
}

static rq_status sort_entries(rq_dataset *ds, rq_err *err)
{
    bool ascending = true;
    for (uint64_t i = 1; i < ds->count && ascending; i++)
        ascending = ds->entries[i - 1].id <= ds->entries[i].id;
    if (!ascending && !sort_dense(ds))
        qsort(ds->entries, ds->count, sizeof *ds->entries, by_id);
    for (uint64_t i = 1; i < ds->count; i++)
        if (ds->entries[i - 1].id == ds->entries[i].id)
            return rq_fail(err, RQ_BAD_FORMAT,
                           "shards '%s' and '%s' both hold sample %" PRIu64
                           "; they do not belong to one dataset, pack again",
                           ds->shards[ds->entries[i - 1].shard].name,
                           ds->shards[ds->entries[i].shard].name, ds->entries[i].id);
    return RQ_OK;
}

static rq_status check_labels(rq_dataset *ds, rq_err *err)
{
    const bool single = ds->manifest.n_shards == 0;
    ds->classes = (int)ds->manifest.n_classes;
    for (uint64_t i = 0; i < ds->count; i++) {
        const rq_index_entry *e = &ds->entries[i];
        ds->masks += e->flags & RQ_ENTRY_HAS_MASK;
        if (single && e->label >= ds->classes) // the index holds none of RQ_MAX_CLASSES or more
            ds->classes = e->label + 1;
        if (e->label >= ds->classes || (!single && ds->classes > 0 && e->label < 0))
            return rq_fail(err, RQ_BAD_FORMAT,
                           "shard '%s': sample %" PRIu64 " has label %d, the dataset has %d "
                           "classes; pack again",
                           ds->shards[e->shard].name, e->id, e->label, ds->classes);
    }
    if (!single && ds->masks != ds->manifest.masks)
        return rq_fail(err, RQ_BAD_FORMAT,
                       "%s counts %" PRIu64 " masks, its shards hold %" PRIu64 "; pack again",
                       RQ_MANIFEST_FILE, ds->manifest.masks, ds->masks);
    return RQ_OK;
}

// The shard is the one that the manifest means.
static rq_status compare_shard(const rq_shard *s, const rq_manifest_shard *m, bool loaded,
                               rq_err *err)
{
    if (s->bytes != m->bytes || s->count != m->samples)
        return rq_fail(err, s->bytes < m->bytes ? RQ_TRUNCATED : RQ_BAD_FORMAT,
                       "shard '%s' has %" PRIu64 " bytes and %zu samples, %s says %" PRIu64
                       " and %" PRIu64 "; restore the file from a copy or pack again",
                       s->path, s->bytes, s->count, RQ_MANIFEST_FILE, m->bytes, m->samples);
    if (loaded && s->tail.hash != m->index_hash)
        return rq_fail(err, RQ_BAD_CHECKSUM,
                       "shard '%s' is intact but not the one that %s names; restore the file "
                       "from a copy or pack again",
                       s->path, RQ_MANIFEST_FILE);
    return RQ_OK;
}

static rq_status open_shards(rq_dataset *ds, const char *dir, rq_err *err)
{
    const rq_manifest *m = &ds->manifest;
    for (size_t i = 0; i < m->n_shards; i++) {
        char *path = rq_path_join(dir, m->shards[i].file);
        if (!path)
            return rq_fail(err, RQ_OOM, "out of memory opening '%s'", dir);
        const rq_status st = rq_shard_open(&ds->shards[i], path, err);
        rq_free(path);
        RQ_TRY(st);
        ds->n_shards++;
        RQ_TRY(compare_shard(&ds->shards[i], &m->shards[i], false, err));
    }
    return RQ_OK;
}

static rq_status load_shards(rq_dataset *ds, rq_err *err)
{
    for (size_t i = 0; i < ds->n_shards; i++)
        ds->count += ds->shards[i].count; // each was checked against its file's length
    ds->entries = alloc_entries(ds->count);
    if (!ds->entries)
        return rq_fail(err, RQ_OOM, "out of memory for the index of %" PRIu64 " samples",
                       ds->count);
    rq_index_entry *next = ds->entries;
    for (size_t i = 0; i < ds->n_shards; i++) {
        rq_shard *s = &ds->shards[i];
        RQ_TRY(rq_shard_load(s, next, err));
        if (ds->manifest.n_shards)
            RQ_TRY(compare_shard(s, &ds->manifest.shards[i], true, err));
        for (size_t k = 0; k < s->count; k++)
            next[k].shard = (uint16_t)i;
        next += s->count;
    }
    RQ_TRY(sort_entries(ds, err));
    return check_labels(ds, err);
}

static rq_status open_single(rq_dataset *ds, const char *path, rq_err *err)
{
    RQ_TRY(rq_shard_open(&ds->shards[0], path, err));
    ds->n_shards = 1;
    RQ_TRY(load_shards(ds, err));
    rq_sha256 *sha;
    RQ_TRY(rq_sha256_create(&sha, err));
    uint8_t index_hash[8];
    rq_put_le64(index_hash, ds->shards[0].tail.hash);
    rq_sha256_update(sha, index_hash, sizeof index_hash);
    rq_sha256_hex(sha, ds->hash);
    rq_sha256_destroy(&sha);
    return RQ_OK;
}

static rq_status open_any(rq_dataset *ds, const char *path, rq_err *err)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return rq_fail_errno(err, "cannot open the dataset '%s'", path);
    const bool single = S_ISREG(st.st_mode);
    if (!single)
        RQ_TRY(rq_manifest_read(&ds->manifest, path, ds->hash, err));
    ds->shards = rq_calloc(single ? 1 : ds->manifest.n_shards, sizeof *ds->shards);
    if (!ds->shards)
        return rq_fail(err, RQ_OOM, "out of memory opening '%s'", path);
    if (single)
        return open_single(ds, path, err);
    RQ_TRY(open_shards(ds, path, err));
    return load_shards(ds, err);
}

rq_status rq_dataset_open(rq_dataset **out, const char *path, rq_err *err)
{
    *out = NULL;
    rq_dataset *ds = rq_calloc(1, sizeof *ds);
    if (!ds)
        return rq_fail(err, RQ_OOM, "out of memory opening '%s'", path);
    const rq_status st = open_any(ds, path, err);
    if (st != RQ_OK)
        rq_dataset_close(&ds);
    *out = ds;
    return st;
}

void rq_dataset_close(rq_dataset **ds)
{
    if (!*ds)
        return;
    for (size_t i = 0; i < (*ds)->n_shards; i++)
        rq_shard_close(&(*ds)->shards[i]);
    rq_free((*ds)->shards);
    rq_free((*ds)->entries);
    rq_manifest_free(&(*ds)->manifest);
    rq_free(*ds);
    *ds = NULL;
}

/* ---- looking ----------------------------------------------------------------------------- */

uint64_t rq_dataset_count(const rq_dataset *ds)
{
    return ds->count;
}

int rq_dataset_classes(const rq_dataset *ds)
{
    return ds->classes;
}

const char *rq_dataset_class_name(const rq_dataset *ds, int label)
{
    return label >= 0 && (size_t)label < ds->manifest.n_classes ? ds->manifest.classes[label]
                                                                : NULL;
}

uint64_t rq_dataset_masks(const rq_dataset *ds)
{
    return ds->masks;
}

int rq_dataset_shards(const rq_dataset *ds)
{
    return (int)ds->n_shards;
}

const char *rq_dataset_shard_name(const rq_dataset *ds, int shard)
{
    return shard >= 0 && (size_t)shard < ds->n_shards ? ds->shards[shard].name : NULL;
}

const char *rq_dataset_hash(const rq_dataset *ds)
{
    return ds->hash;
}

const rq_index_entry *rq_dataset_entry(const rq_dataset *ds, uint64_t i, int *shard)
{
    if (i >= ds->count)
        return NULL;
    if (shard)
        *shard = ds->entries[i].shard;
    return &ds->entries[i];
}

rq_status rq_dataset_find(const rq_dataset *ds, uint64_t id, uint64_t *place, rq_err *err)
{
    uint64_t low = 0, high = ds->count;
    while (low < high) {
        const uint64_t mid = low + (high - low) / 2;
        if (ds->entries[mid].id < id)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == ds->count || ds->entries[low].id != id)
        return rq_fail(err, RQ_NOT_FOUND, "the dataset has no sample with id %" PRIu64, id);
    *place = low;
    return RQ_OK;
}

size_t rq_dataset_memory(const rq_dataset *ds)
{
    size_t bytes = sizeof *ds + ds->count * sizeof *ds->entries +
                   ds->n_shards * (sizeof *ds->shards + sizeof *ds->manifest.shards);
    for (size_t i = 0; i < ds->manifest.n_classes; i++)
        bytes += sizeof(char *) + strlen(ds->manifest.classes[i]) + 1;
    return bytes;
}

/* ---- reading ----------------------------------------------------------------------------- */

rq_status rq_reader_create(rq_reader **out, const rq_dataset *ds, rq_err *err)
{
    *out = NULL;
    rq_reader *r = rq_calloc(1, sizeof *r);
    if (!r)
        return rq_fail(err, RQ_OOM, "out of memory for a reader");
    // What is decoded here has passed its hash, and was decoded when it was packed. A limit of
    // time would make batches depend on the machine.
    rq_limits limits = rq_limits_default();
    limits.trusted = true;
    limits.max_cpu_seconds = 0;
    const rq_status st = rq_sample_decoder_create(&r->decoder, rq_cpu_detect(), &limits, err);
    if (st != RQ_OK) {
        rq_reader_destroy(&r);
        return st;
    }
    r->ds = ds;
    r->coder.trust_hash = true;
    *out = r;
    return RQ_OK;
}

void rq_reader_destroy(rq_reader **r)
{
    if (!*r)
        return;
    rq_sample_decoder_destroy(&(*r)->decoder);
    rq_frame_coder_fini(&(*r)->coder);
    rq_buf_free(&(*r)->stored);
    rq_free(*r);
    *r = NULL;
}

// "SHARD: sample ID (KEY) at byte N: reason; run `rq-pack verify`".
static rq_status blame(const rq_reader *r, const rq_index_entry *e, const char *key,
                       rq_err *inner, rq_err *err)
{
    const rq_shard *s = &r->ds->shards[e->shard];
    if (inner->status == RQ_OOM)
        return rq_fail(err, RQ_OOM, "%s", inner->text);
    rq_err full = {0};
    rq_shard_blame(s, e, key, inner, &full);
    return rq_fail(err, full.status, "%s; run `rq-pack verify` on '%s' to see all damage",
                   full.text, s->path);
}

rq_status rq_reader_get(rq_reader *r, uint64_t i, rq_sample *sample, rq_err *err)
{
    if (i >= r->ds->count)
        return rq_fail(err, RQ_INVALID_ARG,
                       "there is no sample %" PRIu64 ": the dataset has %" PRIu64, i,
                       r->ds->count);
    const rq_index_entry *e = &r->ds->entries[i];
    const rq_shard *s = &r->ds->shards[e->shard];
    rq_err inner = {0};
    r->stored.size = 0;
    rq_status st = rq_buf_reserve(&r->stored, e->stored_bytes, &inner);
    if (st == RQ_OK)
        st = rq_pread_full(s->fd, r->stored.data, e->stored_bytes, e->offset, s->name, &inner);
    if (st == RQ_OK)
        st = rq_frame_decode(&r->coder, r->stored.data, e, &r->members, &inner);
    if (st != RQ_OK)
        return blame(r, e, "", &inner, err);
    *sample = (rq_sample){.place = i,
                          .id = e->id,
                          .label = e->label,
                          .width = (int)e->width,
                          .height = (int)e->height,
                          .orientation = rq_entry_orientation(e->flags),
                          .encoding = (rq_encoding)e->encoding,
                          .key = r->members.key,
                          .image = r->members.image,
                          .image_bytes = r->members.image_bytes,
                          .mask = r->members.mask,
                          .mask_bytes = r->members.mask_bytes,
                          .meta = r->members.meta,
                          .meta_bytes = r->members.meta_bytes};
    return RQ_OK;
}

static rq_stored_image stored_image(const rq_sample *s)
{
    return (rq_stored_image){.encoding = s->encoding,
                             .orientation = s->orientation,
                             .width = s->width,
                             .height = s->height,
                             .data = s->image,
                             .bytes = s->image_bytes};
}

// What came of something done with a sample: a failure names it.
static rq_status conclude(const rq_reader *r, const rq_sample *sample, rq_status st,
                          rq_err *inner, rq_err *err)
{
    return st == RQ_OK ? RQ_OK
                       : blame(r, &r->ds->entries[sample->place], sample->key, inner, err);
}

rq_status rq_reader_decode(rq_reader *r, const rq_sample *sample, rq_image *img, rq_err *err)
{
    const rq_stored_image s = stored_image(sample);
    rq_err inner = {0};
    return conclude(r, sample, rq_sample_decode(r->decoder, &s, img, &inner), &inner, err);
}

rq_status rq_reader_decode_rgb(rq_reader *r, const rq_sample *sample, rq_image *img,
                               rq_err *err)
{
    const rq_stored_image s = stored_image(sample);
    rq_err inner = {0};
    return conclude(r, sample, rq_sample_decode_rgb(r->decoder, &s, img, &inner), &inner, err);
}

rq_status rq_reader_export(rq_reader *r, const rq_sample *sample, rq_buf *file,
                           const char **extension, rq_err *err)
{
    const rq_stored_image s = stored_image(sample);
    rq_err inner = {0};
    return conclude(r, sample, rq_sample_export(r->decoder, &s, file, extension, &inner),
                    &inner, err);
}

rq_status rq_reader_decode_mask(rq_reader *r, const rq_sample *sample, rq_image *mask,
                                rq_err *err)
{
    if (!sample->mask)
        return rq_fail(err, RQ_NOT_FOUND, "sample %" PRIu64 " (%s) has no mask", sample->id,
                       sample->key);
    rq_err inner = {0};
    return conclude(
        r, sample,
        rq_sample_decode_mask(r->decoder, sample->mask, sample->mask_bytes, mask, &inner),
        &inner, err);
}
