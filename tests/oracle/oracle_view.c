// SPDX-License-Identifier: Apache-2.0
//
// Makes views of a picture given on standard input and writes what was drawn as text to
// standard output and the bytes to a file, for augment_reference.py to compare with its own.
// Arguments: RECIPE WIDTH HEIGHT PIXELS SUB MASK_WIDTH MASK_HEIGHT ANTIALIAS FILTER P_MASK FILL
// SAMPLES FILE.
#include "augment/view.h"
#include "common/cpu.h"

#include <stdio.h>
#include <stdlib.h>

static int fail(const char *what)
{
    fprintf(stderr, "oracle_view: %s\n", what);
    return 1;
}

static bool read_planes(rq_image *image, rq_pixels pixels, int width, int height, int sub)
{
    if (rq_image_shape(image, pixels, width, height, sub, sub, 1, NULL) != RQ_OK)
        return false;
    for (int c = 0; c < rq_pixels_planes(pixels); c++)
        for (int y = 0; y < image->plane[c].height; y++) {
            const size_t n = (size_t)image->plane[c].width;
            if (fread(image->plane[c].data + (size_t)y * image->plane[c].stride, 1, n, stdin) !=
                n)
                return false;
        }
    return true;
}

static void print_params(const rq_view_params *p)
{
    printf("%d %d %d %d %d %d %d %d %d %d %d %d %a %a %a %a %d %a %d %a %a %a\n", p->x, p->y,
           p->w, p->h, p->flip, p->mask_drawn, p->masked, p->jitter, p->order[0], p->order[1],
           p->order[2], p->order[3], (double)p->brightness, (double)p->contrast,
           (double)p->saturation, (double)p->hue, p->gray, (double)p->sigma, p->solarize,
           (double)p->fill[0], (double)p->fill[1], (double)p->fill[2]);
}

int main(int argc, char **argv)
{
    rq_recipe r;
    rq_image image = {0}, mask = {0};
    rq_view_maker *maker = NULL;
    if (argc != 14 || rq_recipe_preset(&r, argv[1], NULL) != RQ_OK)
        return fail("wrong arguments");
    r.antialias = atoi(argv[8]) != 0;
    r.filter = (rq_filter)atoi(argv[9]);
    r.p_mask = (float)atof(argv[10]);
    r.fill = (rq_fill)atoi(argv[11]);
    FILE *out = fopen(argv[13], "wb");
    uint8_t *view = malloc(1024 * 1024 * 3);
    if (!out || !view || rq_view_maker_create(&maker, &r, RQ_CPU_ALL, NULL) != RQ_OK)
        return fail("cannot start");
    if (!read_planes(&image, (rq_pixels)atoi(argv[4]), atoi(argv[2]), atoi(argv[3]),
                     atoi(argv[5])) ||
        !read_planes(&mask, RQ_PIXELS_GRAY, atoi(argv[6]), atoi(argv[7]), 1))
        return fail("short input");
    for (int s = 0; s < atoi(argv[12]); s++)
        for (int v = 0; v < rq_recipe_views(&r); v++) {
            const rq_view_key key = {
                .seed = 0x123456789abcdef0, .epoch = 9, .sample = (uint64_t)s << 30, .view = v};
            rq_view_params p;
            rq_view_draw(&p, &r, &key, image.width, image.height, true);
            if (rq_view_make(maker, &image, &mask, &p, view, NULL) != RQ_OK)
                return fail("view not made");
            print_params(&p);
            const size_t side = (size_t)r.group[p.group].size;
            if (fwrite(view, 3, side * side, out) != side * side)
                return fail("cannot write");
        }
    rq_view_maker_destroy(&maker);
    rq_image_free(&image);
    rq_image_free(&mask);
    free(view);
    return fclose(out) == 0 ? 0 : fail("cannot write");
}
