// SPDX-License-Identifier: Apache-2.0
//
// rq-eval: how good are the features of a checkpoint? kNN and linear probe on frozen features,
// and two yardsticks under the same protocol: the same network as it was before training, and
// the pixels themselves.
#include "common/hash.h"
#include "common/mem.h"
#include "tools/classes.h"
#include "tools/cli.h"
#include "train/checkpoint.h"
#include "train/knn.h"
#include "train/probe.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct request {
    const char *ckpt, *run, *train, *val;
    int net, backend, precision, threads, batch, size;
    float fraction; /* 0: as the run evaluated */
    bool untrained, raw_pixels, augment;
    rq_knn_opts knn;
    rq_linear_probe_opts probe;
} request;

static const char *const nets[] = {"online", "target", NULL};
static const char *const backends[] = {"auto", "cpu", "cuda", "ref", NULL};
static const char *const precisions[] = {"f32", "bf16", NULL};

enum { MAX_SIZE = 1024 }; /* of the view, pixels */

/* What is evaluated: a network with its weights, or pixels. */
typedef struct subject {
    rq_backend *backend;
    rq_model *model;
    float *values, *state;
    size_t value_floats, state_floats;
    rq_recipe eval;
    char what[160];
    rq_dataset *train, *val;
} subject;

#define COMMON_ROWS(q)                                                                           \
    {                                                                                            \
        RQ_OPT_STRING, "run", 0, &(q).run, "DIR", "run folder, its newest checkpoint", 0, 0,     \
        NULL},                                                                                   \
        {RQ_OPT_STRING, "ckpt", 0, &(q).ckpt, "FILE", "this checkpoint instead", 0, 0, NULL},    \
        {RQ_OPT_STRING, "train", 0, &(q).train, "DIR", "packed dataset with labels", 0, 0,       \
         NULL},                                                                                  \
        {RQ_OPT_STRING, "val", 0, &(q).val, "DIR", "packed dataset to be classified", 0, 0,      \
         NULL},                                                                                  \
        {RQ_OPT_CHOICE, "net", 0, &(q).net, "NAME", "which network's encoder", 0, 0, nets},      \
        {RQ_OPT_BOOL, "untrained",                                                               \
         0,           &(q).untrained,                                                            \
         NULL,        "the run's initial weights, running mean 0 and variance 1",                \
         0,           0,                                                                         \
         NULL},                                                                                  \
        {RQ_OPT_INT, "size",   0,   &(q).size, "PX", "side of the view, 0: as in the run",       \
         0,          MAX_SIZE, NULL},                                                            \
        {RQ_OPT_FLOAT,                                                                           \
         "fraction",                                                                             \
         0,                                                                                      \
         &(q).fraction,                                                                          \
         "X",                                                                                    \
         "side of the centre crop, of the shorter side; 0: as in the run",                       \
         0,                                                                                      \
         1,                                                                                      \
         NULL},                                                                                  \
        {RQ_OPT_INT, "batch", 0, &(q).batch, "N", "images at a time", 1, 4096, NULL},            \
        {RQ_OPT_INT, "threads", 0, &(q).threads, "N", "threads, 0: one per CPU", 0, 4096, NULL}, \
        {RQ_OPT_CHOICE, "backend", 0, &(q).backend, "NAME", "who computes", 0, 0, backends},     \
    {                                                                                            \
        RQ_OPT_CHOICE, "precision", 0, &(q).precision, "NAME", "of convolutions", 0, 0,          \
            precisions                                                                           \
    }

/* ---- subjects -----------------------------------------------------------------------------
 */

/* A number of the run's saved configuration; fallback when it is not there. */
static double config_number(const rq_checkpoint *c, const char *key, double fallback)
{
    const char *text = c != NULL ? rq_checkpoint_meta(c, "config") : NULL;
    const size_t n = strlen(key);
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, n) == 0 && strncmp(line + n, " = ", 3) == 0)
            return strtod(line + n + 3, NULL);
    }
    return fallback;
}

