// SPDX-License-Identifier: Apache-2.0
// A set of content hashes: open addressing with linear probing, grown at a load of three
// quarters. The hash is its own slot number. A slot holds the number of its item plus one, so
// that zeroed memory is an empty table.
#include "ingest/dedup.h"

#include "common/mem.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

enum { FIRST_SLOTS = 1024 };

typedef struct slot {
    rq_content_id content;
    uint64_t number_plus_one; /* 0: empty */
} slot;

struct rq_dedup {
    slot *slots;
    size_t n_slots; /* a power of two */
    size_t used;
};

rq_content_id rq_content_id_of(const void *data, size_t bytes)
{
    const XXH128_hash_t h = XXH3_128bits(data, bytes);
    return (rq_content_id){h.high64, h.low64};
}

void rq_content_id_hex(char hex[RQ_CONTENT_HEX_BYTES], rq_content_id id)
{
    snprintf(hex, RQ_CONTENT_HEX_BYTES, "%016llx%016llx", (unsigned long long)id.high,
             (unsigned long long)id.low);
}

bool rq_content_id_parse(rq_content_id *id, const char *text)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t word[2] = {0, 0};
    for (int i = 0; i < RQ_CONTENT_HEX_BYTES - 1; i++) {
        const char *digit = text[i] != '\0' ? strchr(digits, text[i]) : NULL;
        if (digit == NULL)
            return false;
        word[i / 16] = word[i / 16] << 4 | (uint64_t)(digit - digits);
    }
    *id = (rq_content_id){word[0], word[1]};
    return text[RQ_CONTENT_HEX_BYTES - 1] == '\0';
}

/* The slot of this content, or the empty one where it belongs. */
static slot *find(slot *slots, size_t n_slots, rq_content_id content)
{
    size_t at = (size_t)content.low & (n_slots - 1);
    while (slots[at].number_plus_one != 0 &&
           (slots[at].content.low != content.low || slots[at].content.high != content.high))
        at = (at + 1) & (n_slots - 1);
    return &slots[at];
}

rq_status rq_dedup_create(rq_dedup **out, rq_err *err)
{
    *out = NULL;
    rq_dedup *d = rq_calloc(1, sizeof *d);
    if (d == NULL)
        return rq_fail(err, RQ_OOM, "out of memory for the table of duplicates");
    d->n_slots = FIRST_SLOTS;
    d->slots = rq_calloc(d->n_slots, sizeof *d->slots);
    if (d->slots == NULL) {
        rq_dedup_destroy(&d);
        return rq_fail(err, RQ_OOM, "out of memory for the table of duplicates");
    }
    *out = d;
    return RQ_OK;
}

void rq_dedup_destroy(rq_dedup **d)
{
    if (*d == NULL)
        return;
    rq_free((*d)->slots);
    rq_free(*d);
    *d = NULL;
}

static rq_status grow(rq_dedup *d, rq_err *err)
{
    const size_t n = d->n_slots * 2;
    slot *slots = rq_calloc(n, sizeof *slots);
    if (slots == NULL)
        return rq_fail(err, RQ_OOM, "out of memory for the hashes of %zu images", d->used);
    for (size_t i = 0; i < d->n_slots; i++)
        if (d->slots[i].number_plus_one != 0)
            *find(slots, n, d->slots[i].content) = d->slots[i];
    rq_free(d->slots);
    d->slots = slots;
    d->n_slots = n;
    return RQ_OK;
}

rq_status rq_dedup_add(rq_dedup *d, rq_content_id content, uint64_t number, uint64_t *first,
                       rq_err *err)
{
    if (d->used + 1 > d->n_slots / 4 * 3)
        RQ_TRY(grow(d, err));
    slot *s = find(d->slots, d->n_slots, content);
    if (s->number_plus_one == 0) {
        s->content = content;
        s->number_plus_one = number + 1;
        d->used++;
    }
    *first = s->number_plus_one - 1;
    return RQ_OK;
}
