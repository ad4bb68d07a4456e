// SPDX-License-Identifier: Apache-2.0
//
// The table of options: what every type takes and refuses, config files, suggestions, the saved
// configuration, help, and the numbers as people read them. What the tools print goes to files
// that the tests read.
#include "tests/unit/test.h"

#include "common/file.h"
#include "tools/cli.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

static struct options {
    bool flip, flag;
    int threads, encode;
    uint64_t seed, size;
    float fraction;
    const char *out;
    double time;
} o;

static const char *const encodings[] = {"jpeg", "raw", NULL};
static const rq_opt table[] = {
    {.type = RQ_OPT_GROUP, .help = "what it makes"},
    {.type = RQ_OPT_STRING,
     .name = "out",
     .letter = 'o',
     .value = &o.out,
     .arg = "DIR",
     .help = "folder of the result"},
    {.type = RQ_OPT_BOOL, .name = "flip", .value = &o.flip, .help = "mirror half of the views"},
    {.type = RQ_OPT_BOOL, .name = "flag", .letter = 'f', .value = &o.flag, .help = "a flag"},
    {.type = RQ_OPT_INT,
     .name = "threads",
     .letter = 't',
     .value = &o.threads,
     .arg = "N",
     .help = "worker threads",
     .min = 0,
     .max = 64},
    {.type = RQ_OPT_CHOICE,
     .name = "encode",
     .value = &o.encode,
     .choices = encodings,
     .help = "how images are stored"},
    {.type = RQ_OPT_U64, .name = "seed", .value = &o.seed, .help = "seed"},
    {.type = RQ_OPT_SIZE, .name = "shard-size", .value = &o.size, .help = "bytes of a shard"},
    {.type = RQ_OPT_FLOAT,
     .name = "fraction",
     .value = &o.fraction,
     .min = 0,
     .max = 0.1,
     .help = "part of the images"},
    {.type = RQ_OPT_TIME, .name = "time", .value = &o.time, .help = "when to stop"},
    {.type = RQ_OPT_GROUP}};

static const struct options defaults = {
    .flip = true, .threads = 4, .seed = 7, .size = 256 << 20, .fraction = 0.05f, .time = 1200};

enum { MAX_ARGS = 32 };
static char *args[MAX_ARGS + 1];
static int n_args;
static char said[8192], printed[16384]; /* stderr and stdout of the last call */

/* Sends a descriptor to a file; returns a copy of the old one. */
static int redirect(int fd, const char *path)
{
    fflush(NULL);
    const int old = dup(fd), to = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(old >= 0 && to >= 0 && dup2(to, fd) == fd);
    close(to);
    return old;
}

static void restore(int fd, int old, const char *path, char *text, size_t bytes)
{
    fflush(NULL);
    assert_int_equal(dup2(old, fd), fd);
    close(old);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    text[fread(text, 1, bytes - 1, f)] = '\0';
    fclose(f);
}

/* Parses a command line given as one text, words separated by one blank. */
static int parse(const char *line)
{
    static char words[1024];
    snprintf(words, sizeof words, "%s", line);
    o = defaults;
    n_args = -1;
    int argc = 0;
    for (char *at = words; at != NULL && argc < MAX_ARGS;)
        args[argc++] = strsep(&at, " ");
    args[argc] = NULL;
    const int old_err = redirect(2, "said"), old_out = redirect(1, "printed");
    const int rc =
        rq_cli_parse(argc, args, "SRC... -o DIR", "  rq-test make a -o b", table, &n_args);
    restore(1, old_out, "printed", printed, sizeof printed);
    restore(2, old_err, "said", said, sizeof said);
    return rc;
}

static void assert_says(const char *part)
{
    if (strstr(said, part) == NULL)
        fail_msg("'%s' does not say '%s'", said, part);
}

