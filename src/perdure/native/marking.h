/* Marking what a pack needs, and gathering the records of a transaction that stay.

   Included by _filescan.c, which has what is used here. */

#define AHEAD ((size_t)1024)
#define FAR_AHEAD ((size_t)128 << 10)
#define LARGEST_RECORD ((size_t)64 << 20)

typedef struct {
    PyObject_HEAD
    int file, busy;
    unsigned long long end; /* what is newer does not stay where it is */
    unsigned long long bytes;
    PyObject *positions;
    struct scan scan;
    uint8_t *ahead; /* bytes of the file from `ahead_at` on */
    size_t ahead_size, ahead_room;
    uint64_t ahead_at;
    uint64_t *todo, *wave, *kept, *odd, *newer;
    size_t todo_count, todo_room, wave_count, wave_room, wave_done;
    size_t kept_count, kept_room, odd_count, odd_room, newer_count, newer_room;
} Marking;

static void marking_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    Marking *marking = (Marking *)self;
    Py_XDECREF(marking->positions);
    scan_free(&marking->scan);
    free(marking->ahead);
    free(marking->todo);
    free(marking->wave);
    free(marking->kept);
    free(marking->odd);
    free(marking->newer);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static int marking_init(PyObject *self, PyObject *args, PyObject *Py_UNUSED(keywords)) {
    Marking *marking = (Marking *)self;
    PyObject *positions;
    if (marking->positions != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "it has begun already");
        return -1;
    }
    if (!PyArg_ParseTuple(args, "iKO", &marking->file, &marking->end, &positions))
        return -1;
    if (Py_TYPE(positions) != positions_type) {
        PyErr_SetString(PyExc_TypeError, "expected Positions");
        return -1;
    }
    marking->positions = Py_NewRef(positions);
    return 0;
}

/* Note that an object is needed: 0 if there is no memory. */
static int reach_one(Marking *marking, uint64_t oid) {
    uint64_t *entry = entry_of(&((Positions *)marking->positions)->positions, oid);
    if (entry == NULL || POSITION(*entry) == 0 || (*entry & REACHED))
        return 1;
    *entry |= REACHED;
    if (POSITION(*entry) >= marking->end)
        return add_number(&marking->newer, &marking->newer_count, &marking->newer_room, oid);
    return add_number(&marking->todo, &marking->todo_count, &marking->todo_room,
                      POSITION(*entry));
}

static int marking_is_busy(const Marking *marking) {
    if (marking->positions == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "it has not begun");
        return 1;
    }
    return refuse_busy(marking->busy || ((Positions *)marking->positions)->busy);
}

static PyObject *marking_reach(PyObject *self, PyObject *oids) {
    Marking *marking = (Marking *)self;
    Py_ssize_t count, n;
    if (!PyList_Check(oids)) {
        PyErr_SetString(PyExc_TypeError, "expected a list of oids");
        return NULL;
    }
    if (marking_is_busy(marking))
        return NULL;
    count = PyList_Size(oids);
    for (n = 0; n < count; n++) {
        uint64_t oid;
        if (!oid_of(PyList_GetItem(oids, n), &oid))
            return NULL;
        if (!reach_one(marking, oid))
            return PyErr_NoMemory();
    }
    Py_RETURN_NONE;
}

static int reach_each(Marking *marking) {
    const struct positions *positions = &((Positions *)marking->positions)->positions;
    size_t place;
    uint32_t n;
    uint16_t suffix;
    uint64_t entry;
    for (place = 0; place < positions->places; place++)
        for (n = 0; positions->pages[place] != NULL &&
                    next_entry(positions->pages[place], &n, &suffix, &entry);)
            if (!reach_one(marking, positions->pages[place]->prefix << 16 | suffix))
                return 0;
    return 1;
}

/* What may take long is done without the GIL; nobody else can get at the objects then. */
static void set_busy(Marking *marking, int busy) {
    marking->busy = ((Positions *)marking->positions)->busy = busy;
}

