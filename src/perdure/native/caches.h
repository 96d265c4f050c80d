/* The objects in a PickleCache, found and entered without calling its methods.

   <persistent> declares the head of a cache only; the dictionary of its objects comes behind
   that. So its place is tried out when the module is imported, on a cache made for it, and
   believed if everything fits; else, and with any other cache, the methods are called. They
   do the same, and check what is known here. */

#ifndef PERDURE_CACHES_H
#define PERDURE_CACHES_H

#include "objects.h"

typedef struct {
    CACHE_HEAD
    int klass_count;
    PyObject *data; /* oid -> object, to which it holds no reference if it is a ghost */
    PyObject *jar;
} CacheInside;

static PyTypeObject *cache_type; /* whose inside is known; NULL where it is not */

/* Return the dictionary of a cache, borrowed; NULL where it is not known, or gone. */
static inline PyObject *cache_data(PyObject *cache) {
    return cache_type != NULL && Py_TYPE(cache) == cache_type ? ((CacheInside *)cache)->data
                                                              : NULL;
}

/* Whether an object is new: neither oid nor connection nor cache. */
static inline int is_new(PyObject *obj) {
    cPersistentObject *new = (cPersistentObject *)obj;
    return is_persistent(obj) && new->oid == NULL && new->jar == NULL && new->cache == NULL;
}

/* Enter a new object, which is taken over, as a ghost; `data` is the dictionary of the cache.
   Return what it has with this oid: the ghost, or what was there before. */
static PyObject *enter_ghost(PyObject *cache, PyObject *data, PyObject *oid, PyObject *obj) {
    cPersistentObject *ghost = (cPersistentObject *)obj;
#ifdef Py_LIMITED_API
    PyObject *there = PyDict_GetItemWithError(data, oid);
    if (there == NULL && !PyErr_Occurred() && PyDict_SetItem(data, oid, obj) == 0)
        there = obj;
#else
    PyObject *there = PyDict_SetDefault(data, oid, obj);
#endif
    if (there != obj) {
        Py_XINCREF(there);
        Py_DECREF(obj);
        return there;
    }
    /* The collector must not see the dictionary: it has no reference to the ghost. */
    PyObject_GC_UnTrack(data);
    Py_DECREF(obj);
    ghost->cache = (PerCache *)Py_NewRef(cache);
    ghost->jar = Py_NewRef(((CacheInside *)cache)->jar);
    ghost->oid = Py_NewRef(oid);
    ghost->state = cPersistent_GHOST_STATE;
    return obj;
}

/* Enter an object that has its state, as the one used last. Return 1; 0 where that is not as
   simple, so that the method of the cache is to decide; -1 with an exception. */
static int enter_loaded(PyObject *cache, PyObject *oid, PyObject *obj) {
    cPersistentObject *loaded = (cPersistentObject *)obj;
    PyObject *data = cache_data(cache);
    CPersistentRing *home;
    if (data == NULL || loaded->oid != oid || !PyBytes_CheckExact(oid) ||
        loaded->jar != ((CacheInside *)cache)->jar || loaded->cache != NULL ||
        loaded->ring.r_next != NULL || loaded->state == cPersistent_GHOST_STATE)
        return 0;
    if (PyDict_GetItemWithError(data, oid) != NULL)
        return 0;
    if (PyErr_Occurred() || PyDict_SetItem(data, oid, obj) < 0)
        return -1;
    PyObject_GC_UnTrack(data); /* its reference belongs to the ring, from now on */
    loaded->cache = (PerCache *)Py_NewRef(cache);
    home = &((CacheInside *)cache)->ring_home;
    loaded->ring.r_prev = home->r_prev;
    loaded->ring.r_next = home;
    home->r_prev->r_next = &loaded->ring;
    home->r_prev = &loaded->ring;
    ((CacheInside *)cache)->non_ghost_count++;
    return 1;
}

/* Whether two objects, one entered by the cache's own method and then one from here, stand in it
   alike, and leave it alike; -1 with an exception. */
static int takes_loaded(PyObject *cache, PyObject *jar, PyObject *first, PyObject *second) {
    CacheInside *inside = (CacheInside *)cache;
    cPersistentObject *one = (cPersistentObject *)first, *other = (cPersistentObject *)second;
    PyObject *done;
    if (one->oid == NULL || other->oid == NULL || inside->non_ghost_count != 0 ||
        inside->ring_home.r_next != &inside->ring_home ||
        PyObject_SetItem(cache, one->oid, first) < 0)
        return PyErr_Occurred() ? -1 : 0;
    if (one->cache != (PerCache *)cache || inside->ring_home.r_prev != &one->ring ||
        inside->non_ghost_count != 1 || other->jar != jar ||
        enter_loaded(cache, other->oid, second) != 1)
        return PyErr_Occurred() ? -1 : 0;
    if (inside->ring_home.r_next != &one->ring || one->ring.r_next != &other->ring ||
        other->ring.r_prev != &one->ring || Py_REFCNT(first) != Py_REFCNT(second))
        return 0;
    done = PyObject_CallMethod(cache, "minimize", NULL);
    if (done == NULL)
        return -1;
    Py_DECREF(done);
    return inside->non_ghost_count == 0 && inside->ring_home.r_next == &inside->ring_home &&
           one->state == cPersistent_GHOST_STATE && other->state == cPersistent_GHOST_STATE &&
           other->ring.r_next == NULL && Py_REFCNT(first) == Py_REFCNT(second);
}

