// SPDX-License-Identifier: Apache-2.0
//
// The order of an epoch without an array: a keyed permutation evaluated at one point. A
// balanced Feistel network permutes the smallest domain of 4^k that holds the dataset; places
// beyond the end are sent through again until they fall inside (cycle walking), which keeps it
// a permutation of exactly [0, count). Twelve rounds because with
// six the orders of very small sets (16 places) visibly preferred some steps; it costs about
// two microseconds an image.
#include "augment/stream.h"
#include "common/rng.h"

enum {
    ROUNDS = 12,
    ORDER_OP = 0x80 /* apart from every RQ_OP_ of the views */
};

static uint64_t round_value(uint64_t seed, uint32_t epoch, uint64_t half, uint32_t round)
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    const uint32_t counter[4] = {round, (uint32_t)ORDER_OP << 8, (uint32_t)half, epoch};
    uint32_t out[4];
    rq_philox4x32_10(out, counter, key);
    return out[0];
}

static uint64_t permute(uint64_t seed, uint32_t epoch, uint64_t x, unsigned half_bits)
{
    const uint64_t mask = ((uint64_t)1 << half_bits) - 1;
    uint64_t left = x >> half_bits, right = x & mask;
    for (uint32_t r = 0; r < ROUNDS; r++) {
        const uint64_t next = left ^ (round_value(seed, epoch, right, r) & mask);
        left = right;
        right = next;
    }
    return left << half_bits | right;
}

uint64_t rq_order_place(uint64_t seed, uint32_t epoch, uint64_t count, uint64_t i)
{
    unsigned half_bits = 1;
    while (half_bits < 32 && (count - 1) >> (2 * half_bits) != 0)
        half_bits++;
    do
        i = permute(seed, epoch, i, half_bits);
    while (i >= count);
    return i;
}
