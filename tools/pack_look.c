// SPDX-License-Identifier: Apache-2.0
//
// `rq-pack ls`, `cat` and `stat`: looking into a dataset without unpacking it. ls and stat read
// the index only, unless -v asks for what stands in the frames.
#include "common/json.h"
#include "pack/dataset.h"
#include "tools/cli.h"
#include "tools/pack_commands.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int open_one(rq_dataset **ds, int argc, char **argv, const char *examples,
                    const char *what)
{
    const rq_opt none[] = {{0}};
    int n_args = 0;
    rq_err err = {0};
    const int code = rq_cli_parse(argc, argv, "PATH", examples, none, &n_args);
    if (code >= 0)
        return code;
    if (n_args != 1)
        return rq_cli_usage("name one dataset folder or shard to %s", what);
    return rq_dataset_open(ds, argv[1], &err) == RQ_OK ? -1 : rq_cli_fail(&err);
}

/* ---- ls ---------------------------------------------------------------------------------- */

static rq_status list_json(const rq_dataset *ds, rq_reader *r, uint64_t i, rq_err *err)
{
    int shard;
    const rq_index_entry *e = rq_dataset_entry(ds, i, &shard);
    printf("%s\n  {\"place\": %" PRIu64 ", \"id\": %" PRIu64
           ", \"label\": %d, \"width\": %u, \"height\": %u, \"encoding\": \"%s\", "
           "\"image_bytes\": %u, \"mask_bytes\": %u, \"shard\": \"%s\", \"offset\": %" PRIu64
           ", \"stored_bytes\": %u, \"xxh3\": \"%016" PRIx64 "\"",
           i ? "," : "", i, e->id, e->label, e->width, e->height,
           rq_encoding_name((rq_encoding)e->encoding), e->image_bytes, e->mask_bytes,
           rq_dataset_shard_name(ds, shard), e->offset, e->stored_bytes, e->hash);
    if (r) {
        rq_sample s;
        RQ_TRY(rq_reader_get(r, i, &s, err));
        printf(", \"key\": \"%s\"", s.key);
    }
    printf("}");
    return RQ_OK;
}

// Class names come from folders and archives: control bytes, an escape above all, must not
// reach the terminal. Cut where no column needs more.
static const char *printable(char *out, size_t bytes, const char *text)
{
    snprintf(out, bytes, "%s", text);
    for (unsigned char *c = (unsigned char *)out; *c; c++)
        if (*c < 32 || *c == 127)
            *c = '?';
    return out;
}

static rq_status list_line(const rq_dataset *ds, rq_reader *r, uint64_t i, rq_err *err)
{
    int shard;
    const rq_index_entry *e = rq_dataset_entry(ds, i, &shard);
    const char *name = rq_dataset_class_name(ds, e->label);
    char shown[512];
    printf("%8" PRIu64 " %8" PRIu64 " %5d %-12s %5ux%-5u %-4s %9u%s", i, e->id, e->label,
           printable(shown, sizeof shown, name ? name : "-"), e->width, e->height,
           rq_encoding_name((rq_encoding)e->encoding), e->image_bytes,
           e->flags & RQ_ENTRY_HAS_MASK ? " +mask" : "      ");
    if (r) {
        rq_sample s;
        RQ_TRY(rq_reader_get(r, i, &s, err));
        printf("  %s  %s@%" PRIu64, printable(shown, sizeof shown, s.key),
               rq_dataset_shard_name(ds, shard), e->offset);
    }
    printf("\n");
    return RQ_OK;
}

int rq_pack_ls(int argc, char **argv)
{
    rq_dataset *ds = NULL;
    rq_reader *reader = NULL;
    rq_err err = {0};
    const int code = open_one(&ds, argc, argv,
                              "  rq-pack ls imagenet       from the index, at once\n"
                              "  rq-pack ls imagenet -v    with key and place in the shard\n",
                              "list");
    if (code >= 0)
        return code;
    rq_status st = rq_cli.verbose > 0 ? rq_reader_create(&reader, ds, &err) : RQ_OK;
    if (rq_cli.json)
        printf("[");
    else
        printf("%8s %8s %5s %-12s %11s %-4s %9s\n", "place", "id", "label", "class", "size",
               "kind", "bytes");
    for (uint64_t i = 0; i < rq_dataset_count(ds) && st == RQ_OK && !rq_cli_stop; i++)
        st = rq_cli.json ? list_json(ds, reader, i, &err) : list_line(ds, reader, i, &err);
    if (st == RQ_OK && rq_cli_stop)
        st = rq_fail(&err, RQ_CANCELLED, "interrupted; the list is not complete");
    if (rq_cli.json)
        printf("\n]\n");
    rq_reader_destroy(&reader);
    rq_dataset_close(&ds);
    return st == RQ_OK ? 0 : rq_cli_fail(&err);
}

