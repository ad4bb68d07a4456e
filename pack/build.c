// SPDX-License-Identifier: Apache-2.0
// The build: one thread reads the source and writes the shards, workers in between decode and
// encode. Records travel through a ring of slots; the writer takes them in reading order, so
// the bytes do not depend on the number of workers. What is in flight is bounded by the ring
// and by bytes. dataset.json is written last.
#include "pack/build.h"

#include "common/file.h"
#include "common/pool.h"
#include "common/queue.h"
#include "pack/encode.h"
#include "pack/folder.h"
#include "pack/key.h"
#include "pack/shard_writer.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum {
    SLOTS_PER_THREAD = 8,
    MAX_THREADS = 256,
    IN_FLIGHT_BYTES = 256 << 20, // of source bytes, beyond the first record
    KEEP_BYTES = 4 << 20         // a slot's buffers above this are given back after use
};

typedef struct build build;

// A record on its way. Belongs to the main thread, between push and done to a worker.
typedef struct slot {
    build *owner;
    rq_record rec; // data points into `data`
    rq_buf data;
    bool ambiguous;
    rq_encoded out;
    rq_status status;
    rq_err err;
    bool done; // under build.lock
} slot;

struct build {
    const rq_build_opts *opts;
    rq_source *src;
    rq_folder folder;
    rq_build_result *result;
    rq_manifest manifest;
    rq_shard_writer *shard;
    rq_atomic_file *report;
    slot *slots;
    size_t n_slots;
    uint64_t head, tail; // slots written, slots filled
    uint64_t in_flight;  // source bytes in slots
    uint64_t seen, seen_bytes;
    rq_queue *jobs;
    int n_workers;
    rq_thread *workers[MAX_THREADS];
    rq_encoder *encoders[MAX_THREADS];
    int next_encoder; // under lock
    pthread_mutex_t lock;
    pthread_cond_t changed;
};

void rq_build_opts_default(rq_build_opts *o)
{
    *o = (rq_build_opts){.encoding = RQ_ENCODING_JPEG,
                         .level = 3,
                         .shard_bytes = UINT64_C(1) << 30,
                         .name = "data",
                         .limits = rq_limits_default()};
}

static rq_status check_opts(const rq_build_opts *o, rq_err *err)
{
    if (o->encoding != RQ_ENCODING_JPEG && o->encoding != RQ_ENCODING_PPM)
        return rq_fail(err, RQ_INVALID_ARG,
                       "this version cannot write the encoding `%s`; use jpeg or ppm",
                       rq_encoding_name(o->encoding));
    if (o->level < 1 || o->level > 19)
        return rq_fail(err, RQ_INVALID_ARG, "the zstd level must be 1 to 19, not %d", o->level);
    if (o->shard_bytes == 0)
        return rq_fail(err, RQ_INVALID_ARG, "the shard size must not be 0");
    if (o->threads < 0 || o->threads > MAX_THREADS)
        return rq_fail(err, RQ_INVALID_ARG, "threads must be 0 to %d, not %d", MAX_THREADS,
                       o->threads);
    if (!rq_shard_prefix_valid(o->name))
        return rq_fail(err, RQ_INVALID_ARG,
                       "'%.80s' cannot be a dataset's name: use 1 to %d of A-Z a-z 0-9 _ -",
                       o->name, RQ_MAX_NAME_BYTES);
    return RQ_OK;
}

/* ---- workers ----------------------------------------------------------------------------- */

static void work(void *ctx)
{
    build *b = ctx;
    pthread_mutex_lock(&b->lock);
    rq_encoder *encoder = b->encoders[b->next_encoder++];
    pthread_mutex_unlock(&b->lock);
    for (void *item; rq_queue_pop(b->jobs, &item) == RQ_OK;) {
        slot *s = item;
        s->status = rq_encode_record(encoder, &s->rec, s->ambiguous, &s->out, &s->err);
        pthread_mutex_lock(&b->lock);
        s->done = true;
        pthread_cond_signal(&b->changed); // only the main thread waits
        pthread_mutex_unlock(&b->lock);
    }
}

