// SPDX-License-Identifier: Apache-2.0
//
// `rq-pack build`: from the command line to rq_build, and the line that says how it went.
#include "common/clock.h"
#include "common/json.h"
#include "pack/build.h"
#include "tools/cli.h"
#include "tools/pack_commands.h"
#include "tools/source_opts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct request {
    const char *out, *masks, *name, *part;
    rq_source_request source;
    rq_encode_opts encode;
    uint64_t shard_bytes;
    int encoding, chroma, exif, dedup; // choices
    int threads, on_bad;
    bool force, dry_run;
} request;

// In the order of the enums.
static const char *const encodings[] = {"jpeg", "dct", "avif", "ppm", "raw", NULL};
static const char *const chromas[] = {"auto", "keep", "420", "444", NULL};
static const char *const exifs[] = {"ignore", "apply", NULL};
static const char *const dedups[] = {"off", "report", "drop", NULL};
static const char *const bad_policies[] = {"reject", "stop", NULL};

static const char examples[] =
    "  rq-pack build ILSVRC2012_img_train.tar -o imagenet\n"
    "  rq-pack build photos/ --masks masks/ -o photos-packed --encode ppm\n"
    "  rq-pack build train.tar -o D --part $SLURM_ARRAY_TASK_ID/16    then: rq-pack merge D\n"
    "A build that was interrupted goes on when the same command is run again.\n";

static int parse(request *q, int argc, char **argv, int *n_args)
{
    const rq_opt opts[] = {
        {RQ_OPT_GROUP, "", 0, NULL, NULL, "Output", 0, 0, NULL},
        {RQ_OPT_STRING, "out", 'o', &q->out, "DIR", "folder of the dataset (required)", 0, 0,
         NULL},
        {RQ_OPT_SIZE, "shard-size", 0, &q->shard_bytes, "SIZE",
         "a shard is closed when it reaches this", 0, 0, NULL},
        {RQ_OPT_STRING, "name", 0, &q->name, "NAME", "shards are called NAME-000000.tar.zst", 0,
         0, NULL},
        {RQ_OPT_STRING, "part", 0, &q->part, "I/N",
         "pack only the I-th of N parts; `rq-pack merge` joins them", 0, 0, NULL},
        {RQ_OPT_BOOL, "force", 0, &q->force, NULL,
         "replace what stands in the folder, once the new dataset is complete", 0, 0, NULL},
        {RQ_OPT_BOOL, "dry-run", 0, &q->dry_run, NULL,
         "say what would be packed, write nothing", 0, 0, NULL},
        {RQ_OPT_GROUP, "", 0, NULL, NULL, "Encoding", 0, 0, NULL},
        {RQ_OPT_CHOICE, "encode", 0, &q->encoding, "KIND",
         "dct keeps coefficients, jpeg the source's bytes, raw and ppm pixels", 0, 0,
         encodings},
        {RQ_OPT_INT, "level", 0, &q->encode.level, "N",
         "zstd level; 0 for the one that suits the encoding", 0, 19, NULL},
        {RQ_OPT_INT, "long", 0, &q->encode.long_side, "N",
         "reduce the longer side to this; 0 keeps it", 0, 65535, NULL},
        {RQ_OPT_INT, "short", 0, &q->encode.short_side, "N",
         "reduce the shorter side to this; 0 keeps it", 0, 65535, NULL},
        {RQ_OPT_INT, "quality", 0, &q->encode.quality, "Q",
         "encode anew at this quality, 1 to 100; 0 does not where it need not", 0, 100, NULL},
        {RQ_OPT_CHOICE, "chroma", 0, &q->chroma, "KIND", "chroma of what is encoded anew", 0, 0,
         chromas},
        {RQ_OPT_INT, "speed", 0, &q->encode.avif_speed, "N", "of the AVIF encoder", 0, 10,
         NULL},
        {RQ_OPT_CHOICE, "exif", 0, &q->exif, "WHAT",
         "ignore the orientation, as training code does, or apply it", 0, 0, exifs},
        {RQ_OPT_GROUP, "", 0, NULL, NULL, "Input", 0, 0, NULL},
        RQ_SOURCE_OPTS(q->source),
        {RQ_OPT_STRING, "masks", 0, &q->masks, "DIR",
         "saliency masks, CLASS/FILE.png or FILE.png for CLASS/FILE.EXT", 0, 0, NULL},
        {RQ_OPT_CHOICE, "on-bad", 0, &q->on_bad, "WHAT",
         "an image that cannot be used is rejected and named, or stops the build", 0, 0,
         bad_policies},
        {RQ_OPT_CHOICE, "dedup", 0, &q->dedup, "WHAT",
         "images whose bytes an earlier one has are reported or left out", 0, 0, dedups},
        {RQ_OPT_GROUP, "", 0, NULL, NULL, "Work", 0, 0, NULL},
        {RQ_OPT_INT, "threads", 0, &q->threads, "N", "encoding threads, 0 for one per CPU", 0,
         256, NULL},
        {0}};
    return rq_cli_parse(argc, argv, "SRC... -o DIR", examples, opts, n_args);
}

