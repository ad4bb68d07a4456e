// SPDX-License-Identifier: Apache-2.0
//
// safetensors: round trip, every kind of hostile header, and every single bit of a small file.
#include "tests/unit/test.h"

#include "common/bytes.h"
#include "common/file.h"
#include "train/safetensors.h"

static const float a_data[6] = {1, 2, 3, 4, 5, -0.5f};
static const int64_t b_data = 42;

static rq_status fill_two(void *ctx, size_t i, void *dst, rq_err *err)
{
    (void)ctx;
    (void)err;
    if (i == 0)
        memcpy(dst, a_data, sizeof a_data);
    else
        memcpy(dst, &b_data, sizeof b_data);
    return RQ_OK;
}

static void write_two(const char *path)
{
    rq_st_tensor t[2] = {{.name = "a.weight", .dtype = RQ_ST_F32, .ndim = 2, .shape = {2, 3}},
                         {.name = "count", .dtype = RQ_ST_I64}};
    const rq_st_meta meta[] = {{"step", "7"}, {"text", "line \"one\"\nline two \xff"}};
    rq_err err = {0};
    assert_ok(rq_safetensors_write(path, t, 2, fill_two, NULL, meta, 2, &err), &err);
}

static void test_round_trip(void **state)
{
    rq_safetensors *f = NULL;
    rq_err err = {0};
    float a[6];
    int64_t b;
    write_two("x.safetensors");
    assert_ok(rq_safetensors_open(&f, "x.safetensors", &err), &err);
    assert_int_equal(rq_safetensors_count(f), 2);
    assert_true(rq_safetensors_hashed(f));
    assert_string_equal(rq_safetensors_meta(f, "step"), "7");
    assert_string_equal(rq_safetensors_meta(f, "text"), "line \"one\"\nline two \xef\xbf\xbd");
    assert_null(rq_safetensors_meta(f, "none"));
    const rq_st_tensor *t = rq_safetensors_find(f, "a.weight");
    assert_non_null(t);
    assert_int_equal(t->ndim, 2);
    assert_int_equal(t->shape[1], 3);
    assert_ok(rq_safetensors_read(f, t, a, &err), &err);
    assert_memory_equal(a, a_data, sizeof a);
    t = rq_safetensors_find(f, "count");
    assert_int_equal(t->ndim, 0);
    assert_ok(rq_safetensors_read(f, t, &b, &err), &err);
    assert_int_equal(b, 42);
    assert_null(rq_safetensors_find(f, "b"));
    rq_safetensors_close(&f);
}

/* Opens and reads everything; the first failure. */
static rq_status read_all(const char *path, rq_err *err)
{
    rq_safetensors *f = NULL;
    RQ_TRY(rq_safetensors_open(&f, path, err));
    rq_status st = RQ_OK;
    for (size_t i = 0; i < rq_safetensors_count(f) && st == RQ_OK; i++) {
        const rq_st_tensor *t = rq_safetensors_tensor(f, i);
        void *data = malloc(t->bytes + 1);
        st = rq_safetensors_read(f, t, data, err);
        free(data);
    }
    rq_safetensors_close(&f);
    return st;
}

static void write_raw(const char *path, const char *header, size_t header_bytes,
                      size_t data_bytes)
{
    uint8_t length[8];
    char zero[64] = {0};
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    rq_put_le64(length, header_bytes);
    fwrite(length, 1, 8, f);
    fwrite(header, 1, strlen(header), f);
    fwrite(zero, 1, data_bytes, f);
    fclose(f);
}

static void test_foreign_file(void **state)
{
    const char *h = "{\"x\":{\"dtype\":\"F16\",\"shape\":[2,1],\"data_offsets\":[4,8]},"
                    "\"y\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
                    "\"z\":{\"dtype\":\"F64\",\"shape\":[0],\"data_offsets\":[8,8]}}  ";
    rq_err err = {0};
    rq_safetensors *f = NULL;
    write_raw("f", h, strlen(h), 8);
    assert_ok(rq_safetensors_open(&f, "f", &err), &err);
    assert_string_equal(rq_safetensors_tensor(f, 0)->name, "y");
    assert_false(rq_safetensors_hashed(f));
    rq_safetensors_close(&f);
    assert_ok(read_all("f", &err), &err);
}

