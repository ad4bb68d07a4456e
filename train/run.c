// SPDX-License-Identifier: Apache-2.0
//
// The loop around the step. What happens at a step boundary happens in one order: metrics line,
// online evaluation, metrics to disk, checkpoint. A checkpoint of step n therefore implies that
// everything metrics.jsonl has to say up to step n is on disk, and a resumed run only cuts.
#include "train/run.h"

#include "common/clock.h"
#include "common/file.h"
#include "train/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

typedef struct run {
    rq_backend *backend;
    const rq_train_config *c;
    const rq_run_opts *o;
    rq_train_plan plan;
    uint64_t images, steps_per_epoch;
    rq_trainer *trainer;
    rq_stream *stream;
    rq_metrics *metrics, *timing;
    rq_run_result *result;
    rq_collapse_alarm alarm;
    uint64_t started_ns, reported_ns, reported_step, wait_ns, reported_wait_ns;
    uint64_t saved_step;
    int lock;          /* held while this process works in the folder; -1: none */
    bool eval_pending; /* the evaluation of the saved step was cut short */
} run;

void rq_run_opts_default(rq_run_opts *o)
{
    *o = (rq_run_opts){.keep = 2,
                       .eval_images = 20000,
                       .knn = {.k = 20, .tau = 0.07f},
                       .metrics_every = 1,
                       .report_every = 5};
}

bool rq_collapse_update(rq_collapse_alarm *a, double spread)
{
    a->streak = spread < RQ_COLLAPSE_SPREAD ? a->streak + 1 : 0;
    return a->streak == RQ_COLLAPSE_STEPS;
}

static double seconds_since(uint64_t ns)
{
    return (double)(rq_clock_ns() - ns) * 1e-9;
}

static bool stop_wanted(const run *r)
{
    return (r->o->stop != NULL && *r->o->stop) ||
           (r->o->max_time > 0 && seconds_since(r->started_ns) >= r->o->max_time);
}

/* ---- resume -------------------------------------------------------------------------------
 */

/* The value of "key = value" in text, its length in *n; NULL when there is no such line. */
static const char *config_value(const char *text, const char *key, size_t key_bytes, size_t *n)
{
    for (const char *line = text; line != NULL && *line != '\0';) {
        const char *end = strchrnul(line, '\n');
        if (strncmp(line, key, key_bytes) == 0 && strncmp(line + key_bytes, " = ", 3) == 0) {
            *n = (size_t)(end - line) - key_bytes - 3;
            return line + key_bytes + 3;
        }
        line = *end == '\0' ? NULL : end + 1;
    }
    *n = 0;
    return NULL;
}

static bool is_free(const char *key, size_t n, const char *const *free_keys)
{
    for (size_t i = 0; free_keys != NULL && free_keys[i] != NULL; i++) {
        if (strlen(free_keys[i]) == n && strncmp(free_keys[i], key, n) == 0)
            return true;
    }
    return false;
}

/* Differences of the keys of `a` against `b`; `swapped` when a is the newer one, and then only
 * keys that b does not have are news. */
static rq_status diff_keys(rq_buf *out, const char *a, const char *b, bool swapped,
                           const char *const *free_keys, rq_err *err)
{
    for (const char *line = a; *line != '\0';) {
        const char *end = strchrnul(line, '\n');
        const char *equals = strstr(line, " = ");
        if (equals != NULL && equals < end && *line != '#') {
            const size_t key = (size_t)(equals - line), n = (size_t)(end - equals) - 3;
            size_t m;
            const char *other = config_value(b, line, key, &m);
            const bool differs = other == NULL || m != n || strncmp(other, equals + 3, n) != 0;
            if (differs && !(swapped && other != NULL) && !is_free(line, key, free_keys))
                RQ_TRY(rq_buf_printf(
                    out, err, "%.*s: %.*s -> %.*s; ", (int)key, line, (int)(swapped ? m : n),
                    swapped ? (other ? other : "") : equals + 3, (int)(swapped ? n : m),
                    swapped ? equals + 3 : (other ? other : "")));
        }
        line = *end == '\0' ? end : end + 1;
    }
    return RQ_OK;
}

