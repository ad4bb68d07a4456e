// SPDX-License-Identifier: Apache-2.0
// Repair of whole datasets. Shards come one by one, each replaced on its own; the manifest
// comes last, and is left alone when every shard came out as it says. A lost manifest is put
// together from the shards: class names from KEY.json, what became of the other images from the
// report.
#include "pack/repair.h"

#include "common/file.h"
#include "ingest/report.h"
#include "pack/carry.h"
#include "pack/folder.h"
#include "pack/frame.h"
#include "pack/meta.h"
#include "pack/shard.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct repair {
    const rq_repair_opts *opts;
    rq_repair_result *result;
    const char *dir, *out; // out: where the repaired dataset stands
    rq_manifest old;       // as it was; without shards when it is lost
    bool known;            // old is what dataset.json says
    char **files;          // shards, in order
    size_t n_files, cap_files;
    rq_manifest whole;
    uint64_t encodings[RQ_ENCODING_RAW + 1];
    char **classes; // by label, as far as seen; owned
    size_t n_classes, cap_classes;
    bool changed; // the manifest is not as it was
    bool same;    // out is dir
    rq_folder folder;
    rq_salvage_opts salvage;      // those asked for, with progress over all shards
    uint64_t bytes_before, bytes; // of the shards that are done, of all
} repair;

static rq_status oom(rq_err *err)
{
    return rq_fail(err, RQ_OOM, "out of memory for the repair");
}

static void tell_damage(void *cookie, const char *sentence)
{
    const rq_salvage_opts *o = &((repair *)cookie)->opts->salvage;
    if (o->damage)
        o->damage(o->cookie, sentence);
}

static void tell_progress(void *cookie, uint64_t done, uint64_t bytes)
{
    const repair *x = cookie;
    const rq_salvage_opts *o = &x->opts->salvage;
    if (o->progress)
        o->progress(o->cookie, x->bytes_before + done, x->bytes);
}

/* ---- one shard --------------------------------------------------------------------------- */

static void count(rq_repair_result *r, const rq_salvage *s)
{
    r->lost += s->lost;
    r->guessed += s->guessed;
    r->lost_known = r->lost_known && s->lost_known;
}

// SHA-256 and the other numbers of an intact shard.
static rq_status describe(const char *path, const rq_salvage *s, rq_manifest_shard *info,
                          rq_err *err)
{
    enum { BLOCK = 1 << 20 };
    rq_shard shard;
    rq_sha256 *sha = NULL;
    uint8_t *block = NULL;
    RQ_TRY(rq_shard_open_raw(&shard, path, err));
    rq_status st = rq_sha256_create(&sha, err);
    if (st == RQ_OK && !(block = rq_alloc(BLOCK, 1)))
        st = oom(err);
    for (uint64_t at = 0; st == RQ_OK && at < s->bytes; at += BLOCK) {
        const size_t n = s->bytes - at < BLOCK ? (size_t)(s->bytes - at) : BLOCK;
        st = rq_pread_full(shard.fd, block, n, at, path, err);
        rq_sha256_update(sha, block, n);
    }
    if (st == RQ_OK) {
        *info = (rq_manifest_shard){
            .bytes = s->bytes, .samples = s->n, .index_hash = s->index_hash};
        rq_sha256_hex(sha, info->sha256);
    }
    rq_free(block);
    rq_sha256_destroy(&sha);
    rq_shard_close(&shard);
    return st;
}

// "-o OUT" for a single shard: a file, or a folder that keeps the name.
static rq_status shard_target(const char *path, const rq_repair_opts *o, char **out,
                              rq_err *err)
{
    struct stat st;
    if (!o->out)
        *out = rq_strdup(path);
    else if (stat(o->out, &st) == 0 && S_ISDIR(st.st_mode))
        *out = rq_path_join(o->out, rq_path_base(path));
    else
        *out = rq_strdup(o->out);
    if (!*out)
        return oom(err);
    if (o->out && !o->replace && stat(*out, &st) == 0) {
        const rq_status status =
            rq_fail(err, RQ_INVALID_ARG,
                    "'%s' exists already; choose another name or give --force", *out);
        rq_free(*out);
        *out = NULL;
        return status;
    }
    return RQ_OK;
}

static rq_status nothing(const char *path, rq_err *err)
{
    return rq_fail(
        err, RQ_NOT_FOUND,
        "'%s' holds no sample that can be read; restore it from a copy or pack again", path);
}

