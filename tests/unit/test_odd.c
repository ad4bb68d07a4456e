// SPDX-License-Identifier: Apache-2.0
// Every file under $RQ_FIXTURES/odd, unusual or hostile, each decoded in a process of its own
// with its memory and CPU time limited: it ends by itself with a verdict, and where libjpeg or
// libavif alone read the file without complaint the picture is theirs. Bombs likewise, made
// here.
#include "ingest_fixture.h"

#include <setjmp.h>
#include <sys/wait.h>

#ifdef RQ_HAVE_AVIF
#include <avif/avif.h>
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

enum {
    CPU_SECONDS = 2, /* of one image; the reference and a second decode are in it too */
    MEMORY_MIB = 512,
    JPEG_LEVELS = 1,
    AVIF_LEVELS = 2
};

/* What a child says about its file. */
typedef struct outcome {
    rq_status status;
    rq_codec codec;
    bool compared;
    int worst; /* levels */
    char complaint[300];
} outcome;

/* ---- references ---------------------------------------------------------------------------
 */

typedef struct picture {
    uint8_t *rgb; /* [height][width][3] */
    int width, height;
} picture;

typedef struct quiet_errors {
    struct jpeg_error_mgr base;
    jmp_buf escape;
    int warnings;
} quiet_errors;

static void on_error(j_common_ptr c)
{
    longjmp(((quiet_errors *)(void *)c->err)->escape, 1);
}

static void on_message(j_common_ptr c, int level)
{
    ((quiet_errors *)(void *)c->err)->warnings += level < 0;
}

/* CMYK as everybody reads it: Adobe's inverted inks. */
static void to_rgb(uint8_t *dst, const uint8_t *src, int channels)
{
    for (int i = 0; i < 3; i++)
        dst[i] = channels == 4   ? (uint8_t)((src[i] * src[3] + 127) / 255)
                 : channels == 3 ? src[i]
                                 : src[0];
}

/* libjpeg's own output; false when it fails or has anything to complain about. */
static bool jpeg_reference(const rq_buf *file, picture *p)
{
    struct jpeg_decompress_struct d;
    quiet_errors errors = {.warnings = 0};
    d.err = jpeg_std_error(&errors.base);
    errors.base.error_exit = on_error;
    errors.base.emit_message = on_message;
    if (setjmp(errors.escape) != 0) {
        jpeg_destroy_decompress(&d);
        return false;
    }
    jpeg_create_decompress(&d);
    jpeg_mem_src(&d, file->data, file->size);
    jpeg_read_header(&d, TRUE);
    d.out_color_space = d.num_components == 4   ? JCS_CMYK
                        : d.num_components == 1 ? JCS_GRAYSCALE
                                                : JCS_RGB;
    jpeg_start_decompress(&d);
    p->width = (int)d.output_width;
    p->height = (int)d.output_height;
    p->rgb = malloc((size_t)p->width * (size_t)p->height * 3);
    uint8_t *row = malloc((size_t)p->width * 4), *out = p->rgb;
    while (d.output_scanline < d.output_height) {
        jpeg_read_scanlines(&d, &row, 1);
        for (int x = 0; x < p->width; x++, out += 3)
            to_rgb(out, row + x * d.output_components, d.output_components);
    }
    jpeg_finish_decompress(&d);
    jpeg_destroy_decompress(&d);
    free(row);
    return errors.warnings == 0;
}

