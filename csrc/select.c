/* getting() and putting(): this queue as a case of headrace.select, which is Python (headrace/selecting.py). */
#include "core.h"

PyObject *
hr_getting(hr_queue *queue, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    return hr_call_python(queue, "headrace.selecting", "Getting", arguments, count, keywords);
}

PyObject *
hr_putting(hr_queue *queue, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    return hr_call_python(queue, "headrace.selecting", "Putting", arguments, count, keywords);
}
