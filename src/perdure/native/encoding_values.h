/* The values that a state consists of, as the pickler writes them with protocol 3: numbers,
   texts, bytes and containers.

   Items of containers are held while they are written: what is called on the way may change
   the container. A container that does change is handed over.

   A text that only its container refers to is met once, if the container is: it gets its
   number, but nobody will ask for it. That container has a number before its items have. So
   this is not for tuples: one that contains itself is met again before it has one. */

#ifndef PERDURE_ENCODING_VALUES_H
#define PERDURE_ENCODING_VALUES_H

#include "encoding.h"

/* Write any value; the caller holds it. */
static int save(Encoder *encoder, Work *work, PyObject *obj);

/* Numbers and texts */

static inline int write_int(Work *work, int64_t value) {
    int size;
    char bytes[10];
    if (value >= INT32_MIN && value <= INT32_MAX) {
        int outcome = ensure(work, 5);
        char *at = work->bytes + work->size;
        if (outcome != DONE)
            return outcome;
        put_uint32(at + 1, (uint32_t)(int32_t)value);
        at[0] = value < 0 || value > UINT16_MAX ? 'J' : value > UINT8_MAX ? 'M' : 'K';
        work->size += at[0] == 'J' ? 5 : at[0] == 'M' ? 3 : 2;
        return DONE;
    }
    for (size = 8; size > 5; size--) { /* as few bytes as keep the sign */
        int64_t above = value >> (8 * (size - 1) - 1);
        if (above != 0 && above != -1)
            break;
    }
    bytes[0] = '\x8a';
    bytes[1] = (char)size;
    for (int n = 0; n < size; n++)
        bytes[2 + n] = (char)((uint64_t)value >> 8 * n);
    return write_bytes(work, bytes, (size_t)size + 2);
}

static int write_unsigned(Work *work, uint64_t value) {
    char bytes[11] = "\x8a\x09";
    if (value <= INT64_MAX)
        return write_int(work, (int64_t)value);
    for (int n = 0; n < 8; n++)
        bytes[2 + n] = (char)(value >> 8 * n);
    return write_bytes(work, bytes, sizeof bytes); /* the last one is the sign */
}

static int save_int(Work *work, PyObject *obj) {
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(obj, &overflow);
    if (overflow != 0) {
        PyObject *digits = PyObject_CallFunctionObjArgs(encode_long, obj, NULL);
        int outcome;
        if (digits == NULL)
            return failed();
        if (PyBytes_Size(digits) > INT32_MAX) {
            Py_DECREF(digits);
            return HAND_OVER;
        }
        outcome = write_number(work, '\x8a', '\x8b', (size_t)PyBytes_Size(digits));
        if (outcome == DONE)
            outcome = write_bytes(work, PyBytes_AsString(digits), (size_t)PyBytes_Size(digits));
        Py_DECREF(digits);
        return outcome;
    }
    return write_int(work, value);
}

static int write_float(Work *work, double value) {
    uint64_t bits;
    char bytes[9] = "G";
    memcpy(&bits, &value, sizeof bits);
    for (int n = 0; n < 8; n++)
        bytes[8 - n] = (char)(bits >> 8 * n);
    return write_bytes(work, bytes, sizeof bytes);
}

static int save_float(Work *work, PyObject *obj) {
    return write_float(work, PyFloat_AsDouble(obj));
}

static int save_bytes(Work *work, PyObject *obj) {
    size_t size = (size_t)PyBytes_Size(obj);
    int outcome = write_number(work, 'C', 'B', size);
    if (outcome == DONE)
        outcome = write_bytes(work, PyBytes_AsString(obj), size);
    return outcome == DONE ? memoize(work, obj) : outcome;
}

static int save_bytes_once(Work *work, PyObject *obj) {
    int64_t number = number_of(work, obj);
    return number >= 0 ? write_get(work, number) : save_bytes(work, obj);
}

/* Write a text, and leave room for its number. */
static inline int write_text(Work *work, const char *bytes, size_t size) {
    int outcome = size > LARGEST ? HAND_OVER : ensure(work, 10 + size);
    char *at;
    if (outcome != DONE)
        return outcome;
    at = work->bytes + work->size;
    at[0] = 'X';
    put_uint32(at + 1, (uint32_t)size);
    memcpy(at + 5, bytes, size);
    work->size += 5 + size;
    return DONE;
}

/* Write a text without its number. */
static int write_str(Work *work, PyObject *obj) {
    Py_ssize_t size;
    const char *bytes = PyUnicode_AsUTF8AndSize(obj, &size);
    PyObject *encoded;
    int outcome;
    if (bytes != NULL)
        return write_text(work, bytes, (size_t)size);
    /* It has a surrogate. To make the error may have collected garbage, and that may have run
       anything: by now, the text may be held by the error alone. */
    Py_INCREF(obj);
    PyErr_Clear();
    encoded = PyUnicode_AsEncodedString(obj, "utf-8", "surrogatepass");
    Py_DECREF(obj);
    if (encoded == NULL)
        return failed();
    outcome = write_text(work, PyBytes_AsString(encoded), (size_t)PyBytes_Size(encoded));
    Py_DECREF(encoded);
    return outcome;
}

