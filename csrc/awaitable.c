/* get and put of queue.aio: awaitables that need no coroutine where nothing is to be waited for.
 *
 * What an `await` of a coroutine function costs is for the most part the making of the coroutine. Here an object is
 * made that acts when it is first awaited, as a coroutine does, and if the queue has an item, or room, that is all.
 * Otherwise it makes the coroutine that waits (headrace/aio/waiting.py), and from then on is that. */
#include "loops.h"

#include <structmember.h>

typedef enum { GET, PUT, NEXT } operation_kind; /* NEXT: a get that ends an `async for` with the queue */
typedef enum { FRESH, DELEGATED, OVER } operation_state;

typedef struct {
    PyObject_HEAD
    hr_queue *queue;
    PyObject *item;      /* PUT: what is put; else NULL */
    PyObject *coroutine; /* DELEGATED: what waits; else NULL */
    operation_kind kind;
    operation_state state;
    bool is_running;
    PyObject *stop; /* what carried the result to the awaiter, or NULL */
} operation;

/* -- letting the loop run --------------------------------------------------------------------------- */

/* A coroutine that always finds an item would keep its loop for ever. So after each LOOKS operations that waited for
 * nothing this thread looks at the clock, and when it has not let its loop run for TURN_NS the operation does so before
 * it acts. (It may have been run by what the caller awaited otherwise: then this is one turn too many.) Where LOOKS
 * operations take longer than that, it looks after each. */
enum { LOOKS = 16 };
#define TURN_NS 2000000

/* With the GIL all threads share the count: whoever runs when it ends lets his loop run, and no thread runs for longer
 * than a few times TURN_NS without another one running in between. */
#ifdef Py_GIL_DISABLED
static _Thread_local hr_turns turns_of_thread;
#define TURNS(state) (&turns_of_thread)
#else
#define TURNS(state) (&(state)->turns)
#endif

static HR_NOINLINE bool
turn_is_due(hr_turns *turns)
{
    int64_t now_ns = hr_now_ns();
    bool is_first = turns->since_ns == 0;
    bool is_due = now_ns - turns->since_ns >= TURN_NS;
    turns->left = is_due ? 1 : LOOKS;
    turns->since_ns = is_due ? now_ns : turns->since_ns;
    return is_due && !is_first;
}

/* Whether there is nothing to wait for. Who waits lets his loop run, and should stand in line first. */
static bool
would_act(const operation *self)
{
    const hr_queue *queue = self->queue;
    return self->kind == PUT ? queue->items.count < queue->limit : queue->items.count > 0;
}

/* -- acting at once --------------------------------------------------------------------------------- */

/* Each returns 1 when it has acted, 0 when that takes Python code or a wait, -1 with an exception set. */

