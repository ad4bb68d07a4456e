// SPDX-License-Identifier: Apache-2.0
//
// Paints the demo's pictures. Shapes are signed distances in a frame where the object has about
// radius 1; one pixel's worth of distance gives the anti-aliased border, which is the mask too.
// The picture spans [-1, 1] in both axes whatever its size.
#include "tools/demo_scene.h"

#include "common/rng.h"

#include <math.h>
#include <stdbool.h>

static const char *const class_names[RQ_SCENE_CLASSES] = {
    "bars", "crescent", "cross", "disc", "ring", "square", "star", "triangle"};

const char *rq_scene_class_name(int label)
{
    return class_names[label];
}

typedef struct color {
    float c[3];
} color;

typedef struct vec {
    float x, y;
} vec;

/* ---- shapes: negative inside ------------------------------------------------------------ */

static float sd_bars(vec p)
{
    const float row = roundf(p.y / 0.62f);
    const float nearest = row < -1 ? -1 : row > 1 ? 1 : row;
    return fmaxf(fabsf(p.x) - 0.85f, fabsf(p.y - nearest * 0.62f) - 0.18f);
}

static float sd_crescent(vec p)
{
    return fmaxf(hypotf(p.x, p.y) - 0.9f, 0.72f - hypotf(p.x - 0.45f, p.y));
}

static float sd_cross(vec p)
{
    const float x = fabsf(p.x), y = fabsf(p.y);
    return fminf(fmaxf(x - 0.28f, y - 0.9f), fmaxf(y - 0.28f, x - 0.9f));
}

static float sd_disc(vec p)
{
    return hypotf(p.x, p.y) - 0.82f;
}

static float sd_ring(vec p)
{
    return fabsf(hypotf(p.x, p.y) - 0.68f) - 0.2f;
}

static float sd_square(vec p)
{
    return fmaxf(fabsf(p.x), fabsf(p.y)) - 0.72f;
}

/* Five points: the angle is folded into one half of a point, whose edge runs from the tip to
 * the inner corner. */
static float sd_star(vec p)
{
    const float turn = 6.2831853f / 5, half = turn / 2, tip = 1.0f, inner = 0.42f;
    const float r = hypotf(p.x, p.y);
    const float a = fabsf(remainderf(atan2f(p.x, -p.y), turn));
    const vec q = {r * cosf(a), r * sinf(a)};
    const vec in = {inner * cosf(half), inner * sinf(half)};
    const vec edge = {in.x - tip, in.y};
    return ((q.x - tip) * -edge.y + q.y * edge.x) / hypotf(edge.x, edge.y) * -1.0f;
}

static float sd_triangle(vec p)
{
    return fmaxf(fabsf(p.x) * 0.8660254f - p.y * 0.5f, p.y) - 0.5f;
}

static float (*const shapes[RQ_SCENE_CLASSES])(vec) = {
    sd_bars, sd_crescent, sd_cross, sd_disc, sd_ring, sd_square, sd_star, sd_triangle};

/* ---- textures: 0..1 at a point ---------------------------------------------------------- */

static float lattice(uint32_t salt, int x, int y)
{
    uint32_t h = salt ^ (uint32_t)x * 0x8DA6B343u ^ (uint32_t)y * 0xD8163841u;
    h = (h ^ h >> 15) * 0x2C1B3C6Du;
    h = (h ^ h >> 12) * 0x297A2D39u;
    return (float)(h >> 8) * 0x1p-24f;
}

static float value_noise(uint32_t salt, float x, float y)
{
    const float fx = floorf(x), fy = floorf(y);
    const int ix = (int)fx, iy = (int)fy;
    float tx = x - fx, ty = y - fy;
    tx = tx * tx * (3 - 2 * tx);
    ty = ty * ty * (3 - 2 * ty);
    const float top = lattice(salt, ix, iy) * (1 - tx) + lattice(salt, ix + 1, iy) * tx;
    const float low = lattice(salt, ix, iy + 1) * (1 - tx) + lattice(salt, ix + 1, iy + 1) * tx;
    return top * (1 - ty) + low * ty;
}

