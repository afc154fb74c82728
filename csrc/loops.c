/* Event loops before queues.
 *
 * All coroutines of a loop that wait for the same thing of a queue stand in its line as one waiter, a *post*. To wake
 * it runs no Python code, for it happens in the middle of a put, in a destructor or in a signal handler, of any
 * thread: the post joins a list of its loop's *hub*, and a byte is written to a file descriptor that the loop watches.
 * The loop collects the list and resumes as many of its coroutines as have something to do (headrace/aio/post.py).
 *
 * A post is not prompt (gate.h): whether its loop runs is not known here, so it holds up nobody else.
 */
#include "loops.h"

#include <errno.h>
#include <stddef.h>
#include <structmember.h>

#ifdef Py_GIL_DISABLED
#define LOCK(hub) while (atomic_flag_test_and_set_explicit(&(hub)->lock, memory_order_acquire)) {}
#define UNLOCK(hub) atomic_flag_clear_explicit(&(hub)->lock, memory_order_release)
#else
#define LOCK(hub)
#define UNLOCK(hub)
#endif

/* -- the hub ---------------------------------------------------------------------------------------- */

/* Call Python where a loop cannot watch a descriptor. What it raises (the loop is closed) concerns nobody here. */
static void
call_back(hr_hub *hub)
{
    PyObject *pending = hr_fetch_exception();
    PyObject *result = PyObject_CallNoArgs(hub->callback);
    if (result == NULL) {
        PyErr_Clear();
    }
    Py_XDECREF(result);
    hr_restore_exception(pending);
}

static void
ring(hr_hub *hub)
{
    if (hub->callback != NULL) {
        call_back(hub);
        return;
    }
    if (hub->process != hr_process()) {
        return; /* this is a forked child, and that loop the parent's */
    }
#ifndef _WIN32
    static const uint64_t one = 1; /* what an eventfd adds; to a socket, eight bytes */
    /* A full socket, or an eventfd at its maximum, has rung already. */
    while (write(hub->fd, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
#endif
}

/* Put a post into the list, and ring if nobody has since the last collection. */
static void
leave_word(hr_post *post)
{
    hr_hub *hub = post->hub;
    bool rings = false;
    LOCK(hub);
    if (!post->is_woken) {
        post->is_woken = true;
        post->next = NULL;
        Py_INCREF((PyObject *)post);
        *(hub->last ? &hub->last->next : &hub->first) = post;
        hub->last = post;
        rings = !hub->has_rung && !hub->is_quiet;
        hub->has_rung |= rings;
    }
    UNLOCK(hub);
    if (rings) {
        ring(hub);
    }
}

static hr_post *
next_word(hr_hub *hub)
{
    LOCK(hub);
    hr_post *post = hub->first;
    if (post != NULL) {
        hub->first = post->next;
        hub->last = hub->first == NULL ? NULL : hub->last;
        post->is_woken = false;
    }
    UNLOCK(hub);
    return post;
}

static PyObject *
hub_collect(hr_hub *hub, PyObject *unused)
{
    (void)unused;
    PyObject *list = PyList_New(0);
    if (list == NULL) {
        return NULL;
    }
    LOCK(hub);
    hub->has_rung = false; /* before the list is read: who comes after that rings */
    hub->is_quiet = false;
    UNLOCK(hub);
    for (hr_post *post = next_word(hub); post != NULL; post = next_word(hub)) {
        int failed = PyList_Append(list, (PyObject *)post);
        Py_DECREF((PyObject *)post);
        if (failed < 0) {
            Py_DECREF(list);
            return NULL;
        }
    }
    return list;
}

/* What is woken until the next collect() does not ring. */
static PyObject *
hub_hush(hr_hub *hub, PyObject *unused)
{
    (void)unused;
    LOCK(hub);
    hub->is_quiet = true;
    UNLOCK(hub);
    Py_RETURN_NONE;
}

static PyObject *
hub_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"fd", "callback", NULL};
    int fd;
    PyObject *callback = Py_None;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "i|O:Hub", names, &fd, &callback)) {
        return NULL;
    }
    if ((fd < 0) != (callback != Py_None)) {
        PyErr_SetString(PyExc_ValueError, "a hub has a descriptor to write to, or -1 and a callback");
        return NULL;
    }
    hr_hub *hub = (hr_hub *)type->tp_alloc(type, 0);
    if (hub != NULL) {
        hub->fd = fd;
        hub->process = hr_process();
        hub->callback = callback == Py_None ? NULL : Py_NewRef(callback);
#ifdef Py_GIL_DISABLED
        atomic_flag_clear(&hub->lock);
#endif
    }
    return (PyObject *)hub;
}

