// SPDX-License-Identifier: Apache-2.0
//
// From a finished graph to plans, and from a plan to a launch. Three heuristics are asked, A,
// B and FALLBACK; A and B overlap, so a configuration is known by its engine and settings and
// is tried once. What an engine says about itself is looked at before its plan is built,
// because building is the expensive part.
#include "train/cuda/dnn_internal.h"

#include <stdio.h>
#include <string.h>

enum { NAME_BYTES = 224, MAX_KNOBS = CUDNN_KNOB_TYPE_COUNTS, MAX_CONFIGS = 512 };

struct rq_dg_plan {
    rq_dg *graph;
    rq_desc config; /* NULL in a loaded plan */
    rq_desc plan;
    int64_t workspace;
    char name[NAME_BYTES];
};

struct rq_dg_pack {
    const rq_dnnlib *lib;
    rq_desc pack;
};

/* An engine with its settings, before anything has been built of it. */
typedef struct config {
    rq_desc desc;
    char name[NAME_BYTES];
    unsigned traits; /* RQ_DG_NO_ that would forbid it */
} config;

typedef struct config_list {
    config *v;
    size_t n;
} config_list;

static rq_dnn calls(const rq_dg *g, const char *what, rq_err *err)
{
    return (rq_dnn){.lib = &g->device->lib, .what = what, .err = err};
}

/* ---- what a configuration is ------------------------------------------------------------- */

