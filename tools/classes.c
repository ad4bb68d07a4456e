// SPDX-License-Identifier: Apache-2.0
//
// One check for every tool that classifies one dataset by another: the online kNN of rq-train
// and the evaluations of rq-eval.
#include "tools/classes.h"

#include <string.h>

rq_status rq_check_classes(const rq_dataset *train, const rq_dataset *val, rq_err *err)
{
    const int classes = rq_dataset_classes(train);
    if (classes < 2)
        return rq_fail(err, RQ_INVALID_ARG,
                       "the training set has no labels: pack a tree of class folders");
    if (rq_dataset_classes(val) > classes)
        return rq_fail(err, RQ_INVALID_ARG,
                       "the validation set has %d classes, the training set %d: pack both from "
                       "the same classes",
                       rq_dataset_classes(val), classes);
    for (int i = 0; i < rq_dataset_classes(val); i++) {
        const char *a = rq_dataset_class_name(train, i);
        const char *b = rq_dataset_class_name(val, i);
        if (a != NULL && b != NULL && strcmp(a, b) != 0)
            return rq_fail(err, RQ_INVALID_ARG,
                           "class %d is \"%.80s\" in the training set and \"%.80s\" in the "
                           "validation set: pack both from the same classes",
                           i, a, b);
    }
    return RQ_OK;
}
