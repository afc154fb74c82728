/* The objects of the C core, and what its files share. */
#ifndef HEADRACE_CORE_H
#define HEADRACE_CORE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#ifndef _WIN32
#include <unistd.h>
#endif

#include "gate.h"
#include "heap.h"
#include "items.h"

/* Critical sections are how free-threaded builds lock an object, and nothing in the others, where the
 * GIL is that lock. In both, the lock is let go of whenever the thread detaches: in hr_wait, and in any
 * call that may run Python code. The queue must be consistent there, and be looked at anew after. */
#ifndef Py_BEGIN_CRITICAL_SECTION
#define Py_BEGIN_CRITICAL_SECTION(op) {
#define Py_END_CRITICAL_SECTION() }
#endif

/* Room for anything. */
#define HR_UNBOUNDED PY_SSIZE_T_MAX

/* The methods whose overriding is looked for: see hooks.c. */
enum { HR_OVERRIDABLE = 8 };

/* When the event loop of a coroutine that never waits is let run: see awaitable.c. */
typedef struct {
    int left;
    int64_t since_ns;
} hr_turns;

/* Per-module state: each interpreter has its own. Written once, while the module is executed. */
typedef struct {
    PyTypeObject *queue_type;
    PyTypeObject *lifo_type;
    PyTypeObject *priority_type;
    PyTypeObject *simple_type;
    PyTypeObject *item_type;
    PyTypeObject *iterator_type;
    PyObject *empty_error;
    PyObject *full_error;
    PyObject *shutdown_error;
    PyObject *not_supported_error;
    PyObject *stopped_error;
    PyTypeObject *envelope_type;
    PyObject *leasing; /* the names of leasing.py; NULL until they are used */
    PyTypeObject *hub_type;
    PyTypeObject *post_type;
    PyTypeObject *operation_type;
    PyTypeObject *face_type;
    PyObject *face_of; /* of headrace.aio; NULL until they are used, as the next two */
    PyObject *get_waiting;
    PyObject *put_waiting;
    PyObject *look_here;
    PyObject *spare_stop; /* a StopIteration that nobody uses, or NULL: see awaitable.c */
    hr_turns turns;
    /* Our own methods of the names in hooks.c, those of PriorityQueue in the second row. */
    PyObject *own_methods[2][HR_OVERRIDABLE];
} hr_state;

typedef enum { HR_FIFO, HR_LIFO, HR_PRIORITY } hr_kind;

/* What a class, or an object, has overridden. */
enum {
    HR_OVERRIDES_PUT = 1,
    HR_OVERRIDES_GET = 2,
    HR_OVERRIDES_HOOK = 4,
    HR_OVERRIDES_HOOK_GET = 8,
    HR_OVERRIDES_HOOK_PEEK = 16,
    HR_OVERRIDES_TASK_DONE = 32,
    HR_CLASS_SETTLES = 64, /* task_done, and not by an attribute of the object alone: see hr_settle */
};

/* All fields but the first group's constants are guarded by the GIL or the object's critical section. */
typedef struct {
    PyObject_HEAD
    hr_items items;      /* waiting items (FIFO, LIFO); items.count counts for heaps too */
    Py_ssize_t limit;    /* put fits while items.count < limit; 0 once shut down or opened */
    Py_ssize_t unfinished;
    unsigned long long get_total;
    hr_gate gate;
    hr_heap heap;        /* waiting items (PRIORITY) */
    hr_kind kind;        /* constant */
    unsigned class_version; /* of the class whose overrides are known: see hr_class_changed */
    unsigned overrides;
    char is_shutdown;
    char drains;         /* shut down at once: what comes back is dropped */
    char enveloped;      /* some waiting items may be envelopes: see returned.c */
    char opened;         /* Python code runs this queue now (opened.c); items is empty for good */
    Py_ssize_t bound;    /* maxsize as a limit: HR_UNBOUNDED when there is none */
    unsigned long long dropped_total;
    unsigned long long returned_total; /* of those that get_total counts, how many came back */
    Py_ssize_t delayed;  /* unfinished items that a timer will give back: get waits for them after a shutdown */
    unsigned long long put_total_opened; /* only once opened; else it follows from the others */
    long process; /* the one whose threads are in the gate: see hr_check_fork */
    hr_state *state;     /* constant */
    PyObject *maxsize;   /* as it was given */
    PyObject *book;      /* of delayed items and dead letters, NULL until there was one: see book.py */
    /* Once opened: */
    PyObject *mutex;
    PyObject *not_empty;
    PyObject *not_full;
    PyObject *all_tasks_done;
    PyObject *container;
    PyObject *dict;
    PyObject *weakrefs;
} hr_queue;

#define HR_QUEUE(op) ((hr_queue *)(op))

/* arguments.c: each returns 0, or -1 with an exception set. */
typedef struct {
    const char *function;
    const char *const *names;
    int required;
    int total;
    int positional; /* how many may be given by position */
} hr_signature;