#ifdef RQ_HAVE_AVIF
static bool avif_reference(const rq_buf *file, picture *p)
{
    avifDecoder *d = avifDecoderCreate();
    avifRGBImage rgb;
    d->maxThreads = 1;
    d->strictFlags = AVIF_STRICT_DISABLED;
    bool good = avifDecoderSetIOMemory(d, file->data, file->size) == AVIF_RESULT_OK &&
                avifDecoderParse(d) == AVIF_RESULT_OK &&
                avifDecoderNextImage(d) == AVIF_RESULT_OK;
    if (good) {
        d->image->alphaPlane = NULL; /* dropped, not composited */
        avifRGBImageSetDefaults(&rgb, d->image);
        rgb.format = AVIF_RGB_FORMAT_RGB;
        rgb.depth = 8;
        p->width = (int)rgb.width;
        p->height = (int)rgb.height;
        p->rgb = malloc((size_t)rgb.width * rgb.height * 3);
        rgb.pixels = p->rgb;
        rgb.rowBytes = rgb.width * 3;
        good = avifImageYUVToRGB(d->image, &rgb) == AVIF_RESULT_OK;
    }
    return good;
}
#else
static bool avif_reference(const rq_buf *file, picture *p)
{
    return false;
}
#endif

static int worst_difference(const rq_image *img, const picture *p)
{
    int worst = 0;
    for (int y = 0; y < p->height; y++) {
        for (int x = 0; x < p->width; x++) {
            for (int c = 0; c < 3; c++) {
                const rq_plane *plane = &img->plane[img->pixels == RQ_PIXELS_GRAY ? 0 : c];
                const int got = plane->data[(size_t)y * plane->stride + (size_t)x];
                const int off = abs(
                    got - p->rgb[((size_t)y * (size_t)p->width + (size_t)x) * 3 + (size_t)c]);
                worst = off > worst ? off : worst;
            }
        }
    }
    return worst;
}

/* ---- one file -----------------------------------------------------------------------------
 */

static void complain(outcome *o, const char *what)
{
    if (o->complaint[0] == '\0')
        snprintf(o->complaint, sizeof o->complaint, "%s", what);
}

static void compare(codec_fixture *f, const rq_buf *file, outcome *o)
{
    picture p = {0};
    const bool jpeg = o->codec == RQ_CODEC_JPEG;
    const bool sound = jpeg                        ? jpeg_reference(file, &p)
                       : o->codec == RQ_CODEC_AVIF ? avif_reference(file, &p)
                                                   : false;
    if (!sound)
        return;
    if (o->status != RQ_OK) {
        complain(o, f->err.text); /* the plain library reads it */
        return;
    }
    if (p.width != f->img.width || p.height != f->img.height) {
        complain(o, "another size than the plain library's");
        return;
    }
    o->compared = true;
    o->worst = worst_difference(&f->img, &p);
    if (o->worst > (jpeg ? JPEG_LEVELS : AVIF_LEVELS))
        complain(o, "another picture than the plain library's");
}

/* The header promises what comes, to the planes and to RGB. */
static void decode_both_ways(codec_fixture *f, const rq_buf *file, outcome *o)
{
    rq_image_info probed;
    rq_err err = {0};
    const rq_status header = rq_probe(file->data, file->size, &f->limits, &probed, &err);
    f->err = (rq_err){0};
    o->status =
        rq_decode(f->decoder, file->data, file->size, false, &f->img, &f->info, &f->err);
    o->codec = f->info.codec;
    if ((o->status == RQ_OK) != (f->err.text[0] == '\0') || o->status == RQ_INTERNAL)
        complain(o, "a verdict without its sentence");
    if (o->status == RQ_OK &&
        (header != RQ_OK || probed.width != f->img.width || probed.height != f->img.height ||
         probed.pixels != f->img.pixels || probed.sub_x != f->img.sub_x ||
         probed.sub_y != f->img.sub_y || probed.memory == 0))
        complain(o, "the header promised something else");
    if (o->codec != RQ_CODEC_JPEG) /* others come as RGB or grey anyway */
        return;
    rq_err_clear(&f->err);
    const rq_status rgb =
        rq_decode_rgb(f->decoder, file->data, file->size, false, &f->img, &f->info, &f->err);
    if ((rgb == RQ_OK) != (o->status == RQ_OK))
        complain(o, "RGB and planes have different verdicts");
}

static void limit_child(long memory_mib)
{
    const struct rlimit cpu = {CPU_SECONDS + 1, CPU_SECONDS + 1},
                        data = {(rlim_t)memory_mib << 20, (rlim_t)memory_mib << 20},
                        core = {0, 0};
    setrlimit(RLIMIT_CORE, &core);
    if (SANITIZED)
        return;
    setrlimit(RLIMIT_CPU, &cpu);
    setrlimit(RLIMIT_DATA, &data);
}

