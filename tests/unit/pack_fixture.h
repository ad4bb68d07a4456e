/* Small datasets for the tests of pack/, written with the real writer: PPM pictures of a fixed
 * pattern, three classes, a mask on every third sample. */
#ifndef RQ_TESTS_PACK_FIXTURE_H
#define RQ_TESTS_PACK_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/file.h"
#include "pack/dataset.h"
#include "pack/frame.h"
#include "pack/manifest.h"
#include "pack/shard_writer.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FIXTURE_CLASSES = 3 };

/* A fresh folder; rm_tree removes it. */
static inline char *make_temp_dir(void)
{
    const char *base = getenv("TMPDIR");
    char *dir = malloc(300);
    snprintf(dir, 300, "%s/rq-test-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(dir));
    return dir;
}

static inline void rm_tree(const char *path)
{
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        char sub[600];
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(sub, sizeof sub, "%.300s/%.250s", path, e->d_name);
        if (lstat(sub, &st) == 0 && S_ISDIR(st.st_mode))
            rm_tree(sub);
        else
            unlink(sub);
    }
    if (d)
        closedir(d);
    rmdir(path);
}

static inline char *path_in(const char *dir, const char *name)
{
    static char paths[4][700];
    static int next;
    char *p = paths[next++ % 4];
    snprintf(p, 700, "%s/%s", dir, name);
    return p;
}

static inline void read_all(const char *path, rq_buf *buf)
{
    rq_err err = {0};
    if (rq_file_read(path, 1 << 28, buf, &err) != RQ_OK)
        fail_msg("%s", err.text);
}

static inline void write_all(const char *path, const void *data, size_t bytes)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, bytes, f), bytes);
    assert_int_equal(fclose(f), 0);
}

static inline int fixture_side(uint64_t id)
{
    return 4 + (int)(id % 5);
}

static inline uint8_t fixture_byte(uint64_t id, size_t i)
{
    return (uint8_t)((id * 2654435761u + i * 40503u) >> 7);
}

/* The picture of a sample: P6, fixture_side x (fixture_side + 1). */
static inline size_t fixture_image(uint64_t id, uint8_t *out)
{
    const int side = fixture_side(id);
    const int head = sprintf((char *)out, "P6\n%d %d\n255\n", side, side + 1);
    const size_t bytes = (size_t)side * (size_t)(side + 1) * 3;
    for (size_t i = 0; i < bytes; i++)
        out[head + (int)i] = fixture_byte(id, i);
    return (size_t)head + bytes;
}

/* Whether KEY.json has the sample id; the golden shard's has not. */
static bool fixture_ids = true;

/* Encodes sample `id`. */
static inline void fixture_frame(uint64_t id, rq_index_entry *e, rq_buf *frame)
{
    static const char mask[] = "P5\n2 2\n255\n\x00\xff\x80\x01";
    uint8_t image[1024];
    char meta[240], id_text[40] = "";
    rq_members m = {.image = image};
    rq_frame_coder coder = {0};
    rq_err err = {0};
    const int side = fixture_side(id);
    m.image_bytes = fixture_image(id, image);
    snprintf(m.key, sizeof m.key, "c%d/img_%06u", (int)(id % FIXTURE_CLASSES), (unsigned)id);
    if (id % 3 == 0) {
        m.mask = (const uint8_t *)mask;
        m.mask_bytes = sizeof mask - 1;
    }
    if (fixture_ids)
        snprintf(id_text, sizeof id_text, "\"id\": %llu, ", (unsigned long long)id);
    snprintf(
        meta, sizeof meta,
        "{\"name\": \"c%d/img %06u.ppm\", \"class\": \"c%d\", %s\"width\": %d, \"height\": "
        "%d, \"codec\": \"PNM\", \"verdict\": \"ok\"}\n",
        (int)(id % FIXTURE_CLASSES), (unsigned)id, (int)(id % FIXTURE_CLASSES), id_text, side,
        side + 1);
    m.meta = meta;
    m.meta_bytes = strlen(meta);
    *e = (rq_index_entry){.id = id,
                          .label = (int32_t)(id % FIXTURE_CLASSES),
                          .width = (uint32_t)side,
                          .height = (uint32_t)side + 1,
                          .encoding = RQ_ENCODING_PPM};
    if (rq_frame_encode(&coder, 3, &m, e, frame, &err) != RQ_OK)
        fail_msg("%s", err.text);
    rq_frame_coder_fini(&coder);
}

/* Shard with samples ids[0..n). */
static inline void fixture_shard(const char *path, const uint64_t *ids, size_t n,
                                 rq_manifest_shard *info)
{
    rq_shard_writer *w;
    rq_buf frame = {0};
    rq_index_entry e;
    assert_int_equal(rq_shard_writer_create(&w, path, NULL), RQ_OK);
    for (size_t i = 0; i < n; i++) {
        fixture_frame(ids[i], &e, &frame);
        assert_int_equal(rq_shard_writer_append(w, &e, frame.data, NULL), RQ_OK);
    }
    assert_int_equal(rq_shard_writer_finish(&w, info, NULL), RQ_OK);
    rq_buf_free(&frame);
}

/* Manifest over shards that exist, name "data". */
static inline void fixture_manifest(const char *dir, const rq_manifest_shard *infos,
                                    size_t n_shards, uint64_t masks)
{
    rq_manifest m = {.name = rq_strdup("data"),
                     .encoding = RQ_ENCODING_PPM,
                     .level = 3,
                     .masks = masks,
                     .layout = rq_strdup("class-folders"),
                     .created_by = rq_strdup("a test")};
    rq_buf text = {0};
    for (size_t i = 0; i < n_shards; i++) {
        char file[100];
        rq_shard_file_name(file, sizeof file, "data", i);
        m.samples += infos[i].samples;
        assert_int_equal(rq_manifest_add_shard(&m, file, &infos[i], NULL), RQ_OK);
    }
    m.verdicts[RQ_VERDICT_OK] = m.source_images = m.samples;
    for (int c = 0; c < FIXTURE_CLASSES; c++) {
        const char name[] = {'c', (char)('0' + c), 0};
        assert_int_equal(rq_manifest_add_class(&m, name, NULL), RQ_OK);
    }
    assert_int_equal(rq_manifest_encode(&m, &text, NULL), RQ_OK);
    write_all(path_in(dir, RQ_MANIFEST_FILE), text.data, text.size);
    rq_buf_free(&text);
    rq_manifest_free(&m);
}

/* Files in the folder whose name contains `part`. */
static inline int count_files(const char *dir, const char *part)
{
    DIR *d = opendir(dir);
    int n = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        n += e->d_name[0] != 0 && strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
             strstr(e->d_name, part) != NULL;
    if (d)
        closedir(d);
    return n;
}

/* A dataset of `shards` shards with `each` samples; ids descend within a shard and are dealt
 * out round robin, so that reading order and id order differ. */
static inline void fixture_dataset(const char *dir, size_t shards, size_t each)
{
    rq_manifest_shard infos[8] = {0};
    uint64_t ids[64], masks = 0;
    assert_true(shards <= 8 && each <= 64);
    for (size_t s = 0; s < shards; s++) {
        char file[100];
        for (size_t i = 0; i < each; i++) {
            ids[i] = (each - 1 - i) * shards + s;
            masks += ids[i] % 3 == 0;
        }
        rq_shard_file_name(file, sizeof file, "data", s);
        fixture_shard(path_in(dir, file), ids, each, &infos[s]);
    }
    fixture_manifest(dir, infos, shards, masks);
}

#endif
