/* A data file scanned for Python: an index of it, sweeps over transactions, marking for a pack.

   What is here goes only as far as all is as it should be, and says where it stopped: the
   pure functions look at what stands there. The GIL is released while a window is read and
   looked at; an object that is at work in one thread refuses to work for another. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <structmember.h>

#include "courtesy.h"
#include "positions.h"
#include "references.h"
#include "transactions.h"

static int refuse_busy(int busy) {
    if (busy)
        PyErr_SetString(PyExc_RuntimeError, "it is at work in another thread");
    return busy;
}

static int oid_of(PyObject *oid, uint64_t *value) {
    if (!PyBytes_Check(oid) || PyBytes_Size(oid) != 8) {
        PyErr_SetString(PyExc_ValueError, "an oid has 8 bytes");
        return 0;
    }
    *value = big_8((const uint8_t *)PyBytes_AsString(oid));
    return 1;
}

static PyObject *oid_bytes(uint64_t value) {
    char data[8];
    int n;
    for (n = 7; n >= 0; n--, value >>= 8)
        data[n] = (char)(value & 0xFF);
    return PyBytes_FromStringAndSize(data, 8);
}

/* Positions -------------------------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    struct positions positions;
    int busy;
} Positions;

static PyTypeObject *positions_type, *marking_type;

static void positions_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    free_positions(&((Positions *)self)->positions);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyObject *positions_get(PyObject *self, PyObject *oid) {
    uint64_t value, *entry;
    if (refuse_busy(((Positions *)self)->busy) || !oid_of(oid, &value))
        return NULL;
    entry = entry_of(&((Positions *)self)->positions, value);
    return PyLong_FromUnsignedLongLong(entry == NULL ? 0 : POSITION(*entry));
}

static PyObject *positions_put(PyObject *self, PyObject *args) {
    PyObject *oid;
    unsigned long long position;
    uint64_t value, *entry;
    if (!PyArg_ParseTuple(args, "OK", &oid, &position) || refuse_busy(((Positions *)self)->busy) ||
        !oid_of(oid, &value))
        return NULL;
    if (position == 0 || position != POSITION(position)) {
        PyErr_SetString(PyExc_ValueError, "a position has 48 bits, and is not 0");
        return NULL;
    }
    entry = entry_for(&((Positions *)self)->positions, value);
    if (entry == NULL)
        return PyErr_NoMemory();
    *entry = position | (*entry & ~POSITION(*entry));
    Py_RETURN_NONE;
}

static PyObject *positions_mark(PyObject *self, PyObject *args, uint64_t mark) {
    PyObject *oid;
    int set;
    uint64_t value, *entry;
    if (!PyArg_ParseTuple(args, "Op", &oid, &set) || refuse_busy(((Positions *)self)->busy) ||
        !oid_of(oid, &value))
        return NULL;
    entry = set ? entry_for(&((Positions *)self)->positions, value)
                : entry_of(&((Positions *)self)->positions, value);
    if (entry == NULL && set)
        return PyErr_NoMemory();
    if (entry != NULL)
        *entry = set ? *entry | mark : *entry & ~mark;
    Py_RETURN_NONE;
}

static PyObject *positions_set_gone(PyObject *self, PyObject *args) {
    return positions_mark(self, args, GONE);
}

static PyObject *positions_set_blob(PyObject *self, PyObject *args) {
    return positions_mark(self, args, BLOB);
}

static PyObject *positions_marked(PyObject *self, PyObject *oid, uint64_t mark) {
    uint64_t value, *entry;
    if (refuse_busy(((Positions *)self)->busy) || !oid_of(oid, &value))
        return NULL;
    entry = entry_of(&((Positions *)self)->positions, value);
    return PyBool_FromLong(entry != NULL && (*entry & mark) != 0);
}

static PyObject *positions_is_gone(PyObject *self, PyObject *oid) {
    return positions_marked(self, oid, GONE);
}

static PyObject *positions_is_blob(PyObject *self, PyObject *oid) {
    return positions_marked(self, oid, BLOB);
}

static PyObject *positions_is_reached(PyObject *self, PyObject *oid) {
    return positions_marked(self, oid, REACHED);
}

static PyObject *positions_refer(PyObject *self, PyObject *oid) {
    uint64_t value, *entry;
    if (refuse_busy(((Positions *)self)->busy) || !oid_of(oid, &value))
        return NULL;
    entry = entry_for(&((Positions *)self)->positions, value);
    if (entry == NULL)
        return PyErr_NoMemory();
    *entry |= REFERRED;
    Py_RETURN_NONE;
}

static size_t count_positions(const struct positions *positions, int *missing) {
    size_t count = 0, place;
    uint32_t n;
    uint16_t suffix;
    uint64_t entry;
    *missing = 0;
    for (place = 0; place < positions->places; place++) {
        if (positions->pages[place] == NULL)
            continue;
        for (n = 0; next_entry(positions->pages[place], &n, &suffix, &entry);) {
            int there = POSITION(entry) != 0 && !(entry & GONE);
            count += there;
            *missing |= !there && (entry & REFERRED);
        }
    }
    return count;
}

static PyObject *positions_count(PyObject *self, PyObject *Py_UNUSED(nothing)) {
    int missing;
    if (refuse_busy(((Positions *)self)->busy))
        return NULL;
    return PyLong_FromSize_t(count_positions(&((Positions *)self)->positions, &missing));
}

static PyObject *positions_lacks_referred(PyObject *self, PyObject *Py_UNUSED(nothing)) {
    int missing;
    if (refuse_busy(((Positions *)self)->busy))
        return NULL;
    count_positions(&((Positions *)self)->positions, &missing);
    return PyBool_FromLong(missing);
}

static PyObject *positions_load(PyObject *self, PyObject *args) {
    const uint8_t *prefix, *packed;
    Py_ssize_t prefix_size, packed_size, count, n;
    struct positions *positions = &((Positions *)self)->positions;
    if (!PyArg_ParseTuple(args, "y#y#", &prefix, &prefix_size, &packed, &packed_size) ||
        refuse_busy(((Positions *)self)->busy))
        return NULL;
    if (prefix_size != 6 || packed_size % 8) {
        PyErr_SetString(PyExc_ValueError, "a page has a prefix of 6 bytes, and entries of 8");
        return NULL;
    }
    count = packed_size / 8;
    for (n = 0; n < count; n++) {
        uint8_t oid[8], position[8] = {0};
        uint64_t *entry;
        memcpy(oid, prefix, 6);
        memcpy(oid + 6, packed + 2 * n, 2);
        memcpy(position + 2, packed + 2 * count + 6 * n, 6);
        if (big_8(position) == 0)
            continue;
        entry = entry_for(positions, big_8(oid));
        if (entry == NULL)
            return PyErr_NoMemory();
        *entry = big_8(position);
    }
    Py_RETURN_NONE;
}

static PyObject *positions_prefixes(PyObject *self, PyObject *Py_UNUSED(nothing)) {
    const struct positions *positions = &((Positions *)self)->positions;
    PyObject *prefixes;
    size_t place;
    if (refuse_busy(((Positions *)self)->busy))
        return NULL;
    prefixes = PyList_New(0);
    for (place = 0; prefixes != NULL && place < positions->places; place++) {
        PyObject *prefix;
        if (positions->pages[place] == NULL)
            continue;
        prefix = oid_bytes(positions->pages[place]->prefix << 16);
        if (prefix == NULL || PyList_Append(prefixes, prefix) < 0)
            Py_CLEAR(prefixes);
        Py_XDECREF(prefix);
    }
    return prefixes;
}

static PyObject *positions_page(PyObject *self, PyObject *first) {
    struct page *page;
    PyObject *packed;
    uint8_t *suffixes, *values;
    uint64_t oid, entry;
    uint32_t n, count = 0;
    uint16_t suffix;
    if (refuse_busy(((Positions *)self)->busy) || !oid_of(first, &oid))
        return NULL;
    page = page_of(&((Positions *)self)->positions, oid >> 16);
    for (n = 0; page != NULL && next_entry(page, &n, &suffix, &entry);)
        count += POSITION(entry) != 0;
    packed = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)count * 8);
    if (packed == NULL || page == NULL)
        return packed;
    suffixes = (uint8_t *)PyBytes_AsString(packed);
    values = suffixes + (size_t)count * 2;
    for (n = 0; next_entry(page, &n, &suffix, &entry);) {
        int shift;
        if (POSITION(entry) == 0)
            continue;
        *suffixes++ = (uint8_t)(suffix >> 8);
        *suffixes++ = (uint8_t)suffix;
        for (shift = 40; shift >= 0; shift -= 8)
            *values++ = (uint8_t)(entry >> shift);
    }
    return packed;
}

static PyMethodDef positions_methods[] = {
    {"get", positions_get, METH_O, "Return the position of an oid, 0 if it has none."},
    {"put", positions_put, METH_VARARGS, "Enter the position of an oid; its marks stay."},
    {"set_gone", positions_set_gone, METH_VARARGS, "Say whether an object is gone."},
    {"is_gone", positions_is_gone, METH_O, "Return whether an object is gone."},
    {"set_blob", positions_set_blob, METH_VARARGS, "Say whether an object is a blob."},
    {"is_blob", positions_is_blob, METH_O, "Return whether an object is a blob."},
    {"is_reached", positions_is_reached, METH_O, "Return whether marking has reached an object."},
    {"refer", positions_refer, METH_O, "Take note that something refers to an oid."},
    {"count", positions_count, METH_NOARGS, "Return how many objects there are."},
    {"lacks_referred", positions_lacks_referred, METH_NOARGS,
     "Return whether something refers to an object that is not there."},
    {"load", positions_load, METH_VARARGS, "Enter a page of an index: its prefix, and packed."},
    {"prefixes", positions_prefixes, METH_NOARGS,
     "Return the first possible oid of each page, in no order."},
    {"page", positions_page, METH_O, "Return the page that begins with an oid, packed."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot positions_slots[] = {
    {Py_tp_dealloc, (void *)positions_dealloc},
    {Py_tp_methods, positions_methods},
    {Py_tp_doc, "Where the current record of each object is."},
    {0, NULL},
};

static PyType_Spec positions_spec = {
    "perdure.native._filescan.Positions", sizeof(Positions), 0, Py_TPFLAGS_DEFAULT, positions_slots,
};

/* Sweep ------------------------------------------------------------------------------------ */

