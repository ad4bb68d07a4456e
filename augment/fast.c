// SPDX-License-Identifier: Apache-2.0
//
// Composes brightness, contrast, saturation, hue and grey, in the drawn order, into one affine
// map from YCbCr to RGB. Only basic arithmetic decides the bits.
#include "augment/fast.h"
#include "augment/exact.h"

#include <math.h>

typedef struct matrix {
    double at[3][3];
} matrix;

/* Luma, and the two axes of YIQ that a change of hue turns. */
static const matrix to_yiq = {
    {{0.299, 0.587, 0.114}, {0.596, -0.274, -0.322}, {0.211, -0.523, 0.312}}};
static const matrix to_rgb = {{{1, 0.956, 0.621}, {1, -0.272, -0.647}, {1, -1.106, 1.703}}};
static const double luma[3] = {0.299, 0.587, 0.114}, grey[3] = {0.2989, 0.5870, 0.1140};

static matrix multiply(const matrix *a, const matrix *b)
{
    matrix to;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            to.at[i][j] = (a->at[i][0] * b->at[0][j] + a->at[i][1] * b->at[1][j]) +
                          a->at[i][2] * b->at[2][j];
    return to;
}

/* What f does, and then a. */
static void apply(rq_fast_colour *f, const matrix *a)
{
    const rq_fast_colour was = *f;
    for (int i = 0; i < 3; i++) {
        const double *row = a->at[i];
        for (int j = 0; j < 3; j++)
            f->matrix[i][j] = (row[0] * was.matrix[0][j] + row[1] * was.matrix[1][j]) +
                              row[2] * was.matrix[2][j];
        f->offset[i] =
            (row[0] * was.offset[0] + row[1] * was.offset[1]) + row[2] * was.offset[2];
    }
}

static void brightness(rq_fast_colour *f, double delta)
{
    for (int i = 0; i < 3; i++)
        f->offset[i] += 255 * delta;
}

static void contrast(rq_fast_colour *f, double factor, const double mean[3])
{
    for (int i = 0; i < 3; i++) {
        double centre = f->offset[i];
        for (int j = 0; j < 3; j++)
            centre += f->matrix[i][j] * (mean[j] - 128);
        for (int j = 0; j < 3; j++)
            f->matrix[i][j] *= factor;
        f->offset[i] = (f->offset[i] - centre) * factor + centre;
    }
}

static void saturation(rq_fast_colour *f, double factor)
{
    matrix a;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            a.at[i][j] = (1 - factor) * luma[j] + (i == j ? factor : 0);
    apply(f, &a);
}

/* From red towards green and blue, as H of HSV grows: against the angle of I and Q. */
static void hue(rq_fast_colour *f, double turns)
{
    double sine, cosine;
    rq_exact_sin_cos(6.28318530717958647692 * turns, &sine, &cosine);
    const matrix turn = {{{1, 0, 0}, {0, cosine, sine}, {0, -sine, cosine}}};
    const matrix turned = multiply(&turn, &to_yiq), a = multiply(&to_rgb, &turned);
    apply(f, &a);
}

static void gray(rq_fast_colour *f)
{
    matrix a;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            a.at[i][j] = grey[j];
    apply(f, &a);
}

void rq_fast_colour_of(rq_fast_colour *f, const rq_view_params *p, const double mean[3])
{
    *f = (rq_fast_colour){
        .matrix = {{1, 0, 1.402}, {1, -0.344136286, -0.714136286}, {1, 1.772, 0}},
        .offset = {128, 128, 128}};
    for (int i = 0; p->jitter && i < 4; i++) {
        if (p->order[i] == RQ_JITTER_BRIGHTNESS)
            brightness(f, (double)p->brightness);
        else if (p->order[i] == RQ_JITTER_CONTRAST)
            contrast(f, (double)p->contrast, mean);
        else if (p->order[i] == RQ_JITTER_SATURATION)
            saturation(f, (double)p->saturation);
        else
            hue(f, (double)p->hue);
    }
    if (p->gray)
        gray(f);
}

static int16_t coefficient(double x)
{
    const double q = rint(x * (1 << RQ_MATRIX_BITS));
    return (int16_t)(q < -32768 ? -32768 : q > 32767 ? 32767 : q);
}

rq_step rq_fast_step(const rq_fast_colour *f, bool zero_luma)
{
    rq_step s = {.op = RQ_STEP_MATRIX};
    for (int i = 0; i < 3; i++) {
        double offset = f->offset[i];
        for (int j = 0; j < 3; j++)
            s.m[i][j] = coefficient(f->matrix[i][j]);
        if (zero_luma)
            offset -= 128 * f->matrix[i][0];
        // Beyond these everything is black or white anyway.
        offset = offset < -4000 ? -4000 : offset > 4000 ? 4000 : offset;
        s.a[i] = (int)rint(offset * RQ_LEVEL);
    }
    return s;
}
