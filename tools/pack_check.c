// SPDX-License-Identifier: Apache-2.0
//
// `rq-pack verify` and `rq-pack unpack`: reading a whole dataset, to check it or to write it
// out as files.
#include "common/clock.h"
#include "common/json.h"
#include "pack/unpack.h"
#include "pack/verify.h"
#include "tools/cli.h"
#include "tools/pack_commands.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- verify ------------------------------------------------------------------------------ */

typedef struct damage_list {
    rq_buf json; // sentences as JSON strings, for --json
    bool lost;   // out of memory
    bool begun;  // the progress line
} damage_list;

static void on_verified(void *cookie, uint64_t done, uint64_t total, uint64_t bytes)
{
    damage_list *list = cookie;
    if (!list->begun)
        rq_progress_begin("verifying", "images", total);
    list->begun = true;
    rq_progress_update(done, bytes, NULL);
}

static void on_damage(void *cookie, const char *sentence)
{
    damage_list *list = cookie;
    const rq_log_sink log = rq_cli_log();
    rq_log(&log, RQ_LOG_ERROR, "%s", sentence);
    if (!rq_cli.json)
        return;
    if (rq_buf_append(&list->json, ", ", list->json.size ? 2 : 0, NULL) != RQ_OK ||
        rq_json_append_string(&list->json, sentence, NULL) != RQ_OK)
        list->lost = true;
}

static void print_verified(const char *path, const rq_verify_result *r, bool deep,
                           double seconds, const damage_list *list)
{
    char count[32], time[32];
    const bool intact = r->damaged_samples == 0 && r->damaged_other == 0;
    fprintf(rq_cli.json ? stderr : stdout,
            "%s: %s samples in %d shard%s, %.1f MB, %s in %s, %.2f GB/s\n", path,
            rq_format_count(count, r->samples), r->shards, r->shards == 1 ? "" : "s",
            (double)r->bytes / 1e6,
            !intact ? "DAMAGED"
            : deep  ? "every byte and every picture intact"
                    : "every byte intact",
            rq_format_duration(time, sizeof time, seconds),
            (double)r->bytes / 1e9 / (seconds > 1e-9 ? seconds : 1e-9));
    if (rq_cli.json)
        printf("{\"intact\": %s, \"deep\": %s, \"samples\": %" PRIu64
               ", \"damaged_samples\": %" PRIu64 ", \"damaged_other\": %" PRIu64
               ", \"shards\": %d, \"bytes\": %" PRIu64
               ", \"seconds\": %.3f, \"damage_complete\": %s, \"damage\": [%s]}\n",
               intact ? "true" : "false", deep ? "true" : "false", r->samples,
               r->damaged_samples, r->damaged_other, r->shards, r->bytes, seconds,
               list->lost ? "false" : "true",
               list->json.size ? (const char *)list->json.data : "");
}

int rq_pack_verify(int argc, char **argv)
{
    bool deep = false;
    int threads = 0, n_args = 0;
    const rq_opt opts[] = {
        {RQ_OPT_BOOL, "deep", 0, &deep, NULL,
         "also unpack every sample, decode every picture, compare SHA-256", 0, 0, NULL},
        {RQ_OPT_INT, "threads", 0, &threads, "N", "0 for one per CPU", 0, 256, NULL},
        {0}};
    const int code =
        rq_cli_parse(argc, argv, "PATH", "  rq-pack verify imagenet --deep\n", opts, &n_args);
    if (code >= 0)
        return code;
    if (n_args != 1)
        return rq_cli_usage("name one dataset folder or shard to verify");
    damage_list list = {0};
    const rq_verify_opts o = {.deep = deep,
                              .threads = threads,
                              .damage = on_damage,
                              .progress = on_verified,
                              .cookie = &list,
                              .cancel = &rq_cli_stop};
    rq_verify_result r;
    rq_err err = {0};
    const uint64_t begin = rq_clock_ns();
    const rq_status st = rq_verify(argv[1], &o, &r, &err);
    if (list.begun)
        rq_progress_end();
    if (st == RQ_OK || st == RQ_BAD_CHECKSUM)
        print_verified(argv[1], &r, deep, (double)(rq_clock_ns() - begin) / 1e9, &list);
    rq_buf_free(&list.json);
    return st == RQ_OK ? 0 : rq_cli_fail(&err);
}

/* ---- unpack ------------------------------------------------------------------------------ */

static void on_unpacked(void *cookie, uint64_t done, uint64_t total, uint64_t bytes)
{
    rq_progress_update(done, bytes, NULL);
}

static rq_status run_unpack(const char *path, const char *dir, const rq_unpack_opts *o,
                            uint64_t *masks_there, rq_unpack_result *r, rq_err *err)
{
    rq_dataset *ds;
    RQ_TRY(rq_dataset_open(&ds, path, err));
    *masks_there = rq_dataset_masks(ds);
    rq_progress_begin("unpacking", "images", rq_dataset_count(ds));
    const rq_status st = rq_unpack(ds, dir, o, r, err);
    rq_progress_end();
    rq_dataset_close(&ds);
    return st;
}

int rq_pack_unpack(int argc, char **argv)
{
    const char *out = NULL;
    rq_unpack_opts o = {.progress = on_unpacked, .cancel = &rq_cli_stop};
    int n_args = 0;
    const rq_opt opts[] = {
        {RQ_OPT_STRING, "out", 'o', &out, "DIR", "folder for the images (required)", 0, 0,
         NULL},
        {RQ_OPT_STRING, "masks", 0, &o.masks, "DIR", "folder for the masks", 0, 0, NULL},
        {RQ_OPT_BOOL, "force", 0, &o.replace, NULL, "replace files that are there already", 0,
         0, NULL},
        {0}};
    const int code =
        rq_cli_parse(argc, argv, "PATH -o DIR",
                     "  rq-pack unpack photos-packed -o photos --masks masks\n", opts, &n_args);
    if (code >= 0)
        return code;
    if (n_args != 1)
        return rq_cli_usage("name one dataset folder or shard to unpack");
    if (!out)
        return rq_cli_usage("no output folder given: add -o DIR");
    rq_unpack_result r = {0};
    rq_err err = {0};
    uint64_t masks = 0;
    const rq_status st = run_unpack(argv[1], out, &o, &masks, &r, &err);
    if (st != RQ_OK)
        return rq_cli_fail(&err);
    char images[32];
    fprintf(rq_cli.json ? stderr : stdout, "%s images and %" PRIu64 " masks, %.1f MB -> '%s'\n",
            rq_format_count(images, r.images), r.masks, (double)r.bytes / 1e6, out);
    if (masks && !o.masks)
        fprintf(stderr,
                "rq-pack unpack: the dataset has %" PRIu64
                " masks; --masks DIR writes them too\n",
                masks);
    if (rq_cli.json)
        printf("{\"images\": %" PRIu64 ", \"masks\": %" PRIu64 ", \"bytes\": %" PRIu64 "}\n",
               r.images, r.masks, r.bytes);
    return 0;
}
