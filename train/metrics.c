// SPDX-License-Identifier: Apache-2.0
//
// Append-safe JSON lines. A line goes out in one write call, so that a reader following the
// file sees whole lines; durability comes with rq_metrics_sync, which a run calls before it
// publishes a checkpoint: the file never ends before the step a checkpoint resumes from.
#include "train/metrics.h"

#include "common/file.h"
#include "common/json.h"
#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_FILE_BYTES = 1 << 30 };

struct rq_metrics {
    int fd;
    char *path;
    rq_buf line;
};

/* Does the line have this metric? */
static bool has_metric(const char *line, size_t bytes, const char *name)
{
    char key[64];
    const int n = name != NULL ? snprintf(key, sizeof key, ",\"%s\":", name) : 0;
    return n > 0 && (size_t)n < sizeof key && memmem(line, bytes, key, (size_t)n) != NULL;
}

/* Bytes of the whole lines whose step is <= step: steps ascend, so the first other line ends
 * it; a line of `step` with the metric `again` does too. */
static size_t kept_bytes(const char *text, size_t bytes, uint64_t step, const char *again)
{
    size_t at = 0;
    while (at < bytes) {
        const char *end = memchr(text + at, '\n', bytes - at);
        uint64_t line_step;
        if (end == NULL || sscanf(text + at, "{\"step\":%" SCNu64, &line_step) != 1 ||
            line_step > step)
            break;
        if (line_step == step && has_metric(text + at, (size_t)(end - text) - at, again))
            break;
        at = (size_t)(end - text) + 1;
    }
    return at;
}

/* Cuts the file at the last line that counts and stands behind it. */
static rq_status rewind_to(rq_metrics *m, uint64_t step, const char *again, rq_err *err)
{
    rq_buf text = {0};
    rq_status st = rq_file_read(m->path, MAX_FILE_BYTES, &text, err);
    if (st == RQ_OK) {
        const off_t keep = (off_t)kept_bytes((const char *)text.data, text.size, step, again);
        if (ftruncate(m->fd, keep) != 0 || lseek(m->fd, keep, SEEK_SET) < 0)
            st = rq_fail_errno(err, "cannot cut %.300s back to step %" PRIu64, m->path, step);
    }
    rq_buf_free(&text);
    return st;
}

rq_status rq_metrics_open(rq_metrics **out, const char *path, uint64_t step, const char *again,
                          rq_err *err)
{
    *out = NULL;
    rq_metrics *m = rq_calloc(1, sizeof *m);
    if (m == NULL)
        return rq_fail(err, RQ_OOM, "no memory to open %.300s", path);
    m->fd = -1;
    m->path = rq_strdup(path);
    rq_status st =
        m->path == NULL ? rq_fail(err, RQ_OOM, "no memory to open %.300s", path) : RQ_OK;
    if (st == RQ_OK) {
        m->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (m->fd < 0)
            st = rq_fail_errno(err, "cannot open %.300s for writing", path);
    }
    if (st == RQ_OK)
        st = rewind_to(m, step, again, err);
    if (st != RQ_OK)
        rq_metrics_close(&m);
    *out = m;
    return st;
}

void rq_metrics_close(rq_metrics **m)
{
    if (*m == NULL)
        return;
    if ((*m)->fd >= 0) {
        fsync((*m)->fd);
        close((*m)->fd);
    }
    rq_buf_free(&(*m)->line);
    rq_free((*m)->path);
    rq_free(*m);
    *m = NULL;
}

static rq_status build_line(rq_buf *line, uint64_t step, const rq_metric *values, size_t n,
                            rq_err *err)
{
    RQ_TRY(rq_buf_printf(line, err, "{\"step\":%" PRIu64, step));
    for (size_t i = 0; i < n; i++) {
        RQ_TRY(rq_buf_append(line, ",", 1, err));
        RQ_TRY(rq_json_append_string(line, values[i].name, err));
        RQ_TRY(rq_buf_append(line, ":", 1, err));
        RQ_TRY(rq_json_append_double(line, values[i].value, err));
    }
    return rq_buf_append(line, "}\n", 2, err);
}

rq_status rq_metrics_write(rq_metrics *m, uint64_t step, const rq_metric *values, size_t n,
                           rq_err *err)
{
    m->line.size = 0;
    RQ_TRY(build_line(&m->line, step, values, n, err));
    return rq_write_full(m->fd, m->line.data, m->line.size, m->path, err);
}

rq_status rq_metrics_sync(rq_metrics *m, rq_err *err)
{
    while (fsync(m->fd) != 0) {
        if (errno != EINTR)
            return rq_fail_errno(err, "cannot flush %.300s", m->path);
    }
    return RQ_OK;
}
