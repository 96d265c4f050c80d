/* What an encoder keeps, and what one record needs: the bytes so far, and a memo.

   References. The memo owns the objects in it, so that no other object can have the same
   address during one record. Each function that can fail returns an `enum outcome`. */

#ifndef PERDURE_ENCODING_H
#define PERDURE_ENCODING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define DONT_USE_CPERSISTENCECAPI
#include "buckets.h"
#include "persistence.h"

/* What writing comes to. FAILED: an exception is set. HAND_OVER: none is. */
enum outcome { DONE = 0, FAILED = -1, HAND_OVER = -2 };

/* What `classify` says of the objects of a class. */
enum kind { UNKNOWN = 0, BARE_REFERENCE = 1, REFERENCE = 2, REDUCED = 3, CLASS = 4 };

#define ADOPTED_SIMPLY 8 /* beside a kind: new objects get oid and connection without ado */

#define BATCH 1000 /* of items between MARK and APPENDS or SETITEMS, as in the pickler */
#define KNOWN_KEYS 16 /* of the attributes of a class */
#define FETCHED_ITEMS 64 /* of a bucket */
#define FETCHED_AT_ONCE 64 /* bytes of memory */
#define KEPT_BYTES (1 << 16)
#define KEPT_SLOTS (1 << 12)
#define LARGEST UINT32_MAX /* of what has a length of 4 bytes */

static PyTypeObject *persistent_type;
static PyObject *persistent_getstate, *persistent_oid, *persistent_jar;
static PyObject *modules, *dispatch_table, *encode_long, *three;
static PyObject *name_getstate, *name_oid, *name_jar, *name_name, *name_reduce_ex;

/* The name of an attribute, as it is written. */
typedef struct {
    PyObject *name;     /* an exact str, NULL where none is known */
    const char *bytes;  /* in UTF-8; the name keeps them */
    uint32_t size;
    int is_volatile;    /* so it is not stored */
} Key;

/* How records of one class begin; the class has the number 0 in the memo. Objects of a class
   mostly have the same attributes in the same order, so their names are kept. */
typedef struct {
    PyObject_HEAD
    PyObject *start; /* bytes */
    int has_slots;   /* with which the state is more than the dictionary */
    ItemKinds items; /* of buckets */
    Key keys[KNOWN_KEYS];
} Head;

/* Where an object's number is, by a hash of its address; of another record, it is free. */
typedef struct {
    uint32_t record;
    uint32_t number;
} Slot;

/* What one record needs. Kept from one to the next; one inside another has its own. */
typedef struct {
    char *bytes;
    size_t size, room;
    PyObject **numbered; /* by number; NULL where nothing can refer to it */
    Slot *slots;
    size_t count, numbered_room, slots_room; /* slots_room: a power of 2, or 0 */
    uint32_t record; /* counts them, so that slots need not be cleared for each */
    size_t touched; /* means nothing; see fetch_objects */
} Work;

typedef struct {
    PyObject_HEAD
    PyObject *jar;
    PyObject *new_oid;
    PyObject *found;        /* a list, the writer's */
    PyObject *classify;     /* (obj) -> kind */
    PyObject *global_of;    /* (class) -> (GLOBAL and its argument, module, name), or None */
    PyObject *reference_to; /* (obj) -> persistent id, or None */
    PyObject *hand_over;    /* (obj, state) -> record */
    PyObject *write_anew;   /* (obj) -> record */
    PyObject *heads;        /* class -> Head */
    PyObject *kinds;        /* class -> kind */
    PyObject *globals;      /* class -> what global_of said */
    PyTypeObject *last;     /* a class of which `last_kind` is known, in `kinds`, or NULL */
    int last_kind;
    PyTypeObject *last_stored; /* a class whose head `last_head` is, in `heads`, or NULL */
    Head *last_head;
    Work kept;
    int in_use; /* whether `kept` is */
} Encoder;

/* What failed is handed over: the pickler will fail, too, and the writer explains its error.
   What is no `Exception`, such as an interrupt, is not for others to see. */
static int failed(void) {
    if (!PyErr_ExceptionMatches(PyExc_Exception))
        return FAILED;
    PyErr_Clear();
    return HAND_OVER;
}

/* Bytes */

static int make_room(Work *work, size_t wanted) {
    size_t room = work->room ? work->room : 1024;
    char *grown;
    if (wanted > (size_t)PY_SSIZE_T_MAX / 2 - work->size)
        return HAND_OVER;
    while (room - work->size < wanted)
        room *= 2;
    grown = PyMem_Realloc(work->bytes, room);
    if (grown == NULL) {
        PyErr_NoMemory();
        return FAILED;
    }
    work->bytes = grown;
    work->room = room;
    return DONE;
}

/* Make sure that as many bytes can be put behind the others. */
static inline int ensure(Work *work, size_t wanted) {
    return work->room - work->size >= wanted ? DONE : make_room(work, wanted);
}

static inline int write_bytes(Work *work, const void *bytes, size_t size) {
    int outcome = ensure(work, size);
    if (outcome == DONE) {
        memcpy(work->bytes + work->size, bytes, size);
        work->size += size;
    }
    return outcome;
}

