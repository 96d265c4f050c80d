/* What is in a bucket of BTrees, seen without asking for its state.

   Asking makes a tuple, and a number object for each key that is one, only to be written and
   thrown away. BTrees has no header for this. So where the items are is tried out, for each
   class, on a bucket made for it, and believed if all of it is found; else the state is asked
   for. Only the classes of BTrees themselves are looked at: no other can derive from them and
   have their layout without being a class made in Python. */

#ifndef PERDURE_BUCKETS_H
#define PERDURE_BUCKETS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#include <persistent/cPersistence.h>

/* What keys and values are, by the letters that BTrees has for them: I and U for signed and
   unsigned integers of 4 bytes, L and Q of 8, F for a float of 4, O for an object. */
typedef struct {
    char key;   /* 0 where nothing is known */
    char value; /* 0 in a set */
} ItemKinds;

#define NO_ITEMS ((ItemKinds){0, 0})

typedef struct {
    cPersistent_HEAD
    int size;
    int len;        /* how many items there are */
    PyObject *next; /* the bucket behind it, or NULL */
    void *keys;
    void *values; /* NULL in a set */
} Bucket;

/* The two items that a class is tried out with, by its letter: as Python gives them, and as
   they stand in memory. Each needs all bytes of its kind. */

static const int32_t SIGNED[] = {-2000000001, 2000000001};
static const uint32_t UNSIGNED[] = {1, 4000000001u};
static const int64_t LONG_SIGNED[] = {-9000000000000000001, 9000000000000000001};
static const uint64_t LONG_UNSIGNED[] = {1, UINT64_C(18000000000000000001)};
static const float FLOATS[] = {-1.25f, 1e9f};

static PyObject *sample(char kind, int n) {
    switch (kind) {
    case 'I':
        return PyLong_FromLong(SIGNED[n]);
    case 'U':
        return PyLong_FromUnsignedLong(UNSIGNED[n]);
    case 'L':
        return PyLong_FromLongLong(LONG_SIGNED[n]);
    case 'Q':
        return PyLong_FromUnsignedLongLong(LONG_UNSIGNED[n]);
    case 'F':
        return PyFloat_FromDouble(FLOATS[n]);
    default:
        return PyUnicode_FromFormat("sample %d", n);
    }
}

static int is_there(char kind, const void *found, PyObject *first, PyObject *second) {
    switch (kind) {
    case 'I':
        return memcmp(found, SIGNED, sizeof SIGNED) == 0;
    case 'U':
        return memcmp(found, UNSIGNED, sizeof UNSIGNED) == 0;
    case 'L':
        return memcmp(found, LONG_SIGNED, sizeof LONG_SIGNED) == 0;
    case 'Q':
        return memcmp(found, LONG_UNSIGNED, sizeof LONG_UNSIGNED) == 0;
    case 'F':
        return memcmp(found, FLOATS, sizeof FLOATS) == 0;
    default:
        return ((PyObject *const *)found)[0] == first && ((PyObject *const *)found)[1] == second;
    }
}

/* Return a state for a bucket with two items, and one behind it. */
static PyObject *sample_state(ItemKinds kinds, PyObject *next) {
    int each = kinds.value ? 2 : 1;
    PyObject *items = PyTuple_New(2 * each), *state;
    for (int n = 0; items != NULL && n < 2 * each; n++) {
        PyObject *item = sample(n % each ? kinds.value : kinds.key, n / each);
        if (item == NULL || PyTuple_SetItem(items, n, item) < 0)
            Py_CLEAR(items);
    }
    state = items == NULL ? NULL : PyTuple_Pack(2, items, next);
    Py_XDECREF(items);
    return state;
}

/* Whether a bucket that was given a state has it where it is looked for, and returns it. */
static int holds(PyObject *obj, PyObject *state, ItemKinds kinds) {
    const Bucket *bucket = (const Bucket *)obj;
    PyObject *items = PyTuple_GetItem(state, 0), *again;
    int each = kinds.value ? 2 : 1, same;
    if (bucket->len != 2 || bucket->size < 2 || bucket->next != PyTuple_GetItem(state, 1) ||
        bucket->keys == NULL || (bucket->values != NULL) != (kinds.value != 0))
        return 0;
    if (!is_there(kinds.key, bucket->keys, PyTuple_GetItem(items, 0),
                  PyTuple_GetItem(items, each)) ||
        (kinds.value && !is_there(kinds.value, bucket->values, PyTuple_GetItem(items, 1),
                                  PyTuple_GetItem(items, 3))))
        return 0;
    again = PyObject_CallMethod(obj, "__getstate__", NULL);
    same = again != NULL && PyTuple_CheckExact(again) && PyTuple_Size(again) == 2 &&
           PyTuple_GetItem(again, 1) == bucket->next &&
           PyObject_RichCompareBool(PyTuple_GetItem(again, 0), items, Py_EQ) == 1;
    Py_XDECREF(again);
    return same;
}

/* Return the kinds of the keys and values that the name of a class tells of, as "IOBucket". */
static ItemKinds kinds_by_name(PyObject *cls) {
    PyObject *module = PyObject_GetAttrString(cls, "__module__");
    PyObject *name = PyObject_GetAttrString(cls, "__name__");
    const char *from = module && PyUnicode_Check(module) ? PyUnicode_AsUTF8AndSize(module, NULL)
                                                         : NULL;
    const char *text = name && PyUnicode_Check(name) ? PyUnicode_AsUTF8AndSize(name, NULL) : NULL;
    ItemKinds kinds = NO_ITEMS;
    if (from != NULL && text != NULL && strncmp(from, "BTrees.", 7) == 0 && strlen(text) > 2 &&
        strchr("IULQO", text[0]) != NULL && strchr("IULQOF", text[1]) != NULL) {
        if (strcmp(text + 2, "Bucket") == 0)
            kinds = (ItemKinds){text[0], text[1]};
        else if (strcmp(text + 2, "Set") == 0)
            kinds = (ItemKinds){text[0], 0};
    }
    Py_XDECREF(module);
    Py_XDECREF(name);
    return kinds;
}

/* Return what is in the buckets of a class, NO_ITEMS where that is not known; no exception. */
static ItemKinds items_of(PyObject *cls) {
    ItemKinds kinds = NO_ITEMS;
    PyObject *size, *bucket = NULL, *next = NULL, *state = NULL, *done = NULL;
    if (PyType_GetFlags((PyTypeObject *)cls) & Py_TPFLAGS_HEAPTYPE)
        return kinds;
    size = PyObject_GetAttrString(cls, "__basicsize__");
    if (size != NULL && PyLong_AsSsize_t(size) == (Py_ssize_t)sizeof(Bucket))
        kinds = kinds_by_name(cls);
    Py_XDECREF(size);
    if (kinds.key) {
        bucket = PyObject_CallNoArgs(cls);
        next = PyObject_CallNoArgs(cls);
        if (bucket != NULL && next != NULL)
            state = sample_state(kinds, next);
        if (state != NULL)
            done = PyObject_CallMethod(bucket, "__setstate__", "(O)", state);
        if (done == NULL || !holds(bucket, state, kinds))
            kinds = NO_ITEMS;
    }
    Py_XDECREF(done);
    Py_XDECREF(state);
    Py_XDECREF(next);
    Py_XDECREF(bucket);
    PyErr_Clear();
    return kinds;
}

#endif
