/* The way from an object to the new ones that it leads to: which there are, through which
   each was found, and which still wait to be stored, the next one last. */

#ifndef PERDURE_WAY_H
#define PERDURE_WAY_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

typedef struct {
    PyObject *obj;
    Py_ssize_t through; /* the number of another one, or -1 */
} Step;

typedef struct {
    Step *steps;
    Py_ssize_t *waiting; /* numbers of steps */
    Py_ssize_t count, room, waiting_count, waiting_room;
} Way;

static void *grown(void *array, Py_ssize_t *room, size_t size) {
    Py_ssize_t more = *room ? 2 * *room : 64;
    void *larger = PyMem_Realloc(array, (size_t)more * size);
    if (larger == NULL)
        PyErr_NoMemory();
    else
        *room = more;
    return larger;
}

/* Have an object wait; -1 with an exception. */
static int wait_for(Way *way, PyObject *obj, Py_ssize_t through) {
    if (way->count == way->room) {
        Step *steps = grown(way->steps, &way->room, sizeof *steps);
        if (steps == NULL)
            return -1;
        way->steps = steps;
    }
    if (way->waiting_count == way->waiting_room) {
        Py_ssize_t *waiting = grown(way->waiting, &way->waiting_room, sizeof *waiting);
        if (waiting == NULL)
            return -1;
        way->waiting = waiting;
    }
    way->waiting[way->waiting_count++] = way->count;
    way->steps[way->count].through = through;
    way->steps[way->count++].obj = Py_NewRef(obj);
    return 0;
}

/* Forget the objects, but not the room for more. */
static void clear_way(Way *way) {
    while (way->count > 0)
        Py_DECREF(way->steps[--way->count].obj);
    way->waiting_count = 0;
}

static void free_way(Way *way) {
    clear_way(way);
    PyMem_Free(way->steps);
    PyMem_Free(way->waiting);
}

/* Return the trails of the steps, (object, trail or None), for those that are needed; NULL
   with an exception. */
static PyObject **trails_of(const Way *way) {
    PyObject **trails = PyMem_Calloc((size_t)way->count + 1, sizeof *trails);
    Py_ssize_t n;
    if (trails == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t number = 0; number < way->waiting_count; number++)
        for (n = way->waiting[number]; n >= 0 && trails[n] == NULL; n = way->steps[n].through)
            trails[n] = Py_None; /* it is needed */
    for (n = 0; n < way->count; n++) { /* those before are made by then */
        Py_ssize_t through = way->steps[n].through;
        if (trails[n] == NULL)
            continue;
        trails[n] = PyTuple_Pack(2, way->steps[n].obj, through < 0 ? Py_None : trails[through]);
        if (trails[n] == NULL)
            break;
    }
    if (n < way->count) {
        while (n-- > 0)
            Py_XDECREF(trails[n]);
        PyMem_Free(trails);
        return NULL;
    }
    return trails;
}

/* Put the trails of all that waits on `pending`, for an error, which stays set. */
static void note_waiting(const Way *way, PyObject *pending) {
    PyObject *type, *value, *traceback, **trails;
    PyErr_Fetch(&type, &value, &traceback);
    trails = trails_of(way);
    if (trails != NULL) {
        for (Py_ssize_t n = 0; n < way->waiting_count; n++)
            if (PyList_Append(pending, trails[way->waiting[n]]) < 0)
                break;
        for (Py_ssize_t n = 0; n < way->count; n++)
            Py_XDECREF(trails[n]);
        PyMem_Free(trails);
    }
    PyErr_Clear();
    PyErr_Restore(type, value, traceback);
}

/* Have what was found wait, the first of it last, and empty the list. */
static int take_found(Way *way, PyObject *found, Py_ssize_t through) {
    Py_ssize_t n = PyList_Size(found);
    if (n == 0)
        return 0;
    while (n-- > 0)
        if (wait_for(way, PyList_GetItem(found, n), through) < 0)
            return -1;
    return PyList_SetSlice(found, 0, PyList_Size(found), NULL);
}

#endif
