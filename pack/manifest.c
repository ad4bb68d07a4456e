// SPDX-License-Identifier: Apache-2.0
// The manifest of a dataset, written by hand so that equal datasets give equal bytes, and
// parsed as hostile text: hash, then types and ranges, then that no shard name leaves the
// folder.
#include "pack/manifest.h"

#include "common/file.h"
#include "common/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FORMAT_NAME "reliquary-dataset"
#define PART_FORMAT "reliquary-part"
#define SEAL_START  ",\n  \"xxh3\": \""
#define SEAL_END    "\"\n}\n"
enum { SEAL_BYTES = sizeof SEAL_START - 1 + 16 + sizeof SEAL_END - 1 };

static const int64_t MAX_NUMBER = INT64_C(1) << 53;

void rq_manifest_free(rq_manifest *m)
{
    for (size_t i = 0; i < m->n_classes; i++)
        rq_free(m->classes[i]);
    for (size_t i = 0; i < m->n_shards; i++)
        rq_free(m->shards[i].file);
    rq_free(m->classes);
    rq_free(m->shards);
    rq_free(m->name);
    rq_free(m->layout);
    rq_free(m->created_by);
    rq_settings_free(&m->settings);
    *m = (rq_manifest){0};
}

rq_status rq_manifest_add_class(rq_manifest *m, const char *name, rq_err *err)
{
    RQ_TRY(rq_grow((void **)&m->classes, &m->cap_classes, m->n_classes + 1, sizeof *m->classes,
                   err));
    char *copy = rq_strdup(name);
    if (!copy)
        return rq_fail(err, RQ_OOM, "out of memory for class names");
    m->classes[m->n_classes++] = copy;
    return RQ_OK;
}

rq_status rq_manifest_add_shard(rq_manifest *m, const char *file, const rq_manifest_shard *info,
                                rq_err *err)
{
    RQ_TRY(
        rq_grow((void **)&m->shards, &m->cap_shards, m->n_shards + 1, sizeof *m->shards, err));
    rq_manifest_shard copy = *info;
    copy.file = rq_strdup(file);
    if (!copy.file)
        return rq_fail(err, RQ_OOM, "out of memory for shard names");
    m->shards[m->n_shards++] = copy;
    return RQ_OK;
}

void rq_shard_prefix(char *buf, size_t buf_bytes, const char *name, rq_part part)
{
    if (part.count == 0)
        snprintf(buf, buf_bytes, "%s", name);
    else
        snprintf(buf, buf_bytes, "%s-p%03dof%03d", name, part.index, part.count);
}

void rq_shard_file_name(char *buf, size_t buf_bytes, const char *prefix, size_t number)
{
    snprintf(buf, buf_bytes, "%s-%06zu%s", prefix, number, RQ_SHARD_SUFFIX);
}

// "pIIIofNNN-" at *at: steps behind it. Numbers have 3 or 4 digits, as rq_shard_prefix writes.
static rq_part take_part(const char **at)
{
    char again[32];
    rq_part p = {0};
    if (sscanf(*at, "p%4dof%4d-", &p.index, &p.count) != 2 || p.index < 1 || p.index > p.count)
        return (rq_part){0};
    const int n = snprintf(again, sizeof again, "p%03dof%03d-", p.index, p.count);
    if (strncmp(*at, again, (size_t)n) != 0)
        return (rq_part){0};
    *at += n;
    return p;
}

// The last "-" of a file's name with something of the form NNNNNN or pIIIofNNN-NNNNNN behind it
// ends NAME.
static const char *behind_name(const char *file, const char *name)
{
    if (name) {
        const size_t n = strlen(name);
        return strncmp(file, name, n) == 0 && file[n] == '-' ? file + n + 1 : NULL;
    }
    const char *dash = file + strcspn(file, ".");
    while (dash > file && *dash != '-')
        dash--;
    if (dash == file)
        return NULL;
    for (const char *p = dash - 1; p > file; p--)
        if (*p == '-') {
            const char *at = p + 1;
            if (take_part(&at).count && at == dash + 1)
                dash = p;
            break;
        }
    char prefix[RQ_MAX_NAME_BYTES + 1];
    const size_t n = (size_t)(dash - file);
    if (n > RQ_MAX_NAME_BYTES)
        return NULL;
    memcpy(prefix, file, n);
    prefix[n] = 0;
    return rq_shard_prefix_valid(prefix) ? dash + 1 : NULL;
}