rq_status rq_config_diff(rq_buf *out, const char *before, const char *now,
                         const char *const *free_keys, rq_err *err)
{
    RQ_TRY(diff_keys(out, before, now, false, free_keys, err));
    return diff_keys(out, now, before, true, free_keys, err);
}

static rq_status check_same(const run *r, const rq_checkpoint *c, rq_err *err)
{
    rq_buf diff = {0};
    const char *config = rq_checkpoint_meta(c, "config");
    const char *data = rq_checkpoint_meta(c, "dataset");
    rq_status st = RQ_OK;
    if (config != NULL && r->o->config_text != NULL)
        st = rq_config_diff(&diff, config, r->o->config_text, r->o->free_keys, err);
    if (st == RQ_OK && data != NULL && strcmp(data, rq_dataset_hash(r->o->data)) != 0)
        st = rq_buf_printf(&diff, err, "dataset: %.12s... -> %.12s...; ", data,
                           rq_dataset_hash(r->o->data));
    if (st == RQ_OK && diff.size >= 2) {
        diff.data[diff.size - 2] = '\0';
        if (r->o->force_resume)
            rq_log(&r->o->log, RQ_LOG_WARN, "resuming although this differs: %s", diff.data);
        else
            st = rq_fail(err, RQ_INVALID_ARG,
                         "the run in %.200s was started otherwise (%.400s); use the same "
                         "options, another --out, or --force-resume",
                         r->o->out, (const char *)diff.data);
    }
    rq_buf_free(&diff);
    return st;
}

/* A damaged newer checkpoint would count as one of the newest: it gets another name. */
static rq_status set_aside(const run *r, uint64_t step, rq_err *err)
{
    uint64_t *steps;
    size_t n;
    rq_status st = rq_checkpoint_list(&steps, &n, r->o->out, err);
    for (size_t i = 0; i < n && st == RQ_OK; i++) {
        if (steps[i] <= step)
            continue;
        char *name = rq_checkpoint_name(r->o->out, steps[i]), away[4096];
        if (name == NULL)
            st = rq_fail(err, RQ_OOM, "no memory to list checkpoints");
        else if (snprintf(away, sizeof away, "%s.damaged", name) < 0 || rename(name, away) != 0)
            st = rq_fail_errno(err, "cannot rename the damaged checkpoint %.300s", name);
        rq_free(name);
    }
    rq_free(steps);
    return st;
}

static rq_status resume(run *r, rq_err *err)
{
    rq_checkpoint *c = NULL;
    uint64_t *steps;
    size_t n;
    RQ_TRY(rq_checkpoint_list(&steps, &n, r->o->out, err));
    rq_free(steps);
    if (n == 0)
        return RQ_OK;
    RQ_TRY(rq_checkpoint_open_latest(&c, r->o->out, &r->o->log, err));
    rq_status st = check_same(r, c, err);
    if (st == RQ_OK)
        st = rq_trainer_load(r->trainer, c, err);
    if (st == RQ_OK)
        st = set_aside(r, rq_checkpoint_step(c), err);
    if (st == RQ_OK) {
        const char *pending = rq_checkpoint_meta(c, "eval_pending");
        r->eval_pending = pending != NULL && strcmp(pending, "1") == 0;
        snprintf(r->result->checkpoint, sizeof r->result->checkpoint, "%s",
                 rq_checkpoint_path(c));
        rq_log(&r->o->log, RQ_LOG_INFO, "resuming from %s, step %" PRIu64 " of %" PRIu64,
               rq_checkpoint_path(c), rq_trainer_done(r->trainer), r->plan.steps);
    }
    rq_checkpoint_close(&c);
    return st;
}

/* ---- what happens at a step boundary ------------------------------------------------------
 */

static double epoch_of(const run *r, uint64_t step)
{
    return (double)step * r->c->batch / (double)r->images;
}