static void every_type_in_every_form(void **state)
{
    assert_int_equal(parse("make a --out dir -t3 --no-flip b -f --encode=raw --seed 0x10 "
                           "--shard-size 1.5GiB --fraction .1 --time 3h50m -- -c"),
                     -1);
    assert_string_equal(said, "");
    assert_int_equal(n_args, 3);
    assert_string_equal(args[1], "a");
    assert_string_equal(args[2], "b");
    assert_string_equal(args[3], "-c");
    assert_string_equal(o.out, "dir");
    assert_true(!o.flip && o.flag);
    assert_int_equal(o.threads, 3);
    assert_int_equal(o.encode, 1);
    assert_int_equal(o.seed, 16);
    assert_int_equal(o.size, 3 << 29);
    assert_true(o.fraction == 0.1f);
    assert_true(o.time == 3 * 3600 + 50 * 60);
    assert_int_equal(parse("make -ft 5 - --out=-x=y"), -1);
    assert_true(o.flag);
    assert_int_equal(o.threads, 5);
    assert_string_equal(args[1], "-"); /* standard input is an argument */
    assert_string_equal(o.out, "-x=y");
    assert_int_equal(parse("make"), -1);
    assert_int_equal(n_args, 0);
    assert_int_equal(memcmp(&o.time, &defaults.time, sizeof o.time), 0);
}

static void sizes_and_times(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } sizes[] = {{"0", 0},
                 {"512", 512},
                 {"512B", 512},
                 {"64KiB", 65536},
                 {"2M", 2 << 20},
                 {"0.5MiB", 1 << 19},
                 {"3TiB", UINT64_C(3) << 40},
                 {"18446744073709551615", UINT64_MAX}};
    char line[100];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        snprintf(line, sizeof line, "make --shard-size %s", sizes[i].text);
        assert_int_equal(parse(line), -1);
        assert_true(o.size == sizes[i].bytes);
    }
    static const struct {
        const char *text;
        double seconds;
    } times[] = {{"90", 90},       {"0", 0},      {"20m", 1200},  {"1.5h", 5400},
                 {"2d3h", 183600}, {"1m30s", 90}, {"1h1s", 3601}, {"0.5", 0.5}};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        snprintf(line, sizeof line, "make --time %s", times[i].text);
        assert_int_equal(parse(line), -1);
        assert_true(o.time == times[i].seconds);
    }
}

