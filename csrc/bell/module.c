/* The module: three functions on a buffer. What they mean is in bell.h. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "bell/bell.h"

/* How long the thread that runs signal handlers sleeps at a time.
 *
 * A signal that comes while a thread sleeps ends its sleep. One that comes in the instant between giving up the GIL and
 * going to sleep does not, and no futex call closes that gap as ppoll does for files. Nor does a signal end the sleep whose
 * C handler the system ran in another thread. So this one thread looks twice a second, at some 10 µs a look;
 * all others sleep until they are rung. */
#define SLICE_NS 500000000

/* A word of a buffer, with the buffer held: it cannot be closed meanwhile. */
typedef struct {
    Py_buffer view;
    hr_bell *bell;
} held_word;

static int
refuse(held_word *word, PyObject *error, const char *why)
{
    PyBuffer_Release(&word->view);
    PyErr_SetString(error, why);
    return -1;
}

/* Returns 0 and holds the word, for PyBuffer_Release of its view to let go; or -1 with an exception. */
static int
hold_word(held_word *word, PyObject *words, PyObject *number)
{
    Py_ssize_t index = PyNumber_AsSsize_t(number, PyExc_IndexError);
    if (index == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (PyObject_GetBuffer(words, &word->view, PyBUF_SIMPLE) < 0) {
        return -1;
    }
    if (word->view.readonly) {
        return refuse(word, PyExc_BufferError, "the words are read-only: map them with access=mmap.ACCESS_WRITE");
    }
    Py_ssize_t count = word->view.len / (Py_ssize_t)sizeof(hr_bell);
    if (index < 0 || index >= count) {
        PyBuffer_Release(&word->view);
        PyErr_Format(PyExc_IndexError, "there is no word %zd: the mapping has %zd, counted from 0", index, count);
        return -1;
    }
    if ((uintptr_t)word->view.buf % sizeof(hr_bell) != 0) {
        return refuse(word, PyExc_BufferError, "the words do not begin at a multiple of 4 bytes: pass the mapping itself");
    }
    word->bell = (hr_bell *)word->view.buf + index;
    return 0;
}

/* A timeout in seconds (NULL or None: never) as a moment on the monotonic clock. */
static int
parse_deadline(PyObject *timeout, int64_t *deadline_ns)
{
    *deadline_ns = HR_NEVER;
    if (timeout == NULL || timeout == Py_None) {
        return 0;
    }
    double seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1.0 && PyErr_Occurred()) {
        return -1;
    }
    if (seconds != seconds) {
        PyErr_SetString(PyExc_ValueError, "timeout must be a number of seconds, not NaN");
        return -1;
    }
    if (seconds < 4e9) { /* longer than a century is for ever, and would come near overflowing */
        *deadline_ns = hr_now_ns() + (seconds > 0 ? (int64_t)(seconds * 1e9) : 0);
    }
    return 0;
}

PyDoc_STRVAR(read_doc, "read($module, /, words, index)\n--\n\nThe word number *index*, from 0 to 2**32 - 1.");

static PyObject *
bell_read(PyObject *module, PyObject *arguments, PyObject *named)
{
    (void)module;
    static char *names[] = {"words", "index", NULL};
    PyObject *words, *index;
    held_word word;
    if (!PyArg_ParseTupleAndKeywords(arguments, named, "OO:read", names, &words, &index)
        || hold_word(&word, words, index) < 0) {
        return NULL;
    }
    uint32_t value = hr_bell_read(word.bell);
    PyBuffer_Release(&word.view);
    return PyLong_FromUnsignedLong(value);
}

PyDoc_STRVAR(ring_doc, "ring($module, /, words, index, count=2147483647)\n--\n\n"
                       "Add 1 to the word and wake at most *count* who wait on it, in whatever process. Never blocks.");

