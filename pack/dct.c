// SPDX-License-Identifier: Apache-2.0
// The `dct` codec: JPEG to payload with proof, payload to planes, payload to JPEG.
//
// Decoding goes component by component: DC first, whole, because each block's is a difference
// to its neighbour's; then class by class in batches of 64 blocks, from payload to samples
// without a pass in between.
#include "pack/dct.h"

#include "pack/dct_kernels.h"
#include "pack/dct_pack.h"

#include <stdlib.h>
#include <string.h>

struct rq_dct {
    rq_limits limits;
    const rq_dct_kernels *kernels;
    rq_dct_layout layout;
    rq_dct_stream stream;
    rq_dct_batch batch;
    int16_t *dc; /* of one component, row by row */
    size_t dc_cap;
    int16_t
        *sorted_dc; /* the same, class by class, each beginning at a multiple of 64 blocks */
    size_t sorted_cap;
    uint32_t *place; /* of the units in that order */
    size_t place_cap;
    /* encoding; made when first needed */
    rq_dct_packer *packer;
    rq_jpeg_coder *jpeg;
    rq_decoder *decoder;
    rq_jpeg_coefs coefs;
    rq_jpeg_coefs back; /* decoded again */
    rq_image islow, image;
    uint32_t splits[RQ_DCT_MAX_PARTS];
    size_t n_splits;
};

rq_status rq_dct_create(rq_dct **out, unsigned cpu_flags, const rq_limits *limits, rq_err *err)
{
    *out = NULL;
    rq_dct *d = rq_calloc(1, sizeof *d);
    if (d == NULL)
        return rq_fail(err, RQ_OOM, "no memory for a `dct` decoder");
    d->limits = *limits;
    d->kernels = rq_dct_kernels_get(cpu_flags);
    *out = d;
    return RQ_OK;
}

void rq_dct_destroy(rq_dct **out)
{
    if (out == NULL || *out == NULL)
        return;
    rq_dct *d = *out;
    rq_free(d->dc);
    rq_free(d->sorted_dc);
    rq_free(d->place);
    rq_dct_packer_destroy(&d->packer);
    rq_jpeg_coder_destroy(&d->jpeg);
    rq_decoder_destroy(&d->decoder);
    rq_jpeg_coefs_free(&d->coefs);
    rq_jpeg_coefs_free(&d->back);
    rq_image_free(&d->islow);
    rq_image_free(&d->image);
    rq_free(d);
    *out = NULL;
}

const uint32_t *rq_dct_splits(const rq_dct *d, size_t *n)
{
    *n = d->n_splits;
    return d->splits;
}

/* ---- decoding ---------------------------------------------------------------------------- */

/* Where a component's batches go. */
typedef struct sink {
    rq_plane *plane;          /* samples, or */
    rq_jpeg_component *coefs; /* coefficients */
} sink;

static rq_status no_fit(rq_err *err)
{
    return rq_fail(err, RQ_BAD_FORMAT,
                   "the escapes or signs of a `dct` payload do not fit its planes");
}

static rq_status read_dc(rq_dct *d, const rq_dct_component *c, rq_err *err)
{
    const size_t row = (size_t)c->blocks_x;
    RQ_TRY(
        rq_grow((void **)&d->dc, &d->dc_cap, c->blocks + 2 * RQ_DCT_BATCH, sizeof *d->dc, err));
    if (!d->kernels->values(&c->dc, c->blocks, &d->stream, d->dc))
        return no_fit(err);
    d->dc[c->blocks] = 0; /* the last row's dummy */
    unsigned first = 0;   /* sums are modulo 2^16 */
    for (size_t y = 0; y < (size_t)c->blocks_y; y++) {
        int16_t *p = d->dc + y * row;
        unsigned sum = first;
        for (size_t x = 0; x < row; x++) {
            sum += (unsigned)p[x];
            p[x] = (int16_t)(uint16_t)sum;
        }
        first = (unsigned)p[0];
    }
    return RQ_OK;
}

/* DC and places of the units, class by class. A unit's place is y * row_step + x * unit_step.
 * start[t] is the first block of class t. */
