// SPDX-License-Identifier: Apache-2.0
// Frames found again. With an intact index the frames' places are known and each is checked by
// its hash. Without, the file is walked from its beginning: a frame that zstd can walk, whose
// content checksum is right and whose members are those of a sample is taken; anything else is
// damage, and the walk goes on at the next frame magic behind it. The members say everything
// that an index entry holds.
#include "pack/salvage.h"

#include "common/bytes.h"
#include "common/file.h"
#include "pack/frame.h"
#include "pack/key.h"
#include "pack/meta.h"
#include "pack/shard.h"
#include "pack/shard_writer.h"
#include "pack/ustar.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

enum { CHUNK_BYTES = 4 << 20, SECTOR_BYTES = 4096, BLOCK_HEADER_BYTES = 3 };
// In an entry's `shard`, which means nothing here: its id is still to be found.
enum { NO_ID = 1 };

// A file that is all frame headers makes the walk try again and again: work beyond this many
// times its length, and a bit, is not spent.
enum { EFFORT = 64 };
static const uint64_t EFFORT_BASE = UINT64_C(1) << 30;

typedef struct walk {
    const rq_salvage_opts *opts;
    rq_salvage *out;
    const char *name;
    rq_shard shard; // fd, bytes; index when it could be read
    rq_buf window;  // the file's bytes from `start` on
    uint64_t start;
    uint64_t effort;
    size_t cap; // of out->entries
    rq_frame_coder coder;
    ZSTD_DCtx *dctx;
    rq_buf content;
    uint64_t gap; // where the damage at hand begins
    bool in_gap;
    uint64_t gaps;
    bool end_seen;
} walk;

static void tell(const walk *w, const char *sentence)
{
    if (w->opts->damage)
        w->opts->damage(w->opts->cookie, sentence);
}

/* ---- bytes ------------------------------------------------------------------------------- */

// Sectors that the disk cannot give any more become zeros: the frame over them fails its hash.
static rq_status read_around(int fd, uint8_t *dst, size_t bytes, uint64_t offset, rq_err *err)
{
    for (size_t done = 0; done < bytes;) {
        const size_t left = bytes - done, n = left < SECTOR_BYTES ? left : SECTOR_BYTES;
        rq_err inner = {0};
        if (rq_pread_full(fd, dst + done, n, offset + done, "it", &inner) != RQ_OK) {
            if (inner.sys_errno != EIO)
                return rq_fail(err, inner.status, "%s", inner.text);
            memset(dst + done, 0, n);
        }
        done += n;
    }
    return RQ_OK;
}

// The file's `bytes` at `offset`, valid until the next call. The caller stays inside the file.
static rq_status need(walk *w, uint64_t offset, size_t bytes, const uint8_t **p, rq_err *err)
{
    if (offset < w->start || offset + bytes > w->start + w->window.size) {
        const uint64_t left = w->shard.bytes - offset;
        size_t n = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
        n = left < n ? (size_t)left : n;
        w->window.size = 0;
        RQ_TRY(rq_buf_reserve(&w->window, n, err));
        rq_err inner = {0};
        rq_status st = rq_pread_full(w->shard.fd, w->window.data, n, offset, w->name, &inner);
        if (st == RQ_IO && inner.sys_errno == EIO)
            st = read_around(w->shard.fd, w->window.data, n, offset, err);
        else if (st != RQ_OK)
            rq_fail(err, st, "%s", inner.text);
        RQ_TRY(st);
        w->window.size = n;
        w->start = offset;
        w->effort += n; // false frames can make the walk read back and forth
    }
    *p = w->window.data + (offset - w->start);
    return RQ_OK;
}

static rq_status spend(walk *w, uint64_t bytes, rq_err *err)
{
    w->effort += bytes;
    if (w->opts->cancel && *w->opts->cancel)
        return rq_fail(err, RQ_CANCELLED, "interrupted; '%s' is as it was", w->shard.path);
    if (w->effort / EFFORT > w->shard.bytes + EFFORT_BASE / EFFORT)
        return rq_fail(err, RQ_LIMIT,
                       "'%s' is made of false beginnings of frames and cannot be repaired",
                       w->shard.path);
    return RQ_OK;
}

/* ---- one frame --------------------------------------------------------------------------- */

