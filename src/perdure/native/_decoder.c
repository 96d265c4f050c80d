/* The state of a record, from its bytes to the object: what `records.reader` does, for nearly all.

   A decoder serves one connection. It reads the second pickle of a record behind a
   class metadata that the reader has seen before, and gives the state to the object.
   Which opcodes there are, and what each one takes and leaves, stands in the standard
   library's pickletools. Known here are those of protocols 0 to 3 that records have:

   - Anything else, and anything that does not fit together, is handed over: the reader
     begins anew with the standard library's unpickler, which reads it or says what is
     wrong. To hand over must be free of consequences, so before the first opcode that
     calls what a record names, the rest is looked through for opcodes not known here;
     from then on, what does not fit together is an error of this module.
   - Classes and functions come from `find_global` and from nowhere else. Only they, what
     is inside the record, and what `load_reference` returns can be called.

   Limits: everything is bounded by the bytes of the record. A string cannot be longer than
   what is left of it, and a number in the memo not larger than its size. There is no
   recursion here.

   References. The stack and the memo own what is in them. A function with "pop" in its
   name hands ownership to the caller, `push` takes it over, even where it fails. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>
#include <structmember.h>

/* What reading comes to. FAILED: an exception is set. REFUSED: it is that of the object's
   own __setstate__. HAND_OVER: none is set. */
enum outcome { DONE = 0, FAILED = -1, HAND_OVER = -2, REFUSED = -3 };

#define KEPT_ITEMS 4096 /* of stack and memo, from one record to the next */
#define KEYS 256        /* a power of 2 */
#define LONGEST_KEY 40

static PyObject *empty_tuple, *int_from_bytes, *little_signed, *unpickling_error, *modules;
static PyObject *persistent_type, *persistent_setstate;
static PyObject *name_setstate, *name_dict, *name_extend, *name_append;

/* How records of one class begin, and what stands in the memo behind that. */
typedef struct {
    PyObject_HEAD
    PyObject *start; /* bytes */
    int number;      /* of the class in the memo; negative where it is not there */
} Head;

/* What one load needs. Kept from one to the next; a load inside a load has its own. */
typedef struct {
    PyObject **stack;
    Py_ssize_t stack_size, stack_room;
    PyObject **memo;
    Py_ssize_t memo_size, memo_room; /* size: one more than the largest number used */
    Py_ssize_t *marks;
    Py_ssize_t marks_size, marks_room;
} Work;

typedef struct {
    PyObject_HEAD
    PyObject *cache; /* the connection's PickleCache */
    PyObject *new_ghost;
    PyObject *find_global;
    PyObject *load_reference;
    PyObject *refused;
    PyObject *hand_over;
    PyObject *explain;
    PyTypeObject *broken; /* whose subclasses stand for classes that are not there */
    PyObject *heads;      /* class -> Head */
    PyObject *globals; /* b"module\nname" -> (module, name, what it is), or NULL */
    Py_ssize_t hits;
    Work kept;
    int in_use;           /* whether `kept` is */
    PyObject *keys[KEYS]; /* names of attributes, interned, by a hash of their bytes */
} Decoder;

typedef struct {
    Decoder *decoder;
    Work *work;
    const uint8_t *next, *end;
    int keys_are_names; /* of the dictionary that is the whole state */
    int called;         /* something was: handing over is not free any more */
} Load;

/* Work */

static int grow(void **items, Py_ssize_t *room, Py_ssize_t wanted, size_t item_size) {
    Py_ssize_t new_room = *room ? *room : 64;
    void *grown;
    while (new_room < wanted) {
        if (new_room > PY_SSIZE_T_MAX / 2 / (Py_ssize_t)item_size) {
            PyErr_NoMemory();
            return FAILED;
        }
        new_room *= 2;
    }
    grown = PyMem_Realloc(*items, (size_t)new_room * item_size);
    if (grown == NULL) {
        PyErr_NoMemory();
        return FAILED;
    }
    *items = grown;
    *room = new_room;
    return DONE;
}

/* Let go of all that is on the stack and in the memo. What that calls may begin a load,
   which finds `kept` in use. */
static void clear_work(Work *work) {
    work->marks_size = 0;
    while (work->stack_size > 0)
        Py_DECREF(work->stack[--work->stack_size]);
    while (work->memo_size > 0)
        Py_XDECREF(work->memo[--work->memo_size]);
}

