// SPDX-License-Identifier: Apache-2.0
//
// rq-train: pre-trains an encoder with RELICv2 on a packed dataset, checks a configuration, and
// exports the encoder. One table of options serves `run` and `check`; what it says is saved
// with every run.
#include "common/clock.h"
#include "common/file.h"
#include "common/json.h"
#include "common/pool.h"
#include "tools/classes.h"
#include "tools/cli.h"
#include "tools/presets.h"
#include "tools/recipe_opts.h"
#include "tools/report.h"
#include "train/run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct settings {
    int preset;
    const char *data, *out, *val;
    int backend, precision, threads;
    int arch, stem, inv_stop;
    float eval_every, eval_fraction;
    int eval_size;
    rq_recipe_opts recipe;
    rq_train_config c;
    rq_run_opts run;
    rq_buf config_text;
} settings;

static const char *const backends[] = {"auto", "cpu", "cuda", "ref", NULL};
static const char *const precisions[] = {"auto", "f32", "bf16", NULL};
static const char *const archs[] = {"resnet18",  "resnet34",  "resnet50", "resnet101",
                                    "resnet152", "resnet200", NULL};
static const char *const stems[] = {"imagenet", "cifar", NULL};
static const char *const stops[] = {"entropy", "first", "second", "none", NULL};

/* May differ between the parts of a run: they do not decide its numbers. */
static const char *const free_keys[] = {"preset",     "data",
                                        "out",        "val",
                                        "threads",    "save-every",
                                        "keep",       "report-every",
                                        "max-time",   "force-resume",
                                        "progress",   "json",
                                        "config",     "stop-on-collapse",
                                        "bad-budget", NULL};

enum { PRECISION_AUTO, MAX_ROWS = 128 };

/* ---- options ------------------------------------------------------------------------------
 */

static rq_status settings_init(settings *s, rq_err *err)
{
    *s = (settings){.recipe = rq_recipe_opts_default(),
                    .arch = RQ_RESNET50,
                    .precision = 1,
                    .eval_fraction = 0.875f};
    rq_run_opts_default(&s->run);
    return rq_train_config_default(&s->c, err);
}

