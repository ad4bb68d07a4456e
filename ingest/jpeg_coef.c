// SPDX-License-Identifier: Apache-2.0
// Coefficients in and out of JPEG files through libjpeg's transcoding interface.
//
// This side is strict where decoding pixels is lenient: a file that makes libjpeg warn, or
// whose scans do not give every coefficient in full precision, decodes to pixels that
// coefficients alone do not explain (libjpeg invents what is missing). Such files are refused.
#include "ingest/jpeg_coef.h"

#include "ingest/codec_impl.h"

#include <stdio.h> /* jpeglib.h needs FILE */

#include <jerror.h>
#include <jpeglib.h>
#include <setjmp.h>
#include <string.h>

enum {
    TEXT_BYTES = 256,
    CHUNK_BYTES = 16384, /* of output, handed on when full */
    MAX_SIDE = 65535
};

struct rq_jpeg_coder {
    struct jpeg_decompress_struct in;
    struct jpeg_compress_struct out;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    rq_limits limits;
    rq_status failure; /* set before a jump, RQ_OK otherwise */
    char text[TEXT_BYTES];
    char warning[TEXT_BYTES]; /* the first one; "" without */
    bool header_done;
    int scan;
    uint64_t block_visits;
    struct jpeg_destination_mgr destination;
    rq_buf *file; /* what is being written */
    JOCTET chunk[CHUNK_BYTES];
};

/* ---- libjpeg's callbacks ----------------------------------------------------------------- */

static void on_error(j_common_ptr common)
{
    rq_jpeg_coder *j = common->client_data;
    char text[JMSG_LENGTH_MAX];
    common->err->format_message(common, text);
    const int code = common->err->msg_code; /* the first of them is the writer's */
    j->failure =
        code == JERR_BAD_DCT_COEF ? RQ_BAD_FORMAT : rq_jpeg_status_of(code, j->header_done);
    snprintf(j->text, sizeof j->text, "%s", text);
    longjmp(j->escape, 1);
}

static void on_message(j_common_ptr common, int level)
{
    rq_jpeg_coder *j = common->client_data;
    if (level >= 0 || j->warning[0] != 0 || rq_jpeg_is_remark(common->err->msg_code))
        return;
    char text[JMSG_LENGTH_MAX];
    common->err->format_message(common, text);
    snprintf(j->warning, sizeof j->warning, "%s", text);
}

static void ignore_output(j_common_ptr common)
{
}

/* Bounds the work of files with many scans, each of which may touch every block. */
static void on_progress(j_common_ptr common)
{
    rq_jpeg_coder *j = common->client_data;
    const struct jpeg_decompress_struct *in = &j->in;
    if (in->input_scan_number == j->scan)
        return;
    j->scan = in->input_scan_number;
    for (int i = 0; i < in->comps_in_scan; i++) {
        const jpeg_component_info *c = in->cur_comp_info[i];
        j->block_visits += (uint64_t)c->width_in_blocks * c->height_in_blocks;
    }
    if (j->scan <= j->limits.max_scans && j->block_visits <= RQ_JPEG_MAX_BLOCK_VISITS)
        return;
    j->failure = RQ_LIMIT;
    snprintf(j->text, sizeof j->text, "%d scans and %llu blocks so far are over the limit",
             j->scan, (unsigned long long)j->block_visits);
    longjmp(j->escape, 1);
}

static void on_output_start(j_compress_ptr out)
{
    rq_jpeg_coder *j = out->client_data;
    j->destination.next_output_byte = j->chunk;
    j->destination.free_in_buffer = CHUNK_BYTES;
}

static void hand_on(rq_jpeg_coder *j, size_t bytes)
{
    if (rq_buf_append(j->file, j->chunk, bytes, NULL) == RQ_OK)
        return;
    j->failure = RQ_OOM;
    snprintf(j->text, sizeof j->text, "out of memory");
    longjmp(j->escape, 1);
}

static boolean on_output_full(j_compress_ptr out)
{
    hand_on(out->client_data, CHUNK_BYTES);
    on_output_start(out);
    return TRUE;
}

static void on_output_end(j_compress_ptr out)
{
    rq_jpeg_coder *j = out->client_data;
    hand_on(j, CHUNK_BYTES - j->destination.free_in_buffer);
}