static void free_work(Work *work) {
    clear_work(work);
    PyMem_Free(work->stack);
    PyMem_Free(work->memo);
    PyMem_Free(work->marks);
    memset(work, 0, sizeof *work);
}

/* Take over `value`, which may be NULL with an exception set. */
static inline int push(Work *work, PyObject *value) {
    if (value == NULL)
        return FAILED;
    if (work->stack_size == work->stack_room &&
        grow((void **)&work->stack, &work->stack_room, work->stack_size + 1, sizeof *work->stack)) {
        Py_DECREF(value);
        return FAILED;
    }
    work->stack[work->stack_size++] = value;
    return DONE;
}

static inline int push_mark(Work *work) {
    if (work->marks_size == work->marks_room &&
        grow((void **)&work->marks, &work->marks_room, work->marks_size + 1, sizeof *work->marks))
        return FAILED;
    work->marks[work->marks_size++] = work->stack_size;
    return DONE;
}

/* How many values may be taken from the stack: those above the last mark. */
static inline Py_ssize_t above_mark(const Work *work) {
    return work->marks_size ? work->stack_size - work->marks[work->marks_size - 1]
                            : work->stack_size;
}

static inline void drop(Work *work, Py_ssize_t count) {
    Py_ssize_t down_to = work->stack_size - count;
    while (work->stack_size > down_to)
        Py_DECREF(work->stack[--work->stack_size]);
}

/* The record does not fit together, or is more than is known here. */
static int misfit(const Load *load) {
    if (!load->called)
        return HAND_OVER;
    PyErr_SetString(unpickling_error, "the opcodes of its state do not fit together");
    return FAILED;
}

/* The memo */

static int memoize(Load *load, size_t number, const uint8_t *record) {
    Work *work = load->work;
    PyObject *value, *before;
    if (above_mark(work) < 1)
        return misfit(load);
    if (number > UINT8_MAX && number > (size_t)(load->end - record)) {
        /* Not handed over: the unpickler would make room for it, up to 32 GiB. */
        PyErr_SetString(unpickling_error, "it numbers objects that it cannot have");
        return FAILED;
    }
    if ((Py_ssize_t)number >= work->memo_room &&
        grow((void **)&work->memo, &work->memo_room, (Py_ssize_t)number + 1, sizeof *work->memo))
        return FAILED;
    while (work->memo_size <= (Py_ssize_t)number)
        work->memo[work->memo_size++] = NULL;
    value = work->stack[work->stack_size - 1];
    Py_INCREF(value);
    before = work->memo[number];
    work->memo[number] = value;
    Py_XDECREF(before);
    return DONE;
}

static inline int push_memoized(Load *load, size_t number) {
    Work *work = load->work;
    if (number >= (size_t)work->memo_size || work->memo[number] == NULL)
        return misfit(load);
    return push(work, Py_NewRef(work->memo[number]));
}

/* Numbers and strings */

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
    PyObject *name, **known;
    if (size <= LONGEST_KEY) {
        for (Py_ssize_t n = 0; n < size; n++)
            hash = hash * 31 + (uint8_t)bytes[n];
        known = &decoder->keys[(hash ^ hash >> 8) & (KEYS - 1)];
        if (*known != NULL) {
            Py_ssize_t known_size;
            const char *known_bytes = PyUnicode_AsUTF8AndSize(*known, &known_size);
            if (known_bytes == NULL)
                PyErr_Clear(); /* it has a surrogate, which is no UTF-8 */
            else if (known_size == size && memcmp(known_bytes, bytes, (size_t)size) == 0)
                return Py_NewRef(*known);
        }
    }
    name = PyUnicode_DecodeUTF8(bytes, size, "surrogatepass");
    if (name == NULL)
        return NULL;
    PyUnicode_InternInPlace(&name);
    if (size <= LONGEST_KEY) {
        PyObject *before = *known;
        *known = Py_NewRef(name);
        Py_XDECREF(before);
    }
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

/* What a record names, and calls */

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

/* Return a ghost of a plain class, in the cache; NULL without an exception where that needs
   a closer look. */
