/* The names of attributes, which are the keys of most states: from their bytes, and interned.

   Records of a class mostly have the same ones, in the same order. */

#ifndef PERDURE_DECODING_NAMES_H
#define PERDURE_DECODING_NAMES_H

#include "decoding.h"

static inline uint64_t eight_at(const char *bytes) {
    uint64_t eight;
    memcpy(&eight, bytes, sizeof eight);
    return eight;
}

static inline uint32_t four_at(const char *bytes) {
    uint32_t four;
    memcpy(&four, bytes, sizeof four);
    return four;
}

/* Short ones are compared as two numbers, which may overlap: to call a function takes longer. */
static inline int is_key(const Key *key, const char *bytes, Py_ssize_t size) {
    const char *known = key->bytes;
    if (key->size != size || key->name == NULL)
        return 0;
    if (size >= 4 && size <= 8)
        return four_at(known) == four_at(bytes) &&
               four_at(known + size - 4) == four_at(bytes + size - 4);
    if (size > 8 && size <= 16)
        return eight_at(known) == eight_at(bytes) &&
               eight_at(known + size - 8) == eight_at(bytes + size - 8);
    return memcmp(known, bytes, (size_t)size) == 0;
}

/* Keep a name, whose bytes are to be found in it, in place of another one. */
static void keep_name(Key *key, PyObject *name, const char *bytes, Py_ssize_t size) {
    PyObject *before = key->name;
    key->name = Py_NewRef(name);
    key->bytes = bytes;
    key->size = size;
    Py_XDECREF(before);
}

/* Where a name is kept among those of all classes. */
static inline Key *place_of_name(Decoder *decoder, const char *bytes, Py_ssize_t size) {
    uint32_t hash = (uint32_t)size;
    if (size <= LONGEST_KEY)
        for (Py_ssize_t n = 0; n < size; n++)
            hash = hash * 31 + (uint8_t)bytes[n];
    return &decoder->keys[(hash ^ hash >> 8) & (KEYS - 1)];
}

/* The next name, which mostly is that of the class's last record at the same place; NULL where
   it is not known: it may be no name, and is not interned before it has become one. */
static PyObject *attribute_name(Load *load, const char *bytes, Py_ssize_t size) {
    Key *expected = load->names < KEPT_NAMES ? &load->head->names[load->names] : NULL, *key;
    load->names++;
    if (expected != NULL && is_key(expected, bytes, size))
        return Py_NewRef(expected->name);
    key = place_of_name(load->decoder, bytes, size);
    if (!is_key(key, bytes, size))
        return NULL;
    if (expected != NULL)
        keep_name(expected, key->name, key->bytes, key->size);
    return Py_NewRef(key->name);
}

/* Intern what has become a name, and know it from now on. */
static void intern_name(Decoder *decoder, PyObject **name) {
    const char *bytes;
    Py_ssize_t size;
    PyUnicode_InternInPlace(name);
    bytes = PyUnicode_AsUTF8AndSize(*name, &size);
    if (bytes == NULL)
        PyErr_Clear(); /* it has a surrogate, which is no UTF-8 */
    else if (size <= LONGEST_KEY)
        keep_name(place_of_name(decoder, bytes, size), *name, bytes, size);
}

/* Whether the string that comes next can be a key of the dictionary that is the state: it is
   one, but for some members of tuples and lists. */
static inline int is_attribute_name(const Load *load) {
    const Work *work = load->work;
    if (!load->keys_are_names || !(work->stack_size & 1) || !PyDict_CheckExact(work->stack[0]))
        return 0;
    /* Many items stand above a mark, a single one does not. */
    return work->marks_size ? work->marks_size == 1 && work->marks[0] == 1 : work->stack_size == 1;
}

#endif