static rq_status make_recipe(subject *s, const request *q, const rq_checkpoint *c, rq_err *err)
{
    RQ_TRY(rq_recipe_preset(&s->eval, "eval", err));
    const double size = config_number(c, "eval-size", (double)s->eval.group[0].size);
    const double fraction = config_number(c, "eval-fraction", (double)s->eval.center_fraction);
    if (!(size >= 1 && size <= MAX_SIZE && fraction > 0 && fraction <= 1))
        return rq_fail(err, RQ_BAD_FORMAT,
                       "the configuration in the checkpoint has a view of %g px and %g of the "
                       "shorter side; give --ckpt another one",
                       size, fraction);
    s->eval.group[0].size = q->size > 0 ? q->size : (int)size;
    s->eval.center_fraction = q->fraction > 0 ? q->fraction : (float)fraction;
    return rq_recipe_check(&s->eval, err);
}

static rq_status load_weights(subject *s, const request *q, const rq_checkpoint *c, rq_err *err)
{
    RQ_TRY(rq_model_create(&s->model, rq_checkpoint_model(c), err));
    s->value_floats = rq_model_param_floats(s->model);
    s->state_floats = rq_model_state_floats(s->model);
    s->values = rq_calloc(s->value_floats, sizeof *s->values);
    s->state = rq_calloc(s->state_floats, sizeof *s->state);
    if (s->values == NULL || s->state == NULL)
        return rq_fail(err, RQ_OOM, "no memory for the parameters of the model");
    const char *arch = rq_arch_name(rq_checkpoint_model(c)->arch);
    if (q->untrained) {
        const char *seed = rq_checkpoint_meta(c, "seed");
        const uint64_t n = seed != NULL ? strtoull(seed, NULL, 10) : 0;
        rq_model_init(s->model, n, s->values, s->state);
        snprintf(s->what, sizeof s->what,
                 "untrained %s, seed %" PRIu64 ", BatchNorm in its initial state", arch, n);
        return RQ_OK;
    }
    const rq_weights online = {.values = s->values, .state = s->state};
    const rq_weights target = {.target_values = s->values, .target_state = s->state};
    snprintf(s->what, sizeof s->what, "%s %s encoder of step %" PRIu64, nets[q->net], arch,
             rq_checkpoint_step(c));
    return rq_checkpoint_read(c, s->model, q->net == 1 ? &target : &online, err);
}

static rq_status open_checkpoint(const request *q, rq_checkpoint **c, rq_err *err)
{
    const rq_log_sink log = rq_cli_log();
    *c = NULL;
    if (q->ckpt != NULL)
        return rq_checkpoint_open(c, q->ckpt, err);
    return q->run != NULL ? rq_checkpoint_open_latest(c, q->run, &log, err) : RQ_OK;
}

/* An image that is its own neighbour, or was trained on, says nothing about others. */
static void warn_of_same_data(const subject *s)
{
    const rq_log_sink log = rq_cli_log();
    if (strcmp(rq_dataset_hash(s->train), rq_dataset_hash(s->val)) == 0)
        rq_log(&log, RQ_LOG_WARN,
               "--train and --val are the same images, so the accuracy is not one on unseen "
               "images; give another --val");
}

static rq_status make_subject(subject *s, const request *q, rq_err *err)
{
    rq_checkpoint *c = NULL;
    const rq_backend_opts bo = {.threads = q->threads, .precision = (rq_precision)q->precision};
    RQ_TRY(rq_dataset_open(&s->train, q->train, err));
    RQ_TRY(rq_dataset_open(&s->val, q->val, err));
    warn_of_same_data(s);
    RQ_TRY(open_checkpoint(q, &c, err));
    rq_status st = make_recipe(s, q, c, err);
    if (st == RQ_OK && q->raw_pixels)
        snprintf(s->what, sizeof s->what, "normalised pixels");
    else if (st == RQ_OK)
        st = rq_backend_create(&s->backend, backends[q->backend], &bo, err);
    if (st == RQ_OK && !q->raw_pixels)
        st = load_weights(s, q, c, err);
    rq_checkpoint_close(&c);
    return st;
}

