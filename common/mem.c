// SPDX-License-Identifier: Apache-2.0
//
// Checked, cache-line aligned allocation and the growing buffer. Everything else in the project
// allocates through here, which lets one counter make any single allocation fail in a test. The
// counter is the only mutable global of the libraries; it is atomic and off outside of tests.
#include "common/mem.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_long fail_countdown;

void rq_mem_fail_nth(long n)
{
    atomic_store(&fail_countdown, n);
}

/* Counts one allocation; true when it is the one that has to fail. */
static bool should_fail(void)
{
    long left = atomic_load_explicit(&fail_countdown, memory_order_relaxed);
    while (left > 0) {
        if (atomic_compare_exchange_weak(&fail_countdown, &left, left - 1))
            return left == 1;
    }
    return false;
}

bool rq_mul_size(size_t *out, size_t a, size_t b)
{
    size_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *out = product;
    return true;
}

bool rq_add_size(size_t *out, size_t a, size_t b)
{
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *out = sum;
    return true;
}

size_t rq_round_up(size_t n, size_t align)
{
    return (n + align - 1) & ~(align - 1);
}

void *rq_alloc(size_t count, size_t size)
{
    size_t bytes, padded;
    if (should_fail() || !rq_mul_size(&bytes, count, size) ||
        !rq_add_size(&padded, bytes, RQ_ALIGN) || padded > PTRDIFF_MAX)
        return NULL;
    /* aligned_alloc wants a multiple of the alignment, and zero bytes a valid pointer. */
    return aligned_alloc(RQ_ALIGN, rq_round_up(bytes > 0 ? bytes : 1, RQ_ALIGN));
}

void *rq_calloc(size_t count, size_t size)
{
    void *ptr = rq_alloc(count, size);
    if (ptr != NULL)
        memset(ptr, 0, count * size);
    return ptr;
}

rq_status rq_grow(void **ptr, size_t *cap, size_t need, size_t size, rq_err *err)
{
    if (need <= *cap)
        return RQ_OK;
    size_t new_cap;
    if (!rq_mul_size(&new_cap, *cap, 2) || new_cap < need)
        new_cap = need;
    if (new_cap < 8)
        new_cap = 8;
    void *grown = rq_alloc(new_cap, size);
    if (grown == NULL)
        return rq_fail(err, RQ_OOM, "out of memory for %zu elements of %zu bytes", new_cap,
                       size);
    if (*cap > 0)
        memcpy(grown, *ptr, *cap * size);
    rq_free(*ptr);
    *ptr = grown;
    *cap = new_cap;
    return RQ_OK;
}

char *rq_strdup(const char *s)
{
    const size_t bytes = strlen(s) + 1;
    char *copy = rq_alloc(bytes, 1);
    return copy == NULL ? NULL : memcpy(copy, s, bytes);
}

void rq_free(void *ptr)
{
    free(ptr);
}

static void *default_alloc(void *cookie, size_t bytes)
{
    return rq_alloc(bytes, 1);
}

static void default_free(void *cookie, void *ptr)
{
    rq_free(ptr);
}

rq_allocator rq_default_allocator(void)
{
    return (rq_allocator){NULL, default_alloc, default_free};
}

rq_status rq_buf_reserve(rq_buf *buf, size_t n, rq_err *err)
{
    void *data = buf->data;
    size_t with_nul;
    if (!rq_add_size(&with_nul, n, 1))
        return rq_fail(err, RQ_OOM, "a buffer would outgrow the address space");
    const rq_status status = rq_grow(&data, &buf->cap, with_nul, 1, err);
    buf->data = data;
    return status;
}

rq_status rq_buf_append(rq_buf *buf, const void *data, size_t n, rq_err *err)
{
    size_t need;
    if (!rq_add_size(&need, buf->size, n))
        return rq_fail(err, RQ_OOM, "a buffer would outgrow the address space");
    RQ_TRY(rq_buf_reserve(buf, need, err));
    if (n > 0 && data != NULL)
        memcpy(buf->data + buf->size, data, n);
    else if (n > 0)
        memset(buf->data + buf->size, 0, n);
    buf->size = need;
    buf->data[need] = '\0';
    return RQ_OK;
}

rq_status rq_buf_printf(rq_buf *buf, rq_err *err, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    size_t need;
    if (n < 0 || !rq_add_size(&need, buf->size, (size_t)n))
        return rq_fail(err, RQ_INTERNAL, "a text could not be formatted");
    RQ_TRY(rq_buf_reserve(buf, need, err));
    va_start(args, fmt);
    vsnprintf((char *)buf->data + buf->size, (size_t)n + 1, fmt, args);
    va_end(args);
    buf->size += (size_t)n;
    return RQ_OK;
}

void rq_buf_free(rq_buf *buf)
{
    rq_free(buf->data);
    *buf = (rq_buf){0};
}
