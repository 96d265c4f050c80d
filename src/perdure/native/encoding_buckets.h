/* The state of a bucket of BTrees, written from its items where they are.

   What is called on the way may change the bucket: then it is handed over. */

#ifndef PERDURE_ENCODING_BUCKETS_H
#define PERDURE_ENCODING_BUCKETS_H

#include "encoding_values.h"

static int save_bucket_item(Encoder *encoder, Work *work, char kind, const void *items, int n) {
    PyObject *item;
    int outcome;
    switch (kind) {
    case 'I':
        return write_int(work, ((const int32_t *)items)[n]);
    case 'U':
        return write_int(work, ((const uint32_t *)items)[n]);
    case 'L':
        return write_int(work, ((const int64_t *)items)[n]);
    case 'Q':
        return write_unsigned(work, ((const uint64_t *)items)[n]);
    case 'F':
        return write_float(work, ((const float *)items)[n]);
    }
    item = ((PyObject *const *)items)[n];
    if (is_alone(item))
        return save_alone(work, item);
    Py_INCREF(item);
    outcome = save(encoder, work, item);
    Py_DECREF(item);
    return outcome;
}

/* Have the processor fetch objects that are needed soon and lie anywhere: many at a time take
   hardly longer than one. They are read for it, since to prefetch does nothing where the place
   of their page is not known; after that, it does, for what is behind the first bytes. */
static void fetch_objects(Work *work, const void *items, int count) {
    PyObject *const *objects = items;
    for (int n = 0; n < count; n++)
        work->touched += (size_t)Py_REFCNT(objects[n]);
#ifdef __GNUC__
    for (int n = 0; n < count; n++)
        __builtin_prefetch((const char *)objects[n] + FETCHED_AT_ONCE);
#endif
}

/* The same for some of the items of a bucket, from `n` on. */
static void fetch_items(Work *work, const Bucket *bucket, ItemKinds items, int n) {
    int left = bucket->len - n, count = left < FETCHED_ITEMS ? left : FETCHED_ITEMS;
    if (items.key == 'O')
        fetch_objects(work, (PyObject **)bucket->keys + n, count);
    if (items.value == 'O')
        fetch_objects(work, (PyObject **)bucket->values + n, count);
}

static inline int is_as_before(const Bucket *bucket, int len, const void *keys,
                               const void *values) {
    return bucket->len == len && bucket->keys == keys && bucket->values == values;
}

/* Write the items of a bucket, as the tuple that __getstate__ puts them into. */
static int save_bucket_items(Encoder *encoder, Work *work, const Bucket *bucket, ItemKinds items) {
    const void *keys = bucket->keys, *values = bucket->values;
    int len = bucket->len, outcome = DONE;
    int64_t size = items.value ? 2 * (int64_t)len : len;
    if (size == 0)
        return write_opcode(work, ')');
    if (size > 3)
        outcome = write_opcode(work, '(');
    for (int n = 0; n < len && outcome == DONE; n++) {
        if (n % FETCHED_ITEMS == 0)
            fetch_items(work, bucket, items, n);
        outcome = save_bucket_item(encoder, work, items.key, keys, n);
        if (outcome == DONE && items.value && is_as_before(bucket, len, keys, values))
            outcome = save_bucket_item(encoder, work, items.value, values, n);
        if (outcome == DONE && !is_as_before(bucket, len, keys, values))
            return HAND_OVER; /* what was called has changed it */
    }
    if (outcome == DONE)
        outcome = write_opcode(work, size > 3 ? 't' : (char)(0x84 + size));
    return outcome == DONE ? memoize(work, NULL) : outcome;
}

/* A bucket, as the state that its __getstate__ makes: the items, and the bucket behind it. */
static int save_bucket(Encoder *encoder, Work *work, PyObject *obj, ItemKinds items) {
    const Bucket *bucket = (const Bucket *)obj;
    PyObject *next = Py_XNewRef(bucket->next);
    int outcome = save_bucket_items(encoder, work, bucket, items);
    if (outcome == DONE && next != NULL)
        outcome = save(encoder, work, next);
    Py_XDECREF(next);
    if (outcome == DONE)
        outcome = write_opcode(work, next == NULL ? '\x85' : '\x86');
    return outcome == DONE ? memoize(work, NULL) : outcome;
}

#endif
