// SPDX-License-Identifier: Apache-2.0
//
// Threads that turn a dataset into batches. Work is handed out one image at a time in the order
// of the batches, under one lock; reading, decoding and cutting happen outside it, straight
// into the slot that the consumer will get. Batch number b always lives in slot b % slots, so
// order needs no sorting. Whatever goes wrong with an image is noted in its slot and comes out
// of next when that batch is due: the same error at the same batch for any number of threads.
#include "augment/stream.h"
#include "common/clock.h"
#include "common/cpu.h"
#include "common/pool.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

typedef enum slot_state { SLOT_FREE, SLOT_FILLING, SLOT_READY, SLOT_HELD } slot_state;

typedef struct slot {
    slot_state state;
    int pending;           /* images not finished yet */
    uint64_t first_ticket; /* place of image 0 in the epoch's order */
    uint64_t bad;          /* samples of this batch that were damaged */
    int trouble_image;     /* image that `trouble` is about, -1: none */
    bool failed;           /* trouble was not overcome */
    rq_err trouble;
    rq_batch batch;
    uint8_t *data; /* from the consumer's allocator */
    uint64_t *ids;
    int32_t *labels;
    rq_view_params *params;
} slot;

typedef struct worker {
    rq_stream *stream;
    rq_thread *thread;
    rq_reader *reader;
    rq_view_maker *maker;
    rq_image image, mask;
} worker;

struct rq_stream {
    const rq_dataset *ds;
    rq_recipe recipe;
    rq_stream_opts o;
    uint64_t count, steps;
    uint64_t total;                     /* batches from the start position on */
    size_t group_offset[RQ_MAX_GROUPS]; /* in a slot's data */
    size_t slot_bytes;
    slot *slots;
    worker *workers;

    pthread_mutex_t lock; /* of everything below, and of the slots' states */
    pthread_cond_t room;  /* a slot became free, or stop */
    pthread_cond_t ready; /* a slot became ready */
    bool stop;
    uint64_t fill;  /* batch being handed out */
    int fill_image; /* its next image */
    uint64_t due;   /* batch that next gives */
    rq_err end;     /* what next answers from now on, once it failed */
    rq_stream_stats stats;
};

/* What became of one image. */
typedef struct outcome {
    rq_status status;
    uint64_t bad;
    rq_err err;
    uint64_t read_ns, decode_ns, views_ns;
} outcome;

void rq_stream_opts_default(rq_stream_opts *o)
{
    *o = (rq_stream_opts){.batch = 256,
                          .slots = 3,
                          .world = 1,
                          .drop_last = true,
                          .cpu_flags = RQ_CPU_ALL,
                          .allocator = rq_default_allocator()};
}

/* ---- positions ----------------------------------------------------------------------- */

static rq_position position_of(const rq_stream *s, uint64_t batch)
{
    const uint64_t step = s->o.start.step + batch;
    return (rq_position){s->o.start.epoch + (uint32_t)(step / s->steps), step % s->steps};
}

/* This rank's images of a batch: how many, and the ticket of the first. */
static int share_of(const rq_stream *s, rq_position at, uint64_t *first)
{
    const uint64_t begin = at.step * (uint64_t)s->o.batch, left = s->count - begin;
    const uint64_t n = left < (uint64_t)s->o.batch ? left : (uint64_t)s->o.batch;
    const uint64_t rank = (uint64_t)s->o.rank, world = (uint64_t)s->o.world;
    const uint64_t low = n * rank / world, high = n * (rank + 1) / world;
    *first = begin + low;
    return (int)(high - low);
}

static uint64_t place_of(const rq_stream *s, uint32_t epoch, uint64_t ticket)
{
    return s->o.order == RQ_ORDER_SEQUENTIAL
               ? ticket
               : rq_order_place(s->o.seed, epoch, s->count, ticket);
}

/* ---- one image ----------------------------------------------------------------------- */

