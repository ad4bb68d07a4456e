// SPDX-License-Identifier: Apache-2.0
// Reader of struct arrays in MATLAB 5 files, for the table of classes in ImageNet devkits. An
// element is a tag (type, length) and data padded to 8 bytes; a variable is an element of
// elements. Fields that are structs or cells themselves are stepped over whole, so nothing here
// recurses. Compressed variables are inflated into one bounded buffer first.
#include "ingest/matfile.h"

#include "common/bytes.h"
#include "common/mem.h"

#include <stdint.h>
#include <string.h>
#include <zlib.h>

enum { HEADER_BYTES = 128, FIELD_NAME_MAX = 64 };

enum { /* types of elements */
       MI_INT8 = 1,
       MI_UINT8 = 2,
       MI_INT16 = 3,
       MI_UINT16 = 4,
       MI_INT32 = 5,
       MI_UINT32 = 6,
       MI_SINGLE = 7,
       MI_DOUBLE = 9,
       MI_INT64 = 12,
       MI_UINT64 = 13,
       MI_MATRIX = 14,
       MI_COMPRESSED = 15,
       MI_UTF8 = 16,
       MI_UTF16 = 17
};

enum { MX_STRUCT = 2, MX_CHAR = 4, MX_DOUBLE = 6, MX_UINT64 = 15 }; /* classes of arrays */

typedef struct element {
    uint32_t type;
    const uint8_t *data;
    size_t bytes;
} element;

typedef struct cursor {
    const uint8_t *data;
    size_t left;
    const char *name; /* of the file */
} cursor;

static rq_status fail_short(const char *name, rq_err *err)
{
    return rq_fail(err, RQ_TRUNCATED, "%.300s ends within a variable; get it again", name);
}

static rq_status fail_format(const char *name, const char *what, rq_err *err)
{
    return rq_fail(err, RQ_BAD_FORMAT, "%.300s is no sound MATLAB file: %s", name, what);
}

static rq_status next_element(cursor *c, element *e, rq_err *err)
{
    if (c->left < 8)
        return fail_short(c->name, err);
    const uint32_t word = rq_get_le32(c->data);
    size_t used = 8;
    if (word >> 16 != 0) { /* small: length, type and data in 8 bytes */
        e->type = word & 0xFFFF;
        e->bytes = word >> 16;
        e->data = c->data + 4;
        if (e->bytes > 4)
            return fail_format(c->name, "a short element is too long", err);
    } else {
        e->type = word;
        e->bytes = rq_get_le32(c->data + 4);
        e->data = c->data + 8;
        if (e->bytes > c->left - 8)
            return fail_short(c->name, err);
        used += e->bytes;
        if (e->type != MI_COMPRESSED)
            used = rq_round_up(used, 8) < c->left ? rq_round_up(used, 8) : c->left;
    }
    c->data += used;
    c->left -= used;
    return RQ_OK;
}

static rq_status expect(cursor *c, uint32_t type, element *e, rq_err *err)
{
    RQ_TRY(next_element(c, e, err));
    return e->type == type ? RQ_OK : fail_format(c->name, "an element of another type", err);
}

/* ---- values ------------------------------------------------------------------------------ */

static size_t width_of(uint32_t type)
{
    switch (type) {
    case MI_INT8:
    case MI_UINT8:
    case MI_UTF8:
        return 1;
    case MI_INT16:
    case MI_UINT16:
    case MI_UTF16:
        return 2;
    case MI_INT32:
    case MI_UINT32:
    case MI_SINGLE:
        return 4;
    case MI_DOUBLE:
    case MI_INT64:
    case MI_UINT64:
        return 8;
    default:
        return 0;
    }
}

static double number_at(uint32_t type, const uint8_t *p)
{
    float single;
    double number;
    switch (type) {
    case MI_INT8:
        return (int8_t)p[0];
    case MI_UINT8:
        return p[0];
    case MI_INT16:
        return (int16_t)rq_get_le16(p);
    case MI_UINT16:
        return rq_get_le16(p);
    case MI_INT32:
        return (int32_t)rq_get_le32(p);
    case MI_UINT32:
        return rq_get_le32(p);
    case MI_INT64:
        return (double)(int64_t)rq_get_le64(p);
    case MI_UINT64:
        return (double)rq_get_le64(p);
    case MI_SINGLE: {
        const uint32_t bits = rq_get_le32(p);
        memcpy(&single, &bits, sizeof single);
        return single;
    }
    default: {
        const uint64_t bits = rq_get_le64(p);
        memcpy(&number, &bits, sizeof number);
        return number;
    }
    }
}

/* UTF-8 of a character array; code units outside of ASCII that stand for no character of their
 * own become '?'. */
