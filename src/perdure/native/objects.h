/* What the modules for connections share: persistent objects, seen from C.

   The layout of an object and the head of its cache are those of <persistent>,
   whose wheel ships this header for the purpose. */

#ifndef PERDURE_OBJECTS_H
#define PERDURE_OBJECTS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>
#include <structmember.h>

#include "persistence.h"

#ifdef Py_GIL_DISABLED
#error "this relies on the GIL; without it, Perdure uses what it has in Python"
#endif

typedef struct {
    CACHE_HEAD
} CacheHead;

/* Find the C implementation of persistent; -1 with an ImportError where there is none. */
static int find_persistent(void) {
    cPersistenceCAPI = import_persistence();
    return cPersistenceCAPI == NULL ? -1 : 0;
}

static int is_persistent(PyObject *obj) {
    return PyObject_TypeCheck(obj, cPersistenceCAPI->pertype);
}

/* Note the size of an object's record: in its cache, if it counts there, and in itself. */
static inline void note_size(cPersistentObject *obj, Py_ssize_t size_bytes) {
    int size = _estimated_size_in_24_bits(size_bytes);
    if (obj->cache != NULL && obj->ring.r_next != NULL)
        ((CacheHead *)obj->cache)->total_estimated_size +=
            _estimated_size_in_bytes(size - (int)obj->estimated_size);
    obj->estimated_size = (unsigned)size;
}

#endif
