// SPDX-License-Identifier: Apache-2.0
// Grouping of planes. zstd has one Huffman table for the literals of a block, so mixed
// statistics in a block cost bits and tables cost bytes and decoding time. Within a width the
// statistics of a plane hang on little more than its mean magnitude: planes are sorted by it
// and neighbours are merged, best pair first, as long as that is cheaper than another table.
#include "pack/dct_groups.h"

#include <stdlib.h>
#include <string.h>

enum {
    ONE_BIT = 1 << 16,
    GROUPS_PER_WIDTH = RQ_DCT_MAX_GROUPS / RQ_DCT_WIDTHS,
    BUCKETS = 48,      /* merging starts from this many clusters of a width */
    BLOCK_BYTES = 11,  /* of a zstd block without its table */
    TABLE_EIGHTHS = 3, /* bytes of a Huffman table: eighths for each symbol */
    /* What the time to build another table while decoding is thought to be worth, in bytes:
     * between groups, and between parts at the end, where it is all about small ones. */
    GROUP_BYTES = 300,
    PART_BYTES = 120
};

void rq_dct_cost_init(rq_dct_cost *c)
{
    c->log2[0] = 0;
    for (uint32_t n = 1; n < 4096; n++) {
        const int whole = 31 - __builtin_clz(n);
        uint64_t x = (uint64_t)n << (31 - whole); /* 1.31, in [1, 2) */
        uint32_t log = (uint32_t)whole;
        for (int bit = 0; bit < 16; bit++) {
            x = x * x >> 31;
            log = log << 1 | (x >> 32 != 0);
            x >>= x >> 32;
        }
        c->log2[n] = log;
    }
}

static uint64_t log2_of(const rq_dct_cost *c, uint64_t n)
{
    if (n < 4096)
        return c->log2[n];
    const int shift = 52 - __builtin_clzll(n); /* leaves 12 bits */
    return c->log2[n >> shift] + (uint64_t)shift * ONE_BIT;
}

uint64_t rq_dct_cost_bits(const rq_dct_cost *c, const uint32_t hist[256])
{
    uint64_t n = 0, sum = 0;
    for (int i = 0; i < 256; i++) {
        n += hist[i];
        sum += hist[i] * log2_of(c, hist[i]);
    }
    const uint64_t entropy = n * log2_of(c, n) - sum, least = n * ONE_BIT;
    return entropy > least ? entropy : least;
}

/* Of a block of its own: the cheaper of coded and raw. */
static uint64_t block_bits(const rq_dct_cost *c, const uint32_t hist[256])
{
    uint64_t symbols = 0, n = 0;
    for (int i = 0; i < 256; i++) {
        symbols += hist[i] != 0;
        n += hist[i];
    }
    const uint64_t raw = (n + 3) * 8 * ONE_BIT;
    const uint64_t table = (BLOCK_BYTES * 8 + symbols * TABLE_EIGHTHS) * ONE_BIT;
    const uint64_t coded = symbols <= 1 ? 5 * 8 * ONE_BIT : rq_dct_cost_bits(c, hist) + table;
    return coded < raw ? coded : raw;
}

/* ---- groups ------------------------------------------------------------------------------ */

/* Neighbouring planes that are one for now. */
typedef struct cluster {
    uint32_t hist[256];
    uint64_t bits;
    size_t planes;
} cluster;

static void add_hist(uint32_t to[256], const uint32_t from[256])
{
    for (int i = 0; i < 256; i++)
        to[i] += from[i];
}

/* Bits saved by making a and b one, a table's decoding time included. */
static int64_t gain(const rq_dct_cost *c, const cluster *a, const cluster *b)
{
    uint32_t both[256];
    memcpy(both, a->hist, sizeof both);
    add_hist(both, b->hist);
    return (int64_t)(a->bits + b->bits) - (int64_t)block_bits(c, both) +
           (int64_t)GROUP_BYTES * 8 * ONE_BIT;
}

static void merge(const rq_dct_cost *c, cluster *list, int64_t *gains, size_t *n, size_t at)
{
    add_hist(list[at].hist, list[at + 1].hist);
    list[at].planes += list[at + 1].planes;
    list[at].bits = block_bits(c, list[at].hist);
    --*n;
    memmove(list + at + 1, list + at + 2, (*n - at - 1) * sizeof *list);
    memmove(gains + at + 1, gains + at + 2, (*n - at - 1) * sizeof *gains);
    if (at + 1 < *n)
        gains[at] = gain(c, &list[at], &list[at + 1]);
    if (at > 0)
        gains[at - 1] = gain(c, &list[at - 1], &list[at]);
}