struct class_room {
    uint8_t *head;
    size_t head_size; /* 0: a free place */
    unsigned long long count, bytes;
};

typedef struct {
    PyObject_HEAD
    int file;
    int checking, following, busy;
    unsigned long long position, limit, durable, last, transactions, unchecked, records, bytes, empty;
    uint64_t last_tid, stop;
    PyObject *positions; /* NULL: none is kept */
    PyObject *extend;    /* NULL: checksums are not looked at */
    struct window window;
    struct scan scan;
    struct transaction *found; /* in the window */
    size_t found_count, found_room;
    struct class_room *classes; /* a hash table */
    size_t class_places, class_count, last_class;
    uint64_t *odd; /* positions of records that are not known here */
    size_t odd_count, odd_room;
    uint64_t *blobs; /* positions of records of blobs */
    size_t blob_count, blob_room;
} Sweep;

static int add_number(uint64_t **numbers, size_t *count, size_t *room, uint64_t number) {
    if (*count == *room) {
        size_t larger = *room ? *room * 2 : 64;
        uint64_t *more = realloc(*numbers, larger * sizeof *more);
        if (more == NULL)
            return 0;
        *numbers = more;
        *room = larger;
    }
    (*numbers)[(*count)++] = number;
    return 1;
}

static void sweep_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    Sweep *sweep = (Sweep *)self;
    size_t n;
    Py_XDECREF(sweep->positions);
    Py_XDECREF(sweep->extend);
    free(sweep->window.data);
    scan_free(&sweep->scan);
    free(sweep->found);
    for (n = 0; n < sweep->class_places; n++)
        free(sweep->classes[n].head);
    free(sweep->classes);
    free(sweep->odd);
    free(sweep->blobs);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static int sweep_init(PyObject *self, PyObject *args, PyObject *Py_UNUSED(keywords)) {
    Sweep *sweep = (Sweep *)self;
    PyObject *positions, *extend;
    const char *last_tid, *stop;
    Py_ssize_t last_tid_size, stop_size;
    if (sweep->positions != NULL || sweep->extend != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "it has begun already");
        return -1;
    }
    if (!PyArg_ParseTuple(args, "iKKy#y#OOpp", &sweep->file, &sweep->position, &sweep->limit,
                          &last_tid, &last_tid_size, &stop, &stop_size, &positions, &extend,
                          &sweep->checking, &sweep->following))
        return -1;
    if (last_tid_size != 8 || stop_size != 8) {
        PyErr_SetString(PyExc_ValueError, "a tid has 8 bytes");
        return -1;
    }
    if (positions != Py_None && Py_TYPE(positions) != positions_type) {
        PyErr_SetString(PyExc_TypeError, "expected Positions or None");
        return -1;
    }
    if (positions == Py_None && (sweep->checking || sweep->following)) {
        PyErr_SetString(PyExc_ValueError, "a check needs positions");
        return -1;
    }
    sweep->last_tid = big_8((const uint8_t *)last_tid);
    sweep->stop = big_8((const uint8_t *)stop);
    sweep->positions = positions == Py_None ? NULL : Py_NewRef(positions);
    sweep->extend = extend == Py_None ? NULL : Py_NewRef(extend);
    return 0;
}

