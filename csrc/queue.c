/* The types: making, visiting and freeing a queue, and the tables of their methods. */
#include "core.h"

#include <stddef.h>
#include <structmember.h>

/* What put compares the count with: no room is left for anybody once the queue is shut down or opened, so
 * that one comparison sends every special case out of the fast path. */
void
hr_reset_limit(hr_queue *queue)
{
    queue->limit = queue->is_shutdown || queue->opened ? 0 : queue->bound;
    queue->heap.version++;
}

/* The order that a class has: that of the first of our classes among its bases. */
hr_kind
hr_kind_of(hr_state *state, PyTypeObject *type)
{
    PyObject *bases = type->tp_mro;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(bases); i++) {
        PyTypeObject *base = (PyTypeObject *)PyTuple_GET_ITEM(bases, i);
        if (base == state->lifo_type || base == state->priority_type) {
            return base == state->lifo_type ? HR_LIFO : HR_PRIORITY;
        }
    }
    return HR_FIFO;
}

/* -- life ------------------------------------------------------------------------------------------- */

static PyObject *
queue_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    (void)arguments;
    (void)keywords;
    PyObject *module = PyType_GetModuleByDef(type, &hr_module);
    PyObject *zero = module == NULL ? NULL : PyLong_FromLong(0);
    hr_queue *queue = zero == NULL ? NULL : HR_QUEUE(type->tp_alloc(type, 0));
    if (queue == NULL) {
        Py_XDECREF(zero);
        return NULL;
    }
    hr_state *state = PyModule_GetState(module);
    queue->state = state;
    queue->process = hr_process();
    queue->kind = hr_kind_of(state, type);
    queue->maxsize = zero;
    queue->bound = queue->limit = HR_UNBOUNDED;
    return (PyObject *)queue;
}

/* Run the class's own _init, which makes its container: the queue has been opened. */
static int
init_hooks(hr_queue *queue, PyObject *maxsize)
{
    Py_CLEAR(queue->container);
    PyObject *result = PyObject_CallMethod((PyObject *)queue, "_init", "(O)", maxsize);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* An object that is initialized a second time starts anew, as in the standard library. */
static void
start_anew(hr_queue *queue)
{
    PyObject *dropped = hr_clear(queue, NULL);
    Py_XDECREF(dropped);
    PyErr_Clear();
    queue->unfinished = 0;
    queue->is_shutdown = 0;
    queue->drains = 0;
    hr_reset_limit(queue);
    hr_wake_everybody(queue);
}

static int
queue_init(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"maxsize", NULL};
    hr_queue *queue = HR_QUEUE(self);
    PyObject *maxsize = NULL;
    Py_ssize_t bound = HR_UNBOUNDED;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|O:Queue", names, &maxsize)
        || (maxsize != NULL && hr_parse_bound(maxsize, &bound) < 0)) {
        return -1;
    }
    if (queue->items.count > 0 || queue->unfinished > 0 || queue->is_shutdown) {
        start_anew(queue);
    }
    maxsize = maxsize == NULL ? PyLong_FromLong(0) : Py_NewRef(maxsize);
    if (maxsize == NULL) {
        return -1;
    }
    hr_set_bound(queue, maxsize, bound);
    if (hr_look_at_class(queue) < 0) {
        return -1;
    }
    return queue->overrides & HR_OVERRIDES_HOOK ? init_hooks(queue, queue->maxsize) : 0;
}

static int
visit_item(void *item, void *argument)
{
    void **both = argument;
    return ((visitproc)both[0])((PyObject *)item, both[1]);
}

static int
queue_traverse(PyObject *self, visitproc visit, void *arg)
{
    hr_queue *queue = HR_QUEUE(self);
    void *both[2] = {(void *)visit, arg};
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(queue->dict);
    Py_VISIT(queue->maxsize);
    Py_VISIT(queue->book);
    Py_VISIT(queue->mutex);
    Py_VISIT(queue->not_empty);
    Py_VISIT(queue->not_full);
    Py_VISIT(queue->all_tasks_done);
    Py_VISIT(queue->container);
    for (Py_ssize_t i = 0; queue->heap.entries != NULL && i < queue->items.count; i++) {
        Py_VISIT(queue->heap.entries[i].key);
        Py_VISIT(queue->heap.entries[i].item);
    }
    return hr_items_each(&queue->items, visit_item, both);
}

