/* The commands of rq-ingest, one function each: argv as rq_cli_command hands it over, the exit
 * code back; and what they share. */
#ifndef RQ_TOOLS_INGEST_COMMANDS_H
#define RQ_TOOLS_INGEST_COMMANDS_H

#include "common/file.h"
#include "tools/ingest_page.h"

#include <stdio.h>

int rq_ingest_scan(int argc, char **argv);
int rq_ingest_report(int argc, char **argv);
int rq_ingest_verify(int argc, char **argv);

/* "1 image", "1,281,167 images" */
void rq_ingest_print_count(FILE *to, uint64_t n, const char *one, const char *many);
/* "1,281,167 images · 1,000 classes · 1,281,144 ok · 23 fixed · 0 rejected" and a newline;
 * warned, duplicates and dropped only where there are some. */
void rq_ingest_print_summary(FILE *to, const rq_report_totals *t, int classes);
/* The same as members of a JSON object, without the braces. */
void rq_ingest_print_json(FILE *to, const rq_report_totals *t, int classes);
/* The first of n paths, NULLs aside, that is the same file as `path`, by its name or on disk;
 * NULL when there is none, or no path. An output must be no input. */
const char *rq_ingest_same_file(const char *path, const char *const *paths, size_t n);
/* Writes the page into a file that was opened for it, and commits that. */
RQ_NODISCARD rq_status rq_ingest_write_page(rq_ingest_page *page,
                                            const rq_report_summary *summary,
                                            rq_atomic_file **file, rq_err *err);

#endif
