// SPDX-License-Identifier: Apache-2.0
//
// Option values as text, in both directions. Numbers are read whole or refused: "12x", "", and
// what does not fit are errors, never a silently different value. What rq_value_append writes,
// rq_value_parse reads back to the same value.
#include "tools/cli_internal.h"

#include "common/json.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool rq_opt_is_end(const rq_opt *opt)
{
    return opt->type == RQ_OPT_GROUP && opt->help == NULL;
}

static rq_status refuse(rq_err *err, const rq_opt *opt, const char *text, const char *want)
{
    return rq_fail(err, RQ_INVALID_ARG, "--%s wants %s, not '%.100s'", opt->name, want, text);
}

/* A plain decimal number without leading blanks, sign or hexadecimal: strtod takes all of
 * those, and "inf" and "nan" too. */
static bool starts_number(const char *text)
{
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
        return false;
    return isdigit((unsigned char)text[0]) ||
           (text[0] == '.' && isdigit((unsigned char)text[1]));
}

static rq_status parse_bool(const rq_opt *opt, const char *text, rq_err *err)
{
    static const char *const yes[] = {"true", "yes", "on", "1"};
    static const char *const no[] = {"false", "no", "off", "0"};
    for (int i = 0; i < 4; i++) {
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            *(bool *)opt->value = strcmp(text, yes[i]) == 0;
            return RQ_OK;
        }
    }
    return refuse(err, opt, text, "yes or no");
}

static rq_status parse_int(const rq_opt *opt, const char *text, rq_err *err)
{
    char *end;
    errno = 0;
    const long v = strtol(text, &end, 10);
    const char *digits = text[0] == '-' ? text + 1 : text;
    if (!isdigit((unsigned char)*digits) || *end != '\0')
        return refuse(err, opt, text, "a whole number");
    if (errno == ERANGE || v < INT32_MIN || v > INT32_MAX)
        return refuse(err, opt, text, "a number that fits 32 bits");
    if (opt->min < opt->max && ((double)v < opt->min || (double)v > opt->max))
        return rq_fail(err, RQ_INVALID_ARG, "--%s must be from %.15g to %.15g, not %ld",
                       opt->name, opt->min, opt->max, v);
    *(int *)opt->value = (int)v;
    return RQ_OK;
}

static rq_status parse_u64(const rq_opt *opt, const char *text, rq_err *err)
{
    const bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    const char *digits = hex ? text + 2 : text;
    char *end;
    errno = 0;
    const unsigned long long v = strtoull(digits, &end, hex ? 16 : 10);
    if (!isxdigit((unsigned char)*digits) || end == digits || *end != '\0')
        return refuse(err, opt, text, "a whole number that is not negative");
    if (errno == ERANGE)
        return refuse(err, opt, text, "a number that fits 64 bits");
    *(uint64_t *)opt->value = v;
    return RQ_OK;
}

static rq_status parse_float(const rq_opt *opt, const char *text, rq_err *err)
{
    char *end;
    const float v = strtof(text, &end);
    if (!starts_number(text[0] == '-' ? text + 1 : text) || *end != '\0' || !isfinite(v))
        return refuse(err, opt, text, "a number");
    /* min and max are doubles; compare in float, so that a bound such as 0.1 is inside. */
    if (opt->min < opt->max && (v < (float)opt->min || v > (float)opt->max))
        return rq_fail(err, RQ_INVALID_ARG, "--%s must be from %g to %g, not %.40s", opt->name,
                       opt->min, opt->max, text);
    *(float *)opt->value = v;
    return RQ_OK;
}

/* Factor of a size suffix, 0 when it is none. */
static double size_unit(const char *suffix)
{
    static const char letters[] = "KMGT";
    if (suffix[0] == '\0' || strcmp(suffix, "B") == 0)
        return 1;
    const char *letter = strchr(letters, suffix[0]);
    if (letter == NULL || (suffix[1] != '\0' && strcmp(suffix + 1, "iB") != 0))
        return 0;
    return (double)(1ull << (10 * (letter - letters + 1)));
}

static rq_status parse_size(const rq_opt *opt, const char *text, rq_err *err)
{
    char *end;
    const double v = strtod(text, &end);
    const double unit = size_unit(end);
    if (!starts_number(text) || unit == 0)
        return refuse(err, opt, text, "a size such as 512MiB or 4GiB");
    /* Whole bytes below 2^64 are read exactly; a double would round them. */
    if (unit == 1 && strspn(text, "0123456789") == (size_t)(end - text)) {
        errno = 0;
        *(uint64_t *)opt->value = strtoull(text, NULL, 10);
        return errno == ERANGE ? refuse(err, opt, text, "a size below 16 EiB") : RQ_OK;
    }
    if (!(v * unit < 0x1p63))
        return refuse(err, opt, text, "a size below 8 EiB");
    *(uint64_t *)opt->value = (uint64_t)(v * unit);
    return RQ_OK;
}

