/* Tables out of MATLAB 5 files (.mat): just enough to read an ImageNet devkit's meta.mat.
 *
 * A table is a struct array variable; its rows are visited field by field. Values that are
 * neither text nor real numbers come with count 0. Little-endian files of version 5, plain or
 * with zlib-compressed variables; every length is checked against what is there. The format is
 * "MAT-File Format", MathWorks, chapter 1. */
#ifndef RQ_INGEST_MATFILE_H
#define RQ_INGEST_MATFILE_H

#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    RQ_MAT_TEXT_MAX = 4096,         /* bytes of one text as UTF-8; longer ones are cut */
    RQ_MAT_INFLATED_MAX = 64 << 20, /* bytes of all compressed variables that are looked at */
    RQ_MAT_ROWS_MAX = 1 << 16,
    RQ_MAT_FIELDS_MAX = 256
};

typedef struct rq_mat_value {
    bool is_text;
    const char *text; /* with is_text: UTF-8, valid during the visit */
    double number;    /* otherwise: the first element */
    size_t count;     /* elements: characters, or numbers */
} rq_mat_value;

typedef rq_status (*rq_mat_visit)(void *cookie, size_t row, const char *field,
                                  const rq_mat_value *value, rq_err *err);

/* Whether the bytes begin as a MAT file of any version does. */
bool rq_mat_sniff(const void *data, size_t bytes);

/* Visits the struct array `variable`, row by row in storage order. NOT_FOUND when there is no
 * such variable; UNSUPPORTED for other versions and byte orders; BAD_FORMAT, TRUNCATED, LIMIT;
 * what `visit` returns when it is not OK. `name` is the file's, for messages. */
RQ_NODISCARD rq_status rq_mat_read_struct(const void *data, size_t bytes, const char *name,
                                          const char *variable, rq_mat_visit visit,
                                          void *cookie, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
