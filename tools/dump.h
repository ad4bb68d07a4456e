/* What rq-dump looks at and how it shows it.
 *
 * rq_dump_collect asks the real stream for the views of chosen samples: the pixels and
 * parameters here are those that training gets for (seed, epoch, sample), because every draw is
 * keyed by just that. No operation is done a second time elsewhere; even the picture with its
 * background removed is a view, of the whole image with nothing else done to it.
 *
 *     rq_dump_collect(&d, ds, &recipe, places, n, &opts, &err);
 *     rq_dump_html(&d, &buf, &err);  rq_dump_sheet(&d, &picture, &err);
 *     rq_dump_free(&d); */
#ifndef RQ_TOOLS_DUMP_H
#define RQ_TOOLS_DUMP_H

#include "augment/stream.h"
#include "tools/picture.h"

enum { RQ_DUMP_MAX_IMAGES = 256, RQ_DUMP_SOURCE_SIDE = 640 };

typedef struct rq_dump_item {
    uint64_t id;
    int label;
    const char *class_name; /* NULL without; borrowed from the dataset */
    char key[RQ_MAX_KEY_BYTES + 1];
    rq_encoding encoding;
    size_t stored_bytes;
    int width, height; /* of the image */
    bool has_mask, mask_usable;
    float mask_cover;       /* share of the image above the threshold, 0..1 */
    rq_picture source;      /* at most RQ_DUMP_SOURCE_SIDE pixels on the long side */
    rq_picture overlay;     /* of the same size, with the mask; empty without */
    rq_picture removed;     /* square: the whole image without its background, stretched; empty
                               without a mask */
    uint8_t *pixels;        /* the views one after the other, large first */
    rq_view_params *params; /* [views] */
} rq_dump_item;

typedef struct rq_dump {
    rq_recipe recipe;
    uint64_t seed;
    uint32_t epoch;
    const char *dataset;       /* path, for the reader of the page; borrowed */
    const char *hash;          /* of the dataset; borrowed */
    uint64_t samples, masks;   /* of the dataset */
    const char *command;       /* the line that makes this page; borrowed, may be NULL */
    const char *image_command; /* the same without images and outputs; borrowed, may be NULL */
    int views;
    int images;
    rq_dump_item *items; /* [images] */
} rq_dump;

typedef struct rq_dump_opts {
    uint64_t seed;
    uint32_t epoch;
    bool allow_missing_masks;
} rq_dump_opts;

/* Fills *d, which is zeroed first. places: [n] places in the dataset, n <= RQ_DUMP_MAX_IMAGES.
 * The dataset must outlive d. */
RQ_NODISCARD rq_status rq_dump_collect(rq_dump *d, const rq_dataset *ds,
                                       const rq_recipe *recipe, const uint64_t *places, int n,
                                       const rq_dump_opts *opts, rq_err *err);
void rq_dump_free(rq_dump *d);

/* Pixels of a view, [size][size][3], and its size. */
const uint8_t *rq_dump_view(const rq_dump *d, const rq_dump_item *item, int view, int *size);
/* "L1", "S2". buf of at least 8 bytes; returns buf. */
char *rq_dump_view_name(char *buf, const rq_dump *d, int view);
/* The colour of a view's box. */
rq_color rq_dump_view_color(int view);

/* Appends the self-contained page. */
RQ_NODISCARD rq_status rq_dump_html(const rq_dump *d, rq_buf *out, rq_err *err);
/* The contact sheet: rows are images, columns source, mask, views. cell: side of a large view
 * on the sheet, pixels. */
RQ_NODISCARD rq_status rq_dump_sheet(const rq_dump *d, int cell, rq_picture *sheet,
                                     rq_err *err);
/* The parameters of every view as JSON. */
RQ_NODISCARD rq_status rq_dump_json(const rq_dump *d, rq_buf *out, rq_err *err);
/* The views of a group as NumPy file: u8 [views][images][size][size][3], the layout of a batch.
 */
RQ_NODISCARD rq_status rq_dump_npy(const rq_dump *d, int group, rq_buf *out, rq_err *err);

#endif
