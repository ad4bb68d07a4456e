// SPDX-License-Identifier: Apache-2.0
//
// Maps a model's flat buffers to named tensors and back. One list of slots describes a file;
// writing, reading and exporting walk it. The only change on the way is the layout of
// convolution weights: KRSC in memory, OIHW in the file.
#include "train/checkpoint.h"

#include "common/file.h"
#include "common/mem.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FORMAT_NAME "reliquary-checkpoint"
enum { FORMAT_VERSION = 1 };

/* ---- slots --------------------------------------------------------------------------------
 */

typedef struct slot {
    float *data;          /* NULL for a counter */
    size_t count;         /* floats */
    const rq_param *conv; /* convolution weights change layout */
    int64_t counter;
} slot;

typedef struct slots {
    rq_st_tensor *tensors;
    slot *slots;
    size_t n, cap;
} slots;

static void slots_free(slots *s)
{
    rq_free(s->tensors);
    rq_free(s->slots);
}

/* Room for everything a model can give: three copies of parameters, two of state. */
static rq_status slots_init(slots *s, const rq_model *m, rq_err *err)
{
    s->cap = 3 * rq_model_params(m) + 6 * rq_model_bns(m);
    s->tensors = rq_calloc(s->cap, sizeof *s->tensors);
    s->slots = rq_calloc(s->cap, sizeof *s->slots);
    return s->tensors == NULL || s->slots == NULL
               ? rq_fail(err, RQ_OOM, "no memory for a checkpoint")
               : RQ_OK;
}

static rq_st_tensor *push(slots *s, const char *prefix, const char *name, const char *leaf,
                          rq_st_dtype dtype)
{
    rq_st_tensor *t = &s->tensors[s->n++];
    snprintf(t->name, sizeof t->name, "%s%s%s", prefix, name, leaf);
    t->dtype = dtype;
    return t;
}

static void push_values(slots *s, const rq_model *m, const char *prefix, size_t strip,
                        float *values)
{
    for (size_t i = 0; values != NULL && i < rq_model_params(m); i++) {
        const rq_param *p = rq_model_param(m, i);
        if (strip > 0 && p->part != RQ_PART_ENCODER)
            continue;
        s->slots[s->n] = (slot){.data = values + p->offset,
                                .count = p->count,
                                .conv = p->kind == RQ_PARAM_CONV ? p : NULL};
        rq_st_tensor *t = push(s, prefix, p->name + strip, "", RQ_ST_F32);
        t->ndim = p->ndim;
        memcpy(t->shape, p->shape, sizeof p->shape);
    }
}

static void push_state(slots *s, const rq_model *m, const char *prefix, size_t strip,
                       float *state, int64_t batches)
{
    for (size_t i = 0; state != NULL && i < rq_model_bns(m); i++) {
        const rq_bn_state *bn = rq_model_bn(m, i);
        if (strip > 0 && bn->part != RQ_PART_ENCODER)
            continue;
        const size_t n = (size_t)bn->channels;
        s->slots[s->n] = (slot){.data = state + bn->mean_offset, .count = n};
        rq_st_tensor *t = push(s, prefix, bn->name + strip, ".running_mean", RQ_ST_F32);
        t->ndim = 1;
        t->shape[0] = bn->channels;
        s->slots[s->n] = (slot){.data = state + bn->var_offset, .count = n};
        t = push(s, prefix, bn->name + strip, ".running_var", RQ_ST_F32);
        t->ndim = 1;
        t->shape[0] = bn->channels;
        s->slots[s->n] = (slot){.counter = batches};
        push(s, prefix, bn->name + strip, ".num_batches_tracked", RQ_ST_I64);
    }
}

static rq_status slots_all(slots *s, const rq_model *m, const rq_weights *w, int64_t batches,
                           int64_t target_batches, rq_err *err)
{
    RQ_TRY(slots_init(s, m, err));
    push_values(s, m, "", 0, w->values);
    push_state(s, m, "", 0, w->state, batches);
    push_values(s, m, "target.", 0, w->target_values);
    push_state(s, m, "target.", 0, w->target_state, target_batches);
    push_values(s, m, "opt.momentum.", 0, w->momentum);
    return RQ_OK;
}

