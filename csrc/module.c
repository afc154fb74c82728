/* The module: its state, its types, and how it is executed. */
#include "loops.h"

#include <stddef.h>

static int
add_type(PyObject *module, PyType_Spec *spec, PyTypeObject *base, PyTypeObject **kept, int is_public)
{
    *kept = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, (PyObject *)base);
    return *kept == NULL ? -1 : is_public ? PyModule_AddType(module, *kept) : 0;
}

static int
add_types(PyObject *module, hr_state *state)
{
    return add_type(module, &hr_queue_spec, NULL, &state->queue_type, 1) < 0
                || add_type(module, &hr_lifo_spec, state->queue_type, &state->lifo_type, 1) < 0
                || add_type(module, &hr_priority_spec, state->queue_type, &state->priority_type, 1) < 0
                || add_type(module, &hr_simple_spec, NULL, &state->simple_type, 1) < 0
                || add_type(module, &hr_item_spec, NULL, &state->item_type, 0) < 0
                || add_type(module, &hr_iterator_spec, NULL, &state->iterator_type, 0) < 0
                || add_type(module, &hr_hub_spec, NULL, &state->hub_type, 1) < 0
                || add_type(module, &hr_post_spec, NULL, &state->post_type, 1) < 0
                || add_type(module, &hr_operation_spec, NULL, &state->operation_type, 0) < 0
                || add_type(module, &hr_face_spec, NULL, &state->face_type, 1) < 0
             ? -1
             : 0;
}

static int
find_errors(hr_state *state)
{
    const struct {
        const char *name;
        PyObject **kept;
    } wanted[] = {
        {"Empty", &state->empty_error},
        {"Full", &state->full_error},
        {"ShutDown", &state->shutdown_error},
        {"NotSupported", &state->not_supported_error},
        {"TakingStopped", &state->stopped_error},
        {NULL, NULL},
    };
    PyObject *errors = PyImport_ImportModule("headrace.errors");
    int failed = errors == NULL;
    for (int i = 0; !failed && wanted[i].name != NULL; i++) {
        *wanted[i].kept = PyObject_GetAttrString(errors, wanted[i].name);
        failed = *wanted[i].kept == NULL;
    }
    Py_XDECREF(errors);
    return failed ? -1 : 0;
}

static int
module_exec(PyObject *module)
{
    hr_state *state = PyModule_GetState(module);
    return find_errors(state) < 0 || add_types(module, state) < 0 || hr_keep_own_methods(state) < 0 ? -1 : 0;
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    hr_state *state = PyModule_GetState(module);
    Py_VISIT(state->queue_type);
    Py_VISIT(state->lifo_type);
    Py_VISIT(state->priority_type);
    Py_VISIT(state->simple_type);
    Py_VISIT(state->item_type);
    Py_VISIT(state->iterator_type);
    Py_VISIT(state->empty_error);
    Py_VISIT(state->full_error);
    Py_VISIT(state->shutdown_error);
    Py_VISIT(state->not_supported_error);
    Py_VISIT(state->stopped_error);
    Py_VISIT(state->envelope_type);
    Py_VISIT(state->leasing);
    Py_VISIT(state->hub_type);
    Py_VISIT(state->post_type);
    Py_VISIT(state->operation_type);
    Py_VISIT(state->face_type);
    Py_VISIT(state->face_of);
    Py_VISIT(state->get_waiting);
    Py_VISIT(state->put_waiting);
    Py_VISIT(state->look_here);
    Py_VISIT(state->spare_stop);
    for (int i = 0; i < 2 * HR_OVERRIDABLE; i++) {
        Py_VISIT(state->own_methods[i / HR_OVERRIDABLE][i % HR_OVERRIDABLE]);
    }
    return 0;
}

static int
module_clear(PyObject *module)
{
    hr_state *state = PyModule_GetState(module);
    Py_CLEAR(state->queue_type);
    Py_CLEAR(state->lifo_type);
    Py_CLEAR(state->priority_type);
    Py_CLEAR(state->simple_type);
    Py_CLEAR(state->item_type);
    Py_CLEAR(state->iterator_type);
    Py_CLEAR(state->empty_error);
    Py_CLEAR(state->full_error);
    Py_CLEAR(state->shutdown_error);
    Py_CLEAR(state->not_supported_error);
    Py_CLEAR(state->stopped_error);
    Py_CLEAR(state->envelope_type);
    Py_CLEAR(state->leasing);
    Py_CLEAR(state->hub_type);
    Py_CLEAR(state->post_type);
    Py_CLEAR(state->operation_type);
    Py_CLEAR(state->face_type);
    Py_CLEAR(state->face_of);
    Py_CLEAR(state->get_waiting);
    Py_CLEAR(state->put_waiting);
    Py_CLEAR(state->look_here);
    Py_CLEAR(state->spare_stop);
    for (int i = 0; i < 2 * HR_OVERRIDABLE; i++) {
        Py_CLEAR(state->own_methods[i / HR_OVERRIDABLE][i % HR_OVERRIDABLE]);
    }
    return 0;
}

static void
module_free(void *module)
{
    module_clear((PyObject *)module);
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

struct PyModuleDef hr_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "headrace.backends.memory._core",
    .m_doc = "The memory rung in C. Its readable specification is headrace.backends.memory.python.",
    .m_size = sizeof(hr_state),
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&hr_module);
}
