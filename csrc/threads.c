/* OpenMP, and what makes it safe to fork.
 *
 * The threads of an OpenMP runtime do not survive fork(): GNU's waits for them for ever in the child's next parallel
 * region. So a child of a process that has used threads here works on one thread. */
#include "threads.h"
#include "atomics.h"
#include "nnjpeg.h"

#if defined(_OPENMP)
#include <omp.h>
#endif
#if defined(_OPENMP) && !defined(_WIN32)
#include <pthread.h>
#define GUARD_FORK 1
#endif

/* A thread must have at least this many blocks to be worth waking: 40 microseconds of AVX-512. Measured with AVX-512: two
 * threads win from 1,200 blocks in calls that follow each other at once, but from 4,800 blocks (an image of 320x320x3)
 * where 10 milliseconds pass in between and the threads have gone to sleep. */
enum { BLOCKS_A_THREAD = 2048 };

#if defined(GUARD_FORK)
static volatile int used_threads, forked;

static void after_fork_in_child(void)
{
    NJ_STORE(forked, NJ_LOAD(used_threads));
}

static void install_guard(void)
{
    pthread_atfork(NULL, NULL, after_fork_in_child);
}

static int may_use_threads(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install_guard);
    return !NJ_LOAD(forked);
}
#elif defined(_OPENMP)
static int may_use_threads(void)
{
    return 1;
}
#endif

int nnjpeg_openmp_threads(void)
{
#if defined(_OPENMP)
    return omp_get_max_threads();
#else
    return 0;
#endif
}

void nj_parallel(nj_range_function function, const void *context, ptrdiff_t count, ptrdiff_t blocks_each,
                 int num_threads)
{
#if defined(_OPENMP)
    ptrdiff_t limit = count * blocks_each / BLOCKS_A_THREAD;
    int threads = num_threads < limit ? num_threads : (int)limit;
    if (threads > 1 && may_use_threads()) {
#if defined(GUARD_FORK)
        NJ_STORE(used_threads, 1);
#endif
#pragma omp parallel num_threads(threads)
        {
            ptrdiff_t n = omp_get_num_threads(), t = omp_get_thread_num();
            /* count * t could overflow; whole parts and remainder cannot. */
            ptrdiff_t part = count / n, extra = count % n;
            ptrdiff_t begin = part * t + (t < extra ? t : extra);
            function(context, begin, begin + part + (t < extra));
        }
        return;
    }
#else
    (void)blocks_each;
    (void)num_threads;
#endif
    function(context, 0, count);
}
