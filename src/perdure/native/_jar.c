/* What persistent objects ask of their connection, over and over: their state, and
   to be remembered when they change.

   Only the usual case is here. Whatever else comes (a class, a blob, a record that is
   missing, a second thread, a closed connection) is left to the Python method that
   this repeats, and which is given as `otherwise`: it does all of it, or refuses. */

#define _POSIX_C_SOURCE 200809L /* clock_gettime, nanosleep */

#include "objects.h"

#include <time.h>

/* Latch: lets one thread in, any number of times. See turn.PureLatch. The GIL
   guards its fields. */

typedef struct {
    PyObject_HEAD
    unsigned long owner;
    Py_ssize_t depth;
    char closed;
} Latch;

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

/* Giving way. Who reads a file lets go of the GIL for half a microsecond, and has taken it
   back before a thread that waits for it is awake: beside two readers, a commit waited 5 ms
   each time that it came back from the system. So while a commit is under way, a thread that
   loads steps aside now and then, for long enough. See courtesy.py. */

#define TURN_NS 100000 /* between two times that a reader gives way */
#define ASIDE_NS 20000

static int commits_under_way; /* guarded by the GIL */

static PyObject *commit_begins(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored)) {
    commits_under_way++;
    Py_RETURN_NONE;
}

static PyObject *commit_ends(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored)) {
    commits_under_way--;
    Py_RETURN_NONE;
}

#ifdef _WIN32
static void give_way(int64_t *last_ns) { (void)last_ns; }
#else
static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void give_way(int64_t *last_ns) {
    if (now_ns() - *last_ns >= TURN_NS) {
        struct timespec aside = {0, ASIDE_NS};
        Py_BEGIN_ALLOW_THREADS
        nanosleep(&aside, NULL);
        Py_END_ALLOW_THREADS
        *last_ns = now_ns();
    }
}
#endif

/* Loading: gives ghosts their state. See loading.Loader.set_state. */

typedef struct {
    PyObject_HEAD
    Latch *latch;
    PyObject *otherwise;
    PyObject *special; /* a class whose objects need more than a record */
    PyObject *load_at; /* load_at(oid, start) returns (record, serial, ...) */
    PyObject *start;
    PyObject *set_state; /* set_state(obj, record) */
    Py_ssize_t loads;
    int64_t gave_way_ns;
} Loading;

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

/* Load an object, holding the latch. 1: done, 0: not for here, -1: an error. */
static int load(Loading *self, cPersistentObject *obj) {
    PyObject *found, *record, *serial, *done, *load_at, *set_state, *start, *oid = obj->oid;
    int result = 0;
    if (oid == NULL || self->load_at == NULL || self->start == NULL || self->set_state == NULL)
        return 0;
    /* Whatever runs meanwhile may replace them. */
    load_at = Py_NewRef(self->load_at);
    set_state = Py_NewRef(self->set_state);
    start = Py_NewRef(self->start);
    Py_INCREF(oid);
    found = PyObject_CallFunctionObjArgs(load_at, oid, start, NULL);
    if (found == NULL) {
        if (PyErr_ExceptionMatches(PyExc_KeyError))
            PyErr_Clear(); /* it will be raised again, with more to say */
        else
            result = -1;
    } else if (PyTuple_Check(found) && PyTuple_Size(found) >= 2) {
        record = PyTuple_GetItem(found, 0);
        serial = PyTuple_GetItem(found, 1);
        if (PyBytes_Check(record) && PyBytes_Check(serial) && PyBytes_Size(serial) == 8) {
            done = PyObject_CallFunctionObjArgs(set_state, (PyObject *)obj, record, NULL);
            if (done == NULL) {
                result = -1;
            } else {
                Py_DECREF(done);
                memcpy(obj->serial, PyBytes_AsString(serial), 8);
                note_size(obj, PyBytes_Size(record));
                self->loads++;
                result = 1;
            }
        }
    }
    Py_XDECREF(found);
    Py_DECREF(oid);
    Py_DECREF(start);
    Py_DECREF(set_state);
    Py_DECREF(load_at);
    return result;
}

