/* Pages that stand alone: text escaping, data URIs and a page frame with a light and a dark
 * look. A page made with these loads nothing from anywhere. */
#ifndef RQ_TOOLS_HTML_H
#define RQ_TOOLS_HTML_H

#include "common/mem.h"
#include "common/status.h"

/* Appends text so that it is safe between tags and inside quoted attributes: & < > " ' become
 * entities, control characters and bytes that are no UTF-8 become U+FFFD. NULL is "". */
RQ_NODISCARD rq_status rq_html_text(rq_buf *out, const char *text, rq_err *err);
/* Appends base64 (RFC 4648 section 4, padded, no line breaks). */
RQ_NODISCARD rq_status rq_html_base64(rq_buf *out, const void *data, size_t bytes, rq_err *err);
/* Appends data:MIME;base64,... */
RQ_NODISCARD rq_status rq_html_data_uri(rq_buf *out, const char *mime, const void *data,
                                        size_t bytes, rq_err *err);
/* Everything up to and including <main>; css is appended to the shared style, may be "". */
RQ_NODISCARD rq_status rq_html_begin(rq_buf *out, const char *title, const char *css,
                                     rq_err *err);
/* </main>, the script (may be "") and the end. */
RQ_NODISCARD rq_status rq_html_end(rq_buf *out, const char *script, rq_err *err);

#endif
