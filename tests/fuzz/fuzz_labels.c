// SPDX-License-Identifier: Apache-2.0
//
// What tells labels and classes: text files of names and labels, and a devkit's MATLAB table.
// The first byte says what the rest is: 0 a text file of names or pairs, 1 a text file of
// names, 2 a MATLAB file. Rows hold text, paired or not as a whole; fields have values of one
// kind.
#include "fuzz.h"

#include "ingest/labels.h"
#include "ingest/matfile.h"
#include "ingest/rows.h"

static void check_text(const uint8_t *data, size_t size, rq_rows_kind kind)
{
    rq_rows rows = {0};
    rq_buf text = {0};
    rq_err err = {0};
    FUZZ_OK(rq_buf_append(&text, size > 0 ? (const char *)data : "", size, &err), &err);
    if (fuzz_status(rq_rows_parse(&rows, &text, kind, "it", &err), &err) == RQ_OK) {
        uint64_t line = 0;
        fuzz_accepted();
        FUZZ_HOLDS(kind == RQ_ROWS_AUTO || !rows.paired);
        for (size_t i = 0; i < rows.n; i++) {
            const rq_row *r = &rows.rows[i];
            FUZZ_HOLDS(r->name[0] != '\0' && strchr(r->name, '\n') == NULL);
            FUZZ_HOLDS((r->label != NULL) == rows.paired);
            FUZZ_HOLDS(r->line > line);
            line = r->line;
            if (r->label != NULL) {
                FUZZ_HOLDS(r->label[0] != '\0' && strchr(r->label, '\n') == NULL);
                const int number = rq_label_number(r->label);
                FUZZ_HOLDS(number >= -1 && number <= RQ_ROWS_LABEL_MAX);
            }
        }
    }
    rq_rows_free(&rows);
    rq_buf_free(&text);
}

typedef struct table {
    size_t rows, visits;
} table;

static rq_status visit(void *cookie, size_t row, const char *field, const rq_mat_value *v,
                       rq_err *err)
{
    table *t = cookie;
    FUZZ_HOLDS(row == t->rows || (t->visits > 0 && row + 1 == t->rows));
    FUZZ_HOLDS(row < RQ_MAT_ROWS_MAX && strlen(field) < 64);
    if (v->is_text)
        FUZZ_HOLDS(v->text != NULL && strlen(v->text) <= RQ_MAT_TEXT_MAX);
    t->rows = row + 1;
    t->visits++;
    /* A row is cheap, and a large table takes nothing but time. */
    return t->visits < 100000 ? RQ_OK : rq_fail(err, RQ_CANCELLED, "enough seen");
}

static void check_table(const uint8_t *data, size_t size)
{
    table t = {0};
    rq_err err = {0};
    const rq_status s = rq_mat_read_struct(data, size, "it", "synsets", visit, &t, &err);
    if (fuzz_status(s, &err) == RQ_OK)
        fuzz_accepted();
    FUZZ_HOLDS(size > 0 || s != RQ_OK);
}

static void check_classes(const rq_class_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        FUZZ_HOLDS(l->names[i] != NULL && l->names[i][0] != '\0');
    FUZZ_HOLDS(rq_class_list_at(l, -1) == NULL && rq_class_list_at(l, (int)l->n + 1) == NULL);
}

static void check_labels(rq_labels *l)
{
    static const char *const images[] = {"a/1.jpg", "ILSVRC2012_val_00000002.JPEG", "1.png"};
    const size_t n = rq_labels_count(l);
    if (rq_labels_by_place(l)) {
        for (size_t i = 0; i < n; i++)
            FUZZ_HOLDS(rq_labels_at(l, i) != NULL);
        return;
    }
    for (size_t i = 0; i < sizeof images / sizeof *images; i++) {
        const char *class = rq_labels_find(l, images[i]);
        FUZZ_HOLDS(class == NULL || class[0] != '\0');
    }
    FUZZ_HOLDS(rq_labels_unused(l) <= n);
    if (rq_labels_classes(l) != NULL)
        check_classes(rq_labels_classes(l));
}

static void check_file(const uint8_t *data, size_t size)
{
    fuzz_file f = fuzz_file_make(data, size);
    rq_class_list classes = {0};
    rq_labels *labels = NULL;
    rq_err one = {0}, two = {0};
    const rq_status s = fuzz_status(rq_class_list_read(&classes, f.path, &one), &one);
    if (s == RQ_OK)
        check_classes(&classes);
    if (fuzz_status(rq_labels_open(&labels, f.path, s == RQ_OK ? &classes : NULL, &two),
                    &two) == RQ_OK) {
        fuzz_accepted();
        check_labels(labels);
    }
    rq_labels_close(&labels);
    rq_class_list_free(&classes);
    fuzz_file_close(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    uint8_t *copy = fuzz_copy(data + 1, size - 1);
    if (data[0] == 2)
        check_table(copy, size - 1);
    else if (data[0] == 3)
        check_file(copy, size - 1);
    else
        check_text(copy, size - 1, data[0] == 1 ? RQ_ROWS_NAMES : RQ_ROWS_AUTO);
    free(copy);
    return 0;
}
