/* What a transaction stores, from the connection to the bytes in the file, without an object
 * for each record on the way: the records that it hands over, what is planned for them, and
 * the bytes that are made of the plan.
 *
 *     record := oid:8 tid:8 previous:8 transaction:8 zero:2 size:8 (data | back:8)
 *
 * Whatever is unusual (an object that others changed, a record that is not in memory, or very
 * large) is left to the pure functions. */

#include "courtesy.h"
#include "index.h"
#include "plan.h"
#include "reading.h"
#include "records.h"

#include <structmember.h>

static PyTypeObject *records_type, *plan_type;

/* Records */

static void records_dealloc(PyObject *op) {
    PyTypeObject *type = Py_TYPE(op);
    Records *self = (Records *)op;
    for (Py_ssize_t n = 0; n < self->count; n++) {
        Py_DECREF(self->items[n].oid);
        Py_DECREF(self->items[n].data);
    }
    PyMem_Free(self->items);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(op);
    Py_DECREF(type);
}

static Py_ssize_t records_length(PyObject *op) { return ((Records *)op)->count; }

static PyObject *records_item(PyObject *op, Py_ssize_t n) {
    const Records *self = (Records *)op;
    PyObject *serial, *record;
    if (n < 0 || n >= self->count) {
        PyErr_SetString(PyExc_IndexError, "there are not so many records");
        return NULL;
    }
    serial = PyBytes_FromStringAndSize((const char *)self->items[n].serial, 8);
    if (serial == NULL)
        return NULL;
    record = PyTuple_Pack(3, self->items[n].oid, serial, self->items[n].data);
    Py_DECREF(serial);
    return record;
}

static PyObject *records_subscript(PyObject *op, PyObject *key) {
    Py_ssize_t start, stop, step, count = ((Records *)op)->count, n;
    PyObject *part;
    if (!PySlice_Check(key)) {
        n = PyNumber_AsSsize_t(key, PyExc_IndexError);
        if (n == -1 && PyErr_Occurred())
            return NULL;
        return records_item(op, n < 0 ? n + count : n);
    }
    if (PySlice_Unpack(key, &start, &stop, &step) < 0)
        return NULL;
    count = PySlice_AdjustIndices(count, &start, &stop, step);
    part = PyList_New(count);
    for (n = 0; part != NULL && n < count; n++) {
        PyObject *record = records_item(op, start + n * step);
        if (record == NULL || PyList_SetItem(part, n, record) < 0)
            Py_CLEAR(part);
    }
    return part;
}

