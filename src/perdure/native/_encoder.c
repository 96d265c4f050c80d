/* From an object to its record: what `records.writer` does, for nearly all.

   An encoder serves one connection. It writes the record of an object whose class it has
   learned: what the writer found to stand at the head of such records, then the state, a
   pickle of protocol 3, byte for byte as the standard library's pickler writes it. Which
   opcodes there are stands in the standard library's pickletools.

   Known here are numbers, texts, bytes, containers, classes, references to persistent
   objects, and objects that are reduced as `object` does it, or as one of the classes that
   `classify` vouches for. Everything else, and everything that fails, is handed over: the
   writer dumps the whole state with the standard library's pickler, which writes it or
   raises what is to be raised. New objects that were met until then have their oids, and
   stand in `found`; the pickler meets them as objects that have one.

   References. The memo owns the objects in it, so that no other object can have the same
   address during one record. Items of containers are held while they are written: what
   is called on the way may change the container. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define DONT_USE_CPERSISTENCECAPI
#include <persistent/cPersistence.h>

/* What writing comes to. FAILED: an exception is set. HAND_OVER: none is. */
enum outcome { DONE = 0, FAILED = -1, HAND_OVER = -2 };

/* What `classify` says of the objects of a class. */
enum kind { UNKNOWN = 0, BARE_REFERENCE = 1, REFERENCE = 2, REDUCED = 3, CLASS = 4 };

#define BATCH 1000 /* of items between MARK and APPENDS or SETITEMS, as in the pickler */
#define KEPT_BYTES (1 << 16)
#define KEPT_SLOTS (1 << 12)
#define LARGEST UINT32_MAX /* of what has a length of 4 bytes */

static PyTypeObject *persistent_type;
static PyObject *persistent_getstate, *modules, *dispatch_table, *encode_long, *three;
static PyObject *name_getstate, *name_oid, *name_jar, *name_name, *name_reduce_ex;

/* How records of one class begin; the class has the number 0 in the memo. */
typedef struct {
    PyObject_HEAD
    PyObject *start; /* bytes */
    int has_slots;   /* with which the state is more than the dictionary */
} Head;

/* What one record needs. Kept from one to the next; one inside another has its own. */
typedef struct {
    char *bytes;
    size_t size, room;
    PyObject **numbered; /* by number; NULL where nothing can refer to it */
    uint32_t *slots;     /* 0, or the number of an object plus 1, by a hash of its address */
    size_t count, numbered_room, slots_room; /* slots_room: a power of 2, or 0 */
} Work;

typedef struct {
    PyObject_HEAD
    PyObject *jar;
    PyObject *new_oid;
    PyObject *found;        /* a list, the writer's */
    PyObject *classify;     /* (obj) -> kind */
    PyObject *global_of;    /* (class) -> (GLOBAL and its argument, module, name), or None */
    PyObject *reference_to; /* (obj) -> persistent id, or None */
    PyObject *hand_over;    /* (obj, state) -> record */
    PyObject *write_anew;   /* (obj) -> record */
    PyObject *heads;        /* class -> Head */
    PyObject *kinds;        /* class -> kind */
    PyObject *globals;      /* class -> what global_of said */
    Work kept;
    int in_use; /* whether `kept` is */
} Encoder;

static int save(Encoder *encoder, Work *work, PyObject *obj);

/* What failed is handed over: the pickler will fail, too, and the writer explains its error.
   What is no `Exception`, such as an interrupt, is not for others to see. */
static int failed(void) {
    if (!PyErr_ExceptionMatches(PyExc_Exception))
        return FAILED;
    PyErr_Clear();
    return HAND_OVER;
}

/* Bytes */

static int make_room(Work *work, size_t wanted) {
    size_t room = work->room ? work->room : 1024;
    char *grown;
    if (wanted > (size_t)PY_SSIZE_T_MAX / 2 - work->size)
        return HAND_OVER;
    while (room - work->size < wanted)
        room *= 2;
    grown = PyMem_Realloc(work->bytes, room);
    if (grown == NULL) {
        PyErr_NoMemory();
        return FAILED;
    }
    work->bytes = grown;
    work->room = room;
    return DONE;
}

