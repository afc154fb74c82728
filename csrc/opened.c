/* Opened queues.
 *
 * Some programs reach behind a queue's methods: they hold its mutex, wait on its conditions, look into its
 * container, or override its hooks. A queue is built without any of these, so that nobody pays for them.
 * The first time that one is asked for, the queue is opened, for good: it gets a mutex, three
 * conditions and a Python container with the waiting items, everybody who sleeps before it is woken,
 * and from then on its methods are the functions of backends/memory/python.py, run on this object.
 */
#include "core.h"

#include <stddef.h>

#define PYTHON_MODULE "headrace.backends.memory.python"

static PyObject *
python_name(const char *name)
{
    PyObject *module = PyImport_ImportModule(PYTHON_MODULE);
    PyObject *value = module == NULL ? NULL : PyObject_GetAttrString(module, name);
    Py_XDECREF(module);
    return value;
}

/* Call one of the module's functions on this object, with an item where one is given. */
PyObject *
hr_call_function(hr_queue *queue, const char *name, PyObject *item)
{
    PyObject *function = python_name(name);
    PyObject *result = function == NULL ? NULL
                                        : PyObject_CallFunctionObjArgs(function, queue, item, NULL);
    Py_XDECREF(function);
    return result;
}

static const char *
python_class(hr_queue *queue)
{
    switch (queue->kind) {
        case HR_FIFO:
            return "Queue";
        case HR_LIFO:
            return "LifoQueue";
        default:
            return "PriorityQueue";
    }
}

/* Run a method of the Python implementation on this object. */
PyObject *
hr_call_opened(hr_queue *queue, const char *method, PyObject *const *arguments, Py_ssize_t count,
               PyObject *keywords)
{
    PyObject *class = python_name(python_class(queue));
    PyObject *function = class == NULL ? NULL : PyObject_GetAttrString(class, method);
    Py_XDECREF(class);
    if (function == NULL) {
        return NULL;
    }
    enum { MOST = 8 };
    Py_ssize_t total = count + (keywords == NULL ? 0 : PyTuple_GET_SIZE(keywords));
    PyObject *values[MOST + 1] = {(PyObject *)queue};
    PyObject *result = NULL;
    if (total > MOST) {
        PyErr_Format(PyExc_TypeError, "%s() got too many arguments (%zd)", method, total);
    }
    else {
        for (Py_ssize_t i = 0; i < total; i++) {
            values[i + 1] = arguments[i];
        }
        result = PyObject_Vectorcall(function, values, (size_t)count + 1, keywords);
    }
    Py_DECREF(function);
    return result;
}

/* -- opening ---------------------------------------------------------------------------------------- */

/* An empty container of the queue's kind. */
PyObject *
hr_new_container(hr_queue *queue)
{
    if (queue->kind != HR_FIFO) {
        return PyList_New(0);
    }
    PyObject *collections = PyImport_ImportModule("collections");
    PyObject *container = collections == NULL ? NULL : PyObject_CallMethod(collections, "deque", NULL);
    Py_XDECREF(collections);
    return container;
}

static int
append_item(void *item, void *list)
{
    return PyList_Append(list, item);
}

/* What the Python heap holds for an entry: the bare item, or an Entry where a priority was given. */
static PyObject *
python_entry(PyObject *entry_class, hr_entry *entry)
{
    if (entry->key == entry->item) {
        return Py_NewRef(entry->item);
    }
    return PyObject_CallFunction(entry_class, "OKOO", entry->key, (unsigned long long)entry->turn,
                                 entry->item, Py_True);
}

static int
append_entries(hr_queue *queue, PyObject *list)
{
    PyObject *entry_class = python_name("Entry");
    if (entry_class == NULL) {
        return -1;
    }
    int failed = 0;
    uint64_t version = queue->heap.version;
    /* Making an Entry runs Python code: stop when the heap changed under it, the caller starts over. */
    for (Py_ssize_t i = 0; !failed && version == queue->heap.version && i < queue->items.count; i++) {
        hr_entry entry = queue->heap.entries[i];
        Py_INCREF(entry.key);
        Py_INCREF(entry.item);
        PyObject *value = python_entry(entry_class, &entry);
        failed = value == NULL || PyList_Append(list, value) < 0;
        Py_XDECREF(value);
        Py_DECREF(entry.key);
        Py_DECREF(entry.item);
    }
    Py_DECREF(entry_class);
    return failed ? -1 : 0;
}

