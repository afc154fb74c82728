/* put, put_nowait, put_many. */
#include "core.h"

/* Add an item; there must be room. Steals no reference. Returns 0, or -1 without memory. */
static inline int
push(hr_queue *queue, PyObject *item)
{
    if (!HR_LIKELY(hr_items_reserve(&queue->items) == 0)) {
        PyErr_NoMemory();
        return -1;
    }
    hr_items_push(&queue->items, Py_NewRef(item));
    queue->unfinished++;
    hr_changed(queue, true);
    return 0;
}

/* Return HR_READY with room for an item, HR_OPENED when Python code must go on, or HR_ERROR with Full,
 * ShutDown or a signal handler's exception set. */
hr_outcome
hr_wait_for_room(hr_queue *queue, hr_turn *turn)
{
    int timed_out = 0;
    for (;;) {
        if (queue->opened) {
            return HR_OPENED;
        }
        if (queue->is_shutdown) {
            PyErr_SetNone(queue->state->shutdown_error);
            return HR_ERROR;
        }
        if (queue->items.count < queue->limit) {
            return HR_READY;
        }
        if (!turn->block || timed_out) {
            PyErr_SetNone(queue->state->full_error);
            return HR_ERROR;
        }
        timed_out = hr_wait(queue, &queue->gate.putters, turn);
        if (timed_out < 0) {
            return HR_ERROR;
        }
    }
}

/* Let the Python code of an opened queue put the item, in what time is left. */
static PyObject *
put_opened(hr_queue *queue, PyObject *item, hr_turn *turn)
{
    PyObject *remaining = hr_remaining(turn->deadline_ns);
    if (remaining == NULL) {
        return NULL;
    }
    PyObject *arguments[] = {item, turn->block ? Py_True : Py_False, remaining};
    PyObject *result = hr_call_opened(queue, "put", arguments, 3, NULL);
    Py_DECREF(remaining);
    return result;
}

/* Put one item, whatever the queue's kind. */
static hr_outcome
put_one(hr_queue *queue, PyObject *item, hr_turn *turn)
{
    if (queue->kind == HR_PRIORITY) {
        return hr_priority_insert(queue, item, item, turn);
    }
    hr_outcome outcome = hr_wait_for_room(queue, turn);
    return outcome == HR_READY && push(queue, item) < 0 ? HR_ERROR : outcome;
}

PyObject *
hr_put_waiting(hr_queue *queue, PyObject *item, hr_turn *turn)
{
    hr_outcome outcome = put_one(queue, item, turn);
    hr_turn_end(queue, turn);
    if (outcome == HR_OPENED) {
        return put_opened(queue, item, turn);
    }
    return outcome == HR_READY ? Py_NewRef(Py_None) : NULL;
}

/* As in the standard library, a queue without a bound does not look at the timeout, nor does a put that must
 * raise ShutDown. */
int
hr_parse_put_turn(hr_queue *queue, PyObject *block, PyObject *timeout, hr_turn *turn)
{
    *turn = HR_TURN(hr_parse_block(block));
    if (turn->block <= 0 || queue->bound == HR_UNBOUNDED || queue->is_shutdown) {
        return turn->block < 0 ? -1 : 0;
    }
    return hr_parse_deadline(timeout, &turn->deadline_ns);
}

static HR_NOINLINE PyObject *
put_general(hr_queue *queue, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    PyObject *given[3];
    if (hr_unpack(&hr_put_signature, arguments, count, keywords, given) < 0 || hr_heed_class(queue) < 0) {
        return NULL;
    }
    if (queue->opened) {
        return hr_call_opened(queue, "put", arguments, count, keywords);
    }
    hr_turn turn;
    if (hr_parse_put_turn(queue, given[1], given[2], &turn) < 0) {
        return NULL;
    }
    return hr_put_waiting(queue, given[0], &turn);
}

/* The fast path again, where the last block is full. */
static HR_NOINLINE PyObject *
put_into_new_block(hr_queue *queue, PyObject *item)
{
    if (queue->kind == HR_PRIORITY) { /* Queue.put(priority_queue, item): a heap has no blocks at all */
        hr_turn turn = HR_TURN(1);
        return hr_put_waiting(queue, item, &turn);
    }
    return push(queue, item) < 0 ? NULL : Py_NewRef(Py_None);
}