// "I/N"
static bool parse_part(const char *text, rq_part *part)
{
    char end;
    return sscanf(text, "%5d/%5d%c", &part->index, &part->count, &end) == 2 &&
           part->index >= 1 && part->index <= part->count && part->count <= RQ_MAX_PARTS;
}

static int check(request *q, int n_args, rq_build_opts *o)
{
    rq_err err = {0};
    if (n_args == 0)
        return rq_cli_usage("no source given: name folders or tar archives of images");
    if (!q->out)
        return rq_cli_usage("no output folder given: add -o DIR");
    o->encode = q->encode;
    o->encode.encoding = (rq_encoding)(q->encoding + RQ_ENCODING_JPEG);
    o->encode.chroma = (rq_chroma)q->chroma;
    o->encode.exif_apply = q->exif == 1;
    if (rq_encode_opts_check(&o->encode, &err) != RQ_OK)
        return rq_cli_usage("%s", err.text);
    if (q->part && !parse_part(q->part, &o->part))
        return rq_cli_usage(
            "--part '%.40s' is no part: write I/N with I from 1 to N, N at most "
            "%d",
            q->part, RQ_MAX_PARTS);
    if (q->part && q->dedup)
        return rq_cli_usage("--dedup sees one part only: find duplicates with `rq-ingest scan "
                            "--dedup report` first and leave them out with --exclude");
    o->dedup = (rq_dedup_policy)q->dedup;
    o->shard_bytes = q->shard_bytes;
    o->threads = q->threads;
    o->stop_on_bad = q->on_bad == 1;
    o->replace = q->force;
    o->name = q->name;
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
    const rq_build_counts *c = &r->counts;
    printf("{\"samples\": %" PRIu64 ", \"classes\": %d, \"shards\": %d, \"bytes\": %" PRIu64
           ", \"source_bytes\": %" PRIu64,
           c->samples, classes, r->shards, r->stored_bytes, c->source_bytes);
    for (int k = 0; k < RQ_VERDICT_COUNT; k++)
        printf(", \"%s\": %" PRIu64, rq_verdict_name((rq_verdict_kind)k), c->verdicts[k]);
    printf(", \"fallbacks\": %" PRIu64 ", \"masks\": %" PRIu64 ", \"bad_masks\": %" PRIu64
           ", \"duplicates\": %" PRIu64 ", \"dropped\": %" PRIu64
           ", \"kept_shards\": %d, \"kept_samples\": %" PRIu64
           ", \"was_complete\": %s, \"seconds\": %.3f, \"manifest_sha256\": \"%s\"}\n",
           c->fallbacks, c->masks, c->bad_masks, c->duplicates, c->dropped, r->kept_shards,
           r->kept_samples, r->was_complete ? "true" : "false", seconds, r->manifest_sha256);
}

static void put_count(FILE *to, uint64_t n, const char *what)
{
    if (n)
        fprintf(to, "%" PRIu64 " %s, ", n, what);
}

// One line: what went in, what came out, how fast.
static void print_summary(FILE *to, const rq_build_result *r, int classes, double seconds)
{
    char count[32], rate[32], time[32];
    const rq_build_counts *c = &r->counts;
    fprintf(to, "%s image%s, %d class%s -> %d shard%s, %.1f MB (%.2fx), %" PRIu64 " fixed, ",
            rq_format_count(count, c->samples), c->samples == 1 ? "" : "s", classes,
            classes == 1 ? "" : "es", r->shards, r->shards == 1 ? "" : "s",
            (double)r->stored_bytes / 1e6,
            (double)r->stored_bytes / (double)(c->source_bytes ? c->source_bytes : 1),
            c->verdicts[RQ_VERDICT_FIXED]);
    put_count(to, c->verdicts[RQ_VERDICT_WARNED], "warned");
    fprintf(to, "%" PRIu64 " rejected, ", c->verdicts[RQ_VERDICT_REJECTED]);
    if (r->counts.masks || r->counts.bad_masks)
        fprintf(to, "%" PRIu64 " masks, ", c->masks);
    put_count(to, c->fallbacks, "in another encoding");
    if (c->duplicates)
        fprintf(to, "%" PRIu64 " duplicates%s, ", c->duplicates, c->dropped ? " left out" : "");
    put_count(to, r->kept_samples, "there already");
    const double packed = (double)(c->samples - r->kept_samples);
    fprintf(to, "%s, %s img/s; manifest sha256 %s\n",
            rq_format_duration(time, sizeof time, seconds),
            rq_format_count(rate, (uint64_t)(packed / (seconds > 0 ? seconds : 1))),
            r->manifest_sha256);
}