/* A list of what waits now, in the container's order. */
static PyObject *
snapshot(hr_queue *queue)
{
    PyObject *list = PyList_New(0);
    if (list == NULL) {
        return NULL;
    }
    int failed = queue->kind == HR_PRIORITY ? append_entries(queue, list)
                                            : hr_items_each(&queue->items, append_item, list);
    if (failed) {
        Py_CLEAR(list);
    }
    return list;
}

/* A container with what waits now, made without changing the queue. NULL without an exception when the
 * queue changed meanwhile. */
static PyObject *
fill_container(hr_queue *queue)
{
    unsigned long long got = queue->get_total, dropped = queue->dropped_total;
    Py_ssize_t count = queue->items.count;
    PyObject *list = snapshot(queue);
    PyObject *container = list == NULL || PyList_GET_SIZE(list) != count ? NULL : hr_new_container(queue);
    PyObject *extended = container == NULL ? NULL : PyObject_CallMethod(container, "extend", "O", list);
    Py_XDECREF(list);
    Py_XDECREF(extended);
    if (extended == NULL || got != queue->get_total || dropped != queue->dropped_total
        || count != queue->items.count) {
        Py_CLEAR(container);
    }
    return container;
}

static int
set_parts(hr_queue *queue, PyObject *parts)
{
    return PyArg_ParseTuple(parts, "OOOOO", &queue->mutex, &queue->not_empty, &queue->not_full,
                            &queue->all_tasks_done, &queue->container)
               ? 0
               : -1;
}

/* Give the queue `container` and hand it over to the Python code. Returns 1 when it changed meanwhile. */
static int
install(hr_queue *queue, PyObject *container)
{
    unsigned long long got = queue->get_total, dropped = queue->dropped_total;
    Py_ssize_t count = queue->items.count;
    PyObject *make = python_name("parts");
    PyObject *parts = make == NULL ? NULL : PyObject_CallOneArg(make, container);
    Py_XDECREF(make);
    if (parts == NULL) {
        return -1;
    }
    if (queue->opened || got != queue->get_total || dropped != queue->dropped_total
        || count != queue->items.count) {
        Py_DECREF(parts);
        return 1; /* it changed while Python code ran: once more */
    }
    if (set_parts(queue, parts) < 0) {
        Py_DECREF(parts);
        return -1;
    }
    Py_INCREF(queue->mutex);
    Py_INCREF(queue->not_empty);
    Py_INCREF(queue->not_full);
    Py_INCREF(queue->all_tasks_done);
    Py_INCREF(queue->container);
    Py_DECREF(parts);

    hr_items items = queue->items;
    hr_heap heap = queue->heap;
    queue->put_total_opened = got - queue->returned_total + dropped + (unsigned long long)count;
    memset(&queue->items, 0, sizeof(queue->items));
    memset(&queue->heap, 0, sizeof(queue->heap));
    queue->heap.version = heap.version + 1;
    queue->opened = 1;
    hr_reset_limit(queue);
    hr_wake_everybody(queue);
    /* The container has references of its own; these are not the last. */
    hr_drop_detached(&items, &heap, count);
    return 0;
}

/* Open the queue, if it is not. Returns 0, or -1 with an exception set. */
int
hr_open(hr_queue *queue)
{
    while (!queue->opened) {
        PyObject *container = fill_container(queue);
        if (container == NULL && PyErr_Occurred()) {
            return -1;
        }
        if (container != NULL) {
            int failed = install(queue, container);
            Py_DECREF(container);
            if (failed < 0) {
                return -1;
            }
        }
    }
    return 0;
}
