// SPDX-License-Identifier: Apache-2.0
//
// rq-demo: makes the labelled pictures that `make demo` packs, trains on and evaluates.
//
// Flow: scenes painted here -> class folders of JPEG files and PNG masks -> rq-pack. The train
// part also gets a handful of files as real archives have them (a PNG named .jpg, CMYK, grey,
// truncated, text), so that the demo shows verdicts. The folder is filled under a temporary
// name and renamed when complete: a killed run leaves nothing under the final name.
#include "common/file.h"
#include "ingest/codec.h"
#include "ingest/jpeg_encode.h"
#include "tools/cli.h"
#include "tools/demo_scene.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { QUALITY = 92 };

typedef struct painter {
    const char *dir; /* where the files go */
    uint64_t seed;
    int size;
    uint8_t *rgb, *mask;
    rq_buf file; /* the coded picture */
    uint64_t written;
} painter;

static rq_status write_plain(const char *path, const void *data, size_t bytes, rq_err *err)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return rq_fail_errno(err, "cannot create %s", path);
    const rq_status st = rq_write_full(fd, data, bytes, path, err);
    if (close(fd) != 0 && st == RQ_OK)
        return rq_fail_errno(err, "cannot write %s", path);
    return st;
}

/* DIR/kind/class/name. */
static rq_status put_file(painter *p, const char *kind, int label, const char *name,
                          const void *data, size_t bytes, rq_err *err)
{
    char path[4096];
    const int n = snprintf(path, sizeof path, "%s/%s/%s/%s", p->dir, kind,
                           rq_scene_class_name(label), name);
    if (n < 0 || (size_t)n >= sizeof path)
        return rq_fail(err, RQ_LIMIT, "the path of %s/%s is too long", kind, name);
    p->written++;
    return write_plain(path, data, bytes, err);
}

static rq_status put_mask(painter *p, int label, const char *stem, rq_err *err)
{
    char name[64];
    snprintf(name, sizeof name, "%s.png", stem);
    RQ_TRY(rq_png_encode(p->mask, p->size, p->size, 1, &p->file, err));
    return put_file(p, "masks", label, name, p->file.data, p->file.size, err);
}

static rq_status put_picture(painter *p, bool val, uint64_t index, rq_err *err)
{
    const int label = (int)(index % RQ_SCENE_CLASSES);
    char stem[32], name[64];
    snprintf(stem, sizeof stem, "%05llu", (unsigned long long)index);
    snprintf(name, sizeof name, "%s.jpg", stem);
    rq_scene_paint(p->rgb, p->mask, p->size, p->seed, val, index, label);
    RQ_TRY(rq_jpeg_write(p->rgb, p->size, p->size, 3, QUALITY, &p->file, err));
    RQ_TRY(put_file(p, val ? "val" : "train", label, name, p->file.data, p->file.size, err));
    return val ? RQ_OK : put_mask(p, label, stem, err);
}

/* ---- files as real archives have them --------------------------------------------------- */

static rq_status odd_png(painter *p, rq_err *err)
{
    return rq_png_encode(p->rgb, p->size, p->size, 3, &p->file, err);
}

static rq_status odd_gray(painter *p, rq_err *err)
{
    const size_t pixels = (size_t)p->size * (size_t)p->size;
    uint8_t *gray = rq_alloc(pixels, 1);
    if (gray == NULL)
        return rq_fail(err, RQ_OOM, "out of memory for a grey picture");
    for (size_t i = 0; i < pixels; i++) {
        const uint8_t *s = p->rgb + i * 3;
        gray[i] = (uint8_t)((s[0] * 77 + s[1] * 150 + s[2] * 29) >> 8);
    }
    const rq_status st = rq_jpeg_write(gray, p->size, p->size, 1, QUALITY, &p->file, err);
    rq_free(gray);
    return st;
}