static int
get_now(hr_queue *queue, PyObject **result)
{
    if (queue->items.count == 0 || hr_class_changed(queue) || (queue->overrides & HR_OVERRIDES_GET)) {
        return 0;
    }
    *result = hr_take_bare(queue);
    if (*result == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    hr_changed(queue, false);
    return 1;
}

static int
put_now(hr_queue *queue, PyObject *item, PyObject **result)
{
    if (queue->items.count >= queue->limit || hr_class_changed(queue) || (queue->overrides & HR_OVERRIDES_PUT)) {
        return 0;
    }
    if (queue->kind == HR_PRIORITY) {
        hr_turn no_wait = HR_TURN(0);
        hr_outcome outcome = hr_priority_insert(queue, item, item, &no_wait);
        if (outcome == HR_OPENED) {
            return 0;
        }
        if (outcome == HR_ERROR) {
            /* A comparison may have let others run, who filled the queue or shut it down: see what to do anew. */
            hr_state *state = queue->state;
            if (!PyErr_ExceptionMatches(state->full_error) && !PyErr_ExceptionMatches(state->shutdown_error)) {
                return -1;
            }
            PyErr_Clear();
            return 0;
        }
    }
    else if (HR_LIKELY(hr_items_reserve(&queue->items) == 0)) {
        hr_items_push(&queue->items, Py_NewRef(item));
        queue->unfinished++;
        hr_changed(queue, true);
    }
    else {
        PyErr_NoMemory();
        return -1;
    }
    *result = Py_NewRef(Py_None);
    return 1;
}

static int
act_now(hr_queue *queue, operation_kind kind, PyObject *item, PyObject **result, bool *wakes)
{
    int acted;
    Py_BEGIN_CRITICAL_SECTION(queue);
    *wakes = queue->gate.may_wake;
    acted = kind == PUT ? put_now(queue, item, result) : get_now(queue, result);
    Py_END_CRITICAL_SECTION();
    return acted;
}

/* Rouse whom this has woken in this thread's own loop, a turn earlier than the loop would hear of it. They are woken
 * whatever happens here, and an item that was taken must reach its caller: an interrupt comes after that. */
static HR_NOINLINE void
rouse_here(hr_state *state)
{
    if (state->look_here == NULL) {
        PyObject *module = PyImport_ImportModule("headrace.aio.hub");
        state->look_here = module == NULL ? NULL : PyObject_GetAttrString(module, "look_here");
        Py_XDECREF(module);
    }
    PyObject *done = state->look_here == NULL ? NULL : PyObject_CallNoArgs(state->look_here);
    if (done == NULL) {
        if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
            PyErr_Clear();
            PyErr_SetInterrupt();
        }
        else {
            PyErr_WriteUnraisable(state->look_here);
        }
    }
    Py_XDECREF(done);
}

/* -- waiting ---------------------------------------------------------------------------------------- */

static PyObject *
waiting_function(hr_state *state, operation_kind kind)
{
    PyObject **kept = kind == PUT ? &state->put_waiting : &state->get_waiting;
    if (*kept == NULL) {
        PyObject *module = PyImport_ImportModule("headrace.aio.waiting");
        *kept = module == NULL ? NULL : PyObject_GetAttrString(module, kind == PUT ? "put" : "get");
        Py_XDECREF(module);
    }
    return *kept;
}

/* From now on be the coroutine that waits; with `yields` it lets the loop run before it looks. */
static int
delegate(operation *self, bool yields)
{
    PyObject *function = waiting_function(self->queue->state, self->kind);
    if (function == NULL) {
        return -1;
    }
    const hr_queue *queue = self->queue;
    bool was_tried = !queue->opened && !(queue->overrides & (HR_OVERRIDES_GET | HR_OVERRIDES_PUT));
    PyObject *arguments[5] = {NULL, (PyObject *)queue, yields ? Py_True : Py_False,
                              was_tried ? Py_False : Py_True, self->item};
    self->coroutine = PyObject_Vectorcall(function, arguments + 1,
                                          (self->kind == PUT ? 4 : 3) | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    if (self->coroutine == NULL) {
        return -1;
    }
    self->state = DELEGATED;
    return 0;
}

static void
end(operation *self)
{
    self->state = OVER;
    Py_CLEAR(self->item);
    Py_CLEAR(self->coroutine);
}

/* In an `async for`, the end of the queue is the end of the loop. */
static PySendResult
failed(operation *self)
{
    end(self);
    if (self->kind == NEXT && PyErr_ExceptionMatches(self->queue->state->shutdown_error)) {
        PyErr_SetNone(PyExc_StopAsyncIteration);
    }
    return PYGEN_ERROR;
}

static PySendResult
refuse_second_awaiter(void)
{
    PyErr_SetString(PyExc_RuntimeError, "this get() or put() is being awaited already");
    return PYGEN_ERROR;
}

static PySendResult
operation_send(operation *self, PyObject *value, PyObject **result)
{
    *result = NULL;
    if (self->state == FRESH) {
        if (value != Py_None) {
            PyErr_SetString(PyExc_TypeError, "can't send non-None value to a just-started coroutine");
            return PYGEN_ERROR;
        }
        if (self->is_running) { /* a comparison of items, in the middle of this, awaits it */
            return refuse_second_awaiter();
        }
        hr_turns *turns = TURNS(self->queue->state);
        bool yields = --turns->left <= 0 && would_act(self) && turn_is_due(turns);
        bool wakes = false;
        self->is_running = true;
        int acted = yields ? 0 : act_now(self->queue, self->kind, self->item, result, &wakes);
        self->is_running = false;
        if (HR_LIKELY(acted > 0)) {
            end(self);
            if (wakes) {
                rouse_here(self->queue->state);
            }
            return PYGEN_RETURN;
        }
        if (acted < 0 || delegate(self, yields) < 0) {
            return failed(self);
        }
    }
    else if (self->state == OVER) {
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited get() or put()");
        return PYGEN_ERROR;
    }
    if (self->is_running) {
        return refuse_second_awaiter();
    }
    self->is_running = true;
    PySendResult sent = PyIter_Send(self->coroutine, value, result);
    self->is_running = false;
    if (sent == PYGEN_RETURN) {
        end(self);
    }
    return sent == PYGEN_ERROR ? failed(self) : sent;
}

/* A returned value as the exception that the methods of a coroutine raise for it. */
static PyObject *
stop_with(PyObject *value)
{
    PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, value);
    if (stop != NULL) {
        PyErr_SetObject(PyExc_StopIteration, stop);
        Py_DECREF(stop);
    }
    Py_DECREF(value);
    return NULL;
}

