// SPDX-License-Identifier: Apache-2.0
//
// rq-dump: shows what training sees. It picks samples of a packed dataset, asks the real stream
// for their views and writes a self-contained page, a contact sheet, or the raw bytes.
#include "common/file.h"
#include "common/json.h"
#include "tools/cli.h"
#include "tools/dump.h"
#include "tools/dump_settings.h"
#include "tools/presets.h"
#include "tools/recipe_opts.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct request {
    const char *dataset;
    const char *ids;
    int random;
    uint64_t seed;
    int epoch;
    const char *html, *png, *raw;
    int cell;
    bool allow_missing_masks;
    const char *run;
    int preset;
    rq_recipe recipe;
    rq_buf command, image_command;
} request;

/* ---- which samples ---------------------------------------------------------------------- */

static rq_status places_of_ids(const rq_dataset *ds, const char *text, uint64_t *places, int *n,
                               rq_err *err)
{
    *n = 0;
    for (const char *s = text; *s != '\0';) {
        char *end;
        errno = 0;
        const unsigned long long id = strtoull(s, &end, 10);
        if (!isdigit((unsigned char)*s) || errno != 0 || (*end != ',' && *end != '\0'))
            return rq_fail(err, RQ_INVALID_ARG,
                           "--ids '%s' is not a list of sample ids; write --ids 3,17,42", text);
        if (*n == RQ_DUMP_MAX_IMAGES)
            return rq_fail(err, RQ_INVALID_ARG, "--ids names more than %d samples",
                           RQ_DUMP_MAX_IMAGES);
        if (rq_dataset_find(ds, id, &places[*n], NULL) != RQ_OK)
            return rq_fail(
                err, RQ_NOT_FOUND,
                "there is no sample %llu in this dataset of %llu; 'rq-pack ls' lists "
                "them",
                id, (unsigned long long)rq_dataset_count(ds));
        (*n)++;
        s = *end == ',' ? end + 1 : end;
    }
    if (*n == 0)
        return rq_fail(err, RQ_INVALID_ARG, "--ids is empty; write --ids 3,17,42");
    return RQ_OK;
}

/* The first images that training with this seed sees in this epoch. */
static void places_of_order(const rq_dataset *ds, const request *q, uint64_t *places, int *n)
{
    const uint64_t count = rq_dataset_count(ds);
    *n = (uint64_t)q->random < count ? q->random : (int)count;
    for (int i = 0; i < *n; i++)
        places[i] = rq_order_place(q->seed, (uint32_t)q->epoch, count, (uint64_t)i);
}

static rq_status collect(const request *q, const rq_dataset *ds, rq_dump *d, rq_err *err)
{
    uint64_t places[RQ_DUMP_MAX_IMAGES];
    int n = 0;
    if (rq_dataset_count(ds) == 0)
        return rq_fail(err, RQ_NOT_FOUND, "%s holds no samples", q->dataset);
    if (q->ids != NULL)
        RQ_TRY(places_of_ids(ds, q->ids, places, &n, err));
    else
        places_of_order(ds, q, places, &n);
    const rq_dump_opts o = {q->seed, (uint32_t)q->epoch, q->allow_missing_masks};
    RQ_TRY(rq_dump_collect(d, ds, &q->recipe, places, n, &o, err));
    d->dataset = q->dataset;
    d->command = (const char *)q->command.data;
    d->image_command = (const char *)q->image_command.data;
    return RQ_OK;
}

/* ---- the outputs ------------------------------------------------------------------------ */

static rq_status write_html(const rq_dump *d, const char *path, rq_err *err)
{
    rq_buf page = {0};
    rq_status st = rq_dump_html(d, &page, err);
    if (st == RQ_OK)
        st = rq_file_write_atomic(path, page.data, page.size, err);
    rq_buf_free(&page);
    return st;
}

static rq_status write_png(const rq_dump *d, const char *path, int cell, rq_err *err)
{
    rq_picture sheet = {0};
    rq_buf png = {0};
    rq_status st = rq_dump_sheet(d, cell, &sheet, err);
    if (st == RQ_OK)
        st = rq_png_encode(sheet.rgb, sheet.width, sheet.height, 3, &png, err);
    if (st == RQ_OK)
        st = rq_file_write_atomic(path, png.data, png.size, err);
    rq_buf_free(&png);
    rq_picture_free(&sheet);
    return st;
}

static rq_status write_in(const char *dir, const char *name, const rq_buf *data, rq_err *err)
{
    char *path = rq_path_join(dir, name);
    if (path == NULL)
        return rq_fail(err, RQ_OOM, "out of memory for a file name");
    const rq_status st = rq_file_write_atomic(path, data->data, data->size, err);
    rq_free(path);
    return st;
}

