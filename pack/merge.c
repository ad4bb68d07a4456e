// SPDX-License-Identifier: Apache-2.0
// Parts to one dataset. Everything is checked before anything is written; then come the shards,
// if they lie elsewhere, then the report, and dataset.json last. The parts' own manifests stay:
// they say who packed what, and let a merge be repeated.
#include "pack/merge.h"

#include "common/file.h"
#include "ingest/report.h"
#include "pack/carry.h"
#include "pack/folder.h"
#include "pack/shard.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct part {
    const char *dir; // borrowed
    rq_manifest m;
    char sha256[RQ_SHA256_HEX];
    bool there;
} part;

typedef struct merge {
    const rq_merge_opts *opts;
    rq_merge_result *result;
    const char *out;
    bool out_listed; // `out` is one of the folders given
    part *parts;     // [count], by index
    size_t count;
    uint8_t *ids; // a bit per sample id seen
    rq_folder folder;
} merge;

static char *join(const char *dir, const char *file)
{
    return rq_path_join(dir, file);
}

static rq_status oom(rq_err *err)
{
    return rq_fail(err, RQ_OOM, "out of memory for the parts of a dataset");
}

/* ---- finding ----------------------------------------------------------------------------- */

static rq_status begin_parts(merge *x, const rq_manifest *m, rq_err *err)
{
    x->count = (size_t)m->part.count;
    x->parts = rq_calloc(x->count, sizeof *x->parts);
    return x->parts ? RQ_OK : oom(err);
}

// Takes *m over.
static rq_status take_part(merge *x, const char *dir, rq_manifest *m, const char *sha256,
                           rq_err *err)
{
    if (!x->parts)
        RQ_TRY(begin_parts(x, m, err));
    if ((size_t)m->part.count != x->count)
        return rq_fail(err, RQ_INVALID_ARG,
                       "'%s' holds part %d of %d, but another part is one of %zu; merge one "
                       "dataset at a time",
                       dir, m->part.index, m->part.count, x->count);
    part *p = &x->parts[m->part.index - 1];
    if (p->there && strcmp(p->sha256, sha256) != 0)
        return rq_fail(err, RQ_INVALID_ARG,
                       "part %d of %d is in '%s' and, different, in '%s'; remove one of them",
                       m->part.index, m->part.count, p->dir, dir);
    if (p->there && strcmp(dir, x->out) != 0) { // the same again
        rq_manifest_free(m);
        return RQ_OK;
    }
    rq_manifest_free(&p->m);
    *p = (part){.dir = dir, .m = *m, .there = true};
    *m = (rq_manifest){0};
    memcpy(p->sha256, sha256, sizeof p->sha256);
    return RQ_OK;
}

static rq_status read_part(merge *x, const char *dir, const char *file, rq_err *err)
{
    rq_manifest m = {0};
    char sha256[RQ_SHA256_HEX];
    char *path = join(dir, file);
    if (!path)
        return oom(err);
    rq_status st = rq_manifest_read_file(&m, path, sha256, err);
    if (st == RQ_OK && m.part.count == 0)
        st = rq_fail(err, RQ_BAD_FORMAT, "'%s' describes no part of a dataset", path);
    if (st == RQ_OK)
        st = take_part(x, dir, &m, sha256, err);
    rq_manifest_free(&m);
    rq_free(path);
    return st;
}

static rq_status find_parts(merge *x, const char *dir, rq_err *err)
{
    DIR *d = opendir(dir);
    if (!d)
        return rq_fail_errno(err, "cannot list '%s'", dir);
    rq_status st = RQ_OK;
    while (st == RQ_OK) {
        errno = 0;
        const struct dirent *e = readdir(d);
        if (!e && errno != 0)
            st = rq_fail_errno(err, "cannot list '%s'", dir);
        if (!e)
            break;
        const size_t n = strlen(e->d_name), k = strlen(RQ_PART_SUFFIX);
        if (n > k && e->d_name[0] != '.' && strcmp(e->d_name + n - k, RQ_PART_SUFFIX) == 0)
            st = read_part(x, dir, e->d_name, err);
    }
    closedir(d);
    return st;
}

