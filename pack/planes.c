// SPDX-License-Identifier: Apache-2.0
// Planes to predicted planes and back. Row 0 is always predicted from the left, and the first
// sample of every other row from above, so that nothing but the first sample of a plane is
// predicted from nothing. The predictor is chosen by the sum of absolute differences, which
// goes along with what zstd makes of them.
#include "pack/planes.h"

#include "common/bytes.h"
#include "common/cpu.h"
#include "pack/planes_kernels.h"

#include <string.h>

enum {
    VERSION = 1,
    LEFT = 1, // bits: a plane's predictor is one of 1, 2 and 3
    ABOVE = 2,
    GREEN = 1, // colour transform: red and blue are stored as differences from green
    AT_PIXELS = 5,
    AT_FILTER = 16,
    AT_COLOUR = 19
};
static const uint8_t magic[4] = "RQPL";

/* ---- encoding ---------------------------------------------------------------------------- */

static uint32_t magnitude(uint8_t difference)
{
    return difference < 128 ? difference : 256u - difference;
}

/* The predictor that leaves the least, and how much that is. */
static int choose(const rq_plane *p, uint64_t *cost)
{
    uint64_t total[4] = {0};
    for (size_t y = 1; y < (size_t)p->height; y++) {
        const uint8_t *s = p->data + y * p->stride, *above = s - p->stride;
        uint32_t left = 0, up = 0, both = 0;
        for (size_t x = 1; x < (size_t)p->width; x++) {
            left += magnitude((uint8_t)(s[x] - s[x - 1]));
            up += magnitude((uint8_t)(s[x] - above[x]));
            both += magnitude((uint8_t)(s[x] - s[x - 1] - above[x] + above[x - 1]));
        }
        total[LEFT] += left;
        total[ABOVE] += up;
        total[LEFT | ABOVE] += both;
    }
    int best = LEFT | ABOVE;
    for (int f = LEFT; f < (LEFT | ABOVE); f++)
        if (total[f] < total[best])
            best = f;
    *cost = total[best];
    return best;
}

static void write_row(uint8_t *dst, const uint8_t *s, const uint8_t *above, size_t w,
                      int filter)
{
    dst[0] = (uint8_t)(s[0] - above[0]);
    if (filter == LEFT)
        for (size_t x = 1; x < w; x++)
            dst[x] = (uint8_t)(s[x] - s[x - 1]);
    else if (filter == ABOVE)
        for (size_t x = 1; x < w; x++)
            dst[x] = (uint8_t)(s[x] - above[x]);
    else
        for (size_t x = 1; x < w; x++)
            dst[x] = (uint8_t)(s[x] - s[x - 1] - above[x] + above[x - 1]);
}

static uint8_t *write_plane(uint8_t *dst, const rq_plane *p, int filter)
{
    const size_t w = (size_t)p->width;
    dst[0] = p->data[0];
    for (size_t x = 1; x < w; x++)
        dst[x] = (uint8_t)(p->data[x] - p->data[x - 1]);
    for (size_t y = 1; y < (size_t)p->height; y++) {
        const uint8_t *s = p->data + y * p->stride;
        write_row(dst + y * w, s, s - p->stride, w, filter);
    }
    return dst + w * (size_t)p->height;
}

/* Red and blue less green in scratch; planes[0] and [2] then point there. */
static rq_status subtract_green(rq_plane planes[3], rq_buf *scratch, rq_err *err)
{
    const rq_plane green = planes[1];
    const size_t bytes = green.stride * (size_t)green.height;
    scratch->size = 0;
    RQ_TRY(rq_buf_reserve(scratch, 2 * bytes, err));
    for (int i = 0; i < 3; i += 2) {
        uint8_t *to = scratch->data + (i ? bytes : 0);
        for (int y = 0; y < green.height; y++) {
            const size_t at = (size_t)y * green.stride;
            for (int x = 0; x < green.width; x++)
                to[at + (size_t)x] =
                    (uint8_t)(planes[i].data[at + (size_t)x] - green.data[at + (size_t)x]);
        }
        planes[i].data = to;
    }
    return RQ_OK;
}

