// SPDX-License-Identifier: Apache-2.0
// Folders as a source. The walk lists names and sizes; order does not matter here, because the
// catalogue is sorted afterwards. Links to files and folders are followed, but never into a
// folder that is being walked already, so loops end.
#include "ingest/source_impl.h"

#include "common/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FOLDER_DEPTH_MAX = 32 };

bool rq_errno_is_of_file(int sys_errno)
{
    switch (sys_errno) {
    case ENOENT:
    case ENOTDIR:
    case EACCES:
    case EPERM:
    case ELOOP:
    case ENXIO:
    case ENAMETOOLONG:
        return true;
    default:
        return false;
    }
}

typedef struct walker {
    rq_catalogue *catalogue;
    rq_walk *walk;
    uint32_t input;
    size_t root_length;
    char path[RQ_PATH_BYTES_MAX]; /* of what is being looked at */
    struct {
        dev_t device;
        ino_t inode;
    } above[FOLDER_DEPTH_MAX]; /* folders from the root to here */
    int depth;
} walker;

static rq_status add_file(walker *w, const char *name, uint64_t bytes, rq_status status,
                          const char *reason, rq_err *err)
{
    rq_catalogue *c = w->catalogue;
    if (rq_archive_stem(name) > 0 || rq_is_no_image(name)) {
        c->passed_over++;
        if (rq_is_no_image(name))
            return RQ_OK;
        w->walk->archives++;
        return rq_catalogue_add_archive(c, name, err);
    }
    rq_item item = {.bytes = bytes,
                    .offset = RQ_NO_OFFSET,
                    .input = w->input,
                    .status = status,
                    .reason = reason};
    RQ_TRY(rq_catalogue_text(c, name, strlen(name), &item.name, err));
    item.stored = item.name;
    if (status == RQ_OK && bytes > c->opts.max_member_bytes) {
        item.status = RQ_LIMIT;
        item.reason = "the file is over the size limit";
    }
    return rq_catalogue_add(c, &item, err);
}

static bool is_above(const walker *w, const struct stat *st)
{
    for (int i = 0; i < w->depth; i++) {
        if (w->above[i].device == st->st_dev && w->above[i].inode == st->st_ino)
            return true;
    }
    return false;
}

static rq_status walk_folder(walker *w, const struct stat *self, rq_err *err);

/* w->path is complete; name is its part below the root. */
static rq_status look_at(walker *w, rq_err *err)
{
    const char *name = w->path + w->root_length;
    struct stat st;
    if (stat(w->path, &st) != 0) {
        if (!rq_errno_is_of_file(errno))
            return rq_fail_errno(err, "examining %s", w->path);
        return add_file(w, name, 0, rq_status_from_errno(errno),
                        errno == ELOOP    ? "a link that leads to itself"
                        : errno == ENOENT ? "a link to a file that is not there"
                                          : "the file cannot be examined",
                        err);
    }
    if (S_ISREG(st.st_mode))
        return add_file(w, name, (uint64_t)st.st_size, RQ_OK, NULL, err);
    if (!S_ISDIR(st.st_mode) || is_above(w, &st)) {
        w->catalogue->passed_over++;
        return RQ_OK;
    }
    if (w->depth == FOLDER_DEPTH_MAX)
        return rq_fail(err, RQ_LIMIT, "%s: folders are nested deeper than %d", w->path,
                       FOLDER_DEPTH_MAX);
    if (w->depth == 1)
        RQ_TRY(rq_catalogue_add_folder(w->catalogue, name, false, err));
    return walk_folder(w, &st, err);
}

static rq_status walk_entry(walker *w, const char *name, rq_err *err)
{
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return RQ_OK;
    RQ_TRY(rq_catalogue_visit(w->catalogue, w->path, err));
    if (name[0] == '.') {
        w->catalogue->passed_over++;
        return RQ_OK;
    }
    const size_t used = strlen(w->path), more = strlen(name);
    if (used + 1 + more >= sizeof w->path)
        return rq_fail(err, RQ_LIMIT, "%s: a path longer than %d bytes", w->path,
                       RQ_PATH_BYTES_MAX - 1);
    w->path[used] = '/';
    memcpy(w->path + used + 1, name, more + 1);
    const rq_status s = look_at(w, err);
    w->path[used] = '\0';
    return s;
}

