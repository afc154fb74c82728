/* Items that were taken and come back: what leases, retries and pools of consumers are made of.
 *
 * Everything that can be said in Python is said there (leasing.py, book.py, one text for this core and for its twin);
 * what the methods mean to who calls them, in contract.py.
 * Here is what must happen at once: taking an item as it lies in the queue, putting it back, and waiting that ends when
 * somebody says so.
 *
 * An item that comes back lies in the queue in an *envelope* (envelope.py), which knows how often it was delivered.
 * Those who get items see none of it: they get what is in it.
 */
#include "core.h"

#define LEASING "headrace.backends.memory.leasing"

/* The class of envelopes, which is imported when the first one comes. NULL with an exception set. */
static PyTypeObject *
envelope_type(hr_queue *queue)
{
    if (queue->state->envelope_type == NULL) {
        PyObject *module = PyImport_ImportModule("headrace.backends.memory.envelope");
        PyObject *type = module == NULL ? NULL : PyObject_GetAttrString(module, "Envelope");
        Py_XDECREF(module);
        if (type == NULL) {
            return NULL;
        }
        Py_XSETREF(queue->state->envelope_type, (PyTypeObject *)type);
    }
    return queue->state->envelope_type;
}

/* The item in what was taken, if that is an envelope. Steals a reference and returns one. No Python code runs here. */
PyObject *
hr_open_envelope(hr_queue *queue, PyObject *envelope)
{
    if (Py_TYPE(envelope) != queue->state->envelope_type) {
        return envelope;
    }
    PyObject *item = PyObject_GetAttrString(envelope, "item");
    Py_DECREF(envelope);
    return item;
}

static int
set_attributes(PyObject *envelope, PyObject *item, PyObject *priority)
{
    PyObject *one = PyLong_FromLong(1);
    int failed = one == NULL || PyObject_SetAttrString(envelope, "item", item) < 0
              || PyObject_SetAttrString(envelope, "priority", priority) < 0
              || PyObject_SetAttrString(envelope, "attempt", one) < 0
              || PyObject_SetAttrString(envelope, "id", Py_None) < 0
              || PyObject_SetAttrString(envelope, "headers", Py_None) < 0
              || PyObject_SetAttrString(envelope, "first_failed", Py_None) < 0;
    Py_XDECREF(one);
    return failed ? -1 : 0;
}

/* An item that was put with a priority, in an envelope that remembers it. Steals both references. Made without
 * running Python code, in which an interrupt could lose the item. */
static PyObject *
with_priority(hr_queue *queue, PyObject *item, PyObject *priority)
{
    PyTypeObject *type = queue->state->envelope_type;
    if (Py_TYPE(item) == type) {
        Py_DECREF(priority); /* it has been here before, and remembers */
        return item;
    }
    PyObject *envelope = type->tp_alloc(type, 0);
    if (envelope != NULL && set_attributes(envelope, item, priority) < 0) {
        Py_CLEAR(envelope);
    }
    Py_DECREF(item);
    Py_DECREF(priority);
    return envelope;
}

/* -- taking ----------------------------------------------------------------------------------------- */

static PyObject *
take_opened(hr_queue *queue, hr_turn *turn)
{
    PyObject *remaining = hr_remaining(turn->deadline_ns);
    PyObject *arguments[] = {turn->stop == NULL ? Py_None : turn->stop, turn->block ? Py_True : Py_False, remaining};
    PyObject *result = remaining == NULL ? NULL : hr_call_opened(queue, "_take", arguments, 3, NULL);
    Py_XDECREF(remaining);
    return result;
}

static PyObject *
take_waiting(hr_queue *queue, hr_turn *turn)
{
    PyObject *item = NULL, *priority = NULL;
    hr_outcome outcome;
    do {
        outcome = hr_wait_for_item(queue, turn);
        if (outcome == HR_READY) {
            item = queue->kind == HR_PRIORITY ? hr_priority_take(queue, &priority) : hr_take(queue);
        }
    } while (outcome == HR_READY && item == NULL && !PyErr_Occurred());
    hr_turn_end(queue, turn);
    if (outcome == HR_OPENED) {
        return take_opened(queue, turn);
    }
    hr_changed(queue, false);
    return item == NULL || priority == NULL ? item : with_priority(queue, item, priority);
}

