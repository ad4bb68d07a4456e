// SPDX-License-Identifier: Apache-2.0
//
// From the options that every tool over sources has to an open source.
#include "tools/source_opts.h"

const char *const rq_source_layouts[] = {
    "auto",       "class-folders", "flat-folder", "tar-of-tars", "tar-folders", "tar-flat",
    "class-tars", "kaggle",        "huggingface", "webdataset",  "list",        NULL};
const char *const rq_source_splits[] = {"any", "train", "val", "test", NULL};

_Static_assert(sizeof rq_source_layouts / sizeof *rq_source_layouts == RQ_LAYOUT_COUNT + 1,
               "a name for each layout");
_Static_assert(sizeof rq_source_splits / sizeof *rq_source_splits == RQ_SPLIT_TEST + 2,
               "a name for each split");

rq_status rq_source_request_open(rq_source **out, const rq_source_request *in,
                                 const char *const *paths, size_t n, rq_err *err)
{
    rq_source_opts o;
    rq_source_opts_default(&o);
    o.layout = (rq_layout)in->layout;
    o.split = (rq_split)in->split;
    o.labels = in->labels;
    o.classes = in->classes;
    o.exclude = in->exclude;
    o.allow_truncated = in->allow_truncated;
    o.log = rq_cli_log();
    o.cancel = &rq_cli_stop;
    return rq_source_open(out, paths, n, &o, err);
}
