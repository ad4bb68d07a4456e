// SPDX-License-Identifier: Apache-2.0
// Checking a dataset. Unlike opening it, this goes on after the first damage and reports all of
// it. Frames are read in spans of about a megabyte, hashed in parallel, and blamed one by one;
// a shard whose index is damaged cannot be divided and counts as one piece of other damage.
#include "pack/verify.h"

#include "common/cpu.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/pool.h"
#include "pack/decode.h"
#include "pack/frame.h"
#include "pack/manifest.h"
#include "pack/meta.h"
#include "pack/shard.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { SPAN_BYTES = 1 << 20, MAX_WORKERS = 256 };

// What one thread needs.
typedef struct worker {
    rq_buf stored;
    rq_frame_coder coder;
    rq_sample_decoder *decoder; // deep only
    rq_image image;
} worker;

typedef struct verify {
    const rq_verify_opts *opts;
    rq_verify_result *result;
    rq_pool *pool; // NULL: in the calling thread
    int n_workers;
    worker *workers;
    const rq_manifest *manifest; // NULL for a single shard
    uint64_t done, total;        // samples, under lock
    // The shard at hand.
    rq_shard shard;
    rq_index_entry *entries;
    size_t *spans; // first entry of each span, and the count behind the last
    size_t n_spans;
    pthread_mutex_t lock;
} verify;

static void report(verify *v, const char *sentence)
{
    if (v->opts->damage)
        v->opts->damage(v->opts->cookie, sentence);
}

static void damaged_other(verify *v, const char *sentence)
{
    v->result->damaged_other++;
    report(v, sentence);
}

/* ---- samples ----------------------------------------------------------------------------- */

static rq_status stopped(const verify *v, rq_err *err)
{
    if (!v->opts->cancel || !*v->opts->cancel)
        return RQ_OK;
    return rq_fail(err, RQ_CANCELLED, "interrupted; not everything was checked");
}

// KEY.json must be JSON and agree with the index.
static rq_status check_meta(const rq_members *m, const rq_index_entry *e, rq_err *err)
{
    rq_meta meta;
    RQ_TRY(rq_meta_parse(&meta, m->meta, m->meta_bytes, err));
    rq_status st = RQ_OK;
    if (meta.width != (int)e->width || meta.height != (int)e->height)
        st = rq_fail(err, RQ_BAD_FORMAT, "KEY.json and the index disagree on the size");
    else if (meta.has_id && meta.id != e->id)
        st = rq_fail(err, RQ_BAD_FORMAT, "KEY.json and the index disagree on the sample id");
    else if (meta.orientation != rq_entry_orientation(e->flags))
        st = rq_fail(err, RQ_BAD_FORMAT, "KEY.json and the index disagree on the orientation");
    rq_meta_free(&meta);
    return st;
}

static rq_status check_picture(worker *w, const rq_members *m, const rq_index_entry *e,
                               rq_err *err)
{
    const rq_stored_image stored = rq_stored_image_of(e, m->image, m->image_bytes);
    RQ_TRY(rq_sample_decode(w->decoder, &stored, &w->image, err));
    if (m->mask)
        return rq_sample_decode_mask(w->decoder, m->mask, m->mask_bytes, &w->image, err);
    return RQ_OK;
}

static rq_status check_frame(verify *v, worker *w, const rq_index_entry *e,
                             const uint8_t *frame, char key[RQ_MAX_KEY_BYTES + 1], rq_err *err)
{
    rq_members m;
    key[0] = 0;
    const uint64_t hash = rq_xxh3(frame, e->stored_bytes);
    if (hash != e->hash) {
        rq_frame_guess_key(&w->coder, frame, e->stored_bytes, key);
        return rq_fail(err, RQ_BAD_CHECKSUM,
                       "the stored bytes do not match their hash (index %016" PRIx64
                       ", file %016" PRIx64 ")",
                       e->hash, hash);
    }
    if (v->manifest && v->manifest->n_classes && (size_t)e->label >= v->manifest->n_classes)
        return rq_fail(err, RQ_BAD_FORMAT, "label %d, but the dataset has %zu classes",
                       e->label, v->manifest->n_classes);
    if (!v->opts->deep)
        return RQ_OK;
    RQ_TRY(rq_frame_decode(&w->coder, frame, e, &m, err));
    memcpy(key, m.key, sizeof m.key);
    RQ_TRY(check_meta(&m, e, err));
    return check_picture(w, &m, e, err);
}

