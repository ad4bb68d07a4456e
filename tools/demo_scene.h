/* The demo's pictures: one object of a known class in front of a background that says nothing
 * about the class.
 *
 * A class is a shape, what it is made of, and roughly a hue; neighbouring classes share hues
 * and some share a surface. Size, place, rotation and everything about the background are drawn
 * independently of it, and every surface is a kind of background too, so most pixels of a
 * picture are misleading. */
#ifndef RQ_TOOLS_DEMO_SCENE_H
#define RQ_TOOLS_DEMO_SCENE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { RQ_SCENE_CLASSES = 8 };

/* "bars", "crescent", "cross", "disc", "ring", "square", "star", "triangle": in byte order, so
 * that the label a dataset gives them is the number here. */
const char *rq_scene_class_name(int label);

/* Paints rgb[size][size][3] and mask[size][size] (255: object; the border is anti-aliased).
 * A pure function of (seed, split, index, label): train is split 0, val is split 1. */
void rq_scene_paint(uint8_t *rgb, uint8_t *mask, int size, uint64_t seed, uint32_t split,
                    uint64_t index, int label);

#ifdef __cplusplus
}
#endif
#endif
