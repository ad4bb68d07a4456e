/* What the parts of the command-line code share among themselves; tools include cli.h. */
#ifndef RQ_TOOLS_CLI_INTERNAL_H
#define RQ_TOOLS_CLI_INTERNAL_H

#include "tools/cli.h"

/* What runs: set by rq_cli_main before the command is called. */
typedef struct rq_cli_running {
    const char *tool;    /* "rq-pack" */
    const char *command; /* "build", or NULL before one is chosen */
    const char *summary; /* of the command */
} rq_cli_running;
extern rq_cli_running rq_running;

/* --progress or --no-progress, whatever stderr is. */
extern bool rq_progress_wanted;

/* One line to stderr, above the progress line if there is one. Any thread. */
void rq_cli_line(const char *prefix, const char *text);

/* Sets the option's variable from text; false with the reason in err. `text` is kept for
 * STRING. */
RQ_NODISCARD rq_status rq_value_parse(const rq_opt *opt, const char *text, rq_err *err);
/* Appends the value in the form that rq_value_parse reads. */
RQ_NODISCARD rq_status rq_value_append(const rq_opt *opt, rq_buf *out, rq_err *err);
/* The table ends here. */
bool rq_opt_is_end(const rq_opt *opt);
/* The command's help, to stdout. Returns its exit code. */
int rq_cli_help(const char *usage, const char *examples, const rq_opt *opts);
/* "TOOL VERSION", with -v also what it was built with. */
void rq_cli_version(int verbose);

/* Index of the name nearest to `text`, or -1 when none is near. */
int rq_nearest_name(const char *text, const char *const *names, int n);

#endif
