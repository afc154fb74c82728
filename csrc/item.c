/* Queue.item(), the get that settles itself, and iteration. */
#include "core.h"

/* -- item ------------------------------------------------------------------------------------------- */

/* The context manager. In C, because the interpreter handles signals between a call and the storing of
 * its result, but not between entering this and the first instruction of the block: an item that was
 * got here is always settled. */
typedef struct {
    PyObject_HEAD
    hr_queue *queue;
    PyObject *block;
    PyObject *timeout;
} item_object;

static const char *const item_names[] = {"block", "timeout"};
static const hr_signature item_signature = {"item", item_names, 0, 2, 2};

PyObject *
hr_item(hr_queue *queue, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    PyObject *given[2];
    if (hr_unpack(&item_signature, arguments, count, keywords, given) < 0) {
        return NULL;
    }
    item_object *self = PyObject_GC_New(item_object, queue->state->item_type);
    if (self == NULL) {
        return NULL;
    }
    self->queue = HR_QUEUE(Py_NewRef((PyObject *)queue));
    self->block = Py_NewRef(given[0] == NULL ? Py_True : given[0]);
    self->timeout = Py_NewRef(given[1] == NULL ? Py_None : given[1]);
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

static PyObject *
item_enter(item_object *self, PyObject *unused)
{
    (void)unused;
    PyObject *arguments[] = {self->block, self->timeout};
    if (hr_heed_class(self->queue) < 0) {
        return NULL;
    }
    if (self->queue->overrides & HR_OVERRIDES_GET) {
        return hr_call_named(self->queue, "get", arguments, 2, PyTuple_New(0));
    }
    return hr_get(self->queue, arguments, 2, NULL);
}

static PyObject *
item_exit(item_object *self, PyObject *error)
{
    (void)error;
    if (hr_heed_class(self->queue) < 0) {
        return NULL;
    }
    if (self->queue->overrides & HR_OVERRIDES_TASK_DONE) {
        return hr_call_named(self->queue, "task_done", NULL, 0, PyTuple_New(0));
    }
    return hr_task_done(self->queue, NULL, 0, NULL);
}

static int
item_traverse(item_object *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->queue);
    Py_VISIT(self->block);
    Py_VISIT(self->timeout);
    return 0;
}

static void
item_dealloc(item_object *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_XDECREF(self->queue);
    Py_XDECREF(self->block);
    Py_XDECREF(self->timeout);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef item_methods[] = {
    {"__enter__", (PyCFunction)item_enter, METH_NOARGS, "Get the item."},
    {"__exit__", (PyCFunction)item_exit, METH_VARARGS, "Settle the item."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot item_slots[] = {
    {Py_tp_doc, "A get on entering, and a task_done on leaving whatever happens."},
    {Py_tp_methods, item_methods},
    {Py_tp_traverse, item_traverse},
    {Py_tp_dealloc, item_dealloc},
    {0, NULL},
};

PyType_Spec hr_item_spec = {
    .name = "headrace.Item",
    .basicsize = sizeof(item_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = item_slots,
};

/* -- iteration -------------------------------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    hr_queue *queue;
} iterator_object;

PyObject *
hr_iter(PyObject *queue)
{
    iterator_object *self = PyObject_GC_New(iterator_object, HR_QUEUE(queue)->state->iterator_type);
    if (self != NULL) {
        self->queue = HR_QUEUE(Py_NewRef(queue));
        PyObject_GC_Track(self);
    }
    return (PyObject *)self;
}

static PyObject *
iterator_next(iterator_object *self)
{
    if (hr_heed_class(self->queue) < 0) {
        return NULL;
    }
    PyObject *item = self->queue->overrides & HR_OVERRIDES_GET
                       ? PyObject_CallMethod((PyObject *)self->queue, "get", NULL)
                       : hr_get(self->queue, NULL, 0, NULL);
    if (item == NULL && PyErr_ExceptionMatches(self->queue->state->shutdown_error)) {
        PyErr_Clear(); /* the end */
    }
    return item;
}

static int
iterator_traverse(iterator_object *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->queue);
    return 0;
}

static void
iterator_dealloc(iterator_object *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_XDECREF(self->queue);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot iterator_slots[] = {
    {Py_tp_doc, "The items of a queue, until it is shut down and drained."},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, iterator_next},
    {Py_tp_traverse, iterator_traverse},
    {Py_tp_dealloc, iterator_dealloc},
    {0, NULL},
};

PyType_Spec hr_iterator_spec = {
    .name = "headrace.QueueIterator",
    .basicsize = sizeof(iterator_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = iterator_slots,
};
