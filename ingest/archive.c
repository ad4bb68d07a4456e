// SPDX-License-Identifier: Apache-2.0
// Archives as a source, read with libarchive and never unpacked. An archive inside an archive
// is opened as a level on a stack. While no level is compressed, a level is a window of the
// file read by pread, so that the catalogue pass hops from header to header and every tar
// member has an offset in the file; below a compressed level, and in zip, members come as a
// stream.
//
// libarchive's warnings count as errors, except for names it cannot convert: names are bytes
// here. Nothing is created from names; links and devices are passed over. A tar that ends
// without its mark of zeros was cut off, which is an error unless the caller allows it.
#include "ingest/source_impl.h"

#include "common/file.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LEVELS_MAX = 8,
    HEADER_READ = 4096,    /* a plain window is read for headers alone */
    STREAM_READ = 65536,   /* a compressed one for everything */
    RATIO_MAX = 200,       /* of decompressed to compressed bytes, */
    RATIO_FREE = 64 << 20, /* beyond this many bytes */
    TAR_BLOCK = 512
};

typedef struct level {
    struct rq_tar *tar;
    struct level *parent; /* of a streamed level: where its bytes come from */
    struct archive *archive;
    struct archive_entry *entry;
    uint64_t base, size, at; /* of a window: place in the file, length, next byte */
    uint64_t fed;            /* bytes given to libarchive */
    uint64_t end;            /* of the last member, in the decompressed stream */
    bool windowed;
    bool compressed; /* or zip: members have no offset */
    bool end_known;
    bool clipped; /* the file ends within it */
    char class_name[RQ_PATH_BYTES_MAX];
    uint8_t *buffer;
} level;

struct rq_tar {
    int fd;
    uint64_t file_bytes;
    char *path;
    rq_source_opts opts;
    bool swollen;
    level *levels[LEVELS_MAX];
    int depth;
};

/* ---- bytes for libarchive ---------------------------------------------------------------- */

/* A stream that swells beyond reason is a bomb; libarchive asks for input seldom then. What
 * counts is what the file itself gave, so that bombs inside bombs do not multiply. */
static bool swells(const level *l)
{
    const int64_t out = archive_filter_bytes(l->archive, 0);
    const level *bottom = l;
    while (bottom->parent != NULL)
        bottom = bottom->parent;
    return l->compressed && out > RATIO_FREE && (uint64_t)out / RATIO_MAX > bottom->fed;
}

static la_ssize_t read_window(struct archive *a, level *l, const void **data)
{
    const uint64_t left = l->size - l->at;
    const size_t chunk = l->compressed ? STREAM_READ : HEADER_READ;
    const size_t want = left < chunk ? (size_t)left : chunk;
    rq_err err = {0};
    if (want > 0 && rq_pread_full(l->tar->fd, l->buffer, want, l->base + l->at, l->tar->path,
                                  &err) != RQ_OK) {
        archive_set_error(a, err.sys_errno != 0 ? err.sys_errno : EIO, "%s", err.text);
        return ARCHIVE_FATAL;
    }
    l->at += want;
    *data = l->buffer;
    return (la_ssize_t)want;
}

static la_ssize_t read_parent(struct archive *a, level *l, const void **data)
{
    size_t n = 0;
    la_int64_t offset;
    const int r = archive_read_data_block(l->parent->archive, data, &n, &offset);
    if (r == ARCHIVE_EOF)
        return 0;
    if (r != ARCHIVE_OK) {
        archive_set_error(a, archive_errno(l->parent->archive), "%s",
                          archive_error_string(l->parent->archive));
        return ARCHIVE_FATAL;
    }
    return (la_ssize_t)n;
}

static la_ssize_t on_read(struct archive *a, void *cookie, const void **data)
{
    level *l = cookie;
    if (swells(l)) {
        l->tar->swollen = true; /* the decompressor above would call this a truncation */
        archive_set_error(a, ERANGE, "it swells");
        return ARCHIVE_FATAL;
    }
    const la_ssize_t n = l->windowed ? read_window(a, l, data) : read_parent(a, l, data);
    l->fed += n > 0 ? (uint64_t)n : 0;
    return n;
}

static la_int64_t on_skip(struct archive *a, void *cookie, la_int64_t request)
{
    level *l = cookie;
    if (!l->windowed || request <= 0)
        return 0;
    const uint64_t left = l->size - l->at;
    const uint64_t n = (uint64_t)request < left ? (uint64_t)request : left;
    l->at += n;
    return (la_int64_t)n;
}

