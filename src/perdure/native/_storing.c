/* What a commit does with each object that it stores.

   Only the usual case is here: whatever else comes (a class, a blob, a large record)
   is left to the Python method that this repeats, which is given as `otherwise`. See
   storing.Storer. */

#include "caches.h"
#include "objects.h"
#include "records.h"
#include "way.h"

static const char ZERO[8];
static PyTypeObject *records_type;

typedef struct {
    PyObject_HEAD
    PyObject *otherwise;    /* otherwise(obj, record) stores any object */
    PyObject *flush;        /* flush() hands the batch over, and puts another one in its place */
    PyObject *special;      /* a class whose objects need more than a record */
    PyObject *cache;
    PyObject *created;      /* dict: False, by oid, for new objects that were added by hand */
    PyObject *added;        /* dict: oid -> object */
    PyObject *read_current; /* dict: oid -> serial */
    PyObject *stored;       /* list of objects */
    Records *batch;
    Py_ssize_t large_bytes;
    Py_ssize_t room_bytes; /* in a batch */
} Storing;

static PyObject *storing_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *otherwise, *flush, *special, *created, *added, *read_current, *stored;
    Py_ssize_t large_bytes, room_bytes;
    Storing *self;
    if (kwargs != NULL ||
        !PyArg_ParseTuple(args, "OOOO!O!O!O!nn:Storing", &otherwise, &flush, &special,
                          &PyDict_Type, &created, &PyDict_Type, &added, &PyDict_Type,
                          &read_current, &PyList_Type, &stored, &large_bytes, &room_bytes))
        return NULL;
    self = (Storing *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (self == NULL)
        return NULL;
    self->otherwise = Py_NewRef(otherwise);
    self->flush = Py_NewRef(flush);
    self->special = Py_NewRef(special);
    self->created = Py_NewRef(created);
    self->added = Py_NewRef(added);
    self->read_current = Py_NewRef(read_current);
    self->stored = Py_NewRef(stored);
    self->large_bytes = large_bytes;
    self->room_bytes = room_bytes;
    return (PyObject *)self;
}

static int storing_traverse(PyObject *op, visitproc visit, void *arg) {
    Storing *self = (Storing *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->otherwise);
    Py_VISIT(self->flush);
    Py_VISIT(self->special);
    Py_VISIT(self->cache);
    Py_VISIT(self->created);
    Py_VISIT(self->added);
    Py_VISIT(self->read_current);
    Py_VISIT(self->stored);
    return 0;
}

static int storing_clear(PyObject *op) {
    Storing *self = (Storing *)op;
    Py_CLEAR(self->otherwise);
    Py_CLEAR(self->flush);
    Py_CLEAR(self->cache);
    return 0;
}

static void storing_dealloc(PyObject *op) {
    PyTypeObject *type = Py_TYPE(op);
    Storing *self = (Storing *)op;
    PyObject_GC_UnTrack(op);
    storing_clear(op);
    Py_CLEAR(self->special);
    Py_CLEAR(self->created);
    Py_CLEAR(self->added);
    Py_CLEAR(self->read_current);
    Py_CLEAR(self->stored);
    Py_CLEAR(self->batch);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(op);
    Py_DECREF(type);
}

/* Delete a key that may be missing; 1: it was there, 0: it was not, -1: an error. */
static int discard(PyObject *dict, PyObject *key) {
    int there = PyDict_Size(dict) == 0 ? 0 : PyDict_Contains(dict, key);
    if (there > 0 && PyDict_DelItem(dict, key) < 0)
        return -1;
    return there;
}

/* Put a new object into the cache, unless there is one with its oid. */
static int enter(PyObject *cache, PyObject *oid, PyObject *obj) {
    PyObject *type, *value, *traceback, *there;
    int entered = enter_loaded(cache, oid, obj);
    if (entered != 0)
        return entered < 0 ? -1 : 0;
    if (PyObject_SetItem(cache, oid, obj) == 0)
        return 0;
    if (!PyErr_ExceptionMatches(PyExc_ValueError))
        return -1;
    PyErr_Fetch(&type, &value, &traceback);
    there = PyObject_CallMethod(cache, "get", "O", oid);
    if (there != NULL && there != Py_None) {
        Py_DECREF(there);
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
        return 0;
    }
    Py_XDECREF(there);
    PyErr_Restore(type, value, traceback);
    return -1;
}

