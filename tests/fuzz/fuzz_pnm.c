// SPDX-License-Identifier: Apache-2.0
//
// Binary PGM and PPM, which masks and exact pictures are kept as: any content (so that what is
// none of the known codecs is refused here), and the grey plane that a mask becomes.
#include "codecs.h"

static void check_gray(const uint8_t *data, size_t size)
{
    const rq_limits limits = fuzz_limits();
    rq_decoder *d = NULL;
    rq_image img = {0}, gray = {0};
    rq_err err = {0};
    FUZZ_OK(rq_decoder_create(&d, &limits, &err), &err);
    const rq_status s = fuzz_status(rq_decode_gray(d, data, size, &gray, &err), &err);
    FUZZ_HOLDS(s == fuzz_decode(data, size, false, false, &img, NULL));
    if (s == RQ_OK) {
        fuzz_touch(&gray);
        FUZZ_HOLDS(gray.pixels == RQ_PIXELS_GRAY && gray.width == img.width);
        if (img.pixels == RQ_PIXELS_GRAY)
            FUZZ_HOLDS(fuzz_same_image(&img, &gray));
    }
    rq_decoder_destroy(&d);
    rq_image_free(&img);
    rq_image_free(&gray);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const rq_codec codec = rq_codec_sniff(data, size);
    if (codec != RQ_CODEC_PNM && codec != RQ_CODEC_UNKNOWN)
        return 0;
    fuzz_codec(data, size);
    check_gray(data, size);
    return 0;
}
