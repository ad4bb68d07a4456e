// SPDX-License-Identifier: Apache-2.0
//
// Reads the saved configuration of a run, or a preset, for the options that rq-dump has too:
// the recipe and the seed. They are applied before the command line is parsed, which wins.
#include "tools/dump_settings.h"

#include "common/file.h"
#include "tools/cli_internal.h"
#include "tools/presets.h"

#include <string.h>

enum { MAX_CONFIG_BYTES = 1 << 20, MAX_VALUE_BYTES = 128 };

static const rq_opt *find(const rq_opt *table, const char *key, size_t n)
{
    for (const rq_opt *o = table; o->type != RQ_OPT_GROUP || o->help != NULL; o++)
        if (o->type != RQ_OPT_GROUP && o->type != RQ_OPT_STRING && strlen(o->name) == n &&
            memcmp(o->name, key, n) == 0 && strcmp(o->name, "preset") != 0)
            return o;
    return NULL;
}

static rq_status take(const rq_opt *table, const char *key, size_t key_bytes, const char *value,
                      size_t value_bytes, rq_err *err)
{
    const rq_opt *o = find(table, key, key_bytes);
    char text[MAX_VALUE_BYTES];
    if (o == NULL)
        return RQ_OK;
    if (value_bytes >= sizeof text)
        return rq_fail(err, RQ_BAD_FORMAT, "the value of %s is too long", o->name);
    memcpy(text, value, value_bytes);
    text[value_bytes] = '\0';
    return rq_value_parse(o, text, err);
}

static rq_status take_lines(const char *text, const rq_opt *table, rq_err *err)
{
    for (const char *line = text; *line != '\0';) {
        const size_t n = strcspn(line, "\n");
        const char *equals = memchr(line, '=', n);
        if (equals != NULL && *line != '#') {
            size_t key = (size_t)(equals - line);
            while (key > 0 && line[key - 1] == ' ')
                key--;
            const char *value = equals + 1 + strspn(equals + 1, " ");
            RQ_TRY(take(table, line, key, value, (size_t)(line + n - value), err));
        }
        line += n + (line[n] == '\n');
    }
    return RQ_OK;
}

rq_status rq_dump_take_run(const char *run_dir, const rq_opt *table, rq_err *err)
{
    rq_buf text = {0};
    char *path = rq_path_join(run_dir, "config.txt");
    rq_status st = path == NULL ? rq_fail(err, RQ_OOM, "out of memory for a file name")
                                : rq_file_read(path, MAX_CONFIG_BYTES, &text, err);
    if (st == RQ_NOT_FOUND)
        rq_err_prefix(err, "%s is not the folder of a run", run_dir);
    if (st == RQ_OK)
        st = take_lines((const char *)text.data, table, err);
    rq_buf_free(&text);
    rq_free(path);
    return st;
}

rq_status rq_dump_take_preset(int i, const rq_opt *table, rq_err *err)
{
    for (const char *const *row = rq_preset_options(i); *row != NULL; row++) {
        const char *key = *row + 2, *equals = strchr(key, '=');
        if (equals != NULL)
            RQ_TRY(
                take(table, key, (size_t)(equals - key), equals + 1, strlen(equals + 1), err));
    }
    return RQ_OK;
}

const char *rq_dump_argument(int argc, char **argv, const char *name)
{
    const size_t n = strlen(name);
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strncmp(argv[i], "--", 2) != 0 || strncmp(argv[i] + 2, name, n) != 0)
            continue;
        if (argv[i][n + 2] == '=')
            return argv[i] + n + 3;
        if (argv[i][n + 2] == '\0' && i + 1 < argc)
            return argv[i + 1];
    }
    return NULL;
}
