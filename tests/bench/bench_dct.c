// SPDX-License-Identifier: Apache-2.0
// Speed and size of `dct` against the JPEG files it is made from: bench_dct FOLDER [LIMIT].
//
// Times are CPU time of this thread, the ways of decoding one after the other for each image,
// medians over rounds and then means over images. libjpeg-turbo's side is what a loader would
// do without `dct`: raw component planes, accurate transform, no upsampling. Without a folder
// it has nothing to measure and says so.
#include "common/cpu.h"
#include "common/file.h"
#include "pack/dct.h"
#include "pack/frame.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#define ZSTD_STATIC_LINKING_ONLY /* to leave the content's checksum out, as readers do */
#include <zstd.h>

enum { ROUNDS = 7, LEVELS = 7, CPUS = 3 };

static const int levels[LEVELS] = {1, 3, 6, 9, 12, 15, 19};
static const unsigned cpu_masks[CPUS] = {0, RQ_CPU_AVX2, RQ_CPU_AVX2 | RQ_CPU_AVX512};

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static void check(rq_status s, const rq_err *err)
{
    if (s == RQ_OK)
        return;
    fprintf(stderr, "bench_dct: %s\n", err->text);
    exit(1);
}

static int compare_double(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *v, size_t n)
{
    qsort(v, n, sizeof *v, compare_double);
    return v[n / 2];
}

/* ---- files ------------------------------------------------------------------------------- */

typedef struct files {
    char **path;
    size_t n, cap;
} files;

static int compare_path(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list_folder(files *f, const char *folder)
{
    DIR *dir = opendir(folder);
    if (dir == NULL)
        return;
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        char path[4096];
        struct stat st;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (e->d_name[0] == '.' || stat(path, &st) != 0)
            continue;
        if (S_ISDIR(st.st_mode)) {
            list_folder(f, path);
            continue;
        }
        rq_err err = {0};
        check(rq_grow((void **)&f->path, &f->cap, f->n + 1, sizeof *f->path, &err), &err);
        f->path[f->n++] = rq_strdup(path);
    }
    closedir(dir);
}

/* ---- one image --------------------------------------------------------------------------- */

typedef struct totals {
    size_t images, kept; /* kept: as JPEG, because dct cannot hold them */
    double jpeg_bytes, payload_bytes;
    double jpeg_frames, dct_frames[LEVELS];
    double turbo, whole[CPUS], unpacking[CPUS], encode, compress[LEVELS];
} totals;

typedef struct bench {
    rq_dct *dct[CPUS];
    rq_decoder *decoder;
    rq_frame_coder coder;
    rq_image image;
    rq_buf payload, frame, plain;
    totals sum;
} bench;

static size_t encode_frame(bench *b, int level, rq_encoding encoding, const rq_buf *image,
                           const rq_dct *splits)
{
    rq_err err = {0};
    rq_index_entry e = {.encoding = (uint8_t)encoding, .label = 7, .width = 1, .height = 1};
    rq_members m = {.key = "n01234567/n01234567_00001",
                    .image = image->data,
                    .image_bytes = image->size,
                    .meta = "{}",
                    .meta_bytes = 2};
    if (splits != NULL)
        m.image_splits = rq_dct_splits(splits, &m.n_image_splits);
    check(rq_frame_encode(&b->coder, level, &m, &e, &b->frame, &err), &err);
    return b->frame.size;
}

/* A sample's way from its frame to planes; *unpacking is the part behind zstd. */
static double decode_frame(bench *b, rq_dct *d, size_t room, double *unpacking)
{
    rq_err err = {0};
    const double start = now_ms();
    const size_t n =
        ZSTD_decompressDCtx(b->coder.dctx, b->plain.data, room, b->frame.data, b->frame.size);
    const double middle = now_ms();
    check(ZSTD_isError(n)
              ? RQ_INTERNAL
              : rq_dct_decode(d, b->plain.data + 512, b->payload.size, &b->image, &err),
          &err);
    const double end = now_ms();
    *unpacking = end - middle;
    return end - start;
}

static void measure_times(bench *b, const rq_buf *jpeg, int usable)
{
    rq_err err = {0};
    double turbo[ROUNDS], whole[CPUS][ROUNDS], unpacking[CPUS][ROUNDS];
    const size_t room = rq_round_up(b->payload.size + 4096, 512);
    check(rq_buf_reserve(&b->plain, room, &err), &err);
    ZSTD_DCtx_setParameter(b->coder.dctx, ZSTD_d_forceIgnoreChecksum, ZSTD_d_ignoreChecksum);
    for (int r = 0; r < ROUNDS; r++) {
        const double start = now_ms();
        check(rq_decode(b->decoder, jpeg->data, jpeg->size, false, &b->image, NULL, &err),
              &err);
        turbo[r] = now_ms() - start;
        for (int c = usable - 1; c >= 0; c--)
            whole[c][r] = decode_frame(b, b->dct[c], room, &unpacking[c][r]);
    }
    b->sum.turbo += median(turbo, ROUNDS);
    for (int c = 0; c < usable; c++) {
        b->sum.whole[c] += median(whole[c], ROUNDS);
        b->sum.unpacking[c] += median(unpacking[c], ROUNDS);
    }
}

