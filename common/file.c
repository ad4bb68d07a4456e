// SPDX-License-Identifier: Apache-2.0
//
// Durable files. Bytes go to `.NAME.tmp-PID-N` in the folder of the final name, so that the
// closing rename stays on one filesystem; the name is made unique by a counter and O_EXCL,
// never by chance. The folder is kept open from the start: a commit cannot land in another
// folder when somebody moves the path in between.
#include "common/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct rq_atomic_file {
    int dir_fd;
    int fd;
    bool replace;
    uint64_t written;
    char *path;      /* as the caller named it, for messages */
    char *temp_name; /* within the folder */
};

/* The kernel moves at most this much in one call anyway. */
enum { IO_CHUNK_BYTES = 1 << 30, MAX_TEMP_TRIES = 1000 };

/* What to do next, by errno. */
static const char *advice(int sys_errno)
{
    switch (sys_errno) {
    case ENOSPC:
    case EDQUOT:
        return "; free space or choose another folder";
    case EFBIG:
        return "; choose another folder or raise the limit on file sizes (ulimit -f)";
    case EACCES:
    case EPERM:
    case EROFS:
        return "; choose a folder you may write to";
    case ENOENT:
    case ENOTDIR:
        return "; check the path";
    default:
        return "";
    }
}

/* rq_fail_errno with the next step behind the reason. */
static rq_status fail_path(rq_err *err, const char *what, const char *path)
{
    const int sys_errno = errno;
    char reason[128];
    const rq_status status = rq_status_from_errno(sys_errno);
    rq_fail(err, status, "%s %.400s: %s%s", what, path,
            strerror_r(sys_errno, reason, sizeof reason), advice(sys_errno));
    if (err != NULL && err->sys_errno == 0)
        err->sys_errno = sys_errno;
    return status;
}

const char *rq_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

char *rq_path_join(const char *dir, const char *name)
{
    const size_t dir_bytes = strlen(dir), name_bytes = strlen(name) + 1;
    char *path = rq_alloc(dir_bytes + 1 + name_bytes, 1);
    if (path == NULL)
        return NULL;
    size_t at = dir_bytes;
    memcpy(path, dir, dir_bytes);
    if (dir_bytes > 0 && dir[dir_bytes - 1] != '/')
        path[at++] = '/';
    memcpy(path + at, name, name_bytes);
    return path;
}

/* The folder part of path in a new string: "." when there is none. */
static char *path_dir(const char *path)
{
    const size_t bytes = (size_t)(rq_path_base(path) - path);
    if (bytes == 0)
        return rq_strdup(".");
    char *dir = rq_strdup(path);
    if (dir != NULL)
        dir[bytes > 1 ? bytes - 1 : 1] = '\0';
    return dir;
}