// "2, 5 and 7"
static void list_missing(const merge *x, char *text, size_t bytes)
{
    size_t missing = 0, told = 0;
    text[0] = 0;
    for (size_t i = 0; i < x->count; i++)
        missing += !x->parts[i].there;
    for (size_t i = 0; i < x->count && told < 20; i++) {
        if (x->parts[i].there)
            continue;
        const size_t used = strlen(text);
        snprintf(text + used, bytes - used, "%s%zu",
                 told == 0             ? ""
                 : told + 1 == missing ? " and "
                                       : ", ",
                 i + 1);
        told++;
    }
    if (told < missing)
        snprintf(text + strlen(text), bytes - strlen(text), " and %zu more", missing - told);
}

static rq_status check_all_there(const merge *x, const char *dir, rq_err *err)
{
    char missing[256];
    if (x->count == 0)
        return rq_fail(err, RQ_NOT_FOUND,
                       "'%s' holds no part of a dataset (NAME-pIIIofNNN%s); pack them with "
                       "`rq-pack build --part I/N`",
                       dir, RQ_PART_SUFFIX);
    list_missing(x, missing, sizeof missing);
    if (missing[0])
        return rq_fail(err, RQ_NOT_FOUND,
                       "of %zu parts these are missing: %s; pack them with `rq-pack build "
                       "--part I/%zu` or name the folder they are in",
                       x->count, missing, x->count);
    return RQ_OK;
}

/* ---- checking ---------------------------------------------------------------------------- */

static bool same_classes(const rq_manifest *a, const rq_manifest *b)
{
    bool same = a->n_classes == b->n_classes;
    for (size_t i = 0; i < a->n_classes && same; i++)
        same = strcmp(a->classes[i], b->classes[i]) == 0;
    return same;
}

// Part i against the first one.
static rq_status compare_part(const merge *x, size_t i, rq_err *err)
{
    const rq_manifest *first = &x->parts[0].m, *m = &x->parts[i].m;
    char difference[400];
    const uint64_t begin = rq_part_first(m->source_images, i + 1, x->count);
    const uint64_t end = rq_part_first(m->source_images, i + 2, x->count);
    if (!rq_settings_equal(&first->settings, &m->settings, difference, sizeof difference))
        return rq_fail(err, RQ_INVALID_ARG,
                       "part 1 and part %zu were made with other options or of another source "
                       "(%s); pack one of them again",
                       i + 1, difference);
    if (strcmp(first->name, m->name) != 0 || !same_classes(first, m) ||
        first->source_images != m->source_images || first->encoding != m->encoding)
        return rq_fail(err, RQ_INVALID_ARG,
                       "part 1 and part %zu are of different datasets; merge one at a time",
                       i + 1);
    uint64_t judged = 0;
    for (int k = 0; k < RQ_VERDICT_COUNT; k++)
        judged += m->verdicts[k];
    if (m->first != begin || m->records != end - begin || judged != m->records)
        return rq_fail(err, RQ_BAD_FORMAT,
                       "part %zu holds images %" PRIu64 " to %" PRIu64
                       " of the source, not %" PRIu64 " to %" PRIu64 "; pack it again",
                       i + 1, m->first, m->first + m->records, begin, end);
    return RQ_OK;
}

// No sample id may be there twice, in whatever part.
static rq_status mark_ids(merge *x, const rq_shard *s, const rq_index_entry *entries,
                          uint64_t images, rq_err *err)
{
    for (size_t i = 0; i < s->count; i++) {
        const uint64_t id = entries[i].id;
        if (id >= images || (x->ids[id / 8] >> (id % 8) & 1))
            return rq_fail(err, RQ_BAD_FORMAT,
                           "shard '%s': sample %" PRIu64 " is %s; pack this part again",
                           s->path, id,
                           id >= images ? "none of the source's" : "in another shard too");
        x->ids[id / 8] |= (uint8_t)(1 << id % 8);
    }
    return RQ_OK;
}

