/* Looking into a queue without changing it. */
#include "core.h"

PyObject *
hr_qsize(hr_queue *queue, PyObject *unused)
{
    (void)unused;
    if (hr_heed_class(queue) < 0) {
        return NULL;
    }
    PyObject *result;
    Py_BEGIN_CRITICAL_SECTION(queue);
    result = queue->opened ? hr_call_opened(queue, "qsize", NULL, 0, NULL)
                           : PyLong_FromSsize_t(queue->items.count);
    Py_END_CRITICAL_SECTION();
    return result;
}

Py_ssize_t
hr_length(PyObject *self)
{
    /* By its name, so that a subclass's qsize() counts. */
    PyObject *size = PyObject_CallMethod(self, "qsize", NULL);
    Py_ssize_t length = size == NULL ? -1 : PyNumber_AsSsize_t(size, PyExc_OverflowError);
    Py_XDECREF(size);
    if (length < 0 && !PyErr_Occurred()) {
        PyErr_Format(PyExc_ValueError, "qsize() returned %zd, which is no length", length);
        return -1;
    }
    return length;
}

/* Always true, as for queue.Queue: code that says `queue or Queue()` goes on working. */
int
hr_true(PyObject *self)
{
    (void)self;
    return 1;
}

int
hr_contains(PyObject *self, PyObject *item)
{
    (void)self;
    (void)item;
    PyErr_SetString(PyExc_TypeError,
                    "'in' would take the items out of a queue: use qsize(), peek() or stats() to look into it");
    return -1;
}

PyObject *
hr_empty(hr_queue *queue, PyObject *unused)
{
    (void)unused;
    if (hr_heed_class(queue) < 0) {
        return NULL;
    }
    PyObject *result;
    Py_BEGIN_CRITICAL_SECTION(queue);
    result = queue->opened ? hr_call_opened(queue, "empty", NULL, 0, NULL)
                           : PyBool_FromLong(queue->items.count == 0);
    Py_END_CRITICAL_SECTION();
    return result;
}

PyObject *
hr_full(hr_queue *queue, PyObject *unused)
{
    (void)unused;
    if (hr_heed_class(queue) < 0) {
        return NULL;
    }
    PyObject *result;
    Py_BEGIN_CRITICAL_SECTION(queue);
    result = queue->opened ? hr_call_opened(queue, "full", NULL, 0, NULL)
                           : PyBool_FromLong(queue->items.count >= queue->bound);
    Py_END_CRITICAL_SECTION();
    return result;
}

static PyObject *
next_item(hr_queue *queue)
{
    switch (queue->kind) {
        case HR_FIFO:
            return hr_items_first(&queue->items);
        case HR_LIFO:
            return hr_items_last(&queue->items);
        default:
            return queue->heap.entries[0].item;
    }
}

PyObject *
hr_peek(hr_queue *queue, PyObject *unused)
{
    (void)unused;
    if (hr_heed_class(queue) < 0) {
        return NULL;
    }
    PyObject *result = NULL;
    Py_BEGIN_CRITICAL_SECTION(queue);
    if (queue->opened) {
        result = hr_call_opened(queue, "peek", NULL, 0, NULL);
    }
    else if (queue->items.count > 0) {
        result = hr_open_envelope(queue, Py_NewRef(next_item(queue)));
    }
    else {
        PyErr_SetNone(queue->state->empty_error);
    }
    Py_END_CRITICAL_SECTION();
    return result;
}

/* Those that sleep in a line: threads, and the coroutines that a post stands for. */
static Py_ssize_t
asleep(const hr_line *line)
{
    Py_ssize_t count = 0;
    for (const hr_waiter *waiter = line->first; waiter != NULL; waiter = waiter->next) {
        count += waiter->stands_for;
    }
    return count;
}

static PyObject *
stats_arguments(hr_queue *queue)
{
    hr_check_fork(queue);
    unsigned long long put_total = queue->get_total - queue->returned_total + queue->dropped_total
                                 + (unsigned long long)queue->items.count;
    PyObject *letters = queue->book == NULL ? NULL : PyObject_GetAttrString(queue->book, "dead");
    Py_ssize_t dead = letters == NULL ? 0 : PyObject_Size(letters);
    Py_XDECREF(letters);
    if (PyErr_Occurred()) {
        return NULL;
    }
    return Py_BuildValue("(nnOKKKnnOnn)", queue->items.count, queue->unfinished, queue->maxsize, put_total,
                         queue->get_total, queue->dropped_total, asleep(&queue->gate.getters),
                         asleep(&queue->gate.putters), queue->is_shutdown ? Py_True : Py_False, queue->delayed,
                         dead);
}

PyObject *
hr_stats(hr_queue *queue, PyObject *unused)
{
    (void)unused;
    PyObject *arguments;
    int opened;
    Py_BEGIN_CRITICAL_SECTION(queue);
    opened = queue->opened;
    arguments = opened ? hr_call_opened(queue, "stats", NULL, 0, NULL) : stats_arguments(queue);
    Py_END_CRITICAL_SECTION();
    if (arguments == NULL || opened) {
        return arguments;
    }
    PyObject *contract = PyImport_ImportModule("headrace.contract");
    PyObject *type = contract == NULL ? NULL : PyObject_GetAttrString(contract, "Stats");
    PyObject *result = type == NULL ? NULL : PyObject_CallObject(type, arguments);
    Py_XDECREF(type);
    Py_XDECREF(contract);
    Py_DECREF(arguments);
    return result;
}

PyObject *
hr_repr(PyObject *self)
{
    hr_queue *queue = HR_QUEUE(self);
    PyObject *name = PyType_GetName(Py_TYPE(self));
    PyObject *result = NULL;
    if (name == NULL) {
        return NULL;
    }
    const char *end = queue->is_shutdown ? ", shut down" : "";
    if (queue->opened) {
        /* What waits is known to the class's hooks alone: a repr must not run them. */
        result = PyUnicode_FromFormat("<%U at %p: %zd unfinished, maxsize %R%s>", name, self, queue->unfinished,
                                      queue->maxsize, end);
    }
    else {
        result = PyUnicode_FromFormat("<%U at %p: %zd waiting, %zd unfinished, maxsize %R%s>", name, self,
                                      queue->items.count, queue->unfinished, queue->maxsize, end);
    }
    Py_DECREF(name);
    return result;
}

PyObject *
hr_sizeof(hr_queue *queue, PyObject *unused)
{
    (void)unused;
    size_t size;
    Py_BEGIN_CRITICAL_SECTION(queue);
    size = (size_t)Py_TYPE(queue)->tp_basicsize + hr_items_bytes(&queue->items)
         + (size_t)queue->heap.capacity * sizeof(hr_entry);
    Py_END_CRITICAL_SECTION();
    return PyLong_FromSize_t(size);
}

PyObject *
hr_refuse_pickling(PyObject *self, PyObject *unused)
{
    (void)unused;
    PyObject *name = PyType_GetName(Py_TYPE(self));
    if (name != NULL) {
        PyErr_Format(PyExc_TypeError,
                     "a %U lives in one process and cannot be pickled or copied: share it between "
                     "threads, or hand its items over",
                     name);
        Py_DECREF(name);
    }
    return NULL;
}
