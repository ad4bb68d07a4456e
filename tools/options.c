// SPDX-License-Identifier: Apache-2.0
//
// Parses a command line and a config file against the table of options. The command line is
// read first and marks what it set; the config file then fills only the rest, so the command
// line wins wherever it stands. Any mistake ends in one sentence and exit code 2, before work
// begins.
#include "tools/cli_internal.h"

#include "common/file.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_OPTIONS = 256, CONFIG_MAX_BYTES = 1 << 20 };

bool rq_progress_wanted;

/* Text of the config file: option values point into it for as long as the program runs. */
static rq_buf config_text;

static const rq_opt common_opts[] = {
    {.type = RQ_OPT_BOOL, .name = "json", .value = &rq_cli.json},
    {.type = RQ_OPT_BOOL, .name = "progress", .value = &rq_progress_wanted},
    {.type = RQ_OPT_STRING, .name = "config", .value = &rq_cli.config, .arg = "FILE"},
    {.type = RQ_OPT_GROUP}};

/* The state of one parse. */
typedef struct parser {
    int argc;
    char **argv;
    const rq_opt *opts; /* the command's own */
    bool seen[MAX_OPTIONS], common_seen[8];
} parser;

static int min3(int a, int b, int c)
{
    const int ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Edits (insert, delete, replace, swap of neighbours) from a to b; names are short. */
static int edit_distance(const char *a, const char *b)
{
    enum { MAX_NAME = 40 };
    int d[MAX_NAME + 1][MAX_NAME + 1];
    const int n = (int)strnlen(a, MAX_NAME), m = (int)strnlen(b, MAX_NAME);
    for (int i = 0; i <= n; i++)
        d[i][0] = i;
    for (int j = 0; j <= m; j++)
        d[0][j] = j;
    for (int i = 1; i <= n; i++) {
        for (int j = 1; j <= m; j++) {
            d[i][j] = min3(d[i - 1][j] + 1, d[i][j - 1] + 1,
                           d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                d[i - 2][j - 2] + 1 < d[i][j])
                d[i][j] = d[i - 2][j - 2] + 1;
        }
    }
    return d[n][m];
}

int rq_nearest_name(const char *text, const char *const *names, int n)
{
    const size_t bytes = strlen(text);
    int best = -1, best_distance = 1 + (bytes < 3 ? 0 : bytes < 6 ? 1 : (int)(bytes / 3));
    for (int i = 0; i < n; i++) {
        /* The beginning of a name is as near as can be. */
        const bool begins = bytes >= 2 && strncmp(text, names[i], bytes) == 0;
        const int distance = begins ? 0 : edit_distance(text, names[i]);
        if (distance < best_distance) {
            best = i;
            best_distance = distance;
        }
    }
    return best;
}

static rq_status unknown_option(const rq_opt *opts, const char *given, const char *dashes,
                                rq_err *err)
{
    static const char *const general[] = {"help", "version",     "quiet", "verbose",
                                          "json", "no-progress", "config"};
    const char *names[MAX_OPTIONS + 8];
    int n = 0;
    for (const rq_opt *o = opts; !rq_opt_is_end(o) && n < MAX_OPTIONS; o++) {
        if (o->type != RQ_OPT_GROUP)
            names[n++] = o->name;
    }
    for (size_t i = 0; i < sizeof general / sizeof *general; i++)
        names[n++] = general[i];
    const char *no = "";
    int nearest = rq_nearest_name(given, names, n);
    if (nearest < 0 && strncmp(given, "no-", 3) == 0) {
        nearest = rq_nearest_name(given + 3, names, n);
        no = "no-";
    }
    if (nearest < 0)
        return rq_fail(err, RQ_INVALID_ARG, "unknown option %s%.100s", dashes, given);
    return rq_fail(err, RQ_INVALID_ARG, "unknown option %s%.100s; did you mean %s%s%s?", dashes,
                   given, dashes, no, names[nearest]);
}

/* Index in the table of the option with this name of n bytes, or -1. */
static int find_name(const rq_opt *opts, const char *name, size_t n)
{
    for (int i = 0; !rq_opt_is_end(&opts[i]); i++) {
        if (opts[i].type != RQ_OPT_GROUP && strlen(opts[i].name) == n &&
            memcmp(opts[i].name, name, n) == 0)
            return i;
    }
    return -1;
}

static rq_status mark(bool *seen, const rq_opt *opt, rq_err *err)
{
    if (*seen)
        return rq_fail(err, RQ_INVALID_ARG, "--%s is given twice; keep one", opt->name);
    *seen = true;
    return RQ_OK;
}

/* Sets an option. `inline_value` is what stood behind '=' (or the letter), or NULL: then the
 * next argument is the value, and *at moves on to it. */
static rq_status set_option(parser *p, const rq_opt *opt, bool *seen, bool negated,
                            const char *inline_value, int *at, rq_err *err)
{
    RQ_TRY(mark(seen, opt, err));
    if (opt->type == RQ_OPT_BOOL && inline_value == NULL) {
        *(bool *)opt->value = !negated;
        return RQ_OK;
    }
    if (inline_value != NULL)
        return rq_value_parse(opt, inline_value, err);
    const char *next = *at + 1 < p->argc ? p->argv[*at + 1] : NULL;
    /* "-" is standard input and "-3" a number; anything else with a dash is the next option. */
    if (next == NULL || (next[0] == '-' && next[1] != '\0' &&
                         !isdigit((unsigned char)next[1]) && next[1] != '.'))
        return rq_fail(err, RQ_INVALID_ARG, "--%s needs a value%s%s", opt->name,
                       opt->arg ? ": " : "", opt->arg ? opt->arg : "");
    ++*at;
    return rq_value_parse(opt, next, err);
}

static bool set_verbosity(const char *name)
{
    if (strcmp(name, "quiet") == 0 || strcmp(name, "q") == 0)
        rq_cli.verbose = -1;
    else if (strcmp(name, "verbose") == 0 || strcmp(name, "v") == 0)
        rq_cli.verbose = rq_cli.verbose < 0 ? 1 : rq_cli.verbose < 2 ? rq_cli.verbose + 1 : 2;
    else
        return false;
    return true;
}

static rq_status parse_long(parser *p, const char *arg, int *at, rq_err *err)
{
    const char *name = arg + 2;
    const char *equals = strchr(name, '=');
    const size_t n = equals ? (size_t)(equals - name) : strlen(name);
    const char *value = equals ? equals + 1 : NULL;
    for (int pass = 0; pass < 2; pass++) {
        const rq_opt *table = pass == 0 ? p->opts : common_opts;
        bool *seen = pass == 0 ? p->seen : p->common_seen;
        int i = find_name(table, name, n);
        if (i >= 0)
            return set_option(p, &table[i], &seen[i], false, value, at, err);
        i = n > 3 && strncmp(name, "no-", 3) == 0 ? find_name(table, name + 3, n - 3) : -1;
        if (i >= 0 && table[i].type == RQ_OPT_BOOL && value == NULL)
            return set_option(p, &table[i], &seen[i], true, NULL, at, err);
    }
    if (value == NULL && set_verbosity(name))
        return RQ_OK;
    char given[100];
    snprintf(given, sizeof given, "%.*s", (int)(n < 99 ? n : 99), name);
    return unknown_option(p->opts, given, "--", err);
}

/* One argument of letters: flags may stand together, the first that takes a value takes the
 * rest of the argument, or the next one. */
static rq_status parse_letters(parser *p, const char *arg, int *at, rq_err *err)
{
    for (const char *c = arg + 1; *c != '\0'; c++) {
        int i = 0;
        while (!rq_opt_is_end(&p->opts[i]) &&
               (p->opts[i].letter == 0 || p->opts[i].letter != *c))
            i++;
        if (rq_opt_is_end(&p->opts[i])) {
            const char name[2] = {*c, '\0'};
            if (set_verbosity(name))
                continue;
            return rq_fail(err, RQ_INVALID_ARG, "unknown option -%c", *c);
        }
        const rq_opt *opt = &p->opts[i];
        if (opt->type != RQ_OPT_BOOL)
            return set_option(p, opt, &p->seen[i], false, c[1] != '\0' ? c + 1 : NULL, at, err);
        RQ_TRY(set_option(p, opt, &p->seen[i], false, NULL, at, err));
    }
    return RQ_OK;
}

static rq_status parse_arguments(parser *p, int *n_args, rq_err *err)
{
    bool only_args = false;
    *n_args = 0;
    for (int at = 1; at < p->argc; at++) {
        char *arg = p->argv[at];
        if (only_args || arg[0] != '-' || arg[1] == '\0')
            p->argv[++*n_args] = arg;
        else if (strcmp(arg, "--") == 0)
            only_args = true;
        else if (arg[1] == '-')
            RQ_TRY(parse_long(p, arg, &at, err));
        else
            RQ_TRY(parse_letters(p, arg, &at, err));
    }
    return RQ_OK;
}

/* Cuts blanks off both ends, in place, then one pair of quotes. */
static char *trim(char *s, bool unquote)
{
    while (isspace((unsigned char)*s))
        s++;
    size_t n = strlen(s);
    while (n > 0 && isspace((unsigned char)s[n - 1]))
        s[--n] = '\0';
    if (unquote && n >= 2 && s[0] == '"' && s[n - 1] == '"') {
        s[n - 1] = '\0';
        s++;
    }
    return s;
}

static rq_status config_line(parser *p, bool *in_file, char *line, rq_err *err)
{
    line = trim(line, false);
    if (*line == '\0' || *line == '#')
        return RQ_OK;
    char *equals = strchr(line, '=');
    if (equals == NULL)
        return rq_fail(err, RQ_INVALID_ARG, "no 'key = value' in '%.60s'", line);
    *equals = '\0';
    const char *key = trim(line, false);
    const char *value = trim(equals + 1, true);
    const int i = find_name(p->opts, key, strlen(key));
    if (i < 0)
        return unknown_option(p->opts, key, "", err);
    RQ_TRY(mark(&in_file[i], &p->opts[i], err));
    /* An empty value is a string that is not set, as the saved configuration writes it. */
    if (p->seen[i] || (*value == '\0' && p->opts[i].type == RQ_OPT_STRING))
        return RQ_OK;
    return rq_value_parse(&p->opts[i], value, err);
}

static rq_status parse_config(parser *p, const char *path, rq_err *err)
{
    bool in_file[MAX_OPTIONS] = {false};
    RQ_TRY(rq_file_read(path, CONFIG_MAX_BYTES, &config_text, err));
    char *text = (char *)config_text.data;
    if (strlen(text) != config_text.size)
        return rq_fail(err, RQ_INVALID_ARG,
                       "%.300s is not a text file; give a config file of "
                       "'key = value' lines",
                       path);
    int number = 0;
    while (text != NULL) {
        char *line = strsep(&text, "\n");
        number++;
        if (config_line(p, in_file, line, err) != RQ_OK) {
            rq_err_prefix(err, "%.200s line %d", path, number);
            return RQ_INVALID_ARG;
        }
    }
    return RQ_OK;
}

/* True when one of the arguments before "--" is this option. */
static bool has_argument(int argc, char **argv, const char *name, const char *letter)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], name) == 0 || (letter != NULL && strcmp(argv[i], letter) == 0))
            return true;
    }
    return false;
}

