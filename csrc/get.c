/* get, get_nowait, get_many. */
#include "core.h"

/* Return HR_READY with an item there, HR_OPENED when Python code must go on, or HR_ERROR with Empty,
 * ShutDown or a signal handler's exception set. */
hr_outcome
hr_wait_for_item(hr_queue *queue, hr_turn *turn)
{
    int timed_out = 0;
    for (;;) {
        if (queue->opened) {
            return HR_OPENED;
        }
        if (turn->stop != NULL && PyList_GET_SIZE(turn->stop) > 0) {
            PyErr_SetNone(queue->state->stopped_error);
            return HR_ERROR;
        }
        if (queue->items.count > 0) {
            return HR_READY;
        }
        /* Who works in a pool (stop) stays while anything may come back: what others hold may fail, and be retried. */
        if (queue->is_shutdown && queue->delayed == 0 && (turn->stop == NULL || queue->unfinished == 0)) {
            PyErr_SetNone(queue->state->shutdown_error);
            return HR_ERROR;
        }
        if (!turn->block || timed_out) {
            PyErr_SetNone(queue->state->empty_error);
            return HR_ERROR;
        }
        timed_out = hr_wait(queue, &queue->gate.getters, turn);
        if (timed_out < 0) {
            return HR_ERROR;
        }
    }
}

/* Wait for an item and take it. `*outcome` is HR_READY with an item, else why there is none. */
static PyObject *
wait_and_take(hr_queue *queue, hr_turn *turn, hr_outcome *outcome)
{
    for (;;) {
        *outcome = hr_wait_for_item(queue, turn);
        if (*outcome != HR_READY) {
            return NULL;
        }
        PyObject *item = hr_take_bare(queue);
        if (item == NULL && PyErr_Occurred()) {
            *outcome = HR_ERROR;
            hr_changed(queue, false);
            return NULL;
        }
        if (item != NULL) {
            return item;
        }
    }
}

/* Let the Python code of an opened queue get, in what time is left. */
static PyObject *
get_opened(hr_queue *queue, hr_turn *turn)
{
    PyObject *remaining = hr_remaining(turn->deadline_ns);
    if (remaining == NULL) {
        return NULL;
    }
    PyObject *arguments[] = {turn->block ? Py_True : Py_False, remaining};
    PyObject *result = hr_call_opened(queue, "get", arguments, 2, NULL);
    Py_DECREF(remaining);
    return result;
}

PyObject *
hr_get_waiting(hr_queue *queue, hr_turn *turn)
{
    hr_outcome outcome;
    PyObject *item = wait_and_take(queue, turn, &outcome);
    hr_turn_end(queue, turn);
    if (outcome == HR_OPENED) {
        return get_opened(queue, turn);
    }
    if (item != NULL) {
        hr_changed(queue, false);
    }
    return item;
}

/* As in the standard library, a get that must raise ShutDown does not look at its timeout. */
int
hr_parse_get_turn(hr_queue *queue, PyObject *block, PyObject *timeout, hr_turn *turn)
{
    *turn = HR_TURN(hr_parse_block(block));
    if (turn->block <= 0 || (queue->is_shutdown && queue->items.count == 0 && queue->delayed == 0)) {
        return turn->block < 0 ? -1 : 0;
    }
    return hr_parse_deadline(timeout, &turn->deadline_ns);
}

static PyObject *
get_general(hr_queue *queue, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    PyObject *given[2];
    if (hr_unpack(&hr_get_signature, arguments, count, keywords, given) < 0) {
        return NULL;
    }
    if (queue->opened) {
        return hr_call_opened(queue, "get", arguments, count, keywords);
    }
    hr_turn turn;
    if (hr_parse_get_turn(queue, given[0], given[1], &turn) < 0) {
        return NULL;
    }
    return hr_get_waiting(queue, &turn);
}

/* What is not the fast path, in order of frequency. */
static HR_NOINLINE PyObject *
get_otherwise(hr_queue *queue, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    PyObject *item = NULL;
    if (hr_heed_class(queue) < 0) {
        return NULL;
    }
    if (count == 0 && keywords == NULL && queue->items.count > 0) {
        item = hr_take_bare(queue);
    }
    if (item != NULL) {
        hr_changed(queue, false);
        return item;
    }
    return PyErr_Occurred() ? NULL : get_general(queue, arguments, count, keywords);
}

PyObject *
hr_get(hr_queue *queue, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    PyObject *result;
    Py_BEGIN_CRITICAL_SECTION(queue);
    /* No call in here but the rare one at a block's end, so that no register needs saving. */
    if (HR_LIKELY(count == 0 && keywords == NULL && queue->items.count > 0 && queue->kind == HR_FIFO
                  && !queue->gate.may_wake && !queue->enveloped && !hr_class_changed(queue))) {
        result = hr_items_take_first(&queue->items);
        queue->get_total++;
    }
    else {
        result = get_otherwise(queue, arguments, count, keywords);
    }
    Py_END_CRITICAL_SECTION();
    return result;
}