static inline int write_opcode(Work *work, char opcode) {
    int outcome = ensure(work, 1);
    if (outcome == DONE)
        work->bytes[work->size++] = opcode;
    return outcome;
}

static inline void put_uint32(char *bytes, uint32_t number) {
    for (int n = 0; n < 4; n++)
        bytes[n] = (char)(number >> 8 * n);
}

/* Put an opcode with a number of one byte, or another one with a number of four, where there
   is room for them. */
static inline void put_number(Work *work, char short_opcode, char long_opcode, size_t number) {
    char *at = work->bytes + work->size;
    if (number <= UINT8_MAX) {
        at[0] = short_opcode;
        at[1] = (char)number;
        work->size += 2;
    } else {
        at[0] = long_opcode;
        put_uint32(at + 1, (uint32_t)number);
        work->size += 5;
    }
}

static inline int write_number(Work *work, char short_opcode, char long_opcode, size_t number) {
    int outcome = number > LARGEST ? HAND_OVER : ensure(work, 5);
    if (outcome == DONE)
        put_number(work, short_opcode, long_opcode, number);
    return outcome;
}

/* The memo */

static inline size_t first_slot(const Work *work, PyObject *obj) {
    return (size_t)(((uint64_t)(uintptr_t)obj >> 4) * UINT64_C(0x9E3779B97F4A7C15) >> 32) &
           (work->slots_room - 1);
}

/* Return the number of an object, negative if it has none; then `slot` is where it goes. */
static inline int64_t find_number(const Work *work, PyObject *obj, size_t *slot) {
    for (*slot = first_slot(work, obj);; *slot = (*slot + 1) & (work->slots_room - 1)) {
        Slot found = work->slots[*slot];
        if (found.record != work->record)
            return -1;
        if (work->numbered[found.number] == obj)
            return found.number;
    }
}

static inline int64_t number_of(const Work *work, PyObject *obj) {
    size_t slot;
    return find_number(work, obj, &slot);
}

static inline void put_into_slot(Work *work, PyObject *obj, size_t number) {
    size_t slot = first_slot(work, obj);
    while (work->slots[slot].record == work->record)
        slot = (slot + 1) & (work->slots_room - 1);
    work->slots[slot] = (Slot){work->record, (uint32_t)number};
}

/* Make room for one more number; less than half of the slots are ever taken. */
static int grow_memo(Work *work) {
    size_t room = work->numbered_room ? work->numbered_room * 2 : 64;
    PyObject **numbered;
    Slot *slots;
    if (room > UINT32_MAX / 4)
        return HAND_OVER;
    numbered = PyMem_Realloc(work->numbered, room * sizeof *numbered);
    if (numbered == NULL) {
        PyErr_NoMemory();
        return FAILED;
    }
    work->numbered = numbered;
    slots = PyMem_Calloc(room * 2, sizeof *slots);
    if (slots == NULL) {
        PyErr_NoMemory();
        return FAILED;
    }
    PyMem_Free(work->slots);
    work->slots = slots;
    work->numbered_room = room;
    work->slots_room = room * 2;
    work->record = 1;
    for (size_t number = 0; number < work->count; number++)
        if (numbered[number] != NULL)
            put_into_slot(work, numbered[number], number);
    return DONE;
}

/* Give an object the next number; NULL where nothing can refer to it. */
static inline int give_number(Work *work, PyObject *obj) {
    int outcome;
    if (work->count == work->numbered_room && (outcome = grow_memo(work)) != DONE)
        return outcome;
    if (obj != NULL)
        put_into_slot(work, obj, work->count);
    work->numbered[work->count++] = Py_XNewRef(obj);
    return DONE;
}

static inline int memoize(Work *work, PyObject *obj) {
    int outcome = ensure(work, 5);
    if (outcome == DONE)
        outcome = give_number(work, obj);
    if (outcome == DONE)
        put_number(work, 'q', 'r', work->count - 1);
    return outcome;
}

/* The same, for an object that has just been looked for and goes into `slot`. */
static inline int memoize_into(Work *work, PyObject *obj, size_t slot) {
    int outcome;
    if (work->count == work->numbered_room)
        return memoize(work, obj); /* for which the slots change */
    outcome = ensure(work, 5);
    if (outcome == DONE) {
        work->numbered[work->count] = Py_NewRef(obj);
        work->slots[slot] = (Slot){work->record, (uint32_t)work->count};
        put_number(work, 'q', 'r', work->count++);
    }
    return outcome;
}

static inline int write_get(Work *work, int64_t number) {
    return write_number(work, 'h', 'j', (size_t)number);
}

/* Let go of all that is in the memo. What that calls may write another record, which finds
   `kept` in use. */
static void clear_work(Work *work) {
    size_t count = work->count;
    work->size = 0;
    work->count = 0;
    if (++work->record == 0) {
        memset(work->slots, 0, work->slots_room * sizeof *work->slots);
        work->record = 1;
    }
    for (size_t number = 0; number < count; number++)
        Py_XDECREF(work->numbered[number]);
}

static void free_work(Work *work) {
    PyMem_Free(work->bytes);
    PyMem_Free(work->numbered);
    PyMem_Free(work->slots);
    memset(work, 0, sizeof *work);
}

#endif
