// SPDX-License-Identifier: Apache-2.0
//
// `rq-pack build`: from the command line to rq_build, and the line that says how it went.
#include "common/clock.h"
#include "common/json.h"
#include "pack/build.h"
#include "tools/cli.h"
#include "tools/pack_commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct request {
    const char *out, *encode, *masks, *name;
    uint64_t shard_bytes;
    int level, threads, layout, on_bad;
    bool force, dry_run;
} request;

static const char *const layouts[] = {
    "auto", "class-folders", "flat-folder", "tar-of-tars", "tar-folders", "tar-flat", NULL};
static const char *const bad_policies[] = {"reject", "stop", NULL};

static const char examples[] =
    "  rq-pack build ILSVRC2012_img_train.tar -o imagenet\n"
    "  rq-pack build photos/ --masks masks/ -o photos-packed --encode ppm\n";

static int parse(request *q, int argc, char **argv, int *n_args)
{
    const rq_opt opts[] = {
        {RQ_OPT_GROUP, "", 0, NULL, NULL, "Output", 0, 0, NULL},
        {RQ_OPT_STRING, "out", 'o', &q->out, "DIR", "folder of the dataset (required)", 0, 0,
         NULL},
        {RQ_OPT_STRING, "encode", 0, &q->encode, "jpeg|ppm",
         "keep the source's bytes (PNG becomes ppm), or store exact pixels", 0, 0, NULL},
        {RQ_OPT_INT, "level", 0, &q->level, "N", "zstd level", 1, 19, NULL},
        {RQ_OPT_SIZE, "shard-size", 0, &q->shard_bytes, "SIZE",
         "a shard is closed when it reaches this", 0, 0, NULL},
        {RQ_OPT_STRING, "name", 0, &q->name, "NAME", "shards are called NAME-000000.tar.zst", 0,
         0, NULL},
        {RQ_OPT_BOOL, "force", 0, &q->force, NULL, "replace a dataset that is there already", 0,
         0, NULL},
        {RQ_OPT_BOOL, "dry-run", 0, &q->dry_run, NULL,
         "say what would be packed, write nothing", 0, 0, NULL},
        {RQ_OPT_GROUP, "", 0, NULL, NULL, "Input", 0, 0, NULL},
        {RQ_OPT_CHOICE, "layout", 0, &q->layout, "KIND", "how the source is arranged", 0, 0,
         layouts},
        {RQ_OPT_STRING, "masks", 0, &q->masks, "DIR",
         "saliency masks, CLASS/FILE.png or FILE.png for CLASS/FILE.EXT", 0, 0, NULL},
        {RQ_OPT_CHOICE, "on-bad", 0, &q->on_bad, "WHAT",
         "an image that cannot be used is rejected and named, or stops the build", 0, 0,
         bad_policies},
        {RQ_OPT_GROUP, "", 0, NULL, NULL, "Work", 0, 0, NULL},
        {RQ_OPT_INT, "threads", 0, &q->threads, "N", "encoding threads, 0 for one per CPU", 0,
         256, NULL},
        {0}};
    return rq_cli_parse(argc, argv, "SRC... -o DIR", examples, opts, n_args);
}

static int check(const request *q, int n_args, rq_encoding *encoding)
{
    if (n_args == 0)
        return rq_cli_usage("no source given: name folders or tar archives of images");
    if (!q->out)
        return rq_cli_usage("no output folder given: add -o DIR");
    if (strcmp(q->encode, "jpeg") == 0)
        *encoding = RQ_ENCODING_JPEG;
    else if (strcmp(q->encode, "ppm") == 0)
        *encoding = RQ_ENCODING_PPM;
    else if (strcmp(q->encode, "dct") == 0 || strcmp(q->encode, "avif") == 0 ||
             strcmp(q->encode, "raw") == 0)
        return rq_cli_usage("this version cannot write the encoding '%s'; use jpeg or ppm",
                            q->encode);
    else
        return rq_cli_usage("--encode '%s' is no encoding; use jpeg or ppm", q->encode);
    return -1;
}

// Begins with the first image: what fails before that is said in one line, without this one.
static void on_progress(void *cookie, uint64_t done, uint64_t total, uint64_t bytes)
{
    bool *begun = cookie;
    if (!*begun)
        rq_progress_begin("packing", "images", total);
    *begun = true;
    rq_progress_update(done, bytes, NULL);
}

static void print_json(const rq_build_result *r, int classes, double seconds)
{
    printf("{\"samples\": %" PRIu64 ", \"classes\": %d, \"shards\": %d, \"bytes\": %" PRIu64
           ", \"source_bytes\": %" PRIu64,
           r->samples, classes, r->shards, r->stored_bytes, r->source_bytes);
    for (int k = 0; k < RQ_VERDICT_COUNT; k++)
        printf(", \"%s\": %" PRIu64, rq_verdict_name((rq_verdict_kind)k), r->verdicts[k]);
    printf(", \"fallbacks\": %" PRIu64 ", \"masks\": %" PRIu64 ", \"bad_masks\": %" PRIu64
           ", \"seconds\": %.3f, \"manifest_sha256\": \"%s\"}\n",
           r->fallbacks, r->masks, r->bad_masks, seconds, r->manifest_sha256);
}