/* Merges the best pair until none pays and there are no more than `most`. */
static size_t merge_all(const rq_dct_cost *c, cluster *list, size_t n, size_t most)
{
    int64_t gains[BUCKETS];
    for (size_t i = 0; i + 1 < n; i++)
        gains[i] = gain(c, &list[i], &list[i + 1]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (gains[i] > gains[best])
                best = i;
        if (gains[best] <= 0 && n <= most)
            break;
        merge(c, list, gains, &n, best);
    }
    return n;
}

/* By mean; planes stand in one array, so their addresses settle what is equal. */
static int compare_mean(const void *a, const void *b)
{
    const rq_dct_coded *x = *(rq_dct_coded *const *)a, *y = *(rq_dct_coded *const *)b;
    if (x->mean != y->mean)
        return x->mean < y->mean ? -1 : 1;
    return x < y ? -1 : x > y;
}

/* Sorted planes into at most BUCKETS clusters of about equal bytes. */
static size_t first_clusters(const rq_dct_cost *c, rq_dct_coded **order, size_t n,
                             cluster list[BUCKETS])
{
    size_t total = 0, done = 0, used = 0;
    for (size_t i = 0; i < n; i++)
        total += order[i]->bytes;
    for (size_t i = 0; i < n; i++) {
        /* `done` so far decides: the k-th bucket begins at k / BUCKETS of the bytes. */
        if (used == 0 || done * BUCKETS >= total * used) {
            memset(&list[used], 0, sizeof list[used]);
            used++;
        }
        add_hist(list[used - 1].hist, order[i]->hist);
        list[used - 1].planes++;
        done += order[i]->bytes;
    }
    for (size_t i = 0; i < used; i++)
        list[i].bits = block_bits(c, list[i].hist);
    return used;
}

int rq_dct_group(const rq_dct_cost *c, rq_dct_coded *planes, size_t n, rq_dct_coded **order,
                 uint8_t widths[RQ_DCT_MAX_GROUPS])
{
    int groups = 0;
    cluster list[BUCKETS];
    for (int w = 0; w < RQ_DCT_WIDTHS; w++) {
        size_t m = 0;
        for (size_t i = 0; i < n; i++)
            if (planes[i].width == w)
                order[m++] = &planes[i];
        if (m == 0)
            continue;
        qsort(order, m, sizeof *order, compare_mean);
        const size_t clusters =
            merge_all(c, list, first_clusters(c, order, m, list), GROUPS_PER_WIDTH);
        size_t at = 0;
        for (size_t i = 0; i < clusters; i++) {
            widths[groups] = (uint8_t)w;
            for (size_t k = 0; k < list[i].planes; k++)
                order[at++]->group = groups;
            groups++;
        }
    }
    return groups;
}

/* ---- blocks ------------------------------------------------------------------------------ */

typedef struct part {
    uint32_t hist[256];
    uint64_t bits;
    uint32_t end;
} part;

size_t rq_dct_join(const rq_dct_cost *c, const uint8_t *data, uint32_t *ends, size_t n)
{
    part list[2]; /* the block being built and the part behind it */
    size_t kept = 0;
    uint32_t at = 0;
    for (size_t i = 0; i < n; i++) {
        part *next = &list[kept == 0 ? 0 : 1];
        memset(next, 0, sizeof *next);
        for (; at < ends[i]; at++)
            next->hist[data[at]]++;
        next->bits = block_bits(c, next->hist);
        next->end = ends[i];
        if (kept == 0) {
            kept = 1;
            continue;
        }
        part both = list[0];
        add_hist(both.hist, next->hist);
        both.bits = block_bits(c, both.hist);
        both.end = next->end;
        if (both.bits <= list[0].bits + next->bits + (uint64_t)PART_BYTES * 8 * ONE_BIT) {
            list[0] = both;
        } else {
            ends[kept++ - 1] = list[0].end;
            list[0] = *next;
        }
    }
    if (kept > 0)
        ends[kept - 1] = list[0].end;
    return kept;
}