static const char *const take_names[] = {"stop", "block", "timeout", "hand"};
static const hr_signature take_signature = {"_take", take_names, 1, 4, 4};

/* Put what was taken into the list `hand` before any signal handler can run, and return None. Steals a reference. */
static PyObject *
into_hand(hr_queue *queue, PyObject *item, PyObject *hand)
{
    int failed = PyList_Append(hand, item);
    if (failed) {
        PyObject *error = hr_fetch_exception();
        PyObject *arguments[] = {item, Py_True};
        Py_XDECREF(hr_give_back(queue, arguments, 2));
        hr_restore_exception(error);
    }
    Py_DECREF(item);
    return failed ? NULL : Py_NewRef(Py_None);
}

static HR_NOINLINE PyObject *
take_general(hr_queue *queue, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    PyObject *given[4];
    hr_turn turn;
    if (hr_unpack(&take_signature, arguments, count, keywords, given) < 0 || hr_heed_class(queue) < 0
        || envelope_type(queue) == NULL || hr_parse_get_turn(queue, given[1], given[2], &turn) < 0) {
        return NULL;
    }
    if (given[0] != Py_None && !PyList_Check(given[0])) {
        PyErr_Format(PyExc_TypeError, "stop must be a list or None, not %R", given[0]);
        return NULL;
    }
    if (given[3] != NULL && !PyList_Check(given[3])) {
        PyErr_Format(PyExc_TypeError, "hand must be a list, not %R", given[3]);
        return NULL;
    }
    turn.stop = given[0] == Py_None ? NULL : given[0];
    PyObject *item = take_waiting(queue, &turn);
    return item == NULL || given[3] == NULL ? item : into_hand(queue, item, given[3]);
}

/* _take(stop, block, timeout, hand): get() that leaves envelopes closed. With a list `stop` it is for who works in a pool: it
 * raises TakingStopped as soon as there is something in the list (whoever puts it there calls _interrupt), and, once
 * the queue is shut down, ShutDown when every item is settled, not before. With a list `hand` the item is appended to
 * that and not returned: an interrupt on the way back cannot lose it. */
PyObject *
hr_take_raw(hr_queue *queue, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    PyObject *result;
    Py_BEGIN_CRITICAL_SECTION(queue);
    if (HR_LIKELY(count == 1 && keywords == NULL && queue->items.count > 0 && queue->kind == HR_FIFO
                  && !queue->gate.may_wake && PyList_CheckExact(arguments[0])
                  && PyList_GET_SIZE(arguments[0]) == 0 && !hr_class_changed(queue))) {
        result = hr_take(queue);
    }
    else {
        result = take_general(queue, arguments, count, keywords);
    }
    Py_END_CRITICAL_SECTION();
    return result;
}

/* -- putting back ------------------------------------------------------------------------------------ */

/* Put an item where items are taken from (`front`) or where they are put. Returns 0, or -1. */
static int
put_back(hr_queue *queue, PyObject *item, bool front)
{
    if (queue->kind == HR_FIFO && front) {
        if (hr_items_push_front(&queue->items, item) < 0) {
            PyErr_NoMemory();
            return -1;
        }
    }
    else {
        if (hr_items_reserve(&queue->items) < 0) {
            PyErr_NoMemory();
            return -1;
        }
        hr_items_push(&queue->items, item);
    }
    Py_INCREF(item);
    return 0;
}

/* The key of what comes back to a heap: the priority that it was put with, or the item. A new reference. */
static PyObject *
key_of(hr_queue *queue, PyObject *item)
{
    if (Py_TYPE(item) != queue->state->envelope_type) {
        return Py_NewRef(item);
    }
    PyObject *priority = PyObject_GetAttrString(item, "priority");
    if (priority != Py_None) {
        return priority;
    }
    Py_DECREF(priority);
    return PyObject_GetAttrString(item, "item");
}

