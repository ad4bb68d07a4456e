// SPDX-License-Identifier: Apache-2.0
// The journal of a build: text, a JSON object and its hash in each line, the settings first and
// then a line for each finished shard. A line without its hash, which is what a power cut
// leaves, ends it. The report is kept beside it as a draft; a point knows how long it was and a
// hash chained over its lines.
#include "pack/journal.h"

#include "common/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FORMAT_NAME "reliquary-build"
enum { VERSION = 1, SEAL_BYTES = 18, FLUSH_BYTES = 64 << 10, MAX_JOURNAL_BYTES = 128 << 20 };

static const int64_t MAX_NUMBER = INT64_C(1) << 53;

struct rq_journal {
    const rq_folder *folder;
    rq_buf head; // the first line
    rq_build_point *points;
    size_t n, cap;
    int fd, report_fd;
    char *path, *report_path; // for messages
    rq_buf pending;           // lines of the report, not written yet
    uint64_t report_bytes, report_hash;
};

// "TAB, 16 digits, newline" behind a line.
static rq_status seal_line(rq_buf *out, size_t start, rq_err *err)
{
    return rq_buf_printf(out, err, "\t%016" PRIx64 "\n",
                         rq_xxh3(out->data + start, out->size - start));
}

static uint64_t chain(uint64_t hash, const void *bytes, size_t n)
{
    const uint64_t both[2] = {hash, rq_xxh3(bytes, n)};
    return rq_xxh3(both, sizeof both);
}

/* ---- lines ------------------------------------------------------------------------------- */

static rq_status put_head(rq_journal *j, const rq_settings *settings, rq_err *err)
{
    RQ_TRY(rq_buf_printf(&j->head, err, "{\"format\": \"%s\", \"version\": %d, \"settings\": ",
                         FORMAT_NAME, VERSION));
    RQ_TRY(rq_settings_encode(settings, &j->head, err));
    RQ_TRY(rq_buf_append(&j->head, "}", 1, err));
    return seal_line(&j->head, 0, err);
}

static rq_status put_point(rq_buf *out, size_t number, const rq_build_point *p, rq_err *err)
{
    const size_t start = out->size;
    RQ_TRY(rq_buf_printf(out, err,
                         "{\"shard\": %zu, \"bytes\": %" PRIu64 ", \"samples\": %" PRIu64
                         ", \"index\": \"%016" PRIx64
                         "\", \"sha256\": \"%s\", \"records\": %" PRIu64
                         ", \"seen_bytes\": %" PRIu64 ", \"packed\": %" PRIu64,
                         number, p->shard.bytes, p->shard.samples, p->shard.index_hash,
                         p->shard.sha256, p->records, p->seen_bytes, p->counts.samples));
    for (int k = 0; k < RQ_VERDICT_COUNT; k++)
        RQ_TRY(rq_buf_printf(out, err, ", \"%s\": %" PRIu64,
                             rq_verdict_name((rq_verdict_kind)k), p->counts.verdicts[k]));
    RQ_TRY(rq_buf_printf(
        out, err,
        ", \"fallbacks\": %" PRIu64 ", \"masks\": %" PRIu64 ", \"bad_masks\": %" PRIu64
        ", \"duplicates\": %" PRIu64 ", \"dropped\": %" PRIu64 ", \"source_bytes\": %" PRIu64
        ", \"report_bytes\": %" PRIu64 ", \"report\": \"%016" PRIx64 "\"}",
        p->counts.fallbacks, p->counts.masks, p->counts.bad_masks, p->counts.duplicates,
        p->counts.dropped, p->counts.source_bytes, p->report_bytes, p->report_hash));
    return seal_line(out, start, err);
}

static rq_status get_u64(const cJSON *obj, const char *key, uint64_t *out, rq_err *err)
{
    int64_t v;
    RQ_TRY(rq_json_get_int(obj, key, 0, MAX_NUMBER, &v, "the journal", err));
    *out = (uint64_t)v;
    return RQ_OK;
}

