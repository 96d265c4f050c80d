/* References and the class of a record, for Python: see references.h. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "references.h"

/* Kept from one call to the next, unless a large record has made it large. */
static struct scan kept;
#define KEPT_COUNT 4096

static PyObject *list_of_oids(const struct scan *scan) {
    PyObject *oids = PyList_New((Py_ssize_t)scan->found_count);
    size_t n;
    if (oids == NULL)
        return NULL;
    for (n = 0; n < scan->found_count; n++) {
        PyObject *oid = PyBytes_FromStringAndSize((const char *)scan->found[n], 8);
        if (oid == NULL || PyList_SetItem(oids, (Py_ssize_t)n, oid) < 0) {
            Py_DECREF(oids);
            return NULL;
        }
    }
    return oids;
}

static PyObject *references(PyObject *Py_UNUSED(module), PyObject *record) {
    PyObject *oids = NULL;
    enum scan_result result;
    if (!PyBytes_Check(record))
        Py_RETURN_NONE;
    result = scan_references(&kept, (const uint8_t *)PyBytes_AsString(record),
                             (size_t)PyBytes_Size(record));
    if (result == SCAN_DONE)
        oids = list_of_oids(&kept);
    else if (result == SCAN_NO_MEMORY)
        PyErr_NoMemory();
    else
        oids = Py_NewRef(Py_None);
    if (kept.stack_size > KEPT_COUNT || kept.memo_size > KEPT_COUNT ||
        kept.marks_size > KEPT_COUNT || kept.found_size > KEPT_COUNT)
        scan_free(&kept);
    return oids;
}

static PyObject *class_at_head(PyObject *Py_UNUSED(module), PyObject *record) {
    struct plain_head head;
    if (!PyBytes_Check(record)) {
        PyErr_SetString(PyExc_TypeError, "a record is bytes");
        return NULL;
    }
    if (!plain_head((const uint8_t *)PyBytes_AsString(record), (size_t)PyBytes_Size(record),
                    &head) ||
        !is_utf8(head.module, head.module_size, 0) || !is_utf8(head.name, head.name_size, 0))
        Py_RETURN_NONE;
    return Py_BuildValue("(s#s#)", head.module, (Py_ssize_t)head.module_size, head.name,
                         (Py_ssize_t)head.name_size);
}

static PyMethodDef methods[] = {
    {"references", references, METH_O,
     "Return the oids that keep objects alive, in order; None where the pure function must look."},
    {"class_at_head", class_at_head, METH_O,
     "Return the module and name of the class of a plain record, else None."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "perdure.native._scanner",
    .m_doc = "References and classes of records, found in their bytes.",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__scanner(void) { return PyModule_Create(&definition); }
