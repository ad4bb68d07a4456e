// SPDX-License-Identifier: Apache-2.0
//
// Makes system calls of an unchanged program fail, for tests of what is left behind:
//
//     cc -shared -fPIC -o shim.so faultshim.c -ldl
//     RQ_FAULT=write:3:ENOSPC LD_PRELOAD=./shim.so rq-pack build ...
//
// RQ_FAULT is CALL:N:HOW. CALL is write (pwrite too), fsync (fdatasync, syncfs), rename, link,
// unlink (rmdir), open, close, mkdir, ftruncate or any (all of them together). The N-th such
// call, counted from 1, does HOW: ENOSPC, EIO, EINTR, EACCES or EDQUOT fail with that error;
// `short` writes half of the bytes; `once` is EIO that the next call does not see; `kill` ends
// the process with SIGKILL before the call, as a power cut would. EINTR, short and once strike
// once, the others stay: a full disk does not empty itself. N = 0 strikes never; with
// RQ_FAULT_COUNT=FILE the number of calls seen is written to FILE at exit, which tells a sweep
// where to end. Only regular files and folders are touched, so that messages still reach the
// terminal.
//
// RQ_FAULT_LOG=FILE records what the program asked of the disk, in order, a line each, so that
// a test can work out what a power cut would have left:
//
//     open INODE PATH          a file that may have been created
//     write INODE OFFSET HEX   truncate INODE LENGTH    fsync INODE    fsyncdir PATH
//     rename FROM TO           link FROM TO             unlink PATH    mkdir PATH
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NONE = 0, SHORT = -1, KILL = -2, ONCE = -3 };

static char target[16];
static long strike_at;
static int how;
static atomic_long calls;
static int log_fd = -1;

__attribute__((constructor)) static void read_plan(void)
{
    static const struct {
        const char *name;
        int how;
    } names[] = {{"ENOSPC", ENOSPC}, {"EIO", EIO},     {"EINTR", EINTR}, {"EACCES", EACCES},
                 {"EDQUOT", EDQUOT}, {"short", SHORT}, {"kill", KILL},   {"once", ONCE}};
    const char *log = getenv("RQ_FAULT_LOG");
    if (log != NULL)
        log_fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND, 0666);
    const char *plan = getenv("RQ_FAULT");
    char word[16] = "";
    if (plan == NULL || sscanf(plan, "%15[^:]:%ld:%15s", target, &strike_at, word) != 3)
        return;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(word, names[i].name) == 0)
            how = names[i].how;
    }
}

__attribute__((destructor)) static void write_count(void)
{
    const char *path = getenv("RQ_FAULT_COUNT");
    FILE *f = path == NULL ? NULL : fopen(path, "w");
    target[0] = '\0';
    if (f != NULL) {
        fprintf(f, "%ld\n", atomic_load(&calls));
        fclose(f);
    }
}

/* NONE, or what this call has to suffer. */
static int strike(const char *call)
{
    if (strcmp(target, call) != 0 && strcmp(target, "any") != 0)
        return NONE;
    const long n = atomic_fetch_add(&calls, 1) + 1;
    const int once = how == EINTR || how == SHORT || how == ONCE;
    if (strike_at <= 0 || n < strike_at || (once && n > strike_at))
        return NONE;
    if (how == KILL)
        kill(getpid(), SIGKILL);
    return how == ONCE ? EIO : how;
}

static int strike_fd(const char *call, int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
        return NONE;
    return strike(call);
}

/* dlsym gives an object pointer; POSIX says it may hold a function. */
static void *next(const char *name)
{
    void *symbol = dlsym(RTLD_NEXT, name);
    if (symbol == NULL)
        abort();
    return symbol;
}

#define REAL(name, type) ((type)(uintptr_t)next(name))

/* ---- the record -------------------------------------------------------------------------- */

__attribute__((format(printf, 1, 2))) static void put(const char *format, ...)
{
    char line[9000];
    va_list args;
    if (log_fd < 0)
        return;
    va_start(args, format);
    const int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof line || syscall(SYS_write, log_fd, line, (size_t)n) != n)
        abort();
}

/* The path of a name in an open folder. */
static const char *full(int dir, const char *path, char buf[4096])
{
    char link[64];
    if (dir == AT_FDCWD || path[0] == '/')
        return path;
    snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
    const ssize_t n = readlink(link, buf, 3000);
    if (n < 0)
        return path;
    snprintf(buf + n, (size_t)(4096 - n), "/%s", path);
    return buf;
}

static void put_fd(const char *what, int fd, long long number)
{
    struct stat st;
    char link[64], path[3000];
    if (log_fd < 0 || fstat(fd, &st) != 0)
        return;
    if (S_ISREG(st.st_mode)) {
        put(number < 0 ? "%s %llu\n" : "%s %llu %lld\n", what, (unsigned long long)st.st_ino,
            number);
    } else if (S_ISDIR(st.st_mode)) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        const ssize_t n = readlink(link, path, sizeof path - 1);
        put("%sdir %.*s\n", what, n < 0 ? 0 : (int)n, path);
    }
}

