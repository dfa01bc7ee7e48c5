/* Splitting a call over threads: OpenMP's, or, in a process where those would be fatal, threads of its own. */
#include "threads.h"
#include "guard.h"
#include "nnjpeg.h"

#if defined(_OPENMP)
#include <omp.h>
#endif
#if defined(NJ_GUARD)
#include <pthread.h>
#endif

/* A thread must have at least this many blocks to be worth waking: 40 microseconds of AVX-512. Measured with AVX-512: two
 * threads win from 1,200 blocks in calls that follow each other at once, but from 4,800 blocks (an image of 320x320x3)
 * where 10 milliseconds pass in between and the threads have gone to sleep. */
enum { BLOCKS_A_THREAD = 2048 };

/* To start a thread for one call takes 35 microseconds of the caller. */
enum { BLOCKS_A_NEW_THREAD = 4096 };

int nnjpeg_openmp_threads(void)
{
#if defined(_OPENMP)
    return omp_get_max_threads();
#else
    return 0;
#endif
}

#if defined(_OPENMP)
typedef struct work {
    nj_range_function function;
    const void *context;
    ptrdiff_t count;
} work;

/* The part-th of `parts` consecutive ranges. */
static void do_part(const work *w, int part, int parts)
{
    /* count * part could overflow; whole parts and remainder cannot. */
    ptrdiff_t size = w->count / parts, extra = w->count % parts;
    ptrdiff_t begin = size * part + (part < extra ? part : extra);
    w->function(w->context, begin, begin + size + (part < extra));
}

static void run_openmp(const work *w, int threads)
{
#pragma omp parallel num_threads(threads)
    {
        int parts = omp_get_num_threads(), part = omp_get_thread_num();
#if defined(NJ_GUARD)
        if (part == 0)
            nj_team_has_started(threads, parts);
#endif
        do_part(w, part, parts);
    }
}
#endif

#if defined(NJ_GUARD)
typedef struct team {
    const work *work;
    int first, last, parts; /* does the parts first..last-1 of `parts` */
} team;

/* Halves the parts until one is left: threads start threads. What no thread can be started for is done by this one. */
static void *run_team(void *argument)
{
    const team *all = argument;
    team lower = *all, upper = *all;
    pthread_t thread;
    int started;
    if (all->last - all->first == 1) {
        do_part(all->work, all->first, all->parts);
        return NULL;
    }
    lower.last = upper.first = all->first + (all->last - all->first) / 2;
    started = pthread_create(&thread, NULL, run_team, &upper) == 0;
    run_team(&lower);
    if (started)
        pthread_join(thread, NULL);
    else
        run_team(&upper);
    return NULL;
}

static int blocks_a_thread(void)
{
    return nj_may_be_forked() ? BLOCKS_A_NEW_THREAD : BLOCKS_A_THREAD;
}

static void run_parallel(const work *w, int threads)
{
    if (nj_may_be_forked()) {
        team all = { w, 0, threads, threads };
        run_team(&all);
    } else if (nj_can_have_team(threads)) {
        run_openmp(w, threads);
    } else {
        w->function(w->context, 0, w->count);
    }
}
#elif defined(_OPENMP)
static int blocks_a_thread(void)
{
    return BLOCKS_A_THREAD;
}

static void run_parallel(const work *w, int threads)
{
    run_openmp(w, threads);
}
#endif

void nj_parallel(nj_range_function function, const void *context, ptrdiff_t count, ptrdiff_t blocks_each,
                 int num_threads)
{
#if defined(_OPENMP)
    const work all = { function, context, count };
    ptrdiff_t threads = count * blocks_each / blocks_a_thread();
    if (threads > num_threads)
        threads = num_threads;
#if defined(NJ_GUARD)
    if (threads > nj_most_threads())
        threads = nj_most_threads();
#endif
    if (threads > 1) {
        run_parallel(&all, (int)threads);
        return;
    }
#else
    (void)blocks_each;
    (void)num_threads;
#endif
    function(context, 0, count);
}