/* Take note of a record of an object; 0 where it is not usual, -1 with an exception. */
static int take_in(Storing *self, cPersistentObject *obj, PyObject *oid, PyObject *data) {
    int new = memcmp(obj->serial, ZERO, 8) == 0;
    int result = records_add(self->batch, oid, (const unsigned char *)obj->serial, data);
    if (result <= 0)
        return result;
    if (new) {
        int by_hand = discard(self->added, oid);
        if (by_hand < 0 || (by_hand && PyDict_SetItem(self->created, oid, Py_False) < 0))
            return -1;
    }
    if (new && obj->cache == NULL && enter(self->cache, oid, (PyObject *)obj) < 0)
        return -1;
    note_size(obj, PyBytes_Size(data));
    /* Writing an object checks its revision anyway. */
    if (discard(self->read_current, oid) < 0)
        return -1;
    if (PyList_Append(self->stored, (PyObject *)obj) < 0)
        return -1;
    if (self->batch->size_bytes > self->room_bytes) {
        PyObject *done = PyObject_CallNoArgs(self->flush);
        if (done == NULL)
            return -1;
        Py_DECREF(done);
    }
    return 1;
}

static int store(Storing *self, PyObject *obj, PyObject *data) {
    PyObject *done;
    if (is_persistent(obj) && (PyObject *)Py_TYPE(obj) != self->special &&
        PyBytes_Check(data) && PyBytes_Size(data) <= self->large_bytes) {
        PyObject *oid = ((cPersistentObject *)obj)->oid;
        if (oid != NULL) {
            int result;
            Py_INCREF(oid);
            result = take_in(self, (cPersistentObject *)obj, oid, data);
            Py_DECREF(oid);
            if (result != 0)
                return result < 0 ? -1 : 0;
        }
    }
    done = PyObject_CallFunctionObjArgs(self->otherwise, obj, data, NULL);
    if (done == NULL)
        return -1;
    Py_DECREF(done);
    return 0;
}

/* What serializes an object: a method in C is called without ado. */
typedef struct {
    PyObject *callable, *self;
    PyCFunction function; /* or NULL */
} Serializer;

static Serializer serializer_of(PyObject *callable) {
    Serializer made = {callable, NULL, NULL};
    if (PyCFunction_CheckExact(callable) && PyCFunction_GetFlags(callable) == METH_O) {
        made.self = PyCFunction_GetSelf(callable);
        made.function = PyCFunction_GetFunction(callable);
    }
    return made;
}

static PyObject *serialized(const Serializer *serialize, PyObject *obj) {
    if (serialize->function != NULL)
        return serialize->function(serialize->self, obj);
    return PyObject_CallFunctionObjArgs(serialize->callable, obj, NULL);
}

/* Store an object and what it leads to; what waits stays in `way` if that fails. */
static int store_with_found(Storing *self, PyObject *obj, const Serializer *serialize,
                            PyObject *found, Way *way) {
    if (wait_for(way, obj, -1) < 0)
        return -1;
    while (way->waiting_count > 0) {
        Py_ssize_t number = way->waiting[way->waiting_count - 1];
        PyObject *data;
        int result;
        obj = way->steps[number].obj;
        data = serialized(serialize, obj);
        if (data == NULL)
            return -1;
        way->waiting_count--;
        result = take_found(way, found, number);
        if (result == 0)
            result = store(self, obj, data);
        Py_DECREF(data);
        if (result < 0)
            return -1;
    }
    clear_way(way);
    return 0;
}

/* Whether there is anything to store of an object; -1 is an error. */
static int is_changed_or_added(Storing *self, PyObject *obj) {
    PyObject *value;
    int result;
    if (is_persistent(obj)) {
        cPersistentObject *p = (cPersistentObject *)obj;
        if (p->state == cPersistent_CHANGED_STATE)
            return 1;
        return p->oid == NULL ? 0 : PyDict_Contains(self->added, p->oid);
    }
    value = PyObject_GetAttrString(obj, "_p_changed");
    if (value == NULL)
        return -1;
    result = PyObject_IsTrue(value);
    Py_DECREF(value);
    if (result != 0)
        return result;
    value = PyObject_GetAttrString(obj, "_p_oid");
    if (value == NULL)
        return -1;
    result = PyDict_Contains(self->added, value);
    Py_DECREF(value);
    return result;
}

