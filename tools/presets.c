// SPDX-License-Identifier: Apache-2.0
//
// The presets as text, in the words of the command line: what a preset sets can be read here,
// typed by hand, and looked up in --help. Values are given reasons in train/README.md.
#include "tools/presets.h"

#include <string.h>

/* Learning rate, weight decay and EMA momentum by length of training follow BYOL's presets;
 * everything not named is the default: RELICv2 on ResNet-50. */
static const char *const rn50_1000[] = {"--epochs=1000", "--lr=0.3", "--weight-decay=1.5e-6",
                                        "--ema=0.996", NULL};
static const char *const rn50_300[] = {"--epochs=300", "--lr=0.3", "--weight-decay=1e-6",
                                       "--ema=0.99", NULL};
static const char *const rn50_100[] = {"--epochs=100", "--lr=0.45", "--weight-decay=1e-6",
                                       "--ema=0.99", NULL};
static const char *const rn50_40[] = {"--epochs=40", "--lr=0.45", "--weight-decay=1e-6",
                                      "--ema=0.97", NULL};
static const char *const rn18[] = {"--arch=resnet18",
                                   "--epochs=100",
                                   "--batch=256",
                                   "--lr=0.45",
                                   "--ema=0.99",
                                   "--weight-decay=1e-6",
                                   "--proj-hidden=1024",
                                   "--pred-hidden=1024",
                                   "--alpha=1",
                                   "--beta=1",
                                   NULL};
/* 32-pixel images on two CPU cores in 20 minutes. */
static const char *const cifar_rn18[] = {"--arch=resnet18",
                                         "--stem=cifar",
                                         "--base-width=16",
                                         "--proj-hidden=512",
                                         "--proj-out=128",
                                         "--pred-hidden=512",
                                         "--precision=auto",
                                         "--batch=128",
                                         "--epochs=17",
                                         "--warmup-epochs=1",
                                         "--lr=8",
                                         "--weight-decay=1e-6",
                                         "--ema=0.95",
                                         "--alpha=1",
                                         "--beta=1",
                                         "--negatives=100",
                                         "--large=2",
                                         "--small=2",
                                         "--large-size=32",
                                         "--small-size=16",
                                         "--large-area-min=0.2",
                                         "--small-area-min=0.1",
                                         "--small-area-max=0.4",
                                         "--p-blur-a=0",
                                         "--p-blur-b=0",
                                         "--p-mask=0",
                                         "--eval-fraction=1",
                                         NULL};
static const char *const demo[] = {"--arch=resnet18",
                                   "--stem=cifar",
                                   "--base-width=16",
                                   "--proj-hidden=256",
                                   "--proj-out=64",
                                   "--pred-hidden=256",
                                   "--precision=auto",
                                   "--batch=64",
                                   "--epochs=20",
                                   "--warmup-epochs=1",
                                   "--lr=5",
                                   "--weight-decay=1e-6",
                                   "--ema=0.98",
                                   "--alpha=1",
                                   "--beta=1",
                                   "--negatives=60",
                                   "--large=2",
                                   "--small=2",
                                   "--large-size=32",
                                   "--small-size=16",
                                   "--large-area-min=0.3",
                                   "--small-area-min=0.15",
                                   "--small-area-max=0.5",
                                   "--p-gray=0.1",
                                   "--p-blur-a=0.2",
                                   "--p-blur-b=0.1",
                                   "--p-mask=0.5",
                                   "--eval-fraction=1",
                                   NULL};

const char *const rq_preset_names[] = {"relicv2-rn50-1000",
                                       "relicv2-rn50-300",
                                       "relicv2-rn50-100",
                                       "relicv2-rn50-40",
                                       "relicv2-rn18",
                                       "cifar-rn18",
                                       "demo",
                                       NULL};
static const char *const *const presets[] = {rn50_1000, rn50_300,   rn50_100, rn50_40,
                                             rn18,      cifar_rn18, demo};

enum { MAX_ROWS = 64 };

int rq_preset_in_arguments(int argc, char **argv)
{
    static const char name[] = "--preset";
    const size_t n = sizeof name - 1;
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        const char *value = NULL;
        if (strncmp(argv[i], name, n) == 0 && argv[i][n] == '=')
            value = argv[i] + n + 1;
        else if (strcmp(argv[i], name) == 0 && i + 1 < argc)
            value = argv[i + 1];
        for (int k = 0; value != NULL && rq_preset_names[k] != NULL; k++) {
            if (strcmp(value, rq_preset_names[k]) == 0)
                return k;
        }
    }
    return -1;
}

const char *const *rq_preset_options(int i)
{
    return presets[i];
}

rq_status rq_preset_apply(int i, const rq_opt *opts, rq_err *err)
{
    static char command[] = "preset";
    char *argv[MAX_ROWS + 2] = {command};
    char text[MAX_ROWS][48];
    int argc = 1, n_args;
    for (const char *const *row = presets[i]; *row != NULL && argc <= MAX_ROWS; row++) {
        const size_t n = strlen(*row);
        if (n >= sizeof text[0])
            return rq_fail(err, RQ_INTERNAL, "preset %s: %s is too long", rq_preset_names[i],
                           *row);
        argv[argc] = memcpy(text[argc - 1], *row, n + 1);
        argc++;
    }
    if (rq_cli_parse(argc, argv, "", NULL, opts, &n_args) >= 0)
        return rq_fail(err, RQ_INTERNAL, "preset %s does not fit the options",
                       rq_preset_names[i]);
    return RQ_OK;
}