/* The sample itself is at fault, not the machine: another one can take its place. */
static bool is_damage(rq_status st)
{
    return st == RQ_BAD_FORMAT || st == RQ_BAD_CHECKSUM || st == RQ_TRUNCATED ||
           st == RQ_CORRUPT_IMAGE || st == RQ_UNSUPPORTED || st == RQ_LIMIT;
}

/* Draws all views of the sample into the slot; true when one wants the mask. */
static bool draw_views(const rq_stream *s, slot *b, int image, const rq_sample *sample,
                       bool has_mask)
{
    bool wanted = false;
    for (int v = 0; v < rq_recipe_views(&s->recipe); v++) {
        rq_view_params *p = &b->params[(size_t)v * (size_t)b->batch.images + (size_t)image];
        const rq_view_key key = {s->o.seed, b->batch.position.epoch, sample->id, v};
        rq_view_draw(p, &s->recipe, &key, sample->width, sample->height, has_mask);
        wanted = wanted || p->masked;
    }
    return wanted;
}

static rq_status make_views(worker *w, slot *b, int image, rq_err *err)
{
    const rq_stream *s = w->stream;
    for (int v = 0; v < rq_recipe_views(&s->recipe); v++) {
        const rq_view_params *p =
            &b->params[(size_t)v * (size_t)b->batch.images + (size_t)image];
        const rq_batch_group *g = &b->batch.group[p->group];
        const size_t bytes = (size_t)g->size * (size_t)g->size * 3;
        const size_t at = (size_t)p->view_in_group * (size_t)b->batch.images + (size_t)image;
        RQ_TRY(rq_view_make(w->maker, &w->image, &w->mask, p, g->data + at * bytes, err));
    }
    return RQ_OK;
}

static rq_status decode(worker *w, slot *b, int image, const rq_sample *sample, rq_err *err)
{
    const rq_stream *s = w->stream;
    RQ_TRY(rq_reader_decode(w->reader, sample, &w->image, err));
    if (w->image.width != sample->width || w->image.height != sample->height)
        return rq_fail(
            err, RQ_BAD_FORMAT,
            "sample %s is %dx%d, but its index entry says %dx%d; run 'rq-pack verify'",
            sample->key, w->image.width, w->image.height, sample->width, sample->height);
    if (!draw_views(s, b, image, sample, sample->mask != NULL))
        return RQ_OK;
    RQ_TRY(rq_reader_decode_mask(w->reader, sample, &w->mask, err));
    if (!rq_mask_usable(&s->recipe, &w->mask))
        draw_views(s, b, image, sample, false);
    return RQ_OK;
}

/* All of one sample: read, decode, cut. */
static rq_status make_sample(worker *w, slot *b, int image, uint64_t place, outcome *out)
{
    rq_sample sample;
    const uint64_t t0 = rq_clock_thread_cpu_ns();
    rq_status st = rq_reader_get(w->reader, place, &sample, &out->err);
    const uint64_t t1 = rq_clock_thread_cpu_ns();
    out->read_ns += t1 - t0;
    if (st != RQ_OK)
        return st;
    st = decode(w, b, image, &sample, &out->err);
    const uint64_t t2 = rq_clock_thread_cpu_ns();
    out->decode_ns += t2 - t1;
    if (st != RQ_OK)
        return st;
    b->ids[image] = sample.id;
    b->labels[image] = sample.label;
    st = make_views(w, b, image, &out->err);
    out->views_ns += rq_clock_thread_cpu_ns() - t2;
    return st;
}

/* A damaged sample is replaced by the next one of the epoch's order, around its end, whatever
 * the other images of the batch are: which one depends on the dataset alone. */