static void print_complete(FILE *to, const char *dir, const rq_build_result *r)
{
    char count[32];
    fprintf(to,
            "'%s' is complete already: %s images in %d shard%s from the same source and "
            "options; --force packs it again; manifest sha256 %s\n",
            dir, rq_format_count(count, r->counts.samples), r->shards,
            r->shards == 1 ? "" : "s", r->manifest_sha256);
}

static int dry_run(const request *q, const rq_source *src, const rq_build_opts *o)
{
    char count[32], bytes[32];
    const uint64_t all = rq_source_count(src);
    const uint64_t parts = o->part.count ? (uint64_t)o->part.count : 1;
    const uint64_t index = o->part.count ? (uint64_t)o->part.index : 1;
    const uint64_t images =
        rq_part_first(all, index + 1, parts) - rq_part_first(all, index, parts);
    fprintf(rq_cli.json ? stderr : stdout,
            "%s images in %d classes, %s, layout %s; %s%s%swould be packed as %s into '%s'; "
            "nothing was written\n",
            rq_format_count(count, all), rq_source_classes(src),
            rq_format_bytes(bytes, (double)rq_source_bytes(src)),
            rq_layout_name(rq_source_layout(src)), q->part ? "part " : "",
            q->part ? q->part : "", q->part ? " of it " : "",
            rq_encoding_name(o->encode.encoding), q->out);
    if (rq_cli.json)
        printf("{\"images\": %" PRIu64 ", \"part_images\": %" PRIu64
               ", \"classes\": %d, \"source_bytes\": %" PRIu64
               ", \"layout\": \"%s\", \"encoding\": \"%s\", \"written\": false}\n",
               all, images, rq_source_classes(src), rq_source_bytes(src),
               rq_layout_name(rq_source_layout(src)), rq_encoding_name(o->encode.encoding));
    return 0;
}

static rq_status run_build(const request *q, rq_build_opts *o, rq_source *src,
                           rq_build_result *r, rq_err *err)
{
    rq_masks *masks = NULL;
    if (q->masks)
        RQ_TRY(rq_masks_open(&masks, q->masks, err));
    bool begun = false;
    o->log = rq_cli_log();
    o->progress = on_progress;
    o->progress_cookie = &begun;
    o->cancel = &rq_cli_stop;
    const rq_status st = rq_build(q->out, src, masks, o, r, err);
    if (begun)
        rq_progress_end();
    rq_masks_close(&masks);
    if (st == RQ_OK && q->masks && r->counts.masks == 0 && !r->was_complete)
        rq_log(&o->log, RQ_LOG_WARN, "no image has a mask in '%s'; check the names in it",
               q->masks);
    return st;
}

// What was done, and the exit code: 1 when something was left out that was wanted.
static int finish(const request *q, const rq_build_result *r, int classes, double seconds)
{
    FILE *to = rq_cli.json ? stderr : stdout;
    if (r->was_complete)
        print_complete(to, q->out, r);
    else
        print_summary(to, r, classes, seconds);
    if (rq_cli.json)
        print_json(r, classes, seconds);
    if (!r->counts.verdicts[RQ_VERDICT_REJECTED] && !r->counts.bad_masks)
        return 0;
    fprintf(stderr,
            "rq-pack build: some inputs were left out; the report in '%s' (%s) names each with "
            "its reason\n",
            q->out, q->part ? "NAME-pIIIofNNN.part.jsonl" : "ingest-report.jsonl");
    return 1;
}

int rq_pack_build(int argc, char **argv)
{
    rq_build_opts o;
    rq_build_opts_default(&o);
    request q = {.name = o.name,
                 .encode = o.encode,
                 .encoding = (int)o.encode.encoding - RQ_ENCODING_JPEG,
                 .shard_bytes = o.shard_bytes};
    int n_args = 0, code = parse(&q, argc, argv, &n_args);
    if (code < 0)
        code = check(&q, n_args, &o);
    if (code >= 0)
        return code;
    rq_err err = {0};
    rq_source *src = NULL;
    rq_build_result r = {0};
    const uint64_t begin = rq_clock_ns();
    rq_status st = rq_source_request_open(&src, &q.source, (const char *const *)argv + 1,
                                          (size_t)n_args, &err);
    if (st == RQ_OK && q.dry_run)
        code = dry_run(&q, src, &o);
    else if (st == RQ_OK)
        st = run_build(&q, &o, src, &r, &err);
    if (st == RQ_OK && !q.dry_run)
        code = finish(&q, &r, rq_source_classes(src), (double)(rq_clock_ns() - begin) / 1e9);
    rq_source_close(&src);
    return st == RQ_OK ? code : rq_cli_fail(&err);
}