int hr_unpack(const hr_signature *signature, PyObject *const *arguments, Py_ssize_t count,
              PyObject *keywords, PyObject **out);
int hr_parse_block(PyObject *block);
int hr_parse_deadline(PyObject *timeout, int64_t *deadline_ns);
PyObject *hr_remaining(int64_t deadline_ns);
int hr_parse_bound(PyObject *maxsize, Py_ssize_t *bound);

/* wait.c */
typedef struct {
    int block;
    int64_t deadline_ns;
    hr_waiter *waiter; /* NULL until the first sleep */
    bool foreign_error; /* what is raised came from an iterator, not from the queue */
    PyObject *stop;     /* borrowed: a list that ends the wait once there is something in it; NULL: none */
} hr_turn;

#define HR_TURN(block) ((hr_turn){(block), HR_NEVER, NULL, false, NULL})

int hr_wait(hr_queue *queue, hr_line *line, hr_turn *turn);
void hr_turn_end(hr_queue *queue, hr_turn *turn);
HR_NOINLINE void hr_wake_next(hr_queue *queue, bool after_put);
void hr_wake_everybody(hr_queue *queue);
void hr_check_fork(hr_queue *queue);

/* What a wait for room or for an item came to. */
typedef enum { HR_READY = 0, HR_ERROR = -1, HR_OPENED = 1 } hr_outcome;

