/* A run: steps from the first to the last with checkpoints, metrics, online evaluation, clean
 * stops and exact resume.
 *
 * The run folder holds config.txt (effective configuration), metrics.jsonl (a function of
 * configuration and data alone), timing.jsonl (what depends on the machine), and the newest
 * checkpoints; `lock` keeps a second process out while the first one lives. A run that finds
 * checkpoints goes on from the newest whole one. On the CPU backends, with the same number
 * of threads, a run that was stopped or killed and resumed any number of times gives the
 * bytes of one that was not. */
#ifndef RQ_TRAIN_RUN_H
#define RQ_TRAIN_RUN_H

#include "train/knn.h"
#include "train/trainer.h"

#include <signal.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One line of progress. */
typedef struct rq_run_report {
    uint64_t step, steps;
    double epoch, epochs;
    rq_step_stats stats;
    double images_per_s;  /* since the report before */
    double data_wait;     /* share of that time spent waiting for a batch, 0 .. 1 */
    double seconds, left; /* since the start of this process, until the end */
} rq_run_report;

typedef struct rq_run_result {
    uint64_t first_step, step, steps; /* resumed from, reached, planned */
    double seconds, data_wait;        /* of this process; share */
    uint64_t images;                  /* source images seen by this process */
    double knn, best_knn;             /* last and best of this process; -1: none */
    char checkpoint[512];             /* the newest */
} rq_run_result;

typedef struct rq_run_opts {
    const char *out;        /* run folder, made if missing */
    const rq_dataset *data; /* to train on */
    const rq_dataset *val;  /* queries of the online kNN; NULL: every tenth of the images
                               it looks at */
    int threads;            /* of the stream; 0: one per CPU */
    bool allow_missing_masks;
    uint64_t bad_budget;   /* damaged samples replaced before the run stops */
    uint64_t save_every;   /* steps; 0: once an epoch */
    int keep;              /* checkpoints; 2 */
    double eval_every;     /* epochs between online kNN; 0: never */
    uint64_t eval_images;  /* training images it looks at, at most; 20000 */
    rq_recipe eval_recipe; /* one view */
    rq_knn_opts knn;
    uint64_t metrics_every;       /* steps between lines of metrics.jsonl; 1 */
    double report_every;          /* seconds between progress reports; 5 */
    double max_time;              /* seconds; 0: none. Then stop as on a signal */
    bool force_resume;            /* go on although configuration or data differ */
    bool stop_on_collapse;        /* DIVERGED instead of a warning */
    const char *config_text;      /* "key = value" lines, saved and compared at resume */
    const char *const *free_keys; /* keys that may differ at resume; NULL-terminated */
    rq_log_sink log;
    void (*report)(void *cookie, const rq_run_report *r); /* may be NULL */
    void *cookie;
    const volatile sig_atomic_t *stop; /* nonzero: finish the step, save, return SAVED */
} rq_run_opts;

void rq_run_opts_default(rq_run_opts *o);

/* Runs to the last step. SAVED when it was stopped before (signal, max_time), with the state on
 * disk; DIVERGED when training broke down, with the last good checkpoint left in place. */
RQ_NODISCARD rq_status rq_run(rq_run_result *result, rq_backend *backend,
                              const rq_train_config *config, const rq_run_opts *o, rq_err *err);

/* Collapse: counts steps in a row whose embeddings hardly differ between images. */
typedef struct rq_collapse_alarm {
    int streak;
} rq_collapse_alarm;
enum { RQ_COLLAPSE_STEPS = 100 };
#define RQ_COLLAPSE_SPREAD 0.1
/* True at the step that completes a streak of RQ_COLLAPSE_STEPS below RQ_COLLAPSE_SPREAD. */
bool rq_collapse_update(rq_collapse_alarm *a, double spread);

/* Lists in `out` what differs between two configurations ("key: old -> new; "), but for
 * free_keys; appends nothing when they agree. */
RQ_NODISCARD rq_status rq_config_diff(rq_buf *out, const char *before, const char *now,
                                      const char *const *free_keys, rq_err *err);

#ifdef __cplusplus
}
#endif
#endif