/* Find the transactions that are whole in the window, from the position on: 0 if there is none. */
static size_t find_transactions(Sweep *sweep) {
    uint64_t at = sweep->position, tid = sweep->last_tid;
    sweep->found_count = 0;
    while (at < sweep->limit) {
        struct transaction found;
        /* The first one may move the window; the others must not. */
        if (sweep->found_count) {
            uint64_t offset = at - sweep->window.start, left, length;
            if (offset + TRANSACTION_HEADER > sweep->window.size)
                break;
            left = sweep->window.size - offset;
            length = big_8(sweep->window.data + offset + 8);
            if (length > left || left - length < NUMBER)
                break;
        }
        if (!sound_transaction(&sweep->window, sweep->file, at, sweep->limit, &found))
            break;
        if (big_8(found.data) <= tid || big_8(found.data) >= sweep->stop)
            break;
        if (sweep->found_count == sweep->found_room) {
            size_t room = sweep->found_room ? sweep->found_room * 2 : 64;
            struct transaction *more = realloc(sweep->found, room * sizeof *more);
            if (more == NULL)
                break;
            sweep->found = more;
            sweep->found_room = room;
        }
        sweep->found[sweep->found_count++] = found;
        tid = big_8(found.data);
        at = transaction_end(&found);
    }
    return sweep->found_count;
}

