/* Planning the undo of a transaction: what each of its records replaced, and where those data are.

   The transaction is read in order. What its records lead back to is looked at in the order
   of the file, what stands close together with one read, and then what that points back to.
   To be included where there is a `plan_type`. */

#ifndef PERDURE_UNDOING_H
#define PERDURE_UNDOING_H

#include "index.h"
#include "plan.h"
#include "reading.h"

#include <stdlib.h>
#include <string.h>

#define UNDO_NEAR 4096 /* what stands as close behind is read together */
#define UNDO_PIECE (64 << 10)
#define UNDO_FIRST_LOOK 512
#define POINTING_BACK (HEADER_SIZE + 8) /* behind any record there are 8 bytes more */

/* A record that is to be undone, and where the data are that it replaced, 0 if there are none;
   until that is known, where the record before it stands. */
struct undone {
    unsigned char oid[8];
    int64_t place;
    int64_t origin;
};

struct undoing {
    int descriptor;
    struct undone *records;
    size_t count;
    size_t room;
    unsigned char *data; /* room for UNDO_PIECE bytes, with `size` of the file from `start` on */
    int64_t start;
    int64_t size;
};

/* The record that a number stands for leads to `at`. */
struct step {
    int64_t at;
    size_t number;
};

static int undo_read(struct undoing *undoing, int64_t at, size_t size) {
    undoing->start = at;
    undoing->size = read_at(undoing->descriptor, undoing->data, size, at);
    return undoing->size >= 0;
}

/* Return `size` bytes of the file, which is read in order; NULL where it has not so many. */
static const unsigned char *undo_held(struct undoing *undoing, int64_t at, int64_t size) {
    int64_t behind = undoing->start + undoing->size;
    if (at < undoing->start || at + size > behind) {
        int near = at <= behind + UNDO_NEAR;
        if (!undo_read(undoing, at, near ? UNDO_PIECE : UNDO_FIRST_LOOK) || undoing->size < size)
            return NULL;
    }
    return undoing->data + (at - undoing->start);
}