/* Fills the table, ended by an empty row. */
static void make_table(rq_opt table[MAX_ROWS], settings *s)
{
    rq_train_config *c = &s->c;
    rq_run_opts *r = &s->run;
    const rq_opt rows[] = {
        {RQ_OPT_GROUP, "", 0, NULL, NULL, "Run", 0, 0, NULL},
        {RQ_OPT_STRING, "data", 0, &s->data, "DIR", "packed dataset to train on", 0, 0, NULL},
        {RQ_OPT_STRING, "out", 'o', &s->out, "DIR",
         "run folder; resumed when it has a checkpoint", 0, 0, NULL},
        {RQ_OPT_CHOICE, "preset", 0, &s->preset, "NAME", "starting point of all options below",
         0, 0, rq_preset_names},
        {RQ_OPT_FLOAT, "epochs", 0, &c->epochs, "X", "times every image is seen", 0, 1e6, NULL},
        {RQ_OPT_U64, "steps", 0, &c->steps, "N", "steps instead of epochs, 0: by epochs", 0, 0,
         NULL},
        {RQ_OPT_TIME, "max-time", 0, &r->max_time, "TIME",
         "save and stop after this time, 0: never", 0, 0, NULL},
        {RQ_OPT_U64, "seed", 0, &c->seed, "N", "seed of weights, order, views and negatives", 0,
         0, NULL},
        {RQ_OPT_INT, "threads", 0, &s->threads, "N", "threads, 0: one per CPU", 0, 4096, NULL},
        {RQ_OPT_CHOICE, "backend", 0, &s->backend, "NAME", "who computes", 0, 0, backends},
        {RQ_OPT_CHOICE, "precision", 0, &s->precision, "NAME",
         "of convolutions; auto: bf16 where the CPU has it", 0, 0, precisions},
        {RQ_OPT_U64, "save-every", 0, &r->save_every, "N",
         "steps between checkpoints, 0: once an epoch", 0, 0, NULL},
        {RQ_OPT_INT, "keep", 0, &r->keep, "N", "checkpoints kept", 2, 1e6, NULL},
        {RQ_OPT_U64, "metrics-every", 0, &r->metrics_every, "N",
         "steps between lines of metrics.jsonl", 0, 0, NULL},
        {RQ_OPT_TIME, "report-every", 0, &r->report_every, "TIME",
         "time between progress lines", 0, 0, NULL},
        {RQ_OPT_BOOL, "force-resume", 0, &r->force_resume, NULL,
         "resume although options or data differ", 0, 0, NULL},
        {RQ_OPT_BOOL, "stop-on-collapse", 0, &r->stop_on_collapse, NULL,
         "end the run when the embeddings collapse", 0, 0, NULL},
        {RQ_OPT_BOOL, "allow-missing-masks", 0, &r->allow_missing_masks, NULL,
         "images without a mask are used unmasked", 0, 0, NULL},
        {RQ_OPT_U64, "bad-budget", 0, &r->bad_budget, "N",
         "damaged samples replaced before the run stops", 0, 0, NULL},
        {RQ_OPT_GROUP, "", 0, NULL, NULL, "Online kNN", 0, 0, NULL},
        {RQ_OPT_FLOAT, "eval-every", 0, &s->eval_every, "X",
         "epochs between evaluations, 0: never", 0, 1e6, NULL},
        {RQ_OPT_STRING, "val", 0, &s->val, "DIR",
         "packed dataset of queries; without: every tenth training image", 0, 0, NULL},
        {RQ_OPT_U64, "eval-images", 0, &r->eval_images, "N", "images looked at, at most", 0, 0,
         NULL},
        {RQ_OPT_INT, "k", 0, &r->knn.k, "N", "neighbours", 1, RQ_KNN_MAX_K, NULL},
        {RQ_OPT_INT, "eval-size", 0, &s->eval_size, "PX",
         "side of the evaluation view, 0: as the large views", 0, 1024, NULL},
        {RQ_OPT_FLOAT, "eval-fraction", 0, &s->eval_fraction, "X",
         "side of its centre crop, of the shorter side", 0.01, 1, NULL},
        {RQ_OPT_GROUP, "", 0, NULL, NULL, "Model", 0, 0, NULL},
        {RQ_OPT_CHOICE, "arch", 0, &s->arch, "NAME", "encoder", 0, 0, archs},
        {RQ_OPT_CHOICE, "stem", 0, &s->stem, "NAME", "first layers; cifar: 3x3, no pooling", 0,
         0, stems},
        {RQ_OPT_INT, "base-width", 0, &c->model.base_width, "N",
         "channels of the first layer; 64 is 1x", 8, 1024, NULL},
        {RQ_OPT_INT, "proj-hidden", 0, &c->model.proj_hidden, "N",
         "hidden units of the projector", 1, 65536, NULL},
        {RQ_OPT_INT, "proj-out", 0, &c->model.proj_out, "N", "width of the embedding", 1, 65536,
         NULL},
        {RQ_OPT_INT, "pred-hidden", 0, &c->model.pred_hidden, "N",
         "hidden units of the predictor", 1, 65536, NULL},
        {RQ_OPT_GROUP, "", 0, NULL, NULL, "Loss", 0, 0, NULL},
        {RQ_OPT_FLOAT, "alpha", 0, &c->loss.alpha, "X", "weight of the contrastive term", 0,
         1e6, NULL},
        {RQ_OPT_FLOAT, "beta", 0, &c->loss.beta, "X", "weight of the invariance term", 0, 1e6,
         NULL},
        {RQ_OPT_FLOAT, "tau", 0, &c->loss.tau, "X", "temperature", 1e-3, 1e3, NULL},
        {RQ_OPT_INT, "negatives", 0, &c->loss.negatives, "N", "drawn per anchor and pair", 1,
         RQ_LOSS_MAX_IMAGES, NULL},
        {RQ_OPT_CHOICE, "inv-stop", 0, &s->inv_stop, "NAME",
         "what of the invariance term gets no gradient", 0, 0, stops},
        {RQ_OPT_BOOL, "same-view", 0, &c->loss.include_same_view, NULL,
         "pair a large view with itself in the target", 0, 0, NULL},
        {RQ_OPT_GROUP, "", 0, NULL, NULL, "Optimiser", 0, 0, NULL},
        {RQ_OPT_INT, "batch", 0, &c->batch, "N", "images of a step", 2, RQ_LOSS_MAX_IMAGES,
         NULL},
        {RQ_OPT_FLOAT, "lr", 0, &c->lr, "X",
         "learning rate for 256 images; the peak is lr * batch / 256", 0, 1e6, NULL},
        {RQ_OPT_FLOAT, "warmup-epochs", 0, &c->warmup_epochs, "X", "epochs from 0 to the peak",
         0, 1e6, NULL},
        {RQ_OPT_FLOAT, "momentum", 0, &c->optimizer.momentum, "X", "of LARS", 0, 1, NULL},
        {RQ_OPT_FLOAT, "weight-decay", 0, &c->optimizer.weight_decay, "X",
         "not on biases and BatchNorm", 0, 1, NULL},
        {RQ_OPT_FLOAT, "trust", 0, &c->optimizer.trust, "X",
         "trust coefficient of LARS, 0: plain SGD", 0, 1, NULL},
        {RQ_OPT_FLOAT, "ema", 0, &c->ema, "X",
         "momentum of the target network at the start, 1 at the end", 0, 1, NULL},
        RQ_RECIPE_OPTS(s->recipe),
        {0},
    };
    _Static_assert(sizeof rows / sizeof *rows <= MAX_ROWS, "the table has room");
    memcpy(table, rows, sizeof rows);
}

