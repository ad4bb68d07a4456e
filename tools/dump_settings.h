/* Recipe options taken over from a training run or a preset, so that rq-dump shows what that
 * run sees without every option being typed again. */
#ifndef RQ_TOOLS_DUMP_SETTINGS_H
#define RQ_TOOLS_DUMP_SETTINGS_H

#include "tools/cli.h"

/* Sets the options of `table` that are named in RUN_DIR/config.txt; keys that the table does
 * not have, and "preset", are passed over. NOT_FOUND when that is no run. */
RQ_NODISCARD rq_status rq_dump_take_run(const char *run_dir, const rq_opt *table, rq_err *err);
/* The same from preset i of rq_preset_names. */
RQ_NODISCARD rq_status rq_dump_take_preset(int i, const rq_opt *table, rq_err *err);
/* The value of --NAME VALUE or --NAME=VALUE among the arguments, NULL without. */
const char *rq_dump_argument(int argc, char **argv, const char *name);

#endif
