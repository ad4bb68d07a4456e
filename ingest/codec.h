/* Coded images in memory: what they are (sniffed, never by name), whether they are safe to
 * decode, and their planes.
 *
 * Limits are checked against the header before a single pixel is allocated. What was unusual
 * about an image is returned as notes; notes and status together give the verdict that a report
 * shows. */
#ifndef RQ_INGEST_CODEC_H
#define RQ_INGEST_CODEC_H

#include "ingest/image.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rq_codec {
    RQ_CODEC_UNKNOWN = 0,
    RQ_CODEC_JPEG,
    RQ_CODEC_PNG,
    RQ_CODEC_AVIF,
    RQ_CODEC_PNM /* binary PGM (P5) and PPM (P6), maxval 255 */
} rq_codec;

/* From the first bytes; needs at most 32 of them. */
rq_codec rq_codec_sniff(const void *data, size_t bytes);
/* "JPEG", ..., "unknown". */
const char *rq_codec_name(rq_codec codec);
/* File extension without dot: "jpg", "png", "avif", "pgm"/"ppm" by components; "bin" if
 * unknown. */
const char *rq_codec_extension(rq_codec codec, int components);
/* False when the extension of a file name belongs to another codec: the caller then adds
 * RQ_NOTE_EXTENSION. Names without a known extension agree with everything. */
bool rq_codec_name_agrees(const char *name, rq_codec codec);

/* What was unusual. Bits of rq_image_info.notes and of rq_decode's result. */
enum {
    RQ_NOTE_EXTENSION = 1u << 0,      /* the name says another codec than the content */
    RQ_NOTE_CMYK = 1u << 1,           /* CMYK or YCCK, converted to RGB */
    RQ_NOTE_ALPHA = 1u << 2,          /* alpha dropped, not composited */
    RQ_NOTE_EXIF_BROKEN = 1u << 3,    /* EXIF block unreadable, ignored */
    RQ_NOTE_TRAILING = 1u << 4,       /* bytes behind the end of the image */
    RQ_NOTE_DEPTH = 1u << 5,          /* more than 8 bits per sample, reduced */
    RQ_NOTE_PALETTE = 1u << 6,        /* palette expanded */
    RQ_NOTE_GRAY = 1u << 7,           /* one component; harmless */
    RQ_NOTE_ORIENTATION = 1u << 8,    /* EXIF asks for a rotation, ignored */
    RQ_NOTE_SEQUENCE = 1u << 9,       /* more than one frame, first one used */
    RQ_NOTE_CODEC_WARNING = 1u << 10, /* the codec complained but gave every row: see warning */
    RQ_NOTE_CROP = 1u << 11,          /* AVIF asks for a crop (clean aperture), ignored */
    RQ_NOTE_TURNED = 1u << 12 /* turned upright by the caller, in place of ORIENTATION */
};

/* How the colours are coded, before any conversion. */
typedef enum rq_color_model {
    RQ_COLOR_UNKNOWN = 0,
    RQ_COLOR_GRAY,
    RQ_COLOR_YCBCR,
    RQ_COLOR_RGB,
    RQ_COLOR_CMYK,
    RQ_COLOR_YCCK,
    RQ_COLOR_PALETTE,
    RQ_COLOR_COUNT
} rq_color_model;

/* "gray", "YCbCr", "RGB", "CMYK", "YCCK", "palette"; "unknown". */
const char *rq_color_model_name(rq_color_model model);

typedef struct rq_limits {
    int max_side;            /* pixels; default 32,768 */
    uint64_t max_pixels;     /* default 100,000,000 */
    size_t max_file_bytes;   /* coded size; default 64 MiB */
    size_t max_memory_bytes; /* what one decode may allocate; default 512 MiB */
    int max_scans;           /* progressive JPEG; default 100 */
    /* CPU time of one decode; default 2.0, 0 for no limit. A backstop behind the limits above,
     * and the only one whose verdict depends on the machine. JPEG, PNG and PNM obey it; AVIF
     * cannot be interrupted, so there the limits on size have to do. */
    double max_cpu_seconds;
    /* The bytes were decoded before and have passed a hash since. AVIF then goes to libavif's
     * first choice, usually dav1d, which is about twice as fast as libaom but writes to stderr
     * about damaged data; otherwise to libaom where libavif has it. Default false. */
    bool trusted;
} rq_limits;

rq_limits rq_limits_default(void);

/* What the header says. */
typedef struct rq_image_info {
    rq_codec codec;
    int width, height;
    int components; /* colour components coded: 1, 3 or 4, alpha not counted */
    rq_color_model color;
    int bit_depth;    /* per sample as coded */
    rq_pixels pixels; /* what rq_decode will give */
    int sub_x, sub_y;
    int orientation; /* EXIF 1..8, of JPEG, PNG (eXIf) and AVIF (irot, imir); 1 when absent or
                        unreadable */
    bool progressive;
    bool alpha;
    unsigned notes;  /* RQ_NOTE_ bits known from the header */
    uint64_t memory; /* bytes a decode takes, estimated from above; what max_memory_bytes is
                        compared with */
} rq_image_info;

/* Reads the header only. BAD_FORMAT, UNSUPPORTED, TRUNCATED or LIMIT, in the words of the
 * codec. */
RQ_NODISCARD rq_status rq_probe(const void *data, size_t bytes, const rq_limits *limits,
                                rq_image_info *info, rq_err *err);

/* Scratch of one decoding thread. */
typedef struct rq_decoder rq_decoder;
RQ_NODISCARD rq_status rq_decoder_create(rq_decoder **out, const rq_limits *limits,
                                         rq_err *err);
void rq_decoder_destroy(rq_decoder **d);

/* Decodes to planes: JPEG with the accurate integer IDCT and no chroma upsampling (CMYK, YCCK,
 * RGB and samplings other than factors 1, 2, 4 give RGB); PNG, PPM to RGB or GRAY; AVIF to RGB
 * or GRAY by its own matrix and range. *info (may be NULL) gets the header and all notes.
 * `strict` true: any damage fails with CORRUPT_IMAGE or TRUNCATED. False: damage that still
 * gave every row is a note. Missing rows always fail. img's content is undefined after a
 * failure. */
RQ_NODISCARD rq_status rq_decode(rq_decoder *d, const void *data, size_t bytes, bool strict,
                                 rq_image *img, rq_image_info *info, rq_err *err);
/* As rq_decode, but always RGB or GRAY planes of full size: JPEG chroma is upsampled by
 * libjpeg's own smooth interpolation, so the pixels are those every JPEG reader shows. For
 * `raw` members and pictures to look at. */
RQ_NODISCARD rq_status rq_decode_rgb(rq_decoder *d, const void *data, size_t bytes, bool strict,
                                     rq_image *img, rq_image_info *info, rq_err *err);
/* Text of the codec's first warning in the last rq_decode, "" if none. Valid until the next
 * call. */
const char *rq_decoder_warning(const rq_decoder *d);

/* Same as rq_decode with strict false, but one 8-bit plane: for saliency maps. RGB becomes
 * luma. */
RQ_NODISCARD rq_status rq_decode_gray(rq_decoder *d, const void *data, size_t bytes,
                                      rq_image *img, rq_err *err);

/* Encodes PNG (dst replaced): data[height][width][channels], channels 1 or 3. */
RQ_NODISCARD rq_status rq_png_encode(const uint8_t *data, int width, int height, int channels,
                                     rq_buf *dst, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