// Bytes of a frame's header (RFC 8878, 3.1.1.1) from its first 5; 0 when it is none of ours: no
// content checksum, a dictionary, reserved bits, no content size.
static size_t header_bytes(const uint8_t *p)
{
    static const uint8_t size_bytes[4] = {0, 2, 4, 8};
    const uint8_t descriptor = p[4];
    const bool single_segment = (descriptor & 0x20) != 0;
    const size_t size =
        descriptor >> 6 == 0 && single_segment ? 1 : size_bytes[descriptor >> 6];
    if (rq_get_le32(p) != ZSTD_MAGICNUMBER || (descriptor & 11) != 0 || (descriptor & 4) == 0 ||
        size == 0)
        return 0;
    return (single_segment ? 5 : 6) + size;
}

// Length of the zstd frame at `at`, by its block headers (RFC 8878, 3.1.1.2); 0 when there is
// no whole one.
static rq_status measure(walk *w, uint64_t at, size_t *bytes, rq_err *err)
{
    const uint8_t *p;
    const uint64_t left = w->shard.bytes - at;
    *bytes = 0;
    if (left < 5)
        return RQ_OK;
    RQ_TRY(need(w, at, 5, &p, err));
    uint64_t size = header_bytes(p);
    if (size == 0)
        return RQ_OK;
    for (bool last = false; !last;) {
        if (size + BLOCK_HEADER_BYTES > left || size > RQ_MAX_STORED_BYTES)
            return RQ_OK;
        RQ_TRY(need(w, at + size, BLOCK_HEADER_BYTES, &p, err));
        const uint32_t block = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;
        const unsigned type = block >> 1 & 3;
        if (type == 3)
            return RQ_OK;
        last = block & 1;
        size += BLOCK_HEADER_BYTES + (type == 1 ? 1 : block >> 3);
        RQ_TRY(spend(w, BLOCK_HEADER_BYTES, err));
    }
    size += 4; // checksum
    *bytes = size <= left && size <= RQ_MAX_STORED_BYTES ? (size_t)size : 0;
    return RQ_OK;
}

// The encoding whose member has this extension.
static bool encoding_of(const char *ext, uint8_t *encoding)
{
    static const struct {
        const char *ext;
        rq_encoding encoding;
    } known[] = {{"jpg", RQ_ENCODING_JPEG},  {"rqd", RQ_ENCODING_DCT},
                 {"avif", RQ_ENCODING_AVIF}, {"ppm", RQ_ENCODING_PPM},
                 {"pgm", RQ_ENCODING_PPM},   {"rqp", RQ_ENCODING_RAW}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(ext, known[i].ext) == 0) {
            *encoding = (uint8_t)known[i].encoding;
            return true;
        }
    return false;
}

// The id that "KEY+ID" ends with.
static bool id_of_key(const char *name, uint64_t *id)
{
    const char *plus = strchr(name, '+');
    char *end;
    if (!plus || plus[1] < '0' || plus[1] > '9')
        return false;
    *id = strtoull(plus + 1, &end, 10);
    return *end == '.';
}

// What KEY.json says about the sample.
static bool take_meta(rq_index_entry *e, const char *text, size_t bytes, const char *name,
                      bool *has_id)
{
    rq_meta m;
    if (rq_meta_parse(&m, text, bytes, NULL) != RQ_OK)
        return false;
    e->width = (uint32_t)m.width;
    e->height = (uint32_t)m.height;
    e->flags |= (uint8_t)((m.orientation - 1) << RQ_ENTRY_ORIENTATION_SHIFT);
    *has_id = m.has_id;
    e->id = m.id;
    if (!*has_id)
        *has_id = id_of_key(name, &e->id);
    rq_meta_free(&m);
    return true;
}

