/* The state of a bucket of BTrees, read to where the bucket has its items.

   The usual way makes a tuple of all keys and values, with a number object for each key that is
   one, and BTrees takes out of it what it keeps. Here the state is looked through first: whether
   it is that of a bucket as records have them, with plain items, and how many they are. Then each
   of them is read to its place. What is not like that is left to the usual way, as if nothing had
   been done.

   Where that place is, buckets.h tries out for each class. BTrees frees it with `free`. */

#ifndef PERDURE_DECODING_BUCKETS_H
#define PERDURE_DECODING_BUCKETS_H

#include <stdlib.h>

#include "buckets.h"
#include "decoding_calls.h"
#include "decoding_values.h"

/* Take a number that keys or values of this kind can be; 0 if something else comes. */
static inline int take_whole(char kind, const uint8_t **next, const uint8_t *end,
                             int64_t *number) {
    const uint8_t *at = *next;
    Py_ssize_t left = end - at;
    if (left >= 5 && *at == 'J') { /* BININT */
        *number = (int32_t)uint32_at(at + 1);
        *next += 5;
    } else if (left >= 2 && *at == 'K') { /* BININT1 */
        *number = at[1];
        *next += 2;
    } else if (left >= 3 && *at == 'M') { /* BININT2 */
        *number = at[1] | at[2] << 8;
        *next += 3;
    } else if (left >= 10 && *at == 0x8a && at[1] <= 8) { /* LONG1 */
        *number = signed_at(at + 2, at[1]);
        *next += 2 + at[1];
    } else
        return 0;
    return kind == 'I'   ? *number == (int32_t)*number
           : kind == 'U' ? *number == (uint32_t)*number
           : kind == 'Q' ? *number >= 0
                         : 1;
}

/* Skip what puts a value into the memo, if it comes; 0 if that is not its next place. */
static inline int skip_put(const uint8_t **next, const uint8_t *end, Py_ssize_t *memo_size) {
    size_t number;
    return !take_numbered(next, end, 'q', 'r', &number) || number == (size_t)(*memo_size)++;
}

/* Skip an item; 0 if something else comes than is known here. */
static inline int skip_item(char kind, const uint8_t **next, const uint8_t *end,
                            Py_ssize_t *memo_size) {
    Py_ssize_t left = end - *next;
    int64_t number;
    if (kind == 'O' && left >= 5 && **next == 'X') { /* BINUNICODE */
        size_t length = uint32_at(*next + 1);
        if ((size_t)left - 5 < length)
            return 0;
        *next += 5 + length;
        return skip_put(next, end, memo_size);
    }
    if ((kind == 'O' || kind == 'F') && left >= 9 && **next == 'G') { /* BINFLOAT */
        *next += 9;
        return 1;
    }
    if (kind == 'O' && left >= 1 && **next == 'N') { /* NONE */
        ++*next;
        return 1;
    }
    return kind != 'F' && take_whole(kind, next, end, &number);
}

/* Return how many items come before a TUPLE, 0 where something else comes; `memo_size` becomes
   that of the memo behind them. */
static int count_items(ItemKinds kinds, const uint8_t *next, const uint8_t *end,
                       Py_ssize_t *memo_size) {
    int count = 0;
    if (end - next > INT_MAX) /* an item takes a byte or more */
        return 0;
    while (next < end && *next != 't') {
        if (!skip_item(kinds.key, &next, end, memo_size) ||
            (kinds.value && !skip_item(kinds.value, &next, end, memo_size)))
            return 0;
        count++;
    }
    return next < end ? count : 0;
}

#define FETCHED_AROUND 2048 /* a power of 2, and not more than a page */

/* Have the processor fetch the memory around a new text, unless it was told so before. The next
   text is likely to go there: what was freed together lies together. Python finds in it which
   memory is free after that, so it waits for each; of many at a time, only for the first. */
static inline void fetch_around(Load *load, const PyObject *text) {
#ifdef __GNUC__
    uintptr_t start = (uintptr_t)text & ~(uintptr_t)(FETCHED_AROUND - 1);
    if (start == load->fetched)
        return;
    load->fetched = start;
    for (int n = 0; n < FETCHED_AROUND; n += 64)
        __builtin_prefetch((const char *)start + n, 1);
#else
    (void)load, (void)text;
#endif
}

/* Make an object that `skip_item` has seen; NULL with an exception. */
static PyObject *plain_item(Load *load, const uint8_t **next) {
    const uint8_t *at = *next;
    Work *work = load->work;
    int64_t number = 0;
    size_t length;
    PyObject *text;
    switch (*at) {
    case 'X':
        length = uint32_at(at + 1);
        *next += 5 + length;
        text = plain_text(at + 5, length);
        if (text == NULL)
            return NULL;
        fetch_around(load, text);
        if (take_numbered(next, load->end, 'q', 'r', &length))
            work->memo[work->memo_size++] = Py_NewRef(text);
        return text;
    case 'G':
        *next += 9;
        return PyFloat_FromDouble(double_at(at + 1));
    case 'N':
        ++*next;
        return Py_NewRef(Py_None);
    }
    take_whole('L', next, load->end, &number);
    return PyLong_FromLongLong(number);
}

