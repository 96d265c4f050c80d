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
   what is left of it, and a number in the memo not larger than its size, or 255. There is
   no recursion here. */

#include "decoding.h"
#include "decoding_calls.h"
#include "decoding_values.h"

/* The opcodes */

#define NOTHING 1  /* one more than the size of the argument */
#define COUNTED 16 /* plus the size of a length, which is followed by as many bytes */
#define TWO_LINES 32

/* What follows an opcode; 0 where it is handed over. */
static const uint8_t ARGUMENTS[256] = {
    ['('] = NOTHING,  ['.'] = NOTHING,  ['0'] = NOTHING,  ['1'] = NOTHING,  ['2'] = NOTHING,
    ['N'] = NOTHING,  [')'] = NOTHING,  [']'] = NOTHING,  ['}'] = NOTHING,  ['t'] = NOTHING,
    ['l'] = NOTHING,  ['d'] = NOTHING,  ['a'] = NOTHING,  ['e'] = NOTHING,  ['s'] = NOTHING,
    ['u'] = NOTHING,  ['R'] = NOTHING,  ['b'] = NOTHING,  ['Q'] = NOTHING,  [0x81] = NOTHING,
    [0x85] = NOTHING, [0x86] = NOTHING, [0x87] = NOTHING, [0x88] = NOTHING, [0x89] = NOTHING,
    ['K'] = 1 + 1,    ['h'] = 1 + 1,    ['q'] = 1 + 1,    [0x80] = 1 + 1,   ['M'] = 1 + 2,
    ['J'] = 1 + 4,    ['j'] = 1 + 4,    ['r'] = 1 + 4,    ['G'] = 1 + 8,    ['c'] = TWO_LINES,
    ['U'] = COUNTED + 1, ['C'] = COUNTED + 1, [0x8a] = COUNTED + 1,
    ['T'] = COUNTED + 4, ['X'] = COUNTED + 4, ['B'] = COUNTED + 4, [0x8b] = COUNTED + 4,
};

/* Whether all opcodes up to STOP are known here, so that it is safe to call something. */
static int is_known_ahead(const uint8_t *next, const uint8_t *end) {
    while (next < end) {
        uint8_t opcode = *next++, kind = ARGUMENTS[opcode];
        size_t size = kind;
        if (opcode == '.')
            return 1;
        if (kind == 0 || (opcode == 0x80 && next < end && *next > 3))
            return 0;
        if (kind == TWO_LINES) {
            for (int line = 0; line < 2; line++) {
                next = memchr(next, '\n', (size_t)(end - next));
                if (next++ == NULL)
                    return 0;
            }
            continue;
        }
        if (kind > COUNTED) {
            size_t length_size = (size_t)(kind - COUNTED);
            if ((size_t)(end - next) < length_size)
                return 0;
            size = 1 + (length_size == 1 ? *next : uint32_at(next));
            next += length_size;
        }
        if ((size_t)(end - next) < size - 1)
            return 0;
        next += size - 1;
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

/* Take the `count` bytes of an argument, or the bytes whose number stands in such an argument. */
#define TAKE(count)                                                                                \
    if (load->end - load->next < (count))                                                          \
        return misfit(load);                                                                       \
    argument = load->next;                                                                         \
    load->next += (count)
#define TAKE_COUNTED(size)                                                                         \
    TAKE(size);                                                                                    \
    length = (size) == 1 ? *argument : uint32_at(argument);                                        \
    if ((size_t)(load->end - load->next) < length)                                                 \
        return misfit(load);                                                                       \
    argument = load->next;                                                                         \
    load->next += length

/* Run the opcodes up to STOP, and leave the state as the only value on the stack. */
static int run(Load *load, const uint8_t *record) {
    Work *work = load->work;
    Py_ssize_t count;
    int outcome = DONE;
    while (outcome == DONE) {
        const uint8_t *argument;
        size_t length;
        uint8_t opcode;
        if (load->next == load->end)
            return misfit(load);
        opcode = *load->next++;
        switch (opcode) {
        case 0x80: /* PROTO */
            TAKE(1);
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
            TAKE(1);
            outcome = push(work, PyLong_FromLong(argument[0]));
            break;
        case 'M': /* BININT2 */
            TAKE(2);
            outcome = push(work, PyLong_FromLong(argument[0] | argument[1] << 8));
            break;
        case 'J': /* BININT */
            TAKE(4);
            outcome = push(work, signed_number(argument, 4));
            break;
        case 0x8a: /* LONG1 */
            TAKE_COUNTED(1);
            outcome = push(work, signed_number(argument, length));
            break;
        case 0x8b: /* LONG4 */
            TAKE_COUNTED(4);
            if (length > INT32_MAX) /* a negative length */
                return misfit(load);
            outcome = push(work, signed_number(argument, length));
            break;
        case 'G': /* BINFLOAT */
            TAKE(8);
            outcome = push(work, float_at(argument));
            break;
        case 'U': /* SHORT_BINSTRING: of Python 2, read as bytes */
        case 'C': /* SHORT_BINBYTES */
            TAKE_COUNTED(1);
            outcome = push(work, bytes_of(argument, length));
            break;
        case 'T': /* BINSTRING */
        case 'B': /* BINBYTES */
            TAKE_COUNTED(4);
            if (opcode == 'T' && length > INT32_MAX) /* a negative length */
                return misfit(load);
            outcome = push(work, bytes_of(argument, length));
            break;
        case 'X': /* BINUNICODE */
            TAKE_COUNTED(4);
            outcome = push(work, text_of(load, argument, length));
            break;
        case 'q': /* BINPUT */
            TAKE(1);
            outcome = memoize_next(load, *argument, record);
            break;
        case 'r': /* LONG_BINPUT */
            TAKE(4);
            outcome = memoize_next(load, uint32_at(argument), record);
            break;
        case 'h': /* BINGET */
            TAKE(1);
            outcome = push_memoized(load, *argument);
            break;
        case 'j': /* LONG_BINGET */
            TAKE(4);
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

/* Whether a state would have BTrees end the process. See reader.refuse_childless_tree. */
static int is_childless_tree(PyObject *cls, PyObject *state) {
    PyObject *children, *bucket_type;
    if (!PyTuple_Check(state) || PyTuple_Size(state) < 1)
        return 0;
    children = PyTuple_GetItem(state, 0);
    if (!PyTuple_Check(children) || PyTuple_Size(children) != 0)
        return 0;
    bucket_type = PyObject_GetAttrString(cls, "_bucket_type");
    PyErr_Clear();
    Py_XDECREF(bucket_type);
    return bucket_type != NULL;
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
        PyObject *result = NULL;
        if (is_childless_tree(cls, state))
            PyErr_SetString(PyExc_ValueError, "the state of a tree without children");
        else
            result = PyObject_CallMethodObjArgs(obj, name_setstate, state, NULL);
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
        Py_CLEAR(decoder->keys[n].name);
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
