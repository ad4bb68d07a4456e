// SPDX-License-Identifier: Apache-2.0
//
// rq-bench: measures the stream as training uses it, and hashes what it gives. `stream` says
// how fast and which stage costs what; `hash` proves that the bytes are the same for any number
// of threads, after any stop, on any machine.
#include "augment/stream.h"
#include "common/clock.h"
#include "common/cpu.h"
#include "common/hash.h"
#include "common/pool.h"
#include "tools/bench_kernels.h"
#include "tools/cli.h"
#include "tools/recipe_opts.h"

#include <stdio.h>
#include <string.h>

typedef struct request {
    const char *dataset;
    rq_stream_opts o;
    int batches, start_epoch;
    uint64_t start_step;
    double seconds;
    const char *cpu;
    bool each;
    rq_recipe recipe;
} request;

static request request_default(void)
{
    request q = {.cpu = "native"};
    rq_stream_opts_default(&q.o);
    q.o.batch = 64;
    return q;
}

#define ROW(type, name, letter, value, arg, help, min, max)                                    \
    {                                                                                          \
        RQ_OPT_##type, name, letter, value, arg, help, min, max, NULL                          \
    }

/* Rows for both commands: the stream's own options. */
#define STREAM_OPTS(q)                                                                         \
    ROW(INT, "batch", 'b', &(q)->o.batch, "N", "images of a global batch", 1, 1 << 20),        \
        ROW(INT, "threads", 't', &(q)->o.threads, "N", "workers, 0 for one per CPU", 0, 1024), \
        ROW(INT, "slots", 0, &(q)->o.slots, "N", "batches in flight", 2, 1024),                \
        ROW(U64, "seed", 0, &(q)->o.seed, "N", "seed of the run", 0, 0),                       \
        ROW(INT, "rank", 0, &(q)->o.rank, "R", "this consumer among --world", 0, 1 << 20),     \
        ROW(INT, "world", 0, &(q)->o.world, "N", "consumers that share a global batch", 1,     \
            1 << 20),                                                                          \
        ROW(INT, "start-epoch", 0, &(q)->start_epoch, "N", "epoch of the first batch", 0,      \
            1e9),                                                                              \
        ROW(U64, "start-step", 0, &(q)->start_step, "N", "step of the first batch", 0, 0),     \
        ROW(BOOL, "drop-last", 0, &(q)->o.drop_last, NULL,                                     \
            "leave out the images that do not fill a last batch", 0, 0),                       \
        ROW(U64, "bad-budget", 0, &(q)->o.bad_budget, "N",                                     \
            "damaged samples to replace before stopping", 0, 0),                               \
        ROW(BOOL, "allow-missing-masks", 0, &(q)->o.allow_missing_masks, NULL,                 \
            "images without a mask are used unmasked", 0, 0),                                  \
        ROW(STRING, "cpu-mask", 0, &(q)->cpu, "LEVEL",                                         \
            "best kernels to use: c, avx2, avx512 or native", 0, 0)

/* Parses the command line into q; -1 to go on, otherwise the exit code. */
static int parse(request *q, int argc, char **argv, const char *examples, const rq_opt *opts,
                 rq_recipe_opts *ro)
{
    int n;
    rq_err err = {0};
    const int code = rq_cli_parse(argc, argv, "DATASET", examples, opts, &n);
    if (code >= 0)
        return code;
    if (n != 1)
        return rq_cli_usage("give one dataset folder or shard, not %d", n);
    q->dataset = argv[1];
    q->o.start = (rq_position){(uint32_t)q->start_epoch, q->start_step};
    q->o.log = rq_cli_log();
    if (rq_recipe_opts_apply(ro, &q->recipe, &err) != RQ_OK ||
        rq_cpu_mask_parse(&q->o.cpu_flags, q->cpu, &err) != RQ_OK)
        return rq_cli_fail(&err);
    return -1;
}

static rq_status open_both(const request *q, rq_dataset **ds, rq_stream **s, rq_err *err)
{
    *ds = NULL;
    *s = NULL;
    RQ_TRY(rq_dataset_open(ds, q->dataset, err));
    return rq_stream_open(s, *ds, &q->recipe, &q->o, err);
}

