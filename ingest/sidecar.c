// SPDX-License-Identifier: Apache-2.0
// WebDataset samples: members of one archive that stand together and share a KEY, the path up
// to the first dot of its last part. KEY.cls or KEY.json labels KEY.jpg. Whether the archive is
// a WebDataset at all is not known yet while it is walked, so an item is only marked here.
#include "ingest/source_impl.h"

#include "common/file.h"
#include "common/json.h"
#include "ingest/rows.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static size_t key_bytes(const char *path)
{
    const char *base = rq_path_base(path), *dot = strchr(base, '.');
    return dot != NULL ? (size_t)(dot - path) : strlen(path);
}

static const char *extension_of(const char *path)
{
    const char *rest = path + key_bytes(path);
    return *rest == '.' ? rest + 1 : rest;
}

bool rq_is_sidecar(const char *path)
{
    const char *ext = extension_of(path);
    return strcasecmp(ext, "cls") == 0 || strcasecmp(ext, "json") == 0;
}

rq_status rq_sample_enter(rq_catalogue *c, rq_sample *sample, const char *path, rq_err *err)
{
    const size_t n = key_bytes(path);
    if (sample->open && strncmp(sample->key, path, n) == 0 && sample->key[n] == '\0')
        return RQ_OK;
    RQ_TRY(rq_sample_end(c, sample, err));
    memcpy(sample->key, path, n);
    sample->key[n] = '\0';
    sample->first = c->n_items;
    sample->open = true;
    sample->number = -1;
    sample->name[0] = '\0';
    return RQ_OK;
}

/* Which of a sample's pictures is the one: low is better, -1 for none ("mask.pgm"). */
static int picture_rank(const char *path)
{
    static const char *const ranks[] = {"jpg", "jpeg", "png", "avif", "ppm", "pgm"};
    const char *ext = extension_of(path);
    if (*ext == '\0' || strchr(ext, '.') != NULL)
        return -1;
    int i = 0;
    while (i < (int)(sizeof ranks / sizeof *ranks) && strcasecmp(ext, ranks[i]) != 0)
        i++;
    return i;
}

static rq_status label_item(rq_catalogue *c, const rq_sample *sample, rq_item *item,
                            rq_err *err)
{
    char number[16];
    const char *text = sample->name;
    item->origin = RQ_ORIGIN_SIDECAR;
    item->numbered = sample->number >= 0;
    if (item->numbered) {
        snprintf(number, sizeof number, "%d", sample->number);
        text = number;
        if (sample->name[0] != '\0')
            RQ_TRY(rq_catalogue_name_number(c, sample->number, sample->name, err));
    }
    return rq_catalogue_class(c, text, strlen(text), &item->class_name, NULL, err);
}

rq_status rq_sample_end(rq_catalogue *c, rq_sample *sample, rq_err *err)
{
    const bool labelled = sample->number >= 0 || sample->name[0] != '\0';
    rq_item *best = NULL;
    int best_rank = -1;
    if (!sample->open)
        return RQ_OK;
    sample->open = false;
    for (size_t i = sample->first; i < c->n_items && labelled; i++) {
        rq_item *item = &c->items[i];
        const int rank = picture_rank(item->stored);
        if (item->origin == RQ_ORIGIN_NESTED)
            continue; /* an archive stands between the files of the sample */
        item->origin = RQ_ORIGIN_COMPANION;
        if (rank >= 0 && (best == NULL || rank < best_rank)) {
            best = item;
            best_rank = rank;
        }
    }
    return best != NULL ? label_item(c, sample, best, err) : RQ_OK;
}

/* ---- contents ---------------------------------------------------------------------------- */

static void take_text(rq_sample *sample, const char *text)
{
    const int number = rq_label_number(text);
    if (number >= 0)
        sample->number = number;
    else if (rq_is_class_name(text) && text[0] != '-' && strpbrk(text, "\n\t") == NULL)
        snprintf(sample->name, sizeof sample->name, "%s", text);
}

/* What is no JSON says nothing. */
static rq_status take_json(rq_sample *sample, const char *text, size_t bytes, rq_err *err)
{
    static const char *const keys[] = {"class", "label", "cls"};
    cJSON *json = NULL;
    rq_err local = {0};
    const rq_status s = rq_json_parse(&json, text, bytes, "sidecar", &local);
    if (s != RQ_OK)
        return s == RQ_OOM ? rq_fail(err, RQ_OOM, "no memory for a label") : RQ_OK;
    const bool had_number = sample->number >= 0, had_name = sample->name[0] != '\0';
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(json, keys[i]);
        if (cJSON_IsNumber(v) && !had_number && v->valuedouble >= 0 &&
            v->valuedouble <= RQ_ROWS_LABEL_MAX && v->valuedouble == (int)v->valuedouble)
            sample->number = (int)v->valuedouble;
        else if (cJSON_IsString(v) && !(had_number && rq_label_number(v->valuestring) >= 0) &&
                 !had_name)
            take_text(sample, v->valuestring);
    }
    cJSON_Delete(json);
    return RQ_OK;
}

rq_status rq_sample_read(rq_sample *sample, const char *path, const char *text, size_t bytes,
                         rq_err *err)
{
    if (strcasecmp(extension_of(path), "json") == 0)
        return take_json(sample, text, bytes, err);
    char word[256];
    while (bytes > 0 && isspace((unsigned char)text[bytes - 1]))
        bytes--;
    while (bytes > 0 && isspace((unsigned char)*text)) {
        text++;
        bytes--;
    }
    if (bytes == 0 || bytes >= sizeof word || memchr(text, '\0', bytes) != NULL)
        return RQ_OK;
    memcpy(word, text, bytes);
    word[bytes] = '\0';
    take_text(sample, word);
    return RQ_OK;
}
