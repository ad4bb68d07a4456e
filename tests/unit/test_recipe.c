// SPDX-License-Identifier: Apache-2.0
//
// Recipes: the constants of the named ones, and that every field out of range is refused by
// name.
#include "tests/unit/test.h"

#include "augment/exact.h"
#include "augment/recipe.h"

#include <math.h>

static rq_recipe preset(const char *name)
{
    rq_recipe r;
    rq_err err = {0};
    assert_ok(rq_recipe_preset(&r, name, &err), &err);
    assert_ok(rq_recipe_check(&r, &err), &err);
    assert_string_equal(r.name, name);
    return r;
}

static void relicv2_has_the_documented_constants(void **state)
{
    const rq_recipe r = preset("relicv2");
    assert_int_equal(rq_recipe_views(&r), 6);
    assert_int_equal(r.group[0].views, 4);
    assert_int_equal(r.group[0].size, 224);
    assert_float_equal(r.group[0].area_min, 0.14, 1e-6);
    assert_float_equal(r.group[0].area_max, 1, 0);
    assert_int_equal(r.group[1].views, 2);
    assert_int_equal(r.group[1].size, 96);
    assert_float_equal(r.group[1].area_min, 0.05, 1e-6);
    assert_float_equal(r.group[1].area_max, 0.14, 1e-6);
    assert_float_equal(r.ratio_min, 0.75, 1e-6);
    assert_float_equal(r.ratio_max, 4.0 / 3, 1e-6);
    assert_float_equal(r.p_mask, 0.1, 1e-6);
    assert_false(r.antialias);
    for (int k = 0; k < 2; k++) {
        const rq_photometric *p = &r.preset[k];
        const float got[] = {p->p_jitter,   p->brightness, p->contrast,
                             p->saturation, p->hue,        p->p_gray,
                             p->sigma_min,  p->sigma_max,  p->solarize_threshold};
        const float want[] = {0.8f, 0.4f, 0.4f, 0.2f, 0.1f, 0.2f, 0.1f, 2.0f, 0.5f};
        for (int i = 0; i < 9; i++)
            assert_float_equal(got[i], want[i], 0);
        assert_float_equal(p->p_blur, k == 0 ? 1.0f : 0.1f, 0);
        assert_float_equal(p->p_solarize, k == 0 ? 0.0f : 0.2f, 0);
    }
}

static void the_others_differ_as_documented(void **state)
{
    const rq_recipe byol = preset("byol"), linear = preset("linear"), eval = preset("eval"),
                    supervised = preset("supervised");
    assert_int_equal(byol.group[0].views, 2);
    assert_int_equal(byol.group[1].views, 0);
    assert_float_equal(byol.group[0].area_min, 0.08, 1e-6);
    assert_float_equal(byol.p_mask, 0, 0);
    assert_float_equal(byol.preset[0].p_blur, 1, 0);
    assert_int_equal(rq_recipe_views(&linear), 1);
    assert_float_equal(linear.p_flip, 0.5, 0);
    assert_float_equal(linear.preset[0].p_jitter, 0, 0);
    assert_float_equal(linear.preset[0].p_blur, 0, 0);
    assert_true(eval.center_crop);
    assert_float_equal(eval.p_flip, 0, 0);
    assert_float_equal(eval.center_fraction, 0.875, 0);
    assert_int_equal(rq_recipe_views(&supervised), 1);
}

static void an_unknown_name_lists_the_known(void **state)
{
    rq_recipe r;
    rq_err err = {0};
    assert_status(rq_recipe_preset(&r, "simclr", &err), RQ_INVALID_ARG);
    assert_non_null(strstr(err.text, "simclr"));
    assert_non_null(strstr(err.text, "relicv2"));
    assert_non_null(strstr(err.text, "supervised"));
}

/* Sets one field to one wrong value; the message has to name it. */
static void refuse_float(size_t offset, float value, const char *name)
{
    rq_recipe r = preset("relicv2");
    rq_err err = {0};
    memcpy((char *)&r + offset, &value, sizeof value);
    assert_status(rq_recipe_check(&r, &err), RQ_INVALID_ARG);
    if (!strstr(err.text, name))
        fail_msg("'%s' does not name %s", err.text, name);
}

