/* What the module _decoder offers to other C code: a state, from bytes that are no object.

   It is found in the module as a capsule, DECODER_CAPSULE. */

#ifndef PERDURE_DECODER_H
#define PERDURE_DECODER_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define DECODER_MODULE "perdure.native._decoder"
#define DECODER_CAPSULE "_calls"

struct decoder_calls {
    PyCFunction set_state; /* the function of Decoder.set_state */
    /* The same with the bytes of a record, which stay until it returns; -1 with an exception. */
    int (*set_state_from)(PyObject *decoder, PyObject *obj, const unsigned char *bytes,
                          Py_ssize_t size);
};

#endif