static PyObject *marking_reach_all(PyObject *self, PyObject *Py_UNUSED(nothing)) {
    Marking *marking = (Marking *)self;
    int reached;
    if (marking_is_busy(marking))
        return NULL;
    set_busy(marking, 1);
    Py_BEGIN_ALLOW_THREADS
    reached = reach_each(marking);
    BACK_SOON
    set_busy(marking, 0);
    if (!reached)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *marking_await(PyObject *self, PyObject *position) {
    Marking *marking = (Marking *)self;
    unsigned long long value = PyLong_AsUnsignedLongLong(position);
    if (PyErr_Occurred() || marking_is_busy(marking))
        return NULL;
    if (!add_number(&marking->todo, &marking->todo_count, &marking->todo_room, value))
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *marking_keep(PyObject *self, PyObject *args) {
    Marking *marking = (Marking *)self;
    unsigned long long position, size;
    if (!PyArg_ParseTuple(args, "KK", &position, &size) || marking_is_busy(marking))
        return NULL;
    if (!add_number(&marking->kept, &marking->kept_count, &marking->kept_room, position))
        return PyErr_NoMemory();
    marking->bytes += size;
    Py_RETURN_NONE;
}

/* Return `size` bytes of the file, NULL if they cannot be had. Records that follow one another are
   read together, others one by one. */
static const uint8_t *ahead(Marking *marking, uint64_t position, size_t size) {
    uint64_t offset = position - marking->ahead_at;
    size_t want = size > AHEAD ? size : AHEAD;
    ssize_t count;
    if (position >= marking->ahead_at && offset <= marking->ahead_size &&
        marking->ahead_size - offset >= size)
        return marking->ahead + offset;
    if (size > LARGEST_RECORD)
        return NULL;
    if (position >= marking->ahead_at && offset < FAR_AHEAD && want < FAR_AHEAD)
        want = FAR_AHEAD;
    if (want > marking->ahead_room) {
        free(marking->ahead);
        marking->ahead_room = marking->ahead_size = 0;
        marking->ahead = malloc(want);
        if (marking->ahead == NULL)
            return NULL;
        marking->ahead_room = want;
    }
    marking->ahead_at = position;
    marking->ahead_size = 0;
    count = read_at(marking->file, marking->ahead, want, position);
    if (count < 0)
        return NULL;
    marking->ahead_size = (size_t)count;
    return marking->ahead_size >= size ? marking->ahead : NULL;
}

/* Keep the record at a position, and reach what it refers to. 1 if that was done here, 0 if it
   has to be looked at, -1 if there is no memory. */
static int mark_one(Marking *marking, uint64_t position) {
    const uint8_t *record = ahead(marking, position, RECORD_HEADER);
    uint64_t size;
    size_t n;
    if (record == NULL || big_2(record + 32))
        return 0;
    size = big_8(record + 34);
    if (size == 0 || size > LARGEST_RECORD)
        return 0;
    record = ahead(marking, position, RECORD_HEADER + (size_t)size);
    if (record == NULL || scan_references(&marking->scan, record + RECORD_HEADER, (size_t)size) !=
                              SCAN_DONE)
        return 0;
    if (!add_number(&marking->kept, &marking->kept_count, &marking->kept_room, position))
        return -1;
    marking->bytes += RECORD_HEADER + size;
    for (n = 0; n < marking->scan.found_count; n++)
        if (!reach_one(marking, big_8(marking->scan.found[n])))
            return -1;
    return 1;
}

static int by_number(const void *one, const void *other) {
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
    return (a > b) - (a < b);
}

static void sort_numbers(uint64_t *numbers, size_t count) {
    size_t n;
    for (n = 1; n < count; n++)
        if (numbers[n - 1] > numbers[n]) {
            qsort(numbers, count, sizeof *numbers, by_number);
            return;
        }
}

/* Go on in waves, each in the order of the file: what one reaches is the next one. */
static int mark_some(Marking *marking, size_t most) {
    while (most) {
        int done;
        uint64_t position;
        if (marking->wave_done == marking->wave_count) {
            uint64_t *numbers = marking->wave;
            size_t room = marking->wave_room;
            if (!marking->todo_count)
                return 0;
            marking->wave = marking->todo;
            marking->wave_count = marking->todo_count;
            marking->wave_room = marking->todo_room;
            marking->wave_done = 0;
            marking->todo = numbers;
            marking->todo_room = room;
            marking->todo_count = 0;
            sort_numbers(marking->wave, marking->wave_count);
        }
        position = marking->wave[marking->wave_done++];
        done = mark_one(marking, position);
        if (done < 0 || (done == 0 && !add_number(&marking->odd, &marking->odd_count,
                                                  &marking->odd_room, position)))
            return -1;
        most--;
    }
    return 1;
}

static PyObject *marking_run(PyObject *self, PyObject *count) {
    Marking *marking = (Marking *)self;
    size_t most = PyLong_AsSize_t(count);
    int more;
    if (PyErr_Occurred() || marking_is_busy(marking))
        return NULL;
    set_busy(marking, 1);
    Py_BEGIN_ALLOW_THREADS
    more = mark_some(marking, most);
    BACK_SOON
    set_busy(marking, 0);
    if (more < 0)
        return PyErr_NoMemory();
    return PyBool_FromLong(more);
}

static PyObject *marking_take_odd(PyObject *self, PyObject *Py_UNUSED(nothing)) {
    Marking *marking = (Marking *)self;
    return marking_is_busy(marking) ? NULL : taken(marking->odd, &marking->odd_count);
}

static PyObject *marking_take_newer(PyObject *self, PyObject *Py_UNUSED(nothing)) {
    Marking *marking = (Marking *)self;
    PyObject *oids;
    size_t n;
    if (marking_is_busy(marking))
        return NULL;
    oids = PyList_New((Py_ssize_t)marking->newer_count);
    for (n = 0; oids != NULL && n < marking->newer_count; n++) {
        PyObject *oid = oid_bytes(marking->newer[n]);
        if (oid == NULL || PyList_SetItem(oids, (Py_ssize_t)n, oid) < 0)
            Py_CLEAR(oids);
    }
    if (oids != NULL)
        marking->newer_count = 0;
    return oids;
}

static PyObject *marking_sort(PyObject *self, PyObject *Py_UNUSED(nothing)) {
    Marking *marking = (Marking *)self;
    if (marking_is_busy(marking))
        return NULL;
    set_busy(marking, 1);
    Py_BEGIN_ALLOW_THREADS
    sort_numbers(marking->kept, marking->kept_count);
    BACK_SOON
    set_busy(marking, 0);
    Py_RETURN_NONE;
}

static PyObject *marking_kept(PyObject *self, PyObject *args) {
    Marking *marking = (Marking *)self;
    unsigned long long start, end;
    size_t low = 0, high = marking->kept_count, n, first;
    PyObject *list;
    if (!PyArg_ParseTuple(args, "KK", &start, &end) || marking_is_busy(marking))
        return NULL;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (marking->kept[middle] < start)
            low = middle + 1;
        else
            high = middle;
    }
    first = low;
    list = PyList_New(0);
    for (n = first; list != NULL && n < marking->kept_count && marking->kept[n] < end; n++) {
        PyObject *number = PyLong_FromUnsignedLongLong(marking->kept[n]);
        if (number == NULL || PyList_Append(list, number) < 0)
            Py_CLEAR(list);
        Py_XDECREF(number);
    }
    return list;
}

static PyObject *marking_first_kept(PyObject *self, PyObject *start) {
    Marking *marking = (Marking *)self;
    unsigned long long from = PyLong_AsUnsignedLongLong(start);
    size_t low = 0, high = marking->kept_count;
    if (PyErr_Occurred() || marking_is_busy(marking))
        return NULL;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (marking->kept[middle] < from)
            low = middle + 1;
        else
            high = middle;
    }
    return PyLong_FromUnsignedLongLong(low < marking->kept_count ? marking->kept[low] : 0);
}

