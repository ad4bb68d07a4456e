// SPDX-License-Identifier: Apache-2.0
//
// The recipe options of every tool that opens a stream: one place where an option meets a
// field. An option that was not given holds a sentinel; applying replaces each sentinel by the
// recipe's value, so afterwards the options describe the recipe completely.
#include "tools/recipe_opts.h"

#include <string.h>

const char *const rq_recipe_names[] = {"relicv2",    "byol",         "linear", "eval",
                                       "supervised", "relicv2-fast", NULL};
const char *const rq_recipe_filters[] = {"recipe", "bicubic", "bilinear", NULL};
const char *const rq_recipe_switches[] = {"recipe", "off", "on", NULL};
const char *const rq_recipe_fills[] = {"recipe", "zero", "mean", "random-gray", NULL};

rq_recipe_opts rq_recipe_opts_default(void)
{
    return (rq_recipe_opts){
        .recipe = 0,
        .large = -1,
        .small = -1,
        .large_size = -1,
        .small_size = -1,
        .large_area_min = -1,
        .large_area_max = -1,
        .small_area_min = -1,
        .small_area_max = -1,
        .ratio_min = -1,
        .ratio_max = -1,
        .p_flip = -1,
        .center_fraction = -1,
        .p_jitter = -1,
        .brightness = -1,
        .contrast = -1,
        .saturation = -1,
        .hue = -1,
        .p_gray = -1,
        .p_blur_a = -1,
        .p_blur_b = -1,
        .sigma_min = -1,
        .sigma_max = -1,
        .p_solarize_a = -1,
        .p_solarize_b = -1,
        .solarize_threshold = -1,
        .p_mask = -1,
        .mask_threshold = -1,
        .mask_min_cover = -1,
        .mask_max_cover = -1,
    };
}

int rq_recipe_index(const char *name)
{
    for (int i = 0; rq_recipe_names[i]; i++)
        if (strcmp(rq_recipe_names[i], name) == 0)
            return i;
    return -1;
}

static void apply_int(int *option, int *field)
{
    if (*option >= 0)
        *field = *option;
    *option = *field;
}

static void apply_float(float *option, float *field)
{
    if (*option >= 0)
        *field = *option;
    *option = *field;
}

/* One option for both presets. */
static void apply_both(float *option, float *a, float *b)
{
    apply_float(option, b);
    apply_float(option, a);
}

/* Choice 0 is "recipe"; the others are the field's values from 0 on. Returns the new value. */
static int apply_choice(int *option, int value)
{
    if (*option > 0)
        value = *option - 1;
    *option = value + 1;
    return value;
}

static void apply_geometry(rq_recipe_opts *o, rq_recipe *r)
{
    apply_int(&o->large, &r->group[0].views);
    apply_int(&o->small, &r->group[1].views);
    apply_int(&o->large_size, &r->group[0].size);
    apply_int(&o->small_size, &r->group[1].size);
    apply_float(&o->large_area_min, &r->group[0].area_min);
    apply_float(&o->large_area_max, &r->group[0].area_max);
    apply_float(&o->small_area_min, &r->group[1].area_min);
    apply_float(&o->small_area_max, &r->group[1].area_max);
    apply_float(&o->ratio_min, &r->ratio_min);
    apply_float(&o->ratio_max, &r->ratio_max);
    apply_float(&o->p_flip, &r->p_flip);
    apply_float(&o->center_fraction, &r->center_fraction);
    r->filter = (rq_filter)apply_choice(&o->filter, (int)r->filter);
    r->antialias = apply_choice(&o->antialias, r->antialias) != 0;
}

static void apply_photometric(rq_recipe_opts *o, rq_photometric *a, rq_photometric *b)
{
    apply_both(&o->p_jitter, &a->p_jitter, &b->p_jitter);
    apply_both(&o->brightness, &a->brightness, &b->brightness);
    apply_both(&o->contrast, &a->contrast, &b->contrast);
    apply_both(&o->saturation, &a->saturation, &b->saturation);
    apply_both(&o->hue, &a->hue, &b->hue);
    apply_both(&o->p_gray, &a->p_gray, &b->p_gray);
    apply_float(&o->p_blur_a, &a->p_blur);
    apply_float(&o->p_blur_b, &b->p_blur);
    apply_both(&o->sigma_min, &a->sigma_min, &b->sigma_min);
    apply_both(&o->sigma_max, &a->sigma_max, &b->sigma_max);
    apply_float(&o->p_solarize_a, &a->p_solarize);
    apply_float(&o->p_solarize_b, &b->p_solarize);
    apply_both(&o->solarize_threshold, &a->solarize_threshold, &b->solarize_threshold);
}

rq_status rq_recipe_opts_apply(rq_recipe_opts *o, rq_recipe *r, rq_err *err)
{
    RQ_TRY(rq_recipe_preset(r, rq_recipe_names[o->recipe], err));
    apply_geometry(o, r);
    apply_photometric(o, &r->preset[0], &r->preset[1]);
    apply_float(&o->p_mask, &r->p_mask);
    apply_float(&o->mask_threshold, &r->mask_threshold);
    apply_float(&o->mask_min_cover, &r->mask_min_cover);
    apply_float(&o->mask_max_cover, &r->mask_max_cover);
    r->fill = (rq_fill)apply_choice(&o->fill, (int)r->fill);
    return rq_recipe_check(r, err);
}
