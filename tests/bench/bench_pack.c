// SPDX-License-Identifier: Apache-2.0
//
// bench_pack [IMAGES]: a dataset of very many very small images, which is where an index and a
// catalogue cost most: a tar of 1 x 1 PPM files in 1,000 classes is made, packed and opened.
// Prints CPU seconds and the memory that each step needs; 100,000 images unless told.
#include "pack/build.h"
#include "pack/dataset.h"
#include "pack/ustar.h"
#include "pack/verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { CLASSES = 1000, OPENS = 7 };

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double peak_mib(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_maxrss / 1024;
}

static double now_mib(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%*d %ld", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

static rq_status write_tar(const char *path, uint64_t images, rq_err *err)
{
    uint8_t block[2 * RQ_USTAR_BLOCK], end[1024] = {0};
    FILE *f = fopen(path, "wb");
    if (!f)
        return rq_fail_errno(err, "cannot create '%s'", path);
    rq_status st = RQ_OK;
    for (uint64_t i = 0; i < images && st == RQ_OK; i++) {
        char name[64];
        uint8_t *pixel = block + RQ_USTAR_BLOCK;
        memset(block, 0, sizeof block);
        // As ImageNet's train archive: class after class.
        snprintf(name, sizeof name, "n%08" PRIu64 "/n%08" PRIu64 "_%" PRIu64 ".ppm",
                 i * CLASSES / images, i * CLASSES / images, i);
        st = rq_ustar_header(block, name, 14, err);
        memcpy(pixel, "P6\n1 1\n255\n", 11);
        pixel[11] = (uint8_t)i, pixel[12] = (uint8_t)(i >> 8), pixel[13] = (uint8_t)(i >> 16);
        if (st == RQ_OK && fwrite(block, sizeof block, 1, f) != 1)
            st = rq_fail_errno(err, "cannot write '%s'", path);
    }
    if (st == RQ_OK && fwrite(end, sizeof end, 1, f) != 1)
        st = rq_fail_errno(err, "cannot write '%s'", path);
    return fclose(f) == 0 || st != RQ_OK ? st : rq_fail_errno(err, "cannot write '%s'", path);
}

static rq_status pack(const char *tar, const char *dir, rq_err *err)
{
    rq_source *src = NULL;
    rq_source_opts so;
    rq_build_opts o;
    rq_build_result r = {0};
    rq_source_opts_default(&so);
    rq_build_opts_default(&o);
    o.encode.encoding = RQ_ENCODING_PPM;
    o.encode.level = 1;
    o.shard_bytes = UINT64_C(64) << 20;
    const double m0 = now_mib(), t0 = cpu_seconds();
    RQ_TRY(rq_source_open(&src, &tar, 1, &so, err));
    const double m1 = now_mib(), t1 = cpu_seconds();
    const double n = (double)rq_source_count(src);
    const rq_status st = rq_build(dir, src, NULL, &o, &r, err);
    const double t2 = cpu_seconds();
    rq_source_close(&src);
    RQ_TRY(st);
    printf("catalogue   %8.2f s CPU, %7.1f MiB, %5.1f bytes an image\n", t1 - t0, m1 - m0,
           (m1 - m0) * (1 << 20) / n);
    printf("build       %8.2f s CPU, %5.1f us an image, %d shards, peak %.1f MiB of memory\n",
           t2 - t1, (t2 - t1) / n * 1e6, r.shards, peak_mib());
    return RQ_OK;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static rq_status open_it(const char *dir, rq_err *err)
{
    double ms[OPENS];
    size_t memory = 0;
    uint64_t count = 0;
    for (int i = 0; i < OPENS; i++) {
        rq_dataset *ds;
        const double t = cpu_seconds();
        RQ_TRY(rq_dataset_open(&ds, dir, err));
        ms[i] = (cpu_seconds() - t) * 1e3;
        memory = rq_dataset_memory(ds);
        count = rq_dataset_count(ds);
        rq_dataset_close(&ds);
    }
    qsort(ms, OPENS, sizeof *ms, by_value);
    printf("open        %8.1f ms CPU (median of %d), %.1f MiB, %.1f bytes an image\n",
           ms[OPENS / 2], OPENS, (double)memory / (1 << 20), (double)memory / (double)count);
    return RQ_OK;
}

static rq_status verify_it(const char *dir, rq_err *err)
{
    const rq_verify_opts o = {.threads = 1};
    rq_verify_result r;
    const double t = cpu_seconds();
    RQ_TRY(rq_verify(dir, &o, &r, err));
    const double s = cpu_seconds() - t;
    printf("verify      %8.2f s CPU, %.2f GB/s of %.1f MB\n", s, (double)r.bytes / s * 1e-9,
           (double)r.bytes * 1e-6);
    return RQ_OK;
}

int main(int argc, char **argv)
{
    const uint64_t images = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000;
    const char *base = getenv("TMPDIR");
    char room[400], tar[420], dir[420], clean[450];
    rq_err err = {0};
    snprintf(room, sizeof room, "%.300s/bench-pack-XXXXXX", base ? base : "/tmp");
    if (images < CLASSES || !mkdtemp(room)) {
        fprintf(stderr, "bench_pack: at least %d images, and a place to write\n", CLASSES);
        return 2;
    }
    snprintf(tar, sizeof tar, "%s/tiny.tar", room);
    snprintf(dir, sizeof dir, "%s/tiny", room);
    printf("%" PRIu64 " images of 1 x 1\n", images);
    rq_status st = write_tar(tar, images, &err);
    if (st == RQ_OK)
        st = pack(tar, dir, &err);
    if (st == RQ_OK)
        st = open_it(dir, &err);
    if (st == RQ_OK)
        st = verify_it(dir, &err);
    snprintf(clean, sizeof clean, "rm -rf '%s'", room);
    if (st != RQ_OK)
        fprintf(stderr, "bench_pack: %s\n", err.text);
    return system(clean) != 0 || st != RQ_OK;
}