static rq_status open_temp(rq_atomic_file *f, rq_err *err)
{
    const char *base = rq_path_base(f->path);
    const size_t room = strlen(base) + 48;
    f->temp_name = rq_alloc(room, 1);
    if (f->temp_name == NULL)
        return rq_fail(err, RQ_OOM, "out of memory while opening %.400s", f->path);
    for (int n = 0; n < MAX_TEMP_TRIES && f->fd < 0; n++) {
        snprintf(f->temp_name, room, ".%s.tmp-%ld-%d", base, (long)getpid(), n);
        f->fd = openat(f->dir_fd, f->temp_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (f->fd < 0 && errno != EEXIST && errno != EINTR)
            break;
    }
    return f->fd < 0 ? fail_path(err, "cannot create", f->path) : RQ_OK;
}

static rq_status open_dir(rq_atomic_file *f, rq_err *err)
{
    char *dir = path_dir(f->path);
    if (dir == NULL)
        return rq_fail(err, RQ_OOM, "out of memory while opening %.400s", f->path);
    f->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    rq_status status = f->dir_fd < 0 ? fail_path(err, "cannot open the folder", dir) : RQ_OK;
    rq_free(dir);
    struct stat st; /* found now, not by the renaming when all the work is done */
    if (status == RQ_OK && stat(f->path, &st) == 0 && S_ISDIR(st.st_mode)) {
        errno = EISDIR;
        status = fail_path(err, "cannot write", f->path);
    }
    return status;
}

static void atomic_file_free(rq_atomic_file **f)
{
    if ((*f)->fd >= 0)
        close((*f)->fd);
    if ((*f)->dir_fd >= 0)
        close((*f)->dir_fd);
    rq_free((*f)->path);
    rq_free((*f)->temp_name);
    rq_free(*f);
    *f = NULL;
}

rq_status rq_atomic_file_create(rq_atomic_file **out, const char *path, bool replace,
                                rq_err *err)
{
    *out = NULL;
    if (*rq_path_base(path) == '\0')
        return rq_fail(err, RQ_INVALID_ARG, "'%.400s' names no file", path);
    rq_atomic_file *f = rq_calloc(1, sizeof *f);
    if (f == NULL)
        return rq_fail(err, RQ_OOM, "out of memory while opening %.400s", path);
    f->fd = f->dir_fd = -1;
    f->replace = replace;
    f->path = rq_strdup(path);
    rq_status status = f->path != NULL
                           ? open_dir(f, err)
                           : rq_fail(err, RQ_OOM, "out of memory while opening %.400s", path);
    if (status == RQ_OK)
        status = open_temp(f, err);
    if (status != RQ_OK) {
        atomic_file_free(&f);
        return status;
    }
    *out = f;
    return RQ_OK;
}

rq_status rq_atomic_file_write(rq_atomic_file *f, const void *data, size_t bytes, rq_err *err)
{
    RQ_TRY(rq_write_full(f->fd, data, bytes, f->path, err));
    f->written += bytes;
    return RQ_OK;
}

uint64_t rq_atomic_file_tell(const rq_atomic_file *f)
{
    return f->written;
}

static int fsync_retry(int fd)
{
    int rc;
    do {
        rc = fsync(fd);
    } while (rc != 0 && errno == EINTR);
    return rc;
}

/* Gives the temporary file its final name. link refuses an existing name on every filesystem
 * that has hard links; on the others renameat2 does. */
static int publish(const rq_atomic_file *f)
{
    const char *base = rq_path_base(f->path);
    if (f->replace)
        return renameat(f->dir_fd, f->temp_name, f->dir_fd, base);
    if (linkat(f->dir_fd, f->temp_name, f->dir_fd, base, 0) == 0) {
        unlinkat(f->dir_fd, f->temp_name, 0);
        return 0;
    }
    if (errno == EEXIST)
        return -1;
    return renameat2(f->dir_fd, f->temp_name, f->dir_fd, base, RENAME_NOREPLACE);
}

rq_status rq_atomic_file_seal(rq_atomic_file *f, rq_err *err)
{
    if (fsync_retry(f->fd) != 0)
        return fail_path(err, "cannot flush", f->path);
    const int rc = close(f->fd);
    f->fd = -1;
    if (rc != 0 && errno != EINTR)
        return fail_path(err, "cannot close", f->path);
    return RQ_OK;
}

static rq_status commit(rq_atomic_file *f, rq_err *err)
{
    if (f->fd >= 0)
        RQ_TRY(rq_atomic_file_seal(f, err));
    if (publish(f) != 0)
        return errno == EEXIST
                   ? rq_fail(err, RQ_INVALID_ARG,
                             "%.400s exists already; remove it or choose another name", f->path)
                   : fail_path(err, "cannot give its final name to", f->path);
    return RQ_OK;
}

rq_status rq_atomic_file_commit(rq_atomic_file **f, rq_err *err)
{
    rq_status status = commit(*f, err);
    if (status != RQ_OK) {
        rq_atomic_file_abort(f);
        return status;
    }
    /* The content is whole either way; what may be lost in a power cut is the new name. */
    if (fsync_retry((*f)->dir_fd) != 0 && errno != EINVAL)
        status = fail_path(err, "cannot flush the folder of", (*f)->path);
    atomic_file_free(f);
    return status;
}

void rq_atomic_file_abort(rq_atomic_file **f)
{
    if (*f == NULL)
        return;
    unlinkat((*f)->dir_fd, (*f)->temp_name, 0);
    atomic_file_free(f);
}

rq_status rq_file_write_atomic(const char *path, const void *data, size_t bytes, rq_err *err)
{
    rq_atomic_file *f;
    RQ_TRY(rq_atomic_file_create(&f, path, true, err));
    const rq_status status = rq_atomic_file_write(f, data, bytes, err);
    if (status != RQ_OK) {
        rq_atomic_file_abort(&f);
        return status;
    }
    return rq_atomic_file_commit(&f, err);
}

/* Reads to the end of the file; the size that fstat tells is only a hint, as for pipes. */
static rq_status read_all(int fd, const char *path, size_t max_bytes, rq_buf *buf, rq_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return fail_path(err, "cannot read", path);
    if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > max_bytes)
        return rq_fail(err, RQ_LIMIT, "%.400s has %lld bytes, more than the limit of %zu", path,
                       (long long)st.st_size, max_bytes);
    const size_t hint = S_ISREG(st.st_mode) ? (size_t)st.st_size : 0;
    RQ_TRY(rq_buf_reserve(buf, hint + 1, err)); /* one more to see the end by */
    for (;;) {
        if (buf->size + 1 >= buf->cap)
            RQ_TRY(rq_buf_reserve(buf, buf->cap + 4096, err));
        const ssize_t n = read(fd, buf->data + buf->size, buf->cap - buf->size - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_path(err, "cannot read", path);
        buf->size += (size_t)n;
        if (buf->size > max_bytes)
            return rq_fail(err, RQ_LIMIT, "%.400s is longer than the limit of %zu bytes", path,
                           max_bytes);
        if (n == 0)
            break;
    }
    buf->data[buf->size] = '\0';
    return RQ_OK;
}

rq_status rq_file_read(const char *path, size_t max_bytes, rq_buf *buf, rq_err *err)
{
    buf->size = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail_path(err, "cannot open", path);
    const rq_status status = read_all(fd, path, max_bytes, buf, err);
    close(fd);
    return status;
}

rq_status rq_pread_full(int fd, void *dst, size_t bytes, uint64_t offset, const char *name,
                        rq_err *err)
{
    size_t done = 0;
    if (offset > INT64_MAX || bytes > INT64_MAX - offset)
        return rq_fail(err, RQ_TRUNCATED, "%.400s: no file reaches byte %llu", name,
                       (unsigned long long)offset);
    while (done < bytes) {
        const size_t want = bytes - done < IO_CHUNK_BYTES ? bytes - done : IO_CHUNK_BYTES;
        const ssize_t n = pread(fd, (uint8_t *)dst + done, want, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_path(err, "cannot read", name);
        if (n == 0)
            return rq_fail(err, RQ_TRUNCATED,
                           "%.400s ends at byte %llu, %zu bytes before it should", name,
                           (unsigned long long)(offset + done), bytes - done);
        done += (size_t)n;
    }
    return RQ_OK;
}

rq_status rq_write_full(int fd, const void *src, size_t bytes, const char *name, rq_err *err)
{
    size_t done = 0;
    while (done < bytes) {
        const size_t want = bytes - done < IO_CHUNK_BYTES ? bytes - done : IO_CHUNK_BYTES;
        const ssize_t n = write(fd, (const uint8_t *)src + done, want);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = EIO;
        if (n <= 0)
            return fail_path(err, "cannot write", name);
        done += (size_t)n;
    }
    return RQ_OK;
}

static rq_status make_dir(const char *path, rq_err *err)
{
    struct stat st;
    if (mkdir(path, 0777) == 0)
        return RQ_OK;
    const int sys_errno = errno;
    if (stat(path, &st) == 0)
        return S_ISDIR(st.st_mode)
                   ? RQ_OK
                   : rq_fail(err, RQ_IO, "%.400s is a file, not a folder; choose another name",
                             path);
    errno = sys_errno;
    return fail_path(err, "cannot create the folder", path);
}

rq_status rq_mkdirs(const char *path, rq_err *err)
{
    if (*path == '\0')
        return rq_fail(err, RQ_INVALID_ARG, "a folder name is empty");
    char *part = rq_strdup(path);
    if (part == NULL)
        return rq_fail(err, RQ_OOM, "out of memory while creating the folder %.400s", path);
    rq_status status = RQ_OK;
    for (char *c = part + 1; *c != '\0' && status == RQ_OK; c++) {
        if (*c != '/')
            continue;
        *c = '\0';
        status = make_dir(part, err);
        *c = '/';
    }
    if (status == RQ_OK)
        status = make_dir(part, err);
    rq_free(part);
    return status;
}

rq_status rq_dir_sync(const char *path, rq_err *err)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail_path(err, "cannot open the folder", path);
    /* EINVAL: a filesystem that cannot flush folders and needs no such call. */
    const rq_status status = fsync_retry(fd) != 0 && errno != EINVAL
                                 ? fail_path(err, "cannot flush the folder", path)
                                 : RQ_OK;
    close(fd);
    return status;
}