static rq_status repair_shard(const char *path, const rq_repair_opts *o, rq_repair_result *r,
                              rq_err *err)
{
    rq_salvage s;
    rq_manifest_shard info;
    char *out;
    RQ_TRY(shard_target(path, o, &out, err));
    rq_status st = rq_salvage_scan(&s, path, 0, &o->salvage, err);
    if (st == RQ_OK && s.n == 0)
        st = nothing(path, err);
    if (st == RQ_OK) {
        count(r, &s);
        r->shards = 1;
        r->samples = s.n;
        r->was_intact = s.intact;
        r->rebuilt = !s.intact;
    }
    if (st == RQ_OK && !s.intact)
        st = rq_salvage_write(&s, path, out, &o->salvage, &info, err);
    else if (st == RQ_OK && o->out)
        st = rq_carry(path, out, NULL, o->salvage.cancel, err);
    rq_salvage_free(&s);
    rq_free(out);
    return st;
}

/* ---- which shards ------------------------------------------------------------------------ */

static rq_status add_file(repair *x, const char *file, rq_err *err)
{
    RQ_TRY(rq_grow((void **)&x->files, &x->cap_files, x->n_files + 1, sizeof *x->files, err));
    char *copy = rq_strdup(file);
    if (!copy)
        return oom(err);
    x->files[x->n_files++] = copy;
    return RQ_OK;
}

static int by_number(const void *a, const void *b)
{
    rq_part p = {0}, q = {0};
    size_t i = 0, k = 0;
    // Both parse: that is how they came into the list.
    (void)rq_shard_file_parse(*(char *const *)a, NULL, RQ_SHARD_SUFFIX, &p, &i);
    (void)rq_shard_file_parse(*(char *const *)b, NULL, RQ_SHARD_SUFFIX, &q, &k);
    if (p.index != q.index)
        return p.index < q.index ? -1 : 1;
    return (i > k) - (i < k);
}

// NAME of a shard's file, from its beginning to the "-pIIIofNNN" or the number.
static size_t name_bytes(const char *file)
{
    char again[RQ_MAX_FILE_BYTES], prefix[RQ_MAX_PREFIX_BYTES];
    rq_part part = {0};
    size_t number;
    if (!rq_shard_file_parse(file, NULL, RQ_SHARD_SUFFIX, &part, &number))
        return 0;
    rq_shard_prefix(prefix, sizeof prefix, "", part);
    rq_shard_file_name(again, sizeof again, prefix, number);
    return strlen(file) - strlen(again);
}

// Without a manifest: all shards of the folder, which must be of one dataset.
static rq_status list_shards(repair *x, rq_err *err)
{
    DIR *d = opendir(x->dir);
    if (!d)
        return rq_fail_errno(err, "cannot list '%s'", x->dir);
    rq_status st = RQ_OK;
    while (st == RQ_OK) {
        errno = 0;
        const struct dirent *e = readdir(d);
        if (!e && errno != 0)
            st = rq_fail_errno(err, "cannot list '%s'", x->dir);
        if (!e)
            break;
        if (rq_shard_file_parse(e->d_name, NULL, RQ_SHARD_SUFFIX, NULL, NULL))
            st = add_file(x, e->d_name, err);
    }
    closedir(d);
    RQ_TRY(st);
    if (x->n_files == 0)
        return rq_fail(err, RQ_NOT_FOUND,
                       "'%s' holds neither %s nor shards (NAME-NNNNNN%s); there is nothing to "
                       "repair",
                       x->dir, RQ_MANIFEST_FILE, RQ_SHARD_SUFFIX);
    qsort(x->files, x->n_files, sizeof *x->files, by_number);
    const size_t n = name_bytes(x->files[0]);
    for (size_t i = 1; i < x->n_files; i++)
        if (name_bytes(x->files[i]) != n || strncmp(x->files[i], x->files[0], n) != 0)
            return rq_fail(err, RQ_INVALID_ARG,
                           "'%s' holds shards of several datasets ('%s', '%s') and no %s; move "
                           "them apart first",
                           x->dir, x->files[0], x->files[i], RQ_MANIFEST_FILE);
    x->whole.name = rq_strdup(x->files[0]);
    if (!x->whole.name)
        return oom(err);
    x->whole.name[n] = 0;
    return RQ_OK;
}

static rq_status find_shards(repair *x, rq_err *err)
{
    rq_err inner = {0};
    const rq_status st = rq_manifest_read(&x->old, x->dir, NULL, &inner);
    if (st == RQ_OOM || st == RQ_UNSUPPORTED)
        return rq_fail(err, st, "%s", inner.text);
    x->known = st == RQ_OK;
    if (!x->known) {
        tell_damage(x, inner.text);
        x->changed = true;
        return list_shards(x, err);
    }
    for (size_t i = 0; i < x->old.n_shards; i++)
        RQ_TRY(add_file(x, x->old.shards[i].file, err));
    x->whole.name = rq_strdup(x->old.name);
    return x->whole.name ? RQ_OK : oom(err);
}

