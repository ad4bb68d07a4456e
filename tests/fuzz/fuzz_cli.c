// SPDX-License-Identifier: Apache-2.0
//
// Command lines and config files. The input is lines: up to the first empty one they are
// arguments, what follows is a config file. What is accepted and written as a configuration
// reads back to the same configuration.
#include "fuzz.h"

#include "tools/cli.h"

enum { MAX_ARGUMENTS = 24 };

typedef struct settings {
    bool flag, other;
    int count, choice;
    uint64_t seed, bytes;
    float rate;
    const char *name;
    double time;
} settings;

static const char *const choices[] = {"jpeg", "dct", "avif", NULL};

/* Parses; -1 when the command would run. *text gets the configuration then. */
static int parse(int argc, char **argv, rq_buf *text)
{
    settings s = {.count = 3, .rate = 0.5f, .seed = 1};
    const rq_opt opts[] = {
        {.type = RQ_OPT_GROUP, .help = "First"},
        {.type = RQ_OPT_BOOL, .name = "flag", .letter = 'f', .value = &s.flag, .help = "it"},
        {.type = RQ_OPT_BOOL, .name = "no-other", .value = &s.other, .help = "it"},
        {.type = RQ_OPT_INT,
         .name = "count",
         .letter = 'n',
         .value = &s.count,
         .arg = "N",
         .help = "it",
         .min = -3,
         .max = 900},
        {.type = RQ_OPT_U64, .name = "seed", .value = &s.seed, .arg = "N", .help = "it"},
        {.type = RQ_OPT_SIZE,
         .name = "shard-size",
         .value = &s.bytes,
         .arg = "B",
         .help = "it"},
        {.type = RQ_OPT_GROUP, .help = "Second"},
        {.type = RQ_OPT_FLOAT,
         .name = "rate",
         .value = &s.rate,
         .arg = "R",
         .help = "it",
         .min = 0,
         .max = 1e9},
        {.type = RQ_OPT_CHOICE,
         .name = "encoding",
         .value = &s.choice,
         .arg = "E",
         .help = "it",
         .choices = choices},
        {.type = RQ_OPT_STRING,
         .name = "name",
         .letter = 'o',
         .value = &s.name,
         .arg = "S",
         .help = "it"},
        {.type = RQ_OPT_TIME, .name = "time", .value = &s.time, .arg = "T", .help = "it"},
        {.type = RQ_OPT_GROUP}};
    int n_args = 0;
    rq_err err = {0};
    const int rc = rq_cli_parse(argc, argv, "X", NULL, opts, &n_args);
    FUZZ_HOLDS(rc == -1 || rc == 0 || rc == 2 || rc == 3);
    if (rc != -1)
        return rc;
    FUZZ_HOLDS(n_args >= 0 && n_args < argc);
    FUZZ_HOLDS(s.count >= -3 && s.count <= 900 && s.rate >= 0 && s.rate <= 1e9f);
    FUZZ_HOLDS(s.choice >= 0 && s.choice < 3 && s.time >= 0);
    return rq_cli_config_text(opts, text, &err) == RQ_OK ? -1 : 0;
}

/* A config file read by itself; its text once more into *text. */
static int parse_file(const rq_buf *file, rq_buf *text)
{
    fuzz_file f = fuzz_file_make(file->data, file->size);
    char option[64], tool[] = "x";
    snprintf(option, sizeof option, "--config=%s", f.path);
    char *argv[] = {tool, option, NULL};
    const int rc = parse(2, argv, text);
    fuzz_file_close(&f);
    return rc;
}

/* Cuts the lines of `text` up to the first empty one into argv; returns where the rest starts.
 */
static char *cut_arguments(char *text, char **argv, int *argc)
{
    while (*text != '\0' && *text != '\n' && *argc < MAX_ARGUMENTS) {
        argv[(*argc)++] = text;
        text += strcspn(text, "\n");
        if (*text == '\n')
            *text++ = '\0';
    }
    return *text == '\n' ? text + 1 : text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char tool[] = "x", option[64], *argv[MAX_ARGUMENTS + 3] = {tool};
    int argc = 1;
    char *text = malloc(size + 1);
    FUZZ_HOLDS(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    const char *rest = cut_arguments(text, argv, &argc);
    fuzz_file f = fuzz_file_make(rest, size - (size_t)(rest - text));
    if (rest < text + size) {
        snprintf(option, sizeof option, "--config=%s", f.path);
        argv[argc++] = option;
    }
    rq_buf once = {0}, twice = {0};
    if (parse(argc, argv, &once) == -1) {
        fuzz_accepted();
        FUZZ_HOLDS(parse_file(&once, &twice) == -1);
        FUZZ_HOLDS(once.size == twice.size && memcmp(once.data, twice.data, once.size) == 0);
    }
    rq_buf_free(&once);
    rq_buf_free(&twice);
    fuzz_file_close(&f);
    free(text);
    return 0;
}