static rq_status check_shard(merge *x, const part *p, const rq_manifest_shard *m, rq_err *err)
{
    rq_shard s = {.fd = -1};
    rq_index_entry *entries = NULL;
    char *path = join(p->dir, m->file);
    if (!path)
        return oom(err);
    rq_status st = rq_shard_open(&s, path, err);
    if (st == RQ_OK && !(entries = rq_alloc(s.count, sizeof *entries)))
        st = oom(err);
    if (st == RQ_OK)
        st = rq_shard_load(&s, entries, err);
    if (st == RQ_OK &&
        (s.bytes != m->bytes || s.count != m->samples || s.tail.hash != m->index_hash))
        st = rq_fail(err, RQ_BAD_CHECKSUM,
                     "shard '%s' is not the one that the manifest of its part means; pack this "
                     "part again with --force",
                     path);
    if (st == RQ_OK)
        st = mark_ids(x, &s, entries, p->m.source_images, err);
    rq_free(entries);
    rq_shard_close(&s);
    rq_free(path);
    return st;
}

static rq_status check_parts(merge *x, rq_err *err)
{
    x->ids = rq_calloc((size_t)(x->parts[0].m.source_images / 8 + 1), 1);
    if (!x->ids)
        return oom(err);
    for (size_t i = 0; i < x->count; i++) {
        const part *p = &x->parts[i];
        RQ_TRY(compare_part(x, i, err));
        for (size_t k = 0; k < p->m.n_shards; k++) {
            if (x->opts->cancel && *x->opts->cancel)
                return rq_fail(err, RQ_CANCELLED,
                               "interrupted while checking parts; nothing was written");
            RQ_TRY(check_shard(x, p, &p->m.shards[k], err));
        }
    }
    return RQ_OK;
}

/* ---- bringing together ------------------------------------------------------------------- */

static rq_status bring(const merge *x, const part *p, const char *file,
                       const rq_manifest_shard *shard, rq_err *err)
{
    char *from = join(p->dir, file), *to = join(x->out, file);
    const rq_status st =
        from && to ? rq_carry(from, to, shard, x->opts->cancel, err) : oom(err);
    rq_free(from);
    rq_free(to);
    return st;
}

static rq_status bring_part(const merge *x, const part *p, rq_err *err)
{
    char file[RQ_MAX_FILE_BYTES + 16], prefix[RQ_MAX_PREFIX_BYTES];
    if (strcmp(p->dir, x->out) == 0)
        return RQ_OK;
    for (size_t k = 0; k < p->m.n_shards; k++)
        RQ_TRY(bring(x, p, p->m.shards[k].file, &p->m.shards[k], err));
    rq_shard_prefix(prefix, sizeof prefix, p->m.name, p->m.part);
    snprintf(file, sizeof file, "%s.part.jsonl", prefix);
    RQ_TRY(bring(x, p, file, NULL, err));
    RQ_TRY(rq_folder_sync(&x->folder, err));
    snprintf(file, sizeof file, "%s%s", prefix, RQ_PART_SUFFIX);
    return bring(x, p, file, NULL, err);
}

/* ---- the whole --------------------------------------------------------------------------- */

static rq_status add_part(rq_manifest *whole, const rq_manifest *m, rq_err *err)
{
    whole->samples += m->samples;
    whole->masks += m->masks;
    whole->fallbacks += m->fallbacks;
    for (int k = 0; k < RQ_VERDICT_COUNT; k++)
        whole->verdicts[k] += m->verdicts[k];
    for (size_t i = 0; i < m->n_shards; i++)
        RQ_TRY(rq_manifest_add_shard(whole, m->shards[i].file, &m->shards[i], err));
    return RQ_OK;
}

