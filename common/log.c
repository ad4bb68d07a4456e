// SPDX-License-Identifier: Apache-2.0
//
// Formats a line and hands it to the sink. Lines are cut at LINE_BYTES, so that logging needs
// no memory and works when there is none left.
#include "common/log.h"

#include <stdio.h>

enum { LINE_BYTES = 1024 };

void rq_log(const rq_log_sink *sink, rq_log_level level, const char *fmt, ...)
{
    if (sink == NULL || sink->write == NULL || level > sink->level)
        return;
    char line[LINE_BYTES];
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    sink->write(sink->cookie, level, n < 0 ? fmt : line);
}