static PyObject *storing_store_changed(Storing *self, PyObject *args) {
    PyObject *objects, *pending, *callable, *found;
    Serializer serialize;
    Way way = {0};
    Py_ssize_t n;
    int result = 0;
    if (!PyArg_ParseTuple(args, "O!O!OO!:store_changed", &PyTuple_Type, &objects, &PyList_Type,
                          &pending, &callable, &PyList_Type, &found))
        return NULL;
    if (self->cache == NULL || self->flush == NULL || self->otherwise == NULL ||
        self->batch == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "there is no cache, or no batch");
        return NULL;
    }
    serialize = serializer_of(callable);
    for (n = 0; result >= 0 && n < PyTuple_Size(objects); n++) {
        PyObject *obj = PyTuple_GetItem(objects, n);
        result = is_changed_or_added(self, obj);
        if (result > 0)
            result = store_with_found(self, obj, &serialize, found, &way);
    }
    if (result < 0)
        note_waiting(&way, pending);
    free_way(&way);
    if (result < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *storing_get_batch(PyObject *op, void *Py_UNUSED(closure)) {
    PyObject *batch = (PyObject *)((Storing *)op)->batch;
    return Py_NewRef(batch == NULL ? Py_None : batch);
}

static int storing_set_batch(PyObject *op, PyObject *batch, void *Py_UNUSED(closure)) {
    Storing *self = (Storing *)op;
    PyObject *before = (PyObject *)self->batch;
    if (batch == NULL || !Py_IS_TYPE(batch, records_type)) {
        PyErr_SetString(PyExc_TypeError, "expected Records");
        return -1;
    }
    self->batch = (Records *)Py_NewRef(batch);
    Py_XDECREF(before);
    return 0;
}

static PyGetSetDef storing_getset[] = {
    {"batch", storing_get_batch, storing_set_batch, "where records go", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef storing_methods[] = {
    {"store_changed", (PyCFunction)storing_store_changed, METH_VARARGS,
     "Store those of the objects that are changed or added, and what that leads to."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef storing_members[] = {
    {"cache", T_OBJECT, offsetof(Storing, cache), 0, "the object cache"},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot storing_slots[] = {
    {Py_tp_doc, "Storing(otherwise, flush, special, created, added, read_current, stored, "
                "large_bytes, room_bytes): stores objects."},
    {Py_tp_new, storing_new},
    {Py_tp_dealloc, storing_dealloc},
    {Py_tp_traverse, storing_traverse},
    {Py_tp_clear, storing_clear},
    {Py_tp_methods, storing_methods},
    {Py_tp_members, storing_members},
    {Py_tp_getset, storing_getset},
    {0, NULL},
};

static PyType_Spec storing_spec = {
    .name = "perdure.native._storing.Storing",
    .basicsize = sizeof(Storing),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = storing_slots,
};

/* Oids: hands out what it is given, more and more at a time. See oids.PureOids. */

typedef struct {
    PyObject_HEAD
    PyObject *give; /* give(count) returns a list of oids */
    PyObject *left; /* a list, or NULL */
    Py_ssize_t next;
    Py_ssize_t count;
    Py_ssize_t most;
} Oids;

static PyObject *oids_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *give;
    Py_ssize_t most;
    Oids *self;
    if (kwargs != NULL || !PyArg_ParseTuple(args, "On:Oids", &give, &most))
        return NULL;
    self = (Oids *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (self == NULL)
        return NULL;
    self->give = Py_NewRef(give);
    self->count = 1;
    self->most = most;
    return (PyObject *)self;
}

static int oids_traverse(PyObject *op, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((Oids *)op)->give);
    Py_VISIT(((Oids *)op)->left);
    return 0;
}

static int oids_clear(PyObject *op) {
    Py_CLEAR(((Oids *)op)->give);
    Py_CLEAR(((Oids *)op)->left);
    return 0;
}

static void oids_dealloc(PyObject *op) {
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    oids_clear(op);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(op);
    Py_DECREF(type);
}

static PyObject *oids_next(Oids *self, PyObject *Py_UNUSED(ignored)) {
    if (self->left == NULL || self->next >= PyList_Size(self->left)) {
        PyObject *give = self->give, *count, *given;
        if (give == NULL) {
            PyErr_SetString(PyExc_RuntimeError, "the connection is gone");
            return NULL;
        }
        count = PyLong_FromSsize_t(self->count);
        if (count == NULL)
            return NULL;
        Py_INCREF(give);
        given = PyObject_CallFunctionObjArgs(give, count, NULL);
        Py_DECREF(give);
        Py_DECREF(count);
        if (given == NULL)
            return NULL;
        if (!PyList_Check(given) || PyList_Size(given) == 0) {
            Py_DECREF(given);
            PyErr_SetString(PyExc_TypeError, "new_oids returns a list of oids");
            return NULL;
        }
        {
            PyObject *before = self->left;
            self->left = given;
            Py_XDECREF(before);
        }
        self->next = 0;
        self->count = 2 * self->count < self->most ? 2 * self->count : self->most;
    }
    return Py_NewRef(PyList_GetItem(self->left, self->next++));
}

static PyMethodDef oids_methods[] = {
    {"next", (PyCFunction)oids_next, METH_NOARGS, "Return an oid that was never used."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot oids_slots[] = {
    {Py_tp_doc, "Oids(give, most): hands out what give(count) returns, up to `most` at a time."},
    {Py_tp_new, oids_new},
    {Py_tp_dealloc, oids_dealloc},
    {Py_tp_traverse, oids_traverse},
    {Py_tp_clear, oids_clear},
    {Py_tp_methods, oids_methods},
    {0, NULL},
};

static PyType_Spec oids_spec = {
    .name = "perdure.native._storing.Oids",
    .basicsize = sizeof(Oids),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = oids_slots,
};

static PyObject *mark_stored(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *objects, *tid, *others;
    Py_ssize_t n;
    if (!PyArg_ParseTuple(args, "O!S:mark_stored", &PyList_Type, &objects, &tid))
        return NULL;
    if (PyBytes_Size(tid) != 8) {
        PyErr_SetString(PyExc_ValueError, "a tid has 8 bytes");
        return NULL;
    }
    others = PyList_New(0);
    if (others == NULL)
        return NULL;
    for (n = 0; n < PyList_Size(objects); n++) {
        PyObject *obj = PyList_GetItem(objects, n);
        if (is_persistent(obj)) {
            cPersistentObject *p = (cPersistentObject *)obj;
            if (p->state != cPersistent_GHOST_STATE) {
                p->state = cPersistent_UPTODATE_STATE;
                memcpy(p->serial, PyBytes_AsString(tid), 8);
            }
        } else if (PyList_Append(others, obj) < 0) {
            Py_DECREF(others);
            return NULL;
        }
    }
    return others;
}

static PyMethodDef functions[] = {
    {"mark_stored", mark_stored, METH_VARARGS,
     "Give the objects of a list, unless they are ghosts, a serial and no changes; return those "
     "that are classes, for which that is still to be done."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "perdure.native._storing",
    .m_doc = "What a commit does with each object that it stores.",
    .m_size = -1,
    .m_methods = functions,
};

static int find_records(void) {
    PyObject *module = PyImport_ImportModule("perdure.native._planning");
    if (module == NULL)
        return -1;
    records_type = (PyTypeObject *)PyObject_GetAttrString(module, "Records");
    Py_DECREF(module);
    return records_type == NULL ? -1 : 0;
}

static int add_type(PyObject *module, const char *name, PyType_Spec *spec) {
    PyObject *type = PyType_FromSpec(spec);
    int result = type == NULL ? -1 : PyModule_AddObjectRef(module, name, type);
    Py_XDECREF(type);
    return result;
}

PyMODINIT_FUNC PyInit__storing(void) {
    PyObject *module;
    if (find_persistent() < 0 || find_records() < 0)
        return NULL;
    find_cache_inside();
    module = PyModule_Create(&definition);
    if (module != NULL && (add_type(module, "Storing", &storing_spec) < 0 ||
                           add_type(module, "Oids", &oids_spec) < 0))
        Py_CLEAR(module);
    return module;
}
