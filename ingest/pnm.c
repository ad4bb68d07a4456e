// SPDX-License-Identifier: Apache-2.0
// Binary PGM (P5) and PPM (P6) with maxval 255, as the Netpbm format pages define them: the
// plainest picture there is, used for `raw` members of shards and for masks. The header is
// parsed strictly; sizes are bounded before they are multiplied.
#include "ingest/codec_impl.h"

/* The next decimal of the header, after white space and comments. */
static bool header_number(const uint8_t *data, size_t bytes, size_t *at, uint32_t *value)
{
    size_t i = *at;
    const size_t start = i;
    while (i < bytes && (data[i] == ' ' || (data[i] >= '\t' && data[i] <= '\r') ||
                         (data[i] == '#' && i > start))) {
        if (data[i] == '#') {
            while (i < bytes && data[i] != '\n')
                i++;
        } else {
            i++;
        }
    }
    uint32_t v = 0;
    const size_t digits = i;
    while (i < bytes && data[i] >= '0' && data[i] <= '9' && i - digits < 9)
        v = v * 10 + (uint32_t)(data[i++] - '0');
    if (digits == start || i == digits)
        return false;
    *at = i;
    *value = v;
    return true;
}

rq_status rq_pnm_run(rq_codec_job *job, rq_err *err)
{
    const uint8_t *data = job->data;
    rq_image_info *info = job->info;
    uint32_t width, height, maxval;
    size_t at = 2;
    if (!header_number(data, job->bytes, &at, &width) ||
        !header_number(data, job->bytes, &at, &height) ||
        !header_number(data, job->bytes, &at, &maxval))
        return rq_fail(err, RQ_BAD_FORMAT, "PNM header is not readable at byte %zu", at);
    if (at >= job->bytes)
        return rq_fail(err, RQ_TRUNCATED, "PNM file ends within its header");
    if (!(data[at] == ' ' || (data[at] >= '\t' && data[at] <= '\r')))
        return rq_fail(err, RQ_BAD_FORMAT, "PNM header does not end in white space at byte %zu",
                       at);
    at++;
    if (maxval != 255)
        return rq_fail(err, RQ_UNSUPPORTED, "PNM with maxval %u; only 255 is read",
                       (unsigned)maxval);
    const int channels = data[1] == '5' ? 1 : 3;
    RQ_TRY(rq_limits_check_size(job->limits, "PNM", width, height, err));
    const uint64_t need = (uint64_t)width * height * (unsigned)channels;
    info->width = (int)width;
    info->height = (int)height;
    info->components = channels;
    info->bit_depth = 8;
    info->pixels = channels == 1 ? RQ_PIXELS_GRAY : RQ_PIXELS_RGB;
    info->color = channels == 1 ? RQ_COLOR_GRAY : RQ_COLOR_RGB;
    RQ_TRY(rq_codec_check_memory(job, "PNM", need, err));
    if (job->bytes - at < need)
        return rq_fail(err, RQ_TRUNCATED, "PNM has %zu bytes of pixels where %llu are needed",
                       job->bytes - at, (unsigned long long)need);
    if (job->bytes - at > need)
        info->notes |= RQ_NOTE_TRAILING;
    if (job->header_only)
        return RQ_OK;
    RQ_TRY(rq_image_shape(job->img, info->pixels, info->width, info->height, 1, 1, 1, err));
    for (int y = 0; y < info->height; y++)
        rq_codec_put_row(job->img, y, data + at + (size_t)y * width * (size_t)channels,
                         channels);
    return RQ_OK;
}