static void
let_items_go(hr_queue *queue)
{
    hr_items items = queue->items;
    hr_heap heap = queue->heap;
    memset(&queue->items, 0, sizeof(queue->items));
    memset(&queue->heap, 0, sizeof(queue->heap));
    queue->heap.version = heap.version + 1;
    hr_drop_detached(&items, &heap, items.count);
}

/* Break cycles. What is left of a closed queue is a working, empty one: finalizers may still use it. */
static int
queue_clear(PyObject *self)
{
    hr_queue *queue = HR_QUEUE(self);
    PyObject *maxsize = queue->maxsize;
    queue->maxsize = PyLong_FromLong(0); /* a small one, which is there already */
    Py_XDECREF(maxsize);
    let_items_go(queue);
    Py_CLEAR(queue->book);
    Py_CLEAR(queue->container);
    Py_CLEAR(queue->dict);
    Py_CLEAR(queue->mutex);
    Py_CLEAR(queue->not_empty);
    Py_CLEAR(queue->not_full);
    Py_CLEAR(queue->all_tasks_done);
    return 0;
}

static void
queue_dealloc(PyObject *self)
{
    hr_queue *queue = HR_QUEUE(self);
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    /* A queue in a queue in a queue: the trashcan keeps that from using up the stack. */
    Py_TRASHCAN_BEGIN(self, queue_dealloc);
    if (queue->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    queue_clear(self);
    Py_CLEAR(queue->maxsize);
    type->tp_free(self);
    Py_DECREF(type);
    Py_TRASHCAN_END;
}

/* -- tables ----------------------------------------------------------------------------------------- */

#define FASTCALL(name, function, text) \
    {name, (PyCFunction)(void (*)(void))(function), METH_FASTCALL | METH_KEYWORDS, PyDoc_STR(text)}
#define NOARGS(name, function, text) {name, (PyCFunction)(void (*)(void))(function), METH_NOARGS, PyDoc_STR(text)}
#define ONEARG(name, function, text) {name, (PyCFunction)(void (*)(void))(function), METH_O, PyDoc_STR(text)}
#define GENERIC_ALIAS \
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, PyDoc_STR("Queue[int], for annotations.")}
#define NO_PICKLING \
    {"__reduce__", hr_refuse_pickling, METH_NOARGS, PyDoc_STR("Refuse: a queue lives in one process.")}
#define MEMBERS(type) \
    static PyMemberDef type##_members[] = { \
        {"__dictoffset__", T_PYSSIZET, offsetof(hr_queue, dict), READONLY, NULL}, \
        {"__weaklistoffset__", T_PYSSIZET, offsetof(hr_queue, weakrefs), READONLY, NULL}, \
        {NULL, 0, 0, 0, NULL}, \
    }