/* What comes back to a queue that was shut down at once is dropped, as what waited in it was. */
static void
drop_returned(hr_queue *queue)
{
    queue->returned_total++;
    queue->dropped_total++;
    queue->unfinished -= queue->unfinished > 0;
    if (queue->unfinished == 0) {
        hr_all_settled(queue);
    }
    HR_CHECK(queue);
}

static int
give_back(hr_queue *queue, PyObject *item, bool front)
{
    int failed;
    if (queue->drains) {
        drop_returned(queue);
        return 0;
    }
    if (queue->kind == HR_PRIORITY) {
        PyObject *key = key_of(queue, item);
        failed = key == NULL || hr_priority_insert_again(queue, key, item, front) < 0;
        Py_XDECREF(key);
    }
    else {
        failed = put_back(queue, item, front) < 0;
    }
    if (failed) {
        return -1;
    }
    queue->enveloped |= Py_TYPE(item) == queue->state->envelope_type;
    queue->returned_total++;
    hr_changed(queue, true);
    return 0;
}

PyObject *
hr_give_back(hr_queue *queue, PyObject *const *arguments, Py_ssize_t count)
{
    if (count < 1 || count > 2) {
        PyErr_Format(PyExc_TypeError, "_give_back() takes 1 or 2 arguments, not %zd", count);
        return NULL;
    }
    int front = count == 2 ? PyObject_IsTrue(arguments[1]) : 0;
    if (front < 0 || envelope_type(queue) == NULL || hr_heed_class(queue) < 0) {
        return NULL;
    }
    PyObject *result;
    Py_BEGIN_CRITICAL_SECTION(queue);
    result = queue->opened                                ? hr_call_opened(queue, "_give_back", arguments, count, NULL)
             : give_back(queue, arguments[0], front) == 0 ? Py_NewRef(Py_None)
                                                          : NULL;
    Py_END_CRITICAL_SECTION();
    return result;
}

PyObject *
hr_expect_envelopes(hr_queue *queue, PyObject *unused)
{
    (void)unused;
    if (envelope_type(queue) == NULL) {
        return NULL;
    }
    queue->enveloped = 1;
    Py_RETURN_NONE;
}

/* -- items that come back later ----------------------------------------------------------------------- */

static void
count_delayed(hr_queue *queue, Py_ssize_t change, Py_ssize_t dropped)
{
    queue->delayed += change;
    if (dropped > 0) {
        queue->dropped_total += (unsigned long long)dropped;
        queue->returned_total += (unsigned long long)dropped;
        queue->unfinished = queue->unfinished > dropped ? queue->unfinished - dropped : 0;
        if (queue->unfinished == 0) {
            hr_all_settled(queue);
        }
    }
    if (queue->delayed == 0 && queue->is_shutdown) {
        hr_check_fork(queue);
        hr_gate_wake_all(&queue->gate, &queue->gate.getters); /* who waited for these alone is at the end */
    }
    HR_CHECK(queue);
}

/* _count_delayed(change, dropped): so many taken items more (or fewer) come back by themselves; so many never will. */
PyObject *
hr_count_delayed(hr_queue *queue, PyObject *const *arguments, Py_ssize_t count)
{
    Py_ssize_t change = count < 1 ? 0 : PyLong_AsSsize_t(arguments[0]);
    Py_ssize_t dropped = count < 2 ? 0 : PyLong_AsSsize_t(arguments[1]);
    if (PyErr_Occurred()) {
        return NULL;
    }
    PyObject *result;
    Py_BEGIN_CRITICAL_SECTION(queue);
    if (queue->opened) {
        result = hr_call_opened(queue, "_count_delayed", arguments, count, NULL);
    }
    else {
        count_delayed(queue, change, dropped);
        result = Py_NewRef(Py_None);
    }
    Py_END_CRITICAL_SECTION();
    return result;
}

