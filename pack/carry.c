// SPDX-License-Identifier: Apache-2.0
// Hard link or copy. A link shares the bytes: files of a dataset are only ever replaced, never
// written into, so neither name can change under the other.
#include "pack/carry.h"

#include "common/file.h"
#include "pack/shard.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK_BYTES = 1 << 20 };

static rq_status copy_bytes(int from, rq_atomic_file *to, rq_sha256 *sha, const char *path,
                            const volatile sig_atomic_t *cancel, rq_err *err)
{
    uint8_t *block = rq_alloc(BLOCK_BYTES, 1);
    rq_status st = block ? RQ_OK : rq_fail(err, RQ_OOM, "out of memory copying '%s'", path);
    for (ssize_t n = 1; st == RQ_OK && n != 0;) {
        n = read(from, block, BLOCK_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            st = rq_fail_errno(err, "cannot read '%s'", path);
        else if (cancel && *cancel)
            st = rq_fail(err, RQ_CANCELLED,
                         "interrupted while copying '%s'; run the same command again", path);
        else if (n > 0) {
            rq_sha256_update(sha, block, (size_t)n);
            st = rq_atomic_file_write(to, block, (size_t)n, err);
        }
    }
    rq_free(block);
    return st;
}

static rq_status copy_file(const char *from, const char *to, const rq_manifest_shard *shard,
                           const volatile sig_atomic_t *cancel, rq_err *err)
{
    char hex[RQ_SHA256_HEX];
    rq_atomic_file *file = NULL;
    rq_sha256 *sha = NULL;
    const int fd = open(from, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return rq_fail_errno(err, "cannot open '%s'", from);
    rq_status st = rq_sha256_create(&sha, err);
    if (st == RQ_OK)
        st = rq_atomic_file_create(&file, to, true, err);
    if (st == RQ_OK)
        st = copy_bytes(fd, file, sha, from, cancel, err);
    if (st == RQ_OK) {
        rq_sha256_hex(sha, hex);
        if (shard && strcmp(hex, shard->sha256) != 0)
            st = rq_fail(err, RQ_BAD_CHECKSUM,
                         "'%s' is damaged: its SHA-256 is not that of the manifest; run "
                         "`rq-pack verify` on it",
                         from);
    }
    if (st == RQ_OK)
        st = rq_atomic_file_commit(&file, err);
    rq_atomic_file_abort(&file);
    rq_sha256_destroy(&sha);
    close(fd);
    return st;
}

rq_status rq_carry(const char *from, const char *to, const rq_manifest_shard *shard,
                   const volatile sig_atomic_t *cancel, rq_err *err)
{
    struct stat a, b;
    if (stat(from, &a) != 0)
        return rq_fail_errno(err, "cannot open '%s'", from);
    if (stat(to, &b) == 0) {
        if (a.st_dev == b.st_dev && a.st_ino == b.st_ino)
            return RQ_OK;
        if (shard && rq_shard_check(to, shard, true, cancel, NULL) == RQ_OK)
            return RQ_OK;
        if (unlink(to) != 0)
            return rq_fail_errno(err, "cannot replace '%s'", to);
    }
    return link(from, to) == 0 ? RQ_OK : copy_file(from, to, shard, cancel, err);
}
