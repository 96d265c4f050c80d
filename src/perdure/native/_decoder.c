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

#include "decoder.h"
#include "decoding.h"
#include "decoding_buckets.h"
#include "decoding_opcodes.h"

/* The state and its object */

/* Give a state to an object whose class has the __setstate__ of Persistent, as that does.
   Takes the state over; DONE, FAILED, or HAND_OVER where it is not that simple. */
static int install(PyObject *obj, PyObject *state) {
    PyObject *dict;
    int outcome;
    /* What else refers to the state must not change with the object. */
    if (!PyDict_CheckExact(state) || Py_REFCNT(state) != 1)
        return HAND_OVER;
#if PY_VERSION_HEX < 0x030D0000 /* later, what an object has may live in itself */
    PyObject **place = _PyObject_GetDictPtr(obj);
    if (place != NULL && *place == NULL) {
        *place = Py_NewRef(state);
        return DONE;
    }
#endif
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

/* The version of a class, which is another one after each change to it or to its bases; 0 where
   it has none. */
static inline unsigned version_of(const PyTypeObject *cls) {
    return Py_IS_TYPE(cls, &PyType_Type) && cls->tp_flags & Py_TPFLAGS_VALID_VERSION_TAG
               ? cls->tp_version_tag
               : 0;
}

/* Whether the class has no __setstate__ of its own. Asked each time: classes can be changed. */
static int has_plain_setstate(Head *head, PyTypeObject *cls) {
    unsigned version = version_of(cls);
    PyObject *method;
    int plain;
    if (version != 0 && version == head->version)
        return head->is_plain;
    method = PyObject_GetAttr((PyObject *)cls, name_setstate);
    plain = method == persistent_setstate;
    if (method == NULL)
        PyErr_Clear();
    Py_XDECREF(method);
    head->version = version_of(cls);
    head->is_plain = plain;
    return plain;
}

/* Return what is known of a class's records, borrowed; NULL, perhaps with an exception. */
static Head *head_of(Decoder *decoder, PyTypeObject *cls) {
    size_t place = ((uintptr_t)cls >> 4 ^ (uintptr_t)cls >> 9) & (KEPT_HEADS - 1);
    Head *head;
    if (decoder->kept_heads[place].cls == cls)
        return decoder->kept_heads[place].head;
    head = (Head *)PyDict_GetItemWithError(decoder->heads, (PyObject *)cls);
    if (head != NULL) {
        decoder->kept_heads[place].cls = cls;
        decoder->kept_heads[place].head = head;
    }
    return head;
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

/* Read the state behind the head, and give it to the object. */
static int decode_state(Load *load, PyObject *obj, const uint8_t *record) {
    Work *work = load->work;
    PyTypeObject *cls = Py_TYPE(obj);
    PyObject *state;
    int outcome;
    if (load->head->number >= 0) {
        if (push(work, Py_NewRef(cls)) < 0)
            return FAILED;
        outcome = memoize(load, (size_t)load->head->number, record);
        drop(work, 1);
        if (outcome != DONE)
            return outcome;
    }
    if (load->head->items.key) {
        outcome = decode_bucket(load, obj);
        if (outcome != HAND_OVER)
            return outcome;
    }
    load->keys_are_names = has_plain_setstate(load->head, cls);
    outcome = run(load, record);
    if (outcome != DONE)
        return outcome;
    state = work->stack[--work->stack_size];
    clear_work(work);
    outcome = load->keys_are_names ? install(obj, state) : HAND_OVER;
    if (outcome == HAND_OVER) {
        PyObject *result = NULL;
        if (is_childless_tree((PyObject *)cls, state))
            PyErr_SetString(PyExc_ValueError, "the state of a tree without children");
        else
            result = PyObject_CallMethodOneArg(obj, name_setstate, state);
        outcome = result == NULL ? REFUSED : DONE;
        Py_XDECREF(result);
    }
    Py_DECREF(state);
    return outcome;
}

static int decode(Decoder *decoder, Work *work, PyObject *obj, const uint8_t *bytes,
                  Py_ssize_t size) {
    Head *head = head_of(decoder, Py_TYPE(obj));
    Load load = {.decoder = decoder, .work = work, .end = bytes + size, .head = head};
    Py_ssize_t start_size;
    int outcome;
    if (head == NULL)
        return PyErr_Occurred() ? FAILED : HAND_OVER;
    start_size = PyBytes_GET_SIZE(head->start);
    if (size < start_size ||
        memcmp(bytes, PyBytes_AS_STRING(head->start), (size_t)start_size) != 0)
        return HAND_OVER;
    load.next = bytes + start_size;
    Py_INCREF(head); /* another one may be learnt meanwhile */
    outcome = decode_state(&load, obj, bytes);
    Py_DECREF(head);
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

/* Give an object a state; `record`, the bytes as an object, may be NULL. -1 with an exception. */
static int give_state(Decoder *decoder, PyObject *obj, const uint8_t *bytes, Py_ssize_t size,
                      PyObject *record) {
    Work own = {0}, *work = &own;
    PyObject *handed = NULL, *done;
    int outcome;
    if (!decoder->in_use) {
        decoder->in_use = 1;
        work = &decoder->kept;
    }
    outcome = decode(decoder, work, obj, bytes, size);
    clear_work(work);
    if (work == &own || work->stack_room > KEPT_ITEMS || work->memo_room > KEPT_ITEMS ||
        work->marks_room > KEPT_ITEMS)
        free_work(work);
    if (work != &own)
        decoder->in_use = 0;
    if (outcome == DONE)
        return 0;
    if (record == NULL) {
        PyObject *type, *error, *traceback;
        PyErr_Fetch(&type, &error, &traceback);
        record = handed = PyBytes_FromStringAndSize((const char *)bytes, size);
        if (record == NULL) {
            Py_XDECREF(type);
            Py_XDECREF(error);
            Py_XDECREF(traceback);
            return -1;
        }
        PyErr_Restore(type, error, traceback);
    }
    if (outcome == HAND_OVER) {
        done = PyObject_CallFunctionObjArgs(decoder->hand_over, obj, record, NULL);
    } else {
        explain_error(outcome == REFUSED ? decoder->refused : decoder->explain, obj, record);
        done = NULL;
    }
    Py_XDECREF(handed);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

static int set_state_from(PyObject *self, PyObject *obj, const unsigned char *bytes,
                          Py_ssize_t size) {
    return give_state((Decoder *)self, obj, bytes, size, NULL);
}

static PyObject *set_state(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    Decoder *decoder = (Decoder *)self;
    PyObject *obj, *record;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "set_state takes an object and its record");
        return NULL;
    }
    obj = args[0];
    record = args[1];
    if (!PyBytes_CheckExact(record))
        return PyObject_CallFunctionObjArgs(decoder->hand_over, obj, record, NULL);
    if (give_state(decoder, obj, (const uint8_t *)PyBytes_AS_STRING(record),
                   PyBytes_GET_SIZE(record), record) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyTypeObject *head_type, *decoder_type;

static void forget_heads(Decoder *decoder) {
    memset(decoder->kept_heads, 0, sizeof decoder->kept_heads);
}

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
    head->version = 0;
    head->items = items_of(cls);
    memset(head->names, 0, sizeof head->names);
    result = PyDict_SetItem(((Decoder *)self)->heads, cls, (PyObject *)head);
    forget_heads((Decoder *)self);
    Py_DECREF(head);
    if (result < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* Types */

static void head_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    Head *head = (Head *)self;
    for (int n = 0; n < KEPT_NAMES; n++)
        Py_CLEAR(head->names[n].name);
    Py_XDECREF(head->start);
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
    forget_heads(decoder);
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
    find_cache_inside();
    persistent_setstate = PyObject_GetAttr(persistent_type, name_setstate);
    return persistent_setstate == NULL ? FAILED : DONE;
}

static struct decoder_calls calls = {
    .set_state = (PyCFunction)(void (*)(void))set_state,
    .set_state_from = set_state_from,
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = DECODER_MODULE,
    .m_doc = "The states of records, read from their bytes into their objects.",
    .m_size = -1,
};

PyMODINIT_FUNC PyInit__decoder(void) {
    PyObject *module, *capsule;
    if (prepare() != DONE)
        return NULL;
    module = PyModule_Create(&definition);
    capsule = PyCapsule_New(&calls, DECODER_MODULE "." DECODER_CAPSULE, NULL);
    if (module != NULL &&
        (capsule == NULL || PyModule_AddObjectRef(module, DECODER_CAPSULE, capsule) < 0 ||
         PyModule_AddObjectRef(module, "Decoder", (PyObject *)decoder_type) < 0))
        Py_CLEAR(module);
    Py_XDECREF(capsule);
    return module;
}