static PyObject *
operation_send_method(operation *self, PyObject *value)
{
    PyObject *result;
    PySendResult sent = operation_send(self, value, &result);
    return sent == PYGEN_RETURN ? stop_with(result) : result;
}

#if PY_VERSION_HEX >= 0x030C0000 && !defined(Py_GIL_DISABLED)
/* From Python 3.12 an `await` of what is no coroutine calls this, and takes a result from a StopIteration. To make one
 * costs as much as all the rest, so one is used again and again: it is ours again when this operation goes, right after
 * the await, unless somebody has kept it. */
static PyObject *
stop_cheaply(operation *self, PyObject *value)
{
    hr_state *state = self->queue->state;
    PyObject *stop = state->spare_stop;
    state->spare_stop = NULL;
    if (stop == NULL) {
        stop = PyObject_CallNoArgs(PyExc_StopIteration);
        if (stop == NULL) {
            Py_DECREF(value);
            return NULL;
        }
    }
    Py_XSETREF(((PyStopIterationObject *)stop)->value, value);
    self->stop = Py_NewRef(stop);
    PyErr_SetRaisedException(stop);
    return NULL;
}

static void
keep_stop(operation *self)
{
    hr_state *state = self->queue->state;
    PyBaseExceptionObject *bare = (PyBaseExceptionObject *)self->stop;
    if (Py_REFCNT(self->stop) == 1 && state->spare_stop == NULL && bare->traceback == NULL && bare->context == NULL) {
        state->spare_stop = self->stop;
        self->stop = NULL;
        Py_CLEAR(((PyStopIterationObject *)state->spare_stop)->value);
    }
    else {
        Py_CLEAR(self->stop);
    }
}
#else
#define stop_cheaply(self, value) stop_with(value)
#define keep_stop(self) Py_CLEAR((self)->stop)
#endif

static PyObject *
operation_next(operation *self)
{
    PyObject *result;
    PySendResult sent = operation_send(self, Py_None, &result);
    if (sent != PYGEN_RETURN) {
        return result;
    }
    if (result == Py_None) { /* no exception at all means the same */
        Py_DECREF(result);
        return NULL;
    }
    return stop_cheaply(self, result);
}

