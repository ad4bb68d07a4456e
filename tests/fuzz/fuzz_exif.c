// SPDX-License-Identifier: Apache-2.0
//
// EXIF orientation, read and written. The input is the TIFF structure of an EXIF block, which
// is put into a JPEG header here; when it begins with a JPEG's first bytes it is taken as the
// whole file.
#include "fuzz.h"

#include "ingest/codec_impl.h"
#include "ingest/orient.h"

/* Into a file that has no EXIF an orientation can be put, and is then found. */
static void check_insert(const uint8_t *jpeg, size_t size, int orientation)
{
    rq_buf file = {0};
    rq_err err = {0};
    bool broken = false;
    FUZZ_OK(rq_buf_append(&file, jpeg, size, &err), &err);
    if (fuzz_status(rq_exif_insert_orientation(&file, orientation, &err), &err) == RQ_OK)
        FUZZ_HOLDS(rq_exif_orientation(file.data, file.size, &broken) == orientation &&
                   !broken);
    rq_buf_free(&file);
}

static void check(const uint8_t *jpeg, size_t size)
{
    uint8_t *copy = fuzz_copy(jpeg, size);
    bool broken = false;
    const int orientation = rq_exif_orientation(copy, size, &broken);
    FUZZ_HOLDS(orientation >= 1 && orientation <= 8);
    FUZZ_HOLDS(!broken || orientation == 1);
    if (orientation != 1)
        fuzz_accepted();
    if (memmem(jpeg, size, "Exif", 4) == NULL)
        check_insert(jpeg, size, 2 + jpeg[size - 1] % 7);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { LENGTH_AT = 4, HEAD = 12, MOST = 65535 - 8 };
    if (size >= 2 && data[0] == 0xFF && data[1] == 0xD8) {
        check(data, size);
        return 0;
    }
    static const uint8_t head[HEAD] = {0xFF, 0xD8, 0xFF, 0xE1, 0, 0, 'E', 'x', 'i', 'f', 0, 0};
    const size_t bytes = size < MOST ? size : MOST;
    uint8_t *file = malloc(HEAD + bytes);
    FUZZ_HOLDS(file != NULL);
    memcpy(file, head, HEAD);
    file[LENGTH_AT] = (uint8_t)((bytes + 8) >> 8);
    file[LENGTH_AT + 1] = (uint8_t)(bytes + 8);
    if (bytes > 0)
        memcpy(file + HEAD, data, bytes);
    check(file, HEAD + bytes);
    free(file);
    return 0;
}