static rq_status write_metrics(run *r, const rq_step_stats *s, rq_err *err)
{
    const uint64_t step = rq_trainer_done(r->trainer);
    const rq_metric values[] = {{"epoch", epoch_of(r, step)},
                                {"loss", s->terms.loss},
                                {"contrastive", s->terms.contrastive},
                                {"invariance", s->terms.invariance},
                                {"agreement", s->terms.agreement},
                                {"std", s->terms.spread},
                                {"lr", s->lr},
                                {"ema", s->ema},
                                {"grad_norm", s->grad_norm},
                                {"weight_norm", s->weight_norm}};
    return rq_metrics_write(r->metrics, step, values, sizeof values / sizeof *values, err);
}

static rq_status save(run *r, rq_err *err)
{
    const uint64_t step = rq_trainer_done(r->trainer);
    char epoch[24], place[24], seed[24];
    snprintf(epoch, sizeof epoch, "%" PRIu64, step / r->steps_per_epoch);
    snprintf(place, sizeof place, "%" PRIu64, step % r->steps_per_epoch);
    snprintf(seed, sizeof seed, "%" PRIu64, r->c->seed);
    const rq_st_meta extra[] = {
        {"config", r->o->config_text != NULL ? r->o->config_text : ""},
        {"dataset", rq_dataset_hash(r->o->data)},
        {"seed", seed},
        {"epoch", epoch},
        {"position", place},
        {"eval_pending", r->eval_pending ? "1" : "0"},
        {"backend", rq_backend_describe(r->backend)},
    };
    RQ_TRY(rq_metrics_sync(r->metrics, err));
    RQ_TRY(rq_metrics_sync(r->timing, err));
    char *path = rq_checkpoint_name(r->o->out, step);
    if (path == NULL)
        return rq_fail(err, RQ_OOM, "no memory to save a checkpoint");
    const rq_status st =
        rq_trainer_save(r->trainer, path, extra, sizeof extra / sizeof *extra, err);
    if (st == RQ_OK)
        snprintf(r->result->checkpoint, sizeof r->result->checkpoint, "%s", path);
    rq_free(path);
    RQ_TRY(st);
    r->saved_step = step;
    return rq_checkpoint_prune(r->o->out, r->o->keep, err);
}

/* Splits every tenth row off as queries; both share f's memory order, so rows move. */
static rq_status split(rq_features *f, rq_features *queries, rq_err *err)
{
    const size_t width = (size_t)f->width, n = (f->count + 9) / 10;
    queries->rows = rq_alloc(n * width, sizeof *queries->rows);
    queries->labels = rq_alloc(n, sizeof *queries->labels);
    queries->width = f->width;
    if (queries->rows == NULL || queries->labels == NULL)
        return rq_fail(err, RQ_OOM, "no memory for the online evaluation");
    size_t kept = 0;
    for (size_t i = 0; i < f->count; i++) {
        rq_features *to = i % 10 == 0 ? queries : f;
        const size_t at = i % 10 == 0 ? queries->count++ : kept++;
        memmove(to->rows + at * width, f->rows + i * width, width * sizeof *f->rows);
        to->labels[at] = f->labels[i];
    }
    f->count = kept;
    return RQ_OK;
}

static rq_status knn(const run *r, rq_features *bank, rq_features *queries, double *top1,
                     rq_err *err)
{
    const rq_weights w = rq_trainer_weights(r->trainer);
    const rq_feature_source src = {.backend = r->backend,
                                   .model = rq_trainer_model(r->trainer),
                                   .values = w.values,
                                   .state = w.state};
    rq_feature_opts fo;
    rq_feature_opts_default(&fo);
    fo.threads = r->o->threads;
    fo.stop = r->o->stop;
    fo.limit = r->o->eval_images;
    fo.order = RQ_ORDER_SHUFFLE;
    fo.bad_budget = r->o->bad_budget;
    fo.log = r->o->log;
    rq_knn_result result;
    RQ_TRY(rq_features_extract(bank, &src, r->o->data, &r->o->eval_recipe, &fo, err));
    if (r->o->val != NULL)
        RQ_TRY(rq_features_extract(queries, &src, r->o->val, &r->o->eval_recipe, &fo, err));
    else
        RQ_TRY(split(bank, queries, err));
    rq_features_normalise(bank);
    rq_features_normalise(queries);
    RQ_TRY(rq_knn_classify(&result, bank, queries, rq_dataset_classes(r->o->data), &r->o->knn,
                           err));
    *top1 = result.top1;
    return RQ_OK;
}