static void free_subject(subject *s)
{
    rq_backend_destroy(&s->backend);
    rq_model_destroy(&s->model);
    rq_free(s->values);
    rq_free(s->state);
    rq_dataset_close(&s->train);
    rq_dataset_close(&s->val);
}

static rq_feature_source source_of(const subject *s)
{
    return (rq_feature_source){
        .backend = s->backend, .model = s->model, .values = s->values, .state = s->state};
}

static rq_feature_opts feature_opts(const request *q)
{
    rq_feature_opts o;
    rq_feature_opts_default(&o);
    o.batch = q->batch;
    o.threads = q->threads;
    o.stop = &rq_cli_stop;
    o.log = rq_cli_log();
    return o;
}

static void print_protocol(const subject *s)
{
    char train[32], val[32];
    printf("%s · %d features · view %d px, centre %.3g · %s training, %s validation images\n",
           s->what,
           s->model != NULL ? rq_model_features(s->model)
                            : s->eval.group[0].size * s->eval.group[0].size * 3,
           s->eval.group[0].size, (double)s->eval.center_fraction,
           rq_format_count(train, rq_dataset_count(s->train)),
           rq_format_count(val, rq_dataset_count(s->val)));
}

static int check_request(const request *q, int n_args, char **argv)
{
    if (n_args > 0)
        return rq_cli_usage("'%s' is not expected; give --run DIR --train DIR --val DIR",
                            argv[1]);
    if (q->train == NULL || q->val == NULL)
        return rq_cli_usage("give --train DIR and --val DIR, folders that rq-pack made");
    if (q->ckpt != NULL && q->run != NULL)
        return rq_cli_usage("--ckpt and --run exclude each other");
    if (q->ckpt == NULL && q->run == NULL && !q->raw_pixels)
        return rq_cli_usage("which network? give --run DIR or --ckpt FILE");
    return -1;
}

static request default_request(void)
{
    request q = {.batch = 128, .knn = {.k = 20, .tau = 0.07f}};
    rq_linear_probe_opts_default(&q.probe);
    return q;
}

/* ---- knn ----------------------------------------------------------------------------------
 */

static rq_status knn(const subject *s, const request *q, rq_knn_result *result, rq_err *err)
{
    rq_features train = {0}, val = {0};
    const rq_feature_source src = source_of(s);
    const rq_feature_opts fo = feature_opts(q);
    const int classes = rq_dataset_classes(s->train);
    rq_status st = rq_check_classes(s->train, s->val, err);
    if (st == RQ_OK)
        st = rq_features_extract(&train, &src, s->train, &s->eval, &fo, err);
    if (st == RQ_OK)
        st = rq_features_extract(&val, &src, s->val, &s->eval, &fo, err);
    if (st == RQ_OK) {
        rq_features_normalise(&train);
        rq_features_normalise(&val);
        st = rq_knn_classify(result, &train, &val, classes, &q->knn, err);
    }
    rq_features_free(&train);
    rq_features_free(&val);
    return st;
}

static int knn_command(int argc, char **argv)
{
    request q = default_request();
    const rq_opt opts[] = {
        COMMON_ROWS(q),
        {RQ_OPT_BOOL, "raw-pixels", 0, &q.raw_pixels, NULL,
         "no network: the pixels of the view, normalised", 0, 0, NULL},
        {RQ_OPT_INT, "k", 0, &q.knn.k, "N", "neighbours", 1, RQ_KNN_MAX_K, NULL},
        {RQ_OPT_FLOAT, "tau", 0, &q.knn.tau, "X", "temperature of the votes", 1e-3, 100, NULL},
        {0}};
    int n_args;
    int rc = rq_cli_parse(argc, argv, "--run DIR --train DIR --val DIR",
                          "  rq-eval knn --run run --train cifar --val cifar-val\n"
                          "  rq-eval knn --run run --untrained --train cifar --val cifar-val\n"
                          "  rq-eval knn --raw-pixels --size 32 --fraction 1 --train cifar "
                          "--val cifar-val\n",
                          opts, &n_args);
    if (rc < 0)
        rc = check_request(&q, n_args, argv);
    if (rc >= 0)
        return rc;
    rq_err err = {0};
    subject s = {0};
    rq_knn_result r;
    rq_status st = make_subject(&s, &q, &err);
    if (st == RQ_OK)
        st = knn(&s, &q, &r, &err);
    if (st == RQ_OK && rq_cli.json) {
        printf("{\"knn\":%.6f,\"top5\":%.6f,\"k\":%d,\"tau\":%g,\"subject\":\"%s\"}\n", r.top1,
               r.top5, q.knn.k, (double)q.knn.tau, s.what);
    } else if (st == RQ_OK) {
        printf("kNN top-1 %.2f %%, top-5 %.2f %% · k %d, cosine, votes exp(s / %g)\n",
               100 * r.top1, 100 * r.top5, q.knn.k, (double)q.knn.tau);
        print_protocol(&s);
    }
    free_subject(&s);
    return st == RQ_OK ? 0 : rq_cli_fail(&err);
}

