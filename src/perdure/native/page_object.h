/* A page of an index as an object: as much of a `BTrees.fsBTree.fsBucket` as is used of one. */

#ifndef PERDURE_PAGE_OBJECT_H
#define PERDURE_PAGE_OBJECT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <string.h>

#include "index.h"
#include "page.h"

static PyTypeObject *page_type, *walk_type;

static void plain_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

/* Return the bytes of a key of so many, NULL without an exception for anything else. */
static const unsigned char *key_bytes(PyObject *key, Py_ssize_t size) {
    if (!PyBytes_Check(key) || PyBytes_Size(key) != size)
        return NULL;
    return (const unsigned char *)PyBytes_AsString(key);
}

/* Return a suffix, -1 without an exception for anything else. */
static int suffix_from(PyObject *key) {
    const unsigned char *data = key_bytes(key, INDEX_SUFFIX_SIZE);
    return data == NULL ? -1 : (int)suffix_at(data);
}

static PyObject *suffix_object(unsigned suffix) {
    const char data[INDEX_SUFFIX_SIZE] = {(char)(suffix >> 8), (char)(suffix & 255)};
    return PyBytes_FromStringAndSize(data, sizeof data);
}

/* Return a position as bytes, or a prefix, which has as many. */
static PyObject *position_object(uint64_t position) {
    unsigned char data[6];
    put_position(data, position);
    return PyBytes_FromStringAndSize((const char *)data, sizeof data);
}

typedef struct {
    PyObject_HEAD
    struct page page;
} Page;

static struct page *entries_of(PyObject *self) { return &((Page *)self)->page; }

static PyObject *new_page(void) {
    return ((allocfunc)PyType_GetSlot(page_type, Py_tp_alloc))(page_type, 0);
}

static void page_dealloc(PyObject *self) {
    clear_page(entries_of(self));
    plain_dealloc(self);
}

/* Return the position of a key as an object, NULL without an exception if there is none. */
static PyObject *position_of_key(PyObject *self, PyObject *key) {
    uint64_t position;
    int suffix = suffix_from(key);
    if (suffix < 0 || !page_find(entries_of(self), (unsigned)suffix, &position))
        return NULL;
    return position_object(position);
}

static PyObject *page_get(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    PyObject *found;
    if (nargs < 1 || nargs > 2) {
        PyErr_SetString(PyExc_TypeError, "expected a key, and a default");
        return NULL;
    }
    found = position_of_key(self, args[0]);
    if (found != NULL || PyErr_Occurred())
        return found;
    return Py_NewRef(nargs == 2 ? args[1] : Py_None);
}

static PyObject *page_subscript(PyObject *self, PyObject *key) {
    PyObject *found = position_of_key(self, key);
    if (found == NULL && !PyErr_Occurred())
        PyErr_SetObject(PyExc_KeyError, key);
    return found;
}

static int page_contains(PyObject *self, PyObject *key) {
    uint64_t position;
    int suffix = suffix_from(key);
    return suffix >= 0 && page_find(entries_of(self), (unsigned)suffix, &position);
}

static int page_assign(PyObject *self, PyObject *key, PyObject *value) {
    const unsigned char *data;
    unsigned char padded[8] = {0};
    int suffix = suffix_from(key);
    if (suffix < 0) {
        PyErr_SetString(PyExc_TypeError, "a key of a page is 2 bytes");
        return -1;
    }
    if (value == NULL) {
        if (page_remove(entries_of(self), (unsigned)suffix))
            return 0;
        PyErr_SetObject(PyExc_KeyError, key);
        return -1;
    }
    data = key_bytes(value, 6);
    if (data == NULL) {
        PyErr_SetString(PyExc_TypeError, "a value of a page is 6 bytes");
        return -1;
    }
    memcpy(padded + 2, data, 6);
    if (!page_put(entries_of(self), (unsigned)suffix, position_at(padded + 2))) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static Py_ssize_t page_length(PyObject *self) { return (Py_ssize_t)entries_of(self)->count; }

static PyObject *page_min_key(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    unsigned found;
    uint64_t position;
    int lowest = 0;
    if (nargs > 1 || (nargs == 1 && args[0] != Py_None && (lowest = suffix_from(args[0])) < 0)) {
        PyErr_SetString(PyExc_TypeError, "expected at most one key, 2 bytes");
        return NULL;
    }
    if (!page_next(entries_of(self), (unsigned)lowest, &found, &position)) {
        PyErr_SetString(PyExc_ValueError, "the page has no such key");
        return NULL;
    }
    return suffix_object(found);
}

static PyObject *page_max_key(PyObject *self, PyObject *Py_UNUSED(nothing)) {
    const struct page *page = entries_of(self);
    if (page->count == 0) {
        PyErr_SetString(PyExc_ValueError, "the page has no key");
        return NULL;
    }
    return suffix_object(page_highest(page));
}

static PyObject *page_to_string(PyObject *self, PyObject *Py_UNUSED(nothing)) {
    const struct page *page = entries_of(self);
    PyObject *packed = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)page->count * ENTRY_SIZE);
    if (packed != NULL)
        pack_page(page, (unsigned char *)PyBytes_AsString(packed));
    return packed;
}