static rq_status evaluate(run *r, rq_err *err)
{
    rq_features bank = {0}, queries = {0};
    double top1 = 0;
    rq_err why = {0};
    const uint64_t step = rq_trainer_done(r->trainer);
    const rq_status st = knn(r, &bank, &queries, &top1, &why);
    rq_features_free(&bank);
    rq_features_free(&queries);
    r->eval_pending = st == RQ_CANCELLED;
    if (st == RQ_CANCELLED)
        return RQ_OK;
    if (st != RQ_OK)
        return rq_fail(err, st, "online kNN: %s", why.text);
    rq_log(&r->o->log, RQ_LOG_INFO, "step %" PRIu64 ": online kNN %.2f %%", step, 100 * top1);
    r->result->knn = top1;
    r->result->best_knn = top1 > r->result->best_knn ? top1 : r->result->best_knn;
    const rq_metric m[] = {{"epoch", epoch_of(r, step)}, {"knn", top1}};
    return rq_metrics_write(r->metrics, step, m, 2, err);
}

/* Does a boundary of `every` lie at this step, or is it the last one? */
static bool due(const run *r, double every)
{
    const uint64_t step = rq_trainer_done(r->trainer);
    return step == r->plan.steps ||
           floor((double)step / every) > floor((double)(step - 1) / every);
}

static bool eval_due(const run *r)
{
    return r->o->eval_every > 0 && due(r, r->o->eval_every * (double)r->images / r->c->batch);
}

static bool save_due(const run *r)
{
    return due(r, r->o->save_every > 0 ? (double)r->o->save_every : (double)r->steps_per_epoch);
}

static rq_status report(run *r, const rq_step_stats *s, rq_err *err)
{
    const uint64_t step = rq_trainer_done(r->trainer);
    const double span = seconds_since(r->reported_ns);
    if (span < r->o->report_every && step != r->plan.steps)
        return RQ_OK;
    const double steps = (double)(step - r->reported_step);
    const rq_run_report line = {
        .step = step,
        .steps = r->plan.steps,
        .epoch = epoch_of(r, step),
        .epochs = epoch_of(r, r->plan.steps),
        .stats = *s,
        .images_per_s = steps * r->c->batch / span,
        .data_wait = (double)(r->wait_ns - r->reported_wait_ns) * 1e-9 / span,
        .seconds = seconds_since(r->started_ns),
        .left = (double)(r->plan.steps - step) * span / steps,
    };
    const rq_metric values[] = {{"seconds", line.seconds},
                                {"images_per_s", line.images_per_s},
                                {"data_wait", line.data_wait}};
    r->reported_ns = rq_clock_ns();
    r->reported_step = step;
    r->reported_wait_ns = r->wait_ns;
    if (r->o->report != NULL)
        r->o->report(r->o->cookie, &line);
    return rq_metrics_write(r->timing, step, values, sizeof values / sizeof *values, err);
}

static rq_status watch_collapse(run *r, const rq_step_stats *s, rq_err *err)
{
    if (!rq_collapse_update(&r->alarm, s->terms.spread))
        return RQ_OK;
    const uint64_t step = rq_trainer_done(r->trainer);
    if (r->o->stop_on_collapse)
        return rq_fail(err, RQ_DIVERGED,
                       "the embeddings have collapsed: their spread was below %g of a healthy "
                       "one for %d steps, until step %" PRIu64
                       "; raise alpha or the EMA momentum, or lower the learning rate",
                       RQ_COLLAPSE_SPREAD, RQ_COLLAPSE_STEPS, step);
    rq_log(&r->o->log, RQ_LOG_WARN,
           "step %" PRIu64 ": the embeddings have collapsed, their spread was below %g of a "
           "healthy one for %d steps",
           step, RQ_COLLAPSE_SPREAD, RQ_COLLAPSE_STEPS);
    return RQ_OK;
}