/* All black taken out of the colours: K = 1 - max(R, G, B). Stored inverted, as Adobe does. */
static rq_status odd_cmyk(painter *p, rq_err *err)
{
    const size_t pixels = (size_t)p->size * (size_t)p->size;
    uint8_t *cmyk = rq_alloc(pixels, 4);
    if (cmyk == NULL)
        return rq_fail(err, RQ_OOM, "out of memory for a CMYK picture");
    for (size_t i = 0; i < pixels; i++) {
        const uint8_t *s = p->rgb + i * 3;
        const int most =
            s[0] > s[1] ? (s[0] > s[2] ? s[0] : s[2]) : (s[1] > s[2] ? s[1] : s[2]);
        for (int c = 0; c < 3; c++)
            cmyk[i * 4 + (size_t)c] = (uint8_t)(most == 0 ? 255 : s[c] * 255 / most);
        cmyk[i * 4 + 3] = (uint8_t)most;
    }
    const rq_status st = rq_jpeg_write(cmyk, p->size, p->size, 4, QUALITY, &p->file, err);
    rq_free(cmyk);
    return st;
}

static rq_status odd_truncated(painter *p, rq_err *err)
{
    RQ_TRY(rq_jpeg_write(p->rgb, p->size, p->size, 3, QUALITY, &p->file, err));
    p->file.size = p->file.size * 3 / 5;
    return RQ_OK;
}

static rq_status odd_text(painter *p, rq_err *err)
{
    p->file.size = 0;
    return rq_buf_printf(&p->file, err, "<html><body>404 Not Found</body></html>\n");
}

static rq_status put_oddities(painter *p, uint64_t index, rq_err *err)
{
    static const struct {
        const char *stem;
        rq_status (*make)(painter *, rq_err *);
    } odd[] = {{"odd-png", odd_png},
               {"odd-cmyk", odd_cmyk},
               {"odd-gray", odd_gray},
               {"odd-truncated", odd_truncated},
               {"odd-text", odd_text}};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        const int label = (int)(i % RQ_SCENE_CLASSES);
        char name[64];
        snprintf(name, sizeof name, "%s.jpg", odd[i].stem);
        rq_scene_paint(p->rgb, p->mask, p->size, p->seed, 0, index + i, label);
        RQ_TRY(odd[i].make(p, err));
        RQ_TRY(put_file(p, "train", label, name, p->file.data, p->file.size, err));
        RQ_TRY(put_mask(p, label, odd[i].stem, err));
    }
    return RQ_OK;
}

/* ---- the folder ------------------------------------------------------------------------- */

static rq_status make_folders(const char *dir, bool val, rq_err *err)
{
    static const char *const kinds[] = {"train", "masks", "val"};
    for (int k = 0; k < (val ? 3 : 2); k++) {
        for (int label = 0; label < RQ_SCENE_CLASSES; label++) {
            char path[4096];
            snprintf(path, sizeof path, "%s/%s/%s", dir, kinds[k], rq_scene_class_name(label));
            RQ_TRY(rq_mkdirs(path, err));
        }
    }
    return RQ_OK;
}

static rq_status paint_all(painter *p, uint64_t train, uint64_t val, bool oddities, rq_err *err)
{
    RQ_TRY(make_folders(p->dir, val > 0, err));
    rq_progress_begin("painting", "pictures", train + val);
    rq_status st = RQ_OK;
    for (uint64_t i = 0; st == RQ_OK && i < train + val; i++) {
        st = rq_cli_stop ? rq_fail(err, RQ_CANCELLED, "stopped")
                         : put_picture(p, i >= train, i < train ? i : i - train, err);
        rq_progress_update(i + 1, 0, "");
    }
    rq_progress_end();
    if (st == RQ_OK && oddities)
        st = put_oddities(p, train, err);
    return st;
}

