// SPDX-License-Identifier: Apache-2.0
//
// Progress and every other line on stderr. A lock keeps log lines of worker threads and the
// progress line apart. The rate is taken over the last seconds and counts from the first
// update, so that a continued run does not claim the speed of what was done before it.
#include "tools/cli_internal.h"

#include "common/clock.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { HISTORY = 16, LINE_BYTES = 320 };

static const uint64_t redraw_ns = 1000000000u / 6, sample_ns = 1000000000u,
                      plain_ns = 60 * UINT64_C(1000000000);

typedef struct sample {
    uint64_t ns, done, bytes;
} sample;

static struct progress {
    bool active, drawn;
    char what[48], unit[24], extra[96];
    uint64_t total, done, bytes;
    uint64_t begin_ns, last_draw_ns;
    sample first, history[HISTORY]; /* a ring, one entry a second */
    unsigned n_samples;
    unsigned next_tenth;
    int width; /* of the line on the terminal */
} progress;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

char *rq_format_count(char *buf, uint64_t n)
{
    char digits[24];
    const int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
    char *to = buf;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
    return buf;
}

char *rq_format_bytes(char *buf, double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    int unit = 0;
    /* 1023.96 KiB would print as 1024.0. */
    while (bytes >= (unit == 0 ? 1024 : 1023.95) && unit < 6) {
        bytes /= 1024;
        unit++;
    }
    char number[16];
    snprintf(number, sizeof number, "%.1f", bytes);
    const size_t n = strlen(number);
    if (n > 2 && strcmp(number + n - 2, ".0") == 0)
        number[n - 2] = '\0';
    snprintf(buf, 32, "%s %s", number, units[unit]);
    return buf;
}

static int terminal_columns(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 8 ? size.ws_col : 80;
}

/* Overwrites the progress line with blanks: works on terminals without escape codes. */
static void erase(void)
{
    if (progress.drawn)
        fprintf(stderr, "\r%*s\r", progress.width, "");
    progress.drawn = false;
}

static void draw(const char *line)
{
    const int columns = terminal_columns() - 1;
    const int old = progress.drawn ? progress.width : 0;
    int n = (int)strlen(line);
    n = n < columns ? n : columns;
    fprintf(stderr, "\r%.*s%*s", n, line, old > n ? old - n : 0, "");
    fflush(stderr);
    progress.width = n;
    progress.drawn = true;
}

void rq_cli_line(const char *prefix, const char *text)
{
    pthread_mutex_lock(&lock);
    erase();
    fprintf(stderr, "%s%s\n", prefix, text);
    pthread_mutex_unlock(&lock);
}

static void append(char *line, const char *separator, const char *text)
{
    const size_t used = strlen(line);
    snprintf(line + used, LINE_BYTES - used, "%s%s", used > 0 ? separator : "", text);
}

/* "1,234 images/s, 45.2 MiB/s" between two samples; empty while there is nothing to tell.
 * Returns the rate in units per second. */
static double format_rate(char *text, size_t text_bytes, const sample *a, const sample *b)
{
    char count[32], bytes[32];
    const double seconds = (double)(b->ns - a->ns) * 1e-9;
    const double rate = seconds > 0 ? (double)(b->done - a->done) / seconds : 0;
    const double byte_rate = seconds > 0 ? (double)(b->bytes - a->bytes) / seconds : 0;
    text[0] = '\0';
    if (rate <= 0)
        return 0;
    if (rate >= 100)
        rq_format_count(count, (uint64_t)rate);
    else
        snprintf(count, sizeof count, "%.3g", rate);
    snprintf(text, text_bytes, "%s %s/s%s%s%s", count, progress.unit, byte_rate > 0 ? ", " : "",
             byte_rate > 0 ? rq_format_bytes(bytes, byte_rate) : "", byte_rate > 0 ? "/s" : "");
    return rate;
}