static rq_status join_manifests(const merge *x, rq_manifest *whole, rq_err *err)
{
    const rq_manifest *m = &x->parts[0].m;
    *whole = (rq_manifest){.encoding = m->encoding,
                           .level = m->level,
                           .source_images = m->source_images,
                           .source_bytes = m->source_bytes,
                           .source_passed_over = m->source_passed_over,
                           .name = rq_strdup(m->name),
                           .layout = rq_strdup(m->layout),
                           .created_by = rq_strdup("reliquary " RQ_VERSION)};
    if (!whole->name || !whole->layout || !whole->created_by)
        return oom(err);
    RQ_TRY(rq_settings_copy(&whole->settings, &m->settings, err));
    for (size_t i = 0; i < m->n_classes; i++)
        RQ_TRY(rq_manifest_add_class(whole, m->classes[i], err));
    for (size_t i = 0; i < x->count; i++)
        RQ_TRY(add_part(whole, &x->parts[i].m, err));
    if (whole->n_shards == 0)
        return rq_fail(err, RQ_NOT_FOUND, "the parts hold no sample, so there is no dataset");
    if (whole->n_shards > RQ_MAX_SHARDS)
        return rq_fail(err, RQ_LIMIT,
                       "%zu shards are more than %d; pack the parts again with a "
                       "larger --shard-size",
                       whole->n_shards, RQ_MAX_SHARDS);
    return RQ_OK;
}

// The lines of a part's report, without its last one, which is checked first.
static rq_status add_report(const merge *x, const part *p, rq_report *whole, rq_err *err)
{
    char file[RQ_MAX_FILE_BYTES + 16], prefix[RQ_MAX_PREFIX_BYTES];
    rq_report_summary summary;
    char *line = NULL;
    size_t cap = 0;
    rq_shard_prefix(prefix, sizeof prefix, p->m.name, p->m.part);
    snprintf(file, sizeof file, "%s.part.jsonl", prefix);
    char *path = join(x->out, file);
    if (!path)
        return oom(err);
    rq_status st = rq_report_read(path, NULL, NULL, &summary, err);
    FILE *f = st == RQ_OK ? fopen(path, "rbe") : NULL;
    if (st == RQ_OK && !f)
        st = rq_fail_errno(err, "cannot open '%s'", path);
    for (uint64_t i = 0; st == RQ_OK && i < summary.totals.images; i++) {
        const ssize_t n = getline(&line, &cap, f);
        st = n > 0 ? rq_report_add_lines(whole, line, (size_t)n, err)
                   : rq_fail(err, RQ_IO, "cannot read '%s'", path);
    }
    if (f)
        fclose(f);
    free(line);
    rq_free(path);
    return st;
}

static rq_status write_report(const merge *x, int classes, rq_err *err)
{
    rq_report *report = NULL;
    char *path = join(x->out, RQ_REPORT_FILE ".new");
    if (!path)
        return oom(err);
    rq_status st = rq_report_create(&report, path, err);
    for (size_t i = 0; i < x->count && st == RQ_OK; i++)
        st = add_report(x, &x->parts[i], report, err);
    if (st == RQ_OK)
        st = rq_report_commit(&report, classes, NULL, err);
    rq_report_abort(&report);
    rq_free(path);
    return st;
}

// Whether dataset.json is there with just this text.
static rq_status look(const merge *x, const rq_buf *text, bool *same, rq_err *err)
{
    rq_buf old = {0};
    *same = false;
    if (!rq_folder_has(&x->folder, RQ_MANIFEST_FILE))
        return RQ_OK;
    char *path = join(x->out, RQ_MANIFEST_FILE);
    if (!path)
        return oom(err);
    *same = rq_file_read(path, RQ_MANIFEST_MAX_BYTES, &old, NULL) == RQ_OK &&
            old.size == text->size && memcmp(old.data, text->data, old.size) == 0;
    rq_buf_free(&old);
    rq_free(path);
    if (*same || x->opts->replace)
        return RQ_OK;
    return rq_fail(err, RQ_INVALID_ARG,
                   "'%s' holds a dataset already, and not of these parts; give --force to "
                   "replace its %s",
                   x->out, RQ_MANIFEST_FILE);
}

