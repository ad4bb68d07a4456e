// SPDX-License-Identifier: Apache-2.0
// The disk side of a build. Shards are finished one after the other under their drafts' names,
// each followed by a line in the journal; the end is a short row of renames with the manifest
// last. Every step may be the last one before a power cut: the next run looks for each shard
// under both names, compares it with the journal, and goes on behind the last that is whole.
#include "pack/output.h"

#include "common/file.h"
#include "ingest/report.h"
#include "pack/shard.h"
#include "pack/shard_writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rq_output {
    rq_folder folder;
    rq_output_plan plan;
    rq_journal *journal;
    rq_shard_writer *shard;
    size_t shards; // finished
    uint64_t bytes;
    rq_build_point now; // behind the last record
    bool looked;        // what an earlier run left has been examined to its end
};

/* ---- what stands there ------------------------------------------------------------------- */

// Name of a shard, as a draft or final.
static void shard_name(const rq_output *o, size_t number, bool final, char *file, size_t bytes)
{
    snprintf(file, bytes, "%s-%06zu%s", o->folder.prefix, number,
             final ? RQ_SHARD_SUFFIX : RQ_DRAFT_SUFFIX);
}

static rq_status shard_path(const rq_output *o, size_t number, bool final, char **path,
                            rq_err *err)
{
    char file[RQ_MAX_FILE_BYTES + 8];
    shard_name(o, number, final, file, sizeof file);
    *path = rq_path_join(o->folder.path, file);
    return *path ? RQ_OK : rq_fail(err, RQ_OOM, "out of memory for a shard's name");
}

static rq_status refuse(const rq_output *o, const char *what, const char *difference,
                        rq_err *err)
{
    return rq_fail(err, RQ_INVALID_ARG,
                   "'%s' already holds %s%s%s%s; give --force to replace it, or choose another "
                   "folder",
                   o->folder.path, what, difference[0] ? " (" : "", difference,
                   difference[0] ? ")" : "");
}

static void report_manifest(const rq_manifest *m, rq_output_state *state)
{
    state->complete = true;
    state->shards = (int)m->n_shards;
    state->counts = (rq_build_counts){.samples = m->samples,
                                      .fallbacks = m->fallbacks,
                                      .masks = m->masks,
                                      .source_bytes = m->source_bytes};
    memcpy(state->counts.verdicts, m->verdicts, sizeof m->verdicts);
    for (size_t i = 0; i < m->n_shards; i++)
        state->stored_bytes += m->shards[i].bytes;
}

// All shards of a manifest are there, at least by their indexes.
static rq_status check_complete(const rq_output *o, const rq_manifest *m, rq_err *err)
{
    for (size_t i = 0; i < m->n_shards; i++) {
        rq_err inner = {0};
        char *path = rq_path_join(o->folder.path, m->shards[i].file);
        if (!path)
            return rq_fail(err, RQ_OOM, "out of memory for a shard's name");
        const rq_status st = rq_shard_check(path, &m->shards[i], false, NULL, &inner);
        rq_free(path);
        if (st != RQ_OK)
            return rq_fail(err, st, "%s; give --force to pack it again", inner.text);
    }
    return RQ_OK;
}

// A manifest of this very thing: done already, or in the way.
static rq_status look_at_manifest(rq_output *o, rq_output_state *state, rq_err *err)
{
    char difference[400] = "";
    rq_manifest m;
    if (!rq_folder_has(&o->folder, o->folder.manifest) || o->plan.replace)
        return RQ_OK;
    char *path = rq_path_join(o->folder.path, o->folder.manifest);
    if (!path)
        return rq_fail(err, RQ_OOM, "out of memory opening '%s'", o->folder.path);
    const rq_status read = rq_manifest_read_file(&m, path, state->manifest_sha256, NULL);
    rq_free(path);
    const char *what = o->plan.part.count ? "this part of a dataset" : "a dataset";
    if (read != RQ_OK || m.settings.n == 0)
        return refuse(o, what, "", err);
    rq_status st = RQ_OK;
    if (!rq_settings_equal(&m.settings, o->plan.settings, difference, sizeof difference))
        st = refuse(o, what, difference, err);
    else
        st = check_complete(o, &m, err);
    if (st == RQ_OK)
        report_manifest(&m, state);
    rq_manifest_free(&m);
    return st;
}