static rq_status get_hash(const cJSON *obj, const char *key, uint64_t *out, rq_err *err)
{
    const char *text;
    RQ_TRY(rq_json_get_string(obj, key, &text, "the journal", err));
    if (strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16)
        return rq_fail(err, RQ_BAD_FORMAT, "the journal: '%s' is no hash", key);
    *out = strtoull(text, NULL, 16);
    return RQ_OK;
}

static rq_status get_point(const cJSON *obj, size_t number, rq_build_point *p, rq_err *err)
{
    uint64_t shard;
    const char *sha;
    RQ_TRY(get_u64(obj, "shard", &shard, err));
    RQ_TRY(get_u64(obj, "bytes", &p->shard.bytes, err));
    RQ_TRY(get_u64(obj, "samples", &p->shard.samples, err));
    RQ_TRY(get_hash(obj, "index", &p->shard.index_hash, err));
    RQ_TRY(rq_json_get_string(obj, "sha256", &sha, "the journal", err));
    RQ_TRY(get_u64(obj, "records", &p->records, err));
    RQ_TRY(get_u64(obj, "seen_bytes", &p->seen_bytes, err));
    RQ_TRY(get_u64(obj, "packed", &p->counts.samples, err));
    for (int k = 0; k < RQ_VERDICT_COUNT; k++)
        RQ_TRY(get_u64(obj, rq_verdict_name((rq_verdict_kind)k), &p->counts.verdicts[k], err));
    RQ_TRY(get_u64(obj, "fallbacks", &p->counts.fallbacks, err));
    RQ_TRY(get_u64(obj, "masks", &p->counts.masks, err));
    RQ_TRY(get_u64(obj, "bad_masks", &p->counts.bad_masks, err));
    RQ_TRY(get_u64(obj, "duplicates", &p->counts.duplicates, err));
    RQ_TRY(get_u64(obj, "dropped", &p->counts.dropped, err));
    RQ_TRY(get_u64(obj, "source_bytes", &p->counts.source_bytes, err));
    RQ_TRY(get_u64(obj, "report_bytes", &p->report_bytes, err));
    RQ_TRY(get_hash(obj, "report", &p->report_hash, err));
    if (shard != number || strlen(sha) != RQ_SHA256_HEX - 1)
        return rq_fail(err, RQ_BAD_FORMAT, "the journal: a line is out of place");
    memcpy(p->shard.sha256, sha, RQ_SHA256_HEX);
    return RQ_OK;
}

// The next line whose seal is right, without it; NULL at the end of the sound ones.
static const char *next_line(const rq_buf *text, size_t *at, size_t *bytes)
{
    const char *line = (const char *)text->data + *at;
    const char *end = memchr(line, '\n', text->size - *at);
    if (!end || end - line < SEAL_BYTES)
        return NULL;
    char seal[SEAL_BYTES + 1];
    *bytes = (size_t)(end + 1 - line) - SEAL_BYTES;
    snprintf(seal, sizeof seal, "\t%016" PRIx64 "\n", rq_xxh3(line, *bytes));
    if (memcmp(seal, line + *bytes, SEAL_BYTES) != 0)
        return NULL;
    *at += *bytes + SEAL_BYTES;
    return line;
}

/* ---- opening ----------------------------------------------------------------------------- */

// The settings of the journal against ours.
static rq_status compare_head(const char *line, size_t bytes, const rq_settings *ours,
                              const rq_folder *f, rq_err *err)
{
    cJSON *json;
    rq_settings was = {0};
    char difference[400];
    RQ_TRY(rq_json_parse(&json, line, bytes, "the journal", err));
    rq_status st = rq_settings_parse(&was, cJSON_GetObjectItemCaseSensitive(json, "settings"),
                                     "the journal", err);
    if (st == RQ_OK && !rq_settings_equal(&was, ours, difference, sizeof difference))
        st = rq_fail(err, RQ_INVALID_ARG,
                     "'%s' holds an unfinished build of another command (%s); run that command "
                     "again to finish it, or give --force to start over",
                     f->path, difference);
    rq_settings_free(&was);
    cJSON_Delete(json);
    return st;
}