/* Options to the values the trainer wants. */
static rq_status settle(settings *s, rq_err *err)
{
    s->c.model.arch = (rq_arch)s->arch;
    s->c.model.stem = (rq_stem)s->stem;
    s->c.loss.inv_stop = (rq_inv_stop)s->inv_stop;
    RQ_TRY(rq_recipe_opts_apply(&s->recipe, &s->c.recipe, err));
    RQ_TRY(rq_train_config_check(&s->c, err));
    RQ_TRY(rq_recipe_preset(&s->run.eval_recipe, "eval", err));
    if (s->eval_size == 0)
        s->eval_size = s->c.recipe.group[0].size;
    s->run.eval_recipe.group[0].size = s->eval_size;
    s->run.eval_recipe.center_fraction = s->eval_fraction;
    RQ_TRY(rq_recipe_check(&s->run.eval_recipe, err));
    s->run.out = s->out;
    s->run.threads = s->threads;
    s->run.eval_every = (double)s->eval_every;
    s->run.free_keys = free_keys;
    s->run.log = rq_cli_log();
    s->run.stop = &rq_cli_stop;
    return RQ_OK;
}

/* Preset, config file, command line, in ascending order of who wins. A preset named in the
 * config file is applied in a second round. Returns -1 or an exit code. */
static int parse(settings *s, rq_opt table[MAX_ROWS], int argc, char **argv, const char *usage,
                 const char *examples)
{
    rq_err err = {0};
    int preset = rq_preset_in_arguments(argc, argv);
    for (int round = 0; round < 2; round++) {
        char *copy[1024];
        int n_args;
        if (argc >= 1024)
            return rq_cli_usage("too many arguments");
        memcpy(copy, argv, (size_t)argc * sizeof *argv);
        if (settings_init(s, &err) != RQ_OK)
            return rq_cli_fail(&err);
        make_table(table, s);
        if (preset >= 0) {
            if (rq_preset_apply(preset, table, &err) != RQ_OK)
                return rq_cli_fail(&err);
            s->preset = preset;
        }
        const int rc = rq_cli_parse(argc, copy, usage, examples, table, &n_args);
        if (rc >= 0)
            return rc;
        if (n_args > 0)
            return rq_cli_usage("'%s' is not expected; the dataset is --data DIR", copy[1]);
        if (s->preset == preset || (preset < 0 && s->preset == 0))
            break;
        preset = s->preset;
    }
    if (s->data == NULL)
        return rq_cli_usage("which dataset? give --data DIR, a folder that rq-pack made");
    return settle(s, &err) == RQ_OK ? -1 : rq_cli_fail(&err);
}

/* "auto" takes bf16 if the backend has it; what it came to is what the run saves. */
static rq_status make_backend(settings *s, rq_backend **b, rq_err *err)
{
    rq_backend_opts o = {.threads = s->threads, .precision = RQ_BF16};
    if (s->precision == PRECISION_AUTO) {
        if (rq_backend_create(b, backends[s->backend], &o, NULL) == RQ_OK) {
            s->precision = 1 + RQ_BF16;
            s->c.precision = RQ_BF16;
            return RQ_OK;
        }
        s->precision = 1 + RQ_F32;
    }
    o.precision = s->c.precision = (rq_precision)(s->precision - 1);
    return rq_backend_create(b, backends[s->backend], &o, err);
}

/* ---- run ----------------------------------------------------------------------------------
 */

