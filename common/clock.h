/* Clocks in nanoseconds: monotonic wall time, and CPU time of this thread and of the process.
 */
#ifndef RQ_COMMON_CLOCK_H
#define RQ_COMMON_CLOCK_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

uint64_t rq_clock_ns(void);
uint64_t rq_clock_thread_cpu_ns(void);
uint64_t rq_clock_process_cpu_ns(void);
/* "4 s", "3 m 05 s", "2 h 14 m", "1 d 03 h" into buf; returns buf. */
char *rq_format_duration(char *buf, unsigned long buf_bytes, double seconds);

#ifdef __cplusplus
}
#endif
#endif