/* Let a page have what is packed, and what it has besides if there is to be `more`; -1 with an
 * exception. */
static int take_packed(PyObject *self, PyObject *packed, int more, struct arena *arena) {
    Py_buffer view;
    int taken = -1;
    if (PyObject_GetBuffer(packed, &view, PyBUF_SIMPLE) < 0)
        return -1;
    if (view.len % ENTRY_SIZE) {
        PyErr_SetString(PyExc_ValueError, "a packed page has 8 bytes for each entry");
    } else {
        struct page *page = entries_of(self);
        size_t count = (size_t)view.len / ENTRY_SIZE;
        if (!more)
            clear_page(page);
        if (page->count ? put_packed(page, view.buf, count)
                        : unpack_page(page, view.buf, count, arena))
            taken = 0;
        else
            PyErr_NoMemory();
    }
    PyBuffer_Release(&view);
    return taken;
}

static PyObject *page_from_string(PyObject *self, PyObject *packed) {
    return take_packed(self, packed, 0, NULL) < 0 ? NULL : Py_NewRef(self);
}

/* Walking over a page: the next entry is found anew each time, so it may change meanwhile. */

typedef struct {
    PyObject_HEAD
    PyObject *page;
    unsigned next;
    int with_positions;
} Walk;

static PyObject *new_walk(PyObject *page, int with_positions) {
    Walk *walk = (Walk *)((allocfunc)PyType_GetSlot(walk_type, Py_tp_alloc))(walk_type, 0);
    if (walk != NULL) {
        walk->page = Py_NewRef(page);
        walk->with_positions = with_positions;
    }
    return (PyObject *)walk;
}

static void walk_dealloc(PyObject *self) {
    Py_DECREF(((Walk *)self)->page);
    plain_dealloc(self);
}

static PyObject *walk_next(PyObject *self) {
    Walk *walk = (Walk *)self;
    PyObject *key, *value, *item;
    unsigned suffix;
    uint64_t position;
    if (!page_next(entries_of(walk->page), walk->next, &suffix, &position))
        return NULL;
    walk->next = suffix + 1;
    key = suffix_object(suffix);
    if (key == NULL || !walk->with_positions)
        return key;
    value = position_object(position);
    item = value == NULL ? NULL : PyTuple_Pack(2, key, value);
    Py_DECREF(key);
    Py_XDECREF(value);
    return item;
}

static PyObject *page_iter(PyObject *self) { return new_walk(self, 0); }

static PyObject *page_items(PyObject *self, PyObject *Py_UNUSED(nothing)) {
    return new_walk(self, 1);
}

static PyType_Slot walk_slots[] = {
    {Py_tp_dealloc, (void *)walk_dealloc},
    {Py_tp_iter, (void *)PyObject_SelfIter},
    {Py_tp_iternext, (void *)walk_next},
    {0, NULL},
};

static PyType_Spec walk_spec = {
    "perdure.native._pages.Walk", sizeof(Walk), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, walk_slots,
};

static PyMethodDef page_methods[] = {
    {"get", (PyCFunction)(void (*)(void))page_get, METH_FASTCALL,
     "Return the 6 bytes that a suffix leads to, a default or None if there are none."},
    {"items", page_items, METH_NOARGS, "Return an iterator over suffixes and what they lead to."},
    {"minKey", (PyCFunction)(void (*)(void))page_min_key, METH_FASTCALL,
     "Return the lowest suffix, that is not below another if one is given."},
    {"maxKey", page_max_key, METH_NOARGS, "Return the highest suffix."},
    {"toString", page_to_string, METH_NOARGS, "Return the entries, packed."},
    {"fromString", page_from_string, METH_O,
     "Have the entries that are packed, and no others; return the page."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot page_slots[] = {
    {Py_tp_dealloc, (void *)page_dealloc},
    {Py_tp_iter, (void *)page_iter},
    {Py_tp_methods, page_methods},
    {Py_mp_subscript, (void *)page_subscript},
    {Py_mp_ass_subscript, (void *)page_assign},
    {Py_mp_length, (void *)page_length},
    {Py_sq_contains, (void *)page_contains},
    {Py_tp_doc, "A page of an index: 2 bytes of an oid lead to 6 bytes of a position."},
    {0, NULL},
};

static PyType_Spec page_spec = {
    "perdure.native._pages.Page", sizeof(Page), 0, Py_TPFLAGS_DEFAULT, page_slots,
};

#endif