static void format_line(char line[LINE_BYTES], const sample *now)
{
    char done[32], total[32], text[160];
    line[0] = '\0';
    rq_format_count(done, progress.done);
    if (progress.total > 0)
        snprintf(text, sizeof text, "%s: %s of %s %s (%d %%)", progress.what, done,
                 rq_format_count(total, progress.total), progress.unit,
                 (int)(100.0 * (double)progress.done / (double)progress.total));
    else
        snprintf(text, sizeof text, "%s: %s %s", progress.what, done, progress.unit);
    append(line, "", text);
    const unsigned n = progress.n_samples;
    const sample *oldest = n > HISTORY ? &progress.history[n % HISTORY] : &progress.first;
    const double rate = format_rate(text, sizeof text, oldest, now);
    if (rate > 0)
        append(line, ", ", text);
    if (rate > 0 && progress.total > progress.done) {
        char left[32];
        rq_format_duration(left, sizeof left, (double)(progress.total - progress.done) / rate);
        append(line, ", ", left);
        append(line, " ", "left");
    }
    if (progress.extra[0] != '\0')
        append(line, ", ", progress.extra);
}

void rq_progress_begin(const char *what, const char *unit, uint64_t total)
{
    pthread_mutex_lock(&lock);
    memset(&progress, 0, sizeof progress);
    progress.active = rq_progress_wanted;
    progress.total = total;
    progress.begin_ns = progress.last_draw_ns = rq_clock_ns();
    snprintf(progress.what, sizeof progress.what, "%s", what);
    snprintf(progress.unit, sizeof progress.unit, "%s", unit);
    pthread_mutex_unlock(&lock);
}

static void remember(const sample *now)
{
    if (progress.n_samples == 0) {
        progress.first = *now;
        if (progress.total > 0 && now->done < progress.total)
            progress.next_tenth = (unsigned)(10 * now->done / progress.total) + 1;
    }
    const sample *last = &progress.history[(progress.n_samples + HISTORY - 1) % HISTORY];
    if (progress.n_samples == 0 || now->ns - last->ns >= sample_ns)
        progress.history[progress.n_samples++ % HISTORY] = *now;
}

/* Away from a terminal: a line for each tenth, or each minute of an unknown total. */
static bool plain_line_is_due(uint64_t now_ns)
{
    if (progress.total == 0)
        return now_ns - progress.last_draw_ns >= plain_ns;
    const unsigned tenth = (unsigned)(10 * progress.done / progress.total);
    if (tenth < progress.next_tenth || tenth >= 10)
        return false;
    progress.next_tenth = tenth + 1;
    return true;
}

void rq_progress_update(uint64_t done, uint64_t bytes, const char *extra)
{
    pthread_mutex_lock(&lock);
    if (progress.active) {
        const sample now = {rq_clock_ns(), done, bytes};
        progress.done = done;
        progress.bytes = bytes;
        snprintf(progress.extra, sizeof progress.extra, "%s", extra == NULL ? "" : extra);
        remember(&now);
        char line[LINE_BYTES];
        if (rq_cli.progress ? now.ns - progress.last_draw_ns >= redraw_ns
                            : plain_line_is_due(now.ns)) {
            format_line(line, &now);
            if (rq_cli.progress)
                draw(line);
            else
                fprintf(stderr, "%s\n", line);
            progress.last_draw_ns = now.ns;
        }
    }
    pthread_mutex_unlock(&lock);
}

void rq_progress_end(void)
{
    pthread_mutex_lock(&lock);
    if (progress.active) {
        char count[32], took[32], rate[160];
        const sample end = {rq_clock_ns(), progress.done, progress.bytes};
        format_rate(rate, sizeof rate, &progress.first, &end);
        rq_format_duration(took, sizeof took, (double)(end.ns - progress.begin_ns) * 1e-9);
        erase();
        fprintf(stderr, "%s: %s %s in %s%s%s\n", progress.what,
                rq_format_count(count, progress.done), progress.unit, took, rate[0] ? ", " : "",
                rate);
    }
    progress.active = false;
    pthread_mutex_unlock(&lock);
}