rq_status rq_jpeg_coder_create(rq_jpeg_coder **out, const rq_limits *limits, rq_err *err)
{
    *out = NULL;
    rq_jpeg_coder *j = rq_calloc(1, sizeof *j);
    if (j == NULL)
        return rq_fail(err, RQ_OOM, "no memory for a JPEG coder");
    j->limits = *limits;
    j->in.err = j->out.err = jpeg_std_error(&j->errors);
    j->in.client_data = j->out.client_data = j;
    j->errors.error_exit = on_error;
    j->errors.emit_message = on_message;
    j->errors.output_message = ignore_output;
    j->progress.progress_monitor = on_progress;
    j->destination.init_destination = on_output_start;
    j->destination.empty_output_buffer = on_output_full;
    j->destination.term_destination = on_output_end;
    if (setjmp(j->escape) != 0) {
        rq_jpeg_coder_destroy(&j);
        return rq_fail(err, RQ_OOM, "no memory for a JPEG coder");
    }
    jpeg_create_compress(&j->out);
    j->out.dest = &j->destination;
    j->out.mem->max_memory_to_use = (long)limits->max_memory_bytes;
    *out = j;
    return RQ_OK;
}

void rq_jpeg_coder_destroy(rq_jpeg_coder **j)
{
    if (j == NULL || *j == NULL)
        return;
    jpeg_destroy_decompress(&(*j)->in);
    jpeg_destroy_compress(&(*j)->out);
    rq_free(*j);
    *j = NULL;
}

static void start(rq_jpeg_coder *j)
{
    j->failure = RQ_OK;
    j->text[0] = j->warning[0] = 0;
    j->header_done = false;
    j->scan = 0;
    j->block_visits = 0;
}

/* ---- storage ----------------------------------------------------------------------------- */

/* T.81 A.1.1: ceil(ceil(side x factor / largest factor) / 8). */
static int blocks_of(int side, int factor, int largest)
{
    return (side * factor + largest * DCTSIZE - 1) / (largest * DCTSIZE);
}

rq_status rq_jpeg_coefs_shape(rq_jpeg_coefs *c, const rq_limits *limits, rq_err *err)
{
    int h = 1, v = 1;
    uint64_t total = 0, end[3] = {0};
    if (c->width < 1 || c->height < 1 || c->width > MAX_SIDE || c->height > MAX_SIDE)
        return rq_fail(err, RQ_LIMIT, "a JPEG cannot be %d x %d pixels", c->width, c->height);
    for (int i = 0; i < c->components; i++) {
        h = c->component[i].h > h ? c->component[i].h : h;
        v = c->component[i].v > v ? c->component[i].v : v;
    }
    for (int i = 0; i < c->components; i++) {
        rq_jpeg_component *p = &c->component[i];
        p->blocks_x = blocks_of(c->width, p->h, h);
        p->blocks_y = blocks_of(c->height, p->v, v);
        total += (uint64_t)p->blocks_x * (uint64_t)p->blocks_y * DCTSIZE2;
        end[i] = total;
    }
    if (total * sizeof *c->storage > limits->max_memory_bytes)
        return rq_fail(err, RQ_LIMIT,
                       "the coefficients of %d x %d pixels need more than %zu MiB", c->width,
                       c->height, limits->max_memory_bytes >> 20);
    if (total > c->storage_values) {
        rq_free(c->storage);
        c->storage_values = 0;
        c->storage = rq_alloc((size_t)total, sizeof *c->storage);
        if (c->storage == NULL)
            return rq_fail(err, RQ_OOM, "no memory for the coefficients of %d x %d pixels",
                           c->width, c->height);
        c->storage_values = (size_t)total;
    }
    for (int i = 0; i < c->components; i++)
        c->component[i].coef = c->storage + (i == 0 ? 0 : end[i - 1]);
    return RQ_OK;
}

void rq_jpeg_coefs_free(rq_jpeg_coefs *c)
{
    rq_free(c->storage);
    memset(c, 0, sizeof *c);
}

/* ---- reading ----------------------------------------------------------------------------- */