static int save_str(Work *work, PyObject *obj) {
    size_t slot;
    int64_t number = find_number(work, obj, &slot);
    int outcome;
    if (number >= 0)
        return write_get(work, number);
    outcome = write_str(work, obj);
    return outcome == DONE ? memoize_into(work, obj, slot) : outcome;
}

/* Whether an item of a container is a text to which nothing else refers. */
static inline int is_alone(PyObject *item) {
    return Py_IS_TYPE(item, &PyUnicode_Type) && Py_REFCNT(item) == 1;
}

/* Write such a text: its number counts, but nobody asks for it. */
static int save_alone(Work *work, PyObject *text) {
    int outcome = write_str(work, text);
    return outcome == DONE ? memoize(work, NULL) : outcome;
}

/* Write an item of a container that has its number already; the caller holds it. */
static inline int save_item(Encoder *encoder, Work *work, PyObject *item, int alone) {
    return alone ? save_alone(work, item) : save(encoder, work, item);
}

/* Containers */

static int save_tuple(Encoder *encoder, Work *work, PyObject *obj) {
    Py_ssize_t size = PyTuple_Size(obj);
    int outcome = DONE;
    int64_t number;
    if (size == 0)
        return write_opcode(work, ')');
    if (size > 3)
        outcome = write_opcode(work, '(');
    for (Py_ssize_t n = 0; n < size && outcome == DONE; n++)
        outcome = save(encoder, work, PyTuple_GetItem(obj, n));
    if (outcome != DONE)
        return outcome;
    number = number_of(work, obj);
    if (number >= 0) { /* it contains itself, and was written meanwhile */
        if (size > 3)
            outcome = write_opcode(work, '1');
        for (Py_ssize_t n = 0; size <= 3 && n < size && outcome == DONE; n++)
            outcome = write_opcode(work, '0');
        return outcome == DONE ? write_get(work, number) : outcome;
    }
    outcome = write_opcode(work, size > 3 ? 't' : (char)(0x84 + size));
    return outcome == DONE ? memoize(work, obj) : outcome;
}

static int save_list_items(Encoder *encoder, Work *work, PyObject *obj) {
    Py_ssize_t next = 0, size = PyList_Size(obj);
    int outcome = DONE, alone;
    while (next < size && outcome == DONE) {
        Py_ssize_t end = size - next > BATCH ? next + BATCH : size;
        if (size > 1)
            outcome = write_opcode(work, '(');
        for (; next < end && outcome == DONE; next++) {
            PyObject *item = PyList_GetItem(obj, next);
            if (item == NULL)
                return failed(); /* the list was made shorter */
            alone = is_alone(item);
            Py_INCREF(item);
            outcome = save_item(encoder, work, item, alone);
            Py_DECREF(item);
        }
        if (outcome == DONE && PyList_Size(obj) != size)
            return HAND_OVER;
        if (outcome == DONE)
            outcome = write_opcode(work, size > 1 ? 'e' : 'a');
    }
    return outcome;
}

static int save_list(Encoder *encoder, Work *work, PyObject *obj) {
    int outcome = write_opcode(work, ']');
    if (outcome == DONE)
        outcome = memoize(work, obj);
    return outcome == DONE ? save_list_items(encoder, work, obj) : outcome;
}

static int save_dict_item(Encoder *encoder, Work *work, PyObject *key, PyObject *value) {
    int outcome, key_alone = is_alone(key), value_alone = is_alone(value);
    Py_INCREF(key);
    Py_INCREF(value);
    outcome = save_item(encoder, work, key, key_alone);
    if (outcome == DONE)
        outcome = save_item(encoder, work, value, value_alone);
    Py_DECREF(key);
    Py_DECREF(value);
    return outcome;
}

static int save_dict(Encoder *encoder, Work *work, PyObject *obj) {
    Py_ssize_t position = 0, count, size = PyDict_Size(obj);
    PyObject *key, *value;
    int outcome = write_opcode(work, '}');
    if (outcome == DONE)
        outcome = memoize(work, obj);
    if (size == 0)
        return outcome;
    do { /* a batch that is full has another one behind it, as in the pickler */
        if (outcome == DONE && size > 1)
            outcome = write_opcode(work, '(');
        for (count = 0; count < BATCH && outcome == DONE; count++) {
            if (!PyDict_Next(obj, &position, &key, &value))
                break;
            outcome = save_dict_item(encoder, work, key, value);
            if (outcome == DONE && PyDict_Size(obj) != size)
                return HAND_OVER;
        }
        if (outcome == DONE)
            outcome = write_opcode(work, size > 1 ? 'u' : 's');
    } while (outcome == DONE && count == BATCH);
    return outcome;
}

