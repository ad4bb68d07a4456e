// SPDX-License-Identifier: Apache-2.0
//
// safetensors files and checkpoints. The first byte says what the rest is: 1 a file whose first
// eight bytes, the length of the header, are made right here (the header ends behind the last
// '}' that a newline follows), otherwise the whole file. Tensors lie in the data, one behind
// the other; a checkpoint gives its model or a sentence.
#include "fuzz.h"

#include "common/bytes.h"
#include "train/checkpoint.h"

#include <inttypes.h>

enum { LENGTH = 1, SEAL = 2 };

/* As train/safetensors.h has it: the hash of the header with zeros for its own digits. */
static void seal(char *header, size_t bytes)
{
    static const char key[] = "\"xxh3\":\"";
    char *at = bytes > 0 ? memmem(header, bytes, key, sizeof key - 1) : NULL, hex[17];
    if (at == NULL || (size_t)(header + bytes - at) < sizeof key - 1 + 16)
        return;
    at += sizeof key - 1;
    memset(at, '0', 16);
    snprintf(hex, sizeof hex, "%016" PRIx64, rq_xxh3(header, bytes));
    memcpy(at, hex, 16);
}

static void read_tensors(const char *path, size_t file_bytes)
{
    rq_safetensors *f = NULL;
    rq_err err = {0};
    if (fuzz_status(rq_safetensors_open(&f, path, &err), &err) == RQ_OK) {
        uint64_t end = 0;
        for (size_t i = 0; i < rq_safetensors_count(f); i++) {
            const rq_st_tensor *t = rq_safetensors_tensor(f, i);
            rq_err one = {0};
            FUZZ_HOLDS(t->begin == end && t->bytes <= file_bytes);
            FUZZ_HOLDS(rq_safetensors_find(f, t->name) == t);
            FUZZ_HOLDS(t->ndim >= 0 && t->ndim <= RQ_ST_MAX_DIMS);
            size_t bytes = rq_st_dtype_bytes(t->dtype);
            for (int d = 0; d < t->ndim; d++)
                FUZZ_HOLDS(t->shape[d] >= 0 && rq_mul_size(&bytes, bytes, (size_t)t->shape[d]));
            FUZZ_HOLDS(bytes == t->bytes);
            void *dst = malloc(bytes > 0 ? bytes : 1);
            FUZZ_HOLDS(dst != NULL);
            const rq_status s = fuzz_status(rq_safetensors_read(f, t, dst, &one), &one);
            FUZZ_HOLDS(s == RQ_OK || (s == RQ_BAD_CHECKSUM && rq_safetensors_hashed(f)));
            free(dst);
            end = t->begin + t->bytes;
        }
    }
    rq_safetensors_close(&f);
}

/* Whether all tensors of the model are there, in the right shape; nothing is kept. */
static void read_model(const rq_checkpoint *c)
{
    const rq_weights none = {0};
    rq_model *model = NULL;
    rq_err err = {0}, read = {0};
    if (fuzz_status(rq_model_create(&model, rq_checkpoint_model(c), &err), &err) == RQ_OK)
        (void)fuzz_status(rq_checkpoint_read(c, model, &none, &read), &read);
    rq_model_destroy(&model);
}

static void read_checkpoint(const char *path)
{
    rq_checkpoint *c = NULL;
    rq_err err = {0};
    if (fuzz_status(rq_checkpoint_open(&c, path, &err), &err) == RQ_OK) {
        rq_err verify = {0};
        fuzz_accepted();
        FUZZ_HOLDS(rq_checkpoint_model(c) != NULL);
        (void)fuzz_status(rq_checkpoint_verify(c, &verify), &verify);
        read_model(c);
    }
    rq_checkpoint_close(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const uint8_t *body = data + 1;
    size_t bytes = size - 1;
    uint8_t *file = malloc(8 + bytes);
    FUZZ_HOLDS(file != NULL);
    size_t header = bytes;
    if (data[0] & LENGTH) {
        while (header > 1 && !(body[header - 2] == '}' && body[header - 1] == '\n'))
            header--;
        rq_put_le64(file, header);
        memcpy(file + 8, body, bytes);
        bytes += 8;
    } else {
        memcpy(file, body, bytes);
        header = bytes < 8 ? 0 : bytes - 8;
        if (bytes >= 8 && rq_get_le64(file) < header)
            header = (size_t)rq_get_le64(file);
    }
    if ((data[0] & SEAL) && bytes >= 8)
        seal((char *)file + 8, header);
    fuzz_file f = fuzz_file_make(file, bytes);
    read_tensors(f.path, bytes);
    read_checkpoint(f.path);
    fuzz_file_close(&f);
    free(file);
    return 0;
}
