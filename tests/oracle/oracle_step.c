// SPDX-License-Identifier: Apache-2.0
//
// For train_step.py: runs a few training steps on views it makes itself and writes what a
// second implementation needs to do the last one again: views, negatives, weights before and
// after, gradients, loss. Compiled by the script against the libraries of the build.
#include "common/rng.h"
#include "train/trainer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 8, LARGE = 2, SMALL = 1, SIZE = 16, SMALL_SIZE = 8, STEPS_BEFORE = 3 };

static void die(const rq_err *err)
{
    fprintf(stderr, "%s\n", err->text);
    exit(1);
}

static void dump(const char *name, const void *data, size_t bytes)
{
    FILE *f = fopen(name, "wb");
    if (f == NULL || fwrite(data, 1, bytes, f) != bytes || fclose(f) != 0)
        exit(1);
}

static rq_train_config config(rq_err *err)
{
    rq_train_config c;
    if (rq_train_config_default(&c, err) != RQ_OK)
        die(err);
    c.model = (rq_model_opts){.arch = RQ_RESNET18,
                              .stem = RQ_STEM_CIFAR,
                              .base_width = 8,
                              .proj_hidden = 24,
                              .proj_out = 16,
                              .pred_hidden = 32};
    c.recipe.group[0].views = LARGE;
    c.recipe.group[0].size = SIZE;
    c.recipe.group[1].views = SMALL;
    c.recipe.group[1].size = SMALL_SIZE;
    c.batch = BATCH;
    c.loss.negatives = 4;
    c.optimizer.weight_decay = 1e-2f;
    c.optimizer.trust = 1e-2f;
    c.ema = .9f;
    c.seed = 5;
    return c;
}

static rq_batch make_batch(uint64_t seed)
{
    static uint8_t large[LARGE * BATCH * SIZE * SIZE * 3];
    static uint8_t small[SMALL * BATCH * SMALL_SIZE * SMALL_SIZE * 3];
    rq_rng r = rq_rng_make(seed, 0, 0, 0, 0);
    for (size_t i = 0; i < sizeof large; i++)
        large[i] = (uint8_t)rq_rng_below(&r, 256);
    for (size_t i = 0; i < sizeof small; i++)
        small[i] = (uint8_t)rq_rng_below(&r, 256);
    return (rq_batch){.images = BATCH,
                      .groups = 2,
                      .group = {{LARGE, SIZE, large}, {SMALL, SMALL_SIZE, small}}};
}

int main(int argc, char **argv)
{
    rq_err err = {0};
    rq_backend *b = NULL;
    rq_trainer *t = NULL;
    const rq_backend_opts bo = {.threads = 2, .precision = RQ_F32};
    const rq_train_config c = config(&err);
    const rq_train_plan plan = {.steps = 50, .warmup = 0, .peak_lr = 1};
    if (argc != 2 || rq_backend_create(&b, argv[1], &bo, &err) != RQ_OK ||
        rq_trainer_create(&t, b, &c, &plan, &err) != RQ_OK)
        die(&err);
    rq_step_stats s;
    for (uint64_t k = 0; k <= STEPS_BEFORE; k++) {
        const rq_batch batch = make_batch(k);
        if (k == STEPS_BEFORE) {
            if (rq_trainer_save(t, "before.safetensors", NULL, 0, &err) != RQ_OK)
                die(&err);
            dump("large.u8", batch.group[0].data, LARGE * BATCH * SIZE * SIZE * 3);
            dump("small.u8", batch.group[1].data, SMALL * BATCH * SMALL_SIZE * SMALL_SIZE * 3);
        }
        if (rq_trainer_step(t, &batch, &s, &err) != RQ_OK)
            die(&err);
    }
    const rq_weights grads = {.values = (float *)(uintptr_t)rq_trainer_grads(t)};
    const rq_checkpoint_info info = {0};
    if (rq_trainer_save(t, "after.safetensors", NULL, 0, &err) != RQ_OK ||
        rq_checkpoint_save("grads.safetensors", rq_trainer_model(t), &grads, &info, &err) !=
            RQ_OK)
        die(&err);
    dump("negatives.i32", rq_trainer_negatives(t),
         sizeof(int32_t) * (LARGE + SMALL) * LARGE * BATCH * (size_t)c.loss.negatives);
    printf("{\"loss\": %.9g, \"contrastive\": %.9g, \"invariance\": %.9g, \"lr\": %.17g, "
           "\"ema\": %.17g}\n",
           s.terms.loss, s.terms.contrastive, s.terms.invariance, s.lr, s.ema);
    rq_trainer_destroy(&t);
    rq_backend_destroy(&b);
    return 0;
}