static void to_utf8(char text[RQ_MAT_TEXT_MAX], const element *e)
{
    const size_t width = width_of(e->type);
    size_t used = 0;
    for (size_t i = 0; (i + 1) * width <= e->bytes && used + 4 < RQ_MAT_TEXT_MAX; i++) {
        const unsigned c = width == 1 ? e->data[i] : rq_get_le16(e->data + 2 * i);
        if (e->type == MI_UTF8 || c < 0x80) {
            text[used++] = (char)(c != 0 ? c : '?');
        } else if (c < 0x800) {
            text[used++] = (char)(0xC0 | c >> 6);
            text[used++] = (char)(0x80 | (c & 0x3F));
        } else if (c >= 0xD800 && c < 0xE000) {
            text[used++] = '?';
        } else {
            text[used++] = (char)(0xE0 | c >> 12);
            text[used++] = (char)(0x80 | (c >> 6 & 0x3F));
            text[used++] = (char)(0x80 | (c & 0x3F));
        }
    }
    text[used] = '\0';
}

/* Class, elements and name of an array; the cursor then stands at its content. */
static rq_status begin_array(cursor *c, uint32_t *array_class, size_t *count, element *name,
                             rq_err *err)
{
    element flags, dims;
    RQ_TRY(expect(c, MI_UINT32, &flags, err));
    RQ_TRY(expect(c, MI_INT32, &dims, err));
    RQ_TRY(expect(c, MI_INT8, name, err));
    if (flags.bytes < 4 || dims.bytes < 8 || dims.bytes % 4 != 0)
        return fail_format(c->name, "an array without its flags", err);
    *array_class = rq_get_le32(flags.data) & 0xFF;
    *count = 1;
    for (size_t i = 0; i < dims.bytes; i += 4) {
        const int32_t n = (int32_t)rq_get_le32(dims.data + i);
        if (n < 0 || !rq_mul_size(count, *count, (size_t)n))
            return fail_format(c->name, "an array of impossible size", err);
    }
    return RQ_OK;
}

static rq_status read_value(const element *array, const char *name, char text[RQ_MAT_TEXT_MAX],
                            rq_mat_value *v, rq_err *err)
{
    memset(v, 0, sizeof *v);
    if (array->bytes == 0) /* how an empty array may be written */
        return RQ_OK;
    cursor c = {array->data, array->bytes, name};
    element unused, data;
    uint32_t array_class;
    size_t count;
    RQ_TRY(begin_array(&c, &array_class, &count, &unused, err));
    if (array_class < MX_CHAR || array_class == MX_CHAR + 1 || array_class > MX_UINT64)
        return RQ_OK;
    if (count == 0 && array_class != MX_CHAR)
        return RQ_OK;
    if (count > 0) {
        RQ_TRY(next_element(&c, &data, err));
        const size_t width = width_of(data.type);
        if (width == 0 || (array_class == MX_CHAR && width > 2) || data.bytes < width)
            return fail_format(name, "an array without its elements", err);
        if (array_class == MX_CHAR)
            to_utf8(text, &data);
        else
            v->number = number_at(data.type, data.data);
    } else {
        text[0] = '\0';
    }
    v->is_text = array_class == MX_CHAR;
    v->text = v->is_text ? text : NULL;
    v->count = count;
    return RQ_OK;
}

/* ---- the table --------------------------------------------------------------------------- */

static rq_status visit_rows(cursor *c, size_t rows, rq_mat_visit visit, void *cookie,
                            rq_err *err)
{
    element length, names, value;
    RQ_TRY(expect(c, MI_INT32, &length, err));
    RQ_TRY(expect(c, MI_INT8, &names, err));
    const size_t width = length.bytes >= 4 ? rq_get_le32(length.data) : 0;
    if (width == 0 || width > FIELD_NAME_MAX || names.bytes % width != 0)
        return fail_format(c->name, "a table without names of its fields", err);
    const size_t fields = names.bytes / width;
    if (rows > RQ_MAT_ROWS_MAX || fields > RQ_MAT_FIELDS_MAX)
        return rq_fail(err, RQ_LIMIT, "%.300s holds a table of %zu rows and %zu fields",
                       c->name, rows, fields);
    char text[RQ_MAT_TEXT_MAX], field[FIELD_NAME_MAX + 1];
    for (size_t row = 0; row < rows; row++) {
        for (size_t f = 0; f < fields; f++) {
            rq_mat_value v;
            RQ_TRY(expect(c, MI_MATRIX, &value, err));
            RQ_TRY(read_value(&value, c->name, text, &v, err));
            memcpy(field, names.data + f * width, width);
            field[width] = '\0';
            RQ_TRY(visit(cookie, row, field, &v, err));
        }
    }
    return RQ_OK;
}

