// SPDX-License-Identifier: Apache-2.0
//
// What the pages written by rq-dump and rq-train share. Names inside a page come from archives,
// so everything that is not a literal goes through rq_html_text. The content policy in the page
// head makes a browser refuse any load that is not a data URI, should an escape be missed.
#include "tools/html.h"

#include <string.h>

static const char base_css[] =
    ":root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#16181d;--dim:#667085;"
    "--line:#e3e6eb;--accent:#2456d6;--good:#137a4b;--warn:#a15c07}"
    "@media(prefers-color-scheme:dark){:root{--bg:#101216;--card:#181b21;--ink:#e8eaee;"
    "--dim:#98a1b0;--line:#2a2f38;--accent:#7ea6ff;--good:#4cc38a;--warn:#e5a54b}}"
    "*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);"
    "font:14px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}"
    "main{max-width:1900px;margin:0 auto;padding:28px 28px 64px}"
    "h1{font-size:22px;font-weight:650;letter-spacing:-.01em;margin:0 0 4px}"
    "h2{font-size:15px;font-weight:650;margin:0}"
    ".dim{color:var(--dim)}code,.mono{font-family:ui-monospace,SFMono-Regular,Menlo,"
    "'DejaVu Sans Mono',monospace;font-size:12px}"
    ".card{background:var(--card);border:1px solid var(--line);border-radius:10px;"
    "padding:18px;margin-top:18px}"
    "pre{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:10px "
    "12px;"
    "margin:12px 0 0;overflow-x:auto;white-space:pre-wrap}"
    "button{font:inherit;font-size:12px;color:var(--accent);background:none;"
    "border:1px solid var(--line);border-radius:6px;padding:2px 9px;cursor:pointer}"
    "button:hover{border-color:var(--accent)}"
    "footer{margin-top:28px;color:var(--dim);font-size:12px}\n";

/* Length of the well-formed UTF-8 sequence at s, 0 if there is none (RFC 3629). */
static size_t utf8_length(const unsigned char *s)
{
    if (s[0] < 0x80)
        return 1;
    const size_t n = s[0] >= 0xC2 && s[0] <= 0xDF   ? 2
                     : (s[0] & 0xF0) == 0xE0        ? 3
                     : s[0] >= 0xF0 && s[0] <= 0xF4 ? 4
                                                    : 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xC0) != 0x80)
            return 0;
    if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F) ||
        (s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F))
        return 0;
    return n;
}

static const char *entity(unsigned char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    case '\n':
        return "\n";
    default:
        return c < 32 || c == 127 ? "\xEF\xBF\xBD" : NULL;
    }
}

rq_status rq_html_text(rq_buf *out, const char *text, rq_err *err)
{
    const unsigned char *s = (const unsigned char *)(text == NULL ? "" : text);
    while (*s) {
        const size_t n = utf8_length(s);
        const char *replaced = n == 0 ? "\xEF\xBF\xBD" : n == 1 ? entity(*s) : NULL;
        if (replaced != NULL)
            RQ_TRY(rq_buf_append(out, replaced, strlen(replaced), err));
        else
            RQ_TRY(rq_buf_append(out, s, n, err));
        s += n == 0 ? 1 : n;
    }
    return RQ_OK;
}

rq_status rq_html_base64(rq_buf *out, const void *data, size_t bytes, rq_err *err)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t need;
    if (!rq_mul_size(&need, bytes / 3 + 1, 4) || !rq_add_size(&need, need, out->size + 1))
        return rq_fail(err, RQ_LIMIT, "%zu bytes are too many for a page", bytes);
    RQ_TRY(rq_buf_reserve(out, need, err));
    const uint8_t *s = data;
    uint8_t *d = out->data + out->size;
    for (size_t i = 0; i < bytes; i += 3) {
        const size_t left = bytes - i;
        const uint32_t v = (uint32_t)s[i] << 16 | (left > 1 ? (uint32_t)s[i + 1] << 8 : 0) |
                           (left > 2 ? (uint32_t)s[i + 2] : 0);
        *d++ = (uint8_t)digits[v >> 18];
        *d++ = (uint8_t)digits[v >> 12 & 63];
        *d++ = left > 1 ? (uint8_t)digits[v >> 6 & 63] : '=';
        *d++ = left > 2 ? (uint8_t)digits[v & 63] : '=';
    }
    out->size = (size_t)(d - out->data);
    return RQ_OK;
}

rq_status rq_html_data_uri(rq_buf *out, const char *mime, const void *data, size_t bytes,
                           rq_err *err)
{
    RQ_TRY(rq_buf_printf(out, err, "data:%s;base64,", mime));
    return rq_html_base64(out, data, bytes, err);
}

static rq_status put(rq_buf *out, const char *literal, rq_err *err)
{
    return rq_buf_append(out, literal, strlen(literal), err);
}

rq_status rq_html_begin(rq_buf *out, const char *title, const char *css, rq_err *err)
{
    RQ_TRY(put(out,
               "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
               "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
               "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
               "img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n"
               "<title>",
               err));
    RQ_TRY(rq_html_text(out, title, err));
    RQ_TRY(put(out, "</title>\n<style>\n", err));
    RQ_TRY(put(out, base_css, err));
    RQ_TRY(put(out, css, err));
    return put(out, "</style></head>\n<body><main>\n", err);
}

rq_status rq_html_end(rq_buf *out, const char *script, rq_err *err)
{
    RQ_TRY(put(out, "</main>\n", err));
    if (script[0] != '\0') {
        RQ_TRY(put(out, "<script>\n", err));
        RQ_TRY(put(out, script, err));
        RQ_TRY(put(out, "</script>\n", err));
    }
    return put(out, "</body></html>\n", err);
}