static void test_hostile_headers(void **state)
{
    static const struct {
        const char *header;
        size_t data;
        rq_status want;
    } cases[] = {
        {"", 0, RQ_BAD_FORMAT},
        {"[]", 0, RQ_BAD_FORMAT},
        {"{} x", 0, RQ_BAD_FORMAT},
        {"{}", 4, RQ_BAD_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8, RQ_BAD_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 4, RQ_BAD_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, RQ_BAD_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, RQ_BAD_FORMAT},
        {"{\"a\":{\"dtype\":\"F99\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, RQ_BAD_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, RQ_BAD_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", 4,
         RQ_BAD_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4294967296],"
         "\"data_offsets\":[0,4]}}",
         4, RQ_BAD_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1e300],\"data_offsets\":[0,4]}}", 4,
         RQ_BAD_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4,
         RQ_BAD_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}", 4,
         RQ_BAD_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, RQ_BAD_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":1,\"data_offsets\":[0,4]}}", 4, RQ_BAD_FORMAT},
        {"{\"a\":[1]}", 0, RQ_BAD_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
         4, RQ_BAD_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}",
         12, RQ_BAD_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
         8, RQ_BAD_FORMAT},
        {"{\"__metadata__\":{\"k\":1}}", 0, RQ_BAD_FORMAT},
        {"{\"__metadata__\":\"k\"}", 0, RQ_BAD_FORMAT},
        {"{\"__metadata__\":{\"xxh3\":\"00\"}}", 0, RQ_BAD_FORMAT},
        {"{\"__metadata__\":{\"xxh3\":\"0123456789abcdef\"}}", 0, RQ_BAD_CHECKSUM},
        {"{\"a\":[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]}", 0, RQ_LIMIT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rq_err err = {0};
        write_raw("h", cases[i].header, strlen(cases[i].header), cases[i].data);
        const rq_status st = read_all("h", &err);
        if (st != cases[i].want)
            fail_msg("case %zu: got %s (%s), expected %s", i, rq_status_name(st), err.text,
                     rq_status_name(cases[i].want));
    }
}

static void test_hostile_lengths(void **state)
{
    rq_err err = {0};
    write_raw("h", "{}", 3, 0);
    assert_status(read_all("h", &err), RQ_TRUNCATED);
    write_raw("h", "{}", RQ_ST_MAX_HEADER + 1, 0);
    assert_status(read_all("h", NULL), RQ_LIMIT);
    write_raw("h", "{}", SIZE_MAX, 0);
    assert_status(read_all("h", NULL), RQ_LIMIT);
    FILE *f = fopen("h", "wb");
    fwrite("abc", 1, 3, f);
    fclose(f);
    assert_status(read_all("h", NULL), RQ_TRUNCATED);
    assert_status(read_all("missing", NULL), RQ_NOT_FOUND);
    assert_status(read_all(".", NULL), RQ_BAD_FORMAT);
}

/* Reads everything and insists on hashes, as checkpoints do. */
static rq_status read_hashed(const char *path)
{
    rq_safetensors *f = NULL;
    RQ_TRY(rq_safetensors_open(&f, path, NULL));
    const bool hashed = rq_safetensors_hashed(f);
    rq_safetensors_close(&f);
    return hashed ? read_all(path, NULL) : RQ_BAD_FORMAT;
}

/* Every bit flip and every truncation of a file with hashes is noticed. */
static void test_every_bit(void **state)
{
    rq_buf good = {0};
    rq_err err = {0};
    write_two("x.safetensors");
    assert_ok(rq_file_read("x.safetensors", 1 << 20, &good, &err), &err);
    for (size_t bit = 0; bit < good.size * 8; bit++) {
        good.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        FILE *f = fopen("flip", "wb");
        fwrite(good.data, 1, good.size, f);
        fclose(f);
        good.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (read_hashed("flip") == RQ_OK)
            fail_msg("flip of bit %zu of byte %zu was not noticed", bit % 8, bit / 8);
    }
    for (size_t n = 0; n < good.size; n++) {
        FILE *f = fopen("flip", "wb");
        fwrite(good.data, 1, n, f);
        fclose(f);
        assert_true(read_all("flip", NULL) != RQ_OK);
    }
    rq_buf_free(&good);
}

static void test_unwritable(void **state)
{
    rq_st_tensor t = {.name = "count", .dtype = RQ_ST_I64};
    rq_err err = {0};
    assert_true(rq_safetensors_write("no/such/x", &t, 1, fill_two, NULL, NULL, 0, &err) !=
                RQ_OK);
    assert_non_null(strstr(err.text, "no/such"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),      cmocka_unit_test(test_foreign_file),
        cmocka_unit_test(test_hostile_headers), cmocka_unit_test(test_hostile_lengths),
        cmocka_unit_test(test_every_bit),       cmocka_unit_test(test_unwritable),
    };
    return cmocka_run_group_tests(tests, test_enter_temp_dir, test_remove_temp_dir);
}