static void blame_sample(verify *v, const rq_index_entry *e, const char *key,
                         const rq_err *inner)
{
    rq_err full = {0};
    rq_shard_blame(&v->shard, e, key, inner, &full);
    pthread_mutex_lock(&v->lock);
    v->result->damaged_samples++;
    report(v, full.text);
    pthread_mutex_unlock(&v->lock);
}

static rq_status check_span(void *ctx, size_t index, int worker_index, rq_err *err)
{
    verify *v = ctx;
    worker *w = &v->workers[worker_index];
    const rq_index_entry *first = &v->entries[v->spans[index]];
    const size_t n = v->spans[index + 1] - v->spans[index];
    const rq_index_entry *last = first + n - 1;
    const size_t bytes = (size_t)(last->offset + last->stored_bytes - first->offset);
    RQ_TRY(stopped(v, err));
    w->stored.size = 0;
    RQ_TRY(rq_buf_reserve(&w->stored, bytes, err));
    RQ_TRY(
        rq_pread_full(v->shard.fd, w->stored.data, bytes, first->offset, v->shard.name, err));
    for (size_t i = 0; i < n; i++) {
        const rq_index_entry *e = &first[i];
        char key[RQ_MAX_KEY_BYTES + 1];
        rq_err inner = {0};
        const rq_status st =
            check_frame(v, w, e, w->stored.data + (e->offset - first->offset), key, &inner);
        if (st == RQ_OOM)
            return rq_fail(err, st, "%s", inner.text);
        if (st != RQ_OK)
            blame_sample(v, e, key, &inner);
    }
    pthread_mutex_lock(&v->lock);
    v->done += n;
    v->result->bytes += bytes;
    if (v->opts->progress)
        v->opts->progress(v->opts->cookie, v->done, v->total, v->result->bytes);
    pthread_mutex_unlock(&v->lock);
    return RQ_OK;
}

static rq_status plan_spans(verify *v, rq_err *err)
{
    const size_t n = v->shard.count;
    v->spans = rq_alloc(n + 1, sizeof *v->spans);
    if (!v->spans)
        return rq_fail(err, RQ_OOM, "out of memory for '%s'", v->shard.path);
    v->n_spans = 0;
    for (size_t i = 0; i < n; v->n_spans++) {
        const uint64_t start = v->entries[i].offset;
        v->spans[v->n_spans] = i;
        do
            i++;
        while (i < n &&
               v->entries[i].offset + v->entries[i].stored_bytes - start <= SPAN_BYTES);
    }
    v->spans[v->n_spans] = n;
    return RQ_OK;
}

static rq_status check_samples(verify *v, rq_err *err)
{
    RQ_TRY(plan_spans(v, err));
    if (v->pool)
        return rq_pool_for(v->pool, v->n_spans, check_span, v, err);
    for (size_t i = 0; i < v->n_spans; i++)
        RQ_TRY(check_span(v, i, 0, err));
    return RQ_OK;
}

/* ---- shards ------------------------------------------------------------------------------ */

static rq_status check_end_frame(verify *v, rq_err *err)
{
    const rq_index_tail *t = &v->shard.tail;
    worker *w = &v->workers[0];
    rq_err inner = {0};
    w->stored.size = 0;
    rq_status st = rq_buf_reserve(&w->stored, t->end_bytes, err);
    if (st == RQ_OK)
        st = rq_pread_full(v->shard.fd, w->stored.data, t->end_bytes, t->end_offset,
                           v->shard.name, err);
    RQ_TRY(st);
    if (rq_xxh3(w->stored.data, t->end_bytes) != t->end_hash)
        st = rq_fail(&inner, RQ_BAD_CHECKSUM, "it does not match its hash");
    else
        st = rq_frame_decode_end(&w->coder, w->stored.data, t->end_bytes, &inner);
    if (st != RQ_OK) {
        rq_err full = {0};
        rq_fail(&full, st, "shard '%s': end frame at byte %" PRIu64 ": %s", v->shard.path,
                t->end_offset, inner.text);
        damaged_other(v, full.text);
    }
    v->result->bytes += v->shard.bytes - t->end_offset;
    return RQ_OK;
}

