// SPDX-License-Identifier: Apache-2.0
//
// `rq-pack repair`: what can still be read of a damaged dataset or shard, made whole again.
#include "pack/repair.h"

#include "common/json.h"
#include "tools/cli.h"
#include "tools/pack_commands.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct damage_list {
    rq_buf json; // sentences as JSON strings, for --json
    bool begun;  // the progress line
} damage_list;

static void on_damage(void *cookie, const char *sentence)
{
    damage_list *list = cookie;
    const rq_log_sink log = rq_cli_log();
    rq_log(&log, RQ_LOG_WARN, "%s", sentence);
    // A list that does not fit into memory ends early; the counts do not depend on it.
    if (rq_cli.json &&
        rq_buf_append(&list->json, ", ", list->json.size ? 2 : 0, NULL) == RQ_OK &&
        rq_json_append_string(&list->json, sentence, NULL) != RQ_OK)
        rq_log(&log, RQ_LOG_WARN, "out of memory for the list of damage");
}

static void on_progress(void *cookie, uint64_t done, uint64_t bytes)
{
    damage_list *list = cookie;
    if (!list->begun)
        rq_progress_begin("reading", "bytes", bytes);
    list->begun = true;
    rq_progress_update(done, 0, NULL);
}

static void print_lost(FILE *to, const rq_repair_result *r)
{
    char count[32];
    if (r->lost == 0)
        fprintf(to, "nothing lost");
    else if (r->lost_known)
        fprintf(to, "%s lost", rq_format_count(count, r->lost));
    else
        fprintf(to, "damage in %s place%s, and how many samples were there is not known",
                rq_format_count(count, r->lost), r->lost == 1 ? "" : "s");
}

static void print_repaired(const char *path, const char *out, const rq_repair_result *r)
{
    char count[32];
    FILE *to = rq_cli.json ? stderr : stdout;
    if (r->was_intact)
        fprintf(to, "%s: %s samples, intact; %s\n", path, rq_format_count(count, r->samples),
                out ? "carried over as it is" : "nothing was changed");
    else {
        fprintf(to, "%s: %s samples kept, ", out ? out : path,
                rq_format_count(count, r->samples));
        print_lost(to, r);
        fprintf(to, "; %d of %d shards rebuilt%s", r->rebuilt, r->shards,
                r->manifest ? ", dataset.json written" : "");
        if (r->missing)
            fprintf(to, ", %d shards missing", r->missing);
        if (r->guessed)
            fprintf(to, ", %" PRIu64 " samples numbered anew", r->guessed);
        fprintf(to, "%s%s\n", r->manifest ? "; manifest sha256 " : "", r->manifest_sha256);
    }
}

static void print_json(const rq_repair_result *r, const damage_list *list)
{
    printf("{\"intact\": %s, \"samples\": %" PRIu64 ", \"lost\": %" PRIu64
           ", \"lost_known\": %s, \"shards\": %d, \"rebuilt\": %d, \"missing\": %d, "
           "\"renumbered\": %" PRIu64
           ", \"manifest_written\": %s, \"manifest_sha256\": \"%s\", \"damage\": [%s]}\n",
           r->was_intact ? "true" : "false", r->samples, r->lost,
           r->lost_known ? "true" : "false", r->shards, r->rebuilt, r->missing, r->guessed,
           r->manifest ? "true" : "false", r->manifest_sha256,
           list->json.size ? (const char *)list->json.data : "");
}

int rq_pack_repair(int argc, char **argv)
{
    damage_list list = {0};
    rq_repair_opts o = {.salvage = {.damage = on_damage,
                                    .progress = on_progress,
                                    .cookie = &list,
                                    .cancel = &rq_cli_stop}};
    int n_args = 0;
    const rq_opt opts[] = {
        {RQ_OPT_STRING, "out", 'o', &o.out, "PATH",
         "write there (a folder, or a file for a shard) and leave the original alone", 0, 0,
         NULL},
        {RQ_OPT_BOOL, "force", 0, &o.replace, NULL, "replace what stands there", 0, 0, NULL},
        {0}};
    const int code =
        rq_cli_parse(argc, argv, "PATH [-o OUT]",
                     "  rq-pack repair imagenet\n"
                     "  rq-pack repair imagenet/data-000007.tar.zst -o mended.tar.zst\n"
                     "Without -o each damaged shard is replaced by a rebuilt one, once that "
                     "is on disk.\nSamples whose frames are damaged cannot be brought back: "
                     "exit code 1.\n",
                     opts, &n_args);
    if (code >= 0)
        return code;
    if (n_args != 1)
        return rq_cli_usage("name one dataset folder or shard to repair");
    rq_repair_result r;
    rq_err err = {0};
    const rq_status st = rq_repair(argv[1], &o, &r, &err);
    if (list.begun)
        rq_progress_end();
    if (st == RQ_OK)
        print_repaired(argv[1], o.out, &r);
    if (st == RQ_OK && rq_cli.json)
        print_json(&r, &list);
    rq_buf_free(&list.json);
    return st == RQ_OK ? r.lost > 0 : rq_cli_fail(&err);
}
