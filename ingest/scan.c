// SPDX-License-Identifier: Apache-2.0
// The scan: the calling thread reads records into a ring of slots and takes them out again in
// the same order; workers in between decode. Before a worker decodes it reserves the memory
// that the header asks for from a budget that all share, so that many large images at once cost
// time and not memory.
#include "ingest/scan.h"

#include "common/pool.h"
#include "common/queue.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum {
    SLOTS_PER_THREAD = 8,
    MAX_THREADS = 256,
    IN_FLIGHT_BYTES = 128 << 20, /* of coded bytes, beyond the first record */
    KEEP_BYTES = 4 << 20,        /* larger buffers are given back after use */
    LOUD_WARNINGS = 20           /* of images; what comes then is only said when asked for */
};

/* Belongs to the main thread, between push and done to a worker. */
typedef struct slot {
    rq_record rec; /* data points into `data` */
    rq_buf data;
    rq_report_entry entry;
    rq_status status;
    rq_err err;
    bool done; /* under scan.lock */
} slot;

typedef struct scan scan;

typedef struct worker {
    scan *owner;
    rq_thread *thread;
    rq_decoder *decoder;
    rq_image img;
} worker;

struct scan {
    const rq_scan_opts *opts;
    rq_source *src;
    rq_report *report;
    rq_dedup *dedup; /* NULL: off */
    slot *slots;
    size_t n_slots;
    uint64_t head, tail; /* slots taken out, slots filled */
    uint64_t in_flight;  /* coded bytes in slots */
    uint64_t seen, seen_bytes;
    uint64_t warnings; /* of images, logged or not */
    rq_queue *jobs;
    worker *workers;
    int n_workers;
    uint64_t memory; /* of the budget for decodes, not reserved; under lock */
    pthread_mutex_t lock;
    pthread_cond_t done, freed;
};

void rq_scan_opts_default(rq_scan_opts *o)
{
    *o = (rq_scan_opts){.limits = rq_limits_default(), .dedup = RQ_DEDUP_REPORT};
}

/* ---- one image --------------------------------------------------------------------------- */

rq_status rq_scan_judge(rq_decoder *d, const rq_record *rec, rq_exif_mode exif, rq_image *img,
                        rq_report_entry *e, rq_err *err)
{
    rq_err trouble = {0};
    rq_image_info *info = &e->info;
    *e = (rq_report_entry){.name = rec->entry.name,
                           .class_name = rec->entry.class_name,
                           .label = rec->entry.label,
                           .bytes = rec->entry.bytes,
                           .duplicate_label = -1,
                           .info = {.orientation = 1}};
    rq_status st = rec->status;
    if (st != RQ_OK) {
        (void)rq_fail(&trouble, st, "%s", rec->reason);
    } else {
        e->hashed = true;
        e->content = rq_content_id_of(rec->data, rec->size);
        st = rq_decode(d, rec->data, rec->size, false, img, info, &trouble);
    }
    if (st == RQ_OOM || st == RQ_INTERNAL)
        return rq_fail(err, st, "'%s': %s", rec->entry.name, trouble.text);
    if (st == RQ_OK && !rq_codec_name_agrees(rec->entry.name, info->codec))
        info->notes |= RQ_NOTE_EXTENSION;
    if (st == RQ_OK && exif == RQ_EXIF_APPLY && (info->notes & RQ_NOTE_ORIENTATION) != 0)
        info->notes = (info->notes & ~(unsigned)RQ_NOTE_ORIENTATION) | RQ_NOTE_TURNED;
    rq_verdict_make(&e->verdict, st, trouble.text, info->notes, rq_decoder_warning(d));
    return RQ_OK;
}

/* ---- workers ----------------------------------------------------------------------------- */

/* What a decode of this record is going to take, at most the whole budget; 0 when its header is
 * no good, so that nothing will be allocated. */
static uint64_t memory_of(const scan *s, const rq_record *rec)
{
    rq_image_info info;
    rq_err ignored = {0};
    if (rec->status != RQ_OK ||
        rq_probe(rec->data, rec->size, &s->opts->limits, &info, &ignored) != RQ_OK)
        return 0;
    const uint64_t most = s->opts->limits.max_memory_bytes;
    return info.memory < most ? info.memory : most;
}