/* ---- linear -------------------------------------------------------------------------------
 */

typedef struct probe_result {
    double loss, train_top1, top1, top5;
} probe_result;

typedef struct probe_sink {
    rq_linear_probe *probe;
    double loss;
} probe_sink;

static rq_status feed(void *ctx, const float *rows, const int32_t *labels, int count,
                      rq_err *err)
{
    probe_sink *p = ctx;
    return rq_linear_probe_step(p->probe, rows, labels, count, &p->loss, err);
}

/* Features of new random crops and flips in every epoch. */
static rq_status train_augmented(const subject *s, const request *q, rq_linear_probe *p,
                                 probe_result *r, rq_err *err)
{
    const rq_feature_source src = source_of(s);
    rq_feature_opts fo = feature_opts(q);
    probe_sink sink = {.probe = p};
    rq_recipe recipe;
    RQ_TRY(rq_recipe_preset(&recipe, "linear", err));
    recipe.group[0].size = s->eval.group[0].size;
    fo.order = RQ_ORDER_SHUFFLE;
    fo.seed = q->probe.seed;
    fo.batch = q->probe.batch;
    for (int epoch = 0; epoch < q->probe.epochs; epoch++) {
        fo.epoch = (uint32_t)epoch;
        RQ_TRY(rq_features_each(&src, s->train, &recipe, &fo, feed, &sink, err));
    }
    r->loss = sink.loss;
    return RQ_OK;
}

static uint64_t augmented_steps(const subject *s, const request *q)
{
    const uint64_t batch = (uint64_t)q->probe.batch;
    return (rq_dataset_count(s->train) + batch - 1) / batch * (uint64_t)q->probe.epochs;
}

static rq_status probe_on(const subject *s, const request *q, rq_features *train,
                          rq_features *val, int classes, probe_result *r, rq_err *err)
{
    const rq_feature_source src = source_of(s);
    const rq_feature_opts fo = feature_opts(q);
    rq_linear_probe *p = NULL;
    double unused;
    RQ_TRY(rq_features_extract(train, &src, s->train, &s->eval, &fo, err));
    RQ_TRY(rq_features_extract(val, &src, s->val, &s->eval, &fo, err));
    const uint64_t steps =
        q->augment ? augmented_steps(s, q) : rq_linear_probe_steps(&q->probe, train->count);
    RQ_TRY(rq_linear_probe_create(&p, &q->probe, train->width, classes, steps, err));
    rq_status st = q->augment ? train_augmented(s, q, p, r, err)
                              : rq_linear_probe_train(p, train, &r->loss, err);
    if (st == RQ_OK)
        st = rq_linear_probe_evaluate(p, train, &r->train_top1, &unused, err);
    if (st == RQ_OK)
        st = rq_linear_probe_evaluate(p, val, &r->top1, &r->top5, err);
    rq_linear_probe_destroy(&p);
    return st;
}

static uint64_t backbone_hash(const subject *s)
{
    return s->model == NULL ? 0
                            : rq_xxh3(s->values, s->value_floats * sizeof *s->values) ^
                                  rq_xxh3(s->state, s->state_floats * sizeof *s->state);
}

