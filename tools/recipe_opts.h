/* Options that change a recipe, as rows for the option table of a tool.
 *
 *     rq_recipe_opts ro = rq_recipe_opts_default();
 *     const rq_opt opts[] = { ..., RQ_RECIPE_OPTS(ro), {0} };
 *     rq_cli_parse(...);
 *     rq_recipe_opts_apply(&ro, &recipe, &err);
 *
 * A number of -1, or the choice "recipe", leaves what the named recipe has. Applying writes the
 * values in effect back, so that rq_cli_config_text afterwards saves the whole recipe, and
 * reading that file gives the same recipe again. */
#ifndef RQ_TOOLS_RECIPE_OPTS_H
#define RQ_TOOLS_RECIPE_OPTS_H

#include "augment/recipe.h"
#include "tools/cli.h"

typedef struct rq_recipe_opts {
    int recipe; /* index into rq_recipe_names */
    int large, small, large_size, small_size;
    float large_area_min, large_area_max, small_area_min, small_area_max;
    float ratio_min, ratio_max, p_flip, center_fraction;
    int filter, antialias; /* index into the choices below; 0: as the recipe */
    float p_jitter, brightness, contrast, saturation, hue, p_gray; /* both presets */
    float p_blur_a, p_blur_b, sigma_min, sigma_max;
    float p_solarize_a, p_solarize_b, solarize_threshold;
    float p_mask, mask_threshold, mask_min_cover, mask_max_cover;
    int fill;
} rq_recipe_opts;

/* NULL-terminated, for CHOICE rows. */
extern const char *const rq_recipe_names[];
extern const char *const rq_recipe_filters[];
extern const char *const rq_recipe_switches[];
extern const char *const rq_recipe_fills[];

/* Recipe "relicv2", nothing changed. */
rq_recipe_opts rq_recipe_opts_default(void);
/* Index of a recipe name, for a tool with another default: ro.recipe =
 * rq_recipe_index("linear"); -1 if unknown. */
int rq_recipe_index(const char *name);
/* The named recipe with the changes applied, and checked. */
RQ_NODISCARD rq_status rq_recipe_opts_apply(rq_recipe_opts *o, rq_recipe *r, rq_err *err);

#define RQ_RECIPE_NUMBER_(o, field, name, top, text)                                           \
    {                                                                                          \
        RQ_OPT_FLOAT, name, 0, &(o).field, "X", text, -1, top, NULL                            \
    }
#define RQ_RECIPE_COUNT_(o, field, name, top, text)                                            \
    {                                                                                          \
        RQ_OPT_INT, name, 0, &(o).field, "N", text, -1, top, NULL                              \
    }
#define RQ_RECIPE_CHOICE_(o, field, name, list, text)                                          \
    {                                                                                          \
        RQ_OPT_CHOICE, name, 0, &(o).field, "NAME", text, 0, 0, list                           \
    }

#define RQ_RECIPE_HEADING_                                                                     \
    {                                                                                          \
        RQ_OPT_GROUP, "", 0, NULL, NULL, "Recipe (-1 and \"recipe\": as the recipe has it)",   \
            0, 0, NULL                                                                         \
    }