static PyObject *plain_ghost(Decoder *decoder, PyObject *oid, PyTypeObject *cls) {
    newfunc make;
    PyObject *ghost, *result;
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
    result = PyObject_CallFunctionObjArgs(decoder->new_ghost, oid, ghost, NULL);
    if (result == NULL)
        Py_CLEAR(ghost);
    Py_XDECREF(result);
    return ghost;
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
        obj = PyObject_GetItem(decoder->cache, oid);
        if (obj == NULL) {
            if (!PyErr_ExceptionMatches(PyExc_KeyError))
                return FAILED;
            PyErr_Clear();
            if (cls != NULL && PyType_Check(cls)) {
                obj = plain_ghost(decoder, oid, (PyTypeObject *)cls);
                if (obj == NULL && PyErr_Occurred())
                    return FAILED;
            }
        } else if (cls != NULL)
            decoder->hits++;
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

/* What comes */

#define LINE (-1) /* the argument ends with its line */
#define UNKNOWN (-2)
#define COUNTED 16 /* plus the bytes of a length, which is followed by as many bytes */

/* The size of an opcode's argument; UNKNOWN where it is handed over. */
static int argument_size(uint8_t opcode) {
    switch (opcode) {
    case '(': case '.': case '0': case '1': case '2': case 'N': case ')': case ']': case '}':
    case 't': case 'l': case 'd': case 'a': case 'e': case 's': case 'u': case 'R': case 'b':
    case 'Q': case 0x81: case 0x85: case 0x86: case 0x87: case 0x88: case 0x89:
        return 0;
    case 'K': case 'h': case 'q': case 0x80:
        return 1;
    case 'M':
        return 2;
    case 'J': case 'j': case 'r':
        return 4;
    case 'G':
        return 8;
    case 'U': case 'C': case 0x8a:
        return COUNTED + 1;
    case 'T': case 'X': case 'B': case 0x8b:
        return COUNTED + 4;
    case 'c':
        return LINE;
    default:
        return UNKNOWN;
    }
}

/* Whether all opcodes up to STOP are known here, so that it is safe to call something. */
static int is_known_ahead(const uint8_t *next, const uint8_t *end) {
    while (next < end) {
        uint8_t opcode = *next++;
        int size = argument_size(opcode);
        if (opcode == '.')
            return 1;
        if (opcode == 0x80 && next < end && *next > 3)
            return 0;
        if (size == UNKNOWN)
            return 0;
        if (size == LINE) {
            for (int line = 0; line < 2; line++) {
                next = memchr(next, '\n', (size_t)(end - next));
                if (next++ == NULL)
                    return 0;
            }
            continue;
        }
        if (size > COUNTED) {
            size_t length;
            size -= COUNTED;
            if (end - next < size)
                return 0;
            length = (size_t)uint_at(next, (size_t)size);
            next += size;
            if ((size_t)(end - next) < length)
                return 0;
            next += length;
            continue;
        }
        if (end - next < size)
            return 0;
        next += size;
    }
    return 0;
}

static inline int prepare_call(Load *load) {
    if (load->called)
        return DONE;
    if (!is_known_ahead(load->next, load->end))
        return HAND_OVER;
    load->called = 1;
    return DONE;
}

/* Run the opcodes up to STOP, and leave the state as the only value on the stack. */
static int run(Load *load, const uint8_t *record) {
    Work *work = load->work;
    Py_ssize_t count;
    int outcome = DONE;
    while (outcome == DONE) {
        const uint8_t *argument;
        size_t length = 0;
        uint8_t opcode;
        int size;
        if (load->next == load->end)
            return misfit(load);
        opcode = *load->next++;
        size = argument_size(opcode);
        argument = load->next;
        if (size > 0) {
            int fixed = size > COUNTED ? size - COUNTED : size;
            if (load->end - argument < fixed)
                return misfit(load);
            load->next += fixed;
            if (size > COUNTED) {
                length = (size_t)uint_at(argument, (size_t)fixed);
                argument = load->next;
                if ((size_t)(load->end - argument) < length)
                    return misfit(load);
                load->next += length;
            }
        }
        switch (opcode) {
        case 0x80: /* PROTO */
            if (*argument > 3)
                return misfit(load);
            break;
        case '.': /* STOP */
            if (work->marks_size != 0 || work->stack_size != 1)
                return misfit(load);
            return DONE;
        case '(': /* MARK */
            outcome = push_mark(work);
            break;
        case '0': /* POP: a value, or else a mark */
            if (above_mark(work) > 0)
                drop(work, 1);
            else if (pop_mark(work) < 0)
                return misfit(load);
            break;
        case '1': /* POP_MARK */
            count = pop_mark(work);
            if (count < 0)
                return misfit(load);
            drop(work, count);
            break;
        case '2': /* DUP */
            if (above_mark(work) < 1)
                return misfit(load);
            outcome = push(work, Py_NewRef(work->stack[work->stack_size - 1]));
            break;
        case 'N': /* NONE */
            outcome = push(work, Py_NewRef(Py_None));
            break;
        case 0x88: /* NEWTRUE */
            outcome = push(work, Py_NewRef(Py_True));
            break;
        case 0x89: /* NEWFALSE */
            outcome = push(work, Py_NewRef(Py_False));
            break;
        case 'K': /* BININT1 */
        case 'M': /* BININT2 */
            outcome = push(work, PyLong_FromLong((long)uint_at(argument, (size_t)size)));
            break;
        case 'J': /* BININT */
            outcome = push(work, signed_number(argument, 4));
            break;
        case 0x8b: /* LONG4, whose length is a signed number */
            if (length > INT32_MAX)
                return misfit(load);
            /* fall through */
        case 0x8a: /* LONG1 */
            outcome = push(work, signed_number(argument, length));
            break;
        case 'G': /* BINFLOAT */
            outcome = push(work, float_at(argument));
            break;
        case 'T': /* BINSTRING, whose length is a signed number */
            if (length > INT32_MAX)
                return misfit(load);
            /* fall through */
        case 'U': /* SHORT_BINSTRING: of Python 2, read as bytes */
        case 'C': /* SHORT_BINBYTES */
        case 'B': /* BINBYTES */
            outcome = push(work, PyBytes_FromStringAndSize((const char *)argument,
                                                           (Py_ssize_t)length));
            break;
        case 'X': /* BINUNICODE */
            outcome = push(work, is_attribute_name(load)
                                     ? attribute_name(load->decoder, (const char *)argument,
                                                      (Py_ssize_t)length)
                                     : PyUnicode_DecodeUTF8((const char *)argument,
                                                            (Py_ssize_t)length, "surrogatepass"));
            break;
        case 'q': /* BINPUT */
            outcome = memoize(load, *argument, record);
            break;
        case 'r': /* LONG_BINPUT */
            outcome = memoize(load, uint32_at(argument), record);
            break;
        case 'h': /* BINGET */
            outcome = push_memoized(load, *argument);
            break;
        case 'j': /* LONG_BINGET */
            outcome = push_memoized(load, uint32_at(argument));
            break;
        case ')': /* EMPTY_TUPLE */
            outcome = push(work, Py_NewRef(empty_tuple));
            break;
        case 0x85: /* TUPLE1 */
        case 0x86: /* TUPLE2 */
        case 0x87: /* TUPLE3 */
            outcome = push_tuple(load, opcode - 0x84);
            break;
        case 't': /* TUPLE */
            count = pop_mark(work);
            outcome = count < 0 ? misfit(load) : push(work, pop_tuple(work, count));
            break;
        case ']': /* EMPTY_LIST */
            outcome = push(work, PyList_New(0));
            break;
        case 'l': /* LIST */
            count = pop_mark(work);
            outcome = count < 0 ? misfit(load) : push(work, pop_list(work, count));
            break;
        case '}': /* EMPTY_DICT */
            outcome = push(work, PyDict_New());
            break;
        case 'd': /* DICT */
            outcome = push_filled(load, PyDict_New(), set_items);
            break;
        case 'a': /* APPEND */
            outcome = append_items(load, 1);
            break;
        case 'e': /* APPENDS */
            count = pop_mark(work);
            outcome = count < 0 ? misfit(load) : append_items(load, count);
            break;
        case 's': /* SETITEM */
            outcome = set_items(load, 2);
            break;
        case 'u': /* SETITEMS */
            count = pop_mark(work);
            outcome = count < 0 ? misfit(load) : set_items(load, count);
            break;
        case 'c': /* GLOBAL */
            outcome = push_global(load);
            break;
        case 'Q': /* BINPERSID */
            outcome = load_persistent(load);
            break;
        case 'R': /* REDUCE */
            outcome = prepare_call(load);
            if (outcome == DONE)
                outcome = reduce(load);
            break;
        case 0x81: /* NEWOBJ */
            outcome = prepare_call(load);
            if (outcome == DONE)
                outcome = make_instance(load);
            break;
        case 'b': /* BUILD */
            outcome = prepare_call(load);
            if (outcome == DONE)
                outcome = build(load);
            break;
        default:
            return misfit(load);
        }
    }
    return outcome;
}

/* The state and its object */

/* Give a state to an object whose class has the __setstate__ of Persistent, as that does.
   Takes the state over; DONE, FAILED, or HAND_OVER where it is not that simple. */
static int install(PyObject *obj, PyObject *state) {
    PyObject *dict;
    int outcome;
    /* What else refers to the state must not change with the object. */
    if (!PyDict_CheckExact(state) || Py_REFCNT(state) != 1)
        return HAND_OVER;
    dict = PyObject_GenericGetDict(obj, NULL);
    if (dict == NULL) {
        PyErr_Clear(); /* it has none, and __setstate__ will say so */
        return HAND_OVER;
    }
    /* One reference is ours, one the object's. Who else has one, sees the dictionary filled. */
    outcome = Py_REFCNT(dict) > 2 ? HAND_OVER : PyObject_GenericSetDict(obj, state, NULL);
    Py_DECREF(dict);
    return outcome;
}

/* Whether the class has no __setstate__ of its own. Asked each time: classes can be changed. */
static int has_plain_setstate(PyObject *cls) {
    PyObject *method = PyObject_GetAttr(cls, name_setstate);
    int plain = method == persistent_setstate;
    if (method == NULL)
        PyErr_Clear();
    Py_XDECREF(method);
    return plain;
}

static int decode(Decoder *decoder, Work *work, PyObject *obj, PyObject *record) {
    const uint8_t *bytes = (const uint8_t *)PyBytes_AsString(record);
    Py_ssize_t size = PyBytes_Size(record), start_size;
    PyObject *cls = (PyObject *)Py_TYPE(obj), *state;
    Load load = {decoder, work, bytes, bytes + size, 0, 0};
    Head *head = (Head *)PyDict_GetItemWithError(decoder->heads, cls);
    int outcome;
    if (head == NULL)
        return PyErr_Occurred() ? FAILED : HAND_OVER;
    start_size = PyBytes_Size(head->start);
    if (size < start_size ||
        memcmp(bytes, PyBytes_AsString(head->start), (size_t)start_size) != 0)
        return HAND_OVER;
    load.next += start_size;
    if (head->number >= 0) {
        if (push(work, Py_NewRef(cls)) < 0)
            return FAILED;
        outcome = memoize(&load, (size_t)head->number, bytes);
        drop(work, 1);
        if (outcome != DONE)
            return outcome;
    }
    load.keys_are_names = has_plain_setstate(cls);
    outcome = run(&load, bytes);
    if (outcome != DONE)
        return outcome;
    state = work->stack[--work->stack_size];
    clear_work(work);
    outcome = load.keys_are_names ? install(obj, state) : HAND_OVER;
    if (outcome == HAND_OVER) {
        PyObject *result = PyObject_CallMethodObjArgs(obj, name_setstate, state, NULL);
        outcome = result == NULL ? REFUSED : DONE;
        Py_XDECREF(result);
    }
    Py_DECREF(state);
    return outcome;
}

/* Have an error explained: `explain` raises a better one, or returns to let it pass. */
static void explain_error(PyObject *explain, PyObject *obj, PyObject *record) {
    PyObject *type, *error, *traceback, *result;
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    if (traceback != NULL)
        PyException_SetTraceback(error, traceback);
    result = PyObject_CallFunctionObjArgs(explain, error, obj, record, NULL);
    if (result == NULL) {
        Py_XDECREF(type);
        Py_XDECREF(error);
        Py_XDECREF(traceback);
    } else {
        Py_DECREF(result);
        PyErr_Restore(type, error, traceback);
    }
}

static PyObject *set_state(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    Decoder *decoder = (Decoder *)self;
    PyObject *obj, *record;
    Work own = {0}, *work = &own;
    int outcome;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "set_state takes an object and its record");
        return NULL;
    }
    obj = args[0];
    record = args[1];
    if (!PyBytes_CheckExact(record))
        return PyObject_CallFunctionObjArgs(decoder->hand_over, obj, record, NULL);
    if (!decoder->in_use) {
        decoder->in_use = 1;
        work = &decoder->kept;
    }
    outcome = decode(decoder, work, obj, record);
    clear_work(work);
    if (work == &own || work->stack_room > KEPT_ITEMS || work->memo_room > KEPT_ITEMS ||
        work->marks_room > KEPT_ITEMS)
        free_work(work);
    if (work != &own)
        decoder->in_use = 0;
    if (outcome == HAND_OVER)
        return PyObject_CallFunctionObjArgs(decoder->hand_over, obj, record, NULL);
    if (outcome == DONE)
        Py_RETURN_NONE;
    explain_error(outcome == REFUSED ? decoder->refused : decoder->explain, obj, record);
    return NULL;
}

