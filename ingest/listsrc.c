// SPDX-License-Identifier: Apache-2.0
// A list file as a source: lines "PATH LABEL" or "PATH", relative to the list's folder. The
// list is the user's own, so paths may lead anywhere; what they lead to is opened without
// waiting and must be a regular file.
#include "ingest/source_impl.h"

#include "ingest/rows.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static rq_status judge_file(const rq_catalogue *c, const char *root, rq_item *item, rq_err *err)
{
    char path[2 * RQ_PATH_BYTES_MAX];
    struct stat st;
    const bool absolute = item->stored[0] == '/';
    const int n = snprintf(path, sizeof path, "%s%s%s", absolute ? "" : root,
                           absolute ? "" : "/", item->stored);
    item->status = RQ_LIMIT;
    item->reason = "its path is too long";
    if (n < 0 || (size_t)n >= sizeof path)
        return RQ_OK;
    if (stat(path, &st) != 0) {
        if (!rq_errno_is_of_file(errno))
            return rq_fail_errno(err, "%s", path);
        item->status = rq_status_from_errno(errno);
        item->reason = errno == ENOENT ? "there is no such file" : "it cannot be examined";
        return RQ_OK;
    }
    item->status = S_ISREG(st.st_mode) ? RQ_OK : RQ_UNSUPPORTED;
    item->reason = S_ISREG(st.st_mode) ? NULL : "it is not a regular file";
    item->bytes = S_ISREG(st.st_mode) && st.st_size > 0 ? (uint64_t)st.st_size : 0;
    if (item->bytes > c->opts.max_member_bytes) {
        item->status = RQ_LIMIT;
        item->reason = "the file is over the size limit";
    }
    return RQ_OK;
}

/* The path without empty, "." and ".." parts: what it is called in the dataset. */
static void clean_name(char *to, const char *from)
{
    size_t used = 0;
    while (*from != '\0') {
        const size_t n = strcspn(from, "/");
        const bool dots = (n == 1 && from[0] == '.') || (n == 2 && strncmp(from, "..", 2) == 0);
        if (n > 0 && !dots) {
            if (used > 0)
                to[used++] = '/';
            memcpy(to + used, from, n);
            used += n;
        }
        from += n + (from[n] == '/');
    }
    to[used] = '\0';
}

static rq_status add_row(rq_catalogue *c, uint32_t input, const char *root, const rq_row *row,
                         rq_err *err)
{
    char name[RQ_ROWS_LINE_MAX];
    rq_item item = {.offset = RQ_NO_OFFSET, .input = input};
    clean_name(name, row->name);
    if (name[0] == '\0')
        return rq_fail(err, RQ_BAD_FORMAT, "line %llu: '%.80s' names no file",
                       (unsigned long long)row->line, row->name);
    RQ_TRY(rq_catalogue_text(c, row->name, strlen(row->name), &item.stored, err));
    RQ_TRY(rq_catalogue_text(c, name, strlen(name), &item.name, err));
    if (row->label != NULL) {
        char number[16];
        const int v = rq_label_number(row->label);
        snprintf(number, sizeof number, "%d", v);
        const char *text = v >= 0 ? number : row->label;
        if (!rq_is_class_name(text))
            return rq_fail(err, RQ_BAD_FORMAT, "line %llu: '%.80s' cannot be a class",
                           (unsigned long long)row->line, text);
        item.numbered = v >= 0;
        RQ_TRY(rq_catalogue_class(c, text, strlen(text), &item.class_name, NULL, err));
    }
    RQ_TRY(judge_file(c, root, &item, err));
    return rq_catalogue_add(c, &item, err);
}

rq_status rq_list_walk(rq_catalogue *c, uint32_t input, const char *root, const char *list,
                       rq_err *err)
{
    rq_rows rows;
    const size_t first = c->n_items;
    rq_status s = rq_rows_read(&rows, list, RQ_ROWS_AUTO, err);
    for (size_t i = 0; i < rows.n && s == RQ_OK; i++) {
        s = rq_catalogue_visit(c, list, err);
        if (s == RQ_OK)
            s = add_row(c, input, root, &rows.rows[i], err);
        if (s == RQ_BAD_FORMAT)
            rq_err_prefix(err, "%s", list);
    }
    size_t gone = 0;
    for (size_t i = first; i < c->n_items; i++)
        gone += c->items[i].status == RQ_NOT_FOUND;
    if (s == RQ_OK && gone > 0 && gone == c->n_items - first)
        s = rq_fail(err, RQ_NOT_FOUND,
                    "%s: none of its %zu files is there, the first is %s; paths start from the "
                    "list's folder",
                    list, gone, c->items[first].stored);
    rq_rows_free(&rows);
    return s;
}