/* ---- class names ------------------------------------------------------------------------- */

static rq_status learn_class(repair *x, const rq_shard *s, const rq_index_entry *e,
                             rq_frame_coder *coder, rq_buf *frame, rq_err *err)
{
    rq_members m;
    rq_meta meta;
    frame->size = 0;
    RQ_TRY(rq_buf_reserve(frame, e->stored_bytes, err));
    RQ_TRY(rq_pread_full(s->fd, frame->data, e->stored_bytes, e->offset, s->name, err));
    RQ_TRY(rq_frame_decode(coder, frame->data, e, &m, err));
    if (rq_meta_parse(&meta, m.meta, m.meta_bytes, NULL) != RQ_OK)
        return RQ_OK; // another sample may tell
    rq_status st = RQ_OK;
    if (meta.class_name && !(x->classes[e->label] = rq_strdup(meta.class_name)))
        st = oom(err);
    rq_meta_free(&meta);
    return st;
}

// One frame is read for each label that has no name yet.
static rq_status learn_classes(repair *x, const char *path, const rq_salvage *s, rq_err *err)
{
    rq_shard shard;
    rq_frame_coder coder = {0};
    rq_buf frame = {0};
    RQ_TRY(rq_shard_open_raw(&shard, path, err));
    rq_status st = RQ_OK;
    for (size_t i = 0; i < s->n && st == RQ_OK; i++) {
        const rq_index_entry *e = &s->entries[i];
        if (e->label < 0)
            continue;
        const size_t need = (size_t)e->label + 1;
        st = rq_grow((void **)&x->classes, &x->cap_classes, need, sizeof *x->classes, err);
        while (st == RQ_OK && x->n_classes < need)
            x->classes[x->n_classes++] = NULL;
        if (st == RQ_OK && !x->classes[e->label])
            st = learn_class(x, &shard, e, &coder, &frame, err);
    }
    rq_frame_coder_fini(&coder);
    rq_buf_free(&frame);
    rq_shard_close(&shard);
    return st;
}

/* ---- shards of a dataset ----------------------------------------------------------------- */

static rq_status keep_shard(repair *x, const char *file, const rq_salvage *s,
                            const rq_manifest_shard *info, rq_err *err)
{
    rq_manifest *m = &x->whole;
    m->samples += s->n;
    for (size_t i = 0; i < s->n; i++) {
        m->masks += s->entries[i].flags & RQ_ENTRY_HAS_MASK;
        x->encodings[s->entries[i].encoding]++;
    }
    return rq_manifest_add_shard(m, file, info, err);
}

// The shard at `path` to `out`, rebuilt or as it is.
static rq_status put_shard(repair *x, const char *path, const char *out, const rq_salvage *s,
                           const rq_manifest_shard *meant, rq_manifest_shard *info, rq_err *err)
{
    if (!s->intact) {
        x->result->rebuilt++;
        return rq_salvage_write(s, path, out, &x->salvage, info, err);
    }
    if (meant && meant->bytes == s->bytes && meant->index_hash == s->index_hash &&
        meant->samples == s->n)
        *info = *meant;
    else
        RQ_TRY(describe(path, s, info, err));
    return x->same ? RQ_OK : rq_carry(path, out, NULL, x->opts->salvage.cancel, err);
}

static rq_status lose_shard(repair *x, const char *file, const rq_manifest_shard *meant,
                            const char *reason)
{
    char sentence[RQ_ERR_TEXT_BYTES];
    snprintf(sentence, sizeof sentence, "shard '%s' is lost with all its samples: %.400s", file,
             reason);
    tell_damage(x, sentence);
    x->result->missing++;
    x->result->lost += meant ? meant->samples : 1;
    x->result->lost_known = x->result->lost_known && meant;
    x->changed = true;
    return RQ_OK;
}

