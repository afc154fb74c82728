/* The monotonic clock, in nanoseconds. No Python.h. */
#ifndef HEADRACE_CLOCK_H
#define HEADRACE_CLOCK_H

#include <stdint.h>

/* A moment that never comes: waits until woken. */
#define HR_NEVER INT64_MAX

#ifdef _WIN32
#include <windows.h>

static inline int64_t
hr_now_ns(void)
{
    LARGE_INTEGER ticks, frequency;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&frequency);
    /* Whole seconds and the rest apart: the product of all ticks and 1e9 would overflow. */
    return ticks.QuadPart / frequency.QuadPart * 1000000000
         + ticks.QuadPart % frequency.QuadPart * 1000000000 / frequency.QuadPart;
}
#else
#include <time.h>

static inline int64_t
hr_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
#endif

#endif
