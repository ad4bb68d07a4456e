// SPDX-License-Identifier: Apache-2.0
// Tar headers (POSIX.1-1988 ustar) of sample members. Written by the encoder, checked by the
// reader. There is one valid header per name and size; the checker writes that header and
// compares, so a field that no code looks at cannot hide a difference.
#include "pack/ustar.h"

#include <stdio.h>
#include <string.h>

rq_status rq_ustar_header(uint8_t block[RQ_USTAR_BLOCK], const char *name, uint64_t size,
                          rq_err *err)
{
    const size_t n = strlen(name);
    if (n == 0 || n >= RQ_USTAR_NAME_BYTES)
        return rq_fail(err, RQ_INVALID_ARG, "tar member name '%.120s': 1 to 99 bytes fit",
                       name);
    if (size >> 33)
        return rq_fail(err, RQ_INVALID_ARG, "tar member '%s' is too large for ustar", name);
    char text[16];
    memset(block, 0, RQ_USTAR_BLOCK);
    memcpy(block, name, n);
    memcpy(block + 100, "0000644", 8);
    memcpy(block + 108, "0000000", 8);
    memcpy(block + 116, "0000000", 8);
    snprintf(text, sizeof text, "%011llo", (unsigned long long)size);
    memcpy(block + 124, text, 12);
    memcpy(block + 136, "00000000000", 12);
    memset(block + 148, ' ', 8); // the checksum counts its own field as blanks
    block[156] = '0';
    memcpy(block + 257,
           "ustar\0"
           "00",
           8);
    unsigned sum = 0;
    for (int i = 0; i < RQ_USTAR_BLOCK; i++)
        sum += block[i];
    snprintf(text, sizeof text, "%06o", sum);
    memcpy(block + 148, text, 7);
    return RQ_OK;
}

rq_status rq_ustar_parse(const uint8_t block[RQ_USTAR_BLOCK], char name[RQ_USTAR_NAME_BYTES],
                         uint64_t *size, rq_err *err)
{
    uint8_t again[RQ_USTAR_BLOCK];
    *size = 0;
    for (int i = 124; i < 135; i++) {
        if (block[i] < '0' || block[i] > '7')
            return rq_fail(err, RQ_BAD_FORMAT, "a tar header has no octal size");
        *size = *size * 8 + (uint64_t)(block[i] - '0');
    }
    if (!memchr(block, 0, RQ_USTAR_NAME_BYTES) || block[0] == 0)
        return rq_fail(err, RQ_BAD_FORMAT, "a tar header has no name that ends");
    memcpy(name, block, RQ_USTAR_NAME_BYTES);
    RQ_TRY(rq_ustar_header(again, name, *size, err));
    if (memcmp(block, again, RQ_USTAR_BLOCK) != 0)
        return rq_fail(err, RQ_BAD_FORMAT, "the tar header of '%s' is not one rq-pack writes",
                       name);
    return RQ_OK;
}
