// SPDX-License-Identifier: Apache-2.0
// A dataset's folder from the writer's side. One build at a time holds an exclusive flock on
// it; parts share that lock and have one each on a file of their own. The locks are what makes
// it safe to remove the temporary files of builds that were killed. Only files whose names this
// project gives are ever removed.
#include "pack/folder.h"

#include "common/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PART_REPORT_SUFFIX ".part.jsonl"
#define JOURNAL_SUFFIX     ".journal"
#define DRAFT_SUFFIX       ".report"

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), k = strlen(end);
    return n >= k && strcmp(text + n - k, end) == 0;
}

// A shard with this suffix and this folder's own prefix; *number as in its name.
static bool is_own(const rq_folder *f, const char *file, const char *suffix, size_t *number)
{
    rq_part part;
    return rq_shard_file_parse(file, f->name, suffix, &part, number) &&
           part.index == f->part.index && part.count == f->part.count;
}

// PREFIX of any part, and this suffix.
static bool is_part_file(const char *file, const char *suffix)
{
    char shard[RQ_MAX_FILE_BYTES + 16];
    rq_part part;
    if (!ends_with(file, suffix) || strlen(file) >= RQ_MAX_FILE_BYTES)
        return false;
    snprintf(shard, sizeof shard, "%.*s-000000", (int)(strlen(file) - strlen(suffix)), file);
    return rq_shard_file_parse(shard, NULL, "", &part, NULL) && part.count > 0;
}

static bool is_part_manifest(const char *file)
{
    return is_part_file(file, RQ_PART_SUFFIX);
}

// What the unfinished build of a part goes on from.
static bool is_part_journal(const char *file)
{
    return file[0] == '.' && is_part_file(file + 1, JOURNAL_SUFFIX);
}

// ".FILE.tmp-..." of a file that a build of this kind writes.
static bool is_leftover(const rq_folder *f, const char *file)
{
    char stem[256];
    const char *tmp = strstr(file, ".tmp-");
    if (file[0] != '.' || !tmp || tmp == file || (size_t)(tmp - file) >= sizeof stem)
        return false;
    memcpy(stem, file + 1, (size_t)(tmp - file - 1));
    stem[tmp - file - 1] = 0;
    char *end = stem + strlen(stem);
    if (ends_with(stem, ".new") && !ends_with(stem, RQ_DRAFT_SUFFIX))
        end[-4] = 0;
    if (strcmp(stem, f->manifest) == 0 || strcmp(stem, f->journal) == 0 ||
        strcmp(stem, f->report) == 0)
        return true;
    if (f->part.count)
        return is_own(f, stem, RQ_DRAFT_SUFFIX, NULL);
    return rq_shard_file_parse(stem, NULL, RQ_DRAFT_SUFFIX, NULL, NULL) ||
           rq_shard_file_parse(stem, NULL, RQ_SHARD_SUFFIX, NULL, NULL) ||
           is_part_manifest(stem) || is_part_file(stem, PART_REPORT_SUFFIX);
}

/* ---- walking ----------------------------------------------------------------------------- */

// Calls fn for every name; stops at the first failure. Removing the file at hand is allowed.
typedef rq_status (*visit)(const rq_folder *f, const char *file, void *ctx, rq_err *err);

static rq_status walk(const rq_folder *f, visit fn, void *ctx, rq_err *err)
{
    DIR *dir = opendir(f->path);
    if (!dir)
        return rq_fail_errno(err, "cannot list '%s'", f->path);
    rq_status st = RQ_OK;
    while (st == RQ_OK) {
        errno = 0;
        const struct dirent *d = readdir(dir);
        if (!d && errno != 0)
            st = rq_fail_errno(err, "cannot list '%s'", f->path);
        if (!d)
            break;
        st = fn(f, d->d_name, ctx, err);
    }
    closedir(dir);
    return st;
}

static rq_status sweep_leftover(const rq_folder *f, const char *file, void *ctx, rq_err *err)
{
    return is_leftover(f, file) ? rq_folder_remove(f, file, err) : RQ_OK;
}

static rq_status find_shard(const rq_folder *f, const char *file, void *ctx, rq_err *err)
{
    *(bool *)ctx |= is_own(f, file, RQ_SHARD_SUFFIX, NULL);
    return RQ_OK;
}

static rq_status find_part(const rq_folder *f, const char *file, void *ctx, rq_err *err)
{
    *(bool *)ctx |= is_part_manifest(file) || is_part_journal(file);
    return RQ_OK;
}

rq_status rq_folder_has_shards(const rq_folder *f, bool *yes, rq_err *err)
{
    *yes = false;
    return walk(f, find_shard, yes, err);
}

rq_status rq_folder_has_parts(const rq_folder *f, bool *yes, rq_err *err)
{
    *yes = false;
    return walk(f, find_part, yes, err);
}

/* ---- opening ----------------------------------------------------------------------------- */

