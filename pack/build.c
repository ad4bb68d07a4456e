// SPDX-License-Identifier: Apache-2.0
// The build: one thread reads the source and writes the output, workers in between decode and
// encode. Records travel through a ring of slots; the writer takes them in reading order, so
// the bytes do not depend on the number of workers. What is in flight is bounded by the ring
// and by bytes. What is on disk, and how it survives a kill, is output.c's.
#include "pack/build.h"

#include "common/pool.h"
#include "common/queue.h"
#include "pack/duplicates.h"
#include "pack/key.h"
#include "pack/output.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <zstd.h>

enum {
    SLOTS_PER_THREAD = 8,
    MAX_THREADS = 256,
    IN_FLIGHT_BYTES = 256 << 20, // of source bytes, beyond the first record
    KEEP_BYTES = 4 << 20         // a slot's buffers above this are given back after use
};

typedef struct build build;

// A record on its way. Belongs to the main thread, between push and done to a worker.
typedef struct slot {
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
    rq_settings settings;
    rq_output *output;
    rq_duplicates *duplicates; // NULL without
    rq_build_result *result;
    uint64_t first, records; // this dataset's or part's range of the reading order
    slot *slots;
    size_t n_slots;
    uint64_t head, tail; // slots written, slots filled
    uint64_t in_flight;  // source bytes in slots
    uint64_t read, seen; // records of the range: read, written
    uint64_t seen_bytes;
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
    *o = (rq_build_opts){
        .shard_bytes = UINT64_C(1) << 30, .name = "data", .limits = rq_limits_default()};
    rq_encode_opts_default(&o->encode);
}

static rq_status check_name(const char *name, rq_err *err)
{
    char file[RQ_MAX_FILE_BYTES];
    rq_part part = {0};
    if (!rq_shard_prefix_valid(name))
        return rq_fail(err, RQ_INVALID_ARG,
                       "'%.80s' cannot be a dataset's name: use 1 to %d of A-Z a-z 0-9 _ -",
                       name, RQ_MAX_NAME_BYTES);
    snprintf(file, sizeof file, "%s-000000", name);
    if (rq_shard_file_parse(file, NULL, "", &part, NULL) && part.count > 0)
        return rq_fail(err, RQ_INVALID_ARG,
                       "'%.80s' cannot be a dataset's name: it ends like that of a part", name);
    return RQ_OK;
}

static rq_status check_opts(const rq_build_opts *o, rq_err *err)
{
    RQ_TRY(rq_encode_opts_check(&o->encode, err));
    if (o->shard_bytes == 0)
        return rq_fail(err, RQ_INVALID_ARG, "the shard size must not be 0");
    if (o->threads < 0 || o->threads > MAX_THREADS)
        return rq_fail(err, RQ_INVALID_ARG, "threads must be 0 to %d, not %d", MAX_THREADS,
                       o->threads);
    if (o->part.count < 0 || o->part.count > RQ_MAX_PARTS || o->part.index < 0 ||
        o->part.index > o->part.count || (o->part.count > 0 && o->part.index == 0))
        return rq_fail(err, RQ_INVALID_ARG, "there is no part %d of %d; parts are 1 to %d",
                       o->part.index, o->part.count, RQ_MAX_PARTS);
    if (o->part.count && o->dedup != RQ_DEDUP_OFF)
        return rq_fail(err, RQ_INVALID_ARG,
                       "a part does not know the images of the others: find duplicates with "
                       "`rq-ingest scan --dedup` first and leave them out with --exclude");
    return check_name(o->name, err);
}

