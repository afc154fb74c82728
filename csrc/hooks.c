/* The hooks _init, _qsize, _put, _get and _peek, and who overrides what. */
#include "core.h"

/* -- hooks ------------------------------------------------------------------------------------------ */

PyObject *
hr_hook_init(hr_queue *queue, PyObject *maxsize)
{
    (void)maxsize;
    PyObject *container = hr_new_container(queue);
    int failed = container == NULL || hr_set_container(queue, container) < 0;
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
    PyObject *container = hr_container(queue);
    Py_ssize_t size = container == NULL ? -1 : PyObject_Size(container);
    Py_XDECREF(container);
    return size < 0 ? NULL : PyLong_FromSsize_t(size);
}

PyObject *
hr_hook_put(hr_queue *queue, PyObject *item)
{
    PyObject *container = hr_container(queue);
    PyObject *result = container == NULL ? NULL
                       : queue->kind == HR_PRIORITY
                           ? hr_call_function(queue, "heap_put", item)
                           : PyObject_CallMethod(container, "append", "(O)", item);
    Py_XDECREF(container);
    return result;
}

PyObject *
hr_hook_get(hr_queue *queue, PyObject *unused)
{
    (void)unused;
    PyObject *container = hr_container(queue);
    PyObject *result = container == NULL ? NULL
                       : queue->kind == HR_PRIORITY
                           ? hr_call_function(queue, "heap_get", NULL)
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
    PyObject *container = hr_container(queue);
    PyObject *result = container == NULL ? NULL
                       : queue->kind == HR_PRIORITY
                           ? hr_call_function(queue, "heap_peek", NULL)
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
    {"task_done", HR_OVERRIDES_TASK_DONE | HR_CLASS_SETTLES},
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
static int
look_at_class(hr_queue *queue)
{
    PyObject **own = queue->state->own_methods[queue->kind == HR_PRIORITY];
    unsigned found = 0;
    if (hr_kind_of(queue->state, Py_TYPE(queue)) != queue->kind) {
        PyErr_SetString(PyExc_TypeError, "this queue's __class__ was changed to one of another order: assign the old one");
        return -1;
    }
    int hooked = PyObject_TypeCheck((PyObject *)queue, queue->state->queue_type); /* not SimpleQueue */
    for (int i = 0; hooked && i < HR_OVERRIDABLE; i++) {
        PyObject *theirs = PyObject_GetAttrString((PyObject *)Py_TYPE(queue), overridable[i].name);
        if (theirs == NULL) {
            return -1;
        }
        found |= theirs != own[i] ? overridable[i].flags : 0;
        Py_DECREF(theirs);
    }
    /* Looking the names up has given the class a tag, if it had none and there are any left. A class without
     * one (0) is looked at each time. */
    queue->class_version = Py_TYPE(queue)->tp_version_tag;
    queue->class_version += queue->class_version == 0;
    queue->overrides |= found;
    return found & HR_OVERRIDES_HOOK ? hr_open(queue) : 0;
}

int
hr_look_at_class(hr_queue *queue)
{
    int failed;
    Py_BEGIN_CRITICAL_SECTION(queue);
    failed = look_at_class(queue);
    Py_END_CRITICAL_SECTION();
    return failed;
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
            queue->overrides |= overridable[i].flags & ~(unsigned)HR_CLASS_SETTLES;
            return overridable[i].flags & HR_OVERRIDES_HOOK ? hr_open(queue) : 0;
        }
    }
    return 0;
}
