// SPDX-License-Identifier: Apache-2.0
//
// Clocks, and durations as people read them. CLOCK_MONOTONIC does not jump when the date is
// set.
#include "common/clock.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

static uint64_t read_clock(clockid_t id)
{
    struct timespec t = {0};
    clock_gettime(id, &t); /* fails only for an unknown clock; the three below always exist */
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t rq_clock_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t rq_clock_thread_cpu_ns(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t rq_clock_process_cpu_ns(void)
{
    return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

char *rq_format_duration(char *buf, unsigned long buf_bytes, double seconds)
{
    if (!isfinite(seconds) || seconds > 1e11) {
        snprintf(buf, buf_bytes, "?");
        return buf;
    }
    const long long s = seconds > 0 ? llround(seconds) : 0;
    if (s < 60)
        snprintf(buf, buf_bytes, "%lld s", s);
    else if (s < 3600)
        snprintf(buf, buf_bytes, "%lld m %02lld s", s / 60, s % 60);
    else if (s < 86400)
        snprintf(buf, buf_bytes, "%lld h %02lld m", s / 3600, s / 60 % 60);
    else
        snprintf(buf, buf_bytes, "%lld d %02lld h", s / 86400, s / 3600 % 24);
    return buf;
}