static rq_status write_raw(const rq_dump *d, const char *dir, rq_err *err)
{
    static const char *const names[RQ_MAX_GROUPS] = {"large.npy", "small.npy"};
    rq_buf file = {0};
    rq_status st = rq_mkdirs(dir, err);
    for (int g = 0; st == RQ_OK && g < RQ_MAX_GROUPS; g++) {
        if (d->recipe.group[g].views == 0)
            continue;
        file.size = 0;
        st = rq_dump_npy(d, g, &file, err);
        if (st == RQ_OK)
            st = write_in(dir, names[g], &file, err);
    }
    file.size = 0;
    if (st == RQ_OK)
        st = rq_dump_json(d, &file, err);
    if (st == RQ_OK)
        st = write_in(dir, "params.json", &file, err);
    rq_buf_free(&file);
    return st;
}

static rq_status write_outputs(const request *q, const rq_dump *d, rq_err *err)
{
    if (q->html != NULL)
        RQ_TRY(write_html(d, q->html, err));
    if (q->png != NULL)
        RQ_TRY(write_png(d, q->png, q->cell, err));
    if (q->raw != NULL)
        RQ_TRY(write_raw(d, q->raw, err));
    return RQ_OK;
}

static void print_result(const request *q, const rq_dump *d)
{
    const char *const paths[] = {q->html, q->png, q->raw};
    static const char *const kinds[] = {"html", "png", "raw"};
    if (rq_cli.json) {
        rq_buf line = {0};
        rq_status st = rq_buf_printf(&line, NULL, "{\"images\":%d,\"views\":%d", d->images,
                                     d->images * d->views);
        for (int i = 0; i < 3 && st == RQ_OK; i++) {
            if (paths[i] == NULL)
                continue;
            st = rq_buf_printf(&line, NULL, ",\"%s\":", kinds[i]);
            if (st == RQ_OK)
                st = rq_json_append_string(&line, paths[i], NULL);
        }
        if (st == RQ_OK)
            printf("%.*s}\n", (int)line.size, (const char *)line.data);
        rq_buf_free(&line);
        return;
    }
    for (int i = 0; i < 3; i++)
        if (paths[i] != NULL)
            printf("%s: %d images, %d views\n", paths[i], d->images, d->images * d->views);
}

/* ---- the command line, kept for the page ------------------------------------------------ */

static rq_status put_word(rq_buf *out, const char *word, rq_err *err)
{
    const bool plain =
        word[0] != '\0' && strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                        "0123456789-_=./,:+@%") == strlen(word);
    if (plain)
        return rq_buf_printf(out, err, " %s", word);
    RQ_TRY(rq_buf_printf(out, err, " '"));
    for (const char *c = word; *c != '\0'; c++)
        RQ_TRY(*c == '\'' ? rq_buf_printf(out, err, "'\\''") : rq_buf_append(out, c, 1, err));
    return rq_buf_printf(out, err, "'");
}

/* Options that say which images and where to write: left out of a single image's command. */
static bool chooses_output(const char *word, bool *takes_next)
{
    static const char *const names[] = {"--ids", "--random", "--html", "--png", "--raw"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const size_t n = strlen(names[i]);
        if (strncmp(word, names[i], n) == 0 && (word[n] == '\0' || word[n] == '=')) {
            *takes_next = word[n] == '\0';
            return true;
        }
    }
    return false;
}

static rq_status keep_command(request *q, int argc, char **argv, rq_err *err)
{
    RQ_TRY(rq_buf_printf(&q->command, err, "rq-dump views"));
    RQ_TRY(rq_buf_printf(&q->image_command, err, "rq-dump views"));
    for (int i = 1; i < argc; i++)
        RQ_TRY(put_word(&q->command, argv[i], err));
    for (int i = 1; i < argc; i++) {
        bool takes_next = false;
        if (!chooses_output(argv[i], &takes_next))
            RQ_TRY(put_word(&q->image_command, argv[i], err));
        i += takes_next;
    }
    RQ_TRY(rq_buf_append(&q->command, "", 1, err));
    return rq_buf_append(&q->image_command, "", 1, err);
}

static rq_status dump_views(const request *q, rq_err *err)
{
    rq_dataset *ds = NULL;
    rq_dump d = {0};
    rq_status st = rq_dataset_open(&ds, q->dataset, err);
    if (st == RQ_OK)
        st = collect(q, ds, &d, err);
    if (st == RQ_OK)
        st = write_outputs(q, &d, err);
    if (st == RQ_OK)
        print_result(q, &d);
    rq_dump_free(&d);
    rq_dataset_close(&ds);
    return st;
}

