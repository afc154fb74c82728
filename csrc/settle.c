/* task_done, join, shutdown, clear. */
#include "core.h"

/* Nothing is unfinished any more: wake who waits for that, and for no more to come. */
void
hr_all_settled(hr_queue *queue)
{
    if (queue->gate.joiners.first != NULL || queue->is_shutdown) {
        hr_check_fork(queue);
        hr_gate_wake_all(&queue->gate, &queue->gate.joiners);
    }
    if (queue->is_shutdown) {
        hr_gate_wake_all(&queue->gate, &queue->gate.getters);
    }
}

static const char *const task_done_names[] = {"count"};
static const hr_signature task_done_signature = {"task_done", task_done_names, 0, 1, 1};

/* How many tasks a call settles, or -1 with an exception set. */
static Py_ssize_t
parse_count(PyObject *given)
{
    Py_ssize_t count = given == NULL ? 1 : PyNumber_AsSsize_t(given, PyExc_OverflowError);
    if (count < 1 && !PyErr_Occurred()) {
        PyErr_Format(PyExc_ValueError, "'count' must be at least 1, not %zd", count);
    }
    return count < 1 ? -1 : count;
}

static HR_NOINLINE PyObject *
task_done_general(hr_queue *queue, PyObject *const *arguments, Py_ssize_t nargs, PyObject *keywords)
{
    PyObject *given;
    if (hr_unpack(&task_done_signature, arguments, nargs, keywords, &given) < 0) {
        return NULL;
    }
    if (queue->opened) {
        return hr_call_opened(queue, "task_done", arguments, nargs, keywords);
    }
    Py_ssize_t count = parse_count(given);
    if (count < 0) {
        return NULL;
    }
    if (queue->unfinished < count) {
        PyErr_SetString(PyExc_ValueError, "task_done() called too many times");
        return NULL;
    }
    queue->unfinished -= count;
    if (queue->unfinished == 0) {
        hr_all_settled(queue);
    }
    Py_RETURN_NONE;
}

PyObject *
hr_task_done(hr_queue *queue, PyObject *const *arguments, Py_ssize_t nargs, PyObject *keywords)
{
    PyObject *result;
    Py_BEGIN_CRITICAL_SECTION(queue);
    if (HR_LIKELY(nargs == 0 && keywords == NULL && !queue->opened && queue->unfinished > 0
                  && !queue->is_shutdown && queue->gate.joiners.first == NULL)) {
        queue->unfinished--;
        result = Py_NewRef(Py_None);
    }
    else {
        result = task_done_general(queue, arguments, nargs, keywords);
    }
    Py_END_CRITICAL_SECTION();
    return result;
}

/* By the class's task_done, which is not ours. */
static PyObject *
settle_by_class(hr_queue *queue)
{
    PyObject *method = PyObject_GetAttrString((PyObject *)Py_TYPE(queue), "task_done");
    PyObject *result = method == NULL ? NULL : PyObject_CallOneArg(method, (PyObject *)queue);
    Py_XDECREF(method);
    Py_XDECREF(result);
    return result == NULL ? NULL : Py_NewRef(Py_None);
}

static HR_NOINLINE PyObject *
settle_general(hr_queue *queue)
{
    if (hr_heed_class(queue) < 0) {
        return NULL;
    }
    return queue->overrides & HR_CLASS_SETTLES ? settle_by_class(queue) : task_done_general(queue, NULL, 0, NULL);
}

/* _settle(raw): one taken item is done, whichever: here they are counted. By the method of the class, for a pool may
 * have put a guard before the object's. As long as it is not the last one, nobody waits for it. */
PyObject *
hr_settle(hr_queue *queue, PyObject *raw)
{
    (void)raw;
    PyObject *result;
    Py_BEGIN_CRITICAL_SECTION(queue);
    if (HR_LIKELY(queue->unfinished > 1 && !queue->opened && !(queue->overrides & HR_CLASS_SETTLES)
                  && !hr_class_changed(queue))) {
        queue->unfinished--;
        result = Py_NewRef(Py_None);
    }
    else {
        result = settle_general(queue);
    }
    Py_END_CRITICAL_SECTION();
    return result;
}

/* -- join ------------------------------------------------------------------------------------------- */

static PyObject *
still_unfinished(hr_queue *queue, PyObject *timeout)
{
    PyErr_Format(PyExc_TimeoutError, "join() waited %R seconds, and %zd put items are not settled yet", timeout,
                 queue->unfinished);
    return NULL;
}

static PyObject *
join(hr_queue *queue, PyObject *timeout, hr_turn *turn)
{
    int timed_out = 0;
    while (!queue->opened && queue->unfinished > 0) {
        if (turn->stop != NULL && PyList_GET_SIZE(turn->stop) > 0) {
            PyErr_SetNone(queue->state->stopped_error);
            return NULL;
        }
        if (timed_out) {
            return still_unfinished(queue, timeout);
        }
        timed_out = hr_wait(queue, &queue->gate.joiners, turn);
        if (timed_out < 0) {
            return NULL;
        }
    }
    if (!queue->opened) {
        Py_RETURN_NONE;
    }
    PyObject *remaining = hr_remaining(turn->deadline_ns);
    PyObject *arguments[] = {remaining, turn->stop};
    PyObject *result = remaining == NULL    ? NULL
                       : turn->stop == NULL ? hr_call_opened(queue, "join", arguments, 1, NULL)
                                            : hr_call_opened(queue, "_join", &arguments[1], 1, NULL);
    Py_XDECREF(remaining);
    return result;
}

