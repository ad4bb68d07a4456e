// SPDX-License-Identifier: Apache-2.0
//
// Prints the help of a command from its table of options: what it is for, how it is called, the
// options in groups with ranges, choices and defaults, and examples.
#include "tools/cli_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { LEFT_WIDTH = 28, LINE_WIDTH = 96 };

/* What stands for the value where the table names nothing. */
static const char *placeholder(const rq_opt *opt)
{
    if (opt->arg != NULL)
        return opt->arg;
    switch (opt->type) {
    case RQ_OPT_INT:
    case RQ_OPT_U64:
        return "N";
    case RQ_OPT_FLOAT:
        return "X";
    case RQ_OPT_SIZE:
        return "SIZE";
    case RQ_OPT_TIME:
        return "TIME";
    case RQ_OPT_CHOICE:
        return "NAME";
    default:
        return "TEXT";
    }
}

/* "-o, --out DIR" or "    --[no-]flip". */
static void format_left(const rq_opt *opt, char *buf, size_t bytes)
{
    char letter[8] = "    ";
    if (opt->letter != 0)
        snprintf(letter, sizeof letter, "-%c, ", opt->letter);
    if (opt->type == RQ_OPT_BOOL)
        snprintf(buf, bytes, "%s--[no-]%s", letter, opt->name);
    else
        snprintf(buf, bytes, "%s--%s %s", letter, opt->name, placeholder(opt));
}

/* "3h50m", the way it is typed. */
static void format_time(char *buf, size_t bytes, double seconds)
{
    static const struct {
        char unit;
        long seconds;
    } units[] = {{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};
    long left = (long)seconds;
    size_t used = 0;
    snprintf(buf, bytes, "%gs", seconds);
    for (size_t i = 0; i < 4 && seconds >= 60 && seconds < 1e9; i++) {
        const long n = left / units[i].seconds;
        left -= n * units[i].seconds;
        if (n > 0)
            used += (size_t)snprintf(buf + used, bytes - used, "%ld%c", n, units[i].unit);
    }
}

/* The default as a person would type it, empty when there is nothing to say. */
static void format_default(const rq_opt *opt, char *buf, size_t bytes)
{
    char number[40];
    const char *text = number;
    switch (opt->type) {
    case RQ_OPT_BOOL:
        text = *(const bool *)opt->value ? "yes" : "";
        break;
    case RQ_OPT_INT:
        snprintf(number, sizeof number, "%d", *(const int *)opt->value);
        break;
    case RQ_OPT_U64:
        snprintf(number, sizeof number, "%" PRIu64, *(const uint64_t *)opt->value);
        break;
    case RQ_OPT_SIZE:
        rq_format_bytes(number, (double)*(const uint64_t *)opt->value);
        break;
    case RQ_OPT_FLOAT:
        snprintf(number, sizeof number, "%g", (double)*(const float *)opt->value);
        break;
    case RQ_OPT_TIME:
        format_time(number, sizeof number, *(const double *)opt->value);
        break;
    case RQ_OPT_CHOICE:
        text = opt->choices[*(const int *)opt->value];
        break;
    case RQ_OPT_STRING:
        text = *(const char *const *)opt->value;
        break;
    case RQ_OPT_GROUP:
        text = "";
        break;
    }
    snprintf(buf, bytes, "%s", text == NULL ? "" : text);
}

/* " [1 to 16; default 4]", " [jpeg, raw; default jpeg]" or nothing. */
static void format_facts(const rq_opt *opt, char *buf, size_t bytes)
{
    char range[300] = "", value[200];
    size_t used = 0;
    if ((opt->type == RQ_OPT_INT || opt->type == RQ_OPT_FLOAT) && opt->min < opt->max)
        snprintf(range, sizeof range, "%.10g to %.10g", opt->min, opt->max);
    for (int i = 0; opt->type == RQ_OPT_CHOICE && opt->choices[i] != NULL; i++) {
        const int n =
            snprintf(range + used, sizeof range - used, "%s%s", i ? ", " : "", opt->choices[i]);
        if (n > 0 && used + (size_t)n < sizeof range)
            used += (size_t)n;
    }
    format_default(opt, value, sizeof value);
    const bool has_range = range[0] != '\0', has_value = value[0] != '\0';
    if (has_range || has_value)
        snprintf(buf, bytes, " [%s%s%s%s]", range, has_range && has_value ? "; " : "",
                 has_value ? "default " : "", value);
    else
        buf[0] = '\0';
}

/* The text in the right column, broken at blanks. `column` is where the cursor stands. */
static void print_wrapped(const char *text, int column)
{
    while (column++ < LEFT_WIDTH)
        putchar(' ');
    column = LEFT_WIDTH;
    while (*text != '\0') {
        const int word = (int)strcspn(text, " ");
        if (column > LEFT_WIDTH && column + 1 + word > LINE_WIDTH) {
            printf("\n%*s", LEFT_WIDTH, "");
            column = LEFT_WIDTH;
        }
        column += printf("%s%.*s", column > LEFT_WIDTH ? " " : "", word, text);
        text += word + (text[word] == ' ');
    }
    putchar('\n');
}

static void print_option(const rq_opt *opt)
{
    char left[80], facts[540], right[1024];
    format_left(opt, left, sizeof left);
    format_facts(opt, facts, sizeof facts);
    snprintf(right, sizeof right, "%s%s", opt->help ? opt->help : "", facts);
    int column = printf("  %s", left);
    if (column >= LEFT_WIDTH - 1) {
        putchar('\n');
        column = 0;
    }
    print_wrapped(right, column);
}

int rq_cli_help(const char *usage, const char *examples, const rq_opt *opts)
{
    const char *command = rq_running.command;
    if (rq_running.summary != NULL)
        printf("%s\n\n", rq_running.summary);
    printf("usage: %s%s%s %s\n", rq_running.tool, command ? " " : "", command ? command : "",
           usage);
    if (opts->type != RQ_OPT_GROUP)
        printf("\noptions:\n");
    for (const rq_opt *o = opts; !rq_opt_is_end(o); o++) {
        if (o->type == RQ_OPT_GROUP)
            printf("\n%s:\n", o->help);
        else
            print_option(o);
    }
    printf("\ngeneral:\n"
           "      --config FILE         read options from FILE, lines 'name = value'; the "
           "command\n"
           "                            line wins\n"
           "      --json                results as JSON on standard output\n"
           "      --[no-]progress       show progress on standard error [default yes]\n"
           "  -q, --quiet               errors only\n"
           "  -v, --verbose             say more; twice for even more\n"
           "  -h, --help                this text\n"
           "      --version             the version; with -v also what it was built with\n");
    if (examples != NULL)
        printf("\nexamples:\n%s%s", examples,
               examples[0] != '\0' && examples[strlen(examples) - 1] == '\n' ? "" : "\n");
    return 0;
}
