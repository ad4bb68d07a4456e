/* Log sink: libraries never print; whoever wants to hear them hands in a sink. */
#ifndef RQ_COMMON_LOG_H
#define RQ_COMMON_LOG_H

#include "common/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rq_log_level { RQ_LOG_ERROR, RQ_LOG_WARN, RQ_LOG_INFO, RQ_LOG_DEBUG } rq_log_level;

/* write may be called from several threads at once; line has no newline and no other control
 * character. A zeroed sink is silent. */
typedef struct rq_log_sink {
    void *cookie;
    rq_log_level level; /* lines above this level are not formatted */
    void (*write)(void *cookie, rq_log_level level, const char *line);
} rq_log_sink;

void rq_log(const rq_log_sink *sink, rq_log_level level, const char *fmt, ...) RQ_PRINTF(3, 4);

#ifdef __cplusplus
}
#endif
#endif