/* ---- the loop -----------------------------------------------------------------------------
 */

/* The data failed, not the training: the steps done so far are sound, and kept. */
static rq_status data_failed(run *r, rq_status st, const char *why, rq_err *err)
{
    const uint64_t step = rq_trainer_done(r->trainer);
    rq_err unsaved = {0};
    if (step > 0 && r->saved_step != step && save(r, &unsaved) != RQ_OK)
        rq_log(&r->o->log, RQ_LOG_WARN, "step %" PRIu64 " could not be saved: %s", step,
               unsaved.text);
    if (st == RQ_OOM || st == RQ_INTERNAL || st == RQ_INVALID_ARG)
        return rq_fail(err, st, "%s", why);
    if (st == RQ_IO || st == RQ_NOT_FOUND)
        return rq_fail(err, st, "%s; run again to continue once it can be read", why);
    return rq_fail(err, st,
                   "%s; what rq-pack verify finds can be replaced: run again to continue, with "
                   "--bad-budget N for up to N damaged samples",
                   why);
}

static rq_status one_step(run *r, rq_step_stats *s, rq_err *err)
{
    const rq_batch *b;
    rq_err why = {0};
    const uint64_t asked = rq_clock_ns();
    const rq_status next = rq_stream_next(r->stream, &b, &why);
    r->wait_ns += rq_clock_ns() - asked;
    if (next == RQ_END)
        return rq_fail(err, RQ_INTERNAL, "the endless stream ended");
    if (next != RQ_OK)
        return data_failed(r, next, why.text, err);
    const rq_status st = rq_trainer_step(r->trainer, b, s, err);
    rq_stream_release(r->stream, b);
    RQ_TRY(st);
    r->result->images += (uint64_t)r->c->batch;
    return watch_collapse(r, s, err);
}

static rq_status boundary(run *r, const rq_step_stats *s, rq_err *err)
{
    const uint64_t step = rq_trainer_done(r->trainer);
    if (step % r->o->metrics_every == 0 || step == r->plan.steps)
        RQ_TRY(write_metrics(r, s, err));
    RQ_TRY(report(r, s, err));
    if (eval_due(r))
        RQ_TRY(evaluate(r, err));
    return save_due(r) ? save(r, err) : RQ_OK;
}

static rq_status loop(run *r, rq_err *err)
{
    rq_step_stats s;
    if (r->eval_pending) {
        RQ_TRY(evaluate(r, err));
        if (!r->eval_pending)
            RQ_TRY(save(r, err));
    }
    while (rq_trainer_done(r->trainer) < r->plan.steps) {
        if (stop_wanted(r)) {
            if (r->saved_step != rq_trainer_done(r->trainer))
                RQ_TRY(save(r, err));
            return RQ_SAVED;
        }
        RQ_TRY(one_step(r, &s, err));
        RQ_TRY(boundary(r, &s, err));
    }
    return r->eval_pending ? RQ_SAVED : RQ_OK;
}

static rq_status open_stream(run *r, rq_err *err)
{
    rq_stream_opts so;
    rq_stream_opts_default(&so);
    so.seed = r->c->seed;
    so.batch = r->c->batch;
    so.threads = r->o->threads;
    so.allow_missing_masks = r->o->allow_missing_masks;
    so.bad_budget = r->o->bad_budget;
    so.log = r->o->log;
    r->steps_per_epoch = r->images / (uint64_t)r->c->batch;
    const uint64_t done = rq_trainer_done(r->trainer);
    so.start.epoch = (uint32_t)(done / r->steps_per_epoch);
    so.start.step = done % r->steps_per_epoch;
    return rq_stream_open(&r->stream, r->o->data, &r->c->recipe, &so, err);
}

