// SPDX-License-Identifier: Apache-2.0
// JPEG through libjpeg's plain API. The usual case, YCbCr with whole chroma factors, is read as
// raw component planes: no upsampling and no colour conversion, both of which would be undone
// or repeated later. Everything else goes through libjpeg's own conversion to RGB.
//
// libjpeg reports errors by longjmp and missing data by a warning followed by grey. Warnings
// are therefore sorted: those that mean missing entropy-coded data fail the image, others are
// counted. Nothing but plain C values crosses the setjmp in rq_jpeg_run.
#include "ingest/codec_impl.h"

#include <stdio.h> /* jpeglib.h needs FILE */

#include <jerror.h>
#include <jpeglib.h>
#include <setjmp.h>
#include <string.h>

enum {
    MAX_FACTOR = 4,             /* T.81 B.2.2: sampling factors are 1..4 */
    BLOCK_BYTES = DCTSIZE2 * 2, /* of a whole-image coefficient buffer */
    CALLS_BETWEEN_CHECKS = 8    /* of the progress monitor: rows, or rows of MCUs */
};

struct rq_jpeg {
    struct jpeg_decompress_struct cinfo;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    rq_codec_job *job;
    rq_status failure; /* set before a jump by our own callbacks, RQ_OK otherwise */
    char failure_text[RQ_WARNING_BYTES];
    bool header_done;
    bool rows_done;
    bool several_scans;
    bool end_missing;  /* the bytes ended before EOI */
    bool data_missing; /* a scan held less data than its blocks need */
    bool out_of_time;
    int scan;
    uint64_t block_visits;
    unsigned calls; /* of the progress monitor */
};

/* ---- libjpeg's callbacks ----------------------------------------------------------------- */

rq_status rq_jpeg_status_of(int code, bool header_done)
{
    switch (code) {
    case JERR_OUT_OF_MEMORY:
        return RQ_OOM;
    case JERR_NO_BACKING_STORE:
    case JERR_IMAGE_TOO_BIG:
    case JERR_WIDTH_OVERFLOW:
        return RQ_LIMIT;
    case JERR_INPUT_EOF:
    case JERR_INPUT_EMPTY:
        return RQ_TRUNCATED;
    case JERR_ARITH_NOTIMPL:
    case JERR_BAD_PRECISION:
    case JERR_BAD_J_COLORSPACE:
    case JERR_CCIR601_NOTIMPL:
    case JERR_COMPONENT_COUNT:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_EMPTY_IMAGE: /* or a height that only a DNL marker gives */
    case JERR_FRACT_SAMPLE_NOTIMPL:
    case JERR_NOTIMPL:
    case JERR_SOF_UNSUPPORTED:
        return RQ_UNSUPPORTED;
    default:
        return header_done ? RQ_CORRUPT_IMAGE : RQ_BAD_FORMAT;
    }
}

bool rq_jpeg_is_remark(int code)
{
    return code == JWRN_JFIF_MAJOR || code == JWRN_ADOBE_XFORM;
}

/* The process of a frame header that libjpeg refuses (T.81 table B.1), NULL for others. */
static const char *process_name(int marker)
{
    switch (marker) {
    case 0xC3:
    case 0xCB:
        return "lossless";
    case 0xC5:
    case 0xC6:
    case 0xC7:
    case 0xCD:
    case 0xCE:
    case 0xCF:
        return "hierarchical";
    default:
        return NULL;
    }
}

/* libjpeg's words, but in plain ones where a picture is whole and of a kind it cannot read. */
static void describe_error(j_common_ptr cinfo, char text[JMSG_LENGTH_MAX])
{
    const struct jpeg_error_mgr *e = cinfo->err;
    const int parameter = e->msg_parm.i[0];
    const char *process = e->msg_code == JERR_SOF_UNSUPPORTED ? process_name(parameter) : NULL;
    if (process != NULL)
        snprintf(text, JMSG_LENGTH_MAX, "coded by the %s process, which is not read", process);
    else if (e->msg_code == JERR_BAD_PRECISION)
        snprintf(text, JMSG_LENGTH_MAX, "%d bits per sample, and only 8 are read", parameter);
    else
        e->format_message(cinfo, text);
}

static void on_error(j_common_ptr cinfo)
{
    rq_jpeg *j = cinfo->client_data;
    char text[JMSG_LENGTH_MAX];
    describe_error(cinfo, text);
    if (j->failure == RQ_OK) {
        j->failure = rq_jpeg_status_of(cinfo->err->msg_code, j->header_done);
        strncpy(j->failure_text, text, sizeof j->failure_text - 1);
    }
    longjmp(j->escape, 1);
}