static inline int write_bytes(Work *work, const void *bytes, size_t size) {
    int outcome;
    if (work->room - work->size < size && (outcome = make_room(work, size)) != DONE)
        return outcome;
    memcpy(work->bytes + work->size, bytes, size);
    work->size += size;
    return DONE;
}

static inline int write_opcode(Work *work, char opcode) {
    int outcome;
    if (work->room == work->size && (outcome = make_room(work, 1)) != DONE)
        return outcome;
    work->bytes[work->size++] = opcode;
    return DONE;
}

static inline void put_uint32(char *bytes, uint32_t number) {
    for (int n = 0; n < 4; n++)
        bytes[n] = (char)(number >> 8 * n);
}

/* Write an opcode with a number of one byte, or another one with a number of four. */
static int write_number(Work *work, char short_opcode, char long_opcode, size_t number) {
    char bytes[5];
    if (number <= UINT8_MAX) {
        bytes[0] = short_opcode;
        bytes[1] = (char)number;
        return write_bytes(work, bytes, 2);
    }
    if (number > LARGEST)
        return HAND_OVER;
    bytes[0] = long_opcode;
    put_uint32(bytes + 1, (uint32_t)number);
    return write_bytes(work, bytes, 5);
}

/* The memo */

static inline size_t first_slot(const Work *work, PyObject *obj) {
    return (size_t)(((uint64_t)(uintptr_t)obj >> 4) * UINT64_C(0x9E3779B97F4A7C15) >> 32) &
           (work->slots_room - 1);
}

/* Return the number of an object, negative if it has none. */
static inline int64_t number_of(const Work *work, PyObject *obj) {
    for (size_t slot = first_slot(work, obj);; slot = (slot + 1) & (work->slots_room - 1)) {
        uint32_t entry = work->slots[slot];
        if (entry == 0)
            return -1;
        if (work->numbered[entry - 1] == obj)
            return entry - 1;
    }
}

static void put_into_slot(Work *work, PyObject *obj, size_t number) {
    size_t slot = first_slot(work, obj);
    while (work->slots[slot] != 0)
        slot = (slot + 1) & (work->slots_room - 1);
    work->slots[slot] = (uint32_t)number + 1;
}

/* Make room for one more number; less than half of the slots are ever taken. */
static int grow_memo(Work *work) {
    size_t room = work->numbered_room ? work->numbered_room * 2 : 64;
    PyObject **numbered;
    uint32_t *slots;
    if (room > UINT32_MAX / 4)
        return HAND_OVER;
    numbered = PyMem_Realloc(work->numbered, room * sizeof *numbered);
    if (numbered == NULL) {
        PyErr_NoMemory();
        return FAILED;
    }
    work->numbered = numbered;
    slots = PyMem_Calloc(room * 2, sizeof *slots);
    if (slots == NULL) {
        PyErr_NoMemory();
        return FAILED;
    }
    PyMem_Free(work->slots);
    work->slots = slots;
    work->numbered_room = room;
    work->slots_room = room * 2;
    for (size_t number = 0; number < work->count; number++)
        if (numbered[number] != NULL)
            put_into_slot(work, numbered[number], number);
    return DONE;
}

/* Give an object the next number; NULL where nothing can refer to it. */
static inline int give_number(Work *work, PyObject *obj) {
    int outcome;
    if (work->count == work->numbered_room && (outcome = grow_memo(work)) != DONE)
        return outcome;
    if (obj != NULL)
        put_into_slot(work, obj, work->count);
    work->numbered[work->count++] = Py_XNewRef(obj);
    return DONE;
}

static inline int memoize(Work *work, PyObject *obj) {
    int outcome = give_number(work, obj);
    return outcome != DONE ? outcome : write_number(work, 'q', 'r', work->count - 1);
}

static inline int write_get(Work *work, int64_t number) {
    return write_number(work, 'h', 'j', (size_t)number);
}

/* Let go of all that is in the memo. What that calls may write another record, which finds
   `kept` in use. */
static void clear_work(Work *work) {
    size_t count = work->count;
    work->size = 0;
    work->count = 0;
    if (count > 0)
        memset(work->slots, 0, work->slots_room * sizeof *work->slots);
    for (size_t number = 0; number < count; number++)
        Py_XDECREF(work->numbered[number]);
}

static void free_work(Work *work) {
    PyMem_Free(work->bytes);
    PyMem_Free(work->numbered);
    PyMem_Free(work->slots);
    memset(work, 0, sizeof *work);
}