// The entry that the content's members ask for. Whether the content is sound in everything else
// is checked against that entry afterwards.
static bool derive(const rq_buf *raw, rq_index_entry *e, bool *has_id)
{
    char name[RQ_USTAR_NAME_BYTES];
    bool json = false;
    e->label = -1;
    for (size_t at = 0; at + RQ_USTAR_BLOCK <= raw->size;) {
        uint64_t size;
        const size_t data = at + RQ_USTAR_BLOCK;
        if (rq_ustar_parse(raw->data + at, name, &size, NULL) != RQ_OK ||
            size > raw->size - data)
            return false;
        const char *ext = strchr(name, '.');
        ext = ext ? ext + 1 : "";
        const char *text = (const char *)raw->data + data;
        if (at == 0) {
            if (!encoding_of(ext, &e->encoding))
                return false;
            e->image_offset = RQ_USTAR_BLOCK;
            e->image_bytes = (uint32_t)size;
        } else if (strcmp(ext, "mask.pgm") == 0) {
            e->flags |= RQ_ENTRY_HAS_MASK;
            e->mask_offset = (uint32_t)data;
            e->mask_bytes = (uint32_t)size;
        } else if (strcmp(ext, "cls") == 0 && size > 0 && size < 8)
            e->label = (int32_t)strtol(text, NULL, 10);
        else if (strcmp(ext, "json") == 0)
            json = take_meta(e, text, (size_t)size, name, has_id);
        at = data + rq_round_up((size_t)size, RQ_USTAR_BLOCK);
    }
    return json;
}

static rq_status add_entry(walk *w, const rq_index_entry *e, rq_err *err)
{
    RQ_TRY(rq_grow((void **)&w->out->entries, &w->cap, w->out->n + 1, sizeof *w->out->entries,
                   err));
    w->out->entries[w->out->n++] = *e;
    return RQ_OK;
}

// Whether the frame is a sample; its entry then.
static rq_status read_sample(walk *w, const uint8_t *frame, size_t bytes, rq_index_entry *e,
                             bool *sound, bool *has_id, rq_err *err)
{
    rq_members m;
    rq_err inner = {0};
    const unsigned long long size = ZSTD_getFrameContentSize(frame, bytes);
    *sound = false;
    if (size > RQ_MAX_RAW_BYTES) // or not known
        return RQ_OK;
    RQ_TRY(spend(w, bytes + size, err));
    w->content.size = 0;
    RQ_TRY(rq_buf_reserve(&w->content, (size_t)size + 1, err));
    if (ZSTD_decompressDCtx(w->dctx, w->content.data, (size_t)size, frame, bytes) != size)
        return RQ_OK;
    w->content.size = (size_t)size;
    w->content.data[size] = 0; // labels are read as text
    if (!derive(&w->content, e, has_id))
        return RQ_OK;
    e->stored_bytes = (uint32_t)bytes;
    e->raw_bytes = (uint32_t)size;
    e->hash = rq_xxh3(frame, bytes);
    const rq_status st = rq_index_entry_sound(e)
                             ? rq_frame_decode(&w->coder, frame, e, &m, &inner)
                             : RQ_BAD_FORMAT;
    if (st == RQ_OOM)
        return rq_fail(err, st, "%s", inner.text);
    *sound = st == RQ_OK;
    return RQ_OK;
}

/* ---- the walk ---------------------------------------------------------------------------- */

static void begin_gap(walk *w, uint64_t at)
{
    if (!w->in_gap)
        w->gap = at;
    w->in_gap = true;
}

static void end_gap(walk *w, uint64_t at)
{
    char sentence[RQ_ERR_TEXT_BYTES];
    if (!w->in_gap)
        return;
    w->in_gap = false;
    w->gaps++;
    snprintf(sentence, sizeof sentence,
             "shard '%s': bytes %" PRIu64 " to %" PRIu64 " hold no sample that can be read",
             w->shard.path, w->gap, at - 1);
    tell(w, sentence);
}

static void tell_cut(walk *w)
{
    char sentence[RQ_ERR_TEXT_BYTES];
    w->gaps++;
    snprintf(sentence, sizeof sentence,
             "shard '%s': it ends at byte %" PRIu64 " without an end frame: it was cut off",
             w->shard.path, w->shard.bytes);
    tell(w, sentence);
}

static rq_status try_frame(walk *w, uint64_t at, size_t *taken, rq_err *err)
{
    const uint8_t *frame;
    size_t bytes;
    bool sound, has_id = false;
    *taken = 0;
    RQ_TRY(measure(w, at, &bytes, err));
    if (bytes == 0)
        return RQ_OK;
    RQ_TRY(need(w, at, bytes, &frame, err));
    if (bytes <= RQ_MAX_END_BYTES &&
        rq_frame_decode_end(&w->coder, frame, bytes, NULL) == RQ_OK) {
        w->end_seen = true;
        *taken = bytes;
        return RQ_OK;
    }
    rq_index_entry e = {.offset = at};
    RQ_TRY(read_sample(w, frame, bytes, &e, &sound, &has_id, err));
    if (!sound)
        return RQ_OK;
    e.shard = has_id ? 0 : NO_ID;
    w->out->guessed += !has_id;
    *taken = bytes;
    return add_entry(w, &e, err);
}

