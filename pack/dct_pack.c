// SPDX-License-Identifier: Apache-2.0
// Coefficients to a `dct` payload: units into classes by activity, blocks of a class into
// batches with the frequencies apart, a width for every plane, planes into groups, then the
// parts one behind the other.
//
// Everything that decides is integer arithmetic on counts, so every machine writes the same
// bytes. Escapes and signs are written in the order in which a decoder that works batch by
// batch needs them; since they have no order of their own to lose, that is free.
#include "pack/dct_pack.h"

#include "common/bytes.h"
#include "pack/dct_groups.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_PLANES = 3 * (1 + 63 * RQ_DCT_MAX_CLASSES),
    MAX_ACTIVITY = RQ_DCT_UNIT * 63 * 12,
    MAX_CODED = 256, /* magnitudes from here on cost the same */
    ONE_BIT = 1 << 16,
    NO_PLANE = -1
};

/* One component on its way. */
typedef struct packed_component {
    size_t first_batch; /* in rq_dct_packer.batches, of class 0 */
    size_t first_dc;    /* in rq_dct_packer.dc */
    uint8_t *map;       /* class of each unit */
    int dc_plane;       /* in coded, NO_PLANE when all are zero */
    int plane[RQ_DCT_MAX_CLASSES][64];
} packed_component;

struct rq_dct_packer {
    rq_dct_cost cost;
    rq_dct_layout layout; /* sizes and classes; no pointers */
    packed_component component[3];
    uint16_t *activity; /* of the units of one component */
    size_t activity_cap;
    uint8_t *maps;
    size_t maps_cap;
    int16_t *dc; /* differences, component after component */
    size_t dc_cap;
    int16_t (*batches)[64][RQ_DCT_BATCH]; /* by class; second index is the zigzag index */
    size_t batches_cap;
    rq_dct_coded *coded;
    rq_dct_coded **order;
    size_t n_coded;
    rq_buf planes;
    rq_buf escapes[RQ_DCT_WIDTHS];
    rq_buf signs;
    size_t sign_bits;
};

rq_status rq_dct_packer_create(rq_dct_packer **out, rq_err *err)
{
    *out = NULL;
    rq_dct_packer *p = rq_calloc(1, sizeof *p);
    if (p != NULL) {
        p->coded = rq_alloc(MAX_PLANES, sizeof *p->coded);
        p->order = rq_alloc(MAX_PLANES, sizeof(rq_dct_coded *));
    }
    if (p == NULL || p->coded == NULL || p->order == NULL) {
        rq_dct_packer_destroy(&p);
        return rq_fail(err, RQ_OOM, "no memory for a `dct` encoder");
    }
    rq_dct_cost_init(&p->cost);
    *out = p;
    return RQ_OK;
}

void rq_dct_packer_destroy(rq_dct_packer **out)
{
    if (out == NULL || *out == NULL)
        return;
    rq_dct_packer *p = *out;
    rq_free(p->activity);
    rq_free(p->maps);
    rq_free(p->dc);
    rq_free(p->batches);
    rq_free(p->coded);
    rq_free(p->order);
    rq_buf_free(&p->planes);
    rq_buf_free(&p->signs);
    for (int w = 0; w < RQ_DCT_WIDTHS; w++)
        rq_buf_free(&p->escapes[w]);
    rq_free(p);
    *out = NULL;
}

/* ---- classes ----------------------------------------------------------------------------- */

/* About twice the bits that a JPEG spends on the AC of a block. */
static int activity_of(const int16_t *block)
{
    int sum = 0;
    for (int k = 1; k < 64; k++) {
        const int m = abs(block[k]);
        if (m != 0)
            sum += m < 2 ? 3 : m < 4 ? 5 : m < 8 ? 7 : m < 16 ? 9 : 12;
    }
    return sum;
}

/* Few blocks cannot pay for the planes of many classes. */
static int classes_for(size_t units)
{
    return units < 32 ? 1 : units < 128 ? 2 : units < 512 ? 3 : units < 2048 ? 4 : 5;
}

/* First rank of each class when units are ranked by activity: classes of about equally many
 * units, and whole batches as far as there are enough. */