/* Zip is read from its end. */
static la_int64_t on_seek(struct archive *a, void *cookie, la_int64_t offset, int whence)
{
    level *l = cookie;
    const int64_t from = whence == SEEK_SET   ? 0
                         : whence == SEEK_CUR ? (int64_t)l->at
                                              : (int64_t)l->size;
    if (offset < -from || offset > INT64_MAX - from || (uint64_t)(from + offset) > l->size) {
        archive_set_error(a, EINVAL, "a place outside of the file");
        return ARCHIVE_FATAL;
    }
    l->at = (uint64_t)(from + offset);
    return (la_int64_t)l->at;
}

/* ---- levels ------------------------------------------------------------------------------ */

static rq_status fail_archive(const rq_tar *t, const level *l, rq_err *err)
{
    const char *text = archive_error_string(l->archive);
    const int code = archive_errno(l->archive);
    rq_status s = RQ_BAD_FORMAT;
    if (text != NULL && strstr(text, "runcated") != NULL)
        s = RQ_TRUNCATED;
    else if (code == ENOMEM)
        s = RQ_OOM;
    else if (code == EIO)
        s = RQ_IO;
    const char *inside = l->class_name[0] != '\0' ? ", archive inside it " : "";
    if (t->swollen)
        return rq_fail(err, RQ_LIMIT,
                       "%s%s%s unpacks to more than %d times its compressed size; unpack it "
                       "yourself if that is right",
                       t->path, inside, l->class_name, RATIO_MAX);
    if (text != NULL && strstr(text, "nrecognized archive format") != NULL)
        return rq_fail(err, s,
                       "%s%s%s is not a tar archive that can be read, or was cut off; give a "
                       "folder of class folders or an archive (.tar, .tar.gz, .tar.zst, .zip)",
                       t->path, inside, l->class_name);
    return rq_fail(err, s, "%s%s%s cannot be read near byte %llu: %s; check that it is whole",
                   t->path, inside, l->class_name,
                   (unsigned long long)(l->windowed ? l->base + l->at : l->fed),
                   text != NULL ? text : "no reason given");
}

static void level_free(level *l)
{
    if (l == NULL)
        return;
    if (l->archive != NULL)
        archive_read_free(l->archive);
    rq_free(l->buffer);
    rq_free(l);
}

static bool starts_compressed(const rq_tar *t, const level *l)
{
    static const char magic[][5] = {"\x1F\x8B", "\x28\xB5\x2F\xFD", "\xFD\x37zX", "BZh", "PK"};
    uint8_t head[4];
    rq_err ignored = {0};
    if (l->size < sizeof head ||
        rq_pread_full(t->fd, head, sizeof head, l->base, t->path, &ignored) != RQ_OK)
        return false;
    for (size_t i = 0; i < sizeof magic / sizeof *magic; i++) {
        if (memcmp(head, magic[i], strlen(magic[i])) == 0)
            return true;
    }
    return false;
}

/* Tar through the usual compressors, and zip by its directory: what is not needed cannot be
 * attacked. */
static bool enable_formats(struct archive *a, bool can_seek)
{
    return archive_read_support_format_tar(a) == ARCHIVE_OK &&
           (!can_seek || archive_read_support_format_zip_seekable(a) == ARCHIVE_OK) &&
           archive_read_support_filter_gzip(a) == ARCHIVE_OK &&
           archive_read_support_filter_zstd(a) == ARCHIVE_OK &&
           archive_read_support_filter_xz(a) == ARCHIVE_OK &&
           archive_read_support_filter_bzip2(a) == ARCHIVE_OK;
}