static void name_files(rq_folder *f)
{
    rq_shard_prefix(f->prefix, sizeof f->prefix, f->name, f->part);
    if (f->part.count) {
        snprintf(f->manifest, sizeof f->manifest, "%s%s", f->prefix, RQ_PART_SUFFIX);
        snprintf(f->report, sizeof f->report, "%s%s", f->prefix, PART_REPORT_SUFFIX);
        snprintf(f->journal, sizeof f->journal, ".%s" JOURNAL_SUFFIX, f->prefix);
        snprintf(f->draft, sizeof f->draft, ".%s" DRAFT_SUFFIX, f->prefix);
        snprintf(f->lock, sizeof f->lock, ".%s.lock", f->prefix);
    } else { // whatever its name: there is one dataset in a folder
        snprintf(f->manifest, sizeof f->manifest, "%s", RQ_MANIFEST_FILE);
        snprintf(f->report, sizeof f->report, "%s", RQ_REPORT_FILE);
        snprintf(f->journal, sizeof f->journal, ".build.journal");
        snprintf(f->draft, sizeof f->draft, ".build.report");
    }
}

static rq_status at_work(const rq_folder *f, rq_err *err)
{
    return rq_fail(err, RQ_INVALID_ARG,
                   "another build is writing %s%s%sinto '%s'; wait for it or choose another "
                   "folder",
                   f->part.count ? "'" : "", f->part.count ? f->prefix : "",
                   f->part.count ? "' " : "", f->path);
}

