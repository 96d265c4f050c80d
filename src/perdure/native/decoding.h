/* What a decoder keeps, and what one load needs: a stack, marks on it, and a memo.

   References. The stack and the memo own what is in them. A function with "pop" in its name
   hands ownership to the caller, `push` takes it over, even where it fails. Each function
   that can fail returns an `enum outcome`. */

#ifndef PERDURE_DECODING_H
#define PERDURE_DECODING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>
#include <structmember.h>

#include "buckets.h"

/* What reading comes to. FAILED: an exception is set. REFUSED: it is that of the object's
   own __setstate__. HAND_OVER: none is set. */
enum outcome { DONE = 0, FAILED = -1, HAND_OVER = -2, REFUSED = -3 };

#define KEPT_ITEMS 4096 /* of stack and memo, from one record to the next */
#define KEYS 256        /* a power of 2 */
#define LONGEST_KEY 40
#define KEPT_NAMES 16 /* of the attributes of a class */
#define KEPT_HEADS 16 /* a power of 2 */

static PyObject *empty_tuple, *int_from_bytes, *little_signed, *unpickling_error, *modules;
static PyObject *persistent_type, *persistent_setstate;
static PyObject *name_setstate, *name_dict, *name_extend, *name_append;

/* What one load needs. Kept from one to the next; a load inside a load has its own. */
typedef struct {
    PyObject **stack;
    Py_ssize_t stack_size, stack_room;
    PyObject **memo;
    Py_ssize_t memo_size, memo_room; /* size: one more than the largest number used */
    Py_ssize_t first_put_off;        /* before it, no pair in the memo is put off */
    Py_ssize_t *marks;
    Py_ssize_t marks_size, marks_room;
} Work;

/* A name of an attribute: interned, and its bytes, which live as long as it does. */
typedef struct {
    PyObject *name;
    const char *bytes;
    Py_ssize_t size;
} Key;

/* How records of one class begin, what stands in the memo behind that, and which attributes
   its last record had, in their order. */
typedef struct {
    PyObject_HEAD
    PyObject *start; /* bytes */
    int number;      /* of the class in the memo; negative where it is not there */
    unsigned version; /* of the class, when it was known whether it had a plain __setstate__ */
    int is_plain;
    ItemKinds items; /* of its instances, if they are buckets known inside */
    Key names[KEPT_NAMES];
} Head;

typedef struct {
    PyObject_HEAD
    PyObject *cache; /* the connection's PickleCache */
    PyObject *new_ghost;
    PyObject *find_global;
    PyObject *load_reference;
    PyObject *refused;
    PyObject *hand_over;
    PyObject *explain;
    PyTypeObject *broken; /* whose subclasses stand for classes that are not there */
    PyObject *heads;      /* class -> Head */
    struct {
        PyTypeObject *cls;
        Head *head;
    } kept_heads[KEPT_HEADS]; /* some of them, by the address of the class; no references */
    PyObject *globals; /* b"module\nname" -> (module, name, what it is), or NULL */
    Py_ssize_t hits;
    Work kept;
    int in_use;           /* whether `kept` is */
    Key keys[KEYS]; /* names of attributes, by a hash of their bytes */
} Decoder;

typedef struct {
    Decoder *decoder;
    Work *work;
    const uint8_t *next, *end;
    Head *head;
    int keys_are_names; /* of the dictionary that is the whole state */
    int names;          /* how many of them were read */
    int called;         /* something was: handing over is not free any more */
    uintptr_t fetched;  /* where the memory begins that was fetched last */
} Load;

/* Work */

static int grow(void **items, Py_ssize_t *room, Py_ssize_t wanted, size_t item_size) {
    Py_ssize_t new_room = *room ? *room : 64;
    void *grown;
    while (new_room < wanted) {
        if (new_room > PY_SSIZE_T_MAX / 2 / (Py_ssize_t)item_size) {
            PyErr_NoMemory();
            return FAILED;
        }
        new_room *= 2;
    }
    grown = PyMem_Realloc(*items, (size_t)new_room * item_size);
    if (grown == NULL) {
        PyErr_NoMemory();
        return FAILED;
    }
    *items = grown;
    *room = new_room;
    return DONE;
}

/* A pair of an oid and a class that nobody may ask for: instead of it, its place in the memo
   has the number of the class, marked by the lowest bit. The oid stands just before it. */
static inline int is_put_off(const PyObject *entry) {
    return (uintptr_t)entry & 1;
}

static inline PyObject *put_off(size_t class_number) {
    return (PyObject *)(uintptr_t)(class_number << 1 | 1);
}

