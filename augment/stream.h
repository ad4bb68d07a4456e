/* The stream: a packed dataset as batches of augmented views, made by threads ahead of time.
 *
 *     rq_stream_opts_default(&o);
 *     rq_stream_open(&s, dataset, &recipe, &o, &err);
 *     while ((st = rq_stream_next(s, &batch, &err)) == RQ_OK) {
 *         use(batch);
 *         rq_stream_release(s, batch);
 *     }
 *     rq_stream_close(&s);
 *
 * Exact: the bytes of batch (epoch, step) depend on dataset, recipe, seed and batch size alone;
 * not on threads, slots, ranks, CPU features or what was read before. The order is a new exact
 * permutation in each epoch: every sample once. With `drop_last` the remainder of an epoch that
 * does not fill a global batch is left out, otherwise the last batch is short.
 *
 * Memory: batch slots come from the consumer's allocator (pinned memory, for a GPU) at open and
 * are written in place; nothing is allocated per batch. Threads: one consumer; next and release
 * may be called from one thread at a time. Errors in a worker come out of next; it never hangs.
 */
#ifndef RQ_AUGMENT_STREAM_H
#define RQ_AUGMENT_STREAM_H

#include "augment/view.h"
#include "common/log.h"
#include "pack/dataset.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rq_order {
    RQ_ORDER_SHUFFLE, /* exact permutation per epoch, keyed by (seed, epoch) */
    RQ_ORDER_SEQUENTIAL
} rq_order;

/* Where a stream stands: the next batch it will give. Enough to resume exactly. */
typedef struct rq_position {
    uint32_t epoch;
    uint64_t step; /* global batch within the epoch */
} rq_position;

typedef struct rq_stream_opts {
    uint64_t seed;     /* 0 */
    int batch;         /* images of the global batch; 256 */
    int threads;       /* workers; 0: one per CPU */
    int slots;         /* batches in flight, >= 2; 3 */
    int rank, world;   /* this consumer's share of a global batch of n images (n is smaller than
                          `batch` in a short last one): images [rank * n / world,
                          (rank + 1) * n / world); 0, 1. batch % world == 0 */
    uint32_t epochs;   /* the last epoch is epochs - 1, wherever the start is; 0: no end. 0 */
    rq_position start; /* first batch; {0, 0} */
    rq_order order;
    bool drop_last;           /* true */
    bool allow_missing_masks; /* with p_mask > 0, images without a mask are used unmasked;
                                 false: opening fails unless every sample has one */
    uint64_t bad_budget;      /* damaged samples replaced before the stream stops; 0: the first
                                 one stops it. The sample of ticket i is replaced by that of
                                 ticket i + 1, and so on, around the end of the epoch. Counted
                                 as batches are given, so that the same batch fails on every
                                 run; logged when found */
    unsigned cpu_flags;       /* RQ_CPU_ bits; RQ_CPU_ALL */
    rq_allocator allocator;   /* batch slots; default rq_default_allocator() */
    rq_log_sink log;
} rq_stream_opts;

void rq_stream_opts_default(rq_stream_opts *o);

typedef struct rq_batch_group {
    int views, size;
    uint8_t *data; /* [views][images][size][size][3], RGB */
} rq_batch_group;

/* One batch, borrowed until rq_stream_release. */
typedef struct rq_batch {
    rq_position position;
    int images; /* of this rank */
    int groups;
    rq_batch_group group[RQ_MAX_GROUPS];
    const uint64_t *ids;          /* [images] sample ids */
    const int32_t *labels;        /* [images] */
    const rq_view_params *params; /* [view over all groups][images] */
} rq_batch;

typedef struct rq_stream_stats {
    uint64_t batches, images; /* given to the consumer */
    uint64_t images_made;     /* by the workers, ahead of it */
    uint64_t bad_samples;
    uint64_t consumer_wait_ns;             /* next waited for a batch */
    uint64_t worker_wait_ns;               /* workers waited for a free slot, summed */
    uint64_t read_ns, decode_ns, views_ns; /* thread CPU time by stage, summed over workers */
    size_t memory_bytes;                   /* slots and scratch, as planned at open */
} rq_stream_stats;

typedef struct rq_stream rq_stream;

/* The dataset must outlive the stream. */
RQ_NODISCARD rq_status rq_stream_open(rq_stream **out, const rq_dataset *ds,
                                      const rq_recipe *recipe, const rq_stream_opts *opts,
                                      rq_err *err);
void rq_stream_close(rq_stream **s);

/* Global batches per epoch under these options. */
uint64_t rq_stream_steps_per_epoch(const rq_stream *s);
/* The next batch, in order; END behind the last epoch. Once it failed it fails the same way
 * again; INVALID_ARG while the consumer holds every slot. */
RQ_NODISCARD rq_status rq_stream_next(rq_stream *s, const rq_batch **batch, rq_err *err);
void rq_stream_release(rq_stream *s, const rq_batch *batch);
/* Position of the batch that the next call of rq_stream_next will give. */
rq_position rq_stream_position(const rq_stream *s);
rq_stream_stats rq_stream_get_stats(rq_stream *s);

/* The order itself: place in the dataset of ticket `i` < count of an epoch. For each (seed,
 * epoch) a permutation of [0, count). Pure. */
uint64_t rq_order_place(uint64_t seed, uint32_t epoch, uint64_t count, uint64_t i);

#ifdef __cplusplus
}
#endif
#endif