// Length of our index or the seek table at `at`; 0 when there is neither.
static rq_status measure_tail(walk *w, uint64_t at, uint64_t *bytes, rq_err *err)
{
    const uint8_t *p;
    *bytes = 0;
    if (w->shard.bytes - at < 12)
        return RQ_OK;
    RQ_TRY(need(w, at, 12, &p, err));
    const uint64_t size = 8 + (uint64_t)rq_get_le32(p + 4);
    const bool index =
        rq_get_le32(p) == RQ_MAGIC_INDEX_FRAME && memcmp(p + 8, RQ_MAGIC_INDEX, 4) == 0;
    const bool table = rq_get_le32(p) == RQ_MAGIC_TABLE_FRAME;
    // Only at their place, the end of the file: elsewhere a size cannot be believed.
    if (w->end_seen && size <= w->shard.bytes - at &&
        ((table && size == w->shard.bytes - at) || (index && size < w->shard.bytes - at)))
        *bytes = size;
    return RQ_OK;
}

// The next frame magic at or behind `at`, or the end of the file.
static rq_status next_magic(walk *w, uint64_t at, uint64_t *found, rq_err *err)
{
    static const uint8_t magic[4] = {0x28, 0xB5, 0x2F, 0xFD};
    while (at + sizeof magic <= w->shard.bytes) {
        const uint8_t *p;
        const uint64_t left = w->shard.bytes - at;
        const size_t n = left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;
        RQ_TRY(need(w, at, sizeof magic, &p, err));
        const size_t have = (size_t)(w->start + w->window.size - at);
        const uint8_t *hit = memmem(p, have < n ? have : n, magic, sizeof magic);
        if (hit) {
            *found = at + (uint64_t)(hit - p);
            return RQ_OK;
        }
        at += (have < n ? have : n) - (sizeof magic - 1);
    }
    *found = w->shard.bytes;
    return RQ_OK;
}

static rq_status walk_frames(walk *w, rq_err *err)
{
    for (uint64_t at = 0; at < w->shard.bytes;) {
        size_t taken = 0;
        uint64_t tail;
        RQ_TRY(spend(w, 0, err));
        RQ_TRY(measure_tail(w, at, &tail, err));
        if (tail == 0)
            RQ_TRY(try_frame(w, at, &taken, err));
        if (tail + taken > 0) {
            end_gap(w, at);
            at += tail + taken;
        } else {
            // Behind the end frame only index and table are left, however damaged.
            if (!w->end_seen)
                begin_gap(w, at);
            RQ_TRY(next_magic(w, at + 1, &at, err));
        }
        if (w->opts->progress)
            w->opts->progress(w->opts->cookie, at, w->shard.bytes);
    }
    // Cut off between two frames: nothing is unreadable, and yet samples may have followed.
    if (!w->end_seen && !w->in_gap)
        tell_cut(w);
    end_gap(w, w->shard.bytes);
    return RQ_OK;
}

// Samples that the seek table counts, when the file still ends with one.
static uint64_t table_count(walk *w)
{
    const uint8_t *p;
    size_t n = 0;
    if (w->shard.bytes < RQ_TABLE_FOOTER_BYTES ||
        need(w, w->shard.bytes - RQ_TABLE_FOOTER_BYTES, RQ_TABLE_FOOTER_BYTES, &p, NULL) !=
            RQ_OK ||
        rq_index_count(p, w->shard.bytes, &n, NULL) != RQ_OK)
        return 0;
    return n;
}

/* ---- sample ids -------------------------------------------------------------------------- */

typedef struct known_id {
    uint64_t id;
    size_t place; // in the entries
} known_id;

static int by_id(const void *a, const void *b)
{
    const known_id *x = a, *y = b;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

// Entries without an id get the free ones from 0 on, in order.
static void number_rest(rq_salvage *s, const known_id *known, size_t n)
{
    uint64_t next = 0;
    size_t k = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (s->entries[i].shard != NO_ID)
            continue;
        for (; k < n && known[k].id <= next; k++)
            next += known[k].id == next;
        s->entries[i].id = next++;
        s->entries[i].shard = 0;
    }
}

