/* Verifying shards that were damaged on purpose: what was heard of it, and whether it names the
 * place. */
#ifndef RQ_TESTS_VERIFY_FIXTURE_H
#define RQ_TESTS_VERIFY_FIXTURE_H

#include "pack_fixture.h"

#include "pack/shard.h"
#include "pack/verify.h"

typedef struct heard {
    int count;
    char first[800];
} heard;

static inline void hear(void *cookie, const char *sentence)
{
    heard *h = cookie;
    if (h->count++ == 0)
        snprintf(h->first, sizeof h->first, "%s", sentence);
}

static inline rq_status verify(const char *path, bool deep, int threads, rq_verify_result *r,
                               heard *h)
{
    rq_err err = {0};
    *h = (heard){0};
    const rq_verify_opts o = {.deep = deep, .threads = threads, .damage = hear, .cookie = h};
    const rq_status st = rq_verify(path, &o, r, &err);
    if ((st == RQ_OK) != (h->count == 0) || (st != RQ_OK && err.text[0] == 0))
        fail_msg("status %s with %d sentences", rq_status_name(st), h->count);
    return st;
}

/* A shard of `bytes` or a little more, in *data; its entries. */
static inline rq_index_entry *make_shard(const char *path, size_t bytes, rq_buf *data,
                                         rq_shard *shard)
{
    rq_shard_writer *w;
    rq_manifest_shard info;
    rq_buf frame = {0};
    rq_index_entry e;
    assert_int_equal(rq_shard_writer_create(&w, path, NULL), RQ_OK);
    for (uint64_t i = 0; rq_shard_writer_bytes(w) + 72 * i + 100 < bytes; i++) {
        fixture_frame(1000 - i, &e, &frame);
        assert_int_equal(rq_shard_writer_append(w, &e, frame.data, NULL), RQ_OK);
    }
    assert_int_equal(rq_shard_writer_finish(&w, &info, NULL), RQ_OK);
    rq_buf_free(&frame);
    read_all(path, data);
    assert_in_range(data->size, bytes, bytes + 1000);
    assert_int_equal(rq_shard_open(shard, path, NULL), RQ_OK);
    rq_index_entry *entries = rq_alloc(shard->count, sizeof *entries);
    assert_int_equal(rq_shard_load(shard, entries, NULL), RQ_OK);
    return entries;
}

/* The sentence names shard and place: for a byte of a frame its sample and offset, for any */
/* other the part that it belongs to. */
static inline void check_name(const char *sentence, const rq_shard *s,
                              const rq_index_entry *entries, size_t byte)
{
    char words[100];
    size_t i = 0;
    if (!strstr(sentence, "s.tar.zst"))
        fail_msg("byte %zu: the shard is not named: %s", byte, sentence);
    while (i < s->count && byte >= entries[i].offset + entries[i].stored_bytes)
        i++;
    if (i < s->count) {
        snprintf(words, sizeof words, "sample %llu ", (unsigned long long)entries[i].id);
        if (!strstr(sentence, words))
            fail_msg("byte %zu is of %s: %s", byte, words, sentence);
        snprintf(words, sizeof words, "at byte %llu:", (unsigned long long)entries[i].offset);
    } else if (byte < s->tail.end_offset + s->tail.end_bytes)
        snprintf(words, sizeof words, "end frame at byte %llu",
                 (unsigned long long)s->tail.end_offset);
    else
        words[0] = 0; // index, seek table and footer are judged together
    if (!strstr(sentence, words))
        fail_msg("byte %zu is of the %s: %s", byte, words, sentence);
}

/* Every single bit of a shard of that size. */
static inline void flip_every_bit(const char *dir, size_t bytes)
{
    char *path = path_in(dir, "s.tar.zst");
    rq_buf data = {0};
    rq_shard shard;
    rq_verify_result r;
    heard h;
    rq_index_entry *entries = make_shard(path, bytes, &data, &shard);
    const size_t tail = (size_t)(shard.tail.end_offset + shard.tail.end_bytes);
    const int fd = open(path, O_RDWR);
    uint64_t flips = 0;
    for (size_t bit = 0; bit < data.size * 8; bit++, flips++) {
        const size_t byte = bit / 8;
        const uint8_t bad = data.data[byte] ^ (uint8_t)(1 << bit % 8);
        assert_int_equal(pwrite(fd, &bad, 1, (off_t)byte), 1);
        if (verify(path, false, 1, &r, &h) == RQ_OK)
            fail_msg("bit %zu of byte %zu was not noticed", bit % 8, byte);
        // Damage in the frames is blamed on one of them; elsewhere it is other damage.
        assert_int_equal(r.damaged_samples + r.damaged_other, 1);
        assert_int_equal(r.damaged_other, byte >= shard.tail.end_offset);
        if (byte < tail)
            assert_int_equal(r.samples, shard.count);
        check_name(h.first, &shard, entries, byte);
        assert_int_equal(pwrite(fd, &data.data[byte], 1, (off_t)byte), 1);
    }
    close(fd);
    assert_true(flips >= bytes * 8);
    assert_int_equal(verify(path, true, 1, &r, &h), RQ_OK);
    rq_free(entries);
    rq_shard_close(&shard);
    rq_buf_free(&data);
}

#endif
