/* What a record names, and what it calls: classes, persistent references, reductions.

   Classes and functions come from the decoder's `find_global`, references from the cache, or
   from `load_reference`. Code of the application may run in each of these, and may load other
   objects with the same decoder. */

#ifndef PERDURE_DECODING_CALLS_H
#define PERDURE_DECODING_CALLS_H

#include "caches.h"
#include "decoding.h"
#include "decoding_values.h"

/* Return what `find_global` found for the same bytes before, if that is what stands in its
   module still; else NULL, perhaps with an exception set. */
static PyObject *known_global(Decoder *decoder, PyObject *bytes) {
    PyObject *known, *module, *found;
    if (decoder->globals == NULL)
        return NULL;
    known = PyDict_GetItemWithError(decoder->globals, bytes);
    if (known == NULL)
        return NULL;
    module = PyDict_GetItemWithError(modules, PyTuple_GetItem(known, 0));
    if (module == NULL)
        return NULL;
    Py_INCREF(known); /* looking into a module may run code, which may load */
    Py_INCREF(module);
    found = optional_attribute(module, PyTuple_GetItem(known, 1));
    Py_DECREF(module);
    if (found != NULL && found != PyTuple_GetItem(known, 2))
        Py_CLEAR(found);
    Py_DECREF(known);
    return found;
}

static int keep_global(Decoder *decoder, PyObject *bytes, PyObject *module, PyObject *name,
                       PyObject *found) {
    PyObject *known;
    int result;
    if (decoder->globals == NULL || !PyType_Check(found))
        return DONE;
    if (PyDict_Size(decoder->globals) >= KEPT_ITEMS)
        PyDict_Clear(decoder->globals);
    known = PyTuple_Pack(3, module, name, found);
    if (known == NULL)
        return FAILED;
    result = PyDict_SetItem(decoder->globals, bytes, known);
    Py_DECREF(known);
    return result;
}

static int push_global(Load *load) {
    const uint8_t *start = load->next, *middle, *last;
    PyObject *bytes, *module = NULL, *name = NULL, *found;
    middle = memchr(start, '\n', (size_t)(load->end - start));
    if (middle == NULL)
        return misfit(load);
    last = memchr(middle + 1, '\n', (size_t)(load->end - middle - 1));
    if (last == NULL || middle == start || last == middle + 1)
        return misfit(load);
    load->next = last + 1;
    bytes = PyBytes_FromStringAndSize((const char *)start, last - start);
    if (bytes == NULL)
        return FAILED;
    found = known_global(load->decoder, bytes);
    if (found != NULL || PyErr_Occurred()) {
        Py_DECREF(bytes);
        return push(load->work, found);
    }
    module = PyUnicode_DecodeUTF8((const char *)start, middle - start, "strict");
    if (module != NULL)
        name = PyUnicode_DecodeUTF8((const char *)middle + 1, last - middle - 1, "strict");
    if (name != NULL) {
        found = PyObject_CallFunctionObjArgs(load->decoder->find_global, module, name, NULL);
        if (found != NULL && keep_global(load->decoder, bytes, module, name, found) < 0)
            Py_CLEAR(found);
    }
    Py_DECREF(bytes);
    Py_XDECREF(module);
    Py_XDECREF(name);
    return push(load->work, found);
}

/* Return the object of the cache with this oid; NULL, with or without an exception. */
static PyObject *cached(Decoder *decoder, PyObject *oid) {
    PyObject *data = cache_data(decoder->cache), *obj;
    if (data != NULL)
        return Py_XNewRef(PyDict_GetItemWithError(data, oid));
    obj = PyObject_GetItem(decoder->cache, oid);
    if (obj == NULL && PyErr_ExceptionMatches(PyExc_KeyError))
        PyErr_Clear();
    return obj;
}

/* Return a ghost of a plain class, in the cache; NULL without an exception where that needs
   a closer look. */
