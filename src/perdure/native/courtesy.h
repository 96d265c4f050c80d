/* What the module _courtesy offers to other C code: to have a turn soon after being away.

   Who was away, waiting for the system or working without the GIL, takes the GIL back by
   BACK_SOON in place of Py_END_ALLOW_THREADS. It is found in the module as a capsule; without
   it, BACK_SOON is nothing more than the other. */

#ifndef PERDURE_COURTESY_H
#define PERDURE_COURTESY_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define COURTESY_MODULE "perdure.native._courtesy"
#define COURTESY_CAPSULE "_courtesy"

#ifdef _WIN32

#define BACK_SOON Py_END_ALLOW_THREADS
#define find_courtesy() 0
static inline void give_way(void) {}
static inline void give_way_to_waiting(void) {}

#else

#include <stdatomic.h>

struct courtesy {
    atomic_int waiting;     /* how many threads are back and wait for the GIL */
    atomic_int commits;     /* how many are in a part that calls the system */
    void (*give_way)(void); /* for who holds the GIL, when one of these is not 0 */
};

static struct courtesy *courtesy;

#define BACK_SOON                                                                                  \
    if (courtesy != NULL)                                                                          \
        atomic_fetch_add(&courtesy->waiting, 1);                                                   \
    Py_END_ALLOW_THREADS                                                                           \
    if (courtesy != NULL)                                                                          \
        atomic_fetch_sub(&courtesy->waiting, 1);

/* Let others have their turn, if they want it now; for who holds the GIL. */
static inline void give_way(void) {
    if (courtesy != NULL && (atomic_load_explicit(&courtesy->waiting, memory_order_relaxed) |
                             atomic_load_explicit(&courtesy->commits, memory_order_relaxed)) != 0)
        courtesy->give_way();
}

/* The same, but not to a commit that cannot tell whether it waits. */
static inline void give_way_to_waiting(void) {
    if (courtesy != NULL && atomic_load_explicit(&courtesy->waiting, memory_order_relaxed) != 0)
        courtesy->give_way();
}

/* Find what the module offers, which may be missing; -1 with an exception. */
static inline int find_courtesy(void) {
    PyObject *module = PyImport_ImportModule(COURTESY_MODULE), *capsule;
    if (module == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_ImportError))
            return -1;
        PyErr_Clear();
        return 0;
    }
    capsule = PyObject_GetAttrString(module, COURTESY_CAPSULE);
    Py_DECREF(module);
    if (capsule == NULL)
        return -1;
    /* The module stays, so what the capsule leads to does. */
    courtesy = PyCapsule_GetPointer(capsule, COURTESY_MODULE "." COURTESY_CAPSULE);
    Py_DECREF(capsule);
    return courtesy == NULL ? -1 : 0;
}

#endif
#endif