static rq_status sort_units(rq_dct *d, const rq_dct_component *c, size_t row_step,
                            size_t unit_step, size_t start[RQ_DCT_MAX_CLASSES], rq_err *err)
{
    static const uint8_t all_class_0[RQ_DCT_MAX_SIDE / 16 + 16];
    rq_dct_order o = {.map = c->map, .classes = c->classes};
    size_t blocks = 0;
    for (int t = 0; t < c->classes; t++) {
        start[t] = blocks;
        o.next[t] = blocks / RQ_DCT_UNIT;
        blocks += rq_round_up(c->class_units[t] * RQ_DCT_UNIT, RQ_DCT_BATCH);
    }
    RQ_TRY(rq_grow((void **)&d->sorted_dc, &d->sorted_cap, blocks, sizeof *d->sorted_dc, err));
    RQ_TRY(rq_grow((void **)&d->place, &d->place_cap, blocks / RQ_DCT_UNIT, sizeof *d->place,
                   err));
    o.dc = d->sorted_dc;
    o.places = d->place;
    for (size_t y = 0; y < (size_t)c->blocks_y; y++) {
        /* The second half of a row's last unit may be the next row's: it is a dummy. */
        rq_dct_row row = {.first = y * (size_t)c->units_x,
                          .units = (size_t)c->units_x,
                          .dc = d->dc + y * (size_t)c->blocks_x,
                          .place = (uint32_t)(y * row_step),
                          .step = (uint32_t)unit_step};
        if (c->map == NULL) {
            o.map = all_class_0;
            row.first = 0;
        }
        d->kernels->sort(&o, &row);
    }
    return RQ_OK;
}

/* Planes of a class in coding order. The rows of the batch that have no plane become zero. */
static void make_run(rq_dct_run *r, const rq_dct_plane plane[64], rq_dct_batch *b)
{
    int count[RQ_DCT_WIDTHS + 1] = {0}; /* [w + 1]: of width w, then where they begin */
    for (int k = 1; k < 64; k++) {
        if (plane[k].data != NULL)
            count[plane[k].width + 1]++;
        else
            memset(b->coef[rq_dct_zigzag[k]], 0, sizeof b->coef[0]);
    }
    for (int w = 0; w < RQ_DCT_WIDTHS; w++) {
        count[w + 1] += count[w];
        r->end[w] = count[w + 1];
    }
    for (int k = 1; k < 64; k++) {
        if (plane[k].data == NULL)
            continue;
        const int i = count[plane[k].width]++;
        r->place[i] = rq_dct_zigzag[k];
        r->data[i] = plane[k].data;
    }
}

/* A batch's coefficients into blocks; places count blocks in rows of whole units. */
static void put_coefs(const rq_dct_batch *b, const rq_dct_component *c,
                      const rq_jpeg_component *out, const uint32_t *place, int units)
{
    const size_t row = (size_t)c->units_x * RQ_DCT_UNIT;
    for (int i = 0; i < units * RQ_DCT_UNIT; i++) {
        const size_t at = place[i / RQ_DCT_UNIT] + (size_t)(i % RQ_DCT_UNIT);
        const size_t x = at % row, y = at / row;
        if (x >= (size_t)c->blocks_x)
            continue;
        int16_t *block = out->coef + (y * (size_t)c->blocks_x + x) * 64;
        for (int k = 0; k < 64; k++)
            block[k] = b->coef[k][i];
    }
}

static rq_status decode_class(rq_dct *d, const rq_dct_component *c, int t, size_t start,
                              const sink *out, rq_err *err)
{
    rq_dct_run run;
    rq_dct_batch *b = &d->batch;
    rq_dct_factors factors;
    rq_dct_factors_set(&factors, c->quant);
    make_run(&run, c->plane[t], b);
    const size_t blocks = c->class_units[t] * RQ_DCT_UNIT;
    for (size_t first = 0; first < blocks; first += RQ_DCT_BATCH) {
        const int live = blocks - first < RQ_DCT_BATCH ? (int)(blocks - first) : RQ_DCT_BATCH;
        if (!d->kernels->batch(&run, first, live, &d->stream, b))
            return no_fit(err);
        memcpy(b->coef[0], d->sorted_dc + start + first, sizeof b->coef[0]);
        const uint32_t *place = d->place + (start + first) / RQ_DCT_UNIT;
        const int units = live / RQ_DCT_UNIT;
        if (out->plane != NULL) {
            const rq_dct_target target = {out->plane->data, out->plane->stride, place, units};
            d->kernels->transform(b, &factors, &target);
        } else {
            put_coefs(b, c, out->coefs, place, units);
        }
    }
    return RQ_OK;
}