static PyObject *records_append(Records *self, PyObject *record) {
    PyObject *oid, *data;
    const unsigned char *serial;
    int added = 0;
    if (PyTuple_Check(record) && PyTuple_Size(record) == 3) {
        oid = PyTuple_GetItem(record, 0);
        serial = eight_bytes(PyTuple_GetItem(record, 1));
        data = PyTuple_GetItem(record, 2);
        if (serial != NULL)
            added = records_add(self, oid, serial, data);
    }
    if (added < 0)
        return NULL;
    if (added == 0) {
        PyErr_SetString(PyExc_ValueError, "expected an oid and a tid of 8 bytes, and a record");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *records_oids(Records *self, PyObject *Py_UNUSED(ignored)) {
    PyObject *oids = PyList_New(self->count);
    for (Py_ssize_t n = 0; oids != NULL && n < self->count; n++)
        if (PyList_SetItem(oids, n, Py_NewRef(self->items[n].oid)) < 0)
            Py_CLEAR(oids);
    return oids;
}

static PyObject *records_highest(Records *self, PyObject *Py_UNUSED(ignored)) {
    static const char zero[8];
    const char *highest = zero;
    for (Py_ssize_t n = 0; n < self->count; n++) {
        const char *oid = PyBytes_AsString(self->items[n].oid);
        if (memcmp(oid, highest, 8) > 0)
            highest = oid;
    }
    return PyBytes_FromStringAndSize(highest, 8);
}

static PyMethodDef records_methods[] = {
    {"append", (PyCFunction)records_append, METH_O, "Add (oid, serial, data)."},
    {"oids", (PyCFunction)records_oids, METH_NOARGS, "Return the oids, in order."},
    {"highest", (PyCFunction)records_highest, METH_NOARGS, "Return the highest oid."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef records_members[] = {
    {"size_bytes", T_PYSSIZET, offsetof(Records, size_bytes), READONLY, "of all data"},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot records_slots[] = {
    {Py_tp_doc, "A sequence of (oid, serial, data)."},
    {Py_tp_dealloc, records_dealloc},
    {Py_sq_length, records_length},
    {Py_sq_item, records_item},
    {Py_mp_subscript, records_subscript},
    {Py_tp_methods, records_methods},
    {Py_tp_members, records_members},
    {0, NULL},
};

static PyType_Spec records_spec = {
    .name = "perdure.native._planning.Records",
    .basicsize = sizeof(Records),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = records_slots,
};

/* Plan */

static void forget_items(Plan *self) {
    Planned *items = self->items;
    Py_ssize_t count = self->count;
    PyMem_Free(self->slots);
    self->items = NULL;
    self->slots = NULL;
    self->count = self->room = 0;
    self->slots_room = 0;
    for (Py_ssize_t n = 0; n < count; n++) {
        Py_DECREF(items[n].oid);
        Py_XDECREF(items[n].data);
    }
    PyMem_Free(items);
}

static void plan_dealloc(PyObject *op) {
    PyTypeObject *type = Py_TYPE(op);
    forget_items((Plan *)op);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(op);
    Py_DECREF(type);
}

static Py_ssize_t plan_length(PyObject *op) { return ((Plan *)op)->count; }

static PyObject *position_or_none(uint64_t position) {
    return position ? PyLong_FromUnsignedLongLong(position) : Py_NewRef(Py_None);
}

static PyObject *as_tuple(const Planned *item) {
    PyObject *data = Py_NewRef(item->data == NULL ? Py_None : item->data), *made = NULL;
    PyObject *back = position_or_none(item->back);
    PyObject *previous = position_or_none(item->previous);
    if (back != NULL && previous != NULL)
        made = PyTuple_Pack(3, data, back, previous);
    Py_DECREF(data);
    Py_XDECREF(back);
    Py_XDECREF(previous);
    return made;
}

static Planned *find_item(PyObject *op, PyObject *oid) {
    const unsigned char *name = eight_bytes(oid);
    size_t slot;
    return name == NULL ? NULL : plan_find((Plan *)op, name, &slot);
}

static PyObject *plan_subscript(PyObject *op, PyObject *oid) {
    const Planned *item = find_item(op, oid);
    if (item == NULL) {
        PyErr_SetObject(PyExc_KeyError, oid);
        return NULL;
    }
    return as_tuple(item);
}

static PyObject *plan_get(PyObject *op, PyObject *args) {
    PyObject *oid, *otherwise = Py_None;
    const Planned *item;
    if (!PyArg_ParseTuple(args, "O|O:get", &oid, &otherwise))
        return NULL;
    item = find_item(op, oid);
    return item == NULL ? Py_NewRef(otherwise) : as_tuple(item);
}

static int plan_contains(PyObject *op, PyObject *oid) { return find_item(op, oid) != NULL; }

/* Take a position out of a plan, in which None stands for 0; return whether it is one. */
static int is_position(PyObject *object, uint64_t *position) {
    *position = 0;
    if (object == Py_None)
        return 1;
    if (!PyLong_Check(object))
        return 0;
    *position = PyLong_AsUnsignedLongLong(object);
    if (*position == (uint64_t)-1 && PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    return 1;
}

static int plan_set(PyObject *op, PyObject *oid, PyObject *planned) {
    PyObject *data;
    uint64_t back, previous;
    if (planned == NULL || eight_bytes(oid) == NULL || !PyTuple_Check(planned) ||
        PyTuple_Size(planned) != 3 || !is_position(PyTuple_GetItem(planned, 1), &back) ||
        !is_position(PyTuple_GetItem(planned, 2), &previous)) {
        PyErr_SetString(PyExc_ValueError, "expected an oid of 8 bytes, and data and two positions");
        return -1;
    }
    data = PyTuple_GetItem(planned, 0);
    return plan_put((Plan *)op, oid, data == Py_None ? NULL : data, back, previous);
}

/* The n-th (oid, (data, back, previous)). */
static PyObject *plan_item(PyObject *op, Py_ssize_t n) {
    const Plan *self = (Plan *)op;
    PyObject *planned, *made;
    if (n < 0 || n >= self->count) {
        PyErr_SetString(PyExc_IndexError, "there are not so many");
        return NULL;
    }
    planned = as_tuple(self->items + n);
    if (planned == NULL)
        return NULL;
    made = PyTuple_Pack(2, self->items[n].oid, planned);
    Py_DECREF(planned);
    return made;
}

static PyObject *plan_items(PyObject *op, PyObject *Py_UNUSED(ignored)) {
    return PySeqIter_New(op);
}

static PyObject *plan_keys(PyObject *op, PyObject *Py_UNUSED(ignored)) {
    const Plan *self = (Plan *)op;
    PyObject *oids = PyList_New(self->count);
    for (Py_ssize_t n = 0; oids != NULL && n < self->count; n++)
        if (PyList_SetItem(oids, n, Py_NewRef(self->items[n].oid)) < 0)
            Py_CLEAR(oids);
    return oids;
}

static PyObject *plan_iter(PyObject *op) {
    PyObject *oids = plan_keys(op, NULL), *iterator;
    if (oids == NULL)
        return NULL;
    iterator = PyObject_GetIter(oids);
    Py_DECREF(oids);
    return iterator;
}

static PyObject *plan_update(PyObject *op, PyObject *planned) {
    PyObject *oid, *plan;
    Py_ssize_t at = 0;
    if (Py_TYPE(planned) == plan_type) {
        const Plan *other = (Plan *)planned;
        if (plan_make_room((Plan *)op, ((Plan *)op)->count + other->count) < 0)
            return NULL;
        for (; at < other->count; at++) {
            const Planned *item = other->items + at;
            if (plan_put((Plan *)op, item->oid, item->data, item->back, item->previous) < 0)
                return NULL;
        }
        Py_RETURN_NONE;
    }
    if (!PyDict_Check(planned)) {
        PyErr_SetString(PyExc_TypeError, "expected a dictionary, or a plan");
        return NULL;
    }
    while (PyDict_Next(planned, &at, &oid, &plan))
        if (plan_set(op, oid, plan) < 0)
            return NULL;
    Py_RETURN_NONE;
}

static PyObject *plan_clear(PyObject *op, PyObject *Py_UNUSED(ignored)) {
    forget_items((Plan *)op);
    Py_RETURN_NONE;
}

static PyMethodDef plan_methods[] = {
    {"get", plan_get, METH_VARARGS, "Return what is planned for an oid, or the second argument."},
    {"keys", plan_keys, METH_NOARGS, "Return the oids."},
    {"items", plan_items, METH_NOARGS, "Iterate over oids and what is planned for each."},
    {"update", plan_update, METH_O, "Take in a dictionary, or a plan."},
    {"clear", plan_clear, METH_NOARGS, "Plan nothing."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot plan_slots[] = {
    {Py_tp_doc, "A mapping from oids to (data, back, previous), the latter two positions."},
    {Py_tp_dealloc, plan_dealloc},
    {Py_tp_iter, plan_iter},
    {Py_mp_length, plan_length},
    {Py_mp_subscript, plan_subscript},
    {Py_mp_ass_subscript, plan_set},
    {Py_sq_item, plan_item}, /* for `items` */
    {Py_sq_contains, plan_contains},
    {Py_tp_methods, plan_methods},
    {0, NULL},
};

static PyType_Spec plan_spec = {
    .name = "perdure.native._planning.Plan",
    .basicsize = sizeof(Plan),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = plan_slots,
};

/* Planning */

/* The transactions committed lately, and the one that was found last among them. */
typedef struct {
    PyObject *positions, *tids; /* lists, of equal length, or with a tid more */
    Py_ssize_t count;           /* of positions, then */
    int64_t begin, end;         /* of what was found */
    int found;
    unsigned char tid[8]; /* a copy: another thread may empty the lists */
} Recent;

/* Find the transaction in which `place` is; 0 if it is older, -1 with an exception. */
static int find_recent(Recent *recent, int64_t place) {
    Py_ssize_t low = 0, high = PyList_Size(recent->positions);
    const unsigned char *tid;
    if (recent->found && place >= recent->begin && place < recent->end &&
        recent->count == high)
        return 1; /* as mostly */
    recent->found = 0;
    recent->count = high;
    recent->begin = 0;
    recent->end = INT64_MAX;
    while (low < high) {
        Py_ssize_t middle = low + (high - low) / 2;
        int64_t begin = PyLong_AsLongLong(PyList_GetItem(recent->positions, middle));
        if (begin == -1 && PyErr_Occurred())
            return -1;
        if (begin <= place) {
            low = middle + 1;
            recent->begin = begin;
        } else {
            high = middle;
            recent->end = begin;
        }
    }
    if (low == 0 || low > PyList_Size(recent->tids))
        return 0;
    tid = eight_bytes(PyList_GetItem(recent->tids, low - 1));
    if (tid == NULL)
        return 0;
    memcpy(recent->tid, tid, 8);
    return recent->found = 1;
}

/* Return whether the record at `place` is the one of `oid` that `serial` names; -1 with an
   exception. */
static int is_of(Recent *recent, int descriptor, int64_t place, const unsigned char *oid,
                 const unsigned char *serial) {
    int found = find_recent(recent, place);
    unsigned char head[16], expected[16];
    Py_ssize_t got;
    if (found != 0)
        return found < 0 ? -1 : memcmp(recent->tid, serial, 8) == 0;
    memcpy(expected, oid, 8);
    memcpy(expected + 8, serial, 8);
    Py_BEGIN_ALLOW_THREADS
    got = pread(descriptor, head, sizeof head, (off_t)place);
    BACK_SOON
    return got == sizeof head && memcmp(head, expected, sizeof head) == 0;
}

/* Return the n-th of records of either kind: what it holds is held by whoever holds them. */
static int record_at(PyObject *records, Py_ssize_t n, PyObject **oid, PyObject **data,
                     unsigned char serial[8]) {
    PyObject *record;
    const unsigned char *tid;
    if (Py_TYPE(records) == records_type) {
        const Records *self = (Records *)records;
        if (n >= self->count)
            return 0;
        *oid = self->items[n].oid;
        *data = self->items[n].data;
        memcpy(serial, self->items[n].serial, 8);
        return 1;
    }
    record = PyTuple_GetItem(records, n);
    if (!PyTuple_Check(record) || PyTuple_Size(record) != 3)
        return 0;
    *oid = PyTuple_GetItem(record, 0);
    *data = PyTuple_GetItem(record, 2);
    tid = eight_bytes(PyTuple_GetItem(record, 1));
    if (tid == NULL || eight_bytes(*oid) == NULL)
        return 0;
    memcpy(serial, tid, 8);
    return 1;
}

static PyObject *plan_unchanged(PyObject *Py_UNUSED(module), PyObject *const *args,
                                Py_ssize_t nargs) {
    PyObject *records, *pages, *oid, *data;
    Recent recent = {0};
    unsigned char serial[8];
    Py_ssize_t number, count;
    Plan *plan;
    int descriptor;
    if (nargs != 7 || !(PyTuple_Check(args[0]) || Py_TYPE(args[0]) == records_type) ||
        !is_index(args[2]) || Py_TYPE(args[3]) != plan_type || !PyList_Check(args[4]) ||
        !PyList_Check(args[5])) {
        PyErr_SetString(PyExc_TypeError, "expected records, a number, pages, a plan, positions, "
                                         "tids and a descriptor");
        return NULL;
    }
    records = args[0];
    number = PyLong_AsSsize_t(args[1]);
    pages = args[2];
    plan = (Plan *)args[3];
    recent.positions = args[4];
    recent.tids = args[5];
    descriptor = (int)PyLong_AsLong(args[6]);
    if (PyErr_Occurred())
        return NULL;
    count = PyObject_Size(records);
    if (plan_make_room(plan, plan->count + count - number) < 0)
        return NULL;
    for (; number >= 0 && number < count; number++) {
        const unsigned char *name;
        int64_t place;
        if (!record_at(records, number, &oid, &data, serial))
            break;
        name = (const unsigned char *)PyBytes_AsString(oid);
        place = index_position(pages, name);
        if (place < 0)
            return NULL;
        if (place > 0) {
            int same = is_of(&recent, descriptor, place, name, serial);
            if (same < 0)
                return NULL;
            if (!same)
                break;
        }
        if (plan_put(plan, oid, data, 0, (uint64_t)place) < 0)
            return NULL;
    }
    return PyLong_FromSsize_t(number);
}

#include "undoing.h"

/* The bytes of a transaction's records */

static void put_number(unsigned char *at, uint64_t number, int size) {
    for (int n = size - 1; n >= 0; n--, number >>= 8)
        at[n] = (unsigned char)number;
}

/* Return how many bytes the records of a plan take; 0 if one is not usual, or too large. */
static size_t size_of(const Plan *plan, size_t large, size_t most) {
    size_t total = 0;
    for (Py_ssize_t n = 0; n < plan->count; n++) {
        PyObject *data = plan->items[n].data;
        size_t size = 8;
        if (data != NULL) {
            if (!PyBytes_CheckExact(data))
                return 0;
            size = (size_t)PyBytes_Size(data);
            if (size == 0 || size >= large)
                return 0;
        }
        total += HEADER_SIZE + size;
        if (total > most)
            return 0;
    }
    return total;
}

static PyObject *encode_records(PyObject *Py_UNUSED(module), PyObject *const *args,
                                Py_ssize_t nargs) {
    PyObject *buffer, *positions;
    const unsigned char *tid;
    unsigned char *at;
    uint64_t transaction, place;
    size_t large, most, total;
    const Plan *plan;
    if (nargs != 6 || Py_TYPE(args[0]) != plan_type) {
        PyErr_SetString(PyExc_TypeError, "expected a plan, a tid and four numbers");
        return NULL;
    }
    plan = (const Plan *)args[0];
    tid = eight_bytes(args[1]);
    transaction = PyLong_AsUnsignedLongLong(args[2]);
    place = PyLong_AsUnsignedLongLong(args[3]);
    large = PyLong_AsSize_t(args[4]);
    most = PyLong_AsSize_t(args[5]);
    if (PyErr_Occurred())
        return NULL;
    total = tid == NULL ? 0 : size_of(plan, large, most);
    if (total == 0)
        Py_RETURN_NONE;
    buffer = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)total + 8);
    positions = PyDict_New();
    if (buffer == NULL || positions == NULL)
        goto failed;
    at = (unsigned char *)PyBytes_AsString(buffer);
    for (Py_ssize_t n = 0; n < plan->count; n++) {
        const Planned *item = plan->items + n;
        size_t size = item->data == NULL ? 0 : (size_t)PyBytes_Size(item->data);
        PyObject *number = PyLong_FromUnsignedLongLong(place);
        int entered = number == NULL ? -1 : PyDict_SetItem(positions, item->oid, number);
        Py_XDECREF(number);
        if (entered < 0)
            goto failed;
        memcpy(at, PyBytes_AsString(item->oid), 8);
        memcpy(at + 8, tid, 8);
        put_number(at + 16, item->previous, 8);
        put_number(at + 24, transaction, 8);
        put_number(at + 32, 0, 2);
        put_number(at + 34, size, 8);
        at += HEADER_SIZE;
        if (size == 0) {
            put_number(at, item->back, 8);
            size = 8;
        } else {
            memcpy(at, PyBytes_AsString(item->data), size);
        }
        at += size;
        place += HEADER_SIZE + size;
    }
    put_number(at, place - transaction, 8);
    return Py_BuildValue("(NN)", buffer, positions);
failed:
    Py_XDECREF(buffer);
    Py_XDECREF(positions);
    return NULL;
}

/* Return new oids. See `storages.oids.OidSource`. */
static PyObject *oids_from(PyObject *Py_UNUSED(module), PyObject *args) {
    unsigned long long first;
    Py_ssize_t count, n;
    PyObject *oids;
    if (!PyArg_ParseTuple(args, "Kn:oids_from", &first, &count))
        return NULL;
    oids = PyList_New(count < 0 ? 0 : count);
    for (n = 0; oids != NULL && n < count; n++) {
        unsigned char oid[8];
        PyObject *made;
        put_number(oid, first + (unsigned long long)n, 8);
        made = PyBytes_FromStringAndSize((const char *)oid, 8);
        if (made == NULL || PyList_SetItem(oids, n, made) < 0)
            Py_CLEAR(oids);
    }
    return oids;
}

static PyMethodDef functions[] = {
    {"oids_from", oids_from, METH_VARARGS, "Return oids in a row: the first, as a number, and how many."},
    {"plan_unchanged", (PyCFunction)(void (*)(void))plan_unchanged, METH_FASTCALL,
     "Plan records whose objects nobody changed; return the number of the first other one."},
    {"plan_undone", plan_undone, METH_VARARGS,
     "Plan the undo of a transaction whose objects nobody changed since; None for another one."},
    {"encode_records", (PyCFunction)(void (*)(void))encode_records, METH_FASTCALL,
     "Return a transaction's records, its length behind them, and where each stands; or None."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "perdure.native._planning",
    .m_doc = "What a transaction stores, from the connection to the bytes in the file.",
    .m_size = -1,
    .m_methods = functions,
};

static PyTypeObject *add_type(PyObject *module, const char *name, PyType_Spec *spec) {
    PyObject *type = PyType_FromSpec(spec);
    if (type != NULL && PyModule_AddObjectRef(module, name, type) < 0)
        Py_CLEAR(type);
    return (PyTypeObject *)type;
}

PyMODINIT_FUNC PyInit__planning(void) {
    PyObject *module;
    if (find_index() < 0 || find_courtesy() < 0)
        return NULL;
    module = PyModule_Create(&definition);
    if (module == NULL)
        return NULL;
    records_type = add_type(module, "Records", &records_spec);
    plan_type = add_type(module, "Plan", &plan_spec);
    if (records_type == NULL || plan_type == NULL)
        Py_CLEAR(module);
    return module;
}