static void make_image(worker *w, slot *b, int image, outcome *out)
{
    const rq_stream *s = w->stream;
    const uint64_t ticket = b->first_ticket + (uint64_t)image;
    rq_err first = {0};
    *out = (outcome){.status = RQ_OK};
    for (uint64_t attempt = 0; attempt < s->count; attempt++) {
        const uint64_t place =
            place_of(s, b->batch.position.epoch, (ticket + attempt) % s->count);
        rq_err_clear(&out->err);
        out->status = make_sample(w, b, image, place, out);
        if (!is_damage(out->status))
            break;
        rq_err_prefix(&out->err, "sample at place %llu", (unsigned long long)place);
        if (out->bad++ == 0)
            first = out->err;
        if (out->bad > s->o.bad_budget)
            break;
        rq_log(&s->o.log, RQ_LOG_WARN, "%s; replaced by the next sample", out->err.text);
    }
    if (out->status == RQ_OK || is_damage(out->status))
        out->err = first;
}

/* ---- workers ------------------------------------------------------------------------- */

static void open_slot(rq_stream *s, slot *b)
{
    rq_batch *batch = &b->batch;
    batch->position = position_of(s, s->fill);
    batch->images = share_of(s, batch->position, &b->first_ticket);
    b->pending = batch->images;
    b->bad = 0;
    b->trouble_image = -1;
    b->failed = false;
    b->state = batch->images > 0 ? SLOT_FILLING : SLOT_READY;
}

/* The next image to make, in order; false when there is nothing more to do. */
static bool take_image(rq_stream *s, slot **b, int *image)
{
    bool taken = false;
    pthread_mutex_lock(&s->lock);
    while (!taken && !s->stop && s->fill < s->total) {
        *b = &s->slots[s->fill % (uint64_t)s->o.slots];
        if (s->fill_image == 0 && (*b)->state != SLOT_FREE) {
            const uint64_t t = rq_clock_ns();
            pthread_cond_wait(&s->room, &s->lock);
            s->stats.worker_wait_ns += rq_clock_ns() - t;
            continue;
        }
        if (s->fill_image == 0)
            open_slot(s, *b);
        taken = (*b)->batch.images > 0;
        *image = s->fill_image;
        if (taken)
            s->fill_image++;
        else
            pthread_cond_signal(&s->ready);
        if (s->fill_image == (*b)->batch.images) {
            s->fill++;
            s->fill_image = 0;
        }
    }
    pthread_mutex_unlock(&s->lock);
    return taken;
}

static void finish_image(rq_stream *s, slot *b, int image, const outcome *out)
{
    pthread_mutex_lock(&s->lock);
    const bool failed = out->status != RQ_OK;
    // Kept is the gravest trouble, then the earliest image's.
    if ((failed || out->bad > 0) && (b->trouble_image < 0 || failed > b->failed ||
                                     (failed == b->failed && image < b->trouble_image))) {
        b->trouble = out->err;
        b->trouble_image = image;
        b->failed = failed;
    }
    b->bad += out->bad;
    s->stats.images_made++;
    s->stats.read_ns += out->read_ns;
    s->stats.decode_ns += out->decode_ns;
    s->stats.views_ns += out->views_ns;
    if (--b->pending == 0) {
        b->state = SLOT_READY;
        pthread_cond_signal(&s->ready);
    }
    pthread_mutex_unlock(&s->lock);
}

static void worker_main(void *ctx)
{
    worker *w = ctx;
    slot *b;
    int image;
    outcome out;
    while (take_image(w->stream, &b, &image)) {
        make_image(w, b, image, &out);
        finish_image(w->stream, b, image, &out);
    }
}

/* ---- opening ------------------------------------------------------------------------- */

static rq_status check_opts(const rq_stream_opts *o, rq_err *err)
{
    if (o->batch < 1 || o->world < 1 || o->rank < 0 || o->rank >= o->world)
        return rq_fail(err, RQ_INVALID_ARG,
                       "stream: batch %d, rank %d of %d: the batch has to be positive and the "
                       "rank below the number of ranks",
                       o->batch, o->rank, o->world);
    if (o->batch % o->world != 0)
        return rq_fail(
            err, RQ_INVALID_ARG,
            "stream: a batch of %d cannot be shared by %d ranks; use a multiple of %d",
            o->batch, o->world, o->world);
    if (o->slots < 2 || o->slots > 1024 || o->threads < 0 || o->threads > 1024)
        return rq_fail(
            err, RQ_INVALID_ARG,
            "stream: %d slots and %d threads; slots are 2 to 1024, threads 0 to 1024", o->slots,
            o->threads);
    return RQ_OK;
}