static void cut_classes(size_t units, int classes, size_t first[RQ_DCT_MAX_CLASSES + 1])
{
    const size_t whole = RQ_DCT_BATCH / RQ_DCT_UNIT;
    for (int t = 0; t < classes; t++) {
        const size_t even = units * (size_t)t / (size_t)classes;
        first[t] =
            units < 2 * whole * (size_t)classes ? even : (even + whole / 2) / whole * whole;
    }
    first[classes] = units;
}

/* Fills c->classes, class_units and map. */
static void classify(rq_dct_packer *p, const rq_jpeg_component *in, rq_dct_component *c,
                     uint8_t *map)
{
    uint32_t rank[MAX_ACTIVITY + 2] = {0}; /* of the next unit of an activity */
    for (size_t u = 0; u < c->units; u++) {
        const size_t y = u / (size_t)c->units_x, x = u % (size_t)c->units_x * RQ_DCT_UNIT;
        const int16_t *block = in->coef + (y * (size_t)c->blocks_x + x) * 64;
        int sum = activity_of(block);
        if (x + 1 < (size_t)c->blocks_x)
            sum += activity_of(block + 64);
        p->activity[u] = (uint16_t)sum;
        rank[sum + 1]++;
    }
    for (int a = 0; a < MAX_ACTIVITY; a++)
        rank[a + 1] += rank[a];
    size_t first[RQ_DCT_MAX_CLASSES + 1];
    c->classes = classes_for(c->units);
    cut_classes(c->units, c->classes, first);
    for (size_t u = 0; u < c->units; u++) {
        const size_t r = rank[p->activity[u]]++;
        int t = 0;
        while (r >= first[t + 1])
            t++;
        map[u] = (uint8_t)t;
    }
    for (int t = 0; t < RQ_DCT_MAX_CLASSES; t++)
        c->class_units[t] = t < c->classes ? first[t + 1] - first[t] : 0;
}

/* ---- order ------------------------------------------------------------------------------- */

static size_t batches_of(size_t units)
{
    return (units * RQ_DCT_UNIT + RQ_DCT_BATCH - 1) / RQ_DCT_BATCH;
}

/* Blocks of a component into the batches of their classes, frequencies apart. */
static void order_blocks(rq_dct_packer *p, const rq_jpeg_component *in,
                         const rq_dct_component *c, const packed_component *pc)
{
    size_t next[RQ_DCT_MAX_CLASSES], batch = pc->first_batch; /* next: in blocks */
    for (int t = 0; t < c->classes; t++) {
        next[t] = batch * RQ_DCT_BATCH;
        batch += batches_of(c->class_units[t]);
    }
    memset(p->batches + pc->first_batch, 0, (batch - pc->first_batch) * sizeof *p->batches);
    for (size_t u = 0; u < c->units; u++) {
        const size_t y = u / (size_t)c->units_x, x = u % (size_t)c->units_x * RQ_DCT_UNIT;
        size_t at = next[pc->map[u]];
        next[pc->map[u]] += RQ_DCT_UNIT;
        for (size_t i = x; i < x + RQ_DCT_UNIT && i < (size_t)c->blocks_x; i++, at++) {
            const int16_t *block = in->coef + (y * (size_t)c->blocks_x + i) * 64;
            int16_t(*to)[RQ_DCT_BATCH] = p->batches[at / RQ_DCT_BATCH];
            for (int k = 1; k < 64; k++)
                to[k][at % RQ_DCT_BATCH] = block[rq_dct_zigzag[k]];
        }
    }
}

/* Difference to the block on the left; in the first column to the one above. */
static void difference_dc(const rq_jpeg_component *in, const rq_dct_component *c, int16_t *dc)
{
    const size_t row = (size_t)c->blocks_x;
    for (size_t b = 0; b < c->blocks; b++) {
        const int left = b % row != 0 ? in->coef[(b - 1) * 64]
                         : b != 0     ? in->coef[(b - row) * 64]
                                      : 0;
        dc[b] = (int16_t)(in->coef[b * 64] - left);
    }
}

