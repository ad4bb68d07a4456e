/* Labels that come beside the images: devkits, Kaggle's CSV files, label files; and lists of
 * classes.
 *
 * The numbers in an ImageNet devkit's ground truth are ILSVRC ids, the order of meta.mat, and
 * not places among the sorted WordNet ids: read as such, one image in a thousand gets its
 * label. So here a label is always resolved to the name of its class, and labels become numbers
 * only where the source sorts the names.
 *
 * A path is a devkit (.tar.gz, .tar, or its unpacked folder), its meta.mat or ground truth
 * alone, a folder or archive that holds LOC_val_solution.csv and LOC_synset_mapping.txt, one of
 * these, or a text file (ingest/rows.h). Found objects do not change; one thread at a time. */
#ifndef RQ_INGEST_LABELS_H
#define RQ_INGEST_LABELS_H

#include "common/mem.h"
#include "common/status.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The classes there are, in the order of the file. Zero-initialise, rq_class_list_free. */
typedef struct rq_class_list {
    const char **names;
    size_t n, cap;
    bool ilsvrc_ids; /* number i is names[i - 1] (meta.mat); otherwise names[i] */
    rq_buf text;     /* what the names point into */
} rq_class_list;

/* meta.mat: the classes without children, in the order of their ids, which must be 1 to n, each
 * once, with different names. LOC_synset_mapping.txt: the first word of each line. Other text:
 * the whole line, or the WordNet id that it begins with. NOT_FOUND when `path` holds neither.
 */
RQ_NODISCARD rq_status rq_class_list_read(rq_class_list *out, const char *path, rq_err *err);
/* NULL when no class has this number. */
const char *rq_class_list_at(const rq_class_list *l, int number);
void rq_class_list_free(rq_class_list *l);

typedef struct rq_labels rq_labels;

/* classes (may be NULL, borrowed) explains numbers where the file brings no meta.mat. A ground
 * truth without one is INVALID_ARG, as is a number that no class has. */
RQ_NODISCARD rq_status rq_labels_open(rq_labels **out, const char *path,
                                      const rq_class_list *classes, rq_err *err);
void rq_labels_close(rq_labels **l);
/* Labels in it. */
size_t rq_labels_count(const rq_labels *l);
/* Every label is a number that no list of classes explains. */
bool rq_labels_numbered(const rq_labels *l);
/* The smallest number of such; 0 otherwise. */
int rq_labels_least(const rq_labels *l);
/* One label a line, for the images in the order of their sorted file names. */
bool rq_labels_by_place(const rq_labels *l);
/* By place: the class of the i-th image, i < count. */
const char *rq_labels_at(const rq_labels *l, size_t i);
/* The class of an image, by its whole name, else by the end of its path, where folders that one
 * side lacks and extensions do not count; NULL when it has no label, or several. A ground truth
 * labels val images of its own release (2012 and later are one). Counts. */
const char *rq_labels_find(rq_labels *l, const char *image_name);
/* Labels that no find has met. */
size_t rq_labels_unused(const rq_labels *l);
/* The devkit's classes, NULL when it brought none; valid until close. */
const rq_class_list *rq_labels_classes(const rq_labels *l);

/* The number K of "..ILSVRC2012_val_0000000K.JPEG" (any year, val or test), 0 for other names.
 * A WordNet id behind it ("_n01440764") does not count. */
uint32_t rq_ilsvrc_number(const char *name, bool *is_test);
/* "n01440764": n and eight digits, and nothing behind. */
bool rq_is_wnid(const char *text, size_t bytes);

/* What can be a class, and so a folder's name: 1 to 255 bytes without '/', not "." or "..". */
bool rq_is_class_name(const char *text);

#ifdef __cplusplus
}
#endif
#endif