static PyObject *loading_load(Loading *self, PyObject *obj) {
    Latch *latch = self->latch;
    int result;
    if (latch->closed || !is_persistent(obj) || (PyObject *)Py_TYPE(obj) == self->special ||
        !latch_enter(latch))
        return load_otherwise(self, obj);
    /* Deeper, the connection may be the one that commits. */
    if (commits_under_way > 0 && latch->depth == 1)
        give_way(&self->gave_way_ns);
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

static PyMemberDef loading_members[] = {
    {"load_at", T_OBJECT, offsetof(Loading, load_at), 0,
     "called with oid and start, returns (record, serial, ...) or None"},
    {"start", T_OBJECT, offsetof(Loading, start), 0, "the tid before which to read"},
    {"set_state", T_OBJECT, offsetof(Loading, set_state), 0, "called with object and record"},
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

/* Relay: passes (oid, tid) on, as a storage does that can change its file.

   The target is replaced as a whole, and held during a call: whoever is in the midst
   of one goes on with what it began with. */

typedef struct {
    PyObject_HEAD
    PyObject *target; /* (function or None, first, second, otherwise) */
} Relay;

static PyObject *relay_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    if (PyTuple_Size(args) != 0 || kwargs != NULL) {
        PyErr_SetString(PyExc_TypeError, "Relay takes no arguments");
        return NULL;
    }
    return ((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
}

static int relay_traverse(PyObject *op, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((Relay *)op)->target);
    return 0;
}

static int relay_clear(PyObject *op) {
    Py_CLEAR(((Relay *)op)->target);
    return 0;
}

static void relay_dealloc(PyObject *op) {
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    relay_clear(op);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(op);
    Py_DECREF(type);
}

static PyObject *relay_aim(Relay *self, PyObject *args) {
    PyObject *function, *first, *second, *otherwise, *target, *before;
    if (!PyArg_ParseTuple(args, "OOOO:aim", &function, &first, &second, &otherwise))
        return NULL;
    target = PyTuple_Pack(4, function, first, second, otherwise);
    if (target == NULL)
        return NULL;
    before = self->target;
    self->target = target;
    Py_XDECREF(before);
    Py_RETURN_NONE;
}

/* Pass on arguments that have names, or are too few or too many. */
static PyObject *call_with_names(PyObject *function, PyObject *const *args, Py_ssize_t nargs,
                                 PyObject *names) {
    PyObject *positional = PyTuple_New(nargs), *named = PyDict_New(), *result = NULL;
    Py_ssize_t n;
    if (positional == NULL || named == NULL)
        goto done;
    for (n = 0; n < nargs; n++)
        if (PyTuple_SetItem(positional, n, Py_NewRef(args[n])) < 0)
            goto done;
    for (n = 0; names != NULL && n < PyTuple_Size(names); n++)
        if (PyDict_SetItem(named, PyTuple_GetItem(names, n), args[nargs + n]) < 0)
            goto done;
    result = PyObject_Call(function, positional, named);
done:
    Py_XDECREF(positional);
    Py_XDECREF(named);
    return result;
}

static PyObject *relay_call(Relay *self, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *names) {
    PyObject *target = self->target, *function, *result;
    if (target == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the relay is not aimed yet");
        return NULL;
    }
    Py_INCREF(target);
    if (nargs != 2 || names != NULL) {
        result = call_with_names(PyTuple_GetItem(target, 3), args, nargs, names);
        Py_DECREF(target);
        return result;
    }
    function = PyTuple_GetItem(target, 0);
    result = Py_NewRef(Py_NotImplemented);
    if (function != Py_None) {
        Py_DECREF(result);
        result = PyObject_CallFunctionObjArgs(function, PyTuple_GetItem(target, 1),
                                              PyTuple_GetItem(target, 2), args[0], args[1],
                                              NULL);
    }
    if (result == Py_NotImplemented) {
        Py_DECREF(result);
        result = PyObject_CallFunctionObjArgs(PyTuple_GetItem(target, 3), args[0], args[1], NULL);
    }
    Py_DECREF(target);
    return result;
}

static PyMethodDef relay_methods[] = {
    {"aim", (PyCFunction)relay_aim, METH_VARARGS,
     "Call function(first, second, oid, tid) from now on; otherwise(oid, tid) where that is None "
     "or returns NotImplemented."},
    {"call", (PyCFunction)(void (*)(void))relay_call, METH_FASTCALL | METH_KEYWORDS,
     "Pass oid and tid on."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot relay_slots[] = {
    {Py_tp_doc, "Passes oid and tid on to a function that can be exchanged."},
    {Py_tp_new, relay_new},
    {Py_tp_dealloc, relay_dealloc},
    {Py_tp_traverse, relay_traverse},
    {Py_tp_clear, relay_clear},
    {Py_tp_methods, relay_methods},
    {0, NULL},
};

static PyType_Spec relay_spec = {
    .name = "perdure.native._jar.Relay",
    .basicsize = sizeof(Relay),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = relay_slots,
};

static PyMethodDef functions[] = {
    {"commit_begins", commit_begins, METH_NOARGS, "Have threads that load give way."},
    {"commit_ends", commit_ends, METH_NOARGS, "End what commit_begins began."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "perdure.native._jar",
    .m_doc = "What persistent objects ask of their connection, over and over.",
    .m_size = -1,
    .m_methods = functions,
};

static PyTypeObject *add_type(PyObject *module, const char *name, PyType_Spec *spec) {
    PyObject *type = PyType_FromSpec(spec);
    if (type != NULL && PyModule_AddObjectRef(module, name, type) < 0)
        Py_CLEAR(type);
    return (PyTypeObject *)type;
}

PyMODINIT_FUNC PyInit__jar(void) {
    PyObject *module;
    if (find_persistent() < 0)
        return NULL;
    module = PyModule_Create(&definition);
    if (module == NULL)
        return NULL;
    latch_type = add_type(module, "Latch", &latch_spec);
    if (latch_type == NULL || add_type(module, "Loading", &loading_spec) == NULL ||
        add_type(module, "Registering", &registering_spec) == NULL ||
        add_type(module, "Relay", &relay_spec) == NULL)
        Py_CLEAR(module);
    return module;
}
