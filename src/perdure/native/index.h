/* The index of a data file, as the modules see it that look into it: oid -> position.

   It is a mapping of pages: the first 6 bytes of an oid name a page, in which the last 2 name
   an entry of 6 bytes, the position of the record, big-endian. Pages that are not ours are
   used through their method `get`. */

#ifndef PERDURE_INDEX_H
#define PERDURE_INDEX_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>

#define INDEX_PREFIX_SIZE 6
#define INDEX_SUFFIX_SIZE 2

static PyObject *index_get_name;

/* Prepare for what follows, when a module is initialized; -1 with an exception. */
static int find_index(void) {
    index_get_name = PyUnicode_InternFromString("get");
    return index_get_name == NULL ? -1 : 0;
}

/* Return whether something is the pages of an index. */
static inline int is_index(PyObject *pages) { return PyDict_Check(pages); }

/* Find where the current record of an object is, 0 if it has none; -1 with an exception. */
static int64_t index_position(PyObject *pages, const unsigned char *oid) {
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

#endif
