/* What a file storage does for each object that is written: planning that it be, its bytes in
 * a transaction; and what it tells of the past.
 *
 *     record := oid:8 tid:8 previous:8 transaction:8 zero:2 size:8 (data | back:8)
 *
 * Whatever is unusual (a pointer in place of data, a very large record, damage, an error of
 * the system) is left to the pure functions, which know what to say about it.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "index.h"

#define HEADER_SIZE 42

static uint64_t number_at(const unsigned char *at, int size) {
    uint64_t number = 0;
    int n;
    for (n = 0; n < size; n++)
        number = number << 8 | at[n];
    return number;
}

static void put_number(unsigned char *at, uint64_t number, int size) {
    int n;
    for (n = size - 1; n >= 0; n--, number >>= 8)
        at[n] = (unsigned char)number;
}

/* Return the bytes of an oid or a tid, NULL without an exception for anything else. */
static const unsigned char *eight_bytes(PyObject *object) {
    if (!PyBytes_CheckExact(object) || PyBytes_Size(object) != 8)
        return NULL;
    return (const unsigned char *)PyBytes_AsString(object);
}

/* Reading */

static Py_ssize_t read_at(int descriptor, unsigned char *into, size_t size, int64_t position) {
    Py_ssize_t got;
    Py_BEGIN_ALLOW_THREADS
    got = pread(descriptor, into, size, (off_t)position);
    Py_END_ALLOW_THREADS
    return got;
}

/* Return a tuple of three; takes over the items, of which one may be missing. */
static PyObject *tuple_of(PyObject *one, PyObject *two, PyObject *three) {
    PyObject *made = NULL;
    if (one != NULL && two != NULL && three != NULL)
        made = PyTuple_Pack(3, one, two, three);
    Py_XDECREF(one);
    Py_XDECREF(two);
    Py_XDECREF(three);
    return made;
}

/* Planning */

/* Return whether the record at `place` is the one of `oid` that `serial` names.
 *
 * `positions` and `tids` are of the transactions committed lately. -1 with an exception. */
static int is_of(PyObject *positions, PyObject *tids, int descriptor, int64_t place,
                 const unsigned char *oid, const unsigned char *serial) {
    Py_ssize_t low = 0, high = PyList_Size(positions);
    unsigned char head[16];
    while (low < high) {
        Py_ssize_t middle = low + (high - low) / 2;
        int64_t begin = PyLong_AsLongLong(PyList_GetItem(positions, middle));
        if (begin == -1 && PyErr_Occurred())
            return -1;
        if (begin <= place)
            low = middle + 1;
        else
            high = middle;
    }
    if (low > 0) {
        PyObject *tid = PyList_GetItem(tids, low - 1);
        const unsigned char *found;
        if (tid == NULL)
            return -1;
        found = eight_bytes(tid);
        return found != NULL && memcmp(found, serial, 8) == 0;
    }
    if (read_at(descriptor, head, sizeof head, place) != sizeof head)
        return 0;
    return memcmp(head, oid, 8) == 0 && memcmp(head + 8, serial, 8) == 0;
}

static PyObject *plan_unchanged(PyObject *Py_UNUSED(module), PyObject *const *args,
                                Py_ssize_t nargs) {
    PyObject *records, *pages, *planned, *positions, *tids;
    Py_ssize_t number, count;
    int descriptor;
    if (nargs != 7 || !PyTuple_Check(args[0]) || !is_index(args[2]) ||
        !PyDict_Check(args[3]) || !PyList_Check(args[4]) || !PyList_Check(args[5])) {
        PyErr_SetString(PyExc_TypeError, "expected records, a number, pages, what is planned, "
                                         "positions, tids and a descriptor");
        return NULL;
    }
    records = args[0];
    number = PyLong_AsSsize_t(args[1]);
    pages = args[2];
    planned = args[3];
    positions = args[4];
    tids = args[5];
    descriptor = (int)PyLong_AsLong(args[6]);
    if (PyErr_Occurred())
        return NULL;
    count = PyTuple_Size(records);
    for (; number >= 0 && number < count; number++) {
        PyObject *record = PyTuple_GetItem(records, number), *plan, *place_number;
        const unsigned char *oid, *serial;
        int64_t place;
        int same, failed;
        if (!PyTuple_Check(record) || PyTuple_Size(record) != 3)
            break;
        oid = eight_bytes(PyTuple_GetItem(record, 0));
        serial = eight_bytes(PyTuple_GetItem(record, 1));
        if (oid == NULL || serial == NULL)
            break;
        place = index_position(pages, oid);
        if (place < 0)
            return NULL;
        if (place == 0) {
            place_number = Py_NewRef(Py_None);
        } else {
            same = is_of(positions, tids, descriptor, place, oid, serial);
            if (same < 0)
                return NULL;
            if (!same)
                break;
            place_number = PyLong_FromLongLong(place);
        }
        if (place_number == NULL)
            return NULL;
        plan = PyTuple_Pack(3, PyTuple_GetItem(record, 2), Py_None, place_number);
        Py_DECREF(place_number);
        if (plan == NULL)
            return NULL;
        failed = PyDict_SetItem(planned, PyTuple_GetItem(record, 0), plan);
        Py_DECREF(plan);
        if (failed < 0)
            return NULL;
    }
    return PyLong_FromSsize_t(number);
}

