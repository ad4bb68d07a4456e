// SPDX-License-Identifier: Apache-2.0
//
// The main of every tool: commands, signals, and how messages look. The first SIGINT, SIGTERM
// or SIGUSR1 only sets a flag that loops poll, so that a tool can save and leave; the second
// one leaves at once, for a tool that does not listen.
#include "tools/cli_internal.h"

#include "common/cpu.h"
#include "common/pool.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

rq_cli_common rq_cli;
rq_cli_running rq_running = {"rq", NULL, NULL};
volatile sig_atomic_t rq_cli_stop;

static void on_signal(int number)
{
    if (rq_cli_stop)
        _exit(130);
    rq_cli_stop = number;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL); /* how batch schedulers announce the end of a slot */
}

/* "rq-pack build" or "rq-pack". */
static void running_name(char *buf, size_t bytes)
{
    const char *command = rq_running.command;
    snprintf(buf, bytes, "%s%s%s", rq_running.tool, command ? " " : "", command ? command : "");
}

int rq_cli_fail(const rq_err *err)
{
    char name[80], prefix[96];
    running_name(name, sizeof name);
    snprintf(prefix, sizeof prefix, "%s: ", name);
    rq_cli_line(prefix, err->text[0] != '\0' ? err->text : rq_status_meaning(err->status));
    return rq_status_exit_code(err->status);
}

int rq_cli_usage(const char *fmt, ...)
{
    char name[80], prefix[96], text[RQ_ERR_TEXT_BYTES];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    running_name(name, sizeof name);
    snprintf(prefix, sizeof prefix, "%s: ", name);
    rq_cli_line(prefix, text);
    snprintf(text, sizeof text, "run '%s --help' to see what it takes", name);
    rq_cli_line("  ", text);
    return 2;
}

static void log_line(void *cookie, rq_log_level level, const char *line)
{
    static const char *const labels[] = {"error: ", "warning: ", "", "debug: "};
    char name[80], prefix[112];
    running_name(name, sizeof name);
    snprintf(prefix, sizeof prefix, "%s: %s", name, labels[level]);
    rq_cli_line(prefix, line);
}

rq_log_sink rq_cli_log(void)
{
    static const rq_log_level levels[] = {RQ_LOG_ERROR, RQ_LOG_WARN, RQ_LOG_INFO, RQ_LOG_DEBUG};
    return (rq_log_sink){NULL, levels[rq_cli.verbose + 1], log_line};
}

void rq_cli_version(int verbose)
{
    printf("%s (Reliquary) %s\n", rq_running.tool, RQ_VERSION);
    if (verbose < 1)
        return;
#ifdef RQ_HAVE_AVIF
    puts("AVIF: yes");
#else
    puts("AVIF: no");
#endif
#ifdef RQ_HAVE_ONEDNN
    puts("oneDNN: yes");
#else
    puts("oneDNN: no");
#endif
    printf("CPU level: %s, %d usable\n", rq_cpu_level_name(rq_cpu_detect()), rq_cpu_count());
}

static void print_commands(FILE *to, const char *tool, const char *purpose,
                           const rq_cli_command *commands)
{
    int width = 0;
    for (const rq_cli_command *c = commands; c->name != NULL; c++)
        width = (int)strlen(c->name) > width ? (int)strlen(c->name) : width;
    fprintf(to, "%s: %s\n\nusage: %s COMMAND [options]\n\ncommands:\n", tool, purpose, tool);
    for (const rq_cli_command *c = commands; c->name != NULL; c++)
        fprintf(to, "  %-*s  %s\n", width, c->name, c->summary);
    fprintf(to,
            "\n'%s COMMAND --help' lists the options of a command; '%s --version' tells the "
            "version.\n",
            tool, tool);
}

static int unknown_command(const char *given, const rq_cli_command *commands)
{
    enum { MAX_COMMANDS = 32 };
    const char *names[MAX_COMMANDS];
    int n = 0;
    for (; n < MAX_COMMANDS && commands[n].name != NULL; n++)
        names[n] = commands[n].name;
    const char *kind = given[0] == '-' ? "option" : "command";
    const int nearest = rq_nearest_name(given, names, n);
    if (nearest >= 0)
        return rq_cli_usage("unknown %s '%.100s'; did you mean '%s'?", kind, given,
                            names[nearest]);
    return rq_cli_usage("unknown %s '%.100s'", kind, given);
}

/* Results that did not reach stdout are a failure, whatever the command says. */
static int flush_results(int exit_code)
{
    rq_err err = {0};
    if (fflush(stdout) == 0 && !ferror(stdout))
        return exit_code;
    rq_fail_errno(&err, "cannot write the results to standard output");
    const int write_code = rq_cli_fail(&err);
    return exit_code != 0 ? exit_code : write_code;
}

static int run_command(int argc, char **argv, const rq_cli_command *command)
{
    rq_running.command = command->name;
    rq_running.summary = command->summary;
    return command->run(argc - 1, argv + 1);
}

int rq_cli_main(int argc, char **argv, const char *tool, const char *purpose,
                const rq_cli_command *commands)
{
    rq_running.tool = tool;
    catch_signals();
    if (argc < 2) {
        print_commands(stderr, tool, purpose, commands);
        return 2;
    }
    const char *first = argv[1];
    if (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0) {
        print_commands(stdout, tool, purpose, commands);
        return flush_results(0);
    }
    if (strcmp(first, "--version") == 0) {
        rq_cli_version(argc > 2 && strcmp(argv[2], "-v") == 0);
        return flush_results(0);
    }
    for (const rq_cli_command *c = commands; c->name != NULL; c++) {
        if (strcmp(first, c->name) == 0)
            return flush_results(run_command(argc, argv, c));
    }
    return unknown_command(first, commands);
}
