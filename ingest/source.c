// SPDX-License-Identifier: Apache-2.0
// The source: opens its inputs, puts the steps that make a catalogue in order, and hands out
// records. The order of the catalogue (class, then name, by byte value) is what makes a sample
// id; the order of reading is that of the storage, so that a disk is read forwards.
#include "ingest/source_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *rq_layout_name(rq_layout layout)
{
    static const char *const names[] = {
        "auto",       "class-folders", "flat-folder", "tar-of-tars", "tar-folders", "tar-flat",
        "class-tars", "kaggle",        "huggingface", "webdataset",  "list"};
    return (unsigned)layout < sizeof names / sizeof *names ? names[layout] : "unknown";
}

const char *rq_split_name(rq_split split)
{
    static const char *const names[] = {"any", "train", "val", "test"};
    return (unsigned)split < sizeof names / sizeof *names ? names[split] : "unknown";
}

void rq_source_opts_default(rq_source_opts *o)
{
    memset(o, 0, sizeof *o);
    o->max_member_bytes = (size_t)64 << 20;
    o->max_entries = 20000000;
    o->max_name_bytes = (size_t)2 << 30;
    o->max_depth = 2;
}

const char *rq_input_name(const rq_input *in)
{
    return in->kind == RQ_INPUT_LIST ? in->list : in->path;
}

/* ---- opening ----------------------------------------------------------------------------- */

