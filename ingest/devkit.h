/* Inside of the labels: the files of an ImageNet release that say what is what. Private to
 * ingest/. */
#ifndef RQ_INGEST_DEVKIT_H
#define RQ_INGEST_DEVKIT_H

#include "common/mem.h"
#include "common/status.h"
#include "ingest/labels.h"

#include <stdbool.h>

typedef enum rq_devkit_role {
    RQ_DEVKIT_META,     /* meta.mat: ids, WordNet ids, children */
    RQ_DEVKIT_TRUTH,    /* ILSVRC2012_validation_ground_truth.txt: one id a line */
    RQ_DEVKIT_SOLUTION, /* LOC_val_solution.csv */
    RQ_DEVKIT_MAPPING,  /* LOC_synset_mapping.txt */
    RQ_DEVKIT_ROLES
} rq_devkit_role;

/* Contents of the files that were there. Zero-initialise, rq_devkit_free. */
typedef struct rq_devkit {
    rq_buf file[RQ_DEVKIT_ROLES];
    bool have[RQ_DEVKIT_ROLES];
    int release; /* of the ground truth, see rq_ilsvrc_release */
} rq_devkit;

/* From a folder, an archive or one of the files; a ground truth alone brings the meta.mat that
 * stands beside it. *text: the path is another text file, which is not read here. */
RQ_NODISCARD rq_status rq_devkit_gather(rq_devkit *g, const char *path, bool *text,
                                        rq_err *err);
/* The year of the val set that "..ILSVRC<year>_.." names: later years than 2012 share that of
 * 2012, the earlier ones have other images and classes; 0 for names that say none. */
int rq_ilsvrc_release(const char *name);
void rq_devkit_free(rq_devkit *g);
/* The classes of meta.mat, by id; `path` is for messages. */
RQ_NODISCARD rq_status rq_devkit_classes(rq_class_list *l, const rq_buf *meta, const char *path,
                                         rq_err *err);

#endif
