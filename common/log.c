// SPDX-License-Identifier: Apache-2.0
//
// Formats a line and hands it to the sink. Lines are cut at LINE_BYTES, so that logging needs
// no memory and works when there is none left. They quote names from archives: control
// characters are replaced, which would command a terminal or forge a second line.
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
    if (n < 0)
        return;
    for (char *c = line; *c != '\0'; c++)
        if ((unsigned char)*c < 32 || *c == 127)
            *c = '?';
    sink->write(sink->cookie, level, line);
}
