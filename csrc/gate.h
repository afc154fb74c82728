/* The gate: who sleeps before a queue, and whom to wake. No Python.h.
 *
 * Callers hold the queue's lock: the GIL, or the queue's critical section in a free-threaded build.
 *
 * A waiter may be a thread (its wake() ends the sleep of a parker) or anything else that can be told to
 * look again (an event loop's future: its wake() schedules a callback). A wake-up is a hint, never a gift:
 * nobody hands items or the lock over. Whoever wakes takes the lock, looks again, and may find that a
 * running thread was faster ("barging"), in which case it sleeps again at the front of its line. So an
 * interrupted, timed-out or cancelled waiter has nothing in hand that could be lost.
 *
 * The wake policy. Each switch between threads costs as much as hundreds of queue operations, so we
 * want few wake-ups, but nobody asleep who has something to do:
 *
 *   (1) At most one waiter at a time is woken and not yet back ("the errand", gate->errand). While one is
 *       on its way nobody else is woken, so a producer that puts a thousand items wakes one consumer,
 *       not a thousand times one.
 *   (2) Whoever comes back, for whatever reason (it got what it wanted, was robbed, timed out, was
 *       interrupted), and whoever changes the queue while no errand is out, wakes the next waiter that has
 *       something to do. Therefore: while a waiter has something to do, an errand is out. That is the
 *       invariant which leaves no one asleep with work to do; hr_gate_wake_next is the only place that
 *       picks, and it runs after every change.
 *   (3) After a put a getter is preferred, after a get a putter: the other side is who can use the change,
 *       and a consumer that keeps up alone is not joined by idle ones.
 *
 * Python code that runs between coming back and looking (a signal handler, a comparison of a priority queue) delays
 * (2) by as long as it takes.
 *
 * (1) would stop being right for a waiter that may take long to come back although it could run: an event
 * loop that is busy. Such a waiter (hr_waiter.prompt is false) is woken without being sent on the errand,
 * and the next one after it at once. So a loop that hangs, or has ended, keeps nobody from his item. Many of
 * them before one queue would make a crowd for each item: therefore all coroutines of one loop stand in a line as
 * one waiter (loops.c), and the crowd is as large as there are loops.
 */
#ifndef HEADRACE_GATE_H
#define HEADRACE_GATE_H

#include "parker.h"
#include <stdbool.h>
#include <stddef.h>

typedef struct hr_waiter hr_waiter;

typedef struct {
    hr_waiter *first; /* the longest asleep */
    hr_waiter *last;
    ptrdiff_t count;
} hr_line;

struct hr_waiter {
    hr_waiter *next;
    hr_waiter *previous;
    hr_line *line;             /* where it stands; NULL once it is woken or has left */
    void (*wake)(hr_waiter *); /* called once, after it has left its line, with the lock held */
    bool prompt;               /* comes back as soon as it can run: a thread */
    ptrdiff_t stands_for;      /* how many callers: 1 for a thread */
    bool all;                  /* woken with its whole line: one that stands for several lets each of them look */
    hr_parker parker;          /* for threads */
};

typedef struct {
    hr_line getters;
    hr_line putters;
    hr_line joiners;
    hr_waiter *errand; /* woken and not yet back; compared, never followed: it may be gone */
    unsigned long alarms; /* how often a whole line was woken: who stood in none meanwhile can tell that he missed it */
    bool may_wake;     /* no errand is out and a getter or putter sleeps: ask hr_gate_wake_next */
} hr_gate;

static inline void
hr_gate_update(hr_gate *gate)
{
    gate->may_wake = gate->errand == NULL && (gate->getters.first != NULL || gate->putters.first != NULL);
}

static inline void
hr_line_remove(hr_waiter *waiter)
{
    hr_line *line = waiter->line;
    *(waiter->previous ? &waiter->previous->next : &line->first) = waiter->next;
    *(waiter->next ? &waiter->next->previous : &line->last) = waiter->previous;
    line->count--;
    waiter->line = NULL;
}

static inline void
hr_line_insert(hr_line *line, hr_waiter *waiter, bool at_front)
{
    waiter->line = line;
    waiter->next = at_front ? line->first : NULL;
    waiter->previous = at_front ? NULL : line->last;
    *(waiter->previous ? &waiter->previous->next : &line->first) = waiter;
    *(waiter->next ? &waiter->next->previous : &line->last) = waiter;
    line->count++;
}

/* Stand in line, at the front when it was woken before and found nothing. */
static inline void
hr_gate_enter(hr_gate *gate, hr_line *line, hr_waiter *waiter, bool at_front)
{
    hr_line_insert(line, waiter, at_front);
    hr_gate_update(gate);
}

/* Be back, however the wait ended. The caller must look for itself and then wake the next. */
static inline void
hr_gate_leave(hr_gate *gate, hr_waiter *waiter)
{
    if (waiter->line != NULL) {
        hr_line_remove(waiter);
    }
    if (gate->errand == waiter) {
        gate->errand = NULL;
    }
    hr_gate_update(gate);
}

/* Send the next waiter that has something to do on the errand, if any has. Call only when may_wake. */
static inline void
hr_gate_wake_next(hr_gate *gate, bool has_item, bool has_room, bool after_put)
{
    while (gate->may_wake) {
        hr_waiter *getter = has_item ? gate->getters.first : NULL;
        hr_waiter *putter = has_room ? gate->putters.first : NULL;
        hr_waiter *next = (after_put && getter) || !putter ? getter : putter;
        if (next == NULL) {
            return;
        }
        hr_line_remove(next);
        gate->errand = next->prompt ? next : NULL;
        hr_gate_update(gate);
        next->wake(next);
    }
}

/* Wake everybody in a line, and let each see for itself. */
static inline void
hr_gate_wake_all(hr_gate *gate, hr_line *line)
{
    gate->alarms++;
    while (line->first != NULL) {
        hr_waiter *waiter = line->first;
        hr_line_remove(waiter);
        waiter->all = true;
        waiter->wake(waiter);
    }
    hr_gate_update(gate);
}

/* In a forked child: the threads that slept here are not. Their waiters are left to the parent's memory. */
static inline void
hr_gate_forget(hr_gate *gate)
{
    *gate = (hr_gate){.errand = NULL};
}

#endif