static void every_field_out_of_range_is_named(void **state)
{
    const struct {
        size_t offset;
        float low, high;
        const char *name;
    } fields[] = {
        {offsetof(rq_recipe, group[0].area_min), 0, 1.5f, "large area_min"},
        {offsetof(rq_recipe, group[1].area_max), 0.01f, 1.5f, "small area_max"},
        {offsetof(rq_recipe, ratio_min), 0, 11, "ratio_min"},
        {offsetof(rq_recipe, ratio_max), 0.5f, 11, "ratio_max"},
        {offsetof(rq_recipe, p_flip), -0.1f, 1.1f, "p_flip"},
        {offsetof(rq_recipe, center_fraction), 0, 1.1f, "center_fraction"},
        {offsetof(rq_recipe, p_mask), -1, 2, "p_mask"},
        {offsetof(rq_recipe, mask_threshold), -1, 2, "mask_threshold"},
        {offsetof(rq_recipe, mask_max_cover), 0, 2, "mask_max_cover"},
        {offsetof(rq_recipe, preset[0].p_jitter), -1, 2, "preset A: p_jitter"},
        {offsetof(rq_recipe, preset[1].brightness), -1, 2, "preset B: brightness"},
        {offsetof(rq_recipe, preset[0].contrast), -1, 2, "contrast"},
        {offsetof(rq_recipe, preset[0].saturation), -1, 2, "saturation"},
        {offsetof(rq_recipe, preset[0].hue), -1, 0.6f, "hue"},
        {offsetof(rq_recipe, preset[0].p_gray), -1, 2, "p_gray"},
        {offsetof(rq_recipe, preset[0].p_blur), -1, 2, "p_blur"},
        {offsetof(rq_recipe, preset[0].sigma_min), 0, 101, "sigma_min"},
        {offsetof(rq_recipe, preset[0].sigma_max), 0.05f, 101, "sigma_max"},
        {offsetof(rq_recipe, preset[1].p_solarize), -1, 2, "p_solarize"},
        {offsetof(rq_recipe, preset[1].solarize_threshold), -1, 2, "solarize_threshold"},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        refuse_float(fields[i].offset, fields[i].low, fields[i].name);
        refuse_float(fields[i].offset, fields[i].high, fields[i].name);
        refuse_float(fields[i].offset, NAN, fields[i].name);
    }
}

static void view_counts_and_sizes_are_bounded(void **state)
{
    rq_recipe r = preset("relicv2");
    r.group[0].views = 15;
    assert_status(rq_recipe_check(&r, NULL), RQ_INVALID_ARG);
    r.group[0].views = r.group[1].views = 0;
    assert_status(rq_recipe_check(&r, NULL), RQ_INVALID_ARG);
    r.group[0].views = -1;
    r.group[1].views = 2;
    assert_status(rq_recipe_check(&r, NULL), RQ_INVALID_ARG);
    r = preset("relicv2");
    r.group[0].size = 0;
    assert_status(rq_recipe_check(&r, NULL), RQ_INVALID_ARG);
    r.group[0].size = 1025;
    assert_status(rq_recipe_check(&r, NULL), RQ_INVALID_ARG);
    r = preset("byol");
    r.group[1].size = -5; // of a group that is absent: not looked at
    assert_status(rq_recipe_check(&r, NULL), RQ_OK);
}

static void blur_has_23_taps_at_224_and_9_at_96(void **state)
{
    assert_int_equal(2 * rq_recipe_blur_radius(224) + 1, 23);
    assert_int_equal(2 * rq_recipe_blur_radius(96) + 1, 9);
    for (int size = 1; size <= 1024; size++)
        assert_int_equal(rq_recipe_blur_radius(size), (int)((float)size / 10.0f / 2.0f));
}

static void exact_functions_agree_with_the_library(void **state)
{
    for (int i = -7000; i <= 7000; i++) {
        const double x = i / 10.0, want = exp(x), got = rq_exact_exp(x);
        if (fabs(got - want) > 2e-15 * want)
            fail_msg("exp(%g) = %.17g, not %.17g", x, got, want);
    }
    for (int i = 1; i < 20000; i++) {
        const double x = i / 1000.0, want = log(x), got = rq_exact_log(x);
        if (fabs(got - want) > 4e-16 * fabs(want) + 1e-16)
            fail_msg("log(%g) = %.17g, not %.17g", x, got, want);
    }
    assert_true(rq_exact_exp(0) == 1 && rq_exact_log(1) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(relicv2_has_the_documented_constants),
        cmocka_unit_test(the_others_differ_as_documented),
        cmocka_unit_test(an_unknown_name_lists_the_known),
        cmocka_unit_test(every_field_out_of_range_is_named),
        cmocka_unit_test(view_counts_and_sizes_are_bounded),
        cmocka_unit_test(blur_has_23_taps_at_224_and_9_at_96),
        cmocka_unit_test(exact_functions_agree_with_the_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