static PyObject *plain_ghost(Decoder *decoder, PyObject *oid, PyTypeObject *cls) {
    newfunc make;
    PyObject *ghost, *there, *data, *result;
    if (!PyType_IsSubtype(cls, (PyTypeObject *)persistent_type) ||
        PyType_IsSubtype(cls, decoder->broken))
        return NULL;
    make = (newfunc)PyType_GetSlot(cls, Py_tp_new);
    if (make == NULL)
        return NULL;
    ghost = make(cls, empty_tuple, NULL);
    if (ghost == NULL) {
        if (PyErr_ExceptionMatches(PyExc_TypeError))
            PyErr_Clear(); /* it takes arguments by now; its own record has them */
        return NULL;
    }
    /* Making it may have run code, and that may have loaded it. */
    data = cache_data(decoder->cache);
    if (data != NULL && is_new(ghost))
        return enter_ghost(decoder->cache, data, oid, ghost);
    there = cached(decoder, oid);
    if (there != NULL || PyErr_Occurred()) {
        Py_DECREF(ghost);
        return there;
    }
    result = PyObject_CallFunctionObjArgs(decoder->new_ghost, oid, ghost, NULL);
    if (result == NULL)
        Py_CLEAR(ghost);
    Py_XDECREF(result);
    return ghost;
}

/* Return the object that an oid and a class, or NULL, refer to; NULL without an exception
   where that needs a closer look. */
static PyObject *referred(Decoder *decoder, PyObject *oid, PyObject *cls) {
    PyObject *obj = cached(decoder, oid);
    if (obj != NULL) {
        decoder->hits += cls != NULL;
        return obj;
    }
    if (cls == NULL || !PyType_Check(cls) || PyErr_Occurred())
        return NULL;
    return plain_ghost(decoder, oid, (PyTypeObject *)cls);
}

/* Replace the persistent id on top of the stack by the object that it means. */
static int load_persistent(Load *load) {
    Decoder *decoder = load->decoder;
    Work *work = load->work;
    PyObject *stored, *oid, *cls = NULL, *obj = NULL;
    if (above_mark(work) < 1)
        return misfit(load);
    oid = stored = work->stack[work->stack_size - 1];
    if (PyTuple_CheckExact(stored) && PyTuple_Size(stored) == 2) {
        oid = PyTuple_GetItem(stored, 0);
        cls = PyTuple_GetItem(stored, 1);
    }
    if (PyBytes_CheckExact(oid) && PyBytes_Size(oid) == 8) {
        obj = referred(decoder, oid, cls);
        if (obj == NULL && PyErr_Occurred())
            return FAILED;
    }
    if (obj == NULL) {
        obj = PyObject_CallFunctionObjArgs(decoder->load_reference, stored, NULL);
        if (obj == NULL)
            return FAILED;
    }
    work->stack[work->stack_size - 1] = obj;
    Py_DECREF(stored);
    return DONE;
}

/* Take an opcode with a number, which has one byte or four; 0 if something else comes. */
static inline int take_numbered(const uint8_t **next, const uint8_t *end, uint8_t one, uint8_t four,
                                size_t *number) {
    const uint8_t *at = *next;
    if (end - at >= 2 && *at == one) {
        *number = at[1];
        *next += 2;
    } else if (end - at >= 5 && *at == four) {
        *number = uint32_at(at + 1);
        *next += 5;
    } else
        return 0;
    return 1;
}

/* Read a reference at once whose oid was just pushed, if it goes on as they nearly all do:
   BINPUT, BINGET of the class, TUPLE2, BINPUT, BINPERSID. Anything else is left as it is. */
static int load_reference_ahead(Load *load) {
    Work *work = load->work;
    const uint8_t *next = load->next, *end = load->end;
    size_t number, class_number;
    Py_ssize_t size = work->memo_size;
    PyObject *oid = work->stack[work->stack_size - 1], *cls, *obj;
    if (size > work->memo_room - 2 || !take_numbered(&next, end, 'q', 'r', &number) ||
        number != (size_t)size || !take_numbered(&next, end, 'h', 'j', &class_number) ||
        class_number >= (size_t)size || next == end || *next++ != 0x86 ||
        !take_numbered(&next, end, 'q', 'r', &number) || number != (size_t)size + 1 ||
        next == end || *next++ != 'Q')
        return DONE;
    cls = work->memo[class_number];
    if (cls == NULL || is_put_off(cls) || !PyType_Check(cls))
        return DONE;
    obj = referred(load->decoder, oid, cls);
    if (obj == NULL)
        return PyErr_Occurred() ? FAILED : DONE;
    work->memo[size] = oid;
    work->memo[size + 1] = put_off(class_number);
    work->memo_size = size + 2;
    work->stack[work->stack_size - 1] = obj;
    load->next = next;
    return DONE;
}