static int extend_crc(PyObject *extend, unsigned long long *crc, const uint8_t *data, size_t size) {
    while (size) {
        size_t piece = size < 65536 ? size : 65536;
        PyObject *extended =
            PyObject_CallFunction(extend, "Ky#", *crc, (const char *)data, (Py_ssize_t)piece);
        if (extended == NULL)
            return 0;
        *crc = PyLong_AsUnsignedLongLong(extended);
        Py_DECREF(extended);
        if (*crc == (unsigned long long)-1 && PyErr_Occurred())
            return 0;
        data += piece;
        size -= piece;
    }
    return 1;
}

/* Return 1 if the checksum fits, or there is none; 0 if not; -1 for an error. */
static int checksum_fits(Sweep *sweep, const struct transaction *found) {
    const uint8_t *data = found->data;
    uint8_t trailer[TRAILER];
    size_t head = found->head - TRAILER;
    unsigned long long crc = 0;
    uint32_t expected;
    if (sweep->extend == NULL || !(sweep->checking ? found->like_sealed : found->sealed))
        return 1;
    /* The trailer as it should be: another one than it is, and yet the right crc, is damage. */
    memcpy(trailer, TRAILER_MAGIC, 8);
    memcpy(trailer + 24, data + head + 24, 12);
    {
        int n;
        for (n = 0; n < 8; n++) {
            trailer[8 + n] = (uint8_t)(found->position >> (56 - 8 * n));
            trailer[16 + n] = (uint8_t)(found->length >> (56 - 8 * n));
        }
    }
    expected = (uint32_t)trailer[32] << 24 | (uint32_t)trailer[33] << 16 |
               (uint32_t)trailer[34] << 8 | trailer[35];
    if (!extend_crc(sweep->extend, &crc, data, STATUS) ||
        !extend_crc(sweep->extend, &crc, data + STATUS + 1, head - STATUS - 1) ||
        !extend_crc(sweep->extend, &crc, trailer, TRAILER - 4) ||
        !extend_crc(sweep->extend, &crc, data + found->head,
                    (size_t)(found->length + NUMBER - found->head)))
        return -1;
    return (crc == expected) == found->sealed;
}

