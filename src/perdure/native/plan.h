/* What a transaction is about to write, in C: a mapping from oids to (data, back, previous),
   in the order in which they came. See `Changes.planned`, which is a dictionary otherwise. */

#ifndef PERDURE_PLAN_H
#define PERDURE_PLAN_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <string.h>

#ifdef Py_GIL_DISABLED
#error "this relies on the GIL; without it, Perdure uses what it has in Python"
#endif

typedef struct {
    PyObject *oid;  /* bytes, 8 of them */
    PyObject *data; /* a record, or what stands for it; NULL for None */
    uint64_t back;  /* 0 stands for None in these two */
    uint64_t previous;
} Planned;

typedef struct {
    PyObject_HEAD
    Planned *items;
    uint32_t *slots; /* 0, or the number of an item plus 1, by a hash of its oid */
    Py_ssize_t count, room;
    size_t slots_room; /* a power of 2, or 0; less than half of them are ever taken */
} Plan;

static inline size_t plan_first_slot(const Plan *self, const unsigned char *oid) {
    uint64_t number;
    memcpy(&number, oid, 8);
    number *= UINT64_C(0x9E3779B97F4A7C15);
    number ^= number >> 32;
    number *= UINT64_C(0x9E3779B97F4A7C15);
    return (size_t)(number >> 32) & (self->slots_room - 1);
}

/* Return what is planned for an oid, NULL without an exception if nothing is; then `slot` is
   where it goes, if there are slots. */
static inline Planned *plan_find(const Plan *self, const unsigned char *oid, size_t *slot) {
    if (self->slots_room == 0)
        return NULL;
    for (*slot = plan_first_slot(self, oid);; *slot = (*slot + 1) & (self->slots_room - 1)) {
        uint32_t entry = self->slots[*slot];
        if (entry == 0)
            return NULL;
        if (memcmp(PyBytes_AsString(self->items[entry - 1].oid), oid, 8) == 0)
            return self->items + (entry - 1);
    }
}

/* Make room for `count` items in all; -1 with an exception. */
static int plan_make_room(Plan *self, Py_ssize_t count) {
    Py_ssize_t room = self->room ? self->room : 64;
    Planned *items;
    uint32_t *slots;
    if (count <= self->room)
        return 0;
    while (room < count && (uint64_t)room <= UINT32_MAX / 4)
        room *= 2;
    if ((uint64_t)room > UINT32_MAX / 4) {
        PyErr_NoMemory();
        return -1;
    }
    items = PyMem_Realloc(self->items, (size_t)room * sizeof *items);
    if (items == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    self->items = items;
    slots = PyMem_Calloc((size_t)room * 2, sizeof *slots);
    if (slots == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    PyMem_Free(self->slots);
    self->slots = slots;
    self->slots_room = (size_t)room * 2;
    self->room = room;
    for (Py_ssize_t n = 0; n < self->count; n++) {
        const char *oid = PyBytes_AsString(items[n].oid);
        size_t slot = plan_first_slot(self, (const unsigned char *)oid);
        while (slots[slot] != 0)
            slot = (slot + 1) & (self->slots_room - 1);
        slots[slot] = (uint32_t)n + 1;
    }
    return 0;
}

/* Plan for an oid, which has 8 bytes; `data` can be NULL. -1 with an exception. */
static inline int plan_put(Plan *self, PyObject *oid, PyObject *data, uint64_t back,
                           uint64_t previous) {
    const unsigned char *name = (const unsigned char *)PyBytes_AsString(oid);
    size_t slot = 0;
    Planned *item = plan_find(self, name, &slot);
    if (item != NULL) {
        PyObject *before = item->data;
        item->data = Py_XNewRef(data);
        item->back = back;
        item->previous = previous;
        Py_XDECREF(before);
        return 0;
    }
    if (self->count == self->room) {
        if (plan_make_room(self, self->count + 1) < 0)
            return -1;
        plan_find(self, name, &slot);
    }
    item = self->items + self->count++;
    item->oid = Py_NewRef(oid);
    item->data = Py_XNewRef(data);
    item->back = back;
    item->previous = previous;
    self->slots[slot] = (uint32_t)self->count;
    return 0;
}

#endif
