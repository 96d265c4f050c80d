/* What a transaction relies on: BTrees tell their connection for nearly each insertion.

   Only the usual case is here. Whatever else comes (a class, a ghost, a second thread, a
   closed connection) is left to the Python method that this repeats, and which is given as
   `otherwise`. See registration.Registration.rely_on. */

#include "latch.h"
#include "objects.h"

static PyTypeObject *latch_type;

typedef struct {
    PyObject_HEAD
    Latch *latch;
    PyObject *otherwise;
    PyObject *connection;
    PyObject *read_current; /* dict: oid -> serial */
} Relying;

static PyObject *relying_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *latch, *otherwise, *connection, *read_current;
    Relying *self;
    if (kwargs != NULL ||
        !PyArg_ParseTuple(args, "O!OOO!:Relying", latch_type, &latch, &otherwise, &connection,
                          &PyDict_Type, &read_current))
        return NULL;
    self = (Relying *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (self == NULL)
        return NULL;
    self->latch = (Latch *)Py_NewRef(latch);
    self->otherwise = Py_NewRef(otherwise);
    self->connection = Py_NewRef(connection);
    self->read_current = Py_NewRef(read_current);
    return (PyObject *)self;
}

static int relying_traverse(PyObject *op, visitproc visit, void *arg) {
    Relying *self = (Relying *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->latch);
    Py_VISIT(self->otherwise);
    Py_VISIT(self->connection);
    Py_VISIT(self->read_current);
    return 0;
}

static int relying_clear(PyObject *op) {
    Relying *self = (Relying *)op;
    Py_CLEAR(self->otherwise);
    Py_CLEAR(self->connection);
    return 0;
}

static void relying_dealloc(PyObject *op) {
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    relying_clear(op);
    Py_CLEAR(((Relying *)op)->latch);
    Py_CLEAR(((Relying *)op)->read_current);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(op);
    Py_DECREF(type);
}

/* Note the serial of an object, by its oid. Most are noted already: trees have few roots. */
static int note_serial(PyObject *read_current, PyObject *oid, const char serial[8]) {
    PyObject *known = PyDict_GetItemWithError(read_current, oid);
    int result;
    if (known != NULL && PyBytes_CheckExact(known) && PyBytes_Size(known) == 8 &&
        memcmp(PyBytes_AsString(known), serial, 8) == 0)
        return 0;
    if (known == NULL && PyErr_Occurred())
        return -1;
    known = PyBytes_FromStringAndSize(serial, 8);
    if (known == NULL)
        return -1;
    result = PyDict_SetItem(read_current, oid, known);
    Py_DECREF(known);
    return result;
}

static PyObject *relying_rely_on(Relying *self, PyObject *obj) {
    static const char zero[8];
    PyObject *otherwise = self->otherwise, *result;
    if (latch_is_passable(self->latch) && is_persistent(obj)) {
        const cPersistentObject *p = (cPersistentObject *)obj;
        if (p->jar == self->connection && p->oid != NULL && PyBytes_CheckExact(p->oid) &&
            p->state != cPersistent_GHOST_STATE) {
            if (memcmp(p->serial, zero, 8) != 0 &&
                note_serial(self->read_current, p->oid, p->serial) < 0)
                return NULL;
            Py_RETURN_NONE;
        }
    }
    if (otherwise == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the connection is gone");
        return NULL;
    }
    Py_INCREF(otherwise);
    result = PyObject_CallFunctionObjArgs(otherwise, obj, NULL);
    Py_DECREF(otherwise);
    return result;
}

static PyMethodDef relying_methods[] = {
    {"rely_on", (PyCFunction)relying_rely_on, METH_O,
     "Have the commit fail unless an object is current then."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot relying_slots[] = {
    {Py_tp_doc, "Relying(latch, otherwise, connection, read_current)."},
    {Py_tp_new, relying_new},
    {Py_tp_dealloc, relying_dealloc},
    {Py_tp_traverse, relying_traverse},
    {Py_tp_clear, relying_clear},
    {Py_tp_methods, relying_methods},
    {0, NULL},
};

static PyType_Spec relying_spec = {
    .name = "perdure.native._relying.Relying",
    .basicsize = sizeof(Relying),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = relying_slots,
};

static int find_latch(void) {
    PyObject *module = PyImport_ImportModule("perdure.native._jar");
    if (module == NULL)
        return -1;
    latch_type = (PyTypeObject *)PyObject_GetAttrString(module, "Latch");
    Py_DECREF(module);
    return latch_type == NULL ? -1 : 0;
}

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "perdure.native._relying",
    .m_doc = "What a transaction relies on.",
    .m_size = -1,
};

PyMODINIT_FUNC PyInit__relying(void) {
    PyObject *module, *type;
    if (find_persistent() < 0 || find_latch() < 0)
        return NULL;
    module = PyModule_Create(&definition);
    if (module == NULL)
        return NULL;
    type = PyType_FromSpec(&relying_spec);
    if (type == NULL || PyModule_AddObjectRef(module, "Relying", type) < 0)
        Py_CLEAR(module);
    Py_XDECREF(type);
    return module;
}
