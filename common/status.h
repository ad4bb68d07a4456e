/* Status codes and error text: how every function of the project reports failure.
 *
 * A function that can fail returns rq_status and takes an optional `rq_err *err` as its last
 * argument. On failure it fills err with one sentence: what failed, where, why, and what to do
 * next. The first error wins: a later one does not overwrite it, so a caller may pass one
 * rq_err down through cleanup. NULL is a valid err everywhere.
 *
 *     rq_err err = {0};
 *     if (rq_dataset_open(&ds, dir, &err) != RQ_OK)
 *         fprintf(stderr, "%s\n", err.text);
 *
 * Thread rule: an rq_err belongs to one thread at a time. */
#ifndef RQ_COMMON_STATUS_H
#define RQ_COMMON_STATUS_H

#include <stdarg.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Put before a declaration whose result must be used. */
#define RQ_NODISCARD         __attribute__((warn_unused_result))
#define RQ_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* One list makes the enum, the names, the exit codes and the plain meaning.
 * X(code, exit code of a tool that ends with it, meaning) */
#define RQ_STATUS_LIST(X)                                                                      \
    X(OK, 0, "success")                                                                        \
    X(AGAIN, 70, "nothing available yet, call again")                                          \
    X(END, 0, "end of the sequence")                                                           \
    X(CANCELLED, 130, "cancelled before it was done")                                          \
    X(SAVED, 75, "stopped early with the state saved, run again to continue")                  \
    X(INVALID_ARG, 2, "an argument or option is invalid")                                      \
    X(NOT_FOUND, 3, "an input was not found")                                                  \
    X(IO, 3, "reading or writing failed")                                                      \
    X(BAD_FORMAT, 4, "the data do not follow their format")                                    \
    X(BAD_CHECKSUM, 4, "the data do not match their checksum")                                 \
    X(TRUNCATED, 4, "the data end too early")                                                  \
    X(CORRUPT_IMAGE, 4, "an image is damaged")                                                 \
    X(UNSUPPORTED, 4, "a valid input of a kind that is not supported")                         \
    X(LIMIT, 5, "a safety limit was exceeded")                                                 \
    X(NO_SPACE, 6, "no space left on the device")                                              \
    X(OOM, 6, "out of memory")                                                                 \
    X(DEVICE, 7, "a device, driver or backend is missing or failed")                           \
    X(DIVERGED, 8, "training diverged or collapsed")                                           \
    X(INTERNAL, 70, "internal error, please report it")

typedef enum rq_status {
#define RQ_STATUS_ENUM(code, exit_code, meaning) RQ_##code,
    RQ_STATUS_LIST(RQ_STATUS_ENUM)
#undef RQ_STATUS_ENUM
        RQ_STATUS_COUNT
} rq_status;

enum { RQ_ERR_TEXT_BYTES = 768 };

/* status is RQ_OK while nothing has failed; zero-initialise before use. */
typedef struct rq_err {
    rq_status status;
    int sys_errno; /* errno at the time of the failure, 0 when it was not a system call */
    char text[RQ_ERR_TEXT_BYTES];
} rq_err;

/* Forwards a failure to the caller. The only macro with control flow in the project. */
#define RQ_TRY(expr)                                                                           \
    do {                                                                                       \
        const rq_status rq_try_status_ = (expr);                                               \
        if (rq_try_status_ != RQ_OK)                                                           \
            return rq_try_status_;                                                             \
    } while (0)

/* "BAD_FORMAT"; never NULL. */
const char *rq_status_name(rq_status status);
/* The plain meaning, a phrase without full stop; never NULL. */
const char *rq_status_meaning(rq_status status);
/* Exit code of a tool that ends with this status. */
int rq_status_exit_code(rq_status status);

/* Records the failure unless err already holds one; returns `status` either way.
 * Control characters in the formatted text are replaced by '?'. */
rq_status rq_fail(rq_err *err, rq_status status, const char *fmt, ...) RQ_PRINTF(3, 4);
/* As rq_fail, from errno: chooses NOT_FOUND, NO_SPACE, OOM or IO, and appends ": strerror". */
rq_status rq_fail_errno(rq_err *err, const char *fmt, ...) RQ_PRINTF(2, 3);
/* Status that rq_fail_errno would choose for an errno value. */
rq_status rq_status_from_errno(int sys_errno);
/* Puts "prefix: " before the text of a recorded error; no effect while there is none. */
void rq_err_prefix(rq_err *err, const char *fmt, ...) RQ_PRINTF(2, 3);
/* Forgets a recorded failure. */
void rq_err_clear(rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
