/* The priority queue's heap: see heap.h for how it stays whole while comparisons run Python code. */
#include "core.h"

/* What a comparison came to, besides true (1) and false (0). */
enum { COMPARE_ERROR = -1, COMPARE_CHANGED = -2 };

/* a < b, as long as the queue is at `version` afterwards. */
static int
key_less(hr_queue *queue, uint64_t version, PyObject *a, PyObject *b)
{
    if (PyFloat_CheckExact(a) && PyFloat_CheckExact(b)) {
        return PyFloat_AS_DOUBLE(a) < PyFloat_AS_DOUBLE(b);
    }
    Py_INCREF(a);
    Py_INCREF(b);
    int less;
    if (PyLong_CheckExact(a) && PyLong_CheckExact(b)) {
        PyObject *result = PyLong_Type.tp_richcompare(a, b, Py_LT);
        less = result == Py_True;
        Py_XDECREF(result);
    }
    else {
        less = PyObject_RichCompareBool(a, b, Py_LT);
    }
    Py_DECREF(a);
    Py_DECREF(b);
    if (less < 0) {
        return COMPARE_ERROR;
    }
    return queue->heap.version == version ? less : COMPARE_CHANGED;
}

/* Whether `a` goes out before `b`. One comparison: the older one does unless the younger's key is less. */
static int
goes_before(hr_queue *queue, uint64_t version, const hr_entry *a, const hr_entry *b)
{
    if (a->turn > b->turn) {
        return key_less(queue, version, a->key, b->key);
    }
    int less = key_less(queue, version, b->key, a->key);
    return less < 0 ? less : !less;
}