static rq_status check_masks(const rq_stream *s, rq_err *err)
{
    const uint64_t masks = rq_dataset_masks(s->ds);
    if (!(s->recipe.p_mask > 0) || s->recipe.group[0].views == 0 || s->o.allow_missing_masks ||
        masks >= s->count)
        return RQ_OK;
    return rq_fail(
        err, RQ_INVALID_ARG,
        "stream: %llu of %llu samples have no mask, but the recipe removes backgrounds "
        "(p_mask %g); pack with --masks, use --p-mask 0, or --allow-missing-masks",
        (unsigned long long)(s->count - masks), (unsigned long long)s->count,
        (double)s->recipe.p_mask);
}

/* Number of steps, and of batches from the start position on. */
static rq_status plan_steps(rq_stream *s, rq_err *err)
{
    const uint64_t batch = (uint64_t)s->o.batch;
    const rq_position start = s->o.start;
    s->count = rq_dataset_count(s->ds);
    s->steps = s->o.drop_last ? s->count / batch : (s->count + batch - 1) / batch;
    if (s->steps == 0)
        return rq_fail(
            err, RQ_INVALID_ARG,
            "stream: %llu samples do not fill one batch of %d; use a smaller batch or "
            "keep the short last batch",
            (unsigned long long)s->count, s->o.batch);
    if (start.step > s->steps)
        return rq_fail(
            err, RQ_INVALID_ARG,
            "stream: start at step %llu, but an epoch has %llu; was the batch size or "
            "the dataset changed?",
            (unsigned long long)start.step, (unsigned long long)s->steps);
    if (s->o.epochs == 0)
        s->total = UINT64_MAX;
    else if (start.epoch < s->o.epochs)
        s->total = (s->o.epochs - start.epoch) * s->steps - start.step;
    return RQ_OK;
}

/* Where the groups lie in a slot, and how large it is. */
static rq_status plan_slot(rq_stream *s, rq_err *err)
{
    const size_t images = (size_t)(s->o.batch / s->o.world);
    for (int g = 0; g < RQ_MAX_GROUPS; g++) {
        const rq_view_group *v = &s->recipe.group[g];
        size_t bytes;
        s->group_offset[g] = s->slot_bytes;
        if (!rq_mul_size(&bytes, images * (size_t)v->views,
                         (size_t)v->size * (size_t)v->size * 3) ||
            !rq_add_size(&s->slot_bytes, s->slot_bytes, rq_round_up(bytes, RQ_ALIGN)))
            return rq_fail(err, RQ_LIMIT, "stream: a batch of %d images is too large",
                           s->o.batch);
    }
    return RQ_OK;
}

/* What slots and workers need at most, going by the sizes in the index. */
static size_t planned_memory(const rq_stream *s)
{
    uint32_t width = 1, height = 1;
    size_t pixels = 0, coded = 0;
    for (uint64_t i = 0; i < s->count; i++) {
        const rq_index_entry *e = rq_dataset_entry(s->ds, i, NULL);
        const size_t area = (size_t)e->width * e->height;
        const size_t bytes = (size_t)e->stored_bytes + e->raw_bytes;
        width = e->width > width ? e->width : width;
        height = e->height > height ? e->height : height;
        pixels = area > pixels ? area : pixels;
        coded = bytes > coded ? bytes : coded;
    }
    const size_t per_image = sizeof(uint64_t) + sizeof(int32_t) +
                             (size_t)rq_recipe_views(&s->recipe) * sizeof(rq_view_params);
    const size_t slots =
        (size_t)s->o.slots * (s->slot_bytes + (size_t)(s->o.batch / s->o.world) * per_image);
    const size_t worker_bytes =
        rq_view_maker_memory(&s->recipe, (int)width, (int)height) + 3 * pixels + coded;
    return slots + (size_t)s->o.threads * worker_bytes;
}

