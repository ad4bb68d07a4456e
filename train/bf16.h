/* bfloat16: the upper half of a float. Internal to train/. */
#ifndef RQ_TRAIN_BF16_H
#define RQ_TRAIN_BF16_H

#include <stdint.h>
#include <string.h>

static inline float rq_bf16_to_f32(uint16_t h)
{
    const uint32_t u = (uint32_t)h << 16;
    float f;

    memcpy(&f, &u, sizeof f);
    return f;
}

/* To nearest, ties to even. Infinities stay; of NaN only the quiet one that arithmetic makes is
 * kept as NaN. */
static inline uint16_t rq_bf16_from_f32(float f)
{
    uint32_t u;

    memcpy(&u, &f, sizeof u);
    return (uint16_t)((u + 0x7FFFu + ((u >> 16) & 1u)) >> 16);
}

#endif
