// SPDX-License-Identifier: Apache-2.0
// Packed samples back to files. Names in a shard are hostile: a path is used only when each of
// its parts is a plain name. Files are written beside their final name and renamed, without an
// fsync each (a dataset has a million); one syncfs at the end makes all of them durable.
#include "pack/unpack.h"

#include "common/file.h"
#include "pack/frame.h"
#include "pack/key.h"
#include "pack/meta.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_BYTES = 4200, PART_BYTES = 255 };

// A relative path of plain parts: no "", ".", "..", control bytes or backslashes.
static bool name_is_plain(const char *name)
{
    if (strlen(name) >= 4096)
        return false;
    for (const char *part = name;; part++) {
        const size_t n = strcspn(part, "/");
        if (n == 0 || n > PART_BYTES - 32 || part[0] == '.')
            return false;
        for (size_t i = 0; i < n; i++)
            if ((unsigned char)part[i] < 32 || part[i] == 127 || part[i] == '\\')
                return false;
        part += n;
        if (*part == 0)
            return true;
    }
}

static const char *extension_of(const rq_sample *s)
{
    switch (s->encoding) {
    case RQ_ENCODING_DCT:
        return "jpg";
    case RQ_ENCODING_RAW:
        return "png";
    default:
        return rq_frame_extension(s->encoding, s->image, s->image_bytes);
    }
}

// Whether the file will be of the kind that it was in the source.
static bool same_kind(const rq_sample *s, const char *codec)
{
    const bool jpeg = s->encoding == RQ_ENCODING_JPEG || s->encoding == RQ_ENCODING_DCT;
    const bool avif = s->encoding == RQ_ENCODING_AVIF;
    if (!codec || !codec[0])
        return jpeg || avif;
    return (jpeg && strcmp(codec, rq_codec_name(RQ_CODEC_JPEG)) == 0) ||
           (avif && strcmp(codec, rq_codec_name(RQ_CODEC_AVIF)) == 0);
}

void rq_unpack_name(char *out, size_t out_bytes, const char *name, const char *codec,
                    const rq_sample *sample)
{
    const char *ext = extension_of(sample);
    if (!name || !name_is_plain(name))
        snprintf(out, out_bytes, "%s.%s", sample->key, ext);
    else if (same_kind(sample, codec))
        snprintf(out, out_bytes, "%s", name);
    else if (strchr(sample->key, '+')) // the stem alone may belong to another sample too
        snprintf(out, out_bytes, "%.*s+%" PRIu64 ".%s", rq_key_stem(name), name, sample->id,
                 ext);
    else
        snprintf(out, out_bytes, "%.*s.%s", rq_key_stem(name), name, ext);
}

static rq_status exists(const char *path, rq_err *err)
{
    return rq_fail(err, RQ_INVALID_ARG,
                   "'%s' already exists; unpack into an empty folder, or give --force", path);
}

// Creates the folders of `path`, which lies below `dir`.
static rq_status make_parents(char *path, rq_err *err)
{
    char *slash = strrchr(path, '/');
    *slash = 0;
    struct stat st;
    rq_status status = RQ_OK;
    if (stat(path, &st) != 0)
        status = rq_mkdirs(path, err);
    *slash = '/';
    return status;
}

static rq_status put_file(char *path, const void *data, size_t bytes, bool replace, rq_err *err)
{
    RQ_TRY(make_parents(path, err));
    struct stat st;
    if (!replace && lstat(path, &st) == 0)
        return exists(path, err);
    char temp[NAME_BYTES * 2];
    const char *base = rq_path_base(path);
    snprintf(temp, sizeof temp, "%.*s.%s.tmp-%ld", (int)(base - path), path, base,
             (long)getpid());
    const int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0)
        return rq_fail_errno(err, "cannot create '%s'", path);
    rq_status status = rq_write_full(fd, data, bytes, path, err);
    if (close(fd) != 0 && status == RQ_OK)
        status = rq_fail_errno(err, "cannot write '%s'", path);
    if (status == RQ_OK && rename(temp, path) != 0)
        status = rq_fail_errno(err, "cannot rename to '%s'", path);
    if (status != RQ_OK && unlink(temp) != 0)
        errno = 0; // the first failure is the one to tell
    return status;
}