/* Read an item that `skip_item` has seen to its place; 0 with an exception. */
static inline int read_item(Load *load, char kind, void *items, int n, const uint8_t **next) {
    int64_t number = 0;
    if (kind == 'O')
        return (((PyObject **)items)[n] = plain_item(load, next)) != NULL;
    if (kind == 'F') {
        ((float *)items)[n] = (float)double_at(*next + 1);
        *next += 9;
        return 1;
    }
    take_whole(kind, next, load->end, &number);
    if (kind == 'I' || kind == 'U')
        ((uint32_t *)items)[n] = (uint32_t)number;
    else
        ((int64_t *)items)[n] = number;
    return 1;
}

/* The items of a bucket, before they are in it. */
typedef struct {
    ItemKinds kinds;
    void *keys, *values;
    int keys_made, values_made;
} Items;

static void *room_for(char kind, int count) {
    void *room = malloc((size_t)count * (strchr("IUF", kind) != NULL ? 4 : 8));
    if (room == NULL)
        PyErr_NoMemory();
    return room;
}

static int read_items(Load *load, Items *items, int count, const uint8_t *next) {
    ItemKinds kinds = items->kinds;
    items->keys = room_for(kinds.key, count);
    if (items->keys == NULL)
        return FAILED;
    if (kinds.value && (items->values = room_for(kinds.value, count)) == NULL)
        return FAILED;
    for (int n = 0; n < count; n++) {
        if (!read_item(load, kinds.key, items->keys, n, &next))
            return FAILED;
        items->keys_made++;
        if (kinds.value) {
            if (!read_item(load, kinds.value, items->values, n, &next))
                return FAILED;
            items->values_made++;
        }
    }
    load->next = next + 1; /* behind the TUPLE */
    return DONE;
}

static void drop_items(char kind, void *items, int count) {
    while (kind == 'O' && count > 0)
        Py_DECREF(((PyObject **)items)[--count]);
    free(items);
}

/* Read what comes behind the items: the bucket behind this one, NULL if there is none. */
static int read_following(Load *load, PyObject **following) {
    Work *work = load->work;
    const uint8_t *next, *end = load->end;
    size_t number;
    uint8_t tuple = 0x85; /* TUPLE1 */
    if (take_numbered(&load->next, end, 'q', 'r', &number)) {
        if (number != (size_t)work->memo_size)
            return HAND_OVER;
        work->memo[work->memo_size++] = NULL; /* nobody asks for the tuple of items */
    }
    next = load->next;
    if (end - next >= 10 && *next == 'C' && next[1] == 8) { /* SHORT_BINBYTES */
        load->next += 10;
        if (push(work, bytes_of(next + 2, 8)) != DONE || load_reference_ahead(load) != DONE)
            return FAILED;
        *following = work->stack[--work->stack_size];
        if (load->next == next + 10)
            return HAND_OVER; /* they are bytes still */
        tuple = 0x86;         /* TUPLE2 */
    }
    next = load->next;
    if (next == end || *next++ != tuple)
        return HAND_OVER;
    take_numbered(&next, end, 'q', 'r', &number);
    return next < end && *next == '.' ? DONE : HAND_OVER;
}

/* Give a bucket what it consists of, if it is as it was made. */
static int fill_bucket(Bucket *bucket, const Items *items, PyObject *following) {
    if (bucket->size != 0 || bucket->len != 0 || bucket->keys != NULL || bucket->values != NULL ||
        bucket->next != NULL)
        return HAND_OVER;
    bucket->keys = items->keys;
    bucket->values = items->values;
    bucket->next = following;
    bucket->len = bucket->size = items->keys_made;
    return DONE;
}

/* Read the state of a bucket, and give it to the bucket. */
static int decode_bucket(Load *load, PyObject *bucket) {
    Work *work = load->work;
    const uint8_t *start = load->next, *next = start, *end = load->end;
    Items items = {.kinds = load->head->items};
    Py_ssize_t memo_before = work->memo_size, memo_behind = memo_before;
    PyObject *following = NULL;
    int count, outcome = DONE;
    if (end - next > 2 && *next == 0x80 && next[1] <= 3) /* PROTO */
        next += 2;
    if (next == end || *next++ != '(') /* MARK */
        return HAND_OVER;
    count = count_items(items.kinds, next, end, &memo_behind);
    if (count == 0)
        return HAND_OVER;
    memo_behind += 3; /* the tuple of items, and the two of a reference */
    if (memo_behind > work->memo_room)
        outcome = grow((void **)&work->memo, &work->memo_room, memo_behind, sizeof *work->memo);
    if (outcome == DONE)
        outcome = read_items(load, &items, count, next);
    if (outcome == DONE)
        outcome = read_following(load, &following);
    if (outcome == DONE)
        outcome = fill_bucket((Bucket *)bucket, &items, following);
    if (outcome == DONE)
        return DONE;
    drop_items(items.kinds.key, items.keys, items.keys_made);
    drop_items(items.kinds.value, items.values, items.values_made);
    Py_XDECREF(following);
    memo_behind = work->memo_size;
    work->memo_size = memo_before;
    forget(work, memo_before, memo_behind);
    load->next = start;
    return outcome;
}

#endif
