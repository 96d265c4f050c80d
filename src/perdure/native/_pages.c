/* The index of a data file in memory, oid -> position: pages by the first 6 bytes of oids.

   `Pages` has as much of a dictionary, and `Page` of a `BTrees.fsBTree.fsBucket`, as
   what works with an index uses. Other modules look into it through the table that `calls`
   leads to (see index.h).

   An index is changed by one thread while others read it, all of them with the GIL and without
   another lock. So a change is made in one go: nothing in between runs Python code, and what
   might (making an object that the garbage collector watches) is done before or after. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "index.h"
#include "page.h"
#include "page_object.h"

#ifdef Py_GIL_DISABLED
#error "this relies on the GIL; without it, Perdure uses what it has in Python"
#endif

static PyTypeObject *pages_type;
static uint64_t secret;

/* The pages of an index: a hash table ------------------------------------------------------ */

struct place {
    uint64_t prefix;
    PyObject *page; /* NULL: a free place */
};

typedef struct {
    PyObject_HEAD
    struct place *places;
    size_t mask; /* how many places there are, less one: they are a power of two */
    size_t count;
    size_t popped; /* where `popitem` goes on to look for one */
    struct arena *arena; /* for what is loaded now, or NULL */
} Pages;

static uint64_t prefix_at(const unsigned char *oid) {
    uint64_t prefix = 0;
    memcpy((unsigned char *)&prefix + 2, oid, INDEX_PREFIX_SIZE);
    return swapped(prefix);
}

/* Nobody can make a file whose pages all want the same place: part of it is Python's secret. */
static inline size_t wanted_place(const Pages *pages, uint64_t prefix) {
    prefix = (prefix ^ secret) * UINT64_C(0x9E3779B97F4A7C15);
    prefix = (prefix ^ prefix >> 32) * UINT64_C(0xD6E8FEB86659FD93);
    return (size_t)(prefix >> 32) & pages->mask;
}

/* Return the place of a page, or where it would stand. */
static inline struct place *place_for(const Pages *pages, uint64_t prefix) {
    size_t at = wanted_place(pages, prefix);
    while (pages->places[at].page != NULL && pages->places[at].prefix != prefix)
        at = (at + 1) & pages->mask;
    return &pages->places[at];
}

static inline PyObject *find_page(const Pages *pages, uint64_t prefix) {
    return pages->places == NULL ? NULL : place_for(pages, prefix)->page;
}

static int more_places(Pages *pages) {
    struct place *old = pages->places;
    size_t many = old == NULL ? 0 : pages->mask + 1, at;
    size_t more = many ? many * 2 : 8;
    pages->places = PyMem_Calloc(more, sizeof *pages->places);
    if (pages->places == NULL) {
        pages->places = old;
        return 0;
    }
    pages->mask = more - 1;
    for (at = 0; at < many; at++)
        if (old[at].page != NULL)
            *place_for(pages, old[at].prefix) = old[at];
    PyMem_Free(old);
    return 1;
}

/* Put a page in its place, which takes over the reference; -1 with an exception. */
static int put_page(Pages *pages, uint64_t prefix, PyObject *page) {
    struct place *place;
    PyObject *before;
    if ((pages->places == NULL || pages->count * 3 >= (pages->mask + 1) * 2) &&
        !more_places(pages)) {
        Py_DECREF(page);
        PyErr_NoMemory();
        return -1;
    }
    place = place_for(pages, prefix);
    before = place->page;
    place->prefix = prefix;
    place->page = page;
    pages->count += before == NULL;
    Py_XDECREF(before);
    return 0;
}

/* Take the page out that is at a place; return it. */
static PyObject *take_page(Pages *pages, size_t at) {
    PyObject *page = pages->places[at].page;
    size_t next = at;
    pages->places[at].page = NULL;
    pages->count--;
    for (;;) { /* what was put further on because of it moves here */
        size_t wanted;
        next = (next + 1) & pages->mask;
        if (pages->places[next].page == NULL)
            return page;
        wanted = wanted_place(pages, pages->places[next].prefix);
        if (((next - wanted) & pages->mask) >= ((next - at) & pages->mask)) {
            pages->places[at] = pages->places[next];
            pages->places[next].page = NULL;
            at = next;
        }
    }
}