static rq_status start_workers(build *b, rq_masks *masks, rq_err *err)
{
    const int threads = b->opts->threads ? b->opts->threads : rq_cpu_count();
    const int n = threads < MAX_THREADS ? threads : MAX_THREADS;
    b->n_slots = (size_t)n * SLOTS_PER_THREAD;
    b->slots = rq_calloc(b->n_slots, sizeof *b->slots);
    if (!b->slots)
        return rq_fail(err, RQ_OOM, "out of memory for the build");
    rq_encode_opts eo;
    rq_encode_opts_default(&eo);
    eo.encoding = b->opts->encoding;
    eo.level = b->opts->level;
    RQ_TRY(rq_queue_create(&b->jobs, b->n_slots, 0, err));
    for (int i = 0; i < n; i++)
        RQ_TRY(rq_encoder_create(&b->encoders[i], &eo, &b->opts->limits, masks, err));
    for (int i = 0; i < n; i++) {
        char name[24];
        snprintf(name, sizeof name, "pack-%02d", i);
        RQ_TRY(rq_thread_start(&b->workers[i], name, work, b, err));
        b->n_workers++;
    }
    return RQ_OK;
}

/* ---- reading ----------------------------------------------------------------------------- */

// Whether another entry has this one's name up to the extension. Names are sorted, so all that
// begin with the stem stand together: the one without an extension first, then bytes below the
// dot ("x-1.jpg"), then those with a dot.
static bool is_ambiguous(const rq_source *src, uint64_t id, const char *name)
{
    const uint64_t count = rq_source_count(src);
    const int stem = rq_key_stem(name);
    for (int step = -1; step <= 1; step += 2) {
        for (uint64_t i = id + (uint64_t)step; i < count; i += (uint64_t)step) {
            const char *other = rq_source_entry(src, i).name;
            if (strncmp(other, name, (size_t)stem) != 0 || (unsigned char)other[stem] > '.')
                break;
            if (rq_key_stem(other) == stem)
                return true;
        }
    }
    return false;
}

static rq_status read_one(build *b, bool *end, rq_err *err)
{
    slot *s = &b->slots[b->tail % b->n_slots];
    const rq_status st = rq_source_next(b->src, &s->rec, err);
    *end = st == RQ_END;
    if (st != RQ_OK)
        return *end ? RQ_OK : st;
    s->data.size = 0;
    if (s->rec.status == RQ_OK)
        RQ_TRY(rq_buf_append(&s->data, s->rec.data, s->rec.size, err));
    s->rec.data = s->data.data;
    s->ambiguous = is_ambiguous(b->src, s->rec.entry.id, s->rec.entry.name);
    s->done = false;
    s->err = (rq_err){0};
    b->in_flight += s->data.size;
    b->tail++;
    return rq_queue_push(b->jobs, s, 0);
}

/* ---- writing ----------------------------------------------------------------------------- */

static rq_status open_shard(build *b, rq_err *err)
{
    char file[RQ_MAX_NAME_BYTES + 32];
    if (b->manifest.n_shards == RQ_MAX_SHARDS)
        return rq_fail(err, RQ_LIMIT, "more than %d shards; choose a larger --shard-size",
                       RQ_MAX_SHARDS);
    rq_shard_file_name(file, sizeof file, b->opts->name, b->manifest.n_shards);
    char *path = rq_path_join(b->folder.path, file);
    if (!path)
        return rq_fail(err, RQ_OOM, "out of memory for a shard's name");
    const rq_status st = rq_shard_writer_create(&b->shard, path, err);
    rq_free(path);
    return st;
}

static rq_status finish_shard(build *b, rq_err *err)
{
    char file[RQ_MAX_NAME_BYTES + 32];
    rq_manifest_shard info = {0};
    rq_shard_file_name(file, sizeof file, b->opts->name, b->manifest.n_shards);
    // The old dataset lasts until nothing but a rename is left to do.
    RQ_TRY(rq_shard_writer_seal(b->shard, err));
    RQ_TRY(rq_folder_clear(&b->folder, err));
    RQ_TRY(rq_shard_writer_finish(&b->shard, &info, err));
    b->result->shards++;
    b->result->stored_bytes += info.bytes;
    return rq_manifest_add_shard(&b->manifest, file, &info, err);
}

