/* What the fuzz targets share: properties that must hold, sizes that keep a run fast, and files
 * that live in memory.
 *
 * A target is one function over bytes. It may do anything but crash, hang, leak, or break a
 * property; FUZZ_HOLDS ends the program when one is broken. A target holds no state from one
 * input to the next, so that every finding can be replayed alone. */
#ifndef RQ_TESTS_FUZZ_H
#define RQ_TESTS_FUZZ_H

#include "common/hash.h"
#include "common/mem.h"
#include "ingest/codec.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_HOLDS(property)                                                                   \
    do {                                                                                       \
        if (!(property))                                                                       \
            fuzz_broken(#property, __FILE__, __LINE__);                                        \
    } while (0)

static inline void fuzz_broken(const char *property, const char *file, int line)
{
    fprintf(stderr, "%s:%d: broken property: %s\n", file, line, property);
    abort();
}

/* A call that must succeed; says why it did not. */
#define FUZZ_OK(call, err)                                                                     \
    do {                                                                                       \
        if ((call) != RQ_OK) {                                                                 \
            fprintf(stderr, "%s\n", (err)->text);                                              \
            fuzz_broken(#call, __FILE__, __LINE__);                                            \
        }                                                                                      \
    } while (0)

/* To be called for an input that is valid to the end: the driver counts them, since a corpus
 * whose every seed is refused at the door, after a change of format say, tests nothing. */
void fuzz_note_accepted(void) __attribute__((weak));

static inline void fuzz_accepted(void)
{
    if (fuzz_note_accepted != NULL)
        fuzz_note_accepted();
}

/* A failure has a sentence, a success has none, and hostile input is never "internal". */
static inline rq_status fuzz_status(rq_status s, const rq_err *err)
{
    FUZZ_HOLDS((s == RQ_OK || s == RQ_END) == (err->text[0] == '\0'));
    FUZZ_HOLDS(s < RQ_STATUS_COUNT && s != RQ_INTERNAL && s != RQ_DEVICE);
    return s;
}

/* Small pictures: a fuzzer is to see many inputs, not large ones. The driver takes larger ones.
 */
static inline rq_limits fuzz_limits(void)
{
    rq_limits l = rq_limits_default();
    l.max_side = 4096;
    l.max_pixels = fuzz_note_accepted != NULL ? 1 << 20 : 1 << 15;
    l.max_memory_bytes = (size_t)64 << 20;
    l.max_scans = 20;
    l.max_cpu_seconds = 0; /* what is accepted must not depend on the machine */
    return l;
}

/* Copy of bytes in a block of exactly that size, so that a sanitizer sees one byte too far. */
static inline uint8_t *fuzz_copy(const void *data, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);
    FUZZ_HOLDS(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

/* A file with this content that no disk has. */
typedef struct fuzz_file {
    int fd;
    char path[40];
} fuzz_file;

static inline fuzz_file fuzz_file_make(const void *data, size_t size)
{
    fuzz_file f = {.fd = memfd_create("fuzz", MFD_CLOEXEC)};
    FUZZ_HOLDS(f.fd >= 0);
    FUZZ_HOLDS(size == 0 || write(f.fd, data, size) == (ssize_t)size);
    snprintf(f.path, sizeof f.path, "/proc/self/fd/%d", f.fd);
    return f;
}

static inline void fuzz_file_close(fuzz_file *f)
{
    close(f->fd);
}

/* The same picture: shape and every sample. */
static inline bool fuzz_same_image(const rq_image *a, const rq_image *b)
{
    if (a->pixels != b->pixels || a->width != b->width || a->height != b->height ||
        a->sub_x != b->sub_x || a->sub_y != b->sub_y)
        return false;
    for (int p = 0; p < rq_pixels_planes(a->pixels); p++) {
        for (int y = 0; y < a->plane[p].height; y++) {
            if (memcmp(a->plane[p].data + (size_t)y * a->plane[p].stride,
                       b->plane[p].data + (size_t)y * b->plane[p].stride,
                       (size_t)a->plane[p].width) != 0)
                return false;
        }
    }
    return true;
}

/* Every plane lies in the image's storage, and every sample can be read. */
static inline void fuzz_touch(const rq_image *img)
{
    unsigned sum = 0;
    FUZZ_HOLDS(img->width > 0 && img->height > 0 && img->pixels != RQ_PIXELS_NONE);
    for (int p = 0; p < rq_pixels_planes(img->pixels); p++) {
        const rq_plane *plane = &img->plane[p];
        const int sx = p == 0 ? 1 : img->sub_x, sy = p == 0 ? 1 : img->sub_y;
        FUZZ_HOLDS(plane->width == (img->width + sx - 1) / sx);
        FUZZ_HOLDS(plane->height == (img->height + sy - 1) / sy);
        FUZZ_HOLDS(plane->stride >= (size_t)plane->width && plane->stride % RQ_ALIGN == 0);
        for (int y = 0; y < plane->height; y++) {
            for (int x = 0; x < plane->width; x++)
                sum += plane->data[(size_t)y * plane->stride + (size_t)x];
        }
    }
    volatile unsigned seen = sum;
    (void)seen;
}

#endif
