// SPDX-License-Identifier: Apache-2.0
// A dataset's folder from the writer's side. One build at a time holds an flock on it, which is
// what makes it safe to remove the temporary files of builds that were killed. Only files whose
// names this project gives are ever removed.
#include "pack/folder.h"

#include "common/file.h"
#include "pack/manifest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

// The number in NAME-NNNNNN.tar.zst, with `tail` behind it; -1 for any other name.
static long shard_number(const char *file, const char *name, const char *tail)
{
    const size_t n = strlen(name);
    if (strncmp(file, name, n) != 0 || file[n] != '-')
        return -1;
    const char *digits = file + n + 1;
    const size_t k = strspn(digits, "0123456789");
    if (k < 6 || k > 8 || strcmp(digits + k, tail) != 0)
        return -1;
    return strtol(digits, NULL, 10);
}

// ".NAME.tmp-..." of a file that a build writes.
static bool is_leftover(const char *file, const char *name)
{
    char stem[256];
    const char *tmp = strstr(file, ".tmp-");
    if (file[0] != '.' || !tmp || tmp == file || (size_t)(tmp - file) >= sizeof stem)
        return false;
    memcpy(stem, file + 1, (size_t)(tmp - file - 1));
    stem[tmp - file - 1] = 0;
    return strcmp(stem, RQ_MANIFEST_FILE) == 0 || strcmp(stem, RQ_REPORT_FILE) == 0 ||
           shard_number(stem, name, RQ_SHARD_SUFFIX) >= 0;
}

// Removes leftovers (shards < 0) or shards from a number on.
static rq_status sweep(rq_folder *f, long shards, rq_err *err)
{
    DIR *dir = opendir(f->path);
    if (!dir)
        return rq_fail_errno(err, "cannot list '%s'", f->path);
    rq_status st = RQ_OK;
    for (struct dirent *d; st == RQ_OK && (d = readdir(dir));) {
        const bool gone = shards < 0
                              ? is_leftover(d->d_name, f->name)
                              : shard_number(d->d_name, f->name, RQ_SHARD_SUFFIX) >= shards;
        if (gone && unlinkat(f->fd, d->d_name, 0) != 0)
            st = rq_fail_errno(err, "cannot remove '%s/%s'", f->path, d->d_name);
    }
    closedir(dir);
    return st;
}

rq_status rq_folder_open(rq_folder *f, const char *path, const char *name, bool replace,
                         rq_err *err)
{
    struct stat st;
    *f = (rq_folder){.path = path, .name = name, .fd = -1};
    f->created = stat(path, &st) != 0 && errno == ENOENT;
    RQ_TRY(rq_mkdirs(path, err));
    f->open = true;
    f->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->fd < 0)
        return rq_fail_errno(err, "cannot open the output folder '%s'", path);
    // File systems without locks (some NFS) do without the protection.
    if (flock(f->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return rq_fail(err, RQ_INVALID_ARG,
                       "another build is writing into '%s'; wait for it or choose another "
                       "folder",
                       path);
    f->occupied = faccessat(f->fd, RQ_MANIFEST_FILE, F_OK, 0) == 0;
    if (f->occupied && !replace)
        return rq_fail(err, RQ_INVALID_ARG,
                       "'%s' already holds a dataset; give --force to replace it, or choose "
                       "another folder",
                       path);
    return sweep(f, -1, err);
}

rq_status rq_folder_clear(rq_folder *f, rq_err *err)
{
    if (!f->occupied)
        return RQ_OK;
    // A damaged old manifest cannot name its shards; then those with our prefix go.
    rq_manifest old;
    const bool known = rq_manifest_read(&old, f->path, NULL, NULL) == RQ_OK;
    rq_status st = RQ_OK;
    // EINVAL: a file system that cannot flush folders and needs no such call.
    if (unlinkat(f->fd, RQ_MANIFEST_FILE, 0) != 0 || (fsync(f->fd) != 0 && errno != EINVAL))
        st = rq_fail_errno(err, "cannot remove the old dataset in '%s'", f->path);
    for (size_t i = 0; known && st == RQ_OK && i < old.n_shards; i++)
        if (unlinkat(f->fd, old.shards[i].file, 0) != 0 && errno != ENOENT)
            st = rq_fail_errno(err, "cannot remove '%s/%s'", f->path, old.shards[i].file);
    if (st == RQ_OK && unlinkat(f->fd, RQ_REPORT_FILE, 0) != 0 && errno != ENOENT)
        st = rq_fail_errno(err, "cannot remove '%s/%s'", f->path, RQ_REPORT_FILE);
    if (known)
        rq_manifest_free(&old);
    f->occupied = false;
    return st;
}

rq_status rq_folder_trim(rq_folder *f, size_t shards, rq_err *err)
{
    return sweep(f, (long)shards, err);
}

void rq_folder_close(rq_folder *f, bool remove_if_empty)
{
    if (f->open && f->fd >= 0)
        close(f->fd);
    // rmdir leaves a folder that is not empty alone.
    if (f->open && f->created && remove_if_empty && rmdir(f->path) != 0)
        errno = 0;
    *f = (rq_folder){.fd = -1};
}
