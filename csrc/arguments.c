/* Arguments: names, timeouts, sizes. */
#include "core.h"

static const char *const put_names[] = {"item", "block", "timeout", "priority"};
const hr_signature hr_put_signature = {"put", put_names, 1, 3, 3};
static const char *const get_names[] = {"block", "timeout"};
const hr_signature hr_get_signature = {"get", get_names, 0, 2, 2};

static int
find_name(const hr_signature *signature, PyObject *name)
{
    for (int i = 0; i < signature->total; i++) {
        if (PyUnicode_CompareWithASCIIString(name, signature->names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

/* Sort vectorcall arguments into `out` (borrowed; NULL where not given). */
int
hr_unpack(const hr_signature *signature, PyObject *const *arguments, Py_ssize_t count,
          PyObject *keywords, PyObject **out)
{
    if (count > signature->positional) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %d positional arguments (%zd given)",
                     signature->function, signature->positional, count);
        return -1;
    }
    for (int i = 0; i < signature->total; i++) {
        out[i] = i < count ? arguments[i] : NULL;
    }
    Py_ssize_t named = keywords == NULL ? 0 : PyTuple_GET_SIZE(keywords);
    for (Py_ssize_t k = 0; k < named; k++) {
        PyObject *name = PyTuple_GET_ITEM(keywords, k);
        int i = find_name(signature, name);
        if (i < 0) {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'",
                         signature->function, name);
            return -1;
        }
        if (out[i] != NULL) {
            PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%U'",
                         signature->function, name);
            return -1;
        }
        out[i] = arguments[count + k];
    }
    for (int i = 0; i < signature->required; i++) {
        if (out[i] == NULL) {
            PyErr_Format(PyExc_TypeError, "%s() missing required argument: '%s'", signature->function,
                         signature->names[i]);
            return -1;
        }
    }
    return 0;
}

/* The truth of `block` (NULL: true), or -1 with an exception set. */
int
hr_parse_block(PyObject *block)
{
    return block == NULL || block == Py_True ? 1 : PyObject_IsTrue(block);
}

/* A timeout in seconds (NULL or None: never) as a moment on the monotonic clock. */
int
hr_parse_deadline(PyObject *timeout, int64_t *deadline_ns)
{
    *deadline_ns = HR_NEVER;
    if (timeout == NULL || timeout == Py_None) {
        return 0;
    }
    double seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1.0 && PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_OverflowError)) {
            return -1;
        }
        /* An int too large for a float: its sign decides. */
        PyErr_Clear();
        PyObject *zero = PyLong_FromLong(0);
        int negative = zero == NULL ? -1 : PyObject_RichCompareBool(timeout, zero, Py_LT);
        Py_XDECREF(zero);
        if (negative < 0) {
            return -1;
        }
        seconds = negative ? -1.0 : 1e300;
    }
    if (seconds < 0) {
        PyErr_SetString(PyExc_ValueError, "'timeout' must be a non-negative number");
        return -1;
    }
    if (seconds != seconds) {
        PyErr_SetString(PyExc_ValueError, "'timeout' must be a number of seconds, not NaN");
        return -1;
    }
    if (seconds < 4e9) { /* longer than a century is for ever, and would come near overflowing */
        double ns = seconds * 1e9;
        int64_t whole = (int64_t)ns;
        *deadline_ns = hr_now_ns() + whole + ((double)whole < ns);
    }
    return 0;
}

/* The seconds left until a deadline, for Python code that waits on; None for never. */
PyObject *
hr_remaining(int64_t deadline_ns)
{
    if (deadline_ns == HR_NEVER) {
        Py_RETURN_NONE;
    }
    int64_t left = deadline_ns - hr_now_ns();
    return PyFloat_FromDouble(left > 0 ? (double)left / 1e9 : 0.0);
}

static int
refuse_maxsize(PyObject *maxsize)
{
    PyErr_Format(PyExc_TypeError, "maxsize must be a number (0 for no bound), not %.100s: %R",
                 Py_TYPE(maxsize)->tp_name, maxsize);
    return -1;
}

/* maxsize as a limit on the count: any number; 0 or less is no bound, a fraction counts as the next whole
 * number, as it does in a comparison with a count. */
int
hr_parse_bound(PyObject *maxsize, Py_ssize_t *bound)
{
    *bound = HR_UNBOUNDED;
    if (PyFloat_Check(maxsize)) {
        double size = PyFloat_AS_DOUBLE(maxsize);
        if (size > 0 && size < 9e15) {
            *bound = (Py_ssize_t)size + ((double)(Py_ssize_t)size < size);
        }
        return 0;
    }
    if (!PyIndex_Check(maxsize)) {
        return refuse_maxsize(maxsize);
    }
    Py_ssize_t size = PyNumber_AsSsize_t(maxsize, NULL); /* clips */
    if (size == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (size > 0) {
        *bound = size;
    }
    return 0;
}

/* The exception that is set, normalized, as one object; none is set afterwards. */
PyObject *
hr_fetch_exception(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (value != NULL && traceback != NULL) {
        PyException_SetTraceback(value, traceback);
    }
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
#endif
}

/* Set an exception from hr_fetch_exception again, which may have been none. Steals it. */
void
hr_restore_exception(PyObject *exception)
{
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException(exception);
#else
    if (exception == NULL) {
        PyErr_Clear();
        return;
    }
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(exception)), exception,
                  PyException_GetTraceback(exception));
#endif
}

PyObject *
hr_call_named(hr_queue *queue, const char *name, PyObject *const *values, Py_ssize_t positional,
              PyObject *keywords)
{
    PyObject *method = keywords == NULL ? NULL : PyObject_GetAttrString((PyObject *)queue, name);
    PyObject *result = method == NULL ? NULL
                                      : PyObject_Vectorcall(method, values, (size_t)positional, keywords);
    Py_XDECREF(method);
    Py_XDECREF(keywords);
    return result;
}
