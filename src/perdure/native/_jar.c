/* What persistent objects ask of their connection, over and over: their state, and
   to be remembered when they change.

   Only the usual case is here. Whatever else comes (a class, a blob, a record that is
   missing, a second thread, a closed connection) is left to the Python method that
   this repeats, and which is given as `otherwise`: it does all of it, or refuses. */

#include "courtesy.h"
#include "decoder.h"
#include "latch.h"
#include "objects.h"
#include "view.h"

/* Latch: lets one thread in, any number of times. See turn.PureLatch. */

static PyTypeObject *latch_type;

static int latch_enter(Latch *self) {
    unsigned long me = PyThread_get_thread_ident();
    if (self->depth != 0 && self->owner != me)
        return 0;
    self->owner = me;
    self->depth++;
    return 1;
}

static PyObject *latch_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    Latch *self;
    if (PyTuple_Size(args) != 0 || kwargs != NULL) {
        PyErr_SetString(PyExc_TypeError, "Latch takes no arguments");
        return NULL;
    }
    self = (Latch *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (self != NULL)
        self->closed = 1;
    return (PyObject *)self;
}

static void latch_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

#define STEP_S 0.001

static PyObject *latch_acquire(Latch *self, PyObject *args) {
    int blocking = 1;
    double patience_s = -1.0;
    PyThread_type_lock nothing;
    if (!PyArg_ParseTuple(args, "|pd:acquire", &blocking, &patience_s))
        return NULL;
    if (latch_enter(self))
        Py_RETURN_TRUE;
    if (!blocking)
        Py_RETURN_FALSE;
    /* Only a database that is closed under somebody waits: so it looks now and then. */
    nothing = PyThread_allocate_lock();
    if (nothing == NULL)
        return PyErr_NoMemory();
    PyThread_acquire_lock(nothing, 1);
    for (;;) {
        Py_BEGIN_ALLOW_THREADS
        PyThread_acquire_lock_timed(nothing, (PY_TIMEOUT_T)(STEP_S * 1e6), 0);
        Py_END_ALLOW_THREADS
        if (PyErr_CheckSignals() < 0)
            break;
        if (latch_enter(self)) {
            PyThread_release_lock(nothing);
            PyThread_free_lock(nothing);
            Py_RETURN_TRUE;
        }
        if (patience_s >= 0 && (patience_s -= STEP_S) <= 0)
            break;
    }
    PyThread_release_lock(nothing);
    PyThread_free_lock(nothing);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_FALSE;
}

static PyObject *latch_release(Latch *self, PyObject *Py_UNUSED(ignored)) {
    if (self->depth == 0 || self->owner != PyThread_get_thread_ident()) {
        PyErr_SetString(PyExc_RuntimeError, "this thread is not inside");
        return NULL;
    }
    self->depth--;
    Py_RETURN_NONE;
}

