/* Records of a data file, found and read by oid: what `storages.file.reader.View` does.

   A record is

       oid:8 tid:8 previous:8 transaction:8 zero:2 size:8 (data | back:8)

   Whatever is unusual (a pointer in place of data, a very large record, damage, an error of
   the system) is left to Python, which knows what to say about it. */

#include "blocks.h"
#include "courtesy.h"
#include "index.h"
#include "view.h"

#include <structmember.h>

#define HEADER_SIZE 42
#define READ_AHEAD 1024
#define LARGEST (1 << 20) /* beyond, Python looks first whether the file has so much */
#define LARGEST_KEPT (1 << 15) /* beyond, a record is read past the blocks */

static inline uint64_t number_at(const unsigned char *at) {
    return (uint64_t)at[0] << 56 | (uint64_t)at[1] << 48 | (uint64_t)at[2] << 40 |
           (uint64_t)at[3] << 32 | (uint64_t)at[4] << 24 | (uint64_t)at[5] << 16 |
           (uint64_t)at[6] << 8 | (uint64_t)at[7];
}

/* Return the bytes of an oid or a tid, NULL without an exception for anything else. */
static const unsigned char *eight_bytes(PyObject *object) {
    if (!PyBytes_CheckExact(object) || PyBytes_Size(object) != 8)
        return NULL;
    return (const unsigned char *)PyBytes_AsString(object);
}

/* Records: a data file and the index to it. */

typedef struct {
    PyObject_HEAD
    PyObject *pages;
    PyObject *file; /* which owns the descriptor */
    struct blocks blocks;
} Records;

static PyTypeObject *records_type;

static PyObject *records_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *pages, *file;
    Py_ssize_t size_bytes;
    size_t sets = 0;
    long long end;
    int descriptor;
    Records *self;
    if (kwargs != NULL || !PyArg_ParseTuple(args, "OOiLn:Records", &pages, &file, &descriptor,
                                            &end, &size_bytes))
        return NULL;
    if (!is_index(pages)) {
        PyErr_SetString(PyExc_TypeError, "expected the pages of an index");
        return NULL;
    }
    self = (Records *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (self == NULL)
        return NULL;
    self->pages = Py_NewRef(pages);
    self->file = Py_NewRef(file);
    self->blocks.descriptor = descriptor;
    self->blocks.end = end;
    if (size_bytes >= 2 * BLOCK_SIZE)
        for (sets = 1; (Py_ssize_t)(sets * 4 * BLOCK_SIZE) <= size_bytes; sets *= 2)
            ;
    self->blocks.set_count = sets;
    return (PyObject *)self;
}

static int records_traverse(PyObject *op, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((Records *)op)->pages);
    Py_VISIT(((Records *)op)->file);
    return 0;
}

/* The references are dropped at the end only: a load may still be under way. Neither an index
   nor a file leads back here. */
static void records_dealloc(PyObject *op) {
    PyTypeObject *type = Py_TYPE(op);
    Records *self = (Records *)op;
    PyObject_GC_UnTrack(op);
    Py_CLEAR(self->pages);
    Py_CLEAR(self->file);
    free_blocks(&self->blocks);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(op);
    Py_DECREF(type);
}

/* Return the header of a record, and what follows it if that costs nothing; and how much of
   both. It is in `ahead`, or in a block. */
static const unsigned char *read_header(struct blocks *blocks, int64_t place,
                                        unsigned char *ahead, Py_ssize_t *got) {
    if (blocks->set_count && place + HEADER_SIZE <= blocks->end) {
        const unsigned char *found = in_block(blocks, place, HEADER_SIZE, got);
        if (found != NULL)
            return found;
        *got = HEADER_SIZE;
        if (copy_from_blocks(blocks, place, HEADER_SIZE, ahead))
            return ahead;
    }
    *got = read_at(blocks->descriptor, ahead, READ_AHEAD, place);
    return ahead;
}

/* Read the data of the record at `place`; `got` bytes of both are at `header`. 0 where they
   cannot be had, perhaps with an exception. */
static int read_data(struct blocks *blocks, int64_t place, const unsigned char *header,
                     Py_ssize_t got, Py_ssize_t size, struct revision *revision) {
    int64_t start = place + HEADER_SIZE;
    unsigned char *into = revision->room;
    revision->data = NULL;
    if (size > revision->room_size) {
        revision->data = PyBytes_FromStringAndSize(NULL, size);
        if (revision->data == NULL)
            return 0;
        into = (unsigned char *)PyBytes_AsString(revision->data);
    }
    revision->bytes = into;
    revision->size = size;
    got -= HEADER_SIZE;
    if (got > size)
        got = size;
    memcpy(into, header + HEADER_SIZE, (size_t)got);
    if (got == size ||
        (blocks->set_count && start + size <= blocks->end && size <= LARGEST_KEPT &&
         copy_from_blocks(blocks, start + got, size - got, into + got)) ||
        read_at(blocks->descriptor, into + got, (size_t)(size - got), start + got) == size - got)
        return 1;
    Py_CLEAR(revision->data);
    return 0;
}