/* Return the page of an oid, a borrowed reference, made if there was none; NULL with an
 * exception. */
static PyObject *page_for(Pages *pages, uint64_t prefix) {
    PyObject *page = find_page(pages, prefix);
    if (page == NULL) {
        page = new_page();
        if (page == NULL || put_page(pages, prefix, page) < 0)
            return NULL;
    }
    return page;
}

static int compare_places(const void *one, const void *other) {
    uint64_t first = ((const struct place *)one)->prefix,
             second = ((const struct place *)other)->prefix;
    return first < second ? -1 : first > second;
}

/* Return all pages in order, with references of their own; NULL with an exception. */
static struct place *all_pages(const Pages *pages) {
    struct place *all = PyMem_Malloc((pages->count + 1) * sizeof *all);
    size_t at, number = 0;
    if (all == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    for (at = 0; number < pages->count; at++)
        if (pages->places[at].page != NULL) {
            all[number] = pages->places[at];
            Py_INCREF(all[number++].page);
        }
    qsort(all, number, sizeof *all, compare_places);
    return all;
}

/* Return a list of the prefixes in order, or of prefixes and pages. */
static PyObject *list_of(const Pages *pages, int with_pages) {
    size_t count = pages->count, number; /* now: making objects may run Python code */
    struct place *all = all_pages(pages);
    PyObject *list;
    if (all == NULL)
        return NULL;
    list = PyList_New((Py_ssize_t)count);
    for (number = 0; number < count; number++) {
        PyObject *item = list == NULL ? NULL : position_object(all[number].prefix);
        if (item != NULL && with_pages)
            item = Py_BuildValue("(NO)", item, all[number].page);
        Py_DECREF(all[number].page);
        if (item == NULL)
            Py_CLEAR(list);
        else
            PyList_SetItem(list, (Py_ssize_t)number, item);
    }
    PyMem_Free(all);
    return list;
}

static void pages_dealloc(PyObject *self) {
    Pages *pages = (Pages *)self;
    size_t at;
    for (at = 0; pages->places != NULL && at <= pages->mask; at++)
        Py_XDECREF(pages->places[at].page);
    PyMem_Free(pages->places);
    leave_arena(pages->arena);
    plain_dealloc(self);
}

/* Return the page of a key, a borrowed reference; NULL without an exception if there is none. */
static PyObject *page_of_key(PyObject *self, PyObject *key) {
    const unsigned char *prefix = key_bytes(key, INDEX_PREFIX_SIZE);
    return prefix == NULL ? NULL : find_page((Pages *)self, prefix_at(prefix));
}

static PyObject *pages_get(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    PyObject *page;
    if (nargs < 1 || nargs > 2) {
        PyErr_SetString(PyExc_TypeError, "expected a key, and a default");
        return NULL;
    }
    page = page_of_key(self, args[0]);
    return Py_NewRef(page != NULL ? page : nargs == 2 ? args[1] : Py_None);
}

static PyObject *pages_subscript(PyObject *self, PyObject *key) {
    PyObject *page = page_of_key(self, key);
    if (page == NULL)
        PyErr_SetObject(PyExc_KeyError, key);
    return Py_XNewRef(page);
}

static int pages_contains(PyObject *self, PyObject *key) { return page_of_key(self, key) != NULL; }

static int pages_assign(PyObject *self, PyObject *key, PyObject *value) {
    Pages *pages = (Pages *)self;
    const unsigned char *prefix = key_bytes(key, INDEX_PREFIX_SIZE);
    if (prefix == NULL || (value != NULL && Py_TYPE(value) != page_type)) {
        PyErr_SetString(PyExc_TypeError, "expected a key of 6 bytes, and a page of this module");
        return -1;
    }
    if (value != NULL)
        return put_page(pages, prefix_at(prefix), Py_NewRef(value));
    if (find_page(pages, prefix_at(prefix)) == NULL) {
        PyErr_SetObject(PyExc_KeyError, key);
        return -1;
    }
    Py_DECREF(take_page(pages, (size_t)(place_for(pages, prefix_at(prefix)) - pages->places)));
    return 0;
}

static Py_ssize_t pages_length(PyObject *self) { return (Py_ssize_t)((Pages *)self)->count; }

static PyObject *pages_iter(PyObject *self) {
    PyObject *prefixes = list_of((Pages *)self, 0);
    PyObject *walk = prefixes == NULL ? NULL : PyObject_GetIter(prefixes);
    Py_XDECREF(prefixes);
    return walk;
}

static PyObject *pages_items(PyObject *self, PyObject *Py_UNUSED(nothing)) {
    return list_of((Pages *)self, 1);
}

static PyObject *pages_popitem(PyObject *self, PyObject *Py_UNUSED(nothing)) {
    Pages *pages = (Pages *)self;
    PyObject *prefix;
    if (pages->count == 0) {
        PyErr_SetString(PyExc_KeyError, "there are no pages");
        return NULL;
    }
    while (pages->places[pages->popped].page == NULL)
        pages->popped = (pages->popped + 1) & pages->mask;
    prefix = position_object(pages->places[pages->popped].prefix);
    return prefix == NULL ? NULL : Py_BuildValue("(NN)", prefix, take_page(pages, pages->popped));
}

/* Oids ------------------------------------------------------------------------------------- */

static int64_t position_in(PyObject *self, const unsigned char *oid) {
    PyObject *page = find_page((Pages *)self, prefix_at(oid));
    uint64_t position = 0;
    if (page != NULL)
        page_find(entries_of(page), suffix_at(oid + INDEX_PREFIX_SIZE), &position);
    return (int64_t)position;
}

static PyObject *pages_position(PyObject *self, PyObject *oid) {
    const unsigned char *bytes = key_bytes(oid, 8);
    if (bytes == NULL && !PyBytes_Check(oid)) {
        PyErr_SetString(PyExc_TypeError, "an oid is bytes");
        return NULL;
    }
    return PyLong_FromLongLong(bytes == NULL ? 0 : position_in(self, bytes));
}

/* Enter positions by oid; or what `others` have of them, unless something is there. */
static PyObject *enter(Pages *pages, PyObject *positions, PyObject *others) {
    PyObject *oid, *number, *page = NULL;
    uint64_t last = 0;
    Py_ssize_t item = 0;
    if (!PyDict_Check(positions)) {
        PyErr_SetString(PyExc_TypeError, "expected positions by oid");
        return NULL;
    }
    while (PyDict_Next(positions, &item, &oid, &number)) {
        const unsigned char *name = key_bytes(oid, 8);
        uint64_t position = PyLong_AsUnsignedLongLong(number), before;
        unsigned suffix;
        if (position == (uint64_t)-1 && PyErr_Occurred())
            return NULL;
        if (name == NULL || position > POSITION_MASK) {
            PyErr_SetString(PyExc_ValueError, "expected oids of 8 bytes, positions of 6");
            return NULL;
        }
        if (page == NULL || last != prefix_at(name)) {
            last = prefix_at(name);
            page = page_for(pages, last);
            if (page == NULL)
                return NULL;
        }
        suffix = suffix_at(name + INDEX_PREFIX_SIZE);
        if (others != NULL) {
            if (page_find(entries_of(page), suffix, &before))
                continue;
            position = (uint64_t)position_in(others, name);
        }
        if (!page_put(entries_of(page), suffix, position))
            return PyErr_NoMemory();
    }
    Py_RETURN_NONE;
}

static PyObject *pages_enter(PyObject *self, PyObject *positions) {
    return enter((Pages *)self, positions, NULL);
}

static PyObject *pages_remember(PyObject *self, PyObject *args) {
    PyObject *positions, *others;
    if (!PyArg_ParseTuple(args, "OO!", &positions, pages_type, &others))
        return NULL;
    return enter((Pages *)self, positions, others);
}

static PyObject *pages_load(PyObject *self, PyObject *args) {
    Pages *pages = (Pages *)self;
    PyObject *prefix, *packed, *page;
    const unsigned char *name;
    int is_new, taken;
    if (!PyArg_ParseTuple(args, "OO", &prefix, &packed))
        return NULL;
    name = key_bytes(prefix, INDEX_PREFIX_SIZE);
    if (name == NULL) {
        PyErr_SetString(PyExc_TypeError, "a key of pages is 6 bytes");
        return NULL;
    }
    page = Py_XNewRef(find_page(pages, prefix_at(name)));
    is_new = page == NULL;
    if (is_new && (page = new_page()) == NULL)
        return NULL;
    taken = take_packed(page, packed, 1, pages->arena);
    if (taken == 0 && is_new)
        taken = put_page(pages, prefix_at(name), Py_NewRef(page));
    Py_DECREF(page);
    if (taken < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *pages_expect(PyObject *self, PyObject *size_bytes) {
    Pages *pages = (Pages *)self;
    size_t size = PyLong_AsSize_t(size_bytes);
    if (PyErr_Occurred())
        return NULL;
    leave_arena(pages->arena);
    pages->arena = new_arena(size / ENTRY_SIZE * 6 + size / ENTRY_SIZE * BLOCK_HEAD / BLOCK_MOST);
    Py_RETURN_NONE;
}

static PyMethodDef pages_methods[] = {
    {"get", (PyCFunction)(void (*)(void))pages_get, METH_FASTCALL,
     "Return the page of a prefix, a default or None if there is none."},
    {"items", pages_items, METH_NOARGS, "Return a list of prefixes and pages, in order."},
    {"popitem", pages_popitem, METH_NOARGS, "Take out a page; return it behind its prefix."},
    {"position", pages_position, METH_O, "Return the position of an oid, 0 if it has none."},
    {"enter", pages_enter, METH_O, "Enter positions by oid."},
    {"remember", pages_remember, METH_VARARGS,
     "Enter what other pages have of oids, or 0, unless something is there."},
    {"load", pages_load, METH_VARARGS, "Enter what is packed in the page of a prefix."},
    {"expect", pages_expect, METH_O,
     "Prepare for loading what is packed into so many bytes; with 0, no more is to be loaded."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot pages_slots[] = {
    {Py_tp_dealloc, (void *)pages_dealloc},
    {Py_tp_iter, (void *)pages_iter},
    {Py_tp_methods, pages_methods},
    {Py_mp_subscript, (void *)pages_subscript},
    {Py_mp_ass_subscript, (void *)pages_assign},
    {Py_mp_length, (void *)pages_length},
    {Py_sq_contains, (void *)pages_contains},
    {Py_tp_doc, "The pages of an index, by the first 6 bytes of the oids that are in them."},
    {0, NULL},
};

static PyType_Spec pages_spec = {
    "perdure.native._pages.Pages", sizeof(Pages), 0, Py_TPFLAGS_DEFAULT, pages_slots,
};

/* The module ------------------------------------------------------------------------------- */

static struct index_calls calls = {NULL, position_in};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "perdure.native._pages",
    .m_doc = "The index of a data file in memory.",
    .m_size = -1,
};

static PyTypeObject *new_type(PyObject *module, PyType_Spec *spec, const char *name) {
    PyObject *type = PyType_FromSpec(spec);
    if (type != NULL && name != NULL && PyModule_AddObjectRef(module, name, type) < 0)
        Py_CLEAR(type);
    return (PyTypeObject *)type;
}

PyMODINIT_FUNC PyInit__pages(void) {
    PyObject *module = PyModule_Create(&definition), *capsule = NULL;
    PyObject *name = module == NULL ? NULL : PyModule_GetNameObject(module);
    if (name == NULL) {
        Py_XDECREF(module);
        return NULL;
    }
    secret = (uint64_t)PyObject_Hash(name); /* another one in each process */
    Py_DECREF(name);
    page_type = new_type(module, &page_spec, "Page");
    pages_type = page_type == NULL ? NULL : new_type(module, &pages_spec, "Pages");
    walk_type = pages_type == NULL ? NULL : new_type(module, &walk_spec, NULL);
    if (walk_type != NULL) {
        calls.pages_type = pages_type;
        capsule = PyCapsule_New(&calls, INDEX_CALLS, NULL);
    }
    if (capsule == NULL || PyModule_AddObjectRef(module, "calls", capsule) < 0)
        Py_CLEAR(module);
    Py_XDECREF(capsule);
    return module;
}