static rq_status write_sample(build *b, const slot *s, rq_err *err)
{
    const rq_encoded *out = &s->out;
    if (!b->shard)
        RQ_TRY(open_shard(b, err));
    RQ_TRY(rq_shard_writer_append(b->shard, &out->entry, out->frame.data, err));
    b->result->samples++;
    b->result->source_bytes += s->data.size;
    b->result->fallbacks += out->fallback;
    b->result->masks += out->entry.flags & RQ_ENTRY_HAS_MASK;
    if (rq_shard_writer_bytes(b->shard) >= b->opts->shard_bytes ||
        rq_shard_writer_count(b->shard) == RQ_MAX_SHARD_SAMPLES)
        return finish_shard(b, err);
    return RQ_OK;
}

static void log_verdict(const build *b, const slot *s)
{
    const rq_verdict *v = &s->out.verdict;
    static const rq_log_level levels[RQ_VERDICT_COUNT] = {RQ_LOG_DEBUG, RQ_LOG_INFO,
                                                          RQ_LOG_WARN, RQ_LOG_WARN};
    if (v->kind != RQ_VERDICT_OK)
        rq_log(&b->opts->log, levels[v->kind], "'%s' %s: %s", s->rec.entry.name,
               rq_verdict_name(v->kind), v->reason);
}

static rq_status write_one(build *b, slot *s, rq_err *err)
{
    if (s->status != RQ_OK)
        return rq_fail(err, s->status, "%s", s->err.text);
    const rq_verdict *v = &s->out.verdict;
    b->result->verdicts[v->kind]++;
    b->result->bad_masks += s->out.mask_failed;
    log_verdict(b, s);
    RQ_TRY(rq_atomic_file_write(b->report, s->out.report.data, s->out.report.size, err));
    if (v->kind != RQ_VERDICT_REJECTED)
        RQ_TRY(write_sample(b, s, err));
    else if (b->opts->stop_on_bad)
        return rq_fail(err, s->out.reason ? s->out.reason : RQ_CORRUPT_IMAGE,
                       "'%s' cannot be used: %s; remove it, or let the build go on with "
                       "--on-bad reject",
                       s->rec.entry.name, v->reason);
    b->seen++;
    b->seen_bytes += s->rec.entry.bytes;
    if (b->opts->progress)
        b->opts->progress(b->opts->progress_cookie, b->seen, rq_source_count(b->src),
                          b->seen_bytes);
    return RQ_OK;
}

static void release_slot(build *b, slot *s)
{
    b->in_flight -= s->data.size;
    if (s->data.cap > KEEP_BYTES)
        rq_buf_free(&s->data);
    if (s->out.frame.cap > KEEP_BYTES)
        rq_buf_free(&s->out.frame);
    b->head++;
}

static slot *wait_oldest(build *b)
{
    slot *s = &b->slots[b->head % b->n_slots];
    pthread_mutex_lock(&b->lock);
    while (!s->done)
        pthread_cond_wait(&b->changed, &b->lock);
    pthread_mutex_unlock(&b->lock);
    return s;
}

static bool room(const build *b)
{
    return b->tail - b->head < b->n_slots &&
           (b->tail == b->head || b->in_flight < IN_FLIGHT_BYTES);
}

static rq_status pump(build *b, rq_err *err)
{
    bool end = false;
    while (!end || b->head != b->tail) {
        if (b->opts->cancel && *b->opts->cancel)
            return rq_fail(err, RQ_CANCELLED,
                           "interrupted after %" PRIu64 " of %" PRIu64
                           " images, '%s' is no dataset yet; run the same command again",
                           b->seen, rq_source_count(b->src), b->folder.path);
        if (!end && room(b)) {
            RQ_TRY(read_one(b, &end, err));
            continue;
        }
        slot *s = wait_oldest(b);
        RQ_TRY(write_one(b, s, err));
        release_slot(b, s);
    }
    return RQ_OK;
}

/* ---- the whole --------------------------------------------------------------------------- */

static rq_status begin(build *b, const char *dir, rq_masks *masks, rq_err *err)
{
    RQ_TRY(check_opts(b->opts, err));
    if (rq_source_classes(b->src) > RQ_MAX_CLASSES)
        return rq_fail(err, RQ_LIMIT,
                       "the source has %d classes, a dataset holds at most %d; name the folder "
                       "above the class folders",
                       rq_source_classes(b->src), RQ_MAX_CLASSES);
    RQ_TRY(rq_folder_open(&b->folder, dir, b->opts->name, b->opts->replace, err));
    char *path = rq_path_join(dir, RQ_REPORT_FILE);
    if (!path)
        return rq_fail(err, RQ_OOM, "out of memory for the build");
    const rq_status st = rq_atomic_file_create(&b->report, path, true, err);
    rq_free(path);
    RQ_TRY(st);
    return start_workers(b, masks, err);
}