static rq_status publish(const merge *x, const rq_manifest *whole, const rq_buf *text,
                         rq_err *err)
{
    for (size_t i = 0; i < x->count; i++)
        RQ_TRY(bring_part(x, &x->parts[i], err));
    RQ_TRY(write_report(x, (int)whole->n_classes, err));
    char *path = join(x->out, RQ_MANIFEST_FILE ".new");
    rq_status st = path ? rq_file_write_atomic(path, text->data, text->size, err) : oom(err);
    rq_free(path);
    if (st == RQ_OK && x->opts->replace) // an old one must not describe the new report
        st = rq_folder_remove(&x->folder, RQ_MANIFEST_FILE, err);
    if (st == RQ_OK)
        st = rq_folder_rename(&x->folder, RQ_REPORT_FILE ".new", RQ_REPORT_FILE, err);
    if (st == RQ_OK)
        st = rq_folder_sync(&x->folder, err);
    if (st == RQ_OK)
        st = rq_folder_rename(&x->folder, RQ_MANIFEST_FILE ".new", RQ_MANIFEST_FILE, err);
    return st == RQ_OK ? rq_folder_sync(&x->folder, err) : st;
}

// No part may be packed into the folder from now on. Nothing here asks for the folder's name of
// shards: parts have their own.
static rq_status lock_out(merge *x, rq_err *err)
{
    return rq_folder_open(&x->folder, x->out, "", (rq_part){0}, err);
}

static rq_status make_whole(merge *x, rq_manifest *whole, rq_buf *text, rq_err *err)
{
    RQ_TRY(join_manifests(x, whole, err));
    RQ_TRY(rq_manifest_encode(whole, text, err));
    RQ_TRY(rq_manifest_hash(text, x->result->manifest_sha256, err));
    if (!x->folder.open)
        RQ_TRY(lock_out(x, err));
    RQ_TRY(look(x, text, &x->result->was_complete, err));
    if (!x->result->was_complete)
        RQ_TRY(publish(x, whole, text, err));
    rq_merge_result *r = x->result;
    r->parts = (int)x->count;
    r->shards = (int)whole->n_shards;
    r->classes = (int)whole->n_classes;
    r->samples = whole->samples;
    r->masks = whole->masks;
    r->rejected = whole->verdicts[RQ_VERDICT_REJECTED];
    for (size_t i = 0; i < whole->n_shards; i++)
        r->bytes += whole->shards[i].bytes;
    return RQ_OK;
}

static rq_status merge_all(merge *x, const char *const *dirs, size_t n, rq_err *err)
{
    struct stat st;
    const bool out_there = stat(x->out, &st) == 0;
    if (out_there) // what is read there must still be there when dataset.json is written
        RQ_TRY(lock_out(x, err));
    for (size_t i = 0; i < n; i++)
        RQ_TRY(find_parts(x, dirs[i], err));
    if (!x->out_listed && out_there) // what an earlier run brought there
        RQ_TRY(find_parts(x, x->out, err));
    RQ_TRY(check_all_there(x, dirs[0], err));
    RQ_TRY(check_parts(x, err));
    rq_manifest whole = {0};
    rq_buf text = {0};
    const rq_status status = make_whole(x, &whole, &text, err);
    rq_manifest_free(&whole);
    rq_buf_free(&text);
    return status;
}

rq_status rq_merge(const char *const *dirs, size_t n, const rq_merge_opts *opts,
                   rq_merge_result *result, rq_err *err)
{
    merge x = {.opts = opts, .result = result, .out = opts->out};
    *result = (rq_merge_result){0};
    if (!opts->out && n != 1)
        return rq_fail(err, RQ_INVALID_ARG,
                       "parts of several folders need a folder for the dataset: add -o DIR");
    if (!opts->out)
        x.out = dirs[0];
    for (size_t i = 0; i < n; i++)
        if (strcmp(dirs[i], x.out) == 0) {
            x.out = dirs[i];
            x.out_listed = true;
        }
    const rq_status st = merge_all(&x, dirs, n, err);
    for (size_t i = 0; i < x.count && x.parts; i++)
        rq_manifest_free(&x.parts[i].m);
    rq_free(x.parts);
    rq_free(x.ids);
    rq_folder_close(&x.folder, st != RQ_OK);
    return st;
}
