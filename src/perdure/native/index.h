/* The index of a data file, as the modules see it that look into it: oid -> position.

   The first 6 bytes of an oid name a page, in which the last 2 name an entry of 6 bytes, the
   position of the record, big-endian. Usually the pages are those of the module _pages, which
   hands out a table of functions. Without it they are a dictionary of `BTrees.fsBTree.fsBucket`,
   used through their method `get`.

   What a page holds may be moved whenever another thread runs: nothing leads into it from here. */

#ifndef PERDURE_INDEX_H
#define PERDURE_INDEX_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>

#define INDEX_PREFIX_SIZE 6
#define INDEX_SUFFIX_SIZE 2

/* What _pages hands out: a capsule of this name, which is its attribute `calls`. */
#define INDEX_CALLS "perdure.native._pages.calls"

struct index_calls {
    PyTypeObject *pages_type;
    /* Return a position, 0 for none; runs no Python code. */
    int64_t (*position)(PyObject *pages, const unsigned char *oid);
};

static PyObject *index_get_name;
static const struct index_calls *index_calls; /* NULL where _pages is not built */

/* Prepare for what follows, when a module is initialized; -1 with an exception. */
static inline int find_index(void) {
    PyObject *module = PyImport_ImportModule("perdure.native._pages");
    PyObject *capsule = module == NULL ? NULL : PyObject_GetAttrString(module, "calls");
    if (capsule != NULL)
        index_calls = PyCapsule_GetPointer(capsule, INDEX_CALLS);
    Py_XDECREF(capsule);
    Py_XDECREF(module);
    if (PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_ImportError))
            return -1;
        PyErr_Clear();
    }
    index_get_name = PyUnicode_InternFromString("get");
    return index_get_name == NULL ? -1 : 0;
}

/* Return whether something is the pages of an index. */
static inline int is_index(PyObject *pages) {
    return (index_calls != NULL && Py_TYPE(pages) == index_calls->pages_type) ||
           PyDict_Check(pages);
}

/* Find where a dictionary of pages says that an object is. */
static inline int64_t index_position_elsewhere(PyObject *pages, const unsigned char *oid) {
    PyObject *prefix, *suffix, *page, *value;
    int64_t position = 0;
    prefix = PyBytes_FromStringAndSize((const char *)oid, INDEX_PREFIX_SIZE);
    if (prefix == NULL)
        return -1;
    page = PyDict_GetItemWithError(pages, prefix);
    Py_DECREF(prefix);
    if (page == NULL)
        return PyErr_Occurred() ? -1 : 0;
    Py_INCREF(page);
    suffix = PyBytes_FromStringAndSize((const char *)oid + INDEX_PREFIX_SIZE, INDEX_SUFFIX_SIZE);
    value = suffix == NULL ? NULL
                           : PyObject_CallMethodObjArgs(page, index_get_name, suffix, NULL);
    Py_XDECREF(suffix);
    Py_DECREF(page);
    if (value == NULL)
        return -1;
    if (PyBytes_CheckExact(value) && PyBytes_Size(value) == 6) {
        const unsigned char *at = (const unsigned char *)PyBytes_AsString(value);
        int n;
        for (n = 0; n < 6; n++)
            position = position << 8 | at[n];
    }
    Py_DECREF(value);
    return position;
}

/* Find where the current record of an object is, 0 if it has none; -1 with an exception. */
static inline int64_t index_position(PyObject *pages, const unsigned char *oid) {
    if (index_calls != NULL && Py_TYPE(pages) == index_calls->pages_type)
        return index_calls->position(pages, oid);
    return index_position_elsewhere(pages, oid);
}

#endif
