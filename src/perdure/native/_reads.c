/* What a file storage tells of the past of an object, and how it takes transactions back.
 *
 *     record := oid:8 tid:8 previous:8 transaction:8 zero:2 size:8 (data | back:8)
 *
 * Whatever is unusual (a pointer in place of data, a very large record, damage, an error of
 * the system) is left to the pure functions, which know what to say about it.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "courtesy.h"
#include "index.h"

#define HEADER_SIZE 42

static uint64_t number_at(const unsigned char *at, int size) {
    uint64_t number = 0;
    int n;
    for (n = 0; n < size; n++)
        number = number << 8 | at[n];
    return number;
}

/* Reading */

static Py_ssize_t read_at(int descriptor, unsigned char *into, size_t size, int64_t position) {
    Py_ssize_t got;
    Py_BEGIN_ALLOW_THREADS
    got = pread(descriptor, into, size, (off_t)position);
    BACK_SOON
    return got;
}

/* Return a tuple of three; takes over the items, of which one may be missing. */
static PyObject *tuple_of(PyObject *one, PyObject *two, PyObject *three) {
    PyObject *made = NULL;
    if (one != NULL && two != NULL && three != NULL)
        made = PyTuple_Pack(3, one, two, three);
    Py_XDECREF(one);
    Py_XDECREF(two);
    Py_XDECREF(three);
    return made;
}

#include "history.h"
#include "undoing.h"

static PyMethodDef methods[] = {
    {"plan_undone", plan_undone, METH_VARARGS,
     "Plan the undo of a transaction whose objects nobody changed since; None for another one."},
    {"history", history, METH_VARARGS,
     "Describe an object's revisions; return also where the first one is that was left out."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "perdure.native._reads",
    .m_doc = "Records of a data file: looked back at, undone.",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__reads(void) {
    return find_index() < 0 || find_courtesy() < 0 ? NULL : PyModule_Create(&definition);
}