static rq_status put_below(const char *dir, const char *name, const void *data, size_t bytes,
                           bool replace, rq_err *err)
{
    char *path = rq_path_join(dir, name);
    if (!path)
        return rq_fail(err, RQ_OOM, "out of memory for a file name");
    const rq_status st = put_file(path, data, bytes, replace, err);
    rq_free(path);
    return st;
}

// The mask's name from the image's: its stem, by which a build finds it again, unless the key
// says that another image has the same stem (x.jpg, x.jpeg). Such a key differs from the plain
// one.
static void mask_name(char name[NAME_BYTES], const rq_sample *s)
{
    char plain[RQ_MAX_KEY_BYTES + 1];
    const int stem = rq_key_stem(name);
    rq_key_make(plain, name, s->id, false);
    if (strcmp(plain, s->key) != 0 && strchr(s->key, '+') && !strchr(name, '+'))
        snprintf(name + stem, (size_t)(NAME_BYTES - stem), "+%" PRIu64 ".pgm", s->id);
    else
        snprintf(name + stem, (size_t)(NAME_BYTES - stem), ".pgm");
}

static rq_status put_sample(rq_reader *reader, const rq_sample *s, const char *dir,
                            const rq_unpack_opts *o, rq_buf *file, rq_unpack_result *r,
                            rq_err *err)
{
    char name[NAME_BYTES];
    const char *ext;
    rq_meta meta;
    // A sample whose JSON is unusable still has its picture: it gets its key as name.
    if (rq_meta_parse(&meta, s->meta, s->meta_bytes, NULL) != RQ_OK)
        meta = (rq_meta){0};
    rq_unpack_name(name, sizeof name, meta.name, meta.codec, s);
    rq_meta_free(&meta);
    RQ_TRY(rq_reader_export(reader, s, file, &ext, err));
    RQ_TRY(put_below(dir, name, file->data, file->size, o->replace, err));
    r->images++;
    r->bytes += file->size;
    if (!s->mask || !o->masks)
        return RQ_OK;
    mask_name(name, s);
    RQ_TRY(put_below(o->masks, name, s->mask, s->mask_bytes, o->replace, err));
    r->masks++;
    r->bytes += s->mask_bytes;
    return RQ_OK;
}

static rq_status sync_all(const char *dir, rq_err *err)
{
    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return rq_fail_errno(err, "cannot open the output folder '%s'", dir);
    const rq_status st =
        syncfs(fd) == 0 ? RQ_OK : rq_fail_errno(err, "cannot write out '%s'", dir);
    close(fd);
    return st;
}

static rq_status unpack_all(rq_reader *reader, const rq_dataset *ds, const char *dir,
                            const rq_unpack_opts *o, rq_buf *file, rq_unpack_result *r,
                            rq_err *err)
{
    const uint64_t count = rq_dataset_count(ds);
    for (uint64_t i = 0; i < count; i++) {
        rq_sample s;
        if (o->cancel && *o->cancel)
            return rq_fail(err, RQ_CANCELLED,
                           "interrupted after %" PRIu64 " of %" PRIu64
                           " images; run the same command again with --force",
                           i, count);
        RQ_TRY(rq_reader_get(reader, i, &s, err));
        RQ_TRY(put_sample(reader, &s, dir, o, file, r, err));
        if (o->progress)
            o->progress(o->progress_cookie, i + 1, count, r->bytes);
    }
    RQ_TRY(sync_all(dir, err));
    return r->masks ? sync_all(o->masks, err) : RQ_OK;
}

rq_status rq_unpack(const rq_dataset *ds, const char *dir, const rq_unpack_opts *opts,
                    rq_unpack_result *result, rq_err *err)
{
    rq_reader *reader;
    rq_buf file = {0};
    *result = (rq_unpack_result){0};
    RQ_TRY(rq_mkdirs(dir, err));
    RQ_TRY(rq_reader_create(&reader, ds, err));
    const rq_status st = unpack_all(reader, ds, dir, opts, &file, result, err);
    rq_buf_free(&file);
    rq_reader_destroy(&reader);
    return st;
}