/* Pushes a level: a window of the file, or with a parent the data of its current entry. */
static rq_status push_level(rq_tar *t, level *parent, uint64_t base, uint64_t size,
                            const char *class_name, rq_err *err)
{
    level *l = rq_calloc(1, sizeof *l);
    uint8_t *buffer = rq_alloc(STREAM_READ, 1);
    struct archive *a = archive_read_new();
    if (l == NULL || buffer == NULL || a == NULL) {
        rq_free(buffer);
        rq_free(l);
        archive_read_free(a);
        return rq_fail(err, RQ_OOM, "%s: no memory to read the archive", t->path);
    }
    l->tar = t;
    l->parent = parent;
    l->archive = a;
    l->buffer = buffer;
    l->windowed = parent == NULL;
    l->base = base;
    l->size = size;
    memcpy(l->class_name, class_name, strnlen(class_name, RQ_PATH_BYTES_MAX - 1));
    l->compressed = parent != NULL || starts_compressed(t, l);
    l->end_known = true;
    t->levels[t->depth++] = l;
    if (!enable_formats(a, l->windowed))
        return fail_archive(t, l, err);
    archive_read_set_callback_data(a, l);
    archive_read_set_read_callback(a, on_read);
    archive_read_set_skip_callback(a, on_skip);
    if (l->windowed)
        archive_read_set_seek_callback(a, on_seek);
    if (archive_read_open1(a) != ARCHIVE_OK)
        return fail_archive(t, l, err);
    l->compressed = l->compressed || archive_filter_code(a, 0) != ARCHIVE_FILTER_NONE;
    return RQ_OK;
}

static void pop_level(rq_tar *t)
{
    level_free(t->levels[--t->depth]);
}