// The file is removed with the lock; whoever waited for one that is gone makes a new one.
static rq_status lock_part(rq_folder *f, rq_err *err)
{
    struct stat st;
    for (;;) {
        f->part_fd = openat(f->fd, f->lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (f->part_fd < 0)
            return rq_fail_errno(err, "cannot create '%s/%s'", f->path, f->lock);
        if (flock(f->part_fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
            close(f->part_fd);
            f->part_fd = -1;
            return at_work(f, err);
        }
        if (fstat(f->part_fd, &st) == 0 && st.st_nlink > 0)
            return RQ_OK;
        close(f->part_fd);
    }
}

// Bytes of the longest leading part of `path` that exists, all of it or none included.
static size_t existing_bytes(const char *path)
{
    struct stat st;
    size_t n = strlen(path);
    char part[4096];
    if (n >= sizeof part)
        return n;
    memcpy(part, path, n + 1);
    while (n > 0 && stat(part, &st) != 0) {
        while (n > 0 && part[n - 1] == '/')
            n--;
        while (n > 0 && part[n - 1] != '/')
            n--;
        part[n] = 0;
    }
    return n;
}

// New folders are entries of the folders above them: those are flushed too, where that can be.
static void sync_parents(const char *path, size_t existed)
{
    char part[4096];
    const size_t n = strlen(path);
    if (n >= sizeof part)
        return;
    for (size_t i = existed; i < n; i++) {
        if (i > existed && (path[i] != '/' || path[i + 1] == 0))
            continue;
        snprintf(part, sizeof part, "%.*s", (int)i, path);
        if (rq_dir_sync(i ? part : ".", NULL) != RQ_OK)
            errno = 0; // a folder that we may not read
    }
}

rq_status rq_folder_open(rq_folder *f, const char *path, const char *name, rq_part part,
                         rq_err *err)
{
    struct stat st;
    *f = (rq_folder){.path = path, .name = name, .part = part, .fd = -1, .part_fd = -1};
    name_files(f);
    const size_t existed = existing_bytes(path);
    f->created = stat(path, &st) != 0 && errno == ENOENT;
    RQ_TRY(rq_mkdirs(path, err));
    f->open = true;
    sync_parents(path, existed);
    f->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->fd < 0)
        return rq_fail_errno(err, "cannot open the output folder '%s'", path);
    // File systems without locks (some NFS) do without the protection.
    const int kind = part.count ? LOCK_SH : LOCK_EX;
    if (flock(f->fd, kind | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return at_work(f, err);
    if (part.count)
        RQ_TRY(lock_part(f, err));
    return walk(f, sweep_leftover, NULL, err);
}

void rq_folder_close(rq_folder *f, bool remove_if_empty)
{
    if (f->open && f->part_fd >= 0) {
        if (unlinkat(f->fd, f->lock, 0) != 0)
            errno = 0; // an empty file stays, and is used again
        close(f->part_fd);
    }
    if (f->open && f->fd >= 0)
        close(f->fd);
    // rmdir leaves a folder that is not empty alone.
    if (f->open && f->created && remove_if_empty && rmdir(f->path) != 0)
        errno = 0;
    *f = (rq_folder){.fd = -1, .part_fd = -1};
}

/* ---- single files ------------------------------------------------------------------------ */

bool rq_folder_has(const rq_folder *f, const char *file)
{
    return faccessat(f->fd, file, F_OK, 0) == 0;
}

rq_status rq_folder_remove(const rq_folder *f, const char *file, rq_err *err)
{
    if (unlinkat(f->fd, file, 0) == 0 || errno == ENOENT)
        return RQ_OK;
    return rq_fail_errno(err, "cannot remove '%s/%s'", f->path, file);
}

rq_status rq_folder_rename(const rq_folder *f, const char *from, const char *to, rq_err *err)
{
    if (renameat(f->fd, from, f->fd, to) == 0)
        return RQ_OK;
    return rq_fail_errno(err, "cannot rename '%s/%s' to '%s'", f->path, from, to);
}

rq_status rq_folder_sync(const rq_folder *f, rq_err *err)
{
    int rc;
    do
        rc = fsync(f->fd);
    while (rc != 0 && errno == EINTR);
    // EINVAL: a file system that cannot flush folders and needs no such call.
    return rc == 0 || errno == EINVAL
               ? RQ_OK
               : rq_fail_errno(err, "cannot flush the folder '%s'", f->path);
}

/* ---- making way -------------------------------------------------------------------------- */

static rq_status drop_draft(const rq_folder *f, const char *file, void *ctx, rq_err *err)
{
    size_t number;
    const size_t from = *(const size_t *)ctx;
    const bool own = is_own(f, file, RQ_DRAFT_SUFFIX, &number);
    const bool other =
        !f->part.count && !own && rq_shard_file_parse(file, NULL, RQ_DRAFT_SUFFIX, NULL, NULL);
    return other || (own && number >= from) ? rq_folder_remove(f, file, err) : RQ_OK;
}

rq_status rq_folder_drop_drafts(const rq_folder *f, size_t from, rq_err *err)
{
    return walk(f, drop_draft, &from, err);
}

static rq_status drop_surplus(const rq_folder *f, const char *file, void *ctx, rq_err *err)
{
    size_t number;
    const size_t shards = *(const size_t *)ctx;
    const bool surplus = is_own(f, file, RQ_SHARD_SUFFIX, &number) && number >= shards;
    return surplus ? rq_folder_remove(f, file, err) : RQ_OK;
}

// The shards that a manifest names, but for those with a new name and, from within a part,
// those of other parts.
static rq_status drop_listed(const rq_folder *f, const rq_manifest *m, size_t shards,
                             rq_err *err)
{
    for (size_t i = 0; i < m->n_shards; i++) {
        rq_part part = {0};
        size_t number;
        const char *file = m->shards[i].file;
        if (is_own(f, file, RQ_SHARD_SUFFIX, &number) && number < shards)
            continue;
        if (f->part.count && rq_shard_file_parse(file, NULL, RQ_SHARD_SUFFIX, &part, NULL) &&
            part.count > 0)
            continue;
        RQ_TRY(rq_folder_remove(f, file, err));
    }
    return RQ_OK;
}

// A part's manifest: it goes, and its shards and report with it; and what an unfinished part
// would go on from.
static rq_status drop_part(const rq_folder *f, const char *file, void *ctx, rq_err *err)
{
    rq_manifest m;
    char report[RQ_MAX_FILE_BYTES + 16];
    if (is_part_journal(file) || (file[0] == '.' && is_part_file(file + 1, DRAFT_SUFFIX)))
        return rq_folder_remove(f, file, err);
    if (!is_part_manifest(file))
        return RQ_OK;
    char *path = rq_path_join(f->path, file);
    if (!path)
        return rq_fail(err, RQ_OOM, "out of memory clearing '%s'", f->path);
    const bool known = rq_manifest_read_file(&m, path, NULL, NULL) == RQ_OK;
    rq_free(path);
    rq_status st = rq_folder_remove(f, file, err);
    if (st == RQ_OK && known)
        st = drop_listed(f, &m, *(const size_t *)ctx, err);
    snprintf(report, sizeof report, "%.*s%s", (int)(strlen(file) - strlen(RQ_PART_SUFFIX)),
             file, PART_REPORT_SUFFIX);
    if (st == RQ_OK)
        st = rq_folder_remove(f, report, err);
    if (known)
        rq_manifest_free(&m);
    return st;
}

rq_status rq_folder_clear(const rq_folder *f, size_t shards, rq_err *err)
{
    rq_manifest old;
    // A damaged old manifest cannot name its shards; then those with our prefix go.
    const bool known = rq_manifest_read(&old, f->path, NULL, NULL) == RQ_OK;
    rq_status st = rq_folder_remove(f, RQ_MANIFEST_FILE, err);
    if (st == RQ_OK)
        st = rq_folder_remove(f, f->manifest, err);
    if (st == RQ_OK)
        st = rq_folder_sync(f, err);
    if (st == RQ_OK && known)
        st = drop_listed(f, &old, shards, err);
    if (st == RQ_OK && !f->part.count)
        st = walk(f, drop_part, &shards, err);
    if (st == RQ_OK)
        st = walk(f, drop_surplus, &shards, err);
    if (known)
        rq_manifest_free(&old);
    return st;
}
