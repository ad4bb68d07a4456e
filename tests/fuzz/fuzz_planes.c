// SPDX-License-Identifier: Apache-2.0
//
// Payloads of the encoding `raw`. Header and decoding agree, every level of vector instructions
// gives the same planes, and the planes of an accepted payload survive being encoded again.
#include "fuzz.h"

#include "common/cpu.h"
#include "pack/planes.h"

static rq_status decode(unsigned cpu, const uint8_t *data, size_t size, rq_image *img)
{
    const rq_limits limits = fuzz_limits();
    rq_err err = {0};
    return fuzz_status(rq_planes_decode(cpu, data, size, &limits, img, &err), &err);
}

static void check_again(const rq_image *img)
{
    rq_buf scratch = {0}, payload = {0};
    rq_image back = {0};
    rq_err err = {0};
    FUZZ_OK(rq_planes_encode(img, &scratch, &payload, &err), &err);
    uint8_t *exact = fuzz_copy(payload.data, payload.size);
    FUZZ_HOLDS(decode(rq_cpu_detect(), exact, payload.size, &back) == RQ_OK);
    FUZZ_HOLDS(fuzz_same_image(img, &back));
    free(exact);
    rq_image_free(&back);
    rq_buf_free(&scratch);
    rq_buf_free(&payload);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned levels[] = {RQ_CPU_AVX2, RQ_CPU_ALL};
    const rq_limits limits = fuzz_limits();
    rq_image_info info = {0};
    rq_image img = {0}, other = {0};
    rq_err err = {0};
    const rq_status probe =
        fuzz_status(rq_planes_probe(data, size, &limits, &info, &err), &err);
    const rq_status s = decode(0, data, size, &img);
    FUZZ_HOLDS(probe == s);
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        FUZZ_HOLDS(decode(levels[i] & rq_cpu_detect(), data, size, &other) == s &&
                   (s != RQ_OK || fuzz_same_image(&img, &other)));
    if (s == RQ_OK) {
        fuzz_accepted();
        fuzz_touch(&img);
        FUZZ_HOLDS(info.width == img.width && info.height == img.height);
        FUZZ_HOLDS(info.pixels == img.pixels && info.sub_x == img.sub_x);
        check_again(&img);
    }
    rq_image_free(&img);
    rq_image_free(&other);
    return 0;
}