static void mistakes_end_with_exit_code_2_and_one_sentence(void **state)
{
    static const struct {
        const char *line, *says;
    } cases[] = {
        {"make --ouy x", "unknown option --ouy; did you mean --out?"},
        {"make --thr 3", "did you mean --threads?"},
        {"make --sahrd-size 3", "did you mean --shard-size?"},
        {"make --no-flup", "did you mean --no-flip?"},
        {"make --verbos=1", "did you mean --verbose?"},
        {"make --zzzzzzzz", "unknown option --zzzzzzzz\n"},
        {"make --no-threads", "unknown option --no-threads"},
        {"make -x", "unknown option -x"},
        {"make -fx", "unknown option -x"},
        {"make --out", "--out needs a value: DIR"},
        {"make --out --flip", "--out needs a value: DIR"},
        {"make -o", "--out needs a value: DIR"},
        {"make --seed 1 --seed 2", "--seed is given twice"},
        {"make --flip --no-flip", "--flip is given twice"},
        {"make -o a --out b", "--out is given twice"},
        {"make --threads 3x", "a whole number, not '3x'"},
        {"make --threads 0x3", "a whole number"},
        {"make --threads=", "a whole number"},
        {"make --threads 1.5", "a whole number"},
        {"make --threads -1", "from 0 to 64, not -1"},
        {"make --threads 65", "from 0 to 64, not 65"},
        {"make --threads 99999999999999999999", "fits 32 bits"},
        {"make --seed -1", "not negative"},
        {"make --seed 0x", "a whole number"},
        {"make --seed 18446744073709551616", "fits 64 bits"},
        {"make --seed 12ab", "a whole number"},
        {"make --fraction nan", "wants a number"},
        {"make --fraction inf", "wants a number"},
        {"make --fraction 0.11", "from 0 to 0.1, not 0.11"},
        {"make --fraction 0x1p-4", "wants a number"},
        {"make --fraction 1e99999", "wants a number"},
        {"make --shard-size 1.5GiBx", "wants a size"},
        {"make --shard-size -5", "wants a size"},
        {"make --shard-size 5kb", "wants a size"},
        {"make --shard-size 18446744073709551616", "below 16 EiB"},
        {"make --shard-size 99999999TiB", "below 8 EiB"},
        {"make --time 3m2h", "wants a time"},
        {"make --time 1h30", "wants a time"},
        {"make --time 5x", "wants a time"},
        {"make --time -5", "wants a time"},
        {"make --encode rwa", "--encode is one of jpeg, raw"},
        {"make --flip=maybe", "yes or no"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (parse(cases[i].line) != 2)
            fail_msg("'%s' was taken", cases[i].line);
        assert_says(cases[i].says);
        assert_says("--help' to see what it takes");
        assert_string_equal(printed, "");
    }
}

static void general_options(void **state)
{
    assert_int_equal(parse("make -v -v --json"), -1);
    assert_int_equal(rq_cli.verbose, 2);
    assert_true(rq_cli.json);
    assert_false(rq_cli.progress); /* stderr is a file here */
    assert_int_equal(parse("make -vvq"), -1);
    assert_int_equal(rq_cli.verbose, -1);
    assert_false(rq_cli.json);
    assert_int_equal(parse("make --quiet --no-progress"), -1);
    assert_int_equal(parse("make --version"), 0);
    assert_non_null(strstr(printed, RQ_VERSION));
    assert_null(strstr(printed, "AVIF"));
    assert_int_equal(parse("make --version -v"), 0);
    assert_non_null(strstr(printed, "AVIF"));
}

static void help_shows_the_table(void **state)
{
    /* Whatever stands before it, help shows the defaults and sets nothing. */
    assert_int_equal(parse("make --threads 9 --nonsense --help"), 0);
    assert_string_equal(said, "");
    assert_int_equal(o.threads, 4);
    static const char *const parts[] = {"SRC... -o DIR",
                                        "what it makes:",
                                        "-o, --out DIR",
                                        "--[no-]flip",
                                        "[default yes]",
                                        "[0 to 64; default 4]",
                                        "[jpeg, raw; default jpeg]",
                                        "[default 256 MiB]",
                                        "[0 to 0.1; default 0.05]",
                                        "[default 20m]",
                                        "--config FILE",
                                        "rq-test make a -o b"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (strstr(printed, parts[i]) == NULL)
            fail_msg("help does not show '%s'", parts[i]);
    }
    for (const char *line = printed; line != NULL && *line != '\0';) {
        const char *end = strchr(line, '\n');
        assert_true(end != NULL && end - line <= 96);
        line = end + 1;
    }
    assert_int_equal(parse("make -h"), 0);
    assert_int_equal(parse("make -- --help"), -1); /* an argument like any other */
    assert_string_equal(args[1], "--help");
}

static void write_text(const char *path, const char *text)
{
    rq_err err = {0};
    assert_ok(rq_file_write_atomic(path, text, strlen(text), &err), &err);
}

static void config_files(void **state)
{
    write_text("conf", "# a comment\n\n  threads =  9\r\nflip=no\nout = \" x \"\nseed = 5\n"
                       "time = 1h");
    assert_int_equal(parse("make --config conf --seed 6"), -1);
    assert_string_equal(said, "");
    assert_int_equal(o.threads, 9);
    assert_false(o.flip);
    assert_string_equal(o.out, " x ");
    assert_int_equal(o.seed, 6); /* the command line wins, whatever the order */
    assert_true(o.time == 3600);
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"threads = 3\nthreds = 4\n",
         "conf line 2: unknown option threds; did you mean threads?"},
        {"threads = 3\n\nthreads = 4\n", "conf line 3: --threads is given twice"},
        {"threads 3\n", "conf line 1: no 'key = value'"},
        {"threads = many\n", "conf line 1: --threads wants a whole number"},
        {"threads =\n", "a whole number"},
        {"[section]\n", "no 'key = value'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_text("conf", cases[i].text);
        assert_int_equal(parse("make --config conf"), 2);
        assert_says(cases[i].says);
    }
    rq_err err = {0};
    assert_ok(rq_file_write_atomic("conf", "a\0b", 3, &err), &err);
    assert_int_equal(parse("make --config conf"), 2);
    assert_says("not a text file");
    assert_int_equal(parse("make --config missing"), 3);
    assert_says("missing");
}