static void on_message(j_common_ptr cinfo, int level)
{
    rq_jpeg *j = cinfo->client_data;
    const int code = cinfo->err->msg_code;
    if (level >= 0 || rq_jpeg_is_remark(code))
        return;
    j->end_missing = j->end_missing || code == JWRN_JPEG_EOF;
    j->data_missing = j->data_missing || code == JWRN_HIT_MARKER;
    char text[JMSG_LENGTH_MAX];
    cinfo->err->format_message(cinfo, text);
    rq_codec_warn(j->job, text);
}

static void ignore_output(j_common_ptr cinfo)
{
}

/* Bounds the work of files with many scans, each of which may touch every block, and the time
 * of any file. */
static void on_progress(j_common_ptr common)
{
    rq_jpeg *j = common->client_data;
    const struct jpeg_decompress_struct *cinfo = &j->cinfo;
    if (j->calls++ % CALLS_BETWEEN_CHECKS == 0 && rq_codec_out_of_time(j->job)) {
        j->out_of_time = true;
        longjmp(j->escape, 1);
    }
    if (cinfo->input_scan_number == j->scan)
        return;
    j->scan = cinfo->input_scan_number;
    for (int i = 0; i < cinfo->comps_in_scan; i++) {
        const jpeg_component_info *c = cinfo->cur_comp_info[i];
        j->block_visits += (uint64_t)c->width_in_blocks * c->height_in_blocks;
    }
    if (j->scan <= j->job->limits->max_scans && j->block_visits <= RQ_JPEG_MAX_BLOCK_VISITS)
        return;
    j->failure = RQ_LIMIT;
    snprintf(j->failure_text, sizeof j->failure_text,
             "%d scans and %llu blocks so far are over the limit", j->scan,
             (unsigned long long)j->block_visits);
    longjmp(j->escape, 1);
}

rq_status rq_jpeg_create(rq_jpeg **out, rq_err *err)
{
    *out = rq_calloc(1, sizeof **out);
    return *out != NULL ? RQ_OK : rq_fail(err, RQ_OOM, "no memory for a JPEG decoder");
}

void rq_jpeg_destroy(rq_jpeg **j)
{
    if (j == NULL || *j == NULL)
        return;
    rq_free(*j);
    *j = NULL;
}

/* ---- header ------------------------------------------------------------------------------ */

/* Chroma factors 1, 2 or 4 below a luma of the largest factor: planes can be taken as coded. */
static bool planes_fit(const struct jpeg_decompress_struct *cinfo, int *sub_x, int *sub_y)
{
    const jpeg_component_info *c = cinfo->comp_info;
    const int h = cinfo->max_h_samp_factor, v = cinfo->max_v_samp_factor;
    *sub_x = *sub_y = 1;
    if (h == 3 || v == 3 || c[0].h_samp_factor != h || c[0].v_samp_factor != v)
        return false;
    if (cinfo->num_components == 1)
        return cinfo->jpeg_color_space == JCS_GRAYSCALE;
    if (cinfo->num_components != 3 || cinfo->jpeg_color_space != JCS_YCbCr ||
        c[1].h_samp_factor != c[2].h_samp_factor || c[1].v_samp_factor != c[2].v_samp_factor ||
        h % c[1].h_samp_factor != 0 || v % c[1].v_samp_factor != 0)
        return false;
    *sub_x = h / c[1].h_samp_factor;
    *sub_y = v / c[1].v_samp_factor;
    return true;
}

static rq_color_model color_model(J_COLOR_SPACE space)
{
    switch (space) {
    case JCS_GRAYSCALE:
        return RQ_COLOR_GRAY;
    case JCS_RGB:
        return RQ_COLOR_RGB;
    case JCS_YCbCr:
        return RQ_COLOR_YCBCR;
    case JCS_CMYK:
        return RQ_COLOR_CMYK;
    case JCS_YCCK:
        return RQ_COLOR_YCCK;
    default:
        return RQ_COLOR_UNKNOWN;
    }
}

/* Bytes of planes and of the coefficient buffers that files of several scans need. */
static uint64_t memory_needed(const struct jpeg_decompress_struct *cinfo, bool buffered)
{
    uint64_t bytes = 0;
    for (int i = 0; i < cinfo->num_components; i++) {
        const jpeg_component_info *c = &cinfo->comp_info[i];
        const uint64_t blocks = (uint64_t)c->width_in_blocks * c->height_in_blocks;
        bytes += buffered ? blocks * BLOCK_BYTES : 0;
    }
    const uint64_t pixels = (uint64_t)cinfo->image_width * cinfo->image_height;
    return bytes + pixels * (cinfo->num_components == 1 ? 1 : 3);
}