bool rq_shard_file_parse(const char *file, const char *name, const char *suffix, rq_part *part,
                         size_t *number)
{
    const char *at = behind_name(file, name);
    if (!at)
        return false;
    const rq_part p = take_part(&at);
    const size_t digits = strspn(at, "0123456789");
    if (digits < 6 || digits > 8 || strcmp(at + digits, suffix) != 0)
        return false;
    if (part)
        *part = p;
    if (number)
        *number = (size_t)strtoul(at, NULL, 10);
    return true;
}

bool rq_shard_prefix_valid(const char *name)
{
    const size_t n = strlen(name);
    return n >= 1 && n <= RQ_MAX_NAME_BYTES &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") ==
               n;
}

/* ---- writing ----------------------------------------------------------------------------- */

static rq_status put_string(rq_buf *out, const char *key, const char *text, rq_err *err)
{
    RQ_TRY(rq_buf_printf(out, err, "  \"%s\": ", key));
    RQ_TRY(rq_json_append_string(out, text, err));
    return rq_buf_append(out, ",\n", 2, err);
}

static rq_status put_classes(const rq_manifest *m, rq_buf *out, rq_err *err)
{
    RQ_TRY(rq_buf_printf(out, err, "  \"classes\": ["));
    for (size_t i = 0; i < m->n_classes; i++) {
        RQ_TRY(rq_buf_printf(out, err, i ? ", " : ""));
        RQ_TRY(rq_json_append_string(out, m->classes[i], err));
    }
    return rq_buf_printf(out, err, "],\n");
}

static rq_status put_shards(const rq_manifest *m, rq_buf *out, rq_err *err)
{
    RQ_TRY(rq_buf_printf(out, err, "  \"shards\": ["));
    for (size_t i = 0; i < m->n_shards; i++) {
        const rq_manifest_shard *s = &m->shards[i];
        RQ_TRY(rq_buf_printf(out, err, "%s\n    {\"file\": ", i ? "," : ""));
        RQ_TRY(rq_json_append_string(out, s->file, err));
        RQ_TRY(rq_buf_printf(out, err,
                             ", \"bytes\": %" PRIu64 ", \"samples\": %" PRIu64
                             ", \"index\": \"%016" PRIx64 "\", \"sha256\": \"%s\"}",
                             s->bytes, s->samples, s->index_hash, s->sha256));
    }
    return rq_buf_printf(out, err, "\n  ],\n");
}

