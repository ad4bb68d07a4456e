/* Folders and archives for the tests of sources, written in a folder of their own. */
#ifndef RQ_TESTS_SOURCE_FIXTURE_H
#define RQ_TESTS_SOURCE_FIXTURE_H

#include "test.h"

#include "common/file.h"
#include "ingest/source.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <zlib.h>

enum { LOG_LINES = 16 };

typedef struct fixture {
    void *dir;
    rq_source *src;
    rq_source_opts opts;
    rq_err err;
    char log[LOG_LINES][300];
    int n_log;
} fixture;

static inline void keep_line(void *cookie, rq_log_level level, const char *line)
{
    fixture *f = cookie;
    if (f->n_log < LOG_LINES)
        snprintf(f->log[f->n_log++], sizeof f->log[0], "%.290s", line);
}

static inline int source_setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    *state = f;
    if (f == NULL)
        return -1;
    rq_source_opts_default(&f->opts);
    f->opts.log = (rq_log_sink){f, RQ_LOG_WARN, keep_line};
    return test_enter_temp_dir(&f->dir);
}

static inline int source_teardown(void **state)
{
    fixture *f = *state;
    rq_source_close(&f->src);
    const int failed = test_remove_temp_dir(&f->dir);
    free(f);
    return failed;
}

static inline rq_status open_paths(fixture *f, const char *a, const char *b)
{
    const char *const paths[] = {a, b};
    rq_source_close(&f->src);
    rq_err_clear(&f->err);
    f->n_log = 0;
    const rq_status s = rq_source_open(&f->src, paths, b != NULL ? 2 : 1, &f->opts, &f->err);
    assert_int_equal(s == RQ_OK, f->src != NULL);
    assert_int_equal(s == RQ_OK, f->err.text[0] == '\0');
    return s;
}

/* ---- writing ----------------------------------------------------------------------------- */

/* Not the durable writer: a test has no use for fsync. */
static inline void put_bytes(const char *path, const void *data, size_t bytes)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

static inline void put_file(const char *path, const char *text)
{
    char dir[300];
    snprintf(dir, sizeof dir, "%s", path);
    char *slash = strrchr(dir, '/');
    if (slash != NULL) {
        *slash = '\0';
        assert_status(rq_mkdirs(dir, NULL), RQ_OK);
    }
    put_bytes(path, text, strlen(text));
}

static inline struct archive *tar_begin(const char *path, int filter)
{
    struct archive *a = archive_write_new();
    assert_int_equal(archive_write_set_format_pax_restricted(a), ARCHIVE_OK);
    if (filter != ARCHIVE_FILTER_NONE)
        assert_int_equal(archive_write_add_filter(a, filter), ARCHIVE_OK);
    assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
    return a;
}

static inline void tar_put(struct archive *a, const char *name, const void *data, size_t bytes)
{
    struct archive_entry *e = archive_entry_new();
    archive_entry_set_pathname(e, name);
    archive_entry_set_filetype(e, name[strlen(name) - 1] == '/' ? AE_IFDIR : AE_IFREG);
    archive_entry_set_perm(e, 0644);
    archive_entry_set_size(e, (la_int64_t)bytes);
    assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
    assert_int_equal(archive_write_data(a, data, bytes), (la_ssize_t)bytes);
    archive_entry_free(e);
}

static inline void tar_text(struct archive *a, const char *name, const char *text)
{
    tar_put(a, name, text, strlen(text));
}

static inline void tar_copy(struct archive *a, const char *name, const char *path)
{
    rq_buf file = {0};
    assert_status(rq_file_read(path, 1 << 24, &file, NULL), RQ_OK);
    tar_put(a, name, file.data, file.size);
    rq_buf_free(&file);
}

static inline void tar_link(struct archive *a, const char *name, const char *target, bool hard)
{
    struct archive_entry *e = archive_entry_new();
    archive_entry_set_pathname(e, name);
    archive_entry_set_filetype(e, hard ? AE_IFREG : AE_IFLNK);
    if (hard)
        archive_entry_set_hardlink(e, target);
    else
        archive_entry_set_symlink(e, target);
    archive_entry_set_perm(e, 0644);
    assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
    archive_entry_free(e);
}

static inline void tar_end(struct archive *a)
{
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
}

/* ---- devkits ----------------------------------------------------------------------------- */

typedef struct mat_synset {
    int id;
    const char *wnid;
    int children;
} mat_synset;

static inline void mat_u32(rq_buf *b, uint32_t v)
{
    const uint8_t bytes[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16),
                              (uint8_t)(v >> 24)};
    assert_status(rq_buf_append(b, bytes, 4, NULL), RQ_OK);
}

/* One element, padded to 8 bytes, in the short form when it fits. */
static inline void mat_element(rq_buf *b, uint32_t type, const void *data, size_t bytes)
{
    if (bytes > 0 && bytes <= 4) {
        mat_u32(b, (uint32_t)bytes << 16 | type);
        assert_status(rq_buf_append(b, data, bytes, NULL), RQ_OK);
        assert_status(rq_buf_append(b, NULL, 4 - bytes, NULL), RQ_OK);
        return;
    }
    mat_u32(b, type);
    mat_u32(b, (uint32_t)bytes);
    assert_status(rq_buf_append(b, data, bytes, NULL), RQ_OK);
    assert_status(rq_buf_append(b, NULL, (8 - bytes % 8) % 8, NULL), RQ_OK);
}