static rq_status check_range(const rq_jpeg_component *in, const rq_dct_component *c,
                             rq_err *err)
{
    for (size_t b = 0; b < c->blocks; b++) {
        const int16_t *block = in->coef + b * 64;
        int largest = 0;
        for (int k = 1; k < 64; k++)
            largest = abs(block[k]) > largest ? abs(block[k]) : largest;
        if (largest > RQ_JPEG_MAX_AC || block[0] < RQ_JPEG_MIN_DC || block[0] > RQ_JPEG_MAX_DC)
            return rq_fail(err, RQ_UNSUPPORTED,
                           "block %zu has coefficients larger than baseline JPEG can write", b);
    }
    return RQ_OK;
}

/* Sizes, classes, batches and differences of everything. */
static rq_status arrange(rq_dct_packer *p, const rq_jpeg_coefs *in, rq_err *err)
{
    rq_dct_layout *l = &p->layout;
    size_t units = 0, blocks = 0, batches = 0;
    for (int i = 0; i < l->components; i++) {
        RQ_TRY(check_range(&in->component[i], &l->component[i], err));
        units += l->component[i].units;
        blocks += rq_round_up(l->component[i].blocks, RQ_DCT_BATCH);
        batches += batches_of(l->component[i].units) + RQ_DCT_MAX_CLASSES;
    }
    RQ_TRY(rq_grow((void **)&p->activity, &p->activity_cap, units, sizeof *p->activity, err));
    RQ_TRY(rq_grow((void **)&p->maps, &p->maps_cap, units, sizeof *p->maps, err));
    RQ_TRY(rq_grow((void **)&p->dc, &p->dc_cap, blocks, sizeof *p->dc, err));
    RQ_TRY(rq_grow((void **)&p->batches, &p->batches_cap, batches, sizeof *p->batches, err));
    size_t unit = 0, dc = 0, batch = 0;
    for (int i = 0; i < l->components; i++) {
        rq_dct_component *c = &l->component[i];
        packed_component *pc = &p->component[i];
        pc->map = p->maps + unit;
        pc->first_dc = dc;
        pc->first_batch = batch;
        classify(p, &in->component[i], c, pc->map);
        order_blocks(p, &in->component[i], c, pc);
        difference_dc(&in->component[i], c, p->dc + dc);
        unit += c->units;
        dc += c->blocks;
        for (int t = 0; t < c->classes; t++)
            batch += batches_of(c->class_units[t]);
    }
    return RQ_OK;
}

/* ---- planes ------------------------------------------------------------------------------ */

/* The n values at rows[i / 64][i % 64], rows being `step` values apart. */
typedef struct value_rows {
    const int16_t *row;
    size_t step, n;
} value_rows;

static inline int magnitude(const value_rows *v, size_t i)
{
    return abs(v->row[i / RQ_DCT_BATCH * v->step + i % RQ_DCT_BATCH]);
}

/* Price of an escape by what it holds; for widths below 8 bits small ones are the rule. */
static uint64_t escape_bits(int width, int excess)
{
    const int bits = excess == 0    ? (width == 3 ? 7 : 2)
                     : excess < 4   ? 4
                     : excess < 16  ? 6
                     : excess < 64  ? 8
                     : excess < 255 ? 10
                                    : 26;
    return (uint64_t)(bits + 2) * ONE_BIT; /* 2: the time it takes */
}

/* Bytes of a plane at a width, with their histogram; returns how many. */
static size_t code_values(const value_rows *v, int width, uint8_t *out, uint32_t hist[256])
{
    const int cap = rq_dct_cap(width), bits = 1 << width;
    memset(hist, 0, 256 * sizeof *hist);
    size_t used = 0;
    for (size_t i = 0; i < v->n;) {
        int byte = 0;
        for (int shift = 0; shift < 8 && i < v->n; shift += bits, i++) {
            const int m = magnitude(v, i);
            byte |= (m < cap ? m : cap) << shift;
        }
        out[used++] = (uint8_t)byte;
        hist[byte]++;
    }
    return used;
}

/* Counts of magnitudes, those from MAX_CODED - 1 on together; returns the sum of all. */
static uint64_t count_magnitudes(const value_rows *v, uint32_t count[MAX_CODED])
{
    uint64_t sum = 0;
    memset(count, 0, MAX_CODED * sizeof *count);
    for (size_t i = 0; i < v->n; i++) {
        const int m = magnitude(v, i);
        count[m < MAX_CODED ? m : MAX_CODED - 1]++;
        sum += (uint64_t)m;
    }
    return sum;
}

