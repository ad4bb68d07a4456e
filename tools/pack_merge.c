// SPDX-License-Identifier: Apache-2.0
//
// `rq-pack merge`: the parts of a dataset to one.
#include "pack/merge.h"

#include "tools/cli.h"
#include "tools/pack_commands.h"

#include <inttypes.h>
#include <stdio.h>

static void print_merged(const char *out, const rq_merge_result *r)
{
    char count[32];
    fprintf(rq_cli.json ? stderr : stdout,
            "%d parts -> '%s': %s images, %d classes, %d shards, %.1f MB%s; manifest sha256 "
            "%s\n",
            r->parts, out, rq_format_count(count, r->samples), r->classes, r->shards,
            (double)r->bytes / 1e6, r->was_complete ? ", merged already" : "",
            r->manifest_sha256);
    if (rq_cli.json)
        printf("{\"parts\": %d, \"samples\": %" PRIu64 ", \"classes\": %d, \"shards\": %d, "
               "\"masks\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"rejected\": %" PRIu64
               ", \"was_complete\": %s, \"manifest_sha256\": \"%s\"}\n",
               r->parts, r->samples, r->classes, r->shards, r->masks, r->bytes, r->rejected,
               r->was_complete ? "true" : "false", r->manifest_sha256);
}

int rq_pack_merge(int argc, char **argv)
{
    rq_merge_opts o = {.cancel = &rq_cli_stop};
    int n_args = 0;
    const rq_opt opts[] = {{RQ_OPT_STRING, "out", 'o', &o.out, "DIR",
                            "folder of the dataset; needed when the parts lie in several", 0, 0,
                            NULL},
                           {RQ_OPT_BOOL, "force", 0, &o.replace, NULL,
                            "replace another dataset.json there", 0, 0, NULL},
                           {0}};
    const int code = rq_cli_parse(
        argc, argv, "DIR... [-o DIR]",
        "  srun -n 16 sh -c 'rq-pack build train.tar -o D --part $((SLURM_PROCID+1))/16'\n"
        "  mpirun -n 16 sh -c 'rq-pack build train.tar -o D "
        "--part $((OMPI_COMM_WORLD_RANK+1))/16'\n"
        "  rq-pack merge D\n",
        opts, &n_args);
    if (code >= 0)
        return code;
    if (n_args == 0)
        return rq_cli_usage("name the folders that hold the parts");
    if (n_args > 1 && !o.out)
        return rq_cli_usage(
            "parts of several folders need a folder for the dataset: add -o DIR");
    rq_merge_result r;
    rq_err err = {0};
    if (rq_merge((const char *const *)argv + 1, (size_t)n_args, &o, &r, &err) != RQ_OK)
        return rq_cli_fail(&err);
    print_merged(o.out ? o.out : argv[1], &r);
    return 0;
}
