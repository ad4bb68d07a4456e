// SPDX-License-Identifier: Apache-2.0
//
// How far the views of relicv2-fast are from those of relicv2, operation by operation, on the
// first images of a dataset: root mean square of each channel, mean and largest difference, in
// levels. One operation at a time keeps its drawn parameters, the others do nothing.
//
//     bench_fast DATASET [IMAGES]
#include "augment/view.h"
#include "common/cpu.h"
#include "pack/dataset.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { OPS = 10, SIDE = 224 };

static const char *const names[OPS] = {
    "crop alone", "brightness", "contrast", "saturation",       "hue",
    "gray",       "blur",       "solarise", "jitter, all four", "as drawn"};

typedef struct total {
    double squares[3], sum, most, n;
} total;

typedef struct bench {
    rq_dataset *ds;
    rq_reader *reader;
    rq_recipe exact, fast;
    rq_view_maker *a, *b;
    rq_image image;
    total ops[OPS];
    uint8_t *x, *y;
} bench;

static void die(const rq_err *err)
{
    fprintf(stderr, "bench_fast: %s\n", err->text);
    exit(1);
}

/* Leaves one operation of what was drawn; it is always applied. */
static void keep(rq_view_params *p, int op)
{
    const rq_view_params drawn = *p;
    if (op == OPS - 1)
        return;
    p->jitter = (op >= 1 && op <= 4) || op == 8;
    p->brightness = op == 1 || op == 8 ? drawn.brightness : 0;
    p->contrast = op == 2 || op == 8 ? drawn.contrast : 1;
    p->saturation = op == 3 || op == 8 ? drawn.saturation : 1;
    p->hue = op == 4 || op == 8 ? drawn.hue : 0;
    p->gray = op == 5;
    p->sigma = op == 6 ? drawn.sigma : 0;
    p->solarize = op == 7;
}

static void compare(bench *b, const rq_view_params *p, total *t)
{
    rq_err err = {0};
    if (rq_view_make(b->a, &b->image, NULL, p, b->x, &err) != RQ_OK ||
        rq_view_make(b->b, &b->image, NULL, p, b->y, &err) != RQ_OK)
        die(&err);
    const int side = b->exact.group[p->group].size;
    for (int i = 0; i < side * side * 3; i++) {
        const double d = b->y[i] - b->x[i];
        t->squares[i % 3] += d * d;
        t->sum += fabs(d);
        t->most = fmax(t->most, fabs(d));
    }
    t->n += side * side;
}

static void one_image(bench *b, uint64_t place)
{
    rq_err err = {0};
    rq_sample sample;
    if (rq_reader_get(b->reader, place, &sample, &err) != RQ_OK ||
        rq_reader_decode(b->reader, &sample, &b->image, &err) != RQ_OK)
        die(&err);
    if (b->image.pixels != RQ_PIXELS_YCBCR)
        return; // others are made exactly
    for (int v = 0; v < rq_recipe_views(&b->exact); v++)
        for (int op = 0; op < OPS; op++) {
            const rq_view_key key = {.seed = 1, .sample = sample.id, .view = v};
            rq_view_params p;
            rq_recipe r = b->exact;
            if (op < OPS - 1)
                r.preset[0].p_jitter = r.preset[1].p_jitter = r.preset[1].p_blur = 1;
            rq_view_draw(&p, &r, &key, b->image.width, b->image.height, false);
            keep(&p, op);
            compare(b, &p, &b->ops[op]);
        }
}

int main(int argc, char **argv)
{
    static bench b;
    rq_err err = {0};
    if (argc < 2) {
        printf("bench_fast: give a dataset to compare relicv2-fast with relicv2 on\n");
        return 0;
    }
    b.x = malloc(SIDE * SIDE * 3);
    b.y = malloc(SIDE * SIDE * 3);
    if (!b.x || !b.y || rq_recipe_preset(&b.exact, "relicv2", &err) != RQ_OK ||
        rq_recipe_preset(&b.fast, "relicv2-fast", &err) != RQ_OK ||
        rq_view_maker_create(&b.a, &b.exact, RQ_CPU_ALL, &err) != RQ_OK ||
        rq_view_maker_create(&b.b, &b.fast, RQ_CPU_ALL, &err) != RQ_OK ||
        rq_dataset_open(&b.ds, argv[1], &err) != RQ_OK ||
        rq_reader_create(&b.reader, b.ds, &err) != RQ_OK)
        die(&err);
    const uint64_t wanted = argc > 2 ? strtoull(argv[2], NULL, 10) : 200,
                   count = rq_dataset_count(b.ds), n = wanted < count ? wanted : count;
    for (uint64_t i = 0; i < n; i++)
        one_image(&b, i);
    printf("%llu images, 6 views each, levels\n%-18s %8s %8s %8s %8s %8s\n",
           (unsigned long long)n, "", "RMS red", "green", "blue", "mean", "most");
    for (int op = 0; op < OPS; op++) {
        const total *t = &b.ops[op];
        printf("%-18s %8.2f %8.2f %8.2f %8.2f %8.0f\n", names[op], sqrt(t->squares[0] / t->n),
               sqrt(t->squares[1] / t->n), sqrt(t->squares[2] / t->n), t->sum / (3 * t->n),
               t->most);
    }
    return 0;
}
