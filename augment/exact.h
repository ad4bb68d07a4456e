/* exp, log, sine and cosine that give the same bits everywhere. The C library picks its own by
 * CPU, and a last bit of difference can move a crop box or a pixel; these use only IEEE +, -,
 * *, / and are good to a few units in the last place. Any thread. */
#ifndef RQ_AUGMENT_EXACT_H
#define RQ_AUGMENT_EXACT_H

/* e^x for -700 <= x <= 700. */
double rq_exact_exp(double x);
/* Natural logarithm of a positive, normal x. */
double rq_exact_log(double x);
/* Sine and cosine of -4 <= x <= 4. */
void rq_exact_sin_cos(double x, double *sine, double *cosine);

#endif
