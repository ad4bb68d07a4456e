// SPDX-License-Identifier: Apache-2.0
//
// The named recipes and the check of every field. Other recipes differ from relicv2 by the
// lines written here and by nothing else; README.md says where each value comes from.
#include "augment/recipe.h"

#include <stdio.h>
#include <string.h>

const float rq_imagenet_mean[3] = {0.485f, 0.456f, 0.406f};
const float rq_imagenet_std[3] = {0.229f, 0.224f, 0.225f};

static rq_recipe relicv2(void)
{
    rq_recipe r = {
        .name = "relicv2",
        .group = {{4, 224, 0.14f, 1.0f}, {2, 96, 0.05f, 0.14f}},
        .ratio_min = 3.0f / 4.0f,
        .ratio_max = 4.0f / 3.0f,
        .p_flip = 0.5f,
        .center_fraction = 0.875f,
        .filter = RQ_FILTER_BICUBIC,
        .antialias = false,
        .p_mask = 0.1f,
        .mask_threshold = 0.5f,
        .mask_min_cover = 0.01f,
        .mask_max_cover = 0.99f,
        .fill = RQ_FILL_ZERO,
    };
    const rq_photometric a = {
        .p_jitter = 0.8f,
        .brightness = 0.4f,
        .contrast = 0.4f,
        .saturation = 0.2f,
        .hue = 0.1f,
        .p_gray = 0.2f,
        .p_blur = 1.0f,
        .sigma_min = 0.1f,
        .sigma_max = 2.0f,
        .p_solarize = 0.0f,
        .solarize_threshold = 0.5f,
    };
    r.preset[0] = r.preset[1] = a;
    r.preset[1].p_blur = 0.1f;
    r.preset[1].p_solarize = 0.2f;
    return r;
}

/* The same draws, approximately the same pixels. */
static rq_recipe relicv2_fast(void)
{
    rq_recipe r = relicv2();
    r.fast = true;
    return r;
}

static rq_recipe byol(void)
{
    rq_recipe r = relicv2();
    r.group[0].views = 2;
    r.group[0].area_min = 0.08f;
    r.group[1].views = 0;
    r.p_mask = 0;
    return r;
}

/* Crop and flip only: linear evaluation and supervised training. */
static rq_recipe linear(void)
{
    rq_recipe r = byol();
    r.group[0].views = 1;
    for (int i = 0; i < 2; i++) {
        rq_photometric *p = &r.preset[i];
        p->p_jitter = p->p_gray = p->p_blur = p->p_solarize = 0;
    }
    return r;
}

static rq_recipe eval(void)
{
    rq_recipe r = linear();
    r.center_crop = true;
    r.p_flip = 0;
    return r;
}

rq_status rq_recipe_preset(rq_recipe *r, const char *name, rq_err *err)
{
    static const struct {
        const char *name;
        rq_recipe (*make)(void);
    } presets[] = {{"relicv2", relicv2},   {"byol", byol},
                   {"linear", linear},     {"eval", eval},
                   {"supervised", linear}, {"relicv2-fast", relicv2_fast}};
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++) {
        if (strcmp(name, presets[i].name) == 0) {
            *r = presets[i].make();
            snprintf(r->name, sizeof r->name, "%s", name);
            return RQ_OK;
        }
    }
    return rq_fail(err, RQ_INVALID_ARG,
                   "no recipe '%s'; choose relicv2, byol, linear, eval, supervised or "
                   "relicv2-fast",
                   name);
}

/* A field's name, value and closed range; `above` excludes the lower end. */
typedef struct field {
    const char *name;
    double value, min, max;
    bool above;
} field;

