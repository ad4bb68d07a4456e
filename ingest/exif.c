// SPDX-License-Identifier: Apache-2.0
// EXIF orientation of a JPEG or PNG, and nothing else of EXIF. Finds the first APP1 "Exif"
// segment, or the eXIf chunk, and reads tag 0x0112 of its first directory. Broken blocks are
// common in the wild and never an error: the caller gets orientation 1 and a flag.
#include "ingest/codec_impl.h"

#include <string.h>

typedef struct tiff {
    const uint8_t *data;
    size_t bytes;
    bool big_endian;
} tiff;

static unsigned get16(const tiff *t, size_t at)
{
    const uint8_t *p = t->data + at;
    return t->big_endian ? (unsigned)p[0] << 8 | p[1] : (unsigned)p[1] << 8 | p[0];
}

static uint32_t get32(const tiff *t, size_t at)
{
    const uint32_t a = get16(t, at), b = get16(t, at + 2);
    return t->big_endian ? a << 16 | b : b << 16 | a;
}

/* Orientation from a TIFF structure, 0 when the structure is broken, 1 when it has none. An
 * orientation of 0, which some cameras write for "not known", counts as none. */
static int tiff_orientation(const uint8_t *data, size_t bytes)
{
    enum { ORIENTATION = 0x0112, SHORT = 3, LONG = 4, ENTRY = 12 };
    tiff t = {data, bytes, false};
    if (bytes < 8)
        return 0;
    if (memcmp(data, "MM\0*", 4) == 0)
        t.big_endian = true;
    else if (memcmp(data, "II*\0", 4) != 0)
        return 0;
    const size_t ifd = get32(&t, 4);
    if (ifd > bytes - 2)
        return 0;
    const size_t entries = get16(&t, ifd);
    if (entries * ENTRY > bytes - 2 - ifd)
        return 0;
    for (size_t i = 0; i < entries; i++) {
        const size_t at = ifd + 2 + i * ENTRY;
        if (get16(&t, at) != ORIENTATION)
            continue;
        const unsigned type = get16(&t, at + 2);
        if ((type != SHORT && type != LONG) || get32(&t, at + 4) != 1)
            return 0;
        const uint32_t v = type == SHORT ? get16(&t, at + 8) : get32(&t, at + 8);
        return v == 0 ? 1 : v <= 8 ? (int)v : 0;
    }
    return 1;
}

int rq_exif_orientation_tiff(const uint8_t *data, size_t bytes, bool *broken)
{
    const int v = tiff_orientation(data, bytes);
    *broken = v == 0;
    return v == 0 ? 1 : v;
}

/* The chunk may stand before or behind the picture (PNG third edition, 11.3.4.7). */
int rq_exif_orientation_png(const uint8_t *png, size_t bytes, bool *broken)
{
    size_t at = 8; /* behind the signature */
    *broken = false;
    while (bytes >= 12 && at <= bytes - 12) {
        const tiff header = {png, bytes, true};
        const size_t length = get32(&header, at);
        if (length > bytes - at - 12)
            break;
        if (memcmp(png + at + 4, "eXIf", 4) == 0)
            return rq_exif_orientation_tiff(png + at + 8, length, broken);
        at += length + 12;
    }
    return 1;
}

int rq_exif_orientation(const uint8_t *jpeg, size_t bytes, bool *broken)
{
    enum { SOS = 0xDA, EOI = 0xD9, APP1 = 0xE1 };
    static const char exif[6] = "Exif\0";
    *broken = false;
    size_t at = 2; /* behind SOI */
    while (bytes >= 4 && at <= bytes - 4 && jpeg[at] == 0xFF) {
        const uint8_t marker = jpeg[at + 1];
        if (marker == 0xFF) { /* fill byte */
            at++;
            continue;
        }
        if (marker == SOS || marker == EOI || marker < 0xC0)
            break;
        const size_t length = (size_t)jpeg[at + 2] << 8 | jpeg[at + 3];
        if (length < 2 || length > bytes - at - 2)
            break;
        const uint8_t *body = jpeg + at + 4;
        const size_t size = length - 2;
        if (marker == APP1 && size >= sizeof exif && memcmp(body, exif, sizeof exif) == 0)
            return rq_exif_orientation_tiff(body + sizeof exif, size - sizeof exif, broken);
        at += 2 + length;
    }
    return 1;
}
