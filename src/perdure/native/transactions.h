/* The bytes of a data file, read in order: see perdure/storages/file/format.py.

   A window of the file is in memory, of 2 MB, or as large as one transaction, up to 64 MB.
   A transaction is told to be sound only if all of it is in the window. What is wrong with one
   that is not, or is too large, is not said here: the pure functions look at it. */

#ifndef PERDURE_TRANSACTIONS_H
#define PERDURE_TRANSACTIONS_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "positions.h"

#define TRANSACTION_HEADER 23
#define RECORD_HEADER 42
#define NUMBER 8
#define STATUS 16
#define TRAILER 36
#define TRAILER_MAGIC "\xf7Perdure"

#define WINDOW ((size_t)2 << 20)
#define LARGEST_WINDOW ((size_t)64 << 20)

struct window {
    uint8_t *data;
    size_t room;
    size_t size;    /* bytes in it */
    uint64_t start; /* their position */
};

/* Read `size` bytes at `position`, fewer at the end of the file. -1 on an error. */
static inline ssize_t read_at(int file, uint8_t *to, size_t size, uint64_t position) {
    size_t done = 0;
    while (done < size) {
        ssize_t count = pread(file, to + done, size - done, (off_t)(position + done));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -1;
        if (count == 0)
            break;
        done += (size_t)count;
    }
    return (ssize_t)done;
}

/* Return `size` bytes at `position`, which end before `limit`; NULL if they cannot be had. */
static inline const uint8_t *in_window(struct window *window, int file, uint64_t position,
                                       size_t size, uint64_t limit) {
    size_t room = WINDOW;
    ssize_t count;
    if (position >= window->start && position - window->start <= window->size &&
        window->size - (size_t)(position - window->start) >= size)
        return window->data + (position - window->start);
    if (size > LARGEST_WINDOW || position > limit || limit - position < size)
        return NULL;
    while (room < size)
        room *= 2;
    if (room > window->room) {
        free(window->data);
        window->size = window->room = 0;
        window->data = malloc(room);
        if (window->data == NULL)
            return NULL;
        window->room = room;
    }
    room = window->room;
    if (room > limit - position)
        room = (size_t)(limit - position);
    window->start = position;
    window->size = 0;
    count = read_at(file, window->data, room, position);
    if (count < 0)
        return NULL;
    window->size = (size_t)count;
    return window->size >= size ? window->data : NULL;
}

struct transaction {
    uint64_t position;
    uint64_t length;
    const uint8_t *data; /* of the header */
    size_t head;         /* bytes up to the first record */
    uint8_t status;
    uint8_t sealed;      /* it has a trailer that is bound to its place */
    uint8_t like_sealed; /* it has something like one */
    uint64_t durable;    /* by the trailer */
};

static inline uint64_t transaction_end(const struct transaction *transaction) {
    return transaction->position + transaction->length + NUMBER;
}

/* Take the transaction at `position` from the window, if it is sound but for its checksum. */
static inline int sound_transaction(struct window *window, int file, uint64_t position,
                                    uint64_t limit, struct transaction *found) {
    const uint8_t *data = in_window(window, file, position, TRANSACTION_HEADER, limit), *at, *end;
    size_t extension;
    if (data == NULL)
        return 0;
    found->position = position;
    found->length = big_8(data + 8);
    found->status = data[STATUS];
    extension = big_2(data + 21);
    found->head = TRANSACTION_HEADER + big_2(data + 17) + big_2(data + 19) + extension;
    if (found->status != ' ' && found->status != 'p' && found->status != 'u')
        return 0;
    if (found->length < found->head || found->length > LARGEST_WINDOW - NUMBER)
        return 0;
    data = in_window(window, file, position, (size_t)found->length + NUMBER, limit);
    if (data == NULL || big_8(data + found->length) != found->length)
        return 0;
    found->data = data;
    at = data + found->head;
    end = data + found->length;
    found->sealed = found->like_sealed = 0;
    if (extension >= TRAILER) {
        int magic = memcmp(at - TRAILER, TRAILER_MAGIC, 8) == 0;
        int bound = big_8(at - 28) == position && big_8(at - 20) == found->length;
        found->sealed = magic && bound;
        found->like_sealed = magic || bound;
        found->durable = big_8(at - 12);
    }
    while (end - at >= RECORD_HEADER) {
        uint64_t size = big_8(at + 34);
        if (big_8(at + 24) != position || big_2(at + 32))
            return 0;
        at += RECORD_HEADER;
        if (size == 0)
            size = NUMBER;
        if ((uint64_t)(end - at) < size)
            return 0;
        at += size;
    }
    return at == end;
}

#endif
