// SPDX-License-Identifier: Apache-2.0
//
// exp, log, sine and cosine from basic arithmetic, for set-up code whose results decide bytes
// of a batch. Range reduction by ln 2 in two parts, then a series long enough that the rest is
// below rounding. Speed does not matter here: a view needs a few dozen values.
#include "augment/exact.h"

#include <math.h>

static const double LN2_HIGH = 6.93147180369123816490e-01; // its low 32 bits are zero
static const double LN2_LOW = 1.90821492927058770002e-10;

double rq_exact_exp(double x)
{
    const double n = rint(x * 1.44269504088896340736);
    const double r = (x - n * LN2_HIGH) - n * LN2_LOW;
    double sum = 1;
    for (int k = 18; k >= 1; k--)
        sum = 1 + sum * r / k;
    return ldexp(sum, (int)n);
}

double rq_exact_log(double x)
{
    int n;
    double m = frexp(x, &n);
    if (m < 0.70710678118654752440) {
        m *= 2;
        n--;
    }
    const double z = (m - 1) / (m + 1), zz = z * z;
    double sum = 0;
    for (int k = 25; k >= 1; k -= 2)
        sum = sum * zz + 1.0 / k;
    return n * LN2_HIGH + (2 * z * sum + n * LN2_LOW);
}

/* Series of an eighth of the angle, then doubled three times. */
void rq_exact_sin_cos(double x, double *sine, double *cosine)
{
    const double r = x / 8, rr = r * r;
    double s = 1, c = 1;
    for (int k = 16; k >= 2; k -= 2) {
        s = 1 - s * rr / (k * (k + 1.0));
        c = 1 - c * rr / (k * (k - 1.0));
    }
    s *= r;
    for (int i = 0; i < 3; i++) {
        const double both = 2 * s * c;
        c = 1 - 2 * s * s;
        s = both;
    }
    *sine = s;
    *cosine = c;
}