/* ---- hash ---------------------------------------------------------------------------- */

static void hash_batch(rq_sha256 *h, const rq_batch *b)
{
    for (int g = 0; g < b->groups; g++) {
        const rq_batch_group *v = &b->group[g];
        rq_sha256_update(h, v->data,
                         (size_t)v->views * (size_t)b->images * (size_t)v->size *
                             (size_t)v->size * 3);
    }
    rq_sha256_update(h, b->ids, sizeof *b->ids * (size_t)b->images);
    rq_sha256_update(h, b->labels, sizeof *b->labels * (size_t)b->images);
}

static rq_status hash_batches(const request *q, rq_stream *s, rq_sha256 *all, rq_sha256 *one,
                              uint64_t *n, rq_err *err)
{
    char hex[RQ_SHA256_HEX];
    const rq_batch *b;
    for (*n = 0; *n < (uint64_t)q->batches; (*n)++) {
        if (rq_cli_stop)
            return rq_fail(err, RQ_CANCELLED, "stopped after %llu batches",
                           (unsigned long long)*n);
        const rq_status st = rq_stream_next(s, &b, err);
        if (st != RQ_OK)
            return st == RQ_END ? RQ_OK : st;
        hash_batch(all, b);
        if (q->each) {
            hash_batch(one, b);
            rq_sha256_hex(one, hex);
            printf("%s  epoch %u step %llu\n", hex, b->position.epoch,
                   (unsigned long long)b->position.step);
        }
        rq_stream_release(s, b);
    }
    return RQ_OK;
}

static rq_status hash_stream(const request *q, rq_err *err)
{
    rq_dataset *ds;
    rq_stream *s;
    rq_sha256 *all = NULL, *one = NULL;
    char hex[RQ_SHA256_HEX];
    uint64_t n = 0;
    rq_status st = open_both(q, &ds, &s, err);
    if (st == RQ_OK)
        st = rq_sha256_create(&all, err);
    if (st == RQ_OK)
        st = rq_sha256_create(&one, err);
    if (st == RQ_OK)
        st = hash_batches(q, s, all, one, &n, err);
    if (st == RQ_OK) {
        rq_sha256_hex(all, hex);
        if (rq_cli.json)
            printf("{\"sha256\":\"%s\",\"batches\":%llu}\n", hex, (unsigned long long)n);
        else
            printf("%s  %llu batches\n", hex, (unsigned long long)n);
    }
    rq_sha256_destroy(&all);
    rq_sha256_destroy(&one);
    rq_stream_close(&s);
    rq_dataset_close(&ds);
    return st;
}

static int run_hash(int argc, char **argv)
{
    request q = request_default();
    q.batches = 10;
    rq_recipe_opts ro = rq_recipe_opts_default();
    const rq_opt opts[] = {
        ROW(GROUP, "", 0, NULL, NULL, "What is hashed", 0, 0),
        ROW(INT, "batches", 'n', &q.batches, "N", "batches to hash", 1, 1e9),
        ROW(BOOL, "each", 0, &q.each, NULL, "also a line for each batch", 0, 0),
        STREAM_OPTS(&q),
        RQ_RECIPE_OPTS(ro),
        {.type = RQ_OPT_GROUP},
    };
    const char *examples = "  rq-bench hash dataset --batches 20 --threads 7\n"
                           "  rq-bench hash dataset --each --start-epoch 3 --start-step 12\n";
    const int code = parse(&q, argc, argv, examples, opts, &ro);
    if (code >= 0)
        return code;
    rq_err err = {0};
    return hash_stream(&q, &err) == RQ_OK ? 0 : rq_cli_fail(&err);
}

/* ---- stream -------------------------------------------------------------------------- */

typedef struct measurement {
    double first_ms; /* opening to the first batch */
    double seconds;  /* after it */
    rq_stream_stats before, after;
    double cpu_seconds; /* of the process, in `seconds` */
} measurement;