static PyMethodDef queue_methods[] = {
    FASTCALL("put", hr_put,
             "put($self, /, item, block=True, timeout=None)\n--\n\n"
             "Put item into the queue, waiting for room.\n\n"
             "Without block, Full is raised at once when there is no room; else after timeout\n"
             "seconds (None: never). ShutDown is raised once the queue is shut down."),
    FASTCALL("put_nowait", hr_put_nowait,
             "put_nowait($self, /, item)\n--\n\n"
             "Put item if there is room now, else raise Full. Never blocks."),
    FASTCALL("put_many", hr_put_many,
             "put_many($self, /, items, block=True, timeout=None)\n--\n\n"
             "Put all items in order, each as soon as there is room for it.\n\n"
             "timeout bounds the whole call, in seconds. Full and ShutDown say in put_count how many\n"
             "items went in, and in pending what was drawn from an iterator and did not.\n"
             "Items of other producers may come in between."),
    FASTCALL("get", hr_get,
             "get($self, /, block=True, timeout=None)\n--\n\n"
             "Take the next item out, waiting for one.\n\n"
             "Without block, Empty is raised at once when no item is there; else after timeout\n"
             "seconds (None: never). ShutDown is raised once the queue is shut down and drained."),
    NOARGS("get_nowait", hr_get_nowait,
           "get_nowait($self, /)\n--\n\n"
           "Take the next item if one is there now, else raise Empty. Never blocks."),
    FASTCALL("get_many", hr_get_many,
             "get_many($self, /, max_items, block=True, timeout=None)\n--\n\n"
             "Take up to max_items items, in order, waiting only for the first.\n\n"
             "The caller owes a task_done for each: task_done(len(items)). Raises as get does."),
    FASTCALL("item", hr_item,
             "item($self, /, block=True, timeout=None)\n--\n\n"
             "A context manager: gets on entering, and settles on leaving whatever happens.\n\n"
             "No interrupt can come between the get and the block: the item is settled always."),
    FASTCALL("task_done", hr_task_done,
             "task_done($self, /, count=1)\n--\n\n"
             "Say that the work on count items that were taken is complete.\n\n"
             "ValueError is raised, and nothing settled, when there are not so many unfinished items."),
    FASTCALL("join", hr_join,
             "join($self, /, timeout=None)\n--\n\n"
             "Wait until every item that was put has been settled by task_done.\n\n"
             "TimeoutError is raised when items are unfinished after timeout seconds."),
    FASTCALL("shutdown", hr_shutdown,
             "shutdown($self, /, immediate=False)\n--\n\n"
             "Shut the queue down: puts raise ShutDown from now on, gets once it is empty.\n\n"
             "With immediate the waiting items are dropped, each counted as done; join still waits\n"
             "for items that consumers hold. Blocked callers wake."),
    FASTCALL("lease", hr_lease,
             "lease($self, /, block=True, timeout=None)\n--\n\n"
             "Take the next item under a lease, which settles it or gives it back. Raises as get does.\n\n"
             "with queue.lease() as lease: the item is done when the block ends, and is given back to\n"
             "the queue when the block raises. See headrace.Lease."),
    FASTCALL("getting", hr_getting,
             "getting($self, /, *, required=False)\n--\n\n"
             "Taking the next item of this queue, as a case of headrace.select. The queue itself means the same;\n"
             "with required the select ends with ShutDown when this queue is shut down and has no item left."),
    FASTCALL("putting", hr_putting,
             "putting($self, /, item, **more)\n--\n\n"
             "Putting item into this queue, as a case of headrace.select. more is what else its put has."),
    FASTCALL("_take", hr_take_raw, "_take($self, /, stop, block=True, timeout=None, hand=None)\n--\n\n"
             "get() for leases and pools: the item as it lies in the queue, into the list hand if given;\n"
             "TakingStopped once there is something in the list stop."),
    ONEARG("_settle", hr_settle,
           "_settle($self, raw, /)\n--\n\nThe item of what _take gave is done: past what hides task_done on the object."),
    FASTCALL("_retry", hr_retry,
             "_retry($self, /, envelope, delay, error=None)\n--\n\n"
             "Deliver a taken item again after delay seconds, as its next attempt. Returns its dead\n"
             "letter if it is refused."),
    FASTCALL("_put_back", hr_put_back,
             "_put_back($self, /, envelope)\n--\n\nHave a taken item that was not begun be the next one again."),
    FASTCALL("_bury", hr_bury, "_bury($self, /, envelope, error)\n--\n\nMake a dead letter of a taken item."),
    FASTCALL("_number", hr_number, "_number($self, /, envelope)\n--\n\nThe id of a taken item."),
    FASTCALL("_extend", hr_extend,
             "_extend($self, /, envelope)\n--\n\nNothing: leases of this process do not run out."),
    FASTCALL("_put_with_headers", hr_put_with_headers,
             "_put_with_headers($self, /, item, headers, block=True, timeout=None, **more)\n--\n\n"
             "put with what a listener attached."),
    {"_give_back", (PyCFunction)(void (*)(void))hr_give_back, METH_FASTCALL,
     PyDoc_STR("_give_back($self, item, front=False, /)\n--\n\n"
               "Put back what _take took, whatever the bound; it is still the same task.")},
    {"_count_delayed", (PyCFunction)(void (*)(void))hr_count_delayed, METH_FASTCALL,
     PyDoc_STR("_count_delayed($self, change, dropped=0, /)\n--\n\n"
               "So many taken items more (or less) come back by themselves; so many of them never will.")},
    NOARGS("_expect_envelopes", hr_expect_envelopes,
           "_expect_envelopes($self, /)\n--\n\nLook, from now on, whether an item is an envelope."),
    NOARGS("_interrupt", hr_interrupt,
           "_interrupt($self, /)\n--\n\nLet all who wait in _take and _join look at their lists."),
    {"_watch", (PyCFunction)(void (*)(void))hr_watch, METH_FASTCALL,
     PyDoc_STR("_watch($self, line, post, /)\n--\n\n"
               "Have an event loop's post stand in a line (0: for items, 1: for room, 2: for join) until it is woken.")},
    {"_unwatch", (PyCFunction)(void (*)(void))hr_unwatch, METH_FASTCALL,
     PyDoc_STR("_unwatch($self, line, post, /)\n--\n\n"
               "Have a post leave its line, and pass on the wake-up that it may have had.")},
    ONEARG("_ready", hr_ready,
           "_ready($self, line, /)\n--\n\nHow many of those who wait in a line would find something to do now."),
    ONEARG("_join", hr_join_unless, "_join($self, stop, /)\n--\n\n"
           "join() that raises once there is something in the list stop."),
    NOARGS("_repr_html_", hr_repr_html, "_repr_html_($self, /)\n--\n\nWhat notebooks show of this queue."),
    NOARGS("clear", hr_clear,
           "clear($self, /)\n--\n\n"
           "Drop the waiting items, each counted as done. Returns how many. Never blocks."),
    NOARGS("qsize", hr_qsize, "qsize($self, /)\n--\n\nHow many items wait now."),
    NOARGS("empty", hr_empty, "empty($self, /)\n--\n\nWhether no item waits now."),
    NOARGS("full", hr_full, "full($self, /)\n--\n\nWhether put would wait now."),
    NOARGS("peek", hr_peek,
           "peek($self, /)\n--\n\n"
           "The item that get would take now, left where it is; Empty if none. Never blocks."),
    NOARGS("stats", hr_stats,
           "stats($self, /)\n--\n\nThe counters of this queue at one instant, as a Stats record."),
    NOARGS("__sizeof__", hr_sizeof, "__sizeof__($self, /)\n--\n\nBytes taken, items apart."),
    ONEARG("_init", hr_hook_init, "Make the container. A hook: override it for another order."),
    NOARGS("_qsize", hr_hook_qsize, "The container's length. A hook."),
    ONEARG("_put", hr_hook_put, "Add an item to the container. A hook."),
    NOARGS("_get", hr_hook_get, "Take the next item from the container. A hook."),
    NOARGS("_peek", hr_hook_peek, "The next item of the container. A hook."),
    GENERIC_ALIAS,
    NO_PICKLING,
    {NULL, NULL, 0, NULL},
};

