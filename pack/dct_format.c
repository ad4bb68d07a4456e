// SPDX-License-Identifier: Apache-2.0
// Takes a `dct` payload apart. Every length in it follows from the dimensions, the class maps
// and the widths of the groups; their sum must be the length of the payload to the byte. What
// the kernels read afterwards is inside the payload by construction.
#include "pack/dct_format.h"

#include "common/bytes.h"

#include <string.h>

const uint8_t rq_dct_zigzag[64] = {
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48,
    41, 34, 27, 20, 13, 6,  7,  14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23,
    30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

/* ---- geometry ---------------------------------------------------------------------------- */

static bool factor_allowed(int f)
{
    return f == 1 || f == 2 || f == 4;
}

bool rq_dct_geometry(rq_dct_layout *l)
{
    rq_dct_component *c = l->component;
    if (l->width < 1 || l->height < 1)
        return false;
    l->h_max = c[0].h;
    l->v_max = c[0].v;
    for (int i = 0; i < l->components; i++) {
        if (!factor_allowed(c[i].h) || !factor_allowed(c[i].v) || c[i].h > l->h_max ||
            c[i].v > l->v_max)
            return false;
        if (i > 0 && l->pixels == RQ_PIXELS_RGB && (c[i].h != l->h_max || c[i].v != l->v_max))
            return false;
        if (i == 2 && (c[1].h != c[2].h || c[1].v != c[2].v))
            return false;
        /* T.81 A.1.1 */
        c[i].blocks_x = (l->width * c[i].h + l->h_max * 8 - 1) / (l->h_max * 8);
        c[i].blocks_y = (l->height * c[i].v + l->v_max * 8 - 1) / (l->v_max * 8);
        c[i].units_x = (c[i].blocks_x + RQ_DCT_UNIT - 1) / RQ_DCT_UNIT;
        c[i].blocks = (size_t)c[i].blocks_x * (size_t)c[i].blocks_y;
        c[i].units = (size_t)c[i].units_x * (size_t)c[i].blocks_y;
    }
    return true;
}

int rq_dct_sub_x(const rq_dct_layout *l)
{
    return l->components == 1 ? 1 : l->h_max / l->component[1].h;
}

int rq_dct_sub_y(const rq_dct_layout *l)
{
    return l->components == 1 ? 1 : l->v_max / l->component[1].v;
}

/* ---- header ------------------------------------------------------------------------------ */

static rq_status check_limits(const rq_dct_layout *l, const rq_limits *limits, rq_err *err)
{
    const uint64_t pixels = (uint64_t)l->width * (uint64_t)l->height;
    uint64_t blocks = 0;
    for (int i = 0; i < l->components; i++)
        blocks += l->component[i].units * RQ_DCT_UNIT;
    if (l->width > limits->max_side || l->height > limits->max_side ||
        pixels > limits->max_pixels)
        return rq_fail(err, RQ_LIMIT, "a `dct` picture of %d x %d pixels is over the limit",
                       l->width, l->height);
    /* the samples, DC twice, places of the units */
    if (blocks * (64 + 2 + 2 + 4) > limits->max_memory_bytes)
        return rq_fail(err, RQ_LIMIT,
                       "a `dct` picture of %d x %d pixels needs more than %zu MiB", l->width,
                       l->height, limits->max_memory_bytes >> 20);
    return RQ_OK;
}

rq_status rq_dct_parse_header(rq_dct_layout *l, const uint8_t *payload, size_t bytes,
                              const rq_limits *limits, rq_err *err)
{
    const uint8_t *p = payload;
    if (bytes < RQ_DCT_HEADER_BYTES || memcmp(p, "RQD1", 4) != 0)
        return rq_fail(err, RQ_BAD_FORMAT, "this is no `dct` payload of version 1");
    l->width = rq_get_le16(p + 4);
    l->height = rq_get_le16(p + 6);
    l->components = p[8] == RQ_PIXELS_GRAY ? 1 : 3;
    if (p[8] < RQ_PIXELS_GRAY || p[8] > RQ_PIXELS_RGB)
        return rq_fail(err, RQ_BAD_FORMAT, "a `dct` payload of colour kind %d is unknown",
                       p[8]);
    l->pixels = (rq_pixels)p[8];
    const size_t fixed = RQ_DCT_HEADER_BYTES + (size_t)l->components * RQ_DCT_COMPONENT_BYTES;
    if (bytes < fixed)
        return rq_fail(err, RQ_BAD_FORMAT, "a `dct` payload ends in its header");
    for (int i = 0; i < l->components; i++) {
        const uint8_t *c = p + RQ_DCT_HEADER_BYTES + i * RQ_DCT_COMPONENT_BYTES;
        l->component[i].h = c[0] >> 4;
        l->component[i].v = c[0] & 15;
        l->component[i].table = c[1];
        l->component[i].classes = c[2];
        if (c[1] >= p[9] || c[2] < 1 || c[2] > RQ_DCT_MAX_CLASSES || c[3] != 0)
            return rq_fail(err, RQ_BAD_FORMAT,
                           "component %d of a `dct` payload has table %d of "
                           "%d and %d classes",
                           i, c[1], p[9], c[2]);
    }
    if (p[9] < 1 || p[9] > l->components || p[10] > RQ_DCT_MAX_GROUPS || p[11] != 0 ||
        !rq_dct_geometry(l))
        return rq_fail(err, RQ_BAD_FORMAT,
                       "the header of a `dct` payload has impossible values");
    return check_limits(l, limits, err);
}

/* ---- body -------------------------------------------------------------------------------- */

/* Reads on, one part behind the other. */
typedef struct cursor {
    const uint8_t *at;
    size_t left;
} cursor;

/* The next n bytes, NULL when there are not as many. */
static const uint8_t *take(cursor *c, size_t n)
{
    if (n > c->left)
        return NULL;
    const uint8_t *p = c->at;
    c->at += n;
    c->left -= n;
    return p;
}

static bool read_tables(rq_dct_layout *l, cursor *c, int tables)
{
    const uint8_t *p = take(c, (size_t)tables * RQ_DCT_TABLE_BYTES);
    if (p == NULL)
        return false;
    for (int i = 0; i < l->components; i++) {
        const uint8_t *t = p + l->component[i].table * RQ_DCT_TABLE_BYTES;
        for (int k = 0; k < 64; k++)
            l->component[i].quant[rq_dct_zigzag[k]] = (uint16_t)(t[k] | t[64 + k] << 8);
    }
    return true;
}

/* Counts the units of each class. */
static bool read_map(rq_dct_component *c, cursor *in)
{
    size_t count[16] = {0};
    c->map = NULL;
    count[0] = c->units;
    if (c->classes > 1) {
        const size_t bytes = (c->units + 1) / 2;
        c->map = take(in, bytes);
        if (c->map == NULL)
            return false;
        uint32_t pairs[256] = {0};
        for (size_t i = 0; i < bytes; i++)
            pairs[c->map[i]]++;
        memset(count, 0, sizeof count);
        for (int i = 0; i < 256; i++) {
            count[i & 15] += pairs[i];
            count[i >> 4] += pairs[i];
        }
        /* With an odd number of units the last high half belongs to none. */
        if (c->units % 2 != 0) {
            if (c->map[bytes - 1] >> 4 != 0)
                return false;
            count[0]--;
        }
        for (int i = c->classes; i < 16; i++)
            if (count[i] != 0)
                return false;
    }
    for (int i = 0; i < RQ_DCT_MAX_CLASSES; i++)
        c->class_units[i] = count[i];
    return true;
}

/* The planes in payload order: per component DC, then class by class frequency by frequency.
 * First pass: bytes of each group. Second pass, with `at`: places. */
static bool walk_planes(rq_dct_layout *l, const uint8_t *of_plane, const uint8_t *widths,
                        int groups, size_t *group_bytes, const uint8_t **at)
{
    for (int i = 0; i < l->components; i++) {
        rq_dct_component *c = &l->component[i];
        for (int t = -1; t < c->classes; t++) {
            const size_t n = t < 0 ? c->blocks : c->class_units[t] * RQ_DCT_UNIT;
            for (int k = t < 0 ? 0 : 1; k < (t < 0 ? 1 : 64); k++) {
                const int g = *of_plane++ - 1;
                rq_dct_plane *p = t < 0 ? &c->dc : &c->plane[t][k];
                p->data = NULL;
                p->width = 0;
                if (g < 0)
                    continue;
                if (g >= groups)
                    return false;
                p->width = widths[g];
                const size_t bytes = rq_dct_plane_bytes(n, p->width);
                if (at == NULL) {
                    group_bytes[g] += bytes;
                } else {
                    p->data = at[g];
                    at[g] += bytes;
                }
            }
        }
    }
    return true;
}

static bool read_groups(rq_dct_layout *l, cursor *in, int groups)
{
    size_t planes = 0, bytes[RQ_DCT_MAX_GROUPS] = {0};
    const uint8_t *at[RQ_DCT_MAX_GROUPS];
    for (int i = 0; i < l->components; i++)
        planes += 1 + 63 * (size_t)l->component[i].classes;
    const uint8_t *widths = take(in, (size_t)groups);
    const uint8_t *of_plane = take(in, planes);
    if (widths == NULL || of_plane == NULL)
        return false;
    for (int g = 0; g < groups; g++)
        if (widths[g] >= RQ_DCT_WIDTHS)
            return false;
    for (int i = 0; i < l->components; i++)
        if (!read_map(&l->component[i], in))
            return false;
    if (!walk_planes(l, of_plane, widths, groups, bytes, NULL))
        return false;
    for (int g = 0; g < groups; g++) {
        at[g] = take(in, bytes[g]);
        if (at[g] == NULL)
            return false;
    }
    return walk_planes(l, of_plane, widths, groups, bytes, at);
}

rq_status rq_dct_parse(rq_dct_layout *l, const uint8_t *payload, size_t bytes,
                       const rq_limits *limits, rq_err *err)
{
    RQ_TRY(rq_dct_parse_header(l, payload, bytes, limits, err));
    const size_t fixed = RQ_DCT_HEADER_BYTES + (size_t)l->components * RQ_DCT_COMPONENT_BYTES;
    cursor in = {payload + fixed, bytes - fixed};
    bool fits = read_tables(l, &in, payload[9]) && read_groups(l, &in, payload[10]);
    for (int w = 0; fits && w < RQ_DCT_WIDTHS; w++) {
        const size_t n = rq_get_le32(payload + 12 + 4 * w);
        l->escape[w] = take(&in, n);
        fits = l->escape[w] != NULL;
        l->escape_end[w] = fits ? l->escape[w] + n : NULL;
    }
    l->sign_bits = rq_get_le32(payload + 28);
    l->signs = fits ? take(&in, (l->sign_bits + 7) / 8) : NULL;
    if (l->signs == NULL || in.left != RQ_DCT_TRAILER_BYTES)
        return rq_fail(
            err, RQ_BAD_FORMAT,
            "the parts of a `dct` payload of %d x %d pixels do not fit its %zu bytes", l->width,
            l->height, bytes);
    if (l->sign_bits % 8 != 0 && l->signs[l->sign_bits / 8] >> (l->sign_bits % 8) != 0)
        return rq_fail(err, RQ_BAD_FORMAT, "a `dct` payload has bits behind its last sign");
    for (int i = 0; i < RQ_DCT_TRAILER_BYTES; i++)
        if (in.at[i] != 0)
            return rq_fail(err, RQ_BAD_FORMAT, "a `dct` payload does not end in zeros");
    return RQ_OK;
}