/* ---- cat --------------------------------------------------------------------------------- */

// Splits "PATH#N" at the last '#'.
static bool split_place(char *arg, uint64_t *place)
{
    char *hash = strrchr(arg, '#'), *end;
    if (!hash || hash[1] < '0' || hash[1] > '9')
        return false;
    errno = 0;
    *place = strtoull(hash + 1, &end, 10);
    *hash = 0;
    return *end == 0 && errno == 0;
}

typedef enum cat_part { CAT_FILE, CAT_STORED, CAT_MASK, CAT_META } cat_part;

// The part's bytes, in `file` or in the sample.
static rq_status find_part(rq_reader *r, const rq_sample *s, cat_part part, rq_buf *file,
                           const void **data, size_t *bytes, rq_err *err)
{
    const char *ext;
    if (part == CAT_MASK && !s->mask)
        return rq_fail(err, RQ_NOT_FOUND, "sample %" PRIu64 " (%s) has no mask", s->id, s->key);
    if (part == CAT_FILE)
        RQ_TRY(rq_reader_export(r, s, file, &ext, err));
    *data = part == CAT_FILE     ? (const void *)file->data
            : part == CAT_STORED ? (const void *)s->image
            : part == CAT_MASK   ? (const void *)s->mask
                                 : (const void *)s->meta;
    *bytes = part == CAT_FILE     ? file->size
             : part == CAT_STORED ? s->image_bytes
             : part == CAT_MASK   ? s->mask_bytes
                                  : s->meta_bytes;
    return RQ_OK;
}

static rq_status put_part(const rq_dataset *ds, uint64_t place, cat_part part, rq_err *err)
{
    rq_reader *r;
    rq_sample s;
    rq_buf file = {0};
    const void *data = NULL;
    size_t bytes = 0;
    RQ_TRY(rq_reader_create(&r, ds, err));
    rq_status st = rq_reader_get(r, place, &s, err);
    if (st == RQ_OK)
        st = find_part(r, &s, part, &file, &data, &bytes, err);
    if (st == RQ_OK && (fwrite(data, 1, bytes, stdout) != bytes || fflush(stdout) != 0))
        st = rq_fail_errno(err, "cannot write to stdout");
    rq_buf_free(&file);
    rq_reader_destroy(&r);
    return st;
}

int rq_pack_cat(int argc, char **argv)
{
    bool mask = false, meta = false, stored = false;
    int n_args = 0;
    uint64_t place;
    const rq_opt opts[] = {
        {RQ_OPT_BOOL, "mask", 0, &mask, NULL, "the saliency mask (PGM) instead", 0, 0, NULL},
        {RQ_OPT_BOOL, "meta", 0, &meta, NULL, "the JSON member instead", 0, 0, NULL},
        {RQ_OPT_BOOL, "stored", 0, &stored, NULL,
         "the image member as it is stored, where that is no file of its own (dct, raw)", 0, 0,
         NULL},
        {0}};
    const int code = rq_cli_parse(argc, argv, "PATH#N",
                                  "  rq-pack cat imagenet#17 > photo.jpg\n"
                                  "  rq-pack cat imagenet/data-000000.tar.zst#0 --meta\n",
                                  opts, &n_args);
    if (code >= 0)
        return code;
    if (n_args != 1 || !split_place(argv[1], &place))
        return rq_cli_usage("name one sample as PATH#N, N counting from 0");
    if (mask + meta + stored > 1)
        return rq_cli_usage("--mask, --meta and --stored exclude each other");
    if (!meta && isatty(STDOUT_FILENO))
        return rq_cli_usage("stdout is a terminal and an image is no text; add > FILE");
    rq_dataset *ds;
    rq_err err = {0};
    rq_status st = rq_dataset_open(&ds, argv[1], &err);
    if (st == RQ_OK && place >= rq_dataset_count(ds))
        st = rq_fail(&err, RQ_NOT_FOUND,
                     "there is no sample #%" PRIu64 " in '%s': it has %" PRIu64
                     ", counted from 0",
                     place, argv[1], rq_dataset_count(ds));
    if (st == RQ_OK)
        st = put_part(ds, place,
                      mask     ? CAT_MASK
                      : meta   ? CAT_META
                      : stored ? CAT_STORED
                               : CAT_FILE,
                      &err);
    rq_dataset_close(&ds);
    return st == RQ_OK ? 0 : rq_cli_fail(&err);
}

/* ---- stat -------------------------------------------------------------------------------- */

typedef struct totals {
    uint64_t stored, image, mask, raw, encodings[RQ_ENCODING_RAW + 1], labelled;
    uint32_t min_width, max_width, min_height, max_height;
    uint64_t smallest_class, largest_class;
} totals;