PyObject *
hr_put(hr_queue *queue, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    PyObject *result;
    Py_BEGIN_CRITICAL_SECTION(queue);
    if (!HR_LIKELY(count == 1 && keywords == NULL && queue->items.count < queue->limit
                   && !hr_class_changed(queue))) {
        result = put_general(queue, arguments, count, keywords);
    }
    else if (!HR_LIKELY(queue->items.tail != queue->items.tail_end)) {
        result = put_into_new_block(queue, arguments[0]);
    }
    else {
        hr_items_push(&queue->items, Py_NewRef(arguments[0]));
        queue->unfinished++;
        hr_changed(queue, true);
        result = Py_NewRef(Py_None);
    }
    Py_END_CRITICAL_SECTION();
    return result;
}

static const char *const put_nowait_names[] = {"item"};
static const hr_signature put_nowait_signature = {"put_nowait", put_nowait_names, 1, 1, 1};

PyObject *
hr_put_nowait(hr_queue *queue, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    PyObject *item;
    if (hr_unpack(&put_nowait_signature, arguments, count, keywords, &item) < 0
        || hr_heed_class(queue) < 0) {
        return NULL;
    }
    if (queue->overrides & HR_OVERRIDES_PUT) {
        PyObject *values[] = {item, Py_False};
        return hr_call_named(queue, "put", values, 1, Py_BuildValue("(s)", "block"));
    }
    PyObject *result;
    Py_BEGIN_CRITICAL_SECTION(queue);
    hr_turn turn = HR_TURN(0);
    result = hr_put_waiting(queue, item, &turn);
    Py_END_CRITICAL_SECTION();
    return result;
}

/* -- put_many -------------------------------------------------------------------------------------- */

/* Put a run of items into room that is there, with one look at the waiters. Returns how many. */
static Py_ssize_t
push_run(hr_queue *queue, PyObject *const *items, Py_ssize_t count)
{
    hr_items *store = &queue->items;
    Py_ssize_t room = queue->limit - store->count;
    Py_ssize_t slots = store->tail_end - store->tail;
    count = count < room ? count : room;
    count = count < slots ? count : slots;
    for (Py_ssize_t i = 0; i < count; i++) {
        store->tail[i] = Py_NewRef(items[i]);
    }
    store->tail += count;
    store->count += count;
    queue->unfinished += count;
    return count;
}

/* Put all of a list or tuple. It may change while we sleep: its size is read anew each time. */
static hr_outcome
put_sequence(hr_queue *queue, PyObject *sequence, hr_turn *turn, Py_ssize_t *done)
{
    hr_outcome outcome = HR_READY;
    while (outcome == HR_READY && *done < PySequence_Fast_GET_SIZE(sequence)) {
        PyObject **items = PySequence_Fast_ITEMS(sequence) + *done;
        if (queue->kind != HR_PRIORITY && queue->items.count < queue->limit
            && queue->items.tail != queue->items.tail_end) {
            *done += push_run(queue, items, PySequence_Fast_GET_SIZE(sequence) - *done);
            hr_changed(queue, true);
            continue;
        }
        PyObject *item = Py_NewRef(*items);
        outcome = put_one(queue, item, turn);
        Py_DECREF(item);
        *done += outcome == HR_READY;
    }
    return outcome;
}

/* Put what an iterator yields, each item as it comes. `*pending` is what was drawn and did not go in. */
static hr_outcome
put_iterator(hr_queue *queue, PyObject *iterator, hr_turn *turn, Py_ssize_t *done, PyObject **pending)
{
    PyObject *item;
    while ((item = PyIter_Next(iterator)) != NULL) {
        hr_outcome outcome = put_one(queue, item, turn);
        if (outcome != HR_READY) {
            *pending = item;
            return outcome;
        }
        Py_DECREF(item);
        /* An iterator in C may never end and look for no signal. */
        if (++*done % 1024 == 0 && PyErr_CheckSignals() < 0) {
            break;
        }
    }
    turn->foreign_error = PyErr_Occurred() != NULL;
    return turn->foreign_error ? HR_ERROR : HR_READY;
}