static inline void mat_array(rq_buf *b, uint32_t array_class, uint32_t rows, uint32_t columns,
                             const char *name)
{
    const uint32_t flags[2] = {array_class, 0}, dims[2] = {rows, columns};
    mat_element(b, 6, flags, 8);
    mat_element(b, 5, dims, 8);
    mat_element(b, 1, name, strlen(name));
}

static inline void mat_number(rq_buf *b, double v)
{
    rq_buf in = {0};
    const uint8_t small = (uint8_t)v;
    mat_array(&in, 6, 1, 1, "");
    if (v == small) /* as MATLAB does: a double kept as a byte */
        mat_element(&in, 2, &small, 1);
    else
        mat_element(&in, 9, &v, 8);
    mat_element(b, 14, in.data, in.size);
    rq_buf_free(&in);
}

static inline void mat_text(rq_buf *b, const char *text)
{
    rq_buf in = {0};
    uint16_t units[64];
    const size_t n = strlen(text);
    for (size_t i = 0; i < n; i++)
        units[i] = (uint8_t)text[i];
    mat_array(&in, 4, 1, (uint32_t)n, "");
    mat_element(&in, 4, units, 2 * n);
    mat_element(b, 14, in.data, in.size);
    rq_buf_free(&in);
}

/* meta.mat with the fields of the real one that matter, on a little-endian machine. */
static inline void make_meta(rq_buf *file, const mat_synset *synsets, size_t n, bool compress)
{
    static const char fields[5][16] = {"ILSVRC2012_ID", "WNID", "words", "num_children",
                                       "children"};
    const uint32_t width = 16;
    rq_buf table = {0}, whole = {0};
    mat_array(&table, 2, (uint32_t)n, 1, "synsets");
    mat_element(&table, 5, &width, 4);
    mat_element(&table, 1, fields, sizeof fields);
    for (size_t i = 0; i < n; i++) {
        mat_number(&table, synsets[i].id);
        mat_text(&table, synsets[i].wnid);
        mat_text(&table, "what it is called, and more");
        mat_number(&table, synsets[i].children);
        rq_buf in = {0};
        const double children[3] = {1, 2, 3};
        mat_array(&in, 6, 1, (uint32_t)synsets[i].children, "");
        mat_element(&in, 9, children, 8 * (size_t)synsets[i].children);
        mat_element(&table, 14, in.data, in.size);
        rq_buf_free(&in);
    }
    mat_element(&whole, 14, table.data, table.size);
    char header[128];
    memset(header, ' ', sizeof header);
    memcpy(header, "MATLAB 5.0 MAT-file, made for a test", 36);
    memcpy(header + 124, "\0\1IM", 4);
    file->size = 0;
    assert_status(rq_buf_append(file, header, sizeof header, NULL), RQ_OK);
    if (compress) {
        uLongf bytes = compressBound(whole.size);
        uint8_t *packed = malloc(bytes);
        assert_int_equal(compress2(packed, &bytes, whole.data, whole.size, 9), Z_OK);
        mat_u32(file, 15);
        mat_u32(file, (uint32_t)bytes);
        assert_status(rq_buf_append(file, packed, bytes, NULL), RQ_OK);
        free(packed);
    } else {
        assert_status(rq_buf_append(file, whole.data, whole.size, NULL), RQ_OK);
    }
    rq_buf_free(&table);
    rq_buf_free(&whole);
}

#define W1 "n01440764"
#define W2 "n02084071"
#define W3 "n03000684"
#define W4 "n04118538"

/* Four classes whose ids stand in another order than their sorted names, as in the real devkit,
 * and two synsets above them. */
static const mat_synset devkit_synsets[] = {
    {1, W2, 0}, {2, W4, 0}, {3, W1, 0}, {4, W3, 0}, {5, "n00001740", 2}, {6, "n00001930", 3}};
/* The ground truth of eight images, and what it means. */
#define DEVKIT_TRUTH "3\n1\n4\n2\n2\n3\n1\n4\n"
static const char *const devkit_classes[] = {W1, W2, W3, W4, W4, W1, W2, W3};
static const int devkit_labels[] = {0, 1, 2, 3, 3, 0, 1, 2};
enum { DEVKIT_IMAGES = 8, DEVKIT_SYNSETS = sizeof devkit_synsets / sizeof *devkit_synsets };

/* The devkit as a folder, and as an archive with its outer folder. */
static inline void put_devkit_folder(const char *path, bool compress)
{
    char file[300];
    rq_buf meta = {0};
    make_meta(&meta, devkit_synsets, DEVKIT_SYNSETS, compress);
    snprintf(file, sizeof file, "%s/data/ILSVRC2012_validation_ground_truth.txt", path);
    put_file(file, DEVKIT_TRUTH);
    snprintf(file, sizeof file, "%s/data/meta.mat", path);
    put_bytes(file, meta.data, meta.size);
    rq_buf_free(&meta);
}

static inline void put_devkit_archive(const char *path, int filter)
{
    rq_buf meta = {0};
    make_meta(&meta, devkit_synsets, DEVKIT_SYNSETS, true);
    struct archive *a = tar_begin(path, filter);
    tar_text(a, "ILSVRC2012_devkit_t12/", "");
    tar_text(a, "ILSVRC2012_devkit_t12/readme.txt", "read me");
    tar_text(a, "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt",
             DEVKIT_TRUTH);
    tar_put(a, "ILSVRC2012_devkit_t12/data/meta.mat", meta.data, meta.size);
    tar_end(a);
    rq_buf_free(&meta);
}

#endif