static rq_status measure(const request *q, rq_stream *s, uint64_t opened, measurement *m,
                         rq_err *err)
{
    const rq_batch *b;
    uint64_t start = 0, cpu = 0;
    for (int n = 0; q->batches == 0 || n < q->batches; n++) {
        if (rq_cli_stop)
            return rq_fail(err, RQ_CANCELLED, "stopped after %d batches", n);
        const rq_status st = rq_stream_next(s, &b, err);
        if (st == RQ_END)
            break;
        if (st != RQ_OK)
            return st;
        rq_stream_release(s, b);
        if (n == 0) {
            start = rq_clock_ns();
            cpu = rq_clock_process_cpu_ns();
            m->first_ms = (double)(start - opened) * 1e-6;
            m->before = rq_stream_get_stats(s);
        }
        if (q->batches == 0 && (double)(rq_clock_ns() - start) * 1e-9 >= q->seconds)
            break;
    }
    m->seconds = (double)(rq_clock_ns() - start) * 1e-9;
    m->cpu_seconds = (double)(rq_clock_process_cpu_ns() - cpu) * 1e-9;
    m->after = rq_stream_get_stats(s);
    if (m->after.images_made == m->before.images_made)
        return rq_fail(
            err, RQ_INVALID_ARG,
            "nothing was made after the first batch; give more --batches or --seconds");
    return RQ_OK;
}

/* What the table and the JSON say, derived once. */
typedef struct figures {
    double images, images_s, views_s;
    double read_ms, decode_ms, views_ms, cpu_ms; /* CPU per image */
    double consumer_wait, worker_wait;           /* share of the time (of each worker) */
} figures;

static figures derive(const request *q, const measurement *m, int threads)
{
    const rq_stream_stats *a = &m->after, *b = &m->before;
    figures f = {.images = (double)(a->images_made - b->images_made)};
    const double per_image = 1e-6 / f.images;
    f.images_s = f.images / m->seconds;
    f.views_s = f.images_s * rq_recipe_views(&q->recipe);
    f.read_ms = (double)(a->read_ns - b->read_ns) * per_image;
    f.decode_ms = (double)(a->decode_ns - b->decode_ns) * per_image;
    f.views_ms = (double)(a->views_ns - b->views_ns) * per_image;
    f.cpu_ms = m->cpu_seconds * 1e3 / f.images;
    f.consumer_wait = (double)(a->consumer_wait_ns - b->consumer_wait_ns) * 1e-9 / m->seconds;
    f.worker_wait =
        (double)(a->worker_wait_ns - b->worker_wait_ns) * 1e-9 / (m->seconds * threads);
    return f;
}

static void print_table(const request *q, const rq_dataset *ds, const measurement *m,
                        int threads)
{
    const figures f = derive(q, m, threads);
    const rq_recipe *r = &q->recipe;
    char count[32], masks[32], bytes[32];
    printf("dataset   %s: %s images, %s masks, %.12s\n", q->dataset,
           rq_format_count(count, rq_dataset_count(ds)),
           rq_format_count(masks, rq_dataset_masks(ds)), rq_dataset_hash(ds));
    printf("recipe    %s:", r->name);
    for (int g = 0; g < RQ_MAX_GROUPS; g++)
        if (r->group[g].views > 0)
            printf(" %d x %d px of area %g-%g,", r->group[g].views, r->group[g].size,
                   (double)r->group[g].area_min, (double)r->group[g].area_max);
    printf(" %s, antialias %s, p_mask %g\n",
           r->filter == RQ_FILTER_BICUBIC ? "bicubic" : "bilinear", r->antialias ? "on" : "off",
           (double)r->p_mask);
    printf(
        "run       %.1f s after the first batch, %.0f images, batch %d, %d threads, %d slots, "
        "seed %llu\n\n",
        m->seconds, f.images, q->o.batch, threads, q->o.slots, (unsigned long long)q->o.seed);
    printf("%-24s %10.1f /s\n", "images", f.images_s);
    printf("%-24s %10.1f /s\n", "views", f.views_s);
    printf("%-24s %10.1f ms\n\n", "first batch after", m->first_ms);
    printf("CPU time per image\n");
    printf("%-24s %10.3f ms\n", "  read, check, unpack", f.read_ms);
    printf("%-24s %10.3f ms\n", "  decode", f.decode_ms);
    printf("%-24s %10.3f ms\n", "  views", f.views_ms);
    printf("%-24s %10.3f ms\n\n", "  whole process", f.cpu_ms);
    printf("%-24s %10.1f %%\n", "consumer waited", 100 * f.consumer_wait);
    printf("%-24s %10.1f %%\n", "workers waited", 100 * f.worker_wait);
    printf("%-24s %10s\n", "memory, planned",
           rq_format_bytes(bytes, (double)m->after.memory_bytes));
    printf("%-24s %10llu\n", "damaged samples", (unsigned long long)m->after.bad_samples);
}