/* Adds a plane with the width that codes it in the fewest bits, a bit for each byte and two for
 * each escape added for their decoding time. *index is NO_PLANE when all values are zero. */
static rq_status add_plane(rq_dct_packer *p, const value_rows *v, int *index, rq_err *err)
{
    uint32_t count[MAX_CODED], hist[256];
    const uint64_t sum = count_magnitudes(v, count);
    *index = NO_PLANE;
    if (sum == 0)
        return RQ_OK;
    /* The best so far stands at planes.size, the next candidate behind it. */
    RQ_TRY(rq_buf_reserve(&p->planes, p->planes.size + 2 * v->n, err));
    uint8_t *best_at = p->planes.data + p->planes.size, *try_at = best_at + v->n;
    rq_dct_coded *best = &p->coded[p->n_coded];
    uint64_t best_bits = UINT64_MAX;
    for (int w = 0; w < RQ_DCT_WIDTHS; w++) {
        const int cap = rq_dct_cap(w);
        uint64_t escapes = 0, bits = 0;
        for (int m = cap; m < MAX_CODED; m++) {
            escapes += count[m];
            bits += count[m] * escape_bits(w, m - cap);
        }
        if (w < 3 && escapes * 5 > v->n * 2)
            continue;
        const size_t bytes = code_values(v, w, try_at, hist);
        bits += rq_dct_cost_bits(&p->cost, hist) + bytes * (uint64_t)ONE_BIT;
        if (bits < best_bits) {
            best_bits = bits;
            best->width = w;
            best->bytes = bytes;
            memcpy(best->hist, hist, sizeof hist);
            memcpy(best_at, try_at, bytes);
        }
        if (escapes == 0)
            break;
    }
    best->at = p->planes.size;
    best->mean = (sum << 16) / v->n;
    p->planes.size += best->bytes;
    *index = (int)p->n_coded++;
    return RQ_OK;
}

static rq_status add_planes(rq_dct_packer *p, rq_err *err)
{
    p->n_coded = 0;
    p->planes.size = 0;
    for (int i = 0; i < p->layout.components; i++) {
        const rq_dct_component *c = &p->layout.component[i];
        packed_component *pc = &p->component[i];
        const value_rows dc = {p->dc + pc->first_dc, RQ_DCT_BATCH, c->blocks};
        RQ_TRY(add_plane(p, &dc, &pc->dc_plane, err));
        size_t batch = pc->first_batch;
        for (int t = 0; t < c->classes; t++) {
            for (int k = 1; k < 64; k++) {
                const value_rows ac = {p->batches[batch][k], 64 * RQ_DCT_BATCH,
                                       c->class_units[t] * RQ_DCT_UNIT};
                RQ_TRY(add_plane(p, &ac, &pc->plane[t][k], err));
            }
            batch += batches_of(c->class_units[t]);
        }
    }
    return RQ_OK;
}

/* ---- escapes and signs ------------------------------------------------------------------- */

static rq_status add_escape(rq_buf *to, int excess, int m, rq_err *err)
{
    uint8_t bytes[3] = {255, (uint8_t)m, (uint8_t)(m >> 8)};
    if (excess >= 255)
        return rq_buf_append(to, bytes, 3, err);
    bytes[0] = (uint8_t)excess;
    return rq_buf_append(to, bytes, 1, err);
}

/* n values, as they are decoded one after the other. */
static rq_status add_values(rq_dct_packer *p, const int16_t *v, size_t n, int width,
                            rq_err *err)
{
    const int cap = rq_dct_cap(width);
    RQ_TRY(rq_buf_reserve(&p->signs, (p->sign_bits + n) / 8 + 1, err));
    for (size_t i = 0; i < n; i++) {
        const int m = abs(v[i]);
        if (m == 0)
            continue;
        if (m >= cap)
            RQ_TRY(add_escape(&p->escapes[width], m - cap, m, err));
        uint8_t *sign = &p->signs.data[p->sign_bits >> 3];
        if ((p->sign_bits & 7) == 0)
            *sign = 0;
        *sign |= (uint8_t)((v[i] < 0) << (p->sign_bits++ & 7));
    }
    p->signs.size = (p->sign_bits + 7) / 8;
    return RQ_OK;
}

