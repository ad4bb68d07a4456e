/* Presets of rq-train: each is a list of options, applied before the config file and the
 * command line, which both win over it. */
#ifndef RQ_TOOLS_PRESETS_H
#define RQ_TOOLS_PRESETS_H

#include "tools/cli.h"

/* NULL-terminated, for a CHOICE row. */
extern const char *const rq_preset_names[];

/* Index of the preset named on the command line (--preset NAME or --preset=NAME), -1 when none
 * or an unknown one is. */
int rq_preset_in_arguments(int argc, char **argv);
/* Sets the options of preset i through the table. INTERNAL when a preset does not fit it. */
RQ_NODISCARD rq_status rq_preset_apply(int i, const rq_opt *opts, rq_err *err);
/* What preset i sets, as "--name=value", NULL-terminated. */
const char *const *rq_preset_options(int i);

#endif