static PyMethodDef latch_methods[] = {
    {"acquire", (PyCFunction)latch_acquire, METH_VARARGS,
     "Return whether this thread is let in; wait for it if asked to."},
    {"release", (PyCFunction)latch_release, METH_NOARGS, "End what acquire began."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef latch_members[] = {
    {"closed", T_BOOL, offsetof(Latch, closed), 0, "whether there is nothing to be let into"},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot latch_slots[] = {
    {Py_tp_doc, "Lets one thread in, any number of times."},
    {Py_tp_new, latch_new},
    {Py_tp_dealloc, latch_dealloc},
    {Py_tp_methods, latch_methods},
    {Py_tp_members, latch_members},
    {0, NULL},
};

static PyType_Spec latch_spec = {
    .name = "perdure.native._jar.Latch",
    .basicsize = sizeof(Latch),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = latch_slots,
};

/* Call: one call of a connection, as a context manager. See turn._Call. */

typedef struct {
    PyObject_HEAD
    Latch *latch;
    PyObject *otherwise; /* otherwise() lets in whoever may come in, or refuses */
} Call;

static PyObject *call_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *latch, *otherwise;
    Call *self;
    if (kwargs != NULL || !PyArg_ParseTuple(args, "O!O:Call", latch_type, &latch, &otherwise))
        return NULL;
    self = (Call *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (self == NULL)
        return NULL;
    self->latch = (Latch *)Py_NewRef(latch);
    self->otherwise = Py_NewRef(otherwise);
    return (PyObject *)self;
}

static int call_traverse(PyObject *op, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((Call *)op)->latch);
    Py_VISIT(((Call *)op)->otherwise);
    return 0;
}

static int call_clear(PyObject *op) {
    Py_CLEAR(((Call *)op)->otherwise);
    return 0;
}

static void call_dealloc(PyObject *op) {
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    call_clear(op);
    Py_CLEAR(((Call *)op)->latch);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(op);
    Py_DECREF(type);
}

static PyObject *call_enter(Call *self, PyObject *Py_UNUSED(ignored)) {
    PyObject *otherwise = self->otherwise, *result;
    if (!self->latch->closed && latch_enter(self->latch))
        Py_RETURN_NONE;
    if (otherwise == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the connection is gone");
        return NULL;
    }
    Py_INCREF(otherwise);
    result = PyObject_CallNoArgs(otherwise);
    Py_DECREF(otherwise);
    return result;
}

static PyObject *call_exit(Call *self, PyObject *const *Py_UNUSED(args),
                           Py_ssize_t Py_UNUSED(nargs)) {
    return latch_release(self->latch, NULL);
}

static PyMethodDef call_methods[] = {
    {"__enter__", (PyCFunction)call_enter, METH_NOARGS, "Let this thread in, or refuse it."},
    {"__exit__", (PyCFunction)(void (*)(void))call_exit, METH_FASTCALL,
     "End what __enter__ began."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot call_slots[] = {
    {Py_tp_doc, "Call(latch, otherwise): one call of a connection."},
    {Py_tp_new, call_new},
    {Py_tp_dealloc, call_dealloc},
    {Py_tp_traverse, call_traverse},
    {Py_tp_clear, call_clear},
    {Py_tp_methods, call_methods},
    {0, NULL},
};

static PyType_Spec call_spec = {
    .name = "perdure.native._jar.Call",
    .basicsize = sizeof(Call),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = call_slots,
};

/* Loading: gives ghosts their state. See loading.Loader.set_state. */

#define ROOM_SIZE 8192 /* for a record; a larger one is made an object */

typedef struct {
    PyObject_HEAD
    Latch *latch;
    PyObject *otherwise;
    PyObject *special; /* a class whose objects need more than a record */
    PyObject *load_at; /* load_at(oid, start) returns (record, serial, ...) */
    PyObject *relay;   /* where that is the call of one; not a reference of its own */
    PyObject *start;
    PyObject *set_state; /* set_state(obj, record) */
    PyObject *decoder;   /* whose method that is, where it is in C; not a reference of its own */
    unsigned char *room; /* for a record; a load within a load makes it an object */
    int in_use;          /* whether the room is */
    Py_ssize_t loads;
} Loading;

/* What the modules _view and _decoder offer, NULL where they are not there. */
static const struct view_calls *view;
static const struct decoder_calls *decoders;

static PyObject *loading_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *latch, *otherwise, *special;
    Loading *self;
    if (kwargs != NULL || !PyArg_ParseTuple(args, "O!OO:Loading", latch_type, &latch,
                                            &otherwise, &special))
        return NULL;
    self = (Loading *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (self == NULL)
        return NULL;
    self->latch = (Latch *)Py_NewRef(latch);
    self->otherwise = Py_NewRef(otherwise);
    self->special = Py_NewRef(special);
    self->room = PyMem_Malloc(ROOM_SIZE);
    if (self->room == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static int loading_traverse(PyObject *op, visitproc visit, void *arg) {
    Loading *self = (Loading *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->latch);
    Py_VISIT(self->otherwise);
    Py_VISIT(self->special);
    Py_VISIT(self->load_at);
    Py_VISIT(self->start);
    Py_VISIT(self->set_state);
    return 0;
}

static int loading_clear(PyObject *op) {
    Loading *self = (Loading *)op;
    self->relay = NULL;
    self->decoder = NULL;
    Py_CLEAR(self->otherwise);
    Py_CLEAR(self->special);
    Py_CLEAR(self->load_at);
    Py_CLEAR(self->start);
    Py_CLEAR(self->set_state);
    return 0;
}

static void loading_dealloc(PyObject *op) {
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    loading_clear(op);
    Py_CLEAR(((Loading *)op)->latch);
    PyMem_Free(((Loading *)op)->room);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(op);
    Py_DECREF(type);
}

static PyObject *load_otherwise(Loading *self, PyObject *obj) {
    PyObject *result, *otherwise = self->otherwise;
    if (otherwise == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the connection is gone");
        return NULL;
    }
    Py_INCREF(otherwise);
    result = PyObject_CallFunctionObjArgs(otherwise, obj, NULL);
    Py_DECREF(otherwise);
    return result;
}

/* Note the serial and the size of an object that got its state. */
static void note_load(Loading *self, cPersistentObject *obj, const char *serial, Py_ssize_t size) {
    memcpy(obj->serial, serial, 8);
    note_size(obj, size);
    self->loads++;
}

/* Give an object the state in a record, and note its serial and size; 0 with an exception. */
static int take_record(Loading *self, cPersistentObject *obj, PyObject *record,
                       const char *serial) {
    /* Whatever runs meanwhile may replace them. */
    PyObject *set_state = Py_NewRef(self->set_state), *done;
    done = PyObject_CallFunctionObjArgs(set_state, (PyObject *)obj, record, NULL);
    Py_DECREF(set_state);
    if (done == NULL)
        return 0;
    Py_DECREF(done);
    note_load(self, obj, serial, PyBytes_Size(record));
    return 1;
}

/* The same for a revision that was found, which is let go of. */
static int take_revision(Loading *self, cPersistentObject *obj, struct revision *revision) {
    int result;
    if (self->decoder != NULL) {
        PyObject *set_state = Py_NewRef(self->set_state);
        result = decoders->set_state_from(self->decoder, (PyObject *)obj, revision->bytes,
                                          revision->size) == 0;
        Py_DECREF(set_state);
        if (result)
            note_load(self, obj, (const char *)revision->tid, revision->size);
    } else {
        if (revision->data == NULL)
            revision->data =
                PyBytes_FromStringAndSize((const char *)revision->bytes, revision->size);
        result = revision->data != NULL &&
                 take_record(self, obj, revision->data, (const char *)revision->tid);
    }
    Py_XDECREF(revision->data);
    return result;
}

/* Load an object from what `load_at` returns. 1: done, 0: not for here, -1: an error. */
static int load_by_call(Loading *self, cPersistentObject *obj, PyObject *oid, PyObject *start) {
    PyObject *load_at = Py_NewRef(self->load_at), *found;
    int result = 0;
    found = PyObject_CallFunctionObjArgs(load_at, oid, start, NULL);
    Py_DECREF(load_at);
    if (found == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_KeyError))
            return -1;
        PyErr_Clear(); /* it will be raised again, with more to say */
        return 0;
    }
    if (PyTuple_Check(found) && PyTuple_Size(found) >= 2) {
        PyObject *record = PyTuple_GetItem(found, 0), *serial = PyTuple_GetItem(found, 1);
        if (PyBytes_Check(record) && PyBytes_Check(serial) && PyBytes_Size(serial) == 8)
            result = take_record(self, obj, record, PyBytes_AsString(serial)) ? 1 : -1;
    }
    Py_DECREF(found);
    return result;
}

static int is_eight_bytes(PyObject *object) {
    return PyBytes_CheckExact(object) && PyBytes_Size(object) == 8;
}

/* Load an object, holding the latch. 1: done, 0: not for here, -1: an error. */
static int load(Loading *self, cPersistentObject *obj) {
    PyObject *start, *oid = obj->oid;
    enum found found = LEFT;
    struct revision revision = {.room = NULL};
    int result;
    if (oid == NULL || self->load_at == NULL || self->start == NULL || self->set_state == NULL)
        return 0;
    /* Whatever runs meanwhile may replace them. */
    start = Py_NewRef(self->start);
    Py_INCREF(oid);
    if (self->relay != NULL && is_eight_bytes(oid) && is_eight_bytes(start)) {
        PyObject *relay = Py_NewRef(self->relay);
        if (!self->in_use) {
            self->in_use = 1;
            revision.room = self->room;
            revision.room_size = ROOM_SIZE;
        }
        found = view->relay_find(relay, (const unsigned char *)PyBytes_AsString(oid),
                                 (const unsigned char *)PyBytes_AsString(start), &revision);
        Py_DECREF(relay);
    }
    switch (found) {
    case FOUND:
        result = take_revision(self, obj, &revision) ? 1 : -1;
        break;
    case YOUNGER:
        result = 0;
        break;
    case LEFT:
        result = load_by_call(self, obj, oid, start);
        break;
    default:
        result = -1;
    }
    if (revision.room != NULL)
        self->in_use = 0;
    Py_DECREF(oid);
    Py_DECREF(start);
    return result;
}

static PyObject *loading_load(Loading *self, PyObject *obj) {
    Latch *latch = self->latch;
    int result;
    if (latch->closed || !is_persistent(obj) || (PyObject *)Py_TYPE(obj) == self->special ||
        !latch_enter(latch))
        return load_otherwise(self, obj);
    /* Deeper, the connection may be the one that commits. */
    if (latch->depth == 1)
        give_way();
    result = load(self, (cPersistentObject *)obj);
    latch->depth--;
    if (result < 0)
        return NULL;
    if (result == 0)
        return load_otherwise(self, obj);
    Py_RETURN_NONE;
}

static PyMethodDef loading_methods[] = {
    {"load", (PyCFunction)loading_load, METH_O, "Give a ghost its state."},
    {NULL, NULL, 0, NULL},
};

/* Take note of what `load_at` and `set_state` are, so that no call need find out. */

static PyObject *attribute_of(PyObject *held) { return Py_NewRef(held == NULL ? Py_None : held); }

static PyObject *get_load_at(Loading *self, void *Py_UNUSED(ignored)) {
    return attribute_of(self->load_at);
}

static int set_load_at(Loading *self, PyObject *value, void *Py_UNUSED(ignored)) {
    PyObject *before = self->load_at;
    int is_relay = view != NULL && value != NULL && PyCFunction_CheckExact(value) &&
                   PyCFunction_GetFunction(value) == view->relay_call;
    self->load_at = Py_XNewRef(value);
    self->relay = is_relay ? PyCFunction_GetSelf(value) : NULL;
    Py_XDECREF(before);
    return 0;
}

static PyObject *get_set_state(Loading *self, void *Py_UNUSED(ignored)) {
    return attribute_of(self->set_state);
}

static int set_set_state(Loading *self, PyObject *value, void *Py_UNUSED(ignored)) {
    PyObject *before = self->set_state;
    int is_decoder = decoders != NULL && value != NULL && PyCFunction_CheckExact(value) &&
                     PyCFunction_GetFunction(value) == decoders->set_state;
    self->set_state = Py_XNewRef(value);
    self->decoder = is_decoder ? PyCFunction_GetSelf(value) : NULL;
    Py_XDECREF(before);
    return 0;
}

static PyGetSetDef loading_attributes[] = {
    {"load_at", (getter)get_load_at, (setter)set_load_at,
     "called with oid and start, returns (record, serial, ...) or None", NULL},
    {"set_state", (getter)get_set_state, (setter)set_set_state, "called with object and record",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef loading_members[] = {
    {"start", T_OBJECT, offsetof(Loading, start), 0, "the tid before which to read"},
    {"loads", T_PYSSIZET, offsetof(Loading, loads), READONLY, "how many objects were loaded here"},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot loading_slots[] = {
    {Py_tp_doc, "Loading(latch, otherwise, special): gives ghosts their state."},
    {Py_tp_new, loading_new},
    {Py_tp_dealloc, loading_dealloc},
    {Py_tp_traverse, loading_traverse},
    {Py_tp_clear, loading_clear},
    {Py_tp_methods, loading_methods},
    {Py_tp_members, loading_members},
    {Py_tp_getset, loading_attributes},
    {0, NULL},
};

static PyType_Spec loading_spec = {
    .name = "perdure.native._jar.Loading",
    .basicsize = sizeof(Loading),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = loading_slots,
};

/* Registering: remembers what changed. See registration.Registration.register. */

typedef struct {
    PyObject_HEAD
    Latch *latch;
    PyObject *otherwise;
    PyObject *connection;
    PyObject *registered; /* a list; with something in it, the connection has joined */
    PyObject *added;      /* a dict */
} Registering;

static PyObject *registering_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *latch, *otherwise, *connection, *registered, *added;
    Registering *self;
    if (kwargs != NULL ||
        !PyArg_ParseTuple(args, "O!OOO!O!:Registering", latch_type, &latch, &otherwise,
                          &connection, &PyList_Type, &registered, &PyDict_Type, &added))
        return NULL;
    self = (Registering *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (self == NULL)
        return NULL;
    self->latch = (Latch *)Py_NewRef(latch);
    self->otherwise = Py_NewRef(otherwise);
    self->connection = Py_NewRef(connection);
    self->registered = Py_NewRef(registered);
    self->added = Py_NewRef(added);
    return (PyObject *)self;
}

static int registering_traverse(PyObject *op, visitproc visit, void *arg) {
    Registering *self = (Registering *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->latch);
    Py_VISIT(self->otherwise);
    Py_VISIT(self->connection);
    Py_VISIT(self->registered);
    Py_VISIT(self->added);
    return 0;
}

static int registering_clear(PyObject *op) {
    Registering *self = (Registering *)op;
    Py_CLEAR(self->otherwise);
    Py_CLEAR(self->connection);
    return 0;
}

static void registering_dealloc(PyObject *op) {
    PyTypeObject *type = Py_TYPE(op);
    Registering *self = (Registering *)op;
    PyObject_GC_UnTrack(op);
    registering_clear(op);
    Py_CLEAR(self->latch);
    Py_CLEAR(self->registered);
    Py_CLEAR(self->added);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(op);
    Py_DECREF(type);
}

static PyObject *registering_register(Registering *self, PyObject *obj) {
    PyObject *otherwise, *result;
    Latch *latch = self->latch;
    if (!latch->closed && is_persistent(obj) &&
        ((cPersistentObject *)obj)->jar == self->connection && PyDict_Size(self->added) == 0 &&
        PyList_Size(self->registered) > 0 &&
        (latch->depth == 0 || latch->owner == PyThread_get_thread_ident())) {
        /* Nothing in here lets another thread run: no need to go in. */
        if (PyList_Append(self->registered, obj) < 0)
            return NULL;
        Py_RETURN_NONE;
    }
    otherwise = self->otherwise;
    if (otherwise == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the connection is gone");
        return NULL;
    }
    Py_INCREF(otherwise);
    result = PyObject_CallFunctionObjArgs(otherwise, obj, NULL);
    Py_DECREF(otherwise);
    return result;
}

static PyMethodDef registering_methods[] = {
    {"register", (PyCFunction)registering_register, METH_O, "Take note that an object changed."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot registering_slots[] = {
    {Py_tp_doc, "Registering(latch, otherwise, connection, registered, added)."},
    {Py_tp_new, registering_new},
    {Py_tp_dealloc, registering_dealloc},
    {Py_tp_traverse, registering_traverse},
    {Py_tp_clear, registering_clear},
    {Py_tp_methods, registering_methods},
    {0, NULL},
};

static PyType_Spec registering_spec = {
    .name = "perdure.native._jar.Registering",
    .basicsize = sizeof(Registering),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = registering_slots,
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "perdure.native._jar",
    .m_doc = "What persistent objects ask of their connection, over and over.",
    .m_size = -1,
};

static PyTypeObject *add_type(PyObject *module, const char *name, PyType_Spec *spec) {
    PyObject *type = PyType_FromSpec(spec);
    if (type != NULL && PyModule_AddObjectRef(module, name, type) < 0)
        Py_CLEAR(type);
    return (PyTypeObject *)type;
}

/* Find what a module offers, NULL where the module is not there; -1 with an exception. */
static int find_calls(const char *module_name, const char *name, const char *full_name,
                      const void **calls) {
    PyObject *module = PyImport_ImportModule(module_name), *capsule;
    if (module == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_ImportError))
            return -1;
        PyErr_Clear();
        return 0;
    }
    capsule = PyObject_GetAttrString(module, name);
    Py_DECREF(module);
    if (capsule == NULL)
        return -1;
    /* The module stays, so what the capsule leads to does. */
    *calls = PyCapsule_GetPointer(capsule, full_name);
    Py_DECREF(capsule);
    return *calls == NULL ? -1 : 0;
}

PyMODINIT_FUNC PyInit__jar(void) {
    PyObject *module;
    if (find_persistent() < 0 || find_courtesy() < 0 ||
        find_calls(VIEW_MODULE, VIEW_CAPSULE, VIEW_MODULE "." VIEW_CAPSULE,
                   (const void **)&view) < 0 ||
        find_calls(DECODER_MODULE, DECODER_CAPSULE, DECODER_MODULE "." DECODER_CAPSULE,
                   (const void **)&decoders) < 0)
        return NULL;
    module = PyModule_Create(&definition);
    if (module == NULL)
        return NULL;
    latch_type = add_type(module, "Latch", &latch_spec);
    if (latch_type == NULL || add_type(module, "Call", &call_spec) == NULL ||
        add_type(module, "Loading", &loading_spec) == NULL ||
        add_type(module, "Registering", &registering_spec) == NULL)
        Py_CLEAR(module);
    return module;
}
