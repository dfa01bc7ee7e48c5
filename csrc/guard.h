/* What keeps OpenMP's runtimes from hanging or ending the process; see guard.c. Threads of POSIX, which Windows lacks. */
#ifndef NNJPEG_GUARD_H
#define NNJPEG_GUARD_H

#if defined(_OPENMP) && !defined(_WIN32)
#define NJ_GUARD 1

/* Whether this process is the child of a fork that has not called exec() since; also where that cannot be known. */
int nj_may_be_forked(void);

/* How many threads a team may have. */
int nj_most_threads(void);

/* Whether OpenMP can start a team of this size on the calling thread, at once. If so, the first thread of the team must
 * call nj_team_has_started with this size and with the one that OpenMP has chosen. */
int nj_can_have_team(int threads);
void nj_team_has_started(int asked, int got);
#endif

#endif