static void print_json(const request *q, const measurement *m, int threads)
{
    const figures f = derive(q, m, threads);
    printf("{\"recipe\":\"%s\",\"batch\":%d,\"threads\":%d,\"seconds\":%.3f,\"images\":%.0f,"
           "\"images_per_s\":%.2f,\"views_per_s\":%.2f,\"first_batch_ms\":%.2f,"
           "\"read_ms\":%.4f,\"decode_ms\":%.4f,\"views_ms\":%.4f,\"cpu_ms\":%.4f,"
           "\"consumer_wait\":%.4f,\"worker_wait\":%.4f,\"memory_bytes\":%zu,"
           "\"bad_samples\":%llu}\n",
           q->recipe.name, q->o.batch, threads, m->seconds, f.images, f.images_s, f.views_s,
           m->first_ms, f.read_ms, f.decode_ms, f.views_ms, f.cpu_ms, f.consumer_wait,
           f.worker_wait, m->after.memory_bytes, (unsigned long long)m->after.bad_samples);
}

static rq_status bench_stream(const request *q, rq_err *err)
{
    rq_dataset *ds;
    rq_stream *s;
    measurement m = {0};
    const uint64_t opened = rq_clock_ns();
    rq_status st = open_both(q, &ds, &s, err);
    if (st == RQ_OK)
        st = measure(q, s, opened, &m, err);
    if (st == RQ_OK && rq_cli.json)
        print_json(q, &m, q->o.threads);
    else if (st == RQ_OK)
        print_table(q, ds, &m, q->o.threads);
    rq_stream_close(&s);
    rq_dataset_close(&ds);
    return st;
}

static int run_stream(int argc, char **argv)
{
    request q = request_default();
    q.seconds = 10;
    rq_recipe_opts ro = rq_recipe_opts_default();
    const rq_opt opts[] = {
        ROW(GROUP, "", 0, NULL, NULL, "How long, and how", 0, 0),
        ROW(TIME, "seconds", 's', &q.seconds, "TIME", "how long to measure", 0, 0),
        ROW(INT, "batches", 'n', &q.batches, "N", "batches instead, 0 for --seconds", 0, 1e9),
        STREAM_OPTS(&q),
        RQ_RECIPE_OPTS(ro),
        {.type = RQ_OPT_GROUP},
    };
    const char *examples = "  rq-bench stream dataset --seconds 30\n"
                           "  rq-bench stream dataset --recipe linear --threads 1 --json\n";
    const int code = parse(&q, argc, argv, examples, opts, &ro);
    if (code >= 0)
        return code;
    if (q.o.threads == 0)
        q.o.threads = rq_cpu_count();
    rq_err err = {0};
    return bench_stream(&q, &err) == RQ_OK ? 0 : rq_cli_fail(&err);
}

int main(int argc, char **argv)
{
    static const rq_cli_command commands[] = {
        {"stream", "how fast batches come, and what each stage costs", run_stream},
        {"hash", "one SHA-256 over the bytes of batches", run_hash},
        {"kernels", "what each pixel kernel costs on this CPU", rq_bench_kernels},
        {0},
    };
    return rq_cli_main(argc, argv, "rq-bench", "measures the stream and proves its bytes",
                       commands);
}