static int
hub_traverse(hr_hub *hub, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(hub));
    Py_VISIT(hub->callback);
    for (hr_post *post = hub->first; post != NULL; post = post->next) {
        Py_VISIT((PyObject *)post);
    }
    return 0;
}

static int
hub_clear(hr_hub *hub)
{
    Py_CLEAR(hub->callback);
    for (hr_post *post = next_word(hub); post != NULL; post = next_word(hub)) {
        Py_DECREF((PyObject *)post);
    }
    return 0;
}

static void
hub_dealloc(hr_hub *hub)
{
    PyTypeObject *type = Py_TYPE(hub);
    PyObject_GC_UnTrack(hub);
    hub_clear(hub);
#ifndef _WIN32
    if (hub->fd >= 0) {
        close(hub->fd);
    }
#endif
    type->tp_free(hub);
    Py_DECREF(type);
}

static PyMethodDef hub_methods[] = {
    {"collect", (PyCFunction)(void (*)(void))hub_collect, METH_NOARGS,
     PyDoc_STR("collect($self, /)\n--\n\nThe posts that were woken since the last time. By the loop's thread.")},
    {"hush", (PyCFunction)(void (*)(void))hub_hush, METH_NOARGS,
     PyDoc_STR("hush($self, /)\n--\n\nDo not ring: the loop's thread, which this is, collects in a moment.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot hub_slots[] = {
    {Py_tp_doc, "Hub(fd, callback=None)\n--\n\n"
                "Where the posts of one event loop leave word: eight bytes are written to fd when the first does.\n"
                "It closes fd in the end: while there are posts, who hold it, no other file has that number."},
    {Py_tp_new, hub_new},
    {Py_tp_dealloc, hub_dealloc},
    {Py_tp_traverse, hub_traverse},
    {Py_tp_clear, hub_clear},
    {Py_tp_methods, hub_methods},
    {0, NULL},
};

PyType_Spec hr_hub_spec = {
    .name = "headrace.backends.memory._core.Hub",
    .basicsize = sizeof(hr_hub),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = hub_slots,
};

/* -- the post --------------------------------------------------------------------------------------- */

#define POST(waiter_) ((hr_post *)((char *)(waiter_) - offsetof(hr_post, waiter)))

/* The gate's wake-up, with the queue's lock held. */
static void
wake_post(hr_waiter *waiter)
{
    leave_word(POST(waiter));
}

static PyObject *
post_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    (void)keywords;
    hr_state *state = PyType_GetModuleState(type);
    if (state == NULL) { /* a subclass, made in Python */
        PyErr_Clear();
        PyObject *module = PyType_GetModuleByDef(type, &hr_module);
        if (module == NULL) {
            return NULL;
        }
        state = PyModule_GetState(module);
    }
    if (PyTuple_GET_SIZE(arguments) < 1
        || !PyObject_TypeCheck(PyTuple_GET_ITEM(arguments, 0), state->hub_type)) {
        PyErr_SetString(PyExc_TypeError, "a post's first argument is its Hub");
        return NULL;
    }
    hr_post *post = (hr_post *)type->tp_alloc(type, 0);
    if (post != NULL) {
        post->hub = (hr_hub *)Py_NewRef(PyTuple_GET_ITEM(arguments, 0));
        post->waiter.wake = wake_post;
        post->waiter.stands_for = 1;
    }
    return (PyObject *)post;
}

/* Any arguments are those of __new__, and of a subclass. */
static int
post_init(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    (void)self;
    (void)arguments;
    (void)keywords;
    return 0;
}

/* Leave the line, if it stands in one. The caller holds the queue's lock, and looks after others. */
static void
step_out(hr_post *post, hr_queue *queue)
{
    hr_check_fork(queue);
    if (post->process == queue->process) {
        hr_gate_leave(&queue->gate, &post->waiter);
    }
    post->waiter.line = NULL; /* in a forked child it stood in a line of the parent's */
}

static void
withdraw(hr_post *post)
{
    hr_queue *queue = post->queue;
    if (queue == NULL) {
        return;
    }
    post->queue = NULL;
    Py_BEGIN_CRITICAL_SECTION(queue);
    step_out(post, queue);
    hr_changed(queue, false);
    Py_END_CRITICAL_SECTION();
    Py_DECREF((PyObject *)queue);
}

static PyObject *
post_wake(hr_post *post, PyObject *all)
{
    int truth = PyObject_IsTrue(all);
    if (truth < 0) {
        return NULL;
    }
    post->waiter.all |= truth;
    leave_word(post);
    Py_RETURN_NONE;
}

/* Whether it was woken for all, and is so no more. */
static PyObject *
post_take_all(hr_post *post, PyObject *unused)
{
    (void)unused;
    bool all = post->waiter.all;
    post->waiter.all = false;
    return PyBool_FromLong(all);
}

static int
post_traverse(hr_post *post, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(post));
    Py_VISIT((PyObject *)post->hub);
    Py_VISIT((PyObject *)post->queue);
    return 0;
}

