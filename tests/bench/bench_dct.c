// SPDX-License-Identifier: Apache-2.0
// Speed and size of `dct` against the JPEG files it is made from: bench_dct FOLDER [IMAGES].
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

enum { ROUNDS = 7, LEVELS = 7, CPUS = 3, GROUP = 16 };

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

/* ---- measuring --------------------------------------------------------------------------- */

/* An image, coded both ways. */
typedef struct item {
    rq_buf jpeg, frame;
    size_t payload_bytes;
    double turbo[ROUNDS], whole[CPUS][ROUNDS], unpacking[CPUS][ROUNDS];
} item;

typedef struct totals {
    size_t images, kept; /* kept: as JPEG, because dct cannot hold them */
    double jpeg_bytes, payload_bytes, jpeg_frames, dct_frames[LEVELS];
    double turbo, whole[CPUS], unpacking[CPUS], encode, compress[LEVELS];
} totals;

typedef struct bench {
    int usable; /* CPU levels */
    rq_dct *dct[CPUS];
    rq_decoder *decoder;
    rq_frame_coder coder;
    rq_image image;
    rq_buf payload, plain;
    item group[GROUP];
    size_t n; /* in the group */
    totals sum;
} bench;

static size_t encode_frame(bench *b, int level, rq_encoding encoding, const rq_buf *image,
                           const rq_dct *splits, rq_buf *frame)
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
    check(rq_frame_encode(&b->coder, level, &m, &e, frame, &err), &err);
    return frame->size;
}

static void time_turbo(bench *b, item *x, int round)
{
    rq_err err = {0};
    const double start = now_ms();
    check(rq_decode(b->decoder, x->jpeg.data, x->jpeg.size, false, &b->image, NULL, &err),
          &err);
    x->turbo[round] = now_ms() - start;
}

/* A sample's way from its frame to planes, as readers go it. */
static void time_dct(bench *b, item *x, int cpu, int round)
{
    rq_err err = {0};
    const size_t room = rq_round_up(x->payload_bytes + 4096, 512);
    check(rq_buf_reserve(&b->plain, room, &err), &err);
    ZSTD_DCtx_setParameter(b->coder.dctx, ZSTD_d_forceIgnoreChecksum, ZSTD_d_ignoreChecksum);
    const double start = now_ms();
    const size_t n =
        ZSTD_decompressDCtx(b->coder.dctx, b->plain.data, room, x->frame.data, x->frame.size);
    const double middle = now_ms();
    check(ZSTD_isError(n) ? RQ_INTERNAL
                          : rq_dct_decode(b->dct[cpu], b->plain.data + 512, x->payload_bytes,
                                          &b->image, &err),
          &err);
    const double end = now_ms();
    x->whole[cpu][round] = end - start;
    x->unpacking[cpu][round] = end - middle;
}

static void measure_group(bench *b)
{
    for (int r = 0; r < ROUNDS; r++) {
        for (size_t i = 0; i < b->n; i++)
            time_turbo(b, &b->group[i], r);
        for (int c = b->usable - 1; c >= 0; c--)
            for (size_t i = 0; i < b->n; i++)
                time_dct(b, &b->group[i], c, r);
    }
    for (size_t i = 0; i < b->n; i++) {
        item *x = &b->group[i];
        b->sum.turbo += median(x->turbo, ROUNDS);
        for (int c = 0; c < b->usable; c++) {
            b->sum.whole[c] += median(x->whole[c], ROUNDS);
            b->sum.unpacking[c] += median(x->unpacking[c], ROUNDS);
        }
    }
    b->n = 0;
}

/* Sizes of an image, which then joins the group. */
static void add_image(bench *b, const char *path)
{
    rq_err err = {0};
    item *x = &b->group[b->n];
    check(rq_file_read(path, (size_t)64 << 20, &x->jpeg, &err), &err);
    rq_dct *d = b->dct[b->usable - 1];
    const double start = now_ms();
    if (rq_dct_encode(d, x->jpeg.data, x->jpeg.size, &b->payload, &err) != RQ_OK) {
        b->sum.kept++;
        return;
    }
    b->sum.encode += now_ms() - start;
    b->sum.images++;
    x->payload_bytes = b->payload.size;
    b->sum.jpeg_bytes += (double)x->jpeg.size;
    b->sum.payload_bytes += (double)b->payload.size;
    b->sum.jpeg_frames +=
        (double)encode_frame(b, 3, RQ_ENCODING_JPEG, &x->jpeg, NULL, &x->frame);
    for (int l = LEVELS - 1; l >= 0; l--) {
        const double begin = now_ms();
        b->sum.dct_frames[l] +=
            (double)encode_frame(b, levels[l], RQ_ENCODING_DCT, &b->payload, d, &x->frame);
        b->sum.compress[l] += now_ms() - begin;
    }
    if (++b->n == GROUP)
        measure_group(b);
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

static void close_bench(bench *b)
{
    for (int c = 0; c < b->usable; c++)
        rq_dct_destroy(&b->dct[c]);
    rq_decoder_destroy(&b->decoder);
    rq_frame_coder_fini(&b->coder);
    rq_image_free(&b->image);
    rq_buf_free(&b->payload);
    rq_buf_free(&b->plain);
    for (int i = 0; i < GROUP; i++) {
        rq_buf_free(&b->group[i].jpeg);
        rq_buf_free(&b->group[i].frame);
    }
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
    const size_t step = limit > 0 && limit < f.n ? f.n / limit : 1;
    const unsigned cpu = rq_cpu_detect();
    static bench b;
    rq_err err = {0};
    const rq_limits limits = rq_limits_default();
    b.usable = cpu & RQ_CPU_AVX512 ? 3 : cpu & RQ_CPU_AVX2 ? 2 : 1;
    for (int c = 0; c < b.usable; c++)
        check(rq_dct_create(&b.dct[c], cpu_masks[c], &limits, &err), &err);
    check(rq_decoder_create(&b.decoder, &limits, &err), &err);
    for (size_t i = 0; i < f.n; i += step)
        add_image(&b, f.path[i]);
    measure_group(&b);
    print_totals(&b.sum, b.usable);
    close_bench(&b);
    for (size_t i = 0; i < f.n; i++)
        rq_free(f.path[i]);
    rq_free(f.path);
    return 0;
}