static float fractal_noise(uint32_t salt, float x, float y)
{
    float sum = 0, weight = 0.5f;
    for (uint32_t octave = 0; octave < 5; octave++, weight *= 0.5f, x *= 2, y *= 2)
        sum += weight * value_noise(salt + octave * 7919, x, y);
    return sum / 0.97f;
}

enum { BG_GRADIENT, BG_STRIPES, BG_CHECKERS, BG_CLOUDS, BG_BLOBS, BG_RINGS, BG_KINDS };

typedef struct texture {
    int kind;
    uint32_t salt;
    float frequency, cos_a, sin_a, phase;
    color a, b;
} texture;

static float pattern(const texture *t, vec p)
{
    const float u = p.x * t->cos_a + p.y * t->sin_a, v = p.y * t->cos_a - p.x * t->sin_a;
    const float f = t->frequency;
    switch (t->kind) {
    case BG_STRIPES:
        return 0.5f + 0.5f * tanhf(3 * sinf(u * f * 3 + t->phase));
    case BG_CHECKERS:
        return 0.5f + 0.5f * tanhf(6 * sinf(u * f * 2 + t->phase) * sinf(v * f * 2));
    case BG_CLOUDS:
        return fractal_noise(t->salt, u * f + 64, v * f + 64);
    case BG_BLOBS: {
        const float n = value_noise(t->salt, u * f * 1.5f + 64, v * f * 1.5f + 64);
        return 0.5f + 0.5f * tanhf(12 * (n - 0.5f));
    }
    case BG_RINGS:
        return 0.5f + 0.5f * sinf(hypotf(p.x - t->cos_a, p.y - t->sin_a) * f * 4 + t->phase);
    default:
        return 0.5f + 0.5f * u;
    }
}

static color texture_at(const texture *t, vec p)
{
    float m = pattern(t, p);
    m = m < 0 ? 0 : m > 1 ? 1 : m;
    color out;
    for (int i = 0; i < 3; i++)
        out.c[i] = t->a.c[i] + (t->b.c[i] - t->a.c[i]) * m;
    return out;
}

/* ---- drawing a scene -------------------------------------------------------------------- */

/* What objects of a class are made of. Some classes share a surface, so that it takes the shape
 * to tell them apart, and every surface is a kind of background too, so that finding it in a
 * picture is not enough. */
static const int surfaces[RQ_SCENE_CLASSES] = {BG_GRADIENT, BG_CLOUDS,   BG_CHECKERS,
                                               BG_RINGS,    BG_GRADIENT, BG_BLOBS,
                                               BG_STRIPES,  BG_CHECKERS};

typedef struct scene {
    texture back, front; /* front lies in the frame of the object */
    int label;
    vec centre;
    float radius, cos_r, sin_r, stretch;
    uint32_t grain;
} scene;

/* HSV with the hue in turns. */
static color from_hsv(float hue, float saturation, float value)
{
    const float h = (hue - floorf(hue)) * 6, chroma = value * saturation;
    color k;
    for (int i = 0; i < 3; i++) {
        const float share = 2 - fabsf(remainderf(h - 2 * (float)i, 6));
        k.c[i] = value - chroma + chroma * (share < 0 ? 0 : share > 1 ? 1 : share);
    }
    return k;
}

static color draw_dull(rq_rng *r)
{
    const float hue = rq_rng_float(r), saturation = rq_rng_range(r, 0.05f, 0.7f);
    return from_hsv(hue, saturation, rq_rng_range(r, 0.15f, 0.95f));
}

