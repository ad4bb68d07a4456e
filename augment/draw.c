// SPDX-License-Identifier: Apache-2.0
//
// What happens to a view, drawn from counters. Every operation has a random stream of its own,
// so no draw depends on whether another operation was applied, on the mask, or on a recipe's
// other fields. Drawing reads no pixels.
#include "augment/exact.h"
#include "augment/view.h"
#include "common/rng.h"

#include <math.h>

static rq_rng stream_of(const rq_view_key *k, int op)
{
    return rq_rng_make(k->seed, k->epoch, k->sample, (uint32_t)k->view, (uint32_t)op);
}

/* Applied when u <= p, as the official code has it, but never when p is 0. */
static bool chance(rq_rng *rng, float p)
{
    return rq_rng_float(rng) <= p && p > 0;
}

static int clamp_side(double v, int max)
{
    return v < 1 ? 1 : v > max ? max : (int)v;
}

/* Area and log ratio uniform; each side rounded and cut to the image; offset uniform. Double
 * precision and exact.h: the same box on every machine. */
static void draw_random_crop(rq_view_params *p, const rq_recipe *r, int width, int height)
{
    const rq_view_group *g = &r->group[p->group];
    rq_rng rng = stream_of(&p->key, RQ_OP_CROP);
    const double area_min = (double)g->area_min, area_max = (double)g->area_max;
    const double area = (double)width * height *
                        (area_min + (area_max - area_min) * (double)rq_rng_float(&rng));
    const double low = rq_exact_log((double)r->ratio_min),
                 high = rq_exact_log((double)r->ratio_max);
    const double ratio = rq_exact_exp(low + (high - low) * (double)rq_rng_float(&rng));
    p->w = clamp_side(rint(sqrt(area * ratio)), width);
    p->h = clamp_side(rint(sqrt(area / ratio)), height);
    p->x = (int)rq_rng_below(&rng, (uint32_t)(width - p->w) + 1);
    p->y = (int)rq_rng_below(&rng, (uint32_t)(height - p->h) + 1);
}

/* A square of a fraction of the shorter side, in the middle; halves round up. */
static void centre_crop(rq_view_params *p, const rq_recipe *r, int width, int height)
{
    const int shorter = width < height ? width : height;
    p->w = p->h = clamp_side((double)r->center_fraction * shorter, shorter);
    p->x = (width - p->w + 1) / 2;
    p->y = (height - p->h + 1) / 2;
}

static void draw_jitter(rq_view_params *p, const rq_photometric *f)
{
    rq_rng rng = stream_of(&p->key, RQ_OP_JITTER);
    p->contrast = p->saturation = 1;
    for (uint8_t i = 0; i < 4; i++)
        p->order[i] = i;
    p->jitter = chance(&rng, f->p_jitter);
    if (!p->jitter)
        return;
    p->brightness = rq_rng_range(&rng, -f->brightness, f->brightness);
    p->contrast = rq_rng_range(&rng, 1 - f->contrast, 1 + f->contrast);
    p->saturation = rq_rng_range(&rng, 1 - f->saturation, 1 + f->saturation);
    p->hue = rq_rng_range(&rng, -f->hue, f->hue);
    for (uint32_t i = 3; i > 0; i--) {
        const uint32_t j = rq_rng_below(&rng, i + 1);
        const uint8_t t = p->order[i];
        p->order[i] = p->order[j];
        p->order[j] = t;
    }
}

static void draw_photometric(rq_view_params *p, const rq_photometric *f)
{
    draw_jitter(p, f);
    rq_rng rng = stream_of(&p->key, RQ_OP_GRAY);
    p->gray = chance(&rng, f->p_gray);
    rng = stream_of(&p->key, RQ_OP_BLUR);
    if (chance(&rng, f->p_blur))
        p->sigma = rq_rng_range(&rng, f->sigma_min, f->sigma_max);
    rng = stream_of(&p->key, RQ_OP_SOLARIZE);
    p->solarize = chance(&rng, f->p_solarize);
}

static void draw_mask(rq_view_params *p, const rq_recipe *r, bool has_mask)
{
    if (p->group != 0)
        return;
    rq_rng rng = stream_of(&p->key, RQ_OP_MASK);
    p->mask_drawn = chance(&rng, r->p_mask);
    p->masked = p->mask_drawn && has_mask;
    if (!p->masked)
        return;
    rng = stream_of(&p->key, RQ_OP_FILL);
    const float gray = rq_rng_float(&rng);
    for (int c = 0; c < 3; c++)
        p->fill[c] = r->fill == RQ_FILL_MEAN          ? rq_imagenet_mean[c]
                     : r->fill == RQ_FILL_RANDOM_GRAY ? gray
                                                      : 0;
}

void rq_view_draw(rq_view_params *p, const rq_recipe *r, const rq_view_key *key, int width,
                  int height, bool has_mask)
{
    *p = (rq_view_params){.key = *key};
    const int small = key->view >= r->group[0].views;
    p->group = (uint8_t)small;
    p->view_in_group = (uint8_t)(key->view - (small ? r->group[0].views : 0));
    p->preset = p->view_in_group % 2;
    if (r->center_crop)
        centre_crop(p, r, width, height);
    else
        draw_random_crop(p, r, width, height);
    rq_rng rng = stream_of(key, RQ_OP_FLIP);
    p->flip = chance(&rng, r->p_flip);
    draw_mask(p, r, has_mask);
    draw_photometric(p, &r->preset[p->preset]);
}