static void print_report(void *cookie, const rq_run_report *r)
{
    (void)cookie;
    char left[32], step[32], steps[32];
    if (rq_cli.verbose < 0)
        return;
    fprintf(stderr,
            "ep %.1f/%.0f · it %s/%s · loss %.4f · con %.4f · inv %.4f · agree %.1f %% · "
            "std %.2f · lr %.3g · ema %.4f · %.0f img/s · data wait %.1f %% · eta %s\n",
            r->epoch, r->epochs, rq_format_count(step, r->step),
            rq_format_count(steps, r->steps), r->stats.terms.loss, r->stats.terms.contrastive,
            r->stats.terms.invariance, 100 * r->stats.terms.agreement, r->stats.terms.spread,
            r->stats.lr, r->stats.ema, r->images_per_s, 100 * r->data_wait,
            rq_format_duration(left, sizeof left, r->left));
}

static rq_status open_data(const char *path, rq_dataset **ds, rq_err *err)
{
    RQ_TRY(rq_dataset_open(ds, path, err));
    if (rq_dataset_count(*ds) == 0)
        return rq_fail(err, RQ_NOT_FOUND, "%.300s holds no images", path);
    return RQ_OK;
}

static void print_plan(const settings *s, const rq_backend *b, const rq_dataset *ds)
{
    char count[32];
    if (rq_cli.verbose < 0)
        return;
    fprintf(stderr,
            "%s, width %d, %s stem · %d x %d px + %d x %d px views · batch %d · %s images\n"
            "%s\n",
            archs[s->arch], s->c.model.base_width, stems[s->stem], s->c.recipe.group[0].views,
            s->c.recipe.group[0].size, s->c.recipe.group[1].views, s->c.recipe.group[1].size,
            s->c.batch, rq_format_count(count, rq_dataset_count(ds)), rq_backend_describe(b));
}

static void print_result(const settings *s, const rq_run_result *r, rq_status st)
{
    char time[32], images[32];
    const char *state = st == RQ_OK ? "done" : "stopped, run again to continue";
    if (rq_cli.json) {
        rq_buf path = {0};
        if (rq_json_append_string(&path, r->checkpoint, NULL) == RQ_OK)
            printf("{\"state\":\"%s\",\"step\":%" PRIu64 ",\"steps\":%" PRIu64
                   ",\"first_step\":%" PRIu64 ",\"images\":%" PRIu64
                   ",\"seconds\":%.3f,\"data_wait\":%.4f,\"checkpoint\":%s",
                   st == RQ_OK      ? "done"
                   : st == RQ_SAVED ? "saved"
                                    : "failed",
                   r->step, r->steps, r->first_step, r->images, r->seconds, r->data_wait,
                   (const char *)path.data);
        if (r->knn >= 0)
            printf(",\"knn\":%.6f,\"best_knn\":%.6f", r->knn, r->best_knn);
        puts("}");
        rq_buf_free(&path);
        return;
    }
    printf("%s at step %" PRIu64 " of %" PRIu64 " · %s images in %s · data wait %.1f %%\n",
           state, r->step, r->steps, rq_format_count(images, r->images),
           rq_format_duration(time, sizeof time, r->seconds), 100 * r->data_wait);
    if (r->knn >= 0)
        printf("online kNN %.2f %% (best %.2f %%)\n", 100 * r->knn, 100 * r->best_knn);
    if (r->checkpoint[0] != '\0')
        printf("checkpoint %s\nnext: rq-eval knn --run %s --train %s --val DIR\n",
               r->checkpoint, s->out, s->data);
}

static rq_status train(settings *s, const rq_opt *table, rq_run_result *result, rq_err *err)
{
    rq_backend *b = NULL;
    rq_dataset *data = NULL, *val = NULL;
    rq_status st = open_data(s->data, &data, err);
    if (st == RQ_OK && s->val != NULL)
        st = open_data(s->val, &val, err);
    if (st == RQ_OK && s->val != NULL && s->run.eval_every > 0)
        st = rq_check_classes(data, val, err);
    if (st == RQ_OK)
        st = make_backend(s, &b, err);
    if (st == RQ_OK)
        st = rq_cli_config_text(table, &s->config_text, err);
    if (st == RQ_OK) {
        print_plan(s, b, data);
        s->run.data = data;
        s->run.val = val;
        s->run.config_text = (const char *)s->config_text.data;
        s->run.report = print_report;
        st = rq_run(result, b, &s->c, &s->run, err);
    }
    rq_buf_free(&s->config_text);
    rq_backend_destroy(&b);
    rq_dataset_close(&val);
    rq_dataset_close(&data);
    return st;
}