/* Runs in a child, which the caller collects by its pipe. alike: the plain library has to
 * agree.
 */
static void child(int fd, const rq_buf *file, long memory_mib, bool alike)
{
    codec_fixture f = {.limits = rq_limits_default()};
    outcome o = {0};
    limit_child(memory_mib);
    if (rq_decoder_create(&f.decoder, &f.limits, NULL) == RQ_OK) {
        decode_both_ways(&f, file, &o);
        if (alike && o.status != RQ_LIMIT)
            compare(&f, file, &o);
        if (file->size < 20000 && /* cut in two, for what the sanitizers have to say */
            rq_decode(f.decoder, file->data, file->size / 2, false, &f.img, NULL, NULL) ==
                RQ_INTERNAL)
            complain(&o, "an internal error when cut");
    } else {
        complain(&o, "no decoder");
    }
    const bool sent = write(fd, &o, sizeof o) == (ssize_t)sizeof o;
    rq_decoder_destroy(&f.decoder);
    _exit(sent ? 0 : 1);
}

static double seconds(const struct rusage *u)
{
    return (double)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) +
           (double)(u->ru_utime.tv_usec + u->ru_stime.tv_usec) / 1e6;
}

static outcome run(const char *name, const rq_buf *file, long memory_mib, bool alike)
{
    outcome o = {0};
    struct rusage used;
    int ends[2], wait_status;
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        child(ends[1], file, memory_mib, alike);
    close(ends[1]);
    const ssize_t got = read(ends[0], &o, sizeof o);
    close(ends[0]);
    assert_int_equal(wait4(pid, &wait_status, 0, &used), pid);
    if (!WIFEXITED(wait_status) || WEXITSTATUS(wait_status) != 0 || got != (ssize_t)sizeof o)
        fail_msg("%s: the process ended with status %x", name, (unsigned)wait_status);
    if (o.complaint[0] != '\0')
        fail_msg("%s: %s (worst %d)", name, o.complaint, o.worst);
    if (!SANITIZED && (seconds(&used) > CPU_SECONDS || used.ru_maxrss > MEMORY_MIB * 1024))
        fail_msg("%s: %.2f s, %ld MiB", name, seconds(&used), used.ru_maxrss >> 10);
    return o;
}

/* ---- tests --------------------------------------------------------------------------------
 */

typedef struct tally {
    int files, ok, compared[RQ_CODEC_PNM + 1];
} tally;

/* libaom, which judges, refuses the data of this hostile file; dav1d lets them pass. */
static bool decoders_disagree(const char *name)
{
    return strstr(name, "poc_b_506387278.avif") != NULL;
}

static void sweep(const char *dir, tally *t)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    while (d != NULL && (e = readdir(d)) != NULL) {
        char path[4096];
        struct stat st;
        rq_buf file = {0};
        rq_err err = {0};
        snprintf(path, sizeof path, "%.3000s/%.255s", dir, e->d_name);
        if (e->d_name[0] == '.' || stat(path, &st) != 0)
            continue;
        if (S_ISDIR(st.st_mode)) {
            sweep(path, t);
            continue;
        }
        assert_ok(rq_file_read(path, (size_t)64 << 20, &file, &err), &err);
        const bool alike = !decoders_disagree(path);
        const outcome o = run(path, &file, MEMORY_MIB, alike);
        assert_true(alike || o.status == RQ_CORRUPT_IMAGE);
        t->files++;
        t->ok += o.status == RQ_OK;
        t->compared[o.codec] += o.compared;
        rq_buf_free(&file);
    }
    if (d != NULL)
        closedir(d);
}