/* Return a new object that has an oid and a connection, NULL with an exception. */
static PyObject *loaded_sample(const char *oid, PyObject *jar) {
    PyObject *made = PyObject_CallNoArgs((PyObject *)cPersistenceCAPI->pertype);
    if (made != NULL) {
        ((cPersistentObject *)made)->oid = PyBytes_FromString(oid);
        ((cPersistentObject *)made)->jar = Py_NewRef(jar);
    }
    return made;
}

/* Whether a cache with one ghost, entered by its own method, has it where it is looked for, and
   takes another one from here; -1 with an exception. */
static int is_as_expected(PyObject *cache, PyObject *jar, PyObject *first, PyObject *second) {
    PyObject *size = PyObject_GetAttrString((PyObject *)Py_TYPE(cache), "__basicsize__");
    PyObject *oid = NULL, *data, *there, *entered;
    Py_ssize_t size_bytes;
    int result = 0;
    if (size == NULL)
        return -1;
    size_bytes = PyLong_AsSsize_t(size);
    Py_DECREF(size);
    if (size_bytes < (Py_ssize_t)sizeof(CacheInside) || ((CacheInside *)cache)->jar != jar ||
        ((CacheInside *)cache)->klass_count != 0)
        return PyErr_Occurred() ? -1 : 0;
    data = ((CacheInside *)cache)->data;
    if (data == NULL || !PyDict_CheckExact(data) || PyDict_Size(data) != 1 ||
        PyObject_GC_IsTracked(data) || ((cPersistentObject *)first)->oid == NULL ||
        PyDict_GetItemWithError(data, ((cPersistentObject *)first)->oid) != first ||
        Py_REFCNT(first) != 1)
        return PyErr_Occurred() ? -1 : 0;
    oid = PyBytes_FromString("second");
    entered = oid == NULL ? NULL : enter_ghost(cache, data, oid, Py_NewRef(second));
    if (entered == NULL) {
        Py_XDECREF(oid);
        return -1;
    }
    Py_DECREF(entered);
    there = PyObject_GetItem(cache, oid);
    result = there == NULL ? -1 : there == second && Py_REFCNT(second) == 2;
    Py_XDECREF(there);
    Py_DECREF(oid);
    return result;
}

/* Find out what is inside a cache. Where that cannot be tried, methods do all of it. */
static void find_cache_inside(void) {
    PyObject *module = PyImport_ImportModule("persistent"), *type = NULL, *jar = NULL,
             *cache = NULL, *first = NULL, *second = NULL, *third = NULL, *fourth = NULL,
             *done = NULL;
    if (module == NULL || find_persistent() < 0)
        goto end;
    type = PyObject_GetAttrString(module, "PickleCache");
    jar = PyDict_New();
    if (type == NULL || jar == NULL || !PyType_Check(type))
        goto end;
    cache = PyObject_CallFunctionObjArgs(type, jar, NULL);
    first = PyObject_CallNoArgs((PyObject *)cPersistenceCAPI->pertype);
    second = PyObject_CallNoArgs((PyObject *)cPersistenceCAPI->pertype);
    if (cache == NULL || first == NULL || second == NULL)
        goto end;
    done = PyObject_CallMethod(cache, "new_ghost", "y#O", "first", (Py_ssize_t)5, first);
    third = loaded_sample("third", jar);
    fourth = loaded_sample("fourth", jar);
    if (done == NULL || third == NULL || fourth == NULL ||
        is_as_expected(cache, jar, first, second) != 1)
        goto end;
    cache_type = (PyTypeObject *)Py_NewRef(type);
    if (takes_loaded(cache, jar, third, fourth) != 1)
        Py_CLEAR(cache_type);
end:
    PyErr_Clear();
    Py_XDECREF(done);
    Py_XDECREF(fourth);
    Py_XDECREF(third);
    Py_XDECREF(second);
    Py_XDECREF(first);
    Py_XDECREF(cache);
    Py_XDECREF(jar);
    Py_XDECREF(type);
    Py_XDECREF(module);
}

#endif