static rq_status create_slot(rq_stream *s, slot *b, rq_err *err)
{
    const size_t images = (size_t)(s->o.batch / s->o.world);
    const size_t views = (size_t)rq_recipe_views(&s->recipe);
    b->data = s->o.allocator.alloc(s->o.allocator.cookie, s->slot_bytes);
    b->ids = rq_alloc(images, sizeof *b->ids);
    b->labels = rq_alloc(images, sizeof *b->labels);
    b->params = rq_alloc(images * views, sizeof *b->params);
    if (!b->data || !b->ids || !b->labels || !b->params)
        return rq_fail(err, RQ_OOM,
                       "stream: no memory for %d slots of %zu bytes; use a smaller batch or "
                       "fewer slots",
                       s->o.slots, s->slot_bytes);
    b->batch.ids = b->ids;
    b->batch.labels = b->labels;
    b->batch.params = b->params;
    for (int g = 0; g < RQ_MAX_GROUPS; g++) {
        const rq_view_group *v = &s->recipe.group[g];
        if (v->views > 0)
            b->batch.groups = g + 1;
        b->batch.group[g] = (rq_batch_group){
            .views = v->views, .size = v->size, .data = b->data + s->group_offset[g]};
    }
    return RQ_OK;
}

static rq_status start_worker(rq_stream *s, int i, rq_err *err)
{
    worker *w = &s->workers[i];
    char name[24];
    w->stream = s;
    RQ_TRY(rq_reader_create(&w->reader, s->ds, err));
    RQ_TRY(rq_view_maker_create(&w->maker, &s->recipe, s->o.cpu_flags, err));
    snprintf(name, sizeof name, "view-%02d", i);
    return rq_thread_start(&w->thread, name, worker_main, w, err);
}

static rq_status open_parts(rq_stream *s, rq_err *err)
{
    RQ_TRY(rq_recipe_check(&s->recipe, err));
    RQ_TRY(check_opts(&s->o, err));
    RQ_TRY(plan_steps(s, err));
    RQ_TRY(check_masks(s, err));
    RQ_TRY(plan_slot(s, err));
    if (s->o.threads == 0)
        s->o.threads = rq_cpu_count();
    s->slots = rq_calloc((size_t)s->o.slots, sizeof *s->slots);
    s->workers = rq_calloc((size_t)s->o.threads, sizeof *s->workers);
    if (!s->slots || !s->workers)
        return rq_fail(err, RQ_OOM, "stream: out of memory");
    s->stats.memory_bytes = planned_memory(s);
    for (int i = 0; i < s->o.slots; i++)
        RQ_TRY(create_slot(s, &s->slots[i], err));
    for (int i = 0; i < s->o.threads; i++)
        RQ_TRY(start_worker(s, i, err));
    return RQ_OK;
}

rq_status rq_stream_open(rq_stream **out, const rq_dataset *ds, const rq_recipe *recipe,
                         const rq_stream_opts *opts, rq_err *err)
{
    *out = NULL;
    rq_stream *s = rq_calloc(1, sizeof *s);
    if (!s)
        return rq_fail(err, RQ_OOM, "stream: out of memory");
    s->ds = ds;
    s->recipe = *recipe;
    s->o = *opts;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->room, NULL);
    pthread_cond_init(&s->ready, NULL);
    const rq_status st = open_parts(s, err);
    if (st != RQ_OK)
        rq_stream_close(&s);
    *out = s;
    return st;
}

/* ---- closing ------------------------------------------------------------------------- */

static void destroy_worker(worker *w)
{
    rq_thread_join(&w->thread);
    rq_reader_destroy(&w->reader);
    rq_view_maker_destroy(&w->maker);
    rq_image_free(&w->image);
    rq_image_free(&w->mask);
}