/* Whether the records of a transaction are of its tid, and point to where they should. */
static int pointers_fit(Sweep *sweep, const struct transaction *found) {
    struct positions *positions = &((Positions *)sweep->positions)->positions;
    const uint8_t *at = found->data + found->head, *end = found->data + found->length;
    while (at < end) {
        uint64_t position = found->position + (uint64_t)(at - found->data);
        uint64_t previous = big_8(at + 16), size = big_8(at + 34);
        uint64_t *entry = entry_of(positions, big_8(at));
        uint64_t newest = entry == NULL ? 0 : POSITION(*entry);
        if (memcmp(at + 8, found->data, 8) != 0)
            return 0;
        if (previous != newest && (previous || found->status == ' '))
            return 0;
        if (size == 0) {
            uint64_t back = big_8(at + RECORD_HEADER);
            uint8_t header[RECORD_HEADER];
            if (back != 0 && (back >= position || read_at(sweep->file, header, sizeof header, back) !=
                                                      sizeof header || memcmp(header, at, 8) != 0))
                return 0;
            size = NUMBER;
        }
        at += RECORD_HEADER + size;
    }
    return 1;
}

static struct class_room *class_room(Sweep *sweep, const uint8_t *head, size_t size) {
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    size_t n, place;
    if (sweep->class_count * 2 >= sweep->class_places) {
        size_t places = sweep->class_places ? sweep->class_places * 2 : 256;
        struct class_room *old = sweep->classes, *more;
        size_t old_places = sweep->class_places;
        if (sweep->class_count >= 65536 || (more = calloc(places, sizeof *more)) == NULL)
            return NULL;
        sweep->classes = more;
        sweep->class_places = places;
        sweep->class_count = sweep->last_class = 0;
        for (n = 0; n < old_places; n++)
            if (old[n].head_size) {
                struct class_room *moved = class_room(sweep, old[n].head, old[n].head_size);
                if (moved != NULL) {
                    moved->count = old[n].count;
                    moved->bytes = old[n].bytes;
                }
                free(old[n].head);
            }
        free(old);
    }
    for (n = 0; n + 8 <= size; n += 8)
        hash = ((hash ^ big_8(head + n)) * UINT64_C(0x9E3779B97F4A7C15)) ^ hash >> 29;
    for (; n < size; n++)
        hash = (hash ^ head[n]) * UINT64_C(0x100000001B3);
    place = (size_t)(hash ^ hash >> 29) & (sweep->class_places - 1);
    while (sweep->classes[place].head_size &&
           (sweep->classes[place].head_size != size ||
            memcmp(sweep->classes[place].head, head, size) != 0))
        place = (place + 1) & (sweep->class_places - 1);
    if (!sweep->classes[place].head_size) {
        sweep->classes[place].head = malloc(size);
        if (sweep->classes[place].head == NULL)
            return NULL;
        memcpy(sweep->classes[place].head, head, size);
        sweep->classes[place].head_size = size;
        sweep->class_count++;
    }
    return &sweep->classes[place];
}