static rq_status walk_folder(walker *w, const struct stat *self, rq_err *err)
{
    DIR *dir = opendir(w->path);
    if (dir == NULL)
        return rq_fail_errno(err, "folder %s", w->path);
    w->above[w->depth].device = self->st_dev;
    w->above[w->depth].inode = self->st_ino;
    w->depth++;
    rq_status s = RQ_OK;
    while (s == RQ_OK) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            if (errno != 0)
                s = rq_fail_errno(err, "listing folder %s", w->path);
            break;
        }
        s = walk_entry(w, entry->d_name, err);
    }
    w->depth--;
    closedir(dir);
    return s;
}

rq_status rq_dir_walk(rq_catalogue *c, uint32_t input, const char *root, rq_walk *walk,
                      rq_err *err)
{
    size_t length = strlen(root);
    while (length > 1 && root[length - 1] == '/')
        length--;
    if (length + 2 >= RQ_PATH_BYTES_MAX)
        return rq_fail(err, RQ_LIMIT, "a path longer than %d bytes", RQ_PATH_BYTES_MAX - 1);
    struct stat st;
    if (stat(root, &st) != 0)
        return rq_fail_errno(err, "folder %s", root);
    walker *w = rq_calloc(1, sizeof *w);
    if (w == NULL)
        return rq_fail(err, RQ_OOM, "no memory to walk folder %s", root);
    w->catalogue = c;
    w->walk = walk;
    w->input = input;
    w->root_length = length + 1;
    memcpy(w->path, root, length);
    const rq_status s = walk_folder(w, &st, err);
    rq_free(w);
    return s;
}

/* What is wrong with the one file goes to *failure and to the text of `of_file`. */
static rq_status read_fd(int fd, const char *path, size_t max_bytes, rq_buf *buf,
                         rq_status *failure, rq_err *of_file, rq_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return rq_fail_errno(err, "%s", path);
    *failure = RQ_OK;
    if (!S_ISREG(st.st_mode))
        *failure = rq_fail(of_file, RQ_UNSUPPORTED, "not a regular file any more");
    else if (st.st_size < 0 || (uint64_t)st.st_size > max_bytes)
        *failure = rq_fail(of_file, RQ_LIMIT, "the file is over the size limit of %zu bytes",
                           max_bytes);
    if (*failure != RQ_OK)
        return RQ_OK;
    const size_t bytes = (size_t)st.st_size;
    RQ_TRY(rq_buf_reserve(buf, bytes, err));
    const rq_status s = rq_pread_full(fd, buf->data, bytes, 0, path, of_file);
    buf->size = s == RQ_OK ? bytes : 0;
    if (s != RQ_OK && s != RQ_TRUNCATED) /* the disk, not the file */
        return rq_fail(err, s, "%s", of_file->text);
    *failure = s;
    return RQ_OK;
}

rq_status rq_dir_read(const char *root, const char *name, size_t max_bytes, rq_buf *buf,
                      rq_status *failure, char *reason, rq_err *err)
{
    char path[2 * RQ_PATH_BYTES_MAX];
    rq_err local = {0};
    rq_status s = RQ_OK;
    buf->size = 0;
    const bool absolute = name[0] == '/';
    const int n =
        snprintf(path, sizeof path, "%s%s%s", absolute ? "" : root, absolute ? "" : "/", name);
    if (n < 0 || (size_t)n >= sizeof path)
        return rq_fail(err, RQ_LIMIT, "%s: a path longer than it can be", root);
    /* Without O_NONBLOCK a pipe put there meanwhile would stop us for good. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        if (!rq_errno_is_of_file(errno))
            return rq_fail_errno(err, "%s", path);
        *failure = rq_fail_errno(&local, "the file cannot be opened");
        struct stat st;
        if (stat(root, &st) != 0)
            return rq_fail_errno(err, "folder %s is gone", root);
    } else {
        s = read_fd(fd, path, max_bytes, buf, failure, &local, err);
        close(fd);
    }
    snprintf(reason, 256, "%.255s", local.text);
    return s;
}
