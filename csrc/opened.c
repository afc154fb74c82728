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
static PyObject *
python_function(hr_queue *queue, const char *name, PyObject *item)
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

static PyObject *
new_container(hr_queue *queue)
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
    PyObject *container = list == NULL ? NULL : new_container(queue);
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
    queue->put_total_opened = got + dropped + (unsigned long long)count;
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

/* -- attributes that do not open -------------------------------------------------------------------- */

static PyObject *
get_maxsize(PyObject *self, void *unused)
{
    (void)unused;
    return Py_NewRef(HR_QUEUE(self)->maxsize);
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
    PyObject *old;
    Py_BEGIN_CRITICAL_SECTION(self);
    old = queue->maxsize;
    queue->maxsize = Py_NewRef(value);
    queue->bound = bound;
    hr_reset_limit(queue);
    hr_wake_everybody(queue);
    Py_END_CRITICAL_SECTION();
    Py_XDECREF(old);
    if (queue->opened) {
        PyObject *result = python_function(queue, "wake_putters", NULL);
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
    COUNTER("_put_total", put_total_opened),
    COUNTER("_get_total", get_total),
    COUNTER("_dropped_total", dropped_total),
    {NULL, NULL, NULL, NULL, NULL},
};

PyGetSetDef hr_priority_attributes[] = {
    {"_entries", get_entries, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

/* -- hooks ------------------------------------------------------------------------------------------ */

static PyObject *
container_of(hr_queue *queue)
{
    return get_part((PyObject *)queue, (void *)offsetof(hr_queue, container));
}

PyObject *
hr_hook_init(hr_queue *queue, PyObject *maxsize)
{
    (void)maxsize;
    PyObject *container = new_container(queue);
    int failed = container == NULL
              || set_part((PyObject *)queue, container, (void *)offsetof(hr_queue, container)) < 0;
    Py_XDECREF(container);
    return failed ? NULL : Py_NewRef(Py_None);
}

PyObject *
hr_hook_qsize(hr_queue *queue, PyObject *unused)
{
    (void)unused;
    if (!queue->opened) {
        return PyLong_FromSsize_t(queue->items.count);
    }
    PyObject *container = container_of(queue);
    Py_ssize_t size = container == NULL ? -1 : PyObject_Size(container);
    Py_XDECREF(container);
    return size < 0 ? NULL : PyLong_FromSsize_t(size);
}

PyObject *
hr_hook_put(hr_queue *queue, PyObject *item)
{
    PyObject *container = container_of(queue);
    PyObject *result = container == NULL ? NULL
                       : queue->kind == HR_PRIORITY
                           ? python_function(queue, "heap_put", item)
                           : PyObject_CallMethod(container, "append", "(O)", item);
    Py_XDECREF(container);
    return result;
}

PyObject *
hr_hook_get(hr_queue *queue, PyObject *unused)
{
    (void)unused;
    PyObject *container = container_of(queue);
    PyObject *result = container == NULL ? NULL
                       : queue->kind == HR_PRIORITY
                           ? python_function(queue, "heap_get", NULL)
                           : PyObject_CallMethod(container, queue->kind == HR_FIFO ? "popleft" : "pop", NULL);
    Py_XDECREF(container);
    return result;
}

PyObject *
hr_hook_peek(hr_queue *queue, PyObject *unused)
{
    (void)unused;
    if ((queue->overrides & (HR_OVERRIDES_HOOK_GET | HR_OVERRIDES_HOOK_PEEK)) == HR_OVERRIDES_HOOK_GET) {
        PyObject *name = PyType_GetName(Py_TYPE(queue));
        if (name != NULL) {
            PyErr_Format(queue->state->not_supported_error,
                         "%U overrides _get(): override _peek() too, to use peek()", name);
            Py_DECREF(name);
        }
        return NULL;
    }
    PyObject *container = container_of(queue);
    PyObject *result = container == NULL ? NULL
                       : queue->kind == HR_PRIORITY
                           ? python_function(queue, "heap_peek", NULL)
                           : PySequence_GetItem(container, queue->kind == HR_FIFO ? 0 : -1);
    Py_XDECREF(container);
    return result;
}

/* -- who overrides what ----------------------------------------------------------------------------- */

static const struct {
    const char *name;
    unsigned flags;
} overridable[HR_OVERRIDABLE] = {
    {"put", HR_OVERRIDES_PUT},
    {"get", HR_OVERRIDES_GET},
    {"task_done", HR_OVERRIDES_TASK_DONE},
    {"_init", HR_OVERRIDES_HOOK},
    {"_qsize", HR_OVERRIDES_HOOK},
    {"_put", HR_OVERRIDES_HOOK},
    {"_get", HR_OVERRIDES_HOOK | HR_OVERRIDES_HOOK_GET},
    {"_peek", HR_OVERRIDES_HOOK | HR_OVERRIDES_HOOK_PEEK},
};

/* Keep our own methods, to compare with; before anybody can assign to our classes. */
int
hr_keep_own_methods(hr_state *state)
{
    PyTypeObject *types[2] = {state->queue_type, state->priority_type};
    for (int i = 0; i < HR_OVERRIDABLE; i++) {
        for (int row = 0; row < 2; row++) {
            PyObject *method = PyObject_GetAttrString((PyObject *)types[row], overridable[i].name);
            if (method == NULL) {
                return -1;
            }
            state->own_methods[row][i] = method;
        }
    }
    return 0;
}

/* Find out what the object's class overrides of our own methods, and open the queue for a hook. What was
 * assigned to the object itself (hr_setattr) stays noted. */
int
hr_look_at_class(hr_queue *queue)
{
    PyObject **own = queue->state->own_methods[queue->kind == HR_PRIORITY];
    unsigned found = 0;
    int hooked = PyObject_TypeCheck((PyObject *)queue, queue->state->queue_type); /* not SimpleQueue */
    for (int i = 0; hooked && i < HR_OVERRIDABLE; i++) {
        PyObject *theirs = PyObject_GetAttrString((PyObject *)Py_TYPE(queue), overridable[i].name);
        if (theirs == NULL) {
            return -1;
        }
        found |= theirs != own[i] ? overridable[i].flags : 0;
        Py_DECREF(theirs);
    }
    /* Looking the names up has given the class a tag, if it had none. */
    queue->class_version = Py_TYPE(queue)->tp_version_tag;
    queue->overrides |= found;
    return found & HR_OVERRIDES_HOOK ? hr_open(queue) : 0;
}

/* Assigning a hook or a method to one object overrides it there. */
int
hr_setattr(PyObject *self, PyObject *name, PyObject *value)
{
    if (PyObject_GenericSetAttr(self, name, value) < 0) {
        return -1;
    }
    hr_queue *queue = HR_QUEUE(self);
    for (int i = 0; PyUnicode_Check(name) && i < HR_OVERRIDABLE; i++) {
        if (PyUnicode_CompareWithASCIIString(name, overridable[i].name) == 0) {
            queue->overrides |= overridable[i].flags;
            return overridable[i].flags & HR_OVERRIDES_HOOK ? hr_open(queue) : 0;
        }
    }
    return 0;
}
