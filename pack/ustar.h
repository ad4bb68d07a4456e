/* The only tar code of our own: one header per member, always the same bytes for the same name
 * and size (mode 0644, owner 0, time 0), so a header is checked by writing it again. */
#ifndef RQ_PACK_USTAR_H
#define RQ_PACK_USTAR_H

#include "common/status.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { RQ_USTAR_BLOCK = 512, RQ_USTAR_NAME_BYTES = 100, RQ_USTAR_END_BYTES = 1024 };

/* Writes the header of a regular file. INVALID_ARG when the name is empty or longer than 99
 * bytes or the size does not fit 11 octal digits. */
RQ_NODISCARD rq_status rq_ustar_header(uint8_t block[RQ_USTAR_BLOCK], const char *name,
                                       uint64_t size, rq_err *err);
/* Reads a header. BAD_FORMAT unless it is byte for byte what rq_ustar_header writes. name is
 * NUL-terminated. */
RQ_NODISCARD rq_status rq_ustar_parse(const uint8_t block[RQ_USTAR_BLOCK],
                                      char name[RQ_USTAR_NAME_BYTES], uint64_t *size,
                                      rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
