// SPDX-License-Identifier: Apache-2.0
//
// `rq-ingest verify`: is this what ImageNet's makers published? Each file is read once for its
// MD5, which is the checksum they gave, and each source is listed and its images counted per
// class and compared with the official counts. What is neither known by its MD5 nor looks like
// ImageNet is only described.
#include "ingest/source.h"
#include "tools/ingest_commands.h"
#include "tools/source_opts.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MD5_HEX_BYTES = 33, BLOCK_BYTES = 1 << 20 };

typedef struct known_file {
    const char *name, *md5, *what;
    rq_split split; /* ANY: holds no images */
} known_file;

static const known_file known_files[] = {
    {"ILSVRC2012_img_train.tar", "1d675b47d978889d74fa0da5fadfb00e", "training images",
     RQ_SPLIT_TRAIN},
    {"ILSVRC2012_img_val.tar", "29b22e2961454d5413ddabcf34fc5622", "validation images",
     RQ_SPLIT_VAL},
    {"ILSVRC2012_devkit_t12.tar.gz", "fa75699e90414af021442c21a62c3abf", "development kit",
     RQ_SPLIT_ANY}};

/* What a complete split of ImageNet 2012 holds. */
static const struct {
    rq_split split;
    uint64_t images, least, most; /* per class */
    int classes;
} official[] = {{RQ_SPLIT_TRAIN, 1281167, 732, 1300, 1000},
                {RQ_SPLIT_VAL, 50000, 50, 50, 1000}};

typedef struct request {
    rq_source_request in;
    const char *md5;
    bool checksum, counts;
} request;

/* What is known about one argument. */
typedef struct finding {
    const char *path;
    char md5[MD5_HEX_BYTES]; /* "": not computed */
    uint64_t bytes;
    const known_file *by_md5, *by_name;
    bool counted, labelled;
    uint64_t images, least, most; /* least, most: per class */
    int classes;
    bool mismatch;
} finding;

/* ---- checksum ---------------------------------------------------------------------------- */

static rq_status read_block(int fd, uint8_t *block, size_t *n, const char *path, rq_err *err)
{
    ssize_t got;
    if (rq_cli_stop)
        return rq_fail(err, RQ_CANCELLED, "interrupted while reading '%s'", path);
    do
        got = read(fd, block, BLOCK_BYTES);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return rq_fail_errno(err, "cannot read '%s'", path);
    *n = (size_t)got;
    return RQ_OK;
}

static rq_status hash_blocks(int fd, EVP_MD_CTX *ctx, uint8_t *block, finding *f, rq_err *err)
{
    size_t n = 0;
    do {
        RQ_TRY(read_block(fd, block, &n, f->path, err));
        if (EVP_DigestUpdate(ctx, block, n) != 1)
            return rq_fail(err, RQ_INTERNAL, "libcrypto failed within an MD5");
        f->bytes += n;
        rq_progress_update(f->bytes >> 20, f->bytes, NULL);
    } while (n > 0);
    return RQ_OK;
}

static rq_status hash_file(int fd, uint64_t size, finding *f, rq_err *err)
{
    uint8_t digest[EVP_MAX_MD_SIZE], *block = rq_alloc(BLOCK_BYTES, 1);
    unsigned bytes = 0;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    rq_status st = RQ_OK;
    if (block == NULL || ctx == NULL)
        st = rq_fail(err, RQ_OOM, "out of memory for a checksum");
    else if (EVP_DigestInit_ex(ctx, EVP_md5(), NULL) != 1)
        st = rq_fail(err, RQ_UNSUPPORTED,
                     "this libcrypto does no MD5; use --no-checksum to compare counts alone");
    if (st == RQ_OK) {
        rq_progress_begin("reading", "MiB", size >> 20);
        st = hash_blocks(fd, ctx, block, f, err);
        rq_progress_end();
    }
    if (st == RQ_OK && EVP_DigestFinal_ex(ctx, digest, &bytes) != 1)
        st = rq_fail(err, RQ_INTERNAL, "libcrypto failed to end an MD5");
    for (unsigned i = 0; st == RQ_OK && i < bytes && i < (MD5_HEX_BYTES - 1) / 2; i++)
        snprintf(f->md5 + 2 * i, 3, "%02x", digest[i]);
    EVP_MD_CTX_free(ctx);
    rq_free(block);
    return st;
}

