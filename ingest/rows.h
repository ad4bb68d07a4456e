/* Text files of names and labels: label files, lists of images, lists of names to leave out.
 *
 * A line is "NAME" or "NAME LABEL", the same in the whole file. The two are separated by the
 * line's last tab when every line has one; else by its last comma when every line has one; else
 * by its last blank when every line has one and nothing behind it looks like a path. Otherwise
 * every line is one name. A CSV name in double quotes is what they hold ("" for "). Empty lines
 * and lines that begin with # are skipped, as are a byte order mark, blanks around both parts,
 * CR, and a first line of column titles (ImageId, filename, path, ...). With the titles
 * "ImageId,PredictionString" it is Kaggle's: the label is the first word behind the comma. */
#ifndef RQ_INGEST_ROWS_H
#define RQ_INGEST_ROWS_H

#include "common/mem.h"
#include "common/status.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    RQ_ROWS_LABEL_MAX = (1 << 20) - 1, /* the largest integer label */
    RQ_ROWS_LINE_MAX = 8192,
    RQ_ROWS_FILE_MAX = 1 << 30 /* bytes of such a file */
};

typedef struct rq_row {
    char *name;
    char *label; /* NULL when the file is not paired */
    uint64_t line;
} rq_row;

/* Owns its text; zero-initialise, release with rq_rows_free. */
typedef struct rq_rows {
    rq_row *rows;
    size_t n, cap;
    bool paired;
    rq_buf text;
} rq_rows;

typedef enum rq_rows_kind {
    RQ_ROWS_AUTO, /* names or pairs */
    RQ_ROWS_NAMES /* every line is one name, whatever is in it; no titles */
} rq_rows_kind;

/* Reads a regular file of at most RQ_ROWS_FILE_MAX bytes. BAD_FORMAT names the line: bytes of
 * zero, an empty part of a pair. LIMIT: a line of RQ_ROWS_LINE_MAX bytes. */
RQ_NODISCARD rq_status rq_rows_read(rq_rows *out, const char *path, rq_rows_kind kind,
                                    rq_err *err);
/* The same from memory; the text is taken over (and cut up), also on failure. */
RQ_NODISCARD rq_status rq_rows_parse(rq_rows *out, rq_buf *text, rq_rows_kind kind,
                                     const char *name, rq_err *err);
void rq_rows_free(rq_rows *r);

/* "17" -> 17; -1 when the text is no integer in [0, RQ_ROWS_LABEL_MAX]. */
int rq_label_number(const char *text);

/* As rq_file_read, but never waits for a pipe or device: those are NOT_FOUND. */
RQ_NODISCARD rq_status rq_read_regular(const char *path, size_t max_bytes, rq_buf *buf,
                                       rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
