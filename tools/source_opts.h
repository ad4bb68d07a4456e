/* Options that say what a source is, as rows for the option table of a tool.
 *
 *     rq_source_request in = {0};
 *     const rq_opt opts[] = { ..., RQ_SOURCE_OPTS(in), {0} };
 *     rq_cli_parse(...);
 *     rq_source_request_open(&src, &in, paths, n_paths, &err);
 */
#ifndef RQ_TOOLS_SOURCE_OPTS_H
#define RQ_TOOLS_SOURCE_OPTS_H

#include "ingest/source.h"
#include "tools/cli.h"

/* Zeros are the defaults. */
typedef struct rq_source_request {
    int layout; /* rq_layout */
    int split;  /* rq_split */
    const char *labels, *classes, *exclude;
    bool allow_truncated;
} rq_source_request;

/* NULL-terminated, for CHOICE rows; in the order of the enums. */
extern const char *const rq_source_layouts[];
extern const char *const rq_source_splits[];

/* Opens what the options and the paths say, with the log of the command line; what was found is
 * said there at level INFO. Ends with CANCELLED when rq_cli_stop is set. */
RQ_NODISCARD rq_status rq_source_request_open(rq_source **out, const rq_source_request *in,
                                              const char *const *paths, size_t n, rq_err *err);

#define RQ_SOURCE_CHOICE_(in, field, name, arg, names, text)                                   \
    {                                                                                          \
        RQ_OPT_CHOICE, name, 0, &(in).field, arg, text, 0, 0, names                            \
    }
#define RQ_SOURCE_FILE_(in, field, name, text)                                                 \
    {                                                                                          \
        RQ_OPT_STRING, name, 0, &(in).field, "FILE", text, 0, 0, NULL                          \
    }
#define RQ_SOURCE_SWITCH_(in, field, name, text)                                               \
    {                                                                                          \
        RQ_OPT_BOOL, name, 0, &(in).field, NULL, text, 0, 0, NULL                              \
    }

/* Rows: --layout --split --labels --classes --exclude --allow-truncated. A group heading is the
 * tool's. */
#define RQ_SOURCE_OPTS(in)                                                                     \
    RQ_SOURCE_CHOICE_(in, layout, "layout", "KIND", rq_source_layouts,                         \
                      "how the source is arranged"),                                           \
        RQ_SOURCE_CHOICE_(in, split, "split", "PART", rq_source_splits,                        \
                          "which part of a source that holds several"),                        \
        RQ_SOURCE_FILE_(in, labels, "labels",                                                  \
                        "labels of flat images: an ImageNet devkit, lines of NAME LABEL, or "  \
                        "LOC_val_solution.csv"),                                               \
        RQ_SOURCE_FILE_(in, classes, "classes",                                                \
                        "all classes, also those without images: a devkit, "                   \
                        "LOC_synset_mapping.txt, or one name a line"),                         \
        RQ_SOURCE_FILE_(in, exclude, "exclude", "names to leave out, one a line"),             \
        RQ_SOURCE_SWITCH_(in, allow_truncated, "allow-truncated",                              \
                          "an archive that ends early is a warning, and what is whole is "     \
                          "used")

#endif
