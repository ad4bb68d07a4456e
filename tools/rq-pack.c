// SPDX-License-Identifier: Apache-2.0
//
// rq-pack: image folders and archives to packed datasets, and everything one does with them
// afterwards. This file only knows which commands there are.
#include "tools/cli.h"
#include "tools/pack_commands.h"

int main(int argc, char **argv)
{
    static const rq_cli_command commands[] = {
        {"build", "pack folders or archives of images into a dataset", rq_pack_build},
        {"merge", "join the parts that build --part has packed", rq_pack_merge},
        {"verify", "check every byte of a dataset or shard", rq_pack_verify},
        {"repair", "rebuild a lost index, seek table or manifest", rq_pack_repair},
        {"ls", "list the samples", rq_pack_ls},
        {"cat", "write one sample's image to stdout", rq_pack_cat},
        {"unpack", "write the images back to files", rq_pack_unpack},
        {"stat", "totals of a dataset", rq_pack_stat},
        {0}};
    return rq_cli_main(argc, argv, "rq-pack", "packs image datasets into verified shards",
                       commands);
}