static void reserve(scan *s, uint64_t bytes)
{
    pthread_mutex_lock(&s->lock);
    while (s->memory < bytes)
        pthread_cond_wait(&s->freed, &s->lock);
    s->memory -= bytes;
    pthread_mutex_unlock(&s->lock);
}

static void finish_job(scan *s, slot *job, uint64_t bytes)
{
    pthread_mutex_lock(&s->lock);
    s->memory += bytes;
    job->done = true;
    pthread_cond_broadcast(&s->freed);
    pthread_cond_signal(&s->done); /* only the main thread waits */
    pthread_mutex_unlock(&s->lock);
}

static void work(void *ctx)
{
    worker *w = ctx;
    scan *s = w->owner;
    for (void *item; rq_queue_pop(s->jobs, &item) == RQ_OK;) {
        slot *job = item;
        const uint64_t bytes = memory_of(s, &job->rec);
        reserve(s, bytes);
        job->status = rq_scan_judge(w->decoder, &job->rec, s->opts->exif, &w->img, &job->entry,
                                    &job->err);
        if (w->img.storage_bytes > KEEP_BYTES)
            rq_image_free(&w->img);
        finish_job(s, job, bytes);
    }
}

static rq_status start_workers(scan *s, rq_err *err)
{
    const int wanted = s->opts->threads ? s->opts->threads : rq_cpu_count();
    const int n = wanted < MAX_THREADS ? wanted : MAX_THREADS;
    s->n_slots = (size_t)n * SLOTS_PER_THREAD;
    s->slots = rq_calloc(s->n_slots, sizeof *s->slots);
    s->workers = rq_calloc((size_t)n, sizeof *s->workers);
    if (s->slots == NULL || s->workers == NULL)
        return rq_fail(err, RQ_OOM, "out of memory for a scan by %d threads", n);
    RQ_TRY(rq_queue_create(&s->jobs, s->n_slots, 0, err));
    for (int i = 0; i < n; i++) {
        worker *w = &s->workers[i];
        char name[24];
        w->owner = s;
        s->n_workers++;
        snprintf(name, sizeof name, "scan-%02d", i);
        RQ_TRY(rq_decoder_create(&w->decoder, &s->opts->limits, err));
        RQ_TRY(rq_thread_start(&w->thread, name, work, w, err));
    }
    return RQ_OK;
}

/* ---- in order ---------------------------------------------------------------------------- */

static rq_status read_one(scan *s, bool *end, rq_err *err)
{
    slot *job = &s->slots[s->tail % s->n_slots];
    const rq_status st = rq_source_next(s->src, &job->rec, err);
    *end = st == RQ_END;
    if (st != RQ_OK)
        return *end ? RQ_OK : st;
    job->data.size = 0;
    if (job->rec.status == RQ_OK)
        RQ_TRY(rq_buf_append(&job->data, job->rec.data, job->rec.size, err));
    job->rec.data = job->data.data;
    job->done = false;
    job->err = (rq_err){0};
    s->in_flight += job->data.size;
    s->tail++;
    return rq_queue_push(s->jobs, job, 0);
}

/* Only images that can be used have duplicates: of two empty files none is a copy. */
static rq_status find_duplicate(scan *s, slot *job, rq_err *err)
{
    rq_report_entry *e = &job->entry;
    const uint64_t id = job->rec.entry.id;
    uint64_t first = id;
    if (s->dedup == NULL || !e->hashed || e->verdict.kind == RQ_VERDICT_REJECTED)
        return RQ_OK;
    RQ_TRY(rq_dedup_add(s->dedup, e->content, id, &first, err));
    if (first == id)
        return RQ_OK;
    const rq_entry original = rq_source_entry(s->src, first);
    e->duplicate_of = original.name;
    e->duplicate_label = original.label;
    e->dropped = s->opts->dedup == RQ_DEDUP_DROP;
    return RQ_OK;
}

/* A whole folder of damaged images must not bury everything else that was said. */
static rq_log_level warning_level(scan *s)
{
    if (s->warnings == LOUD_WARNINGS)
        rq_log(&s->opts->log, RQ_LOG_WARN,
               "further images are named in the report, and here only with --verbose");
    return s->warnings++ < LOUD_WARNINGS ? RQ_LOG_WARN : RQ_LOG_INFO;
}

