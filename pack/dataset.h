/* A packed dataset, opened for reading: random access to every sample by its place.
 *
 * Nothing on disk is trusted. Opening checks the manifest, each shard's length, and the hashes
 * and bounds of every index. Reading checks the hash of the stored bytes, then every length,
 * then the content. Samples are numbered 0 .. count-1 in ascending sample id.
 *
 *     rq_dataset_open(&ds, "dataset", &err);
 *     rq_reader_create(&r, ds, &err);            // one per thread
 *     rq_reader_get(r, 17, &sample, &err);       // borrowed until the next get on r
 *     rq_reader_decode(r, &sample, &image, &err);
 *
 * Thread rule: an rq_dataset may be shared by any number of threads once open; an rq_reader
 * belongs to one. */
#ifndef RQ_PACK_DATASET_H
#define RQ_PACK_DATASET_H

#include "ingest/codec.h"
#include "pack/format.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rq_dataset rq_dataset;

/* `path` is a dataset folder (with dataset.json) or a single .tar.zst shard. */
RQ_NODISCARD rq_status rq_dataset_open(rq_dataset **out, const char *path, rq_err *err);
void rq_dataset_close(rq_dataset **ds);

uint64_t rq_dataset_count(const rq_dataset *ds);
int rq_dataset_classes(const rq_dataset *ds); /* 0 when there are no labels */
const char *rq_dataset_class_name(const rq_dataset *ds, int label); /* NULL if unknown */
uint64_t rq_dataset_masks(const rq_dataset *ds); /* samples that carry a mask */
int rq_dataset_shards(const rq_dataset *ds);
const char *rq_dataset_shard_name(const rq_dataset *ds, int shard);
/* SHA-256 in hex, the identity of the dataset: of dataset.json, which names every shard by its
 * hash; of the index hash for a single shard. */
const char *rq_dataset_hash(const rq_dataset *ds);
/* Index entry of place i < count, and which shard holds it. */
const rq_index_entry *rq_dataset_entry(const rq_dataset *ds, uint64_t i, int *shard);
/* Place of a sample id; NOT_FOUND. */
RQ_NODISCARD rq_status rq_dataset_find(const rq_dataset *ds, uint64_t id, uint64_t *place,
                                       rq_err *err);
/* Bytes of memory the open dataset holds. */
size_t rq_dataset_memory(const rq_dataset *ds);

/* One sample as stored: all pointers are borrowed from the reader until its next get. */
typedef struct rq_sample {
    uint64_t place;
    uint64_t id;
    int label;
    int width, height; /* of the upright picture */
    int orientation;   /* EXIF's, 1 to 8: how the stored picture is to be turned */
    rq_encoding encoding;
    const char *key;      /* tar key, NUL-terminated */
    const uint8_t *image; /* the image member's bytes */
    size_t image_bytes;
    const uint8_t *mask; /* PGM bytes of the mask member, NULL without */
    size_t mask_bytes;
    const char *meta; /* KEY.json's bytes, not NUL-terminated */
    size_t meta_bytes;
} rq_sample;

typedef struct rq_reader rq_reader;
RQ_NODISCARD rq_status rq_reader_create(rq_reader **out, const rq_dataset *ds, rq_err *err);
void rq_reader_destroy(rq_reader **r);

/* Reads, verifies and unpacks place i. BAD_CHECKSUM, BAD_FORMAT and TRUNCATED name shard, key
 * and offset and say to run `rq-pack verify`. */
RQ_NODISCARD rq_status rq_reader_get(rq_reader *r, uint64_t i, rq_sample *sample, rq_err *err);
/* The picture's planes, upright. */
RQ_NODISCARD rq_status rq_reader_decode(rq_reader *r, const rq_sample *sample, rq_image *img,
                                        rq_err *err);
/* The same as RGB or GRAY planes of full size, with smooth chroma: for looking, and for files
 * that other programs read. */
RQ_NODISCARD rq_status rq_reader_decode_rgb(rq_reader *r, const rq_sample *sample,
                                            rq_image *img, rq_err *err);
/* The picture as a file that other programs read (replaced): jpeg, avif and ppm as they are
 * stored, dct as a JPEG with the same coefficients and its orientation in an EXIF block, raw as
 * a PNG. *extension: of the file, without dot. */
RQ_NODISCARD rq_status rq_reader_export(rq_reader *r, const rq_sample *sample, rq_buf *file,
                                        const char **extension, rq_err *err);
/* The mask as one grey plane at its stored size; NOT_FOUND when the sample has none. */
RQ_NODISCARD rq_status rq_reader_decode_mask(rq_reader *r, const rq_sample *sample,
                                             rq_image *mask, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