/* Find what was current just before `tid`. See reader.View.pure_load_before. */
static enum found find(Records *self, const unsigned char *oid, const unsigned char *tid,
                       struct revision *revision) {
    unsigned char ahead[READ_AHEAD];
    const unsigned char *header;
    uint64_t size, previous;
    Py_ssize_t got;
    int64_t place = index_position(self->pages, oid);
    if (place < 0)
        return FOUND_ERROR;
    if (place == 0)
        return LEFT;
    revision->has_next = 0;
    for (;;) {
        header = read_header(&self->blocks, place, ahead, &got);
        if (got < HEADER_SIZE || memcmp(header, oid, 8) != 0 || header[32] != 0 || header[33] != 0)
            return LEFT;
        previous = number_at(header + 16);
        if (previous >= (uint64_t)place)
            return LEFT;
        if (memcmp(header + 8, tid, 8) < 0)
            break;
        if (previous == 0)
            return YOUNGER;
        memcpy(revision->next_tid, header + 8, 8);
        revision->has_next = 1;
        place = (int64_t)previous;
    }
    size = number_at(header + 34);
    if (size == 0 || size > LARGEST)
        return LEFT;
    memcpy(revision->tid, header + 8, 8);
    if (!read_data(&self->blocks, place, header, got, (Py_ssize_t)size, revision))
        return PyErr_Occurred() ? FOUND_ERROR : LEFT;
    return FOUND;
}

/* Return data, tid and next tid; takes over the data. */
static PyObject *revision_tuple(const struct revision *revision) {
    PyObject *tid = PyBytes_FromStringAndSize((const char *)revision->tid, 8), *made = NULL;
    PyObject *next = revision->has_next
                         ? PyBytes_FromStringAndSize((const char *)revision->next_tid, 8)
                         : Py_NewRef(Py_None);
    if (tid != NULL && next != NULL)
        made = PyTuple_Pack(3, revision->data, tid, next);
    Py_DECREF(revision->data);
    Py_XDECREF(tid);
    Py_XDECREF(next);
    return made;
}

static PyObject *load_before(Records *self, PyObject *oid_object, PyObject *tid_object) {
    const unsigned char *oid = eight_bytes(oid_object), *tid = eight_bytes(tid_object);
    struct revision revision = {.room = NULL};
    if (oid == NULL || tid == NULL)
        Py_RETURN_NOTIMPLEMENTED;
    switch (find(self, oid, tid, &revision)) {
    case FOUND:
        return revision_tuple(&revision);
    case YOUNGER:
        Py_RETURN_NONE;
    case LEFT:
        Py_RETURN_NOTIMPLEMENTED;
    default:
        return NULL;
    }
}

static PyObject *records_load_before(Records *self, PyObject *const *args, Py_ssize_t nargs) {
    if (nargs != 2) {
        PyErr_SetString(PyExc_TypeError, "load_before takes an oid and a tid");
        return NULL;
    }
    return load_before(self, args[0], args[1]);
}