static const char *const join_names[] = {"timeout"};
static const hr_signature join_signature = {"join", join_names, 0, 1, 1};

PyObject *
hr_join(hr_queue *queue, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    PyObject *timeout;
    hr_turn turn = HR_TURN(1);
    if (hr_unpack(&join_signature, arguments, count, keywords, &timeout) < 0
        || hr_parse_deadline(timeout, &turn.deadline_ns) < 0) {
        return NULL;
    }
    PyObject *result;
    Py_BEGIN_CRITICAL_SECTION(queue);
    result = join(queue, timeout, &turn);
    hr_turn_end(queue, &turn);
    Py_END_CRITICAL_SECTION();
    return result;
}

/* join() that ends, with an error, once there is something in the list `stop`: see hr_interrupt. */
PyObject *
hr_join_unless(hr_queue *queue, PyObject *stop)
{
    if (!PyList_Check(stop)) {
        PyErr_Format(PyExc_TypeError, "stop must be a list, not %R", stop);
        return NULL;
    }
    hr_turn turn = HR_TURN(1);
    turn.stop = stop;
    PyObject *result;
    Py_BEGIN_CRITICAL_SECTION(queue);
    result = join(queue, Py_None, &turn);
    hr_turn_end(queue, &turn);
    Py_END_CRITICAL_SECTION();
    return result;
}

/* -- dropping what waits ---------------------------------------------------------------------------- */

static int
drop_item(void *item, void *argument)
{
    (void)argument;
    Py_DECREF((PyObject *)item);
    return 0;
}

/* Let go of items that no queue holds any more. Their destructors may do anything. */
void
hr_drop_detached(hr_items *items, hr_heap *heap, Py_ssize_t count)
{
    if (heap->entries != NULL) {
        for (Py_ssize_t i = 0; i < count; i++) {
            Py_DECREF(heap->entries[i].key);
            Py_DECREF(heap->entries[i].item);
        }
        PyMem_Free(heap->entries);
    }
    else {
        hr_items_each(items, drop_item, NULL);
    }
    hr_items_free(items);
}

/* Drop the waiting items, each counted as done. Returns how many. The queue is empty and consistent
 * before the first destructor runs. */
static Py_ssize_t
drop_waiting(hr_queue *queue)
{
    hr_items items = queue->items;
    hr_heap heap = queue->heap;
    Py_ssize_t count = items.count;
    memset(&queue->items, 0, sizeof(queue->items));
    queue->heap.entries = NULL;
    queue->heap.capacity = 0;
    queue->heap.version++;
    queue->dropped_total += (unsigned long long)count;
    queue->unfinished = queue->unfinished > count ? queue->unfinished - count : 0;
    if (queue->unfinished == 0) {
        hr_all_settled(queue);
    }
    hr_changed(queue, false);
    hr_drop_detached(&items, &heap, count);
    return count;
}

/* Drop the items that wait for their time too: the book has them. Returns how many, or -1. */
static Py_ssize_t
drop_delayed(hr_queue *queue)
{
    if (queue->delayed == 0 || queue->book == NULL) {
        return 0;
    }
    PyObject *dropped = PyObject_CallMethod(queue->book, "drop_delayed", NULL);
    Py_ssize_t count = dropped == NULL ? -1 : PyLong_AsSsize_t(dropped);
    Py_XDECREF(dropped);
    return count;
}

static const char *const shutdown_names[] = {"immediate"};
static const hr_signature shutdown_signature = {"shutdown", shutdown_names, 0, 1, 1};

PyObject *
hr_shutdown(hr_queue *queue, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    PyObject *given;
    if (hr_unpack(&shutdown_signature, arguments, count, keywords, &given) < 0) {
        return NULL;
    }
    int immediate = given == NULL ? 0 : PyObject_IsTrue(given);
    if (immediate < 0) {
        return NULL;
    }
    PyObject *result;
    Py_BEGIN_CRITICAL_SECTION(queue);
    if (queue->opened) {
        result = hr_call_opened(queue, "shutdown", arguments, count, keywords);
    }
    else {
        queue->is_shutdown = 1;
        queue->drains |= (char)immediate;
        hr_reset_limit(queue);
        hr_wake_everybody(queue);
        if (immediate) {
            drop_waiting(queue);
        }
        result = immediate && drop_delayed(queue) < 0 ? NULL : Py_NewRef(Py_None);
    }
    Py_END_CRITICAL_SECTION();
    return result;
}

PyObject *
hr_clear(hr_queue *queue, PyObject *unused)
{
    (void)unused;
    PyObject *result;
    Py_BEGIN_CRITICAL_SECTION(queue);
    if (queue->opened) {
        result = hr_call_opened(queue, "clear", NULL, 0, NULL);
    }
    else {
        Py_ssize_t dropped = drop_waiting(queue);
        Py_ssize_t delayed = drop_delayed(queue);
        result = delayed < 0 ? NULL : PyLong_FromSsize_t(dropped + delayed);
    }
    Py_END_CRITICAL_SECTION();
    return result;
}