/* All rows, for an rq_recipe_opts variable `o`. */
#define RQ_RECIPE_OPTS(o)                                                                      \
    RQ_RECIPE_HEADING_,                                                                        \
        RQ_RECIPE_CHOICE_(o, recipe, "recipe", rq_recipe_names,                                \
                          "views and what is done to them"),                                   \
        RQ_RECIPE_COUNT_(o, large, "large", 16, "large views per image"),                      \
        RQ_RECIPE_COUNT_(o, small, "small", 16, "small views per image"),                      \
        RQ_RECIPE_COUNT_(o, large_size, "large-size", 1024, "side of a large view, pixels"),   \
        RQ_RECIPE_COUNT_(o, small_size, "small-size", 1024, "side of a small view, pixels"),   \
        RQ_RECIPE_NUMBER_(o, large_area_min, "large-area-min", 1,                              \
                          "smallest area of a large crop, of the image"),                      \
        RQ_RECIPE_NUMBER_(o, large_area_max, "large-area-max", 1,                              \
                          "largest area of a large crop, of the image"),                       \
        RQ_RECIPE_NUMBER_(o, small_area_min, "small-area-min", 1,                              \
                          "smallest area of a small crop, of the image"),                      \
        RQ_RECIPE_NUMBER_(o, small_area_max, "small-area-max", 1,                              \
                          "largest area of a small crop, of the image"),                       \
        RQ_RECIPE_NUMBER_(o, ratio_min, "ratio-min", 10, "narrowest crop, width / height"),    \
        RQ_RECIPE_NUMBER_(o, ratio_max, "ratio-max", 10, "widest crop, width / height"),       \
        RQ_RECIPE_NUMBER_(o, p_flip, "p-flip", 1, "probability of the horizontal flip"),       \
        RQ_RECIPE_NUMBER_(o, center_fraction, "center-fraction", 1,                            \
                          "side of the centre crop, of the shorter side"),                     \
        RQ_RECIPE_CHOICE_(o, filter, "filter", rq_recipe_filters, "filter of the resize"),     \
        RQ_RECIPE_CHOICE_(o, antialias, "antialias", rq_recipe_switches,                       \
                          "widen the filter when a crop is made smaller"),                     \
        RQ_RECIPE_NUMBER_(o, p_jitter, "p-jitter", 1, "probability of colour jitter"),         \
        RQ_RECIPE_NUMBER_(o, brightness, "brightness", 1, "largest brightness change, added"), \
        RQ_RECIPE_NUMBER_(o, contrast, "contrast", 1,                                          \
                          "largest contrast change, a factor 1 +- X"),                         \
        RQ_RECIPE_NUMBER_(o, saturation, "saturation", 1,                                      \
                          "largest saturation change, a factor 1 +- X"),                       \
        RQ_RECIPE_NUMBER_(o, hue, "hue", 0.5, "largest hue change, in turns"),                 \
        RQ_RECIPE_NUMBER_(o, p_gray, "p-gray", 1, "probability of grey"),                      \
        RQ_RECIPE_NUMBER_(o, p_blur_a, "p-blur-a", 1,                                          \
                          "probability of blur in preset A (first, third, ... view)"),         \
        RQ_RECIPE_NUMBER_(o, p_blur_b, "p-blur-b", 1,                                          \
                          "probability of blur in preset B (second, fourth, ... view)"),       \
        RQ_RECIPE_NUMBER_(o, sigma_min, "sigma-min", 100, "least blur, view pixels"),          \
        RQ_RECIPE_NUMBER_(o, sigma_max, "sigma-max", 100, "most blur, view pixels"),           \
        RQ_RECIPE_NUMBER_(o, p_solarize_a, "p-solarize-a", 1,                                  \
                          "probability of solarising in preset A"),                            \
        RQ_RECIPE_NUMBER_(o, p_solarize_b, "p-solarize-b", 1,                                  \
                          "probability of solarising in preset B"),                            \
        RQ_RECIPE_NUMBER_(o, solarize_threshold, "solarize-threshold", 1,                      \
                          "values from here on become 1 - x"),                                 \
        RQ_RECIPE_NUMBER_(o, p_mask, "p-mask", 1,                                              \
                          "probability that a large view loses its background"),               \
        RQ_RECIPE_NUMBER_(o, mask_threshold, "mask-threshold", 1,                              \
                          "foreground where the mask is above"),                               \
        RQ_RECIPE_NUMBER_(o, mask_min_cover, "mask-min-cover", 1,                              \
                          "masks with less foreground are not used"),                          \
        RQ_RECIPE_NUMBER_(o, mask_max_cover, "mask-max-cover", 1,                              \
                          "masks with more foreground are not used"),                          \
        RQ_RECIPE_CHOICE_(o, fill, "fill", rq_recipe_fills, "what replaces the background")

#endif