static rq_status check_fields(const rq_recipe *r, const char *where, const field *f, size_t n,
                              rq_err *err)
{
    for (size_t i = 0; i < n; i++) {
        // Written so that NaN fails.
        const bool low = f[i].above ? f[i].value > f[i].min : f[i].value >= f[i].min;
        if (!(low && f[i].value <= f[i].max))
            return rq_fail(err, RQ_INVALID_ARG,
                           "recipe %s: %s%s is %g, but has to be %s %g and at most %g", r->name,
                           where, f[i].name, f[i].value, f[i].above ? "above" : "at least",
                           f[i].min, f[i].max);
    }
    return RQ_OK;
}

static rq_status check_group(const rq_recipe *r, int g, rq_err *err)
{
    const rq_view_group *v = &r->group[g];
    const char *where = g == 0 ? "large " : "small ";
    const field fields[] = {
        {"views", v->views, 0, RQ_MAX_VIEWS, false},
        {"size", v->size, 1, 1024, false},
        {"area_min", (double)v->area_min, 0, 1, true},
        {"area_max", (double)v->area_max, (double)v->area_min, 1, false},
    };
    // Of a group that is absent only the count matters.
    return check_fields(r, where, fields, v->views == 0 ? 1 : sizeof fields / sizeof *fields,
                        err);
}

static rq_status check_preset(const rq_recipe *r, int k, rq_err *err)
{
    const rq_photometric *p = &r->preset[k];
    const field fields[] = {
        {"p_jitter", (double)p->p_jitter, 0, 1, false},
        {"brightness", (double)p->brightness, 0, 1, false},
        {"contrast", (double)p->contrast, 0, 1, false},
        {"saturation", (double)p->saturation, 0, 1, false},
        {"hue", (double)p->hue, 0, 0.5, false},
        {"p_gray", (double)p->p_gray, 0, 1, false},
        {"p_blur", (double)p->p_blur, 0, 1, false},
        {"sigma_min", (double)p->sigma_min, 0, 100, true},
        {"sigma_max", (double)p->sigma_max, (double)p->sigma_min, 100, false},
        {"p_solarize", (double)p->p_solarize, 0, 1, false},
        {"solarize_threshold", (double)p->solarize_threshold, 0, 1, false},
    };
    return check_fields(r, k == 0 ? "preset A: " : "preset B: ", fields,
                        sizeof fields / sizeof *fields, err);
}

rq_status rq_recipe_check(const rq_recipe *r, rq_err *err)
{
    const field fields[] = {
        {"ratio_min", (double)r->ratio_min, 0.1, 10, false},
        {"ratio_max", (double)r->ratio_max, (double)r->ratio_min, 10, false},
        {"p_flip", (double)r->p_flip, 0, 1, false},
        {"center_fraction", (double)r->center_fraction, 0, 1, true},
        {"p_mask", (double)r->p_mask, 0, 1, false},
        {"mask_threshold", (double)r->mask_threshold, 0, 1, false},
        {"mask_min_cover", (double)r->mask_min_cover, 0, 1, false},
        {"mask_max_cover", (double)r->mask_max_cover, (double)r->mask_min_cover, 1, false},
        {"filter", (double)r->filter, 0, RQ_FILTER_BILINEAR, false},
        {"fill", (double)r->fill, 0, RQ_FILL_RANDOM_GRAY, false},
    };
    RQ_TRY(check_fields(r, "", fields, sizeof fields / sizeof *fields, err));
    for (int g = 0; g < RQ_MAX_GROUPS; g++)
        RQ_TRY(check_group(r, g, err));
    for (int k = 0; k < 2; k++)
        RQ_TRY(check_preset(r, k, err));
    const int views = rq_recipe_views(r);
    if (views < 1 || views > RQ_MAX_VIEWS)
        return rq_fail(err, RQ_INVALID_ARG, "recipe %s: %d views, but 1 to %d are possible",
                       r->name, views, RQ_MAX_VIEWS);
    return RQ_OK;
}

int rq_recipe_views(const rq_recipe *r)
{
    int n = 0;
    for (int g = 0; g < RQ_MAX_GROUPS; g++)
        n += r->group[g].views;
    return n;
}

int rq_recipe_blur_radius(int size)
{
    return size / 20;
}
