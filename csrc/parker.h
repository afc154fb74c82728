/* A parker: where one thread sleeps until another wakes it, at most once.
 *
 * On 64-bit Linux it is a futex word: nothing to allocate or destroy, and a wake-up that comes before the sleep
 * costs no system call to receive. Elsewhere it is one of Python's own locks, which knows each platform.
 * HR_PARKER_PYTHREAD picks the second one on Linux too, for testing it.
 *
 * Rule: a parker is woken while its waiter is certainly alive (see waiters.h), so the memory is valid.
 */
#ifndef HEADRACE_PARKER_H
#define HEADRACE_PARKER_H

#include "clock.h"

typedef enum { HR_WOKEN, HR_TIMED_OUT, HR_INTERRUPTED } hr_park_result;

#if defined(__linux__) && defined(__LP64__) && !defined(HR_PARKER_PYTHREAD)

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef struct {
    _Atomic uint32_t woken; /* 0, then 1 for good */
} hr_parker;

/* Returns 0. (The other implementation can fail.) */
static inline int
hr_parker_init(hr_parker *parker)
{
    atomic_init(&parker->woken, 0);
    return 0;
}

static inline void
hr_parker_destroy(hr_parker *parker)
{
    (void)parker;
}

/* Sleep until woken, until `deadline_ns` on the monotonic clock, or until a signal handler has run. */
static inline hr_park_result
hr_park(hr_parker *parker, int64_t deadline_ns)
{
    struct timespec limit = {deadline_ns / 1000000000, deadline_ns % 1000000000};
    while (!atomic_load_explicit(&parker->woken, memory_order_acquire)) {
        /* The BITSET form takes an absolute time, so a restart after a spurious return needs no sum. */
        long failed = syscall(SYS_futex, &parker->woken, FUTEX_WAIT_BITSET_PRIVATE, 0,
                              deadline_ns == HR_NEVER ? NULL : &limit, NULL, FUTEX_BITSET_MATCH_ANY);
        if (failed && errno == ETIMEDOUT) {
            return atomic_load_explicit(&parker->woken, memory_order_acquire) ? HR_WOKEN
                                                                             : HR_TIMED_OUT;
        }
        if (failed && errno == EINTR) {
            return HR_INTERRUPTED;
        }
    }
    return HR_WOKEN;
}

static inline void
hr_unpark(hr_parker *parker)
{
    atomic_store_explicit(&parker->woken, 1, memory_order_release);
    syscall(SYS_futex, &parker->woken, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

#else

#include <Python.h>

typedef struct {
    PyThread_type_lock lock; /* held until woken */
} hr_parker;

/* Returns 0, or -1 when the system has no lock left (no exception is set). */
static inline int
hr_parker_init(hr_parker *parker)
{
    parker->lock = PyThread_allocate_lock();
    if (parker->lock == NULL) {
        return -1;
    }
    PyThread_acquire_lock(parker->lock, WAIT_LOCK);
    return 0;
}

static inline void
hr_parker_destroy(hr_parker *parker)
{
    /* Some platforms mind a lock that is freed while held: try to take it, then let it go. */
    PyThread_acquire_lock(parker->lock, NOWAIT_LOCK);
    PyThread_release_lock(parker->lock);
    PyThread_free_lock(parker->lock);
}

static inline hr_park_result
hr_park(hr_parker *parker, int64_t deadline_ns)
{
    for (;;) {
        PY_TIMEOUT_T timeout_us = -1;
        int64_t left_ns = 0;
        if (deadline_ns != HR_NEVER) {
            left_ns = deadline_ns - hr_now_ns();
            left_ns = left_ns < 0 ? 0 : left_ns;
            timeout_us = (left_ns + 999) / 1000;
            /* What a lock can wait for may be less than what a caller may ask for: go round. */
            timeout_us = timeout_us > 1000000000 ? 1000000000 : timeout_us;
        }
        switch (PyThread_acquire_lock_timed(parker->lock, timeout_us, 1)) {
            case PY_LOCK_ACQUIRED:
                return HR_WOKEN;
            case PY_LOCK_INTR:
                return HR_INTERRUPTED;
            case PY_LOCK_FAILURE:
                if (left_ns <= 1000000000000) {
                    return HR_TIMED_OUT;
                }
        }
    }
}

static inline void
hr_unpark(hr_parker *parker)
{
    PyThread_release_lock(parker->lock);
}

#endif
#endif