static const char BLOB_HEAD[] = "cZODB.blob\nBlob\n";

/* Take note of the class of a record, and of what it refers to: 0 if that is not known here. */
static int look_into(Sweep *sweep, const uint8_t *record, size_t size, int *blob) {
    struct positions *positions = &((Positions *)sweep->positions)->positions;
    const uint8_t *module_end, *name_end;
    struct class_room *room = sweep->classes ? &sweep->classes[sweep->last_class] : NULL;
    size_t n, head_size, most = size < 512 ? size : 512;
    *blob = size > 20 && record[0] == 0x80 && memcmp(record + 2, BLOB_HEAD, 16) == 0;
    if (size < 8 || record[0] != 0x80 || record[2] != 'c')
        return 0;
    if (room != NULL && size > room->head_size && record[room->head_size] == '\n' &&
        memcmp(record, room->head, room->head_size) == 0) {
        head_size = room->head_size; /* the class of the record before */
    } else {
        room = NULL;
        module_end = memchr(record + 3, '\n', most - 3);
        if (module_end == NULL || module_end == record + 3)
            return 0;
        name_end = memchr(module_end + 1, '\n', most - (size_t)(module_end + 1 - record));
        if (name_end == NULL || name_end == module_end + 1)
            return 0;
        head_size = (size_t)(name_end - record);
    }
    if (sweep->following) {
        if (scan_references(&sweep->scan, record, size) != SCAN_DONE)
            return 0;
        for (n = 0; n < sweep->scan.found_count; n++) {
            uint64_t *entry = entry_for(positions, big_8(sweep->scan.found[n]));
            if (entry == NULL)
                return 0;
            *entry |= REFERRED;
        }
    }
    if (room == NULL && (room = class_room(sweep, record, head_size)) == NULL)
        return 0;
    sweep->last_class = (size_t)(room - sweep->classes);
    room->count++;
    room->bytes += size;
    return 1;
}

/* Count a transaction, and enter its records. -1 if there is no memory. */
static int take_in(Sweep *sweep, const struct transaction *found) {
    struct positions *positions =
        sweep->positions ? &((Positions *)sweep->positions)->positions : NULL;
    const uint8_t *at = found->data + found->head, *end = found->data + found->length;
    unsigned long long records = 0;
    for (; at < end;) {
        uint64_t position = found->position + (uint64_t)(at - found->data);
        uint64_t size = big_8(at + 34), *entry;
        int blob = 0, gone = size == 0 && big_8(at + RECORD_HEADER) == 0;
        records++;
        if (positions != NULL && (found->status != 'u' || sweep->checking)) {
            if (sweep->checking && size) {
                if (!look_into(sweep, at + RECORD_HEADER, (size_t)size, &blob) &&
                    !add_number(&sweep->odd, &sweep->odd_count, &sweep->odd_room, position))
                    return -1;
            }
            entry = entry_for(positions, big_8(at));
            if (entry == NULL)
                return -1;
            if (POSITION(*entry) >= found->position)
                records--; /* twice in one transaction: the last one counts */
            if (size)
                blob = sweep->checking && blob;
            else
                blob = !gone && (*entry & BLOB);
            if (blob &&
                !add_number(&sweep->blobs, &sweep->blob_count, &sweep->blob_room, position))
                return -1;
            *entry &= ~(GONE | (size ? BLOB : 0));
            *entry |= (gone && sweep->checking ? GONE : 0) | (blob ? BLOB : 0);
            if (found->status != 'u')
                *entry = position | (*entry & ~POSITION(*entry));
        }
        at += RECORD_HEADER + (size ? size : NUMBER);
    }
    if (found->status != 'u' || sweep->checking) {
        sweep->records += records;
        sweep->bytes += found->length - found->head;
    }
    if (records == 0 && transaction_end(found) < sweep->limit)
        sweep->empty++;
    sweep->transactions++;
    sweep->unchecked += !found->sealed;
    sweep->last = found->position;
    sweep->durable = found->position;
    if (found->sealed && found->durable < found->position)
        sweep->durable = found->durable;
    sweep->last_tid = big_8(found->data);
    sweep->position = transaction_end(found);
    return 0;
}