static PyObject *
operation_throw(operation *self, PyObject *arguments)
{
    PyObject *result = NULL;
    if (self->is_running) {
        refuse_second_awaiter();
        return NULL;
    }
    if (self->state == DELEGATED) {
        PyObject *throw = PyObject_GetAttrString(self->coroutine, "throw");
        self->is_running = true;
        result = throw == NULL ? NULL : PyObject_CallObject(throw, arguments);
        self->is_running = false;
        Py_XDECREF(throw);
    }
    else {
        /* As a generator that was not begun does: what is thrown comes out, and nothing was done. */
        PyObject *type, *value = NULL, *traceback = NULL;
        if (!PyArg_ParseTuple(arguments, "O|OO:throw", &type, &value, &traceback)) {
            return NULL;
        }
        if (PyExceptionInstance_Check(type)) {
            PyErr_SetObject((PyObject *)Py_TYPE(type), type);
        }
        else if (PyExceptionClass_Check(type)) {
            PyErr_SetObject(type, value == Py_None ? NULL : value);
        }
        else {
            PyErr_SetString(PyExc_TypeError, "exceptions must be classes or instances deriving from BaseException");
            return NULL;
        }
    }
    if (result == NULL) {
        failed(self);
    }
    return result;
}

static PyObject *
operation_close(operation *self, PyObject *unused)
{
    (void)unused;
    if (self->is_running) {
        refuse_second_awaiter();
        return NULL;
    }
    if (self->state != DELEGATED) {
        end(self);
        Py_RETURN_NONE;
    }
    self->is_running = true;
    PyObject *result = PyObject_CallMethod(self->coroutine, "close", NULL);
    self->is_running = false;
    end(self);
    return result;
}

static PyObject *
operation_await(operation *self)
{
    if (self->state == DELEGATED) { /* or two would sleep as one: a task steps its coroutine without asking here again */
        refuse_second_awaiter();
        return NULL;
    }
    return Py_NewRef((PyObject *)self);
}

static int
operation_traverse(operation *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT((PyObject *)self->queue);
    Py_VISIT(self->item);
    Py_VISIT(self->coroutine);
    return 0;
}

static int
operation_clear(operation *self)
{
    Py_CLEAR(self->item);
    Py_CLEAR(self->coroutine);
    return 0;
}

/* As for a coroutine: most often somebody forgot the `await`. */
static HR_NOINLINE void
warn_of_unawaited(operation *self)
{
    static const char *const names[] = {"get", "put", "__anext__"};
    PyObject *pending = hr_fetch_exception();
    if (PyErr_WarnFormat(PyExc_RuntimeWarning, 1, "'AsyncQueue.%s' was never awaited", names[self->kind]) < 0) {
        PyErr_WriteUnraisable((PyObject *)Py_TYPE(self));
    }
    hr_restore_exception(pending);
}

