/* The values that a state consists of, from their opcodes' arguments: numbers, texts, bytes
   and containers. What is not a plain list or dictionary is filled as the unpickler fills it,
   and only behind a call: before one, a record cannot have made it. */

#ifndef PERDURE_DECODING_VALUES_H
#define PERDURE_DECODING_VALUES_H

#include "decoding.h"
#include "decoding_names.h"

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

static inline int64_t signed_at(const uint8_t *bytes, size_t size) { /* up to 8 */
    uint64_t bits = uint_at(bytes, size);
    int64_t value;
    if (size > 0 && size < 8 && bytes[size - 1] & 0x80)
        bits |= UINT64_MAX << (8 * size);
    memcpy(&value, &bits, sizeof value);
    return value;
}

static PyObject *signed_number(const uint8_t *bytes, size_t size) {
    PyObject *digits, *number = NULL;
    if (size <= 8)
        return PyLong_FromLongLong(signed_at(bytes, size));
    digits = Py_BuildValue("(y#s)", (const char *)bytes, (Py_ssize_t)size, "little");
    if (digits != NULL) {
        number = PyObject_Call(int_from_bytes, digits, little_signed);
        Py_DECREF(digits);
    }
    return number;
}

static double double_at(const uint8_t *bytes) {
    uint64_t bits = 0;
    double value;
    for (int n = 0; n < 8; n++)
        bits = bits << 8 | bytes[n];
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint64_t word_at(const uint8_t *bytes) {
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

static inline int is_ascii(const uint8_t *bytes, size_t size) {
    uint64_t bits = 0;
    if (size >= sizeof bits) {
        const uint8_t *last = bytes + size - sizeof bits;
        for (; bytes < last; bytes += sizeof bits)
            bits |= word_at(bytes);
        bits |= word_at(last);
    } else
        while (size > 0)
            bits |= bytes[--size];
    return (bits & UINT64_C(0x8080808080808080)) == 0;
}

/* Most texts are ASCII. Python takes three times as long to find that out, and has the texts of
   less than two characters already. */
static inline PyObject *plain_text(const uint8_t *bytes, size_t size) {
    if (is_ascii(bytes, size) && size > 1) {
        PyObject *made = PyUnicode_New((Py_ssize_t)size, 127);
        if (made != NULL)
            memcpy(PyUnicode_DATA(made), bytes, size);
        return made;
    }
    return PyUnicode_DecodeUTF8((const char *)bytes, (Py_ssize_t)size, "surrogatepass");
}

static PyObject *text_of(Load *load, const uint8_t *bytes, size_t size) {
    PyObject *name = NULL;
    if (is_attribute_name(load))
        name = attribute_name(load, (const char *)bytes, (Py_ssize_t)size);
    return name != NULL ? name : plain_text(bytes, size);
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
    if (count > 0)
        memcpy(((PyTupleObject *)tuple)->ob_item, &work->stack[work->stack_size],
               (size_t)count * sizeof *work->stack);
    return tuple;
}

static PyObject *pop_list(Work *work, Py_ssize_t count) {
    PyObject *list = PyList_New(count);
    if (list == NULL)
        return NULL;
    work->stack_size -= count;
    if (count > 0)
        memcpy(((PyListObject *)list)->ob_item, &work->stack[work->stack_size],
               (size_t)count * sizeof *work->stack);
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

/* Have a list that never had anything take over values, at once and with no more room than
   they need. Return whether it did. */
static inline int fill_empty_list(PyListObject *list, PyObject **values, Py_ssize_t count) {
#if PY_VERSION_HEX < 0x030E0000 /* where lists are known to be as here */
    if (list->ob_item != NULL)
        return 0;
    list->ob_item = PyMem_New(PyObject *, (size_t)count);
    if (list->ob_item == NULL)
        return 0;
    memcpy(list->ob_item, values, (size_t)count * sizeof *values);
    list->allocated = count;
    Py_SET_SIZE(list, count);
    return 1;
#else
    (void)list, (void)values, (void)count;
    return 0;
#endif
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
        if (count > 1 && fill_empty_list((PyListObject *)list, &work->stack[first], count)) {
            work->stack_size = first;
            return DONE;
        }
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
    int plain, names = load->keys_are_names && first == 1;
    if (count & 1 || first < 1 || (work->marks_size && first <= work->marks[work->marks_size - 1]))
        return misfit(load);
    target = work->stack[first - 1];
    plain = PyDict_CheckExact(target);
    if (!plain && !load->called)
        return HAND_OVER;
    for (Py_ssize_t n = first; n < work->stack_size; n += 2) {
        PyObject *key, *value = work->stack[n + 1];
        if (names && PyUnicode_CheckExact(work->stack[n]) &&
            !PyUnicode_CHECK_INTERNED(work->stack[n]))
            intern_name(load->decoder, &work->stack[n]);
        key = work->stack[n];
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