static int run_command(int argc, char **argv)
{
    static settings s;
    rq_opt table[MAX_ROWS];
    int rc = parse(&s, table, argc, argv, "--data DIR --out DIR [options]",
                   "  rq-train run --data cifar --preset cifar-rn18 --out run\n"
                   "  rq-train run --config run/config.txt      (go on where it stopped)\n");
    if (rc >= 0)
        return rc;
    if (s.out == NULL)
        return rq_cli_usage("where to? give --out DIR, a folder for the run");
    rq_err err = {0};
    rq_run_result result = {.knn = -1, .best_knn = -1};
    const rq_status st = train(&s, table, &result, &err);
    if (st == RQ_OK || st == RQ_SAVED) {
        print_result(&s, &result, st);
        return rq_status_exit_code(st);
    }
    if (rq_cli.json)
        print_result(&s, &result, st);
    if (result.checkpoint[0] != '\0')
        fprintf(stderr, "the last good checkpoint is %s\n", result.checkpoint);
    return rq_cli_fail(&err);
}

/* ---- check --------------------------------------------------------------------------------
 */

static void print_memory(const rq_trainer *t, const rq_train_plan *plan, size_t stream)
{
    const rq_train_memory m = rq_trainer_memory(t);
    const struct {
        const char *name;
        size_t bytes;
    } rows[] = {{"parameters, gradients, momentum, target", m.parameters},
                {"activations", m.activations},
                {"scratch of the networks", m.scratch},
                {"loss", m.loss},
                {"stream", stream}};
    size_t total = 0;
    char text[32];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        printf("%-42s %12s\n", rows[i].name, rq_format_bytes(text, (double)rows[i].bytes));
        total += rows[i].bytes;
    }
    printf("%-42s %12s\n", "memory in all", rq_format_bytes(text, (double)total));
    printf("%" PRIu64 " steps, %" PRIu64 " of them warm-up, peak learning rate %.4g, "
           "%.3g GFLOP a step\n",
           plan->steps, plan->warmup, plan->peak_lr, m.flops * 1e-9);
}

static rq_status check_step(rq_trainer *t, rq_stream *stream, rq_err *err)
{
    const rq_batch *batch;
    rq_step_stats stats;
    char time[32];
    RQ_TRY(rq_stream_next(stream, &batch, err));
    const uint64_t start = rq_clock_ns();
    const rq_status st = rq_trainer_step(t, batch, &stats, err);
    rq_stream_release(stream, batch);
    RQ_TRY(st);
    printf("one step: loss %.4f, contrastive %.4f, invariance %.4f, std %.2f, gradient %.3g, "
           "%s\n",
           stats.terms.loss, stats.terms.contrastive, stats.terms.invariance,
           stats.terms.spread, stats.grad_norm,
           rq_format_duration(time, sizeof time, (double)(rq_clock_ns() - start) * 1e-9));
    return RQ_OK;
}

static rq_status check(settings *s, rq_err *err)
{
    rq_backend *b = NULL;
    rq_dataset *data = NULL;
    rq_trainer *t = NULL;
    rq_stream *stream = NULL;
    rq_train_plan plan;
    rq_stream_opts so;
    rq_stream_opts_default(&so);
    so.seed = s->c.seed;
    so.batch = s->c.batch;
    so.threads = s->threads;
    so.allow_missing_masks = s->run.allow_missing_masks;
    so.bad_budget = s->run.bad_budget;
    so.log = s->run.log;
    rq_status st = open_data(s->data, &data, err);
    if (st == RQ_OK)
        st = rq_train_plan_make(&plan, &s->c, rq_dataset_count(data), err);
    if (st == RQ_OK)
        st = make_backend(s, &b, err);
    if (st == RQ_OK)
        st = rq_trainer_create(&t, b, &s->c, &plan, err);
    if (st == RQ_OK)
        st = rq_stream_open(&stream, data, &s->c.recipe, &so, err);
    if (st == RQ_OK) {
        print_plan(s, b, data);
        print_memory(t, &plan, rq_stream_get_stats(stream).memory_bytes);
        st = check_step(t, stream, err);
    }
    rq_stream_close(&stream);
    rq_trainer_destroy(&t);
    rq_backend_destroy(&b);
    rq_dataset_close(&data);
    return st;
}