static void
operation_dealloc(operation *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->state == FRESH) {
        warn_of_unawaited(self);
    }
    if (self->stop != NULL) {
        keep_stop(self);
    }
    Py_XDECREF((PyObject *)self->queue);
    Py_XDECREF(self->item);
    Py_XDECREF(self->coroutine);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static PyMethodDef operation_methods[] = {
    {"send", (PyCFunction)(void (*)(void))operation_send_method, METH_O, NULL},
    {"throw", (PyCFunction)(void (*)(void))operation_throw, METH_VARARGS, NULL},
    {"close", (PyCFunction)(void (*)(void))operation_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static const char *const operation_names[] = {"AsyncQueue.get", "AsyncQueue.put", "AsyncQueue.__anext__"};

/* What debuggers and asyncio show of a task that waits. */
static PyObject *
operation_name(operation *self, void *unused)
{
    (void)unused;
    return PyUnicode_FromString(operation_names[self->kind]);
}

static PyObject *
operation_repr(operation *self)
{
    return PyUnicode_FromFormat("<%s() of %R>", operation_names[self->kind], (PyObject *)self->queue);
}

static PyGetSetDef operation_attributes[] = {
    {"__name__", (getter)(void (*)(void))operation_name, NULL, NULL, NULL},
    {"__qualname__", (getter)(void (*)(void))operation_name, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef operation_members[] = {
    {"cr_await", T_OBJECT, offsetof(operation, coroutine), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot operation_slots[] = {
    {Py_tp_doc, "What get and put of an AsyncQueue return: await it, once."},
    {Py_tp_dealloc, operation_dealloc},
    {Py_tp_traverse, operation_traverse},
    {Py_tp_clear, operation_clear},
    {Py_tp_methods, operation_methods},
    {Py_tp_members, operation_members},
    {Py_tp_getset, operation_attributes},
    {Py_tp_repr, operation_repr},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, operation_next},
    {Py_am_await, operation_await},
    {Py_am_send, operation_send},
    {0, NULL},
};

PyType_Spec hr_operation_spec = {
    .name = "headrace.backends.memory._core.Operation",
    .basicsize = sizeof(operation),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = operation_slots,
};

/* -- the face --------------------------------------------------------------------------------------- */

/* The base of queue.aio for queues of this module: what is fast. The rest is headrace/aio/queue.py. */
typedef struct {
    PyObject_HEAD
    hr_queue *queue;
} face;

static PyObject *
operation_of(face *self, operation_kind kind, PyObject *item)
{
    operation *made = PyObject_GC_New(operation, self->queue->state->operation_type);
    if (made == NULL) {
        return NULL;
    }
    made->queue = HR_QUEUE(Py_NewRef((PyObject *)self->queue));
    made->item = Py_XNewRef(item);
    made->coroutine = NULL;
    made->kind = kind;
    made->state = FRESH;
    made->is_running = false;
    made->stop = NULL;
    PyObject_GC_Track(made);
    return (PyObject *)made;
}

/* By the coroutine function of that name of the subclass. */
static PyObject *
call_general(face *self, const char *name, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    PyObject *method = PyObject_GetAttrString((PyObject *)self, name);
    PyObject *result = method == NULL ? NULL : PyObject_Vectorcall(method, arguments, (size_t)count, keywords);
    Py_XDECREF(method);
    return result;
}

static PyObject *
face_get(face *self, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    return HR_LIKELY(count == 0 && keywords == NULL) ? operation_of(self, GET, NULL)
                                                     : call_general(self, "_get_within", arguments, count, keywords);
}

static PyObject *
face_put(face *self, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    return HR_LIKELY(count == 1 && keywords == NULL) ? operation_of(self, PUT, arguments[0])
                                                     : call_general(self, "_put_within", arguments, count, keywords);
}

/* The same without waiting. What takes more than a step of C is the method of the subclass. */
static PyObject *
face_now(face *self, operation_kind kind, const char *general, PyObject *const *arguments, Py_ssize_t count,
         PyObject *keywords)
{
    PyObject *result = NULL;
    bool wakes = false;
    int acted = 0;
    if (HR_LIKELY(count == (kind == PUT ? 1 : 0) && keywords == NULL)) {
        acted = act_now(self->queue, kind, kind == PUT ? arguments[0] : NULL, &result, &wakes);
    }
    if (acted == 0) {
        return call_general(self, general, arguments, count, keywords);
    }
    if (acted > 0 && wakes) {
        rouse_here(self->queue->state);
    }
    return result;
}

static PyObject *
face_get_nowait(face *self, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    return face_now(self, GET, "_get_now", arguments, count, keywords);
}

static PyObject *
face_put_nowait(face *self, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    return face_now(self, PUT, "_put_now", arguments, count, keywords);
}

static PyObject *
face_task_done(face *self, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    hr_queue *queue = self->queue;
    if (hr_heed_class(queue) < 0) {
        return NULL;
    }
    bool wakes;
    Py_BEGIN_CRITICAL_SECTION(queue);
    wakes = queue->opened || queue->gate.joiners.first != NULL;
    Py_END_CRITICAL_SECTION();
    PyObject *result;
    if (HR_LIKELY(!(queue->overrides & HR_OVERRIDES_TASK_DONE))) {
        result = hr_task_done(queue, arguments, count, keywords);
    }
    else {
        PyObject *method = PyObject_GetAttrString((PyObject *)queue, "task_done");
        result = method == NULL ? NULL : PyObject_Vectorcall(method, arguments, (size_t)count, keywords);
        Py_XDECREF(method);
    }
    if (result != NULL && wakes) {
        rouse_here(queue->state);
    }
    return result;
}

static PyObject *
face_next(face *self, PyObject *unused)
{
    (void)unused;
    return operation_of(self, NEXT, NULL);
}

static PyObject *
face_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    (void)keywords;
    PyObject *module = PyType_GetModuleByDef(type, &hr_module);
    if (module == NULL) {
        return NULL;
    }
    hr_state *state = PyModule_GetState(module);
    PyObject *queue = PyTuple_GET_SIZE(arguments) > 0 ? PyTuple_GET_ITEM(arguments, 0) : NULL;
    if (queue == NULL || !PyObject_TypeCheck(queue, state->queue_type)) {
        PyErr_SetString(PyExc_TypeError, "an asynchronous face is made of a queue");
        return NULL;
    }
    face *self = (face *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->queue = HR_QUEUE(Py_NewRef(queue));
    }
    return (PyObject *)self;
}

static int
face_traverse(face *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT((PyObject *)self->queue);
    return 0;
}

/* No tp_clear: its methods need the queue, and the queue does not refer to it. */

static void
face_dealloc(face *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_XDECREF((PyObject *)self->queue);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef face_methods[] = {
    {"get", (PyCFunction)(void (*)(void))face_get, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("get($self, /, timeout=None)\n--\n\n"
               "Take the next item out, waiting for one: await it. See AsyncQueue.get.")},
    {"put", (PyCFunction)(void (*)(void))face_put, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("put($self, /, item, timeout=None, **more)\n--\n\n"
               "Put item, waiting for room: await it. See AsyncQueue.put.")},
    {"get_nowait", (PyCFunction)(void (*)(void))face_get_nowait, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("get_nowait($self, /)\n--\n\nTake the next item if one is there now, else raise QueueEmpty.")},
    {"put_nowait", (PyCFunction)(void (*)(void))face_put_nowait, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("put_nowait($self, /, item, **more)\n--\n\nPut item if there is room now, else raise QueueFull.")},
    {"task_done", (PyCFunction)(void (*)(void))face_task_done, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("task_done($self, /, count=1)\n--\n\n"
               "Say that the work on count items that were taken is complete. See AsyncQueue.task_done.")},
    {"_next", (PyCFunction)(void (*)(void))face_next, METH_NOARGS, NULL},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef face_members[] = {
    {"_queue", T_OBJECT_EX, offsetof(face, queue), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot face_slots[] = {
    {Py_tp_doc, "What is fast of queue.aio."},
    {Py_tp_new, face_new},
    {Py_tp_dealloc, face_dealloc},
    {Py_tp_traverse, face_traverse},
    {Py_tp_methods, face_methods},
    {Py_tp_members, face_members},
    {0, NULL},
};

PyType_Spec hr_face_spec = {
    .name = "headrace.backends.memory._core.Face",
    .basicsize = sizeof(face),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = face_slots,
};

/* queue.aio */
PyObject *
hr_aio(PyObject *self, void *unused)
{
    (void)unused;
    hr_state *state = HR_QUEUE(self)->state;
    if (state->face_of == NULL) {
        PyObject *module = PyImport_ImportModule("headrace.aio.queue");
        state->face_of = module == NULL ? NULL : PyObject_GetAttrString(module, "face_of");
        Py_XDECREF(module);
        if (state->face_of == NULL) {
            return NULL;
        }
    }
    return PyObject_CallOneArg(state->face_of, self);
}
