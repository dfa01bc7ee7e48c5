/* GNU's OpenMP keeps the threads of a parallel region for the calling thread's next one. That makes it fast, and fatal in
 * two cases:
 * - Its threads do not survive fork(), but the child waits for them, for ever, whichever library of the process they
 *   were started for. So a process that was forked, and has not called exec() since, must do without OpenMP.
 * - Where it cannot start a thread it ends the process. So before a team grows, its new threads are started on trial.
 */
#define _POSIX_C_SOURCE 200809L
#include "guard.h"

#if defined(NJ_GUARD)
#include "atomics.h"

#include <ctype.h>
#include <fcntl.h>
#include <omp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_THREADS = 1024 };

static volatile int forked;

static void after_fork_in_child(void)
{
    NJ_STORE(forked, 1);
}

int nj_may_be_forked(void)
{
    return NJ_LOAD(forked);
}

/* The same for the time before the library was loaded. */
static int may_have_been_forked(void)
{
#if defined(__linux__)
    /* proc(5), /proc/pid/stat, field 9, and include/linux/sched.h of the kernel. */
    enum { PF_FORKNOEXEC = 0x40 };
    char text[1024];
    const char *name_end;
    unsigned long flags;
    ssize_t size;
    const int file = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 1;
    size = read(file, text, sizeof text - 1);
    close(file);
    text[size < 0 ? 0 : size] = '\0';
    name_end = strrchr(text, ')'); /* field 2 may hold anything */
    if (!name_end || sscanf(name_end, ") %*c %*d %*d %*d %*d %*d %lu", &flags) != 1)
        return 1;
    return flags == 0 || (flags & PF_FORKNOEXEC) != 0; /* 0: a system that imitates Linux without its flags */
#elif defined(__clang__)
    return 0; /* LLVM's OpenMP starts its threads anew in a child */
#else
    return 1;
#endif
}

/* Of OpenMP's threads, in bytes; 0: the system's default. */
static size_t stack_size(void)
{
    const char *text = getenv("OMP_STACKSIZE");
    char *unit;
    unsigned long size;
    int shift = 10;
    if (!text)
        text = getenv("GOMP_STACKSIZE");
    if (!text)
        return 0;
    size = strtoul(text, &unit, 10);
    while (isspace((unsigned char)*unit))
        unit++;
    switch (*unit) {
    case 'b': case 'B': shift = 0; break;
    case 'm': case 'M': shift = 20; break;
    case 'g': case 'G': shift = 30; break;
    }
    return size > (size_t)-1 >> shift ? 0 : (size_t)size << shift;
}

static pthread_attr_t trial_attributes;

/* When the library is loaded, so that no later fork goes unnoticed. */
__attribute__((constructor)) static void install(void)
{
    const size_t size = stack_size();
    pthread_attr_init(&trial_attributes);
    if (size)
        pthread_attr_setstacksize(&trial_attributes, size); /* leaves the default where OpenMP leaves it: too small */
    if (pthread_atfork(NULL, NULL, after_fork_in_child) != 0 || may_have_been_forked())
        NJ_STORE(forked, 1);
}

int nj_most_threads(void)
{
    const int limit = omp_get_thread_limit();
    return limit < MOST_THREADS ? limit : MOST_THREADS;
}

static void *wait_at_gate(void *gate)
{
    pthread_mutex_lock(gate);
    pthread_mutex_unlock(gate);
    return NULL;
}

/* Whether this many threads can live at the same time, beside those that there are. */
static int can_start(int threads)
{
    pthread_t started[MOST_THREADS];
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    int count = 0, i;
    pthread_mutex_lock(&gate);
    while (count < threads && pthread_create(&started[count], &trial_attributes, wait_at_gate, &gate) == 0)
        count++;
    pthread_mutex_unlock(&gate);
    for (i = 0; i < count; i++)
        pthread_join(started[i], NULL);
    return count == threads;
}

/* Of the calling thread's last team, itself included: OpenMP keeps these threads for it. */
static __thread int team_size = 1;

/* Held from a trial until OpenMP has started the threads: two trials must not count on the same ones. */
static pthread_mutex_t growing = PTHREAD_MUTEX_INITIALIZER;

int nj_can_have_team(int threads)
{
    /* Within a region of the caller's: its threads are at work already, and OpenMP would start new ones in each call. */
    if (omp_get_level() > 0)
        return 0;
    if (threads <= team_size)
        return 1;
    pthread_mutex_lock(&growing);
    /* One more than the team lacks: for a moment the system goes on counting a thread that has ended. */
    if (can_start(threads - team_size + 1))
        return 1;
    pthread_mutex_unlock(&growing);
    return 0;
}

void nj_team_has_started(int asked, int got)
{
    if (asked > team_size)
        pthread_mutex_unlock(&growing);
    team_size = got;
}
#endif