static PyObject *marking_count(PyObject *self, void *Py_UNUSED(closure)) {
    return PyLong_FromSize_t(((Marking *)self)->kept_count);
}

/* gather(raw, position, marking, first, transaction, positions) -> bytes or None

   `raw` are the bytes of the transaction at `position`. Its records that are kept are returned in a
   row, as they stand when the first of them is put at `first`, in the transaction at
   `transaction`; where they are then is entered in `positions`. None if one of them has no
   data of its own, or is none of this transaction: that is to be looked at. */
static PyObject *gather(PyObject *Py_UNUSED(module), PyObject *args) {
    const uint8_t *raw;
    Py_ssize_t raw_size;
    unsigned long long position, first, transaction;
    PyObject *marks, *target, *body;
    Marking *marking;
    size_t low = 0, high, start, stop, n, total = 0;
    uint8_t *to;
    if (!PyArg_ParseTuple(args, "y#KOKKO", &raw, &raw_size, &position, &marks, &first, &transaction,
                          &target))
        return NULL;
    if (Py_TYPE(target) != positions_type || Py_TYPE(marks) != marking_type) {
        PyErr_SetString(PyExc_TypeError, "expected bytes, a Marking and Positions");
        return NULL;
    }
    marking = (Marking *)marks;
    if (marking_is_busy(marking) || refuse_busy(((Positions *)target)->busy))
        return NULL;
    high = marking->kept_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (marking->kept[middle] < position)
            low = middle + 1;
        else
            high = middle;
    }
    start = low;
    for (stop = start; stop < marking->kept_count; stop++) {
        uint64_t offset = marking->kept[stop] - position, size;
        if (offset >= (uint64_t)raw_size)
            break;
        if ((uint64_t)raw_size - offset < RECORD_HEADER)
            Py_RETURN_NONE;
        size = big_8(raw + offset + 34);
        if (size == 0 || size > (uint64_t)raw_size - offset - RECORD_HEADER ||
            big_8(raw + offset + 24) != position || big_2(raw + offset + 32))
            Py_RETURN_NONE;
        total += RECORD_HEADER + (size_t)size;
    }
    body = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)total);
    if (body == NULL)
        return NULL;
    to = (uint8_t *)PyBytes_AsString(body);
    for (n = start; n < stop; n++) {
        const uint8_t *record = raw + (marking->kept[n] - position);
        size_t size = RECORD_HEADER + (size_t)big_8(record + 34);
        uint64_t *entry = entry_for(&((Positions *)target)->positions, big_8(record));
        int byte;
        if (entry == NULL) {
            Py_DECREF(body);
            return PyErr_NoMemory();
        }
        *entry = first;
        memcpy(to, record, size);
        memset(to + 16, 0, 8);
        for (byte = 0; byte < 8; byte++)
            to[24 + byte] = (uint8_t)(transaction >> (56 - 8 * byte));
        to += size;
        first += size;
    }
    return body;
}

