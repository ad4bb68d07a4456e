// SPDX-License-Identifier: Apache-2.0
//
// Ingest reports and KEY.json. The first byte says what the rest is: 0 a report, whose hash is
// made right here, 1 one line of it, 2 the JSON member of a sample. What is accepted and
// written once more reads back, and is then the same text.
#include "fuzz.h"

#include "ingest/report.h"
#include "pack/meta.h"

#include <inttypes.h>

static bool same_text(const rq_buf *a, const rq_buf *b)
{
    return a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
}

static rq_status on_entry(void *cookie, const rq_report_entry *e, rq_err *err)
{
    (void)err;
    FUZZ_HOLDS(e->name != NULL && e->label >= -1 && e->verdict.kind < RQ_VERDICT_COUNT);
    ++*(uint64_t *)cookie;
    return RQ_OK;
}

static void check_file(uint8_t *data, size_t size)
{
    static const char key[] = ",\"xxh3\":\"";
    enum { TAIL = sizeof key - 1 + 16 + 3 };
    if (size > TAIL && memcmp(data + size - TAIL, key, sizeof key - 1) == 0) {
        char hex[17];
        snprintf(hex, sizeof hex, "%016" PRIx64, rq_xxh3(data, size - TAIL));
        memcpy(data + size - 19, hex, 16);
    }
    fuzz_file f = fuzz_file_make(data, size);
    rq_report_summary summary;
    rq_err err = {0};
    uint64_t n = 0;
    if (fuzz_status(rq_report_read(f.path, on_entry, &n, &summary, &err), &err) == RQ_OK) {
        uint64_t sum = 0;
        fuzz_accepted();
        for (int k = 0; k < RQ_VERDICT_COUNT; k++)
            sum += summary.totals.verdicts[k];
        FUZZ_HOLDS(summary.totals.images == n && sum == n);
    }
    fuzz_file_close(&f);
}

static void check_line(const char *line, size_t size)
{
    rq_report_entry e, again;
    cJSON *json = NULL, *json_again = NULL;
    rq_buf once = {0}, twice = {0};
    rq_err err = {0};
    if (fuzz_status(rq_report_parse(&e, &json, line, size, &err), &err) == RQ_OK) {
        fuzz_accepted();
        FUZZ_OK(rq_report_line(&once, &e, &err), &err);
        FUZZ_HOLDS(memchr(once.data, '\n', once.size) == once.data + once.size - 1);
        FUZZ_OK(rq_report_parse(&again, &json_again, (char *)once.data, once.size, &err), &err);
        FUZZ_OK(rq_report_line(&twice, &again, &err), &err);
        /* A reason that is cut, perhaps within a character, may be cut once more. */
        FUZZ_HOLDS(strlen(again.verdict.reason) == RQ_VERDICT_REASON_BYTES - 1 ||
                   same_text(&once, &twice));
    }
    cJSON_Delete(json);
    cJSON_Delete(json_again);
    rq_buf_free(&once);
    rq_buf_free(&twice);
}

static void check_meta(const char *text, size_t size)
{
    rq_meta m, again = {0};
    rq_buf once = {0}, twice = {0};
    rq_err err = {0};
    if (fuzz_status(rq_meta_parse(&m, text, size, &err), &err) == RQ_OK) {
        fuzz_accepted();
        FUZZ_HOLDS(m.name != NULL && m.width > 0 && m.height > 0);
        FUZZ_HOLDS(m.orientation >= 1 && m.orientation <= 8);
        FUZZ_OK(rq_meta_write(&m, &once, &err), &err);
        FUZZ_OK(rq_meta_parse(&again, (char *)once.data, once.size, &err), &err);
        FUZZ_HOLDS(strcmp(m.name, again.name) == 0); /* to the byte, UTF-8 or not */
        FUZZ_HOLDS((m.class_name == NULL) == (again.class_name == NULL));
        FUZZ_HOLDS(m.class_name == NULL || strcmp(m.class_name, again.class_name) == 0);
        FUZZ_OK(rq_meta_write(&again, &twice, &err), &err);
        FUZZ_HOLDS(same_text(&once, &twice));
    }
    rq_meta_free(&m);
    rq_meta_free(&again);
    rq_buf_free(&once);
    rq_buf_free(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    uint8_t *copy = fuzz_copy(data + 1, size - 1);
    if (data[0] == 0)
        check_file(copy, size - 1);
    else if (data[0] == 1)
        check_line((const char *)copy, size - 1);
    else
        check_meta((const char *)copy, size - 1);
    free(copy);
    return 0;
}
