// SPDX-License-Identifier: Apache-2.0
//
// Replays inputs through a fuzz target without a fuzzer, with any compiler: the regression side
// of tests/fuzz. Files, and the files of folders, in the order of their names; each stands in a
// block of exactly its size. What libFuzzer limits is limited here too, by CPU time and not by
// the clock: 2 s an input and 512 MiB in all, both only where no sanitizer slows things down.
// Fails when nothing was accepted: then the corpus does not fit the formats any more.
#include "fuzz.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>

#if defined(__SANITIZE_ADDRESS__) || defined(RQ_SANITIZED)
enum { CPU_SECONDS = 60, MEMORY_MIB = 0 };
#else
enum { CPU_SECONDS = 2, MEMORY_MIB = 512 };
#endif

typedef struct totals {
    unsigned inputs, skipped;
    size_t max_bytes;
} totals;

static unsigned accepted;

void fuzz_note_accepted(void)
{
    accepted++;
}

static void on_limit(int sig)
{
    static const char text[] = "the input named last took too much CPU time\n";
    (void)sig;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
        _exit(3);
    _exit(2);
}

static void limit_cpu(int seconds)
{
    const struct itimerval t = {.it_value = {.tv_sec = seconds}};
    setitimer(ITIMER_PROF, &t, NULL);
}

static void check_memory(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    if (MEMORY_MIB > 0 && u.ru_maxrss / 1024 > MEMORY_MIB) {
        fprintf(stderr, "%ld MiB of memory were used; %d are allowed\n", u.ru_maxrss / 1024,
                MEMORY_MIB);
        exit(1);
    }
}

static void run_file(totals *t, const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    if (f == NULL || fstat(fileno(f), &st) != 0) {
        perror(path);
        exit(1);
    }
    const size_t bytes = (size_t)st.st_size;
    if (bytes > t->max_bytes) {
        t->skipped++;
        fclose(f);
        return;
    }
    uint8_t *data = fuzz_copy("", 0);
    if (bytes > 0) {
        free(data);
        data = malloc(bytes);
        if (data == NULL || fread(data, 1, bytes, f) != bytes) {
            fprintf(stderr, "%s cannot be read\n", path);
            exit(1);
        }
    }
    fclose(f);
    fprintf(stderr, "%s\n", path); // whatever happens next happened to this one
    limit_cpu(CPU_SECONDS);
    LLVMFuzzerTestOneInput(data, bytes);
    limit_cpu(0);
    check_memory();
    free(data);
    t->inputs++;
}

static void run_path(totals *t, const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        perror(path);
        exit(1);
    }
    if (!S_ISDIR(st.st_mode)) {
        run_file(t, path);
        return;
    }
    struct dirent **names;
    const int n = scandir(path, &names, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char sub[4096];
        snprintf(sub, sizeof sub, "%.2000s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.')
            run_path(t, sub);
        free(names[i]);
    }
    if (n >= 0)
        free(names);
}

int main(int argc, char **argv)
{
    totals t = {.max_bytes = SIZE_MAX};
    signal(SIGPROF, on_limit);
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "-max_len=", 9) == 0)
            t.max_bytes = (size_t)strtoull(argv[i] + 9, NULL, 10);
        else
            run_path(&t, argv[i]);
    }
    printf("%u inputs, %u accepted, %u over the length limit\n", t.inputs, accepted, t.skipped);
    return t.inputs > 0 && accepted > 0 ? 0 : 1;
}