/* Seconds of a time unit, 0 when it is none. */
static double time_unit(char unit)
{
    switch (unit) {
    case 's':
        return 1;
    case 'm':
        return 60;
    case 'h':
        return 3600;
    case 'd':
        return 86400;
    default:
        return 0;
    }
}

/* "90" seconds, or "20m", "3h50m": numbers with units that descend. */
static rq_status parse_time(const rq_opt *opt, const char *text, rq_err *err)
{
    double sum = 0, last_unit = INFINITY;
    const char *at = text;
    do {
        char *end;
        const double v = strtod(at, &end);
        const double unit = *end == '\0' && at == text ? 1 : time_unit(*end);
        if (!starts_number(at) || unit == 0 || unit >= last_unit || !isfinite(v))
            return refuse(err, opt, text, "a time such as 90s, 20m or 3h50m");
        sum += v * unit;
        last_unit = unit;
        at = *end == '\0' ? end : end + 1;
    } while (*at != '\0');
    *(double *)opt->value = sum;
    return RQ_OK;
}

static rq_status parse_choice(const rq_opt *opt, const char *text, rq_err *err)
{
    char list[256] = "";
    size_t used = 0;
    for (int i = 0; opt->choices[i] != NULL; i++) {
        if (strcmp(text, opt->choices[i]) == 0) {
            *(int *)opt->value = i;
            return RQ_OK;
        }
        const int n =
            snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", opt->choices[i]);
        if (n > 0 && used + (size_t)n < sizeof list)
            used += (size_t)n;
    }
    return rq_fail(err, RQ_INVALID_ARG, "--%s is one of %s; it cannot be '%.100s'", opt->name,
                   list, text);
}

rq_status rq_value_parse(const rq_opt *opt, const char *text, rq_err *err)
{
    switch (opt->type) {
    case RQ_OPT_BOOL:
        return parse_bool(opt, text, err);
    case RQ_OPT_INT:
        return parse_int(opt, text, err);
    case RQ_OPT_U64:
        return parse_u64(opt, text, err);
    case RQ_OPT_SIZE:
        return parse_size(opt, text, err);
    case RQ_OPT_FLOAT:
        return parse_float(opt, text, err);
    case RQ_OPT_TIME:
        return parse_time(opt, text, err);
    case RQ_OPT_CHOICE:
        return parse_choice(opt, text, err);
    case RQ_OPT_STRING:
        *(const char **)opt->value = text;
        return RQ_OK;
    case RQ_OPT_GROUP:
        break;
    }
    return rq_fail(err, RQ_INTERNAL, "a heading of the option table was given a value");
}

/* The shortest decimal that reads back to the same float. */
static rq_status append_float(float v, rq_buf *out, rq_err *err)
{
    char text[40];
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)v);
        if (strtof(text, NULL) == v)
            break;
    }
    return rq_buf_append(out, text, strlen(text), err);
}

/* Quoted where the config-file reader would otherwise trim it. A line break fits no line. */
static rq_status append_string(const rq_opt *opt, rq_buf *out, rq_err *err)
{
    const char *s = *(const char *const *)opt->value;
    const size_t n = s == NULL ? 0 : strlen(s);
    if (s != NULL && strpbrk(s, "\r\n") != NULL)
        return rq_fail(err, RQ_INVALID_ARG,
                       "--%s holds a line break, which a config file cannot express; rename it",
                       opt->name);
    const bool quote = n > 0 && (isspace((unsigned char)s[0]) ||
                                 isspace((unsigned char)s[n - 1]) || s[0] == '"');
    return rq_buf_printf(out, err, quote ? "\"%s\"" : "%s", s == NULL ? "" : s);
}

rq_status rq_value_append(const rq_opt *opt, rq_buf *out, rq_err *err)
{
    switch (opt->type) {
    case RQ_OPT_BOOL:
        return rq_buf_printf(out, err, "%s", *(const bool *)opt->value ? "yes" : "no");
    case RQ_OPT_INT:
        return rq_buf_printf(out, err, "%d", *(const int *)opt->value);
    case RQ_OPT_U64:
    case RQ_OPT_SIZE:
        return rq_buf_printf(out, err, "%" PRIu64, *(const uint64_t *)opt->value);
    case RQ_OPT_FLOAT:
        return append_float(*(const float *)opt->value, out, err);
    case RQ_OPT_TIME:
        return rq_json_append_double(out, *(const double *)opt->value, err);
    case RQ_OPT_CHOICE:
        return rq_buf_printf(out, err, "%s", opt->choices[*(const int *)opt->value]);
    case RQ_OPT_STRING:
        return append_string(opt, out, err);
    case RQ_OPT_GROUP:
        break;
    }
    return RQ_OK;
}