static PyTypeObject *head_type, *decoder_type;

static PyObject *learn(PyObject *self, PyObject *args) {
    PyObject *cls, *start;
    int number, result;
    Head *head;
    if (!PyArg_ParseTuple(args, "O!Si:learn", &PyType_Type, &cls, &start, &number))
        return NULL;
    if (number > 255) {
        PyErr_SetString(PyExc_ValueError, "the number of a class is below 256");
        return NULL;
    }
    head = PyObject_New(Head, head_type);
    if (head == NULL)
        return NULL;
    head->start = Py_NewRef(start);
    head->number = number;
    result = PyDict_SetItem(((Decoder *)self)->heads, cls, (PyObject *)head);
    Py_DECREF(head);
    if (result < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* Types */

static void head_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(((Head *)self)->start);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *decoder_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    static char *names[] = {"cache", "find_global", "steady", "load_reference",
                            "broken",    "hand_over",   "explain", "refused", NULL};
    PyObject *cache, *find_global, *load_reference, *broken, *hand_over, *explain, *refused;
    Decoder *decoder;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    int steady;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OOpOO!OOO:Decoder", names, &cache,
                                     &find_global, &steady, &load_reference, &PyType_Type, &broken,
                                     &hand_over, &explain, &refused))
        return NULL;
    decoder = (Decoder *)allocate(type, 0);
    if (decoder == NULL)
        return NULL;
    decoder->cache = Py_NewRef(cache);
    decoder->find_global = Py_NewRef(find_global);
    decoder->load_reference = Py_NewRef(load_reference);
    decoder->broken = (PyTypeObject *)Py_NewRef(broken);
    decoder->hand_over = Py_NewRef(hand_over);
    decoder->explain = Py_NewRef(explain);
    decoder->refused = Py_NewRef(refused);
    decoder->new_ghost = PyObject_GetAttrString(cache, "new_ghost");
    decoder->heads = PyDict_New();
    if (steady)
        decoder->globals = PyDict_New();
    if (decoder->new_ghost == NULL || decoder->heads == NULL ||
        (steady && decoder->globals == NULL)) {
        Py_DECREF(decoder);
        return NULL;
    }
    return (PyObject *)decoder;
}

