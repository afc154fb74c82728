/* The attributes of a queue: those that open it (see opened.c), and those that do not. */
#include "core.h"

#include <stddef.h>

/* -- attributes that open --------------------------------------------------------------------------- */

static PyObject **
part(hr_queue *queue, void *offset)
{
    return (PyObject **)((char *)queue + (size_t)offset);
}

static PyObject *
get_part(PyObject *self, void *offset)
{
    hr_queue *queue = HR_QUEUE(self);
    PyObject *value = NULL;
    Py_BEGIN_CRITICAL_SECTION(self);
    if (hr_open(queue) == 0) {
        value = Py_XNewRef(*part(queue, offset));
        if (value == NULL) {
            PyErr_SetString(PyExc_AttributeError, "this queue's class has made no container 'queue'");
        }
    }
    Py_END_CRITICAL_SECTION();
    return value;
}

static int
set_part(PyObject *self, PyObject *value, void *offset)
{
    hr_queue *queue = HR_QUEUE(self);
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "a part of a queue cannot be deleted");
        return -1;
    }
    int result;
    PyObject *old = NULL;
    Py_BEGIN_CRITICAL_SECTION(self);
    result = hr_open(queue);
    if (result == 0) {
        old = *part(queue, offset);
        *part(queue, offset) = Py_NewRef(value);
    }
    Py_END_CRITICAL_SECTION();
    Py_XDECREF(old);
    return result;
}

/* The container, opening the queue for it: a new reference, or NULL with an exception set. */
PyObject *
hr_container(hr_queue *queue)
{
    return get_part((PyObject *)queue, (void *)offsetof(hr_queue, container));
}

int
hr_set_container(hr_queue *queue, PyObject *container)
{
    return set_part((PyObject *)queue, container, (void *)offsetof(hr_queue, container));
}

/* -- attributes that do not open -------------------------------------------------------------------- */

static PyObject *
get_maxsize(PyObject *self, void *unused)
{
    (void)unused;
    PyObject *maxsize;
    Py_BEGIN_CRITICAL_SECTION(self);
    maxsize = Py_NewRef(HR_QUEUE(self)->maxsize);
    Py_END_CRITICAL_SECTION();
    return maxsize;
}

/* Let another bound hold, for those who wait too. Steals `maxsize`. */
void
hr_set_bound(hr_queue *queue, PyObject *maxsize, Py_ssize_t bound)
{
    PyObject *old;
    Py_BEGIN_CRITICAL_SECTION(queue);
    old = queue->maxsize;
    queue->maxsize = maxsize;
    queue->bound = bound;
    hr_reset_limit(queue);
    hr_wake_everybody(queue);
    Py_END_CRITICAL_SECTION();
    Py_XDECREF(old);
}

static int
set_maxsize(PyObject *self, PyObject *value, void *unused)
{
    (void)unused;
    hr_queue *queue = HR_QUEUE(self);
    Py_ssize_t bound;
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "maxsize cannot be deleted: assign 0 for no bound");
        return -1;
    }
    if (hr_parse_bound(value, &bound) < 0) {
        return -1;
    }
    hr_set_bound(queue, Py_NewRef(value), bound);
    if (queue->opened) {
        PyObject *result = hr_call_function(queue, "wake_putters", NULL);
        Py_XDECREF(result);
        return result == NULL ? -1 : 0;
    }
    return 0;
}

static PyObject *
get_unfinished(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromSsize_t(HR_QUEUE(self)->unfinished);
}

static int
set_unfinished(PyObject *self, PyObject *value, void *unused)
{
    (void)unused;
    hr_queue *queue = HR_QUEUE(self);
    Py_ssize_t unfinished = value == NULL ? -1 : PyNumber_AsSsize_t(value, PyExc_OverflowError);
    if (PyErr_Occurred()) {
        return -1;
    }
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "unfinished_tasks cannot be deleted");
        return -1;
    }
    if (unfinished > PY_SSIZE_T_MAX / 2) {
        PyErr_Format(PyExc_OverflowError, "unfinished_tasks cannot be %zd: there are not so many tasks", unfinished);
        return -1;
    }
    Py_BEGIN_CRITICAL_SECTION(self);
    queue->unfinished = unfinished;
    if (unfinished <= 0) {
        hr_check_fork(queue);
        hr_gate_wake_all(&queue->gate, &queue->gate.joiners);
    }
    Py_END_CRITICAL_SECTION();
    return 0;
}

static PyObject *
get_is_shutdown(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(HR_QUEUE(self)->is_shutdown);
}

