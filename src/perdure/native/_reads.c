/* What a file storage tells of the past of an object.
 *
 * Whatever is unusual (a pointer in place of data, a very large record, damage, an error of
 * the system) is left to the pure functions, which know what to say about it.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "reading.h"

#include "history.h"

static PyMethodDef methods[] = {
    {"history", history, METH_VARARGS,
     "Describe an object's revisions; return also where the first one is that was left out."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "perdure.native._reads",
    .m_doc = "Records of a data file, looked back at.",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__reads(void) {
    return find_courtesy() < 0 ? NULL : PyModule_Create(&definition);
}
