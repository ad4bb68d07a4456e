// SPDX-License-Identifier: Apache-2.0
//
// Runs a dataset once through an evaluation stream and a network. The network is compiled for
// one batch size; the last, short batch is copied into a full one whose remaining rows hold
// what was there before: in EVAL mode rows do not see each other.
#include "train/features.h"

#include "common/mem.h"

#include <math.h>
#include <string.h>

void rq_feature_opts_default(rq_feature_opts *o)
{
    *o = (rq_feature_opts){.batch = 128, .order = RQ_ORDER_SEQUENTIAL};
}

void rq_features_free(rq_features *f)
{
    rq_free(f->rows);
    rq_free(f->labels);
    *f = (rq_features){0};
}

int rq_feature_width(const rq_feature_source *src, const rq_recipe *recipe)
{
    const int size = recipe->group[0].size;
    return src->backend != NULL ? rq_model_features(src->model) : size * size * 3;
}

/* What one walk over a dataset needs. */
typedef struct walk {
    const rq_feature_source *src;
    const rq_feature_opts *o;
    rq_net *net; /* NULL: pixels */
    rq_stream *stream;
    uint8_t *images; /* a full batch */
    float *rows;
    size_t image_bytes;
    int width;
} walk;

static rq_status open_walk(walk *w, const rq_dataset *ds, const rq_recipe *recipe, rq_err *err)
{
    if (rq_recipe_views(recipe) != 1 || recipe->group[0].views != 1)
        return rq_fail(err, RQ_INVALID_ARG,
                       "features need a recipe of one view per image, such as \"eval\"");
    const int size = recipe->group[0].size, batch = w->o->batch;
    rq_stream_opts so;
    rq_stream_opts_default(&so);
    so.batch = batch;
    so.threads = w->o->threads;
    so.seed = w->o->seed;
    so.order = w->o->order;
    so.start.epoch = w->o->epoch;
    so.epochs = w->o->epoch + 1;
    so.drop_last = false;
    so.allow_missing_masks = true;
    so.bad_budget = w->o->bad_budget;
    so.log = w->o->log;
    w->image_bytes = (size_t)size * (size_t)size * 3;
    w->width = rq_feature_width(w->src, recipe);
    w->images = rq_calloc((size_t)batch, w->image_bytes);
    w->rows = rq_calloc((size_t)batch * (size_t)w->width, sizeof *w->rows);
    if (w->images == NULL || w->rows == NULL)
        return rq_fail(err, RQ_OOM, "no memory for a batch of %d images", batch);
    if (w->src->backend != NULL) {
        const rq_net_opts no = {.mode = RQ_NET_EVAL,
                                .output = RQ_PART_ENCODER,
                                .images = batch,
                                .groups = 1,
                                .size = size};
        RQ_TRY(rq_net_create(&w->net, w->src->backend, w->src->model, &no, err));
    }
    return rq_stream_open(&w->stream, ds, recipe, &so, err);
}

static void close_walk(walk *w)
{
    rq_stream_close(&w->stream);
    rq_net_destroy(&w->net);
    rq_free(w->images);
    rq_free(w->rows);
}

static rq_status batch_rows(walk *w, const rq_batch *b, rq_err *err)
{
    const size_t bytes = (size_t)b->images * w->image_bytes;
    if (w->net == NULL) {
        for (size_t i = 0; i < bytes; i++)
            w->rows[i] = ((float)b->group[0].data[i] / 255.0f - rq_imagenet_mean[i % 3]) /
                         rq_imagenet_std[i % 3];
        return RQ_OK;
    }
    const uint8_t *images = b->group[0].data;
    if (b->images < w->o->batch) {
        memcpy(w->images, images, bytes);
        images = w->images;
    }
    return rq_net_forward(w->net, images, w->src->values, w->src->state, w->rows, err);
}

static rq_status run_walk(walk *w, rq_feature_sink sink, void *ctx, rq_err *err)
{
    for (;;) {
        const rq_batch *b;
        if (w->o->stop != NULL && *w->o->stop)
            return rq_fail(err, RQ_CANCELLED, "stopped while computing features");
        const rq_status st = rq_stream_next(w->stream, &b, err);
        if (st == RQ_END)
            return RQ_OK;
        RQ_TRY(st);
        rq_status one = batch_rows(w, b, err);
        if (one == RQ_OK)
            one = sink(ctx, w->rows, b->labels, b->images, err);
        rq_stream_release(w->stream, b);
        if (one != RQ_OK)
            return one == RQ_END ? RQ_OK : one;
    }
}

rq_status rq_features_each(const rq_feature_source *src, const rq_dataset *ds,
                           const rq_recipe *recipe, const rq_feature_opts *o,
                           rq_feature_sink sink, void *ctx, rq_err *err)
{
    walk w = {.src = src, .o = o};
    rq_status st = open_walk(&w, ds, recipe, err);
    if (st == RQ_OK)
        st = run_walk(&w, sink, ctx, err);
    close_walk(&w);
    return st;
}

typedef struct collector {
    rq_features *f;
    size_t at;
} collector;

static size_t wanted(const rq_dataset *ds, const rq_feature_opts *o)
{
    const size_t count = (size_t)rq_dataset_count(ds);
    return o->limit > 0 && o->limit < count ? o->limit : count;
}

static rq_status collect(void *ctx, const float *rows, const int32_t *labels, int count,
                         rq_err *err)
{
    (void)err;
    collector *c = ctx;
    const size_t left = c->f->count - c->at, width = (size_t)c->f->width;
    const size_t n = (size_t)count < left ? (size_t)count : left;
    memcpy(c->f->rows + c->at * width, rows, n * width * sizeof *rows);
    memcpy(c->f->labels + c->at, labels, n * sizeof *labels);
    c->at += n;
    return n < (size_t)count || c->at == c->f->count ? RQ_END : RQ_OK;
}

rq_status rq_features_extract(rq_features *f, const rq_feature_source *src,
                              const rq_dataset *ds, const rq_recipe *recipe,
                              const rq_feature_opts *o, rq_err *err)
{
    collector c = {.f = f};
    size_t floats;
    f->count = wanted(ds, o);
    f->width = rq_feature_width(src, recipe);
    f->rows = rq_mul_size(&floats, f->count, (size_t)f->width)
                  ? rq_alloc(floats, sizeof *f->rows)
                  : NULL;
    f->labels = rq_alloc(f->count, sizeof *f->labels);
    if (f->rows == NULL || f->labels == NULL)
        return rq_fail(err, RQ_OOM, "no memory for the features of %zu images", f->count);
    RQ_TRY(rq_features_each(src, ds, recipe, o, collect, &c, err));
    if (c.at != f->count)
        return rq_fail(err, RQ_INTERNAL, "the stream gave %zu of %zu images", c.at, f->count);
    return RQ_OK;
}

void rq_features_normalise(rq_features *f)
{
    const size_t width = (size_t)f->width;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < f->count; i++) {
        float *x = f->rows + i * width;
        double sq = 0;
        for (size_t k = 0; k < width; k++)
            sq += (double)x[k] * (double)x[k];
        const float r = sq > 0 ? (float)(1 / sqrt(sq)) : 0.0f;
        for (size_t k = 0; k < width; k++)
            x[k] *= r;
    }
}