static void the_saved_configuration_reads_back(void **state)
{
    assert_int_equal(parse("make --threads 8 --no-flip --seed 18446744073709551615 --fraction "
                           "0.0123 --time 1.25 --encode raw --shard-size 999"),
                     -1);
    static const char *const names[] = {NULL, "plain", " blanks ", "\"quoted\"", "a=b # c"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        o.out = names[i];
        const struct options saved = o;
        rq_buf text = {0};
        rq_err err = {0};
        assert_ok(rq_cli_config_text(table, &text, &err), &err);
        write_text("saved", (char *)text.data);
        assert_int_equal(parse("make --config saved"), -1);
        assert_true(o.flip == saved.flip && o.threads == saved.threads &&
                    o.seed == saved.seed && o.size == saved.size && o.encode == saved.encode &&
                    o.fraction == saved.fraction && o.time == saved.time);
        if (saved.out == NULL)
            assert_null(o.out);
        else
            assert_string_equal(o.out, saved.out);
        rq_buf_free(&text);
        o = saved;
    }
    rq_buf text = {0};
    rq_err err = {0};
    o.out = "two\nlines";
    assert_status(rq_cli_config_text(table, &text, &err), RQ_INVALID_ARG);
    rq_buf_free(&text);
}

static int run_ok(int argc, char **argv)
{
    printf("ran %s with %d\n", argv[0], argc);
    return 4;
}

static const rq_cli_command commands[] = {
    {"build", "make a dataset", run_ok}, {"verify", "check a dataset", run_ok}, {0}};

static int run_main(const char *first)
{
    char *argv[] = {"rq-test", (char *)(uintptr_t)first, NULL};
    const int old_err = redirect(2, "said"), old_out = redirect(1, "printed");
    const int rc =
        rq_cli_main(first == NULL ? 1 : 2, argv, "rq-test", "tests things", commands);
    restore(1, old_out, "printed", printed, sizeof printed);
    restore(2, old_err, "said", said, sizeof said);
    return rc;
}

static void commands_are_found(void **state)
{
    assert_int_equal(run_main("verify"), 4);
    assert_string_equal(printed, "ran verify with 1\n");
    assert_int_equal(run_main("--help"), 0);
    assert_non_null(strstr(printed, "check a dataset"));
    assert_string_equal(said, "");
    assert_int_equal(run_main("--version"), 0);
    assert_int_equal(run_main(NULL), 2); /* provoked: to stderr */
    assert_says("make a dataset");
    assert_string_equal(printed, "");
    assert_int_equal(run_main("biuld"), 2);
    assert_says("did you mean 'build'?");
    assert_int_equal(run_main("--hepl"), 2);
    assert_says("unknown option '--hepl'");
}

static void failures_name_the_tool_and_keep_their_exit_code(void **state)
{
    run_main("build");
    rq_err err = {0};
    rq_fail(&err, RQ_TRUNCATED, "shard 3 ends early");
    const int old = redirect(2, "said");
    const int rc = rq_cli_fail(&err);
    const rq_log_sink sink = rq_cli_log();
    rq_log(&sink, RQ_LOG_WARN, "careful");
    restore(2, old, "said", said, sizeof said);
    assert_int_equal(rc, 4);
    assert_says("rq-test build: shard 3 ends early\n");
    assert_says("rq-test build: warning: careful\n");
}

/* Results that cannot be written are a failure. */
static void a_full_disk_behind_stdout_is_noticed(void **state)
{
    if (access("/dev/full", W_OK) != 0)
        skip();
    char *argv[] = {"rq-test", "--help", NULL};
    const int old_err = redirect(2, "said"), old_out = redirect(1, "/dev/full");
    const int rc = rq_cli_main(2, argv, "rq-test", "tests things", commands);
    clearerr(stdout);
    restore(1, old_out, "/dev/null", printed, sizeof printed);
    restore(2, old_err, "said", said, sizeof said);
    assert_int_equal(rc, 6);
    assert_says("standard output");
}