#include "history.h"
#include "undoing.h"

/* The bytes of a transaction's records */

/* Take a position out of a plan, in which None stands for 0; return whether it is one. */
static int taken(PyObject *object, uint64_t *position) {
    *position = 0;
    if (object == Py_None)
        return 1;
    if (!PyLong_CheckExact(object))
        return 0;
    *position = PyLong_AsUnsignedLongLong(object);
    if (*position == (uint64_t)-1 && PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    return 1;
}

/* Return how many bytes the records of a plan take; 0 if one is not usual, or too large. */
static size_t size_of(PyObject *planned, size_t large, size_t most) {
    PyObject *oid, *plan;
    Py_ssize_t at = 0;
    size_t total = 0;
    while (PyDict_Next(planned, &at, &oid, &plan)) {
        PyObject *data;
        size_t size = 8;
        if (eight_bytes(oid) == NULL || !PyTuple_Check(plan) || PyTuple_Size(plan) != 3)
            return 0;
        data = PyTuple_GetItem(plan, 0);
        if (data != Py_None) {
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
    PyObject *planned, *oid, *plan, *buffer, *positions;
    const unsigned char *tid;
    unsigned char *at;
    uint64_t transaction, first, place;
    size_t large, most, total;
    Py_ssize_t item = 0;
    if (nargs != 6 || !PyDict_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "expected what is planned, a tid and four numbers");
        return NULL;
    }
    planned = args[0];
    tid = eight_bytes(args[1]);
    transaction = PyLong_AsUnsignedLongLong(args[2]);
    first = PyLong_AsUnsignedLongLong(args[3]);
    large = PyLong_AsSize_t(args[4]);
    most = PyLong_AsSize_t(args[5]);
    if (PyErr_Occurred())
        return NULL;
    if (tid == NULL)
        Py_RETURN_NONE;
    total = size_of(planned, large, most);
    if (total == 0)
        Py_RETURN_NONE;
    buffer = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)total + 8);
    positions = PyDict_New();
    if (buffer == NULL || positions == NULL)
        goto failed;
    at = (unsigned char *)PyBytes_AsString(buffer);
    place = first;
    while (PyDict_Next(planned, &item, &oid, &plan)) {
        PyObject *data = PyTuple_GetItem(plan, 0), *number;
        uint64_t back, previous;
        size_t size = data == Py_None ? 0 : (size_t)PyBytes_Size(data);
        int entered;
        if (!taken(PyTuple_GetItem(plan, 1), &back) ||
            !taken(PyTuple_GetItem(plan, 2), &previous)) {
            Py_DECREF(buffer);
            Py_DECREF(positions);
            Py_RETURN_NONE;
        }
        number = PyLong_FromUnsignedLongLong(place);
        if (number == NULL)
            goto failed;
        entered = PyDict_SetItem(positions, oid, number);
        Py_DECREF(number);
        if (entered < 0)
            goto failed;
        memcpy(at, PyBytes_AsString(oid), 8);
        memcpy(at + 8, tid, 8);
        put_number(at + 16, previous, 8);
        put_number(at + 24, transaction, 8);
        put_number(at + 32, 0, 2);
        put_number(at + 34, size, 8);
        at += HEADER_SIZE;
        if (size == 0) {
            put_number(at, back, 8);
            size = 8;
        } else {
            memcpy(at, PyBytes_AsString(data), size);
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

static PyMethodDef methods[] = {
    {"plan_unchanged", (PyCFunction)(void (*)(void))plan_unchanged, METH_FASTCALL,
     "Plan records whose objects nobody changed; return the number of the first other one."},
    {"plan_undone", plan_undone, METH_VARARGS,
     "Plan the undo of a transaction whose objects nobody changed since; None for another one."},
    {"history", history, METH_VARARGS,
     "Describe an object's revisions; return also where the first one is that was left out."},
    {"encode_records", (PyCFunction)(void (*)(void))encode_records, METH_FASTCALL,
     "Return a transaction's records, its length behind them, and where each stands; or None."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "perdure.native._reads",
    .m_doc = "Records of a data file: planned, encoded, entered in the index.",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__reads(void) {
    return find_index() < 0 ? NULL : PyModule_Create(&definition);
}