/* Between KRSC in memory and OIHW in the file. */
static void conv_to_file(float *dst, const float *src, const rq_param *p)
{
    const size_t k = (size_t)p->shape[0], c = (size_t)p->shape[1];
    const size_t area = (size_t)(p->shape[2] * p->shape[3]);
    for (size_t o = 0; o < k; o++) {
        for (size_t xy = 0; xy < area; xy++) {
            for (size_t i = 0; i < c; i++)
                dst[(o * c + i) * area + xy] = src[(o * area + xy) * c + i];
        }
    }
}

static void conv_from_file(float *dst, const float *src, const rq_param *p)
{
    const size_t k = (size_t)p->shape[0], c = (size_t)p->shape[1];
    const size_t area = (size_t)(p->shape[2] * p->shape[3]);
    for (size_t o = 0; o < k; o++) {
        for (size_t xy = 0; xy < area; xy++) {
            for (size_t i = 0; i < c; i++)
                dst[(o * area + xy) * c + i] = src[(o * c + i) * area + xy];
        }
    }
}

static rq_status fill(void *ctx, size_t i, void *dst, rq_err *err)
{
    (void)err;
    const slot *s = &((const slots *)ctx)->slots[i];
    if (s->data == NULL)
        memcpy(dst, &s->counter, sizeof s->counter);
    else if (s->conv != NULL)
        conv_to_file(dst, s->data, s->conv);
    else
        memcpy(dst, s->data, s->count * sizeof *s->data);
    return RQ_OK;
}

/* ---- saving -------------------------------------------------------------------------------
 */

enum { OWN_META = 10, MAX_META = 32, NUMBER_BYTES = 24 };

typedef struct meta_table {
    rq_st_meta rows[MAX_META];
    char numbers[OWN_META][NUMBER_BYTES];
    size_t n, n_numbers;
} meta_table;

static void meta_text(meta_table *t, const char *key, const char *value)
{
    t->rows[t->n++] = (rq_st_meta){key, value};
}

static void meta_number(meta_table *t, const char *key, uint64_t value)
{
    char *text = t->numbers[t->n_numbers++];
    snprintf(text, NUMBER_BYTES, "%" PRIu64, value);
    meta_text(t, key, text);
}

static void meta_model(meta_table *t, const rq_model_opts *o)
{
    meta_text(t, "format", FORMAT_NAME);
    meta_number(t, "version", FORMAT_VERSION);
    meta_text(t, "arch", rq_arch_name(o->arch));
    meta_number(t, "stem", (uint64_t)o->stem);
    meta_number(t, "base_width", (uint64_t)o->base_width);
    meta_number(t, "proj_hidden", (uint64_t)o->proj_hidden);
    meta_number(t, "proj_out", (uint64_t)o->proj_out);
    meta_number(t, "pred_hidden", (uint64_t)o->pred_hidden);
    meta_number(t, "classes", (uint64_t)o->classes);
}

rq_status rq_checkpoint_save(const char *path, const rq_model *model, const rq_weights *w,
                             const rq_checkpoint_info *info, rq_err *err)
{
    meta_table meta = {0};
    meta_model(&meta, rq_model_get_opts(model));
    meta_number(&meta, "step", info->step);
    for (size_t i = 0; i < info->n_extra; i++) {
        if (meta.n == MAX_META)
            return rq_fail(err, RQ_INTERNAL, "too much metadata for a checkpoint");
        meta_text(&meta, info->extra[i].key, info->extra[i].value);
    }
    slots s = {0};
    const int64_t step = (int64_t)info->step;
    rq_status st =
        slots_all(&s, model, w, step * info->online_views, step * info->target_views, err);
    if (st == RQ_OK)
        st = rq_safetensors_write(path, s.tensors, s.n, fill, &s, meta.rows, meta.n, err);
    slots_free(&s);
    if (st != RQ_OK)
        rq_err_prefix(err, "checkpoint of step %" PRIu64, info->step);
    return st;
}

