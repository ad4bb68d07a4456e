/* Packed samples back to files. */
#ifndef RQ_PACK_UNPACK_H
#define RQ_PACK_UNPACK_H

#include "pack/dataset.h"

#include <signal.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rq_unpack_opts {
    const char *masks; /* folder for the masks, CLASS/FILE.pgm, with "+ID" behind FILE when
                        * images share it; NULL: masks are not written */
    bool replace;      /* existing files may be replaced; default false */
    void (*progress)(void *cookie, uint64_t done, uint64_t total, uint64_t bytes);
    void *progress_cookie;
    const volatile sig_atomic_t *cancel; /* may be NULL */
} rq_unpack_opts;

typedef struct rq_unpack_result {
    uint64_t images, masks, bytes;
} rq_unpack_result;

/* Writes every image to DIR/CLASS/FILE, as a file that other programs read: `jpeg`, `avif` and
 * `ppm` as they are stored, `dct` as a JPEG with the same coefficients, `raw` as a PNG. It gets
 * its name in the source, byte for byte, when it was a file of that kind there, and the stem of
 * that name with .jpg, .avif, .ppm, .pgm or .png when it was not. A name that could leave the
 * folder is replaced by the sample's key; where another sample shares the stem, "+ID" follows
 * it. Each file appears complete; the whole is durable when the call returns. INVALID_ARG when
 * a file exists and `replace` is false. */
RQ_NODISCARD rq_status rq_unpack(const rq_dataset *ds, const char *dir,
                                 const rq_unpack_opts *opts, rq_unpack_result *result,
                                 rq_err *err);

/* The path below DIR that an image gets. name and codec are those of KEY.json, may be NULL.
 * Exposed for tests. `out` of at least 4,200 bytes. */
void rq_unpack_name(char *out, size_t out_bytes, const char *name, const char *codec,
                    const rq_sample *sample);

#ifdef __cplusplus
}
#endif
#endif
