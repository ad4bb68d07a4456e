/* Whether two packed datasets name the same classes: labels are numbers, and accuracy over
 * datasets that number their classes otherwise would be wrong without a sign. */
#ifndef RQ_TOOLS_CLASSES_H
#define RQ_TOOLS_CLASSES_H

#include "pack/dataset.h"

/* INVALID_ARG when the training set has no labels, or when a class of the validation set is
 * another one, or none, in the training set. */
RQ_NODISCARD rq_status rq_check_classes(const rq_dataset *train, const rq_dataset *val,
                                        rq_err *err);

#endif