static int
reserve(hr_queue *queue, Py_ssize_t count)
{
    hr_heap *heap = &queue->heap;
    if (count <= heap->capacity) {
        return 0;
    }
    Py_ssize_t capacity = count + (count >> 2) + 16;
    hr_entry *entries = PyMem_Realloc(heap->entries, (size_t)capacity * sizeof(hr_entry));
    if (entries == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    heap->entries = entries;
    heap->capacity = capacity;
    return 0;
}

/* Where a new entry with `key` belongs, or COMPARE_ERROR or COMPARE_CHANGED. */
static Py_ssize_t
find_place(hr_queue *queue, uint64_t version, PyObject *key)
{
    Py_ssize_t place = queue->items.count;
    while (place > 0) {
        Py_ssize_t parent = (place - 1) >> 1;
        int less = key_less(queue, version, key, queue->heap.entries[parent].key);
        if (less < 0) {
            return less;
        }
        if (!less) {
            break;
        }
        place = parent;
    }
    return place;
}

/* Put (key, item) as soon as there is room. See hr_wait_for_room for what it returns. */
hr_outcome
hr_priority_insert(hr_queue *queue, PyObject *key, PyObject *item, hr_turn *turn)
{
    for (;;) {
        hr_outcome outcome = hr_wait_for_room(queue, turn);
        if (outcome != HR_READY) {
            return outcome;
        }
        Py_ssize_t count = queue->items.count;
        if (reserve(queue, count + 1) < 0) {
            return HR_ERROR;
        }
        Py_ssize_t place = find_place(queue, queue->heap.version, key);
        if (place == COMPARE_ERROR) {
            hr_changed(queue, false);
            return HR_ERROR;
        }
        if (place == COMPARE_CHANGED) {
            continue;
        }
        hr_entry *entries = queue->heap.entries;
        for (Py_ssize_t hole = count; hole > place; hole = (hole - 1) >> 1) {
            entries[hole] = entries[(hole - 1) >> 1];
        }
        entries[place] = (hr_entry){Py_NewRef(key), Py_NewRef(item), ++queue->heap.turns};
        queue->heap.version++;
        queue->items.count++;
        queue->unfinished++;
        hr_changed(queue, true);
        return HR_READY;
    }
}

/* The places that the hole at the top sinks through until the last entry fits; their number, or
 * COMPARE_ERROR or COMPARE_CHANGED. */
static int
find_path(hr_queue *queue, Py_ssize_t *path)
{
    uint64_t version = queue->heap.version;
    Py_ssize_t size = queue->items.count - 1;
    hr_entry last = queue->heap.entries[size];
    int length = 1;
    path[0] = 0;
    for (Py_ssize_t child; (child = 2 * path[length - 1] + 1) < size; path[length++] = child) {
        /* Read anew each time: a comparison may have let another thread enlarge the array. */
        hr_entry *entries = queue->heap.entries;
        int before = 0;
        if (child + 1 < size) {
            before = goes_before(queue, version, &entries[child + 1], &entries[child]);
            if (before < 0) {
                return before;
            }
        }
        child += before;
        int fits = goes_before(queue, version, &last, &queue->heap.entries[child]);
        if (fits < 0) {
            return fits;
        }
        if (fits) {
            break;
        }
    }
    return length;
}

static void
shrink(hr_queue *queue)
{
    hr_heap *heap = &queue->heap;
    if (heap->capacity > 1024 && queue->items.count < heap->capacity / 4) {
        Py_ssize_t capacity = heap->capacity / 2;
        hr_entry *entries = PyMem_Realloc(heap->entries, (size_t)capacity * sizeof(hr_entry));
        if (entries != NULL) {
            heap->entries = entries;
            heap->capacity = capacity;
        }
    }
}

/* Put back what was taken: whatever the bound, whether or not the queue is shut down, and without counting it
 * as another task. With `front` before its equals. */
int
hr_priority_insert_again(hr_queue *queue, PyObject *key, PyObject *item, bool front)
{
    Py_ssize_t place;
    do {
        if (reserve(queue, queue->items.count + 1) < 0) {
            return -1;
        }
        place = find_place(queue, queue->heap.version, key);
        if (place == COMPARE_ERROR) {
            return -1;
        }
    } while (place == COMPARE_CHANGED);
    hr_entry *entries = queue->heap.entries;
    for (Py_ssize_t hole = queue->items.count; hole > place; hole = (hole - 1) >> 1) {
        entries[hole] = entries[(hole - 1) >> 1];
    }
    /* The turn 0 is before all that are given, which begin at 1. */
    entries[place] = (hr_entry){Py_NewRef(key), Py_NewRef(item), front ? 0 : ++queue->heap.turns};
    queue->heap.version++;
    queue->items.count++;
    return 0;
}

/* Take the first entry's item, and its key into `*key` where that is another object and is asked for. NULL with an exception, or without one when the queue has changed. */
PyObject *
hr_priority_take(hr_queue *queue, PyObject **key)
{
    Py_ssize_t path[8 * sizeof(Py_ssize_t)];
    int length = find_path(queue, path);
    if (length < 0) {
        return NULL;
    }
    hr_entry *entries = queue->heap.entries;
    hr_entry first = entries[0];
    for (int i = 1; i < length; i++) {
        entries[path[i - 1]] = entries[path[i]];
    }
    entries[path[length - 1]] = entries[--queue->items.count];
    queue->heap.version++;
    queue->get_total++;
    shrink(queue);
    /* A key that is not the item may be the last of its kind, with a destructor: all is in order here,
     * except that the item in hand must survive it. */
    if (key != NULL && first.key != first.item) {
        *key = first.key;
    }
    else {
        Py_DECREF(first.key);
    }
    return first.item;
}

/* -- put with a priority ---------------------------------------------------------------------------- */

static const char *const names[] = {"item", "block", "timeout", "priority"};
static const hr_signature signature = {"put", names, 1, 4, 3};

static PyObject *
insert_or_open(hr_queue *queue, PyObject *item, PyObject *priority, hr_turn *turn)
{
    PyObject *key = priority == NULL || priority == Py_None ? item : priority;
    if (queue->kind != HR_PRIORITY) { /* class X(LifoQueue, PriorityQueue): the order is that of the first base */
        if (key != item) {
            PyErr_SetString(PyExc_TypeError, "this queue's order is not that of PriorityQueue: it takes no priority");
            return NULL;
        }
        return hr_put_waiting(queue, item, turn);
    }
    hr_outcome outcome = hr_priority_insert(queue, key, item, turn);
    hr_turn_end(queue, turn);
    if (outcome == HR_READY) {
        Py_RETURN_NONE;
    }
    if (outcome == HR_ERROR) {
        return NULL;
    }
    PyObject *remaining = hr_remaining(turn->deadline_ns);
    PyObject *keywords = remaining == NULL ? NULL : Py_BuildValue("(s)", "priority");
    PyObject *arguments[] = {item, turn->block ? Py_True : Py_False, remaining,
                             priority == NULL ? Py_None : priority};
    PyObject *result = keywords == NULL ? NULL : hr_call_opened(queue, "put", arguments, 3, keywords);
    Py_XDECREF(keywords);
    Py_XDECREF(remaining);
    return result;
}

PyObject *
hr_priority_put(hr_queue *queue, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    PyObject *given[4];
    if (hr_unpack(&signature, arguments, count, keywords, given) < 0 || hr_heed_class(queue) < 0) {
        return NULL;
    }
    hr_turn turn;
    if (hr_parse_put_turn(queue, given[1], given[2], &turn) < 0) {
        return NULL;
    }
    PyObject *result;
    Py_BEGIN_CRITICAL_SECTION(queue);
    result = insert_or_open(queue, given[0], given[3], &turn);
    Py_END_CRITICAL_SECTION();
    return result;
}

static const char *const nowait_names[] = {"item", "priority"};
static const hr_signature nowait_signature = {"put_nowait", nowait_names, 1, 2, 1};

PyObject *
hr_priority_put_nowait(hr_queue *queue, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    PyObject *given[2];
    if (hr_unpack(&nowait_signature, arguments, count, keywords, given) < 0 || hr_heed_class(queue) < 0) {
        return NULL;
    }
    if (queue->overrides & HR_OVERRIDES_PUT) {
        PyObject *values[] = {given[0], Py_False, given[1]};
        return hr_call_named(queue, "put", values, 1,
                             given[1] == NULL ? Py_BuildValue("(s)", "block")
                                              : Py_BuildValue("(ss)", "block", "priority"));
    }
    PyObject *result;
    Py_BEGIN_CRITICAL_SECTION(queue);
    hr_turn turn = HR_TURN(0);
    result = insert_or_open(queue, given[0], given[1], &turn);
    Py_END_CRITICAL_SECTION();
    return result;
}
