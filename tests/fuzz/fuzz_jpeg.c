// SPDX-License-Identifier: Apache-2.0
//
// JPEG files: header, decoding in every mode, and that they agree; then the same file as `dct`:
// the planes are within 1 level of libjpeg's, and the way back gives a file that is packed to
// the same payload. The input is the file.
#include "codecs.h"

#include "common/cpu.h"
#include "pack/dct.h"

/* No sample of a plane differs by more than one level. */
static bool is_close(const rq_plane *a, const rq_plane *b)
{
    for (int y = 0; y < a->height; y++) {
        for (int x = 0; x < a->width; x++) {
            const int v = a->data[(size_t)y * a->stride + (size_t)x];
            const int w = b->data[(size_t)y * b->stride + (size_t)x];
            if (v - w > 1 || w - v > 1)
                return false;
        }
    }
    return true;
}

static void check_planes(const uint8_t *jpeg, size_t size, const rq_image *img)
{
    rq_image reference = {0};
    FUZZ_HOLDS(fuzz_decode(jpeg, size, true, false, &reference, NULL) == RQ_OK);
    FUZZ_HOLDS(reference.pixels == img->pixels && reference.width == img->width);
    FUZZ_HOLDS(reference.height == img->height && reference.sub_x == img->sub_x);
    FUZZ_HOLDS(reference.sub_y == img->sub_y);
    for (int p = 0; p < rq_pixels_planes(img->pixels); p++)
        FUZZ_HOLDS(is_close(&reference.plane[p], &img->plane[p]));
    rq_image_free(&reference);
}

static void check_dct(const uint8_t *jpeg, size_t size)
{
    const rq_limits limits = fuzz_limits();
    rq_dct *d = NULL;
    rq_buf payload = {0}, file = {0}, again = {0};
    rq_image img = {0};
    rq_image_info info;
    rq_err err = {0}, encode = {0};
    FUZZ_OK(rq_dct_create(&d, rq_cpu_detect(), &limits, &err), &err);
    if (fuzz_status(rq_dct_encode(d, jpeg, size, &payload, &encode), &encode) == RQ_OK) {
        FUZZ_OK(rq_dct_probe(payload.data, payload.size, &limits, &info, &err), &err);
        FUZZ_OK(rq_dct_decode(d, payload.data, payload.size, &img, &err), &err);
        fuzz_touch(&img);
        check_planes(jpeg, size, &img);
        FUZZ_OK(rq_dct_to_jpeg(d, payload.data, payload.size, &file, &err), &err);
        FUZZ_OK(rq_dct_encode(d, file.data, file.size, &again, &err), &err);
        FUZZ_HOLDS(again.size == payload.size &&
                   memcmp(again.data, payload.data, again.size) == 0);
    }
    rq_dct_destroy(&d);
    rq_image_free(&img);
    rq_buf_free(&payload);
    rq_buf_free(&file);
    rq_buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (rq_codec_sniff(data, size) != RQ_CODEC_JPEG)
        return 0;
    fuzz_codec(data, size);
    check_dct(data, size);
    return 0;
}
