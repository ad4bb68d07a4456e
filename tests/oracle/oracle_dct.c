// SPDX-License-Identifier: Apache-2.0
// For pack_dct.py: oracle_dct LEVEL < payload > samples. Decodes with the kernels of a CPU
// level (c, avx2, avx512) and writes the planes without padding.
#include "common/cpu.h"
#include "pack/dct.h"

#include <stdio.h>

enum { MOST = 1 << 24 };

int main(int argc, char **argv)
{
    const rq_limits limits = rq_limits_default();
    unsigned mask = 0;
    rq_dct *d = NULL;
    rq_buf payload = {0};
    rq_image img = {0};
    rq_err err = {0};
    rq_status s = rq_cpu_mask_parse(&mask, argc > 1 ? argv[1] : "c", &err);
    if (s == RQ_OK)
        s = rq_dct_create(&d, mask & rq_cpu_detect(), &limits, &err);
    if (s == RQ_OK)
        s = rq_buf_reserve(&payload, MOST, &err);
    if (s == RQ_OK)
        payload.size = fread(payload.data, 1, MOST, stdin);
    if (s == RQ_OK)
        s = rq_dct_decode(d, payload.data, payload.size, &img, &err);
    for (int i = 0; s == RQ_OK && i < rq_pixels_planes(img.pixels); i++)
        for (int y = 0; y < img.plane[i].height; y++)
            fwrite(img.plane[i].data + (size_t)y * img.plane[i].stride, 1,
                   (size_t)img.plane[i].width, stdout);
    if (s != RQ_OK)
        fprintf(stderr, "oracle_dct: %s\n", err.text);
    rq_dct_destroy(&d);
    rq_buf_free(&payload);
    rq_image_free(&img);
    return s == RQ_OK ? 0 : 1;
}