/* Whether an attribute is not stored, by its name. */
static int is_volatile(PyObject *name) {
    Py_ssize_t length;
    const char *bytes = PyUnicode_AsUTF8AndSize(name, &length);
    if (bytes == NULL) { /* it has a surrogate, on which __getstate__ of Persistent crashes */
        PyErr_Clear();
        return PyUnicode_GetLength(name) >= 3 && PyUnicode_ReadChar(name, 0) == '_' &&
               (PyUnicode_ReadChar(name, 1) == 'v' || PyUnicode_ReadChar(name, 1) == 'p') &&
               PyUnicode_ReadChar(name, 2) == '_';
    }
    return length >= 3 && bytes[0] == '_' && (bytes[1] == 'v' || bytes[1] == 'p') &&
           bytes[2] == '_';
}

/* Keep the name of an attribute, for the next object of the class. */
static void learn_key(Key *key, PyObject *name) {
    Py_ssize_t size;
    const char *bytes;
    PyObject *before = key->name;
    key->name = NULL;
    if (Py_IS_TYPE(name, &PyUnicode_Type)) {
        bytes = PyUnicode_AsUTF8AndSize(name, &size);
        if (bytes == NULL)
            PyErr_Clear();
        else if ((size_t)size <= UINT16_MAX) {
            key->bytes = bytes;
            key->size = (uint32_t)size;
            key->is_volatile = is_volatile(name);
            key->name = Py_NewRef(name);
        }
    }
    Py_XDECREF(before); /* a str: this calls nothing */
}

/* Write the name of an attribute that is known. */
static inline int save_key(Work *work, const Key *key) {
    size_t slot;
    int64_t number = find_number(work, key->name, &slot);
    int outcome;
    if (number >= 0)
        return write_get(work, number);
    outcome = write_text(work, key->bytes, key->size);
    return outcome == DONE ? memoize_into(work, key->name, slot) : outcome;
}

/* Write an attribute that another name was expected for, and expect this one the next time. */
static int save_new_attribute(Encoder *encoder, Work *work, PyObject *name, PyObject *value,
                              Key *key, int alone, Py_ssize_t *count) {
    int outcome = DONE, name_alone = alone && is_alone(name),
        value_alone = alone && is_alone(value);
    Py_INCREF(name); /* if it has a surrogate, to look at it may run anything: see write_str */
    Py_INCREF(value);
    if (key != NULL)
        learn_key(key, name);
    if (!PyUnicode_Check(name) || !is_volatile(name)) {
        ++*count;
        outcome = save_item(encoder, work, name, name_alone);
        if (outcome == DONE)
            outcome = save_item(encoder, work, value, value_alone);
    }
    Py_DECREF(name);
    Py_DECREF(value);
    return outcome;
}

/* Write an attribute, unless it is volatile, and count it; `alone`, if nothing else leads to
   what the dictionary has. */
static inline int save_attribute(Encoder *encoder, Work *work, PyObject *name, PyObject *value,
                                 Key *key, int alone, Py_ssize_t *count) {
    int outcome;
    if (key == NULL || key->name != name)
        return save_new_attribute(encoder, work, name, value, key, alone, count);
    if (key->is_volatile)
        return DONE;
    ++*count;
    outcome = save_key(work, key);
    if (outcome != DONE)
        return outcome;
    alone = alone && is_alone(value);
    Py_INCREF(value);
    outcome = save_item(encoder, work, value, alone);
    Py_DECREF(value);
    return outcome;
}

/* A dictionary of an instance as the state that __getstate__ of Persistent makes of it: a
   copy, without what has a name that begins with _v_ or _p_. */
static int save_attributes(Encoder *encoder, Work *work, PyObject *dict, Head *head) {
    Py_ssize_t position = 0, count = 0, number = 0, size = PyDict_Size(dict);
    PyObject *name, *value;
    size_t mark;
    int outcome, alone = Py_REFCNT(dict) == 2; /* the object's reference, and the caller's */
    if (size >= BATCH)
        return HAND_OVER;
    outcome = write_opcode(work, '}');
    /* Nothing refers to that copy, so it has a number and no address. */
    if (outcome == DONE)
        outcome = memoize(work, NULL);
    mark = work->size;
    if (outcome == DONE)
        outcome = write_opcode(work, '(');
    for (; outcome == DONE && PyDict_Next(dict, &position, &name, &value); number++) {
        Key *key = number < KNOWN_KEYS ? head->keys + number : NULL;
        if (number == size)
            return HAND_OVER; /* there are more than there were */
        outcome = save_attribute(encoder, work, name, value, key, alone, &count);
    }
    if (outcome == DONE && PyDict_Size(dict) != size)
        return HAND_OVER;
    if (outcome != DONE || count > 1)
        return outcome != DONE ? outcome : write_opcode(work, 'u');
    memmove(work->bytes + mark, work->bytes + mark + 1, work->size - mark - 1);
    work->size--;
    return count ? write_opcode(work, 's') : DONE;
}

#endif