static rq_status take_points(rq_journal *j, const rq_buf *text, size_t at, rq_err *err)
{
    const char *line;
    size_t bytes;
    while ((line = next_line(text, &at, &bytes)) != NULL && j->n < RQ_MAX_SHARDS) {
        cJSON *json;
        rq_build_point p = {0};
        RQ_TRY(rq_json_parse(&json, line, bytes, "the journal", err));
        rq_status st = get_point(json, j->n, &p, err);
        cJSON_Delete(json);
        if (st == RQ_OK)
            st = rq_grow((void **)&j->points, &j->cap, j->n + 1, sizeof *j->points, err);
        RQ_TRY(st);
        j->points[j->n++] = p;
    }
    return RQ_OK;
}

static rq_status read_journal(rq_journal *j, const rq_settings *settings, rq_err *err)
{
    rq_buf text = {0};
    size_t at = 0, bytes;
    rq_status st = rq_file_read(j->path, MAX_JOURNAL_BYTES, &text, err);
    if (st == RQ_OK) {
        const char *line = next_line(&text, &at, &bytes);
        if (!line)
            st = rq_fail(err, RQ_INVALID_ARG,
                         "'%s' holds an unfinished build whose journal is damaged; give "
                         "--force to start over",
                         j->folder->path);
        else
            st = compare_head(line, bytes, settings, j->folder, err);
    }
    if (st == RQ_OK)
        st = take_points(j, &text, at, err);
    rq_buf_free(&text);
    return st;
}

// Keeps the points whose report is there: the draft is read from its beginning, hashed line by
// line as it was written.
static rq_status check_report(rq_journal *j, rq_err *err)
{
    const char *path = j->report_path;
    FILE *file = fopen(path, "rbe");
    char *line = NULL;
    size_t cap = 0, sound = 0;
    uint64_t at = 0, hash = 0;
    if (!file)
        return rq_fail_errno(err, "cannot open '%s'", path);
    while (sound < j->n) {
        while (sound < j->n && j->points[sound].report_bytes == at &&
               j->points[sound].report_hash == hash)
            sound++;
        const ssize_t n = getline(&line, &cap, file);
        if (n <= 0)
            break;
        hash = chain(hash, line, (size_t)n);
        at += (uint64_t)n;
    }
    const bool failed = ferror(file) != 0;
    free(line);
    fclose(file);
    if (failed)
        return rq_fail(err, RQ_IO, "cannot read '%s'", path);
    j->n = sound;
    return RQ_OK;
}

rq_status rq_journal_open(rq_journal **out, const rq_folder *f, const rq_settings *settings,
                          bool replace, size_t *points, rq_err *err)
{
    *out = NULL;
    rq_journal *j = rq_calloc(1, sizeof *j);
    if (!j)
        return rq_fail(err, RQ_OOM, "out of memory for the journal");
    *j = (rq_journal){.folder = f, .fd = -1, .report_fd = -1};
    j->path = rq_path_join(f->path, f->journal);
    j->report_path = rq_path_join(f->path, f->draft);
    rq_status st = j->path && j->report_path
                       ? put_head(j, settings, err)
                       : rq_fail(err, RQ_OOM, "out of memory for the journal");
    if (st == RQ_OK && rq_folder_has(f, f->journal)) {
        rq_err inner = {0};
        st = read_journal(j, settings, &inner);
        if (st != RQ_OK && st != RQ_OOM && replace) {
            st = RQ_OK;
            j->n = 0;
        } else if (st != RQ_OK)
            st = rq_fail(err, st, "%s", inner.text);
    }
    if (st == RQ_OK && !rq_folder_has(f, f->draft))
        j->n = 0;
    if (st == RQ_OK && j->n)
        st = check_report(j, err);
    if (st != RQ_OK)
        rq_journal_close(&j);
    else
        *points = j->n;
    *out = j;
    return st;
}

const rq_build_point *rq_journal_point(const rq_journal *j, size_t i)
{
    return i < j->n ? &j->points[i] : NULL;
}