static void destroy_slot(const rq_stream *s, slot *b)
{
    if (b->data)
        s->o.allocator.free(s->o.allocator.cookie, b->data);
    rq_free(b->ids);
    rq_free(b->labels);
    rq_free(b->params);
}

void rq_stream_close(rq_stream **stream)
{
    rq_stream *s = *stream;
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_broadcast(&s->room);
    pthread_mutex_unlock(&s->lock);
    for (int i = 0; s->workers && i < s->o.threads; i++)
        destroy_worker(&s->workers[i]);
    for (int i = 0; s->slots && i < s->o.slots; i++)
        destroy_slot(s, &s->slots[i]);
    rq_free(s->workers);
    rq_free(s->slots);
    pthread_cond_destroy(&s->ready);
    pthread_cond_destroy(&s->room);
    pthread_mutex_destroy(&s->lock);
    rq_free(s);
    *stream = NULL;
}

/* ---- the consumer's side ------------------------------------------------------------- */

/* Whether the batch that is due may be given; s->end is filled otherwise. */
static rq_status judge(rq_stream *s, slot *b)
{
    const uint64_t bad = s->stats.bad_samples + b->bad;
    s->stats.bad_samples = bad;
    if (!b->failed && bad <= s->o.bad_budget)
        return RQ_OK;
    s->end = b->trouble;
    if (bad > s->o.bad_budget && s->o.bad_budget > 0)
        rq_err_prefix(&s->end, "more than %llu damaged samples, the last",
                      (unsigned long long)s->o.bad_budget);
    return s->end.status;
}

static rq_status wait_due(rq_stream *s, slot **due)
{
    if (s->end.status != RQ_OK)
        return s->end.status;
    if (s->due >= s->total)
        return RQ_END;
    slot *b = *due = &s->slots[s->due % (uint64_t)s->o.slots];
    if (b->state == SLOT_HELD)
        return RQ_INVALID_ARG;
    const uint64_t t = rq_clock_ns();
    // A slot still free or filling is reached by the workers: the batches before it are made.
    while (b->state != SLOT_READY)
        pthread_cond_wait(&s->ready, &s->lock);
    s->stats.consumer_wait_ns += rq_clock_ns() - t;
    RQ_TRY(judge(s, b));
    b->state = SLOT_HELD;
    s->due++;
    s->stats.batches++;
    s->stats.images += (uint64_t)b->batch.images;
    return RQ_OK;
}

rq_status rq_stream_next(rq_stream *s, const rq_batch **batch, rq_err *err)
{
    slot *b = NULL;
    *batch = NULL;
    pthread_mutex_lock(&s->lock);
    const rq_status st = wait_due(s, &b);
    pthread_mutex_unlock(&s->lock);
    if (st == RQ_OK)
        *batch = &b->batch;
    else if (s->end.status != RQ_OK && err && err->status == RQ_OK)
        *err = s->end;
    else if (st == RQ_INVALID_ARG)
        return rq_fail(err, st, "stream: all %d slots are held; release a batch first",
                       s->o.slots);
    return st;
}

void rq_stream_release(rq_stream *s, const rq_batch *batch)
{
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < s->o.slots; i++)
        if (&s->slots[i].batch == batch && s->slots[i].state == SLOT_HELD)
            s->slots[i].state = SLOT_FREE;
    pthread_cond_broadcast(&s->room);
    pthread_mutex_unlock(&s->lock);
}

uint64_t rq_stream_steps_per_epoch(const rq_stream *s)
{
    return s->steps;
}

rq_position rq_stream_position(const rq_stream *s)
{
    return position_of(s, s->due);
}

rq_stream_stats rq_stream_get_stats(rq_stream *s)
{
    pthread_mutex_lock(&s->lock);
    const rq_stream_stats stats = s->stats;
    pthread_mutex_unlock(&s->lock);
    return stats;
}
