/* Inside of the codecs: what the dispatcher in codec.c hands to each of them.
 *
 * A codec reads the header, fills *info, checks the limits, and unless `header_only` writes the
 * planes. It never sees a file name and never prints. Private to ingest/. */
#ifndef RQ_INGEST_CODEC_IMPL_H
#define RQ_INGEST_CODEC_IMPL_H

#include "ingest/codec.h"

enum { RQ_WARNING_BYTES = 256 };

typedef struct rq_codec_job {
    const uint8_t *data;
    size_t bytes;
    const rq_limits *limits;
    bool header_only;
    bool strict;
    bool rgb; /* YCbCr is wanted as RGB of full size */
    rq_image *img;
    rq_image_info *info;
    rq_buf *scratch;     /* of the decoding thread: grows, content undefined */
    uint64_t cpu_end_ns; /* of this thread's CPU clock; 0: no limit */
    unsigned warnings;
    char warning[RQ_WARNING_BYTES]; /* first one */
} rq_codec_job;

/* Counts a warning of the codec and keeps the first one's text. */
void rq_codec_warn(rq_codec_job *job, const char *text);
/* Behind the last row: warnings become a note, or CORRUPT_IMAGE when the job is strict. */
RQ_NODISCARD rq_status rq_codec_settle(rq_codec_job *job, rq_err *err);
/* LIMIT unless the size is positive and within the limits. */
RQ_NODISCARD rq_status rq_limits_check_size(const rq_limits *limits, const char *codec,
                                            uint64_t width, uint64_t height, rq_err *err);
/* Notes what a decode will need in info->memory; LIMIT when that is over max_memory_bytes. */
RQ_NODISCARD rq_status rq_codec_check_memory(rq_codec_job *job, const char *codec,
                                             uint64_t bytes, rq_err *err);
/* True when the decode has used up its CPU time. A system call: ask per group of rows. */
bool rq_codec_out_of_time(const rq_codec_job *job);
/* LIMIT, with the sentence for it. */
RQ_NODISCARD rq_status rq_codec_fail_time(const rq_codec_job *job, const char *codec,
                                          rq_err *err);
/* Makes job->scratch hold at least `bytes`. */
RQ_NODISCARD rq_status rq_codec_scratch(rq_codec_job *job, size_t bytes, rq_err *err);
/* Row y of a picture from interleaved samples; reads every step-th byte group, plane i from
 * src[i]. */
void rq_codec_put_row(rq_image *img, int y, const uint8_t *src, int step);

/* State around libjpeg of one thread. */
typedef struct rq_jpeg rq_jpeg;
RQ_NODISCARD rq_status rq_jpeg_create(rq_jpeg **out, rq_err *err);
void rq_jpeg_destroy(rq_jpeg **j);
RQ_NODISCARD rq_status rq_jpeg_run(rq_jpeg *j, rq_codec_job *job, rq_err *err);
/* What one of libjpeg's error codes means, by whether the header had been read. */
rq_status rq_jpeg_status_of(int code, bool header_done);
/* Whether one of libjpeg's warnings only remarks on a marker that does not touch the pixels. */
bool rq_jpeg_is_remark(int code);
/* Blocks decoded over all scans of one picture, at most. */
enum { RQ_JPEG_MAX_BLOCK_VISITS = 64 << 20 };

RQ_NODISCARD rq_status rq_png_run(rq_codec_job *job, rq_err *err);
RQ_NODISCARD rq_status rq_avif_run(rq_codec_job *job, rq_err *err);
RQ_NODISCARD rq_status rq_pnm_run(rq_codec_job *job, rq_err *err);

/* EXIF orientation of a JPEG, of a PNG's eXIf chunk, and of the TIFF structure that both hold:
 * 1..8, 1 when absent. *broken is set when an EXIF block is there but cannot be read. */
int rq_exif_orientation(const uint8_t *jpeg, size_t bytes, bool *broken);
int rq_exif_orientation_png(const uint8_t *png, size_t bytes, bool *broken);
int rq_exif_orientation_tiff(const uint8_t *tiff, size_t bytes, bool *broken);

#endif