static unsigned read_traits(rq_dnn *c, rq_desc engine)
{
    cudnnBackendNumericalNote_t numerical[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    cudnnBackendBehaviorNote_t behaviour[CUDNN_BEHAVIOR_NOTE_TYPE_COUNT];
    unsigned traits = 0;

    int64_t n =
        rq_dnn_get(c, engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                   CUDNN_NUMERICAL_NOTE_TYPE_COUNT, numerical);
    for (int64_t i = 0; i < n; i++) {
        switch (numerical[i]) {
        case CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC:
            traits |= RQ_DG_NO_NONDETERMINISTIC;
            break;
        case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:
        case CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS:
        case CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION:
            traits |= RQ_DG_NO_TENSOR_CORE_F32;
            break;
        case CUDNN_NUMERICAL_NOTE_WINOGRAD:
        case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4:
        case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6:
        case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13:
        case CUDNN_NUMERICAL_NOTE_FFT:
            traits |= RQ_DG_NO_WINOGRAD;
            break;
        default:
            break;
        }
    }
    n = rq_dnn_get(c, engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE,
                   CUDNN_BEHAVIOR_NOTE_TYPE_COUNT, behaviour);
    for (int64_t i = 0; i < n; i++) {
        if (behaviour[i] == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION)
            traits |= RQ_DG_NO_RUNTIME_COMPILED;
    }
    return traits;
}

/* Appends "_k2=5" for each setting of the engine. cuDNN tells how many there are only while it
 * fills descriptors in, so there is one for each that could be; they are used again. */
static void name_knobs(rq_dnn *c, rq_desc desc, rq_desc *knobs, char *name)
{
    const int64_t n = rq_dnn_get(c, desc, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES,
                                 CUDNN_TYPE_BACKEND_DESCRIPTOR, MAX_KNOBS, knobs);

    for (int64_t i = 0; i < n; i++) {
        cudnnBackendKnobType_t type = CUDNN_KNOB_TYPE_COUNTS;
        int64_t value = 0;
        const size_t at = strlen(name);
        rq_dnn_get(c, knobs[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1,
                   &type);
        rq_dnn_get(c, knobs[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &value);
        snprintf(name + at, NAME_BYTES - at, "_k%d=%lld", (int)type, (long long)value);
    }
}

static void examine(rq_dnn *c, config *k, rq_desc *knobs)
{
    rq_desc engine = rq_dnn_make(c, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    int64_t id = -1;

    rq_dnn_get(c, k->desc, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
               &engine);
    rq_dnn_get(c, engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &id);
    snprintf(k->name, sizeof k->name, "eng%lld", (long long)id);
    name_knobs(c, k->desc, knobs, k->name);
    k->traits = read_traits(c, engine);
    rq_dnn_drop(c->lib, &engine);
}

static bool known(const config_list *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++) {
        if (strcmp(l->v[i].name, name) == 0)
            return true;
    }
    return false;
}

/* ---- the heuristics ---------------------------------------------------------------------- */

static rq_status keep_new(const rq_dg *g, config_list *l, rq_desc *found, int64_t n,
                          rq_err *err)
{
    rq_dnn c = calls(g, "engine configuration", err);
    rq_desc knobs[MAX_KNOBS] = {NULL};

    for (int i = 0; i < MAX_KNOBS; i++)
        knobs[i] = rq_dnn_make(&c, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
    for (int64_t i = 0; i < n && c.status == RQ_OK; i++) {
        config k = {.desc = found[i]};
        examine(&c, &k, knobs);
        if (c.status != RQ_OK)
            break;
        if (l->n == MAX_CONFIGS || known(l, k.name))
            continue;
        l->v[l->n++] = k;
        found[i] = NULL; /* the list owns it */
    }
    for (int i = 0; i < MAX_KNOBS; i++)
        rq_dnn_drop(c.lib, &knobs[i]);
    return c.status;
}

static rq_status ask(const rq_dg *g, cudnnBackendHeurMode_t mode, config_list *l, rq_err *err)
{
    rq_dnn c = calls(g, "engine heuristics", err);
    rq_desc *found = NULL;
    rq_desc heur = rq_dnn_make(&c, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);

    rq_dnn_set_desc(&c, heur, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, g->graph);
    rq_dnn_set(&c, heur, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    rq_dnn_set_desc(&c, heur, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, g->device->prop);
    /* A heuristic that knows nothing about such a graph says so here: no configurations. */
    if (c.status == RQ_OK && g->device->lib.cudnnBackendFinalize(heur) != CUDNN_STATUS_SUCCESS)
        goto done;
    const int64_t n = rq_dnn_get(&c, heur, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                 CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, NULL);
    if (c.status != RQ_OK || n == 0)
        goto done;
    found = rq_calloc((size_t)n, sizeof *found);
    if (!found) {
        c.status = rq_fail(err, RQ_OOM, "cuDNN: out of memory");
        goto done;
    }
    for (int64_t i = 0; i < n; i++)
        found[i] = rq_dnn_make(&c, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    const int64_t got = rq_dnn_get(&c, heur, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                   CUDNN_TYPE_BACKEND_DESCRIPTOR, n, found);
    if (c.status == RQ_OK)
        c.status = keep_new(g, l, found, got < n ? got : n, err);
    for (int64_t i = 0; i < n; i++)
        rq_dnn_drop(&g->device->lib, &found[i]);
done:
    rq_free(found);
    rq_dnn_drop(&g->device->lib, &heur);
    return c.status;
}

static void free_configs(const rq_dg *g, config_list *l)
{
    for (size_t i = 0; l->v && i < l->n; i++)
        rq_dnn_drop(&g->device->lib, &l->v[i].desc);
    rq_free(l->v);
}

/* ---- plans ------------------------------------------------------------------------------- */

static rq_status new_plan(rq_dg_plan **out, rq_dg *g, const char *name, rq_err *err)
{
    *out = rq_calloc(1, sizeof **out);
    if (!*out)
        return rq_fail(err, RQ_OOM, "cuDNN: out of memory");
    (*out)->graph = g;
    snprintf((*out)->name, sizeof(*out)->name, "%s", name);
    return RQ_OK;
}

void rq_dg_plan_destroy(rq_dg_plan **p)
{
    if (!p || !*p)
        return;
    const rq_dnnlib *lib = &(*p)->graph->device->lib;
    rq_dnn_drop(lib, &(*p)->plan);
    rq_dnn_drop(lib, &(*p)->config);
    rq_free(*p);
    *p = NULL;
}

/* Takes over k->desc. *out stays NULL when cuDNN refuses to build it, which is no failure. */
static rq_status build(rq_dg_plan **out, rq_dg *g, config *k, rq_err *err)
{
    rq_err refusal = {0};
    rq_dnn c = calls(g, "execution plan", &refusal);

    RQ_TRY(new_plan(out, g, k->name, err));
    rq_dg_plan *p = *out;
    p->config = k->desc;
    k->desc = NULL;
    p->plan = rq_dnn_make(&c, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    rq_dnn_set_desc(&c, p->plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, p->config);
    rq_dnn_set_desc(&c, p->plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, g->device->prop);
    rq_dnn_finalize(&c, p->plan);
    rq_dnn_get(&c, p->plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1,
               &p->workspace);
    if (c.status != RQ_OK || p->workspace < 0)
        rq_dg_plan_destroy(out);
    return RQ_OK;
}

/* Notes what became of one configuration; keeps its plan in *out if it passes. */
static rq_status consider(rq_dg_plan **out, rq_dg *g, config *k, const rq_dg_filter *f,
                          rq_dg_report *r, rq_err *err)
{
    *out = NULL;
    r->listed++;
    if (k->traits & f->forbid) {
        r->forbidden++;
        return RQ_OK;
    }
    RQ_TRY(build(out, g, k, err));
    if (!*out) {
        r->refused++;
        return RQ_OK;
    }
    const size_t need = (size_t)(*out)->workspace;
    if (need > f->workspace) {
        if (r->too_large++ == 0 || need < r->smallest_workspace)
            r->smallest_workspace = need;
        rq_dg_plan_destroy(out);
    }
    return RQ_OK;
}

/* One heuristic after the other, so that those that are not needed are not asked. */
static rq_status search(rq_dg *g, const rq_dg_filter *f, config_list *l, rq_dg_plan **plans,
                        size_t max, size_t *n, rq_dg_report *r, rq_err *err)
{
    static const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_B,
                                                   CUDNN_HEUR_MODE_FALLBACK};

    for (size_t m = 0; m < sizeof modes / sizeof modes[0] && *n < max; m++) {
        const size_t first = l->n;
        RQ_TRY(ask(g, modes[m], l, err));
        for (size_t i = first; i < l->n && *n < max; i++) {
            RQ_TRY(consider(&plans[*n], g, &l->v[i], f, r, err));
            if (plans[*n])
                ++*n;
        }
    }
    return RQ_OK;
}

rq_status rq_dg_plans(rq_dg *g, const rq_dg_filter *f, rq_dg_plan **plans, size_t max,
                      size_t *n, rq_dg_report *report, rq_err *err)
{
    rq_dg_report r = {0};
    config_list l = {.v = rq_calloc(MAX_CONFIGS, sizeof *l.v)};

    *n = 0;
    if (!g->graph || g->c.status != RQ_OK)
        return rq_fail(err, RQ_INTERNAL, "cuDNN graph: plans wanted before it was finished");
    if (!l.v)
        return rq_fail(err, RQ_OOM, "cuDNN: out of memory");
    const rq_status st = search(g, f, &l, plans, max, n, &r, err);
    free_configs(g, &l);
    while (st != RQ_OK && *n > 0)
        rq_dg_plan_destroy(&plans[--*n]);
    if (report)
        *report = r;
    return st;
}

rq_status rq_dg_no_plan(const rq_dg *g, const rq_dg_filter *f, const rq_dg_report *r,
                        rq_err *err)
{
    char text[256];

    snprintf(text, sizeof text, "%s", rq_dg_text(g));
    for (char *p = text; (p = strchr(p, '\n')) != NULL;)
        *p = p[1] ? ';' : '\0';
    return rq_fail(err, RQ_UNSUPPORTED,
                   "cuDNN %zu.%zu has no engine for {%s} on %s: of %d configurations %d are "
                   "forbidden here, %d refused, %d need more than %zu MiB of workspace%s",
                   g->device->lib.version / 10000, g->device->lib.version / 100 % 100, text,
                   g->device->name, r->listed, r->forbidden, r->refused, r->too_large,
                   f->workspace >> 20, r->too_large ? "; allow more" : "");
}

size_t rq_dg_plan_workspace(const rq_dg_plan *p)
{
    return (size_t)p->workspace;
}

const char *rq_dg_plan_name(const rq_dg_plan *p)
{
    return p->name;
}

rq_status rq_dg_plan_save(const rq_dg_plan *p, rq_buf *json, rq_err *err)
{
    rq_dnn c = calls(p->graph, "saving a plan", err);

    rq_dnn_json(&c, p->plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, json);
    return c.status;
}

rq_status rq_dg_plan_load(rq_dg_plan **out, rq_dg *g, const char *name, const char *json,
                          size_t bytes, rq_err *err)
{
    rq_dnn c = calls(g, "loading a plan", err);

    RQ_TRY(new_plan(out, g, name, err));
    rq_dg_plan *p = *out;
    p->plan = rq_dnn_make(&c, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    rq_dnn_set_desc(&c, p->plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, g->device->prop);
    rq_dnn_set(&c, p->plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
               (int64_t)bytes, json);
    rq_dnn_finalize(&c, p->plan);
    rq_dnn_get(&c, p->plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1,
               &p->workspace);
    if (c.status != RQ_OK)
        rq_dg_plan_destroy(out);
    return c.status;
}

/* ---- running ----------------------------------------------------------------------------- */

rq_status rq_dg_pack_create(rq_dg_pack **out, const rq_dg_plan *p, void *const *pointers,
                            void *workspace, rq_err *err)
{
    const rq_dg *g = p->graph;
    rq_dnn c = calls(g, "variant pack", err);
    int64_t ids[RQ_DG_MAX_TENSORS], n = 0;
    void *stored[RQ_DG_MAX_TENSORS];

    *out = rq_calloc(1, sizeof **out);
    if (!*out)
        return rq_fail(err, RQ_OOM, "cuDNN: out of memory");
    for (int i = 0; i < g->n_tensors; i++) {
        if (g->virt[i])
            continue;
        ids[n] = i + 1;
        stored[n++] = pointers[i];
    }
    (*out)->lib = &g->device->lib;
    rq_desc d = (*out)->pack = rq_dnn_make(&c, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    rq_dnn_set(&c, d, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n, ids);
    rq_dnn_set(&c, d, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n, stored);
    rq_dnn_set(&c, d, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    rq_dnn_finalize(&c, d);
    if (c.status != RQ_OK)
        rq_dg_pack_destroy(out);
    return c.status;
}

void rq_dg_pack_destroy(rq_dg_pack **p)
{
    if (!p || !*p)
        return;
    rq_dnn_drop((*p)->lib, &(*p)->pack);
    rq_free(*p);
    *p = NULL;
}

rq_status rq_dg_run(const rq_dg_plan *p, const rq_dg_pack *pack, rq_err *err)
{
    rq_dg_device *d = p->graph->device;
    rq_dnn c = calls(p->graph, "running a plan", err);

    if (!d->handle)
        return rq_fail(err, RQ_DEVICE, "%s is a description here, not a device", d->name);
    rq_dnn_note(&c, d->lib.cudnnBackendExecute(d->handle, p->plan, pack->pack), "launch");
    return c.status;
}