MEMBERS(queue);

static PyType_Slot queue_slots[] = {
    {Py_tp_doc, "Queue(maxsize=0)\n--\n\n"
                "A first-in, first-out queue for threads: queue.Queue of Python 3.13, and more.\n\n"
                "maxsize bounds how many items may wait; 0 or less is no bound. Every method is safe to\n"
                "call from any thread, from a destructor and from a signal handler."},
    {Py_tp_new, queue_new},
    {Py_tp_init, queue_init},
    {Py_tp_dealloc, queue_dealloc},
    {Py_tp_traverse, queue_traverse},
    {Py_tp_clear, queue_clear},
    {Py_tp_methods, queue_methods},
    {Py_tp_members, queue_members},
    {Py_tp_getset, hr_attributes},
    {Py_tp_setattro, hr_setattr},
    {Py_tp_repr, hr_repr},
    {Py_tp_iter, hr_iter},
    {Py_sq_length, hr_length},
    {Py_sq_contains, hr_contains},
    {Py_nb_bool, hr_true},
    {0, NULL},
};

#define QUEUE_FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC)

PyType_Spec hr_queue_spec = {
    .name = "headrace.Queue",
    .basicsize = sizeof(hr_queue),
    .flags = QUEUE_FLAGS,
    .slots = queue_slots,
};

static PyMethodDef lifo_methods[] = {
    GENERIC_ALIAS,
    {NULL, NULL, 0, NULL},
};

static PyType_Slot lifo_slots[] = {
    {Py_tp_doc, "LifoQueue(maxsize=0)\n--\n\n"
                "A last-in, first-out queue: get takes the item that was put last."},
    {Py_tp_dealloc, queue_dealloc},
    {Py_tp_traverse, queue_traverse},
    {Py_tp_clear, queue_clear},
    {Py_tp_methods, lifo_methods},
    {0, NULL},
};