// One line: what went in, what came out, how fast.
static void print_summary(FILE *to, const rq_build_result *r, int classes, double seconds)
{
    char count[32], rate[32], time[32];
    fprintf(to, "%s image%s, %d class%s -> %d shard%s, %.1f MB (%.2fx), %" PRIu64 " fixed, ",
            rq_format_count(count, r->samples), r->samples == 1 ? "" : "s", classes,
            classes == 1 ? "" : "es", r->shards, r->shards == 1 ? "" : "s",
            (double)r->stored_bytes / 1e6,
            (double)r->stored_bytes / (double)(r->source_bytes ? r->source_bytes : 1),
            r->verdicts[RQ_VERDICT_FIXED]);
    if (r->verdicts[RQ_VERDICT_WARNED])
        fprintf(to, "%" PRIu64 " warned, ", r->verdicts[RQ_VERDICT_WARNED]);
    fprintf(to, "%" PRIu64 " rejected, ", r->verdicts[RQ_VERDICT_REJECTED]);
    if (r->masks || r->bad_masks)
        fprintf(to, "%" PRIu64 " masks, ", r->masks);
    if (r->fallbacks)
        fprintf(to, "%" PRIu64 " in another encoding, ", r->fallbacks);
    fprintf(to, "%s, %s img/s; manifest sha256 %s\n",
            rq_format_duration(time, sizeof time, seconds),
            rq_format_count(rate, (uint64_t)((double)r->samples / (seconds > 0 ? seconds : 1))),
            r->manifest_sha256);
}

static int dry_run(const request *q, const rq_source *src, rq_encoding encoding)
{
    char count[32], bytes[32];
    printf("%s images in %d classes, %s, layout %s; would be packed as %s into '%s'; nothing "
           "was written\n",
           rq_format_count(count, rq_source_count(src)), rq_source_classes(src),
           rq_format_bytes(bytes, (double)rq_source_bytes(src)),
           rq_layout_name(rq_source_layout(src)), rq_encoding_name(encoding), q->out);
    return 0;
}

static rq_status run_build(const request *q, rq_encoding encoding, rq_source *src,
                           rq_build_result *r, rq_err *err)
{
    rq_masks *masks = NULL;
    if (q->masks)
        RQ_TRY(rq_masks_open(&masks, q->masks, err));
    rq_build_opts o;
    rq_build_opts_default(&o);
    o.encoding = encoding;
    o.level = q->level;
    o.shard_bytes = q->shard_bytes;
    o.threads = q->threads;
    o.stop_on_bad = q->on_bad == 1;
    o.replace = q->force;
    o.name = q->name;
    o.log = rq_cli_log();
    bool begun = false;
    o.progress = on_progress;
    o.progress_cookie = &begun;
    o.cancel = &rq_cli_stop;
    const rq_status st = rq_build(q->out, src, masks, &o, r, err);
    if (begun)
        rq_progress_end();
    rq_masks_close(&masks);
    if (st == RQ_OK && q->masks && r->masks == 0)
        rq_log(&o.log, RQ_LOG_WARN, "no image has a mask in '%s'; check the names in it",
               q->masks);
    return st;
}

int rq_pack_build(int argc, char **argv)
{
    rq_build_opts defaults;
    rq_build_opts_default(&defaults);
    request q = {.encode = "jpeg",
                 .name = defaults.name,
                 .level = defaults.level,
                 .shard_bytes = defaults.shard_bytes};
    rq_encoding encoding = RQ_ENCODING_JPEG;
    int n_args = 0, code = parse(&q, argc, argv, &n_args);
    if (code < 0)
        code = check(&q, n_args, &encoding);
    if (code >= 0)
        return code;
    rq_err err = {0};
    rq_source *src = NULL;
    rq_source_opts so;
    rq_build_result r = {0};
    rq_source_opts_default(&so);
    so.layout = (rq_layout)q.layout;
    so.log = rq_cli_log();
    const uint64_t begin = rq_clock_ns();
    rq_status st =
        rq_source_open(&src, (const char *const *)argv + 1, (size_t)n_args, &so, &err);
    if (st == RQ_OK && q.dry_run) {
        code = dry_run(&q, src, encoding);
        rq_source_close(&src);
        return code;
    }
    if (st == RQ_OK)
        st = run_build(&q, encoding, src, &r, &err);
    const double seconds = (double)(rq_clock_ns() - begin) / 1e9;
    if (st == RQ_OK) {
        print_summary(rq_cli.json ? stderr : stdout, &r, rq_source_classes(src), seconds);
        if (rq_cli.json)
            print_json(&r, rq_source_classes(src), seconds);
    }
    rq_source_close(&src);
    if (st != RQ_OK)
        return rq_cli_fail(&err);
    if (r.verdicts[RQ_VERDICT_REJECTED] || r.bad_masks)
        fprintf(stderr,
                "rq-pack build: some inputs were left out; '%s/ingest-report.jsonl' names each "
                "with its reason\n",
                q.out);
    return r.verdicts[RQ_VERDICT_REJECTED] || r.bad_masks ? 1 : 0;
}