static PyObject *
bell_ring(PyObject *module, PyObject *arguments, PyObject *named)
{
    (void)module;
    static char *names[] = {"words", "index", "count", NULL};
    PyObject *words, *index;
    int count = HR_BELL_ALL;
    held_word word;
    if (!PyArg_ParseTupleAndKeywords(arguments, named, "OO|i:ring", names, &words, &index, &count)) {
        return NULL;
    }
    if (count < 1) {
        return PyErr_Format(PyExc_ValueError, "count must be 1 or more, not %d", count);
    }
    if (hold_word(&word, words, index) < 0) {
        return NULL;
    }
    int failed = hr_bell_ring(word.bell, count);
    int reason = errno;
    PyBuffer_Release(&word.view);
    if (failed) {
        errno = reason;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    Py_RETURN_NONE;
}

static hr_bell_result
sleep_without_gil(hr_bell *bell, uint32_t seen, int64_t deadline_ns)
{
    hr_bell_result result;
    int reason;
    Py_BEGIN_ALLOW_THREADS
    result = hr_bell_sleep(bell, seen, deadline_ns);
    reason = errno;
    Py_END_ALLOW_THREADS
    errno = reason;
    return result;
}

/* Sleep until rung (1), until the deadline (0), or until a signal handler has run (1, or -1 with its exception). */
static int
sleep_and_handle_signals(hr_bell *bell, uint32_t seen, int64_t deadline_ns)
{
    int in_slices = hr_bell_in_first_thread();
    for (;;) {
        int64_t slice_ns = in_slices ? hr_now_ns() + SLICE_NS : HR_NEVER;
        hr_bell_result result = sleep_without_gil(bell, seen, slice_ns < deadline_ns ? slice_ns : deadline_ns);
        if (result == HR_BELL_FAILED) {
            PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        }
        if (PyErr_CheckSignals() < 0) {
            return -1;
        }
        if (result != HR_BELL_TIMED_OUT) {
            return 1;
        }
        if (slice_ns >= deadline_ns) {
            return 0;
        }
    }
}

PyDoc_STRVAR(wait_doc, "wait($module, /, words, index, seen, timeout=None)\n--\n\n"
                       "Sleep as long as the word is *seen*: see headrace.backends.sqlite.bell.");

static PyObject *
bell_wait(PyObject *module, PyObject *arguments, PyObject *named)
{
    (void)module;
    static char *names[] = {"words", "index", "seen", "timeout", NULL};
    PyObject *words, *index, *number, *timeout = NULL;
    int64_t deadline_ns;
    held_word word;
    if (!PyArg_ParseTupleAndKeywords(arguments, named, "OOO|O:wait", names, &words, &index, &number, &timeout)) {
        return NULL;
    }
    PyObject *whole = PyNumber_Index(number);
    if (whole == NULL) {
        return NULL;
    }
    uint32_t seen = (uint32_t)PyLong_AsUnsignedLongMask(whole);
    Py_DECREF(whole);
    if (parse_deadline(timeout, &deadline_ns) < 0 || hold_word(&word, words, index) < 0) {
        return NULL;
    }
    int rung = hr_bell_read(word.bell) != seen ? 1 : sleep_and_handle_signals(word.bell, seen, deadline_ns);
    PyBuffer_Release(&word.view);
    return rung < 0 ? NULL : PyBool_FromLong(rung);
}

/* Through void *: the compiler would rather have each cast between kinds of functions said twice. */
static PyMethodDef methods[] = {
    {"read", (PyCFunction)(void (*)(void))bell_read, METH_VARARGS | METH_KEYWORDS, read_doc},
    {"ring", (PyCFunction)(void (*)(void))bell_ring, METH_VARARGS | METH_KEYWORDS, ring_doc},
    {"wait", (PyCFunction)(void (*)(void))bell_wait, METH_VARARGS | METH_KEYWORDS, wait_doc},
    {NULL, NULL, 0, NULL},
};

static int
module_exec(PyObject *module)
{
#ifdef HR_BELL_POLL
    PyObject *polls = Py_True;
#else
    PyObject *polls = Py_False;
#endif
    return PyModule_AddObjectRef(module, "polls", polls);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "headrace.backends.sqlite._bell",
    .m_doc = "Words in shared memory on which threads of several processes wait. See headrace.backends.sqlite.bell.",
    .m_methods = methods,
    .m_slots = module_slots,
};

PyMODINIT_FUNC
PyInit__bell(void)
{
    return PyModuleDef_Init(&module_definition);
}
