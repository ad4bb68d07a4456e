// SPDX-License-Identifier: Apache-2.0
// Text files of names and labels. The file is read whole and cut up in place, so that the rows
// cost one pointer pair each; a first pass over the lines decides how all of them are cut.
#include "ingest/rows.h"

#include "common/file.h"

#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

rq_status rq_read_regular(const char *path, size_t max_bytes, rq_buf *buf, rq_err *err)
{
    buf->size = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return rq_fail_errno(err, "%s", path);
    struct stat st;
    rq_status s = RQ_OK;
    if (fstat(fd, &st) != 0)
        s = rq_fail_errno(err, "%s", path);
    else if (!S_ISREG(st.st_mode))
        s = rq_fail(err, RQ_NOT_FOUND, "%s is not a regular file", path);
    else if (st.st_size < 0 || (uint64_t)st.st_size > max_bytes)
        s = rq_fail(err, RQ_LIMIT, "%s is larger than %zu bytes", path, max_bytes);
    const size_t bytes = s == RQ_OK ? (size_t)st.st_size : 0;
    if (s == RQ_OK)
        s = rq_buf_reserve(buf, bytes, err);
    if (s == RQ_OK)
        s = rq_pread_full(fd, buf->data, bytes, 0, path, err);
    close(fd);
    if (s == RQ_OK) {
        buf->size = bytes;
        buf->data[bytes] = '\0';
    }
    return s;
}

int rq_label_number(const char *text)
{
    const size_t n = strlen(text);
    int value = 0;
    if (n == 0 || n > 9 || strspn(text, "0123456789") != n)
        return -1;
    for (size_t i = 0; i < n; i++)
        value = 10 * value + (text[i] - '0');
    return value <= RQ_ROWS_LABEL_MAX ? value : -1;
}

/* ---- lines ------------------------------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static char *trim(char *text)
{
    while (is_blank(*text))
        text++;
    size_t n = strlen(text);
    while (n > 0 && is_blank(text[n - 1]))
        n--;
    text[n] = '\0';
    return text;
}

static rq_status add_line(rq_rows *r, char *line, uint64_t number, const char *name,
                          rq_err *err)
{
    char *text = trim(line);
    if (text[0] == '\0' || text[0] == '#')
        return RQ_OK;
    if (strlen(text) >= RQ_ROWS_LINE_MAX)
        return rq_fail(err, RQ_LIMIT, "%.300s, line %llu: longer than %d bytes", name,
                       (unsigned long long)number, RQ_ROWS_LINE_MAX - 1);
    void *rows = r->rows;
    RQ_TRY(rq_grow(&rows, &r->cap, r->n + 1, sizeof *r->rows, err));
    r->rows = rows;
    r->rows[r->n++] = (rq_row){.name = text, .line = number};
    return RQ_OK;
}

static rq_status cut_lines(rq_rows *r, const char *name, rq_err *err)
{
    char *at = (char *)r->text.data, *end = at + r->text.size;
    uint64_t number = 1;
    if (r->text.size >= 3 && memcmp(at, "\xEF\xBB\xBF", 3) == 0)
        at += 3;
    for (; at < end; number++) {
        char *stop = memchr(at, '\n', (size_t)(end - at));
        char *next = stop != NULL ? stop + 1 : end;
        if (stop == NULL)
            stop = end; /* a NUL stands there */
        if (memchr(at, '\0', (size_t)(stop - at)) != NULL)
            return rq_fail(err, RQ_BAD_FORMAT, "%.300s, line %llu: this is no text", name,
                           (unsigned long long)number);
        *stop = '\0';
        RQ_TRY(add_line(r, at, number, name, err));
        at = next;
    }
    return RQ_OK;
}

/* ---- pairs ------------------------------------------------------------------------------- */

typedef enum separator { NOTHING, TAB, COMMA, BLANK, KAGGLE } separator;

/* The comma behind a name in quotes, or before a label in quotes; else the last one. */
static char *find_comma(char *line)
{
    const size_t n = strlen(line);
    if (line[0] == '"') {
        char *at = line + 1;
        while (*at != '\0' && !(at[0] == '"' && at[1] != '"'))
            at += at[0] == '"' ? 2 : 1;
        if (*at != '\0')
            return strchr(at, ',');
    }
    char *quoted = line[n - 1] == '"' ? strstr(line, ",\"") : NULL;
    return quoted != NULL ? quoted : strrchr(line, ',');
}