/* Sweep over the window: 1 if it went on, 0 where something is to be looked at, -1: an error. */
static int sweep_window(Sweep *sweep) {
    size_t n, fit, count;
    int result = 1;
    Py_BEGIN_ALLOW_THREADS
    count = find_transactions(sweep);
    BACK_SOON
    for (fit = 0; fit < count; fit++) {
        int fits = checksum_fits(sweep, &sweep->found[fit]);
        if (fits < 0)
            return -1;
        if (!fits)
            break;
    }
    Py_BEGIN_ALLOW_THREADS
    for (n = 0; n < fit && result > 0; n++) {
        if (sweep->checking && !pointers_fit(sweep, &sweep->found[n]))
            break;
        result = take_in(sweep, &sweep->found[n]) < 0 ? -1 : 1;
    }
    BACK_SOON
    if (result < 0) {
        PyErr_NoMemory();
        return -1;
    }
    return n > 0 && n == count;
}

static PyObject *sweep_run(PyObject *self, PyObject *budget) {
    Sweep *sweep = (Sweep *)self;
    Positions *positions = (Positions *)sweep->positions;
    unsigned long long from = sweep->position, most = PyLong_AsUnsignedLongLong(budget);
    int went_on = 1;
    if (PyErr_Occurred() || refuse_busy(sweep->busy) ||
        (positions != NULL && refuse_busy(positions->busy)))
        return NULL;
    sweep->busy = 1;
    if (positions != NULL)
        positions->busy = 1;
    while (went_on > 0 && sweep->position < sweep->limit && sweep->position - from < most)
        went_on = sweep_window(sweep);
    sweep->busy = 0;
    if (positions != NULL)
        positions->busy = 0;
    if (went_on < 0)
        return NULL;
    return PyBool_FromLong(went_on);
}

static PyObject *sweep_resume(PyObject *self, PyObject *args) {
    Sweep *sweep = (Sweep *)self;
    unsigned long long position;
    const char *last_tid;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "Ky#", &position, &last_tid, &size) || refuse_busy(sweep->busy))
        return NULL;
    if (size != 8 || position < sweep->position) {
        PyErr_SetString(PyExc_ValueError, "a sweep goes on further on, behind a tid of 8 bytes");
        return NULL;
    }
    sweep->position = position;
    sweep->last_tid = big_8((const uint8_t *)last_tid);
    Py_RETURN_NONE;
}

static PyObject *taken(uint64_t *numbers, size_t *count) {
    PyObject *list = PyList_New((Py_ssize_t)*count);
    size_t n;
    for (n = 0; list != NULL && n < *count; n++) {
        PyObject *number = PyLong_FromUnsignedLongLong(numbers[n]);
        if (number == NULL || PyList_SetItem(list, (Py_ssize_t)n, number) < 0)
            Py_CLEAR(list);
    }
    if (list != NULL)
        *count = 0;
    return list;
}

static PyObject *sweep_take_odd(PyObject *self, PyObject *Py_UNUSED(nothing)) {
    Sweep *sweep = (Sweep *)self;
    return refuse_busy(sweep->busy) ? NULL : taken(sweep->odd, &sweep->odd_count);
}

static PyObject *sweep_take_blobs(PyObject *self, PyObject *Py_UNUSED(nothing)) {
    Sweep *sweep = (Sweep *)self;
    return refuse_busy(sweep->busy) ? NULL : taken(sweep->blobs, &sweep->blob_count);
}