// Reads the whole file once more: what `sha256sum` says must be what the manifest says.
static rq_status check_sha256(verify *v, const rq_manifest_shard *m, rq_err *err)
{
    rq_sha256 *sha;
    char hex[RQ_SHA256_HEX];
    worker *w = &v->workers[0];
    w->stored.size = 0;
    RQ_TRY(rq_buf_reserve(&w->stored, SPAN_BYTES, err));
    RQ_TRY(rq_sha256_create(&sha, err));
    rq_status st = RQ_OK;
    for (uint64_t at = 0; at < v->shard.bytes && st == RQ_OK; at += SPAN_BYTES) {
        const uint64_t left = v->shard.bytes - at;
        const size_t n = left < SPAN_BYTES ? (size_t)left : SPAN_BYTES;
        st = stopped(v, err);
        if (st == RQ_OK)
            st = rq_pread_full(v->shard.fd, w->stored.data, n, at, v->shard.name, err);
        rq_sha256_update(sha, w->stored.data, n);
    }
    rq_sha256_hex(sha, hex);
    rq_sha256_destroy(&sha);
    RQ_TRY(st);
    if (strcmp(hex, m->sha256) != 0) {
        rq_err full = {0};
        rq_fail(&full, RQ_BAD_CHECKSUM, "shard '%s': its SHA-256 is %s, %s says %s",
                v->shard.path, hex, RQ_MANIFEST_FILE, m->sha256);
        damaged_other(v, full.text);
    }
    return RQ_OK;
}

// False when the file is not the one that the manifest means.
static bool is_meant(verify *v, const rq_manifest_shard *m)
{
    const rq_shard *s = &v->shard;
    if (!m || (s->bytes == m->bytes && s->count == m->samples && s->tail.hash == m->index_hash))
        return true;
    rq_err full = {0};
    rq_fail(&full, RQ_BAD_CHECKSUM,
            "shard '%s' is not the one that %s names: %" PRIu64 " bytes, %zu samples, index "
            "%016" PRIx64 " instead of %" PRIu64 ", %" PRIu64 ", %016" PRIx64,
            s->path, RQ_MANIFEST_FILE, s->bytes, s->count, s->tail.hash, m->bytes, m->samples,
            m->index_hash);
    damaged_other(v, full.text);
    return false;
}

static rq_status check_content(verify *v, const rq_manifest_shard *m, rq_err *err)
{
    const uint64_t damage_before = v->result->damaged_samples + v->result->damaged_other;
    v->result->samples += v->shard.count;
    RQ_TRY(check_samples(v, err));
    RQ_TRY(check_end_frame(v, err));
    // Damage that is known already need not be reported as a wrong SHA-256 too.
    const bool intact = damage_before == v->result->damaged_samples + v->result->damaged_other;
    return v->opts->deep && m && intact ? check_sha256(v, m, err) : RQ_OK;
}

// Only trouble of the machine is an error; trouble of the file is reported.
static bool is_fatal(rq_status st)
{
    return st == RQ_OOM || st == RQ_CANCELLED || st == RQ_INTERNAL;
}

static rq_status check_shard(verify *v, const char *path, const rq_manifest_shard *m,
                             rq_err *err)
{
    rq_err inner = {0};
    rq_status st = rq_shard_open(&v->shard, path, &inner);
    if (st == RQ_OK) {
        v->entries = rq_alloc(v->shard.count, sizeof *v->entries);
        st = v->entries ? rq_shard_load(&v->shard, v->entries, &inner)
                        : rq_fail(&inner, RQ_OOM, "out of memory for the index of '%s'", path);
    }
    if (st == RQ_OK && is_meant(v, m))
        st = check_content(v, m, &inner);
    v->result->shards++;
    if (st != RQ_OK && !is_fatal(st))
        damaged_other(v, inner.text);
    else if (st != RQ_OK)
        rq_fail(err, st, "%s", inner.text);
    rq_shard_close(&v->shard);
    rq_free(v->entries);
    rq_free(v->spans);
    v->entries = NULL;
    v->spans = NULL;
    return is_fatal(st) ? st : RQ_OK;
}

/* ---- the whole --------------------------------------------------------------------------- */

