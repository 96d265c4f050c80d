/* What the module _view offers to other C code: a revision, without making objects of it.

   It is found in the module as a capsule, VIEW_CAPSULE. */

#ifndef PERDURE_VIEW_H
#define PERDURE_VIEW_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define VIEW_MODULE "perdure.native._view"
#define VIEW_CAPSULE "_calls"

/* `room` is the caller's, for data of up to `room_size` bytes; larger ones come as an object. */
struct revision {
    unsigned char *room;
    Py_ssize_t room_size;
    const unsigned char *bytes; /* of the data: in `room`, or in `data` */
    Py_ssize_t size;
    PyObject *data; /* bytes, a new reference; or NULL */
    unsigned char tid[8];
    unsigned char next_tid[8];
    int has_next;
};

/* What looking for a revision comes to. LEFT: it is not usual, and left to Python. */
enum found { FOUND, YOUNGER, LEFT, FOUND_ERROR };

struct view_calls {
    PyCFunction relay_call; /* the function of Relay.call */
    enum found (*relay_find)(PyObject *relay, const unsigned char *oid, const unsigned char *tid,
                             struct revision *revision);
};

#endif
