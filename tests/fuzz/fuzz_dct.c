// SPDX-License-Identifier: Apache-2.0
//
// Payloads of the encoding `dct`. Header and decoding agree; C, AVX2 and AVX-512 give the same
// status and the same planes; and the JPEG file made of a payload, encoded again, decodes to
// the same planes. The input is the payload.
#include "codecs.h"

#include "common/cpu.h"
#include "pack/dct.h"

static rq_dct *create(unsigned cpu)
{
    const rq_limits limits = fuzz_limits();
    rq_dct *d = NULL;
    rq_err err = {0};
    FUZZ_OK(rq_dct_create(&d, cpu, &limits, &err), &err);
    return d;
}

static rq_status decode(unsigned cpu, const uint8_t *data, size_t size, rq_image *img)
{
    rq_err err = {0};
    rq_dct *d = create(cpu);
    const rq_status s = fuzz_status(rq_dct_decode(d, data, size, img, &err), &err);
    rq_dct_destroy(&d);
    return s;
}

/* payload -> jpeg -> payload: the same planes, and from there on the same bytes. */
static void check_again(const uint8_t *data, size_t size, const rq_image *img)
{
    rq_dct *d = create(rq_cpu_detect());
    rq_buf jpeg = {0}, payload = {0}, jpeg_again = {0};
    rq_image back = {0};
    rq_err err = {0}, encode = {0};
    if (fuzz_status(rq_dct_to_jpeg(d, data, size, &jpeg, &err), &err) == RQ_OK &&
        fuzz_status(rq_dct_encode(d, jpeg.data, jpeg.size, &payload, &encode), &encode) ==
            RQ_OK) {
        uint8_t *exact = fuzz_copy(payload.data, payload.size);
        FUZZ_HOLDS(decode(rq_cpu_detect(), exact, payload.size, &back) == RQ_OK);
        FUZZ_HOLDS(fuzz_same_image(img, &back));
        FUZZ_OK(rq_dct_to_jpeg(d, exact, payload.size, &jpeg_again, &err), &err);
        FUZZ_HOLDS(jpeg.size == jpeg_again.size &&
                   memcmp(jpeg.data, jpeg_again.data, jpeg.size) == 0);
        free(exact);
    }
    rq_dct_destroy(&d);
    rq_image_free(&back);
    rq_buf_free(&jpeg);
    rq_buf_free(&payload);
    rq_buf_free(&jpeg_again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned levels[] = {RQ_CPU_AVX2, RQ_CPU_ALL};
    const rq_limits limits = fuzz_limits();
    rq_image_info info = {0};
    rq_image img = {0}, other = {0};
    rq_err err = {0};
    const rq_status probe = fuzz_status(rq_dct_probe(data, size, &limits, &info, &err), &err);
    const rq_status s = decode(0, data, size, &img);
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        FUZZ_HOLDS(decode(levels[i] & rq_cpu_detect(), data, size, &other) == s);
        FUZZ_HOLDS(s != RQ_OK || fuzz_same_image(&img, &other));
    }
    if (s == RQ_OK) {
        fuzz_accepted();
        FUZZ_HOLDS(probe == RQ_OK);
        fuzz_touch(&img);
        FUZZ_HOLDS(info.width == img.width && info.height == img.height);
        FUZZ_HOLDS(info.pixels == img.pixels);
        FUZZ_HOLDS(info.sub_x == img.sub_x && info.sub_y == img.sub_y);
        check_again(data, size, &img);
    }
    rq_image_free(&img);
    rq_image_free(&other);
    return 0;
}
