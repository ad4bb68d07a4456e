/* The commands of rq-pack, one function each: argv as rq_cli_command hands it over, the exit
 * code back. */
#ifndef RQ_TOOLS_PACK_COMMANDS_H
#define RQ_TOOLS_PACK_COMMANDS_H

int rq_pack_build(int argc, char **argv);
int rq_pack_merge(int argc, char **argv);
int rq_pack_repair(int argc, char **argv);
int rq_pack_verify(int argc, char **argv);
int rq_pack_ls(int argc, char **argv);
int rq_pack_cat(int argc, char **argv);
int rq_pack_unpack(int argc, char **argv);
int rq_pack_stat(int argc, char **argv);

#endif
