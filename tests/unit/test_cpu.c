// SPDX-License-Identifier: Apache-2.0
//
// CPU levels by name, clocks that move forward, durations as people read them, and the log.
#include "tests/unit/test.h"

#include "common/clock.h"
#include "common/cpu.h"
#include "common/log.h"

static void levels_by_name(void **state)
{
    rq_err err = {0};
    unsigned mask = 99;
    assert_ok(rq_cpu_mask_parse(&mask, "c", &err), &err);
    assert_int_equal(mask, 0);
    assert_ok(rq_cpu_mask_parse(&mask, "avx2", &err), &err);
    assert_int_equal(mask, RQ_CPU_AVX2);
    assert_ok(rq_cpu_mask_parse(&mask, "avx512", &err), &err);
    assert_int_equal(mask, RQ_CPU_AVX2 | RQ_CPU_AVX512);
    assert_ok(rq_cpu_mask_parse(&mask, "native", &err), &err);
    assert_int_equal(mask, RQ_CPU_ALL);
    assert_status(rq_cpu_mask_parse(&mask, "AVX2 ", &err), RQ_INVALID_ARG);
    assert_non_null(strstr(err.text, "avx512"));
    assert_int_equal(mask, RQ_CPU_ALL);
    assert_string_equal(rq_cpu_level_name(0), "c");
    assert_string_equal(rq_cpu_level_name(RQ_CPU_AVX512), "c");
    assert_string_equal(rq_cpu_level_name(RQ_CPU_AVX2), "avx2");
    assert_string_equal(rq_cpu_level_name(RQ_CPU_ALL), "avx512");
}

/* /proc/cpuinfo lists what the kernel lets programs use. */
static void detection_agrees_with_the_kernel(void **state)
{
    FILE *f = fopen("/proc/cpuinfo", "r");
    char line[8192] = "";
    while (f != NULL && fgets(line, sizeof line, f) != NULL && strncmp(line, "flags", 5) != 0)
        line[0] = '\0';
    if (f != NULL)
        fclose(f);
    if (line[0] == '\0')
        skip();
    const unsigned flags = rq_cpu_detect();
    if (strstr(line, " avx2 ") == NULL)
        assert_int_equal(flags & RQ_CPU_AVX2, 0);
    else
        assert_int_equal(flags & RQ_CPU_AVX2, strstr(line, " bmi2 ") ? RQ_CPU_AVX2 : 0);
    if (strstr(line, " avx512_vnni") == NULL || strstr(line, " avx512_vbmi2") == NULL)
        assert_int_equal(flags & RQ_CPU_AVX512, 0);
    else
        assert_int_equal(flags & RQ_CPU_AVX512, RQ_CPU_AVX512);
}

static void clocks_do_not_go_back(void **state)
{
    uint64_t wall = 0, thread = 0, process = 0;
    for (int i = 0; i < 1000; i++) {
        const uint64_t w = rq_clock_ns(), t = rq_clock_thread_cpu_ns(),
                       p = rq_clock_process_cpu_ns();
        assert_true(w >= wall && t >= thread && p >= process);
        wall = w;
        thread = t;
        process = p;
    }
    assert_true(wall > 0 && thread > 0 && process >= thread);
}

static void durations_read_well(void **state)
{
    static const struct {
        double seconds;
        const char *text;
    } cases[] = {{-3, "0 s"},         {0, "0 s"},          {4.4, "4 s"},
                 {59.4, "59 s"},      {59.6, "1 m 00 s"},  {185, "3 m 05 s"},
                 {8040, "2 h 14 m"},  {97200, "1 d 03 h"}, {1.0 / 0.0, "?"},
                 {86399, "23 h 59 m"}};
    char buf[40], tiny[4];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(rq_format_duration(buf, sizeof buf, cases[i].seconds),
                            cases[i].text);
    assert_string_equal(rq_format_duration(tiny, sizeof tiny, 185), "3 m");
}

typedef struct heard {
    int calls;
    rq_log_level level;
    char line[64];
} heard;

static void listen(void *cookie, rq_log_level level, const char *line)
{
    heard *h = cookie;
    h->calls++;
    h->level = level;
    snprintf(h->line, sizeof h->line, "%s", line);
}

static void log_lines_above_the_level_are_dropped(void **state)
{
    heard h = {0};
    const rq_log_sink sink = {&h, RQ_LOG_WARN, listen}, silent = {0};
    rq_log(&sink, RQ_LOG_INFO, "no");
    assert_int_equal(h.calls, 0);
    rq_log(&sink, RQ_LOG_WARN, "%d of %s", 3, "x");
    assert_int_equal(h.calls, 1);
    assert_string_equal(h.line, "3 of x");
    rq_log(&sink, RQ_LOG_ERROR, "%2000d", 1); /* longer than a line may be */
    assert_int_equal(h.calls, 2);
    assert_int_equal(h.level, RQ_LOG_ERROR);
    rq_log(&sink, RQ_LOG_ERROR, "'%s'", "a\x1b[2J\nb\x7f\xC3\xA9"); /* a name in an archive */
    assert_string_equal(h.line, "'a?[2J?b?\xC3\xA9'");
    rq_log(&silent, RQ_LOG_ERROR, "no");
    rq_log(NULL, RQ_LOG_ERROR, "no");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_by_name),
        cmocka_unit_test(detection_agrees_with_the_kernel),
        cmocka_unit_test(clocks_do_not_go_back),
        cmocka_unit_test(durations_read_well),
        cmocka_unit_test(log_lines_above_the_level_are_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