/* Planes as they will be predicted, each with its predictor. */
static rq_status choose_all(rq_plane planes[3], const rq_image *img, int filter[3],
                            bool *less_green, rq_buf *scratch, rq_err *err)
{
    uint64_t cost[3] = {0}, less[3] = {0};
    const int n = rq_pixels_planes(img->pixels);
    memcpy(planes, img->plane, sizeof img->plane);
    for (int i = 0; i < n; i++)
        filter[i] = choose(&planes[i], &cost[i]);
    *less_green = false;
    if (img->pixels != RQ_PIXELS_RGB)
        return RQ_OK;
    RQ_TRY(subtract_green(planes, scratch, err));
    const int red = choose(&planes[0], &less[0]), blue = choose(&planes[2], &less[2]);
    *less_green = less[0] + less[2] < cost[0] + cost[2];
    if (*less_green) {
        filter[0] = red;
        filter[2] = blue;
    } else {
        memcpy(planes, img->plane, sizeof img->plane);
    }
    return RQ_OK;
}

rq_status rq_planes_encode(const rq_image *img, rq_buf *scratch, rq_buf *payload, rq_err *err)
{
    rq_plane planes[3];
    int filter[3] = {0};
    bool less_green;
    const int n = rq_pixels_planes(img->pixels);
    RQ_TRY(choose_all(planes, img, filter, &less_green, scratch, err));
    size_t bytes = RQ_PLANES_HEADER_BYTES;
    for (int i = 0; i < n; i++)
        bytes += (size_t)planes[i].width * (size_t)planes[i].height;
    payload->size = 0;
    RQ_TRY(rq_buf_append(payload, NULL, RQ_PLANES_HEADER_BYTES, err));
    RQ_TRY(rq_buf_reserve(payload, bytes, err));
    uint8_t *h = payload->data;
    memcpy(h, magic, sizeof magic);
    h[4] = VERSION;
    h[AT_PIXELS] = (uint8_t)img->pixels;
    h[6] = (uint8_t)img->sub_x;
    h[7] = (uint8_t)img->sub_y;
    rq_put_le32(h + 8, (uint32_t)img->width);
    rq_put_le32(h + 12, (uint32_t)img->height);
    h[AT_COLOUR] = less_green ? GREEN : 0;
    uint8_t *to = h + RQ_PLANES_HEADER_BYTES;
    for (int i = 0; i < n; i++) {
        h[AT_FILTER + i] = (uint8_t)filter[i];
        to = write_plane(to, &planes[i], filter[i]);
    }
    payload->size = bytes;
    return RQ_OK;
}

/* ---- decoding ---------------------------------------------------------------------------- */

static bool sub_sound(int sub)
{
    return sub == 1 || sub == 2 || sub == 4;
}

static rq_status check_fields(const uint8_t *h, rq_image_info *info, rq_err *err)
{
    const int n = rq_pixels_planes(info->pixels);
    bool sound = n > 0 && info->pixels <= RQ_PIXELS_RGB && sub_sound(info->sub_x) &&
                 sub_sound(info->sub_y) &&
                 (info->pixels == RQ_PIXELS_YCBCR || (info->sub_x == 1 && info->sub_y == 1)) &&
                 h[AT_COLOUR] <= (info->pixels == RQ_PIXELS_RGB ? GREEN : 0);
    for (int i = 0; i < 3; i++)
        sound = sound && (i < n ? h[AT_FILTER + i] >= LEFT && h[AT_FILTER + i] <= (LEFT | ABOVE)
                                : h[AT_FILTER + i] == 0);
    if (!sound || rq_get_le32(h + 20) != 0)
        return rq_fail(err, RQ_BAD_FORMAT, "a field of the raw planes' header is out of range");
    return RQ_OK;
}