/* Near the hue of the class, more or less, as leaves are green and bricks red. */
static color draw_bright(rq_rng *r, int label)
{
    const float hue = (float)label / RQ_SCENE_CLASSES + rq_rng_range(r, -0.1f, 0.1f);
    const float saturation = rq_rng_range(r, 0.6f, 1.0f);
    return from_hsv(hue, saturation, rq_rng_range(r, 0.6f, 1.0f));
}

static texture draw_texture(rq_rng *r, int kind)
{
    texture t = {.kind = kind, .salt = rq_rng_u32(r)};
    const float angle = rq_rng_range(r, 0, 6.2831853f);
    t.frequency = rq_rng_range(r, 1.5f, 4.5f);
    t.cos_a = cosf(angle);
    t.sin_a = sinf(angle);
    t.phase = rq_rng_range(r, 0, 6.2831853f);
    t.a = draw_dull(r);
    t.b = draw_dull(r);
    return t;
}

static texture draw_surface(rq_rng *r, int label)
{
    texture t = draw_texture(r, surfaces[label]);
    t.frequency = rq_rng_range(r, 2.6f, 3.4f);
    t.a = draw_bright(r, label);
    for (int i = 0; i < 3; i++)
        t.b.c[i] = t.a.c[i] * 0.35f;
    return t;
}

static scene draw_scene(uint64_t seed, uint32_t split, uint64_t index, int label)
{
    rq_rng r = rq_rng_make(seed, split, index, 0, 0);
    scene s = {.label = label};
    s.back = draw_texture(&r, (int)rq_rng_below(&r, BG_KINDS));
    s.front = draw_surface(&r, label);
    s.radius = rq_rng_range(&r, 0.5f, 0.8f);
    const float room = 0.98f - s.radius;
    s.centre.x = rq_rng_range(&r, -room, room);
    s.centre.y = rq_rng_range(&r, -room, room);
    const float angle = rq_rng_range(&r, -0.5f, 0.5f);
    s.cos_r = cosf(angle);
    s.sin_r = sinf(angle);
    s.stretch = rq_rng_range(&r, 0.88f, 1.14f);
    s.grain = rq_rng_u32(&r);
    return s;
}

/* The point in the frame of the object, where it is upright and of radius 1. */
static vec to_object(const scene *s, vec p)
{
    const float dx = (p.x - s->centre.x) / s->radius, dy = (p.y - s->centre.y) / s->radius;
    return (vec){(dx * s->cos_r + dy * s->sin_r) * s->stretch,
                 (dy * s->cos_r - dx * s->sin_r) / s->stretch};
}

/* How much of the pixel at q is object, 0..1; `pixel` is its width in the picture. */
static float coverage(const scene *s, vec q, float pixel)
{
    const float d = shapes[s->label](q) * s->radius / pixel;
    return d <= -0.5f ? 1 : d >= 0.5f ? 0 : 0.5f - d;
}

static uint8_t to_byte(float v)
{
    return (uint8_t)(v <= 0 ? 0 : v >= 1 ? 255 : v * 255 + 0.5f);
}

void rq_scene_paint(uint8_t *rgb, uint8_t *mask, int size, uint64_t seed, uint32_t split,
                    uint64_t index, int label)
{
    const scene s = draw_scene(seed, split, index, label);
    const float pixel = 2.0f / (float)size;
    for (int y = 0; y < size; y++) {
        for (int x = 0; x < size; x++, rgb += 3, mask++) {
            const vec p = {((float)x + 0.5f) * pixel - 1, ((float)y + 0.5f) * pixel - 1};
            const vec q = to_object(&s, p);
            const float m = coverage(&s, q, pixel);
            const color back = texture_at(&s.back, p), front = texture_at(&s.front, q);
            const float grain = (lattice(s.grain, x, y) - 0.5f) * 0.06f;
            for (int i = 0; i < 3; i++)
                rgb[i] = to_byte(back.c[i] + (front.c[i] - back.c[i]) * m + grain);
            *mask = to_byte(m);
        }
    }
}
