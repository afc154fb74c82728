/* The bell: a 32-bit word in memory that processes share, on which threads of any of them sleep. No Python.h.
 *
 * An eventcount. Who waits reads the word, looks whether there is something to do, and sleeps as long as the word
 * is what it read; who changes something changes it first and rings then, which adds one. So a ring between the
 * look and the sleep is never lost: the sleep finds another number and does not begin. (It would take 2^32 rings
 * in that instant to come round to the same one.)
 *
 * Nothing here is owned by a process: no list of sleepers, no count of them, nothing that a killed one would leave
 * wrong. The kernel knows who sleeps, by the place in the file, and forgets who dies.
 *
 * On 64-bit Linux sleeping is a futex, without the PRIVATE flag: that one means "this process only". Elsewhere no
 * system call sleeps on a word that several processes share (Windows' WaitOnAddress is for one process), so it is a poll:
 * after a millisecond, then less and less often, every HR_BELL_LONGEST_NAP_NS in the end. HR_BELL_POLL picks
 * that on Linux too, for testing it.
 */
#ifndef HEADRACE_BELL_H
#define HEADRACE_BELL_H

#include "clock.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>

#if !(defined(__linux__) && defined(__LP64__)) && !defined(HR_BELL_POLL)
#define HR_BELL_POLL
#endif

/* Ring for everybody. */
#define HR_BELL_ALL INT_MAX

typedef _Atomic uint32_t hr_bell;

typedef enum { HR_BELL_RUNG, HR_BELL_TIMED_OUT, HR_BELL_INTERRUPTED, HR_BELL_FAILED } hr_bell_result;

/* Acquire: what was changed before the ring that this number comes from is seen after. */
static inline uint32_t
hr_bell_read(hr_bell *bell)
{
    return atomic_load_explicit(bell, memory_order_acquire);
}

#ifndef HR_BELL_POLL

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Add one, and wake at most `count` (1 or more) who sleep. Never blocks. Returns 0, or -1 with errno. */
static inline int
hr_bell_ring(hr_bell *bell, int count)
{
    atomic_fetch_add_explicit(bell, 1, memory_order_release);
    return syscall(SYS_futex, bell, FUTEX_WAKE, count, NULL, NULL, 0) < 0 ? -1 : 0;
}

/* Sleep while the word is `seen`, until `deadline_ns` on the monotonic clock, or until a signal's handler has run.
 * May also end for no reason ("rung"). A failure has errno set. */
static inline hr_bell_result
hr_bell_sleep(hr_bell *bell, uint32_t seen, int64_t deadline_ns)
{
    struct timespec limit = {deadline_ns / 1000000000, deadline_ns % 1000000000};
    /* The BITSET form takes an absolute time on the monotonic clock. */
    long failed = syscall(SYS_futex, bell, FUTEX_WAIT_BITSET, seen, deadline_ns == HR_NEVER ? NULL : &limit, NULL,
                          FUTEX_BITSET_MATCH_ANY);
    if (!failed || errno == EAGAIN) {
        return HR_BELL_RUNG;
    }
    if (errno == ETIMEDOUT) {
        return hr_bell_read(bell) == seen ? HR_BELL_TIMED_OUT : HR_BELL_RUNG;
    }
    return errno == EINTR ? HR_BELL_INTERRUPTED : HR_BELL_FAILED;
}

/* May this thread be the one that runs Python's signal handlers? That is the one that the process began with; after
 * a fork it is the one that forked, which the kernel counts as the first of the new process too. */
static inline int
hr_bell_in_first_thread(void)
{
    return syscall(SYS_gettid) == getpid();
}

#else

#define HR_BELL_SHORTEST_NAP_NS 1000000
#define HR_BELL_LONGEST_NAP_NS 20000000

static inline int
hr_bell_nap(int64_t nap_ns)
{
#ifdef _WIN32
    Sleep((DWORD)((nap_ns + 999999) / 1000000));
    return 0;
#else
    struct timespec nap = {nap_ns / 1000000000, nap_ns % 1000000000};
    return nanosleep(&nap, NULL);
#endif
}

static inline int
hr_bell_ring(hr_bell *bell, int count)
{
    (void)count; /* all look for themselves */
    atomic_fetch_add_explicit(bell, 1, memory_order_release);
    return 0;
}

static inline hr_bell_result
hr_bell_sleep(hr_bell *bell, uint32_t seen, int64_t deadline_ns)
{
    int64_t nap_ns = HR_BELL_SHORTEST_NAP_NS;
    while (hr_bell_read(bell) == seen) {
        int64_t left_ns = deadline_ns == HR_NEVER ? nap_ns : deadline_ns - hr_now_ns();
        if (left_ns <= 0) {
            return HR_BELL_TIMED_OUT;
        }
        if (hr_bell_nap(left_ns < nap_ns ? left_ns : nap_ns) < 0) {
            return HR_BELL_INTERRUPTED;
        }
        nap_ns = 2 * nap_ns < HR_BELL_LONGEST_NAP_NS ? 2 * nap_ns : HR_BELL_LONGEST_NAP_NS;
    }
    return HR_BELL_RUNG;
}

static inline int
hr_bell_in_first_thread(void)
{
    return 1; /* not worth asking: a look more between naps */
}

#endif
#endif