static struct undone *undo_next(struct undoing *undoing) {
    if (undoing->count == undoing->room) {
        size_t room = undoing->room ? 2 * undoing->room : 64;
        struct undone *records = room > SIZE_MAX / 2 / sizeof *records
                                     ? NULL
                                     : PyMem_Realloc(undoing->records, room * sizeof *records);
        if (records == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        undoing->records = records;
        undoing->room = room;
    }
    return undoing->records + undoing->count;
}

/* Take in the records of a transaction, which all have to be current: as the pages of the index
 * say, or None, if it is the last one.
 *
 * Returns 0 where one must be looked at, -1 with an exception; so below. */
static int undo_take(struct undoing *undoing, PyObject *pages, int64_t transaction, int64_t at,
                     int64_t end) {
    while (at <= end - HEADER_SIZE) {
        const unsigned char *head = undo_held(undoing, at, HEADER_SIZE);
        struct undone *record;
        uint64_t previous, size;
        if (head == NULL || number_at(head + 24, 8) != (uint64_t)transaction ||
            number_at(head + 32, 2) != 0)
            return 0;
        previous = number_at(head + 16, 8);
        size = number_at(head + 34, 8);
        if (previous >= (uint64_t)at || size > (uint64_t)(end - at))
            return 0;
        record = undo_next(undoing);
        if (record == NULL)
            return -1;
        memcpy(record->oid, head, 8);
        record->origin = (int64_t)previous;
        record->place = pages == Py_None ? at : index_position(pages, record->oid);
        if (record->place != at)
            return record->place < 0 ? -1 : 0;
        undoing->count++;
        at += HEADER_SIZE + (size ? (int64_t)size : 8);
    }
    return at == end;
}

static int step_order(const void *one, const void *other) {
    int64_t here = ((const struct step *)one)->at, there = ((const struct step *)other)->at;
    return (here > there) - (here < there);
}

static void steps_in_order(struct step *steps, size_t count) {
    size_t number;
    for (number = 1; number < count; number++)
        if (steps[number].at < steps[number - 1].at) {
            qsort(steps, count, sizeof *steps, step_order);
            return;
        }
}

/* Return how much to read for a step and for those behind it that stand close to each other. */
static size_t step_reach(const struct step *steps, size_t count) {
    int64_t first = steps->at, last = first;
    size_t number;
    for (number = 1; number < count; number++) {
        int64_t at = steps[number].at;
        if (at - last > UNDO_NEAR || at + POINTING_BACK - first > UNDO_PIECE)
            break;
        last = at;
    }
    return (size_t)(last + POINTING_BACK - first);
}

/* Look at the records that steps lead to; replace the steps by those that lead on. */
static int undo_step(struct undoing *undoing, struct step *steps, size_t *count) {
    size_t number, further = 0;
    steps_in_order(steps, *count);
    undoing->size = 0;
    for (number = 0; number < *count; number++) {
        int64_t at = steps[number].at;
        struct undone *record = undoing->records + steps[number].number;
        const unsigned char *head;
        uint64_t back;
        if (at < undoing->start || at + POINTING_BACK > undoing->start + undoing->size) {
            size_t reach = step_reach(steps + number, *count - number);
            if (!undo_read(undoing, at, reach) || undoing->size < POINTING_BACK)
                return 0;
        }
        head = undoing->data + (at - undoing->start);
        if (memcmp(head, record->oid, 8) != 0 || number_at(head + 32, 2) != 0 ||
            number_at(head + 16, 8) >= (uint64_t)at)
            return 0;
        record->origin = at;
        if (number_at(head + 34, 8) != 0)
            continue;
        back = number_at(head + HEADER_SIZE, 8);
        if (back >= (uint64_t)at)
            return 0;
        record->origin = (int64_t)back;
        if (back != 0) {
            steps[further].at = (int64_t)back;
            steps[further++].number = steps[number].number;
        }
    }
    *count = further;
    return 1;
}

/* Find the data that each record replaced. */
static int undo_follow(struct undoing *undoing) {
    struct step *steps;
    size_t number, count = 0;
    int done = 1;
    if (undoing->count == 0)
        return 1;
    steps = PyMem_Malloc(undoing->count * sizeof *steps);
    if (steps == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (number = 0; number < undoing->count; number++)
        if (undoing->records[number].origin != 0) {
            steps[count].at = undoing->records[number].origin;
            steps[count++].number = number;
        }
    while (done > 0 && count > 0)
        done = undo_step(undoing, steps, &count);
    PyMem_Free(steps);
    return done;
}

/* Return the plan: by oid no data, where they are, and what is current; None if there are two
   records of an object. */
static PyObject *undo_plan(const struct undoing *undoing) {
    PyObject *planned = PyObject_CallNoArgs((PyObject *)plan_type);
    size_t number;
    if (planned != NULL && plan_make_room((Plan *)planned, (Py_ssize_t)undoing->count) < 0)
        Py_CLEAR(planned);
    for (number = 0; planned != NULL && number < undoing->count; number++) {
        const struct undone *record = undoing->records + number;
        PyObject *oid = PyBytes_FromStringAndSize((const char *)record->oid, 8);
        if (oid == NULL || plan_put((Plan *)planned, oid, NULL, (uint64_t)record->origin,
                                    (uint64_t)record->place) < 0)
            Py_CLEAR(planned);
        Py_XDECREF(oid);
    }
    if (planned != NULL && (size_t)((Plan *)planned)->count < undoing->count) {
        Py_DECREF(planned);
        return Py_NewRef(Py_None);
    }
    return planned;
}

static PyObject *plan_undone(PyObject *Py_UNUSED(module), PyObject *args) {
    struct undoing undoing = {0};
    long long transaction, first, end;
    PyObject *pages, *planned = NULL;
    int done = -1;
    if (!PyArg_ParseTuple(args, "iLLLO", &undoing.descriptor, &transaction, &first, &end, &pages))
        return NULL;
    if (pages != Py_None && !is_index(pages)) {
        PyErr_SetString(PyExc_TypeError, "expected the pages of an index, or None");
        return NULL;
    }
    undoing.start = first;
    undoing.data = PyMem_Malloc(UNDO_PIECE);
    if (undoing.data == NULL)
        return PyErr_NoMemory();
    done = undo_take(&undoing, pages, transaction, first, end);
    if (done > 0)
        done = undo_follow(&undoing);
    if (done > 0)
        planned = undo_plan(&undoing);
    else if (done == 0)
        planned = Py_NewRef(Py_None);
    PyMem_Free(undoing.records);
    PyMem_Free(undoing.data);
    return planned;
}

#endif
