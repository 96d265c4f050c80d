/* The C code of <persistent>, whose wheel ships its header for the purpose. */

#ifndef PERDURE_PERSISTENCE_H
#define PERDURE_PERSISTENCE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <persistent/cPersistence.h>

/* Return its table of functions; NULL with an ImportError where it is not in use, as with
   PURE_PYTHON, or where objects are not as they were when this was compiled. */
static cPersistenceCAPIstruct *import_persistence(void) {
    cPersistenceCAPIstruct *table = PyCapsule_Import(CAPI_CAPSULE_NAME, 0);
    PyObject *size = NULL;
    if (table == NULL) {
        if (PyErr_ExceptionMatches(PyExc_AttributeError))
            PyErr_SetString(PyExc_ImportError, "persistent does not use its C code");
        return NULL;
    }
    size = PyObject_GetAttrString((PyObject *)table->pertype, "__basicsize__");
    if (size != NULL && PyLong_AsSsize_t(size) != (Py_ssize_t)sizeof(cPersistentObject)) {
        PyErr_SetString(PyExc_ImportError, "objects of this persistent have another layout");
        Py_CLEAR(size);
    }
    if (size == NULL)
        return NULL;
    Py_DECREF(size);
    return table;
}

#endif