rq_status rq_manifest_encode(const rq_manifest *m, rq_buf *out, rq_err *err)
{
    const size_t start = out->size;
    RQ_TRY(rq_buf_printf(out, err, "{\n  \"format\": \"%s\",\n  \"version\": %d,\n",
                         m->part.count ? PART_FORMAT : FORMAT_NAME, RQ_FORMAT_VERSION));
    RQ_TRY(put_string(out, "name", m->name, err));
    if (m->part.count)
        RQ_TRY(rq_buf_printf(out, err,
                             "  \"part\": {\"index\": %d, \"of\": %d, \"first\": %" PRIu64
                             ", \"images\": %" PRIu64 "},\n",
                             m->part.index, m->part.count, m->first, m->records));
    RQ_TRY(rq_buf_printf(out, err,
                         "  \"encoding\": \"%s\",\n  \"level\": %d,\n  \"samples\": %" PRIu64
                         ",\n  \"masks\": %" PRIu64 ",\n  \"fallbacks\": %" PRIu64 ",\n",
                         rq_encoding_name(m->encoding), m->level, m->samples, m->masks,
                         m->fallbacks));
    if (m->lost)
        RQ_TRY(rq_buf_printf(out, err, "  \"lost\": %" PRIu64 ",\n", m->lost));
    RQ_TRY(put_classes(m, out, err));
    RQ_TRY(put_shards(m, out, err));
    RQ_TRY(rq_buf_printf(out, err, "  \"verdicts\": {"));
    for (int k = 0; k < RQ_VERDICT_COUNT; k++)
        RQ_TRY(rq_buf_printf(out, err, "%s\"%s\": %" PRIu64, k ? ", " : "",
                             rq_verdict_name((rq_verdict_kind)k), m->verdicts[k]));
    RQ_TRY(rq_buf_printf(out, err, "},\n  \"source\": {\"layout\": "));
    RQ_TRY(rq_json_append_string(out, m->layout, err));
    RQ_TRY(rq_buf_printf(out, err,
                         ", \"images\": %" PRIu64 ", \"bytes\": %" PRIu64
                         ", \"passed_over\": %" PRIu64 "},\n  \"settings\": ",
                         m->source_images, m->source_bytes, m->source_passed_over));
    RQ_TRY(rq_settings_encode(&m->settings, out, err));
    RQ_TRY(rq_buf_printf(out, err, ",\n  \"created_by\": "));
    RQ_TRY(rq_json_append_string(out, m->created_by, err));
    const uint64_t seal = rq_xxh3(out->data + start, out->size - start);
    return rq_buf_printf(out, err, SEAL_START "%016" PRIx64 SEAL_END, seal);
}

/* ---- reading ----------------------------------------------------------------------------- */

static rq_status check_seal(const char *text, size_t bytes, rq_err *err)
{
    char seal[SEAL_BYTES + 1];
    if (bytes <= SEAL_BYTES)
        return rq_fail(err, RQ_TRUNCATED, "it has only %zu bytes", bytes);
    snprintf(seal, sizeof seal, SEAL_START "%016" PRIx64 SEAL_END,
             rq_xxh3(text, bytes - SEAL_BYTES));
    if (memcmp(seal, text + bytes - SEAL_BYTES, SEAL_BYTES) != 0)
        return rq_fail(err, RQ_BAD_CHECKSUM,
                       "its content does not match the hash in its last line; it was damaged "
                       "or edited");
    return RQ_OK;
}

static rq_status get_u64(const cJSON *obj, const char *key, uint64_t *out, rq_err *err)
{
    int64_t v;
    RQ_TRY(rq_json_get_int(obj, key, 0, MAX_NUMBER, &v, RQ_MANIFEST_FILE, err));
    *out = (uint64_t)v;
    return RQ_OK;
}

static rq_status get_copy(const cJSON *obj, const char *key, char **out, rq_err *err)
{
    const char *text;
    RQ_TRY(rq_json_get_string(obj, key, &text, RQ_MANIFEST_FILE, err));
    *out = rq_strdup(text);
    return *out ? RQ_OK : rq_fail(err, RQ_OOM, "out of memory");
}

static rq_status get_object(const cJSON *obj, const char *key, const cJSON **out, rq_err *err)
{
    *out = cJSON_GetObjectItemCaseSensitive(obj, key);
    if (!cJSON_IsObject(*out))
        return rq_fail(err, RQ_BAD_FORMAT, "%s: '%s' is missing or no object", RQ_MANIFEST_FILE,
                       key);
    return RQ_OK;
}

// Exactly `digits` lower-case hexadecimal digits.
static bool is_hex(const char *text, size_t digits)
{
    return strlen(text) == digits && strspn(text, "0123456789abcdef") == digits;
}