static PyMethodDef records_methods[] = {
    {"load_before", (PyCFunction)(void (*)(void))records_load_before, METH_FASTCALL,
     "Return what `View.load_before` does; NotImplemented where that must look."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef records_members[] = {
    {"end", T_LONGLONG, offsetof(Records, blocks.end), 0, "what is below is visible"},
    {"block_reads", T_PYSSIZET, offsetof(Records, blocks.reads), READONLY,
     "how many blocks were read"},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot records_slots[] = {
    {Py_tp_doc, "Records(pages, file, descriptor, end, size_bytes): a file and the index to it."},
    {Py_tp_new, records_new},
    {Py_tp_dealloc, records_dealloc},
    {Py_tp_traverse, records_traverse},
    {Py_tp_methods, records_methods},
    {Py_tp_members, records_members},
    {0, NULL},
};

static PyType_Spec records_spec = {
    .name = "perdure.native._view.Records",
    .basicsize = sizeof(Records),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = records_slots,
};

/* Relay: passes (oid, tid) on, as a storage does that can change its file.

   Its target is held during a call: whoever is in the midst of one goes on with what
   it began with. */

typedef struct {
    PyObject_HEAD
    PyObject *records;   /* or NULL: all goes to the other */
    PyObject *otherwise; /* otherwise(oid, tid) */
} Relay;

static PyObject *relay_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    if (PyTuple_Size(args) != 0 || kwargs != NULL) {
        PyErr_SetString(PyExc_TypeError, "Relay takes no arguments");
        return NULL;
    }
    return ((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
}

static int relay_traverse(PyObject *op, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((Relay *)op)->records);
    Py_VISIT(((Relay *)op)->otherwise);
    return 0;
}

static int relay_clear(PyObject *op) {
    Py_CLEAR(((Relay *)op)->records);
    Py_CLEAR(((Relay *)op)->otherwise);
    return 0;
}

static void relay_dealloc(PyObject *op) {
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    relay_clear(op);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(op);
    Py_DECREF(type);
}

static PyObject *relay_aim(Relay *self, PyObject *args) {
    PyObject *records, *otherwise, *before, *otherwise_before;
    if (!PyArg_ParseTuple(args, "OO:aim", &records, &otherwise))
        return NULL;
    if (records != Py_None && Py_TYPE(records) != records_type) {
        PyErr_SetString(PyExc_TypeError, "expected Records, or None");
        return NULL;
    }
    before = self->records;
    otherwise_before = self->otherwise;
    self->records = records == Py_None ? NULL : Py_NewRef(records);
    self->otherwise = Py_NewRef(otherwise);
    Py_XDECREF(before);
    Py_XDECREF(otherwise_before);
    Py_RETURN_NONE;
}

/* Pass on arguments that have names, or are too few or too many. */
static PyObject *call_with_names(PyObject *function, PyObject *const *args, Py_ssize_t nargs,
                                 PyObject *names) {
    PyObject *positional = PyTuple_New(nargs), *named = PyDict_New(), *result = NULL;
    Py_ssize_t n;
    if (positional == NULL || named == NULL)
        goto done;
    for (n = 0; n < nargs; n++)
        if (PyTuple_SetItem(positional, n, Py_NewRef(args[n])) < 0)
            goto done;
    for (n = 0; names != NULL && n < PyTuple_Size(names); n++)
        if (PyDict_SetItem(named, PyTuple_GetItem(names, n), args[nargs + n]) < 0)
            goto done;
    result = PyObject_Call(function, positional, named);
done:
    Py_XDECREF(positional);
    Py_XDECREF(named);
    return result;
}

static PyObject *relay_call(Relay *self, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *names) {
    PyObject *records, *otherwise, *result;
    give_way_to_waiting();
    records = self->records;
    otherwise = self->otherwise;
    if (otherwise == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the relay is not aimed yet");
        return NULL;
    }
    Py_INCREF(otherwise);
    if (nargs != 2 || names != NULL) {
        result = call_with_names(otherwise, args, nargs, names);
        Py_DECREF(otherwise);
        return result;
    }
    result = Py_NewRef(Py_NotImplemented);
    if (records != NULL) {
        Py_DECREF(result);
        Py_INCREF(records);
        result = load_before((Records *)records, args[0], args[1]);
        Py_DECREF(records);
    }
    if (result == Py_NotImplemented) {
        Py_DECREF(result);
        result = PyObject_CallFunctionObjArgs(otherwise, args[0], args[1], NULL);
    }
    Py_DECREF(otherwise);
    return result;
}

static enum found relay_find(PyObject *relay, const unsigned char *oid, const unsigned char *tid,
                             struct revision *revision) {
    PyObject *records = ((Relay *)relay)->records;
    enum found found;
    if (records == NULL)
        return LEFT;
    Py_INCREF(records);
    found = find((Records *)records, oid, tid, revision);
    Py_DECREF(records);
    return found;
}

static PyMethodDef relay_methods[] = {
    {"aim", (PyCFunction)relay_aim, METH_VARARGS,
     "Load from these records from now on, by otherwise(oid, tid) what they do not know."},
    {"call", (PyCFunction)(void (*)(void))relay_call, METH_FASTCALL | METH_KEYWORDS,
     "Pass oid and tid on."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot relay_slots[] = {
    {Py_tp_doc, "Passes oid and tid on to records that can be exchanged."},
    {Py_tp_new, relay_new},
    {Py_tp_dealloc, relay_dealloc},
    {Py_tp_traverse, relay_traverse},
    {Py_tp_clear, relay_clear},
    {Py_tp_methods, relay_methods},
    {0, NULL},
};

static PyType_Spec relay_spec = {
    .name = "perdure.native._view.Relay",
    .basicsize = sizeof(Relay),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = relay_slots,
};

/* The module */

static struct view_calls calls = {
    .relay_call = (PyCFunction)(void (*)(void))relay_call,
    .relay_find = relay_find,
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = VIEW_MODULE,
    .m_doc = "Records of a data file, found and read by oid.",
    .m_size = -1,
};

/* Add an object to the module, which owns it then; 0 with an exception. */
static int add(PyObject *module, const char *name, PyObject *object) {
    int failed = object == NULL || PyModule_AddObjectRef(module, name, object) < 0;
    Py_XDECREF(object);
    return !failed;
}

PyMODINIT_FUNC PyInit__view(void) {
    PyObject *module;
    if (find_index() < 0 || find_courtesy() < 0)
        return NULL;
    records_type = (PyTypeObject *)PyType_FromSpec(&records_spec);
    if (records_type == NULL)
        return NULL;
    module = PyModule_Create(&definition);
    if (module == NULL)
        return NULL;
    if (!add(module, "Records", Py_NewRef((PyObject *)records_type)) ||
        !add(module, "Relay", PyType_FromSpec(&relay_spec)) ||
        !add(module, VIEW_CAPSULE, PyCapsule_New(&calls, VIEW_MODULE "." VIEW_CAPSULE, NULL)))
        Py_CLEAR(module);
    return module;
}