/* NULL when the line has none. */
static char *find_separator(char *line, separator kind)
{
    switch (kind) {
    case KAGGLE:
        return strchr(line, ',');
    case COMMA:
        return find_comma(line);
    default:
        return strrchr(line, kind == TAB ? '\t' : ' ');
    }
}

static bool every_line_has(const rq_rows *r, size_t first, separator kind)
{
    for (size_t i = first; i < r->n; i++) {
        const char *at = find_separator(r->rows[i].name, kind);
        if (at == NULL || (kind == BLANK && strpbrk(at, "./") != NULL))
            return false;
    }
    return r->n > first;
}

static bool is_title_line(const char *line)
{
    static const char *const titles[] = {"imageid",   "image_id", "image", "images", "id",
                                         "file_name", "filename", "file",  "path",   "name"};
    const size_t n = strcspn(line, ",\t ");
    for (size_t i = 0; line[n] != '\0' && i < sizeof titles / sizeof *titles; i++) {
        if (strlen(titles[i]) == n && strncasecmp(line, titles[i], n) == 0)
            return true;
    }
    return false;
}

/* "a ""b""" without its quotes, in place. */
static char *unquote(char *text)
{
    const size_t n = strlen(text);
    if (n < 2 || text[0] != '"' || text[n - 1] != '"')
        return text;
    char *to = text;
    for (size_t i = 1; i + 1 < n; i++) {
        i += text[i] == '"' && text[i + 1] == '"' && i + 2 < n;
        *to++ = text[i];
    }
    *to = '\0';
    return text;
}

static rq_status cut_pairs(rq_rows *r, separator kind, const char *name, rq_err *err)
{
    for (size_t i = 0; i < r->n; i++) {
        rq_row *row = &r->rows[i];
        char *at = find_separator(row->name, kind);
        *at = '\0';
        row->label = trim(at + 1);
        row->name = trim(row->name);
        if (kind == KAGGLE)
            row->label[strcspn(row->label, " ")] = '\0';
        if (kind == COMMA) {
            row->name = unquote(row->name);
            row->label = unquote(row->label);
        }
        if (row->name[0] == '\0' || row->label[0] == '\0')
            return rq_fail(err, RQ_BAD_FORMAT, "%.300s, line %llu: no %s", name,
                           (unsigned long long)row->line,
                           row->name[0] == '\0' ? "name" : "label");
    }
    return RQ_OK;
}

static rq_status find_pairs(rq_rows *r, const char *name, rq_err *err)
{
    const size_t titles = r->n > 0 && is_title_line(r->rows[0].name) ? 1 : 0;
    separator kind = NOTHING;
    if (titles > 0 && strcasecmp(r->rows[0].name, "ImageId,PredictionString") == 0)
        kind = every_line_has(r, titles, KAGGLE) ? KAGGLE : NOTHING;
    for (separator k = TAB; k <= BLANK && kind == NOTHING; k++) {
        if (every_line_has(r, titles, k))
            kind = k;
    }
    r->paired = kind != NOTHING;
    if (!r->paired)
        return RQ_OK;
    r->n -= titles;
    memmove(r->rows, r->rows + titles, r->n * sizeof *r->rows);
    return cut_pairs(r, kind, name, err);
}

/* ---- the whole --------------------------------------------------------------------------- */

rq_status rq_rows_parse(rq_rows *out, rq_buf *text, rq_rows_kind kind, const char *name,
                        rq_err *err)
{
    memset(out, 0, sizeof *out);
    out->text = *text;
    memset(text, 0, sizeof *text);
    rq_status s = rq_buf_reserve(&out->text, out->text.size, err);
    if (s == RQ_OK) {
        out->text.data[out->text.size] = '\0';
        s = cut_lines(out, name, err);
    }
    if (s == RQ_OK && kind == RQ_ROWS_AUTO)
        s = find_pairs(out, name, err);
    if (s != RQ_OK)
        rq_rows_free(out);
    return s;
}

rq_status rq_rows_read(rq_rows *out, const char *path, rq_rows_kind kind, rq_err *err)
{
    rq_buf text = {0};
    memset(out, 0, sizeof *out);
    const rq_status s = rq_read_regular(path, RQ_ROWS_FILE_MAX, &text, err);
    if (s != RQ_OK) {
        rq_buf_free(&text);
        return s;
    }
    return rq_rows_parse(out, &text, kind, path, err);
}

void rq_rows_free(rq_rows *r)
{
    rq_free(r->rows);
    rq_buf_free(&r->text);
    memset(r, 0, sizeof *r);
}