// Numbers ascend; those of parts within their part, parts in ascending order. A number may be
// missing: a shard that was lost.
static rq_status check_file(const rq_manifest *m, const char *file, rq_err *err)
{
    rq_part part, before = {0};
    size_t number, number_before = 0;
    bool sound = rq_shard_file_parse(file, m->name, RQ_SHARD_SUFFIX, &part, &number);
    if (sound && m->n_shards)
        sound = rq_shard_file_parse(m->shards[m->n_shards - 1].file, m->name, RQ_SHARD_SUFFIX,
                                    &before, &number_before);
    const bool same_part = m->n_shards && part.index == before.index;
    sound = sound && (!same_part || number > number_before) &&
            (m->n_shards == 0 || (part.count == before.count && part.index >= before.index));
    if (m->part.count)
        sound = sound && part.index == m->part.index && part.count == m->part.count;
    if (!sound)
        return rq_fail(err, RQ_BAD_FORMAT, "%s: shard %zu cannot be called '%.100s'",
                       RQ_MANIFEST_FILE, m->n_shards, file);
    return RQ_OK;
}

static rq_status parse_shard(rq_manifest *m, const cJSON *obj, rq_err *err)
{
    rq_manifest_shard s = {0};
    const char *file, *index, *sha;
    RQ_TRY(rq_json_get_string(obj, "file", &file, RQ_MANIFEST_FILE, err));
    RQ_TRY(rq_json_get_string(obj, "index", &index, RQ_MANIFEST_FILE, err));
    RQ_TRY(rq_json_get_string(obj, "sha256", &sha, RQ_MANIFEST_FILE, err));
    RQ_TRY(get_u64(obj, "bytes", &s.bytes, err));
    RQ_TRY(get_u64(obj, "samples", &s.samples, err));
    RQ_TRY(check_file(m, file, err));
    if (!is_hex(index, 16) || !is_hex(sha, 64) || s.samples == 0 ||
        s.samples > RQ_MAX_SHARD_SAMPLES || s.bytes / RQ_INDEX_ENTRY_BYTES < s.samples)
        return rq_fail(err, RQ_BAD_FORMAT, "%s: the record of shard '%s' is out of range",
                       RQ_MANIFEST_FILE, file);
    memcpy(s.sha256, sha, sizeof s.sha256);
    for (const char *p = index; *p; p++)
        s.index_hash = s.index_hash << 4 | (uint64_t)(*p <= '9' ? *p - '0' : *p - 'a' + 10);
    return rq_manifest_add_shard(m, file, &s, err);
}

static rq_status parse_lists(rq_manifest *m, const cJSON *root, rq_err *err)
{
    const cJSON *list, *item;
    RQ_TRY(rq_json_get_array(root, "classes", &list, RQ_MANIFEST_FILE, err));
    cJSON_ArrayForEach(item, list)
    {
        if (!cJSON_IsString(item))
            return rq_fail(err, RQ_BAD_FORMAT, "%s: a class name is no string",
                           RQ_MANIFEST_FILE);
        RQ_TRY(rq_manifest_add_class(m, item->valuestring, err));
    }
    if (m->n_classes > RQ_MAX_CLASSES)
        return rq_fail(err, RQ_LIMIT, "%s: more than %d classes", RQ_MANIFEST_FILE,
                       RQ_MAX_CLASSES);
    RQ_TRY(rq_json_get_array(root, "shards", &list, RQ_MANIFEST_FILE, err));
    uint64_t samples = 0;
    cJSON_ArrayForEach(item, list)
    {
        if (m->n_shards == RQ_MAX_SHARDS)
            return rq_fail(err, RQ_BAD_FORMAT, "%s: more than %d shards", RQ_MANIFEST_FILE,
                           RQ_MAX_SHARDS);
        RQ_TRY(parse_shard(m, item, err));
        samples += m->shards[m->n_shards - 1].samples;
    }
    if ((m->n_shards == 0 && m->part.count == 0) || samples != m->samples ||
        m->masks > m->samples)
        return rq_fail(err, RQ_BAD_FORMAT,
                       "%s: %" PRIu64 " samples, but its shards hold %" PRIu64,
                       RQ_MANIFEST_FILE, m->samples, samples);
    return RQ_OK;
}

