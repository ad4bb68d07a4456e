// SPDX-License-Identifier: Apache-2.0
//
// Schedules against golden values for RELICv2's 1000 epochs of ImageNet at batch 4096.
#include "tests/unit/test.h"

#include "train/schedule.h"

#include <math.h>

enum { K = 312784, W = 3127 };

static void near(double a, double b, double tol)
{
    if (!(fabs(a - b) <= tol))
        fail_msg("%.13g is not %.13g", a, b);
}

static void test_steps(void **state)
{
    assert_int_equal(rq_schedule_steps(1000, 1281167, 4096), K);
    assert_int_equal(rq_schedule_steps(10, 1281167, 4096), W);
    assert_int_equal(rq_schedule_steps(0.5, 100, 10), 5);
}

static void test_learning_rate(void **state)
{
    const double peak = .3 * 4096 / 256;
    near(rq_schedule_lr(0, W, K, peak), 0, 0);
    near(rq_schedule_lr(1000, W, K, peak), 1.5350175887, 1e-10);
    near(rq_schedule_lr(W, W, K, peak), 4.8, 1e-12);
    near(rq_schedule_lr(K / 2, W, K, peak), 2.4380679846, 1e-10);
    near(rq_schedule_lr(K - 1, W, K, peak), 1e-10, 5e-11);
    near(rq_schedule_lr(K, W, K, peak), 0, 0);
    near(rq_schedule_lr(K + 5, W, K, peak), 0, 0);
    near(rq_schedule_lr(0, 0, 10, 2), 2, 0);
    for (uint64_t k = W; k < K; k += 1000)
        assert_true(rq_schedule_lr(k + 1, W, K, peak) < rq_schedule_lr(k, W, K, peak));
}

static void test_ema(void **state)
{
    near(rq_schedule_ema(0, K, .996), .996, 1e-15);
    near(rq_schedule_ema(1000, K, .996), .996000100880, 1e-12);
    near(rq_schedule_ema(K / 2, K, .996), .998, 1e-12);
    near(rq_schedule_ema(K, K, .996), 1, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_learning_rate),
        cmocka_unit_test(test_ema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