/* Let the Python code of a queue that was opened meanwhile put the rest. */
static hr_outcome
put_rest_opened(hr_queue *queue, PyObject *rest, hr_turn *turn, Py_ssize_t *done, PyObject **pending)
{
    if (*pending != NULL) {
        PyObject *put = put_opened(queue, *pending, turn);
        if (put == NULL) {
            return HR_ERROR;
        }
        Py_DECREF(put);
        Py_CLEAR(*pending);
        ++*done;
    }
    PyObject *remaining = hr_remaining(turn->deadline_ns);
    if (remaining == NULL) {
        return HR_ERROR;
    }
    PyObject *arguments[] = {rest, turn->block ? Py_True : Py_False, remaining};
    PyObject *result = hr_call_opened(queue, "put_many", arguments, 3, NULL);
    Py_DECREF(remaining);
    Py_XDECREF(result);
    return result == NULL ? HR_ERROR : HR_READY;
}

/* Note on the Full or ShutDown that is set how far the call came, in all. */
static void
annotate(hr_queue *queue, Py_ssize_t done, PyObject *pending)
{
    if (!PyErr_ExceptionMatches(queue->state->full_error)
        && !PyErr_ExceptionMatches(queue->state->shutdown_error)) {
        return;
    }
    PyObject *value = hr_fetch_exception();
    PyObject *before = PyObject_GetAttrString(value, "put_count");
    PyObject *count = before == NULL ? NULL : PyLong_FromSsize_t(done + PyLong_AsSsize_t(before));
    PyObject *drawn = pending == NULL ? NULL : PyTuple_Pack(1, pending);
    if (count == NULL || PyObject_SetAttrString(value, "put_count", count) < 0
        || (drawn != NULL && PyObject_SetAttrString(value, "pending", drawn) < 0)) {
        PyErr_Clear();
    }
    Py_XDECREF(before);
    Py_XDECREF(count);
    Py_XDECREF(drawn);
    hr_restore_exception(value);
}

static hr_outcome
put_all(hr_queue *queue, PyObject *items, hr_turn *turn, Py_ssize_t *done, PyObject **pending)
{
    hr_outcome outcome;
    PyObject *rest;
    if (PyList_Check(items) || PyTuple_Check(items)) {
        outcome = put_sequence(queue, items, turn, done);
        rest = outcome == HR_OPENED ? PySequence_GetSlice(items, *done, PY_SSIZE_T_MAX) : NULL;
    }
    else {
        rest = PyObject_GetIter(items);
        outcome = rest == NULL ? HR_ERROR : put_iterator(queue, rest, turn, done, pending);
    }
    hr_turn_end(queue, turn);
    if (outcome == HR_OPENED) {
        outcome = rest == NULL ? HR_ERROR : put_rest_opened(queue, rest, turn, done, pending);
    }
    Py_XDECREF(rest);
    return outcome;
}

static const char *const put_many_names[] = {"items", "block", "timeout"};
static const hr_signature put_many_signature = {"put_many", put_many_names, 1, 3, 3};

PyObject *
hr_put_many(hr_queue *queue, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    PyObject *given[3];
    hr_turn turn = HR_TURN(1);
    if (hr_unpack(&put_many_signature, arguments, count, keywords, given) < 0
        || hr_heed_class(queue) < 0
        || (turn.block = hr_parse_block(given[1])) < 0
        || (turn.block && hr_parse_deadline(given[2], &turn.deadline_ns) < 0)) {
        return NULL;
    }
#ifdef Py_GIL_DISABLED
    /* Another thread may resize a list while we read it: go by a copy. */
    PyObject *items = PyList_Check(given[0]) ? PySequence_Tuple(given[0]) : Py_NewRef(given[0]);
    if (items == NULL) {
        return NULL;
    }
#else
    PyObject *items = Py_NewRef(given[0]);
#endif
    Py_ssize_t done = 0;
    PyObject *pending = NULL;
    hr_outcome outcome;
    Py_BEGIN_CRITICAL_SECTION(queue);
    outcome = put_all(queue, items, &turn, &done, &pending);
    Py_END_CRITICAL_SECTION();
    Py_DECREF(items);
    if (outcome == HR_ERROR && !turn.foreign_error) {
        annotate(queue, done, pending);
    }
    Py_XDECREF(pending);
    return outcome == HR_READY ? Py_NewRef(Py_None) : NULL;
}
