/* What a commit does with each object that it stores.

   Only the usual case is here: whatever else comes (a class, a blob, a large record)
   is left to the Python method that this repeats, which is given as `otherwise`. See
   storing.Storer. */

#include "objects.h"

static const char ZERO[8];

typedef struct {
    PyObject_HEAD
    PyObject *otherwise;    /* otherwise(obj, record) stores any object */
    PyObject *flush;        /* flush() hands the batch over */
    PyObject *special;      /* a class whose objects need more than a record */
    PyObject *cache;
    PyObject *created;      /* dict: oid -> whether nobody had added it by hand */
    PyObject *added;        /* dict: oid -> object */
    PyObject *read_current; /* dict: oid -> serial */
    PyObject *stored;       /* list of objects */
    PyObject *batch;        /* list of (oid, serial, record) */
    PyObject *zero;
    Py_ssize_t large_bytes;
    Py_ssize_t room_bytes; /* in a batch */
    Py_ssize_t batch_bytes;
} Storing;

static PyObject *storing_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *otherwise, *flush, *special, *created, *added, *read_current, *stored, *batch;
    Py_ssize_t large_bytes, room_bytes;
    Storing *self;
    if (kwargs != NULL ||
        !PyArg_ParseTuple(args, "OOOO!O!O!O!O!nn:Storing", &otherwise, &flush, &special,
                          &PyDict_Type, &created, &PyDict_Type, &added, &PyDict_Type,
                          &read_current, &PyList_Type, &stored, &PyList_Type, &batch,
                          &large_bytes, &room_bytes))
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
    self->batch = Py_NewRef(batch);
    self->large_bytes = large_bytes;
    self->room_bytes = room_bytes;
    self->zero = PyBytes_FromStringAndSize(ZERO, 8);
    if (self->zero == NULL)
        Py_CLEAR(self);
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
    Py_VISIT(self->batch);
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
    Py_CLEAR(self->zero);
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

static int take_in(Storing *self, cPersistentObject *obj, PyObject *oid, PyObject *data) {
    Py_ssize_t size = PyBytes_Size(data);
    int new = memcmp(obj->serial, ZERO, 8) == 0, result;
    PyObject *serial, *record;
    if (new) {
        int by_hand = discard(self->added, oid);
        if (by_hand < 0 ||
            PyDict_SetItem(self->created, oid, by_hand ? Py_False : Py_True) < 0)
            return -1;
        serial = Py_NewRef(self->zero);
    } else {
        serial = PyBytes_FromStringAndSize(obj->serial, 8);
        if (serial == NULL)
            return -1;
    }
    record = PyTuple_Pack(3, oid, serial, data);
    Py_DECREF(serial);
    if (record == NULL)
        return -1;
    result = PyList_Append(self->batch, record);
    Py_DECREF(record);
    if (result < 0)
        return -1;
    self->batch_bytes += size;
    if (self->batch_bytes > self->room_bytes) {
        PyObject *done = PyObject_CallFunctionObjArgs(self->flush, NULL);
        if (done == NULL)
            return -1;
        Py_DECREF(done);
        self->batch_bytes = 0;
    }
    if (new && obj->cache == NULL && enter(self->cache, oid, (PyObject *)obj) < 0)
        return -1;
    note_size(obj, size);
    /* Writing an object checks its revision anyway. */
    if (discard(self->read_current, oid) < 0)
        return -1;
    return PyList_Append(self->stored, (PyObject *)obj);
}

static int store(Storing *self, PyObject *obj, PyObject *data) {
    PyObject *done;
    if (is_persistent(obj) && (PyObject *)Py_TYPE(obj) != self->special &&
        PyBytes_Check(data) && PyBytes_Size(data) <= self->large_bytes) {
        PyObject *oid = ((cPersistentObject *)obj)->oid;
        if (oid != NULL && PyBytes_Check(oid)) {
            int result;
            Py_INCREF(oid);
            result = take_in(self, (cPersistentObject *)obj, oid, data);
            Py_DECREF(oid);
            return result;
        }
    }
    done = PyObject_CallFunctionObjArgs(self->otherwise, obj, data, NULL);
    if (done == NULL)
        return -1;
    Py_DECREF(done);
    return 0;
}

/* Put (new, trail) for each of `found` on the end of `pending`, the last one first, and empty it.
   With `in_place`, the first that is put there replaces what is at the end. */
static int put_off(PyObject *pending, PyObject *found, PyObject *trail, int in_place) {
    Py_ssize_t n = PyList_Size(found);
    while (n-- > 0) {
        PyObject *new = PyTuple_Pack(2, PyList_GetItem(found, n), trail);
        int result;
        if (new == NULL)
            return -1;
        if (in_place) { /* which takes it over */
            result = PyList_SetItem(pending, PyList_Size(pending) - 1, new);
            in_place = 0;
        } else {
            result = PyList_Append(pending, new);
            Py_DECREF(new);
        }
        if (result < 0)
            return -1;
    }
    return PyList_SetSlice(found, 0, PyList_Size(found), NULL);
}