static rq_status open_file(rq_tar *t, rq_err *err)
{
    t->fd = open(t->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (t->fd < 0)
        return rq_fail_errno(err, "archive %s", t->path);
    struct stat st;
    if (fstat(t->fd, &st) != 0)
        return rq_fail_errno(err, "archive %s", t->path);
    if (!S_ISREG(st.st_mode))
        return rq_fail(err, RQ_UNSUPPORTED, "%s is neither a folder nor a regular file",
                       t->path);
    if (st.st_size == 0)
        return rq_fail(err, RQ_TRUNCATED, "%s is empty", t->path);
    t->file_bytes = (uint64_t)st.st_size;
    return push_level(t, NULL, 0, t->file_bytes, "", err);
}

rq_status rq_tar_open(rq_tar **out, const char *path, const rq_source_opts *opts, rq_err *err)
{
    *out = NULL;
    rq_tar *t = rq_calloc(1, sizeof *t);
    if (t == NULL)
        return rq_fail(err, RQ_OOM, "%s: no memory to read the archive", path);
    t->fd = -1;
    t->opts = *opts;
    t->path = rq_strdup(path);
    const rq_status s = t->path != NULL
                            ? open_file(t, err)
                            : rq_fail(err, RQ_OOM, "%s: no memory for its name", path);
    if (s != RQ_OK) {
        rq_tar_close(&t);
        return s;
    }
    *out = t;
    return RQ_OK;
}

void rq_tar_close(rq_tar **tar)
{
    if (tar == NULL || *tar == NULL)
        return;
    rq_tar *t = *tar;
    while (t->depth > 0)
        pop_level(t);
    if (t->fd >= 0)
        close(t->fd);
    rq_free(t->path);
    rq_free(t);
    *tar = NULL;
}

/* ---- members ----------------------------------------------------------------------------- */

/* Copies a path without its empty, "." and ".." parts. */
static void clean_path(rq_member *m, const char *raw)
{
    size_t used = 0;
    while (*raw != '\0') {
        const size_t n = strcspn(raw, "/");
        const bool dots =
            (n == 1 && raw[0] == '.') || (n == 2 && raw[0] == '.' && raw[1] == '.');
        if (n > 0 && !dots) {
            if (used + n + 2 > sizeof m->path) {
                m->too_long = true;
                break;
            }
            if (used > 0)
                m->path[used++] = '/';
            memcpy(m->path + used, raw, n);
            used += n;
        }
        raw += n + (raw[n] == '/');
    }
    m->path[used] = '\0';
}

static rq_status next_header(rq_tar *t, level *l, rq_err *err)
{
    const int r = archive_read_next_header(l->archive, &l->entry);
    if (r == ARCHIVE_EOF)
        return RQ_END;
    if (r == ARCHIVE_OK)
        return RQ_OK;
    const char *text = archive_error_string(l->archive);
    if (r == ARCHIVE_WARN && text != NULL && strstr(text, "can't be converted") != NULL)
        return RQ_OK;
    return fail_archive(t, l, err);
}

static bool is_tar(const level *l)
{
    return (archive_format(l->archive) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_TAR;
}

/* A tar ends with blocks of zeros, which libarchive has read then; one that was cut off between
 * two members ends where the last of them does. */
static bool lacks_end(const level *l)
{
    const int64_t at = archive_filter_bytes(l->archive, 0);
    return is_tar(l) && l->end_known && at >= 0 && (uint64_t)at <= l->end;
}

/* Whether the end of a level may pass: it is whole, or what is missing may be. */
static rq_status end_level(rq_tar *t, const level *l, rq_status s, rq_err *err)
{
    const char *inside = l->class_name[0] != '\0' ? ", archive inside it " : "";
    if (s == RQ_END && !lacks_end(l))
        return RQ_OK;
    if (s == RQ_END)
        s = rq_fail(err, RQ_TRUNCATED,
                    "%s%s%s has no end-of-archive mark: it was cut off, and images are "
                    "missing; get it again, or use what is there with --allow-truncated",
                    t->path, inside, l->class_name);
    const bool early = s == RQ_TRUNCATED || (l->clipped && s == RQ_BAD_FORMAT);
    if (!early || !t->opts.allow_truncated || t->swollen)
        return s;
    rq_err_clear(err);
    rq_log(&t->opts.log, RQ_LOG_WARN, "%s%s%s ends early; what is whole is used", t->path,
           inside, l->class_name);
    return RQ_OK;
}

static rq_member_kind kind_of(struct archive_entry *e)
{
    if (archive_entry_hardlink(e) != NULL)
        return RQ_MEMBER_OTHER;
    switch (archive_entry_filetype(e)) {
    case AE_IFREG:
        return RQ_MEMBER_FILE;
    case AE_IFDIR:
        return RQ_MEMBER_FOLDER;
    default:
        return RQ_MEMBER_OTHER;
    }
}

static rq_status describe(rq_tar *t, level *l, rq_member *m, rq_err *err)
{
    m->too_deep = m->too_long = m->cut = false;
    memcpy(m->class_name, l->class_name, strlen(l->class_name) + 1);
    m->kind = kind_of(l->entry);
    m->offset = RQ_NO_OFFSET;
    const char *raw = archive_entry_pathname(l->entry);
    clean_path(m, raw != NULL ? raw : "");
    m->sparse = archive_entry_sparse_count(l->entry) > 0;
    const la_int64_t bytes = archive_entry_size(l->entry);
    if (bytes < 0)
        return rq_fail(err, RQ_BAD_FORMAT, "%s: member %s has a negative size", t->path,
                       m->path);
    m->bytes = (uint64_t)bytes;
    const uint64_t at = (uint64_t)archive_filter_bytes(l->archive, 0);
    l->end_known = !m->sparse && m->bytes <= INT64_MAX - TAR_BLOCK - at;
    l->end = at + (m->bytes + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
    if (l->windowed && !l->compressed && is_tar(l) && !m->sparse)
        m->offset = l->base + at;
    m->cut = m->kind == RQ_MEMBER_FILE && m->offset != RQ_NO_OFFSET &&
             (m->offset > t->file_bytes || m->bytes > t->file_bytes - m->offset);
    if (!m->cut || t->opts.allow_truncated)
        return RQ_OK;
    return rq_fail(
        err, RQ_TRUNCATED,
        "%s ends at byte %llu, within its member %s; check that it was copied whole, "
        "or use what is there with --allow-truncated",
        t->path, (unsigned long long)t->file_bytes, m->path);
}

/* Opens the archive that the current member of the top level is. */
static rq_status enter(rq_tar *t, rq_member *m, size_t stem, rq_err *err)
{
    level *top = t->levels[t->depth - 1];
    char class_name[RQ_PATH_BYTES_MAX];
    memcpy(class_name, m->path, stem);
    class_name[stem] = '\0';
    m->kind = RQ_MEMBER_ARCHIVE;
    const char *base = rq_path_base(class_name);
    memmove(m->class_name, base, strlen(base) + 1);
    if (m->bytes == 0)
        return RQ_OK;
    if (m->offset == RQ_NO_OFFSET)
        return push_level(t, top, 0, 0, m->class_name, err);
    if (m->offset >= t->file_bytes)
        return RQ_OK; /* cut off before it began, which the end of the outer one will say */
    const uint64_t left = t->file_bytes - m->offset;
    const bool clipped = m->bytes > left;
    const int depth = t->depth;
    const rq_status s =
        push_level(t, NULL, m->offset, clipped ? left : m->bytes, m->class_name, err);
    if (t->depth > depth)
        t->levels[depth]->clipped = clipped;
    if (s == RQ_OK || t->depth == depth)
        return s;
    RQ_TRY(end_level(t, t->levels[depth], s, err));
    pop_level(t);
    return RQ_OK;
}

rq_status rq_tar_next(rq_tar *t, rq_member *m, rq_err *err)
{
    while (t->depth > 0) {
        level *l = t->levels[t->depth - 1];
        const rq_status s = next_header(t, l, err);
        if (s != RQ_OK) {
            RQ_TRY(end_level(t, l, s, err));
            pop_level(t);
            continue;
        }
        RQ_TRY(describe(t, l, m, err));
        /* Hidden ones too are passed over: "._x.tar" beside "x.tar" is no archive. */
        const bool visible = m->kind == RQ_MEMBER_FILE && !rq_is_no_image(m->path);
        const size_t stem = visible ? rq_archive_stem(m->path) : 0;
        if (stem == 0 || m->sparse || m->too_long)
            return RQ_OK;
        if (t->depth < t->opts.max_depth && t->depth < LEVELS_MAX)
            return enter(t, m, stem, err);
        m->too_deep = true;
        return RQ_OK;
    }
    return RQ_END;
}

/* libarchive tells what concerns one member from what concerns the archive. */
static rq_status fail_read(const rq_tar *t, const level *l, int code, rq_err *err)
{
    const char *text = archive_error_string(l->archive);
    if (code == ARCHIVE_WARN)
        return rq_fail(err, RQ_BAD_CHECKSUM, "%s", text != NULL ? text : "damaged member");
    if (code == ARCHIVE_FAILED)
        return rq_fail(err, RQ_UNSUPPORTED, "%s", text != NULL ? text : "unreadable member");
    return fail_archive(t, l, err);
}

rq_status rq_tar_read(rq_tar *t, void *dst, size_t bytes, rq_err *err)
{
    level *l = t->levels[t->depth - 1];
    for (size_t got = 0; got < bytes;) {
        const la_ssize_t n = archive_read_data(l->archive, (uint8_t *)dst + got, bytes - got);
        if (n < 0)
            return fail_read(t, l, (int)n, err);
        if (n == 0)
            return rq_fail(err, RQ_TRUNCATED, "%s ends within a member", t->path);
        got += (size_t)n;
    }
    if (is_tar(l))
        return RQ_OK;
    /* The checksum of a zip member is looked at behind its last byte. */
    uint8_t more;
    const la_ssize_t n = archive_read_data(l->archive, &more, 1);
    if (n < 0)
        return fail_read(t, l, (int)n, err);
    return n == 0 ? RQ_OK : rq_fail(err, RQ_BAD_CHECKSUM, "the member is longer than it says");
}

rq_status rq_tar_read_at(rq_tar *t, void *dst, size_t bytes, uint64_t offset, rq_err *err)
{
    return rq_pread_full(t->fd, dst, bytes, offset, t->path, err);
}

/* ---- catalogue pass ---------------------------------------------------------------------- */

bool rq_tar_is_item(const rq_member *m)
{
    return m->kind == RQ_MEMBER_FILE && m->path[0] != '\0' && !rq_is_no_image(m->path);
}

/* "CLASS/rest" for members of inner archives, whose own folder of the same name is dropped. */
static rq_status member_name(rq_catalogue *c, const rq_member *m, const char **out, rq_err *err)
{
    const size_t class_length = strlen(m->class_name);
    const char *rest = m->path;
    if (class_length == 0)
        return rq_catalogue_text(c, rest, strlen(rest), out, err);
    if (strncmp(rest, m->class_name, class_length) == 0 && rest[class_length] == '/')
        rest += class_length + 1;
    return rq_catalogue_join(c, m->class_name, rest, out, err);
}

static void judge_member(const rq_source_opts *opts, const rq_member *m, rq_item *item)
{
    if (m->sparse) {
        item->status = RQ_UNSUPPORTED;
        item->reason = "stored as a sparse file";
    } else if (m->too_deep) {
        item->status = RQ_UNSUPPORTED;
        item->reason = "an archive inside archives, deeper than is opened";
    } else if (m->too_long) {
        item->status = RQ_LIMIT;
        item->reason = "its path is too long";
    } else if (m->bytes > opts->max_member_bytes) {
        item->status = RQ_LIMIT;
        item->reason = "the file is over the size limit";
    } else if (m->cut) {
        item->status = RQ_TRUNCATED;
        item->reason = "the archive ends within it";
    }
}

/* One pass over an archive that fills the catalogue. */
typedef struct listing {
    rq_catalogue *c;
    rq_tar *tar;
    rq_walk *walk;
    uint32_t input;
    uint64_t bytes; /* of its items */
    rq_sample sample;
    rq_member member;
    rq_buf sidecar;
} listing;

static rq_status add_member(listing *l, rq_err *err)
{
    const rq_member *m = &l->member;
    rq_item item = {.bytes = m->bytes, .offset = m->offset, .input = l->input};
    RQ_TRY(member_name(l->c, m, &item.name, err));
    item.stored = item.name;
    if (m->class_name[0] != '\0') {
        RQ_TRY(rq_catalogue_class(l->c, m->class_name, strlen(m->class_name), &item.class_name,
                                  NULL, err));
        item.origin = RQ_ORIGIN_NESTED;
    }
    judge_member(&l->c->opts, m, &item);
    l->walk->direct = l->walk->direct && (item.offset != RQ_NO_OFFSET || item.status != RQ_OK);
    l->bytes += item.status == RQ_OK ? item.bytes : 0;
    return rq_catalogue_add(l->c, &item, err);
}

static rq_status read_sidecar(listing *l, rq_err *err)
{
    const rq_member *m = &l->member;
    const size_t bytes = (size_t)m->bytes;
    if (m->bytes > RQ_SIDECAR_BYTES_MAX || m->sparse || m->cut)
        return RQ_OK;
    RQ_TRY(rq_buf_reserve(&l->sidecar, bytes, err));
    if (m->offset != RQ_NO_OFFSET)
        RQ_TRY(rq_tar_read_at(l->tar, l->sidecar.data, bytes, m->offset, err));
    else
        RQ_TRY(rq_tar_read(l->tar, l->sidecar.data, bytes, err));
    return rq_sample_read(&l->sample, m->path, (const char *)l->sidecar.data, bytes, err);
}

static rq_status walk_member(listing *l, rq_err *err)
{
    const rq_member *m = &l->member;
    rq_catalogue *c = l->c;
    if (m->kind == RQ_MEMBER_ARCHIVE)
        return rq_catalogue_add_folder(c, m->class_name, true, err);
    if (m->kind == RQ_MEMBER_FOLDER)
        return m->path[0] != '\0' && m->class_name[0] == '\0'
                   ? rq_catalogue_add_folder(c, m->path, false, err)
                   : RQ_OK;
    const bool top_file = m->kind == RQ_MEMBER_FILE && m->class_name[0] == '\0';
    if (top_file)
        RQ_TRY(rq_sample_enter(c, &l->sample, m->path, err));
    if (rq_tar_is_item(m))
        return add_member(l, err);
    c->passed_over++;
    if (top_file && strcmp(rq_path_base(m->path), "LOC_val_solution.csv") == 0)
        l->walk->has_solution = true;
    return top_file && rq_is_sidecar(m->path) ? read_sidecar(l, err) : RQ_OK;
}

static rq_status walk_members(listing *l, const char *path, rq_err *err)
{
    rq_status s = rq_tar_open(&l->tar, path, &l->c->opts, err);
    while (s == RQ_OK) {
        s = rq_tar_next(l->tar, &l->member, err);
        if (s == RQ_OK)
            s = rq_catalogue_visit(l->c, path, err);
        if (s == RQ_OK)
            s = walk_member(l, err);
    }
    if (s != RQ_END)
        return s;
    RQ_TRY(rq_sample_end(l->c, &l->sample, err));
    /* Zip says sizes without being decompressed. */
    if (l->bytes > RATIO_FREE && l->bytes / RATIO_MAX > l->tar->file_bytes)
        return rq_fail(err, RQ_LIMIT,
                       "%s unpacks to more than %d times its compressed size; unpack it "
                       "yourself if that is right",
                       path, RATIO_MAX);
    return RQ_OK;
}

rq_status rq_tar_walk(rq_catalogue *c, uint32_t input, const char *path, rq_walk *walk,
                      rq_err *err)
{
    listing *l = rq_calloc(1, sizeof *l);
    if (l == NULL)
        return rq_fail(err, RQ_OOM, "%s: no memory to read the archive", path);
    l->c = c;
    l->walk = walk;
    l->input = input;
    walk->direct = true;
    const rq_status s = walk_members(l, path, err);
    rq_tar_close(&l->tar);
    rq_buf_free(&l->sidecar);
    rq_free(l);
    return s;
}