static rq_status look_around(rq_output *o, rq_output_state *state, rq_err *err)
{
    const rq_folder *f = &o->folder;
    bool there = false;
    RQ_TRY(look_at_manifest(o, state, err));
    if (o->plan.replace || state->complete)
        return RQ_OK;
    if (f->part.count)
        return rq_folder_has(f, RQ_MANIFEST_FILE) ? refuse(o, "a dataset", "", err) : RQ_OK;
    RQ_TRY(rq_folder_has_parts(f, &there, err));
    if (there)
        return rq_fail(err, RQ_INVALID_ARG,
                       "'%s' holds parts of a dataset, or unfinished ones; join them with "
                       "`rq-pack merge`, give --force to replace them, or choose another "
                       "folder",
                       f->path);
    // Shards without manifest and journal are somebody's dataset that lost its manifest.
    if (!rq_folder_has(f, f->journal))
        RQ_TRY(rq_folder_has_shards(f, &there, err));
    if (there)
        return rq_fail(err, RQ_INVALID_ARG,
                       "'%s' holds shards but no %s: rebuild it with `rq-pack repair`, give "
                       "--force to replace them, or choose another folder",
                       f->path, RQ_MANIFEST_FILE);
    return RQ_OK;
}

/* ---- where to go on ---------------------------------------------------------------------- */

// Whether shard `number` is there, under one of its names, with every byte. A draft that is not
// goes, lest it replace a final one that is.
static rq_status find_shard(const rq_output *o, size_t number, const rq_build_point *p,
                            bool *found, rq_err *err)
{
    *found = false;
    for (int final = 0; final <= 1 && !*found; final++) {
        char file[RQ_MAX_FILE_BYTES + 8];
        rq_err inner = {0};
        char *path;
        shard_name(o, number, final, file, sizeof file);
        RQ_TRY(shard_path(o, number, final, &path, err));
        const rq_status st = rq_shard_check(path, &p->shard, true, o->plan.cancel, &inner);
        rq_free(path);
        if (st == RQ_OOM || st == RQ_CANCELLED)
            return rq_fail(err, st, "%s", inner.text);
        if (st != RQ_OK && st != RQ_NOT_FOUND)
            rq_log(&o->plan.log, RQ_LOG_WARN, "%s: it is packed again", inner.text);
        if (st != RQ_OK && !final)
            RQ_TRY(rq_folder_remove(&o->folder, file, err));
        *found = st == RQ_OK;
    }
    return RQ_OK;
}

static rq_status resume(rq_output *o, size_t points, rq_output_state *state, rq_err *err)
{
    bool found = true;
    for (size_t i = 0; i < points && found; i++) {
        RQ_TRY(find_shard(o, i, rq_journal_point(o->journal, i), &found, err));
        o->shards += found;
    }
    o->looked = true;
    RQ_TRY(rq_journal_keep(o->journal, o->shards, err));
    RQ_TRY(rq_folder_drop_drafts(&o->folder, o->shards, err));
    for (size_t i = 0; i < o->shards; i++)
        o->bytes += rq_journal_point(o->journal, i)->shard.bytes;
    if (o->shards)
        o->now = *rq_journal_point(o->journal, o->shards - 1);
    state->shards = (int)o->shards;
    state->stored_bytes = o->bytes;
    state->records = o->now.records;
    state->seen_bytes = o->now.seen_bytes;
    state->counts = o->now.counts;
    if (o->shards)
        rq_log(&o->plan.log, RQ_LOG_INFO,
               "going on in '%s': %zu shards with %" PRIu64 " images are there already",
               o->folder.path, o->shards, state->counts.samples);
    return RQ_OK;
}

static rq_status open_output(rq_output *o, const char *dir, rq_output_state *state, rq_err *err)
{
    size_t points = 0;
    RQ_TRY(rq_folder_open(&o->folder, dir, o->plan.name, o->plan.part, err));
    RQ_TRY(look_around(o, state, err));
    if (state->complete) { // a build that died after its last step may have left these
        RQ_TRY(rq_journal_remove(&o->folder, err));
        return rq_folder_drop_drafts(&o->folder, 0, err);
    }
    RQ_TRY(rq_journal_open(&o->journal, &o->folder, o->plan.settings, o->plan.replace, &points,
                           err));
    return resume(o, points, state, err);
}

