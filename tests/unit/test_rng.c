// SPDX-License-Identifier: Apache-2.0
//
// Philox4x32-10 against the known-answer vectors published with Random123, and what is built on
// it: the layout of the counter, ranges, uniformity, and streams that do not resemble each
// other.
#include "tests/unit/test.h"

#include "common/rng.h"

#include <math.h>

static void philox_gives_the_published_answers(void **state)
{
    /* Random123, kat_vectors, lines "philox4x32 10". */
    static const struct {
        uint32_t counter[4], key[2], answer[4];
    } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t out[4];
        rq_philox4x32_10(out, cases[i].counter, cases[i].key);
        for (int j = 0; j < 4; j++)
            assert_int_equal(out[j], cases[i].answer[j]);
    }
}

static void a_stream_is_the_counter_it_documents(void **state)
{
    const uint64_t seed = 0x299f31d0a4093822u;
    const uint64_t sample = 0x1319123456789au & 0xFFFFFFFFFFFFu;
    rq_rng r = rq_rng_make(seed, 77, sample, 5, 9);
    const uint32_t key[2] = {0xa4093822, 0x299f31d0};
    for (uint32_t block = 0; block < 3; block++) {
        const uint32_t counter[4] = {block, 5u | 9u << 8 | (uint32_t)(sample >> 32) << 16,
                                     (uint32_t)sample, 77};
        uint32_t expected[4];
        rq_philox4x32_10(expected, counter, key);
        for (int i = 0; i < 4; i++)
            assert_int_equal(rq_rng_u32(&r), expected[i]);
    }
}

static void floats_are_24_bit_fractions(void **state)
{
    rq_rng r = rq_rng_make(1, 0, 0, 0, 0), same = r;
    double sum = 0, squares = 0;
    enum { N = 200000 };
    for (int i = 0; i < N; i++) {
        const float f = rq_rng_float(&r);
        assert_true(f >= 0 && f < 1);
        assert_true(f == (float)(rq_rng_u32(&same) >> 8) / 16777216.0f);
        sum += f;
        squares += (double)f * f;
    }
    /* Mean 1/2 with sigma 1/sqrt(12 N); mean square 1/3 with sigma sqrt(4/45/N): 5 sigma. */
    assert_true(fabs(sum / N - 0.5) < 5 * sqrt(1.0 / 12 / N));
    assert_true(fabs(squares / N - 1.0 / 3) < 5 * sqrt(4.0 / 45 / N));
    for (int i = 0; i < 1000; i++) {
        const float f = rq_rng_range(&r, -3, 5);
        assert_true(f >= -3 && f < 5);
    }
}

/* Pearson's statistic of `n` draws below `bins`. */
static double chi_square(rq_rng *r, uint32_t bins, uint32_t n)
{
    uint32_t *counts = calloc(bins, sizeof *counts);
    assert_non_null(counts);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t v = rq_rng_below(r, bins);
        assert_true(v < bins);
        counts[v]++;
    }
    const double expected = (double)n / bins;
    double chi2 = 0;
    for (uint32_t i = 0; i < bins; i++)
        chi2 += (counts[i] - expected) * (counts[i] - expected) / expected;
    free(counts);
    return chi2;
}

static void below_is_uniform(void **state)
{
    static const uint32_t bins[] = {2, 3, 7, 10, 100, 1000};
    for (uint32_t i = 0; i < sizeof bins / sizeof *bins; i++) {
        rq_rng r = rq_rng_make(2026, i, 0, 0, 0);
        const double dof = bins[i] - 1;
        /* Wilson-Hilferty: chi2 of 5 sigma on either side. */
        const double spread = 5 * sqrt(2 / (9 * dof)), centre = 1 - 2 / (9 * dof);
        const double chi2 = chi_square(&r, bins[i], 100000);
        assert_true(chi2 < dof * pow(centre + spread, 3));
        if (dof > 20)
            assert_true(chi2 > dof * pow(centre - spread, 3));
    }
}

/* For n = 3 * 2^30 a plain multiply would give every third value twice the weight. */
static void below_has_no_bias_at_large_n(void **state)
{
    rq_rng r = rq_rng_make(5, 0, 0, 0, 0);
    uint32_t thirds[3] = {0};
    enum { N = 90000 };
    for (int i = 0; i < N; i++)
        thirds[rq_rng_below(&r, 3u << 30) % 3]++;
    for (int i = 0; i < 3; i++)
        assert_true(fabs(thirds[i] - N / 3.0) < 5 * sqrt(N * 2.0 / 9));
    for (int i = 0; i < 100; i++)
        assert_int_equal(rq_rng_below(&r, 1), 0);
}

static void streams_differ_and_do_not_correlate(void **state)
{
    const rq_rng base = rq_rng_make(1, 2, 3, 4, 5);
    const rq_rng others[] = {rq_rng_make(2, 2, 3, 4, 5),
                             rq_rng_make(1ull << 32 | 1, 2, 3, 4, 5),
                             rq_rng_make(1, 3, 3, 4, 5),
                             rq_rng_make(1, 2, 4, 4, 5),
                             rq_rng_make(1, 2, 1ull << 32 | 3, 4, 5),
                             rq_rng_make(1, 2, 3, 5, 5),
                             rq_rng_make(1, 2, 3, 4, 6)};
    enum { N = 20000 };
    for (size_t k = 0; k < sizeof others / sizeof *others; k++) {
        rq_rng a = base, b = others[k];
        double dot = 0;
        int equal = 0;
        for (int i = 0; i < N; i++) {
            const uint32_t x = rq_rng_u32(&a), y = rq_rng_u32(&b);
            equal += x == y;
            dot += ((double)x / 4294967296.0 - 0.5) * ((double)y / 4294967296.0 - 0.5);
        }
        assert_true(equal <= 1);
        /* The product of two uniforms around 0 has variance 1/144. */
        assert_true(fabs(dot) < 5 * sqrt(N / 144.0));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_published_answers),
        cmocka_unit_test(a_stream_is_the_counter_it_documents),
        cmocka_unit_test(floats_are_24_bit_fractions),
        cmocka_unit_test(below_is_uniform),
        cmocka_unit_test(below_has_no_bias_at_large_n),
        cmocka_unit_test(streams_differ_and_do_not_correlate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
