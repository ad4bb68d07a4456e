// SPDX-License-Identifier: Apache-2.0
//
// JSON: hostile documents, the typed getters, and that a string or number which is written
// reads back. The input is the document; as text it is also what is written.
#include "fuzz.h"

#include "common/json.h"
#include "tools/curves.h"

#include <math.h>

/* Every getter on every member: a value or a sentence. */
static void get_all(const cJSON *object)
{
    const cJSON *child, *array;
    cJSON_ArrayForEach(child, object)
    {
        int64_t whole;
        double number;
        const char *text;
        if (child->string == NULL)
            continue;
        rq_err e[4] = {{0}};
        if (fuzz_status(rq_json_get_int(object, child->string, -5, 1000, &whole, "it", &e[0]),
                        &e[0]) == RQ_OK)
            FUZZ_HOLDS(whole >= -5 && whole <= 1000 && (double)whole == child->valuedouble);
        if (fuzz_status(rq_json_get_double(object, child->string, &number, "it", &e[1]),
                        &e[1]) == RQ_OK)
            FUZZ_HOLDS(isfinite(number));
        if (fuzz_status(rq_json_get_string(object, child->string, &text, "it", &e[2]), &e[2]) ==
            RQ_OK)
            FUZZ_HOLDS(text == child->valuestring);
        if (fuzz_status(rq_json_get_array(object, child->string, &array, "it", &e[3]), &e[3]) ==
            RQ_OK)
            FUZZ_HOLDS(cJSON_IsArray(array));
    }
}

static void check_string(const char *text)
{
    rq_buf out = {0}, twice = {0};
    rq_err err = {0};
    cJSON *back = NULL;
    FUZZ_OK(rq_json_append_string(&out, text, &err), &err);
    FUZZ_OK(rq_json_parse(&back, (char *)out.data, out.size, "it", &err), &err);
    FUZZ_HOLDS(cJSON_IsString(back));
    /* Bytes that are no UTF-8 were replaced, so the text itself may differ, its form not. */
    FUZZ_OK(rq_json_append_string(&twice, back->valuestring, &err), &err);
    FUZZ_HOLDS(out.size == twice.size && memcmp(out.data, twice.data, out.size) == 0);
    cJSON_Delete(back);
    rq_buf_free(&out);
    rq_buf_free(&twice);
}

static void check_number(const uint8_t *data)
{
    double v;
    rq_buf out = {0};
    rq_err err = {0};
    memcpy(&v, data, sizeof v);
    FUZZ_OK(rq_json_append_double(&out, v, &err), &err);
    if (isfinite(v))
        FUZZ_HOLDS(strtod((char *)out.data, NULL) == v);
    else
        FUZZ_HOLDS(strcmp((char *)out.data, "null") == 0);
    rq_buf_free(&out);
}

/* A file of metrics, one document a line. */
static void check_lines(const char *text, size_t size)
{
    rq_curves c = {0};
    rq_err err = {0};
    FUZZ_OK(fuzz_status(rq_curves_parse(&c, text, size, &err), &err), &err);
    FUZZ_HOLDS(c.n <= RQ_CURVES_MAX);
    for (size_t i = 0; i < c.n; i++) {
        for (size_t k = 0; k < c.curve[i].n; k++) {
            FUZZ_HOLDS(isfinite(c.curve[i].y[k]));
            FUZZ_HOLDS(k == 0 || c.curve[i].x[k] > c.curve[i].x[k - 1]);
        }
    }
    rq_curves_free(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cJSON *root = NULL;
    rq_err err = {0};
    const rq_status s = rq_json_parse(&root, (const char *)data, size, "it", &err);
    if (fuzz_status(s, &err) == RQ_OK) {
        fuzz_accepted();
        FUZZ_HOLDS(root != NULL);
        get_all(root);
    }
    cJSON_Delete(root);
    char *text = malloc(size + 1);
    FUZZ_HOLDS(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    check_string(text);
    free(text);
    if (size >= 8)
        check_number(data);
    check_lines((const char *)data, size);
    return 0;
}
