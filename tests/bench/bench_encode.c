// SPDX-License-Identifier: Apache-2.0
//
// Encodings beside each other on given pictures: bytes a sample, CPU time to make it and to get
// its planes back from the stored frame.
//
//   bench_encode FILE...
//
// Every file goes through all encodings before the next one does, several times over, and the
// median of its times counts: load on the machine meets all encodings alike. One thread, thread
// CPU time, one table line per encoding.
#include "common/clock.h"
#include "common/cpu.h"
#include "common/file.h"
#include "ingest/avif_encode.h"
#include "pack/decode.h"
#include "pack/encode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPEATS = 5 };

typedef struct row {
    const char *name;
    rq_encode_opts opts;
    rq_encoder *encoder;
    uint64_t stored, encode_ns, decode_ns;
} row;

static row rows[] = {
    {.name = "jpeg", .opts = {.encoding = RQ_ENCODING_JPEG}},
    {.name = "dct", .opts = {.encoding = RQ_ENCODING_DCT}},
    {.name = "ppm", .opts = {.encoding = RQ_ENCODING_PPM}},
    {.name = "raw", .opts = {.encoding = RQ_ENCODING_RAW}},
    {.name = "raw --chroma 420",
     .opts = {.encoding = RQ_ENCODING_RAW, .chroma = RQ_CHROMA_420}},
    {.name = "avif", .opts = {.encoding = RQ_ENCODING_AVIF, .avif_speed = 9}},
    {.name = "jpeg --long 500 --quality 90",
     .opts = {.encoding = RQ_ENCODING_JPEG, .long_side = 500, .quality = 90}},
    {.name = "dct --long 500 --quality 90",
     .opts = {.encoding = RQ_ENCODING_DCT, .long_side = 500, .quality = 90}},
    {.name = "dct --short 256 --quality 90",
     .opts = {.encoding = RQ_ENCODING_DCT, .short_side = 256, .quality = 90}},
    {.name = "raw --short 256 --chroma 420",
     .opts = {.encoding = RQ_ENCODING_RAW, .short_side = 256, .chroma = RQ_CHROMA_420}},
    {.name = "avif --short 256",
     .opts = {.encoding = RQ_ENCODING_AVIF, .short_side = 256, .avif_speed = 9}},
};
enum { ROWS = sizeof rows / sizeof *rows };

static int ascending(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t median(uint64_t *t)
{
    qsort(t, REPEATS, sizeof *t, ascending);
    return t[REPEATS / 2];
}

typedef struct scratch {
    rq_sample_decoder *decoder;
    rq_frame_coder coder;
    rq_encoded out;
    rq_image image;
} scratch;

static rq_status unpack(scratch *s, rq_err *err)
{
    rq_members m;
    RQ_TRY(rq_frame_decode(&s->coder, s->out.frame.data, &s->out.entry, &m, err));
    const rq_stored_image stored = rq_stored_image_of(&s->out.entry, m.image, m.image_bytes);
    return rq_sample_decode(s->decoder, &stored, &s->image, err);
}

static rq_status measure(row *r, scratch *s, const rq_record *rec, rq_err *err)
{
    uint64_t made[REPEATS], read[REPEATS];
    const int tries = r->opts.encoding == RQ_ENCODING_AVIF ? 1 : REPEATS;
    for (int i = 0; i < REPEATS; i++) {
        const uint64_t t0 = rq_clock_thread_cpu_ns();
        if (i < tries)
            RQ_TRY(rq_encode_record(r->encoder, rec, false, &s->out, err));
        const uint64_t t1 = rq_clock_thread_cpu_ns();
        if (s->out.frame.size == 0)
            return rq_fail(err, RQ_INVALID_ARG, "%s", s->out.verdict.reason);
        RQ_TRY(unpack(s, err));
        made[i] = i < tries ? t1 - t0 : made[0];
        read[i] = rq_clock_thread_cpu_ns() - t1;
    }
    r->stored += s->out.frame.size;
    r->encode_ns += median(made);
    r->decode_ns += median(read);
    return RQ_OK;
}

static rq_status run(char **files, int n, scratch *s, rq_err *err)
{
    rq_buf file = {0};
    rq_status st = RQ_OK;
    for (int i = 0; i < n && st == RQ_OK; i++) {
        st = rq_file_read(files[i], (size_t)64 << 20, &file, err);
        const rq_record rec = {
            .entry = {.id = (uint64_t)i, .name = "x", .label = 0, .bytes = file.size},
            .data = file.data,
            .size = file.size};
        for (int k = 0; k < ROWS && st == RQ_OK; k++)
            if (rows[k].encoder)
                st = measure(&rows[k], s, &rec, err);
        if (st != RQ_OK)
            rq_err_prefix(err, "%s", files[i]);
    }
    rq_buf_free(&file);
    return st;
}

static rq_status prepare(scratch *s, rq_err *err)
{
    const rq_limits limits = rq_limits_default();
    RQ_TRY(rq_sample_decoder_create(&s->decoder, rq_cpu_detect(), &limits, err));
    for (int k = 0; k < ROWS; k++)
        if (rows[k].opts.encoding != RQ_ENCODING_AVIF || rq_avif_can_encode(NULL) == RQ_OK)
            RQ_TRY(rq_encoder_create(&rows[k].encoder, &rows[k].opts, &limits, NULL, err));
    return RQ_OK;
}

int main(int argc, char **argv)
{
    const int n = argc - 1;
    if (n == 0) {
        printf("encodings: not measured, no pictures given; bench_encode FILE... measures\n");
        return 0;
    }
    rq_err err = {0};
    scratch s = {0};
    rq_status st = prepare(&s, &err);
    if (st == RQ_OK)
        st = run(argv + 1, n, &s, &err);
    if (st == RQ_OK)
        printf("%-30s %10s %8s %9s %9s   (%d pictures, %s)\n", "encoding", "B/sample",
               "of jpeg", "make ms", "planes ms", n, rq_cpu_level_name(rq_cpu_detect()));
    for (int k = 0; k < ROWS; k++) {
        if (st == RQ_OK && rows[k].encoder)
            printf("%-30s %10.0f %8.3f %9.3f %9.4f\n", rows[k].name, (double)rows[k].stored / n,
                   (double)rows[k].stored / (double)rows[0].stored,
                   (double)rows[k].encode_ns / n * 1e-6, (double)rows[k].decode_ns / n * 1e-6);
        rq_encoder_destroy(&rows[k].encoder);
    }
    if (st != RQ_OK)
        fprintf(stderr, "bench_encode: %s\n", err.text);
    rq_sample_decoder_destroy(&s.decoder);
    rq_frame_coder_fini(&s.coder);
    rq_encoded_fini(&s.out);
    rq_image_free(&s.image);
    return st == RQ_OK ? 0 : 1;
}