static rq_status checksum(const request *q, finding *f, rq_err *err)
{
    struct stat st;
    if (stat(f->path, &st) != 0)
        return rq_fail_errno(err, "cannot open '%s'", f->path);
    if (!S_ISREG(st.st_mode) && q->md5 != NULL)
        return rq_fail(err, RQ_INVALID_ARG, "'%s' is no file, so it has no MD5 to compare",
                       f->path);
    if (!S_ISREG(st.st_mode) || !q->checksum)
        return RQ_OK;
    const int fd = open(f->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return rq_fail_errno(err, "cannot open '%s'", f->path);
    const rq_status status = hash_file(fd, (uint64_t)st.st_size, f, err);
    close(fd);
    RQ_TRY(status);
    for (size_t i = 0; i < sizeof known_files / sizeof *known_files; i++)
        if (strcmp(known_files[i].md5, f->md5) == 0)
            f->by_md5 = &known_files[i];
    return RQ_OK;
}

/* ---- counts ------------------------------------------------------------------------------ */

static rq_status count_classes(const rq_source *src, finding *f, rq_err *err)
{
    f->images = rq_source_count(src);
    f->classes = rq_source_classes(src);
    f->counted = true;
    if (f->classes == 0)
        return RQ_OK;
    uint64_t *n = rq_calloc((size_t)f->classes, sizeof *n);
    if (n == NULL)
        return rq_fail(err, RQ_OOM, "out of memory for %d classes", f->classes);
    for (uint64_t i = 0; i < f->images; i++) {
        const int label = rq_source_entry(src, i).label;
        if (label >= 0 && label < f->classes)
            n[label]++;
    }
    f->labelled = true;
    f->least = f->most = n[0];
    for (int i = 1; i < f->classes; i++) {
        f->least = n[i] < f->least ? n[i] : f->least;
        f->most = n[i] > f->most ? n[i] : f->most;
    }
    rq_free(n);
    return RQ_OK;
}

static rq_status count(const request *q, finding *f, rq_err *err)
{
    rq_source *src = NULL;
    const known_file *kit = f->by_md5 != NULL ? f->by_md5 : f->by_name;
    if (!q->counts || (kit != NULL && kit->split == RQ_SPLIT_ANY))
        return RQ_OK;
    RQ_TRY(rq_source_request_open(&src, &q->in, &f->path, 1, err));
    const rq_status st = count_classes(src, f, err);
    rq_source_close(&src);
    return st;
}

/* ---- verdict ----------------------------------------------------------------------------- */

/* Where people read: results are JSON on stdout when that was asked for. */
static FILE *people(void)
{
    return rq_cli.json ? stderr : stdout;
}

static void compare_checksum(const request *q, finding *f)
{
    FILE *to = people();
    if (f->md5[0] == '\0')
        return;
    fprintf(to, "  %" PRIu64 " bytes, md5 %s\n", f->bytes, f->md5);
    if (q->md5 != NULL) {
        f->mismatch = strcasecmp(q->md5, f->md5) != 0;
        fprintf(to, f->mismatch ? "  MISMATCH: %s was asked for\n" : "  matches --md5\n",
                q->md5);
    } else if (f->by_md5 != NULL) {
        fprintf(to, "  this is the official %s, ImageNet 2012 %s, every byte\n",
                f->by_md5->name, f->by_md5->what);
    } else if (f->by_name != NULL) {
        f->mismatch = true;
        fprintf(to,
                "  MISMATCH: the official %s has md5 %s; this file is damaged, incomplete or "
                "another one\n",
                f->by_name->name, f->by_name->md5);
    } else {
        fprintf(to, "  not one of the official archives\n");
    }
}

/* Which split the counts should be those of: what was asked for, or what the file is known as,
 * or, for a source of ImageNet's size, the nearest. */
static rq_split expected_split(const request *q, const finding *f)
{
    if (q->in.split != RQ_SPLIT_ANY)
        return (rq_split)q->in.split;
    if (f->by_md5 != NULL)
        return f->by_md5->split;
    if (f->by_name != NULL)
        return f->by_name->split;
    if (f->classes == official[0].classes || f->classes == 0)
        return f->images > 1000000                       ? RQ_SPLIT_TRAIN
               : f->images > 49000 && f->images <= 50000 ? RQ_SPLIT_VAL
                                                         : RQ_SPLIT_ANY;
    return RQ_SPLIT_ANY;
}

static void compare_counts(const request *q, finding *f)
{
    FILE *to = people();
    char a[32];
    if (!f->counted)
        return;
    fprintf(to, "  ");
    rq_ingest_print_count(to, f->images, "image", "images");
    if (f->labelled) {
        fprintf(to, ", ");
        rq_ingest_print_count(to, (uint64_t)f->classes, "class", "classes");
        fprintf(to, " of ");
        if (f->least != f->most)
            fprintf(to, "%" PRIu64 " to ", f->least);
        rq_ingest_print_count(to, f->most, "image", "images");
    }
    fprintf(to, f->labelled ? "\n" : ", no labels\n");
    const rq_split split = expected_split(q, f);
    for (size_t i = 0; i < sizeof official / sizeof *official; i++) {
        if (official[i].split != split)
            continue;
        const bool same =
            f->images == official[i].images &&
            (!f->labelled || (f->classes == official[i].classes &&
                              f->least == official[i].least && f->most == official[i].most));
        f->mismatch = f->mismatch || !same;
        fprintf(to,
                "  %s: ImageNet's %s split has %s images, %d classes of %" PRIu64 " to %" PRIu64
                "\n",
                same ? "complete" : "MISMATCH", rq_split_name(split),
                rq_format_count(a, official[i].images), official[i].classes, official[i].least,
                official[i].most);
    }
}

static void print_json_text(const char *text)
{
    rq_buf quoted = {0};
    const bool good = text != NULL && rq_json_append_string(&quoted, text, NULL) == RQ_OK;
    fputs(good ? (const char *)quoted.data : "null", stdout);
    rq_buf_free(&quoted);
}

/* error: what kept it from being verified, or NULL. */
static void print_json(const finding *f, const char *error, bool first)
{
    printf("%s\n  {\"path\": ", first ? "" : ",");
    print_json_text(f->path);
    printf(", \"official\": ");
    print_json_text(f->by_md5 != NULL ? f->by_md5->name : NULL);
    if (f->md5[0] != '\0')
        printf(", \"bytes\": %" PRIu64 ", \"md5\": \"%s\"", f->bytes, f->md5);
    if (f->counted)
        printf(", \"images\": %" PRIu64 ", \"classes\": %d, \"least\": %" PRIu64
               ", \"most\": %" PRIu64,
               f->images, f->classes, f->least, f->most);
    if (error != NULL) {
        printf(", \"error\": ");
        print_json_text(error);
    }
    printf(", \"mismatch\": %s}", f->mismatch ? "true" : "false");
}

static rq_status verify_one(const request *q, finding *f, rq_err *err)
{
    const char *base = rq_path_base(f->path);
    for (size_t i = 0; i < sizeof known_files / sizeof *known_files; i++)
        if (strcasecmp(known_files[i].name, base) == 0)
            f->by_name = &known_files[i];
    fprintf(people(), "%s\n", f->path);
    RQ_TRY(checksum(q, f, err));
    compare_checksum(q, f);
    RQ_TRY(count(q, f, err));
    compare_counts(q, f);
    return RQ_OK;
}

/* ---- the command ------------------------------------------------------------------------- */

static int parse(request *q, int argc, char **argv, int *n_args)
{
    const rq_opt opts[] = {{RQ_OPT_GROUP, "", 0, NULL, NULL, "What to compare", 0, 0, NULL},
                           {RQ_OPT_BOOL, "checksum", 0, &q->checksum, NULL,
                            "read every byte of a file for its MD5", 0, 0, NULL},
                           {RQ_OPT_STRING, "md5", 0, &q->md5, "HEX",
                            "what the MD5 must be, instead of the official ones", 0, 0, NULL},
                           {RQ_OPT_BOOL, "counts", 0, &q->counts, NULL,
                            "list each source and count its images", 0, 0, NULL},
                           {RQ_OPT_GROUP, "", 0, NULL, NULL, "Input", 0, 0, NULL},
                           RQ_SOURCE_OPTS(q->in),
                           {0}};
    return rq_cli_parse(argc, argv, "SRC...",
                        "  rq-ingest verify ILSVRC2012_img_train.tar ILSVRC2012_img_val.tar\n"
                        "  rq-ingest verify imagenet/train --split train\n",
                        opts, n_args);
}

static int check(request *q, int n_args)
{
    if (n_args == 0)
        return rq_cli_usage("no source given: name archives or folders of ImageNet");
    if (q->md5 != NULL && (strlen(q->md5) != MD5_HEX_BYTES - 1 ||
                           strspn(q->md5, "0123456789abcdefABCDEF") != MD5_HEX_BYTES - 1))
        return rq_cli_usage("--md5 takes 32 hex digits, not '%.80s'", q->md5);
    if (q->md5 != NULL && n_args > 1)
        return rq_cli_usage("--md5 goes with one file, not with %d", n_args);
    if (q->md5 != NULL && !q->checksum)
        return rq_cli_usage("--md5 cannot be compared with --no-checksum");
    if (!q->checksum && !q->counts)
        return rq_cli_usage("nothing to compare with --no-checksum and --no-counts");
    return -1;
}

int rq_ingest_verify(int argc, char **argv)
{
    request q = {.checksum = true, .counts = true};
    int n_args = 0, code = parse(&q, argc, argv, &n_args);
    if (code < 0)
        code = check(&q, n_args);
    if (code >= 0)
        return code;
    bool mismatch = false;
    int failure = 0;
    rq_status st = RQ_OK;
    if (rq_cli.json)
        printf("[");
    for (int i = 1; i <= n_args && st != RQ_CANCELLED; i++) {
        finding f = {.path = argv[i]};
        rq_err err = {0};
        st = verify_one(&q, &f, &err);
        if (st != RQ_OK)
            code = rq_cli_fail(&err);
        failure = st != RQ_OK && (failure == 0 || st == RQ_CANCELLED) ? code : failure;
        if (rq_cli.json)
            print_json(&f, st == RQ_OK ? NULL : err.text, i == 1);
        mismatch = mismatch || f.mismatch;
    }
    if (rq_cli.json)
        printf("\n]\n");
    return failure == 0 && mismatch ? rq_status_exit_code(RQ_BAD_CHECKSUM) : failure;
}
