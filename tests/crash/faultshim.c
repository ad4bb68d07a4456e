// SPDX-License-Identifier: Apache-2.0
//
// Makes system calls of an unchanged program fail, for tests of what is left behind:
//
//     cc -shared -fPIC -o shim.so faultshim.c -ldl
//     RQ_FAULT=write:3:ENOSPC LD_PRELOAD=./shim.so rq-pack build ...
//
// RQ_FAULT is CALL:N:HOW. CALL is write, pwrite, fsync, rename, link, open, close, mkdir or any
// (all of them together). The N-th such call, counted from 1, does HOW: ENOSPC, EIO, EINTR,
// EACCES or EDQUOT fail with that error; `short` writes half of the bytes; `kill` ends the
// process with SIGKILL before the call, as a power cut would. EINTR and short strike once, the
// others stay: a full disk does not empty itself. N = 0 strikes never; with RQ_FAULT_COUNT=FILE
// the number of calls seen is written to FILE at exit, which tells a sweep where to end. Only
// regular files and folders are touched, so that messages still reach the terminal.
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
#include <unistd.h>

enum { NONE = 0, SHORT = -1, KILL = -2 };

static char target[16];
static long strike_at;
static int how;
static atomic_long calls;

__attribute__((constructor)) static void read_plan(void)
{
    static const struct {
        const char *name;
        int how;
    } names[] = {{"ENOSPC", ENOSPC}, {"EIO", EIO},     {"EINTR", EINTR}, {"EACCES", EACCES},
                 {"EDQUOT", EDQUOT}, {"short", SHORT}, {"kill", KILL}};
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
    const int once = how == EINTR || how == SHORT;
    if (strike_at <= 0 || n < strike_at || (once && n > strike_at))
        return NONE;
    if (how == KILL)
        kill(getpid(), SIGKILL);
    return how;
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

ssize_t write(int fd, const void *data, size_t bytes)
{
    const int fault = strike_fd("write", fd);
    if (fault > 0) {
        errno = fault;
        return -1;
    }
    if (fault == SHORT && bytes > 1)
        bytes /= 2;
    return REAL("write", ssize_t(*)(int, const void *, size_t))(fd, data, bytes);
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset)
{
    const int fault = strike_fd("pwrite", fd);
    if (fault > 0) {
        errno = fault;
        return -1;
    }
    if (fault == SHORT && bytes > 1)
        bytes /= 2;
    return REAL("pwrite", ssize_t(*)(int, const void *, size_t, off_t))(fd, data, bytes,
                                                                        offset);
}

int fsync(int fd)
{
    const int fault = strike_fd("fsync", fd);
    if (fault > 0) {
        errno = fault;
        return -1;
    }
    return REAL("fsync", int (*)(int))(fd);
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

int rename(const char *from, const char *to)
{
    const int fault = strike("rename");
    if (fault > 0) {
        errno = fault;
        return -1;
    }
    return REAL("rename", int (*)(const char *, const char *))(from, to);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    const int fault = strike("rename");
    if (fault > 0) {
        errno = fault;
        return -1;
    }
    return REAL("renameat", int (*)(int, const char *, int, const char *))(from_dir, from,
                                                                           to_dir, to);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    const int fault = strike("rename");
    if (fault > 0) {
        errno = fault;
        return -1;
    }
    return REAL("renameat2", int (*)(int, const char *, int, const char *, unsigned))(
        from_dir, from, to_dir, to, flags);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    const int fault = strike("link");
    if (fault > 0) {
        errno = fault;
        return -1;
    }
    return REAL("linkat", int (*)(int, const char *, int, const char *, int))(
        from_dir, from, to_dir, to, flags);
}

int mkdir(const char *path, mode_t mode)
{
    const int fault = strike("mkdir");
    if (fault > 0) {
        errno = fault;
        return -1;
    }
    return REAL("mkdir", int (*)(const char *, mode_t))(path, mode);
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
    return REAL("openat", int (*)(int, const char *, int, ...))(dir, path, flags, mode);
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
    return REAL("open", int (*)(const char *, int, ...))(path, flags, mode);
}