static void put_write(int fd, const unsigned char *data, size_t bytes, long long offset)
{
    struct stat st;
    if (log_fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return;
    if (offset < 0)
        offset = fcntl(fd, F_GETFL) & O_APPEND ? (long long)st.st_size
                                               : (long long)lseek(fd, 0, SEEK_CUR);
    for (size_t at = 0; at < bytes; at += 4096) {
        char hex[2 * 4096 + 1];
        const size_t n = bytes - at < 4096 ? bytes - at : 4096;
        for (size_t i = 0; i < n; i++)
            snprintf(hex + 2 * i, 3, "%02x", data[at + i]);
        put("write %llu %lld %s\n", (unsigned long long)st.st_ino, offset + (long long)at, hex);
    }
}

static void put_open(int fd, int flags, int dir, const char *path)
{
    struct stat st;
    char buf[4096];
    if (log_fd < 0 || fd < 0 || !(flags & O_CREAT) || fstat(fd, &st) != 0)
        return;
    put("open %llu %s\n", (unsigned long long)st.st_ino, full(dir, path, buf));
    if (flags & O_TRUNC)
        put("truncate %llu 0\n", (unsigned long long)st.st_ino);
}

static void put_names(const char *what, int from_dir, const char *from, int to_dir,
                      const char *to)
{
    char a[4096], b[4096];
    if (log_fd >= 0)
        put("%s %s%s%s\n", what, full(from_dir, from, a), to == NULL ? "" : " ",
            to == NULL ? "" : full(to_dir, to, b));
}

/* ---- the calls --------------------------------------------------------------------------- */

ssize_t write(int fd, const void *data, size_t bytes)
{
    const int fault = strike_fd("write", fd);
    if (fault > 0) {
        errno = fault;
        return -1;
    }
    if (fault == SHORT && bytes > 1)
        bytes /= 2;
    put_write(fd, data, bytes, -1);
    return REAL("write", ssize_t(*)(int, const void *, size_t))(fd, data, bytes);
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset)
{
    const int fault = strike_fd("write", fd);
    if (fault > 0) {
        errno = fault;
        return -1;
    }
    if (fault == SHORT && bytes > 1)
        bytes /= 2;
    put_write(fd, data, bytes, offset);
    return REAL("pwrite", ssize_t(*)(int, const void *, size_t, off_t))(fd, data, bytes,
                                                                        offset);
}

static int flush(const char *name, int fd)
{
    const int fault = strike_fd("fsync", fd);
    if (fault > 0) {
        errno = fault;
        return -1;
    }
    const int rc = REAL(name, int (*)(int))(fd);
    if (rc == 0)
        put_fd("fsync", fd, -1);
    return rc;
}

int fsync(int fd)
{
    return flush("fsync", fd);
}

int fdatasync(int fd)
{
    return flush("fdatasync", fd);
}

int syncfs(int fd)
{
    return flush("syncfs", fd);
}

int ftruncate(int fd, off_t length)
{
    const int fault = strike_fd("ftruncate", fd);
    if (fault > 0) {
        errno = fault;
        return -1;
    }
    put_fd("truncate", fd, length);
    return REAL("ftruncate", int (*)(int, off_t))(fd, length);
}

int close(int fd)
{
    const int fault = strike_fd("close", fd);
    const int rc = REAL("close", int (*)(int))(fd);
    if (fault > 0) { /* Linux closes the file whatever it returns */
        errno = fault;
        return -1;
    }
    return rc;
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    const int fault = strike("rename");
    if (fault > 0) {
        errno = fault;
        return -1;
    }
    const int rc = REAL("renameat2", int (*)(int, const char *, int, const char *, unsigned))(
        from_dir, from, to_dir, to, flags);
    if (rc == 0)
        put_names("rename", from_dir, from, to_dir, to);
    return rc;
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return renameat2(from_dir, from, to_dir, to, 0);
}

int rename(const char *from, const char *to)
{
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    const int fault = strike("link");
    if (fault > 0) {
        errno = fault;
        return -1;
    }
    const int rc = REAL("linkat", int (*)(int, const char *, int, const char *, int))(
        from_dir, from, to_dir, to, flags);
    if (rc == 0)
        put_names("link", from_dir, from, to_dir, to);
    return rc;
}

int link(const char *from, const char *to)
{
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlinkat(int dir, const char *path, int flags)
{
    struct stat st;
    const int there = fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
    const int fault = there ? strike("unlink") : NONE; /* what is not there cannot fail */
    if (fault > 0) {
        errno = fault;
        return -1;
    }
    const int rc = REAL("unlinkat", int (*)(int, const char *, int))(dir, path, flags);
    if (rc == 0)
        put_names("unlink", dir, path, 0, NULL);
    return rc;
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int mkdir(const char *path, mode_t mode)
{
    const int fault = strike("mkdir");
    if (fault > 0) {
        errno = fault;
        return -1;
    }
    const int rc = REAL("mkdir", int (*)(const char *, mode_t))(path, mode);
    if (rc == 0)
        put_names("mkdir", AT_FDCWD, path, 0, NULL);
    return rc;
}

/* Only opening for writing: reading is not what a full disk stops. */
static int open_fault(int flags)
{
    return (flags & O_ACCMODE) == O_RDONLY ? NONE : strike("open");
}

int openat(int dir, const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    const int fault = open_fault(flags);
    if (fault > 0) {
        errno = fault;
        return -1;
    }
    const int fd = REAL("openat", int (*)(int, const char *, int, ...))(dir, path, flags, mode);
    put_open(fd, flags, dir, path);
    return fd;
}

int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    const int fault = open_fault(flags);
    if (fault > 0) {
        errno = fault;
        return -1;
    }
    const int fd = REAL("open", int (*)(const char *, int, ...))(path, flags, mode);
    put_open(fd, flags, AT_FDCWD, path);
    return fd;
}