static rq_status parse_encoding(rq_manifest *m, const cJSON *root, rq_err *err)
{
    const char *text;
    RQ_TRY(rq_json_get_string(root, "encoding", &text, RQ_MANIFEST_FILE, err));
    for (int e = RQ_ENCODING_JPEG; e <= RQ_ENCODING_RAW; e++)
        if (strcmp(text, rq_encoding_name((rq_encoding)e)) == 0)
            m->encoding = (rq_encoding)e;
    if (m->encoding == 0)
        return rq_fail(err, RQ_UNSUPPORTED, "%s: unknown encoding '%.40s'", RQ_MANIFEST_FILE,
                       text);
    int64_t level;
    RQ_TRY(rq_json_get_int(root, "level", 0, 22, &level, RQ_MANIFEST_FILE, err));
    m->level = (int)level;
    return RQ_OK;
}

static rq_status parse_part(rq_manifest *m, const cJSON *root, rq_err *err)
{
    const cJSON *sub;
    int64_t index, count;
    RQ_TRY(get_object(root, "part", &sub, err));
    RQ_TRY(rq_json_get_int(sub, "of", 1, RQ_MAX_PARTS, &count, RQ_MANIFEST_FILE, err));
    RQ_TRY(rq_json_get_int(sub, "index", 1, count, &index, RQ_MANIFEST_FILE, err));
    RQ_TRY(get_u64(sub, "first", &m->first, err));
    RQ_TRY(get_u64(sub, "images", &m->records, err));
    m->part = (rq_part){(int)index, (int)count};
    return RQ_OK;
}

static rq_status parse_fields(rq_manifest *m, const cJSON *root, rq_err *err)
{
    const char *format;
    const cJSON *sub;
    int64_t version;
    RQ_TRY(rq_json_get_string(root, "format", &format, RQ_MANIFEST_FILE, err));
    const bool part = strcmp(format, PART_FORMAT) == 0;
    if (!part && strcmp(format, FORMAT_NAME) != 0)
        return rq_fail(err, RQ_BAD_FORMAT, "%s: format is '%.40s', not '%s'", RQ_MANIFEST_FILE,
                       format, FORMAT_NAME);
    RQ_TRY(rq_json_get_int(root, "version", 1, MAX_NUMBER, &version, RQ_MANIFEST_FILE, err));
    if (version > RQ_FORMAT_VERSION)
        return rq_fail(err, RQ_UNSUPPORTED,
                       "%s: format version %lld is newer than this program, which reads %d",
                       RQ_MANIFEST_FILE, (long long)version, RQ_FORMAT_VERSION);
    RQ_TRY(get_copy(root, "name", &m->name, err));
    if (!rq_shard_prefix_valid(m->name))
        return rq_fail(err, RQ_BAD_FORMAT, "%s: '%.80s' is no name for a dataset",
                       RQ_MANIFEST_FILE, m->name);
    if (part)
        RQ_TRY(parse_part(m, root, err));
    RQ_TRY(parse_encoding(m, root, err));
    RQ_TRY(get_u64(root, "samples", &m->samples, err));
    RQ_TRY(get_u64(root, "masks", &m->masks, err));
    RQ_TRY(get_u64(root, "fallbacks", &m->fallbacks, err));
    if (cJSON_GetObjectItemCaseSensitive(root, "lost"))
        RQ_TRY(get_u64(root, "lost", &m->lost, err));
    RQ_TRY(parse_lists(m, root, err));
    RQ_TRY(get_object(root, "verdicts", &sub, err));
    for (int k = 0; k < RQ_VERDICT_COUNT; k++)
        RQ_TRY(get_u64(sub, rq_verdict_name((rq_verdict_kind)k), &m->verdicts[k], err));
    RQ_TRY(get_object(root, "source", &sub, err));
    RQ_TRY(get_copy(sub, "layout", &m->layout, err));
    RQ_TRY(get_u64(sub, "images", &m->source_images, err));
    RQ_TRY(get_u64(sub, "bytes", &m->source_bytes, err));
    RQ_TRY(get_u64(sub, "passed_over", &m->source_passed_over, err));
    const cJSON *settings = cJSON_GetObjectItemCaseSensitive(root, "settings");
    if (settings) // older manifests have none
        RQ_TRY(rq_settings_parse(&m->settings, settings, RQ_MANIFEST_FILE, err));
    return get_copy(root, "created_by", &m->created_by, err);
}

