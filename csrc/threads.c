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

nj_range nj_range_of(ptrdiff_t count, int part, int parts)
{
    /* count * part could overflow; whole parts and remainder cannot. */
    const ptrdiff_t size = count / parts, extra = count % parts;
    nj_range range;
    range.begin = size * part + (part < extra ? part : extra);
    range.end = range.begin + size + (part < extra);
    return range;
}

#if defined(_OPENMP)
typedef struct work {
    nj_part_function function;
    const void *context;
    int parts;
} work;

static void run_openmp(const work *w)
{
#pragma omp parallel num_threads(w->parts)
    {
        const int threads = omp_get_num_threads();
        int part = omp_get_thread_num();
#if defined(NJ_GUARD)
        if (part == 0)
            nj_team_has_started(w->parts, threads);
#endif
        for (; part < w->parts; part += threads)
            w->function(w->context, part, w->parts);
    }
}
#endif

static void run_here(nj_part_function function, const void *context, int parts)
{
    int part;
    for (part = 0; part < parts; part++)
        function(context, part, parts);
}

#if defined(NJ_GUARD)
typedef struct team {
    const work *work;
    int first, last; /* does the parts first..last-1 */
} team;

/* Halves the parts until one is left: threads start threads. What no thread can be started for is done by this one. */
static void *run_team(void *argument)
{
    const team *all = argument;
    team lower = *all, upper = *all;
    pthread_t thread;
    int started;
    if (all->last - all->first == 1) {
        all->work->function(all->work->context, all->first, all->work->parts);
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

static void run_parallel(const work *w)
{
    if (nj_may_be_forked()) {
        team all = { w, 0, w->parts };
        run_team(&all);
    } else if (nj_can_have_team(w->parts)) {
        run_openmp(w);
    } else {
        run_here(w->function, w->context, w->parts);
    }
}
#elif defined(_OPENMP)
static int blocks_a_thread(void)
{
    return BLOCKS_A_THREAD;
}

static void run_parallel(const work *w)
{
    run_openmp(w);
}
#endif

int nj_parts_for(ptrdiff_t count, ptrdiff_t blocks_each, int num_threads)
{
#if defined(_OPENMP)
    ptrdiff_t parts = count * blocks_each / blocks_a_thread();
    if (parts > count)
        parts = count;
    if (parts > num_threads)
        parts = num_threads;
#if defined(NJ_GUARD)
    if (parts > nj_most_threads())
        parts = nj_most_threads();
#endif
    return parts > 1 ? (int)parts : 1;
#else
    (void)count;
    (void)blocks_each;
    (void)num_threads;
    return 1;
#endif
}

void nj_parallel(nj_part_function function, const void *context, int parts)
{
#if defined(_OPENMP)
    if (parts > 1) {
        const work all = { function, context, parts };
        run_parallel(&all);
        return;
    }
#endif
    run_here(function, context, parts);
}
