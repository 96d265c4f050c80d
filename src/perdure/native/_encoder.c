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
   stand in `found`; the pickler meets them as objects that have one. */

#include "encoding_buckets.h"
#include "encoding_values.h"

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

/* Return what a call without arguments does; most often it is that of a method in C. */
static PyObject *called(PyObject *callable) {
    if (PyCFunction_CheckExact(callable) && PyCFunction_GetFlags(callable) == METH_NOARGS)
        return PyCFunction_GetFunction(callable)(PyCFunction_GetSelf(callable), NULL);
    return PyObject_CallNoArgs(callable);
}

/* Give a new object an oid and the connection; `simply`, without setting attributes. */
static int adopt(Encoder *encoder, PyObject *obj, int simply) {
    cPersistentObject *new = (cPersistentObject *)obj;
    PyObject *oid = called(encoder->new_oid);
    int result;
    if (oid == NULL)
        return failed();
    if (simply && new->cache == NULL && new->oid == NULL && new->jar == NULL) {
        new->oid = oid;
        new->jar = Py_NewRef(encoder->jar);
        return PyList_Append(encoder->found, obj);
    }
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
        outcome = adopt(encoder, obj, kind & ADOPTED_SIMPLY);
        if (outcome != DONE)
            return outcome;
        oid = persistent->oid;
    }
    if (oid != NULL && persistent->jar == encoder->jar && PyBytes_CheckExact(oid)) {
        outcome = save_bytes_once(work, oid);
        if (outcome == DONE && (kind & ~ADOPTED_SIMPLY) == REFERENCE) {
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

/* Whether setting the oid and the connection of an object does just that, in all of a class. */
static int is_adopted_simply(PyObject *cls) {
    PyObject *oid, *jar;
    int simply = 0;
    if (PyType_GetSlot((PyTypeObject *)cls, Py_tp_setattro) !=
        PyType_GetSlot(persistent_type, Py_tp_setattro))
        return 0;
    oid = PyObject_GetAttr(cls, name_oid);
    jar = PyObject_GetAttr(cls, name_jar);
    simply = oid != NULL && oid == persistent_oid && jar != NULL && jar == persistent_jar;
    Py_XDECREF(oid);
    Py_XDECREF(jar);
    PyErr_Clear();
    return simply;
}

/* Return what is known of an object's class, or FAILED with an exception set. */
static int kind_of(Encoder *encoder, PyObject *obj) {
    PyObject *cls = (PyObject *)Py_TYPE(obj), *kind;
    long number;
    if (encoder->last == Py_TYPE(obj))
        return encoder->last_kind;
    kind = PyDict_GetItemWithError(encoder->kinds, cls);
    if (kind != NULL) {
        encoder->last_kind = (int)PyLong_AsLong(kind);
        encoder->last = Py_TYPE(obj);
        return encoder->last_kind;
    }
    if (PyErr_Occurred())
        return FAILED;
    Py_INCREF(cls); /* what is called may give the object another one */
    kind = PyObject_CallFunctionObjArgs(encoder->classify, obj, NULL);
    number = kind == NULL ? FAILED : PyLong_AsLong(kind);
    if ((number == REFERENCE || number == BARE_REFERENCE) &&
        PyType_IsSubtype((PyTypeObject *)cls, persistent_type) && is_adopted_simply(cls)) {
        number |= ADOPTED_SIMPLY;
        Py_DECREF(kind);
        kind = PyLong_FromLong(number);
    }
    if (kind == NULL || PyErr_Occurred() || PyDict_SetItem(encoder->kinds, cls, kind) < 0)
        number = FAILED;
    Py_XDECREF(kind);
    Py_DECREF(cls);
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
    if (type == &PyUnicode_Type)
        return save_str(work, obj);
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
        int kind = kind_of(encoder, obj), bare = kind & ~ADOPTED_SIMPLY;
        if (kind != FAILED && (bare == REFERENCE || bare == BARE_REFERENCE))
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

/* Write the record of an object: of its dictionary or its state, or of a bucket, without both. */
static int encode(Encoder *encoder, Work *work, PyObject *obj, Head *head, PyObject *dict,
                  PyObject *state) {
    PyObject *start = head->start;
    int outcome = write_bytes(work, PyBytes_AsString(start), (size_t)PyBytes_Size(start));
    if (outcome == DONE)
        outcome = give_number(work, (PyObject *)Py_TYPE(obj));
    if (outcome == DONE)
        outcome = write_bytes(work, "\x80\x03", 2);
    if (outcome == DONE)
        outcome = dict != NULL    ? save_attributes(encoder, work, dict, head)
                  : state != NULL ? save(encoder, work, state)
                                  : save_bucket(encoder, work, obj, head->items);
    return outcome == DONE ? write_opcode(work, '.') : outcome;
}

static PyObject *serialize(PyObject *self, PyObject *obj) {
    Encoder *encoder = (Encoder *)self;
    PyObject *dict, *state = NULL, *record = NULL;
    Work own = {0}, *work = &own;
    Head *head;
    int outcome, is_bucket;
    head = encoder->last_head;
    if (encoder->last_stored != Py_TYPE(obj)) {
        head = (Head *)PyDict_GetItemWithError(encoder->heads, (PyObject *)Py_TYPE(obj));
        if (head == NULL) {
            if (PyErr_Occurred())
                return NULL;
            return PyObject_CallFunctionObjArgs(encoder->write_anew, obj, NULL);
        }
        encoder->last_head = head;
        encoder->last_stored = Py_TYPE(obj);
    }
    Py_INCREF((PyObject *)head); /* what is called may learn anew */
    is_bucket = head->items.key && ((cPersistentObject *)obj)->state != cPersistent_GHOST_STATE;
    dict = is_bucket ? NULL : plain_state(obj, head);
    if (dict == NULL && !is_bucket) {
        state = PyObject_CallMethodObjArgs(obj, name_getstate, NULL);
        if (state == NULL) {
            Py_DECREF((PyObject *)head);
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
        outcome = encode(encoder, work, obj, head, dict, state);
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
    Py_DECREF((PyObject *)head);
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
    head->items = items_of(cls);
    memset(head->keys, 0, sizeof head->keys);
    ((Encoder *)self)->last_stored = NULL;
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
    for (int number = 0; number < KNOWN_KEYS; number++)
        Py_XDECREF(((Head *)self)->keys[number].name);
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
    encoder->last = encoder->last_stored = NULL;
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
    cPersistenceCAPIstruct *persistence = import_persistence();
    if (persistence == NULL)
        return FAILED;
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
    persistent_oid = PyObject_GetAttr((PyObject *)persistent_type, name_oid);
    persistent_jar = PyObject_GetAttr((PyObject *)persistent_type, name_jar);
    head_type = (PyTypeObject *)PyType_FromSpec(&head_spec);
    encoder_type = (PyTypeObject *)PyType_FromSpec(&encoder_spec);
    if (modules == NULL || dispatch_table == NULL || encode_long == NULL || three == NULL ||
        name_getstate == NULL || name_oid == NULL || name_jar == NULL || name_name == NULL ||
        name_reduce_ex == NULL || persistent_oid == NULL || persistent_jar == NULL ||
        head_type == NULL || encoder_type == NULL)
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
