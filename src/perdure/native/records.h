/* Records on their way from a connection to its storage: what was read, and what is to be
   written. `_planning.c` has the type; `_storing.c` fills it. */

#ifndef PERDURE_RECORDS_H
#define PERDURE_RECORDS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <string.h>

typedef struct {
    PyObject *oid;  /* bytes, 8 of them */
    PyObject *data; /* bytes, at least one */
    unsigned char serial[8];
} Record;

/* To whoever it is handed over, it stays as it is. It holds nothing but bytes, so the
   garbage collector need not know it. */
typedef struct {
    PyObject_HEAD
    Record *items;
    Py_ssize_t count, room;
    Py_ssize_t size_bytes; /* of all data */
} Records;

/* Return the bytes of an oid or a tid, NULL without an exception for anything else. */
static inline const unsigned char *eight_bytes(PyObject *object) {
    if (!PyBytes_CheckExact(object) || PyBytes_Size(object) != 8)
        return NULL;
    return (const unsigned char *)PyBytes_AsString(object);
}

/* Add a record; 0 where one of them is not what it must be, -1 with an exception. */
static int records_add(Records *self, PyObject *oid, const unsigned char *serial, PyObject *data) {
    Record *item;
    if (eight_bytes(oid) == NULL || !PyBytes_CheckExact(data) || PyBytes_Size(data) == 0)
        return 0;
    if (self->count == self->room) {
        Py_ssize_t room = self->room ? 2 * self->room : 32;
        Record *grown = PyMem_Realloc(self->items, (size_t)room * sizeof *grown);
        if (grown == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        self->items = grown;
        self->room = room;
    }
    item = self->items + self->count++;
    item->oid = Py_NewRef(oid);
    item->data = Py_NewRef(data);
    memcpy(item->serial, serial, 8);
    self->size_bytes += PyBytes_Size(data);
    return 1;
}

#endif