static void log_verdict(scan *s, const rq_report_entry *e)
{
    const rq_verdict *v = &e->verdict;
    if (v->kind != RQ_VERDICT_OK)
        rq_log(&s->opts->log, v->kind == RQ_VERDICT_FIXED ? RQ_LOG_INFO : warning_level(s),
               "'%s' %s: %s", e->name, rq_verdict_name(v->kind), v->reason);
    if (e->duplicate_of != NULL)
        rq_log(&s->opts->log, RQ_LOG_INFO, "'%s' has the same bytes as '%s'", e->name,
               e->duplicate_of);
}

static rq_status take_out(scan *s, slot *job, rq_err *err)
{
    if (job->status != RQ_OK)
        return rq_fail(err, job->status, "%s", job->err.text);
    rq_report_entry *e = &job->entry;
    RQ_TRY(find_duplicate(s, job, err));
    log_verdict(s, e);
    RQ_TRY(rq_report_add(s->report, e, err));
    if (s->opts->seen != NULL)
        RQ_TRY(s->opts->seen(s->opts->seen_cookie, e,
                             job->rec.status == RQ_OK ? job->data.data : NULL, job->data.size,
                             err));
    if (e->verdict.kind == RQ_VERDICT_REJECTED && s->opts->stop_on_bad)
        return rq_fail(err, e->verdict.status, "'%s' cannot be used: %s", e->name,
                       e->verdict.reason);
    s->seen++;
    s->seen_bytes += e->bytes;
    if (s->opts->progress != NULL)
        s->opts->progress(s->opts->progress_cookie, s->seen, rq_source_count(s->src),
                          s->seen_bytes);
    return RQ_OK;
}

static void release(scan *s, slot *job)
{
    s->in_flight -= job->data.size;
    if (job->data.cap > KEEP_BYTES)
        rq_buf_free(&job->data);
    s->head++;
}

static slot *wait_oldest(scan *s)
{
    slot *job = &s->slots[s->head % s->n_slots];
    pthread_mutex_lock(&s->lock);
    while (!job->done)
        pthread_cond_wait(&s->done, &s->lock);
    pthread_mutex_unlock(&s->lock);
    return job;
}

static bool room(const scan *s)
{
    return s->tail - s->head < s->n_slots &&
           (s->tail == s->head || s->in_flight < IN_FLIGHT_BYTES);
}

static rq_status pump(scan *s, rq_err *err)
{
    bool end = false;
    while (!end || s->head != s->tail) {
        if (s->opts->cancel != NULL && *s->opts->cancel)
            return rq_fail(err, RQ_CANCELLED,
                           "interrupted after %" PRIu64 " of %" PRIu64
                           " images; no report was written",
                           s->seen, rq_source_count(s->src));
        if (!end && room(s)) {
            RQ_TRY(read_one(s, &end, err));
            continue;
        }
        slot *job = wait_oldest(s);
        RQ_TRY(take_out(s, job, err));
        release(s, job);
    }
    return RQ_OK;
}

static void stop(scan *s)
{
    if (s->jobs != NULL)
        rq_queue_cancel(s->jobs);
    for (int i = 0; i < s->n_workers; i++) {
        rq_thread_join(&s->workers[i].thread);
        rq_decoder_destroy(&s->workers[i].decoder);
        rq_image_free(&s->workers[i].img);
    }
    if (s->jobs != NULL)
        rq_queue_destroy(&s->jobs);
    for (size_t i = 0; i < s->n_slots && s->slots != NULL; i++)
        rq_buf_free(&s->slots[i].data);
    rq_free(s->slots);
    rq_free(s->workers);
    rq_dedup_destroy(&s->dedup);
}

rq_status rq_scan(rq_source *src, const rq_scan_opts *opts, rq_report *report, rq_err *err)
{
    scan s = {.opts = opts,
              .src = src,
              .report = report,
              .memory = opts->limits.max_memory_bytes,
              .lock = PTHREAD_MUTEX_INITIALIZER,
              .done = PTHREAD_COND_INITIALIZER,
              .freed = PTHREAD_COND_INITIALIZER};
    rq_status st = RQ_OK;
    if (opts->dedup != RQ_DEDUP_OFF)
        st = rq_dedup_create(&s.dedup, err);
    if (st == RQ_OK)
        st = start_workers(&s, err);
    if (st == RQ_OK)
        st = pump(&s, err);
    stop(&s);
    pthread_cond_destroy(&s.freed);
    pthread_cond_destroy(&s.done);
    pthread_mutex_destroy(&s.lock);
    return st;
}