rq_status rq_export_encoder(const char *path, const rq_model *model, const float *values,
                            const float *state, const rq_st_meta *meta, size_t n_meta,
                            int64_t batches, rq_err *err)
{
    const size_t strip = strlen("encoder.");
    slots s = {0};
    rq_status st = slots_init(&s, model, err);
    if (st == RQ_OK) {
        /* The slots are only read from. */
        push_values(&s, model, "", strip, (float *)(uintptr_t)values);
        push_state(&s, model, "", strip, (float *)(uintptr_t)state, batches);
        st = rq_safetensors_write(path, s.tensors, s.n, fill, &s, meta, n_meta, err);
    }
    slots_free(&s);
    return st;
}

/* ---- loading ------------------------------------------------------------------------------
 */

struct rq_checkpoint {
    rq_safetensors *file;
    char *path;
    uint64_t step;
    rq_model_opts model;
};

static rq_status meta_get(const rq_checkpoint *c, const char *key, uint64_t max, uint64_t *out,
                          rq_err *err)
{
    const char *text = rq_safetensors_meta(c->file, key);
    char *end = NULL;
    errno = 0;
    const unsigned long long v = text != NULL ? strtoull(text, &end, 10) : 0;
    if (text == NULL || *text < '0' || *text > '9' || *end != '\0' || errno != 0 || v > max)
        return rq_fail(err, RQ_BAD_FORMAT, "%.300s: \"%s\" in the header is %s", c->path, key,
                       text == NULL ? "missing" : "not a number in range");
    *out = v;
    return RQ_OK;
}

static rq_status meta_get_int(const rq_checkpoint *c, const char *key, int *out, rq_err *err)
{
    uint64_t v;
    RQ_TRY(meta_get(c, key, 1 << 20, &v, err));
    *out = (int)v;
    return RQ_OK;
}

static rq_status parse_meta(rq_checkpoint *c, rq_err *err)
{
    const char *format = rq_safetensors_meta(c->file, "format");
    if (format == NULL || strcmp(format, FORMAT_NAME) != 0 || !rq_safetensors_hashed(c->file))
        return rq_fail(err, RQ_BAD_FORMAT, "%.300s is no checkpoint of rq-train", c->path);
    uint64_t version;
    RQ_TRY(meta_get(c, "version", UINT64_MAX, &version, err));
    if (version != FORMAT_VERSION)
        return rq_fail(err, RQ_UNSUPPORTED,
                       "%.300s: format version %" PRIu64 ", this program reads %d: use the "
                       "program that wrote it",
                       c->path, version, FORMAT_VERSION);
    const char *arch = rq_safetensors_meta(c->file, "arch");
    RQ_TRY(rq_arch_parse(&c->model.arch, arch != NULL ? arch : "", err));
    int stem;
    RQ_TRY(meta_get_int(c, "stem", &stem, err));
    if (stem > RQ_STEM_CIFAR)
        return rq_fail(err, RQ_BAD_FORMAT, "%.300s: unknown stem %d", c->path, stem);
    c->model.stem = (rq_stem)stem;
    RQ_TRY(meta_get_int(c, "base_width", &c->model.base_width, err));
    RQ_TRY(meta_get_int(c, "proj_hidden", &c->model.proj_hidden, err));
    RQ_TRY(meta_get_int(c, "proj_out", &c->model.proj_out, err));
    RQ_TRY(meta_get_int(c, "pred_hidden", &c->model.pred_hidden, err));
    RQ_TRY(meta_get_int(c, "classes", &c->model.classes, err));
    return meta_get(c, "step", INT64_MAX, &c->step, err);
}

rq_status rq_checkpoint_open(rq_checkpoint **out, const char *path, rq_err *err)
{
    *out = NULL;
    rq_checkpoint *c = rq_calloc(1, sizeof *c);
    if (c == NULL)
        return rq_fail(err, RQ_OOM, "no memory to open %.300s", path);
    rq_model_opts_default(&c->model);
    c->path = rq_strdup(path);
    rq_status st =
        c->path == NULL ? rq_fail(err, RQ_OOM, "no memory to open %.300s", path) : RQ_OK;
    if (st == RQ_OK)
        st = rq_safetensors_open(&c->file, path, err);
    if (st == RQ_OK)
        st = parse_meta(c, err);
    if (st != RQ_OK)
        rq_checkpoint_close(&c);
    *out = c;
    return st;
}