static rq_status decode_component(rq_dct *d, const rq_dct_component *c, const sink *out,
                                  rq_err *err)
{
    size_t start[RQ_DCT_MAX_CLASSES];
    RQ_TRY(read_dc(d, c, err));
    if (out->plane != NULL)
        RQ_TRY(sort_units(d, c, 8 * out->plane->stride, 8 * RQ_DCT_UNIT, start, err));
    else
        RQ_TRY(sort_units(d, c, (size_t)c->units_x * RQ_DCT_UNIT, RQ_DCT_UNIT, start, err));
    for (int t = 0; t < c->classes; t++)
        RQ_TRY(decode_class(d, c, t, start[t], out, err));
    return RQ_OK;
}

static void start_stream(rq_dct *d)
{
    const rq_dct_layout *l = &d->layout;
    memcpy(d->stream.escape, l->escape, sizeof l->escape);
    memcpy(d->stream.escape_end, l->escape_end, sizeof l->escape_end);
    d->stream.signs = l->signs;
    d->stream.sign_bit = 0;
    d->stream.sign_bits = l->sign_bits;
}

/* Nothing may be left over. */
static rq_status end_stream(const rq_dct *d, rq_err *err)
{
    bool used = d->stream.sign_bit == d->stream.sign_bits;
    for (int w = 0; w < RQ_DCT_WIDTHS; w++)
        used = used && d->stream.escape[w] == d->stream.escape_end[w];
    return used ? RQ_OK : no_fit(err);
}

rq_status rq_dct_probe(const uint8_t *payload, size_t bytes, const rq_limits *limits,
                       rq_image_info *info, rq_err *err)
{
    rq_dct_layout l;
    RQ_TRY(rq_dct_parse_header(&l, payload, bytes, limits, err));
    *info = (rq_image_info){.width = l.width,
                            .height = l.height,
                            .components = l.components,
                            .bit_depth = 8,
                            .pixels = l.pixels,
                            .sub_x = rq_dct_sub_x(&l),
                            .sub_y = rq_dct_sub_y(&l),
                            .orientation = 1};
    return RQ_OK;
}

rq_status rq_dct_decode(rq_dct *d, const uint8_t *payload, size_t bytes, rq_image *img,
                        rq_err *err)
{
    rq_dct_layout *l = &d->layout;
    RQ_TRY(rq_dct_parse(l, payload, bytes, &d->limits, err));
    RQ_TRY(rq_image_shape(img, l->pixels, l->width, l->height, rq_dct_sub_x(l), rq_dct_sub_y(l),
                          8, err));
    start_stream(d);
    for (int i = 0; i < l->components; i++) {
        const sink out = {.plane = &img->plane[i]};
        RQ_TRY(decode_component(d, &l->component[i], &out, err));
    }
    return end_stream(d, err);
}

static rq_status decode_coefs(rq_dct *d, const uint8_t *payload, size_t bytes, rq_jpeg_coefs *c,
                              rq_err *err)
{
    rq_dct_layout *l = &d->layout;
    RQ_TRY(rq_dct_parse(l, payload, bytes, &d->limits, err));
    c->pixels = l->pixels;
    c->width = l->width;
    c->height = l->height;
    c->components = l->components;
    for (int i = 0; i < l->components; i++) {
        c->component[i].h = l->component[i].h;
        c->component[i].v = l->component[i].v;
        memcpy(c->component[i].quant, l->component[i].quant, sizeof c->component[i].quant);
    }
    RQ_TRY(rq_jpeg_coefs_shape(c, &d->limits, err));
    start_stream(d);
    for (int i = 0; i < l->components; i++) {
        const sink out = {.coefs = &c->component[i]};
        RQ_TRY(decode_component(d, &l->component[i], &out, err));
    }
    return end_stream(d, err);
}

rq_status rq_dct_to_jpeg(rq_dct *d, const uint8_t *payload, size_t bytes, rq_buf *jpeg,
                         rq_err *err)
{
    if (d->jpeg == NULL)
        RQ_TRY(rq_jpeg_coder_create(&d->jpeg, &d->limits, err));
    RQ_TRY(decode_coefs(d, payload, bytes, &d->back, err));
    return rq_jpeg_coefs_write(d->jpeg, &d->back, jpeg, err);
}

/* ---- encoding ---------------------------------------------------------------------------- */

/* Coefficients from here on are not kept from one picture to the next. */
enum { KEEP_VALUES = 16 << 20 };