static int stop_and_wait(int argc, char **argv)
{
    raise(SIGTERM);
    if (!rq_cli_stop)
        return 1;
    raise(SIGINT); /* leaves at once */
    return 2;
}

static void the_second_signal_ends_the_process(void **state)
{
    static const rq_cli_command stop[] = {{"stop", "", stop_and_wait}, {0}};
    const pid_t child = fork();
    if (child == 0) {
        char *argv[] = {"rq-test", "stop", NULL};
        _exit(rq_cli_main(2, argv, "rq-test", "", stop));
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 130);
}

static int count_lines(const char *text)
{
    int n = 0;
    for (; *text != '\0'; text++)
        n += *text == '\n';
    return n;
}

static void progress_away_from_a_terminal(void **state)
{
    parse("make");
    int old = redirect(2, "said");
    rq_progress_begin("pack", "images", 1000);
    for (uint64_t i = 1; i <= 1000; i++)
        rq_progress_update(i, i * 2048, i == 500 ? "half" : NULL);
    rq_progress_end();
    restore(2, old, "said", said, sizeof said);
    assert_says("pack: 100 of 1,000 images (10 %)");
    assert_says("pack: 900 of 1,000 images (90 %)");
    assert_says("half");
    assert_says("pack: 1,000 images in ");
    assert_int_equal(count_lines(said), 10);
    assert_null(strchr(said, '\r'));
    parse("make --quiet");
    old = redirect(2, "said");
    rq_progress_begin("pack", "images", 10);
    rq_progress_update(10, 0, NULL);
    rq_progress_end();
    restore(2, old, "said", said, sizeof said);
    assert_string_equal(said, "");
}

static void progress_of_a_continued_run(void **state)
{
    parse("make");
    const int old = redirect(2, "said");
    rq_progress_begin("train", "steps", 100);
    rq_progress_update(55, 0, NULL); /* where the run before stopped */
    rq_progress_update(61, 0, NULL);
    rq_progress_end();
    restore(2, old, "said", said, sizeof said);
    assert_says("train: 61 of 100 steps (61 %)");
    assert_int_equal(count_lines(said), 2);
}

static void numbers_read_well(void **state)
{
    char buf[40];
    assert_string_equal(rq_format_count(buf, 0), "0");
    assert_string_equal(rq_format_count(buf, 999), "999");
    assert_string_equal(rq_format_count(buf, 1000), "1,000");
    assert_string_equal(rq_format_count(buf, 1234567), "1,234,567");
    assert_string_equal(rq_format_count(buf, UINT64_MAX), "18,446,744,073,709,551,615");
    assert_string_equal(rq_format_bytes(buf, 0), "0 B");
    assert_string_equal(rq_format_bytes(buf, 1023), "1023 B");
    assert_string_equal(rq_format_bytes(buf, 1536), "1.5 KiB");
    assert_string_equal(rq_format_bytes(buf, 256 << 20), "256 MiB");
    assert_string_equal(rq_format_bytes(buf, 72e9), "67.1 GiB");
    assert_string_equal(rq_format_bytes(buf, 1048575), "1 MiB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_in_every_form),
        cmocka_unit_test(sizes_and_times),
        cmocka_unit_test(mistakes_end_with_exit_code_2_and_one_sentence),
        cmocka_unit_test(general_options),
        cmocka_unit_test(help_shows_the_table),
        cmocka_unit_test(config_files),
        cmocka_unit_test(the_saved_configuration_reads_back),
        cmocka_unit_test(commands_are_found),
        cmocka_unit_test(failures_name_the_tool_and_keep_their_exit_code),
        cmocka_unit_test(a_full_disk_behind_stdout_is_noticed),
        cmocka_unit_test(the_second_signal_ends_the_process),
        cmocka_unit_test(progress_away_from_a_terminal),
        cmocka_unit_test(progress_of_a_continued_run),
        cmocka_unit_test(numbers_read_well),
    };
    return cmocka_run_group_tests(tests, test_enter_temp_dir, test_remove_temp_dir);
}
