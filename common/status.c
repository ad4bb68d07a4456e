// SPDX-License-Identifier: Apache-2.0
//
// Status codes and error text. Whatever a text was made from, what is recorded is one printable
// line that fits: names from archives and shards end up here, and from here on a terminal.
#include "common/status.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int exit_code;
    const char *meaning;
} status_table[RQ_STATUS_COUNT] = {
#define RQ_STATUS_ROW(code, exit_code, meaning) {#code, exit_code, meaning},
    RQ_STATUS_LIST(RQ_STATUS_ROW)
#undef RQ_STATUS_ROW
};

static int known(rq_status status)
{
    return (unsigned)status < RQ_STATUS_COUNT;
}

const char *rq_status_name(rq_status status)
{
    return known(status) ? status_table[status].name : "UNKNOWN";
}

const char *rq_status_meaning(rq_status status)
{
    return known(status) ? status_table[status].meaning : "unknown status";
}

int rq_status_exit_code(rq_status status)
{
    return known(status) ? status_table[status].exit_code : 70;
}

static void sanitise(char *text)
{
    for (unsigned char *c = (unsigned char *)text; *c; c++) {
        if (*c < 32 || *c == 127)
            *c = '?';
    }
}

static rq_status record(rq_err *err, rq_status status, int sys_errno, const char *fmt,
                        va_list args) RQ_PRINTF(4, 0);

static rq_status record(rq_err *err, rq_status status, int sys_errno, const char *fmt,
                        va_list args)
{
    if (err == NULL || err->status != RQ_OK)
        return status;
    err->status = status;
    err->sys_errno = sys_errno;
    const int n = vsnprintf(err->text, sizeof err->text, fmt, args);
    if (n < 0)
        err->text[0] = '\0';
    if (sys_errno != 0) {
        const size_t used = strlen(err->text);
        char reason[128];
        snprintf(err->text + used, sizeof err->text - used, ": %s",
                 strerror_r(sys_errno, reason, sizeof reason));
    }
    sanitise(err->text);
    return status;
}

rq_status rq_fail(rq_err *err, rq_status status, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    record(err, status, 0, fmt, args);
    va_end(args);
    return status;
}

rq_status rq_status_from_errno(int sys_errno)
{
    switch (sys_errno) {
    case ENOENT:
    case ENOTDIR:
        return RQ_NOT_FOUND;
    case ENOSPC:
    case EDQUOT:
    case EFBIG: /* the limit of the process or the filesystem on the size of a file */
        return RQ_NO_SPACE;
    case ENOMEM:
        return RQ_OOM;
    default:
        return RQ_IO;
    }
}

rq_status rq_fail_errno(rq_err *err, const char *fmt, ...)
{
    const int sys_errno = errno;
    const rq_status status = rq_status_from_errno(sys_errno);
    va_list args;
    va_start(args, fmt);
    record(err, status, sys_errno, fmt, args);
    va_end(args);
    return status;
}

void rq_err_prefix(rq_err *err, const char *fmt, ...)
{
    if (err == NULL || err->status == RQ_OK)
        return;
    char prefix[RQ_ERR_TEXT_BYTES], text[RQ_ERR_TEXT_BYTES];
    va_list args;
    va_start(args, fmt);
    vsnprintf(prefix, sizeof prefix, fmt, args);
    va_end(args);
    memcpy(text, err->text, sizeof text);
    const int n = snprintf(err->text, sizeof err->text, "%.300s: ", prefix);
    const size_t used = n < 0 ? 0 : (size_t)n;
    const size_t room = sizeof err->text - 1 - used;
    const size_t kept = strlen(text) < room ? strlen(text) : room;
    memcpy(err->text + used, text, kept);
    err->text[used + kept] = '\0';
    sanitise(err->text);
}

void rq_err_clear(rq_err *err)
{
    if (err != NULL)
        memset(err, 0, sizeof *err);
}