int rq_cli_parse(int argc, char **argv, const char *usage, const char *examples,
                 const rq_opt *opts, int *n_args)
{
    rq_cli = (rq_cli_common){0};
    rq_progress_wanted = true;
    /* Before anything is set, so that help shows the defaults. */
    if (has_argument(argc, argv, "--help", "-h"))
        return rq_cli_help(usage, examples, opts);
    if (has_argument(argc, argv, "--version", NULL)) {
        rq_cli_version(has_argument(argc, argv, "--verbose", "-v"));
        return 0;
    }
    parser p = {.argc = argc, .argv = argv, .opts = opts};
    rq_err err = {0};
    rq_status status = parse_arguments(&p, n_args, &err);
    if (status == RQ_OK && rq_cli.config != NULL)
        status = parse_config(&p, rq_cli.config, &err);
    if (status == RQ_INVALID_ARG)
        return rq_cli_usage("%s", err.text);
    if (status != RQ_OK)
        return rq_cli_fail(&err);
    if (rq_cli.verbose < 0)
        rq_progress_wanted = false;
    rq_cli.progress = rq_progress_wanted && isatty(STDERR_FILENO);
    return -1;
}

rq_status rq_cli_config_text(const rq_opt *opts, rq_buf *out, rq_err *err)
{
    for (const rq_opt *o = opts; !rq_opt_is_end(o); o++) {
        if (o->type == RQ_OPT_GROUP)
            continue;
        RQ_TRY(rq_buf_printf(out, err, "%s = ", o->name));
        RQ_TRY(rq_value_append(o, out, err));
        RQ_TRY(rq_buf_append(out, "\n", 1, err));
    }
    return RQ_OK;
}