static void measure(bench *b, const char *path, int usable)
{
    rq_err err = {0};
    rq_buf jpeg = {0};
    check(rq_file_read(path, (size_t)64 << 20, &jpeg, &err), &err);
    rq_dct *d = b->dct[usable - 1];
    const double start = now_ms();
    const rq_status s = rq_dct_encode(d, jpeg.data, jpeg.size, &b->payload, &err);
    if (s != RQ_OK) {
        b->sum.kept++;
        rq_buf_free(&jpeg);
        return;
    }
    b->sum.encode += now_ms() - start;
    b->sum.images++;
    b->sum.jpeg_bytes += (double)jpeg.size;
    b->sum.payload_bytes += (double)b->payload.size;
    b->sum.jpeg_frames += (double)encode_frame(b, 3, RQ_ENCODING_JPEG, &jpeg, NULL);
    for (int l = LEVELS - 1; l >= 0; l--) {
        const double begin = now_ms();
        b->sum.dct_frames[l] +=
            (double)encode_frame(b, levels[l], RQ_ENCODING_DCT, &b->payload, d);
        b->sum.compress[l] += now_ms() - begin;
    }
    measure_times(b, &jpeg, usable);
    rq_buf_free(&jpeg);
}

static void print_totals(const totals *t, int usable)
{
    const double n = (double)t->images;
    printf("%zu images, %zu more kept as JPEG; JPEG %.0f B, payload %.0f B; encode and prove "
           "%.2f ms\n",
           t->images, t->kept, t->jpeg_bytes / n, t->payload_bytes / n, t->encode / n);
    for (int l = 0; l < LEVELS; l++)
        printf(
            "  level %-2d  dct frame / jpeg frame %.4f  (%.0f B, compress and check %.2f ms)\n",
            levels[l], t->dct_frames[l] / t->jpeg_frames, t->dct_frames[l] / n,
            t->compress[l] / n);
    printf("  libjpeg-turbo to planes %.4f ms\n", t->turbo / n);
    for (int c = 0; c < usable; c++)
        printf("  %-6s  level %d to planes %.4f ms, of these %.4f unpack and transform: %.2f "
               "times as fast\n",
               rq_cpu_level_name(cpu_masks[c]), levels[0], t->whole[c] / n, t->unpacking[c] / n,
               t->turbo / t->whole[c]);
}

int main(int argc, char **argv)
{
    const char *folder = argc > 1 ? argv[1] : getenv("RQ_BENCH_JPEGS");
    if (folder == NULL) {
        printf("bench_dct: no folder of JPEGs (an argument, or RQ_BENCH_JPEGS)\n");
        return 0;
    }
    files f = {0};
    list_folder(&f, folder);
    qsort(f.path, f.n, sizeof *f.path, compare_path);
    const size_t limit = argc > 2 ? (size_t)strtoul(argv[2], NULL, 10) : f.n;
    const unsigned cpu = rq_cpu_detect();
    const int usable = cpu & RQ_CPU_AVX512 ? 3 : cpu & RQ_CPU_AVX2 ? 2 : 1;
    static bench b;
    rq_err err = {0};
    const rq_limits limits = rq_limits_default();
    for (int c = 0; c < usable; c++)
        check(rq_dct_create(&b.dct[c], cpu_masks[c], &limits, &err), &err);
    check(rq_decoder_create(&b.decoder, &limits, &err), &err);
    const size_t step = limit > 0 && limit < f.n ? f.n / limit : 1;
    for (size_t i = 0; i < f.n; i += step)
        measure(&b, f.path[i], usable);
    print_totals(&b.sum, usable);
    for (int c = 0; c < usable; c++)
        rq_dct_destroy(&b.dct[c]);
    rq_decoder_destroy(&b.decoder);
    rq_frame_coder_fini(&b.coder);
    rq_image_free(&b.image);
    rq_buf_free(&b.payload);
    rq_buf_free(&b.frame);
    rq_buf_free(&b.plain);
    for (size_t i = 0; i < f.n; i++)
        rq_free(f.path[i]);
    rq_free(f.path);
    return 0;
}