// Makes every id unique, since a dataset has each once: of two frames with one id the first
// stays. *dropped counts the others.
static rq_status settle_ids(walk *w, uint64_t *dropped, rq_err *err)
{
    rq_salvage *s = w->out;
    size_t n = 0, kept = 0;
    known_id *known = rq_alloc(s->n, sizeof *known);
    if (!known)
        return rq_fail(err, RQ_OOM, "out of memory for the ids of %zu samples", s->n);
    for (size_t i = 0; i < s->n; i++)
        if (s->entries[i].shard != NO_ID)
            known[n++] = (known_id){s->entries[i].id, i};
    if (n > 1)
        qsort(known, n, sizeof *known, by_id);
    number_rest(s, known, n);
    *dropped = 0;
    for (size_t k = 1; k < n; k++) {
        rq_index_entry *e = &s->entries[known[k].place];
        char sentence[RQ_ERR_TEXT_BYTES];
        if (known[k].id != known[k - 1].id)
            continue;
        snprintf(sentence, sizeof sentence,
                 "shard '%s': bytes %" PRIu64 " to %" PRIu64 " hold sample %" PRIu64
                 " a second time",
                 w->shard.path, e->offset, e->offset + e->stored_bytes - 1, e->id);
        tell(w, sentence);
        e->stored_bytes = 0; // no frame is empty
        ++*dropped;
    }
    for (size_t i = 0; i < s->n; i++)
        if (s->entries[i].stored_bytes > 0)
            s->entries[kept++] = s->entries[i];
    s->n = kept;
    rq_free(known);
    return RQ_OK;
}

/* ---- by the index ------------------------------------------------------------------------ */

static rq_status check_indexed(walk *w, const rq_index_entry *e, rq_err *err)
{
    const uint8_t *frame;
    rq_members m;
    rq_err inner = {0}, full = {0};
    char key[RQ_MAX_KEY_BYTES + 1];
    RQ_TRY(spend(w, 0, err));
    RQ_TRY(need(w, e->offset, e->stored_bytes, &frame, err));
    const rq_status st = rq_frame_decode(&w->coder, frame, e, &m, &inner);
    if (st == RQ_OOM)
        return rq_fail(err, st, "%s", inner.text);
    if (st == RQ_OK)
        return add_entry(w, e, err);
    rq_frame_guess_key(&w->coder, frame, e->stored_bytes, key);
    rq_shard_blame(&w->shard, e, key, &inner, &full);
    tell(w, full.text);
    w->out->lost++;
    return RQ_OK;
}

static rq_status check_end(walk *w, bool *sound, rq_err *err)
{
    const rq_index_tail *t = &w->shard.tail;
    const uint8_t *frame;
    RQ_TRY(need(w, t->end_offset, t->end_bytes, &frame, err));
    *sound = rq_xxh3(frame, t->end_bytes) == t->end_hash &&
             rq_frame_decode_end(&w->coder, frame, t->end_bytes, NULL) == RQ_OK;
    return RQ_OK;
}

static rq_status use_index(walk *w, const rq_index_entry *entries, rq_err *err)
{
    bool end_sound = false;
    uint64_t dropped;
    for (size_t i = 0; i < w->shard.count; i++) {
        RQ_TRY(check_indexed(w, &entries[i], err));
        if (w->opts->progress)
            w->opts->progress(w->opts->cookie, entries[i].offset, w->shard.bytes);
    }
    RQ_TRY(check_end(w, &end_sound, err));
    RQ_TRY(settle_ids(w, &dropped, err));
    w->out->lost += dropped;
    w->out->lost_known = true;
    w->out->intact = end_sound && w->out->lost == 0;
    w->out->index_hash = w->shard.tail.hash;
    return RQ_OK;
}

/* ---- the whole --------------------------------------------------------------------------- */

static rq_status use_frames(walk *w, uint64_t expected, rq_err *err)
{
    uint64_t dropped;
    if (expected == 0)
        expected = table_count(w);
    RQ_TRY(walk_frames(w, err));
    RQ_TRY(settle_ids(w, &dropped, err));
    w->out->lost_known = expected >= w->out->n && expected > 0;
    w->out->lost = w->out->lost_known ? expected - w->out->n : w->gaps;
    return RQ_OK;
}