static int
post_clear(hr_post *post)
{
    withdraw(post);
    return 0;
}

static void
post_dealloc(hr_post *post)
{
    PyTypeObject *type = Py_TYPE(post);
    PyObject_GC_UnTrack(post);
    withdraw(post); /* it is in no hub's list, which would hold a reference; but it may stand in a line */
    Py_XDECREF((PyObject *)post->hub);
    type->tp_free(post);
    Py_DECREF(type);
}

static PyMethodDef post_methods[] = {
    {"wake", (PyCFunction)(void (*)(void))post_wake, METH_O,
     PyDoc_STR("wake($self, all, /)\n--\n\n"
               "Have the loop look, from any thread: as many of those who wait as have something to do, or all.")},
    {"take_all", (PyCFunction)(void (*)(void))post_take_all, METH_NOARGS,
     PyDoc_STR("take_all($self, /)\n--\n\nWhether it was woken for all since this was last asked.")},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef post_members[] = {
    {"stands_for", T_PYSSIZET, offsetof(hr_post, waiter) + offsetof(hr_waiter, stands_for), 0,
     PyDoc_STR("How many coroutines wait here, for stats().")},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot post_slots[] = {
    {Py_tp_doc, "Post(hub, ...)\n--\n\nOne event loop before one line of one queue. For subclasses."},
    {Py_tp_new, post_new},
    {Py_tp_init, post_init},
    {Py_tp_dealloc, post_dealloc},
    {Py_tp_traverse, post_traverse},
    {Py_tp_clear, post_clear},
    {Py_tp_methods, post_methods},
    {Py_tp_members, post_members},
    {0, NULL},
};

PyType_Spec hr_post_spec = {
    .name = "headrace.backends.memory._core.Post",
    .basicsize = sizeof(hr_post),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = post_slots,
};

/* -- what a queue does for them --------------------------------------------------------------------- */

static hr_post *
as_post(hr_queue *queue, PyObject *given)
{
    if (!PyObject_TypeCheck(given, queue->state->post_type)) {
        PyErr_Format(PyExc_TypeError, "a Post is needed, not %R", given);
        return NULL;
    }
    return (hr_post *)given;
}

static hr_line *
as_line(hr_queue *queue, PyObject *given)
{
    hr_line *lines[] = {&queue->gate.getters, &queue->gate.putters, &queue->gate.joiners};
    Py_ssize_t number = PyNumber_AsSsize_t(given, PyExc_OverflowError);
    if (number < 0 || number > 2) {
        if (!PyErr_Occurred()) {
            PyErr_Format(PyExc_ValueError, "there is no line %zd", number);
        }
        return NULL;
    }
    return lines[number];
}

/* _watch(line, post): have the post stand in a line until it is woken, which it is at once if there is something to
 * get, or room, or if all were woken since it stood there last. It may stand there already. Who begins to wait calls
 * this, and then looks. */
PyObject *
hr_watch(hr_queue *queue, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_Format(PyExc_TypeError, "_watch() takes a line and a post, not %zd arguments", count);
        return NULL;
    }
    hr_post *post = as_post(queue, arguments[1]);
    hr_line *line = post == NULL ? NULL : as_line(queue, arguments[0]);
    if (line == NULL || hr_heed_class(queue) < 0) {
        return NULL;
    }
    PyObject *result;
    hr_queue *before = NULL;
    Py_BEGIN_CRITICAL_SECTION(queue);
    if (queue->opened) {
        result = hr_call_opened(queue, "_watch", arguments, count, NULL);
    }
    else {
        hr_check_fork(queue);
        if (post->waiter.line != NULL && post->process != queue->process) {
            post->waiter.line = NULL;
        }
        if (post->waiter.line == NULL && !post->is_woken) {
            before = post->queue;
            post->queue = HR_QUEUE(Py_NewRef((PyObject *)queue));
            post->process = queue->process;
            if (post->stood_before == queue && post->alarms != queue->gate.alarms) {
                /* The queue was shut down, say, while those who were roused were on their way: let all look. */
                post->waiter.all = true;
                leave_word(post);
            }
            else {
                hr_gate_enter(&queue->gate, line, &post->waiter, false);
                hr_changed(queue, line == &queue->gate.putters);
            }
            post->stood_before = queue;
            post->alarms = queue->gate.alarms;
        }
        result = Py_NewRef(Py_None);
    }
    Py_END_CRITICAL_SECTION();
    Py_XDECREF((PyObject *)before);
    return result;
}

/* _unwatch(line, post): leave the line, and pass on a wake-up that the post may have had. */
PyObject *
hr_unwatch(hr_queue *queue, PyObject *const *arguments, Py_ssize_t count)
{
    hr_post *post = count == 2 ? as_post(queue, arguments[1]) : NULL;
    if (post == NULL) {
        if (!PyErr_Occurred()) {
            PyErr_Format(PyExc_TypeError, "_unwatch() takes a line and a post, not %zd arguments", count);
        }
        return NULL;
    }
    PyObject *result;
    hr_queue *before = NULL;
    Py_BEGIN_CRITICAL_SECTION(queue);
    if (post->waiter.line != NULL && post->queue == queue) {
        step_out(post, queue);
    }
    if (post->queue == queue) {
        before = queue;
        post->queue = NULL;
    }
    if (queue->opened) {
        result = hr_call_opened(queue, "_unwatch", arguments, count, NULL);
    }
    else {
        hr_changed(queue, false);
        result = Py_NewRef(Py_None);
    }
    Py_END_CRITICAL_SECTION();
    Py_XDECREF((PyObject *)before);
    return result;
}

/* _ready(line): how many of those in a line would find something to do. */
PyObject *
hr_ready(hr_queue *queue, PyObject *given)
{
    hr_line *line = as_line(queue, given);
    if (line == NULL) {
        return NULL;
    }
    PyObject *result;
    Py_BEGIN_CRITICAL_SECTION(queue);
    if (queue->opened) {
        result = hr_call_opened(queue, "_ready", &given, 1, NULL);
    }
    else if (line == &queue->gate.getters) {
        result = PyLong_FromSsize_t(queue->items.count);
    }
    else if (line == &queue->gate.putters) {
        result = PyLong_FromSsize_t(queue->limit > queue->items.count ? queue->limit - queue->items.count : 0);
    }
    else {
        result = PyLong_FromSsize_t(queue->unfinished == 0 ? HR_UNBOUNDED : 0);
    }
    Py_END_CRITICAL_SECTION();
    return result;
}