/* Numbers and texts */

static int save_int(Work *work, PyObject *obj) {
    int overflow, size;
    char bytes[10];
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
    if (value >= INT32_MIN && value <= INT32_MAX) {
        put_uint32(bytes + 1, (uint32_t)(int32_t)value);
        bytes[0] = value < 0 || value > UINT16_MAX ? 'J' : value > UINT8_MAX ? 'M' : 'K';
        return write_bytes(work, bytes, bytes[0] == 'J' ? 5 : bytes[0] == 'M' ? 3 : 2);
    }
    for (size = 8; size > 5; size--) { /* as few bytes as keep the sign */
        long long above = value >> (8 * (size - 1) - 1);
        if (above != 0 && above != -1)
            break;
    }
    bytes[0] = '\x8a';
    bytes[1] = (char)size;
    for (int n = 0; n < size; n++)
        bytes[2 + n] = (char)((uint64_t)value >> 8 * n);
    return write_bytes(work, bytes, (size_t)size + 2);
}

static int save_float(Work *work, PyObject *obj) {
    double value = PyFloat_AsDouble(obj);
    uint64_t bits;
    char bytes[9] = "G";
    memcpy(&bits, &value, sizeof bits);
    for (int n = 0; n < 8; n++)
        bytes[8 - n] = (char)(bits >> 8 * n);
    return write_bytes(work, bytes, sizeof bytes);
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

static int write_text(Work *work, const char *bytes, Py_ssize_t size) {
    char start[5] = "X";
    int outcome;
    if ((size_t)size > LARGEST)
        return HAND_OVER;
    put_uint32(start + 1, (uint32_t)size);
    outcome = write_bytes(work, start, sizeof start);
    return outcome == DONE ? write_bytes(work, bytes, (size_t)size) : outcome;
}

static int save_str(Work *work, PyObject *obj) {
    Py_ssize_t size;
    const char *bytes = PyUnicode_AsUTF8AndSize(obj, &size);
    int outcome;
    if (bytes != NULL)
        outcome = write_text(work, bytes, size);
    else { /* it has a surrogate */
        PyObject *encoded;
        PyErr_Clear();
        encoded = PyUnicode_AsEncodedString(obj, "utf-8", "surrogatepass");
        if (encoded == NULL)
            return failed();
        outcome = write_text(work, PyBytes_AsString(encoded), PyBytes_Size(encoded));
        Py_DECREF(encoded);
    }
    return outcome == DONE ? memoize(work, obj) : outcome;
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
    int outcome = DONE;
    while (next < size && outcome == DONE) {
        Py_ssize_t end = size - next > BATCH ? next + BATCH : size;
        if (size > 1)
            outcome = write_opcode(work, '(');
        for (; next < end && outcome == DONE; next++) {
            PyObject *item = PyList_GetItem(obj, next);
            if (item == NULL)
                return failed(); /* the list was made shorter */
            Py_INCREF(item);
            outcome = save(encoder, work, item);
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
    int outcome;
    Py_INCREF(key);
    Py_INCREF(value);
    outcome = save(encoder, work, key);
    if (outcome == DONE)
        outcome = save(encoder, work, value);
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

/* A dictionary of an instance as the state that __getstate__ of Persistent makes of it: a
   copy, without what has a name that begins with _v_ or _p_. */
static int save_attributes(Encoder *encoder, Work *work, PyObject *dict) {
    Py_ssize_t position = 0, count = 0, size = PyDict_Size(dict), length;
    PyObject *key, *value;
    size_t mark;
    int outcome;
    if (size >= BATCH)
        return HAND_OVER;
    outcome = write_opcode(work, '}');
    /* Nothing refers to that copy, so it has a number and no address. */
    if (outcome == DONE)
        outcome = memoize(work, NULL);
    mark = work->size;
    if (outcome == DONE)
        outcome = write_opcode(work, '(');
    while (outcome == DONE && PyDict_Next(dict, &position, &key, &value)) {
        if (PyUnicode_Check(key)) {
            const char *name = PyUnicode_AsUTF8AndSize(key, &length);
            if (name == NULL)
                return failed();
            if (length >= 3 && name[0] == '_' && (name[1] == 'v' || name[1] == 'p') &&
                name[2] == '_')
                continue;
        }
        outcome = save_dict_item(encoder, work, key, value);
        if (outcome == DONE && PyDict_Size(dict) != size)
            return HAND_OVER;
        count++;
    }
    if (outcome != DONE || count > 1)
        return outcome != DONE ? outcome : write_opcode(work, 'u');
    memmove(work->bytes + mark, work->bytes + mark + 1, work->size - mark - 1);
    work->size--;
    return count ? write_opcode(work, 's') : DONE;
}

/* Classes, references and other objects */

static int save_class(Encoder *encoder, Work *work, PyObject *cls) {
    int64_t number = number_of(work, cls);
    PyObject *known, *module, *found, *start;
    int outcome, is_there = 0;
    if (number >= 0)
        return write_get(work, number);
    known = PyDict_GetItemWithError(encoder->globals, cls);
    Py_XINCREF(known);
    if (known == NULL) {
        if (PyErr_Occurred())
            return failed();
        known = PyObject_CallFunctionObjArgs(encoder->global_of, cls, NULL);
        if (known == NULL || PyDict_SetItem(encoder->globals, cls, known) < 0) {
            Py_XDECREF(known);
            return failed();
        }
    }
    if (!PyTuple_CheckExact(known) || PyTuple_Size(known) != 3) {
        Py_DECREF(known);
        return HAND_OVER;
    }
    /* It must still be found under its name. */
    module = PyDict_GetItemWithError(modules, PyTuple_GetItem(known, 1));
    if (module != NULL) {
        Py_INCREF(module);
        found = PyObject_GetAttr(module, PyTuple_GetItem(known, 2));
        Py_DECREF(module);
        is_there = found == cls;
        Py_XDECREF(found);
    }
    start = PyTuple_GetItem(known, 0);
    if (PyErr_Occurred())
        outcome = failed();
    else if (!is_there)
        outcome = HAND_OVER;
    else
        outcome = write_bytes(work, PyBytes_AsString(start), (size_t)PyBytes_Size(start));
    Py_DECREF(known);
    return outcome == DONE ? memoize(work, cls) : outcome;
}

/* Give a new object an oid and the connection. */
static int adopt(Encoder *encoder, PyObject *obj) {
    PyObject *oid = PyObject_CallFunctionObjArgs(encoder->new_oid, NULL);
    int result;
    if (oid == NULL)
        return failed();
    result = PyObject_SetAttr(obj, name_oid, oid);
    Py_DECREF(oid);
    if (result == 0)
        result = PyObject_SetAttr(obj, name_jar, encoder->jar);
    return result == 0 ? PyList_Append(encoder->found, obj) : result; /* -1 is FAILED */
}

/* Write a reference to a persistent object; the caller holds the object. */
static int save_reference(Encoder *encoder, Work *work, PyObject *obj, int kind) {
    cPersistentObject *persistent = (cPersistentObject *)obj;
    PyObject *oid = persistent->oid, *stored;
    int outcome;
    if (oid == NULL) {
        outcome = adopt(encoder, obj);
        if (outcome != DONE)
            return outcome;
        oid = persistent->oid;
    }
    if (oid != NULL && persistent->jar == encoder->jar && PyBytes_CheckExact(oid)) {
        outcome = save_bytes_once(work, oid);
        if (outcome == DONE && kind == REFERENCE) {
            outcome = save(encoder, work, (PyObject *)Py_TYPE(obj));
            if (outcome == DONE)
                outcome = write_opcode(work, '\x86');
            if (outcome == DONE)
                outcome = memoize(work, NULL); /* the pair that is the reference */
        }
        return outcome == DONE ? write_opcode(work, 'Q') : outcome;
    }
    stored = PyObject_CallFunctionObjArgs(encoder->reference_to, obj, NULL);
    if (stored == NULL)
        return failed();
    outcome = stored == Py_None ? HAND_OVER : save(encoder, work, stored);
    Py_DECREF(stored);
    return outcome == DONE ? write_opcode(work, 'Q') : outcome;
}

/* Write the object that `callable` makes of `arguments`, and give the state to it. */
static int save_reduction(Encoder *encoder, Work *work, PyObject *obj, PyObject *callable,
                          PyObject *arguments, PyObject *state) {
    PyObject *name, *rest;
    int64_t number;
    int outcome, as_newobj;
    name = PyObject_GetAttr(callable, name_name);
    if (name == NULL)
        return failed();
    if (!PyUnicode_Check(name) || PyUnicode_CompareWithASCIIString(name, "__newobj_ex__") == 0) {
        Py_DECREF(name);
        return HAND_OVER;
    }
    as_newobj = PyUnicode_CompareWithASCIIString(name, "__newobj__") == 0;
    Py_DECREF(name);
    if (as_newobj) {
        if (PyTuple_Size(arguments) < 1 ||
            PyTuple_GetItem(arguments, 0) != (PyObject *)Py_TYPE(obj))
            return HAND_OVER;
        outcome = save(encoder, work, PyTuple_GetItem(arguments, 0));
        if (outcome != DONE)
            return outcome;
        rest = PyTuple_GetSlice(arguments, 1, PyTuple_Size(arguments));
        if (rest == NULL)
            return failed();
        outcome = save(encoder, work, rest);
        Py_DECREF(rest);
    } else {
        outcome = save(encoder, work, callable);
        if (outcome == DONE)
            outcome = save(encoder, work, arguments);
    }
    if (outcome == DONE)
        outcome = write_opcode(work, as_newobj ? '\x81' : 'R');
    if (outcome != DONE)
        return outcome;
    number = number_of(work, obj);
    if (number >= 0) { /* its arguments refer to it, and it was written meanwhile */
        outcome = write_opcode(work, '0');
        return outcome == DONE ? write_get(work, number) : outcome;
    }
    outcome = memoize(work, obj);
    if (outcome == DONE && state != Py_None) {
        outcome = save(encoder, work, state);
        if (outcome == DONE)
            outcome = write_opcode(work, 'b');
    }
    return outcome;
}

static int save_reduced(Encoder *encoder, Work *work, PyObject *obj) {
    PyObject *reduce, *reduced;
    Py_ssize_t size;
    int outcome = HAND_OVER;
    reduce = PyDict_GetItemWithError(dispatch_table, (PyObject *)Py_TYPE(obj));
    if (reduce == NULL && PyErr_Occurred())
        return failed();
    if (reduce != NULL) {
        Py_INCREF(reduce);
        reduced = PyObject_CallFunctionObjArgs(reduce, obj, NULL);
        Py_DECREF(reduce);
    } else
        reduced = PyObject_CallMethodObjArgs(obj, name_reduce_ex, three, NULL);
    if (reduced == NULL)
        return failed();
    if (PyTuple_CheckExact(reduced) && (size = PyTuple_Size(reduced)) >= 2 && size <= 5 &&
        PyTuple_CheckExact(PyTuple_GetItem(reduced, 1)) &&
        PyCallable_Check(PyTuple_GetItem(reduced, 0)) &&
        (size < 4 || PyTuple_GetItem(reduced, 3) == Py_None) &&
        (size < 5 || PyTuple_GetItem(reduced, 4) == Py_None))
        outcome = save_reduction(encoder, work, obj, PyTuple_GetItem(reduced, 0),
                                 PyTuple_GetItem(reduced, 1),
                                 size < 3 ? Py_None : PyTuple_GetItem(reduced, 2));
    Py_DECREF(reduced);
    return outcome;
}

/* A set is written as the call of its class with a list. */
static int save_set(Encoder *encoder, Work *work, PyObject *obj) {
    PyObject *items = PySequence_List(obj), *arguments;
    int outcome;
    if (items == NULL)
        return failed();
    arguments = PyTuple_Pack(1, items);
    Py_DECREF(items);
    if (arguments == NULL)
        return failed();
    outcome = save_reduction(encoder, work, obj, (PyObject *)Py_TYPE(obj), arguments, Py_None);
    Py_DECREF(arguments);
    return outcome;
}

/* Return what is known of an object's class, or FAILED with an exception set. */
static int kind_of(Encoder *encoder, PyObject *obj) {
    PyObject *cls = (PyObject *)Py_TYPE(obj), *kind;
    long number;
    kind = PyDict_GetItemWithError(encoder->kinds, cls);
    if (kind != NULL)
        return (int)PyLong_AsLong(kind);
    if (PyErr_Occurred())
        return FAILED;
    kind = PyObject_CallFunctionObjArgs(encoder->classify, obj, NULL);
    if (kind == NULL)
        return FAILED;
    number = PyLong_AsLong(kind);
    if (PyErr_Occurred() || PyDict_SetItem(encoder->kinds, cls, kind) < 0)
        number = FAILED;
    Py_DECREF(kind);
    return (int)number;
}

static int save_other(Encoder *encoder, Work *work, PyObject *obj) {
    PyTypeObject *type = Py_TYPE(obj);
    int kind;
    if (type == &PyDict_Type)
        return save_dict(encoder, work, obj);
    if (type == &PyList_Type)
        return save_list(encoder, work, obj);
    if (type == &PyTuple_Type)
        return save_tuple(encoder, work, obj);
    if (type == &PySet_Type || type == &PyFrozenSet_Type)
        return save_set(encoder, work, obj);
    kind = kind_of(encoder, obj);
    if (kind == FAILED)
        return failed();
    if (kind == CLASS && PyType_Check(obj)) { /* of a metaclass */
        if (PyDict_Contains(dispatch_table, (PyObject *)type) != 0)
            return PyErr_Occurred() ? failed() : HAND_OVER;
        return save_class(encoder, work, obj);
    }
    return kind == REDUCED ? save_reduced(encoder, work, obj) : HAND_OVER;
}

/* Write a value; the caller holds it. */
static int save(Encoder *encoder, Work *work, PyObject *obj) {
    PyTypeObject *type = Py_TYPE(obj);
    int64_t number;
    int outcome;
    if (type == &PyUnicode_Type) {
        number = number_of(work, obj);
        return number >= 0 ? write_get(work, number) : save_str(work, obj);
    }
    if (type == &PyLong_Type)
        return save_int(work, obj);
    if (obj == Py_None)
        return write_opcode(work, 'N');
    if (type == &PyBytes_Type)
        return save_bytes_once(work, obj);
    if (type == &PyFloat_Type)
        return save_float(work, obj);
    if (type == &PyBool_Type)
        return write_opcode(work, obj == Py_True ? '\x88' : '\x89');
    if (type == &PyType_Type)
        return save_class(encoder, work, obj);
    if (PyType_IsSubtype(type, persistent_type)) {
        int kind = kind_of(encoder, obj);
        if (kind == REFERENCE || kind == BARE_REFERENCE)
            return save_reference(encoder, work, obj, kind);
        return kind == FAILED ? failed() : HAND_OVER;
    }
    number = number_of(work, obj);
    if (number >= 0)
        return write_get(work, number);
    if (Py_EnterRecursiveCall(" while storing an object"))
        return failed();
    outcome = save_other(encoder, work, obj);
    Py_LeaveRecursiveCall();
    return outcome;
}

/* The record */

/* Return what stands for the state: the object's dictionary, or NULL where it is not just
   that; an exception is never set. */
static PyObject *plain_state(PyObject *obj, const Head *head) {
    PyObject *method, *dict = NULL;
    int plain;
    if (head->has_slots || ((cPersistentObject *)obj)->state == cPersistent_GHOST_STATE)
        return NULL;
    method = PyObject_GetAttr((PyObject *)Py_TYPE(obj), name_getstate);
    plain = method == persistent_getstate;
    Py_XDECREF(method);
    if (plain)
        dict = PyObject_GenericGetDict(obj, NULL);
    if (PyErr_Occurred())
        PyErr_Clear();
    if (dict != NULL && !PyDict_CheckExact(dict))
        Py_CLEAR(dict);
    return dict;
}

static int encode(Encoder *encoder, Work *work, PyObject *obj, PyObject *start, PyObject *dict,
                  PyObject *state) {
    int outcome = write_bytes(work, PyBytes_AsString(start), (size_t)PyBytes_Size(start));
    if (outcome == DONE)
        outcome = give_number(work, (PyObject *)Py_TYPE(obj));
    if (outcome == DONE)
        outcome = write_bytes(work, "\x80\x03", 2);
    if (outcome == DONE)
        outcome = dict != NULL ? save_attributes(encoder, work, dict) : save(encoder, work, state);
    return outcome == DONE ? write_opcode(work, '.') : outcome;
}

static PyObject *serialize(PyObject *self, PyObject *obj) {
    Encoder *encoder = (Encoder *)self;
    PyObject *dict, *state = NULL, *start, *record = NULL;
    Work own = {0}, *work = &own;
    Head *head;
    int outcome;
    head = (Head *)PyDict_GetItemWithError(encoder->heads, (PyObject *)Py_TYPE(obj));
    if (head == NULL) {
        if (PyErr_Occurred())
            return NULL;
        return PyObject_CallFunctionObjArgs(encoder->write_anew, obj, NULL);
    }
    start = Py_NewRef(head->start); /* what is called may learn anew */
    dict = plain_state(obj, head);
    if (dict == NULL) {
        state = PyObject_CallMethodObjArgs(obj, name_getstate, NULL);
        if (state == NULL) {
            Py_DECREF(start);
            return NULL;
        }
    }
    if (!encoder->in_use) {
        encoder->in_use = 1;
        work = &encoder->kept;
    }
    /* The memo is looked up before anything is in it. */
    outcome = work->numbered_room ? DONE : grow_memo(work);
    if (outcome == DONE)
        outcome = encode(encoder, work, obj, start, dict, state);
    if (outcome == DONE) {
        record = PyBytes_FromStringAndSize(work->bytes, (Py_ssize_t)work->size);
        outcome = record == NULL ? FAILED : DONE;
    }
    clear_work(work);
    if (work == &own || work->room > KEPT_BYTES || work->slots_room > KEPT_SLOTS)
        free_work(work);
    if (work != &own)
        encoder->in_use = 0;
    if (outcome == HAND_OVER) {
        if (state == NULL)
            state = PyObject_CallMethodObjArgs(obj, name_getstate, NULL);
        if (state != NULL)
            record = PyObject_CallFunctionObjArgs(encoder->hand_over, obj, state, NULL);
    }
    Py_DECREF(start);
    Py_XDECREF(dict);
    Py_XDECREF(state);
    return record;
}

static PyTypeObject *head_type, *encoder_type;

static PyObject *learn(PyObject *self, PyObject *args) {
    PyObject *cls, *start;
    int has_slots, result;
    Head *head;
    if (!PyArg_ParseTuple(args, "O!Sp:learn", &PyType_Type, &cls, &start, &has_slots))
        return NULL;
    if (!PyType_IsSubtype((PyTypeObject *)cls, persistent_type)) {
        PyErr_SetString(PyExc_TypeError, "a class of persistent objects is needed");
        return NULL;
    }
    head = PyObject_New(Head, head_type);
    if (head == NULL)
        return NULL;
    head->start = Py_NewRef(start);
    head->has_slots = has_slots;
    result = PyDict_SetItem(((Encoder *)self)->heads, cls, (PyObject *)head);
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

static PyObject *encoder_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    static char *names[] = {"jar",          "found",     "classify",   "global_of",
                            "reference_to", "hand_over", "write_anew", NULL};
    PyObject *jar, *found, *classify, *global_of, *reference_to, *hand_over, *write_anew;
    Encoder *encoder;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OO!OOOOO:Encoder", names, &jar,
                                     &PyList_Type, &found, &classify, &global_of, &reference_to,
                                     &hand_over, &write_anew))
        return NULL;
    encoder = (Encoder *)allocate(type, 0);
    if (encoder == NULL)
        return NULL;
    encoder->jar = Py_NewRef(jar);
    encoder->found = Py_NewRef(found);
    encoder->classify = Py_NewRef(classify);
    encoder->global_of = Py_NewRef(global_of);
    encoder->reference_to = Py_NewRef(reference_to);
    encoder->hand_over = Py_NewRef(hand_over);
    encoder->write_anew = Py_NewRef(write_anew);
    encoder->new_oid = PyObject_GetAttrString(jar, "new_oid");
    encoder->heads = PyDict_New();
    encoder->kinds = PyDict_New();
    encoder->globals = PyDict_New();
    if (encoder->new_oid == NULL || encoder->heads == NULL || encoder->kinds == NULL ||
        encoder->globals == NULL) {
        Py_DECREF(encoder);
        return NULL;
    }
    return (PyObject *)encoder;
}

/* What is in `kept` is not told to the collector: it is there only while a record is written. */
static int encoder_traverse(PyObject *self, visitproc visit, void *arg) {
    Encoder *encoder = (Encoder *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(encoder->jar);
    Py_VISIT(encoder->new_oid);
    Py_VISIT(encoder->found);
    Py_VISIT(encoder->classify);
    Py_VISIT(encoder->global_of);
    Py_VISIT(encoder->reference_to);
    Py_VISIT(encoder->hand_over);
    Py_VISIT(encoder->write_anew);
    Py_VISIT(encoder->heads);
    Py_VISIT(encoder->kinds);
    Py_VISIT(encoder->globals);
    return 0;
}

/* The other references are dropped by `encoder_dealloc` only: a method may still be called
   from within the same garbage, and finds them. All cycles pass through what others clear. */
static int encoder_clear(PyObject *self) {
    Encoder *encoder = (Encoder *)self;
    PyDict_Clear(encoder->heads);
    PyDict_Clear(encoder->kinds);
    PyDict_Clear(encoder->globals);
    return 0;
}

static void encoder_dealloc(PyObject *self) {
    Encoder *encoder = (Encoder *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    free_work(&encoder->kept);
    Py_CLEAR(encoder->jar);
    Py_CLEAR(encoder->new_oid);
    Py_CLEAR(encoder->found);
    Py_CLEAR(encoder->classify);
    Py_CLEAR(encoder->global_of);
    Py_CLEAR(encoder->reference_to);
    Py_CLEAR(encoder->hand_over);
    Py_CLEAR(encoder->write_anew);
    Py_CLEAR(encoder->heads);
    Py_CLEAR(encoder->kinds);
    Py_CLEAR(encoder->globals);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static PyMethodDef encoder_methods[] = {
    {"serialize", serialize, METH_O, "Return the record of an object as it is now."},
    {"learn", learn, METH_VARARGS, "Take note how the records of a class begin."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot encoder_slots[] = {
    {Py_tp_doc, "Writes the records of one connection's objects."},
    {Py_tp_new, encoder_new},
    {Py_tp_dealloc, encoder_dealloc},
    {Py_tp_traverse, encoder_traverse},
    {Py_tp_clear, encoder_clear},
    {Py_tp_methods, encoder_methods},
    {0, NULL},
};

static PyType_Spec encoder_spec = {
    .name = "perdure.native._encoder.Encoder",
    .basicsize = sizeof(Encoder),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = encoder_slots,
};

static PyType_Slot head_slots[] = {
    {Py_tp_dealloc, head_dealloc},
    {0, NULL},
};

static PyType_Spec head_spec = {
    .name = "perdure.native._encoder.Head",
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
    cPersistenceCAPIstruct *persistence = PyCapsule_Import(CAPI_CAPSULE_NAME, 0);
    if (persistence == NULL)
        return FAILED; /* an ImportError: objects of the Python version have no such structure */
    persistent_type = (PyTypeObject *)Py_NewRef((PyObject *)persistence->pertype);
    modules = Py_XNewRef(PyImport_GetModuleDict());
    dispatch_table = imported("copyreg", "dispatch_table");
    encode_long = imported("pickle", "encode_long");
    three = PyLong_FromLong(3);
    name_getstate = PyUnicode_InternFromString("__getstate__");
    name_oid = PyUnicode_InternFromString("_p_oid");
    name_jar = PyUnicode_InternFromString("_p_jar");
    name_name = PyUnicode_InternFromString("__name__");
    name_reduce_ex = PyUnicode_InternFromString("__reduce_ex__");
    head_type = (PyTypeObject *)PyType_FromSpec(&head_spec);
    encoder_type = (PyTypeObject *)PyType_FromSpec(&encoder_spec);
    if (modules == NULL || dispatch_table == NULL || encode_long == NULL || three == NULL ||
        name_getstate == NULL || name_oid == NULL || name_jar == NULL || name_name == NULL ||
        name_reduce_ex == NULL || head_type == NULL || encoder_type == NULL)
        return FAILED;
    persistent_getstate = PyObject_GetAttr((PyObject *)persistent_type, name_getstate);
    return persistent_getstate == NULL ? FAILED : DONE;
}

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "perdure.native._encoder",
    .m_doc = "Records of objects, written from what the objects hold.",
    .m_size = -1,
};

PyMODINIT_FUNC PyInit__encoder(void) {
    PyObject *module;
    if (prepare() != DONE)
        return NULL;
    module = PyModule_Create(&definition);
    if (module != NULL && PyModule_AddObjectRef(module, "Encoder", (PyObject *)encoder_type) < 0)
        Py_CLEAR(module);
    return module;
}