PyType_Spec hr_lifo_spec = {
    .name = "headrace.LifoQueue",
    .basicsize = sizeof(hr_queue),
    .flags = QUEUE_FLAGS,
    .slots = lifo_slots,
};

static PyMethodDef priority_methods[] = {
    FASTCALL("put", hr_priority_put,
             "put($self, /, item, block=True, timeout=None, *, priority=None)\n--\n\n"
             "Put item, ordered by priority (lowest first) when it is given, else by itself.\n\n"
             "Equal ones come out in the order in which they were put. A comparison that raises\n"
             "leaves the queue as it was. Otherwise as Queue.put."),
    FASTCALL("put_nowait", hr_priority_put_nowait,
             "put_nowait($self, /, item, *, priority=None)\n--\n\n"
             "Put item if there is room now, else raise Full. Never blocks."),
    GENERIC_ALIAS,
    {NULL, NULL, 0, NULL},
};

static PyType_Slot priority_slots[] = {
    {Py_tp_doc, "PriorityQueue(maxsize=0)\n--\n\n"
                "A queue whose get takes the lowest item, or the one put with the lowest priority.\n\n"
                "Equal ones come out in the order in which they were put, until the attribute queue is\n"
                "asked for: that is the standard library's plain heap, which keeps no such order."},
    {Py_tp_dealloc, queue_dealloc},
    {Py_tp_traverse, queue_traverse},
    {Py_tp_clear, queue_clear},
    {Py_tp_methods, priority_methods},
    {Py_tp_getset, hr_priority_attributes},
    {0, NULL},
};

PyType_Spec hr_priority_spec = {
    .name = "headrace.PriorityQueue",
    .basicsize = sizeof(hr_queue),
    .flags = QUEUE_FLAGS,
    .slots = priority_slots,
};

/* -- SimpleQueue: the same object with fewer methods ------------------------------------------------- */

static int
simple_init(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {NULL};
    (void)self;
    return PyArg_ParseTupleAndKeywords(arguments, keywords, ":SimpleQueue", names) ? 0 : -1;
}

static PyMethodDef simple_methods[] = {
    FASTCALL("put", hr_put,
             "put($self, /, item, block=True, timeout=None)\n--\n\n"
             "Put item. Never blocks; block and timeout are there for likeness with Queue.put."),
    FASTCALL("put_nowait", hr_put_nowait, "put_nowait($self, /, item)\n--\n\nPut item. Never blocks."),
    FASTCALL("get", hr_get,
             "get($self, /, block=True, timeout=None)\n--\n\n"
             "Take the next item out, waiting for one.\n\n"
             "Without block, Empty is raised at once when no item is there; else after timeout\n"
             "seconds (None: never)."),
    NOARGS("get_nowait", hr_get_nowait,
           "get_nowait($self, /)\n--\n\n"
           "Take the next item if one is there now, else raise Empty. Never blocks."),
    NOARGS("qsize", hr_qsize, "qsize($self, /)\n--\n\nHow many items wait now."),
    NOARGS("empty", hr_empty, "empty($self, /)\n--\n\nWhether no item waits now."),
    NOARGS("__sizeof__", hr_sizeof, "__sizeof__($self, /)\n--\n\nBytes taken, items apart."),
    GENERIC_ALIAS,
    NO_PICKLING,
    {NULL, NULL, 0, NULL},
};

MEMBERS(simple);

static PyType_Slot simple_slots[] = {
    {Py_tp_doc, "SimpleQueue()\n--\n\n"
                "An unbounded first-in, first-out queue without task_done: queue.SimpleQueue."},
    {Py_tp_new, queue_new},
    {Py_tp_init, simple_init},
    {Py_tp_dealloc, queue_dealloc},
    {Py_tp_traverse, queue_traverse},
    {Py_tp_clear, queue_clear},
    {Py_tp_methods, simple_methods},
    {Py_tp_members, simple_members},
    {0, NULL},
};

PyType_Spec hr_simple_spec = {
    .name = "headrace.SimpleQueue",
    .basicsize = sizeof(hr_queue),
    .flags = QUEUE_FLAGS,
    .slots = simple_slots,
};
