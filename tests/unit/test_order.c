// SPDX-License-Identifier: Apache-2.0
//
// The order of an epoch: a permutation for every count, another one for every seed and epoch,
// and without visible structure.
#include "tests/unit/test.h"

#include "augment/stream.h"

#include <math.h>

static void check_permutation(uint64_t seed, uint32_t epoch, uint64_t count)
{
    uint8_t *seen = calloc(count, 1);
    assert_non_null(seen);
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t at = rq_order_place(seed, epoch, count, i);
        if (at >= count || seen[at])
            fail_msg("count %llu: ticket %llu gives place %llu %s", (unsigned long long)count,
                     (unsigned long long)i, (unsigned long long)at,
                     at >= count ? "outside" : "again");
        seen[at] = 1;
    }
    free(seen);
}

static void every_place_comes_once(void **state)
{
    for (uint64_t count = 1; count <= 300; count++)
        check_permutation(count * 7919, (uint32_t)count, count);
    const uint64_t counts[] = {1023, 1024, 1025, 4095, 4096, 4097, 10007, 65537};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        check_permutation(0, 0, counts[i]);
}

static void large_counts_stay_inside_and_distinct(void **state)
{
    const uint64_t count = (1ull << 41) + 12345;
    uint64_t last = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        const uint64_t at = rq_order_place(3, 4, count, i * (count / 1000));
        assert_true(at < count);
        assert_true(i == 0 || at != last);
        last = at;
    }
}

static void seeds_and_epochs_give_other_orders(void **state)
{
    enum { N = 1000 };
    int same_epoch = 0, same_seed = 0, same_high = 0, identity = 0;
    for (uint64_t i = 0; i < N; i++) {
        const uint64_t at = rq_order_place(11, 5, N, i);
        same_epoch += at == rq_order_place(11, 6, N, i);
        same_seed += at == rq_order_place(12, 5, N, i);
        same_high += at == rq_order_place(11 + (1ull << 32), 5, N, i);
        identity += at == i;
    }
    // Two random permutations agree in one place on average.
    assert_in_range(same_epoch, 0, 8);
    assert_in_range(same_seed, 0, 8);
    assert_in_range(same_high, 0, 8);
    assert_in_range(identity, 0, 8);
}

/* Chi-square of observed counts against equal ones. */
static double chi_square(const int *n, int bins, double expected)
{
    double sum = 0;
    for (int i = 0; i < bins; i++)
        sum += (n[i] - expected) * (n[i] - expected) / expected;
    return sum;
}

static void places_and_steps_are_uniform(void **state)
{
    enum { N = 12, EPOCHS = 12000 };
    static int place[N][N], step[N];
    memset(place, 0, sizeof place);
    memset(step, 0, sizeof step);
    for (uint32_t e = 0; e < EPOCHS; e++)
        for (uint64_t i = 0; i < N; i++) {
            const uint64_t at = rq_order_place(1, e, N, i);
            place[i][at]++;
            step[(at + N - rq_order_place(1, e, N, (i + 1) % N)) % N]++;
        }
    // 11 and 10 degrees of freedom: 40 is passed by chance once in 30,000.
    for (int i = 0; i < N; i++)
        assert_true(chi_square(place[i], N, EPOCHS / (double)N) < 40);
    assert_int_equal(step[0], 0);
    assert_true(chi_square(step + 1, N - 1, EPOCHS * (double)N / (N - 1)) < 40);
}

static void the_order_is_fixed_for_all_time(void **state)
{
    const uint64_t want[10] = {6142,   370717, 146858, 571864, 1064040,
                               990839, 22917,  542180, 675629, 1151841};
    for (uint64_t i = 0; i < 10; i++)
        assert_int_equal(rq_order_place(42, 1, 1281167, i), want[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_place_comes_once),
        cmocka_unit_test(large_counts_stay_inside_and_distinct),
        cmocka_unit_test(seeds_and_epochs_give_other_orders),
        cmocka_unit_test(places_and_steps_are_uniform),
        cmocka_unit_test(the_order_is_fixed_for_all_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