static rq_status count_classes(const rq_dataset *ds, totals *t, rq_err *err)
{
    const int classes = rq_dataset_classes(ds);
    uint64_t *per_class = rq_calloc((size_t)classes, sizeof *per_class);
    if (!per_class)
        return rq_fail(err, RQ_OOM, "out of memory for %d classes", classes);
    for (uint64_t i = 0; i < rq_dataset_count(ds); i++) {
        const int label = rq_dataset_entry(ds, i, NULL)->label;
        if (label >= 0)
            per_class[label]++;
    }
    t->smallest_class = classes ? UINT64_MAX : 0;
    for (int c = 0; c < classes; c++) {
        if (per_class[c] < t->smallest_class)
            t->smallest_class = per_class[c];
        if (per_class[c] > t->largest_class)
            t->largest_class = per_class[c];
    }
    rq_free(per_class);
    return RQ_OK;
}

static void add_up(const rq_dataset *ds, totals *t)
{
    t->min_width = t->min_height = UINT32_MAX;
    for (uint64_t i = 0; i < rq_dataset_count(ds); i++) {
        const rq_index_entry *e = rq_dataset_entry(ds, i, NULL);
        t->stored += e->stored_bytes;
        t->image += e->image_bytes;
        t->mask += e->mask_bytes;
        t->raw += e->raw_bytes;
        t->encodings[e->encoding]++;
        t->min_width = e->width < t->min_width ? e->width : t->min_width;
        t->max_width = e->width > t->max_width ? e->width : t->max_width;
        t->min_height = e->height < t->min_height ? e->height : t->min_height;
        t->max_height = e->height > t->max_height ? e->height : t->max_height;
    }
}

static void print_stat_json(const rq_dataset *ds, const totals *t)
{
    printf("{\"samples\": %" PRIu64 ", \"classes\": %d, \"smallest_class\": %" PRIu64
           ", \"largest_class\": %" PRIu64 ", \"shards\": %d, \"masks\": %" PRIu64,
           rq_dataset_count(ds), rq_dataset_classes(ds), t->smallest_class, t->largest_class,
           rq_dataset_shards(ds), rq_dataset_masks(ds));
    for (int e = RQ_ENCODING_JPEG; e <= RQ_ENCODING_RAW; e++)
        printf(", \"%s\": %" PRIu64, rq_encoding_name((rq_encoding)e), t->encodings[e]);
    printf(", \"frame_bytes\": %" PRIu64 ", \"image_bytes\": %" PRIu64
           ", \"mask_bytes\": %" PRIu64 ", \"width\": [%u, %u], \"height\": [%u, %u], "
           "\"memory_bytes\": %zu, \"hash\": \"%s\"}\n",
           t->stored, t->image, t->mask, t->min_width, t->max_width, t->min_height,
           t->max_height, rq_dataset_memory(ds), rq_dataset_hash(ds));
}

static void print_stat(const rq_dataset *ds, const totals *t)
{
    char a[32], b[32], c[32];
    printf("samples   %s\n", rq_format_count(a, rq_dataset_count(ds)));
    if (rq_dataset_classes(ds))
        printf("classes   %d, of %" PRIu64 " to %" PRIu64 " samples\n", rq_dataset_classes(ds),
               t->smallest_class, t->largest_class);
    else
        printf("classes   none\n");
    printf("encoding ");
    for (int e = RQ_ENCODING_JPEG; e <= RQ_ENCODING_RAW; e++)
        if (t->encodings[e])
            printf(" %s %s", rq_encoding_name((rq_encoding)e),
                   rq_format_count(a, t->encodings[e]));
    printf("\nsize      %u to %u wide, %u to %u high\n", t->min_width, t->max_width,
           t->min_height, t->max_height);
    printf("masks     %s\n", rq_format_count(a, rq_dataset_masks(ds)));
    printf("bytes     %s in %d shard%s; %s of images, %s unpacked as tar\n",
           rq_format_bytes(a, (double)t->stored), rq_dataset_shards(ds),
           rq_dataset_shards(ds) == 1 ? "" : "s", rq_format_bytes(b, (double)t->image),
           rq_format_bytes(c, (double)t->raw));
    printf("memory    %s while open\n", rq_format_bytes(a, (double)rq_dataset_memory(ds)));
    printf("hash      %s\n", rq_dataset_hash(ds));
}

int rq_pack_stat(int argc, char **argv)
{
    rq_dataset *ds = NULL;
    rq_err err = {0};
    totals t = {0};
    const int code = open_one(&ds, argc, argv, "  rq-pack stat imagenet\n", "sum up");
    if (code >= 0)
        return code;
    add_up(ds, &t);
    const rq_status st = count_classes(ds, &t, &err);
    if (st == RQ_OK && rq_cli.json)
        print_stat_json(ds, &t);
    else if (st == RQ_OK)
        print_stat(ds, &t);
    rq_dataset_close(&ds);
    return st == RQ_OK ? 0 : rq_cli_fail(&err);
}