/* Store the last of a list of trails until there is none; it grows by what is found. */
static int store_pending(Storing *self, PyObject *pending, PyObject *serialize, PyObject *found) {
    Py_ssize_t n;
    while ((n = PyList_Size(pending)) > 0) {
        PyObject *trail = Py_NewRef(PyList_GetItem(pending, n - 1));
        PyObject *obj = PyTuple_GetItem(trail, 0);
        PyObject *data = PyObject_CallFunctionObjArgs(serialize, obj, NULL);
        int result = -1;
        if (data != NULL) {
            if (PyList_Size(found) > 0)
                result = put_off(pending, found, trail, 1);
            else
                result = PyList_SetSlice(pending, n - 1, n, NULL);
            if (result == 0)
                result = store(self, obj, data);
            Py_DECREF(data);
        }
        Py_DECREF(trail);
        if (result < 0)
            return -1;
    }
    return 0;
}

/* Put the trail of an object that failed on the end of `pending`; the error stays set. */
static void note_failed(PyObject *pending, PyObject *obj) {
    PyObject *type, *value, *traceback, *trail;
    PyErr_Fetch(&type, &value, &traceback);
    trail = PyTuple_Pack(2, obj, Py_None);
    if (trail == NULL || PyList_Append(pending, trail) < 0)
        PyErr_Clear();
    Py_XDECREF(trail);
    PyErr_Restore(type, value, traceback);
}

/* Store an object and what it leads to, beginning with nothing in `pending`. Most lead to
   nothing new, and need no trail. */
static int store_with_found(Storing *self, PyObject *obj, PyObject *pending, PyObject *serialize,
                            PyObject *found) {
    PyObject *data = PyObject_CallFunctionObjArgs(serialize, obj, NULL);
    int result = 0;
    if (data == NULL) {
        note_failed(pending, obj);
        return -1;
    }
    if (PyList_Size(found) > 0) {
        PyObject *trail = PyTuple_Pack(2, obj, Py_None);
        result = trail == NULL ? -1 : put_off(pending, found, trail, 0);
        Py_XDECREF(trail);
    }
    if (result == 0)
        result = store(self, obj, data);
    Py_DECREF(data);
    return result < 0 ? -1 : store_pending(self, pending, serialize, found);
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
    PyObject *objects, *pending, *serialize, *found;
    Py_ssize_t n;
    if (!PyArg_ParseTuple(args, "O!O!OO!:store_changed", &PyTuple_Type, &objects, &PyList_Type,
                          &pending, &serialize, &PyList_Type, &found))
        return NULL;
    if (self->cache == NULL || self->flush == NULL || self->otherwise == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "there is no cache");
        return NULL;
    }
    for (n = 0; n < PyTuple_Size(objects); n++) {
        PyObject *obj = PyTuple_GetItem(objects, n);
        int result = is_changed_or_added(self, obj);
        if (result < 0)
            return NULL;
        if (result > 0 && store_with_found(self, obj, pending, serialize, found) < 0)
            return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef storing_methods[] = {
    {"store_changed", (PyCFunction)storing_store_changed, METH_VARARGS,
     "Store those of the objects that are changed or added, and what that leads to."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef storing_members[] = {
    {"cache", T_OBJECT, offsetof(Storing, cache), 0, "the object cache"},
    {"batch_bytes", T_PYSSIZET, offsetof(Storing, batch_bytes), 0, "bytes in the batch"},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot storing_slots[] = {
    {Py_tp_doc, "Storing(otherwise, flush, special, created, added, read_current, stored, batch, "
                "large_bytes, room_bytes): stores objects."},
    {Py_tp_new, storing_new},
    {Py_tp_dealloc, storing_dealloc},
    {Py_tp_traverse, storing_traverse},
    {Py_tp_clear, storing_clear},
    {Py_tp_methods, storing_methods},
    {Py_tp_members, storing_members},
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

static int add_type(PyObject *module, const char *name, PyType_Spec *spec) {
    PyObject *type = PyType_FromSpec(spec);
    int result = type == NULL ? -1 : PyModule_AddObjectRef(module, name, type);
    Py_XDECREF(type);
    return result;
}

PyMODINIT_FUNC PyInit__storing(void) {
    PyObject *module;
    if (find_persistent() < 0)
        return NULL;
    module = PyModule_Create(&definition);
    if (module != NULL && (add_type(module, "Storing", &storing_spec) < 0 ||
                           add_type(module, "Oids", &oids_spec) < 0))
        Py_CLEAR(module);
    return module;
}