/* Make the pair that stands at `number` in the memo, if it is put off. */
static int make_pair(Work *work, Py_ssize_t number) {
    PyObject *entry = work->memo[number], *pair;
    if (!is_put_off(entry))
        return DONE;
    pair = PyTuple_Pack(2, work->memo[number - 1], work->memo[(uintptr_t)entry >> 1]);
    if (pair == NULL)
        return FAILED;
    work->memo[number] = pair;
    return DONE;
}

/* Make all pairs, before something in the memo is replaced that one may consist of. */
static int make_pairs(Work *work) {
    for (; work->first_put_off < work->memo_size; work->first_put_off++)
        if (make_pair(work, work->first_put_off) != DONE)
            return FAILED;
    return DONE;
}

/* Let go of what was in the memo from one number to another. */
static void forget(Work *work, Py_ssize_t from, Py_ssize_t behind) {
    while (behind > from) {
        PyObject *entry = work->memo[--behind];
        if (!is_put_off(entry))
            Py_XDECREF(entry);
    }
}

/* Let go of all that is on the stack and in the memo. What that calls may begin a load,
   which finds `kept` in use. */
static void clear_work(Work *work) {
    Py_ssize_t stack_size = work->stack_size, memo_size = work->memo_size;
    work->marks_size = work->stack_size = work->memo_size = work->first_put_off = 0;
    while (stack_size > 0)
        Py_DECREF(work->stack[--stack_size]);
    forget(work, 0, memo_size);
}

static void free_work(Work *work) {
    clear_work(work);
    PyMem_Free(work->stack);
    PyMem_Free(work->memo);
    PyMem_Free(work->marks);
    memset(work, 0, sizeof *work);
}

/* Take over `value`, which may be NULL with an exception set. */
static inline int push(Work *work, PyObject *value) {
    if (value == NULL)
        return FAILED;
    if (work->stack_size == work->stack_room &&
        grow((void **)&work->stack, &work->stack_room, work->stack_size + 1, sizeof *work->stack)) {
        Py_DECREF(value);
        return FAILED;
    }
    work->stack[work->stack_size++] = value;
    return DONE;
}

static inline int push_mark(Work *work) {
    if (work->marks_size == work->marks_room &&
        grow((void **)&work->marks, &work->marks_room, work->marks_size + 1, sizeof *work->marks))
        return FAILED;
    work->marks[work->marks_size++] = work->stack_size;
    return DONE;
}

/* How many values may be taken from the stack: those above the last mark. */
static inline Py_ssize_t above_mark(const Work *work) {
    return work->marks_size ? work->stack_size - work->marks[work->marks_size - 1]
                            : work->stack_size;
}

static inline void drop(Work *work, Py_ssize_t count) {
    Py_ssize_t down_to = work->stack_size - count;
    while (work->stack_size > down_to)
        Py_DECREF(work->stack[--work->stack_size]);
}

/* The record does not fit together, or is more than is known here. */
static int misfit(const Load *load) {
    if (!load->called)
        return HAND_OVER;
    PyErr_SetString(unpickling_error, "the opcodes of its state do not fit together");
    return FAILED;
}

/* The memo */

static int memoize(Load *load, size_t number, const uint8_t *record) {
    Work *work = load->work;
    PyObject *value, *before;
    if (above_mark(work) < 1)
        return misfit(load);
    if (number > UINT8_MAX && number > (size_t)(load->end - record)) {
        /* Not handed over: the unpickler would make room for it, up to 32 GiB. */
        PyErr_SetString(unpickling_error, "it numbers objects that it cannot have");
        return FAILED;
    }
    if ((Py_ssize_t)number >= work->memo_room &&
        grow((void **)&work->memo, &work->memo_room, (Py_ssize_t)number + 1, sizeof *work->memo))
        return FAILED;
    if ((Py_ssize_t)number < work->memo_size && make_pairs(work) != DONE)
        return FAILED;
    while (work->memo_size <= (Py_ssize_t)number)
        work->memo[work->memo_size++] = NULL;
    value = work->stack[work->stack_size - 1];
    Py_INCREF(value);
    before = work->memo[number];
    work->memo[number] = value;
    Py_XDECREF(before);
    return DONE;
}

/* Nearly always, the numbers come in turn. */
static inline int memoize_next(Load *load, size_t number, const uint8_t *record) {
    Work *work = load->work;
    if (number == (size_t)work->memo_size && number < (size_t)work->memo_room &&
        above_mark(work) > 0) {
        work->memo[work->memo_size++] = Py_NewRef(work->stack[work->stack_size - 1]);
        return DONE;
    }
    return memoize(load, number, record);
}

static inline int push_memoized(Load *load, size_t number) {
    Work *work = load->work;
    if (number >= (size_t)work->memo_size || work->memo[number] == NULL)
        return misfit(load);
    if (make_pair(work, (Py_ssize_t)number) != DONE)
        return FAILED;
    return push(work, Py_NewRef(work->memo[number]));
}

#endif
