/* The past of an object, a revision at a time: it is read backwards, what stands close together
   with one read. */

#ifndef PERDURE_HISTORY_H
#define PERDURE_HISTORY_H

#define PIECE (32 << 10)
#define FIRST_LOOK 512
#define NEAR 4096 /* what stands as close to a piece is read with much around it */

struct piece {
    int descriptor;
    int64_t start;
    Py_ssize_t size;
    unsigned char *data;
};

#define TRANSACTION_SIZE 23
#define TRAILER_SIZE 36
#define TRAILER_MAGIC "\xf7Perdure"
#define SCALE (60.0 / 4294967296.0) /* of a tid's lower half, to seconds */
#define MINUTES_1970 (25567.0 * 24 * 60) /* since 1900 */

/* Return the moment of a tid as `persistent` computes it, to the last bit. */
static double time_of(const unsigned char *tid) {
    static const int before_month[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    uint64_t minutes = number_at(tid, 4);
    int minute = (int)(minutes % 1440), day = (int)(minutes / 1440 % 31),
        month = (int)(minutes / 44640 % 12), year = (int)(minutes / 535680) + 1900;
    int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    int days = (year - 1900) * 365 + (year - 1901) / 4 - (year - 1901) / 100 +
               (year - 1601) / 400 + before_month[month] + (month > 1 && leap) + day;
    return (days * 86400.0 + minute * 60.0) + SCALE * (double)number_at(tid + 4, 4) -
           MINUTES_1970 * 60.0;
}

/* Make sure that `size` bytes at `place` are held, and something in front of them. */
static const unsigned char *held_behind(struct piece *piece, int64_t place, Py_ssize_t size) {
    if (place < piece->start || place + size > piece->start + piece->size) {
        int near = piece->size > 0 && place < piece->start && place + NEAR >= piece->start;
        int64_t ahead = near ? PIECE / 4 : FIRST_LOOK;
        piece->start = place > ahead ? place - ahead : 0;
        piece->size = read_at(piece->descriptor, piece->data, (size_t)(place + size - piece->start),
                              piece->start);
        if (place + size > piece->start + piece->size)
            return NULL;
    }
    return piece->data + (place - piece->start);
}

/* Return the description of a revision, NULL where it must be looked at or with an exception. */
static PyObject *description_of(struct piece *piece, int64_t place, const unsigned char *oid,
                                int64_t *previous) {
    const unsigned char *head = held_behind(piece, place, HEADER_SIZE), *transaction;
    uint64_t begin, size;
    Py_ssize_t user, note, extension, left;
    if (head == NULL || memcmp(head, oid, 8) != 0 || number_at(head + 32, 2) != 0)
        return NULL;
    begin = number_at(head + 24, 8);
    if (number_at(head + 16, 8) >= (uint64_t)place || begin < (uint64_t)piece->start ||
        begin >= (uint64_t)place || place - (int64_t)begin < TRANSACTION_SIZE)
        return NULL;
    transaction = piece->data + ((int64_t)begin - piece->start);
    user = (Py_ssize_t)number_at(transaction + 17, 2);
    note = (Py_ssize_t)number_at(transaction + 19, 2);
    extension = (Py_ssize_t)number_at(transaction + 21, 2);
    left = (Py_ssize_t)(place - (int64_t)begin) - TRANSACTION_SIZE;
    if (user + note + extension > left)
        return NULL;
    transaction += TRANSACTION_SIZE;
    /* Nothing but a checksum, with what stands for no items before it. */
    if (extension != 0 && (extension != 2 + TRAILER_SIZE ||
                           memcmp(transaction + user + note, "}." TRAILER_MAGIC,
                                  2 + sizeof TRAILER_MAGIC - 1) != 0))
        return NULL;
    *previous = (int64_t)number_at(head + 16, 8);
    size = number_at(head + 34, 8);
    return Py_BuildValue("{s:d,s:y#,s:y#,s:y#,s:K}", "time", time_of(head + 8), "user_name",
                         (const char *)transaction, user, "description",
                         (const char *)transaction + user, note, "tid", (const char *)head + 8,
                         (Py_ssize_t)8, "size", (unsigned long long)size);
}

static PyObject *history(PyObject *Py_UNUSED(module), PyObject *args) {
    struct piece piece = {0};
    PyObject *found, *made = NULL;
    const unsigned char *oid;
    Py_ssize_t oid_size, most;
    long long place;
    if (!PyArg_ParseTuple(args, "iy#Ln", &piece.descriptor, &oid, &oid_size, &place, &most))
        return NULL;
    if (oid_size != 8) {
        PyErr_SetString(PyExc_ValueError, "an oid has 8 bytes");
        return NULL;
    }
    piece.data = PyMem_Malloc(PIECE);
    if (piece.data == NULL)
        return PyErr_NoMemory();
    found = PyList_New(0);
    while (found != NULL && place > 0 && PyList_Size(found) < most) {
        int64_t previous = 0;
        PyObject *description = description_of(&piece, place, oid, &previous);
        if (description == NULL)
            break;
        if (PyList_Append(found, description) < 0)
            Py_CLEAR(found);
        Py_DECREF(description);
        place = previous;
    }
    PyMem_Free(piece.data);
    if (found != NULL && !PyErr_Occurred())
        made = Py_BuildValue("OL", found, place);
    Py_XDECREF(found);
    return made;
}

#endif