static rq_status read_header(rq_jpeg *j, rq_err *err)
{
    struct jpeg_decompress_struct *cinfo = &j->cinfo;
    const rq_codec_job *job = j->job;
    rq_image_info *info = job->info;
    jpeg_mem_src(cinfo, job->data, (unsigned long)job->bytes);
    jpeg_read_header(cinfo, TRUE);
    j->header_done = true;
    j->several_scans = jpeg_has_multiple_scans(cinfo);
    RQ_TRY(rq_limits_check_size(job->limits, "JPEG", cinfo->image_width, cinfo->image_height,
                                err));
    RQ_TRY(rq_codec_check_memory(j->job, "JPEG", memory_needed(cinfo, j->several_scans), err));
    if (cinfo->num_components == 2 || cinfo->num_components > 4 ||
        cinfo->jpeg_color_space == JCS_UNKNOWN)
        return rq_fail(err, RQ_UNSUPPORTED,
                       "JPEG with %d components of an unknown colour space",
                       cinfo->num_components);
    info->width = (int)cinfo->image_width;
    info->height = (int)cinfo->image_height;
    info->components = cinfo->num_components;
    info->bit_depth = cinfo->data_precision;
    info->progressive = cinfo->progressive_mode;
    info->color = color_model(cinfo->jpeg_color_space);
    bool broken;
    info->orientation = rq_exif_orientation(job->data, job->bytes, &broken);
    info->notes |= broken ? RQ_NOTE_EXIF_BROKEN : 0;
    info->notes |= cinfo->num_components == 4 ? RQ_NOTE_CMYK : 0;
    info->pixels = cinfo->num_components == 1 ? RQ_PIXELS_GRAY : RQ_PIXELS_RGB;
    int sub_x, sub_y;
    if (cinfo->num_components == 3 && planes_fit(cinfo, &sub_x, &sub_y)) {
        info->pixels = RQ_PIXELS_YCBCR;
        info->sub_x = sub_x;
        info->sub_y = sub_y;
    }
    return RQ_OK;
}

/* ---- pixels ------------------------------------------------------------------------------ */

static rq_status read_planes(rq_jpeg *j, int sub_x, int sub_y, rq_err *err)
{
    struct jpeg_decompress_struct *cinfo = &j->cinfo;
    rq_image *img = j->job->img;
    const int lines = cinfo->max_v_samp_factor * DCTSIZE;
    /* Whole groups of `lines` rows in every plane, so that libjpeg may write all it has. */
    RQ_TRY(rq_image_shape(img, j->job->info->pixels, (int)cinfo->image_width,
                          (int)cinfo->image_height, sub_x, sub_y, lines, err));
    JSAMPROW rows[3][MAX_FACTOR * DCTSIZE];
    JSAMPARRAY planes[3] = {rows[0], rows[1], rows[2]};
    cinfo->raw_data_out = TRUE;
    cinfo->out_color_space = cinfo->jpeg_color_space;
    jpeg_start_decompress(cinfo);
    while (cinfo->output_scanline < cinfo->output_height) {
        for (int i = 0; i < cinfo->num_components; i++) {
            const rq_plane *p = &img->plane[i];
            const size_t first = cinfo->output_scanline / (unsigned)(i == 0 ? 1 : sub_y);
            for (int r = 0; r < cinfo->comp_info[i].v_samp_factor * DCTSIZE; r++)
                rows[i][r] = p->data + (first + (size_t)r) * p->stride;
        }
        jpeg_read_raw_data(cinfo, planes, (JDIMENSION)lines);
    }
    return RQ_OK;
}

static uint8_t mul_div_255(unsigned a, unsigned b)
{
    const unsigned t = a * b + 128;
    return (uint8_t)((t + (t >> 8)) >> 8);
}

/* Adobe's inverted CMYK, which is what CMYK JPEGs hold in practice, to RGB in place of the
 * first three samples, as Pillow does: R = K' - (255 - C') K' / 255 of the inverted samples. */
static void cmyk_to_rgb(uint8_t *row, size_t width)
{
    for (uint8_t *p = row; p < row + 4 * width; p += 4) {
        const unsigned k = p[3];
        for (int i = 0; i < 3; i++)
            p[i] = (uint8_t)(k - mul_div_255(255u - p[i], k));
    }
}

