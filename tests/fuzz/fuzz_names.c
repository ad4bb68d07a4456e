// SPDX-License-Identifier: Apache-2.0
//
// Names: from a source's name to a sample's key, to a tar header, to the file that `unpack`
// writes and to the report. Whatever the name is, no path leaves its folder, and keys, headers
// and JSON read back. The input: a byte of choices, eight of an id, then the name.
#include "fuzz.h"

#include "common/bytes.h"
#include "common/json.h"
#include "ingest/verdict.h"
#include "pack/key.h"
#include "pack/unpack.h"
#include "pack/ustar.h"

/* A relative path of parts that are neither empty nor dots, without control bytes. */
static bool stays_inside(const char *path)
{
    for (const char *part = path;; part++) {
        const size_t n = strcspn(part, "/");
        if (n == 0 || n > 255 || (n == 1 && part[0] == '.') ||
            (n == 2 && memcmp(part, "..", 2) == 0))
            return false;
        for (size_t i = 0; i < n; i++) {
            if ((unsigned char)part[i] < 32)
                return false;
        }
        part += n;
        if (*part == '\0')
            return true;
    }
}

static void check_header(const char *key)
{
    uint8_t block[RQ_USTAR_BLOCK];
    char member[RQ_USTAR_NAME_BYTES + 20], back[RQ_USTAR_NAME_BYTES];
    uint64_t size;
    snprintf(member, sizeof member, "%s.mask.pgm", key);
    FUZZ_HOLDS(rq_ustar_header(block, member, strlen(key), NULL) == RQ_OK);
    FUZZ_HOLDS(rq_ustar_parse(block, back, &size, NULL) == RQ_OK);
    FUZZ_HOLDS(strcmp(back, member) == 0 && size == strlen(key));
}

static void check_report(const char *name)
{
    rq_image_info info = {.codec = RQ_CODEC_JPEG, .width = 2, .height = 3, .components = 3};
    rq_verdict v;
    rq_buf line = {0};
    rq_err err = {0};
    cJSON *root = NULL;
    rq_verdict_make(&v, RQ_CORRUPT_IMAGE, name, RQ_NOTE_CMYK, "");
    FUZZ_HOLDS(rq_verdict_append_json(&line, name, name, 5, 17, &info, &v, &err) == RQ_OK);
    FUZZ_HOLDS(memchr(line.data, '\n', line.size) == line.data + line.size - 1);
    FUZZ_HOLDS(rq_json_parse(&root, (char *)line.data, line.size, "it", &err) == RQ_OK);
    cJSON_Delete(root);
    rq_buf_free(&line);
}

static void check_key(const char *name, uint64_t id, unsigned choice)
{
    char key[RQ_MAX_KEY_BYTES + 1], other[RQ_MAX_KEY_BYTES + 1], path[4200];
    const int stem = rq_key_stem(name);
    FUZZ_HOLDS(stem >= 0 && (size_t)stem <= strlen(name));
    rq_key_make(key, name, id, choice & 1);
    FUZZ_HOLDS(rq_key_valid(key) && strchr(key, '.') == NULL);
    /* Two samples whose keys carry their ids never share one. */
    rq_key_make(other, name, id + 1, choice & 1);
    FUZZ_HOLDS(strchr(key, '+') == NULL || strcmp(key, other) != 0);
    check_header(key);
    const rq_sample s = {.id = id,
                         .encoding = (rq_encoding)(1 + (choice >> 1) % 5),
                         .key = key,
                         .image = (const uint8_t *)"P6",
                         .image_bytes = 2};
    rq_unpack_name(path, sizeof path, name, choice & 2 ? "PNG" : NULL, &s);
    FUZZ_HOLDS(stays_inside(path));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 9)
        return 0;
    char *name = malloc(size - 8);
    FUZZ_HOLDS(name != NULL);
    memcpy(name, data + 9, size - 9);
    name[size - 9] = '\0';
    check_key(name, rq_get_le64(data + 1), data[0]);
    if (rq_key_valid(name))
        fuzz_accepted();
    FUZZ_HOLDS(!rq_key_valid(name) || strlen(name) <= RQ_MAX_KEY_BYTES);
    check_report(name);
    free(name);
    return 0;
}