static PyMethodDef marking_methods[] = {
    {"reach", marking_reach, METH_O, "Say that these objects are needed."},
    {"reach_all", marking_reach_all, METH_NOARGS, "Say that all objects are needed."},
    {"await_", marking_await, METH_O, "Say that the record at a position is needed."},
    {"keep", marking_keep, METH_VARARGS, "Keep the record at a position, of so many bytes."},
    {"run", marking_run, METH_O, "Mark at most so many records; return whether that was not all."},
    {"take_odd", marking_take_odd, METH_NOARGS,
     "Return the positions of records that have to be looked at, and forget them."},
    {"take_newer", marking_take_newer, METH_NOARGS,
     "Return the oids that were reached and whose current record is newer, and forget them."},
    {"sort", marking_sort, METH_NOARGS, "Sort what is kept, before it is asked for."},
    {"first_kept", marking_first_kept, METH_O,
     "Return the first position from this one on that is kept, 0 if there is none."},
    {"kept", marking_kept, METH_VARARGS, "Return the positions in a range that are kept."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef marking_members[] = {
    {"bytes", T_ULONGLONG, offsetof(Marking, bytes), READONLY, "what is kept takes so many"},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef marking_getset[] = {
    {"count", marking_count, NULL, "how many records are kept", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot marking_slots[] = {
    {Py_tp_init, (void *)marking_init},
    {Py_tp_dealloc, (void *)marking_dealloc},
    {Py_tp_methods, marking_methods},
    {Py_tp_members, marking_members},
    {Py_tp_getset, marking_getset},
    {Py_tp_doc, "Finds the records that a pack needs."},
    {0, NULL},
};

static PyType_Spec marking_spec = {
    "perdure.native._filescan.Marking", sizeof(Marking), 0, Py_TPFLAGS_DEFAULT, marking_slots,
};