void rq_checkpoint_close(rq_checkpoint **c)
{
    if (*c == NULL)
        return;
    rq_safetensors_close(&(*c)->file);
    rq_free((*c)->path);
    rq_free(*c);
    *c = NULL;
}

const char *rq_checkpoint_path(const rq_checkpoint *c)
{
    return c->path;
}

uint64_t rq_checkpoint_step(const rq_checkpoint *c)
{
    return c->step;
}

const rq_model_opts *rq_checkpoint_model(const rq_checkpoint *c)
{
    return &c->model;
}

const char *rq_checkpoint_meta(const rq_checkpoint *c, const char *key)
{
    return rq_safetensors_meta(c->file, key);
}

static rq_status check_shape(const rq_checkpoint *c, const rq_st_tensor *have,
                             const rq_st_tensor *want, rq_err *err)
{
    if (have == NULL)
        return rq_fail(err, RQ_BAD_FORMAT, "%.300s: tensor \"%s\" is missing", c->path,
                       want->name);
    if (have->dtype != want->dtype || have->ndim != want->ndim ||
        memcmp(have->shape, want->shape, sizeof have->shape) != 0)
        return rq_fail(err, RQ_BAD_FORMAT,
                       "%.300s: tensor \"%s\" has another type or shape than the model",
                       c->path, want->name);
    return RQ_OK;
}

static rq_status read_slots(const rq_checkpoint *c, const slots *s, rq_err *err)
{
    size_t largest = 8;
    for (size_t i = 0; i < s->n; i++) {
        RQ_TRY(check_shape(c, rq_safetensors_find(c->file, s->tensors[i].name), &s->tensors[i],
                           err));
        largest = s->slots[i].count * sizeof(float) > largest
                      ? s->slots[i].count * sizeof(float)
                      : largest;
    }
    float *scratch = rq_alloc(largest, 1);
    if (scratch == NULL)
        return rq_fail(err, RQ_OOM, "no memory to read %.300s", c->path);
    rq_status st = RQ_OK;
    for (size_t i = 0; i < s->n && st == RQ_OK; i++) {
        const slot *sl = &s->slots[i];
        st = rq_safetensors_read(c->file, rq_safetensors_find(c->file, s->tensors[i].name),
                                 scratch, err);
        if (st != RQ_OK || sl->data == NULL)
            continue;
        if (sl->conv != NULL)
            conv_from_file(sl->data, scratch, sl->conv);
        else
            memcpy(sl->data, scratch, sl->count * sizeof *sl->data);
    }
    rq_free(scratch);
    return st;
}

rq_status rq_checkpoint_read(const rq_checkpoint *c, const rq_model *model, const rq_weights *w,
                             rq_err *err)
{
    slots s = {0};
    rq_status st = slots_all(&s, model, w, 0, 0, err);
    if (st == RQ_OK)
        st = read_slots(c, &s, err);
    slots_free(&s);
    return st;
}

rq_status rq_checkpoint_verify(const rq_checkpoint *c, rq_err *err)
{
    size_t largest = 1;
    for (size_t i = 0; i < rq_safetensors_count(c->file); i++) {
        const size_t bytes = rq_safetensors_tensor(c->file, i)->bytes;
        largest = bytes > largest ? bytes : largest;
    }
    void *scratch = rq_alloc(largest, 1);
    if (scratch == NULL)
        return rq_fail(err, RQ_OOM, "no memory to read %.300s", c->path);
    rq_status st = RQ_OK;
    for (size_t i = 0; i < rq_safetensors_count(c->file) && st == RQ_OK; i++)
        st = rq_safetensors_read(c->file, rq_safetensors_tensor(c->file, i), scratch, err);
    rq_free(scratch);
    return st;
}

/* ---- folders ------------------------------------------------------------------------------
 */

char *rq_checkpoint_name(const char *dir, uint64_t step)
{
    char name[48];
    snprintf(name, sizeof name, "ckpt-%08" PRIu64 ".safetensors", step);
    return rq_path_join(dir, name);
}