static rq_status linear(const subject *s, const request *q, probe_result *r, rq_err *err)
{
    rq_features train = {0}, val = {0};
    const int classes = rq_dataset_classes(s->train);
    RQ_TRY(rq_linear_probe_opts_check(&q->probe, err));
    RQ_TRY(rq_check_classes(s->train, s->val, err));
    const uint64_t before = backbone_hash(s);
    rq_status st = probe_on(s, q, &train, &val, classes, r, err);
    rq_features_free(&train);
    rq_features_free(&val);
    if (st == RQ_OK && backbone_hash(s) != before)
        st = rq_fail(err, RQ_INTERNAL, "the backbone changed while the probe was trained");
    return st;
}

static int linear_command(int argc, char **argv)
{
    request q = default_request();
    const rq_opt opts[] = {
        COMMON_ROWS(q),
        {RQ_OPT_BOOL, "augment", 0, &q.augment, NULL,
         "new random crops and flips every epoch; otherwise one fixed view", 0, 0, NULL},
        {RQ_OPT_FLOAT, "lr", 0, &q.probe.lr, "X",
         "for 256 images; the peak is lr * probe-batch / 256", 0, 1e6, NULL},
        {RQ_OPT_INT, "probe-batch", 0, &q.probe.batch, "N", "images of a step", 1, 65536, NULL},
        {RQ_OPT_INT, "epochs", 0, &q.probe.epochs, "N", "times every image is seen", 1, 1e6,
         NULL},
        {RQ_OPT_FLOAT, "momentum", 0, &q.probe.momentum, "X", "Nesterov's", 0, 0.999, NULL},
        {RQ_OPT_FLOAT, "weight-decay", 0, &q.probe.weight_decay, "X", "not on the bias", 0, 1,
         NULL},
        {RQ_OPT_U64, "seed", 0, &q.probe.seed, "N", "of the order and the crops", 0, 0, NULL},
        {0}};
    int n_args;
    int rc = rq_cli_parse(argc, argv, "--run DIR --train DIR --val DIR",
                          "  rq-eval linear --run run --train cifar --val cifar-val\n"
                          "  rq-eval linear --run run --train imagenet --val val --augment\n",
                          opts, &n_args);
    if (rc < 0)
        rc = check_request(&q, n_args, argv);
    if (rc >= 0)
        return rc;
    rq_err err = {0};
    subject s = {0};
    probe_result r = {0};
    rq_status st = make_subject(&s, &q, &err);
    if (st == RQ_OK)
        st = linear(&s, &q, &r, &err);
    if (st == RQ_OK && rq_cli.json) {
        printf("{\"linear\":%.6f,\"top5\":%.6f,\"train\":%.6f,\"loss\":%.6f,"
               "\"subject\":\"%s\"}\n",
               r.top1, r.top5, r.train_top1, r.loss, s.what);
    } else if (st == RQ_OK) {
        printf(
            "linear top-1 %.2f %%, top-5 %.2f %% · training images %.2f %%, last loss %.4f\n",
            100 * r.top1, 100 * r.top5, 100 * r.train_top1, r.loss);
        printf(
            "SGD Nesterov %g, lr %g for 256 images, batch %d, %d epochs, cosine, weight decay "
            "%g, %s; backbone frozen and unchanged\n",
            (double)q.probe.momentum, (double)q.probe.lr, q.probe.batch, q.probe.epochs,
            (double)q.probe.weight_decay,
            q.augment ? "random crops and flips" : "one fixed view");
        print_protocol(&s);
    }
    free_subject(&s);
    return st == RQ_OK ? 0 : rq_cli_fail(&err);
}

int main(int argc, char **argv)
{
    static const rq_cli_command commands[] = {
        {"knn", "nearest neighbours on frozen features", knn_command},
        {"linear", "logistic regression on frozen features", linear_command},
        {0}};
    return rq_cli_main(argc, argv, "rq-eval",
                       "Evaluates the encoder of a checkpoint on packed datasets.", commands);
}