rq_status rq_planes_probe(const uint8_t *payload, size_t bytes, const rq_limits *limits,
                          rq_image_info *info, rq_err *err)
{
    if (bytes < RQ_PLANES_HEADER_BYTES || memcmp(payload, magic, sizeof magic) != 0)
        return rq_fail(err, RQ_BAD_FORMAT, "these are no raw planes");
    if (payload[4] != VERSION)
        return rq_fail(err, payload[4] > VERSION ? RQ_UNSUPPORTED : RQ_BAD_FORMAT,
                       "raw planes of version %d; this program reads version %d", payload[4],
                       VERSION);
    const uint64_t w = rq_get_le32(payload + 8), h = rq_get_le32(payload + 12);
    if (w == 0 || h == 0)
        return rq_fail(err, RQ_BAD_FORMAT, "raw planes without content");
    if (w > (uint64_t)limits->max_side || h > (uint64_t)limits->max_side ||
        w * h > limits->max_pixels)
        return rq_fail(err, RQ_LIMIT, "raw planes of %llu x %llu pixels are over the limit",
                       (unsigned long long)w, (unsigned long long)h);
    *info = (rq_image_info){.width = (int)w,
                            .height = (int)h,
                            .bit_depth = 8,
                            .pixels = (rq_pixels)payload[AT_PIXELS],
                            .sub_x = payload[6],
                            .sub_y = payload[7],
                            .orientation = 1};
    info->components = rq_pixels_planes(info->pixels);
    RQ_TRY(check_fields(payload, info, err));
    const uint64_t sub_x = (uint64_t)info->sub_x, sub_y = (uint64_t)info->sub_y;
    uint64_t need = RQ_PLANES_HEADER_BYTES + w * h;
    if (info->components == 3)
        need += 2 * ((w - 1) / sub_x + 1) * ((h - 1) / sub_y + 1);
    if (need != bytes)
        return rq_fail(err, need > bytes ? RQ_TRUNCATED : RQ_BAD_FORMAT,
                       "raw planes of %llu x %llu pixels need %llu bytes, there are %zu",
                       (unsigned long long)w, (unsigned long long)h, (unsigned long long)need,
                       bytes);
    return RQ_OK;
}

static const rq_planes_kernels *kernels_for(unsigned cpu_flags)
{
#ifdef __x86_64__
    if (cpu_flags & RQ_CPU_AVX512)
        return &rq_planes_kernels_avx512;
    if (cpu_flags & RQ_CPU_AVX2)
        return &rq_planes_kernels_avx2;
#else
    (void)cpu_flags;
#endif
    return &rq_planes_kernels_c;
}

static const uint8_t *read_plane(const rq_planes_kernels *k, const uint8_t *src,
                                 const rq_plane *p, int filter)
{
    const size_t w = (size_t)p->width;
    k->sum(p->data, src, NULL, w, 0);
    for (int y = 1; y < p->height; y++) {
        uint8_t *dst = p->data + (size_t)y * p->stride;
        const uint8_t *above = dst - p->stride;
        src += w;
        if (filter == ABOVE)
            k->add(dst, src, above, w);
        else if (filter == LEFT)
            k->sum(dst, src, NULL, w, above[0]);
        else
            k->sum(dst, src, above, w, 0);
    }
    return src + w;
}

rq_status rq_planes_decode(unsigned cpu_flags, const uint8_t *payload, size_t bytes,
                           const rq_limits *limits, rq_image *img, rq_err *err)
{
    rq_image_info info;
    RQ_TRY(rq_planes_probe(payload, bytes, limits, &info, err));
    RQ_TRY(rq_image_shape(img, info.pixels, info.width, info.height, info.sub_x, info.sub_y, 1,
                          err));
    const rq_planes_kernels *k = kernels_for(cpu_flags);
    const uint8_t *src = payload + RQ_PLANES_HEADER_BYTES;
    for (int i = 0; i < info.components; i++)
        src = read_plane(k, src, &img->plane[i], payload[AT_FILTER + i]);
    if (payload[AT_COLOUR] == GREEN)
        for (int y = 0; y < info.height; y++) {
            const size_t at = (size_t)y * img->plane[1].stride;
            const uint8_t *green = img->plane[1].data + at;
            for (int i = 0; i < 3; i += 2) {
                uint8_t *row = img->plane[i].data + at;
                k->add(row, row, green, (size_t)info.width);
            }
        }
    return RQ_OK;
}

static void sum_c(uint8_t *dst, const uint8_t *src, const uint8_t *above, size_t n,
                  uint8_t first)
{
    uint8_t total = first;
    for (size_t i = 0; i < n; i++) {
        total = (uint8_t)(total + src[i]);
        dst[i] = (uint8_t)(total + (above ? above[i] : 0));
    }
}

static void add_c(uint8_t *dst, const uint8_t *src, const uint8_t *above, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = (uint8_t)(src[i] + above[i]);
}

const rq_planes_kernels rq_planes_kernels_c = {.sum = sum_c, .add = add_c};