// The index when it is sound; *entries NULL when it is not.
static rq_status load_index(walk *w, const char *path, rq_index_entry **entries, rq_err *err)
{
    rq_err inner = {0};
    *entries = NULL;
    rq_status st = rq_shard_open(&w->shard, path, &inner);
    if (st == RQ_OK) {
        *entries = rq_alloc(w->shard.count, sizeof **entries);
        st = *entries ? rq_shard_load(&w->shard, *entries, &inner) : RQ_OOM;
    }
    if (st != RQ_OK) {
        rq_free(*entries);
        *entries = NULL;
    }
    if (st == RQ_OK)
        return RQ_OK;
    if (st == RQ_OOM || st == RQ_NOT_FOUND || st == RQ_UNSUPPORTED)
        return rq_fail(err, st, "%s", inner.text[0] ? inner.text : "out of memory");
    tell(w, inner.text);
    return w->shard.path ? RQ_OK : rq_shard_open_raw(&w->shard, path, err);
}

rq_status rq_salvage_scan(rq_salvage *s, const char *path, uint64_t expected,
                          const rq_salvage_opts *opts, rq_err *err)
{
    *s = (rq_salvage){0};
    walk w = {.opts = opts, .out = s, .name = path, .shard = {.fd = -1}};
    rq_index_entry *entries = NULL;
    rq_status st = load_index(&w, path, &entries, err);
    if (st == RQ_OK && !(w.dctx = ZSTD_createDCtx()))
        st = rq_fail(err, RQ_OOM, "out of memory for a zstd context");
    s->bytes = w.shard.bytes;
    if (st == RQ_OK)
        st = entries ? use_index(&w, entries, err) : use_frames(&w, expected, err);
    if (st == RQ_OK && opts->progress)
        opts->progress(opts->cookie, s->bytes, s->bytes);
    rq_free(entries);
    ZSTD_freeDCtx(w.dctx);
    rq_frame_coder_fini(&w.coder);
    rq_buf_free(&w.window);
    rq_buf_free(&w.content);
    rq_shard_close(&w.shard);
    if (st != RQ_OK)
        rq_salvage_free(s);
    return st;
}

static rq_status copy_frames(const rq_salvage *s, const rq_shard *from, rq_shard_writer *w,
                             const rq_salvage_opts *opts, rq_err *err)
{
    rq_buf frame = {0};
    rq_status st = RQ_OK;
    for (size_t i = 0; i < s->n && st == RQ_OK; i++) {
        const rq_index_entry *e = &s->entries[i];
        frame.size = 0;
        st = rq_buf_reserve(&frame, e->stored_bytes, err);
        if (st == RQ_OK)
            st = rq_pread_full(from->fd, frame.data, e->stored_bytes, e->offset, from->name,
                               err);
        if (st == RQ_OK && opts->cancel && *opts->cancel)
            st = rq_fail(err, RQ_CANCELLED, "interrupted; '%s' is as it was", from->path);
        if (st == RQ_OK && rq_xxh3(frame.data, e->stored_bytes) != e->hash)
            st = rq_fail(err, RQ_BAD_CHECKSUM,
                         "'%s' changed while it was repaired; run the same command again",
                         from->path);
        if (st == RQ_OK)
            st = rq_shard_writer_append(w, e, frame.data, err);
    }
    rq_buf_free(&frame);
    return st;
}

rq_status rq_salvage_write(const rq_salvage *s, const char *path, const char *out,
                           const rq_salvage_opts *opts, rq_manifest_shard *info, rq_err *err)
{
    rq_shard from;
    rq_shard_writer *w = NULL;
    RQ_TRY(rq_shard_open_raw(&from, path, err));
    rq_status st = rq_shard_writer_create(&w, out, err);
    if (st == RQ_OK)
        st = copy_frames(s, &from, w, opts, err);
    if (st == RQ_OK)
        st = rq_shard_writer_finish(&w, info, err);
    rq_shard_writer_abort(&w);
    rq_shard_close(&from);
    return st;
}

void rq_salvage_free(rq_salvage *s)
{
    rq_free(s->entries);
    *s = (rq_salvage){0};
}
