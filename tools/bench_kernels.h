/* `rq-bench kernels`: time of each pixel kernel in each version, on made-up pictures. */
#ifndef RQ_TOOLS_BENCH_KERNELS_H
#define RQ_TOOLS_BENCH_KERNELS_H

/* argv[0] is the command; returns an exit code. */
int rq_bench_kernels(int argc, char **argv);

#endif
