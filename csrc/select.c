/* getting() and putting(): this queue as a case of headrace.select, which is Python (headrace/selecting.py). */
#include "core.h"

static PyObject *
make_case(hr_queue *queue, const char *name, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    PyObject *module = PyImport_ImportModule("headrace.selecting");
    PyObject *type = module == NULL ? NULL : PyObject_GetAttrString(module, name);
    /* As a bound method: the queue is its first argument. */
    PyObject *bound = type == NULL ? NULL : PyMethod_New(type, (PyObject *)queue);
    PyObject *result = bound == NULL ? NULL : PyObject_Vectorcall(bound, arguments, (size_t)count, keywords);
    Py_XDECREF(bound);
    Py_XDECREF(type);
    Py_XDECREF(module);
    return result;
}

PyObject *
hr_getting(hr_queue *queue, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    return make_case(queue, "Getting", arguments, count, keywords);
}

PyObject *
hr_putting(hr_queue *queue, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    return make_case(queue, "Putting", arguments, count, keywords);
}