/* *found: the element is the variable, and was visited. */
static rq_status look_at_variable(const element *e, const char *name, const char *variable,
                                  rq_mat_visit visit, void *cookie, bool *found, rq_err *err)
{
    *found = false;
    if (e->type != MI_MATRIX || e->bytes == 0)
        return RQ_OK;
    cursor c = {e->data, e->bytes, name};
    element own_name;
    uint32_t array_class;
    size_t rows;
    RQ_TRY(begin_array(&c, &array_class, &rows, &own_name, err));
    if (own_name.bytes != strlen(variable) ||
        memcmp(own_name.data, variable, own_name.bytes) != 0)
        return RQ_OK;
    if (array_class != MX_STRUCT)
        return fail_format(name, "its table is of another kind", err);
    *found = true;
    return visit_rows(&c, rows, visit, cookie, err);
}

/* At most `most` bytes, give or take what one step brings. */
static rq_status inflate_element(const element *e, const char *name, size_t most, rq_buf *out,
                                 rq_err *err)
{
    z_stream z = {0};
    if (inflateInit(&z) != Z_OK)
        return rq_fail(err, RQ_OOM, "%.300s: no memory to decompress it", name);
    z.next_in = (z_const Bytef *)(uintptr_t)e->data;
    z.avail_in = (uInt)e->bytes;
    rq_status s = RQ_OK;
    int r = Z_OK;
    out->size = 0;
    while (s == RQ_OK && r == Z_OK) {
        const size_t want = out->size < 65536 ? 65536 : 2 * out->size;
        s = out->size > most
                ? rq_fail(err, RQ_LIMIT, "%.300s holds variables of more than %d MiB", name,
                          RQ_MAT_INFLATED_MAX >> 20)
                : rq_buf_reserve(out, want, err);
        if (s != RQ_OK)
            break;
        z.next_out = out->data + out->size;
        z.avail_out = (uInt)(want - out->size);
        r = inflate(&z, Z_NO_FLUSH);
        out->size = want - z.avail_out;
    }
    inflateEnd(&z);
    if (s == RQ_OK && r == Z_BUF_ERROR)
        return fail_short(name, err);
    if (s == RQ_OK && r != Z_STREAM_END)
        return fail_format(name, "a compressed variable is damaged", err);
    return s;
}

bool rq_mat_sniff(const void *data, size_t bytes)
{
    return bytes >= HEADER_BYTES && memcmp(data, "MATLAB ", 7) == 0;
}

static rq_status check_header(const uint8_t *data, size_t bytes, const char *name, rq_err *err)
{
    if (!rq_mat_sniff(data, bytes))
        return rq_fail(err, RQ_BAD_FORMAT, "%.300s is not a MATLAB file", name);
    if (data[126] == 'M' && data[127] == 'I')
        return rq_fail(err, RQ_UNSUPPORTED,
                       "%.300s is a big-endian MATLAB file; only little-endian ones are read",
                       name);
    if (data[126] != 'I' || data[127] != 'M' || rq_get_le16(data + 124) != 0x0100)
        return rq_fail(err, RQ_UNSUPPORTED,
                       "%.300s is not a MATLAB file of version 5; save it with -v7 or -v6",
                       name);
    return RQ_OK;
}

rq_status rq_mat_read_struct(const void *data, size_t bytes, const char *name,
                             const char *variable, rq_mat_visit visit, void *cookie,
                             rq_err *err)
{
    RQ_TRY(check_header(data, bytes, name, err));
    cursor c = {(const uint8_t *)data + HEADER_BYTES, bytes - HEADER_BYTES, name};
    rq_buf inflated = {0};
    size_t left = RQ_MAT_INFLATED_MAX;
    rq_status s = RQ_OK;
    bool found = false;
    while (s == RQ_OK && !found && c.left > 0) {
        element e;
        s = next_element(&c, &e, err);
        if (s == RQ_OK && e.type == MI_COMPRESSED) {
            s = inflate_element(&e, name, left, &inflated, err);
            left -= inflated.size < left ? inflated.size : left;
            cursor inner = {inflated.data, inflated.size, name};
            if (s == RQ_OK)
                s = next_element(&inner, &e, err);
        }
        if (s == RQ_OK)
            s = look_at_variable(&e, name, variable, visit, cookie, &found, err);
    }
    rq_buf_free(&inflated);
    if (s == RQ_OK && !found)
        return rq_fail(err, RQ_NOT_FOUND, "%.300s holds no table '%s'", name, variable);
    return s;
}