/* "ckpt-DIGITS.safetensors", exactly as rq_checkpoint_name writes it. */
static bool parse_name(const char *name, uint64_t *step)
{
    char again[48];
    if (sscanf(name, "ckpt-%" SCNu64 ".safetensors", step) != 1)
        return false;
    snprintf(again, sizeof again, "ckpt-%08" PRIu64 ".safetensors", *step);
    return strcmp(name, again) == 0;
}

static int by_step(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

rq_status rq_checkpoint_list(uint64_t **steps, size_t *n, const char *dir, rq_err *err)
{
    *steps = NULL;
    *n = 0;
    DIR *d = opendir(dir);
    if (d == NULL)
        return errno == ENOENT ? RQ_OK : rq_fail_errno(err, "cannot list %.300s", dir);
    rq_status st = RQ_OK;
    size_t cap = 0;
    for (const struct dirent *e = readdir(d); e != NULL && st == RQ_OK; e = readdir(d)) {
        uint64_t step;
        if (!parse_name(e->d_name, &step))
            continue;
        void *grown = *steps;
        st = rq_grow(&grown, &cap, *n + 1, sizeof **steps, err);
        *steps = grown;
        if (st == RQ_OK)
            (*steps)[(*n)++] = step;
    }
    closedir(d);
    if (st != RQ_OK) {
        rq_free(*steps);
        *steps = NULL;
        *n = 0;
    }
    if (*n > 1)
        qsort(*steps, *n, sizeof **steps, by_step);
    return st;
}

rq_status rq_checkpoint_prune(const char *dir, int keep, rq_err *err)
{
    uint64_t *steps;
    size_t n;
    rq_status st = rq_checkpoint_list(&steps, &n, dir, err);
    for (size_t i = 0; st == RQ_OK && i + (size_t)keep < n; i++) {
        char *path = rq_checkpoint_name(dir, steps[i]);
        if (path == NULL)
            st = rq_fail(err, RQ_OOM, "no memory to list %.300s", dir);
        else if (unlink(path) != 0 && errno != ENOENT)
            st = rq_fail_errno(err, "cannot remove the old checkpoint %.300s", path);
        rq_free(path);
    }
    rq_free(steps);
    return st;
}

static rq_status open_verified(rq_checkpoint **out, const char *dir, uint64_t step, rq_err *err)
{
    char *path = rq_checkpoint_name(dir, step);
    if (path == NULL)
        return rq_fail(err, RQ_OOM, "no memory to open a checkpoint");
    rq_status st = rq_checkpoint_open(out, path, err);
    if (st == RQ_OK)
        st = rq_checkpoint_verify(*out, err);
    if (st != RQ_OK)
        rq_checkpoint_close(out);
    rq_free(path);
    return st;
}

/* Is it the file that is bad, rather than the way to it? A damaged length in the header shows
 * as one beyond the limit. */
static bool is_damage(rq_status st)
{
    return st == RQ_BAD_FORMAT || st == RQ_BAD_CHECKSUM || st == RQ_TRUNCATED || st == RQ_LIMIT;
}

rq_status rq_checkpoint_open_latest(rq_checkpoint **out, const char *dir,
                                    const rq_log_sink *log, rq_err *err)
{
    uint64_t *steps;
    size_t n;
    *out = NULL;
    RQ_TRY(rq_checkpoint_list(&steps, &n, dir, err));
    rq_status st = RQ_OK;
    if (n == 0)
        st = rq_fail(err, RQ_NOT_FOUND, "%.300s has no checkpoint", dir);
    for (size_t i = n; i-- > 0 && *out == NULL;) {
        rq_err why = {0};
        const rq_status one = open_verified(out, dir, steps[i], &why);
        if (one == RQ_OK) {
            st = RQ_OK;
        } else if (!is_damage(one)) {
            st = rq_fail(err, one, "%s", why.text);
            break;
        } else if (i == 0) {
            st = rq_fail(err, one,
                         "%s; no checkpoint in %.200s is whole: bring one back from a copy, or "
                         "start anew in another folder",
                         why.text, dir);
        } else {
            rq_log(log, RQ_LOG_WARN, "%s; going back to the checkpoint of step %" PRIu64,
                   why.text, steps[i - 1]);
        }
    }
    rq_free(steps);
    return st;
}