static int
set_is_shutdown(PyObject *self, PyObject *value, void *unused)
{
    (void)unused;
    hr_queue *queue = HR_QUEUE(self);
    int truth = value == NULL ? 0 : PyObject_IsTrue(value);
    if (truth < 0) {
        return -1;
    }
    Py_BEGIN_CRITICAL_SECTION(self);
    queue->is_shutdown = (char)truth;
    queue->drains = queue->drains && truth;
    hr_reset_limit(queue);
    hr_wake_everybody(queue);
    Py_END_CRITICAL_SECTION();
    return 0;
}

/* The counters that the Python code keeps once the queue is opened. */
static PyObject *
get_counter(PyObject *self, void *offset)
{
    return PyLong_FromUnsignedLongLong(*(unsigned long long *)((char *)self + (size_t)offset));
}

static int
set_counter(PyObject *self, PyObject *value, void *offset)
{
    unsigned long long number = value == NULL ? 0 : PyLong_AsUnsignedLongLong(value);
    if (PyErr_Occurred()) {
        return -1;
    }
    *(unsigned long long *)((char *)self + (size_t)offset) = number;
    return 0;
}

/* What marks the bare heap for the code of python.PriorityQueue: an opened queue holds nothing else. */
static PyObject *
get_entries(PyObject *self, void *unused)
{
    (void)self;
    (void)unused;
    Py_RETURN_NONE;
}

static PyObject *
get_book(PyObject *self, void *unused)
{
    (void)unused;
    PyObject *book;
    Py_BEGIN_CRITICAL_SECTION(self);
    book = HR_QUEUE(self)->book;
    book = Py_NewRef(book == NULL ? Py_None : book);
    Py_END_CRITICAL_SECTION();
    return book;
}

static int
set_book(PyObject *self, PyObject *value, void *unused)
{
    (void)unused;
    PyObject *old;
    Py_BEGIN_CRITICAL_SECTION(self);
    old = HR_QUEUE(self)->book;
    HR_QUEUE(self)->book = Py_XNewRef(value);
    Py_END_CRITICAL_SECTION();
    Py_XDECREF(old);
    return 0;
}

static PyObject *
get_delayed(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromSsize_t(HR_QUEUE(self)->delayed);
}

static int
set_delayed(PyObject *self, PyObject *value, void *unused)
{
    (void)unused;
    Py_ssize_t number = value == NULL ? 0 : PyLong_AsSsize_t(value);
    if (PyErr_Occurred()) {
        return -1;
    }
    HR_QUEUE(self)->delayed = number;
    return 0;
}

static PyObject *
get_drains(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(HR_QUEUE(self)->drains);
}

static int
set_drains(PyObject *self, PyObject *value, void *unused)
{
    (void)unused;
    int truth = value == NULL ? 0 : PyObject_IsTrue(value);
    if (truth < 0) {
        return -1;
    }
    HR_QUEUE(self)->drains = (char)truth;
    return 0;
}

#define PART(name, text) {#name, get_part, set_part, text, (void *)offsetof(hr_queue, name)}
#define COUNTER(name, field) {name, get_counter, set_counter, NULL, (void *)offsetof(hr_queue, field)}

PyGetSetDef hr_attributes[] = {
    PART(mutex, "The lock of all that follows. Asking for it opens the queue: see ARCHITECTURE.md."),
    PART(not_empty, "Notified when an item was put. Asking for it opens the queue."),
    PART(not_full, "Notified when an item was taken. Asking for it opens the queue."),
    PART(all_tasks_done, "Notified when the last item was settled. Asking for it opens the queue."),
    {"queue", get_part, set_part, "The live container of the waiting items. Asking for it opens the queue.",
     (void *)offsetof(hr_queue, container)},
    {"maxsize", get_maxsize, set_maxsize, "How many items may wait; 0 or less is no bound.", NULL},
    {"unfinished_tasks", get_unfinished, set_unfinished, "Items put and not yet settled.", NULL},
    {"is_shutdown", get_is_shutdown, set_is_shutdown, "Whether shutdown() was called.", NULL},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {"dead", hr_dead, NULL, "The items that failed for good: see headrace.DeadLetters.", NULL},
    {"aio", hr_aio, NULL, "This queue for coroutines: see headrace.AsyncQueue.", NULL},
    {"_book", get_book, set_book, NULL, NULL},
    {"_drains", get_drains, set_drains, NULL, NULL},
    {"_delayed", get_delayed, set_delayed, NULL, NULL},
    COUNTER("_returned_total", returned_total),
    COUNTER("_put_total", put_total_opened),
    COUNTER("_get_total", get_total),
    COUNTER("_dropped_total", dropped_total),
    {NULL, NULL, NULL, NULL, NULL},
};

PyGetSetDef hr_priority_attributes[] = {
    {"_entries", get_entries, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
