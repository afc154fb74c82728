/* The heap of a priority queue: a binary heap of (key, turn, item), the least key first and equal keys in
 * turn.
 *
 * Comparing two keys may run any Python code: it may raise, let other threads run, or use this very queue.
 * So nothing is moved while comparisons go on. An operation first finds, by comparisons alone, the path
 * that it will shift; then it shifts it, without a comparison. Every change of the queue counts `version`
 * up, and an operation that finds another version after a comparison starts over. (Optimistic
 * concurrency: one of those that meet always succeeds.) An exception leaves the heap as it was.
 *
 * Stability costs no second comparison: of two entries the older goes first unless the younger's key is
 * less.
 */
#ifndef HEADRACE_HEAP_H
#define HEADRACE_HEAP_H

#include <Python.h>
#include <stdint.h>

typedef struct {
    PyObject *key;  /* owned */
    PyObject *item; /* owned; the key itself when no priority was given */
    uint64_t turn;
} hr_entry;

typedef struct {
    hr_entry *entries; /* the count is the queue's items.count */
    Py_ssize_t capacity;
    uint64_t turns;   /* turns given so far */
    uint64_t version; /* counts every change of the queue */
} hr_heap;

#endif