/* A preset or a run first: what is typed besides wins over it. */
static rq_status take_settings(int argc, char **argv, const rq_opt *opts, rq_err *err)
{
    const int preset = rq_preset_in_arguments(argc, argv);
    if (preset >= 0)
        RQ_TRY(rq_dump_take_preset(preset, opts, err));
    const char *run = rq_dump_argument(argc, argv, "run");
    return run != NULL ? rq_dump_take_run(run, opts, err) : RQ_OK;
}

static int parse(request *q, int argc, char **argv)
{
    rq_recipe_opts ro = rq_recipe_opts_default();
    const rq_opt opts[] = {
        {RQ_OPT_GROUP, "", 0, NULL, NULL, "Which views", 0, 0, NULL},
        {RQ_OPT_INT, "random", 0, &q->random, "K",
         "the first K images of the epoch's order, as training sees them", 1,
         RQ_DUMP_MAX_IMAGES, NULL},
        {RQ_OPT_STRING, "ids", 0, &q->ids, "A,B,...", "these sample ids instead", 0, 0, NULL},
        {RQ_OPT_U64, "seed", 0, &q->seed, "N", "seed of the run", 0, 0, NULL},
        {RQ_OPT_INT, "epoch", 0, &q->epoch, "N", "epoch of the run, from 0", 0, 1e9, NULL},
        {RQ_OPT_BOOL, "allow-missing-masks", 0, &q->allow_missing_masks, NULL,
         "images without a mask are used unmasked", 0, 0, NULL},
        {RQ_OPT_STRING, "run", 0, &q->run, "DIR", "seed and recipe of this training run", 0, 0,
         NULL},
        {RQ_OPT_CHOICE, "preset", 0, &q->preset, "NAME", "recipe of this preset of rq-train", 0,
         0, rq_preset_names},
        {RQ_OPT_GROUP, "", 0, NULL, NULL, "Where to write", 0, 0, NULL},
        {RQ_OPT_STRING, "html", 0, &q->html, "FILE", "self-contained page", 0, 0, NULL},
        {RQ_OPT_STRING, "png", 0, &q->png, "FILE", "contact sheet", 0, 0, NULL},
        {RQ_OPT_STRING, "raw", 0, &q->raw, "DIR",
         "large.npy, small.npy (the batch's bytes) and params.json", 0, 0, NULL},
        {RQ_OPT_INT, "cell", 0, &q->cell, "PX", "side of a large view on the contact sheet", 32,
         512, NULL},
        RQ_RECIPE_OPTS(ro),
        {0}};
    int n_args = 0;
    rq_err err = {0};
    if (take_settings(argc, argv, opts, &err) != RQ_OK)
        return rq_cli_fail(&err);
    const int rc =
        rq_cli_parse(argc, argv, "DATASET",
                     "  rq-dump views dataset --random 8 --html views.html\n"
                     "  rq-dump views dataset --run run --epoch 3 --png sheet.png\n"
                     "  rq-dump views dataset --ids 17 --seed 3 --epoch 12 --png 17.png\n",
                     opts, &n_args);
    if (rc >= 0)
        return rc;
    if (n_args != 1)
        return rq_cli_usage(n_args == 0 ? "which dataset? name the folder that rq-pack made"
                                        : "one dataset at a time, not also '%s'",
                            n_args > 1 ? argv[2] : "");
    if (q->html == NULL && q->png == NULL && q->raw == NULL)
        return rq_cli_usage("nothing to write: give --html FILE, --png FILE or --raw DIR");
    q->dataset = argv[1];
    if (rq_recipe_opts_apply(&ro, &q->recipe, &err) != RQ_OK)
        return rq_cli_fail(&err);
    return -1;
}

static int run_views(int argc, char **argv)
{
    request q = {.random = 8, .cell = 128};
    rq_err err = {0};
    if (keep_command(&q, argc, argv, &err) != RQ_OK)
        return rq_cli_fail(&err);
    int rc = parse(&q, argc, argv);
    if (rc < 0)
        rc = dump_views(&q, &err) == RQ_OK ? 0 : rq_cli_fail(&err);
    rq_buf_free(&q.command);
    rq_buf_free(&q.image_command);
    return rc;
}

int main(int argc, char **argv)
{
    static const rq_cli_command commands[] = {
        {"views", "show images with their crops, masks, views and parameters", run_views},
        {NULL, NULL, NULL}};
    return rq_cli_main(argc, argv, "rq-dump", "shows what training sees", commands);
}