static rq_status fill_manifest(build *b, rq_err *err)
{
    rq_manifest *m = &b->manifest;
    const rq_build_result *r = b->result;
    m->encoding = b->opts->encoding;
    m->level = b->opts->level;
    m->samples = r->samples;
    m->masks = r->masks;
    m->fallbacks = r->fallbacks;
    memcpy(m->verdicts, r->verdicts, sizeof m->verdicts);
    m->source_images = rq_source_count(b->src);
    m->source_bytes = rq_source_bytes(b->src);
    m->source_passed_over = rq_source_passed_over(b->src);
    m->name = rq_strdup(b->opts->name);
    m->layout = rq_strdup(rq_layout_name(rq_source_layout(b->src)));
    m->created_by = rq_strdup("reliquary " RQ_VERSION);
    if (!m->name || !m->layout || !m->created_by)
        return rq_fail(err, RQ_OOM, "out of memory for the manifest");
    for (int i = 0; i < rq_source_classes(b->src); i++)
        RQ_TRY(rq_manifest_add_class(m, rq_source_class_name(b->src, i), err));
    return RQ_OK;
}

static rq_status write_manifest(build *b, rq_err *err)
{
    rq_buf text = {0};
    rq_sha256 *sha = NULL;
    char *path = rq_path_join(b->folder.path, RQ_MANIFEST_FILE);
    rq_status st = path ? RQ_OK : rq_fail(err, RQ_OOM, "out of memory for the manifest");
    if (st == RQ_OK)
        st = rq_manifest_encode(&b->manifest, &text, err);
    if (st == RQ_OK)
        st = rq_sha256_create(&sha, err);
    if (st == RQ_OK)
        st = rq_file_write_atomic(path, text.data, text.size, err);
    if (st == RQ_OK) {
        rq_sha256_update(sha, text.data, text.size);
        rq_sha256_hex(sha, b->result->manifest_sha256);
    }
    rq_sha256_destroy(&sha);
    rq_buf_free(&text);
    rq_free(path);
    return st;
}

static rq_status finish(build *b, rq_err *err)
{
    if (b->result->samples == 0)
        return rq_fail(err, RQ_NOT_FOUND,
                       "none of the %" PRIu64
                       " images could be used, so no dataset was written; -v names each",
                       rq_source_count(b->src));
    if (b->shard)
        RQ_TRY(finish_shard(b, err));
    RQ_TRY(rq_folder_trim(&b->folder, b->manifest.n_shards, err));
    RQ_TRY(rq_atomic_file_commit(&b->report, err));
    RQ_TRY(fill_manifest(b, err));
    return write_manifest(b, err);
}

static void end(build *b, bool failed)
{
    if (b->jobs) {
        rq_queue_cancel(b->jobs);
        for (int i = 0; i < b->n_workers; i++)
            rq_thread_join(&b->workers[i]);
        rq_queue_destroy(&b->jobs);
    }
    for (int i = 0; i < MAX_THREADS; i++)
        rq_encoder_destroy(&b->encoders[i]);
    for (size_t i = 0; i < b->n_slots && b->slots; i++) {
        rq_buf_free(&b->slots[i].data);
        rq_encoded_fini(&b->slots[i].out);
    }
    rq_free(b->slots);
    rq_shard_writer_abort(&b->shard);
    rq_atomic_file_abort(&b->report);
    rq_folder_close(&b->folder, failed);
    rq_manifest_free(&b->manifest);
    pthread_cond_destroy(&b->changed);
    pthread_mutex_destroy(&b->lock);
    rq_free(b);
}

rq_status rq_build(const char *dir, rq_source *src, rq_masks *masks, const rq_build_opts *opts,
                   rq_build_result *result, rq_err *err)
{
    *result = (rq_build_result){0};
    build *b = rq_calloc(1, sizeof *b);
    if (!b)
        return rq_fail(err, RQ_OOM, "out of memory for the build");
    b->opts = opts;
    b->src = src;
    b->result = result;
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->changed, NULL);
    rq_status st = begin(b, dir, masks, err);
    if (st == RQ_OK)
        st = pump(b, err);
    if (st == RQ_OK)
        st = finish(b, err);
    end(b, st != RQ_OK);
    return st;
}