static rq_status read_shape(rq_jpeg_coder *j, rq_jpeg_coefs *c, rq_err *err)
{
    const struct jpeg_decompress_struct *in = &j->in;
    const rq_limits *l = &j->limits;
    if (in->image_width > (JDIMENSION)l->max_side ||
        in->image_height > (JDIMENSION)l->max_side ||
        (uint64_t)in->image_width * in->image_height > l->max_pixels)
        return rq_fail(err, RQ_LIMIT, "JPEG of %u x %u pixels is over the limit",
                       in->image_width, in->image_height);
    const bool gray = in->num_components == 1 && in->jpeg_color_space == JCS_GRAYSCALE;
    const bool ycc = in->num_components == 3 && in->jpeg_color_space == JCS_YCbCr;
    const bool rgb = in->num_components == 3 && in->jpeg_color_space == JCS_RGB;
    if (!gray && !ycc && !rgb)
        return rq_fail(err, RQ_UNSUPPORTED,
                       "a JPEG with %d components of its colour space is kept as it is",
                       in->num_components);
    c->pixels = gray ? RQ_PIXELS_GRAY : ycc ? RQ_PIXELS_YCBCR : RQ_PIXELS_RGB;
    c->width = (int)in->image_width;
    c->height = (int)in->image_height;
    c->components = in->num_components;
    for (int i = 0; i < c->components; i++) {
        c->component[i].h = in->comp_info[i].h_samp_factor;
        c->component[i].v = in->comp_info[i].v_samp_factor;
    }
    /* They stand in memory four times before a payload is proved: libjpeg's, these, packed, and
     * read back. */
    rq_limits quarter = *l;
    quarter.max_memory_bytes /= 4;
    return rq_jpeg_coefs_shape(c, &quarter, err);
}

/* Whether every coefficient has been sent to its last bit. */
static bool complete(const struct jpeg_decompress_struct *in)
{
    for (int i = 0; i < in->num_components; i++) {
        if (in->comp_info[i].quant_table == NULL) /* was in no scan */
            return false;
        for (int k = 0; in->progressive_mode && k < DCTSIZE2; k++)
            if (in->coef_bits[i][k] != 0)
                return false;
    }
    return true;
}

/* Everything between setjmp and the last call into libjpeg. */
static rq_status read_guarded(rq_jpeg_coder *j, const void *data, size_t bytes,
                              rq_jpeg_coefs *c, rq_err *err)
{
    struct jpeg_decompress_struct *in = &j->in;
    jpeg_create_decompress(in); /* clears all but err and client_data */
    in->progress = &j->progress;
    in->mem->max_memory_to_use = (long)j->limits.max_memory_bytes;
    jpeg_mem_src(in, data, (unsigned long)bytes);
    jpeg_read_header(in, TRUE);
    j->header_done = true;
    RQ_TRY(read_shape(j, c, err));
    jvirt_barray_ptr *arrays = jpeg_read_coefficients(in);
    if (j->warning[0] != 0)
        return rq_fail(err, RQ_UNSUPPORTED, "libjpeg warns: %s", j->warning);
    if (!complete(in))
        return rq_fail(err, RQ_UNSUPPORTED, "scans of the JPEG are missing");
    for (int i = 0; i < c->components; i++) {
        rq_jpeg_component *p = &c->component[i];
        memcpy(p->quant, in->comp_info[i].quant_table->quantval, sizeof p->quant);
        const size_t row = (size_t)p->blocks_x * DCTSIZE2;
        for (int y = 0; y < p->blocks_y; y++) {
            JBLOCKARRAY blocks = in->mem->access_virt_barray((j_common_ptr)in, arrays[i],
                                                             (JDIMENSION)y, 1, FALSE);
            memcpy(p->coef + (size_t)y * row, blocks[0], row * sizeof *p->coef);
        }
    }
    jpeg_finish_decompress(in);
    return RQ_OK;
}

rq_status rq_jpeg_coefs_read(rq_jpeg_coder *j, const void *data, size_t bytes, rq_jpeg_coefs *c,
                             rq_err *err)
{
    start(j);
    /* A fresh one for each file: an old one keeps the tables of the file before, and a file
     * without its own would be read by them. */
    jpeg_destroy_decompress(&j->in);
    rq_status s;
    if (setjmp(j->escape) == 0)
        s = read_guarded(j, data, bytes, c, err);
    else
        s = rq_fail(err, j->failure, "JPEG: %s", j->text);
    jpeg_abort_decompress(&j->in);
    return s;
}