static rq_status add_batch(rq_dct_packer *p, int16_t (*batch)[RQ_DCT_BATCH], const int *planes,
                           rq_err *err)
{
    for (int w = 0; w < RQ_DCT_WIDTHS; w++)
        for (int k = 1; k < 64; k++)
            if (planes[k] != NO_PLANE && p->coded[planes[k]].width == w)
                RQ_TRY(add_values(p, batch[k], RQ_DCT_BATCH, w, err));
    return RQ_OK;
}

static rq_status add_streams(rq_dct_packer *p, rq_err *err)
{
    p->sign_bits = p->signs.size = 0;
    for (int w = 0; w < RQ_DCT_WIDTHS; w++)
        p->escapes[w].size = 0;
    for (int i = 0; i < p->layout.components; i++) {
        const rq_dct_component *c = &p->layout.component[i];
        const packed_component *pc = &p->component[i];
        if (pc->dc_plane != NO_PLANE)
            RQ_TRY(add_values(p, p->dc + pc->first_dc, c->blocks, p->coded[pc->dc_plane].width,
                              err));
        size_t batch = pc->first_batch;
        for (int t = 0; t < c->classes; t++)
            for (size_t b = 0; b < batches_of(c->class_units[t]); b++)
                RQ_TRY(add_batch(p, p->batches[batch++], pc->plane[t], err));
    }
    return RQ_OK;
}

/* ---- payload ----------------------------------------------------------------------------- */

/* Number of the component's table, equal tables sharing one; *tables counts them. */
static int number_tables(rq_jpeg_component const *c, int i, const rq_dct_layout *l, int *tables)
{
    for (int k = 0; k < i; k++)
        if (memcmp(c[k].quant, c[i].quant, sizeof c[k].quant) == 0)
            return l->component[k].table;
    return (*tables)++;
}

static rq_status write_header(rq_dct_packer *p, const rq_jpeg_coefs *in, int groups,
                              rq_buf *out, rq_err *err)
{
    uint8_t h[RQ_DCT_HEADER_BYTES] = "RQD1", t[RQ_DCT_TABLE_BYTES];
    rq_dct_layout *l = &p->layout;
    int tables = 0;
    for (int i = 0; i < l->components; i++)
        l->component[i].table = number_tables(in->component, i, l, &tables);
    rq_put_le16(h + 4, (uint16_t)l->width);
    rq_put_le16(h + 6, (uint16_t)l->height);
    h[8] = (uint8_t)l->pixels;
    h[9] = (uint8_t)tables;
    h[10] = (uint8_t)groups;
    for (int w = 0; w < RQ_DCT_WIDTHS; w++)
        rq_put_le32(h + 12 + 4 * w, (uint32_t)p->escapes[w].size);
    rq_put_le32(h + 28, (uint32_t)p->sign_bits);
    RQ_TRY(rq_buf_append(out, h, sizeof h, err));
    for (int i = 0; i < l->components; i++) {
        const rq_dct_component *c = &l->component[i];
        const uint8_t d[RQ_DCT_COMPONENT_BYTES] = {(uint8_t)(c->h << 4 | c->v),
                                                   (uint8_t)c->table, (uint8_t)c->classes, 0};
        RQ_TRY(rq_buf_append(out, d, sizeof d, err));
    }
    for (int i = 0, next = 0; i < l->components; i++) {
        if (l->component[i].table != next)
            continue;
        for (int k = 0; k < 64; k++) {
            const uint16_t q = in->component[i].quant[rq_dct_zigzag[k]];
            t[k] = (uint8_t)q;
            t[64 + k] = (uint8_t)(q >> 8);
        }
        RQ_TRY(rq_buf_append(out, t, sizeof t, err));
        next++;
    }
    return RQ_OK;
}