/* put.c */
int hr_parse_put_turn(hr_queue *queue, PyObject *block, PyObject *timeout, hr_turn *turn);
hr_outcome hr_wait_for_room(hr_queue *queue, hr_turn *turn);
PyObject *hr_put_waiting(hr_queue *queue, PyObject *item, hr_turn *turn);
PyObject *hr_put(hr_queue *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *hr_put_nowait(hr_queue *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *hr_put_many(hr_queue *, PyObject *const *, Py_ssize_t, PyObject *);

/* get.c */
PyObject *hr_get(hr_queue *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *hr_get_nowait(hr_queue *, PyObject *);
PyObject *hr_get_many(hr_queue *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *hr_get_waiting(hr_queue *queue, hr_turn *turn);
hr_outcome hr_wait_for_item(hr_queue *queue, hr_turn *turn);
int hr_parse_get_turn(hr_queue *queue, PyObject *block, PyObject *timeout, hr_turn *turn);
/* priority.c: the item that goes out next, or NULL: with an exception, or without one when the queue
 * changed during a comparison and must be looked at anew. */
PyObject *hr_priority_take(hr_queue *queue, PyObject **key);
PyObject *hr_priority_put(hr_queue *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *hr_priority_put_nowait(hr_queue *, PyObject *const *, Py_ssize_t, PyObject *);
hr_outcome hr_priority_insert(hr_queue *queue, PyObject *key, PyObject *item, hr_turn *turn);
int hr_priority_insert_again(hr_queue *queue, PyObject *key, PyObject *item, bool front);

/* returned.c: items that were taken and come back */
/* Call a function of a Python module with the queue as its first argument. */
PyObject *hr_call_python(hr_queue *, const char *module, const char *name, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *hr_open_envelope(hr_queue *queue, PyObject *envelope);
PyObject *hr_take_raw(hr_queue *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *hr_give_back(hr_queue *, PyObject *const *, Py_ssize_t);
PyObject *hr_expect_envelopes(hr_queue *, PyObject *);
PyObject *hr_count_delayed(hr_queue *, PyObject *const *, Py_ssize_t);
PyObject *hr_interrupt(hr_queue *, PyObject *);
PyObject *hr_retry(hr_queue *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *hr_put_back(hr_queue *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *hr_bury(hr_queue *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *hr_number(hr_queue *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *hr_extend(hr_queue *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *hr_put_with_headers(hr_queue *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *hr_lease(hr_queue *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *hr_repr_html(hr_queue *, PyObject *);
PyObject *hr_dead(PyObject *, void *);

/* loops.c: event loops before a queue */
PyObject *hr_watch(hr_queue *, PyObject *const *, Py_ssize_t);
PyObject *hr_unwatch(hr_queue *, PyObject *const *, Py_ssize_t);
PyObject *hr_ready(hr_queue *, PyObject *);

/* awaitable.c: queue.aio */
PyObject *hr_aio(PyObject *, void *);
extern PyType_Spec hr_operation_spec;
extern PyType_Spec hr_face_spec;

/* select.c */
PyObject *hr_getting(hr_queue *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *hr_putting(hr_queue *, PyObject *const *, Py_ssize_t, PyObject *);

/* settle.c */
PyObject *hr_task_done(hr_queue *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *hr_settle(hr_queue *, PyObject *);
PyObject *hr_join(hr_queue *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *hr_join_unless(hr_queue *, PyObject *);
PyObject *hr_shutdown(hr_queue *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *hr_clear(hr_queue *, PyObject *);
void hr_drop_detached(hr_items *items, hr_heap *heap, Py_ssize_t count);
void hr_all_settled(hr_queue *queue);

/* look.c */
PyObject *hr_qsize(hr_queue *, PyObject *);
PyObject *hr_empty(hr_queue *, PyObject *);
PyObject *hr_full(hr_queue *, PyObject *);
PyObject *hr_peek(hr_queue *, PyObject *);
PyObject *hr_stats(hr_queue *, PyObject *);
PyObject *hr_repr(PyObject *);
PyObject *hr_sizeof(hr_queue *, PyObject *);
Py_ssize_t hr_length(PyObject *);
int hr_true(PyObject *);
int hr_contains(PyObject *, PyObject *);
PyObject *hr_refuse_pickling(PyObject *, PyObject *);

/* arguments.c: Python's calls where versions differ or an idiom repeats. */
PyObject *hr_fetch_exception(void);
void hr_restore_exception(PyObject *exception);
/* Call self.name(...) by its name, so that an overriding method is found. Steals `keywords` (NULL: error). */
PyObject *hr_call_named(hr_queue *queue, const char *name, PyObject *const *values, Py_ssize_t positional,
                        PyObject *keywords);

/* opened.c */
int hr_open(hr_queue *queue);
PyObject *hr_call_opened(hr_queue *queue, const char *method, PyObject *const *arguments,
                         Py_ssize_t count, PyObject *keywords);
PyObject *hr_call_function(hr_queue *queue, const char *name, PyObject *item);
PyObject *hr_new_container(hr_queue *queue);

/* attributes.c */
extern PyGetSetDef hr_attributes[];
extern PyGetSetDef hr_priority_attributes[];
void hr_set_bound(hr_queue *queue, PyObject *maxsize, Py_ssize_t bound);
PyObject *hr_container(hr_queue *queue);
int hr_set_container(hr_queue *queue, PyObject *container);

/* hooks.c */
PyObject *hr_hook_init(hr_queue *, PyObject *);
PyObject *hr_hook_qsize(hr_queue *, PyObject *);
PyObject *hr_hook_put(hr_queue *, PyObject *);
PyObject *hr_hook_get(hr_queue *, PyObject *);
PyObject *hr_hook_peek(hr_queue *, PyObject *);
int hr_setattr(PyObject *, PyObject *, PyObject *);
int hr_look_at_class(hr_queue *queue);
int hr_keep_own_methods(hr_state *state);

/* item.c */
PyObject *hr_item(hr_queue *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *hr_iter(PyObject *);
extern PyType_Spec hr_item_spec;
extern PyType_Spec hr_iterator_spec;

/* queue.c */
extern PyType_Spec hr_queue_spec;
extern PyType_Spec hr_lifo_spec;
extern PyType_Spec hr_priority_spec;
extern PyType_Spec hr_simple_spec;
extern struct PyModuleDef hr_module;
void hr_reset_limit(hr_queue *queue);
hr_kind hr_kind_of(hr_state *state, PyTypeObject *type);
extern const hr_signature hr_put_signature, hr_get_signature;

/* Whether the class was changed since its overrides were looked for: CPython gives a class another version
 * tag whenever it, or a base of it, is assigned to. */
static inline int
hr_class_changed(hr_queue *queue)
{
    return Py_TYPE(queue)->tp_version_tag != queue->class_version;
}

/* Before anything that a hook could change: returns -1 with an exception set when opening fails. */
static inline int
hr_heed_class(hr_queue *queue)
{
    return HR_LIKELY(!hr_class_changed(queue)) ? 0 : hr_look_at_class(queue);
}

/* The number of this process, where there are forks to tell apart. */
static inline long
hr_process(void)
{
#ifdef _WIN32
    return 0;
#else
    return (long)getpid();
#endif
}

/* Take the next item of a queue that has one. NULL as for hr_priority_take. */
static inline PyObject *
hr_take(hr_queue *queue)
{
    PyObject *item;
    switch (queue->kind) {
        case HR_FIFO:
            item = hr_items_take_first(&queue->items);
            break;
        case HR_LIFO:
            item = hr_items_take_last(&queue->items);
            break;
        default:
            return hr_priority_take(queue, NULL);
    }
    queue->get_total++;
    return item;
}

/* The same for who wants the bare item, whatever it lies in. */
static inline PyObject *
hr_take_bare(hr_queue *queue)
{
    PyObject *item = hr_take(queue);
    return HR_LIKELY(!queue->enveloped) || item == NULL ? item : hr_open_envelope(queue, item);
}

/* check.c: what must hold whenever the queue's lock may be let go of. Builds with NDEBUG have none of it. */
#ifdef NDEBUG
#define HR_CHECK(queue) ((void)0)
#else
void hr_check(hr_queue *queue);
#define HR_CHECK(queue) hr_check(queue)
#endif

/* After every change: wake the next waiter that has something to do. */
static inline void
hr_changed(hr_queue *queue, bool after_put)
{
    if (queue->gate.may_wake) {
        hr_wake_next(queue, after_put);
    }
    HR_CHECK(queue);
}

#endif