/* Replace a callable and its arguments on the stack by what it returns. */
static int reduce(Load *load) {
    Work *work = load->work;
    PyObject *arguments, *callable, *made;
    if (above_mark(work) < 2)
        return misfit(load);
    arguments = work->stack[--work->stack_size];
    callable = work->stack[--work->stack_size];
    made = PyObject_CallObject(callable, arguments); /* refuses what is no tuple */
    Py_DECREF(callable);
    Py_DECREF(arguments);
    return push(work, made);
}

/* Replace a class and the arguments of its __new__ by an instance. */
static int make_instance(Load *load) {
    Work *work = load->work;
    PyObject *arguments, *cls, *made = NULL;
    newfunc make = NULL;
    if (above_mark(work) < 2)
        return misfit(load);
    arguments = work->stack[--work->stack_size];
    cls = work->stack[--work->stack_size];
    if (PyTuple_Check(arguments) && PyType_Check(cls))
        make = (newfunc)PyType_GetSlot((PyTypeObject *)cls, Py_tp_new);
    if (make != NULL)
        made = make((PyTypeObject *)cls, arguments, NULL);
    else
        PyErr_SetString(unpickling_error, "NEWOBJ needs a class that has a __new__, and a tuple");
    Py_DECREF(cls);
    Py_DECREF(arguments);
    return push(work, made);
}

static int update_dictionary(PyObject *target, PyObject *state) {
    PyObject *key, *value;
    Py_ssize_t position = 0;
    int result = DONE;
    if (!PyDict_Check(state)) {
        PyErr_SetString(unpickling_error, "state is not a dictionary");
        return FAILED;
    }
    while (result == DONE && PyDict_Next(state, &position, &key, &value)) {
        Py_INCREF(key);
        Py_INCREF(value);
        if (PyUnicode_CheckExact(key))
            PyUnicode_InternInPlace(&key);
        result = PyObject_SetItem(target, key, value);
        Py_DECREF(key);
        Py_DECREF(value);
    }
    return result;
}

static int set_attributes(PyObject *obj, PyObject *state) {
    PyObject *name, *value;
    Py_ssize_t position = 0;
    int result = DONE;
    if (!PyDict_Check(state)) {
        PyErr_SetString(unpickling_error, "slot state is not a dictionary");
        return FAILED;
    }
    while (result == DONE && PyDict_Next(state, &position, &name, &value)) {
        Py_INCREF(name);
        Py_INCREF(value);
        result = PyObject_SetAttr(obj, name, value);
        Py_DECREF(name);
        Py_DECREF(value);
    }
    return result;
}

/* Give the state on top of the stack to the object below it. */
static int build(Load *load) {
    Work *work = load->work;
    PyObject *state, *slots = NULL, *obj, *method, *result;
    int outcome = DONE;
    if (above_mark(work) < 2)
        return misfit(load);
    state = work->stack[--work->stack_size];
    obj = work->stack[work->stack_size - 1];
    method = optional_attribute(obj, name_setstate);
    if (method != NULL) {
        result = PyObject_CallFunctionObjArgs(method, state, NULL);
        Py_DECREF(method);
        Py_DECREF(state);
        Py_XDECREF(result);
        return result == NULL ? FAILED : DONE;
    }
    if (PyErr_Occurred()) {
        Py_DECREF(state);
        return FAILED;
    }
    if (PyTuple_Check(state) && PyTuple_Size(state) == 2) {
        PyObject *both = state;
        state = Py_NewRef(PyTuple_GetItem(both, 0));
        slots = Py_NewRef(PyTuple_GetItem(both, 1));
        Py_DECREF(both);
    }
    if (state != Py_None) {
        PyObject *dict = PyObject_GetAttr(obj, name_dict);
        outcome = dict == NULL ? FAILED : update_dictionary(dict, state);
        Py_XDECREF(dict);
    }
    if (outcome == DONE && slots != NULL && slots != Py_None)
        outcome = set_attributes(obj, slots);
    Py_DECREF(state);
    Py_XDECREF(slots);
    return outcome;
}

#endif