/* Wake who waits for an item, or in join, to look at the lists that they were given. */
PyObject *
hr_interrupt(hr_queue *queue, PyObject *unused)
{
    (void)unused;
    PyObject *result;
    Py_BEGIN_CRITICAL_SECTION(queue);
    if (queue->opened) {
        result = hr_call_opened(queue, "_interrupt", NULL, 0, NULL);
    }
    else {
        hr_check_fork(queue);
        hr_gate_wake_all(&queue->gate, &queue->gate.getters);
        hr_gate_wake_all(&queue->gate, &queue->gate.joiners);
        HR_CHECK(queue);
        result = Py_NewRef(Py_None);
    }
    Py_END_CRITICAL_SECTION();
    return result;
}

/* -- what is said in Python ---------------------------------------------------------------------------- */

/* The names of a module: what its functions know too. A new reference, or NULL. */
static PyObject *
names_of(const char *module_name)
{
    PyObject *module = PyImport_ImportModule(module_name);
    PyObject *names = module == NULL ? NULL : PyObject_GetAttrString(module, "__dict__");
    Py_XDECREF(module);
    return names;
}

/* Call a function, of a module with these names, with this object as its first argument. Steals `names` (NULL: error). */
static PyObject *
call_with_queue(PyObject *queue, PyObject *names, const char *name, PyObject *const *arguments, Py_ssize_t count,
                PyObject *keywords)
{
    enum { MOST = 8 };
    PyObject *function = names == NULL ? NULL : PyMapping_GetItemString(names, name);
    PyObject *result = NULL;
    Py_XDECREF(names);
    Py_ssize_t total = count + (keywords == NULL ? 0 : PyTuple_GET_SIZE(keywords));
    if (function != NULL && total > MOST) {
        PyErr_Format(PyExc_TypeError, "%s() got too many arguments (%zd)", name, total);
    }
    else if (function != NULL) {
        PyObject *values[MOST + 1] = {queue};
        for (Py_ssize_t i = 0; i < total; i++) {
            values[i + 1] = arguments[i];
        }
        result = PyObject_Vectorcall(function, values, (size_t)count + 1, keywords);
    }
    Py_XDECREF(function);
    return result;
}

PyObject *
hr_call_python(hr_queue *queue, const char *module_name, const char *name, PyObject *const *arguments, Py_ssize_t count,
               PyObject *keywords)
{
    return call_with_queue((PyObject *)queue, names_of(module_name), name, arguments, count, keywords);
}

/* Call a function of leasing.py. Its names are kept: leases that are let go of give their items back while Python ends
 * too, when nothing can be imported and modules are cleared. */
static PyObject *
call_leasing(hr_queue *queue, const char *name, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    if (queue->state->leasing == NULL) {
        PyObject *names = names_of(LEASING);
        if (names == NULL) {
            return NULL;
        }
        Py_XSETREF(queue->state->leasing, names);
    }
    return call_with_queue((PyObject *)queue, Py_NewRef(queue->state->leasing), name, arguments, count, keywords);
}

PyObject *
hr_retry(hr_queue *queue, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    return call_leasing(queue, "retry", arguments, count, keywords);
}

PyObject *
hr_put_back(hr_queue *queue, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    return call_leasing(queue, "put_back_in_front", arguments, count, keywords);
}

PyObject *
hr_bury(hr_queue *queue, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    return call_leasing(queue, "bury", arguments, count, keywords);
}

PyObject *
hr_number(hr_queue *queue, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    return call_leasing(queue, "number_of", arguments, count, keywords);
}

PyObject *
hr_extend(hr_queue *queue, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    return call_leasing(queue, "extend", arguments, count, keywords);
}

PyObject *
hr_put_with_headers(hr_queue *queue, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    return call_leasing(queue, "put_with_headers", arguments, count, keywords);
}

PyObject *
hr_lease(hr_queue *queue, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    return call_leasing(queue, "lease", arguments, count, keywords);
}

PyObject *
hr_dead(PyObject *self, void *unused)
{
    (void)unused;
    return call_leasing(HR_QUEUE(self), "dead_letters_of", NULL, 0, NULL);
}

PyObject *
hr_repr_html(hr_queue *queue, PyObject *unused)
{
    (void)unused;
    return hr_call_python(queue, "headrace.backends.memory.html", "queue_html", NULL, 0, NULL);
}