rq_status rq_output_open(rq_output **out, const char *dir, const rq_output_plan *plan,
                         rq_output_state *state, rq_err *err)
{
    *out = NULL;
    *state = (rq_output_state){0};
    rq_output *o = rq_calloc(1, sizeof *o);
    if (!o)
        return rq_fail(err, RQ_OOM, "out of memory for the build");
    o->plan = *plan;
    const rq_status st = open_output(o, dir, state, err);
    if (st != RQ_OK)
        rq_output_close(&o, true);
    *out = o;
    return st;
}

rq_status rq_output_lines(rq_output *o, const char **path, rq_err *err)
{
    return rq_journal_flush(o->journal, path, err);
}

/* ---- writing ----------------------------------------------------------------------------- */

rq_status rq_output_report(rq_output *o, const void *lines, size_t bytes, rq_err *err)
{
    return rq_journal_report(o->journal, lines, bytes, err);
}

static rq_status begin_shard(rq_output *o, rq_err *err)
{
    char *path;
    if (o->shards == RQ_MAX_SHARDS)
        return rq_fail(err, RQ_LIMIT, "more than %d shards; choose a larger --shard-size",
                       RQ_MAX_SHARDS);
    RQ_TRY(shard_path(o, o->shards, false, &path, err));
    const rq_status st = rq_shard_writer_create(&o->shard, path, err);
    rq_free(path);
    return st;
}

rq_status rq_output_sample(rq_output *o, const rq_index_entry *e, const uint8_t *frame,
                           rq_err *err)
{
    if (!o->shard)
        RQ_TRY(begin_shard(o, err));
    return rq_shard_writer_append(o->shard, e, frame, err);
}

static rq_status finish_shard(rq_output *o, rq_err *err)
{
    RQ_TRY(rq_shard_writer_finish(&o->shard, &o->now.shard, err));
    RQ_TRY(rq_journal_add(o->journal, &o->now, err));
    o->bytes += o->now.shard.bytes;
    o->shards++;
    return RQ_OK;
}

rq_status rq_output_mark(rq_output *o, uint64_t records, uint64_t seen_bytes,
                         const rq_build_counts *counts, rq_err *err)
{
    o->now.records = records;
    o->now.seen_bytes = seen_bytes;
    o->now.counts = *counts;
    if (o->shard && (rq_shard_writer_bytes(o->shard) >= o->plan.shard_bytes ||
                     rq_shard_writer_count(o->shard) == RQ_MAX_SHARD_SAMPLES))
        return finish_shard(o, err);
    return RQ_OK;
}

/* ---- the end ----------------------------------------------------------------------------- */

static rq_status fill_manifest(rq_output *o, rq_manifest *m, rq_err *err)
{
    char file[RQ_MAX_FILE_BYTES + 8];
    m->name = rq_strdup(o->plan.name);
    m->part = o->plan.part;
    if (!m->name)
        return rq_fail(err, RQ_OOM, "out of memory for the manifest");
    RQ_TRY(rq_settings_copy(&m->settings, o->plan.settings, err));
    for (size_t i = 0; i < o->shards; i++) {
        shard_name(o, i, true, file, sizeof file);
        RQ_TRY(rq_manifest_add_shard(m, file, &rq_journal_point(o->journal, i)->shard, err));
    }
    return RQ_OK;
}

static rq_status rename_shards(rq_output *o, rq_err *err)
{
    for (size_t i = 0; i < o->shards; i++) {
        char final[RQ_MAX_FILE_BYTES + 8], draft[RQ_MAX_FILE_BYTES + 8];
        shard_name(o, i, true, final, sizeof final);
        shard_name(o, i, false, draft, sizeof draft);
        // A run that died here has renamed some already.
        if (rq_folder_has(&o->folder, draft))
            RQ_TRY(rq_folder_rename(&o->folder, draft, final, err));
    }
    return RQ_OK;
}

static rq_status copy_lines(rq_report *report, const char *path, rq_err *err)
{
    FILE *file = fopen(path, "rbe");
    char *line = NULL;
    size_t cap = 0;
    rq_status st = RQ_OK;
    if (!file)
        return rq_fail_errno(err, "cannot open '%s'", path);
    for (ssize_t n; st == RQ_OK && (n = getline(&line, &cap, file)) > 0;)
        st = rq_report_add_lines(report, line, (size_t)n, err);
    if (st == RQ_OK && ferror(file))
        st = rq_fail(err, RQ_IO, "cannot read '%s'", path);
    free(line);
    fclose(file);
    return st;
}

