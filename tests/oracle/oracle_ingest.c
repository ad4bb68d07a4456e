// SPDX-License-Identifier: Apache-2.0
//
// Decodes the files named on standard input, one a line, for ingest_pillow.py: file number i
// goes to i.ppm or i.pgm in the current folder, and a line "STATUS CODEC NOTES what is wrong"
// to standard output.
#include "common/file.h"
#include "ingest/codec.h"

#include <stdio.h>
#include <string.h>

static void write_picture(const rq_image *img, int number)
{
    const int channels = rq_pixels_planes(img->pixels);
    char name[32];
    snprintf(name, sizeof name, "%d.%s", number, channels == 1 ? "pgm" : "ppm");
    FILE *out = fopen(name, "wb");
    if (out == NULL)
        return;
    fprintf(out, "P%d\n%d %d\n255\n", channels == 1 ? 5 : 6, img->width, img->height);
    for (int y = 0; y < img->height; y++)
        for (int x = 0; x < img->width; x++)
            for (int c = 0; c < channels; c++)
                fputc(img->plane[c].data[(size_t)y * img->plane[c].stride + (size_t)x], out);
    fclose(out);
}

int main(void)
{
    const rq_limits limits = rq_limits_default();
    rq_decoder *decoder;
    rq_image img = {0};
    rq_buf file = {0};
    char path[4096];
    if (rq_decoder_create(&decoder, &limits, NULL) != RQ_OK)
        return 1;
    for (int number = 0; fgets(path, sizeof path, stdin) != NULL; number++) {
        rq_err err = {0};
        rq_image_info info = {0};
        path[strcspn(path, "\n")] = '\0';
        rq_status s = rq_file_read(path, limits.max_file_bytes, &file, &err);
        if (s == RQ_OK)
            s = rq_decode_rgb(decoder, file.data, file.size, false, &img, &info, &err);
        if (s == RQ_OK)
            write_picture(&img, number);
        printf("%s %s %u %s\n", rq_status_name(s), rq_codec_name(info.codec), info.notes,
               err.text);
    }
    rq_image_free(&img);
    rq_buf_free(&file);
    rq_decoder_destroy(&decoder);
    return 0;
}