PyObject *
hr_get_nowait(hr_queue *queue, PyObject *unused)
{
    (void)unused;
    if (hr_heed_class(queue) < 0) {
        return NULL;
    }
    if (queue->overrides & HR_OVERRIDES_GET) {
        PyObject *values[] = {Py_False};
        return hr_call_named(queue, "get", values, 0, Py_BuildValue("(s)", "block"));
    }
    PyObject *result;
    Py_BEGIN_CRITICAL_SECTION(queue);
    hr_turn turn = HR_TURN(0);
    result = hr_get_waiting(queue, &turn);
    Py_END_CRITICAL_SECTION();
    return result;
}

/* -- get_many -------------------------------------------------------------------------------------- */

/* Append what is there to `list` until it has `most` items. An error after the first item ends it, without
 * the error: what is in hand must not be lost, and the next get will meet it. */
static int
take_more(hr_queue *queue, PyObject *list, Py_ssize_t most)
{
    while (PyList_GET_SIZE(list) < most && queue->items.count > 0) {
        PyObject *item = hr_take_bare(queue);
        if (item == NULL) {
            if (PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
                PyErr_SetInterrupt(); /* Ctrl-C in a comparison: it comes again as soon as the list is returned */
            }
            PyErr_Clear();
            break;
        }
        if (PyList_Append(list, item) < 0) {
            Py_DECREF(item);
            return -1;
        }
        Py_DECREF(item);
    }
    return 0;
}

/* Take all of the list's slots from a FIFO queue that has that many items. */
static void
fill_list(hr_queue *queue, PyObject *list)
{
    Py_ssize_t count = PyList_GET_SIZE(list);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyList_SET_ITEM(list, i, hr_items_take_first(&queue->items));
    }
    queue->get_total += (unsigned long long)count;
}

/* The fast way: a FIFO queue that has items. NULL without an exception when it does not apply. */
static PyObject *
get_run(hr_queue *queue, Py_ssize_t most)
{
    while (queue->kind == HR_FIFO && queue->items.count > 0 && !queue->enveloped) {
        Py_ssize_t count = queue->items.count < most ? queue->items.count : most;
        /* Making a list may run the garbage collector, and that any code: make it, then look again. */
        PyObject *list = PyList_New(count);
        if (list == NULL || count <= queue->items.count) {
            if (list != NULL) {
                fill_list(queue, list);
                hr_changed(queue, false);
            }
            return list;
        }
        Py_DECREF(list);
    }
    return NULL;
}

static PyObject *
get_many_waiting(hr_queue *queue, Py_ssize_t most, hr_turn *turn)
{
    PyObject *list = get_run(queue, most);
    if (list != NULL || PyErr_Occurred()) {
        return list;
    }
    list = PyList_New(0);
    if (list == NULL) {
        return NULL;
    }
    hr_outcome outcome;
    PyObject *item = wait_and_take(queue, turn, &outcome);
    hr_turn_end(queue, turn);
    if (outcome == HR_OPENED) {
        Py_DECREF(list);
        PyObject *remaining = hr_remaining(turn->deadline_ns);
        PyObject *size = remaining == NULL ? NULL : PyLong_FromSsize_t(most);
        PyObject *arguments[] = {size, turn->block ? Py_True : Py_False, remaining};
        list = size == NULL ? NULL : hr_call_opened(queue, "get_many", arguments, 3, NULL);
        Py_XDECREF(size);
        Py_XDECREF(remaining);
        return list;
    }
    if (item == NULL || PyList_Append(list, item) < 0 || take_more(queue, list, most) < 0) {
        Py_CLEAR(list);
    }
    Py_XDECREF(item);
    hr_changed(queue, false);
    return list;
}

static const char *const get_many_names[] = {"max_items", "block", "timeout"};
static const hr_signature get_many_signature = {"get_many", get_many_names, 1, 3, 3};

PyObject *
hr_get_many(hr_queue *queue, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    PyObject *given[3];
    if (hr_unpack(&get_many_signature, arguments, count, keywords, given) < 0 || hr_heed_class(queue) < 0) {
        return NULL;
    }
    Py_ssize_t most = PyNumber_AsSsize_t(given[0], NULL);
    if (most == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (most < 1) {
        PyErr_Format(PyExc_ValueError, "'max_items' must be at least 1, not %R", given[0]);
        return NULL;
    }
    hr_turn turn;
    if (hr_parse_get_turn(queue, given[1], given[2], &turn) < 0) {
        return NULL;
    }
    PyObject *result;
    Py_BEGIN_CRITICAL_SECTION(queue);
    result = get_many_waiting(queue, most, &turn);
    Py_END_CRITICAL_SECTION();
    return result;
}
