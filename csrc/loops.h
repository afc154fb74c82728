/* How event loops wait before queues: see loops.c. */
#ifndef HEADRACE_LOOPS_H
#define HEADRACE_LOOPS_H

#include "core.h"

#ifdef Py_GIL_DISABLED
#include <stdatomic.h>
#endif

typedef struct hr_post hr_post;

/* Where the posts of one event loop leave word that they were woken. */
typedef struct {
    PyObject_HEAD
    hr_post *first; /* those that were woken and not collected, each with a reference that this list holds */
    hr_post *last;
    int fd;             /* ours; written to, to wake the loop; -1: `callback` is called in its place */
    long process;       /* whose the loop is */
    bool has_rung;      /* and was not collected since: a burst of wake-ups rings once */
    bool is_quiet;      /* the loop's thread will collect without being told */
    PyObject *callback; /* or NULL */
#ifdef Py_GIL_DISABLED
    atomic_flag lock; /* of what is above; held for a few instructions */
#endif
} hr_hub;

/* One event loop before one line of one queue. */
struct hr_post {
    PyObject_HEAD
    hr_waiter waiter;
    hr_hub *hub;
    hr_queue *queue;    /* while it stands in a line; else NULL */
    long process;       /* the one in which it stands there */
    unsigned long alarms; /* of the gate that it has heard of */
    void *stood_before; /* the queue that this is of; compared, never followed */
    hr_post *next;      /* in the hub's list */
    bool is_woken;      /* is in the hub's list */
};

extern PyType_Spec hr_hub_spec;
extern PyType_Spec hr_post_spec;

#endif
