/* The values that a state consists of, from their opcodes' arguments: numbers, texts, bytes
   and containers. What is not a plain list or dictionary is filled as the unpickler fills it,
   and only behind a call: before one, a record cannot have made it. */

#ifndef PERDURE_DECODING_VALUES_H
#define PERDURE_DECODING_VALUES_H

#include "decoding.h"

static inline uint32_t uint32_at(const uint8_t *bytes) {
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

static inline uint64_t uint_at(const uint8_t *bytes, size_t size) { /* up to 8 */
    uint64_t number = 0;
    while (size > 0)
        number = number << 8 | bytes[--size];
    return number;
}

static PyObject *signed_number(const uint8_t *bytes, size_t size) {
    PyObject *digits, *number = NULL;
    if (size <= 8) {
        uint64_t bits = uint_at(bytes, size);
        int64_t value;
        if (size > 0 && size < 8 && bytes[size - 1] & 0x80)
            bits |= UINT64_MAX << (8 * size);
        memcpy(&value, &bits, sizeof value);
        return PyLong_FromLongLong(value);
    }
    digits = Py_BuildValue("(y#s)", (const char *)bytes, (Py_ssize_t)size, "little");
    if (digits != NULL) {
        number = PyObject_Call(int_from_bytes, digits, little_signed);
        Py_DECREF(digits);
    }
    return number;
}

static PyObject *float_at(const uint8_t *bytes) {
    uint64_t bits = 0;
    double value;
    for (int n = 0; n < 8; n++)
        bits = bits << 8 | bytes[n];
    memcpy(&value, &bits, sizeof value);
    return PyFloat_FromDouble(value);
}

/* The name of an attribute: interned, and mostly the same as in records before. */
static PyObject *attribute_name(Decoder *decoder, const char *bytes, Py_ssize_t size) {
    uint32_t hash = (uint32_t)size;
    PyObject *name, *before;
    Key *key;
    if (size <= LONGEST_KEY)
        for (Py_ssize_t n = 0; n < size; n++)
            hash = hash * 31 + (uint8_t)bytes[n];
    key = &decoder->keys[(hash ^ hash >> 8) & (KEYS - 1)];
    if (key->size == size && key->name != NULL && memcmp(key->bytes, bytes, (size_t)size) == 0)
        return Py_NewRef(key->name);
    name = PyUnicode_DecodeUTF8(bytes, size, "surrogatepass");
    if (name == NULL)
        return NULL;
    PyUnicode_InternInPlace(&name);
    bytes = size <= LONGEST_KEY ? PyUnicode_AsUTF8AndSize(name, &size) : NULL;
    if (bytes == NULL) {
        PyErr_Clear(); /* it has a surrogate, which is no UTF-8 */
        return name;
    }
    before = key->name;
    key->name = Py_NewRef(name);
    key->bytes = bytes;
    key->size = size;
    Py_XDECREF(before);
    return name;
}

/* Whether the string that comes next is a key of the dictionary that is the state. */
static inline int is_attribute_name(const Load *load) {
    const Work *work = load->work;
    if (!load->keys_are_names || !(work->stack_size & 1) || !PyDict_CheckExact(work->stack[0]))
        return 0;
    /* Many items stand above a mark, a single one does not. */
    return work->marks_size ? work->marks_size == 1 && work->marks[0] == 1 : work->stack_size == 1;
}

/* Python reads a short text by words where it begins at a word's address, else by bytes. */
#define SHORT_TEXT 128

static PyObject *text_of(const Load *load, const uint8_t *bytes, size_t size) {
    uint64_t words[SHORT_TEXT / sizeof(uint64_t)];
    const char *text = (const char *)bytes;
    if (is_attribute_name(load))
        return attribute_name(load->decoder, text, (Py_ssize_t)size);
    if (size > sizeof(uint64_t) && size <= sizeof words)
        text = memcpy(words, bytes, size);
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)size, "surrogatepass");
}

static PyObject *bytes_of(const uint8_t *bytes, size_t size) {
    return PyBytes_FromStringAndSize((const char *)bytes, (Py_ssize_t)size);
}

/* Containers */

static PyObject *pop_tuple(Work *work, Py_ssize_t count) {
    PyObject *tuple = PyTuple_New(count);
    if (tuple == NULL)
        return NULL;
    work->stack_size -= count;
    for (Py_ssize_t n = 0; n < count; n++)
        PyTuple_SetItem(tuple, n, work->stack[work->stack_size + n]);
    return tuple;
}