static rq_status write_plane_groups(const rq_dct_packer *p, rq_buf *out, rq_err *err)
{
    for (int i = 0; i < p->layout.components; i++) {
        const packed_component *pc = &p->component[i];
        const int dc = pc->dc_plane;
        const uint8_t g = (uint8_t)(dc == NO_PLANE ? 0 : p->coded[dc].group + 1);
        RQ_TRY(rq_buf_append(out, &g, 1, err));
        for (int t = 0; t < p->layout.component[i].classes; t++) {
            uint8_t row[64];
            for (int k = 1; k < 64; k++)
                row[k] = (uint8_t)(pc->plane[t][k] == NO_PLANE
                                       ? 0
                                       : p->coded[pc->plane[t][k]].group + 1);
            RQ_TRY(rq_buf_append(out, row + 1, 63, err));
        }
    }
    return RQ_OK;
}

static rq_status write_maps(const rq_dct_packer *p, rq_buf *out, rq_err *err)
{
    for (int i = 0; i < p->layout.components; i++) {
        const rq_dct_component *c = &p->layout.component[i];
        const uint8_t *map = p->component[i].map;
        if (c->classes == 1)
            continue;
        const size_t at = out->size, bytes = (c->units + 1) / 2;
        RQ_TRY(rq_buf_append(out, NULL, bytes, err));
        for (size_t u = 0; u < c->units; u++)
            out->data[at + u / 2] |= (uint8_t)(map[u] << (u % 2 * 4));
    }
    return RQ_OK;
}

/* Where the parts end while they are written. */
typedef struct part_ends {
    uint32_t at[RQ_DCT_MAX_PARTS];
    size_t n;
} part_ends;

static void end_part(part_ends *e, const rq_buf *out)
{
    if (e->n == 0 || e->at[e->n - 1] != out->size)
        e->at[e->n++] = (uint32_t)out->size;
}

static rq_status write_body(const rq_dct_packer *p, int groups, rq_buf *out, part_ends *ends,
                            rq_err *err)
{
    for (int g = 0; g < groups; g++) {
        for (size_t i = 0; i < p->n_coded; i++)
            if (p->coded[i].group == g)
                RQ_TRY(rq_buf_append(out, p->planes.data + p->coded[i].at, p->coded[i].bytes,
                                     err));
        end_part(ends, out);
    }
    for (int w = 0; w < RQ_DCT_WIDTHS; w++) {
        RQ_TRY(rq_buf_append(out, p->escapes[w].data, p->escapes[w].size, err));
        end_part(ends, out);
    }
    RQ_TRY(rq_buf_append(out, p->signs.data, p->signs.size, err));
    end_part(ends, out);
    return rq_buf_append(out, NULL, RQ_DCT_TRAILER_BYTES, err);
}

rq_status rq_dct_pack(rq_dct_packer *p, const rq_jpeg_coefs *c, rq_buf *payload,
                      uint32_t splits[RQ_DCT_MAX_PARTS], size_t *n_splits, rq_err *err)
{
    rq_dct_layout *l = &p->layout;
    memset(l, 0, sizeof *l);
    l->pixels = c->pixels;
    l->width = c->width;
    l->height = c->height;
    l->components = c->components;
    for (int i = 0; i < c->components; i++) {
        l->component[i].h = c->component[i].h;
        l->component[i].v = c->component[i].v;
    }
    if (!rq_dct_geometry(l))
        return rq_fail(err, RQ_UNSUPPORTED,
                       "a sampling other than factors 1, 2 and 4 below a luma of full size");
    RQ_TRY(arrange(p, c, err));
    RQ_TRY(add_planes(p, err));
    uint8_t widths[RQ_DCT_MAX_GROUPS];
    const int groups = rq_dct_group(&p->cost, p->coded, p->n_coded, p->order, widths);
    RQ_TRY(add_streams(p, err));
    part_ends ends = {.n = 0};
    payload->size = 0;
    RQ_TRY(write_header(p, c, groups, payload, err));
    RQ_TRY(rq_buf_append(payload, widths, (size_t)groups, err));
    RQ_TRY(write_plane_groups(p, payload, err));
    end_part(&ends, payload);
    RQ_TRY(write_maps(p, payload, err));
    end_part(&ends, payload);
    RQ_TRY(write_body(p, groups, payload, &ends, err));
    *n_splits = rq_dct_join(&p->cost, payload->data, ends.at, ends.n);
    memcpy(splits, ends.at, *n_splits * sizeof *splits);
    return RQ_OK;
}