static rq_status repair_file(repair *x, const char *file, const char *path, const char *out,
                             const rq_manifest_shard *meant, rq_err *err)
{
    rq_salvage s;
    rq_manifest_shard info = {0};
    rq_err inner = {0};
    rq_status st = rq_salvage_scan(&s, path, meant ? meant->samples : 0, &x->salvage, &inner);
    if (st == RQ_NOT_FOUND)
        return lose_shard(x, file, meant, inner.text);
    if (st != RQ_OK)
        return rq_fail(err, st, "%s", inner.text);
    if (s.n == 0) {
        rq_salvage_free(&s);
        return lose_shard(x, file, meant, "no frame in it can be read");
    }
    count(x->result, &s);
    // An earlier run was interrupted behind this shard: what it lost is known by the manifest.
    if (meant && s.lost_known && meant->samples > s.n + s.lost)
        x->result->lost += meant->samples - s.n - s.lost;
    st = put_shard(x, path, out, &s, meant, &info, err);
    if (st == RQ_OK && !x->known)
        st = learn_classes(x, path, &s, err);
    if (st == RQ_OK)
        st = keep_shard(x, file, &s, &info, err);
    if (!meant || strcmp(info.sha256, meant->sha256) != 0)
        x->changed = true;
    rq_salvage_free(&s);
    return st;
}

// Bytes of a shard's file; 0 when it is lost.
static rq_status file_bytes(const repair *x, size_t i, uint64_t *bytes, rq_err *err)
{
    struct stat st;
    char *path = rq_path_join(x->dir, x->files[i]);
    if (!path)
        return oom(err);
    *bytes = stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
    rq_free(path);
    return RQ_OK;
}

static rq_status repair_files(repair *x, rq_err *err)
{
    uint64_t bytes;
    for (size_t i = 0; i < x->n_files; i++) {
        RQ_TRY(file_bytes(x, i, &bytes, err));
        x->bytes += bytes;
    }
    for (size_t i = 0; i < x->n_files; i++) {
        char *path = rq_path_join(x->dir, x->files[i]);
        char *out = rq_path_join(x->out, x->files[i]);
        const rq_manifest_shard *meant = x->known ? &x->old.shards[i] : NULL;
        rq_status st = path && out ? file_bytes(x, i, &bytes, err) : oom(err);
        if (st == RQ_OK)
            st = repair_file(x, x->files[i], path, out, meant, err);
        rq_free(path);
        rq_free(out);
        RQ_TRY(st);
        x->bytes_before += bytes;
    }
    return x->whole.n_shards ? RQ_OK : nothing(x->dir, err);
}

/* ---- the manifest ------------------------------------------------------------------------ */

static rq_status fill_known(repair *x, rq_err *err)
{
    rq_manifest *m = &x->whole;
    const rq_manifest *old = &x->old;
    m->encoding = old->encoding;
    m->level = old->level;
    m->lost = old->lost + (old->samples > m->samples ? old->samples - m->samples : 0);
    memcpy(m->verdicts, old->verdicts, sizeof m->verdicts);
    m->source_images = old->source_images;
    m->source_bytes = old->source_bytes;
    m->source_passed_over = old->source_passed_over;
    m->layout = rq_strdup(old->layout);
    m->created_by = rq_strdup(old->created_by);
    for (size_t i = 0; i < old->n_classes; i++)
        RQ_TRY(rq_manifest_add_class(m, old->classes[i], err));
    return rq_settings_copy(&m->settings, &old->settings, err);
}

static rq_status add_classes(repair *x, rq_err *err)
{
    for (size_t i = 0; i < x->n_classes; i++) {
        char unknown[32];
        snprintf(unknown, sizeof unknown, "class-%06zu", i); // no sample of it: no name
        RQ_TRY(rq_manifest_add_class(&x->whole, x->classes[i] ? x->classes[i] : unknown, err));
    }
    return RQ_OK;
}

static rq_status fill_unknown(repair *x, rq_err *err)
{
    rq_manifest *m = &x->whole;
    rq_report_summary summary;
    m->encoding = RQ_ENCODING_JPEG;
    for (int e = RQ_ENCODING_JPEG; e <= RQ_ENCODING_RAW; e++)
        if (x->encodings[e] > x->encodings[m->encoding])
            m->encoding = (rq_encoding)e;
    m->lost = x->result->lost_known ? x->result->lost : 0;
    m->verdicts[RQ_VERDICT_OK] = m->source_images = m->samples;
    char *report = rq_path_join(x->dir, RQ_REPORT_FILE);
    if (!report)
        return oom(err);
    if (rq_report_read(report, NULL, NULL, &summary, NULL) == RQ_OK) {
        memcpy(m->verdicts, summary.totals.verdicts, sizeof m->verdicts);
        m->source_images = summary.totals.images;
        m->source_bytes = summary.totals.bytes;
    }
    rq_free(report);
    m->layout = rq_strdup("unknown");
    m->created_by = rq_strdup("reliquary " RQ_VERSION " repair");
    return add_classes(x, err);
}