static PyObject *pop_list(Work *work, Py_ssize_t count) {
    PyObject *list = PyList_New(count);
    if (list == NULL)
        return NULL;
    work->stack_size -= count;
    for (Py_ssize_t n = 0; n < count; n++)
        PyList_SetItem(list, n, work->stack[work->stack_size + n]);
    return list;
}

static int push_tuple(Load *load, Py_ssize_t count) {
    if (above_mark(load->work) < count)
        return misfit(load);
    return push(load->work, pop_tuple(load->work, count));
}

/* Return the attribute, or NULL, with or without an exception set. */
static PyObject *optional_attribute(PyObject *obj, PyObject *name) {
    PyObject *found = PyObject_GetAttr(obj, name);
    if (found == NULL && PyErr_ExceptionMatches(PyExc_AttributeError))
        PyErr_Clear();
    return found;
}

/* Append the `count` values on top of the stack to the list below them, or what it is. */
static int append_items(Load *load, Py_ssize_t count) {
    Work *work = load->work;
    Py_ssize_t first = work->stack_size - count;
    PyObject *list, *method, *items, *result;
    if (first < 1 || (work->marks_size && first <= work->marks[work->marks_size - 1]))
        return misfit(load);
    list = work->stack[first - 1];
    if (PyList_CheckExact(list)) {
        for (Py_ssize_t n = first; n < work->stack_size; n++)
            if (PyList_Append(list, work->stack[n]) < 0)
                return FAILED;
        drop(work, count);
        return DONE;
    }
    if (!load->called)
        return HAND_OVER;
    if (count == 0)
        return DONE;
    method = optional_attribute(list, name_extend);
    if (method != NULL) {
        items = pop_list(work, count);
        result = items == NULL ? NULL : PyObject_CallFunctionObjArgs(method, items, NULL);
        Py_DECREF(method);
        Py_XDECREF(items);
        Py_XDECREF(result);
        return result == NULL ? FAILED : DONE;
    }
    if (PyErr_Occurred())
        return FAILED;
    method = PyObject_GetAttr(list, name_append);
    if (method == NULL)
        return FAILED;
    for (Py_ssize_t n = first; n < work->stack_size; n++) {
        result = PyObject_CallFunctionObjArgs(method, work->stack[n], NULL);
        if (result == NULL) {
            Py_DECREF(method);
            return FAILED;
        }
        Py_DECREF(result);
    }
    Py_DECREF(method);
    drop(work, count);
    return DONE;
}

/* Put `count` keys and values in turn on top of the stack into what is below them. */
static int set_items(Load *load, Py_ssize_t count) {
    Work *work = load->work;
    Py_ssize_t first = work->stack_size - count;
    PyObject *target;
    int plain;
    if (count & 1 || first < 1 || (work->marks_size && first <= work->marks[work->marks_size - 1]))
        return misfit(load);
    target = work->stack[first - 1];
    plain = PyDict_CheckExact(target);
    if (!plain && !load->called)
        return HAND_OVER;
    for (Py_ssize_t n = first; n < work->stack_size; n += 2) {
        PyObject *key = work->stack[n], *value = work->stack[n + 1];
        if ((plain ? PyDict_SetItem(target, key, value) : PyObject_SetItem(target, key, value)) < 0)
            return FAILED;
    }
    drop(work, count);
    return DONE;
}

/* Take the last mark away; return how many values stand above it, negative if there is none. */
static inline Py_ssize_t pop_mark(Work *work) {
    if (work->marks_size == 0)
        return -1;
    return work->stack_size - work->marks[--work->marks_size];
}

/* Put what is above the last mark into a new container below it. */
static int push_filled(Load *load, PyObject *container, int (*fill)(Load *, Py_ssize_t)) {
    Work *work = load->work;
    Py_ssize_t count = pop_mark(work);
    if (container == NULL)
        return FAILED;
    if (count < 0) {
        Py_DECREF(container);
        return misfit(load);
    }
    if (push(work, container) < 0)
        return FAILED;
    memmove(&work->stack[work->stack_size - count], &work->stack[work->stack_size - 1 - count],
            (size_t)count * sizeof *work->stack);
    work->stack[work->stack_size - 1 - count] = container;
    return fill(load, count);
}

#endif