static rq_status read_converted(rq_jpeg *j, rq_err *err)
{
    struct jpeg_decompress_struct *cinfo = &j->cinfo;
    rq_image *img = j->job->img;
    const bool cmyk = cinfo->num_components == 4;
    const bool gray = cinfo->num_components == 1;
    RQ_TRY(rq_image_shape(img, gray ? RQ_PIXELS_GRAY : RQ_PIXELS_RGB, (int)cinfo->image_width,
                          (int)cinfo->image_height, 1, 1, 1, err));
    cinfo->out_color_space = gray ? JCS_GRAYSCALE : cmyk ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(cinfo);
    const int channels = cinfo->output_components;
    JSAMPARRAY row = cinfo->mem->alloc_sarray((j_common_ptr)cinfo, JPOOL_IMAGE,
                                              cinfo->output_width * (JDIMENSION)channels, 1);
    while (cinfo->output_scanline < cinfo->output_height) {
        const int y = (int)cinfo->output_scanline;
        jpeg_read_scanlines(cinfo, row, 1);
        if (cmyk)
            cmyk_to_rgb(row[0], cinfo->output_width);
        rq_codec_put_row(img, y, row[0], channels);
    }
    return RQ_OK;
}

static rq_status read_pixels(rq_jpeg *j, rq_err *err)
{
    struct jpeg_decompress_struct *cinfo = &j->cinfo;
    int sub_x, sub_y;
    const bool fit = planes_fit(cinfo, &sub_x, &sub_y);
    cinfo->dct_method = JDCT_ISLOW;
    if (fit && (!j->job->rgb || cinfo->num_components == 1))
        RQ_TRY(read_planes(j, sub_x, sub_y, err));
    else
        RQ_TRY(read_converted(j, err));
    j->rows_done = true;
    jpeg_finish_decompress(cinfo);
    return RQ_OK;
}

/* Whether every row was really there; outside the guard, so it must not call libjpeg. Bytes
 * that end early are harmless in exactly one case: a single Huffman-coded scan had all its data
 * and only EOI is missing. */
static rq_status judge_damage(rq_jpeg *j, rq_err *err)
{
    if (j->end_missing && (j->data_missing || j->several_scans || j->cinfo.arith_code))
        return rq_fail(err, RQ_TRUNCATED, "the JPEG ends before its picture does");
    if (j->data_missing)
        return rq_fail(err, RQ_CORRUPT_IMAGE,
                       "a scan of the JPEG ends early, so part of the picture is missing");
    if (j->end_missing && j->job->strict)
        return rq_fail(err, RQ_TRUNCATED, "the JPEG ends without its end marker");
    if (!j->end_missing && j->cinfo.src->bytes_in_buffer > 0)
        j->job->info->notes |= RQ_NOTE_TRAILING;
    return RQ_OK;
}

/* A new libjpeg object for every image: it keeps Huffman and quantisation tables from one image
 * to the next, so that a file without its own would be decoded by those of another file. */
static void begin(rq_jpeg *j)
{
    memset(&j->cinfo, 0, sizeof j->cinfo);
    j->cinfo.err = jpeg_std_error(&j->errors);
    j->cinfo.client_data = j;
    j->errors.error_exit = on_error;
    j->errors.emit_message = on_message;
    j->errors.output_message = ignore_output;
    j->progress.progress_monitor = on_progress;
}

/* Everything between setjmp and the last call into libjpeg. */
static rq_status run_guarded(rq_jpeg *j, rq_err *err)
{
    jpeg_create_decompress(&j->cinfo); /* clears all but err and client_data */
    j->cinfo.progress = &j->progress;
    j->cinfo.mem->max_memory_to_use = (long)j->job->limits->max_memory_bytes;
    RQ_TRY(read_header(j, err));
    return j->job->header_only ? RQ_OK : read_pixels(j, err);
}

rq_status rq_jpeg_run(rq_jpeg *j, rq_codec_job *job, rq_err *err)
{
    j->job = job;
    j->failure = RQ_OK;
    memset(j->failure_text, 0, sizeof j->failure_text);
    j->header_done = j->rows_done = j->end_missing = j->data_missing = false;
    j->out_of_time = false;
    j->calls = 0;
    j->scan = 0;
    j->block_visits = 0;
    begin(j);

    rq_status s;
    if (setjmp(j->escape) == 0) {
        s = run_guarded(j, err);
    } else if (j->out_of_time) {
        s = rq_codec_fail_time(job, "JPEG", err);
    } else if (j->rows_done) { /* all rows are out; something behind them is wrong */
        rq_codec_warn(job, j->failure_text);
        s = RQ_OK;
    } else {
        const bool named = strncmp(j->failure_text, "JPEG ", 5) == 0;
        s = rq_fail(err, j->failure, "%s%s", named ? "" : "JPEG: ", j->failure_text);
    }
    if (s == RQ_OK && !job->header_only)
        s = judge_damage(j, err);
    jpeg_destroy_decompress(&j->cinfo);
    return s;
}