/* What is in `kept` is not told to the collector: it is there only during a load. */
static int decoder_traverse(PyObject *self, visitproc visit, void *arg) {
    Decoder *decoder = (Decoder *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(decoder->cache);
    Py_VISIT(decoder->new_ghost);
    Py_VISIT(decoder->find_global);
    Py_VISIT(decoder->load_reference);
    Py_VISIT(decoder->broken);
    Py_VISIT(decoder->hand_over);
    Py_VISIT(decoder->explain);
    Py_VISIT(decoder->refused);
    Py_VISIT(decoder->heads);
    Py_VISIT(decoder->globals);
    return 0;
}

/* The references are dropped by `decoder_dealloc` only: a method may still be called from
   within the same garbage, and finds them. All cycles pass through what others clear. */
static int decoder_clear(PyObject *self) {
    Decoder *decoder = (Decoder *)self;
    Py_CLEAR(decoder->globals);
    if (decoder->heads != NULL)
        PyDict_Clear(decoder->heads);
    return 0;
}

static void decoder_dealloc(PyObject *self) {
    Decoder *decoder = (Decoder *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    free_work(&decoder->kept);
    Py_CLEAR(decoder->cache);
    Py_CLEAR(decoder->new_ghost);
    Py_CLEAR(decoder->find_global);
    Py_CLEAR(decoder->load_reference);
    Py_CLEAR(decoder->broken);
    Py_CLEAR(decoder->hand_over);
    Py_CLEAR(decoder->explain);
    Py_CLEAR(decoder->refused);
    Py_CLEAR(decoder->heads);
    Py_CLEAR(decoder->globals);
    for (int n = 0; n < KEYS; n++)
        Py_CLEAR(decoder->keys[n]);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static PyMethodDef decoder_methods[] = {
    {"set_state", (PyCFunction)(void (*)(void))set_state, METH_FASTCALL,
     "Give an object the state in a record."},
    {"learn", learn, METH_VARARGS, "Take note how the records of a class begin."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef decoder_members[] = {
    {"hits", T_PYSSIZET, offsetof(Decoder, hits), READONLY,
     "How many references led to an object in the cache."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot decoder_slots[] = {
    {Py_tp_doc, "Reads the states of one connection's objects."},
    {Py_tp_new, decoder_new},
    {Py_tp_dealloc, decoder_dealloc},
    {Py_tp_traverse, decoder_traverse},
    {Py_tp_clear, decoder_clear},
    {Py_tp_methods, decoder_methods},
    {Py_tp_members, decoder_members},
    {0, NULL},
};

static PyType_Spec decoder_spec = {
    .name = "perdure.native._decoder.Decoder",
    .basicsize = sizeof(Decoder),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = decoder_slots,
};

static PyType_Slot head_slots[] = {
    {Py_tp_dealloc, head_dealloc},
    {0, NULL},
};

static PyType_Spec head_spec = {
    .name = "perdure.native._decoder.Head",
    .basicsize = sizeof(Head),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = head_slots,
};

/* The module */

static PyObject *imported(const char *module_name, const char *name) {
    PyObject *module = PyImport_ImportModule(module_name), *found;
    if (module == NULL)
        return NULL;
    found = PyObject_GetAttrString(module, name);
    Py_DECREF(module);
    return found;
}

static int prepare(void) {
    empty_tuple = PyTuple_New(0);
    int_from_bytes = PyObject_GetAttrString((PyObject *)&PyLong_Type, "from_bytes");
    little_signed = Py_BuildValue("{s:O}", "signed", Py_True);
    unpickling_error = imported("pickle", "UnpicklingError");
    modules = Py_XNewRef(PyImport_GetModuleDict());
    persistent_type = imported("persistent", "Persistent");
    name_setstate = PyUnicode_InternFromString("__setstate__");
    name_dict = PyUnicode_InternFromString("__dict__");
    name_extend = PyUnicode_InternFromString("extend");
    name_append = PyUnicode_InternFromString("append");
    head_type = (PyTypeObject *)PyType_FromSpec(&head_spec);
    decoder_type = (PyTypeObject *)PyType_FromSpec(&decoder_spec);
    if (empty_tuple == NULL || int_from_bytes == NULL || little_signed == NULL ||
        unpickling_error == NULL || modules == NULL || persistent_type == NULL ||
        name_setstate == NULL || name_dict == NULL || name_extend == NULL || name_append == NULL ||
        head_type == NULL || decoder_type == NULL)
        return FAILED;
    if (!PyType_Check(persistent_type)) {
        PyErr_SetString(PyExc_ImportError, "persistent.Persistent is no class");
        return FAILED;
    }
    persistent_setstate = PyObject_GetAttr(persistent_type, name_setstate);
    return persistent_setstate == NULL ? FAILED : DONE;
}

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "perdure.native._decoder",
    .m_doc = "The states of records, read from their bytes into their objects.",
    .m_size = -1,
};

PyMODINIT_FUNC PyInit__decoder(void) {
    PyObject *module;
    if (prepare() != DONE)
        return NULL;
    module = PyModule_Create(&definition);
    if (module != NULL && PyModule_AddObjectRef(module, "Decoder", (PyObject *)decoder_type) < 0)
        Py_CLEAR(module);
    return module;
}
