/* Command lines: one table of options gives parsing, --help, config files, the saved effective
 * configuration and, one day, the man page.
 *
 * Every command accepts, besides its own options: --help, --version, -q, -v, --json,
 * --[no-]progress and --config FILE (lines "key = value", keys are option names; the command
 * line wins). Booleans take --name and --no-name. Sizes accept KiB, MiB, GiB, TiB. An option
 * given twice, a number with something behind it, and a value out of range are errors that end
 * with exit code 2 before any work is done. An unknown option gets the nearest name as a
 * suggestion. Results go to stdout, everything else to stderr. */
#ifndef RQ_TOOLS_CLI_H
#define RQ_TOOLS_CLI_H

#include "common/log.h"
#include "common/mem.h"
#include "common/status.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum rq_opt_type {
    RQ_OPT_GROUP,  /* a heading in --help; only `help` is used */
    RQ_OPT_BOOL,   /* bool */
    RQ_OPT_INT,    /* int, [min, max] */
    RQ_OPT_U64,    /* uint64_t */
    RQ_OPT_SIZE,   /* uint64_t bytes, KiB/MiB/GiB accepted */
    RQ_OPT_FLOAT,  /* float, [min, max] */
    RQ_OPT_STRING, /* const char * (borrowed from argv, or owned by the cli) */
    RQ_OPT_CHOICE, /* int: index into `choices` */
    RQ_OPT_TIME    /* double seconds; 90, 20m, 3h50m accepted */
} rq_opt_type;

/* value points at the variable; what it holds before parsing is the default. */
typedef struct rq_opt {
    rq_opt_type type;
    const char *name; /* without dashes */
    char letter;      /* short form, 0 for none */
    void *value;
    const char *arg;            /* placeholder in --help: "DIR" */
    const char *help;           /* one sentence without full stop */
    double min, max;            /* INT, FLOAT: checked when min < max */
    const char *const *choices; /* CHOICE: NULL-terminated */
} rq_opt;

typedef struct rq_cli_command {
    const char *name;                  /* "build" */
    const char *summary;               /* one line */
    int (*run)(int argc, char **argv); /* argv[0] is the command; returns an exit code */
} rq_cli_command;

/* What the common options set. */
typedef struct rq_cli_common {
    int verbose; /* -1 quiet, 0, 1, 2 */
    bool json;
    bool progress; /* wanted and stderr is a terminal */
    const char *config;
} rq_cli_common;
extern rq_cli_common rq_cli;

/* The main of a tool with subcommands: handles --help, --version, unknown commands,
 * SIGINT, SIGTERM and SIGUSR1 (which set rq_cli_stop; a second one ends the process at once,
 * exit code 130). */
int rq_cli_main(int argc, char **argv, const char *tool, const char *purpose,
                const rq_cli_command *commands);
extern volatile sig_atomic_t rq_cli_stop;

/* Parses argv[1..] of a command. opts ends with {0}-name and type GROUP and help NULL. usage is
 * the line after the command name, e.g. "SRC... -o DIR"; examples is printed in --help, may be
 * NULL. Positional arguments are moved to argv[1..*n_args]. Returns -1 to go on, otherwise the
 * exit code to leave with (0 after --help, 2 after a usage error, 3 when the config file cannot
 * be read; all said already). */
int rq_cli_parse(int argc, char **argv, const char *usage, const char *examples,
                 const rq_opt *opts, int *n_args);
/* The effective configuration as config-file lines, in table order. */
RQ_NODISCARD rq_status rq_cli_config_text(const rq_opt *opts, rq_buf *out, rq_err *err);

/* Prints "TOOL COMMAND: text" to stderr and returns the exit code of the error. */
int rq_cli_fail(const rq_err *err);
/* The same for a usage error found after parsing; returns 2. */
int rq_cli_usage(const char *fmt, ...) RQ_PRINTF(1, 2);
/* Log sink that prints to stderr according to -q and -v, without disturbing the progress line.
 */
rq_log_sink rq_cli_log(void);

/* Progress on a terminal: one line, 6 times a second, with rate and time left; otherwise one
 * line per 10 %. `unit` is e.g. "images". Calls from one thread. */
void rq_progress_begin(const char *what, const char *unit, uint64_t total);
void rq_progress_update(uint64_t done, uint64_t bytes, const char *extra);
void rq_progress_end(void);

/* 1234567 -> "1,234,567"; 1536 -> "1.5 KiB". buf of at least 32 bytes; returns buf. */
char *rq_format_count(char *buf, uint64_t n);
char *rq_format_bytes(char *buf, double bytes);

#endif
