// SPDX-License-Identifier: Apache-2.0
//
// ResNet v1.5 (stride on the 3x3 of a bottleneck, as torchvision) and its heads, laid out as a
// list of layers. The shortcut's convolution comes right before the BatchNorm that adds it, so
// that as few values as possible are alive at once.
#include "train/resnet.h"

#include "common/mem.h"

#include <stdio.h>

typedef struct builder {
    rq_layer *layers;
    size_t n, cap;
    size_t params, bns;
    int value; /* last value made */
    rq_model_part part;
    const char *prefix; /* "encoder." or of the current block */
    rq_err *err;
    rq_status status; /* first failure; later calls do nothing */
} builder;

/* blocks per stage */
static const struct {
    const char *name;
    int blocks[4];
    bool bottleneck;
} archs[] = {
    [RQ_RESNET18] = {"resnet18", {2, 2, 2, 2}, false},
    [RQ_RESNET34] = {"resnet34", {3, 4, 6, 3}, false},
    [RQ_RESNET50] = {"resnet50", {3, 4, 6, 3}, true},
    [RQ_RESNET101] = {"resnet101", {3, 4, 23, 3}, true},
    [RQ_RESNET152] = {"resnet152", {3, 8, 36, 3}, true},
    [RQ_RESNET200] = {"resnet200", {3, 24, 36, 3}, true},
};

const char *rq_arch_name(rq_arch arch)
{
    return archs[arch].name;
}

/* Appends a layer that reads `in`; returns the value it makes. */
static int add(builder *b, const char *name, rq_layer l, int in)
{
    if (b->status != RQ_OK)
        return b->value;
    b->status = rq_grow((void **)&b->layers, &b->cap, b->n + 1, sizeof *b->layers, b->err);
    if (b->status != RQ_OK)
        return b->value;
    snprintf(l.name, sizeof l.name, "%s%s", b->prefix, name);
    l.part = b->part;
    l.in = in;
    l.out = ++b->value;
    l.param = b->params;
    l.bn = b->bns;
    if (l.kind == RQ_LAYER_BN) {
        b->params += 2;
        b->bns++;
    } else if (l.kind == RQ_LAYER_CONV || l.kind == RQ_LAYER_LINEAR) {
        b->params += l.bias ? 2 : 1;
    }
    b->layers[b->n++] = l;
    return l.out;
}

static int conv(builder *b, const char *name, int in, int c_in, int c_out, int k, int stride)
{
    const rq_layer l = {.kind = RQ_LAYER_CONV,
                        .residual = -1,
                        .c_in = c_in,
                        .c_out = c_out,
                        .k = k,
                        .stride = stride};
    return add(b, name, l, in);
}

/* residual -1: none */
static int bn(builder *b, const char *name, int in, int channels, bool relu, int residual)
{
    const rq_layer l = {.kind = RQ_LAYER_BN,
                        .residual = residual,
                        .c_in = channels,
                        .c_out = channels,
                        .relu = relu,
                        .zero_init = residual >= 0};
    return add(b, name, l, in);
}

static int linear(builder *b, const char *name, int in, int c_in, int c_out, bool bias)
{
    const rq_layer l = {
        .kind = RQ_LAYER_LINEAR, .residual = -1, .c_in = c_in, .c_out = c_out, .bias = bias};
    return add(b, name, l, in);
}

static int block(builder *b, int in, int c_in, int planes, int c_out, int stride,
                 bool bottleneck)
{
    int v = conv(b, "conv1", in, c_in, planes, bottleneck ? 1 : 3, bottleneck ? 1 : stride);
    v = bn(b, "bn1", v, planes, true, -1);
    v = conv(b, "conv2", v, planes, planes, 3, bottleneck ? stride : 1);
    if (bottleneck) {
        v = bn(b, "bn2", v, planes, true, -1);
        v = conv(b, "conv3", v, planes, c_out, 1, 1);
    }
    int shortcut = in;
    if (stride != 1 || c_in != c_out) {
        shortcut = conv(b, "downsample.0", in, c_in, c_out, 1, stride);
        shortcut = bn(b, "downsample.1", shortcut, c_out, false, -1);
    }
    return bn(b, bottleneck ? "bn3" : "bn2", v, c_out, true, shortcut);
}

/* Returns the value of the pooled features; *features is their width. */
static int encoder(builder *b, const rq_model_opts *o, int *features)
{
    const bool imagenet = o->stem == RQ_STEM_IMAGENET, deep = archs[o->arch].bottleneck;
    int c = o->base_width;

    b->part = RQ_PART_ENCODER;
    b->prefix = "encoder.";
    int v = conv(b, "conv1", 0, 3, c, imagenet ? 7 : 3, imagenet ? 2 : 1);
    v = bn(b, "bn1", v, c, true, -1);
    if (imagenet) {
        const rq_layer pool = {.kind = RQ_LAYER_MAXPOOL,
                               .residual = -1,
                               .c_in = c,
                               .c_out = c,
                               .k = 3,
                               .stride = 2};
        v = add(b, "maxpool", pool, v);
    }
    for (int stage = 0; stage < 4; stage++) {
        const int planes = o->base_width << stage, c_out = deep ? 4 * planes : planes;
        for (int i = 0; i < archs[o->arch].blocks[stage]; i++) {
            char prefix[32];
            snprintf(prefix, sizeof prefix, "encoder.layer%d.%d.", stage + 1, i);
            b->prefix = prefix;
            v = block(b, v, c, planes, c_out, stage > 0 && i == 0 ? 2 : 1, deep);
            c = c_out;
        }
    }
    b->prefix = "encoder.";
    const rq_layer gap = {.kind = RQ_LAYER_GAP, .residual = -1, .c_in = c, .c_out = c};
    *features = c;
    return add(b, "avgpool", gap, v);
}

/* Linear, BN, ReLU, Linear: the shape of projector and predictor. */
static int head(builder *b, rq_model_part part, int in, int c_in, int hidden, int out)
{
    b->part = part;
    b->prefix = part == RQ_PART_PROJECTOR ? "projector." : "predictor.";
    int v = linear(b, "fc1", in, c_in, hidden, true);
    v = bn(b, "bn1", v, hidden, true, -1);
    return linear(b, "fc2", v, hidden, out, false);
}

rq_status rq_resnet_layers(const rq_model_opts *o, rq_layer **layers, size_t *n_layers,
                           rq_err *err)
{
    builder b = {.err = err};
    int features;
    int v = encoder(&b, o, &features);

    if (o->classes > 0) {
        b.part = RQ_PART_FC;
        b.prefix = "";
        v = linear(&b, "fc", v, features, o->classes, true);
    } else if (o->proj_hidden > 0) {
        v = head(&b, RQ_PART_PROJECTOR, v, features, o->proj_hidden, o->proj_out);
        if (o->pred_hidden > 0)
            v = head(&b, RQ_PART_PREDICTOR, v, o->proj_out, o->pred_hidden, o->proj_out);
    }
    *layers = NULL;
    *n_layers = 0;
    if (b.status != RQ_OK) {
        rq_free(b.layers);
        return b.status;
    }
    *layers = b.layers;
    *n_layers = b.n;
    return RQ_OK;
}