/* ---- settings ---------------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, const void *data, size_t bytes)
{
    const uint64_t both[2] = {hash, rq_xxh3(data, bytes)};
    return rq_xxh3(both, sizeof both);
}

uint64_t rq_source_fingerprint(const rq_source *src)
{
    uint64_t hash = 0;
    for (int c = 0; c < rq_source_classes(src); c++) {
        const char *name = rq_source_class_name(src, c);
        hash = mix(hash, name, strlen(name));
    }
    for (uint64_t i = 0; i < rq_source_count(src); i++) {
        const rq_entry e = rq_source_entry(src, i);
        const uint64_t numbers[2] = {e.bytes, (uint64_t)(int64_t)e.label};
        hash = mix(mix(hash, e.name, strlen(e.name)), numbers, sizeof numbers);
    }
    return hash;
}

// All that the bytes depend on, under the names of the command line.
static rq_status list_settings(build *b, const rq_masks *masks, rq_err *err)
{
    static const char *const chroma[] = {"auto", "keep", "420", "444"};
    static const char *const dedup[] = {"off", "report", "drop"};
    const rq_build_opts *o = b->opts;
    const rq_encode_opts *e = &o->encode;
    rq_settings *s = &b->settings;
    RQ_TRY(rq_settings_add(s, err, "--name", "%s", o->name));
    RQ_TRY(rq_settings_add(s, err, "--encode", "%s", rq_encoding_name(e->encoding)));
    RQ_TRY(rq_settings_add(s, err, "--level", "%d",
                           e->level ? e->level : rq_encode_level(e->encoding)));
    RQ_TRY(rq_settings_add(s, err, "--long", "%d", e->long_side));
    RQ_TRY(rq_settings_add(s, err, "--short", "%d", e->short_side));
    RQ_TRY(rq_settings_add(s, err, "--quality", "%d", e->quality));
    RQ_TRY(rq_settings_add(s, err, "--chroma", "%s", chroma[e->chroma]));
    RQ_TRY(rq_settings_add(s, err, "--speed", "%d", e->avif_speed));
    RQ_TRY(rq_settings_add(s, err, "--exif", "%s", e->exif_apply ? "apply" : "ignore"));
    RQ_TRY(rq_settings_add(s, err, "--shard-size", "%" PRIu64, o->shard_bytes));
    RQ_TRY(rq_settings_add(s, err, "--dedup", "%s", dedup[o->dedup]));
    if (masks)
        RQ_TRY(rq_settings_add(s, err, "--masks", "%" PRIu64 " files, %016" PRIx64,
                               rq_masks_count(masks), rq_masks_fingerprint(masks)));
    else
        RQ_TRY(rq_settings_add(s, err, "--masks", "none"));
    RQ_TRY(rq_settings_add(s, err, "the source", "%s, %" PRIu64 " images, %016" PRIx64,
                           rq_layout_name(rq_source_layout(b->src)), rq_source_count(b->src),
                           rq_source_fingerprint(b->src)));
    RQ_TRY(rq_settings_add(s, err, "zstd", "%s", ZSTD_versionString()));
    return rq_settings_add(s, err, "rq-pack", "%s", RQ_VERSION);
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
    RQ_TRY(rq_queue_create(&b->jobs, b->n_slots, 0, err));
    for (int i = 0; i < n; i++)
        RQ_TRY(
            rq_encoder_create(&b->encoders[i], &b->opts->encode, &b->opts->limits, masks, err));
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
    *end = b->read == b->records;
    if (*end)
        return RQ_OK;
    const rq_status st = rq_source_next(b->src, &s->rec, err);
    if (st == RQ_END)
        return rq_fail(err, RQ_TRUNCATED,
                       "the source ended after %" PRIu64 " of %" PRIu64
                       " images; was it changed while it was read?",
                       b->first + b->read, rq_source_count(b->src));
    RQ_TRY(st);
    b->read++;
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

static void log_verdict(const build *b, const slot *s)
{
    const rq_verdict *v = &s->out.verdict;
    static const rq_log_level levels[RQ_VERDICT_COUNT] = {RQ_LOG_DEBUG, RQ_LOG_INFO,
                                                          RQ_LOG_WARN, RQ_LOG_WARN};
    if (v->kind != RQ_VERDICT_OK)
        rq_log(&b->opts->log, levels[v->kind], "'%s' %s: %s", s->rec.entry.name,
               rq_verdict_name(v->kind), v->reason);
}

static rq_status write_sample(build *b, const slot *s, rq_err *err)
{
    const rq_encoded *out = &s->out;
    rq_build_counts *c = &b->result->counts;
    c->samples++;
    c->source_bytes += s->data.size;
    c->fallbacks += out->fallback;
    c->masks += out->entry.flags & RQ_ENTRY_HAS_MASK;
    return rq_output_sample(b->output, &out->entry, out->frame.data, err);
}

static rq_status write_one(build *b, slot *s, rq_err *err)
{
    if (s->status != RQ_OK)
        return rq_fail(err, s->status, "%s", s->err.text);
    const rq_verdict *v = &s->out.verdict;
    rq_build_counts *c = &b->result->counts;
    bool duplicate = false;
    if (v->kind == RQ_VERDICT_REJECTED && b->opts->stop_on_bad)
        return rq_fail(err, s->out.reason ? s->out.reason : RQ_CORRUPT_IMAGE,
                       "'%s' cannot be used: %s; remove it, or let the build go on with "
                       "--on-bad reject",
                       s->rec.entry.name, v->reason);
    if (b->duplicates)
        RQ_TRY(rq_duplicates_see(b->duplicates, &s->rec, &s->out.report, &duplicate, err));
    const bool dropped = duplicate && b->opts->dedup == RQ_DEDUP_DROP;
    c->verdicts[v->kind]++;
    c->bad_masks += s->out.mask_failed;
    c->duplicates += duplicate;
    c->dropped += dropped;
    log_verdict(b, s);
    RQ_TRY(rq_output_report(b->output, s->out.report.data, s->out.report.size, err));
    if (v->kind != RQ_VERDICT_REJECTED && !dropped)
        RQ_TRY(write_sample(b, s, err));
    b->seen++;
    b->seen_bytes += s->rec.entry.bytes;
    RQ_TRY(rq_output_mark(b->output, b->seen, b->seen_bytes, c, err));
    if (b->opts->progress)
        b->opts->progress(b->opts->progress_cookie, b->seen, b->records, b->seen_bytes);
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
                           " images; run the same command again to go on behind the last "
                           "finished shard",
                           b->seen, b->records);
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

// The range of the reading order: parts differ by at most one image.
static void choose_range(build *b)
{
    const uint64_t count = rq_source_count(b->src);
    const uint64_t parts = b->opts->part.count ? (uint64_t)b->opts->part.count : 1;
    const uint64_t index = b->opts->part.count ? (uint64_t)b->opts->part.index : 1;
    b->first = rq_part_first(count, index, parts);
    b->records = rq_part_first(count, index + 1, parts) - b->first;
    b->result->records = b->records;
}

static void take_state(build *b, const rq_output_state *state)
{
    rq_build_result *r = b->result;
    r->counts = state->counts;
    r->kept_shards = r->shards = state->shards;
    r->kept_samples = state->counts.samples;
    r->stored_bytes = state->stored_bytes;
    r->was_complete = state->complete;
    memcpy(r->manifest_sha256, state->manifest_sha256, sizeof r->manifest_sha256);
    b->read = b->seen = state->records;
    b->seen_bytes = state->seen_bytes;
}

static rq_status watch_duplicates(build *b, rq_err *err)
{
    const char *lines;
    if (b->opts->dedup == RQ_DEDUP_OFF)
        return RQ_OK;
    RQ_TRY(rq_duplicates_create(&b->duplicates, b->src, b->opts->dedup == RQ_DEDUP_DROP, err));
    RQ_TRY(rq_output_lines(b->output, &lines, err));
    return b->seen ? rq_duplicates_recall(b->duplicates, lines, err) : RQ_OK;
}

static rq_status begin(build *b, const char *dir, rq_masks *masks, rq_err *err)
{
    rq_output_state state;
    RQ_TRY(check_opts(b->opts, err));
    if (rq_source_classes(b->src) > RQ_MAX_CLASSES)
        return rq_fail(err, RQ_LIMIT,
                       "the source has %d classes, a dataset holds at most %d; name the folder "
                       "above the class folders",
                       rq_source_classes(b->src), RQ_MAX_CLASSES);
    choose_range(b);
    RQ_TRY(list_settings(b, masks, err));
    const rq_output_plan plan = {.name = b->opts->name,
                                 .part = b->opts->part,
                                 .shard_bytes = b->opts->shard_bytes,
                                 .settings = &b->settings,
                                 .replace = b->opts->replace,
                                 .log = b->opts->log,
                                 .cancel = b->opts->cancel};
    RQ_TRY(rq_output_open(&b->output, dir, &plan, &state, err));
    take_state(b, &state);
    if (state.complete)
        return RQ_OK;
    if (b->seen > b->records)
        return rq_fail(err, RQ_BAD_FORMAT,
                       "the journal in '%s' counts more images than there are; give --force "
                       "to start over",
                       dir);
    RQ_TRY(watch_duplicates(b, err));
    if (b->first + b->seen > 0)
        RQ_TRY(rq_source_skip(b->src, b->first + b->seen, err));
    return start_workers(b, masks, err);
}

static rq_status fill_manifest(build *b, rq_manifest *m, rq_err *err)
{
    const rq_build_counts *c = &b->result->counts;
    const rq_encode_opts *e = &b->opts->encode;
    m->encoding = e->encoding;
    m->level = e->level ? e->level : rq_encode_level(e->encoding);
    m->first = b->first;
    m->records = b->records;
    m->samples = c->samples;
    m->masks = c->masks;
    m->fallbacks = c->fallbacks;
    memcpy(m->verdicts, c->verdicts, sizeof m->verdicts);
    m->source_images = rq_source_count(b->src);
    m->source_bytes = rq_source_bytes(b->src);
    m->source_passed_over = rq_source_passed_over(b->src);
    m->layout = rq_strdup(rq_layout_name(rq_source_layout(b->src)));
    m->created_by = rq_strdup("reliquary " RQ_VERSION);
    if (!m->layout || !m->created_by)
        return rq_fail(err, RQ_OOM, "out of memory for the manifest");
    for (int i = 0; i < rq_source_classes(b->src); i++)
        RQ_TRY(rq_manifest_add_class(m, rq_source_class_name(b->src, i), err));
    return RQ_OK;
}

static rq_status finish(build *b, rq_err *err)
{
    rq_manifest m = {0};
    if (b->result->counts.samples == 0 && b->opts->part.count == 0)
        return rq_fail(err, RQ_NOT_FOUND,
                       "none of the %" PRIu64
                       " images could be used, so no dataset was written; -v names each",
                       rq_source_count(b->src));
    rq_status st = fill_manifest(b, &m, err);
    if (st == RQ_OK)
        st = rq_output_commit(b->output, &m, rq_source_classes(b->src),
                              b->result->manifest_sha256, err);
    rq_manifest_free(&m);
    return st;
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
    rq_duplicates_destroy(&b->duplicates);
    if (b->output && !b->result->was_complete) {
        b->result->shards = rq_output_shards(b->output);
        b->result->stored_bytes = rq_output_bytes(b->output);
    }
    rq_output_close(&b->output, failed);
    rq_settings_free(&b->settings);
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
    if (st == RQ_OK && !result->was_complete)
        st = pump(b, err);
    if (st == RQ_OK && !result->was_complete)
        st = finish(b, err);
    end(b, st != RQ_OK);
    return st;
}