static rq_status check_all(verify *v, const char *dir, const rq_manifest *m, rq_err *err)
{
    for (size_t i = 0; i < m->n_shards; i++) {
        char *path = rq_path_join(dir, m->shards[i].file);
        if (!path)
            return rq_fail(err, RQ_OOM, "out of memory for a shard's name");
        const rq_status st = check_shard(v, path, &m->shards[i], err);
        rq_free(path);
        RQ_TRY(st);
    }
    return RQ_OK;
}

// What only opening checks: that ids are unique over all shards, labels, masks.
static rq_status check_together(verify *v, const char *path, rq_err *err)
{
    rq_dataset *ds;
    rq_err inner = {0};
    if (v->result->damaged_other || v->result->damaged_samples)
        return RQ_OK;
    const rq_status st = rq_dataset_open(&ds, path, &inner);
    rq_dataset_close(&ds);
    if (is_fatal(st))
        return rq_fail(err, st, "%s", inner.text);
    if (st != RQ_OK)
        damaged_other(v, inner.text);
    return RQ_OK;
}

static rq_status start(verify *v, rq_err *err)
{
    const int threads = v->opts->threads ? v->opts->threads : rq_cpu_count();
    v->n_workers = threads < MAX_WORKERS ? threads : MAX_WORKERS;
    v->workers = rq_calloc((size_t)v->n_workers, sizeof *v->workers);
    if (!v->workers)
        return rq_fail(err, RQ_OOM, "out of memory for %d threads", v->n_workers);
    rq_limits limits = rq_limits_default();
    limits.trusted = true; // as a reader decodes it
    for (int i = 0; i < v->n_workers && v->opts->deep; i++)
        RQ_TRY(rq_sample_decoder_create(&v->workers[i].decoder, rq_cpu_detect(), &limits, err));
    return v->n_workers > 1 ? rq_pool_create(&v->pool, v->n_workers, "verify", err) : RQ_OK;
}

static void stop(verify *v)
{
    rq_pool_destroy(&v->pool);
    for (int i = 0; i < v->n_workers && v->workers; i++) {
        worker *w = &v->workers[i];
        rq_buf_free(&w->stored);
        rq_frame_coder_fini(&w->coder);
        rq_sample_decoder_destroy(&w->decoder);
        rq_image_free(&w->image);
    }
    rq_free(v->workers);
    pthread_mutex_destroy(&v->lock);
}

static rq_status verify_folder(verify *v, const char *dir, rq_err *err)
{
    rq_manifest m;
    rq_err inner = {0};
    const rq_status st = rq_manifest_read(&m, dir, NULL, &inner);
    if (st == RQ_BAD_CHECKSUM || st == RQ_BAD_FORMAT || st == RQ_TRUNCATED) {
        damaged_other(v, inner.text);
        return RQ_OK;
    }
    if (st != RQ_OK)
        return rq_fail(err, st, "%s", inner.text);
    v->manifest = &m;
    v->total = m.samples;
    rq_status all = check_all(v, dir, &m, err);
    if (all == RQ_OK)
        all = check_together(v, dir, err);
    v->manifest = NULL;
    rq_manifest_free(&m);
    return all;
}

static rq_status verify_path(verify *v, const char *path, rq_err *err)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return rq_fail_errno(err, "cannot open '%s'", path);
    RQ_TRY(start(v, err));
    if (!S_ISREG(st.st_mode))
        return verify_folder(v, path, err);
    RQ_TRY(check_shard(v, path, NULL, err));
    return check_together(v, path, err);
}

rq_status rq_verify(const char *path, const rq_verify_opts *opts, rq_verify_result *result,
                    rq_err *err)
{
    *result = (rq_verify_result){0};
    verify v = {.opts = opts, .result = result, .shard = {.fd = -1}};
    pthread_mutex_init(&v.lock, NULL);
    const rq_status st = verify_path(&v, path, err);
    stop(&v);
    if (st != RQ_OK || (result->damaged_samples == 0 && result->damaged_other == 0))
        return st;
    return rq_fail(
        err, RQ_BAD_CHECKSUM,
        "'%s' is damaged: %" PRIu64 " of %" PRIu64 " samples, and %" PRIu64
        " other parts; restore the files named above from a copy, or let `rq-pack repair` "
        "keep what is whole",
        path, result->damaged_samples, result->samples, result->damaged_other);
}