static char *draft_of(const rq_output *o, const char *file)
{
    char draft[RQ_MAX_FILE_BYTES + 8];
    snprintf(draft, sizeof draft, "%s.new", file);
    return rq_path_join(o->folder.path, draft);
}

static rq_status write_report(rq_output *o, int classes, rq_err *err)
{
    rq_report *report = NULL;
    const char *lines;
    RQ_TRY(rq_journal_flush(o->journal, &lines, err));
    char *path = draft_of(o, o->folder.report);
    if (!path)
        return rq_fail(err, RQ_OOM, "out of memory for the report");
    rq_status st = rq_report_create(&report, path, err);
    if (st == RQ_OK)
        st = copy_lines(report, lines, err);
    if (st == RQ_OK)
        st = rq_report_commit(&report, classes, NULL, err);
    rq_report_abort(&report);
    rq_free(path);
    return st;
}

static rq_status write_manifest(rq_output *o, const rq_buf *text, rq_err *err)
{
    char *path = draft_of(o, o->folder.manifest);
    if (!path)
        return rq_fail(err, RQ_OOM, "out of memory for the manifest");
    const rq_status st = rq_file_write_atomic(path, text->data, text->size, err);
    rq_free(path);
    return st;
}

static rq_status rename_draft(rq_output *o, const char *file, rq_err *err)
{
    char draft[RQ_MAX_FILE_BYTES + 8];
    snprintf(draft, sizeof draft, "%s.new", file);
    return rq_folder_rename(&o->folder, draft, file, err);
}

// The old dataset goes. All that is new is on disk, so that no lack of space can stop this, and
// if something else does, the next run of the same command finishes it.
static rq_status swap(rq_output *o, rq_err *err)
{
    const rq_folder *f = &o->folder;
    RQ_TRY(rq_folder_clear(f, o->shards, err));
    RQ_TRY(rename_shards(o, err));
    RQ_TRY(rename_draft(o, f->report, err));
    RQ_TRY(rq_folder_sync(f, err));
    RQ_TRY(rename_draft(o, f->manifest, err));
    RQ_TRY(rq_folder_sync(f, err));
    // The dataset is complete; what stays of the journal is removed by the next command.
    rq_err ignored = {0};
    if (rq_journal_remove(f, &ignored) != RQ_OK)
        rq_log(&o->plan.log, RQ_LOG_WARN, "%s", ignored.text);
    return RQ_OK;
}

rq_status rq_output_commit(rq_output *o, rq_manifest *m, int classes,
                           char sha256[RQ_SHA256_HEX], rq_err *err)
{
    rq_buf text = {0};
    if (o->shard)
        RQ_TRY(finish_shard(o, err));
    RQ_TRY(fill_manifest(o, m, err));
    rq_status st = rq_manifest_encode(m, &text, err);
    if (st == RQ_OK)
        st = rq_manifest_hash(&text, sha256, err);
    if (st == RQ_OK)
        st = write_report(o, classes, err);
    if (st == RQ_OK)
        st = write_manifest(o, &text, err);
    if (st == RQ_OK)
        st = swap(o, err);
    rq_buf_free(&text);
    return st;
}

int rq_output_shards(const rq_output *o)
{
    return (int)o->shards;
}

uint64_t rq_output_bytes(const rq_output *o)
{
    return o->bytes;
}

void rq_output_close(rq_output **o, bool failed)
{
    if (!*o)
        return;
    rq_shard_writer_abort(&(*o)->shard);
    // What has no finished shard is not worth continuing, and leaves no trace. As long as that
    // is not known, the journal may tell of shards that stand there.
    const bool worthless = failed && (*o)->looked && (*o)->shards == 0;
    rq_journal_close(&(*o)->journal);
    rq_err ignored = {0};
    if (worthless && rq_journal_remove(&(*o)->folder, &ignored) != RQ_OK)
        rq_log(&(*o)->plan.log, RQ_LOG_DEBUG, "%s", ignored.text);
    rq_folder_close(&(*o)->folder, failed);
    rq_free(*o);
    *o = NULL;
}
