/* The report of a training run: one self-contained page with the headline numbers, the curves,
 * the views it was trained on and its configuration. */
#ifndef RQ_TOOLS_REPORT_H
#define RQ_TOOLS_REPORT_H

#include "common/mem.h"
#include "common/status.h"

/* Reads RUN_DIR/metrics.jsonl and, where they are there, timing.jsonl and config.txt, and
 * appends the page. views_png: a contact sheet to show, NULL for none. Numbers that the report
 * does not know get charts of their own. NOT_FOUND without metrics.jsonl; BAD_FORMAT when no
 * line of it can be read. */
RQ_NODISCARD rq_status rq_report_html(const char *run_dir, const char *views_png, rq_buf *out,
                                      rq_err *err);

/* The command `rq-train report RUN_DIR -o report.html [--views sheet.png]`; returns an exit
 * code. */
int rq_report_command(int argc, char **argv);

#endif