static rq_status make_encoder(rq_dct *d, rq_err *err)
{
    /* The file has been decoded within its time before; a second look at the clock would only
     * make the encoding depend on the machine. */
    rq_limits patient = d->limits;
    patient.max_cpu_seconds = 0;
    if (d->packer == NULL)
        RQ_TRY(rq_dct_packer_create(&d->packer, err));
    if (d->jpeg == NULL)
        RQ_TRY(rq_jpeg_coder_create(&d->jpeg, &d->limits, err));
    return d->decoder != NULL ? RQ_OK : rq_decoder_create(&d->decoder, &patient, err);
}

static void give_back(rq_dct *d)
{
    if (d->coefs.storage_values <= KEEP_VALUES)
        return;
    rq_dct_packer_destroy(&d->packer);
    rq_jpeg_coefs_free(&d->coefs);
    rq_jpeg_coefs_free(&d->back);
    rq_image_free(&d->islow);
    rq_image_free(&d->image);
}

/* Every coefficient, table and size as it was read from the JPEG. */
static rq_status prove_coefs(rq_dct *d, const rq_buf *payload, rq_err *err)
{
    RQ_TRY(decode_coefs(d, payload->data, payload->size, &d->back, err));
    const rq_jpeg_coefs *a = &d->coefs, *b = &d->back;
    bool same = a->pixels == b->pixels && a->width == b->width && a->height == b->height;
    for (int i = 0; same && i < a->components; i++) {
        const rq_jpeg_component *x = &a->component[i], *y = &b->component[i];
        const size_t blocks = (size_t)x->blocks_x * (size_t)x->blocks_y;
        same = x->h == y->h && x->v == y->v &&
               memcmp(x->quant, y->quant, sizeof x->quant) == 0 &&
               memcmp(x->coef, y->coef, blocks * 64 * sizeof *x->coef) == 0;
    }
    return same ? RQ_OK
                : rq_fail(err, RQ_INTERNAL,
                          "a `dct` payload does not give back its coefficients");
}

static int largest_difference(const rq_plane *a, const rq_plane *b)
{
    int largest = 0;
    for (int y = 0; y < a->height; y++) {
        const uint8_t *p = a->data + (size_t)y * a->stride,
                      *q = b->data + (size_t)y * b->stride;
        for (int x = 0; x < a->width; x++) {
            const int e = abs(p[x] - q[x]);
            largest = e > largest ? e : largest;
        }
    }
    return largest;
}

/* Every sample within 1 of libjpeg's accurate integer transform. */
static rq_status prove_samples(rq_dct *d, const uint8_t *jpeg, size_t bytes,
                               const rq_buf *payload, rq_err *err)
{
    const rq_image *a = &d->islow, *b = &d->image;
    RQ_TRY(rq_decode(d->decoder, jpeg, bytes, true, &d->islow, NULL, err));
    RQ_TRY(rq_dct_decode(d, payload->data, payload->size, &d->image, err));
    if (a->pixels != b->pixels || a->width != b->width || a->height != b->height ||
        a->sub_x != b->sub_x || a->sub_y != b->sub_y)
        return rq_fail(err, RQ_UNSUPPORTED, "libjpeg gives pictures of this kind only as RGB");
    for (int i = 0; i < rq_pixels_planes(a->pixels); i++) {
        const int e = largest_difference(&a->plane[i], &b->plane[i]);
        if (e > 1)
            return rq_fail(err, RQ_UNSUPPORTED,
                           "a sample of component %d is off by %d: its block leaves the range "
                           "of the 16-bit transform",
                           i, e);
    }
    return RQ_OK;
}

static rq_status encode(rq_dct *d, const uint8_t *jpeg, size_t bytes, rq_buf *payload,
                        rq_err *err)
{
    RQ_TRY(make_encoder(d, err));
    RQ_TRY(rq_jpeg_coefs_read(d->jpeg, jpeg, bytes, &d->coefs, err));
    RQ_TRY(rq_dct_pack(d->packer, &d->coefs, payload, d->splits, &d->n_splits, err));
    RQ_TRY(prove_coefs(d, payload, err));
    return prove_samples(d, jpeg, bytes, payload, err);
}

rq_status rq_dct_encode(rq_dct *d, const uint8_t *jpeg, size_t bytes, rq_buf *payload,
                        rq_err *err)
{
    d->n_splits = 0;
    payload->size = 0;
    const rq_status st = encode(d, jpeg, bytes, payload, err);
    if (st != RQ_OK) {
        d->n_splits = 0;
        payload->size = 0;
    }
    give_back(d);
    return st;
}
