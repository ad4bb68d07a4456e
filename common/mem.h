/* Checked memory: sizes that cannot overflow, alignment for SIMD rows, and the allocator that a
 * caller hands in when the memory is to be its own (pinned batches, arenas).
 *
 * Every size computed from a file goes through rq_mul_size / rq_add_size. All functions may be
 * called from any thread. Allocation failure is reported as NULL, never by abort. */
#ifndef RQ_COMMON_MEM_H
#define RQ_COMMON_MEM_H

#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Alignment of rq_alloc'ed blocks and of image rows, in bytes: one cache line, one ZMM. */
enum { RQ_ALIGN = 64 };

/* *out = a * b (or a + b); false and *out untouched on overflow. */
RQ_NODISCARD bool rq_mul_size(size_t *out, size_t a, size_t b);
RQ_NODISCARD bool rq_add_size(size_t *out, size_t a, size_t b);
/* n rounded up to a multiple of `align`, a power of two. The caller excludes overflow. */
size_t rq_round_up(size_t n, size_t align);

/* RQ_ALIGN-aligned memory, uninitialised or zeroed; count * size is checked. Zero bytes give a
 * valid pointer. NULL when out of memory. Release with rq_free. */
void *rq_alloc(size_t count, size_t size);
void *rq_calloc(size_t count, size_t size);
/* Grows *ptr (element size `size`) so that it holds at least `need` elements; *cap is its
 * capacity in elements. Keeps the content. Doubles, so repeated calls cost amortised O(1). */
RQ_NODISCARD rq_status rq_grow(void **ptr, size_t *cap, size_t need, size_t size, rq_err *err);
char *rq_strdup(const char *s);
void rq_free(void *ptr);

/* For tests: the n-th allocation from now on (1 = the next) fails, once; 0 switches it off. */
void rq_mem_fail_nth(long n);

/* Allocator given by a consumer. alloc returns memory aligned to at least RQ_ALIGN or NULL. */
typedef struct rq_allocator {
    void *cookie;
    void *(*alloc)(void *cookie, size_t bytes);
    void (*free)(void *cookie, void *ptr);
} rq_allocator;

/* rq_alloc / rq_free as an rq_allocator. */
rq_allocator rq_default_allocator(void);

/* A growing byte buffer; zero-initialise, release with rq_buf_free. */
typedef struct rq_buf {
    uint8_t *data;
    size_t size; /* bytes in use */
    size_t cap;  /* bytes allocated */
} rq_buf;

/* Appends n bytes (zeros when data is NULL). A NUL that size does not count stands behind them,
 * so that a buffer of text is a string. */
RQ_NODISCARD rq_status rq_buf_append(rq_buf *buf, const void *data, size_t n, rq_err *err);
/* Appends formatted text; the NUL is behind it here too. */
RQ_NODISCARD rq_status rq_buf_printf(rq_buf *buf, rq_err *err, const char *fmt, ...)
    RQ_PRINTF(3, 4);
/* Makes room for n bytes in all and a NUL; size is unchanged. */
RQ_NODISCARD rq_status rq_buf_reserve(rq_buf *buf, size_t n, rq_err *err);
void rq_buf_free(rq_buf *buf);

#ifdef __cplusplus
}
#endif
#endif