static int check_command(int argc, char **argv)
{
    static settings s;
    rq_opt table[MAX_ROWS];
    const int rc = parse(&s, table, argc, argv, "--data DIR [options]",
                         "  rq-train check --data imagenet --preset relicv2-rn50-100\n");
    if (rc >= 0)
        return rc;
    rq_err err = {0};
    return check(&s, &err) == RQ_OK ? 0 : rq_cli_fail(&err);
}

/* ---- export -------------------------------------------------------------------------------
 */

static rq_status export_from(const rq_checkpoint *c, bool target, const char *out, rq_err *err)
{
    rq_model *m = NULL;
    RQ_TRY(rq_model_create(&m, rq_checkpoint_model(c), err));
    float *values = rq_calloc(rq_model_param_floats(m), sizeof *values);
    float *state = rq_calloc(rq_model_state_floats(m), sizeof *state);
    rq_status st = values == NULL || state == NULL
                       ? rq_fail(err, RQ_OOM, "no memory for the parameters of the model")
                       : RQ_OK;
    const rq_weights w = target ? (rq_weights){.target_values = values, .target_state = state}
                                : (rq_weights){.values = values, .state = state};
    if (st == RQ_OK)
        st = rq_checkpoint_read(c, m, &w, err);
    char step[24];
    snprintf(step, sizeof step, "%" PRIu64, rq_checkpoint_step(c));
    const rq_st_meta meta[] = {{"format", "pt"},
                               {"arch", rq_arch_name(rq_checkpoint_model(c)->arch)},
                               {"net", target ? "target" : "online"},
                               {"step", step}};
    if (st == RQ_OK)
        st = rq_export_encoder(out, m, values, state, meta, sizeof meta / sizeof *meta,
                               (int64_t)rq_checkpoint_step(c), err);
    rq_free(values);
    rq_free(state);
    rq_model_destroy(&m);
    return st;
}

static int export_command(int argc, char **argv)
{
    static const char *const nets[] = {"online", "target", NULL};
    const char *ckpt = NULL, *run = NULL, *out = NULL;
    int net = 0, n_args;
    const rq_opt opts[] = {
        {RQ_OPT_STRING, "ckpt", 0, &ckpt, "FILE", "checkpoint", 0, 0, NULL},
        {RQ_OPT_STRING, "run", 0, &run, "DIR", "run folder, its newest checkpoint", 0, 0, NULL},
        {RQ_OPT_STRING, "out", 'o', &out, "FILE", "safetensors file to write", 0, 0, NULL},
        {RQ_OPT_CHOICE, "net", 0, &net, "NAME", "which network's encoder", 0, 0, nets},
        {0}};
    const int rc =
        rq_cli_parse(argc, argv, "--run DIR -o FILE [--net online|target]",
                     "  rq-train export --run run -o encoder.safetensors\n", opts, &n_args);
    if (rc >= 0)
        return rc;
    if (n_args > 0 || (ckpt == NULL) == (run == NULL) || out == NULL)
        return rq_cli_usage("give --ckpt FILE or --run DIR, and -o FILE");
    rq_err err = {0};
    rq_checkpoint *c = NULL;
    const rq_log_sink log = rq_cli_log();
    rq_status st = ckpt != NULL ? rq_checkpoint_open(&c, ckpt, &err)
                                : rq_checkpoint_open_latest(&c, run, &log, &err);
    if (st == RQ_OK)
        st = export_from(c, net == 1, out, &err);
    if (st == RQ_OK)
        printf("%s: %s encoder of step %" PRIu64 ", keys as in torchvision; load it with\n"
               "  from safetensors.torch import load_file\n"
               "  model.load_state_dict(load_file(\"%s\"), strict=False)\n",
               out, nets[net], rq_checkpoint_step(c), out);
    rq_checkpoint_close(&c);
    return st == RQ_OK ? 0 : rq_cli_fail(&err);
}

int main(int argc, char **argv)
{
    static const rq_cli_command commands[] = {
        {"run", "pre-train on a packed dataset, or go on with a run", run_command},
        {"check", "memory plan and one step, nothing is written", check_command},
        {"export", "the encoder alone, for torchvision and others", export_command},
        {"report", "a page with the curves of a run", rq_report_command},
        {0}};
    return rq_cli_main(argc, argv, "rq-train",
                       "Pre-trains image encoders with RELICv2 on packed datasets.", commands);
}