rq_status rq_manifest_parse(rq_manifest *m, const char *text, size_t bytes, rq_err *err)
{
    *m = (rq_manifest){0};
    RQ_TRY(check_seal(text, bytes, err));
    cJSON *root = NULL;
    RQ_TRY(rq_json_parse(&root, text, bytes, RQ_MANIFEST_FILE, err));
    const rq_status st = parse_fields(m, root, err);
    cJSON_Delete(root);
    if (st != RQ_OK)
        rq_manifest_free(m);
    return st;
}

// Why there is no manifest, and what to do about it.
static rq_status explain_missing(const char *dir, rq_err *err)
{
    struct stat st;
    if (stat(dir, &st) != 0)
        return rq_fail_errno(err, "cannot open the dataset '%s'", dir);
    if (!S_ISDIR(st.st_mode))
        return rq_fail(err, RQ_NOT_FOUND, "'%s' is not a dataset folder", dir);
    return rq_fail(err, RQ_NOT_FOUND,
                   "'%s' has no %s: it is no dataset, or a build that did not finish; run "
                   "`rq-pack build` with -o '%s' again, `rq-pack merge` when it was packed in "
                   "parts, or `rq-pack repair` when the file was lost",
                   dir, RQ_MANIFEST_FILE, dir);
}

rq_status rq_manifest_hash(const rq_buf *text, char sha256[RQ_SHA256_HEX], rq_err *err)
{
    rq_sha256 *sha;
    RQ_TRY(rq_sha256_create(&sha, err));
    rq_sha256_update(sha, text->data, text->size);
    rq_sha256_hex(sha, sha256);
    rq_sha256_destroy(&sha);
    return RQ_OK;
}

rq_status rq_manifest_read_file(rq_manifest *m, const char *path, char sha256[RQ_SHA256_HEX],
                                rq_err *err)
{
    *m = (rq_manifest){0};
    rq_buf text = {0};
    rq_err inner = {0};
    rq_status st = rq_file_read(path, RQ_MANIFEST_MAX_BYTES, &text, err);
    if (st == RQ_OK &&
        (st = rq_manifest_parse(m, (const char *)text.data, text.size, &inner)) != RQ_OK)
        rq_fail(err, st, "'%s': %s; restore the file from a copy or pack again", path,
                inner.text);
    else if (st == RQ_OK && sha256 && (st = rq_manifest_hash(&text, sha256, err)) != RQ_OK)
        rq_manifest_free(m);
    rq_buf_free(&text);
    return st;
}

rq_status rq_manifest_read(rq_manifest *m, const char *dir, char sha256[RQ_SHA256_HEX],
                           rq_err *err)
{
    rq_err inner = {0};
    char *path = rq_path_join(dir, RQ_MANIFEST_FILE);
    *m = (rq_manifest){0};
    if (!path)
        return rq_fail(err, RQ_OOM, "out of memory opening '%s'", dir);
    rq_status st = rq_manifest_read_file(m, path, sha256, &inner);
    if (st != RQ_OK && (inner.sys_errno == ENOENT || inner.sys_errno == ENOTDIR))
        st = explain_missing(dir, err);
    else if (st != RQ_OK)
        rq_fail(err, st, "%s", inner.text);
    else if (m->part.count) {
        rq_manifest_free(m);
        st = rq_fail(err, RQ_BAD_FORMAT,
                     "'%s' describes one part of a dataset; restore the "
                     "file from a copy or run `rq-pack merge` again",
                     path);
    }
    rq_free(path);
    return st;
}