/* ---- writing ----------------------------------------------------------------------------- */

/* Equal tables get one number. */
static int table_of(const rq_jpeg_coefs *c, int i)
{
    for (int k = 0; k < i; k++)
        if (memcmp(c->component[k].quant, c->component[i].quant,
                   sizeof c->component[k].quant) == 0)
            return table_of(c, k);
    return i;
}

static void set_component(struct jpeg_compress_struct *out, const rq_jpeg_coefs *c, int i)
{
    jpeg_component_info *info = &out->comp_info[i];
    info->h_samp_factor = c->component[i].h;
    info->v_samp_factor = c->component[i].v;
    info->quant_tbl_no = table_of(c, i);
    JQUANT_TBL **table = &out->quant_tbl_ptrs[info->quant_tbl_no];
    if (*table == NULL)
        *table = jpeg_alloc_quant_table((j_common_ptr)out);
    memcpy((*table)->quantval, c->component[i].quant, sizeof c->component[i].quant);
    (*table)->sent_table = FALSE;
}

static void write_guarded(rq_jpeg_coder *j, const rq_jpeg_coefs *c)
{
    struct jpeg_compress_struct *out = &j->out;
    const J_COLOR_SPACE colour = c->pixels == RQ_PIXELS_GRAY    ? JCS_GRAYSCALE
                                 : c->pixels == RQ_PIXELS_YCBCR ? JCS_YCbCr
                                                                : JCS_RGB;
    jvirt_barray_ptr arrays[3];
    out->image_width = (JDIMENSION)c->width;
    out->image_height = (JDIMENSION)c->height;
    out->input_components = c->components;
    out->in_color_space = colour;
    jpeg_set_defaults(out);
    jpeg_set_colorspace(out, colour);
    out->optimize_coding = TRUE;
    for (int i = 0; i < c->components; i++) {
        const rq_jpeg_component *p = &c->component[i];
        set_component(out, c, i);
        arrays[i] = out->mem->request_virt_barray(
            (j_common_ptr)out, JPOOL_IMAGE, TRUE, (JDIMENSION)(p->blocks_x + p->h),
            (JDIMENSION)(p->blocks_y + p->v), (JDIMENSION)p->v);
    }
    /* One scan for all holds at most 10 blocks of a unit (T.81 B.2.3). */
    static const jpeg_scan_info apart[3] = {
        {1, {0}, 0, 63, 0, 0}, {1, {1}, 0, 63, 0, 0}, {1, {2}, 0, 63, 0, 0}};
    int unit = 0;
    for (int i = 0; i < c->components; i++)
        unit += c->component[i].h * c->component[i].v;
    if (c->components > 1 && unit > C_MAX_BLOCKS_IN_MCU) {
        out->scan_info = apart;
        out->num_scans = c->components;
    }
    jpeg_write_coefficients(out, arrays);
    for (int i = 0; i < c->components; i++) {
        const rq_jpeg_component *p = &c->component[i];
        const size_t row = (size_t)p->blocks_x * DCTSIZE2;
        for (int y = 0; y < p->blocks_y; y++) {
            JBLOCKARRAY blocks = out->mem->access_virt_barray((j_common_ptr)out, arrays[i],
                                                              (JDIMENSION)y, 1, TRUE);
            memcpy(blocks[0], p->coef + (size_t)y * row, row * sizeof *p->coef);
        }
    }
    jpeg_finish_compress(out);
}

rq_status rq_jpeg_coefs_write(rq_jpeg_coder *j, const rq_jpeg_coefs *c, rq_buf *jpeg,
                              rq_err *err)
{
    start(j);
    j->header_done = true;
    j->file = jpeg;
    jpeg->size = 0;
    if (setjmp(j->escape) == 0) {
        write_guarded(j, c);
        return RQ_OK;
    }
    jpeg_abort_compress(&j->out);
    jpeg->size = 0;
    return rq_fail(err, j->failure, "the coefficients cannot be written as JPEG: %s", j->text);
}