static void odd_files_have_verdicts_and_sound_ones_their_picture(void **state)
{
    const char *fixtures = getenv("RQ_FIXTURES");
    char dir[3000];
    tally t = {0};
    snprintf(dir, sizeof dir, "%.2900s/odd", fixtures != NULL ? fixtures : "");
    if (fixtures == NULL || access(dir, R_OK) != 0) {
        print_message("no odd files: $RQ_FIXTURES/odd is not there\n");
        skip();
    }
    sweep(dir, &t);
    print_message("%d files, %d usable; equal to the plain library: %d JPEG, %d AVIF\n",
                  t.files, t.ok, t.compared[RQ_CODEC_JPEG], t.compared[RQ_CODEC_AVIF]);
    assert_true(t.files > 0 && t.compared[RQ_CODEC_JPEG] > 0);
}

static void put_be(uint8_t *p, int bytes, uint32_t v)
{
    for (int i = 0; i < bytes; i++)
        p[i] = (uint8_t)(v >> 8 * (bytes - 1 - i));
}

static uint8_t *find_bytes(rq_buf *file, const char *what, size_t n)
{
    uint8_t *at = memmem(file->data, file->size, what, n);
    assert_non_null(at);
    return at;
}

/* 65,535 x 65,535 pixels in a process that has 48 MiB. */
static void bombs_are_refused_before_allocation(void **state)
{
    rq_buf file = {0};
    rq_err err = {0};
    const uint8_t pixel[3] = {1, 2, 3};
    for (int progressive = 0; progressive < 2; progressive++) {
        fixture_jpeg(&file, &(jpeg_spec){.width = 16,
                                         .height = 16,
                                         .pixels = JCS_RGB,
                                         .coded = JCS_YCbCr,
                                         .progressive = progressive != 0});
        put_be(find_bytes(&file, progressive ? "\xFF\xC2" : "\xFF\xC0", 2) + 5, 4, 0xFFFFFFFF);
        assert_status(run("JPEG bomb", &file, 48, true).status, RQ_LIMIT);
    }
    assert_ok(rq_png_encode(pixel, 1, 1, 3, &file, &err), &err);
    put_be(file.data + 16, 4, 65535);
    put_be(file.data + 20, 4, 65535);
    assert_status(run("PNG bomb", &file, 48, true).status, RQ_LIMIT);
    static const char ppm[] = "P6\n65535 65535\n255\n123";
    file.size = 0;
    assert_ok(rq_buf_append(&file, ppm, sizeof ppm, &err), &err);
    assert_status(run("PPM bomb", &file, 48, true).status, RQ_LIMIT);
    rq_buf_free(&file);
}

#ifdef RQ_HAVE_AVIF
static void an_avif_bomb_is_refused_before_allocation(void **state)
{
    rq_buf file = {0};
    rq_err err = {0};
    avifRWData out = AVIF_DATA_EMPTY;
    avifEncoder *e = avifEncoderCreate();
    avifImage *image = avifImageCreate(16, 16, 8, AVIF_PIXEL_FORMAT_YUV420);
    avifImageAllocatePlanes(image, AVIF_PLANES_YUV);
    for (int i = 0; i < 3; i++)
        memset(image->yuvPlanes[i], 99, image->yuvRowBytes[i] * (i ? 8 : 16));
    e->speed = AVIF_SPEED_FASTEST;
    assert_int_equal(avifEncoderWrite(e, image, &out), AVIF_RESULT_OK);
    assert_ok(rq_buf_append(&file, out.data, out.size, &err), &err);
    uint8_t *ispe = find_bytes(&file, "ispe", 4);
    put_be(ispe + 8, 4, 65535);
    put_be(ispe + 12, 4, 65535);
    assert_status(run("AVIF bomb", &file, 96, true).status, RQ_LIMIT);
    avifRWDataFree(&out);
    avifImageDestroy(image);
    avifEncoderDestroy(e);
    rq_buf_free(&file);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(odd_files_have_verdicts_and_sound_ones_their_picture),
        cmocka_unit_test(bombs_are_refused_before_allocation),
#ifdef RQ_HAVE_AVIF
        cmocka_unit_test(an_avif_bomb_is_refused_before_allocation),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
