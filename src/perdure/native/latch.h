/* What lets one thread into a connection; `_jar.c` has its type. */

#ifndef PERDURE_LATCH_H
#define PERDURE_LATCH_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* The GIL guards its fields. */
typedef struct {
    PyObject_HEAD
    unsigned long owner;
    Py_ssize_t depth;
    char closed;
} Latch;

/* Whether this thread would be let in, to something that is open. What lets no other thread
   run meanwhile need not go in. */
static inline int latch_is_passable(const Latch *latch) {
    return !latch->closed && (latch->depth == 0 || latch->owner == PyThread_get_thread_ident());
}

#endif