static PyObject *sweep_classes(PyObject *self, PyObject *Py_UNUSED(nothing)) {
    Sweep *sweep = (Sweep *)self;
    PyObject *list;
    size_t n;
    if (refuse_busy(sweep->busy))
        return NULL;
    list = PyList_New(0);
    for (n = 0; list != NULL && n < sweep->class_places; n++) {
        struct class_room *room = &sweep->classes[n];
        PyObject *item;
        if (!room->head_size)
            continue;
        item = Py_BuildValue("(y#KK)", (const char *)room->head, (Py_ssize_t)room->head_size,
                             room->count, room->bytes);
        if (item == NULL || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

static PyObject *sweep_last_tid(PyObject *self, void *Py_UNUSED(closure)) {
    return oid_bytes(((Sweep *)self)->last_tid);
}

static PyMethodDef sweep_methods[] = {
    {"run", sweep_run, METH_O,
     "Go on for about so many bytes; return whether there was nothing to be looked at."},
    {"resume", sweep_resume, METH_VARARGS, "Go on at a position, behind a tid."},
    {"take_odd", sweep_take_odd, METH_NOARGS,
     "Return the positions of records that have to be looked into, and forget them."},
    {"take_blobs", sweep_take_blobs, METH_NOARGS,
     "Return the positions of records of blobs, and forget them."},
    {"classes", sweep_classes, METH_NOARGS,
     "Return the beginning of the records of each class, how many there are, and their bytes."},
    {NULL, NULL, 0, NULL},
};

#define COUNT(name, text) {#name, T_ULONGLONG, offsetof(Sweep, name), READONLY, text}
static PyMemberDef sweep_members[] = {
    COUNT(position, "where it goes on"),
    COUNT(durable, "up to where the last transaction proves the file to be durable"),
    COUNT(last, "the position of the last transaction"),
    COUNT(transactions, "how many there were"),
    COUNT(unchecked, "how many of them had no checksum"),
    COUNT(records, "how many there were"),
    COUNT(bytes, "what the records take"),
    COUNT(empty, "how many transactions had no record, but for the last in the file"),
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef sweep_getset[] = {
    {"last_tid", sweep_last_tid, NULL, "the tid of the last transaction", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot sweep_slots[] = {
    {Py_tp_init, (void *)sweep_init},
    {Py_tp_dealloc, (void *)sweep_dealloc},
    {Py_tp_methods, sweep_methods},
    {Py_tp_members, sweep_members},
    {Py_tp_getset, sweep_getset},
    {Py_tp_doc, "Goes over the sound transactions of a file, in order."},
    {0, NULL},
};

static PyType_Spec sweep_spec = {
    "perdure.native._filescan.Sweep", sizeof(Sweep), 0, Py_TPFLAGS_DEFAULT, sweep_slots,
};

/* Marking ---------------------------------------------------------------------------------- */

#include "marking.h"

/* The module ------------------------------------------------------------------------------- */

static PyMethodDef methods[] = {
    {"gather", gather, METH_VARARGS,
     "Return the records at some positions of a transaction, in a row, for another place."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "perdure.native._filescan",
    .m_doc = "The scan of a data file.",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__filescan(void) {
    PyObject *module, *type;
    if (find_courtesy() < 0)
        return NULL;
    module = PyModule_Create(&definition);
    if (module == NULL)
        return NULL;
    positions_type = (PyTypeObject *)PyType_FromSpec(&positions_spec);
    if (positions_type == NULL ||
        PyModule_AddObjectRef(module, "Positions", (PyObject *)positions_type) < 0)
        goto failed;
    type = PyType_FromSpec(&sweep_spec);
    if (type == NULL || PyModule_AddObjectRef(module, "Sweep", type) < 0)
        goto failed;
    Py_DECREF(type);
    marking_type = (PyTypeObject *)PyType_FromSpec(&marking_spec);
    if (marking_type == NULL ||
        PyModule_AddObjectRef(module, "Marking", (PyObject *)marking_type) < 0)
        goto failed;
    return module;
failed:
    Py_DECREF(module);
    return NULL;
}