static rq_status fill_manifest(repair *x, rq_err *err)
{
    rq_manifest *m = &x->whole;
    RQ_TRY(x->known ? fill_known(x, err) : fill_unknown(x, err));
    if (!m->layout || !m->created_by)
        return oom(err);
    for (int e = RQ_ENCODING_JPEG; e <= RQ_ENCODING_RAW; e++)
        m->fallbacks += (rq_encoding)e == m->encoding ? 0 : x->encodings[e];
    return RQ_OK;
}

static rq_status write_manifest(repair *x, rq_err *err)
{
    rq_buf text = {0};
    char *path = rq_path_join(x->out, RQ_MANIFEST_FILE);
    rq_status st = path ? fill_manifest(x, err) : oom(err);
    if (st == RQ_OK)
        st = rq_manifest_encode(&x->whole, &text, err);
    if (st == RQ_OK)
        st = rq_manifest_hash(&text, x->result->manifest_sha256, err);
    if (st == RQ_OK)
        st = rq_file_write_atomic(path, text.data, text.size, err);
    x->result->manifest = st == RQ_OK;
    rq_buf_free(&text);
    rq_free(path);
    return st;
}

// Manifest and report go along unchanged when nothing was lost.
static rq_status carry_rest(repair *x, rq_err *err)
{
    static const char *const files[] = {RQ_REPORT_FILE, RQ_MANIFEST_FILE};
    for (size_t i = 0; i < 2; i++) {
        struct stat st;
        char *from = rq_path_join(x->dir, files[i]), *to = rq_path_join(x->out, files[i]);
        rq_status status = from && to ? RQ_OK : oom(err);
        if (status == RQ_OK && stat(from, &st) == 0 && (i == 0 || !x->changed))
            status = rq_carry(from, to, NULL, x->opts->salvage.cancel, err);
        rq_free(from);
        rq_free(to);
        RQ_TRY(status);
    }
    return RQ_OK;
}

/* ---- the whole --------------------------------------------------------------------------- */

static rq_status open_out(repair *x, rq_err *err)
{
    x->out = x->opts->out ? x->opts->out : x->dir;
    x->same = !x->opts->out;
    RQ_TRY(rq_folder_open(&x->folder, x->out, x->whole.name, (rq_part){0}, err));
    if (!x->same && !x->opts->replace && rq_folder_has(&x->folder, RQ_MANIFEST_FILE))
        return rq_fail(err, RQ_INVALID_ARG,
                       "'%s' already holds a dataset; choose another folder or give --force",
                       x->out);
    bool parts = false;
    if (!x->known)
        RQ_TRY(rq_folder_has_parts(&x->folder, &parts, err));
    if (parts && x->same)
        return rq_fail(err, RQ_INVALID_ARG,
                       "'%s' holds parts that were not merged, or lost their %s: run `rq-pack "
                       "merge`; a damaged shard of them is repaired by its own name",
                       x->dir, RQ_MANIFEST_FILE);
    return RQ_OK;
}

static rq_status repair_folder(repair *x, rq_err *err)
{
    RQ_TRY(find_shards(x, err));
    RQ_TRY(open_out(x, err));
    RQ_TRY(repair_files(x, err));
    if (!x->same) {
        RQ_TRY(carry_rest(x, err));
        RQ_TRY(rq_folder_sync(&x->folder, err));
    }
    if (x->changed)
        RQ_TRY(write_manifest(x, err));
    rq_repair_result *r = x->result;
    r->shards = (int)x->whole.n_shards;
    r->samples = x->whole.samples;
    r->was_intact = !x->changed && r->rebuilt == 0;
    return RQ_OK;
}

static void end(repair *x, bool failed)
{
    rq_folder_close(&x->folder, failed);
    for (size_t i = 0; i < x->n_files; i++)
        rq_free(x->files[i]);
    for (size_t i = 0; i < x->n_classes; i++)
        rq_free(x->classes[i]);
    rq_free(x->files);
    rq_free(x->classes);
    rq_manifest_free(&x->old);
    rq_manifest_free(&x->whole);
}

rq_status rq_repair(const char *path, const rq_repair_opts *opts, rq_repair_result *result,
                    rq_err *err)
{
    struct stat st;
    *result = (rq_repair_result){.lost_known = true};
    if (stat(path, &st) != 0)
        return rq_fail_errno(err, "cannot open '%s'", path);
    if (!S_ISDIR(st.st_mode))
        return repair_shard(path, opts, result, err);
    repair x = {.opts = opts,
                .result = result,
                .dir = path,
                .salvage = {.damage = tell_damage,
                            .progress = tell_progress,
                            .cookie = &x,
                            .cancel = opts->salvage.cancel}};
    const rq_status status = repair_folder(&x, err);
    end(&x, status != RQ_OK);
    return status;
}