static int by_storage(const void *a, const void *b, void *context)
{
    const rq_item *items = context;
    const rq_item *x = &items[*(const uint64_t *)a], *y = &items[*(const uint64_t *)b];
    if (x->input != y->input)
        return x->input < y->input ? -1 : 1;
    return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

static rq_status make_reading_order(rq_source *s, rq_err *err)
{
    rq_catalogue *c = &s->catalogue;
    s->order = rq_alloc(c->n_items, sizeof *s->order);
    if (s->order == NULL)
        return rq_fail(err, RQ_OOM, "no memory for the order of reading");
    for (size_t i = 0; i < c->n_items; i++) {
        rq_item *item = &c->items[i];
        s->order[i] = i;
        s->bytes += item->bytes;
        if (s->inputs[item->input].kind != RQ_INPUT_ARCHIVE)
            item->sequence = i; /* files are read in catalogue order */
    }
    qsort_r(s->order, c->n_items, sizeof *s->order, by_storage, c->items);
    return RQ_OK;
}

/* 1234567 -> "1,234,567"; returns buf, of at least 27 bytes. */
static const char *with_commas(char *buf, uint64_t n)
{
    char digits[21];
    const int count = snprintf(digits, sizeof digits, "%" PRIu64, n);
    char *to = buf;
    for (int i = 0; i < count; i++) {
        if (i > 0 && (count - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
    return buf;
}

/* The first input that has images stands for the whole. */
static const rq_input *main_input(const rq_source *s)
{
    for (size_t i = 0; i < s->n_inputs; i++) {
        if (s->inputs[i].images > 0)
            return &s->inputs[i];
    }
    return &s->inputs[0];
}

static void describe(rq_source *s)
{
    const rq_catalogue *c = &s->catalogue;
    const rq_input *in = main_input(s);
    char images[27], classes[27], inputs[64] = "", labels[300] = "no labels";
    size_t shards = 0;
    for (size_t i = 0; i < s->n_inputs; i++)
        shards += s->inputs[i].kind == RQ_INPUT_ARCHIVE;
    if (shards > 0)
        snprintf(inputs, sizeof inputs, " in %s archive%s", with_commas(images, shards),
                 shards == 1 ? "" : "s");
    if (s->labels_about != NULL)
        snprintf(labels, sizeof labels, "labels from %.250s", s->labels_about);
    else if (s->labelled)
        snprintf(labels, sizeof labels, "labels from %s",
                 in->layout == RQ_LAYOUT_WEBDATASET    ? "KEY.cls or KEY.json"
                 : in->layout == RQ_LAYOUT_LIST        ? "the list"
                 : in->layout == RQ_LAYOUT_HUGGINGFACE ? "the ends of the names"
                 : in->layout == RQ_LAYOUT_TAR_OF_TARS || in->layout == RQ_LAYOUT_CLASS_TARS
                     ? "the names of archives"
                     : "the names of folders");
    snprintf(s->about, sizeof s->about, "%s: %s image%s%s, %s class%s, %s",
             rq_layout_name(s->layout), with_commas(images, c->n_items),
             c->n_items == 1 ? "" : "s", inputs, with_commas(classes, (uint64_t)s->n_labels),
             s->n_labels == 1 ? "" : "es", labels);
    rq_log(&c->opts.log, RQ_LOG_INFO, "%s", s->about);
}

static rq_status open_inputs(rq_source *s, const char *const *paths, size_t n, rq_err *err)
{
    if (n == 0)
        return rq_fail(err, RQ_INVALID_ARG,
                       "no input; give a folder of class folders or a tar archive");
    s->member = rq_alloc(1, sizeof *s->member);
    if (s->member == NULL)
        return rq_fail(err, RQ_OOM, "no memory for a source");
    for (size_t i = 0; i < n; i++)
        RQ_TRY(rq_layout_add_path(s, paths[i], err));
    RQ_TRY(rq_resolve(s, err));
    if (s->catalogue.n_items == 0)
        return rq_fail(err, RQ_NOT_FOUND,
                       "%s%s: no images found (%" PRIu64 " other files); looked for JPEG, PNG, "
                       "AVIF, PGM and PPM files in class folders, in a flat folder and in "
                       "archives",
                       paths[0], n > 1 ? " and other inputs" : "", s->catalogue.passed_over);
    s->layout = main_input(s)->layout;
    RQ_TRY(rq_find_labels(s, err));
    RQ_TRY(rq_number_labels(s, err));
    RQ_TRY(rq_finish_catalogue(s, err));
    RQ_TRY(make_reading_order(s, err));
    describe(s);
    return RQ_OK;
}

rq_status rq_source_open(rq_source **out, const char *const *paths, size_t n,
                         const rq_source_opts *opts, rq_err *err)
{
    *out = NULL;
    rq_source *s = rq_calloc(1, sizeof *s);
    if (s == NULL)
        return rq_fail(err, RQ_OOM, "no memory for a source");
    s->catalogue.opts = *opts;
    const rq_status st = open_inputs(s, paths, n, err);
    /* The caller's strings end here. */
    s->catalogue.opts.labels = s->catalogue.opts.classes = s->catalogue.opts.exclude = NULL;
    s->labels_about = NULL;
    if (st != RQ_OK) {
        rq_source_close(&s);
        return st;
    }
    *out = s;
    return RQ_OK;
}

void rq_source_close(rq_source **src)
{
    if (src == NULL || *src == NULL)
        return;
    rq_source *s = *src;
    rq_tar_close(&s->tar);
    for (size_t i = 0; i < s->n_inputs; i++) {
        rq_free(s->inputs[i].path);
        rq_free(s->inputs[i].list);
    }
    rq_free(s->inputs);
    rq_free(s->member);
    rq_free(s->order);
    rq_free(s->labels);
    rq_class_list_free(&s->class_list);
    rq_catalogue_free(&s->catalogue);
    rq_buf_free(&s->data);
    rq_free(s);
    *src = NULL;
}

/* ---- looking ----------------------------------------------------------------------------- */

uint64_t rq_source_count(const rq_source *src)
{
    return src->catalogue.n_items;
}

uint64_t rq_source_bytes(const rq_source *src)
{
    return src->bytes;
}

uint64_t rq_source_passed_over(const rq_source *src)
{
    return src->catalogue.passed_over;
}

uint64_t rq_source_excluded(const rq_source *src)
{
    return src->excluded;
}

const char *rq_source_about(const rq_source *src)
{
    return src->about;
}

rq_layout rq_source_layout(const rq_source *src)
{
    return src->layout;
}

int rq_source_classes(const rq_source *src)
{
    return src->n_labels;
}

const char *rq_source_class_name(const rq_source *src, int label)
{
    return label >= 0 && label < src->n_labels ? src->labels[label] : NULL;
}

rq_entry rq_source_entry(const rq_source *src, uint64_t id)
{
    const rq_item *item = &src->catalogue.items[id];
    return (rq_entry){.id = id,
                      .name = item->name,
                      .class_name = item->class_name,
                      .label = item->label,
                      .bytes = item->bytes};
}

/* ---- reading ----------------------------------------------------------------------------- */

static rq_status open_archive(rq_source *s, uint32_t index, rq_err *err)
{
    if (s->tar != NULL && s->tar_input == index)
        return RQ_OK;
    rq_source_opts opts = s->catalogue.opts;
    opts.log = (rq_log_sink){0}; /* what there is to say was said when it was listed */
    rq_tar_close(&s->tar);
    s->tar_input = index;
    s->tar_sequence = 0;
    return rq_tar_open(&s->tar, s->inputs[index].path, &opts, err);
}

/* Walks a streamed archive on to the member of this item, as the first pass did. */
static rq_status advance_to(rq_source *s, const rq_item *item, rq_err *err)
{
    for (;;) {
        const rq_status st = rq_tar_next(s->tar, s->member, err);
        if (st == RQ_OK && !rq_tar_is_item(s->member))
            continue;
        if (st != RQ_OK && st != RQ_END)
            return st;
        if (st == RQ_OK && s->tar_sequence++ < item->sequence)
            continue;
        if (st == RQ_OK && s->member->bytes == item->bytes)
            return RQ_OK;
        return rq_fail(err, RQ_BAD_FORMAT, "%s changed while it was read",
                       s->inputs[item->input].path);
    }
}

/* What is wrong with the one member goes to the record. */
static rq_status read_member(rq_source *s, const rq_item *item, rq_record *rec, rq_err *err)
{
    const size_t bytes = (size_t)item->bytes;
    RQ_TRY(open_archive(s, item->input, err));
    RQ_TRY(rq_buf_reserve(&s->data, bytes + 1, err));
    s->data.size = bytes;
    if (s->inputs[item->input].walk.direct)
        return rq_tar_read_at(s->tar, s->data.data, bytes, item->offset, err);
    RQ_TRY(advance_to(s, item, err));
    rq_err local = {0};
    const rq_status st = rq_tar_read(s->tar, s->data.data, bytes, &local);
    const bool of_member = st == RQ_BAD_CHECKSUM || st == RQ_UNSUPPORTED ||
                           (st == RQ_TRUNCATED && s->catalogue.opts.allow_truncated);
    if (st != RQ_OK && !of_member)
        return rq_fail(err, st, "%s", local.text);
    rec->status = st;
    snprintf(rec->reason, sizeof rec->reason, "%.255s", local.text);
    return RQ_OK;
}

rq_status rq_source_next(rq_source *src, rq_record *rec, rq_err *err)
{
    memset(rec, 0, sizeof *rec);
    if (src->at == src->catalogue.n_items)
        return RQ_END;
    const uint64_t id = src->order[src->at++];
    const rq_item *item = &src->catalogue.items[id];
    rec->entry = rq_source_entry(src, id);
    rec->status = item->status;
    if (item->status != RQ_OK) {
        snprintf(rec->reason, sizeof rec->reason, "%s (%" PRIu64 " bytes)", item->reason,
                 item->bytes);
        return RQ_OK;
    }
    const rq_input *in = &src->inputs[item->input];
    if (in->kind == RQ_INPUT_ARCHIVE) {
        RQ_TRY(read_member(src, item, rec, err));
    } else {
        RQ_TRY(rq_buf_reserve(&src->data, 1, err));
        RQ_TRY(rq_dir_read(in->path, item->stored, src->catalogue.opts.max_member_bytes,
                           &src->data, &rec->status, rec->reason, err));
    }
    rec->data = rec->status == RQ_OK ? src->data.data : NULL;
    rec->size = rec->status == RQ_OK ? src->data.size : 0;
    return RQ_OK;
}

rq_status rq_source_skip(rq_source *src, uint64_t records, rq_err *err)
{
    const uint64_t left = src->catalogue.n_items - src->at;
    if (records > left)
        return rq_fail(err, RQ_INVALID_ARG,
                       "%llu images are to be skipped, but the source has only %llu more",
                       (unsigned long long)records, (unsigned long long)left);
    src->at += records;
    return RQ_OK;
}

rq_status rq_source_rewind(rq_source *src, rq_err *err)
{
    rq_tar_close(&src->tar);
    src->at = 0;
    return RQ_OK;
}