/* Makes the finished folder durable and gives it its name. */
static rq_status publish(const char *tmp, const char *dir, rq_err *err)
{
    const int fd = open(tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return rq_fail_errno(err, "cannot open %s", tmp);
    const int synced = syncfs(fd);
    close(fd);
    if (synced != 0)
        return rq_fail_errno(err, "cannot write %s to disk", tmp);
    if (rename(tmp, dir) != 0)
        return rq_fail_errno(err,
                             "cannot rename the finished pictures %s to %s: is there a folder "
                             "with files already",
                             tmp, dir);
    return RQ_OK;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

static rq_status make_pictures(const char *dir, painter *p, uint64_t train, uint64_t val,
                               bool oddities, rq_err *err)
{
    char tmp[4096];
    const int n = snprintf(tmp, sizeof tmp, "%s.tmp-%ld", dir, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof tmp - 64)
        return rq_fail(err, RQ_LIMIT, "the path %s is too long", dir);
    if (rmdir(dir) != 0 && errno != ENOENT)
        return rq_fail_errno(err, "%s is there already; name another folder or remove it", dir);
    const size_t pixels = (size_t)p->size * (size_t)p->size;
    p->dir = tmp;
    p->rgb = rq_alloc(pixels, 3);
    p->mask = rq_alloc(pixels, 1);
    rq_status st = p->rgb == NULL || p->mask == NULL
                       ? rq_fail(err, RQ_OOM, "out of memory for a picture")
                       : paint_all(p, train, val, oddities, err);
    if (st == RQ_OK)
        st = publish(tmp, dir, err);
    if (st != RQ_OK)
        nftw(tmp, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    rq_free(p->rgb);
    rq_free(p->mask);
    rq_buf_free(&p->file);
    return st;
}

static int run_pictures(int argc, char **argv)
{
    const char *out = NULL;
    int train = 2000, val = 400;
    bool oddities = true;
    painter p = {.size = 64};
    const rq_opt opts[] = {
        {RQ_OPT_STRING, "out", 'o', &out, "DIR",
         "folder to make: DIR/train, DIR/val, DIR/masks", 0, 0, NULL},
        {RQ_OPT_INT, "count", 0, &train, "N", "training pictures, over 8 classes", 8, 10000000,
         NULL},
        {RQ_OPT_INT, "val", 0, &val, "N", "validation pictures", 0, 10000000, NULL},
        {RQ_OPT_INT, "size", 0, &p.size, "PX", "side of a picture", 16, 4096, NULL},
        {RQ_OPT_U64, "seed", 0, &p.seed, "N", "the same seed makes the same pictures", 0, 0,
         NULL},
        {RQ_OPT_BOOL, "oddities", 0, &oddities, NULL,
         "add a PNG named .jpg, CMYK, grey, truncated and text files to train", 0, 0, NULL},
        {0}};
    int n_args = 0;
    const int rc =
        rq_cli_parse(argc, argv, "-o DIR",
                     "  rq-demo pictures -o pictures --count 2000 --val 400\n", opts, &n_args);
    if (rc >= 0)
        return rc;
    if (out == NULL || n_args > 0)
        return rq_cli_usage(out == NULL ? "which folder? give -o DIR"
                                        : "there are no arguments besides options: '%s'",
                            n_args > 0 ? argv[1] : "");
    rq_err err = {0};
    if (make_pictures(out, &p, (uint64_t)train, (uint64_t)val, oddities, &err) != RQ_OK)
        return rq_cli_fail(&err);
    char count[32];
    printf("%s: %s files: %d train and %d val pictures of %d px in %d classes, masks for "
           "train%s\n",
           out, rq_format_count(count, p.written), train, val, p.size, RQ_SCENE_CLASSES,
           oddities ? ", 5 odd files" : "");
    return 0;
}

int main(int argc, char **argv)
{
    static const rq_cli_command commands[] = {
        {"pictures", "make a labelled picture set with masks", run_pictures},
        {NULL, NULL, NULL}};
    return rq_cli_main(argc, argv, "rq-demo", "makes the pictures of the demo", commands);
}
