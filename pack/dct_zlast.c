// SPDX-License-Identifier: Apache-2.0
// Stands in for the `dct` codec until it is linked: every JPEG is kept as it is. The archive
// takes this file only where dct.c is missing.
#include "pack/dct.h"

struct rq_dct {
    int unused;
};

rq_status rq_dct_create(rq_dct **out, unsigned cpu_flags, const rq_limits *limits, rq_err *err)
{
    *out = rq_calloc(1, sizeof **out);
    return *out ? RQ_OK : rq_fail(err, RQ_OOM, "out of memory for a coefficient codec");
}

void rq_dct_destroy(rq_dct **d)
{
    rq_free(*d);
    *d = NULL;
}

rq_status rq_dct_encode(rq_dct *d, const uint8_t *jpeg, size_t bytes, rq_buf *payload,
                        rq_err *err)
{
    return rq_fail(err, RQ_UNSUPPORTED, "this program is without the `dct` codec");
}

rq_status rq_dct_decode(rq_dct *d, const uint8_t *payload, size_t bytes, rq_image *img,
                        rq_err *err)
{
    return rq_fail(err, RQ_UNSUPPORTED, "this program is without the `dct` codec");
}

rq_status rq_dct_to_jpeg(rq_dct *d, const uint8_t *payload, size_t bytes, rq_buf *jpeg,
                         rq_err *err)
{
    return rq_fail(err, RQ_UNSUPPORTED, "this program is without the `dct` codec");
}
