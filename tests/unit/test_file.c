// SPDX-License-Identifier: Apache-2.0
//
// Durable files. The system calls below stand in front of libc's, so that a sweep can make
// every single one of them fail in every way: the old file must stay as it was, no temporary
// file may remain, and the message must name the file.
#include "tests/unit/test.h"

#include "common/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { HOW_SHORT = -1, HOW_KILL = -2 };

/* The fault to come: the n-th counted call, counting from 1. */
static struct plan {
    bool counting;
    int calls, strike_at, how;
} plan;

static int strike(void)
{
    if (!plan.counting || ++plan.calls != plan.strike_at)
        return 0;
    if (plan.how == HOW_KILL)
        kill(getpid(), SIGKILL);
    return plan.how;
}

static bool fails(void)
{
    const int fault = strike();
    if (fault > 0)
        errno = fault;
    return fault > 0;
}

ssize_t write(int fd, const void *data, size_t bytes)
{
    const int fault = strike();
    if (fault > 0) {
        errno = fault;
        return -1;
    }
    if (fault == HOW_SHORT && bytes > 1)
        bytes /= 2;
    return syscall(SYS_write, fd, data, bytes);
}

int fsync(int fd)
{
    return fails() ? -1 : (int)syscall(SYS_fsync, fd);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return fails() ? -1 : (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    return fails() ? -1 : (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
}

/* Writes `text` in four pieces. */
static rq_status write_in_pieces(const char *path, const char *text, bool replace, rq_err *err)
{
    rq_atomic_file *f;
    RQ_TRY(rq_atomic_file_create(&f, path, replace, err));
    const size_t bytes = strlen(text), piece = bytes / 4 + 1;
    for (size_t at = 0; at < bytes; at += piece) {
        const size_t n = at + piece <= bytes ? piece : bytes - at;
        const rq_status status = rq_atomic_file_write(f, text + at, n, err);
        if (status != RQ_OK) {
            rq_atomic_file_abort(&f);
            return status;
        }
        assert_int_equal(rq_atomic_file_tell(f), at + n);
    }
    return rq_atomic_file_commit(&f, err);
}

static void assert_content(const char *path, const char *text)
{
    rq_err err = {0};
    rq_buf buf = {0};
    assert_ok(rq_file_read(path, 1 << 20, &buf, &err), &err);
    assert_string_equal((char *)buf.data, text);
    assert_int_equal(buf.size, strlen(text));
    rq_buf_free(&buf);
}

/* Names in a folder besides . and .. */
static int count_names(const char *dir)
{
    DIR *d = opendir(dir);
    assert_non_null(d);
    int n = -2;
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

static const char old_text[] = "the old content", new_text[] = "new content, somewhat longer";

static void every_fault_leaves_the_old_file(void **state)
{
    static const int faults[] = {ENOSPC, EIO, EDQUOT};
    assert_int_equal(mkdir("sweep", 0777), 0);
    for (size_t k = 0; k < sizeof faults / sizeof *faults; k++) {
        rq_err err = {0};
        plan = (struct plan){0};
        assert_ok(write_in_pieces("sweep/file", old_text, true, &err), &err);
        int n = 1;
        for (;; n++) {
            rq_err_clear(&err);
            plan = (struct plan){true, 0, n, faults[k]};
            const rq_status status = write_in_pieces("sweep/file", new_text, true, &err);
            plan.counting = false;
            if (status == RQ_OK)
                break;
            assert_status(status, rq_status_from_errno(faults[k]));
            assert_non_null(strstr(err.text, "sweep/file"));
            assert_int_equal(err.sys_errno, faults[k]);
            if (faults[k] != EIO)
                assert_non_null(strstr(err.text, "free space"));
            assert_int_equal(count_names("sweep"), 1);
            /* The last call is the flush of the folder: then the new file stands. */
            if (n < 7)
                assert_content("sweep/file", old_text);
        }
        assert_int_equal(n, 8); /* four writes, fsync, rename, fsync of the folder */
        assert_content("sweep/file", new_text);
    }
}

static void interrupted_and_short_calls_are_continued(void **state)
{
    static const int faults[] = {EINTR, HOW_SHORT};
    for (int k = 0; k < 2; k++) {
        for (int n = 1; n <= 5; n++) {
            rq_err err = {0};
            char text[64];
            snprintf(text, sizeof text, "content of round %d with fault %d", k, n);
            plan = (struct plan){true, 0, n, faults[k]};
            const rq_status status = write_in_pieces("short", text, true, &err);
            plan.counting = false;
            assert_ok(status, &err);
            assert_content("short", text);
        }
    }
}

static void a_killed_writer_leaves_the_old_file(void **state)
{
    rq_err err = {0};
    assert_int_equal(mkdir("killed", 0777), 0);
    assert_ok(rq_file_write_atomic("killed/file", old_text, strlen(old_text), &err), &err);
    for (int n = 1; n <= 7; n++) {
        const pid_t child = fork();
        if (child == 0) {
            plan = (struct plan){true, 0, n, HOW_KILL};
            _exit(write_in_pieces("killed/file", new_text, true, NULL) == RQ_OK ? 0 : 1);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        assert_content("killed/file", n <= 6 ? old_text : new_text);
    }
    /* Somebody else's leftovers do not hinder the next writer. */
    assert_ok(rq_file_write_atomic("killed/file", "third", 5, &err), &err);
    assert_content("killed/file", "third");
}

static void without_replace_an_existing_file_stays(void **state)
{
    rq_err err = {0};
    assert_int_equal(mkdir("keep", 0777), 0);
    assert_ok(write_in_pieces("keep/file", old_text, false, &err), &err);
    assert_content("keep/file", old_text);
    assert_status(write_in_pieces("keep/file", new_text, false, &err), RQ_INVALID_ARG);
    assert_non_null(strstr(err.text, "keep/file exists"));
    assert_content("keep/file", old_text);
    assert_int_equal(count_names("keep"), 1);
}

/* Some filesystems have no hard links. The sixth call is the link. */
static void without_hard_links_rename_takes_over(void **state)
{
    rq_err err = {0};
    assert_int_equal(mkdir("nolink", 0777), 0);
    plan = (struct plan){true, 0, 6, EPERM};
    const rq_status status = write_in_pieces("nolink/file", new_text, false, &err);
    plan.counting = false;
    assert_ok(status, &err);
    assert_content("nolink/file", new_text);
    assert_int_equal(count_names("nolink"), 1);
    plan = (struct plan){true, 0, 6, EPERM};
    const rq_status again = write_in_pieces("nolink/file", old_text, false, &err);
    plan.counting = false;
    assert_status(again, RQ_INVALID_ARG);
    assert_content("nolink/file", new_text);
    assert_int_equal(count_names("nolink"), 1);
}

static void abort_removes_the_temporary_file(void **state)
{
    rq_err err = {0};
    rq_atomic_file *f, *g;
    assert_int_equal(mkdir("abort", 0777), 0);
    assert_ok(rq_atomic_file_create(&f, "abort/a", true, &err), &err);
    assert_ok(rq_atomic_file_create(&g, "abort/a", true, &err), &err); /* two writers at once */
    assert_ok(rq_atomic_file_write(f, "x", 1, &err), &err);
    assert_int_equal(count_names("abort"), 2);
    rq_atomic_file_abort(&f);
    assert_null(f);
    rq_atomic_file_abort(&f);
    assert_int_equal(count_names("abort"), 1);
    assert_ok(rq_atomic_file_commit(&g, &err), &err);
    assert_null(g);
    assert_content("abort/a", "");
    assert_int_equal(count_names("abort"), 1);
}

static void modes_honour_the_umask(void **state)
{
    rq_err err = {0};
    struct stat st;
    const mode_t before = umask(027);
    assert_ok(rq_file_write_atomic("mode", "x", 1, &err), &err);
    umask(before);
    assert_int_equal(stat("mode", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
}

static void wrong_places_are_named(void **state)
{
    rq_err err = {0};
    rq_atomic_file *f;
    assert_status(rq_atomic_file_create(&f, "nowhere/file", true, &err), RQ_NOT_FOUND);
    assert_null(f);
    assert_non_null(strstr(err.text, "nowhere"));
    rq_err_clear(&err);
    assert_status(rq_atomic_file_create(&f, "folder/", true, &err), RQ_INVALID_ARG);
    rq_err_clear(&err);
    assert_status(rq_atomic_file_create(&f, ".", true, &err), RQ_IO); /* not only at commit */
    assert_non_null(strstr(err.text, "directory"));
    assert_null(f);
    rq_err_clear(&err);
    assert_ok(rq_file_write_atomic("plain", "x", 1, &err), &err);
    assert_status(rq_atomic_file_create(&f, "plain/file", true, &err), RQ_NOT_FOUND);
    rq_err_clear(&err);
    assert_int_equal(mkdir("dir", 0777), 0);
    assert_status(rq_file_write_atomic("dir", "x", 1, &err), RQ_IO); /* a folder stands there */
    rq_err_clear(&err);
    if (geteuid() != 0) {
        assert_int_equal(mkdir("readonly", 0555), 0);
        assert_status(rq_atomic_file_create(&f, "readonly/file", true, &err), RQ_IO);
        assert_non_null(strstr(err.text, "may write"));
    }
}

static void failed_allocations_leave_nothing(void **state)
{
    rq_err err = {0};
    assert_int_equal(mkdir("oom", 0777), 0);
    for (long n = 1; n <= 4; n++) { /* object, path, folder, temporary name */
        rq_err_clear(&err);
        rq_mem_fail_nth(n);
        assert_status(rq_file_write_atomic("oom/file", "x", 1, &err), RQ_OOM);
        assert_int_equal(count_names("oom"), 0);
    }
    rq_mem_fail_nth(5);
    rq_err_clear(&err);
    assert_ok(rq_file_write_atomic("oom/file", "x", 1, &err), &err);
    rq_mem_fail_nth(0);
}

static void reading_is_bounded(void **state)
{
    rq_err err = {0};
    rq_buf buf = {0};
    assert_ok(rq_file_write_atomic("read", "0123456789", 10, &err), &err);
    assert_ok(rq_file_read("read", 10, &buf, &err), &err);
    assert_int_equal(buf.size, 10);
    assert_int_equal(buf.data[10], 0);
    assert_status(rq_file_read("read", 9, &buf, &err), RQ_LIMIT);
    assert_non_null(strstr(err.text, "read has 10 bytes"));
    rq_err_clear(&err);
    assert_ok(rq_file_write_atomic("read", "", 0, &err), &err);
    assert_ok(rq_file_read("read", 9, &buf, &err), &err); /* replaces what was there */
    assert_int_equal(buf.size, 0);
    assert_int_equal(buf.data[0], 0);
    assert_status(rq_file_read("missing", 9, &buf, &err), RQ_NOT_FOUND);
    rq_err_clear(&err);
    assert_status(rq_file_read(".", 9, &buf, &err), RQ_IO);
    rq_buf_free(&buf);
    rq_err_clear(&err);
    /* A device without a size and without an end. */
    assert_status(rq_file_read("/dev/zero", 100000, &buf, &err), RQ_LIMIT);
    rq_buf_free(&buf);
}

static void pread_is_full_or_truncated(void **state)
{
    rq_err err = {0};
    char bytes[8];
    assert_ok(rq_file_write_atomic("pread", "0123456789", 10, &err), &err);
    const int fd = open("pread", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_ok(rq_pread_full(fd, bytes, 4, 6, "shard", &err), &err);
    assert_memory_equal(bytes, "6789", 4);
    assert_ok(rq_pread_full(fd, bytes, 0, 100, "shard", &err), &err);
    assert_status(rq_pread_full(fd, bytes, 5, 6, "shard", &err), RQ_TRUNCATED);
    assert_non_null(strstr(err.text, "shard ends at byte 10"));
    assert_status(rq_pread_full(fd, bytes, 1, UINT64_MAX, "shard", NULL), RQ_TRUNCATED);
    assert_status(rq_pread_full(fd, bytes, SIZE_MAX, 1, "shard", NULL), RQ_TRUNCATED);
    close(fd);
    assert_status(rq_pread_full(-1, bytes, 1, 0, "shard", NULL), RQ_IO);
}

static void folders_are_made_with_their_parents(void **state)
{
    rq_err err = {0};
    struct stat st;
    char dir[256];
    assert_ok(rq_mkdirs("a/b//c/", &err), &err);
    assert_ok(rq_mkdirs("a/b/c", &err), &err);
    assert_ok(rq_mkdirs(".", &err), &err);
    assert_ok(rq_mkdirs("/tmp", &err), &err);
    snprintf(dir, sizeof dir, "%s/x/y", (char *)*state);
    assert_ok(rq_mkdirs(dir, &err), &err);
    assert_int_equal(stat("x/y", &st), 0);
    assert_ok(rq_file_write_atomic("a/file", "x", 1, &err), &err);
    assert_status(rq_mkdirs("a/file", &err), RQ_IO);
    rq_err_clear(&err);
    assert_true(rq_mkdirs("a/file/below", &err) != RQ_OK);
    assert_status(rq_mkdirs("", NULL), RQ_INVALID_ARG);
    rq_err_clear(&err);
    assert_ok(rq_dir_sync("a", &err), &err);
    assert_status(rq_dir_sync("a/nowhere", &err), RQ_NOT_FOUND);
}

static void paths_are_taken_apart_and_joined(void **state)
{
    static const char *const joins[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"/", "b", "/b"}, {"", "b", "b"}};
    for (size_t i = 0; i < sizeof joins / sizeof *joins; i++) {
        char *path = rq_path_join(joins[i][0], joins[i][1]);
        assert_string_equal(path, joins[i][2]);
        rq_free(path);
    }
    assert_string_equal(rq_path_base("a/b/c.txt"), "c.txt");
    assert_string_equal(rq_path_base("c.txt"), "c.txt");
    assert_string_equal(rq_path_base("a/"), "");
    rq_mem_fail_nth(1);
    assert_null(rq_path_join("a", "b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_fault_leaves_the_old_file),
        cmocka_unit_test(interrupted_and_short_calls_are_continued),
        cmocka_unit_test(a_killed_writer_leaves_the_old_file),
        cmocka_unit_test(without_replace_an_existing_file_stays),
        cmocka_unit_test(without_hard_links_rename_takes_over),
        cmocka_unit_test(abort_removes_the_temporary_file),
        cmocka_unit_test(modes_honour_the_umask),
        cmocka_unit_test(wrong_places_are_named),
        cmocka_unit_test(failed_allocations_leave_nothing),
        cmocka_unit_test(reading_is_bounded),
        cmocka_unit_test(pread_is_full_or_truncated),
        cmocka_unit_test(folders_are_made_with_their_parents),
        cmocka_unit_test(paths_are_taken_apart_and_joined),
    };
    return cmocka_run_group_tests(tests, test_enter_temp_dir, test_remove_temp_dir);
}