static rq_status in_folder(const run *r, const char *name, char **path, rq_err *err)
{
    *path = rq_path_join(r->o->out, name);
    return *path == NULL ? rq_fail(err, RQ_OOM, "no memory for a file name") : RQ_OK;
}

static rq_status open_metrics(const run *r, rq_metrics **m, const char *name, rq_err *err)
{
    char *path;
    RQ_TRY(in_folder(r, name, &path, err));
    /* An evaluation that is to be repeated may have got as far as its line the last time. */
    const char *again = r->eval_pending ? "knn" : NULL;
    const rq_status st = rq_metrics_open(m, path, rq_trainer_done(r->trainer), again, err);
    rq_free(path);
    return st;
}

/* Two processes in one folder would mix their metrics and prune each other's checkpoints. The
 * kernel gives the lock up with the process, however it ends; the empty file stays. */
static rq_status lock_folder(run *r, rq_err *err)
{
    char *path;
    RQ_TRY(in_folder(r, "lock", &path, err));
    rq_status st = RQ_OK;
    r->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (r->lock < 0)
        st = rq_fail_errno(err, "cannot open %.300s for writing", path);
    else if (flock(r->lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        st = rq_fail(err, RQ_INVALID_ARG,
                     "another process is training in %.300s: wait for its end, or use another "
                     "--out",
                     r->o->out);
    rq_free(path);
    return st;
}

static rq_status write_config(const run *r, rq_err *err)
{
    char *path;
    if (r->o->config_text == NULL)
        return RQ_OK;
    RQ_TRY(in_folder(r, "config.txt", &path, err));
    const rq_status st =
        rq_file_write_atomic(path, r->o->config_text, strlen(r->o->config_text), err);
    rq_free(path);
    return st;
}

static rq_status prepare(run *r, rq_err *err)
{
    r->images = rq_dataset_count(r->o->data);
    RQ_TRY(rq_train_plan_make(&r->plan, r->c, r->images, err));
    if (r->o->keep < 1 || r->o->metrics_every < 1)
        return rq_fail(err, RQ_INVALID_ARG, "keep and the interval of metrics must be >= 1");
    if (r->o->eval_every > 0 && rq_dataset_classes(r->o->data) < 2)
        return rq_fail(err, RQ_INVALID_ARG,
                       "online kNN needs a dataset with labels: use --eval-every 0");
    RQ_TRY(rq_mkdirs(r->o->out, err));
    RQ_TRY(lock_folder(r, err));
    RQ_TRY(rq_trainer_create(&r->trainer, r->backend, r->c, &r->plan, err));
    RQ_TRY(resume(r, err));
    r->result->first_step = r->saved_step = rq_trainer_done(r->trainer);
    r->result->steps = r->plan.steps;
    if (r->result->first_step == 0)
        r->saved_step = UINT64_MAX; /* nothing is on disk yet */
    RQ_TRY(write_config(r, err));
    RQ_TRY(open_metrics(r, &r->metrics, "metrics.jsonl", err));
    RQ_TRY(open_metrics(r, &r->timing, "timing.jsonl", err));
    return open_stream(r, err);
}

rq_status rq_run(rq_run_result *result, rq_backend *backend, const rq_train_config *config,
                 const rq_run_opts *o, rq_err *err)
{
    *result = (rq_run_result){.knn = -1, .best_knn = -1};
    run r = {.backend = backend, .c = config, .o = o, .result = result, .lock = -1};
    r.started_ns = r.reported_ns = rq_clock_ns();
    rq_status st = prepare(&r, err);
    r.reported_step = result->first_step;
    if (st == RQ_OK)
        st = loop(&r, err);
    result->step = r.trainer != NULL ? rq_trainer_done(r.trainer) : 0;
    result->seconds = seconds_since(r.started_ns);
    result->data_wait = (double)r.wait_ns * 1e-9 / result->seconds;
    rq_stream_close(&r.stream);
    rq_metrics_close(&r.metrics);
    rq_metrics_close(&r.timing);
    rq_trainer_destroy(&r.trainer);
    if (r.lock >= 0)
        close(r.lock);
    return st;
}