rq_status rq_journal_keep(rq_journal *j, size_t points, rq_err *err)
{
    rq_buf text = {0};
    j->n = points;
    j->report_bytes = points ? j->points[points - 1].report_bytes : 0;
    j->report_hash = points ? j->points[points - 1].report_hash : 0;
    rq_status st = rq_buf_append(&text, j->head.data, j->head.size, err);
    for (size_t i = 0; i < points && st == RQ_OK; i++)
        st = put_point(&text, i, &j->points[i], err);
    if (st == RQ_OK)
        st = rq_file_write_atomic(j->path, text.data, text.size, err);
    rq_buf_free(&text);
    RQ_TRY(st);
    j->fd = open(j->path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (j->fd < 0)
        return rq_fail_errno(err, "cannot open '%s'", j->path);
    j->report_fd = open(j->report_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (j->report_fd < 0)
        return rq_fail_errno(err, "cannot create '%s'", j->report_path);
    if (ftruncate(j->report_fd, (off_t)j->report_bytes) != 0)
        return rq_fail_errno(err, "cannot cut '%s'", j->report_path);
    return RQ_OK;
}

/* ---- adding ------------------------------------------------------------------------------ */

static rq_status flush_report(rq_journal *j, rq_err *err)
{
    RQ_TRY(rq_write_full(j->report_fd, j->pending.data, j->pending.size, j->report_path, err));
    j->pending.size = 0;
    return RQ_OK;
}

static rq_status sync_fd(int fd, const char *path, rq_err *err)
{
    int rc;
    do
        rc = fsync(fd);
    while (rc != 0 && errno == EINTR);
    return rc == 0 ? RQ_OK : rq_fail_errno(err, "cannot flush '%s'", path);
}

rq_status rq_journal_report(rq_journal *j, const void *lines, size_t bytes, rq_err *err)
{
    const char *at = lines, *end = at + bytes;
    RQ_TRY(rq_buf_append(&j->pending, lines, bytes, err));
    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        const size_t n = (size_t)((line_end ? line_end + 1 : end) - at);
        j->report_hash = chain(j->report_hash, at, n);
        j->report_bytes += n;
        at += n;
    }
    return j->pending.size >= FLUSH_BYTES ? flush_report(j, err) : RQ_OK;
}

rq_status rq_journal_add(rq_journal *j, const rq_build_point *p, rq_err *err)
{
    RQ_TRY(flush_report(j, err));
    RQ_TRY(sync_fd(j->report_fd, j->report_path, err));
    RQ_TRY(rq_grow((void **)&j->points, &j->cap, j->n + 1, sizeof *j->points, err));
    rq_build_point *own = &j->points[j->n];
    *own = *p;
    own->shard.file = NULL;
    own->report_bytes = j->report_bytes;
    own->report_hash = j->report_hash;
    rq_buf line = {0};
    rq_status st = put_point(&line, j->n, own, err);
    if (st == RQ_OK)
        st = rq_write_full(j->fd, line.data, line.size, j->path, err);
    rq_buf_free(&line);
    RQ_TRY(st);
    RQ_TRY(sync_fd(j->fd, j->path, err));
    j->n++;
    return RQ_OK;
}

rq_status rq_journal_flush(rq_journal *j, const char **path, rq_err *err)
{
    *path = j->report_path;
    return flush_report(j, err);
}

rq_status rq_journal_remove(const rq_folder *f, rq_err *err)
{
    char draft[RQ_MAX_FILE_BYTES + 8];
    RQ_TRY(rq_folder_remove(f, f->journal, err));
    RQ_TRY(rq_folder_remove(f, f->draft, err));
    snprintf(draft, sizeof draft, "%s.new", f->report);
    RQ_TRY(rq_folder_remove(f, draft, err));
    snprintf(draft, sizeof draft, "%s.new", f->manifest);
    return rq_folder_remove(f, draft, err);
}

void rq_journal_close(rq_journal **j)
{
    if (!*j)
        return;
    if ((*j)->fd >= 0)
        close((*j)->fd);
    if ((*j)->report_fd >= 0)
        close((*j)->report_fd);
    rq_buf_free(&(*j)->head);
    rq_buf_free(&(*j)->pending);
    rq_free((*j)->points);
    rq_free((*j)->path);
    rq_free((*j)->report_path);
    rq_free(*j);
    *j = NULL;
}
