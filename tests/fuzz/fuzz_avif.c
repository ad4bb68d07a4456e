// SPDX-License-Identifier: Apache-2.0
//
// AVIF files: header, decoding in every mode, and that they agree. The input is the file.
#include "codecs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (rq_codec_sniff(data, size) == RQ_CODEC_AVIF)
        fuzz_codec(data, size);
    return 0;
}
